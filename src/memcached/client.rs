//! What is asked of the servers, in either format.
//!
//! | | gatepost | Zimbra |
//! |---|---|---|
//! | name on the wire | HMAC of the logical key | SHA-256 of it, in hexadecimal |
//! | value | sealed | as it is |
//! | server | rendezvous; a server that is down is not stood in for | hash modulo number; the next one that is up |
//!
//! In Zimbra's format that is how [`Key::verbatim`] keys go, which Zimbra knows; those of
//! [`Key::of`] go in ours if there is a key, and not at all if there is none. Counters are plain
//! numbers in both.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::directives::{Format, Settings};
use super::protocol::{Batch, Breach, MAX_VALUE, Reply, ReturnCode, When, millis, number, seconds};
use super::seal::{Doubt, Keyring};
use super::server::{Failure, Manner, Server};
use super::status::{self, Status};
use super::together::all;
use super::{Error, Held, Key, choice};
use crate::net::dns::{self, Resolver};
use crate::observe::{Level, Log, Metrics, names};

/// Beyond it, DNS is asked anew.
const DNS_PATIENCE: Duration = Duration::from_secs(5);

/// How often an entry is tried to be changed that others change at the same time.
const TRIES: usize = 3;

#[derive(Debug)]
pub struct Client {
    settings: Settings,
    servers: Vec<Arc<Server>>,
    seeds: Vec<u64>,
    manner: Arc<Manner>,
    doubts: Doubts,
}

#[derive(Debug)]
struct Doubts {
    forged: Counter,
    expired: Counter,
    malformed: Counter,
}

/// How an entry is written.
struct Entry<'a> {
    key: &'a Key,
    /// By each key of the ring, the first writes; for Zimbra's, one.
    names: Vec<String>,
    /// None for a plain value.
    ring: Option<&'a Keyring>,
}

/// A value that is believed, and which version of the entry it is.
struct Found {
    value: Vec<u8>,
    version: u64,
    /// Under which of the entry's names.
    at: usize,
}

impl Client {
    pub fn new(settings: &Settings, metrics: &Metrics, log: &Log) -> Self {
        let manner = Arc::new(Manner {
            timeout: settings.timeout,
            reconnect: settings.reconnect,
            connections: settings.connections,
            alarm: Alarm::new(log.clone()),
        });
        let tell = log.clone();
        let asking = dns::Settings { timeout: DNS_PATIENCE, ..dns::Settings::default() };
        let resolver = Arc::new(Resolver::new(asking, move |stale| {
            tell.line(Level::Warn, None, format_args!("{stale}"));
        }));
        let places = settings.servers.iter().cloned();
        let servers: Vec<_> =
            places.map(|place| Arc::new(Server::new(place, &manner, &resolver, metrics))).collect();
        let doubts = |reason| metrics.counter(&names::MEMCACHED_REJECTED, &[reason]);
        Self {
            seeds: servers.iter().map(|server| server.seed()).collect(),
            servers,
            manner,
            doubts: Doubts {
                forged: doubts("forged"),
                expired: doubts("expired"),
                malformed: doubts("malformed"),
            },
            settings: settings.clone(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// A reload has brought another log.
    pub fn tell(&self, log: &Log) {
        self.manner.alarm.tell(log.clone());
    }

    /// The log of a server is not to be relied on.
    pub fn held_back(&self, server: &Server) {
        self.manner.alarm.held_back(server.name());
    }

    /// When a call that begins now has to be over.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.manner.timeout
    }

    pub async fn get(&self, key: &Key, deadline: Instant) -> Result<Option<Vec<u8>>, Error> {
        let entry = self.entry(key)?;
        let (_, found) = self.find(&entry, deadline).await?;
        Ok(found.map(|found| found.value))
    }

    pub async fn put(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<(), Error> {
        let entry = self.entry(key)?;
        let mut batch = self.set(&entry, value, ttl, When::Always)?;
        // What an older key has named would be found again when this has gone.
        for older in &entry.names[1..] {
            batch = batch.delete(older, None);
        }
        let (server, replies) = self.ask(&entry, batch, self.deadline()).await?;
        match replies.first().map(|reply| reply.rc) {
            Some(ReturnCode::Hd) => Ok(()),
            _ => Err(Error::Misbehaved(Arc::clone(server.name()))),
        }
    }

    pub async fn add(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<bool, Error> {
        let entry = self.entry(key)?;
        let deadline = self.deadline();
        // An older key's name may be the one that it is found by.
        if entry.names.len() > 1 && self.find(&entry, deadline).await?.1.is_some() {
            return Ok(false);
        }
        let batch = || self.set(&entry, value, ttl, When::Absent);
        let (server, replies) = self.ask(&entry, batch()?, deadline).await?;
        if is_done(server, &replies)? {
            return Ok(true);
        }
        // What is there may be nothing that can be believed, which `find` deletes.
        if entry.ring.is_none() || self.find(&entry, deadline).await?.1.is_some() {
            return Ok(false);
        }
        let (server, replies) = self.ask(&entry, batch()?, deadline).await?;
        is_done(server, &replies)
    }

    pub async fn swap(
        &self,
        key: &Key,
        old: &[u8],
        new: &[u8],
        ttl: Duration,
    ) -> Result<bool, Error> {
        let entry = self.entry(key)?;
        let deadline = self.deadline();
        let (server, found) = self.find(&entry, deadline).await?;
        match found {
            Some(found) if found.value == old => {
                self.replace(&entry, server, &found, new, ttl, deadline).await
            }
            _ => Ok(false),
        }
    }

    pub async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool, Error> {
        let entry = self.entry(key)?;
        let deadline = self.deadline();
        if entry.ring.is_none() {
            let batch = Batch::default().touch(&entry.names[0], self.seconds(ttl));
            let (server, replies) = self.ask(&entry, batch, deadline).await?;
            return match replies.first().map(|reply| reply.rc) {
                Some(ReturnCode::Hd) => Ok(true),
                Some(ReturnCode::En) => Ok(false),
                _ => Err(Error::Misbehaved(Arc::clone(server.name()))),
            };
        }
        // The end of its life is under the seal.
        for _ in 0..TRIES {
            let (server, found) = self.find(&entry, deadline).await?;
            let Some(found) = found else { return Ok(false) };
            if self.replace(&entry, server, &found, &found.value, ttl, deadline).await? {
                return Ok(true);
            }
        }
        // Others keep writing it, so it lives.
        Ok(true)
    }

    pub async fn count(&self, key: &Key, by: u64, ttl: Duration) -> Result<u64, Error> {
        let entry = self.counter(key);
        let deadline = self.deadline();
        let name = &entry.names[0];
        let batch = || Batch::default().count(name, by, by, self.seconds(ttl));
        let (server, replies) = match self.ask_refusable(&entry, batch(), deadline).await? {
            (server, Ok(replies)) => (server, replies),
            // Somebody has put there what is no number.
            (_, Err(Breach::Refused)) => {
                self.doubt(Doubt::Malformed);
                self.ask(&entry, Batch::default().delete(name, None), deadline).await?;
                self.ask(&entry, batch(), deadline).await?
            }
            (server, Err(_)) => return Err(Error::Misbehaved(Arc::clone(server.name()))),
        };
        let counted = replies.first().and_then(|reply| number(reply.value.as_deref()?));
        counted.ok_or_else(|| Error::Misbehaved(Arc::clone(server.name())))
    }

    pub async fn counted(&self, key: &Key) -> Result<u64, Error> {
        let entry = self.counter(key);
        let batch = Batch::default().get(&entry.names[0]);
        let (_, replies) = self.ask_refusable(&entry, batch, self.deadline()).await?;
        let reply = replies.ok().and_then(|mut replies| replies.pop());
        let Some(value) = reply.and_then(|reply| reply.value) else { return Ok(0) };
        Ok(number(&value).unwrap_or_else(|| {
            self.doubts.malformed.inc();
            0
        }))
    }

    /// On every server: one that came or went has moved keys, and what it held of them lives on.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        let owner = self.places(key).next();
        let mut any = false;
        let mut error = None;
        for (index, (_, deleted)) in self.delete_everywhere(key).await.into_iter().enumerate() {
            match deleted {
                Ok(had_it) => any |= had_it,
                // In Zimbra's format any server may have stood in for it.
                Err(failed) if Some(index) == owner || self.is_zimbras(key) => error = Some(failed),
                Err(_) => {}
            }
        }
        error.map_or(Ok(any), Err)
    }

    pub async fn delete_everywhere(&self, key: &Key) -> Vec<(Arc<str>, Result<bool, Error>)> {
        let names = self.counter(key).names;
        let deadline = self.deadline();
        let deletions = self.servers.iter().map(async |server| {
            let batch = names.iter().fold(Batch::default(), |batch, name| batch.delete(name, None));
            let replies = server.exchange(&batch, deadline).await.map_err(|f| f.on(server));
            let had_it = replies.map(|all| all.iter().any(|reply| reply.rc == ReturnCode::Hd));
            (Arc::clone(server.name()), had_it)
        });
        all(deletions).await
    }

    pub async fn get_everywhere(&self, key: &Key) -> Vec<Held> {
        let deadline = self.deadline();
        let entry = self.entry(key);
        let names = self.counter(key).names;
        let questions = self.servers.iter().map(async |server| {
            let value = match &entry {
                Ok(entry) => self.find_at(server, entry, deadline).await,
                Err(error) => Err(Failure::Server(error.clone())),
            };
            Held {
                server: Arc::clone(server.name()),
                name: names[0].clone(),
                value: value
                    .map(|found| found.map(|found| found.value))
                    .map_err(|failure| failure.on(server)),
            }
        });
        all(questions).await
    }

    pub async fn status(&self) -> Vec<Status> {
        let deadline = self.deadline();
        all(self.servers.iter().map(|server| status::of(server, deadline))).await
    }

    /// Seals what goes to a server that the caller chooses.
    pub fn seal(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<(String, Vec<u8>), Error> {
        let ring = self.settings.keys.as_deref().ok_or(Error::Off)?;
        let name = ring.names(key.as_bytes()).next().ok_or(Error::Off)?;
        Ok((name, ring.seal(key.as_bytes(), value, expiry(ttl))))
    }

    /// What such an entry is called, by each key.
    pub fn sealed_names(&self, key: &Key) -> Vec<String> {
        let ring = self.settings.keys.as_deref();
        ring.map(|ring| ring.names(key.as_bytes()).collect()).unwrap_or_default()
    }

    /// What `sealed` says, if it is believed; counted, if it is not.
    pub fn unseal(&self, key: &Key, sealed: &[u8]) -> Option<Vec<u8>> {
        let ring = self.settings.keys.as_deref()?;
        let opened = ring.unseal(key.as_bytes(), sealed, millis(SystemTime::now()));
        opened.inspect_err(|doubt| self.doubt(*doubt)).ok()
    }

    pub fn seconds(&self, ttl: Duration) -> u32 {
        seconds(ttl, SystemTime::now())
    }

    /// How values of `key` are written.
    ///
    /// # Errors
    /// [`Error::Off`], if they had to be sealed and there is no key to seal with.
    fn entry<'a>(&'a self, key: &'a Key) -> Result<Entry<'a>, Error> {
        let entry = self.counter(key);
        if entry.ring.is_none() && !self.is_zimbras(key) { Err(Error::Off) } else { Ok(entry) }
    }

    /// As [`Client::entry`], for what need not be sealed.
    fn counter<'a>(&'a self, key: &'a Key) -> Entry<'a> {
        match &self.settings.keys {
            Some(ring) if !self.is_zimbras(key) => {
                Entry { key, names: ring.names(key.as_bytes()).collect(), ring: Some(ring) }
            }
            _ => Entry { key, names: vec![zimbras_name(key.as_bytes())], ring: None },
        }
    }

    fn is_zimbras(&self, key: &Key) -> bool {
        self.settings.format == Format::Zimbra && key.is_verbatim()
    }

    /// The servers that may have `key`, in the order in which they are asked.
    fn places(&self, key: &Key) -> impl Iterator<Item = usize> + use<> {
        let of = self.servers.len();
        let zimbra = self.is_zimbras(key).then(|| choice::zimbra(key.as_bytes(), of));
        let ours = match zimbra {
            Some(_) => None,
            None => choice::rendezvous(&self.seeds, choice::seed(key.as_bytes())),
        };
        zimbra.into_iter().flatten().chain(ours)
    }

    /// Sends `batch` to the server of `entry`.
    async fn ask(
        &self,
        entry: &Entry<'_>,
        batch: Batch,
        deadline: Instant,
    ) -> Result<(&Arc<Server>, Vec<Reply>), Error> {
        let (server, replies) = self.ask_refusable(entry, batch, deadline).await?;
        match replies {
            Ok(replies) => Ok((server, replies)),
            Err(_) => Err(Error::Misbehaved(Arc::clone(server.name()))),
        }
    }

    async fn ask_refusable(
        &self,
        entry: &Entry<'_>,
        batch: Batch,
        deadline: Instant,
    ) -> Result<(&Arc<Server>, Result<Vec<Reply>, Breach>), Error> {
        let mut failed = Error::Off;
        for index in self.places(entry.key) {
            let server = &self.servers[index];
            match server.exchange(&batch, deadline).await {
                Ok(replies) => return Ok((server, Ok(replies))),
                Err(Failure::Refused(breach)) => return Ok((server, Err(breach))),
                Err(Failure::Server(error)) => failed = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failed)
    }

    /// What is there and can be believed.
    async fn find(
        &self,
        entry: &Entry<'_>,
        deadline: Instant,
    ) -> Result<(&Arc<Server>, Option<Found>), Error> {
        let mut failed = Error::Off;
        for index in self.places(entry.key) {
            let server = &self.servers[index];
            match self.find_at(server, entry, deadline).await {
                Ok(found) => return Ok((server, found)),
                Err(Failure::Refused(_)) => {
                    return Err(Error::Misbehaved(Arc::clone(server.name())));
                }
                Err(Failure::Server(error)) => failed = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failed)
    }

    async fn find_at(
        &self,
        server: &Arc<Server>,
        entry: &Entry<'_>,
        deadline: Instant,
    ) -> Result<Option<Found>, Failure> {
        let batch = entry.names.iter().fold(Batch::default(), |batch, name| batch.get(name));
        let replies = match server.exchange(&batch, deadline).await {
            Ok(replies) => replies,
            // Nothing of ours: it would be in the way for as long as it lives.
            Err(Failure::Refused(Breach::LargeItem)) => {
                self.doubt(Doubt::Malformed);
                let names = entry.names.iter();
                let batch = names.fold(Batch::default(), |batch, name| batch.delete(name, None));
                server.exchange(&batch, deadline).await?;
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let mut unbelieved = Batch::default();
        for (at, reply) in replies.into_iter().enumerate() {
            let version = reply.cas.unwrap_or_default();
            let value = match (reply.rc, reply.value) {
                (ReturnCode::Va, Some(value)) => value,
                (ReturnCode::En, _) => continue,
                _ => return Err(Failure::Server(Error::Misbehaved(Arc::clone(server.name())))),
            };
            let Some(ring) = entry.ring else { return Ok(Some(Found { value, version, at })) };
            let logical = entry.key.as_bytes();
            match ring.unseal(logical, &value, millis(SystemTime::now())) {
                Ok(value) => return Ok(Some(Found { value, version, at })),
                Err(doubt) => {
                    self.doubt(doubt);
                    // That version alone: who holds the key may have put a good one there by now.
                    unbelieved = unbelieved.delete(&entry.names[at], reply.cas);
                }
            }
        }
        if unbelieved.len() > 0 {
            server.exchange(&unbelieved, deadline).await?;
        }
        Ok(None)
    }

    /// Puts `value` where `found` was, if it is there still.
    async fn replace(
        &self,
        entry: &Entry<'_>,
        server: &Arc<Server>,
        found: &Found,
        value: &[u8],
        ttl: Duration,
        deadline: Instant,
    ) -> Result<bool, Error> {
        // What an older key has named is put under the first name, and goes.
        let when = if found.at == 0 { When::Version(found.version) } else { When::Absent };
        let batch = self.set(entry, value, ttl, when)?;
        let replies = server.exchange(&batch, deadline).await.map_err(|f| f.on(server))?;
        let is_done = is_done(server, &replies)?;
        if is_done && found.at > 0 {
            let batch = Batch::default().delete(&entry.names[found.at], Some(found.version));
            server.exchange(&batch, deadline).await.map_err(|f| f.on(server))?;
        }
        Ok(is_done)
    }

    fn set(
        &self,
        entry: &Entry<'_>,
        value: &[u8],
        ttl: Duration,
        when: When,
    ) -> Result<Batch, Error> {
        if value.len() > MAX_VALUE {
            return Err(Error::TooLarge);
        }
        let value = match entry.ring {
            Some(ring) => ring.seal(entry.key.as_bytes(), value, expiry(ttl)),
            None => value.to_vec(),
        };
        Ok(Batch::default().set(&entry.names[0], value, self.seconds(ttl), when))
    }

    fn doubt(&self, doubt: Doubt) {
        let counter = match doubt {
            // In the way of things.
            Doubt::Ended => return,
            Doubt::Forged => &self.doubts.forged,
            Doubt::Expired => &self.doubts.expired,
            Doubt::Malformed => &self.doubts.malformed,
        };
        counter.inc();
    }
}

impl Failure {
    /// As callers hear of it.
    pub fn on(self, server: &Server) -> Error {
        match self {
            Self::Server(error) => error,
            Self::Refused(_) => Error::Misbehaved(Arc::clone(server.name())),
        }
    }
}

/// Lower-case hexadecimal SHA-256 of the logical key.
pub fn zimbras_name(logical: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, logical);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// When a value that lives for `ttl` is over, in milliseconds since 1970.
fn expiry(ttl: Duration) -> u64 {
    let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    millis(SystemTime::now()).saturating_add(ttl)
}

/// Whether a condition held, and the entry was put.
fn is_done(server: &Server, replies: &[Reply]) -> Result<bool, Error> {
    match replies.first().map(|reply| reply.rc) {
        Some(ReturnCode::Hd) => Ok(true),
        Some(ReturnCode::Ns | ReturnCode::Ex | ReturnCode::Nf) => Ok(false),
        _ => Err(Error::Misbehaved(Arc::clone(server.name()))),
    }
}
