//! From files to a certificate with its chain and its key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::facts::Facts;
use crate::tls::fault::{Fault, Why};
use crate::tls::unlock::{self, Unopened};
use crate::tls::{pem, provider};

/// A certificate, the key that belongs to it, which may be encrypted, and what stands beside them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// `ssl_password_file`
    pub passwords: Option<PathBuf>,
}

/// What was in the files: read, and not yet tried together.
#[derive(Debug)]
pub struct Raw {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub facts: Facts,
}

/// Reads `files`, and `more` of the chain from another file.
pub fn read(files: &Files, more: Option<&Path>) -> Result<Raw, Fault> {
    let in_certificate = |why| Fault::new(&files.certificate, why);
    let text = pem::read(&files.certificate).map_err(in_certificate)?;
    let mut chain = pem::certificates(&text).map_err(in_certificate)?;
    if let Some(more) = more {
        let others = pem::read(more).and_then(|text| pem::certificates(&text));
        chain.extend(others.map_err(|why| Fault::new(more, why))?);
    }
    let leaf = parse(&chain[0]).ok_or_else(|| in_certificate(Why::NotX509(1)))?;
    let facts = Facts::of(&leaf);
    if facts.must_staple {
        return Err(in_certificate(Why::MustStaple));
    }
    let key = if files.key == files.certificate {
        key_in(&text, files)
    } else {
        let in_key = |why| Fault::new(&files.key, why);
        key_in(&pem::read(&files.key).map_err(in_key)?, files)
    }?;
    Ok(Raw { chain, key, facts })
}

/// Whether they can serve together: the key's own kind, and that it is the certificate's.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: &Files,
) -> Result<CertifiedKey, Fault> {
    let in_certificate = |why| Fault::new(&files.certificate, why);
    let in_key = |why| Fault::new(&files.key, why);
    for (index, der) in chain.iter().enumerate() {
        parse(der).ok_or_else(|| in_certificate(Why::NotX509(index + 1)))?;
    }
    let leaf = parse(&chain[0]).ok_or_else(|| in_certificate(Why::NotX509(1)))?;
    let key = signing_key(key, &leaf).map_err(in_key)?;
    if !belong_together(&*key, leaf.public_key()) {
        return Err(in_key(Why::Mismatch(files.certificate.clone())));
    }
    Ok(CertifiedKey::new(chain, key))
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

pub fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
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
