use std::sync::atomic::Ordering;

use super::*;
use crate::http::stub::Book;

pub(in crate::route) fn group(servers: &str) -> (Group, Vec<String>) {
    let block = Block::parse(&format!("upstream mail {{\n{servers}\n}}"));
    let group = Group::read(block.blocks("upstream")[0], &Limits::default());
    (group, block.faults())
}

/// All targets of one login, by their addresses, in the order they are tried.
async fn tried(group: &Group, names: &Names) -> Vec<String> {
    let mut targets = group.targets(names, &Chooser::default());
    let mut all = Vec::new();
    while let Some(target) = targets.next(143).await {
        all.push(match target {
            Ok(Target { endpoint, host: None, .. }) => endpoint.to_string(),
            Ok(Target { endpoint, host: Some(host), .. }) => format!("{host}={endpoint}"),
            Err(unresolved) => unresolved.to_string(),
        });
    }
    all
}

#[tokio::test]
async fn each_login_begins_at_the_next_server_and_knows_the_others() {
    let (group, _) = group("server 192.0.2.1; server [2001:db8::1]:1143; server unix:/run/imap;");
    let names: Names = Book::of(&[]);
    let (a, b, c) = ("192.0.2.1:143", "[2001:db8::1]:1143", "unix:/run/imap");
    for want in [[a, b, c], [b, c, a], [c, a, b], [a, b, c]] {
        assert_eq!(tried(&group, &names).await, want);
    }
}

#[tokio::test]
async fn all_addresses_of_a_name_take_turns() {
    let (group, _) = group("server a.example; server b.example:1143;");
    let names: Names =
        Book::of(&[("a.example", &["192.0.2.1", "192.0.2.2"]), ("b.example", &["::1"])]);
    let (a1, a2) = ("a.example=192.0.2.1:143", "a.example=192.0.2.2:143");
    let b = "b.example=[::1]:1143";
    for want in [[a1, a2, b], [b, a2, a1], [a2, a1, b], [b, a1, a2], [a1, a2, b]] {
        assert_eq!(tried(&group, &names).await, want);
    }
}

#[tokio::test]
async fn a_name_is_resolved_for_each_login_when_its_turn_comes() {
    let (group, _) = group("server 192.0.2.1; server a.example;");
    let book = Book::of(&[("a.example", &["192.0.2.2"])]);
    let names: Names = Arc::clone(&book) as Names;
    let mut targets = group.targets(&names, &Chooser::default());
    targets.next(143).await.unwrap().unwrap();
    assert_eq!(book.asked.load(Ordering::SeqCst), 0);
    drop(targets);

    assert_eq!(tried(&group, &names).await, ["a.example=192.0.2.2:143", "192.0.2.1:143"]);
    book.write("a.example", &["192.0.2.3"]);
    assert_eq!(tried(&group, &names).await, ["192.0.2.1:143", "a.example=192.0.2.3:143"]);
}

#[tokio::test]
async fn a_name_without_address_is_told_once_and_stepped_over() {
    let (group, _) = group("server gone.example; server empty.example; server 192.0.2.1;");
    let names: Names = Book::of(&[("empty.example", &[])]);
    assert_eq!(
        tried(&group, &names).await,
        [
            "gone.example could not be resolved (3: Host not found)",
            "empty.example could not be resolved (3: Host not found)",
            "192.0.2.1:143",
        ]
    );
}

#[tokio::test]
async fn servers_without_a_group_are_tried_as_they_stand() {
    let servers: Arc<[Server]> =
        ["a.example", "192.0.2.9:1143"].map(|text| Server::parse(text).unwrap()).into();
    let names: Names = Book::of(&[("a.example", &["192.0.2.1", "192.0.2.2"])]);
    let mut targets = Targets::new(servers, 1, &names);
    let mut all = Vec::new();
    while let Some(target) = targets.next(143).await {
        let target = target.unwrap();
        assert!(target.slot.is_none() && target.server.is_none());
        all.push(target.endpoint.to_string());
    }
    assert_eq!(all, ["192.0.2.9:1143", "192.0.2.1:143", "192.0.2.2:143"]);
}

#[test]
fn a_server_is_what_its_parameters_say() {
    let (group, faults) = group(
        "max_fails 3; reconnect_timeout 1m; lock_after 0; zone z 64k;
         server a.example:1143 weight=5 max_fails=2 fail_timeout=30s max_conns=100 slow_start=30s resolve;
         server 192.0.2.1 backup; server 192.0.2.2 down; health_check interval=1s type=tcp port=99;",
    );
    assert_eq!(faults, Vec::<String>::new());
    let second = std::time::Duration::from_secs(1);
    let servers = group.servers();
    let limits = Limits {
        weight: 5,
        max_fails: 2,
        fail_timeout: 30 * second,
        max_conns: 100,
        slow_start: 30 * second,
        lock_after: 0,
    };
    assert_eq!(servers[0].limits, limits);
    assert_eq!(servers[1].limits.max_fails, 3);
    assert_eq!(servers[1].limits.fail_timeout, 60 * second);
    assert!(servers[1].is_backup && servers[2].is_down && !servers[0].is_down);
    let check = group.check.unwrap();
    assert_eq!((check.interval, check.port, check.fails), (second, Some(99), 1));
}

#[tokio::test]
async fn a_group_needs_servers_it_understands() {
    let no = |parameter| {
        format!("balancing method does not support parameter \"{parameter}\" in test:2")
    };
    for (servers, want) in [
        ("", "no servers are inside upstream \"mail\" in test:1".to_owned()),
        ("server 1.2.3;", "invalid host in upstream \"1.2.3\" in test:2".to_owned()),
        ("server a:0;", "invalid port in upstream \"a:0\" in test:2".to_owned()),
        ("server a weigth=5;", "invalid parameter \"weigth=5\" in test:2".to_owned()),
        ("server a weight=0;", "invalid parameter \"weight=0\" in test:2".to_owned()),
        ("server a weight=+1;", "invalid parameter \"weight=+1\" in test:2".to_owned()),
        ("server a weight;", "invalid parameter \"weight\" in test:2".to_owned()),
        ("server a down=1;", "invalid parameter \"down=1\" in test:2".to_owned()),
        ("server a max_fails=x;", "invalid parameter \"max_fails=x\" in test:2".to_owned()),
        ("server a fail_timeout=1x;", "invalid parameter \"fail_timeout=1x\" in test:2".to_owned()),
        ("server a weight=1 weight=2;", "duplicate parameter \"weight\" in test:2".to_owned()),
        (
            "server a; server A;",
            "duplicate server \"a\": say \"weight=2\" instead in test:2".to_owned(),
        ),
        (
            "server a backup;",
            "no server but backups: one must be without \"backup\" in test:1".to_owned(),
        ),
        ("hash $login; server b; server a backup;", no("backup")),
        ("server b; server a backup; ip_hash;", no("backup")),
        ("random two; server b; server a backup;", no("backup")),
        ("hash $login consistent; server a slow_start=5s;", no("slow_start")),
        ("hash $login; ip_hash; server a;", "load balancing method redefined in test:2".to_owned()),
        ("hash $login constant; server a;", "invalid parameter \"constant\" in test:2".to_owned()),
        (
            "hash x; server a;",
            "no variable in \"x\", so everybody would go to the same server in \"hash\" in test:2"
                .to_owned(),
        ),
        ("hash $nix; server a;", "unknown \"nix\" variable in \"hash\" in test:2".to_owned()),
        ("random three; server a;", "invalid parameter \"three\" in test:2".to_owned()),
        ("random two random; server a;", "invalid parameter \"random\" in test:2".to_owned()),
        (
            "hash $login consistent; server a weight=10000; server b;",
            "the weights of a consistent hash must be 10000 in all at the most in test:2"
                .to_owned(),
        ),
        ("health_check fails=0; server a;", "invalid parameter \"fails=0\" in test:2".to_owned()),
        ("health_check type=ssh; server a;", "invalid parameter \"type=ssh\" in test:2".to_owned()),
        (
            "health_check interval=0; server a;",
            "invalid parameter \"interval=0\" in test:2".to_owned(),
        ),
    ] {
        let (group, faults) = group(servers);
        assert_eq!(faults, [want], "{servers}");
        // Even so it can be asked: all faults come out at once.
        let names: Names = Book::of(&[]);
        assert!(tried(&group, &names).await.len() <= 2);
    }
}

#[test]
fn every_directive_is_read() {
    let (group, _) = group("server a;");
    let names = group.block.names_read();
    for directive in directives::DIRECTIVES {
        assert!(names.contains(&directive.name.to_owned()), "{}", directive.name);
    }
    assert_eq!(group.method, Method::RoundRobin);
}

#[test]
fn what_mail_says_holds_for_servers_that_say_nothing() {
    let block = Block::parse("max_fails 0; reconnect_timeout 0; lock_after 3;");
    let outer = Limits::read(&block, &Limits::default());
    let inner = Block::parse("upstream a { server a; server b max_fails=1; lock_after 4; }");
    let group = Group::read(inner.blocks("upstream")[0], &outer);
    let [a, b] = &**group.servers() else { panic!("there are two") };
    assert_eq!((a.limits.max_fails, b.limits.max_fails), (0, 1));
    assert!(a.limits.fail_timeout.is_zero() && b.limits.fail_timeout.is_zero());
    assert_eq!((a.limits.lock_after, b.limits.lock_after), (4, 4));
}
