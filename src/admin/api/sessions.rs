//! `sessions` and `users`: who is here, where a user is, and going elsewhere.

use serde::{Deserialize, Serialize};

use super::asked::{check_limit, check_named, number};
use super::{Ask, Problem, When};

/// Which sessions: every field that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsAsk {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// An address or a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Only sessions with higher numbers: the `next` of the answer before.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Ask for SessionsAsk {
    fn check(&self) -> Result<(), Problem> {
        check_limit(self.limit)
    }
}

/// One session of this gatepost that has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// As `*1` in the error log.
    pub number: u64,
    pub protocol: String,
    pub user: Option<String>,
    /// Where it comes from: an address and port.
    pub client: String,
    pub tls: Option<String>,
    pub upstream: Option<String>,
    pub server: Option<String>,
    pub since: When,
    /// Bytes from the client, and to it.
    pub received: u64,
    pub sent: u64,
}

/// A page of sessions, by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    pub sessions: Vec<Session>,
    /// How many match in all.
    pub total: u64,
    /// The `after` of the next page, if there is one.
    pub next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserAsk {
    pub user: String,
}

impl Ask for UserAsk {
    fn check(&self) -> Result<(), Problem> {
        check_named("user", &self.user)
    }
}

/// Where a user's sessions are, and where the next one would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    pub user: String,
    /// The route that is kept, if one is.
    pub route: Option<Route>,
    /// What binds the user to a server while sessions live anywhere in the fleet.
    pub lease: Option<Lease>,
    /// Where sticky upstreams without a lease would begin, by the hash of the name, were all servers up.
    pub hash: Vec<Place>,
    /// The user's sessions on this gatepost.
    pub sessions: Vec<Session>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub upstream: Option<String>,
    pub server: String,
    /// `process`, `shared` or `fresh`.
    pub origin: String,
    pub age_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub upstream: String,
    pub server: String,
    pub expires_s: u64,
}

/// A server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub upstream: String,
    pub server: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kicked {
    pub user: String,
    /// Of this gatepost; others end theirs as they hear of it.
    pub sessions: u64,
    pub told_fleet: bool,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveAsk {
    pub user: String,
    /// The server for the next login; left out, whichever the route and the balance give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Ask for MoveAsk {
    fn check(&self) -> Result<(), Problem> {
        check_named("user", &self.user)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub user: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub sessions: u64,
    pub told_fleet: bool,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
