//! How all is, who is kept out, and maintenance.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{ask, attempt, command, let_in, server, started, told};
use crate::support::{Client, FakeUpstream, Manners, Mechanism, Protocol, imap, until};

const ONE: &str = "route { default stores; } upstream stores { server @up@; }";

#[test]
fn status_tells_what_is_wrong_and_its_exit_code_says_so() {
    let up = server(1);
    let at = up.addr();
    let node = started("", ONE, &[("up", &at)]);
    let well = told(&node, &["status"]);
    assert!(well.contains(": ok\n") && well.contains("1 of 1"), "{well}");
    let json = told(&node, &["status", "--json"]);
    assert!(json.contains("\"generation\":1,") && json.contains("\"state\":\"ok\""), "{json}");

    // A reload that fails is told until one does not.
    let values: [(&str, &dyn ToString); 1] = [("up", &at)];
    node.reload("nonsense;", &values, "the old one serves on");
    // The command cannot read the configuration either: it is told where to ask.
    let socket = node.site.path("run/gatepost.sock").display().to_string();
    let unwell = ask(&node, &["status", "--control", &socket]);
    assert_eq!(unwell.code, Some(1), "{}", unwell.said());
    assert!(unwell.out.contains("problem: the last reload failed"), "{}", unwell.out);
    node.reload(&super::conf("", ONE), &values, "exited with code 0");
    let json = told(&node, &["status", "--json"]);
    assert!(json.contains("\"generation\":2,"), "{json}");

    // Nobody is left of an upstream.
    up.dies();
    assert!(attempt(&node, "ann").starts_with("NO [UNAVAILABLE]"));
    let unwell = ask(&node, &["status"]);
    assert_eq!(unwell.code, Some(1));
    assert!(unwell.out.contains("maintenance: upstream stores, by itself, "), "{}", unwell.out);
    assert!(unwell.out.contains("down"), "{}", unwell.out);
    let list = told(&node, &["upstream", "list"]);
    assert!(list.contains("failed") && list.contains("Connection refused"), "{list}");
    let report = told(&node, &["report"]);
    assert!(report.contains("still") && report.contains("stores"), "{report}");

    let _up = FakeUpstream::again(at, imap(Manners::imap()));
    until("the upstream to be used again", || {
        attempt(&node, "ann").starts_with("OK").then_some(())
    });
    until("all to be well", || (ask(&node, &["status"]).code == Some(0)).then_some(()));
    assert!(!told(&node, &["report"]).contains("still"));
}

#[test]
fn maintenance_by_hand_refuses_in_its_own_words_and_touches_no_upstream() {
    let up = server(1);
    let node = started("", ONE, &[("up", &up.addr())]);
    drop(let_in(&node, "ann@a.test"));
    let before = up.accepted();
    let said = told(
        &node,
        &["maintenance", "on", "--domain", "A.test", "--until", "2h", "--text", "back at nine"],
    );
    assert!(said.starts_with("a.test, by hand, for 0s, until "), "{said}");
    assert!(said.ends_with(": back at nine\n"), "{said}");
    assert_eq!(attempt(&node, "ann@a.test"), "NO [UNAVAILABLE] back at nine");
    assert_eq!(up.accepted(), before, "the upstream was touched");
    assert!(attempt(&node, "bob@b.test").starts_with("OK"));
    let unwell = ask(&node, &["status"]);
    assert!(unwell.code == Some(1) && unwell.out.contains("back at nine"), "{}", unwell.out);
    for (text, want) in [("[ALERT] x", "must begin with a letter"), ("ü", "printable ASCII")] {
        let wrong = ask(&node, &["maintenance", "on", "--text", text]);
        assert!(wrong.code == Some(1) && wrong.err.contains(want), "{text}: {}", wrong.said());
    }

    // It survives a restart, and is ended by hand.
    let site = node.quit();
    let node = crate::support::Gatepost::start(site, &super::conf("", ONE), &[("up", &up.addr())]);
    assert_eq!(attempt(&node, "ann@a.test"), "NO [UNAVAILABLE] back at nine");
    let wrong = ask(&node, &["maintenance", "off"]);
    assert!(
        wrong.code == Some(1) && wrong.err.contains("no maintenance of all"),
        "{}",
        wrong.said()
    );
    assert_eq!(told(&node, &["maintenance", "off", "--domain", "a.test"]), "no maintenance\n");
    assert!(attempt(&node, "ann@a.test").starts_with("OK"));
    let report = told(&node, &["report"]);
    assert!(report.contains("a.test") && report.contains("hand"), "{report}");
    assert!(!report.contains("warning"), "{report}");
}

#[test]
fn who_fails_is_listed_and_forgiven() {
    let manners = Manners { answer: "NO [AUTHENTICATIONFAILED] no".to_owned(), ..Manners::imap() };
    let up = FakeUpstream::start(imap(manners));
    let inside = format!(
        "{ONE} login_throttle on; login_whitelist 192.0.2.1; login_failure_delay 0s;
         login_failures_address 3/10m free=3; login_failures_user 50/10m free=50;"
    );
    let node = started("", &inside, &[("up", &up.addr())]);
    assert_eq!(told(&node, &["throttle", "list"]), "nobody\n");
    let from = Ipv4Addr::new(127, 9, 8, 7);
    let fail = || {
        let mut client = Client::greeted_from(from, Protocol::Imap, node.imap());
        client.try_log_in(Mechanism::Login, "ann@a.test", "wrong")
    };
    for _ in 0..3 {
        assert!(fail().starts_with("NO [AUTHENTICATIONFAILED]"));
    }
    let before = up.accepted();
    fail();
    assert_eq!(up.accepted(), before, "it is refused before the upstream");
    let list = told(&node, &["throttle", "list"]);
    let line = list.lines().find(|line| line.contains("127.9.8.7")).unwrap();
    assert!(line.starts_with("address") && line.contains("denied"), "{list}");
    assert!(list.contains("ann@a.test") && list.contains("watched"), "{list}");
    let ill = ask(&node, &["doctor", "clientip", "127.9.8.7"]);
    assert!(ill.code == Some(1) && ill.out.contains("throttle"), "{}", ill.said());
    assert!(ill.out.contains("logins are refused"), "{}", ill.said());

    assert_eq!(told(&node, &["throttle", "forgive", "127.9.8.7"]), "2 forgiven\n");
    fail();
    assert_eq!(up.accepted(), before + 1, "it is still refused");
    told(&node, &["throttle", "forgive", "--all"]);
    assert_eq!(told(&node, &["throttle", "list"]), "nobody\n");
}

#[test]
fn top_ends_with_its_terminal() {
    let node = started("", ONE, &[("up", &server(1).addr())]);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    tcsetwinsize(&screen, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
    let end = || File::options().read(true).write(true).open(&name).unwrap();
    let mut top = command(&node.site);
    // It has no session of its own, so no signal tells it: the terminal alone does.
    let mut top = top.arg("top").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    let mut screen = File::from(screen);
    let mut shown = String::new();
    until("the first frame", || {
        let mut some = [0; 4096];
        let count = screen.read(&mut some).unwrap();
        shown.push_str(&String::from_utf8_lossy(&some[..count]));
        shown.contains("leaves").then_some(())
    });
    drop(screen);
    let end = until("the end of top", || top.try_wait().unwrap());
    assert!(end.code().is_some(), "{end}");
}
