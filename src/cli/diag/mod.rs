//! `gatepost diag`: one text that tells others what they need to know, and no secret.
//!
//! What can be told without a gatepost that runs is told first; the rest is asked at its control
//! socket. Secrets are taken out twice: where the configuration is written, by what the records of
//! the directives say; and at the end, whatever was found to be one, from the whole text.

mod mask;
mod system;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Zoned;
use serde_json::Value;

use super::command::Diag;
use super::say;
use crate::admin::Client;
use crate::admin::api::Nothing;
use crate::boot::{Options, diag};

/// How long all names together may take to be looked up, and one of them.
const ALL_NAMES: Duration = Duration::from_secs(20);
const ONE_NAME: Duration = Duration::from_secs(3);

/// What is asked, and what it is called in the report.
const ASKED: &[(&str, &str)] = &[
    ("status", "/v1/status"),
    ("upstreams", "/v1/upstreams"),
    ("lookups", "/v1/lookups"),
    ("caches", "/v1/caches"),
    ("throttle", "/v1/throttle"),
    ("throttle whitelist", "/v1/throttle/whitelist"),
    ("maintenance", "/v1/maintenance"),
    ("log levels", "/v1/log/levels"),
];

/// Writes the report to where it is wanted. That no gatepost runs is no error.
pub fn run(diag: &Diag, options: &Options, control: Result<PathBuf, String>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("gatepost: starting the event loop failed ({error})"));
            return ExitCode::FAILURE;
        }
    };
    let text = runtime.block_on(report(options, control, diag.with_addresses));
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    let done = match &diag.out {
        Some(path) => write(path, &text),
        None => io::stdout().write_all(text.as_bytes()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let path = diag.out.as_deref().unwrap_or(Path::new("standard output"));
            say(&format!("gatepost: \"{}\": {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}

/// For its owner alone, from the first byte, and never half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}", std::process::id()));
    let part = PathBuf::from(part);
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    let done = written();
    if done.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
        let _ = fs::remove_file(&part);
    }
    done
}

async fn report(
    options: &Options,
    control: Result<PathBuf, String>,
    with_addresses: bool,
) -> String {
    let examined = diag::examine(options, with_addresses);
    let mut text = String::new();
    let now = Zoned::now();
    section(&mut text, "gatepost", &super::version(true));
    section(&mut text, "time", &now.strftime("%Y-%m-%dT%H:%M:%S%:z (%Z)").to_string());
    section(&mut text, "system", &system::described());
    let file = options.configuration.display();
    let faults = match examined.faults.is_empty() {
        true => format!("{file} is usable"),
        false => format!("{file} is not usable:\n{}", examined.faults.join("\n")),
    };
    section(&mut text, "configuration check", &faults);
    section(&mut text, "effective configuration", &examined.text);
    section(&mut text, "certificates", &examined.certificates.join("\n"));
    section(&mut text, "names in DNS", &names(&examined.hosts).await);
    let mut known = mask::addresses(&text);
    let mut asked = String::new();
    match control {
        Ok(path) => known.extend(ask(&Client::new(&path), with_addresses, &mut asked).await),
        Err(why) => section(&mut asked, "the gatepost that runs", &format!("not asked: {why}")),
    }
    // First of all: what is left of a secret when half of it was masked is not found any more.
    text = mask::without_secrets(&text, &examined.secrets);
    asked = mask::without_secrets(&asked, &examined.secrets);
    if !with_addresses {
        asked = mask::without_clients(&asked, &known);
    }
    text.push_str(&asked);
    match with_addresses {
        true => text,
        false => mask::without_users(&text),
    }
}

fn section(text: &mut String, title: &str, body: &str) {
    let body = body.trim_end();
    // Writing to a String cannot fail; so below.
    let _ = writeln!(text, "== {title} ==\n{}\n", if body.is_empty() { "none" } else { body });
}

async fn names(hosts: &std::collections::BTreeSet<String>) -> String {
    let mut text = String::new();
    let all = async {
        for host in hosts {
            let asked = tokio::net::lookup_host((host.as_str(), 0));
            let found = match tokio::time::timeout(ONE_NAME, asked).await {
                Ok(Ok(found)) => {
                    let found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
                    found.join(" ")
                }
                Ok(Err(error)) => format!("fails: {error}"),
                Err(_) => format!("no answer within {} s", ONE_NAME.as_secs()),
            };
            let _ = writeln!(text, "{host}: {found}");
        }
    };
    if tokio::time::timeout(ALL_NAMES, all).await.is_err() {
        text.push_str("the others were not looked up: it took too long\n");
    }
    text
}

/// Asks all there is to ask. Gives the addresses of servers that are in the answers.
async fn ask(
    client: &Client,
    with_addresses: bool,
    text: &mut String,
) -> std::collections::BTreeSet<std::net::IpAddr> {
    let mut known = std::collections::BTreeSet::new();
    let vitals = client.get::<Value>("/v1/diag", &Nothing {}).await;
    let vitals = match vitals {
        Ok(vitals) => vitals,
        Err(error) => {
            section(text, "the gatepost that runs", &format!("not reached: {error}"));
            return known;
        }
    };
    let pid = vitals["pid"].as_u64().unwrap_or(0);
    section(text, "the gatepost that runs", &system::limits(pid));
    for (title, call) in ASKED {
        match client.get::<Value>(call, &Nothing {}).await {
            Ok(mut answer) => {
                if !with_addresses {
                    mask::without_users_in(&mut answer);
                }
                let answer = serde_json::to_string_pretty(&answer).expect("JSON is JSON");
                if matches!(*title, "upstreams" | "lookups" | "caches") {
                    known.extend(mask::addresses(&answer));
                }
                section(text, title, &answer);
            }
            Err(error) => section(text, title, &format!("fails: {error}")),
        }
    }
    let lines = |name: &str| -> String {
        let all = vitals[name].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(|line| format!("{line}\n")).collect()
    };
    section(text, "listeners", &lines("listens"));
    known.extend(mask::addresses(&lines("listens")));
    section(text, "last warnings", &lines("warnings"));
    section(text, "metrics", vitals["metrics"].as_str().unwrap_or(""));
    known
}
