//! Which server has a key. Pure: every node of a fleet comes to the same answer by itself.

use aws_lc_rs::digest;

/// Zimbra's hash of a logical key: Jenkins's one-at-a-time, in 64 bits.
pub fn one_at_a_time(key: &[u8]) -> u64 {
    let mixed = key.iter().fold(0_u64, |hash, byte| {
        let hash = hash.wrapping_add(u64::from(*byte));
        let hash = hash.wrapping_add(hash << 10);
        hash ^ (hash >> 6)
    });
    let mixed = mixed.wrapping_add(mixed << 3);
    let mixed = mixed ^ (mixed >> 11);
    mixed.wrapping_add(mixed << 15)
}

/// The servers in the order in which Zimbra asks them: by the hash, then each next one while those
/// before it are down.
pub fn zimbra(key: &[u8], servers: usize) -> impl Iterator<Item = usize> + use<> {
    let of = servers.max(1) as u64;
    let first = one_at_a_time(key) % of;
    (0..servers as u64).map(move |step| ((first + step) % of) as usize)
}

/// What stands for a server's name, or for a key, where they are matched.
pub fn seed(bytes: &[u8]) -> u64 {
    let digest = digest::digest(&digest::SHA256, bytes);
    let first = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

/// The one server of a key: the one that it goes with best (rendezvous hashing), so that a server
/// more takes its share from each of the others and moves nothing else.
pub fn rendezvous(servers: &[u64], key: u64) -> Option<usize> {
    let weights = servers.iter().map(|server| mixed(server ^ key)).enumerate();
    weights.max_by_key(|(_, weight)| *weight).map(|(index, _)| index)
}

/// SplitMix64's finisher: each bit in moves each bit out.
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_more_takes_its_share_and_moves_nothing_else() {
        let seeds: Vec<_> = (0..6).map(|n| seed(format!("10.0.0.{n}:11211").as_bytes())).collect();
        let keys = 10_000;
        let mut moved = 0;
        let mut load = [0_usize; 5];
        for n in 0..keys {
            let key = seed(format!("user{n}@example.com").as_bytes());
            let (before, after) =
                (rendezvous(&seeds[..5], key).unwrap(), rendezvous(&seeds, key).unwrap());
            load[before] += 1;
            if before != after {
                assert_eq!(after, 5, "it went to an old server");
                moved += 1;
            }
        }
        assert!((keys / 7..keys / 5).contains(&moved), "{moved}");
        assert!(load.iter().all(|load| (1_700..2_300).contains(load)), "{load:?}");
    }

    #[test]
    fn the_order_of_servers_does_not_matter_where_it_is_ours() {
        let (one, other) = (seed(b"a:11211"), seed(b"b:11211"));
        for n in 0..100_u64 {
            let key = seed(&n.to_be_bytes());
            let forth = rendezvous(&[one, other], key).unwrap();
            assert_eq!(rendezvous(&[other, one], key).unwrap(), 1 - forth);
        }
        assert_eq!(rendezvous(&[], 7), None);
    }

    #[test]
    fn zimbra_goes_on_to_the_next_server() {
        // Its hash is 1 of 3.
        let key = b"throttle:user=john@example.com";
        assert_eq!(zimbra(key, 3).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(zimbra(key, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(zimbra(key, 0).count(), 0);
    }
}
