//! `gatepost upstream`, `gatepost lookup`, and Zimbra's four lists.

use super::people::{fleet, needed, split};
use super::{Done, Failure, Screen, count, mood, plain};
use crate::admin::Client;
use crate::admin::api::{Changed, HandlerAsk, Lists, Lookups, ServersAsk, Upstreams};
use crate::cli::command::{Command, Handler, Lookup, Upstream};
use crate::cli::human;
use crate::cli::table::{Cell, Table};

pub async fn upstream(upstream: Upstream, client: &Client, screen: &mut Screen<'_>) -> Done {
    let is_own = matches!(upstream, Upstream::Lock { .. } | Upstream::Unlock { .. });
    let (call, done, name, end) = match upstream {
        Upstream::List => return list(client, screen).await,
        Upstream::Drain { name, end } => ("/v1/upstreams/drain", "drained", name, end),
        Upstream::Undrain { name } => ("/v1/upstreams/undrain", "in use again", name, false),
        Upstream::Remove { name } => ("/v1/upstreams/remove", "removed", name, true),
        Upstream::Lock { name } => ("/v1/upstreams/lock", "locked", name, false),
        Upstream::Unlock { name } => ("/v1/upstreams/unlock", "unlocked", name, false),
    };
    let (upstream, server) = split(&name);
    needed(&upstream, "upstream")?;
    let changed = client.post(call, &ServersAsk { upstream, server, end }).await?;
    change(&changed, done, is_own, screen)
}

async fn list(client: &Client, screen: &mut Screen<'_>) -> Done {
    let found: Upstreams = plain(client, "/v1/upstreams").await?;
    if screen.has_json(&found) {
        return Ok(0);
    }
    let head = [
        "UPSTREAM", "SERVER", "STATE", "WEIGHT", "SESSIONS", "FAILURES", "P50", "P99", "SINCE",
        "WHY",
    ];
    let mut table = Table::new(&head);
    for upstream in &found.upstreams {
        for server in &upstream.servers {
            let state = server.state.name();
            let next = server.next_probe.map(|next| format!("; next try in {}", screen.left(next)));
            let why = server.last_error.as_ref();
            table.row([
                (&upstream.name).into(),
                (&server.address).into(),
                Cell::moody(state, mood(state)),
                server.weight.into(),
                server.sessions.into(),
                server.failures.into(),
                server.p50_ms.map(|ms| Cell::number(human::millis(ms))).into(),
                server.p99_ms.map(|ms| Cell::number(human::millis(ms))).into(),
                server.since.map(|since| screen.ago(since)).into(),
                why.map(|why| format!("{why}{}", next.unwrap_or_default())).into(),
            ]);
        }
    }
    match table.is_empty() {
        true => screen.line("no upstreams"),
        false => screen.table(&table),
    }
    Ok(0)
}

/// What was done, and to whom. `is_own`: of this gatepost alone, whatever fleet there is.
fn change(changed: &Changed, done: &str, is_own: bool, screen: &mut Screen<'_>) -> Done {
    let exit = screen.exit(&changed.problems);
    if screen.has_json(changed) {
        return Ok(exit);
    }
    if changed.changed.is_empty() {
        screen.line(format!("nothing to do: all are {done}"));
    }
    for name in &changed.changed {
        let reach = match is_own {
            true => "; other gateposts are not told",
            false => fleet(changed.told_fleet, &changed.problems),
        };
        screen.line(format!("{}: {done} here{reach}", human::text(name)));
    }
    if changed.sessions > 0 {
        screen.line(format!("{} ended here", count(changed.sessions, "session")));
    }
    Ok(exit)
}

pub async fn lookup(lookup: Lookup, client: &Client, screen: &mut Screen<'_>) -> Done {
    let (call, done, Handler { handler, lookup }) = match lookup {
        Lookup::List => return handlers(client, screen).await,
        Lookup::Enable(handler) => ("/v1/lookups/enable", "enabled", handler),
        Lookup::Disable(handler) => ("/v1/lookups/disable", "disabled", handler),
    };
    needed(&handler, "handler")?;
    let changed = client.post(call, &HandlerAsk { handler, lookup }).await?;
    change(&changed, done, true, screen)
}

async fn handlers(client: &Client, screen: &mut Screen<'_>) -> Done {
    let found: Lookups = plain(client, "/v1/lookups").await?;
    if screen.has_json(&found) {
        return Ok(0);
    }
    let head =
        ["LOOKUP", "HANDLER", "FROM", "STATE", "ASKED", "ERRORS", "P50", "P99", "LAST", "WHY"];
    let mut table = Table::new(&head);
    for one in &found.handlers {
        let state = one.state.name();
        let last = one.last.as_ref();
        let next = one.next_try.map(|next| format!("; next try in {}", screen.left(next)));
        let why = one.last_error.as_ref();
        table.row([
            (&one.lookup).into(),
            (&one.url).into(),
            (&one.from).into(),
            Cell::moody(state, mood(state)),
            one.asked.into(),
            one.errors.into(),
            one.p50_ms.map(|ms| Cell::number(human::millis(ms))).into(),
            one.p99_ms.map(|ms| Cell::number(human::millis(ms))).into(),
            last.map(|last| format!("{}, {} ago", last.result, screen.ago(last.at))).into(),
            why.map(|why| format!("{why}{}", next.unwrap_or_default())).into(),
        ]);
    }
    match table.is_empty() {
        true => screen.line("no lookup handlers"),
        false => screen.table(&table),
    }
    Ok(0)
}

/// `zmprov`'s formats: one line of words, a blank after each; or a line for each server.
pub async fn zimbra(which: &Command, client: &Client, screen: &mut Screen<'_>) -> Done {
    let lists: Lists = plain(client, "/v1/zimbra").await?;
    if screen.has_json(&lists) {
        return Ok(0);
    }
    let words = match which {
        Command::Lookups => &lists.lookups,
        Command::AuthUrls => &lists.auth_urls,
        Command::Caches => &lists.caches,
        Command::Backends => {
            let none = ["localhost:8080".to_owned()];
            let all = if lists.backends.is_empty() { &none[..] } else { &lists.backends };
            for server in all {
                screen.line(format!("    server {};", human::text(server)));
            }
            return Ok(0);
        }
        _ => return Err(Failure::Ours("no such list".to_owned())),
    };
    let words: String = words.iter().map(|word| format!("{} ", human::text(word))).collect();
    screen.line(words);
    Ok(0)
}
