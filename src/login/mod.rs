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

mod attempt;
mod cut;
pub mod exchange;
pub mod imap;
mod offer;
#[cfg(test)]
pub mod play;
pub mod pop3;
mod refusal;
mod secret;
pub mod words;

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::wire::Parsed;

pub use attempt::{Attempt, Claims, Mechanism};
pub use offer::{Mechanisms, Offer, StartTls};
pub use refusal::{Kind, Refusal, passable};
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
}

/// What happened, as the driver tells a dialogue.
#[derive(Debug)]
pub enum Event<C, B> {
    /// The connection is open (and secure already where TLS is implicit).
    Opened,
    Command(C),
    Breach(B),
    /// TLS is up after [`Action::StartTls`]. The name the client asked for may have chosen another
    /// virtual host, whose offer then holds from here on.
    Secured(Option<Arc<Offer>>),
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
    /// The same, and what follows cannot be read as commands any more: the dialogue closes.
    OutOfStep(String),
    StartTls,
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
    /// response code such as `[CAPABILITY …]`. `None`: our own words.
    pub text: Option<Vec<u8>>,
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
    },
    /// The upstream broke its protocol, greeted with BYE, or cannot do what we need.
    Misbehaved(String),
}

/// What a `back` needs to log in for somebody.
#[derive(Clone, Debug)]
pub struct Ask {
    pub user: Box<[u8]>,
    pub authzid: Option<Box<[u8]>>,
    pub secret: Secret,
    /// TLS must be begun by STARTTLS/STLS before anything else is said.
    pub starttls: bool,
    /// Send the client's identity by IMAP ID (`proxy_issue_imap_id`).
    pub imap_id: Tell,
    /// Send it by POP3 XOIP (`proxy_issue_pop3_xoip`).
    pub pop3_xoip: Tell,
    /// Send it by XCLIENT (`xclient`).
    pub xclient: Tell,
    /// The upstream is told to be Dovecot: ID carries `x-connected-ip`, `x-session-id` and others.
    pub dovecot: bool,
    pub identity: Identity,
}

/// Whether to tell an upstream something it may not understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tell {
    /// If its greeting or capabilities offer it, or do not say.
    #[default]
    Auto,
    On,
    Off,
}

/// Who the client really is, for the upstream's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub client: SocketAddr,
    /// The address of ours that the client connected to.
    pub local: SocketAddr,
    /// Our address on the connection to the upstream, for `X-VIA`.
    pub via: IpAddr,
    /// Unique among sessions; printable, no blanks.
    pub session: String,
    /// How many more proxies may follow. At 0 the desk refuses, as a loop, before it asks.
    pub ttl: u8,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
}
