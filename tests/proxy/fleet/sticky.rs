//! One server for a user, whichever node the sessions come through.

use super::{let_in, pair, place, server};
use crate::support::{Gatepost, Memcached, until};

const CONF: &str = "route { default stores; } upstream stores {
    sticky on lease=30s; server @s0@; server @s1@; server @s2@; }";

#[test]
fn a_users_sessions_are_at_one_server_from_either_node() {
    let cache = Memcached::start();
    let servers = [0, 1, 2].map(server);
    let [s0, s1, s2] = [0, 1, 2].map(|number| servers[number].addr());
    let values: [(&str, &dyn ToString); 4] =
        [("cache", &cache.name()), ("s0", &s0), ("s1", &s1), ("s2", &s2)];
    let nodes = pair(CONF, &values);
    let mut places = Vec::new();
    for user in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
        let mut sessions: Vec<_> =
            (0..4).map(|number| let_in(&nodes[number % 2], &format!("{user}@a.test"))).collect();
        let at: Vec<_> = sessions.iter_mut().map(place).collect();
        assert!(at.iter().all(|place| *place == at[0]), "{user}: {at:?}");
        places.push(at[0]);
    }
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > 1, "all users are at {places:?}");
}

#[test]
fn when_the_server_of_a_lease_dies_both_nodes_agree_on_the_next() {
    let cache = Memcached::start();
    let mut servers = [0, 1, 2].map(|number| Some(server(number)));
    let [s0, s1, s2] = [0, 1, 2].map(|number| servers[number].as_ref().unwrap().addr());
    let values: [(&str, &dyn ToString); 4] =
        [("cache", &cache.name()), ("s0", &s0), ("s1", &s1), ("s2", &s2)];
    let nodes = pair(CONF, &values);
    let at = |node: &Gatepost| {
        let mut session = let_in(node, "ann@a.test");
        (place(&mut session), session)
    };
    let (first, held) = at(&nodes[0]);
    assert_eq!(at(&nodes[1]).0, first);
    servers[first].take().unwrap().dies();
    drop(held);
    let (next, held) = at(&nodes[1]);
    assert_ne!(next, first);
    // The lease is swapped behind the login's back.
    until("the other node to follow", || (at(&nodes[0]).0 == next).then_some(()));
    for node in &nodes {
        assert_eq!(at(node).0, next);
    }
    drop(held);
}
