//! `figures`: counters and gauges at one instant, for `gatepost top`. Two of them make rates.

use serde::{Deserialize, Serialize};

use super::{Health, When};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub at: When,
    /// Milliseconds since the process began: what rates are reckoned with.
    pub uptime_ms: u64,
    pub version: String,
    pub protocols: Vec<ProtocolFigures>,
    pub upstreams: Vec<UpstreamFigures>,
    pub cache: CacheFigures,
    pub throttle: ThrottleFigures,
    /// The busiest, by bytes: 50 at the most.
    pub users: Vec<UserFigures>,
}

/// Since the start, but for sessions, which are those of now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolFigures {
    pub protocol: String,
    pub waiting: u64,
    pub relaying: u64,
    pub logins: u64,
    pub refused: u64,
    pub received: u64,
    pub sent: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamFigures {
    pub name: String,
    pub state: Health,
    pub usable: u64,
    pub servers: u64,
    pub sessions: u64,
    pub logins: u64,
    pub failures: u64,
    pub received: u64,
    pub sent: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFigures {
    /// Of the shared servers.
    pub state: Health,
    pub usable: u64,
    pub servers: u64,
    pub entries: u64,
    pub bytes: u64,
    pub process_hits: u64,
    pub shared_hits: u64,
    pub misses: u64,
    pub errors: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleFigures {
    pub allowed: u64,
    pub delayed: u64,
    pub denied: u64,
}

/// Of the sessions of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFigures {
    pub user: String,
    pub sessions: u64,
    pub received: u64,
    pub sent: u64,
}
