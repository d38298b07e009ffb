//! `lookups`: the handlers that say where users are.

use serde::{Deserialize, Serialize};

use super::asked::check_named;
use super::{Ask, Problem, When, words};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lookups {
    pub handlers: Vec<Handler>,
}

words! {
    pub enum HandlerState {
        Up => "up",
        /// After failures, until it is tried again.
        SetAside => "set_aside",
        Locked => "locked",
        /// By hand.
        Disabled => "disabled",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handler {
    /// The `lookup` block it is of, or `auth_http`.
    pub lookup: String,
    pub url: String,
    /// Where it is configured: `gatepost.conf:12`.
    pub from: String,
    pub state: HandlerState,
    /// The protocols whose logins it rules on.
    pub protocols: Vec<String>,
    pub weight: u64,
    pub last: Option<LastAnswer>,
    pub asked: u64,
    pub errors: u64,
    /// In a row, up to now.
    #[serde(default)]
    pub failures_in_row: u64,
    /// Questions that it is at.
    #[serde(default)]
    pub in_flight: u64,
    pub last_error: Option<String>,
    pub next_try: Option<When>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// `ok`, `refused`, `unknown`, `wait`, `failed`.
    pub result: String,
    pub at: When,
    pub ms: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandlerAsk {
    /// Its URL, or its host and port.
    pub handler: String,
    /// Where several lookups have that handler, the one that is meant; left out, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<String>,
}

impl Ask for HandlerAsk {
    fn check(&self) -> Result<(), Problem> {
        check_named("handler", &self.handler)
    }
}
