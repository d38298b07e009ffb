//! # kerberos: SASL GSSAPI with clients, by a keytab
//!
//! The Kerberos library is C, reads tokens of clients that nobody knows yet, takes the name of its
//! keytab from its environment alone, and may block. So it is kept out of the process that holds
//! keys and sessions: a *clerk*, this program started anew, does nothing else. Sessions send it
//! their clients' tokens and are sent its answers.
//!
//! **In and out.** [`Realms::of`] reads the keytab, once for all servers; [`Kerberos::begin`] gives a session its
//! [`Rounds`]; [`Rounds::accept`] takes a client's token and gives what `login::exchange` asks for.
//!
//! **Promises.**
//! - The keytab is read with the rights of whoever starts us, as TLS keys are; a file that only root
//!   may read will do. It goes to the clerk as a sealed file in memory.
//! - No clerk runs until the first client sends a token. It runs as `user`, without capabilities, and
//!   ends with the last session and the last configuration that know it.
//! - A clerk that dies or is silent for ten seconds fails the exchanges it had, and no more: the next
//!   token starts another.
//! - No worker waits for it: its socket belongs to a thread.
//! - No security layer is offered (RFC 4752 §3.3): TLS is the session's.
//! - No name it gives holds CR, LF or NUL, and a principal with escaped characters is refused.
//!
//! **Limits.** One clerk serves one order after the other. The library's replay cache is what
//! krb5.conf and the environment say, by default a file in /var/tmp. Linux only (`memfd_create`,
//! /proc).

#[cfg(feature = "krb5")]
mod acceptor;
#[cfg(feature = "krb5")]
mod clerk;
pub mod directives;
mod frame;
mod keytab;
mod messenger;
#[cfg(feature = "krb5")]
mod principal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot};

pub use directives::Settings;
#[doc(hidden)]
pub use keytab::hold_for_any;

use crate::login::{Advice, Kind};
use frame::Order;
use keytab::Keytab;
use messenger::{Errand, Start};

/// Whether this gatepost can do GSSAPI at all: it was built with `--features krb5`.
const IS_BUILT_IN: bool = cfg!(feature = "krb5");

/// The hidden flag that makes this program a clerk; host and realm follow, each may be empty.
pub const FLAG: &str = "--kerberos-clerk";

/// Why an exchange, or the whole of Kerberos, fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's: its token, its ticket, its name. The words are for the log.
    #[error("GSSAPI: {0}")]
    Refused(String),
    /// Ours: keys that are missing, a clerk that does not run.
    #[error("GSSAPI: {0}")]
    Unable(String),
}

impl Error {
    /// What the client is told.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) => Kind::BadCredentials,
            Self::Unable(_) => Kind::Unavailable,
        }
    }
}

/// Kerberos as one keytab, realm and host have it. Shared by the servers that agree on them.
#[derive(Clone, Debug)]
pub struct Kerberos(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    start: Arc<Start>,
    errands: OnceLock<mpsc::UnboundedSender<Errand>>,
    exchanges: AtomicU64,
}

/// Every [`Kerberos`] of a configuration, one for all servers that agree on its settings.
#[derive(Debug, Default)]
pub struct Realms(HashMap<Settings, Kerberos>);

impl Realms {
    /// The one for a server of `protocol`. An error is for the operator.
    pub fn of(&mut self, settings: &Settings, protocol: &str) -> Result<Kerberos, String> {
        let kerberos = match self.0.get(settings) {
            Some(kerberos) => kerberos.clone(),
            None => self.0.entry(settings.clone()).or_insert(Kerberos::open(settings)?).clone(),
        };
        kerberos.check(protocol)?;
        Ok(kerberos)
    }
}

/// One session's exchange.
#[derive(Debug)]
pub struct Rounds {
    kerberos: Kerberos,
    service: &'static str,
    number: u64,
    /// The clerk knows of it.
    is_open: bool,
}

impl Kerberos {
    /// Reads the keytab, if one is named. An error is for the operator.
    fn open(settings: &Settings) -> Result<Self, String> {
        if !IS_BUILT_IN {
            return Err("GSSAPI is not built in: build gatepost with \"--features krb5\"".into());
        }
        let keytab = settings.keytab.as_deref().map(Keytab::load).transpose();
        let start = Start {
            keytab: keytab.map_err(|error| error.to_string())?,
            host: settings.host.clone(),
            realm: settings.realm.clone(),
        };
        Ok(Self(Arc::new(Shared {
            settings: settings.clone(),
            start: Arc::new(start),
            errands: OnceLock::new(),
            exchanges: AtomicU64::new(0),
        })))
    }

    /// Whether a key for `protocol` (`imap`, `pop3`, …) is there, as far as the keytab is ours to
    /// read. An error is for the operator.
    fn check(&self, protocol: &str) -> Result<(), String> {
        let Shared { settings, start, .. } = &*self.0;
        match (&settings.keytab, &start.keytab) {
            (Some(path), Some(keytab)) => keytab
                .check(path, service(protocol), settings.host.as_deref())
                .map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }

    /// A new exchange with a client of `protocol`.
    pub fn begin(&self, protocol: &str) -> Rounds {
        let number = self.0.exchanges.fetch_add(1, Ordering::Relaxed);
        Rounds { kerberos: self.clone(), service: service(protocol), number, is_open: false }
    }

    fn errands(&self) -> &mpsc::UnboundedSender<Errand> {
        self.0.errands.get_or_init(|| {
            let start = Arc::clone(&self.0.start);
            messenger::start(move || start.clerk())
        })
    }
}

impl Rounds {
    /// Takes the client's token, and gives the next one for it, or says who it is. After an error
    /// the exchange is over.
    pub async fn accept(&mut self, token: &[u8]) -> Result<Advice, Error> {
        let order = Order::Take {
            exchange: self.number,
            service: self.service.to_owned(),
            token: token.to_vec(),
        };
        let (sender, answer) = oneshot::channel();
        self.is_open = true;
        let sent = self.kerberos.errands().send((order, Some(sender)));
        let answer = match sent {
            Ok(()) => answer.await.map_err(drop),
            Err(_) => Err(()),
        };
        let answer = answer.unwrap_or_else(|()| {
            Err(Error::Unable("the thread that serves Kerberos is gone".to_owned()))
        });
        // The clerk forgets by itself what has ended.
        self.is_open = matches!(answer, Ok(Advice::Token(_)));
        answer
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        if self.is_open {
            let _ = self.kerberos.errands().send((Order::Forget { exchange: self.number }, None));
        }
    }
}

/// The service's name in Kerberos, by protocol (RFC 9051 §6.2.2, RFC 5034 §4, RFC 4954 §4,
/// RFC 5804 §2.1).
fn service(protocol: &str) -> &'static str {
    match protocol {
        "pop3" => "pop",
        "smtp" => "smtp",
        "lmtp" => "lmtp",
        "sieve" | "managesieve" => "sieve",
        _ => "imap",
    }
}

/// Is the clerk, until gatepost closes its socket: what [`FLAG`] asks for.
pub fn run_clerk(host: &str, realm: &str) -> std::io::Result<()> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (host, realm) = (given(host), given(realm));
    #[cfg(feature = "krb5")]
    return clerk::run(host.as_deref(), realm.as_deref());
    #[cfg(not(feature = "krb5"))]
    Err(std::io::Error::other(format!("no clerk for {host:?} and {realm:?} is built in")))
}
