//! The way to a clerk and back, with a clerk that a test plays. The real one is tried live, in
//! `tests/proxy/kerberos.rs`.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use super::frame::write_answer;
use super::messenger::Clerk;
use super::*;

/// What a played clerk says to an order. None: it hangs up.
type Play = fn(&Order) -> Option<Result<Advice, Error>>;

/// A Kerberos with a clerk that plays `play`, and all orders that it gets.
fn played(play: Play) -> (Kerberos, std_mpsc::Receiver<Option<Order>>) {
    let (heard, orders) = std_mpsc::channel();
    let heard = Mutex::new(heard);
    let kerberos = started(move || {
        let (ours, mut its) = UnixStream::pair()?;
        ours.set_read_timeout(Some(Duration::from_millis(200)))?;
        let heard = heard.lock().unwrap().clone();
        thread::spawn(move || {
            while let Ok(Some(order)) = Order::read(&mut its) {
                let answer = play(&order);
                let is_answered = matches!(order, Order::Take { .. });
                heard.send(Some(order)).unwrap();
                match answer {
                    Some(answer) => write_answer(&answer, &mut its).unwrap(),
                    None if is_answered => return,
                    None => {}
                }
            }
            let _ = heard.send(None);
        });
        // It ends with us, whether anybody comes to end it or not, and holds nothing of ours open.
        let mut stand_in = Command::new("cat");
        stand_in.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = stand_in.spawn()?;
        Ok(Clerk { child, socket: ours })
    });
    (kerberos, orders)
}

fn started(start: impl Fn() -> io::Result<Clerk> + Send + 'static) -> Kerberos {
    let errands = OnceLock::new();
    errands.set(messenger::start(start)).unwrap();
    let start = Arc::new(Start { keytab: None, host: None, realm: None });
    let settings = Settings::default();
    Kerberos(Arc::new(Shared { settings, start, errands, exchanges: AtomicU64::new(0) }))
}

fn token(order: &Order) -> &[u8] {
    match order {
        Order::Take { token, .. } => token,
        Order::Forget { .. } => b"",
    }
}

/// `hello` is asked for more, `bye` is known, `no` is refused, and silence is kept to anything else.
fn polite(order: &Order) -> Option<Result<Advice, Error>> {
    Some(match token(order) {
        b"hello" => Ok(Advice::Token(b"well?".to_vec())),
        b"bye" => Ok(Advice::Known { user: (*b"mrose").into(), authzid: None }),
        b"no" => Err(Error::Refused("no".to_owned())),
        _ => return None,
    })
}

#[tokio::test]
async fn tokens_go_to_the_clerk_and_its_answers_come_back() {
    let (kerberos, orders) = played(polite);
    let (mut one, mut two) = (kerberos.begin("pop3"), kerberos.begin("imap"));
    assert!(matches!(one.accept(b"hello").await, Ok(Advice::Token(token)) if token == b"well?"));
    assert!(matches!(two.accept(b"no").await, Err(Error::Refused(_))));
    let known = one.accept(b"bye").await;
    assert!(matches!(known, Ok(Advice::Known { user, .. }) if *user == *b"mrose"));
    // Both are over, so there is nothing to forget.
    drop((one, two, kerberos));
    let heard: Vec<_> = orders.iter().map_while(|order| order).collect();
    let take = |exchange, service: &str, token: &[u8]| Order::Take {
        exchange,
        service: service.to_owned(),
        token: token.to_vec(),
    };
    assert_eq!(heard, [take(0, "pop", b"hello"), take(1, "imap", b"no"), take(0, "pop", b"bye")]);
}

#[tokio::test]
async fn an_exchange_that_its_session_leaves_is_forgotten() {
    let (kerberos, orders) = played(polite);
    let mut left = kerberos.begin("smtp");
    left.accept(b"hello").await.unwrap();
    drop(left);
    orders.recv().unwrap();
    assert_eq!(orders.recv().unwrap(), Some(Order::Forget { exchange: 0 }));
}

#[tokio::test]
async fn a_clerk_that_hangs_up_is_followed_by_another() {
    let (kerberos, orders) = played(polite);
    let mut rounds = kerberos.begin("imap");
    rounds.accept(b"hello").await.unwrap();
    let error = rounds.accept(b"die").await.unwrap_err();
    assert!(matches!(error, Error::Unable(_)), "{error}");
    assert_eq!(error.to_string(), "GSSAPI: the Kerberos process fails: it hung up");
    drop(rounds);
    let mut rounds = kerberos.begin("imap");
    assert!(matches!(rounds.accept(b"hello").await, Ok(Advice::Token(_))));
    drop((rounds, kerberos));
    let heard = orders.iter().flatten().count();
    // The one that hung up was told to forget nothing.
    assert_eq!(heard, 4, "hello, die; hello, forget");
}

#[tokio::test]
async fn a_clerk_that_is_silent_does_not_keep_a_session_waiting() {
    let (kerberos, _orders) = played(|order| match token(order) {
        b"slow" => {
            thread::park_timeout(Duration::from_secs(2));
            None
        }
        _ => polite(order),
    });
    let error = kerberos.begin("imap").accept(b"slow").await.unwrap_err();
    assert_eq!(error.to_string(), "GSSAPI: the Kerberos process fails: it takes too long");
    assert!(kerberos.begin("imap").accept(b"bye").await.is_ok());
}

#[tokio::test]
async fn a_clerk_that_does_not_start_is_our_fault_not_the_clients() {
    let kerberos = started(|| Err(io::Error::other("no more processes")));
    let error = kerberos.begin("imap").accept(b"hello").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(error.to_string(), "GSSAPI: the Kerberos process fails: no more processes");
}

#[test]
fn a_keytab_that_cannot_be_read_is_told_at_start() {
    let settings = Settings { keytab: Some("/nowhere/keytab".into()), ..Settings::default() };
    let error = Kerberos::open(&settings).unwrap_err();
    let wanted = if IS_BUILT_IN { "\"/nowhere/keytab\"" } else { "--features krb5" };
    assert!(error.contains(wanted), "{error}");
}
