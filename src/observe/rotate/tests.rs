use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use jiff::{ToSpan, Zoned};
use tempfile::TempDir;

use super::files::{self, LogFile};
use super::*;
use crate::observe::sink::Memory;

fn policy() -> Policy {
    Policy {
        every: None,
        size: Some(1),
        keep: 5,
        compress: false,
        delay_compress: false,
        mode: None,
        owner: None,
        command: None,
    }
}

fn rotation(policy: Policy) -> Rotation {
    let rotation = Rotation::default();
    rotation.follow(Rules { usual: Some(policy), ..Rules::default() });
    rotation
}

fn log() -> (Log, Memory) {
    Log::memory(Level::Notice)
}

/// A folder, and the log in it.
fn place() -> (TempDir, PathBuf, Arc<LogFile>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let file = files::open(&path).unwrap();
    (dir, path, file)
}

fn now() -> Zoned {
    Zoned::now()
}

/// The names in a folder, with the date of today or around as DATE.
fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let date = regex::Regex::new(r"-\d{8}").unwrap();
    let mut names: Vec<_> = names.map(|name| date.replace(&name, "-DATE").into_owned()).collect();
    names.sort();
    names
}

/// All that was ever written: of the log and of what it was turned to.
fn all_text(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        match path.extension().is_some_and(|ending| ending == "gz") {
            true => drop(GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap()),
            false => text.push_str(std::str::from_utf8(&bytes).unwrap()),
        }
        assert!(text.is_empty() || text.ends_with('\n'), "a line is cut in {}", path.display());
    }
    text
}

#[test]
fn a_log_is_renamed_and_opened_anew_with_the_old_ones_mode() {
    let (dir, path, file) = place();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let rotation = rotation(policy());
    let (log, memory) = log();
    assert_eq!(rotation.look(&now(), &log), [], "an empty log is left alone");
    file.write(b"one\n").unwrap();
    let turned = rotation.look(&now(), &log);
    assert_eq!(turned.len(), 1);
    assert_eq!(turned[0].log, path);
    file.write(b"two\n").unwrap();
    assert_eq!(fs::read_to_string(&turned[0].to).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(names(dir.path()), ["a.log", "a.log-DATE"]);
    assert!(memory.text().contains("is turned to"), "{}", memory.text());
}

#[test]
fn a_new_day_turns_yesterdays_log_once() {
    let (dir, _path, file) = place();
    let rotation = rotation(Policy { every: Some(Every::Daily), size: None, ..policy() });
    file.write(b"one\n").unwrap();
    assert_eq!(rotation.look(&now(), &log().0), []);
    let tomorrow = now().checked_add(1.day()).unwrap();
    assert_eq!(rotation.look(&tomorrow, &log().0).len(), 1);
    // It is empty then, and what comes tomorrow is tomorrow's.
    assert_eq!(rotation.look(&tomorrow, &log().0), []);
    file.write(b"two\n").unwrap();
    assert_eq!(rotation.look(&tomorrow, &log().0), []);
    assert_eq!(names(dir.path()).len(), 2);
}

#[test]
fn so_many_are_kept_and_nothing_else_is_touched() {
    let (dir, _, file) = place();
    let rotation = rotation(Policy { keep: 2, ..policy() });
    for other in ["a.log.1", "a.log-old", "a.log-20010101x", "b.log-20010101", "a.log-20010101-0"] {
        fs::write(dir.path().join(other), "x\n").unwrap();
    }
    for line in ["1\n", "2\n", "3\n", "4\n"] {
        file.write(line.as_bytes()).unwrap();
        assert_eq!(rotation.look(&now(), &log().0).len(), 1);
    }
    rotation.tidy(&log().0);
    let want = ["a.log", "a.log-DATE-0", "a.log-DATE-2", "a.log-DATE-3", "a.log-DATEx"];
    let own: Vec<_> = names(dir.path())
        .into_iter()
        .filter(|name| name.contains("DATE") || name == "a.log")
        .collect();
    assert_eq!(own[..5], want, "{own:?}");
    assert!(dir.path().join("a.log.1").exists() && dir.path().join("a.log-old").exists());
    assert!(dir.path().join("b.log-20010101").exists());
}

#[test]
fn turned_logs_are_compressed_and_the_newest_stays_plain_if_it_is_to() {
    let (dir, _, file) = place();
    let compress = Policy { compress: true, delay_compress: true, ..policy() };
    let rotation = rotation(compress.clone());
    for line in ["1\n", "2\n"] {
        file.write(line.as_bytes()).unwrap();
        rotation.look(&now(), &log().0);
    }
    rotation.tidy(&log().0);
    assert_eq!(names(dir.path()), ["a.log", "a.log-DATE-1", "a.log-DATE.gz"]);
    rotation.follow(Rules {
        usual: Some(Policy { delay_compress: false, ..compress }),
        ..Rules::default()
    });
    rotation.tidy(&log().0);
    assert_eq!(names(dir.path()), ["a.log", "a.log-DATE-1.gz", "a.log-DATE.gz"]);
    let mut lines: Vec<_> = all_text(dir.path()).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1", "2"]);
}

#[test]
fn what_is_still_written_to_is_neither_compressed_nor_deleted() {
    let (dir, path, file) = place();
    let other = LogFile::of_another_process(&path);
    let rotation = rotation(Policy { compress: true, keep: 1, ..policy() });
    file.write(b"1\n").unwrap();
    rotation.look(&now(), &log().0);
    file.write(b"2\n").unwrap();
    rotation.look(&now(), &log().0);
    rotation.tidy(&log().0);
    assert_eq!(names(dir.path()), ["a.log", "a.log-DATE", "a.log-DATE-1.gz"]);
    other.write(b"late\n").unwrap();
    drop(other);
    rotation.tidy(&log().0);
    assert_eq!(names(dir.path()), ["a.log", "a.log-DATE-1.gz"]);
}

#[test]
fn a_crash_at_any_step_of_compressing_loses_nothing() {
    let (dir, path, file) = place();
    file.write(b"one\n").unwrap();
    drop(file);
    let plain = dir.path().join("a.log-20261121");
    let compress = Policy { compress: true, ..policy() };
    // After the first bytes; after the rename and before the plain one is gone.
    for left in ["a.log-20261121.gz.part", "a.log-20261121.gz"] {
        fs::write(&plain, "old\n").unwrap();
        fs::write(dir.path().join(left), "torn").unwrap();
        assert_eq!(tidy::tidy(&path, &compress).unwrap(), tidy::Left::default());
        assert_eq!(names(dir.path()), ["a.log", "a.log-DATE.gz"]);
        let text = all_text(dir.path());
        assert!(text.contains("old\n") && text.contains("one\n"), "{text}");
    }
}

#[test]
fn a_disk_that_takes_no_more_costs_one_warning_and_no_line() {
    let (dir, path, file) = place();
    file.write(b"one\n").unwrap();
    // A folder at the part's name stands for a disk that is full: it cannot be written.
    fs::create_dir(dir.path().join("a.log-20261121.gz.part")).unwrap();
    fs::write(dir.path().join("a.log-20261121"), "old\n").unwrap();
    let rotation = rotation(Policy { compress: true, size: Some(1 << 20), ..policy() });
    let (log, memory) = log();
    for _ in 0..3 {
        rotation.tidy(&log);
    }
    let told = memory.lines();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("turned logs stay as they are"), "{told:?}");
    assert_eq!(fs::read_to_string(dir.path().join("a.log-20261121")).unwrap(), "old\n");
    assert_eq!(fs::read_to_string(path).unwrap(), "one\n");
}

#[test]
fn what_is_no_regular_file_is_left_alone_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("a.log"));
    symlink(&real, &link).unwrap();
    let file = files::open(&link).unwrap();
    file.write(b"one\n").unwrap();
    let (rotation, (log, memory)) = (rotation(policy()), log());
    assert!(rotation.look(&now(), &log).is_empty() && rotation.look(&now(), &log).is_empty());
    assert_eq!(memory.lines().len(), 1, "{}", memory.text());
    assert!(memory.text().contains("is no regular file"));
}

#[test]
fn a_log_that_is_asked_for_by_hand_is_turned_and_others_are_named() {
    let (_dir, path, file) = place();
    let rotation = rotation(Policy { size: None, ..policy() });
    file.write(b"one\n").unwrap();
    let nowhere = Path::new("/nowhere");
    let (turned, problems) = rotation.turn_all(Some(nowhere), &now(), &log().0);
    assert_eq!((turned.len(), &*problems), (0, &["there is no log \"/nowhere\"".to_owned()][..]));
    let (turned, problems) = rotation.turn_all(Some(&path), &now(), &log().0);
    assert_eq!((turned.len(), problems.len()), (1, 0));
    rotation.follow(Rules::default());
    let (turned, problems) = rotation.turn_all(None, &now(), &log().0);
    assert_eq!(
        (turned.len(), &*problems),
        (0, &["no \"log_rotate\" is configured".to_owned()][..])
    );
}

/// Two processes with the same log, four writers each, and everything done to it at once.
#[test]
fn no_line_is_lost_or_cut_under_load_by_two_processes() {
    const LINES: usize = 3000;
    const TURNS: usize = 20;
    let (dir, path, ours) = place();
    let theirs = LogFile::of_another_process(&path);
    let policy = Policy { keep: 10_000, compress: true, ..policy() };
    let (here, there) = (rotation(policy.clone()), rotation(policy.clone()));
    let (done, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (log, memory) = log();
    let written: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let file = if writer % 2 == 0 { &ours } else { &theirs };
                let turns = &turns;
                scope.spawn(move || {
                    let mut line = 0;
                    while line < LINES || (turns.load(Ordering::Relaxed) < TURNS && line < 500_000)
                    {
                        let text = format!("{writer} {line} {}\n", "x".repeat(line % 97));
                        file.write(text.as_bytes()).unwrap();
                        line += 1;
                    }
                    line
                })
            })
            .collect();
        for (rotation, file) in [(&here, &ours), (&there, &theirs)] {
            let (policy, done, log, turns) = (&policy, &done, &log, &turns);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let (turned, _) = rotation.turn(file, policy, true, &now(), log);
                    turns.fetch_add(usize::from(turned.is_some()), Ordering::Relaxed);
                }
            });
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    rotation.tidy(log);
                }
            });
        }
        let written = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        written
    });
    here.follow(Rules { usual: Some(policy), ..Rules::default() });
    here.tidy(&log);
    let text = all_text(dir.path());
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        let (key, rest) = line.rsplit_once(' ').unwrap();
        let number: usize = key.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert_eq!(rest.len(), number % 97, "{line}");
        *seen.entry(key).or_default() += 1;
    }
    assert_eq!(seen.len(), written);
    assert!(seen.values().all(|count| *count == 1));
    let warned: Vec<_> =
        memory.lines().into_iter().filter(|line| line.contains("[warn]")).collect();
    assert!(warned.is_empty(), "{warned:?}");
    assert!(turns.into_inner() >= TURNS);
}

#[test]
fn if_no_new_log_can_be_made_the_old_name_is_taken_back() {
    // Whoever may do anything can always make one.
    if nix::unistd::Uid::effective().is_root() {
        return;
    }
    let (dir, path, file) = place();
    file.write(b"one\n").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let (log, memory) = log();
    assert!(rotation(policy()).look(&now(), &log).is_empty());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "one\n");
    assert!(memory.text().contains("goes on in the old file"), "{}", memory.text());
}
