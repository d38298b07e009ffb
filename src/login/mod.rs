//! # login: everything up to "let in", for every protocol
//!
//! Pure dialogues: bytes and events in, actions out; no socket, no clock. `front` is the side that
//! is asked to let someone in, `back` the side that asks. One driver (`session::driver`) carries
//! them all, so timeouts, TLS upgrades, error counts and hang-ups are written once.
//!
//! **In and out.** The driver feeds [`Event`]s and does [`Action`]s, all of them, before it parses
//! again, so nothing is parsed while TLS or a ruling is pending. What differs between a proxied and
//! a local login is only the [`Desk`] that rules.
//!
//! **Promises.**
//! - No decoded credential holds CR, LF or NUL.
//! - A capability that is offered works in the TLS state it is offered in.
//! - Words for a refusal stand in `refusal.rs` of the protocol, and nowhere else.

mod ask;
mod attempt;
pub mod bearer;
mod carry;
mod consult;
mod cut;
pub mod exchange;
mod guest;
pub mod imap;
pub mod name;
mod offer;
#[cfg(test)]
pub mod play;
pub mod pop3;
mod refusal;
mod secret;
pub mod sieve;
pub mod smtp;
pub mod words;

use std::error::Error;

use crate::wire::Parsed;

pub use ask::{Ask, Identity, Proof, SmtpAuth, Tell};
pub use attempt::{Attempt, Claims, Envelope, Helo, Mechanism};
pub use consult::{Advice, Question};
pub use guest::{Bar, Guest, Secured};
pub use offer::{Mechanisms, Offer, StartTls};
pub use refusal::{Kind, Refusal, closed, passable, rejected, turned_away};
pub use secret::Secret;
pub use words::Words;

/// One side's part in a login, for one protocol: bytes and events in, actions out. Pure.
pub trait Dialogue: Send {
    type Command<'a>;
    type Breach: Error;
    const WORDS: &'static Words;

    /// Reads the next command off what the peer has sent. The grammar may hang on the state: a
    /// SASL answer is no command.
    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Self::Command<'a>, Self::Breach>;

    /// Takes one event and says what is to be done about it, in order.
    fn on(&mut self, event: Event<Self::Command<'_>, Self::Breach>, act: &mut Vec<Action>);
}

/// Who rules on a login: a proxy lets in to an upstream, a server to an account of its own.
pub trait Desk: Sync {
    /// What an admitted client gets: the logged-in upstream, or the open account.
    type Pass: Send;

    fn rule(
        &self,
        attempt: Attempt,
    ) -> impl Future<Output = Result<(Self::Pass, Granted), Refusal>> + Send;

    /// Answers an exchange that cannot go on without it. A desk that has nothing to tell refuses.
    fn advise(&self, question: Question) -> impl Future<Output = Result<Advice, Refusal>> + Send {
        drop(question);
        std::future::ready(Err(Refusal::new(Kind::Internal)))
    }
}

/// What happened, as the driver tells a dialogue.
#[derive(Debug)]
pub enum Event<C, B> {
    /// The connection is open (and secure already where TLS is implicit).
    Opened,
    Command(C),
    Breach(B),
    /// TLS is up after [`Action::StartTls`].
    Secured(Secured),
    /// What the desk says to [`Action::Consult`].
    Advised(Result<Advice, Refusal>),
    Ruled(Result<Granted, Refusal>),
}

/// What a dialogue wants done, in order.
#[derive(Debug)]
pub enum Action {
    /// Write these bytes.
    Say(Vec<u8>),
    /// Write these bytes, wipe them, and never log them.
    SayInConfidence(Secret),
    /// The peer broke its protocol, and that counts: words for the log. The answer is said apart.
    Breach(String),
    /// Words for the log, of something that does not count: they follow `client `.
    Note(String),
    /// A breach as well, and what follows cannot be read as commands any more: the dialogue closes.
    OutOfStep(String),
    StartTls,
    /// Ask the desk what an exchange cannot know by itself.
    Consult(Question),
    Rule(Attempt),
    /// A front lets the client in: the login is over.
    Admit,
    /// A back has its answer: the login is over.
    Settle(Verdict),
    /// Write what is unwritten, then close.
    Close,
}

/// What a let-in client is told: the upstream's own words where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Whole lines to pass before the success line, CRLF included (IMAP untagged data, `[ALERT]`).
    pub untagged: Vec<u8>,
    /// The text of the success line after `OK ` or `+OK `, without CRLF: it may begin with a
    /// response code such as `[CAPABILITY …]`. In SMTP it is the whole reply, code and all, of one
    /// line or several. `None`: our own words.
    pub text: Option<Vec<u8>>,
    /// What the upstream offers, a keyword and its parameters each: SMTP and LMTP alone.
    pub offers: Vec<String>,
}

/// How a login upstream ended, as a `back` found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted(Granted),
    /// The upstream said no to the credentials, or "not now": `kind` says which.
    Refused {
        kind: Kind,
        text: Vec<u8>,
        untagged: Vec<u8>,
        /// The error challenge of an OAuth mechanism, in base64 as it came.
        sasl: Option<String>,
    },
    /// The upstream broke its protocol, greeted with BYE, or cannot do what we need.
    Misbehaved(String),
}
