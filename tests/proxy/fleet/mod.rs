//! Two gateposts side by side on one cache: what they share, and what each failure does to logins.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    Client, FakeUpstream, Gatepost, Manners, Mechanism, Memcached, Protocol, Site, imap, mail,
    until,
};

mod cache;
mod handlers;
mod injection;
mod shared;
mod sticky;
mod upstream;

/// How the lines of the access log are: who, to where, and whether the route was kept.
const LOG: &str = "log_format fleet 'login=$login cache=$upstream_cache_status at=$upstream_addr'; \
                   access_log logs/access.log fleet;";
/// No login may take longer, whatever has failed behind it.
const LONGEST: Duration = Duration::from_secs(1);

/// A configuration on the cache at `@cache@`, with `inside` its `mail` block.
fn on_cache(more: &str, inside: &str) -> String {
    let server = "server { listen @ip@:@imap@; protocol imap; }";
    let inside = mail(&format!("{LOG} {inside} {server}"));
    format!("memcached {{ server @cache@; key @dir@/fleet.key; reconnect 500ms; {more} }} {inside}")
}

/// One node of the fleet.
fn node(conf: &str, values: &[(&str, &dyn ToString)]) -> Gatepost {
    let site = Site::new();
    site.write("fleet.key", "5ec7e7".repeat(11) + "\n");
    Gatepost::start(site, conf, values)
}

/// Two nodes on one cache.
fn pair(inside: &str, values: &[(&str, &dyn ToString)]) -> [Gatepost; 2] {
    let conf = on_cache("", inside);
    [node(&conf, values), node(&conf, values)]
}

fn client(node: &Gatepost) -> Client {
    Client::greeted(Protocol::Imap, node.imap())
}

/// One login; gives the answer.
fn attempt(node: &Gatepost, user: &str) -> String {
    client(node).try_log_in(Mechanism::Login, user, "pw")
}

/// One login that leads in; gives the session.
#[track_caller]
fn let_in(node: &Gatepost, user: &str) -> Client {
    let mut client = client(node);
    client.log_in(Mechanism::Login, user, "pw");
    client
}

/// One session from login to logout; gives its line in the access log.
#[track_caller]
fn visit(node: &Gatepost, user: &str) -> String {
    let about = format!("login={user} ");
    let lines = || node.access_log().lines().filter(|line| line.contains(&about)).count();
    let before = lines();
    let mut session = let_in(node, user);
    session.ask("LOGOUT").is("OK");
    session.hears_the_end();
    // Its line is written when both sides have closed.
    drop(session);
    until("the session's line", || (lines() > before).then_some(()));
    let log = node.access_log();
    log.lines().rfind(|line| line.contains(&about)).unwrap().to_owned()
}

/// An upstream that lets everybody in and says which it is, as a capability.
fn server(number: usize) -> FakeUpstream {
    FakeUpstream::start(imap(manners(number)))
}

fn manners(number: usize) -> Manners {
    let capabilities = format!("IMAP4rev1 SASL-IR AUTH=PLAIN X-NUMBER-{number}");
    Manners { capabilities, ..Manners::imap() }
}

/// Which server a session is at.
#[track_caller]
fn place(session: &mut Client) -> usize {
    let said = session.capabilities();
    said.rsplit_once("X-NUMBER-").unwrap().1.trim().parse().unwrap()
}

/// `count` logins of users of their own, `at_once` at a time, to the nodes in turn. All lead in; gives
/// how long the slowest took.
#[track_caller]
fn load(nodes: &[Gatepost], tag: &str, count: usize, at_once: usize) -> Duration {
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let work = || {
        let mut slowest = Duration::ZERO;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return slowest;
            }
            let began = Instant::now();
            drop(let_in(&nodes[number % nodes.len()], &format!("{tag}{number}@a.test")));
            slowest = slowest.max(began.elapsed());
        }
    };
    let slowest = thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).max().unwrap()
    });
    let took = start.elapsed();
    eprintln!("{tag}: {count} logins, {at_once} at once, in {took:?}; the slowest: {slowest:?}");
    slowest
}

/// Waits until what was written behind a login's back is there.
fn written(cache: &Memcached, before: usize) {
    let (mut last, mut same) = (0, 0);
    until("the entries to be written", || {
        let count = cache.count();
        same = if count > before && count == last { same + 1 } else { 0 };
        last = count;
        (same == 10).then_some(())
    });
}

/// How often the error log says `text`.
fn told(node: &Gatepost, text: &str) -> usize {
    node.error_log().matches(text).count()
}
