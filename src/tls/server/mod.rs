//! TLS with clients: one rustls configuration per server block, and the handshake that picks one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::hash::Hash;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest;
use rustls::compress::CompressionCache;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::server::{self, Acceptor, NoServerSessionStorage, StoresServerSessions};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::cache::{Cache, Sessions, sessions_in};
use super::certs::Identity;
use super::clients::trust::{Sources, Trust};
use super::clients::{Client, Clients, Verify};
use super::directives::{SessionCache, Settings};
use super::error::Error;
use super::fault::{Event, Fault};
use super::ticket::{Context, Keyring, Tickets};
use super::{provider, suites};
use crate::net::sealed::Sealed;

/// How much of a ClientHello is read at once: nearly always all of it.
const HELLO: usize = 4 * 1024;
/// How long one may be. It is there twice: for rustls to look at, and to begin with.
const LONGEST_HELLO: usize = 32 * 1024;
/// One will do for most; whoever opens several connections at once asks for more (RFC 9149).
const TICKETS: usize = 1;
const MOST_TICKETS: usize = 4;

/// What sessions are resumed with: common to all workers, and to all generations of the
/// configuration.
#[derive(Debug)]
pub struct Shared {
    random: Arc<Keyring>,
    rings: Mutex<HashMap<Vec<PathBuf>, Weak<Keyring>>>,
    caches: Mutex<HashMap<String, Weak<Cache>>>,
    trusts: Mutex<HashMap<Sources, Weak<Trust>>>,
}

impl Shared {
    /// # Panics
    /// If the system gives no random bytes.
    pub fn new() -> Self {
        let random = Keyring::random(UnixTime::now().as_secs());
        Self {
            random: Arc::new(random.expect("the system gives random bytes")),
            rings: Mutex::default(),
            caches: Mutex::default(),
            trusts: Mutex::default(),
        }
    }

    /// Looks at all ticket keys, authorities and revocation lists in use and takes in what has
    /// changed. Blocks on the disk.
    pub fn refresh(&self) -> Vec<Event> {
        let (rings, trusts) = (in_use(&self.rings), in_use(&self.trusts));
        let rings = rings.iter().filter_map(|ring| ring.refresh());
        rings.chain(trusts.iter().filter_map(|trust| trust.refresh())).collect()
    }

    /// What is wrong today with the files of `settings`, certificates and their keys apart.
    ///
    /// Reads files. What cannot be used is done without, to the safe side: tickets are sealed with
    /// random keys, and no client is trusted.
    pub fn faults(&self, settings: &Settings) -> Vec<Fault> {
        let ring = settings.session_tickets.then(|| self.ring(&settings.session_ticket_keys).1);
        let clients = self.clients(settings).and_then(|(_, fault)| fault);
        ring.flatten().into_iter().chain(clients).collect()
    }

    /// How clients' certificates are seen, where they are asked for.
    pub fn clients(&self, settings: &Settings) -> Option<(Clients, Option<Fault>)> {
        if settings.verify_client == Verify::Off {
            return None;
        }
        let mut trusts = self.trusts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = trusts.get(&settings.client_trust).and_then(Weak::upgrade);
        let trust = match known {
            Some(trust) => {
                trust.refresh();
                trust
            }
            None => {
                let trust = Arc::new(Trust::new(settings.client_trust.clone()));
                trusts.insert(settings.client_trust.clone(), Arc::downgrade(&trust));
                trust
            }
        };
        let fault = trust.fault();
        Some((Clients::new(settings.verify_client, settings.verify_depth, trust), fault))
    }

    /// The keys in `files`, or random ones for want of good files.
    fn ring(&self, files: &[PathBuf]) -> (Arc<Keyring>, Option<Fault>) {
        if files.is_empty() {
            return (self.random.clone(), None);
        }
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ring) = rings.get(files).and_then(Weak::upgrade) {
            ring.refresh();
            let fault = ring.fault();
            return (ring, fault);
        }
        match Keyring::from_files(files).map(Arc::new) {
            Ok(ring) => {
                rings.insert(files.to_vec(), Arc::downgrade(&ring));
                (ring, None)
            }
            Err(fault) => (self.random.clone(), Some(fault)),
        }
    }

    fn cache(&self, name: String, capacity: usize) -> Arc<Cache> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        match caches.entry(name) {
            Entry::Occupied(mut entry) => match entry.get().upgrade() {
                Some(cache) => cache,
                None => {
                    let cache = Arc::new(Cache::new(capacity));
                    entry.insert(Arc::downgrade(&cache));
                    cache
                }
            },
            Entry::Vacant(entry) => {
                let cache = Arc::new(Cache::new(capacity));
                entry.insert(Arc::downgrade(&cache));
                cache
            }
        }
    }

    /// Where sessions are kept, and in how many places once the configuration is in force.
    fn sessions(&self, settings: &Settings, context: Context) -> Option<(Sessions, usize)> {
        let (name, capacity) = match &settings.session_cache {
            SessionCache::None => return None,
            // Not shared with another block, but with all workers.
            SessionCache::Builtin(sessions) => (format!("builtin {context:?}"), *sessions),
            SessionCache::Shared { name, bytes } => (format!("shared {name}"), sessions_in(*bytes)),
        };
        let cache = self.cache(name, capacity);
        Some((Sessions { cache, context, lifetime: settings.session_timeout }, capacity))
    }
}

fn in_use<K: Eq + Hash, T>(all: &Mutex<HashMap<K, Weak<T>>>) -> Vec<Arc<T>> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, one| one.strong_count() > 0);
    all.values().filter_map(Weak::upgrade).collect()
}

/// The TLS of one server block.
#[derive(Debug)]
pub struct Config {
    tls: Arc<ServerConfig>,
    identity: Arc<Identity>,
    /// Where clients are asked for certificates.
    clients: Option<Clients>,
    /// Where sessions are kept, and how many there may be.
    kept: Option<(Arc<Cache>, usize)>,
}

impl Config {
    /// The configuration that it belongs to is in force: what others share has the size it says.
    pub fn take_effect(&self) {
        if let Some((cache, capacity)) = &self.kept {
            cache.resize(*capacity);
        }
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }
}

/// The TLS of one server block, and what is wrong with its files, certificates apart.
///
/// `alpn`: the protocols spoken, such as `imap`; a client that offers others only is refused.
pub fn config(
    settings: &Settings,
    identity: Arc<Identity>,
    alpn: &[&str],
    shared: &Shared,
) -> (Arc<Config>, Vec<Fault>) {
    let context = context(settings, &identity, alpn);
    let provider = CryptoProvider {
        cipher_suites: suites::suites(&settings.ciphersuites, &settings.ciphers),
        kx_groups: suites::groups(&settings.curves),
        ..CryptoProvider::clone(provider())
    };
    let mut faults = Vec::new();
    let clients = shared.clients(settings).map(|(clients, fault)| {
        faults.extend(fault);
        clients
    });
    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(settings.protocols.versions())
        .expect("the settings leave ciphers and curves for each version");
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(clients.asking()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::clone(&identity) as _);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.ignore_client_order = settings.prefer_server_ciphers;
    let (storage, kept): (Arc<dyn StoresServerSessions>, _) =
        match shared.sessions(settings, context) {
            Some((sessions, capacity)) => {
                let kept = (Arc::clone(&sessions.cache), capacity);
                (Arc::new(sessions), Some(kept))
            }
            None => (Arc::new(NoServerSessionStorage {}), None),
        };
    config.session_storage = storage;
    config.send_tls13_tickets = TICKETS;
    config.max_tls13_tickets = MOST_TICKETS;
    config.max_early_data_size = 0;
    // Not built in; each server block would keep a cache for it.
    config.cert_compressors = Vec::new();
    config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
    if settings.session_tickets {
        let (ring, fault) = shared.ring(&settings.session_ticket_keys);
        let lifetime = settings.session_timeout;
        config.ticketer = Arc::new(Tickets { ring, context, lifetime });
        faults.extend(fault);
    } else if settings.session_cache == SessionCache::None {
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = 0;
    }
    (Arc::new(Config { tls: Arc::new(config), identity, clients, kept }), faults)
}

/// Everything that a resumed session would carry over: not the certificates' bytes, so that a
/// renewal ends no session, and nothing of this machine, so that others with the same ticket keys
/// may resume.
fn context(settings: &Settings, identity: &Identity, alpn: &[&str]) -> Context {
    let files: Vec<_> = identity.files().map(|pair| (&pair.certificate, &pair.key)).collect();
    let mut text = format!(
        "{files:?} {:?} {:?} {:?} {alpn:?}",
        settings.protocols, settings.ciphers, settings.curves
    );
    if !identity.places().is_empty() {
        // Tickets know the name that was asked for by themselves.
        let _ = write!(text, " {:?}", identity.places());
    }
    if settings.ciphersuites != suites::all_ciphersuites() {
        let _ = write!(text, " {:?}", settings.ciphersuites);
    }
    if settings.verify_client != Verify::Off {
        // Whoever was not asked, or asked for something else, is asked anew.
        let Settings { verify_client, verify_depth, client_trust, .. } = settings;
        let _ = write!(text, " {verify_client:?} {verify_depth} {client_trust:?}");
    }
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A client whose handshake is done.
#[derive(Debug)]
pub struct Accepted<IO> {
    pub stream: Sealed<IO>,
    /// The name it asked for, in lower case.
    pub sni: Option<String>,
    /// `TLSv1.3`
    pub protocol: &'static str,
    /// `TLS_AES_256_GCM_SHA384`, `ECDHE-ECDSA-AES128-GCM-SHA256`: OpenSSL's name.
    pub cipher: &'static str,
    pub resumed: bool,
    pub alpn: Option<String>,
    /// What its certificate is worth. Whether it may stay, is [`Client::bar`]'s to say.
    pub client: Client,
}

/// Does the handshake with the client on `io`.
///
/// `choose` finds the configuration for the name it asks for; for one that asks for none, `local` is
/// where it has come to. All of it, from the first byte to the last, has until `deadline`.
pub async fn accept<IO, F>(
    io: IO,
    local: Option<IpAddr>,
    choose: F,
    deadline: Instant,
) -> Result<Accepted<IO>, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(Option<&str>) -> Option<Arc<Config>>,
{
    // Boxed: the session that waits for this must not stay as large as a handshake.
    let handshake = Box::pin(handshake(io, local, choose));
    timeout_at(deadline, handshake).await.unwrap_or(Err(Error::Silent))
}

async fn handshake<IO, F>(
    mut io: IO,
    local: Option<IpAddr>,
    choose: F,
) -> Result<Accepted<IO>, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(Option<&str>) -> Option<Arc<Config>>,
{
    let Begun { config, tls, sni, came } = begin(&mut io, local, choose).await?;
    let sealed = Sealed::accept(io, tls, came).await;
    let stream = sealed.map_err(|error| match Error::from(error) {
        // It is the client's certificate, and not the chain: that is never judged before its time.
        Error::Untrusted(_) => {
            Error::Misbehaved("its certificate's key did not sign the handshake".to_owned())
        }
        error => error,
    })?;
    let session = stream.session();
    let judge = |clients: &Clients| clients.judge(session.peer_certificates(), UnixTime::now());
    let client = config.clients.as_ref().map(judge).unwrap_or_default();
    let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    Ok(Accepted {
        sni,
        protocol: suites::version_name(session.protocol_version()),
        cipher: suites::cipher_name(session.negotiated_cipher_suite().map(|suite| suite.suite())),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        alpn,
        client,
        stream,
    })
}

/// A client that has said hello.
struct Begun {
    config: Arc<Config>,
    /// The configuration's own, or one for the address that the client has come to.
    tls: Arc<ServerConfig>,
    sni: Option<String>,
    /// All that it has said so far.
    came: Vec<u8>,
}

async fn begin<IO, F>(io: &mut IO, local: Option<IpAddr>, choose: F) -> Result<Begun, Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(Option<&str>) -> Option<Arc<Config>>,
{
    let (accepted, came) = hear(io).await?;
    let hello = accepted.client_hello();
    let sni = hello.server_name().map(str::to_ascii_lowercase);
    let Some(config) = choose(sni.as_deref()) else {
        refuse(io, AlertDescription::UnrecognisedName).await;
        return Err(Error::NoServer(sni.unwrap_or_default()));
    };
    let here = local.filter(|_| sni.is_none());
    let tls = match here.and_then(|ip| config.identity.at(ip, hello.signature_schemes())) {
        // Rare: a client that names nobody, at an address with a certificate of its own.
        Some(key) => {
            let mut tls = ServerConfig::clone(&config.tls);
            tls.cert_resolver = Arc::new(SingleCertAndKey::from(key));
            Arc::new(tls)
        }
        None if config.tls.cert_resolver.resolve(hello).is_none() => {
            refuse(io, AlertDescription::HandshakeFailure).await;
            return Err(Error::NoCertificate);
        }
        None => Arc::clone(&config.tls),
    };
    Ok(Begun { config, tls, sni, came })
}

/// Reads until there is a whole ClientHello.
async fn hear<IO>(io: &mut IO) -> Result<(server::Accepted, Vec<u8>), Error>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut came = Vec::new();
    loop {
        let before = came.len();
        if before >= LONGEST_HELLO {
            return Err(Error::Misbehaved("its ClientHello has no end".to_owned()));
        }
        if before == came.capacity() {
            came.reserve_exact(HELLO);
        }
        if io.read_buf(&mut came).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut fresh = &came[before..];
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok((accepted, came)),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut record = Vec::new();
                    if alert.write_all(&mut record).is_ok() {
                        say(io, &record).await;
                    }
                    return Err(Error::from(&error));
                }
            }
        }
    }
}

/// A fatal alert in the clear (RFC 8446 §6.2), before there is a session to send it.
async fn refuse(io: &mut (impl AsyncWrite + Unpin), alert: AlertDescription) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    say(io, &[ALERT, 3, 3, 0, 2, FATAL, alert.into()]).await;
}

/// If it cannot be sent, the peer has gone already.
async fn say(io: &mut (impl AsyncWrite + Unpin), record: &[u8]) {
    if io.write_all(record).await.is_ok() {
        let _ = io.flush().await;
    }
}

#[cfg(test)]
mod tests;
