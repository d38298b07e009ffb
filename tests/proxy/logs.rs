//! What an admin reads: the error log, the access log, the figures. And what nobody may read there.

use std::net::SocketAddr;

use regex::Regex;

use crate::scene::{Scene, Way};
use crate::support::{
    Ca, Dovecot, FakeUpstream, Manners, Mechanism, Protocol, Talk, encoded, fresh_ip, imap, mail,
    until,
};

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

#[test]
fn a_line_of_the_error_log_is_as_nginxs_readers_expect() {
    let upstream = upstream();
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    let mut client = scene.let_in();
    let port = client.local_addr().port();
    client.ask("LOGOUT").is("OK");
    client.hears_the_end();
    drop(client);
    let head = r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[info\] \d+#\d+: \*\d+ ";
    let ip = scene.gatepost.site.ip;
    let up = upstream.addr();
    for (text, want) in [
        ("connected to", format!(r"client 127.0.0.1:{port} connected to {ip}:10143$")),
        (
            "client logged in",
            format!(
                r#"client logged in.*, client: 127.0.0.1, server: {ip}:10143, login: "alice@a.test""#
            ),
        ),
        (
            "proxied session done",
            format!(
                r#"proxied session done.*, client: 127.0.0.1, server: {ip}:10143, login: "alice@a.test", upstream: {up}$"#
            ),
        ),
    ] {
        let line = scene.gatepost.logs(text);
        let want = Regex::new(&format!("{head}{want}")).unwrap();
        assert!(want.is_match(&line), "{line}\nis not {want}");
    }
    // With STARTTLS the tail says so.
    drop(scene.let_in_by(Way::StartTls));
    scene.gatepost.logs("client: 127.0.0.1 using starttls, server: ");
    let log = scene.gatepost.error_log();
    let line = Regex::new(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d+#\d+: ").unwrap();
    for told in log.lines() {
        assert!(line.is_match(told), "{told}");
    }
}

#[test]
fn each_session_has_one_access_line() {
    let upstream = upstream();
    let extra = "access_log logs/access.log json;";
    let scene = Scene::before(upstream.addr(), Protocol::Imap, extra);
    let from = fresh_ip();
    let to = scene.gatepost.tls(Protocol::Imap);
    let talk = Talk::try_connect(Some(from), to).unwrap();
    let mut client = crate::support::Client::over(Protocol::Imap, talk);
    client.try_secure(&scene.tls).unwrap();
    client.greeting();
    let end = client.try_log_in(Mechanism::PlainAsked, "alice@a.test", "pw");
    assert!(end.starts_with("OK"), "{end}");
    client.ask("LOGOUT").is("OK");
    client.hears_the_end();
    drop(client);
    let line = scene.gatepost.waits_for_line("logs/access.log", &from.to_string());
    for part in [
        "\"protocol\":\"imap\"".to_owned(),
        format!("\"client\":\"{from}\""),
        "\"tls\":\"TLSv1.3\"".to_owned(),
        "\"auth_method\":\"auth-plain\"".to_owned(),
        "\"login\":\"alice@a.test\"".to_owned(),
        format!("\"upstream\":\"{}\"", upstream.addr()),
        "\"status\":\"ok\"".to_owned(),
    ] {
        assert!(line.contains(&part), "no {part}: {line}");
    }
    for field in ["lookup_time", "connect_time", "auth_time", "session_time", "bytes_sent", "end"] {
        assert!(line.contains(&format!("\"{field}\":")), "no {field}: {line}");
    }
    let bytes = Regex::new(r#""bytes_received":(\d+),"bytes_sent":(\d+)"#).unwrap();
    let bytes = bytes.captures(&line).unwrap();
    assert!(bytes[1] != *"0" && bytes[2] != *"0", "{line}");

    // One that never logs in has its line too.
    drop(scene.client());
    until("the second line", || (scene.gatepost.access_log().lines().count() == 2).then_some(()));
}

#[test]
fn a_line_is_as_log_format_has_it_and_there_before_the_end() {
    let upstream = upstream();
    let extra = "log_format short '$remote_addr $protocol \"$login\" $upstream_addr $status';
                 access_log logs/access.log short;";
    let scene = Scene::before(upstream.addr(), Protocol::Imap, extra);
    let mut sessions: Vec<_> = (0..20).map(|_| scene.let_in()).collect();
    for client in &mut sessions {
        client.ask("LOGOUT").is("OK");
    }
    drop(sessions);
    let up = upstream.addr();
    let site = scene.gatepost.quit();
    let log = site.read("logs/access.log");
    assert_eq!(log.lines().count(), 20, "{log}");
    let want = format!("127.0.0.1 imap \"alice@a.test\" {up} ok");
    assert!(log.lines().all(|line| line == want), "{log}");
    assert!(log.ends_with('\n'));
}

#[test]
fn a_password_is_in_no_log() {
    const PLANTED: &str = "tanstaafl-7419";
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, &[("alice@a.test", PLANTED)]);
    let extra = "access_log logs/access.log json; max_errors 50;";
    let plain = encoded(&format!("\0alice@a.test\0{PLANTED}"));
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let scene = Scene::before(dovecot.clear(protocol), protocol, extra);
        for way in Way::ALL {
            for mechanism in Mechanism::ALL {
                let mut client = scene.client_by(way);
                let _ = client.try_log_in(mechanism, "mallory", PLANTED);
                client.log_in(mechanism, "alice@a.test", PLANTED);
            }
        }
        // What is nearly a login is logged as a breach: without its words.
        for said in [
            format!("LOGIN alice@a.test {PLANTED} more"),
            format!("a LOGIN alice@a.test \"{PLANTED}"),
            format!("a b LOGIN alice@a.test {PLANTED}"),
            format!("a AUTHENTICATE PLAIN {plain}="),
            format!("a AUTHENTICATE PLANE {plain}"),
            format!("AUTH PLAIN {plain} {plain}"),
            format!("PASS {PLANTED}"),
            format!("PAS {PLANTED}"),
            PLANTED.to_owned(),
            plain.clone(),
        ] {
            let mut client = scene.client();
            client.say(&said);
            client.hears("");
            drop(client);
        }
        let site = scene.gatepost.quit();
        for entry in std::fs::read_dir(site.path("logs")).unwrap() {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for secret in [PLANTED, &encoded(PLANTED), &plain] {
                let found = text.lines().find(|line| line.contains(secret));
                assert_eq!(found, None, "{}", path.display());
            }
        }
        let log = site.read("logs/error.log");
        assert!(log.contains("alice@a.test"), "not much of a log");
    }
}

#[test]
fn what_a_client_sends_cannot_forge_a_line() {
    let upstream = upstream();
    let extra = "access_log logs/access.log json;";
    let scene = Scene::before(upstream.addr(), Protocol::Imap, extra);
    let forged = "x\", client: 192.0.2.1\u{1b}[2J";
    let mut client = scene.client();
    client.ask("ID (\"name\" \"a\\\", \\\"status\\\":\\\"no\")").is("OK");
    client.ask(&format!("AUTHENTICATE PLAIN {}", encoded(&format!("\0{forged}\0pw"))));
    drop(client);
    let line = scene.gatepost.waits_for_line("logs/access.log", "\"protocol\":\"imap\"");
    assert!(line.contains("\"status\":\"") && !line.contains("\"status\":\"no\""), "{line}");
    let site = scene.gatepost.quit();
    for file in ["logs/error.log", "logs/access.log"] {
        assert!(!site.read(file).contains('\u{1b}'), "{file}");
    }
}

/// What `path` on the figures' port says.
fn figures(at: SocketAddr, path: &str) -> String {
    let mut talk = Talk::try_connect(None, at).unwrap();
    talk.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    talk.left_unsaid()
}

#[test]
fn figures_are_shown() {
    let upstream = upstream();
    let text = mail(&format!(
        "{}{}{}",
        crate::scene::CERTIFICATE,
        crate::scene::TO_BACKEND,
        crate::scene::servers(Protocol::Imap)
    ));
    let text = format!("metrics @ip@:10900;\n{text}");
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let scene = Scene::with(Ca::new(), Protocol::Imap, &text, &values);
    let at = (scene.gatepost.site.ip, 10900).into();
    let session = scene.let_in();
    let shown = figures(at, "/metrics");
    assert!(shown.starts_with("HTTP/1.1 200 "), "{shown}");
    for line in shown.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(line.starts_with("# TYPE gatepost_"), "{line}");
    }
    assert!(shown.contains("# TYPE gatepost_"), "{shown}");
    let status = figures(at, "/stub_status");
    assert!(status.contains("Active connections:"), "{status}");
    assert!(figures(at, "/etc/passwd").starts_with("HTTP/1.1 404 "));
    // A reload that names another address moves them there.
    let moved = text.replace("10900", "10901");
    scene.gatepost.reload(&moved, &values, "figures are no longer shown");
    assert!(figures((scene.gatepost.site.ip, 10901).into(), "/stub_status").contains("Active"));
    until("the old address to close", || Talk::try_connect(None, at).err().map(drop));
    drop(session);
}
