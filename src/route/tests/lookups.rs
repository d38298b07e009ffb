//! `lookup NAME { … }` and Zimbra's protocol, over real sockets.

use super::*;

/// What `conf` finds, with `A` in it for the handler's address.
async fn find_at(reply: Reply, conf: &str, attempt: &Attempt) -> (Result<Route, NotFound>, Stub) {
    let (stub, address) = Stub::tcp(move |_, _, _| reply.clone()).await;
    let router = router(&conf.replace(" A", &format!(" {address}")));
    (router.find(attempt, &asker(), &nobody).await, stub)
}

const NLE: &str = "lookup z { protocol nle; handler A; timeout 1s; hedge off; }";
const SILENT: &str = "lookup z { send_password off; handler A/auth; timeout 1s; hedge off; }";

#[tokio::test]
async fn a_servlet_is_asked_letter_by_letter_as_zimbra_asks() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let router =
        router(&format!("lookup z {{ protocol nle; handler {address}; header X-Key k; }}"));
    let asker = Asker {
        secure_upstream: true,
        headers: vec![("x-other".parse().unwrap(), HeaderValue::from_static("of auth_http"))],
        ..asker()
    };
    for user in ["us er%x@example.com\r\nAuth-Pass: tanstaaf", "mrose"] {
        let route = router.find(&attempt(user, None), &asker, &nobody).await;
        assert_eq!(found(route).await, "192.0.2.9:1143");
    }
    let question = |user: &str| {
        format!(
            "GET /service/extension/nginx-lookup HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Auth-Method: username\r\nAuth-User: {user}\r\nAuth-Pass: _password_\r\n\
             Auth-Protocol: imapssl\r\nAuth-Login-Attempt: 2\r\nX-Proxy-IP: 192.0.2.2\r\n\
             Client-IP: 192.0.2.1\r\nX-Key: k\r\n\r\n"
        )
    };
    let odd = "us%20er%25x@example.com%0D%0AAuth-Pass:%20tanstaaf";
    assert_eq!(stub.heads(), [question(odd), question("mrose")]);
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn each_answer_of_a_servlet_becomes_a_route_or_a_refusal() {
    let no = |text: &'static str| head(200, &[("Auth-Status", text), ("Auth-Wait", "10")]);
    let alias = [("Auth-User", "m.rose@example.com"), ("Auth-Cache-Alias", "TRUE")];
    for (reply, want, keepable) in [
        (head(200, &OK), "192.0.2.9:1143", true),
        (head(200, &OK[1..]), "192.0.2.9:1143", true),
        (head(200, &[&OK[..], &alias].concat()), "user m.rose@example.com 192.0.2.9:1143", true),
        (head(200, &[&OK[..], &[("Auth-User", "mrose")]].concat()), "192.0.2.9:1143", true),
        (
            no("user not found:mrose"),
            "BadCredentials None 10s false (info: lookup handler A: \"user not found:mrose\")",
            true,
        ),
        (
            no("Client-IP is not allowed on this domain"),
            "BadCredentials None 10s false (info: lookup handler A: \"Client-IP is not allowed on \
             this domain\")",
            false,
        ),
        (
            no("unable to search LDAP"),
            "Unavailable None 0ns false (error: lookup handler A is in trouble: \"unable to search \
             LDAP\")",
            false,
        ),
        (
            head(503, &[("Auth-Status", "temporary failure")]),
            "Unavailable None 0ns false (error: lookup handler A sent status 503)",
            false,
        ),
        (
            head(200, &[&OK[..], &[("Auth-Pass", "token")]].concat()),
            "Unavailable None 0ns false (error: lookup handler A sent Auth-Pass for a login whose \
             password it has not seen)",
            false,
        ),
    ] {
        let (outcome, stub) = find_at(reply, NLE, &attempt("mrose", None)).await;
        let kept = match &outcome {
            Ok(route) => route.keepable && !route.is_checked && route.handler.is_some(),
            Err(not_found) => not_found.keepable,
        };
        assert_eq!(kept, keepable, "{want}");
        let text = found(outcome).await;
        let address = text.split("handler ").nth(1).and_then(|rest| rest.split([' ', '"']).next());
        let address = address.unwrap_or("?").trim_end_matches(':').to_owned();
        assert_eq!(text.replace(&address, "A"), want);
        assert_eq!(stub.heads().len(), 1);
    }
}

#[tokio::test]
async fn a_servlet_names_the_mailbox_and_not_who_opens_it() {
    let names = [("Auth-User", "m.rose@example.com"), ("Auth-Cache-Alias", "TRUE")];
    let reply = head(200, &[&OK[..], &names].concat());
    for (authzid, want) in [
        (None, "user m.rose@example.com 192.0.2.9:1143"),
        (Some("rose"), "authzid m.rose@example.com 192.0.2.9:1143"),
    ] {
        let attempt = attempt("mrose", authzid);
        let (route, stub) = find_at(reply.clone(), NLE, &attempt).await;
        let route = route.unwrap();
        assert_eq!(route.account.as_deref(), Some(&b"m.rose@example.com"[..]));
        assert!(route.is_alias && route.keepable == authzid.is_none());
        assert_eq!(found(Ok(route)).await, want);
        let asked = format!("Auth-User: {}\r\n", authzid.unwrap_or("mrose"));
        assert!(stub.heads()[0].contains(&asked), "{:?}", stub.heads());
    }
}

#[tokio::test]
async fn a_ticket_gets_a_token_and_is_not_kept() {
    let more = [("Auth-User", "john@x"), ("Auth-ID", "admin@x"), ("Auth-Pass", "0_token")];
    let reply = head(200, &[&OK[..], &more].concat());
    let ticket = Attempt::new(Mechanism::Gssapi, *b"admin@X", Secret::default());
    let acting = Attempt { authzid: Some((*b"john").into()), ..ticket.clone() };
    for (attempt, want) in [
        (ticket, "user john@x pass 0_token 192.0.2.9:1143"),
        (acting, "user admin@x authzid john@x pass 0_token 192.0.2.9:1143"),
    ] {
        let (route, _stub) = find_at(reply.clone(), NLE, &attempt).await;
        let route = route.unwrap();
        assert!(route.is_checked && !route.keepable);
        assert_eq!(found(Ok(route)).await, want);
    }
    // Without one the servlet has vouched for nobody.
    let ticket = Attempt::new(Mechanism::Gssapi, *b"admin@X", Secret::default());
    let (route, _stub) = find_at(head(200, &OK), NLE, &ticket).await;
    let route = route.unwrap();
    assert!(!route.is_checked && !route.keepable);
}

#[tokio::test]
async fn without_send_password_no_password_is_sent_and_none_is_believed() {
    let (route, stub) = find_at(head(200, &OK), SILENT, &attempt("mrose", None)).await;
    let route = route.unwrap();
    assert!(!route.is_checked && route.keepable);
    let heads = stub.heads();
    assert!(!heads[0].contains("Auth-Pass") && !heads[0].contains("tanstaaf"), "{heads:?}");
    for (more, want) in [
        (("Auth-Pass", "x"), "sent Auth-Pass for a login whose password it has not seen"),
        (
            ("Auth-Upstream-Master", "on"),
            "sent Auth-Upstream-Master for a login whose password it has not seen",
        ),
    ] {
        let reply = head(200, &[&OK[..], &[more]].concat());
        let (route, _stub) = find_at(reply, SILENT, &attempt("mrose", None)).await;
        let text = found(route).await;
        assert!(text.starts_with("Unavailable") && text.contains(want), "{text}");
    }
    for mechanism in Mechanism::ALL {
        let attempt = Attempt::new(mechanism, *b"bob", Secret::new("tanstaaf"));
        let (route, stub) = find_at(head(200, &OK), SILENT, &attempt).await;
        assert!(!stub.heads()[0].contains("tanstaaf"), "{mechanism:?}");
        let route = route.unwrap();
        // What proves itself to us does not need to be seen again, but hangs on that proof.
        let proves = mechanism.proves_otherwise();
        let is_open = mechanism.brings_password() || mechanism.brings_token();
        assert_eq!((route.is_checked, route.keepable), (proves, is_open), "{mechanism:?}");
    }
}

#[tokio::test]
async fn a_named_lookup_with_passwords_vouches_as_auth_http_does() {
    let conf = "lookup z { handler A; }";
    let (route, stub) = find_at(head(200, &OK), conf, &attempt("mrose", None)).await;
    let route = route.unwrap();
    assert!(route.is_checked && !route.keepable);
    assert!(stub.heads()[0].contains("Auth-Pass: tanstaaf\r\n"));
}

#[tokio::test]
async fn lookups_are_asked_before_auth_http_and_after_the_table() {
    let (own, at_own) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let (other, at_other) = Stub::tcp(|_, _, _| head(200, &OK)).await;
    let router = router(&format!(
        "auth_http {at_other}; lookup z {{ handler {at_own}; }}
         route {{ @one.example 192.0.2.5:2; }}"
    ));
    for user in ["x@one.example", "x@two.example"] {
        assert!(router.find(&attempt(user, None), &asker(), &nobody).await.is_ok());
    }
    assert_eq!((own.heads().len(), other.heads().len()), (1, 0));
}

#[tokio::test]
async fn edges_are_told_once_and_as_what_they_are() {
    let (_stub, address) = Stub::tcp(|_, nth, _| match nth {
        1 => head(500, &[]),
        _ => head(200, &OK),
    })
    .await;
    let router = router(&format!("lookup z {{ protocol nle; max_fails 1; handler {address}; }}"));
    let heard = Mutex::new(Vec::new());
    let tell = |error: Error| heard.lock().unwrap().push((error.level().name(), error.to_string()));
    for _ in 0..3 {
        router.find(&attempt("mrose", None), &asker(), &tell).await.ok();
    }
    let url = format!("http://{address}/service/extension/nginx-lookup");
    let set_aside = format!("lookup handler {url} set aside after 1 failure: sent status 500");
    let back = format!("lookup handler {url} answers again");
    assert_eq!(heard.into_inner().unwrap(), [("crit", set_aside), ("notice", back)]);
}

#[tokio::test]
async fn a_servlet_behind_tls_is_verified_unless_that_is_turned_off() {
    let (_stub, address, root) = Stub::tls(&["auth.example"], |_, _, _| head(200, &OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    std::fs::write(&file, root).unwrap();
    for (more, is_fine) in [
        (String::new(), false),
        ("ssl_verify off;".to_owned(), true),
        (format!("ssl_trusted_certificate {}; ssl_name auth.example;", file.display()), true),
        (format!("ssl_trusted_certificate {};", file.display()), false),
    ] {
        let router =
            router(&format!("zm_lookup {{ zm_lookup_handlers https://{address}; {more} }}"));
        let text = find(&router).await;
        assert_eq!(text == "192.0.2.9:1143", is_fine, "{more}: {text}");
        assert_eq!(text.contains("failed in the SSL handshake"), !is_fine, "{text}");
        assert!(!text.contains("auth_http") && !text.contains("proxy_ssl"), "{text}");
    }
}
