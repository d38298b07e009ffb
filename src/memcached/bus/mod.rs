//! What one gatepost tells all others of its fleet, itself included: words that reach every node
//! within a second, through the cache.
//!
//! Every server has a log of its own: a number that counts its events (the *generation*), and an
//! entry for each, sealed, under its number. Who says a word writes it into the logs of all servers
//! that answer; every node asks each server for its generation several times a second, and reads what
//! is new. So a word gets through as long as one server is up, and one that hangs delays nobody.
//!
//! **Promises.** A word that was said is heard once. A node that may have missed some hears
//! [`Heard::Missed`]. What no holder of the key has said is not heard. What was said before this
//! process was there is heard as [`Heard::Late`], if at all.
//!
//! **Limits.** Who can write into the servers can make nodes believe that they have missed words, or
//! take events away before they were read, which is noticed and told as [`Heard::Missed`] too: of each
//! server at once, and then every 30 s at most. Late is what is late by the nodes' clocks, which must
//! agree to a few seconds.

mod event;
mod follow;
mod heard;
mod missed;

use std::pin::pin;
#[cfg(test)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::protocol::{Batch, Breach, ReturnCode, When, millis, number};
use super::server::{Failure, Server};
use super::together::all;
use super::{Cache, Error, Key, Tier};
use crate::observe::tasks;
use event::{Event, MAX_WORD};
use follow::{EPOCH, Follower};
use heard::Remembered;
use missed::Missed;

#[doc(hidden)]
pub use event::hold_for_any;

/// How many words may wait for a listener before it is told that it has missed some.
const ROOM: usize = 1024;

/// How often each server is asked, give or take a fifth.
const PERIOD: Duration = Duration::from_millis(300);

/// Who has not asked for an event by then has been away.
const EVENT_TTL: Duration = Duration::from_secs(60);

/// By how much the clock of who says a word may be behind ours.
const SLACK: Duration = Duration::from_secs(5);

/// How many events are read at once.
const AT_ONCE: usize = 64;

/// One end of it: says words and hears those of all. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    cache: Cache,
    said: broadcast::Sender<Heard>,
    /// Told apart from all other nodes, by chance.
    node: u64,
    remembered: Arc<Mutex<Remembered>>,
    /// What was said earlier, in milliseconds since 1970, is late.
    began: u64,
    /// The next poll panics.
    #[cfg(test)]
    pub trips: Arc<AtomicBool>,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Said(Vec<u8>),
    /// It was said before this process was there, so whatever came of it then may have come to an end
    /// since: it is worth no more than a hint to look.
    Late(Vec<u8>),
    /// Words may have been missed: whatever follows from words must be looked up afresh.
    Missed,
}

/// Hears what is said from when it was made.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Heard>);

/// Ends when it is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bus {
    pub fn new(cache: Cache) -> Self {
        let said = broadcast::Sender::new(ROOM);
        #[cfg(test)]
        if let Tier::Memory(memory) = &*cache.tier() {
            memory.join(&said);
        }
        Self {
            cache,
            said,
            node: fastrand::u64(..),
            remembered: Arc::default(),
            began: millis(SystemTime::now()).saturating_sub(SLACK.as_millis() as u64),
            #[cfg(test)]
            trips: Arc::default(),
        }
    }

    /// As if this process had started so much later.
    #[cfg(test)]
    pub fn started_in(mut self, time: Duration) -> Self {
        self.began += u64::try_from(time.as_millis()).unwrap();
        self
    }

    /// Says `word` to every node. This one hears it at once, and even if the cache does not answer:
    /// the error says that others may not have heard.
    ///
    /// # Errors
    /// If no server took it; [`Error::Off`] too if there is a cache without a `key`, and
    /// [`Error::TooLarge`] for a word of more than 32 KiB.
    pub async fn say(&self, word: &[u8]) -> Result<(), Error> {
        let event = Event {
            id: fastrand::u128(..).to_be_bytes(),
            node: self.node,
            time: millis(SystemTime::now()),
            word: word.to_vec(),
        };
        self.hear(event.clone());
        if word.len() > MAX_WORD {
            return Err(Error::TooLarge);
        }
        match &*self.cache.tier() {
            Tier::Off => Err(Error::Off),
            #[cfg(test)]
            Tier::Memory(memory) => memory.say(&self.said, word),
            Tier::Servers(client) => {
                let event = event.to_bytes();
                let servers = client.servers().iter();
                let said = all(servers.map(|server| append(client, server, &event))).await;
                let any = said.iter().any(Result::is_ok);
                let error = said.into_iter().find_map(Result::err);
                error.filter(|_| !any).map_or(Ok(()), Err)
            }
        }
    }

    pub fn listen(&self) -> Listener {
        Listener(self.said.subscribe())
    }

    /// Brings what other nodes say, until `stop`. Once in a process, on a runtime that lives on.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut changes = self.cache.0.changed.subscribe();
        loop {
            let followers = self.follow();
            let had_some = !followers.is_empty();
            tokio::select! {
                () = &mut stop => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            drop(followers);
            if had_some {
                // Something may have been said between the old servers and the new.
                self.miss();
            }
        }
    }

    /// A task for each server.
    fn follow(&self) -> Vec<Task> {
        let tier = self.cache.tier();
        let Tier::Servers(client) = &*tier else { return Vec::new() };
        let tasks = client.servers().iter().map(|server| {
            let (bus, client, server) = (self.clone(), Arc::clone(client), Arc::clone(server));
            Task(tasks::spawn("memcached bus", async move {
                let missed = Arc::new(Mutex::new(Missed::default()));
                let mut is_again = false;
                tasks::keep_up("memcached bus", || {
                    let (bus, missed) = (bus.clone(), Arc::clone(&missed));
                    let (client, server) = (Arc::clone(&client), Arc::clone(&server));
                    let was_lost = std::mem::replace(&mut is_again, true);
                    async move { bus.follow_one(&client, &server, was_lost, &missed).await }
                })
                .await;
            }))
        });
        tasks.collect()
    }

    /// Reads what a server has to say, for as long as it is dropped by nobody. `was_lost`: it was read
    /// before, nobody knows how far.
    async fn follow_one(
        &self,
        client: &Client,
        server: &Arc<Server>,
        was_lost: bool,
        missed: &Mutex<Missed>,
    ) {
        // A log for each key: the nodes of a fleet may not agree yet on which is the first, while keys
        // are changed.
        let mut logs: Vec<_> =
            client.sealed_names(&generation()).iter().map(|_| Follower::default()).collect();
        if was_lost {
            logs.iter_mut().for_each(Follower::lose);
        }
        loop {
            let mut has_missed = false;
            for (log, follower) in logs.iter_mut().enumerate() {
                if self.poll(client, server, log, follower, &mut has_missed).await.is_err() {
                    follower.lose();
                }
            }
            let told = missed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .step(has_missed, Instant::now());
            if told.is_told {
                self.miss();
            }
            if told.is_held_back {
                client.held_back(server);
            }
            sleep(PERIOD.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        }
    }

    /// Reads what is new in a log of `server`; `has_missed` if some of it was missed, whether or not the
    /// rest could be read.
    async fn poll(
        &self,
        client: &Client,
        server: &Server,
        log: usize,
        follower: &mut Follower,
        has_missed: &mut bool,
    ) -> Result<(), Failure> {
        #[cfg(test)]
        assert!(!self.trips.swap(false, Ordering::Relaxed), "planted");
        let Some(name) = client.sealed_names(&generation()).into_iter().nth(log) else {
            return Ok(());
        };
        let deadline = client.deadline();
        let stored = match server.exchange(&Batch::default().get(&name), deadline).await {
            Ok(mut replies) => replies.pop().and_then(|reply| reply.value),
            Err(Failure::Refused(_)) => Some(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let step = follower.see(stored.as_deref().and_then(number));
        *has_missed |= step.missed;
        if step.begin {
            // What is there although it counts nothing is in the way.
            let when = if stored.is_some() { When::Always } else { When::Absent };
            let first = random_epoch().to_string().into_bytes();
            let batch = Batch::default().set(&name, first, 0, when);
            server.exchange(&batch, deadline).await?;
        }
        while !follower.awaited(1).is_empty() {
            let numbers = follower.awaited(AT_ONCE);
            let (is_more, is_missed) = self.read(client, server, log, follower, &numbers).await?;
            *has_missed |= is_missed;
            if !is_more {
                break;
            }
        }
        Ok(())
    }

    /// Looks for the events of these numbers. Whether to look for more at once, and whether some can
    /// be read no more.
    async fn read(
        &self,
        client: &Client,
        server: &Server,
        log: usize,
        follower: &mut Follower,
        numbers: &[u64],
    ) -> Result<(bool, bool), Failure> {
        let keys: Vec<_> = numbers.iter().map(|number| entry(*number)).collect();
        let names = keys.iter().filter_map(|key| client.sealed_names(key).into_iter().nth(log));
        let batch = names.fold(Batch::default(), |batch, name| batch.get(&name));
        let replies = match server.exchange(&batch, client.deadline()).await {
            Ok(replies) => replies,
            Err(Failure::Refused(_)) => {
                numbers.iter().for_each(|number| follower.found(*number));
                return Ok((true, true));
            }
            Err(failure) => return Err(failure),
        };
        let (mut is_whole, mut missed) = (true, false);
        for ((number, key), reply) in numbers.iter().zip(&keys).zip(replies) {
            let Some(sealed) = reply.value.filter(|_| reply.rc == ReturnCode::Va) else {
                is_whole = false;
                missed |= follower.give_up(*number);
                continue;
            };
            follower.found(*number);
            match client.unseal(key, &sealed).and_then(|event| Event::read(&event)) {
                Some(event) => self.hear(event),
                None => missed = true,
            }
        }
        Ok((is_whole, missed))
    }

    fn hear(&self, event: Event) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.is_new(event.id, Instant::now()) {
            let heard = match event.time < self.began {
                true => Heard::Late(event.word),
                false => Heard::Said(event.word),
            };
            // Nobody may be listening.
            let _ = self.said.send(heard);
        }
    }

    fn miss(&self) {
        let _ = self.said.send(Heard::Missed);
    }
}

/// Writes `event` into the log of `server`.
async fn append(client: &Client, server: &Server, event: &[u8]) -> Result<(), Error> {
    let (name, _) = client.seal(&generation(), &[], EVENT_TTL)?;
    let deadline = client.deadline();
    let count = Batch::default().count(&name, 1, random_epoch() + 1, 0);
    let replies = match server.exchange(&count, deadline).await {
        // Somebody has put there what is no number.
        Err(Failure::Refused(Breach::Refused)) => {
            let anew = Batch::default().delete(&name, None);
            server.exchange(&anew, deadline).await.map_err(|failure| failure.on(server))?;
            let count = Batch::default().count(&name, 1, random_epoch() + 1, 0);
            server.exchange(&count, deadline).await
        }
        replies => replies,
    };
    let replies = replies.map_err(|failure| failure.on(server))?;
    let misbehaved = || Error::Misbehaved(Arc::clone(server.name()));
    let counted = replies.first().and_then(|reply| number(reply.value.as_deref()?));
    let (name, sealed) = client.seal(&entry(counted.ok_or_else(misbehaved)?), event, EVENT_TTL)?;
    let put = Batch::default().set(&name, sealed, client.seconds(EVENT_TTL), When::Always);
    let replies = server.exchange(&put, deadline).await.map_err(|failure| failure.on(server))?;
    let is_put = replies.first().is_some_and(|reply| reply.rc == ReturnCode::Hd);
    is_put.then_some(()).ok_or_else(misbehaved)
}

fn generation() -> Key {
    Key::of("bus", &[b"generation"])
}

fn entry(number: u64) -> Key {
    Key::of("bus", &[b"event", &number.to_be_bytes()])
}

/// Where a log begins: a number that no log before has come to.
fn random_epoch() -> u64 {
    fastrand::u64(1..1 << 40) * EPOCH
}

impl Listener {
    /// The next word; none when there is no bus any more.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(heard) => Some(heard),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
