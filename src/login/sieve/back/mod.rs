//! ManageSieve with the upstream, from its greeting to its answer. No socket, no clock: events in,
//! actions out.
//!
//! ```text
//! Greeting --OK--> [Requesting --OK--> Securing --Secured--> Greeting]
//!                  > [Introducing] > LoggingIn --OK, NO, BYE--> Settled
//!                                     |     ^
//!                                     +-----+ challenge, answer
//! ```
//!
//! What stands in brackets is left out where it is not needed. Capabilities come with the greeting,
//! and again after STARTTLS (RFC 5804 §2.2), where those from before TLS are forgotten.
//!
//! **The login.** PLAIN with its message at once; LOGIN where only that is listed and nobody acts for
//! another; a token by the mechanism that brought it, or by its sibling where only that is listed.
//! An upstream that lists no SASL line, which RFC 5804 §1.7 does not ask for, is taken to
//! offer all of them.
//!
//! **Promises.**
//! - Credentials go in confidence only, after TLS only if TLS was asked for, and are base64 in one
//!   string: none can end it. They are never in the words of a [`Verdict::Misbehaved`].
//! - An upstream that refuses XCLIENT still gets the login.
//!
//! **Limits.** [`MAX_HEARD`] bytes before the answer; more is misbehaviour. Servers older than
//! RFC 5804 that list nothing after STARTTLS are waited for in vain.

use std::collections::VecDeque;
use std::mem;

use zeroize::Zeroizing;

use super::refusal;
use crate::login::bearer;
use crate::login::{
    Action, Ask, Dialogue, Event, Granted, Kind, Mechanism, Proof, Secret, Tell, Verdict, Words,
    words,
};
use crate::wire::Parsed;
use crate::wire::pop3::command::Xclient;
use crate::wire::sasl::{self, oauth};
use crate::wire::sieve::args::{Code, Text, is_atom_char};
use crate::wire::sieve::quote::{self, Side};
use crate::wire::sieve::reply::{self, Capabilities, Reply, Sasl, Status};

/// The most that an upstream may say before it answers the login.
pub const MAX_HEARD: usize = 65_536;

/// Our side of a ManageSieve login, as a client.
#[derive(Debug)]
pub struct Back {
    ask: Ask,
    secure: bool,
    /// What the upstream offers in its present TLS state.
    offers: Capabilities,
    heard: usize,
    state: State,
}

/// Each state owns just what it needs.
#[derive(Debug, Default)]
enum State {
    New,
    /// Capabilities are awaited, up to an OK: at first, and after STARTTLS.
    Greeting,
    /// STARTTLS is out.
    Requesting,
    Securing,
    /// XCLIENT is out.
    Introducing,
    /// AUTHENTICATE is out.
    LoggingIn(Login),
    #[default]
    Settled,
}

/// A login that is going on.
#[derive(Debug, Default)]
struct Login {
    /// Answers that are still to be asked for: no login is complete without them.
    owed: VecDeque<Secret>,
    /// The message again, for an upstream that passed over the initial response.
    spare: Option<Secret>,
    /// By a token: this answers the challenge that says what was wrong with it.
    acknowledgement: Option<&'static [u8]>,
    /// What that challenge said.
    error: Option<String>,
    /// What the client will be told besides.
    untagged: Vec<u8>,
}

impl Back {
    pub fn new(ask: Ask) -> Self {
        let (offers, state) = (Capabilities::default(), State::New);
        Self { ask, secure: false, offers, heard: 0, state }
    }
}

impl Dialogue for Back {
    type Command<'a> = Reply<'a>;
    type Breach = reply::Error;
    const WORDS: &'static Words = &words::SIEVE;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Reply<'a>, reply::Error> {
        match self.state {
            State::New | State::Securing | State::Settled => Parsed::More,
            _ => reply::parse(unread),
        }
    }

    fn on(&mut self, event: Event<Reply<'_>, reply::Error>, act: &mut Vec<Action>) {
        use Event as E;
        use State as S;

        self.state = match (mem::take(&mut self.state), event) {
            (state, E::Command(reply)) => self.hear(state, reply, act),
            (S::New, E::Opened) => S::Greeting,
            (S::Securing, E::Secured(_)) => {
                // RFC 5804 §2.2: what was said before TLS does not count.
                (self.secure, self.offers) = (true, Capabilities::default());
                S::Greeting
            }
            (_, E::Breach(error)) => misbehaved(&error.to_string(), act),
            // The driver reports nothing else to a back: this is our bug.
            (_, E::Opened | E::Secured(_) | E::Advised(_) | E::Ruled(_)) => settle(bug(), act),
        };
    }
}

impl Back {
    /// The whole dialogue on one page: one arm per thing that may be heard.
    fn hear(&mut self, state: State, reply: Reply<'_>, act: &mut Vec<Action>) -> State {
        use Reply::{Done, Line};
        use State as S;
        use Status::{Bye, No, Ok as Yes};

        match (state, reply) {
            (S::Greeting, Line { first, second }) => {
                self.offers.note(first, second);
                self.bounded(first, second, S::Greeting, act)
            }
            (S::Greeting, Done { status: Yes, .. }) => self.go_on(act),
            // Nobody's credentials were seen yet, so this is about the upstream.
            (S::Greeting, Done { status: No | Bye, code, text }) => {
                let kind = refusal::kind_of(code, Kind::Unavailable);
                refused(kind, code, text, None, act)
            }
            (S::Requesting, Done { status: Yes, .. }) => {
                act.push(Action::StartTls);
                S::Securing
            }
            (S::Requesting, Done { status: No | Bye, .. }) => misbehaved("refused STARTTLS", act),
            (S::Introducing, Done { status: Yes | No, .. }) => self.log_in(act),
            (S::LoggingIn(mut login), Line { first, second: Some(value) }) => {
                // No challenge, as it has a value: of the session to come.
                capability(first, value, &mut login.untagged);
                self.bounded(first, Some(value), S::LoggingIn(login), act)
            }
            (S::LoggingIn(login), Line { first, second: None }) => challenged(login, first, act),
            (S::LoggingIn(login), Done { status: Yes, .. }) if !login.owed.is_empty() => {
                misbehaved("let somebody in before the password was said", act)
            }
            (S::LoggingIn(login), Done { status: Yes, code, text }) => {
                let text = refusal::welcome(code, text);
                let granted = Granted { untagged: login.untagged, text, ..Granted::default() };
                settle(Verdict::Accepted(granted), act)
            }
            (S::LoggingIn(login), Done { status: No, code, text }) => {
                let kind = refusal::kind_of(code, Kind::BadCredentials);
                refused(kind, code, text, login.error, act)
            }
            // RFC 5804 §1.2: it may come at any time, for reasons of the upstream's own.
            (S::Introducing, Done { status: Bye, code, text }) => {
                refused(refusal::kind_of(code, Kind::Unavailable), code, text, None, act)
            }
            (S::LoggingIn(login), Done { status: Bye, code, text }) => {
                let kind = refusal::kind_of(code, Kind::Unavailable);
                refused(kind, code, text, login.error, act)
            }
            (S::Requesting | S::Introducing, Line { .. }) => {
                misbehaved("answered what was not asked", act)
            }
            (S::New | S::Securing | S::Settled, _) => settle(bug(), act),
        }
    }

    /// Goes on to `state`, unless the upstream has said too much.
    fn bounded(
        &mut self,
        first: Text<'_>,
        second: Option<Text<'_>>,
        state: State,
        act: &mut Vec<Action>,
    ) -> State {
        self.heard += first.len() + second.map_or(0, Text::len) + 8;
        match self.heard > MAX_HEARD {
            true => misbehaved("said too much before it answered the login", act),
            false => state,
        }
    }

    /// The upstream is ready: STARTTLS, XCLIENT or the login is next.
    fn go_on(&self, act: &mut Vec<Action>) -> State {
        if self.ask.starttls && !self.secure {
            if !self.offers.starttls {
                return misbehaved("offers no STARTTLS", act);
            }
            act.push(Action::Say(b"STARTTLS\r\n".to_vec()));
            return State::Requesting;
        }
        let tells = match self.ask.xclient {
            Tell::On => true,
            Tell::Off => false,
            Tell::Auto => self.offers.xclient,
        };
        if !tells {
            return self.log_in(act);
        }
        act.push(Action::Say(format!("XCLIENT{}\r\n", self.identity()).into()));
        State::Introducing
    }

    /// Who the client is, as Dovecot has it told: atoms, as in POP3.
    fn identity(&self) -> Xclient {
        let identity = &self.ask.identity;
        let is_atom = !identity.session.is_empty() && identity.session.bytes().all(is_atom_char);
        Xclient {
            addr: Some(identity.client.ip().to_canonical()),
            port: Some(identity.client.port()),
            session: is_atom.then(|| identity.session.clone()),
            ttl: Some(identity.ttl),
        }
    }

    fn log_in(&self, act: &mut Vec<Action>) -> State {
        let Ask { user, authzid, secret, proof, .. } = &self.ask;
        let behalf = authzid.as_deref().unwrap_or_default();
        // Only the fronts and the lookup bring credentials, and neither lets such bytes through.
        let ends_a_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        if [&**user, behalf, secret.reveal()].into_iter().flatten().any(ends_a_line) {
            return settle(bug(), act);
        }
        let offered = |is_listed: fn(Sasl) -> bool| self.offers.sasl.is_none_or(is_listed);
        if let Proof::Bearer(brought) = *proof {
            let is_offered = |mechanism: &Mechanism| match mechanism {
                Mechanism::XOauth2 => offered(|sasl| sasl.xoauth2),
                _ => offered(|sasl| sasl.oauthbearer),
            };
            let sibling = match brought {
                Mechanism::XOauth2 => Mechanism::OauthBearer,
                _ => Mechanism::XOauth2,
            };
            let Some(mechanism) = [brought, sibling].into_iter().find(is_offered) else {
                return misbehaved("offers no login by token", act);
            };
            let mailbox = authzid.as_deref().unwrap_or(user);
            let message = match mechanism {
                Mechanism::XOauth2 => oauth::write_xoauth2(mailbox, secret.reveal()),
                _ => oauth::write_oauthbearer(mailbox, secret.reveal()),
            };
            let Ok(message) = message.map(Zeroizing::new) else { return settle(bug(), act) };
            let acknowledgement = Some(bearer::answer(mechanism).as_bytes());
            return authenticate(mechanism, &message, acknowledgement, act);
        }
        if offered(|sasl| sasl.plain) {
            let message = Zeroizing::new(sasl::plain::write(behalf, user, secret.reveal()));
            return authenticate(Mechanism::Plain, &message, None, act);
        }
        if authzid.is_some() || !offered(|sasl| sasl.login) {
            return misbehaved("offers no login that we can do", act);
        }
        act.push(Action::Say(b"AUTHENTICATE \"LOGIN\"\r\n".to_vec()));
        let owed = [user, secret.reveal()].map(|word| in_string(b"", word)).into();
        State::LoggingIn(Login { owed, ..Login::default() })
    }
}

/// Begins a mechanism whose client speaks first, and says it all at once.
fn authenticate(
    mechanism: Mechanism,
    message: &[u8],
    acknowledgement: Option<&'static [u8]>,
    act: &mut Vec<Action>,
) -> State {
    let name = mechanism.sasl().unwrap_or_default();
    let command = format!("AUTHENTICATE \"{name}\" ");
    act.push(Action::SayInConfidence(in_string(command.as_bytes(), message)));
    let spare = Some(in_string(b"", message));
    State::LoggingIn(Login { spare, acknowledgement, ..Login::default() })
}

/// The upstream wants an answer.
fn challenged(mut login: Login, challenge: Text<'_>, act: &mut Vec<Action>) -> State {
    if let Some(answer) = login.owed.pop_front() {
        act.push(Action::SayInConfidence(answer));
        return State::LoggingIn(login);
    }
    let is_empty = challenge.len() == 0;
    match (login.spare.take(), login.acknowledgement.take()) {
        (Some(message), acknowledgement) if is_empty => {
            act.push(Action::SayInConfidence(message));
            login.acknowledgement = acknowledgement;
        }
        // RFC 7628 §3.2.2: what was wrong with the token, for the client that brought it.
        (_, Some(acknowledgement)) => {
            let text = challenge.plain().and_then(oauth::challenge);
            login.error = text.map(str::to_owned);
            let mut said = Vec::new();
            quote::string(acknowledgement, Side::Client, &mut said);
            said.extend_from_slice(b"\r\n");
            act.push(Action::Say(said));
        }
        _ => return misbehaved("asked for more than a login has", act),
    }
    State::LoggingIn(login)
}

/// `message` in base64 and a string, `before` it and CRLF behind.
fn in_string(before: &[u8], message: &[u8]) -> Secret {
    let text = Zeroizing::new(sasl::encode(message));
    // Made at full length, as growing would leave copies behind.
    let mut line = Vec::with_capacity(before.len() + text.len() + 18);
    line.extend_from_slice(before);
    quote::string(text.as_bytes(), Side::Client, &mut line);
    line.extend_from_slice(b"\r\n");
    Secret::new(line)
}

/// Writes a capability for the client, if it is one line of text.
fn capability(name: Text<'_>, value: Text<'_>, out: &mut Vec<u8>) {
    let mut line = Vec::new();
    quote::string(&name.to_vec(), Side::Server, &mut line);
    line.push(b' ');
    quote::string(&value.to_vec(), Side::Server, &mut line);
    if !line.iter().any(u8::is_ascii_control) {
        out.extend_from_slice(&line);
        out.extend_from_slice(b"\r\n");
    }
}

fn refused(
    kind: Kind,
    code: Option<Code<'_>>,
    text: Option<Text<'_>>,
    sasl: Option<String>,
    act: &mut Vec<Action>,
) -> State {
    let text = refusal::heard(code, text).into_bytes();
    settle(Verdict::Refused { kind, text, untagged: Vec::new(), sasl }, act)
}

fn bug() -> Verdict {
    Verdict::Refused { kind: Kind::Internal, text: Vec::new(), untagged: Vec::new(), sasl: None }
}

fn misbehaved(what: &str, act: &mut Vec<Action>) -> State {
    settle(Verdict::Misbehaved(what.to_owned()), act)
}

fn settle(verdict: Verdict, act: &mut Vec<Action>) -> State {
    act.push(Action::Settle(verdict));
    State::Settled
}

/// What must hold for any upstream at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    super::hold::back(input);
}

#[cfg(test)]
mod tests;
