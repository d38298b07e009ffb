//! One line of a template: its variables, the last one first, until none is left.

use super::fault::{Fault, shown};
use super::limits::{MAX_DEPTH, MAX_LINE, MAX_WORK};
use super::piece::Piece;
use super::quote::Place;
use super::values::Values;

/// The name of the variable that `text` begins with: `${name}`.
pub fn variable(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    let name = &inner[..inner.find('}')?];
    (!name.is_empty()).then_some(name)
}

/// The value of `name`, from the innermost that has it.
pub fn find<'a>(values: &[&'a Values], name: &str) -> Option<&'a Piece> {
    values.iter().find_map(|values| values.get(name))
}

/// A line on its way.
#[derive(Debug)]
pub struct Line<'a> {
    pub number: usize,
    /// A copy's own values, then everybody's.
    pub values: &'a [&'a Values],
    /// Where its first byte stands.
    pub place: Place,
}

/// What came of a line.
#[derive(Debug, Default)]
pub struct Filled {
    pub text: String,
    /// Names that are not known, in the order in which they were met.
    pub unknown: Vec<String>,
}

/// A part of the line that came out of variables, and out of which ones, outermost first.
#[derive(Debug)]
struct Origin {
    start: usize,
    end: usize,
    chain: Vec<String>,
}

impl Line<'_> {
    /// # Errors
    /// The first fault, apart from unknown names, which are gathered.
    pub fn fill(&self, source: &str) -> Result<Filled, Fault> {
        // In a comment nothing is wrong with a name that means nothing.
        let is_comment = source.trim_start().starts_with('#');
        let mut filled = Filled { text: source.to_owned(), unknown: Vec::new() };
        let text = &mut filled.text;
        let mut origins: Vec<Origin> = Vec::new();
        let mut limit = text.len();
        let mut work = 0;
        while let Some((start, end)) = last(text, limit) {
            // Each round looks through the line a few times, and an empty one is no free round.
            work += text.len() + 64;
            if work > MAX_WORK {
                return Err(self.fault("its variables multiply without end"));
            }
            let name = text[start + 2..end - 1].to_owned();
            let Some(piece) = find(self.values, &name) else {
                limit = start;
                if !is_comment {
                    filled.unknown.push(name);
                    text.replace_range(start..end, "");
                    settle(&mut origins, start, end, 0, None);
                    limit = (start + 1).min(text.len());
                }
                continue;
            };
            let chain = chain(&origins, start, end, &name);
            if let Some(fault) = self.judge(&chain) {
                return Err(fault);
            }
            let value = self
                .write(piece, &text[..start], &text[end..])
                .map_err(|why| self.fault(format!("${{{}}}: {why}", shown(&name))))?;
            if text.len() + value.len() > MAX_LINE {
                return Err(self.fault(format!("${{{}}} makes it too long", shown(&name))));
            }
            text.replace_range(start..end, &value);
            settle(&mut origins, start, end, value.len(), Some(chain));
            // A `$` that ends the value may begin a name with what follows.
            limit = (start + value.len() + 1).min(text.len());
        }
        Ok(filled)
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::new(self.number, what)
    }

    /// Whether a value that came about in this way has come back to itself, or from too far.
    fn judge(&self, chain: &[String]) -> Option<Fault> {
        let (name, outer) = chain.split_last()?;
        let names = |chain: &[String]| {
            chain
                .iter()
                .map(|name| format!("${{{}}}", shown(name)))
                .collect::<Vec<_>>()
                .join(" -> ")
        };
        if outer.contains(name) {
            return Some(self.fault(format!("a value comes back to itself: {}", names(chain))));
        }
        (chain.len() > MAX_DEPTH).then(|| {
            self.fault(format!(
                "values within values, more than {MAX_DEPTH} deep: {}",
                names(chain)
            ))
        })
    }

    fn write(&self, piece: &Piece, before: &str, after: &str) -> Result<String, String> {
        let place = self.place.after(before, self.values);
        let value = piece.write(place, after)?;
        let joins = before.ends_with('$') && value.starts_with('{');
        let joins = joins || value.ends_with('$') && after.starts_with('{');
        if joins && !matches!(piece, Piece::Code(_)) {
            return Err("its value would make a variable with what stands beside it".to_owned());
        }
        match value.contains('\n') {
            true => Ok(value.replace('\n', &format!("\n{}", self.margin(before, place)))),
            false => Ok(value),
        }
    }

    /// What the further lines of a value begin with: the blanks, the switches and the `#` that its
    /// first line begins with, so that the whole list is indented and switched with it.
    fn margin(&self, before: &str, place: Place) -> String {
        let before = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        let mut rest = before;
        while let Some(letter) = rest.chars().next() {
            let step = match variable(rest) {
                Some(name) if find(self.values, name).is_some_and(Piece::is_switch) => {
                    name.len() + 3
                }
                None if matches!(letter, ' ' | '\t' | '#') => 1,
                _ => break,
            };
            rest = &rest[step..];
        }
        let margin = &before[..before.len() - rest.len()];
        match place {
            Place::Comment if !margin.contains('#') => format!("{margin}# "),
            _ => margin.to_owned(),
        }
    }
}

/// The last `${name}` that begins before `limit`, as far as its `}`.
fn last(text: &str, limit: usize) -> Option<(usize, usize)> {
    let last_close = text.rfind('}')?;
    let mut limit = limit;
    loop {
        let bytes = &text.as_bytes()[..limit];
        let start = bytes.windows(2).rposition(|two| two == b"${")?;
        // A name has at least one letter, and needs a `}` after it.
        if start + 2 < last_close
            && let Some(name) = variable(&text[start..])
        {
            return Some((start, start + name.len() + 3));
        }
        limit = start + 1;
    }
}

/// The variables that the bytes from `start` to `end` came out of, and `name` itself at the end.
fn chain(origins: &[Origin], start: usize, end: usize, name: &str) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for origin in origins.iter().filter(|origin| origin.start < end && origin.end > start) {
        for name in &origin.chain {
            if !chain.contains(name) {
                chain.push(name.clone());
            }
        }
    }
    chain.push(name.to_owned());
    chain
}

/// Notes that `start..end` has become `length` bytes that came out of `chain`.
fn settle(
    origins: &mut Vec<Origin>,
    start: usize,
    end: usize,
    length: usize,
    chain: Option<Vec<String>>,
) {
    let moved = |at: usize| (at + length).saturating_sub(end - start);
    for origin in origins.iter_mut().filter(|origin| origin.end > start) {
        // Of one that begins or ends within the name, the part outside of it is left.
        origin.start = match origin.start {
            at if at >= end => moved(at),
            at if at > start => start + length,
            at => at,
        };
        origin.end = if origin.end >= end { moved(origin.end) } else { start };
    }
    origins.retain(|origin| origin.start < origin.end);
    if let Some(chain) = chain.filter(|_| length > 0) {
        origins.push(Origin { start, end: start + length, chain });
    }
}
