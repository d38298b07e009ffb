//! # gatepost: a reverse mail proxy
//!
//! The map of the house, floor by floor. Imports go **down** only; `tests/house.rs` keeps it so,
//! and `docs/architecture.md` says why.
//!
//! ```text
//! roof      cli      conf    boot                           wiring and process life
//! faces     proxy    admin                                 who a peer talks to
//! services  throttle  route                                decisions; no peer's words in them
//! means     observe  config   net  tls  memcached  http  session bytes, time and settings reach us
//! pure      wire     login     settings  template          compute only: no socket, clock, log
//! ```

mod login;
mod settings;
mod template;
mod wire;

mod config;
mod http;
mod memcached;
mod net;
mod observe;
mod session;
mod tls;

mod route;
mod throttle;

mod admin;
mod proxy;

mod boot;
pub mod cli;
mod conf;

/// What `tests/`, `bench/` and `fuzz/` need to see of the private rooms.
#[doc(hidden)]
pub mod testing {
    /// What must hold for any bytes at all, a table for each fuzz target.
    pub mod hold {
        /// The letter that asks for it, as an input's first byte, and the function that gets the
        /// rest. A letter that was given stays: the inputs in fuzz/ begin with it.
        pub type Row = (u8, fn(&[u8]));

        /// Each target by its name; of the same name are its folders in fuzz/.
        pub const TARGETS: &[(&str, &[Row])] =
            &[("config", CONFIG), ("wire", WIRE), ("login", LOGIN)];

        /// What an operator writes, and how it is shown.
        pub const CONFIG: &[Row] = &[
            (b'c', crate::config::hold_for_any),
            (b'v', crate::config::value::hold_for_any),
            (b'm', crate::boot::hold_for_any),
            (b'n', crate::tls::names::hold_for_any),
            (b'p', crate::tls::pem::hold_for_any),
            (b'C', crate::tls::certs::facts::hold_for_any),
            (b'k', crate::tls::unlock::hold_for_any),
            (b'e', crate::observe::escape::hold_for_any),
            (b'R', crate::observe::rotate::hold_for_any),
            (b'f', crate::observe::format::hold_for_any),
            (b't', crate::throttle::hold_for_any),
            (b'i', crate::throttle::logins::directives::hold_for_any),
            (b'K', crate::proxy::kerberos::hold_for_any),
            (b'U', crate::route::state::hold_for_any),
            (b'o', crate::cli::format::hold_for_any),
            (b's', crate::settings::hold_for_any),
            (b'z', crate::settings::zimbra::hold_for_any),
            (b'T', crate::template::hold_for_any),
        ];

        /// What is read off the wire, element by element.
        pub const WIRE: &[Row] = &[
            (b'a', crate::wire::imap::args::hold_for_any),
            (b'c', crate::wire::imap::command::hold_for_any),
            (b'i', crate::wire::imap::id::hold_for_any),
            (b'l', crate::wire::imap::literal::hold_for_any),
            (b'r', crate::wire::imap::reply::hold_for_any),
            (b'C', crate::wire::pop3::command::hold_for_any),
            (b'R', crate::wire::pop3::reply::hold_for_any),
            (b'h', crate::wire::haproxy::hold_for_any),
            (b's', crate::wire::sasl::plain::hold_for_any),
            (b'1', crate::wire::smtp::command::hold_for_any),
            (b'2', crate::wire::smtp::reply::hold_for_any),
            (b'3', crate::wire::smtp::xclient::hold_for_any),
            (b'4', crate::wire::smtp::xtext::hold_for_any),
            (b'L', crate::wire::sieve::line::hold_for_any),
            (b'A', crate::wire::sieve::args::hold_for_any),
            (b'S', crate::wire::sieve::command::hold_for_any),
            (b'T', crate::wire::sieve::reply::hold_for_any),
            (b'q', crate::wire::sieve::quote::hold_for_any),
            (b'd', crate::wire::sasl::cram_md5::hold_for_any),
            (b'k', crate::wire::sasl::scram::hold_for_any),
            (b'o', crate::wire::sasl::oauth::hold_for_any),
            (b'x', crate::wire::sasl::external::hold_for_any),
            (b't', crate::tls::clients::hold_for_any),
            (b'H', crate::http::hold_for_any),
            (b'D', crate::net::dns::hold_for_any),
            (b'm', crate::memcached::hold_for_any),
            (b'G', crate::route::health::hold_for_any),
            (b'J', crate::admin::api::hold_for_any),
            (b'B', crate::admin::hold_token_for_any),
        ];

        /// Whole dialogues, and what a lookup says of a login.
        pub const LOGIN: &[Row] = &[
            (b'f', crate::login::imap::front::hold_for_any),
            (b'b', crate::login::imap::back::hold_for_any),
            (b'F', crate::login::pop3::front::hold_for_any),
            (b'B', crate::login::pop3::back::hold_for_any),
            (b'5', crate::login::smtp::front::hold_for_any),
            (b'6', crate::login::smtp::back::hold_for_any),
            (b'7', crate::login::sieve::front::hold_for_any),
            (b'8', crate::login::sieve::back::hold_for_any),
            (b'x', crate::login::exchange::hold_for_any),
            (b'n', crate::login::name::hold_for_any),
            (b'l', crate::route::hold_for_any),
            (b'Y', crate::route::sticky::hold_for_any),
            (b'T', crate::throttle::logins::hold_for_any),
            (b'N', crate::route::lookup::nle::hold_for_any),
            (b'Q', crate::route::lookup::nle::serve::hold_for_any),
            (b's', crate::route::source::hold_for_any),
            (b'c', crate::route::hold_cache_for_any),
        ];

        /// Gives `input` to the row of `table` that it asks for; says whether there is one.
        pub fn play(table: &[Row], input: &[u8]) -> bool {
            let Some((letter, rest)) = input.split_first() else { return false };
            let row = table.iter().find(|(own, _)| own == letter);
            row.inspect(|(_, hold)| hold(rest)).is_some()
        }
    }

    /// The documents that are cut from the code.
    pub mod docs {
        pub use crate::boot::registry::markdown as directives;
        pub use crate::boot::registry::secrets;
        pub use crate::observe::names::docs as metrics;
        pub use crate::observe::variables;
        pub use crate::settings::{markdown as settings, shipped};
        pub use crate::template::variables::markdown as templates;
    }

    /// Templates, and what they are expanded with.
    pub mod templates {
        pub use crate::settings::Settings;
        pub use crate::template::variables::{Listed, unknown_overrides, values};
        pub use crate::template::{
            Copies, Domain, Expanded, Fault, Piece, Unknown, Values, expand,
        };
    }
}
