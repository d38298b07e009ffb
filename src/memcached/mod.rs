//! # memcached: the cache that all gateposts of a fleet share
//!
//! What one gatepost has learnt the others need not ask for, and what they count they count
//! together: routes, login counters, leases. It is a cache: it may be cold, down or a liar, and
//! nobody may be sent elsewhere or let in because of what it says.
//!
//! **In and out.** A [`Cache`] is a handle that all share; [`Cache::set_up`] gives it the servers of
//! [`directives::Settings`], at start and again at each reload. It takes logical keys ([`Key`]: any
//! bytes) and values (any bytes, up to 64 KiB), each with its time to live. [`bus::Bus`] carries words
//! to all nodes of a fleet over it.
//!
//! **Directives.** `memcached`, `memcache` and what stands in them, in [`directives`].
//!
//! **Promises.**
//! - No byte of a key reaches the protocol as it is: keys go out as digests.
//! - What is read back is what a holder of the configured key has written for that very logical key,
//!   and has not outlived its time: whoever else writes into the servers is not believed. In Zimbra's
//!   format this holds for [`Key::of`] keys; those of [`Key::verbatim`] are plain, as Zimbra's are.
//! - An answer is taken for the answer to its question alone: it brings a random token back.
//! - A call ends within the configured timeout. A server that failed is left alone for `reconnect`;
//!   the keys that it holds are then [`Error::Down`] at once.
//! - Whatever a server sends, a connection holds no more than one answer of 64 KiB.
//! - The log hears of servers that are down once a minute at most, and once when they are back.
//!
//! **Limits.** Counters ([`Cache::count`]) cannot be authenticated: who writes into the servers can
//! make them say anything. What a holder of the key has once written can be put back by others as long
//! as it lives. A server that was cut off keeps what was deleted meanwhile. Nodes' clocks must agree
//! to the second or so: lives end by them. Who has no cache configured has [`Cache::off`], whose calls
//! are all [`Error::Off`].

mod alarm;
pub mod bus;
mod choice;
mod client;
pub mod directives;
mod link;
#[cfg(test)]
mod memory;
pub mod protocol;
pub mod seal;
mod server;
pub mod status;
#[cfg(test)]
pub mod tests;
mod together;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::observe::{Log, Metrics, names};
use client::Client;
use directives::Settings;
#[cfg(test)]
use memory::Memory;
pub use status::Status;

/// A logical key: what an entry is about, in bytes of any kind. What goes over the wire is a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    bytes: Box<[u8]>,
    is_verbatim: bool,
}

impl Key {
    /// A key from its parts: they are told apart whatever bytes they have.
    pub fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut key = kind.as_bytes().to_vec();
        for part in parts {
            key.push(b'/');
            key.extend_from_slice(part.len().to_string().as_bytes());
            key.push(b':');
            key.extend_from_slice(part);
        }
        Self { bytes: key.into(), is_verbatim: false }
    }

    /// One that [`Key::of`] has made, from its bytes; none where it makes no such bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let kind = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
        let mut rest = &bytes[kind..];
        while !rest.is_empty() {
            let colon = rest.iter().position(|byte| *byte == b':')?;
            let digits = str::from_utf8(rest[..colon].strip_prefix(b"/")?).ok()?;
            let length: usize = digits.parse().ok()?;
            if length.to_string() != digits {
                return None;
            }
            rest = rest[colon + 1..].get(length..)?;
        }
        str::from_utf8(&bytes[..kind]).ok()?;
        Some(Self { bytes: bytes.into(), is_verbatim: false })
    }

    /// A key as somebody else writes it, byte by byte (Zimbra's logical keys).
    pub fn verbatim(text: impl Into<Box<[u8]>>) -> Self {
        Self { bytes: text.into(), is_verbatim: true }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether others know it too.
    fn is_verbatim(&self) -> bool {
        self.is_verbatim
    }
}

/// Why the cache did not answer. None of them is a miss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no cache is configured, or it has no key")]
    Off,
    /// The server of this key failed a moment ago, and is left alone.
    #[error("memcached server {0} is down")]
    Down(Arc<str>),
    #[error("memcached server {0} timed out")]
    Silent(Arc<str>),
    /// Its answer was no answer to that question.
    #[error("memcached server {0} sent an invalid response")]
    Misbehaved(Arc<str>),
    /// Nothing was sent.
    #[error("a value of more than {} bytes", protocol::MAX_VALUE)]
    TooLarge,
}

/// What one server holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub server: Arc<str>,
    /// What the entry is called there.
    pub name: String,
    /// None where it holds nothing that can be believed.
    pub value: Result<Option<Vec<u8>>, Error>,
}

/// The shared cache, or none. Cheap to clone; works from any worker.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tier: ArcSwap<Tier>,
    /// Says that there is another tier.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
enum Tier {
    Off,
    #[cfg(test)]
    Memory(Memory),
    Servers(Arc<Client>),
}

/// What each tier answers, by the same name.
macro_rules! ask {
    ($self:ident.$call:ident($($arg:expr),*)) => {
        match &*$self.tier() {
            Tier::Off => Err(Error::Off),
            #[cfg(test)]
            Tier::Memory(memory) => memory.$call($($arg),*),
            Tier::Servers(client) => client.$call($($arg),*).await,
        }
    };
}

impl Cache {
    /// No cache is configured.
    pub fn off() -> Self {
        Self::of(Tier::Off)
    }

    /// One that lives in this process, by tokio's clock: for tests. Clones share it, so two routers
    /// with clones of one are two nodes of a fleet.
    #[cfg(test)]
    pub fn memory() -> Self {
        Self::of(Tier::Memory(Memory::default()))
    }

    fn of(tier: Tier) -> Self {
        let tier = ArcSwap::from_pointee(tier);
        Self(Arc::new(Shared { tier, changed: watch::Sender::new(()) }))
    }

    /// Has the servers of `settings` from now on, or none; every clone too. Connections are kept
    /// where nothing but the log has changed.
    pub fn set_up(&self, settings: Option<&Settings>, metrics: &Metrics, log: &Log) {
        let old = self.tier();
        let fresh = match (settings, &*old) {
            (None, Tier::Off) => return,
            (None, _) => Tier::Off,
            (Some(settings), Tier::Servers(client)) if client.settings() == settings => {
                client.tell(log);
                return;
            }
            (Some(settings), _) => Tier::Servers(Arc::new(Client::new(settings, metrics, log))),
        };
        let named = |tier: &Tier| match tier {
            Tier::Servers(client) => {
                client.servers().iter().map(|at| Arc::clone(at.name())).collect()
            }
            _ => Vec::new(),
        };
        let kept = named(&fresh);
        for gone in named(&old).iter().filter(|name| !kept.contains(name)) {
            metrics.forget(&names::MEMCACHED_UP, &[gone]);
        }
        self.0.tier.store(Arc::new(fresh));
        self.0.changed.send_replace(());
    }

    fn tier(&self) -> Arc<Tier> {
        self.0.tier.load_full()
    }

    /// Whether there is a cache at all.
    pub fn is_on(&self) -> bool {
        !matches!(*self.tier(), Tier::Off)
    }

    /// Whether entries are shared with Zimbra's proxies: then [`Key::verbatim`] keys and plain values
    /// are what they understand.
    pub fn is_zimbras(&self) -> bool {
        match &*self.tier() {
            Tier::Servers(client) => client.settings().format == directives::Format::Zimbra,
            _ => false,
        }
    }

    /// When a call that begins now is over at the latest.
    pub fn deadline(&self) -> Instant {
        match &*self.tier() {
            Tier::Servers(client) => client.deadline(),
            _ => Instant::now() + Settings::default().timeout,
        }
    }

    /// The value of `key`, if there is one that can be believed.
    pub async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        self.get_by(key, self.deadline()).await
    }

    /// The same, by `deadline`: for calls that follow one another, and are to take no longer together
    /// than one.
    pub async fn get_by(&self, key: &Key, deadline: Instant) -> Result<Option<Vec<u8>>, Error> {
        match &*self.tier() {
            Tier::Off => Err(Error::Off),
            #[cfg(test)]
            Tier::Memory(memory) => memory.get(key),
            Tier::Servers(client) => client.get(key, deadline).await,
        }
    }

    /// Puts `value` there, whatever was there before.
    pub async fn put(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<(), Error> {
        ask!(self.put(key, value, ttl))
    }

    /// Puts `value` there if nothing is there; says whether it did.
    pub async fn add(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<bool, Error> {
        ask!(self.add(key, value, ttl))
    }

    /// Puts `new` there if what is there is `old`; says whether it did.
    pub async fn swap(
        &self,
        key: &Key,
        old: &[u8],
        new: &[u8],
        ttl: Duration,
    ) -> Result<bool, Error> {
        ask!(self.swap(key, old, new, ttl))
    }

    /// Lets what is there live for `ttl` from now; says whether anything was there.
    pub async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool, Error> {
        ask!(self.touch(key, ttl))
    }

    /// Adds `by` to a counter and gives what it is then. The first count starts its life of `ttl`,
    /// which later ones do not lengthen: a window that is fixed.
    pub async fn count(&self, key: &Key, by: u64, ttl: Duration) -> Result<u64, Error> {
        ask!(self.count(key, by, ttl))
    }

    /// What a counter says, without counting.
    pub async fn counted(&self, key: &Key) -> Result<u64, Error> {
        ask!(self.counted(key))
    }

    /// Forgets `key`, on whichever server it may be; says whether any had it.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        ask!(self.delete(key))
    }

    /// Forgets `key`, and says of each server whether it had it.
    pub async fn delete_everywhere(&self, key: &Key) -> Vec<(Arc<str>, Result<bool, Error>)> {
        match &*self.tier() {
            Tier::Off => Vec::new(),
            #[cfg(test)]
            Tier::Memory(memory) => vec![("memory".into(), memory.delete(key))],
            Tier::Servers(client) => client.delete_everywhere(key).await,
        }
    }

    /// What each server holds under `key`.
    pub async fn get_everywhere(&self, key: &Key) -> Vec<Held> {
        match &*self.tier() {
            Tier::Off => Vec::new(),
            #[cfg(test)]
            Tier::Memory(memory) => {
                let name = String::from_utf8_lossy(key.as_bytes()).into_owned();
                vec![Held { server: "memory".into(), name, value: memory.get(key) }]
            }
            Tier::Servers(client) => client.get_everywhere(key).await,
        }
    }

    /// How each server is, by what we know of it and by its own word.
    pub async fn servers(&self) -> Vec<Status> {
        match &*self.tier() {
            Tier::Servers(client) => client.status().await,
            _ => Vec::new(),
        }
    }

    /// From now on every call fails, or works again: for tests of what happens then.
    #[cfg(test)]
    pub fn break_for_tests(&self, is_broken: bool) {
        if let Tier::Memory(memory) = &*self.tier() {
            memory.break_it(is_broken);
        }
    }
}

/// What must hold for whatever is in the servers, and for whatever they say.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Some(key) = Key::read(input) {
        assert_eq!(key.as_bytes(), input);
    }
    assert!(Key::read(Key::of("any", &[input, input]).as_bytes()).is_some());
    seal::hold_for_any(input);
    protocol::hold_for_any(input);
    status::hold_for_any(input);
    bus::hold_for_any(input);
}
