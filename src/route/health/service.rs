//! One server of a group, as it is now: at which ports it is used, and each of its addresses.

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::passive::Health;
use super::servers::{AddressStatus, Duty, ServerStatus};
use super::ward::Ward;
use crate::net::Endpoint;
use crate::observe::latency::Latency;
use crate::observe::names;
use crate::route::balance::UNIT;
use crate::route::group::{Limits, Server};
use crate::route::lock::{self, Handle};

/// How many addresses of one service are kept.
pub const MOST_ADDRESSES: usize = 64;
/// How many ports of one server are kept: there are not so many protocols.
const MOST_SERVICES: usize = 32;

/// What a server is fit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Good,
    /// It has failed, or its checks have. Better than nobody.
    Failing,
    /// Its connections are as many as it may have.
    Full,
    Locked,
    /// Down by the configuration, drained, or locked by hand: not to be touched.
    Off,
}

/// A server.
#[derive(Debug)]
pub struct State {
    pub limits: Limits,
    pub is_down: bool,
    pub is_configured: bool,
    pub duty: Duty,
    /// In [`UNIT`]s: failures lower it, turns raise it again.
    pub effective: i64,
    pub current: i64,
    pub recovers_since: Option<Instant>,
    /// How often it was a login's first choice: its addresses take turns.
    pub turns: usize,
    pub services: Vec<Service>,
    pub last_cause: Option<String>,
    /// How long logins there take.
    pub latency: Latency,
    /// Since it is known.
    pub failures: u64,
    was_up: bool,
    /// When it last went up or down, or off duty or on again.
    pub since: Option<SystemTime>,
    pub sessions: Gauge,
    pub up: Gauge,
}

/// A server at one port: what fails in one protocol may work in another.
#[derive(Debug)]
pub struct Service {
    pub port: Option<u16>,
    pub lock: Handle,
    pub was_locked: bool,
    /// When somebody who had nowhere else to go was last sent there in spite of the lock.
    pub tried: Option<Instant>,
    pub peers: Vec<Peer>,
    /// Its name had no address: until when nobody asks again who can go elsewhere.
    pub lost_until: Option<Instant>,
}

/// One of its addresses.
#[derive(Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    pub conns: usize,
    pub health: Health,
    /// Its name has this address now.
    pub is_current: bool,
}

impl Peer {
    /// Whether it may have another connection. `is_last_resort`: what has failed will do, too.
    pub fn takes(&self, now: Instant, limits: &Limits, is_last_resort: bool) -> bool {
        let is_full = limits.max_conns > 0 && self.conns >= limits.max_conns;
        !is_full && (is_last_resort || self.health.is_usable(now))
    }
}

pub fn whole(limits: &Limits) -> i64 {
    i64::from(limits.weight) * UNIT
}

impl State {
    pub fn new(ward: &Ward, server: &Server) -> Self {
        let gauge = |name| ward.shared.metrics.gauge(name, &[&ward.name, &server.text]);
        let up = gauge(&names::SERVER_UP);
        up.set(1);
        Self {
            limits: server.limits,
            is_down: server.is_down,
            is_configured: false,
            duty: Duty::Active,
            effective: whole(&server.limits),
            current: 0,
            recovers_since: None,
            turns: 0,
            services: Vec::new(),
            last_cause: None,
            latency: Latency::default(),
            failures: 0,
            was_up: true,
            since: None,
            sessions: gauge(&names::SERVER_SESSIONS),
            up,
        }
    }

    pub fn is_off(&self, server: &Server) -> bool {
        server.is_down || self.duty != Duty::Active
    }

    pub fn conns(&self) -> usize {
        self.services.iter().flat_map(|service| &service.peers).map(|peer| peer.conns).sum()
    }

    pub fn fit(
        &mut self,
        ward: &Ward,
        server: &Server,
        number: usize,
        port: u16,
        now: Instant,
    ) -> Fit {
        if self.is_off(server) {
            return Fit::Off;
        }
        let service = self.service(ward, server, number, port);
        if service.lock.is_locked() {
            let is_known = std::mem::replace(&mut service.was_locked, true);
            let fit = if service.lock.is_locked_by_hand() { Fit::Off } else { Fit::Locked };
            if !is_known {
                self.tell();
            }
            return fit;
        }
        let has_come_back = std::mem::take(&mut service.was_locked);
        let fit = service.fit(&server.limits, now);
        if has_come_back {
            self.recovers_since = Some(now);
            self.tell();
        }
        fit
    }

    /// Its weight now, in [`UNIT`]s.
    pub fn weight(&mut self, limits: &Limits, now: Instant) -> i64 {
        let Some(since) = self.recovers_since else { return self.effective.max(1) };
        let (passed, all) = (now.duration_since(since), limits.slow_start);
        if passed >= all {
            self.recovers_since = None;
            return self.effective.max(1);
        }
        let part = whole(limits) as f64 * passed.as_secs_f64() / all.as_secs_f64();
        self.effective.min(part as i64).max(1)
    }

    pub fn service(
        &mut self,
        ward: &Ward,
        server: &Server,
        number: usize,
        port: u16,
    ) -> &mut Service {
        let port_of = server.port(port);
        let found = self.services.iter().position(|service| service.port == port_of);
        let at = found.unwrap_or_else(|| {
            if self.services.len() >= MOST_SERVICES {
                self.services.remove(0);
            }
            let name = match port_of {
                Some(port) if !server.is_exact() => format!("{}/{server}:{port}", ward.name),
                _ => format!("{}/{server}", ward.name),
            };
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let lock = ward.shared.locks.handle(lock::Kind::Upstream, &name, number);
            self.services.push(Service {
                port: port_of,
                lock,
                was_locked: false,
                tried: None,
                peers: Vec::new(),
                lost_until: None,
            });
            self.services.len() - 1
        });
        &mut self.services[at]
    }

    pub fn service_at(&mut self, port: Option<u16>) -> Option<&mut Service> {
        self.services.iter_mut().find(|service| service.port == port)
    }

    pub fn is_up(&self, now: Instant) -> bool {
        let is_up = |service: &Service| {
            !service.lock.is_locked() && service.fit(&self.limits, now) != Fit::Failing
        };
        !self.is_down
            && self.duty == Duty::Active
            && (self.services.is_empty() || self.services.iter().any(is_up))
    }

    pub fn tell(&mut self) {
        let is_up = self.is_up(Instant::now());
        if self.was_up != is_up {
            (self.was_up, self.since) = (is_up, Some(SystemTime::now()));
        }
        self.up.set(i64::from(is_up));
    }

    /// As an administrator sees it.
    pub fn status(&mut self, upstream: &str, server: &str, now: Instant) -> ServerStatus {
        let addresses = self.services.iter().flat_map(|service| {
            service.peers.iter().map(|peer| AddressStatus {
                address: peer.endpoint.to_string(),
                sessions: peer.conns,
                is_up: peer.health.is_usable(now),
                is_locked: service.lock.is_locked(),
                login_ms: peer.health.took().map(|took| took.as_millis()),
            })
        });
        let locks = self.services.iter().filter(|service| service.lock.is_locked());
        let aside = self.services.iter().flat_map(|service| &service.peers);
        let retry = aside.filter_map(|peer| peer.health.aside_until()).min();
        ServerStatus {
            upstream: upstream.to_owned(),
            server: server.to_owned(),
            duty: self.duty,
            is_down: self.is_down,
            is_up: self.is_up(now),
            weight: self.limits.weight,
            sessions: self.conns(),
            max_conns: self.limits.max_conns,
            failures: self.failures,
            since: self.since,
            cause: self.last_cause.clone(),
            locks: locks.map(|service| Arc::clone(service.lock.name())).collect(),
            retry,
            p50: self.latency.within(0.5, 1, now),
            p99: self.latency.within(0.99, 1, now),
            addresses: addresses.collect(),
        }
    }
}

impl Service {
    pub fn fit(&self, limits: &Limits, now: Instant) -> Fit {
        if self.lost_until.is_some_and(|until| until > now) {
            return Fit::Failing;
        }
        let mut current = self.peers.iter().filter(|peer| peer.is_current).peekable();
        if current.peek().is_none() {
            return Fit::Good;
        }
        let is_full = |peer: &Peer| limits.max_conns > 0 && peer.conns >= limits.max_conns;
        let mut fit = Fit::Failing;
        for peer in current.filter(|peer| peer.health.is_usable(now)) {
            if !is_full(peer) {
                return Fit::Good;
            }
            fit = Fit::Full;
        }
        fit
    }

    pub fn known(&mut self, endpoint: &Endpoint) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.endpoint == *endpoint)
    }

    pub fn peer(&mut self, endpoint: &Endpoint) -> &mut Peer {
        let found = self.peers.iter().position(|peer| peer.endpoint == *endpoint);
        let at = found.unwrap_or_else(|| {
            if self.peers.len() >= MOST_ADDRESSES {
                self.peers.retain(|peer| peer.is_current || peer.conns > 0);
            }
            let health = Health::default();
            let endpoint = endpoint.clone();
            self.peers.push(Peer { endpoint, conns: 0, health, is_current: true });
            self.peers.len() - 1
        });
        &mut self.peers[at]
    }
}
