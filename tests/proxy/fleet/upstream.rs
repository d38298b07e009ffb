//! A server that dies: others serve, it is locked, and it comes back by itself.

use super::{attempt, manners, server, told};
use crate::support::{FakeUpstream, Gatepost, Site, imap, mail, until};

fn conf(retest: &str) -> String {
    let inside = "route { default stores; } server { listen @ip@:@imap@; protocol imap; }
        upstream stores { lock_after 3; server @one@ fail_timeout=1s; server @two@; }";
    format!("state_path @dir@/state; lock_retest {retest}; {}", mail(inside))
}

#[track_caller]
fn enters(node: &Gatepost) {
    let end = attempt(node, "ann@a.test");
    assert!(end.starts_with("OK"), "{end}");
}

#[test]
fn one_that_dies_is_locked_across_a_restart_and_unlocked_when_it_is_back() {
    let (one, two) = (server(1), server(2));
    let two_at = two.addr();
    let one_at = one.addr();
    let values: [(&str, &dyn ToString); 2] = [("one", &one_at), ("two", &two_at)];
    let node = Gatepost::start(Site::new(), &conf("300s"), &values);
    for _ in 0..4 {
        enters(&node);
    }
    assert_eq!((one.accepted(), two.accepted()), (2, 2));
    one.dies();
    let locked = format!("locked upstream 1: stores/{one_at} connect() failed");
    until("the dead server to be locked", || {
        // The first one that meets it goes on to the other, and so do all.
        enters(&node);
        (told(&node, &locked) > 0).then_some(())
    });
    assert_eq!(told(&node, &locked), 1);
    assert!(node.logs(&locked).contains("[crit]"));

    // What was locked stays so: it is back, and nobody goes there before the test.
    let site = node.quit();
    let one = FakeUpstream::again(one_at, imap(manners(1)));
    let node = Gatepost::start(site, &conf("300s"), &values);
    for _ in 0..6 {
        enters(&node);
    }
    assert_eq!(one.accepted(), 0, "the lock is forgotten");

    let unlocked = format!("upstream 1 available again, unlocked: stores/{one_at}");
    let site = node.quit();
    let node = Gatepost::start(site, &conf("1s"), &values);
    assert!(node.logs(&unlocked).contains("[notice]"));
    let before = one.accepted();
    for _ in 0..4 {
        enters(&node);
    }
    assert_eq!(one.accepted(), before + 2);
    node.quit();
}
