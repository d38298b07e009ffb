//! `route_ldap NAME { … }`: an entry of a directory says where a login goes.
//!
//! The servers are tried in order until one answers. No entry, or one without the attribute, is a
//! login that this source does not know. Referrals are not followed. Everything else is a failure
//! that will pass: nobody has said that there is no such user.

mod entry;
mod filter;
mod guard;
mod link;
mod url;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ldap3::{LdapError, Scope, SearchOptions};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

pub use entry::Attributes;
pub use filter::Filter;
pub use url::Server;

use super::answer::Row;
use super::fault::{Flaw, chain};
use super::home::Home;
use super::question::Question;
use crate::login::Secret;
use crate::tls::client::Connectors;
use crate::tls::directives::{Mode, UpstreamSettings};
use entry::Entry;
use link::Security;

/// How long a server that could not be reached is passed over, if there are others.
const REST: Duration = Duration::from_secs(10);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Two entries are one too many.
const SIZE_LIMIT: i32 = 2;

/// RFC 4511 §4.1.9: results that are told apart.
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// What a `route_ldap` block says.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Tried in this order; never none.
    pub servers: Vec<Server>,
    pub starttls: bool,
    pub bind_dn: Option<String>,
    pub password: Option<PathBuf>,
    pub base: String,
    pub scope: Scope,
    pub filter: Filter,
    pub attributes: Attributes,
    pub port: Option<u16>,
    /// For one question in all.
    pub timeout: Duration,
    /// At the most.
    pub connections: usize,
    pub tls: UpstreamSettings,
}

#[derive(Debug)]
pub struct Ldap {
    inner: Arc<Inner>,
    home: Home,
}

struct Inner {
    plan: Plan,
    password: Secret,
    servers: Vec<(Server, Security)>,
    /// Until when each server is passed over.
    rests: Mutex<Vec<Option<Instant>>>,
    idle: Mutex<Vec<Link>>,
    seats: Arc<Semaphore>,
    home: Home,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ldap").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// A connection that is bound. Dropped, it says goodbye.
struct Link {
    handle: Option<ldap3::Ldap>,
    /// Its place in the list.
    server: usize,
    home: Home,
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(mut handle) = self.handle.take() else { return };
        let goodbye = async move {
            let _ = timeout(GOODBYE, handle.unbind()).await;
        };
        // Without it the server sees that the connection has ended.
        let _ = self.home.spawn("ldap_unbind", goodbye);
    }
}

impl Ldap {
    /// Reads the password and certificates; asks nobody yet.
    pub fn open(plan: &Plan, connectors: &mut Connectors, home: &Home) -> Result<Self, String> {
        let mut servers = Vec::with_capacity(plan.servers.len());
        for server in &plan.servers {
            let mut connector = || {
                let tls = UpstreamSettings { mode: Mode::On, ..plan.tls.clone() };
                super::connector(&tls, connectors)
            };
            let security = match (server.is_tls, plan.starttls) {
                (true, _) => Security::On(connector()?),
                (false, true) => Security::StartTls(connector()?),
                (false, false) => Security::Off,
            };
            servers.push((server.clone(), security));
        }
        let password = plan.password.as_deref().map(super::password).transpose()?;
        let inner = Inner {
            plan: plan.clone(),
            password: password.unwrap_or_default(),
            rests: Mutex::new(vec![None; servers.len()]),
            servers,
            idle: Mutex::default(),
            seats: Arc::new(Semaphore::new(plan.connections)),
            home: home.clone(),
        };
        Ok(Self { inner: Arc::new(inner), home: home.clone() })
    }

    /// The row for `question`; none if there is none.
    pub async fn ask(&self, question: &Question) -> Result<Option<Row>, Flaw> {
        let inner = Arc::clone(&self.inner);
        let filter = inner.plan.filter.fill(question);
        let limit = inner.plan.timeout;
        let deadline = Instant::now() + limit;
        self.home
            .run("route_ldap", async move {
                match timeout_at(deadline, inner.ask(&filter, deadline)).await {
                    Ok(asked) => asked,
                    Err(_) => Err(Flaw::Silent(limit)),
                }
            })
            .await?
    }
}

impl Inner {
    async fn ask(&self, filter: &str, deadline: Instant) -> Result<Option<Row>, Flaw> {
        let seats = Arc::clone(&self.seats);
        let _seat = seats.acquire_owned().await.expect("the seats are never closed");
        let mut tries = self.servers.len();
        loop {
            let idle = self.take_idle();
            let is_old = idle.is_some();
            let mut link = match idle {
                Some(link) => link,
                None => self.connect(deadline).await?,
            };
            let mut handle =
                link.handle.clone().expect("a link has its handle until it is dropped");
            // One that hangs must leave some time for another.
            let left = deadline.saturating_duration_since(Instant::now());
            let until = if tries > 1 { Instant::now() + left / 2 } else { deadline };
            let flaw = match timeout_at(until, self.search(&mut handle, filter, left)).await {
                Ok(Ok(row)) => {
                    self.idle().push(link);
                    return Ok(row);
                }
                Ok(Err(flaw)) if flaw.is_worth_another_try() => flaw,
                Ok(Err(flaw)) => {
                    // The server has done its part.
                    if matches!(flaw, Flaw::Question(_)) {
                        self.idle().push(link);
                    }
                    return Err(flaw);
                }
                Err(_) => Flaw::Silent(self.plan.timeout),
            };
            // Nobody is there to say goodbye to.
            link.handle = None;
            // An old connection may have been lost while nobody looked: that is no try.
            if is_old && flaw.is_worth_another_try() {
                continue;
            }
            self.rest(link.server);
            tries -= 1;
            if tries == 0 {
                return Err(flaw);
            }
        }
    }

    /// A connection that was used before and, as far as one can see, still stands.
    fn take_idle(&self) -> Option<Link> {
        let (mut idle, now) = (self.idle(), Instant::now());
        while let Some(mut link) = idle.pop() {
            let is_open = link.handle.as_mut().is_some_and(|handle| !handle.is_closed());
            if is_open && !self.rests(link.server, now) {
                return Some(link);
            }
            link.handle = None;
        }
        None
    }

    /// A new connection, to the first server that lets us in.
    async fn connect(&self, deadline: Instant) -> Result<Link, Flaw> {
        let (now, mut failed) = (Instant::now(), None);
        let (awake, resting): (Vec<_>, Vec<_>) =
            (0..self.servers.len()).partition(|at| !self.rests(*at, now));
        let order = [awake.as_slice(), &resting].concat();
        for (tried, &at) in order.iter().enumerate() {
            // One that swallows the question must not eat the time of the others.
            let left = deadline.saturating_duration_since(Instant::now());
            let sharing = u32::try_from(order.len() - tried).unwrap_or(u32::MAX);
            let until = Instant::now() + left / sharing;
            let flaw = match timeout_at(until, self.bound(at, until)).await {
                Ok(Ok(handle)) => {
                    self.wake(at);
                    let home = self.home.clone();
                    return Ok(Link { handle: Some(handle), server: at, home });
                }
                Ok(Err(flaw)) => flaw,
                Err(_) => Flaw::Unreachable(format!("{}: it is silent", self.servers[at].0)),
            };
            self.rest(at);
            failed = Some(flaw);
        }
        Err(failed.expect("there is a server, and it failed"))
    }

    async fn bound(&self, at: usize, deadline: Instant) -> Result<ldap3::Ldap, Flaw> {
        let (server, security) = &self.servers[at];
        let mut handle = link::connect(server, security, deadline).await?;
        let Some(dn) = &self.plan.bind_dn else { return Ok(handle) };
        let password = std::str::from_utf8(self.password.reveal()).unwrap_or_default();
        let said = handle.simple_bind(dn, password).await;
        let said = said
            .map_err(|error| Flaw::Unreachable(format!("{server}: binding: {}", chain(&error))))?;
        match said.rc {
            SUCCESS => Ok(handle),
            _ => Err(Flaw::Refused(format!("{server}: binding as \"{dn}\": {said}"))),
        }
    }

    async fn search(
        &self,
        handle: &mut ldap3::Ldap,
        filter: &str,
        left: Duration,
    ) -> Result<Option<Row>, Flaw> {
        let Plan { base, scope, attributes, port, .. } = &self.plan;
        let limit = i32::try_from(left.as_secs() + 1).unwrap_or(i32::MAX);
        let options = SearchOptions::new().sizelimit(SIZE_LIMIT).timelimit(limit);
        let handle = handle.with_search_options(options);
        let names = attributes.names();
        let mut found =
            handle.streaming_search(base, *scope, filter, names).await.map_err(failed)?;
        let mut entry = None;
        while let Some(next) = found.next().await.map_err(failed)? {
            if next.is_ref() || next.is_intermediate() {
                continue;
            }
            let read = Entry::read(next.0);
            let read = read.ok_or_else(|| Flaw::Shape("an entry that is none".to_owned()))?;
            if entry.replace(read).is_some() {
                return Err(Flaw::Ambiguous("more than one entry"));
            }
        }
        let result = found.finish().await;
        match result.rc {
            SUCCESS => entry.map(|entry| entry.row(attributes, *port)).transpose(),
            SIZE_LIMIT_EXCEEDED => Err(Flaw::Ambiguous("more entries than the server gives")),
            // The server is on its way out; another may be there.
            BUSY | UNAVAILABLE => Err(Flaw::Lost(result.to_string())),
            _ => Err(Flaw::Question(result.to_string())),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self, at: usize) {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(Instant::now() + REST);
    }

    fn wake(&self, at: usize) {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)[at] = None;
    }

    fn rests(&self, at: usize, now: Instant) -> bool {
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        rests[at].is_some_and(|until| now < until)
    }
}

/// The library's channels end with its connection.
fn failed(error: LdapError) -> Flaw {
    match error {
        LdapError::Io { .. }
        | LdapError::OpSend { .. }
        | LdapError::ResultRecv { .. }
        | LdapError::EndOfStream => Flaw::Lost(chain(&error)),
        error => Flaw::Question(chain(&error)),
    }
}

/// What must hold for any bytes at all: of a login, or from a directory.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    filter::hold_for_any(input);
    guard::hold_for_any(input);
}
