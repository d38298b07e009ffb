//! Statements against directives: known, allowed here, of the right shape, not twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::block::{Block, Head, Shared, Statement, invalid};
use super::directive::{Context, Directive, Takes};
use super::fault::{Fault, Place};
use super::parse::Raw;
use super::value;

/// What nginx knows and we do not, and what to do about it.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "http",
        "gatepost serves mail; leave this block to nginx, and give gatepost the \"mail\" block",
    ),
    (
        "stream",
        "gatepost serves mail; leave this block to nginx, and give gatepost the \"mail\" block",
    ),
];

/// Every directive of every room, by name: one name may mean different things in different blocks.
#[derive(Debug)]
pub struct Checker {
    directives: BTreeMap<&'static str, Vec<&'static Directive>>,
    shared: Arc<Shared>,
}

impl Checker {
    pub fn new(registry: &[&'static [Directive]], shared: &Arc<Shared>) -> Self {
        let mut directives: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for directive in registry.iter().flat_map(|room| room.iter()) {
            directives.entry(directive.name).or_default().push(directive);
        }
        Self { directives, shared: Arc::clone(shared) }
    }

    /// The block that `body` makes; what is wrong in it is recorded and left out.
    pub fn block(&self, head: Arc<Head>, body: Vec<Raw>, context: Context) -> Block {
        let mut seen = BTreeSet::new();
        let mut statements = Vec::with_capacity(body.len());
        for raw in body {
            let place = raw.place.clone();
            match self.statement(raw, context, &mut seen) {
                Ok(statement) => statements.push(statement),
                Err(text) => self.shared.faults.add(Fault::new(text, Some(place))),
            }
        }
        Block::new(head, statements, &self.shared)
    }

    fn statement(
        &self,
        raw: Raw,
        context: Context,
        seen: &mut BTreeSet<&'static str>,
    ) -> Result<Statement, String> {
        let name = &raw.name;
        let Some(records) = self.directives.get(&**name) else {
            // `include` is the language's own; what could be carried out is gone by now.
            if name == "include" {
                return Err(misshapen(&raw, Takes::Args(1, 1)).unwrap_or_default());
            }
            return Err(self.unknown(name, context));
        };
        let here: Vec<_> =
            records.iter().filter(|record| record.within.contains(&context)).collect();
        let Some(first) = here.first() else {
            let text = format!("\"{name}\" directive is not allowed here");
            self.check_misplaced(raw, records);
            return Err(text);
        };
        let fitting = here.iter().find(|record| misshapen(&raw, record.takes).is_none());
        let Some(record) = fitting else {
            let text = misshapen(&raw, first.takes).unwrap_or_default();
            return Err(self.with_what_is_missing(text, &raw, first.takes));
        };
        if !record.repeats && !seen.insert(record.name) {
            return Err(format!("\"{name}\" directive is duplicate"));
        }
        if record.takes == Takes::Flag
            && let Some(word) = raw.args.first()
            && value::flag(&word.text).is_none()
        {
            return Err(invalid(&word.text, name, "\"on\" or \"off\""));
        }
        let (head, body) = split(raw);
        let block = match (record.takes, body) {
            (Takes::Block(_, _, inner), Some(body)) => {
                Some(self.block(Arc::clone(&head), body, inner))
            }
            (Takes::Table(..), Some(body)) => Some(self.table(Arc::clone(&head), body)),
            _ => None,
        };
        Ok(Statement::new(head, block))
    }

    fn table(&self, head: Arc<Head>, body: Vec<Raw>) -> Block {
        let mut rows = Vec::with_capacity(body.len());
        for raw in body {
            if raw.body.is_some() {
                let text = format!("directive \"{}\" is not terminated by \";\"", raw.name);
                self.shared.faults.add(Fault::new(text, Some(raw.place)));
                continue;
            }
            rows.push(Statement::new(split(raw).0, None));
        }
        Block::new(head, rows, &self.shared)
    }

    /// What stands in a misplaced block can still be checked, if it is clear what was meant.
    fn check_misplaced(&self, raw: Raw, records: &[&'static Directive]) {
        let mut inner = records.iter().filter_map(|record| match record.takes {
            Takes::Block(_, _, inner) => Some(inner),
            _ => None,
        });
        if let (Some(inner), None) = (inner.next(), inner.next()) {
            let (head, body) = split(raw);
            self.block(head, body.unwrap_or_default(), inner);
        }
    }

    fn unknown(&self, name: &str, context: Context) -> String {
        let text = format!("unknown directive \"{name}\"");
        if let Some((_, hint)) = ELSEWHERE.iter().find(|(known, _)| *known == name) {
            return format!("{text}: {hint}");
        }
        match self.nearest(name, context) {
            Some(meant) => format!("{text}, did you mean \"{meant}\"?"),
            None => text,
        }
    }

    /// The known name that `name` was likely meant to be: those allowed here go first.
    fn nearest(&self, name: &str, context: Context) -> Option<&'static str> {
        if self.shared.faults.is_full() {
            return None;
        }
        let written = name.to_ascii_lowercase();
        let length = written.chars().count();
        let most = match length {
            0..=2 => return None,
            3..=4 => 1,
            5..=11 => 2,
            _ => 3,
        };
        let names = self.directives.iter().map(|(known, records)| {
            let is_allowed = records.iter().any(|record| record.within.contains(&context));
            (!is_allowed, *known)
        });
        let near = names.chain([(false, "include")]);
        // An edit changes the length by one at the most. To measure takes as long as both are.
        let near = near.filter(|(_, known)| known.len().abs_diff(length) <= most);
        let near = near.map(|(far, known)| (far, strsim::osa_distance(&written, known), known));
        near.filter(|(_, distance, _)| *distance <= most).min().map(|(_, _, known)| known)
    }

    /// Adds to `text` where a `;` or `{` was likely forgotten: before a line of `raw` that begins
    /// with a known name.
    fn with_what_is_missing(&self, text: String, raw: &Raw, takes: Takes) -> String {
        let looks_new = |word: &&super::lex::Word| {
            word.leads && (self.directives.contains_key(&*word.text) || word.text == "include")
        };
        let missing = match takes {
            Takes::Block(..) | Takes::Table(..) => "{",
            _ => ";",
        };
        match raw.args.iter().find(looks_new) {
            Some(word) => {
                format!("{text}, probably missing \"{missing}\" before \"{}\"", word.text)
            }
            None => text,
        }
    }
}

/// What is wrong with the shape of `raw`, if it is to be as `takes` says.
fn misshapen(raw: &Raw, takes: Takes) -> Option<String> {
    let (least, most, is_block) = match takes {
        Takes::Flag => (1, 1, false),
        Takes::Args(least, most) => (least, most, false),
        Takes::AtLeast(least) => (least, usize::MAX, false),
        Takes::Block(least, most, _) | Takes::Table(least, most) => (least, most, true),
    };
    let name = &raw.name;
    match (is_block, raw.body.is_some()) {
        (false, true) => Some(format!("directive \"{name}\" is not terminated by \";\"")),
        (true, false) => Some(format!("directive \"{name}\" has no opening \"{{\"")),
        _ if !(least..=most).contains(&raw.args.len()) => {
            Some(format!("invalid number of arguments in \"{name}\" directive"))
        }
        _ => None,
    }
}

fn split(raw: Raw) -> (Arc<Head>, Option<Vec<Raw>>) {
    let args = raw.args.into_iter().map(|word| word.text).collect();
    (Arc::new(Head { name: raw.name, args, place: raw.place }), raw.body)
}

/// The head of the main file.
pub fn main_head(place: Place) -> Arc<Head> {
    Arc::new(Head { name: String::new(), args: Vec::new(), place })
}
