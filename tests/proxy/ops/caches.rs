//! What is kept, and forgetting it.

use super::{ask, let_in, server, started, told};
use crate::support::{FakeLookup, Memcached, until};

#[test]
fn what_is_kept_is_listed_and_purged_on_every_server() {
    let caches = Memcached::fleet(2);
    let up = server(1);
    let lookup = FakeLookup::to(up.addr());
    let names = [caches[0].name(), caches[1].name()];
    let values: [(&str, &dyn ToString); 3] =
        [("c0", &names[0]), ("c1", &names[1]), ("lookup", &lookup.addr())];
    let main = "memcached { server @c0@; server @c1@; key @dir@/fleet.key; reconnect 500ms; }";
    let node = started(main, "lookup z { protocol nle; handler http://@lookup@/; }", &values);
    drop(let_in(&node, "ann@a.test"));
    drop(let_in(&node, "bob@b.test"));
    let list = |words: &[&str]| told(&node, &[&["cache", "purge", "--list"], words].concat());
    until("the routes to be kept", || {
        let said = list(&["ann@a.test"]);
        (said.contains("[process]")
            && said.contains(&up.addr().to_string())
            && names.iter().any(|name| said.contains(&format!("[{name}]"))))
        .then_some(())
    });
    assert_eq!(list(&[]).lines().count(), 2, "{}", list(&[]));
    assert_eq!(list(&["--domain", "b.test"]).lines().count(), 1);
    let said = told(&node, &["user", "where", "ann@a.test"]);
    assert!(said.contains(&format!("route to {} (process, ", up.addr())), "{said}");
    let status = told(&node, &["cache", "status"]);
    assert!(names.iter().all(|name| status.contains(name)), "{status}");
    assert!(status.contains("in this process: 2 entries") && status.contains("process  route"));
    let zimbra = told(&node, &["caches"]);
    assert_eq!(zimbra, format!("{} {} \n", names[0], names[1]));

    let asked = lookup.asked().len();
    drop(let_in(&node, "ann@a.test"));
    assert_eq!(lookup.asked().len(), asked, "it is kept");
    let said = told(&node, &["cache", "purge", "ann@a.test"]);
    assert!(said.ends_with("1 in this process; the fleet was told\n"), "{said}");
    assert!(!said.starts_with("0 of"), "{said}");
    let left = list(&["ann@a.test"]);
    assert!(!left.contains(&up.addr().to_string()), "{left}");
    drop(let_in(&node, "ann@a.test"));
    assert_eq!(lookup.asked().len(), asked + 1, "it was forgotten");
    let said = told(&node, &["cache", "purge", "--all"]);
    assert!(said.starts_with("all routes forgotten, "), "{said}");
    drop(let_in(&node, "bob@b.test"));
    assert_eq!(lookup.asked().len(), asked + 2);
}

#[test]
fn a_server_that_is_down_is_named() {
    let mut cache = Memcached::start();
    let up = server(1);
    let lookup = FakeLookup::to(up.addr());
    let name = cache.name();
    let values: [(&str, &dyn ToString); 2] = [("c0", &name), ("lookup", &lookup.addr())];
    let main = "memcached { server @c0@; key @dir@/fleet.key; reconnect 500ms; }";
    let node = started(main, "lookup z { protocol nle; handler http://@lookup@/; }", &values);
    told(&node, &["status"]);
    cache.kill();
    drop(let_in(&node, "ann@a.test"));
    until("the server to be missed", || {
        let status = ask(&node, &["status"]);
        (status.code == Some(1) && status.out.contains("memcached  down")).then_some(())
    });
    let said = ask(&node, &["cache", "purge", "ann@a.test"]);
    assert!(said.code == Some(1) && said.err.contains(&name), "{}", said.said());
    let said = told(&node, &["cache", "status"]);
    assert!(said.contains("down"), "{said}");
    cache.restart();
    until("all to be well", || (ask(&node, &["status"]).code == Some(0)).then_some(()));
}
