//! The first tier: what this process keeps, for all of its workers, bounded by bytes.
//!
//! Routes and refusals lie apart, so that whoever tries made-up names pushes out made-up names.

use std::collections::hash_map::RandomState;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use tokio::time::Instant;

use super::super::template::parts;
use super::directives::Settings;
use super::purge::Purge;
use super::question::Question;
use super::{entry, question};
use crate::login::Refusal;

/// A tenth of a second since some time before the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u32);

/// The tick at which the process begins: what comes from the shared cache may be older.
const BEGINNING: u32 = 1 << 30;

impl Tick {
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(ticks(time)))
    }

    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(ticks(time)))
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::from(self.0.saturating_sub(earlier.0)) * 100)
    }
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX)
}

/// A route that is kept.
#[derive(Debug)]
pub struct Kept {
    /// When the sources said so.
    pub asked: Tick,
    /// When it came to this process.
    came: Tick,
    /// Until when it is as good as asking.
    fresh: Tick,
    /// Until when it is better than nothing.
    stale: Tick,
    /// Until when the sources are not asked about it again.
    held: AtomicU32,
    /// Whether it is on its way to the shared cache, or came from there.
    is_shared: AtomicBool,
    /// An [`entry::Entry`], written.
    pub entry: Box<[u8]>,
}

/// What an entry is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    Fresh,
    /// Past its time: it will do while somebody asks anew.
    Stale,
    /// Orders to forget may have been missed: it will do if nobody can be asked.
    Doubtful,
}

impl Kept {
    /// `chance`, from 0 to 1, spreads the ends of what came at once by a tenth either way.
    pub fn new(
        entry: Vec<u8>,
        asked: Tick,
        now: Tick,
        life: Duration,
        settings: &Settings,
        chance: f64,
    ) -> Self {
        let fresh = asked.after(spread(life, chance));
        Self {
            asked,
            came: now,
            fresh,
            stale: fresh.after(settings.stale),
            held: AtomicU32::default(),
            is_shared: AtomicBool::default(),
            entry: entry.into(),
        }
    }

    /// Says once that it is still to be shared.
    pub fn share(&self) -> bool {
        !self.is_shared.swap(true, Ordering::Relaxed)
    }

    pub fn worth(&self, now: Tick) -> Option<Worth> {
        match () {
            () if now >= self.stale => None,
            () if now >= self.fresh => Some(Worth::Stale),
            () => Some(Worth::Fresh),
        }
    }

    /// Nobody need ask about it until `until`.
    pub fn hold(&self, until: Tick) {
        self.held.fetch_max(until.0, Ordering::Relaxed);
    }

    pub fn is_held(&self, now: Tick) -> bool {
        now.0 < self.held.load(Ordering::Relaxed)
    }
}

/// `life`, a tenth shorter to a tenth longer.
pub fn spread(life: Duration, chance: f64) -> Duration {
    life.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

/// A place in the table. What a purge looks for is beside it, so that a million places are gone
/// through without a look at what they lead to.
#[derive(Clone, Debug)]
struct Slot {
    kept: Arc<Kept>,
    marks: Marks,
}

/// A byte of each name's part before the `@`, and one of each domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    users: [u8; 4],
    domains: [u8; 4],
}

impl Marks {
    fn of(key: &[u8], entry: &[u8]) -> Self {
        let (user, authzid) = question::names_in(key);
        let [account, acting] = entry::names_in(entry);
        let names = [Some(user), authzid, account, acting].map(|name| parts(name.unwrap_or(user)));
        Self {
            users: names.map(|(user, _)| mark(user)),
            domains: names.map(|(_, domain)| mark(domain.unwrap_or_default())),
        }
    }

    /// Whether `purge` may mean what has these.
    fn may_be(self, purge: &Purge) -> bool {
        match purge {
            Purge::All => true,
            Purge::User(user) => self.users.contains(&mark(parts(user.as_bytes()).0)),
            Purge::Domain(domain) => {
                let wanted = [mark(domain.as_bytes()), mark(b"")];
                self.domains.iter().any(|own| wanted.contains(own))
            }
        }
    }
}

/// FNV-1a of the lower case, folded: enough to pass by 255 of 256.
fn mark(text: &[u8]) -> u8 {
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    let [a, b, c, d] = hash.to_be_bytes();
    a ^ b ^ c ^ d
}

/// What was true when a question began: a purge since then has the answer thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    pub asked: Tick,
    purges: u64,
}

#[derive(Clone, Copy, Debug)]
struct Weight;

/// What an entry costs beyond its bytes: the slots of the table, at its fullest, and what the
/// allocator adds. The measured figure is in `docs/cache.md`.
const OVERHEAD: u64 = 200;

impl Weighter<Box<[u8]>, Slot> for Weight {
    fn weight(&self, key: &Box<[u8]>, slot: &Slot) -> u64 {
        (key.len() + slot.kept.entry.len()) as u64 + OVERHEAD
    }
}

impl Weighter<Box<[u8]>, (Arc<Refusal>, Tick)> for Weight {
    fn weight(&self, key: &Box<[u8]>, (refusal, _): &(Arc<Refusal>, Tick)) -> u64 {
        let words = refusal.text.as_ref().map_or(0, String::len);
        (key.len() + words + size_of::<Refusal>()) as u64 + OVERHEAD
    }
}

/// Names are an attacker's to choose, so they are hashed with a key.
type Table<V> = Cache<Box<[u8]>, V, Weight, RandomState, DefaultLifecycle<Box<[u8]>, V>>;

/// When the process began, by both clocks: from then on the time of day is counted, not read, so that
/// whoever sets a clock makes nothing older.
static BEGAN: OnceLock<(Instant, SystemTime)> = OnceLock::new();

#[derive(Debug)]
pub struct Process {
    routes: Table<Slot>,
    refusals: Table<(Arc<Refusal>, Tick)>,
    began: &'static (Instant, SystemTime),
    /// Counts the orders to forget.
    purges: AtomicU64,
    /// What came before is doubtful.
    doubt: AtomicU32,
    size: AtomicU64,
}

/// Of the bytes, this part is for refusals.
const FOR_REFUSALS: u64 = 16;

impl Process {
    pub fn new(size: u64) -> Self {
        Self {
            routes: table(size),
            refusals: table(size / FOR_REFUSALS),
            began: BEGAN.get_or_init(|| (Instant::now(), SystemTime::now())),
            purges: AtomicU64::new(0),
            doubt: AtomicU32::new(0),
            size: AtomicU64::new(size),
        }
    }

    /// Makes room for so many bytes, or throws out what is too much.
    pub fn resize(&self, size: u64) {
        if self.size.swap(size, Ordering::Relaxed) != size {
            self.routes.set_capacity(size);
            self.refusals.set_capacity(size / FOR_REFUSALS);
        }
    }

    pub fn now(&self) -> Tick {
        Tick(BEGINNING).after(self.began.0.elapsed())
    }

    /// The time of day, in seconds since 1970: it goes on as the process' clock does.
    pub fn unix(&self, at: Tick) -> u64 {
        let began = self.began.1.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (since, until) = (at.since(Tick(BEGINNING)), Tick(BEGINNING).since(at));
        (began + since).saturating_sub(until).as_secs()
    }

    /// A question begins.
    pub fn ticket(&self) -> Ticket {
        Ticket { asked: self.now(), purges: self.purges.load(Ordering::SeqCst) }
    }

    /// Whether nothing was forgotten since.
    pub fn is_valid(&self, ticket: Ticket) -> bool {
        self.purges.load(Ordering::SeqCst) == ticket.purges
    }

    pub fn get(&self, key: &[u8]) -> Option<(Arc<Kept>, Worth)> {
        let kept = self.routes.get(key)?.kept;
        match kept.worth(self.now()) {
            Some(_) if kept.came.0 < self.doubt.load(Ordering::Relaxed) => {
                Some((kept, Worth::Doubtful))
            }
            Some(worth) => Some((kept, worth)),
            None => {
                self.drop_it(key, &kept);
                None
            }
        }
    }

    /// What was refused a moment ago.
    pub fn refusal(&self, key: &[u8]) -> Option<Arc<Refusal>> {
        let (refusal, until) = self.refusals.get(key)?;
        if self.now() < until {
            return Some(refusal);
        }
        self.refusals.remove(key);
        None
    }

    /// Keeps a route, unless something was forgotten since its question began.
    pub fn put(&self, key: &[u8], kept: Arc<Kept>, ticket: Ticket) -> bool {
        if !self.is_valid(ticket) {
            return false;
        }
        self.refusals.remove(key);
        let slot = Slot { kept: Arc::clone(&kept), marks: Marks::of(key, &kept.entry) };
        self.routes.insert(key.into(), slot);
        // A purge that counted before this look may have passed by the place before the entry lay
        // there; one that counts after it will find the entry.
        let stays = self.is_valid(ticket);
        if !stays {
            self.drop_it(key, &kept);
        }
        stays
    }

    pub fn put_refusal(&self, key: &[u8], refusal: Refusal, life: Duration, ticket: Ticket) {
        if self.is_valid(ticket) && !life.is_zero() {
            self.refusals.insert(key.into(), (Arc::new(refusal), self.now().after(life)));
            if !self.is_valid(ticket) {
                self.refusals.remove(key);
            }
        }
    }

    /// Forgets one entry; says whether it was there.
    pub fn remove(&self, key: &[u8]) -> bool {
        self.routes.remove(key).is_some()
    }

    fn drop_it(&self, key: &[u8], kept: &Arc<Kept>) {
        self.routes.remove_if(key, |own| Arc::ptr_eq(&own.kept, kept));
    }

    /// Forgets all that `purge` names, and gives the routes among it.
    pub fn forget(&self, purge: &Purge) -> Vec<Question> {
        self.purges.fetch_add(1, Ordering::SeqCst);
        let gone = std::sync::Mutex::new(Vec::new());
        if matches!(purge, Purge::All) {
            self.routes.clear();
            self.refusals.clear();
            return Vec::new();
        }
        let is_user = matches!(purge, Purge::User(_));
        self.routes.retain(|key, Slot { kept, marks }| {
            let is_hit = marks.may_be(purge) && is_meant(purge, key, entry::names_in(&kept.entry));
            if is_hit
                && is_user
                && let Ok(mut gone) = gone.lock()
            {
                gone.extend(Question::read(key));
            }
            !is_hit
        });
        self.refusals.retain(|key, _| !is_meant(purge, key, [None, None]));
        gone.into_inner().unwrap_or_default()
    }

    /// What is kept of a user: the question and the entry.
    pub fn list(&self, purge: &Purge) -> Vec<(Question, Arc<Kept>)> {
        let is_it = |(key, slot): &(Box<[u8]>, Slot)| {
            slot.marks.may_be(purge) && is_meant(purge, key, entry::names_in(&slot.kept.entry))
        };
        let found = self.routes.iter().filter(is_it);
        found.filter_map(|(key, slot)| Some((Question::read(&key)?, slot.kept))).collect()
    }

    /// Orders to forget may have been missed: what is kept has to be asked for anew, if it can be.
    pub fn doubt(&self) {
        // What comes within this very tick may have come after it: it is doubted too.
        self.doubt.fetch_max(self.now().0.saturating_add(1), Ordering::Relaxed);
    }

    pub fn entries(&self) -> usize {
        self.routes.len() + self.refusals.len()
    }

    /// What there is room for.
    pub fn most_bytes(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.routes.weight() + self.refusals.weight()
    }
}

fn table<V: Clone>(size: u64) -> Table<V>
where
    Weight: Weighter<Box<[u8]>, V>,
{
    let entries = usize::try_from(size / (OVERHEAD + 100)).unwrap_or(usize::MAX).max(1);
    let options = OptionsBuilder::new()
        .estimated_items_capacity(entries)
        .weight_capacity(size)
        .build()
        .expect("both capacities are set");
    Cache::with_options(options, Weight, RandomState::new(), DefaultLifecycle::default())
}

/// Whether `purge` means an entry: by a name in its question, or by one that the sources gave.
fn is_meant(purge: &Purge, key: &[u8], accounts: [Option<&[u8]>; 2]) -> bool {
    let (user, authzid) = question::names_in(key);
    let has_account = accounts.iter().flatten().any(|name| name.contains(&b'@'));
    let mut names = accounts.into_iter().flatten();
    match purge {
        Purge::All => true,
        Purge::User(wanted) => {
            let typed = [Some(user), authzid].into_iter().flatten();
            names.chain(typed).any(|name| is_user(name, wanted.as_bytes()))
        }
        Purge::Domain(wanted) => {
            let is_in = |name: &[u8]| match name.iter().rposition(|byte| *byte == b'@') {
                Some(at) => name[at + 1..].eq_ignore_ascii_case(wanted.as_bytes()),
                // It may be anybody's, unless the sources have said whose it is.
                None => !name.is_empty() && !has_account,
            };
            names.any(is_in) || is_in(user) || authzid.is_some_and(is_in)
        }
    }
}

/// Whether `name` may be `wanted`: a name without a domain is everybody's of that name.
fn is_user(name: &[u8], wanted: &[u8]) -> bool {
    let is_bare = !name.is_empty() && !name.contains(&b'@');
    let (uid, domain) = parts(wanted);
    name.eq_ignore_ascii_case(wanted)
        || is_bare && domain.is_some() && name.eq_ignore_ascii_case(uid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_pass_nobody_by_who_is_meant(
            key: Vec<u8>,
            user in "[aAb@.]{0,4}",
            account in "[aAb@.]{0,4}",
            wanted in "[ab@.]{0,4}",
        ) {
            let mut key = key;
            key.resize(11, 0);
            key[9] &= !2;
            key[10] = 0;
            question::put(&mut key, user.as_bytes());
            let mut entry = vec![1, 1 | 2];
            question::put(&mut entry, b"group");
            question::put(&mut entry, account.as_bytes());
            let marks = Marks::of(&key, &entry);
            for purge in [Purge::user(&wanted), Purge::domain(&wanted)] {
                let is_meant = is_meant(&purge, &key, entry::names_in(&entry));
                prop_assert!(!is_meant || marks.may_be(&purge), "{:?}", purge);
            }
        }
    }

    #[test]
    fn a_name_without_a_domain_is_everybodys() {
        for (name, wanted, want) in [
            ("john@a.example", "john@a.example", true),
            ("JOHN@A.example", "john@a.example", true),
            ("john", "john@a.example", true),
            ("joh", "john@a.example", false),
            ("", "@a.example", false),
            ("john@a.example", "john", false),
            ("john@b.example", "john@a.example", false),
            ("a@b", "a@b@c.example", false),
            ("a", "a@b@c.example", false),
        ] {
            assert_eq!(is_user(name.as_bytes(), wanted.as_bytes()), want, "{name} {wanted}");
        }
    }

    #[test]
    fn lives_are_spread_by_a_tenth() {
        let life = Duration::from_secs(100);
        for (chance, want) in [(0.0, 90), (0.5, 100), (1.0, 110), (7.0, 110), (-1.0, 90)] {
            assert_eq!(spread(life, chance), Duration::from_secs(want), "{chance}");
        }
    }
}
