//! The desk that rules on a login: finds the upstream, logs in there, and says who it is for.

mod call;
mod credentials;

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::time::Instant;

use super::directives::Settings;
use super::kerberos::{self, Rounds};
use super::session::{Session, addr, chance};
use super::site::{Security, Site, Towards};
use crate::login::name::Name;
use crate::login::{
    self, Advice, Attempt, Granted, Kind, Mechanism, Question, Refusal, Secret, Verdict,
};
use crate::net::{Endpoint, Stream, connect};
use crate::observe::Level;
use crate::observe::access::Status;
use crate::observe::escape::Quoted;
use crate::observe::metrics::{Login, Phase};
use crate::route::{self, Asker, Route};
use crate::throttle::Stage;
use crate::tls;
use crate::wire::sasl::scram::Verifier;
use call::{Call, Client};
use credentials::{Credentials, Lack};

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
    /// What was found when an exchange asked for a verifier: the ruling goes on from there.
    found: Mutex<Option<Asked>>,
    /// The GSSAPI exchange that goes on.
    rounds: tokio::sync::Mutex<Option<Rounds>>,
}

/// Where an attempt leads.
type Found = Result<Route, Refusal>;

/// What was found for an attempt that is still to be proved.
#[derive(Debug)]
struct Asked {
    user: Box<[u8]>,
    authzid: Option<Box<[u8]>>,
    found: Found,
}

impl Asked {
    /// What was found is for that attempt alone: a client may have begun with one name and gone on
    /// with another, or by another mechanism.
    fn is_for(&self, attempt: &Attempt) -> bool {
        attempt.mechanism == Mechanism::ScramSha256
            && (&self.user, &self.authzid) == (&attempt.user, &attempt.authzid)
    }
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
    #[error("upstream timed out (110: Connection timed out)")]
    Silent { greeted: bool },
    #[error("upstream prematurely closed connection")]
    Closed { greeted: bool },
    /// In words of ours, so without nginx's colon and quotes.
    #[error("upstream sent invalid response ({0})")]
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
        Self { session, found: Mutex::default(), rounds: tokio::sync::Mutex::default() }
    }

    async fn decide(
        &self,
        site: &Arc<Site>,
        attempt: &Attempt,
        found: Option<Found>,
    ) -> Result<(Upstream, Granted), Refusal> {
        let session = self.session;
        let ttl = attempt.claims.ttl.map_or(site.settings.ttl, |ttl| ttl.min(site.settings.ttl));
        if ttl == 0 {
            let words = "login has passed through too many proxies: a loop";
            session.log(Level::Error, Some("in auth state"), words);
            return Err(Refusal::new(Kind::Unavailable));
        }
        let (attempt, suffix) = understand(site, attempt);
        if attempt.disproved {
            // One that nobody knows hears the same as one whose password is wrong, whatever a handler
            // has said of it. And as with a handler, who is not made to wait is sent away: guessing
            // costs a connection each time.
            session.log(Level::Info, Some("in auth state"), "client login failed: \"wrong proof\"");
            return Err(Refusal { close: true, ..Refusal::new(Kind::BadCredentials) });
        }
        let mut route = match found {
            Some(found) => found?,
            None => self.find(site, &attempt).await?,
        };
        self.check(&attempt, &route)?;
        session.count(Stage::LoggingIn).map_err(|over| over.refusal())?;
        let group = route.group.as_ref().map(|group| group.name.as_str());
        let towards = Arc::clone(site.towards(group));
        let overriding;
        let security = match route.security {
            None => &towards.security,
            Some(wanted) => {
                overriding =
                    towards.security_of(wanted).ok_or_else(|| self.lacks(Lack::Tls, &route))?;
                &overriding
            }
        };
        let is_smtp = matches!(site.words.name, "smtp" | "lmtp");
        let credentials = Credentials::new(&attempt, &route, &towards.tells, is_smtp, &suffix)
            .map_err(|lack| self.lacks(lack, &route))?;
        session.line(|line| line.upstream_name = group.map(Into::into));
        let endpoint = self.client(site, &attempt);
        let client =
            Client { endpoint: &endpoint, host: self.host(site, &attempt).await, ttl: ttl - 1 };
        for _ in 0..MOST_TRIES {
            let target = match route.targets.next(port(site, security)).await {
                None => break,
                Some(Ok(target)) => target,
                Some(Err(error)) => {
                    session.log(Level::Error, Some("connecting to upstream"), error);
                    continue;
                }
            };
            session.line(|line| line.upstream = Some(addr(&target.endpoint)));
            let greeted = AtomicBool::new(false);
            let call =
                Call { session, site, towards: &towards, security, target: &target, greeted };
            let done = match target.endpoint == session.local {
                true => Err(Error::Loop),
                false => call.make(&attempt, &credentials, &client).await,
            };
            match done {
                Ok((upstream, verdict)) => {
                    return self.settle(site, &towards, &target.endpoint, upstream, verdict);
                }
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

    /// Where the table decides, nobody has checked what the client claims: only what it has proved
    /// to us, or will to the upstream, counts.
    fn check(&self, attempt: &Attempt, route: &Route) -> Result<(), Refusal> {
        let is_proved = route.is_checked
            || match attempt.mechanism {
                Mechanism::Login
                | Mechanism::Plain
                | Mechanism::AuthLogin
                | Mechanism::XOauth2
                | Mechanism::OauthBearer
                | Mechanism::Unasked => true,
                Mechanism::External => {
                    self.session.guest().certificate.as_deref() == Some(attempt.mailbox())
                }
                Mechanism::Gssapi => attempt.authzid.is_none(),
                Mechanism::Apop | Mechanism::CramMd5 | Mechanism::ScramSha256 => false,
            };
        if is_proved {
            return Ok(());
        }
        let words = "client login failed: \"nobody has checked this login\"";
        self.session.log(Level::Info, Some("in auth state"), words);
        Err(Refusal::new(Kind::Forbidden))
    }

    /// The login cannot be made, for want of something that an admin must see to.
    fn lacks(&self, lack: Lack, route: &Route) -> Refusal {
        if lack == Lack::Judge {
            let words = format!("client login failed: \"{lack}\"");
            self.session.log(Level::Info, Some("in auth state"), words);
            return Refusal::new(Kind::Forbidden);
        }
        let words = match &route.handler {
            Some(handler) => format!("auth http server {handler} {lack}"),
            None => format!("the route {lack}"),
        };
        self.session.log(Level::Error, Some("in http auth state"), words);
        Refusal::new(Kind::Internal)
    }

    async fn find(&self, site: &Site, attempt: &Attempt) -> Found {
        let session = self.session;
        let asker = Asker {
            protocol: site.words.name,
            client: self.client(site, attempt),
            host: Some(self.host(site, attempt).await.into()),
            local: session.local.clone(),
            secure_upstream: matches!(site.towards.security, Security::Implicit(_)),
            attempt: session.line(|line| line.attempts),
            tls: session.security(),
            proxied: session.proxied,
            headers: session.line(|line| site.router.headers(line)),
        };
        let tell = |error: route::Error| {
            session.log(error.level(), Some("in http auth state"), error);
        };
        let began = Instant::now();
        let found = site.router.find(attempt, &asker, &tell).await;
        let took = began.elapsed();
        session.line(|line| line.lookup = Some(took));
        if let Ok(route) = &found {
            let group = route.group.as_ref().map(|group| group.name.as_str());
            site.towards(group).counters.took(Phase::Lookup, took);
        }
        found.map_err(|not_found| {
            if let Some(cause) = &not_found.cause {
                let doing = match cause {
                    route::Error::Handler(_) => "in http auth state",
                    _ => "in auth state",
                };
                session.log(cause.level(), Some(doing), cause);
            }
            if let Some(text) = &not_found.refusal.text {
                let words = format!("client login failed: \"{}\"", Quoted(text.as_bytes()));
                session.log(Level::Info, Some("in http auth state"), words);
            }
            not_found.refusal
        })
    }

    /// The client's host name, for SMTP upstreams: as a trusted peer claims, or as DNS has it.
    async fn host(&self, site: &Site, attempt: &Attempt) -> String {
        match &attempt.claims.client_host {
            Some(host) if site.settings.believes(&self.session.client) => host.clone(),
            _ => self.session.host(site).await.to_owned(),
        }
    }

    /// Takes note of an attempt that begins.
    fn note(&self, site: &Site, attempt: &Attempt) {
        let session = self.session;
        let claimed = self.client(site, attempt);
        session.line(|line| {
            line.attempts += 1;
            // Of the attempt before.
            line.upstream = None;
            line.upstream_name = None;
            line.upstream_tls = None;
            line.mechanism = Some(attempt.mechanism.name());
            line.login = (!attempt.user.is_empty()).then(|| attempt.user.clone());
            line.mailbox.clone_from(&attempt.authzid);
            line.agent = attempt.claims.agent.clone().map(Into::into);
            line.agent_version = attempt.claims.agent_version.clone().map(Into::into);
            if claimed != session.client {
                line.client = addr(&claimed);
            }
            // One name through all the proxies, so that their logs can be joined.
            if let Some(name) = &attempt.claims.session
                && site.settings.believes(&session.client)
            {
                line.session = name.as_str().into();
            }
        });
    }

    /// Takes note of how it ended.
    fn conclude<T>(&self, site: &Site, mechanism: Mechanism, ruling: &Result<T, Refusal>) {
        let (status, result) = match ruling {
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
        self.session.line(|line| line.status = status);
        site.counters.login(result, mechanism.name());
    }

    /// SCRAM: what the client's proof is checked against, for users that nobody knows too.
    async fn verifier(&self, attempt: Attempt) -> Result<Advice, Refusal> {
        let site = self.session.site();
        self.note(&site, &attempt);
        let (known, _) = understand(&site, &attempt);
        let found = Box::pin(self.find(&site, &known)).await;
        let is_for_later = |refusal: &Refusal| {
            matches!(refusal.kind, Kind::Unavailable | Kind::Internal)
                || refusal.code.as_deref().is_some_and(|code| code.starts_with('4'))
        };
        if let Err(refusal) = &found
            && is_for_later(refusal)
        {
            self.conclude(&site, attempt.mechanism, &found);
            return Err(refusal.clone());
        }
        let text = found.as_ref().ok().and_then(Route::verifier);
        let verifier = text.and_then(|text| Verifier::parse(text.as_bytes()).ok());
        if found.is_ok() && verifier.is_none() {
            let words = "auth http server sent no verifier that can be read";
            self.session.log(Level::Error, Some("in http auth state"), words);
        }
        // By the name that is looked up: one that is known has the same salt with any suffix.
        let verifier = verifier.unwrap_or_else(|| Verifier::fake(&known.user, &FAKES[..]));
        let Attempt { user, authzid, .. } = attempt;
        let asked = Asked { user, authzid, found };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(Advice::Verifier(verifier))
    }

    /// GSSAPI: what the client's token is worth. A refused one counts as an attempt.
    async fn ticket(&self, token: &[u8], is_first: bool) -> Result<Advice, Refusal> {
        let site = self.session.site();
        let mut rounds = self.rounds.lock().await;
        if is_first {
            *rounds = site.kerberos.as_ref().map(|kerberos| kerberos.begin(site.words.name));
        }
        let Some(going_on) = rounds.as_mut() else { return Err(Refusal::new(Kind::Internal)) };
        let error = match going_on.accept(token).await {
            Ok(advice) => return Ok(advice),
            Err(error) => error,
        };
        let text = error.to_string();
        let words = format!("client login failed: \"{}\"", Quoted(text.as_bytes()));
        let level = match &error {
            kerberos::Error::Refused(_) => Level::Info,
            kerberos::Error::Unable(_) => Level::Error,
        };
        self.session.log(level, Some("in auth state"), words);
        let attempt = Attempt::new(Mechanism::Gssapi, Vec::new(), Secret::default());
        self.note(&site, &attempt);
        let refused = Err(Refusal::new(error.kind()));
        self.conclude(&site, Mechanism::Gssapi, &refused);
        refused
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

    fn settle(
        &self,
        site: &Site,
        towards: &Towards,
        endpoint: &Endpoint,
        upstream: Upstream,
        verdict: Verdict,
    ) -> Result<(Upstream, Granted), Refusal> {
        match verdict {
            Verdict::Accepted(mut granted) => {
                let lacking = match std::mem::take(&mut granted.offers) {
                    offers if matches!(site.words.name, "smtp" | "lmtp") => {
                        site.offer.learn(endpoint, offers)
                    }
                    _ => Vec::new(),
                };
                if !lacking.is_empty() {
                    let lacking = lacking.join(", ");
                    let words =
                        format!("upstream does not offer what clients were told: {lacking}");
                    self.session.log(Level::Warn, Some("in auth state"), words);
                }
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
                // What bans clients reads the first of these; the other is the upstream's affair.
                let (level, what) = match kind {
                    Kind::BadCredentials | Kind::Forbidden | Kind::Throttled => {
                        (Level::Info, "client login failed")
                    }
                    Kind::Unavailable | Kind::Internal | Kind::NeedsTls => {
                        (Level::Error, "upstream sent invalid response")
                    }
                };
                let line = format!("{what}: \"{}\"", Quoted(text.trim_ascii()));
                self.session.log(level, Some("reading response from upstream"), line);
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

impl login::Desk for Desk<'_> {
    type Pass = Upstream;

    async fn rule(&self, attempt: Attempt) -> Result<(Upstream, Granted), Refusal> {
        let site = self.session.site();
        let asked = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = asked.filter(|asked| asked.is_for(&attempt)).map(|asked| asked.found);
        if found.is_none() {
            self.note(&site, &attempt);
        }
        let ruling = Box::pin(self.decide(&site, &attempt, found)).await;
        if ruling.is_err() {
            self.session.uncount();
        }
        self.conclude(&site, attempt.mechanism, &ruling);
        ruling
    }

    async fn advise(&self, question: Question) -> Result<Advice, Refusal> {
        match question {
            Question::Verifier(attempt) => self.verifier(*attempt).await,
            Question::Token { token, is_first } => self.ticket(&token, is_first).await,
        }
    }
}

/// The attempt as its names are meant, and the suffix that the upstream's name of the mailbox has.
///
/// A message without a login is for its recipient: that is whose server is looked for.
fn understand(site: &Site, attempt: &Attempt) -> (Attempt, String) {
    let mut attempt = attempt.clone();
    // A principal is nothing that a client hangs suffixes on.
    if attempt.envelope.is_some() || attempt.mechanism == Mechanism::Gssapi {
        return (attempt, String::new());
    }
    let Settings { separator, suffixes, .. } = &site.settings;
    // Whose password it is can be another's only where there is one.
    let separator = separator
        .filter(|_| attempt.authzid.is_none() && attempt.mechanism.brings_password())
        .and_then(|mark| u8::try_from(mark).ok());
    let name = attempt.mailbox().to_vec();
    let name = Name::split(&name, separator, suffixes);
    let suffix = String::from_utf8_lossy(name.suffix.unwrap_or_default()).into_owned();
    let mailbox = name.mailbox.into();
    match (name.master, &mut attempt.authzid) {
        (Some(master), authzid) => {
            attempt.user = master.into();
            *authzid = Some(mailbox);
        }
        (None, Some(authzid)) => *authzid = mailbox,
        (None, None) => attempt.user = mailbox,
    }
    (attempt, suffix)
}

/// What makes up verifiers for users that nobody knows.
static FAKES: LazyLock<[u8; 32]> = LazyLock::new(chance);

/// RFC 2193 §3: a referral is for the client to follow, whatever else it may hear.
fn is_referral(text: &[u8]) -> bool {
    text.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"[REFERRAL "))
        || text.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"(REFERRAL "))
        || text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"[ALERT]"))
}

/// Where an upstream without a port is reached.
fn port(site: &Site, security: &Security) -> u16 {
    match security {
        Security::Implicit(_) => site.words.tls_port,
        Security::Off | Security::StartTls(_) => site.words.port,
    }
}
