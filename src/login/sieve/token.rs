//! A bearer token in a mechanism's message.

use zeroize::Zeroizing;

use crate::login::Mechanism;
use crate::wire::sasl;

/// The longest error challenge that is passed on, in base64.
const MAX_CHALLENGE: usize = 4096;

/// The one message of XOAUTH2 or OAUTHBEARER (RFC 7628 §3.1). None: no other mechanism has a token,
/// and a user or token that would end its field has no message.
pub fn message(mechanism: Mechanism, user: &[u8], token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if user.iter().chain(token).any(|byte| matches!(byte, 0 | 1 | b'\r' | b'\n')) {
        return None;
    }
    // Made at full length, as growing would leave copies of the token behind.
    let mut message = Zeroizing::new(Vec::with_capacity(3 * user.len() + token.len() + 32));
    match mechanism {
        Mechanism::XOauth2 => {
            message.extend_from_slice(b"user=");
            message.extend_from_slice(user);
        }
        Mechanism::OauthBearer => {
            message.extend_from_slice(b"n,a=");
            // RFC 5801 §4, saslname.
            for byte in user {
                match byte {
                    b',' => message.extend_from_slice(b"=2C"),
                    b'=' => message.extend_from_slice(b"=3D"),
                    _ => message.push(*byte),
                }
            }
            message.push(b',');
        }
        _ => return None,
    }
    message.extend_from_slice(b"\x01auth=Bearer ");
    message.extend_from_slice(token);
    message.extend_from_slice(b"\x01\x01");
    Some(message)
}

/// What a client answers to the challenge that says what was wrong, in base64: RFC 7628 §3.2.3 for
/// OAUTHBEARER, an empty one for XOAUTH2.
pub fn acknowledgement(mechanism: Mechanism) -> &'static [u8] {
    if mechanism == Mechanism::OauthBearer { b"AQ==" } else { b"" }
}

/// An error challenge, if it is one that may be passed on: base64, and not too long.
pub fn challenge(text: &[u8]) -> Option<&str> {
    let fits = (1..=MAX_CHALLENGE).contains(&text.len());
    (fits && sasl::decode(text, &mut Vec::new())).then(|| str::from_utf8(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mechanism_has_its_message() {
        let message = |mechanism, user: &str| {
            let message = message(mechanism, user.as_bytes(), b"vF9dft4qmT")?;
            Some(message.escape_ascii().to_string())
        };
        assert_eq!(
            message(Mechanism::XOauth2, "m=r,ose").as_deref(),
            Some(r"user=m=r,ose\x01auth=Bearer vF9dft4qmT\x01\x01")
        );
        assert_eq!(
            message(Mechanism::OauthBearer, "m=r,ose").as_deref(),
            Some(r"n,a=m=3Dr=2Cose,\x01auth=Bearer vF9dft4qmT\x01\x01")
        );
        assert_eq!(message(Mechanism::Plain, "mrose"), None);
        assert_eq!(message(Mechanism::XOauth2, "m\x01auth=Bearer x"), None);
    }

    #[test]
    fn only_base64_is_passed_on() {
        assert_eq!(challenge(b"e30="), Some("e30="));
        let long = vec![b'A'; MAX_CHALLENGE + 4];
        for text in [&b""[..], b"{}", b"e30=\r\nOK", b"\xff", &long] {
            assert_eq!(challenge(text), None);
        }
    }
}
