//! One revocation list, read once and asked often.

use std::collections::HashSet;
use std::sync::OnceLock;

use x509_parser::extensions::{DistributionPointName, IssuingDistributionPoint, ParsedExtension};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Extension};

use super::certificate::{Certificate, Signed};
use super::reason::Reason;

/// A base list: what only tells of changes to another (RFC 5280 §5.2.4) is not one.
#[derive(Debug)]
pub struct Crl {
    issuer: Vec<u8>,
    issuer_key: Option<Vec<u8>>,
    this_update: i64,
    next_update: Option<i64>,
    revoked: HashSet<Box<[u8]>>,
    /// It has a critical extension that is not understood, so it can clear nobody.
    is_odd: bool,
    scope: Scope,
    signed: Signed,
    /// The key that was found to have signed it: lists are large, and logins many.
    signed_by: OnceLock<Box<[u8]>>,
}

/// Which of its issuer's certificates it covers (RFC 5280 §5.2.5).
#[derive(Debug, Default)]
struct Scope {
    no_users: bool,
    no_authorities: bool,
    /// Only some reasons, others' certificates, attributes: covers nothing whole.
    nothing: bool,
    /// Only certificates that say so, by one of these names.
    point: Option<Vec<String>>,
}

impl Crl {
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let mut crl = Self {
            issuer: list.issuer().as_raw().to_vec(),
            issuer_key: None,
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|time| time.timestamp()),
            revoked: HashSet::new(),
            is_odd: false,
            scope: Scope::default(),
            signed: Signed::new(
                list.tbs_cert_list.as_ref(),
                &list.signature_algorithm,
                &list.signature_value,
            ),
            signed_by: OnceLock::new(),
        };
        for extension in list.extensions() {
            crl.heed(extension);
        }
        for entry in list.iter_revoked_certificates() {
            crl.revoked.insert(entry.raw_serial().into());
            // The reason and the time do not matter; whose certificate it is, would.
            crl.is_odd |= entry.extensions().iter().any(|extension| extension.critical);
        }
        Some(crl)
    }

    fn heed(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.issuer_key = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::IssuingDistributionPoint(point) => self.scope = Scope::of(point),
            ParsedExtension::CRLNumber(_) => {}
            // A delta has one that is critical (RFC 5280 §5.2.4).
            _ => self.is_odd |= extension.critical,
        }
    }

    /// Whether it may say something about `certificate`, which `issuer` issued.
    pub fn is_for(&self, certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
        let is_issuers = self.issuer == certificate.x509.issuer().as_raw()
            && issuer.has_key_id(self.issuer_key.as_deref());
        let scope = &self.scope;
        let is_apart = scope.nothing
            || if certificate.is_marked_ca() { scope.no_authorities } else { scope.no_users };
        let is_at = |names: &Vec<String>| certificate.crl_points().any(|at| names.contains(&at));
        is_issuers && !is_apart && scope.point.as_ref().is_none_or(is_at)
    }

    /// Of several the better: one that holds today before one that does not, then the newer.
    pub fn rank(&self, now: i64) -> (bool, bool, i64) {
        (!self.is_odd, self.time_fault(now).is_none(), self.this_update)
    }

    fn time_fault(&self, now: i64) -> Option<Reason> {
        if self.next_update.is_some_and(|until| now > until) {
            return Some(Reason::CrlExpired);
        }
        (now < self.this_update).then_some(Reason::CrlNotYetValid)
    }

    /// The last of what it finds wrong with `certificate`, or with itself.
    pub fn fault(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        now: i64,
    ) -> Option<Reason> {
        let mut fault = None;
        if issuer.key_usage().is_some_and(|usage| !usage.crl_sign()) {
            fault = Some(Reason::MayNotSignCrl);
        }
        fault = self.time_fault(now).or(fault);
        if !self.is_signed_by(issuer) {
            fault = Some(Reason::BadCrlSignature);
        }
        if self.is_odd {
            fault = Some(Reason::CriticalCrlExtension);
        }
        if self.revoked.contains(certificate.x509.raw_serial()) {
            fault = Some(Reason::Revoked);
        }
        fault
    }

    fn is_signed_by(&self, issuer: &Certificate<'_>) -> bool {
        let key = issuer.x509.public_key();
        if self.signed_by.get().is_some_and(|known| **known == *key.raw) {
            return true;
        }
        let is_good = self.signed.is_by(key);
        if is_good {
            // Another's key, where two issuers share a name, is asked about each time.
            let _ = self.signed_by.set(key.raw.into());
        }
        is_good
    }
}

impl Scope {
    fn of(point: &IssuingDistributionPoint<'_>) -> Self {
        Self {
            no_users: point.only_contains_ca_certs,
            no_authorities: point.only_contains_user_certs,
            nothing: point.only_some_reasons.is_some()
                || point.indirect_crl
                || point.only_contains_attribute_certs,
            point: point.distribution_point.as_ref().map(names_of),
        }
    }
}

/// The names of a distribution point, only to be compared.
pub fn names_of(point: &DistributionPointName<'_>) -> Vec<String> {
    match point {
        DistributionPointName::FullName(names) => {
            names.iter().map(|name| format!("{name:?}")).collect()
        }
        DistributionPointName::NameRelativeToCRLIssuer(name) => vec![format!("{name:?}")],
    }
}
