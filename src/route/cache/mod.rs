//! # route::cache: what is known of routes without asking
//!
//! Two tiers: this process ([`process`]), and the cache that all nodes share ([`shared`]). What a
//! source says without having seen a secret is kept once an upstream has let that login in, and
//! serves the next one. It is a cache: it may be cold, down or a liar, and it lets nobody in.
//!
//! **In and out.** [`Routes`] is shared by all routers of this process and outlives a reload. It
//! takes a [`Question`] and an [`Ask`], by which the sources can be asked, and gives a
//! [`Route`] or what refuses it. [`Purge`] forgets.
//!
//! **Directives.** `route_cache`, in [`directives`].
//!
//! **Promises.**
//! - What is kept answers the very question it was asked for: names by the letter, protocol, mechanism,
//!   and the sources as they were set up.
//! - No secret is kept, nor that anybody has vouched for a login: the upstream judges each one.
//! - An answer that was asked for before a purge is not kept after it.
//! - Whatever the shared cache does wrong is a miss. Nobody waits for it longer than it may take.
//! - Where the sources fail, what they said last serves on for `stale`: nobody is locked out.
//! - The sources are asked about one question once at a time, and for failed logins once in
//!   [`PAUSE`].
//!
//! **Limits.** What a source says only upon a secret is asked for each time. In Zimbra's form a
//! value has no age: in the process it is as fresh as the day it was written.

pub mod directives;
mod entry;
mod figures;
mod find;
mod flight;
mod look;
mod process;
mod purge;
mod question;
mod scope;
mod shared;
mod zimbra;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use directives::Settings;
use entry::Entry;
pub use entry::Ground;
pub use purge::{Purge, PurgeReport, Row};
pub use question::Question;
#[cfg(test)]
pub use question::Role;
pub use shared::Format;

use super::{NotFound, Route};
use crate::login::Refusal;
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::Metrics;
use figures::Figures;
use flight::Flights;
use process::{Kept, Process, Ticket};
use scope::Scope;
use shared::Shared;

/// For so long after the sources were asked about somebody, nobody's failed login has them asked
/// again: a guesser must not turn every wrong password into a lookup.
pub const PAUSE: Duration = Duration::from_secs(5);

/// An answer of the sources, whenever it comes.
pub type Answer = Result<Route, NotFound>;

/// Whoever asks the sources one question.
pub trait Ask: Sync {
    /// Whether others with the same question may have the answer: no secret is shown.
    fn is_open(&self) -> bool;

    fn ask(&self) -> impl Future<Output = Answer> + Send;

    /// The same, on its own, and without a secret.
    fn later(&self) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// Why a kept route is not believed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// None of its addresses could be connected to.
    ConnectFailed,
    /// The upstream does not know the user, or says that the password is wrong.
    LoginRefused,
    /// It is past its time, and the sources say something else.
    Changed,
}

/// What the cache had to do with a route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    status: Status,
    ticket: Ticket,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Status {
    /// It was not asked.
    #[default]
    Bypass,
    Hit,
    Stale,
    Miss,
    /// It was there, and the sources were asked all the same.
    Expired,
}

impl Trace {
    /// As access logs say it.
    pub fn name(self) -> &'static str {
        match self.status {
            Status::Bypass => "BYPASS",
            Status::Hit => "HIT",
            Status::Stale => "STALE",
            Status::Miss => "MISS",
            Status::Expired => "EXPIRED",
        }
    }
}

/// Both tiers. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Routes {
    process: Arc<Process>,
    shared: Shared,
    bus: Bus,
    /// Questions that a client waits for.
    waiting: Flights<Outcome>,
    /// Questions to the sources about what is kept.
    renewing: Flights<Outcome>,
    figures: Arc<Figures>,
    /// Those that this process has routers for, and the addresses of ours that clients came to: where
    /// a purge looks for entries.
    scopes: Arc<Mutex<BTreeSet<[u8; 8]>>>,
    locals: Arc<Mutex<BTreeSet<IpAddr>>>,
}

/// More addresses of ours than anybody has.
const MOST_LOCALS: usize = 64;

/// What somebody who waited for another's question hears.
#[derive(Clone, Debug)]
enum Outcome {
    /// From the cache: to be served as it is.
    Kept(Arc<Kept>),
    /// From a source.
    Fresh(Arc<[u8]>, Ticket),
    /// There is no such user, or nobody can be asked.
    Refused(Arc<Refusal>, bool),
    /// It was for the one who asked.
    Private,
}

impl Routes {
    pub fn new(cache: Cache, bus: Bus, metrics: &Metrics, format: Format) -> Self {
        let shared = Shared::new(cache, format);
        Self {
            process: Arc::new(Process::new(Settings::default().size)),
            shared,
            bus,
            waiting: Flights::default(),
            renewing: Flights::default(),
            figures: Arc::new(Figures::new(metrics)),
            scopes: Arc::default(),
            locals: Arc::default(),
        }
    }

    /// A router is made that has these settings.
    pub fn set_up(&self, settings: &Settings) {
        self.process.resize(settings.size);
        if settings.on {
            self.open(&self.scopes).insert(settings.scope().to_bytes());
        }
    }

    fn scopes(&self) -> Vec<Scope> {
        self.open(&self.scopes).iter().map(|bytes| Scope::of(*bytes)).collect()
    }

    /// Clients come to this address.
    fn learn_local(&self, ip: IpAddr) {
        let mut locals = self.open(&self.locals);
        if locals.len() < MOST_LOCALS {
            locals.insert(ip);
        }
    }

    fn open<'a, T>(&self, shared: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an answer to `question` is as good as asking.
fn life(question: &Question, entry: &Entry, settings: &Settings) -> Duration {
    match question.who {
        question::Who::Id { .. } => settings.id_ttl,
        question::Who::Login { .. } if entry.renames(question) => {
            settings.ttl.min(settings.alias_ttl)
        }
        question::Who::Login { .. } => settings.ttl,
    }
}

/// What must hold for any bytes at all, whichever tier they come from.
pub fn hold_for_any(input: &[u8]) {
    entry::hold_for_any(input);
    shared::hold_for_any(input);
    zimbra::hold_for_any(input);
    question::names_in(input);
    if let Some(question) = Question::read(input) {
        assert_eq!(*question.to_bytes(), *input, "one question has one form");
    }
}

#[cfg(test)]
mod tests;
