//! What all servers and workers of this gatepost have counted, kept across reloads.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use super::directives::Quota;
use super::figures::{By, Figures};
use super::flood::Flood;
use super::name::{Hasher, Name};
use super::table::Table;
use super::window::{Rule, Say, Slot};
use crate::config::value::{Cidr, cidr};
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::Metrics;
use crate::throttle::pace::Pace;

/// How many addresses, networks and users are counted, and how many pairs of user and address are
/// remembered.
pub const MOST_KEYS: usize = 200_000;
const MOST_PAIRS: usize = 400_000;

/// How long a node goes by what all nodes together have counted without asking again, once that is
/// too much.
const SHUT: Duration = Duration::from_secs(5);

/// Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
pub struct Inner {
    pub hasher: Hasher,
    pub cache: Cache,
    pub bus: Bus,
    pub figures: Figures,
    /// How often the cache is asked about somebody who is refused otherwise.
    pub asks: Flood,
    /// How often a refusal is worth a line.
    pub lines: Flood,
    /// How often a cache that does not answer is: once a minute, whatever comes of it.
    pub alarms: Flood,
    counts: Mutex<Counts>,
    floods: Mutex<Vec<(Quota, Weak<Flood>)>>,
    paces: Mutex<HashMap<String, Arc<Mutex<Pace>>>>,
    /// Networks let alone by order of an admin.
    spared: Mutex<Vec<Spare>>,
    /// Who keeps them beyond the end of this gatepost.
    keeper: OnceLock<Keeper>,
    /// How networks are cut, by all servers there have been.
    bits: Mutex<BTreeSet<(u8, u8)>>,
}

/// A network let alone by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spare {
    #[serde(serialize_with = "write_net", deserialize_with = "read_net")]
    pub net: Cidr,
    /// In seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Spare {
    fn is_over(&self, today: u64) -> bool {
        self.until.is_some_and(|until| until <= today)
    }
}

fn write_net<S: Serializer>(net: &Cidr, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(net)
}

fn read_net<'d, D: Deserializer<'d>>(from: D) -> Result<Cidr, D::Error> {
    let text = String::deserialize(from)?;
    cidr(&text).ok_or_else(|| serde::de::Error::custom("no network"))
}

/// By the clock on the wall: an order outlives the process.
fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

type Keep = dyn Fn(&[Spare]) + Send + Sync;

struct Keeper(Box<Keep>);

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

#[derive(Debug)]
pub struct Counts {
    pub slots: Table<Slot>,
    /// What a user has failed at an address, in which windows: what a success forgives.
    marks: Table<Marks>,
    /// Until when a user is known at an address.
    known: Table<Instant>,
    /// Zimbra's counters, while the cache is none.
    fixed: Table<(u64, Instant)>,
}

/// Of each claim, in its place: the window, by its end, and the failures in it.
type Marks = [Option<(Instant, u32)>; 3];

/// One key that an attempt counts by.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub by: By,
    pub key: u64,
    pub rule: Rule,
}

/// Of an attempt: address, network and user, or the pair of them alone.
pub type Claims = [Option<Claim>; 3];

/// What the counts say of one more attempt.
#[derive(Debug)]
pub enum Ruling {
    /// It counts as under way; who makes it wait, and for how long.
    Go(By, Duration),
    Wait(By, OwnedNotified),
    Over(Over),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    pub by: By,
    pub count: u32,
    pub limit: u32,
    pub left: Duration,
}

/// Failures taken back that all nodes have counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgiven {
    pub by: By,
    pub count: u32,
    pub left: Duration,
}

impl std::ops::Deref for Ledger {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Ledger {
    pub fn new(cache: Cache, bus: Bus, metrics: &Metrics) -> Self {
        Self::holding(MOST_KEYS, MOST_PAIRS, cache, bus, metrics)
    }

    /// One that keeps so many keys and pairs.
    pub fn holding(keys: usize, pairs: usize, cache: Cache, bus: Bus, metrics: &Metrics) -> Self {
        let quota = |most, secs| Quota { most, per: Duration::from_secs(secs) };
        Self(Arc::new(Inner {
            hasher: Hasher::default(),
            cache,
            bus,
            figures: Figures::new(metrics),
            asks: Flood::new(quota(200, 2)),
            lines: Flood::new(quota(3, 30)),
            alarms: Flood::new(quota(1, 60)),
            counts: Mutex::new(Counts {
                slots: Table::new(keys),
                marks: Table::new(keys),
                known: Table::new(pairs),
                fixed: Table::new(keys),
            }),
            floods: Mutex::default(),
            paces: Mutex::default(),
            spared: Mutex::default(),
            keeper: OnceLock::new(),
            bits: Mutex::default(),
        }))
    }
}

impl Inner {
    /// The buckets of one quota: all servers that have the same share them.
    pub fn flood(&self, quota: Quota) -> Arc<Flood> {
        let mut floods = lock(&self.floods);
        floods.retain(|(_, flood)| flood.strong_count() > 0);
        if let Some(flood) =
            floods.iter().find(|(own, _)| *own == quota).and_then(|(_, f)| f.upgrade())
        {
            return flood;
        }
        let flood = Arc::new(Flood::new(quota));
        floods.push((quota, Arc::downgrade(&flood)));
        flood
    }

    /// What is known of how long refusals take at the server of that name.
    pub fn pace(&self, server: &str) -> Arc<Mutex<Pace>> {
        Arc::clone(lock(&self.paces).entry(server.to_owned()).or_default())
    }

    pub fn cuts(&self, bits: (u8, u8)) {
        lock(&self.bits).insert(bits);
    }

    pub fn all_cuts(&self) -> Vec<(u8, u8)> {
        lock(&self.bits).iter().copied().collect()
    }

    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }

    pub fn spares(&self, ip: IpAddr) -> bool {
        lock(&self.spared).iter().any(|own| own.net.contains(ip) && !own.is_over(today()))
    }

    /// Lets `net` alone until then, or no more.
    pub fn spare(&self, net: Cidr, order: Option<Spare>) {
        let all = {
            let mut spared = lock(&self.spared);
            spared.retain(|own| own.net != net && !own.is_over(today()));
            // An admin does not write so many; a broken one of the fleet might.
            if spared.len() < 10_000 {
                spared.extend(order);
            }
            spared.clone()
        };
        if let Some(Keeper(keep)) = self.keeper.get() {
            keep(&all);
        }
    }

    pub fn spared(&self) -> Vec<Spare> {
        lock(&self.spared).iter().filter(|own| !own.is_over(today())).copied().collect()
    }

    /// Takes up what an earlier gatepost has kept; what was ordered since is newer.
    pub fn restore_spared(&self, kept: Vec<Spare>) {
        let mut spared = lock(&self.spared);
        for own in kept.into_iter().take(10_000).filter(|own| !own.is_over(today())) {
            if !spared.iter().any(|newer| newer.net == own.net) {
                spared.push(own);
            }
        }
    }

    /// From now on `keep` hears what is let alone whenever that changes.
    pub fn keep_spared(&self, keep: impl Fn(&[Spare]) + Send + Sync + 'static) {
        // Only the first is asked: there is one state of a process.
        let _ = self.keeper.set(Keeper(Box::new(keep)));
    }

    /// Whether the user is known at that address.
    pub fn is_known(&self, pair: u64, now: Instant) -> bool {
        self.counts().known.get(pair).is_some_and(|until| *until > now)
    }

    /// Makes the user known there until `ttl` from now; says whether that is news worth writing down.
    pub fn know(&self, pair: u64, ttl: Duration, now: Instant) -> bool {
        let mut counts = self.counts();
        let is_fresh = |until: &Instant| until.saturating_duration_since(now) > ttl / 2;
        if counts.known.get(pair).is_some_and(is_fresh) {
            return false;
        }
        let worth = |until: &Instant| Some(until.saturating_duration_since(now).as_secs());
        *counts.known.enter(pair, || now, worth) = now + ttl;
        true
    }

    /// Failures of this node.
    pub fn failures(&self, key: u64, now: Instant) -> u32 {
        self.counts().slots.get(key).map_or(0, |slot| slot.failures(now))
    }

    /// Whether it is plain without asking anybody that the attempt is refused.
    pub fn is_shut(&self, claims: &Claims, now: Instant) -> bool {
        let counts = self.counts();
        let is_shut = |claim: &Claim| {
            counts.slots.get(claim.key).is_some_and(|slot| slot.is_shut(&claim.rule, now))
        };
        claims.iter().flatten().any(is_shut)
    }

    /// Rules on one more attempt by all of `claims`, and counts it as under way if it may be made.
    ///
    /// `others`: what other nodes have counted. A claim for which there is no room is struck off:
    /// whoever comes from a new address then counts by his network alone.
    pub fn reserve(&self, claims: &mut Claims, others: [u32; 3], now: Instant) -> Ruling {
        let mut counts = self.counts();
        for claim in claims.iter_mut() {
            let is_new = |claim: &Claim| counts.slots.get(claim.key).is_none();
            if counts.slots.is_full() && claim.is_some_and(|c| c.by == By::Address && is_new(&c)) {
                *claim = None;
            }
        }
        let (mut slowest, mut wait) = ((By::Login, Duration::ZERO), None);
        for (claim, others) in claims.iter().zip(others) {
            let Some(Claim { by, key, rule }) = claim else { continue };
            let said = match counts.slots.get_mut(*key) {
                Some(slot) => slot.say(rule, others, now),
                None => Slot::new(now).say(rule, others, now),
            };
            match said {
                Say::Over { count, left } => {
                    if others > 0 {
                        let worth = |slot: &Slot| slot.worth(now);
                        let slot = counts.slots.enter(*key, || Slot::new(now), worth);
                        slot.shut(count, now + SHUT);
                    }
                    return Ruling::Over(Over { by: *by, count, limit: rule.most, left });
                }
                Say::Wait(notified) => wait = wait.or(Some((*by, notified))),
                Say::Go(delay) if delay > slowest.1 => slowest = (*by, delay),
                Say::Go(_) => {}
            }
        }
        if let Some((by, notified)) = wait {
            return Ruling::Wait(by, notified);
        }
        for claim in claims.iter().flatten() {
            counts.slots.enter(claim.key, || Slot::new(now), |slot| slot.worth(now)).reserve();
        }
        Ruling::Go(slowest.0, slowest.1)
    }

    /// An attempt under way has ended without a ruling.
    pub fn release(&self, claims: &Claims, now: Instant) {
        let mut counts = self.counts();
        for claim in claims.iter().flatten() {
            counts.release(claim.key, now);
        }
    }

    /// An attempt under way has failed. `pair`: where it is noted, if it may be forgiven. Gives the
    /// ends of the windows that it counts in.
    pub fn fail(
        &self,
        claims: &Claims,
        pair: Option<u64>,
        name: impl Fn(By) -> Name,
        now: Instant,
    ) -> [Option<Instant>; 3] {
        let mut counts = self.counts();
        let mut ends = [None; 3];
        for (claim, end) in claims.iter().zip(&mut ends) {
            let Some(Claim { by, key, rule }) = claim else { continue };
            if let Some(slot) = counts.slots.get_mut(*key) {
                slot.fail(rule.window, || name(*by), now);
                *end = Some(slot.until());
            }
            counts.release(*key, now);
        }
        if let Some(pair) = pair.filter(|_| ends.iter().any(Option::is_some)) {
            let worth = |marks: &Marks| {
                Some(marks.iter().flatten().map(|(_, count)| u64::from(*count)).sum())
            };
            let marks = counts.marks.enter(pair, Marks::default, worth);
            for (mark, end) in marks.iter_mut().zip(ends) {
                *mark = match (*mark, end) {
                    (Some((until, count)), Some(end)) if until == end => {
                        Some((until, count.saturating_add(1)))
                    }
                    (_, Some(end)) => Some((end, 1)),
                    (mark, None) => mark,
                };
            }
        }
        ends
    }

    /// One more has failed that nobody claims: it is only counted.
    pub fn note(&self, key: u64, window: Duration, name: impl FnOnce() -> Name, now: Instant) {
        let mut counts = self.counts();
        let worth = |slot: &Slot| slot.worth(now);
        counts.slots.enter(key, || Slot::new(now), worth).fail(window, name, now);
    }

    /// The window of `key` that ends at `until` was begun by this node for all nodes.
    pub fn is_exact(&self, key: u64, until: Instant) {
        if let Some(slot) = self.counts().slots.get_mut(key) {
            slot.is_exact(until);
        }
    }

    /// An attempt under way has succeeded. What the same user has failed at the same address is
    /// forgiven, and nothing else: who has an account of his own cannot buy guesses at others' with
    /// it. Gives what other nodes should take back too.
    pub fn succeed(
        &self,
        claims: &Claims,
        pair: Option<u64>,
        now: Instant,
    ) -> [Option<Forgiven>; 3] {
        let mut counts = self.counts();
        let marks = pair.and_then(|pair| counts.marks.remove(pair)).unwrap_or_default();
        let mut forgiven = [None; 3];
        for ((claim, mark), forgiven) in claims.iter().zip(marks).zip(&mut forgiven) {
            let Some(claim) = claim else { continue };
            // Of a pair all is the same user's at the same address.
            let mark = match (claim.by, counts.slots.get(claim.key)) {
                (By::Pair, Some(slot)) => Some((slot.until(), slot.failures(now))),
                _ => mark,
            };
            if let Some((until, count)) = mark.filter(|(_, count)| *count > 0)
                && let Some(slot) = counts.slots.get_mut(claim.key)
                && let Some(left) = slot.forgive(count, until, now)
            {
                *forgiven = Some(Forgiven { by: claim.by, count, left });
            }
            counts.release(claim.key, now);
        }
        forgiven
    }

    /// Counts one in a fixed window of this node alone.
    pub fn count(&self, text: &[u8], ttl: Duration, now: Instant) -> u64 {
        let key = self.hasher.text(text);
        let mut counts = self.counts();
        let window = counts.fixed.enter(key, || (0, now + ttl), |(count, _)| Some(*count));
        if window.1 <= now {
            *window = (0, now + ttl);
        }
        window.0 += 1;
        window.0
    }

    /// What such a window has counted.
    pub fn counted(&self, text: &[u8], now: Instant) -> u64 {
        let key = self.hasher.text(text);
        let counts = self.counts();
        counts.fixed.get(key).filter(|(_, until)| *until > now).map_or(0, |(count, _)| *count)
    }

    pub fn uncount(&self, text: &[u8]) {
        let key = self.hasher.text(text);
        self.counts().fixed.remove(key);
    }

    /// Forgets what is over.
    pub fn sweep(&self, now: Instant) {
        let keys = {
            let mut counts = self.counts();
            counts.slots.retain(|slot| !slot.is_idle(now));
            counts.marks.retain(|marks| marks.iter().flatten().any(|(until, _)| *until > now));
            counts.known.retain(|until| *until > now);
            counts.fixed.retain(|(_, until)| *until > now);
            counts.slots.len()
        };
        self.figures.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.asks.sweep();
        self.lines.sweep();
        self.alarms.sweep();
        let floods: Vec<_> = lock(&self.floods).iter().filter_map(|(_, f)| f.upgrade()).collect();
        floods.iter().for_each(|flood| flood.sweep());
    }

    /// How many keys of all kinds there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let counts = self.counts();
        counts.slots.len() + counts.marks.len() + counts.known.len() + counts.fixed.len()
    }
}

impl Counts {
    /// Clears those of `keys`, and all that `also` says. Gives how many had failures.
    pub fn forgive(&mut self, keys: &[u64], also: impl Fn(&Slot) -> bool, now: Instant) -> usize {
        let mut forgiven = 0;
        let mut clear = |slot: &mut Slot| {
            forgiven += usize::from(slot.failures(now) > 0);
            slot.clear(now);
        };
        for key in keys {
            if let Some(slot) = self.slots.get_mut(*key) {
                clear(slot);
            }
        }
        self.slots.iter_mut().filter(|slot| also(slot)).for_each(clear);
        forgiven
    }

    fn release(&mut self, key: u64, now: Instant) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.release();
        if slot.is_idle(now) {
            self.slots.remove(key);
        }
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can leave the counts half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
