//! `status`: what is not as it should be, from what all rooms know.

use std::time::{SystemTime, UNIX_EPOCH};

use super::serving::Serving;
use super::{Running, maintenance, times};
use crate::admin::api::{Health, Locked, Part, Problem, ProtocolSessions, Status};
use crate::memcached;
use crate::route::handler::edge::shown;
use crate::route::handler::state::{self, Standing};
use crate::route::health::servers::{Duty, ServerStatus};
use crate::route::lock::Kind;

/// A certificate that ends within so many days is a problem, as in the shipped alert rules.
const DAYS: i64 = 14;
const DAY: i64 = 86_400;

/// What `auth_http` is called among lookups.
pub const ANONYMOUS: &str = "auth_http";

impl Running {
    pub(super) async fn tell_status(&self) -> Result<Status, Problem> {
        let (serving, fleet) = (self.serving(), &self.kept.fleet);
        let traffic = self.kept.metrics.traffic().into_iter();
        let sessions = traffic.map(|one| ProtocolSessions {
            protocol: one.protocol.to_owned(),
            waiting: one.waiting,
            relaying: one.relaying,
        });
        let handlers = fleet.handlers.status();
        let cache = cache_part(&fleet.cache.servers().await, fleet.cache.is_on());
        Ok(Status {
            // Judged by who asks.
            state: Health::Ok,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started.into(),
            uptime_s: self.since.elapsed().as_secs(),
            generation: serving.number,
            sessions: sessions.collect(),
            upstreams: upstream_parts(&serving, &fleet.servers.status()),
            lookups: lookup_parts(&handlers),
            caches: vec![cache],
            locks: self.locks(&handlers),
            maintenance: maintenance::shown(&fleet.maintenance.status()),
            levels: super::logs::levels_set(),
            problems: self.problems(&serving),
        })
    }

    /// Servers that are locked, and handlers that are set aside.
    fn locks(&self, handlers: &[state::Status]) -> Vec<Locked> {
        let locks = &self.kept.fleet.locks;
        let servers = locks.status().into_iter().map(|lock| Locked {
            kind: lock.kind.name().to_owned(),
            since: times::of(lock.since),
            next_probe: locks.next_test(lock.kind, &lock.name).map(times::at),
            name: lock.name,
            cause: lock.cause,
        });
        let aside = handlers.iter().filter_map(|handler| match &handler.standing {
            Standing::Aside { since, cause } => Some(Locked {
                kind: Kind::Lookup.name().to_owned(),
                name: shown(&handler.url).to_owned(),
                since: (*since).into(),
                cause: cause.clone(),
                next_probe: handler.retry.map(times::at),
            }),
            Standing::Healthy | Standing::Disabled => None,
        });
        servers.chain(aside).collect()
    }

    fn problems(&self, serving: &Serving) -> Vec<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let expiries = serving.identities.iter().flat_map(|identity| identity.expiry());
        let expiries = expiries.map(|one| (one.certificate.display().to_string(), one.not_after));
        let mut problems = expiring(expiries, i64::try_from(now).unwrap_or(i64::MAX));
        problems.extend(self.kept.watch.problems(SystemTime::now()));
        let reload = self.reload.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(why) = &*reload {
            problems
                .push(format!("the last reload failed, the old configuration serves on: {why}"));
        }
        problems
    }
}

/// A sentence for each certificate that has ended or soon will.
fn expiring(all: impl Iterator<Item = (String, i64)>, now: i64) -> Vec<String> {
    let mut problems: Vec<String> = Vec::new();
    for (name, end) in all {
        let left = end.saturating_sub(now);
        let words = match left {
            ..=0 => format!("certificate \"{name}\" has ended"),
            _ if left >= DAYS * DAY => continue,
            _ => match left / DAY {
                0 => format!("certificate \"{name}\" ends within a day"),
                1 => format!("certificate \"{name}\" ends in 1 day"),
                days => format!("certificate \"{name}\" ends in {days} days"),
            },
        };
        // Several servers may share it.
        if !problems.contains(&words) {
            problems.push(words);
        }
    }
    problems
}

/// How each upstream is, in the order of their names.
pub fn upstream_parts(serving: &Serving, servers: &[ServerStatus]) -> Vec<Part> {
    let of = |name: &str| {
        part(
            name,
            servers.iter().filter(|server| server.upstream == name).map(|server| {
                let is_meant_to = !server.is_down && server.duty == Duty::Active;
                (server.is_up, is_meant_to)
            }),
        )
    };
    serving.groups.iter().map(|group| of(&group.name)).collect()
}

/// How each lookup is.
pub fn lookup_parts(handlers: &[state::Status]) -> Vec<Part> {
    let mut names: Vec<&str> = handlers.iter().map(|handler| &*handler.lookup).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &&str| {
        let own = handlers.iter().filter(|handler| handler.lookup == **name);
        let title = if name.is_empty() { ANONYMOUS } else { name };
        part(
            title,
            own.map(|handler| {
                let is_meant_to = handler.standing != Standing::Disabled;
                (handler.standing == Standing::Healthy, is_meant_to)
            }),
        )
    };
    names.iter().map(of).collect()
}

/// How the shared cache is.
pub fn cache_part(servers: &[memcached::Status], is_on: bool) -> Part {
    match is_on {
        true => part("memcached", servers.iter().map(|server| (server.is_up, true))),
        false => Part { state: Health::Off, ..Part::of("memcached", 0, 0) },
    }
}

/// Of members that are up or not, and are meant to be or not. Who was taken out by hand, or by the
/// configuration, is missed only when nobody else is left.
fn part(name: &str, members: impl Iterator<Item = (bool, bool)>) -> Part {
    let (mut usable, mut servers, mut missed) = (0, 0, false);
    for (is_up, is_meant_to) in members {
        servers += 1;
        usable += u64::from(is_up);
        missed |= is_meant_to && !is_up;
    }
    let state = match (usable, missed) {
        (0, _) => Health::Down,
        (_, true) => Health::Degraded,
        (_, false) => Health::Ok,
    };
    Part { name: name.to_owned(), state, usable, servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_taken_out_is_missed_only_when_nobody_is_left() {
        let (up, failed, drained) = ((true, true), (false, true), (false, false));
        for (members, want) in [
            (&[up, up][..], (Health::Ok, 2, 2)),
            (&[up, failed], (Health::Degraded, 1, 2)),
            (&[up, drained], (Health::Ok, 1, 2)),
            (&[failed, failed], (Health::Down, 0, 2)),
            (&[drained], (Health::Down, 0, 1)),
            (&[], (Health::Down, 0, 0)),
        ] {
            let part = part("a", members.iter().copied());
            assert_eq!((part.state, part.usable, part.servers), want, "{members:?}");
        }
    }

    #[test]
    fn a_certificate_that_soon_ends_is_told_once() {
        let at = |days: i64, seconds: i64| 1_000_000 + days * DAY + seconds;
        let all = [
            ("a", at(14, 0)),
            ("b", at(13, 9)),
            ("b", at(13, 9)),
            ("c", at(1, 1)),
            ("d", at(0, 9)),
            ("e", at(0, 0)),
            ("f", i64::MIN),
        ];
        let all = all.into_iter().map(|(name, end)| (name.to_owned(), end));
        assert_eq!(
            expiring(all, 1_000_000),
            [
                "certificate \"b\" ends in 13 days",
                "certificate \"c\" ends in 1 day",
                "certificate \"d\" ends within a day",
                "certificate \"e\" has ended",
                "certificate \"f\" has ended",
            ]
        );
    }
}
