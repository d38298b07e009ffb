//! One ECDSA P-256 certificate for everybody, and both ends of TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Result;

/// The name in the certificate, and the one that clients ask for.
pub const NAME: &str = "bench.test";

/// Writes `cert.pem` and `key.pem` into `folder`.
pub fn write_certificate(folder: &Path) -> Result<()> {
    // rcgen's own choice of key is ECDSA P-256.
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    std::fs::write(folder.join("cert.pem"), made.cert.pem())?;
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(())
}

pub fn server(folder: &Path) -> Result<Arc<ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_file(folder.join("cert.pem"))?];
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// What a client offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Keep tickets and come back with them.
    pub resume: bool,
    /// Offer the post-quantum key exchange first, which OpenSSL 3.0 does not know and rustls takes.
    pub post_quantum: bool,
}

/// Clients speak TLS 1.3 with AES-128-GCM and X25519 only, so that every peer does the same arithmetic.
pub fn client(folder: &Path, offer: Offer) -> Result<Arc<ClientConfig>> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    if !offer.post_quantum {
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("cert.pem"))?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = match offer.resume {
        true => Resumption::in_memory_sessions(32),
        false => Resumption::disabled(),
    };
    Ok(Arc::new(config))
}
