//! What the throttles ruled, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::observe::Metrics;
use crate::observe::names::{THROTTLE_DECISIONS, THROTTLE_KEYS};

/// What it is that ruled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// All of gatepost's own together: nothing spoke against it.
    Login,
    /// `login_failures_address`
    Address,
    /// `login_failures_prefix`
    Prefix,
    /// `login_failures_user`
    User,
    /// The same, of a user at an address that he is known at.
    Pair,
    /// The same, of an account by all its names together.
    Account,
    /// `login_attempts_address`
    Attempts,
    /// `login_throttle_fail`
    Cache,
    /// `mail_login_ip_*`
    ZimbraIp,
    /// `mail_login_user_*`
    ZimbraUser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Delay,
    Deny,
    FailOpen,
    FailClosed,
}

impl By {
    const ALL: [Self; 10] = [
        Self::Login,
        Self::Address,
        Self::Prefix,
        Self::User,
        Self::Pair,
        Self::Account,
        Self::Attempts,
        Self::Cache,
        Self::ZimbraIp,
        Self::ZimbraUser,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Address => "address",
            Self::Prefix => "prefix",
            Self::User => "user",
            Self::Pair => "pair",
            Self::Account => "account",
            Self::Attempts => "attempts",
            Self::Cache => "cache",
            Self::ZimbraIp => "zimbra_ip",
            Self::ZimbraUser => "zimbra_user",
        }
    }
}

const VERDICTS: [&str; 5] = ["allow", "delay", "deny", "fail_open", "fail_closed"];

/// Attempts, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub allowed: u64,
    pub delayed: u64,
    pub denied: u64,
}

/// Every counter, resolved once.
#[derive(Debug)]
pub struct Figures {
    ruled: [[Counter; VERDICTS.len()]; By::ALL.len()],
    pub keys: Gauge,
}

impl Figures {
    pub fn new(metrics: &Metrics) -> Self {
        let counter =
            |by: By, verdict: &str| metrics.counter(&THROTTLE_DECISIONS, &[by.name(), verdict]);
        Self {
            ruled: By::ALL.map(|by| VERDICTS.map(|verdict| counter(by, verdict))),
            keys: metrics.gauge(&THROTTLE_KEYS, &[]),
        }
    }

    /// How many attempts were let on at once, let on late, and refused, since the start.
    pub fn sums(&self) -> Sums {
        let sum = |verdict: Verdict| self.ruled.iter().map(|by| by[verdict as usize].get()).sum();
        let denied: u64 = sum(Verdict::Deny);
        Sums { allowed: sum(Verdict::Allow), delayed: sum(Verdict::Delay), denied }
    }

    pub fn count(&self, by: By, verdict: Verdict) {
        self.ruled[by as usize][verdict as usize].inc();
    }
}
