//! A scripted HTTP server for tests: what it was asked, how often it was connected to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::names::{Answer, Resolve};
use crate::net::dns::Error;
use crate::observe::tasks;

/// What the stub does about one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Write this and read on.
    Keep(String),
    /// Write this and hang up.
    Close(String),
    /// Write this after so long, and read on.
    Later(Duration, String),
    /// Say nothing, and keep the connection open.
    Hang,
}

/// A status line, headers and no body.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Reply {
    let mut text = format!("HTTP/1.1 {status} Stub\r\nContent-Length: 0\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    Reply::Keep(text + "\r\n")
}

/// Which connection a request came on and which request it is in all, from 1, with its head.
pub type Script = dyn Fn(usize, usize, &str) -> Reply + Send + Sync;

#[derive(Clone)]
pub struct Stub {
    script: Arc<Script>,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    fn new(script: impl Fn(usize, usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let (connections, heads) = (Arc::default(), Arc::default());
        Self { script: Arc::new(script), connections, heads }
    }

    pub async fn tcp(
        script: impl Fn(usize, usize, &str) -> Reply + Send + Sync + 'static,
    ) -> (Self, SocketAddr) {
        let stub = Self::new(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = stub.clone();
        tasks::spawn("stub", async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::spawn("stub", own.clone().serve(stream));
            }
        });
        (stub, address)
    }

    /// Over TLS, with a certificate for `names`. Gives the PEM of who signed it, too.
    pub async fn tls(
        names: &[&str],
        script: impl Fn(usize, usize, &str) -> Reply + Send + Sync + 'static,
    ) -> (Self, SocketAddr, String) {
        let stub = Self::new(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (config, root) = certified(names, &format!("Root of {address}"));
        let own = stub.clone();
        tasks::spawn("stub", async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let (own, acceptor) = (own.clone(), acceptor.clone());
                tasks::spawn("stub", async move {
                    // A client that does not trust it is gone.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        own.serve(stream).await;
                    }
                });
            }
        });
        (stub, address, root)
    }

    pub async fn unix(
        path: &Path,
        script: impl Fn(usize, usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let stub = Self::new(script);
        let listener = UnixListener::bind(path).unwrap();
        let own = stub.clone();
        tasks::spawn("stub", async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::spawn("stub", own.clone().serve(stream));
            }
        });
        stub
    }

    /// In memory: what it does takes no time but what it is told to wait.
    pub fn wire(
        script: impl Fn(usize, usize, &str) -> Reply + Send + Sync + 'static,
    ) -> (Self, Wire) {
        let stub = Self::new(script);
        let wire = Wire(stub.clone());
        (stub, wire)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let mut unread = Vec::new();
        loop {
            let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") else {
                match stream.read_buf(&mut unread).await {
                    Ok(1..) => continue,
                    _ => return,
                }
            };
            let head = String::from_utf8_lossy(&unread[..end + 4]).into_owned();
            unread.drain(..end + 4);
            let nth = {
                let mut heads = self.heads.lock().unwrap();
                heads.push(head.clone());
                heads.len()
            };
            match (self.script)(connection, nth, &head) {
                Reply::Keep(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Reply::Close(text) => {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    return;
                }
                Reply::Later(wait, text) => {
                    sleep(wait).await;
                    // Who has lost its patience is gone.
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Reply::Hang => {}
            }
        }
    }
}

/// The way to a stub in memory.
#[derive(Clone)]
pub struct Wire(Stub);

impl Wire {
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        tasks::spawn("stub", self.0.clone().serve(far));
        near
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

fn certified(names: &[&str], root: &str) -> (ServerConfig, String) {
    let mut params = CertificateParams::new([]).unwrap();
    // Roots of one name would be taken for each other.
    params.distinguished_name.push(DnType::CommonName, root);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(crate::tls::provider().clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (config, root.pem())
}

/// Names with addresses that a test may change; it counts who asks.
#[derive(Debug, Default)]
pub struct Book {
    pub pages: Mutex<Vec<(String, Vec<IpAddr>)>>,
    pub asked: AtomicUsize,
}

impl Book {
    pub fn of(entries: &[(&str, &[&str])]) -> Arc<Self> {
        let book = Self::default();
        for (name, addresses) in entries {
            book.write(name, addresses);
        }
        Arc::new(book)
    }

    pub fn write(&self, name: &str, addresses: &[&str]) {
        let mut pages = self.pages.lock().unwrap();
        pages.retain(|(known, _)| known != name);
        pages.push((name.to_owned(), addresses.iter().map(|ip| ip.parse().unwrap()).collect()));
    }
}

impl Resolve for Book {
    fn resolve<'a>(&'a self, name: &'a str) -> Answer<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let pages = self.pages.lock().unwrap();
        let found = pages.iter().find(|(known, _)| known == name).map(|(_, ips)| ips.clone());
        Box::pin(
            async move { found.map(Arc::from).ok_or_else(|| Error::NotFound(name.to_owned())) },
        )
    }
}
