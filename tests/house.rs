//! # The shape of the house is a test
//!
//! Reads `src/` and compares it with the import table of `docs/architecture.md`: who imports whom,
//! what the pure rooms may not touch, how long a file may be, what a room may be called, and that
//! siblings have the same files. Every check is a function over made-up files too, so that planted
//! faults show it can fail.
//!
//! **Limits.** It reads tokens, not types: a room that re-exports another room's type hands it on
//! unseen, and what a macro makes is not looked into.

#![allow(clippy::unwrap_used)] // tests: a panic is the report

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "house/paths.rs"]
mod paths;

use paths::{Root, named};

/// Each room and the rooms it may import, floor by floor. A room may name only rooms above it in
/// this list, which is what makes circles impossible.
const ROOMS: &[(&str, &[&str])] = &[
    // pure
    ("wire", &[]),
    ("message", &[]),
    ("settings", &[]),
    ("template", &["settings"]),
    ("login", &["wire"]),
    // means
    ("observe", &[]),
    ("config", &[]),
    ("net", &["wire", "observe", "config"]),
    ("tls", &["observe", "config", "net"]),
    ("memcached", &["wire", "observe", "config", "net"]),
    ("http", &["wire", "observe", "config", "net", "tls"]),
    ("session", &["wire", "login", "observe", "config", "net", "tls"]),
    // services
    ("throttle", &["login", "observe", "config", "net", "memcached"]),
    ("route", &["login", "observe", "config", "net", "tls", "memcached", "http"]),
    ("store", &["message", "login", "observe", "config"]),
    (
        "queue",
        &[
            "wire", "message", "login", "observe", "config", "net", "tls", "session", "route",
            "store",
        ],
    ),
    // faces
    (
        "proxy",
        &[
            "wire", "login", "observe", "config", "net", "tls", "http", "session", "throttle",
            "route",
        ],
    ),
    (
        "serve",
        &[
            "wire", "message", "login", "observe", "config", "net", "session", "throttle", "store",
            "queue",
        ],
    ),
    ("web", &["message", "login", "observe", "config", "http", "throttle", "store", "queue"]),
    (
        "admin",
        &["login", "observe", "config", "net", "http", "throttle", "route", "store", "queue"],
    ),
    // roof
    (
        "boot",
        &[
            "wire",
            "message",
            "settings",
            "template",
            "login",
            "observe",
            "config",
            "net",
            "tls",
            "memcached",
            "http",
            "session",
            "throttle",
            "route",
            "store",
            "queue",
            "proxy",
            "serve",
            "web",
            "admin",
        ],
    ),
    ("conf", &["settings", "template", "boot"]),
    (
        "cli",
        &[
            "settings", "template", "conf", "observe", "config", "net", "http", "store", "queue",
            "admin", "boot",
        ],
    ),
];

/// Compute only: what an attacker touches first, so it is tested by table and fuzzer alone.
const PURE: &[&str] = &["wire", "message", "settings", "template", "login"];

/// What a pure room may not name, as paths or the beginnings of paths.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["tracing"],
    &["std", "fs"],
    &["std", "thread"],
    &["Instant", "now"],
    &["SystemTime", "now"],
];

const LONGEST: usize = 600;

/// A ratchet: a file that is longer for now, its length, and why. The number may only fall.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Names that say nothing about what is inside. `queue/manager` is postfix's word for the thing.
const EMPTY_NAMES: &[&str] = &["utils", "common", "helpers", "core", "misc", "manager"];

/// The files that each protocol's folder must have, so that who knows one knows the other.
const SIBLINGS: &[(&str, &[&str], &[&str])] = &[
    ("wire", &["imap", "pop3", "sieve", "smtp"], &["command", "reply"]),
    ("login", &["imap", "pop3", "sieve", "smtp"], &["front", "back", "refusal"]),
];

/// One file of `src/`, by its path below it.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn of(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    /// The module it is, from the crate's root down. `lib.rs` and `main.rs` are the root itself.
    fn module(&self) -> Vec<String> {
        let mut parts: Vec<_> =
            self.path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let stem = parts.pop().unwrap();
        let stem = stem.strip_suffix(".rs").unwrap();
        if stem != "mod" && !(parts.is_empty() && matches!(stem, "lib" | "main")) {
            parts.push(stem.to_owned());
        }
        parts
    }

    /// The room it belongs to; `None` for the map of the house.
    fn room(&self) -> Option<String> {
        self.module().into_iter().next()
    }
}

/// Every file of `src/`, sorted.
fn sources() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![top.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(&top).unwrap().to_owned(), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 10, "src/ was not found");
    found
}

fn stray_imports(sources: &[Source]) -> Vec<String> {
    let mut stray = Vec::new();
    for source in sources {
        let file = source.path.display();
        let Some(room) = source.room() else { continue };
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            stray.push(format!("{file}: {room} is not in ROOMS"));
            continue;
        };
        for path in named(&source.text, source.module().len()) {
            if path.root != Root::House {
                continue;
            }
            match path.parts.first().map(String::as_str) {
                None | Some("*" | "self") => stray.push(format!(
                    "{file}:{}: {room} takes the whole house into its hand; name a room",
                    path.line
                )),
                Some(named) if named == room || may.contains(&named) => {}
                // The door for tests/, bench/ and fuzz/ is nobody's way in.
                Some(named) => {
                    stray.push(format!("{file}:{}: {room} may not import {named}", path.line))
                }
            }
        }
    }
    stray.dedup();
    stray
}

fn circles(rooms: &[(&str, &[&str])]) -> Vec<String> {
    let (mut above, mut faults) = (BTreeSet::new(), Vec::new());
    for (room, may) in rooms {
        for named in may.iter().filter(|named| !above.contains(*named)) {
            faults.push(format!("{room} names {named}, which is not above it"));
        }
        above.insert(room);
    }
    faults
}

fn impurities(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let Some(room) = source.room().filter(|room| PURE.contains(&room.as_str())) else {
            continue;
        };
        for path in named(&source.text, source.module().len()) {
            let path_is = |banned: &&&[&str]| match banned {
                // `Instant::now` is as impure behind any prefix.
                [.., "now"] => path.parts.windows(2).any(|two| two == **banned),
                _ => {
                    path.parts.len() >= banned.len()
                        && path.parts.iter().zip(**banned).all(|(part, banned)| part == banned)
                }
            };
            if let Some(banned) = IMPURE.iter().find(path_is) {
                faults.push(format!(
                    "{}:{}: {room} is pure and names {}",
                    source.path.display(),
                    path.line,
                    banned.join("::")
                ));
            }
        }
    }
    faults
}

fn too_long(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let listed = LONG_FILES.iter().find(|(path, ..)| Path::new(path) == source.path);
        match listed {
            None if lines > LONGEST => faults.push(format!(
                "{}: {lines} lines, more than {LONGEST}: would two files be clearer?",
                source.path.display()
            )),
            Some((path, length, _)) if lines != *length => faults.push(format!(
                "{path}: {lines} lines, LONG_FILES says {length}: it may only fall, and be noted"
            )),
            _ => {}
        }
    }
    faults
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let mut faults = BTreeSet::new();
    for source in sources {
        let (module, file) = (source.module(), source.path.display());
        let inline = paths::modules(&source.text);
        for name in module.iter().chain(&inline) {
            let is_postfix_word = name == "manager" && module.first().is_some_and(|r| r == "queue");
            if EMPTY_NAMES.contains(&name.as_str()) && !is_postfix_word {
                faults.insert(format!("{file}: `mod {name}` says nothing about what is in it"));
            }
        }
    }
    faults.into_iter().collect()
}

fn missing_siblings(sources: &[Source]) -> Vec<String> {
    let modules: BTreeSet<_> = sources.iter().map(|source| source.module().join("/")).collect();
    let mut faults = Vec::new();
    for (room, protocols, files) in SIBLINGS {
        for protocol in *protocols {
            for file in *files {
                let module = format!("{room}/{protocol}/{file}");
                if !modules.contains(&module) {
                    faults.push(format!("src/{module}.rs is missing"));
                }
            }
        }
    }
    faults
}

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_room_imports_a_room_it_may_not() {
    none(stray_imports(&sources()));
}

#[test]
fn the_table_has_no_circles() {
    none(circles(ROOMS));
}

#[test]
fn pure_rooms_touch_no_socket_file_clock_or_log() {
    none(impurities(&sources()));
}

#[test]
fn no_file_is_too_long_to_read() {
    none(too_long(&sources()));
}

#[test]
fn a_room_is_named_for_what_is_in_it() {
    none(empty_names(&sources()));
}

#[test]
fn siblings_have_the_same_files() {
    none(missing_siblings(&sources()));
}

#[test]
fn a_planted_import_is_found_by_name_and_file() {
    let planted = [
        ("wire/imap/command.rs", "use crate::net::Stream;", "net"),
        ("wire/mod.rs", "use crate::{login::Secret, wire};", "login"),
        ("login/mod.rs", "use crate::{wire::{Parsed, imap}, route::{self, Route}};", "route"),
        ("net/copy.rs", "use super::super::tls::server;", "tls"),
        ("net/copy.rs", "use super::{super::session, listen};", "session"),
        ("net/mod.rs", "mod tests { use super::super::proxy; }", "proxy"),
        (
            "net/mod.rs",
            "mod tests { mod more { fn f() { super::super::super::boot::run() } } }",
            "boot",
        ),
        ("tls/server.rs", "fn f() -> crate::http::Body { todo!() }", "http"),
        ("tls/server.rs", "fn f() { let x = Vec::<crate::route::Key>::new(); }", "route"),
        ("config/lex.rs", "macro_rules! m { () => { $crate::observe::log() } }", "observe"),
        ("config/lex.rs", "use self::super::super::observe;", "observe"),
        ("config/lex.rs", "use crate :: /* far */ observe;", "observe"),
        ("config/lex.rs", "pub(in crate::boot) struct S;", "boot"),
        ("proxy/desk.rs", "use crate::testing::Door;", "testing"),
        ("proxy/desk.rs", "use crate::r#serve::desk;", "serve"),
    ];
    for (path, text, named) in planted {
        let faults = stray_imports(&[Source::of(path, text)]);
        let room = path.split('/').next().unwrap();
        let claim = format!("{path}:1: {room} may not import {named}");
        assert_eq!(faults, [claim], "{text}");
    }
    for text in [
        "use crate as house;",
        "use crate::{self as house};",
        "use crate::*;",
        "use super::super::*;",
    ] {
        let faults = stray_imports(&[Source::of("net/dns.rs", text)]);
        assert!(faults.len() == 1 && faults[0].contains("whole house"), "{text}: {faults:?}");
    }
    let faults = stray_imports(&[Source::of("attic/mod.rs", "")]);
    assert_eq!(faults, ["attic/mod.rs: attic is not in ROOMS"]);
}

#[test]
fn what_only_looks_like_an_import_is_let_be() {
    let innocent = [
        ("wire/mod.rs", "//! See `crate::net`.\n/* use crate::tls; /* nested */ crate::http */"),
        ("wire/mod.rs", "const A: &str = \"crate::net\"; const B: &str = r#\"use \"crate::net\"#;"),
        ("wire/mod.rs", "fn f<'a>(x: &'a u8) -> char { '\"' } // \"\ncrate::wire::Parsed;"),
        ("net/mod.rs", "mod tests { use super::*; use crate::wire::haproxy; }"),
        ("net/copy.rs", "use super::{listen, stream::{self, Stream}};"),
        ("net/copy.rs", "pub(crate) fn f() {} pub(super) fn g() {} pub(in super::super) fn h() {}"),
        ("login/imap/front.rs", "use super::super::{Action, Event}; use crate::wire::imap;"),
        ("main.rs", "fn main() { gatepost::cli::main() }"),
    ];
    for (path, text) in innocent {
        assert_eq!(stray_imports(&[Source::of(path, text)]), [""; 0], "{text}");
    }
}

#[test]
fn a_planted_circle_is_found() {
    let faults = circles(&[("wire", &[]), ("net", &["tls"]), ("tls", &["wire", "net"])]);
    assert_eq!(faults, ["net names tls, which is not above it"]);
    assert_eq!(circles(&[("wire", &["wire"])]).len(), 1);
}

#[test]
fn a_planted_clock_is_found() {
    let planted = [
        ("wire/mod.rs", "fn f() { let t = std::time::Instant::now(); }", "Instant::now"),
        ("login/mod.rs", "use std::time; fn f() { time::SystemTime::now(); }", "SystemTime::now"),
        ("login/mod.rs", "use std::time::Instant; fn f() { Instant::now(); }", "Instant::now"),
        ("wire/mod.rs", "use std::{io, fs::File};", "std::fs"),
        ("wire/mod.rs", "fn f() { std::thread::yield_now() }", "std::thread"),
        ("login/imap/front.rs", "use tokio::io::AsyncRead;", "tokio"),
        ("login/imap/front.rs", "#[tracing::instrument] fn f() {}", "tracing"),
        ("login/imap/front.rs", "use ::tokio::net;", "tokio"),
    ];
    for (path, text, what) in planted {
        let faults = impurities(&[Source::of(path, text)]);
        let room = path.split('/').next().unwrap();
        assert_eq!(faults, [format!("{path}:1: {room} is pure and names {what}")], "{text}");
    }
    let innocent = "use std::time::{Duration, Instant}; fn f(now: Instant) { now.elapsed(); }";
    assert_eq!(impurities(&[Source::of("wire/mod.rs", innocent)]), [""; 0]);
    let means = "use tokio::net; fn f() { Instant::now(); }";
    assert_eq!(impurities(&[Source::of("net/mod.rs", means)]), [""; 0]);
}

#[test]
fn a_planted_long_file_is_found() {
    let faults = too_long(&[Source::of("net/copy.rs", &"\n".repeat(LONGEST + 1))]);
    assert_eq!(faults, ["net/copy.rs: 601 lines, more than 600: would two files be clearer?"]);
    assert_eq!(too_long(&[Source::of("net/copy.rs", &"\n".repeat(LONGEST))]), [""; 0]);
}

#[test]
fn a_planted_empty_name_is_found() {
    for (path, text) in [
        ("net/utils.rs", ""),
        ("tls/helpers/mod.rs", ""),
        ("tls/mod.rs", "mod common { }"),
        ("proxy/manager.rs", ""),
        ("wire/mod.rs", "pub mod misc;"),
    ] {
        assert_eq!(empty_names(&[Source::of(path, text)]).len(), 1, "{path} {text}");
    }
    assert_eq!(empty_names(&[Source::of("queue/manager.rs", "mod tests {}")]), [""; 0]);
}

#[test]
fn a_missing_sibling_is_found() {
    let mut house: Vec<_> = SIBLINGS
        .iter()
        .flat_map(|(room, protocols, files)| {
            protocols.iter().flat_map(move |protocol| {
                files.iter().map(move |file| format!("{room}/{protocol}/{file}"))
            })
        })
        .map(|module| Source::of(&format!("{module}.rs"), ""))
        .collect();
    assert_eq!(missing_siblings(&house), [""; 0]);
    house[0] = Source::of("wire/imap/command/mod.rs", "");
    assert_eq!(missing_siblings(&house), [""; 0], "a folder is as good as a file");
    house.pop();
    assert_eq!(missing_siblings(&house), ["src/login/smtp/refusal.rs is missing"]);
}
