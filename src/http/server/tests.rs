use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::net::halt::{Trigger, halt};
use crate::net::listen::{Listen, open as listen};

fn metrics() -> Arc<impl Pages> {
    let page = || Page { content_type: "text/plain", body: Bytes::from_static(b"up 1\n") };
    Arc::new(Shown(move |path: &str| (path == "/metrics").then(page)))
}

fn nobody() -> Endpoint {
    Endpoint::Unix(std::path::PathBuf::new())
}

/// One connection on a pipe, and what stops it.
fn open(limits: Limits) -> (DuplexStream, Trigger) {
    let (near, far) = tokio::io::duplex(65536);
    let (stop, until) = halt();
    tasks::spawn("server", connection(far, (Peer::Network, nobody()), metrics(), limits, until));
    (near, stop)
}

async fn exchange(request: &str) -> String {
    let (mut near, _stop) = open(Limits::default());
    near.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    near.read_to_end(&mut heard).await.unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_request_gets_its_status() {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(LEAST_HEAD));
    for (request, status, end) in [
        ("GET /metrics HTTP/1.0\r\n\r\n", 200, "\r\n\r\nup 1\n"),
        ("GET /metrics?x=y HTTP/1.0\r\n\r\n", 200, "\r\n\r\nup 1\n"),
        ("HEAD /metrics HTTP/1.0\r\n\r\n", 200, "\r\n\r\n"),
        ("GET /other HTTP/1.0\r\n\r\n", 404, "\r\n\r\n404 Not Found\n"),
        ("DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Method Not Allowed\n"),
        ("GET /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nGET", 413, "Too Large\n"),
        (&long, 431, ""),
        ("nonsense\r\n\r\n", 400, ""),
    ] {
        let heard = exchange(request).await;
        let short = &request[..request.len().min(40)];
        assert_eq!(heard.split(' ').nth(1), Some(status.to_string().as_str()), "{short:?}");
        assert!(heard.ends_with(end), "{short:?}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_finish_its_head_is_let_go() {
    for said in ["", "GET /metr", "GET /metrics HTTP/1.1\r\nX: 1\r\n"] {
        let heard = exchange(said).await;
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408"), "{said:?}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_between_requests_when_we_stop() {
    let (mut near, stop) = open(Limits::default());
    near.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut heard = vec![0; 4096];
    assert!(near.read(&mut heard).await.unwrap() > 0);
    let before = Instant::now();
    stop.fire(());
    assert_eq!(near.read(&mut heard).await.unwrap(), 0);
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn a_connection_does_not_live_for_ever() {
    let limits = Limits { life: Duration::from_secs(30), ..Limits::default() };
    let (mut near, _stop) = open(limits);
    let (mut heard, before) = (vec![0; 4096], Instant::now());
    for asked in 0.. {
        if near.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.is_err() {
            break;
        }
        if near.read(&mut heard).await.unwrap() == 0 {
            break;
        }
        assert!(asked < 100);
        tokio::time::advance(Duration::from_secs(4)).await;
    }
    assert!(before.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn only_so_many_are_served_at_a_time() {
    let at = Listen::new(Endpoint::Tcp("127.0.0.1:0".parse().unwrap()));
    let socket = listen(&at, 1).unwrap().remove(0);
    let address = socket.endpoint().tcp().unwrap();
    let (stop, until) = halt();
    let limits = Limits { connections: 1, ..Limits::default() };
    let serving = tasks::spawn("server", async move {
        let mut notices = Vec::new();
        let note = |notice: Notice| notices.push(notice.to_string());
        serve(socket, metrics(), limits, until, note).await.unwrap();
        notices
    });
    let mut heard = vec![0; 4096];
    let mut first = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        first.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(first.read(&mut heard).await.unwrap() > 0);
    }
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut heard).await.unwrap(), 0);

    // An idle connection ends with the server.
    stop.fire(Leave::Drain);
    assert_eq!(first.read(&mut heard).await.unwrap(), 0);
    assert_eq!(serving.await.unwrap(), ["1 worker_connections are not enough"]);
}

/// Says what it was asked, with bodies of eight bytes at the most.
struct Echo;

impl Pages for Echo {
    fn most_body(&self) -> usize {
        8
    }

    async fn answer(&self, request: Request) -> Answer {
        let Request { method, path, query, headers, body, peer, .. } = request;
        let said = headers.get("x-said").and_then(|said| said.to_str().ok()).unwrap_or("-");
        let words = format!("{method} {path} {query} {said} {body:?} {peer:?}\n");
        Answer {
            status: StatusCode::OK,
            content_type: "text/plain",
            allow: None,
            headers: HeaderMap::new(),
            body: words.into(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_read_whole_and_within_bounds() {
    let chunked = "POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked";
    for (request, status, end) in [
        (
            "PUT /a%20b?c=d&e HTTP/1.0\r\nX-Said: hello\r\nContent-Length: 3\r\n\r\nxyz".to_owned(),
            200,
            "PUT /a%20b c=d&e hello b\"xyz\" Network\n",
        ),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 200, "GET /  - b\"\" Network\n"),
        (format!("{chunked}\r\n\r\n8\r\n12345678\r\n0\r\n\r\n"), 200, "b\"12345678\" Network\n"),
        (format!("{chunked}\r\n\r\n9\r\n123456789\r\n0\r\n\r\n"), 413, "Payload Too Large\n"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".to_owned(), 413, "Too Large\n"),
        (format!("{chunked}\r\n\r\nnonsense\r\n"), 400, "Bad Request\n"),
        // It never comes.
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab".to_owned(), 408, "Timeout\n"),
    ] {
        let (mut near, far) = tokio::io::duplex(65536);
        let (_stop, until) = halt::<()>();
        tasks::spawn(
            "server",
            connection(far, (Peer::Network, nobody()), Arc::new(Echo), Limits::default(), until),
        );
        near.write_all(request.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await.unwrap();
        let heard = String::from_utf8(heard).unwrap();
        assert_eq!(
            heard.split(' ').nth(1),
            Some(status.to_string().as_str()),
            "{request:?} {heard}"
        );
        assert!(heard.ends_with(end), "{request:?}: {heard:?}");
    }
}
