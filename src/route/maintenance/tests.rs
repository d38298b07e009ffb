use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{advance, sleep};

use super::*;
use crate::net::halt::{Trigger, halt};
use crate::observe::{Log, tasks};

const NOW: Seconds = 1_800_000_000;
const HOUR: Seconds = 3600;

/// One node, and what its log says.
struct Node {
    maintenance: Maintenance,
    store: Store,
    lines: Box<dyn Fn() -> Vec<String>>,
}

fn node(cache: &Cache, folder: Option<&std::path::Path>) -> Node {
    let voice = Voice::default();
    let (log, memory) = Log::memory(Level::Notice);
    voice.speak_to(&log);
    let store = Store::new(voice.clone());
    if let Some(folder) = folder {
        store.open(folder);
    }
    let bus = Bus::new(cache.clone());
    let clock = Clock::at(NOW);
    let metrics = Metrics::new();
    let maintenance = Maintenance::new(store.clone(), clock, cache.clone(), bus, &metrics, voice);
    maintenance.restore();
    Node { maintenance, store, lines: Box::new(move || memory.lines()) }
}

impl Node {
    fn told(&self, words: &str) -> usize {
        (self.lines)().iter().filter(|line| line.contains(words)).count()
    }

    fn text(&self, domain: &str) -> Option<String> {
        self.maintenance.in_force(Some(domain)).map(|notice| notice.text)
    }

    fn run(&self) -> Trigger<()> {
        let (trigger, stop) = halt();
        let own = self.maintenance.clone();
        tasks::spawn("maintenance", async move { own.run(stop).await });
        trigger
    }
}

fn domain(name: &str) -> Scope {
    Scope::Domain(name.to_owned())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn by_hand_it_is_for_a_domain_or_for_all_until_it_is_switched_off() {
    let node = node(&Cache::off(), None);
    let it = &node.maintenance;
    let on = |scope, text| it.on(scope, text, None, "root");
    assert_eq!(on(domain("A.example"), some("Moving a")).await, Ok(Reach::Here));
    assert_eq!(node.text("a.EXAMPLE"), some("Moving a"));
    assert_eq!((node.text("b.example"), it.in_force(None)), (None, None));
    on(Scope::All, None).await.unwrap();
    assert_eq!(node.text("a.example"), some("Moving a"), "the nearer one first");
    assert_eq!(node.text("b.example"), some("service unavailable, try again later"));
    // To order it again changes the text, and is no second episode.
    on(domain("a.example"), some("Still moving a")).await.unwrap();
    assert_eq!((node.text("a.example"), it.report().len()), (some("Still moving a"), 2));
    advance(Duration::from_secs(750)).await;
    assert_eq!(it.off(&domain("a.example")).await, (true, Reach::Here));
    assert_eq!(it.off(&domain("a.example")).await, (false, Reach::Here));
    assert_eq!(it.status().len(), 1);
    for (words, count) in [
        ("maintenance began: domain \"a.example\", by root: \"Moving a\"", 1),
        ("maintenance goes on: domain \"a.example\", by root: \"Still moving a\"", 1),
        ("maintenance began: all domains, by root:", 1),
        ("maintenance ended after 00:12:30, domain \"a.example\": switched off", 1),
    ] {
        assert_eq!(node.told(words), count, "{words}: {:?}", (node.lines)());
    }
}

#[tokio::test(start_paused = true)]
async fn by_hand_no_server_that_works_ends_it_but_its_time_does() {
    let node = node(&Cache::off(), None);
    let it = &node.maintenance;
    it.on(Scope::All, None, Some(NOW + HOUR), "root").await.unwrap();
    let _running = node.run();
    it.began("stores", Some("refused"));
    it.ended("stores");
    let notice = it.in_force(None).unwrap();
    assert_eq!((notice.retry_after, notice.is_manual), (Some(HOUR), true));
    sleep(Duration::from_secs(HOUR - 1)).await;
    assert!(it.in_force(None).is_some());
    sleep(Duration::from_secs(2)).await;
    assert!(it.in_force(None).is_none() && it.status().is_empty());
    assert_eq!(node.told("maintenance ended after 01:00:00, all domains: its time is over"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_not_ordered() {
    let node = node(&Cache::off(), None);
    let on = |scope, text, until| node.maintenance.on(scope, text, until, "root");
    assert!(matches!(on(Scope::All, some("[ALERT] x"), None).await, Err(Fault::Text(_))));
    assert_eq!(on(Scope::All, None, Some(NOW)).await, Err(Fault::Past));
    for name in ["", "a b", "a@b", "a\nb"] {
        assert!(matches!(on(domain(name), None, None).await, Err(Fault::Domain(_))), "{name:?}");
    }
    let upstream = Scope::Upstream("stores".to_owned());
    assert!(matches!(on(upstream, None, None).await, Err(Fault::Domain(_))));
    for n in 0..MOST {
        on(domain(&format!("d{n}")), None, None).await.unwrap();
    }
    assert_eq!(on(domain("more"), None, None).await, Err(Fault::TooMany));
}

#[tokio::test(start_paused = true)]
async fn it_outlives_a_restart_with_its_episodes() {
    let folder = tempfile::tempdir().unwrap();
    let first = node(&Cache::off(), Some(folder.path()));
    first.maintenance.on(Scope::All, some("Moving"), None, "root").await.unwrap();
    first.maintenance.began("stores", Some("refused"));
    first.store.flush().unwrap();
    let second = node(&Cache::off(), Some(folder.path()));
    assert_eq!(second.text("a"), some("Moving"));
    assert!(second.maintenance.is_ailing("stores"));
    assert_eq!(second.maintenance.report(), first.maintenance.report());
    second.maintenance.ended("stores");
    assert!(!second.maintenance.is_ailing("stores"));
}

#[tokio::test(start_paused = true)]
async fn the_other_nodes_hear_of_it_and_of_its_end() {
    let cache = Cache::memory();
    let (a, b) = (node(&cache, None), node(&cache, None));
    let reach = a.maintenance.on(Scope::All, some("Moving"), None, "root").await;
    assert_eq!((reach, b.text("x")), (Ok(Reach::Fleet), None));
    b.maintenance.reload().await;
    assert_eq!(b.text("x"), some("Moving"));
    // The other node's order is added to what is on, not put in its place.
    b.maintenance.on(domain("x"), some("Moving x"), None, "root").await.unwrap();
    a.maintenance.reload().await;
    assert_eq!((a.text("x"), a.text("y")), (some("Moving x"), some("Moving")));
    b.maintenance.off(&Scope::All).await;
    a.maintenance.reload().await;
    assert_eq!((a.text("x"), a.text("y")), (some("Moving x"), None));
    // A node that starts later reads it then.
    let c = node(&cache, None);
    let _running = c.run();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(c.text("x"), some("Moving x"));
}

#[tokio::test(start_paused = true)]
async fn without_the_cache_it_is_on_here_and_told_later() {
    let cache = Cache::memory();
    let (a, b) = (node(&cache, None), node(&cache, None));
    cache.break_for_tests(true);
    let reach = a.maintenance.on(Scope::All, None, None, "root").await.unwrap();
    assert!(matches!(reach, Reach::HereOnly(why) if why.contains("down")));
    assert!(a.maintenance.in_force(None).is_some());
    b.maintenance.reload().await;
    assert_eq!(b.told("what maintenance is on cannot be read"), 1);
    cache.break_for_tests(false);
    // Whoever knows more sets the cache right.
    a.maintenance.reload().await;
    b.maintenance.reload().await;
    assert!(b.maintenance.in_force(None).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_no_sheet_changes_nothing() {
    let cache = Cache::memory();
    let a = node(&cache, None);
    a.maintenance.on(Scope::All, some("Moving"), None, "root").await.unwrap();
    for bytes in [
        &b"\xff"[..],
        b"{}",
        br#"{"revision":9,"orders":[["all",{"text":"[ALERT] x","since":1,"until":null,"by":"x"}]]}"#,
    ] {
        let key = crate::memcached::Key::of("maintenance", &[]);
        cache.put(&key, bytes, Duration::from_secs(60)).await.unwrap();
        a.maintenance.reload().await;
        assert!(a.text("x").is_none_or(|text| !text.contains("ALERT")));
        a.maintenance.on(Scope::All, some("Moving"), None, "root").await.unwrap();
        assert_eq!(a.text("x"), some("Moving"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_lasts_too_long_or_comes_too_often_is_an_alert() {
    let node = node(&Cache::off(), None);
    let it = &node.maintenance;
    let _running = node.run();
    it.began("stores", Some("refused"));
    it.began("stores", Some("refused again"));
    sleep(Duration::from_secs(30 * 60)).await;
    assert_eq!(node.told("[alert]"), 0);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(node.told("maintenance of upstream \"stores\" has lasted 00:30:01"), 1);
    sleep(Duration::from_secs(HOUR)).await;
    assert_eq!(node.told("[alert]"), 1, "once");
    it.ended("stores");
    it.ended("stores");
    assert_eq!(node.told("maintenance ended"), 1);
    sleep(Duration::from_secs(86_400)).await;
    it.began("stores", None);
    it.ended("stores");
    let words = "maintenance of upstream \"stores\" began 2 times within 30 days";
    assert_eq!(node.told(words), 1);
    // Another upstream, or a month later: no reason to worry.
    it.began("others", None);
    advance(Duration::from_secs(31 * 86_400)).await;
    it.began("stores", None);
    assert_eq!(node.told("times within"), 1);
    let report = it.report();
    let flags: Vec<_> = report.iter().map(|one| (one.is_long, one.is_often)).collect();
    assert_eq!(flags, [(false, false), (true, false), (false, true), (true, false)]);
    assert_eq!(report[3].episode.cause, "upstream \"stores\" has no usable server: refused");
    let json = serde_json::to_value(&report[3]).unwrap();
    assert_eq!((&json["scope"]["upstream"], &json["began"]), (&"stores".into(), &NOW.into()));
}

#[tokio::test(start_paused = true)]
async fn a_greeting_gives_way_only_where_that_is_wanted() {
    let node = node(&Cache::off(), None);
    let it = &node.maintenance;
    it.on(domain("a"), None, None, "root").await.unwrap();
    it.follow(&Settings { greeting: true, ..Settings::default() });
    assert!(it.at_greeting().is_none(), "nobody knows the domain yet");
    it.on(Scope::All, None, None, "root").await.unwrap();
    assert!(it.at_greeting().is_some());
    it.follow(&Settings::default());
    assert!(it.at_greeting().is_none());
}

#[test]
fn the_history_is_bounded_and_keeps_what_goes_on() {
    let mut history = History::default();
    assert!(history.begin(Episode::new(domain("open"), "x", 0, true)));
    for n in 0..1000 {
        let scope = Scope::Upstream(format!("u{n}"));
        history.begin(Episode::new(scope.clone(), "x", n, false));
        history.end(&scope, n + 1);
    }
    assert_eq!(history.report(2000, 1, 1).len(), 200);
    assert_eq!(history.all_open().count(), 1);
}

proptest! {
    #[test]
    fn any_section_is_read_or_refused(
        text in "\\{\"revision\":[0-9]{1,3},\"orders\":\\[(\\[(\"all\"|\\{\"domain\":\"[a-z.A]{0,4}\"\\}|\\{\"upstream\":\"x\"\\}),\\{\"text\":(null|\"[\\[a-zü ]{0,9}\"),\"since\":1,\"until\":(null|5),\"by\":\"\\PC{0,5}\"\\}\\]){0,1}\\]\\}",
    ) {
        hold_for_any(text.as_bytes());
    }
}
