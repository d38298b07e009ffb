//! Header names as they are written, for peers that compare them letter by letter.
//!
//! HTTP does not tell `Auth-SSL` from `auth-ssl`, but handlers written in an afternoon do. hyper
//! keeps a name in lower case and can carry the case it was *received* in along with a request
//! (`preserve_header_case`, meant for proxies); it has no other door to that. So the names are
//! received once, from ourselves through a pipe in memory, and what hyper noted about them goes
//! with each request from then on.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::http::Extensions;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

/// What hyper has to carry with a request so that `names` go out as they are here.
///
/// A name that is no header name spoils them all: the caller has checked them.
pub async fn learn(names: &[String]) -> Extensions {
    let mut request = b"GET / HTTP/1.1\r\n".to_vec();
    for name in names {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": 1\r\n");
    }
    request.extend_from_slice(b"\r\n");

    let heard = Arc::new(Mutex::new(Extensions::new()));
    let note = Arc::clone(&heard);
    let service = service_fn(move |request: Request<Incoming>| {
        *note.lock().unwrap_or_else(PoisonError::into_inner) = request.extensions().clone();
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let (mut near, far) = tokio::io::duplex(request.len() + 1024);
    let said = near.write_all(&request).await;
    debug_assert!(said.is_ok(), "the pipe has room for all of it");
    let served = hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(names.len() + 1)
        .keep_alive(false)
        .serve_connection(TokioIo::new(far), service)
        .await;
    debug_assert!(served.is_ok(), "{served:?}");
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.clone()
}
