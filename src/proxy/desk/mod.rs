//! The desk that rules on a login: finds the upstream, logs in there, and says who it is for.

mod advise;
mod call;
mod credentials;
mod decide;
mod error;
mod find;
mod guard;
mod missed;
mod place;
mod understand;

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use super::kerberos::Rounds;
use super::session::{Session, addr};
use super::site::Site;
use crate::login::{self, Advice, Attempt, Granted, Kind, Mechanism, Question, Refusal};
use crate::net::{Endpoint, Stream};
use crate::observe::access::Status;
use crate::observe::metrics::Login;
use crate::route::Route;
use advise::Asked;
use error::Error;
use missed::Missed;
pub use place::Place;

/// A logged-in upstream.
#[derive(Debug)]
pub struct Upstream {
    pub stream: Stream,
    /// What it said beyond its answer to the login.
    pub unread: Vec<u8>,
    pub place: Option<Place>,
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
type Found = Result<Route, Missed>;

impl<'a> Desk<'a> {
    pub fn new(session: &'a Session) -> Self {
        Self { session, found: Mutex::default(), rounds: tokio::sync::Mutex::default() }
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
