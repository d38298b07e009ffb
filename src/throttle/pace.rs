//! When a failed login may be answered: as late for a user that does not exist as for a password that
//! is wrong. Pure.
//!
//! A lookup says no at once; an upstream takes its time, often on purpose. So whoever has failed is
//! answered so long after the attempt began as the slower of the two takes: the floor that is
//! configured, or what upstreams have been seen to take, whichever is more.
//!
//! **Limits.** Before the first refusal of an upstream only the floor is known. What upstreams take
//! beyond the learnt time (1 in 20, and then seldom by much) still shows.

use std::collections::VecDeque;
use std::time::Duration;

/// So many of the last refusals tell how long one takes.
const REMEMBERED: usize = 64;

/// Whatever upstreams take, nobody waits longer than this for what is known already.
const LONGEST: Duration = Duration::from_secs(10);

/// How far an answer may lie from its time, either way, so that the time itself shows nothing.
const JITTER: f64 = 0.05;

/// How long refusals take.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// The latest last.
    seen: VecDeque<Duration>,
    learnt: Duration,
}

impl Pace {
    /// An upstream has refused a login, `took` after the attempt began.
    pub fn learn(&mut self, took: Duration) {
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(took.min(LONGEST));
        let mut sorted: Vec<_> = self.seen.iter().copied().collect();
        sorted.sort_unstable();
        // With few seen, the slowest of them; a tenth more, to be late rather than early.
        let at = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
        self.learnt = sorted[at].mul_f64(1.1).min(LONGEST);
    }

    /// How long after its beginning a failed login is answered. `chance`: from 0 to 1; no floor
    /// means no pace.
    pub fn due(&self, floor: Duration, chance: f64) -> Duration {
        if floor.is_zero() {
            return Duration::ZERO;
        }
        let factor = 1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        floor.max(self.learnt).mul_f64(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_secs(1);

    #[test]
    fn the_floor_holds_until_more_is_known() {
        let mut pace = Pace::default();
        assert_eq!(pace.due(FLOOR, 0.5), FLOOR);
        pace.learn(Duration::from_secs(2));
        assert_eq!(pace.due(FLOOR, 0.5), Duration::from_millis(2200));
        assert_eq!(pace.due(Duration::ZERO, 0.5), Duration::ZERO);
        pace.learn(Duration::from_secs(3600));
        assert_eq!(pace.due(FLOOR, 0.5), LONGEST);
    }

    #[test]
    fn what_was_seen_long_ago_is_forgotten() {
        let mut pace = Pace::default();
        pace.learn(Duration::from_secs(5));
        for _ in 0..REMEMBERED {
            pace.learn(Duration::from_millis(10));
        }
        assert_eq!(pace.due(FLOOR, 0.5), FLOOR);
        assert_eq!(pace.seen.len(), REMEMBERED);
    }

    /// Requirement C7: a wrong password and an unknown user take the same time, within 5 %.
    #[tokio::test(start_paused = true)]
    async fn a_clock_does_not_tell_who_exists() {
        use tokio::time::{Instant, sleep};
        let mut random = fastrand::Rng::with_seed(7);
        for (least, spread) in [(0.002, 0.01), (0.3, 0.4), (2.0, 0.2), (1.9, 2.0)] {
            let mut pace = Pace::default();
            let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
            for round in 0..2000 {
                // The upstream looks the password up, and takes its time.
                let began = Instant::now();
                let is_wrong = round % 2 == 0;
                let takes = match is_wrong {
                    true => least + spread * random.f64().powi(3),
                    false => 0.001 * random.f64(),
                };
                sleep(Duration::from_secs_f64(takes)).await;
                if is_wrong {
                    pace.learn(began.elapsed());
                }
                let due = pace.due(FLOOR, random.f64());
                sleep(due.saturating_sub(began.elapsed())).await;
                if round >= 200 {
                    let took = began.elapsed().as_secs_f64();
                    if is_wrong { &mut wrong } else { &mut unknown }.push(took);
                }
            }
            let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
            let (wrong, unknown) = (mean(&wrong), mean(&unknown));
            assert!((wrong / unknown - 1.0).abs() < 0.05, "{wrong} s and {unknown} s");
        }
    }
}
