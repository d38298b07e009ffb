//! Keeps a user's sessions together: while one lives anywhere in the fleet, new ones go to the same
//! server.
//!
//! For servers that share the mail but not what they know of it (indexes on NFS, caches): the job of
//! Dovecot's director. Where a user is stands as a *lease* in the cache that all gateposts share. Who
//! takes it first has it for all; each gatepost renews those of the users who have sessions here, and
//! one of a user without any runs out. A login that has not been let in yet has no more than a
//! *reservation*, of 30 s.
//!
//! **In and out.** [`Sticky::place`] takes an upstream, a user and the upstream's servers, each with
//! what it is good for now ([`Stand`]), and gives the server ([`Placed`]); [`Sticky::settle`] hears
//! where the upstream has let the user in, and takes the lease. [`Sticky::run`] renews. [`Sticky::obey`] does what the bus says;
//! [`Sticky::move_user`] and [`Sticky::kick_user`] say it to the fleet. [`Sticky::adopt`] hears which
//! upstreams there are, at every reload.
//!
//! **Promises.**
//! - Of two gateposts that place a user at the same time, the first decides for both.
//! - Whoever has not been let in moves no lease and ends no session: a wrong password reads, and
//!   reserves where nothing stands. Sessions and logins that are let in go before a reservation.
//! - Where sessions of a user are apart all the same (two gateposts disagreed on which servers are
//!   up, the cache was lost, a login was under way during a move), those that are not where the lease
//!   says are ended within a third of the lease, with a goodbye.
//! - Nobody waits for the cache longer than its `timeout` says; without it the gateposts agree as long
//!   as they see the same servers.
//!
//! **Limits.** The lease says the server; no gatepost knows the sessions of another. A lease of a
//! server that this configuration does not have ends no sessions: configurations may differ for a
//! while. What happens when something fails: docs/sticky.md.

mod choice;
mod directives;
mod lease;
pub mod orders;
mod refresh;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use choice::first_guess;
pub use directives::{DIRECTIVES, Settings};
pub use lease::hold_for_any;

use super::presence::Presence;
use crate::memcached::bus::Bus;
use crate::memcached::{self, Cache};
use crate::observe::{Metrics, names};

/// How often a placing begins anew because another gatepost was faster.
const TRIES: usize = 4;

/// For how long a login keeps a place that it has not been let in at: a slow one has got there by then.
const RESERVATION: Duration = Duration::from_secs(30);

/// How many moves are kept here while there is no cache to keep them.
const MOST_NOTES: usize = 4096;

/// Keeps users together. Cheap to clone; clones share all.
#[derive(Clone, Debug)]
pub struct Sticky(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cache: Cache,
    bus: Bus,
    metrics: Metrics,
    presence: Presence,
    upstreams: ArcSwap<BTreeMap<Arc<str>, Arc<Upstream>>>,
    notes: Mutex<Notes>,
    /// Servers whose sessions are being ended, by their upstream.
    emptied: Mutex<HashSet<(String, String)>>,
    /// Every lease is to be looked at now.
    hurry: Notify,
}

/// Moves that no cache has taken, by upstream and user.
type Notes = HashMap<(Arc<str>, Arc<str>), Note>;

#[derive(Debug)]
struct Note {
    server: Arc<str>,
    until: Instant,
}

/// What the configuration says of an upstream.
#[derive(Clone, Debug)]
pub struct Described {
    pub name: Arc<str>,
    /// None: its users are not kept together.
    pub settings: Option<Settings>,
    /// As written, with weights.
    pub servers: Vec<(Arc<str>, u32)>,
}

/// An upstream that is known, and what is counted of it.
#[derive(Debug)]
struct Upstream {
    described: Described,
    /// In the order of [`How::ALL`].
    counters: [Counter; How::ALL.len()],
}

/// A server that a user may be placed at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// As written.
    pub name: &'a str,
    pub weight: u32,
    pub stand: Stand,
}

/// What a server is good for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Takes anybody.
    Open,
    /// Takes nobody, not even those who have sessions there: drained, removed, down, locked, full, or
    /// a backup that is no longer needed.
    Shut,
}

/// Where a login is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which of the candidates.
    pub index: usize,
    /// What that one is called.
    server: Box<str>,
    pub how: How,
    /// What the cache said then, or the note where there is none: what the login may change.
    seen: Option<Box<[u8]>>,
}

/// How it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Sessions of the user live there through this gatepost.
    Local,
    /// The lease says so.
    Lease,
    /// There was no lease; the place is reserved, if there is a cache.
    First,
    /// The lease, or a reservation, names a server that does not take the user any more. The lease will
    /// name this one when it has let the user in.
    Moved,
    /// The cache did not answer.
    CacheDown,
}

impl How {
    const ALL: [Self; 5] = [Self::Local, Self::Lease, Self::First, Self::Moved, Self::CacheDown];

    /// As the metric says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lease => "lease",
            Self::First => "first",
            Self::Moved => "moved",
            Self::CacheDown => "cache_down",
        }
    }
}

impl Sticky {
    pub fn new(cache: Cache, bus: Bus, metrics: Metrics, presence: Presence) -> Self {
        Self(Arc::new(Inner {
            cache,
            bus,
            metrics,
            presence,
            upstreams: ArcSwap::default(),
            notes: Mutex::default(),
            emptied: Mutex::default(),
            hurry: Notify::new(),
        }))
    }

    /// From now on these are the upstreams, and no others.
    pub fn adopt(&self, upstreams: impl IntoIterator<Item = Described>) {
        let known = upstreams.into_iter().map(|described| {
            let counter =
                |how: How| self.0.metrics.counter(&names::STICKY, &[&described.name, how.name()]);
            let (name, counters) = (Arc::clone(&described.name), How::ALL.map(counter));
            (name, Arc::new(Upstream { described, counters }))
        });
        self.0.upstreams.store(Arc::new(known.collect()));
    }

    /// Where a new session of `user` goes. None where that is left to others: the upstream is not
    /// sticky, nobody has logged in (`user` is empty), or no candidate takes the user.
    ///
    /// `user` is [`canonical`](super::presence::canonical). To say that the server could not be
    /// reached, ask again with its [`Stand`] as it is then.
    pub async fn place(
        &self,
        upstream: &str,
        user: &str,
        candidates: &[Candidate<'_>],
    ) -> Option<Placed> {
        let known = self.upstream(upstream)?;
        let settings = known.described.settings.filter(|_| !user.is_empty())?;
        let (index, how, seen) = self.find(&known, settings, user, candidates).await?;
        let placed = Placed { index, server: candidates[index].name.into(), how, seen };
        known.counters[placed.how as usize].inc();
        Some(placed)
    }

    /// Where a message for `user` goes whom nobody has logged in as: where the user is, or would be
    /// placed. It is no session, so nothing is written: whoever may name a recipient moves nobody.
    pub async fn follow(
        &self,
        upstream: &str,
        user: &str,
        candidates: &[Candidate<'_>],
    ) -> Option<usize> {
        let known = self.upstream(upstream)?;
        known.described.settings.filter(|_| !user.is_empty())?;
        let name = &known.described.name;
        let (index, is_here) = self.guess(name, user, candidates)?;
        if is_here {
            return Some(index);
        }
        let leased = self.0.cache.get(&lease::key(name, user)).await.ok().flatten();
        let leased = leased.as_deref().and_then(lease::read);
        Some(leased.and_then(|said| takes(candidates, said.server)).unwrap_or(index))
    }

    /// What this gatepost knows by itself, and whether it is that sessions live there.
    fn guess(
        &self,
        upstream: &Arc<str>,
        user: &str,
        candidates: &[Candidate<'_>],
    ) -> Option<(usize, bool)> {
        let here = self.0.presence.server_of(upstream, user);
        if let Some(index) = here.and_then(|at| takes(candidates, &at)) {
            return Some((index, true));
        }
        let noted = self.noted(upstream, user);
        let guess = noted.and_then(|at| takes(candidates, &at)).or_else(|| {
            let open = |one: &Candidate<'_>| if one.stand == Stand::Open { one.weight } else { 0 };
            first_guess(user, candidates.iter().map(|one| (one.name, open(one))))
        });
        guess.map(|index| (index, false))
    }

    /// Which of the candidates, how it was found, and what the cache said.
    async fn find(
        &self,
        upstream: &Upstream,
        settings: Settings,
        user: &str,
        candidates: &[Candidate<'_>],
    ) -> Option<(usize, How, Option<Box<[u8]>>)> {
        let (name, cache) = (&upstream.described.name, &self.0.cache);
        let (index, is_here) = self.guess(name, user, candidates)?;
        if is_here {
            return Some((index, How::Local, None));
        }
        let (key, reserved) = (lease::key(name, user), lease::reservation(candidates[index].name));
        for _ in 0..TRIES {
            let said = match cache.get(&key).await {
                Ok(said) => said,
                Err(memcached::Error::Off) => {
                    let noted = self.noted(name, user).map(|server| server.as_bytes().into());
                    return Some((index, How::First, noted));
                }
                Err(_) => break,
            };
            let time = settings.lease.min(RESERVATION);
            let (taken, how) = match said {
                None => (cache.add(&key, &reserved, time).await, How::First),
                Some(value) => {
                    let said = lease::read(&value);
                    if let Some(index) = said.and_then(|said| takes(candidates, said.server)) {
                        return Some((index, How::Lease, Some(value.into())));
                    }
                    if said.is_none_or(|said| !said.is_reserved) {
                        return Some((index, How::Moved, Some(value.into())));
                    }
                    (cache.swap(&key, &value, &reserved, time).await, How::Moved)
                }
            };
            match taken {
                Ok(true) => return Some((index, how, Some(reserved))),
                // Another was faster: what it has chosen holds.
                Ok(false) => {}
                Err(_) => break,
            }
        }
        Some((index, How::CacheDown, None))
    }

    /// The upstream has let the user in at `server`: the lease says so from now on, for its full time,
    /// unless another has moved it since the user was placed. Then that holds, and the session here is
    /// ended when the lease is next renewed.
    ///
    /// `placed` is how the user was placed last; the login may have gone on to another server. Nothing
    /// hangs on its end: it may be left to a task of its own.
    pub async fn settle(&self, upstream: &str, user: &str, server: &str, placed: Option<&Placed>) {
        let Some(known) = self.upstream(upstream) else { return };
        let Some(settings) = known.described.settings.filter(|_| !user.is_empty()) else { return };
        let placed_here = placed.filter(|placed| *placed.server == *server);
        // What the renewal of leases does for sessions, it does for this one.
        if placed_here.is_some_and(|placed| matches!(placed.how, How::Local | How::CacheDown)) {
            return;
        }
        let name = &known.described.name;
        let seen = placed.and_then(|placed| placed.seen.clone());
        if let Err(memcached::Error::Off) = self.take(name, user, server, settings, seen).await {
            self.settle_note(name, user, server, placed_here);
        }
        // Any other failure is made good when the leases are renewed.
    }

    /// Takes the lease for `server` from what was `seen` there; none: from what is there now.
    async fn take(
        &self,
        upstream: &str,
        user: &str,
        server: &str,
        settings: Settings,
        seen: Option<Box<[u8]>>,
    ) -> Result<(), memcached::Error> {
        let (key, cache) = (lease::key(upstream, user), &self.0.cache);
        let mut seen = match seen {
            Some(seen) => Some(seen.into_vec()),
            None => cache.get(&key).await?,
        };
        for _ in 0..TRIES {
            let is_done = match &seen {
                Some(value) => cache.swap(&key, value, server.as_bytes(), settings.lease).await?,
                None => cache.add(&key, server.as_bytes(), settings.lease).await?,
            };
            if is_done {
                return Ok(());
            }
            seen = cache.get(&key).await?;
            let said = seen.as_deref().and_then(lease::read);
            if said.is_some_and(|said| !said.is_reserved && said.server != server) {
                // Another was faster: what it has chosen holds.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether users of this upstream are kept together.
    pub fn is_on(&self, upstream: &str) -> bool {
        self.upstream(upstream).is_some_and(|known| known.described.settings.is_some())
    }

    fn upstream(&self, name: &str) -> Option<Arc<Upstream>> {
        self.0.upstreams.load().get(name).cloned()
    }

    /// As [`Sticky::take`], where a note stands for the lease: one that the login knew of is over if
    /// that has gone elsewhere all the same.
    fn settle_note(&self, upstream: &Arc<str>, user: &str, server: &str, here: Option<&Placed>) {
        let Some(noted) = self.noted(upstream, user).filter(|noted| **noted != *server) else {
            return;
        };
        let is_known = |placed: &Placed| placed.seen.as_deref() == Some(noted.as_bytes());
        if here.is_none_or(is_known) {
            self.note(upstream, user, None, Duration::ZERO);
        }
    }

    /// Where a user was moved to when there was no cache to say so.
    fn noted(&self, upstream: &Arc<str>, user: &str) -> Option<Arc<str>> {
        let notes = lock(&self.0.notes);
        if notes.is_empty() {
            return None;
        }
        let note = notes.get(&(Arc::clone(upstream), user.into()))?;
        (note.until > Instant::now()).then(|| Arc::clone(&note.server))
    }
}

impl Upstream {
    fn has(&self, server: &str) -> bool {
        self.described.servers.iter().any(|(name, _)| **name == *server)
    }
}

/// The place of `server` among `candidates`, if it takes anybody.
fn takes(candidates: &[Candidate<'_>], server: &str) -> Option<usize> {
    candidates.iter().position(|one| one.name == server && one.stand == Stand::Open)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
