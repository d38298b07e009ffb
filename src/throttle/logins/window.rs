//! Counting failures in a window, purely: what a rule says of a count, and what one key's count is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use super::name::Name;

/// `login_failures_*`: how many failures there may be, and what they cost before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many failures are borne; with them no further attempt is made until the window ends.
    pub most: u32,
    /// From the first failure on.
    pub window: Duration,
    /// So many cost no time.
    pub free: u32,
    /// What the next one costs. Each more doubles it, up to `longest`.
    pub delay: Duration,
    pub longest: Duration,
}

impl Rule {
    /// How long an attempt waits after `count` failures.
    pub fn delay(&self, count: u32) -> Duration {
        let Some(over) = count.checked_sub(self.free) else { return Duration::ZERO };
        // 2^20 of the least delay that can be written is past any longest one that makes sense.
        let factor = 1_u32 << over.min(20);
        self.delay.saturating_mul(factor).min(self.longest)
    }
}

/// What is counted of one key.
#[derive(Debug)]
pub struct Slot {
    /// Of this node, since the window began.
    failures: u32,
    /// Attempts under way, any of which may fail.
    reserved: u32,
    until: Instant,
    /// This node has begun the window that all nodes count in: it knows when that one ends.
    exact: bool,
    /// A count of all nodes that shut it a moment ago, and for how long that is believed unasked.
    shut: Option<(u32, Instant)>,
    /// Those who wait for an attempt under way to end.
    waiting: Option<Arc<Notify>>,
    /// For those who ask; known from the first failure on.
    name: Option<Name>,
}

/// What a rule says of one more attempt.
#[derive(Debug)]
pub enum Say {
    /// It may be made, after that long.
    Go(Duration),
    /// Attempts under way may yet use up what is left: when one of them has ended it is known.
    Wait(OwnedNotified),
    /// Too many have failed.
    Over { count: u32, left: Duration },
}

impl Slot {
    pub fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            reserved: 0,
            until: now,
            exact: false,
            shut: None,
            waiting: None,
            name: None,
        }
    }

    /// Failures of this node within the window.
    pub fn failures(&self, now: Instant) -> u32 {
        if self.until > now { self.failures } else { 0 }
    }

    /// When the window ends: names it, too.
    pub fn until(&self) -> Instant {
        self.until
    }

    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// What `rule` says of one more attempt. `others`: failures that other nodes have counted.
    pub fn say(&mut self, rule: &Rule, others: u32, now: Instant) -> Say {
        let own = self.failures(now);
        let mut count = own.saturating_add(others);
        let mut left = self.until.saturating_duration_since(now);
        if let Some((shut, until)) = self.shut.filter(|(_, until)| *until > now)
            && shut > count
        {
            (count, left) = (shut, until - now);
        }
        if count >= rule.most {
            return Say::Over { count, left: if own >= rule.most { left } else { rule.window } };
        }
        if count.saturating_add(self.reserved) >= rule.most {
            let waiting = self.waiting.get_or_insert_with(Arc::default);
            return Say::Wait(Arc::clone(waiting).notified_owned());
        }
        // Who has failed too often pays for what is under way too; a crowd of the innocent does not.
        let under_way = if count >= rule.free.max(1) { self.reserved } else { 0 };
        Say::Go(rule.delay(count.saturating_add(under_way)))
    }

    /// All nodes together have counted so many, which is too much: that is believed until `until`.
    pub fn shut(&mut self, count: u32, until: Instant) {
        self.shut = Some((count, until));
    }

    pub fn is_shut(&self, rule: &Rule, now: Instant) -> bool {
        self.failures(now) >= rule.most
            || self.shut.is_some_and(|(count, until)| until > now && count >= rule.most)
    }

    pub fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// An attempt under way has ended, however.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
        if let Some(waiting) = &self.waiting {
            waiting.notify_waiters();
        }
    }

    /// One more has failed.
    pub fn fail(&mut self, window: Duration, name: impl FnOnce() -> Name, now: Instant) {
        // One that all of it was forgiven of goes on: other nodes' does too.
        if self.until <= now {
            (self.failures, self.exact, self.until) = (0, false, now + window);
        }
        self.failures = self.failures.saturating_add(1);
        if self.name.is_none() {
            self.name = Some(name());
        }
    }

    /// The window that ends at `until` is the one of all nodes.
    pub fn is_exact(&mut self, until: Instant) {
        self.exact |= self.until == until;
    }

    /// Takes back `count` failures of the window that ends at `until`, and says for how long all
    /// nodes' window goes on, if that is known.
    pub fn forgive(&mut self, count: u32, until: Instant, now: Instant) -> Option<Duration> {
        if self.until != until || until <= now {
            return None;
        }
        self.failures = self.failures.saturating_sub(count);
        self.exact.then(|| until - now)
    }

    /// Forgets all failures; what is under way stays so.
    pub fn clear(&mut self, now: Instant) {
        (self.failures, self.shut, self.exact, self.until) = (0, None, false, now);
        if let Some(waiting) = &self.waiting {
            waiting.notify_waiters();
        }
    }

    /// Nobody would miss it.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.reserved == 0
            && self.failures(now) == 0
            && !(self.exact && self.until > now)
            && self.shut.is_none_or(|(_, until)| until <= now)
            && self.waiting.as_ref().is_none_or(|waiting| Arc::strong_count(waiting) == 1)
    }

    /// How much it is worth to a full table; one in use is not to be given away.
    pub fn worth(&self, now: Instant) -> Option<u64> {
        let is_waited_for = |waiting: &Arc<Notify>| Arc::strong_count(waiting) > 1;
        if self.reserved > 0 || self.waiting.as_ref().is_some_and(is_waited_for) {
            return None;
        }
        let left = self.until.saturating_duration_since(now).as_secs().min(u64::from(u32::MAX));
        Some((u64::from(self.failures(now)) << 32) | left)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule {
        most: 5,
        window: Duration::from_secs(60),
        free: 2,
        delay: Duration::from_secs(1),
        longest: Duration::from_secs(3),
    };

    fn nobody() -> Name {
        Name::User((*b"mrose").into())
    }

    #[test]
    fn the_delay_doubles_within_its_bounds() {
        for (count, want) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (u32::MAX, 3)] {
            assert_eq!(RULE.delay(count), Duration::from_secs(want), "after {count}");
        }
        let none = Rule { delay: Duration::ZERO, ..RULE };
        assert_eq!(none.delay(9), Duration::ZERO);
    }

    #[test]
    fn a_window_begins_with_the_first_failure_and_is_not_lengthened() {
        let start = Instant::now();
        let mut slot = Slot::new(start);
        for second in [0, 20, 40, 59] {
            slot.fail(RULE.window, nobody, start + Duration::from_secs(second));
        }
        let at = |second| start + Duration::from_secs(second);
        assert_eq!((slot.failures(at(59)), slot.failures(at(60))), (4, 0));
        slot.fail(RULE.window, nobody, at(61));
        assert_eq!(slot.failures(at(120)), 1);
    }

    #[test]
    fn failures_of_a_window_that_is_over_are_not_forgiven_in_the_next() {
        let start = Instant::now();
        let mut slot = Slot::new(start);
        slot.fail(RULE.window, nobody, start);
        let old = slot.until();
        let later = start + RULE.window;
        slot.fail(RULE.window, nobody, later);
        assert_eq!(slot.forgive(1, old, later), None);
        assert_eq!(slot.failures(later), 1);
        slot.is_exact(slot.until());
        assert_eq!(slot.forgive(1, slot.until(), later), Some(RULE.window));
        assert_eq!(slot.failures(later), 0);
        assert!(!slot.is_idle(later), "all nodes go on counting in that window");
        slot.fail(RULE.window, nobody, later + RULE.window / 2);
        assert_eq!(slot.forgive(1, slot.until(), later + RULE.window / 2), Some(RULE.window / 2));
    }

    proptest! {
        /// Whatever comes in whatever order, no more than the limit fail in a window.
        #[test]
        fn no_limit_is_passed(steps in proptest::collection::vec((0_u8..4, 0_u64..20), 0..200)) {
            let mut now = Instant::now();
            let mut slot = Slot::new(now);
            let (mut under_way, mut failed) = (0_u32, Vec::new());
            for (what, wait) in steps {
                match what {
                    0 => if let Say::Go(delay) = slot.say(&RULE, 0, now) {
                        prop_assert!(delay <= RULE.longest);
                        slot.reserve();
                        under_way += 1;
                    },
                    1 if under_way > 0 => {
                        slot.fail(RULE.window, nobody, now);
                        slot.release();
                        under_way -= 1;
                        failed.push((slot.until(), now));
                    }
                    2 if under_way > 0 => {
                        slot.release();
                        under_way -= 1;
                    }
                    _ => now += Duration::from_secs(wait),
                }
                let same = failed.iter().filter(|(until, _)| *until == slot.until()).count();
                prop_assert!(same <= RULE.most as usize);
                let within = failed.iter().filter(|(until, at)| *until > now && *at <= now).count();
                prop_assert_eq!(within as u32, slot.failures(now));
                prop_assert!(slot.failures(now) + under_way <= RULE.most);
            }
        }
    }
}
