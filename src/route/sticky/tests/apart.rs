//! What happens when something fails.

use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn without_the_cache_sessions_here_decide_and_then_the_hash() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let (user, other) = (user_at("a"), user_at("b"));
    one.sticky.move_user(&user, Some("c")).await.unwrap();
    wait(SECOND).await;
    assert_eq!(one.log_in(&user).await, ("c", How::Lease));
    cache.break_for_tests(true);
    assert_eq!(one.log_in(&user).await, ("c", How::Local));
    for node in [&mut one, &mut two] {
        let (server, how) = node.log_in(&other).await;
        assert!(server == "b" && matches!(how, How::CacheDown | How::Local));
    }
    // Of a user that was moved, the other one knows nothing.
    assert_eq!(two.log_in(&user).await, ("a", How::CacheDown));
    wait(5 * LEASE).await;
    assert_eq!((one.end_the_kicked(), two.end_the_kicked()), (0, 0), "nobody is ended for that");

    // The cache comes back, empty: who says first where the user is, decides for all.
    cache.break_for_tests(false);
    wait(2 * LEASE / 3 + SECOND).await;
    assert_eq!(
        one.end_the_kicked() + two.end_the_kicked(),
        if one.servers_of(&user).is_empty() { 2 } else { 1 }
    );
    let mut all = one.servers_of(&user);
    all.extend(two.servers_of(&user));
    all.dedup();
    assert_eq!(all.len(), 1, "together again");
    let at = all[0].to_owned();
    let (again, how) = two.place(&user).await.unwrap();
    assert!(again == at && how != How::CacheDown);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_lost_leaves_its_leases_to_the_others() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    one.sticky.move_user(&user, Some("b")).await.unwrap();
    wait(SECOND).await;
    one.log_in(&user).await;
    drop(one);
    wait(LEASE / 2).await;
    assert_eq!(two.log_in(&user).await, ("b", How::Lease), "who comes back comes back there");
}

#[tokio::test(start_paused = true)]
async fn without_any_cache_a_single_node_keeps_users_together_and_moves_them() {
    let [mut node] = fleet(&Cache::off(), true);
    let user = user_at("a");
    assert_eq!(node.log_in(&user).await, ("a", How::First));
    let moved = node.sticky.move_user(&user, Some("c")).await.unwrap();
    assert_eq!(moved.cache, Some(memcached::Error::Off));
    wait(SECOND).await;
    assert_eq!(node.end_the_kicked(), 1);
    assert_eq!(node.log_in(&user).await, ("c", How::First));
    assert_eq!(node.log_in(&user).await, ("c", How::Local));
    node.log_off(&user);
    wait(LEASE).await;
    assert_eq!(node.place(&user).await, Some(("a", How::First)));
    assert!(node.sticky.noted(&MAIL.into(), &user).is_none());
    // However many are moved, few are kept.
    for n in 0..MOST_NOTES + 10 {
        node.sticky.move_user(&format!("u{n}"), Some("b")).await.unwrap();
    }
    assert_eq!(lock(&node.sticky.0.notes).len(), MOST_NOTES);
}

#[tokio::test(start_paused = true)]
async fn without_any_cache_what_is_left_behind_is_ended_too() {
    let [mut node] = fleet(&Cache::off(), true);
    let user = user_at("a");
    for _ in 0..2 {
        assert_eq!(node.log_in(&user).await.0, "a");
    }
    node.log_in("bystander").await;
    // Drained: who logs in again goes elsewhere, and what he has left there is ended.
    node.is("a", Stand::Shut);
    wait(LEASE).await;
    assert_eq!(node.end_the_kicked(), 0, "who does not log in is left alone");
    let (to, _) = node.log_in(&user).await;
    assert_ne!(to, "a");
    wait(LEASE / 3 + SECOND).await;
    assert_eq!(node.end_the_kicked(), 2);
    node.is("a", Stand::Open);
    wait(LEASE).await;
    assert_eq!((node.end_the_kicked(), node.log_in(&user).await), (0, (to, How::Local)));

    // Moved, while a login is under way.
    node.log_off(&user);
    let late = node.placed(&user).await.unwrap();
    assert_eq!(&*late.server, "a");
    node.sticky.move_user(&user, Some("c")).await.unwrap();
    node.let_in(&user, &late).await;
    wait(LEASE / 3 + SECOND).await;
    assert_eq!(node.end_the_kicked(), 1, "it is not where the move says");

    // The server of the move is lost: whoever goes elsewhere stays there.
    node.is("c", Stand::Shut);
    let (to, how) = node.log_in(&user).await;
    assert_eq!((to, how), ("a", How::First));
    wait(LEASE).await;
    assert_eq!(node.end_the_kicked(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_says_moves_nobody_to_a_server_that_there_is_not() {
    let cache = Cache::memory();
    let [mut node] = fleet(&cache, true);
    let user = user_at("a");
    node.log_in(&user).await;
    for value in [&b"evil.example"[..], b"\xff\r\nset x", b""] {
        cache.put(&lease::key(MAIL, &user), value, LEASE).await.unwrap();
        wait(LEASE / 2).await;
        assert_eq!(node.end_the_kicked(), 0, "another configuration may have it");
        assert_eq!(node.place(&user).await.unwrap().0, "a");
    }
    node.log_off(&user);
    cache.put(&lease::key(MAIL, &user), b"evil.example", LEASE).await.unwrap();
    assert_eq!(node.log_in(&user).await, ("a", How::Moved));
}

#[tokio::test(start_paused = true)]
async fn words_that_were_missed_are_made_good_by_looking() {
    let cache = Cache::memory();
    let [mut one] = fleet(&cache, true);
    let [two] = fleet(&cache, false);
    let user = user_at("a");
    one.log_in(&user).await;
    // On another bus: nobody hears it.
    two.sticky.move_user(&user, Some("b")).await.unwrap();
    one.sticky.missed();
    wait(SECOND).await;
    assert_eq!(one.end_the_kicked(), 1);
}

/// The first to take the lease decides, whatever the others would have chosen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_at_once_one_decides() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, false);
    // They disagree about every user.
    one.is("b", Stand::Shut);
    one.is("c", Stand::Shut);
    two.is("a", Stand::Shut);
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut decided = [0; 2];
    for n in 0..300 {
        let start = Arc::new(tokio::sync::Barrier::new(2));
        let race = [&one, &two].map(|node| {
            let (node, start) = (Arc::clone(node), Arc::clone(&start));
            tasks::spawn("racer", async move {
                start.wait().await;
                node.place(&format!("user{n}")).await.unwrap()
            })
        });
        let [first, second] = race;
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        // Who comes second and cannot go there goes elsewhere.
        let hows = [first.1, second.1];
        assert!(hows.contains(&How::First), "{hows:?}");
        assert_eq!(hows.iter().filter(|how| **how == How::First).count(), 1, "{hows:?}");
        decided[usize::from(second.1 == How::First)] += 1;
    }
    assert_eq!(decided.iter().sum::<i32>(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_at_once_both_go_to_the_same_server() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, false);
    // Each guesses otherwise, and each could go where the other goes.
    one.servers = vec![("a", Stand::Open), ("b", Stand::Open)];
    two.servers = vec![("b", Stand::Open), ("a", Stand::Open), ("c", Stand::Open)];
    let (one, two) = (Arc::new(one), Arc::new(two));
    for n in 0..300 {
        let user = format!("user{n}");
        let start = Arc::new(tokio::sync::Barrier::new(2));
        let [first, second] = [&one, &two].map(|node| {
            let (node, start, user) = (Arc::clone(node), Arc::clone(&start), user.clone());
            tasks::spawn("racer", async move {
                start.wait().await;
                node.place(&user).await.unwrap()
            })
        });
        let _ = (first.await.unwrap(), second.await.unwrap());
        // Whatever they did at once, from now on they agree wherever both can go.
        let (at_one, at_two) = (one.place(&user).await.unwrap(), two.place(&user).await.unwrap());
        assert_eq!(at_one.0, at_two.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever happens to servers, cache and users: when all is well again, every user is at one
    /// server soon.
    #[test]
    fn in_the_end_every_user_is_at_one_server(
        steps in proptest::collection::vec((0..3_usize, 0..12_u8, 0..3_usize), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let cache = Cache::memory();
            let mut nodes: [Node; 3] = fleet(&cache, true);
            let (users, servers) = (["u", "v", "w"], ["a", "b", "c"]);
            for (node, step, which) in steps {
                let node = &mut nodes[node];
                match step {
                    0..=4 => {
                        if let Some(placed) = node.placed(users[which]).await {
                            assert_ne!(node.servers[placed.index].1, Stand::Shut);
                            node.let_in(users[which], &placed).await;
                        }
                    }
                    5 => node.log_off(users[which]),
                    6 => node.is(servers[which], Stand::Shut),
                    // With a wrong password.
                    7 => drop(node.place(users[which]).await),
                    8 => node.is(servers[which], Stand::Open),
                    9 => cache.break_for_tests(which == 0),
                    10 => drop(node.sticky.move_user(users[which], Some("b")).await),
                    _ => wait(LEASE / 4).await,
                }
                for node in &mut nodes {
                    node.end_the_kicked();
                }
            }
            cache.break_for_tests(false);
            wait(LEASE).await;
            for node in &mut nodes {
                node.end_the_kicked();
                for server in servers {
                    node.is(server, Stand::Open);
                }
            }
            for user in users {
                let mut at: Vec<_> = nodes.iter().flat_map(|node| node.servers_of(user)).collect();
                at.sort_unstable();
                at.dedup();
                assert!(at.len() <= 1, "{user} is at {at:?}");
                // And that is where the next one goes, through any node.
                for node in &nodes {
                    let next = node.place(user).await.unwrap().0;
                    assert!(at.is_empty() || at == [next], "{user} is at {at:?}, goes to {next}");
                }
            }
        });
    }
}
