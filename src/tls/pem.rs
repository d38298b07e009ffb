//! PEM files: the one place that knows `rustls-pemfile`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls_pemfile::Item;
use zeroize::Zeroizing;

use super::fault::Why;

/// The largest file read. A chain takes a few KiB; a bundle of all public roots about 250 KiB.
pub const MAX_FILE: usize = 1024 * 1024;

/// The largest file of revocation lists: some hundred thousand revoked certificates.
pub const MAX_CRLS: usize = 32 * 1024 * 1024;

/// The file's bytes, wiped when dropped: it may hold a key.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Why> {
    read_up_to(path, MAX_FILE)
}

pub fn read_up_to(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, Why> {
    let file = File::open(path)?;
    // Room from the start, as growing would leave copies of a key behind.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if size > most {
        return Err(Why::TooLarge(most));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(size + 1));
    file.take(most as u64 + 1).read_to_end(&mut text)?;
    if text.len() > most { Err(Why::TooLarge(most)) } else { Ok(text) }
}

/// All certificates in `text`, in order; at least one.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Why> {
    let mut found = Vec::new();
    let mut known = None;
    for item in items(text) {
        match item {
            Ok(Item::X509Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            // The key beside the certificates may be one that we cannot read: not our question.
            Err(_) if *known.get_or_insert_with(|| is_encrypted(text)) => {}
            Err(error) => return Err(Why::NotPem(error.to_string())),
        }
    }
    if found.is_empty() { Err(Why::NoCertificate) } else { Ok(found) }
}

/// All certificate revocation lists in `text`, in order; at least one.
pub fn crls(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Why> {
    let mut found = Vec::new();
    for item in items(text) {
        match item {
            Ok(Item::Crl(list)) => found.push(list),
            Ok(_) => {}
            Err(error) => return Err(Why::NotPem(error.to_string())),
        }
    }
    if found.is_empty() { Err(Why::NoCrl) } else { Ok(found) }
}

/// The first private key in `text` that is in the clear.
pub fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Why> {
    let mut error = None;
    for item in items(text) {
        match item {
            Ok(Item::Pkcs1Key(key)) => return Ok(key.into()),
            Ok(Item::Pkcs8Key(key)) => return Ok(key.into()),
            Ok(Item::Sec1Key(key)) => return Ok(key.into()),
            Ok(_) => {}
            Err(cause) => error = Some(Why::NotPem(cause.to_string())),
        }
    }
    if is_encrypted(text) { Err(Why::Encrypted) } else { Err(error.unwrap_or(Why::NoKey)) }
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Ok(found) = certificates(input) {
        assert!(!found.is_empty());
    }
    if let Ok(found) = crls(input) {
        assert!(!found.is_empty());
    }
    let _ = key(input);
}

/// Reading goes on behind a broken section, so a caller sees what else there is.
fn items(mut text: &[u8]) -> impl Iterator<Item = io::Result<Item>> {
    std::iter::from_fn(move || rustls_pemfile::read_one(&mut text).transpose())
}

/// PKCS #8's own label, or the header of RFC 1421 §4.6.1.1 that OpenSSL's older form has.
fn is_encrypted(text: &[u8]) -> bool {
    let holds = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const PLAIN: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    const PKCS8: &str =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    const OLD: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
        DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    const EC: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n\
        -----END EC PARAMETERS-----\n\
        -----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";

    #[test]
    fn finds_the_key_or_says_why_not() {
        for (text, want) in [
            (PLAIN.to_owned(), Ok(())),
            (EC.to_owned(), Ok(())),
            (format!("{CERTIFICATE}{PLAIN}"), Ok(())),
            (format!("{OLD}{PLAIN}"), Ok(())),
            (CERTIFICATE.to_owned(), Err(Why::NoKey)),
            (String::new(), Err(Why::NoKey)),
            (PKCS8.to_owned(), Err(Why::Encrypted)),
            (OLD.to_owned(), Err(Why::Encrypted)),
            (format!("{CERTIFICATE}{OLD}"), Err(Why::Encrypted)),
        ] {
            assert_eq!(key(text.as_bytes()).map(drop), want, "{text}");
        }
    }

    #[test]
    fn finds_certificates_beside_any_key() {
        for (text, want) in [
            (CERTIFICATE.to_owned(), Ok(1)),
            (CERTIFICATE.replace('\n', "\r\n"), Ok(1)),
            (format!("{PLAIN}{CERTIFICATE}text between\n{CERTIFICATE}"), Ok(2)),
            (format!("{OLD}{CERTIFICATE}"), Ok(1)),
            (format!("{CERTIFICATE}{PKCS8}"), Ok(1)),
            (PLAIN.to_owned(), Err(Why::NoCertificate)),
        ] {
            assert_eq!(certificates(text.as_bytes()).map(|all| all.len()), want, "{text}");
        }
        let cut = format!("{CERTIFICATE}-----BEGIN CERTIFICATE-----\nAA");
        assert!(matches!(certificates(cut.as_bytes()), Err(Why::NotPem(_))));
    }

    const LINES: &str = "(-----(BEGIN|END) (RSA PRIVATE KEY|CERTIFICATE)-----\n|A{0,5}=?\n|\
        Proc-Type: 4,ENCRYPTED\n){0,12}";

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(input in prop::collection::vec(any::<u8>(), 0..400)) {
            hold_for_any(&input);
        }

        #[test]
        fn any_pem_like_text_is_read_without_panic(input in LINES) {
            hold_for_any(input.as_bytes());
        }
    }
}
