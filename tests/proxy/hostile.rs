//! Clients and upstreams that mean ill, or are only broken: bounded memory, closed in time.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::scene::{Scene, Way};
use crate::support::{
    Client, FakeUpstream, Manners, PATIENCE, Protocol, Talk, imap, pop3, pss_kib, rss_kib, until,
};

const MB: u64 = 1 << 10;

fn scene(protocol: Protocol, extra: &str) -> (FakeUpstream, Scene) {
    let upstream = match protocol {
        Protocol::Imap => FakeUpstream::start(imap(Manners::imap())),
        Protocol::Pop3 => FakeUpstream::start(pop3(Manners::pop3())),
    };
    let scene = Scene::before(upstream.addr(), protocol, extra);
    // What a first login brings in is no leak.
    drop(scene.let_in_by(Way::Tls));
    (upstream, scene)
}

/// Sends `chunk` again and again, until the other side has had enough or `most` bytes went.
fn flood(talk: &mut Talk, chunk: &[u8], most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        if talk.try_send(chunk).is_err() {
            break;
        }
        sent += chunk.len();
    }
    sent
}

fn open_files(scene: &Scene) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", scene.gatepost.pid())).unwrap().count()
}

fn connected(to: SocketAddr) -> Talk {
    Talk::try_connect(None, to).unwrap()
}

#[test]
fn a_line_without_end_is_cut_short() {
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let (_upstream, scene) = scene(protocol, "");
        let before = rss_kib(scene.gatepost.pid());
        for way in Way::ALL {
            let mut client = scene.client_by(way);
            let sent = flood(&mut client, &[b'x'; 64 << 10], 1 << 30);
            assert!(sent < 256 << 20, "took {sent} bytes of one line");
        }
        let after = rss_kib(scene.gatepost.pid());
        assert!(after < before + 8 * MB, "{before} KiB, then {after} KiB");
        drop(scene.let_in());
    }
}

#[test]
fn a_literal_without_end_is_refused() {
    let (upstream, scene) = scene(Protocol::Imap, "");
    let logins = upstream.accepted();
    let before = rss_kib(scene.gatepost.pid());
    let sizes = ["99999999", "4294967296", "18446744073709551616", "99999999999999999999999999"];
    for size in sizes {
        let mut client = scene.client();
        client.say(&format!("a LOGIN {{{size}}}"));
        let answer = client.line();
        assert!(!answer.starts_with('+'), "{size}: {answer}");
        // Non-synchronizing: its bytes come unasked.
        let mut client = scene.client();
        client.send(format!("a LOGIN {{{size}+}}\r\n"));
        let sent = flood(&mut client, &[b'x'; 64 << 10], 1 << 30);
        assert!(sent < 256 << 20, "took {sent} bytes of one literal");
    }
    // Many small ones are no better than a big one.
    let mut client = scene.client();
    client.send("a LOGIN ");
    let sent = flood(&mut client, b"{9+}\r\nxxxxxxxxx ", 1 << 30);
    assert!(sent < 256 << 20, "took {sent} bytes of literals");
    let after = rss_kib(scene.gatepost.pid());
    assert!(after < before + 8 * MB, "{before} KiB, then {after} KiB");
    assert_eq!(upstream.accepted(), logins);
}

#[test]
fn one_byte_now_and_then_does_not_buy_time() {
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let (_upstream, scene) = scene(protocol, "timeout 1s;");
        for way in Way::ALL {
            let mut client = scene.client_by(way);
            let start = Instant::now();
            // Within a command the clock does not begin anew with each byte.
            while client.try_send(b"x").is_ok() && start.elapsed() < PATIENCE {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            let took = start.elapsed();
            assert!(took < Duration::from_secs(8), "{protocol:?} {way:?}: {took:?}");
        }
    }
}

#[test]
fn half_a_handshake_ends_in_time() {
    let (_upstream, scene) = scene(Protocol::Imap, "timeout 1s;");
    let files = open_files(&scene);
    let to = scene.gatepost.tls(Protocol::Imap);
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut silent = connected(to);
    let mut half = connected(to);
    half.send(hello);
    let mut garbage = connected(to);
    garbage.send("GET / HTTP/1.0\r\n\r\n");
    // A hello that says it is as long as it can be, and never ends.
    let mut endless = connected(to);
    let start = Instant::now();
    endless.send([0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff, 3, 3]);
    let mut upgraded = scene.client();
    upgraded.ask("STARTTLS").is("OK");
    upgraded.send(&hello[..5]);
    for talk in [&mut silent, &mut half, &mut garbage, &mut endless, &mut upgraded] {
        talk.patience = Duration::from_secs(8);
        let _ = talk.left_unsaid();
    }
    assert!(start.elapsed() < Duration::from_secs(8));
    drop((silent, half, garbage, endless, upgraded));
    until("their sockets to close", || (open_files(&scene) <= files).then_some(()));
    drop(scene.let_in_by(Way::Tls));
}

#[test]
fn a_thousand_silent_clients_cost_little_and_go() {
    let (_upstream, scene) = scene(Protocol::Imap, "timeout 5s;");
    let (files, before) = (open_files(&scene), pss_kib(scene.gatepost.pid()));
    let mut silent: Vec<_> = (0..1000).map(|_| connected(scene.gatepost.imap())).collect();
    for talk in &mut silent {
        talk.hears("* OK");
    }
    let during = pss_kib(scene.gatepost.pid());
    assert!(during < before + 32 * MB, "{before} KiB, then {during} KiB");
    let mut client = scene.let_in();
    client.ask("NOOP").is("OK");
    for talk in &mut silent {
        let _ = talk.left_unsaid();
    }
    drop((silent, client));
    until("their sockets to close", || (open_files(&scene) <= files).then_some(()));
}

#[test]
fn who_never_reads_is_not_waited_for() {
    let (_upstream, scene) = scene(Protocol::Imap, "timeout 1s; max_errors 1000000000;");
    let before = rss_kib(scene.gatepost.pid());
    let mut client = scene.client();
    let line = b"a CAPABILITY\r\n".repeat(1000);
    let start = Instant::now();
    // It answers until its answers are not taken any more, and then not for long.
    while client.try_send(&line).is_ok() && start.elapsed() < PATIENCE {}
    assert!(start.elapsed() < PATIENCE);
    let after = rss_kib(scene.gatepost.pid());
    assert!(after < before + 8 * MB, "{before} KiB, then {after} KiB");
}

#[test]
fn little_is_kept_of_what_comes_while_a_login_is_ruled_on() {
    const MANY: u64 = 100;
    let silent = Manners { greeting: String::new(), ..Manners::imap() };
    let upstream = FakeUpstream::start(imap(silent));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "proxy_greeting_timeout 60s;");
    let mut ruled: Vec<_> = (0..MANY).map(|_| scene.client()).collect();
    for client in &mut ruled {
        client.say("a LOGIN bob pw");
    }
    until("all logins to be with the upstream", || {
        (upstream.accepted() == ruled.len()).then_some(())
    });
    let before = pss_kib(scene.gatepost.pid());
    for client in &ruled {
        let mut socket = client.socket();
        socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        // As much as the systems on both sides take, too.
        while sent < 256 << 10
            && let Ok(some) = socket.write(&[b'x'; 16 << 10])
        {
            sent += some;
        }
    }
    for _ in 0..20 {
        drop(scene.client());
    }
    let after = pss_kib(scene.gatepost.pid());
    assert!(after < before + MANY * 48, "{before} KiB, then {after} KiB");
}

#[test]
fn an_upstream_without_measure_is_cut_short() {
    let floods: [fn(&mut Talk) -> io::Result<()>; 3] = [
        // A greeting without end.
        |talk| {
            while talk.try_send(&[b'x'; 64 << 10]).is_ok() {}
            Ok(())
        },
        // Untagged lines without end, before its answer.
        |talk| {
            talk.try_say("* OK ready")?;
            talk.try_line()?;
            while talk.try_send(&b"* OK still thinking\r\n".repeat(3000)).is_ok() {}
            Ok(())
        },
        // A literal without end, before its answer.
        |talk| {
            talk.try_say("* OK ready")?;
            talk.try_line()?;
            talk.try_say("* LIST () NIL {4294967295}")?;
            while talk.try_send(&[b'x'; 64 << 10]).is_ok() {}
            Ok(())
        },
    ];
    for play in floods {
        let upstream = FakeUpstream::start(play);
        let scene = Scene::before(upstream.addr(), Protocol::Imap, "proxy_auth_timeout 5s;");
        let before = rss_kib(scene.gatepost.pid());
        let mut client = scene.client();
        client.ask("LOGIN bob pw").is("NO [UNAVAILABLE]");
        let after = rss_kib(scene.gatepost.pid());
        assert!(after < before + 8 * MB, "{before} KiB, then {after} KiB");
    }
}

/// A gatepost that holds `most` sessions. Its upstream comes along.
fn crowded(most: usize) -> (FakeUpstream, Scene) {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let extra = format!("{}{}", crate::scene::CERTIFICATE, crate::scene::TO_BACKEND);
    let conf = crate::support::mail(&format!("{extra}{}", crate::scene::servers(Protocol::Imap)))
        .replace("worker_connections 4096", &format!("worker_connections {most}"))
        .replace("worker_processes 2", "worker_processes 1");
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let scene = Scene::with(crate::support::Ca::new(), Protocol::Imap, &conf, &values);
    (upstream, scene)
}

#[test]
fn too_many_sessions_are_told_so() {
    let (_upstream, scene) = crowded(5);
    let mut inside: Vec<Client> = (0..5).map(|_| scene.let_in_by(Way::Clear)).collect();
    let mut late = connected(scene.gatepost.imap());
    late.hears("* BYE");
    late.hears_the_end();
    inside.pop().unwrap().ask("LOGOUT").is("OK");
    until("a place to be free", || {
        let mut talk = connected(scene.gatepost.imap());
        talk.line().starts_with("* OK").then_some(())
    });
}

#[test]
fn who_never_logs_in_gives_way_to_who_comes() {
    let (_upstream, scene) = crowded(3);
    let mut inside = scene.let_in_by(Way::Clear);
    let mut stalled = connected(scene.gatepost.tls(Protocol::Imap));
    let came = format!("client {} connected", stalled.local_addr());
    scene.gatepost.logs(&came);
    let mut idle = scene.client();
    let mut third = scene.client();
    stalled.hears_the_end();
    let mut fourth = until("a place to be free", || {
        let mut talk = connected(scene.gatepost.imap());
        talk.line().starts_with("* OK").then_some(talk)
    });
    idle.hears("* BYE [UNAVAILABLE]");
    idle.hears_the_end();
    fourth.try_say("a NOOP").unwrap();
    fourth.hears("a OK");
    third.ask("NOOP").is("OK");
    inside.ask("NOOP").is("OK");
}

#[test]
fn bare_line_ends_and_nul_do_not_confuse() {
    let (upstream, scene) = scene(Protocol::Imap, "max_errors 100;");
    let logins = upstream.accepted();
    for bytes in [&b"a LOGIN bob\0x pw\r\n"[..], b"a LOGIN bob \"p\rw\"\r\n", b"a NOOP\0\r\n"] {
        let mut client = scene.client();
        client.send(bytes);
        let answer = client.line();
        assert!(answer.contains("BAD") || answer.contains("NO"), "{answer}");
    }
    assert_eq!(upstream.accepted(), logins);
    let (_upstream, scene) = self::scene(Protocol::Pop3, "");
    let mut client = scene.client();
    client.send(b"USER a\0b\r\n");
    client.hears("-ERR");
}
