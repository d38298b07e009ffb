//! What does a server show to whoever asks for a name? For those who watch over certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls::provider;
use crate::tls::verify::Anyone;

/// Shakes hands at `at`, which begins with TLS, and gives its certificate, trusted or not.
pub async fn shown(
    at: SocketAddr,
    name: &str,
    within: Duration,
) -> Result<CertificateDer<'static>, String> {
    let name = match ServerName::try_from(name.to_owned()) {
        Ok(name) => name,
        // Nobody's name: whoever names nobody gets the default.
        Err(_) => ServerName::IpAddress(at.ip().into()),
    };
    let config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let shaking = async {
        let stream = TcpStream::connect(at).await.map_err(|error| error.to_string())?;
        let done = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = done.map_err(|error| error.to_string())?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        chain.first().map(|leaf| leaf.clone().into_owned()).ok_or("it showed none".to_owned())
    };
    let silent = Err(format!("no handshake within {} s", within.as_secs()));
    tokio::time::timeout(within, Box::pin(shaking)).await.unwrap_or(silent)
}
