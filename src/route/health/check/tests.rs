use std::collections::BTreeSet;
use std::path::Path;

use tokio::time::Instant;

use super::super::probe::Probed;
use super::*;
use crate::http::stub::Book;
use crate::memcached::Cache;
use crate::net::halt::{Trigger, halt};
use crate::observe::{Level, Log, Metrics, names};
use crate::route::Fleet;
use crate::route::group::{Chooser, Limits, Target};
use crate::route::state::directives::Settings as Kept;

const SECOND: Duration = Duration::from_secs(1);

/// Knows who is dead, and remembers who was asked what and when.
#[derive(Debug, Default)]
struct Oracle {
    dead: Mutex<BTreeSet<String>>,
    asked: Mutex<Vec<(Instant, String, Kind)>>,
    hangs: std::sync::atomic::AtomicBool,
}

impl Oracle {
    fn kill(&self, endpoint: &str) {
        self.dead.lock().unwrap().insert(endpoint.to_owned());
    }

    fn raise(&self) {
        self.dead.lock().unwrap().clear();
    }

    fn asked(&self, endpoint: &str) -> Vec<Instant> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, one, _)| one == endpoint).map(|(at, ..)| *at).collect()
    }
}

impl Prober for Oracle {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint, _: Option<&'a str>, kind: Kind) -> Probed<'a> {
        let endpoint = endpoint.to_string();
        let is_dead = self.dead.lock().unwrap().contains(&endpoint);
        self.asked.lock().unwrap().push((Instant::now(), endpoint, kind));
        let hangs = self.hangs.load(std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            if is_dead { Err("refused".to_owned()) } else { Ok(()) }
        })
    }
}

/// One process: a fleet with one group, looked after.
struct House {
    fleet: Fleet,
    group: Arc<Group>,
    names: Names,
    oracle: Arc<Oracle>,
    lines: Box<dyn Fn() -> Vec<String>>,
    stop: Trigger<()>,
}

impl House {
    fn of(text: &str, folder: Option<&Path>, oracle: &Arc<Oracle>) -> Self {
        let fleet = Fleet::new(Cache::off(), Metrics::new());
        let (log, memory) = Log::memory(Level::Notice);
        let settings = Kept { folder: folder.map(Path::to_owned), ..Kept::default() };
        fleet.restore(&settings, &log);
        let block = Block::parse(&format!("upstream stores {{ {text} }}"));
        let group = Arc::new(Group::read(block.blocks("upstream")[0], &Limits::default()));
        assert_eq!(block.faults(), Vec::<String>::new());
        group.join(&fleet.servers);
        let names: Names = Book::of(&[("name.example", &["192.0.2.8", "192.0.2.9"])]);
        let patient = |port| Patient {
            group: Arc::clone(&group),
            kind: Kind::Imap,
            port,
            names: Arc::clone(&names),
            prober: Arc::clone(oracle) as Arc<dyn Prober>,
        };
        let patients = vec![patient(143), patient(143)];
        fleet.follow(&settings, &log, std::iter::once(&*group), patients);
        let (stop, halt) = halt();
        let own = fleet.clone();
        tasks::spawn("look_after", async move { own.look_after(halt).await });
        let lines = Box::new(move || memory.lines());
        Self { fleet, group, names, oracle: Arc::clone(oracle), lines, stop }
    }

    async fn first(&self) -> Option<Target> {
        let mut targets = self.group.targets(&self.names, &Chooser::default());
        targets.next(143).await.map(|target| target.unwrap())
    }

    /// A login as the desk makes it: the next one is tried when one is dead. Says whom it came to.
    async fn log_in(&self) -> Option<String> {
        let mut targets = self.group.targets(&self.names, &Chooser::default());
        while let Some(target) = targets.next(143).await {
            let target = target.unwrap();
            let endpoint = target.endpoint.to_string();
            let slot = target.slot.unwrap();
            if self.oracle.dead.lock().unwrap().contains(&endpoint) {
                slot.failed("connect() failed (111: Connection refused)");
            } else {
                slot.works();
                return Some(endpoint);
            }
        }
        None
    }

    fn told(&self, words: &str) -> usize {
        (self.lines)().iter().filter(|line| line.contains(words)).count()
    }
}

/// R1, all of it: the other one is used from the first failure, the lock comes with the tenth,
/// outlives a restart, and ends with the first test after the recovery.
#[tokio::test(start_paused = true)]
async fn a_dead_server_is_locked_and_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let oracle = Arc::new(Oracle::default());
    let text = "server 192.0.2.1; server 192.0.2.2; lock_after 10;";
    let house = House::of(text, Some(folder.path()), &oracle);
    let (a, b) = ("192.0.2.1:143", "192.0.2.2:143");
    oracle.kill(a);
    for _ in 0..1000 {
        assert_eq!(house.log_in().await.as_deref(), Some(b));
        sleep(SECOND).await;
        if !house.fleet.locks.status().is_empty() {
            break;
        }
    }
    let words =
        "locked upstream 1: stores/192.0.2.1:143 connect() failed (111: Connection refused)";
    assert_eq!(house.told(words), 1, "{:?}", (house.lines)());
    let up = house.fleet.metrics.gauge(&names::SERVER_UP, &["stores", "192.0.2.1"]);
    let locks = ["upstream", "stores/192.0.2.1:143"];
    assert_eq!(up.get(), 0);
    assert_eq!(house.fleet.metrics.counter(&names::SERVER_LOCKS, &locks).get(), 1);
    assert_eq!(house.told("maintenance"), 0, "the other one works");
    house.fleet.store.flush().unwrap();
    house.stop.fire(());

    let house = House::of(text, Some(folder.path()), &oracle);
    assert_eq!(house.fleet.locks.status().len(), 1);
    for _ in 0..100 {
        assert_eq!(house.log_in().await.as_deref(), Some(b));
        sleep(10 * SECOND).await;
    }
    assert_eq!(house.told("locked upstream"), 0, "it was told before");
    let asked = oracle.asked(a);
    assert!((3..=5).contains(&asked.len()), "{asked:?}");

    oracle.raise();
    sleep(300 * SECOND).await;
    assert!(house.fleet.locks.status().is_empty());
    assert_eq!(house.told("upstream 1 available again, unlocked: stores/192.0.2.1:143"), 1);
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        seen.extend(house.log_in().await);
    }
    assert_eq!(seen.len(), 2, "both serve");
}

#[tokio::test(start_paused = true)]
async fn checks_take_a_server_out_and_let_it_in_again() {
    let oracle = Arc::new(Oracle::default());
    let text = "server 192.0.2.1; server 192.0.2.2; server 192.0.2.3 down;
                health_check interval=5s jitter=1s fails=2 passes=2;";
    let house = House::of(text, None, &oracle);
    oracle.kill("192.0.2.1:143");
    sleep(30 * SECOND).await;
    for _ in 0..10 {
        assert_eq!(house.first().await.unwrap().endpoint.to_string(), "192.0.2.2:143");
    }
    assert_eq!(house.told("upstream \"stores\": 192.0.2.1:143 is unhealthy: refused"), 1);
    let asked = oracle.asked("192.0.2.1:143");
    assert!((4..=6).contains(&asked.len()), "{asked:?}");
    for pair in asked.windows(2) {
        let pause = pair[1].duration_since(pair[0]);
        assert!((5 * SECOND..6 * SECOND + SECOND / 10).contains(&pause), "{pause:?}");
    }
    assert!(oracle.asked("192.0.2.3:143").is_empty(), "nobody is sent there");

    // With nobody else the unhealthy one is better than none.
    oracle.kill("192.0.2.2:143");
    sleep(30 * SECOND).await;
    assert!(house.first().await.is_some());
    assert_eq!(house.log_in().await, None);
    assert_eq!(house.told("maintenance began"), 1);

    oracle.raise();
    sleep(30 * SECOND).await;
    assert_eq!(house.told("is healthy again"), 2);
    assert_eq!(house.told("maintenance ended after"), 1, "a check is enough to end it");
    house.stop.fire(());
    sleep(SECOND).await;
    let count = oracle.asked.lock().unwrap().len();
    sleep(60 * SECOND).await;
    assert_eq!(oracle.asked.lock().unwrap().len(), count, "nobody asks any more");
}

#[tokio::test(start_paused = true)]
async fn a_check_ends_a_lock_and_a_silent_server_is_not_waited_for() {
    let oracle = Arc::new(Oracle::default());
    let text = "server 192.0.2.1; server 192.0.2.2; lock_after 1;
                health_check interval=2s timeout=3s type=tcp port=99;";
    let house = House::of(text, None, &oracle);
    oracle.kill("192.0.2.1:143");
    // What is locked before anybody looks would have waited since before a restart.
    sleep(SECOND / 10).await;
    while house.fleet.locks.status().is_empty() {
        house.log_in().await;
    }
    sleep(5 * SECOND).await;
    // The other port is well, and that is what is asked.
    assert!(house.fleet.locks.status().is_empty());
    assert!(
        oracle
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|(_, at, kind)| at.ends_with(":99") && *kind == Kind::Tcp)
    );
    oracle.hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    sleep(10 * SECOND).await;
    assert_eq!(house.told("192.0.2.2:143 is unhealthy: no answer within 3s"), 1);
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_name_is_asked_and_a_reload_changes_who_is() {
    let oracle = Arc::new(Oracle::default());
    let house = House::of("server name.example; health_check interval=1s;", None, &oracle);
    sleep(5 * SECOND).await;
    assert!(oracle.asked("192.0.2.8:143").len() > 2 && oracle.asked("192.0.2.9:143").len() > 2);
    house.fleet.checks.follow(&house.fleet.locks, Vec::new());
    let count = oracle.asked.lock().unwrap().len();
    sleep(5 * SECOND).await;
    assert_eq!(oracle.asked.lock().unwrap().len(), count);
}

#[tokio::test(start_paused = true)]
async fn a_lock_of_a_server_that_is_gone_from_the_configuration_is_forgotten() {
    let oracle = Arc::new(Oracle::default());
    let house = House::of("server 192.0.2.1; server 192.0.2.2; lock_after 1;", None, &oracle);
    oracle.kill("192.0.2.1:143");
    sleep(SECOND).await;
    while house.fleet.locks.status().is_empty() {
        house.log_in().await;
    }
    house.fleet.checks.follow(&house.fleet.locks, Vec::new());
    sleep(301 * SECOND).await;
    assert!(house.fleet.locks.status().is_empty() && oracle.asked("192.0.2.1:143").is_empty());
}
