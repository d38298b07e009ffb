//! How long a route serves, and what follows when its time is up.

use super::*;
use tokio::time::advance;

const ONE: &str = "192.0.2.1:143";
const TWO: &str = "192.0.2.2:143";

#[tokio::test(start_paused = true)]
async fn a_route_is_kept_once_the_upstream_has_said_yes() {
    let node = Node::new(To(ONE));
    assert_eq!(node.see("a@x.example").await, format!("MISS {ONE}"));
    assert_eq!(node.log_in("a@x.example").await, format!("MISS {ONE}"));
    assert_eq!(node.log_in("a@x.example").await, format!("HIT {ONE}"));
    assert_eq!(node.log_in("b@x.example").await, format!("MISS {ONE}"));
    assert_eq!(node.log_in("A@x.example").await, format!("MISS {ONE}"), "names by the letter");
    assert_eq!(node.asked(), 4);
    assert_eq!((node.told("process", "hit"), node.told("process", "miss")), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_kept_route_is_not_believed_for_ever() {
    for _ in 0..50 {
        let node = Node::new(To(ONE));
        node.log_in("a@x.example").await;
        node.says(To(TWO));
        advance(TTL.mul_f64(0.9) - SECOND).await;
        assert_eq!(node.see("a@x.example").await, format!("HIT {ONE}"));
        let Origin::Kept { age } = node.find("a@x.example").await.unwrap().origin else {
            panic!("it was kept")
        };
        assert!(age >= TTL.mul_f64(0.9) - SECOND * 2, "{age:?}");
        advance(TTL.mul_f64(0.2) + SECOND).await;
        assert_eq!(node.see("a@x.example").await, format!("STALE {ONE}"));
        assert_eq!(node.see("a@x.example").await, format!("HIT {TWO}"));
        assert_eq!((node.asked(), node.evicted("changed")), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_route_is_asked_for_once_and_behind_the_clients_back() {
    let node = Node::new(To(ONE));
    node.log_in("a@x.example").await;
    advance(TTL.mul_f64(1.1) + SECOND).await;
    node.says(To(TWO));
    node.takes(SECOND * 3);
    for _ in 0..20 {
        assert_eq!(node.see("a@x.example").await, format!("STALE {ONE}"));
    }
    assert_eq!(node.asked(), 2);
    tokio::time::sleep(SECOND * 4).await;
    assert_eq!(node.see("a@x.example").await, format!("HIT {TWO}"));
    assert_eq!(node.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_away_the_old_route_serves_on_and_then_no_more() {
    let node = Node::new(To(ONE));
    node.log_in("a@x.example").await;
    advance(TTL.mul_f64(1.1) + SECOND).await;
    node.says(Down);
    for _ in 0..30 {
        assert_eq!(node.see("a@x.example").await, format!("STALE {ONE}"));
        advance(SECOND).await;
    }
    let asked = node.asked() - 1;
    assert!((4..=8).contains(&asked), "once in five seconds, not at each login: {asked}");
    node.says(To(TWO));
    advance(SECOND * 6).await;
    node.see("a@x.example").await;
    assert_eq!(node.see("a@x.example").await, format!("HIT {TWO}"), "it is back");
    node.says(Down);
    advance(TTL.mul_f64(1.1) + STALE + SECOND).await;
    assert_eq!(node.see("a@x.example").await, "Unavailable");
}

#[tokio::test(start_paused = true)]
async fn where_asking_takes_the_password_a_stale_route_is_for_want_of_better() {
    let node = Node::new(To(ONE)).private();
    assert_eq!(node.log_in("a@x.example").await, format!("MISS {ONE}"));
    assert_eq!(node.log_in("a@x.example").await, format!("HIT {ONE}"));
    advance(TTL.mul_f64(1.1) + SECOND).await;
    node.says(Down);
    assert_eq!(node.log_in("a@x.example").await, format!("STALE {ONE}"));
    node.says(WrongPassword);
    assert_eq!(node.log_in("a@x.example").await, "BadCredentials");
    node.says(To(TWO));
    assert_eq!(node.log_in("a@x.example").await, format!("EXPIRED {TWO}"));
    assert_eq!(node.log_in("a@x.example").await, format!("HIT {TWO}"));
    assert_eq!(node.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_is_unknown_is_not_asked_about_for_a_few_seconds() {
    let node = Node::new(Unknown);
    for _ in 0..9 {
        assert_eq!(node.see("a@x.example").await, "BadCredentials");
    }
    assert_eq!(node.asked(), 1);
    node.says(To(ONE));
    advance(SECOND * 6).await;
    assert_eq!(node.log_in("a@x.example").await, format!("MISS {ONE}"));
    // And who is away, or would not say it to others, is asked each time.
    for reply in [Down, WrongPassword, Reply::Private(ONE)] {
        let node = Node::new(reply);
        node.log_in("a@x.example").await;
        node.log_in("a@x.example").await;
        assert_eq!(node.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_no_more_is_forgotten_when_the_route_is_renewed() {
    let cache = Cache::memory();
    let node = Node::on(&cache, To(ONE));
    node.log_in("a@x.example").await;
    advance(TTL.mul_f64(1.1) + SECOND).await;
    node.says(Unknown);
    assert_eq!(node.see("a@x.example").await, format!("STALE {ONE}"));
    assert_eq!(node.see("a@x.example").await, "BadCredentials");
    assert_eq!(node.evicted("changed"), 1);
    let other = Node::on(&cache, Unknown);
    assert_eq!(other.see("a@x.example").await, "BadCredentials");
}

#[tokio::test(start_paused = true)]
async fn an_alias_lives_as_long_as_it_may() {
    let mut node = Node::new(As(ONE, "a@x.example"));
    node.settings.alias_ttl = SECOND * 100;
    node.log_in("alias@x.example").await;
    node.log_in("a@x.example").await;
    advance(SECOND * 111).await;
    let want = format!("{ONE} as a@x.example");
    assert_eq!(node.see("alias@x.example").await, format!("STALE {want}"));
    assert_eq!(node.see("a@x.example").await, format!("HIT {want}"));
}

#[tokio::test(start_paused = true)]
async fn what_one_node_has_learnt_the_other_need_not_ask_for() {
    let cache = Cache::memory();
    let (one, two) = (Node::on(&cache, As(ONE, "b@x.example")), Node::on(&cache, Down));
    one.log_in("a@x.example").await;
    advance(TTL / 2).await;
    assert_eq!(two.see("a@x.example").await, format!("HIT {ONE} as b@x.example"));
    let Origin::Kept { age } = two.find("a@x.example").await.unwrap().origin else { panic!() };
    assert!(age.abs_diff(TTL / 2) <= SECOND, "the age is that of the answer: {age:?}");
    assert_eq!((two.told("shared", "hit"), two.told("process", "hit")), (1, 1));
    // It grows old there as it does here, and a node that starts in a bad hour still has it.
    advance(TTL.mul_f64(0.6) + SECOND).await;
    let three = Node::on(&cache, Down);
    assert_eq!(three.see("a@x.example").await, format!("STALE {ONE} as b@x.example"));
    assert_eq!(three.asked(), 1);
    // What is renewed here is renewed there.
    one.says(To(TWO));
    one.see("a@x.example").await;
    assert_eq!(Node::on(&cache, Down).see("a@x.example").await, format!("HIT {TWO}"));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_down_is_a_miss() {
    let cache = Cache::memory();
    let node = Node::on(&cache, To(ONE));
    node.log_in("a@x.example").await;
    cache.break_for_tests(true);
    let other = Node::on(&cache, To(ONE));
    assert_eq!(other.log_in("a@x.example").await, format!("MISS {ONE}"));
    assert_eq!(other.log_in("a@x.example").await, format!("HIT {ONE}"));
    assert_eq!(other.told("shared", "error"), 1);
    assert_eq!(
        show(&other.find_anew("b@x.example", Reason::LoginRefused).await),
        format!("EXPIRED {ONE}")
    );
}

#[tokio::test(start_paused = true)]
async fn accounts_are_found_by_their_id() {
    let cache = Cache::memory();
    let (one, two) = (Node::on(&cache, To(ONE)), Node::on(&cache, To(TWO)));
    let by_id = |role| Question::by_id(one.settings.scope(), true, role, "cc00ce85").unwrap();
    for (node, role, want) in [
        (&one, Role::User, "MISS 192.0.2.1:143"),
        (&one, Role::User, "HIT 192.0.2.1:143"),
        (&two, Role::User, "HIT 192.0.2.1:143"),
        (&two, Role::Admin, "MISS 192.0.2.2:143"),
        (&one, Role::Admin, "HIT 192.0.2.2:143"),
        (&one, Role::Zx, "MISS 192.0.2.1:143"),
    ] {
        let question = by_id(role);
        let found =
            node.routes.find(&question, &node.settings, &node.ground(), &node.asking()).await;
        node.routes.keep(&question, &node.settings, found.as_ref().unwrap());
        settle().await;
        assert_eq!(show(&found), want);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_that_hangs_on_a_secret() {
    let node = Node::new(To(ONE));
    let question = node.question("a@x.example");
    type Change = fn(&mut Route);
    let changes: [(Change, bool); 7] = [
        (|_| {}, true),
        (|route| route.keepable = false, false),
        (|route| route.secret = Some(Secret::new("x")), false),
        (|route| route.verifier = Some(Secret::new("x")), false),
        (|route| route.master = true, false),
        (|route| route.is_checked = true, true),
        (|route| route.user = Some(b"a\r\nb"[..].into()), false),
    ];
    for (change, is_kept) in changes {
        let node = Node::new(To(ONE));
        let mut route = node.find("a@x.example").await.unwrap();
        change(&mut route);
        node.routes.keep(&question, &node.settings, &route);
        let found = node.find("a@x.example").await.unwrap();
        assert_eq!(found.cache_status() == "HIT", is_kept);
        assert!(!found.is_checked, "nobody has vouched for the next login");
    }
    for mechanism in Mechanism::ALL {
        let attempt = Attempt::new(mechanism, &b"a@x.example"[..], Secret::default());
        let is_asked = Question::of(&attempt, &asker(), Scope::default()).is_some();
        let is_unasked = mechanism == Mechanism::Unasked;
        let want = mechanism.brings_password() || mechanism.brings_token() || is_unasked;
        assert_eq!(is_asked, want, "{mechanism:?}");
    }
}
