//! `caches` and `cache`: what is kept, where, and forgetting it.

use serde::{Deserialize, Serialize};

use super::asked::{check_limit, check_named, number};
use super::{Ask, Health, Problem};

/// How many users one purge may name.
const MOST_USERS: usize = 100;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caches {
    pub process: Process,
    /// Those that the fleet shares.
    pub servers: Vec<CacheServer>,
    pub kinds: Vec<KindCount>,
}

/// What is kept in the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub entries: u64,
    pub bytes: u64,
    pub max_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheServer {
    /// `host:port`
    pub address: String,
    pub state: Health,
    pub requests: u64,
    pub errors: u64,
    pub last_error: Option<String>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// How often a tier had what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindCount {
    /// `process` or `shared`.
    pub tier: String,
    pub kind: String,
    pub hits: u64,
    pub stale: u64,
    pub misses: u64,
    /// Values that were not believed.
    pub refused: u64,
    pub errors: u64,
}

/// What to forget: exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeAsk {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Ask for PurgeAsk {
    fn check(&self) -> Result<(), Problem> {
        let given = [!self.users.is_empty(), self.domain.is_some(), self.all];
        if given.iter().filter(|is_given| **is_given).count() != 1 {
            return Err(Problem::bad("give one of \"users\", \"domain\" and \"all\""));
        }
        if self.users.len() > MOST_USERS {
            return Err(Problem::bad(format!("more than {MOST_USERS} users in one purge")));
        }
        self.users.iter().try_for_each(|user| check_named("users", user))?;
        self.domain.iter().try_for_each(|domain| check_named("domain", domain))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Every key of the users that was deleted, on every server; none for a domain or for all, which
    /// are forgotten by a new generation of keys.
    pub removed: Vec<Removed>,
    /// Entries of this process that are gone.
    pub entries: u64,
    pub told_fleet: bool,
    /// What did not work, a sentence each.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// `host:port`
    pub server: String,
    /// The logical key.
    pub key: String,
    pub found: bool,
}

/// Which entries: with a user, every key that the user can have, on every server; without, what the
/// process keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListAsk {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Ask for ListAsk {
    fn check(&self) -> Result<(), Problem> {
        if self.user.is_some() && self.domain.is_some() {
            return Err(Problem::bad("give \"user\" or \"domain\", not both"));
        }
        check_limit(self.limit)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    pub entries: Vec<Entry>,
    pub total: u64,
    /// The `after` of the next page, if there is one.
    pub next: Option<u64>,
    /// Servers that did not say what they have, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `host:port`, or `process`.
    pub server: String,
    pub key: String,
    /// None: there is nothing under this key.
    pub value: Option<String>,
    /// For how long it is believed.
    pub ttl_s: Option<u64>,
}
