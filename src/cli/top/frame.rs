//! What is on the screen, from two looks at the figures: a pure function.

use std::time::Duration;

use crate::admin::api::{Figures, UserFigures};
use crate::cli::command::Sort;
use crate::cli::human;
use crate::cli::table::{Cell, Table};

/// One line, and how it is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Plain,
    Head,
    Bad,
}

/// What has grown by how much a second. Without a look before there is nothing to compare with, and
/// neither after a restart: its counters began anew.
struct Rates {
    seconds: Option<f64>,
}

impl Rates {
    fn of(before: Option<&Figures>, now: &Figures) -> Self {
        let grown = before.and_then(|before| now.uptime_ms.checked_sub(before.uptime_ms));
        let seconds = grown.filter(|grown| *grown > 0).map(|grown| grown as f64 / 1000.0);
        Self { seconds }
    }

    fn rate(&self, before: Option<u64>, now: u64) -> Option<f64> {
        let grown = now.checked_sub(before?)?;
        self.seconds.map(|seconds| grown as f64 / seconds)
    }

    fn count(&self, before: Option<u64>, now: u64) -> String {
        match self.rate(before, now) {
            None => "-".to_owned(),
            Some(rate) if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
            Some(rate) => format!("{rate:.0}"),
        }
    }

    fn bytes(&self, before: Option<u64>, now: u64) -> Cell {
        let rate = self.rate(before, now);
        Cell::number(rate.map_or_else(|| "-".to_owned(), |rate| human::bytes(rate as u64)))
    }

    fn cell(&self, before: Option<u64>, now: u64) -> Cell {
        Cell::number(self.count(before, now))
    }
}

/// All lines, from the top of the screen.
pub fn lines(before: Option<&Figures>, now: &Figures, sort: Sort) -> Vec<Line> {
    let rates = Rates::of(before, now);
    let mut lines = vec![title(before, now, &rates)];
    lines.push(plain(String::new()));
    protocols(before, now, &rates, &mut lines);
    upstreams(before, now, &rates, &mut lines);
    lines.push(cache(before, now, &rates));
    lines.push(throttle(before, now, &rates));
    lines.push(plain(String::new()));
    users(before, now, &rates, sort, &mut lines);
    lines
}

fn plain(text: String) -> Line {
    Line { text, look: Look::Plain }
}

fn title(before: Option<&Figures>, now: &Figures, rates: &Rates) -> Line {
    let sum = |figures: &Figures, read: fn(&crate::admin::api::ProtocolFigures) -> u64| {
        figures.protocols.iter().map(read).sum::<u64>()
    };
    let grown = |read: fn(&crate::admin::api::ProtocolFigures) -> u64| {
        rates.count(before.map(|before| sum(before, read)), sum(now, read))
    };
    let text = format!(
        "gatepost {}  up {}  {} sessions  {} logins/s  {} refused/s",
        human::text(&now.version),
        human::span(Duration::from_millis(now.uptime_ms)),
        sum(now, |one| one.waiting + one.relaying),
        grown(|one| one.logins),
        grown(|one| one.refused),
    );
    Line { text, look: Look::Head }
}

/// A table's lines. `bad` says which rows need an eye.
fn put(table: &Table, bad: &[bool], lines: &mut Vec<Line>) {
    if table.is_empty() {
        return;
    }
    let text = table.written("", false);
    for (at, text) in text.lines().enumerate() {
        let look = match at.checked_sub(1) {
            None => Look::Head,
            Some(row) if bad.get(row) == Some(&true) => Look::Bad,
            Some(_) => Look::Plain,
        };
        lines.push(Line { text: text.to_owned(), look });
    }
    lines.push(plain(String::new()));
}

fn protocols(before: Option<&Figures>, now: &Figures, rates: &Rates, lines: &mut Vec<Line>) {
    let head = ["PROTOCOL", "WAITING", "RELAYING", "LOGINS/S", "REFUSED/S", "IN/S", "OUT/S"];
    let mut table = Table::new(&head);
    for one in &now.protocols {
        let known = |before: &'_ Figures| {
            before.protocols.iter().find(|known| known.protocol == one.protocol).cloned()
        };
        let old = before.and_then(known);
        let old = old.as_ref();
        table.row([
            (&one.protocol).into(),
            one.waiting.into(),
            one.relaying.into(),
            rates.cell(old.map(|old| old.logins), one.logins),
            rates.cell(old.map(|old| old.refused), one.refused),
            rates.bytes(old.map(|old| old.received), one.received),
            rates.bytes(old.map(|old| old.sent), one.sent),
        ]);
    }
    put(&table, &[], lines);
}

fn upstreams(before: Option<&Figures>, now: &Figures, rates: &Rates, lines: &mut Vec<Line>) {
    let head =
        ["UPSTREAM", "STATE", "USABLE", "SESSIONS", "LOGINS/S", "FAILURES/S", "IN/S", "OUT/S"];
    let (mut table, mut bad) = (Table::new(&head), Vec::new());
    for one in &now.upstreams {
        let known = |before: &'_ Figures| {
            before.upstreams.iter().find(|known| known.name == one.name).cloned()
        };
        let old = before.and_then(known);
        let old = old.as_ref();
        bad.push(one.usable < one.servers);
        table.row([
            (&one.name).into(),
            one.state.name().into(),
            format!("{} of {}", one.usable, one.servers).into(),
            one.sessions.into(),
            rates.cell(old.map(|old| old.logins), one.logins),
            rates.cell(old.map(|old| old.failures), one.failures),
            rates.bytes(old.map(|old| old.received), one.received),
            rates.bytes(old.map(|old| old.sent), one.sent),
        ]);
    }
    put(&table, &bad, lines);
}

fn cache(before: Option<&Figures>, now: &Figures, rates: &Rates) -> Line {
    let (old, new) = (before.map(|before| &before.cache), &now.cache);
    let hits = new.process_hits + new.shared_hits;
    let share = match hits + new.misses {
        0 => "-".to_owned(),
        all => format!("{:.0} %", hits as f64 * 100.0 / all as f64),
    };
    let text = format!(
        "CACHE     {}, {} of {}; {} entries, {}; hits {share}: process {}/s, shared {}/s, misses {}/s, \
         errors {}/s",
        new.state.name(),
        new.usable,
        new.servers,
        new.entries,
        human::bytes(new.bytes),
        rates.count(old.map(|old| old.process_hits), new.process_hits),
        rates.count(old.map(|old| old.shared_hits), new.shared_hits),
        rates.count(old.map(|old| old.misses), new.misses),
        rates.count(old.map(|old| old.errors), new.errors),
    );
    let look = if new.usable < new.servers { Look::Bad } else { Look::Plain };
    Line { text, look }
}

fn throttle(before: Option<&Figures>, now: &Figures, rates: &Rates) -> Line {
    let (old, new) = (before.map(|before| &before.throttle), &now.throttle);
    plain(format!(
        "THROTTLE  {} allowed/s, {} delayed/s, {} denied/s",
        rates.count(old.map(|old| old.allowed), new.allowed),
        rates.count(old.map(|old| old.delayed), new.delayed),
        rates.count(old.map(|old| old.denied), new.denied),
    ))
}

fn users(
    before: Option<&Figures>,
    now: &Figures,
    rates: &Rates,
    sort: Sort,
    lines: &mut Vec<Line>,
) {
    let mut users: Vec<&UserFigures> = now.users.iter().collect();
    users.sort_by(|one, other| match sort {
        Sort::Bytes => (other.received + other.sent).cmp(&(one.received + one.sent)),
        Sort::Sessions => other.sessions.cmp(&one.sessions),
        Sort::Name => one.user.cmp(&other.user),
    });
    let mut table = Table::new(&["USER", "SESSIONS", "IN/S", "OUT/S", "IN", "OUT"]);
    for one in users {
        let known =
            |before: &'_ Figures| before.users.iter().find(|known| known.user == one.user).cloned();
        let old = before.and_then(known);
        let old = old.as_ref();
        table.row([
            (&one.user).into(),
            one.sessions.into(),
            rates.bytes(old.map(|old| old.received), one.received),
            rates.bytes(old.map(|old| old.sent), one.sent),
            Cell::number(human::bytes(one.received)),
            Cell::number(human::bytes(one.sent)),
        ]);
    }
    put(&table, &[], lines);
    lines.push(plain(format!("users by {}", sort.name())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fake::figures;

    fn text(before: Option<&Figures>, now: &Figures, sort: Sort) -> String {
        let lines = lines(before, now, sort);
        lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    #[test]
    fn rates_are_what_two_looks_differ_by() {
        let shown = text(Some(&figures(1)), &figures(3), Sort::Bytes);
        let want = "\
gatepost 0.1.0  up 3d 4h  1213 sessions  40 logins/s  1.0 refused/s

PROTOCOL  WAITING  RELAYING  LOGINS/S  REFUSED/S  IN/S  OUT/S
imap            2      1204        40        1.0  1.9M    29M
pop3            0         7         0          0     0      0

UPSTREAM  STATE     USABLE  SESSIONS  LOGINS/S  FAILURES/S  IN/S  OUT/S
imap      degraded  1 of 2      1204        30         1.0  977k    19M
pop       ok        2 of 2         7        30         1.0  977k    19M

CACHE     ok, 2 of 2; 900 entries, 176k; hits 90 %: process 70/s, shared 20/s, misses 10/s, errors 0/s
THROTTLE  40 allowed/s, 2.0 delayed/s, 1.0 denied/s

USER             SESSIONS  IN/S  OUT/S    IN   OUT
mrose@a.example         2   100   879k  5.2k  2.6M
bob@a.example           5     0      0  8.8k  1000

users by bytes
";
        assert_eq!(shown, want);
    }

    #[test]
    fn there_are_no_rates_without_a_look_before_or_across_a_restart() {
        let now = figures(3);
        let alone = text(None, &now, Sort::Bytes);
        assert!(alone.contains("- logins/s  - refused/s"), "{alone}");
        let restarted = Figures { uptime_ms: 500, ..figures(0) };
        let shown = text(Some(&now), &restarted, Sort::Bytes);
        assert!(shown.contains("- logins/s"), "{shown}");
    }

    #[test]
    fn users_are_sorted_as_asked_and_cannot_steer_the_terminal() {
        let first = |sort, now: &Figures| {
            let shown = text(None, now, sort);
            let line = shown.lines().skip_while(|line| !line.starts_with("USER")).nth(1);
            line.unwrap().split(' ').next().unwrap().to_owned()
        };
        let mut now = figures(3);
        assert_eq!(first(Sort::Bytes, &now), "mrose@a.example");
        assert_eq!(first(Sort::Sessions, &now), "bob@a.example");
        assert_eq!(first(Sort::Name, &now), "bob@a.example");
        now.users[1].user = "a\u{1b}[2J".into();
        assert_eq!(first(Sort::Name, &now), "a\\x1B[2J");
    }

    #[test]
    fn what_is_not_whole_is_marked() {
        let lines = lines(None, &figures(1), Sort::Bytes);
        let bad: Vec<_> = lines.iter().filter(|line| line.look == Look::Bad).collect();
        assert!(bad.len() == 1 && bad[0].text.starts_with("imap  "), "{bad:?}");
    }
}
