//! What is asked and answered, as JSON: the shapes, versioned by the `/v1` of every path.
//!
//! A field that is added is no new version; a question's unknown field is refused, an answer's is
//! passed over. Instants are RFC 3339 in UTC, durations say their unit in their name (`_s`, `_ms`).

mod addresses;
mod asked;
mod caches;
mod doctor;
mod figures;
mod logs;
mod lookups;
mod maintenance;
mod report;
mod sessions;
mod status;
mod throttle;
mod upstreams;
mod zimbra;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use addresses::*;
pub use asked::{Ask, Asked, MAX_BODY, hold_for_any};
pub use caches::*;
pub use doctor::*;
pub use figures::*;
pub use logs::*;
pub use lookups::*;
pub use maintenance::*;
pub use report::*;
pub use sessions::*;
pub use status::*;
pub use throttle::*;
pub use upstreams::*;
pub use zimbra::*;

/// How many rows an answer has where nobody says, and at the most.
pub const ROWS: u64 = 100;
pub const MOST_ROWS: u64 = 1000;

/// An enum whose variants are stable words.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident => $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

use words;

/// Why there is no answer: for the asker's eyes, so nothing in it may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub text: String,
    /// What would do.
    pub hint: Option<String>,
}

/// How a problem is written, `{"error": {…}}`, and read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub error: Words,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    pub code: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), hint: None }
    }

    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The question makes no sense.
    pub fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", text)
    }

    /// There is no such user, upstream, handler, path.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", text)
    }

    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", text)
    }

    /// The listener has a token, and the request shows none, or another.
    pub fn unauthorized() -> Self {
        let text = "a token is asked for here";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
            .hint("send \"Authorization: Bearer TOKEN\"")
    }

    /// The listener answers questions only.
    pub fn read_only() -> Self {
        let text = "this listener changes nothing";
        Self::new(StatusCode::FORBIDDEN, "read_only", text)
            .hint("use the control socket, or set api=full on the \"metrics\" directive")
    }

    pub fn wrong_method(method: &str, path: &str) -> Self {
        let text = format!("{path} is asked with {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", text)
    }

    pub fn wrong_type() -> Self {
        let text = "the body must be application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_type", text)
            .hint("curl --json does that")
    }

    /// It cannot be done as things are; another time it may.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", text)
    }

    /// Not with this configuration, or not in this build.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported", text)
    }

    /// What it takes is down: the cache, a handler.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
    }

    pub fn timed_out() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", "it took too long")
    }

    /// The answer would be longer than anybody should read.
    pub fn too_much() -> Self {
        let text = "the answer is too long";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "too_much", text).hint("ask for fewer rows")
    }

    /// The same, under another status.
    pub fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// By the status of a request that could not be read.
    pub fn unread(status: StatusCode) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let text = format!("the body is longer than {MAX_BODY} bytes");
                Self::new(status, "too_large", text)
            }
            StatusCode::REQUEST_TIMEOUT => Self::new(status, "timed_out", "the body did not come"),
            _ => Self::bad("the body breaks HTTP"),
        }
    }

    pub fn told(&self) -> Told {
        let (code, text, hint) = (self.code.to_owned(), self.text.clone(), self.hint.clone());
        Told { error: Words { code, text, hint } }
    }
}

/// A question without any fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Ask for Nothing {}

/// An instant, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(Timestamp);

impl When {
    pub fn from_unix(seconds: i64) -> Self {
        Self(Timestamp::from_second(seconds).unwrap_or_default())
    }

    pub fn unix(self) -> i64 {
        self.0.as_second()
    }

    /// How long it is from `earlier` to this; nothing if that is the wrong way round.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.unix() - earlier.unix()).unwrap_or(0))
    }

    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<SystemTime> for When {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for When {
    fn from(time: Timestamp) -> Self {
        Self::from_unix(time.as_second())
    }
}

impl From<When> for SystemTime {
    fn from(when: When) -> Self {
        Self::UNIX_EPOCH + Duration::from_secs(u64::try_from(when.unix()).unwrap_or(0))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for When {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(Self::from)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            let words = format!("\"{text}\" is no time as in 2026-11-20T18:22:18Z");
            serde::de::Error::custom(words)
        })
    }
}

#[cfg(test)]
mod tests;
