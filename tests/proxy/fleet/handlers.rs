//! A lookup handler that hangs, and a mailbox that has moved.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{LONGEST, load, manners, pair, server, visit, written};
use crate::support::{FakeLookup, FakeUpstream, Manners, Memcached, Talk, Waiting, answer, imap};

#[test]
fn one_that_hangs_delays_none_of_many_logins() {
    let cache = Memcached::start();
    let upstream = server(0);
    let (one, two) = (FakeLookup::to(upstream.addr()), FakeLookup::to(upstream.addr()));
    // It takes connections and says nothing.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = "lookup z { protocol nle; handler @hanging@; handler @one@; handler @two@; }";
    let hangs = hanging.local_addr().unwrap();
    let values: [(&str, &dyn ToString); 4] =
        [("cache", &cache.name()), ("hanging", &hangs), ("one", &one.addr()), ("two", &two.addr())];
    let nodes = pair(conf, &values);
    let slowest = load(&nodes, "early", 20, 20);
    assert!(slowest < LONGEST, "{slowest:?}");
    let slowest = load(&nodes, "user", 500, 20);
    assert!(slowest < LONGEST, "{slowest:?}");
    assert!(one.asked().len() + two.asked().len() >= 520);
}

/// A route is kept, five seconds pass, and the mailbox moves; `close` does it to the old server.
fn moves(close: impl FnOnce(FakeUpstream, &AtomicBool) -> Option<FakeUpstream>) {
    let cache = Memcached::start();
    let refuses = Arc::new(AtomicBool::new(false));
    let also = refuses.clone();
    let old = FakeUpstream::start(move |talk: &mut Talk| {
        let refused = "NO [AUTHENTICATIONFAILED] not here".to_owned();
        match also.load(Ordering::SeqCst) {
            true => imap(Manners { answer: refused, ..manners(1) })(talk),
            false => imap(manners(1))(talk),
        }
    });
    let new = server(2);
    let home: Arc<Mutex<SocketAddr>> = Arc::new(Mutex::new(old.addr()));
    let asked_for = home.clone();
    let lookup = FakeLookup::start(move |_| {
        let at = *asked_for.lock().unwrap();
        let (ip, port) = (at.ip().to_string(), at.port().to_string());
        answer(&[("Auth-Status", "OK"), ("Auth-Server", &ip), ("Auth-Port", &port)])
    });
    let conf = "lookup z { protocol nle; handler http://@lookup@/; }";
    let nodes = pair(conf, &[("cache", &cache.name()), ("lookup", &lookup.addr())]);
    let before = cache.count();
    for (node, status) in nodes.iter().zip(["cache=MISS", "cache=HIT"]) {
        let line = visit(node, "ann@a.test");
        let is_right = line.contains(status) && line.contains(&old.addr().to_string());
        assert!(is_right, "not {status}: {line}");
        written(&cache, before);
    }
    // Within five seconds the handler is not asked again because of a login that fails.
    let waiting = Waiting::new(Duration::from_millis(5200));
    while let Some(left) = waiting.left() {
        std::thread::park_timeout(left);
    }
    *home.lock().unwrap() = new.addr();
    let _old = close(old, &refuses);
    let line = visit(&nodes[0], "ann@a.test");
    assert!(line.contains(&new.addr().to_string()), "{line}");
    assert_eq!(lookup.asked().len(), 2);
    // The other node has heard of it, or finds out as the first did.
    let line = visit(&nodes[1], "ann@a.test");
    assert!(line.contains(&new.addr().to_string()), "{line}");
    assert!(lookup.asked().len() <= 3);
    // From now on it is kept where it is.
    let asked = lookup.asked().len();
    for node in &nodes {
        let line = visit(node, "ann@a.test");
        assert!(line.contains("cache=HIT") && line.contains(&new.addr().to_string()), "{line}");
    }
    assert_eq!(lookup.asked().len(), asked);
}

#[test]
fn a_user_whose_old_server_refuses_is_let_in_at_the_new_one() {
    moves(|old, refuses| {
        refuses.store(true, Ordering::SeqCst);
        Some(old)
    });
}

#[test]
fn a_user_whose_old_server_is_gone_is_let_in_at_the_new_one() {
    moves(|old, _| {
        old.dies();
        None
    });
}
