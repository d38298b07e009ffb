//! ManageSieve with the client, from greeting to login. No socket, no clock: events in, actions out.
//!
//! ```text
//! New --Opened--> Ready --AUTHENTICATE--> Exchanging --credentials--> Deciding --Ok--> Done
//!                 | ^ ^                    |     ^ ^ |                  |
//!                 | | +-- broken, "*" -----+     | +-+ answer           |
//!                 | |                            v  advice              |
//!                 | +------- Err ------------- Consulting               |
//!                 | +------- Err ---------------------------------------+
//!                 | +-- answer -- Scolding <-- Err with a challenge ----+
//!                 +--STARTTLS--> Securing --Secured--> Ready
//! any: LOGOUT, a line too long, the last of max_errors --> Done
//! ```
//!
//! **Capabilities** are sent with the greeting, after STARTTLS (RFC 5804 §2.2) and when asked for;
//! not after a login: RFC 5804 §2.1 wants that only of a SASL layer, which no mechanism of ours
//! negotiates, and what they are then is the upstream's to say.
//!
//! **Promises.**
//! - Under `starttls only`, nothing is ruled on before TLS, and no mechanism is listed; what was
//!   claimed before TLS is forgotten with it.
//! - What a client gets wrong is answered NO and counted; the last that is borne is followed by BYE.
//! - Only a trusted peer is told of XCLIENT, and its claims alone are taken, save one: a count of
//!   hops harms only its sender, so it is taken from anyone, and a loop of proxies ends.

use std::mem;
use std::sync::Arc;

use super::refusal;
use crate::login::exchange::{Breach, Exchange, Step};
use crate::login::{
    Action, Attempt, Claims, Dialogue, Event, Granted, Guest, Kind, Mechanism, Offer, Refusal,
    StartTls, Words, words,
};
use crate::wire::Parsed;
use crate::wire::pop3::command::Xclient;
use crate::wire::sasl::oauth;
use crate::wire::sieve::command::{self, Answer, Command};
use crate::wire::sieve::quote::{self, Side};
use crate::wire::sieve::reply;

/// Our side of a ManageSieve login, as a server.
#[derive(Debug)]
pub struct Front {
    offer: Arc<Offer>,
    guest: Guest,
    claims: Claims,
    errors: u32,
    state: State,
}

/// Each state owns just what it needs.
#[derive(Debug, Default)]
enum State {
    New,
    /// A command is awaited.
    Ready,
    /// A SASL answer is awaited.
    Exchanging(Exchange),
    /// The desk is asked something that the exchange needs.
    Consulting(Exchange),
    Securing,
    /// `bearer`: by a token, so that an error challenge would be understood.
    Deciding {
        bearer: bool,
    },
    /// The error challenge is out; whatever is answered, the refusal follows.
    Scolding(Refusal),
    #[default]
    Done,
}

/// What the client sent: a command or, within AUTHENTICATE, an answer to our challenge.
#[derive(Debug)]
pub enum Heard<'a> {
    Command(Command<'a>),
    Answer(Answer<'a>),
}

impl Dialogue for Front {
    type Command<'a> = Heard<'a>;
    type Breach = command::Error;
    const WORDS: &'static Words = &words::SIEVE;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Heard<'a>, command::Error> {
        match self.state {
            State::Ready => heard(command::parse(unread, self.offer.client_buffer), Heard::Command),
            State::Exchanging(_) | State::Scolding(_) => {
                heard(command::answer(unread), Heard::Answer)
            }
            // Nothing is read before the greeting, in the middle of TLS or a ruling, or after.
            State::New
            | State::Consulting(_)
            | State::Securing
            | State::Deciding { .. }
            | State::Done => Parsed::More,
        }
    }

    /// The whole dialogue on one page: one arm per thing that may happen.
    fn on(&mut self, event: Event<Heard<'_>, command::Error>, act: &mut Vec<Action>) {
        use Event as E;
        use State as S;

        self.state = match (mem::take(&mut self.state), event) {
            (S::New, E::Opened) => {
                self.list_capabilities(&self.offer.greeting, act);
                S::Ready
            }
            (S::Ready, E::Command(Heard::Command(command))) => self.obey(command, act),
            (S::Exchanging(mut exchange), E::Command(Heard::Answer(Answer(text)))) => {
                let step = exchange.answer(text);
                self.stepped(exchange, step, act)
            }
            (S::Consulting(mut exchange), E::Advised(Ok(advice))) => {
                let step = exchange.advised(advice);
                self.stepped(exchange, step, act)
            }
            (S::Consulting(_), E::Advised(Err(no))) => dismiss(&no, act),
            (S::Securing, E::Secured(secured)) => {
                self.guest.secured(&secured);
                self.offer = secured.offer.unwrap_or_else(|| Arc::clone(&self.offer));
                // What was learned before TLS may be an attacker's.
                self.claims = Claims::default();
                self.list_capabilities("TLS negotiation successful", act);
                S::Ready
            }
            (S::Deciding { .. }, E::Ruled(Ok(granted))) => {
                act.push(Action::Say(welcome(granted)));
                act.push(Action::Admit);
                S::Done
            }
            (S::Deciding { bearer }, E::Ruled(Err(no))) => {
                let challenge = no.sasl.as_deref().filter(|_| bearer);
                match challenge.and_then(|text| oauth::challenge(text.as_bytes())) {
                    // RFC 7628 §3.2.3: the client hears why, answers, and then it has failed.
                    Some(challenge) => {
                        say_string(challenge.as_bytes(), act);
                        S::Scolding(no)
                    }
                    None => dismiss(&no, act),
                }
            }
            (S::Scolding(no), E::Command(Heard::Answer(_))) => dismiss(&no, act),

            // The rest is still to come and would be read as commands.
            (S::Ready | S::Exchanging(_) | S::Scolding(_), E::Breach(breach))
                if breach.is_out_of_step() =>
            {
                act.push(Action::OutOfStep("too long command".to_owned()));
                say(act, "BYE \"command too long or out of step\"");
                close(act)
            }
            (S::Scolding(no), E::Breach(_)) => dismiss(&no, act),
            (S::Ready | S::Exchanging(_), E::Breach(breach)) => {
                self.wrong(&breach.to_string(), act)
            }
            // The driver feeds nothing while TLS or a ruling is pending: this is our bug.
            (_, _) => {
                act.push(Action::Say(words::SIEVE.internal_error.into()));
                close(act)
            }
        };
    }
}

impl Front {
    pub fn new(offer: Arc<Offer>, guest: Guest) -> Self {
        Self { offer, guest, claims: Claims::default(), errors: 0, state: State::New }
    }

    /// A command is whole: one arm per command.
    fn obey(&mut self, command: Command<'_>, act: &mut Vec<Action>) -> State {
        match command {
            Command::Capability => {
                self.list_capabilities("CAPABILITY completed", act);
                State::Ready
            }
            Command::Noop(None) => {
                say(act, "OK \"NOOP completed\"");
                State::Ready
            }
            Command::Noop(Some(tag)) => {
                let mut said = b"OK (TAG ".to_vec();
                quote::string(&tag.to_vec(), Side::Server, &mut said);
                said.extend_from_slice(b") \"NOOP completed\"\r\n");
                act.push(Action::Say(said));
                State::Ready
            }
            Command::Logout => {
                say(act, "OK \"logging out\"");
                close(act)
            }
            Command::StartTls if self.may_start_tls() => {
                say(act, "OK \"begin TLS negotiation now\"");
                act.push(Action::StartTls);
                State::Securing
            }
            Command::StartTls => self.wrong("STARTTLS not available", act),
            Command::Xclient(said) => self.learn(said, act),
            Command::Authenticate { mechanism, initial } => {
                self.authenticate(mechanism, initial, act)
            }
            // RFC 5804 §2: all else is refused before login.
            Command::Other(_) => self.wrong("invalid command", act),
        }
    }

    fn authenticate(
        &mut self,
        mechanism: &[u8],
        initial: Option<Answer<'_>>,
        act: &mut Vec<Action>,
    ) -> State {
        if !self.may_log_in() {
            act.push(Action::Say(refusal::line(&Refusal::new(Kind::NeedsTls)).into()));
            return self.count("login without TLS", act);
        }
        let Some(mechanism) = Mechanism::by_sasl(mechanism).filter(|one| self.offers(*one)) else {
            return self.wrong("unsupported authentication mechanism", act);
        };
        let initial = match initial {
            // No base64. An exchange would take it for what other carriers of SASL mean by it: an
            // empty initial response, which is an empty string here.
            Some(Answer(b"=")) => return self.wrong("invalid authentication message", act),
            Some(Answer(b"")) if mechanism == Mechanism::External => Some(&b"="[..]),
            // No other mechanism begins with an empty message, so it says nothing yet, and the
            // client is asked.
            Some(Answer(b"")) | None => None,
            Some(Answer(text)) => Some(text),
        };
        let (exchange, step) = Exchange::begin(mechanism, initial, &self.guest, &self.offer);
        self.stepped(exchange, step, act)
    }

    /// The exchange has taken a step.
    fn stepped(&mut self, exchange: Exchange, step: Step, act: &mut Vec<Action>) -> State {
        match step {
            Step::Challenge(text) => {
                say_string(&text, act);
                State::Exchanging(exchange)
            }
            Step::Consult(question) => {
                act.push(Action::Consult(question.claiming(&self.claims)));
                State::Consulting(exchange)
            }
            Step::Done(attempt) => {
                let bearer = attempt.mechanism.brings_token();
                act.push(Action::Rule(Attempt { claims: self.claims.clone(), ..attempt }));
                State::Deciding { bearer }
            }
            Step::Broken(Breach::Cancelled) => self.wrong("authentication cancelled", act),
            Step::Broken(breach) => {
                say(act, "NO \"invalid authentication message\"");
                self.count(&breach.to_string(), act)
            }
        }
    }

    /// What a proxy in front of us says of its client.
    fn learn(&mut self, said: Xclient, act: &mut Vec<Action>) -> State {
        self.claims.ttl = said.ttl.or(self.claims.ttl);
        if !self.guest.trusted {
            return self.wrong("XCLIENT from an address that is not trusted", act);
        }
        self.claims.client_ip = said.addr.or(self.claims.client_ip);
        self.claims.client_port = said.port.or(self.claims.client_port);
        self.claims.session = said.session.or(self.claims.session.take());
        say(act, "OK \"updated\"");
        State::Ready
    }

    /// Answers a breach, and counts it.
    fn wrong(&mut self, text: &str, act: &mut Vec<Action>) -> State {
        say(act, &format!("NO {}", quote::quoted(text)));
        self.count(text, act)
    }

    /// Counts what was just answered, and closes if it was the last that is borne.
    fn count(&mut self, text: &str, act: &mut Vec<Action>) -> State {
        self.errors += 1;
        act.push(Action::Breach(format!("invalid command: {text}")));
        if self.errors < self.offer.max_errors {
            return State::Ready;
        }
        say(act, "BYE \"too many invalid commands\"");
        close(act)
    }

    fn may_start_tls(&self) -> bool {
        !self.guest.secure && self.offer.has_tls && self.offer.starttls != StartTls::Off
    }

    fn may_log_in(&self) -> bool {
        self.guest.secure || self.offer.starttls != StartTls::Only
    }

    fn offers(&self, mechanism: Mechanism) -> bool {
        self.guest.may_use(mechanism, &self.offer)
    }

    /// RFC 5804 §1.7: a line for each capability, then OK. What works here and now, and nothing
    /// else.
    fn list_capabilities(&self, text: &str, act: &mut Vec<Action>) {
        let mut list = List::default();
        // Whatever is configured, these must be there.
        if !self.configured().any(|(name, _)| name.eq_ignore_ascii_case("IMPLEMENTATION")) {
            list.add("IMPLEMENTATION", Some("gatepost"));
        }
        for (name, value) in self.configured() {
            list.add(name, value);
        }
        let mechanisms = self.offer.mechanisms.iter().filter(|one| self.offers(*one));
        let mechanisms: Vec<_> = match self.may_log_in() {
            true => mechanisms.filter_map(Mechanism::sasl).collect(),
            false => Vec::new(),
        };
        list.add("SASL", Some(&mechanisms.join(" ")));
        if self.may_start_tls() {
            list.add("STARTTLS", None);
        }
        if self.guest.trusted {
            list.add("XCLIENT", None);
        }
        list.add("SIEVE", Some(""));
        list.add("VERSION", Some("1.0"));
        let text =
            if text.is_empty() { String::new() } else { format!(" {}", quote::quoted(text)) };
        list.said.extend_from_slice(format!("OK{text}\r\n").as_bytes());
        act.push(Action::Say(list.said));
    }

    /// What the host is told to list, name and value, save what is ours to say.
    fn configured(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        // RFC 5804 §1.7: OWNER is for who has logged in. UNAUTHENTICATE would lead from there back
        // to here, but behind us.
        const OURS: [&str; 5] = ["SASL", "STARTTLS", "XCLIENT", "OWNER", "UNAUTHENTICATE"];
        let entries = self.offer.capabilities.iter().map(|entry| {
            let (name, value) = entry.trim().split_once(' ').unwrap_or((entry.trim(), ""));
            (name, Some(value.trim()).filter(|value| !value.is_empty()))
        });
        entries.filter(|(name, _)| {
            !name.is_empty() && !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
        })
    }
}

/// Lines of capabilities. RFC 5804 §1.7: each name at most once, so the first stays.
#[derive(Default)]
struct List {
    said: Vec<u8>,
    names: Vec<String>,
}

impl List {
    fn add(&mut self, name: &str, value: Option<&str>) {
        let name = name.to_ascii_uppercase();
        if self.names.contains(&name) {
            return;
        }
        // The one that must have a value, though it may be empty (RFC 5804 §4).
        let value = value.or((name == "SIEVE").then_some(""));
        quote::string(name.as_bytes(), Side::Server, &mut self.said);
        if let Some(value) = value {
            self.said.push(b' ');
            quote::string(value.as_bytes(), Side::Server, &mut self.said);
        }
        self.said.extend_from_slice(b"\r\n");
        self.names.push(name);
    }
}

/// The lines that let a client in.
fn welcome(granted: Granted) -> Vec<u8> {
    let mut said = granted.untagged;
    if !said.ends_with(b"\r\n") {
        said.clear();
    }
    let text = granted.text.unwrap_or_else(|| b"\"logged in\"".to_vec());
    let whole = [b"OK ", &text[..], b"\r\n"].concat();
    let is_one_line = !text.iter().any(u8::is_ascii_control);
    match reply::parse(&whole) {
        Parsed::Whole(..) if is_one_line => said.extend_from_slice(&whole),
        // Somebody's words, then, which nobody has put in quotes.
        _ => {
            let words = quote::quoted(&quote::words(&text));
            said.extend_from_slice(format!("OK {words}\r\n").as_bytes());
        }
    }
    said
}

/// Refuses a login.
fn dismiss(no: &Refusal, act: &mut Vec<Action>) -> State {
    act.push(Action::Say(refusal::line(no).into()));
    if refusal::closes(no) { close(act) } else { State::Ready }
}

/// Says a challenge: RFC 5804 §2.1, a string and CRLF.
fn say_string(text: &[u8], act: &mut Vec<Action>) {
    let mut said = Vec::with_capacity(text.len() + 16);
    quote::string(text, Side::Server, &mut said);
    said.extend_from_slice(b"\r\n");
    act.push(Action::Say(said));
}

fn say(act: &mut Vec<Action>, line: &str) {
    act.push(Action::Say(format!("{line}\r\n").into_bytes()));
}

fn close(act: &mut Vec<Action>) -> State {
    act.push(Action::Close);
    State::Done
}

fn heard<'a, T>(
    parsed: Parsed<T, command::Error>,
    wrap: impl FnOnce(T) -> Heard<'a>,
) -> Parsed<Heard<'a>, command::Error> {
    match parsed {
        Parsed::More => Parsed::More,
        Parsed::Whole(element, used) => Parsed::Whole(wrap(element), used),
        Parsed::Broken(breach, used) => Parsed::Broken(breach, used),
    }
}

/// What must hold for any client at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    super::hold::front(input);
}

#[cfg(test)]
mod tests;
