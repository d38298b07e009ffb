//! Logins through gatepost: every mechanism, every kind of TLS on either side, and who the upstream
//! believes the client to be.

use std::net::SocketAddr;
use std::time::Duration;

use crate::scene::{CERTIFICATE, Scene, TO_BACKEND, TRUSTING, Way, servers};
use crate::support::{
    Ca, Client, Dovecot, FakeUpstream, Gatepost, IMAP, Manners, Mechanism, POP3, Protocol, Site,
    encoded, fresh_ip, imap, mail, pop3,
};

const USERS: &[(&str, &str)] = &[("alice@a.test", "won{der} \\\"land"), ("bob@b.test", "pw")];
const PASSWORD: &str = "tea and crumpets";

/// Every mechanism by every way in, to one kind of upstream.
fn log_in_by_every_way(protocol: Protocol, upstream: Way) {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, &[("alice@a.test", PASSWORD)]);
    let (to, proxy_ssl) = match upstream {
        Way::Clear => (dovecot.clear(protocol), "off"),
        Way::StartTls => (dovecot.clear(protocol), "starttls"),
        Way::Tls => (dovecot.tls(protocol), "on"),
    };
    let scene = Scene::by(ca, to, protocol, &format!("proxy_ssl {proxy_ssl}; {TRUSTING}"));
    for way in Way::ALL {
        for mechanism in Mechanism::ALL {
            let mut client = scene.client_by(way);
            client.log_in(mechanism, "alice@a.test", PASSWORD);
            client.work_and_leave();
        }
    }
    let login = dovecot.logs_login("alice@a.test");
    assert_eq!(login.contains("conn=<TLS>"), upstream != Way::Clear, "{login}");
    scene.gatepost.quit();
}

#[test]
fn imap_logins_go_to_a_clear_upstream() {
    log_in_by_every_way(Protocol::Imap, Way::Clear);
}

#[test]
fn imap_logins_go_to_a_starttls_upstream() {
    log_in_by_every_way(Protocol::Imap, Way::StartTls);
}

#[test]
fn imap_logins_go_to_a_tls_upstream() {
    log_in_by_every_way(Protocol::Imap, Way::Tls);
}

#[test]
fn pop3_logins_go_to_a_clear_upstream() {
    log_in_by_every_way(Protocol::Pop3, Way::Clear);
}

#[test]
fn pop3_logins_go_to_a_starttls_upstream() {
    log_in_by_every_way(Protocol::Pop3, Way::StartTls);
}

#[test]
fn pop3_logins_go_to_a_tls_upstream() {
    log_in_by_every_way(Protocol::Pop3, Way::Tls);
}

#[test]
fn a_password_of_any_characters_arrives() {
    let (user, password) = ("alice@a.test", "q\"uo\\te {3+} %s päss §");
    let dovecot = Dovecot::start(&Ca::new(), &[(user, password)]);
    let scene = Scene::before(dovecot.clear(Protocol::Imap), Protocol::Imap, "");
    let mut client = scene.client();
    client.log_in(Mechanism::PlainAtOnce, user, password);
    let mut client = scene.client();
    client.log_in(Mechanism::AuthLogin, user, password);
    let mut client = scene.client();
    client.send(format!("a LOGIN {user} {{{}}}\r\n", password.len()));
    client.hears("+");
    client.send(format!("{password}\r\n"));
    client.hear_out("a").is("OK");
}

#[test]
fn two_users_work_on_two_servers() {
    let ca = Ca::new();
    let a = Dovecot::start(&ca, &[("alice@a.test", PASSWORD)]);
    let b = Dovecot::start(&ca, &[("bob@b.test", PASSWORD), ("carol@c.test", PASSWORD)]);
    let conf = format!(
        "{CERTIFICATE}
         route {{ alice@a.test to_a; @b.test to_b; ~^car.*$ to_b; default to_a; }}
         upstream to_a {{ server @a@; }}
         upstream to_b {{ server @b@; }}
         {}",
        servers(Protocol::Imap)
    );
    let values: [(&str, &dyn ToString); 2] =
        [("a", &a.clear(Protocol::Imap)), ("b", &b.clear(Protocol::Imap))];
    let scene = Scene::with(ca, Protocol::Imap, &mail(&conf), &values);
    let mut clients = Vec::new();
    for user in ["alice@a.test", "bob@b.test", "carol@c.test"] {
        let mut client = scene.client_by(Way::Tls);
        client.log_in(Mechanism::Login, user, PASSWORD);
        client.ask(&format!("CREATE {}", user.split('@').next().unwrap())).is("OK");
        clients.push((user, client));
    }
    for (user, client) in &mut clients {
        let name = user.split('@').next().unwrap();
        client.ask("LIST \"\" *").is("OK").tells(name);
    }
    a.logs_login("alice@a.test");
    b.logs_login("bob@b.test");
    b.logs_login("carol@c.test");
    assert!(!a.log().contains("bob@b.test") && !b.log().contains("alice@a.test"));
}

#[test]
fn dovecot_sees_the_imap_client_by_id() {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, USERS);
    let extra = "proxy_dovecot on; access_log logs/access.log json;";
    let scene = Scene::by(ca, dovecot.clear(Protocol::Imap), Protocol::Imap, extra);
    let from = fresh_ip();
    let mut client = Client::greeted_from(from, Protocol::Imap, scene.gatepost.imap());
    client.ask("ID (\"name\" \"Mutt\" \"x-originating-ip\" \"192.0.2.66\")").is("OK").tells("ID");
    client.log_in(Mechanism::Login, "bob@b.test", "pw");
    let login = dovecot.logs_login("bob@b.test");
    let port = client.local_addr().port();
    // What a client says of itself is not believed.
    assert!(login.contains(&format!("rip={from}, rport={port}, ")), "{login}");
    // The address that the client connected to, not our own towards Dovecot.
    assert!(login.contains(&format!("lip={}", scene.gatepost.site.ip)), "{login}");
    // Both logs name the session alike.
    drop(client);
    let line = scene.gatepost.waits_for_line("logs/access.log", "bob@b.test");
    let (_, session) = login.split_once("session=<").unwrap();
    let (session, _) = session.split_once('>').unwrap();
    assert!(line.contains(&format!("\"session\":\"{session}\"")), "{login}\n{line}");
}

#[test]
fn dovecot_sees_the_imap_client_without_being_named_dovecot() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    let scene = Scene::before(dovecot.clear(Protocol::Imap), Protocol::Imap, "");
    let from = fresh_ip();
    let mut client = Client::greeted_from(from, Protocol::Imap, scene.gatepost.imap());
    client.log_in(Mechanism::Login, "bob@b.test", "pw");
    let login = dovecot.logs_login("bob@b.test");
    assert!(login.contains(&format!("rip={from}, ")), "{login}");
}

#[test]
fn dovecot_sees_the_pop3_client_by_xclient() {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, USERS);
    let scene = Scene::by(ca, dovecot.clear(Protocol::Pop3), Protocol::Pop3, "");
    let from = fresh_ip();
    let mut client =
        Client::greeted_from(from, Protocol::Pop3, scene.gatepost.clear(Protocol::Pop3));
    client.log_in(Mechanism::Login, "bob@b.test", "pw");
    let login = dovecot.logs_login("bob@b.test");
    let port = client.local_addr().port();
    assert!(login.contains(&format!("rip={from}, rport={port}, ")), "{login}");
}

#[test]
fn an_upstream_that_shall_not_know_the_client_does_not() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    let off = "proxy_issue_imap_id off; xclient off; proxy_issue_pop3_xoip off;";
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let scene = Scene::before(dovecot.clear(protocol), protocol, off);
        let from = fresh_ip();
        let to = scene.gatepost.clear(protocol);
        let mut client = Client::greeted_from(from, protocol, to);
        client.log_in(Mechanism::Login, "bob@b.test", "pw");
        dovecot.logs(&[&format!("{}-login: Info: Login", protocol.name())]);
        assert!(!dovecot.log().contains(&format!("rip={from}")), "{}", dovecot.log());
    }
}

#[test]
fn a_wrong_password_may_be_mended() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    for (protocol, refusal) in
        [(Protocol::Imap, "NO [AUTHENTICATIONFAILED]"), (Protocol::Pop3, "-ERR [AUTH]")]
    {
        let scene = Scene::before(dovecot.clear(protocol), protocol, "");
        let mut client = scene.client();
        for mechanism in [Mechanism::Login, Mechanism::PlainAsked] {
            let end = client.try_log_in(mechanism, "bob@b.test", "wrong");
            assert!(end.starts_with(refusal), "{end}");
        }
        client.log_in(Mechanism::PlainAtOnce, "bob@b.test", "pw");
        client.work_and_leave();
    }
}

#[test]
fn the_upstreams_own_words_reach_the_client_when_they_may() {
    let refusing =
        Manners { answer: "NO [CONTACTADMIN] see room 101".to_owned(), ..Manners::imap() };
    let upstream = FakeUpstream::start(imap(refusing));
    for (directive, word, is_there) in [
        ("proxy_pass_error_message on;", "see room 101", true),
        ("proxy_pass_error_message off;", "see room 101", false),
        ("", "see room 101", false),
    ] {
        let scene = Scene::before(upstream.addr(), Protocol::Imap, directive);
        let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
        assert!(end.starts_with("NO ["), "{directive} {end}");
        assert_eq!(end.contains(word), is_there, "{directive} {end}");
    }
    let refusing =
        Manners { answer: "-ERR [IN-USE] room 101 is taken".to_owned(), ..Manners::pop3() };
    let upstream = FakeUpstream::start(pop3(refusing));
    let scene = Scene::before(upstream.addr(), Protocol::Pop3, "proxy_pass_error_message on;");
    let end = scene.client().try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("-ERR [IN-USE] room 101"), "{end}");
}

#[test]
fn an_authorization_identity_goes_along() {
    for (protocol, verb) in [(Protocol::Imap, "AUTHENTICATE PLAIN"), (Protocol::Pop3, "AUTH PLAIN")]
    {
        let upstream = match protocol {
            Protocol::Imap => FakeUpstream::start(imap(Manners::imap())),
            Protocol::Pop3 => FakeUpstream::start(pop3(Manners::pop3())),
        };
        let scene = Scene::before(upstream.addr(), protocol, "");
        let mut client = scene.client();
        let said = encoded("shared@a.test\0alice@a.test\0pw");
        match protocol {
            Protocol::Imap => drop(client.ask(&format!("{verb} {said}")).is("OK")),
            Protocol::Pop3 => drop(client.ask_line(&format!("{verb} {said}"), "+OK")),
        }
        upstream.hears(&said);
    }
}

#[test]
fn line_ends_within_credentials_are_refused_and_go_nowhere() {
    let upstream = FakeUpstream::start(pop3(Manners::pop3()));
    let scene = Scene::before(upstream.addr(), Protocol::Pop3, "");
    for bad in ["\0u\r\nDELE 1\0pw", "\0u\0p\nw", "x\ry\0u\0pw", "\0u\0p\0w"] {
        let mut client = scene.client();
        client.ask_line(&format!("AUTH PLAIN {}", encoded(bad)), "-ERR");
        let mut client = scene.client();
        client.ask_line("AUTH LOGIN", "+ ");
        client.ask_line(&encoded("u\r\nDELE 1"), "");
        client.say(&encoded("pw"));
        client.hears("-ERR");
    }
    assert!(!upstream.heard().join("\n").contains("DELE"), "{:?}", upstream.heard());

    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    let mut client = scene.client();
    client.send("a LOGIN {6+}\r\nu\r\nb x {2+}\r\npw\r\n");
    let end = client.hear_out("a").end;
    assert!(end.starts_with("NO") || end.starts_with("BAD"), "{end}");
    assert_eq!(upstream.accepted(), 0);
}

#[test]
fn a_server_that_is_down_is_a_temporary_failure() {
    // Nobody listens there: the address is ours alone.
    let nowhere = (fresh_ip(), 1143).into();
    for (protocol, refusal) in
        [(Protocol::Imap, "NO [UNAVAILABLE]"), (Protocol::Pop3, "-ERR [SYS/TEMP]")]
    {
        let scene = Scene::before(nowhere, protocol, "");
        let mut client = scene.client();
        let end = client.try_log_in(Mechanism::Login, "bob", "pw");
        assert!(end.starts_with(refusal), "{end}");
        scene.gatepost.logs("while connecting to upstream");
        drop(client);
        scene.gatepost.quit();
    }
}

#[test]
fn the_next_server_is_tried_when_one_is_down() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let conf = format!(
        "{CERTIFICATE} route {{ default backend; }}
         upstream backend {{ server @nowhere@:1143; server @up@; }}
         {}",
        servers(Protocol::Imap)
    );
    let values: [(&str, &dyn ToString); 2] = [("nowhere", &fresh_ip()), ("up", &upstream.addr())];
    let scene = Scene::with(Ca::new(), Protocol::Imap, &mail(&conf), &values);
    for _ in 0..4 {
        let mut client = scene.let_in();
        client.ask("NOOP here").is("OK").tells("NOOP here");
    }
}

#[test]
fn an_upstream_may_be_named() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    // A name that every machine has; nobody listens there on port 1.
    let conf = format!(
        "{CERTIFICATE} route {{ default backend; }}
         upstream backend {{ server localhost:1; server @up@; }}
         {}",
        servers(Protocol::Imap)
    );
    let scene = Scene::with(Ca::new(), Protocol::Imap, &mail(&conf), &[("up", &upstream.addr())]);
    scene.let_in().ask("NOOP").is("OK");
}

#[test]
fn a_gatepost_that_reaches_itself_notices() {
    let conf = format!(
        "{CERTIFICATE} route {{ default backend; }}
         upstream backend {{ server @ip@:@imap@; }} proxy_dovecot on;
         {}",
        servers(Protocol::Imap)
    );
    let scene = Scene::with(Ca::new(), Protocol::Imap, &mail(&conf), &[]);
    let mut client = scene.client();
    let end = client.try_log_in(Mechanism::Login, "bob", "pw");
    assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    let connected = scene.gatepost.error_log().matches(" connected to ").count();
    assert!(connected < 20, "went round {connected} times");
}

#[test]
fn a_login_that_two_gateposts_send_round_comes_to_an_end() {
    for (protocol, refusal) in
        [(Protocol::Imap, "NO [UNAVAILABLE]"), (Protocol::Pop3, "-ERR [SYS/TEMP]")]
    {
        let name = protocol.name();
        let server = format!("server {{ listen @ip@:@{name}@; protocol {name}; }}");
        let text = mail(&format!("{TO_BACKEND}{server}"));
        let (one, two) = (Site::new(), Site::new());
        let port = if protocol == Protocol::Imap { IMAP } else { POP3 };
        let ends = [&one, &two].map(|site| SocketAddr::from((site.ip, port)));
        let one = Gatepost::start(one, &text, &[("up", &ends[1])]);
        let two = Gatepost::start(two, &text, &[("up", &ends[0])]);
        let mut client = Client::greeted(protocol, ends[0]);
        let end = client.try_log_in(Mechanism::Login, "bob", "pw");
        assert!(end.starts_with(refusal), "{end}");
        let log = one.error_log() + &two.error_log();
        let connected = log.matches(" connected to ").count();
        assert!((3..=10).contains(&connected), "went round {connected} times");
        assert!(log.contains("passed through too many proxies"), "{log}");
    }
}

#[test]
fn a_client_that_leaves_meanwhile_is_not_logged_in() {
    let slow = Manners { greeting: String::new(), ..Manners::imap() };
    let upstream = FakeUpstream::start(imap(slow));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "proxy_greeting_timeout 60s;");
    let mut client = scene.client();
    client.say("a LOGIN bob pw");
    client.hears_nothing_for(Duration::from_millis(100));
    drop(client);
    scene.gatepost.quit();
    assert!(!upstream.heard().join("\n").contains("bob"), "{:?}", upstream.heard());
}
