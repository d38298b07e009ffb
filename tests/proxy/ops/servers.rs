//! Taking servers out, and handlers.

use super::{ask, attempt, hears_bye, let_in, place, server, started, told};
use crate::support::{FakeLookup, until};

const TWO: &str = "route { default stores; } upstream stores { server @s0@; server @s1@; }";

#[test]
fn a_drained_server_keeps_its_sessions_and_a_removed_one_ends_them() {
    let servers = [0, 1].map(server);
    let at = [servers[0].addr().to_string(), servers[1].addr().to_string()];
    let node = started("", TWO, &[("s0", &at[0]), ("s1", &at[1])]);
    let mut first = let_in(&node, "ann");
    let from = place(&mut first);
    let (name, other) = (format!("stores/{}", at[from]), 1 - from);
    let said = told(&node, &["upstream", "drain", &name]);
    assert_eq!(said, format!("{}: drained here; there is no fleet to tell\n", at[from]));
    assert!(told(&node, &["upstream", "drain", &name]).starts_with("nothing to do"));
    for _ in 0..4 {
        assert_eq!(place(&mut let_in(&node, "ann")), other, "it gets new sessions");
    }
    first.ask("NOOP").is("OK");
    let list = told(&node, &["upstream", "list"]);
    let line = list.lines().find(|line| line.contains(&at[from])).unwrap();
    assert!(line.contains("draining"), "{list}");
    // It is by order: nothing is wrong.
    assert!(told(&node, &["status"]).contains(": ok\n"));

    // The order survives a restart.
    drop(first);
    let site = node.quit();
    let node = crate::support::Gatepost::start(
        site,
        &super::conf("", TWO),
        &[("s0", &at[0]), ("s1", &at[1])],
    );
    assert_eq!(place(&mut let_in(&node, "ann")), other);
    told(&node, &["upstream", "undrain", "stores"]);
    let mut both: Vec<_> = (0..6).map(|_| let_in(&node, "ann")).collect();
    let places: Vec<_> = both.iter_mut().map(place).collect();
    let there = places.iter().filter(|place| **place == from).count();
    assert!(there > 0 && there < 6, "{places:?}");

    let said = told(&node, &["upstream", "remove", &name]);
    let plural = if there == 1 { "" } else { "s" };
    assert!(said.ends_with(&format!("{there} session{plural} ended here\n")), "{said}");
    for (mut session, place) in both.into_iter().zip(places) {
        match place == from {
            true => hears_bye(&mut session),
            false => drop(session.ask("NOOP").is("OK")),
        }
    }
    told(&node, &["upstream", "drain", "stores", "--end"]);
    assert!(attempt(&node, "ann").starts_with("NO [UNAVAILABLE]"));
    let unwell = ask(&node, &["status"]);
    assert!(unwell.code == Some(1) && unwell.out.contains("down"), "{}", unwell.said());
    let wrong = ask(&node, &["upstream", "drain", "other"]);
    assert_eq!(wrong.err, "gatepost: there is no upstream \"other\" (gatepost upstream list)\n");
}

#[test]
fn a_lock_by_hand_keeps_everybody_away_until_it_is_taken_off() {
    let servers = [0, 1].map(server);
    let at = [servers[0].addr().to_string(), servers[1].addr().to_string()];
    let node = started("", TWO, &[("s0", &at[0]), ("s1", &at[1])]);
    let name = format!("stores/{}", at[0]);
    let locked = told(&node, &["upstream", "lock", &name]);
    assert!(locked.ends_with(": locked here; other gateposts are not told\n"), "{locked}");
    for _ in 0..4 {
        assert_eq!(place(&mut let_in(&node, "ann")), 1);
    }
    let status = ask(&node, &["status"]);
    assert_eq!(status.code, Some(1));
    let line = format!("locked: upstream {name} for ");
    assert!(status.out.contains(&line) && status.out.contains("by hand"), "{}", status.out);
    let report = told(&node, &["report"]);
    assert!(report.contains("lock") && report.contains(&name), "{report}");
    told(&node, &["upstream", "unlock", "stores"]);
    let places: Vec<_> = (0..4).map(|_| place(&mut let_in(&node, "ann"))).collect();
    assert!(places.contains(&0), "{places:?}");
    told(&node, &["status"]);
}

#[test]
fn a_handler_that_is_disabled_is_asked_no_more_and_zimbras_lists_have_their_forms() {
    let up = server(1);
    let handlers = [(); 2].map(|()| FakeLookup::to(up.addr()));
    let inside =
        "lookup z { handler http://@h0@/auth?key=secret; handler http://@h1@/auth; hedge off; }
        upstream stores { server @up@; server 192.0.2.1:143 down; }
        server { listen @ip@:@smtp@; protocol smtp; }";
    let (h0, h1) = (handlers[0].addr().to_string(), handlers[1].addr().to_string());
    let values: [(&str, &dyn ToString); 3] = [("h0", &h0), ("h1", &h1), ("up", &up.addr())];
    let node = started("", inside, &values);
    drop(let_in(&node, "ann"));
    let list = told(&node, &["lookup", "list"]);
    assert!(list.contains(&format!("http://{h0}/auth ")) && list.contains("gatepost.conf:"));
    assert!(!list.contains("secret") && list.contains(" ok, "), "{list}");
    told(&node, &["lookup", "disable", &h0]);
    let before = handlers[0].asked().len();
    for number in 0..8 {
        drop(let_in(&node, &format!("user{number}")));
    }
    assert_eq!(handlers[0].asked().len(), before);
    assert!(told(&node, &["lookup", "list"]).contains("disabled"));
    told(&node, &["lookup", "enable", &h0, "--lookup", "z"]);
    until("it to be asked again", || {
        drop(let_in(&node, "bob"));
        (handlers[0].asked().len() > before).then_some(())
    });
    let wrong = ask(&node, &["lookup", "disable", "nowhere:1"]);
    assert!(wrong.code == Some(1) && wrong.err.contains("there is no handler"), "{}", wrong.said());

    for (words, want) in [
        (["lookups"], format!("{h0}/auth {h1}/auth \n")),
        (["garpu"], format!("{h0}/auth {h1}/auth \n")),
        (["backends"], format!("    server {};\n    server 192.0.2.1:143;\n", up.addr())),
        (["auth-urls"], format!("http://{h0}/auth http://{h1}/auth \n")),
        (["caches"], "\n".to_owned()),
    ] {
        assert_eq!(told(&node, &words), want, "{words:?}");
    }
}

#[test]
fn one_frame_of_top_and_the_addresses_are_shown() {
    let up = server(1);
    let inside = "route { default stores; } upstream stores { server @up@; }";
    let node = started("", inside, &[("up", &up.addr())]);
    let mut ann = let_in(&node, "ann@a.test");
    ann.ask("NOOP").is("OK");
    let frame = told(&node, &["top", "--once", "--every", "10ms"]);
    for want in ["imap", "stores", "1 of 1", "ann@a.test", "THROTTLE"] {
        assert!(frame.contains(want), "no {want:?}: {frame}");
    }
    let shown = told(&node, &["show", "addresses"]);
    // Of 127.0.0.0/8 one address alone is an interface's, and no test listens there.
    let line = shown.lines().find(|line| line.starts_with("127.0.0.1 ")).unwrap();
    assert!(line.contains("unassigned"), "{shown}");
}
