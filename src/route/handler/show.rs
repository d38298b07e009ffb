//! What an administrator sees of a lookup, and the question that examines one.

use std::sync::Arc;

use super::edge::shown;
use super::peer::Peer;
use super::registry::is_called;
use super::{Asker, Handler, Said};
use crate::http::Names;
use crate::login::{Attempt, Mechanism, Secret};
use crate::net::{Endpoint, Place, dns};
use crate::route::lookup::Answer;
use crate::route::lookup::nle;
use crate::tls::client::Connector;

/// One handler of a lookup, to be examined.
#[derive(Clone, Debug)]
pub struct Patient {
    handler: Handler,
    peer: Arc<Peer>,
    names: Names,
}

impl Handler {
    /// How it stands in [`Status`]: the name of its block; empty for `auth_http`.
    pub fn title(&self) -> &str {
        self.0.name.as_deref().unwrap_or_default()
    }

    /// The URLs of its handlers as [`Status`] has them, and how much more often each is asked than
    /// one of weight 1.
    pub fn weights(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.peers.iter().map(|peer| (&*peer.state.url, peer.weight))
    }

    /// Its handlers. `names` finds their addresses.
    pub fn patients(&self, names: &Names) -> Vec<Patient> {
        let patient = |peer: &Arc<Peer>| Patient {
            handler: self.clone(),
            peer: Arc::clone(peer),
            names: Arc::clone(names),
        };
        self.0.peers.iter().map(patient).collect()
    }
}

impl Patient {
    /// As [`Status`] has it.
    pub fn url(&self) -> &str {
        &self.peer.state.url
    }

    /// Its URL as it is shown.
    pub fn title(&self) -> &str {
        shown(self.url())
    }

    pub fn is_called(&self, name: &str) -> bool {
        is_called(self.url(), name)
    }

    /// The addresses of its host.
    ///
    /// # Errors
    /// What the resolver says.
    pub async fn addresses(&self) -> Result<Vec<Endpoint>, dns::Error> {
        match self.peer.client.origin() {
            Place::Fixed(endpoint) => Ok(vec![endpoint.clone()]),
            Place::Named { host, port } => {
                let found = self.names.resolve(host).await?;
                let at = |ip: &std::net::IpAddr| std::net::SocketAddr::new(*ip, *port).into();
                Ok(found.iter().map(at).collect())
            }
        }
    }

    /// TLS with it, where its URL says so, and the name it must prove.
    pub fn security(&self) -> Option<(&Arc<Connector>, &str)> {
        self.peer.client.security()
    }

    /// Asks it about `user`, in words what it says. An answer about anybody will do: what is looked
    /// for is whether it is understood. It counts as any question does.
    ///
    /// # Errors
    /// Why it was not understood.
    pub async fn ask(&self, user: &str, asker: &Asker) -> Result<String, String> {
        let attempt = Attempt::new(Mechanism::Plain, user.as_bytes(), Secret::default());
        let lookup = &self.handler.0;
        let question = lookup.way.question(&self.peer.url, &attempt, asker);
        let (said, _) =
            self.peer.ask(question, lookup.timeout).await.map_err(|error| error.to_string())?;
        Ok(match said {
            Said::Http(Answer::Accepted(accepted)) => format!("leads to {}", accepted.server),
            Said::Http(Answer::Wait(_)) | Said::Nle(nle::Answer::Wait(_)) => "says wait".to_owned(),
            Said::Http(Answer::Refused(_)) | Said::Nle(nle::Answer::Refused(_)) => {
                "refuses, as it may".to_owned()
            }
            Said::Nle(nle::Answer::Found(found)) => format!("leads to {}", found.server),
            Said::Nle(nle::Answer::Unknown(_)) => "knows nobody of that name, as it may".to_owned(),
        })
    }
}
