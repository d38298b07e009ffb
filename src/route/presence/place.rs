//! Where sessions are: what many of them have in common, held once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::select::OfUpstream;
use super::{Count, Session};

/// A server as it was reached, by whose sessions.
#[derive(Debug)]
pub(super) struct Place {
    pub protocol: &'static str,
    /// Of the client's side.
    pub tls: Option<&'static str>,
    pub site: Arc<str>,
    pub upstream: Arc<str>,
    pub server: Arc<str>,
    pub address: Arc<str>,
    pub sessions: AtomicUsize,
    /// Of its upstream: what sessions have carried that are no more, and the logins of all.
    pub ended: Arc<Tally>,
}

/// Bytes from clients, and to them; and how many have logged in.
#[derive(Debug, Default)]
pub(super) struct Tally {
    up: AtomicU64,
    down: AtomicU64,
    logins: AtomicU64,
}

impl Tally {
    pub fn add(&self, (up, down): (u64, u64)) {
        self.up.fetch_add(up, Ordering::Relaxed);
        self.down.fetch_add(down, Ordering::Relaxed);
    }

    pub fn bytes(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}

impl Place {
    pub fn is(&self, upstream: &str, server: &str) -> bool {
        *self.upstream == *upstream && *self.server == *server
    }

    fn key(&self) -> Key {
        let texts = [&self.site, &self.upstream, &self.server, &self.address];
        ((self.protocol, self.tls), texts.map(Arc::clone))
    }
}

type Key = ((&'static str, Option<&'static str>), [Arc<str>; 4]);

/// All places that have a session. A lookup handler may send each user somewhere else, so one that
/// has none is forgotten.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: Mutex<HashMap<Key, Arc<Place>>>,
    /// By upstream: there are as many as configurations have named.
    ended: Mutex<HashMap<Arc<str>, Arc<Tally>>>,
}

impl Places {
    /// The place of `session`, which is counted there.
    pub fn find(&self, session: &Session<'_>) -> Arc<Place> {
        let address = session.address.to_string();
        let texts = [session.site, session.upstream, session.server, &address];
        let key: Key = ((session.protocol, session.tls), texts.map(Arc::from));
        let mut places = self.lock();
        let place = places.entry(key).or_insert_with_key(|((protocol, tls), texts)| {
            let [site, upstream, server, address] = texts.each_ref().map(Arc::clone);
            let sessions = AtomicUsize::new(0);
            let ended = Arc::clone(self.tallies().entry(Arc::clone(&upstream)).or_default());
            Arc::new(Place {
                protocol,
                tls: *tls,
                site,
                upstream,
                server,
                address,
                sessions,
                ended,
            })
        });
        place.sessions.fetch_add(1, Ordering::Relaxed);
        place.ended.logins.fetch_add(1, Ordering::Relaxed);
        Arc::clone(place)
    }

    /// A session of `place` has gone, and is counted there no more.
    pub fn leave(&self, place: &Arc<Place>) {
        if place.sessions.load(Ordering::Relaxed) > 0 {
            return;
        }
        let mut places = self.lock();
        let key = place.key();
        // Another may have come in between, or this one may be gone and a new one stand there.
        let is_it = places.get(&key).is_some_and(|known| Arc::ptr_eq(known, place));
        if is_it && place.sessions.load(Ordering::Relaxed) == 0 {
            places.remove(&key);
        }
    }

    pub fn counts(&self) -> Vec<Count> {
        let mut counts: Vec<_> = self
            .lock()
            .values()
            .map(|place| Count {
                protocol: place.protocol,
                site: Arc::clone(&place.site),
                upstream: Arc::clone(&place.upstream),
                server: Arc::clone(&place.server),
                sessions: place.sessions.load(Ordering::Relaxed),
            })
            .collect();
        let key = |count: &Count| {
            let texts = [&count.site, &count.upstream, &count.server].map(Arc::clone);
            (count.protocol, texts)
        };
        counts.sort_by_key(key);
        // One server may have been reached at several addresses.
        counts.dedup_by(|next, first| {
            let is_same = key(next) == key(first);
            if is_same {
                first.sessions += next.sessions;
            }
            is_same
        });
        counts
    }

    /// What ended sessions have carried, and the logins of all, by upstream.
    pub fn ended(&self) -> Vec<(Arc<str>, OfUpstream)> {
        let seen = |tally: &Tally| {
            let (received, sent) = tally.bytes();
            OfUpstream { logins: tally.logins.load(Ordering::Relaxed), received, sent }
        };
        let tallies = self.tallies();
        tallies.iter().map(|(name, tally)| (Arc::clone(name), seen(tally))).collect()
    }

    fn tallies(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Tally>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Place>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
