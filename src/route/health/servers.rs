//! All groups of servers by their names, and what administrators have decided about them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::sheet::{Ordered, Sheet, Taken};
use super::ward::Ward;
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::{Level, Metrics};
use crate::route::group::{Group, Server};
use crate::route::lock::Locks;
use crate::route::maintenance::Maintenance;
use crate::route::order::Order;
use crate::route::state::Store;
use crate::route::state::clock::{Clock, Seconds};
use crate::route::voice::Voice;

const SECTION: &str = "servers";

/// What a server is there for.
/// The later ones are the stricter ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    clock: Clock,
    cache: Cache,
    /// What the fleet knows is to be looked at.
    doubt: Notify,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    wards: BTreeMap<String, Arc<Ward>>,
    /// Servers that are not on duty, of this configuration or another.
    sheet: Sheet,
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
    pub fn new(store: Store, clock: Clock, cache: Cache, shared: Shared) -> Self {
        let (doubt, known) = (Notify::new(), Mutex::default());
        Self(Arc::new(Inner { shared, store, clock, cache, doubt, known }))
    }

    /// Those of nobody else: for a group that has joined no fleet.
    pub fn alone() -> Self {
        let (voice, metrics, clock) = (Voice::default(), Metrics::new(), Clock::default());
        let store = Store::new(voice.clone());
        let (cache, locks) =
            (Cache::off(), Locks::new(store.clone(), clock, metrics.clone(), voice.clone()));
        let bus = Bus::new(cache.clone());
        let maintenance =
            Maintenance::new(store.clone(), clock, cache.clone(), bus, &metrics, voice.clone());
        Self::new(store, clock, cache, Shared { locks, maintenance, metrics, voice })
    }

    /// Takes up who was drained before a restart. Once, before any group is known.
    pub fn restore(&self) {
        self.lock().sheet = self.0.store.section(SECTION).unwrap_or_default();
    }

    /// The state of the group `name`, which has these servers.
    pub fn ward(&self, name: &str, servers: &[Server]) -> Arc<Ward> {
        let mut known = self.lock();
        let new = || Arc::new(Ward::new(name, self.0.shared.clone()));
        let ward = Arc::clone(known.wards.entry(name.to_owned()).or_insert_with(new));
        ward.join(servers, &known.sheet.of(name));
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

    /// Says what `server` is there for from now on, and gives the order that says so to the fleet.
    /// Durable once [`Store::flush`] has returned.
    pub fn set_duty(&self, upstream: &str, server: &str, duty: Duty) -> Result<Order, Unknown> {
        let mut known = self.lock();
        let was = known.sheet.duty(upstream, server);
        known.assign(upstream, server, duty)?;
        let one = known.sheet.order(upstream, server, duty, self.0.clock.now());
        self.tell(upstream, server, was, duty);
        self.save(&known);
        Ok(order(upstream, server, duty, one.stamp))
    }

    /// An order was given somewhere: `one`, or just now. It is remembered although there may be no such
    /// server here: another configuration may bring it.
    pub(super) fn hear(
        &self,
        upstream: &str,
        server: &str,
        duty: Duty,
        one: Option<Ordered>,
    ) -> Taken {
        let mut known = self.lock();
        let was = known.sheet.duty(upstream, server);
        let taken = match one {
            Some(one) => known.sheet.take(upstream, server, one),
            None => {
                known.sheet.order(upstream, server, duty, self.0.clock.now());
                Taken::New
            }
        };
        if taken == Taken::New {
            self.turn(&known, upstream, server, was, duty);
            self.save(&known);
        }
        taken
    }

    /// Takes what another sheet knows better. Gives what is known then, and the orders that would have
    /// done what has changed.
    pub(super) fn merge(&self, other: &Sheet) -> (Sheet, Vec<Order>) {
        let mut known = self.lock();
        let before = known.sheet.clone();
        let changed = known.sheet.merge(other, self.0.clock.now());
        let mut orders = Vec::new();
        for (upstream, server, duty) in &changed {
            self.turn(&known, upstream, server, before.duty(upstream, server), *duty);
            orders.push(order(upstream, server, *duty, 0));
        }
        if known.sheet != before {
            self.save(&known);
        }
        (known.sheet.clone(), orders)
    }

    /// Another node has given `server` another duty.
    fn turn(&self, known: &Known, upstream: &str, server: &str, was: Duty, duty: Duty) {
        match known.assign(upstream, server, duty) {
            Ok(()) => self.tell(upstream, server, was, duty),
            Err(unknown) => {
                let words = format_args!("an order of the fleet is not for here: {unknown}");
                self.0.shared.voice.say(Level::Info, words);
            }
        }
    }

    fn tell(&self, upstream: &str, server: &str, was: Duty, duty: Duty) {
        if was == duty {
            return;
        }
        let is = match duty {
            Duty::Active => "takes sessions again",
            Duty::Drained => "is drained: it gets no new sessions",
            Duty::Removed => "is removed: it gets no new sessions, those it has are ended",
        };
        let words = format_args!("upstream \"{upstream}\": {server} {is}");
        self.0.shared.voice.say(Level::Notice, words);
    }

    /// Orders may have been missed: what the fleet knows is looked at now.
    pub fn missed(&self) {
        self.0.doubt.notify_one();
    }

    pub(super) async fn wait_for_doubt(&self) {
        self.0.doubt.notified().await;
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    pub(super) fn voice(&self) -> &Voice {
        &self.0.shared.voice
    }

    /// No new sessions for `server`, or again.
    #[cfg(test)]
    pub fn drain(&self, upstream: &str, server: &str, is_on: bool) -> Result<(), Unknown> {
        self.set_duty(upstream, server, if is_on { Duty::Drained } else { Duty::Active }).map(drop)
    }

    /// Who is not on duty: group, server, and what it is instead.
    #[cfg(test)]
    pub fn drained(&self) -> Vec<(String, String, Duty)> {
        let known = self.lock();
        let all = known.sheet.off_duty();
        all.map(|(upstream, server, duty)| (upstream.to_owned(), server.to_owned(), duty)).collect()
    }

    pub fn status(&self) -> Vec<ServerStatus> {
        let wards: Vec<_> = self.lock().wards.values().cloned().collect();
        wards.iter().flat_map(|ward| ward.status()).collect()
    }

    fn save(&self, known: &Known) {
        self.0.store.put(SECTION, &known.sheet);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The server has another duty from now on; what follows from it is the caller's.
    fn assign(&self, upstream: &str, server: &str, duty: Duty) -> Result<(), Unknown> {
        let ward = self.wards.get(upstream);
        let ward = ward.ok_or_else(|| Unknown::Upstream(upstream.to_owned()))?;
        match ward.set_duty(server, duty) {
            true => Ok(()),
            false => {
                let (upstream, server) = (upstream.to_owned(), server.to_owned());
                Err(Unknown::Server { upstream, server })
            }
        }
    }
}

/// The order that gives `server` its duty.
fn order(upstream: &str, server: &str, duty: Duty, stamp: Seconds) -> Order {
    Order::Drain {
        upstream: upstream.to_owned(),
        server: server.to_owned(),
        is_on: duty != Duty::Active,
        end: duty == Duty::Removed,
        stamp: Some(stamp),
    }
}
