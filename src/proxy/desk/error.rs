//! What goes wrong with one address of an upstream, by who is to blame.

use crate::net::connect;
use crate::observe::metrics::Phase;
use crate::tls;

/// What went wrong with one address of an upstream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// As that, once it has greeted.
    #[error("sending to upstream failed ({0})")]
    Broken(std::io::Error),
    #[error("the upstream is this gatepost itself: a loop")]
    Loop,
}

impl Error {
    /// Whether another address may do better. Once the upstream has greeted, it may have heard the
    /// password, and what it does not like here it will not like elsewhere.
    pub fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_worth_another_try(),
            Self::Silent { greeted } | Self::Closed { greeted } => !greeted,
            Self::Tls(_) | Self::StartTls(_) | Self::Io(_) => true,
            Self::Broken(_) | Self::Misbehaved(_) | Self::Loop => false,
        }
    }

    pub fn phase(&self) -> Phase {
        match self {
            Self::Connect(_) | Self::Loop => Phase::Connect,
            Self::Tls(_) | Self::StartTls(_) => Phase::Tls,
            _ => Phase::Auth,
        }
    }

    pub fn doing(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Loop => "connecting to upstream",
            Self::Tls(_) | Self::StartTls(_) => "SSL handshaking with upstream",
            _ => "reading response from upstream",
        }
    }
}
