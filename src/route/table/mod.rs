//! `route { … }`: from a login to its upstream, by a table in the configuration. Pure, once read.
//!
//! Rows are matched as in nginx's `map`, in any order but for regexes: the login as a whole, its
//! domain, the longest suffix of its domain, the first regex that matches, `default`. Letters
//! match in either case, except by `~`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::group::{Group, Groups, Server};
use super::template::{Matched, Template, parts};
use crate::config::Block;

/// How large one compiled regex may be, in bytes.
const MAX_REGEX: usize = 1 << 20;

/// How many different right-hand sides are shared while a table is read. Beyond, each is its own.
const MAX_SHARED: usize = 1 << 16;

#[derive(Debug, Default)]
pub struct Table {
    /// Whole logins, in lower case.
    logins: Rows,
    /// `@domain`.
    domains: Rows,
    /// `.domain`: itself and all below it.
    trees: Rows,
    /// `*.domain`: all below it.
    below: Rows,
    regexes: Vec<(Regex, Arc<Row>)>,
    default: Option<Arc<Row>>,
    groups: Arc<Groups>,
}

type Rows = HashMap<Box<[u8]>, Arc<Row>>;

/// What rows without a regex have said on their right-hand side. A million logins go to a few
/// servers, so their rows are few.
#[derive(Debug, Default)]
pub struct Shared {
    rows: HashMap<Box<str>, Arc<Row>>,
    /// The words of the row at hand.
    words: String,
}

#[derive(Clone, Debug)]
struct Row {
    to: Aim,
    login: Option<Template>,
}

#[derive(Clone, Debug)]
enum Aim {
    Fixed(Destination),
    /// Known only with the login.
    Filled(Template),
}

/// Where a row leads.
#[derive(Clone, Debug)]
pub enum Destination {
    Group(Arc<Group>),
    Servers(Arc<[Server]>),
}

/// A row that matched.
#[derive(Debug)]
pub struct Found {
    pub to: Destination,
    /// The name to log in with upstream, if it is another.
    pub login: Option<Box<[u8]>>,
}

/// A row filled in with this login leads nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("route to \"{}\", which is neither an upstream nor an address", .0.escape_ascii())]
pub struct Nowhere(pub Vec<u8>);

/// What a row's key says.
enum Key {
    Login(Box<[u8]>),
    Domain(Box<[u8]>),
    Tree(Box<[u8]>),
    Below(Box<[u8]>),
    Regex(Regex),
    Default,
}

impl Table {
    /// Reads the rows of `block`; what is wrong with them is recorded there.
    pub fn read(block: &Block, groups: &Arc<Groups>) -> Self {
        let (mut table, mut shared) = (Self::new(groups), Shared::default());
        for at in block.rows() {
            if let Err(fault) = table.add(at.name(), at.args(), &mut shared) {
                block.fault(at, fault);
            }
        }
        table
    }

    /// Without rows, to be filled by [`Table::add`].
    pub fn new(groups: &Arc<Groups>) -> Self {
        Self { groups: Arc::clone(groups), ..Self::default() }
    }

    /// Without rows it knows nobody.
    pub fn is_empty(&self) -> bool {
        let maps = [&self.logins, &self.domains, &self.trees, &self.below];
        maps.iter().all(|map| map.is_empty()) && self.regexes.is_empty() && self.default.is_none()
    }

    /// How many patterns are not regexes.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        [&self.logins, &self.domains, &self.trees, &self.below].iter().map(|map| map.len()).sum()
    }

    /// Adds the row `pattern` with its other words, or says what is wrong with it.
    pub fn add<W: AsRef<str>>(
        &mut self,
        pattern: &str,
        words: &[W],
        shared: &mut Shared,
    ) -> Result<(), String> {
        let key = Key::parse(pattern)?;
        let row = self.row(pattern, words, &key, shared)?;
        let (map, key) = match key {
            Key::Regex(regex) => {
                self.regexes.push((regex, row));
                return Ok(());
            }
            Key::Default if self.default.is_none() => {
                self.default = Some(row);
                return Ok(());
            }
            Key::Default => return Err("duplicate default route".to_owned()),
            Key::Login(login) => (&mut self.logins, login),
            Key::Domain(domain) => (&mut self.domains, domain),
            Key::Tree(domain) => (&mut self.trees, domain),
            Key::Below(domain) => (&mut self.below, domain),
        };
        match map.entry(key) {
            Entry::Vacant(place) => drop(place.insert(row)),
            Entry::Occupied(_) => return Err(format!("conflicting parameter \"{pattern}\"")),
        }
        Ok(())
    }

    fn row<W: AsRef<str>>(
        &self,
        pattern: &str,
        words: &[W],
        key: &Key,
        shared: &mut Shared,
    ) -> Result<Arc<Row>, String> {
        if let Key::Regex(regex) = key {
            return self.parse(pattern, words, Some(regex)).map(Arc::new);
        }
        shared.words.clear();
        for word in words {
            shared.words.push_str(word.as_ref());
            shared.words.push('\0');
        }
        if words.iter().any(|word| word.as_ref().contains('\0')) {
            return self.parse(pattern, words, None).map(Arc::new);
        }
        if let Some(row) = shared.rows.get(shared.words.as_str()) {
            return Ok(Arc::clone(row));
        }
        let row = Arc::new(self.parse(pattern, words, None)?);
        if shared.rows.len() < MAX_SHARED {
            shared.rows.insert(shared.words.as_str().into(), Arc::clone(&row));
        }
        Ok(row)
    }

    fn parse<W: AsRef<str>>(
        &self,
        pattern: &str,
        words: &[W],
        regex: Option<&Regex>,
    ) -> Result<Row, String> {
        let Some((to, options)) = words.split_first() else {
            return Err(format!("no upstream for \"{pattern}\""));
        };
        let to = to.as_ref();
        let template =
            Template::parse(to, regex).map_err(|fault| format!("{fault} in \"{to}\""))?;
        let to = match template.constant() {
            Some(text) => Aim::Fixed(destination(text, &self.groups)?),
            None => Aim::Filled(template),
        };
        let mut login = None;
        for option in options {
            let option = option.as_ref();
            match option.strip_prefix("login=") {
                Some(text) if login.is_none() => {
                    let template = Template::parse(text, regex);
                    login = Some(template.map_err(|fault| format!("{fault} in \"{option}\""))?);
                }
                _ => return Err(format!("invalid parameter \"{option}\"")),
            }
        }
        Ok(Row { to, login })
    }

    /// The row for `login`, if there is one.
    pub fn find(&self, login: &[u8]) -> Result<Option<Found>, Nowhere> {
        let Some((row, matched)) = self.matching(login) else { return Ok(None) };
        let to = match &row.to {
            Aim::Fixed(to) => to.clone(),
            Aim::Filled(template) => {
                let text = template.fill(&matched);
                self.filled(&text, template).ok_or(Nowhere(text))?
            }
        };
        // An empty name would be another question than the one that was asked.
        let login = row.login.as_ref().map(|template| template.fill(&matched));
        let login = login.filter(|login| !login.is_empty()).map(Vec::into_boxed_slice);
        Ok(Some(Found { to, login }))
    }

    /// What a template made of a client's own words. They must not lead into the file system
    /// unless the row does, nor out of where it leads.
    fn filled(&self, text: &[u8], template: &Template) -> Option<Destination> {
        let text = std::str::from_utf8(text).ok()?;
        let is_unix = text.starts_with("unix:");
        if is_unix && (!template.start().starts_with("unix:") || text.contains("..")) {
            return None;
        }
        destination(text, &self.groups)
            .or_else(|_| destination(&text.to_ascii_lowercase(), &self.groups))
            .ok()
    }

    fn matching<'t, 'l>(&'t self, login: &'l [u8]) -> Option<(&'t Row, Matched<'l>)> {
        let plain = |row: &'t Arc<Row>| (&**row, Matched { login, captures: None });
        let lower = login.to_ascii_lowercase();
        if let Some(row) = self.logins.get(lower.as_slice()) {
            return Some(plain(row));
        }
        if let (_, Some(domain)) = parts(&lower)
            && let Some(row) = self.by_domain(domain)
        {
            return Some(plain(row));
        }
        for (regex, row) in &self.regexes {
            if let Some(captures) = regex.captures(login) {
                return Some((row, Matched { login, captures: Some(captures) }));
            }
        }
        self.default.as_ref().map(plain)
    }

    fn by_domain(&self, domain: &[u8]) -> Option<&Arc<Row>> {
        if let Some(row) = self.domains.get(domain).or_else(|| self.trees.get(domain)) {
            return Some(row);
        }
        let dots = domain.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        dots.map(|(dot, _)| &domain[dot + 1..])
            .find_map(|above| self.below.get(above).or_else(|| self.trees.get(above)))
    }
}

/// A group's name or an address. A single word is a group: a host alone needs its port.
pub fn destination(text: &str, groups: &Groups) -> Result<Destination, String> {
    if let Some(group) = groups.get(text) {
        return Ok(Destination::Group(Arc::clone(group)));
    }
    if !text.contains(['.', ':']) {
        return Err(format!("no upstream \"{text}\""));
    }
    let server = Server::parse(text).map_err(|fault| format!("{fault} in \"{text}\""))?;
    Ok(Destination::Servers(Arc::new([server])))
}

impl Key {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(pattern) = text.strip_prefix('~') {
            let (pattern, any_case) = match pattern.strip_prefix('*') {
                Some(pattern) => (pattern, true),
                None => (pattern, false),
            };
            let regex = RegexBuilder::new(pattern)
                .case_insensitive(any_case)
                .size_limit(MAX_REGEX)
                .build()
                .map_err(|error| format!("invalid regex \"{pattern}\": {}", last_line(&error)))?;
            return Ok(Self::Regex(regex));
        }
        let lower = text.to_ascii_lowercase().into_bytes();
        let invalid = || format!("invalid pattern \"{text}\"");
        let domain = |rest: &[u8]| {
            let is_fit = !rest.is_empty() && !rest.contains(&b'*') && !rest.contains(&b'@');
            if is_fit { Ok(Box::from(rest)) } else { Err(invalid()) }
        };
        match lower.as_slice() {
            b"default" => Ok(Self::Default),
            [b'*', b'.', rest @ ..] => domain(rest).map(Self::Below),
            [b'.', rest @ ..] => domain(rest).map(Self::Tree),
            [b'@', rest @ ..] => domain(rest).map(Self::Domain),
            // As in nginx's map: a name that would mean something else.
            [b'\\', rest @ ..] if !rest.is_empty() => Ok(Self::Login(rest.into())),
            [] => Err(invalid()),
            whole if whole.contains(&b'*') => Err(invalid()),
            whole => Ok(Self::Login(whole.into())),
        }
    }
}

/// A regex's fault without the picture that leads up to it: a fault is one line.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests;
