//! Domains whose users could not be let in a moment ago, for want of a server.
//!
//! Whoever is known there hears "try later"; a name that nobody knows must not hear "no" meanwhile, or
//! it would be told apart from those that exist. What is said, and how long that took, is remembered
//! of each domain, until a server of it has ruled on anybody again. Pure: time is an argument.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// How long it is remembered without another login that fails so.
const KEPT: Duration = Duration::from_secs(60);
/// Only domains that a source leads somewhere are entered: there are not so many.
const MOST: usize = 10_000;

/// The users of a domain, by one protocol: its servers may be down, and another's not.
#[derive(Clone, Copy, Debug)]
pub struct Clientele<'a> {
    pub protocol: &'static str,
    /// None: names without one.
    pub domain: Option<&'a str>,
}

impl fmt::Display for Clientele<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.domain.unwrap_or_default())
    }
}

/// What happened to the last login of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The group none of whose servers would do; none where a lookup has given addresses.
    pub upstream: Option<Box<str>>,
    /// How long it took to find out.
    pub took: Duration,
    at: Instant,
}

#[derive(Debug, Default)]
pub struct Outages(HashMap<Box<str>, Outage>);

impl Outages {
    /// Nobody could be reached for a user of `domain`, who is known.
    pub fn enter(&mut self, domain: &str, upstream: Option<&str>, took: Duration, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(domain) {
            self.0.retain(|_, outage| now.duration_since(outage.at) < KEPT);
            if self.0.len() >= MOST {
                return;
            }
        }
        let upstream = upstream.map(Into::into);
        self.0.insert(domain.into(), Outage { upstream, took, at: now });
    }

    /// A server has ruled on a user of `domain`.
    pub fn over(&mut self, domain: &str) {
        self.0.remove(domain);
    }

    /// `goes_on`: whether the group is still without a server.
    pub fn of(&self, domain: &str, goes_on: impl Fn(&str) -> bool, now: Instant) -> Option<Outage> {
        let found = self.0.get(domain)?;
        let is_fresh = now.duration_since(found.at) < KEPT;
        (is_fresh || found.upstream.as_deref().is_some_and(goes_on)).then(|| found.clone())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_outage_is_believed_until_a_server_rules_or_nobody_has_met_it_for_a_minute() {
        let (now, mut outages) = (Instant::now(), Outages::default());
        assert!(outages.of("a.test", |_| true, now).is_none());
        outages.enter("a.test", Some("stores"), SECOND, now);
        let of = |outages: &Outages, goes_on: bool, after: u32| {
            outages.of("a.test", |_| goes_on, now + SECOND * after).map(|outage| outage.took)
        };
        assert_eq!(of(&outages, false, 59), Some(SECOND));
        assert_eq!(of(&outages, false, 60), None);
        assert_eq!(
            of(&outages, true, 9999),
            Some(SECOND),
            "the upstream is still without a server"
        );
        assert!(outages.of("b.test", |_| true, now).is_none());
        outages.over("a.test");
        assert!(of(&outages, true, 0).is_none() && outages.is_empty());
    }

    #[test]
    fn no_more_domains_are_kept_than_there_may_be() {
        let (now, mut outages) = (Instant::now(), Outages::default());
        for number in 0..2 * MOST {
            outages.enter(&format!("{number}.test"), None, SECOND, now);
        }
        assert_eq!(outages.0.len(), MOST);
        outages.enter("late.test", None, SECOND, now + KEPT);
        assert!(outages.of("late.test", |_| false, now + KEPT).is_some());
    }
}
