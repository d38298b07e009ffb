//! What a million kept routes cost. Run with `cargo nextest run --run-ignored only --no-capture
//! a_million_routes`.

use super::*;
use std::time::Instant;

/// What the process has in memory, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn fill(node: &Node, count: usize) {
    let servers: Vec<Server> =
        (1..100).map(|host| Server::parse(&format!("192.0.2.{host}:7993")).unwrap()).collect();
    for user in 0..count {
        let question = node.question(&format!("user{user:07}@example{}.com", user % 100));
        let servers = Arc::new([servers[user % servers.len()].clone()]);
        let mut route =
            Route { keepable: true, ..Route::to(Targets::new(servers, 0, &node.names)) };
        route.trace = Trace { status: Status::Miss, ticket: node.routes.process.ticket() };
        node.routes.keep(&question, &node.settings, &route);
    }
}

#[tokio::test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "what it is for")]
async fn a_million_routes() {
    const COUNT: usize = 1_000_000;
    let node = Node::new(Unknown);
    node.routes.process.resize(1 << 30);
    let before = resident();
    let began = Instant::now();
    fill(&node, COUNT);
    let (took, bytes) = (began.elapsed(), resident() - before);
    let process = &node.routes.process;
    println!(
        "{} routes: {} bytes each, counted as {}; {:?} to keep one",
        process.entries(),
        bytes / COUNT,
        process.bytes() / COUNT as u64,
        took / 1_000_000
    );
    for purge in [Purge::user("user0000001@example1.com"), Purge::domain("example2.com")] {
        let began = Instant::now();
        let report = node.routes.purge(&purge).await;
        println!("{purge:?}: {} forgotten in {:?}", report.forgotten, began.elapsed());
    }
    assert!(bytes / COUNT < 400, "{} bytes", bytes / COUNT);
}

#[tokio::test]
async fn the_process_keeps_to_its_size() {
    let node = Node::new(Unknown);
    node.routes.process.resize(1 << 20);
    fill(&node, 10_000);
    let process = &node.routes.process;
    assert!(process.bytes() <= 1 << 20 && process.entries() > 2000, "{}", process.entries());
    let bytes = node.metrics.gauge(&names::CACHE_BYTES, &[]).get();
    assert_eq!(u64::try_from(bytes).unwrap(), process.bytes());
    // Made-up names do not push out those of users.
    let (entries, ticket) = (process.entries(), process.ticket());
    for user in 0..10_000 {
        let key = node.question(&format!("nobody{user}@example.com")).to_bytes();
        let refusal = Refusal::new(Kind::BadCredentials);
        process.put_refusal(&key, refusal, TTL, ticket);
    }
    assert!(process.entries() >= entries, "{} {entries}", process.entries());
    assert!(process.bytes() <= (1 << 20) + (1 << 16));
    process.resize(1 << 17);
    assert!(process.bytes() <= (1 << 17) + (1 << 13) + 1000);
}
