//! Purges: here, in the shared cache, on other nodes, and in between.

use super::*;
use crate::route::order::Order;
use tokio::time::advance;

const ONE: &str = "192.0.2.1:143";
const TWO: &str = "192.0.2.2:143";

/// Two nodes that share a cache and hear each other.
fn two() -> (Node, Node, Cache) {
    let cache = Cache::memory();
    let bus = Bus::new(cache.clone());
    let node = || {
        let node = Node::with(&bus, &cache, Format::Gatepost, To(ONE));
        tasks::spawn("test", {
            let (routes, listener) = (node.routes.clone(), bus.listen());
            async move { routes.follow(listener).await }
        });
        node
    };
    (node(), node(), cache)
}

#[tokio::test(start_paused = true)]
async fn a_purge_on_one_node_is_heard_by_all() {
    for purge in [Purge::user("A@X.example"), Purge::domain("X.example"), Purge::All] {
        let (one, two, cache) = two();
        one.log_in("a@x.example").await;
        assert_eq!(two.log_in("a@x.example").await, format!("HIT {ONE}"));
        [&one, &two].iter().for_each(|node| node.says(To(TWO)));
        let report = one.routes.purge(&purge).await;
        assert!(report.is_told && report.errors.is_empty() && !report.leaves_some, "{report:?}");
        assert_eq!(report.forgotten, 1, "{purge:?}");
        settle().await;
        // Neither the nodes nor the cache have it any more, nor has one that has just started.
        let three = Node::on(&cache, To(TWO));
        for node in [&three, &two, &one] {
            assert_eq!(node.see("a@x.example").await, format!("MISS {TWO}"), "{purge:?}");
        }
        assert_eq!((one.evicted("purged"), two.evicted("purged")), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_forgets_no_others() {
    let (one, two, _) = two();
    let users = ["a@x.example", "b@x.example", "a@y.example", "ba@x.example"];
    for (purge, left) in [
        (Purge::user("a@x.example"), vec!["b@x.example", "a@y.example", "ba@x.example"]),
        (Purge::domain("x.example"), vec!["a@y.example"]),
        (Purge::domain("ample"), users.to_vec()),
        (Purge::user("a"), users.to_vec()),
    ] {
        for user in users {
            one.log_in(user).await;
            two.log_in(user).await;
        }
        one.routes.purge(&purge).await;
        settle().await;
        for node in [&one, &two] {
            for user in users {
                let is_left = node.see(user).await.starts_with("HIT");
                assert_eq!(is_left, left.contains(&user), "{purge:?} {user}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_every_name_and_every_way() {
    let (one, two, cache) = two();
    one.says(As(ONE, "john@x.example"));
    let ways = [("imap", true), ("imap", false), ("pop3", true), ("smtp", false)];
    let names = ["john@x.example", "JOHN@x.example", "john", "j.smith@y.example", "js"];
    let mut questions = Vec::new();
    for (protocol, secure_upstream) in ways {
        for name in names {
            let asker = Asker { protocol, secure_upstream, ..asker() };
            let question = Question::of(&attempt(name.as_bytes()), &asker, one.settings.scope());
            questions.push(question.unwrap());
        }
    }
    let acting =
        Attempt { authzid: Some(b"John@x.example"[..].into()), ..attempt(b"admin@x.example") };
    questions.push(Question::of(&acting, &asker(), one.settings.scope()).unwrap());
    let see = async |node: &Node, question: &Question| {
        let found =
            node.routes.find(question, &node.settings, &node.ground(), &node.asking()).await;
        found.unwrap().cache_status()
    };
    for question in &questions {
        let found =
            one.routes.find(question, &one.settings, &one.ground(), &one.asking()).await.unwrap();
        one.routes.keep(question, &one.settings, &found);
        settle().await;
        assert_eq!(see(&two, question).await, "HIT");
    }
    let (rows, errors) = two.routes.list("john@x.example").await;
    assert_eq!((rows.len(), errors.len()), (2 * questions.len(), 0));
    assert!(rows.iter().any(|row| &*row.server == "memory"
        && row.name.as_deref() == Some(&row.key)
        && row.key.contains("j.smith@y.example")
        && row.value.as_deref() == Some("192.0.2.1:143 user=john@x.example")));
    // By a node that has nothing of it in its own process.
    let three = Node::with(&Bus::new(cache.clone()), &cache, Format::Gatepost, To(TWO));
    let report = three.routes.purge(&Purge::user("john@x.example")).await;
    assert_eq!(report.keys.iter().filter(|(_, was_there)| *was_there).count(), questions.len());
    assert_eq!(report.rows.iter().filter(|row| row.value.is_some()).count(), questions.len());
    let four = Node::on(&cache, To(TWO));
    for question in &questions {
        assert_eq!(see(&four, question).await, "MISS", "{question:?}");
    }
    // What was looked at is told, where there is nothing.
    let (rows, _) = four.routes.list("john@x.example").await;
    assert!(rows.iter().all(|row| row.value.is_none()) && rows.len() == 12, "{rows:?}");
    let again = three.routes.purge(&Purge::user("john@x.example")).await;
    assert_eq!(again.rows, rows);
    one.routes.obey(&Order::ForgetUser { user: "john@x.example".into() });
    for question in &questions {
        assert_eq!(see(&one, question).await, "MISS", "{question:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_a_purge_is_not_kept_after_it() {
    for purge in [Purge::user("a@x.example"), Purge::domain("x.example"), Purge::All] {
        let (one, two, cache) = two();
        one.takes(SECOND);
        // It is being asked, and answered with what will be wrong.
        let asking = tasks::spawn("test", {
            let one = one.clone();
            async move { one.log_in("a@x.example").await }
        });
        settle().await;
        one.says(To(TWO));
        two.says(To(TWO));
        two.routes.purge(&purge).await;
        assert_eq!(asking.await.unwrap(), format!("MISS {ONE}"));
        for node in [&one, &two, &Node::on(&cache, To(TWO))] {
            assert_eq!(node.see("a@x.example").await, format!("MISS {TWO}"), "{purge:?}");
        }
        // So is what was found before and is kept after it,
        one.takes(Duration::ZERO);
        let found = one.find("a@x.example").await.unwrap();
        one.routes.purge(&purge).await;
        one.routes.keep(&one.question("a@x.example"), &one.settings, &found);
        settle().await;
        assert_eq!(one.see("a@x.example").await, format!("MISS {TWO}"));
        assert_eq!(two.see("a@x.example").await, format!("MISS {TWO}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_a_purge_overtakes_is_thrown_away() {
    let (one, two, _) = two();
    one.log_in("a@x.example").await;
    advance(TTL.mul_f64(1.1) + SECOND).await;
    one.takes(SECOND);
    assert_eq!(one.see("a@x.example").await, format!("STALE {ONE}"));
    two.routes.purge(&Purge::user("a@x.example")).await;
    advance(SECOND * 2).await;
    settle().await;
    one.says(To(TWO));
    one.takes(Duration::ZERO);
    assert_eq!(one.see("a@x.example").await, format!("MISS {TWO}"));
}

#[tokio::test(start_paused = true)]
async fn where_orders_were_missed_everything_is_asked_for_anew_if_it_can_be() {
    let (one, two, _) = two();
    for user in ["a@x.example", "b@x.example"] {
        one.log_in(user).await;
        two.log_in(user).await;
    }
    one.routes.doubt();
    // What the shared cache still has is as good as before.
    one.says(Down);
    assert_eq!(one.see("a@x.example").await, format!("HIT {ONE}"));
    assert_eq!(one.asked(), 2);
    let lonely = Node::new(To(ONE));
    lonely.log_in("a@x.example").await;
    lonely.routes.doubt();
    lonely.says(Down);
    assert_eq!(lonely.see("a@x.example").await, format!("STALE {ONE}"));
    lonely.says(To(TWO));
    advance(SECOND).await;
    assert_eq!(lonely.log_in("a@x.example").await, format!("EXPIRED {TWO}"));
    assert_eq!(lonely.log_in("a@x.example").await, format!("HIT {TWO}"));
}

#[tokio::test(start_paused = true)]
async fn a_purge_without_a_cache_forgets_here_and_says_what_it_could_not() {
    let lonely = Node::new(To(ONE));
    lonely.log_in("a@x.example").await;
    let report = lonely.routes.purge(&Purge::All).await;
    assert_eq!((report.forgotten, report.errors.len()), (1, 0));
    assert!(lonely.see("a@x.example").await.starts_with("MISS"));
    let (one, _, cache) = two();
    for purge in [Purge::user("a@x.example"), Purge::domain("x.example"), Purge::All] {
        one.log_in("a@x.example").await;
        cache.break_for_tests(true);
        let report = one.routes.purge(&purge).await;
        assert!(!report.errors.is_empty() && report.forgotten == 1, "{report:?}");
        cache.break_for_tests(false);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_the_cache_has_lost_is_put_back() {
    let (one, two, cache) = two();
    one.log_in("a@x.example").await;
    one.routes.purge(&Purge::All).await;
    // The purged entry is still there, as on a server of its own; the generation is not.
    assert!(two.see("a@x.example").await.starts_with("MISS"));
    assert!(cache.delete(&Key::of("generation", &[])).await.unwrap());
    advance(SECOND * 60).await;
    assert!(two.see("a@x.example").await.starts_with("MISS"));
    assert!(Node::on(&cache, To(TWO)).see("a@x.example").await.starts_with("MISS"));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_full_drops_its_oldest_and_so_does_the_cache() {
    let cache = Cache::memory();
    let node = Node::on(&cache, As(ONE, "john@x.example"));
    for alias in 0..70 {
        node.log_in(&format!("alias{alias}@x.example")).await;
    }
    let report = node.routes.purge(&Purge::user("john@x.example")).await;
    assert_eq!(report.keys.iter().filter(|(_, was_there)| *was_there).count(), 64);
    let other = Node::on(&cache, To(TWO));
    for alias in 0..70 {
        let seen = other.see(&format!("alias{alias}@x.example")).await;
        assert!(seen.starts_with("MISS"), "{alias} {seen}");
    }
}

/// A key that comes back from a list is the one that went in, or it would be listed again each time.
#[tokio::test(start_paused = true)]
async fn a_key_is_listed_once() {
    let cache = Cache::memory();
    for _ in 0..70 {
        // A node that knows nothing of the others' writes it as if it were new.
        let node = Node::on(&cache, As(ONE, "john@x.example"));
        node.routes.shared.put(&node.question("john@x.example"), &john(), 0, TTL).await.unwrap();
    }
    let node = Node::on(&cache, To(TWO));
    let listed = node.routes.shared.listed(b"john@x.example").await.unwrap();
    assert_eq!(listed, [node.question("john@x.example").key()]);
}

fn john() -> Entry {
    let server = Server::parse(ONE).unwrap();
    Entry {
        aim: entry::Aim::Servers(vec![server]),
        user: None,
        authzid: None,
        security: None,
        handler: None,
        is_alias: false,
    }
}
