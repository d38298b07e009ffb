//! The bus over real servers.

use tokio::time::{Instant, timeout};

use super::*;
use crate::memcached::bus::{Bus, Heard, Listener};
use crate::observe::tasks;

/// A node of a fleet: its bus, what it hears, and the task that listens for it.
struct Node {
    bus: Bus,
    ear: Listener,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    async fn new(cache: Cache) -> Self {
        Self::of(Bus::new(cache))
    }

    fn of(bus: Bus) -> Self {
        let ear = bus.listen();
        let own = bus.clone();
        let task = tasks::spawn("bus", async move { own.run(std::future::pending()).await });
        Self { bus, ear, task }
    }

    async fn hear(&mut self) -> Heard {
        timeout(PATIENCE, self.ear.next()).await.expect("nothing was heard").unwrap()
    }

    /// Nothing for as long as two polls take.
    async fn hears_nothing(&mut self) {
        let heard = timeout(Duration::from_millis(800), self.ear.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

fn said(word: &str) -> Heard {
    Heard::Said(word.into())
}

/// Two nodes that have seen every server.
async fn two(settings: &Settings) -> (Node, Node) {
    let mut nodes = (Node::new(cache_of(settings)).await, Node::new(cache_of(settings)).await);
    // Until both have found all logs, or begun them.
    tokio::time::sleep(Duration::from_millis(700)).await;
    nodes.0.hears_nothing().await;
    nodes
}

#[tokio::test]
async fn a_word_reaches_every_node_once_and_within_a_second() {
    let servers = Memcached::fleet(2);
    let (mut one, mut other) = two(&settings(&names(&servers))).await;
    for n in 0..3 {
        let word = format!("forget user{n}");
        let start = Instant::now();
        one.bus.say(word.as_bytes()).await.unwrap();
        assert_eq!(one.hear().await, said(&word));
        assert_eq!(other.hear().await, said(&word));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    one.hears_nothing().await;
    other.hears_nothing().await;
    assert!(servers.iter().all(|server| server.count() == 4), "{:?}", servers[0].keys());
}

#[tokio::test]
async fn who_comes_later_hears_nothing_of_what_was_said_before() {
    let servers = Memcached::fleet(1);
    let (one, _other) = two(&settings(&names(&servers))).await;
    one.bus.say(b"early").await.unwrap();
    let mut late = Node::new(cache(&servers)).await;
    late.hears_nothing().await;
    one.bus.say(b"now").await.unwrap();
    assert_eq!(late.hear().await, said("now"));
}

#[tokio::test]
async fn many_words_come_in_their_order() {
    let servers = Memcached::fleet(2);
    let (one, mut other) = two(&settings(&names(&servers))).await;
    for n in 0..150 {
        one.bus.say(n.to_string().as_bytes()).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 150 {
        match other.hear().await {
            Heard::Said(word) => {
                heard.push(String::from_utf8(word).unwrap().parse::<u32>().unwrap())
            }
            other => panic!("{other:?} after {}", heard.len()),
        }
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..150).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_of_two_servers_is_enough_and_one_that_hangs_stalls_nobody() {
    let mut servers = Memcached::fleet(2);
    let (mut one, mut other) = two(&settings(&names(&servers))).await;
    servers[0].freeze();
    for word in ["first", "second"] {
        let start = Instant::now();
        let (told, heard) = tokio::join!(one.bus.say(word.as_bytes()), other.hear());
        assert_eq!((told, heard), (Ok(()), said(word)));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    servers[0].thaw();
    servers[1].kill();
    until_async("the first server to be asked again", || async {
        one.bus.say(b"third").await.ok()
    })
    .await;
    let heard = [one.hear().await, one.hear().await, one.hear().await];
    assert_eq!(heard, [said("first"), said("second"), said("third")]);
    // It may have been told that it missed something: a server died.
    loop {
        match other.hear().await {
            Heard::Missed => {}
            heard => break assert_eq!(heard, said("third")),
        }
    }
    servers[0].kill();
    assert!(one.bus.say(b"alone").await.is_err());
    while one.hear().await != said("alone") {}
}

#[tokio::test]
async fn a_server_that_was_restarted_may_have_taken_words_with_it() {
    let mut servers = Memcached::fleet(1);
    let (one, mut other) = two(&settings(&names(&servers))).await;
    one.bus.say(b"before").await.unwrap();
    assert_eq!(other.hear().await, said("before"));
    servers[0].restart();
    assert_eq!(other.hear().await, Heard::Missed);
    until_async("the server to be asked again", || async { one.bus.say(b"after").await.ok() })
        .await;
    loop {
        match other.hear().await {
            Heard::Missed => {}
            heard => break assert_eq!(heard, said("after")),
        }
    }
}

#[tokio::test]
async fn who_writes_into_the_servers_can_say_nothing() {
    let servers = Memcached::fleet(1);
    let (one, mut other) = two(&settings(&names(&servers))).await;
    let keys = || async { Some(servers[0].keys()).filter(|keys| !keys.is_empty()) };
    let generation = until_async("the log's beginning", keys).await.remove(0);
    let before = servers[0].get(&generation).unwrap();
    one.bus.say(b"true").await.unwrap();
    assert_eq!(other.hear().await, said("true"));
    let event = until_async("the event", || async {
        servers[0].keys().into_iter().find(|key| *key != generation)
    })
    .await;
    // Said again: it is known.
    servers[0].put(&generation, &before);
    assert_eq!(other.hear().await, Heard::Missed);
    // Other words: nobody has sealed them. Nodes are not told again and again that they miss some.
    for n in 1..4 {
        servers[0].put(&event, "false");
        servers[0].put(&generation, &(before.trim().parse::<u64>().unwrap() + n).to_string());
        other.hears_nothing().await;
    }
    // No number at all.
    servers[0].put(&generation, "false");
    until_async("the log to be begun anew", || async {
        servers[0].get(&generation).filter(|now| now != "false")
    })
    .await;
    one.bus.say(b"again").await.unwrap();
    assert_eq!(other.hear().await, said("again"));
}

#[tokio::test]
async fn who_reads_a_log_goes_on_after_a_fault_of_ours() {
    let servers = Memcached::fleet(1);
    let (one, mut other) = two(&settings(&names(&servers))).await;
    other.bus.trips.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(other.hear().await, Heard::Missed, "nobody knows how far it was read");
    one.bus.say(b"after").await.unwrap();
    assert_eq!(other.hear().await, said("after"));
}

#[tokio::test]
async fn a_word_from_before_the_start_is_told_apart() {
    let servers = Memcached::fleet(1);
    let cache = cache(&servers);
    let bus = Bus::new(cache.clone());
    bus.say(b"early").await.unwrap();
    let mut node = Node::of(Bus::new(cache.clone()).started_in(Duration::from_secs(60)));
    node.hears_nothing().await;
    // To a node that starts in a minute, all that is said now is late.
    bus.say(b"now").await.unwrap();
    assert_eq!(node.hear().await, Heard::Late(b"now".to_vec()));
}

#[tokio::test]
async fn while_keys_are_changed_all_nodes_hear_each_other() {
    let servers = Memcached::fleet(1);
    let with =
        |digits: &[&str]| Settings { keys: Some(keyring(digits)), ..settings(&names(&servers)) };
    let mut one = Node::new(cache_of(&with(&["1", "2"]))).await;
    let mut other = Node::new(cache_of(&with(&["2", "1"]))).await;
    other.hears_nothing().await;
    one.bus.say(b"hello").await.unwrap();
    other.bus.say(b"hello yourself").await.unwrap();
    let mut heard = [one.hear().await, one.hear().await];
    heard.sort_by_key(|heard| format!("{heard:?}").len());
    assert_eq!(heard, [said("hello"), said("hello yourself")]);
    other.hear().await;
    assert_eq!(other.hear().await, said("hello"));
}

#[tokio::test]
async fn without_a_cache_or_a_key_a_word_stays_here() {
    let servers = Memcached::fleet(1);
    for cache in [Cache::off(), cache_of(&zimbras(&servers))] {
        let mut node = Node::new(cache).await;
        assert_eq!(node.bus.say(b"word").await, Err(Error::Off));
        assert_eq!(node.hear().await, said("word"));
    }
}

#[tokio::test]
async fn a_reload_brings_the_bus_to_other_servers() {
    let servers = Memcached::fleet(2);
    let cache = cache(&servers[..1]);
    let mut one = Node::new(cache.clone()).await;
    let other = Node::new(cache_of(&settings(&names(&servers[1..])))).await;
    one.hears_nothing().await;
    let only = settings(&names(&servers[1..]));
    cache.set_up(Some(&only), &Metrics::new(), &Log::silent());
    assert_eq!(one.hear().await, Heard::Missed);
    one.hears_nothing().await;
    other.bus.say(b"hello").await.unwrap();
    assert_eq!(one.hear().await, said("hello"));
}

#[tokio::test]
async fn two_nodes_of_a_memory_hear_each_other_at_once() {
    let cache = Cache::memory();
    let (one, other) = (Bus::new(cache.clone()), Bus::new(cache.clone()));
    let (mut here, mut there) = (one.listen(), other.listen());
    one.say(b"hello").await.unwrap();
    assert_eq!(here.next().await, Some(said("hello")));
    assert_eq!(there.next().await, Some(said("hello")));
    cache.break_for_tests(true);
    assert!(one.say(b"lost").await.is_err());
    assert_eq!(here.next().await, Some(said("lost")));
    cache.break_for_tests(false);
    one.say(b"found").await.unwrap();
    assert_eq!(there.next().await, Some(said("found")), "the one before did not come");
}
