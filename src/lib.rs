//! # gatepost: a reverse mail proxy
//!
//! The map of the house, floor by floor. Imports go **down** only; `tests/house.rs` keeps it so,
//! and `docs/architecture.md` says why.
//!
//! ```text
//! roof      cli      boot                                  wiring and process life
//! faces     proxy                                          who a peer talks to
//! services  route                                          decisions; no peer's words in them
//! means     observe  config   net  tls  http  session      how bytes, time and settings reach us
//! pure      wire     login                                 compute only: no socket, clock, log
//! ```

mod login;
mod wire;

mod config;
mod http;
mod net;
mod observe;
mod session;
mod tls;

mod route;

mod proxy;

mod boot;
pub mod cli;

/// What `tests/`, `bench/` and `fuzz/` need to see of the private rooms.
#[doc(hidden)]
pub mod testing {}
