//! Simulations on a paused clock.

mod accounts;
mod fleet;
mod nodes;
mod words;

use std::net::IpAddr;

use super::directives::Settings;
use super::*;
use crate::config::Block;
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::Metrics;

/// One gatepost with one server.
pub struct Node {
    pub ledger: Ledger,
    pub logins: Logins,
    pub metrics: Metrics,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    In,
    /// Put to the test, and wrong.
    Failed,
    Denied(By),
}

pub const SECOND: Duration = Duration::from_secs(1);

pub fn settings(text: &str) -> Settings {
    let block = Block::parse(text);
    let settings = Settings::read(&block, &Settings::default());
    assert_eq!(block.faults(), [] as [&str; 0]);
    settings
}

impl Node {
    pub fn new(text: &str, cache: &Cache) -> Self {
        Self::logging(text, cache, Log::silent())
    }

    pub fn logging(text: &str, cache: &Cache, log: Log) -> Self {
        let metrics = Metrics::new();
        let ledger = Ledger::new(cache.clone(), Bus::new(cache.clone()), &metrics);
        let logins = Logins::new("mail.example", &settings(text), &ledger, log);
        Self { ledger, logins, metrics }
    }

    pub async fn before(&self, ip: &str, user: &str) -> Result<Entry, Denied> {
        let ip: IpAddr = ip.parse().unwrap();
        let who = Who { ip: Some(ip), user: user.as_bytes(), protocol: "imap" };
        self.logins.before(&who).await
    }

    /// A whole attempt, as a desk makes it.
    pub async fn attempt(&self, ip: &str, user: &str, is_right: bool) -> Came {
        let mut entry = match self.before(ip, user).await {
            Ok(entry) => entry,
            Err(denied) => return Came::Denied(denied.by),
        };
        tokio::time::sleep(entry.delay()).await;
        entry.begin();
        entry.shown();
        match is_right {
            true => match entry.succeeded().await {
                Ok(()) => {
                    settle().await;
                    Came::In
                }
                Err(denied) => Came::Denied(denied.by),
            },
            false => {
                entry.failed(RefusedBy::Us).await;
                Came::Failed
            }
        }
    }

    /// So many guesses; gives how many were put to the test.
    pub async fn guess(&self, ip: &str, user: &str, count: u32) -> u32 {
        let mut tested = 0;
        for _ in 0..count {
            tested += u32::from(self.attempt(ip, user, false).await == Came::Failed);
        }
        tested
    }

    pub fn decisions(&self, by: &str, verdict: &str) -> u64 {
        let line =
            format!("gatepost_throttle_decisions_total{{rule=\"{by}\",verdict=\"{verdict}\"}} ");
        let text = self.metrics.render();
        let found = text.lines().find_map(|found| found.strip_prefix(&line));
        found.unwrap_or("0").parse().unwrap()
    }
}

/// Lets what was begun in the background end.
pub async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// No delays, small numbers.
pub const STRICT: &str = "
    login_failures_address 5/60s free=5 delay=0s;
    login_failures_prefix 20/60s free=20 delay=0s;
    login_failures_user 8/60s free=8 delay=0s;
";
