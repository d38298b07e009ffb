//! Who is not on duty, as the fleet knows it: for each server the newest order, and when that was. Pure.
//!
//! Any two sheets make one, the same whichever comes first: the newer order of each server counts, and
//! of two from one second the stricter. So a node that was away, or a cache that was lost, needs no
//! care: whoever knows more tells it. *Undrain* is an order like the others, and is remembered for 30
//! days, so that a drain which somebody still has does not come back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::servers::Duty;
use crate::route::state::clock::Seconds;

/// How long it is remembered that a server is on duty again.
const REMEMBERED: Seconds = 30 * 86_400;

/// What a cache takes in one value is 64 KiB.
const MOST_BYTES: usize = 60_000;

/// More than any name has.
const LONGEST_NAME: usize = 256;

/// No clock says so, and there is room above.
const LATEST: Seconds = i64::MAX as Seconds;

/// An order, and when it was given. A later one counts for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ordered {
    pub stamp: Seconds,
    pub duty: Duty,
}

/// What became of an order that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It counts from now on.
    New,
    /// It did before.
    Known,
    /// There is a newer one.
    Past,
}

/// By upstream and server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet(BTreeMap<(String, String), Ordered>);

/// As it is written; an earlier version wrote no stamps.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Stamped(String, String, Duty, Seconds),
    Plain(String, String, Duty),
}

impl Serialize for Sheet {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|((upstream, server), one)| {
            Written::Stamped(upstream.clone(), server.clone(), one.duty, one.stamp)
        }))
    }
}

impl<'de> Deserialize<'de> for Sheet {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let one = |written| match written {
            Written::Stamped(upstream, server, duty, stamp) => {
                ((upstream, server), Ordered { stamp, duty })
            }
            Written::Plain(upstream, server, duty) => {
                ((upstream, server), Ordered { stamp: 0, duty })
            }
        };
        // It may have been written by anybody.
        let is_name = |text: &str| {
            (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        let is_sound = |((upstream, server), one): &((String, String), Ordered)| {
            is_name(upstream) && is_name(server) && one.stamp <= LATEST
        };
        let written = Vec::<Written>::deserialize(from)?;
        Ok(Self(written.into_iter().map(one).filter(is_sound).collect()))
    }
}

impl Sheet {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a sheet is plain data")
    }

    /// Those of an upstream that are not on duty.
    pub fn of(&self, upstream: &str) -> BTreeMap<String, Duty> {
        let own = self.off_duty().filter(|(name, ..)| *name == upstream);
        own.map(|(_, server, duty)| (server.to_owned(), duty)).collect()
    }

    /// Upstream, server, and what it is instead.
    pub fn off_duty(&self) -> impl Iterator<Item = (&str, &str, Duty)> {
        let all = self.0.iter().filter(|(_, one)| one.duty != Duty::Active);
        all.map(|((upstream, server), one)| (upstream.as_str(), server.as_str(), one.duty))
    }

    pub fn duty(&self, upstream: &str, server: &str) -> Duty {
        let known = self.0.get(&(upstream.to_owned(), server.to_owned()));
        known.map_or(Duty::Active, |one| one.duty)
    }

    /// An order of now, newer than all that is known.
    pub fn order(&mut self, upstream: &str, server: &str, duty: Duty, now: Seconds) -> Ordered {
        let key = (upstream.to_owned(), server.to_owned());
        let after = self.0.get(&key).map_or(0, |known| known.stamp + 1);
        let one = Ordered { stamp: now.max(after).min(LATEST), duty };
        self.0.insert(key, one);
        self.forget(now);
        one
    }

    /// An order that was given somewhere.
    pub fn take(&mut self, upstream: &str, server: &str, one: Ordered) -> Taken {
        let key = (upstream.to_owned(), server.to_owned());
        let known = self.0.get(&key).copied();
        match known.map(|known| one.cmp(&known)) {
            Some(std::cmp::Ordering::Equal) => Taken::Known,
            Some(std::cmp::Ordering::Less) => Taken::Past,
            Some(std::cmp::Ordering::Greater) | None => {
                let one = Ordered { stamp: one.stamp.min(LATEST), ..one };
                self.0.insert(key, one);
                Taken::New
            }
        }
    }

    /// Takes what `other` knows better; gives what has another duty now.
    pub fn merge(&mut self, other: &Self, now: Seconds) -> Vec<(String, String, Duty)> {
        let mut changed = Vec::new();
        for ((upstream, server), one) in &other.0 {
            let was = self.duty(upstream, server);
            if self.take(upstream, server, *one) == Taken::New && was != one.duty {
                changed.push((upstream.clone(), server.clone(), one.duty));
            }
        }
        self.forget(now);
        changed
    }

    /// Forgets who has been on duty again for long, and more of them where there is no room.
    fn forget(&mut self, now: Seconds) {
        let is_kept =
            |one: &Ordered| one.duty != Duty::Active || one.stamp.saturating_add(REMEMBERED) > now;
        self.0.retain(|_, one| is_kept(one));
        let weigh = |(upstream, server): &(String, String)| {
            // A quote takes two bytes.
            2 * (upstream.len() + server.len()) + 48
        };
        let mut bytes: usize = self.0.keys().map(weigh).sum();
        while bytes > MOST_BYTES {
            let active = self.0.iter().filter(|(_, one)| one.duty == Duty::Active);
            let Some(oldest) = active.min_by_key(|(_, one)| one.stamp) else { return };
            let key = oldest.0.clone();
            bytes -= weigh(&key);
            self.0.remove(&key);
        }
    }
}

/// What must hold for any sheet that the cache or a file may have.
pub fn hold_for_any(input: &[u8]) {
    let Some(sheet) = Sheet::read(input) else { return };
    assert_eq!(Sheet::read(&sheet.to_bytes()), Some(sheet.clone()));
    // A larger one loses some of it.
    if sheet.to_bytes().len() > MOST_BYTES / 4 {
        return;
    }
    let mut own = Sheet::default();
    own.merge(&sheet, 0);
    assert_eq!(own, sheet);
    assert!(own.merge(&sheet, 0).is_empty());
    for ((upstream, server), one) in &sheet.0 {
        let again = own.order(upstream, server, Duty::Active, 0);
        assert!(again > *one || again.stamp == LATEST);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Seconds = 1_800_000_000;

    fn sheet(rows: &[(&str, Duty, Seconds)]) -> Sheet {
        let row = |(server, duty, stamp): &(&str, Duty, Seconds)| {
            let key = ("stores".to_owned(), (*server).to_owned());
            (key, Ordered { stamp: *stamp, duty: *duty })
        };
        Sheet(rows.iter().map(row).collect())
    }

    #[test]
    fn what_is_written_is_read_and_what_an_earlier_version_wrote_too() {
        let own = sheet(&[("a", Duty::Drained, 5), ("b", Duty::Active, 6)]);
        assert_eq!(Sheet::read(&own.to_bytes()), Some(own));
        for (text, want) in [
            (r#"[["stores","a","removed"]]"#, Some(sheet(&[("a", Duty::Removed, 0)]))),
            (r#"[["stores","","removed",1],["stores","a\n","removed",1]]"#, Some(sheet(&[]))),
            (r#"[["stores","a","drained",18446744073709551615]]"#, Some(sheet(&[]))),
            (r#"[["stores","a","dancing",1]]"#, None),
            ("{}", None),
        ] {
            assert_eq!(Sheet::read(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn the_newer_order_counts_and_an_old_drain_does_not_come_back() {
        let mut own = Sheet::default();
        own.order("stores", "a", Duty::Drained, NOW);
        let away = own.clone();
        // Within the same second, and by a clock that is behind.
        own.order("stores", "a", Duty::Active, NOW);
        assert_eq!(own.duty("stores", "a"), Duty::Active);
        assert!(own.merge(&away, NOW).is_empty());
        let mut other = away.clone();
        let changed = other.merge(&own, NOW);
        assert_eq!(changed, [("stores".to_owned(), "a".to_owned(), Duty::Active)]);
        assert_eq!(own, other);
        assert_eq!(own.off_duty().count(), 0);
        let old = Ordered { stamp: NOW, duty: Duty::Drained };
        assert_eq!(own.take("stores", "a", old), Taken::Past);
        // After a month nobody is remembered who is on duty.
        own.merge(&Sheet::default(), NOW + REMEMBERED + 2);
        assert_eq!(own, Sheet::default());
    }

    #[test]
    fn who_is_on_duty_again_gives_way_to_who_is_not() {
        let mut own = Sheet::default();
        for n in 0..2000_u64 {
            let duty = if n % 10 == 0 { Duty::Drained } else { Duty::Active };
            own.order("stores", &format!("server{n}.example.com"), duty, NOW + n);
        }
        assert!(own.to_bytes().len() <= MOST_BYTES);
        assert_eq!(own.off_duty().count(), 200);
    }

    fn any_sheet() -> impl Strategy<Value = Sheet> {
        let duty = prop_oneof![Just(Duty::Active), Just(Duty::Drained), Just(Duty::Removed)];
        prop::collection::btree_map("[ab]", (duty, 0..4_u64), 0..3).prop_map(|rows| {
            let rows: Vec<_> = rows.into_iter().collect();
            let rows: Vec<_> = rows.iter().map(|(name, (d, s))| (name.as_str(), *d, *s)).collect();
            sheet(&rows)
        })
    }

    proptest! {
        #[test]
        fn sheets_make_the_same_in_any_order(one in any_sheet(), two in any_sheet(), three in any_sheet()) {
            let all = |order: [&Sheet; 3]| {
                let mut own = Sheet::default();
                for sheet in order {
                    own.merge(sheet, 0);
                }
                own
            };
            prop_assert_eq!(all([&one, &two, &three]), all([&three, &one, &two]));
            prop_assert_eq!(all([&one, &two, &three]), all([&two, &three, &three]).merged(&one));
        }

        #[test]
        fn it_holds_for_any(input in prop::collection::vec(any::<u8>(), 0..80), sheet in any_sheet()) {
            hold_for_any(&input);
            hold_for_any(&sheet.to_bytes());
        }
    }

    impl Sheet {
        fn merged(mut self, other: &Self) -> Self {
            self.merge(other, 0);
            self
        }
    }
}
