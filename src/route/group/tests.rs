use super::*;
use crate::http::stub::Book;

fn group(servers: &str) -> (Group, Vec<String>) {
    let block = Block::parse(&format!("upstream mail {{\n{servers}\n}}"));
    let group = Group::read(block.blocks("upstream")[0]);
    let faults = block.shared().faults.sorted(&[]);
    (group, faults.err().into_iter().flatten().map(|fault| fault.to_string()).collect())
}

/// All targets of one login, by their addresses, in the order they are tried.
async fn tried(group: &Group, names: &Names) -> Vec<String> {
    let mut targets = group.targets(names);
    let mut all = Vec::new();
    while let Some(target) = targets.next(143).await {
        all.push(match target {
            Ok(Target { endpoint, host: None }) => endpoint.to_string(),
            Ok(Target { endpoint, host: Some(host) }) => format!("{host}={endpoint}"),
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
    for want in [[a1, a2, b], [b, a1, a2], [a2, a1, b], [b, a2, a1], [a1, a2, b]] {
        assert_eq!(tried(&group, &names).await, want);
    }
}

#[tokio::test]
async fn a_name_is_resolved_for_each_login_when_its_turn_comes() {
    let (group, _) = group("server 192.0.2.1; server a.example;");
    let book = Book::of(&[("a.example", &["192.0.2.2"])]);
    let names: Names = Arc::clone(&book) as Names;
    let mut targets = group.targets(&names);
    targets.next(143).await.unwrap().unwrap();
    assert_eq!(book.asked.load(Ordering::SeqCst), 0);
    drop(targets);

    assert_eq!(tried(&group, &names).await, ["a.example=192.0.2.2:143", "192.0.2.1:143"]);
    book.write("a.example", &["192.0.2.3"]);
    assert_eq!(tried(&group, &names).await, ["192.0.2.1:143", "a.example=192.0.2.3:143"]);
}

#[tokio::test]
async fn a_name_without_address_is_told_and_stepped_over() {
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
async fn a_group_needs_servers_it_understands() {
    for (servers, want) in [
        ("", "no servers are inside upstream \"mail\" in test:1"),
        ("server 1.2.3;", "invalid host in upstream \"1.2.3\" in test:2"),
        ("server a:0;", "invalid port in upstream \"a:0\" in test:2"),
        ("server a weigth=5;", "invalid parameter \"weigth=5\" in test:2"),
    ] {
        let (group, faults) = group(servers);
        assert_eq!(faults, [want], "{servers}");
        // Even so it can be asked: all faults come out at once.
        let names: Names = Book::of(&[]);
        assert!(tried(&group, &names).await.len() <= 1);
    }
}
