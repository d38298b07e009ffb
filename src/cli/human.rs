//! Figures as people read them.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::admin::api::When;
use crate::observe::escape::{self, Style};

/// How much of a text is shown.
const MAX_TEXT: usize = 512;

/// `45s`, `2m 5s`, `3h 2m`, `3d 4h`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        small => format!("{big}{big_unit} {small}{small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// `999`, `1.2k`, `34M`: powers of 1024.
pub fn bytes(count: u64) -> String {
    let mut rest = count as f64;
    for unit in ["", "k", "M", "G", "T"] {
        if rest < 1023.5 {
            return match unit {
                "" => count.to_string(),
                unit if rest < 9.95 => format!("{rest:.1}{unit}"),
                unit => format!("{rest:.0}{unit}"),
            };
        }
        rest /= 1024.0;
    }
    format!("{rest:.0}P")
}

/// `0.4 ms`, `14 ms`, `3.0 s`.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// In the admin's time.
pub fn time(when: When, zone: &TimeZone) -> String {
    when.timestamp().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Somebody else's words, with nothing in them that steers a terminal.
pub fn text(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    escape::push(&mut out, text.as_bytes(), Style::None, MAX_TEXT);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (seconds, want) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (125, "2m 5s"),
            (3600, "1h"),
            (10_925, "3h 2m"),
            (86_400, "1d"),
            (273_840, "3d 4h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), want);
        }
        for (count, want) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0k"),
            (10_239, "10k"),
            (1_500_000, "1.4M"),
            (1_048_575, "1.0M"),
            (u64::MAX, "16384P"),
        ] {
            assert_eq!(bytes(count), want, "{count}");
        }
        for (ms, want) in [(0.04, "0.0 ms"), (9.96, "10 ms"), (14.5, "14 ms"), (3000.0, "3.0 s")] {
            assert_eq!(millis(ms), want);
        }
    }

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(text("a\u{1b}[31m\nb"), "a\\x1B[31m\\x0Ab");
    }
}
