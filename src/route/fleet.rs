//! What all routers of this gatepost share, and what outlives a reload.

use super::handler::Registry;
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
    /// What is known of the lookup handlers.
    pub handlers: Registry,
    pub metrics: Metrics,
}

impl Fleet {
    pub fn new(cache: Cache, metrics: Metrics) -> Self {
        let handlers = Registry::default();
        Self { bus: Bus::new(cache.clone()), handlers, cache, metrics }
    }
}
