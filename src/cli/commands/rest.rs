//! `gatepost throttle`, `maintenance`, `report` and `show`.

use super::status::maintenance as described;
use super::{Done, Failure, Screen, mood, plain};
use crate::admin::Client;
use crate::admin::api::{
    Addresses, EndAsk, ForgiveAsk, Forgiven, MOST_ROWS, MaintainAsk, Maintenances, Offenders,
    OffendersAsk, Report, ReportAsk, SpareAsk, Spared,
};
use crate::cli::command::{Maintenance, Throttle};
use crate::cli::table::{Cell, Mood, Table};
use crate::cli::{human, until};
use crate::config::value;

pub async fn throttle(throttle: Throttle, client: &Client, screen: &mut Screen<'_>) -> Done {
    match throttle {
        Throttle::List { limit } => {
            let limit = Some(limit.unwrap_or(MOST_ROWS).min(MOST_ROWS));
            let ask = OffendersAsk { after: None, limit };
            let found: Offenders = client.get("/v1/throttle", &ask).await?;
            if screen.has_json(&found) {
                return Ok(0);
            }
            let mut table = Table::new(&["KIND", "KEY", "FAILURES", "VERDICT", "FOR"]);
            for one in &found.offenders {
                let verdict = one.verdict.name();
                table.row([
                    (&one.kind).into(),
                    (&one.key).into(),
                    one.failures.into(),
                    Cell::moody(verdict, mood(verdict)),
                    one.until.map(|until| screen.left(until)).into(),
                ]);
            }
            if !table.is_empty() {
                screen.table(&table);
            }
            match found.total {
                0 => screen.line("nobody"),
                total if total > found.offenders.len() as u64 => {
                    screen.line(format!("{} of {total}", found.offenders.len()));
                }
                _ => {}
            }
        }
        Throttle::Whitelist { network, off, time } => {
            let for_s = match time.as_deref().map(|text| (text, value::time(text))) {
                None => None,
                Some((_, Some(time))) if time.as_secs() > 0 => Some(time.as_secs()),
                Some((text, _)) => {
                    return Err(Failure::Ours(format!(
                        "\"{text}\" is no time, as 30s, 10m or 2h are"
                    )));
                }
            };
            let found: Spared = match network {
                None => plain(client, "/v1/throttle/whitelist").await?,
                Some(network) => {
                    client.post("/v1/throttle/spare", &SpareAsk { network, off, for_s }).await?
                }
            };
            let exit = screen.exit(&found.problems);
            if screen.has_json(&found) {
                return Ok(exit);
            }
            for network in &found.networks {
                let until = found.until.get(network).map(|until| screen.left(*until));
                let until = until.map(|left| format!(", for {left} more")).unwrap_or_default();
                screen.line(format!("{}{until}", human::text(network)));
            }
            if found.networks.is_empty() {
                screen.line("no network is let alone by order");
            }
            return Ok(exit);
        }
        Throttle::Forgive { key, all } => {
            let done: Forgiven =
                client.post("/v1/throttle/forgive", &ForgiveAsk { key, all }).await?;
            let exit = screen.exit(&done.problems);
            if !screen.has_json(&done) {
                screen.line(format!("{} forgiven", done.forgiven));
            }
            return Ok(exit);
        }
    }
    Ok(0)
}

pub async fn maintenance(command: Maintenance, client: &Client, screen: &mut Screen<'_>) -> Done {
    let found: Maintenances = match command {
        Maintenance::Status => plain(client, "/v1/maintenance").await?,
        Maintenance::On { domain, until, text } => {
            let until = until.map(|text| until::parse(&text, &screen.now));
            let until = until.transpose().map_err(Failure::Ours)?;
            client.post("/v1/maintenance/on", &MaintainAsk { domain, until, text }).await?
        }
        Maintenance::Off { domain } => {
            client.post("/v1/maintenance/off", &EndAsk { domain }).await?
        }
    };
    let exit = screen.exit(&found.problems);
    if screen.has_json(&found) {
        return Ok(exit);
    }
    if found.maintenance.is_empty() {
        screen.line("no maintenance");
    }
    for one in &found.maintenance {
        let words = described(one, screen);
        screen.line(words);
    }
    Ok(exit)
}

pub async fn report(client: &Client, screen: &mut Screen<'_>) -> Done {
    let mut all = Report { episodes: vec![], total: 0, next: None, warnings: vec![] };
    let mut ask = ReportAsk { after: None, limit: Some(MOST_ROWS) };
    loop {
        let page: Report = client.get("/v1/report", &ask).await?;
        let is_last = page.next.is_none() || page.next <= ask.after;
        all.episodes.extend(page.episodes);
        (all.total, all.warnings, ask.after) = (page.total, page.warnings, page.next);
        if is_last {
            break;
        }
    }
    if screen.has_json(&all) {
        return Ok(0);
    }
    let mut table = Table::new(&["BEGAN", "LASTED", "KIND", "NAME", "BY", "CAUSE"]);
    for one in &all.episodes {
        let lasted = human::span(one.lasted(screen.now()));
        table.row([
            screen.time(one.began).into(),
            if one.ended.is_some() { lasted.into() } else { format!("{lasted}, still").into() },
            one.kind.name().into(),
            (&one.name).into(),
            if one.by_hand { "hand" } else { "itself" }.into(),
            one.cause.as_ref().into(),
        ]);
    }
    match table.is_empty() {
        true => screen.line("no episodes"),
        false => screen.table(&table),
    }
    for warning in &all.warnings {
        screen.line(format!("warning: {}", human::text(warning)));
    }
    Ok(0)
}

pub async fn addresses(client: &Client, screen: &mut Screen<'_>) -> Done {
    let found: Addresses = plain(client, "/v1/addresses").await?;
    if screen.has_json(&found) {
        return Ok(0);
    }
    let mut table = Table::new(&["ADDRESS", "INTERFACE", "LISTEN", "SERVER", "DOMAIN"]);
    let mut unassigned = 0;
    for one in &found.addresses {
        let (address, interface) = (one.address.to_string(), &one.interface);
        if one.assigned.is_empty() {
            unassigned += 1;
            table.row([
                (&address).into(),
                interface.into(),
                Cell::moody("unassigned", Mood::Bad),
                Cell::none(),
                Cell::none(),
            ]);
        }
        for assigned in &one.assigned {
            table.row([
                (&address).into(),
                interface.into(),
                (&assigned.listen).into(),
                (&assigned.server).into(),
                assigned.domain.as_ref().into(),
            ]);
        }
    }
    match table.is_empty() {
        true => screen.line("no addresses"),
        false => screen.table(&table),
    }
    if unassigned > 0 {
        screen.line(format!("{unassigned} unassigned: no \"listen\" serves it"));
    }
    Ok(0)
}
