//! The first guess: which server a user begins at who has no session and no lease.
//!
//! Weighted rendezvous hashing: each server draws a number for the user, and the highest draw has it.
//! Every gatepost that sees the same servers guesses the same; a server that goes gives its users to
//! all others, and one that comes takes its share from each of them and moves nobody else. What a
//! server is called decides, so the same names in another upstream give the same guess.

use aws_lc_rs::digest::{SHA256, digest};

/// The index of the server among `servers`, of which each has its name and weight. None where none
/// has a weight above 0.
pub fn first_guess<'a>(
    user: &str,
    servers: impl IntoIterator<Item = (&'a str, u32)>,
) -> Option<usize> {
    let draws = servers
        .into_iter()
        .enumerate()
        .filter(|(_, (_, weight))| *weight > 0)
        .map(|(index, (name, weight))| (draw(user, name, weight), name, index));
    // Equal draws of two servers need a collision of SHA-256, or the same name twice.
    let best = draws.max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    best.map(|(.., index)| index)
}

/// A number above 0, by which a server has a user as often as its weight among all weights says.
fn draw(user: &str, server: &str, weight: u32) -> f64 {
    let text = [user.as_bytes(), b"\0", server.as_bytes()].concat();
    let hash = digest(&SHA256, &text);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    // 53 bits, which a double holds exactly, and never 0 or 1.
    let chance = ((u64::from_be_bytes(first) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    f64::from(weight) / -chance.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USERS: usize = 10_000;

    fn guesses<'a>(servers: &[(&'a str, u32)]) -> Vec<&'a str> {
        let guess = |n| first_guess(&format!("user{n}@example.com"), servers.iter().copied());
        (0..USERS).map(|n| servers[guess(n).unwrap()].0).collect()
    }

    #[test]
    fn a_sixth_server_takes_its_share_and_moves_nobody_else() {
        let six: Vec<_> =
            ["a", "b", "c", "d", "e", "f"].map(|name| (name, 1)).into_iter().collect();
        let (before, after) = (guesses(&six[..5]), guesses(&six));
        let moved: Vec<_> =
            before.iter().zip(&after).filter(|(a, b)| a != b).map(|(_, to)| to).collect();
        assert!(moved.iter().all(|to| **to == "f"));
        let share = moved.len() as f64 / USERS as f64;
        assert!((1.0 / 6.0 - 0.02..=1.0 / 6.0 + 0.02).contains(&share), "{share}");
    }

    #[test]
    fn weights_are_kept() {
        let all = guesses(&[("a", 1), ("b", 3), ("none", 0), ("c", 1)]);
        for (name, want) in [("a", 0.2), ("b", 0.6), ("none", 0.0), ("c", 0.2)] {
            let share = all.iter().filter(|at| **at == name).count() as f64 / USERS as f64;
            assert!((want - 0.02..=want + 0.02).contains(&share), "{name}: {share}");
        }
    }

    /// Other gateposts, and those of the next version, must guess the same.
    #[test]
    fn a_guess_is_the_same_for_ever() {
        let servers = [("a.example", 1), ("b.example:1143", 2), ("[2001:db8::1]", 1)];
        let guess = |user| servers[first_guess(user, servers).unwrap()].0;
        let users = ["mrose@example.com", "a", "b", "c", ""];
        assert_eq!(users.map(guess), KEPT);
        assert_eq!(first_guess("a", []), None);
    }

    const KEPT: [&str; 5] =
        ["a.example", "[2001:db8::1]", "b.example:1143", "b.example:1143", "[2001:db8::1]"];

    proptest! {
        #[test]
        fn the_order_of_the_servers_does_not_matter(
            user in "[a-z@]{0,20}",
            servers in proptest::collection::btree_map("[a-z]{1,8}", 0..9_u32, 0..9),
            gone in 0..9_usize,
        ) {
            let servers: Vec<_> = servers.into_iter().collect();
            let names = |order: &[(String, u32)]| -> Option<String> {
                let all = order.iter().map(|(name, weight)| (name.as_str(), *weight));
                first_guess(&user, all).map(|at| order[at].0.clone())
            };
            let guess = names(&servers);
            let mut others = servers;
            others.reverse();
            prop_assert_eq!(&names(&others), &guess);
            // Who is not at the server that goes does not move.
            if gone < others.len() {
                let (name, _) = others.remove(gone);
                if guess.as_deref() != Some(&*name) {
                    prop_assert_eq!(names(&others), guess);
                }
            }
        }
    }
}
