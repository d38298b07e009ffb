//! SASL rounds of the server's side, whoever carries them.
//!
//! ```text
//! PLAIN, XOAUTH2, OAUTHBEARER    Message|Bearer --message--> Done
//! LOGIN                          Name --name--> Word --password--> Done
//! CRAM-MD5                       Digest --name and digest--> Done
//! EXTERNAL                       Authzid --name, or nothing--> Done
//! SCRAM-SHA-256                  First --message--> Verifying --advice--> Proof --right--> Signed --> Done
//!                                                                           '-----wrong-----------> Done
//! GSSAPI                         Token --token--> Asked --advice: known--> Done
//!                                  ^----------------' advice: a token
//! any answer: "*", no base64, a bad message, too long --> Broken
//! ```
//!
//! Each begins with our challenge, or without it where the client sent an initial response. The
//! front adds its protocol's wrapping (`+ `, CRLF) and cuts the lines; base64 is undone here. A
//! broken exchange is over: the client begins anew. Whether the mechanism is offered at all
//! ([`Guest::may_use`]) is the front's to ask before it begins.
//!
//! **Promises.** An attempt that is done holds no CR, LF or NUL, and no empty user. SCRAM alone says
//! of a secret that it is wrong; its attempt goes to the desk all the same, which counts it.

use std::mem;

use zeroize::Zeroizing;

use super::{Advice, Attempt, Guest, Mechanism, Offer, Question, Secret};
use crate::wire::sasl::scram::{self, Check};
use crate::wire::sasl::{self, MAX_ENCODED, cram_md5, external, login, oauth, plain};

/// How many tokens of a GSSAPI client are taken. Kerberos is done after three.
const MAX_TOKENS: u8 = 8;

/// One AUTH exchange, from the mechanism's name to the credentials.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

/// What the front does next.
#[derive(Debug)]
pub enum Step {
    /// Send this base64 text; the front puts `+ ` before it and CRLF behind. It may be empty.
    Challenge(Vec<u8>),
    /// Ask the desk, and come back with [`Exchange::advised`]. A refusal ends the exchange. What
    /// the client claimed is the front's to add ([`Question::claiming`]).
    Consult(Question),
    /// The attempt to rule on; what the client claimed is the front's to add.
    Done(Attempt),
    Broken(Breach),
}

/// Why an exchange brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// The client sent `*` (RFC 9051 §6.2.2, RFC 5034 §4).
    #[error("authentication cancelled")]
    Cancelled,
    #[error("invalid base64 encoding in AUTH")]
    Encoding,
    #[error(transparent)]
    Message(#[from] sasl::Error),
    #[error("SASL message too long")]
    TooLong,
    /// The mechanism has no rounds, or they are over: the front's bug, not the client's.
    #[error("no exchange is going on")]
    NotGoingOn,
}

/// Each state owns just what it needs.
#[derive(Debug, Default)]
enum State {
    /// PLAIN's one message is awaited.
    Message,
    /// The one message of a mechanism that brings a token.
    Bearer(Mechanism),
    /// LOGIN's name is awaited.
    Name,
    /// LOGIN's password is awaited.
    Word { user: Box<[u8]> },
    /// CRAM-MD5's answer to this challenge.
    Digest { salt: Box<str> },
    /// EXTERNAL's answer, and who the client is if it names nobody.
    Authzid { name: Option<Box<[u8]>> },
    /// SCRAM's first message, and what our nonce is made of.
    First { key: [u8; 18], salt: Box<str> },
    /// The desk looks for the verifier.
    Verifying { first: scram::First, ours: String, attempt: Attempt },
    /// SCRAM's proof is awaited.
    Proof { check: Check, attempt: Attempt },
    /// The client was right, and has our proof; it answers with nothing (RFC 5802 §5).
    Signed { attempt: Attempt },
    /// A GSSAPI token is awaited, and how many came before it.
    Token { taken: u8 },
    /// The desk has the token.
    Asked { taken: u8 },
    #[default]
    Over,
}

impl Exchange {
    /// Begins an exchange. `initial` is the initial response's base64 text, if the command had
    /// one; `=` stands for an empty one (RFC 5034 §4, RFC 4959 §3).
    pub fn begin(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        guest: &Guest,
        offer: &Offer,
    ) -> (Self, Step) {
        // The empty challenge: the client speaks first (RFC 4616 §2 and its kin).
        let mut challenge = String::new();
        let state = match mechanism {
            Mechanism::Plain => State::Message,
            Mechanism::XOauth2 | Mechanism::OauthBearer => State::Bearer(mechanism),
            Mechanism::AuthLogin => {
                challenge.push_str(login::ASK_USER);
                State::Name
            }
            Mechanism::CramMd5 => {
                let salt = guest.challenge(offer);
                challenge = sasl::encode(salt.as_bytes());
                State::Digest { salt: salt.into() }
            }
            Mechanism::External if !offer.asks_certificates => {
                challenge.push_str(external::ASK_USER);
                State::Authzid { name: None }
            }
            Mechanism::External => State::Authzid { name: guest.certificate.clone() },
            Mechanism::ScramSha256 => State::First { key: guest.nonce, salt: guest.salt.clone() },
            Mechanism::Gssapi => State::Token { taken: 0 },
            Mechanism::Login | Mechanism::Apop | Mechanism::Unasked => State::Over,
        };
        let mut exchange = Self { mechanism, state };
        let step = match initial {
            Some(b"=") => exchange.take(b""),
            // `*` cancels only where an answer is awaited; here it is just not base64.
            Some(text) => exchange.take(text),
            None if matches!(exchange.state, State::Over) => Step::Broken(Breach::NotGoingOn),
            None => Step::Challenge(challenge.into()),
        };
        (exchange, step)
    }

    /// Takes the client's answer to the last challenge: one line, without CRLF.
    pub fn answer(&mut self, line: &[u8]) -> Step {
        if line == b"*" {
            self.state = State::Over;
            return Step::Broken(Breach::Cancelled);
        }
        self.take(line)
    }

    /// Takes what the desk said to [`Step::Consult`].
    pub fn advised(&mut self, advice: Advice) -> Step {
        let state = mem::take(&mut self.state);
        self.go_on(state, advice).unwrap_or_else(Step::Broken)
    }

    /// What the log says of a breach, after `client sent `: nginx's words where it has some.
    pub fn told(&self, breach: Breach) -> String {
        let what = match breach {
            Breach::Encoding => "invalid base64 encoding",
            Breach::Message(_) if self.mechanism == Mechanism::CramMd5 => "invalid CRAM-MD5 hash",
            Breach::Message(sasl::Error::NoPassword) => "invalid password",
            Breach::Message(_) => "invalid login",
            Breach::Cancelled | Breach::TooLong | Breach::NotGoingOn => {
                return format!("invalid command: {breach}");
            }
        };
        format!("{what} in AUTH {} command", self.mechanism.sasl().unwrap_or_default())
    }

    fn take(&mut self, text: &[u8]) -> Step {
        let state = mem::take(&mut self.state);
        self.advance(state, text).unwrap_or_else(Step::Broken)
    }

    /// The client has said something: one arm per state that waits for it.
    fn advance(&mut self, state: State, text: &[u8]) -> Result<Step, Breach> {
        if text.len() > MAX_ENCODED {
            return Err(Breach::TooLong);
        }
        let mut decoded = Zeroizing::new(Vec::new());
        if !sasl::decode(text, &mut decoded) {
            return Err(Breach::Encoding);
        }
        Ok(match state {
            State::Message => {
                let message = plain::parse(&decoded)?;
                Step::Done(Attempt {
                    authzid: another(Some(message.authzid), message.authcid),
                    ..Attempt::new(Mechanism::Plain, message.authcid, Secret::new(message.password))
                })
            }
            State::Bearer(mechanism) => {
                let bearer = match mechanism {
                    Mechanism::XOauth2 => oauth::xoauth2(&decoded)?,
                    _ => oauth::oauthbearer(&decoded)?,
                };
                Step::Done(Attempt::new(mechanism, bearer.user, Secret::new(bearer.token)))
            }
            State::Name => {
                self.state = State::Word { user: login::user(&decoded)?.into() };
                Step::Challenge(login::ASK_PASSWORD.into())
            }
            State::Word { user } => {
                let secret = Secret::new(login::password(&decoded)?);
                Step::Done(Attempt::new(Mechanism::AuthLogin, user, secret))
            }
            State::Digest { salt } => {
                let answer = cram_md5::parse(&decoded)?;
                Step::Done(Attempt {
                    salt: Some(salt),
                    ..Attempt::new(Mechanism::CramMd5, answer.user, Secret::new(answer.digest))
                })
            }
            State::Authzid { name } => {
                let user = match external::parse(&decoded)? {
                    b"" => name.unwrap_or_default(),
                    named => named.into(),
                };
                Step::Done(Attempt::new(Mechanism::External, sasl::user(&user)?, Secret::default()))
            }
            State::First { key, salt } => {
                let first = scram::first(&decoded)?;
                let ours = first.nonce(&key, salt.as_bytes());
                let attempt = Attempt {
                    authzid: another(first.authzid.as_deref(), &first.user),
                    ..Attempt::new(Mechanism::ScramSha256, first.user.clone(), Secret::default())
                };
                let question = Question::Verifier(Box::new(attempt.clone()));
                self.state = State::Verifying { first, ours, attempt };
                Step::Consult(question)
            }
            State::Proof { check, attempt } => match check.answer(&decoded)? {
                Some(signature) => {
                    self.state = State::Signed { attempt };
                    Step::Challenge(sasl::encode(&signature).into())
                }
                None => Step::Done(Attempt { disproved: true, ..attempt }),
            },
            State::Signed { attempt } => Step::Done(attempt),
            State::Token { taken: MAX_TOKENS } => return Err(Breach::TooLong),
            State::Token { taken } => {
                self.state = State::Asked { taken: taken + 1 };
                let token = mem::take(&mut *decoded);
                Step::Consult(Question::Token { token, is_first: taken == 0 })
            }
            State::Verifying { .. } | State::Asked { .. } | State::Over => {
                return Err(Breach::NotGoingOn);
            }
        })
    }

    /// The desk has said something: one arm per state that waits for it.
    fn go_on(&mut self, state: State, advice: Advice) -> Result<Step, Breach> {
        Ok(match (state, advice) {
            (State::Verifying { first, ours, attempt }, Advice::Verifier(verifier)) => {
                let (message, check) = first.challenge(&ours, verifier);
                self.state = State::Proof { check, attempt };
                Step::Challenge(sasl::encode(&message).into())
            }
            (State::Asked { taken }, Advice::Token(token)) => {
                self.state = State::Token { taken };
                Step::Challenge(sasl::encode(&token).into())
            }
            // A principal is chosen in a realm's database, where names may be odd.
            (State::Asked { .. }, Advice::Known { user, authzid }) => {
                let authzid = authzid.as_deref().filter(|name| !name.is_empty());
                let authzid = authzid.map(sasl::user).transpose()?;
                Step::Done(Attempt {
                    authzid: another(authzid, &user),
                    ..Attempt::new(Mechanism::Gssapi, sasl::user(&user)?, Secret::default())
                })
            }
            _ => return Err(Breach::NotGoingOn),
        })
    }
}

/// The authorization identity, where it says more than the authentication identity.
fn another(authzid: Option<&[u8]>, user: &[u8]) -> Option<Box<[u8]>> {
    authzid.filter(|name| !name.is_empty() && *name != user).map(Into::into)
}

/// What must hold for any bytes at all, each line an answer; fuzz/ calls it too.
///
/// A desk stands by that knows no user of SCRAM, and that takes a GSSAPI token for a name where it
/// ends in a letter.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for mechanism in Mechanism::ALL.into_iter().filter(|one| one.sasl().is_some()) {
        for asks_certificates in [false, true] {
            hold(mechanism, asks_certificates, input);
        }
    }
}

fn hold(mechanism: Mechanism, asks_certificates: bool, input: &[u8]) {
    let guest = Guest { certificate: Some(b"cn"[..].into()), ..Guest::default() };
    let offer = Offer { asks_certificates, ..Offer::default() };
    let mut lines = input.split(|byte| *byte == b'\n');
    let initial = lines.next().filter(|line| !line.is_empty());
    let (mut exchange, mut step) = Exchange::begin(mechanism, initial, &guest, &offer);
    let mut rounds = 0;
    let attempt = loop {
        step = match step {
            Step::Challenge(text) => {
                assert!(sasl::decode(&text, &mut Vec::new()), "a challenge is base64");
                rounds += 1;
                assert!(rounds <= 1 + usize::from(MAX_TOKENS), "no mechanism asks for ever");
                let Some(line) = lines.next() else { return };
                exchange.answer(line)
            }
            Step::Consult(question) => {
                assert!(!matches!(exchange.state, State::Over));
                exchange.advised(match question {
                    Question::Verifier(attempt) => {
                        let user = &attempt.user;
                        Advice::Verifier(scram::Verifier::fake(user, b"key"))
                    }
                    Question::Token { token, .. } => match token.last() {
                        Some(byte) if byte.is_ascii_alphabetic() => {
                            Advice::Known { user: token.into(), authzid: None }
                        }
                        _ => Advice::Token(token),
                    },
                })
            }
            Step::Done(attempt) => break Some(attempt),
            Step::Broken(_) => break None,
        }
    };
    if let Some(attempt) = attempt {
        assert_eq!(attempt.mechanism, mechanism);
        assert_ne!(attempt.authzid.as_ref(), Some(&attempt.user));
        assert!(!attempt.user.is_empty());
        let secret = attempt.secret.reveal();
        assert_eq!(secret.is_empty(), mechanism.proves_otherwise());
        assert_eq!(attempt.salt.is_some(), mechanism.brings_digest());
        assert_eq!(attempt.disproved, mechanism == Mechanism::ScramSha256);
        for part in [&attempt.user, attempt.mailbox(), secret] {
            assert!(!part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }
    assert!(matches!(exchange.answer(b""), Step::Broken(Breach::NotGoingOn)));
}

#[cfg(test)]
mod tests;
