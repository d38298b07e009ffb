//! XOAUTH2 (Google's) and OAUTHBEARER (RFC 7628): a name, and a bearer token that an authorization
//! server gave out for it.
//!
//! Read here for a client, written here for an upstream. The token is passed on, never looked into.
//!
//! **Promises.** A token is one or more of RFC 6750's characters: letters, digits and `-._~+/=`. A
//! name that is written can end nothing: it holds no CR, LF, NUL or `^A`.
//!
//! **Limits.** A message without a name is refused, though RFC 7628 §3.1 allows it: nobody could be
//! looked up by it. Host and port are read over, and not written.

use super::gs2::{self, Split};
use super::{Error, MAX_USER, clean, user};

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 8192;

/// The longest error challenge that is passed on, in base64.
pub const MAX_CHALLENGE: usize = 4096;

/// What a client answers to an error challenge, in base64: RFC 7628 §3.2.3 says `^A`.
pub const ANSWER_OAUTHBEARER: &str = "AQ==";

/// What a client answers to an error challenge of XOAUTH2: an empty line.
pub const ANSWER_XOAUTH2: &str = "";

/// What separates the fields.
const SEPARATOR: u8 = 1;

/// One message.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer<'a> {
    pub user: Box<[u8]>,
    pub token: &'a [u8],
}

impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)") // it holds a token, and test logs leak as well
    }
}

/// Reads one decoded XOAUTH2 message: `user=… ^A auth=Bearer … ^A ^A`.
pub fn xoauth2(decoded: &[u8]) -> Result<Bearer<'_>, Error> {
    let fields = fields(decoded)?;
    let user = field(&fields, b"user")?.ok_or(Error::NoUser)?;
    Ok(Bearer { user: super::user(user)?.into(), token: token(&fields)? })
}

/// Reads one decoded OAUTHBEARER message: `n,a=…, ^A host=… ^A port=… ^A auth=Bearer … ^A ^A`.
pub fn oauthbearer(decoded: &[u8]) -> Result<Bearer<'_>, Error> {
    let Split { authzid, rest, .. } = gs2::split(decoded)?;
    let fields = fields(rest.strip_prefix(&[SEPARATOR]).ok_or(Error::Shape)?)?;
    Ok(Bearer { user: authzid.ok_or(Error::NoUser)?, token: token(&fields)? })
}

/// Writes an XOAUTH2 message.
pub fn write_xoauth2(name: &[u8], token: &[u8]) -> Result<Vec<u8>, Error> {
    let mut message = empty(name, token)?;
    message.extend_from_slice(b"user=");
    message.extend_from_slice(name);
    end(message, token)
}

/// Writes an OAUTHBEARER message.
pub fn write_oauthbearer(name: &[u8], token: &[u8]) -> Result<Vec<u8>, Error> {
    let mut message = empty(name, token)?;
    message.extend_from_slice(b"n,a=");
    gs2::escape(name, &mut message)?;
    message.push(b',');
    end(message, token)
}

/// An error challenge as it came, if it is one that may be passed on: base64, and not too long.
pub fn challenge(text: &[u8]) -> Option<&str> {
    let fits = (1..=MAX_CHALLENGE).contains(&text.len());
    (fits && super::decode(text, &mut Vec::new())).then(|| str::from_utf8(text).ok()).flatten()
}

/// A key and its value.
type Field<'a> = (&'a [u8], &'a [u8]);

/// The fields between the separators; a second separator in a row ends the message.
fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, Error> {
    let fields = message.strip_suffix(&[SEPARATOR, SEPARATOR]).ok_or(Error::Shape)?;
    let split = |field: &[u8]| field.iter().position(|byte| *byte == b'=').ok_or(Error::Shape);
    fields
        .split(|byte| *byte == SEPARATOR)
        .map(|field| split(field).map(|at| (&field[..at], &field[at + 1..])))
        .collect()
}

/// The value of the field of that name. Twice is once too often: who knows which one counts.
fn field<'a>(fields: &[Field<'a>], name: &[u8]) -> Result<Option<&'a [u8]>, Error> {
    let mut values = fields.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Error::Shape),
    }
}

/// The token of `auth=Bearer …`. RFC 7628 §3.1: the scheme's name is taken in any case.
fn token<'a>(fields: &[Field<'a>]) -> Result<&'a [u8], Error> {
    let auth = field(fields, b"auth")?.ok_or(Error::Token)?;
    let (scheme, token) = auth.split_at_checked(b"Bearer ".len()).ok_or(Error::Token)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(Error::Token);
    }
    // RFC 7235 §2.1: one blank or more.
    let blanks = token.iter().take_while(|byte| **byte == b' ').count();
    fit(&token[blanks..])
}

/// RFC 6750 §2.1, `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn fit(token: &[u8]) -> Result<&[u8], Error> {
    if token.len() > MAX_TOKEN {
        return Err(Error::TooLong);
    }
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &token[..token.len() - padding];
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    if body.is_empty() || !body.iter().all(fits) { Err(Error::Token) } else { Ok(token) }
}

/// Room for the whole message, once it is known to be writable: growing would leave copies of the
/// token behind.
fn empty(name: &[u8], token: &[u8]) -> Result<Vec<u8>, Error> {
    user(clean(name, MAX_USER)?)?;
    if name.contains(&SEPARATOR) {
        return Err(Error::Control);
    }
    Ok(Vec::with_capacity(3 * name.len() + fit(token)?.len() + 32))
}

fn end(mut message: Vec<u8>, token: &[u8]) -> Result<Vec<u8>, Error> {
    message.extend_from_slice(b"\x01auth=Bearer ");
    message.extend_from_slice(token);
    message.extend_from_slice(&[SEPARATOR, SEPARATOR]);
    Ok(message)
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    type Read = fn(&[u8]) -> Result<Bearer<'_>, Error>;
    type Write = fn(&[u8], &[u8]) -> Result<Vec<u8>, Error>;
    let both: [(Read, Write); 2] = [(xoauth2, write_xoauth2), (oauthbearer, write_oauthbearer)];
    for (read, _) in both {
        let Ok(Bearer { user, token }) = read(input) else { continue };
        assert!((1..=MAX_USER).contains(&user.len()) && (1..=MAX_TOKEN).contains(&token.len()));
        assert!(!user.iter().any(|byte| b"\r\n\0".contains(byte)));
        assert!(token.iter().all(u8::is_ascii_graphic));
        // What we write, by either mechanism, is read back as the same.
        for (read, write) in both {
            match write(&user, token) {
                Ok(message) => assert_eq!(read(&message), Ok(Bearer { user: user.clone(), token })),
                Err(error) => assert!(error == Error::Control && user.contains(&SEPARATOR)),
            }
        }
    }
    if let Some(text) = challenge(input) {
        assert!(text.len() <= MAX_CHALLENGE && text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::sasl::{MAX_ENCODED, decode, encode};

    const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

    fn read(read: fn(&[u8]) -> Result<Bearer<'_>, Error>, message: &str) -> Result<String, Error> {
        let text = message.replace("^A", "\u{1}");
        read(text.as_bytes()).map(|Bearer { user, token }| {
            format!("{} {}", user.escape_ascii(), token.escape_ascii())
        })
    }

    #[test]
    fn reads_what_its_documents_show() {
        // RFC 7628 §4.1, §4.2: IMAP, then SMTP.
        for message in [
            format!(
                "n,a=user@example.com,^Ahost=server.example.com^Aport=143^Aauth=Bearer {TOKEN}^A^A"
            ),
            format!(
                "n,a=user@example.com,^Ahost=server.example.com^Aport=587^Aauth=Bearer {TOKEN}^A^A"
            ),
            format!("y,a=user@example.com,^Aauth=bearer  {TOKEN}^A^A"),
        ] {
            assert_eq!(read(oauthbearer, &message), Ok(format!("user@example.com {TOKEN}")));
        }
        // Google's page on XOAUTH2.
        let theirs = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52\
                      YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
        let mut message = Vec::new();
        assert!(decode(theirs.as_bytes(), &mut message));
        let Bearer { user, token } = xoauth2(&message).unwrap();
        assert_eq!(&*user, b"someuser@example.com");
        assert_eq!(token, b"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
        assert_eq!(write_xoauth2(&user, token), Ok(message));
    }

    #[test]
    fn an_escaped_name_is_read_as_it_is_meant() {
        assert_eq!(
            read(oauthbearer, "n,a=u=2Cv=3Dw,^Aauth=Bearer t^A^A"),
            Ok("u,v=w t".to_owned())
        );
        // XOAUTH2 escapes nothing.
        assert_eq!(read(xoauth2, "user=u=2C,^Aauth=Bearer t^A^A"), Ok("u=2C, t".to_owned()));
        let written = write_oauthbearer(b"u,v=w", b"t").unwrap();
        assert_eq!(written, b"n,a=u=2Cv=3Dw,\x01auth=Bearer t\x01\x01");
    }

    #[test]
    fn names_each_breach() {
        for (message, want) in [
            ("", Error::Shape),
            ("user=u", Error::Shape),
            ("user=u^Aauth=Bearer t", Error::Shape),
            ("user=u^Aauth=Bearer t^A", Error::Shape),
            ("user=u^A^Aauth=Bearer t^A^A", Error::Shape),
            ("user=u^Aauth=Bearer t^A^A^A", Error::Shape),
            ("user=u^Aauth^A^A", Error::Shape),
            ("user=u^Auser=v^Aauth=Bearer t^A^A", Error::Shape),
            ("user=u^Aauth=Bearer t^Aauth=Bearer v^A^A", Error::Shape),
            ("auth=Bearer t^A^A", Error::NoUser),
            ("user=^Aauth=Bearer t^A^A", Error::NoUser),
            ("user=u^A^A", Error::Token),
            ("user=u^Aauth=^A^A", Error::Token),
            ("user=u^Aauth=Bearer^A^A", Error::Token),
            ("user=u^Aauth=Bearer ^A^A", Error::Token),
            ("user=u^Aauth=Basic dDp0^A^A", Error::Token),
            ("user=u^Aauth=Bearer t t^A^A", Error::Token),
            ("user=u^Aauth=Bearer ==^A^A", Error::Token),
            ("user=u^Aauth=Bearer a=b^A^A", Error::Token),
            ("user=u^Aauth=Bearer a\r\nDELE 1^A^A", Error::Token),
            ("user=u^Aauth=Bearer a\r\n^A^A", Error::Token),
            ("user=u^Aauth=Bearer a ^A^A", Error::Token),
            ("user=u^Aauth=Bearer a\0^A^A", Error::Token),
            ("user=u^Aauth=Bearer a\u{fc}^A^A", Error::Token),
            ("user=u\r\nDELE 1^Aauth=Bearer t^A^A", Error::Control),
            ("user=u\0^Aauth=Bearer t^A^A", Error::Control),
        ] {
            assert_eq!(read(xoauth2, message), Err(want), "{message:?}");
        }
        for (message, want) in [
            ("^A", Error::Shape), // RFC 7628 §3.1: what a client says to be told the challenge
            ("n,,^Aauth=Bearer t^A^A", Error::NoUser),
            ("n,a=,^Aauth=Bearer t^A^A", Error::NoUser),
            ("p=tls-unique,a=u,^Aauth=Bearer t^A^A", Error::Binding),
            ("n,a=u,auth=Bearer t^A^A", Error::Shape),
            ("n,a=u,^A^A", Error::Shape),
            ("n,a=u,^Ahost=h^A^A", Error::Token),
            ("n,a=u\n,^Aauth=Bearer t^A^A", Error::Control),
        ] {
            assert_eq!(read(oauthbearer, message), Err(want), "{message:?}");
        }
    }

    #[test]
    fn nothing_is_written_that_could_be_read_otherwise() {
        for (name, token, want) in [
            (&b""[..], &b"t"[..], Error::NoUser),
            (b"u\r\nDELE 1", b"t", Error::Control),
            (b"u\x01auth=Bearer v", b"t", Error::Control),
            (b"u", b"", Error::Token),
            (b"u", b"t\x01", Error::Token),
            (b"u", b"t\r\n", Error::Token),
            (b"u", &[b't'; MAX_TOKEN + 1], Error::TooLong),
        ] {
            assert_eq!(write_xoauth2(name, token), Err(want));
            assert_eq!(write_oauthbearer(name, token), Err(want));
        }
    }

    #[test]
    fn a_long_token_fits_a_line() {
        let message = write_oauthbearer(&[b'u'; 900], &[b't'; MAX_TOKEN]).unwrap();
        assert!(encode(&message).len() <= MAX_ENCODED);
    }

    #[test]
    fn only_base64_is_passed_on_as_a_challenge() {
        // RFC 7628 §4.3
        let error = encode(b"{\"status\":\"invalid_token\",\"scope\":\"example_scope\"}");
        assert_eq!(challenge(error.as_bytes()), Some(&*error));
        let long = "A".repeat(MAX_CHALLENGE + 4);
        for text in ["", "{}", "e30", "e30=\r\n", "e30= x", "=", &long] {
            assert_eq!(challenge(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(
            prop::sample::select(b"\x01\x01,=ntu\r\n\0\xff".to_vec()), 0..16)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_what_looks_like_a_message(
            input in "(user=[a,=\u{1}\r\n]{0,3}|[nyp],(a=[a\u{fc}]{0,3}(=2C|=3D|=)?)?,)\u{1}(host=[a=]{0,2}\u{1})?auth=Bearer [a.=\u{1}\n]{0,4}\u{1}{1,3}",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
