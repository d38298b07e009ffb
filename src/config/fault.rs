//! What is wrong with a configuration, and where.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a statement stands: `FILE:LINE`, or `command line`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    file: Arc<str>,
    /// From 1; 0 means the source as a whole.
    line: u32,
}

/// The name of what `-g` gives.
pub const COMMAND_LINE: &str = "command line";

impl Place {
    pub fn new(file: &Arc<str>, line: u32) -> Self {
        Self { file: Arc::clone(file), line }
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    /// From 1; 0 where there are no lines: the command line, or a file as a whole.
    pub fn line(&self) -> u32 {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 || &*self.file == COMMAND_LINE {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing that is wrong: `TEXT in FILE:LINE`.
///
/// It is always one line: control characters that a word brought along are shown escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    text: String,
    place: Option<Place>,
}

impl Fault {
    pub fn new(text: impl Into<String>, place: Option<Place>) -> Self {
        Self { text: text.into(), place }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        match &self.place {
            Some(place) => write!(f, " in {place}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order of the files and their lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// More than anybody reads at a time; beyond it no more are kept.
pub const MAX_FAULTS: usize = 1000;

/// Where faults gather while a configuration is read; shared by all its blocks.
#[derive(Debug, Default)]
pub struct Collector(Mutex<Vec<Fault>>);

impl Collector {
    /// Two rooms may stumble over the same value: it is said once.
    pub fn add(&self, fault: Fault) {
        let mut faults = self.lock();
        if faults.len() < MAX_FAULTS && !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    /// Whether another fault would go unheard.
    pub fn is_full(&self) -> bool {
        self.lock().len() >= MAX_FAULTS
    }

    /// The faults so far; `files` says which file comes first.
    pub fn sorted(&self, files: &[Arc<str>]) -> Result<(), Faults> {
        let mut faults = self.lock().clone();
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort_by_cached_key(|fault| {
            fault
                .place
                .as_ref()
                .map(|place| (files.iter().position(|file| *file == place.file), place.line))
        });
        if faults.len() >= MAX_FAULTS {
            faults.push(Fault::new(
                format!("more than {MAX_FAULTS} faults, no more are shown"),
                None,
            ));
        }
        Err(Faults(faults))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
