//! What a client said to be let in.

use super::Secret;

/// One attempt to log in: what the client sent, decoded, with nothing decided.
///
/// No field holds CR, LF or NUL: the fronts refuse them, because a user name ends up in upstream
/// commands, headers, cache keys and log lines.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub mechanism: Mechanism,
    /// The authentication identity: whose password it is.
    pub user: Box<[u8]>,
    /// The authorization identity, if one was given and differs (RFC 4616 §2).
    pub authzid: Option<Box<[u8]>>,
    pub secret: Secret,
    /// What the client, or the proxy in front of us, said of itself before it logged in.
    pub claims: Claims,
}

impl Attempt {
    /// The name that is looked up: whose mailbox it is.
    pub fn mailbox(&self) -> &[u8] {
        self.authzid.as_deref().unwrap_or(&self.user)
    }
}

/// How the credentials came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// IMAP `LOGIN`, POP3 `USER`/`PASS`.
    Login,
    /// SASL PLAIN (RFC 4616).
    Plain,
    /// SASL LOGIN (draft-murchison-sasl-login).
    AuthLogin,
}

impl Mechanism {
    /// As access lines say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Plain => "auth-plain",
            Self::AuthLogin => "auth-login",
        }
    }
}

/// What a peer said of itself and of whoever is behind it: IMAP ID (RFC 2971), POP3 XCLIENT.
///
/// Only claims: the desk believes addresses from trusted networks alone. `ttl` may be believed from
/// anyone, since a small one harms only its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// IMAP ID `name` and `version`, printable and short.
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    /// `x-originating-ip`, `x-originating-port`, XCLIENT `ADDR`, `PORT`, XOIP.
    pub client_ip: Option<std::net::IpAddr>,
    pub client_port: Option<u16>,
    /// `x-session-id`, XCLIENT `SESSION`: printable, no blanks, at most 64 bytes.
    pub session: Option<String>,
    /// `x-proxy-ttl`, XCLIENT `TTL`: how many more proxies may follow.
    pub ttl: Option<u8>,
}
