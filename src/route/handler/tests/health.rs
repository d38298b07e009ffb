//! Handlers that are set aside, and come back.

use std::sync::atomic::AtomicBool;

use super::state::Standing;
use super::*;
use crate::route::handler::state;

/// Fails as long as it is told to.
fn ill_if(is_ill: &Arc<AtomicBool>) -> Script {
    let is_ill = Arc::clone(is_ill);
    Box::new(move |_, _, _| match is_ill.load(Ordering::SeqCst) {
        true => Reply::Keep("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n".to_owned()),
        false => Reply::Later(MS, ok()),
    })
}

fn standing(rig: &Rig, index: usize) -> Standing {
    rig.fleet.handlers.status()[index].standing.clone()
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_three_times_is_set_aside_until_one_question_finds_it_back() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let rig = rig("hedge off;", vec![ill_if(&is_ill), after(MS)]);
    let heard: Arc<Mutex<Vec<Edge>>> = Arc::default();
    let ear = Arc::clone(&heard);
    rig.fleet.handlers.on_edge(move |edge| ear.lock().unwrap().push(edge.clone()));

    ask_many(&rig.handler, 40, 2 * MS).await;
    assert_eq!(rig.asked()[0], 3);
    let edge = "lookup handler http://h1:80/a set aside after 3 failures: sent status 502 without \
                Auth-Status";
    assert_eq!(rig.edges(), [edge]);
    assert_eq!(rig.edges(), [""; 0], "it is told once");
    assert!(matches!(standing(&rig, 0), Standing::Aside { .. }));

    // Still ill: one question sees that, beside the login.
    advance(Duration::from_secs(60)).await;
    ask_many(&rig.handler, 40, 2 * MS).await;
    assert_eq!(rig.asked()[0], 4);
    advance(Duration::from_secs(60)).await;
    is_ill.store(false, Ordering::SeqCst);
    ask_many(&rig.handler, 1, 5 * MS).await;
    assert_eq!(rig.asked()[0], 5);
    assert_eq!(rig.edges(), ["lookup handler http://h1:80/a answers again"]);
    assert_eq!(standing(&rig, 0), Standing::Healthy);
    ask_many(&rig.handler, 40, 2 * MS).await;
    assert!(rig.asked()[0] > 10, "{:?}", rig.asked());
    let heard: Vec<_> = heard.lock().unwrap().iter().map(Edge::is_back).collect();
    assert_eq!(heard, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn one_question_at_a_time_sees_after_a_handler_that_hangs() {
    let rig = rig("hedge off; max_fails 1; timeout 4s;", vec![hanging(), after(MS)]);
    ask_many(&rig.handler, 8, 500 * MS).await;
    assert!(matches!(standing(&rig, 0), Standing::Aside { .. }));
    let before = rig.asked()[0];
    advance(Duration::from_secs(60)).await;
    let longest = ask_many(&rig.handler, 500, MS).await;
    assert!(longest < 10 * MS, "a login has waited for it: {longest:?}");
    assert_eq!(rig.asked()[0], before + 1);
}

#[tokio::test(start_paused = true)]
async fn where_all_are_set_aside_they_are_asked_the_least_bad_first() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let rig = rig("max_fails 1;", vec![failing(), ill_if(&is_ill), failing()]);
    assert!(ask(&rig.handler).await.0.is_err());
    assert_eq!(rig.asked(), [1, 1, 1]);
    is_ill.store(false, Ordering::SeqCst);
    assert!(ask(&rig.handler).await.0.is_ok());
    assert_eq!(rig.edges().len(), 4, "three went, one is back");
    ask_many(&rig.handler, 5, MS).await;
    assert_eq!(rig.asked()[1], 7);
    assert!(rig.asked()[0] <= 2 && rig.asked()[2] <= 2, "{:?}", rig.asked());
}

#[tokio::test(start_paused = true)]
async fn with_no_number_of_failures_a_handler_is_never_set_aside() {
    let rig = rig("max_fails 0; hedge off;", vec![failing()]);
    for _ in 0..20 {
        assert!(ask(&rig.handler).await.0.is_err());
    }
    assert_eq!((standing(&rig, 0), rig.asked()[0]), (Standing::Healthy, 20));
    assert_eq!(rig.edges(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_lookup_counts_and_one_odd_answer_does_not() {
    for (answer, is_counted) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: web\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAuth-Status: OK\r\n\r\n", false),
    ] {
        let script = move |_, _, _: &str| Reply::Keep(answer.to_owned());
        let rig = rig("hedge off;", vec![Box::new(script)]);
        for _ in 0..5 {
            assert!(ask(&rig.handler).await.0.is_err());
        }
        assert_eq!(standing(&rig, 0) != Standing::Healthy, is_counted, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_is_known_and_forgets_what_is_gone() {
    let mut old = rig("max_fails 1;", vec![failing(), after(MS)]);
    ask_many(&old.handler, 10, MS).await;
    old.fleet.handlers.turn("http://h2:80/a", None, true);
    let new = rig_with("max_fails 2;", vec![after(MS)], old.fleet.clone());
    old.handler = new.handler.clone();
    let status = new.fleet.handlers.status();
    assert_eq!(status.len(), 1);
    assert!(matches!(status[0].standing, Standing::Aside { .. }));
    assert_eq!((&*status[0].lookup, &*status[0].url), ("a", "http://h1:80/a?k=1"));
    assert!(status[0].source.starts_with("test:"), "{}", status[0].source);
    // Three times a healthy answer.
    ask_many(&new.handler, 3, MS).await;
    let status = &new.fleet.handlers.status()[0];
    assert_eq!((&status.standing, status.fails), (&Standing::Healthy, 0));
    assert_eq!(status.last.as_ref().unwrap().what, "ok");
    assert!(status.p50.unwrap() >= MS && status.p99.unwrap() < 2 * MS);
    assert!(status.counts.answered >= 3 && status.counts.failed == 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_who_was_set_aside() {
    let one = rig("max_fails 1;", vec![failing(), after(MS)]);
    ask_many(&one.handler, 10, MS).await;
    let locked = one.fleet.handlers.locked();
    assert_eq!(locked.len(), 1);
    let cause = "sent status 503 without Auth-Status";
    assert_eq!((&*locked[0].url, &*locked[0].cause), ("http://h1:80/a?k=1", cause));

    let fleet = Fleet::new(Cache::off(), Metrics::new());
    fleet.handlers.restore(locked.clone());
    let two = rig_with("max_fails 1;", vec![after(MS), after(MS)], fleet);
    assert_eq!(two.fleet.handlers.locked(), locked);
    // The first question sees that it is back.
    ask_many(&two.handler, 1, 5 * MS).await;
    assert_eq!(two.edges(), ["lookup handler http://h1:80/a answers again"]);
}

#[tokio::test(start_paused = true)]
async fn what_handlers_do_is_counted() {
    let rig = rig("max_fails 1;", vec![failing(), after(MS)]);
    ask_many(&rig.handler, 10, MS).await;
    let text = rig.fleet.metrics.render();
    for line in [
        "gatepost_route_lookups_total{handler=\"http://h1:80/a\",result=\"failed\"} 1\n",
        "gatepost_route_lookups_total{handler=\"http://h2:80/a\",result=\"ok\"} 10\n",
        "gatepost_route_handler_up{handler=\"http://h1:80/a\"} 0\n",
        "gatepost_route_handler_up{handler=\"http://h2:80/a\"} 1\n",
        "gatepost_route_lookup_seconds_count{handler=\"http://h2:80/a\"} 10\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_retries_do_not_fall_on_one_moment() {
    let policy = state::Policy { max_fails: 1, retry: Duration::from_secs(100), tells: false };
    let registry = Registry::default();
    let state = registry.state(("a", "b"), (policy, "test"), &Metrics::new());
    let mut due = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let began = Instant::now();
        state.begin(began).failed("gone", true, began);
        let seconds = (0..=100)
            .find(|seconds| state.fit(began + Duration::from_secs(*seconds)) == state::Fit::Due);
        due.insert(seconds.unwrap());
        state.begin(began).answered(figures::Outcome::Ok, began);
    }
    assert!(due.iter().all(|seconds| (90..=100).contains(seconds)) && due.len() > 1, "{due:?}");
}
