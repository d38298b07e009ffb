//! One session in the table, and how it is ordered there.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Order};

use super::{Inner, Place, Seen, Session};
use crate::net::bell::Bell;
use crate::net::copy::{Leash, Outside};
use crate::net::{Endpoint, addr};

/// Why a session is ended, as its bell says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kick {
    /// All sessions of its user: a kick, or a move.
    User = 1,
    /// All at its server: `drain` that ends them, `remove`.
    Server,
    /// Its user's sessions are to be at another server.
    Elsewhere,
}

impl Kick {
    fn of(word: NonZeroU8) -> Self {
        match word.get() {
            1 => Self::User,
            2 => Self::Server,
            _ => Self::Elsewhere,
        }
    }

    fn word(self) -> NonZeroU8 {
        NonZeroU8::new(self as u8).expect("they begin with 1")
    }

    /// What the log says.
    pub fn words(self) -> &'static str {
        match self {
            Self::User => "user was kicked",
            Self::Server => "upstream server was drained",
            Self::Elsewhere => "user has moved to another upstream server",
        }
    }
}

/// Small: there is one for each session.
#[derive(Debug)]
pub(super) struct Entry {
    pub id: u64,
    pub user: Arc<str>,
    pub place: Arc<Place>,
    pub bell: Bell,
    /// Seconds since 1970: enough until 2106.
    since: u32,
    /// None: a unix socket.
    client: Option<IpAddr>,
    port: u16,
    /// What was carried so far, from the client and to it.
    up: AtomicU64,
    down: AtomicU64,
}

impl Entry {
    pub fn new(session: &Session<'_>, user: Arc<str>, since: u64, place: Arc<Place>) -> Self {
        Self {
            id: session.id,
            user,
            place,
            bell: Bell::default(),
            since: u32::try_from(since).unwrap_or(u32::MAX),
            client: session.client.ip(),
            port: session.client.port().unwrap_or(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        }
    }

    /// Says whether it was not told before.
    pub fn ring(&self, kick: Kick) -> bool {
        self.bell.ring(kick.word())
    }

    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Bytes from the client, and to it.
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.load(Order::Relaxed), self.down.load(Order::Relaxed))
    }

    pub fn seen(&self) -> Seen {
        let client = match self.client {
            Some(ip) => Endpoint::Tcp(addr::plain((ip, self.port).into())).to_string(),
            None => "unix:".to_owned(),
        };
        Seen {
            id: self.id,
            user: Arc::clone(&self.user),
            protocol: self.place.protocol,
            tls: self.place.tls,
            site: Arc::clone(&self.place.site),
            client,
            upstream: Arc::clone(&self.place.upstream),
            server: Arc::clone(&self.place.server),
            address: Arc::clone(&self.place.address),
            since: self.since.into(),
            is_kicked: self.bell.word().is_some(),
            received: self.bytes().0,
            sent: self.bytes().1,
        }
    }
}

impl AsRef<Bell> for Entry {
    fn as_ref(&self) -> &Bell {
        &self.bell
    }
}

impl Outside for Entry {
    fn carried(&self, up: u64, down: u64) {
        self.up.store(up, Order::Relaxed);
        self.down.store(down, Order::Relaxed);
    }
}

/// A session that is logged in, until it is dropped.
#[derive(Debug)]
pub struct Stay {
    all: Arc<Inner>,
    entry: Arc<Entry>,
}

impl Stay {
    pub(super) fn new(all: Arc<Inner>, entry: Arc<Entry>) -> Self {
        Self { all, entry }
    }

    /// What the relay hears a kick by.
    pub fn leash(&self) -> Leash {
        // Not `Arc::clone(…)`, which would be asked for the trait object's own.
        self.entry.clone()
    }

    /// Why it was told to end, if it was.
    pub fn kick(&self) -> Option<Kick> {
        self.entry.bell.word().map(Kick::of)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.all.leave(&self.entry);
    }
}

/// By user, then by number.
pub(super) trait Rank {
    fn rank(&self) -> (&str, u64);
}

#[derive(Debug)]
pub(super) struct Held(pub Arc<Entry>);

impl Rank for Held {
    fn rank(&self) -> (&str, u64) {
        (&self.0.user, self.0.id)
    }
}

impl Rank for (&str, u64) {
    fn rank(&self) -> (&str, u64) {
        *self
    }
}

impl<'a> Borrow<dyn Rank + 'a> for Held {
    fn borrow(&self) -> &(dyn Rank + 'a) {
        self
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialEq for dyn Rank + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for dyn Rank + '_ {}

impl PartialOrd for dyn Rank + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Rank + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}
