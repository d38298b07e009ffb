//! What the cache counts, resolved once.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Reason;
use super::process::Process;
use super::question::Question;
use crate::observe::{Metrics, names};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    Process,
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    Hit,
    Stale,
    Miss,
    Refused,
    Error,
}

pub const TIERS: [&str; 2] = ["process", "shared"];
pub const KINDS: [&str; 2] = ["route", "id"];
pub const RESULTS: [&str; 5] = ["hit", "stale", "miss", "refused", "error"];

#[derive(Debug)]
pub struct Figures {
    /// By tier, kind and result.
    requests: [[[Counter; 5]; 2]; 2],
    connect_failed: Counter,
    login_refused: Counter,
    changed: Counter,
    purged: Counter,
    bytes: Gauge,
    entries: Gauge,
}

impl Figures {
    pub fn new(metrics: &Metrics) -> Self {
        let evictions = |reason| metrics.counter(&names::CACHE_EVICTIONS, &[reason]);
        Self {
            requests: TIERS.map(|tier| {
                KINDS.map(|kind| {
                    RESULTS.map(|result| {
                        metrics.counter(&names::CACHE_REQUESTS, &[tier, kind, result])
                    })
                })
            }),
            connect_failed: evictions("connect_failed"),
            login_refused: evictions("login_refused"),
            changed: evictions("changed"),
            purged: evictions("purged"),
            bytes: metrics.gauge(&names::CACHE_BYTES, &[]),
            entries: metrics.gauge(&names::CACHE_ENTRIES, &[]),
        }
    }

    pub fn asked(&self, tier: Tier, question: &Question, result: Result) {
        let kind = usize::from(question.is_by_id());
        self.requests[tier as usize][kind][result as usize].inc();
    }

    /// What came of questions to a tier about a kind, in the order of [`RESULTS`].
    pub fn counts(&self, tier: usize, kind: usize) -> [u64; RESULTS.len()] {
        self.requests[tier][kind].each_ref().map(Counter::get)
    }

    pub fn evicted(&self, reason: Reason) {
        match reason {
            Reason::ConnectFailed => self.connect_failed.inc(),
            Reason::LoginRefused => self.login_refused.inc(),
            Reason::Changed => self.changed.inc(),
        };
    }

    pub fn purged(&self, count: usize) {
        self.purged.inc_by(count as u64);
    }

    pub fn weigh(&self, process: &Process) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.bytes.set(number(process.bytes()));
        self.entries.set(number(process.entries() as u64));
    }
}
