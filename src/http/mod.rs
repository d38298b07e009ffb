//! # http: the engine, over hyper
//!
//! Two small things for now, both HTTP/1.1 over hyper's own codec: a [`Client`] that asks one
//! origin short questions over kept connections (`auth_http`), and [`server`], which shows pages
//! to a monitor (`/metrics`, `/stub_status`).
//!
//! **In and out.** [`Url::parse`] reads an address as `auth_http` writes it. [`Client::ask`]
//! takes a request without a body and gives the status and headers of its response; what body
//! comes is drained out of sight. [`server::serve`] takes a listener and a function from path to
//! [`server::Page`].
//!
//! **Promises.**
//! - One deadline bounds the whole exchange: name lookup, connect, write, response head.
//! - A response head is bounded by [`MAX_HEAD`]; a body is neither waited for nor kept.
//! - A kept connection is used again only after its last response was read to the end, so an answer
//!   is never another question's. One that died meanwhile costs nothing but a fresh one.
//! - Header names go out in the case they are given in.
//!
//! **Limits.** No TLS to an origin yet, no HTTP/2. A response needs a status line: headers alone,
//! which nginx's `auth_http` takes, are not HTTP and are refused as such.

mod casing;
mod client;
mod names;
pub mod server;
#[cfg(test)]
pub mod stub;
mod url;

pub use client::{Cause, Client, MAX_HEAD};
pub use names::Names;
pub use url::Url;
