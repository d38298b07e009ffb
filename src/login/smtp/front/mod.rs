//! SMTP and LMTP with the client, from greeting to login. No socket, no clock: events in, actions
//! out.
//!
//! ```text
//! New --Opened--> Ready --AUTH--> Sasl [> Consulting > Sasl] --Done--> Deciding --Ok--> Done
//!                 | | ^ ^          |                                   ^ |  |
//!                 | | | +-"*", breach                                  | |  +-Err, sasl-> Failing
//!                 | | +------------------- Err ------------------------|-+                  |
//!                 | |   ^-------------------- any line --------------------------------------+
//!                 | +--MAIL--> Ready with it --RCPT--------------------+
//!                 +--STARTTLS--> Securing --Secured--> Ready
//! any: QUIT, a line too long, the last of max_errors --> Done
//! ```
//!
//! **Words** are nginx's wherever it has some. MAIL and RCPT without a login are taken only with
//! [`Mechanism::Unasked`], and in LMTP; then the upstream's own reply answers RCPT.
//!
//! **Promises.**
//! - Under `starttls only`, nothing is ruled on before TLS, and nothing collected; what was said
//!   before TLS, the name behind EHLO and all claims, is forgotten with it (RFC 3207 §4.2).
//! - What a client gets wrong is answered and counted; the answer to the last allowed one is
//!   followed by the close. As in nginx, a command that is well-formed and out of place is answered
//!   only. A refused login is not counted here: the desk does that.
//! - XCLIENT is heard from a trusted peer alone; to all others it is no command.
//! - Pipelined commands are answered in turn: the driver parses one at a time.

use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;

use super::refusal::{self, Wish};
use super::{Flavour, Smtp};
use crate::login::exchange::{self, Exchange, Step};
use crate::login::{
    Action, Attempt, Claims, Dialogue, Envelope, Event, Granted, Guest, Helo, Kind, Mechanism,
    Offer, Refusal, Secret, StartTls, Words, passable,
};
use crate::wire::Parsed;
use crate::wire::sasl;
use crate::wire::smtp::command::{self, Command, Error};
use crate::wire::smtp::reply;
use crate::wire::smtp::xclient::Xclient;

const OK: &str = "250 2.0.0 OK";
const INVALID: &str = "500 5.5.1 Invalid command";
const BAD_ARGUMENT: &str = "501 5.5.4 Invalid argument";
const OUT_OF_PLACE: &str = "503 5.5.1 Bad sequence of commands";
const NEEDS_LOGIN: &str = "530 5.7.1 Authentication required";

/// The side that is asked to let someone in.
#[derive(Debug)]
pub struct Front<F = Smtp> {
    offer: Arc<Offer>,
    guest: Guest,
    state: State,
    errors: u32,
    claims: Claims,
    /// The name by which a trusted proxy says its client has introduced itself: the proxy's own EHLO
    /// does not replace it.
    proxied: Option<Helo>,
    flavour: PhantomData<F>,
}

/// Each state owns just what it needs, so a sender cannot outlive the transaction that named it.
#[derive(Debug, Default)]
enum State {
    New,
    /// Commands are awaited. `mail` is the line that began a transaction.
    Ready {
        mail: Option<Box<[u8]>>,
    },
    Sasl(Exchange),
    /// The exchange waits for the desk's advice.
    Consulting(Exchange),
    Securing,
    Deciding {
        mail: Option<Box<[u8]>>,
    },
    /// The error challenge is out; whatever is said to it, this follows.
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

impl<F: Flavour> Dialogue for Front<F> {
    type Command<'a> = Heard<'a>;
    type Breach = Error;
    const WORDS: &'static Words = F::WORDS;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Heard<'a>, Error> {
        match self.state {
            State::Sasl(_) | State::Failing(_) => heard(command::answer(unread), Heard::Answer),
            _ => heard(command::parse(unread, self.offer.client_buffer), Heard::Command),
        }
    }

    /// The whole dialogue on one page: one arm per thing that may happen.
    fn on(&mut self, event: Event<Heard<'_>, Error>, act: &mut Vec<Action>) {
        use Command as C;
        use Event as E;
        use Heard::{Answer, Command as Said};
        use State as S;

        self.state = match (mem::take(&mut self.state), event) {
            (S::New, E::Opened) => self.greet(act),

            // A new introduction ends the transaction (RFC 5321 §4.1.4).
            (S::Ready { .. }, E::Command(Said(C::Helo(name)))) if !F::IS_LMTP => {
                self.claims.helo = Some(Helo { name: name.to_owned(), extended: false });
                say(act, &format!("250 {}", self.offer.name));
                S::Ready { mail: None }
            }
            (S::Ready { .. }, E::Command(Said(C::Ehlo(name)))) if !F::IS_LMTP => {
                self.list_capabilities(name, act)
            }
            (S::Ready { .. }, E::Command(Said(C::Lhlo(name)))) if F::IS_LMTP => {
                self.list_capabilities(name, act)
            }
            (S::Ready { .. }, E::Command(Said(C::Rset))) => {
                say(act, OK);
                S::Ready { mail: None }
            }
            (state @ S::Ready { .. }, E::Command(Said(C::Noop))) => {
                say(act, OK);
                state
            }
            (S::Ready { .. }, E::Command(Said(C::Quit))) => {
                say(act, "221 2.0.0 Bye");
                close(act)
            }

            (S::Ready { .. }, E::Command(Said(C::StartTls))) if self.can_start_tls() => {
                say(act, "220 2.0.0 Start TLS");
                act.push(Action::StartTls);
                S::Securing
            }
            (S::Securing, E::Secured(secured)) => {
                self.guest.secured(&secured);
                (self.claims, self.proxied) = (Claims::default(), None);
                if let Some(offer) = secured.offer {
                    self.offer = offer;
                }
                S::Ready { mail: None }
            }

            // Who the client is, as a proxy in front of us says. The desk decides what to believe.
            (S::Ready { mail: None }, E::Command(Said(C::Xclient(said)))) if self.guest.trusted => {
                self.learn(said);
                self.greet(act)
            }

            (state @ S::Ready { .. }, E::Command(Said(C::Auth { .. })))
                if !F::IS_LMTP && self.must_start_tls() =>
            {
                self.needs_tls(act, state)
            }
            (S::Ready { mail: None }, E::Command(Said(C::Auth { mechanism, initial })))
                if !F::IS_LMTP =>
            {
                match self.mechanism(mechanism) {
                    Some(mechanism) => {
                        let (exchange, step) =
                            Exchange::begin(mechanism, initial, &self.guest, &self.offer);
                        self.step(exchange, step, act)
                    }
                    None => {
                        let text = "504 5.5.4 Unrecognized authentication type";
                        self.wrong(text, "unsupported mechanism", act, S::Ready { mail: None })
                    }
                }
            }
            (S::Sasl(mut exchange), E::Command(Answer(line))) => {
                let step = exchange.answer(line);
                self.step(exchange, step, act)
            }
            (S::Consulting(mut exchange), E::Advised(Ok(advice))) => {
                let step = exchange.advised(advice);
                self.step(exchange, step, act)
            }
            (S::Consulting(_), E::Advised(Err(refusal))) => self.refuse(refusal, None, act),

            // Mail without a login.
            (
                state @ S::Ready { .. },
                event @ (E::Command(Said(C::Mail(_))) | E::Breach(Error::Argument("MAIL"))),
            ) if !self.relays() => {
                // nginx's words, which filters look for.
                let line = match event {
                    E::Command(Said(C::Mail(line))) => passable(line).replace('"', "\\x22"),
                    _ => "MAIL".to_owned(),
                };
                // A quote of theirs must not end ours; escaped as the log does it.
                let line = line.replace('\\', "\\x5C").replace('"', "\\x22");
                act.push(Action::Note(format!("was rejected: \"{line}\"")));
                say(act, NEEDS_LOGIN);
                state
            }
            (state @ S::Ready { .. }, E::Command(Said(C::Mail(_)))) if self.must_start_tls() => {
                self.needs_tls(act, state)
            }
            (S::Ready { mail: None }, E::Command(Said(C::Mail(line)))) => {
                say(act, OK);
                S::Ready { mail: Some(line.into()) }
            }
            (S::Ready { mail: Some(mail) }, E::Command(Said(C::Rcpt(line)))) => {
                let mut attempt = Attempt::new(Mechanism::Unasked, &b""[..], Secret::default());
                let envelope = Envelope { mail: mail.clone(), rcpt: line.into() };
                attempt.envelope = Some(Box::new(envelope));
                self.rule(attempt, Some(mail), act)
            }
            // A second MAIL; RCPT without MAIL, as nginx has it even before it looks at its argument;
            // AUTH (RFC 4954 §4) and XCLIENT within a transaction.
            (state @ S::Ready { .. }, E::Command(Said(C::Mail(_) | C::Rcpt(_))))
            | (state @ S::Ready { mail: None }, E::Breach(Error::Argument("RCPT"))) => {
                say(act, OUT_OF_PLACE);
                state
            }
            (state @ S::Ready { .. }, E::Command(Said(C::Auth { .. }))) if !F::IS_LMTP => {
                say(act, OUT_OF_PLACE);
                state
            }
            (state @ S::Ready { .. }, E::Command(Said(C::Xclient(_)))) if self.guest.trusted => {
                say(act, OUT_OF_PLACE);
                state
            }

            (S::Deciding { mail }, E::Ruled(Ok(granted))) => admit(mail.is_some(), granted, act),
            (S::Deciding { mail }, E::Ruled(Err(refusal))) => self.refuse(refusal, mail, act),
            (S::Failing(refusal), E::Command(Answer(_)) | E::Breach(Error::Control)) => {
                self.refuse(Refusal { sasl: None, ..refusal }, None, act)
            }

            // Where the next command begins cannot be told: the rest of this line would be read as
            // one.
            (
                S::Ready { .. } | S::Sasl(_) | S::Failing(_),
                E::Breach(breach @ (Error::TooLong | Error::BareLf)),
            ) => {
                act.push(Action::OutOfStep(format!("too long command: {breach}")));
                say(act, &format!("421 4.5.2 {}", sentence(&breach)));
                close(act)
            }
            (S::Sasl(_), E::Breach(_)) => self.undecodable("control byte", act),
            (state @ S::Ready { .. }, E::Breach(Error::Argument(keyword)))
                if self.is_known(keyword) =>
            {
                let words = format!("invalid argument to {keyword}");
                self.wrong(BAD_ARGUMENT, &words, act, state)
            }
            (state @ S::Ready { .. }, E::Command(_) | E::Breach(_)) => {
                self.wrong(INVALID, "unknown or out of place", act, state)
            }

            // The driver feeds nothing while TLS or a ruling is pending: this is our bug.
            (_, _) => {
                act.push(Action::Say(F::WORDS.internal_error.into()));
                close(act)
            }
        };
    }
}

impl<F: Flavour> Front<F> {
    pub fn new(offer: Arc<Offer>, guest: Guest) -> Self {
        Self {
            offer,
            guest,
            state: State::New,
            errors: 0,
            claims: Claims::default(),
            proxied: None,
            flavour: PhantomData,
        }
    }

    fn greet(&self, act: &mut Vec<Action>) -> State {
        say(act, format!("220 {} {}", self.offer.name, self.offer.greeting).trim_end());
        State::Ready { mail: None }
    }

    fn can_start_tls(&self) -> bool {
        self.offer.starttls != StartTls::Off && self.offer.has_tls && !self.guest.secure
    }

    fn must_start_tls(&self) -> bool {
        self.offer.starttls == StartTls::Only && !self.guest.secure
    }

    /// Whether mail is taken without a login.
    fn relays(&self) -> bool {
        F::IS_LMTP || self.offer.mechanisms.has(Mechanism::Unasked)
    }

    /// Whether `keyword` is a command to this client. Whoever may not say XCLIENT is not told that
    /// there is such a thing.
    fn is_known(&self, keyword: &str) -> bool {
        match keyword {
            "XCLIENT" => self.guest.trusted,
            "LHLO" => F::IS_LMTP,
            "HELO" | "EHLO" | "AUTH" => !F::IS_LMTP,
            "STARTTLS" => self.can_start_tls(),
            _ => true,
        }
    }

    /// The mechanism of that name, if it is offered.
    fn mechanism(&self, name: &[u8]) -> Option<Mechanism> {
        Mechanism::by_sasl(name).filter(|one| self.guest.may_use(*one, &self.offer))
    }

    /// Takes over what a trusted proxy says. The session begins anew with it (XCLIENT_README).
    fn learn(&mut self, said: Xclient) {
        said.addr.settle(&mut self.claims.client_ip);
        said.port.settle(&mut self.claims.client_port);
        said.host.settle(&mut self.claims.client_host);
        said.session.settle(&mut self.claims.session);
        said.ttl.settle(&mut self.claims.ttl);
        let (mut name, mut extended) =
            self.proxied.take().map(|helo| (helo.name, helo.extended)).unzip();
        said.helo.settle(&mut name);
        said.extended.settle(&mut extended);
        self.proxied = name.map(|name| Helo { name, extended: extended.unwrap_or(true) });
        self.claims.helo = None;
    }

    fn claims(&self) -> Claims {
        let helo = self.proxied.as_ref().or(self.claims.helo.as_ref());
        Claims { helo: helo.cloned(), ..self.claims.clone() }
    }

    /// RFC 5321 §4.1.1.1. The order is nginx's. Only what works in this very TLS state is listed.
    fn list_capabilities(&mut self, name: &str, act: &mut Vec<Action>) -> State {
        self.claims.helo = Some(Helo { name: name.to_owned(), extended: true });
        let mut lines = vec![self.offer.name.clone()];
        for capability in &self.offer.capabilities {
            let keyword = capability.split([' ', '=']).next().unwrap_or_default();
            // Ours to say, below.
            let own = ["AUTH", "STARTTLS", "XCLIENT"];
            if !own.iter().any(|own| keyword.eq_ignore_ascii_case(own)) {
                lines.push(capability.clone());
            }
        }
        if self.guest.trusted {
            lines.push(
                "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT SESSION TTL".to_owned(),
            );
        }
        let mechanisms = self.offer.mechanisms.iter();
        let usable = mechanisms.filter(|one| self.guest.may_use(*one, &self.offer));
        let names: Vec<_> = usable.filter_map(Mechanism::sasl).collect();
        if !F::IS_LMTP && !self.must_start_tls() && !names.is_empty() {
            lines.push(format!("AUTH {}", names.join(" ")));
        }
        if self.can_start_tls() {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            text += &format!("250{}{line}\r\n", if number < last { '-' } else { ' ' });
        }
        act.push(Action::Say(text.into()));
        State::Ready { mail: None }
    }

    fn step(&mut self, exchange: Exchange, step: Step, act: &mut Vec<Action>) -> State {
        match step {
            Step::Challenge(text) => {
                act.push(Action::Say([b"334 ", &text[..], b"\r\n"].concat()));
                State::Sasl(exchange)
            }
            Step::Consult(question) => {
                act.push(Action::Consult(question.claiming(&self.claims())));
                State::Consulting(exchange)
            }
            Step::Done(attempt) => self.rule(attempt, None, act),
            // RFC 4954 §4.
            Step::Broken(exchange::Breach::Cancelled) => {
                let text = "501 5.7.0 Authentication cancelled";
                self.wrong(text, "authentication cancelled", act, State::Ready { mail: None })
            }
            Step::Broken(breach) => {
                say(act, "501 5.5.2 Cannot decode the response");
                self.count(exchange.told(breach), act, State::Ready { mail: None })
            }
        }
    }

    fn rule(&self, attempt: Attempt, mail: Option<Box<[u8]>>, act: &mut Vec<Action>) -> State {
        act.push(Action::Rule(Attempt { claims: self.claims(), ..attempt }));
        State::Deciding { mail }
    }

    /// Puts a refusal into words. An OAuth client gets its error challenge first, and whatever it
    /// answers to that (RFC 7628 §3.2.3), the refusal follows.
    fn refuse(&self, refusal: Refusal, mail: Option<Box<[u8]>>, act: &mut Vec<Action>) -> State {
        if let Some(challenge) = refusal.sasl.as_deref()
            && mail.is_none()
            && is_base64(challenge)
        {
            say(act, &format!("334 {challenge}"));
            return State::Failing(refusal);
        }
        let wish = if mail.is_some() { Wish::Relay } else { Wish::Login };
        let line = refusal::line(&refusal, wish);
        // RFC 5321 §3.8: 421 announces the close, whoever has chosen it.
        let closes = refusal.close || line.starts_with("421");
        act.push(Action::Say(line.into()));
        if closes { close(act) } else { State::Ready { mail } }
    }

    fn needs_tls(&mut self, act: &mut Vec<Action>, next: State) -> State {
        act.push(Action::Say(refusal::line(&Refusal::new(Kind::NeedsTls), Wish::Login).into()));
        self.count("invalid command: login without TLS".to_owned(), act, next)
    }

    fn undecodable(&mut self, words: &str, act: &mut Vec<Action>) -> State {
        let text = "501 5.5.2 Cannot decode the response";
        self.wrong(text, words, act, State::Ready { mail: None })
    }

    fn wrong(&mut self, text: &str, words: &str, act: &mut Vec<Action>, next: State) -> State {
        say(act, text);
        self.count(format!("invalid command: {words}"), act, next)
    }

    /// Counts what was just answered, and closes if it was the last allowed one.
    fn count(&mut self, words: String, act: &mut Vec<Action>, next: State) -> State {
        self.errors += 1;
        act.push(Action::Breach(words));
        if self.errors >= self.offer.max_errors { close(act) } else { next }
    }
}

/// Lets the client in. Who has logged in hears nginx's words, as nobody waits for the upstream's;
/// who has not hears what the upstream says to RCPT, be it a refusal: the session is theirs now.
fn admit(relays: bool, granted: Granted, act: &mut Vec<Action>) -> State {
    let text = granted.text.filter(|_| relays);
    let text = text.unwrap_or_else(|| if relays { "250 2.1.5 OK" } else { "235 2.0.0 OK" }.into());
    let whole = [text.strip_suffix(b"\r\n").unwrap_or(&text), b"\r\n"].concat();
    if !matches!(reply::parse(&whole), Parsed::Whole(_, used) if used == whole.len()) {
        act.push(Action::Say(crate::login::words::SMTP.internal_error.into()));
        return close(act);
    }
    act.extend([Action::Say(whole), Action::Admit]);
    State::Done
}

fn is_base64(text: &str) -> bool {
    text.len() <= sasl::MAX_ENCODED && sasl::decode(text.as_bytes(), &mut Vec::new())
}

/// Words of ours with a capital letter, as SMTP's texts have it.
fn sentence(error: &Error) -> String {
    let mut words = error.to_string();
    words[..1].make_ascii_uppercase();
    words
}

fn heard<'a, T>(
    parsed: Parsed<T, Error>,
    wrap: impl FnOnce(T) -> Heard<'a>,
) -> Parsed<Heard<'a>, Error> {
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

/// What must hold for any bytes from a client and any events in between; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    super::hold::front(input);
}

#[cfg(test)]
mod tests;
