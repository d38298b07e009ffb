//! A login, or a connection, that is one too many.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::figures::By;
use crate::login::{self, Kind, Mechanism, Refusal};

/// Why somebody is turned away. It has been logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The rule that he has run into.
    pub by: By,
    pub manner: Manner,
    /// The operator's words; none for the protocol's own.
    pub text: Option<Arc<str>>,
    /// How long the answer is kept back.
    pub wait: Option<Duration>,
    /// When another try may be worth it, as far as is known.
    pub retry: Option<Duration>,
    pub count: u64,
    pub limit: u64,
}

/// Whose words they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With the protocol's response codes.
    Own,
    /// As Zimbra's proxy says it, byte by byte.
    Zimbra,
}

impl Denied {
    /// What answers the login. The session ends with it.
    pub fn refusal(&self, protocol: &str, mechanism: Mechanism) -> Refusal {
        let refusal = match (self.manner, &self.text) {
            (Manner::Zimbra, Some(text)) => login::rejected(protocol, mechanism, text),
            (_, Some(text)) => Refusal::new(Kind::Throttled).with_text(text.as_bytes()),
            (_, None) => Refusal::new(Kind::Throttled),
        };
        // RFC 5321 §3.8: 421 announces the close.
        let is_smtp = matches!(protocol, "smtp" | "lmtp");
        let code = is_smtp.then(|| "421 4.7.0".to_owned());
        Refusal { close: true, code, wait: self.wait.unwrap_or_default(), ..refusal }
    }

    /// What is said in place of a greeting, CRLF included.
    pub fn farewell(&self, protocol: &str) -> String {
        let text = self.text.as_deref().unwrap_or("too many connections, try again later");
        login::turned_away(protocol, text)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "login throttle: deny by {} [count:{}, limit:{}]",
            self.by.name(),
            self.count,
            self.limit
        )
    }
}
