//! `auth_http`: what the lookup handler is asked, and what its answers do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::scene::{CERTIFICATE, Scene, Way, servers};
use crate::support::{
    Asked, Ca, FakeLookup, FakeUpstream, IMAPS, Manners, Mechanism, Protocol, answer, encoded,
    fresh_ip, imap, mail, pop3,
};

/// A gatepost that asks `lookup` where to go.
fn asking(lookup: &FakeLookup, protocol: Protocol, extra: &str) -> Scene {
    let text = mail(&format!(
        "{CERTIFICATE} auth_http http://@lookup@/auth; {extra} {}",
        servers(protocol)
    ));
    Scene::with(Ca::new(), protocol, &text, &[("lookup", &lookup.addr())])
}

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

fn towards(to: SocketAddr, more: &[(&str, &str)]) -> String {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let mut headers = vec![("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)];
    headers.extend_from_slice(more);
    answer(&headers)
}

/// Answers everything with the same headers.
fn saying(headers: &'static [(&'static str, &'static str)]) -> FakeLookup {
    FakeLookup::start(move |_: &Asked| answer(headers))
}

#[test]
fn the_handler_is_asked_as_nginx_asks() {
    let upstream = upstream();
    let lookup = FakeLookup::to(upstream.addr());
    let scene = asking(
        &lookup,
        Protocol::Imap,
        "auth_http_header X-Auth-Key \"open sesame\";
         auth_http_header X-Who '$remote_addr $ssl_protocol${client_agent} $login';",
    );
    let mut client = scene.client_by(Way::Tls);
    client.log_in(Mechanism::PlainAsked, "us er%x@a.test", "p\"s s");
    let (ip, port) = (client.local_addr().ip().to_string(), client.local_addr().port().to_string());
    let who = format!("{ip} TLSv1.3 us%20er%25x@a.test");
    let (to, to_port) = (scene.gatepost.site.ip.to_string(), IMAPS.to_string());
    let asked = &lookup.asked()[0];
    assert!(asked.line.starts_with("GET /auth HTTP/1."), "{}", asked.line);
    for (header, want) in [
        ("Auth-Method", "plain"),
        ("Auth-User", "us%20er%25x@a.test"),
        ("Auth-Pass", "p\"s%20s"),
        ("Auth-Protocol", "imap"),
        ("Auth-Login-Attempt", "1"),
        ("Client-IP", &ip),
        ("Auth-SSL", "on"),
        ("Auth-SSL-Protocol", "TLSv1.3"),
        ("Client-Port", &port),
        ("Server-Addr", &to),
        ("Server-Port", &to_port),
        ("X-Auth-Key", "open sesame"),
        ("X-Who", &who),
    ] {
        assert_eq!(asked.get(header), want, "{header} of {asked:?}");
    }
    assert!(asked.get("Auth-SSL-Cipher").starts_with("TLS_"), "{asked:?}");
    assert!(!asked.get("Host").is_empty());
    assert_eq!(asked.get("Auth-Salt"), "");
    let mut client = scene.client();
    client.log_in(Mechanism::Login, "bob", "pw");
    assert_eq!(lookup.asked()[1].get("Auth-SSL"), "");
}

#[test]
fn the_handler_may_change_name_and_password() {
    let upstream = upstream();
    let to = upstream.addr();
    let lookup = FakeLookup::start(move |_: &Asked| {
        towards(to, &[("Auth-User", "robert"), ("Auth-Pass", "changed")])
    });
    let scene = asking(&lookup, Protocol::Imap, "");
    scene.client().log_in(Mechanism::Login, "bob", "pw");
    let heard = upstream.heard().join("\n");
    let plain = encoded("\0robert\0changed");
    let is_changed =
        (heard.contains("robert") && heard.contains("changed")) || heard.contains(&plain);
    assert!(is_changed && !heard.contains("bob"), "{heard}");
}

/// Logs bob in to act for `other`; gives the last line, without its tag.
fn log_in_for(scene: &Scene, other: &str) -> String {
    let said = encoded(&format!("{other}\0bob\0pw"));
    let mut client = scene.client();
    match scene.protocol {
        Protocol::Imap => client.ask(&format!("AUTHENTICATE PLAIN {said}")).end,
        Protocol::Pop3 => client.ask_line(&format!("AUTH PLAIN {said}"), ""),
    }
}

#[test]
fn nobody_acts_for_another_with_the_handlers_credentials() {
    for (protocol, refusal) in
        [(Protocol::Imap, "NO [AUTHORIZATIONFAILED]"), (Protocol::Pop3, "-ERR [AUTH]")]
    {
        for own in [
            &[("Auth-User", "bob*gate"), ("Auth-Pass", "master")][..],
            &[("Auth-User", "bob*gate")],
            &[("Auth-Pass", "master")],
        ] {
            let upstream = match protocol {
                Protocol::Imap => upstream(),
                Protocol::Pop3 => FakeUpstream::start(pop3(Manners::pop3())),
            };
            let to = upstream.addr();
            let lookup = FakeLookup::start(move |_: &Asked| towards(to, own));
            let scene = asking(&lookup, protocol, "");
            let end = log_in_for(&scene, "victim");
            assert!(end.starts_with(refusal), "{own:?}: {end}");
            assert_eq!(upstream.accepted(), 0, "{:?}", upstream.heard());
            // Who acts for himself may, whether he says so or not.
            for other in ["", "bob"] {
                let end = log_in_for(&scene, other);
                assert!(end.trim_start_matches('+').starts_with("OK"), "{own:?}: {end}");
            }
        }
    }
}

#[test]
fn a_name_to_act_for_stays_with_the_clients_own_credentials() {
    let upstream = upstream();
    let lookup = FakeLookup::to(upstream.addr());
    let scene = asking(&lookup, Protocol::Imap, "");
    let end = log_in_for(&scene, "shared");
    assert!(end.starts_with("OK"), "{end}");
    upstream.hears(&encoded("shared\0bob\0pw"));
}

#[test]
fn a_refusal_is_told_in_the_handlers_words() {
    let lookup = saying(&[("Auth-Status", "Account is closed"), ("Auth-Wait", "1")]);
    for (protocol, mark) in [(Protocol::Imap, "NO "), (Protocol::Pop3, "-ERR ")] {
        let scene = asking(&lookup, protocol, "");
        let mut client = scene.client();
        let start = Instant::now();
        let end = client.try_log_in(Mechanism::Login, "bob", "pw");
        assert!(end.starts_with(mark) && end.contains("Account is closed"), "{end}");
        assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
        // With a wait the session goes on, and the attempts are counted.
        let _ = client.try_log_in(Mechanism::Login, "bob", "pw");
        assert_eq!(lookup.asked().last().unwrap().get("Auth-Login-Attempt"), "2");
        scene.gatepost.logs("client login failed: \"Account is closed\"");
    }
    let lookup = saying(&[("Auth-Status", "Go away")]);
    let scene = asking(&lookup, Protocol::Imap, "");
    let mut client = scene.client();
    let end = client.try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("NO ") && end.contains("Go away"), "{end}");
    client.hears_the_end();
}

#[test]
fn a_handler_that_wants_time_is_asked_again() {
    let upstream = upstream();
    let to = upstream.addr();
    let count = std::sync::atomic::AtomicUsize::new(0);
    let lookup = FakeLookup::start(move |_: &Asked| {
        match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => answer(&[("Auth-Status", "WAIT"), ("Auth-Wait", "1")]),
            _ => towards(to, &[]),
        }
    });
    let scene = asking(&lookup, Protocol::Imap, "");
    scene.client().log_in(Mechanism::Login, "bob", "pw");
    let attempts: Vec<_> =
        lookup.asked().iter().map(|asked| asked.get("Auth-Login-Attempt").to_owned()).collect();
    assert_eq!(attempts, ["1", "1"]);
}

#[test]
fn connections_to_the_handler_are_kept() {
    let upstream = upstream();
    let lookup = FakeLookup::to(upstream.addr());
    let scene = asking(&lookup, Protocol::Imap, "");
    for _ in 0..20 {
        scene.client().log_in(Mechanism::Login, "bob", "pw");
    }
    let asked = lookup.asked();
    assert_eq!(asked.len(), 20);
    let connections = asked.iter().map(|asked| asked.connection).max().unwrap();
    // One for each worker, and one or two that met.
    assert!(connections <= 6, "{connections} connections");
}

#[test]
fn a_handler_that_hangs_up_between_questions_is_asked_again() {
    let upstream = upstream();
    let to = upstream.addr();
    let lookup = FakeLookup::start(move |asked: &Asked| {
        // Every connection is good for one answer.
        let close = towards(to, &[("Connection", "close")]);
        if asked.connection.is_multiple_of(2) { close } else { towards(to, &[]) }
    });
    let scene = asking(&lookup, Protocol::Imap, "");
    for _ in 0..10 {
        scene.client().log_in(Mechanism::Login, "bob", "pw");
    }
}

#[test]
fn answers_of_every_shape_are_understood() {
    let upstream = upstream();
    let to = upstream.addr();
    let (ip, port) = (to.ip(), to.port());
    for text in [
        format!(
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {ip}\r\nAuth-Port: {port}\r\nConnection: close\r\n\r\n"
        ),
        format!(
            "HTTP/1.1 500 Oops\r\nauth-status: OK\r\nauth-server: {ip}\r\nauth-port: {port}\r\nContent-Length: 5\r\n\r\nhello"
        ),
        format!(
            "HTTP/1.1 204 No Content\r\nAUTH-STATUS:OK\r\nAUTH-SERVER:{ip}\r\nAUTH-PORT:{port}\r\nX-Other: {}\r\n\r\n",
            "y".repeat(3000)
        ),
        format!("Auth-Status: OK\r\nAuth-Server: {ip}\r\nAuth-Port: {port}\r\n\r\n"),
        format!("HTTP/9\r\nAuth-Status: OK\nAuth-Server: {ip}\nAuth-Port: {port}\n\n"),
        format!(
            "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Server: localhost\r\nAuth-Port: {port}\r\nContent-Length: 0\r\n\r\n"
        ),
    ] {
        let is_named = text.contains("localhost");
        let lookup = FakeLookup::start(move |_: &Asked| text.clone());
        let scene = asking(&lookup, Protocol::Imap, "");
        let mut client = scene.client();
        let end = client.try_log_in(Mechanism::Login, "bob", "pw");
        if is_named {
            // The name is looked up; nobody listens there.
            assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
        } else {
            assert!(end.starts_with("OK"), "{end}");
        }
    }
}

#[test]
fn a_handler_that_fails_is_a_temporary_failure() {
    let silent = "auth_http_timeout 500ms;";
    for (text, logged) in [
        ("", "auth http server"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "auth http server"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "auth http server"),
        ("nonsense\r\n\r\n", "auth http server"),
        (
            "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nContent-Length: 0\r\n\r\n",
            "did not send server or port",
        ),
        (
            "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 70000\r\nContent-Length: 0\r\n\r\n",
            "invalid server port",
        ),
    ] {
        let lookup = FakeLookup::start(move |_: &Asked| text.to_owned());
        let scene = asking(&lookup, Protocol::Imap, silent);
        let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
        let is_ours = end.starts_with("NO [UNAVAILABLE]") || end.starts_with("NO [SERVERBUG]");
        assert!(is_ours, "{text:?}: {end}");
        let line = scene.gatepost.logs(logged);
        assert!(line.contains("[error]") && line.contains("while in http auth state"), "{line}");
    }
}

#[test]
fn a_handler_that_is_slow_or_gone_is_given_up() {
    let lookup = FakeLookup::start(|_: &Asked| {
        std::thread::park_timeout(Duration::from_secs(10));
        String::new()
    });
    let scene = asking(&lookup, Protocol::Imap, "auth_http_timeout 500ms;");
    let start = Instant::now();
    let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    assert!(start.elapsed() < Duration::from_secs(8));
    scene.gatepost.logs("timed out");

    let gone =
        mail(&format!("{CERTIFICATE} auth_http {}:1/; {}", fresh_ip(), servers(Protocol::Imap)));
    let scene = Scene::with(Ca::new(), Protocol::Imap, &gone, &[]);
    let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
}

#[test]
fn nothing_a_client_says_adds_a_header() {
    let upstream = FakeUpstream::start(pop3(Manners::pop3()));
    let lookup = FakeLookup::to(upstream.addr());
    let scene = asking(&lookup, Protocol::Pop3, "");
    scene.client().log_in(Mechanism::Login, "a: b%c", "Auth-Pass: x");
    for asked in lookup.asked() {
        let names: Vec<_> = asked.headers.iter().map(|(name, _)| name.as_str()).collect();
        let passwords = names.iter().filter(|name| name.eq_ignore_ascii_case("Auth-Pass"));
        assert_eq!(passwords.count(), 1, "{asked:?}");
        assert_eq!(asked.get("Auth-User"), "a:%20b%25c");
    }
}

#[test]
fn a_strict_gatepost_takes_no_odd_answer() {
    let upstream = upstream();
    let to = upstream.addr();
    let said = towards(to, &[]);
    for (text, logged) in [
        (said.replace("200 OK", "500 Oops"), "sent status 500"),
        (said.replace("HTTP/1.1 200 OK\r\n", ""), "sent invalid response"),
    ] {
        let lookup = FakeLookup::start(move |_: &Asked| text.clone());
        for (strict, beginning) in [("off", "OK"), ("on", "NO [UNAVAILABLE]")] {
            let scene = asking(&lookup, Protocol::Imap, &format!("auth_http_strict {strict};"));
            let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
            assert!(end.starts_with(beginning), "{strict}: {end}");
            if strict == "on" {
                scene.gatepost.logs(logged);
            }
        }
    }
}

#[test]
fn another_handler_answers_for_one_that_is_down() {
    let upstream = upstream();
    let (broken, good) =
        (saying(&[("Auth-Status", "OK"), ("Auth-Server", "a b")]), FakeLookup::to(upstream.addr()));
    let gone = format!("{}:1", fresh_ip());
    let text = mail(&format!(
        "{CERTIFICATE} auth_http {gone} http://@broken@/ @good@/auth; {}",
        servers(Protocol::Imap)
    ));
    let (broken_at, good_at) = (broken.addr(), good.addr());
    let values: [(&str, &dyn ToString); 2] = [("broken", &broken_at), ("good", &good_at)];
    let scene = Scene::with(Ca::new(), Protocol::Imap, &text, &values);
    for _ in 0..6 {
        scene.client().log_in(Mechanism::Login, "bob", "pw");
    }
    assert_eq!(good.asked().len(), 6);
    let line = scene.gatepost.logs(&format!("auth http server {gone} connect() failed"));
    assert!(line.contains("[error]") && line.contains("while in http auth state"), "{line}");
    scene.gatepost.logs(&format!("auth http server {broken_at} did not send server or port"));
}

#[test]
fn a_handler_behind_tls_must_be_the_one_that_is_meant() {
    let (upstream, ca) = (upstream(), Ca::new());
    let to = upstream.addr();
    let pair = ca.ecdsa(&["lookup.test"]);
    let lookup = FakeLookup::secured(&pair, move |_| towards(to, &[]));
    let text = |extra: &str| {
        mail(&format!(
            "{CERTIFICATE} auth_http https://@lookup@/auth; {extra} {}",
            servers(Protocol::Imap)
        ))
    };
    let at = lookup.addr();
    let trusting = "auth_http_ssl_trusted_certificate @dir@/ca.pem;";
    let named = format!("{trusting} auth_http_ssl_name lookup.test;");
    let scene = Scene::with(ca, Protocol::Imap, &text(&named), &[("lookup", &at)]);
    scene.client().log_in(Mechanism::Login, "bob", "pw");
    assert_eq!(lookup.asked()[0].get("Auth-Pass"), "pw");
    drop(scene);

    // Of another authority, and with another name: nobody's password goes out.
    let scene = Scene::with(Ca::new(), Protocol::Imap, &text(&named), &[("lookup", &at)]);
    let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    let line = scene.gatepost.logs("failed in the SSL handshake");
    assert!(line.contains("auth_http_ssl_trusted_certificate"), "{line}");
    assert_eq!(lookup.asked().len(), 1);
}
