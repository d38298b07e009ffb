//! `gatepost status`.

use super::{Done, Screen, mood, plain};
use crate::admin::Client;
use crate::admin::api::{Health, Maintenance, Part, Status};
use crate::cli::human;
use crate::cli::table::{Cell, Table};

pub async fn run(client: &Client, screen: &mut Screen<'_>) -> Done {
    let status: Status = plain(client, "/v1/status").await?;
    let exit = u8::from(status.state != Health::Ok);
    if screen.has_json(&status) {
        return Ok(exit);
    }
    let uptime = human::span(std::time::Duration::from_secs(status.uptime_s));
    screen.line(format!(
        "gatepost {}, pid {}, up {uptime}, configuration {}: {}",
        human::text(&status.version),
        status.pid,
        status.generation,
        status.state.name(),
    ));
    if !status.sessions.is_empty() {
        let mut table = Table::new(&["SESSIONS", "WAITING", "RELAYING"]);
        for row in &status.sessions {
            table.row([(&row.protocol).into(), row.waiting.into(), row.relaying.into()]);
        }
        screen.table(&table);
    }
    parts("UPSTREAM", &status.upstreams, screen);
    parts("LOOKUP", &status.lookups, screen);
    parts("CACHE", &status.caches, screen);
    for lock in &status.locks {
        let next = lock.next_probe.map(|next| format!(", next try in {}", screen.left(next)));
        screen.line(format!(
            "locked: {} {} for {}: {}{}",
            human::text(&lock.kind),
            human::text(&lock.name),
            screen.ago(lock.since),
            human::text(&lock.cause),
            next.unwrap_or_default(),
        ));
    }
    for one in &status.maintenance {
        let words = maintenance(one, screen);
        screen.line(format!("maintenance: {words}"));
    }
    for one in &status.levels {
        let words = super::logs::described(one, screen);
        screen.line(format!("log level: {words}"));
    }
    for problem in &status.problems {
        screen.line(format!("problem: {}", human::text(problem)));
    }
    Ok(exit)
}

fn parts(head: &'static str, parts: &[Part], screen: &mut Screen<'_>) {
    if parts.is_empty() {
        return;
    }
    let mut table = Table::new(&[head, "STATE", "USABLE"]);
    for part in parts {
        let usable = format!("{} of {}", part.usable, part.servers);
        let usable = if part.state == Health::Off { Cell::none() } else { usable.into() };
        table.row([
            (&part.name).into(),
            Cell::moody(part.state.name(), mood(part.state.name())),
            usable,
        ]);
    }
    screen.table(&table);
}

/// One maintenance in a line.
pub fn maintenance(one: &Maintenance, screen: &Screen<'_>) -> String {
    let whose = match (&one.upstream, &one.domain) {
        (Some(upstream), _) => format!("upstream {}", human::text(upstream)),
        (None, Some(domain)) => human::text(domain),
        (None, None) => "everybody's".to_owned(),
    };
    let by = if one.by_hand { "by hand" } else { "by itself" };
    let until = one.until.map(|until| format!(", until {}", screen.time(until)));
    let words = one.text.as_ref().or(one.cause.as_ref());
    let words = words.map(|words| format!(": {}", human::text(words)));
    format!(
        "{whose}, {by}, for {}{}{}",
        screen.ago(one.since),
        until.unwrap_or_default(),
        words.unwrap_or_default()
    )
}
