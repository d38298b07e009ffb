//! All rooms' directives.

use crate::config::{self, Directive, Secret};
use crate::{admin, memcached, proxy, route, throttle, tls};

/// Every room that has directives, in the order of `docs/directives.md`.
pub const ROOMS: &[(&str, &[Directive])] = &[
    ("boot", super::directives::DIRECTIVES),
    ("admin", admin::directives::DIRECTIVES),
    ("admin", admin::nle::directives::DIRECTIVES),
    ("config", config::DIRECTIVES),
    ("memcached", memcached::directives::DIRECTIVES),
    ("proxy", proxy::DIRECTIVES),
    ("proxy", proxy::kerberos::directives::DIRECTIVES),
    ("route", route::DIRECTIVES),
    ("route", route::sticky::DIRECTIVES),
    ("route", route::group::directives::DIRECTIVES),
    ("route", route::state::directives::DIRECTIVES),
    ("route", route::lookup::directives::DIRECTIVES),
    ("route", route::source::DIRECTIVES),
    ("route", route::CACHE_DIRECTIVES),
    ("throttle", throttle::DIRECTIVES),
    ("throttle", throttle::logins::directives::DIRECTIVES),
    ("tls", tls::directives::DIRECTIVES),
];

/// The records alone, for the parser.
pub fn registry() -> Vec<&'static [Directive]> {
    ROOMS.iter().map(|(_, directives)| *directives).collect()
}

/// The names of those that hold a secret, or name a file that does: each is tested for.
pub fn secrets() -> Vec<&'static str> {
    let all = ROOMS.iter().flat_map(|(_, directives)| directives.iter());
    all.filter(|one| one.secret != Secret::None).map(|one| one.name).collect()
}

/// `docs/directives.md`.
pub fn markdown() -> String {
    config::docs::markdown(ROOMS)
}
