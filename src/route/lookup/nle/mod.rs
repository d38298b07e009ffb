//! The protocol of Zimbra's proxy and its lookup servlet ("NLE"): a route for a name, nothing about
//! a password. Pure; both sides of it: [`question()`] and [`answer()`] ask a servlet, [`serve`] is one.
//!
//! It is `auth_http` turned inside out: the password is a placeholder, the upstream's protocol is
//! named instead of the client's, and the answer names the account. Where gatepost differs:
//! - HTTP/1.1, so that a connection can be kept; Zimbra's proxy says HTTP/1.0 and hangs up.
//! - A DEL in a name is escaped too: it cannot stand in a header.
//! - A client of a unix socket has the address 127.0.0.1.
//! - What the servlet says is told apart by its words: an unknown user, a refusal, trouble that will
//!   pass. Zimbra's proxy refuses the login for all three.
//! - `smtp`, `lmtp` and `sieve` are protocols, too. Zimbra's servlet knows none of them.
//!
//! **Limits.** Names of web requests (`Auth-Zimbra-Admin`, `Auth-Zimbra-Zx`, `X-Proxy-Host`) are read
//! where gatepost is asked and not sent where it asks: it has no web face yet.

mod answer;
mod question;
pub mod serve;

pub use answer::{Answer, Denied, Found, TEMPORARY, Words, answer, hold_for_any};
pub use question::{Manner, NAMES, question};

/// What `Auth-Pass` says in place of a password.
pub const PLACEHOLDER: &str = "_password_";

/// Where Zimbra's servlet is, of a URL that says nothing about it.
pub const PATH: &str = "/service/extension/nginx-lookup";

/// How the user is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a name or an alias.
    Username,
    /// By the account's id.
    ZimbraId,
    /// By a Kerberos principal; the answer brings a token.
    Gssapi,
    /// By the subject of a certificate; the answer brings a token, and no server.
    CertAuth,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::ZimbraId => "zimbraId",
            Self::Gssapi => "gssapi",
            Self::CertAuth => "certauth",
        }
    }

    pub fn by_name(name: &[u8]) -> Option<Self> {
        let all = [Self::Username, Self::ZimbraId, Self::Gssapi, Self::CertAuth];
        all.into_iter().find(|method| name.eq_ignore_ascii_case(method.name().as_bytes()))
    }
}

/// The protocols that may be asked for, each with TLS from the first byte or without.
pub const PROTOCOLS: &[(&str, &str)] = &[
    ("imap", "imapssl"),
    ("pop3", "pop3ssl"),
    ("http", "httpssl"),
    ("smtp", "smtpssl"),
    ("lmtp", "lmtpssl"),
    ("sieve", "sievessl"),
];

#[cfg(test)]
mod tests;
