//! Many who ask the same at once.

use super::*;

const ONE: &str = "192.0.2.1:143";

fn many(node: &Node, count: usize) -> Vec<tokio::task::JoinHandle<String>> {
    let one = || {
        let node = node.clone();
        tasks::spawn("test", async move { node.log_in("a@x.example").await })
    };
    (0..count).map(|_| one()).collect()
}

async fn all(tasks: Vec<tokio::task::JoinHandle<String>>, want: &str) {
    for task in tasks {
        assert_eq!(task.await.unwrap(), want);
    }
}

#[tokio::test(start_paused = true)]
async fn identical_questions_are_asked_once() {
    for (reply, want) in [
        (To(ONE), format!("MISS {ONE}")),
        (Unknown, "BadCredentials".to_owned()),
        (Down, "Unavailable".to_owned()),
    ] {
        let node = Node::on(&Cache::memory(), reply);
        node.takes(SECOND);
        all(many(&node, 100), &want).await;
        assert_eq!(node.asked(), 1, "{want}");
        assert_eq!(node.told("shared", "miss"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_a_password_are_not_shared() {
    for (reply, want) in [
        (To(ONE), format!("MISS {ONE}")),
        (WrongPassword, "BadCredentials".to_owned()),
        (Down, "Unavailable".to_owned()),
    ] {
        let node = Node::new(reply).private();
        node.takes(SECOND);
        all(many(&node, 9), &want).await;
        assert_eq!(node.asked(), 9, "{want}");
    }
    // And what turns out to be for one alone is asked by each, all at once.
    let node = Node::new(Reply::Private(ONE));
    node.takes(SECOND);
    let began = tokio::time::Instant::now();
    let tasks = many(&node, 9);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((node.asked(), began.elapsed() < SECOND * 3), (9, true));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_asking_leaves_it_to_the_next() {
    let node = Node::new(To(ONE));
    node.takes(SECOND * 3);
    let leaving = many(&node, 1);
    settle().await;
    let others = many(&node, 9);
    settle().await;
    leaving[0].abort();
    all(others, &format!("MISS {ONE}")).await;
    assert_eq!(node.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_with_what_is_old_if_asking_fails() {
    let node = Node::new(To(ONE));
    node.log_in("a@x.example").await;
    node.routes.doubt();
    node.says(Down);
    node.takes(SECOND);
    all(many(&node, 9), &format!("STALE {ONE}")).await;
    assert_eq!(node.asked(), 2);
}
