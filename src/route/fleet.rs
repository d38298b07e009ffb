//! What all routers of this gatepost share, and what outlives a reload.

use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::Metrics;

use super::order::Order;
use super::presence::Presence;
use super::sticky::Sticky;

/// Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The cache that other gateposts share, or none.
    pub cache: Cache,
    /// Where orders to all gateposts are said and heard.
    pub bus: Bus,
    pub metrics: Metrics,
    /// The sessions that are logged in here.
    pub presence: Presence,
    /// What keeps a user's sessions together.
    pub sticky: Sticky,
}

impl Fleet {
    pub fn new(cache: Cache, metrics: Metrics) -> Self {
        let (bus, presence) = (Bus::new(cache.clone()), Presence::new());
        let sticky = Sticky::new(cache.clone(), bus.clone(), metrics.clone(), presence.clone());
        Self { cache, bus, metrics, presence, sticky }
    }

    /// What the fleet was ordered to do is done here. Within a runtime: some of it takes its time.
    pub fn obey(&self, order: &Order) {
        self.sticky.obey(order);
    }

    /// Orders may have been missed.
    pub fn missed(&self) {
        self.sticky.missed();
    }
}
