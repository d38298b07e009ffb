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
pub mod testing {
    /// What must hold for any bytes at all, one function for each fuzz target.
    pub mod hold {
        pub use crate::config::hold_for_any as config;
        pub use crate::login::exchange::hold_for_any as exchange;
        pub use crate::login::imap::back::hold_for_any as imap_back;
        pub use crate::login::imap::front::hold_for_any as imap_front;
        pub use crate::login::pop3::back::hold_for_any as pop3_back;
        pub use crate::login::pop3::front::hold_for_any as pop3_front;
        pub use crate::observe::escape::hold_for_any as escape;
        pub use crate::tls::pem::hold_for_any as pem;
        pub use crate::wire::haproxy::hold_for_any as haproxy;
        pub use crate::wire::imap::args::hold_for_any as imap_args;
        pub use crate::wire::imap::command::hold_for_any as imap_command;
        pub use crate::wire::imap::id::hold_for_any as imap_id;
        pub use crate::wire::imap::literal::hold_for_any as imap_literal;
        pub use crate::wire::imap::reply::hold_for_any as imap_reply;
        pub use crate::wire::pop3::command::hold_for_any as pop3_command;
        pub use crate::wire::pop3::reply::hold_for_any as pop3_reply;
        pub use crate::wire::sasl::plain::hold_for_any as sasl_plain;
    }

    /// The documents that are cut from the code.
    pub mod docs {
        pub use crate::boot::registry::markdown as directives;
        pub use crate::observe::names::docs as metrics;
        pub use crate::observe::variables;
    }
}
