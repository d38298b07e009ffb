//! IMAP with the upstream, from its greeting to its answer. No socket, no clock: events in,
//! actions out.
//!
//! ```text
//! New --Opened--> Greeting --OK--> (STARTTLS?) --no----------------------> log in
//!                                    |  ^                                   ^
//!                      list unknown: v  |                                   |
//!                                  Asking        Requesting --OK--> Securing --Secured--> Asking
//!                                                    ^
//!                                    '---STARTTLS----'
//!
//! log in --ID alone--> Identifying --tagged--> LoggingIn --tagged OK, NO--> Settled
//!        --ID and login in one, or login-----> LoggingIn --`+`--> the next piece
//! ```
//!
//! **The login.** AUTHENTICATE PLAIN if it is offered, or needed to log in on somebody's behalf;
//! else LOGIN, whose strings are quoted or literals as they need. A token goes by XOAUTH2 or
//! OAUTHBEARER; an error challenge to it is kept for the client, and answered, so that the
//! upstream says its no. If it fits one line, it goes together with ID and saves a round trip.
//! Credentials go in confidence only, after TLS only if TLS was asked for, and never into the words
//! of a [`Verdict::Misbehaved`].
//!
//! **What the client is told** is what the upstream said between its answer to ID and its answer
//! to the login, except its own ID; and every ALERT since the greeting, except those from before
//! STARTTLS, which anybody may have put there.
//!
//! **Limits.** [`MAX_HEARD`] bytes of untagged data before the answer; more is misbehaviour.

use std::collections::VecDeque;
use std::mem;

use zeroize::Zeroizing;

use super::pieces::Pieces;
use super::{identity, refusal};
use crate::login::{
    Action, Ask, Dialogue, Event, Granted, Kind, Mechanism, Mechanisms, Proof, Secret, Tell,
    Verdict, Words, bearer, passable, words,
};
use crate::wire::Parsed;
use crate::wire::imap::reply::{self, Capabilities, Reply, Said, Status};
use crate::wire::imap::{id, quote};
use crate::wire::sasl::{self, oauth};

/// The most that an upstream may say before it answers the login.
pub const MAX_HEARD: usize = 65_536;

/// Our side of an IMAP login, as a client.
#[derive(Debug)]
pub struct Back {
    ask: Ask,
    secure: bool,
    /// How many tags have been given out.
    tags: u32,
    /// What the upstream offers, if it has said so in its present TLS state.
    offers: Option<Capabilities>,
    /// What the client will be told.
    untagged: Vec<u8>,
    heard: usize,
    /// By what a token is brought, until an error challenge to it is answered.
    bearer: Option<Mechanism>,
    /// That challenge.
    sasl: Option<String>,
    state: State,
}

/// `g1`, `g2`, …
type Tag = String;

/// The pieces of a login that are not yet said. Before each, the upstream says `+`.
type Rest = VecDeque<Secret>;

/// Each state owns just what it needs.
#[derive(Debug, Default)]
enum State {
    New,
    Greeting,
    /// CAPABILITY is asked.
    Asking(Tag),
    /// STARTTLS is asked.
    Requesting(Tag),
    Securing,
    /// ID is said, alone.
    Identifying(Tag, Rest),
    /// The login is said, as far as `rest`; ID as well, if `id` is awaited.
    LoggingIn {
        id: Option<Tag>,
        tag: Tag,
        rest: Rest,
    },
    #[default]
    Settled,
}

impl Back {
    pub fn new(ask: Ask) -> Self {
        Self {
            ask,
            secure: false,
            tags: 0,
            offers: None,
            untagged: Vec::new(),
            heard: 0,
            bearer: None,
            sasl: None,
            state: State::New,
        }
    }
}

impl Dialogue for Back {
    type Command<'a> = Reply<'a>;
    type Breach = reply::Error;
    const WORDS: &'static Words = &words::IMAP;

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
                // RFC 9051 §6.2.1: what was said before TLS does not count.
                (self.secure, self.offers) = (true, None);
                self.untagged.clear();
                self.ask_capabilities(act)
            }
            (_, E::Breach(error)) => misbehaved(error.to_string(), act),
            // The driver reports nothing else to a back: this is our bug.
            (_, E::Opened | E::Secured(_) | E::Advised(_) | E::Ruled(_)) => settle(bug(), act),
        };
    }
}

impl Back {
    /// The whole dialogue on one page: one arm per thing that may be heard.
    fn hear(&mut self, state: State, reply: Reply<'_>, act: &mut Vec<Action>) -> State {
        use Said::{Continue, Tagged, Untagged};
        use State as S;
        use Status::{Bad, Bye, No, PreAuth};

        let Reply { said, raw } = reply;
        match (state, said) {
            (S::Greeting, Untagged { status: Status::Ok, .. }) => {
                self.note(said, raw, false);
                match (self.ask.starttls, self.offers) {
                    (false, _) => self.log_in(act),
                    (true, None) => self.ask_capabilities(act),
                    (true, Some(_)) => self.start_tls(act),
                }
            }
            (S::Greeting, Untagged { status: PreAuth, .. }) => {
                misbehaved("greeted with PREAUTH, as somebody logged in already", act)
            }
            (S::Greeting, Untagged { status: Bye, text }) => {
                misbehaved(format!("greeted with BYE: {}", passable(text)), act)
            }
            (S::Greeting, _) => misbehaved("no IMAP greeting", act),
            (_, Untagged { status: Bye, text }) => {
                self.refused(refusal::kind_of(text, Kind::Unavailable), text, act)
            }
            (S::Asking(tag), Tagged { tag: answered, .. }) if is(&tag, answered) => {
                match self.ask.starttls && !self.secure {
                    true => self.start_tls(act),
                    false => self.log_in(act),
                }
            }
            (S::Requesting(tag), Tagged { tag: answered, status, .. }) if is(&tag, answered) => {
                if status != Status::Ok {
                    return misbehaved("refused STARTTLS", act);
                }
                act.push(Action::StartTls);
                S::Securing
            }
            // A NO or BAD to ID is nothing to us: not everyone understands it.
            (S::Identifying(tag, pieces), Tagged { tag: answered, .. }) if is(&tag, answered) => {
                self.say_login(None, pieces, act)
            }
            (S::LoggingIn { id: Some(id), tag, rest }, Tagged { tag: answered, .. })
                if is(&id, answered) =>
            {
                S::LoggingIn { id: None, tag, rest }
            }
            (S::LoggingIn { tag, rest, .. }, Tagged { tag: answered, status, text })
                if is(&tag, answered) =>
            {
                match status {
                    Status::Ok if !rest.is_empty() => {
                        misbehaved("let somebody in before the password was said", act)
                    }
                    // RFC 7628 §3.2.3: after that, there is only the no.
                    Status::Ok if self.has_answered() => {
                        misbehaved("let somebody in after an error challenge", act)
                    }
                    Status::Ok => self.accepted(text, act),
                    No => self.refused(refusal::kind_of(text, Kind::BadCredentials), text, act),
                    // Without its words: they may repeat ours, password and all.
                    Bad | Bye | PreAuth => misbehaved("answered the login with BAD", act),
                }
            }
            (S::LoggingIn { id, tag, mut rest }, Continue(text)) => match rest.pop_front() {
                Some(piece) => {
                    act.push(Action::SayInConfidence(piece));
                    S::LoggingIn { id, tag, rest }
                }
                None => match self.bearer.take() {
                    Some(mechanism) => {
                        self.sasl = oauth::challenge(text).map(str::to_owned);
                        act.push(Action::Say(format!("{}\r\n", bearer::answer(mechanism)).into()));
                        S::LoggingIn { id, tag, rest }
                    }
                    None => misbehaved("asked for more than a login has", act),
                },
            },
            (_, Tagged { .. } | Continue(_)) => misbehaved("answered what was not asked", act),
            (state, Untagged { .. } | Said::Capability(_) | Said::Id | Said::Other) => {
                // Between its answer to ID and its answer to the login: of the session to come.
                self.note(said, raw, matches!(state, S::LoggingIn { id: None, .. }));
                match self.heard > MAX_HEARD {
                    true => misbehaved("said too much before it answered the login", act),
                    false => state,
                }
            }
        }
    }

    /// Takes what an untagged response tells, and keeps what the client should see of it.
    fn note(&mut self, said: Said<'_>, raw: &[u8], of_the_login: bool) {
        self.heard += raw.len();
        let mut alert = false;
        match said {
            Said::Capability(offers) => self.offers = Some(offers),
            Said::Untagged { text, .. } => {
                alert = reply::is_alert(text);
                if let Some((name, list)) = reply::code(text)
                    && name.eq_ignore_ascii_case(b"CAPABILITY")
                {
                    self.offers = Some(reply::capabilities(list));
                }
            }
            _ => {}
        }
        if alert || (of_the_login && said != Said::Id) {
            self.untagged.extend_from_slice(raw);
        }
    }

    fn ask_capabilities(&mut self, act: &mut Vec<Action>) -> State {
        let tag = self.tag();
        act.push(Action::Say(format!("{tag} CAPABILITY\r\n").into()));
        State::Asking(tag)
    }

    fn start_tls(&mut self, act: &mut Vec<Action>) -> State {
        if self.offers.is_some_and(|offers| !offers.starttls) {
            return misbehaved("offers no STARTTLS", act);
        }
        let tag = self.tag();
        act.push(Action::Say(format!("{tag} STARTTLS\r\n").into()));
        State::Requesting(tag)
    }

    /// Says ID and the login: together if that saves a round trip.
    fn log_in(&mut self, act: &mut Vec<Action>) -> State {
        let offers = self.offers.unwrap_or_default();
        let pieces = match self.login(offers) {
            Ok(pieces) => pieces,
            Err(verdict) => return settle(verdict, act),
        };
        let tells = match self.ask.imap_id {
            Tell::On => true,
            Tell::Off => false,
            Tell::Auto => self.offers.is_none() || offers.id,
        };
        if !tells {
            return self.say_login(None, pieces, act);
        }
        let tag = self.tag();
        let mut line = format!("{tag} ID ").into_bytes();
        let pairs = identity::pairs(&self.ask);
        id::write(pairs.iter().map(|(key, value)| (*key, &**value)), &mut line);
        line.extend_from_slice(b"\r\n");
        if pieces.len() == 1 {
            return self.say_login(Some((tag, line)), pieces, act);
        }
        act.push(Action::Say(line));
        State::Identifying(tag, pieces)
    }

    /// Says the first piece of the login, behind the ID that goes with it.
    fn say_login(
        &mut self,
        id: Option<(Tag, Vec<u8>)>,
        mut rest: Rest,
        act: &mut Vec<Action>,
    ) -> State {
        let tag = self.tag();
        let (id, line) = id.map_or((None, Vec::new()), |(id, line)| (Some(id), line));
        let first = rest.pop_front().unwrap_or_default();
        let said = [&*line, tag.as_bytes(), b" ", first.reveal()].concat(); // made at full length
        act.push(Action::SayInConfidence(Secret::new(said)));
        State::LoggingIn { id, tag, rest }
    }

    /// Whether an error challenge was answered.
    fn has_answered(&self) -> bool {
        self.ask.proof != Proof::Password && self.bearer.is_none()
    }

    fn accepted(&mut self, text: &[u8], act: &mut Vec<Action>) -> State {
        let text = (!text.is_empty()).then(|| text.to_vec());
        let untagged = mem::take(&mut self.untagged);
        settle(Verdict::Accepted(Granted { untagged, text, ..Granted::default() }), act)
    }

    fn refused(&mut self, kind: Kind, text: &[u8], act: &mut Vec<Action>) -> State {
        let untagged = mem::take(&mut self.untagged);
        let sasl = self.sasl.take();
        settle(Verdict::Refused { kind, text: text.to_vec(), untagged, sasl }, act)
    }

    /// The login without its tag, in as many pieces as it takes.
    fn login(&mut self, offers: Capabilities) -> Result<Rest, Verdict> {
        let Ask { user, authzid, secret, .. } = &self.ask;
        // Only the fronts and the lookup bring credentials, and neither lets such bytes through.
        let fields = [user, authzid.as_deref().unwrap_or_default(), secret.reveal()];
        if fields.iter().any(|field| quote::form(field).is_err()) {
            return Err(bug());
        }
        let [user, behalf, password] = fields;
        let lacks = |what: &str| Verdict::Misbehaved(format!("{what} is not offered"));
        if let Proof::Bearer(own) = self.ask.proof {
            let known = self.offers.map(|offers| {
                let by = [
                    (offers.auth_xoauth2, Mechanism::XOauth2),
                    (offers.auth_oauthbearer, Mechanism::OauthBearer),
                ];
                let by = by.into_iter().filter(|(offered, _)| *offered);
                by.fold(Mechanisms::default(), |set, (_, one)| set.with(one))
            });
            let name = |mechanism: Mechanism| mechanism.sasl().unwrap_or_default();
            let mechanism = bearer::choose(own, known).ok_or_else(|| lacks(name(own)))?;
            // Whose mailbox it is: a token has no other name to it.
            let owner = if behalf.is_empty() { user } else { behalf };
            let message = bearer::message(mechanism, owner, secret).map_err(|_| bug())?;
            self.bearer = Some(mechanism);
            return Ok(authenticate(name(mechanism), message.reveal(), offers));
        }
        if offers.auth_plain || authzid.is_some() {
            // LOGIN cannot say on whose behalf, so without PLAIN there is no way.
            if !offers.auth_plain && self.offers.is_some() {
                return Err(lacks("AUTH=PLAIN"));
            }
            let message = Zeroizing::new(sasl::plain::write(behalf, user, password));
            let encoded = Zeroizing::new(sasl::encode(&message));
            return Ok(authenticate("PLAIN", encoded.as_bytes(), offers));
        }
        if offers.login_disabled {
            return Err(Verdict::Misbehaved("offers no login that we can do".to_owned()));
        }
        let mut pieces = Pieces::default();
        pieces.push(b"LOGIN");
        for field in [user, password] {
            pieces.push(b" ");
            pieces.string(field, offers);
        }
        Ok(pieces.end())
    }

    fn tag(&mut self) -> Tag {
        self.tags += 1;
        format!("g{}", self.tags)
    }
}

/// AUTHENTICATE and its message, in base64. RFC 4959 §3: without SASL-IR it waits for its `+`.
fn authenticate(mechanism: &str, message: &[u8], offers: Capabilities) -> Rest {
    let mut pieces = Pieces::default();
    pieces.push(b"AUTHENTICATE ");
    pieces.push(mechanism.as_bytes());
    if offers.sasl_ir {
        pieces.push(b" ");
    } else {
        pieces.wait();
    }
    pieces.push(message);
    pieces.end()
}

fn is(tag: &str, answered: &[u8]) -> bool {
    tag.as_bytes() == answered
}

fn bug() -> Verdict {
    Verdict::Refused { kind: Kind::Internal, text: Vec::new(), untagged: Vec::new(), sasl: None }
}

fn misbehaved(what: impl Into<String>, act: &mut Vec<Action>) -> State {
    settle(Verdict::Misbehaved(what.into()), act)
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
