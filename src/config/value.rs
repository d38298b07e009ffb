//! One word to one value: flags, sizes, times, networks. Pure.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Times beyond this overflow somebody's clock; 100 years are as good as for ever.
pub const MAX_TIME: Duration = Duration::from_secs(100 * YEAR / 1000);

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// What is wrong with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is none of the kind.
    Form,
    /// It is one of the kind, and larger than can be.
    TooLarge,
}

/// `on` or `off`, in any case.
pub fn flag(word: &str) -> Option<bool> {
    if word.eq_ignore_ascii_case("on") {
        return Some(true);
    }
    word.eq_ignore_ascii_case("off").then_some(false)
}

/// Bytes, or with `k`, `m` or `g` after the number multiples of 1024.
pub fn size(word: &str) -> Option<u64> {
    read_size(word).ok()
}

/// `30` or `30s`, `1m30s`, `500ms`, `1h`, `1d`, `2w`, `1M` (30 days), `1y` (365 days): the larger
/// unit first, each at most once, blanks between them allowed; a number without one is seconds.
pub fn time(word: &str) -> Option<Duration> {
    read_time(word).ok()
}

/// An address, or a network as `10.0.0.0/8`.
pub fn cidr(word: &str) -> Option<Cidr> {
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(digits(bits)?)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(widest);
    if bits > widest {
        return None;
    }
    // A network of mapped addresses is the IPv4 network it maps.
    let (address, bits) = match address.to_canonical() {
        IpAddr::V4(v4) if address.is_ipv6() && bits >= 96 => (IpAddr::V4(v4), bits - 96),
        _ => (address, bits),
    };
    Some(Cidr::new(address, u8::try_from(bits).ok()?))
}

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// `bits` beyond the address's own are all of them.
    fn new(address: IpAddr, bits: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let bits = bits.min(32);
                Self { address: Ipv4Addr::from_bits(v4.to_bits() & mask_v4(bits)).into(), bits }
            }
            IpAddr::V6(v6) => {
                let bits = bits.min(128);
                Self { address: Ipv6Addr::from_bits(v6.to_bits() & mask_v6(bits)).into(), bits }
            }
        }
    }

    /// Whether `address` lies in it; an IPv4 address mapped into IPv6 counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(v4)) => v4.to_bits() & mask_v4(self.bits) == net.to_bits(),
            (IpAddr::V6(net), IpAddr::V6(v6)) => v6.to_bits() & mask_v6(self.bits) == net.to_bits(),
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn mask_v4(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

fn mask_v6(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

pub fn read_size(word: &str) -> Result<u64, Wrong> {
    let (number, factor) = match word.as_bytes().last() {
        Some(b'k' | b'K') => (&word[..word.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&word[..word.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&word[..word.len() - 1], 1 << 30),
        _ => (word, 1),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::Form);
    }
    let number: u64 = number.parse().map_err(|_| Wrong::TooLarge)?;
    number.checked_mul(factor).ok_or(Wrong::TooLarge)
}

pub fn read_time(word: &str) -> Result<Duration, Wrong> {
    let mut rest = word;
    let mut total = 0_u64;
    // Each unit must be smaller than the one before it.
    let mut last = u64::MAX;
    let mut is_too_large = false;
    loop {
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return Err(Wrong::Form);
        }
        let number = rest[..end].parse::<u64>().ok();
        let (unit, after) = unit(&rest[end..]).ok_or(Wrong::Form)?;
        if unit >= last {
            return Err(Wrong::Form);
        }
        last = unit;
        let sum = number.and_then(|n| n.checked_mul(unit)).and_then(|ms| total.checked_add(ms));
        is_too_large |= sum.is_none();
        total = sum.unwrap_or(total);
        rest = after.trim_start_matches(' ');
        if rest.is_empty() {
            break;
        }
    }
    let time = Duration::from_millis(total);
    if is_too_large || time > MAX_TIME {
        return Err(Wrong::TooLarge);
    }
    Ok(time)
}

/// The unit at the front, in milliseconds, and what follows it.
fn unit(text: &str) -> Option<(u64, &str)> {
    let units = [
        ("ms", 1),
        ("s", SECOND),
        ("m", MINUTE),
        ("h", HOUR),
        ("d", DAY),
        ("w", WEEK),
        ("M", MONTH),
        ("y", YEAR),
        (" ", SECOND),
    ];
    if text.is_empty() {
        return Some((SECOND, text));
    }
    units.iter().find_map(|(name, ms)| text.strip_prefix(name).map(|after| (*ms, after)))
}

/// Digits alone: no sign, as Rust's own parser would allow.
fn digits(word: &str) -> Option<u32> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

/// `2: No such file or directory`, as nginx shows what the system said.
pub fn os_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
            format!("{code}: {text}")
        }
        None => error.to_string(),
    }
}

/// What must hold for any word at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let word = String::from_utf8_lossy(input);
    if let Ok(time) = read_time(&word) {
        assert!(time <= MAX_TIME);
        let again = format!("{}ms", time.as_millis());
        assert_eq!(read_time(&again), Ok(time), "{again}");
    }
    if let Ok(size) = read_size(&word) {
        assert_eq!(read_size(&size.to_string()), Ok(size));
    }
    if let Some(net) = cidr(&word) {
        assert!(net.contains(net.address), "{net}");
        assert_eq!(cidr(&net.to_string()), Some(net), "{net}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_as_nginx_reads_them() {
        for (word, want) in [
            ("0", 0),
            ("30", 30_000),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1m30", 90_000),
            ("1h 30m", 5_400_000),
            ("500ms", 500),
            ("1s500ms", 1_500),
            ("24h", DAY),
            ("1d", DAY),
            ("2w", 2 * WEEK),
            ("1M", MONTH),
            ("1y6M", YEAR + 6 * MONTH),
            ("100y", 100 * YEAR),
        ] {
            assert_eq!(time(word), Some(Duration::from_millis(want)), "{word}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let words = [
            "", "none", "-1", "+1", "s", "1x", "1s1m", "1m1m", "1s30", "1ms5", "1.5s", "1S",
            "1m s", " 1", "1é", "１s", "1hm",
        ];
        for word in words {
            assert_eq!(read_time(word), Err(Wrong::Form), "{word}");
        }
        for word in ["101y", "99999999999999999999", "18446744073709551615s", "100y1s"] {
            assert_eq!(read_time(word), Err(Wrong::TooLarge), "{word}");
        }
        // What is no time at all is not called too large.
        assert_eq!(read_time("99999999999999999999x"), Err(Wrong::Form));
    }

    #[test]
    fn sizes_are_read_as_nginx_reads_them() {
        for (word, want) in [
            ("0", Ok(0)),
            ("512", Ok(512)),
            ("8k", Ok(8192)),
            ("8K", Ok(8192)),
            ("1m", Ok(1 << 20)),
            ("2G", Ok(2 << 30)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(Wrong::TooLarge)),
            ("18446744073709551615k", Err(Wrong::TooLarge)),
            ("", Err(Wrong::Form)),
            ("k", Err(Wrong::Form)),
            ("-1", Err(Wrong::Form)),
            ("+1", Err(Wrong::Form)),
            ("1kb", Err(Wrong::Form)),
            ("1é", Err(Wrong::Form)),
        ] {
            assert_eq!(read_size(word), want, "{word}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses() {
        for (net, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.0.0.1", "::"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.1.1.1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("::/0", "fe80::1", "1.2.3.4"),
        ] {
            let cidr = cidr(net).unwrap();
            assert!(cidr.contains(inside.parse().unwrap()), "{net} {inside}");
            assert!(!cidr.contains(outside.parse().unwrap()), "{net} {outside}");
        }
        assert_eq!(cidr("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for word in ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "host", "/8"] {
            assert_eq!(cidr(word), None, "{word}");
        }
    }

    #[test]
    fn a_flag_is_on_or_off() {
        for (word, want) in [("on", Some(true)), ("OFF", Some(false)), ("yes", None), ("", None)] {
            assert_eq!(flag(word), want, "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_word_is_read_as_what_it_is_written_as_again(
            word in "([0-9]{1,20}(ms|[smhdwMykKG ])?){1,4}|[0-9a-f:.]{1,20}(/[0-9]{1,3})?|\\PC{0,9}",
        ) {
            hold_for_any(word.as_bytes());
        }
    }
}
