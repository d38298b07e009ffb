//! The time of day, in seconds: what is written down must mean the same after a restart.

use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(test)]
use tokio::time::Instant;

/// Seconds since 1970.
pub type Seconds = u64;

/// Where the time of day comes from: tests have one that goes by tokio's clock.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    #[cfg(test)]
    Tokio { began: Instant, at: Seconds },
}

impl Clock {
    /// One that says `at` now, and goes on by tokio's clock.
    #[cfg(test)]
    pub fn at(at: Seconds) -> Self {
        Self::Tokio { began: Instant::now(), at }
    }

    pub fn now(self) -> Seconds {
        match self {
            Self::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
            }
            #[cfg(test)]
            Self::Tokio { began, at } => at + began.elapsed().as_secs(),
        }
    }
}

/// `00:12:30`, hours beyond a day too.
pub fn spell(length: Seconds) -> String {
    format!("{:02}:{:02}:{:02}", length / 3600, length / 60 % 60, length % 60)
}
