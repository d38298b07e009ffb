//! Several handlers, strict ones, and those behind TLS.

use super::*;

fn to(server: &'static str) -> Reply {
    head(200, &[("Auth-Status", "OK"), ("Auth-Server", server), ("Auth-Port", "1")])
}

/// A handler that sends everybody to `server`.
async fn sending(server: &'static str) -> (Stub, std::net::SocketAddr) {
    Stub::tcp(move |_, _, _| to(server)).await
}

#[tokio::test]
async fn handlers_are_asked_by_turns() {
    let (one, at_one) = sending("192.0.2.1").await;
    let (two, at_two) = sending("192.0.2.2").await;
    let router = router(&format!("auth_http {at_one}/a http://{at_two}/b;"));
    for want in ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:1", "192.0.2.2:1"] {
        assert_eq!(find_and_hear(&router).await, (want.to_owned(), vec![]));
    }
    assert!(one.heads().iter().all(|head| head.starts_with("GET /a ")));
    assert!(two.heads().iter().all(|head| head.starts_with("GET /b ")));
    assert_eq!((one.heads().len(), two.heads().len()), (2, 2));
}

#[tokio::test]
async fn a_handler_that_fails_leaves_the_login_to_the_next() {
    let replies = [
        (Some(head(500, &[])), "sent status 500 without Auth-Status"),
        (Some(head(200, &[])), "did not send server or port"),
        (Some(head(200, &[OK[0], OK[1], ("Auth-Port", "x")])), "sent invalid server port:\"x\""),
        (Some(Reply::Close(String::new())), "closed the connection before its response was whole"),
        (Some(Reply::Close("\0".to_owned())), "sent invalid header in response"),
        (Some(Reply::Hang), "timed out (110: Connection timed out)"),
        (None, "connect() failed (111: Connection refused)"),
    ];
    for (reply, want) in replies {
        let (bad, at_bad) = match reply {
            Some(reply) => Stub::tcp(move |_, _, _| reply.clone()).await,
            None => (sending("192.0.2.1").await.0, nowhere().await),
        };
        let (good, at_good) = sending("192.0.2.2").await;
        let router = router(&format!("auth_http {at_bad} {at_good}; auth_http_timeout 500ms;"));
        let (found, heard) = find_and_hear(&router).await;
        assert_eq!(found, "192.0.2.2:1", "{want}");
        assert_eq!(heard, [format!("auth http server {at_bad} {want}")]);
        assert!(bad.heads().len() <= 1 && good.heads().len() == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_failed_is_passed_over_for_a_while() {
    let (one, at_one) = Stub::tcp(|_, nth, _| match nth {
        1 => head(502, &[]),
        _ => to("192.0.2.1"),
    })
    .await;
    let (_two, at_two) = sending("192.0.2.2").await;
    let router = router(&format!("auth_http {at_one} {at_two};"));
    assert_eq!(find_and_hear(&router).await.1.len(), 1);
    for _ in 0..5 {
        assert_eq!(find_and_hear(&router).await, ("192.0.2.2:1".to_owned(), vec![]));
    }
    assert_eq!(one.heads().len(), 1);
    tokio::time::advance(handler::REST).await;
    let found = [find(&router).await, find(&router).await];
    assert!(found.contains(&"192.0.2.1:1".to_owned()), "{found:?}");
}

#[tokio::test]
async fn one_odd_answer_is_no_reason_to_pass_a_handler_over() {
    let (one, at_one) = Stub::tcp(|_, _, _| head(200, &OK[..1])).await;
    let (_two, at_two) = sending("192.0.2.2").await;
    let router = router(&format!("auth_http {at_one} {at_two};"));
    for _ in 0..4 {
        assert_eq!(find(&router).await, "192.0.2.2:1");
    }
    assert_eq!(one.heads().len(), 2);
}

#[tokio::test]
async fn where_all_fail_the_last_one_is_the_cause() {
    let (at_one, at_two) = (nowhere().await, nowhere().await);
    let router = router(&format!("auth_http {at_one} {at_two};"));
    let failed = |at| format!("auth http server {at} connect() failed (111: Connection refused)");
    for (first, last) in [(at_one, at_two), (at_two, at_one)] {
        let (found, heard) = find_and_hear(&router).await;
        assert_eq!(heard, [failed(first)]);
        assert_eq!(found, format!("Unavailable None 0ns false (error: {})", failed(last)));
    }
}

#[tokio::test]
async fn handlers_that_all_failed_are_asked_all_the_same() {
    let (_one, at_one) = Stub::tcp(|_, nth, _| match nth {
        1 => head(500, &[]),
        _ => to("192.0.2.1"),
    })
    .await;
    let at_two = nowhere().await;
    let router = router(&format!("auth_http {at_one} {at_two};"));
    assert!(find(&router).await.starts_with("Unavailable"));
    assert_eq!(find(&router).await, "192.0.2.1:1");
}

#[tokio::test]
async fn silent_handlers_share_the_time() {
    let (_one, at_one) = Stub::tcp(|_, _, _| Reply::Hang).await;
    let (_two, at_two) = Stub::tcp(|_, _, _| Reply::Hang).await;
    let router = router(&format!("auth_http {at_one} {at_two}; auth_http_timeout 300ms;"));
    let began = std::time::Instant::now();
    let (found, heard) = find_and_hear(&router).await;
    assert!(
        found.ends_with("timed out (110: Connection timed out))") && heard.len() == 1,
        "{found} {heard:?}"
    );
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn the_handler_that_said_wait_is_the_one_asked_again() {
    let (one, at_one) = Stub::tcp(|_, nth, _| match nth {
        1 => head(200, &[("Auth-Status", "WAIT")]),
        _ => to("192.0.2.1"),
    })
    .await;
    let (two, at_two) = sending("192.0.2.2").await;
    let router = router(&format!("auth_http {at_one} {at_two};"));
    assert_eq!(find(&router).await, "192.0.2.1:1");
    assert_eq!((one.heads().len(), two.heads().len()), (2, 0));
}

#[tokio::test]
async fn a_strict_house_takes_http_alone() {
    let no = [("Auth-Status", "No"), ("Auth-Wait", "1")];
    for (reply, want) in [
        (head(200, &OK), "192.0.2.9:1143"),
        (head(403, &no), "BadCredentials Some(\"No\") 1s false"),
        (head(500, &OK), "Unavailable None 0ns false (error: auth http server A sent status 500)"),
        (
            Reply::Close("Auth-Status: No\r\n\r\n".to_owned()),
            "Unavailable None 0ns false (error: auth http server A sent invalid response)",
        ),
        (
            Reply::Close("HTTP/1.1 OK\r\nAuth-Status: No\r\n\r\n".to_owned()),
            "Unavailable None 0ns false (error: auth http server A sent invalid response)",
        ),
    ] {
        let (_stub, address) = Stub::tcp(move |_, _, _| reply.clone()).await;
        let router = router(&format!("auth_http {address}; auth_http_strict on;"));
        assert_eq!(find(&router).await, want.replace(" A ", &format!(" {address} ")));
    }
}

#[tokio::test]
async fn a_handler_behind_tls_proves_its_name() {
    let (stub, address, root) = Stub::tls(&["auth.example"], |_, _, _| head(200, &OK)).await;
    let (_, _, stranger) = Stub::tls(&["auth.example"], |_, _, _| head(200, &OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (root, stranger) = (put("root.pem", &root), put("stranger.pem", &stranger));
    let trusting = |file: &str| format!("auth_http_ssl_trusted_certificate {file};");
    let port = address.port();
    let fails = |at: &str, why: &str| {
        format!(
            "Unavailable None 0ns false (error: auth http server {at} failed in the SSL \
             handshake: the server's certificate is {why}"
        )
    };
    let by_ip = address.to_string();
    for (url, more, want) in [
        (format!("auth.example:{port}"), trusting(&root), "192.0.2.9:1143".to_owned()),
        (
            by_ip.clone(),
            trusting(&root) + "auth_http_ssl_name auth.example;",
            "192.0.2.9:1143".to_owned(),
        ),
        (by_ip.clone(), "auth_http_ssl_verify off;".to_owned(), "192.0.2.9:1143".to_owned()),
        (
            by_ip.clone(),
            trusting(&root),
            fails(
                &by_ip,
                "not valid for \"127.0.0.1\" but for auth.example: set auth_http_ssl_name to one of these",
            ),
        ),
        (
            format!("auth.example:{port}"),
            trusting(&stranger),
            fails(
                &by_ip,
                "signed by nobody that is trusted: put the certificate of its authority into auth_http_ssl_trusted_certificate)",
            ),
        ),
    ] {
        let router = router(&format!("auth_http https://{url}/auth; {more}"));
        for _ in 0..2 {
            let found = find(&router).await;
            assert!(found.starts_with(&want), "{found}\n{want}");
        }
    }
    assert_eq!(stub.heads().len(), 6);
    assert!(stub.heads()[0].starts_with("GET /auth HTTP/1.1\r\nHost: auth.example\r\n"));
}

#[test]
fn a_file_that_cannot_be_used_is_told() {
    let conf = "auth_http https://a.example; auth_http_ssl_trusted_certificate /nowhere.pem;";
    let settings = Settings::read(&Block::parse(conf), &Settings::default());
    let error =
        Router::new(&settings, &(Book::of(&[]) as Names), &mut Connectors::default(), &fleet());
    assert_eq!(
        error.unwrap_err(),
        "auth_http a.example:443: cannot use \"/nowhere.pem\": there is no such file; correct the \
         path or put the file there"
    );
}
