//! Times and sizes as an admin writes them.

use std::time::Duration;

/// Units of time, the greatest first, in milliseconds.
const TIMES: &[(&str, u64)] = &[
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// `500ms`, `30s`, `1m30s`; a number alone counts in `bare` milliseconds. `None`: not a time, or one
/// that no number holds.
pub fn time(text: &str, bare: u64) -> Option<Duration> {
    let mut rest = text;
    let (mut sum, mut last) = (0_u64, u64::MAX);
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = rest.get(..letters)?;
        rest = rest.get(letters..)?;
        let milliseconds = match unit {
            // A number alone is a whole time, not a part of one.
            "" if last == u64::MAX && rest.is_empty() => bare,
            unit => TIMES.iter().find(|(name, _)| *name == unit)?.1,
        };
        if milliseconds >= last {
            return None;
        }
        last = milliseconds;
        sum = sum.checked_add(number.checked_mul(milliseconds)?)?;
        if rest.is_empty() {
            return Some(Duration::from_millis(sum));
        }
    }
}

/// The shortest way to write a time: `1h`, `1m30s`, `0s`.
pub fn time_text(time: Duration) -> String {
    let mut left = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, milliseconds) in TIMES {
        let count = left / milliseconds;
        left %= milliseconds;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// Bytes, or `8k`, `1m`, `1g`.
pub fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The shortest way to write a size.
pub fn bytes_text(bytes: u64) -> String {
    for (unit, shift) in [("g", 30), ("m", 20), ("k", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, milliseconds, written) in [
            ("60s", 60_000, "1m"),
            ("60", 60_000, "1m"),
            ("500ms", 500, "500ms"),
            ("1m30s", 90_000, "1m30s"),
            ("120000ms", 120_000, "2m"),
            ("1w2d", 777_600_000, "1w2d"),
            ("0", 0, "0s"),
        ] {
            let read = time(text, 1000);
            assert_eq!(read, Some(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(time_text(Duration::from_millis(milliseconds)), written);
        }
        for text in ["", "s", "1x", "30s1m", "1s1s", "1m30", "-1s", "1 s", "1.5s", "99999999999w"] {
            assert_eq!(time(text, 1000), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, count, written) in
            [("0", 0, "0"), ("1000", 1000, "1000"), ("8k", 8192, "8k"), ("1024m", 1 << 30, "1g")]
        {
            assert_eq!(bytes(text), Some(count), "{text}");
            assert_eq!(bytes_text(count), written);
        }
        for text in ["", "k", "-1", "1t", "1kk", "99999999999g", "é"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
