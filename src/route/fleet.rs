//! What all routers of this gatepost share, and what outlives a reload.

use super::cache::{Format, Routes};
use super::group::Group;
use super::handler::Registry;
use super::handler::keep::Keeper;
use super::health::check::{Checks, Patient};
use super::health::servers::Shared;
use super::health::{Servers, Taken};
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
use crate::memcached::bus::{Bus, Heard};
use crate::memcached::{self, Cache};
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
    /// What outlives a restart of the lookup handlers.
    keeper: Keeper,
}

impl Fleet {
    pub fn new(cache: Cache, metrics: Metrics) -> Self {
        Self::with_clock(cache, metrics, Clock::default())
    }

    /// One that shares nothing with anybody.
    #[cfg(test)]
    pub fn alone() -> Self {
        Self::new(Cache::off(), Metrics::new())
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
        let servers = Servers::new(store.clone(), clock, cache.clone(), shared);
        let checks = Checks::default();
        let handlers = Registry::default();
        Self {
            keeper: Keeper::new(&handlers, store.clone(), &metrics, voice.clone()),
            routes: Routes::new(cache.clone(), bus.clone(), &metrics, Format::default()),
            handlers,
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
        self.keeper.restore();
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
            keep_up!("drains", |fleet, stop| fleet.share_drains(stop)),
            keep_up!("leases", |fleet, stop| fleet.sticky.run(stop)),
            keep_up!("handlers", |fleet, stop| fleet.keeper.run(stop)),
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
                    Some(Heard::Late(word)) => {
                        if let Some(order) = Order::read(&word) {
                            self.obey_late(&order);
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
        // What is said again is done again: another may have missed it.
        if self.servers.obey(order) != Some(Taken::Past) {
            self.sticky.obey(order);
        }
    }

    /// The order was given before this process was there: what is done of it stands with
    /// [`order`](super::order).
    fn obey_late(&self, order: &Order) {
        self.routes.obey(order);
        // When one without a stamp was given nobody knows: its sheet is read instead.
        if matches!(order, Order::Drain { stamp: None, .. }) {
            self.servers.missed();
        } else if self.servers.obey(order) == Some(Taken::New) {
            self.sticky.obey(order);
        }
    }

    /// Orders may have been missed. What follows from them by itself is looked up afresh: routes,
    /// leases, maintenance, who is drained. A kick that was not heard has to be ordered again.
    pub fn missed(&self) {
        self.routes.doubt();
        self.servers.missed();
        self.sticky.missed();
    }

    /// Tells the fleet what is known here of servers that are drained, and learns what is not.
    pub async fn share_drains_once(&self) -> Result<(), memcached::Error> {
        self.servers.share(|order| self.turn_to(order)).await
    }

    async fn share_drains<T: Copy>(&self, stop: Halt<T>) {
        self.servers.run(stop, |order| self.turn_to(order)).await;
    }

    /// Of servers that have another duty now: their sessions.
    fn turn_to(&self, order: &Order) {
        self.sticky.obey(order);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::SystemTime;

    use super::*;
    use crate::net::Endpoint;
    use crate::route::presence::{Session, Stay};

    fn session(fleet: &Fleet) -> Stay {
        let end: Endpoint = "192.0.2.1:1".parse::<SocketAddr>().unwrap().into();
        fleet.presence.enter(Session {
            id: 1,
            user: "u",
            protocol: "imap",
            tls: None,
            site: "mail.example",
            client: &end,
            upstream: "stores",
            server: "a",
            address: &end,
            since: SystemTime::UNIX_EPOCH,
        })
    }

    fn drain(stamp: Option<u64>, is_on: bool) -> Order {
        let (upstream, server) = ("stores".to_owned(), "a".to_owned());
        Order::Drain { upstream, server, is_on, end: is_on, stamp }
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_from_before_the_start_ends_nobody_who_has_come_since() {
        let fleet = Fleet::alone();
        let stay = session(&fleet);
        let is_ended = async || {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            stay.kick().is_some()
        };
        let kick = Order::Kick { user: "u".into() };
        fleet.obey_late(&kick);
        // It was drained, and is in use again: said before, heard in any order.
        fleet.obey_late(&drain(Some(20), false));
        fleet.obey_late(&drain(Some(10), true));
        fleet.obey(&drain(Some(10), true));
        fleet.obey_late(&drain(None, true));
        assert!(!is_ended().await);
        assert!(fleet.servers.drained().is_empty());
        // One that nothing newer is known of stands.
        fleet.obey_late(&drain(Some(30), true));
        assert!(is_ended().await);
        assert_eq!(fleet.servers.drained().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_of_now_is_obeyed_and_obeyed_again() {
        let fleet = Fleet::alone();
        let stay = session(&fleet);
        fleet.obey(&Order::Kick { user: "u".into() });
        assert!(stay.kick().is_some());
        drop(stay);
        for _ in 0..2 {
            let stay = session(&fleet);
            fleet.obey(&drain(Some(30), true));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            assert!(stay.kick().is_some());
            drop(stay);
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        }
    }
}
