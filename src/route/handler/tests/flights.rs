//! Identical questions that are on their way at one time.

use super::*;
use crate::route::handler::flight::{Flights, Outcome};

async fn ask_all(handler: &Handler, who: &[(&str, &str)]) {
    let mut asking = Vec::new();
    for (user, client) in who {
        let (handler, attempt, asker) = (handler.clone(), attempt(user), asker(client));
        asking.push(tasks::spawn("test", async move {
            handler.ask(&attempt, &asker, &|_| {}).await.map(drop)
        }));
    }
    for task in asking {
        assert!(task.await.unwrap().is_ok());
    }
}

const NLE: &str = "protocol nle;";

#[tokio::test(start_paused = true)]
async fn a_hundred_equal_questions_are_asked_once() {
    for conf in [NLE, "send_password off;"] {
        let rig = rig(conf, vec![after(50 * MS)]);
        ask_all(&rig.handler, &[("mrose", "192.0.2.1"); 100]).await;
        assert_eq!(rig.asked(), [1], "{conf}");
        // What has been answered is asked anew.
        ask_all(&rig.handler, &[("mrose", "192.0.2.1"); 2]).await;
        assert_eq!(rig.asked(), [2], "{conf}");
    }
}

#[tokio::test(start_paused = true)]
async fn questions_that_differ_are_not_equal() {
    let rig = rig(NLE, vec![after(50 * MS)]);
    let who =
        [("mrose", "192.0.2.1"), ("mrose", "192.0.2.3"), ("tim", "192.0.2.1"), ("Mrose", "::1")];
    ask_all(&rig.handler, &who).await;
    assert_eq!(rig.asked(), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_question_with_a_password_is_nobody_elses() {
    for conf in ["", "protocol nle; send_password on;"] {
        let rig = rig(conf, vec![after(50 * MS)]);
        ask_all(&rig.handler, &[("mrose", "192.0.2.1"); 10]).await;
        assert_eq!(rig.asked(), [10], "{conf}");
    }
    let rig = rig(NLE, vec![after(50 * MS)]);
    let ticket = Attempt::new(Mechanism::Gssapi, *b"mrose", Secret::default());
    let asker = asker("192.0.2.1");
    let (one, two) = tokio::join!(
        rig.handler.ask(&ticket, &asker, &|_| {}),
        rig.handler.ask(&ticket, &asker, &|_| {})
    );
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(rig.asked(), [2]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_the_answer_from_nobody() {
    let rig = rig(NLE, vec![after(50 * MS)]);
    let first = rig.handler.clone();
    let first = tasks::spawn("test", async move { ask(&first).await.0.map(drop) });
    sleep(10 * MS).await;
    let second = rig.handler.clone();
    let second = tasks::spawn("test", async move { ask(&second).await.0.map(drop) });
    sleep(10 * MS).await;
    first.abort();
    assert!(second.await.unwrap().is_ok());
    assert_eq!(rig.asked(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_one_and_shared_by_all() {
    let rig = rig("protocol nle; max_fails 0;", vec![failing(), failing()]);
    let heard = Mutex::new(Vec::new());
    let tell = |error: Error| heard.lock().unwrap().push(error.to_string());
    let (attempt, asker) = (attempt("mrose"), asker("192.0.2.1"));
    let (one, two) = tokio::join!(
        rig.handler.ask(&attempt, &asker, &tell),
        rig.handler.ask(&attempt, &asker, &tell)
    );
    for error in [one.unwrap_err(), two.unwrap_err()] {
        let text = error.to_string();
        assert!(
            text.starts_with("lookup handler h") && text.ends_with(":80 sent status 503"),
            "{text}"
        );
    }
    assert_eq!((rig.asked(), heard.into_inner().unwrap().len()), (vec![1, 1], 1));
}

fn refused(text: &str) -> Outcome {
    let refused = Refused { text: text.to_owned(), ..Refused::default() };
    Outcome { ruling: Ok(Ruling::Refused(refused)), told: Mutex::default() }
}

#[tokio::test]
async fn a_question_that_dies_fails_all_who_wait_and_is_not_asked_for_ever() {
    let flights = Arc::new(Flights::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let make = || {
        let asked = Arc::clone(&asked);
        async move {
            tokio::task::yield_now().await;
            assert!(asked.fetch_add(1, Ordering::SeqCst) > 0, "the first one dies");
            refused("no")
        }
    };
    let both = async { tokio::join!(flights.share(b"key", make), flights.share(b"key", make)) };
    let (one, two) = tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    assert!(one.is_none() && two.is_none());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(format!("{flights:?}"), "Flights(0)");
    // Whoever comes later asks anew.
    assert!(flights.share(b"key", make).await.unwrap().ruling.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_question_dies_is_refused_for_now() {
    let rig = rig(NLE, vec![Box::new(|_, _, _| panic!("a planted fault"))]);
    let asked = tokio::time::timeout(Duration::from_secs(60), ask(&rig.handler)).await;
    let (ruling, _) = asked.unwrap();
    let error = crate::route::Error::from(ruling.unwrap_err());
    assert_eq!(error.refusal().kind, crate::login::Kind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_waits_for_ends() {
    let rig = rig(NLE, vec![hanging()]);
    assert!(tokio::time::timeout(50 * MS, ask(&rig.handler)).await.is_err());
    sleep(MS).await;
    assert_eq!(format!("{:?}", rig.fleet.handlers.flights()), "Flights(0)");
    assert_eq!(rig.fleet.handlers.status()[0].in_flight, 0);
}

/// A worker that ends takes its tasks with it; who waits on another worker asks anew.
#[test]
fn a_worker_that_ends_leaves_the_question_to_another() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let flights = Arc::new(Flights::default());
    let (first, own) = (runtime(), Arc::clone(&flights));
    first.block_on(async {
        tasks::spawn("test", async move { own.share(b"key", std::future::pending).await });
        tokio::task::yield_now().await;
    });
    let (waits, is_waiting) = std::sync::mpsc::channel();
    let second = std::thread::spawn(move || {
        runtime().block_on(async {
            let mut share = Box::pin(flights.share(b"key", || async { refused("no") }));
            assert!(tokio::time::timeout(MS, &mut share).await.is_err());
            waits.send(()).unwrap();
            share.await.unwrap().ruling.is_ok()
        })
    });
    is_waiting.recv().unwrap();
    drop(first);
    assert!(second.join().unwrap());
}
