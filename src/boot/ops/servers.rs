//! `upstreams`: their servers, and taking one out.

use super::serving::Serving;
use super::{Running, Told, status, times};
use crate::admin::api::{
    Changed, Health, Problem, Server, ServerState, ServersAsk, Upstream, Upstreams,
};
use crate::route::health::servers::{Duty, ServerStatus};
use crate::route::lock::{Kind, Lock};

impl Running {
    pub(super) async fn list_upstreams(&self) -> Result<Upstreams, Problem> {
        let (serving, fleet) = (self.serving(), &self.kept.fleet);
        let (servers, locks) = (fleet.servers.status(), fleet.locks.status());
        let parts = status::upstream_parts(&serving, &servers);
        let upstreams = serving.groups.iter().map(|group| {
            let own = servers.iter().filter(|server| server.upstream == group.name);
            let state = parts.iter().find(|part| part.name == group.name);
            Upstream {
                name: group.name.clone(),
                state: state.map_or(Health::Ok, |part| part.state),
                balance: group.balance(),
                sticky: fleet.sticky.is_on(&group.name),
                servers: own.map(|server| self.shown(&serving, server, &locks)).collect(),
            }
        });
        Ok(Upstreams { upstreams: upstreams.collect() })
    }

    fn shown(&self, serving: &Serving, server: &ServerStatus, locks: &[Lock]) -> Server {
        let state = state(server, serving.is_backup(server));
        let fleet = &self.kept.fleet;
        let lock = locks.iter().find(|lock| {
            lock.kind == Kind::Upstream && server.locks.iter().any(|name| **name == lock.name)
        });
        let (since, last_error, next_probe) = match (state, lock) {
            (ServerState::Locked, Some(lock)) => (
                Some(times::of(lock.since)),
                Some(lock.cause.clone()),
                fleet.locks.next_test(lock.kind, &lock.name),
            ),
            (ServerState::Failed, _) => {
                (server.since.map(Into::into), server.cause.clone(), server.retry)
            }
            _ => (server.since.map(Into::into), None, None),
        };
        Server {
            address: server.server.clone(),
            state,
            weight: server.weight.into(),
            sessions: server.sessions as u64,
            max_conns: (server.max_conns > 0).then_some(server.max_conns as u64),
            failures: server.failures,
            since,
            last_error,
            next_probe: next_probe.map(times::at),
            p50_ms: server.p50.map(times::ms),
            p99_ms: server.p99.map(times::ms),
        }
    }

    pub(super) async fn drain_servers(&self, ask: ServersAsk) -> Result<Changed, Problem> {
        let duty = if ask.end { Duty::Removed } else { Duty::Drained };
        self.assign(&ask, duty).await
    }

    pub(super) async fn undrain_servers(&self, ask: ServersAsk) -> Result<Changed, Problem> {
        self.assign(&ask, Duty::Active).await
    }

    pub(super) async fn remove_servers(&self, ask: ServersAsk) -> Result<Changed, Problem> {
        self.assign(&ask, Duty::Removed).await
    }

    /// Says what servers are there for, here, on disk, and to the fleet. What is so already is said
    /// again all the same: another gatepost may not have heard.
    async fn assign(&self, ask: &ServersAsk, duty: Duty) -> Result<Changed, Problem> {
        let fleet = &self.kept.fleet;
        let chosen = self.chosen(ask)?;
        let (mut changed, mut orders) = (Vec::new(), Vec::new());
        for server in &chosen {
            let set = fleet.servers.set_duty(&server.upstream, &server.server, duty);
            orders.push(set.map_err(|unknown| Problem::unknown(unknown.to_string()))?);
            if server.duty != duty {
                changed.push(server.server.clone());
            }
        }
        let sessions = match duty {
            Duty::Removed => self.living_at(&chosen),
            Duty::Active | Duty::Drained => 0,
        };
        let mut problems = self.flush().await;
        let mut told = Told { fleet: true, problems: Vec::new() };
        // Who is cut off now reads it later. If it could not be kept it will be within a minute.
        let _ = fleet.share_drains_once().await;
        for order in orders {
            let said = fleet.bus.say(&order.to_bytes()).await;
            told = told.and(Told::of(said.err()));
        }
        problems.extend(told.problems);
        Ok(Changed { changed, sessions, told_fleet: told.fleet, problems })
    }

    pub(super) async fn lock_servers(&self, ask: ServersAsk) -> Result<Changed, Problem> {
        self.lock_or_not(&ask, true).await
    }

    pub(super) async fn unlock_servers(&self, ask: ServersAsk) -> Result<Changed, Problem> {
        self.lock_or_not(&ask, false).await
    }

    /// A lock is each gatepost's own: what one cannot reach another may.
    async fn lock_or_not(&self, ask: &ServersAsk, is_on: bool) -> Result<Changed, Problem> {
        let (serving, locks) = (self.serving(), &self.kept.fleet.locks);
        let mut changed = Vec::new();
        for server in self.chosen(ask)? {
            let mut has_changed = false;
            for name in names_of(&serving, &server) {
                let was_on = server.locks.contains(&name);
                has_changed |= match is_on {
                    true => locks.lock(Kind::Upstream, &name, "by hand") && !was_on,
                    false => locks.unlock(Kind::Upstream, &name),
                };
            }
            if has_changed {
                changed.push(server.server.clone());
            }
        }
        let problems = self.flush().await;
        Ok(Changed { changed, sessions: 0, told_fleet: false, problems })
    }

    /// Whether there is an upstream of that name.
    pub(super) fn check_upstream(&self, name: &str) -> Result<(), Problem> {
        match self.serving().group(name) {
            Some(_) => Ok(()),
            None => {
                let words = format!("there is no upstream \"{name}\"");
                Err(Problem::unknown(words).hint("gatepost upstream list"))
            }
        }
    }

    /// The servers that are meant.
    fn chosen(&self, ask: &ServersAsk) -> Result<Vec<ServerStatus>, Problem> {
        let mut all = self.kept.fleet.servers.status();
        all.retain(|server| server.upstream == ask.upstream);
        let unknown = |words: String| Problem::unknown(words).hint("gatepost upstream list");
        if all.is_empty() {
            return Err(unknown(format!("there is no upstream \"{}\"", ask.upstream)));
        }
        if let Some(name) = &ask.server {
            all.retain(|server| server.server == *name);
            if all.is_empty() {
                let upstream = &ask.upstream;
                return Err(unknown(format!("upstream \"{upstream}\" has no server \"{name}\"")));
            }
        }
        Ok(all)
    }

    /// How many sessions have logged in there.
    fn living_at(&self, servers: &[ServerStatus]) -> u64 {
        let is_there = |count: &&crate::route::presence::Count| {
            let there = (&*count.upstream, &*count.server);
            servers.iter().any(|one| (&*one.upstream, &*one.server) == there)
        };
        let counts = self.kept.fleet.presence.counts();
        counts.iter().filter(is_there).map(|count| count.sessions as u64).sum()
    }
}

/// What a server is locked under: one name for each port that it is used at.
fn names_of(serving: &Serving, server: &ServerStatus) -> Vec<std::sync::Arc<str>> {
    let mut names = server.locks.clone();
    let Some(group) = serving.group(&server.upstream) else { return names };
    let known = group.servers().iter().enumerate().find(|(_, one)| *one.text == *server.server);
    let Some((index, known)) = known else { return names };
    for site in serving.sites.iter().filter(|site| site.groups.contains_key(&server.upstream)) {
        let port = site.towards(Some(&server.upstream)).port(site.words);
        let name = std::sync::Arc::clone(group.ward().handle(known, index + 1, port).name());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The word for how a server is.
fn state(server: &ServerStatus, is_backup: bool) -> ServerState {
    match server.duty {
        _ if server.is_down => ServerState::Down,
        Duty::Drained => ServerState::Draining,
        Duty::Removed => ServerState::Removed,
        Duty::Active if !server.locks.is_empty() => ServerState::Locked,
        Duty::Active if !server.is_up => ServerState::Failed,
        Duty::Active if is_backup => ServerState::Backup,
        Duty::Active => ServerState::Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_by_the_strongest_reason() {
        let up = ServerStatus {
            upstream: "imap".into(),
            server: "a".into(),
            duty: Duty::Active,
            is_down: false,
            is_up: true,
            weight: 1,
            sessions: 0,
            max_conns: 0,
            failures: 0,
            since: None,
            cause: None,
            locks: Vec::new(),
            retry: None,
            p50: None,
            p99: None,
            addresses: Vec::new(),
        };
        let with = |change: fn(&mut ServerStatus)| {
            let mut server = up.clone();
            change(&mut server);
            server
        };
        for (server, is_backup, want) in [
            (up.clone(), false, ServerState::Up),
            (up.clone(), true, ServerState::Backup),
            (with(|one| one.is_up = false), true, ServerState::Failed),
            (with(|one| one.locks = vec!["imap/a".into()]), false, ServerState::Locked),
            (with(|one| one.duty = Duty::Drained), false, ServerState::Draining),
            (with(|one| one.duty = Duty::Removed), false, ServerState::Removed),
            (with(|one| one.is_down = true), true, ServerState::Down),
        ] {
            assert_eq!(state(&server, is_backup), want, "{server:?}");
        }
    }
}
