//! What one address of a server has shown of itself. Pure: time is an argument.
//!
//! ```text
//!          max_fails failures within fail_timeout
//!   sound ────────────────────────────────────────▶ set aside ──┐ after fail_timeout: one login
//!     ▲                                               │   ▲     │ may try it, the next one after
//!     └───────────────── a success ───────────────────┘   └─────┘ another fail_timeout
//! ```

use std::time::Duration;

use tokio::time::Instant;

use crate::route::group::Limits;

/// How much of the last value the next one keeps: of ten logins' time, about.
const DECAY: f64 = 0.8;

#[derive(Clone, Debug, Default)]
pub struct Health {
    fails: u32,
    /// When the first of those failed.
    since: Option<Instant>,
    /// Until when nobody is sent there.
    aside_until: Option<Instant>,
    last_failure: Option<Instant>,
    /// What active checks say: so many the same in a row, and whether it is down by them.
    checks: u32,
    check_was_good: bool,
    pub is_unhealthy: bool,
    /// How long a login takes, in seconds, lately.
    took: Option<f64>,
}

impl Health {
    /// Whether logins are sent there now.
    pub fn is_usable(&self, now: Instant) -> bool {
        !self.is_unhealthy && self.aside_until.is_none_or(|until| until <= now)
    }

    /// Until when nobody is sent there, if it was set aside.
    pub fn aside_until(&self) -> Option<Instant> {
        self.aside_until
    }

    /// When it last failed, since it last worked.
    pub fn last_failure(&self) -> Option<Instant> {
        self.last_failure
    }

    pub fn took(&self) -> Option<Duration> {
        self.took.map(Duration::from_secs_f64)
    }

    /// Somebody is sent there: if it was set aside, the others wait for what comes of it.
    pub fn try_it(&mut self, now: Instant, limits: &Limits) {
        if self.aside_until.is_some() {
            self.aside_until = Some(now + limits.fail_timeout);
        }
    }

    /// Says whether it is set aside for that, and was not before.
    pub fn failed(&mut self, now: Instant, limits: &Limits) -> bool {
        self.last_failure = Some(now);
        if limits.max_fails == 0 {
            return false;
        }
        if self.aside_until.is_some() {
            self.aside_until = Some(now + limits.fail_timeout);
            return false;
        }
        if self.since.is_none_or(|since| now.duration_since(since) > limits.fail_timeout) {
            (self.fails, self.since) = (0, Some(now));
        }
        self.fails = self.fails.saturating_add(1);
        let is_over = self.fails >= limits.max_fails;
        if is_over {
            self.aside_until = Some(now + limits.fail_timeout);
        }
        is_over
    }

    /// Says whether it is back with that. As in nginx, a success alone does not make up for failures
    /// of the same `fail_timeout`.
    pub fn works(&mut self, took: Option<Duration>) -> bool {
        if let Some(took) = took {
            let took = took.as_secs_f64();
            self.took = Some(self.took.map_or(took, |old| old * DECAY + took * (1.0 - DECAY)));
        }
        self.last_failure = None;
        let was_aside = self.aside_until.take().is_some();
        if was_aside {
            (self.fails, self.since) = (0, None);
        }
        was_aside
    }

    /// An active check went so. Gives its verdict if that is another than before.
    pub fn checked(&mut self, is_good: bool, fails: u32, passes: u32) -> Option<bool> {
        if self.check_was_good != is_good {
            self.checks = 0;
        }
        self.check_was_good = is_good;
        self.checks = self.checks.saturating_add(1);
        let enough = if is_good { passes } else { fails };
        let changes = self.is_unhealthy == is_good && self.checks >= enough;
        if changes {
            self.is_unhealthy = !is_good;
        }
        changes.then_some(is_good)
    }

    /// Whether the last checks were good, as many as it takes.
    pub fn has_passed(&self, passes: u32) -> bool {
        self.check_was_good && self.checks >= passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(max_fails: u32, fail_timeout: u64) -> Limits {
        Limits {
            max_fails,
            fail_timeout: SECOND * u32::try_from(fail_timeout).unwrap(),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn enough_failures_within_the_time_set_it_aside_for_the_time() {
        let (now, limits) = (Instant::now(), limits(3, 10));
        let mut health = Health::default();
        assert!(!health.failed(now, &limits));
        assert!(!health.failed(now + SECOND, &limits));
        // The first two are forgotten by now.
        assert!(!health.failed(now + 11 * SECOND, &limits));
        assert!(!health.failed(now + 12 * SECOND, &limits) && health.is_usable(now + 12 * SECOND));
        assert!(health.failed(now + 13 * SECOND, &limits));
        assert!(!health.is_usable(now + 22 * SECOND) && health.is_usable(now + 23 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn one_login_at_a_time_finds_out_whether_it_is_back() {
        let (now, limits) = (Instant::now(), limits(1, 10));
        let mut health = Health::default();
        health.failed(now, &limits);
        let later = now + 10 * SECOND;
        assert!(health.is_usable(later));
        health.try_it(later, &limits);
        assert!(!health.is_usable(later), "the others wait");
        // It never said what became of it: after the time the next one may try.
        assert!(health.is_usable(later + 10 * SECOND));
        assert!(health.works(None) && health.is_usable(later));
        assert!(!health.works(None), "it was back already");
    }

    #[tokio::test(start_paused = true)]
    async fn zeros_mean_what_zimbra_says() {
        let now = Instant::now();
        let mut health = Health::default();
        assert!((0..100).all(|_| !health.failed(now, &limits(0, 10))), "max_fails 0: never");
        assert!(health.is_usable(now));
        assert!(health.failed(now, &limits(1, 0)), "reconnect_timeout 0: at once");
        assert!(health.is_usable(now));
    }

    #[test]
    fn checks_have_the_last_word_after_enough_of_the_same() {
        let mut health = Health::default();
        let told: Vec<_> = [false, false, true, false, false, false, true, false, true, true, true]
            .map(|is_good| health.checked(is_good, 3, 2))
            .into();
        let mut want = vec![None; 11];
        (want[5], want[9]) = (Some(false), Some(true));
        assert_eq!(told, want);
    }

    #[test]
    fn the_time_it_takes_is_that_of_late() {
        let mut health = Health::default();
        health.works(Some(SECOND));
        assert_eq!(health.took(), Some(SECOND));
        for _ in 0..50 {
            health.works(Some(3 * SECOND));
        }
        assert!(health.took().unwrap() > Duration::from_millis(2900));
    }
}
