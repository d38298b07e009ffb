//! `sessions` and `users`.

use super::{Running, Told, times};
use crate::admin::api::{
    Kicked, Lease, MOST_ROWS, MoveAsk, Moved, Place, Problem, ROWS, Route, Session, Sessions,
    SessionsAsk, UserAsk, Whereabouts,
};
use crate::config::value::cidr;
use crate::route::Purge;
use crate::route::presence::{Filter, Seen, canonical};

/// More sessions of one user are not shown.
const MOST: usize = 1000;

impl Running {
    pub(super) async fn list_sessions(&self, ask: SessionsAsk) -> Result<Sessions, Problem> {
        let name = |text: Option<String>| text.map(|text| canonical(text.as_bytes()));
        let client = match &ask.client {
            None => None,
            Some(text) => Some(cidr(text).ok_or_else(|| {
                Problem::bad(format!("\"{text}\" is neither an address nor a network"))
            })?),
        };
        let filter = Filter {
            user: name(ask.user),
            domain: name(ask.domain),
            client,
            protocol: ask.protocol,
            upstream: ask.upstream,
            server: ask.server,
        };
        let limit = usize::try_from(ask.limit.unwrap_or(ROWS).min(MOST_ROWS)).unwrap_or(MOST);
        let presence = &self.kept.fleet.presence;
        let (mut found, total) = presence.select(&filter, ask.after.unwrap_or(0), limit + 1);
        if let Some(name) = filter.upstream.as_ref().filter(|_| total == 0) {
            // One that an earlier configuration had may have sessions still.
            self.check_upstream(name)?;
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|last| last.id);
        Ok(Sessions { sessions: found.into_iter().map(shown).collect(), total, next })
    }

    pub(super) async fn find_user(&self, ask: UserAsk) -> Result<Whereabouts, Problem> {
        let fleet = &self.kept.fleet;
        let found = fleet.sticky.where_is(&ask.user).await;
        let known = fleet.routes.known(&found.user).await;
        // The lease that sessions here hold is told before another's.
        let is_lived = |upstream: &str| found.sessions.iter().any(|one| *one.upstream == *upstream);
        let mut leases: Vec<_> = found.leases.iter().filter(|one| one.server.is_some()).collect();
        leases.sort_by_key(|one| !is_lived(&one.upstream));
        let lease = leases.first().and_then(|one| {
            Some(Lease {
                upstream: one.upstream.to_string(),
                server: one.server.clone()?,
                expires_s: one.lease.as_secs(),
            })
        });
        let route = known.map(|known| {
            let at = |name: &str| leases.iter().find(|one| *one.upstream == *name);
            let server = match &known.group {
                Some(name) => at(name).and_then(|one| one.server.clone()),
                None => Some(known.servers.join(", ")),
            };
            Route {
                upstream: known.group,
                // Which one is for the balance to say.
                server: server.unwrap_or_else(|| "any".to_owned()),
                origin: if known.is_here { "process" } else { "shared" }.to_owned(),
                age_s: known.age_s,
            }
        });
        // The route says which upstream it will be; without one it may be any.
        let group = route.as_ref().map(|route| route.upstream.clone());
        let is_meant =
            |name: &str| group.as_ref().is_none_or(|group| group.as_deref() == Some(name));
        let free =
            found.leases.iter().filter(|one| one.server.is_none() && is_meant(&one.upstream));
        let hash = free.filter_map(|one| {
            let server = one.first.as_ref()?.to_string();
            Some(Place { upstream: one.upstream.to_string(), server })
        });
        let mut hash: Vec<_> = hash.collect();
        hash.sort_by(|one, other| one.upstream.cmp(&other.upstream));
        let sessions = found.sessions.into_iter().take(MOST).map(shown).collect();
        Ok(Whereabouts { user: found.user, route, lease, hash, sessions })
    }

    pub(super) async fn kick_user(&self, ask: UserAsk) -> Result<Kicked, Problem> {
        let (fleet, user) = (&self.kept.fleet, canonical(ask.user.as_bytes()));
        let sessions = fleet.presence.kick(&user) as u64;
        let told = Told::of(fleet.sticky.kick_user(&user).await);
        Ok(Kicked { user, sessions, told_fleet: told.fleet, problems: told.problems })
    }

    /// The route first: who comes back at once shall not find it.
    pub(super) async fn move_user(&self, ask: MoveAsk) -> Result<Moved, Problem> {
        let (fleet, user) = (&self.kept.fleet, canonical(ask.user.as_bytes()));
        if let Some(to) = &ask.to {
            self.check_way(to)?;
        }
        let found = fleet.sticky.where_is(&user).await;
        let from = found.sessions.iter().rev().find(|one| !one.is_kicked);
        let from = from.map(|one| one.server.to_string());
        let from = from.or_else(|| found.leases.iter().find_map(|one| one.server.clone()));
        let sessions = found.sessions.iter().filter(|one| !one.is_kicked).count() as u64;
        let purged = fleet.routes.purge(&Purge::user(&user)).await;
        let moved = fleet.sticky.move_user(&user, ask.to.as_deref()).await;
        let moved = moved.map_err(|unknown| Problem::unknown(unknown.to_string()))?;
        // The order that the fleet hears is obeyed here by and by: the answer is not to come before.
        fleet.presence.kick(&user);
        let told = Told::of(moved.fleet);
        let lease = moved.cache.filter(|error| *error != crate::memcached::Error::Off);
        let mut problems: Vec<_> = lease
            .map(|error| format!("the cache did not take it, only this gatepost knows: {error}"))
            .into_iter()
            .collect();
        for error in &purged.errors {
            let words = format!("a kept route may not be forgotten: {error}");
            if *error != crate::memcached::Error::Off && !problems.contains(&words) {
                problems.push(words);
            }
        }
        problems.extend(told.problems);
        Ok(Moved { user, from, to: ask.to, sessions, told_fleet: told.fleet, problems })
    }

    /// Whether a user can be sent to `server` at all: some sticky upstream must have it.
    fn check_way(&self, server: &str) -> Result<(), Problem> {
        let fleet = &self.kept.fleet;
        let all = fleet.servers.status();
        let mut having = all.iter().filter(|one| one.server == server).peekable();
        if having.peek().is_none() {
            let words = format!("no upstream has a server \"{server}\"");
            return Err(Problem::unknown(words).hint("gatepost upstream list"));
        }
        match having.any(|one| fleet.sticky.is_on(&one.upstream)) {
            true => Ok(()),
            false => Err(Problem::conflict(format!(
                "no upstream with \"{server}\" is sticky: the next login goes where its route leads"
            ))
            .hint("set \"sticky on\" in the upstream, or change the route")),
        }
    }
}

fn shown(seen: Seen) -> Session {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Session {
        number: seen.id,
        protocol: seen.protocol.to_owned(),
        user: some(&seen.user),
        client: seen.client,
        tls: seen.tls.map(str::to_owned),
        upstream: some(&seen.upstream),
        server: some(&seen.server),
        since: times::of(seen.since),
        received: seen.received,
        sent: seen.sent,
    }
}
