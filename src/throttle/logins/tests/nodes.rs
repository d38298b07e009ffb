//! One gatepost by itself.

use super::super::admin::{Offender, Target};
use super::*;

fn node(more: &str) -> Node {
    Node::new(&format!("{STRICT} {more}"), &Cache::off())
}

#[tokio::test(start_paused = true)]
async fn so_many_may_fail_and_then_nobody_gets_to_the_test() {
    let node = node("");
    assert_eq!(node.guess("192.0.2.7", "mrose", 9).await, 5);
    assert_eq!(node.attempt("192.0.2.7", "other", true).await, Came::Denied(By::Address));
    assert_eq!(node.attempt("192.0.2.8", "other", true).await, Came::In);
    let denied = node.before("192.0.2.7", "x").await.unwrap_err();
    assert_eq!((denied.count, denied.limit), (5, 5));
    assert!(denied.retry.unwrap() <= 60 * SECOND && denied.retry.unwrap() > 50 * SECOND);
    // The window began with the first failure.
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(node.attempt("192.0.2.7", "other", true).await, Came::In);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_a_whole_64_and_ipv4_is_ipv4_however_it_is_written() {
    let node = node("");
    for guess in 0..5 {
        let ip = format!("2001:db8:0:1:{guess}::1");
        assert_eq!(node.attempt(&ip, &format!("u{guess}"), false).await, Came::Failed);
    }
    assert_eq!(node.attempt("2001:db8:0:1:9::9", "x", true).await, Came::Denied(By::Address));
    assert_eq!(node.attempt("2001:db8:0:2::1", "x", true).await, Came::In);
    node.guess("::ffff:192.0.2.7", "mrose", 5).await;
    assert_eq!(node.attempt("192.0.2.7", "x", true).await, Came::Denied(By::Address));
}

#[tokio::test(start_paused = true)]
async fn a_network_is_counted_as_one() {
    let node = node("");
    for host in 0..20 {
        assert_eq!(
            node.attempt(&format!("192.0.2.{host}"), &format!("u{host}"), false).await,
            Came::Failed
        );
    }
    assert_eq!(node.attempt("192.0.2.99", "x", true).await, Came::Denied(By::Prefix));
    for net in 0..20 {
        let ip = format!("2001:db8:0:1{net:02}::1");
        assert_eq!(node.attempt(&ip, &format!("v{net}"), false).await, Came::Failed);
    }
    assert_eq!(node.attempt("2001:db8:0:1ff::1", "x", true).await, Came::Denied(By::Prefix));
    assert_eq!(node.attempt("2001:db8:0:200::1", "x", true).await, Came::In);
}

#[tokio::test(start_paused = true)]
async fn each_failure_doubles_the_wait() {
    let node = Node::new(
        "login_failures_address off; login_failures_prefix off;
         login_failures_user 9/1h free=2 delay=1s max_delay=5s;",
        &Cache::off(),
    );
    let mut waits = Vec::new();
    for host in 1..=9 {
        let entry = node.before(&format!("192.0.2.{host}"), "mrose").await.unwrap();
        waits.push(entry.delay().as_secs());
        entry.failed(RefusedBy::Us).await;
    }
    assert_eq!(waits, [0, 0, 1, 2, 4, 5, 5, 5, 5]);
    assert_eq!(node.attempt("192.0.2.99", "mrose", true).await, Came::Denied(By::User));
    assert_eq!(node.decisions("user", "delay"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_guesses_at_once_are_no_more_than_five() {
    let node = Arc::new(node(""));
    let mut all = tokio::task::JoinSet::new();
    for number in 0..100 {
        let node = Arc::clone(&node);
        all.spawn(async move {
            let Ok(mut entry) = node.before("192.0.2.7", &format!("user{number}")).await else {
                return false;
            };
            entry.begin();
            entry.shown();
            tokio::time::sleep(SECOND).await;
            entry.failed(RefusedBy::Upstream).await;
            true
        });
    }
    let tested = all.join_all().await.into_iter().filter(|tested| *tested).count();
    assert_eq!(tested, 5);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_honest_logins_at_once_all_get_their_turn() {
    let node = Arc::new(node(""));
    let mut all = tokio::task::JoinSet::new();
    let start = Instant::now();
    for number in 0..100 {
        let node = Arc::clone(&node);
        all.spawn(async move {
            let mut entry = node.before("192.0.2.7", &format!("user{number}")).await.unwrap();
            assert_eq!(entry.delay(), Duration::ZERO);
            entry.begin();
            entry.shown();
            tokio::time::sleep(SECOND / 10).await;
            entry.succeeded().await.unwrap();
        });
    }
    all.join_all().await;
    assert!(start.elapsed() <= 3 * SECOND, "{:?}", start.elapsed());
    // From the second login on nobody waits for anybody.
    let start = Instant::now();
    let entries: Vec<_> = {
        let mut entries = Vec::new();
        for number in 0..100 {
            entries.push(node.before("192.0.2.7", &format!("user{number}")).await.unwrap());
        }
        entries
    };
    assert_eq!((entries.len(), start.elapsed()), (100, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_others_is_one_too_many() {
    let node = node("");
    let mut held = Vec::new();
    for number in 0..5 {
        held.push(node.before("192.0.2.7", &format!("u{number}")).await.unwrap());
    }
    let denied = node.before("192.0.2.7", "x").await.unwrap_err();
    assert_eq!(denied.by, By::Address);
    drop(held);
    assert_eq!(node.attempt("192.0.2.7", "x", true).await, Came::In);
    assert_eq!(
        node.ledger.failures(
            node.ledger.hasher.net(Net::address("192.0.2.7".parse().unwrap())),
            Instant::now()
        ),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_who_guesses_keeps_nobody_out() {
    let node = node("");
    for user in ["mary", "tim"] {
        assert_eq!(node.attempt("192.0.2.7", user, true).await, Came::In);
    }
    assert_eq!(node.guess("192.0.2.7", "boss", 50).await, 5);
    for _ in 0..30 {
        for user in ["mary", "Tim"] {
            let entry = node.before("192.0.2.7", user).await.unwrap();
            assert_eq!(entry.delay(), Duration::ZERO);
            entry.succeeded().await.unwrap();
        }
    }
    assert_eq!(node.attempt("192.0.2.7", "stranger", true).await, Came::Denied(By::Address));
    assert_eq!(node.attempt("192.0.2.8", "mary", true).await, Came::In);
}

#[tokio::test(start_paused = true)]
async fn a_guess_from_everywhere_does_not_lock_the_user_out_where_he_is_known() {
    let node = node("login_failures_prefix off;");
    assert_eq!(node.attempt("198.51.100.1", "mary", true).await, Came::In);
    let mut tested = 0;
    for host in 0..200 {
        tested += node.guess(&format!("192.0.{}.{}", host % 7, host), "mary", 1).await;
    }
    assert_eq!(tested, 8);
    assert_eq!(node.attempt("198.51.100.1", "mary", true).await, Came::In);
    assert_eq!(node.attempt("203.0.113.1", "mary", true).await, Came::Denied(By::User));
}

#[tokio::test(start_paused = true)]
async fn who_is_known_may_fail_as_often_as_anybody_and_is_a_stranger_then() {
    let text = "login_failures_address 20/60s delay=0s; login_failures_user 8/60s delay=0s;";
    let node = Node::new(text, &Cache::off());
    assert_eq!(node.attempt("192.0.2.7", "mary", true).await, Came::In);
    // Eight as one who is known there, and eight more as anybody.
    assert_eq!(node.guess("192.0.2.7", "mary", 50).await, 8 + 8);
    assert_eq!(node.attempt("192.0.2.7", "mary", true).await, Came::Denied(By::User));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(node.attempt("192.0.2.7", "mary", true).await, Came::In);
}

#[tokio::test(start_paused = true)]
async fn who_guesses_at_all_his_neighbours_in_turn_gets_one_guess_each() {
    let node = node("");
    let users: Vec<_> = (0..50).map(|number| format!("u{number}")).collect();
    for user in &users {
        assert_eq!(node.attempt("192.0.2.7", user, true).await, Came::In);
    }
    let mut tested = 0;
    for _ in 0..8 {
        for user in &users {
            tested += node.guess("192.0.2.7", user, 1).await;
        }
    }
    // One each, and as a stranger what an address may.
    assert_eq!(tested, 50 + 5);
    let listed = node.ledger.status(1000);
    let of_it = |kind| listed.iter().find(|one| (one.kind, &*one.name) == (kind, "192.0.2.7"));
    assert_eq!(of_it("address").unwrap().failures, 5);
    let known = of_it("known").unwrap();
    assert_eq!((known.failures, node.logins.prospect(known)), (50, admin::Prospect::Free));
    // Who was not guessed at, or guessed at elsewhere, knows nothing of it.
    assert_eq!(node.attempt("192.0.2.8", "u1", true).await, Came::In);
    tokio::time::sleep(60 * SECOND).await;
    for user in &users {
        assert_eq!(node.attempt("192.0.2.7", user, true).await, Came::In);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_of_ones_own_buys_no_guesses_at_others() {
    let node = node("");
    let mut tested = 0;
    for round in 0..20 {
        tested += node.guess("192.0.2.7", &format!("victim{round}"), 1).await;
        let came = node.attempt("192.0.2.7", "mallory", true).await;
        assert_eq!(came, Came::In, "he is known from his first login on");
    }
    assert_eq!(tested, 5);
    // Nor do failures at it that are forgiven later.
    let ip = "192.0.2.100";
    assert_eq!(node.guess(ip, "eve", 3).await, 3);
    assert_eq!(node.guess(ip, "victim", 1).await, 1);
    assert_eq!(node.attempt(ip, "eve", true).await, Came::In);
    assert_eq!(node.guess(ip, "victim", 9).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_success_takes_back_ones_own_failures() {
    let node = node("");
    for user in ["a", "b", "c", "d", "e", "f"] {
        for _ in 0..2 {
            assert_eq!(node.attempt("192.0.2.7", user, false).await, Came::Failed);
        }
        assert_eq!(node.attempt("192.0.2.7", user, true).await, Came::In);
    }
    assert!(node.ledger.status(10).is_empty(), "{:?}", node.ledger.status(10));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_the_answer_has_failed_and_before_the_test_has_not() {
    let node = node("");
    for _ in 0..50 {
        drop(node.before("192.0.2.7", "mrose").await.unwrap());
        let mut entry = node.before("192.0.2.7", "mrose").await.unwrap();
        entry.begin();
        entry.shown();
        entry.unknown();
    }
    let mut tested = 0;
    for _ in 0..50 {
        if let Ok(mut entry) = node.before("192.0.2.7", "mrose").await {
            entry.begin();
            entry.shown();
            tested += 1;
        }
    }
    assert_eq!(tested, 5);
}

#[tokio::test(start_paused = true)]
async fn the_whitelist_spares_addresses_and_not_users() {
    let node = node("login_whitelist 192.0.2.0/24 2001:db8::/32;");
    assert_eq!(node.guess("192.0.2.7", "mary", 50).await, 8);
    assert_eq!(node.attempt("192.0.2.7", "mary", true).await, Came::Denied(By::User));
    for number in 0..50 {
        assert_eq!(node.guess("192.0.2.7", &format!("u{number}"), 1).await, 1);
    }
    assert_eq!(node.attempt("192.0.2.7", "tim", true).await, Came::In);
    assert_eq!(node.guess("192.0.3.7", "bob", 50).await, 5);
}

#[tokio::test(start_paused = true)]
async fn nobody_knows_who_exists_by_how_often_he_may_try() {
    // The throttle is not told who exists: it cannot tell them apart. What is left is the same words.
    let node = node("");
    let mut heard = Vec::new();
    for user in ["exists", "does-not"] {
        for host in 0..9 {
            let came = node.before(&format!("10.0.{host}.1"), user).await;
            heard.push(came.map(|entry| {
                let delay = entry.delay();
                drop(crate::observe::tasks::spawn("guess", entry.failed(RefusedBy::Us)));
                delay
            }));
            settle().await;
        }
    }
    let known = heard.split_off(9);
    let retry = |denied: &Denied| Denied { retry: None, ..denied.clone() };
    for (one, other) in heard.iter().zip(&known) {
        assert_eq!(one.as_ref().map_err(retry), other.as_ref().map_err(retry));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_turned_away_without_a_question() {
    let node = Node::new("login_attempts_address 20/60s;", &Cache::off());
    let mut came = Vec::new();
    for number in 0..100 {
        came.push(node.attempt("192.0.2.7", &format!("u{number}"), true).await);
    }
    assert_eq!(came.iter().filter(|came| **came == Came::In).count(), 20);
    assert_eq!(came[50], Came::Denied(By::Attempts));
    assert_eq!(node.attempt("192.0.2.7", "u3", true).await, Came::In, "he is known");
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(node.attempt("192.0.2.7", "new", true).await, Came::In);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_addresses_fills_no_memory_and_frees_no_one() {
    const MOST: usize = 10_000;
    let (cache, metrics) = (Cache::off(), Metrics::new());
    let ledger = Ledger::holding(MOST, MOST, cache.clone(), Bus::new(cache), &metrics);
    let settings = settings("login_attempts_address off;");
    let logins = Logins::new("mail.example", &settings, &ledger, Log::silent());
    let node = Node { ledger, logins, metrics };
    let mut random = fastrand::Rng::with_seed(3);
    node.guess("192.0.2.7", "mary", 9).await;
    for _ in 0..60_000_u32 {
        let ip = IpAddr::V4(std::net::Ipv4Addr::from_bits(random.u32(0x0b00_0000..0x7e00_0000)));
        let user = random.u64(..).to_string();
        let who = Who { ip: Some(ip), user: user.as_bytes(), protocol: "imap" };
        if let Ok(entry) = node.logins.before(&who).await {
            entry.failed(RefusedBy::Us).await;
        }
    }
    assert!(node.ledger.len() <= 2 * MOST, "{} keys", node.ledger.len());
    let status = node.ledger.status(50);
    let is_kept = |kind: &str| status.iter().any(|one| one.kind == kind && one.failures >= 9);
    assert!(is_kept("user") && is_kept("address"), "{status:?}");
    tokio::time::sleep(3600 * SECOND).await;
    node.ledger.sweep(Instant::now());
    assert_eq!(node.ledger.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_counts_nothing() {
    let node = node("login_throttle off;");
    assert_eq!(node.guess("192.0.2.7", "mary", 50).await, 50);
    assert_eq!(node.ledger.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn counts_outlive_a_reload() {
    let node = node("");
    node.guess("192.0.2.7", "mary", 5).await;
    let Node { ledger, logins, .. } = &node;
    let again = Logins::new("mail.example", &settings(STRICT), ledger, Log::silent());
    let who = Who { ip: "192.0.2.7".parse().ok(), user: b"x", protocol: "pop3" };
    assert_eq!(again.before(&who).await.unwrap_err().by, By::Address);
    assert!(Arc::ptr_eq(&again.0.pace, &logins.0.pace));
}

#[tokio::test(start_paused = true)]
async fn a_deny_is_one_line_and_a_flood_is_few() {
    let (log, memory) = Log::memory(Level::Notice);
    let node = Node::logging(STRICT, &Cache::off(), log);
    node.guess("192.0.2.7", "ma\"ry\r\n", 500).await;
    let lines = memory.lines();
    let want = r#"login throttle: deny by address [count:5, limit:5], client: 192.0.2.7, protocol: imap, login: "ma\x22ry\x0D\x0A""#;
    assert!(lines[0].contains("[notice]") && lines[0].trim_end().ends_with(want), "{lines:?}");
    assert!((1..=5).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(node.decisions("address", "deny"), 495);
    assert_eq!(node.decisions("login", "allow"), 5);
}

#[tokio::test(start_paused = true)]
async fn an_admin_sees_and_forgives() {
    let node = node("");
    node.guess("192.0.2.7", "mary", 5).await;
    node.guess("192.0.3.7", "tim", 3).await;
    let status = node.ledger.status(3);
    let first =
        Offender { kind: "user", name: "\"mary\"".to_owned(), failures: 5, seconds_left: 60 };
    assert!(status.len() == 3 && status.contains(&first), "{status:?}");
    assert_eq!(node.ledger.forgive(&Target::Address("192.0.2.7".parse().unwrap())).await.0, 2);
    assert_eq!(node.attempt("192.0.2.7", "x", false).await, Came::Failed);
    assert_eq!(node.ledger.forgive(&Target::User("MARY".to_owned())).await.0, 1);
    let net = crate::config::value::cidr("192.0.3.0/24").unwrap();
    let order = Spare { net, until: None };
    node.ledger.whitelist(order).await;
    assert_eq!(node.guess("192.0.3.7", "bob", 50).await, 8);
    assert_eq!(node.ledger.whitelisted(), [order]);
    node.ledger.unspare(net).await;
    assert_eq!(node.ledger.whitelisted(), []);
}

#[tokio::test(start_paused = true)]
async fn a_network_let_alone_outlives_the_process_and_ends_by_itself() {
    let (first, second) = (node(""), node(""));
    let kept = Arc::<Mutex<String>>::default();
    let own = kept.clone();
    let write = move |all: &[Spare]| *own.lock().unwrap() = serde_json::to_string(all).unwrap();
    first.ledger.keep_spared(write);
    let net = |text: &str| crate::config::value::cidr(text).unwrap();
    let order = |text: &str, until| Spare { net: net(text), until };
    first.ledger.whitelist(order("192.0.2.0/24", None)).await;
    first.ledger.whitelist(order("198.51.100.0/24", Some(u64::MAX))).await;
    first.ledger.whitelist(order("203.0.113.0/24", Some(1))).await;
    let text = kept.lock().unwrap().clone();
    second.ledger.restore_spared(serde_json::from_str(&text).unwrap());
    let spares = |ip: &str| second.ledger.spares(ip.parse().unwrap());
    assert!(spares("192.0.2.9") && spares("198.51.100.9"));
    assert!(!spares("203.0.113.9"), "it is over");
    assert_eq!(second.ledger.whitelisted().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_when_an_upstreams_would_be() {
    let node = node("login_failure_delay 1s;");
    let wait = async |by, takes: Duration| {
        let mut entry = node.before("127.0.0.1", "").await.unwrap();
        entry.begin();
        entry.shown();
        tokio::time::sleep(takes).await;
        takes + entry.failed(by).await
    };
    let near = |took: Duration, want: f64| (took.as_secs_f64() / want - 1.0).abs() <= 0.051;
    assert!(near(wait(RefusedBy::Us, Duration::ZERO).await, 1.0));
    assert!(near(wait(RefusedBy::Upstream, 2 * SECOND).await, 2.2));
    assert!(near(wait(RefusedBy::Us, Duration::ZERO).await, 2.2));
    assert!(node.logins.says_ours(Kind::BadCredentials) && !node.logins.says_ours(Kind::Forbidden));
}

/// Else a server that hangs would have shut all its users out by the time it is back.
#[tokio::test(start_paused = true)]
async fn who_gives_up_before_anybody_has_seen_the_secret_has_not_failed() {
    let node = node(STRICT);
    for _ in 0..50 {
        let mut entry = node.before("192.0.2.7", "mrose").await.unwrap();
        entry.begin();
    }
    for _ in 0..5 {
        let mut entry = node.before("192.0.2.7", "mrose").await.unwrap();
        entry.begin();
        entry.shown();
    }
    assert!(node.before("192.0.2.7", "mrose").await.is_err(), "five have seen it");
}

/// Sessions are moved from one worker to another by nobody, and yet their types allow it.
#[test]
fn an_entry_may_go_where_its_session_goes() {
    fn is_send<T: Send>(_: &T) {}
    let node = node("");
    let who = Who { ip: None, user: b"x", protocol: "imap" };
    is_send(&node.logins.before(&who));
    is_send(&node.logins.connected("imap", None));
    fn ends_are_send(entry: Entry, other: Entry) {
        is_send(&entry.failed(RefusedBy::Us));
        is_send(&other.succeeded());
    }
    let _ = ends_are_send;
}
