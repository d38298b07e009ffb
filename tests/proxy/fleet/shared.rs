//! What the nodes have in common: failures that were counted, and routes that were asked for.

use super::{attempt, pair, visit, written};
use crate::support::{FakeLookup, FakeUpstream, Manners, Memcached, imap};

#[test]
fn failures_on_one_node_count_on_the_other() {
    let cache = Memcached::start();
    let answer = "NO [AUTHENTICATIONFAILED] no".to_owned();
    let upstream = FakeUpstream::start(imap(Manners { answer, ..Manners::imap() }));
    let conf = "route { default backend; } upstream backend { server @up@; }
                login_failures_user 5/10m free=5; login_failures_address off;
                login_failures_prefix off; login_whitelist none; login_failure_delay 0;";
    let nodes = pair(conf, &[("cache", &cache.name()), ("up", &upstream.addr())]);
    for node in [0, 0, 0, 1, 1] {
        let end = attempt(&nodes[node], "eve@a.test");
        assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
    }
    assert_eq!(upstream.accepted(), 5);
    for node in &nodes {
        let end = attempt(node, "eve@a.test");
        assert!(end.starts_with("NO"), "{end}");
        node.logs("login throttle: deny by user");
    }
    assert_eq!(upstream.accepted(), 5, "a refused login has reached the upstream");
    let end = attempt(&nodes[1], "ann@a.test");
    assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
    assert_eq!(upstream.accepted(), 6, "somebody else is refused with her");
}

#[test]
fn a_route_that_one_node_has_asked_for_is_known_to_the_other() {
    let cache = Memcached::start();
    let upstream = super::server(0);
    let lookup = FakeLookup::to(upstream.addr());
    let conf = "lookup z { protocol nle; handler http://@lookup@/; }";
    let nodes = pair(conf, &[("cache", &cache.name()), ("lookup", &lookup.addr())]);
    let before = cache.count();
    let line = visit(&nodes[0], "ann@a.test");
    assert!(line.contains("cache=MISS"), "{line}");
    written(&cache, before);
    let line = visit(&nodes[1], "ann@a.test");
    assert!(line.contains("cache=HIT"), "{line}");
    assert_eq!(lookup.asked().len(), 1);
}
