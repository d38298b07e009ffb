//! `status`: is all well?

use serde::{Deserialize, Serialize};

use super::{LevelSet, Maintenance, When, words};

words! {
    /// How something is.
    pub enum Health {
        /// All of it works.
        Ok => "ok",
        /// Some of it does not, or not as it should.
        Degraded => "degraded",
        Down => "down",
        /// It is not configured.
        Off => "off",
    }
}

/// The running gatepost at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Judged from what follows, by [`Status::judged`]: who fills this in need not.
    pub state: Health,
    pub version: String,
    pub pid: u32,
    pub started: When,
    pub uptime_s: u64,
    /// The number of the configuration in force; the first is 1.
    pub generation: u64,
    pub sessions: Vec<ProtocolSessions>,
    pub upstreams: Vec<Part>,
    pub lookups: Vec<Part>,
    pub caches: Vec<Part>,
    pub locks: Vec<Locked>,
    pub maintenance: Vec<Maintenance>,
    /// Log levels set by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelSet>,
    /// What else is wrong, a sentence each.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolSessions {
    pub protocol: String,
    /// Not logged in yet.
    pub waiting: u64,
    pub relaying: u64,
}

/// An upstream, a lookup, the cache: how many of its servers work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub state: Health,
    pub usable: u64,
    pub servers: u64,
}

impl Part {
    /// One that is as its servers are.
    pub fn of(name: impl Into<String>, usable: u64, servers: u64) -> Self {
        let state = match usable {
            all if all >= servers => Health::Ok,
            0 => Health::Down,
            _ => Health::Degraded,
        };
        Self { name: name.into(), state, usable, servers }
    }
}

/// A server or handler that is set aside until a probe finds it well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// `upstream` or `lookup`.
    pub kind: String,
    pub name: String,
    pub since: When,
    pub cause: String,
    pub next_probe: Option<When>,
}

impl Status {
    /// The same, with its state: degraded if anything is locked, in maintenance, not whole, or a
    /// problem.
    #[must_use]
    pub fn judged(self) -> Self {
        let mut parts = self.upstreams.iter().chain(&self.lookups).chain(&self.caches);
        let is_whole = parts.all(|part| matches!(part.state, Health::Ok | Health::Off))
            && self.locks.is_empty()
            && self.maintenance.is_empty()
            && self.problems.is_empty();
        Self { state: if is_whole { Health::Ok } else { Health::Degraded }, ..self }
    }
}
