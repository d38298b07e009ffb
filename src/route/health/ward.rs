//! The servers of one group, as they are now.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::servers::{Duty, ServerStatus, Shared};
use super::service::{Fit, MOST_ADDRESSES, State, whole};
use super::slot::Slot;
use crate::net::Endpoint;
use crate::observe::{Level, names};
use crate::route::balance::{self, Entrant, Method, UNIT, hash};
use crate::route::group::Server;
use crate::route::lock::Handle;

/// How long what is locked is left alone between logins that have nowhere else to go.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// By the server, as it is written.
type States = BTreeMap<Arc<str>, State>;

/// The state of one group, shared by all workers, and kept when the configuration changes.
#[derive(Debug)]
pub struct Ward {
    pub name: Arc<str>,
    pub(super) shared: Shared,
    servers: Mutex<States>,
    /// A maintenance of this group is on that ends with the first server that works.
    is_ailing: AtomicBool,
}

/// By what a choice is made, besides the state.
#[derive(Debug)]
pub struct Wish<'a> {
    pub method: &'a Method,
    pub key: &'a [u8],
    pub client: Option<IpAddr>,
    /// A login's first choice takes a turn; what it tries afterwards does not.
    pub is_first: bool,
}

impl Ward {
    pub fn new(name: &str, shared: Shared) -> Self {
        let is_ailing = AtomicBool::new(shared.maintenance.is_ailing(name));
        Self { name: name.into(), shared, servers: Mutex::default(), is_ailing }
    }

    /// A configuration has these servers; it may never come into force.
    pub fn join(&self, servers: &[Server], duties: &BTreeMap<String, Duty>) {
        let mut states = self.lock();
        for server in servers {
            let state = self.of(&mut states, server);
            state.limits = server.limits;
            state.is_down = server.is_down;
            state.is_configured = true;
            state.effective = state.effective.min(whole(&server.limits));
            state.duty = duties.get(&*server.text).copied().unwrap_or(state.duty);
            state.tell();
        }
    }

    /// The configuration in force has these servers, and no others: those are forgotten with their
    /// last session. Says whether anything is left.
    pub fn settle(&self, servers: &[Server]) -> bool {
        let mut states = self.lock();
        for (text, state) in states.iter_mut() {
            state.is_configured = servers.iter().any(|server| server.text == *text);
        }
        self.forget_strangers(&mut states);
        !states.is_empty()
    }

    /// The state of `server`. A session of an older configuration may use one that the newest has
    /// not.
    fn of<'s>(&self, states: &'s mut States, server: &Server) -> &'s mut State {
        let text = Arc::clone(&server.text);
        states.entry(text).or_insert_with(|| State::new(self, server))
    }

    fn forget_strangers(&self, states: &mut States) {
        states.retain(|text, state| {
            let is_kept = state.is_configured || state.conns() > 0;
            if !is_kept {
                self.shared.metrics.forget(&names::SERVER_UP, &[&self.name, text]);
                self.shared.metrics.forget(&names::SERVER_SESSIONS, &[&self.name, text]);
            }
            is_kept
        });
    }

    /// Chooses among `servers` the next one that `is_open` and fit, by its place.
    pub fn choose(
        &self,
        servers: &[Server],
        port: u16,
        wish: &Wish<'_>,
        is_open: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        let now = Instant::now();
        let mut states = self.lock();
        let mut entrants = Vec::with_capacity(servers.len());
        for (index, server) in servers.iter().enumerate().filter(|(index, _)| is_open(*index)) {
            let state = self.of(&mut states, server);
            if state.fit(self, server, index + 1, port, now) == Fit::Good {
                let weight = state.weight(&server.limits, now);
                entrants.push(Entrant {
                    index,
                    weight,
                    current: state.current,
                    conns: state.conns(),
                });
            }
        }
        let is_there = |index: &usize| entrants.iter().any(|entrant| entrant.index == *index);
        let weights = || servers.iter().map(|one| u64::from(one.limits.weight)).collect::<Vec<_>>();
        let hashed = match wish.method {
            Method::Hash(Some(ring)) => ring.from(hash::crc32(wish.key)).find(is_there),
            Method::Hash(None) => hash::plain(wish.key, &weights()).find(is_there),
            Method::IpHash => wish.client.and_then(|ip| hash::of_ip(ip, &weights()).find(is_there)),
            _ => None,
        };
        if hashed.is_some() {
            return hashed;
        }
        let chosen = match wish.method {
            Method::LeastConn => balance::least_conn(&mut entrants),
            Method::Random { two } => {
                balance::random(&entrants, *two, &mut |below| fastrand::u64(0..below))
            }
            _ => balance::round_robin(&mut entrants),
        };
        if wish.is_first {
            for entrant in &entrants {
                if let Some(state) = states.get_mut(&servers[entrant.index].text) {
                    state.current = entrant.current;
                    let whole = whole(&servers[entrant.index].limits);
                    state.effective = state.effective.saturating_add(UNIT).min(whole);
                }
            }
        }
        chosen.map(|at| entrants[at].index)
    }

    /// What a server is fit for now. `number`: its place in its group, from 1.
    pub fn fit(&self, server: &Server, number: usize, port: u16) -> Fit {
        let mut states = self.lock();
        let state = self.of(&mut states, server);
        state.fit(self, server, number, port, Instant::now())
    }

    /// When a server last failed, if it has not worked since.
    pub fn last_failure(&self, server: &Server, port: u16) -> Option<Instant> {
        let mut states = self.lock();
        let service = states.get_mut(&server.text)?.service_at(server.port(port))?;
        service.peers.iter().filter_map(|peer| peer.health.last_failure()).min()
    }

    /// Whether a login that has nowhere else to go may try a locked server; the next ones may not
    /// for a while.
    pub fn may_try_locked(&self, server: &Server, port: u16) -> bool {
        let now = Instant::now();
        let mut states = self.lock();
        let service = states.get_mut(&server.text).and_then(|s| s.service_at(server.port(port)));
        let Some(service) = service else { return false };
        let pause = server.limits.fail_timeout.max(LEAST_PAUSE);
        let may = service.tried.is_none_or(|tried| now.duration_since(tried) >= pause);
        if may {
            service.tried = Some(now);
        }
        may
    }

    /// These are the addresses of a server now: puts them into the order to be tried.
    pub fn arrange(&self, server: &Server, port: u16, wish: &Wish<'_>, found: &mut [Endpoint]) {
        let mut states = self.lock();
        let Some(state) = states.get_mut(&server.text) else { return };
        let turn = state.turns;
        state.turns = turn.wrapping_add(usize::from(wish.is_first));
        if let Some(service) = state.service_at(server.port(port))
            && service.lost_until.take().is_some()
        {
            state.tell();
        }
        let Some(service) = state.service_at(server.port(port)) else { return };
        for peer in &mut service.peers {
            peer.is_current = found.contains(&peer.endpoint);
        }
        for endpoint in found.iter().take(MOST_ADDRESSES) {
            service.peer(endpoint);
        }
        if !found.is_empty() {
            let places = found.len();
            found.rotate_left(turn % places);
        }
        let ip = |endpoint: &Endpoint| endpoint.ip().map(|ip| ip.to_string()).unwrap_or_default();
        match wish.method {
            Method::Hash(_) => found.sort_by_cached_key(|endpoint| {
                std::cmp::Reverse(hash::liking(wish.key, ip(endpoint).as_bytes()))
            }),
            Method::IpHash => {
                let client = wish.client.map(|ip| ip.to_string()).unwrap_or_default();
                found.sort_by_cached_key(|endpoint| {
                    std::cmp::Reverse(hash::liking(client.as_bytes(), ip(endpoint).as_bytes()))
                });
            }
            Method::LeastConn => found.sort_by_key(|endpoint| {
                service.peers.iter().find(|peer| peer.endpoint == *endpoint).map_or(0, |p| p.conns)
            }),
            Method::RoundRobin | Method::Random { .. } => {}
        }
    }

    /// A login is sent to `endpoint`, unless it may not be. `is_last_resort`: what has failed will
    /// do, too.
    pub fn admit(
        self: &Arc<Self>,
        servers: &Arc<[Server]>,
        index: usize,
        port: u16,
        endpoint: &Endpoint,
        is_last_resort: bool,
    ) -> Option<Slot> {
        let (now, server) = (Instant::now(), servers.get(index)?);
        let mut states = self.lock();
        let state = self.of(&mut states, server);
        if state.is_off(server) {
            return None;
        }
        let peer = state.service(self, server, index + 1, port).peer(endpoint);
        if !peer.takes(now, &server.limits, is_last_resort) {
            return None;
        }
        peer.health.try_it(now, &server.limits);
        peer.conns += 1;
        state.sessions.inc();
        Some(Slot::new(Arc::clone(self), Arc::clone(servers), index, port, endpoint.clone()))
    }

    /// Whether a login might be [admitted](Self::admit) to `endpoint` of `server`, whose place in its
    /// group is `number`, from 1. Nothing changes by it.
    pub fn takes(
        &self,
        server: &Server,
        number: usize,
        port: u16,
        endpoint: &Endpoint,
        is_last_resort: bool,
    ) -> bool {
        let mut states = self.lock();
        let state = self.of(&mut states, server);
        let peer = |state: &mut State| {
            let peer = state.service(self, server, number, port).peer(endpoint);
            peer.takes(Instant::now(), &server.limits, is_last_resort)
        };
        !state.is_off(server) && peer(state)
    }

    /// A login has found nobody at `servers`: if none of them is left, it is told.
    pub fn nobody(&self, servers: &[Server], port: u16) {
        let now = Instant::now();
        let mut states = self.lock();
        let mut cause = None;
        for (index, server) in servers.iter().enumerate() {
            let state = self.of(&mut states, server);
            match state.fit(self, server, index + 1, port, now) {
                Fit::Good | Fit::Full => return,
                Fit::Failing | Fit::Locked | Fit::Off => {}
            }
            cause = cause.or_else(|| state.last_cause.clone());
        }
        drop(states);
        if !self.is_ailing.swap(true, Ordering::AcqRel) {
            self.shared.maintenance.began(&self.name, cause.as_deref());
        }
    }

    /// Somebody works: what began by itself ends by itself.
    fn recovered(&self) {
        if self.is_ailing.load(Ordering::Acquire) && self.is_ailing.swap(false, Ordering::AcqRel) {
            self.shared.maintenance.ended(&self.name);
        }
    }

    /// The name of `server`, whose place in its group is `number`, from 1, has no address: it is as
    /// good as down, until it is asked for again.
    pub fn lost(&self, server: &Server, number: usize, port: u16, cause: &str) {
        let pause = server.limits.fail_timeout.max(LEAST_PAUSE);
        let mut states = self.lock();
        let state = self.of(&mut states, server);
        state.last_cause = Some(cause.to_owned());
        state.failures += 1;
        let service = state.service(self, server, number, port);
        let is_news = service.lost_until.replace(Instant::now() + pause).is_none();
        state.tell();
        drop(states);
        if is_news {
            let words = format!("upstream \"{}\": {server} has no address: {cause}", self.name);
            self.shared.voice.say(Level::Warn, words);
        }
    }

    pub(super) fn failed(&self, server: &Server, port: u16, endpoint: &Endpoint, cause: &str) {
        let limits = server.limits;
        let (is_aside, lock) = {
            let mut states = self.lock();
            let Some(state) = states.get_mut(&server.text) else { return };
            state.last_cause = Some(cause.to_owned());
            state.failures += 1;
            let Some(service) = state.service_at(server.port(port)) else { return };
            let lock = service.lock.clone();
            let is_aside = service.peer(endpoint).health.failed(Instant::now(), &limits);
            if let Some(part) = whole(&limits).checked_div(i64::from(limits.max_fails)) {
                state.effective = state.effective.saturating_sub(part).max(0);
            }
            state.tell();
            (is_aside, lock)
        };
        if is_aside {
            let (group, timeout) = (&self.name, limits.fail_timeout);
            let words =
                format!("upstream \"{group}\": {endpoint} is set aside for {timeout:?}: {cause}");
            self.shared.voice.say(Level::Warn, words);
        }
        // Who counts no failures locks nobody.
        if limits.max_fails > 0 && lock.failed(cause, limits.lock_after) {
            self.tell(server);
        }
    }

    pub(super) fn works(
        &self,
        server: &Server,
        port: u16,
        endpoint: &Endpoint,
        took: Option<Duration>,
    ) {
        let mut lock = None;
        if let Some(state) = self.lock().get_mut(&server.text) {
            if let Some(took) = took {
                state.latency.saw(took, Instant::now());
            }
            if let Some(service) = state.service_at(server.port(port)) {
                lock = Some(service.lock.clone());
                if service.peer(endpoint).health.works(took) {
                    state.recovers_since = Some(Instant::now());
                }
            }
            state.tell();
        }
        if lock.is_some_and(|lock| lock.works()) {
            self.tell(server);
        }
        self.recovered();
    }

    pub(super) fn left(&self, server: &Server, port: u16, endpoint: &Endpoint) {
        let mut states = self.lock();
        let Some(state) = states.get_mut(&server.text) else { return };
        state.sessions.dec();
        let service = state.service_at(server.port(port));
        if let Some(peer) = service.and_then(|service| service.known(endpoint)) {
            peer.conns = peer.conns.saturating_sub(1);
        }
        if !state.is_configured {
            self.forget_strangers(&mut states);
        }
    }

    /// An active check of `endpoint` went so.
    pub fn checked(
        &self,
        server: &Server,
        port: u16,
        endpoint: &Endpoint,
        result: &Result<(), String>,
        (fails, passes): (u32, u32),
    ) {
        let mut lock = None;
        let mut verdict = None;
        if let Some(state) = self.lock().get_mut(&server.text) {
            if let Some(service) = state.service_at(server.port(port)) {
                let health = &mut service.peer(endpoint).health;
                verdict = health.checked(result.is_ok(), fails, passes);
                if health.has_passed(passes) {
                    health.works(None);
                    lock = Some(service.lock.clone());
                }
            }
            match (verdict, result) {
                (Some(true), _) => state.recovers_since = Some(Instant::now()),
                (Some(false), Err(cause)) => state.last_cause = Some(cause.clone()),
                _ => {}
            }
            state.tell();
        }
        let group = &self.name;
        match (verdict, result) {
            (Some(true), _) => {
                let words = format!("upstream \"{group}\": {endpoint} is healthy again");
                self.shared.voice.say(Level::Notice, words);
            }
            (Some(false), Err(cause)) => {
                let words = format!("upstream \"{group}\": {endpoint} is unhealthy: {cause}");
                self.shared.voice.say(Level::Warn, words);
            }
            _ => {}
        }
        if let Some(lock) = lock {
            if lock.works() {
                self.tell(server);
            }
            self.recovered();
        }
    }

    /// A test of a locked service went well.
    pub fn passed(&self, server: &Server, port: u16, endpoint: &Endpoint) {
        self.works(server, port, endpoint, None);
    }

    /// The lock of a server's service.
    pub fn handle(&self, server: &Server, number: usize, port: u16) -> Handle {
        let mut states = self.lock();
        let state = self.of(&mut states, server);
        state.service(self, server, number, port).lock.clone()
    }

    /// Says whether there is such a server.
    pub fn set_duty(&self, server: &str, duty: Duty) -> bool {
        let mut states = self.lock();
        let Some(state) = states.get_mut(server) else { return false };
        if state.duty != Duty::Active && duty == Duty::Active {
            state.recovers_since = Some(Instant::now());
        }
        if state.duty != duty {
            state.since = Some(std::time::SystemTime::now());
        }
        state.duty = duty;
        state.tell();
        true
    }

    pub fn status(&self) -> Vec<ServerStatus> {
        let now = Instant::now();
        let mut states = self.lock();
        let configured = states.iter_mut().filter(|(_, state)| state.is_configured);
        configured.map(|(text, state)| state.status(&self.name, text, now)).collect()
    }

    /// What is shown of a server follows what is known of it.
    fn tell(&self, server: &Server) {
        if let Some(state) = self.lock().get_mut(&server.text) {
            state.tell();
        }
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
