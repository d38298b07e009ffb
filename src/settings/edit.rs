//! Changes of the file that keep its comments and its order.
//!
//! A value that is there is replaced where it stands. One that is not takes the place of its
//! commented-out default (`#mail.imap.port = 143`), as the shipped file has it, or goes to the end
//! of its table. What is taken back leaves every comment. **Limits.** Comments *inside* a value, an
//! array of several lines, go with it.

use std::ops::Range;

use toml_edit::{Document, DocumentMut, Item, Table, TableLike};

use super::data::Data;
use super::key::{Key, Level};
use super::read::{At, Fault, Settings, document};

/// The table that a change is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Global,
    Server(String),
    Domain(String),
}

impl Scope {
    pub fn level(&self) -> Level {
        match self {
            Self::Global => Level::Global,
            Self::Server(_) => Level::Server,
            Self::Domain(_) => Level::Domain,
        }
    }

    /// The server or domain.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Global => None,
            Self::Server(name) | Self::Domain(name) => Some(name),
        }
    }

    pub fn at(&self) -> At {
        match self {
            Self::Global => At::Global,
            Self::Server(name) => At::Server(name.clone()),
            Self::Domain(name) => At::Domain { domain: name.clone(), server: None },
        }
    }

    /// The level above it.
    pub fn outer(&self) -> Option<At> {
        (*self != Self::Global).then_some(At::Global)
    }
}

/// A file that is being changed. It is TOML, whatever else is wrong with it.
#[derive(Clone, Debug)]
pub struct Draft {
    document: DocumentMut,
}

impl Draft {
    pub fn new(text: &str) -> Result<Self, Vec<Fault>> {
        Ok(Self { document: document(text)?.into_mut() })
    }

    /// The file as it is by now.
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// Sets `key` in the table of `scope`, which is made if it is not there.
    pub fn set(&mut self, key: &Key, scope: &Scope, data: &Data) {
        let own = written_name(&self.document, key, scope);
        if own.is_none() && *scope == Scope::Global && self.uncomment(key, data) {
            return;
        }
        let name = own.unwrap_or_else(|| key.name.to_owned());
        let table = scope_table(self.document.as_table_mut(), scope);
        let Some(table) = table else { return };
        put(table, &name, data);
    }

    /// Takes `key` out of the table of `scope`. Says whether it was there.
    pub fn unset(&mut self, key: &Key, scope: &Scope) -> bool {
        let text = self.text();
        let Ok(document) = Document::parse(text.clone()) else { return false };
        let Some(name) = written_name(&self.document, key, scope) else { return false };
        let Some(place) = place(document.as_table(), &name, scope) else { return false };
        let changed = match place {
            Place::Line(value) => without_line(&text, key, value),
            Place::Inline => {
                let table = scope_table(self.document.as_table_mut(), scope);
                return table.is_some_and(|table| take(table, &name));
            }
        };
        let Ok(document) = changed.parse::<DocumentMut>() else { return false };
        self.document = document;
        true
    }

    /// Puts the value in the place of its commented-out default, if there is one in `[global]`.
    fn uncomment(&mut self, key: &Key, data: &Data) -> bool {
        let text = self.text();
        let start = format!("#{} = ", key.name);
        let (mut offset, mut is_global) = (0, false);
        for line in text.split_inclusive('\n') {
            if line.starts_with('[') {
                is_global = line.trim_end() == "[global]";
            }
            if is_global && line.starts_with(&start) {
                let end = offset + line.trim_end_matches(['\r', '\n']).len();
                let mut changed = text.clone();
                changed.replace_range(offset..end, &format!("{} = {}", key.name, data.toml()));
                // What looked like a comment may be a part of a text.
                let parsed = changed.parse::<DocumentMut>();
                let Ok(document) = parsed else { return false };
                if written_name(&document, key, &Scope::Global).is_none() {
                    return false;
                }
                self.document = document;
                return true;
            }
            offset += line.len();
        }
        false
    }
}

/// Where a value stands in the text.
enum Place {
    /// On lines of its own: the value's bytes.
    Line(Range<usize>),
    /// Within braces.
    Inline,
}

/// The table that names of `scope` are in, as it is written, for a server or domain in any case.
fn own_table<'a>(root: &'a Table, scope: &Scope) -> Option<&'a dyn TableLike> {
    let level = root.get(scope.level().word())?.as_table_like()?;
    let Some(name) = scope.name() else { return Some(level) };
    let (_, item) = level.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    item.as_table_like()
}

/// The name that the file sets `key` by there: its own, or one of Zimbra's.
fn written_name(root: &Table, key: &Key, scope: &Scope) -> Option<String> {
    let table = own_table(root, scope)?;
    let is_alias = |name: &str| key.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name));
    if let Some((name, _)) = table.iter().find(|(name, _)| is_alias(name)) {
        return Some(name.to_owned());
    }
    leaf(table, key.name).is_some().then(|| key.name.to_owned())
}

fn leaf<'a>(table: &'a dyn TableLike, name: &str) -> Option<(&'a Item, bool)> {
    let (mut table, mut is_inline) = (table, false);
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        let item = table.get(part)?;
        if parts.peek().is_none() {
            return Some((item, is_inline));
        }
        is_inline |= item.is_inline_table();
        table = item.as_table_like()?;
    }
    None
}

fn place(root: &Table, name: &str, scope: &Scope) -> Option<Place> {
    let level = root.get(scope.level().word())?;
    let table = own_table(root, scope)?;
    let (item, is_inline) = leaf(table, name)?;
    let is_inline = is_inline || level.is_inline_table() || has_inline(level, scope);
    let span = item.as_value()?.span()?;
    Some(if is_inline { Place::Inline } else { Place::Line(span) })
}

/// Whether the table of a server or domain is written in braces.
fn has_inline(level: &Item, scope: &Scope) -> bool {
    let (Some(tables), Some(name)) = (level.as_table_like(), scope.name()) else { return false };
    tables.iter().any(|(known, item)| known.eq_ignore_ascii_case(name) && item.is_inline_table())
}

/// The text without the lines of a value, but with what is said behind it. Below a comment, the
/// default stays in its place, commented out.
fn without_line(text: &str, key: &Key, value: Range<usize>) -> String {
    let start = text[..value.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[value.end..].find('\n').map_or(text.len(), |newline| value.end + newline + 1);
    let behind = text[value.end..end].trim();
    let above =
        text[..start].trim_end_matches(['\r', '\n']).rsplit('\n').next().unwrap_or_default();
    let is_described = above.starts_with('#') && text[start..value.start].starts_with(key.name);
    let mut kept = String::new();
    if is_described {
        kept = format!("#{} = {}\n", key.name, key.default);
    }
    if !behind.is_empty() {
        kept.push_str(behind);
        kept.push('\n');
    }
    format!("{}{kept}{}", &text[..start], &text[end..])
}

/// The table of `scope`, made if need be. `None` where something that is no table has its name.
fn scope_table<'a>(root: &'a mut Table, scope: &Scope) -> Option<&'a mut dyn TableLike> {
    let word = scope.level().word();
    if !root.contains_key(word) {
        let mut table = Table::new();
        table.set_implicit(scope.name().is_some());
        root.insert(word, Item::Table(table));
    }
    let level = root.get_mut(word)?.as_table_like_mut()?;
    let Some(name) = scope.name() else { return Some(level) };
    let known = level.iter().map(|(known, _)| known).find(|known| known.eq_ignore_ascii_case(name));
    let known = known.map(ToOwned::to_owned);
    let name = known.unwrap_or_else(|| {
        let name = name.to_ascii_lowercase();
        let mut table = Table::new();
        table.decor_mut().set_prefix("\n");
        level.insert(&name, Item::Table(table));
        name
    });
    level.get_mut(&name)?.as_table_like_mut()
}

fn put(table: &mut dyn TableLike, name: &str, data: &Data) {
    let (first, rest) = name.split_once('.').map_or((name, None), |(a, b)| (a, Some(b)));
    let Some(rest) = rest else {
        if let Some(old) = table.get_mut(first).and_then(Item::as_value_mut) {
            let decor = old.decor().clone();
            *old = data.toml();
            *old.decor_mut() = decor;
        } else {
            table.insert(first, Item::Value(data.toml()));
        }
        return;
    };
    if !table.get(first).is_some_and(Item::is_table_like) {
        let mut inner = Table::new();
        inner.set_dotted(true);
        table.insert(first, Item::Table(inner));
    }
    if let Some(inner) = table.get_mut(first).and_then(Item::as_table_like_mut) {
        put(inner, rest, data);
    }
}

fn take(table: &mut dyn TableLike, name: &str) -> bool {
    match name.split_once('.') {
        None => table.remove(name).is_some(),
        Some((first, rest)) => {
            let inner = table.get_mut(first).and_then(Item::as_table_like_mut);
            inner.is_some_and(|inner| take(inner, rest))
        }
    }
}

impl Settings {
    /// As if the file set `key` there, or did not.
    pub(super) fn assume(&mut self, key: &'static Key, scope: &Scope, data: Option<Data>) {
        let given = self.given_mut(scope);
        match data {
            Some(data) => drop(given.insert(key.name, (data, 0))),
            None => drop(given.remove(key.name)),
        }
    }
}
