//! TLS as a client of the test speaks it.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::Pair;

/// Whom to trust and what to offer. Clones share their session cache, as one client would.
#[derive(Clone)]
pub struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: String,
}

impl Tls {
    /// Trusts what `ca` signed, and asks for `name`.
    pub fn trusting(ca: &str, name: &str) -> Self {
        Self::with(ca, name, rustls::ALL_VERSIONS, &[])
    }

    /// The same, and shows a certificate of its own to whoever asks.
    pub fn showing(ca: &str, name: &str, own: &Pair) -> Self {
        let plain = Self::trusting(ca, name);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
        let provider = plain.config.crypto_provider().clone();
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        Self { config: Arc::new(config), ..plain }
    }

    pub fn with(
        ca: &str,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config: Arc::new(config), name: name.to_owned() }
    }
}
