//! What an administrator orders: where is a user, go there, go away.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::super::order::Order;
use super::super::presence::{Seen, canonical};
use super::{MOST_NOTES, Note, Notes, Sticky, first_guess, lease, lock};
use crate::memcached;
use crate::observe::tasks;

/// A server that is emptied loses a hundred sessions each tenth of a second: 1,000 users come back in
/// a second, from each gatepost.
const PACE: (usize, Duration) = (100, Duration::from_millis(100));

/// Logins that were under way to a server when it was drained have ended by then, or will be ended
/// as late ones.
const STRAGGLERS: Duration = Duration::from_secs(5);

/// There is no server of this name in any upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no upstream has a server \"{0}\"")]
pub struct NoSuchServer(pub String);

/// What became of a move or a kick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The upstreams in which the user's lease was set, or dropped. Empty where no sticky upstream has
    /// the server: the user's sessions are ended and the routes forgotten, no more.
    pub upstreams: Vec<Arc<str>>,
    /// Why the cache did not take it. This gatepost goes by it all the same, for as long as a lease
    /// lives.
    pub cache: Option<memcached::Error>,
    /// Why other gateposts may not have heard.
    pub fleet: Option<memcached::Error>,
}

/// What is known here of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whereabouts {
    pub user: String,
    /// Through this gatepost.
    pub sessions: Vec<Seen>,
    /// For each sticky upstream.
    pub leases: Vec<Leased>,
}

/// What is known of a user in one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leased {
    pub upstream: Arc<str>,
    /// Where the fleet's cache says that the user is. A reservation does not say so.
    pub server: Option<String>,
    /// Why the cache says nothing.
    pub error: Option<String>,
    /// How long it lives at the most from now.
    pub lease: Duration,
    /// Where the user would begin without a lease, if all servers were up.
    pub first: Option<Arc<str>>,
}

impl Sticky {
    /// Where a user is. Sessions through other gateposts are not listed; the leases say where they
    /// are.
    pub async fn where_is(&self, user: &str) -> Whereabouts {
        let user = canonical(user.as_bytes());
        let known = self.0.upstreams.load_full();
        let mut leases = Vec::new();
        for upstream in known.values() {
            let described = &upstream.described;
            let Some(settings) = described.settings else { continue };
            let said = self.0.cache.get(&lease::key(&described.name, &user)).await;
            let weights = described.servers.iter().map(|(name, weight)| (&**name, *weight));
            let first = first_guess(&user, weights);
            leases.push(Leased {
                upstream: Arc::clone(&described.name),
                error: said.as_ref().err().map(ToString::to_string),
                server: said.ok().flatten().and_then(|value| {
                    let said = lease::read(&value).filter(|said| !said.is_reserved)?;
                    Some(said.server.to_owned())
                }),
                lease: settings.lease,
                first: first.map(|index| Arc::clone(&described.servers[index].0)),
            });
        }
        Whereabouts { sessions: self.0.presence.of(&user), user, leases }
    }

    /// Moves a user to a server, in every sticky upstream that has it, or with none to where a new
    /// user would begin. All sessions of the user are ended, on every gatepost, and the next login
    /// goes there. It holds while the user has sessions or comes back within the lease.
    ///
    /// Where the upstreams that have the server are not sticky, sessions are ended and routes
    /// forgotten, and the next login goes where its route says.
    pub async fn move_user(&self, user: &str, to: Option<&str>) -> Result<Moved, NoSuchServer> {
        let user = &canonical(user.as_bytes());
        let known = self.0.upstreams.load_full();
        if let Some(server) = to.filter(|server| !known.values().any(|one| one.has(server))) {
            return Err(NoSuchServer(server.to_owned()));
        }
        let (mut upstreams, mut failed) = (Vec::new(), None);
        for one in known.values().filter(|one| to.is_none_or(|server| one.has(server))) {
            let Some(settings) = one.described.settings else { continue };
            let name = &one.described.name;
            let key = lease::key(name, user);
            let done = match to {
                Some(server) => self.0.cache.put(&key, server.as_bytes(), settings.lease).await,
                None => self.0.cache.delete(&key).await.map(drop),
            };
            let is_kept_here = done.is_err();
            failed = failed.or(done.err());
            self.note(name, user, to.filter(|_| is_kept_here), settings.lease);
            upstreams.push(Arc::clone(name));
        }
        // The lease first: who comes back at once finds it.
        let fleet = self.tell(user).await;
        Ok(Moved { upstreams, cache: failed, fleet })
    }

    /// Ends all sessions of a user, on every gatepost. The lease stays: who comes back gets to the
    /// same server.
    pub async fn kick_user(&self, user: &str) -> Option<memcached::Error> {
        self.say(&Order::Kick { user: canonical(user.as_bytes()) }).await
    }

    /// The routes of the user are forgotten, and all sessions ended.
    async fn tell(&self, user: &str) -> Option<memcached::Error> {
        let forgotten = self.say(&Order::ForgetUser { user: user.to_owned() }).await;
        forgotten.or(self.say(&Order::Kick { user: user.to_owned() }).await)
    }

    async fn say(&self, order: &Order) -> Option<memcached::Error> {
        self.0.bus.say(&order.to_bytes()).await.err()
    }

    /// Keeps a move that no cache has taken, or drops what was kept.
    pub(super) fn note(&self, upstream: &Arc<str>, user: &str, to: Option<&str>, lease: Duration) {
        let mut notes = lock(&self.0.notes);
        let key = (Arc::clone(upstream), user.into());
        let Some(server) = to else {
            notes.remove(&key);
            return;
        };
        let now = Instant::now();
        if notes.len() >= MOST_NOTES {
            drop_oldest(&mut notes, now);
        }
        notes.insert(key, Note { server: server.into(), until: now + lease });
    }

    /// Does what the bus says, as far as sessions are concerned; says how many it has ended. What takes
    /// longer goes on by itself: this must be called within a runtime.
    pub fn obey(&self, order: &Order) -> usize {
        match order {
            Order::Kick { user } => self.0.presence.kick(&canonical(user.as_bytes())),
            Order::Drain { upstream, server, is_on: true, end: true, .. } => {
                let key = (upstream.clone(), server.clone());
                if lock(&self.0.emptied).insert(key.clone()) {
                    tasks::spawn("drain", self.clone().empty(key));
                }
                0
            }
            Order::Drain { upstream, server, is_on: false, .. } => {
                lock(&self.0.emptied).remove(&(upstream.clone(), server.clone()));
                0
            }
            _ => 0,
        }
    }

    /// Words of the bus may have been missed: every lease is looked at now, and who was moved by one of
    /// those words is found. A kick that was missed stays missed.
    pub fn missed(&self) {
        self.0.hurry.notify_one();
    }

    async fn empty(self, key: (String, String)) {
        let goes_on = || lock(&self.0.emptied).contains(&key);
        self.0.presence.empty(&key.0, &key.1, PACE, goes_on).await;
        sleep(STRAGGLERS).await;
        self.0.presence.empty(&key.0, &key.1, PACE, goes_on).await;
        lock(&self.0.emptied).remove(&key);
    }
}

/// Drops what has run out, or else what will do so first.
fn drop_oldest(notes: &mut Notes, now: Instant) {
    notes.retain(|_, note| note.until > now);
    if notes.len() >= MOST_NOTES
        && let Some(oldest) = notes.iter().min_by_key(|(_, note)| note.until)
    {
        let key = oldest.0.clone();
        notes.remove(&key);
    }
}
