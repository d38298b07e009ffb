//! What keeps users together, and what moves them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_users_sessions_are_together_on_whichever_node_they_arrive() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, false);
    let user = user_at("b");
    assert_eq!(one.log_in(&user).await, ("b", How::First));
    assert_eq!(one.log_in(&user).await, ("b", How::Local));
    assert_eq!(two.log_in(&user).await, ("b", How::Lease));
    let text = one.metrics.render();
    for how in ["first", "local"] {
        let want =
            format!("gatepost_route_sticky_total{{upstream=\"stores\",result=\"{how}\"}} 1\n");
        assert!(text.contains(&want), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_placed_where_nothing_is_to_be_kept_together() {
    let [mut node] = fleet(&Cache::memory(), false);
    assert_eq!(node.place("").await, None, "nobody has logged in");
    let open = [Candidate { name: "x", weight: 1, stand: Stand::Open }];
    assert_eq!(node.sticky.place("loose", "u", &open).await, None);
    assert_eq!(node.sticky.place("unknown", "u", &open).await, None);
    for server in ["a", "b", "c"] {
        node.is(server, Stand::Shut);
    }
    assert_eq!(node.place("u").await, None, "no server takes anybody");
}

#[tokio::test(start_paused = true)]
async fn a_lease_outlives_the_last_session_by_its_time() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    one.is("a", Stand::Shut);
    let (server, _) = one.log_in(&user).await;
    assert_ne!(server, "a");
    one.is("a", Stand::Open);
    wait(10 * LEASE).await;
    assert_eq!(two.place(&user).await, Some((server, How::Lease)), "it was renewed");

    one.log_off(&user);
    wait(LEASE - LEASE / 3).await;
    assert_eq!(two.log_in(&user).await, (server, How::Lease));
    two.log_off(&user);
    wait(LEASE - SECOND).await;
    assert_eq!(one.place(&user).await, Some((server, How::Lease)), "a login begins it anew");
    wait(2 * SECOND).await;
    assert_eq!(one.place(&user).await, Some(("a", How::First)), "and then it has run out");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_added_moves_nobody_who_is_there() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let users: Vec<_> = (0..300).map(|n| format!("user{n}")).collect();
    let mut before = Vec::new();
    for user in &users {
        before.push(one.log_in(user).await.0);
    }
    for node in [&mut one, &mut two] {
        node.configure(&["a", "b", "c", "d"]);
        node.servers.push(("d", Stand::Open));
    }
    wait(2 * LEASE).await;
    for (user, at) in users.iter().zip(before) {
        assert_eq!(two.place(user).await, Some((at, How::Lease)));
    }
    assert_eq!(one.end_the_kicked(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_at_a_server_that_went_down_is_moved_once_for_all() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    assert_eq!(one.log_in(&user).await.0, "a");
    assert_eq!(two.log_in(&user).await.0, "a");
    // The first to see it moves the user; the other one may see it never.
    two.is("a", Stand::Shut);
    let (to, how) = two.log_in(&user).await;
    assert!(to != "a" && how == How::Moved);
    assert_eq!(two.log_in(&user).await, (to, How::Local));
    wait(LEASE / 3 + SECOND).await;
    assert_eq!((one.end_the_kicked(), two.end_the_kicked()), (1, 1), "those that were left at a");
    assert_eq!(one.log_in(&user).await, (to, How::Lease));
    wait(3 * LEASE).await;
    assert_eq!((one.end_the_kicked(), two.end_the_kicked()), (0, 0), "and that is that");
}

#[tokio::test(start_paused = true)]
async fn a_drained_server_takes_nobody_and_keeps_those_who_do_not_log_in() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    assert_eq!(one.log_in(&user).await.0, "a");
    for node in [&mut one, &mut two] {
        node.is("a", Stand::Shut);
    }
    wait(3 * LEASE).await;
    assert_eq!(one.end_the_kicked(), 0, "old sessions stay");
    let stranger = (0..).map(|n| format!("x{n}")).take(50);
    for user in stranger {
        assert_ne!(one.place(&user).await.unwrap().0, "a");
    }
    // The user moves as a whole.
    let (to, how) = two.log_in(&user).await;
    assert!(to != "a" && how == How::Moved);
    wait(LEASE / 3 + SECOND).await;
    assert_eq!(one.end_the_kicked(), 1);
    assert_eq!(one.log_in(&user).await, (to, How::Lease));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_ended_up_elsewhere_takes_the_lease_with_it() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, true);
    let user = user_at("a");
    let placed = one.placed(&user).await.unwrap();
    assert_eq!((&*placed.server, placed.how), ("a", How::First));
    one.sticky.settle(MAIL, &user, "c", Some(&placed)).await;
    one.enter(&user, "c");
    assert_eq!(two.log_in(&user).await, ("c", How::Lease));
    // Or without any placing.
    two.sticky.settle(MAIL, &user, "b", None).await;
    two.enter(&user, "b");
    wait(LEASE).await;
    assert_eq!((one.end_the_kicked(), two.end_the_kicked()), (1, 1));
    assert_eq!(one.log_in(&user).await, ("b", How::Lease));
}

#[tokio::test(start_paused = true)]
async fn a_move_reaches_all_nodes_and_the_next_login_goes_there() {
    let cache = Cache::memory();
    let [mut one, mut two, admin] = fleet(&cache, true);
    let user = user_at("a");
    for node in [&mut one, &mut two] {
        node.log_in(&user).await;
        node.log_in("bystander").await;
    }
    let moved = admin.sticky.move_user(&user.to_uppercase(), Some("c")).await.unwrap();
    assert_eq!((&*moved.upstreams, moved.cache, moved.fleet), (&[MAIL.into()][..], None, None));
    wait(SECOND).await;
    assert_eq!((one.end_the_kicked(), two.end_the_kicked()), (1, 1));
    assert_eq!(two.log_in(&user).await, ("c", How::Lease));
    let seen = two.sticky.where_is(&user).await;
    assert_eq!((seen.sessions.len(), &*seen.sessions[0].server), (1, "c"));
    let want = Leased {
        upstream: MAIL.into(),
        server: Some("c".to_owned()),
        error: None,
        lease: seen.leases[0].lease,
        first: Some("a".into()),
    };
    assert_eq!(seen.leases, [want]);

    // Back to where the hash says.
    admin.sticky.move_user(&user, None).await.unwrap();
    wait(SECOND).await;
    assert_eq!(two.end_the_kicked(), 1);
    assert_eq!(one.log_in(&user).await, ("a", How::First));
}

#[tokio::test(start_paused = true)]
async fn a_login_under_way_during_a_move_follows_it() {
    let cache = Cache::memory();
    let [mut one, two] = fleet(&cache, true);
    let user = user_at("a");
    let (server, _) = one.place(&user).await.unwrap();
    two.sticky.move_user(&user, Some("b")).await.unwrap();
    wait(SECOND).await;
    one.enter(&user, server);
    wait(LEASE / 3 + SECOND).await;
    assert_eq!(one.end_the_kicked(), 1);
    assert_eq!(one.log_in(&user).await, ("b", How::Lease));
}

#[tokio::test(start_paused = true)]
async fn a_kick_ends_the_sessions_and_keeps_the_place() {
    let cache = Cache::memory();
    let [mut one, two] = fleet(&cache, true);
    let user = user_at("b");
    one.log_in(&user).await;
    assert_eq!(two.sticky.kick_user(&user).await, None);
    wait(SECOND).await;
    assert_eq!(one.end_the_kicked(), 1);
    assert_eq!(one.log_in(&user).await, ("b", How::Lease));
}

#[tokio::test(start_paused = true)]
async fn a_move_names_a_server_that_there_is() {
    let [mut node] = fleet(&Cache::memory(), true);
    let unknown = node.sticky.move_user("u", Some("nowhere")).await;
    assert_eq!(unknown, Err(NoSuchServer("nowhere".to_owned())));
    // One whose upstream is not sticky: the sessions are ended, no more.
    node.enter("u", "x");
    let moved = node.sticky.move_user("u", Some("x")).await.unwrap();
    assert!(moved.upstreams.is_empty());
    wait(SECOND).await;
    assert_eq!(node.end_the_kicked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drained_server_is_emptied_at_a_pace_and_users_come_back_elsewhere() {
    let cache = Cache::memory();
    let [mut one] = fleet(&cache, true);
    let users: Vec<_> = (0..2500).map(|n| format!("user{n}")).collect();
    for user in &users {
        one.enter(user, "a");
    }
    one.is("a", Stand::Shut);
    let order = |is_on| {
        let (upstream, server) = (MAIL.into(), "a".into());
        Order::Drain { upstream, server, is_on, end: is_on, stamp: None }
    };
    one.sticky.obey(&order(true));
    one.sticky.obey(&order(true));
    wait(SECOND / 2).await;
    let early = one.end_the_kicked();
    assert!((400..=700).contains(&early), "{early}");
    wait(2 * SECOND).await;
    assert_eq!(early + one.end_the_kicked(), 2500);
    assert_ne!(one.log_in("user7").await.0, "a");
    // One whose login was under way.
    one.enter("late", "a");
    wait(6 * SECOND).await;
    assert_eq!(one.end_the_kicked(), 1);

    // Called off in the middle.
    for user in &users {
        one.enter(user, "a");
    }
    one.sticky.obey(&order(true));
    wait(SECOND / 2).await;
    one.sticky.obey(&order(false));
    wait(10 * SECOND).await;
    assert!((400..=700).contains(&one.end_the_kicked()));
}

#[tokio::test(start_paused = true)]
async fn all_leases_are_renewed_in_time_however_many_there_are() {
    for (users, budget, most) in [
        (3, 32 * SECOND, 33 * SECOND),
        (1000, 32 * SECOND, 34 * SECOND),
        (20_000, Duration::ZERO, 5 * SECOND),
    ] {
        let [mut node] = fleet(&Cache::off(), false);
        for n in 0..users {
            node.enter(&format!("user{n}"), "a");
        }
        let began = Instant::now();
        node.sticky.renew_all(budget).await;
        let took = began.elapsed();
        assert!(took >= budget.mul_f64(0.9) && took <= most, "{users} users: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_where_its_recipient_is_and_moves_nobody() {
    let cache = Cache::memory();
    let [mut one, mut two] = fleet(&cache, false);
    let (at, _) = one.log_in("u").await;
    let all = |node: &Node| node.servers.clone();
    let follow = async |node: &Node| {
        let servers = all(node);
        let one =
            |(name, stand): &(&'static str, Stand)| Candidate { name, weight: 1, stand: *stand };
        let candidates: Vec<_> = servers.iter().map(one).collect();
        let index = node.sticky.follow(MAIL, "u", &candidates).await.unwrap();
        servers[index].0
    };
    assert_eq!((follow(&one).await, follow(&two).await), (at, at));
    two.is(at, Stand::Shut);
    assert_ne!(follow(&two).await, at, "it is not to be reached from here");
    two.is(at, Stand::Open);
    assert_eq!(two.place("u").await, Some((at, How::Lease)), "nothing has been written");
}
