use std::collections::HashMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::hash::{crc32, liking, of_ip, plain};
use super::*;

/// What Debian's nginx chose of these three, the second with `weight=2`, for `user0@example.com` to
/// `user39@example.com`.
const SERVERS: [(&str, u32); 3] =
    [("127.0.0.11:18143", 1), ("127.0.0.12:18143", 2), ("127.0.0.13:18143", 1)];
const KETAMA: &str = "3232233223223123123232112333312112232322";
/// Likewise, the second with `down`.
const KETAMA_DOWN: &str = "3131133333133113113133111333311111331311";
const PLAIN: &str = "1212232332323221211221213232232323121221";
const PLAIN_DOWN: &str = "1313333333333331311331313333333333131331";
/// `ip_hash`, for clients 10.N.7.9 with N from 0 to 39, and 2001:db8:N::7 to 19.
const BY_IPV4: &str = "1223122312231223122312231223122312312231";
const BY_IPV6: &str = "21212121212121212121";

fn users(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("user{n}@example.com"))
}

fn digit(at: Option<usize>) -> char {
    char::from_digit(u32::try_from(at.unwrap()).unwrap() + 1, 10).unwrap()
}

#[test]
fn consistent_hashing_meets_the_servers_that_nginx_meets() {
    let ring = Ring::new(SERVERS.into_iter());
    let found = |is_down: fn(&usize) -> bool| -> String {
        let first = |key: String| ring.from(crc32(key.as_bytes())).find(|at| !is_down(at));
        users(40).map(|key| digit(first(key))).collect()
    };
    assert_eq!(found(|_| false), KETAMA);
    assert_eq!(found(|at| *at == 1), KETAMA_DOWN);
}

#[test]
fn plain_hashing_meets_the_servers_that_nginx_meets() {
    let weights = [1, 2, 1];
    let found = |is_down: fn(&usize) -> bool| -> String {
        let first = |key: String| plain(key.as_bytes(), &weights).find(|at| !is_down(at));
        users(40).map(|key| digit(first(key))).collect()
    };
    assert_eq!(found(|_| false), PLAIN);
    assert_eq!(found(|at| *at == 1), PLAIN_DOWN);
}

#[test]
fn a_clients_network_meets_the_server_that_nginx_gives_it() {
    let by = |ip: String| digit(of_ip(ip.parse::<IpAddr>().unwrap(), &[1, 2, 1]).next());
    assert_eq!((0..40).map(|n| by(format!("10.{n}.7.9"))).collect::<String>(), BY_IPV4);
    assert_eq!((0..20).map(|n| by(format!("2001:db8:{n}::7"))).collect::<String>(), BY_IPV6);
    assert_eq!(by("192.0.2.1".to_owned()), by("192.0.2.254".to_owned()));
    assert_eq!(by("192.0.2.1".to_owned()), by("::ffff:192.0.2.9".to_owned()));
}

fn entrants(weights: &[i64]) -> Vec<Entrant> {
    let entrant = |(index, weight): (usize, &i64)| Entrant {
        index,
        weight: weight * UNIT,
        current: 0,
        conns: 0,
    };
    weights.iter().enumerate().map(entrant).collect()
}

#[test]
fn turns_are_smooth_and_as_nginx_takes_them() {
    let mut all = entrants(&[5, 1, 1]);
    let turns: String = (0..14).map(|_| digit(round_robin(&mut all))).collect();
    assert_eq!(turns, "1121311".repeat(2));
    assert_eq!(round_robin(&mut []), None);
}

#[test]
fn the_least_loaded_for_its_weight_is_next_and_equals_take_turns() {
    let mut all = entrants(&[1, 2, 1]);
    let turns: String = (0..8)
        .map(|_| {
            let at = least_conn(&mut all);
            all[at.unwrap()].conns += 1;
            digit(at)
        })
        .collect();
    // Eight connections stand two, four and two, whatever the order.
    for (server, want) in [('1', 2), ('2', 4), ('3', 2)] {
        assert_eq!(turns.matches(server).count(), want, "{turns}");
    }
    all[0].conns = 0;
    assert_eq!(least_conn(&mut all), Some(0));
    assert_eq!(least_conn(&mut []), None);
}

#[test]
fn chance_keeps_to_the_weights_and_two_are_better_than_one() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut chance = |below: u64| rng.u64(0..below);
    let mut all = entrants(&[1, 3]);
    let hits = (0..10_000).filter(|_| random(&all, false, &mut chance) == Some(1)).count();
    assert!((7300..7700).contains(&hits), "{hits}");
    // With two of two servers to compare, the lighter one always has it.
    all[1].conns = 1000;
    assert!((0..100).all(|_| random(&all, true, &mut chance) == Some(0)));
    assert_eq!(random(&[], true, &mut chance), None);
}

/// 10,000 users over 5 servers; one more moves its share, 1/6 and 2 %, and to itself alone.
#[test]
fn a_sixth_server_moves_its_own_share_and_no_more() {
    let names: Vec<_> = (1..=6).map(|n| format!("store{n}.example.com")).collect();
    let ring = |count: usize| Ring::new(names[..count].iter().map(|name| (name.as_str(), 1)));
    let (five, six) = (ring(5), ring(6));
    let (mut moved, mut shares) = (0, HashMap::<usize, usize>::new());
    for user in users(10_000) {
        let hash = crc32(user.as_bytes());
        let (before, after) = (five.from(hash).next().unwrap(), six.from(hash).next().unwrap());
        *shares.entry(before).or_default() += 1;
        if before != after {
            assert_eq!(after, 5, "nobody moves between the old ones");
            moved += 1;
        }
    }
    assert!(moved <= 10_000 / 6 + 200, "{moved} of 10000 moved");
    assert!(shares.values().all(|share| (1500..2500).contains(share)), "{shares:?}");
}

#[test]
fn an_address_that_goes_takes_only_its_own_keys_along() {
    let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"];
    let best = |user: &str, of: &[&'static str]| {
        *of.iter().max_by_key(|ip| liking(user.as_bytes(), ip.as_bytes())).unwrap()
    };
    let mut shares = HashMap::<&str, usize>::new();
    for user in users(10_000) {
        let first = best(&user, &all);
        *shares.entry(first).or_default() += 1;
        if first != all[3] {
            assert_eq!(best(&user, &all[..3]), first);
        }
    }
    assert!(shares.values().all(|share| (2300..2700).contains(share)), "{shares:?}");
}

proptest! {
    #[test]
    fn whatever_the_weights_somebody_is_chosen(
        weights in proptest::collection::vec(1_i64..1_000_000, 1..9),
        conns in proptest::collection::vec(0_usize..usize::MAX, 9),
        seed: u64,
    ) {
        let mut all = entrants(&weights);
        for (entrant, conns) in all.iter_mut().zip(conns) {
            entrant.conns = conns;
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut chance = |below: u64| rng.u64(0..below);
        prop_assert!(round_robin(&mut all).is_some());
        prop_assert!(least_conn(&mut all).is_some());
        prop_assert!(random(&all, true, &mut chance).is_some());
        // Nobody's claim grows without end.
        for _ in 0..100 {
            round_robin(&mut all);
        }
        let total: i64 = all.iter().map(|entrant| entrant.weight).sum();
        prop_assert!(all.iter().all(|entrant| entrant.current.abs() <= total * 2));
    }
}
