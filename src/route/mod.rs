//! # route: which upstream does this login go to?
//!
//! The postmaster goes where `postmaster` says. Of all others it asks, in this order unless `route_order` has another, the `route` table, the [`source`]s and
//! `lookup`s by name, and the lookup handlers at `auth_http`; the first that knows the login decides.
//! What may be kept of that is, in [`cache`]. It knows no protocol: a refusal gets its words elsewhere.
//!
//! **In and out.** [`Router::find`] takes a [`login::Attempt`](Attempt) and the [`Asker`] and gives
//! a [`Route`]: whose [`Targets`] are the addresses to try in order, what name and password to use
//! there, and what else a handler said of it. Or it gives [`NotFound`]: what the client is told and
//! what the log is told. What went wrong on the way and did no harm is told as it happens.
//!
//! **Directives.** `auth_http` and its kin, `route`, `upstream`, `resolver`, in [`directives`];
//! `lookup` and `zm_lookup` in [`lookup`].
//!
//! **Promises.**
//! - A password goes to the handlers at `auth_http`, to those of a `lookup` with `send_password on`,
//!   and nowhere else; no error holds one.
//! - What is found for an attempt that shows a secret to a handler is never given to another.
//! - Nothing that a client says names a file, or a server that its row does not leave open.
//! - No source, and nothing that is kept, has a say in where `@postmaster.local` goes once `postmaster`
//!   is set.
//! - A host's name is resolved again when its answer has aged; an address that cannot be reached
//!   leaves the next one to be tried.
//!
//! **Limits.** With an authorization identity, the table is asked for that name (whose mailbox it
//! is), as is Zimbra's servlet, and a handler of `auth_http` for the authentication identity (whose
//! password it is).

mod ask;
mod asker;
mod balance;
mod cache;
mod cached;
mod direct;
pub mod directives;
pub mod fleet;
pub mod group;
pub mod handler;
mod header;
pub mod health;
pub mod lock;
pub mod lookup;
pub mod maintenance;
pub mod order;
mod postmaster;
pub mod presence;
pub mod source;
pub mod state;
pub mod sticky;
mod table;
mod template;
pub mod voice;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::header::{HeaderName, HeaderValue};

pub use asker::{Asker, Certificate, Proxied, Tls};
pub use cache::directives::DIRECTIVES as CACHE_DIRECTIVES;
pub use cache::hold_for_any as hold_cache_for_any;
pub use cache::{Ask, Purge, PurgeReport, Reason, Row};
pub use directives::{DIRECTIVES, Settings};
pub use fleet::Fleet;
pub use group::{Chooser, Group, Target, Targets};
pub use lookup::hold_for_any;

use crate::http::Names;
use crate::login::{Attempt, Kind, Mechanism, Refusal, Secret};
use crate::net::dns;
use crate::observe::Level;
use crate::observe::access::Line;
use crate::tls::client::Connectors;
use crate::tls::directives::Mode;
use group::Groups;
use handler::Handler;
use header::Header;
use postmaster::Postmaster;
use source::Named;
use source::answer::Answer;
use source::order::Step;
use table::{Destination, Found, Table};

/// Finds routes for the logins of one virtual host. Shared by its sessions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Router {
    /// Asked in this order, until one knows.
    sources: Arc<[Source]>,
    /// Goes before them all.
    postmaster: Option<Arc<Postmaster>>,
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
    Handler(Handler),
    /// A file, a database or a directory.
    Named(Arc<Named>),
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
    /// The account by its own name, where a handler has told it (`Auth-User`).
    pub account: Option<Box<[u8]>>,
    /// The name that was looked up stands for the account whoever asks (`Auth-Cache-Alias`).
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
    /// Whoever refused it has seen no secret, so what he says hangs on whether there is such a user.
    pub unseen: bool,
}

/// Why there is no route, although nobody refused the login.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Handler(#[from] handler::Error),
    #[error(transparent)]
    Nowhere(#[from] table::Nowhere),
    /// A handler was set aside, or is back: no login was decided by it.
    #[error("{0}")]
    Edge(handler::Edge),
    /// In words that the client does not hear.
    #[error("lookup handler {handler}: \"{denied}\"")]
    Denied { handler: String, denied: handler::Denied },
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error("no route for this login")]
    Unknown,
    #[error("the postmaster logs in by a password or a token")]
    Unshown,
    /// A server that somebody else was to be sent to has no address.
    #[error(transparent)]
    Address(#[from] dns::Error),
}

impl Error {
    /// Unknown names are everyday; the others want mending.
    pub fn level(&self) -> Level {
        match self {
            Self::Edge(edge) if edge.is_back() => Level::Notice,
            Self::Edge(_) => Level::Crit,
            Self::Handler(_) | Self::Nowhere(_) | Self::Source(_) | Self::Address(_) => {
                Level::Error
            }
            Self::Denied { .. } | Self::Unknown | Self::Unshown => Level::Info,
        }
    }

    fn refusal(&self) -> Refusal {
        match self {
            // nginx says "internal server error" and hangs up. But the fault is the handler's, it
            // will pass, and the client shall not doubt its password.
            Self::Handler(_) | Self::Edge(_) | Self::Source(_) | Self::Address(_) => {
                Refusal::new(Kind::Unavailable)
            }
            Self::Nowhere(_) | Self::Denied { .. } | Self::Unknown | Self::Unshown => {
                Refusal::new(Kind::BadCredentials)
            }
        }
    }
}

impl From<Error> for NotFound {
    fn from(error: Error) -> Self {
        let unseen = matches!(error, Error::Nowhere(_) | Error::Unknown | Error::Unshown);
        Self { refusal: error.refusal(), cause: Some(error), keepable: false, unseen }
    }
}

impl Router {
    /// `names` resolves hosts as this block's `resolver` says. Nothing that `fleet` keeps is changed
    /// before [`take_effect`](Self::take_effect).
    pub fn new(
        settings: &Settings,
        names: &Names,
        connectors: &mut Connectors,
        fleet: &Fleet,
    ) -> Result<Self, String> {
        let mut sources = Vec::new();
        let mut handlers = Handler::all(settings, names, connectors, fleet)?;
        let mut handler = |name: Option<&str>| {
            let at = handlers.iter().position(|handler| handler.name() == name)?;
            Some(Source::Handler(handlers.swap_remove(at)))
        };
        for step in settings.order.iter() {
            match step {
                Step::Table => {
                    let table = settings.table.as_ref().filter(|table| !table.is_empty());
                    sources.extend(table.map(|table| Source::Table(Arc::clone(table))));
                }
                Step::AuthHttp => sources.extend(handler(None)),
                Step::Named(name) => {
                    let plan = settings.plans.iter().find(|plan| plan.name == *name);
                    sources.push(match plan {
                        Some(plan) => Source::Named(plan.open(connectors, fleet)?),
                        None => {
                            handler(Some(name)).ok_or_else(|| format!("no source \"{name}\""))?
                        }
                    });
                }
            }
        }
        let (headers, names) = (Arc::clone(&settings.headers), Arc::clone(names));
        let (groups, cache) = (Arc::clone(&settings.groups), settings.cache.clone());
        Ok(Self {
            sources: sources.into(),
            postmaster: settings.postmaster.clone(),
            groups,
            cache,
            headers,
            names,
            fleet: fleet.clone(),
        })
    }

    /// The configuration that it belongs to is in force: what the fleet knows of servers, handlers
    /// and routes is as it says from now on. Before the first login.
    pub fn take_effect(&self) {
        for group in self.groups.values() {
            group.join(&self.fleet.servers);
        }
        for handler in self.handlers() {
            handler.take_effect();
        }
        self.fleet.routes.set_up(&self.cache);
    }

    /// The lookup handlers that it asks.
    pub fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.sources.iter().filter_map(|source| match source {
            Source::Handler(handler) => Some(handler),
            _ => None,
        })
    }

    /// Who finds the addresses of hosts.
    pub fn names(&self) -> &Names {
        &self.names
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
        if let Some(postmaster) = self.postmaster(attempt, asker) {
            return postmaster;
        }
        // What is at hand is asked again at every login; what was asked of others is worth keeping,
        // unless it hangs on more than the names.
        let (mut has_cost, mut hangs_on_names) = (false, true);
        let mut refused = None;
        for source in self.sources.iter() {
            let found = match source {
                Source::Table(table) => self.look_up(table, attempt, asker)?,
                Source::Handler(handler) => {
                    match self.ask(handler, attempt, asker, tell).await {
                        Ok(route) => Some(route),
                        // It knows nobody of that name: the next may.
                        Err(unknown) if unknown.keepable => {
                            refused = Some(unknown);
                            None
                        }
                        Err(other) => return Err(other),
                    }
                }
                Source::Named(named) => {
                    has_cost |= named.is_remote();
                    hangs_on_names &= !named.hangs_on_client();
                    let answer = named.find(attempt, asker).await.map_err(Error::from)?;
                    answer.map(|answer| self.lead(answer, attempt, asker))
                }
            };
            if let Some(route) = found {
                let is_secret = matches!(source, Source::Handler(_)) || route.secret.is_some();
                let keepable = route.keepable || has_cost && !is_secret;
                return Ok(Route { keepable: keepable && hangs_on_names, ..route });
            }
        }
        // Who was shown a password has ruled. So nobody here was.
        let unknown = refused.unwrap_or_else(|| Error::Unknown.into());
        Err(NotFound { keepable: hangs_on_names, ..unknown })
    }

    fn look_up(
        &self,
        table: &Table,
        attempt: &Attempt,
        asker: &Asker,
    ) -> Result<Option<Route>, NotFound> {
        let Some(Found { to, login }) = table.find(attempt.mailbox()).map_err(Error::from)? else {
            return Ok(None);
        };
        Ok(Some(self.lead(Answer::of(to, login), attempt, asker)))
    }

    /// The route that a table's or a directory's row makes.
    fn lead(&self, answer: Answer, attempt: &Attempt, asker: &Asker) -> Route {
        let Answer { to, login, authzid, security, secret } = answer;
        let mut route = match to {
            Destination::Group(group) => {
                let chooser = Chooser::new(attempt.mailbox(), &asker.client, asker.protocol);
                let targets = group.targets(&self.names, &chooser);
                Route { group: Some(group), ..self.route(targets) }
            }
            Destination::Servers(servers) => self.route(Targets::new(servers, 0, &self.names)),
        };
        // The row speaks of the name that it was asked for.
        match attempt.authzid {
            // Nobody logs in: what a recipient is called upstream names no sender.
            _ if attempt.mechanism == Mechanism::Unasked => {}
            Some(_) => route.authzid = authzid.or(login),
            None => route.user = login,
        }
        route.security = security;
        // Nobody here has seen the client's own password: one in its place would let anybody in. It
        // is for those who have proved themselves without one.
        let brings_own = attempt.mechanism.brings_password() || attempt.mechanism.brings_token();
        route.secret = secret.filter(|_| !brings_own && attempt.mechanism != Mechanism::Unasked);
        route
    }

    fn route(&self, targets: Targets) -> Route {
        Route::to(targets)
    }
}

impl Source {
    fn nature(&self) -> Nature {
        match self {
            Self::Table(_) => Nature::Fixed,
            Self::Named(named) if named.is_remote() => Nature::Open,
            Self::Named(_) => Nature::Fixed,
            Self::Handler(handler) if handler.is_shown_secrets() => Nature::Private,
            Self::Handler(_) => Nature::Open,
        }
    }
}

/// What becomes of the question, and so of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// It stands in the configuration, or in a file that is at hand: asking costs less than a cache.
    Fixed,
    /// It sees nothing but names, so that what it says may be kept.
    Open,
    /// It is shown the secret: its answer is for that one login.
    Private,
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
            account: None,
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
