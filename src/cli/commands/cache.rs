//! `gatepost cache`.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::{Done, Failure, Screen, count, mood, plain};
use crate::admin::Client;
use crate::admin::api::{Caches, Entries, ListAsk, MOST_ROWS, PurgeAsk, Purged};
use crate::cli::command::{Cache, Purge};
use crate::cli::format::Format;
use crate::cli::human;
use crate::cli::table::{Cell, Table};

/// So many users are purged with one question.
const AT_ONCE: usize = 50;

/// The longest list of users that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;

pub async fn run(command: Cache, client: &Client, screen: &mut Screen<'_>) -> Done {
    match command {
        Cache::Status => status(client, screen).await,
        Cache::Purge(purge) => {
            let format = Format::parse(&purge.output, 3);
            let format = format.map_err(|wrong| Failure::Ours(wrong.to_string()))?;
            match (purge.list, purge.info) {
                (true, _) => {
                    let user = purge.users.first().cloned();
                    let ask = ListAsk { user, domain: purge.domain, ..ListAsk::default() };
                    let mut all = none();
                    list(ask, client, &format, screen, &mut all).await?;
                    whole(all, screen)
                }
                (_, true) => {
                    let mut all = none();
                    for user in users(&purge, screen)? {
                        let ask = ListAsk { user: Some(user), ..ListAsk::default() };
                        list(ask, client, &format, screen, &mut all).await?;
                    }
                    whole(all, screen)
                }
                _ => forget(&purge, client, screen).await,
            }
        }
    }
}

async fn status(client: &Client, screen: &mut Screen<'_>) -> Done {
    let found: Caches = plain(client, "/v1/caches").await?;
    if screen.has_json(&found) {
        return Ok(0);
    }
    let mut table = Table::new(&["SERVER", "STATE", "REQUESTS", "ERRORS", "P50", "P99", "WHY"]);
    for server in &found.servers {
        let state = server.state.name();
        table.row([
            (&server.address).into(),
            Cell::moody(state, mood(state)),
            server.requests.into(),
            server.errors.into(),
            server.p50_ms.map(|ms| Cell::number(human::millis(ms))).into(),
            server.p99_ms.map(|ms| Cell::number(human::millis(ms))).into(),
            server.last_error.as_ref().into(),
        ]);
    }
    match table.is_empty() {
        true => screen.line("no shared cache"),
        false => screen.table(&table),
    }
    let process = &found.process;
    screen.line(format!(
        "in this process: {}, {} of {} bytes",
        match process.entries {
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        },
        human::bytes(process.bytes),
        human::bytes(process.max_bytes),
    ));
    if !found.kinds.is_empty() {
        let head = ["TIER", "KIND", "HITS", "STALE", "MISSES", "REFUSED", "ERRORS"];
        let mut table = Table::new(&head);
        for kind in &found.kinds {
            table.row([
                (&kind.tier).into(),
                (&kind.kind).into(),
                kind.hits.into(),
                kind.stale.into(),
                kind.misses.into(),
                kind.refused.into(),
                kind.errors.into(),
            ]);
        }
        screen.table(&table);
    }
    Ok(0)
}

/// Prints entries as they come, or keeps them for one answer in JSON.
async fn list(
    mut ask: ListAsk,
    client: &Client,
    format: &Format,
    screen: &mut Screen<'_>,
    all: &mut Entries,
) -> Result<(), Failure> {
    ask.limit = Some(MOST_ROWS);
    loop {
        let page: Entries = client.get("/v1/cache/list", &ask).await?;
        let is_last = page.next.is_none() || page.next <= ask.after;
        for problem in page.problems {
            if !all.problems.contains(&problem) {
                all.problems.push(problem);
            }
        }
        if screen.json {
            all.entries.extend(page.entries);
        } else {
            for entry in &page.entries {
                let value = entry.value.as_deref().unwrap_or("null");
                let cells = [&*entry.server, &*entry.key, value].map(human::text);
                screen.line(format.fill(&[&*cells[0], &*cells[1], &*cells[2]]));
            }
        }
        if is_last {
            return Ok(());
        }
        ask.after = page.next;
    }
}

fn none() -> Entries {
    Entries { entries: Vec::new(), total: 0, next: None, problems: Vec::new() }
}

fn whole(mut all: Entries, screen: &mut Screen<'_>) -> Done {
    let exit = screen.exit(&all.problems);
    all.total = all.entries.len() as u64;
    screen.has_json(&all);
    Ok(exit)
}

async fn forget(purge: &Purge, client: &Client, screen: &mut Screen<'_>) -> Done {
    let mut all = Purged { removed: vec![], entries: 0, told_fleet: true, problems: vec![] };
    let ask = |users: &[String]| PurgeAsk {
        users: users.to_vec(),
        domain: purge.domain.clone(),
        all: purge.all,
    };
    if purge.domain.is_some() || purge.all {
        let done = client.post("/v1/cache/purge", &ask(&[])).await?;
        add(&mut all, done, purge.verbose, screen);
    } else {
        for users in users(purge, screen)?.chunks(AT_ONCE) {
            let done = client.post("/v1/cache/purge", &ask(users)).await?;
            add(&mut all, done, purge.verbose, screen);
        }
    }
    let exit = u8::from(!all.problems.is_empty());
    if screen.has_json(&all) {
        return Ok(exit);
    }
    for problem in &all.problems {
        screen.complain(problem);
    }
    if !purge.verbose {
        let found = all.removed.iter().filter(|removed| removed.found).count() as u64;
        let what = match (&purge.domain, purge.all) {
            (Some(domain), _) => format!("routes of {} forgotten", human::text(domain)),
            (_, true) => "all routes forgotten".to_owned(),
            _ => format!("{} of {} deleted", found, count(all.removed.len() as u64, "key")),
        };
        let told = if all.told_fleet { "; the fleet was told" } else { "" };
        screen.line(format!("{what}, {} in this process{told}", all.entries));
    }
    Ok(exit)
}

fn add(all: &mut Purged, done: Purged, verbose: bool, screen: &mut Screen<'_>) {
    if verbose && !screen.json {
        for removed in &done.removed {
            let (key, server) = (human::text(&removed.key), human::text(&removed.server));
            screen.line(format!("Purging {key} on server {server}"));
        }
    }
    all.removed.extend(done.removed);
    all.entries += done.entries;
    all.told_fleet &= done.told_fleet;
    all.problems.extend(done.problems);
}

/// Everybody whom the command line names, by themselves or in a file.
fn users(purge: &Purge, screen: &mut Screen<'_>) -> Result<Vec<String>, Failure> {
    let mut users: Vec<_> = purge.users.iter().chain(&purge.accounts).cloned().collect();
    if let Some(path) = &purge.file {
        let read = if path == Path::new("-") {
            lines(&mut *screen.input)
        } else {
            std::fs::File::open(path).and_then(|file| lines(BufReader::new(file)))
        };
        let fail = |error| {
            let words = crate::config::value::os_error(&error);
            Failure::Ours(format!("reading \"{}\" failed ({words})", path.display()))
        };
        users.extend(read.map_err(fail)?);
    }
    match users.is_empty() {
        true => Err(Failure::Ours("nobody is named: give USER, -L FILE, --domain or --all".into())),
        false => Ok(users),
    }
}

fn lines(from: impl BufRead) -> std::io::Result<Vec<String>> {
    let lines = from.take(MAX_LIST).lines();
    let users = lines.map(|line| line.map(|line| line.trim().to_owned()));
    users.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty())).collect()
}
