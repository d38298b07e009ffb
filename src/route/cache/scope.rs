//! Which routes may stand for one another: those of sources that are set up alike.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::config::Block;

/// The directives that say who is asked, and for what: two servers, two nodes, or two generations
/// with the same ones get the same answers.
const SOURCES: [&str; 9] = [
    "auth_http",
    "auth_http_header",
    "lookup",
    "route",
    "route_file",
    "route_ldap",
    "route_order",
    "route_sql",
    "zm_lookup",
];

/// A digest of how the sources are set up, or of the name that an administrator gave to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope([u8; 8]);

impl Scope {
    pub fn of(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// That of `block`, within another that has `outer`. A block that says nothing of its sources
    /// has those of the outer one.
    pub fn read(block: &Block, outer: Self) -> Self {
        match block.spelling(&SOURCES) {
            own if own.is_empty() => outer,
            own => Self::digest(&[b"sources", &outer.0, &own]),
        }
    }

    /// By the name that `route_cache scope=` gives.
    pub fn named(name: &str) -> Self {
        Self::digest(&[b"name", name.as_bytes()])
    }

    /// That of the same sources without those who are shown passwords.
    pub fn apart(self) -> Self {
        Self::digest(&[b"names alone", &self.0])
    }

    fn digest(parts: &[&[u8]]) -> Self {
        let mut digest = Context::new(&SHA256);
        for part in parts {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finish();
        let start = digest.as_ref().first_chunk().expect("a SHA-256 has 32 bytes");
        Self(*start)
    }

    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(mail: &str, server: &str) -> Scope {
        let mail = Scope::read(&Block::parse(mail), Scope::default());
        Scope::read(&Block::parse(server), mail)
    }

    #[test]
    fn other_sources_are_another_scope() {
        let one = "lookup a { handler http://192.0.2.1/; timeout 3s; }";
        assert_eq!(scope(one, "listen 1;"), scope(one, ""), "what is no source does not count");
        assert_eq!(scope(one, ""), scope(&format!("resolver_timeout 1s; {one}"), ""));
        let others = [
            (one.replace("192.0.2.1", "192.0.2.2"), ""),
            (one.replace("handler", "handlers"), ""),
            (one.to_owned(), "auth_http 192.0.2.1;"),
            (one.replace("a {", "{"), ""),
            ("lookup a; handler http://192.0.2.1/; timeout 3s;".to_owned(), ""),
            (String::new(), ""),
        ];
        for (mail, server) in others {
            assert_ne!(scope(&mail, server), scope(one, ""), "{mail} {server}");
        }
        assert_ne!(scope("auth_http a b;", ""), scope("auth_http ab;", ""));
    }
}
