//! When a second handler is asked although the first has not failed, and how often that may be.
//!
//! A handler that hangs says nothing, so nobody can wait for it to fail. But a fleet in which all
//! handlers are slow must not be asked twice as much for it: so only a share of the questions may
//! be asked twice, unless the first handler has fallen silent altogether and the second has not.

use std::time::Duration;

use tokio::time::Instant;

use crate::observe::latency::Halves;

/// `hedge` of a `lookup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hedge {
    Off,
    /// After what the handler itself seldom exceeds.
    #[default]
    Own,
    After(Duration),
}

/// A handler that was asked for so long, and has not said a word to anybody since, is silent.
pub const SILENT: Duration = Duration::from_millis(400);

/// Before a handler is known, it gets so long.
const UNKNOWN: Duration = Duration::from_millis(100);

/// Below this a second question costs more than it brings.
const SHORTEST: Duration = Duration::from_millis(5);

/// How many answers tell what a handler seldom exceeds.
pub const LEAST: u32 = 20;

impl Hedge {
    /// How long one waits for a handler that seldom (once in 20 times) takes more than `seldom`.
    pub fn after(self, seldom: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Own => Some(seldom.unwrap_or(UNKNOWN).clamp(SHORTEST, SILENT)),
            Self::After(time) => Some(time),
        }
    }
}

/// How many questions may be asked twice: one in ten, and a few more where there are few questions.
#[derive(Debug, Default)]
pub struct Budget(Halves<Counts>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    questions: u32,
    hedges: u32,
}

const SHARE: u32 = 10;
const FEW: u32 = 5;
const HALF: Duration = Duration::from_secs(10);

impl Budget {
    /// A question is asked for the first time.
    pub fn asked(&mut self, now: Instant) {
        self.0.turn(HALF, now);
        self.0.now.questions = self.0.now.questions.saturating_add(1);
    }

    /// Whether it may be asked a second time; if so, that is counted.
    pub fn may_hedge(&mut self, now: Instant) -> bool {
        self.0.turn(HALF, now);
        let Halves { now, before, .. } = &mut self.0;
        let questions = now.questions.saturating_add(before.questions);
        let hedges = now.hedges.saturating_add(before.hedges);
        let may = hedges < FEW + questions / SHARE;
        now.hedges += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handlers_own_pace_decides_within_bounds() {
        let ms = Duration::from_millis;
        for (hedge, seldom, want) in [
            (Hedge::Off, Some(ms(20)), None),
            (Hedge::Own, Some(ms(20)), Some(ms(20))),
            (Hedge::Own, Some(ms(1)), Some(SHORTEST)),
            (Hedge::Own, Some(ms(9000)), Some(SILENT)),
            (Hedge::Own, None, Some(UNKNOWN)),
            (Hedge::After(ms(700)), Some(ms(20)), Some(ms(700))),
        ] {
            assert_eq!(hedge.after(seldom), want, "{hedge:?} {seldom:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_in_ten_may_be_asked_twice() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        let count = |budget: &mut Budget, now| (0..1000).filter(|_| budget.may_hedge(now)).count();
        for _ in 0..1000 {
            budget.asked(now);
        }
        assert_eq!(count(&mut budget, now), 105);
        assert_eq!(count(&mut budget, now + HALF), 0, "they are still counted");
        assert_eq!(count(&mut budget, now + HALF * 4), 5, "a few always may");
    }
}
