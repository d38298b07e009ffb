//! EXTERNAL (RFC 4422 §A): the client has proved who it is by other means, its TLS certificate, and
//! says at the most whom it wants to be.

use super::{Error, MAX_USER, clean};

/// The first challenge where the client has shown no certificate, and must name itself: nginx's,
/// `Username:` in base64.
pub const ASK_USER: &str = super::login::ASK_USER;

/// Reads one decoded answer: the authorization identity; empty: who the certificate says it is.
pub fn parse(decoded: &[u8]) -> Result<&[u8], Error> {
    clean(decoded, MAX_USER)
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Ok(name) = parse(input) {
        assert!(name == input && name.len() <= MAX_USER);
        assert!(!name.iter().any(|byte| b"\r\n\0".contains(byte)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_in_bounds() {
        // RFC 4422 §A.5: none, then "fred@example.com".
        assert_eq!(parse(b""), Ok(&b""[..]));
        assert_eq!(parse(b"fred@example.com"), Ok(&b"fred@example.com"[..]));
        for (message, want) in [
            (&b"u\r\nDELE 1"[..], Error::Control),
            (b"u\0", Error::Control),
            (&[b'u'; MAX_USER + 1], Error::TooLong),
        ] {
            assert_eq!(parse(message), Err(want));
        }
    }
}
