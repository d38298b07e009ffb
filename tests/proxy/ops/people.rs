//! Who is here, where somebody is, and sending them away or elsewhere.

use super::{ask, hears_bye, let_in, place, server, started, told};
use crate::support::{Memcached, until};

#[test]
fn sessions_are_shown_and_a_kick_says_goodbye() {
    let up = server(1);
    let node = started(
        "",
        "route { default stores; } upstream stores { server @up@; }",
        &[("up", &up.addr())],
    );
    assert_eq!(told(&node, &["who"]), "0 sessions\n");
    let mut ann = [(); 2].map(|()| let_in(&node, "ann@a.test"));
    let mut bob = let_in(&node, "Bob@b.test");
    bob.ask("NOOP").is("OK");
    let all = told(&node, &["who"]);
    assert!(all.ends_with("3 sessions\n") && all.contains("bob@b.test"), "{all}");
    assert!(all.contains(&up.addr().to_string()) && all.contains("imap"), "{all}");
    for (words, want) in [
        (&["who", "ann@a.test"][..], "2 sessions\n"),
        (&["who", "--domain", "b.test"], "1 session\n"),
        (&["who", "--upstream", "stores"], "3 sessions\n"),
        (&["who", "--protocol", "pop3"], "0 sessions\n"),
        (&["who", "--client", "127.0.0.0/8"], "3 sessions\n"),
        (&["who", "--limit", "1"], "1 of 3 sessions\n"),
    ] {
        let said = told(&node, words);
        assert!(said.ends_with(want), "{words:?}: {said}");
    }
    // What goes by is counted as it goes.
    until("the bytes to be counted", || {
        let json = told(&node, &["who", "bob@b.test", "--json"]);
        (!json.contains("\"received\":0,") && !json.contains("\"sent\":0}")).then_some(())
    });
    let wrong = ask(&node, &["who", "--client", "nonsense"]);
    assert!(wrong.code == Some(1) && wrong.err.contains("neither an address"), "{}", wrong.said());

    let said = told(&node, &["user", "kick", "ANN@a.test"]);
    assert_eq!(said, "ann@a.test: 2 sessions ended here; there is no fleet to tell\n");
    ann.iter_mut().for_each(hears_bye);
    bob.ask("NOOP").is("OK");
    until("the sessions to be gone", || {
        told(&node, &["who"]).ends_with("1 session\n").then_some(())
    });
    assert!(told(&node, &["user", "kick", "nobody"]).starts_with("nobody: 0 sessions ended"));
    let unknown = ask(&node, &["who", "--upstream", "nowhere"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.said());
    assert!(unknown.err.contains(r#"there is no upstream "nowhere""#), "{}", unknown.said());
    node.logs("user was kicked");
}

const STICKY: &str = "route { default stores; } upstream stores {
    sticky on lease=30s; server @s0@; server @s1@; }";

#[test]
fn a_user_who_is_moved_lands_on_the_new_server_from_every_node() {
    let cache = Memcached::start();
    let servers = [0, 1].map(server);
    let at = [servers[0].addr(), servers[1].addr()];
    let values: [(&str, &dyn ToString); 3] =
        [("cache", &cache.name()), ("s0", &at[0]), ("s1", &at[1])];
    let main = "memcached { server @cache@; key @dir@/fleet.key; reconnect 500ms; }";
    let nodes = [(); 2].map(|()| started(main, STICKY, &values));
    let first = told(&nodes[0], &["user", "where", "ann@a.test"]);
    let mut here = let_in(&nodes[0], "ann@a.test");
    let mut there = let_in(&nodes[1], "ann@a.test");
    let from = place(&mut here);
    assert_eq!(place(&mut there), from);
    // It was foreseen, and is told no more once a lease says it.
    let hash = format!("a new session would be at stores/{}, by hash", at[from]);
    assert!(first.contains(&hash), "{first}");
    let said = told(&nodes[0], &["user", "where", "ann@a.test"]);
    assert!(said.contains(&format!("bound to stores/{} for ", at[from])), "{said}");

    let to = 1 - from;
    let moving = ["user", "move", "ann@a.test", "--to", &at[to].to_string()];
    let said = told(&nodes[0], &moving);
    assert_eq!(
        said,
        format!(
            "ann@a.test: from {} to {}, 1 session ended here; the fleet was told\n",
            at[from], at[to]
        )
    );
    hears_bye(&mut here);
    hears_bye(&mut there);
    for node in &nodes {
        assert_eq!(place(&mut let_in(node, "ann@a.test")), to);
    }

    let unknown = ask(&nodes[0], &["user", "move", "ann@a.test", "--to", "192.0.2.1:143"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("no upstream has a server"));
}

#[test]
fn where_nothing_is_sticky_nobody_is_promised_a_server() {
    let up = server(1);
    let inside = "route { default stores; } upstream stores { server @up@; }";
    let node = started("", inside, &[("up", &up.addr())]);
    let refused = ask(&node, &["user", "move", "ann", "--to", &up.addr().to_string()]);
    assert!(refused.code == Some(1) && refused.err.contains("sticky on"), "{}", refused.said());
    let mut ann = let_in(&node, "ann");
    let said = told(&node, &["user", "move", "ann"]);
    assert!(said.contains("wherever the route leads, 1 session ended"), "{said}");
    hears_bye(&mut ann);
}

#[test]
fn a_fleet_that_cannot_be_told_is_a_problem_of_an_order_that_is_done() {
    let mut cache = Memcached::start();
    let up = server(1);
    let main = "memcached { server @cache@; key @dir@/fleet.key; reconnect 500ms; }";
    let inside = "route { default stores; } upstream stores { server @up@; }";
    let values: [(&str, &dyn ToString); 2] = [("cache", &cache.name()), ("up", &up.addr())];
    let node = started(main, inside, &values);
    let mut ann = let_in(&node, "ann");
    assert!(
        told(&node, &["user", "kick", "ann"])
            .ends_with("1 session ended here; the fleet was told\n")
    );
    hears_bye(&mut ann);
    let mut ann = let_in(&node, "ann");
    cache.kill();
    let done = ask(&node, &["user", "kick", "ann"]);
    assert_eq!(done.code, Some(1), "{}", done.said());
    assert_eq!(done.out, "ann: 1 session ended here, and nowhere else\n");
    assert!(done.err.contains("gatepost: other gateposts were not told: memcached server"));
    hears_bye(&mut ann);
}
