//! How long somebody takes to answer: on average now, and what is seldom exceeded. No clock: times
//! are given.

use std::mem::take;
use std::time::Duration;

use tokio::time::Instant;

/// How long one half of the window is: what is older than two of them no longer counts.
const HALF: Duration = Duration::from_secs(30);

/// How fast the average follows, and how fast it fades where nobody is asked: who was slow gets
/// another chance.
const FOLLOWS: f64 = 5.0;
const FADES: f64 = 10.0;

/// What one answer is worth at the least, however many there are a second.
const LEAST_WEIGHT: f64 = 0.05;

/// The shortest time that is told apart, in seconds, and by what factor the next ones are longer:
/// from 0.1 ms to two minutes.
const SHORTEST: f64 = 0.0001;
const FACTOR: f64 = 1.25;
const STEPS: usize = 64;

/// Of one who is asked.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// In seconds, as it was at the time beside it.
    average: Option<(f64, Instant)>,
    counts: Halves<Counts>,
}

/// What was counted of late: in the half of a window that is now, and in the one before.
#[derive(Clone, Debug, Default)]
pub struct Halves<T> {
    pub now: T,
    pub before: T,
    turned: Option<Instant>,
}

impl<T: Default> Halves<T> {
    /// Begins a new half if the one that is now has lasted for `half`.
    pub fn turn(&mut self, half: Duration, now: Instant) {
        let since = now.duration_since(*self.turned.get_or_insert(now));
        if since < half {
            return;
        }
        let last = take(&mut self.now);
        self.before = if since < half * 2 { last } else { T::default() };
        self.turned = Some(now);
    }
}

#[derive(Clone, Debug)]
struct Counts([u32; STEPS]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; STEPS])
    }
}

impl Latency {
    /// An answer took so long.
    pub fn saw(&mut self, took: Duration, now: Instant) {
        let seconds = took.as_secs_f64();
        let average = match self.average {
            None => seconds,
            Some((average, at)) => {
                let weight = 1.0 - (-(now - at).as_secs_f64() / FOLLOWS).exp();
                average + weight.max(LEAST_WEIGHT) * (seconds - average)
            }
        };
        self.average = Some((average, now));
        self.counts.turn(HALF, now);
        let count = &mut self.counts.now.0[step(seconds)];
        *count = count.saturating_add(1);
    }

    /// The average, faded since the last answer. None where there was none yet.
    pub fn average(&self, now: Instant) -> Option<Duration> {
        let (average, at) = self.average?;
        let faded = average * (-(now - at).as_secs_f64() / FADES).exp();
        Some(Duration::from_secs_f64(faded))
    }

    /// What this share of the answers of the last half to whole minute did not exceed. None where
    /// there were fewer than `least`.
    pub fn within(&mut self, share: f64, least: u32, now: Instant) -> Option<Duration> {
        self.counts.turn(HALF, now);
        let Halves { now, before, .. } = &self.counts;
        let counts = || now.0.iter().zip(&before.0).map(|(now, before)| now + before);
        let all: u32 = counts().sum();
        if all == 0 || all < least {
            return None;
        }
        let wanted = share * f64::from(all);
        let mut seen = 0;
        let reached = counts().position(|count| {
            seen += count;
            f64::from(seen) >= wanted
        });
        let step = i32::try_from(reached.unwrap_or(STEPS - 1)).unwrap_or(i32::MAX);
        Some(Duration::from_secs_f64(SHORTEST * FACTOR.powi(step)))
    }
}

/// The shortest step that is not shorter than this.
fn step(seconds: f64) -> usize {
    let exact = (seconds / SHORTEST).ln() / FACTOR.ln();
    // Zero has no logarithm; what is negative or no number is no step.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let step = exact.ceil().clamp(0.0, (STEPS - 1) as f64) as usize;
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_seldom_exceeded_is_known_within_a_quarter() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        assert_eq!(latency.within(0.95, 1, now), None);
        for count in 1..=100 {
            latency.saw(MS * count, now);
        }
        assert_eq!(latency.within(0.95, 101, now), None, "too few to tell");
        for (share, about) in [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0)] {
            let found = latency.within(share, 20, now).unwrap().as_secs_f64() * 1000.0;
            assert!(found >= about && found <= about * FACTOR, "{share}: {found}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_past_no_longer_counts() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        latency.saw(MS * 500, now);
        let later = now + HALF;
        assert!(latency.within(0.5, 1, later).unwrap() >= MS * 500);
        latency.saw(MS, later);
        assert!(latency.within(0.99, 1, later).unwrap() >= MS * 500);
        assert!(latency.within(0.99, 1, later + HALF).unwrap() < MS * 2);
        assert_eq!(latency.within(0.5, 1, later + HALF * 4), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_average_follows_and_fades() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        assert_eq!(latency.average(now), None);
        latency.saw(MS * 10, now);
        assert_eq!(latency.average(now), Some(MS * 10));
        for _ in 0..100 {
            latency.saw(MS * 100, now);
        }
        assert!(latency.average(now).unwrap() > MS * 98);
        assert!(latency.average(now + Duration::from_secs(60)).unwrap() < MS);
    }

    #[test]
    fn any_time_has_a_step() {
        for (seconds, want) in [(0.0, 0), (0.000_05, 0), (0.000_1, 0), (1e9, STEPS - 1)] {
            assert_eq!(step(seconds), want, "{seconds}");
        }
    }
}
