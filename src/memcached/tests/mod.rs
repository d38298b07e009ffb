//! The cache as its users have it: before servers that lie, and before real ones. Those who keep
//! something in it test that with the same.

mod bus;
pub mod fake;
mod hostile;
pub mod live;
mod zimbra;

// What the live tests of tests/ stand on, unchanged.
#[path = "../../../tests/support/loopback.rs"]
mod loopback;
#[path = "../../../tests/support/memcached.rs"]
mod memcached;
#[path = "../../../tests/support/wait.rs"]
pub mod wait;

use std::sync::Arc;
use std::time::Duration;

use super::directives::{Format, Settings};
use super::seal::Keyring;
use super::*;
use crate::net::Place;
use crate::observe::{Level, Log, Metrics};
pub use memcached::Memcached;
use wait::PATIENCE;

/// Enough for two busy cores, too little to be waited for often.
pub const TIMEOUT: Duration = Duration::from_millis(500);

/// Enough to see that a server is left alone.
pub const RECONNECT: Duration = Duration::from_millis(800);

const HOUR: Duration = Duration::from_secs(3600);

pub fn keyring(digits: &[&str]) -> Arc<Keyring> {
    let text: Vec<_> = digits.iter().map(|digit| digit.repeat(64)).collect();
    Arc::new(Keyring::parse(text.join("\n").as_bytes()).unwrap())
}

pub fn settings(servers: &[String]) -> Settings {
    Settings {
        servers: servers.iter().map(|name| Place::parse(name, Some(11211)).unwrap()).collect(),
        timeout: TIMEOUT,
        reconnect: RECONNECT,
        keys: Some(keyring(&["1"])),
        ..Settings::default()
    }
}

pub fn names(servers: &[Memcached]) -> Vec<String> {
    servers.iter().map(Memcached::name).collect()
}

pub fn cache_of(settings: &Settings) -> Cache {
    let cache = Cache::off();
    cache.set_up(Some(settings), &Metrics::new(), &Log::silent());
    cache
}

fn cache(servers: &[Memcached]) -> Cache {
    cache_of(&settings(&names(servers)))
}

pub fn zimbras(servers: &[Memcached]) -> Settings {
    Settings { format: Format::Zimbra, keys: None, ..settings(&names(servers)) }
}

/// What those do who are none of ours.
impl Memcached {
    /// Puts `value` there, as anybody can who reaches it.
    pub fn put(&self, key: &str, value: &str) {
        self.say(&format!("set {key} 0 0 {}\r\n{value}", value.len()), "STORED");
    }

    /// The keys that it holds. One that is being read at that moment is left out.
    pub fn keys(&self) -> Vec<String> {
        let dump = self.say("lru_crawler metadump all", "END");
        let key = |line: &String| Some(line.strip_prefix("key=")?.split(' ').next()?.to_owned());
        dump.iter().filter_map(key).map(|key| key.replace("%3A", ":")).collect()
    }
}

/// As `tests/support/process.rs` has it.
mod process {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    pub fn send(pid: u32, signal: Signal) {
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
    }
}

fn key(user: &str) -> Key {
    Key::of("route", &[user.as_bytes()])
}

/// Asks again and again until `found` answers, or patience ends.
pub async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut found: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_key_is_read_back_as_what_made_it() {
    let long = [b'x'; 1000];
    let table: [&[&[u8]]; 5] = [&[], &[b""], &[b"", b""], &[b"a/1:b", b"c"], &[b"\xff\0", &long]];
    for parts in table {
        let key = Key::of("route", parts);
        assert_eq!(Key::read(key.as_bytes()), Some(key.clone()));
        assert_ne!(Key::verbatim(key.as_bytes()), key, "others do not know it");
    }
    for bytes in
        [&b"route/"[..], b"route/1:", b"route/01:a", b"route/+1:a", b"route/1:ab", b"\xff/1:a"]
    {
        assert_eq!(Key::read(bytes), None, "{}", bytes.escape_ascii());
    }
}
