//! Upstreams that are late, gone, wrong or odd, and what their clients hear of it.

use std::time::{Duration, Instant};

use crate::scene::{CERTIFICATE, Scene, TRUSTING, servers};
use crate::support::{
    Ca, Client, Dovecot, FakeUpstream, Manners, Mechanism, Protocol, Talk, encoded, imap, mail,
    pop3,
};

const PROTOCOLS: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];

/// "Not now": what a client may take as a reason to come back later.
fn unavailable(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "NO [UNAVAILABLE]",
        Protocol::Pop3 => "-ERR [SYS/TEMP]",
    }
}

fn upstream(protocol: Protocol, change: impl Fn(&mut Manners)) -> FakeUpstream {
    match protocol {
        Protocol::Imap => {
            let mut manners = Manners::imap();
            change(&mut manners);
            FakeUpstream::start(imap(manners))
        }
        Protocol::Pop3 => {
            let mut manners = Manners::pop3();
            change(&mut manners);
            FakeUpstream::start(pop3(manners))
        }
    }
}

fn attempt(scene: &Scene) -> String {
    scene.client().try_log_in(Mechanism::Login, "bob", "pw")
}

#[test]
fn one_that_greets_late_is_waited_for() {
    for protocol in PROTOCOLS {
        let upstream = FakeUpstream::start(move |talk: &mut Talk| {
            std::thread::park_timeout(Duration::from_millis(700));
            match protocol {
                Protocol::Imap => imap(Manners::imap())(talk),
                Protocol::Pop3 => pop3(Manners::pop3())(talk),
            }
        });
        drop(Scene::before(upstream.addr(), protocol, "").let_in());
    }
}

#[test]
fn one_that_never_greets_is_given_up() {
    for protocol in PROTOCOLS {
        let upstream = upstream(protocol, |manners| manners.greeting.clear());
        let scene = Scene::before(upstream.addr(), protocol, "proxy_greeting_timeout 500ms;");
        let start = Instant::now();
        let end = attempt(&scene);
        assert!(end.starts_with(unavailable(protocol)), "{end}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        scene.gatepost.logs("upstream timed out");
    }
}

#[test]
fn one_that_never_answers_is_given_up() {
    for protocol in PROTOCOLS {
        let upstream = FakeUpstream::start(move |talk: &mut Talk| {
            let greeting = if protocol == Protocol::Imap { "* OK" } else { "+OK" };
            talk.try_say(greeting)?;
            loop {
                talk.try_line()?;
            }
        });
        let scene = Scene::before(upstream.addr(), protocol, "proxy_auth_timeout 500ms;");
        let end = attempt(&scene);
        assert!(end.starts_with(unavailable(protocol)), "{end}");
    }
}

#[test]
fn one_that_greets_with_bye_or_nonsense_is_unavailable() {
    for (protocol, greeting) in [
        (Protocol::Imap, "* BYE closed for cleaning"),
        (Protocol::Imap, "* PREAUTH you are in"),
        (Protocol::Imap, "220 smtp.test ESMTP"),
        (Protocol::Imap, "\u{7f}\u{0}\u{1}"),
        (Protocol::Imap, "+OK this is POP3"),
        (Protocol::Pop3, "-ERR [SYS/TEMP] closed"),
        (Protocol::Pop3, "* OK this is IMAP"),
        (Protocol::Pop3, "220 smtp.test ESMTP"),
    ] {
        let upstream = upstream(protocol, |manners| manners.greeting = greeting.to_owned());
        let scene = Scene::before(upstream.addr(), protocol, "");
        let end = attempt(&scene);
        assert!(end.starts_with(unavailable(protocol)), "{greeting:?}: {end}");
        assert!(!upstream.heard().join("\n").contains("pw"), "{:?}", upstream.heard());
    }
}

#[test]
fn one_that_hangs_up_in_any_phase_is_unavailable_and_the_client_may_try_again() {
    for protocol in PROTOCOLS {
        let mut has_let_in = false;
        for lines in 0..8 {
            let upstream = upstream(protocol, |manners| manners.deaf_after = Some(lines));
            let scene = Scene::before(upstream.addr(), protocol, "");
            let mut client = scene.client();
            let end = client.try_log_in(Mechanism::Login, "bob", "pw");
            if end.starts_with("OK") || end.starts_with("+OK") {
                has_let_in = true;
                continue;
            }
            assert!(end.starts_with(unavailable(protocol)), "after {lines} lines: {end}");
            assert!(!has_let_in, "after {lines} lines: {end}");
            let end = client.try_log_in(Mechanism::PlainAtOnce, "bob", "pw");
            assert!(end.starts_with(unavailable(protocol)), "after {lines} lines: {end}");
        }
        assert!(has_let_in, "{protocol:?} needs more than 8 lines for a login");
    }
}

#[test]
fn one_with_a_strangers_certificate_behind_starttls_leaves_the_login_to_the_next() {
    for protocol in PROTOCOLS {
        let (ca, users) = (Ca::new(), &[("bob", "pw")]);
        let stranger = Dovecot::start(&Ca::new(), users);
        let ours = Dovecot::start(&ca, users);
        let conf = format!(
            "{CERTIFICATE} route {{ default backend; }}
             upstream backend {{ server @stranger@; server @ours@; }}
             proxy_ssl starttls; {TRUSTING}
             {}",
            servers(protocol)
        );
        let ends = [&stranger, &ours].map(|dovecot| dovecot.clear(protocol));
        let values: [(&str, &dyn ToString); 2] = [("stranger", &ends[0]), ("ours", &ends[1])];
        let scene = Scene::with(ca, protocol, &mail(&conf), &values);
        // By turns: one of two begins with the stranger.
        for _ in 0..4 {
            let mut client = scene.client();
            client.log_in(Mechanism::Login, "bob", "pw");
            client.work_and_leave();
        }
        let line = scene.gatepost.logs("proxy_ssl_trusted_certificate");
        let stranger_at = format!("upstream: {}", ends[0]);
        for part in ["[error]", "SSL handshaking with upstream", &stranger_at] {
            assert!(line.contains(part), "no {part}: {line}");
        }
        assert!(!stranger.log().contains("bob"), "the password went to a stranger");
    }
}

#[test]
fn one_that_stutters_is_understood() {
    for protocol in PROTOCOLS {
        let upstream = upstream(protocol, |manners| {
            manners.stutters = true;
            if protocol == Protocol::Imap {
                manners.before_answer =
                    vec!["* OK [ALERT] slowly".to_owned(), "* CAPABILITY IMAP4rev1".to_owned()];
            }
        });
        let scene = Scene::before(upstream.addr(), protocol, "");
        let mut client = scene.let_in();
        match protocol {
            Protocol::Imap => drop(client.ask("NOOP").is("OK")),
            Protocol::Pop3 => drop(client.ask_line("NOOP", "+OK")),
        }
    }
}

#[test]
fn one_that_wants_no_identity_still_gets_the_login() {
    for protocol in PROTOCOLS {
        let upstream = upstream(protocol, |manners| manners.takes_identity = false);
        let on = "proxy_issue_imap_id on; proxy_issue_pop3_xoip on; xclient on;";
        drop(Scene::before(upstream.addr(), protocol, on).let_in());
        let asked = if protocol == Protocol::Imap { " ID (" } else { "XCLIENT ADDR=" };
        upstream.hears(asked);
    }
}

#[test]
fn one_that_lists_no_id_is_not_told() {
    let upstream = upstream(Protocol::Imap, |manners| {
        manners.greeting = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready".to_owned();
        manners.capabilities = "IMAP4rev1 AUTH=PLAIN".to_owned();
    });
    drop(Scene::before(upstream.addr(), Protocol::Imap, "").let_in());
    let heard = upstream.heard().join("\n");
    assert!(!heard.contains(" ID "), "{heard}");
}

#[test]
fn the_upstream_gets_the_login_it_offers() {
    let plain = encoded("\0bob\0pw");
    for (capabilities, sasl) in [
        ("IMAP4rev1 SASL-IR AUTH=PLAIN LOGINDISABLED", true),
        ("IMAP4rev1 AUTH=PLAIN LOGINDISABLED", true),
        ("IMAP4rev1", false),
        ("IMAP4rev1 AUTH=GSSAPI", false),
    ] {
        let upstream = upstream(Protocol::Imap, |manners| {
            manners.greeting = format!("* OK [CAPABILITY {capabilities}] ready");
            manners.capabilities = capabilities.to_owned();
        });
        let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
        let mut client = scene.client();
        client.log_in(Mechanism::PlainAsked, "bob", "pw");
        let heard = upstream.heard().join("\n");
        assert_eq!(heard.contains("AUTHENTICATE"), sasl, "{capabilities}: {heard}");
        assert_eq!(heard.contains(&plain), sasl, "{capabilities}: {heard}");
    }
}

#[test]
fn nothing_a_client_says_breaks_out_of_a_command() {
    let upstream = upstream(Protocol::Imap, |manners| {
        manners.greeting = "* OK [CAPABILITY IMAP4rev1 ID] ready".to_owned();
        manners.capabilities = "IMAP4rev1 ID".to_owned();
    });
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "proxy_dovecot on;");
    let mut client: Client = scene.client();
    let name = "a\\\" \\\"b\\\") x";
    client.ask(&format!("ID (\"name\" \"{name}\" \"x\\\"y\" \"z\")")).is("OK");
    client.send("a LOGIN {13+}\r\nbob\" \"pw\" {1} {5+}\r\np\"w\\{\r\n");
    let _ = client.hears("");
    for line in upstream.heard().iter().filter(|line| !line.starts_with("whole: ")) {
        // Each line is a command of gatepost's own, or a literal's end: quotes come in pairs.
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert!(quotes % 2 == 0, "{line}");
    }
    for line in upstream.heard().iter().filter(|line| line.contains(" ID (")) {
        assert!(line.ends_with(')') && line.matches(" ID (").count() == 1, "{line}");
    }
}
