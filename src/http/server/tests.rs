use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

use super::*;

fn metrics(path: &str) -> Option<Page> {
    let page = || Page { content_type: "text/plain", body: Bytes::from_static(b"up 1\n") };
    (path == "/metrics").then(page)
}

/// One connection on a pipe, and what stops it.
fn open(limits: Limits) -> (DuplexStream, watch::Sender<bool>) {
    let (near, far) = tokio::io::duplex(65536);
    let (stop, until) = watch::channel(false);
    tasks::spawn("server", connection(far, Arc::new(metrics), limits, until));
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
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
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
    stop.send(true).unwrap();
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, until) = watch::channel(false);
    let limits = Limits { connections: 1, ..Limits::default() };
    let (done, ended) = tokio::sync::oneshot::channel();
    tasks::spawn("server", async move {
        serve(listener, Arc::new(metrics), limits, until).await;
        done.send(()).unwrap();
    });
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut heard = vec![0; 4096];
    assert!(first.read(&mut heard).await.unwrap() > 0);

    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.read(&mut heard)).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert!(second.read(&mut heard).await.unwrap() > 0);
    stop.send(true).unwrap();
    ended.await.unwrap();
}
