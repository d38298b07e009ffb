//! # http: the engine, over hyper
//!
//! Two small things for now, both HTTP/1.1 over hyper's own codec: a [`Client`] that asks one
//! origin short questions over kept connections (`auth_http`), and [`server`], which answers
//! monitors (`/metrics`, `/stub_status`) and administrators.
//!
//! **In and out.** [`Url::parse`] reads an address as `auth_http` writes it. [`Client::ask`]
//! takes a request without a body and gives the status and headers of its response; what body
//! comes is drained out of sight. It goes over TLS where it is given a connector. [`server::serve`] takes a listener and
//! [`server::Pages`], which answer requests that were read whole.
//!
//! **Promises.**
//! - One deadline bounds the whole exchange: name lookup, connect, TLS, write, response head.
//! - A response head is bounded by [`MAX_HEAD`]; a body is neither waited for nor kept.
//! - A kept connection is used again only after its last response was read to the end, so an answer
//!   is never another question's. One that died meanwhile costs nothing but a fresh one.
//! - Header names go out in the case they are given in.
//!
//! - A response without a status line, or with an odd one, is read all the same, as nginx's
//!   `auth_http` does; a client that is told to be strict refuses it.
//!
//! **Limits.** No HTTP/2, and no certificate of our own to show to an origin.

mod casing;
mod client;
mod names;
mod opening;
pub mod server;
#[cfg(test)]
pub mod stub;
mod url;

pub use client::{Cause, Client, MAX_HEAD, MAX_HEADERS};
pub use names::Names;
#[doc(hidden)]
pub use opening::hold_for_any;
pub use url::Url;
