//! Who is logged in here: every session from its login to its end, found by user and by server.
//!
//! What `who` and `top` show, what a kick reaches, and what keeps a user's sessions together
//! ([`sticky`](super::sticky)). Shared by all workers; outlives reloads.
//!
//! **In and out.** [`Presence::enter`] takes a [`Session`] that has logged in and gives its [`Stay`],
//! which the relay holds; dropped, the session has left. A kick rings the session's bell, which the
//! relay hears through [`Stay::leash`].
//!
//! **Promises.**
//! - A kicked session counts for nothing any more: its user is not there because of it.
//! - No lock is held for longer than it takes to look through one part of 16, and none while waiting.
//! - What sessions have in common (protocol, upstream, server, virtual server, user) is held once.
//!
//! **Limits.** This gatepost alone: nobody keeps a list of the whole fleet's sessions.

mod entry;
mod place;
mod select;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use entry::{Entry, Held, Rank};
pub use entry::{Kick, Stay};
use place::{Place, Places};
pub use select::Filter;

use crate::net::Endpoint;

/// Parts of the table, each with a lock of its own: workers seldom meet.
const SHARDS: usize = 16;

/// A name as it is entered and asked for: lower case. Bytes that are no text are shown as `U+FFFD`,
/// so such names may fall together: they are told, kept together and ended together.
pub fn canonical(mailbox: &[u8]) -> String {
    let mut name = String::from_utf8_lossy(mailbox).into_owned();
    name.make_ascii_lowercase();
    name
}

/// The sessions that are logged in. Cheap to clone; clones share all.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By the hash of the user.
    shards: [Mutex<BTreeSet<Held>>; SHARDS],
    hasher: RandomState,
    places: Places,
}

/// A session that has logged in.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// As the logs have it: no other of this process has the same.
    pub id: u64,
    /// Whose mailbox it is, [`canonical`]; empty where nobody has logged in (LMTP, SMTP without AUTH).
    pub user: &'a str,
    pub protocol: &'static str,
    /// How the client's side is secured: `TLSv1.3`.
    pub tls: Option<&'static str>,
    /// The virtual server.
    pub site: &'a str,
    pub client: &'a Endpoint,
    /// The name of the `upstream` block; empty where an address was given.
    pub upstream: &'a str,
    /// The server, as it is written there.
    pub server: &'a str,
    /// Where it was reached.
    pub address: &'a Endpoint,
    pub since: SystemTime,
}

/// What is shown of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub id: u64,
    pub user: Arc<str>,
    pub protocol: &'static str,
    pub tls: Option<&'static str>,
    pub site: Arc<str>,
    /// `192.0.2.1:4711` or `unix:`.
    pub client: String,
    /// Empty where an address was given.
    pub upstream: Arc<str>,
    pub server: Arc<str>,
    pub address: Arc<str>,
    /// Seconds since 1970.
    pub since: u64,
    /// It was told to end, and waits for a quiet moment.
    pub is_kicked: bool,
    /// Bytes from the client, and to it.
    pub received: u64,
    pub sent: u64,
}

/// Where one user is, of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lives {
    pub user: Arc<str>,
    pub upstream: Arc<str>,
    /// One, unless the user's sessions are apart.
    pub servers: Vec<Arc<str>>,
}

/// How many sessions there are of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    pub protocol: &'static str,
    pub site: Arc<str>,
    pub upstream: Arc<str>,
    pub server: Arc<str>,
    pub sessions: usize,
}

impl Presence {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn enter(&self, session: Session<'_>) -> Stay {
        let place = self.0.places.find(&session);
        let since = session.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut shard = self.0.shard(session.user);
        // A mail program has several sessions: they share the name.
        let known = of_user(&shard, session.user).next().map(|held| Arc::clone(&held.0.user));
        let user = known.unwrap_or_else(|| session.user.into());
        let entry = Arc::new(Entry::new(&session, user, since, place));
        shard.insert(Held(Arc::clone(&entry)));
        drop(shard);
        Stay::new(Arc::clone(&self.0), entry)
    }

    /// All sessions of a user, the oldest first.
    pub fn of(&self, user: &str) -> Vec<Seen> {
        of_user(&self.0.shard(user), user).map(|held| held.0.seen()).collect()
    }

    /// At most `most` sessions, by user and number, that come after the one of this user and number.
    #[cfg(test)]
    pub fn page(&self, after: Option<(&str, u64)>, most: usize) -> Vec<Seen> {
        let mut page = Vec::new();
        for shard in &self.0.shards {
            page.extend(behind(&lock(shard), after).take(most).map(|held| held.0.seen()));
        }
        page.sort_by(|a, b| (&a.user, a.id).cmp(&(&b.user, b.id)));
        page.truncate(most);
        page
    }

    /// At most `most` sessions at a server of an upstream.
    #[cfg(test)]
    pub fn at(&self, upstream: &str, server: &str, most: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        for shard in &self.0.shards {
            let shard = lock(shard);
            let there = shard.iter().filter(|held| held.0.place.is(upstream, server));
            all.extend(there.take(most - all.len()).map(|held| held.0.seen()));
        }
        all
    }

    /// How many there are, by protocol, virtual server, upstream and server.
    pub fn counts(&self) -> Vec<Count> {
        self.0.places.counts()
    }

    pub fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The server at which the user's newest session of this upstream lives; a kicked one counts no
    /// more.
    pub fn server_of(&self, upstream: &str, user: &str) -> Option<Arc<str>> {
        if user.is_empty() {
            return None;
        }
        let shard = self.0.shard(user);
        let mut lives = of_user(&shard, user)
            .filter(|held| *held.0.place.upstream == *upstream && held.0.bell.word().is_none());
        lives.next_back().map(|held| Arc::clone(&held.0.place.server))
    }

    /// Ends all sessions of a user; says how many there were.
    pub fn kick(&self, user: &str) -> usize {
        if user.is_empty() {
            return 0;
        }
        let shard = self.0.shard(user);
        of_user(&shard, user).filter(|held| held.0.ring(Kick::User)).count()
    }

    /// Ends those sessions of a user in this upstream that are not at `server`.
    pub fn kick_elsewhere(&self, upstream: &str, user: &str, server: &str) -> usize {
        let shard = self.0.shard(user);
        of_user(&shard, user)
            .filter(|held| {
                let place = &held.0.place;
                *place.upstream == *upstream && *place.server != *server
            })
            .filter(|held| held.0.ring(Kick::Elsewhere))
            .count()
    }

    /// Ends at most `most` sessions at a server of an upstream; says how many it told to end. None:
    /// all that there are have been told.
    pub fn kick_server(&self, upstream: &str, server: &str, most: usize) -> usize {
        let mut count = 0;
        for shard in &self.0.shards {
            if count == most {
                break;
            }
            let there = lock(shard);
            let there = there.iter().filter(|held| held.0.place.is(upstream, server));
            count += there.filter(|held| held.0.ring(Kick::Server)).take(most - count).count();
        }
        count
    }

    /// Ends all sessions at a server of an upstream, `each` at a time and `every` so often, so that
    /// they do not all come back at once. Goes on as long as `goes_on`; says how many it ended.
    pub async fn empty(
        &self,
        upstream: &str,
        server: &str,
        (each, every): (usize, Duration),
        goes_on: impl Fn() -> bool,
    ) -> usize {
        let mut all = 0;
        while goes_on() {
            let count = self.kick_server(upstream, server, each);
            all += count;
            if count < each {
                break;
            }
            tokio::time::sleep(every).await;
        }
        all
    }

    /// Where the next `most` users of a part of the table are, those after `after`, and the last of
    /// these users; none at the part's end. Kicked sessions count no more.
    pub fn sweep(
        &self,
        shard: usize,
        after: Option<&str>,
        most: usize,
    ) -> (Vec<Lives>, Option<Arc<str>>) {
        let shard = lock(&self.0.shards[shard % SHARDS]);
        let (mut found, mut users, mut last) = (Vec::<Lives>::new(), 0, None);
        for Held(entry) in behind(&shard, Some((after.unwrap_or_default(), u64::MAX))) {
            if last.as_ref() != Some(&entry.user) {
                if users == most {
                    return (found, last);
                }
                users += 1;
                last = Some(Arc::clone(&entry.user));
            }
            let (upstream, server) = (&entry.place.upstream, &entry.place.server);
            if upstream.is_empty() || entry.bell.word().is_some() {
                continue;
            }
            let of_user = found.iter_mut().rev().take_while(|lives| lives.user == entry.user);
            match of_user.into_iter().find(|lives| lives.upstream == *upstream) {
                Some(lives) if lives.servers.contains(server) => {}
                Some(lives) => lives.servers.push(Arc::clone(server)),
                None => found.push(Lives {
                    user: Arc::clone(&entry.user),
                    upstream: Arc::clone(upstream),
                    servers: vec![Arc::clone(server)],
                }),
            }
        }
        (found, None)
    }

    /// How many parts [`Presence::sweep`] goes through.
    pub fn parts(&self) -> usize {
        SHARDS
    }
}

impl Inner {
    fn shard(&self, user: &str) -> MutexGuard<'_, BTreeSet<Held>> {
        let hash = self.hasher.hash_one(user);
        // The remainder is below 16.
        lock(&self.shards[(hash % SHARDS as u64) as usize])
    }

    fn leave(&self, entry: &Arc<Entry>) {
        self.shard(&entry.user).remove(&(&*entry.user, entry.id) as &dyn Rank);
        entry.place.ended.add(entry.bytes());
        entry.place.sessions.fetch_sub(1, Ordering::Relaxed);
        self.places.leave(&entry.place);
    }
}

#[expect(clippy::mutable_key_type, reason = "the order is by user and number, which do not change")]
fn of_user<'a>(
    shard: &'a BTreeSet<Held>,
    user: &str,
) -> impl DoubleEndedIterator<Item = &'a Held> + use<'a> {
    let (first, last) = ((user, 0_u64), (user, u64::MAX));
    shard.range::<dyn Rank + '_, _>((
        Bound::Included(&first as &dyn Rank),
        Bound::Included(&last as &dyn Rank),
    ))
}

/// Those that come after this user and number.
#[expect(clippy::mutable_key_type, reason = "the order is by user and number, which do not change")]
fn behind<'a>(
    shard: &'a BTreeSet<Held>,
    after: Option<(&str, u64)>,
) -> impl Iterator<Item = &'a Held> + use<'a> {
    let first = match &after {
        Some(after) => Bound::Excluded(after as &dyn Rank),
        None => Bound::Unbounded,
    };
    shard.range::<dyn Rank + '_, _>((first, Bound::Unbounded))
}

fn lock(shard: &Mutex<BTreeSet<Held>>) -> MutexGuard<'_, BTreeSet<Held>> {
    // Nothing under the lock can leave the set half changed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
