//! How a server is, by what we know of it and by its own `stats`.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::server::{Requests, Server};

/// Some 90 lines of at most 60 bytes.
const MAX_STATS: usize = 32 * 1024;

/// One server of the shared cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// As it is configured, with its port.
    pub server: Arc<str>,
    /// Whether it answers; one that does not is left alone for `reconnect`.
    pub is_up: bool,
    /// For how long it has been so.
    pub since: Duration,
    /// Why it is down.
    pub cause: Option<Arc<str>>,
    /// None where it did not say.
    pub figures: Option<Figures>,
    #[serde(skip)]
    pub requests: Requests,
}

/// What memcached tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub version: String,
    /// Seconds since its start.
    pub uptime: u64,
    pub curr_items: u64,
    /// Of memory that items take.
    pub bytes: u64,
    pub get_hits: u64,
    pub get_misses: u64,
    pub evictions: u64,
}

pub async fn of(server: &Server, deadline: Instant) -> Status {
    let said = server.say(b"stats\r\n", b"END\r\n", MAX_STATS, deadline).await;
    let condition = server.condition();
    Status {
        server: Arc::clone(server.name()),
        is_up: condition.is_up,
        since: condition.since,
        cause: condition.cause,
        figures: said.ok().map(|said| figures(&said)),
        requests: server.requests(),
    }
}

/// Reads `STAT name value` lines; those of other shapes are passed over.
fn figures(said: &[u8]) -> Figures {
    let mut figures = Figures::default();
    for line in said.split(|byte| *byte == b'\n') {
        let Ok(line) = str::from_utf8(line.trim_ascii_end()) else { continue };
        let mut words = line.split(' ');
        let (Some("STAT"), Some(name), Some(value)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let number = value.parse().unwrap_or_default();
        match name {
            "version" => {
                let word = value.chars().filter(char::is_ascii_graphic).take(40);
                figures.version = word.collect();
            }
            "uptime" => figures.uptime = number,
            "curr_items" => figures.curr_items = number,
            "bytes" => figures.bytes = number,
            "get_hits" => figures.get_hits = number,
            "get_misses" => figures.get_misses = number,
            "evictions" => figures.evictions = number,
            _ => {}
        }
    }
    figures
}

/// What must hold for whatever a server says of itself.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let figures = figures(input);
    assert!(figures.version.len() <= 40 && figures.version.is_ascii());
    assert!(!figures.version.contains(char::is_control));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_are_read_and_odd_lines_passed_over() {
        let said = b"STAT version 1.6.18\r\nSTAT curr_items 7\r\nSTAT bytes -1\r\nSTAT\r\n\xff\r\n\
                     STAT get_hits 3\r\nSTAT threads 4\r\nEND\r\n";
        let want =
            Figures { version: "1.6.18".into(), curr_items: 7, get_hits: 3, ..Figures::default() };
        assert_eq!(figures(said), want);
        assert_eq!(figures(b"STAT version \x1b[31m\x07evil\r\n").version, "[31mevil");
    }

    proptest! {
        #[test]
        fn it_holds_for_any(input in prop::collection::vec(any::<u8>(), 0..200)) {
            hold_for_any(&input);
        }
    }
}
