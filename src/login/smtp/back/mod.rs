//! SMTP and LMTP with an upstream, from its greeting to our login. No socket, no clock.
//!
//! ```text
//! Greeting --220--> Hello > [StartTls > Securing > Hello] > [Xclient … > Hello]
//!                         > [Auth …] > [Mail > Rcpt] --> Settled
//! ```
//!
//! What stands in brackets is left out where it is not needed: `go_on` picks the next step from what
//! is known by then.
//!
//! **The client's name.** Before XCLIENT we introduce ourselves by our own name. An upstream that has
//! taken XCLIENT is at its beginning again, and hears the client's own introduction, as with nginx.
//!
//! **XCLIENT** names the attributes that the upstream lists, in its order; where it lists none, and
//! we are to say it all the same, those of nginx. An upstream that refuses it still gets the login.
//! But where nobody logs in (`smtp_auth none`), who the client is decides what it may do: there a
//! refused XCLIENT ends it, as with nginx, lest we lend the client our own address.
//!
//! **Promises.**
//! - No login holds CR, LF or NUL on its way out, whoever handed it to us: it is `Misbehaved` first.
//! - What a client or a name server has made up for a name goes out as one word, or not at all.
//! - The secret is said in confidence, never by [`Action::Say`], and after TLS if TLS was asked for.
//! - Nothing is said ahead but RCPT behind MAIL, and that only where PIPELINING is offered.
//!
//! **Limits.** Those of [`reply`]. Capabilities from before TLS are forgotten with it (RFC 3207
//! §4.2), and those from before XCLIENT where EHLO is said again.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem;

use super::proof::{self, Plan};
use super::{Flavour, Smtp};
use crate::login::{
    Action, Ask, Dialogue, Event, Granted, Identity, Kind, Mechanism, Secret, SmtpAuth, Tell,
    Verdict, Words,
};
use crate::wire::Parsed;
use crate::wire::sasl;
use crate::wire::smtp::capability::Capabilities;
use crate::wire::smtp::command::{self, Command, MOST_LINE, is_name};
use crate::wire::smtp::reply::{self, Reply};
use crate::wire::smtp::xclient::{self, Attribute, addr_value, is_host};

/// The side that asks to be let in.
#[derive(Debug)]
pub struct Back<F = Smtp> {
    ask: Ask,
    state: State,
    /// TLS was begun by us, if the ask wants it.
    secured: bool,
    /// The client's identity has been told, or need not be.
    told: bool,
    /// The upstream has taken the client's identity: who speaks is the client now.
    as_client: bool,
    /// The upstream has taken our AUTH.
    logged_in: bool,
    /// What the last EHLO brought; none before it, and where it must be said again.
    known: Option<Capabilities>,
    flavour: PhantomData<F>,
}

#[derive(Debug, Default)]
enum State {
    New,
    Greeting,
    /// EHLO, LHLO (`extended`) or HELO is out.
    Hello {
        extended: bool,
    },
    StartTls,
    Securing,
    /// An XCLIENT is out, and the rest of them is still to be said.
    Xclient {
        rest: VecDeque<Vec<u8>>,
    },
    /// AUTH is out, and these answers are still to be given.
    Auth {
        mechanism: Mechanism,
        answers: VecDeque<Secret>,
        /// The error challenge, once it came.
        sasl: Option<String>,
    },
    /// MAIL is out, and `piped`: RCPT behind it.
    Mail {
        piped: bool,
    },
    Rcpt,
    #[default]
    Settled,
}

impl<F: Flavour> Dialogue for Back<F> {
    type Command<'a> = Reply<'a>;
    type Breach = reply::Error;
    const WORDS: &'static Words = F::WORDS;

    fn parse<'a>(&self, unread: &'a [u8]) -> Parsed<Reply<'a>, reply::Error> {
        reply::parse(unread)
    }

    /// The whole dialogue on one page: one arm per thing that may happen.
    fn on(&mut self, event: Event<Reply<'_>, reply::Error>, act: &mut Vec<Action>) {
        use Event as E;
        use State as S;

        self.state = match (mem::take(&mut self.state), event) {
            (S::New, E::Opened) => match self.first_unfit() {
                Some(what) => misbehaved(what, act),
                None => S::Greeting,
            },
            (S::Greeting, E::Command(Reply { code: 220, .. })) => self.go_on(act),

            (S::Hello { extended }, E::Command(reply)) if reply.is_good() => {
                let known =
                    if extended { Capabilities::read(&reply) } else { Capabilities::none() };
                self.known = Some(known);
                self.go_on(act)
            }
            // RFC 5321 §3.2: a server from before the extensions does not know the word.
            (S::Hello { extended: true }, E::Command(Reply { code: 500 | 502 | 504, .. }))
                if !F::IS_LMTP =>
            {
                self.introduce(false, act)
            }

            (S::StartTls, E::Command(Reply { code: 220, .. })) => {
                act.push(Action::StartTls);
                S::Securing
            }
            (S::StartTls, E::Command(_)) => misbehaved("STARTTLS refused", act),
            (S::Securing, E::Secured(_)) => {
                self.secured = true;
                self.known = None;
                self.go_on(act)
            }

            (S::Xclient { rest }, E::Command(reply)) if reply.is_good() => {
                self.as_client = true;
                self.tell(rest, act)
            }
            (S::Xclient { .. }, E::Command(reply)) if reply.code / 100 == 5 => {
                if !F::IS_LMTP && self.ask.envelope.is_some() && !self.logs_in() {
                    let what = "XCLIENT refused, and without a login nothing else tells the client";
                    return self.state = misbehaved(what, act);
                }
                self.tell(VecDeque::new(), act)
            }

            (S::Auth { .. }, E::Command(reply)) if reply.is_good() => {
                self.logged_in = true;
                self.go_on(act)
            }
            (S::Auth { mechanism, answers, sasl: None }, E::Command(reply))
                if reply.code == 334 =>
            {
                challenged(mechanism, answers, &reply, act)
            }
            (S::Auth { sasl, .. }, E::Command(reply)) if reply.code >= 400 => {
                let kind = match reply.code {
                    400..=499 => Kind::Unavailable,
                    530 | 534 | 538 => Kind::Forbidden,
                    _ => Kind::BadCredentials,
                };
                refused(kind, &reply, sasl, act)
            }

            (S::Mail { piped }, E::Command(reply)) if reply.is_good() => {
                if let Some(envelope) = self.ask.envelope.as_ref().filter(|_| !piped) {
                    say(&[&envelope.rcpt], act);
                }
                S::Rcpt
            }
            (S::Mail { .. }, E::Command(reply)) if reply.code / 100 == 5 => {
                refused(Kind::Forbidden, &reply, None, act)
            }
            (S::Rcpt, E::Command(reply)) => self.accepted(Some(reply.whole.to_vec()), act),

            // Nobody's credentials were seen yet, or it is too early to tell: about the upstream.
            (
                S::Greeting | S::Hello { .. } | S::Xclient { .. } | S::Mail { .. },
                E::Command(reply),
            ) if reply.code >= 400 => refused(Kind::Unavailable, &reply, None, act),

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

impl<F: Flavour> Back<F> {
    pub fn new(ask: Ask) -> Self {
        Self {
            ask,
            state: State::New,
            secured: false,
            told: false,
            as_client: false,
            logged_in: false,
            known: None,
            flavour: PhantomData,
        }
    }

    /// What of the ask would break the protocol. The fronts refuse it, and so does the lookup; here
    /// is where it would do harm.
    fn first_unfit(&self) -> Option<&'static str> {
        let Ask { user, authzid, secret, envelope, .. } = &self.ask;
        let authzid = authzid.as_deref().unwrap_or_default();
        let ends_a_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        if [&**user, authzid, secret.reveal()].into_iter().flatten().any(ends_a_line) {
            return Some("credentials that would break the protocol were not sent");
        }
        let envelope = envelope.as_deref()?;
        let is = |line: &[u8], fits: fn(&Command<'_>) -> bool| {
            let whole = [line, b"\r\n"].concat();
            let parsed = command::parse(&whole, MOST_LINE);
            matches!(&parsed, Parsed::Whole(one, used) if *used == whole.len() && fits(one))
        };
        let fits = is(&envelope.mail, |one| matches!(one, Command::Mail(_)))
            && is(&envelope.rcpt, |one| matches!(one, Command::Rcpt(_)));
        (!fits).then_some("an envelope that would break the protocol was not sent")
    }

    /// Whether AUTH is to be said.
    fn logs_in(&self) -> bool {
        !F::IS_LMTP && self.ask.smtp_auth != SmtpAuth::Off
    }

    /// Takes the next step: the first of these that is wanted and still to be done.
    fn go_on(&mut self, act: &mut Vec<Action>) -> State {
        let Some(known) = &self.known else {
            return self.introduce(self.wants_extensions(), act);
        };
        if self.ask.starttls && !self.secured {
            if !known.starttls {
                return misbehaved("STARTTLS is not offered", act);
            }
            say(&[b"STARTTLS"], act);
            return State::StartTls;
        }
        if !self.told {
            let lines = self.identity(known).into();
            return self.tell(lines, act);
        }
        if self.logs_in() && !self.logged_in {
            return match proof::plan(&self.ask, known) {
                Ok(Plan { mechanism, command, in_confidence, answers }) => {
                    act.push(match in_confidence {
                        true => Action::SayInConfidence(command),
                        false => Action::Say(command.reveal().to_vec()),
                    });
                    State::Auth { mechanism, answers, sasl: None }
                }
                Err(what) => misbehaved(what, act),
            };
        }
        match &self.ask.envelope {
            None => self.accepted(None, act),
            Some(envelope) => {
                say(&[&envelope.mail], act);
                if known.pipelining {
                    say(&[&envelope.rcpt], act);
                }
                State::Mail { piped: known.pipelining }
            }
        }
    }

    /// Whether HELO will not do. A client that has said HELO itself may be used to its replies; but
    /// not to what of ours hangs on EHLO.
    fn wants_extensions(&self) -> bool {
        let said_helo = self.ask.identity.helo.as_ref().is_some_and(|helo| !helo.extended);
        let ours = self.ask.starttls && !self.secured || self.logs_in();
        let asks = !self.as_client && self.ask.xclient != Tell::Off;
        !said_helo || ours || asks
    }

    /// Says EHLO, LHLO or HELO.
    fn introduce(&self, extended: bool, act: &mut Vec<Action>) -> State {
        let word: &[u8] = match (F::IS_LMTP, extended) {
            (true, _) => b"LHLO ",
            (false, true) => b"EHLO ",
            (false, false) => b"HELO ",
        };
        let own = Some(&self.ask.identity.name).filter(|name| is_name(name.as_bytes()));
        let own = own.map_or("localhost", |name| name);
        let name = if self.as_client { self.client_name().unwrap_or(own) } else { own };
        say(&[word, name.as_bytes()], act);
        State::Hello { extended: extended || F::IS_LMTP }
    }

    /// The name behind the client's own HELO.
    fn client_name(&self) -> Option<&str> {
        let helo = self.ask.identity.helo.as_ref()?;
        is_name(helo.name.as_bytes()).then_some(&helo.name)
    }

    /// Says the first of these XCLIENTs; when there are no more, introduces the client.
    fn tell(&mut self, mut lines: VecDeque<Vec<u8>>, act: &mut Vec<Action>) -> State {
        if let Some(line) = lines.pop_front() {
            act.push(Action::Say(line));
            return State::Xclient { rest: lines };
        }
        self.told = true;
        // The session has begun anew. A client that has not introduced itself will do so when it is
        // in; but for a login of ours, and for LMTP, somebody must.
        if self.as_client && (self.client_name().is_some() || self.logs_in() || F::IS_LMTP) {
            self.known = None;
        }
        self.go_on(act)
    }

    /// The client's identity as XCLIENT lines; none: it is not told.
    fn identity(&self, known: &Capabilities) -> Vec<Vec<u8>> {
        // nginx's, in its order.
        let usual = [Attribute::Addr, Attribute::Login, Attribute::Name];
        let listed = known.xclient.as_deref();
        let attributes = match self.ask.xclient {
            Tell::Off => return Vec::new(),
            Tell::Auto if listed.is_none() => return Vec::new(),
            Tell::Auto | Tell::On => listed.filter(|list| !list.is_empty()).unwrap_or(&usual),
        };
        let values = attributes.iter().filter_map(|one| Some((*one, self.value(*one)?)));
        xclient::write(&values.collect::<Vec<_>>())
    }

    fn value(&self, attribute: Attribute) -> Option<Vec<u8>> {
        let Identity { client, host, local, helo, session, ttl, .. } = &self.ask.identity;
        Some(match attribute {
            Attribute::Name => match host.as_str() {
                "[UNAVAILABLE]" | "[TEMPUNAVAIL]" => host.as_str(),
                host if is_host(host.as_bytes()) => host,
                _ => "[UNAVAILABLE]",
            }
            .into(),
            // A name that a lookup confirms is the one that the reverse lookup brought.
            Attribute::ReverseName if is_host(host.as_bytes()) => host.as_str().into(),
            Attribute::ReverseName => return None,
            Attribute::Addr => addr_value(client.ip()),
            Attribute::Port => client.port().to_string().into(),
            Attribute::Proto => match helo {
                _ if F::IS_LMTP => "LMTP",
                Some(helo) if helo.extended => "ESMTP",
                Some(_) => "SMTP",
                None => return None,
            }
            .into(),
            Attribute::Helo => self.client_name()?.into(),
            // Who logs in by AUTH says so there.
            Attribute::Login => {
                let user = self.ask.authzid.as_deref().unwrap_or(&self.ask.user);
                (!self.logs_in() && !user.is_empty()).then(|| user.to_vec())?
            }
            Attribute::DestAddr => addr_value(local.ip()),
            Attribute::DestPort => local.port().to_string().into(),
            Attribute::Session => Some(session.as_bytes()).filter(|id| is_name(id))?.to_vec(),
            Attribute::Ttl => ttl.to_string().into(),
        })
    }

    fn accepted(&mut self, text: Option<Vec<u8>>, act: &mut Vec<Action>) -> State {
        let offers = self.known.take().map(|known| known.offers).unwrap_or_default();
        settle(Verdict::Accepted(Granted { text, offers, ..Granted::default() }), act)
    }
}

/// Answers a challenge. An OAuth mechanism that is challenged with words has failed, and hears why
/// once it has said that it is ready to (RFC 7628 §3.2.3; Google's XOAUTH2 wants an empty line).
fn challenged(
    mechanism: Mechanism,
    mut answers: VecDeque<Secret>,
    reply: &Reply<'_>,
    act: &mut Vec<Action>,
) -> State {
    let text = reply.lines().next().unwrap_or_default().trim_ascii();
    if mechanism.brings_token() && (!text.is_empty() || answers.is_empty()) {
        let is_ready = if mechanism == Mechanism::OauthBearer { &b"AQ=="[..] } else { b"" };
        say(&[is_ready], act);
        let is_base64 = sasl::decode(text, &mut Vec::new());
        let sasl = is_base64.then(|| String::from_utf8_lossy(text).into_owned());
        // Some, even if it cannot be passed on: there is no third challenge.
        return State::Auth {
            mechanism,
            answers: VecDeque::new(),
            sasl: sasl.or_else(|| Some(String::new())),
        };
    }
    match answers.pop_front() {
        Some(answer) => {
            act.push(Action::SayInConfidence(answer));
            State::Auth { mechanism, answers, sasl: None }
        }
        None => misbehaved("one challenge too many after AUTH", act),
    }
}

fn refused(kind: Kind, reply: &Reply<'_>, sasl: Option<String>, act: &mut Vec<Action>) -> State {
    let sasl = sasl.filter(|challenge| !challenge.is_empty());
    let text = reply.one_line();
    settle(Verdict::Refused { kind, text, untagged: Vec::new(), sasl }, act)
}

fn misbehaved(what: &str, act: &mut Vec<Action>) -> State {
    settle(Verdict::Misbehaved(what.to_owned()), act)
}

fn settle(verdict: Verdict, act: &mut Vec<Action>) -> State {
    act.push(Action::Settle(verdict));
    State::Settled
}

fn say(parts: &[&[u8]], act: &mut Vec<Action>) {
    act.push(Action::Say([&parts.concat(), &b"\r\n"[..]].concat()));
}

impl State {
    /// Where the dialogue stood, for the log.
    fn place(&self) -> &'static str {
        match self {
            Self::New | Self::Greeting => "in place of a greeting",
            Self::Hello { .. } => "after EHLO",
            Self::StartTls | Self::Securing => "after STARTTLS",
            Self::Xclient { .. } => "after XCLIENT",
            Self::Auth { .. } => "after AUTH",
            Self::Mail { .. } => "after MAIL",
            Self::Rcpt => "after RCPT",
            Self::Settled => "after the login",
        }
    }
}

/// What must hold for any bytes from an upstream, whatever is asked; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    super::hold::back(input);
}

#[cfg(test)]
mod tests;
