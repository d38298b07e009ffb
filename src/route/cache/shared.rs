//! The second tier: what all nodes keep together, in the shared cache.
//!
//! In our own form a value says which key it was written for, when its answer was given, and under
//! which generations: an order to forget a domain, or everything, begins a new one, and what was
//! written under another is not believed. What was written for a user is listed under every name of
//! that user, so that it can be found again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache as Table;
use tokio::time::Instant;

use super::entry::{self, Entry};
use super::question::{self, Question};
use super::zimbra;
use crate::memcached::{Cache, Error, Held, Key};
use crate::observe::tasks;

/// Whose entries are read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Gatepost,
    /// Those of Zimbra's proxies, to share one cache with them.
    Zimbra,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shared {
    cache: Cache,
    format: Format,
    generations: Arc<Generations>,
}

/// What the cache had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// With the second since 1970 in which the source said so, where that is known.
    Entry(Entry, Option<u64>),
    Miss,
    /// There was something that is not to be believed, or not to be understood.
    Refused,
    Error(Error),
}

/// The form of values. Another is a miss.
const VERSION: u8 = 1;

/// How often somebody may get in between when a list is written.
const MOST_TRIES: usize = 4;

/// What a list may hold: when another comes the oldest goes, from the list and from the cache.
const LONGEST_LIST: usize = 64;

/// How long a generation is believed without asking.
const TRUSTED: Duration = Duration::from_secs(30);

/// How long one lives: longer than anything that was written under the one before.
pub const GENERATION_LIFE: Duration = Duration::from_secs(62 * 24 * 3600);

impl Shared {
    pub fn new(cache: Cache, format: Format) -> Self {
        Self { cache, format, generations: Arc::default() }
    }

    pub fn is_on(&self) -> bool {
        self.cache.is_on()
    }

    pub fn format(&self) -> Format {
        match self.cache.is_zimbras() {
            true => Format::Zimbra,
            false => self.format,
        }
    }

    /// When a call that begins now is over at the latest.
    pub fn deadline(&self) -> Instant {
        self.cache.deadline()
    }

    /// What is there, by `deadline` and no later, however many keys that takes.
    pub async fn get(&self, question: &Question, deadline: Instant) -> Found {
        let found = match self.format() {
            Format::Gatepost => self.get_own(question, deadline).await,
            Format::Zimbra => self.get_zimbra(question, deadline).await,
        };
        found.unwrap_or_else(Found::Error)
    }

    async fn get_own(&self, question: &Question, deadline: Instant) -> Result<Found, Error> {
        let key = question.key();
        let Some(value) = self.cache.get_by(&key, deadline).await? else { return Ok(Found::Miss) };
        let Some(value) = Value::read(&value, &key) else { return Ok(Found::Refused) };
        let own = self.generations_of(question, &value.entry, deadline).await?;
        let is_current = own == value.generations;
        Ok(if is_current { Found::Entry(value.entry, Some(value.asked)) } else { Found::Miss })
    }

    /// An alias whose account has no route is passed over: the typed name is looked up.
    async fn get_zimbra(&self, question: &Question, deadline: Instant) -> Result<Found, Error> {
        let Some(asked) = zimbra::Asked::of(question) else { return Ok(Found::Miss) };
        let alias = async {
            match &asked.alias {
                Some(key) => self.cache.get_by(key, deadline).await,
                None => Ok(None),
            }
        };
        let (alias, typed) = tokio::join!(alias, self.cache.get_by(&asked.route, deadline));
        let (alias, typed) = (alias?, typed?);
        let is_any = alias.is_some() || typed.is_some();
        if let Some(account) = alias.as_deref().and_then(zimbra::read_account) {
            let route = match asked.account(account) {
                key if key == asked.route => typed.clone(),
                key => self.cache.get_by(&key, deadline).await?,
            };
            if let Some(server) = route.as_deref().and_then(zimbra::read_server) {
                return Ok(Found::Entry(asked.entry(Some(account), server), None));
            }
        }
        Ok(match typed.as_deref().and_then(zimbra::read_server) {
            Some(server) => Found::Entry(asked.entry(None, server), None),
            None if is_any => Found::Refused,
            None => Found::Miss,
        })
    }

    /// Puts `entry` there, whatever is there, and lists it under the names that it is about.
    pub async fn put(
        &self,
        question: &Question,
        entry: &Entry,
        asked: u64,
        life: Duration,
    ) -> Result<(), Error> {
        let asking = match self.format() {
            Format::Gatepost => {
                let generations = self.generations_of(question, entry, self.deadline()).await?;
                let key = question.key();
                let value = Value { asked, generations, entry: entry.clone() }.to_bytes(&key);
                self.list(question, entry, std::slice::from_ref(&key), life).await?;
                return self.cache.put(&key, &value, life).await;
            }
            Format::Zimbra => zimbra::Asked::of(question),
        };
        let Some(asked) = asking else { return Ok(()) };
        let mut pairs = asked.write(entry);
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.clone()).collect();
        match self.list(question, entry, &keys, life).await {
            // Without a key there are no lists: what no purge would find is not written.
            Err(Error::Off) => pairs.retain(|(key, _)| !asked.is_of_client(key)),
            listed => listed?,
        }
        for (key, value) in pairs {
            self.cache.put(&key, &value, life).await?;
        }
        Ok(())
    }

    async fn list(
        &self,
        question: &Question,
        entry: &Entry,
        keys: &[Key],
        life: Duration,
    ) -> Result<(), Error> {
        if !keys.is_empty() {
            for name in names(question, entry) {
                self.enlist(&name, keys, life).await?;
            }
        }
        Ok(())
    }

    /// Forgets what answers `question`; `account` is who it was about, if that is known.
    pub async fn delete(&self, question: &Question, account: &[u8]) -> Result<(), Error> {
        let keys = match self.format() {
            Format::Gatepost => vec![question.key()],
            Format::Zimbra => {
                zimbra::Asked::of(question).map_or_else(Vec::new, |asked| asked.keys(account))
            }
        };
        for key in keys {
            self.cache.delete(&key).await?;
        }
        Ok(())
    }

    /// Takes `key` off every server, and says what each of them held under it.
    pub async fn take_everywhere(&self, key: &Key) -> (Vec<Held>, Vec<Error>) {
        let held = self.cache.get_everywhere(key).await;
        let deleted = self.cache.delete_everywhere(key).await;
        let errors = deleted.into_iter().filter_map(|(_, deleted)| deleted.err());
        (held, errors.collect())
    }

    pub async fn get_everywhere(&self, key: &Key) -> Vec<Held> {
        self.cache.get_everywhere(key).await
    }

    /// The keys of what was written for a name, in lower case.
    pub async fn listed(&self, name: &[u8]) -> Result<Vec<Key>, Error> {
        let value = match self.cache.get(&list_key(name)).await {
            Err(Error::Off) if self.format() == Format::Zimbra => None,
            value => value?,
        };
        Ok(value.and_then(|value| read_list(&value)).unwrap_or_default())
    }

    /// Forgets the list itself.
    pub async fn unlist(&self, name: &[u8]) -> Result<bool, Error> {
        self.cache.delete(&list_key(name)).await
    }

    async fn enlist(&self, name: &[u8], keys: &[Key], life: Duration) -> Result<(), Error> {
        let at = list_key(name);
        // What it lists must not outlive it.
        let life = life.mul_f64(1.25) + Duration::from_secs(60);
        for _ in 0..MOST_TRIES {
            let old = self.cache.get(&at).await?;
            let mut list = old.as_deref().and_then(read_list);
            let is_garbage = old.is_some() && list.is_none();
            let own = list.get_or_insert_default();
            let new: Vec<_> = keys.iter().filter(|key| !own.contains(key)).cloned().collect();
            if new.is_empty() && self.cache.touch(&at, life).await? {
                return Ok(());
            }
            own.extend(new);
            let too_many: Vec<_> = own.drain(..own.len().saturating_sub(LONGEST_LIST)).collect();
            let list = write_list(own);
            let is_written = match old {
                Some(_) if is_garbage => self.cache.put(&at, &list, life).await.map(|()| true)?,
                Some(old) => self.cache.swap(&at, &old, &list, life).await?,
                None => self.cache.add(&at, &list, life).await?,
            };
            if is_written {
                for key in too_many {
                    self.cache.delete(&key).await?;
                }
                return Ok(());
            }
        }
        // What no purge would find is not written.
        Err(Error::Misbehaved("of a list".into()))
    }

    /// Those that an entry is written under: of everything, and of each domain that it has to do
    /// with.
    pub async fn generations_of(
        &self,
        question: &Question,
        entry: &Entry,
        deadline: Instant,
    ) -> Result<Vec<u64>, Error> {
        let all = Key::of("generation", &[]);
        let mut generations = vec![self.generations.get(&self.cache, &all, deadline).await?];
        for domain in domains(question, entry) {
            let key = Key::of("generation", &[&domain]);
            generations.push(self.generations.get(&self.cache, &key, deadline).await?);
        }
        Ok(generations)
    }

    /// Begins a new generation: of a domain, or of everything.
    pub async fn begin(&self, domain: Option<&[u8]>, chance: u64) -> Result<(), Error> {
        let keys = match domain {
            // A name without a domain may be of any.
            Some(domain) => vec![Key::of("generation", &[b""]), Key::of("generation", &[domain])],
            None => vec![Key::of("generation", &[])],
        };
        let mut begun = Ok(());
        for key in &keys {
            let new = chance.max(1);
            // Known even if it cannot be told: it is put back when the server is.
            self.generations.know(key, new);
            let put = self.cache.put(key, &new.to_be_bytes(), GENERATION_LIFE).await;
            begun = begun.and(put);
        }
        begun
    }

    /// Puts those generations back that a server has lost, lest what lies on the others come back to
    /// life.
    pub async fn put_generations_back(&self) {
        if self.format() == Format::Zimbra {
            return;
        }
        let known: Vec<_> = self.generations.known.iter().collect();
        for (key, known) in known {
            let Some(key) = Key::read(&key).filter(|_| known.generation > 0) else { continue };
            // Whoever asks for it puts it back too.
            let _ = self.cache.add(&key, &known.generation.to_be_bytes(), GENERATION_LIFE).await;
        }
    }

    /// Generations have changed, or may have.
    pub fn ask_generations_anew(&self) {
        self.generations.turn.fetch_add(1, Ordering::SeqCst);
    }
}

/// Generations as they are known.
#[derive(Debug)]
struct Generations {
    known: Table<Box<[u8]>, Known>,
    /// Counts how often they may all have changed.
    turn: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    generation: u64,
    at: Instant,
    turn: u64,
}

impl Default for Generations {
    fn default() -> Self {
        Self { known: Table::new(4096), turn: AtomicU64::new(0) }
    }
}

impl Generations {
    async fn get(&self, cache: &Cache, key: &Key, deadline: Instant) -> Result<u64, Error> {
        let turn = self.turn.load(Ordering::SeqCst);
        let known = self.known.get(key.as_bytes());
        if let Some(known) = known
            && known.turn == turn
            && known.at.elapsed() < TRUSTED
        {
            return Ok(known.generation);
        }
        let found = match cache.get_by(key, deadline).await {
            Ok(found) => found,
            // While its server is away it is what it was, unless an order came since.
            Err(error) => {
                let known = known.filter(|known| known.turn == turn);
                return known.map(|known| known.generation).ok_or(error);
            }
        };
        let generation = match (found, known) {
            (Some(value), _) => {
                let bytes = <[u8; 8]>::try_from(value.as_slice());
                u64::from_be_bytes(bytes.map_err(|_| Error::Misbehaved("of a generation".into()))?)
            }
            // The server has lost it. What lies on the others must not come back to life.
            (None, Some(Known { generation: generation @ 1.., .. })) => {
                let (cache, key) = (cache.clone(), key.clone());
                tasks::spawn("route-generation", async move {
                    // Whoever asks for it next does the same.
                    let _ = cache.add(&key, &generation.to_be_bytes(), GENERATION_LIFE).await;
                });
                generation
            }
            (None, _) => 0,
        };
        let known = Known { generation, at: Instant::now(), turn };
        self.known.insert(key.as_bytes().into(), known);
        Ok(generation)
    }

    fn know(&self, key: &Key, generation: u64) {
        let turn = self.turn.load(Ordering::SeqCst);
        let known = Known { generation, at: Instant::now(), turn };
        self.known.insert(key.as_bytes().into(), known);
    }
}

/// A value in our own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Seconds since 1970.
    pub asked: u64,
    pub generations: Vec<u64>,
    pub entry: Entry,
}

impl Value {
    pub fn to_bytes(&self, key: &Key) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&bound(key));
        bytes.extend_from_slice(&self.asked.to_be_bytes());
        bytes.push(u8::try_from(self.generations.len()).unwrap_or(u8::MAX));
        bytes.extend(self.generations.iter().flat_map(|generation| generation.to_be_bytes()));
        bytes.extend_from_slice(&self.entry.to_bytes());
        bytes
    }

    /// None for another version, another key's value, and whatever else was not written so.
    pub fn read(bytes: &[u8], key: &Key) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (of, rest) = rest.split_first_chunk::<16>()?;
        let (asked, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first()?;
        let (generations, entry) = rest.split_at_checked(usize::from(*count) * 8)?;
        if version != VERSION || *of != bound(key) {
            return None;
        }
        let (generations, _) = generations.as_chunks::<8>();
        let generations = generations.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        let entry = Entry::read(entry)?;
        Some(Self { asked: u64::from_be_bytes(*asked), generations, entry })
    }
}

/// Which key a value is for.
fn bound(key: &Key) -> [u8; 16] {
    let digest = digest(&SHA256, key.as_bytes());
    *digest.as_ref().first_chunk().expect("a SHA-256 has 32 bytes")
}

/// The names that an entry is about, in lower case.
pub fn names(question: &Question, entry: &Entry) -> Vec<Vec<u8>> {
    let own = [entry.user.as_deref(), entry.authzid.as_deref()].into_iter().flatten();
    let mut names: Vec<_> = question.names().chain(own).map(<[u8]>::to_ascii_lowercase).collect();
    names.sort();
    names.dedup();
    names
}

fn domains(question: &Question, entry: &Entry) -> Vec<Vec<u8>> {
    let mut domains: Vec<_> =
        names(question, entry).iter().map(|name| entry::domain(name)).collect();
    domains.sort();
    domains.dedup();
    domains
}

fn list_key(name: &[u8]) -> Key {
    Key::of("routes-of", &[name])
}

fn write_list(keys: &[Key]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    keys.iter().for_each(|key| question::put(&mut bytes, key.as_bytes()));
    bytes
}

fn read_list(bytes: &[u8]) -> Option<Vec<Key>> {
    let (&version, mut rest) = bytes.split_first()?;
    let mut keys = Vec::new();
    while !rest.is_empty() {
        let (key, behind) = question::take(rest)?;
        rest = behind;
        // No other of our keys, nor of anybody else's, is to be deleted by way of a list.
        let is_one_of = |kinds: [&[u8]; 2]| kinds.iter().any(|kind| key.starts_with(kind));
        keys.push(match () {
            () if is_one_of([b"route/", b"id/"]) => Key::read(key)?,
            () if is_one_of([b"route:", b"alias:"]) => Key::verbatim(key),
            () => return None,
        });
    }
    (version == VERSION && keys.len() <= LONGEST_LIST).then_some(keys)
}

/// What must hold for any bytes at all.
pub fn hold_for_any(input: &[u8]) {
    let key = Key::verbatim(&b"route/of a test"[..]);
    assert_eq!(Value::read(input, &key).filter(|_| input.get(1..17) != Some(&bound(&key))), None);
    // What is not of that key, made to be.
    let mut own = input.to_vec();
    if let Some(place) = own.get_mut(1..17) {
        place.copy_from_slice(&bound(&key));
    }
    if let Some(value) = Value::read(&own, &key) {
        assert_eq!(value.to_bytes(&key), own);
    }
    if let Some(list) = read_list(input) {
        assert_eq!(write_list(&list), input);
    }
}
