//! A cache that dies, hangs or talks nonsense costs no login.

use std::thread;

use super::{LONGEST, load, pair, server, told, visit, written};
use crate::support::{FakeLookup, FakeUpstream, Gatepost, Memcached, Talk, until};

const CONF: &str = "lookup z { protocol nle; handler http://@lookup@/; }";
const DOWN: &str = "is down (";

/// Logins go on while `change` happens, and none of them is late. Gives what it gave.
#[track_caller]
fn under_load<T>(nodes: &[Gatepost], tag: &str, change: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let loading = scope.spawn(|| load(nodes, tag, 300, 8));
        let change = change();
        assert!(!loading.is_finished(), "{tag}: all logins were before it");
        let slowest = loading.join().unwrap();
        assert!(slowest < LONGEST, "{tag}: {slowest:?}");
        change
    })
}

#[test]
fn it_may_die_under_load_and_is_shared_again_when_it_is_back() {
    let mut cache = Memcached::start();
    let upstream = server(0);
    let lookup = FakeLookup::to(upstream.addr());
    let nodes = pair(CONF, &[("cache", &cache.name()), ("lookup", &lookup.addr())]);
    load(&nodes, "warm", 20, 4);
    let asked = lookup.asked().len();
    under_load(&nodes, "dying", || {
        until("the load to begin", || (lookup.asked().len() > asked + 20).then_some(()));
        cache.kill();
    });
    load(&nodes, "dead", 20, 4);
    for node in &nodes {
        assert_eq!(told(node, DOWN), 1, "{}", node.error_log());
    }
    cache.restart();
    for (node, name) in nodes.iter().zip(["one", "two"]) {
        let mut number = 0;
        until("the cache to be used again", || {
            number += 1;
            visit(node, &format!("{name}{number}@a.test"));
            (told(node, "all servers of the cache are up") == 1).then_some(())
        });
    }
    let before = cache.count();
    visit(&nodes[0], "ann@a.test");
    written(&cache, before);
    let line = visit(&nodes[1], "ann@a.test");
    assert!(line.contains("cache=HIT"), "{line}");
}

#[test]
fn it_may_hang_under_load() {
    let cache = Memcached::start();
    let upstream = server(0);
    let lookup = FakeLookup::to(upstream.addr());
    let nodes = pair(CONF, &[("cache", &cache.name()), ("lookup", &lookup.addr())]);
    load(&nodes, "warm", 20, 4);
    let asked = lookup.asked().len();
    under_load(&nodes, "hanging", || {
        until("the load to begin", || (lookup.asked().len() > asked + 20).then_some(()));
        cache.freeze();
    });
    for node in &nodes {
        assert_eq!(told(node, DOWN), 1, "{}", node.error_log());
    }
    under_load(&nodes, "thawing", || cache.thaw());
}

#[test]
fn it_may_talk_nonsense() {
    for nonsense in
        ["HD\r\nHD\r\nEN\r\n", "\0\u{1}\u{7f}\r\n", "VA 99999999999 t1\r\n", "{\"a\":1}"]
    {
        let cache = FakeUpstream::start(move |talk: &mut Talk| {
            loop {
                talk.try_line()?;
                talk.try_send(nonsense.as_bytes())?;
            }
        });
        let upstream = server(0);
        let lookup = FakeLookup::to(upstream.addr());
        let nodes = pair(CONF, &[("cache", &cache.addr()), ("lookup", &lookup.addr())]);
        let slowest = load(&nodes, "user", 30, 4);
        assert!(slowest < LONGEST, "{nonsense:?}: {slowest:?}");
        assert!(cache.accepted() > 0);
        for node in &nodes {
            assert!(told(node, DOWN) <= 1, "{nonsense:?}: {}", node.error_log());
        }
    }
}

#[test]
fn one_of_two_may_die_and_what_the_other_holds_is_still_shared() {
    let mut caches = Memcached::fleet(2);
    let upstream = server(0);
    let lookup = FakeLookup::to(upstream.addr());
    let both = format!("{} {}", caches[0].name(), caches[1].name());
    let nodes = pair(CONF, &[("cache", &both), ("lookup", &lookup.addr())]);
    let before = caches.iter().map(|cache| cache.count()).collect::<Vec<_>>();
    load(&nodes[..1], "user", 40, 4);
    // It learns which generation the routes are of, which may be held by the one that dies.
    visit(&nodes[1], "ann@a.test");
    for (cache, before) in caches.iter().zip(before) {
        written(cache, before);
    }
    caches[0].kill();
    assert!(load(&nodes[1..], "user", 40, 4) < LONGEST);
    // By hashing each held some of the forty, and one was asked for above.
    let asked = lookup.asked().len();
    assert!((42..81).contains(&asked), "{asked}");
    assert_eq!(told(&nodes[1], DOWN), 1, "{}", nodes[1].error_log());
}
