//! Instants and durations as an admin reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::admin::api::When;

/// The time of day of an instant that is to come, or was.
pub fn at(instant: Instant) -> When {
    let (now, today) = (Instant::now(), SystemTime::now());
    let moved = match instant.checked_duration_since(now) {
        Some(ahead) => today.checked_add(ahead),
        None => today.checked_sub(now.duration_since(instant)),
    };
    moved.unwrap_or(today).into()
}

/// From seconds since 1970.
pub fn of(seconds: u64) -> When {
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    since.unwrap_or(UNIX_EPOCH).into()
}

/// Milliseconds, to a hundredth.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_clock_can_say_is_no_panic() {
        assert_eq!(of(0).unix(), 0);
        let _ = of(u64::MAX);
        assert!((ms(Duration::from_micros(1234)) - 1.23).abs() < 1e-9);
        let soon = at(Instant::now() + Duration::from_secs(100)).unix();
        let now = When::from(SystemTime::now()).unix();
        assert!((99..=101).contains(&(soon - now)));
    }
}
