//! Several gateposts with one cache.

use super::super::admin::Target;
use super::*;

fn two(text: &str) -> (Node, Node, Cache) {
    let cache = Cache::memory();
    (Node::new(text, &cache), Node::new(text, &cache), cache)
}

/// Requirement Z21: limit 5, three on the one node and three on the other: the sixth is refused.
#[tokio::test(start_paused = true)]
async fn nodes_count_together() {
    for (first, second) in [(3, 3), (5, 1), (0, 6)] {
        let (a, b, _) = two(STRICT);
        assert_eq!(a.guess("192.0.2.7", "mrose", first).await, first);
        let rest = 5 - first;
        assert_eq!(b.guess("192.0.2.7", "mrose", second).await, rest, "{first} + {second}");
        for node in [&a, &b] {
            assert_eq!(node.attempt("192.0.2.7", "x", true).await, Came::Denied(By::Address));
            assert_eq!(node.attempt("192.0.2.8", "x", true).await, Came::In);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn taking_turns_at_nodes_wins_no_guess() {
    let (a, b, _) = two(STRICT);
    let mut tested = 0;
    for round in 0..40 {
        let node = if round % 2 == 0 { &a } else { &b };
        tested += node.guess(&format!("10.0.{round}.1"), "mrose", 1).await;
    }
    assert_eq!(tested, 8, "of one user, from anywhere");
}

#[tokio::test(start_paused = true)]
async fn the_shared_window_ends_too() {
    let (a, b, _) = two(STRICT);
    a.guess("192.0.2.7", "mrose", 5).await;
    assert_eq!(b.attempt("192.0.2.7", "x", false).await, Came::Denied(By::Address));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(b.guess("192.0.2.7", "mrose", 9).await, 5);
}

#[tokio::test(start_paused = true)]
async fn who_is_known_to_one_node_is_known_to_all() {
    let (a, b, _) = two(STRICT);
    assert_eq!(a.attempt("192.0.2.7", "mary", true).await, Came::In);
    b.guess("192.0.2.7", "boss", 5).await;
    assert_eq!(b.attempt("192.0.2.7", "tim", true).await, Came::Denied(By::Address));
    assert_eq!(b.attempt("192.0.2.7", "mary", true).await, Came::In);
    // And once it is, no question is asked about him.
    b.ledger.cache.break_for_tests(true);
    assert_eq!(b.attempt("192.0.2.7", "mary", true).await, Came::In);
    assert_eq!(b.decisions("cache", "fail_open"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgiven_is_forgiven_on_all_nodes() {
    let (a, b, _) = two(STRICT);
    for user in ["a", "b", "c", "d"] {
        a.guess("192.0.2.7", user, 2).await;
        assert_eq!(a.attempt("192.0.2.7", user, true).await, Came::In, "{user}");
    }
    assert_eq!(b.guess("192.0.2.7", "x", 9).await, 5);
}

#[tokio::test(start_paused = true)]
async fn forgiveness_does_not_reach_into_the_next_window() {
    let (a, b, _) = two(STRICT);
    a.guess("192.0.2.7", "victim", 1).await;
    tokio::time::sleep(55 * SECOND).await;
    a.guess("192.0.2.7", "eve", 3).await;
    assert_eq!(a.attempt("192.0.2.7", "eve", true).await, Came::In);
    tokio::time::sleep(6 * SECOND).await;
    let tested = a.guess("192.0.2.7", "victim", 3).await + b.guess("192.0.2.7", "victim", 9).await;
    assert_eq!(tested, 5);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_down_leaves_each_node_its_own_counts() {
    let (a, b, cache) = two(STRICT);
    cache.break_for_tests(true);
    assert_eq!(a.guess("192.0.2.7", "mrose", 9).await, 5);
    assert_eq!(b.guess("192.0.2.7", "mrose", 9).await, 5);
    assert!(a.decisions("cache", "fail_open") >= 5);
    cache.break_for_tests(false);
    assert_eq!(a.attempt("192.0.2.7", "x", true).await, Came::Denied(By::Address));
}

#[tokio::test(start_paused = true)]
async fn or_it_lets_in_only_those_who_are_known() {
    let (log, memory) = Log::memory(Level::Error);
    let cache = Cache::memory();
    let node = Node::logging(&format!("{STRICT} login_throttle_fail closed;"), &cache, log);
    assert_eq!(node.attempt("192.0.2.7", "mary", true).await, Came::In);
    cache.break_for_tests(true);
    for _ in 0..50 {
        assert_eq!(node.attempt("192.0.2.7", "tim", true).await, Came::Denied(By::Cache));
    }
    assert_eq!(node.attempt("192.0.2.7", "mary", true).await, Came::In);
    let lines = memory.lines();
    let words = "login throttle: memcached server memory is down, refusing those who are not known";
    assert!(lines.len() == 1 && lines[0].trim_end().ends_with(words), "{lines:?}");
    assert_eq!(node.decisions("cache", "fail_closed"), 50);
    // One line a minute, however long it lasts and however many come.
    for _ in 0..120 {
        tokio::time::sleep(SECOND).await;
        assert_eq!(node.attempt("192.0.2.9", "tom", true).await, Came::Denied(By::Cache));
    }
    assert_eq!(memory.lines().len(), 3, "{:?}", memory.lines());
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_be_forgiven_writes_nothing() {
    let (a, _, cache) = two(STRICT);
    assert_eq!(a.attempt("192.0.2.7", "mary", true).await, Came::In);
    let of = shared::Whom {
        user: b"mary",
        address: Net::address("192.0.2.7".parse().unwrap()),
        network: Net::of("192.0.2.7".parse().unwrap(), 24, 56),
    };
    let known = name::key("known", of.of(By::Pair));
    assert!(cache.delete(&known).await.unwrap(), "the first login makes him known");
    for _ in 0..9 {
        assert_eq!(a.attempt("192.0.2.7", "mary", true).await, Came::In);
    }
    assert!(!cache.delete(&known).await.unwrap());
    // Half of the time later it is said again.
    tokio::time::sleep(16 * 24 * 3600 * SECOND).await;
    assert_eq!(a.attempt("192.0.2.7", "mary", true).await, Came::In);
    assert!(cache.delete(&known).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_admin_forgives_on_all_nodes() {
    let cache = Cache::memory();
    let bus = Bus::new(cache.clone());
    let node = || {
        let metrics = Metrics::new();
        let ledger = Ledger::new(cache.clone(), bus.clone(), &metrics);
        let logins = Logins::new("m", &settings(STRICT), &ledger, Log::silent());
        Node { ledger, logins, metrics }
    };
    let (a, b) = (node(), node());
    let attending = observe_tasks(&[&a, &b]);
    settle().await;
    b.guess("192.0.2.7", "mary", 5).await;
    assert_eq!(a.attempt("192.0.2.7", "x", true).await, Came::Denied(By::Address));
    a.ledger.forgive(&Target::Address("192.0.2.7".parse().unwrap())).await;
    settle().await;
    for node in [&a, &b] {
        assert_eq!(node.attempt("192.0.2.7", "x", true).await, Came::In);
    }
    let net = crate::config::value::cidr("192.0.2.0/24").unwrap();
    a.ledger.whitelist(Spare { net, until: None }).await;
    settle().await;
    assert!(b.ledger.spares("192.0.2.9".parse().unwrap()));
    attending.into_iter().for_each(|task| task.abort());
}

fn observe_tasks(nodes: &[&Node]) -> Vec<tokio::task::JoinHandle<()>> {
    let attend =
        |node: &&Node| crate::observe::tasks::spawn("throttle", node.ledger.clone().attend());
    nodes.iter().map(attend).collect()
}

const ZIMBRA: &str = "
    login_throttle off;
    mail_login_ip_max 5; mail_login_ip_ttl 60s;
    mail_login_ip_imap_ttl 60s; mail_login_ip_pop3_max 2; mail_login_ip_pop3_ttl 30s;
    mail_login_user_max 3; mail_login_user_ttl 60s;
    mail_whitelist_ip 10.0.0.0/8; mail_whitelist_ip 2001:db8::/32;
";

async fn connect(node: &Node, protocol: &str, ip: &str, count: u32) -> u32 {
    let mut allowed = 0;
    for _ in 0..count {
        allowed += u32::from(node.logins.connected(protocol, ip.parse().ok()).await.is_ok());
    }
    allowed
}

#[tokio::test(start_paused = true)]
async fn zimbras_connections_are_counted_by_protocol_in_windows_that_are_fixed() {
    for cache in [Cache::off(), Cache::memory()] {
        let node = Node::new(ZIMBRA, &cache);
        assert_eq!(connect(&node, "imap", "192.0.2.7", 9).await, 5);
        assert_eq!(connect(&node, "pop3", "192.0.2.7", 9).await, 2);
        assert_eq!(connect(&node, "smtp", "192.0.2.7", 9).await, 5);
        assert_eq!(connect(&node, "imap", "192.0.2.8", 9).await, 5);
        assert_eq!(connect(&node, "imap", "10.1.2.3", 50).await, 50);
        assert_eq!(connect(&node, "imap", "2001:db8::7", 50).await, 50);
        tokio::time::sleep(30 * SECOND).await;
        assert_eq!(connect(&node, "pop3", "192.0.2.7", 9).await, 2);
        assert_eq!(connect(&node, "imap", "192.0.2.7", 9).await, 0);
        tokio::time::sleep(30 * SECOND).await;
        assert_eq!(connect(&node, "imap", "192.0.2.7", 9).await, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn zimbras_counters_are_found_where_zimbra_has_them() {
    let (a, b, cache) = two(ZIMBRA);
    let counted = async |key: &str| cache.counted(&memcached::Key::verbatim(key.as_bytes())).await;
    let total =
        connect(&a, "imap", "192.0.2.7", 3).await + connect(&b, "imap", "192.0.2.7", 3).await;
    assert_eq!(total, 5);
    assert_eq!(counted("throttle:proto=i,ip=192.0.2.7").await, Ok(6));
    assert_eq!(a.attempt("192.0.2.7", "John@Example.com", true).await, Came::In);
    assert_eq!(counted("throttle:user=john@example.com").await, Ok(1));
    // Memos of the list: ours are said, and others' are believed.
    let memo = |ip: &str| memcached::Key::verbatim(format!("whitelist:ip={ip}").into_bytes());
    assert_eq!(cache.get(&memo("192.0.2.7")).await, Ok(Some(b"0".to_vec())));
    connect(&a, "imap", "10.0.0.9", 1).await;
    assert_eq!(cache.get(&memo("10.0.0.9")).await, Ok(Some(b"1".to_vec())));
    cache.put(&memo("192.0.2.99"), b"1", 300 * SECOND).await.unwrap();
    assert_eq!(connect(&a, "imap", "192.0.2.99", 20).await, 20);
}

#[tokio::test(start_paused = true)]
async fn zimbra_counts_the_logins_of_a_user_that_succeed() {
    for cache in [Cache::off(), Cache::memory()] {
        for more in ["", "login_throttle on;"] {
            let text = format!("{STRICT} {}", ZIMBRA.replace("login_throttle off;", more));
            let node = Node::new(&text, &cache);
            let user = format!("mary{}", more.len());
            assert_eq!(node.guess("192.0.2.7", &user, 4).await, 4, "failures do not count");
            for _ in 0..3 {
                assert_eq!(node.attempt("192.0.2.8", &user, true).await, Came::In);
            }
            // The fourth is let in by the upstream, and then it is one too many.
            assert!(node.before("192.0.2.8", &user).await.is_ok());
            assert_eq!(node.attempt("192.0.2.8", &user, true).await, Came::Denied(By::ZimbraUser));
            // From then on it is refused before anything is asked.
            assert_eq!(node.before("192.0.2.9", &user).await.unwrap_err().by, By::ZimbraUser);
            tokio::time::sleep(61 * SECOND).await;
            assert_eq!(node.attempt("192.0.2.8", &user, true).await, Came::In);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn zimbra_counts_by_the_accounts_own_name() {
    let (a, _, cache) = two(ZIMBRA);
    let mut entry = a.before("192.0.2.7", "alias").await.unwrap();
    entry.is_of(b"John@example.com");
    entry.succeeded().await.unwrap();
    let key = memcached::Key::verbatim(*b"throttle:user=john@example.com");
    assert_eq!(cache.counted(&key).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn zimbras_limits_fail_as_they_are_told() {
    for (fail, allowed) in [("open", 5), ("closed", 0)] {
        let cache = Cache::memory();
        let node = Node::new(&format!("{ZIMBRA} login_throttle_fail {fail};"), &cache);
        cache.break_for_tests(true);
        assert_eq!(connect(&node, "imap", "192.0.2.7", 9).await, allowed, "{fail}");
    }
}

#[tokio::test(start_paused = true)]
async fn zimbras_lines_are_zimbras() {
    let (log, memory) = Log::memory(Level::Info);
    let node = Node::logging(ZIMBRA, &Cache::off(), log);
    connect(&node, "imap", "192.0.2.7", 6).await;
    node.attempt("192.0.2.7", "mary", true).await;
    let lines = memory.lines();
    for (at, want) in [(0, "[info]"), (5, "[notice]")] {
        assert!(lines[at].contains(want), "{lines:?}");
    }
    let ends = |at: usize, want: &str| assert!(lines[at].trim_end().ends_with(want), "{lines:?}");
    ends(0, "ip throttle:[192.0.2.7] allow [count:1, limit:5]");
    ends(5, "ip throttle:[192.0.2.7] deny [count:6, limit:5]");
    ends(6, "user throttle:mary allow [count:0, limit:3]");
    ends(7, "user throttle:mary allow [count:1, limit:3]");
}
