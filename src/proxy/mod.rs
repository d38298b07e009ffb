//! # proxy: the face that clients see, in front of somebody else's mail servers
//!
//! Takes an accepted connection through its PROXY header, TLS and login, logs in at the upstream on
//! the client's behalf, tells that one who the client is, and then only moves bytes.
//!
//! **In and out.** [`accept::run`] takes a connection and the [`Door`] it came through, and ends
//! when the session's login has ended; the relay goes on in a task of its own, so that an idle
//! session costs no more than its two streams.
//!
//! **Directives.** In [`directives`].
//!
//! **Promises.**
//! - An unauthenticated client causes no connection to an upstream.
//! - Only peers in `set_real_ip_from` are believed when they say who the client is.
//! - Every session has one access line, however it ends.
//! - A refused login says nothing about what was checked or which host was asked.
//!
//! **Limits.** After login nothing is parsed: a session that is cut by gatepost's end is closed
//! without a goodbye, which could stand in the middle of a message.

pub mod accept;
mod desk;
pub mod directives;
pub mod doctor;
pub mod kerberos;
mod learned;
mod relay;
mod session;
mod site;

pub use directives::DIRECTIVES;
pub use learned::{Offered, Seen};
pub use site::{After, Door, Security, Site, Towards};
