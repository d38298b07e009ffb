//! `figures`: what `gatepost top` makes rates of.

use std::time::SystemTime;

use super::{Running, status};
use crate::admin::api::{
    CacheFigures, Figures, Problem, ProtocolFigures, ThrottleFigures, UpstreamFigures, UserFigures,
};

/// How many users are shown.
const USERS: usize = 50;

impl Running {
    pub(super) async fn tell_figures(&self) -> Result<Figures, Problem> {
        let (serving, fleet) = (self.serving(), &self.kept.fleet);
        let (carried, servers) = (fleet.presence.carried(USERS), fleet.servers.status());
        let protocols = self.kept.metrics.traffic().into_iter().map(|one| {
            let (up, down) = carried.protocols.get(one.protocol).copied().unwrap_or_default();
            ProtocolFigures {
                protocol: one.protocol.to_owned(),
                waiting: one.waiting,
                relaying: one.relaying,
                logins: one.logins,
                refused: one.refused,
                received: one.received.saturating_add(up),
                sent: one.sent.saturating_add(down),
            }
        });
        let protocols = protocols.collect();
        let upstreams = status::upstream_parts(&serving, &servers).into_iter().map(|part| {
            let own = servers.iter().filter(|server| server.upstream == part.name);
            let (sessions, failures) = own.fold((0, 0), |(sessions, failures), server| {
                (sessions + server.sessions as u64, failures + server.failures)
            });
            let seen = carried.upstreams.get(&*part.name).copied().unwrap_or_default();
            UpstreamFigures {
                name: part.name,
                state: part.state,
                usable: part.usable,
                servers: part.servers,
                sessions,
                logins: seen.logins,
                failures,
                received: seen.received,
                sent: seen.sent,
            }
        });
        let upstreams = upstreams.collect();
        let throttle = self.kept.ledger.sums();
        let users = carried.users.iter().map(|one| UserFigures {
            user: one.user.to_string(),
            sessions: one.sessions,
            received: one.received,
            sent: one.sent,
        });
        Ok(Figures {
            at: SystemTime::now().into(),
            uptime_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols,
            upstreams,
            cache: self.cache_figures().await,
            throttle: ThrottleFigures {
                allowed: throttle.allowed,
                delayed: throttle.delayed,
                denied: throttle.denied,
            },
            users: users.collect(),
        })
    }

    async fn cache_figures(&self) -> CacheFigures {
        let fleet = &self.kept.fleet;
        let servers = fleet.cache.servers().await;
        let part = status::cache_part(&servers, fleet.cache.is_on());
        let weight = fleet.routes.weight();
        let mut figures = CacheFigures {
            state: part.state,
            usable: part.usable,
            servers: part.servers,
            entries: weight.entries,
            bytes: weight.bytes,
            process_hits: 0,
            shared_hits: 0,
            misses: 0,
            errors: servers.iter().map(|server| server.requests.failed).sum(),
        };
        for asked in fleet.routes.asked() {
            // What the process does not have may be in the shared cache: only its misses are one.
            let is_last = asked.tier == "shared" || !fleet.cache.is_on();
            match asked.tier {
                "process" => figures.process_hits += asked.hits + asked.stale,
                _ => figures.shared_hits += asked.hits + asked.stale,
            }
            figures.misses += if is_last { asked.misses + asked.refused } else { 0 };
        }
        figures
    }
}
