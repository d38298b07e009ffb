//! Sessions kept on our side: `ssl_session_cache`. Tickets make it needless for most clients.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::server::StoresServerSessions;

use super::ticket::Context;

/// What a kept session costs, roughly: nginx's manual says 4000 sessions to the megabyte.
const SESSION: u64 = 256;
/// A session with a client's certificate chain takes some KiB; more is not kept.
const MAX_SESSION: usize = 16 * 1024;

/// How many sessions a `shared:name:size` holds.
pub fn sessions_in(bytes: u64) -> usize {
    usize::try_from(bytes / SESSION).unwrap_or(usize::MAX).max(1)
}

/// Sessions of all workers, the oldest dropped first.
pub struct Cache {
    kept: Mutex<Kept>,
}

struct Kept {
    capacity: usize,
    sessions: HashMap<Arc<[u8]>, Session>,
    order: VecDeque<Arc<[u8]>>,
}

struct Session {
    secrets: Vec<u8>,
    until: u64,
}

impl Cache {
    pub fn new(capacity: usize) -> Self {
        let (sessions, order) = (HashMap::new(), VecDeque::new());
        Self { kept: Mutex::new(Kept { capacity, sessions, order }) }
    }

    /// For a reload that says another size.
    pub fn resize(&self, capacity: usize) {
        self.with(|kept| {
            kept.capacity = capacity;
            kept.make_room(0);
        });
    }

    pub fn put(&self, key: &[u8], secrets: Vec<u8>, until: u64) {
        let key: Arc<[u8]> = key.into();
        self.with(|kept| {
            kept.make_room(1);
            kept.order.push_back(key.clone());
            kept.sessions.insert(key, Session { secrets, until });
        });
    }

    pub fn get(&self, key: &[u8], now: u64) -> Option<Vec<u8>> {
        self.with(|kept| {
            kept.sessions.get(key).filter(|one| now <= one.until).map(|one| one.secrets.clone())
        })
    }

    pub fn take(&self, key: &[u8], now: u64) -> Option<Vec<u8>> {
        self.with(|kept| {
            kept.sessions.remove(key).filter(|one| now <= one.until).map(|one| one.secrets)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    /// What was taken still stands in `order`, so that too is bounded.
    fn make_room(&mut self, more: usize) {
        while self.order.len() + more > self.capacity {
            match self.order.pop_front() {
                Some(oldest) => self.sessions.remove(&oldest),
                None => return,
            };
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|kept| f.debug_struct("Cache").field("sessions", &kept.sessions.len()).finish())
    }
}

/// A server block's view of a cache.
#[derive(Debug)]
pub struct Sessions {
    pub cache: Arc<Cache>,
    pub context: Context,
    pub lifetime: Duration,
}

impl Sessions {
    fn key(&self, id: &[u8]) -> Vec<u8> {
        [&self.context[..], id].concat()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, secrets: Vec<u8>) -> bool {
        if secrets.len() > MAX_SESSION {
            return false;
        }
        let until = UnixTime::now().as_secs().saturating_add(self.lifetime.as_secs());
        self.cache.put(&self.key(&id), secrets, until);
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.get(&self.key(id), UnixTime::now().as_secs())
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.take(&self.key(id), UnixTime::now().as_secs())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_for_its_time() {
        let cache = Cache::new(4);
        cache.put(b"a", vec![1], 100);
        assert_eq!(cache.get(b"a", 100), Some(vec![1]));
        assert_eq!(cache.get(b"a", 101), None);
        assert_eq!(cache.take(b"a", 100), Some(vec![1]));
        assert_eq!(cache.take(b"a", 100), None);
    }

    #[test]
    fn the_oldest_go_first_and_nothing_piles_up() {
        let cache = Cache::new(2);
        for round in 0_u8..200 {
            cache.put(&[round], vec![round], 100);
            cache.take(&[round], 0);
        }
        for round in 0_u8..3 {
            cache.put(&[round], vec![round], 100);
        }
        assert_eq!(cache.get(&[0], 0), None);
        assert_eq!(cache.get(&[2], 0), Some(vec![2]));
        assert_eq!(cache.with(|kept| (kept.order.len(), kept.sessions.len())), (2, 2));
        cache.resize(1);
        assert_eq!(cache.get(&[1], 0), None);
    }

    #[test]
    fn one_block_does_not_see_the_sessions_of_another() {
        let cache = Arc::new(Cache::new(4));
        let view = |context| Sessions {
            cache: cache.clone(),
            context: [context; 32],
            lifetime: Duration::from_secs(300),
        };
        assert!(view(1).put(vec![5], vec![6]));
        assert_eq!(view(2).get(&[5]), None);
        assert_eq!(view(1).get(&[5]), Some(vec![6]));
        assert!(!view(1).put(vec![7], vec![0; MAX_SESSION + 1]));
    }
}
