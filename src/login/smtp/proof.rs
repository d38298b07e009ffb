//! How we prove to an upstream who it is for: the AUTH command, and what answers its challenges.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use crate::login::{Ask, Mechanism, Proof, Secret, SmtpAuth};
use crate::wire::sasl::{self, oauth};
use crate::wire::smtp::capability::Capabilities;
use crate::wire::smtp::command::MAX_LINE;

/// A login about to be said.
#[derive(Debug)]
pub struct Plan {
    pub mechanism: Mechanism,
    /// The AUTH line, CRLF included.
    pub command: Secret,
    /// Whether the line itself holds credentials.
    pub in_confidence: bool,
    /// What is answered to each challenge, CRLF included. The message of a mechanism that has but
    /// one stands here too when the line holds it: a server that does not know initial responses
    /// asks for it all the same.
    pub answers: VecDeque<Secret>,
}

/// Plans a login by what the upstream offers; an error says what it lacks.
pub fn plan(ask: &Ask, known: &Capabilities) -> Result<Plan, &'static str> {
    let mechanism = choose(ask, known)?;
    // On behalf of another, the name of whoever acts is the one with the password.
    let authzid = ask.authzid.as_deref().unwrap_or_default();
    Ok(match mechanism {
        Mechanism::AuthLogin => Plan {
            mechanism,
            command: Secret::new(&b"AUTH LOGIN\r\n"[..]),
            in_confidence: false,
            answers: [answer(&ask.user), answer(ask.secret.reveal())].into(),
        },
        Mechanism::Plain => {
            let message = sasl::plain::write(authzid, &ask.user, ask.secret.reveal());
            at_once(mechanism, "PLAIN", Zeroizing::new(message))
        }
        Mechanism::OauthBearer => at_once(mechanism, "OAUTHBEARER", bearer(ask, true)?),
        _ => at_once(mechanism, "XOAUTH2", bearer(ask, false)?),
    })
}

/// The mechanism that will do. What a configuration names is taken at its word.
fn choose(ask: &Ask, known: &Capabilities) -> Result<Mechanism, &'static str> {
    if let Proof::Bearer(own) = ask.proof {
        let [xoauth2, oauthbearer] = [Mechanism::XOauth2, Mechanism::OauthBearer];
        let other = if own == xoauth2 { oauthbearer } else { xoauth2 };
        let offered = |one: &Mechanism| one.sasl().is_some_and(|name| known.may_auth(name));
        return [own, other]
            .into_iter()
            .find(offered)
            .ok_or("neither AUTH XOAUTH2 nor AUTH OAUTHBEARER is offered");
    }
    let others = ask.authzid.is_some();
    match ask.smtp_auth {
        SmtpAuth::Plain => Ok(Mechanism::Plain),
        SmtpAuth::Login if others => Err("AUTH LOGIN cannot log in on behalf of another"),
        SmtpAuth::Login => Ok(Mechanism::AuthLogin),
        SmtpAuth::Any | SmtpAuth::Off => {
            if known.may_auth("PLAIN") {
                Ok(Mechanism::Plain)
            } else if known.auth.is_empty() {
                Err("AUTH is not offered")
            } else if !known.may_auth("LOGIN") {
                Err("neither AUTH PLAIN nor AUTH LOGIN is offered")
            } else if others {
                Err("AUTH PLAIN is needed to log in on behalf of another, and not offered")
            } else {
                Ok(Mechanism::AuthLogin)
            }
        }
    }
}

/// RFC 4954 §4 keeps the command and its initial response to the length of any command, and some
/// servers cut what is longer; the answer to a challenge may be longer.
fn at_once(mechanism: Mechanism, name: &str, message: Zeroizing<Vec<u8>>) -> Plan {
    let answer = answer(&message);
    let fits = "AUTH  ".len() + name.len() + answer.reveal().len() <= MAX_LINE;
    let mut command = Vec::with_capacity(MAX_LINE);
    command.extend_from_slice(b"AUTH ");
    command.extend_from_slice(name.as_bytes());
    if fits {
        command.push(b' ');
        command.extend_from_slice(answer.reveal());
    } else {
        command.extend_from_slice(b"\r\n");
    }
    Plan { mechanism, command: Secret::new(command), in_confidence: fits, answers: [answer].into() }
}

/// One answer: base64 and CRLF.
fn answer(message: &[u8]) -> Secret {
    let text = Zeroizing::new(sasl::encode(message));
    // Made at its full length at once: growing would leave copies behind.
    let mut line = Vec::with_capacity(text.len() + 2);
    line.extend_from_slice(text.as_bytes());
    line.extend_from_slice(b"\r\n");
    Secret::new(line)
}

/// The message of OAUTHBEARER (RFC 7628 §3.1), or Google's XOAUTH2.
fn bearer(ask: &Ask, is_standard: bool) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let user = ask.authzid.as_deref().unwrap_or(&ask.user);
    let write = if is_standard { oauth::write_oauthbearer } else { oauth::write_xoauth2 };
    let message = write(user, ask.secret.reveal());
    message
        .map(Zeroizing::new)
        .map_err(|_| "credentials that would break the protocol were not sent")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Identity;

    fn ask(user: &str, proof: Proof) -> Ask {
        let identity = Identity::new(([192, 0, 2, 1], 49153).into(), "s1");
        Ask {
            proof,
            smtp_auth: SmtpAuth::Any,
            ..Ask::new(user.as_bytes(), Secret::new("p"), identity)
        }
    }

    #[test]
    fn a_token_is_wrapped_as_each_mechanism_wants_it() {
        let ask = ask("a=b,c", Proof::Bearer(Mechanism::XOauth2));
        assert_eq!(*bearer(&ask, false).unwrap(), b"user=a=b,c\x01auth=Bearer p\x01\x01");
        assert_eq!(*bearer(&ask, true).unwrap(), b"n,a=a=3Db=2Cc,\x01auth=Bearer p\x01\x01");
        let injected = Ask { user: b"a\x01auth=Bearer q".as_slice().into(), ..ask };
        assert!(bearer(&injected, false).is_err());
    }

    #[test]
    fn the_mechanism_is_what_both_sides_can_say() {
        use Mechanism::{AuthLogin, OauthBearer, Plain, XOauth2};
        let known = |names: &[&str]| Capabilities {
            auth: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Capabilities::none()
        };
        let password = ask("u", Proof::Password);
        let other = Ask { authzid: Some(b"v".as_slice().into()), ..password.clone() };
        let token = ask("u", Proof::Bearer(XOauth2));
        let forced = |smtp_auth| Ask { smtp_auth, ..password.clone() };
        let none = "AUTH is not offered";
        for (ask, names, want) in [
            (&password, &["LOGIN", "PLAIN"][..], Ok(Plain)),
            (&password, &["LOGIN"], Ok(AuthLogin)),
            (&password, &["CRAM-MD5"], Err("neither AUTH PLAIN nor AUTH LOGIN is offered")),
            (&password, &[], Err(none)),
            (
                &other,
                &["LOGIN"],
                Err("AUTH PLAIN is needed to log in on behalf of another, and not offered"),
            ),
            (&other, &["PLAIN"], Ok(Plain)),
            (&forced(SmtpAuth::Plain), &[], Ok(Plain)),
            (&forced(SmtpAuth::Login), &["PLAIN"], Ok(AuthLogin)),
            (
                &Ask { smtp_auth: SmtpAuth::Login, ..other.clone() },
                &["LOGIN"],
                Err("AUTH LOGIN cannot log in on behalf of another"),
            ),
            (&token, &["OAUTHBEARER", "XOAUTH2"], Ok(XOauth2)),
            (&token, &["OAUTHBEARER", "PLAIN"], Ok(OauthBearer)),
            (&token, &["PLAIN"], Err("neither AUTH XOAUTH2 nor AUTH OAUTHBEARER is offered")),
        ] {
            assert_eq!(choose(ask, &known(names)), want, "{names:?}");
        }
        // Who lists nothing may know them all.
        assert_eq!(choose(&password, &Capabilities::default()), Ok(Plain));
        assert_eq!(choose(&token, &Capabilities::default()), Ok(XOauth2));
    }
}
