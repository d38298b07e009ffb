//! POP3 with an upstream, from its greeting to our login. No socket, no clock.
//!
//! ```text
//! Greeting --+OK--> [Capa > Listing] > [Stls > Securing > [Capa > Listing]]
//!                   > [Introducing] > User > Pass -------> Settled
//!                                   > Auth > [Message] --> Settled
//! ```
//!
//! What stands in brackets is left out where it is not needed: `go_on` picks the next step from what
//! is known by then. CAPA is asked for STLS, for whether XCLIENT or XOIP is understood, and for SASL
//! where USER and PASS will not do; otherwise not, as it costs a round trip.
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
    Action, Ask, Dialogue, Event, Granted, Kind, Secret, Tell, Verdict, Words, words,
};
use crate::wire::Parsed;
use crate::wire::pop3::command::{Command, MAX_LINE, Xclient, can_stand};
use crate::wire::pop3::reply::{self, Capabilities, Reply, code};
use crate::wire::sasl;

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
    /// AUTH PLAIN is out, and this message is still to be said, or said again.
    Auth {
        message: Secret,
    },
    /// The message was said as an answer.
    Message,
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
            (S::Greeting, E::Command(Said(No(text)))) => refused(Kind::Unavailable, text, act),

            (S::Capa, E::Command(Said(Yes(_)))) => {
                S::Listing { bytes: 0, known: Capabilities::default() }
            }
            // RFC 1939 knows no CAPA: nothing is offered, then.
            (S::Capa, E::Command(Said(No(_)))) => {
                self.known = Some(Capabilities::default());
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
                self.known = None;
                self.go_on(act)
            }

            (S::Introducing, E::Command(Said(Yes(_) | No(_)))) => self.go_on(act),

            (S::User { piped }, E::Command(Said(Yes(_)))) => {
                if !piped {
                    in_confidence(&Command::Pass(self.ask.secret.reveal()), act);
                }
                S::Pass
            }
            // A server that was sent no initial response, or that does not know them (RFC 1734),
            // asks for the message.
            (S::Auth { message }, E::Command(Said(Continue(_)))) => {
                act.push(Action::SayInConfidence(message));
                S::Message
            }
            (S::Pass | S::Auth { .. } | S::Message, E::Command(Said(Yes(text)))) => {
                let text = (!text.is_empty()).then(|| text.to_vec());
                let granted = Granted { text, ..Granted::default() };
                settle(Verdict::Accepted(granted), act)
            }
            (
                S::User { .. } | S::Pass | S::Auth { .. } | S::Message,
                E::Command(Said(No(text))),
            ) => refused(kind(text), text, act),

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

    /// Whether USER and PASS cannot say it: on behalf of another, too long, or a control byte.
    fn needs_sasl(&self) -> bool {
        self.ask.authzid.is_some()
            || !can_stand(&self.ask.user)
            || !can_stand(self.ask.secret.reveal())
    }

    fn log_in(&self, act: &mut Vec<Action>) -> State {
        let Ask { user, authzid, secret, .. } = &self.ask;
        let authzid = authzid.as_deref().unwrap_or_default();
        // The fronts refuse these, and so does the lookup; here is where they would do harm.
        let ends_a_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        if [&**user, authzid, secret.reveal()].into_iter().flatten().any(ends_a_line) {
            return misbehaved("credentials that would break the protocol were not sent", act);
        }
        let known = self.known();
        let only_sasl = self.known.is_some() && !known.user && known.plain;
        if self.needs_sasl() || only_sasl {
            if !known.plain {
                return misbehaved("AUTH PLAIN is needed and not offered", act);
            }
            return authenticate(authzid, user, secret.reveal(), act);
        }
        say(&Command::User(user), act);
        if known.pipelining {
            in_confidence(&Command::Pass(secret.reveal()), act);
        }
        State::User { piped: known.pipelining }
    }
}

/// Begins AUTH PLAIN, with the message at once where the line can hold it: RFC 5034 §4 keeps the
/// command to 255 octets, and the answer to a challenge not.
fn authenticate(authzid: &[u8], user: &[u8], secret: &[u8], act: &mut Vec<Action>) -> State {
    let message = Secret::new(sasl::plain::write(authzid, user, secret));
    let text = Zeroizing::new(sasl::encode(message.reveal()));
    let at_once = Command::Auth { mechanism: Some(b"PLAIN"), initial: Some(text.as_bytes()) };
    if b"AUTH PLAIN \r\n".len() + text.len() <= MAX_LINE {
        in_confidence(&at_once, act);
    } else {
        say(&Command::Auth { mechanism: Some(b"PLAIN"), initial: None }, act);
    }
    let mut answer = Vec::with_capacity(text.len() + 2);
    answer.extend_from_slice(text.as_bytes());
    answer.extend_from_slice(b"\r\n");
    State::Auth { message: Secret::new(answer) }
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

fn refused(kind: Kind, text: &[u8], act: &mut Vec<Action>) -> State {
    settle(Verdict::Refused { kind, text: text.to_vec(), untagged: Vec::new(), sasl: None }, act)
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
            Self::Auth { .. } | Self::Message => "after AUTH",
            Self::Settled => "after the login",
        }
    }
}

/// What must hold for any bytes from an upstream, whatever is asked; fuzz/ calls it too.
///
/// The first two bytes choose the ask.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let [choice, odd, unread @ ..] = input else { return };
    let mut unread = unread;
    let tell = |bits: u8| [Tell::Auto, Tell::On, Tell::Off, Tell::Auto][usize::from(bits & 3)];
    let ask = Ask {
        authzid: (choice & 2 != 0).then(|| b"kurt"[..].into()),
        starttls: choice & 4 != 0,
        pop3_xoip: tell(choice >> 4),
        xclient: tell(choice >> 6),
        ..Ask::new(
            [&b"mrose"[..], &[*odd][..usize::from(choice & 1)]].concat(),
            Secret::new("tanstaaf"),
            crate::login::Identity::new(([192, 0, 2, 1], 49153).into(), "s1"),
        )
    };
    let starttls = ask.starttls;
    let (mut back, mut act, mut secured, mut said) = (Back::new(ask), Vec::new(), false, 0);
    back.on(Event::Opened, &mut act);
    loop {
        for action in mem::take(&mut act) {
            match &action {
                Action::Say(bytes) => one_line(bytes, false),
                Action::SayInConfidence(secret) => {
                    assert!(secured || !starttls, "a password in the clear");
                    one_line(secret.reveal(), true);
                }
                Action::StartTls => {
                    secured = true;
                    back.on(Event::Secured(crate::login::Secured::default()), &mut act);
                }
                Action::Settle(Verdict::Accepted(_)) => {
                    assert!(secured || !starttls);
                    return;
                }
                Action::Settle(_) => return,
                _ => unreachable!("a back neither rules nor admits"),
            }
            said += 1;
            assert!(said < 16, "a login is short");
        }
        if !act.is_empty() {
            continue;
        }
        crate::login::cut::hold(&back, unread);
        let used = match back.parse(unread) {
            Parsed::More => return,
            Parsed::Broken(breach, used) => {
                back.on(Event::Breach(breach), &mut act);
                used
            }
            Parsed::Whole(heard, used) => {
                back.on(Event::Command(heard), &mut act);
                used
            }
        };
        assert!(used > 0);
        unread = &unread[used..];
    }
}

fn one_line(bytes: &[u8], in_confidence: bool) {
    let controls = bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n' | 0)).count();
    assert!(bytes.ends_with(b"\r\n") && controls == 2, "more than one line");
    assert!(in_confidence || !bytes.windows(8).any(|part| part == b"tanstaaf"));
}
