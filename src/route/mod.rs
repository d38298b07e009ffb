//! # route: which upstream does this login go to?
//!
//! Asks, in this order, the `route` table and the lookup handler at `auth_http`; the first that
//! knows the login decides. What may be kept of that is, in [`cache`]. It knows no protocol: a refusal gets its words elsewhere.
//!
//! **In and out.** [`Router::find`] takes a [`login::Attempt`](Attempt) and the [`Asker`] and gives
//! a [`Route`]: whose [`Targets`] are the addresses to try in order, what name and password to use
//! there, and what else a handler said of it. Or it gives [`NotFound`]: what the client is told and
//! what the log is told. What went wrong on the way and did no harm is told as it happens.
//!
//! **Directives.** `auth_http` and its kin, `route`, `upstream`, `resolver`, in [`directives`].
//!
//! **Promises.**
//! - A password goes to the handler at `auth_http` and nowhere else; no error holds one.
//! - What is found for one attempt is never given to another.
//! - Nothing that a client says names a file, or a server that its row does not leave open.
//! - A host's name is resolved again when its answer has aged; an address that cannot be reached
//!   leaves the next one to be tried.
//!
//! **Limits.** With an authorization identity, the table is asked for that name (whose mailbox it
//! is) and the handler for the authentication identity (whose password it is). Handlers and servers
//! are of equal weight.

mod asker;
mod cache;
mod cached;
pub mod directives;
pub mod fleet;
mod group;
mod handler;
mod header;
mod lookup;
pub mod order;
mod table;
mod template;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{HeaderName, HeaderValue};

pub use asker::{Asker, Certificate, Proxied, Tls};
pub use cache::directives::DIRECTIVES as CACHE_DIRECTIVES;
pub use cache::hold_for_any as hold_cache_for_any;
#[allow(unused_imports, reason = "for whoever purges and lists, and for the web")]
pub use cache::{Ask, Format, Purge, PurgeReport, Reason, Role, Routes, Row};
pub use directives::{DIRECTIVES, Settings};
pub use fleet::Fleet;
pub use group::{Group, Target, Targets};
pub use lookup::hold_for_any;

use crate::http::Names;
use crate::login::{Attempt, Kind, Mechanism, Refusal, Secret};
use crate::observe::Level;
use crate::observe::access::Line;
use crate::tls::client::Connectors;
use crate::tls::directives::Mode;
use group::{Groups, Server};
use handler::{Handler, Ruling};
use header::Header;
use lookup::{Accepted, Refused};
use table::{Destination, Found, Table};

/// Finds routes for the logins of one virtual host. Shared by its sessions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Router {
    /// Asked in this order, until one knows.
    sources: Arc<[Source]>,
    groups: Arc<Groups>,
    cache: cache::Settings,
    headers: Arc<[Header]>,
    names: Names,
    fleet: Fleet,
}

/// Someone who may know where a login goes.
#[derive(Debug)]
enum Source {
    Table(Arc<Table>),
    Handler(Box<Handler>),
}

/// Where a login goes, and as whom.
#[derive(Debug)]
pub struct Route {
    pub targets: Targets,
    /// The group they belong to; none where an address was given.
    pub group: Option<Arc<Group>>,
    /// Replaces the name whose password it is.
    pub user: Option<Box<[u8]>>,
    /// Replaces the name whose mailbox it is, of a login that has one apart.
    pub authzid: Option<Box<[u8]>>,
    /// Replaces the password.
    pub secret: Option<Secret>,
    /// A lookup handler has vouched for the login: the table cannot.
    pub is_checked: bool,
    /// The handler that was asked, `A:P`.
    pub handler: Option<Box<str>>,
    /// The upstream's TLS, where the handler has a say in it (`Auth-Upstream-TLS`).
    pub security: Option<Mode>,
    /// The master is to log in (`Auth-Upstream-Master`).
    pub master: bool,
    pub origin: Origin,
    /// The answer hung on nothing but the names in the question: no secret was shown, none came back.
    /// Such a one may be kept for the next login.
    pub keepable: bool,
    /// The name in [`user`](Self::user) is the account's wherever the typed one is used
    /// (`Auth-Cache-Alias`).
    pub is_alias: bool,
    verifier: Option<Secret>,
    /// What the cache had to do with it.
    trace: cache::Trace,
}

/// How a route came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A source has just said it, or it stands in the configuration: asking again would bring the
    /// same.
    Fresh,
    /// Kept since an earlier login: it may be out of date.
    Kept { age: Duration },
}

/// No route.
#[derive(Debug)]
pub struct NotFound {
    /// What the client is told.
    pub refusal: Refusal,
    /// What the log is told, if it is more than that the login was refused.
    pub cause: Option<Error>,
    /// A source knows that there is no such user, and has seen no secret to say so.
    pub keepable: bool,
}

/// Why there is no route, although nobody refused the login.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Handler(#[from] handler::Error),
    #[error(transparent)]
    Nowhere(#[from] table::Nowhere),
    #[error("no route for this login")]
    Unknown,
}

impl Error {
    /// Unknown names are everyday; the others want mending.
    pub fn level(&self) -> Level {
        match self {
            Self::Handler(_) | Self::Nowhere(_) => Level::Error,
            Self::Unknown => Level::Info,
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            // nginx says "internal server error" and hangs up. But the fault is the handler's, it
            // will pass, and the client shall not doubt its password.
            Self::Handler(_) => Refusal::new(Kind::Unavailable),
            Self::Nowhere(_) | Self::Unknown => Refusal::new(Kind::BadCredentials),
        }
    }
}

impl From<Error> for NotFound {
    fn from(error: Error) -> Self {
        Self { refusal: error.refusal(), cause: Some(error), keepable: false }
    }
}

impl Router {
    /// `names` resolves hosts as this block's `resolver` says.
    pub fn new(
        settings: &Settings,
        names: &Names,
        connectors: &mut Connectors,
        fleet: &Fleet,
    ) -> Result<Self, String> {
        let mut sources = Vec::new();
        if let Some(table) = settings.table.as_ref().filter(|table| !table.is_empty()) {
            sources.push(Source::Table(Arc::clone(table)));
        }
        if let Some(handler) = Handler::new(settings, names, connectors)? {
            sources.push(Source::Handler(Box::new(handler)));
        }
        let (headers, names) = (Arc::clone(&settings.headers), Arc::clone(names));
        let (groups, cache) = (Arc::clone(&settings.groups), settings.cache.clone());
        fleet.routes.set_up(&cache);
        Ok(Self { sources: sources.into(), groups, cache, headers, names, fleet: fleet.clone() })
    }

    /// What `auth_http_header` adds to the questions of the session of `line`, as it is now.
    pub fn headers(&self, line: &Line) -> Vec<(HeaderName, HeaderValue)> {
        let now = SystemTime::now();
        self.headers.iter().map(|header| header.fill(line, now)).collect()
    }

    /// Where `attempt` goes, of those who know. `tell` hears of failures that did not decide it.
    async fn ask_sources(
        &self,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Route, NotFound> {
        for source in self.sources.iter() {
            let found = match source {
                Source::Table(table) => self.look_up(table, attempt)?,
                Source::Handler(handler) => Some(self.ask(handler, attempt, asker, tell).await?),
            };
            if let Some(route) = found {
                return Ok(route);
            }
        }
        Err(Error::Unknown.into())
    }

    fn look_up(&self, table: &Table, attempt: &Attempt) -> Result<Option<Route>, NotFound> {
        let Some(Found { to, login }) = table.find(attempt.mailbox()).map_err(Error::from)? else {
            return Ok(None);
        };
        let mut route = match to {
            Destination::Group(group) => {
                Route { group: Some(Arc::clone(&group)), ..self.route(group.targets(&self.names)) }
            }
            Destination::Servers(servers) => self.route(Targets::new(servers, 0, &self.names)),
        };
        // The row speaks of the name that it was asked for.
        match attempt.authzid {
            // Nobody logs in: what a recipient is called upstream names no sender.
            _ if attempt.mechanism == Mechanism::Unasked => {}
            Some(_) => route.authzid = login,
            None => route.user = login,
        }
        Ok(Some(route))
    }

    async fn ask(
        &self,
        handler: &Handler,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Route, NotFound> {
        let tell = |error| tell(Error::Handler(error));
        match handler.ask(attempt, asker, &tell).await.map_err(Error::from)? {
            // Credentials of the handler's own may act for anybody, and so may those of the master,
            // who logs in where the client has none to pass. A handler written for nginx has never
            // heard of the name that the client asked to act for.
            Ruling::Accepted(accepted, _)
                if attempt.authzid.is_some() && !is_own_login(attempt, &accepted) =>
            {
                Err(NotFound {
                    refusal: Refusal::new(Kind::Forbidden),
                    cause: None,
                    keepable: false,
                })
            }
            Ruling::Accepted(accepted, handler) => {
                let servers = Arc::new([Server::at(accepted.server)]);
                Ok(Route {
                    user: accepted.user,
                    secret: accepted.secret,
                    is_checked: true,
                    handler: Some(handler.into()),
                    security: accepted.security,
                    master: accepted.master,
                    verifier: accepted.verifier,
                    ..self.route(Targets::new(servers, 0, &self.names))
                })
            }
            Ruling::Refused(Refused { text, code, sasl, wait }) => {
                let refusal = Refusal::new(Kind::BadCredentials).with_text(text);
                // The challenge is for who can answer it.
                let sasl = sasl.filter(|_| attempt.mechanism.brings_token());
                // As nginx: who is not made to wait is sent away.
                let refusal = Refusal { code, sasl, wait, close: wait.is_zero(), ..refusal };
                Err(NotFound { refusal, cause: None, keepable: false })
            }
        }
    }

    fn route(&self, targets: Targets) -> Route {
        Route::to(targets)
    }
}

impl Source {
    fn nature(&self) -> Nature {
        match self {
            Self::Table(_) => Nature::Fixed,
            Self::Handler(_) => Nature::Private,
        }
    }
}

/// What becomes of the question, and so of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// It stands in the configuration: asking costs less than a cache.
    Fixed,
    /// It sees nothing but names, so that what it says may be kept.
    #[allow(dead_code, reason = "a table and a handler that gets the password are not")]
    Open,
    /// It is shown the secret: its answer is for that one login.
    Private,
}

/// Whether the upstream gets to judge the client's own credentials.
fn is_own_login(attempt: &Attempt, accepted: &Accepted) -> bool {
    (attempt.mechanism.brings_password() || attempt.mechanism.brings_token())
        && accepted.user.is_none()
        && accepted.secret.is_none()
        && !accepted.master
}

impl Route {
    /// To `targets`, and nothing else is known of it.
    fn to(targets: Targets) -> Self {
        Self {
            targets,
            group: None,
            user: None,
            authzid: None,
            secret: None,
            is_checked: false,
            handler: None,
            security: None,
            master: false,
            origin: Origin::Fresh,
            keepable: false,
            is_alias: false,
            verifier: None,
            trace: cache::Trace::default(),
        }
    }

    /// What the proof of a SCRAM client is held against, as the handler wrote it.
    pub fn verifier(&self) -> Option<&str> {
        std::str::from_utf8(self.verifier.as_ref()?.reveal()).ok()
    }
}

#[cfg(test)]
mod tests;
