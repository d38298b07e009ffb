//! `upstreams`: the groups of servers, and taking one out.

use serde::{Deserialize, Serialize};

use super::asked::check_named;
use super::{Ask, Health, Problem, When, words};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstreams {
    pub upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    pub name: String,
    pub state: Health,
    /// `round_robin`, `least_conn`, `hash`, …
    pub balance: String,
    pub sticky: bool,
    pub servers: Vec<Server>,
}

words! {
    pub enum ServerState {
        Up => "up",
        /// It serves when no other does.
        Backup => "backup",
        /// Marked after failures, for `fail_timeout`.
        Failed => "failed",
        /// Until a probe finds it well.
        Locked => "locked",
        /// By the configuration.
        Down => "down",
        /// It keeps the sessions that it has.
        Draining => "draining",
        /// Its sessions were ended.
        Removed => "removed",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// As it is configured: `host:port`.
    pub address: String,
    pub state: ServerState,
    pub weight: u64,
    pub sessions: u64,
    /// None: any number.
    pub max_conns: Option<u64>,
    pub failures: u64,
    /// Since when it is in this state, if it ever changed.
    pub since: Option<When>,
    pub last_error: Option<String>,
    pub next_probe: Option<When>,
    /// How long logins there took.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// Which servers: one, or all of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServersAsk {
    pub upstream: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Of `drain`: end the sessions that are there, too. `remove` always does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

impl Ask for ServersAsk {
    fn check(&self) -> Result<(), Problem> {
        check_named("upstream", &self.upstream)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What is in another state than before.
    pub changed: Vec<String>,
    /// Sessions of this gatepost that were ended.
    pub sessions: u64,
    pub told_fleet: bool,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
