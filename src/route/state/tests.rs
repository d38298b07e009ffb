use proptest::prelude::*;

use super::*;
use crate::observe::Log;

fn store() -> (Store, Voice) {
    let voice = Voice::default();
    (Store::new(voice.clone()), voice)
}

#[test]
fn what_is_put_is_there_after_a_restart_in_a_folder_for_us_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("a/state");
    let (first, _) = store();
    first.open(&folder);
    assert!(!folder.exists(), "made when there is something to keep");
    first.put("x", &vec![1, 2]);
    first.put("y", &"z");
    first.flush().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(NAME))), (0o700, 0o600));
    assert!(!folder.join("state.json.new").exists());

    let (second, _) = store();
    second.put("y", &"newer");
    second.open(&folder);
    assert_eq!(second.section("x"), Some(vec![1, 2]));
    assert_eq!(second.section::<String>("y").as_deref(), Some("newer"));
    assert_eq!(second.section::<String>("x"), None, "of another form");

    // A reload that names another folder takes everything along.
    let other = place.path().join("b");
    second.open(&other);
    second.flush().unwrap();
    let (third, _) = store();
    third.open(&other);
    assert_eq!(third.section("x"), Some(vec![1, 2]));
}

#[test]
fn of_two_processes_the_newer_one_writes_until_it_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (store().0, store().0);
    old.open(place.path());
    old.put("x", &1);
    let next = || {
        let (next, _) = store();
        next.open(place.path());
        next.section::<i32>("x")
    };
    old.lend();
    assert_eq!(next(), Some(1), "what is known at that moment goes along");
    new.open(place.path());
    new.put("x", &2);
    new.flush().unwrap();
    // Between USR2 and QUIT both change what they know.
    old.put("x", &3);
    old.flush().unwrap();
    // A reload of the older one, with another folder.
    let other = tempfile::tempdir().unwrap();
    old.open(other.path());
    old.flush().unwrap();
    assert_eq!((next(), other.path().join(NAME).exists()), (Some(2), false));
    old.open(place.path());
    old.take_back();
    old.flush().unwrap();
    assert_eq!(next(), Some(3), "what is in force");
    old.lend();
    old.put("x", &4);
    old.flush().unwrap();
    assert_eq!(next(), Some(3));
}

#[test]
fn what_cannot_be_read_is_told_and_set_aside() {
    let whole = br#"{"version":1,"sections":{"x":1}}"#;
    let huge = vec![b' '; usize::try_from(LARGEST).unwrap() + 1];
    for (name, bytes, why) in [
        ("empty", &b""[..], "it is not JSON of ours"),
        ("truncated", &whole[..20], "it is not JSON of ours"),
        ("garbage", b"\xff\x00\x17", "it is not JSON of ours"),
        ("another form", br#"{"version":1,"sections":[1]}"#, "it is not JSON of ours"),
        ("no sections", br#"{"version":1}"#, "it is not JSON of ours"),
        ("newer", br#"{"version":2,"sections":[]}"#, "it is of version 2, not 1"),
        ("huge", &huge, "it is too large"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), bytes).unwrap();
        let (store, voice) = store();
        let (log, memory) = Log::memory(Level::Info);
        voice.speak_to(&log);
        store.open(folder.path());
        let lines = memory.lines();
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(lines[0].contains("[error]") && lines[0].contains(why), "{name}: {lines:?}");
        let aside = folder.path().join("state.json.bad");
        assert_eq!(fs::read(aside).unwrap(), bytes, "{name}");
        assert_eq!(store.section::<u32>("x"), None);
        // And it goes on.
        store.put("x", &2);
        store.flush().unwrap();
        let (again, _) = self::store();
        again.open(folder.path());
        assert_eq!(again.section("x"), Some(2), "{name}");
    }
}

#[test]
fn a_crash_while_writing_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = store();
    first.open(folder.path());
    first.put("x", &1);
    first.flush().unwrap();
    fs::write(folder.path().join("state.json.new"), b"{\"vers").unwrap();
    let (second, _) = store();
    second.open(folder.path());
    assert_eq!(second.section("x"), Some(1));
    second.put("x", &2);
    second.flush().unwrap();
    let (third, _) = store();
    third.open(folder.path());
    assert_eq!(third.section("x"), Some(2));
}

#[test]
fn a_folder_that_cannot_be_written_costs_one_warning() {
    let place = tempfile::tempdir().unwrap();
    // A file stands where the folder should be: root, too, cannot write there.
    let folder = place.path().join("state");
    fs::write(&folder, b"").unwrap();
    let (store, voice) = store();
    let (log, memory) = Log::memory(Level::Info);
    voice.speak_to(&log);
    store.open(&folder);
    let before = memory.lines().len();
    for n in 0..3 {
        store.put("x", &n);
        assert!(store.flush().is_err());
    }
    assert_eq!(store.section("x"), Some(2), "kept in memory");
    let lines = memory.lines();
    let warned = lines[before..].iter().filter(|line| line.contains("[warn]")).count();
    assert_eq!((warned, lines.len() - before), (1, 1), "{lines:?}");
    // Mended, it is written with the next change.
    fs::remove_file(&folder).unwrap();
    store.put("x", &4);
    store.flush().unwrap();
    assert!(folder.join(NAME).exists());
}

#[tokio::test]
async fn it_is_written_behind_those_who_change_it_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = store();
    store.open(folder.path());
    let (trigger, stop) = crate::net::halt::halt();
    let own = store.clone();
    let task = crate::observe::tasks::spawn("store", async move { own.run(stop).await });
    store.put("x", &1);
    let path = folder.path().join(NAME);
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    store.put("x", &2);
    trigger.fire(());
    task.await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("\"x\": 2"));
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused(
        text in "\\{(\"version\":[0-9],?|\"sections\":\\{\\}|\"x\":\\[?(null|1|\"a\")\\]?|\\PC{0,8}|,){0,6}\\}",
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        hold_for_any(text.as_bytes());
        hold_for_any(&noise);
    }
}
