//! What outlives a reload.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::boot::rotation;
use crate::boot::watch::Watch;
use crate::memcached::Cache;
use crate::observe::Metrics;
use crate::proxy::Seen;
use crate::route;
use crate::throttle::Zones;
use crate::throttle::logins::Ledger;
use crate::tls::certs::Store;
use crate::tls::server::Shared;

/// What outlives a reload: counters, tickets, certificates that have not changed.
///
/// Reading a configuration and building its [`Model`] may look things up here and leave rows that
/// say nothing, but change nothing that is in force: that is [`Model::take_effect`]'s.
#[derive(Clone, Debug)]
pub struct Kept {
    pub metrics: Metrics,
    pub certificates: Arc<Store>,
    pub tls: Arc<Shared>,
    pub watch: Arc<Watch>,
    /// What the upstreams of SMTP servers offer, by the name of the server.
    seen: Arc<Mutex<HashMap<String, Arc<Seen>>>>,
    pub(super) zones: Zones,
    pub fleet: route::Fleet,
    /// Who has failed to log in, and how often.
    pub ledger: Ledger,
    /// How log files are turned.
    pub logs: Arc<rotation::Logs>,
}

/// The section of networks that are let alone by order.
const SPARED: &str = "login_whitelist";

impl Kept {
    pub fn new() -> Self {
        let metrics = Metrics::new();
        let fleet = route::Fleet::new(Cache::off(), metrics.clone());
        let ledger = Ledger::new(fleet.cache.clone(), fleet.bus.clone(), &metrics);
        let store = fleet.store.clone();
        ledger.keep_spared(move |spared| store.put(SPARED, &spared));
        Self {
            ledger,
            fleet,
            logs: Arc::default(),
            watch: Arc::new(Watch::new(metrics.clone())),
            metrics,
            certificates: Arc::new(Store::default()),
            tls: Arc::new(Shared::new()),
            seen: Arc::default(),
            zones: Zones::default(),
        }
    }

    /// Takes up which networks were let alone by order. After the fleet's own.
    pub fn restore_spared(&self) {
        self.ledger.restore_spared(self.fleet.store.section(SPARED).unwrap_or_default());
    }

    pub(super) fn seen(&self, server: String) -> Arc<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(seen.entry(server).or_default())
    }
}
