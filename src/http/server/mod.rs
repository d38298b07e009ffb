//! A small server of pages, for monitors: `/metrics`, `/stub_status`.
//!
//! GET and HEAD only, nothing is read but a request's head. A peer is bounded in every direction:
//! so many at a time, so long for a head, so large a head, so long in all.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::net::accept::{self, Conn, Host, Leave, Notice};
use crate::net::halt::Halt;
use crate::net::limits::Gate;
use crate::net::listen::Socket;
use crate::observe::tasks;

/// How much one peer, and all of them, may ask of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// More are closed as they come.
    pub connections: usize,
    /// For one request's head, and between two requests.
    pub head: Duration,
    /// For a connection in all; a response that is under way then may take `head` more.
    pub life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (head, life) = (Duration::from_secs(10), Duration::from_secs(600));
        Self { connections: 64, head, life }
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub content_type: &'static str,
    pub body: Bytes,
}

/// The page at a path, if there is one.
pub trait Pages: Send + Sync + 'static {
    fn page(&self, path: &str) -> Option<Page>;
}

impl<F> Pages for F
where
    F: Fn(&str) -> Option<Page> + Send + Sync + 'static,
{
    fn page(&self, path: &str) -> Option<Page> {
        self(path)
    }
}

/// The longest request head, in bytes: hyper's least.
const MAX_HEAD: usize = 8192;

/// Shows `pages` to whoever connects to `socket`, until `stop` is heard; connections that are open
/// then end with the response they are at. What goes wrong in accepting is told to `notice`.
pub async fn serve<P: Pages>(
    socket: Socket,
    pages: Arc<P>,
    limits: Limits,
    stop: Halt<Leave>,
    notice: impl FnMut(Notice),
) -> io::Result<()> {
    let desk = Desk { pages, limits, stop: stop.clone(), notice };
    accept::run(socket, Gate::new(limits.connections), stop, desk).await
}

struct Desk<P, N> {
    pages: Arc<P>,
    limits: Limits,
    stop: Halt<Leave>,
    notice: N,
}

impl<P: Pages, N: FnMut(Notice)> Host for Desk<P, N> {
    fn welcome(&mut self, conn: Conn) {
        let (pages, limits, stop) = (Arc::clone(&self.pages), self.limits, self.stop.clone());
        let Conn { stream, mut permit, .. } = conn;
        // Each ends soon by itself, so none has to give way.
        permit.settle();
        tasks::spawn("http server", async move {
            connection(stream, pages, limits, stop).await;
            drop(permit);
        });
    }

    fn notice(&mut self, notice: Notice) {
        (self.notice)(notice);
    }
}

/// Serves one connection to its end.
pub async fn connection<S, P, T>(stream: S, pages: Arc<P>, limits: Limits, mut stop: Halt<T>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Pages,
    T: Copy,
{
    let service = service_fn(move |request| {
        let answer = answer(&*pages, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
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

fn answer<P: Pages>(pages: &P, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    if !request.body().is_end_stream() {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match pages.page(request.uri().path()) {
        Some(page) => {
            let mut answer = Response::new(Full::new(page.body));
            let kind = HeaderValue::from_static(page.content_type);
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        }
        None => plain(StatusCode::NOT_FOUND),
    }
}

/// A response that says only its status. It ends the connection where a body may be on its way,
/// which must not be read as the next request.
fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{status}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if status != StatusCode::NOT_FOUND {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

#[cfg(test)]
mod tests;
