//! Limits: so many sessions of one kind, so many commands, so much time, so many connections at all.
//! Whoever is one too many hears it in its protocol's words, and whoever is in stays.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::dialog::{Dialog, Tongue};
use crate::scripted::welcoming;
use crate::support::{
    Asked, FakeLookup, FakeUpstream, Gatepost, Manners, PATIENCE, Site, Talk, Waiting, answer,
    fresh_ip, imap, mail, until,
};

const PORT: u16 = 11_000;
/// Another server of the same protocol.
const OTHER: u16 = 11_001;

fn conf(tongue: Tongue, inside: &str) -> String {
    let name = tongue.name();
    mail(&format!(
        "route {{ default @up@; }} {inside}
         server {{ listen @ip@:{PORT}; protocol {name}; }}
         server {{ listen @ip@:{OTHER}; protocol {name}; server_name other.test; }}"
    ))
}

fn gatepost(tongue: Tongue, inside: &str, up: &FakeUpstream) -> Gatepost {
    Gatepost::start(Site::new(), &conf(tongue, inside), &[("up", &up.addr())])
}

fn from(gatepost: &Gatepost, from: Ipv4Addr, tongue: Tongue, port: u16) -> Dialog {
    let to = SocketAddr::from((gatepost.site.ip, port));
    Dialog::over(tongue, Talk::try_connect(Some(from), to).unwrap())
}

/// A client from an address of its own, greeted.
fn stranger(gatepost: &Gatepost, tongue: Tongue) -> Dialog {
    from(gatepost, fresh_ip(), tongue, PORT).after_greeting()
}

/// What a connection that is one too many hears.
fn too_busy(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::Imap => "* BYE [UNAVAILABLE] too many connections",
        Tongue::Pop3 => "-ERR [SYS/TEMP] too many connections",
        Tongue::Smtp => "421 4.7.0 Too many connections",
        Tongue::Sieve => "BYE (TRYLATER) \"too many connections",
    }
}

/// And a login that is.
fn too_many_logins(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::Imap => "NO [LIMIT]",
        Tongue::Pop3 => "-ERR [",
        Tongue::Smtp => "454 4.7.0 Too many logins",
        Tongue::Sieve => "BYE (TRYLATER) \"too many logins",
    }
}

#[track_caller]
fn is_sent_away(mut client: Dialog) {
    let words = too_busy(client.tongue);
    client.hears(words);
    client.hears_the_end();
}

/// A client is greeted again, once what left has been counted out.
#[track_caller]
fn soon(connect: impl Fn() -> Dialog) -> Dialog {
    until("a place that is free again", || {
        let mut client = connect();
        let line = client.line();
        let is_greeted = !line.starts_with(too_busy(client.tongue));
        if is_greeted && client.tongue == Tongue::Sieve {
            client.lines();
        }
        is_greeted.then_some(client)
    })
}

#[test]
fn so_many_sessions_of_one_address() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let inside = "limit_conn_zone $binary_remote_addr zone=a:1m; limit_conn a 2;";
        let gatepost = gatepost(tongue, inside, &up);
        let (one, two) = (fresh_ip(), fresh_ip());
        let connect = |ip| from(&gatepost, ip, tongue, PORT);
        let first = connect(one).after_greeting();
        let mut second = connect(one).after_greeting();
        second.log_in("alice", "pw");
        // Whichever worker it comes to, and by whichever server.
        for port in [PORT, OTHER, PORT, OTHER, PORT, OTHER] {
            is_sent_away(from(&gatepost, one, tongue, port));
        }
        let line = gatepost.logs("limiting connections by zone \"a\"");
        assert!(line.contains("[error]") && line.contains(&format!("client: {one}")), "{line}");
        let _other = connect(two).after_greeting();
        // One that leaves gives its place back, before its login and after it.
        drop(first);
        let third = soon(|| connect(one));
        is_sent_away(connect(one));
        drop(second);
        let _fourth = soon(|| connect(one));
        is_sent_away(connect(one));
        drop(third);
    }
}

#[test]
fn so_many_sessions_of_one_login() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let inside = "limit_conn_zone $remote_user zone=l:1m; limit_conn l 2;";
        let gatepost = gatepost(tongue, inside, &up);
        let logged_in = |name: &str| {
            let mut client = stranger(&gatepost, tongue);
            client.log_in(name, "pw");
            client
        };
        let (first, _second) = (logged_in("alice"), logged_in("Alice"));
        let mut third = stranger(&gatepost, tongue);
        let before = up.accepted();
        let end = third.plain("", "ALICE", "pw");
        assert!(end.starts_with(too_many_logins(tongue)), "{end}");
        third.left_unsaid();
        assert_eq!(up.accepted(), before, "the upstream was asked all the same");
        gatepost.logs("limiting connections by zone \"l\"");
        logged_in("bob");
        drop(first);
        until("the place of one that left", || {
            let mut client = stranger(&gatepost, tongue);
            client.plain("", "alice", "pw").starts_with(tongue.welcome()).then_some(())
        });
    }
}

#[test]
fn a_login_is_one_however_it_is_typed() {
    let tongue = Tongue::Imap;
    let up = welcoming(tongue);
    let inside = "limit_conn_zone $login zone=l:1m; limit_conn l 2;
                  default_domain d.test; login_suffixes /tb;";
    let gatepost = gatepost(tongue, inside, &up);
    let logged_in = |name: &str| {
        let mut client = stranger(&gatepost, tongue);
        client.log_in(name, "pw");
        client
    };
    let (_first, _second) = (logged_in("alice"), logged_in("Alice@D.test"));
    for name in ["alice/tb", "ALICE", "alice@d.test/tb"] {
        let end = stranger(&gatepost, tongue).plain("", name, "pw");
        assert!(end.starts_with(too_many_logins(tongue)), "{name}: {end}");
    }
    logged_in("alice@other.test");
}

#[test]
fn a_refused_login_counts_no_more() {
    let answer = "NO [AUTHENTICATIONFAILED] no".to_owned();
    let up = FakeUpstream::start(imap(Manners { answer, ..Manners::imap() }));
    let inside = "limit_conn_zone $remote_user zone=l:1m; limit_conn l 1;";
    let gatepost = gatepost(Tongue::Imap, inside, &up);
    let mut client = stranger(&gatepost, Tongue::Imap);
    for _ in 0..3 {
        let end = client.plain("", "alice", "pw");
        assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
        let end = stranger(&gatepost, Tongue::Imap).plain("", "alice", "pw");
        assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
    }
}

#[test]
fn so_many_sessions_of_one_server() {
    for tongue in [Tongue::Imap, Tongue::Smtp] {
        let up = welcoming(tongue);
        let inside = "limit_conn_zone $server_name zone=s:1m; limit_conn s 3;";
        let gatepost = gatepost(tongue, inside, &up);
        let _three = [(); 3].map(|()| stranger(&gatepost, tongue));
        is_sent_away(from(&gatepost, fresh_ip(), tongue, PORT));
        let _other = from(&gatepost, fresh_ip(), tongue, OTHER).after_greeting();
    }
}

#[test]
fn counts_outlive_a_reload() {
    for tongue in [Tongue::Imap, Tongue::Smtp] {
        let up = welcoming(tongue);
        let zones = "limit_conn_zone $binary_remote_addr zone=a:1m;
                     limit_conn_zone $remote_user zone=l:1m;";
        let inside = format!("{zones} limit_conn a 2; limit_conn l 2;");
        let gatepost = gatepost(tongue, &inside, &up);
        let ip = fresh_ip();
        let connect = || from(&gatepost, ip, tongue, PORT);
        let mut old = [(); 2].map(|()| connect().after_greeting());
        old.iter_mut().for_each(|client| client.log_in("alice", "pw"));
        gatepost.reload(&conf(tongue, &inside), &[("up", &up.addr())], "reconfiguring");
        // A mark of the new configuration: the old one has no place for a third login either.
        let end = stranger(&gatepost, tongue).plain("", "alice", "pw");
        assert!(end.starts_with(too_many_logins(tongue)), "{end}");
        is_sent_away(connect());
        // What the old configuration let in gives its place back to the new one.
        drop(old);
        soon(connect);
        // More are let in once that is allowed.
        let more = format!("{zones} limit_conn a 4;");
        gatepost.reload(&conf(tongue, &more), &[("up", &up.addr())], "exited with code 0");
        let _four = [(); 4].map(|()| soon(connect));
        is_sent_away(connect());
    }
}

#[test]
fn a_client_may_say_so_many_commands_before_its_login() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let gatepost = gatepost(tongue, "max_commands 4;", &up);
        let mut client = stranger(&gatepost, tongue);
        for _ in 0..4 {
            client.offers();
        }
        client.say(if tongue == Tongue::Imap { "a NOOP" } else { "NOOP" });
        let said = client.left_unsaid();
        assert!(said.to_ascii_lowercase().contains("too many commands"), "{tongue:?}: {said}");
        gatepost.logs("client sent too many commands");
        // Rounds of AUTH count; what follows the login does not.
        let mut client = stranger(&gatepost, tongue);
        for _ in 0..2 {
            client.auth("PLAIN", None);
            client.cancel();
        }
        client.say(if tongue == Tongue::Imap { "a NOOP" } else { "NOOP" });
        assert!(client.left_unsaid().to_ascii_lowercase().contains("too many commands"));
        let mut client = stranger(&gatepost, tongue);
        client.log_in("alice", "pw");
        for _ in 0..10 {
            client.ask("NOOP");
        }
    }
}

#[test]
fn whoever_drips_commands_has_its_time_all_the_same() {
    for tongue in [Tongue::Imap, Tongue::Smtp] {
        let up = welcoming(tongue);
        let gatepost = gatepost(tongue, "timeout 700ms; login_timeout 1500ms;", &up);
        let mut client = stranger(&gatepost, tongue);
        let start = Instant::now();
        client.patience = Duration::from_millis(200);
        let said = Waiting::new(PATIENCE).until("its time to be over", || {
            // Each in time for `timeout`.
            let _ = client.try_say(if tongue == Tongue::Imap { "a NOOP" } else { "NOOP" });
            let mut last = None;
            loop {
                match client.try_line() {
                    Ok(line) => last = Some(line),
                    Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return None,
                    Err(_) => return Some(last.unwrap_or_default()),
                }
            }
        });
        assert!(said.to_ascii_lowercase().contains("idle for too long"), "{tongue:?}: {said}");
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1400) && took < Duration::from_secs(10), "{took:?}");
        gatepost.logs("client timed out (110: Connection timed out)");
        // One that is in has time.
        let mut client = stranger(&gatepost, tongue);
        client.log_in("alice", "pw");
        client.hears_nothing_for(Duration::from_millis(2000));
    }
}

#[test]
fn an_early_talker_is_not_greeted_and_a_patient_client_is() {
    let up = welcoming(Tongue::Smtp);
    let gatepost = gatepost(Tongue::Smtp, "smtp_greeting_delay 500ms;", &up);
    for words in ["EHLO client.test\r\n", "E", "\r\n"] {
        let mut client = from(&gatepost, fresh_ip(), Tongue::Smtp, PORT);
        client.send(words);
        client.hears("503 5.5.0 Improper use of SMTP command pipelining");
        client.hears_the_end();
    }
    gatepost.logs("client was rejected before greeting: \"...\" while in delay pipelining state");
    let start = Instant::now();
    let mut client = from(&gatepost, fresh_ip(), Tongue::Smtp, PORT).after_greeting();
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
    client.log_in("alice", "pw");
}

#[test]
fn the_oldest_that_is_idle_gives_way_when_all_places_are_taken() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        // Two workers with eight places each.
        let conf = conf(tongue, "").replace("worker_connections 4096", "worker_connections 8");
        let gatepost = Gatepost::start(Site::new(), &conf, &[("up", &up.addr())]);
        let mut inside: Vec<_> = (0..6).map(|_| stranger(&gatepost, tongue)).collect();
        inside.iter_mut().for_each(|client| client.log_in("alice", "pw"));
        let mut idle: Vec<_> = (0..10).map(|_| stranger(&gatepost, tongue)).collect();
        for number in 0..4 {
            // One at a time: whoever was told to go must be gone before another is.
            let mut new = soon(|| from(&gatepost, fresh_ip(), tongue, PORT));
            idle[number].hears(too_busy(tongue));
            idle[number].hears_the_end();
            // Busy or not, it was here before the next.
            new.ask("NOOP");
            idle.push(new);
        }
        let line = gatepost.logs("worker_connections are not enough, reusing connections");
        assert!(line.contains("16 worker_connections"), "{line}");
        gatepost.logs("client gave way to another connection");
        // The others are as they were.
        for client in idle[4..].iter_mut().chain(&mut inside) {
            client.ask("NOOP");
        }
        // Where all are logged in, the new one is sent away.
        idle[4..].iter_mut().for_each(|client| client.log_in("bob", "pw"));
        let mut new = from(&gatepost, fresh_ip(), tongue, PORT);
        new.hears(too_busy(tongue));
        new.hears_the_end();
        for client in idle[4..].iter_mut().chain(&mut inside) {
            client.ask("NOOP");
        }
    }
}

#[test]
fn a_login_that_is_ruled_on_does_not_give_way() {
    let up = welcoming(Tongue::Imap);
    let to = up.addr();
    let lookup = FakeLookup::start(move |asked: &Asked| {
        if asked.get("Auth-Login-Attempt") == "1" && asked.get("Auth-User") == "slow" {
            std::thread::park_timeout(Duration::from_millis(1500));
        }
        let (ip, port) = (to.ip().to_string(), to.port().to_string());
        answer(&[("Auth-Status", "OK"), ("Auth-Server", &ip), ("Auth-Port", &port)])
    });
    let conf =
        mail(&format!("auth_http @lookup@/; server {{ listen @ip@:{PORT}; protocol imap; }}"));
    let conf = conf.replace("worker_connections 4096", "worker_connections 2");
    let gatepost = Gatepost::start(Site::new(), &conf, &[("lookup", &lookup.addr())]);
    let mut slow = stranger(&gatepost, Tongue::Imap);
    slow.say("t1 LOGIN slow pw");
    until("the lookup to be asked", || (!lookup.asked().is_empty()).then_some(()));
    let mut idle: Vec<_> = (0..3).map(|_| stranger(&gatepost, Tongue::Imap)).collect();
    let _new = soon(|| from(&gatepost, fresh_ip(), Tongue::Imap, PORT));
    idle[0].hears(too_busy(Tongue::Imap));
    slow.hears("t1 OK");
}
