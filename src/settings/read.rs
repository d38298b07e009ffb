//! The file, read: every fault at once, and values by level.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use toml_edit::{Document, Item, TableLike, Value as Toml};

use super::data::Data;
use super::edit::Scope;
use super::key::{Key, Level};
use super::keys;
use super::kind::{self, Wrong};

/// What is wrong with the file, and where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// From 1 on.
    pub line: usize,
    /// The setting or the table, as it is written; empty where the file is no TOML.
    pub key: String,
    pub what: String,
    pub hint: Option<String>,
}

/// `line 3: mail.imap.port is a port, …; HINT`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.what)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// Where a value is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Global,
    Server(String),
    Domain { domain: String, server: Option<String> },
}

impl At {
    /// The tables that hold here, the nearest first.
    fn tables(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Global => (None, None),
            Self::Server(server) => (None, Some(server)),
            Self::Domain { domain, server } => (Some(domain), server.as_deref()),
        }
    }
}

/// A value, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    pub data: Cow<'a, Data>,
    pub level: Level,
    /// Its line in the file; a default has none.
    pub line: Option<usize>,
}

/// What one table of the file sets, by the keys' own names.
pub(super) type Given = BTreeMap<&'static str, (Data, usize)>;

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    global: Given,
    servers: BTreeMap<String, Given>,
    domains: BTreeMap<String, Given>,
}

impl Key {
    /// The default, checked as what is in a file is.
    pub fn default_data(&self) -> Data {
        let value: Toml = self.default.parse().expect("a default is TOML: a test reads them all");
        self.kind.value(&value).expect("a default is right: a test reads them all")
    }
}

impl Settings {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let document = document(text)?;
        let mut reading = Reading { text, faults: Vec::new() };
        let mut settings = Self::default();
        for (name, item) in document.as_table() {
            let line = reading.line_of(document.as_table(), name, item);
            match (name, item.as_table_like()) {
                ("global", Some(table)) => {
                    settings.global = reading.given(table, Level::Global);
                }
                ("server", Some(tables)) => {
                    settings.servers = reading.named(tables, Level::Server);
                }
                ("domain", Some(tables)) => {
                    settings.domains = reading.named(tables, Level::Domain);
                }
                ("global" | "server" | "domain", None) => {
                    reading.fault(line, name, "is a table", None);
                }
                _ => {
                    let hint = "tables are [global], [server.\"NAME\"] and [domain.\"NAME\"]";
                    reading.fault(line, &shown(name), "is unknown here", Some(hint.to_owned()));
                }
            }
        }
        reading.faults.sort_by_key(|fault| fault.line);
        if reading.faults.is_empty() { Ok(settings) } else { Err(reading.faults) }
    }

    /// What holds for `key` there: the nearest level that sets it, else the default.
    pub fn value(&self, key: &Key, at: &At) -> Value<'_> {
        let (domain, server) = at.tables();
        let domain = domain.and_then(|name| self.domains.get(&name.to_ascii_lowercase()));
        let server = server.and_then(|name| self.servers.get(&name.to_ascii_lowercase()));
        let levels =
            [(Level::Domain, domain), (Level::Server, server), (Level::Global, Some(&self.global))];
        for (level, table) in levels {
            if let Some((data, line)) = table.and_then(|table| table.get(key.name)) {
                return Value { data: Cow::Borrowed(data), level, line: Some(*line) };
            }
        }
        Value { data: Cow::Owned(key.default_data()), level: Level::Default, line: None }
    }

    /// What one level itself sets, and nothing that it inherits.
    pub fn own(&self, key: &Key, at: &At) -> Option<&Data> {
        let table = match at {
            At::Global => Some(&self.global),
            At::Server(name) => self.servers.get(&name.to_ascii_lowercase()),
            At::Domain { domain, .. } => self.domains.get(&domain.to_ascii_lowercase()),
        };
        table?.get(key.name).map(|(data, _)| data)
    }

    /// The table of a level, made if need be.
    pub(super) fn given_mut(&mut self, scope: &Scope) -> &mut Given {
        match scope {
            Scope::Global => &mut self.global,
            Scope::Server(name) => self.servers.entry(name.to_ascii_lowercase()).or_default(),
            Scope::Domain(name) => self.domains.entry(name.to_ascii_lowercase()).or_default(),
        }
    }

    /// The servers that have a table, sorted, in lower case.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// The domains that have a table, sorted, in lower case.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.keys().map(String::as_str)
    }
}

/// The text as TOML; what it is not is one fault, without the line itself, which may have a secret.
pub(super) fn document(text: &str) -> Result<Document<String>, Vec<Fault>> {
    Document::parse(text.to_owned()).map_err(|error| {
        let start = error.span().map_or(text.len(), |span| span.start);
        let what = error.message().replace('\n', ", ");
        vec![Fault { line: line(text, start), key: String::new(), what, hint: None }]
    })
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A name of the file, fit to be shown.
fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

struct Reading<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn fault(&mut self, line: usize, key: &str, what: impl Into<String>, hint: Option<String>) {
        self.faults.push(Fault { line, key: key.to_owned(), what: what.into(), hint });
    }

    fn line_of(&self, table: &dyn TableLike, name: &str, item: &Item) -> usize {
        let key = table.key(name).and_then(toml_edit::Key::span);
        line(self.text, key.or_else(|| item.span()).map_or(0, |span| span.start))
    }

    /// The tables of servers or of domains.
    fn named(&mut self, tables: &dyn TableLike, level: Level) -> BTreeMap<String, Given> {
        let mut named = BTreeMap::new();
        for (name, item) in tables.iter() {
            let line = self.line_of(tables, name, item);
            let whole = format!("{}.\"{}\"", level.word(), shown(name));
            let Some(table) = item.as_table_like() else {
                let hint = format!("write [{whole}] and what it sets below it");
                self.fault(line, &whole, "is a table", Some(hint));
                continue;
            };
            if !kind::is_host(name) {
                self.fault(line, &whole, "is named like no host", quotes(table, level, name));
                continue;
            }
            if is_split(table) {
                self.fault(line, &whole, "sets nothing", quotes(table, level, name));
                continue;
            }
            let given = self.given(table, level);
            if named.insert(name.to_ascii_lowercase(), given).is_some() {
                self.fault(line, &whole, "is there twice, in upper and lower case", None);
            }
        }
        named
    }

    /// The settings of one table.
    fn given(&mut self, table: &dyn TableLike, level: Level) -> Given {
        let mut given = Given::new();
        self.walk(table, "", level, &mut given);
        given
    }

    fn walk(&mut self, table: &dyn TableLike, above: &str, level: Level, given: &mut Given) {
        for (part, item) in table.iter() {
            let name = if above.is_empty() { part.to_owned() } else { format!("{above}.{part}") };
            let line = self.line_of(table, part, item);
            let key = if above.is_empty() { keys::find(part) } else { named(&name) };
            let Some(key) = key else {
                match item.as_table_like() {
                    Some(inner) if is_beginning(&name) => self.walk(inner, &name, level, given),
                    _ => {
                        let hint = keys::near(&name);
                        self.fault(line, &shown(&name), "is no setting", hint);
                    }
                }
                continue;
            };
            if !key.levels.has(level) {
                let what = format!("is set at other levels: {}", key.levels.words());
                self.fault(line, &name, what, None);
                continue;
            }
            let Some(value) = item.as_value() else {
                let what = format!("is {}, not a table", key.kind.range());
                self.fault(line, &name, what, None);
                continue;
            };
            match key.kind.value(value) {
                Ok(data) => {
                    if let Some((_, before)) = given.insert(key.name, (data, line)) {
                        let what = format!("is set by another of its names, too, in line {before}");
                        self.fault(line, &name, what, None);
                    }
                }
                Err(Wrong { what, hint }) => self.fault(line, &name, what, hint),
            }
        }
    }
}

/// The setting of this own name.
fn named(name: &str) -> Option<&'static Key> {
    keys::all().find(|key| key.name == name)
}

/// Whether settings' names go on behind it.
fn is_beginning(name: &str) -> bool {
    keys::all().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// `[domain.example.com]`: a name that was taken apart at its dots.
fn is_split(table: &dyn TableLike) -> bool {
    let mut parts = table.iter().peekable();
    parts.peek().is_some()
        && parts.all(|(part, item)| {
            let is_known = is_beginning(part) || keys::find(part).is_some();
            item.is_table_like() && !is_known
        })
}

fn quotes(table: &dyn TableLike, level: Level, name: &str) -> Option<String> {
    let (next, _) = table.iter().next()?;
    let (level, name, next) = (level.word(), shown(name), shown(next));
    Some(format!("a name with dots is written in quotes: [{level}.\"{name}.{next}…\"]"))
}
