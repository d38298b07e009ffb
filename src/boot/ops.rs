//! What this process answers to an admin. To come: all that `route` and `throttle` know.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::admin::api::{Health, Status};
use crate::admin::{Ops, Reply};

/// The process that runs.
#[derive(Debug)]
pub struct Running {
    started: SystemTime,
    since: Instant,
}

impl Running {
    /// As of now.
    pub fn new() -> Self {
        Self { started: SystemTime::now(), since: Instant::now() }
    }

    fn uptime(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Ops for Running {
    fn status(&self) -> Reply<'_, Status> {
        let status = Status {
            state: Health::Ok,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started.into(),
            uptime_s: self.uptime().as_secs(),
            generation: 0,
            sessions: Vec::new(),
            upstreams: Vec::new(),
            lookups: Vec::new(),
            caches: Vec::new(),
            locks: Vec::new(),
            maintenance: Vec::new(),
            problems: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(status)))
    }
}
