use std::future::poll_fn;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn session<'a>(id: u64, user: &'a str, server: &'a str, ends: &'a [Endpoint; 2]) -> Session<'a> {
    Session {
        id,
        user,
        protocol: "imap",
        tls: None,
        site: "mail.example",
        client: &ends[0],
        upstream: "stores",
        server,
        address: &ends[1],
        since: UNIX_EPOCH + Duration::from_secs(1_000_000),
    }
}

fn ends() -> [Endpoint; 2] {
    ["192.0.2.7:4711", "10.0.0.1:143"].map(|text| text.parse::<SocketAddr>().unwrap().into())
}

#[test]
fn a_session_is_there_from_its_login_to_its_end() {
    let (all, ends) = (Presence::new(), ends());
    let first = all.enter(session(7, "mrose@example.com", "a.example", &ends));
    let second = all.enter(session(9, "mrose@example.com", "a.example", &ends));
    let other = all.enter(Session {
        client: &Endpoint::Unix("".into()),
        protocol: "lmtp",
        ..session(8, "", "b.example", &ends)
    });
    let seen = all.of("mrose@example.com");
    assert_eq!(seen.iter().map(|seen| seen.id).collect::<Vec<_>>(), [7, 9]);
    assert_eq!((&*seen[0].client, &*seen[0].address), ("192.0.2.7:4711", "10.0.0.1:143"));
    assert_eq!((seen[0].since, seen[0].is_kicked), (1_000_000, false));
    assert_eq!(&*all.at("stores", "b.example", 9)[0].client, "unix:");
    let counts: Vec<_> =
        all.counts().iter().map(|at| (at.protocol, at.server.to_string(), at.sessions)).collect();
    let at = |protocol, server: &str, sessions| (protocol, server.to_owned(), sessions);
    assert_eq!(counts, [at("imap", "a.example", 2), at("lmtp", "b.example", 1)]);
    let users = all.carried(5).users;
    assert_eq!((users.len(), &*users[0].user, users[0].sessions), (1, "mrose@example.com", 2));

    drop(first);
    assert_eq!(all.of("mrose@example.com").len(), 1);
    drop((second, other));
    assert!(all.is_empty() && all.counts().is_empty());
    assert_eq!(all.0.places.len(), 0, "nothing is kept of who was here");
}

#[test]
fn the_server_of_a_user_is_that_of_the_newest_session_that_is_to_stay() {
    let (all, ends) = (Presence::new(), ends());
    let _stays =
        [(1, "a"), (2, "a"), (3, "b")].map(|(id, at)| all.enter(session(id, "u", at, &ends)));
    let server = || all.server_of("stores", "u").map(|server| server.to_string());
    assert_eq!(server().as_deref(), Some("b"));
    assert_eq!(all.server_of("others", "u"), None);
    assert_eq!([1, 1].map(|most| all.kick_server("stores", "b", most)), [1, 0]);
    assert_eq!(server().as_deref(), Some("a"));
    assert_eq!(all.kick_elsewhere("stores", "u", "b"), 2);
    assert_eq!((server(), all.kick("u")), (None, 0));
    assert!(all.of("u").iter().all(|seen| seen.is_kicked));
}

#[tokio::test]
async fn a_kick_reaches_the_relay_and_says_why() {
    let (all, ends) = (Presence::new(), ends());
    let stay = all.enter(session(1, "u", "a", &ends));
    let bystander = all.enter(session(2, "v", "a", &ends));
    let leash = stay.leash();
    let (_, kicked) =
        tokio::join!(poll_fn(|cx| (*leash).as_ref().poll(cx)), async { all.kick("u") });
    assert_eq!((kicked, stay.kick(), bystander.kick()), (1, Some(Kick::User), None));
}

#[tokio::test(start_paused = true)]
async fn a_server_is_emptied_a_few_at_a_time() {
    let (all, ends) = (Presence::new(), ends());
    let users: Vec<_> = (0..250).map(|n| format!("user{n}")).collect();
    let _stays: Vec<_> = users
        .iter()
        .zip(0..)
        .map(|(user, id)| all.enter(session(id, user, if id < 225 { "a" } else { "b" }, &ends)))
        .collect();
    let began = tokio::time::Instant::now();
    let pace = (100, Duration::from_millis(100));
    assert_eq!(all.empty("stores", "a", pace, || true).await, 225);
    assert_eq!(began.elapsed(), Duration::from_millis(200));
    assert_eq!(all.page(None, 999).iter().filter(|seen| seen.is_kicked).count(), 225);
    assert_eq!(all.empty("stores", "b", pace, || false).await, 0, "it may be called off");
}

#[test]
fn a_session_of_a_known_user_costs_little() {
    // Beside its two `Arc`s in the relay, and 8 bytes or so in the table.
    assert!(size_of::<Entry>() <= 104, "{}", size_of::<Entry>());
    assert_eq!((size_of::<Held>(), size_of::<Stay>()), (8, 16));
    let (all, ends) = (Presence::new(), ends());
    let [one, two] = [1, 2].map(|id| all.enter(session(id, "u", "a", &ends)));
    let (seen, _stays) = (all.of("u"), (one, two));
    assert!(Arc::ptr_eq(&seen[0].user, &seen[1].user));
    assert!(Arc::ptr_eq(&seen[0].server, &seen[1].server));
}

#[test]
fn names_are_asked_for_as_they_are_entered() {
    assert_eq!(canonical(b"MRose@Example.COM"), "mrose@example.com");
    assert_eq!(canonical(b"m\xffrose"), "m\u{fffd}rose");
}

proptest! {
    /// The table against a list: entered, left, paged and swept in any order.
    #[test]
    fn the_table_says_what_a_list_would(
        steps in proptest::collection::vec((0..6_usize, 0..4_usize, any::<bool>()), 0..60),
        most in 1..7_usize,
    ) {
        let (all, ends) = (Presence::new(), ends());
        let (users, servers) = (["", "a", "b", "bb", "c", "d"], ["s0", "s1", "s2", "s3"]);
        let mut stays = Vec::new();
        for (id, (user, server, leaves)) in (0_u64..).zip(steps) {
            if leaves && !stays.is_empty() {
                let at = id as usize % stays.len();
                drop(stays.swap_remove(at));
            }
            let (user, server) = (users[user], servers[server]);
            stays.push((user, id, server, all.enter(session(id, user, server, &ends))));
        }
        let mut want: Vec<_> = stays.iter().map(|(user, id, ..)| (user.to_string(), *id)).collect();
        want.sort();
        let (mut paged, mut after) = (Vec::new(), None::<(String, u64)>);
        loop {
            let page = all.page(after.as_ref().map(|(user, id)| (user.as_str(), *id)), most);
            prop_assert!(page.len() <= most);
            let Some(last) = page.last() else { break };
            after = Some((last.user.to_string(), last.id));
            paged.extend(page.iter().map(|seen| (seen.user.to_string(), seen.id)));
        }
        prop_assert_eq!(&paged, &want);
        prop_assert_eq!(all.len(), want.len());
        let mut swept = Vec::new();
        for part in 0..all.parts() {
            let mut after = None;
            loop {
                let (lives, last) = all.sweep(part, after.as_deref(), most);
                swept.extend(lives.into_iter().flat_map(|lives| {
                    let user = lives.user.to_string();
                    lives.servers.into_iter().map(move |server| (user.clone(), server.to_string()))
                }));
                if last.is_none() { break }
                after = last;
            }
        }
        swept.sort();
        let mut lives: Vec<_> = stays
            .iter()
            .filter(|(user, ..)| !user.is_empty())
            .map(|(user, _, server, _)| (user.to_string(), server.to_string()))
            .collect();
        lives.sort();
        lives.dedup();
        prop_assert_eq!(swept, lives);
    }
}
