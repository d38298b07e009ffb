//! Following one server's log of events: what is to be read next, and whether some were missed. Pure.
//!
//! A server counts its events in a *generation*. It begins at a random multiple of [`EPOCH`], so that
//! one that has lost its memory, and counts anew, is not taken for one that has gone on.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// More events than a server has between two restarts; beyond it they may be missed, and are told so.
pub const EPOCH: u64 = 1 << 20;

/// Who is behind by more looks everything up afresh.
pub const MOST: u64 = 1024;

/// An event is written after it is counted. How often it is looked for in between.
const TRIES: u8 = 4;

/// What is known of one server's log.
#[derive(Debug, Default)]
pub struct Follower {
    known: Known,
    /// It did not answer, since it last did.
    was_lost: bool,
    /// Counted and not yet seen, and how often they were looked for.
    awaited: BTreeMap<u64, u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// It has never answered.
    #[default]
    Nothing,
    /// It has no log.
    Empty,
    /// Read up to here.
    UpTo(u64),
}

/// What follows from a generation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Events were missed that can no more be read.
    pub missed: bool,
    /// There is no log: it is to be begun.
    pub begin: bool,
}

impl Follower {
    /// It did not answer.
    pub fn lose(&mut self) {
        self.was_lost = true;
    }

    /// Its generation is `now`; none if it has no log.
    pub fn see(&mut self, now: Option<u64>) -> Step {
        let was_lost = std::mem::take(&mut self.was_lost);
        let was = self.known;
        self.known = now.map_or(Known::Empty, Known::UpTo);
        let Some(now) = now else {
            // A log that is gone has taken with it what was said last.
            let missed = match was {
                Known::Nothing => was_lost,
                Known::Empty => false,
                Known::UpTo(_) => true,
            };
            self.awaited.clear();
            return Step { missed, begin: true };
        };
        let of_this_epoch = now - now % EPOCH + 1..=now;
        match was {
            // What was said before we were there is not for us; what was said while it did not
            // answer would have been.
            Known::Nothing => Step { missed: was_lost, begin: false },
            Known::Empty => self.wait_for(of_this_epoch),
            Known::UpTo(last) if last == now => Step::default(),
            Known::UpTo(last) if last / EPOCH == now / EPOCH && last < now => {
                self.wait_for(last + 1..=now)
            }
            Known::UpTo(_) => {
                self.awaited.clear();
                self.wait_for(of_this_epoch);
                Step { missed: true, begin: false }
            }
        }
    }

    fn wait_for(&mut self, events: RangeInclusive<u64>) -> Step {
        let count = events.size_hint().0 as u64 + self.awaited.len() as u64;
        if count > MOST {
            self.awaited.clear();
            return Step { missed: true, begin: false };
        }
        self.awaited.extend(events.map(|event| (event, 0)));
        Step::default()
    }

    /// The events to look for now, at most `most`.
    pub fn awaited(&self, most: usize) -> Vec<u64> {
        self.awaited.keys().copied().take(most).collect()
    }

    /// It was there, and could be read or not.
    pub fn found(&mut self, event: u64) {
        self.awaited.remove(&event);
    }

    /// It was not there. True if that was the last time that it was looked for.
    pub fn give_up(&mut self, event: u64) -> bool {
        let Some(tries) = self.awaited.get_mut(&event) else { return false };
        *tries += 1;
        let is_over = *tries >= TRIES;
        if is_over {
            self.awaited.remove(&event);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 7 * EPOCH;

    const QUIET: Step = Step { missed: false, begin: false };
    const MISSED: Step = Step { missed: true, begin: false };
    const BEGIN: Step = Step { missed: false, begin: true };

    /// Sees each generation in turn; the last step, and what is awaited after it.
    fn after(seen: &[Option<u64>]) -> (Step, Vec<u64>) {
        let mut follower = Follower::default();
        let mut step = Step::default();
        for now in seen {
            step = follower.see(*now);
        }
        (step, follower.awaited(usize::MAX))
    }

    #[test]
    fn what_is_new_is_read_and_what_was_before_is_not() {
        for (seen, step, awaited) in [
            (&[Some(BASE + 5)][..], QUIET, &[][..]),
            (&[Some(BASE + 5), Some(BASE + 5)], QUIET, &[]),
            (&[Some(BASE + 5), Some(BASE + 7)], QUIET, &[BASE + 6, BASE + 7]),
            (&[None], BEGIN, &[]),
            (&[None, None], BEGIN, &[]),
            // The log was begun by another, and two events were said since.
            (&[None, Some(BASE + 2)], QUIET, &[BASE + 1, BASE + 2]),
            (&[None, Some(BASE)], QUIET, &[]),
        ] {
            assert_eq!(after(seen), (step, awaited.to_vec()), "{seen:?}");
        }
    }

    #[test]
    fn a_server_that_lost_its_memory_is_not_taken_for_one_that_went_on() {
        let lost = Step { missed: true, begin: true };
        assert_eq!(after(&[Some(BASE + 5), None]), (lost, vec![]));
        let other = 99 * EPOCH;
        // What was said since is read all the same.
        assert_eq!(after(&[Some(BASE + 5), Some(other + 1)]), (MISSED, vec![other + 1]));
        let earlier = 3 * EPOCH;
        assert_eq!(after(&[Some(BASE + 5), Some(earlier + 1)]), (MISSED, vec![earlier + 1]));
        assert_eq!(after(&[Some(BASE + 5), Some(BASE + 4)]).0, MISSED);
    }

    #[test]
    fn too_many_are_missed_all_together() {
        assert_eq!(after(&[Some(BASE), Some(BASE + MOST)]).1.len() as u64, MOST);
        assert_eq!(after(&[Some(BASE), Some(BASE + MOST + 1)]), (MISSED, vec![]));
        assert_eq!(after(&[Some(BASE), Some(BASE + 5), Some(BASE + MOST + 1)]), (MISSED, vec![]));
        assert_eq!(after(&[Some(0), Some(u64::MAX)]).0, MISSED);
        assert_eq!(after(&[Some(u64::MAX), Some(u64::MAX)]).0, QUIET);
        assert_eq!(after(&[Some(u64::MAX), Some(0)]).0, MISSED);
    }

    #[test]
    fn what_was_said_while_it_did_not_answer_is_read_or_missed() {
        let mut follower = Follower::default();
        follower.lose();
        assert_eq!(follower.see(Some(BASE + 5)), MISSED, "we were there, and it was not");
        follower.lose();
        assert_eq!(follower.see(Some(BASE + 6)), QUIET, "it kept what was said");
        assert_eq!(follower.awaited(9), [BASE + 6]);
        let mut follower = Follower::default();
        follower.lose();
        assert_eq!(follower.see(None), Step { missed: true, begin: true });
    }

    #[test]
    fn an_event_is_looked_for_more_than_once() {
        let mut follower = Follower::default();
        follower.see(Some(BASE));
        follower.see(Some(BASE + 2));
        assert_eq!(follower.awaited(1), [BASE + 1]);
        follower.found(BASE + 1);
        let gave_up: Vec<_> = (0..5).map(|_| follower.give_up(BASE + 2)).collect();
        assert_eq!(gave_up, [false, false, false, true, false]);
        assert!(follower.awaited(9).is_empty());
    }
}
