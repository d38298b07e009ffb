//! The other end: rustls' own client, and a line between the two that does as it is told.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

use super::super::*;

/// Both ends' settings.
pub struct Desk {
    pub server: ServerConfig,
    pub client: ClientConfig,
}

impl Desk {
    pub fn new(version: &'static SupportedProtocolVersion) -> Self {
        let mut provider = default_provider();
        // The smallest ClientHello.
        provider.kx_groups = vec![kx_group::X25519];
        Self::with(version, provider.clone(), provider)
    }

    pub fn with(
        version: &'static SupportedProtocolVersion,
        server: CryptoProvider,
        client: CryptoProvider,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(["mail.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificate = CertificateDer::clone(made.cert.der());
        let server = ServerConfig::builder_with_provider(Arc::new(server))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(client))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server, client }
    }

    /// Its client asks for a group that the server will not have.
    pub fn with_a_retry() -> Self {
        let (mut server, mut client) = (default_provider(), default_provider());
        server.kx_groups = vec![kx_group::X25519];
        client.kx_groups = vec![kx_group::SECP256R1, kx_group::X25519];
        Self::with(&version::TLS13, server, client)
    }

    pub fn both() -> [Self; 2] {
        [Self::new(&version::TLS12), Self::new(&version::TLS13)]
    }

    /// A client that has said nothing, and the server's side of its line.
    pub fn client(&self) -> (Client, Wire) {
        let name = ServerName::try_from("mail.example").unwrap();
        let tls = ClientConnection::new(Arc::new(self.client.clone()), name).unwrap();
        let wire = Wire::default();
        (Client { tls, wire: wire.clone(), heard: Vec::new(), closed: false }, wire)
    }

    pub fn accept(&self, wire: Wire) -> impl Future<Output = io::Result<Sealed<Wire>>> + use<> {
        Sealed::accept(wire, Arc::new(self.server.clone()), Vec::new())
    }

    /// Both ends after their handshake, with nothing on the line.
    pub fn meet(&self) -> (Client, Sealed<Wire>) {
        let (mut client, wire) = self.client();
        let mut accept = pin!(self.accept(wire));
        for _ in 0..10 {
            client.pump().unwrap();
            if let Poll::Ready(sealed) = accept.as_mut().poll(&mut cx()) {
                let mut sealed = sealed.unwrap();
                assert!(flush(&mut sealed).is_ready());
                client.pump().unwrap();
                return (client, sealed);
            }
        }
        panic!("no end of the handshake");
    }
}

/// What a line does, and what lies on it.
#[derive(Debug)]
pub struct Line {
    pub to_us: VecDeque<u8>,
    pub to_them: Vec<u8>,
    /// How many bytes we may still read, and write.
    pub gate: usize,
    pub room: usize,
    pub hung_up: bool,
    /// We have closed our direction.
    pub shut: bool,
    pub reads: usize,
    pub writes: usize,
    /// How often we were told to wait.
    pub waits: usize,
}

#[derive(Clone, Debug)]
pub struct Wire(Arc<Mutex<Line>>);

impl Default for Wire {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Line {
            to_us: VecDeque::new(),
            to_them: Vec::new(),
            gate: usize::MAX,
            room: usize::MAX,
            hung_up: false,
            shut: false,
            reads: 0,
            writes: 0,
            waits: 0,
        })))
    }
}

impl Wire {
    pub fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut line = self.line();
        let count = line.to_us.len().min(line.gate).min(buf.remaining());
        if count == 0 && !(line.hung_up && line.to_us.is_empty()) {
            line.waits += 1;
            return Poll::Pending;
        }
        line.to_us.read_exact(buf.initialize_unfilled_to(count)).unwrap();
        buf.advance(count);
        line.gate -= count;
        line.reads += 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.line();
        assert!(!line.shut);
        let count = buf.len().min(line.room);
        if count == 0 {
            line.waits += 1;
            return Poll::Pending;
        }
        line.to_them.extend_from_slice(&buf[..count]);
        line.room -= count;
        line.writes += 1;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line().shut = true;
        Poll::Ready(Ok(()))
    }
}

pub struct Client {
    pub tls: ClientConnection,
    pub wire: Wire,
    heard: Vec<u8>,
    /// close_notify came.
    closed: bool,
}

impl Client {
    /// Puts what it has to say on the line, and takes what is there.
    pub fn pump(&mut self) -> Result<(), rustls::Error> {
        let mut line = self.wire.line();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut line.to_us).unwrap();
        }
        let came = std::mem::take(&mut line.to_them);
        let mut rest = &came[..];
        while !rest.is_empty() && self.tls.read_tls(&mut rest).unwrap() > 0 {
            self.tls.process_new_packets()?;
            self.closed |= self.tls.reader().read_to_end(&mut self.heard).is_ok();
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut line.to_us).unwrap();
        }
        Ok(())
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.pump().unwrap();
    }

    /// What has come since it was last asked, and whether close_notify was behind it.
    pub fn hear(&mut self) -> (Vec<u8>, bool) {
        self.pump().unwrap();
        (std::mem::take(&mut self.heard), self.closed)
    }
}

pub fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// One read, with room for `most`.
pub fn read(sealed: &mut Sealed<Wire>, most: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut space = vec![0; most];
    let mut buf = ReadBuf::new(&mut space);
    let waits = sealed.io.line().waits;
    let polled = Pin::new(&mut *sealed).poll_read(&mut cx(), &mut buf);
    assert!(polled.is_ready() || sealed.io.line().waits > waits, "nobody would wake us");
    polled.map_ok(|()| buf.filled().to_vec())
}

pub fn write(sealed: &mut Sealed<Wire>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    let waits = sealed.io.line().waits;
    let polled = Pin::new(&mut *sealed).poll_write(&mut cx(), bytes);
    assert!(polled.is_ready() || sealed.io.line().waits > waits, "nobody would wake us");
    polled
}

pub fn flush(sealed: &mut Sealed<Wire>) -> Poll<io::Result<()>> {
    Pin::new(sealed).poll_flush(&mut cx())
}

pub fn shut(sealed: &mut Sealed<Wire>) -> Poll<io::Result<()>> {
    Pin::new(sealed).poll_shutdown(&mut cx())
}

/// What a call that need not wait came to.
pub fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

/// What a session holds beside its keys.
pub fn held(sealed: &Sealed<Wire>) -> usize {
    let records = &sealed.records;
    records.incoming.capacity() + records.plain.capacity() + records.outgoing.capacity()
}

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    /// Mostly little, now and then much.
    pub fn some(&mut self) -> usize {
        match self.roll(4) {
            0 => 0,
            1 => self.roll(40),
            2 => self.roll(5_000),
            _ => self.roll(200_000),
        }
    }
}

pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..length).map(|_| dice.roll(256) as u8).collect()
}
