//! A certificate in a client's chain, and what it may be used for.

use rustls::pki_types::CertificateDer;
use x509_parser::asn1_rs::{BitString, Oid, oid};
use x509_parser::extensions::{KeyUsage, NSCertType, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Version};

use super::crl::names_of;
use crate::tls::provider;

/// RSA keys and digests below this are weak to OpenSSL as Debian sets it up, and to rustls.
const LEAST_RSA_BITS: usize = 2048;

pub struct Certificate<'a> {
    pub der: &'a [u8],
    pub x509: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    pub fn read(der: &'a CertificateDer<'_>) -> Option<Self> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then_some(Self { der, x509 })
    }

    /// Issuer and subject are the same, whoever signed it.
    pub fn is_self_issued(&self) -> bool {
        self.x509.issuer().as_raw() == self.x509.subject().as_raw()
    }

    /// It names itself as its issuer, by key too. As with OpenSSL the signature is not looked at:
    /// such a certificate is trusted for lying in a file, or not at all.
    pub fn is_self_signed(&self) -> bool {
        self.is_self_issued() && self.has_key_id(self.authority_key_id())
    }

    /// Whether `issuer` is named as the issuer; the signature is looked at later.
    pub fn names(&self, issuer: &Certificate<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
            && issuer.has_key_id(self.authority_key_id())
    }

    /// Whether `wanted` is its key identifier. What is not said on either side is no mismatch.
    pub fn has_key_id(&self, wanted: Option<&[u8]>) -> bool {
        let own = self.extensions().find_map(|extension| match extension {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
            _ => None,
        });
        wanted.zip(own).is_none_or(|(wanted, own)| wanted == own)
    }

    fn authority_key_id(&self) -> Option<&[u8]> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0)
            }
            _ => None,
        })
    }

    /// The places its revocation lists are published at, only to be compared.
    pub fn crl_points(&self) -> impl Iterator<Item = String> {
        self.extensions()
            .filter_map(|extension| match extension {
                ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
                _ => None,
            })
            .flatten()
            .filter_map(|point| point.distribution_point.as_ref())
            .flat_map(names_of)
    }

    fn extensions(&self) -> impl Iterator<Item = &ParsedExtension<'a>> {
        self.x509.extensions().iter().map(|extension| extension.parsed_extension())
    }

    pub fn key_usage(&self) -> Option<&KeyUsage> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::KeyUsage(usage) => Some(usage),
            _ => None,
        })
    }

    fn netscape_type(&self) -> Option<&NSCertType> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::NSCertType(kind) => Some(kind),
            _ => None,
        })
    }

    pub fn has_name_constraints(&self) -> bool {
        self.extensions().any(|extension| matches!(extension, ParsedExtension::NameConstraints(_)))
    }

    /// The basic constraints: whether it is an authority, and how many may be below it.
    fn constraints(&self) -> Option<(bool, Option<u32>)> {
        self.extensions().find_map(|extension| match extension {
            ParsedExtension::BasicConstraints(all) => Some((all.ca, all.path_len_constraint)),
            _ => None,
        })
    }

    pub fn is_marked_ca(&self) -> bool {
        self.constraints().is_some_and(|(is_ca, _)| is_ca)
    }

    pub fn path_length(&self) -> Option<u32> {
        self.constraints().and_then(|(_, length)| length)
    }

    /// Whether it may issue certificates. At the root of a chain, forms from before basic
    /// constraints are good enough.
    pub fn is_ca(&self, is_root: bool) -> bool {
        if self.may_not_sign() {
            return false;
        }
        match self.constraints() {
            Some((is_ca, _)) => is_ca,
            None => {
                let is_v1 = self.x509.version() == X509Version::V1 && self.is_self_issued();
                is_root && (is_v1 || self.key_usage().is_some())
            }
        }
    }

    /// A key usage without certificate signing.
    pub fn may_not_sign(&self) -> bool {
        self.key_usage().is_some_and(|usage| !usage.key_cert_sign())
    }

    /// Whether it may be a client's, or above a client's.
    pub fn is_for_clients(&self, is_leaf: bool, is_root: bool) -> bool {
        let is_barred = self.extensions().any(|extension| {
            matches!(extension, ParsedExtension::ExtendedKeyUsage(usage) if !usage.client_auth)
        });
        if is_barred {
            return false;
        }
        if !is_leaf {
            return self.is_ca(is_root);
        }
        let signs =
            self.key_usage().is_none_or(|usage| usage.digital_signature() || usage.key_agreement());
        signs && self.netscape_type().is_none_or(NSCertType::ssl_client)
    }

    /// Whether it has a critical extension that nobody here looks at (RFC 5280 §4.2).
    pub fn is_beyond_us(&self) -> bool {
        self.x509.extensions().iter().any(|extension| {
            let is_known = matches!(
                extension.parsed_extension(),
                ParsedExtension::BasicConstraints(_)
                    | ParsedExtension::KeyUsage(_)
                    | ParsedExtension::ExtendedKeyUsage(_)
                    | ParsedExtension::SubjectAlternativeName(_)
                    | ParsedExtension::NameConstraints(_)
                    | ParsedExtension::NSCertType(_)
                    | ParsedExtension::CertificatePolicies(_)
                    | ParsedExtension::CRLDistributionPoints(_)
            );
            extension.critical && !is_known
        })
    }

    pub fn has_weak_key(&self) -> bool {
        matches!(
            self.x509.public_key().parsed(),
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() < LEAST_RSA_BITS
        )
    }

    /// Signed over MD5 or SHA-1, which no algorithm here takes.
    pub fn has_weak_digest(&self) -> bool {
        let weak = [
            oid!(1.2.840.113549.1.1.4),
            oid!(1.2.840.113549.1.1.5),
            oid!(1.2.840.10045.4.1),
            oid!(1.2.840.10040.4.3),
        ];
        weak.contains(&self.x509.signature_algorithm.algorithm)
    }

    pub fn is_signed_by(&self, issuer: &Certificate<'_>) -> bool {
        let x509 = &self.x509;
        Signed::new(x509.tbs_certificate.as_ref(), &x509.signature_algorithm, &x509.signature_value)
            .is_by(issuer.x509.public_key())
    }
}

/// Something signed: a certificate or a revocation list.
#[derive(Debug)]
pub struct Signed {
    what: Vec<u8>,
    algorithm: Oid<'static>,
    signature: Vec<u8>,
}

impl Signed {
    pub fn new(
        what: &[u8],
        algorithm: &AlgorithmIdentifier<'_>,
        signature: &BitString<'_>,
    ) -> Self {
        Self {
            what: what.to_vec(),
            algorithm: algorithm.algorithm.to_owned(),
            signature: signature.data.to_vec(),
        }
    }

    /// Whether the owner of `key` signed it, by an algorithm that is still any good.
    pub fn is_by(&self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let key = &*key.subject_public_key.data;
        // A key of another kind is no key to the algorithm, so it fails there.
        provider().signature_verification_algorithms.all.iter().any(|algorithm| {
            let id = algorithm.signature_alg_id();
            Oid::from_der(&id).is_ok_and(|(_, own)| own == self.algorithm)
                && algorithm.verify_signature(key, &self.what, &self.signature).is_ok()
        })
    }
}
