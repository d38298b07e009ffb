//! The medians as a table in Markdown, which reads well on a terminal too.

use crate::measure::{Measure, Unit};
use crate::rounds::Measured;

/// Whose figures are the measure of the others'.
const YARDSTICK: &str = "nginx";
/// A ratio to nginx says nothing about the server behind.
const UNCOMPARED: &str = "direct";

/// The goals are gatepost's; another nginx has none.
fn aims(peer: &str) -> bool {
    !peer.starts_with(YARDSTICK)
}

pub fn render(measures: &[Measure], peers: &[String], measured: &Measured, calls: bool) -> String {
    let yardstick = peers.iter().any(|peer| peer == YARDSTICK);
    let compared = |peer: &str| yardstick && peer != YARDSTICK && peer != UNCOMPARED;
    let mut head =
        vec![if calls { "system calls" } else { "own CPU, or as said" }.to_owned(), String::new()];
    for peer in peers {
        head.push(peer.clone());
        head.extend(compared(peer).then(|| "to nginx".to_owned()));
    }
    let goals = !calls && peers.iter().any(|peer| compared(peer) && aims(peer));
    head.extend(goals.then(|| "goal".to_owned()));
    let mut rows = vec![head];
    for measure in measures {
        let mut row = vec![measure.name.to_owned(), unit(measure.unit, calls).to_owned()];
        let middle =
            |peer: &str| measured.get(&(measure.name, peer.to_owned())).map(|all| median(all));
        for peer in peers {
            let all = measured.get(&(measure.name, peer.clone()));
            row.push(all.map(|all| figure(all)).unwrap_or_default());
            if compared(peer) {
                let ratio = middle(peer).zip(middle(YARDSTICK)).map(|(own, nginx)| own / nginx);
                row.push(
                    ratio
                        .map(|ratio| verdict(ratio, measure, goals && aims(peer)))
                        .unwrap_or_default(),
                );
            }
        }
        row.extend(
            goals.then(|| measure.goal.map(|goal| format!("≤ {goal:.2}")).unwrap_or_default()),
        );
        rows.push(row);
        // The same figure as the issue wants it: how many in a second of CPU time.
        if measure.unit == Unit::UsPerHandshake && !calls {
            rows.push(per_second(measure, peers, measured, compared, goals));
        }
    }
    lay_out(&rows)
}

fn per_second(
    measure: &Measure,
    peers: &[String],
    measured: &Measured,
    compared: impl Fn(&str) -> bool,
    goals: bool,
) -> Vec<String> {
    let mut row = vec![measure.name.to_owned(), "per CPU s".to_owned()];
    for peer in peers {
        let all = measured.get(&(measure.name, peer.clone()));
        row.push(all.map(|all| format!("{:.0}", 1e6 / median(all))).unwrap_or_default());
        row.extend(compared(peer).then(String::new));
    }
    row.extend(goals.then(String::new));
    row
}

fn unit(unit: Unit, calls: bool) -> &'static str {
    match unit {
        Unit::MsPerLogin if calls => "per login",
        Unit::MsPerMessage if calls => "per message",
        Unit::SecondsPerGb if calls => "per MiB",
        Unit::UsPerRoundTrip if calls => "per round trip",
        Unit::UsPerHandshake if calls => "per handshake",
        Unit::MsPerLogin => "ms/login",
        Unit::MsPerMessage => "ms/message",
        Unit::SecondsPerGb => "s/GB",
        Unit::UsPerRoundTrip => "µs/round trip",
        Unit::UsPerHandshake => "µs/handshake",
        Unit::KibPerSession => "KiB PSS/session",
        Unit::MsLatency => "ms wall, p50",
    }
}

/// The median, and how far the rounds lie from it.
fn figure(all: &[f64]) -> String {
    let middle = median(all);
    let digits = match middle {
        middle if middle < 1.0 => 3,
        middle if middle < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    let furthest = all.iter().map(|one| (one - middle).abs()).fold(0.0, f64::max);
    match all.len() {
        1 => format!("{middle:.digits$}"),
        _ => format!("{middle:.digits$} ±{:.0}%", furthest / middle * 100.0),
    }
}

fn verdict(ratio: f64, measure: &Measure, goals: bool) -> String {
    match measure.goal.filter(|_| goals) {
        Some(goal) if ratio > goal => format!("**{ratio:.2}** missed"),
        Some(_) => format!("**{ratio:.2}** reached"),
        None => format!("{ratio:.2}"),
    }
}

fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

fn lay_out(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let cell = |row: &Vec<String>, at: usize| row[at].chars().count();
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().map(|row| cell(row, at)).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (word, width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {word:<width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            text.push_str(&format!("|{}|\n", rule.join("|")));
        }
    }
    text
}
