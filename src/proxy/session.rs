//! What one session knows of itself, from its first byte to its login.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::site::{Door, Site};
use crate::login::{Bar, Guest, Secured};
use crate::net::dns::Host;
use crate::net::limits::Permit;
use crate::net::{Endpoint, Plain, Stream};
use crate::observe::access::{End, Line, Record, Tls};
use crate::observe::metrics::Side;
use crate::observe::{Addr, Level};
use crate::route;
use crate::session::driver::Watcher;
use crate::session::upgrade::{Upgrade, Upgraded};
use crate::throttle::{Guard, Names, Over, Stage};
use crate::tls::clients;
use crate::tls::error::Error;
use crate::tls::server;

/// One session before its relay. The driver, the desk and the upgrade to TLS share it.
#[derive(Debug)]
pub struct Session {
    /// The client, as far as is known and believed.
    pub client: Endpoint,
    /// Where the client came to.
    pub local: Endpoint,
    /// The ends that a PROXY header named, believed or not.
    pub proxied: Option<route::Proxied>,
    door: Arc<Door>,
    permit: Permit,
    host: OnceCell<Host>,
    state: Mutex<State>,
    breaches: AtomicU32,
}

#[derive(Debug)]
struct State {
    site: Arc<Site>,
    record: Record,
    /// What the client has shown of itself in TLS.
    certificate: clients::Client,
    /// Places that `limit_conn` counts: of the connection, and of the login.
    guards: [Guard; 2],
}

impl Session {
    /// A session with whoever connected, of whom nothing more is known yet.
    pub fn new(
        door: &Arc<Door>,
        site: &Arc<Site>,
        number: u64,
        peer: Endpoint,
        local: Endpoint,
        permit: Permit,
    ) -> Self {
        let mut line = Line::new(site.words.name, number, addr(&peer), addr(&local));
        line.session = name(number);
        line.server_name = Arc::clone(&site.name);
        let record = Record::open(site.access.clone(), line, site.counters.session());
        Self {
            client: peer,
            local,
            proxied: None,
            door: Arc::clone(door),
            permit,
            state: Mutex::new(State {
                site: Arc::clone(site),
                record,
                certificate: clients::Client::Unasked,
                guards: Default::default(),
            }),
            host: OnceCell::new(),
            breaches: AtomicU32::new(0),
        }
    }

    /// A PROXY header has named the two ends; its sender is believed, or not.
    pub fn introduce(&mut self, proxied: route::Proxied, is_believed: bool) {
        self.proxied = Some(proxied);
        if is_believed {
            let balancer = std::mem::replace(&mut self.client, proxied.source.into());
            let client = addr(&self.client);
            self.line(|line| {
                line.peer = Some(addr(&balancer));
                line.client = client;
            });
        }
    }

    /// The virtual server that holds now: TLS may have changed it.
    pub fn site(&self) -> Arc<Site> {
        Arc::clone(&self.lock().site)
    }

    /// Looks at, or writes into, the session's line.
    pub fn line<T>(&self, with: impl FnOnce(&mut Record) -> T) -> T {
        with(&mut self.lock().record)
    }

    /// The line, for the relay to go on with.
    pub fn into_parts(self) -> (Arc<Site>, Record, (Permit, [Guard; 2])) {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.site, state.record, (self.permit, state.guards))
    }

    pub fn log(&self, level: Level, doing: Option<&'static str>, message: impl fmt::Display) {
        let state = self.lock();
        if state.site.log.enabled(level) {
            state.site.log.session(level, &state.record.tail(doing), message);
        }
    }

    /// How the client's side is secured.
    pub fn security(&self) -> Option<route::Tls> {
        let state = self.lock();
        let tls = state.record.tls.as_ref()?;
        let certificate = state.certificate.told().map(|told| route::Certificate {
            verify: told.verify,
            subject: told.subject,
            issuer: told.issuer,
            serial: told.serial,
            fingerprint: told.fingerprint,
            pem: told.pem,
        });
        Some(route::Tls {
            protocol: tls.protocol.to_owned(),
            cipher: tls.cipher.to_owned(),
            certificate,
        })
    }

    /// Counts the session among those of its kind, or says that there are too many: as one that has
    /// connected, or as one that logs in, by the names that are meant.
    pub fn count(&self, stage: Stage, names: Option<&Names<'_>>) -> Result<(), Over> {
        let index = match stage {
            Stage::Connected => 0,
            Stage::LoggingIn => 1,
        };
        let mut state = self.lock();
        // Given back first: who comes a second time is not two.
        drop(std::mem::take(&mut state.guards[index]));
        let site = Arc::clone(&state.site);
        let guard = site.connections.admit((stage, names), &state.record, &site.log)?;
        state.guards[index] = guard;
        Ok(())
    }

    /// The session does not log in after all.
    pub fn uncount(&self) {
        drop(std::mem::take(&mut self.lock().guards[1]));
    }

    /// What DNS calls the client: asked once, and only where that is wanted.
    pub async fn host(&self, site: &Site) -> &str {
        let (Some(clients), Some(ip)) = (&site.clients, self.client.ip()) else {
            return match self.client {
                Endpoint::Unix(_) if site.clients.is_some() => "[TEMPUNAVAIL]",
                _ => "[UNAVAILABLE]",
            };
        };
        let host = self.host.get_or_init(|| async {
            let host = clients.host_of(ip).await;
            if let Some(fault) = host.fault() {
                self.log(Level::Error, Some("in resolving client address"), fault);
            }
            host
        });
        host.await.text()
    }

    /// What its dialogue may know of the client.
    pub fn guest(&self) -> Guest {
        let site = self.site();
        Guest {
            secure: self.line(|line| line.tls.is_some()),
            trusted: site.settings.believes(&self.client),
            certificate: self.lock().certificate.name(),
            salt: salt(),
            nonce: chance(),
        }
    }

    /// TLS with the client, from where its handshake begins. The name it asks for chooses the
    /// virtual server, which then holds for the session.
    pub async fn accept_tls(
        &self,
        plain: Plain,
        deadline: Instant,
        starttls: bool,
    ) -> Result<(Stream, Option<Bar>), Error> {
        self.line(|line| line.starttls = starttls);
        let mut chosen = None;
        // Where a balancer stands between, the address is the one that clients know.
        let local = match &self.proxied {
            Some(proxied) => Some(proxied.destination.ip()),
            None => self.local.ip(),
        };
        let accepted = server::accept(
            plain,
            local,
            |name| {
                let site = self.door.sites.find(name)?;
                chosen = Some(Arc::clone(site));
                site.tls.clone()
            },
            deadline,
        )
        .await;
        let metrics = self.site().metrics.clone();
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                metrics.handshake_failed(Side::Client, reason(&error));
                return Err(error);
            }
        };
        metrics.handshake(Side::Client, accepted.protocol, accepted.resumed);
        let mut state = self.lock();
        if let Some(site) = chosen
            && !Arc::ptr_eq(&site, &state.site)
        {
            state.record.move_to(site.access.clone());
            state.record.server_name = Arc::clone(&site.name);
            state.site = site;
        }
        state.record.tls = Some(Box::new(Tls {
            protocol: accepted.protocol,
            cipher: accepted.cipher,
            resumed: accepted.resumed,
            sni: accepted.sni.map(Into::into),
            alpn: accepted.alpn.map(|name| name.into_bytes().into()),
        }));
        let bar = accepted.client.bar().map(|bar| match bar {
            clients::Bar::NoCertificate => Bar::NoCertificate,
            clients::Bar::BadCertificate(why) => Bar::BadCertificate(why),
        });
        state.certificate = accepted.client;
        Ok((Stream::Server(Box::new(accepted.stream)), bar))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upgrade for Session {
    async fn start_tls(&self, plain: Plain) -> Result<Upgraded, String> {
        let before = self.site();
        // The driver's own deadline is the sooner one.
        let deadline = Instant::now() + before.settings.timeout;
        let (stream, barred) =
            self.accept_tls(plain, deadline, true).await.map_err(|error| words_of(&error))?;
        let after = self.site();
        let changed = !Arc::ptr_eq(&before, &after);
        let barred = match changed {
            true => barred.or(self.count(Stage::Connected, None).err().map(|_| Bar::TooMany)),
            false => barred,
        };
        let offer = changed.then(|| after.offer.now());
        let trusted = changed.then(|| after.settings.believes(&self.client));
        let certificate = self.lock().certificate.name();
        Ok(Upgraded { stream, secured: Secured { offer, certificate, trusted }, barred })
    }
}

impl Watcher for Session {
    fn heard(&self) {}

    fn breach(&self, words: &str) {
        let count = self.breaches.fetch_add(1, Ordering::Relaxed) + 1;
        self.line(|line| line.errors = count);
        self.log(Level::Info, Some("in auth state"), format_args!("client sent {words}"));
    }

    fn note(&self, words: &str) {
        self.log(Level::Info, Some("in auth state"), format_args!("client {words}"));
    }

    fn ruling(&self, is_going_on: bool) {
        self.permit.keep(is_going_on);
    }

    fn out_of_step(&self, _: &str) {
        self.line(|line| line.end = End::TooLong);
        // nginx quotes the command, and with it whatever password stands in it.
        self.breach("too long command \"...\"");
    }
}

/// nginx's words for a client that was silent for too long.
pub const TIMED_OUT: &str = "client timed out (110: Connection timed out)";

/// What the log says of a handshake with a client that failed: nginx's words, as far as OpenSSL's
/// are not ours.
pub fn words_of(error: &Error) -> String {
    match error {
        Error::Silent => TIMED_OUT.to_owned(),
        Error::Left(_) => "peer closed connection in SSL handshake".to_owned(),
        other => format!("SSL_do_handshake() failed ({other})"),
    }
}

/// As the metric names it.
pub fn reason(error: &Error) -> &'static str {
    match error {
        Error::Silent => "timeout",
        Error::Left(_) => "closed",
        Error::Misbehaved(_) => "broken",
        Error::Incompatible(_) => "incompatible",
        Error::Refused(_) => "alert",
        Error::NoServer(_) | Error::NoCertificate => "no_certificate",
        _ => "other",
    }
}

/// As the logs name it.
pub fn addr(endpoint: &Endpoint) -> Addr {
    match endpoint {
        Endpoint::Tcp(address) => Addr::Ip(*address),
        Endpoint::Unix(path) => Addr::unix(&path.to_string_lossy()),
    }
}

/// A name that no other session has, of this process or of another: time, process, number.
fn name(number: u64) -> Box<str> {
    use std::sync::LazyLock;
    static BOOT: LazyLock<String> = LazyLock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        format!("{seconds:x}-{:x}", std::process::id())
    });
    format!("{}-{number:x}", *BOOT).into()
}

/// Bytes that nobody can guess.
pub fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's source of randomness is there");
    bytes
}

/// `rnd.time`, as nginx makes it.
fn salt() -> Box<str> {
    let number = u64::from_ne_bytes(chance());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{number}.{}", now.unwrap_or_default().as_secs()).into()
}
