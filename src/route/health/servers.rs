//! All groups of servers by their names, and what administrators have decided about them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ward::Ward;
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::{Level, Metrics};
use crate::route::group::{Group, Server};
use crate::route::lock::Locks;
use crate::route::maintenance::Maintenance;
use crate::route::order::Order;
use crate::route::state::Store;
use crate::route::state::clock::Clock;
use crate::route::voice::Voice;

const SECTION: &str = "servers";

/// What a server is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    #[default]
    Active,
    /// It gets no new sessions; those it has go on.
    Drained,
    /// It gets no new sessions, and those it had were ended.
    Removed,
}

/// What groups share.
#[derive(Clone, Debug)]
pub struct Shared {
    pub locks: Locks,
    pub maintenance: Maintenance,
    pub metrics: Metrics,
    pub voice: Voice,
}

/// Every group. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Servers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Shared,
    store: Store,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    wards: BTreeMap<String, Arc<Ward>>,
    /// Servers that are not on duty, by group and name.
    duties: BTreeMap<String, BTreeMap<String, Duty>>,
}

/// There is no such upstream, or no such server in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("no upstream \"{0}\"")]
    Upstream(String),
    #[error("no server \"{server}\" in upstream \"{upstream}\"")]
    Server { upstream: String, server: String },
}

/// A server, for who administers it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerStatus {
    pub upstream: String,
    pub server: String,
    pub duty: Duty,
    /// By the configuration.
    pub is_down: bool,
    pub is_up: bool,
    pub weight: u32,
    /// Those that log in included.
    pub sessions: usize,
    /// Of one address; 0: any number.
    pub max_conns: usize,
    /// Since it is known.
    pub failures: u64,
    /// When it last went up or down.
    #[serde(skip)]
    pub since: Option<SystemTime>,
    /// Why it failed last.
    pub cause: Option<String>,
    /// The locks that are on: one for each port that it is used at.
    #[serde(skip)]
    pub locks: Vec<Arc<str>>,
    /// When one that was set aside is tried again.
    #[serde(skip)]
    pub retry: Option<Instant>,
    /// How long logins there took, lately.
    #[serde(skip)]
    pub p50: Option<Duration>,
    #[serde(skip)]
    pub p99: Option<Duration>,
    pub addresses: Vec<AddressStatus>,
}

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AddressStatus {
    pub address: String,
    pub sessions: usize,
    pub is_up: bool,
    pub is_locked: bool,
    /// How long a login takes, lately.
    pub login_ms: Option<u128>,
}

impl Servers {
    pub fn new(store: Store, shared: Shared) -> Self {
        Self(Arc::new(Inner { shared, store, known: Mutex::default() }))
    }

    /// Those of nobody else: for a group that has joined no fleet.
    pub fn alone() -> Self {
        let (voice, metrics, clock) = (Voice::default(), Metrics::new(), Clock::default());
        let store = Store::new(voice.clone());
        let (cache, locks) =
            (Cache::off(), Locks::new(store.clone(), clock, metrics.clone(), voice.clone()));
        let bus = Bus::new(cache.clone());
        let maintenance =
            Maintenance::new(store.clone(), clock, cache, bus, &metrics, voice.clone());
        Self::new(store, Shared { locks, maintenance, metrics, voice })
    }

    /// Takes up who was drained before a restart. Once, before any group is known.
    pub fn restore(&self) {
        let kept: Vec<(String, String, Duty)> = self.0.store.section(SECTION).unwrap_or_default();
        let mut known = self.lock();
        for (upstream, server, duty) in kept.into_iter().take(4096) {
            known.duties.entry(upstream).or_default().insert(server, duty);
        }
    }

    /// The state of the group `name`, which has these servers.
    pub fn ward(&self, name: &str, servers: &[Server]) -> Arc<Ward> {
        let mut known = self.lock();
        let new = || Arc::new(Ward::new(name, self.0.shared.clone()));
        let ward = Arc::clone(known.wards.entry(name.to_owned()).or_insert_with(new));
        ward.join(servers, known.duties.get(name).unwrap_or(&BTreeMap::new()));
        ward
    }

    /// The configuration in force has these groups: others are forgotten with their last session.
    pub fn settle<'a>(&self, groups: impl Iterator<Item = &'a Group>) {
        let servers: BTreeMap<_, _> = groups.map(|group| (&*group.name, group.servers())).collect();
        self.lock().wards.retain(|name, ward| match servers.get(&**name) {
            Some(servers) => {
                ward.settle(servers);
                true
            }
            None => ward.settle(&[]),
        });
    }

    /// Says what `server` is there for from now on. Durable once [`Store::flush`] has returned.
    pub fn set_duty(&self, upstream: &str, server: &str, duty: Duty) -> Result<(), Unknown> {
        let mut known = self.lock();
        let ward = known.wards.get(upstream);
        let ward = ward.ok_or_else(|| Unknown::Upstream(upstream.to_owned()))?;
        if !ward.set_duty(server, duty) {
            let (upstream, server) = (upstream.to_owned(), server.to_owned());
            return Err(Unknown::Server { upstream, server });
        }
        let duties = known.duties.entry(upstream.to_owned()).or_default();
        let old = match duty {
            Duty::Active => duties.remove(server),
            duty => duties.insert(server.to_owned(), duty),
        };
        if old.unwrap_or_default() != duty {
            let is = match duty {
                Duty::Active => "takes sessions again",
                Duty::Drained => "is drained: it gets no new sessions",
                Duty::Removed => "is removed: it gets no new sessions, those it has are ended",
            };
            let words = format_args!("upstream \"{upstream}\": {server} {is}");
            self.0.shared.voice.say(Level::Notice, words);
        }
        self.save(&known);
        Ok(())
    }

    /// No new sessions for `server`, or again.
    #[cfg(test)]
    pub fn drain(&self, upstream: &str, server: &str, is_on: bool) -> Result<(), Unknown> {
        self.set_duty(upstream, server, if is_on { Duty::Drained } else { Duty::Active })
    }

    /// Who is not on duty: group, server, and what it is instead.
    #[cfg(test)]
    pub fn drained(&self) -> Vec<(String, String, Duty)> {
        listed(&self.lock())
    }

    /// Does what a node of the fleet has ordered, if it is about servers.
    pub fn obey(&self, order: &Order) {
        if let Order::Drain { upstream, server, is_on, end } = order {
            let duty = match (is_on, end) {
                (false, _) => Duty::Active,
                (true, false) => Duty::Drained,
                (true, true) => Duty::Removed,
            };
            if let Err(unknown) = self.set_duty(upstream, server, duty) {
                let words = format_args!("an order of the fleet is not for here: {unknown}");
                self.0.shared.voice.say(Level::Info, words);
            }
        }
    }

    pub fn status(&self) -> Vec<ServerStatus> {
        let wards: Vec<_> = self.lock().wards.values().cloned().collect();
        wards.iter().flat_map(|ward| ward.status()).collect()
    }

    fn save(&self, known: &Known) {
        self.0.store.put(SECTION, &listed(known));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listed(known: &Known) -> Vec<(String, String, Duty)> {
    let of = |(upstream, servers): (&String, &BTreeMap<String, Duty>)| {
        let one = |(server, duty): (&String, &Duty)| (upstream.clone(), server.clone(), *duty);
        servers.iter().map(one).collect::<Vec<_>>()
    };
    known.duties.iter().flat_map(of).collect()
}
