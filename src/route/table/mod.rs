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
use crate::config::{Block, Statement};

/// How large one compiled regex may be, in bytes.
const MAX_REGEX: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct Table {
    /// Whole logins, in lower case.
    logins: HashMap<Vec<u8>, Row>,
    /// `@domain`.
    domains: HashMap<Vec<u8>, Row>,
    /// `.domain`: itself and all below it.
    trees: HashMap<Vec<u8>, Row>,
    /// `*.domain`: all below it.
    below: HashMap<Vec<u8>, Row>,
    regexes: Vec<(Regex, Row)>,
    default: Option<Row>,
    groups: Arc<Groups>,
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
    Login(Vec<u8>),
    Domain(Vec<u8>),
    Tree(Vec<u8>),
    Below(Vec<u8>),
    Regex(Regex),
    Default,
}

impl Table {
    /// Reads the rows of `block`; what is wrong with them is recorded there.
    pub fn read(block: &Block, groups: &Arc<Groups>) -> Self {
        let mut table = Self { groups: Arc::clone(groups), ..Self::default() };
        for at in block.rows() {
            if let Err(fault) = table.add(at) {
                block.fault(at, fault);
            }
        }
        table
    }

    /// Without rows it knows nobody.
    pub fn is_empty(&self) -> bool {
        let maps = [&self.logins, &self.domains, &self.trees, &self.below];
        maps.iter().all(|map| map.is_empty()) && self.regexes.is_empty() && self.default.is_none()
    }

    fn add(&mut self, at: &Statement) -> Result<(), String> {
        let key = Key::parse(at.name())?;
        let row = self.row(at, &key)?;
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
            Entry::Occupied(_) => return Err(format!("conflicting parameter \"{}\"", at.name())),
        }
        Ok(())
    }

    fn row(&self, at: &Statement, key: &Key) -> Result<Row, String> {
        let regex = match key {
            Key::Regex(regex) => Some(regex),
            _ => None,
        };
        let Some((to, options)) = at.args().split_first() else {
            return Err(format!("no upstream for \"{}\"", at.name()));
        };
        let template =
            Template::parse(to, regex).map_err(|fault| format!("{fault} in \"{to}\""))?;
        let to = match template.constant() {
            Some(text) => Aim::Fixed(self.destination(text)?),
            None => Aim::Filled(template),
        };
        let mut login = None;
        for option in options {
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

    /// A group's name or an address. A single word is a group: a host alone needs its port.
    fn destination(&self, text: &str) -> Result<Destination, String> {
        if let Some(group) = self.groups.get(text) {
            return Ok(Destination::Group(Arc::clone(group)));
        }
        if !text.contains(['.', ':']) {
            return Err(format!("no upstream \"{text}\""));
        }
        let server = Server::parse(text).map_err(|fault| format!("{fault} in \"{text}\""))?;
        Ok(Destination::Servers(Arc::new([server])))
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
        self.destination(text).or_else(|_| self.destination(&text.to_ascii_lowercase())).ok()
    }

    fn matching<'l>(&self, login: &'l [u8]) -> Option<(&Row, Matched<'l>)> {
        let plain = |row| (row, Matched { login, captures: None });
        let lower = login.to_ascii_lowercase();
        if let Some(row) = self.logins.get(&lower) {
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

    fn by_domain(&self, domain: &[u8]) -> Option<&Row> {
        if let Some(row) = self.domains.get(domain).or_else(|| self.trees.get(domain)) {
            return Some(row);
        }
        let dots = domain.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        dots.map(|(dot, _)| &domain[dot + 1..])
            .find_map(|above| self.below.get(above).or_else(|| self.trees.get(above)))
    }
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
            if is_fit { Ok(rest.to_vec()) } else { Err(invalid()) }
        };
        match lower.as_slice() {
            b"default" => Ok(Self::Default),
            [b'*', b'.', rest @ ..] => domain(rest).map(Self::Below),
            [b'.', rest @ ..] => domain(rest).map(Self::Tree),
            [b'@', rest @ ..] => domain(rest).map(Self::Domain),
            // As in nginx's map: a name that would mean something else.
            [b'\\', rest @ ..] if !rest.is_empty() => Ok(Self::Login(rest.to_vec())),
            [] => Err(invalid()),
            whole if whole.contains(&b'*') => Err(invalid()),
            whole => Ok(Self::Login(whole.to_vec())),
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
