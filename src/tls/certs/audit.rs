//! Would these files serve, and would clients like what they see?

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::X509Certificate;

use super::facts::{self, Facts};
use super::load::{self, Files, Raw};
use super::shelf;
use crate::tls::directives::Settings;
use crate::tls::fault::Fault;

/// sha1WithRSAEncryption, ecdsa-with-SHA1, md5WithRSAEncryption.
const WEAK: [Oid<'static>; 3] =
    [oid!(1.2.840.113549.1.1.5), oid!(1.2.840.10045.4.1), oid!(1.2.840.113549.1.1.4)];

/// RFC 5280 §4.2.2.1: says where the issuer's certificate is, so there is one to be sent.
const AUTHORITY_INFORMATION: Oid<'static> = oid!(1.3.6.1.5.5.7.1.1);

/// Files that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    pub files: Files,
    pub chain: Option<PathBuf>,
    /// Whom it is for, where it does not say; may be empty.
    pub name: String,
}

/// What was found in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub names: Vec<String>,
    pub issuer: String,
    /// Seconds since 1970; none where it cannot be read.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// With these it does not serve, or clients refuse it.
    pub faults: Vec<String>,
    pub notes: Vec<String>,
}

/// Everything that `settings` lead to, and what is wrong with the folders themselves.
pub fn pairings(settings: &Settings) -> (Vec<Pairing>, Vec<Fault>) {
    let bare = |files| Pairing { files, chain: None, name: String::new() };
    let mut all: Vec<_> = settings.files().into_iter().map(bare).collect();
    let (found, faults) = shelf::look(&settings.folders);
    all.extend(found.into_iter().map(|one| Pairing {
        files: Files {
            certificate: one.certificate,
            key: one.key,
            passwords: settings.passwords.clone(),
        },
        chain: one.chain,
        name: one.name,
    }));
    (all, faults)
}

/// The subjects of the system's roots, as they are encoded.
#[derive(Debug)]
pub struct Roots(HashSet<Vec<u8>>);

impl Roots {
    pub fn of_system() -> Self {
        let all = rustls_native_certs::load_native_certs().certs;
        let subject =
            |der: &CertificateDer<'_>| Some(load::parse(der)?.subject().as_raw().to_vec());
        Self(all.iter().filter_map(subject).collect())
    }
}

/// Reads the files and looks at all of it. `now` in seconds since 1970.
pub fn examine(pairing: &Pairing, roots: &Roots, now: i64) -> Report {
    let mut report = Report::default();
    match load::read(&pairing.files, pairing.chain.as_deref()) {
        Ok(Raw { chain, key, facts }) => {
            report.tell(&facts, now);
            report.judge(&chain, roots);
            if let Err(fault) = load::certified(chain, key, &pairing.files) {
                report.faults.push(fault.to_string());
            }
        }
        Err(fault) => {
            if let Some(facts) = Facts::in_file(&pairing.files.certificate) {
                report.tell(&facts, now);
            }
            report.faults.push(fault.to_string());
        }
    }
    if report.names.is_empty() {
        match facts::normal(&pairing.name) {
            Some(name) if report.not_after.is_some() => {
                report.notes.push(format!("it names nobody and is taken for {name:?}"));
                report.names.push(name.into());
            }
            _ => {}
        }
    }
    report
}

/// Who else may read the key.
pub fn readers(key: &Path) -> (Option<String>, Option<String>) {
    let Ok(meta) = std::fs::metadata(key) else { return (None, None) };
    let (mode, shown) = (meta.mode() & 0o777, key.display());
    match (mode & 0o007, mode & 0o070) {
        (0, 0) => (None, None),
        (0, _) => (None, Some(format!("a group may read or write its key {shown}"))),
        _ => (Some(format!("everybody may read or write its key {shown}: chmod 600")), None),
    }
}

impl Report {
    fn tell(&mut self, facts: &Facts, now: i64) {
        let addresses = facts.addresses.iter().map(ToString::to_string);
        self.names = facts.names.iter().map(ToString::to_string).chain(addresses).collect();
        (self.not_before, self.not_after) = (Some(facts.not_before), Some(facts.not_after));
        if now >= facts.not_after {
            self.faults.push("it has ended: renew it".to_owned());
        } else if now < facts.not_before {
            self.faults.push("it is not valid yet: see to the clock, or wait".to_owned());
        }
    }

    fn judge(&mut self, chain: &[CertificateDer<'_>], roots: &Roots) {
        let chain: Vec<_> = chain.iter().filter_map(load::parse).collect();
        let (Some(leaf), Some(last)) = (chain.first(), chain.last()) else { return };
        self.issuer = shown(leaf);
        for one in &chain {
            if WEAK.contains(&one.signature_algorithm.algorithm) && !is_own_issuer(one) {
                self.faults.push("it is signed with SHA-1 or MD5, which clients refuse".to_owned());
            }
        }
        let is_next =
            |pair: &[X509Certificate<'_>]| pair[0].issuer().as_raw() == pair[1].subject().as_raw();
        if let Some(at) = chain.windows(2).position(|pair| !is_next(pair)) {
            self.faults.push(format!(
                "certificate {} of its chain is not the issuer of the one before: give the \
                 server's certificate, then who issued it, and so on",
                at + 2
            ));
        }
        match chain.len() {
            1 if is_own_issuer(leaf) => self.notes.push("it is signed by itself".to_owned()),
            _ if is_own_issuer(last) => {
                self.notes.push("the root at its end need not be sent".to_owned());
            }
            _ if roots.0.contains(last.issuer().as_raw()) => {}
            _ => {
                let says_where =
                    last.extensions().iter().any(|one| one.oid == AUTHORITY_INFORMATION);
                let text = format!("its chain ends below {}", shown(last));
                match says_where {
                    true => self.faults.push(format!(
                        "{text}, which is no root of this system: add the certificates of those \
                         who issued it"
                    )),
                    false => self.notes.push(format!("{text}, which is no root of this system")),
                }
            }
        }
        let may_serve = leaf.extensions().iter().all(|one| match one.parsed_extension() {
            ParsedExtension::ExtendedKeyUsage(usage) => usage.server_auth || usage.any,
            _ => true,
        });
        if !may_serve {
            self.faults.push("it is not for servers (extended key usage)".to_owned());
        }
    }
}

fn is_own_issuer(one: &X509Certificate<'_>) -> bool {
    one.issuer().as_raw() == one.subject().as_raw()
}

fn shown(one: &X509Certificate<'_>) -> String {
    one.issuer().to_string().escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::support::Desk;

    const NOW: i64 = 1_790_000_000;

    fn examined(desk: &Desk, certificate: &str, key: &str) -> Report {
        let files =
            Files { certificate: desk.path(certificate), key: desk.path(key), passwords: None };
        let pairing = Pairing { files, chain: None, name: "d.example".to_owned() };
        examine(&pairing, &Roots(HashSet::new()), NOW)
    }

    #[test]
    fn what_is_wrong_is_found() {
        let desk = Desk::new();
        desk.make_signed("good", &["a.example", "*.a.example"]);
        desk.make("other", "b.example");
        let read = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
        desk.write("ordered.crt", read("good.crt") + &read("root.crt"));
        desk.write("mixed.crt", read("good.crt") + &read("other.crt"));
        for (certificate, key, fault, note) in [
            ("good.crt", "good.key", None, Some("its chain ends below CN=Test Root")),
            ("ordered.crt", "good.key", None, Some("need not be sent")),
            ("mixed.crt", "good.key", Some("certificate 2 of its chain"), None),
            ("good.crt", "other.key", Some("does not belong"), None),
            ("good.crt", "none.key", Some("no such file"), None),
            ("none.crt", "good.key", Some("no such file"), None),
        ] {
            let report = examined(&desk, certificate, key);
            let has = |all: &[String], want: Option<&str>| match want {
                Some(want) => all.iter().any(|one| one.contains(want)),
                None => true,
            };
            assert_eq!(report.faults.is_empty(), fault.is_none(), "{report:?}");
            assert!(has(&report.faults, fault) && has(&report.notes, note), "{report:?}");
        }
        assert_eq!(examined(&desk, "good.crt", "good.key").names, ["*.a.example", "a.example"]);
    }

    #[test]
    fn dates_are_judged() {
        let desk = Desk::new();
        desk.make_by_openssl("a", "a.example");
        let files = desk.files("a");
        let pairing = Pairing { files, chain: None, name: String::new() };
        let roots = Roots(HashSet::new());
        let end = examine(&pairing, &roots, NOW).not_after.unwrap();
        for (now, fault) in
            [(end - 1, None), (end, Some("it has ended")), (0, Some("not valid yet"))]
        {
            let faults = examine(&pairing, &roots, now).faults;
            assert_eq!(faults.len(), usize::from(fault.is_some()), "{faults:?}");
            assert!(fault.is_none_or(|fault| faults[0].contains(fault)), "{faults:?}");
        }
    }
}
