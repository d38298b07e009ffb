//! How many connections may be held at once, and who goes when there is no room for another.
//!
//! **In and out.** [`Gate::admit`] gives a [`Permit`], which its connection holds for as long as it
//! lives. Clones of a gate share its count, so one gate is one limit for all workers and across
//! reloads.
//!
//! **Promises.**
//! - When all places are taken, the connection that has been here longest without a login gives way
//!   to the new one: it hears its [`Permit::summons`]. One whose login is being ruled on does only if
//!   there is no other, and after [`LONG`]: logins that wait for a dead upstream must not shut
//!   everybody out. One that is logged in never does. If there is none, the new one is turned away.
//! - Who has been summoned counts until it is gone, and no more than a sixteenth of all places may be
//!   on their way out: a storm of new connections cannot hold more than that beyond the limit.
//! - Every step is O(log n) in connections that are not logged in; one that is logged in costs its
//!   permit, two words.
//!
//! **Limits.** "Longest" is by the order of arrival, whatever the client has said since: one that
//! drips commands is older than one that has just come.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::halt::{Halt, Trigger, halt};

/// A login that takes longer has lost its claim to its place: most take milliseconds.
const LONG: Duration = Duration::from_secs(10);

/// Counts what it lets in. Clones share the count.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Mutex<Places>>);

#[derive(Debug)]
struct Places {
    most: usize,
    /// Permits that live.
    held: usize,
    /// Of these, those that were told to go and have not gone yet.
    leaving: usize,
    /// The number of the newest. Numbers only rise, so the smallest is the oldest.
    last: u64,
    /// Those that may be told to go, by their numbers.
    idle: BTreeMap<NonZeroU64, Trigger>,
    /// Those whose login is being ruled on, and since when.
    busy: BTreeMap<NonZeroU64, (Trigger, Instant)>,
    /// The same, in the order in which that began.
    begun: BTreeSet<(Instant, NonZeroU64)>,
}

/// A place among the connections; dropped, it is free again.
#[derive(Debug)]
pub struct Permit {
    gate: Gate,
    /// None once it is settled.
    number: Option<NonZeroU64>,
}

/// How a connection came in.
#[derive(Debug)]
pub struct Entry {
    pub permit: Permit,
    /// Somebody was told to go, because there is room for so many only. The text is nginx's.
    pub crowded: Option<Crowded>,
}

/// Somebody was told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} worker_connections are not enough, reusing connections")]
pub struct Crowded(usize);

/// The gate stays shut: nobody can be told to go. The text is nginx's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} worker_connections are not enough")]
pub struct Full(usize);

impl Gate {
    /// Lets in `most` connections.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Places {
            most,
            held: 0,
            leaving: 0,
            last: 0,
            idle: BTreeMap::new(),
            busy: BTreeMap::new(),
            begun: BTreeSet::new(),
        })))
    }

    /// Lets a connection in, if need be in place of another.
    pub fn admit(&self) -> Result<Entry, Full> {
        let (trigger, _) = halt();
        let mut places = self.lock();
        let most = places.most;
        let told = match places.held - places.leaving < most {
            true => None,
            false => Some(places.choose().ok_or(Full(most))?),
        };
        let number = places.enter(trigger);
        drop(places);
        let crowded = told.map(|told| {
            told.fire(());
            Crowded(most)
        });
        Ok(Entry { permit: Permit { gate: self.clone(), number: Some(number) }, crowded })
    }

    /// Lets in `most` from now on. Who is in stays in, until another needs its place.
    pub fn allow(&self, most: usize) {
        self.lock().most = most;
    }

    /// How many are in.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.lock().held
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Nothing under the lock can leave the counts half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn enter(&mut self, trigger: Trigger) -> NonZeroU64 {
        let number = NonZeroU64::MIN.saturating_add(self.last);
        self.last = number.get();
        self.held += 1;
        self.idle.insert(number, trigger);
        number
    }

    /// Takes the oldest that may be told to go off the list.
    fn choose(&mut self) -> Option<Trigger> {
        if self.leaving >= (self.most / 16).max(1) {
            return None;
        }
        let told = match self.idle.pop_first() {
            Some((_, told)) => told,
            None => self.choose_stuck()?,
        };
        self.leaving += 1;
        Some(told)
    }

    /// The one whose login has been ruled on for longest, if that is too long.
    fn choose_stuck(&mut self) -> Option<Trigger> {
        let (since, number) = self.begun.first().copied()?;
        if since.elapsed() < LONG {
            return None;
        }
        self.quieten(number)
    }

    /// Takes a login that is being ruled on off both lists.
    fn quieten(&mut self, number: NonZeroU64) -> Option<Trigger> {
        let (trigger, since) = self.busy.remove(&number)?;
        self.begun.remove(&(since, number));
        Some(trigger)
    }

    /// This one is not to be told to go any more.
    fn release(&mut self, number: NonZeroU64) {
        if self.idle.remove(&number).or_else(|| self.quieten(number)).is_none() {
            self.leaving -= 1;
        }
    }
}

impl Permit {
    /// Hears that this connection has to give way to another.
    pub fn summons(&self) -> Halt {
        let (trigger, told) = halt();
        let Some(number) = self.number else { return told };
        let places = self.gate.lock();
        let busy = || places.busy.get(&number).map(|(trigger, _)| trigger);
        if let Some(own) = places.idle.get(&number).or_else(busy) {
            return own.listen();
        }
        // It was told before it listened.
        trigger.fire(());
        told
    }

    /// Whether the connection is in the middle of a login, and keeps its place for [`LONG`]. One that has been summoned already is not called back.
    pub fn keep(&self, is_busy: bool) {
        let Some(number) = self.number else { return };
        let places = &mut *self.gate.lock();
        if is_busy {
            if let Some(trigger) = places.idle.remove(&number) {
                let now = Instant::now();
                places.busy.insert(number, (trigger, now));
                places.begun.insert((now, number));
            }
        } else if let Some(trigger) = places.quieten(number) {
            places.idle.insert(number, trigger);
        }
    }

    /// The connection is logged in: from here on it never gives way.
    pub fn settle(&mut self) {
        if let Some(number) = self.number.take() {
            self.gate.lock().release(number);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle();
        self.gate.lock().held -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn enter(gate: &Gate) -> Permit {
        gate.admit().unwrap().permit
    }

    fn is_told(permit: &Permit) -> bool {
        permit.summons().word().is_some()
    }

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let gate = Gate::new(2);
        let (mut first, mut second) = (enter(&gate), enter(&gate));
        first.settle();
        second.settle();
        assert_eq!(gate.admit().unwrap_err().to_string(), "2 worker_connections are not enough");
        drop(first);
        assert!(gate.admit().unwrap().crowded.is_none());
        assert_eq!(gate.count(), 1);
    }

    #[test]
    fn the_oldest_without_a_login_gives_way() {
        let gate = Gate::new(4);
        let mut permits: Vec<_> = (0..4).map(|_| enter(&gate)).collect();
        let mut summons = permits[2].summons();
        permits[0].settle();
        permits[1].keep(true);
        let entry = gate.admit().unwrap();
        let words = "4 worker_connections are not enough, reusing connections";
        assert_eq!(entry.crowded.unwrap().to_string(), words);
        let told: Vec<_> = permits.iter().map(is_told).collect();
        assert_eq!(told, [false, false, true, false]);
        assert!(summons.poll(&std::task::Context::from_waker(std::task::Waker::noop())).is_ready());
        // Until it is gone there is no room for one more.
        assert!(gate.admit().is_err());
        permits.remove(2);
        // What was refused can be told to go again, and is the oldest now.
        permits[1].keep(false);
        assert!(gate.admit().is_ok() && is_told(&permits[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_does_not_end_gives_way_once_nobody_else_can() {
        let gate = Gate::new(32);
        let permits: Vec<_> = (0..32).map(|_| enter(&gate)).collect();
        for permit in &permits[1..] {
            permit.keep(true);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        // The one that does nothing goes first, however long the others take.
        tokio::time::advance(LONG).await;
        permits[1].keep(false);
        permits[1].keep(true);
        let mut first = enter(&gate);
        assert!(is_told(&permits[0]));
        first.settle();
        let mut second = enter(&gate);
        assert!(is_told(&permits[2]) && !is_told(&permits[1]));
        second.settle();
        // No more than a sixteenth are on their way out.
        assert!(gate.admit().is_err());
        drop((permits, first, second));
        assert_eq!(gate.count(), 0);
        let places = gate.lock();
        assert!(places.idle.is_empty() && places.busy.is_empty() && places.begun.is_empty());
        assert_eq!(places.leaving, 0);
    }

    #[test]
    fn who_logs_in_though_it_was_told_to_go_still_counts() {
        let gate = Gate::new(1);
        let mut lucky = enter(&gate);
        let other = enter(&gate);
        assert!(is_told(&lucky) && gate.count() == 2);
        lucky.keep(true);
        lucky.keep(false);
        lucky.settle();
        drop(other);
        assert!(gate.admit().is_err(), "its place is taken for good");
        drop(lucky);
        assert_eq!(gate.count(), 0);
        assert!(gate.admit().unwrap().crowded.is_none());
    }

    #[test]
    fn a_lower_limit_ends_nobody_by_itself() {
        let gate = Gate::new(3);
        let permits: Vec<_> = (0..3).map(|_| enter(&gate)).collect();
        gate.allow(1);
        assert!(!permits.iter().any(is_told));
        assert!(gate.admit().is_ok() && is_told(&permits[0]));
    }

    #[test]
    fn a_session_pays_two_words() {
        assert_eq!(size_of::<Permit>(), 16);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Enter,
        Keep(usize, bool),
        Settle(usize),
        Leave(usize),
        Allow(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Enter),
            2 => (any::<usize>(), any::<bool>()).prop_map(|(at, busy)| Step::Keep(at, busy)),
            1 => any::<usize>().prop_map(Step::Settle),
            2 => any::<usize>().prop_map(Step::Leave),
            1 => (1_usize..40).prop_map(Step::Allow),
        ]
    }

    /// What the gate should know of a permit: the plainest way to say it.
    struct Known {
        permit: Permit,
        busy: bool,
        settled: bool,
        told: bool,
    }

    proptest! {
        #[test]
        fn it_is_always_the_oldest_idle_one_and_no_count_leaks(
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let gate = Gate::new(20);
            let (mut most, mut all) = (20, Vec::<Known>::new());
            for step in steps {
                match step {
                    Step::Enter => {
                        let leaving = all.iter().filter(|k| k.told && !k.settled).count();
                        let is_crowded = all.len() - leaving >= most;
                        let may_tell = leaving < (most / 16).max(1);
                        let idle = |k: &&mut Known| !(k.busy || k.settled || k.told);
                        let oldest = all.iter_mut().find(idle).filter(|_| may_tell);
                        let entered = gate.admit();
                        prop_assert_eq!(entered.is_ok(), !is_crowded || oldest.is_some());
                        let Ok(Entry { permit, crowded }) = entered else { continue };
                        prop_assert_eq!(crowded.is_some(), is_crowded);
                        if let Some(oldest) = oldest.filter(|_| is_crowded) {
                            oldest.told = true;
                        }
                        all.push(Known { permit, busy: false, settled: false, told: false });
                    }
                    Step::Allow(new) => {
                        most = new;
                        gate.allow(new);
                    }
                    Step::Keep(at, _) | Step::Settle(at) | Step::Leave(at) if !all.is_empty() => {
                        let at = at % all.len();
                        let known = &mut all[at];
                        match step {
                            Step::Keep(_, busy) => {
                                known.permit.keep(busy);
                                known.busy = busy;
                            }
                            Step::Settle(_) => {
                                known.permit.settle();
                                known.settled = true;
                            }
                            _ => drop(all.remove(at)),
                        }
                    }
                    _ => {}
                }
                for known in &all {
                    prop_assert_eq!(is_told(&known.permit), known.told && !known.settled);
                }
                prop_assert_eq!(gate.count(), all.len());
            }
            drop(all);
            let places = gate.lock();
            prop_assert_eq!((places.held, places.leaving), (0, 0));
            prop_assert!(places.idle.is_empty() && places.busy.is_empty());
        }
    }
}
