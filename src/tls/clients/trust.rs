//! Whom clients' certificates may come from, and which of them were revoked: files, watched.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::DistinguishedName;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::crl::Crl;
use crate::tls::certs::Stamp;
use crate::tls::fault::{Event, Fault, Why};
use crate::tls::pem;

/// The files of one server block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sources {
    /// `ssl_client_certificate`: trusted, and clients are told their names.
    pub told: Option<PathBuf>,
    /// `ssl_trusted_certificate`: trusted, and clients are not told.
    pub untold: Option<PathBuf>,
    /// `ssl_crl`
    pub crls: Option<PathBuf>,
}

impl Sources {
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.told, &self.untold, &self.crls].into_iter().flatten()
    }
}

/// What was last good in the files. Where nothing ever was, nobody is trusted.
pub struct Trust {
    sources: Sources,
    known: ArcSwap<Known>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    stamps: Vec<Stamp>,
    fault: Option<Fault>,
}

/// What a client's chain is judged by.
#[derive(Default)]
pub struct Known {
    by_subject: HashMap<Box<[u8]>, Vec<CertificateDer<'static>>>,
    /// The same for webpki.
    pub anchors: Vec<TrustAnchor<'static>>,
    /// What clients are told.
    pub names: Vec<DistinguishedName>,
    /// Without `ssl_crl` nothing is asked of anybody; with it, of every certificate.
    pub crls: Option<Vec<Crl>>,
}

impl Trust {
    pub fn new(sources: Sources) -> Self {
        // Until the files are read, and if they cannot be, no list clears anybody.
        let crls = sources.crls.is_some().then(Vec::new);
        let known = ArcSwap::from_pointee(Known { crls, ..Known::default() });
        let trust = Self { sources, known, seen: Mutex::default() };
        trust.refresh();
        trust
    }

    pub fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Reads the files if they have changed since the last look. Blocks on the disk.
    pub fn refresh(&self) -> Option<Event> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<_> = self.sources.files().map(|file| Stamp::of(file)).collect();
        let is_new = |at: usize| seen.stamps.get(at) != stamps.get(at);
        let changed = self.sources.files().enumerate().find(|(at, _)| is_new(*at))?.1.clone();
        seen.stamps = stamps;
        match read(&self.sources) {
            Ok(known) => {
                self.known.store(Arc::new(known));
                seen.fault = None;
                Some(Event::Renewed(changed))
            }
            Err(fault) => {
                let is_news = seen.fault.as_ref() != Some(&fault);
                seen.fault = Some(fault.clone());
                is_news.then_some(Event::Bad(fault))
            }
        }
    }

    pub fn fault(&self) -> Option<Fault> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fault.clone()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl Known {
    /// The trusted certificates of `subject`, as its DER.
    pub fn of(&self, subject: &[u8]) -> &[CertificateDer<'static>] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, file: &PathBuf, is_told: bool) -> Result<(), Fault> {
        let in_file = |why| {
            let why = if why == Why::NoCertificate { Why::NoAuthority } else { why };
            Fault::new(file, why)
        };
        let text = pem::read(file).map_err(in_file)?;
        for (index, der) in pem::certificates(&text).map_err(in_file)?.into_iter().enumerate() {
            let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
                return Err(in_file(Why::NotX509(index + 1)));
            };
            let subject = certificate.subject().as_raw().to_vec();
            if is_told {
                let name = DistinguishedName::from(subject.clone());
                if !self.names.iter().any(|known| known.as_ref() == name.as_ref()) {
                    self.names.push(name);
                }
            }
            if let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) {
                self.anchors.push(anchor.to_owned());
            }
            let same = self.by_subject.entry(subject.into()).or_default();
            if !same.contains(&der) {
                same.push(der);
            }
        }
        Ok(())
    }
}

fn read(sources: &Sources) -> Result<Known, Fault> {
    let mut known = Known::default();
    if let Some(file) = &sources.told {
        known.add(file, true)?;
    }
    if let Some(file) = &sources.untold {
        known.add(file, false)?;
    }
    if let Some(file) = &sources.crls {
        let in_file = |why| Fault::new(file, why);
        let text = pem::read_up_to(file, pem::MAX_CRLS).map_err(in_file)?;
        let lists = pem::crls(&text).map_err(in_file)?;
        let read = lists
            .iter()
            .enumerate()
            .map(|(index, der)| Crl::read(der).ok_or_else(|| in_file(Why::NotCrl(index + 1))));
        known.crls = Some(read.collect::<Result<_, _>>()?);
    }
    Ok(known)
}
