//! The desk that rules on a login: finds the upstream, logs in there, and says who it is for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::directives::Header;
use super::session::{Session, addr, reason};
use super::site::{Security, Site, Towards};
use crate::login::{
    Ask, Attempt, Dialogue, Granted, Identity, Kind, Proof, Refusal, Secured, SmtpAuth, Verdict,
    imap, pop3, words,
};
use crate::net::{Endpoint, Plain, Stream, connect};
use crate::observe::Level;
use crate::observe::Metrics;
use crate::observe::access::Status;
use crate::observe::metrics::{Login, Phase, Side};
use crate::route::{self, Asker, Route, Target};
use crate::session::driver::{Done, Ended, Patience, Watcher, log_in};
use crate::session::upgrade::{Upgrade, Upgraded};
use crate::tls;
use crate::tls::client::Connected;
use crate::wire::haproxy;

/// How many addresses one login may try: an upstream with a hundred dead servers must not keep a
/// client waiting for a hundred timeouts.
const MOST_TRIES: usize = 6;

/// A logged-in upstream.
#[derive(Debug)]
pub struct Upstream {
    pub stream: Stream,
    /// What it said beyond its answer to the login.
    pub unread: Vec<u8>,
}

/// Rules on the logins of one session.
#[derive(Debug)]
pub struct Desk<'a> {
    session: &'a Session,
}

/// What went wrong with one address of an upstream.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Connect(#[from] connect::Error),
    #[error("{0}")]
    Tls(#[from] tls::error::Error),
    /// TLS that was begun by STARTTLS.
    #[error("{0}")]
    StartTls(String),
    #[error("upstream timed out")]
    Silent { greeted: bool },
    #[error("upstream prematurely closed connection")]
    Closed { greeted: bool },
    #[error("upstream sent invalid response: \"{0}\"")]
    Misbehaved(String),
    #[error("sending to upstream failed ({0})")]
    Io(#[from] std::io::Error),
    #[error("the upstream is this gatepost itself: a loop")]
    Loop,
}

impl Error {
    /// Whether another address may do better. Once the upstream has greeted, it may have heard the
    /// password, and what it does not like here it will not like elsewhere.
    fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_worth_another_try(),
            Self::Silent { greeted } | Self::Closed { greeted } => !greeted,
            Self::Tls(_) | Self::StartTls(_) | Self::Io(_) => true,
            Self::Misbehaved(_) | Self::Loop => false,
        }
    }

    fn phase(&self) -> Phase {
        match self {
            Self::Connect(_) | Self::Loop => Phase::Connect,
            Self::Tls(_) | Self::StartTls(_) => Phase::Tls,
            _ => Phase::Auth,
        }
    }

    fn doing(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Loop => "connecting to upstream",
            Self::Tls(_) | Self::StartTls(_) => "SSL handshaking with upstream",
            _ => "reading response from upstream",
        }
    }
}

impl<'a> Desk<'a> {
    pub fn new(session: &'a Session) -> Self {
        Self { session }
    }

    async fn decide(
        &self,
        site: &Arc<Site>,
        attempt: &Attempt,
    ) -> Result<(Upstream, Granted), Refusal> {
        let session = self.session;
        let ttl = attempt.claims.ttl.map_or(site.settings.ttl, |ttl| ttl.min(site.settings.ttl));
        if ttl == 0 {
            let words = "login has passed through too many proxies: a loop";
            session.log(Level::Error, Some("in auth state"), words);
            return Err(Refusal::new(Kind::Unavailable));
        }
        let began = Instant::now();
        let mut route = self.find(site, attempt).await?;
        let lookup = began.elapsed();
        let group = route.group.as_ref().map(|group| group.name.as_str());
        let towards = Arc::clone(site.towards(group));
        towards.counters.took(Phase::Lookup, lookup);
        session.line(|line| {
            line.lookup = Some(lookup);
            line.upstream_name = group.map(Into::into);
        });
        for _ in 0..MOST_TRIES {
            let target = match route.targets.next(port(site, &towards)).await {
                None => break,
                Some(Ok(target)) => target,
                Some(Err(error)) => {
                    session.log(Level::Error, Some("connecting to upstream"), error);
                    continue;
                }
            };
            session.line(|line| line.upstream = Some(addr(&target.endpoint)));
            match self.knock(site, &towards, &target, attempt, &route, ttl).await {
                Ok((upstream, verdict)) => return self.settle(site, &towards, upstream, verdict),
                Err(error) => {
                    towards.counters.failed(error.phase());
                    session.log(Level::Error, Some(error.doing()), &error);
                    if !error.is_worth_another_try() {
                        break;
                    }
                }
            }
        }
        Err(Refusal::new(Kind::Unavailable))
    }

    async fn find(&self, site: &Site, attempt: &Attempt) -> Result<Route, Refusal> {
        let session = self.session;
        let asker = Asker {
            protocol: site.words.name,
            client: self.client(site, attempt),
            host: None,
            local: session.local.clone(),
            attempt: session.line(|line| line.attempts),
            tls: session.security(),
            proxied: session.proxied,
            headers: session.line(|line| site.router.headers(line)),
        };
        let tell = |error: route::Error| {
            session.log(error.level(), Some("in http auth state"), error);
        };
        site.router.find(attempt, &asker, &tell).await.map_err(|not_found| {
            if let Some(cause) = &not_found.cause {
                let doing = match cause {
                    route::Error::Handler(_) => "in http auth state",
                    _ => "in auth state",
                };
                session.log(cause.level(), Some(doing), cause);
            }
            if let Some(text) = &not_found.refusal.text {
                let words = format!("client login failed: \"{text}\"");
                session.log(Level::Info, Some("in http auth state"), words);
            }
            not_found.refusal
        })
    }

    /// The client: as a trusted peer claims, or as it connected.
    fn client(&self, site: &Site, attempt: &Attempt) -> Endpoint {
        let session = self.session;
        match attempt.claims.client_ip {
            // The client that a balancer named speaks here, not the balancer.
            Some(ip) if site.settings.believes(&session.client) => {
                let port = attempt.claims.client_port.unwrap_or(0);
                Endpoint::from(SocketAddr::new(ip, port))
            }
            _ => session.client.clone(),
        }
    }

    /// Connects to one address and logs in there.
    async fn knock(
        &self,
        site: &Site,
        towards: &Towards,
        target: &Target,
        attempt: &Attempt,
        route: &Route,
        ttl: u8,
    ) -> Result<(Upstream, Verdict), Error> {
        if target.endpoint == self.session.local {
            return Err(Error::Loop);
        }
        let tells = &towards.tells;
        let began = Instant::now();
        let deadline = began + tells.connect_timeout;
        let mut plain =
            connect::open(&target.endpoint, connect::Options::default(), deadline).await?;
        let client = self.client(site, attempt);
        introduce(&mut plain, tells.header, &client, &self.session.local).await?;
        let via = plain.local().ok().and_then(|local| local.ip());
        let stream = match &towards.security {
            Security::Implicit(connector) => {
                let connected = connector.connect(plain, &host(target), deadline).await;
                Stream::Client(Box::new(counted(&site.metrics, connected)?))
            }
            Security::Off | Security::StartTls(_) => Stream::Plain(plain),
        };
        let connected = began.elapsed();
        let ask = Ask {
            user: route.user.clone().unwrap_or_else(|| attempt.user.clone()),
            authzid: route.authzid.clone().or_else(|| attempt.authzid.clone()),
            secret: route.secret.clone().unwrap_or_else(|| attempt.secret.clone()),
            starttls: matches!(towards.security, Security::StartTls(_)),
            imap_id: tells.imap_id,
            pop3_xoip: tells.pop3_xoip,
            xclient: tells.xclient,
            dovecot: tells.dovecot,
            proof: Proof::Password,
            smtp_auth: SmtpAuth::Off,
            envelope: attempt.envelope.clone(),
            identity: Identity {
                client: tcp(&client),
                host: "[UNAVAILABLE]".to_owned(),
                name: site.name.to_string(),
                helo: attempt.claims.helo.clone(),
                local: tcp(&self.session.local),
                via: via.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                session: self.session.line(|line| line.session.to_string()),
                ttl: ttl - 1,
                agent: attempt.claims.agent.clone(),
                agent_version: attempt.claims.agent_version.clone(),
            },
        };
        let call =
            Call { metrics: &site.metrics, towards, target, greeted: AtomicBool::new(false) };
        let asked = Instant::now();
        let done = if site.words.name == words::POP3.name {
            call.log_in(stream, pop3::back::Back::new(ask)).await
        } else {
            call.log_in(stream, imap::back::Back::new(ask)).await
        };
        towards.counters.took(Phase::Connect, connected);
        towards.counters.took(Phase::Auth, asked.elapsed());
        self.session.line(|line| {
            line.connect = Some(connected);
            line.auth = Some(asked.elapsed());
        });
        done
    }

    fn settle(
        &self,
        site: &Site,
        towards: &Towards,
        upstream: Upstream,
        verdict: Verdict,
    ) -> Result<(Upstream, Granted), Refusal> {
        match verdict {
            Verdict::Accepted(granted) => {
                let security = match &upstream.stream {
                    Stream::Client(stream) => {
                        Some(tls::suites::version_name(stream.get_ref().1.protocol_version()))
                    }
                    _ => None,
                };
                self.session.line(|line| line.upstream_tls = security);
                Ok((upstream, granted))
            }
            Verdict::Refused { kind, text, untagged, sasl } => {
                let mut refusal = Refusal::new(kind);
                refusal.untagged = untagged;
                refusal.sasl = sasl;
                let is_for_clients = site.settings.pass_error_message || is_referral(&text);
                let words = crate::login::passable(&text);
                let line = format!("client login failed: \"{words}\"");
                self.session.log(Level::Info, Some("reading response from upstream"), line);
                Err(if is_for_clients { refusal.with_text(&text) } else { refusal })
            }
            Verdict::Misbehaved(words) => {
                let error = Error::Misbehaved(words);
                towards.counters.failed(error.phase());
                self.session.log(Level::Error, Some(error.doing()), &error);
                Err(Refusal::new(Kind::Unavailable))
            }
        }
    }
}

impl crate::login::Desk for Desk<'_> {
    type Pass = Upstream;

    async fn rule(&self, attempt: Attempt) -> Result<(Upstream, Granted), Refusal> {
        let session = self.session;
        let site = session.site();
        session.line(|line| {
            line.attempts += 1;
            line.mechanism = Some(attempt.mechanism.name());
            line.login = Some(attempt.user.clone());
            line.mailbox.clone_from(&attempt.authzid);
            line.agent = attempt.claims.agent.clone().map(Into::into);
            line.agent_version = attempt.claims.agent_version.clone().map(Into::into);
        });
        let claimed = self.client(&site, &attempt);
        if claimed != session.client {
            session.line(|line| line.client = addr(&claimed));
        }
        // One name through all the proxies, so that their logs can be joined.
        if let Some(name) = &attempt.claims.session
            && site.settings.believes(&session.client)
        {
            session.line(|line| line.session = name.as_str().into());
        }
        let ruling = Box::pin(self.decide(&site, &attempt)).await;
        let (status, result) = match &ruling {
            Ok(_) => (Status::Ok, Login::Accepted),
            Err(refusal) => match refusal.kind {
                Kind::Unavailable => (Status::Failed, Login::Unavailable),
                Kind::Internal => (Status::Failed, Login::Internal),
                Kind::BadCredentials => (Status::Refused, Login::BadCredentials),
                Kind::Forbidden => (Status::Refused, Login::Forbidden),
                Kind::NeedsTls => (Status::Refused, Login::NeedsTls),
                Kind::Throttled => (Status::Refused, Login::Throttled),
            },
        };
        session.line(|line| line.status = status);
        site.counters.login(result, attempt.mechanism.name());
        ruling
    }
}

/// RFC 2193 §3: a referral is for the client to follow, whatever else it may hear.
fn is_referral(text: &[u8]) -> bool {
    text.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"[REFERRAL "))
        || text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"[ALERT]"))
}

/// Where an upstream without a port is reached.
fn port(site: &Site, towards: &Towards) -> u16 {
    match towards.security {
        Security::Implicit(_) => site.words.tls_port,
        Security::Off | Security::StartTls(_) => site.words.port,
    }
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

/// One login at one address.
struct Call<'a> {
    metrics: &'a Metrics,
    towards: &'a Towards,
    target: &'a Target,
    greeted: AtomicBool,
}

impl Call<'_> {
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
            hush: Duration::ZERO,
            most: u32::MAX,
        };
        let done = log_in(stream, back, self, self, patience).await;
        let greeted = self.greeted.load(Ordering::Relaxed);
        match done {
            Ok(Done::Settled { stream, unread, verdict }) => {
                Ok((Upstream { stream, unread }, verdict))
            }
            Ok(Done::Admitted { .. })
            | Err(
                Ended::Closed
                | Ended::Stopped
                | Ended::Early
                | Ended::TooMany
                | Ended::GaveWay
                | Ended::Barred(_),
            ) => Err(Error::Misbehaved("no verdict".to_owned())),
            Err(Ended::Left) => Err(Error::Closed { greeted }),
            Err(Ended::Idle(_)) => Err(Error::Silent { greeted }),
            Err(Ended::Breach(breach)) => Err(Error::Misbehaved(breach.to_string())),
            Err(Ended::Tls(words)) => Err(Error::StartTls(words)),
            Err(Ended::Io(error)) => Err(Error::Io(error)),
        }
    }
}

impl Upgrade for Call<'_> {
    async fn start_tls(&self, plain: Plain) -> Result<Upgraded, String> {
        let Security::StartTls(connector) = &self.towards.security else {
            return Err("TLS was not asked for".to_owned());
        };
        let deadline = Instant::now() + Duration::min(self.towards.tells.auth_timeout, HANDSHAKE);
        let connected = connector.connect(plain, &host(self.target), deadline).await;
        let stream = counted(self.metrics, connected).map_err(|error| error.to_string())?;
        let stream = Stream::Client(Box::new(stream));
        Ok(Upgraded { stream, secured: Secured::default(), barred: None })
    }
}

/// No handshake with an upstream takes longer.
const HANDSHAKE: Duration = Duration::from_secs(30);

impl Watcher for Call<'_> {
    fn heard(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    fn breach(&self, _: &str) {}

    fn out_of_step(&self, _: &str) {}
}
