//! Routes that have failed.

use super::*;
use tokio::time::advance;

const ONE: &str = "192.0.2.1:143";
const TWO: &str = "192.0.2.2:143";

#[tokio::test(start_paused = true)]
async fn a_user_who_has_moved_is_asked_about_and_found() {
    for (reason, name) in
        [(Reason::ConnectFailed, "connect_failed"), (Reason::LoginRefused, "login_refused")]
    {
        let cache = Cache::memory();
        let node = Node::on(&cache, To(ONE));
        node.log_in("a@x.example").await;
        advance(PAUSE).await;
        node.says(To(TWO));
        let kept = node.find("a@x.example").await.unwrap();
        assert!(matches!(kept.origin, Origin::Kept { .. }));
        let found = node.find_anew("a@x.example", reason).await.unwrap();
        assert!(found.leads_elsewhere_than(&kept) && !found.leads_elsewhere_than(&found));
        assert_eq!((found.origin, found.cache_status()), (Origin::Fresh, "EXPIRED"));
        assert_eq!(node.evicted(name), 1);
        // Others are not told before it has proved right.
        let other = Node::on(&cache, To("192.0.2.3:143"));
        assert_eq!(other.see("a@x.example").await, "MISS 192.0.2.3:143");
        node.routes.keep(&node.question("a@x.example"), &node.settings, &found);
        settle().await;
        assert_eq!(other.see("a@x.example").await, format!("HIT {TWO}"));
        assert_eq!(node.see("a@x.example").await, format!("HIT {TWO}"));
        assert_eq!(node.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guesser_does_not_turn_wrong_passwords_into_lookups() {
    let node = Node::on(&Cache::memory(), To(ONE));
    node.log_in("a@x.example").await;
    for _ in 0..120 {
        let kept = node.find("a@x.example").await.unwrap();
        assert!(matches!(kept.origin, Origin::Kept { .. }));
        let found = node.find_anew("a@x.example", Reason::LoginRefused).await.unwrap();
        assert!(!found.leads_elsewhere_than(&kept));
        settle().await;
        advance(SECOND / 2).await;
    }
    assert!(node.asked() <= 1 + 60 / 5, "{}", node.asked());
    assert_eq!(node.evicted("login_refused"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_route_stays_while_nobody_can_be_asked() {
    let cache = Cache::memory();
    let node = Node::on(&cache, To(ONE));
    node.log_in("a@x.example").await;
    advance(PAUSE).await;
    node.says(Down);
    assert_eq!(show(&node.find_anew("a@x.example", Reason::ConnectFailed).await), "Unavailable");
    assert_eq!(node.see("a@x.example").await, format!("HIT {ONE}"));
    // It is not asked for each login that fails, either.
    for _ in 0..9 {
        let found = node.find_anew("a@x.example", Reason::ConnectFailed).await;
        assert_eq!(show(&found), format!("HIT {ONE}"));
    }
    assert_eq!(node.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_gone_is_forgotten() {
    let cache = Cache::memory();
    let node = Node::on(&cache, To(ONE));
    node.log_in("a@x.example").await;
    advance(PAUSE).await;
    for reply in [Unknown, WrongPassword, Reply::Private(TWO)] {
        node.says(To(ONE));
        node.log_in("a@x.example").await;
        advance(PAUSE * 2).await;
        node.says(reply);
        let evicted = node.evicted("login_refused");
        let _ = node.find_anew("a@x.example", Reason::LoginRefused).await;
        assert_eq!(node.evicted("login_refused"), evicted + 1);
        let other = Node::on(&cache, To(TWO));
        assert_eq!(other.see("a@x.example").await, format!("MISS {TWO}"));
        advance(SECOND * 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_failed_logins_ask_once_and_a_client_that_leaves_stops_nobody() {
    let node = Node::new(To(ONE));
    node.log_in("a@x.example").await;
    advance(PAUSE).await;
    node.says(To(TWO));
    node.takes(SECOND);
    let anew = || {
        let node = node.clone();
        tasks::spawn("test", async move {
            show(&node.find_anew("a@x.example", Reason::LoginRefused).await)
        })
    };
    let leaving = anew();
    settle().await;
    let others: Vec<_> = (0..20).map(|_| anew()).collect();
    settle().await;
    leaving.abort();
    for other in others {
        assert_eq!(other.await.unwrap(), format!("MISS {TWO}"));
    }
    assert_eq!(node.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn where_asking_takes_the_password_it_is_asked_with_it() {
    let node = Node::new(To(ONE)).private();
    node.log_in("a@x.example").await;
    advance(PAUSE).await;
    node.says(To(TWO));
    let found = node.find_anew("a@x.example", Reason::LoginRefused).await;
    assert_eq!(show(&found), format!("EXPIRED {TWO}"));
    assert_eq!(node.see("a@x.example").await, format!("HIT {TWO}"));
}
