//! One cache with Zimbra's proxies.

use super::super::zimbra::{By, alias, candidates, id, read_account, read_server, route};
use super::*;

const ONE: &str = "192.0.2.1:7993";
const CLIENT: &str = "192.0.2.7";

fn node(cache: &Cache, reply: Reply) -> Node {
    Node::with(&Bus::new(cache.clone()), cache, Format::Zimbra, reply)
}

fn key(text: &str) -> Key {
    Key::verbatim(text.as_bytes())
}

async fn read(cache: &Cache, text: &str) -> Option<String> {
    let value = cache.get(&key(text)).await.unwrap();
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn keys_are_zimbras_to_the_letter() {
    let client: IpAddr = CLIENT.parse().unwrap();
    let web = "cc00ce85-8c0b-49eb-8e08-a8aab43ce836";
    for (key, want) in [
        (
            route("imapssl", b"john@example.com", Some(client)),
            "route:proto=imapssl;user=john@example.com",
        ),
        (route("imapssl", b"john", Some(client)), "route:proto=imapssl;user=john@192.0.2.7"),
        (alias(b"john", By::Client(client)), "alias:user=john;ip=192.0.2.7"),
        (alias(b"john", By::Host("mail.example.com")), "alias:user=john;vhost=mail.example.com"),
        (
            id("httpssl", Role::User, web.as_bytes()),
            "route:proto=httpssl;id=cc00ce85-8c0b-49eb-8e08-a8aab43ce836",
        ),
        (
            id("httpssl", Role::Admin, web.as_bytes()),
            "route:proto=httpssl;admin=1;id=cc00ce85-8c0b-49eb-8e08-a8aab43ce836",
        ),
        (
            id("http", Role::Zx, web.as_bytes()),
            "route:proto=http;zx=1;id=cc00ce85-8c0b-49eb-8e08-a8aab43ce836",
        ),
    ] {
        assert_eq!(key.as_bytes(), want.as_bytes());
    }
}

#[test]
fn a_value_is_an_address_and_a_port_or_a_name() {
    for (value, want) in [
        ("192.0.2.1:7993", Some("192.0.2.1:7993")),
        ("[2001:DB8:0:0:0:0:0:1]:143", Some("[2001:db8::1]:143")),
        ("[::ffff:192.0.2.1]:143", Some("192.0.2.1:143")),
        ("192.0.2.1", None),
        ("192.0.2.1:0", None),
        ("0.0.0.0:143", None),
        ("192.0.2.1:143\r\n", None),
        ("192.0.2.1:143 ", None),
        (" 192.0.2.1:143", None),
        ("192.0.2.1:143\0", None),
        ("192.0.2.1:66000", None),
        ("store.example.com:143", None),
        ("unix:/tmp/x", None),
        ("2001:db8::1:143", None),
        ("[fe80::1%1]:143", None),
        ("", None),
    ] {
        let found = read_server(value.as_bytes()).map(|server| server.to_string());
        assert_eq!(found.as_deref(), want, "{value:?}");
    }
    for (value, is_one) in [
        (&b"john@example.com"[..], true),
        (b"john", true),
        (b"j\xc3\xb6hn@example.com", true),
        (b"", false),
        (b"john@example.com\r\n", false),
        (b"jo hn", false),
        (b"john\0", false),
        (&[b'a'; 257], false),
    ] {
        assert_eq!(read_account(value).is_some(), is_one, "{}", value.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn what_zimbras_proxy_wrote_is_read() {
    for (entries, user, want) in [
        (
            &[("route:proto=imapssl;user=john@example.com", ONE)][..],
            "john@example.com",
            format!("HIT {ONE}"),
        ),
        (&[("route:proto=imapssl;user=john@192.0.2.7", ONE)], "john", format!("HIT {ONE}")),
        (
            &[
                ("alias:user=john;ip=192.0.2.7", "john@example.com"),
                ("route:proto=imapssl;user=john@example.com", ONE),
            ],
            "john",
            format!("HIT {ONE} as john@example.com"),
        ),
        // An alias whose account has no route is passed over.
        (
            &[
                ("alias:user=john;ip=192.0.2.7", "john@example.com"),
                ("route:proto=imapssl;user=john@192.0.2.7", ONE),
            ],
            "john",
            format!("HIT {ONE}"),
        ),
        (&[("alias:user=john;ip=192.0.2.7", "john@example.com")], "john", "Unavailable".to_owned()),
        (&[("alias:user=john;ip=192.0.2.9", "john@example.com")], "john", "Unavailable".to_owned()),
        // Another protocol's, another user's, or no route at all.
        (
            &[("route:proto=imap;user=john@example.com", ONE)],
            "john@example.com",
            "Unavailable".to_owned(),
        ),
        (
            &[("route:proto=imapssl;user=John@example.com", ONE)],
            "john@example.com",
            "Unavailable".to_owned(),
        ),
        (
            &[("route:proto=imapssl;user=john@example.com", "evil.example:143")],
            "john@example.com",
            "Unavailable".to_owned(),
        ),
    ] {
        let cache = Cache::memory();
        for (name, value) in entries {
            cache.put(&key(name), value.as_bytes(), TTL).await.unwrap();
        }
        let node = node(&cache, Down);
        assert_eq!(node.see(user).await, want, "{entries:?}");
        let is_refused = entries[0].1.contains("evil")
            || entries.len() == 1
                && user == "john"
                && entries[0].0.ends_with(".7")
                && want == "Unavailable";
        assert_eq!(node.told("shared", "refused"), u64::from(is_refused), "{entries:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_we_write_zimbras_proxy_reads() {
    let cache = Cache::memory();
    let node = node(&cache, To(ONE));
    node.log_in("john@example.com").await;
    assert_eq!(
        read(&cache, "route:proto=imapssl;user=john@example.com").await.as_deref(),
        Some(ONE)
    );
    assert_eq!(read(&cache, "alias:user=john@example.com;ip=192.0.2.7").await, None);
    node.log_in("john").await;
    assert_eq!(read(&cache, "route:proto=imapssl;user=john@192.0.2.7").await.as_deref(), Some(ONE));
    node.says(As("[2001:db8::1]:7993", "john@example.com"));
    node.log_in("alias@example.com").await;
    let account = read(&cache, "alias:user=alias@example.com;ip=192.0.2.7").await;
    assert_eq!(account.as_deref(), Some("john@example.com"));
    let server = read(&cache, "route:proto=imapssl;user=john@example.com").await;
    assert_eq!(server.as_deref(), Some("[2001:db8::1]:7993"), "a newer one replaces it");
    // A name that means another account elsewhere is no alias, unless the source says that it is one.
    node.log_in("js").await;
    assert_eq!(read(&cache, "alias:user=js;ip=192.0.2.7").await, None);
    let mut found = node.find("jack").await.unwrap();
    found.is_alias = true;
    node.routes.keep(&node.question("jack"), &node.settings, &found);
    settle().await;
    let account = read(&cache, "alias:user=jack;ip=192.0.2.7").await;
    assert_eq!(account.as_deref(), Some("john@example.com"));
    // What cannot be said in an address and a port is not said.
    for server in ["store.example:143", "192.0.2.3", "unix:/run/x"] {
        node.says(To(server));
        node.log_in("other@example.com").await;
        assert_eq!(read(&cache, "route:proto=imapssl;user=other@example.com").await, None);
        assert_eq!(node.see("other@example.com").await, format!("HIT {server}"), "here it is kept");
        node.routes.obey(&crate::route::order::Order::ForgetAll);
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_failed_is_taken_out_and_one_of_unknown_age_is_asked_about() {
    let cache = Cache::memory();
    let text = "route:proto=imapssl;user=john@example.com";
    cache.put(&key(text), b"192.0.2.66:7993", TTL).await.unwrap();
    let node = node(&cache, To(ONE));
    assert_eq!(node.see("john@example.com").await, "HIT 192.0.2.66:7993");
    let found = node.find_anew("john@example.com", Reason::LoginRefused).await;
    assert_eq!(show(&found), format!("EXPIRED {ONE}"));
    assert_eq!(read(&cache, text).await, None);
    node.routes.keep(&node.question("john@example.com"), &node.settings, &found.unwrap());
    settle().await;
    assert_eq!(read(&cache, text).await.as_deref(), Some(ONE));
}

#[tokio::test(start_paused = true)]
async fn a_purge_deletes_what_zimbras_tool_deletes_and_what_it_does_not_know_of() {
    let cache = Cache::memory();
    let texts: Vec<_> = candidates(b"john@example.com", &[CLIENT.parse().unwrap()])
        .iter()
        .map(|key| String::from_utf8(key.as_bytes().to_vec()).unwrap())
        .collect();
    for text in [
        "route:proto=http;user=john@example.com",
        "route:proto=pop3ssl;user=john",
        "route:proto=imapssl;user=john@192.0.2.7",
        "alias:user=john;ip=example.com",
        "alias:user=john;vhost=example.com",
    ] {
        assert!(texts.contains(&text.to_owned()), "{text}");
        cache.put(&key(text), b"192.0.2.66:7993", TTL).await.unwrap();
    }
    let node = node(&cache, As(ONE, "john@example.com"));
    // With the client's address in it, written by another node of ours.
    node.log_in("alias@example.com").await;
    let report = node.routes.purge(&Purge::user("john@example.com")).await;
    assert!(!report.leaves_some && report.errors.is_empty());
    assert!(report.keys.contains(&("alias:user=alias@example.com;ip=192.0.2.7".into(), true)));
    for text in
        ["route:proto=http;user=john@example.com", "alias:user=alias@example.com;ip=192.0.2.7"]
    {
        assert_eq!(read(&cache, text).await, None, "{text}");
    }
    let (rows, _) = node.routes.list("john@example.com").await;
    assert!(rows.iter().all(|row| row.value.is_none()) && rows.len() > 12, "null, each of them");
    assert!(node.routes.purge(&Purge::All).await.leaves_some);
}
