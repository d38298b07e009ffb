//! After login: gatepost carries bytes, all of them, and gets out of the way.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::scene::{Scene, TRUSTING, Way};
use crate::support::{
    Ca, Client, Dovecot, FakeUpstream, Manners, Mechanism, PATIENCE, Protocol, Talk, imap, pop3,
    until,
};

const USERS: &[(&str, &str)] = &[("alice@a.test", "pw")];
const MB: usize = 1 << 20;

/// A message of `size` bytes whose every line differs.
fn message(size: usize) -> Vec<u8> {
    let mut text = b"From: a@a.test\r\nSubject: long\r\n\r\n".to_vec();
    let (mut number, mut state) = (0u64, 0x9e37_79b9_7f4a_7c15u64);
    while text.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number);
        text.extend_from_slice(format!("{number:08} {state:016x}{state:016x}\r\n").as_bytes());
        number += 1;
    }
    text
}

/// APPENDs a message of 50 MB, FETCHes it back, and compares byte for byte.
fn carry_50_mb(way: Way, upstream: Way) {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, USERS);
    let (to, ssl) = match upstream {
        Way::Tls => (dovecot.tls(Protocol::Imap), "on"),
        _ => (dovecot.clear(Protocol::Imap), "off"),
    };
    let scene = Scene::by(ca, to, Protocol::Imap, &format!("proxy_ssl {ssl}; {TRUSTING}"));
    let mut client = scene.let_in_by(way);
    client.patience = PATIENCE * 3;
    let text = message(50 * MB);
    client.say(&format!("a APPEND INBOX {{{}}}", text.len()));
    client.hears("+");
    client.send(&text);
    client.send("\r\n");
    client.hear_out("a").is("OK [APPENDUID");

    client.ask("SELECT INBOX").is("OK");
    client.say("b FETCH 1 BODY.PEEK[]");
    let line = client.hears("* 1 FETCH (BODY[] {");
    let length: usize = line.trim_end_matches('}').rsplit_once('{').unwrap().1.parse().unwrap();
    assert_eq!(length, text.len());
    let back = client.bytes(length);
    // Not assert_eq: nobody wants to read both.
    assert!(back == text, "the message has changed");
    client.hears(")");
    client.hear_out("b").is("OK");
    client.ask("LOGOUT").is("OK");
    client.hears_the_end();
    drop(client);
    scene.gatepost.quit();
}

#[test]
fn fifty_megabytes_go_in_the_clear() {
    carry_50_mb(Way::Clear, Way::Clear);
}

#[test]
fn fifty_megabytes_go_over_tls_on_both_sides() {
    carry_50_mb(Way::Tls, Way::Tls);
}

#[test]
fn fifty_megabytes_go_over_starttls_to_a_clear_upstream() {
    carry_50_mb(Way::StartTls, Way::Clear);
}

#[test]
fn news_reach_an_idle_client() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    let scene = Scene::before(dovecot.clear(Protocol::Imap), Protocol::Imap, "");
    for way in Way::ALL {
        let mut idle = scene.let_in_by(way);
        let before = idle.ask("SELECT INBOX").is("OK").untagged.join("\n");
        idle.ask_line("i IDLE", "+ ");
        let mut other = scene.let_in();
        other.say("a APPEND INBOX {16}");
        other.hears("+");
        other.say("Subject: new\r\n\r\n");
        other.hear_out("a").is("OK");
        while !idle.hears("* ").contains("EXISTS") {}
        idle.say("DONE");
        idle.hear_out("i").is("OK");
        let after = idle.ask("NOOP").is("OK");
        assert!(!before.is_empty(), "{after:?}");
    }
}

#[test]
fn two_hundred_commands_behind_a_login_are_answered_in_turn() {
    let dovecot = Dovecot::start(&Ca::new(), USERS);
    let scene = Scene::before(dovecot.clear(Protocol::Imap), Protocol::Imap, "");
    for way in Way::ALL {
        let mut client = scene.client_by(way);
        let mut said = "in LOGIN alice@a.test pw\r\n".to_owned();
        for number in 0..200 {
            said += &match number % 4 {
                0 => format!("n{number} NOOP\r\n"),
                1 => format!("n{number} STATUS INBOX (MESSAGES)\r\n"),
                2 => format!("n{number} LIST \"\" {{5+}}\r\nINBOX\r\n"),
                _ => format!("n{number} CAPABILITY\r\n"),
            };
        }
        client.send(&said);
        client.hear_out("in").is("OK");
        for number in 0..200 {
            client.hear_out(&format!("n{number}")).is("OK");
        }
        client.work_and_leave();
    }
}

#[test]
fn half_a_hang_up_is_passed_on_and_the_rest_still_comes() {
    let upstream = FakeUpstream::start(|talk| {
        let polite = imap(Manners::imap());
        match polite(talk) {
            // The client's side is over: only now does the long answer come.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                for number in 0..1000 {
                    talk.try_say(&format!("* LAST {number}"))?;
                }
                Ok(())
            }
            ended => ended,
        }
    });
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    for way in Way::ALL {
        let mut client = scene.let_in_by(way);
        client.hang_up();
        for number in 0..1000 {
            assert_eq!(client.line(), format!("* LAST {number}"));
        }
        client.hears_the_end();
    }
}

#[test]
fn an_upstream_that_hangs_up_ends_the_session() {
    let upstream = FakeUpstream::start(|talk| {
        let polite = imap(Manners { deaf_after: Some(8), ..Manners::imap() });
        polite(talk)
    });
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    let mut client = scene.let_in();
    loop {
        client.say("x NOOP");
        match client.try_line() {
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::TimedOut);
                break;
            }
        }
    }
    drop(client);
    scene.gatepost.logs("proxied session done");
}

#[test]
fn an_idle_session_ends_at_its_time() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "proxy_timeout 500ms;");
    let mut client = scene.let_in();
    // Whoever works is not idle.
    for _ in 0..10 {
        client.ask("NOOP").is("OK");
        client.hears_nothing_for(Duration::from_millis(100));
    }
    client.patience = Duration::from_secs(5);
    let _ = client.left_unsaid();
}

#[test]
fn a_reader_that_stops_holds_up_only_itself() {
    let upstream = FakeUpstream::start(|talk| {
        let flood = vec![b'x'; 64 << 10];
        let polite = imap(Manners { deaf_after: Some(4), ..Manners::imap() });
        let _ = polite(talk);
        while talk.try_send(&flood).is_ok() {}
        Ok(())
    });
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    let before = crate::support::rss_kib(scene.gatepost.pid());
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut client = scene.client();
        client.log_in(Mechanism::Login, "bob", "pw");
        for _ in 0..4 {
            client.say("x NOOP");
        }
        stalled.push(client);
    }
    let mut other = scene.let_in();
    other.say("x NOOP");
    other.hears("");
    let after = crate::support::rss_kib(scene.gatepost.pid());
    assert!(after < before + (16 << 10), "{before} KiB, then {after} KiB");
}

/// Longer than a relay waits for the goodbye of a client whose upstream has closed.
const STALL: Duration = Duration::from_secs(3);

/// Connects with hardly any room for what comes, so that it waits in gatepost.
fn narrow(to: SocketAddr) -> Talk {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    Talk::over(socket.into())
}

/// An upstream says a megabyte and closes. Its client reads all but the last 100 KB, then nothing
/// until the upstream has closed and [`STALL`] has passed, then the rest.
fn hear_the_last_words_late(ssl: bool) {
    let said = message(MB);
    let text = said.clone();
    let (closing, closes) = mpsc::channel();
    let upstream = FakeUpstream::start(move |talk| {
        talk.try_say("* OK [CAPABILITY IMAP4rev1] ready")?;
        loop {
            let line = talk.try_line()?;
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            if command == "FETCH" {
                break;
            }
            talk.try_say(&format!("{tag} OK done"))?;
        }
        talk.try_send(&text)?;
        closing.send(Instant::now()).unwrap();
        Ok(())
    });
    let ssl = if ssl { "ssl" } else { "" };
    let server =
        format!("server {{ listen @ip@:10300 {ssl} sndbuf=16k rcvbuf=16k; protocol imap; }}");
    let scene = Scene::before(upstream.addr(), Protocol::Imap, &server);
    let mut talk = narrow((scene.gatepost.site.ip, 10300).into());
    if !ssl.is_empty() {
        talk.try_secure(&scene.tls).unwrap();
    }
    let mut client = Client::over(Protocol::Imap, talk).after_greeting();
    client.log_in(Mechanism::Login, "bob", "pw");
    client.say("x FETCH");
    let mut heard = client.bytes(said.len() - 100_000);
    let closed = closes.recv_timeout(PATIENCE).unwrap();
    until("the stall to end", || (closed.elapsed() > STALL).then_some(()));
    heard.extend(client.left_unsaid().into_bytes());
    assert_eq!(heard.len(), said.len(), "an upstream's last words are lost");
    assert!(heard == said, "the last words have changed");
}

#[test]
fn an_upstreams_last_words_wait_for_a_client_that_stalls() {
    for ssl in [false, true] {
        hear_the_last_words_late(ssl);
    }
}

/// 128 KiB of commands, `TAG NOOP`, and the tags.
fn many_commands() -> (String, Vec<String>) {
    let tags: Vec<_> = (0..10_083).map(|number| format!("n{number:05}")).collect();
    let said: String = tags.iter().map(|tag| format!("{tag} NOOP\r\n")).collect();
    assert!(said.len() > 128 << 10);
    (said, tags)
}

#[test]
fn many_commands_wait_their_turn_behind_a_slow_ruling() {
    for (login, answer) in [("OK", "OK logged in"), ("NO", "NO wrong")] {
        let upstream = FakeUpstream::start(move |talk: &mut Talk| {
            std::thread::park_timeout(Duration::from_millis(700));
            imap(Manners { answer: answer.to_owned(), ..Manners::imap() })(talk)
        });
        let scene = Scene::before(upstream.addr(), Protocol::Imap, "max_commands 100000;");
        let (said, tags) = many_commands();
        for way in [Way::Clear, Way::Tls] {
            let mut client = scene.client_by(way);
            client.send(format!("in LOGIN bob pw\r\n{said}"));
            client.hear_out("in").is(login);
            for tag in &tags {
                client.hear_out(tag).is("OK");
            }
            client.ask("LOGOUT").is("OK");
        }
    }
}

#[test]
fn many_pop3_commands_wait_their_turn_behind_a_slow_ruling() {
    let upstream = FakeUpstream::start(|talk: &mut Talk| {
        std::thread::park_timeout(Duration::from_millis(700));
        pop3(Manners::pop3())(talk)
    });
    let scene = Scene::before(upstream.addr(), Protocol::Pop3, "");
    let (said, tags) = many_commands();
    let mut client = scene.client();
    client.send(format!("USER bob\r\nPASS pw\r\n{said}"));
    client.hears("+OK");
    client.hears("+OK");
    for tag in &tags {
        assert_eq!(client.line(), format!("+OK {tag} NOOP"));
    }
    client.ask_line("QUIT", "+OK");
}

#[test]
fn a_client_that_is_reset_takes_its_upstream_along() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    let client = scene.let_in();
    let socket: &TcpStream = client.socket();
    socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    scene.gatepost.logs("while proxying");
    let mut other: Client = scene.let_in();
    other.ask("NOOP").is("OK");
    drop(other);
    scene.gatepost.quit();
}
