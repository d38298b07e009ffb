//! What has failed too often is locked: nobody is sent there until a test says that it is back.
//!
//! **In and out.** Who uses a thing that may fail (a server of an upstream, a lookup handler, a next
//! hop) keeps a [`Handle`] of it, tells it how each use went ([`Handle::failed`], [`Handle::works`])
//! and asks it first ([`Handle::is_locked`]). Who knows how to test it leaves a [`Retest`] there;
//! [`Locks::run`] tests what is locked, every `lock_retest`, and the first success unlocks it.
//!
//! **Promises.**
//! - A lock outlives a restart, and a reload. Both of its edges are logged once.
//! - What was locked by hand is unlocked by hand alone.
//! - Failures count one after the other: any success begins anew.
//!
//! **Limits.** 4096 things are known at the most; those that nobody uses any more go first.

mod retest;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use retest::{Retest, Tested};

use super::state::Store;
use super::state::clock::{Clock, Seconds};
use super::state::directives::Settings;
use super::voice::Voice;
use crate::login::passable;
use crate::observe::{Level, Metrics, names};

/// How many things may be known.
const MOST: usize = 4096;
/// The longest name that is read back.
const LONGEST: usize = 512;
const SECTION: &str = "locks";

/// What may be locked. The words are in the log, in metrics and in the state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A server of an upstream, `GROUP/SERVER:PORT`.
    Upstream,
    /// A lookup handler, by its URL.
    Lookup,
    /// Where mail goes next.
    NextHop,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Lookup => "lookup",
            Self::NextHop => "next hop",
        }
    }
}

/// By kind and name.
type Known = BTreeMap<(Kind, Arc<str>), Arc<Entry>>;

/// Everything that may be locked. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Locks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    known: Mutex<Known>,
    settings: Mutex<Settings>,
    /// Something was locked, or another configuration is in force: who waits shall look again.
    changed: Notify,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    voice: Voice,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    name: Arc<str>,
    /// Its place in its list, from 1, for the log.
    number: AtomicU32,
    failures: AtomicU32,
    is_locked: AtomicBool,
    lock: Mutex<Option<Lock>>,
    retest: Mutex<Option<Arc<dyn Retest>>>,
    is_tested_now: AtomicBool,
    /// When it is tested next, while it is locked.
    due: Mutex<Option<Instant>>,
}

/// A lock that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub kind: Kind,
    pub name: String,
    pub number: u32,
    pub cause: String,
    pub since: Seconds,
    pub by_hand: bool,
}

/// One thing that may be locked. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    entry: Arc<Entry>,
    locks: Locks,
}

impl Locks {
    pub fn new(store: Store, clock: Clock, metrics: Metrics, voice: Voice) -> Self {
        Self(Arc::new(Inner {
            known: Mutex::default(),
            settings: Mutex::default(),
            changed: Notify::new(),
            store,
            clock,
            metrics,
            voice,
        }))
    }

    /// Another configuration is in force.
    pub fn follow(&self, settings: &Settings) {
        *lock(&self.0.settings) = settings.clone();
        self.0.changed.notify_one();
    }

    /// Takes up what was locked before a restart. Once, before anything else.
    pub fn restore(&self) {
        let kept: Vec<Lock> = self.0.store.section(SECTION).unwrap_or_default();
        for lock in kept.into_iter().filter(Lock::is_sound).take(MOST) {
            let handle = self.handle(lock.kind, &lock.name, lock.number);
            handle.entry.is_locked.store(true, Ordering::Release);
            *self::lock(&handle.entry.lock) = Some(lock);
        }
        self.0.changed.notify_one();
    }

    /// The handle of one thing, made if need be. `number`: its place in its list, from 1.
    pub fn handle(&self, kind: Kind, name: &str, number: u32) -> Handle {
        let mut known = lock(&self.0.known);
        if known.len() >= MOST && !known.contains_key(&(kind, name.into())) {
            // Only this table knows it, and it is not locked.
            known.retain(|_, entry| {
                Arc::strong_count(entry) > 1 || entry.is_locked.load(Ordering::Acquire)
            });
        }
        let name: Arc<str> = name.into();
        let entry = known.entry((kind, Arc::clone(&name))).or_insert_with(|| {
            Arc::new(Entry {
                kind,
                name,
                number: AtomicU32::new(number),
                failures: AtomicU32::new(0),
                is_locked: AtomicBool::new(false),
                lock: Mutex::default(),
                retest: Mutex::default(),
                is_tested_now: AtomicBool::new(false),
                due: Mutex::default(),
            })
        });
        entry.number.store(number, Ordering::Relaxed);
        Handle { entry: Arc::clone(entry), locks: self.clone() }
    }

    /// Another configuration comes: who tests things of this kind says so anew. What nobody does is
    /// forgotten when its test is due.
    pub fn forget_tests(&self, kind: Kind) {
        for entry in lock(&self.0.known).values().filter(|entry| entry.kind == kind) {
            *lock(&entry.retest) = None;
        }
    }

    /// What is locked.
    pub fn status(&self) -> Vec<Lock> {
        lock(&self.0.known).values().filter_map(|entry| lock(&entry.lock).clone()).collect()
    }

    /// When what is locked by `name` is tested; none where nobody tests it, or a hand has locked it.
    pub fn next_test(&self, kind: Kind, name: &str) -> Option<Instant> {
        let handle = self.find(kind, name)?;
        let due = *lock(&handle.entry.due);
        due.filter(|_| handle.is_locked() && !handle.is_locked_by_hand())
    }

    /// Locks by hand what is known by `name`; says whether anything is. Durable once
    /// [`Store::flush`] has returned.
    pub fn lock(&self, kind: Kind, name: &str, cause: &str) -> bool {
        let Some(handle) = self.find(kind, name) else { return false };
        handle.put_on(cause, true);
        true
    }

    /// Unlocks what is known by `name`; says whether it was locked.
    pub fn unlock(&self, kind: Kind, name: &str) -> bool {
        self.find(kind, name).is_some_and(|handle| handle.take_off())
    }

    fn find(&self, kind: Kind, name: &str) -> Option<Handle> {
        let entry = lock(&self.0.known).get(&(kind, name.into())).cloned()?;
        Some(Handle { entry, locks: self.clone() })
    }

    fn save(&self) {
        self.0.store.put(SECTION, &self.status());
    }
}

impl Lock {
    /// Fit to be shown: a file may have been written by anybody.
    fn is_sound(&self) -> bool {
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        !self.name.is_empty()
            && self.name.len() <= LONGEST
            && is_plain(&self.name)
            && self.cause.len() <= LONGEST
            && is_plain(&self.cause)
    }
}

impl Handle {
    pub fn is_locked(&self) -> bool {
        self.entry.is_locked.load(Ordering::Acquire)
    }

    /// Whether it was locked by hand, so that nothing but a hand may try it.
    pub fn is_locked_by_hand(&self) -> bool {
        self.is_locked() && lock(&self.entry.lock).as_ref().is_some_and(|lock| lock.by_hand)
    }

    pub fn name(&self) -> &Arc<str> {
        &self.entry.name
    }

    /// It has failed once more. At the `after`th failure in a row it is locked; 0: never. Says
    /// whether that was now.
    pub fn failed(&self, cause: &str, after: u32) -> bool {
        let before = self.entry.failures.fetch_add(1, Ordering::AcqRel);
        after > 0 && before.saturating_add(1) >= after && self.put_on(cause, false)
    }

    /// It works: what failed before counts no more, and a lock that nobody's hand put on is off.
    pub fn works(&self) -> bool {
        // Read first: this is on the way of every login.
        if self.entry.failures.load(Ordering::Acquire) > 0 {
            self.entry.failures.store(0, Ordering::Release);
        }
        self.is_locked() && !self.is_locked_by_hand() && self.take_off()
    }

    /// How it is tested while it is locked. The newest one counts.
    pub fn tested_by(&self, retest: Arc<dyn Retest>) {
        *lock(&self.entry.retest) = Some(retest);
    }

    fn put_on(&self, cause: &str, by_hand: bool) -> bool {
        let (entry, inner) = (&self.entry, &self.locks.0);
        {
            let mut now = lock(&entry.lock);
            if let Some(lock) = &mut *now {
                // A hand may take a lock over.
                lock.by_hand |= by_hand;
                drop(now);
                self.locks.save();
                return false;
            }
            *now = Some(Lock {
                kind: entry.kind,
                name: entry.name.to_string(),
                number: entry.number.load(Ordering::Relaxed),
                cause: passable(cause.as_bytes()),
                since: inner.clock.now(),
                by_hand,
            });
            entry.is_locked.store(true, Ordering::Release);
        }
        inner.metrics.counter(&names::SERVER_LOCKS, &[entry.kind.name(), &entry.name]).inc();
        let cause = passable(cause.as_bytes());
        inner
            .voice
            .say(Level::Crit, format_args!("locked {}: {} {cause}", self.title(), entry.name));
        self.locks.save();
        inner.changed.notify_one();
        true
    }

    fn take_off(&self) -> bool {
        let was = {
            let mut now = lock(&self.entry.lock);
            self.entry.is_locked.store(false, Ordering::Release);
            self.entry.failures.store(0, Ordering::Release);
            now.take()
        };
        if was.is_some() {
            let (name, inner) = (&self.entry.name, &self.locks.0);
            let words = format!("{} available again, unlocked: {name}", self.title());
            inner.voice.say(Level::Notice, words);
            self.locks.save();
        }
        was.is_some()
    }

    fn title(&self) -> String {
        format!("{} {}", self.entry.kind.name(), self.entry.number.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({} {})", self.entry.kind.name(), self.entry.name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What must hold for any section at all.
pub fn hold_for_any(input: &[u8]) {
    let Ok(kept) = serde_json::from_slice::<Vec<Lock>>(input) else { return };
    for lock in kept.iter().filter(|lock| lock.is_sound()) {
        assert!(lock.name.len() <= LONGEST && lock.cause.len() <= LONGEST);
    }
}

#[cfg(test)]
mod tests;
