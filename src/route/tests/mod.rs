mod handlers;
mod lookups;
mod postmaster;
mod proofs;
mod sources;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::config::Block;
use crate::http::stub::{Book, Reply, Stub, head};
use crate::login::Mechanism;
use crate::memcached::Cache;
use crate::net::Endpoint;
use crate::observe::Metrics;

fn router(conf: &str) -> Router {
    let block = Block::parse(conf);
    let settings = Settings::read(&block, &Settings::default());
    assert_eq!(block.shared().faults.sorted(&[]), Ok(()), "{conf}");
    let names: Names = Book::of(&[
        ("store.example", &["192.0.2.7", "192.0.2.8"]),
        ("auth.example", &["127.0.0.1"]),
    ]);
    Router::new(&settings, &names, &mut Connectors::default(), &fleet()).unwrap()
}

fn fleet() -> Fleet {
    Fleet::new(Cache::off(), Metrics::new())
}

fn attempt(user: &str, authzid: Option<&str>) -> Attempt {
    Attempt {
        authzid: authzid.map(|name| name.as_bytes().into()),
        ..Attempt::new(Mechanism::Plain, user.as_bytes(), Secret::new("tanstaaf"))
    }
}

fn asker() -> Asker {
    Asker {
        protocol: "imap",
        client: Endpoint::Tcp("192.0.2.1:4711".parse().unwrap()),
        host: None,
        local: Endpoint::Tcp("192.0.2.2:143".parse().unwrap()),
        secure_upstream: false,
        attempt: 2,
        tls: None,
        proxied: None,
        headers: Vec::new(),
    }
}

/// The route of `mrose`, in short.
async fn find(router: &Router) -> String {
    found(router.find(&attempt("mrose", None), &asker(), &nobody).await).await
}

/// The same, and what was told on the way.
async fn find_and_hear(router: &Router) -> (String, Vec<String>) {
    let heard = Mutex::new(Vec::new());
    let tell = |error: Error| heard.lock().unwrap().push(error.to_string());
    let found = found(router.find(&attempt("mrose", None), &asker(), &tell).await).await;
    (found, heard.into_inner().unwrap())
}

/// Whom nothing is told.
fn nobody(_: Error) {}

async fn found(outcome: Result<Route, NotFound>) -> String {
    let mut route = match outcome {
        Ok(route) => route,
        Err(NotFound { refusal, cause, .. }) => {
            let Refusal { kind, text, wait, close, .. } = refusal;
            let cause = cause.map(|cause| format!(" ({}: {cause})", cause.level().name()));
            return format!("{kind:?} {text:?} {wait:?} {close}{}", cause.unwrap_or_default());
        }
    };
    let mut text = Vec::new();
    for (what, name) in [("user", &route.user), ("authzid", &route.authzid)] {
        text.extend(name.as_ref().map(|name| format!("{what} {}", name.escape_ascii())));
    }
    text.extend(route.security.map(|mode| format!("tls {mode:?}")));
    text.extend(route.master.then(|| "master".to_owned()));
    text.extend(route.verifier().map(|verifier| format!("verifier {verifier}")));
    text.extend(route.secret.map(|secret| format!("pass {}", secret.reveal().escape_ascii())));
    text.extend(route.group.map(|group| format!("group {}", group.name)));
    while let Some(target) = route.targets.next(143).await {
        text.push(target.unwrap().endpoint.to_string());
    }
    text.join(" ")
}

/// What the access log is to say.
fn line() -> Line {
    let ip = |text: &str| text.parse::<std::net::SocketAddr>().unwrap().into();
    let mut line = Line::new("imap", 9, ip("192.0.2.1:4711"), ip("192.0.2.2:143"));
    line.login = Some(b"us er%x".as_slice().into());
    line
}

const OK: [(&str, &str); 3] =
    [("Auth-Status", "OK"), ("Auth-Server", "192.0.2.9"), ("Auth-Port", "1143")];

/// A handler's address that nobody listens at.
async fn nowhere() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_handler_is_asked_letter_by_letter_as_nginx_asks() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let router = router(&format!(
        "auth_http http://{address}/auth; auth_http_header X-Auth-KEY 'secret string';
         auth_http_header X-Other '$protocol, $login';"
    ));
    let asker = Asker {
        tls: Some(Tls {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            certificate: None,
        }),
        headers: router.headers(&line()),
        ..asker()
    };
    for _ in 0..2 {
        let route = router.find(&attempt("us er%x", None), &asker, &nobody).await;
        assert_eq!(found(route).await, "192.0.2.9:1143");
    }
    let want = "GET /auth HTTP/1.1\r\nHost: 127.0.0.1\r\nAuth-Method: plain\r\n\
                Auth-User: us%20er%25x\r\nAuth-Pass: tanstaaf\r\nAuth-Protocol: imap\r\n\
                Auth-Login-Attempt: 2\r\nClient-IP: 192.0.2.1\r\nAuth-SSL: on\r\n\
                Auth-SSL-Protocol: TLSv1.3\r\nAuth-SSL-Cipher: TLS_AES_256_GCM_SHA384\r\n\
                Client-Port: 4711\r\nServer-Addr: 192.0.2.2\r\nServer-Port: 143\r\n\
                X-Auth-KEY: secret string\r\nX-Other: imap, us%20er%25x\r\n\r\n";
    assert_eq!(stub.heads(), [want, want]);
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn each_answer_becomes_a_route_or_a_refusal() {
    let more = [("Auth-User", "m.rose"), ("Auth-Pass", "token")];
    let no = [("Auth-Status", "Invalid login or password")];
    let table: Vec<(Reply, &str)> = vec![
        (head(200, &OK), "192.0.2.9:1143"),
        (head(500, &OK), "192.0.2.9:1143"),
        (head(200, &[&OK[..], &more].concat()), "user m.rose pass token 192.0.2.9:1143"),
        (
            head(200, &[OK[0], ("auth-server", "store.example"), OK[2]]),
            "192.0.2.7:1143 192.0.2.8:1143",
        ),
        (head(200, &no), "BadCredentials Some(\"Invalid login or password\") 0ns true"),
        (
            head(200, &[no[0], ("Auth-Wait", "3")]),
            "BadCredentials Some(\"Invalid login or password\") 3s false",
        ),
        (
            head(200, &[&OK[..], &[("Auth-Upstream-TLS", "starttls")]].concat()),
            "tls StartTls 192.0.2.9:1143",
        ),
        (
            head(200, &[&OK[..], &[("Auth-Upstream-Master", "on")]].concat()),
            "master 192.0.2.9:1143",
        ),
        (
            head(200, &[&OK[..], &[("Auth-Upstream-TLS", "maybe")]].concat()),
            "Unavailable None 0ns false (error: auth http server A sent invalid \
             Auth-Upstream-TLS:\"maybe\")",
        ),
        (
            head(503, &[]),
            "Unavailable None 0ns false (error: auth http server A sent status 503 without \
             Auth-Status)",
        ),
        (
            head(200, &OK[..2]),
            "Unavailable None 0ns false (error: auth http server A did not send server or port)",
        ),
        (
            head(200, &[OK[0], OK[1], ("Auth-Port", "x")]),
            "Unavailable None 0ns false (error: auth http server A sent invalid server port:\"x\")",
        ),
        (
            Reply::Close("Auth-Status: No\r\nAuth-Wait: 1\r\n\r\n".to_owned()),
            "BadCredentials Some(\"No\") 1s false",
        ),
        (
            Reply::Close("http/1.1 200 OK\r\nAuth-Status: No\r\n\r\n".to_owned()),
            "Unavailable None 0ns false (error: auth http server A sent invalid header in response)",
        ),
        (
            head(200, &[("X-Long", "x".repeat(70_000).as_str())]),
            "Unavailable None 0ns false (error: auth http server A sent response head longer than \
             16384 bytes or 100 headers)",
        ),
        (
            Reply::Close(String::new()),
            "Unavailable None 0ns false (error: auth http server A closed the connection before \
             its response was whole)",
        ),
        (
            Reply::Hang,
            "Unavailable None 0ns false (error: auth http server A timed out (110: Connection timed out))",
        ),
    ];
    for (reply, want) in table {
        let (_stub, address) = Stub::tcp(move |_, _, _| reply.clone()).await;
        let router = router(&format!("auth_http {address}; auth_http_timeout 200ms;"));
        assert_eq!(find(&router).await, want.replace(" A ", &format!(" {address} ")));
    }
}

#[tokio::test]
async fn a_handler_that_is_away_is_told() {
    let address = nowhere().await;
    assert_eq!(
        find(&router(&format!("auth_http {address};"))).await,
        format!(
            "Unavailable None 0ns false (error: auth http server {address} connect() failed (111: \
             Connection refused))"
        )
    );
    assert_eq!(
        find(&router("auth_http nowhere.example:8080/;")).await,
        "Unavailable None 0ns false (error: auth http server nowhere.example:8080 is unknown: \
         nowhere.example could not be resolved (3: Host not found))"
    );
}

#[tokio::test]
async fn a_handler_is_asked_again_when_it_says_wait() {
    let (stub, address) = Stub::tcp(|_, nth, _| match nth {
        1 | 2 => head(200, &[("Auth-Status", "WAIT")]),
        _ => head(200, &OK),
    })
    .await;
    assert_eq!(find(&router(&format!("auth_http {address};"))).await, "192.0.2.9:1143");
    // The same attempt each time.
    let heads = stub.heads();
    assert_eq!(heads.len(), 3);
    assert!(heads.iter().all(|head| *head == heads[0]));
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &[("Auth-Status", "WAIT")])).await;
    assert_eq!(
        find(&router(&format!("auth_http {address};"))).await,
        format!(
            "Unavailable None 0ns false (error: auth http server {address} sent WAIT 21 times)"
        )
    );
    assert_eq!(stub.heads().len(), 21);
}

#[tokio::test]
async fn the_wait_is_as_long_as_the_handler_says() {
    let (stub, address) = Stub::tcp(|_, nth, _| match nth {
        1 => head(200, &[("Auth-Status", "WAIT"), ("Auth-Wait", "3600")]),
        _ => head(200, &OK),
    })
    .await;
    let router = router(&format!("auth_http {address};"));
    let early = tokio::time::timeout(Duration::from_millis(100), find(&router)).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(stub.heads().len(), 1);
}

#[tokio::test]
async fn a_handler_may_sit_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.sock");
    let stub = Stub::unix(&path, |_, _, _| head(200, &OK)).await;
    let show = |path: &Path| path.display().to_string();
    let router = router(&format!("auth_http http://unix:{}:/auth;", show(&path)));
    assert_eq!(find(&router).await, "192.0.2.9:1143");
    assert!(stub.heads()[0].starts_with("GET /auth HTTP/1.1\r\nHost: localhost\r\n"));
}

#[tokio::test]
async fn the_table_is_asked_before_the_handler() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let router = router(&format!(
        "auth_http {address};
         upstream two {{ server 192.0.2.3; server 192.0.2.4:1; }}
         route {{ @two.example two login=$user; @one.example 192.0.2.5:2; }}"
    ));
    for (user, authzid, want) in [
        ("x@one.example", None, "192.0.2.5:2"),
        ("x@two.example", None, "user x group two 192.0.2.3:143 192.0.2.4:1"),
        // The row is asked for whose mailbox it is, and names that.
        ("admin", Some("x@two.example"), "authzid x group two 192.0.2.4:1 192.0.2.3:143"),
        ("x@other.example", None, "192.0.2.9:1143"),
        ("x@two.example", Some("mrose"), "192.0.2.9:1143"),
    ] {
        let route = router.find(&attempt(user, authzid), &asker(), &nobody).await;
        assert_eq!(found(route).await, want, "{user} {authzid:?}");
    }
    let heads = stub.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads[1].contains("Auth-User: x@two.example\r\n"), "{}", heads[1]);
    assert!(heads[1].contains("Auth-Authz-User: mrose\r\n"), "{}", heads[1]);
}

#[tokio::test]
async fn nobody_is_told_that_a_name_is_unknown() {
    for conf in ["", "route { @one.example 192.0.2.5:2; }"] {
        let want = "BadCredentials None 0ns false (info: no route for this login)";
        assert_eq!(find(&router(conf)).await, want);
    }
    let router = router("route { ~^(.*)$ $1; }");
    let want = "BadCredentials None 0ns false (error: route to \"mrose\", which is neither an \
                upstream nor an address)";
    assert_eq!(find(&router).await, want);
}

#[tokio::test]
async fn an_error_holds_no_password() {
    let address = nowhere().await;
    let router = router(&format!("auth_http {address};"));
    let outcome = router.find(&attempt("mrose", None), &asker(), &nobody).await;
    assert!(!format!("{outcome:?}").contains("tanstaaf"));
}
