//! Certificates, made on the spot.

use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SerialNumber,
};

use super::{Site, run};

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Pair {
    /// Writes `NAME.pem` and `NAME.key` into the site.
    pub fn put(&self, site: &Site, name: &str) {
        site.write(&format!("{name}.pem"), &self.cert);
        site.write(&format!("{name}.key"), &self.key);
    }
}

/// A certificate authority of the test's own.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "gatepost test authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An ECDSA P-256 certificate for `names`, wildcards included.
    pub fn ecdsa(&self, names: &[&str]) -> Pair {
        self.sign(names, KeyPair::generate().unwrap())
    }

    /// An RSA certificate for `names`.
    pub fn rsa(&self, names: &[&str]) -> Pair {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        self.sign(names, key)
    }

    /// A list, in PEM, that revokes nothing.
    pub fn revokes_nothing(&self) -> String {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2124, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    fn sign(&self, names: &[&str], key: KeyPair) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }
}

/// What only openssl still makes: certificates of old, locked keys.
impl Pair {
    /// X.509 version 1: no extensions at all, so no subject alternative name either.
    pub fn version_1(site: &Site, name: &str) -> Self {
        openssl(
            site,
            &format!("req -newkey rsa:2048 -nodes -keyout v1.k -subj /CN={name} -out v1.r"),
        );
        openssl(site, "x509 -req -in v1.r -signkey v1.k -days 30 -out v1.c");
        let made = Self { cert: site.read("v1.c"), key: site.read("v1.k") };
        let text = openssl(site, "x509 -in v1.c -noout -text");
        assert!(text.contains("Version: 1 "), "{text}");
        made
    }

    /// Version 3, self-signed, its name in CN alone.
    pub fn cn_only(site: &Site, name: &str) -> Self {
        let request = format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout cn.k -subj /CN={name} -days 30 -out cn.c"
        );
        openssl(site, &request);
        Self { cert: site.read("cn.c"), key: site.read("cn.k") }
    }

    /// The same certificate, its key locked by a pass phrase.
    pub fn locked(&self, site: &Site) -> Self {
        site.write("open.k", &self.key);
        openssl(site, "pkey -in open.k -aes256 -passout pass:secret -out locked.k");
        Self { cert: self.cert.clone(), key: site.read("locked.k") }
    }
}

fn openssl(site: &Site, words: &str) -> String {
    run(Command::new("openssl").args(words.split(' ')).current_dir(site.dir()), "").worked().out
}
