//! Certificates and keys: loaded once, watched, swapped under running listeners.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::fault::{Event, Fault, Why};
use super::unlock::{self, Unopened};
use super::{pem, provider};

/// `ssl_certificate` and the `ssl_certificate_key` that belongs to it, which may be encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// `ssl_password_file`
    pub passwords: Option<PathBuf>,
}

/// Every pair of files in use, each loaded once however many server blocks name it.
///
/// It outlives a reload of the configuration, so what has not changed is not loaded again, and what
/// has turned bad keeps serving as it was.
#[derive(Debug, Default)]
pub struct Store {
    pairs: Mutex<HashMap<Files, Weak<Pair>>>,
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
        (Identity { pairs }, faults)
    }

    /// Looks at all files in use and takes in what has changed. Blocks on the disk.
    pub fn refresh(&self) -> Vec<Event> {
        let pairs: Vec<_> = {
            let mut known = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, pair| pair.strong_count() > 0);
            known.values().filter_map(Weak::upgrade).collect()
        };
        pairs.iter().filter_map(|pair| pair.refresh()).collect()
    }
}

/// The certificates of one server block.
#[derive(Debug)]
pub struct Identity {
    pairs: Vec<Arc<Pair>>,
}

/// A certificate that is being served, for the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    pub certificate: PathBuf,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Identity {
    /// Whether there is nothing to show: all of its pairs are faulty, or it has none.
    pub fn is_empty(&self) -> bool {
        self.pairs.iter().all(|pair| pair.loaded.load().is_none())
    }

    pub fn expiry(&self) -> Vec<Expiry> {
        let of = |pair: &Arc<Pair>| {
            let not_after = pair.loaded.load().as_ref()?.not_after;
            Some(Expiry { certificate: pair.files.certificate.clone(), not_after })
        };
        self.pairs.iter().filter_map(of).collect()
    }

    /// What distinguishes it from others, as far as sessions may be resumed.
    pub fn files(&self) -> impl Iterator<Item = &Files> {
        self.pairs.iter().map(|pair| &pair.files)
    }
}

impl ResolvesServerCert for Identity {
    /// The certificate for the first of the client's signature schemes that we have a key for.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut usable = self.pairs.iter().filter_map(|pair| pair.loaded.load_full());
        let first = usable.next()?;
        let others: Vec<_> = usable.collect();
        if others.is_empty() {
            return Some(first.key.clone());
        }
        for scheme in hello.signature_schemes() {
            for loaded in std::iter::once(&first).chain(&others) {
                if loaded.key.key.choose_scheme(std::slice::from_ref(scheme)).is_some() {
                    return Some(loaded.key.clone());
                }
            }
        }
        // With this one the handshake fails with the right alert.
        Some(first.key.clone())
    }
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
        let stamp = |meta: std::fs::Metadata| {
            let nanos =
                |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
            [
                i128::from(meta.dev()) << 64 | i128::from(meta.ino()),
                i128::from(meta.size()),
                nanos(meta.mtime(), meta.mtime_nsec()),
                nanos(meta.ctime(), meta.ctime_nsec()),
            ]
        };
        Self(std::fs::metadata(path).ok().map(stamp))
    }
}

fn load(files: &Files) -> Result<Loaded, Fault> {
    let in_certificate = |why| Fault::new(&files.certificate, why);
    let in_key = |why| Fault::new(&files.key, why);

    let text = pem::read(&files.certificate).map_err(in_certificate)?;
    let chain = pem::certificates(&text).map_err(in_certificate)?;
    let key = if files.key == files.certificate {
        key_in(&text, files)
    } else {
        key_in(&pem::read(&files.key).map_err(in_key)?, files)
    }?;

    for (index, der) in chain.iter().enumerate() {
        parse(der).ok_or_else(|| in_certificate(Why::NotX509(index + 1)))?;
    }
    let leaf = parse(&chain[0]).ok_or_else(|| in_certificate(Why::NotX509(1)))?;
    let not_after = leaf.validity().not_after.timestamp();
    let key = signing_key(key, &leaf).map_err(in_key)?;
    if !belong_together(&*key, leaf.public_key()) {
        return Err(in_key(Why::Mismatch(files.certificate.clone())));
    }
    Ok(Loaded { key: Arc::new(CertifiedKey::new(chain, key)), not_after })
}

/// The private key in `text`, opened if need be.
fn key_in(text: &[u8], files: &Files) -> Result<PrivateKeyDer<'static>, Fault> {
    let in_key = |why| Fault::new(&files.key, why);
    match (pem::key(text), &files.passwords) {
        (Err(Why::Encrypted), Some(file)) => {
            let phrases = unlock::phrases(file).map_err(|why| Fault::new(file, why))?;
            unlock::key(text, &phrases).map_err(|why| match why {
                Unopened::Phrase => in_key(Why::Locked(file.clone())),
                Unopened::Form(form) => in_key(Why::UnknownCipher(form)),
            })
        }
        (key, _) => key.map_err(in_key),
    }
}

fn signing_key(
    key: PrivateKeyDer<'static>,
    leaf: &X509Certificate<'_>,
) -> Result<Arc<dyn SigningKey>, Why> {
    provider().key_provider.load_private_key(key).map_err(|_| match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048 => Why::ShortRsa(rsa.key_size()),
        _ => Why::UnusableKey,
    })
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, all)| all)
}

/// The keys' bits alone: rustls' own check does not read X.509 v1, which OpenSSL serves as any
/// other, and the parameters beside the bits are written in more than one way.
fn belong_together(key: &dyn SigningKey, certified: &SubjectPublicKeyInfo<'_>) -> bool {
    let Some(own) = key.public_key() else {
        return true;
    };
    SubjectPublicKeyInfo::from_der(&own)
        .is_ok_and(|(_, own)| own.subject_public_key.data == certified.subject_public_key.data)
}

#[cfg(test)]
mod tests;
