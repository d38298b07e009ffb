//! `gatepost who`, `gatepost user`.

use super::{Done, Failure, Screen, count};
use crate::admin::Client;
use crate::admin::api::{
    Kicked, MOST_ROWS, MoveAsk, Moved, Session, Sessions, SessionsAsk, UserAsk, Whereabouts,
};
use crate::cli::command::{User, Who};
use crate::cli::human;
use crate::cli::table::{Cell, Table};

pub async fn who(who: Who, client: &Client, screen: &mut Screen<'_>) -> Done {
    let (upstream, server) = match who.upstream {
        None => (None, None),
        Some(name) => {
            let (upstream, server) = split(&name);
            (Some(upstream), server)
        }
    };
    let mut ask = SessionsAsk {
        user: who.user,
        domain: who.domain,
        client: who.client,
        protocol: who.protocol,
        upstream,
        server,
        after: None,
        limit: None,
    };
    let mut wanted = who.limit.unwrap_or(u64::MAX);
    let mut all = Sessions { sessions: Vec::new(), total: 0, next: None };
    // Page by page, as long as there are any and they are wanted.
    while wanted > 0 {
        ask.limit = Some(wanted.min(MOST_ROWS));
        let page: Sessions = client.get("/v1/sessions", &ask).await?;
        wanted = wanted.saturating_sub(page.sessions.len() as u64);
        let is_last = page.next.is_none() || page.next <= ask.after;
        (all.total, all.next, ask.after) = (page.total, page.next, page.next);
        all.sessions.extend(page.sessions);
        if is_last {
            break;
        }
    }
    if screen.has_json(&all) {
        return Ok(0);
    }
    if !all.sessions.is_empty() {
        let table = sessions(&all.sessions, screen);
        screen.table(&table);
    }
    let shown = all.sessions.len() as u64;
    match all.total > shown {
        true => screen.line(format!("{shown} of {}", count(all.total, "session"))),
        false => screen.line(count(shown, "session")),
    }
    Ok(0)
}

fn sessions(all: &[Session], screen: &Screen<'_>) -> Table {
    let head =
        ["NUMBER", "PROTOCOL", "USER", "CLIENT", "TLS", "SERVER", "SINCE", "RECEIVED", "SENT"];
    let mut table = Table::new(&head);
    for one in all {
        table.row([
            one.number.into(),
            (&one.protocol).into(),
            one.user.as_ref().into(),
            (&one.client).into(),
            one.tls.as_ref().into(),
            one.server.as_ref().into(),
            screen.ago(one.since).into(),
            Cell::number(human::bytes(one.received)),
            Cell::number(human::bytes(one.sent)),
        ]);
    }
    table
}

pub async fn user(user: User, client: &Client, screen: &mut Screen<'_>) -> Done {
    match user {
        User::Where { user } => {
            let found: Whereabouts = client.get("/v1/users/where", &UserAsk { user }).await?;
            if screen.has_json(&found) {
                return Ok(0);
            }
            place(&found, screen);
        }
        User::Kick { user } => {
            let done: Kicked = client.post("/v1/users/kick", &UserAsk { user }).await?;
            let exit = screen.exit(&done.problems);
            if screen.has_json(&done) {
                return Ok(exit);
            }
            let ended = count(done.sessions, "session");
            let fleet = fleet(done.told_fleet, &done.problems);
            screen.line(format!("{}: {ended} ended here{fleet}", human::text(&done.user)));
            return Ok(exit);
        }
        User::Move { user, to } => {
            let done: Moved = client.post("/v1/users/move", &MoveAsk { user, to }).await?;
            let exit = screen.exit(&done.problems);
            if screen.has_json(&done) {
                return Ok(exit);
            }
            let from = done.from.as_deref().map(|from| format!("from {} ", human::text(from)));
            let to = done.to.as_deref().map_or_else(
                || "wherever the route leads".to_owned(),
                |to| format!("to {}", human::text(to)),
            );
            let ended = count(done.sessions, "session");
            screen.line(format!(
                "{}: {}{to}, {ended} ended here{}",
                human::text(&done.user),
                from.unwrap_or_default(),
                fleet(done.told_fleet, &done.problems)
            ));
            return Ok(exit);
        }
    }
    Ok(0)
}

fn place(found: &Whereabouts, screen: &mut Screen<'_>) {
    let user = human::text(&found.user);
    match &found.route {
        Some(route) => {
            let upstream = route.upstream.as_deref().map(|name| format!("{}/", human::text(name)));
            screen.line(format!(
                "{user}: route to {}{} ({}, {} old)",
                upstream.unwrap_or_default(),
                human::text(&route.server),
                human::text(&route.origin),
                human::span(std::time::Duration::from_secs(route.age_s)),
            ));
        }
        None => screen.line(format!("{user}: no route is kept")),
    }
    if let Some(lease) = &found.lease {
        screen.line(format!(
            "{user}: bound to {}/{} for {}",
            human::text(&lease.upstream),
            human::text(&lease.server),
            human::span(std::time::Duration::from_secs(lease.expires_s)),
        ));
    }
    for place in &found.hash {
        screen.line(format!(
            "{user}: a new session would be at {}/{}, by hash",
            human::text(&place.upstream),
            human::text(&place.server)
        ));
    }
    match found.sessions.is_empty() {
        true => screen.line("no session here"),
        false => {
            let table = sessions(&found.sessions, screen);
            screen.table(&table);
        }
    }
}

/// What is said of the other gateposts, after what was done here.
pub fn fleet(told: bool, problems: &[String]) -> &'static str {
    match (told, problems) {
        (true, _) => "; the fleet was told",
        (false, []) => "; there is no fleet to tell",
        (false, _) => ", and nowhere else",
    }
}

/// `NAME/SERVER`, or `NAME`.
pub fn split(name: &str) -> (String, Option<String>) {
    match name.split_once('/') {
        Some((upstream, server)) => (upstream.to_owned(), Some(server.to_owned())),
        None => (name.to_owned(), None),
    }
}

/// A name that must be there.
pub fn needed(text: &str, what: &str) -> Result<(), Failure> {
    match text.is_empty() {
        true => Err(Failure::Ours(format!("the {what} is empty"))),
        false => Ok(()),
    }
}
