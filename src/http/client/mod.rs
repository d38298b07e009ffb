//! Short questions to one origin, over connections that are kept.

use std::collections::VecDeque;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::Extensions;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::casing;
use super::names::Names;
use super::opening::{Next, Opening};
use crate::net::{Endpoint, Place, connect, dns};
use crate::observe::tasks;
use crate::tls;
use crate::tls::client::Connector;

/// The longest response head that is read, in bytes. nginx takes 1,024.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most headers that it may have.
pub const MAX_HEADERS: usize = 100;

/// The longest body that is read to its end to keep a connection. A longer one costs it.
const MAX_BODY: usize = 64 * 1024;

/// How long such a body may take.
const DRAIN: Duration = Duration::from_secs(5);

/// How many unused connections are kept: enough for a thousand questions a second that take a
/// quarter of it.
const MAX_IDLE: usize = 256;

/// How long they are kept: less than what common servers do (Node.js and Apache: 5 s).
const IDLE: Duration = Duration::from_secs(4);

/// Asks one origin, over connections that are kept. Shared by all who ask it.
#[derive(Debug)]
pub struct Client {
    origin: Place,
    names: Names,
    tls: Option<Secure>,
    strict: bool,
    /// The names of headers as they are to be written.
    spelling: Vec<String>,
    spelled: OnceCell<Extensions>,
    idle: Arc<Idle>,
    #[cfg(test)]
    wire: Option<super::stub::Wire>,
}

/// TLS with the origin, and the name it is to prove.
#[derive(Debug)]
struct Secure {
    connector: Arc<Connector>,
    host: String,
}

/// What came back: the body is not worth waiting for.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Who answered, as `A:P`.
    pub server: String,
}

/// Why nothing came back, and from whom: the address where one was reached for.
#[derive(Debug, thiserror::Error)]
#[error("{server}: {cause}")]
pub struct Error {
    pub server: String,
    #[source]
    pub cause: Cause,
}

/// The parties at fault.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error(transparent)]
    Unknown(#[from] dns::Error),
    #[error("connect() failed")]
    Unreachable(#[source] io::Error),
    /// No TLS with it, or not with the one that was meant.
    #[error(transparent)]
    Insecure(tls::error::Error),
    /// The deadline passed, whatever was being waited for.
    #[error("timed out")]
    Silent,
    /// It hung up before its answer was whole.
    #[error("closed the connection")]
    Left(#[source] hyper::Error),
    #[error("sent a response head longer than {MAX_HEAD} bytes or {MAX_HEADERS} headers")]
    TooLarge,
    /// It did not begin as a response does.
    #[error("sent invalid response")]
    Misbehaved(#[source] hyper::Error),
    #[error("sent invalid header in response")]
    BadHeader(#[source] hyper::Error),
}

type Question = Request<Empty<Bytes>>;

impl Client {
    /// `spelling` holds the header names whose case matters to the origin.
    pub fn new(origin: Place, names: Names, spelling: Vec<String>) -> Self {
        let (spelled, idle) = (OnceCell::new(), Arc::default());
        Self {
            origin,
            names,
            tls: None,
            strict: false,
            spelling,
            spelled,
            idle,
            #[cfg(test)]
            wire: None,
        }
    }

    /// Asks a stub in memory instead, which knows no time but tokio's.
    #[cfg(test)]
    #[must_use]
    pub fn wired(self, wire: super::stub::Wire) -> Self {
        Self { wire: Some(wire), ..self }
    }

    /// Asks over TLS, which the origin must do as `host`.
    #[must_use]
    pub fn secured(self, connector: Arc<Connector>, host: impl Into<String>) -> Self {
        Self { tls: Some(Secure { connector, host: host.into() }), ..self }
    }

    /// Whom it asks.
    pub fn origin(&self) -> &Place {
        &self.origin
    }

    /// Its TLS with the origin, and the name that is to be proved.
    pub fn security(&self) -> Option<(&Arc<Connector>, &str)> {
        self.tls.as_ref().map(|secure| (&secure.connector, &*secure.host))
    }

    /// Whether a response must have a proper status line.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Sends `question` and waits for the head of its answer, `within` so long in all.
    pub async fn ask(&self, question: Request<()>, within: Duration) -> Result<Head, Error> {
        let mut server = self.origin.to_string();
        match timeout(within, self.exchange(question, within, &mut server)).await {
            Ok(Ok((status, headers))) => Ok(Head { status, headers, server }),
            Ok(Err(cause)) => Err(Error { server, cause }),
            Err(_) => Err(Error { server, cause: Cause::Silent }),
        }
    }

    async fn exchange(
        &self,
        question: Request<()>,
        within: Duration,
        server: &mut String,
    ) -> Result<(StatusCode, HeaderMap), Cause> {
        let spelled = self.spelled.get_or_init(|| casing::learn(&self.spelling)).await;
        let mut question = question.map(|()| Empty::new());
        question.extensions_mut().extend(spelled.clone());

        if let Some(kept) = self.kept().await {
            server.clone_from(&kept.server);
            match self.send(kept, question.clone()).await {
                // It may have died, or the server said that it was idle for too long, as we
                // wrote: a question may be asked twice, so a fresh connection is worth one more
                // try (RFC 9110 §15.5.9).
                Err(Cause::Left(_)) | Ok((StatusCode::REQUEST_TIMEOUT, _)) => {}
                done => return done,
            }
        }
        let fresh = self.connect(within, server).await?;
        self.send(fresh, question).await
    }

    async fn send(
        &self,
        mut kept: Kept,
        question: Question,
    ) -> Result<(StatusCode, HeaderMap), Cause> {
        kept.next.is_response();
        let answer = kept.sender.send_request(question).await.map_err(Cause::of)?;
        let (head, body) = answer.into_parts();
        if body.is_end_stream() {
            self.idle.put(kept);
        } else {
            let idle = Arc::clone(&self.idle);
            tasks::spawn("http body", async move {
                // A connection whose body does not end is dropped, and with it closed.
                if let Ok(true) = timeout(DRAIN, drain(body)).await {
                    idle.put(kept);
                }
            });
        }
        Ok((head.status, head.headers))
    }

    /// A kept connection that still stands.
    async fn kept(&self) -> Option<Kept> {
        loop {
            let mut kept = self.idle.take()?;
            if kept.sender.ready().await.is_ok() {
                return Some(kept);
            }
        }
    }

    /// Opens a connection, to each address in turn until one takes it.
    async fn connect(&self, within: Duration, server: &mut String) -> Result<Kept, Cause> {
        #[cfg(test)]
        if let Some(wire) = &self.wire {
            return shake_hands(wire.connect(), self.strict, server.clone()).await;
        }
        let endpoints = match &self.origin {
            Place::Fixed(endpoint) => vec![endpoint.clone()],
            Place::Named { host, port } => {
                let found = self.names.resolve(host).await?;
                found.iter().map(|ip| SocketAddr::new(*ip, *port).into()).collect()
            }
        };
        let mut failed = Cause::Unknown(dns::Error::NotFound(self.origin.to_string()));
        // One address that swallows our packets must not eat the time of the others.
        let share = within / u32::try_from(endpoints.len().max(1)).unwrap_or(u32::MAX);
        for endpoint in endpoints {
            *server = endpoint.to_string();
            match self.reach(&endpoint, Instant::now() + share).await {
                Ok(kept) => return Ok(kept),
                Err(cause) => failed = cause,
            }
        }
        Err(failed)
    }

    async fn reach(&self, endpoint: &Endpoint, deadline: Instant) -> Result<Kept, Cause> {
        let plain = connect::open(endpoint, connect::Options::default(), deadline).await?;
        let server = endpoint.to_string();
        match &self.tls {
            None => shake_hands(plain, self.strict, server).await,
            Some(Secure { connector, host }) => {
                let connected = connector.connect(plain, host, deadline).await?;
                shake_hands(connected.stream, self.strict, server).await
            }
        }
    }
}

async fn shake_hands<IO>(stream: IO, strict: bool, server: String) -> Result<Kept, Cause>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let next = Next::default();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .preserve_header_case(true)
        .title_case_headers(true)
        .handshake(TokioIo::new(Opening::new(stream, strict, next.clone())))
        .await
        .map_err(Cause::of)?;
    tasks::spawn("http connection", async move {
        // What goes wrong here is told to whoever asked; on an idle connection it is nobody's.
        connection.await.ok();
    });
    Ok(Kept { sender, next, server, since: Instant::now() })
}

/// Reads a body to its end; `false` if it is too long or breaks off.
async fn drain(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MAX_BODY {
            return false;
        }
    }
    true
}

impl Cause {
    fn of(error: hyper::Error) -> Self {
        let is_garbled = || {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
        };
        if error.is_parse_too_large() {
            Self::TooLarge
        } else if error.is_parse() {
            // Its status line is in order, or was put there.
            Self::BadHeader(error)
        } else if is_garbled() {
            Self::Misbehaved(error)
        } else {
            Self::Left(error)
        }
    }
}

impl From<tls::error::Error> for Cause {
    fn from(error: tls::error::Error) -> Self {
        match error {
            tls::error::Error::Silent => Self::Silent,
            other => Self::Insecure(other),
        }
    }
}

impl From<connect::Error> for Cause {
    fn from(error: connect::Error) -> Self {
        use connect::Error as E;
        match error {
            E::Silent { .. } => Self::Silent,
            E::Unreachable { cause, .. } if cause.kind() == io::ErrorKind::TimedOut => Self::Silent,
            E::Unreachable { cause, .. } | E::Ours { cause, .. } => Self::Unreachable(cause),
        }
    }
}

/// A connection, and whom it leads to.
#[derive(Debug)]
struct Kept {
    sender: SendRequest<Empty<Bytes>>,
    next: Next,
    server: String,
    since: Instant,
}

/// Connections that wait for the next question; the last used goes first, so the others can age.
#[derive(Debug, Default)]
struct Idle(Mutex<VecDeque<Kept>>);

impl Idle {
    fn put(&self, mut kept: Kept) {
        kept.since = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_IDLE {
            all.pop_front();
        }
        all.push_back(kept);
    }

    fn take(&self) -> Option<Kept> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while all.front().is_some_and(|kept| kept.since.elapsed() >= IDLE) {
            all.pop_front();
        }
        all.pop_back()
    }
}

#[cfg(test)]
mod tests;
