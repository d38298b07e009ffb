//! `sticky`, in an `upstream`.

use std::time::Duration;

use crate::config::{Block, Directive, Secret, Takes, UPSTREAM};

pub const DIRECTIVES: &[Directive] = &[Directive {
    name: "sticky",
    within: &[UPSTREAM],
    takes: Takes::Args(1, 2),
    repeats: false,
    default: "off",
    secret: Secret::None,
    doc: "`on [lease=TIME]` or `off`. With `on`, a user whose sessions are at one server of this \
          upstream gets there with every new session, on whichever gatepost of the fleet it arrives. \
          A user without a session begins at the server that a hash of the name chooses (rendezvous \
          hashing by the servers' names and weights, the same on every gatepost). The place is kept \
          as a lease in the cache of `memcached { }` for `lease`, 10 s to 1 day, by default 2 min: \
          each gatepost renews it at a third of that while it has a session of the user, and after \
          the last session it runs out. A server that is down, or drained and without a session of \
          the user here, loses the user to another; sessions that are then not at the server of the \
          lease are ended, with the protocol's goodbye, within a third of the lease. While the cache \
          does not answer, the sessions that this gatepost has decide, then the hash. See \
          docs/sticky.md.",
}];

/// The shortest lease: it is renewed at a third of it.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `sticky on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub lease: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lease: Duration::from_secs(120) }
    }
}

impl Settings {
    /// Reads an `upstream` block; none where it is not sticky.
    pub fn read(block: &Block) -> Option<Self> {
        let at = block.statement("sticky")?;
        let is_on = block.flag_of(at, 0)?;
        let mut settings = Self::default();
        if let Some(word) = at.arg(1) {
            let time = word.strip_prefix("lease=").map(crate::config::value::read_time);
            match time {
                Some(Ok(lease)) if (SHORTEST..=LONGEST).contains(&lease) => settings.lease = lease,
                Some(Ok(_)) => block.fault(at, "the lease of \"sticky\" must be from 10s to 1d"),
                Some(Err(_)) | None => block.fault(at, format!("invalid parameter \"{word}\"")),
            }
        }
        is_on.then_some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directive_is_read_and_its_default_is_true() {
        let seconds = |n| Some(Settings { lease: Duration::from_secs(n) });
        for (conf, want, faults) in [
            ("", None, &[][..]),
            (DIRECTIVES[0].default, None, &[]),
            ("on", seconds(120), &[]),
            ("on lease=30s", seconds(30), &[]),
            ("off lease=30s", None, &[]),
            (
                "on lease=9s",
                seconds(120),
                &["the lease of \"sticky\" must be from 10s to 1d in test:1"],
            ),
            (
                "on lease=25h",
                seconds(120),
                &["the lease of \"sticky\" must be from 10s to 1d in test:1"],
            ),
            ("on leese=9s", seconds(120), &["invalid parameter \"leese=9s\" in test:1"]),
            ("on lease=x", seconds(120), &["invalid parameter \"lease=x\" in test:1"]),
            (
                "yes",
                None,
                &[
                    "invalid value \"yes\" in \"sticky\" directive, it must be \"on\" or \"off\" in test:1",
                ],
            ),
        ] {
            let block = match conf {
                "" => Block::of(&[]),
                conf => Block::of(&[("sticky", conf)]),
            };
            assert_eq!(Settings::read(&block), want, "{conf}");
            assert_eq!(block.faults(), faults, "{conf}");
            assert_eq!(block.names_read(), ["sticky"]);
        }
    }
}
