//! SASL PLAIN: `authzid NUL authcid NUL password` (RFC 4616 §2).

use super::{Error, clean, password, user};

/// One PLAIN message, its parts borrowed from the decoded bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Whom to act as; empty: the owner of the password.
    pub authzid: &'a [u8],
    /// Whose password it is.
    pub authcid: &'a [u8],
    pub password: &'a [u8],
}

impl std::fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plain(..)") // it holds a password, and test logs leak as well
    }
}

/// Reads one decoded message.
pub fn parse(decoded: &[u8]) -> Result<Plain<'_>, Error> {
    // RFC 4616 §2: exactly two NULs. A third would end the password for whoever reads C strings.
    let mut parts = decoded.split(|byte| *byte == 0);
    let (Some(authzid), Some(authcid), Some(secret), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::Shape);
    };
    Ok(Plain {
        authzid: clean(authzid, super::MAX_USER)?,
        authcid: user(authcid)?,
        password: password(secret)?,
    })
}

/// Writes one message. The parts hold no NUL: no credential of ours does.
pub fn write(authzid: &[u8], authcid: &[u8], password: &[u8]) -> Vec<u8> {
    let parts = [authzid, authcid, password];
    debug_assert!(parts.iter().all(|part| !part.contains(&0)), "a NUL in a credential");
    // Made at its full length at once: growing would leave copies of the password behind.
    let mut message = Vec::with_capacity(authzid.len() + authcid.len() + password.len() + 2);
    message.extend_from_slice(authzid);
    message.push(0);
    message.extend_from_slice(authcid);
    message.push(0);
    message.extend_from_slice(password);
    message
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Ok(plain) = parse(input) {
        for part in [plain.authzid, plain.authcid, plain.password] {
            assert!(!part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        assert!(!plain.authcid.is_empty() && !plain.password.is_empty());
        assert_eq!(write(plain.authzid, plain.authcid, plain.password), input);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::sasl::{MAX_PASSWORD, MAX_USER};

    #[test]
    fn reads_what_rfc_4616_shows() {
        // RFC 4616 §4: "Tim authenticates as himself", then "Ursel" acted for by "Kurt".
        for (message, authzid, authcid, password) in [
            ("\0tim\0tanstaaftanstaaf", "", "tim", "tanstaaftanstaaf"),
            ("Ursel\0Kurt\0xipj3plmq", "Ursel", "Kurt", "xipj3plmq"),
            ("\0two words\0 p w ", "", "two words", " p w "),
        ] {
            let plain = parse(message.as_bytes()).unwrap();
            assert_eq!(plain.authzid, authzid.as_bytes());
            assert_eq!(plain.authcid, authcid.as_bytes());
            assert_eq!(plain.password, password.as_bytes());
        }
    }

    #[test]
    fn names_each_breach() {
        for (message, want) in [
            (&b""[..], Error::Shape),
            (b"u", Error::Shape),
            (b"u\0p", Error::Shape),
            (b"\0u\0p\0", Error::Shape),
            (b"\0u\0p\0q", Error::Shape),
            (b"\0\0p", Error::NoUser),
            (b"z\0\0p", Error::NoUser),
            (b"\0u\0", Error::NoPassword),
            // The injection that nginx 1.31.5 lets through to the upstream.
            (b"\0u\r\nDELE 1\0p", Error::Control),
            (b"\0u\0p\nDELE 1", Error::Control),
            (b"z\r\0u\0p", Error::Control),
        ] {
            assert_eq!(parse(message), Err(want), "{message:?}");
        }
    }

    #[test]
    fn each_part_has_its_limit() {
        let (user, word) = (vec![b'u'; MAX_USER], vec![b'p'; MAX_PASSWORD]);
        assert!(parse(&write(&user, &user, &word)).is_ok());
        for message in [
            write(&[&user[..], b"u"].concat(), b"u", b"p"),
            write(b"", &[&user[..], b"u"].concat(), b"p"),
            write(b"", b"u", &[&word[..], b"p"].concat()),
        ] {
            assert_eq!(parse(&message), Err(Error::TooLong));
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(
            prop::sample::select(b"\0\0\0up\r\n\xff".to_vec()), 0..12)) {
            hold_for_any(&input);
        }
    }
}
