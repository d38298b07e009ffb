//! What all routers of this gatepost share, and what outlives a reload.

use super::source::Home;
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
    /// Where files, databases and directories are asked.
    pub sources: Home,
}

impl Fleet {
    pub fn new(cache: Cache, metrics: Metrics) -> Self {
        Self { bus: Bus::new(cache.clone()), cache, metrics, sources: Home::default() }
    }
}
