//! Carries a dialogue through bytes, in place of the driver, for what must hold of any peer. For
//! `cargo test` and fuzz/.

use super::{Action, Advice, Dialogue, Event, Granted, Kind, Question, Refusal, Secured, cut};
use crate::wire::Parsed;
use crate::wire::sasl::scram::Verifier;

/// What came of an action.
pub enum Then {
    Go,
    Secured,
    Advised(Result<Advice, Refusal>),
    Ruled(Result<Granted, Refusal>),
    Over,
}

/// What came of all.
#[derive(Default)]
pub struct Carried {
    /// How much was left unread, where the dialogue did not end.
    pub left: usize,
    /// How often it did nothing about what it heard.
    pub silent: usize,
}

/// Carries `dialogue` through `unread`, as the driver would.
pub fn carry<D: Dialogue>(
    mut dialogue: D,
    mut unread: &[u8],
    mut take: impl FnMut(Action) -> Then,
) -> Carried {
    let (mut act, mut carried) = (Vec::new(), Carried::default());
    dialogue.on(Event::Opened, &mut act);
    loop {
        while !act.is_empty() {
            for action in std::mem::take(&mut act) {
                match take(action) {
                    Then::Go => {}
                    Then::Secured => dialogue.on(Event::Secured(Secured::default()), &mut act),
                    Then::Advised(advice) => dialogue.on(Event::Advised(advice), &mut act),
                    Then::Ruled(ruling) => dialogue.on(Event::Ruled(ruling), &mut act),
                    Then::Over => return carried,
                }
            }
        }
        cut::hold(&dialogue, unread);
        let used = match dialogue.parse(unread) {
            Parsed::More => {
                carried.left = unread.len();
                return carried;
            }
            Parsed::Whole(command, used) => {
                dialogue.on(Event::Command(command), &mut act);
                used
            }
            Parsed::Broken(breach, used) => {
                dialogue.on(Event::Breach(breach), &mut act);
                used
            }
        };
        assert!((1..=unread.len()).contains(&used), "no step was made");
        unread = &unread[used..];
        carried.silent += usize::from(act.is_empty());
    }
}

/// A desk that knows no user of SCRAM, and of GSSAPI by name those whose token ends in a letter.
pub fn advice(question: Question) -> Result<Advice, Refusal> {
    match question {
        Question::Verifier(attempt) => {
            assert!(attempt.secret.reveal().is_empty());
            Ok(Advice::Verifier(Verifier::fake(&attempt.user, b"key")))
        }
        Question::Token { token, .. } => match token.last() {
            None => Err(Refusal::new(Kind::Unavailable)),
            Some(byte) if byte.is_ascii_alphabetic() => {
                Ok(Advice::Known { user: token.into(), authzid: None })
            }
            Some(_) => Ok(Advice::Token(token)),
        },
    }
}
