//! Counts by key, shared by all workers and across reloads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::key::Key;

/// What a key costs besides its own bytes: its place in the table, which may be half empty, its
/// count, and the two allocations.
const OVERHEAD: u64 = 96;

/// The zones that live. Clones share them; kept across reloads, a zone is found again.
#[derive(Clone, Debug, Default)]
pub struct Zones(Arc<Mutex<Vec<Weak<Zone>>>>);

impl Zones {
    /// The zone of this name and key: as it is, or a new one.
    pub fn find(&self, name: &str, key: &Arc<Key>) -> Arc<Zone> {
        let mut zones = lock(&self.0);
        // One that nobody counts in and nobody configures has nothing to be kept for.
        zones.retain(|zone| zone.strong_count() > 0);
        let is_it = |zone: &Arc<Zone>| *zone.name == *name && zone.key == *key;
        if let Some(zone) = zones.iter().filter_map(Weak::upgrade).find(is_it) {
            return zone;
        }
        let (name, key) = (name.into(), Arc::clone(key));
        let zone = Arc::new(Zone { name, key, counts: Mutex::default() });
        zones.push(Arc::downgrade(&zone));
        zone
    }
}

/// `limit_conn_zone`: how many sessions there are of each key.
#[derive(Debug)]
pub struct Zone {
    pub name: Arc<str>,
    pub key: Arc<Key>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// What all keys together cost.
    used: u64,
    by_key: HashMap<Arc<[u8]>, u32>,
}

/// One session of one key, until it is dropped.
#[derive(Debug)]
pub struct Held {
    zone: Arc<Zone>,
    key: Arc<[u8]>,
}

/// Why a session is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// There are as many of its key as may be.
    Most,
    /// There is no room for another key.
    Full,
}

impl Zone {
    /// Counts one session more of `key` if there are fewer than `most`, and if the keys then fit into
    /// `size` bytes. Both are the caller's: an older configuration may have others.
    pub fn enter(self: &Arc<Self>, key: &[u8], most: u32, size: u64) -> Result<Held, Shut> {
        let counts = &mut *lock(&self.counts);
        let key = match counts.by_key.get_key_value(key) {
            Some((_, count)) if *count >= most => return Err(Shut::Most),
            Some((key, _)) => Arc::clone(key),
            None if most == 0 => return Err(Shut::Most),
            None if counts.used + cost(key) > size => return Err(Shut::Full),
            None => {
                counts.used += cost(key);
                key.into()
            }
        };
        *counts.by_key.entry(Arc::clone(&key)).or_default() += 1;
        Ok(Held { zone: Arc::clone(self), key })
    }

    /// How many keys there are, and how many sessions.
    #[cfg(test)]
    pub fn count(&self) -> (usize, u32) {
        let counts = lock(&self.counts);
        (counts.by_key.len(), counts.by_key.values().sum())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let counts = &mut *lock(&self.zone.counts);
        let Some(count) = counts.by_key.get_mut(&self.key) else { return };
        *count -= 1;
        if *count == 0 {
            counts.by_key.remove(&self.key);
            counts.used -= cost(&self.key);
            // What a storm has grown is given back, in steps that are seldom.
            if counts.by_key.capacity() > 1024.max(8 * counts.by_key.len()) {
                counts.by_key.shrink_to(2 * counts.by_key.len());
            }
        }
    }
}

fn cost(key: &[u8]) -> u64 {
    OVERHEAD + key.len() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can leave the counts half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(zones: &Zones, key: &str) -> Arc<Zone> {
        zones.find("z", &Arc::new(Key::read(key).unwrap()))
    }

    #[test]
    fn a_zone_is_found_again_while_anybody_counts_in_it() {
        let zones = Zones::default();
        let old = zone(&zones, "$remote_addr");
        let held = old.enter(b"a", 1, 1000).unwrap();
        drop(old);
        let again = zone(&zones, "$remote_addr");
        assert_eq!(again.enter(b"a", 1, 1000).unwrap_err(), Shut::Most);
        assert!(zone(&zones, "$remote_user").enter(b"a", 1, 1000).is_ok(), "another key");
        drop((held, again));
        assert_eq!(zone(&zones, "$remote_addr").count(), (0, 0));
        assert_eq!(lock(&zones.0).len(), 1);
    }

    #[test]
    fn a_full_zone_refuses_new_keys_and_serves_those_it_has() {
        let zone = zone(&Zones::default(), "$remote_addr");
        let size = 2 * cost(b"abcd");
        let first = zone.enter(b"abcd", 9, size).unwrap();
        let _second = zone.enter(b"efgh", 9, size).unwrap();
        assert_eq!(zone.enter(b"ijkl", 9, size).unwrap_err(), Shut::Full);
        assert!(zone.enter(b"abcd", 9, size).is_ok());
        drop(first);
        assert!(zone.enter(b"ijkl", 9, size).is_ok());
    }

    #[test]
    fn a_key_costs_no_more_than_it_is_said_to() {
        // Of the table: an entry and a control byte for each slot, and the slots double when 7 of 8
        // are taken. Of the key: two counters, and malloc's header and rounding.
        let slot = size_of::<(Arc<[u8]>, u32)>() + 1;
        let key = 2 * size_of::<usize>() + 8 + 15;
        assert!(slot * 16 / 7 + key <= usize::try_from(OVERHEAD).unwrap());
        assert_eq!(size_of::<Held>(), 24);
    }

    #[test]
    fn what_a_storm_has_grown_is_given_back() {
        let zone = zone(&Zones::default(), "$remote_addr");
        let enter = |number: u32| zone.enter(&number.to_ne_bytes(), 1, u64::MAX).unwrap();
        let storm: Vec<_> = (0..100_000).map(enter).collect();
        assert!(lock(&zone.counts).by_key.capacity() >= 100_000);
        drop(storm);
        assert!(lock(&zone.counts).by_key.capacity() <= 1024);
    }

    #[test]
    fn all_workers_count_together() {
        let zone = zone(&Zones::default(), "$remote_addr");
        let work = || {
            let mut most = 0;
            for _ in 0..2000 {
                let held: Vec<_> = (0..3).map(|_| zone.enter(b"a", 5, 1000)).collect();
                most = most.max(zone.count().1);
                drop(held);
            }
            most
        };
        let most = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).max()
        });
        assert!(most <= Some(5));
        assert_eq!(zone.count(), (0, 0));
    }

    proptest! {
        #[test]
        fn no_count_leaks_and_no_limit_is_passed(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..6, any::<usize>()), 0..200),
            most in 0_u32..5,
            keys in 1_u64..8,
        ) {
            let zone = zone(&Zones::default(), "$remote_addr");
            let size = keys * cost(&[0]);
            let mut all: Vec<Held> = Vec::new();
            for (enters, key, at) in steps {
                let same = all.iter().filter(|held| *held.key == [key]).count();
                let others: std::collections::HashSet<_> = all.iter().map(|held| &held.key).collect();
                if enters {
                    let want = match () {
                        () if same >= most as usize => Err(Shut::Most),
                        () if same == 0 && others.len() as u64 >= keys => Err(Shut::Full),
                        () => Ok(()),
                    };
                    let entered = zone.enter(&[key], most, size);
                    prop_assert_eq!(entered.as_ref().map(drop).map_err(|shut| *shut), want);
                    all.extend(entered);
                } else if !all.is_empty() {
                    all.swap_remove(at % all.len());
                }
                prop_assert_eq!(zone.count().1 as usize, all.len());
            }
            drop(all);
            prop_assert_eq!(zone.count(), (0, 0));
            prop_assert_eq!(lock(&zone.counts).used, 0);
        }
    }
}
