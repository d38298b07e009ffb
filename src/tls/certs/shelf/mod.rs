//! Certificates by the folder: thousands of names, each with its own.
//!
//! Reading takes in what lies in the files and whom the certificate is for. Whether key and
//! certificate belong together is tried when somebody asks for the name, and bit by bit in between
//! ([`Shelf::prove`]); what signs is then kept, for so many names.
//!
//! **Promises.**
//! - Files are read before privileges are dropped, and again only when they change.
//! - What cannot be used is passed over and told; whoever else has the name serves it.
//! - What was good serves on where its files have turned bad, until it ends.

mod find;
mod index;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{SignatureScheme, pki_types::UnixTime};

use find::Folders;
pub use find::Found;
pub use find::check;
use index::Index;

use super::facts::Facts;
use super::load::{self, Files};
use super::{Expiry, Stamp};
use crate::tls::fault::{Event, Fault, Why};

/// How many are kept ready to sign: some 4 KiB each with ECDSA, some 12 KiB with RSA.
const READY: usize = 1024;

/// Nobody has more certificates of one name in use; the first so many are looked at.
const OF_ONE_NAME: usize = 8;

/// Everything that `patterns` lead to, once.
pub fn look(patterns: &[PathBuf]) -> (Vec<Found>, Vec<Fault>) {
    let (mut found, faults) = Folders::default().look(patterns);
    let is_one = |one: &Found| {
        let text = crate::tls::pem::read(&one.certificate).ok();
        let has_key = || text.as_ref().is_some_and(|text| crate::tls::pem::key(text).is_ok());
        let holds = text.as_ref().map(|text| crate::tls::pem::certificates(text));
        let why = match holds {
            Some(Err(why)) => why,
            _ if one.key == one.certificate && !has_key() => Why::NoKey,
            _ if !one.key.exists() => Why::Missing,
            _ => return true,
        };
        !one.is_nobodys(&why)
    };
    found.retain(is_one);
    (found, faults)
}

/// The certificates of one or more `certificates` directives.
#[derive(Debug)]
pub struct Shelf {
    patterns: Vec<PathBuf>,
    passwords: Option<PathBuf>,
    index: ArcSwap<Index>,
    ready: Cache<u64, Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    folders: Folders,
    /// Of the folders, not of what lies in them.
    faults: Vec<Fault>,
    has_looked: bool,
}

/// One certificate's files and what was last good in them.
#[derive(Debug)]
pub struct Entry {
    found: Found,
    stamps: Stamps,
    good: Option<Arc<Good>>,
    fault: Option<Fault>,
}

type Stamps = [Stamp; 4];

/// Read, and perhaps tried.
#[derive(Debug)]
struct Good {
    number: u64,
    chain: Vec<Arc<[u8]>>,
    key: PrivateKeyDer<'static>,
    facts: Facts,
    /// Whether it can serve, once that is known.
    proof: OnceLock<Option<Fault>>,
    is_told: AtomicBool,
}

impl Shelf {
    pub fn new(patterns: Vec<PathBuf>, passwords: Option<PathBuf>) -> Self {
        Self {
            patterns,
            passwords,
            index: ArcSwap::default(),
            ready: Cache::new(READY),
            seen: Mutex::default(),
        }
    }

    pub fn patterns(&self) -> &[PathBuf] {
        &self.patterns
    }

    /// Takes in what is new, changed or gone. The first look tells nothing: see [`Self::faults`].
    pub fn refresh(&self) -> Vec<Event> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, faults) = seen.folders.look(&self.patterns);
        let mut events: Vec<_> = faults
            .iter()
            .filter(|fault| !seen.faults.contains(fault))
            .cloned()
            .map(Event::Bad)
            .collect();
        seen.faults = faults;
        let old = self.index.load_full();
        let known: HashMap<&Path, &Arc<Entry>> =
            old.entries().iter().map(|one| (&*one.found.certificate, one)).collect();
        let of_passwords = self.passwords.as_deref().map(Stamp::of).unwrap_or_default();
        let mut parts = Parts::default();
        let mut entries = Vec::with_capacity(found.len());
        let mut is_changed = found.len() != old.entries().len();
        for found in found {
            let stamps = [
                Stamp::of(&found.certificate),
                if found.key == found.certificate {
                    Stamp::default()
                } else {
                    Stamp::of(&found.key)
                },
                found.chain.as_deref().map(Stamp::of).unwrap_or_default(),
                of_passwords,
            ];
            let before = known.get(&*found.certificate).copied();
            if let Some(same) = before.filter(|old| old.stamps == stamps && old.found == found) {
                entries.push(Arc::clone(same));
                continue;
            }
            is_changed = true;
            let entry = self.entry(found, stamps, before, &mut parts);
            events.extend(entry.news(before));
            entries.push(Arc::new(entry));
        }
        if is_changed {
            let left: std::collections::HashSet<&Path> =
                entries.iter().map(|one| &*one.found.certificate).collect();
            let gone = old.entries().iter().filter(|one| !left.contains(&*one.found.certificate));
            events.extend(gone.map(|one| Event::Removed(one.found.certificate.clone())));
            self.index.store(Arc::new(Index::of(entries)));
        }
        if !std::mem::replace(&mut seen.has_looked, true) {
            return Vec::new();
        }
        events.extend(self.untold().map(Event::Bad));
        events
    }

    fn entry(
        &self,
        found: Found,
        stamps: Stamps,
        before: Option<&Arc<Entry>>,
        parts: &mut Parts,
    ) -> Entry {
        let files = self.files(&found);
        let last = before.and_then(|old| old.good.clone()).filter(|good| good.fault().is_none());
        let read = load::read(&files, found.chain.as_deref()).and_then(|mut raw| {
            if raw.facts.names.is_empty() && raw.facts.addresses.is_empty() {
                raw.facts.names.extend(super::facts::normal(&found.name));
            }
            let good = Good::of(raw, parts);
            // Half of a renewal must not end what served.
            match last.is_some().then(|| good.made(&files)) {
                Some(Err(fault)) => Err(fault),
                _ => Ok(good),
            }
        });
        match read {
            Ok(good) => Entry { found, stamps, good: Some(Arc::new(good)), fault: None },
            Err(fault) if last.is_none() && found.is_nobodys(&fault.why) => {
                Entry { found, stamps, good: None, fault: None }
            }
            Err(fault) => Entry { found, stamps, good: last, fault: Some(fault) },
        }
    }

    fn files(&self, found: &Found) -> Files {
        Files {
            certificate: found.certificate.clone(),
            key: found.key.clone(),
            passwords: self.passwords.clone(),
        }
    }

    /// Tries up to `most` that have not been tried; says whether any are left.
    pub fn prove(&self, most: usize) -> bool {
        let index = self.index.load();
        let mut untried = index
            .entries()
            .iter()
            .filter(|entry| entry.good.as_ref().is_some_and(|good| good.proof.get().is_none()));
        for entry in untried.by_ref().take(most) {
            if let Some(good) = &entry.good {
                let _ = good.made(&self.files(&entry.found));
            }
        }
        untried.next().is_some()
    }

    /// What is wrong with its files, as far as it is known.
    pub fn faults(&self) -> Vec<Fault> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.index.load();
        let of = |entry: &Arc<Entry>| {
            let unproven = entry.good.as_ref().and_then(|good| good.tell());
            entry.fault.clone().or(unproven)
        };
        seen.faults.iter().cloned().chain(index.entries().iter().filter_map(of)).collect()
    }

    /// What a trial has found since the last look.
    fn untold(&self) -> impl Iterator<Item = Fault> {
        let index = self.index.load_full();
        let goods: Vec<_> = index.entries().iter().filter_map(|one| one.good.clone()).collect();
        goods.into_iter().filter_map(|good| {
            (good.fault().is_some() && !good.is_told.load(Ordering::Relaxed))
                .then(|| good.tell())?
        })
    }

    pub fn is_empty(&self) -> bool {
        !self.index.load().entries().iter().any(|entry| entry.good.is_some())
    }

    /// Every certificate that serves.
    pub fn expiry(&self) -> Vec<Expiry> {
        let index = self.index.load();
        let of = |entry: &Arc<Entry>| {
            let good = entry.good.as_ref().filter(|good| good.fault().is_none())?;
            let name = good.facts.names.first().map(ToString::to_string);
            let ip = || good.facts.addresses.first().map(ToString::to_string);
            Some(Expiry {
                certificate: entry.found.certificate.clone(),
                not_after: good.facts.not_after,
                name: name.or_else(ip).unwrap_or_default(),
            })
        };
        index.entries().iter().filter_map(of).collect()
    }

    /// The certificate for a name that a client asks for, in lower case.
    pub fn by_name(&self, name: &str, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let index = self.index.load();
        self.best([index.exact(name), index.wildcard(name)], schemes)
    }

    /// The certificate for an address that a client has come to.
    pub fn by_address(&self, ip: IpAddr, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let index = self.index.load();
        self.best([index.address(ip)], schemes)
    }

    /// Of the first of `groups` that has a valid one, the longest-lived for the client's schemes. One
    /// that has ended is better than another name's: the client then says what is wrong.
    fn best<const N: usize>(
        &self,
        groups: [&[Arc<Entry>]; N],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let valid = |entry: &&Arc<Entry>| entry.facts().is_some_and(|facts| facts.is_valid_at(now));
        for wants_valid in [true, false] {
            for group in groups {
                let usable = group
                    .iter()
                    .filter(|entry| valid(entry) == wants_valid)
                    // What is served in place of bad files is served until it ends.
                    .filter(|entry| wants_valid || entry.fault.is_none())
                    .take(OF_ONE_NAME)
                    .filter_map(|entry| self.ready(entry));
                let all: Vec<_> = usable.collect();
                if let Some(key) = super::fit(&all, schemes) {
                    return Some(Arc::clone(key));
                }
            }
        }
        None
    }

    /// Ready to sign, if it can.
    fn ready(&self, entry: &Entry) -> Option<Arc<CertifiedKey>> {
        let good = entry.good.as_ref().filter(|good| good.fault().is_none())?;
        if let Some(key) = self.ready.get(&good.number) {
            return Some(key);
        }
        let key = Arc::new(good.made(&self.files(&entry.found)).ok()?);
        self.ready.insert(good.number, Arc::clone(&key));
        Some(key)
    }
}

impl Entry {
    pub fn facts(&self) -> Option<&Facts> {
        self.good.as_ref().map(|good| &good.facts)
    }

    pub fn certificate(&self) -> &Path {
        &self.found.certificate
    }

    /// What is worth a line in the log.
    fn news(&self, before: Option<&Arc<Self>>) -> Option<Event> {
        let file = self.found.certificate.clone();
        match (&self.fault, before) {
            (Some(fault), Some(old)) if old.fault.as_ref() == Some(fault) => None,
            (Some(fault), _) => Some(Event::Bad(fault.clone())),
            (None, _) if self.good.is_none() => None,
            (None, Some(old)) if old.good.is_some() => Some(Event::Renewed(file)),
            (None, _) => Some(Event::Added(file)),
        }
    }
}

impl Found {
    /// A lone file that is no server's: an authority's certificate, parameters, a key.
    fn is_nobodys(&self, why: &Why) -> bool {
        self.may_be_none
            && match why {
                Why::NoCertificate => self.key == self.certificate,
                Why::Missing | Why::NoKey => {
                    let leaf = Facts::in_file(&self.certificate);
                    leaf.is_some_and(|facts| facts.is_authority && facts.names.is_empty())
                }
                _ => false,
            }
    }
}

impl Good {
    fn of(raw: load::Raw, parts: &mut Parts) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            chain: raw.chain.iter().enumerate().map(|(at, der)| parts.keep(at, der)).collect(),
            key: raw.key,
            facts: raw.facts,
            proof: OnceLock::new(),
            is_told: AtomicBool::new(false),
        }
    }

    fn made(&self, files: &Files) -> Result<CertifiedKey, Fault> {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let made = load::certified(chain, self.key.clone_key(), files);
        let _ = self.proof.set(made.as_ref().err().cloned());
        made
    }

    fn fault(&self) -> Option<&Fault> {
        self.proof.get()?.as_ref()
    }

    fn tell(&self) -> Option<Fault> {
        let fault = self.fault()?.clone();
        self.is_told.store(true, Ordering::Relaxed);
        Some(fault)
    }
}

/// Few authorities sign for thousands: their certificates are kept once.
#[derive(Debug, Default)]
struct Parts(HashMap<Vec<u8>, Arc<[u8]>>);

impl Parts {
    fn keep(&mut self, at: usize, der: &CertificateDer<'_>) -> Arc<[u8]> {
        if at == 0 {
            return Arc::from(&**der);
        }
        if let Some(known) = self.0.get(&**der) {
            return Arc::clone(known);
        }
        let fresh: Arc<[u8]> = Arc::from(&**der);
        self.0.insert(der.to_vec(), Arc::clone(&fresh));
        fresh
    }
}

#[cfg(test)]
mod tests;
