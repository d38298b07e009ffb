//! Certificates and keys: loaded once, watched, swapped under running listeners.
//!
//! A server block has pairs of files (`ssl_certificate`), all for the same names, and it may have
//! folders ([`shelf`]), where each certificate is for the names that are in it.

pub mod audit;
pub mod facts;
mod load;
pub mod shelf;

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

pub use load::Files;
use shelf::Shelf;

use super::fault::{Event, Fault};

/// Where certificates lie by the folder, and what opens their keys.
type Places = (Vec<PathBuf>, Option<PathBuf>);

/// How many are tried at each look: a tenth of a second with RSA.
const PROOFS: usize = 256;

/// Every pair of files in use, each loaded once however many server blocks name it; folders too.
///
/// It outlives a reload of the configuration, so what has not changed is not loaded again, and what
/// has turned bad keeps serving as it was.
#[derive(Debug, Default)]
pub struct Store {
    pairs: Mutex<HashMap<Files, Weak<Pair>>>,
    shelves: Mutex<HashMap<Places, Weak<Shelf>>>,
}

impl Store {
    /// What one server block shows its clients, and what is wrong with its files today.
    ///
    /// Reads files. Never fails: a pair that cannot be loaded is left out until its files change.
    pub fn identity(&self, files: &[Files]) -> (Identity, Vec<Fault>) {
        let mut known = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut pairs, mut faults) = (Vec::with_capacity(files.len()), Vec::new());
        for files in files {
            let pair = known.get(files).and_then(Weak::upgrade).unwrap_or_else(|| {
                let pair = Arc::new(Pair::new(files.clone()));
                known.insert(files.clone(), Arc::downgrade(&pair));
                pair
            });
            pair.refresh();
            faults.extend(pair.fault());
            pairs.push(pair);
        }
        (Identity { pairs, shelf: None, names: Vec::new() }, faults)
    }

    /// What lies in folders, and what is known to be wrong with it.
    ///
    /// Reads what has changed. `None` where no place is given.
    pub fn shelf(
        &self,
        places: &[PathBuf],
        passwords: Option<&Path>,
    ) -> Option<(Arc<Shelf>, Vec<Fault>)> {
        if places.is_empty() {
            return None;
        }
        let places = (places.to_vec(), passwords.map(Path::to_owned));
        let mut known = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = known.get(&places).and_then(Weak::upgrade).unwrap_or_else(|| {
            let shelf = Arc::new(Shelf::new(places.0.clone(), places.1.clone()));
            known.insert(places, Arc::downgrade(&shelf));
            shelf
        });
        drop(known);
        shelf.refresh();
        let faults = shelf.faults();
        Some((shelf, faults))
    }

    /// Tries everything in folders that has not been tried, and says what is wrong with it.
    pub fn prove(&self) -> Vec<Fault> {
        let prove = |shelf: Arc<Shelf>| {
            shelf.prove(usize::MAX);
            shelf.faults()
        };
        self.in_use().into_iter().flat_map(prove).collect()
    }

    fn in_use(&self) -> Vec<Arc<Shelf>> {
        let mut known = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, shelf| shelf.strong_count() > 0);
        known.values().filter_map(Weak::upgrade).collect()
    }

    /// Looks at all files in use and takes in what has changed. Blocks on the disk.
    pub fn refresh(&self) -> Vec<Event> {
        let pairs: Vec<_> = {
            let mut known = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, pair| pair.strong_count() > 0);
            known.values().filter_map(Weak::upgrade).collect()
        };
        let events = pairs.iter().filter_map(|pair| pair.refresh());
        let shelved = self.in_use().into_iter().flat_map(|shelf| {
            shelf.prove(PROOFS);
            shelf.refresh()
        });
        events.chain(shelved).collect()
    }
}

/// The certificates of one server block.
#[derive(Debug)]
pub struct Identity {
    pairs: Vec<Arc<Pair>>,
    shelf: Option<Arc<Shelf>>,
    /// The server's own, in lower case.
    names: Vec<String>,
}

/// A certificate that is being served, for the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub certificate: PathBuf,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The first that it is for.
    pub name: String,
}

impl Identity {
    /// With folders besides, for a server that is called `names`.
    pub fn with(self, shelf: Arc<Shelf>, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { shelf: Some(shelf), names, ..self }
    }

    /// Whether there is nothing to show: all of its pairs are faulty, or it has none.
    pub fn is_empty(&self) -> bool {
        self.pairs.iter().all(|pair| pair.loaded.load().is_none())
            && self.shelf.as_ref().is_none_or(|shelf| shelf.is_empty())
    }

    pub fn expiry(&self) -> Vec<Expiry> {
        let of = |pair: &Arc<Pair>| {
            let loaded = pair.loaded.load();
            let loaded = loaded.as_ref()?;
            let name = loaded.name.clone();
            let certificate = pair.files.certificate.clone();
            Some(Expiry { certificate, not_after: loaded.not_after, name })
        };
        let shelved = self.shelf.iter().flat_map(|shelf| shelf.expiry());
        self.pairs.iter().filter_map(of).chain(shelved).collect()
    }

    /// The folders, as far as sessions may be resumed.
    pub fn places(&self) -> &[PathBuf] {
        self.shelf.as_ref().map_or(&[], |shelf| shelf.patterns())
    }

    /// The certificate that names the address which a client has come to, and no other name.
    pub fn at(&self, ip: IpAddr, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.shelf.as_ref()?.by_address(ip, schemes)
    }

    /// What distinguishes it from others, as far as sessions may be resumed.
    pub fn files(&self) -> impl Iterator<Item = &Files> {
        self.pairs.iter().map(|pair| &pair.files)
    }
}

impl ResolvesServerCert for Identity {
    /// The certificate for the name in folders; else, where a name was asked for, the server's
    /// pairs, and last that of the server's own name. Who asks for none gets the last before them.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let shelf = self.shelf.as_ref();
        let of = |name: &str| shelf.and_then(|shelf| shelf.by_name(name, schemes));
        let own = || self.names.iter().find_map(|name| of(name));
        match asked {
            Some(name) => of(&name).or_else(|| self.paired(schemes)).or_else(own),
            None => own().or_else(|| self.paired(schemes)),
        }
    }
}

impl Identity {
    fn paired(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let usable = self.pairs.iter().filter_map(|pair| pair.loaded.load_full());
        let all: Vec<_> = usable.map(|loaded| loaded.key.clone()).collect();
        fit(&all, schemes).cloned()
    }
}

/// The one for the first of the client's signature schemes that there is a key for.
fn fit<'a>(
    all: &'a [Arc<CertifiedKey>],
    schemes: &[SignatureScheme],
) -> Option<&'a Arc<CertifiedKey>> {
    let first = all.first()?;
    if all.len() == 1 {
        return Some(first);
    }
    let signs = |scheme: &SignatureScheme| {
        all.iter().find(|one| one.key.choose_scheme(std::slice::from_ref(scheme)).is_some())
    };
    // With the first the handshake fails with the right alert.
    schemes.iter().find_map(signs).or(Some(first))
}

/// One pair of files and what was last good in them.
#[derive(Debug)]
struct Pair {
    files: Files,
    loaded: ArcSwapOption<Loaded>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stamps: Option<[Stamp; 3]>,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    not_after: i64,
    name: String,
}

impl Pair {
    fn new(files: Files) -> Self {
        Self { files, loaded: ArcSwapOption::empty(), seen: Mutex::default() }
    }

    /// Loads the files if they have changed since the last look.
    fn refresh(&self) -> Option<Event> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the reading: what changes meanwhile is seen at the next look.
        let Files { certificate, key, passwords } = &self.files;
        let of_passwords = passwords.as_deref().map(Stamp::of).unwrap_or_default();
        let stamps = [Stamp::of(certificate), Stamp::of(key), of_passwords];
        if seen.stamps == Some(stamps) {
            return None;
        }
        seen.stamps = Some(stamps);
        match load(&self.files) {
            Ok(loaded) => {
                self.loaded.store(Some(Arc::new(loaded)));
                seen.fault = None;
                Some(Event::Renewed(self.files.certificate.clone()))
            }
            Err(fault) => {
                let is_news = seen.fault.as_ref() != Some(&fault);
                seen.fault = Some(fault.clone());
                is_news.then_some(Event::Bad(fault))
            }
        }
    }

    fn fault(&self) -> Option<Fault> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }
}

/// What changes when a file does: also behind a symbolic link, and when it is made readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<[i128; 4]>);

impl Stamp {
    pub fn of(path: &Path) -> Self {
        std::fs::metadata(path).map(|meta| Self::from(&meta)).unwrap_or_default()
    }
}

impl From<&std::fs::Metadata> for Stamp {
    fn from(meta: &std::fs::Metadata) -> Self {
        let nanos =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self(Some([
            i128::from(meta.dev()) << 64 | i128::from(meta.ino()),
            i128::from(meta.size()),
            nanos(meta.mtime(), meta.mtime_nsec()),
            nanos(meta.ctime(), meta.ctime_nsec()),
        ]))
    }
}

fn load(files: &Files) -> Result<Loaded, Fault> {
    let raw = load::read(files, None)?;
    let (not_after, names) = (raw.facts.not_after, raw.facts.names);
    let key = load::certified(raw.chain, raw.key, files)?;
    let name = names.first().map(ToString::to_string).unwrap_or_default();
    Ok(Loaded { key: Arc::new(key), not_after, name })
}

#[cfg(test)]
mod tests;
