//! All rooms' directives.

use crate::config::{self, Directive};
use crate::{admin, proxy, route, throttle, tls};

/// Every room that has directives, in the order of `docs/directives.md`.
pub const ROOMS: &[(&str, &[Directive])] = &[
    ("boot", super::directives::DIRECTIVES),
    ("admin", admin::directives::DIRECTIVES),
    ("config", config::DIRECTIVES),
    ("proxy", proxy::DIRECTIVES),
    ("proxy", proxy::kerberos::directives::DIRECTIVES),
    ("route", route::DIRECTIVES),
    ("throttle", throttle::DIRECTIVES),
    ("tls", tls::directives::DIRECTIVES),
];

/// The records alone, for the parser.
pub fn registry() -> Vec<&'static [Directive]> {
    ROOMS.iter().map(|(_, directives)| *directives).collect()
}

/// `docs/directives.md`.
pub fn markdown() -> String {
    config::docs::markdown(ROOMS)
}
