//! Is this upstream who it should be? What rustls' own verifier does not do.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::provider;

/// Trusts the roots, and every certificate that was given as such.
///
/// The second is what OpenSSL does with a self-signed certificate in the trusted file. webpki
/// refuses it where it says `CA:TRUE`, as `openssl req -x509` writes it, or is of X.509 v1.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub fn new(roots: Arc<WebPkiServerVerifier>, pinned: Vec<CertificateDer<'static>>) -> Self {
        Self { roots, pinned }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let outcome = self.roots.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if outcome.is_err() && self.pinned.contains(end_entity) {
            return pinned(end_entity, server_name, now);
        }
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Anyone.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Anyone.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Anyone.supported_verify_schemes()
    }
}

/// Trusts every certificate, but still asks for a proof that its key is at hand:
/// `proxy_ssl_verify off`.
#[derive(Debug)]
pub struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        match verify_tls12_signature(message, cert, dss, algorithms) {
            Err(Error::InvalidCertificate(_)) => signed_with(message, cert, dss),
            outcome => outcome,
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        use SignatureScheme as S;
        let algorithms = &provider().signature_verification_algorithms;
        match verify_tls13_signature(message, cert, dss, algorithms) {
            // RFC 8446 §4.4.3: PKCS #1 v1.5 is not for signatures in the handshake.
            Err(Error::InvalidCertificate(_))
                if !matches!(
                    dss.scheme,
                    S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512
                ) =>
            {
                signed_with(message, cert, dss)
            }
            outcome => outcome,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate's key made the signature, for certificates that webpki does not read.
fn signed_with(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, cert) = X509Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    let key = &cert.public_key().subject_public_key.data;
    let algorithms = provider().signature_verification_algorithms.mapping;
    let fitting = algorithms.iter().filter(|(scheme, _)| *scheme == dss.scheme);
    // A key of another kind is no key to the algorithm, so it fails there.
    let is_good = fitting
        .flat_map(|(_, algorithms)| algorithms.iter())
        .any(|algorithm| algorithm.verify_signature(key, message, dss.signature()).is_ok());
    if is_good {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// For a certificate that is trusted itself there is no chain: only its time and its name count.
fn pinned(
    cert: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let (_, cert) = X509Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > cert.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    if now < cert.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    let names = names_in(&cert);
    if names.iter().any(|own| fits(own, name)) {
        return Ok(ServerCertVerified::assertion());
    }
    Err(CertificateError::NotValidForNameContext { expected: name.to_owned(), presented: names }
        .into())
}

/// The subjectAltNames, or for want of any the common name, as before RFC 9525.
fn names_in(cert: &X509Certificate<'_>) -> Vec<String> {
    if let Ok(Some(extension)) = cert.subject_alternative_name() {
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
                let six = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
                four.or(six).ok().map(|address| address.to_string())
            }
            _ => None,
        };
        return extension.value.general_names.iter().filter_map(text).collect();
    }
    let names = cert.subject().iter_common_name();
    names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

/// RFC 9525 §6.3: a wildcard is the whole leftmost label and stands for one.
fn fits(own: &str, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => {
            let (own, name) = (own.to_ascii_lowercase(), name.as_ref().to_ascii_lowercase());
            let name = name.trim_end_matches('.');
            match own.strip_prefix("*.") {
                Some(own) => name.split_once('.').is_some_and(|(_, rest)| rest == own),
                None => own == name,
            }
        }
        ServerName::IpAddress(address) => own.parse() == Ok(std::net::IpAddr::from(*address)),
        _ => false,
    }
}
