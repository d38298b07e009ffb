//! The engine, on a paused clock and wires in memory: what takes time is what a handler is told to
//! take.

mod flights;
mod health;
mod keep;

use std::net::SocketAddr;

use tokio::time::{Instant, advance};

use super::*;
use crate::config::Block;
use crate::http::Client;
use crate::http::stub::{Book, Reply, Stub};
use crate::memcached::Cache;
use crate::net::Endpoint;
use crate::observe::{Metrics, tasks};

const MS: Duration = Duration::from_millis(1);

type Script = Box<dyn Fn(usize, usize, &str) -> Reply + Send + Sync>;

/// A lookup `a` with a handler for each script, and who hears what they are asked.
struct Rig {
    handler: Handler,
    fleet: Fleet,
    stubs: Vec<Stub>,
}

fn rig(conf: &str, scripts: Vec<Script>) -> Rig {
    let fleet = Fleet::new(Cache::off(), Metrics::new());
    rig_with(conf, scripts, fleet)
}

fn rig_with(conf: &str, scripts: Vec<Script>, fleet: Fleet) -> Rig {
    let urls: Vec<_> =
        (1..=scripts.len()).map(|index| format!("handler http://h{index}/a?k=1;")).collect();
    let urls = if conf.contains("handler ") { String::new() } else { urls.concat() };
    let block = Block::parse(&format!("lookup a {{ {urls} {conf} }}"));
    let settings = Settings::read(&block, &Settings::default());
    assert_eq!(block.shared().faults.sorted(&[]), Ok(()), "{conf}");
    let names: Names = Book::of(&[]);
    let mut all = Handler::all(&settings, &names, &mut Connectors::default(), &fleet).unwrap();
    let mut handler = all.remove(0);
    handler.take_effect();
    let mut stubs = Vec::new();
    let lookup = Arc::get_mut(&mut handler.0).unwrap();
    for (peer, script) in lookup.peers.iter_mut().zip(scripts) {
        let (stub, wire) = Stub::wire(script);
        let peer = Arc::get_mut(peer).unwrap();
        let idle = Client::new(peer.url.origin.clone(), Arc::clone(&names), Vec::new());
        peer.client = std::mem::replace(&mut peer.client, idle).wired(wire);
        stubs.push(stub);
    }
    Rig { handler, fleet, stubs }
}

fn ok() -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAuth-Status: OK\r\nAuth-Server: 192.0.2.9\r\n\
     Auth-Port: 143\r\n\r\n"
        .to_owned()
}

fn after(time: Duration) -> Script {
    Box::new(move |_, _, _| Reply::Later(time, ok()))
}

fn hanging() -> Script {
    Box::new(|_, _, _| Reply::Hang)
}

fn failing() -> Script {
    Box::new(|_, _, _| Reply::Keep("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned()))
}

fn attempt(user: &str) -> Attempt {
    Attempt::new(Mechanism::Plain, user.as_bytes(), Secret::new("tanstaaf"))
}

fn asker(client: &str) -> Asker {
    Asker {
        protocol: "imap",
        client: Endpoint::Tcp(SocketAddr::new(client.parse().unwrap(), 4711)),
        host: None,
        local: Endpoint::Tcp("192.0.2.2:143".parse().unwrap()),
        secure_upstream: false,
        attempt: 1,
        tls: None,
        proxied: None,
        headers: Vec::new(),
    }
}

async fn ask(handler: &Handler) -> (Result<Ruling, Error>, Duration) {
    let began = Instant::now();
    let nobody = |_: Error| {};
    let ruling = handler.ask(&attempt("mrose"), &asker("192.0.2.1"), &nobody).await;
    (ruling, began.elapsed())
}

/// Asks `count` times, a question each `every`, and gives the longest that one took; all get an
/// answer.
async fn ask_many(handler: &Handler, count: usize, every: Duration) -> Duration {
    let mut asking = Vec::new();
    for _ in 0..count {
        let handler = handler.clone();
        asking.push(tasks::spawn("test", async move {
            let (ruling, took) = ask(&handler).await;
            assert!(matches!(ruling, Ok(Ruling::Accepted(..))), "{ruling:?}");
            took
        }));
        if !every.is_zero() {
            sleep(every).await;
        }
    }
    let mut longest = Duration::ZERO;
    for task in asking {
        longest = longest.max(task.await.unwrap());
    }
    longest
}

impl Rig {
    fn asked(&self) -> Vec<usize> {
        self.stubs.iter().map(|stub| stub.heads().len()).collect()
    }

    /// What is told, as it is told.
    fn edges(&self) -> Vec<String> {
        self.handler.edges().map(|edge| edge.to_string()).collect()
    }
}

/// Answers after 10 ms until `is_on`, and then hangs.
fn hanging_if(is_on: &Arc<std::sync::atomic::AtomicBool>) -> Script {
    let is_on = Arc::clone(is_on);
    Box::new(move |_, _, _| match is_on.load(Ordering::SeqCst) {
        true => Reply::Hang,
        false => Reply::Later(10 * MS, ok()),
    })
}

#[tokio::test(start_paused = true)]
async fn one_of_three_hangs_and_a_login_waits_for_what_is_usual() {
    let hangs = Arc::default();
    let rig = rig("", vec![hanging_if(&hangs), after(10 * MS), after(10 * MS)]);
    for _ in 0..100 {
        ask_many(&rig.handler, 3, Duration::ZERO).await;
    }
    hangs.store(true, Ordering::SeqCst);
    let before = rig.asked()[0];
    for _ in 0..60 {
        let (ruling, took) = ask(&rig.handler).await;
        // Once in 20 times it takes 10 ms, so that is how long one waits; and 10 ms for the other.
        assert!(ruling.is_ok() && took < 30 * MS, "{took:?}");
        advance(300 * MS).await;
    }
    assert!(rig.asked()[0] > before, "nobody asked the one that hangs");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_logins_at_once_while_one_hangs_take_less_than_a_second() {
    let rig = rig("", vec![hanging(), after(20 * MS), after(20 * MS)]);
    let longest = ask_many(&rig.handler, 1000, Duration::ZERO).await;
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert!(rig.asked()[0] > 100, "{:?}", rig.asked());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_logins_a_second_while_one_hangs_take_less_than_a_second() {
    let rig = rig("", vec![after(20 * MS), hanging(), after(20 * MS)]);
    let longest = ask_many(&rig.handler, 3000, MS).await;
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // It is found out, and few have met it.
    assert!(rig.asked()[1] < 300, "{:?}", rig.asked());
    let told = rig.edges();
    assert_eq!(
        told,
        ["lookup handler http://h2:80/a set aside after 3 failures: timed out (110: Connection \
             timed out)"]
    );
}

#[tokio::test(start_paused = true)]
async fn two_of_three_hang_and_a_login_takes_less_than_a_second() {
    let rig = rig("", vec![hanging(), after(10 * MS), hanging()]);
    for _ in 0..20 {
        let (ruling, took) = ask(&rig.handler).await;
        assert!(ruling.is_ok() && took < Duration::from_secs(1), "{took:?}");
        advance(100 * MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_are_slow_few_questions_are_asked_twice() {
    let slow: Arc<std::sync::atomic::AtomicBool> = Arc::default();
    let script = || {
        let slow = Arc::clone(&slow);
        let script = move |_, _, _: &str| {
            Reply::Later(if slow.load(Ordering::SeqCst) { 900 * MS } else { 10 * MS }, ok())
        };
        Box::new(script) as Script
    };
    let rig = rig("", vec![script(), script(), script()]);
    ask_many(&rig.handler, 300, MS).await;
    slow.store(true, Ordering::SeqCst);
    let before: usize = rig.asked().iter().sum();
    ask_many(&rig.handler, 2000, MS).await;
    let asked = rig.asked().iter().sum::<usize>() - before;
    assert!(asked < 2000 + 300, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_loses_once_keeps_its_connection() {
    let rig = rig("hedge 20ms;", vec![after(100 * MS), after(100 * MS)]);
    for _ in 0..3 {
        let (_, took) = ask(&rig.handler).await;
        assert!(took >= 100 * MS && took < 130 * MS, "{took:?}");
        sleep(200 * MS).await;
    }
    assert_eq!(rig.stubs.iter().map(Stub::connections).sum::<usize>(), 2);
    assert_eq!(rig.edges(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_hedge_silent_handlers_share_the_time() {
    let rig = rig("hedge off; timeout 3s;", vec![hanging(), hanging(), hanging()]);
    let (ruling, took) = ask(&rig.handler).await;
    assert!(ruling.is_err() && took >= 2999 * MS && took < 3100 * MS, "{took:?}");
    assert_eq!(rig.asked(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_is_over_everything() {
    for hedge in ["on", "off", "2s"] {
        let conf = format!("hedge {hedge}; timeout 3s;");
        let rig = rig(&conf, vec![hanging(), hanging()]);
        let (ruling, took) = ask(&rig.handler).await;
        let error = ruling.unwrap_err().to_string();
        assert!(error.ends_with("timed out (110: Connection timed out)"), "{error}");
        assert!(took >= 2999 * MS && took < 3100 * MS, "{hedge}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_the_question_to_the_next_at_once() {
    let rig = rig("", vec![failing(), after(10 * MS), failing()]);
    for _ in 0..10 {
        let (ruling, took) = ask(&rig.handler).await;
        assert!(ruling.is_ok() && took < 20 * MS, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn questions_go_where_they_have_less_to_expect() {
    let rig = rig("hedge off;", vec![after(10 * MS), after(100 * MS)]);
    ask_many(&rig.handler, 1000, 2 * MS).await;
    let asked = rig.asked();
    assert!(asked[1] * 4 < asked[0] && asked[1] > 10, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_asked_by_its_weight() {
    let conf = "hedge off; handler http://h1/ weight=3; handler http://h2/;";
    let rig = rig(conf, vec![after(10 * MS), after(10 * MS)]);
    ask_many(&rig.handler, 2000, MS).await;
    let asked = rig.asked();
    assert!(asked[0] > asked[1] * 2 && asked[0] < asked[1] * 4, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_in_the_end_who_is_disabled() {
    let rig = rig("", vec![after(MS), after(MS)]);
    let turn = |name: &str, is_off| {
        assert_eq!(rig.fleet.handlers.turn(name, Some("b"), is_off).found, 0);
        rig.fleet.handlers.turn(name, Some("a"), is_off).changed.len()
    };
    assert_eq!(turn("http://h1:80/a", true), 1);
    assert_eq!(turn("h3:80", true), 0);
    ask_many(&rig.handler, 20, MS).await;
    assert_eq!(rig.asked(), [0, 20]);
    assert_eq!(turn("http://h2:80/a?k=1", true), 1);
    assert_eq!(turn("h2:80", true), 0, "it is so already");
    let (ruling, _) = ask(&rig.handler).await;
    let error = ruling.unwrap_err().to_string();
    assert_eq!(error, "auth http server a has no handler that is not disabled");
    turn("h1:80", false);
    ask_many(&rig.handler, 20, MS).await;
    assert_eq!(rig.asked(), [20, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_leaves_nothing_behind() {
    let rig = rig("", vec![hanging()]);
    assert!(tokio::time::timeout(50 * MS, ask(&rig.handler)).await.is_err());
    let status = &rig.fleet.handlers.status()[0];
    assert_eq!((status.in_flight, status.fails, status.counts.asked), (0, 0, 1));
}
