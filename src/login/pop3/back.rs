//! POP3 with an upstream, from its greeting to our login. No socket, no clock.
//!
//! ```text
//! Greeting --+OK--> [Capa > Listing] > [Stls > Securing > [Capa > Listing]]
//!                   > [Introducing] > User > Pass -------------------> Settled
//!                                   > Auth > [Message] > [Failing] --> Settled
//! ```
//!
//! What stands in brackets is left out where it is not needed: `go_on` picks the next step from what
//! is known by then. CAPA is asked for STLS, for whether XCLIENT or XOIP is understood, and for SASL
//! where USER and PASS will not do; otherwise not, as it costs a round trip. A token goes by XOAUTH2
//! or OAUTHBEARER; an error challenge to it is kept for the client, and answered, so that the
//! upstream says its no.
//!
//! **Promises.**
//! - No login holds CR, LF or NUL on its way out, whoever handed it to us: it is `Misbehaved` first.
//! - An upstream that refuses CAPA, XCLIENT or XOIP still gets the login.
//! - The secret is said in confidence, never by [`Action::Say`].
//!
//! **Limits.** A CAPA listing takes 8 KiB. Capabilities from before TLS are forgotten with it
//! (RFC 2595 §4), but Dovecot's `[XCLIENT]` stands in the greeting only, so that is kept.

use std::mem;

use zeroize::Zeroizing;

use crate::login::{
    Action, Ask, Dialogue, Event, Granted, Kind, Mechanism, Mechanisms, Proof, Secret, Tell,
    Verdict, Words, bearer, words,
};
use crate::wire::Parsed;
use crate::wire::pop3::command::{Command, MAX_LINE, Xclient, can_stand};
use crate::wire::pop3::reply::{self, Capabilities, Reply, code};
use crate::wire::sasl::{self, oauth};

/// The longest CAPA listing that is read.
const MAX_LISTING: usize = 8192;

/// The side that asks to be let in.
#[derive(Debug)]
pub struct Back {
    ask: Ask,
    state: State,
    /// TLS was begun by us, if the ask wants it.
    secured: bool,
    /// The greeting offered XCLIENT.
    greeted_xclient: bool,
    /// The client's identity has been told, or need not be.
    told: bool,
    /// What CAPA said, once it was asked.
    known: Option<Capabilities>,
    /// It knows no CAPA, so what it does not list is not known either.
    is_mute: bool,
    /// By what a token is brought, until an error challenge to it is answered.
    bearer: Option<Mechanism>,
    /// That challenge.
    sasl: Option<String>,
}

#[derive(Debug, Default)]
enum State {
    New,
    Greeting,
    Capa,
    Listing {
        bytes: usize,
        known: Capabilities,
    },
    Stls,
    Securing,
    /// XCLIENT or XOIP is out.
    Introducing,
    /// USER is out, and `piped`: PASS behind it.
    User {
        piped: bool,
    },
    Pass,
    /// AUTH is out, `at_once` with the message, which is still to be said, or said again.
    Auth {
        message: Secret,
        at_once: bool,
    },
    /// The message was said as an answer.
    Message,
    /// An error challenge was answered: now comes the no.
    Failing,
    #[default]
    Settled,
}

/// What the upstream sent.
#[derive(Debug)]
pub enum Heard<'a> {
    Reply(Reply<'a>),
    /// A line of CAPA's listing; `None` is its end.
    Listed(Option<&'a [u8]>),
}

impl Dialogue for Back {
    type Command<'a> = Heard<'a>;
    type Breach = reply::Error;
    const WORDS: &'static Words = &words::POP3;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Heard<'a>, reply::Error> {
        match self.state {
            State::Listing { .. } => heard(reply::listed(unread), Heard::Listed),
            _ => heard(reply::parse(unread), Heard::Reply),
        }
    }

    /// The whole dialogue on one page: one arm per thing that may happen.
    fn on(&mut self, event: Event<Heard<'_>, reply::Error>, act: &mut Vec<Action>) {
        use Event as E;
        use Heard::{Listed, Reply as Said};
        use Reply::{Continue, Err as No, Ok as Yes};
        use State as S;

        self.state = match (mem::take(&mut self.state), event) {
            (S::New, E::Opened) => S::Greeting,
            (S::Greeting, E::Command(Said(Yes(text)))) => {
                self.greeted_xclient = code(text).is_some_and(offers_xclient);
                self.go_on(act)
            }
            // Nobody's credentials were seen yet, so this is about the upstream, whatever its code.
            (S::Greeting, E::Command(Said(No(text)))) => self.refused(Kind::Unavailable, text, act),

            (S::Capa, E::Command(Said(Yes(_)))) => {
                S::Listing { bytes: 0, known: Capabilities::default() }
            }
            // RFC 1939 knows no CAPA: nothing is offered, then.
            (S::Capa, E::Command(Said(No(_)))) => {
                self.known = Some(Capabilities::default());
                self.is_mute = true;
                self.go_on(act)
            }
            (S::Listing { bytes, mut known }, E::Command(Listed(Some(line)))) => {
                known.note(line);
                let bytes = bytes + line.len() + 2;
                if bytes > MAX_LISTING {
                    misbehaved("CAPA listing too long", act)
                } else {
                    S::Listing { bytes, known }
                }
            }
            (S::Listing { known, .. }, E::Command(Listed(None))) => {
                self.known = Some(known);
                self.go_on(act)
            }

            (S::Stls, E::Command(Said(Yes(_)))) => {
                act.push(Action::StartTls);
                S::Securing
            }
            (S::Stls, E::Command(Said(No(_)))) => misbehaved("STLS refused", act),
            (S::Securing, E::Secured(_)) => {
                self.secured = true;
                (self.known, self.is_mute) = (None, false);
                self.go_on(act)
            }

            (S::Introducing, E::Command(Said(Yes(_) | No(_)))) => self.go_on(act),

            (S::User { piped }, E::Command(Said(Yes(_)))) => {
                if !piped {
                    in_confidence(&Command::Pass(self.ask.secret.reveal()), act);
                }
                S::Pass
            }
            // RFC 7628 §3.2.2: words for the client, where all is said that there is to say.
            (S::Auth { at_once: true, .. }, E::Command(Said(Continue(text))))
                if self.bearer.is_some() && !text.is_empty() =>
            {
                self.answer(text, act)
            }
            (S::Message, E::Command(Said(Continue(text)))) if self.bearer.is_some() => {
                self.answer(text, act)
            }
            // A server that was sent no initial response, or that does not know them (RFC 1734),
            // asks for the message.
            (S::Auth { message, .. }, E::Command(Said(Continue(_)))) => {
                act.push(Action::SayInConfidence(message));
                S::Message
            }
            (S::Pass | S::Auth { .. } | S::Message, E::Command(Said(Yes(text)))) => {
                let text = (!text.is_empty()).then(|| text.to_vec());
                let granted = Granted { text, ..Granted::default() };
                settle(Verdict::Accepted(granted), act)
            }
            (
                S::User { .. } | S::Pass | S::Auth { .. } | S::Message | S::Failing,
                E::Command(Said(No(text))),
            ) => self.refused(kind(text), text, act),

            // Never in step with our bugs, nor with an upstream's.
            (S::Settled, _) => S::Settled,
            (state, E::Command(_)) => misbehaved(&format!("wrong reply {}", state.place()), act),
            (state, E::Breach(breach)) => misbehaved(&format!("{breach} {}", state.place()), act),
            (state, E::Opened | E::Secured(_) | E::Advised(_) | E::Ruled(_)) => {
                misbehaved(&format!("internal error {}", state.place()), act)
            }
        };
    }
}

impl Back {
    pub fn new(ask: Ask) -> Self {
        Self {
            ask,
            state: State::New,
            secured: false,
            greeted_xclient: false,
            told: false,
            known: None,
            is_mute: false,
            bearer: None,
            sasl: None,
        }
    }

    /// Takes the next step: the first of these that is wanted and still to be done.
    fn go_on(&mut self, act: &mut Vec<Action>) -> State {
        if self.known.is_none() && self.must_know() {
            say(&Command::Capa, act);
            return State::Capa;
        }
        if self.ask.starttls && !self.secured {
            if !self.known().stls {
                return misbehaved("STLS is not offered", act);
            }
            say(&Command::Stls, act);
            return State::Stls;
        }
        if !mem::replace(&mut self.told, true) {
            if self.tells_xclient() {
                say(&Command::Xclient(self.identity()), act);
                return State::Introducing;
            }
            if wants(self.ask.pop3_xoip, self.known().xoip) {
                say(&Command::Xoip(self.ask.identity.client.ip().to_canonical()), act);
                return State::Introducing;
            }
        }
        self.log_in(act)
    }

    /// Whether the next step hangs on what the upstream can do.
    fn must_know(&self) -> bool {
        let starttls = self.ask.starttls && !self.secured;
        let xclient = self.ask.xclient == Tell::Auto && !self.greeted_xclient;
        let xoip = self.ask.pop3_xoip == Tell::Auto && !self.tells_xclient();
        starttls || (!self.told && (xclient || xoip)) || self.needs_sasl()
    }

    fn known(&self) -> Capabilities {
        self.known.unwrap_or_default()
    }

    fn tells_xclient(&self) -> bool {
        wants(self.ask.xclient, self.greeted_xclient || self.known().xclient)
    }

    fn identity(&self) -> Xclient {
        let identity = &self.ask.identity;
        let session = identity.session.as_bytes();
        let fits = !session.is_empty() && session.iter().all(u8::is_ascii_graphic);
        Xclient {
            addr: Some(identity.client.ip().to_canonical()),
            port: Some(identity.client.port()),
            session: fits.then(|| identity.session.clone()),
            ttl: Some(identity.ttl),
        }
    }

    /// Whether USER and PASS cannot say it: a token, on behalf of another, too long, or a control
    /// byte.
    fn needs_sasl(&self) -> bool {
        self.ask.proof != Proof::Password
            || self.ask.authzid.is_some()
            || !can_stand(&self.ask.user)
            || !can_stand(self.ask.secret.reveal())
    }

    fn log_in(&mut self, act: &mut Vec<Action>) -> State {
        let Ask { user, authzid, secret, .. } = &self.ask;
        let authzid = authzid.as_deref().unwrap_or_default();
        // The fronts refuse these, and so does the lookup; here is where they would do harm.
        let ends_a_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        if [&**user, authzid, secret.reveal()].into_iter().flatten().any(ends_a_line) {
            return misbehaved("credentials that would break the protocol were not sent", act);
        }
        if let Proof::Bearer(own) = self.ask.proof {
            return self.bring_token(own, act);
        }
        let known = self.known();
        let only_sasl = self.known.is_some() && !known.user && known.plain;
        if self.needs_sasl() || only_sasl {
            if !known.plain {
                return misbehaved("AUTH PLAIN is needed and not offered", act);
            }
            let message = Secret::new(sasl::plain::write(authzid, user, secret.reveal()));
            let text = Zeroizing::new(sasl::encode(message.reveal()));
            return authenticate("PLAIN", text.as_bytes(), act);
        }
        say(&Command::User(user), act);
        if known.pipelining {
            in_confidence(&Command::Pass(secret.reveal()), act);
        }
        State::User { piped: known.pipelining }
    }

    fn bring_token(&mut self, own: Mechanism, act: &mut Vec<Action>) -> State {
        let known = self.known.filter(|_| !self.is_mute).map(|known| {
            let by =
                [(known.xoauth2, Mechanism::XOauth2), (known.oauthbearer, Mechanism::OauthBearer)];
            let by = by.into_iter().filter(|(offered, _)| *offered);
            by.fold(Mechanisms::default(), |set, (_, one)| set.with(one))
        });
        let name = |mechanism: Mechanism| mechanism.sasl().unwrap_or_default();
        let Some(mechanism) = bearer::choose(own, known) else {
            return misbehaved(&format!("{} is not offered", name(own)), act);
        };
        // Whose mailbox it is: a token has no other name to it.
        let owner = self.ask.authzid.as_deref().unwrap_or(&self.ask.user);
        match bearer::message(mechanism, owner, &self.ask.secret) {
            Ok(message) => {
                self.bearer = Some(mechanism);
                authenticate(name(mechanism), message.reveal(), act)
            }
            Err(_) => misbehaved("credentials that would break the protocol were not sent", act),
        }
    }

    /// Answers an error challenge, and keeps it for the client.
    fn answer(&mut self, text: &[u8], act: &mut Vec<Action>) -> State {
        self.sasl = oauth::challenge(text).map(str::to_owned);
        let answer = self.bearer.take().map(bearer::answer).unwrap_or_default();
        act.push(Action::Say(format!("{answer}\r\n").into_bytes()));
        State::Failing
    }

    fn refused(&mut self, kind: Kind, text: &[u8], act: &mut Vec<Action>) -> State {
        let (untagged, sasl) = (Vec::new(), self.sasl.take());
        settle(Verdict::Refused { kind, text: text.to_vec(), untagged, sasl }, act)
    }
}

/// Begins AUTH, with the base64 message at once where the line can hold it: RFC 5034 §4 keeps the
/// command to 255 octets, and the answer to a challenge not.
fn authenticate(mechanism: &str, message: &[u8], act: &mut Vec<Action>) -> State {
    let at_once = "AUTH  \r\n".len() + mechanism.len() + message.len() <= MAX_LINE;
    let mechanism = Some(mechanism.as_bytes());
    if at_once {
        in_confidence(&Command::Auth { mechanism, initial: Some(message) }, act);
    } else {
        say(&Command::Auth { mechanism, initial: None }, act);
    }
    let mut answer = Vec::with_capacity(message.len() + 2);
    answer.extend_from_slice(message);
    answer.extend_from_slice(b"\r\n");
    State::Auth { message: Secret::new(answer), at_once }
}

fn wants(tell: Tell, offered: bool) -> bool {
    match tell {
        Tell::Auto => offered,
        Tell::On => true,
        Tell::Off => false,
    }
}

/// Dovecot greets a trusted proxy with `+OK [XCLIENT] …`, to save it the CAPA.
fn offers_xclient(code: &[u8]) -> bool {
    code.split(|byte| *byte == b' ').any(|word| word.eq_ignore_ascii_case(b"XCLIENT"))
}

/// Whose fault a refused login is (RFC 2449 §8.1, RFC 3206 §4).
fn kind(text: &[u8]) -> Kind {
    match code(text).unwrap_or_default().to_ascii_uppercase().as_slice() {
        b"SYS/TEMP" | b"IN-USE" | b"LOGIN-DELAY" => Kind::Unavailable,
        b"SYS/PERM" => Kind::Forbidden,
        _ => Kind::BadCredentials,
    }
}

fn misbehaved(what: &str, act: &mut Vec<Action>) -> State {
    settle(Verdict::Misbehaved(what.to_owned()), act)
}

fn settle(verdict: Verdict, act: &mut Vec<Action>) -> State {
    act.push(Action::Settle(verdict));
    State::Settled
}

fn say(command: &Command<'_>, act: &mut Vec<Action>) {
    let mut line = Vec::new();
    command.write(&mut line);
    act.push(Action::Say(line));
}

fn in_confidence(command: &Command<'_>, act: &mut Vec<Action>) {
    // At its full length at once: growing would leave copies behind.
    let mut line = Vec::with_capacity(MAX_LINE);
    command.write(&mut line);
    act.push(Action::SayInConfidence(Secret::new(line)));
}

fn heard<'a, T>(
    parsed: Parsed<T, reply::Error>,
    wrap: impl FnOnce(T) -> Heard<'a>,
) -> Parsed<Heard<'a>, reply::Error> {
    match parsed {
        Parsed::More => Parsed::More,
        Parsed::Whole(element, used) => Parsed::Whole(wrap(element), used),
        Parsed::Broken(breach, used) => Parsed::Broken(breach, used),
    }
}

impl State {
    /// Where the dialogue stood, for the log.
    fn place(&self) -> &'static str {
        match self {
            Self::New | Self::Greeting => "in place of a greeting",
            Self::Capa | Self::Listing { .. } => "after CAPA",
            Self::Stls | Self::Securing => "after STLS",
            Self::Introducing => "after XCLIENT or XOIP",
            Self::User { .. } => "after USER",
            Self::Pass => "after PASS",
            Self::Auth { .. } | Self::Message | Self::Failing => "after AUTH",
            Self::Settled => "after the login",
        }
    }
}

/// What must hold for any upstream at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    super::hold::back(input);
}
