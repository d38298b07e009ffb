//! POP3 before login.

use std::time::Duration;

use crate::scene::{Scene, Way};
use crate::support::{Client, FakeUpstream, Manners, Mechanism, Protocol, encoded, pop3};

fn scene(extra: &str) -> (FakeUpstream, Scene) {
    let upstream = FakeUpstream::start(pop3(Manners::pop3()));
    let scene = Scene::before(upstream.addr(), Protocol::Pop3, extra);
    (upstream, scene)
}

#[test]
fn capa_lists_what_works_now() {
    let (_upstream, scene) = scene("");
    let mut client = scene.client();
    let clear = client.capabilities();
    for word in
        ["USER", "SASL PLAIN LOGIN", "STLS", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "XCLIENT"]
    {
        assert!(clear.contains(word), "no {word}:\n{clear}");
    }
    client.start_tls(&scene.tls);
    let secure = client.capabilities();
    assert!(!secure.contains("STLS") && secure.contains("USER"), "{secure}");
    let mut client = scene.client_by(Way::Tls);
    assert!(!client.capabilities().contains("STLS"));
    client.ask_line("STLS", "-ERR");
    assert_eq!(client.ask_lines("AUTH"), ["PLAIN", "LOGIN"]);
}

#[test]
fn nobody_logs_in_before_tls_where_it_is_a_must() {
    let upstream = FakeUpstream::start(pop3(Manners::pop3()));
    let only = "server { listen @ip@:10111; protocol pop3; starttls only; }";
    let scene = Scene::before(upstream.addr(), Protocol::Pop3, only);
    let mut client = Client::greeted(Protocol::Pop3, (scene.gatepost.site.ip, 10111).into());
    let clear = client.capabilities();
    assert!(!clear.contains("USER") && !clear.contains("SASL"), "{clear}");
    client.ask_line("USER bob", "-ERR");
    client.ask_line(&format!("AUTH PLAIN {}", encoded("\0bob\0pw")), "-ERR");
    client.start_tls(&scene.tls);
    client.log_in(Mechanism::Login, "bob", "pw");
    assert_eq!(upstream.accepted(), 1);
}

#[test]
fn what_is_said_before_tls_does_not_count_within() {
    let (upstream, scene) = scene("");
    let mut client = scene.client();
    client.send("STLS\r\nUSER mallory\r\n");
    let said = client.left_unsaid();
    assert!(!said.contains("+OK"), "{said}");
    let mut client = scene.client();
    client.ask_line("USER mallory", "+OK");
    client.start_tls(&scene.tls);
    client.ask_line("PASS pw", "-ERR");
    assert_eq!(upstream.accepted(), 0);
}

#[test]
fn blanks_are_part_of_a_password() {
    let (upstream, scene) = scene("");
    let mut client = scene.client();
    client.log_in(Mechanism::Login, "bob", " two  words ");
    let heard = upstream.heard();
    let plain = format!("AUTH PLAIN {}", encoded("\0bob\0 two  words "));
    let is_sent = heard.iter().any(|line| *line == "PASS  two  words " || *line == plain);
    assert!(is_sent || heard.contains(&encoded("\0bob\0 two  words ")), "{heard:?}");
}

#[test]
fn a_command_may_have_255_octets() {
    let (_upstream, scene) = scene("");
    let mut client = scene.client();
    let user = "u".repeat(255 - "USER \r\n".len());
    client.ask_line(&format!("USER {user}"), "+OK");
    client.ask_line("PASS pw", "+OK");
    let mut client = scene.client();
    client.ask_line(&format!("USER {user}u"), "-ERR");
}

#[test]
fn commands_before_and_behind_the_login_are_answered_in_turn() {
    let (_upstream, scene) = scene("");
    let mut client = scene.client();
    client.send("CAPA\r\nNOOP\r\nUSER bob\r\nPASS pw\r\nNOOP 1\r\nNOOP 2\r\nQUIT\r\n");
    while client.line() != "." {}
    client.hears("+OK");
    client.hears("+OK");
    client.hears("+OK");
    client.hears("+OK NOOP 1");
    client.hears("+OK NOOP 2");
    client.hears("+OK");
    client.hears_the_end();
}

#[test]
fn nonsense_is_answered_and_counted() {
    let (_upstream, scene) = scene("max_errors 2;");
    let mut client = scene.client();
    client.ask_line("DELE 1", "-ERR");
    client.ask_line("PASS before user", "-ERR");
    client.hears_the_end();
}

#[test]
fn who_says_nothing_is_told_so() {
    let (_upstream, scene) = scene("timeout 300ms;");
    let mut client = scene.client();
    client.patience = Duration::from_secs(5);
    client.hears("-ERR");
    client.hears_the_end();
}

#[test]
fn xoip_goes_to_who_lists_it_and_a_refusal_is_borne() {
    let (upstream, scene) = scene("");
    let mut client = scene.client();
    client.log_in(Mechanism::Login, "bob", "pw");
    let ip = client.local_addr().ip().to_string();
    let told = upstream.heard().join("\n");
    let is_told = told.contains(&format!("XOIP {ip}")) || told.contains(&format!("ADDR={ip}"));
    assert!(is_told, "{told}");

    let refusing = Manners { takes_identity: false, ..Manners::pop3() };
    let upstream = FakeUpstream::start(pop3(refusing));
    for (tells, said) in [
        ("proxy_issue_pop3_xoip on; xclient off;", "XOIP "),
        ("proxy_issue_pop3_xoip off; xclient on;", "XCLIENT ADDR="),
    ] {
        let scene = Scene::before(upstream.addr(), Protocol::Pop3, tells);
        scene.client().log_in(Mechanism::Login, "bob", "pw");
        upstream.hears(said);
    }
}
