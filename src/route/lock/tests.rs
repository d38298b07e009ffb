use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::net::halt::{Trigger, halt};
use crate::observe::{Log, tasks};

/// Says what it is told to, and when it was asked.
#[derive(Debug, Default)]
struct Oracle {
    is_well: AtomicBool,
    asked: Mutex<Vec<Instant>>,
    count: AtomicUsize,
}

impl Retest for Oracle {
    fn retest(&self) -> Tested<'_> {
        lock(&self.asked).push(Instant::now());
        self.count.fetch_add(1, Ordering::SeqCst);
        let is_well = self.is_well.load(Ordering::SeqCst);
        Box::pin(async move { if is_well { Ok(()) } else { Err("not yet".to_owned()) } })
    }
}

/// What one process has: everything again but the folder.
fn process(folder: Option<&Path>) -> (Locks, Store, Voice) {
    let voice = Voice::default();
    let store = Store::new(voice.clone());
    if let Some(folder) = folder {
        store.open(folder);
    }
    let locks = Locks::new(store.clone(), Clock::at(1_000_000), Metrics::new(), voice.clone());
    locks.restore();
    (locks, store, voice)
}

fn running(locks: &Locks) -> Trigger<()> {
    let (trigger, stop) = halt();
    let own = locks.clone();
    tasks::spawn("locks", async move { own.run(stop).await });
    trigger
}

/// R1: locked at t0, tested every 300 s or a little earlier, unlocked at the first test that goes
/// well, each edge told once.
#[tokio::test(start_paused = true)]
async fn a_lock_ends_with_the_first_test_after_the_recovery() {
    let (locks, _, voice) = process(None);
    let (log, memory) = Log::memory(Level::Notice);
    voice.speak_to(&log);
    let handle = locks.handle(Kind::Upstream, "stores/192.0.2.1:143", 1);
    let oracle = Arc::new(Oracle::default());
    handle.tested_by(oracle.clone());
    let _running = running(&locks);
    tokio::task::yield_now().await;

    let began = Instant::now();
    assert!(!handle.failed("refused", 3) && !handle.failed("refused", 3) && !handle.is_locked());
    assert!(handle.failed("connect() failed (111: Connection refused)", 3) && handle.is_locked());
    assert!(!handle.failed("again", 3), "once is enough");
    sleep(Duration::from_secs(1000)).await;
    let asked = lock(&oracle.asked).clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    let mut last = began;
    for at in asked {
        let pause = at.duration_since(last).as_secs_f64();
        assert!((269.9..300.1).contains(&pause), "{pause}");
        last = at;
    }
    assert!(handle.is_locked());

    oracle.is_well.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(301)).await;
    assert!(!handle.is_locked() && locks.status().is_empty());
    let tested = oracle.count.load(Ordering::SeqCst);
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(oracle.count.load(Ordering::SeqCst), tested, "nothing is locked any more");

    let lines = memory.lines();
    let told = |level: &str, words: &str| {
        lines.iter().filter(|line| line.contains(level) && line.contains(words)).count()
    };
    let words =
        "locked upstream 1: stores/192.0.2.1:143 connect() failed (111: Connection refused)";
    assert_eq!(told("[crit]", words), 1, "{lines:?}");
    assert_eq!(told("[notice]", "upstream 1 available again, unlocked: stores/192.0.2.1:143"), 1);
    assert_eq!(lines.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lock_outlives_a_restart_and_is_tested_soon_after() {
    let folder = tempfile::tempdir().unwrap();
    let (locks, store, _) = process(Some(folder.path()));
    locks.handle(Kind::Lookup, "https://a.example/auth", 2).failed("silent", 1);
    locks.handle(Kind::Upstream, "stores/a", 1);
    assert!(locks.lock(Kind::Upstream, "stores/a", "moving it"));
    store.flush().unwrap();

    let (again, _, _) = process(Some(folder.path()));
    assert_eq!(again.status(), locks.status());
    let handle = again.handle(Kind::Lookup, "https://a.example/auth", 2);
    assert!(handle.is_locked() && !handle.is_locked_by_hand());
    let oracle = Arc::new(Oracle::default());
    oracle.is_well.store(true, Ordering::SeqCst);
    handle.tested_by(oracle);
    let by_hand = again.handle(Kind::Upstream, "stores/a", 1);
    let _running = running(&again);
    sleep(Duration::from_secs(31)).await;
    assert!(!handle.is_locked());
    // Nothing but a hand ends what a hand began.
    sleep(Duration::from_secs(3000)).await;
    assert!(by_hand.is_locked() && !by_hand.works() && by_hand.is_locked());
    assert!(again.unlock(Kind::Upstream, "stores/a") && !by_hand.is_locked());
    assert!(!again.unlock(Kind::Upstream, "stores/a") && !again.lock(Kind::NextHop, "x", ""));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_test_any_more_is_forgotten() {
    let (locks, _, _) = process(None);
    let handle = locks.handle(Kind::NextHop, "mx.example", 1);
    handle.failed("gone", 1);
    let _running = running(&locks);
    sleep(Duration::from_secs(301)).await;
    assert!(!handle.is_locked() && locks.status().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_count_in_a_row_alone() {
    let (locks, _, _) = process(None);
    let handle = locks.handle(Kind::Upstream, "a", 1);
    for _ in 0..10 {
        assert!(!handle.failed("x", 3) && !handle.failed("x", 3) && !handle.works());
    }
    assert!((0..100).all(|_| !handle.failed("x", 0)), "0 locks nothing");
    advance(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_a_file_says_is_not_believed_blindly() {
    let folder = tempfile::tempdir().unwrap();
    let (_, store, _) = process(Some(folder.path()));
    let lock = |name: &str, cause: &str| Lock {
        kind: Kind::Upstream,
        name: name.to_owned(),
        number: 1,
        cause: cause.to_owned(),
        since: 1,
        by_hand: false,
    };
    let long = "x".repeat(LONGEST + 1);
    let bad = [
        lock("", "x"),
        lock("a\r\nb", "x"),
        lock("a", "\x1b[2J"),
        lock(&long, ""),
        lock("a", &long),
    ];
    let mut all = bad.to_vec();
    all.push(lock("good", "x"));
    store.put("locks", &all);
    store.flush().unwrap();
    let (locks, _, _) = process(Some(folder.path()));
    assert_eq!(locks.status(), [lock("good", "x")]);
}

#[test]
fn what_nobody_uses_is_forgotten_before_there_is_too_much() {
    let (locks, _, _) = process(None);
    let kept = locks.handle(Kind::Upstream, "kept", 1);
    locks.handle(Kind::Upstream, "locked", 1).failed("x", 1);
    for n in 0..2 * MOST {
        locks.handle(Kind::NextHop, &format!("mx{n}"), 1);
    }
    assert!(lock(&locks.0.known).len() <= MOST);
    assert!(Arc::ptr_eq(&kept.entry, &locks.handle(Kind::Upstream, "kept", 1).entry));
    assert_eq!(locks.status().len(), 1);
}
