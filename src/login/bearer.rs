//! How a `back` logs in with the token that a client brought: by XOAUTH2 or OAUTHBEARER.

use zeroize::Zeroizing;

use super::{Mechanism, Mechanisms, Secret};
use crate::wire::sasl::{self, oauth};

/// The mechanism to bring the token by: the client's own, or the other where only that is offered.
/// What is not known of the upstream is not held against it. `None`: it takes neither.
pub fn choose(own: Mechanism, offered: Option<Mechanisms>) -> Option<Mechanism> {
    let Some(offered) = offered else { return Some(own) };
    [own, Mechanism::OauthBearer, Mechanism::XOauth2].into_iter().find(|one| offered.has(*one))
}

/// The message, in base64.
pub fn message(mechanism: Mechanism, user: &[u8], token: &Secret) -> Result<Secret, sasl::Error> {
    let message = Zeroizing::new(match mechanism {
        Mechanism::XOauth2 => oauth::write_xoauth2(user, token.reveal())?,
        _ => oauth::write_oauthbearer(user, token.reveal())?,
    });
    Ok(Secret::new(sasl::encode(&message)))
}

/// The error challenge for a token that is not taken, whoever it is for, in base64: RFC 7628 §3.2.2's,
/// or Google's. None for who has brought no token.
pub fn refused(mechanism: Mechanism) -> Option<String> {
    let challenge = match mechanism {
        Mechanism::OauthBearer => r#"{"status":"invalid_token"}"#,
        Mechanism::XOauth2 => r#"{"status":"401","schemes":"bearer"}"#,
        _ => return None,
    };
    Some(sasl::encode(challenge.as_bytes()))
}

/// What is answered to an error challenge, in base64: the upstream then says its no.
pub fn answer(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::XOauth2 => oauth::ANSWER_XOAUTH2,
        _ => oauth::ANSWER_OAUTHBEARER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_own_mechanism_comes_first() {
        use Mechanism::{OauthBearer, Plain, XOauth2};
        for (own, offered, want) in [
            (XOauth2, None, Some(XOauth2)),
            (OauthBearer, None, Some(OauthBearer)),
            (XOauth2, Some(&[Plain, OauthBearer, XOauth2][..]), Some(XOauth2)),
            (OauthBearer, Some(&[OauthBearer, XOauth2]), Some(OauthBearer)),
            (XOauth2, Some(&[OauthBearer]), Some(OauthBearer)),
            (OauthBearer, Some(&[XOauth2]), Some(XOauth2)),
            (XOauth2, Some(&[Plain]), None),
        ] {
            assert_eq!(choose(own, offered.map(Mechanisms::of)), want);
        }
    }

    #[test]
    fn whose_token_is_not_taken_hears_it_in_the_clients_own_form() {
        for mechanism in Mechanism::ALL {
            let challenge = refused(mechanism);
            assert_eq!(challenge.is_some(), mechanism.brings_token(), "{mechanism:?}");
            let Some(challenge) = challenge else { continue };
            let mut text = Vec::new();
            assert!(sasl::decode(challenge.as_bytes(), &mut text));
            let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert!(text["status"].is_string(), "{text}");
        }
    }

    #[test]
    fn a_token_that_would_break_the_message_is_not_said() {
        let message = |user: &str, token: &str| {
            message(Mechanism::XOauth2, user.as_bytes(), &Secret::new(token)).map(|secret| {
                let mut text = Vec::new();
                assert!(sasl::decode(secret.reveal(), &mut text));
                String::from_utf8(text).unwrap()
            })
        };
        assert_eq!(message("u", "t").as_deref(), Ok("user=u\u{1}auth=Bearer t\u{1}\u{1}"));
        assert_eq!(message("u\u{1}auth=Bearer x", "t"), Err(sasl::Error::Control));
        assert_eq!(message("u", "t\r\n"), Err(sasl::Error::Token));
    }
}
