//! What the shared cache says of a user: at which server of an upstream all sessions are.

use crate::memcached::Key;

/// More than any server is written with.
const LONGEST: usize = 512;

/// The entry of a user and an upstream.
pub fn key(upstream: &str, user: &str) -> Key {
    Key::of("lease", &[upstream.as_bytes(), user.as_bytes()])
}

/// The server that `value` names: who wrote it may be of another version, or may be nobody of ours.
pub fn server(value: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(value).ok()?;
    let is_name = !name.is_empty() && name.len() <= LONGEST && !name.contains(char::is_control);
    is_name.then_some(name)
}

/// What must hold for any value; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(value: &[u8]) {
    if let Some(name) = server(value) {
        assert_eq!(server(name.as_bytes()), Some(name));
        assert!(name.len() <= LONGEST && name.lines().count() == 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_a_name_or_nothing() {
        for (value, want) in [
            (&b"a.example:143"[..], Some("a.example:143")),
            (b"unix:/run/imap", Some("unix:/run/imap")),
            (b"", None),
            (b"a\r\nb", None),
            (b"a\xff", None),
            (&[b'a'; LONGEST + 1], None),
        ] {
            assert_eq!(server(value), want);
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
