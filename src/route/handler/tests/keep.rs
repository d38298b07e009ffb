//! What outlives a restart.

use super::*;
use crate::net::halt::halt;
use crate::observe::{Level, Log, names};
use crate::route::handler::keep::hold_for_any;
use crate::route::lock::Kind;
use crate::route::state::directives::Settings as Kept;

fn fleet(folder: &std::path::Path, log: &Log) -> Fleet {
    let fleet = Fleet::new(Cache::off(), Metrics::new());
    fleet.restore(&Kept { folder: Some(folder.to_owned()), ..Kept::default() }, log);
    fleet
}

#[tokio::test]
async fn what_is_set_aside_is_counted_told_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (log, said) = Log::memory(Level::Info);
    let old = fleet(folder.path(), &log);
    let (trigger, stop) = halt::<()>();
    let running = old.clone();
    let run = tasks::spawn("fleet", async move { running.look_after(stop).await });
    let rig = rig_with("max_fails 1;", vec![failing(), after(MS)], old.clone());
    while old.handlers.locked().is_empty() {
        ask_many(&rig.handler, 1, MS).await;
    }
    // No login asks what has turned.
    let line = "lookup handler http://h1:80/a set aside after 1 failure: sent";
    while !said.lines().iter().any(|said| said.contains(line)) {
        tokio::task::yield_now().await;
    }
    let labels = [Kind::Lookup.name(), "http://h1:80/a"];
    assert_eq!(old.metrics.counter(&names::SERVER_LOCKS, &labels).get(), 1);
    trigger.fire(());
    run.await.unwrap();
    old.store.flush().unwrap();

    let new = fleet(folder.path(), &log);
    assert!(new.handlers.locked().is_empty(), "nobody has it yet");
    let rig = rig_with("max_fails 1;", vec![failing(), after(MS)], new.clone());
    let locked = new.handlers.locked();
    assert_eq!(locked.len(), 1);
    assert!(locked[0].cause.starts_with("sent") && locked[0].url == "http://h1:80/a?k=1");
    drop(rig);
}

proptest::proptest! {
    #[test]
    fn holds_for_any_section(input in r#"\[(\{"lookup":"[a\\]{0,2}","url":"[a-z:/]{0,9}","since":[0-9]{1,20},"cause":"[ -~]{0,9}"\},?){0,3}\]"#) {
        hold_for_any(input.as_bytes());
    }
}
