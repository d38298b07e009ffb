//! The lookup handlers: the services at `auth_http`, and how they are asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::asker::Asker;
use super::directives::Settings;
use super::lookup::{self, Accepted, Answer, Flaw, Refused};
use crate::http::{Client, Names, Url};
use crate::login::Attempt;
use crate::tls::client::Connectors;

/// How often a handler may say `WAIT` about one attempt.
pub const MAX_WAITS: u32 = 20;

/// How long a handler that has failed is passed over, if there are others.
pub const REST: Duration = Duration::from_secs(10);

/// `auth_http` and its kin, as they hold in one block.
#[derive(Debug)]
pub struct Handler {
    /// Any one will do. Never none.
    peers: Vec<Peer>,
    /// Counts the questions, so that each begins at the next peer.
    turn: AtomicUsize,
    timeout: Duration,
    strict: bool,
    passes_certificate: bool,
}

/// One URL.
#[derive(Debug)]
struct Peer {
    url: Url,
    client: Client,
    /// Until when it is passed over.
    rests: Mutex<Option<Instant>>,
}

/// What a handler ruled.
#[derive(Debug)]
pub enum Ruling {
    /// And who it was: `A:P`.
    Accepted(Accepted, String),
    Refused(Refused),
}

/// A handler that could not be asked or understood, and who it is: `A:P`.
#[derive(Debug, thiserror::Error)]
#[error("auth http server {server} {flaw}")]
pub struct Error {
    pub server: String,
    pub flaw: Flaw,
}

impl Handler {
    /// What the directives make of it; none where they name no URL. Reads certificates.
    pub fn new(
        settings: &Settings,
        names: &Names,
        connectors: &mut Connectors,
    ) -> Result<Option<Self>, String> {
        let own = lookup::NAMES.iter().map(|name| (*name).to_owned());
        let spelling: Vec<_> =
            own.chain(settings.headers.iter().map(|header| header.name.clone())).collect();
        let mut peers = Vec::with_capacity(settings.auth_http.len());
        for url in settings.auth_http.iter().cloned() {
            let mut client = Client::new(url.origin.clone(), Arc::clone(names), spelling.clone())
                .strict(settings.strict);
            if url.tls {
                let connector = connectors.connector(&settings.tls);
                let connector = connector.map_err(|fault| {
                    format!("auth_http {}: {}", url.origin, lookup::own_words(&fault.to_string()))
                })?;
                client = client.secured(connector, url.host.as_str());
            }
            peers.push(Peer { url, client, rests: Mutex::new(None) });
        }
        Ok((!peers.is_empty()).then_some(Self {
            peers,
            turn: AtomicUsize::new(0),
            timeout: settings.timeout,
            strict: settings.strict,
            passes_certificate: settings.pass_client_cert,
        }))
    }

    /// Asks about `attempt`, and again as long as it is told to wait. A failure that another peer
    /// makes up for is told to `tell`.
    pub async fn ask(
        &self,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<Ruling, Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut waits = 0;
        loop {
            let (answer, server) = self.ask_any(turn, attempt, asker, tell).await?;
            match answer {
                Answer::Accepted(accepted) => return Ok(Ruling::Accepted(accepted, server)),
                Answer::Refused(refused) => return Ok(Ruling::Refused(refused)),
                Answer::Wait(_) if waits == MAX_WAITS => {
                    return Err(Error::new(server, Flaw::WaitsForEver(waits + 1)));
                }
                Answer::Wait(wait) => {
                    waits += 1;
                    sleep(wait).await;
                }
            }
        }
    }

    /// Asks one peer after the other until one answers; gives who it was, too.
    async fn ask_any(
        &self,
        turn: usize,
        attempt: &Attempt,
        asker: &Asker,
        tell: &(dyn Fn(Error) + Sync),
    ) -> Result<(Answer, String), Error> {
        let began = Instant::now();
        let (order, awake) = self.order(turn, began);
        let mut failed = None;
        for (index, peer) in order.iter().enumerate() {
            if let Some(error) = failed.take() {
                tell(error);
            }
            let left = self.timeout.saturating_sub(began.elapsed());
            // One that swallows the question must not eat the time of the others; those that rest
            // get what these leave.
            let sharing = if index < awake { awake - index } else { order.len() - index };
            let within = left / u32::try_from(sharing).unwrap_or(u32::MAX);
            let question = lookup::question(&peer.url, attempt, asker, self.passes_certificate);
            let error = match peer.client.ask(question, within).await {
                Ok(head) => match lookup::answer(head.status, &head.headers, self.strict) {
                    Ok(answer) => {
                        peer.wake();
                        return Ok((answer, head.server));
                    }
                    Err(flaw) => Error::new(head.server, flaw),
                },
                Err(error) => Error::new(error.server, error.cause),
            };
            if error.flaw.is_general() {
                peer.rest();
            }
            let is_over = began.elapsed() >= self.timeout || !error.flaw.is_worth_another_try();
            failed = Some(error);
            if is_over {
                break;
            }
        }
        Err(failed.expect("there is a peer, and it failed"))
    }

    /// The peers in the order they are to be asked in, and how many of them do not rest.
    fn order(&self, turn: usize, now: Instant) -> (Vec<&Peer>, usize) {
        let (before, from) = self.peers.split_at(turn % self.peers.len());
        let in_turn = from.iter().chain(before);
        let (mut order, resting): (Vec<_>, Vec<_>) = in_turn.partition(|peer| !peer.rests(now));
        let awake = order.len();
        order.extend(resting);
        (order, awake)
    }
}

impl Peer {
    fn rest(&self) {
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }

    fn wake(&self) {
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn rests(&self, now: Instant) -> bool {
        let until = *self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }
}

impl Error {
    fn new(server: String, flaw: impl Into<Flaw>) -> Self {
        Self { server, flaw: flaw.into() }
    }
}
