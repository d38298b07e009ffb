//! One login at one address of an upstream.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::super::directives::{Header, Tells};
use super::super::session::{Session, reason};
use super::super::site::{Security, Site, Towards};
use super::credentials::Credentials;
use super::{Error, Upstream};
use crate::login::{
    Ask, Attempt, Dialogue, Identity, Mechanism, Secured, Tell, Verdict, imap, pop3, sieve, smtp,
};
use crate::net::{Endpoint, Plain, Stream, connect};
use crate::observe::Metrics;
use crate::observe::metrics::{Phase, Side};
use crate::route::Target;
use crate::session::driver::{Done, Ended, Patience, Watcher, log_in};
use crate::session::upgrade::{Upgrade, Upgraded};
use crate::throttle::logins::Entry;
use crate::tls;
use crate::tls::client::Connected;
use crate::wire::haproxy;

/// No handshake with an upstream takes longer.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// One login at one address.
pub struct Call<'a> {
    pub session: &'a Session,
    pub site: &'a Site,
    pub towards: &'a Towards,
    /// As the upstream's block has it, or as the lookup handler wants it for this login.
    pub security: &'a Security,
    pub target: &'a Target,
    pub greeted: AtomicBool,
    /// The attempt, where it counts.
    pub entry: Option<&'a Entry>,
}

/// Who the client is, as far as it is believed.
pub struct Client<'a> {
    pub endpoint: &'a Endpoint,
    /// Its host's name, or why it has none.
    pub host: String,
    /// How many more proxies may follow.
    pub ttl: u8,
}

impl Call<'_> {
    /// Connects, says who the client is, and logs in.
    pub async fn make(
        &self,
        attempt: &Attempt,
        credentials: &Credentials,
        client: &Client<'_>,
    ) -> Result<(Upstream, Verdict), Error> {
        let tells = &self.towards.tells;
        let began = Instant::now();
        let deadline = began + tells.connect_timeout;
        let endpoint = &self.target.endpoint;
        let mut plain = connect::open(endpoint, connect::Options::default(), deadline).await?;
        introduce(&mut plain, tells.header, client.endpoint, &self.session.local).await?;
        let via = plain.local().ok().and_then(|local| local.ip());
        let stream = match self.security {
            Security::Implicit(connector) => {
                let connected = connector.connect(plain, &host(self.target), deadline).await;
                Stream::Client(Box::new(counted(&self.site.metrics, connected)?))
            }
            Security::Off | Security::StartTls(_) => Stream::Plain(plain),
        };
        let connected = began.elapsed();
        let Credentials { user, authzid, secret, proof, smtp_auth } = credentials;
        let ask = Ask {
            authzid: authzid.clone(),
            proof: *proof,
            starttls: matches!(self.security, Security::StartTls(_)),
            imap_id: tells.imap_id,
            pop3_xoip: tells.pop3_xoip,
            xclient: self.xclient(attempt),
            dovecot: tells.dovecot,
            smtp_auth: *smtp_auth,
            envelope: attempt.envelope.clone(),
            ..Ask::new(user.clone(), secret.clone(), self.identity(attempt, client, via))
        };
        let asked = Instant::now();
        let done = match self.site.words.name {
            "pop3" => self.log_in(stream, pop3::back::Back::new(ask)).await,
            "smtp" => self.log_in(stream, smtp::back::Back::<smtp::Smtp>::new(ask)).await,
            "lmtp" => self.log_in(stream, smtp::back::Back::<smtp::Lmtp>::new(ask)).await,
            "sieve" => self.log_in(stream, sieve::back::Back::new(ask)).await,
            _ => self.log_in(stream, imap::back::Back::new(ask)).await,
        };
        self.towards.counters.took(Phase::Connect, connected);
        self.towards.counters.took(Phase::Auth, asked.elapsed());
        self.session.line(|line| {
            line.connect = Some(connected);
            line.auth = Some(asked.elapsed());
        });
        done
    }

    /// Whether the client is told of by XCLIENT. Where nobody logs in, who it is decides what it may
    /// do: what says nothing of XCLIENT is told all the same, as by nginx, unless a PROXY header has
    /// told it. Else the client would send under our address, which the upstream may trust.
    fn xclient(&self, attempt: &Attempt) -> Tell {
        let Tells { xclient, header, .. } = self.towards.tells;
        let is_unknown = attempt.mechanism == Mechanism::Unasked
            && self.site.words.name == "smtp"
            && header == Header::Off;
        if is_unknown && xclient == Tell::Auto { Tell::On } else { xclient }
    }

    fn identity(&self, attempt: &Attempt, client: &Client<'_>, via: Option<IpAddr>) -> Identity {
        Identity {
            client: tcp(client.endpoint),
            host: client.host.clone(),
            local: tcp(&self.session.local),
            name: self.site.name.to_string(),
            helo: attempt.claims.helo.clone(),
            via: via.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            session: self.session.line(|line| line.session.to_string()),
            ttl: client.ttl,
            agent: attempt.claims.agent.clone(),
            agent_version: attempt.claims.agent_version.clone(),
        }
    }

    async fn log_in<D: Dialogue>(
        &self,
        stream: Stream,
        back: D,
    ) -> Result<(Upstream, Verdict), Error> {
        let tells = &self.towards.tells;
        let patience = Patience {
            opening: tells.greeting_timeout,
            step: tells.auth_timeout,
            whole: true,
            pipelines: true,
            // IMAP servers may speak at any time.
            in_turn: matches!(self.site.words.name, "smtp" | "lmtp" | "sieve"),
            hush: Duration::ZERO,
            most: u32::MAX,
            overall: None,
        };
        let done = log_in(stream, back, self, self, patience).await;
        let greeted = self.greeted.load(Ordering::Relaxed);
        match done {
            Ok(Done::Settled { stream, unread, verdict }) => {
                Ok((Upstream { stream, unread, place: None }, verdict))
            }
            Err(Ended::Left) => Err(Error::Closed { greeted }),
            Err(Ended::Idle(_)) => Err(Error::Silent { greeted }),
            Err(Ended::Breach(breach)) => Err(Error::Misbehaved(breach.to_string())),
            Err(Ended::OutOfTurn) => {
                Err(Error::Misbehaved("it answers before it is asked".to_owned()))
            }
            Err(Ended::Tls(words)) => Err(Error::StartTls(words)),
            Err(Ended::Io(error)) if greeted => Err(Error::Broken(error)),
            Err(Ended::Io(error)) => Err(Error::Io(error)),
            // What is left happens to fronts only.
            Ok(Done::Admitted { .. }) | Err(_) => Err(Error::Misbehaved("no verdict".to_owned())),
        }
    }
}

impl Upgrade for Call<'_> {
    async fn start_tls(&self, plain: Plain) -> Result<Upgraded, String> {
        let Security::StartTls(connector) = self.security else {
            return Err("TLS was not asked for".to_owned());
        };
        let deadline = Instant::now() + Duration::min(self.towards.tells.auth_timeout, HANDSHAKE);
        let connected = connector.connect(plain, &host(self.target), deadline).await;
        let stream = counted(&self.site.metrics, connected).map_err(|error| error.to_string())?;
        let stream = Stream::Client(Box::new(stream));
        Ok(Upgraded { stream, secured: Secured::default(), barred: None })
    }
}

impl Watcher for Call<'_> {
    fn heard(&self) {
        self.greeted.store(true, Ordering::Relaxed);
        if let Some(entry) = self.entry {
            entry.shown();
        }
    }

    fn breach(&self, _: &str) {}

    fn out_of_step(&self, _: &str) {}
}

/// Puts a PROXY header in front of everything else.
async fn introduce(
    plain: &mut Plain,
    header: Header,
    client: &Endpoint,
    local: &Endpoint,
) -> Result<(), Error> {
    let (client, local) = (client.tcp(), local.tcp());
    let ends = client.zip(local);
    let mut bytes = Vec::new();
    match header {
        Header::Off => return Ok(()),
        Header::V1 => match ends {
            Some((client, local)) => haproxy::write_v1(client, local, &mut bytes),
            None => haproxy::write_unknown_v1(&mut bytes),
        },
        Header::V2 => match ends {
            Some((client, local)) => haproxy::write_v2(client, local, &mut bytes),
            None => haproxy::write_local_v2(&mut bytes),
        },
    }
    plain.write_all(&bytes).await?;
    Ok(())
}

/// A client by unix socket has no address: it is this machine.
fn tcp(endpoint: &Endpoint) -> SocketAddr {
    endpoint.tcp().unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// Counts a handshake with an upstream.
fn counted(
    metrics: &Metrics,
    connected: Result<Connected<Plain>, tls::error::Error>,
) -> Result<TlsStream<Plain>, tls::error::Error> {
    match &connected {
        Ok(done) => metrics.handshake(Side::Upstream, done.protocol, done.resumed),
        Err(error) => metrics.handshake_failed(Side::Upstream, reason(error)),
    }
    connected.map(|connected| connected.stream)
}

/// What the upstream is called where its certificate is checked.
fn host(target: &Target) -> String {
    match (&target.host, &target.endpoint) {
        (Some(host), _) => host.to_string(),
        (None, Endpoint::Tcp(address)) => address.ip().to_string(),
        (None, Endpoint::Unix(_)) => "localhost".to_owned(),
    }
}
