//! The lookup service: gatepost tells an nginx (`auth_http`), a Zimbra proxy or another gatepost
//! where a user goes. What is asked and said is [`route::lookup::nle::serve`](serve)'s affair; who
//! may ask, whom the question is put to and how long that may take is decided here.
//!
//! **In and out.** [`Lookups`] answers [`Request`]s with what a [`Router`] of names alone finds
//! ([`route::Settings::for_names_alone`](crate::route::Settings::for_names_alone)). [`directives`]
//! reads `lookup_server`.
//!
//! **Promises.**
//! - Nobody is answered whose address is not allowed; it is hung up on before a byte is read.
//! - No password in a question is looked at, kept or passed on, and none is in an answer.
//! - Each question has its answer within [`DEADLINE`]: "temporary" if nothing else.
//! - Who does not exist is never confused with who cannot be found now.
//!
//! **What is kept.** There is no upstream's yes to wait for, as there is before a login's route is
//! kept. A route that hangs on nothing but the names is kept all the same, as Zimbra's proxy keeps
//! what its servlet says: whoever asks can make us keep no more than what the sources say of that
//! name. What is wrong about it ends with its time, with a purge, with a login here that fails by
//! it, or with the asker's client: a second attempt (`Auth-Login-Attempt`) is looked up again.
//!
//! **Limits.** Sessions that others hold are not counted: `least_conn` and `max_conns` see those
//! through this gatepost alone. The TLS that a row or a handler wants towards the upstream cannot be
//! told; the asker has its own setting for that. A server at a unix path can be told to nobody.

pub mod directives;
mod peers;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::time::{Instant, timeout};

use self::directives::Settings;
use self::peers::Complaint;
use crate::http::server::{Answer, Insecure, Limits, Pages, Request};
use crate::login::{Attempt, Kind, Mechanism, Secret, words};
use crate::net::{Endpoint, Place};
use crate::observe::escape::Quoted;
use crate::observe::{Level, Log, Metrics, names};
use crate::route::handler::Denied;
use crate::route::lookup::nle::serve::{self, Question, Reply};
use crate::route::{Asker, Error, NotFound, Origin, Reason, Route, Router};

/// For one answer, whatever the sources' own timeouts are.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Every proxy opens a connection for each question, and several of them may hang on a slow source.
pub const LIMITS: Limits = Limits {
    connections: 1024,
    head: Duration::from_secs(10),
    // nginx may send a client's certificate along.
    head_size: 16 << 10,
    life: Duration::from_secs(600),
};

/// Completes a name without a domain, by the address of the proxy that the client came to.
pub type Qualify = Arc<dyn Fn(&[u8], Option<IpAddr>) -> Option<Box<[u8]>> + Send + Sync>;

/// Answers at one `lookup_server`.
pub struct Lookups {
    settings: Settings,
    router: Router,
    qualify: Option<Qualify>,
    log: Log,
    metrics: Metrics,
    complaint: Complaint,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookups({:?})", self.settings)
    }
}

impl Lookups {
    /// `router`: of sources that are shown no secrets.
    pub fn new(
        settings: Settings,
        router: Router,
        qualify: Option<Qualify>,
        log: Log,
        metrics: Metrics,
    ) -> Self {
        let complaint = Complaint::default();
        Self { settings, router, qualify, log, metrics, complaint }
    }

    async fn rule(&self, question: &Question, from: &Endpoint) -> Reply {
        match timeout(DEADLINE, self.look_up(question, from)).await {
            Ok(reply) => reply,
            Err(_) => {
                self.tell(Level::Error, question, from, &"no answer in time");
                Reply::Temporary
            }
        }
    }

    async fn look_up(&self, question: &Question, from: &Endpoint) -> Reply {
        let is_bare = !question.user.contains(&b'@');
        let whole = self.qualify.as_ref().filter(|_| is_bare);
        let whole = whole.and_then(|qualify| qualify(&question.user, question.proxy));
        let user = whole.unwrap_or_else(|| question.user.clone());
        if self.router.is_in_maintenance(&user) {
            self.tell(Level::Info, question, from, &"maintenance");
            return Reply::Temporary;
        }
        // How the password is known is not our affair; the routes are those of people with one.
        let attempt = Attempt::new(Mechanism::Plain, user, Secret::default());
        let asker = asker(question);
        let tell = |error: Error| self.tell(error.level(), question, from, &error);
        let mut route = match self.find(question, &attempt, &asker, &tell).await {
            Ok(route) => route,
            Err(not_found) => {
                if let Some(cause) = &not_found.cause {
                    self.tell(cause.level(), question, from, cause);
                }
                return unfound(not_found);
            }
        };
        let at = self.router.address(&mut route, &attempt.user, port(question), &tell).await;
        let server = match at {
            Some(at @ Endpoint::Tcp(_)) => Place::Fixed(at),
            Some(Endpoint::Unix(path)) => {
                let words = format!("nobody else can reach {}", path.display());
                self.tell(Level::Error, question, from, &words);
                return Reply::Temporary;
            }
            None => {
                self.tell(Level::Error, question, from, &"no server can be used");
                return Reply::Temporary;
            }
        };
        if route.keepable {
            self.router.keep(&attempt, &asker, &route);
        }
        let account = route.account.or(route.user).unwrap_or(attempt.user);
        Reply::Found { server, account, alias_ok: route.is_alias }
    }

    /// What is known, unless that has just led a client of the asker nowhere.
    async fn find(
        &self,
        question: &Question,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Route, NotFound> {
        let route = self.router.find(attempt, asker, tell).await?;
        if question.attempt <= 1 || route.origin == Origin::Fresh {
            return Ok(route);
        }
        match self.router.find_anew(attempt, asker, tell, Reason::LoginRefused).await {
            Err(not_found) if is_for_later(&not_found) => Ok(route),
            anew => anew,
        }
    }

    fn tell(&self, level: Level, question: &Question, from: &Endpoint, what: &dyn fmt::Display) {
        let login = Quoted(&question.user);
        let words = format_args!(
            "{what} while answering a lookup, asker: {from}, login: \"{login}\", protocol: {}",
            question.protocol
        );
        self.log.line(level, None, words);
    }

    fn count(&self, protocol: &str, result: &str, began: Instant) {
        self.metrics.counter(&names::QUESTIONS, &[protocol, result]).inc();
        let took = began.elapsed().as_secs_f64();
        self.metrics.histogram(&names::QUESTION_SECONDS, &[]).observe(took);
    }

    fn refused(&self, reason: &str, level: Level, words: &dyn fmt::Display) {
        self.metrics.counter(&names::QUESTION_PEERS_REFUSED, &[reason]).inc();
        if let Some(others) = self.complaint.is_due(Instant::now()) {
            let others = match others {
                0 => String::new(),
                others => format!(" ({others} more lately)"),
            };
            self.log.line(level, None, format_args!("{words}{others}"));
        }
    }
}

impl Pages for Lookups {
    fn admits(&self, from: &Endpoint) -> bool {
        let is_allowed = self.settings.allows(from);
        if !is_allowed {
            let words = format_args!("{from} may not ask for routes, closing its connection");
            self.refused("address", Level::Error, &words);
        }
        is_allowed
    }

    async fn answer(&self, request: Request) -> Answer {
        if request.path != self.settings.path {
            return Answer::plain(StatusCode::NOT_FOUND);
        }
        if request.method != Method::GET {
            let refused = Answer::plain(StatusCode::METHOD_NOT_ALLOWED);
            return Answer { allow: Some("GET"), ..refused };
        }
        let began = Instant::now();
        let question = serve::read(&request.headers);
        let reply = match &question {
            Ok(question) => self.rule(question, &request.from).await,
            Err(fault) => {
                let from = &request.from;
                let words = format_args!("{fault} in a lookup, asker: {from}");
                self.log.line(Level::Info, None, words);
                Reply::Refused(fault.to_string())
            }
        };
        let (protocol, result) = match (&question, &reply) {
            (Err(_), _) => ("", "malformed"),
            (Ok(question), Reply::Found { .. }) => (question.protocol, "found"),
            (Ok(question), Reply::Unknown) => (question.protocol, "unknown"),
            (Ok(question), Reply::Refused(_)) => (question.protocol, "refused"),
            (Ok(question), Reply::Temporary) => (question.protocol, "temporary"),
        };
        self.count(protocol, result, began);
        let (head, ()) = serve::reply(question.as_ref(), &reply, self.settings.wait).into_parts();
        Answer { headers: head.headers, ..Answer::empty(head.status) }
    }

    fn insecure(&self, from: &Endpoint, why: Insecure) {
        self.refused(
            "tls",
            Level::Info,
            &format_args!("{why} while {from} wanted to ask for routes"),
        );
    }
}

/// The asker's client, as if it had come to us.
fn asker(question: &Question) -> Asker {
    let end = |ip: Option<IpAddr>| match ip {
        Some(ip) => Endpoint::from(SocketAddr::new(ip, 0)),
        None => Endpoint::Unix(PathBuf::new()),
    };
    Asker {
        protocol: question.protocol,
        client: end(question.client),
        host: None,
        local: end(question.proxy),
        secure_upstream: question.secure,
        attempt: question.attempt,
        tls: None,
        proxied: None,
        headers: Vec::new(),
    }
}

/// Where an upstream without a port is reached: by the protocol that the asker will speak.
fn port(question: &Question) -> u16 {
    let known = words::ALL.into_iter().find(|words| words.name == question.protocol);
    match (known, question.secure) {
        (Some(words), false) => words.port,
        (Some(words), true) => words.tls_port,
        // Zimbra's console.
        (None, _) if question.admin => 7071,
        (None, false) => 80,
        (None, true) => 443,
    }
}

fn is_for_later(not_found: &NotFound) -> bool {
    matches!(not_found.refusal.kind, Kind::Unavailable | Kind::Internal)
}

fn unfound(not_found: NotFound) -> Reply {
    if is_for_later(&not_found) {
        return Reply::Temporary;
    }
    match not_found.cause {
        Some(Error::Denied { denied: Denied::Refused(denied), .. }) => Reply::Refused(denied.text),
        Some(_) => Reply::Unknown,
        None if not_found.keepable => Reply::Unknown,
        None => Reply::Refused(not_found.refusal.text.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
