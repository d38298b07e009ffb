//! What a certificate says of itself: whom it is for, and for how long.

use std::net::IpAddr;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls::pem;

/// RFC 1035 §2.3.4: 255 octets in a name.
const MAX_NAME: usize = 255;

/// RFC 7633 §4: the TLS features that a server must show with this certificate.
const TLS_FEATURE: Oid<'static> = oid!(1.3.6.1.5.5.7.1.24);

/// Of one certificate, the leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// In lower case; a wildcard begins with `*.`.
    pub names: Vec<Box<str>>,
    pub addresses: Vec<IpAddr>,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Clients refuse it without a stapled OCSP answer.
    pub must_staple: bool,
    pub is_authority: bool,
}

impl Facts {
    pub fn of(leaf: &X509Certificate<'_>) -> Self {
        let mut facts = Self {
            not_before: leaf.validity().not_before.timestamp(),
            not_after: leaf.validity().not_after.timestamp(),
            is_authority: leaf.is_ca(),
            ..Self::default()
        };
        let mut has_alternatives = false;
        for extension in leaf.extensions() {
            if let ParsedExtension::SubjectAlternativeName(all) = extension.parsed_extension() {
                has_alternatives = true;
                for name in &all.general_names {
                    facts.take(name);
                }
            } else if extension.oid == TLS_FEATURE {
                facts.must_staple |= asks_for_stapling(extension.value);
            }
        }
        // RFC 6125 §6.4.4: the common name counts only where there is nothing better.
        if !has_alternatives {
            let common = leaf.subject().iter_common_name();
            facts.names.extend(common.filter_map(|name| normal(name.as_str().ok()?)));
        }
        facts.names.sort_unstable();
        facts.names.dedup();
        facts
    }

    /// Of DER; `None` where it is no certificate.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, leaf) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then(|| Self::of(&leaf))
    }

    /// Of the first certificate in a file, as it is now.
    pub fn in_file(file: &Path) -> Option<Self> {
        let text = pem::read(file).ok()?;
        Self::read(pem::certificates(&text).ok()?.first()?)
    }

    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }

    fn take(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.names.extend(normal(name)),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let ip = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.addresses.extend(ip);
            }
            _ => {}
        }
    }
}

/// A name as it is looked for; `None` where nobody can ask for it.
pub fn normal(name: &str) -> Option<Box<str>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_name = name.len() <= MAX_NAME && rest.split('.').all(is_label);
    is_name.then(|| name.to_ascii_lowercase().into())
}

/// `SEQUENCE OF INTEGER`, with status_request (5) or its second version (17) in it.
fn asks_for_stapling(value: &[u8]) -> bool {
    value.get(2..).is_some_and(|all| all.chunks(3).any(|one| matches!(one, [0x02, 0x01, 5 | 17])))
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Some(facts) = Facts::read(&CertificateDer::from(input)) {
        assert!(facts.names.iter().all(|name| normal(name).as_ref() == Some(name)));
    }
    let _ = asks_for_stapling(input);
    if let Some(name) = normal(&String::from_utf8_lossy(input)) {
        assert_eq!(normal(&name), Some(name), "a name in its form stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair, SanType};

    use super::*;

    fn facts(params: &CertificateParams) -> Facts {
        let key = KeyPair::generate().unwrap();
        Facts::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn the_common_name_counts_only_without_alternatives() {
        let mut params = CertificateParams::new(["B.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a.example");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 2].into()));
        params.subject_alt_names.push(SanType::DnsName("*.c.example".try_into().unwrap()));
        let found = facts(&params);
        assert_eq!(found.names, ["*.c.example".into(), Box::from("b.example")]);
        assert_eq!(found.addresses, [IpAddr::from([127, 0, 0, 2])]);
        params.subject_alt_names.clear();
        assert_eq!(facts(&params).names, [Box::from("a.example")]);
    }

    #[test]
    fn what_must_be_stapled_is_known() {
        for (value, want) in [
            (&[0x30, 3, 2, 1, 5][..], true),
            (&[0x30, 6, 2, 1, 23, 2, 1, 5], true),
            (&[0x30, 3, 2, 1, 17], true),
            (&[0x30, 3, 2, 1, 23], false),
            (&[0x30, 0], false),
        ] {
            let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&oid, value.to_vec())];
            assert_eq!(facts(&params).must_staple, want, "{value:?}");
        }
    }

    #[test]
    fn names_that_nobody_can_ask_for_are_left_out() {
        for (name, want) in [
            ("Mail.Example.", Some("mail.example")),
            ("*.A.example", Some("*.a.example")),
            ("a.*.example", None),
            ("m*.example", None),
            ("*", None),
            ("", None),
            ("a b", None),
            ("mail..example", None),
            ("post\u{fc}.example", None),
        ] {
            assert_eq!(normal(name).as_deref(), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(input in prop::collection::vec(any::<u8>(), 0..200)) {
            hold_for_any(&input);
        }
    }
}
