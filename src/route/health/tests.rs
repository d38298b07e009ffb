use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::advance;

use super::servers::Duty;
use crate::config::Block;
use crate::http::Names;
use crate::http::stub::Book;
use crate::memcached::Cache;
use crate::observe::{Level, Log, Metrics, names};
use crate::route::Fleet;
use crate::route::group::{Chooser, Group, Limits, Target, Targets};
use crate::route::lock::Kind;
use crate::route::order::Order;

const SECOND: Duration = Duration::from_secs(1);

/// A fleet of one node, and the group `stores` of `text` in it.
struct House {
    fleet: Fleet,
    group: Group,
    book: Arc<Book>,
    names: Names,
}

impl House {
    fn of(text: &str) -> Self {
        let fleet = Fleet::new(Cache::off(), Metrics::new());
        let group = Self::group(text, &fleet);
        let book = Book::of(&[("name.example", &["192.0.2.1", "192.0.2.2"])]);
        let names: Names = Arc::clone(&book) as Names;
        Self { fleet, group, book, names }
    }

    fn group(text: &str, fleet: &Fleet) -> Group {
        let block = Block::parse(&format!("upstream stores {{ {text} }}"));
        let group = Group::read(block.blocks("upstream")[0], &Limits::default());
        assert_eq!(block.faults(), Vec::<String>::new());
        group.join(&fleet.servers);
        group
    }

    fn targets(&self, login: &str) -> Targets {
        let chooser = Chooser { login: login.as_bytes().into(), client: None, protocol: "imap" };
        self.group.targets(&self.names, &chooser)
    }

    /// The first target of a login.
    async fn first(&self, login: &str) -> Option<Target> {
        self.targets(login).next(143).await.map(|target| target.unwrap())
    }

    /// All servers of a login, in their order, each failing.
    async fn all_fail(&self, login: &str) -> Vec<String> {
        let (mut targets, mut all) = (self.targets(login), Vec::new());
        while let Some(target) = targets.next(143).await {
            let target = target.unwrap();
            target.slot.unwrap().failed("connect() failed");
            all.push(target.endpoint.ip().unwrap().to_string());
        }
        all
    }

    /// How often each of the `count` logins that stay comes first to each server.
    async fn spread(&self, count: usize) -> (HashMap<String, usize>, Vec<Target>) {
        let (mut shares, mut held) = (HashMap::new(), Vec::new());
        for n in 0..count {
            let target = self.first(&format!("user{n}@example.com")).await.unwrap();
            *shares.entry(target.server.as_deref().unwrap().to_owned()).or_default() += 1;
            held.push(target);
        }
        (shares, held)
    }

    fn gauge(&self, name: &names::Name, server: &str) -> i64 {
        self.fleet.metrics.gauge(name, &["stores", server]).get()
    }
}

fn works(target: &Target) {
    target.slot.as_ref().unwrap().works();
}

fn fails(target: &Target) {
    target.slot.as_ref().unwrap().failed("connect() failed (111: Connection refused)");
}

fn name(target: &Target) -> &str {
    target.server.as_deref().unwrap()
}

#[tokio::test]
async fn each_method_spreads_logins_as_its_weights_say() {
    let servers = "server 192.0.2.1 weight=3; server 192.0.2.2; server 192.0.2.3;";
    for (method, tolerance) in [
        ("", 0),
        ("least_conn;", 2),
        ("random;", 150),
        ("random two;", 250),
        ("hash $login;", 250),
        ("hash $login consistent;", 400),
    ] {
        let house = House::of(&format!("{method} {servers}"));
        let (shares, _held) = house.spread(5000).await;
        for (server, want) in [("192.0.2.1", 3000_usize), ("192.0.2.2", 1000), ("192.0.2.3", 1000)]
        {
            let share = shares[server];
            assert!(share.abs_diff(want) <= tolerance, "{method} {server}: {share}, not {want}");
        }
    }
}

#[tokio::test]
async fn the_same_login_meets_the_same_server_and_address_whatever_its_case() {
    let house = House::of("hash $login consistent; server name.example; server 192.0.2.3;");
    for n in 0..50 {
        let user = format!("user{n}@example.com");
        let first = house.first(&user).await.unwrap().endpoint;
        let again = house.first(&user.to_uppercase()).await.unwrap().endpoint;
        assert_eq!(first, again);
    }
}

#[tokio::test]
async fn connections_are_counted_while_they_live_and_shown() {
    let house = House::of("server 192.0.2.1 max_conns=2; server 192.0.2.2 max_conns=1;");
    let (_, mut held) = house.spread(3).await;
    assert_eq!(house.gauge(&names::SERVER_SESSIONS, "192.0.2.1"), 2);
    assert!(house.first("late").await.is_none(), "all are full");
    assert_eq!(house.fleet.maintenance.status(), [], "full is not down");
    held.retain(|target| name(target) != "192.0.2.2");
    assert_eq!(house.gauge(&names::SERVER_SESSIONS, "192.0.2.2"), 0);
    assert_eq!(name(&house.first("late").await.unwrap()), "192.0.2.2");
}

#[tokio::test(start_paused = true)]
async fn traffic_goes_to_the_others_from_the_first_failure() {
    let house = House::of("server 192.0.2.1; server 192.0.2.2;");
    let mut targets = house.targets("u");
    let first = targets.next(143).await.unwrap().unwrap();
    fails(&first);
    let second = targets.next(143).await.unwrap().unwrap();
    works(&second);
    assert_eq!((name(&first), name(&second)), ("192.0.2.1", "192.0.2.2"));
    assert_eq!(house.gauge(&names::SERVER_UP, "192.0.2.1"), 0);
    for _ in 0..20 {
        assert_eq!(name(&house.first("u").await.unwrap()), "192.0.2.2");
    }
    // After the time one login tries it, and the others wait for what comes of it.
    advance(10 * SECOND).await;
    let (shares, held) = house.spread(10).await;
    assert_eq!((shares["192.0.2.1"], shares["192.0.2.2"]), (1, 9));
    works(held.iter().find(|target| name(target) == "192.0.2.1").unwrap());
    assert_eq!(house.gauge(&names::SERVER_UP, "192.0.2.1"), 1);
    let (shares, _held) = house.spread(10).await;
    assert!(shares["192.0.2.1"] >= 5, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn if_all_have_failed_the_oldest_failure_is_tried_first() {
    let house = House::of("server 192.0.2.1; server 192.0.2.2; server 192.0.2.3 down;");
    assert_eq!(house.all_fail("u").await, ["192.0.2.1", "192.0.2.2"]);
    advance(SECOND).await;
    let mut targets = house.targets("u");
    fails(&targets.next(143).await.unwrap().unwrap());
    drop(targets);
    advance(SECOND).await;
    // The first one has failed again a second ago, the second two seconds ago.
    assert_eq!(house.all_fail("u").await, ["192.0.2.2", "192.0.2.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_backup_serves_only_while_no_other_does() {
    let house =
        House::of("server 192.0.2.9 backup; server 192.0.2.1; server 192.0.2.2 max_conns=1;");
    let (shares, held) = house.spread(30).await;
    assert_eq!(shares.get("192.0.2.9"), None, "{shares:?}");
    for target in held.iter().filter(|target| name(target) == "192.0.2.1").take(1) {
        fails(target);
    }
    // The one has failed, the other is full.
    assert_eq!(name(&house.first("u").await.unwrap()), "192.0.2.9");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_is_eased_in() {
    let house = House::of("server 192.0.2.1 slow_start=100s; server 192.0.2.2;");
    let (_, held) = house.spread(2).await;
    fails(&held[0]);
    advance(10 * SECOND).await;
    works(&held[0]);
    let mut shares = Vec::new();
    for _ in 0..3 {
        // Half of each span is over when it is measured.
        advance(25 * SECOND).await;
        let mut count = 0;
        for _ in 0..1000 {
            count += usize::from(name(&house.first("u").await.unwrap()) == "192.0.2.1");
        }
        shares.push(count);
        advance(8 * SECOND).await;
    }
    advance(100 * SECOND).await;
    let (whole, _held) = house.spread(1000).await;
    assert_eq!(whole["192.0.2.1"], 500);
    // 25 %, 58 % and 91 % of its weight.
    for (share, want) in shares.iter().zip([200_usize, 367, 476]) {
        assert!(share.abs_diff(want) < 20, "{shares:?}");
    }
}

#[tokio::test]
async fn a_preferred_server_is_first_as_long_as_it_may_be_used() {
    let house =
        House::of("server 192.0.2.1 max_conns=20; server 192.0.2.2; server 192.0.2.3 backup;");
    let preferred = async |server: &str| {
        let mut targets = house.targets("u");
        assert!(targets.prefer(server));
        targets.next(143).await.unwrap().unwrap()
    };
    for server in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"] {
        for _ in 0..5 {
            assert_eq!(name(&preferred(server).await), server);
        }
    }
    assert!(!house.targets("u").prefer("192.0.2.4"), "nobody knows it");
    house.fleet.servers.drain("stores", "192.0.2.1", true).unwrap();
    assert_eq!(name(&preferred("192.0.2.1").await), "192.0.2.2", "sticky users move");
}

#[tokio::test]
async fn a_drained_server_gets_no_new_session_and_keeps_those_it_has() {
    let house = House::of("server 192.0.2.1; server 192.0.2.2;");
    let held = house.first("u").await.unwrap();
    assert_eq!(name(&held), "192.0.2.1");
    let servers = &house.fleet.servers;
    servers.drain("stores", "192.0.2.1", true).unwrap();
    let (shares, _others) = house.spread(10).await;
    assert_eq!(shares["192.0.2.2"], 10);
    assert_eq!(house.gauge(&names::SERVER_SESSIONS, "192.0.2.1"), 1);
    assert_eq!(house.gauge(&names::SERVER_UP, "192.0.2.1"), 0);
    let wanted = ("stores".to_owned(), "192.0.2.1".to_owned(), Duty::Drained);
    assert_eq!(servers.drained(), [wanted]);
    // Not even if it is all there is.
    servers.drain("stores", "192.0.2.2", true).unwrap();
    assert!(house.first("u").await.is_none());
    let (stores, server) = ("stores".to_owned(), "192.0.2.1".to_owned());
    let undrain = Order::Drain { upstream: stores, server, is_on: false, end: false, stamp: None };
    servers.obey(&undrain);
    assert_eq!(name(&house.first("u").await.unwrap()), "192.0.2.1");
    for (upstream, server, want) in [
        ("nix", "192.0.2.1", "no upstream \"nix\""),
        ("stores", "nix", "no server \"nix\" in upstream \"stores\""),
    ] {
        assert_eq!(servers.drain(upstream, server, true).unwrap_err().to_string(), want);
    }
}

#[tokio::test]
async fn what_is_known_outlives_a_reload_and_is_forgotten_with_the_last_session() {
    let house = House::of("server 192.0.2.1 max_conns=5; server 192.0.2.2;");
    let held = house.first("u").await.unwrap();
    fails(&held);
    let new = House {
        group: House::group("server 192.0.2.1 weight=2; server 192.0.2.3;", &house.fleet),
        ..house
    };
    // It is not in force yet: nothing is forgotten.
    assert_eq!(new.fleet.servers.status().len(), 3);
    new.fleet.servers.settle(std::iter::once(&new.group));
    let status = new.fleet.servers.status();
    assert_eq!(
        (status.len(), status[0].sessions, status[0].is_up, status[0].weight),
        (2, 1, false, 2)
    );
    assert_eq!(name(&new.first("u").await.unwrap()), "192.0.2.3");
    new.fleet.servers.settle(std::iter::empty());
    assert_eq!(new.gauge(&names::SERVER_SESSIONS, "192.0.2.1"), 1, "somebody is there still");
    drop(held);
    new.fleet.servers.settle(std::iter::empty());
    assert!(new.fleet.servers.status().is_empty());
    assert!(!new.fleet.metrics.render().contains("server=\"192.0.2.3\""));
}

#[tokio::test(start_paused = true)]
async fn each_address_of_a_name_is_judged_by_itself() {
    let house = House::of("server name.example;");
    let first = house.first("u").await.unwrap();
    fails(&first);
    for _ in 0..10 {
        assert_ne!(house.first("u").await.unwrap().endpoint, first.endpoint);
    }
    let status = house.fleet.servers.status().remove(0);
    assert!(status.is_up, "one of two will do");
    assert_eq!(status.addresses.iter().filter(|address| address.is_up).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_one_protocol_may_work_in_another() {
    let house = House::of("server 192.0.2.1; lock_after 2;");
    for _ in 0..2 {
        house.all_fail("u").await;
    }
    let locked = house.fleet.locks.status();
    assert_eq!(locked.iter().map(|lock| &*lock.name).collect::<Vec<_>>(), ["stores/192.0.2.1:143"]);
    let pop3 = house.targets("u").next(110).await.unwrap().unwrap();
    assert_eq!(pop3.endpoint.to_string(), "192.0.2.1:110");
}

#[tokio::test(start_paused = true)]
async fn while_all_are_locked_one_login_in_a_while_may_try() {
    let house = House::of("server 192.0.2.1 fail_timeout=5s; lock_after 1;");
    assert_eq!(house.all_fail("u").await.len(), 1);
    assert_eq!(house.all_fail("u").await.len(), 1, "nobody has tried yet");
    assert_eq!(house.all_fail("u").await.len(), 0);
    advance(5 * SECOND).await;
    let target = house.first("u").await.unwrap();
    assert!(house.first("u").await.is_none());
    works(&target);
    assert!(house.first("u").await.is_some() && house.fleet.locks.status().is_empty());
    // By hand is by hand.
    assert!(house.fleet.locks.lock(Kind::Upstream, "stores/192.0.2.1:143", "moving"));
    advance(600 * SECOND).await;
    assert!(house.first("u").await.is_none());
    works(&target);
    assert_eq!(house.fleet.locks.status().len(), 1);
    assert!(house.fleet.locks.unlock(Kind::Upstream, "stores/192.0.2.1:143"));
    assert!(house.first("u").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_ignored_do_nothing() {
    let house = House::of("max_fails 0; lock_after 1; server 192.0.2.1; server 192.0.2.2;");
    for _ in 0..50 {
        assert_eq!(house.all_fail("u").await.len(), 2);
    }
    assert!(house.fleet.locks.status().is_empty() && house.fleet.maintenance.status().is_empty());
}

#[tokio::test(start_paused = true)]
async fn maintenance_begins_with_nobody_left_and_ends_with_the_first_that_works() {
    let house = House::of("server 192.0.2.1; server 192.0.2.2;");
    let (log, memory) = Log::memory(Level::Notice);
    house.fleet.voice.speak_to(&log);
    let (maintenance, gauge) =
        (&house.fleet.maintenance, house.fleet.metrics.gauge(&names::MAINTENANCE, &[]));
    for _ in 0..3 {
        house.all_fail("u").await;
        assert!(maintenance.of_upstream("stores").is_some());
        assert_eq!(gauge.get(), 1);
    }
    works(&house.first("u").await.unwrap());
    assert!(maintenance.of_upstream("stores").is_none());
    assert_eq!(gauge.get(), 0);
    let lines = memory.lines();
    let told = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(
        told("maintenance began: upstream \"stores\" has no usable server: connect() failed"),
        1,
        "{lines:?}"
    );
    assert_eq!(told("maintenance ended after 00:00:00, upstream \"stores\" works again"), 1);
}

#[tokio::test(start_paused = true)]
async fn names_without_an_address_are_servers_that_are_down() {
    for limits in ["", "max_fails=0 fail_timeout=0"] {
        let text = format!("server a.example {limits}; server b.example {limits};");
        let house = House::of(&text);
        let maintenance = &house.fleet.maintenance;
        let (log, memory) = Log::memory(Level::Warn);
        house.fleet.voice.speak_to(&log);
        for _ in 0..3 {
            let (mut targets, mut lost) = (house.targets("u"), 0);
            while let Some(target) = targets.next(143).await {
                assert!(target.is_err());
                lost += 1;
            }
            assert_eq!(lost, 2, "each once in one login");
            assert!(maintenance.of_upstream("stores").is_some(), "{limits:?}");
        }
        assert_eq!(house.gauge(&names::SERVER_UP, "a.example"), 0);
        let lines = memory.lines().join("\n");
        assert!(lines.contains("has no usable server: "), "{lines}");
        assert_eq!(lines.matches("a.example has no address").count(), 1, "{lines}");
        // The next login finds it as soon as the name has an address.
        house.book.write("a.example", &["192.0.2.9"]);
        let found = house.targets("u").next(143).await;
        let Some(Ok(found)) = found else { panic!("it is asked for in vain: {found:?}") };
        works(&found);
        assert!(maintenance.of_upstream("stores").is_none());
        assert_eq!(house.gauge(&names::SERVER_UP, "a.example"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_address_keeps_nobody_waiting_who_can_go_elsewhere() {
    let house = House::of("server gone.example; server 192.0.2.1;");
    // Whoever meets it goes on to the other one.
    let mut targets = house.targets("u");
    assert!(targets.next(143).await.unwrap().is_err());
    assert_eq!(name(&targets.next(143).await.unwrap().unwrap()), "192.0.2.1");
    let asked = || house.book.asked.load(std::sync::atomic::Ordering::SeqCst);
    let before = asked();
    for _ in 0..10 {
        assert_eq!(name(&house.first("u").await.unwrap()), "192.0.2.1");
    }
    assert_eq!(asked(), before);
    assert!(house.fleet.maintenance.of_upstream("stores").is_none());
    // After `fail_timeout` somebody asks for it again.
    advance(11 * SECOND).await;
    house.book.write("gone.example", &["192.0.2.9"]);
    let (shares, _) = house.spread(4).await;
    assert_eq!(shares["gone.example"], 2);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_login_takes_is_known() {
    let house = House::of("server 192.0.2.1;");
    let target = house.first("u").await.unwrap();
    advance(Duration::from_millis(80)).await;
    works(&target);
    assert_eq!(house.fleet.servers.status()[0].addresses[0].login_ms, Some(80));
}

/// What may happen to a server.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Fails,
    Works,
    Drained,
    Back,
    Locked,
    Passes,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happened before: no server that is down or drained is ever given, none that has
    /// failed while one is left that has not, none twice, and it ends.
    #[test]
    fn the_next_one_is_never_worse_than_it_must_be(
        method in prop::sample::select(vec!["", "least_conn;", "random two;", "hash $login consistent;", "hash $login;"]),
        fates in prop::collection::vec((0_usize..5, prop::sample::select(vec![
            Fate::Fails, Fate::Works, Fate::Drained, Fate::Back, Fate::Locked, Fate::Passes,
        ])), 0..40),
        preferred in 0_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let text = "server 192.0.2.1; server 192.0.2.2 weight=2; server 192.0.2.3; server name.example; server 192.0.2.5 down;";
            let house = House::of(&format!("{method} {text}"));
            let servers = Arc::clone(house.group.servers());
            let ward = house.group.ward();
            for (at, fate) in fates {
                let server = &servers[at];
                let text = &*server.text;
                let endpoints = server.addresses(&house.names, 143).await.unwrap();
                match fate {
                    Fate::Fails | Fate::Works => {
                        ward.fit(server, at + 1, 143);
                        for endpoint in &endpoints {
                            match fate {
                                Fate::Fails => ward.failed(server, 143, endpoint, "x"),
                                _ => ward.works(server, 143, endpoint, None),
                            }
                        }
                    }
                    Fate::Drained => house.fleet.servers.drain("stores", text, true).unwrap(),
                    Fate::Back => house.fleet.servers.drain("stores", text, false).unwrap(),
                    Fate::Locked => {
                        let lock = ward.handle(server, at + 1, 143);
                        lock.failed("x", 1);
                    }
                    Fate::Passes => advance(3 * SECOND).await,
                }
            }
            let fit: Vec<_> = servers.iter().enumerate().map(|(at, server)| ward.fit(server, at + 1, 143)).collect();
            let mut targets = house.targets("mrose@example.com");
            targets.prefer(&servers[preferred].text);
            let (mut given, mut held, mut worst) = (Vec::new(), Vec::new(), 0);
            while let Some(target) = targets.next(143).await {
                let target = target.unwrap();
                let at = servers.iter().position(|one| Some(&one.text) == target.server.as_ref()).unwrap();
                let rank = match fit[at] {
                    super::Fit::Good => 0,
                    super::Fit::Failing => 1,
                    super::Fit::Locked => 2,
                    super::Fit::Full | super::Fit::Off => panic!("{} is off", servers[at]),
                };
                // An address of a good server may have failed by itself.
                prop_assert!(rank >= worst || given.iter().any(|(one, _)| *one == at));
                worst = worst.max(rank);
                prop_assert!(!given.contains(&(at, target.endpoint.clone())));
                given.push((at, target.endpoint.clone()));
                held.push(target);
                prop_assert!(given.len() <= 6);
            }
            prop_assert!(targets.next(143).await.is_none());
            let may_serve = fit.iter().any(|fit| matches!(fit, super::Fit::Good | super::Fit::Failing));
            prop_assert_eq!(may_serve, held.iter().any(|target| {
                let at = servers.iter().position(|one| Some(&one.text) == target.server.as_ref());
                fit[at.unwrap()] != super::Fit::Locked
            }));
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn sessions_of_an_older_configuration_still_find_their_servers() {
    let house = House::of("server 192.0.2.1; server 192.0.2.2;");
    let new = House::group("server 192.0.2.3;", &house.fleet);
    house.fleet.servers.settle(std::iter::once(&new));
    let (shares, held) = house.spread(10).await;
    assert_eq!((shares["192.0.2.1"], shares["192.0.2.2"]), (5, 5));
    drop(held);
    assert_eq!(house.fleet.servers.status().len(), 1, "and leave nothing behind");
    assert!(!house.fleet.metrics.render().contains("server=\"192.0.2.1\""));
}

#[tokio::test(start_paused = true)]
async fn a_lock_shows_in_the_figures_whoever_puts_it_on() {
    let house = House::of("server 192.0.2.1; server 192.0.2.2;");
    drop(house.first("u").await);
    let name = "stores/192.0.2.1:143";
    assert!(house.fleet.locks.lock(Kind::Upstream, name, "moving"));
    drop(house.first("u").await);
    assert_eq!(house.gauge(&names::SERVER_UP, "192.0.2.1"), 0);
    assert!(house.fleet.locks.unlock(Kind::Upstream, name));
    drop(house.first("u").await);
    assert_eq!(house.gauge(&names::SERVER_UP, "192.0.2.1"), 1);
}
