//! What fuzzing has found worth keeping holds, at every change.
//!
//! Plays `fuzz/seeds` and `fuzz/corpus` to the functions that the fuzz targets call. A failure says
//! which file it was; `CONTRIBUTING.md` says what then becomes of it.

#![allow(clippy::unwrap_used)] // tests: a panic is the report

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use gatepost::testing::hold;

/// Small enough to be cloned and played without a thought.
const MOST_FILES: usize = 700;
const MOST_BYTES: usize = 500 << 10;

/// Every input of `folder` for `target`, sorted.
fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder:?} is empty");
    paths
}

/// Names the input if its playing panics.
struct Playing<'a>(&'a Path);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("while playing {}", self.0.display());
        }
    }
}

/// Plays all that is kept for `target`, and asks that each row of its table has something to play.
fn play(target: &str) {
    let (_, table) = hold::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let mut unasked: BTreeSet<_> = table.iter().map(|(letter, _)| char::from(*letter)).collect();
    for path in ["seeds", "corpus"].iter().flat_map(|folder| inputs(folder, target)) {
        let input = fs::read(&path).unwrap();
        let playing = Playing(&path);
        assert!(hold::play(table, &input), "no row of the table has its first letter");
        drop(playing);
        unasked.remove(&char::from(input[0]));
    }
    assert!(unasked.is_empty(), "{target}: no input is for {unasked:?}");
}

#[test]
fn what_is_kept_for_config_holds() {
    play("config");
}

#[test]
fn what_is_kept_for_wire_holds() {
    play("wire");
}

#[test]
fn what_is_kept_for_login_holds() {
    play("login");
}

#[test]
fn every_target_is_played_and_what_is_kept_stays_small() {
    let names: Vec<_> = hold::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["config", "wire", "login"], "a target needs a test above");
    let all = |folder| names.iter().flat_map(move |name| inputs(folder, name));
    let paths: Vec<_> = all("seeds").chain(all("corpus")).collect();
    let bytes: u64 = paths.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(
        paths.len() <= MOST_FILES && bytes <= MOST_BYTES as u64,
        "minimise it: CONTRIBUTING.md"
    );
}

#[test]
fn a_letter_asks_for_one_row() {
    for (name, table) in hold::TARGETS {
        let letters: BTreeSet<_> = table.iter().map(|(letter, _)| letter).collect();
        assert_eq!(letters.len(), table.len(), "{name}");
    }
}
