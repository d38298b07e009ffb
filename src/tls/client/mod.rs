//! TLS with upstreams.

mod shown;

pub use shown::shown;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::directives::UpstreamSettings;
use super::error::Error;
use super::fault::{Fault, Why};
use super::verify::{Anyone, Trust};
use super::{pem, provider, suites};

/// What waits to be sent when an upstream does not read.
const SEND_BUFFER: usize = 16 * 1024;
/// Upstreams whose sessions are kept for resumption, per connector.
const SESSIONS: usize = 1024;

/// Makes connectors, each once per generation of the configuration: the system's roots are many.
#[derive(Debug, Default)]
pub struct Connectors {
    system: Option<Arc<RootCertStore>>,
    made: HashMap<UpstreamSettings, Arc<Connector>>,
}

impl Connectors {
    /// The connector for `settings`. Reads files.
    pub fn connector(&mut self, settings: &UpstreamSettings) -> Result<Arc<Connector>, Fault> {
        if let Some(connector) = self.made.get(settings) {
            return Ok(connector.clone());
        }
        let verifier = self.verifier(settings)?;
        let connector = Arc::new(Connector::new(settings, verifier));
        self.made.insert(settings.clone(), connector.clone());
        Ok(connector)
    }

    fn verifier(
        &mut self,
        settings: &UpstreamSettings,
    ) -> Result<Arc<dyn ServerCertVerifier>, Fault> {
        if !settings.verify {
            return Ok(Arc::new(Anyone));
        }
        let (roots, pinned) = match &settings.trusted {
            Some(file) => {
                let certificates = pem::read(file)
                    .and_then(|text| pem::certificates(&text))
                    .map_err(|why| Fault::new(file, why))?;
                (Arc::new(roots(file, &certificates)?), certificates)
            }
            None => (self.system()?, Vec::new()),
        };
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider().clone())
            .build()
            .expect("there are roots, and no CRL");
        Ok(Arc::new(Trust::new(webpki, pinned)))
    }

    fn system(&mut self) -> Result<Arc<RootCertStore>, Fault> {
        if let Some(roots) = &self.system {
            return Ok(roots.clone());
        }
        let mut roots = RootCertStore::empty();
        // The errors tell of single files; what counts is whether anything is left.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Fault::new(PathBuf::from("/etc/ssl/certs"), Why::NoRoots));
        }
        Ok(self.system.insert(Arc::new(roots)).clone())
    }
}

fn roots(file: &Path, certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        let added = roots.add(certificate.clone());
        added.map_err(|_| Fault::new(file, Why::NotX509(index + 1)))?;
    }
    Ok(roots)
}

/// How one kind of upstream is spoken to.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    name: Option<String>,
    verify: bool,
}

/// An upstream whose handshake is done.
#[derive(Debug)]
pub struct Connected<IO> {
    pub stream: TlsStream<IO>,
    pub protocol: &'static str,
    pub resumed: bool,
}

impl Connector {
    fn new(settings: &UpstreamSettings, verifier: Arc<dyn ServerCertVerifier>) -> Self {
        let mut config = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(settings.protocols.versions())
            .expect("the provider has ciphers for each version")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.enable_sni = settings.server_name;
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Self { config: Arc::new(config), name: settings.name.clone(), verify: settings.verify }
    }

    /// For those who do the handshake themselves: a library of a database, say.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Does the handshake with the upstream on `io`, which is reached as `host`: a name, or an
    /// address without its port.
    pub async fn connect<IO>(
        &self,
        io: IO,
        host: &str,
        deadline: Instant,
    ) -> Result<Connected<IO>, Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.server_name(self.name.as_deref().unwrap_or(host))?;
        let limit = |session: &mut rustls::ClientConnection| {
            session.set_buffer_limit(Some(SEND_BUFFER));
        };
        let connector = TlsConnector::from(self.config.clone());
        // Boxed: see `server::accept`.
        let handshake = Box::pin(connector.connect_with(name, io, limit));
        let stream = timeout_at(deadline, handshake).await.map_err(|_| Error::Silent)??;
        let (_, session) = stream.get_ref();
        Ok(Connected {
            protocol: suites::version_name(session.protocol_version()),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            stream,
        })
    }

    fn server_name(&self, name: &str) -> Result<ServerName<'static>, Error> {
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        match ServerName::try_from(bare.to_owned()) {
            Ok(name) => Ok(name),
            // Nobody will compare it, and an address is not sent as SNI.
            Err(_) if !self.verify => {
                Ok(ServerName::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED)))
            }
            Err(_) => Err(Error::Untrusted(format!(
                "no certificate can be valid for {name:?}: set proxy_ssl_name to the name in the \
                 upstream's certificate"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
