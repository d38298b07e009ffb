//! When a log is turned, and what becomes of it then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, Zoned};

use crate::observe::words::words;

words! {
    /// How often.
    pub enum Every listed {
        Hourly => "hourly",
        Daily => "daily",
        /// From Monday to Sunday.
        Weekly => "weekly",
        Monthly => "monthly",
    }
}

impl Every {
    /// When the hour, day, week or month began that `now` lies in, by the clock on the wall.
    pub fn began(self, now: &Zoned) -> Timestamp {
        let day = now.start_of_day();
        let began = match self {
            // Not by the time of day: in autumn an hour comes twice.
            Self::Hourly => {
                let past = i64::from(now.minute()) * 60 + i64::from(now.second());
                return now.timestamp().checked_sub(past.seconds()).unwrap_or(now.timestamp());
            }
            Self::Daily => day,
            Self::Weekly => {
                let days = now.weekday().to_monday_zero_offset();
                now.checked_sub(i64::from(days).days()).and_then(|then| then.start_of_day())
            }
            Self::Monthly => now.first_of_month().and_then(|first| first.start_of_day()),
        };
        began.map_or(now.timestamp(), |began| began.timestamp())
    }
}

/// What `log_rotate` says of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub every: Option<Every>,
    /// In bytes.
    pub size: Option<u64>,
    /// How many turned logs are kept.
    pub keep: usize,
    pub compress: bool,
    /// The newest stays plain.
    pub delay_compress: bool,
    /// Of the new log; the old one's if None.
    pub mode: Option<u32>,
    pub owner: Option<(u32, u32)>,
    /// Run with the turned log's path.
    pub command: Option<PathBuf>,
}

impl Policy {
    /// Whether a log of `len` bytes that began `since` is to be turned.
    pub fn is_due(&self, len: u64, since: Timestamp, now: &Zoned) -> bool {
        let is_large = self.size.is_some_and(|size| len >= size);
        let is_old = self.every.is_some_and(|every| since < every.began(now));
        len > 0 && (is_large || is_old)
    }
}

/// Which log is turned, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Those that have none of their own.
    pub usual: Option<Policy>,
    /// By path; None: it is not turned.
    pub own: BTreeMap<PathBuf, Option<Policy>>,
}

impl Rules {
    pub fn of(&self, path: &Path) -> Option<&Policy> {
        match self.own.get(path) {
            Some(own) => own.as_ref(),
            None => self.usual.as_ref(),
        }
    }

    /// Whether no log is turned at all.
    pub fn turn_none(&self) -> bool {
        self.usual.is_none() && self.own.values().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_begins_by_the_clock_on_the_wall() {
        let now = "2026-11-21T18:22:18+01:00[Europe/Paris]";
        for (every, want) in [
            (Every::Hourly, "2026-11-21T18:00:00+01:00[Europe/Paris]"),
            (Every::Daily, "2026-11-21T00:00:00+01:00[Europe/Paris]"),
            (Every::Weekly, "2026-11-16T00:00:00+01:00[Europe/Paris]"),
            (Every::Monthly, "2026-11-01T00:00:00+01:00[Europe/Paris]"),
        ] {
            assert_eq!(every.began(&at(now)), at(want).timestamp(), "{every:?}");
        }
        // The second of the two hours from 2 to 3 of that day is one of its own.
        let autumn = at("2026-10-25T02:30:00+01:00[Europe/Paris]");
        let want = at("2026-10-25T02:00:00+01:00[Europe/Paris]");
        assert_eq!(Every::Hourly.began(&autumn), want.timestamp());
    }

    #[test]
    fn a_log_is_due_by_age_or_by_size_and_never_when_it_is_empty() {
        let now = at("2026-11-21T00:00:01+00:00[UTC]");
        let (old, young) = (now.timestamp() - 2.seconds(), now.timestamp());
        let policy = |every, size| Policy { every, size, ..policy() };
        let (daily, large) = (policy(Some(Every::Daily), None), policy(None, Some(100)));
        let both = policy(Some(Every::Daily), Some(100));
        for (policy, len, since, want) in [
            (&daily, 1, old, true),
            (&daily, 0, old, false),
            (&daily, 1000, young, false),
            (&large, 99, old, false),
            (&large, 100, young, true),
            (&both, 1, old, true),
            (&both, 100, young, true),
            (&both, 99, young, false),
        ] {
            assert_eq!(policy.is_due(len, since, &now), want, "{policy:?} {len} {since}");
        }
    }

    fn policy() -> Policy {
        Policy {
            every: None,
            size: None,
            keep: 3,
            compress: false,
            delay_compress: false,
            mode: None,
            owner: None,
            command: None,
        }
    }

    #[test]
    fn a_log_with_a_rule_of_its_own_has_no_other() {
        let (usual, own) = (policy(), Policy { keep: 9, ..policy() });
        let rules = Rules {
            usual: Some(usual.clone()),
            own: [("/a".into(), Some(own.clone())), ("/b".into(), None)].into(),
        };
        assert_eq!(rules.of(Path::new("/a")), Some(&own));
        assert_eq!(rules.of(Path::new("/b")), None);
        assert_eq!(rules.of(Path::new("/c")), Some(&usual));
    }
}
