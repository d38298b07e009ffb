//! The time of day in the shapes that logs need, made once a second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One second in local time, in every shape.
#[derive(Debug, Default)]
pub struct Stamp {
    second: i64,
    /// `2026/11/20 18:22:18`, of the error log.
    pub error: String,
    /// `20/Nov/2026:18:22:18 +0000`, `$time_local`.
    pub local: String,
    /// `2026-11-20T18:22:18+00:00`, `$time_iso8601`.
    pub iso: String,
    /// `Nov 20 18:22:18`, of RFC 3164 §4.1.2.
    pub syslog: String,
}

impl Stamp {
    fn at(second: i64, zone: TimeZone) -> Self {
        let time = Timestamp::from_second(second).unwrap_or_default().to_zoned(zone);
        let shape = |shape| time.strftime(shape).to_string();
        Self {
            second,
            error: shape("%Y/%m/%d %H:%M:%S"),
            local: shape("%d/%b/%Y:%H:%M:%S %z"),
            iso: shape("%Y-%m-%dT%H:%M:%S%:z"),
            syslog: shape("%b %e %H:%M:%S"),
        }
    }
}

thread_local! {
    static LAST: RefCell<Option<Stamp>> = const { RefCell::new(None) };
}

/// Gives `read` the stamp of `now`. Calendar work is done once a second and thread.
pub fn with<T>(now: SystemTime, read: impl FnOnce(&Stamp) -> T) -> T {
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
    LAST.with_borrow_mut(|last| {
        if last.as_ref().is_none_or(|stamp| stamp.second != second) {
            *last = None;
        }
        read(last.get_or_insert_with(|| Stamp::at(second, TimeZone::system())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_written_in_four_shapes() {
        let stamp = Stamp::at(1_793_499_738, TimeZone::fixed(jiff::tz::offset(2)));
        assert_eq!(stamp.error, "2026/11/01 04:22:18");
        assert_eq!(stamp.local, "01/Nov/2026:04:22:18 +0200");
        assert_eq!(stamp.iso, "2026-11-01T04:22:18+02:00");
        assert_eq!(stamp.syslog, "Nov  1 04:22:18");
    }

    #[test]
    fn the_cached_second_is_not_kept_too_long() {
        let at = |second| UNIX_EPOCH + std::time::Duration::from_secs(second);
        let first = with(at(1_000), |stamp| stamp.iso.clone());
        assert_eq!(with(at(1_000), |stamp| stamp.iso.clone()), first);
        assert_ne!(with(at(1_001), |stamp| stamp.iso.clone()), first);
        assert_eq!(with(at(1_000), |stamp| stamp.iso.clone()), first);
    }
}
