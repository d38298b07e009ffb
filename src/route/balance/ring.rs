//! Consistent hashing as nginx and Cache::Memcached::Fast do it (ketama, 160 points a unit of
//! weight): a server that comes or goes moves its own share of the keys alone.

use std::fmt;

use super::hash::Crc;

/// Points on the ring for one unit of weight.
const POINTS: u32 = 160;

/// The most weight that a ring may carry in all: its points take 8 bytes each.
pub const MOST_WEIGHT: u64 = 10_000;

/// Which server comes next on the way round.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring(Box<[(u32, u32)]>);

impl Ring {
    /// `servers` as they are written, each with its weight; their places are their order.
    pub fn new<'a>(servers: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let mut points = Vec::new();
        for (at, (text, weight)) in servers.enumerate() {
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let (host, port) = parts(text);
            let base = Crc::new().with(host.as_bytes()).with(b"\0").with(port.as_bytes());
            let mut last = [0; 4];
            for _ in 0..weight.saturating_mul(POINTS) {
                let point = base.with(&last).end();
                points.push((point, at));
                last = point.to_le_bytes();
            }
        }
        // Stable: of servers that meet in a point the first one written has it.
        points.sort_by_key(|(point, _)| *point);
        points.dedup_by_key(|(point, _)| *point);
        Self(points.into())
    }

    /// All servers in the order that `hash` meets them, each point once.
    pub fn from(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let begin = self.0.partition_point(|(point, _)| *point < hash);
        let (before, behind) = self.0.split_at(begin);
        behind.iter().chain(before).map(|(_, at)| *at as usize)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} points)", self.0.len())
    }
}

/// Host and port as nginx takes them apart for this: digits behind the last colon are a port.
fn parts(text: &str) -> (&str, &str) {
    if let Some(path) = text.strip_prefix("unix:") {
        return (path, "");
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (text, ""),
    }
}
