//! What is counted of one handler.

use std::time::Duration;

use super::edge::shown;
use crate::observe::Metrics;
use crate::observe::names::{HANDLER_UP, LOOKUP_HEDGES, LOOKUP_SECONDS, LOOKUPS};

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Refused,
    Unknown,
    Wait,
    Failed,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Wait => "wait",
            Self::Failed => "failed",
        }
    }
}

/// By the handler's URL: one that stands in two lookups has one row.
pub struct Figures {
    metrics: Metrics,
    handler: Box<str>,
}

impl Figures {
    pub fn new(metrics: &Metrics, url: &str) -> Self {
        Self { metrics: metrics.clone(), handler: shown(url).into() }
    }

    pub fn took(&self, outcome: Outcome, time: Option<Duration>) {
        self.metrics.counter(&LOOKUPS, &[&self.handler, outcome.name()]).inc();
        if let Some(time) = time {
            self.metrics.histogram(&LOOKUP_SECONDS, &[&self.handler]).observe(time.as_secs_f64());
        }
    }

    pub fn hedged(&self) {
        self.metrics.counter(&LOOKUP_HEDGES, &[&self.handler]).inc();
    }

    /// It is configured no more.
    pub fn gone(&self) {
        self.metrics.forget(&HANDLER_UP, &[&self.handler]);
    }

    pub fn up(&self, is_up: bool) {
        self.metrics.gauge(&HANDLER_UP, &[&self.handler]).set(i64::from(is_up));
    }
}
