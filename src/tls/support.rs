//! For the tests of this room: certificates made on the spot, and both ends of a handshake.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::certs::{Files, Identity, Store};
use super::directives::Settings;
use super::error::Error;
use super::provider;
use super::server::{self, Accepted, Config, Shared};
use super::verify::Anyone;

/// A directory of certificates.
pub struct Desk {
    dir: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        // As certbot does it: another file under the name, never a file half written.
        std::fs::write(self.path("new"), content).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    pub fn files(&self, name: &str) -> Files {
        Files {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
            passwords: None,
        }
    }

    /// A self-signed ECDSA certificate for `host`.
    pub fn make(&self, name: &str, host: &str) -> Files {
        self.make_with(name, host, &PKCS_ECDSA_P256_SHA256)
    }

    pub fn make_rsa(&self, name: &str, host: &str) -> Files {
        self.make_with(name, host, &PKCS_RSA_SHA256)
    }

    fn make_with(&self, name: &str, host: &str, kind: &'static SignatureAlgorithm) -> Files {
        let key = KeyPair::generate_for(kind).unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.crt"), certificate.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
        self.files(name)
    }

    /// A root in `root.crt`, and a certificate of its for each of `names` in one.
    pub fn make_signed(&self, name: &str, names: &[&str]) -> Files {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test Root");
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.write("root.crt", root.pem());
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
        self.write(&format!("{name}.crt"), certificate.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
        self.files(name)
    }

    /// What `openssl req -x509` makes, for ten days: a common name, no subjectAltName, `CA:TRUE`.
    pub fn make_by_openssl(&self, name: &str, host: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 \
             -keyout {name}.key -out {name}.crt -subj /CN={host}"
        ));
    }

    /// Runs the openssl tool in this directory; blanks part the arguments.
    pub fn openssl(&self, args: &str) {
        let mut command = Command::new("openssl");
        command.args(args.split(' ')).current_dir(self.dir.path());
        let output = command.output().expect("the openssl tool is installed");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A server block over `files`, which must be good.
pub fn serving(files: &[Files], alpn: &[&str], shared: &Shared) -> Arc<Config> {
    serving_with(&Settings::default(), files, alpn, shared)
}

pub fn serving_with(
    settings: &Settings,
    files: &[Files],
    alpn: &[&str],
    shared: &Shared,
) -> Arc<Config> {
    let (config, faults) = server::config(settings, identity(files), alpn, shared);
    assert_eq!(faults, []);
    config
}

pub fn identity(files: &[Files]) -> Arc<Identity> {
    let (identity, faults) = Store::default().identity(files);
    assert_eq!(faults, []);
    Arc::new(identity)
}

/// A client that trusts anyone.
pub fn client() -> ClientConfig {
    ClientConfig::builder_with_provider(provider().clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth()
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// For what must run out.
pub fn shortly() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

/// What a client got to see.
#[derive(Debug)]
pub struct Seen {
    pub certificate: CertificateDer<'static>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
}

impl Seen {
    pub fn is_of(&self, files: &Files) -> bool {
        leaf(&files.certificate) == self.certificate
    }
}

pub fn leaf(path: &Path) -> CertificateDer<'static> {
    let text = std::fs::read(path).unwrap();
    super::pem::certificates(&text).unwrap().remove(0)
}

/// Both ends of a handshake over a pipe, and a word each way behind it.
pub async fn shake(
    client: &Arc<ClientConfig>,
    name: &str,
    choose: impl FnOnce(Option<&str>) -> Option<Arc<Config>>,
) -> (std::io::Result<Seen>, Result<Accepted<DuplexStream>, Error>) {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let theirs = async {
        let mut stream = TlsConnector::from(client.clone()).connect(name, near).await?;
        // The ticket comes before this.
        stream.write_all(b"hello").await?;
        stream.read_exact(&mut [0; 5]).await?;
        let (_, session) = stream.get_ref();
        Ok(Seen {
            certificate: session.peer_certificates().unwrap()[0].clone().into_owned(),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    };
    let ours = async {
        let mut accepted = server::accept(far, None, choose, soon()).await?;
        // A client that dislikes us is gone by now: that is for it to tell.
        let mut word = [0; 5];
        if accepted.stream.read_exact(&mut word).await.is_ok() {
            accepted.stream.write_all(&word).await.unwrap();
            accepted.stream.flush().await.unwrap();
        }
        Ok(accepted)
    };
    tokio::join!(theirs, ours)
}
