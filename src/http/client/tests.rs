use super::*;
use crate::http::Url;
use crate::http::stub::{Book, Reply, Stub, head};
use crate::tls::client::Connectors;
use crate::tls::directives::{Mode, UpstreamSettings};

const SOON: Duration = Duration::from_secs(20);

fn client(origin: &str) -> Client {
    let names = Book::of(&[("auth.example", &["127.0.0.9", "127.0.0.1"])]);
    let spelling = ["Auth-SSL", "Client-IP"].map(str::to_owned).to_vec();
    Client::new(Url::parse(origin).unwrap().origin, names, spelling)
}

fn question() -> Request<()> {
    Request::get("/auth").header("host", "auth.example").body(()).unwrap()
}

async fn ask(client: &Client) -> Result<Head, Error> {
    client.ask(question(), SOON).await
}

#[tokio::test]
async fn a_connection_serves_many_questions() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &[("Auth-Status", "OK")])).await;
    let client = client(&address.to_string());
    for _ in 0..5 {
        let answer = ask(&client).await.unwrap();
        assert_eq!(
            (answer.status, &answer.headers["auth-status"]),
            (StatusCode::OK, &"OK".parse().unwrap())
        );
        assert_eq!(answer.server, address.to_string());
    }
    assert_eq!((stub.connections(), stub.heads().len()), (1, 5));
}

#[tokio::test]
async fn a_body_is_read_past_and_the_connection_kept() {
    let (stub, address) = Stub::tcp(|_, _, _| {
        Reply::Keep("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned())
    })
    .await;
    let client = client(&address.to_string());
    ask(&client).await.unwrap();
    while client.idle.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    ask(&client).await.unwrap();
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn a_body_without_end_is_not_waited_for() {
    let (stub, address) = Stub::tcp(|_, _, _| {
        Reply::Keep("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned())
    })
    .await;
    let client = client(&address.to_string());
    for _ in 0..2 {
        ask(&client).await.unwrap();
    }
    // Its answer is not over, so nobody else is asked on it.
    assert_eq!(stub.connections(), 2);
}

#[tokio::test]
async fn http_1_0_is_understood() {
    let (stub, address) =
        Stub::tcp(|_, _, _| Reply::Close("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n\r\n".to_owned()))
            .await;
    let client = client(&address.to_string());
    for _ in 0..2 {
        assert_eq!(ask(&client).await.unwrap().headers["auth-status"], "OK");
    }
    assert_eq!(stub.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_died_is_replaced_once() {
    // The second question on a connection finds it closed, without a word.
    let (stub, address) = Stub::tcp(|connection, nth, _| match (connection, nth) {
        (1, 2) => Reply::Close(String::new()),
        _ => head(200, &[]),
    })
    .await;
    let client = client(&address.to_string());
    ask(&client).await.unwrap();
    ask(&client).await.unwrap();
    assert_eq!((stub.connections(), stub.heads().len()), (2, 3));
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_replaced_once() {
    let idle = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let (stub, address) = Stub::tcp(move |connection, nth, _| match (connection, nth) {
        (1, 2) => Reply::Close(idle.to_owned()),
        _ => head(200, &[]),
    })
    .await;
    let client = client(&address.to_string());
    for _ in 0..2 {
        assert_eq!(ask(&client).await.unwrap().status, StatusCode::OK);
    }
    assert_eq!((stub.connections(), stub.heads().len()), (2, 3));
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_an_answer() {
    let (stub, address) = Stub::tcp(|_, _, _| Reply::Close(String::new())).await;
    let error = ask(&client(&address.to_string())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Left(_)), "{error:?}");
    assert_eq!(error.server, address.to_string());
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn one_deadline_bounds_it_all() {
    let (_stub, address) = Stub::tcp(|_, _, _| Reply::Hang).await;
    let client = client(&address.to_string());
    let error = client.ask(question(), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Silent), "{error:?}");
    assert_eq!(error.server, address.to_string());
}

#[tokio::test]
async fn a_head_too_long_is_refused() {
    let (_stub, address) = Stub::tcp(|_, _, _| {
        Reply::Keep(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD * 4)))
    })
    .await;
    let error = ask(&client(&address.to_string())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::TooLarge), "{error:?}");
}

#[tokio::test]
async fn a_status_line_may_be_missing_or_odd_unless_told_otherwise() {
    for line in ["", "HTTP/\r\n", "HTTP/9 what ever\r\n", "HTTP/1.1 x\n"] {
        let text = format!("{line}Auth-Status: OK\r\n\r\nbody");
        let (stub, address) = Stub::tcp(move |_, _, _| Reply::Close(text.clone())).await;
        let lenient = client(&address.to_string());
        for _ in 0..2 {
            let head = ask(&lenient).await.unwrap();
            assert_eq!(
                (head.status.as_u16(), head.headers["auth-status"].as_bytes()),
                (200, &b"OK"[..]),
                "{line:?}"
            );
        }
        // It cannot be known where such a response ends.
        assert_eq!(stub.connections(), 2);
        let error = ask(&lenient.strict(true)).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Misbehaved(_)), "{line:?}: {error:?}");
    }
}

#[tokio::test]
async fn each_response_on_a_kept_connection_is_looked_at() {
    // A body that looks like a response, then a response that does not.
    let (stub, address) = Stub::tcp(|_, nth, _| match nth {
        1 => Reply::Keep("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nA: b\r\n\r\nx".to_owned()),
        _ => Reply::Keep("Connection: close\r\nAuth-Wait: 1\r\n\r\n".to_owned()),
    })
    .await;
    let client = client(&address.to_string());
    ask(&client).await.unwrap();
    while client.idle.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&client).await.unwrap().headers["auth-wait"], "1");
    assert_eq!((stub.connections(), stub.heads().len()), (1, 2));
}

#[tokio::test]
async fn a_strict_client_is_content_with_http() {
    let (stub, address) = Stub::tcp(|_, _, _| head(404, &[])).await;
    let client = client(&address.to_string()).strict(true);
    for _ in 0..3 {
        assert_eq!(ask(&client).await.unwrap().status, StatusCode::NOT_FOUND);
    }
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    for text in ["http/1.0 200\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "\0\0\0\0"] {
        let (_stub, address) = Stub::tcp(move |_, _, _| Reply::Close(text.to_owned())).await;
        let error = ask(&client(&address.to_string())).await.unwrap_err();
        assert!(matches!(error.cause, Cause::BadHeader(_)), "{text:?}: {error:?}");
    }
}

#[tokio::test]
async fn more_headers_than_are_taken_are_too_many() {
    let headers = |count| vec![("X-Any", "1"); count];
    for (count, is_taken) in [(MAX_HEADERS - 1, true), (MAX_HEADERS, false)] {
        let (_stub, address) = Stub::tcp(move |_, _, _| head(200, &headers(count))).await;
        let answer = ask(&client(&address.to_string())).await;
        assert_eq!(answer.is_ok(), is_taken, "{answer:?}");
        if let Err(error) = answer {
            assert!(matches!(error.cause, Cause::TooLarge), "{error:?}");
        }
    }
}

/// Over TLS to `address`, which is to prove that it is `host` to who trusts `root`.
fn secured(address: SocketAddr, host: &str, root: &str) -> Client {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    std::fs::write(&file, root).unwrap();
    let settings =
        UpstreamSettings { mode: Mode::On, trusted: Some(file), ..UpstreamSettings::default() };
    let connector = Connectors::default().connector(&settings).unwrap();
    client(&address.to_string()).secured(connector, host)
}

#[tokio::test]
async fn an_origin_proves_its_name() {
    let (stub, address, root) =
        Stub::tls(&["auth.example", "127.0.0.1"], |_, _, _| head(200, &[])).await;
    let (_, _, other) = Stub::tls(&["auth.example"], |_, _, _| head(200, &[])).await;
    for host in ["auth.example", "127.0.0.1"] {
        let client = secured(address, host, &root);
        for _ in 0..3 {
            assert_eq!(ask(&client).await.unwrap().server, address.to_string());
        }
    }
    assert_eq!((stub.connections(), stub.heads().len()), (2, 6));
    for (host, root, want) in
        [("web.example", &root, "is not valid for"), ("auth.example", &other, "signed by nobody")]
    {
        let error = ask(&secured(address, host, root)).await.unwrap_err();
        let Cause::Insecure(cause) = &error.cause else { panic!("{host}: {error:?}") };
        assert!(cause.to_string().contains(want), "{host}: {cause}");
    }
    // No question has gone out to whom it was not meant for.
    assert_eq!(stub.heads().len(), 6);
}

#[tokio::test]
async fn tls_has_the_deadline_of_the_question() {
    let (_stub, address) = Stub::tcp(|_, _, _| Reply::Hang).await;
    let (_, _, root) = Stub::tls(&["auth.example"], |_, _, _| Reply::Hang).await;
    let client = secured(address, "auth.example", &root);
    let error = client.ask(question(), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Silent), "{error:?}");
}

#[tokio::test]
async fn an_address_that_does_not_listen_leaves_the_next_to_be_tried() {
    // Linux answers on all of 127.0.0.0/8, and nothing listens on this port of 127.0.0.9.
    let (_stub, address) = Stub::tcp(|_, _, _| head(200, &[])).await;
    let client = client(&format!("auth.example:{}", address.port()));
    assert_eq!(ask(&client).await.unwrap().server, address.to_string());
}

#[tokio::test]
async fn names_that_lead_nowhere_are_told_apart_from_hosts_that_are_down() {
    let error = ask(&client("nowhere.example")).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Unknown(_)), "{error:?}");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = ask(&client(&address.to_string())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.sock");
    let stub = Stub::unix(&path, |_, _, _| head(200, &[])).await;
    let client = client(&format!("unix:{}:/auth", path.display()));
    for _ in 0..2 {
        assert_eq!(ask(&client).await.unwrap().server, format!("unix:{}", path.display()));
    }
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn names_go_out_as_they_are_spelled_and_in_order() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &[])).await;
    let client = client(&address.to_string());
    for _ in 0..2 {
        let question = Request::get("/a?b")
            .header("host", "h")
            .header("client-ip", "::1")
            .header("auth-ssl", "on")
            .header("x-other", "1")
            .header("accept", "*/*")
            .body(())
            .unwrap();
        client.ask(question, SOON).await.unwrap();
    }
    let want = "GET /a?b HTTP/1.1\r\nHost: h\r\nClient-IP: ::1\r\nAuth-SSL: on\r\nX-Other: 1\r\nAccept: */*\r\n\r\n";
    assert_eq!(stub.heads(), [want, want]);
}

/// Workers share a client, and each has a runtime of its own: a connection works from any of them as
/// long as the one that made it lives, and is replaced once that is gone.
#[test]
fn a_connection_of_another_worker_serves_and_its_end_is_no_failure() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime();
    let (stub, address) = server.block_on(Stub::tcp(|_, _, _| head(200, &[])));
    let client = Arc::new(client(&address.to_string()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || server.block_on(stopped).ok());
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let own = Arc::clone(&client);
    let first = std::thread::spawn(move || {
        runtime().block_on(async {
            ask(&own).await.unwrap();
            ready.send(()).unwrap();
            gone.await.ok();
        });
    });
    is_ready.recv().unwrap();
    let second = runtime();
    second.block_on(async { ask(&client).await.unwrap() });
    assert_eq!((stub.connections(), stub.heads().len()), (1, 2));
    drop(go);
    first.join().unwrap();
    second.block_on(async { ask(&client).await.unwrap() });
    assert_eq!((stub.connections(), stub.heads().len()), (2, 3));
    drop(stop);
    serving.join().unwrap();
}

/// A question that nobody waits for any more takes its connection with it.
#[tokio::test]
async fn a_question_that_is_dropped_closes_its_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&listener.local_addr().unwrap().to_string());
    let asked = timeout(Duration::from_millis(50), ask(&client));
    let (asked, accepted) = tokio::join!(asked, listener.accept());
    assert!(asked.is_err());
    let mut text = Vec::new();
    let (mut stream, _) = accepted.unwrap();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut text);
    timeout(SOON, read).await.unwrap().ok();
    assert!(text.starts_with(b"GET /auth"));
}
