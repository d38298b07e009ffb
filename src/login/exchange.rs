//! SASL rounds of the server's side, whoever carries them.
//!
//! ```text
//! begin PLAIN ──(no initial response)──> Message ──answer──> Done
//!       └───────(initial response)───────────────────────────> Done
//! begin LOGIN ──(no initial response)──> Name ──answer──> Word ──answer──> Done
//!       └───────(initial response)───────────────────────> Word
//! any answer: "*", no base64, a bad message, too long ──> Broken
//! ```
//!
//! The front adds its protocol's wrapping (`+ `, CRLF) and cuts the lines; base64 is undone here.
//! A broken exchange is over: the client begins anew.

use std::mem;

use zeroize::Zeroizing;

use super::{Advice, Attempt, Guest, Mechanism, Offer, Question, Secret};
use crate::wire::sasl::{self, MAX_ENCODED, login, plain};

/// One AUTH exchange, from the mechanism's name to the credentials.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

/// What the front does next.
#[derive(Debug)]
pub enum Step {
    /// Send this base64 text; the front puts `+ ` before it and CRLF behind. It may be empty.
    Challenge(Vec<u8>),
    /// Ask the desk, and come back with [`Exchange::advised`]. A refusal ends the exchange.
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
    /// LOGIN's name is awaited.
    Name,
    /// LOGIN's password is awaited.
    Word { user: Box<[u8]> },
    #[default]
    Over,
}

impl Exchange {
    /// Begins an exchange. `initial` is the initial response's base64 text, if the command had
    /// one; `=` stands for an empty one (RFC 5034 §4, RFC 4959 §3).
    pub fn begin(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        _guest: &Guest,
        _offer: &Offer,
    ) -> (Self, Step) {
        let (state, challenge) = match mechanism {
            // The empty challenge: the client speaks first (RFC 4616 §2).
            Mechanism::Plain => (State::Message, ""),
            Mechanism::AuthLogin => (State::Name, login::ASK_USER),
            _ => (State::Over, ""),
        };
        let mut exchange = Self { state };
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
    pub fn advised(&mut self, _advice: Advice) -> Step {
        self.state = State::Over;
        Step::Broken(Breach::NotGoingOn)
    }

    fn take(&mut self, text: &[u8]) -> Step {
        let state = mem::take(&mut self.state);
        self.advance(state, text).unwrap_or_else(Step::Broken)
    }

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
                let differs = !message.authzid.is_empty() && message.authzid != message.authcid;
                let secret = Secret::new(message.password);
                Step::Done(Attempt {
                    authzid: differs.then(|| message.authzid.into()),
                    ..Attempt::new(Mechanism::Plain, message.authcid, secret)
                })
            }
            State::Name => {
                self.state = State::Word { user: login::user(&decoded)?.into() };
                Step::Challenge(login::ASK_PASSWORD.into())
            }
            State::Word { user } => {
                let secret = Secret::new(login::password(&decoded)?);
                Step::Done(Attempt::new(Mechanism::AuthLogin, user, secret))
            }
            State::Over => return Err(Breach::NotGoingOn),
        })
    }
}

/// What must hold for any bytes at all, each line an answer; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for mechanism in [Mechanism::Plain, Mechanism::AuthLogin] {
        let mut lines = input.split(|byte| *byte == b'\n');
        let initial = lines.next().filter(|line| !line.is_empty());
        let (mut exchange, mut step) =
            Exchange::begin(mechanism, initial, &Guest::default(), &Offer::default());
        let mut rounds = 0;
        while let Step::Challenge(_) = step {
            rounds += 1;
            assert!(rounds <= 2, "no mechanism of ours asks more than twice");
            let Some(line) = lines.next() else { return };
            step = exchange.answer(line);
        }
        if let Step::Done(credentials) = step {
            assert_eq!(credentials.mechanism, mechanism);
            assert_ne!(credentials.authzid.as_ref(), Some(&credentials.user));
            assert!(!credentials.user.is_empty());
            let authzid = credentials.authzid.as_deref().unwrap_or_default();
            for part in [&credentials.user, authzid, credentials.secret.reveal()] {
                assert!(!part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
        assert!(matches!(exchange.answer(b""), Step::Broken(Breach::NotGoingOn)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::sasl::encode;

    /// The whole exchange in one line: what is asked, then what it came to.
    fn run(mechanism: Mechanism, initial: Option<&str>, answers: &[&str]) -> String {
        let (mut exchange, mut step) = Exchange::begin(
            mechanism,
            initial.map(str::as_bytes),
            &Guest::default(),
            &Offer::default(),
        );
        let (mut told, mut answers) = (String::new(), answers.iter());
        loop {
            match step {
                Step::Challenge(text) => told += &format!("+{} ", text.escape_ascii()),
                Step::Broken(breach) => return told + &breach.to_string(),
                Step::Consult(question) => return format!("{told}asks {question:?}"),
                Step::Done(Attempt { user, authzid, secret, .. }) => {
                    let authzid = authzid.unwrap_or_default();
                    let parts = [&*user, &*authzid, secret.reveal()];
                    return told + &parts.map(|part| part.escape_ascii().to_string()).join("|");
                }
            }
            step = exchange.answer(answers.next().expect("another answer").as_bytes());
        }
    }

    #[test]
    fn plain_takes_its_message_at_once_or_when_asked() {
        let message = encode(b"\0tim\0tanstaaf");
        assert_eq!(run(Mechanism::Plain, Some(&message), &[]), "tim||tanstaaf");
        assert_eq!(run(Mechanism::Plain, None, &[&message]), "+ tim||tanstaaf");
    }

    #[test]
    fn an_authzid_is_kept_only_where_it_differs() {
        let run = |message: &[u8]| run(Mechanism::Plain, Some(&encode(message)), &[]);
        assert_eq!(run(b"tim\0tim\0p"), "tim||p");
        assert_eq!(run(b"ursel\0kurt\0p"), "kurt|ursel|p");
    }

    #[test]
    fn login_asks_for_what_it_was_not_told() {
        let (user, word) = (encode(b"tim"), encode(b"tans taaf"));
        assert_eq!(
            run(Mechanism::AuthLogin, None, &[&user, &word]),
            "+VXNlcm5hbWU6 +UGFzc3dvcmQ6 tim||tans taaf"
        );
        assert_eq!(
            run(Mechanism::AuthLogin, Some(&user), &[&word]),
            "+UGFzc3dvcmQ6 tim||tans taaf"
        );
    }

    #[test]
    fn names_each_breach() {
        let injected = encode(b"u\r\nDELE 1");
        let long = "A".repeat(MAX_ENCODED + 4);
        for (mechanism, initial, answers, want) in [
            (Mechanism::Plain, None, &["*"][..], "+ authentication cancelled"),
            (Mechanism::Plain, None, &["&"], "+ invalid base64 encoding in AUTH"),
            (Mechanism::Plain, Some("*"), &[], "invalid base64 encoding in AUTH"),
            (Mechanism::Plain, Some("="), &[], "SASL message without its separators"),
            (Mechanism::Plain, None, &["="], "+ invalid base64 encoding in AUTH"),
            (Mechanism::Plain, None, &[""], "+ SASL message without its separators"),
            (Mechanism::Plain, None, &[&long], "+ SASL message too long"),
            (Mechanism::AuthLogin, Some("="), &[], "empty user in SASL credentials"),
            (Mechanism::AuthLogin, Some(&injected), &[], "CR, LF or NUL in SASL credentials"),
            (Mechanism::AuthLogin, Some("dQ=="), &["*"], "+UGFzc3dvcmQ6 authentication cancelled"),
            (Mechanism::Login, None, &[], "no exchange is going on"),
        ] {
            assert_eq!(run(mechanism, initial, answers), want);
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_lines(messages in prop::collection::vec(
            prop::collection::vec(prop::sample::select(b"\0\0up\r\n*\xff".to_vec()), 0..9), 0..4)) {
            let lines: Vec<_> = messages.iter().map(|message| encode(message)).collect();
            hold_for_any(lines.join("\n").as_bytes());
            hold_for_any(&messages.join(&b'\n'));
        }
    }
}
