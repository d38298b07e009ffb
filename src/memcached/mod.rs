//! # memcached: the cache that all gateposts of a fleet share
//!
//! What one gatepost has learnt the others need not ask for, and what they count they count
//! together: routes, login counters, leases. It is a cache: it may be cold, down or a liar, and
//! nobody may be sent elsewhere or let in because of what it says.
//!
//! **In and out.** [`Cache`] is made from [`directives::Settings`] and shared by all who use it. It
//! takes logical keys ([`Key`]: any bytes) and values (any bytes), each with its time to live.
//!
//! **Promises.**
//! - No byte of a key reaches the protocol as it is: keys go out as digests.
//! - What is read back is what a holder of the configured key has written for that very logical key,
//!   and has not outlived its time: whoever else writes into the servers is not believed.
//! - A call ends within the configured timeout. A server that failed is left alone for `reconnect`;
//!   the keys that it holds are then [`Error::Down`] at once.
//!
//! **Limits.** Counters ([`Cache::count`]) cannot be authenticated: who writes into the servers can
//! make them say anything. Who has no cache configured has [`Cache::off`], whose calls are all
//! [`Error::Off`].

pub mod bus;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use memory::Memory;

/// A logical key: what an entry is about, in bytes of any kind. What goes over the wire is a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Box<[u8]>);

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
        Self(key.into())
    }

    /// A key as somebody else writes it, byte by byte (Zimbra's logical keys).
    pub fn verbatim(text: impl Into<Box<[u8]>>) -> Self {
        Self(text.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why the cache did not answer. None of them is a miss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no cache is configured")]
    Off,
    /// The server of this key failed a moment ago, and is left alone.
    #[error("memcached server {0} is down")]
    Down(Arc<str>),
    #[error("memcached server {0} timed out")]
    Silent(Arc<str>),
    /// Its answer was no answer to that question.
    #[error("memcached server {0} sent an invalid response")]
    Misbehaved(Arc<str>),
}

/// The shared cache, or none. Cheap to clone; works from any worker.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Tier>);

#[derive(Debug)]
enum Tier {
    Off,
    Memory(Memory),
}

impl Cache {
    /// No cache is configured.
    pub fn off() -> Self {
        Self(Arc::new(Tier::Off))
    }

    /// One that lives in this process, by tokio's clock: for tests. Clones share it, so two routers
    /// with clones of one are two nodes of a fleet.
    pub fn memory() -> Self {
        Self(Arc::new(Tier::Memory(Memory::default())))
    }

    /// Whether there is a cache at all.
    pub fn is_on(&self) -> bool {
        !matches!(*self.0, Tier::Off)
    }

    /// The value of `key`, if there is one that can be believed.
    pub async fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.get(key),
        }
    }

    /// Puts `value` there, whatever was there before.
    pub async fn put(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<(), Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.put(key, value, ttl),
        }
    }

    /// Puts `value` there if nothing is there; says whether it did.
    pub async fn add(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<bool, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.add(key, value, ttl),
        }
    }

    /// Puts `new` there if what is there is `old`; says whether it did.
    pub async fn swap(
        &self,
        key: &Key,
        old: &[u8],
        new: &[u8],
        ttl: Duration,
    ) -> Result<bool, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.swap(key, old, new, ttl),
        }
    }

    /// Lets what is there live for `ttl` from now; says whether anything was there.
    pub async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.touch(key, ttl),
        }
    }

    /// Adds `by` to a counter and gives what it is then. The first count starts its life of `ttl`,
    /// which later ones do not lengthen: a window that is fixed.
    pub async fn count(&self, key: &Key, by: u64, ttl: Duration) -> Result<u64, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.count(key, by, ttl),
        }
    }

    /// What a counter says, without counting.
    pub async fn counted(&self, key: &Key) -> Result<u64, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.counted(key),
        }
    }

    /// Forgets `key`, on whichever server it may be; says whether any had it.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        match &*self.0 {
            Tier::Off => Err(Error::Off),
            Tier::Memory(memory) => memory.delete(key),
        }
    }

    /// From now on every call fails, or works again: for tests of what happens then.
    pub fn break_for_tests(&self, is_broken: bool) {
        if let Tier::Memory(memory) = &*self.0 {
            memory.break_it(is_broken);
        }
    }
}
