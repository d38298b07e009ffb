//! What is decided about upstreams and must survive a restart: locks, drained servers, maintenance.
//!
//! **In and out.** [`Store`] keeps named sections of JSON, each owned by who writes it, in one file
//! `state.json` of the folder at `state_path`. [`Store::put`] changes a section in memory and tells
//! the writer; [`Store::run`] writes behind it, [`Store::flush`] writes now.
//!
//! **Promises.**
//! - The file is whole: it is written under another name, synced, renamed, and its folder synced.
//! - What cannot be read is never guessed at: it is set aside as `state.json.bad` with a line in the
//!   log, and gatepost begins with nothing.
//! - A folder that cannot be written costs one warning. What was to be kept is then kept in memory.
//! - Of two processes in an upgrade one writes, the newer: [`Store::lend`], [`Store::take_back`].
//!
//! **Limits.** What the newer one of an upgrade has kept is lost if it goes and the older one goes on:
//! that writes what it acts upon itself. A file beyond 4 MiB is not read. What is put and not flushed is lost in a crash: a
//! lock is found again, and what an administrator orders is flushed before the answer.

pub mod clock;
pub mod directives;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::voice::Voice;
use crate::net::errno;
use crate::net::halt::Halt;
use crate::observe::Level;

/// The form that is written, and the only one that is read.
const VERSION: u32 = 1;
const NAME: &str = "state.json";
const LARGEST: u64 = 4 << 20;

type Sections = BTreeMap<String, Value>;

/// Keeps sections. Cheap to clone; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<Kept>,
    changed: Notify,
    /// One writer at a time, so that an older state never replaces a newer one.
    writing: Mutex<()>,
    has_warned: AtomicBool,
    voice: Voice,
}

#[derive(Debug, Default)]
struct Kept {
    folder: Option<PathBuf>,
    sections: Sections,
    is_dirty: bool,
    /// Another process writes the file.
    is_lent: bool,
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Sheet {
    version: u32,
    sections: Sections,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("it is not JSON of ours ({0})")]
    Form(String),
    #[error("it is of version {0}, not {VERSION}")]
    Version(u32),
    #[error("it is too large")]
    TooLarge,
    #[error("{}", errno(.0))]
    Io(#[from] io::Error),
}

impl Store {
    /// One that keeps everything in memory until it gets a folder.
    pub fn new(voice: Voice) -> Self {
        Self(Arc::new(Inner { voice, ..Inner::default() }))
    }

    /// From now on everything is kept in `folder`. What is there is read if nothing was kept so far:
    /// a reload that names another folder moves there.
    pub fn open(&self, folder: &Path) {
        let mut kept = self.0.lock();
        if kept.folder.as_deref() == Some(folder) {
            return;
        }
        let is_first = kept.folder.is_none();
        kept.folder = Some(folder.to_owned());
        self.0.has_warned.store(false, Ordering::Relaxed);
        if is_first {
            let found = self.0.read(folder);
            // What was put before wins: it is newer.
            for (name, section) in found {
                kept.sections.entry(name).or_insert(section);
            }
        } else {
            kept.is_dirty = true;
            self.0.changed.notify_one();
        }
    }

    /// What is kept under `name`, if it is what its owner writes.
    pub fn section<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let section = self.0.lock().sections.get(name)?.clone();
        match serde_json::from_value(section) {
            Ok(read) => Some(read),
            Err(error) => {
                let words = format_args!("\"{name}\" in {NAME} is of no use ({error}): forgotten");
                self.0.voice.say(Level::Error, words);
                None
            }
        }
    }

    /// Keeps `section` under `name`, in place of what was there.
    pub fn put<T: Serialize>(&self, name: &str, section: &T) {
        let section = serde_json::to_value(section).expect("sections are plain data");
        let mut kept = self.0.lock();
        if kept.sections.get(name) != Some(&section) {
            kept.sections.insert(name.to_owned(), section);
            kept.is_dirty = true;
            self.0.changed.notify_one();
        }
    }

    /// Writes what has changed. It waits for the disk.
    ///
    /// # Errors
    /// What kept it from being written; the first time it is in the log, too.
    pub fn flush(&self) -> Result<(), String> {
        let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, text) = {
            let mut kept = self.0.lock();
            let is_due = kept.is_dirty && !kept.is_lent;
            let Some(folder) = kept.folder.clone().filter(|_| is_due) else { return Ok(()) };
            kept.is_dirty = false;
            let sheet = Sheet { version: VERSION, sections: kept.sections.clone() };
            (folder, serde_json::to_vec_pretty(&sheet).expect("sections are plain data"))
        };
        let done = write(&folder, &text);
        match &done {
            Ok(()) => self.0.has_warned.store(false, Ordering::Relaxed),
            Err(error) => {
                self.0.lock().is_dirty = true;
                if !self.0.has_warned.swap(true, Ordering::Relaxed) {
                    let words = format!(
                        "\"{}\" cannot be written ({}): locks, drained servers and maintenance are \
                         kept in memory only",
                        folder.join(NAME).display(),
                        errno(error)
                    );
                    self.0.voice.say(Level::Warn, words);
                }
            }
        }
        done.map_err(|error| errno(&error))
    }

    /// Another process begins with what is known here, and keeps the file from now on: the last of it
    /// is written, and what changes here afterwards is kept in memory.
    pub fn lend(&self) {
        // A disk that cannot be written has been told.
        let _ = self.flush();
        // One who is writing now has begun before.
        let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.lock().is_lent = true;
    }

    /// That process is gone. What is known here is what holds, so it is written over what is there.
    pub fn take_back(&self) {
        let mut kept = self.0.lock();
        if std::mem::replace(&mut kept.is_lent, false) {
            kept.is_dirty = true;
            self.0.changed.notify_one();
        }
    }

    /// Writes what changes, behind those who change it, until `stop`; then for the last time.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>) {
        loop {
            tokio::select! {
                () = self.0.changed.notified() => {}
                _ = stop.heard() => break,
            }
            let own = self.clone();
            // It has told the log; the next change tries again.
            let _ = tokio::task::spawn_blocking(move || own.flush()).await;
        }
        let _ = self.flush();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, folder: &Path) -> Sections {
        let path = folder.join(NAME);
        let fault = match load(&path) {
            Ok(sections) => return sections,
            Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Sections::new();
            }
            Err(fault) => fault,
        };
        let aside = folder.join(format!("{NAME}.bad"));
        let done = match (&fault, fs::rename(&path, &aside)) {
            // What cannot even be opened is not damaged.
            (Fault::Io(_), _) => "begin with nothing".to_owned(),
            (_, Ok(())) => format!("set aside as \"{}\", begin with nothing", aside.display()),
            (_, Err(error)) => format!("begin with nothing ({})", errno(&error)),
        };
        let words = format!("\"{}\" cannot be used, {fault}: {done}", path.display());
        self.voice.say(Level::Error, words);
        Sections::new()
    }
}

fn load(path: &Path) -> Result<Sections, Fault> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Fault::TooLarge);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Sections, Fault> {
    /// The version comes first: what a newer gatepost wrote may have another form.
    #[derive(Deserialize)]
    struct Cover {
        version: u32,
    }
    let form = |error: serde_json::Error| Fault::Form(error.to_string());
    let cover: Cover = serde_json::from_slice(bytes).map_err(form)?;
    if cover.version != VERSION {
        return Err(Fault::Version(cover.version));
    }
    serde_json::from_slice::<Sheet>(bytes).map(|sheet| sheet.sections).map_err(form)
}

fn write(folder: &Path, text: &[u8]) -> io::Result<()> {
    if !folder.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let new = folder.join(format!("{NAME}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

/// What must hold for any file at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Ok(sections) = parse(input) {
        let sheet = Sheet { version: VERSION, sections };
        let text = serde_json::to_vec(&sheet).expect("sections are plain data");
        let again = parse(&text).expect("what was read is written and read again");
        assert_eq!(again, sheet.sections);
    }
    super::lock::hold_for_any(input);
    super::maintenance::hold_for_any(input);
    super::handler::keep::hold_for_any(input);
}

#[cfg(test)]
mod tests;
