//! Questions over a router of names alone, without sockets.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::config::Block;
use crate::http::Names;
use crate::http::server::Peer;
use crate::http::stub::{self, Book, Stub, head};
use crate::net::listen::MOST;
use crate::route::sticky::{self, Described};
use crate::route::{self, Fleet};

fn lookups(mail: &str, fleet: &Fleet) -> Lookups {
    let block = Block::parse(&format!("lookup_server 127.0.0.1:7072; {mail}"));
    let settings = Settings::read_all(&block, &mut { MOST }).remove(0);
    let route = route::Settings::read(&block, &route::Settings::default()).for_names_alone();
    assert_eq!(block.faults(), [""; 0]);
    let names: Names = Book::of(&[("store.test", &["192.0.2.21"])]);
    let router = Router::of(&route, &names, fleet);
    let (log, _) = Log::memory(Level::Info);
    Lookups::new(settings, router, None, log, fleet.metrics.clone())
}

fn request(lines: &str) -> Request {
    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    Request {
        method: Method::GET,
        path: "/service/extension/nginx-lookup".to_owned(),
        query: String::new(),
        headers,
        body: Bytes::new(),
        peer: Peer::Network,
        from: Endpoint::Tcp("127.0.0.1:4711".parse().unwrap()),
    }
}

fn zimbra(user: &str, protocol: &str, more: &str) -> Request {
    request(&format!(
        "Auth-Method: username\nAuth-User: {user}\nAuth-Pass: _password_\n\
         Auth-Protocol: {protocol}\nClient-IP: 198.51.100.7\n{more}"
    ))
}

async fn says(lookups: &Lookups, request: Request) -> String {
    let answer = lookups.answer(request).await;
    let mut text = answer.status.as_u16().to_string();
    for (name, value) in &answer.headers {
        text += &format!(" {name}={}", value.as_bytes().escape_ascii());
    }
    text
}

const HERE: &str = "200 auth-status=OK auth-server=";

#[tokio::test]
async fn a_row_is_answered_with_an_address_and_the_port_of_the_protocol() {
    let conf = "route {
            named@x.test store.test; at@x.test 192.0.2.9:1143; six@x.test [2001:db8::1];
            group@x.test backend; other@x.test 192.0.2.9 login=real@y.test;
            unix@x.test unix:/run/imap;
        }
        upstream backend { server 192.0.2.5 down; server store.test:7143; }";
    let lookups = lookups(conf, &Fleet::alone());
    let at = |server: &str, port: u16, user: &str| {
        format!("{HERE}{server} auth-port={port} auth-user={user} auth-cache-alias=FALSE")
    };
    for (user, protocol, want) in [
        ("named@x.test", "imap", at("192.0.2.21", 143, "named@x.test")),
        ("named@x.test", "imapssl", at("192.0.2.21", 993, "named@x.test")),
        ("named@x.test", "pop3", at("192.0.2.21", 110, "named@x.test")),
        ("named@x.test", "httpssl", at("192.0.2.21", 443, "named@x.test")),
        ("at@x.test", "imapssl", at("192.0.2.9", 1143, "at@x.test")),
        ("six@x.test", "imap", at("2001:db8::1", 143, "six@x.test")),
        ("group@x.test", "imap", at("192.0.2.21", 7143, "group@x.test")),
        ("other@x.test", "imap", at("192.0.2.9", 143, "real@y.test")),
        ("bob@x.test", "imap", "200 auth-status=user not found:bob@x.test auth-wait=10".to_owned()),
        // Somebody is there, but nobody else can reach it.
        ("unix@x.test", "imap", "503 auth-status=temporary failure auth-wait=10".to_owned()),
    ] {
        assert_eq!(says(&lookups, zimbra(user, protocol, "")).await, want, "{user} {protocol}");
    }
    let count = |result| lookups.metrics.counter(&names::QUESTIONS, &["imap", result]).get();
    assert_eq!((count("found"), count("unknown"), count("temporary")), (6, 1, 1));
}

#[tokio::test]
async fn a_question_takes_no_place_at_a_server() {
    let fleet = Fleet::alone();
    let conf = "route { default backend; } upstream backend { server 192.0.2.5 max_conns=1; }";
    let lookups = lookups(conf, &fleet);
    for _ in 0..5 {
        let said = says(&lookups, zimbra("tim", "imap", "")).await;
        assert!(said.starts_with(&format!("{HERE}192.0.2.5")), "{said}");
    }
    let labels = ["backend", "192.0.2.5"];
    assert_eq!(fleet.metrics.gauge(&names::SERVER_SESSIONS, &labels).get(), 0);
}

/// What is told is where the user's sessions are put, whoever is asked, and it moves nobody.
#[tokio::test]
async fn a_sticky_upstream_is_told_as_its_logins_go() {
    let conf = "route { default farm; }
        upstream farm { server 192.0.2.1; server 192.0.2.2; server 192.0.2.3; sticky on; }";
    let fleet = Fleet::alone();
    let servers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    fleet.sticky.adopt([Described {
        name: "farm".into(),
        settings: Some(sticky::Settings::default()),
        servers: servers.iter().map(|server| (Arc::from(*server), 1)).collect(),
    }]);
    let lookups = lookups(conf, &fleet);
    for number in 0..20 {
        let user = format!("user{number}@x.test");
        let at = sticky::first_guess(&user, servers.map(|server| (server, 1))).unwrap();
        for _ in 0..3 {
            let said = says(&lookups, zimbra(&user, "imap", "")).await;
            assert!(said.contains(&format!("auth-server={} ", servers[at])), "{user}: {said}");
        }
    }
}

/// It would be asked with no password, and might count that against the user.
#[tokio::test]
async fn who_is_shown_passwords_is_not_asked() {
    let (stub, address) = Stub::tcp(|_, _, _| head(200, &[("Auth-Status", "OK")])).await;
    let conf = format!(
        "auth_http {address}; lookup seen {{ handler {address}; send_password on; }}
         route {{ @x.test 192.0.2.9; }}"
    );
    let lookups = lookups(&conf, &Fleet::alone());
    let nginx = "Auth-Method: plain\nAuth-User: bob\nAuth-Pass: tanstaaf\nAuth-Protocol: imap\n\
                 Auth-Login-Attempt: 1\nClient-IP: 192.0.2.1";
    let said = says(&lookups, request(nginx)).await;
    assert_eq!(said, "200 auth-status=Invalid login or password auth-wait=10");
    assert_eq!(stub.heads().len(), 0);
}

/// One that is known to these sources alone must not be unknown to a login, which asks more.
#[test]
fn what_fewer_say_is_not_kept_for_those_who_are_asked_more() {
    let read = |conf: &str| {
        let settings = route::Settings::read(&Block::parse(conf), &route::Settings::default());
        (settings.cache.scope(), settings.for_names_alone().cache.scope())
    };
    let (all, open) = read("lookup a { protocol nle; handler 192.0.2.1; }");
    assert_eq!(all, open);
    let (all, open) = read("lookup a { protocol nle; handler 192.0.2.1; } auth_http 192.0.2.2;");
    assert_ne!(all, open);
    let (all, open) = read("lookup a { handler 192.0.2.1; } route_cache on scope=x;");
    assert_ne!(all, open);
}

#[tokio::test]
async fn trouble_is_told_from_nobody_and_a_route_is_kept_until_a_client_comes_again() {
    let fleet = Fleet::alone();
    let (stub, address) = Stub::tcp(|_, _, asked| {
        let asked = asked.to_ascii_lowercase();
        let has = |name: &str| asked.contains(&format!("auth-user: {name}"));
        match () {
            () if has("tim") => head(
                200,
                &[("Auth-Status", "OK"), ("Auth-Server", "192.0.2.7"), ("Auth-Port", "143")],
            ),
            () if has("ann") => head(200, &[("Auth-Status", "unable to search LDAP")]),
            () if has("eve") => head(200, &[("Auth-Status", "not allowed here")]),
            () => head(200, &[("Auth-Status", "user not found:x")]),
        }
    })
    .await;
    let lookups = lookups(&format!("lookup z {{ protocol nle; handler {address}; }}"), &fleet);
    let ask = |user: &'static str, attempt: u32| {
        let more = format!("Auth-Login-Attempt: {attempt}");
        says(&lookups, zimbra(user, "imap", &more))
    };
    for (user, want) in [
        ("tim@x.test", "200 auth-status=OK auth-server=192.0.2.7 auth-port=143 "),
        ("ann@x.test", "503 auth-status=temporary failure"),
        ("eve@x.test", "200 auth-status=not allowed here"),
        ("bob@x.test", "200 auth-status=user not found:bob@x.test"),
    ] {
        let said = ask(user, 1).await;
        assert!(said.starts_with(want), "{user}: {said}");
    }
    let asked = stub.heads().len();
    for _ in 0..3 {
        ask("tim@x.test", 1).await;
        ask("bob@x.test", 1).await;
    }
    assert_eq!(stub.heads().len(), asked, "both are kept");
    assert!(ask("ann@x.test", 1).await.starts_with("503"));
    assert!(stub.heads().len() > asked, "trouble is not");
    // Not at once: a guesser must not turn each wrong password into a lookup.
    let asked = stub.heads().len();
    assert!(ask("tim@x.test", 2).await.contains("OK"));
    assert_eq!(stub.heads().len(), asked);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    assert!(ask("tim@x.test", 1).await.contains("OK"));
    assert_eq!(stub.heads().len(), asked, "a first attempt believes what is kept");
    assert!(ask("tim@x.test", 2).await.contains("OK"));
    assert_eq!(stub.heads().len(), asked + 1);
    assert!(stub.heads().iter().all(|head| !head.contains("tanstaaf")));
}

#[tokio::test(start_paused = true)]
async fn no_question_waits_longer_than_the_deadline() {
    let (_stub, address) = Stub::tcp(|_, _, _| stub::Reply::Hang).await;
    let conf = format!("lookup z {{ protocol nle; handler {address}; timeout 60s; }}");
    let lookups = lookups(&conf, &Fleet::alone());
    let began = Instant::now();
    let said = says(&lookups, zimbra("tim@x.test", "imap", "")).await;
    assert!(said.starts_with("503 auth-status=temporary failure"), "{said}");
    assert!(began.elapsed() <= DEADLINE + Duration::from_millis(1));
}

#[tokio::test]
async fn a_name_without_a_domain_may_be_completed() {
    let mut lookups = lookups("route { @x.test 192.0.2.9; }", &Fleet::alone());
    assert!(says(&lookups, zimbra("tim", "imap", "")).await.contains("user not found:tim"));
    lookups.qualify = Some(Arc::new(|user, proxy| {
        (proxy == Some("203.0.113.1".parse().unwrap())).then(|| [user, b"@x.test"].concat().into())
    }));
    let said = says(&lookups, zimbra("tim", "imap", "X-Proxy-IP: 203.0.113.1")).await;
    assert!(
        said.contains("auth-server=192.0.2.9") && said.contains("auth-user=tim@x.test"),
        "{said}"
    );
    let said = says(&lookups, zimbra("tim", "imap", "X-Proxy-IP: 203.0.113.2")).await;
    assert!(said.contains("user not found:tim"), "{said}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let lookups = lookups("route { default 192.0.2.9; }", &Fleet::alone());
    let other = Request { path: "/".to_owned(), ..zimbra("tim", "imap", "") };
    assert_eq!(lookups.answer(other).await.status, StatusCode::NOT_FOUND);
    let post = Request { method: Method::POST, ..zimbra("tim", "imap", "") };
    let answer = lookups.answer(post).await;
    assert_eq!((answer.status, answer.allow), (StatusCode::METHOD_NOT_ALLOWED, Some("GET")));
    let twice = says(&lookups, zimbra("tim", "imap", "Auth-User: tom")).await;
    assert_eq!(twice, "200 auth-status=repeated header field Auth-User auth-wait=10");
}

proptest! {
    #[test]
    fn whatever_is_asked_is_answered_once_and_in_one_line(
        user in prop::collection::vec(1u8..=255, 1..60).prop_filter("fits", |user| {
            HeaderValue::from_bytes(user).is_ok()
        }),
        protocol in "imap|pop3ssl|http|smtp|x",
        method in "username|zimbraId|plain|gssapi",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lookups = lookups("route { @x.test 192.0.2.9; default 192.0.2.8; }", &Fleet::alone());
        let mut request = request(&format!("Auth-Method: {method}\nAuth-Protocol: {protocol}"));
        request.headers.insert("auth-user", HeaderValue::from_bytes(&user).unwrap());
        let answer = runtime.block_on(lookups.answer(request));
        prop_assert_eq!(answer.status, StatusCode::OK);
        prop_assert_eq!(answer.headers.get_all("auth-status").iter().count(), 1);
        for value in answer.headers.values() {
            prop_assert!(!value.as_bytes().iter().any(u8::is_ascii_control));
        }
    }
}
