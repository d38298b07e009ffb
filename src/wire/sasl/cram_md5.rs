//! CRAM-MD5 (RFC 2195 §2): `user digest`, where the digest is made of the challenge and the
//! password. POP3's APOP writes the same (RFC 1939 §7).
//!
//! **Limits.** The digest is read, not checked: that takes the password, which the lookup handler
//! has.

use super::{Error, user};

/// An MD5 digest in hexadecimal.
pub const DIGEST: usize = 32;

/// One answer, its parts borrowed from the decoded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CramMd5<'a> {
    pub user: &'a [u8],
    /// 32 hexadecimal digits, in the case they came in.
    pub digest: &'a [u8],
}

/// Reads one decoded answer. A digest has no blank, so a name may.
pub fn parse(decoded: &[u8]) -> Result<CramMd5<'_>, Error> {
    let blank = decoded.iter().rposition(|byte| *byte == b' ').ok_or(Error::Shape)?;
    let (name, digest) = (&decoded[..blank], &decoded[blank + 1..]);
    if digest.len() != DIGEST || !digest.iter().all(u8::is_ascii_hexdigit) {
        return Err(Error::Shape);
    }
    Ok(CramMd5 { user: user(name)?, digest })
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Ok(CramMd5 { user, digest }) = parse(input) {
        assert!(!user.is_empty() && !user.iter().any(|byte| b"\r\n\0".contains(byte)));
        assert!(digest.len() == DIGEST && digest.iter().all(u8::is_ascii_hexdigit));
        assert_eq!([user, b" ", digest].concat(), input);
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use md5::{Digest, Md5};
    use proptest::prelude::*;

    use super::*;

    const SOME: &str = "b913a602c7eda7a495b4e6e7334d3890";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn reads_what_the_rfcs_show() {
        // RFC 2195 §3, with "tanstaaftanstaaf" as the password.
        let mut mac = Hmac::<Md5>::new_from_slice(b"tanstaaftanstaaf").unwrap();
        mac.update(b"<1896.697170952@postoffice.reston.mci.net>");
        let tim = parse(b"tim b913a602c7eda7a495b4e6e7334d3890").unwrap();
        assert_eq!(
            (tim.user, tim.digest),
            (&b"tim"[..], hex(&mac.finalize().into_bytes()).as_bytes())
        );
        // RFC 1939 §7, where the password is "tanstaaf".
        let digest = hex(&Md5::digest(b"<1896.697170952@dbc.mtview.ca.us>tanstaaf"));
        let mrose = parse(b"mrose c4c9334bac560ecc979e58001b3e22fb").unwrap();
        assert_eq!((mrose.user, mrose.digest), (&b"mrose"[..], digest.as_bytes()));
    }

    #[test]
    fn a_name_may_have_blanks() {
        let of = |name: &str| parse(format!("{name} {SOME}").as_bytes()).map(|it| it.user.to_vec());
        for name in ["m rose", "m ", " m", "m\u{fc}", SOME] {
            assert_eq!(of(name), Ok(name.as_bytes().to_vec()));
        }
        assert!(parse(format!("u {}", SOME.to_uppercase()).as_bytes()).is_ok());
    }

    #[test]
    fn names_each_breach() {
        for (message, want) in [
            (String::new(), Error::Shape),
            (SOME.to_owned(), Error::Shape),
            (format!("u{SOME}"), Error::Shape),
            (format!("u {}", &SOME[1..]), Error::Shape),
            (format!("u {SOME}0"), Error::Shape),
            (format!("u {SOME} "), Error::Shape),
            (format!("u {}g", &SOME[1..]), Error::Shape),
            (format!("u {}\n", &SOME[1..]), Error::Shape),
            (format!(" {SOME}"), Error::NoUser),
            (format!("u\r\nDELE 1 {SOME}"), Error::Control),
            (format!("u\n {SOME}"), Error::Control),
            (format!("u\0 {SOME}"), Error::Control),
            (format!("{} {SOME}", "u".repeat(super::super::MAX_USER + 1)), Error::TooLong),
        ] {
            assert_eq!(parse(message.as_bytes()), Err(want), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(name in "[ a\r\n\0\u{fc}]{0,4}", digest in "[0-9a-fA-F g]{31,33}") {
            hold_for_any(format!("{name}{digest}").as_bytes());
            hold_for_any(format!("{name} {digest}").as_bytes());
        }
    }
}
