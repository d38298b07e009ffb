use std::path::Path;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use jiff::tz::TimeZone;

use super::*;
use crate::admin::fake::{Fake, NOW};
use crate::admin::socket::Control;
use crate::admin::{self, directives};
use crate::cli::args::Args;
use crate::observe::Log;

/// What standard input has.
const INPUT: &str = "mrose@a.example\n\n  bob@a.example  \n";

struct Ran {
    exit: u8,
    out: String,
    err: String,
    told: Vec<String>,
}

/// Runs a command line against a made-up gatepost at a real socket.
async fn ran(words: &[String], is_well: bool, colour: bool) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.sock");
    let settings = directives::Settings::beside(&path);
    let control = Control::open(&path, &settings, false).unwrap();
    let mut fake = Fake::default();
    fake.is_well = is_well;
    let ops = Arc::new(fake.clone());
    let _stop = admin::serve(control.socket().unwrap(), ops, settings.callers(), &Log::silent());
    let args = Args::try_parse_from(words).unwrap();
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), INPUT.as_bytes());
    let mut screen = Screen {
        out: &mut out,
        err: &mut err,
        input: &mut input,
        colour,
        json: args.json,
        now: jiff::Timestamp::from_second(NOW).unwrap().to_zoned(TimeZone::UTC),
    };
    let done = run(args.command.unwrap(), &Client::new(&path), &mut screen).await;
    let exit = match done {
        Ok(exit) => exit,
        Err(failure) => {
            screen.complain(&failure.words());
            failure.exit()
        }
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { exit, out: text(out), err: text(err), told: fake.told() }
}

/// Words as a shell has them: in single quotes blanks are nothing special.
fn words(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        match at % 2 {
            0 => all.extend(part.split_whitespace().map(ToOwned::to_owned)),
            _ => all.push(part.to_owned()),
        }
    }
    all
}

/// The file has a command in each line that begins with `$ `; below it are what it prints, its errors
/// (`! `), what the gatepost was told (`~ `) and how it ends, unless with 0. `BLESS=1` writes them anew.
#[tokio::test]
async fn every_command_prints_what_the_transcript_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/admin/cli.txt");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    for line in kept.lines().filter(|line| line.starts_with("$ ") || line.starts_with("## ")) {
        fresh.push_str(&format!("{line}\n"));
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let ran = ran(&words(command), false, false).await;
        fresh.push_str(&ran.out);
        for (mark, lines) in [("!", ran.err), ("~", ran.told.join("\n"))] {
            for line in lines.lines().filter(|line| *line != "figures") {
                fresh.push_str(&format!("{mark} {line}\n"));
            }
        }
        if ran.exit != 0 {
            fresh.push_str(&format!("[exit {}]\n", ran.exit));
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    for (kept, fresh) in kept.lines().zip(fresh.lines()) {
        assert_eq!(kept, fresh);
    }
    assert_eq!(kept.len(), fresh.len());
}

/// The manual's examples are the transcript's; what the gatepost was told is not in them.
#[test]
fn the_manual_shows_what_the_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let transcript: String = read("tests/transcripts/admin/cli.txt")
        .lines()
        .filter(|line| !line.starts_with("~ "))
        .map(|line| format!("{line}\n"))
        .collect();
    let examples = |text: &str| -> Vec<String> {
        let parts = text.split("\n$ gatepost").skip(1);
        parts.map(|part| part.trim_end().to_owned()).collect()
    };
    let printed = examples(&transcript);
    let (manual, mut count) = (read("docs/control.md"), 0);
    for block in manual.split("```console").skip(1) {
        for example in examples(block.split("```").next().unwrap()) {
            assert!(printed.contains(&example), "$ gatepost{example}");
            count += 1;
        }
    }
    for command in Args::command().get_subcommands() {
        let name = command.get_name();
        let alias = command.get_all_aliases().next().unwrap_or(name);
        let is_shown =
            [name, alias].iter().any(|name| manual.contains(&format!("$ gatepost {name}")));
        // What needs no gatepost that runs has a manual of its own.
        let apart = read("docs/certificates.md") + &read("docs/configuration.md");
        let is_apart = apart.contains(&format!("`gatepost {name} "));
        assert!(is_shown || is_apart || name == "help", "{name}");
    }
    assert!(count > 30, "where are they?");
}

#[tokio::test]
async fn a_gatepost_that_is_well_exits_with_0() {
    let ran = ran(&words("gatepost status"), true, false).await;
    assert_eq!(ran.exit, 0);
    assert!(ran.out.contains(": ok\n") && !ran.out.contains("problem"), "{}", ran.out);
}

#[tokio::test]
async fn states_have_colours_on_a_terminal_alone() {
    let command = words("gatepost upstream list");
    assert!(ran(&command, false, true).await.out.contains("\x1b[31mlocked\x1b[0m"));
    assert!(!ran(&command, false, false).await.out.contains('\x1b'));
}

#[tokio::test]
async fn a_gatepost_that_is_not_running_is_exit_2() {
    let client = Client::new("/nowhere/gatepost.sock");
    let mut screen = Screen {
        out: &mut Vec::new(),
        err: &mut Vec::new(),
        input: &mut &b""[..],
        colour: false,
        json: false,
        now: Zoned::now(),
    };
    for command in ["status", "who", "garpu", "top --once", "cache purge bob"] {
        let args = Args::try_parse_from(words(&format!("gatepost {command}"))).unwrap();
        let failure = run(args.command.unwrap(), &client, &mut screen).await.unwrap_err();
        assert_eq!(failure.exit(), 2, "{command}");
        assert_eq!(
            failure.words(),
            "gatepost is not running: connect() to \"/nowhere/gatepost.sock\" failed (2: No such \
             file or directory)",
            "{command}"
        );
    }
}

#[tokio::test]
async fn users_and_passwords_may_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let name = path.display().to_string();
    std::fs::write(&path, (0..120).map(|n| format!("u{n}\n")).collect::<String>()).unwrap();
    let done = ran(&words(&format!("gatepost cache purge -L {name}")), false, false).await;
    // In parts: a question is bounded.
    assert_eq!(done.told.len(), 3);
    assert_eq!(done.out, "120 of 240 keys deleted, 3 in this process; the fleet was told\n");
    std::fs::write(&path, "tanstaaf\nmore\n").unwrap();
    let command = format!("gatepost doctor upstream well --login bob --password-file {name}");
    let done = ran(&words(&command), false, false).await;
    assert_eq!(done.told, [r#"examine upstream well Some("bob") Some("tanstaaf")"#]);
    let done = ran(&words("gatepost cache purge -L /nowhere/list"), false, false).await;
    assert!(done.exit == 1 && done.err.contains("\"/nowhere/list\" failed (2: "), "{}", done.err);
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for command in [
        "gatepost dance",
        "gatepost user",
        "gatepost user where",
        "gatepost upstream drain",
        "gatepost cache purge --all bob",
        "gatepost cache purge --all --domain x",
        "gatepost cache purge --list --all",
        "gatepost throttle forgive",
        "gatepost throttle forgive --all 192.0.2.1",
        "gatepost doctor upstream x --password-file -",
        "gatepost top --sort size",
        "gatepost status --nonsense",
    ] {
        assert!(Args::try_parse_from(words(command)).is_err(), "{command}");
    }
}
