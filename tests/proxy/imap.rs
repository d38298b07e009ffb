//! IMAP before login: what gatepost says of itself and how it takes what clients do.

use std::time::Duration;

use crate::scene::{Scene, Way};
use crate::support::{Client, FakeUpstream, Manners, Mechanism, Protocol, encoded, imap};

fn scene(extra: &str) -> (FakeUpstream, Scene) {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, extra);
    (upstream, scene)
}

#[test]
fn the_greeting_lists_what_works_now() {
    let (_upstream, scene) = scene("");
    let mut client = Client::connect(Protocol::Imap, scene.gatepost.imap());
    let greeting = client.greeting();
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
    for word in ["STARTTLS", "AUTH=PLAIN", "SASL-IR", "ID", "LITERAL"] {
        assert!(greeting.contains(word), "no {word}: {greeting}");
    }
    let clear = client.capabilities();
    assert!(clear.contains(" STARTTLS"), "{clear}");
    client.start_tls(&scene.tls);
    let secure = client.capabilities();
    assert!(!secure.contains("STARTTLS") && secure.contains("AUTH=PLAIN"), "{secure}");
    let mut client = scene.client_by(Way::Tls);
    assert!(!client.capabilities().contains("STARTTLS"));
    client.ask("STARTTLS").is("BAD");
}

#[test]
fn nobody_logs_in_before_tls_where_it_is_a_must() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let only = "server { listen @ip@:10144; protocol imap; starttls only; }";
    let scene = Scene::before(upstream.addr(), Protocol::Imap, only);
    let to = (scene.gatepost.site.ip, 10144).into();
    let mut client = Client::greeted(Protocol::Imap, to);
    let clear = client.capabilities();
    assert!(clear.contains("LOGINDISABLED") && !clear.contains("AUTH="), "{clear}");
    client.ask("LOGIN bob pw").is("NO [PRIVACYREQUIRED]");
    client.ask(&format!("AUTHENTICATE PLAIN {}", encoded("\0bob\0pw"))).is("NO [PRIVACYREQUIRED]");
    assert_eq!(upstream.accepted(), 0);
    client.start_tls(&scene.tls);
    assert!(!client.capabilities().contains("LOGINDISABLED"));
    client.log_in(Mechanism::Login, "bob", "pw");
}

#[test]
fn what_is_said_before_tls_does_not_count_within() {
    let (upstream, scene) = scene("");
    let mut client = scene.client();
    // CVE-2011-0411: a command put behind STARTTLS in the clear.
    client.send("a STARTTLS\r\nb LOGIN mallory pw\r\n");
    let said = client.left_unsaid();
    assert!(!said.contains("a OK"), "{said}");
    assert_eq!(upstream.accepted(), 0);
}

#[test]
fn id_is_answered_and_passed_on() {
    let (upstream, scene) = scene("imap_id name gatepost vendor \"the gate\";");
    let mut client = scene.client();
    client.ask("ID (\"name\" \"Mutt\" \"version\" \"2.2\")").is("OK").tells("\"the gate\"");
    client.ask("ID NIL").is("OK").tells("* ID");
    client.log_in(Mechanism::Login, "bob", "pw");
    let told = upstream.hears(" ID (");
    assert!(told.to_ascii_uppercase().contains("X-ORIGINATING-IP"), "{told}");
    assert!(told.contains(&client.local_addr().ip().to_string()), "{told}");
}

#[test]
fn credentials_come_in_every_wrapping() {
    let (upstream, scene) = scene("");
    let bob = encoded("\0bob\0pw");
    for (at, said) in [
        "a LOGIN bob pw\r\n".to_owned(),
        "a login \"bob\" \"pw\"\r\n".to_owned(),
        "a LOGIN {3+}\r\nbob {2+}\r\npw\r\n".to_owned(),
        format!("a AUTHENTICATE PLAIN {bob}\r\n"),
        format!("a authenticate plain {bob}\r\n"),
        format!("a AUTHENTICATE LOGIN {}\r\n{}\r\n", encoded("bob"), encoded("pw")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = scene.client();
        client.send(&said);
        while !client.line().starts_with("a OK") {}
        client.ask(&format!("NOOP {at}")).is("OK").tells(&format!("NOOP {at}"));
    }
    let heard = upstream.heard().join("\n");
    assert!(heard.contains("bob") || heard.contains(&bob), "{heard}");

    let mut client = scene.client();
    client.say("a LOGIN {3}");
    client.hears("+");
    client.say("bob {2}");
    client.hears("+");
    client.say("pw");
    client.hear_out("a").is("OK");
}

#[test]
fn an_empty_initial_response_is_a_response() {
    let (_upstream, scene) = scene("");
    let mut client = scene.client();
    // RFC 4959 §3: "=" is the empty response. PLAIN has no use for it: it is asked for another, or
    // refused.
    client.say("a AUTHENTICATE PLAIN =");
    if client.line().starts_with('+') {
        client.say(&encoded("\0bob\0pw"));
        client.hear_out("a").is("OK");
        client = scene.client();
    }
    client.ask_line("b AUTHENTICATE PLAIN", "+ ");
    client.say("*");
    client.hears("b BAD");
    client.log_in(Mechanism::PlainAsked, "bob", "pw");
}

#[test]
fn commands_before_and_behind_the_login_are_answered_in_turn() {
    let (_upstream, scene) = scene("");
    let mut client = scene.client();
    client.send(
        "a CAPABILITY\r\nb ID NIL\r\nc NOOP\r\nd LOGIN bob pw\r\ne NOOP 1\r\nf NOOP 2\r\ng LOGOUT\r\n",
    );
    client.hear_out("a").is("OK").tells("CAPABILITY");
    client.hear_out("b").is("OK").tells("ID");
    client.hear_out("c").is("OK");
    client.hear_out("d").is("OK");
    client.hear_out("e").is("OK").tells("NOOP 1");
    client.hear_out("f").is("OK").tells("NOOP 2");
    client.hear_out("g").is("OK").tells("BYE");
    client.hears_the_end();
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    let (_upstream, scene) = scene("");
    let mut client = scene.client();
    for byte in b"a CAPABILITY\r\nb LOGIN {3+}\r\nbob {2+}\r\npw\r\n" {
        client.send([*byte]);
    }
    client.hear_out("a").is("OK");
    client.hear_out("b").is("OK");
    client.ask("NOOP").is("OK");
}

#[test]
fn nonsense_is_answered_and_counted() {
    let (_upstream, scene) = scene("max_errors 3;");
    let mut client = scene.client();
    client.ask("ENABLE CONDSTORE").is("BAD");
    client.say("");
    client.hears("* BAD");
    client.say("!$%& what");
    client.hears("* BAD");
    client.hears_the_end();
    scene.gatepost.logs("client sent too many invalid commands");
}

#[test]
fn who_leaves_is_let_go() {
    let (upstream, scene) = scene("");
    let mut client = scene.client();
    client.ask("LOGOUT").is("OK").tells("BYE");
    client.hears_the_end();
    assert_eq!(upstream.accepted(), 0);
}

#[test]
fn a_command_has_its_longest() {
    let (_upstream, scene) = scene("imap_client_buffer 2k;");
    let mut client = scene.client();
    client.send(format!("a LOGIN {} pw\r\n", "x".repeat(3000)));
    let said = client.left_unsaid();
    assert!(said.contains("BAD") || said.starts_with("* BYE"), "{said}");
    let mut client = scene.client();
    client.send("a LOGIN {3000}\r\n");
    let refusal = client.hears("");
    assert!(!refusal.starts_with('+'), "{refusal}");
    let mut client = scene.client();
    let (user, password) = ("u".repeat(600), "p".repeat(600));
    client.log_in(Mechanism::Login, &user, &password);
}

#[test]
fn who_says_nothing_is_told_so() {
    let (_upstream, scene) = scene("timeout 300ms;");
    let mut client = scene.client();
    client.patience = Duration::from_secs(5);
    client.hears("* BYE");
    client.hears_the_end();
    scene.gatepost.logs("client timed out");
}

#[test]
fn the_upstreams_capabilities_and_alerts_reach_the_client() {
    let manners = Manners {
        before_answer: vec![
            "* CAPABILITY IMAP4rev1 IDLE QUOTA".to_owned(),
            "* OK [ALERT] the disk is full".to_owned(),
            "* OK hello".to_owned(),
        ],
        answer: "OK [CAPABILITY IMAP4rev1 IDLE QUOTA X-MORE] in".to_owned(),
        ..Manners::imap()
    };
    let upstream = FakeUpstream::start(imap(manners));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    let mut client = scene.client();
    let reply = client.ask("LOGIN bob pw").is("OK [CAPABILITY IMAP4rev1 IDLE QUOTA X-MORE]");
    let reply = reply.tells("[ALERT] the disk is full");
    assert!(reply.untagged.iter().all(|line| line.starts_with("* ")), "{reply:?}");
    client.ask("NOOP").is("OK");
}
