//! How often a node is told that words were missed: whoever writes into a server can make it look so
//! all the time, and each telling costs the node all that it keeps in the process. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two.
const PAUSE: Duration = Duration::from_secs(30);

/// Of one server.
#[derive(Debug, Default)]
pub struct Missed {
    last: Option<Instant>,
    is_waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// It is to be told now.
    pub is_told: bool,
    /// It was missed now, and is told when the pause is over.
    pub is_held_back: bool,
}

impl Missed {
    /// To be called often, whether or not words were missed now: what was held back is told as soon as
    /// it may be.
    pub fn step(&mut self, has_missed: bool, now: Instant) -> Step {
        self.is_waiting |= has_missed;
        let may = self.last.is_none_or(|last| now >= last + PAUSE);
        let is_told = self.is_waiting && may;
        if is_told {
            (self.last, self.is_waiting) = (Some(now), false);
        }
        Step { is_told, is_held_back: has_missed && !is_told }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_told_at_once_and_then_every_half_minute() {
        let (mut missed, began) = (Missed::default(), Instant::now());
        let mut told = Vec::new();
        // For 100 s something is missed at each poll; then no more.
        for tenth in 0..2000_u32 {
            let now = began + Duration::from_millis(100) * tenth;
            let step = missed.step(tenth < 1000, now);
            assert_eq!(step.is_held_back, tenth < 1000 && !step.is_told);
            if step.is_told {
                told.push(tenth / 10);
            }
        }
        assert_eq!(told, [0, 30, 60, 90, 120], "the last one is not forgotten");
        let later = began + Duration::from_secs(500);
        assert!(missed.step(true, later).is_told);
        assert!(!missed.step(false, later + PAUSE).is_told);
    }
}
