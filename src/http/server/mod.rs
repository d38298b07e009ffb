//! A small server of pages: for monitors (`/metrics`, `/stub_status`), for who administers us, and
//! for proxies that ask where a user goes.
//!
//! A peer is bounded in every direction: so many at a time, so long for a head and for a body, so
//! large a head and a body, so long in all. Who may come and what may be asked is for the [`Pages`]
//! to say. Names of headers go out as `Content-Type`, for readers that know no other case.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use crate::net::accept::{self, Conn, Host, Leave, Notice};
use crate::net::halt::Halt;
use crate::net::limits::Gate;
use crate::net::listen::Socket;
use crate::net::{Endpoint, Plain};
use crate::observe::tasks;
use crate::tls::clients::Bar;
use crate::tls::error::Error as TlsError;
use crate::tls::server::{self as tls, Config};

/// How much one peer, and all of them, may ask of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// More are closed as they come.
    pub connections: usize,
    /// For one request's head, and between two requests; for the TLS handshake before them.
    pub head: Duration,
    /// One request's head, in bytes; no less than [`LEAST_HEAD`].
    pub head_size: usize,
    /// For a connection in all; a response that is under way then may take `head` more.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (head, life) = (Duration::from_secs(10), Duration::from_secs(600));
        Self { connections: 64, head, head_size: LEAST_HEAD, life }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Network,
    /// On this machine, as the kernel says (`SO_PEERCRED`).
    Local {
        uid: u32,
        gid: u32,
    },
}

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// As it came, not decoded.
    pub path: String,
    /// What follows the `?`, not decoded; empty where there is none.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub peer: Peer,
    /// Where it comes from; a path has no more to say.
    pub from: Endpoint,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// Of the body; empty: it is not told.
    pub content_type: &'static str,
    /// The methods that would do, where this one does not.
    pub allow: Option<&'static str>,
    /// What else its head says.
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn empty(status: StatusCode) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { status, content_type: "", allow: None, headers, body }
    }

    /// One that says only its status.
    pub fn plain(status: StatusCode) -> Self {
        let body = format!("{status}\n").into();
        Self { content_type: "text/plain", body, ..Self::empty(status) }
    }
}

/// Answers requests.
pub trait Pages: Send + Sync + 'static {
    /// How long a request's body may be, in bytes. What is longer is refused unread.
    fn most_body(&self) -> usize {
        0
    }

    /// Whether who comes from there may ask at all. Who may not is hung up on, without a word.
    fn admits(&self, _from: &Endpoint) -> bool {
        true
    }

    fn answer(&self, request: Request) -> impl Future<Output = Answer> + Send;

    /// What is said to a request that could not be read.
    fn refuse(&self, status: StatusCode) -> Answer {
        Answer::plain(status)
    }

    /// A peer has not come through its TLS handshake, or its certificate is not good enough.
    fn insecure(&self, _from: &Endpoint, _why: Insecure) {}
}

/// Why a peer was not heard over TLS.
#[derive(Debug, thiserror::Error)]
pub enum Insecure {
    #[error("TLS handshake failed: {0}")]
    Handshake(#[from] TlsError),
    #[error("client sent no required SSL certificate")]
    NoCertificate,
    #[error("client SSL certificate verify error: {0}")]
    BadCertificate(String),
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub body: Bytes,
}

/// Pages that are only looked at (GET, HEAD), by a function from path to page.
#[derive(Clone, Copy, Debug)]
pub struct Shown<F>(pub F);

impl<F> Pages for Shown<F>
where
    F: Fn(&str) -> Option<Page> + Send + Sync + 'static,
{
    async fn answer(&self, request: Request) -> Answer {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let refused = Answer::plain(StatusCode::METHOD_NOT_ALLOWED);
            return Answer { allow: Some("GET, HEAD"), ..refused };
        }
        match (self.0)(&request.path) {
            Some(Page { content_type, body }) => {
                Answer { content_type, body, ..Answer::empty(StatusCode::OK) }
            }
            None => Answer::plain(StatusCode::NOT_FOUND),
        }
    }
}

/// hyper's least.
pub const LEAST_HEAD: usize = 8192;

/// Shows `pages` to whoever connects to `socket`, until `stop` is heard; connections that are open
/// then end with the response they are at. What goes wrong in accepting is told to `notice`.
pub async fn serve<P: Pages>(
    socket: Socket,
    pages: Arc<P>,
    limits: Limits,
    stop: Halt<Leave>,
    notice: impl FnMut(Notice),
) -> io::Result<()> {
    serve_at(socket, Gate::new(limits.connections), None, pages, limits, stop, notice).await
}

/// [`serve`], where several sockets share one `gate`, and over TLS where there is a configuration
/// for it.
pub async fn serve_at<P: Pages>(
    socket: Socket,
    gate: Gate,
    tls: Option<Arc<Config>>,
    pages: Arc<P>,
    limits: Limits,
    stop: Halt<Leave>,
    notice: impl FnMut(Notice),
) -> io::Result<()> {
    let desk = Desk { pages, tls, limits, stop: stop.clone(), notice };
    accept::run(socket, gate, stop, desk).await
}

struct Desk<P, N> {
    pages: Arc<P>,
    tls: Option<Arc<Config>>,
    limits: Limits,
    stop: Halt<Leave>,
    notice: N,
}

impl<P: Pages, N: FnMut(Notice)> Host for Desk<P, N> {
    fn welcome(&mut self, conn: Conn) {
        let (pages, limits, stop) = (Arc::clone(&self.pages), self.limits, self.stop.clone());
        let Conn { stream, mut permit, peer: from, local, .. } = conn;
        if !pages.admits(&from) {
            return;
        }
        // Nobody whom the kernel cannot name is taken for somebody.
        let Ok(peer) = peer(&stream) else { return };
        // Each ends soon by itself, so none has to give way.
        permit.settle();
        let tls = self.tls.clone();
        tasks::spawn("http server", async move {
            match tls {
                None => connection(stream, (peer, from), pages, limits, stop).await,
                Some(tls) => {
                    secured(stream, (tls, local.ip()), (peer, from), pages, limits, stop).await
                }
            }
            drop(permit);
        });
    }

    fn notice(&mut self, notice: Notice) {
        (self.notice)(notice);
    }
}

/// Serves one connection to its end, after its handshake.
async fn secured<P: Pages>(
    stream: Plain,
    (tls, local): (Arc<Config>, Option<IpAddr>),
    who: (Peer, Endpoint),
    pages: Arc<P>,
    limits: Limits,
    stop: Halt<Leave>,
) {
    let accepted = tls::accept(stream, local, |_| Some(tls), Instant::now() + limits.head).await;
    let accepted =
        accepted.map_err(Insecure::from).and_then(|accepted| match accepted.client.bar() {
            None => Ok(accepted.stream),
            Some(Bar::NoCertificate) => Err(Insecure::NoCertificate),
            Some(Bar::BadCertificate(why)) => Err(Insecure::BadCertificate(why)),
        });
    match accepted {
        Ok(stream) => connection(stream, who, pages, limits, stop).await,
        Err(why) => pages.insecure(&who.1, why),
    }
}

/// Serves one connection to its end.
pub async fn connection<S, P, T>(
    stream: S,
    (peer, from): (Peer, Endpoint),
    pages: Arc<P>,
    limits: Limits,
    mut stop: Halt<T>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Pages,
    T: Copy,
{
    let service = service_fn(move |request| {
        let (pages, who) = (Arc::clone(&pages), (peer, from.clone()));
        async move { Ok::<_, Infallible>(exchange(&*pages, request, who, limits).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_size)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    // How a peer ended is of no interest: it reads pages.
    tokio::select! {
        _ = &mut serving => return,
        _ = stop.heard() => {}
        () = sleep(limits.life) => {}
    }
    serving.as_mut().graceful_shutdown();
    tokio::time::timeout(limits.head, poll_fn(|cx| serving.as_mut().poll(cx))).await.ok();
}

fn peer(stream: &Plain) -> io::Result<Peer> {
    match stream {
        Plain::Tcp(_) => Ok(Peer::Network),
        Plain::Unix(stream) => {
            let cred = stream.peer_cred()?;
            Ok(Peer::Local { uid: cred.uid(), gid: cred.gid() })
        }
    }
}

async fn exchange<P: Pages>(
    pages: &P,
    request: hyper::Request<Incoming>,
    (peer, from): (Peer, Endpoint),
    limits: Limits,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    match read(body, pages.most_body(), limits.head).await {
        Ok(body) => {
            let asked = Request {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                headers: head.headers,
                body,
                peer,
                from,
            };
            written(pages.answer(asked).await)
        }
        // It ends the connection: what is left of the body must not be read as the next request.
        Err(status) => closing(written(pages.refuse(status))),
    }
}

/// A body of no more than `most` bytes, that takes no longer than `within`.
async fn read(body: Incoming, most: usize, within: Duration) -> Result<Bytes, StatusCode> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // Said before any of it is read, so that nobody sends in vain.
    if most == 0 || body.size_hint().lower() > most as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match tokio::time::timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn written(answer: Answer) -> Response<Full<Bytes>> {
    let Answer { status, content_type, allow, headers: own, body } = answer;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = own;
    let headers = response.headers_mut();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allow) = allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    match status {
        StatusCode::NOT_FOUND => response,
        // Who does not know what to ask need not stay.
        _ if status.is_client_error() => closing(response),
        _ => response,
    }
}

fn closing(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests;
