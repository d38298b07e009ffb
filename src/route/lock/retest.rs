//! What is locked is tested, until it is back.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Entry, Handle, Kind, Locks, lock};
use crate::net::halt::Halt;
use crate::observe::{Level, tasks};

/// Somebody who can tell whether a thing works again.
pub trait Retest: fmt::Debug + Send + Sync {
    /// Tries it. It must end by itself.
    fn retest(&self) -> Tested<'_>;
}

/// It works, or in words why not.
pub type Tested<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// When each lock is due, by what is locked.
type Due = HashMap<(Kind, Arc<str>), Instant>;

impl Locks {
    /// Tests what is locked, each every `lock_retest`, until `stop`.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>) {
        // What was locked before a restart has waited already.
        let mut due = Due::new();
        for entry in self.locked() {
            due.insert((entry.kind, Arc::clone(&entry.name)), Instant::now() + self.pause(true));
        }
        loop {
            let locked = self.locked();
            due.retain(|(kind, name), _| {
                locked.iter().any(|entry| (entry.kind, &entry.name) == (*kind, name))
            });
            let mut next: Option<Instant> = None;
            for entry in locked {
                let key = (entry.kind, Arc::clone(&entry.name));
                let at = due.entry(key).or_insert_with(|| Instant::now() + self.pause(false));
                let is_due = *at <= Instant::now();
                if is_due {
                    *at = Instant::now() + self.pause(false);
                }
                *lock(&entry.due) = Some(*at);
                if is_due {
                    self.test(entry);
                }
                next = Some(next.map_or(*at, |next| next.min(*at)));
            }
            tokio::select! {
                () = passes(next) => {}
                () = self.0.changed.notified() => {}
                _ = stop.heard() => return,
            }
        }
    }

    fn locked(&self) -> Vec<Arc<Entry>> {
        let known = lock(&self.0.known);
        let is_due = |entry: &&Arc<Entry>| entry.is_locked.load(Ordering::Acquire);
        known.values().filter(is_due).cloned().collect()
    }

    /// How long until the next test: the time that is configured, less a part of the jitter; after a
    /// restart, no more than the jitter.
    fn pause(&self, is_restart: bool) -> Duration {
        let settings = lock(&self.0.settings);
        let jitter = settings.retest.mul_f64(f64::from(settings.jitter) / 100.0);
        match is_restart {
            true => jitter.mul_f64(fastrand::f64()),
            false => settings.retest - jitter.mul_f64(fastrand::f64()),
        }
    }

    fn test(&self, entry: Arc<Entry>) {
        let handle = Handle { entry, locks: self.clone() };
        if handle.is_locked_by_hand() {
            return;
        }
        let Some(retest) = lock(&handle.entry.retest).clone() else {
            let (kind, name) = (handle.entry.kind.name(), &handle.entry.name);
            let words = format_args!("locked {kind} {name} is not configured any more: forgotten");
            self.0.voice.say(Level::Info, words);
            self.forget(&handle);
            return;
        };
        if handle.entry.is_tested_now.swap(true, Ordering::AcqRel) {
            return;
        }
        tasks::spawn("retest", async move {
            let tested = retest.retest().await;
            handle.entry.is_tested_now.store(false, Ordering::Release);
            match tested {
                Ok(()) => drop(handle.works()),
                Err(cause) => {
                    let (kind, name) = (handle.entry.kind.name(), &handle.entry.name);
                    let words = format!("{kind} {name} is still locked: {cause}");
                    handle.locks.0.voice.say(Level::Info, words);
                }
            }
        });
    }

    fn forget(&self, handle: &Handle) {
        let entry = &handle.entry;
        lock(&self.0.known).remove(&(entry.kind, Arc::clone(&entry.name)));
        // Whoever still holds it must not find it locked for ever.
        *lock(&entry.lock) = None;
        entry.is_locked.store(false, Ordering::Release);
        entry.failures.store(0, Ordering::Release);
        self.save();
    }
}

async fn passes(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
