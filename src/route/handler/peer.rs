//! One URL, and one question to it.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use tokio::time::Instant;

use super::figures::Outcome;
use super::state::{Policy, State};
use super::{Error, Said, Way};
use crate::http::{Client, Url};
use crate::route::lookup::nle;
use crate::route::lookup::{Answer, Flaw};

/// One URL, as one configuration asks it.
#[derive(Debug)]
pub struct Peer {
    pub url: Url,
    pub client: Client,
    pub weight: u32,
    pub state: Arc<State>,
    /// What holds of its state once the configuration is in force, and where it stands there.
    pub terms: (Policy, Box<str>),
    pub way: Arc<Way>,
}

impl Peer {
    /// Puts `question` and understands the answer; gives who gave it, too. Owns all that it needs,
    /// so that it can go on when whoever asked has left.
    pub fn ask(
        self: &Arc<Self>,
        question: Request<()>,
        within: Duration,
    ) -> impl Future<Output = Result<(Said, String), Error>> + Send + use<> {
        let (own, asking) = (Arc::clone(self), self.state.begin(Instant::now()));
        let with_token = self.way.asks_for_token(&question);
        async move {
            let error = match own.client.ask(question, within).await {
                Ok(head) => match own.way.understand(head.status, &head.headers, with_token) {
                    Ok(said) => {
                        asking.answered(outcome(&said), Instant::now());
                        return Ok((said, head.server));
                    }
                    Err(flaw) => own.error(head.server, flaw),
                },
                Err(error) => own.error(error.server, error.cause),
            };
            asking.failed(&error.flaw.to_string(), error.flaw.is_general(), Instant::now());
            Err(error)
        }
    }

    fn error(&self, server: String, flaw: impl Into<Flaw>) -> Error {
        let flaw = match flaw.into() {
            // Directives are called otherwise in a block of their own.
            Flaw::Insecure(text) if !self.state.lookup.is_empty() => {
                Flaw::Insecure(text.replace("auth_http_ssl_", "ssl_"))
            }
            flaw => flaw,
        };
        Error { what: self.way.name(), server, flaw }
    }
}

fn outcome(said: &Said) -> Outcome {
    match said {
        Said::Http(Answer::Accepted(_)) | Said::Nle(nle::Answer::Found(_)) => Outcome::Ok,
        Said::Http(Answer::Wait(_)) | Said::Nle(nle::Answer::Wait(_)) => Outcome::Wait,
        Said::Http(Answer::Refused(_)) | Said::Nle(nle::Answer::Refused(_)) => Outcome::Refused,
        Said::Nle(nle::Answer::Unknown(_)) => Outcome::Unknown,
    }
}
