//! Zimbra's format: the vectors, and a server that Zimbra's proxy could share.

use super::*;

/// Logical key, name on the wire, hash, and the server of two and of three.
const VECTORS: &[(&str, &str, u64, usize, usize)] = &[
    (
        "route:proto=imapssl;user=john@example.com",
        "d8005294ed24ebcf85b22864ad9627ad0329b26097781f1f387bd415b1bd6c88",
        0x76c0_845d_fe14_a4b7,
        1,
        1,
    ),
    (
        "route:proto=httpssl;id=cc00ce85-8c0b-49eb-8e08-a8aab43ce836",
        "50db85f7ea10b8008c69bb50b8bdf59003acac3c17d0871ffc827fbe099f9bb4",
        0xc0af_2e96_e81c_5ddd,
        1,
        0,
    ),
    (
        "alias:user=john;ip=192.0.2.7",
        "4a91fef9547dc4b21bd4764699b45a6e752c374572fcbfc9560ecb75289969dc",
        0x7a14_bcdd_b1d3_a100,
        0,
        2,
    ),
    (
        "throttle:proto=i,ip=192.0.2.7",
        "ff215f8cd43002eaf2a0dba520e01201aede4db6c6d7ab2d446f335e5ba7362f",
        0xc8bc_6c8d_65d4_216a,
        0,
        0,
    ),
    (
        "throttle:user=john@example.com",
        "e56e61765e1bdd62bb735582fa22aee4718f1b4f20fa6c7c62aa8a284348d767",
        0x41c0_8daf_dbcf_7b82,
        0,
        1,
    ),
    (
        "whitelist:ip=192.0.2.7",
        "f284047d2105e004c5f766f7ebf37885370c5a5536a269684dcb4a6aa0366afe",
        0x8c88_2fd4_9699_683e,
        0,
        2,
    ),
];

#[test]
fn names_hashes_and_servers_are_zimbras() {
    for (logical, name, hash, of_two, of_three) in VECTORS {
        let logical = logical.as_bytes();
        assert_eq!(client::zimbras_name(logical), *name);
        assert_eq!(choice::one_at_a_time(logical), *hash, "{name}");
        assert_eq!(choice::zimbra(logical, 2).next(), Some(*of_two));
        assert_eq!(choice::zimbra(logical, 3).next(), Some(*of_three));
    }
}

#[tokio::test]
async fn what_one_writes_the_other_reads_where_it_looks() {
    for size in [2, 3] {
        let servers = Memcached::fleet(size);
        let cache = cache_of(&zimbras(&servers));
        for (logical, name, _, of_two, of_three) in VECTORS {
            let server = &servers[if size == 2 { *of_two } else { *of_three }];
            let key = Key::verbatim(logical.as_bytes());
            cache.put(&key, b"10.0.0.1:7143", HOUR).await.unwrap();
            let lines = server.say(&format!("get {name}"), "END");
            assert_eq!(lines, [format!("VALUE {name} 0 13"), "10.0.0.1:7143".into()]);
            // As Zimbra's proxy would have written it.
            server.put(name, "10.0.0.2:7143");
            assert_eq!(cache.get(&key).await, Ok(Some(b"10.0.0.2:7143".to_vec())));
            assert_eq!(cache.swap(&key, b"10.0.0.2:7143", b"x", HOUR).await, Ok(true));
            assert_eq!(cache.swap(&key, b"10.0.0.2:7143", b"y", HOUR).await, Ok(false));
            assert_eq!(cache.touch(&key, HOUR).await, Ok(true));
            assert_eq!(cache.add(&key, b"y", HOUR).await, Ok(false));
            assert_eq!(server.get(name).as_deref(), Some("x"));
            assert_eq!(cache.delete(&key).await, Ok(true));
            assert_eq!((cache.delete(&key).await, server.get(name)), (Ok(false), None));
            assert_eq!(cache.touch(&key, HOUR).await, Ok(false));
        }
        let key = Key::verbatim(*b"throttle:proto=i,ip=192.0.2.7");
        servers[0].put(VECTORS[3].1, "1");
        assert_eq!(cache.count(&key, 1, HOUR).await, Ok(2));
        assert_eq!(servers[0].get(VECTORS[3].1).as_deref(), Some("2"));
        assert_eq!(cache.counted(&key).await, Ok(2));
    }
}

#[tokio::test]
async fn the_next_server_stands_in_for_one_that_is_down() {
    let mut servers = Memcached::fleet(3);
    let cache = cache_of(&zimbras(&servers));
    let (logical, name, ..) = VECTORS[4];
    let key = Key::verbatim(logical.as_bytes());
    servers[1].kill();
    cache.put(&key, b"7", HOUR).await.unwrap();
    assert_eq!(servers[2].get(name).as_deref(), Some("7"));
    assert_eq!(cache.get(&key).await, Ok(Some(b"7".to_vec())));
    servers[2].kill();
    assert_eq!(cache.get(&key).await, Ok(None), "the third has nothing of it");
    servers[0].kill();
    assert!(matches!(cache.get(&key).await, Err(Error::Down(_))));
}

#[tokio::test]
async fn what_must_be_true_is_sealed_or_off() {
    let servers = Memcached::fleet(1);
    let plain = cache_of(&zimbras(&servers));
    let lease = Key::of("lease", &[b"alice"]);
    assert_eq!(plain.get(&lease).await, Err(Error::Off));
    assert_eq!(plain.put(&lease, b"v", HOUR).await, Err(Error::Off));
    assert_eq!(plain.add(&lease, b"v", HOUR).await, Err(Error::Off));
    assert_eq!(plain.count(&lease, 1, HOUR).await, Ok(1), "counters are plain anyway");

    let with_key = Settings { keys: Some(keyring(&["1"])), ..zimbras(&servers) };
    let sealed = cache_of(&with_key);
    sealed.put(&lease, b"10.0.0.1", HOUR).await.unwrap();
    let held = sealed.get_everywhere(&lease).await.remove(0);
    assert_eq!(held.value, Ok(Some(b"10.0.0.1".to_vec())));
    assert!(held.name.starts_with("gp1:"));
    assert!(!servers[0].get(&held.name).unwrap_or_default().contains("10.0.0.1"));
    let route = Key::verbatim(VECTORS[0].0.as_bytes());
    sealed.put(&route, b"10.0.0.1:143", HOUR).await.unwrap();
    assert_eq!(servers[0].get(VECTORS[0].1).as_deref(), Some("10.0.0.1:143"), "Zimbra's are not");
}
