//! `throttle`: who is kept waiting or out, and forgiving them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::asked::{check_limit, check_named, number};
use super::{Ask, Problem, When, words};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OffendersAsk {
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Ask for OffendersAsk {
    fn check(&self) -> Result<(), Problem> {
        check_limit(self.limit)
    }
}

words! {
    pub enum Verdict {
        /// It is counted, and may go on.
        Watched => "watched",
        Delayed => "delayed",
        Denied => "denied",
    }
}

/// The worst first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offenders {
    pub offenders: Vec<Offender>,
    pub total: u64,
    pub next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// `address`, `network`, `user`; `pair`: a user where he is known; `known`: all who are known at an
    /// address.
    pub kind: String,
    pub key: String,
    pub failures: u64,
    pub verdict: Verdict,
    pub until: Option<When>,
}

/// Whom to forgive: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForgiveAsk {
    /// An address, a network or a user, as the list has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Ask for ForgiveAsk {
    fn check(&self) -> Result<(), Problem> {
        if self.key.is_some() == self.all {
            return Err(Problem::bad("give one of \"key\" and \"all\""));
        }
        self.key.iter().try_for_each(|key| check_named("key", key))
    }
}

/// A network whose failures shall not count any more, or shall again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpareAsk {
    /// An address or a network.
    pub network: String,
    /// Takes it off again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
}

impl Ask for SpareAsk {
    fn check(&self) -> Result<(), Problem> {
        if self.off && self.for_s.is_some() {
            return Err(Problem::bad("give one of \"off\" and \"for_s\""));
        }
        check_named("network", &self.network)
    }
}

/// The networks that were let alone by order; `login_whitelist` is not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spared {
    pub networks: Vec<String>,
    /// Of those that end by themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub until: BTreeMap<String, When>,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgiven {
    pub forgiven: u64,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
