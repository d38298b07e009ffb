//! What all routers of this gatepost share, and what outlives a reload.

use super::cache::{Format, Routes};
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::Metrics;

/// Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The cache that other gateposts share, or none.
    pub cache: Cache,
    /// Where orders to all gateposts are said and heard.
    pub bus: Bus,
    pub metrics: Metrics,
    /// What is known of routes, in the process and in the cache.
    pub routes: Routes,
}

impl Fleet {
    pub fn new(cache: Cache, metrics: Metrics) -> Self {
        Self::of(cache, metrics, Format::default())
    }

    /// Where the cache is shared with Zimbra's proxies, or not.
    pub fn of(cache: Cache, metrics: Metrics, format: Format) -> Self {
        let bus = Bus::new(cache.clone());
        let routes = Routes::new(cache.clone(), bus.clone(), &metrics, format);
        Self { cache, bus, metrics, routes }
    }
}
