//! How often one key may do something, without any I/O: the governor crate's buckets, kept small.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;

use super::directives::Quota;

/// How many keys have a bucket of their own; beyond them whole networks share one, and beyond twice
/// as many [`BUCKETS`] are left for all others.
const MOST: usize = 100_000;
const BUCKETS: u64 = 4096;

/// How often the keys are counted, by calls: as many may come in unseen.
const CENSUS: u32 = 1024;

/// Buckets by keyed hashes.
pub struct Flood {
    limiter: RateLimiter<u64, DashMapStateStore<u64>, Tokio, NoOpMiddleware<Instant>>,
    most: usize,
    keys: AtomicUsize,
    calls: AtomicU32,
}

/// tokio's clock, which tests can pause.
#[derive(Clone, Copy, Debug)]
struct Tokio;

impl Clock for Tokio {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl Flood {
    pub fn new(quota: Quota) -> Self {
        Self::holding(MOST, quota)
    }

    fn holding(keys: usize, quota: Quota) -> Self {
        let most = NonZeroU32::new(quota.most).unwrap_or(NonZeroU32::MIN);
        let each = (quota.per / most.get()).max(Duration::from_nanos(1));
        let quota = governor::Quota::with_period(each).expect("it is more than nothing");
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota.allow_burst(most), Tokio),
            most: keys,
            keys: AtomicUsize::new(0),
            calls: AtomicU32::new(0),
        }
    }

    /// Whether `key` may once more; it has then. `coarse`: what it is counted by where there are too
    /// many keys.
    pub fn admits(&self, key: u64, coarse: u64) -> bool {
        if self.calls.fetch_add(1, Ordering::Relaxed) % CENSUS == CENSUS - 1 {
            self.take_census();
        }
        let keys = self.keys.load(Ordering::Relaxed);
        let key = match keys {
            _ if keys < self.most => key,
            _ if keys < 2 * self.most => coarse,
            _ => coarse % BUCKETS,
        };
        self.limiter.check_key(&key).is_ok()
    }

    /// Forgets those that have been quiet, and gives their memory back.
    pub fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.keys.store(self.limiter.len(), Ordering::Relaxed);
    }

    pub fn len(&self) -> usize {
        self.limiter.len()
    }

    fn take_census(&self) {
        let keys = self.limiter.len();
        self.keys.store(keys, Ordering::Relaxed);
        if keys >= self.most {
            self.sweep();
        }
    }
}

impl fmt::Debug for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flood").field("keys", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_then_one_at_a_time() {
        let flood = Flood::new(Quota { most: 6, per: Duration::from_secs(60) });
        assert_eq!((0..20).filter(|_| flood.admits(1, 0)).count(), 6);
        assert!(flood.admits(2, 0), "another key");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!((0..20).filter(|_| flood.admits(1, 0)).count(), 1);
        tokio::time::advance(Duration::from_secs(3600)).await;
        flood.sweep();
        assert_eq!(flood.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_keys_needs_no_more_room_than_is_granted() {
        let quota = Quota { most: 1, per: Duration::from_secs(3600) };
        let flood = Flood::holding(10_000, quota);
        for key in 0..200_000_u64 {
            flood.admits(key | 1 << 40, (key / 3) | 1 << 50);
        }
        let most = 2 * (10_000 + CENSUS as usize) + BUCKETS as usize;
        assert!(flood.len() <= most, "{} keys", flood.len());
        assert!(!flood.admits(1 << 60, 5), "what is left is shared");
    }
}
