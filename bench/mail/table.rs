//! The medians as a table in Markdown, which reads well on a terminal too.

use crate::measure::{Figure, Measure, Unit};
use crate::rounds::Measured;

/// Whose figures are the measure of the others'.
const YARDSTICK: &str = "nginx";
/// And of those that are the same program, set up otherwise.
const OWN: &str = "gatepost";
/// A ratio to nginx says nothing about the server behind.
const UNCOMPARED: &str = "direct";

/// More peers than these get a table for each measure.
const WIDEST: usize = 4;

/// The goals are gatepost's; another nginx has none.
fn aims(peer: &str) -> bool {
    !peer.starts_with(YARDSTICK)
}

/// Who is in the table and what is told of each.
struct Columns<'a> {
    peers: &'a [String],
    measured: &'a Measured,
    goals: bool,
}

pub fn render(measures: &[Measure], peers: &[String], measured: &Measured, calls: bool) -> String {
    let mut all = Columns { peers, measured, goals: false };
    all.goals = !calls && peers.iter().any(|peer| all.to_nginx(peer) && aims(peer));
    if peers.len() > WIDEST {
        let tables = measures.iter().map(|measure| all.by_peer(measure, calls));
        return tables.collect::<Vec<_>>().join("\n");
    }
    let mut head =
        vec![if calls { "system calls" } else { "own CPU, or as said" }.to_owned(), String::new()];
    for peer in peers {
        head.push(peer.clone());
        head.extend(all.to_nginx(peer).then(|| "to nginx".to_owned()));
        head.extend(all.to_own(peer).then(|| "to gatepost".to_owned()));
    }
    head.extend(all.goals.then(|| "goal".to_owned()));
    let mut rows = vec![head];
    for measure in measures {
        rows.push(all.costs(measure, calls));
        rows.extend(all.rates(measure, calls));
    }
    lay_out(&rows)
}

impl Columns<'_> {
    fn to_nginx(&self, peer: &str) -> bool {
        let yardstick = self.peers.iter().any(|peer| peer == YARDSTICK);
        yardstick && peer != YARDSTICK && peer != UNCOMPARED
    }

    fn to_own(&self, peer: &str) -> bool {
        let own = self.peers.iter().any(|peer| peer == OWN);
        own && peer.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('-'))
    }

    fn of(&self, measure: &Measure, peer: &str, one: impl Fn(&Figure) -> f64) -> Vec<f64> {
        let figures = self.measured.figures.get(&(measure.name, peer.to_owned()));
        figures.map(|all| all.iter().map(one).collect()).unwrap_or_default()
    }

    fn costs(&self, measure: &Measure, calls: bool) -> Vec<String> {
        let of = |peer: &str| self.of(measure, peer, |figure| figure.cost);
        let mut row = vec![measure.name.to_owned(), unit(measure.unit, calls).to_owned()];
        for peer in self.peers {
            let own = of(peer);
            row.push(figure(&own));
            if self.to_nginx(peer) {
                let ratio = median(&own) / median(&of(YARDSTICK));
                row.push(verdict(ratio, measure, self.goals && aims(peer)));
            }
            if self.to_own(peer) {
                row.push(paired(&own, &of(OWN)));
            }
        }
        let goal = || measure.goal.map(|goal| format!("≤ {goal:.2}")).unwrap_or_default();
        row.extend(self.goals.then(goal));
        row
    }

    fn rates(&self, measure: &Measure, calls: bool) -> Option<Vec<String>> {
        let (unit, rate) = rate(measure.unit).filter(|_| !calls)?;
        let mut row = vec![measure.name.to_owned(), unit.to_owned()];
        for peer in self.peers {
            row.push(format!("{:.0}", median(&self.of(measure, peer, rate))));
            row.extend(self.to_nginx(peer).then(String::new));
            row.extend(self.to_own(peer).then(String::new));
        }
        row.extend(self.goals.then(String::new));
        Some(row)
    }

    /// One measure, with a row for each peer.
    fn by_peer(&self, measure: &Measure, calls: bool) -> String {
        let rate = rate(measure.unit).filter(|_| !calls);
        let mut head = vec![measure.name.to_owned(), unit(measure.unit, calls).to_owned()];
        let ratios: [(&str, bool); 2] =
            [YARDSTICK, OWN].map(|whom| (whom, self.peers.iter().any(|peer| peer == whom)));
        head.extend(rate.map(|(unit, _)| unit.to_owned()));
        head.extend(ratios.iter().filter(|(_, any)| *any).map(|(whom, _)| format!("to {whom}")));
        let mut rows = vec![head];
        for peer in self.peers {
            let of = |peer: &str| self.of(measure, peer, |figure| figure.cost);
            let own = of(peer);
            let mut row = vec![peer.clone(), figure(&own)];
            row.extend(
                rate.map(|(_, rate)| format!("{:.0}", median(&self.of(measure, peer, rate)))),
            );
            for (whom, _) in ratios.iter().filter(|(_, any)| *any) {
                let told = match *whom {
                    OWN => self.to_own(peer),
                    _ => self.to_nginx(peer),
                };
                row.push(if told { paired(&own, &of(whom)) } else { String::new() });
            }
            rows.push(row);
        }
        lay_out(&rows)
    }
}

/// How often in a second, by what is told of the measure.
type Rate = fn(&Figure) -> f64;

fn rate(unit: Unit) -> Option<(&'static str, Rate)> {
    match unit {
        // The same figure as the issue wants it: how many in a second of CPU time.
        Unit::UsPerHandshake => Some(("per CPU s", |figure| 1e6 / figure.cost)),
        // What the machine as a whole came to, with clients and mail server on the same cores.
        Unit::MsPerLogin => Some(("logins/s", |figure| figure.did.done / figure.did.seconds)),
        _ => None,
    }
}

/// The median of the rounds' ratios, and how far they lie from it: what a round has in common falls out.
fn paired(all: &[f64], to: &[f64]) -> String {
    let ratios: Vec<f64> = all.iter().zip(to).map(|(one, other)| one / other).collect();
    match ratios.len() {
        1 => format!("{:.2}", ratios[0]),
        _ => format!("{:.2} ±{:.0}%", median(&ratios), furthest(&ratios)),
    }
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
        Unit::BytesPerRoute => "B PSS/route",
        Unit::MsLatency => "ms wall, p50",
        Unit::MsSlowest => "ms wall, slowest",
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
    match all.len() {
        1 => format!("{middle:.digits$}"),
        _ => format!("{middle:.digits$} ±{:.0}%", furthest(all)),
    }
}

/// How far the furthest lies from the median, in per cent of it.
fn furthest(all: &[f64]) -> f64 {
    let middle = median(all);
    all.iter().map(|one| (one - middle).abs()).fold(0.0, f64::max) / middle * 100.0
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
