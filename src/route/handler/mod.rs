//! The lookup handlers: the services that `auth_http` and `lookup` name, and how they are asked.
//!
//! **In and out.** A [`Handler`] takes an [`Attempt`] and its [`Asker`] and gives a [`Ruling`], or
//! why there is none. What is known of each URL is in the [`Registry`], which outlives a reload.
//!
//! **Promises.**
//! - The whole exchange ends within `timeout`; only what `Auth-Wait` asks for does not count.
//! - Of several handlers one that hangs costs a login less than a second, unless `hedge` is off: a
//!   second one is asked after what the first seldom exceeds, or once it has fallen silent.
//! - A question is put to a handler once at the most, and to another one only then: it changes
//!   nothing where it is asked, whatever it carries, so it may be.
//! - A handler that was set aside is seen after by one question at a time. If all are, they are asked
//!   all the same.
//! - Identical questions without a secret that are on their way at one time are asked once. One with
//!   a secret is nobody else's.
//!
//! **Limits.** `auth_http` asks by turns, without a second question, as it always has.

pub mod edge;
mod figures;
mod flight;
mod hedge;
pub mod keep;
mod make;
mod peer;
mod race;
pub mod registry;
pub mod show;
pub mod state;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::time::sleep;

pub use edge::Edge;
pub use hedge::Hedge;
pub use registry::Registry;

use super::asker::Asker;
use super::directives::Settings;
use super::fleet::Fleet;
use super::lookup::{self, Accepted, Answer, Flaw, Manner, Refused, nle};
use crate::http::{Names, Url};
use crate::login::{Attempt, Mechanism, Secret};
use crate::tls::client::Connectors;
use flight::Outcome;
use hedge::Budget;
use make::Maker;
use peer::Peer;

/// How often a handler may say `WAIT` about one attempt.
pub const MAX_WAITS: u32 = 20;

/// How long a handler of `auth_http` that has failed is passed over, if there are others.
pub const REST: Duration = Duration::from_secs(10);

/// One lookup: several handlers, any of which knows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handler(Arc<Lookup>);

#[derive(Debug)]
struct Lookup {
    /// Of a `lookup` block; none for `auth_http`.
    name: Option<Box<str>>,
    way: Arc<Way>,
    /// Never none.
    peers: Vec<Arc<Peer>>,
    /// Counts the questions, so that each begins at the next peer.
    turn: AtomicUsize,
    timeout: Duration,
    picks: Picks,
    hedge: Hedge,
    budget: Mutex<Budget>,
    /// What is found without a secret may be kept.
    keeps: bool,
    registry: Registry,
}

/// Which handler is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picks {
    Turns,
    /// The better one of two that chance has drawn.
    Two,
}

/// How handlers are asked, and understood.
#[derive(Debug)]
enum Way {
    Http {
        strict: bool,
        certificate: bool,
        password: bool,
        /// Those of the lookup itself; `auth_http` has those of the session.
        headers: Option<Headers>,
    },
    Nle {
        words: nle::Words,
        password: bool,
        master: Option<(Box<str>, Secret)>,
        headers: Headers,
    },
}

type Headers = Arc<[(HeaderName, HeaderValue)]>;

/// What a handler said.
#[derive(Clone, Debug)]
enum Said {
    Http(Answer),
    Nle(nle::Answer),
}

/// What a handler ruled, and who it was: `A:P`.
#[derive(Clone, Debug)]
pub enum Ruling {
    Accepted(Accepted, String),
    Refused(Refused),
    /// By Zimbra's protocol.
    Found(nle::Found, String),
    Denied(Denied, String),
}

/// Zimbra's protocol tells who is refused from who is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Unknown(nle::Denied),
    Refused(nle::Denied),
}

/// What is to be made of an answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regard {
    /// Who answers has seen, or been told, that the client is who it says.
    pub vouches: bool,
    /// The answer hangs on nothing but names.
    pub keepable: bool,
}

/// A handler that could not be asked or understood, and who it is: `A:P`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} {server} {flaw}")]
pub struct Error {
    what: &'static str,
    pub server: String,
    pub flaw: Flaw,
}

impl Handler {
    /// All lookups of `settings`, those with names first, in their order. Reads certificates.
    pub fn all(
        settings: &Settings,
        names: &Names,
        connectors: &mut Connectors,
        fleet: &Fleet,
    ) -> Result<Vec<Self>, String> {
        let mut maker = Maker { names, connectors, fleet };
        let mut all = Vec::new();
        for lookup in settings.lookups.iter() {
            all.push(maker.named(lookup)?);
        }
        if !settings.auth_http.is_empty() {
            all.push(maker.anonymous(settings)?);
        }
        Ok(all)
    }

    /// Of a `lookup` block; none for `auth_http`.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Its configuration is in force: what is known of its URLs follows that.
    pub fn take_effect(&self) {
        for Peer { state, terms, .. } in self.0.peers.iter().map(|peer| &**peer) {
            self.0.registry.adopt(state, terms.0, &terms.1);
        }
    }

    /// Whether it is shown passwords and tokens.
    pub fn is_shown_secrets(&self) -> bool {
        match &*self.0.way {
            Way::Http { password, .. } | Way::Nle { password, .. } => *password,
        }
    }

    /// What may be made of the answer about `attempt`.
    pub fn regard(&self, attempt: &Attempt) -> Regard {
        self.0.regard(attempt)
    }

    /// Asks about `attempt`, and again as long as it is told to wait. A failure that another peer
    /// makes up for is told to `tell`.
    pub async fn ask(
        &self,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Ruling, Error> {
        let Some(key) = self.0.key(attempt, asker) else {
            return self.0.ask(attempt, asker, tell).await;
        };
        let flights = Arc::clone(self.0.registry.flights());
        let outcome = flights.share(&key, || {
            let (own, attempt, asker) = (Arc::clone(&self.0), attempt.clone(), asker.clone());
            async move {
                let told = Mutex::new(Vec::new());
                let keep = |error| told.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                let ruling = own.ask(&attempt, &asker, &keep).await;
                Outcome { ruling, told }
            }
        });
        let Some(outcome) = outcome.await else {
            return Err(self.0.error(self.0.peers[0].url.origin.to_string(), Flaw::Lost));
        };
        let told =
            std::mem::take(&mut *outcome.told.lock().unwrap_or_else(PoisonError::into_inner));
        told.into_iter().for_each(tell);
        outcome.ruling.clone()
    }

    /// What has turned since somebody asked last, each told once.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + use<> {
        self.0.registry.edges().take().into_iter()
    }
}

impl Lookup {
    async fn ask(
        &self,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Ruling, Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let question = |peer: &Peer| self.way.question(&peer.url, attempt, asker);
        let mut waits = 0;
        loop {
            let (said, server) = self.ask_any(turn, &question, tell).await?;
            let wait = match said {
                Said::Http(Answer::Accepted(accepted)) => {
                    if let Some(name) = self.claims(attempt, &accepted) {
                        return Err(self.error(server, Flaw::Vouches(name)));
                    }
                    return Ok(Ruling::Accepted(accepted, server));
                }
                Said::Http(Answer::Refused(refused)) => return Ok(Ruling::Refused(refused)),
                Said::Nle(nle::Answer::Found(found)) => return Ok(Ruling::Found(found, server)),
                Said::Nle(nle::Answer::Unknown(denied)) => {
                    return Ok(Ruling::Denied(Denied::Unknown(denied), server));
                }
                Said::Nle(nle::Answer::Refused(denied)) => {
                    return Ok(Ruling::Denied(Denied::Refused(denied), server));
                }
                Said::Http(Answer::Wait(wait)) | Said::Nle(nle::Answer::Wait(wait)) => wait,
            };
            if waits == MAX_WAITS {
                return Err(self.error(server, Flaw::WaitsForEver(waits + 1)));
            }
            waits += 1;
            sleep(wait).await;
        }
    }

    /// What an answer claims that only who has seen the client's secret could: with it anybody would
    /// be let in.
    fn claims(&self, attempt: &Attempt, accepted: &Accepted) -> Option<&'static str> {
        if self.regard(attempt).vouches {
            return None;
        }
        match accepted {
            Accepted { secret: Some(_), .. } => Some("Auth-Pass"),
            Accepted { master: true, .. } => Some("Auth-Upstream-Master"),
            _ => None,
        }
    }

    fn regard(&self, attempt: &Attempt) -> Regard {
        let mechanism = attempt.mechanism;
        // With two names it is not one alone that the answer hangs on.
        let keeps = self.keeps && attempt.authzid.is_none();
        match &*self.way {
            Way::Http { password: true, .. } => Regard { vouches: true, keepable: false },
            Way::Http { .. } => {
                let shows = mechanism.brings_password() || mechanism.brings_token();
                // A digest is a proof, which it has not seen. What proves itself otherwise has.
                let vouches = !shows && !mechanism.brings_digest();
                Regard { vouches, keepable: shows && keeps }
            }
            Way::Nle { password, .. } => {
                let keepable = mechanism != Mechanism::Gssapi && !password && keeps;
                Regard { vouches: false, keepable }
            }
        }
    }

    /// All that the answer to a question may hang on; none if that includes a secret.
    fn key(&self, attempt: &Attempt, asker: &Asker) -> Option<Vec<u8>> {
        let is_open = match &*self.way {
            Way::Http { password, .. } => !password,
            Way::Nle { password, .. } => !password && attempt.mechanism != Mechanism::Gssapi,
        };
        if !is_open {
            return None;
        }
        let mut key = self.label().as_bytes().to_vec();
        key.push(b'\n');
        for peer in &self.peers {
            key.extend_from_slice(peer.state.url.as_bytes());
            key.push(b'\n');
        }
        let question = self.way.question(&self.peers[0].url, attempt, asker);
        for (name, value) in question.headers() {
            // These two say which session it is, and nobody is sent elsewhere for that.
            if name != "auth-login-attempt" && name != "client-port" {
                key.extend_from_slice(name.as_str().as_bytes());
                key.push(b':');
                key.extend_from_slice(value.as_bytes());
                key.push(b'\n');
            }
        }
        Some(key)
    }

    fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("auth_http")
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, server: String, flaw: Flaw) -> Error {
        Error { what: self.way.name(), server, flaw }
    }
}

impl Way {
    /// What a handler is called in errors: as nginx does, or Zimbra.
    fn name(&self) -> &'static str {
        match self {
            Self::Http { .. } => "auth http server",
            Self::Nle { .. } => "lookup handler",
        }
    }

    fn question(&self, url: &Url, attempt: &Attempt, asker: &Asker) -> Request<()> {
        match self {
            Self::Http { certificate, password, headers, .. } => {
                let headers = headers.as_deref().unwrap_or(&asker.headers);
                let manner = Manner { certificate: *certificate, password: *password, headers };
                lookup::question(url, attempt, asker, manner)
            }
            Self::Nle { password, master, headers, .. } => {
                let (password, master) = (*password, master.as_ref());
                let manner = nle::Manner { password, master, headers };
                nle::question(url, attempt, asker, manner)
            }
        }
    }

    /// Whether the answer to `question` may bring a password although none was shown.
    fn asks_for_token(&self, question: &Request<()>) -> bool {
        matches!(self, Self::Nle { .. }) && question.headers().contains_key("auth-id")
    }

    fn understand(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        with_token: bool,
    ) -> Result<Said, Flaw> {
        match self {
            Self::Http { strict, .. } => lookup::answer(status, headers, *strict).map(Said::Http),
            Self::Nle { words, .. } => {
                nle::answer(status, headers, words, with_token).map(Said::Nle)
            }
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(denied) | Self::Refused(denied) => f.write_str(&denied.text),
        }
    }
}

#[cfg(test)]
mod tests;
