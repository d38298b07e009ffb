//! What all routers of this gatepost share, and what outlives a reload.

use super::cache::{Format, Routes};
use super::group::Group;
use super::handler::Registry;
use super::health::Servers;
use super::health::check::{Checks, Patient};
use super::health::servers::Shared;
use super::lock::Locks;
use super::maintenance::Maintenance;
use super::order::Order;
use super::presence::Presence;
use super::source::Home;
use super::state::Store;
use super::state::clock::Clock;
use super::state::directives::Settings;
use super::sticky::Sticky;
use super::voice::Voice;
use crate::memcached::Cache;
use crate::memcached::bus::{Bus, Heard};
use crate::net::halt::Halt;
use crate::observe::{Log, Metrics, tasks};

/// Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The cache that other gateposts share, or none.
    pub cache: Cache,
    /// Where orders to all gateposts are said and heard.
    pub bus: Bus,
    /// What is known of the lookup handlers.
    pub handlers: Registry,
    pub metrics: Metrics,
    /// The sessions that are logged in here.
    pub presence: Presence,
    /// What keeps a user's sessions together.
    pub sticky: Sticky,
    /// Says what belongs to no session.
    pub voice: Voice,
    /// What must survive a restart.
    pub store: Store,
    pub locks: Locks,
    pub maintenance: Maintenance,
    /// How the servers of upstreams are.
    pub servers: Servers,
    pub checks: Checks,
    /// Where files, databases and directories are asked.
    pub sources: Home,
    /// What is known of routes, in the process and in the cache.
    pub routes: Routes,
}

impl Fleet {
    pub fn new(cache: Cache, metrics: Metrics) -> Self {
        Self::with_clock(cache, metrics, Clock::default())
    }

    pub fn with_clock(cache: Cache, metrics: Metrics, clock: Clock) -> Self {
        let (bus, presence) = (Bus::new(cache.clone()), Presence::new());
        let sticky = Sticky::new(cache.clone(), bus.clone(), metrics.clone(), presence.clone());
        let voice = Voice::default();
        let store = Store::new(voice.clone());
        let locks = Locks::new(store.clone(), clock, metrics.clone(), voice.clone());
        let maintenance = Maintenance::new(
            store.clone(),
            clock,
            cache.clone(),
            bus.clone(),
            &metrics,
            voice.clone(),
        );
        let shared = Shared {
            locks: locks.clone(),
            maintenance: maintenance.clone(),
            metrics: metrics.clone(),
            voice: voice.clone(),
        };
        let servers = Servers::new(store.clone(), shared);
        let checks = Checks::default();
        Self {
            routes: Routes::new(cache.clone(), bus.clone(), &metrics, Format::default()),
            handlers: Registry::default(),
            sources: Home::default(),
            cache,
            bus,
            metrics,
            presence,
            sticky,
            voice,
            store,
            locks,
            maintenance,
            servers,
            checks,
        }
    }

    /// Takes up what was kept before a restart: before the first configuration is built.
    pub fn restore(&self, settings: &Settings, log: &Log) {
        self.voice.speak_to(log);
        if let Some(folder) = &settings.folder {
            self.store.open(folder);
        }
        self.locks.restore();
        self.maintenance.restore();
        self.servers.restore();
    }

    /// A configuration is in force: what it says of locks and maintenance, its groups, and who is
    /// asked how they are.
    pub fn follow<'a>(
        &self,
        settings: &Settings,
        log: &Log,
        groups: impl Iterator<Item = &'a Group>,
        patients: Vec<Patient>,
    ) {
        self.voice.speak_to(log);
        if let Some(folder) = &settings.folder {
            self.store.open(folder);
        }
        self.locks.follow(settings);
        self.maintenance.follow(settings);
        self.servers.settle(groups);
        self.checks.follow(&self.locks, patients);
    }

    /// Looks after servers, locks and maintenance until `stop`: one task of the process, on any
    /// runtime that lives as long.
    ///
    /// A panic in one part of it stops no other, and that part no longer than a second: else nobody
    /// would hear a kick or renew a lease until the next restart.
    pub async fn look_after<T: Copy + Send + Sync + 'static>(&self, stop: Halt<T>) {
        macro_rules! keep_up {
            ($name:literal, |$fleet:ident, $stop:ident| $part:expr) => {
                tasks::keep_up($name, || {
                    let ($fleet, $stop) = (self.clone(), stop.clone());
                    async move { $part.await }
                })
            };
        }
        tokio::join!(
            keep_up!("checks", |fleet, stop| fleet.checks.run(stop)),
            keep_up!("locks", |fleet, stop| fleet.locks.run(stop)),
            keep_up!("maintenance", |fleet, stop| fleet.maintenance.run(stop)),
            keep_up!("orders", |fleet, stop| fleet.listen(stop)),
            keep_up!("leases", |fleet, stop| fleet.sticky.run(stop)),
            keep_up!("state", |fleet, stop| fleet.store.run(stop)),
        );
    }

    /// Does what the fleet was ordered to do, until `stop`.
    async fn listen<T: Copy>(&self, mut stop: Halt<T>) {
        let mut heard = self.bus.listen();
        // What was said before, or while nobody listened.
        self.missed();
        loop {
            tokio::select! {
                word = heard.next() => match word {
                    Some(Heard::Said(word)) => {
                        if let Some(order) = Order::read(&word) {
                            self.obey(&order);
                        }
                    }
                    Some(Heard::Missed) => self.missed(),
                    None => return,
                },
                _ = stop.heard() => return,
            }
        }
    }

    /// What the fleet was ordered to do is done here. Within a runtime: some of it takes its time.
    pub fn obey(&self, order: &Order) {
        self.routes.obey(order);
        self.servers.obey(order);
        self.sticky.obey(order);
    }

    /// Orders may have been missed. An administrator who was not heard says it again; what follows
    /// from orders by itself is looked up afresh.
    pub fn missed(&self) {
        self.routes.doubt();
        self.sticky.missed();
    }
}
