//! Real servers: what is kept, where, and what becomes of it when they die, hang and come back.

use std::sync::mpsc;
use std::thread;

use tokio::runtime;
use tokio::time::Instant;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn an_entry_is_put_found_changed_and_forgotten() {
    let servers = Memcached::fleet(1);
    let cache = cache(&servers);
    let key = key("alice");
    assert_eq!(cache.get(&key).await, Ok(None));
    assert_eq!(cache.touch(&key, HOUR).await, Ok(false));
    assert_eq!(cache.swap(&key, b"", b"x", HOUR).await, Ok(false));
    assert_eq!(cache.add(&key, b"one", HOUR).await, Ok(true));
    assert_eq!(cache.add(&key, b"two", HOUR).await, Ok(false));
    assert_eq!(cache.get(&key).await, Ok(Some(b"one".to_vec())));
    assert_eq!(cache.swap(&key, b"two", b"three", HOUR).await, Ok(false));
    assert_eq!(cache.swap(&key, b"one", b"three", HOUR).await, Ok(true));
    cache.put(&key, b"", HOUR).await.unwrap();
    assert_eq!(cache.get(&key).await, Ok(Some(Vec::new())));
    assert_eq!(cache.delete(&key).await, Ok(true));
    assert_eq!(cache.delete(&key).await, Ok(false));
    assert_eq!(cache.get(&key).await, Ok(None));
    let large = vec![7; protocol::MAX_VALUE];
    cache.put(&key, &large, HOUR).await.unwrap();
    assert_eq!(cache.get(&key).await, Ok(Some(large)));
}

#[tokio::test]
async fn a_life_ends_under_the_seal_and_a_touch_makes_it_longer() {
    let servers = Memcached::fleet(1);
    let cache = cache(&servers);
    let (short, long) = (key("short"), key("long"));
    cache.put(&short, b"v", Duration::from_millis(200)).await.unwrap();
    cache.put(&long, b"v", Duration::from_millis(200)).await.unwrap();
    assert_eq!(cache.touch(&long, HOUR).await, Ok(true));
    // memcached itself would keep it for up to two seconds.
    until_async("the end of a life", || async {
        cache.get(&short).await.unwrap().is_none().then_some(())
    })
    .await;
    assert_eq!(cache.get(&long).await, Ok(Some(b"v".to_vec())));
    assert_eq!(servers[0].count(), 1, "what has outlived its time is deleted");
}

#[tokio::test]
async fn a_window_is_fixed_and_all_nodes_count_together() {
    let servers = Memcached::fleet(2);
    let (one, other) = (cache(&servers), cache(&servers));
    let key = Key::of("throttle", &[b"192.0.2.7"]);
    assert_eq!(one.counted(&key).await, Ok(0));
    for n in 1..=3 {
        assert_eq!(one.count(&key, 1, SECOND).await, Ok(2 * n - 1));
        assert_eq!(other.count(&key, 1, HOUR).await, Ok(2 * n));
    }
    assert_eq!(other.count(&key, 10, HOUR).await, Ok(16));
    assert_eq!(one.counted(&key).await, Ok(16));
    until_async("the end of the window", || async {
        (one.counted(&key).await == Ok(0)).then_some(())
    })
    .await;
    assert_eq!(other.count(&key, 5, HOUR).await, Ok(5));
}

#[tokio::test]
async fn a_counter_that_is_no_number_begins_anew() {
    let servers = Memcached::fleet(1);
    let cache = cache(&servers);
    let key = Key::of("throttle", &[b"192.0.2.7"]);
    cache.count(&key, 1, HOUR).await.unwrap();
    let name = servers[0].keys().remove(0);
    servers[0].put(&name, "evil");
    assert_eq!(cache.counted(&key).await, Ok(0));
    assert_eq!(cache.count(&key, 1, HOUR).await, Ok(1));
    assert_eq!(cache.count(&key, 1, HOUR).await, Ok(2));
}

#[tokio::test]
async fn what_others_have_written_is_a_miss_and_goes() {
    let servers = Memcached::fleet(1);
    let metrics = Metrics::new();
    let cache = Cache::off();
    cache.set_up(Some(&settings(&names(&servers))), &metrics, &Log::silent());
    let (alice, mallory) = (key("alice"), key("mallory"));
    let name = |key: Key| {
        let cache = cache.clone();
        async move { cache.get_everywhere(&key).await.remove(0).name }
    };
    let (hers, his) = (name(alice.clone()).await, name(mallory.clone()).await);
    let (one, other) = (
        cache_of(&settings(&names(&servers))),
        Settings { keys: Some(keyring(&["2"])), ..settings(&names(&servers)) },
    );
    let forged = cache_of(&other);
    forged.put(&alice, b"evil", HOUR).await.unwrap();
    assert_eq!(one.get(&alice).await, Ok(None), "another fleet's");

    for value in ["evil", "", &"x".repeat(900_000)] {
        servers[0].put(&hers, value);
        assert_eq!(cache.get(&alice).await, Ok(None), "{}", value.len());
        assert_eq!(servers[0].get(&hers), None, "it is gone");
    }
    servers[0].put(&hers, "evil");
    assert_eq!(cache.add(&alice, b"10.0.0.1", HOUR).await, Ok(true), "what is there is nothing");
    // What is one user's is not believed of another, byte for byte as it is.
    cache.put(&mallory, b"evil", HOUR).await.unwrap();
    copy(&servers[0], &his, &hers);
    assert_eq!(cache.get(&alice).await, Ok(None));
    assert_eq!(cache.get(&mallory).await, Ok(Some(b"evil".to_vec())));
    let text = metrics.render();
    for line in ["{reason=\"malformed\"} 4", "{reason=\"forged\"} 1"] {
        let name = "gatepost_memcached_values_rejected_total";
        assert!(text.contains(&format!("{name}{line}\n")), "{line}: {text}");
    }
}

/// Writes what is under one name under another too, as any client could.
pub fn copy(server: &Memcached, from: &str, to: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
    stream.write_all(format!("get {from}\r\nquit\r\n").as_bytes()).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let at = said.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let value = said[at..].strip_suffix(b"\r\nEND\r\n").unwrap();
    let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
    let head = format!("set {to} 0 0 {}\r\n", value.len());
    stream.write_all(&[head.as_bytes(), value, b"\r\nquit\r\n"].concat()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "STORED\r\n");
}

#[tokio::test]
async fn keys_are_changed_without_losing_what_is_there() {
    let servers = Memcached::fleet(2);
    let with = |digits: &[&str]| {
        cache_of(&Settings { keys: Some(keyring(digits)), ..settings(&names(&servers)) })
    };
    let (old, both, new) = (with(&["1"]), with(&["2", "1"]), with(&["2"]));
    for user in ["a", "b", "c", "d"] {
        let key = key(user);
        old.put(&key, b"old", HOUR).await.unwrap();
        assert_eq!(both.get(&key).await, Ok(Some(b"old".to_vec())));
        assert_eq!(both.add(&key, b"other", HOUR).await, Ok(false));
        assert_eq!(both.swap(&key, b"old", b"new", HOUR).await, Ok(true));
        assert_eq!(new.get(&key).await, Ok(Some(b"new".to_vec())));
        assert_eq!(old.get(&key).await, Ok(None), "it is not there twice");
        old.put(&key, b"late", HOUR).await.unwrap();
        both.put(&key, b"newer", HOUR).await.unwrap();
        assert_eq!(old.get(&key).await, Ok(None));
        old.put(&key, b"late", HOUR).await.unwrap();
        assert_eq!(both.delete(&key).await, Ok(true));
        assert_eq!(old.get(&key).await, Ok(None), "by either name");
    }
}

#[tokio::test]
async fn keys_are_shared_out_and_a_dead_server_takes_its_own_alone() {
    let mut servers = Memcached::fleet(3);
    let (one, other) = (cache(&servers), {
        let mut names = names(&servers);
        names.reverse();
        cache_of(&settings(&names))
    });
    let users: Vec<_> = (0..60).map(|n| key(&format!("user{n}"))).collect();
    for user in &users {
        one.put(user, b"v", HOUR).await.unwrap();
        assert_eq!(other.get(user).await, Ok(Some(b"v".to_vec())), "the order does not matter");
    }
    let held: Vec<_> = servers.iter().map(Memcached::count).collect();
    assert!(held.iter().sum::<usize>() == 60 && held.iter().all(|n| *n > 8), "{held:?}");

    servers[1].kill();
    let mut lost = 0;
    for user in &users {
        match one.get(user).await {
            Ok(value) => assert_eq!(value, Some(b"v".to_vec())),
            Err(Error::Down(name)) => {
                assert_eq!(*name, *servers[1].name());
                lost += 1;
                // No other stands in: two nodes would not agree.
                assert!(matches!(one.put(user, b"w", HOUR).await, Err(Error::Down(_))));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lost, held[1]);

    servers[1].restart();
    for user in &users {
        until_async("its server to be asked again", || async {
            one.put(user, b"v", HOUR).await.ok()
        })
        .await;
        assert_eq!(one.get(user).await, Ok(Some(b"v".to_vec())));
    }
}

#[tokio::test]
async fn a_server_that_was_restarted_within_a_moment_is_not_noticed() {
    let mut servers = Memcached::fleet(1);
    let cache = cache(&servers);
    let key = key("alice");
    cache.put(&key, b"v", HOUR).await.unwrap();
    servers[0].restart();
    assert_eq!(cache.get(&key).await, Ok(None), "the connection that rested was looked at first");
    assert_eq!(cache.count(&Key::of("n", &[]), 1, HOUR).await, Ok(1));
}

#[tokio::test]
async fn a_server_that_was_stopped_costs_one_timeout_and_is_asked_again() {
    let servers = Memcached::fleet(2);
    let (log, memory) = Log::memory(Level::Info);
    let cache = Cache::off();
    let metrics = Metrics::new();
    cache.set_up(Some(&settings(&names(&servers))), &metrics, &log);
    let users: Vec<_> = (0..200).map(|n| key(&format!("user{n}"))).collect();
    for user in &users {
        cache.put(user, b"v", HOUR).await.unwrap();
    }
    servers[0].freeze();
    let start = Instant::now();
    let mut down = 0;
    for user in &users {
        match cache.get(user).await {
            Ok(value) => assert_eq!(value, Some(b"v".to_vec())),
            Err(Error::Down(_) | Error::Silent(_)) => down += 1,
            other => panic!("{other:?}"),
        }
    }
    let slots = start.elapsed().as_secs_f64() / RECONNECT.as_secs_f64() + 1.0;
    assert!(start.elapsed() < TIMEOUT.mul_f64(slots.ceil()) + SECOND / 2, "{:?}", start.elapsed());
    assert!(down > 50, "{down}");
    let status = cache.servers().await;
    let frozen = status.iter().find(|status| *status.server == *servers[0].name()).unwrap();
    assert!(!frozen.is_up && frozen.figures.is_none(), "{frozen:?}");
    assert_eq!(frozen.cause.as_deref(), Some("timed out"));
    let up = format!("gatepost_memcached_up{{server=\"{}\"}} ", servers[0].name());
    assert!(metrics.render().contains(&format!("{up}0\n")), "{}", metrics.render());

    servers[0].thaw();
    for user in &users {
        let value =
            until_async("the server to be asked again", || async { cache.get(user).await.ok() })
                .await;
        assert_eq!(value, Some(b"v".to_vec()), "it has kept all");
    }
    assert!(metrics.render().contains(&format!("{up}1\n")), "{}", metrics.render());
    let lines = memory.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("is down (timed out): what it holds is looked up directly"));
    assert!(lines[1].contains("is back"), "{lines:?}");
}

#[tokio::test]
async fn a_purge_reaches_every_server_and_says_what_was_there() {
    let mut servers = Memcached::fleet(3);
    let wide = cache(&servers);
    // What a smaller fleet has once written lies on the wrong server now.
    let narrow = cache(&servers[..1]);
    let user = (0..).map(|n| key(&format!("user{n}")));
    let mut user = user.take(50);
    let key = loop {
        let key = user.next().unwrap();
        wide.put(&key, b"new", HOUR).await.unwrap();
        if servers[0].count() == 0 {
            break key;
        }
        wide.delete(&key).await.unwrap();
    };
    narrow.put(&key, b"old", HOUR).await.unwrap();
    let values: Vec<_> =
        wide.get_everywhere(&key).await.into_iter().map(|held| held.value.unwrap()).collect();
    assert_eq!(values[0].as_deref(), Some(&b"old"[..]));
    assert_eq!(values.iter().flatten().count(), 2);
    assert_eq!(wide.delete(&key).await, Ok(true));
    assert_eq!(narrow.get(&key).await, Ok(None));

    servers[2].kill();
    let told = wide.delete_everywhere(&key).await;
    let names: Vec<_> = told.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, super::names(&servers));
    assert_eq!(told[0].1, Ok(false));
    assert!(matches!(told[2].1, Err(Error::Down(_))), "{told:?}");
}

#[tokio::test]
async fn each_server_says_how_it_is() {
    let servers = Memcached::fleet(2);
    let cache = cache(&servers);
    for n in 0..20 {
        cache.put(&key(&n.to_string()), b"v", HOUR).await.unwrap();
        cache.get(&key(&n.to_string())).await.unwrap();
    }
    let status = cache.servers().await;
    let figures: Vec<_> = status.iter().map(|status| status.figures.clone().unwrap()).collect();
    assert_eq!(figures.iter().map(|figures| figures.curr_items).sum::<u64>(), 20);
    assert_eq!(figures.iter().map(|figures| figures.get_hits).sum::<u64>(), 20);
    assert!(figures.iter().all(|figures| figures.version.starts_with("1.") && figures.bytes > 0));
    assert!(status.iter().all(|status| status.is_up && status.cause.is_none()));
    assert!(Cache::off().servers().await.is_empty());
}

/// Workers are runtimes of their own: one that is busy, or gone, must not keep others from their
/// connections.
#[test]
fn a_worker_that_is_busy_or_gone_stalls_no_other() {
    let servers = Memcached::fleet(1);
    let cache = cache(&servers);
    let (says, hears) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let own = cache.clone();
    let busy = thread::spawn(move || {
        let runtime = runtime();
        runtime.block_on(own.put(&key("alice"), b"v", HOUR)).unwrap();
        done.send(()).unwrap();
        // Its connections rest, and nobody drives them.
        hears.recv().unwrap();
        runtime.block_on(own.get(&key("alice")))
    });
    is_done.recv().unwrap();
    let other = runtime();
    for _ in 0..20 {
        assert_eq!(other.block_on(cache.get(&key("alice"))), Ok(Some(b"v".to_vec())));
    }
    says.send(()).unwrap();
    assert_eq!(busy.join().unwrap(), Ok(Some(b"v".to_vec())));
    drop(other);
    // On this very thread too.
    assert_eq!(runtime().block_on(cache.get(&key("alice"))), Ok(Some(b"v".to_vec())));
}

#[tokio::test]
async fn no_more_connections_than_configured() {
    let servers = Memcached::fleet(1);
    let cache = cache_of(&Settings { connections: 3, ..settings(&names(&servers)) });
    let calls = (0..100).map(async |n: u32| cache.put(&key(&n.to_string()), b"v", HOUR).await);
    assert!(together::all(calls).await.iter().all(Result::is_ok));
    let stats = servers[0].say("stats", "END");
    let figure = |name: &str| {
        let line = stats.iter().find(|line| line.starts_with(&format!("STAT {name} "))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap()
    };
    // Three of ours, this one, the listener's, and the one that waited for it to start.
    assert!(figure("total_connections") <= 3 + 4, "{stats:?}");
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut child = std::process::Command::new("memcached")
        .args(["-u", "root", "-t", "1", "-m", "16", "-s", &path.display().to_string()])
        .spawn()
        .unwrap();
    let cache = cache_of(&settings(&[format!("unix:{}", path.display())]));
    until_async("memcached to answer", || async {
        cache.put(&key("alice"), b"v", HOUR).await.ok()
    })
    .await;
    let got = cache.get(&key("alice")).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(got, Ok(Some(b"v".to_vec())));
}

#[tokio::test]
async fn a_reload_that_changes_nothing_keeps_the_connections_and_one_that_does_takes_others() {
    let servers = Memcached::fleet(2);
    let (cache, metrics, log) = (Cache::off(), Metrics::new(), Log::silent());
    let clone = cache.clone();
    assert!(!clone.is_on());
    let one = settings(&names(&servers[..1]));
    cache.set_up(Some(&one), &metrics, &log);
    assert!(clone.is_on());
    clone.put(&key("alice"), b"v", HOUR).await.unwrap();
    cache.set_up(Some(&one.clone()), &metrics, &log);
    clone.get(&key("alice")).await.unwrap();
    let stats = servers[0].say("stats", "END");
    let total = stats.iter().find(|line| line.starts_with("STAT total_connections")).unwrap();
    assert!(total.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap() <= 4, "{total}");

    cache.set_up(Some(&settings(&names(&servers[1..]))), &metrics, &log);
    assert_eq!(clone.get(&key("alice")).await, Ok(None));
    let shown = metrics.render();
    assert!(!shown.contains(&format!("up{{server=\"{}\"}}", servers[0].name())), "{shown}");
    assert!(shown.contains(&format!("up{{server=\"{}\"}} 1", servers[1].name())), "{shown}");
    cache.set_up(None, &metrics, &log);
    assert_eq!(clone.get(&key("alice")).await, Err(Error::Off));
}
