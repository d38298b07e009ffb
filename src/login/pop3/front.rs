//! POP3 with the client, from greeting to login. No socket, no clock: events in, actions out.
//!
//! ```text
//! New --Opened--> Auth --USER--> Named --PASS--> Deciding --Ok--> Done
//!                 | | | ^ ^                       ^  ^ |  |
//!                 | | | | +--------- Err ---------|--|-+  | Err with `sasl`
//!                 | | | +--- "*", breach ---+     |  |    v
//!                 | | +--AUTH--> Sasl ------+-----+  |  Failing --any line--> Auth
//!                 | |            | ^ advice          |
//!                 | |            v |                 |
//!                 | |         Consulting --Err--> Auth
//!                 | +--APOP--------------------------+
//!                 +--STLS--> Securing --Secured--> Auth
//! any: QUIT, a line too long, the last of max_errors --> Done
//! ```
//!
//! **Promises.**
//! - Under `starttls only`, nothing is ruled on before TLS; and what was said before TLS, the user's
//!   name and all claims, is forgotten with it (RFC 2595 §4).
//! - What a client gets wrong is answered and counted; the answer to the last allowed one is
//!   followed by the close. A refused login is not counted here: the desk does that.
//! - APOP answers the challenge of the greeting, whatever virtual host TLS has led to since.
//! - Pipelined commands are answered in turn (RFC 2449 §6.6): the driver parses one at a time.

use std::mem;
use std::sync::Arc;

use super::refusal;
use crate::login::exchange::{Exchange, Step};
use crate::login::{
    Action, Attempt, Claims, Dialogue, Event, Guest, Kind, Mechanism, Offer, Refusal, Secret,
    StartTls, Words, words,
};
use crate::wire::Parsed;
use crate::wire::pop3::command::{self, Command};
use crate::wire::sasl::oauth;

/// The side that is asked to let someone in.
#[derive(Debug)]
pub struct Front {
    offer: Arc<Offer>,
    guest: Guest,
    /// The challenge that stood in the greeting: what APOP's digest is made of.
    greeted: Option<Box<str>>,
    state: State,
    errors: u32,
    claims: Claims,
}

/// Each state owns just what it needs, so a user name cannot outlive the state that heard it.
#[derive(Debug, Default)]
enum State {
    New,
    Auth,
    Named {
        user: Box<[u8]>,
    },
    Sasl(Exchange),
    /// The desk is asked something that the exchange needs.
    Consulting(Exchange),
    Securing,
    Deciding {
        /// The client brought a token, and knows what an error challenge is.
        by_token: bool,
    },
    /// The error challenge is out; whatever the client answers to it, it is refused.
    Failing(Refusal),
    #[default]
    Done,
}

/// What the client sent: a command or, within AUTH, an answer to our challenge.
pub enum Heard<'a> {
    Command(Command<'a>),
    Answer(&'a [u8]),
}

impl std::fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command(command) => command.fmt(f),
            Self::Answer(_) => f.write_str("Answer(..)"),
        }
    }
}

impl Dialogue for Front {
    type Command<'a> = Heard<'a>;
    type Breach = command::Error;
    const WORDS: &'static Words = &words::POP3;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Heard<'a>, command::Error> {
        match self.state {
            State::Sasl(_) | State::Failing(_) => heard(command::answer(unread), Heard::Answer),
            _ => heard(command::parse(unread), Heard::Command),
        }
    }

    /// The whole dialogue on one page: one arm per thing that may happen.
    fn on(&mut self, event: Event<Heard<'_>, command::Error>, act: &mut Vec<Action>) {
        use Command as C;
        use Event as E;
        use Heard::{Answer, Command as Said};
        use State as S;

        self.state = match (mem::take(&mut self.state), event) {
            (S::New, E::Opened) => {
                let offered = self.offer.mechanisms;
                if offered.has(Mechanism::Apop) || offered.has(Mechanism::CramMd5) {
                    self.greeted = Some(self.guest.challenge(&self.offer).into());
                }
                let greeting = format!("+OK {}", self.offer.greeting);
                let words = [greeting.trim_end(), self.greeted.as_deref().unwrap_or_default()];
                say(act, words.join(" ").trim_end());
                S::Auth
            }

            // What is answered the same whether or not a name was given.
            (state @ (S::Auth | S::Named { .. }), E::Command(Said(C::Capa))) => {
                self.list_capabilities(act);
                state
            }
            (state @ (S::Auth | S::Named { .. }), E::Command(Said(C::Noop))) => {
                say(act, "+OK");
                state
            }
            (S::Auth | S::Named { .. }, E::Command(Said(C::Quit))) => {
                say(act, "+OK bye");
                close(act)
            }

            // Who the client is, as a proxy in front of us says. The desk decides what to believe.
            (state @ (S::Auth | S::Named { .. }), E::Command(Said(C::Xclient(said)))) => {
                self.claims.client_ip = said.addr.or(self.claims.client_ip);
                self.claims.client_port = said.port.or(self.claims.client_port);
                self.claims.session = said.session.or(self.claims.session.take());
                self.claims.ttl = said.ttl.or(self.claims.ttl);
                say(act, "+OK updated");
                state
            }
            (state @ (S::Auth | S::Named { .. }), E::Command(Said(C::Xoip(ip)))) => {
                self.claims.client_ip = Some(ip);
                say(act, "+OK");
                state
            }

            (S::Auth | S::Named { .. }, E::Command(Said(C::Stls))) if self.can_start_tls() => {
                say(act, "+OK begin TLS");
                act.push(Action::StartTls);
                S::Securing
            }
            (S::Securing, E::Secured(secured)) => {
                self.guest.secured(&secured);
                self.claims = Claims::default();
                if let Some(offer) = secured.offer {
                    self.offer = offer;
                }
                S::Auth
            }

            // Whatever would log in waits for TLS, if it must.
            (
                S::Auth | S::Named { .. },
                E::Command(Said(C::User(_) | C::Pass(_) | C::Auth { .. } | C::Apop { .. })),
            ) if self.must_start_tls() => {
                act.push(Action::Say(refusal::line(&Refusal::new(Kind::NeedsTls)).into()));
                self.count("login without TLS", act, S::Auth)
            }
            (S::Auth | S::Named { .. }, E::Command(Said(C::User(user))))
                if self.offer.mechanisms.takes_passwords() =>
            {
                say(act, "+OK");
                S::Named { user: user.into() }
            }
            (S::Named { user }, E::Command(Said(C::Pass(secret)))) => {
                let secret = Secret::new(secret);
                self.rule(Attempt::new(Mechanism::Login, user, secret), act)
            }
            (
                state @ (S::Auth | S::Named { .. }),
                E::Command(Said(C::Auth { mechanism, initial })),
            ) => match mechanism {
                None => {
                    self.list_mechanisms(act);
                    state
                }
                Some(name) => match Mechanism::by_sasl(name).filter(|one| self.offers(*one)) {
                    Some(mechanism) => {
                        let (exchange, step) =
                            Exchange::begin(mechanism, initial, &self.guest, &self.offer);
                        self.step(exchange, step, act)
                    }
                    None => self.wrong("invalid command", S::Auth, act),
                },
            },
            (S::Auth | S::Named { .. }, E::Command(Said(C::Apop { user, digest })))
                if self.greeted.is_some() && self.offer.mechanisms.has(Mechanism::Apop) =>
            {
                let attempt = Attempt::new(Mechanism::Apop, user, Secret::new(digest));
                self.rule(Attempt { salt: self.greeted.clone(), ..attempt }, act)
            }
            (S::Sasl(mut exchange), E::Command(Answer(line))) => {
                let step = exchange.answer(line);
                self.step(exchange, step, act)
            }

            (S::Consulting(mut exchange), E::Advised(Ok(advice))) => {
                let step = exchange.advised(advice);
                self.step(exchange, step, act)
            }
            (S::Consulting(_), E::Advised(Err(no))) => refused(&no, act),

            (S::Deciding { .. }, E::Ruled(Ok(granted))) => {
                let text = granted.text.filter(|text| !text.iter().any(u8::is_ascii_control));
                let text = text.unwrap_or_else(|| b"logged in".to_vec());
                act.push(Action::Say([b"+OK ", &text[..], b"\r\n"].concat()));
                act.push(Action::Admit);
                S::Done
            }
            (S::Deciding { by_token }, E::Ruled(Err(no))) => {
                let challenge = no.sasl.as_deref().filter(|_| by_token);
                match challenge.and_then(|text| oauth::challenge(text.as_bytes())) {
                    // RFC 7628 §3.2.3: the client hears why, answers, and then it has failed.
                    Some(challenge) => {
                        say(act, &format!("+ {challenge}"));
                        S::Failing(no)
                    }
                    None => refused(&no, act),
                }
            }
            (S::Failing(no), E::Command(Answer(_))) => refused(&no, act),

            // Where the next command begins cannot be told: the rest of this line would be read as
            // one.
            (
                S::Auth | S::Named { .. } | S::Sasl(_) | S::Failing(_),
                E::Breach(breach @ (command::Error::TooLong | command::Error::BareLf)),
            ) => {
                act.push(Action::OutOfStep(format!("too long command: {breach}")));
                say(act, &format!("-ERR {breach}"));
                close(act)
            }
            (S::Auth | S::Named { .. } | S::Sasl(_) | S::Failing(_), E::Breach(_)) => {
                self.wrong("invalid command", S::Auth, act)
            }
            (S::Auth | S::Named { .. }, E::Command(_)) => {
                self.wrong("invalid command", S::Auth, act)
            }

            // The driver feeds nothing while TLS or a ruling is pending: this is our bug.
            (_, _) => {
                act.push(Action::Say(words::POP3.internal_error.into()));
                close(act)
            }
        };
    }
}

impl Front {
    pub fn new(offer: Arc<Offer>, guest: Guest) -> Self {
        let (state, claims) = (State::New, Claims::default());
        Self { offer, guest, greeted: None, state, errors: 0, claims }
    }

    fn can_start_tls(&self) -> bool {
        self.offer.starttls != StartTls::Off && self.offer.has_tls && !self.guest.secure
    }

    fn must_start_tls(&self) -> bool {
        self.offer.starttls == StartTls::Only && !self.guest.secure
    }

    fn offers(&self, mechanism: Mechanism) -> bool {
        self.guest.may_use(mechanism, &self.offer)
    }

    fn step(&mut self, exchange: Exchange, step: Step, act: &mut Vec<Action>) -> State {
        match step {
            Step::Challenge(text) => {
                act.push(Action::Say([b"+ ", &text[..], b"\r\n"].concat()));
                State::Sasl(exchange)
            }
            Step::Consult(question) => {
                act.push(Action::Consult(question.claiming(&self.claims)));
                State::Consulting(exchange)
            }
            Step::Done(attempt) => self.rule(attempt, act),
            Step::Broken(breach) => {
                say(act, "-ERR invalid command");
                self.note(exchange.told(breach), act, State::Auth)
            }
        }
    }

    fn rule(&self, attempt: Attempt, act: &mut Vec<Action>) -> State {
        let by_token = attempt.mechanism.brings_token();
        act.push(Action::Rule(Attempt { claims: self.claims.clone(), ..attempt }));
        State::Deciding { by_token }
    }

    fn wrong(&mut self, text: &str, next: State, act: &mut Vec<Action>) -> State {
        say(act, &format!("-ERR {text}"));
        self.count(text, act, next)
    }

    /// Counts what was just answered, and closes if it was the last allowed one.
    fn count(&mut self, words: &str, act: &mut Vec<Action>, next: State) -> State {
        self.note(format!("invalid command: {words}"), act, next)
    }

    /// The same, in words of its own for the log.
    fn note(&mut self, words: String, act: &mut Vec<Action>, next: State) -> State {
        self.errors += 1;
        act.push(Action::Breach(words));
        if self.errors >= self.offer.max_errors { close(act) } else { next }
    }

    /// RFC 2449 §5. Only what works in this very TLS state is listed.
    fn list_capabilities(&self, act: &mut Vec<Action>) {
        let logins = !self.must_start_tls();
        let user = logins && self.offer.mechanisms.takes_passwords();
        let mut lines: Vec<String> = vec!["+OK Capability list follows".to_owned()];
        for capability in &self.offer.capabilities {
            let keyword = capability.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "USER" if !user => {}
                // Ours to say, below.
                "SASL" | "STLS" | "RESP-CODES" | "AUTH-RESP-CODE" | "PIPELINING" | "XCLIENT" => {}
                _ => lines.push(capability.clone()),
            }
        }
        if user && !lines.iter().any(|line| line.eq_ignore_ascii_case("USER")) {
            lines.push("USER".to_owned());
        }
        let mechanisms = self.mechanisms();
        if logins && !mechanisms.is_empty() {
            lines.push(format!("SASL {}", mechanisms.join(" ")));
        }
        if self.can_start_tls() {
            lines.push("STLS".to_owned());
        }
        // XCLIENT is for proxies in front of us: an address they give is believed from trusted ones
        // alone, their count of hops from all, so that a loop ends.
        let always = ["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "XCLIENT", "."];
        lines.extend(always.map(str::to_owned));
        say(act, &lines.join("\r\n"));
    }

    fn list_mechanisms(&self, act: &mut Vec<Action>) {
        let mut lines = vec!["+OK methods supported:"];
        lines.extend(self.mechanisms());
        lines.push(".");
        say(act, &lines.join("\r\n"));
    }

    fn mechanisms(&self) -> Vec<&'static str> {
        let offered = self.offer.mechanisms;
        offered.iter().filter(|one| self.offers(*one)).filter_map(Mechanism::sasl).collect()
    }
}

/// The client is not let in; it may try again unless it is told to go.
fn refused(no: &Refusal, act: &mut Vec<Action>) -> State {
    act.push(Action::Say(refusal::line(no).into()));
    if no.close { close(act) } else { State::Auth }
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

fn say(act: &mut Vec<Action>, text: &str) {
    act.push(Action::Say(format!("{text}\r\n").into_bytes()));
}

fn close(act: &mut Vec<Action>) -> State {
    act.push(Action::Close);
    State::Done
}

/// What must hold for any client at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    super::hold::front(input);
}
