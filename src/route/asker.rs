//! Who wants to be let in, as the session knows it.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};

use crate::net::Endpoint;

/// Who asks for a route, and how it came to us.
#[derive(Clone, Debug)]
pub struct Asker {
    /// `imap`, `pop3`, `smtp`, `lmtp`, `sieve`.
    pub protocol: &'static str,
    /// The client as we believe it to be: behind a trusted balancer, who that says it is.
    pub client: Endpoint,
    /// Its name, or `[UNAVAILABLE]`, or `[TEMPUNAVAIL]`; absent where nobody has looked.
    pub host: Option<Arc<str>>,
    /// The address of ours that it came to.
    pub local: Endpoint,
    /// Whether the upstream is spoken to in TLS from the first byte: Zimbra's names of protocols say
    /// so (`imapssl`).
    pub secure_upstream: bool,
    /// The attempts of this session, this one included.
    pub attempt: u32,
    pub tls: Option<Tls>,
    /// The ends that a PROXY header named.
    pub proxied: Option<Proxied>,
    /// What `auth_http_header` adds: [`Router::headers`](super::Router::headers).
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// How the client's connection is secured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`
    pub protocol: String,
    /// `TLS_AES_256_GCM_SHA384`
    pub cipher: String,
    /// Where client certificates are asked for.
    pub certificate: Option<Certificate>,
}

/// What became of the question for the client's certificate. Empty texts are not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// `SUCCESS`, `NONE`, `FAILED:reason`
    pub verify: String,
    pub subject: String,
    pub issuer: String,
    /// Hexadecimal.
    pub serial: String,
    /// SHA-1, hexadecimal.
    pub fingerprint: String,
    /// PEM. It is passed under `auth_http_pass_client_cert on` alone.
    pub pem: String,
}

/// The two ends of a connection as a PROXY header gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}
