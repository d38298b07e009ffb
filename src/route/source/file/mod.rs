//! `route_file NAME PATH`: a table in a file of its own, read again when the file changes.
//!
//! A file that cannot be used at the start is a fault of the configuration. Later it is told once,
//! and the rows that were read before stay in force; so they do if the file vanishes.

#[cfg(test)]
mod tests;
mod text;

use std::fmt::Write;
use std::fs::{File as Handle, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

pub use text::hold_for_any;

use super::super::group::Groups;
use super::super::table::{Found, Nowhere, Shared, Table};
use super::home::Home;
use crate::config;
use crate::observe::Level;
use crate::observe::escape::Quoted;

/// How often a file is looked at. A change holds once two looks have seen the same file.
pub const POLL: Duration = Duration::from_secs(1);

/// How many faults of one file are told.
const MAX_FAULTS: usize = 10;

/// How large a file of `format=map` may be: it is read whole.
const MAX_MAP: u64 = 256 << 20;

/// How its rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As Postfix's `hash:` texts.
    #[default]
    Hash,
    /// As the rows of a `route` block.
    Map,
}

/// What `route_file` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub name: String,
    pub path: PathBuf,
    pub format: Format,
}

#[derive(Debug)]
pub struct File {
    plan: Plan,
    groups: Arc<Groups>,
    home: Home,
    rows: ArcSwap<Rows>,
    seen: Mutex<Seen>,
    /// Set once somebody looks after it.
    watched: OnceCell<()>,
}

/// The rows in force, and the file they were read from.
#[derive(Debug)]
struct Rows {
    table: Table,
    mark: Mark,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    place: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

/// What the last looks have seen.
#[derive(Debug, Default)]
struct Seen {
    /// A file that is not in force, and may still be written to.
    settling: Option<Mark>,
    /// What was told of and is not told again.
    told: Option<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Bad(Mark),
    Unreadable(io::ErrorKind),
}

impl Mark {
    fn of(found: &Metadata) -> Self {
        Self {
            place: (found.dev(), found.ino()),
            changed: (found.mtime(), found.mtime_nsec()),
            size: found.size(),
        }
    }
}

impl File {
    /// Reads the file. What is wrong with it, a line each.
    pub fn open(plan: &Plan, groups: &Arc<Groups>, home: &Home) -> Result<Arc<Self>, String> {
        let rows = load(plan, groups).map_err(|bad| bad.words)?;
        Ok(Arc::new(Self {
            plan: plan.clone(),
            groups: Arc::clone(groups),
            home: home.clone(),
            rows: ArcSwap::from_pointee(rows),
            seen: Mutex::default(),
            watched: OnceCell::new(),
        }))
    }

    /// The row for `login`, if there is one.
    pub async fn find(self: &Arc<Self>, login: &[u8]) -> Result<Option<Found>, Nowhere> {
        self.watched.get_or_init(|| self.watch()).await;
        self.rows.load().table.find(login)
    }

    /// Sees what has changed since the file was read, and from here on.
    async fn watch(self: &Arc<Self>) {
        let (own, weak) = (Arc::clone(self), Arc::downgrade(self));
        let begun = self.home.run("route_file", async move {
            let _ = spawn_blocking(move || own.look(true)).await;
        });
        let begun = begun.await.and_then(|()| self.home.spawn("route_file", follow(weak)));
        if let Err(gone) = begun {
            self.home.say(Level::Error, format_args!("route_file \"{}\": {gone}", self.plan.name));
        }
    }

    /// Looks at the file, and reads it if it has changed; not while it may still be written to,
    /// unless `at_once`.
    fn look(&self, at_once: bool) {
        let mark = match std::fs::metadata(&self.plan.path) {
            Ok(found) => Mark::of(&found),
            Err(error) => {
                return self
                    .trouble(Trouble::Unreadable(error.kind()), &unread(&self.plan, &error));
            }
        };
        {
            let mut seen = self.seen();
            if mark == self.rows.load().mark {
                *seen = Seen::default();
                return;
            }
            if seen.told == Some(Trouble::Bad(mark)) {
                return;
            }
            if seen.settling.replace(mark) != Some(mark) && !at_once {
                return;
            }
        }
        match load(&self.plan, &self.groups) {
            Ok(rows) => {
                self.rows.store(Arc::new(rows));
                *self.seen() = Seen::default();
                let Plan { name, path, .. } = &self.plan;
                let words = format_args!("route_file \"{name}\": read {} again", path.display());
                self.home.say(Level::Notice, words);
            }
            Err(Bad { mark: Some(mark), words }) => self.trouble(Trouble::Bad(mark), &words),
            Err(Bad { mark: None, words }) => {
                self.trouble(Trouble::Unreadable(io::ErrorKind::Other), &words);
            }
        }
    }

    fn trouble(&self, trouble: Trouble, words: &str) {
        if self.seen().told.replace(trouble) == Some(trouble) {
            return;
        }
        for line in words.lines() {
            let words = format_args!("{line}; the rows that were read before stay in force");
            self.home.say(Level::Error, words);
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the file as long as anybody has it.
async fn follow(file: Weak<File>) {
    loop {
        sleep(POLL).await;
        let Some(file) = file.upgrade() else { return };
        let _ = spawn_blocking(move || file.look(false)).await;
    }
}

/// A file that cannot be used.
#[derive(Debug)]
struct Bad {
    /// None if it could not be read at all.
    mark: Option<Mark>,
    words: String,
}

fn unread(plan: &Plan, error: &io::Error) -> String {
    let Plan { name, path, .. } = plan;
    format!("route_file \"{name}\": cannot read {}: {error}", path.display())
}

fn load(plan: &Plan, groups: &Arc<Groups>) -> Result<Rows, Bad> {
    let unreadable = |error: io::Error| Bad { mark: None, words: unread(plan, &error) };
    let file = Handle::open(&plan.path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    let mark = Mark::of(&found);
    let mut filling =
        Filling { plan, table: Table::new(groups), shared: Shared::default(), faults: Vec::new() };
    match plan.format {
        Format::Hash => {
            let from = BufReader::with_capacity(128 * 1024, file);
            let each = &mut |number, line: Result<text::Line<'_>, text::Wrong>| match line {
                Ok(line) => filling.row(number, line.key, line.words),
                Err(wrong) => filling.fault(number, &wrong.to_string()),
            };
            text::read(from, each).map_err(unreadable)?;
        }
        Format::Map => {
            let mut bytes = Vec::new();
            let read = file.take(MAX_MAP + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            if read as u64 > MAX_MAP {
                let words =
                    format!("more than {MAX_MAP} bytes: use format=hash, which is not read whole");
                return Err(unreadable(io::Error::other(words)));
            }
            config::rows(&bytes, &mut |line, row| match row {
                Ok((key, words)) => filling.row(line, key, words),
                Err(fault) => filling.fault(line, fault),
            });
        }
    }
    match filling.faults.is_empty() {
        true => Ok(Rows { table: filling.table, mark }),
        false => Err(Bad { mark: Some(mark), words: filling.faults.join("\n") }),
    }
}

/// A table while it is read.
struct Filling<'a> {
    plan: &'a Plan,
    table: Table,
    shared: Shared,
    faults: Vec<String>,
}

impl Filling<'_> {
    /// Says whether to go on.
    fn row<W: AsRef<str>>(&mut self, line: u32, key: &str, words: &[W]) -> bool {
        match self.table.add(key, words, &mut self.shared) {
            Ok(()) => true,
            Err(fault) => self.fault(line, &fault),
        }
    }

    fn fault(&mut self, line: u32, fault: &str) -> bool {
        let Plan { name, path, .. } = self.plan;
        let mut words = format!("route_file \"{name}\": {fault} in {}:{line}", path.display());
        // A `String` takes everything.
        let _ = write!(words, "; {}", remedy(fault));
        let mut line = String::new();
        let _ = write!(line, "{}", Unbroken(&words));
        self.faults.push(line);
        self.faults.len() < MAX_FAULTS
    }
}

/// What to do about a fault.
fn remedy(fault: &str) -> &'static str {
    match fault {
        _ if fault.starts_with("no upstream \"") => {
            "name an \"upstream\" block of the configuration, or write host:port"
        }
        _ if fault.starts_with("no upstream for") => "write the upstream behind the pattern",
        _ if fault.starts_with("conflicting") || fault.starts_with("duplicate") => {
            "a pattern stands once: take out one of its lines"
        }
        _ if fault.starts_with("a line that begins") => {
            "take the blanks away, or put a pattern before it"
        }
        _ => "mend the line or take it out",
    }
}

/// A text without line ends: what stands in the file may hold some.
struct Unbroken<'a>(&'a str);

impl std::fmt::Display for Unbroken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.contains(char::is_control) {
            true => Quoted(self.0.as_bytes()).fmt(f),
            false => f.write_str(self.0),
        }
    }
}
