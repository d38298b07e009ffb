//! A table of counts that never holds more than it may: where it is full, what matters least goes.
//! Pure but for the dice, which its caller brings.

use std::collections::HashMap;

/// Values by keyed 64-bit hashes. Two of the same hash are one; with a secret key nobody can choose
/// them.
#[derive(Debug)]
pub struct Table<T> {
    most: usize,
    index: HashMap<u64, usize>,
    entries: Vec<(u64, T)>,
}

/// How many are looked at to find the one that matters least: the one that goes is then among the
/// lesser half with a chance of 255 in 256.
const SAMPLE: usize = 8;

impl<T> Table<T> {
    pub fn new(most: usize) -> Self {
        Self { most, index: HashMap::new(), entries: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= self.most
    }

    pub fn get(&self, key: u64) -> Option<&T> {
        self.index.get(&key).map(|at| &self.entries[*at].1)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.index.get(&key).map(|at| &mut self.entries[*at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    /// The value of `key`, made if there is none. Then, if the table is full, one that `worth` makes
    /// the least of goes; those without a worth stay, even if the table outgrows its bound by them.
    pub fn enter(
        &mut self,
        key: u64,
        make: impl FnOnce() -> T,
        worth: impl Fn(&T) -> Option<u64>,
    ) -> &mut T {
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None => {
                if self.is_full() {
                    self.evict(worth);
                }
                self.entries.push((key, make()));
                self.index.insert(key, self.entries.len() - 1);
                self.entries.len() - 1
            }
        };
        &mut self.entries[at].1
    }

    pub fn remove(&mut self, key: u64) -> Option<T> {
        let at = self.index.remove(&key)?;
        let (_, value) = self.entries.swap_remove(at);
        if let Some((moved, _)) = self.entries.get(at) {
            self.index.insert(*moved, at);
        }
        Some(value)
    }

    /// Keeps what `keep` says, and gives back room that a storm has taken.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        self.entries.retain_mut(|(_, value)| keep(value));
        self.index.clear();
        if self.index.capacity() > 1024.max(8 * self.entries.len()) {
            self.index.shrink_to(2 * self.entries.len());
            self.entries.shrink_to(2 * self.entries.len());
        }
        self.index.extend(self.entries.iter().enumerate().map(|(at, (key, _))| (*key, at)));
    }

    fn evict(&mut self, worth: impl Fn(&T) -> Option<u64>) {
        let all = self.entries.len();
        let any = || (0..SAMPLE).map(|_| fastrand::usize(..all));
        let ranked = any().filter_map(|at| Some((worth(&self.entries[at].1)?, at)));
        if let Some((_, at)) = ranked.min() {
            let key = self.entries[at].0;
            self.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_matters_least_goes_when_it_is_full() {
        let mut table = Table::new(1000);
        for key in 0..100 {
            table.enter(key, || 50_u64, |worth| Some(*worth));
        }
        for key in 100..100_000 {
            table.enter(key, || 1, |worth| Some(*worth));
        }
        assert_eq!(table.len(), 1000);
        let kept = (0..100).filter(|key| table.get(*key).is_some()).count();
        assert!(kept >= 95, "{kept} of 100 that matter were kept");
    }

    #[test]
    fn a_million_addresses_take_no_more_room_than_is_granted() {
        let mut table = Table::new(super::super::ledger::MOST_KEYS);
        for key in 0..1_000_000 {
            table.enter(key, || 1_u64, |worth| Some(*worth));
        }
        assert_eq!(table.len(), super::super::ledger::MOST_KEYS);
        assert!(table.entries.capacity() <= 2 * table.len());
    }

    #[test]
    fn what_has_no_worth_is_never_thrown_out() {
        let mut table = Table::new(10);
        for key in 0..20 {
            table.enter(key, || (), |()| None);
        }
        assert_eq!(table.len(), 20);
    }

    #[test]
    fn what_a_storm_has_grown_is_given_back() {
        let mut table = Table::new(1 << 20);
        for key in 0..200_000 {
            table.enter(key, || key, |_| Some(0));
        }
        table.retain(|value| *value < 10);
        assert!(table.len() == 10 && table.index.capacity() <= 1024, "{}", table.index.capacity());
        assert!(table.entries.capacity() <= 1024);
        assert!((0..10).all(|key| table.get(key) == Some(&key)));
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0_u8..3, 0_u64..20, any::<u8>()), 0..200)) {
            let (mut table, mut model) = (Table::new(1000), HashMap::new());
            for (what, key, value) in steps {
                match what {
                    0 => {
                        *table.enter(key, || 0, |_| Some(0)) = value;
                        model.insert(key, value);
                    }
                    1 => prop_assert_eq!(table.remove(key), model.remove(&key)),
                    _ => {
                        table.retain(|kept| *kept < value);
                        model.retain(|_, kept| *kept < value);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                for key in 0..20 {
                    prop_assert_eq!(table.get(key), model.get(&key));
                }
            }
        }
    }
}
