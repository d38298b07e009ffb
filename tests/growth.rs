//! Four times the input is about four times the work, whatever it is made of.
//!
//! Plays long inputs to the functions that the fuzz targets call: each seed of `fuzz/seeds` over and
//! over, and each of some words. What counts is the thread's own time on the processor: other work on the
//! machine has no say in it.

#![allow(clippy::unwrap_used)] // tests: a panic is the report

use std::fs;
use std::path::Path;
use std::time::Duration;

use gatepost::testing::hold;
use nix::sys::resource::{UsageWho, getrusage};

const SHORT: usize = 8 << 10;
const LONG: usize = 4 * SHORT;
/// Work that is linear takes 4 times as long, quadratic 16 times.
const MOST: u32 = 10;
/// What is done in this time is not worth a second look, nor can it be measured well.
const SOON: Duration = Duration::from_millis(60);

/// What a peer may say over and over.
const WORDS: &[&str] = &[
    "a",
    " ",
    "\\",
    "\"",
    "(",
    ")",
    "()",
    "\"a\" ",
    "{1}\r\n",
    "{1+}\r\na",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "=",
    "==",
    ",",
    "a=b,",
    "a=b ",
    "=2C",
    "+2B",
    "<",
    "@",
    ":",
    ".",
    "a.",
    "$",
    "${a}",
    "%",
    ";",
    "a;",
    "a{",
    "}",
    "'",
    "#\n",
    "* ",
    "* OK a\r\n",
    "+ ",
    "+OK a\r\n",
    "-ERR\r\n",
    "250-a\r\n",
    "250-AUTH a b\r\n",
    "334 \r\n",
    "OK\r\n",
    "\"a\" \"b\"\r\n",
    "AAAA",
    "a\r\n",
    "a b\r\n",
    "\u{1}",
    "é",
    "-----BEGIN ",
    "-----BEGIN CERTIFICATE-----\n",
    "-----BEGIN A-----\n?\n-----END A-----\n",
    "a: b\r\n",
    "Auth-Status: OK\n",
    "0",
];

fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| {
            let (seconds, micros) = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
            Duration::from_secs(seconds) + Duration::from_micros(micros)
        })
        .sum()
}

/// How long it takes to play `input`.
fn time(table: &[hold::Row], input: &[u8]) -> Duration {
    let before = spent();
    assert!(hold::play(table, input));
    spent() - before
}

/// `head` and then `word` over and over, `length` bytes in all.
fn over_and_over(head: &[u8], word: &[u8], length: usize) -> Vec<u8> {
    head.iter().chain(word.iter().cycle()).copied().take(length).collect()
}

/// Says how long the two take, if that is out of proportion.
fn fault(table: &[hold::Row], short: &[u8], long: &[u8]) -> Option<String> {
    let first = time(table, long);
    if first <= SOON {
        return None;
    }
    // Whatever got in between did so once.
    let short = (0..2).map(|_| time(table, short)).max()?;
    let long = (0..2).map(|_| time(table, long)).min()?.min(first);
    (long > SOON && long > short * MOST).then(|| format!("{short:?}, then {long:?}"))
}

#[test]
fn four_times_the_input_is_no_more_than_ten_times_the_work() {
    let mut slow = Vec::new();
    for (target, table) in hold::TARGETS {
        let mut inputs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        for entry in fs::read_dir(seeds).unwrap() {
            let seed = fs::read(entry.unwrap().path()).unwrap();
            // Dialogues are chosen by two more bytes.
            let head = seed.len().min(if *target == "login" { 3 } else { 1 });
            inputs.push((seed[..head].to_vec(), seed[head..].to_vec()));
            inputs.push((seed.clone(), seed[seed.len() / 2..].to_vec()));
        }
        for (letter, _) in *table {
            for word in WORDS {
                inputs.push((vec![*letter], word.as_bytes().to_vec()));
            }
        }
        for (head, word) in inputs.iter().filter(|(_, word)| !word.is_empty()) {
            let of = |length| over_and_over(head, word, length);
            if let Some(fault) = fault(table, &of(SHORT), &of(LONG)) {
                let (head, word) = (head.escape_ascii(), word.escape_ascii());
                slow.push(format!("{target}: {head} and then {word}: {fault}"));
            }
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

#[test]
fn four_times_the_ports_are_no_more_than_ten_times_the_work() {
    let of = |ports: usize| {
        let listen = format!("listen 127.0.0.1:1-{ports}; protocol imap;");
        let shown = format!("metrics 127.0.0.1:1-{ports};");
        let mail = format!("auth_http 127.0.0.1:9; server {{ {listen} }} server {{ {listen} }}");
        format!("m{shown} mail {{ {mail} }}").into_bytes()
    };
    assert_eq!(fault(hold::CONFIG, &of(12_000), &of(48_000)), None);
}
