//! `lookup NAME { … }`: several handlers, Zimbra's protocol, and what a client hears of trouble.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::scene::{CERTIFICATE, Scene, servers};
use crate::support::{
    Asked, Ca, FakeLookup, FakeUpstream, Manners, Mechanism, Protocol, answer, encoded, imap, mail,
};

fn scene(lookup: &str, values: &[(&str, SocketAddr)]) -> Scene {
    let text =
        mail(&format!("{CERTIFICATE} route_cache off; {lookup} {}", servers(Protocol::Imap)));
    let values: Vec<_> = values.iter().map(|(name, at)| (*name, at as &dyn ToString)).collect();
    Scene::with(Ca::new(), Protocol::Imap, &text, &values)
}

/// A servlet that knows `tim` by another name, and has trouble with `ann`.
fn servlet(upstream: SocketAddr) -> FakeLookup {
    let (ip, port) = (upstream.ip().to_string(), upstream.port().to_string());
    FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
        "tim" => answer(&[
            ("Auth-Status", "OK"),
            ("Auth-Server", &ip),
            ("Auth-Port", &port),
            ("Auth-User", "timothy@example.com"),
            ("Auth-Cache-Alias", "TRUE"),
        ]),
        "ann" => answer(&[("Auth-Status", "unable to search LDAP"), ("Auth-Wait", "10")]),
        name => answer(&[("Auth-Status", &format!("user not found:{name}")), ("Auth-Wait", "1")]),
    })
}

#[test]
fn zimbras_servlet_routes_and_the_upstream_checks() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let lookup = servlet(upstream.addr());
    let conf = "zm_lookup { zm_lookup_handlers http://@lookup@/service/extension/nginx-lookup; }";
    let scene = scene(conf, &[("lookup", lookup.addr())]);
    scene.client().log_in(Mechanism::Login, "tim", "pw");
    let heard = upstream.heard().join("\n");
    let plain = encoded("\0timothy@example.com\0pw");
    assert!(heard.contains("timothy@example.com") || heard.contains(&plain), "{heard}");
    let asked = &lookup.asked()[0];
    assert_eq!(
        (asked.get("Auth-Method"), asked.get("Auth-Pass"), asked.get("Auth-Protocol")),
        ("username", "_password_", "imap")
    );
    assert_eq!(asked.get("Client-Port"), "");

    let mut client = scene.client();
    let end = client.try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("NO [AUTHENTICATIONFAILED]") && !end.contains("not found"), "{end}");
    scene.gatepost.logs("user not found:bob");
    // Trouble is no refusal, and the client stays.
    let mut client = scene.client();
    let end = client.try_log_in(Mechanism::Login, "ann", "pw");
    assert!(end.starts_with("NO [UNAVAILABLE]") && !end.contains("LDAP"), "{end}");
    scene.gatepost.logs("is in trouble: \"unable to search LDAP\"");
    client.log_in(Mechanism::Login, "tim", "pw");
}

#[test]
fn no_login_waits_for_one_of_three_handlers_that_hangs() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let (one, two) = (servlet(upstream.addr()), servlet(upstream.addr()));
    // It takes connections and says nothing.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = "lookup z { protocol nle; handler @hanging@; handler @one@; handler @two@; }";
    let at = hanging.local_addr().unwrap();
    let scene = scene(conf, &[("hanging", at), ("one", one.addr()), ("two", two.addr())]);
    for _ in 0..40 {
        let began = Instant::now();
        scene.client().log_in(Mechanism::Login, "tim", "pw");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert!(one.asked().len() + two.asked().len() >= 40);
}
