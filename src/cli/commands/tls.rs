//! `gatepost tls`: certificates, as the configuration leads to them.

use serde_json::json;

use super::{Done, Failure, Screen, count};
use crate::boot::Options;
use crate::boot::certificates::{self, Fresh, Shown};
use crate::cli::command::{Deploy, Tls};
use crate::cli::human;
use crate::cli::table::{Cell, Mood, Table};

pub fn run(command: &Tls, options: &Options, screen: &mut Screen<'_>) -> Done {
    let now = screen.now.timestamp().as_second();
    if let Tls::Deploy(deploy) = command {
        return put(deploy, options, now, screen);
    }
    let (mut all, problems) =
        certificates::survey(options, now).map_err(|faults| Failure::Ours(faults.join("; ")))?;
    let exit = match command {
        Tls::Expiring { days } => {
            all.retain(|one| one.days_left.is_some_and(|left| left < i64::from(*days)));
            all.sort_by_key(|one| one.not_after);
            u8::from(!all.is_empty())
        }
        Tls::Check => {
            let is_bad = !problems.is_empty() || all.iter().any(|one| !one.faults.is_empty());
            u8::from(is_bad)
        }
        Tls::List | Tls::Deploy(_) => 0,
    };
    if screen.has_json(&json!({ "certificates": all, "problems": problems })) {
        return Ok(exit);
    }
    match command {
        Tls::Check => check(&all, &problems, screen),
        _ => list(&all, screen),
    }
    Ok(exit)
}

fn check(all: &[Shown], problems: &[String], screen: &mut Screen<'_>) {
    for problem in problems {
        screen.line(human::text(problem));
    }
    let mut bad = 0;
    for one in all.iter().filter(|one| !one.faults.is_empty() || !one.notes.is_empty()) {
        screen.line(human::text(&one.certificate.display().to_string()));
        for fault in &one.faults {
            screen.line(format!("  fault: {}", human::text(fault)));
        }
        for note in &one.notes {
            screen.line(format!("  note: {}", human::text(note)));
        }
        bad += u64::from(!one.faults.is_empty());
    }
    let all = count(all.len() as u64, "certificate");
    screen.line(format!("{all}, {bad} with faults"));
}

fn list(all: &[Shown], screen: &mut Screen<'_>) {
    /// More are counted: a line must stay a line.
    const NAMES: usize = 3;
    let mut table = Table::new(&["NAMES", "DAYS", "ISSUER", "FILE", "SERVED AT"]);
    for one in all {
        let mut names = one.names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(" ");
        if one.names.len() > NAMES {
            names = format!("{names} +{}", one.names.len() - NAMES);
        }
        let days = one.days_left.map_or_else(Cell::none, |left| {
            let mood = if left < 14 { Mood::Bad } else { Mood::Plain };
            Cell::moody(left.to_string(), mood)
        });
        table.row([
            names.into(),
            days,
            one.issuer.as_str().into(),
            one.certificate.display().to_string().into(),
            one.listens.join(" ").into(),
        ]);
    }
    if !table.is_empty() {
        screen.table(&table);
    }
}

fn put(deploy: &Deploy, options: &Options, now: i64, screen: &mut Screen<'_>) -> Done {
    let fresh = Fresh {
        certificate: &deploy.cert,
        key: &deploy.key,
        chain: deploy.chain.as_deref(),
        domain: deploy.domain.as_deref(),
    };
    let done = certificates::deploy(options, &fresh, now)
        .map_err(|faults| Failure::Ours(format!("nothing is changed: {}", faults.join("; "))))?;
    if screen.has_json(&done) {
        return Ok(0);
    }
    let folder = human::text(&done.folder.display().to_string());
    let verb = if done.replaced { "replaced in" } else { "stored in" };
    screen.line(format!("{verb} {folder}: {}", human::text(&done.names.join(" "))));
    for note in &done.notes {
        screen.line(format!("note: {}", human::text(note)));
    }
    screen.line("a gatepost that runs serves it within seconds");
    Ok(0)
}
