//! Clients' certificates: asked for in the handshake, judged after it, told to others on request.
//!
//! As in nginx the handshake completes whatever a client shows, so that it can be sent away in the
//! words of its protocol. In the handshake it only has to prove that the certificate's key is its
//! own. The chain is judged each time, on a resumed session too, by what is trusted today.
//!
//! **Limits.** A chain has at most [`MOST_BYTES`], beyond which there is no handshake, and six
//! authorities below its root. Names in certificates are compared byte by byte.

mod certificate;
mod chain;
mod crl;
mod name;
mod reason;
#[cfg(test)]
mod tests;
pub mod trust;

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, InvalidMessage, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use reason::Reason;
use trust::Trust;

use super::verify::Anyone;

/// A session keeps what its client shows for as long as it lives.
pub const MOST_BYTES: usize = 32 * 1024;
/// Of a name that somebody logs in by: RFC 5321 §4.5.3.1 has 64, an at sign, and 255.
const LONGEST_NAME: usize = 320;

/// `ssl_verify_client`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verify {
    #[default]
    Off,
    On,
    Optional,
    OptionalNoCa,
}

/// How one server block sees its clients' certificates.
#[derive(Clone, Debug)]
pub struct Clients {
    verify: Verify,
    depth: usize,
    trust: Arc<Trust>,
}

impl Clients {
    /// `verify` is not [`Verify::Off`].
    pub fn new(verify: Verify, depth: usize, trust: Arc<Trust>) -> Self {
        Self { verify, depth, trust }
    }

    /// What asks for them in the handshake. The names in it are today's.
    pub fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asking { names: self.trust.known().names.clone() })
    }

    /// What `sent`, which came in this handshake or in the one it resumes, is worth at `now`.
    pub fn judge(&self, sent: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Client {
        let Some((leaf, sent)) = sent.and_then(|sent| Some((sent.first()?, sent))) else {
            return Client::Missing { is_required: self.verify == Verify::On };
        };
        let fault = chain::fault(sent, &self.trust.known(), self.depth, now);
        let lets_pass =
            |fault: &Reason| self.verify == Verify::OptionalNoCa && fault.is_about_trust();
        let bar = fault.filter(|fault| !lets_pass(fault));
        Client::Shown(Arc::new(Shown { leaf: leaf.clone().into_owned(), fault, bar }))
    }
}

/// What a client showed.
#[derive(Clone, Debug, Default)]
pub enum Client {
    /// It was not asked.
    #[default]
    Unasked,
    Missing {
        is_required: bool,
    },
    Shown(Arc<Shown>),
}

/// A certificate whose key is the client's own, and what is wrong with it apart from that.
#[derive(Debug)]
pub struct Shown {
    leaf: CertificateDer<'static>,
    fault: Option<Reason>,
    bar: Option<Reason>,
}

/// Why a client is to be sent away, after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bar {
    NoCertificate,
    /// `(20:unable to get local issuer certificate)`
    BadCertificate(String),
}

/// What nginx's lookup tells of a certificate (`Auth-SSL-*`). What there is not is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `SUCCESS`, `NONE` or `FAILED:reason`
    pub verify: String,
    /// As RFC 2253 has it, the last part first: `CN=x,O=y,C=DE`.
    pub subject: String,
    pub issuer: String,
    /// In hex, upper case.
    pub serial: String,
    /// SHA-1, in hex, lower case.
    pub fingerprint: String,
    pub pem: String,
}

impl Client {
    pub fn bar(&self) -> Option<Bar> {
        match self {
            Self::Missing { is_required: true } => Some(Bar::NoCertificate),
            Self::Shown(shown) => Some(Bar::BadCertificate(shown.bar?.in_full().to_string())),
            _ => None,
        }
    }

    /// For the lookup; none where clients are not asked.
    pub fn told(&self) -> Option<Told> {
        match self {
            Self::Unasked => None,
            Self::Missing { .. } => Some(Told { verify: "NONE".to_owned(), ..Told::default() }),
            Self::Shown(shown) => Some(shown.told()),
        }
    }

    /// Who it is, for SASL EXTERNAL, if its certificate is good: the first mail address among the
    /// alternative names, else one in the subject, else the common name. Never with control bytes.
    pub fn name(&self) -> Option<Box<[u8]>> {
        match self {
            Self::Shown(shown) if shown.fault.is_none() => shown.name(),
            _ => None,
        }
    }
}

impl Shown {
    fn told(&self) -> Told {
        let verify = match self.fault {
            None => "SUCCESS".to_owned(),
            Some(fault) => format!("FAILED:{fault}"),
        };
        let Ok((_, x509)) = X509Certificate::from_der(&self.leaf) else {
            return Told { verify, ..Told::default() };
        };
        let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.leaf);
        Told {
            verify,
            subject: name::of(x509.subject()),
            issuer: name::of(x509.issuer()),
            serial: serial(x509.raw_serial()),
            fingerprint: fingerprint.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            pem: pem(&self.leaf),
        }
    }

    fn name(&self) -> Option<Box<[u8]>> {
        let (_, x509) = X509Certificate::from_der(&self.leaf).ok()?;
        let alternative = x509.subject_alternative_name().ok().flatten();
        let address = alternative.and_then(|names| {
            names.value.general_names.iter().find_map(|name| match name {
                GeneralName::RFC822Name(address) => Some((*address).to_owned()),
                _ => None,
            })
        });
        // RFC 6125 §1.8: the most specific common name is the last one encoded.
        let name = match address {
            Some(address) => Some(address),
            None => match x509.subject().iter_email().last() {
                Some(email) => name::text(email.attr_value()),
                None => name::text(x509.subject().iter_common_name().last()?.attr_value()),
            },
        }?;
        let is_good = (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control);
        is_good.then(|| name.into_bytes().into())
    }
}

/// As OpenSSL writes an ASN.1 integer.
fn serial(der: &[u8]) -> String {
    let is_negative = der.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude = der.to_vec();
    if is_negative {
        // Two's complement: inverted, and one more.
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            let (sum, carries) = byte.overflowing_add(1);
            *byte = sum;
            if !carries {
                break;
            }
        }
    }
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let digits = &magnitude[zeros.min(magnitude.len().saturating_sub(1))..];
    let hex: String = digits.iter().map(|byte| format!("{byte:02X}")).collect();
    if is_negative { format!("-{hex}") } else { hex }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// What must hold for any bytes as a certificate: whoever shows them is not let in, and what is told
/// of them is one line of ASCII each.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let (verify, trust) = (Verify::On, Arc::new(Trust::new(trust::Sources::default())));
    let sent = [CertificateDer::from(input), CertificateDer::from(input)];
    for sent in [&sent[..1], &sent] {
        let client = Clients::new(verify, 1, trust.clone()).judge(Some(sent), UnixTime::now());
        assert!(client.bar().is_some() && client.name().is_none());
        let told = client.told().expect("it was asked for a certificate");
        let Told { verify, subject, issuer, serial, fingerprint, pem: _ } = told;
        for text in [verify, subject, issuer, serial, fingerprint] {
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
        }
    }
    let _ = crl::Crl::read(input);
}

/// Asks for a certificate, takes any and none, and wants a proof that its key is at hand.
#[derive(Debug)]
struct Asking {
    names: Vec<DistinguishedName>,
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes: usize = intermediates.iter().map(|each| each.len()).sum();
        if end_entity.len() + bytes > MOST_BYTES {
            return Err(InvalidMessage::CertificatePayloadTooLarge.into());
        }
        Ok(ClientCertVerified::assertion())
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
