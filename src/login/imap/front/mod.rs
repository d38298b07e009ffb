//! IMAP with the client, from greeting to login. No socket, no clock: events in, actions out.
//!
//! ```text
//!                        .-literal-.
//!                        v         |
//! New --Opened--> Reading ----> Literal
//!                 | |  ^-----------------------------------------------+ Err
//!                 | |  |                                               |
//!                 | +--LOGIN------------------------------------> Deciding --Ok--> Done
//!                 | +--AUTHENTICATE--> Exchanging --credentials--^ |
//!                 |                     | |  ^ ^ |                 | Err with `sasl`
//!                 |       broken, `*`   | |  | +-+ answer          v
//!                 | ^-------------------+ v  | advice           Failing --any line--> Reading
//!                 |                     Consulting --Err--> Reading
//!                 +--STARTTLS--> Securing --Secured--> Reading
//! ```
//!
//! **Breaches** are counted, and the `max_errors`th closes the session: unknown commands, bad
//! arguments and tags, broken or cancelled exchanges as nginx counts them, and besides a mechanism
//! that is not offered and a login before TLS where TLS comes first, which are answered with NO
//! and their reason instead of nginx's `BAD invalid command`. A refused login is not a breach.
//!
//! **Limits.** A command has at most `client_buffer` bytes, literals included. Longer ones end the
//! session, except where a client waits to be asked for the literal that would be too long: it is
//! refused and goes on. An empty line is a breach, as in nginx.

use std::mem;
use std::sync::Arc;

use super::gather::Gather;
use super::{claims, refusal};
use crate::login::exchange::{Exchange, Step};
use crate::login::{
    Action, Attempt, Claims, Dialogue, Event, Granted, Guest, Kind, Mechanism, Offer, Refusal,
    Secret, StartTls, Words, passable, words,
};
use crate::wire::Parsed;
use crate::wire::imap::command::{self, Command, Initial};
use crate::wire::imap::literal::{self, Fragment};
use crate::wire::imap::{args, id};
use crate::wire::sasl::{self, oauth};

/// Our side of an IMAP login, as a server.
#[derive(Debug)]
pub struct Front {
    offer: Arc<Offer>,
    guest: Guest,
    claims: Claims,
    breaches: u32,
    state: State,
}

/// A command's tag, which its answer repeats: printable ASCII, bounded.
type Tag = Box<str>;

/// Each state owns just what it needs.
#[derive(Debug, Default)]
enum State {
    New,
    /// A line is awaited: a command, or the rest of one whose earlier fragments are gathered.
    Reading(Gather),
    /// A literal of this many bytes is awaited.
    Literal(Gather, usize),
    /// A SASL answer is awaited.
    Exchanging {
        tag: Tag,
        exchange: Exchange,
    },
    /// The desk is asked something that the exchange needs.
    Consulting {
        tag: Tag,
        exchange: Exchange,
    },
    Securing,
    Deciding {
        tag: Tag,
        /// The client brought a token, and knows what an error challenge is.
        by_token: bool,
    },
    /// The error challenge is out; whatever the client answers to it, it is refused.
    Failing {
        tag: Tag,
        refusal: Refusal,
    },
    #[default]
    Done,
}

impl Front {
    pub fn new(offer: Arc<Offer>, guest: Guest) -> Self {
        Self { offer, guest, claims: Claims::default(), breaches: 0, state: State::New }
    }
}

impl Dialogue for Front {
    type Command<'a> = Fragment<'a>;
    type Breach = literal::Error;
    const WORDS: &'static Words = &words::IMAP;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Fragment<'a>, literal::Error> {
        match &self.state {
            State::Reading(gather) => literal::split(unread, self.room(gather.len())),
            State::Literal(_, size) => literal::take(unread, *size),
            State::Exchanging { .. } | State::Failing { .. } => {
                literal::answer(unread, sasl::MAX_ENCODED)
            }
            // Nothing is read before the greeting, in the middle of TLS or a ruling, or after.
            State::New
            | State::Consulting { .. }
            | State::Securing
            | State::Deciding { .. }
            | State::Done => Parsed::More,
        }
    }

    /// The whole dialogue on one page: one arm per thing that may happen.
    fn on(&mut self, event: Event<Fragment<'_>, literal::Error>, act: &mut Vec<Action>) {
        use Event as E;
        use State as S;
        use literal::Error::{BareLf, Control, OutOfStep, TooLong};

        self.state = match (mem::take(&mut self.state), event) {
            (S::New, E::Opened) => {
                let (capabilities, text) =
                    (self.capabilities(), passable(self.offer.greeting.as_bytes()));
                say(act, format!("* OK [CAPABILITY {capabilities}] {text}\r\n"));
                S::Reading(Gather::default())
            }
            (S::Reading(gather), E::Command(Fragment::End(line))) if gather.len() == 0 => {
                self.obey(line, act)
            }
            (S::Reading(mut gather), E::Command(Fragment::End(line))) => {
                gather.push(line);
                self.obey(gather.as_bytes(), act)
            }
            (S::Reading(gather), E::Command(Fragment::Announce { line, size, waits })) => {
                self.announced(gather, line, size, waits, act)
            }
            (S::Literal(mut gather, _), E::Command(Fragment::Literal(bytes))) => {
                gather.push(bytes);
                S::Reading(gather)
            }
            (S::Exchanging { tag, mut exchange }, E::Command(Fragment::End(line))) => {
                let step = exchange.answer(line);
                self.stepped(tag, exchange, step, act)
            }
            (S::Consulting { tag, mut exchange }, E::Advised(Ok(advice))) => {
                let step = exchange.advised(advice);
                self.stepped(tag, exchange, step, act)
            }
            (S::Consulting { tag, .. }, E::Advised(Err(no))) => refused(&tag, &no, act),
            (S::Securing, E::Secured(secured)) => {
                self.guest.secured(&secured);
                self.offer = secured.offer.unwrap_or_else(|| Arc::clone(&self.offer));
                // RFC 9051 §6.2.1: what was learned before TLS may be an attacker's.
                self.claims = Claims::default();
                S::Reading(Gather::default())
            }
            (S::Deciding { tag, .. }, E::Ruled(Ok(Granted { untagged, text, .. }))) => {
                let mut said = untagged;
                said.extend_from_slice(format!("{tag} OK ").as_bytes());
                said.extend_from_slice(text.as_deref().unwrap_or(b"logged in"));
                said.extend_from_slice(b"\r\n");
                act.extend([Action::Say(said), Action::Admit]);
                S::Done
            }
            (S::Deciding { tag, by_token }, E::Ruled(Err(no))) => {
                let challenge = no.sasl.as_deref().filter(|_| by_token);
                match challenge.and_then(|text| oauth::challenge(text.as_bytes())) {
                    // RFC 7628 §3.2.3: the client hears why, answers, and then it has failed.
                    Some(challenge) => {
                        say(act, format!("+ {challenge}\r\n"));
                        S::Failing { tag, refusal: no }
                    }
                    None => refused(&tag, &no, act),
                }
            }
            (S::Failing { tag, refusal }, E::Command(Fragment::End(_))) => {
                refused(&tag, &refusal, act)
            }
            // The rest is still to come and would be read as commands.
            (S::Reading(_), E::Breach(TooLong | OutOfStep)) => {
                act.push(Action::OutOfStep("too long command".to_owned()));
                say(act, "* BYE command too long or out of step\r\n");
                close(act)
            }
            (
                S::Exchanging { tag, .. } | S::Failing { tag, .. },
                E::Breach(TooLong | OutOfStep),
            ) => {
                act.push(Action::OutOfStep("too long AUTHENTICATE message".to_owned()));
                say(act, format!("{tag} BAD AUTHENTICATE message too long\r\n"));
                close(act)
            }
            (S::Reading(_), E::Breach(BareLf | Control)) => {
                self.breach("* BAD bare CR, bare LF or NUL\r\n", act)
            }
            (S::Exchanging { tag, .. } | S::Failing { tag, .. }, E::Breach(BareLf | Control)) => {
                self.breach(format!("{tag} BAD bare CR, bare LF or NUL\r\n"), act)
            }
            // The driver feeds nothing while TLS or a ruling is pending: this is our bug.
            (_, _) => {
                say(act, words::IMAP.internal_error);
                close(act)
            }
        };
    }
}

impl Front {
    /// A command is whole: one arm per command.
    fn obey(&mut self, whole: &[u8], act: &mut Vec<Action>) -> State {
        let Some((tag, rest)) = command::tag(whole) else {
            return self.breach("* BAD invalid tag\r\n", act);
        };
        let tag: Tag = String::from_utf8_lossy(tag).into();
        match command::parse(rest) {
            Ok(Command::Capability) => {
                say(act, format!("* CAPABILITY {}\r\n", self.capabilities()));
                completed(&tag, act)
            }
            Ok(Command::Noop) => completed(&tag, act),
            Ok(Command::Logout) => {
                say(act, format!("* BYE logging out\r\n{tag} OK completed\r\n"));
                close(act)
            }
            Ok(Command::Id(pairs)) => {
                claims::learn(&mut self.claims, &pairs);
                let mut said = b"* ID ".to_vec();
                id::write(self.offer.id.iter().map(|(key, value)| (&**key, &**value)), &mut said);
                said.extend_from_slice(b"\r\n");
                act.push(Action::Say(said));
                completed(&tag, act)
            }
            Ok(Command::StartTls) if self.may_start_tls() => {
                say(act, format!("{tag} OK begin TLS negotiation now\r\n"));
                act.push(Action::StartTls);
                State::Securing
            }
            Ok(Command::StartTls) => {
                self.breach(format!("{tag} BAD STARTTLS not available\r\n"), act)
            }
            Ok(Command::Login { user, password }) => self.login(tag, user, password, act),
            Ok(Command::Authenticate { mechanism, initial }) => {
                self.authenticate(tag, mechanism, initial, act)
            }
            Ok(Command::Other(_)) => self.breach(format!("{tag} BAD invalid command\r\n"), act),
            Err(error) => self.breach(format!("{tag} BAD invalid arguments: {error}\r\n"), act),
        }
    }

    /// A literal is announced: it is asked for, awaited, or refused.
    fn announced(
        &mut self,
        mut gather: Gather,
        line: &[u8],
        size: usize,
        waits: bool,
        act: &mut Vec<Action>,
    ) -> State {
        let fits = size <= self.room(gather.len() + line.len() + 2);
        if !waits && (!fits || size > self.longest_unasked()) {
            // RFC 7888 §4: it is on its way; the way out is to close.
            say(act, "* BYE literal too long\r\n");
            return close(act);
        }
        gather.push(line);
        gather.push(b"\r\n");
        if waits {
            if let Some(no) = self.objection(gather.as_bytes(), fits) {
                return self.breach(no, act);
            }
            say(act, "+ OK\r\n");
        }
        if size == 0 { State::Reading(gather) } else { State::Literal(gather, size) }
    }

    /// Why a command should come no further, as far as its first fragments tell.
    fn objection(&self, begun: &[u8], fits: bool) -> Option<String> {
        let Some((tag, rest)) = command::tag(begun) else {
            return Some("* BAD invalid tag\r\n".to_owned());
        };
        let tag = String::from_utf8_lossy(tag);
        let (name, _) = command::name(rest);
        if name.eq_ignore_ascii_case(b"LOGIN") {
            if let Some(no) = self.bars(&tag, self.offer.mechanisms.takes_passwords()) {
                return Some(no);
            }
        } else if !name.eq_ignore_ascii_case(b"ID") {
            return Some(format!("{tag} BAD invalid command\r\n"));
        }
        (!fits).then(|| format!("{tag} BAD literal too long\r\n"))
    }

    fn login(
        &mut self,
        tag: Tag,
        user: args::Astring<'_>,
        password: args::Astring<'_>,
        act: &mut Vec<Action>,
    ) -> State {
        if let Some(no) = self.bars(&tag, self.offer.mechanisms.takes_passwords()) {
            return self.breach(no, act);
        }
        // The bounds of SASL, so that a user is the same whichever way it comes in. An empty
        // password would be taken for an anonymous bind by some directories.
        let fits = (1..=sasl::MAX_USER).contains(&user.len())
            && (1..=sasl::MAX_PASSWORD).contains(&password.len());
        if !fits {
            return self.breach(refusal::line(&tag, &Refusal::new(Kind::BadCredentials)), act);
        }
        act.push(Action::Rule(Attempt {
            claims: self.claims.clone(),
            ..Attempt::new(Mechanism::Login, user.to_vec(), Secret::new(password.to_vec()))
        }));
        State::Deciding { tag, by_token: false }
    }

    fn authenticate(
        &mut self,
        tag: Tag,
        mechanism: &[u8],
        initial: Option<Initial<'_>>,
        act: &mut Vec<Action>,
    ) -> State {
        let Some(mechanism) = Mechanism::by_sasl(mechanism) else {
            return self.breach(refusal::unsupported(&tag), act);
        };
        if let Some(no) = self.bars(&tag, self.guest.may_use(mechanism, &self.offer)) {
            return self.breach(no, act);
        }
        // RFC 4959 §3: `=` is an empty initial response. No mechanism but EXTERNAL begins with an
        // empty message, so elsewhere it says nothing yet, and the client is asked.
        let says_something = |text: &&[u8]| *text != b"=" || mechanism == Mechanism::External;
        let initial = initial.map(|Initial(text)| text).filter(says_something);
        let (exchange, step) = Exchange::begin(mechanism, initial, &self.guest, &self.offer);
        self.stepped(tag, exchange, step, act)
    }

    /// The exchange has taken a step.
    fn stepped(
        &mut self,
        tag: Tag,
        exchange: Exchange,
        step: Step,
        act: &mut Vec<Action>,
    ) -> State {
        match step {
            Step::Challenge(text) => {
                act.push(Action::Say([b"+ ", &*text, b"\r\n"].concat()));
                State::Exchanging { tag, exchange }
            }
            Step::Consult(question) => {
                act.push(Action::Consult(question.claiming(&self.claims)));
                State::Consulting { tag, exchange }
            }
            Step::Done(attempt) => {
                let by_token = attempt.mechanism.brings_token();
                act.push(Action::Rule(Attempt { claims: self.claims.clone(), ..attempt }));
                State::Deciding { tag, by_token }
            }
            // RFC 9051 §6.2.2: BAD answers a cancelled exchange too. The words are nginx's.
            Step::Broken(breach) => {
                let words = exchange.told(breach);
                self.count(words, format!("{tag} BAD invalid command\r\n").into(), act)
            }
        }
    }

    /// Answers a breach; the last that is borne closes.
    fn breach(&mut self, answer: impl Into<Vec<u8>>, act: &mut Vec<Action>) -> State {
        let answer = answer.into();
        self.count(format!("invalid command, answered {}", shown(&answer)), answer, act)
    }

    /// The same, in other words for the log.
    fn count(&mut self, words: String, answer: Vec<u8>, act: &mut Vec<Action>) -> State {
        self.breaches += 1;
        act.push(Action::Breach(words));
        say(act, answer);
        match self.breaches >= self.offer.max_errors {
            true => close(act),
            false => State::Reading(Gather::default()),
        }
    }

    /// Why nobody may log in this way now.
    fn bars(&self, tag: &str, offered: bool) -> Option<String> {
        if !self.guest.secure && self.offer.starttls == StartTls::Only {
            Some(refusal::line(tag, &Refusal::new(Kind::NeedsTls)))
        } else {
            (!offered).then(|| refusal::unsupported(tag))
        }
    }

    fn may_start_tls(&self) -> bool {
        !self.guest.secure && self.offer.has_tls && self.offer.starttls != StartTls::Off
    }

    /// How many bytes of a command may still come after `gathered`.
    fn room(&self, gathered: usize) -> usize {
        self.offer.client_buffer.saturating_sub(gathered)
    }

    /// The longest literal that may come without being asked for.
    fn longest_unasked(&self) -> usize {
        if self.accepts_any_literal() { usize::MAX } else { literal::LITERAL_MINUS_MAX }
    }

    /// LITERAL+, unless the host is told to offer the lesser LITERAL- (RFC 7888 §5).
    fn accepts_any_literal(&self) -> bool {
        self.lists("LITERAL+") || !self.lists("LITERAL-")
    }

    fn lists(&self, name: &str) -> bool {
        self.offer.capabilities.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }

    /// What works here and now, and nothing else.
    fn capabilities(&self) -> String {
        let Offer { capabilities, mechanisms, .. } = &*self.offer;
        let may_log_in = self.guest.secure || self.offer.starttls != StartTls::Only;
        let usable = |one: &Mechanism| may_log_in && self.guest.may_use(*one, &self.offer);
        let listed = capabilities.iter().map(String::as_str).filter(|word| is_ours_to_list(word));
        let has_revision =
            listed.clone().any(|word| word.to_ascii_uppercase().starts_with("IMAP4REV"));
        let ours = [
            ("SASL-IR", !self.lists("SASL-IR")),
            ("ID", !self.lists("ID")),
            ("LITERAL+", self.accepts_any_literal() && !self.lists("LITERAL+")),
        ];
        let auth = mechanisms.iter().filter(usable).filter_map(Mechanism::sasl);
        let auth: Vec<_> = auth.map(|name| format!("AUTH={name}")).collect();
        let state = [
            ("STARTTLS", self.may_start_tls()),
            ("LOGINDISABLED", !may_log_in || !mechanisms.takes_passwords()),
        ];
        let [ours, state] = [&ours[..], &state[..]]
            .map(|list| list.iter().filter(|(_, holds)| *holds).map(|(word, _)| *word));
        // RFC 9051 §7.2.2: a revision must be among them.
        let revision = (!has_revision).then_some("IMAP4rev1").into_iter();
        let all = revision.chain(listed).chain(ours).chain(auth.iter().map(String::as_str));
        all.chain(state).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a listed capability is one atom, and does not hang on the state.
fn is_ours_to_list(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_graphic() && !b"[](){}\"\\%*".contains(&byte))
        && !upper.starts_with("AUTH=")
        && upper != "STARTTLS"
        && upper != "LOGINDISABLED"
}

/// An answer as the log shows it: quoted, without its tag, which may be a password that was typed
/// too early.
fn shown(answer: &[u8]) -> String {
    let tag = answer.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
    format!("{:?}", passable(&answer[tag..]))
}

fn say(act: &mut Vec<Action>, line: impl Into<Vec<u8>>) {
    act.push(Action::Say(line.into()));
}

/// The client is not let in; it may try again unless it is told to go.
fn refused(tag: &str, no: &Refusal, act: &mut Vec<Action>) -> State {
    say(act, [&*no.untagged, refusal::line(tag, no).as_bytes()].concat());
    if no.close { close(act) } else { State::Reading(Gather::default()) }
}

fn completed(tag: &str, act: &mut Vec<Action>) -> State {
    say(act, format!("{tag} OK completed\r\n"));
    State::Reading(Gather::default())
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

#[cfg(test)]
mod tests;
