//! Waiting, always for something and never for ever.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what should come at once. Two busy cores are slow, not broken.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `found` again and again until it answers, or [`PATIENCE`] ends.
pub fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    Waiting::new(PATIENCE).until(what, found)
}

/// A deadline, and what is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    end: Instant,
}

impl Waiting {
    pub fn new(patience: Duration) -> Self {
        Self { end: Instant::now() + patience }
    }

    /// `None` once the time is over.
    pub fn left(self) -> Option<Duration> {
        self.end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    pub fn until<T>(self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(self.left().is_some(), "waited in vain: {what}");
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}
