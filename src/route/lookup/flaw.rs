//! What can be wrong with a handler, or with what it says.

use crate::http::{self, MAX_HEAD, MAX_HEADERS};
use crate::net::{dns, errno};

/// What was wrong with a handler or its answer. After `auth http server A:P`, it reads as nginx's
/// log does.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Flaw {
    #[error("is unknown: {0}")]
    Unknown(dns::Error),
    #[error("connect() failed ({0})")]
    Unreachable(String),
    #[error("failed in the SSL handshake: {0}")]
    Insecure(String),
    #[error("timed out (110: Connection timed out)")]
    Silent,
    #[error("closed the connection before its response was whole")]
    Left,
    #[error("sent response head longer than {MAX_HEAD} bytes or {MAX_HEADERS} headers")]
    TooLarge,
    #[error("sent invalid response")]
    Invalid,
    #[error("sent invalid header in response")]
    BadHeader,
    #[error("sent status {0} without Auth-Status")]
    Failed(u16),
    /// Under `auth_http_strict on`.
    #[error("sent status {0}")]
    BadStatus(u16),
    /// In nginx's words. It has said something of the login, but not that.
    #[error("did not send server or port")]
    NoServer,
    /// A page of something else, most likely.
    #[error("did not send server or port")]
    NoLookup,
    #[error("sent invalid server address:\"{0}\"")]
    BadServer(String),
    #[error("sent invalid server port:\"{0}\"")]
    BadPort(String),
    /// One of our own headers, and what it said.
    #[error("sent invalid {0}:\"{1}\"")]
    BadOption(&'static str, String),
    #[error("sent WAIT {0} times")]
    WaitsForEver(u32),
    /// It vouches for a password that it was not shown.
    #[error("sent {0} for a login whose password it has not seen")]
    Vouches(&'static str),
    /// It cannot tell now, in its own words.
    #[error("is in trouble: \"{0}\"")]
    Temporary(String),
    /// Our own fault: the log has the place.
    #[error("was asked in vain: the question died on the way")]
    Lost,
    #[error("has no handler that is not disabled")]
    Disabled,
}

impl Flaw {
    /// Whether the handler is at fault whoever logs in, and not in this one answer.
    pub fn is_general(&self) -> bool {
        match self {
            Self::Unknown(_)
            | Self::Unreachable(_)
            | Self::Insecure(_)
            | Self::Silent
            | Self::Left
            | Self::TooLarge
            | Self::Invalid
            | Self::BadHeader
            | Self::Failed(_)
            | Self::BadStatus(_)
            | Self::NoLookup
            | Self::Temporary(_) => true,
            Self::NoServer
            | Self::BadServer(_)
            | Self::BadPort(_)
            | Self::BadOption(..)
            | Self::WaitsForEver(_)
            | Self::Vouches(_)
            | Self::Lost
            | Self::Disabled => false,
        }
    }
}

impl From<http::Cause> for Flaw {
    fn from(cause: http::Cause) -> Self {
        match cause {
            http::Cause::Unknown(error) => Self::Unknown(error),
            http::Cause::Unreachable(error) => Self::Unreachable(errno(&error)),
            http::Cause::Insecure(error) => Self::Insecure(own_words(&error.to_string())),
            http::Cause::Silent => Self::Silent,
            http::Cause::Left(_) => Self::Left,
            http::Cause::TooLarge => Self::TooLarge,
            http::Cause::Misbehaved(_) => Self::Invalid,
            http::Cause::BadHeader(_) => Self::BadHeader,
        }
    }
}

/// `tls` speaks of upstreams and names the directives that are for them; ours are called alike.
pub fn own_words(text: &str) -> String {
    text.replace("proxy_ssl_", "auth_http_ssl_").replace("the upstream", "the server")
}
