//! Two nodes over real servers: what one forgets the other forgets, and what becomes of routes when
//! servers die, hang and come back.

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::super::shared::Found;
use super::*;
use crate::memcached::bus::Heard;
use crate::memcached::directives;
use crate::memcached::tests::wait::PATIENCE;
use crate::memcached::tests::{self as servers, Memcached, TIMEOUT, cache_of, until_async};
use crate::net::halt::{Trigger, halt};
use crate::route::Fleet;

const ONE: &str = "192.0.2.1:7993";
const TWO: &str = "192.0.2.2:7993";

/// A node with all that belongs to it: it hears what others say.
pub struct Live {
    pub node: Node,
    fleet: Fleet,
    tasks: [JoinHandle<()>; 2],
    _stop: Trigger,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Live {
    pub fn new(settings: &directives::Settings, reply: Reply) -> Self {
        let fleet = Fleet::new(cache_of(settings), Metrics::new());
        let node = Node::of(fleet.routes.clone(), fleet.metrics.clone(), reply);
        let ((bus, own), (stop, stopped)) = ((fleet.bus.clone(), fleet.clone()), halt());
        let tasks = [
            tasks::spawn("test", async move { bus.run(std::future::pending()).await }),
            tasks::spawn("test", async move { own.look_after(stopped).await }),
        ];
        Self { node, fleet, tasks, _stop: stop }
    }

    /// Logs in, and waits until the servers have it.
    pub async fn log_in(&self, user: &str) {
        let seen = self.node.log_in(user).await;
        let question = self.node.question(user);
        until_async(&format!("{user} to be kept ({seen})"), || async {
            let shared = &self.node.routes.shared;
            let found = shared.get(&question, shared.deadline()).await;
            matches!(found, Found::Entry(..)).then_some(())
        })
        .await;
    }
}

/// Two nodes that hear each other.
async fn two(settings: &directives::Settings) -> (Live, Live) {
    let (one, two) = (Live::new(settings, To(ONE)), Live::new(settings, To(ONE)));
    for (from, to) in [(&one, &two), (&two, &one)] {
        hear(from, to).await;
    }
    (one, two)
}

/// Until `to` hears what `from` says.
async fn hear(from: &Live, to: &Live) {
    let (word, mut ear) = (b"are you there".to_vec(), to.fleet.bus.listen());
    let heard = async {
        loop {
            from.fleet.bus.say(&word).await.unwrap();
            let next = timeout(Duration::from_millis(100), ear.next()).await;
            if next == Ok(Some(Heard::Said(word.clone()))) {
                return;
            }
        }
    };
    timeout(PATIENCE, heard).await.expect("a word that is heard");
}

fn settings_of(fleet: &[Memcached]) -> directives::Settings {
    servers::settings(&servers::names(fleet))
}

/// Zimbra's form, with a key: there are lists, and there is a bus.
fn zimbras_of(fleet: &[Memcached]) -> directives::Settings {
    let keys = Some(servers::keyring(&["1"]));
    directives::Settings { keys, ..servers::zimbras(fleet) }
}

/// Until `node` sees `want`; how long that took.
async fn until_seen(node: &Node, user: &str, want: &str) -> Duration {
    let start = Instant::now();
    until_async(want, || async { (node.see(user).await == want).then_some(()) }).await;
    start.elapsed()
}

#[tokio::test]
async fn what_one_node_has_learnt_the_other_knows_and_what_it_forgets_it_forgets() {
    for size in [2, 3] {
        let fleet = Memcached::fleet(size);
        let settings = settings_of(&fleet);
        let (one, two) = two(&settings).await;
        for purge in [Purge::user("a@x.example"), Purge::domain("x.example"), Purge::All] {
            for live in [&one, &two] {
                live.node.says(To(ONE));
            }
            let (asked, hits) = (two.node.asked(), two.node.told("shared", "hit"));
            one.log_in("a@x.example").await;
            assert_eq!(two.node.see("a@x.example").await, format!("HIT {ONE}"), "{purge:?}");
            assert_eq!(two.node.asked(), asked, "it asks nobody else");
            assert_eq!(two.node.told("shared", "hit"), hits + 1);
            assert_eq!(two.node.see("a@x.example").await, format!("HIT {ONE}"));
            assert_eq!(two.node.told("shared", "hit"), hits + 1, "from then on nor the servers");

            for live in [&one, &two] {
                live.node.says(To(TWO));
            }
            let report = one.node.routes.purge(&purge).await;
            assert!(report.is_told && report.errors.is_empty(), "{report:?}");
            assert_eq!(one.node.see("a@x.example").await, format!("MISS {TWO}"));
            let took = until_seen(&two.node, "a@x.example", &format!("MISS {TWO}")).await;
            assert!(took < SECOND, "{took:?}");
            let three = Live::new(&settings, To(TWO));
            assert_eq!(three.node.see("a@x.example").await, format!("MISS {TWO}"));
            if matches!(purge, Purge::User(_)) {
                // A row for every key and server, and one of them had it.
                assert_eq!(report.rows.len(), report.keys.len() * size);
                let had: Vec<_> = report.rows.iter().filter(|row| row.value.is_some()).collect();
                assert_eq!(had.len(), 1, "{had:?}");
                assert_eq!(had[0].value.as_deref(), Some(ONE));
                assert!(had[0].name.as_ref().is_some_and(|name| name.starts_with("gp1:")));
                assert!(fleet.iter().any(|server| *server.name() == *had[0].server));
            }
        }
    }
}

#[tokio::test]
async fn a_purge_takes_zimbras_entries_off_every_server_with_those_of_clients() {
    for size in [2, 3] {
        let fleet = Memcached::fleet(size);
        let (one, two) = two(&zimbras_of(&fleet)).await;
        // Its own name, a name without a domain, and an alias: the last two by the client's address.
        one.log_in("john@x.example").await;
        one.log_in("john").await;
        one.node.says(As(ONE, "john@x.example"));
        one.log_in("alias@x.example").await;
        let keys = [
            "route:proto=imapssl;user=john@x.example",
            "route:proto=imapssl;user=john@192.0.2.7",
            "alias:user=alias@x.example;ip=192.0.2.7",
        ];
        let find = |text: &str| {
            let name = vectors::name(text);
            fleet.iter().filter(|server| server.get(&name).is_some()).count()
        };
        assert_eq!(keys.map(find), [1; 3]);
        for user in ["john@x.example", "john", "alias@x.example"] {
            assert!(two.node.see(user).await.starts_with("HIT"), "{user}");
            for live in [&one, &two] {
                live.node.says(To(TWO));
            }
        }
        // By the one that has written none of it.
        let report = two.node.routes.purge(&Purge::user("john@x.example")).await;
        assert!(report.errors.is_empty() && report.is_told, "{report:?}");
        assert_eq!(keys.map(find), [0; 3]);
        let had = report.rows.iter().filter(|row| row.value.is_some());
        let mut had: Vec<_> = had.map(|row| (&*row.key, row.value.as_deref().unwrap())).collect();
        had.sort_unstable();
        assert_eq!(had, [(keys[2], "john@x.example"), (keys[1], ONE), (keys[0], ONE)]);
        for user in ["john@x.example", "john", "alias@x.example"] {
            let took = until_seen(&one.node, user, &format!("MISS {TWO}")).await;
            assert!(took < SECOND, "{took:?}");
        }
    }
}

/// Without a key there are neither lists nor orders: what a purge finds by itself is written.
#[tokio::test]
async fn zimbras_form_without_a_key_keeps_what_a_purge_finds() {
    let fleet = Memcached::fleet(2);
    let live = Live::new(&servers::zimbras(&fleet), To(ONE));
    live.log_in("john@x.example").await;
    live.node.says(As(ONE, "mary@x.example"));
    live.node.log_in("maria@x.example").await;
    let of_mary = vectors::name("route:proto=imapssl;user=mary@x.example");
    until_async("the account's route", || async {
        fleet.iter().any(|server| server.get(&of_mary).is_some()).then_some(())
    })
    .await;
    settle().await;
    assert_eq!(fleet.iter().map(Memcached::count).sum::<usize>(), 2, "nothing of the client's");
    for user in ["john@x.example", "mary@x.example"] {
        let report = live.node.routes.purge(&Purge::user(user)).await;
        assert!(!report.is_told, "{report:?}");
        assert_eq!(report.keys.iter().filter(|(_, had_it)| *had_it).count(), 1, "{report:?}");
    }
    assert_eq!(fleet.iter().map(Memcached::count).sum::<usize>(), 0);
}

#[tokio::test]
async fn logins_go_on_when_a_server_dies_and_when_it_is_back() {
    let mut fleet = Memcached::fleet(3);
    let (one, two) = two(&settings_of(&fleet)).await;
    let domains: Vec<_> = (0..15).map(|n| format!("d{n}.example")).collect();
    for domain in &domains {
        one.log_in(&format!("a@{domain}")).await;
        one.log_in(&format!("b@{domain}")).await;
        two.node.see(&format!("a@{domain}")).await;
    }
    fleet[1].kill();
    let start = Instant::now();
    let mut hits = 0;
    for domain in &domains {
        let seen = two.node.see(&format!("b@{domain}")).await;
        assert!(seen == format!("HIT {ONE}") || seen == format!("MISS {ONE}"), "{seen}");
        hits += usize::from(seen.starts_with("HIT"));
        let user = format!("a@{domain}");
        assert_eq!(one.node.see(&user).await, format!("HIT {ONE}"), "the process has kept it");
    }
    assert!((1..domains.len()).contains(&hits), "{hits}");
    assert!(start.elapsed() < SECOND, "a server that refuses is not waited for");
    fleet[1].restart();
    for user in ["a@x.example", "b@x.example", "c@y.example", "d@z.example"] {
        let three = Live::new(&settings_of(&fleet), To(ONE));
        three.log_in(user).await;
        until_seen(&two.node, user, &format!("HIT {ONE}")).await;
    }
}

/// A server that is away takes its own routes alone, though it has what tells whether those of the
/// others were purged.
#[tokio::test]
async fn a_generation_that_cannot_be_asked_for_is_what_it_was_until_an_order_comes() {
    let mut fleet = Memcached::fleet(2);
    let node = Node::on(&cache_of(&settings_of(&fleet)), To(ONE));
    let shared = &node.routes.shared;
    let (question, entry) = (node.question("a@x.example"), {
        let route = node.find("a@x.example").await.unwrap();
        Entry::of(&route).unwrap()
    });
    let all = async || shared.generations_of(&question, &entry, shared.deadline()).await;
    shared.begin(None, 7).await.unwrap();
    let known = all().await.unwrap();
    fleet.iter_mut().for_each(Memcached::kill);
    // Past the time for which it is believed without asking.
    tokio::time::pause();
    tokio::time::advance(SECOND * 60).await;
    tokio::time::resume();
    assert_eq!((known[0], all().await), (7, Ok(known)));
    shared.ask_generations_anew();
    assert!(all().await.is_err());
}

#[tokio::test]
async fn no_server_that_begins_anew_brings_back_what_was_purged() {
    let mut fleet = Memcached::fleet(3);
    let settings = settings_of(&fleet);
    let (one, _two) = two(&settings).await;
    let users: Vec<_> = (0..12).map(|n| format!("user{n}@x.example")).collect();
    for lost in &mut fleet {
        one.node.says(To(ONE));
        for user in &users {
            one.log_in(user).await;
        }
        for purge in [Purge::domain("x.example"), Purge::All] {
            one.node.routes.purge(&purge).await;
        }
        // It takes its routes with it, and perhaps what tells that those of the others are purged.
        lost.restart();
        let generations = [Key::of("generation", &[]), Key::of("generation", &[b"x.example"])];
        for key in generations {
            // Nobody logs in meanwhile: the nodes have noticed by themselves.
            let other = cache_of(&settings);
            until_async("a generation to be put back", || async {
                other.get(&key).await.ok().flatten()
            })
            .await;
        }
        let fresh = Live::new(&settings, To(TWO));
        for user in &users {
            assert_eq!(fresh.node.see(user).await, format!("MISS {TWO}"), "{} {user}", lost.name());
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_login_one_timeout_however_many_keys_it_needs() {
    for frozen in [1, 2] {
        let fleet = Memcached::fleet(3);
        for settings in [settings_of(&fleet), zimbras_of(&fleet)] {
            let learnt = Live::new(&settings, As(ONE, "john@y.example"));
            let users: Vec<_> = (0..8).map(|n| format!("user{n}@d{n}.example")).collect();
            for user in &users {
                learnt.log_in(user).await;
            }
            fleet[..frozen].iter().for_each(Memcached::freeze);
            let finds = users.iter().map(|user| {
                // One that knows nothing yet: neither of generations nor of servers that hang.
                let (settings, user) = (settings.clone(), user.clone());
                tasks::spawn("test", async move {
                    let node = Live::new(&settings, To(ONE));
                    let start = Instant::now();
                    let found = node.node.find(&user).await;
                    (start.elapsed(), show(&found))
                })
            });
            let finds: Vec<_> = finds.collect();
            for find in finds {
                let (took, seen) = find.await.unwrap();
                assert!(took < TIMEOUT + TIMEOUT / 2, "{frozen} {took:?}");
                assert!(seen.contains(ONE), "{seen}");
            }
            fleet.iter().for_each(Memcached::thaw);
        }
    }
}
