//! `auth_http`: the question put to a lookup handler and what its answer means. Pure.
//!
//! nginx's protocol, header for header. Where it differs:
//! - HTTP/1.1, so that a connection can be kept.
//! - `Auth-Server` may be a host's name.
//! - A DEL in a name or password is escaped too: it cannot stand in a header.
//! - After nginx's headers come ours: `Auth-Authz-User`, an authorization identity, escaped as
//!   `Auth-User` is, which stays the name whose password `Auth-Pass` is; `Client-Port`,
//!   `Server-Addr` and `Server-Port`.
//! - An answer may say how its upstream is to be spoken to (`Auth-Upstream-TLS`), that the master
//!   user logs in there (`Auth-Upstream-Master`), and what a SCRAM client's proof is held against
//!   (`Auth-Verifier`).
//!
//! Beside it is the protocol of Zimbra's proxy, in [`nle`].

mod answer;
pub mod directives;
mod flaw;
pub mod nle;
mod question;

pub use answer::{Accepted, Answer, Refused, answer, hold_for_any};
pub use flaw::{Flaw, own_words};
pub use question::{Manner, NAMES, escape, question};

#[cfg(test)]
mod tests;
