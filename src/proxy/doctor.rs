//! One server of an upstream, examined step by step as logins use it, with its settings.
//!
//! Every step makes a connection of its own, so that each can be judged by itself: a server that
//! greets and then hangs has a good greeting. A login is the real dialogue; the server is told that it
//! is for this machine, if it is told anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::directives::{Header, Tells};
use super::site::{Security, Site, Towards};
use crate::login::{
    Ask, Dialogue, Identity, Secret, Secured, SmtpAuth, Tell, Verdict, imap, pop3, sieve, smtp,
};
use crate::net::{Endpoint, Place, Plain, Stream, connect, dns};
use crate::observe::escape::Quoted;
use crate::route::group::Server;
use crate::route::health::greeting::{self, Heard};
use crate::route::health::probe::{Caller, Kind, Prober};
use crate::session::driver::{Done, Ended, Patience, Watcher, log_in};
use crate::session::upgrade::{Upgrade, Upgraded};
use crate::tls;
use crate::wire::haproxy;

/// One server, as the logins of one virtual server use it.
#[derive(Clone, Debug)]
pub struct Visit {
    pub site: Arc<Site>,
    pub towards: Arc<Towards>,
    pub server: Server,
}

/// As whom a login is tried.
#[derive(Clone, Debug)]
pub struct Whom {
    pub user: String,
    /// None: the master's, where there is one.
    pub secret: Option<Secret>,
}

/// What TLS has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub protocol: &'static str,
    pub is_resumed: bool,
}

/// Whether TLS is there from the first byte, later, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Plain,
    Implicit,
    StartTls,
}

impl Visit {
    pub fn way(&self) -> Way {
        match self.towards.security {
            Security::Off => Way::Plain,
            Security::Implicit(_) => Way::Implicit,
            Security::StartTls(_) => Way::StartTls,
        }
    }

    /// The server with its port.
    pub fn title(&self) -> String {
        match self.server.port(self.port()) {
            Some(port) if !self.server.is_exact() => format!("{}:{port}", self.server),
            _ => self.server.to_string(),
        }
    }

    fn port(&self) -> u16 {
        self.towards.port(self.site.words)
    }

    fn kind(&self) -> Kind {
        Kind::of(self.site.words.name).unwrap_or(Kind::Tcp)
    }

    /// # Errors
    /// That its name has no addresses.
    pub async fn addresses(&self) -> Result<Vec<Endpoint>, dns::Error> {
        self.server.addresses(self.site.router.names(), self.port()).await
    }

    /// # Errors
    /// Why nobody answers there.
    pub async fn connect(&self, at: &Endpoint) -> Result<(), String> {
        self.dial(at).await.map(drop)
    }

    /// The greeting, as checks hear it.
    ///
    /// # Errors
    /// What came in its place.
    pub async fn greeting(&self, at: &Endpoint) -> Result<(), String> {
        let connector = match &self.towards.security {
            Security::Implicit(connector) => Some(Arc::clone(connector)),
            Security::Off | Security::StartTls(_) => None,
        };
        let caller = Caller { connector, preface: self.preface(), ..Caller::default() };
        let patience = self.towards.tells.greeting_timeout;
        let probe = caller.probe(at, self.host(), self.kind());
        let late = || format!("timed out after {patience:?}");
        timeout(patience, probe).await.unwrap_or_else(|_| Err(late()))
    }

    /// TLS as it is configured: at once, or by STARTTLS after the greeting.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn seal(&self, at: &Endpoint) -> Result<Sealed, String> {
        let mut plain = self.dial(at).await?;
        let connector = match &self.towards.security {
            Security::Off => return Err("no TLS is configured".to_owned()),
            Security::Implicit(connector) => connector,
            Security::StartTls(connector) => {
                start_tls(&mut plain, self.kind()).await?;
                connector
            }
        };
        let host = self.name(at);
        let connected = connector.connect(plain, &host, self.deadline()).await;
        let connected = connected.map_err(|error| error.to_string())?;
        Ok(Sealed { protocol: connected.protocol, is_resumed: connected.resumed })
    }

    /// A login, with the dialogue that clients' logins have.
    ///
    /// # Errors
    /// What the server says to it, or did wrong.
    pub async fn log_in(&self, at: &Endpoint, whom: &Whom) -> Result<String, String> {
        let ask = self.ask(whom)?;
        let plain = self.dial(at).await?;
        let stream = match &self.towards.security {
            Security::Implicit(connector) => {
                let host = self.name(at);
                let connected = connector.connect(plain, &host, self.deadline()).await;
                let connected = connected.map_err(|error| error.to_string())?;
                Stream::Client(Box::new(connected.stream))
            }
            Security::Off | Security::StartTls(_) => Stream::Plain(plain),
        };
        let line = Line { visit: self, at };
        let verdict = match self.site.words.name {
            "pop3" => line.talk(stream, pop3::back::Back::new(ask)).await,
            "smtp" => line.talk(stream, smtp::back::Back::<smtp::Smtp>::new(ask)).await,
            "lmtp" => line.talk(stream, smtp::back::Back::<smtp::Lmtp>::new(ask)).await,
            "sieve" => line.talk(stream, sieve::back::Back::new(ask)).await,
            _ => line.talk(stream, imap::back::Back::new(ask)).await,
        }?;
        match verdict {
            Verdict::Accepted(_) => Ok(format!("as {}", Quoted(whom.user.as_bytes()))),
            Verdict::Refused { text, .. } => {
                Err(format!("refused: \"{}\"", Quoted(text.trim_ascii())))
            }
            Verdict::Misbehaved(words) => Err(words),
        }
    }

    fn ask(&self, whom: &Whom) -> Result<Ask, String> {
        let tells = &self.towards.tells;
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let identity =
            Identity { name: self.site.name.to_string(), ..Identity::new(nobody, "doctor") };
        let mut user = whom.user.clone().into_bytes();
        let mut authzid = None;
        let secret = match (&whom.secret, &tells.master) {
            (Some(secret), _) => secret.clone(),
            (None, Some(master)) => {
                match master.separator {
                    Some(separator) => {
                        user.extend_from_slice(separator.encode_utf8(&mut [0; 4]).as_bytes());
                        user.extend_from_slice(master.user.as_bytes());
                    }
                    None => {
                        let master = master.user.clone().into_bytes();
                        authzid = Some(std::mem::replace(&mut user, master));
                    }
                }
                master.secret.clone()
            }
            (None, None) => return Err("there is no password to try it with".to_owned()),
        };
        Ok(Ask {
            authzid: authzid.map(Into::into),
            starttls: self.way() == Way::StartTls,
            imap_id: tells.imap_id,
            pop3_xoip: tells.pop3_xoip,
            // Nobody is spoken for.
            xclient: Tell::Off,
            dovecot: tells.dovecot,
            smtp_auth: SmtpAuth::Any,
            ..Ask::new(user, secret, identity)
        })
    }

    async fn dial(&self, at: &Endpoint) -> Result<Plain, String> {
        let opened = connect::open(at, connect::Options::default(), self.deadline()).await;
        let mut plain = opened.map_err(|error| error.to_string())?;
        plain.write_all(&self.preface()).await.map_err(|error| error.to_string())?;
        Ok(plain)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.towards.tells.connect_timeout
    }

    /// A PROXY header that speaks for nobody, where one must come first.
    fn preface(&self) -> Vec<u8> {
        let Tells { header, .. } = self.towards.tells;
        let mut bytes = Vec::new();
        match header {
            Header::Off => {}
            Header::V1 => haproxy::write_unknown_v1(&mut bytes),
            Header::V2 => haproxy::write_local_v2(&mut bytes),
        }
        bytes
    }

    fn host(&self) -> Option<&str> {
        match self.server.place() {
            Place::Named { host, .. } => Some(host),
            Place::Fixed(_) => None,
        }
    }

    /// What its certificate must be for.
    fn name(&self, at: &Endpoint) -> String {
        let ip = || at.ip().map_or_else(|| "localhost".to_owned(), |ip| ip.to_string());
        self.host().map_or_else(ip, str::to_owned)
    }
}

/// A login on its way.
struct Line<'a> {
    visit: &'a Visit,
    at: &'a Endpoint,
}

impl Line<'_> {
    async fn talk<D: Dialogue>(&self, stream: Stream, back: D) -> Result<Verdict, String> {
        let tells = &self.visit.towards.tells;
        let patience = Patience {
            opening: tells.greeting_timeout,
            step: tells.auth_timeout,
            whole: true,
            overall: None,
            pipelines: true,
            in_turn: matches!(self.visit.site.words.name, "smtp" | "lmtp" | "sieve"),
            hush: Duration::ZERO,
            most: u32::MAX,
        };
        match log_in(stream, back, self, self, patience).await {
            Ok(Done::Settled { verdict, .. }) => Ok(verdict),
            Ok(Done::Admitted { .. }) => Err("no verdict".to_owned()),
            Err(Ended::Left) => Err("it closed the connection".to_owned()),
            Err(Ended::Tls(words)) => Err(words),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Upgrade for Line<'_> {
    async fn start_tls(&self, plain: Plain) -> Result<Upgraded, String> {
        let Security::StartTls(connector) = &self.visit.towards.security else {
            return Err("TLS was not asked for".to_owned());
        };
        let host = self.visit.name(self.at);
        let connected = connector.connect(plain, &host, self.visit.deadline()).await;
        let connected = connected.map_err(|error: tls::error::Error| error.to_string())?;
        let stream = Stream::Client(Box::new(connected.stream));
        Ok(Upgraded { stream, secured: Secured::default(), barred: None })
    }
}

impl Watcher for Line<'_> {
    fn heard(&self) {}

    fn breach(&self, _: &str) {}

    fn out_of_step(&self, _: &str) {}
}

/// The longest answer to STARTTLS, and to what comes before it.
const LONGEST: usize = 16 * 1024;

/// Hears the greeting and asks for TLS; the handshake is next.
async fn start_tls(plain: &mut Plain, kind: Kind) -> Result<(), String> {
    let mut unread = Vec::new();
    while greeting::read(kind, &unread) == Heard::More {
        more(plain, &mut unread).await?;
    }
    if greeting::read(kind, &unread) != Heard::Greeted {
        return Err("no greeting".to_owned());
    }
    let (first, command, good): (Option<&[u8]>, &[u8], &str) = match kind {
        Kind::Imap => (None, b"a STARTTLS\r\n", "a OK"),
        Kind::Pop3 => (None, b"STLS\r\n", "+OK"),
        Kind::Smtp => (Some(b"EHLO localhost\r\n"), b"STARTTLS\r\n", "220"),
        Kind::Lmtp => (Some(b"LHLO localhost\r\n"), b"STARTTLS\r\n", "220"),
        Kind::Sieve => (None, b"STARTTLS\r\n", "OK"),
        Kind::Tcp => return Err("no protocol has STARTTLS here".to_owned()),
    };
    if let Some(first) = first {
        answer(plain, first).await?;
    }
    let said = answer(plain, command).await?;
    let begins =
        said.get(..good.len()).is_some_and(|said| said.eq_ignore_ascii_case(good.as_bytes()));
    match begins {
        true => Ok(()),
        false => Err(format!("STARTTLS is refused: \"{}\"", Quoted(said.trim_ascii()))),
    }
}

/// The last line of what is said to `command`. An untagged line of IMAP, and an SMTP line that has more
/// behind it, are not the last.
async fn answer(plain: &mut Plain, command: &[u8]) -> Result<Vec<u8>, String> {
    plain.write_all(command).await.map_err(|error| error.to_string())?;
    let mut unread = Vec::new();
    loop {
        let mut lines = unread.split_inclusive(|byte| *byte == b'\n');
        let is_last = |line: &&[u8]| {
            line.ends_with(b"\n") && !line.starts_with(b"* ") && line.get(3) != Some(&b'-')
        };
        if let Some(line) = lines.find(is_last) {
            return Ok(line.to_vec());
        }
        more(plain, &mut unread).await?;
    }
}

async fn more(plain: &mut Plain, unread: &mut Vec<u8>) -> Result<(), String> {
    if unread.len() > LONGEST {
        return Err("it says too much".to_owned());
    }
    match plain.read_buf(unread).await {
        Ok(0) => Err("it closed the connection".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
