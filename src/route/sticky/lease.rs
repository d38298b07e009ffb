//! What the shared cache says of a user: at which server of an upstream all sessions are.
//!
//! ```text
//! lease       = server
//! reservation = "?" server
//! ```
//!
//! A reservation says where somebody would begin who has not been let in yet.

use crate::memcached::Key;

/// More than any server is written with.
const LONGEST: usize = 512;

/// No server's name begins so; an earlier gatepost takes it for a server that it does not have.
const RESERVED: char = '?';

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    pub server: &'a str,
    /// Nobody has been let in there on the strength of it.
    pub is_reserved: bool,
}

/// The entry of a user and an upstream.
pub fn key(upstream: &str, user: &str) -> Key {
    Key::of("lease", &[upstream.as_bytes(), user.as_bytes()])
}

/// What `value` says: who wrote it may be of another version, or may be nobody of ours.
pub fn read(value: &[u8]) -> Option<Said<'_>> {
    let text = std::str::from_utf8(value).ok()?;
    let (server, is_reserved) = match text.strip_prefix(RESERVED) {
        Some(server) => (server, true),
        None => (text, false),
    };
    let is_name =
        !server.is_empty() && server.len() <= LONGEST && !server.contains(char::is_control);
    is_name.then_some(Said { server, is_reserved })
}

/// The value that reserves `server`.
pub fn reservation(server: &str) -> Box<[u8]> {
    format!("{RESERVED}{server}").into_bytes().into()
}

/// What must hold for any value; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(value: &[u8]) {
    if let Some(Said { server, is_reserved }) = read(value) {
        let again = match is_reserved {
            true => reservation(server),
            false => server.as_bytes().into(),
        };
        assert_eq!(read(&again), Some(Said { server, is_reserved }));
        assert!(server.len() <= LONGEST && server.lines().count() == 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_a_name_or_nothing() {
        for (value, want) in [
            (&b"a.example:143"[..], Some(("a.example:143", false))),
            (b"unix:/run/imap", Some(("unix:/run/imap", false))),
            (b"?a.example:143", Some(("a.example:143", true))),
            (b"", None),
            (b"?", None),
            (b"a\r\nb", None),
            (b"a\xff", None),
            (&[b'a'; LONGEST + 1], None),
        ] {
            assert_eq!(read(value).map(|said| (said.server, said.is_reserved)), want);
        }
        assert_ne!(key("a", "b/c"), key("a/b", "c"));
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(value in proptest::collection::vec(any::<u8>(), 0..600)) {
            hold_for_any(&value);
        }

        #[test]
        fn holds_for_any_text(value in "\\PC{0,600}") {
            hold_for_any(value.as_bytes());
        }
    }
}
