//! How the servers of upstreams are: what logins and checks have found out, for all workers, and
//! across reloads.
//!
//! **In and out.** [`Servers`] knows every group by its name; a [`Group`](super::Group) takes its own
//! [`Ward`] from there and asks it which server is next. A login that is sent somewhere holds a
//! [`Slot`], and says through it how it went. [`check`] asks servers by itself.
//!
//! **Promises.**
//! - Nothing is kept twice: two workers, and two configurations, see the same counts.
//! - What is known is bounded by the configuration: servers that are gone from it are forgotten with
//!   their last connection, and of one server no more than 64 addresses are kept.

pub mod check;
mod drains;
pub mod greeting;
mod passive;
pub mod probe;
pub mod servers;
mod service;
mod sheet;
mod slot;
mod ward;

#[cfg(test)]
mod tests;

pub use servers::Servers;
pub use service::Fit;
pub use sheet::Taken;
pub use slot::Slot;
pub use ward::{Ward, Wish};

/// What must hold for whatever a server says in a test, and for whatever the cache says of servers.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    greeting::hold_for_any(input);
    sheet::hold_for_any(input);
}
