//! One cache of real servers with Zimbra's proxies: what they would have written is found, and what
//! is written lies where they look. Names and places are computed here, by the book alone.

use aws_lc_rs::digest::{SHA256, digest};

use super::live::Live;
use super::*;
use crate::memcached::tests::{self as servers, Memcached, until_async};

const ONE: &str = "192.0.2.1:7993";
const WEB: &str = "192.0.2.9:8443";
const ID: &str = "cc00ce85-8c0b-49eb-8e08-a8aab43ce836";

/// What an entry is called on the wire: SHA-256, in hexadecimal.
pub fn name(key: &str) -> String {
    digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bob Jenkins's one-at-a-time, in 64 bits.
fn jenkins(key: &str) -> u64 {
    let mut hash = 0_u64;
    for byte in key.bytes() {
        hash = hash.wrapping_add(byte.into());
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

fn place<'a>(fleet: &'a [Memcached], key: &str) -> &'a Memcached {
    &fleet[(jenkins(key) % fleet.len() as u64) as usize]
}

/// As Zimbra's proxy writes: if nothing is there.
fn add(fleet: &[Memcached], key: &str, value: &str) {
    let line = format!("add {} 0 3600 {}\r\n{value}", name(key), value.len());
    place(fleet, key).say(&line, "STORED");
}

/// Which of the servers has it, and what.
fn found(fleet: &[Memcached], key: &str) -> Vec<(String, String)> {
    let value = |server: &Memcached| Some((server.name(), server.get(&name(key))?));
    fleet.iter().filter_map(value).collect()
}

#[test]
fn the_book_is_read_aright() {
    for (key, first, hash) in [
        ("route:proto=imapssl;user=john@example.com", "d8005294", 0x76c0_845d_fe14_a4b7),
        ("alias:user=john;ip=192.0.2.7", "4a91fef9", 0x7a14_bcdd_b1d3_a100),
    ] {
        assert!(name(key).starts_with(first));
        assert_eq!(jenkins(key), hash);
    }
}

#[tokio::test]
async fn what_zimbras_proxy_has_written_is_found_and_nobody_is_asked() {
    for size in [2, 3] {
        let fleet = Memcached::fleet(size);
        add(&fleet, "route:proto=imapssl;user=john@example.com", ONE);
        add(&fleet, "alias:user=john;ip=192.0.2.7", "john@example.com");
        add(&fleet, "route:proto=imapssl;user=mary@192.0.2.7", "[2001:db8::1]:7993");
        add(&fleet, &format!("route:proto=httpssl;id={ID}"), WEB);
        add(&fleet, &format!("route:proto=httpssl;admin=1;id={ID}"), "192.0.2.9:7071");
        let live = Live::new(&servers::zimbras(&fleet), Down);
        let node = &live.node;
        for (user, want) in [
            ("john@example.com", format!("HIT {ONE}")),
            ("john", format!("HIT {ONE} as john@example.com")),
            ("mary", "HIT [2001:db8::1]:7993".into()),
        ] {
            assert_eq!(node.see(user).await, want, "{size}");
        }
        for (role, want) in [(Role::User, WEB), (Role::Admin, "192.0.2.9:7071")] {
            let question = Question::by_id(node.settings.scope(), true, role, ID).unwrap();
            let ground = node.ground();
            let found = node.routes.find(&question, &node.settings, &ground, &node.asking()).await;
            assert_eq!(show(&found), format!("HIT {want}"));
        }
        assert_eq!(node.asked(), 0);
    }
}

#[tokio::test]
async fn what_is_written_lies_where_zimbras_proxy_looks() {
    for size in [2, 3] {
        let fleet = Memcached::fleet(size);
        let keys = Some(servers::keyring(&["1"]));
        let settings = crate::memcached::directives::Settings { keys, ..servers::zimbras(&fleet) };
        let live = Live::new(&settings, To(ONE));
        let node = &live.node;
        live.log_in("john@example.com").await;
        live.log_in("mary").await;
        node.says(As("[2001:db8::1]:7993", "john@example.org"));
        live.log_in("alias@example.com").await;
        // By an id, as web logins are.
        node.says(To(WEB));
        let question = Question::by_id(node.settings.scope(), true, Role::User, ID).unwrap();
        let (ground, asking) = (node.ground(), node.asking());
        let answer = node.routes.find(&question, &node.settings, &ground, &asking).await.unwrap();
        node.routes.keep(&question, &node.settings, &answer);
        let by_id = format!("route:proto=httpssl;id={ID}");
        until_async("the route by id", || async {
            (!found(&fleet, &by_id).is_empty()).then_some(())
        })
        .await;
        for (key, value) in [
            ("route:proto=imapssl;user=john@example.com", ONE),
            ("route:proto=imapssl;user=mary@192.0.2.7", ONE),
            ("route:proto=imapssl;user=john@example.org", "[2001:db8::1]:7993"),
            ("alias:user=alias@example.com;ip=192.0.2.7", "john@example.org"),
            (&by_id, WEB),
        ] {
            let want = (place(&fleet, key).name(), value.to_owned());
            assert_eq!(found(&fleet, key), [want], "{key}");
        }
    }
}
