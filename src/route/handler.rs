//! A lookup handler: the service at `auth_http`, and how it is asked.

use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use tokio::time::sleep;

use super::asker::Asker;
use super::lookup::{self, Accepted, Answer, Flaw};
use crate::http::{Client, Names, Url};
use crate::login::Attempt;

/// How often a handler may say `WAIT` about one attempt.
pub const MAX_WAITS: u32 = 20;

/// `auth_http` and its kin, as they hold in one block.
#[derive(Debug)]
pub struct Handler {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    client: Client,
}

/// What a handler ruled.
#[derive(Debug)]
pub enum Ruling {
    Accepted(Accepted),
    /// In the handler's words. Without a wait the session ends.
    Refused {
        text: String,
        wait: Duration,
    },
}

/// A handler that could not be asked or understood, and who it is: `A:P`.
#[derive(Debug, thiserror::Error)]
#[error("auth http server {server} {flaw}")]
pub struct Error {
    pub server: String,
    pub flaw: Flaw,
}

impl Handler {
    /// `headers` go with every question, spelled as here.
    pub fn new(
        url: Url,
        headers: &[(String, HeaderValue)],
        timeout: Duration,
        names: Names,
    ) -> Self {
        let own = lookup::NAMES.iter().map(|name| (*name).to_owned());
        let spelling = own.chain(headers.iter().map(|(name, _)| name.clone())).collect();
        let client = Client::new(url.origin.clone(), names, spelling);
        // The names were checked when they were read.
        let header = |(name, value): &(String, HeaderValue)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value.clone()))
        };
        let headers = headers.iter().filter_map(header).collect();
        Self { url, headers, timeout, client }
    }

    /// Asks about `attempt`, and again as long as it is told to wait.
    pub async fn ask(&self, attempt: &Attempt, asker: &Asker) -> Result<Ruling, Error> {
        let mut waits = 0;
        loop {
            let question = lookup::question(&self.url, &self.headers, attempt, asker);
            let head = self.client.ask(question, self.timeout).await;
            let head = head.map_err(|error| Error::new(error.server, error.cause))?;
            match lookup::answer(head.status, &head.headers) {
                Ok(Answer::Accepted(accepted)) => return Ok(Ruling::Accepted(accepted)),
                Ok(Answer::Refused { text, wait }) => return Ok(Ruling::Refused { text, wait }),
                Ok(Answer::Wait(_)) if waits == MAX_WAITS => {
                    return Err(Error::new(head.server, Flaw::WaitsForEver(waits + 1)));
                }
                Ok(Answer::Wait(wait)) => {
                    waits += 1;
                    sleep(wait).await;
                }
                Err(flaw) => return Err(Error::new(head.server, flaw)),
            }
        }
    }
}

impl Error {
    fn new(server: String, flaw: impl Into<Flaw>) -> Self {
        Self { server, flaw: flaw.into() }
    }
}
