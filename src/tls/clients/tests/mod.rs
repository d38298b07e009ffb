//! Authorities made on the spot, and what clients of theirs get to hear.

mod handshake;
mod judgement;
mod told;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::support::Desk;

/// A certificate and its key: somebody's, or an authority's.
pub struct Made {
    params: CertificateParams,
    pub key: KeyPair,
    pub der: CertificateDer<'static>,
    pub pem: String,
}

/// One with `name`, by `issuer` or by itself.
pub fn make(name: &str, by: Option<&Made>, bend: impl FnOnce(&mut CertificateParams)) -> Made {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params.use_authority_key_identifier_extension = by.is_some();
    bend(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(issuer) => {
            // What it may do by its own words is for others to see to.
            let mut free = issuer.params.clone();
            free.key_usages = Vec::new();
            params.signed_by(&key, &Issuer::from_params(&free, &issuer.key)).unwrap()
        }
        None => params.self_signed(&key).unwrap(),
    };
    let (der, pem) = (certificate.der().clone(), certificate.pem());
    Made { params, key, der, pem }
}

pub fn authority(name: &str, by: Option<&Made>) -> Made {
    make(name, by, as_authority)
}

pub fn as_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
}

pub fn leaf(name: &str, by: &Made) -> Made {
    make(name, Some(by), |_| {})
}

pub fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2021, 1, 1);
}

impl Made {
    pub fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    /// Its revocation list, in PEM.
    pub fn crl(
        &self,
        revoked: &[&str],
        bend: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> String {
        let entry = |serial: &&str| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial.as_bytes()),
            revocation_time: date_time_ymd(2022, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        bend(&mut params);
        params.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().pem().unwrap()
    }
}

/// A serial number that a list can name.
pub fn numbered(serial: &str) -> impl FnOnce(&mut CertificateParams) {
    let serial = SerialNumber::from_slice(serial.as_bytes());
    |params| params.serial_number = Some(serial)
}

pub fn write_all(desk: &Desk, name: &str, all: &[&Made]) {
    let text: String = all.iter().map(|each| each.pem.as_str()).collect();
    desk.write(name, text);
}
