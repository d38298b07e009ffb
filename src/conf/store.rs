//! The generations on disk.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::expand::Files;

const FOLDER: &str = "generations";
const LINK: &str = "current";
/// What is being written, and what was refused last.
const FRESH: &str = ".new";
const FAILED: &str = "failed";
const FRESH_LINK: &str = ".current.new";

/// What has just been done. A test ends a run behind each of them, as a crash would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Locked,
    Cleared,
    FolderMade,
    FileWritten,
    Flushed,
    Checked,
    Named,
    LinkMade,
    Switched,
    SwitchFlushed,
    Pruned,
}

/// Why there is no new generation.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{what} \"{}\" failed ({error})", path.display())]
    Io { what: &'static str, path: PathBuf, error: io::Error },
    /// The check's faults, each a line.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    #[error("there is no generation {0}; \"gatepost conf history\" lists them")]
    Unknown(u64),
    /// Only in tests.
    #[error("stopped")]
    Stopped,
}

/// One that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    /// `000004-20261121T101500Z`
    pub name: String,
    pub path: PathBuf,
    pub is_current: bool,
}

impl Generation {
    /// When it was made, as in its name.
    pub fn time(&self) -> &str {
        self.name.split_once('-').map_or("", |(_, time)| time)
    }
}

/// A hook behind every step.
pub type Watch<'a> = &'a mut dyn FnMut(Step) -> ControlFlow<()>;

/// `generations/` and `current` below a folder.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

fn io<T>(what: &'static str, path: &Path, done: io::Result<T>) -> Result<T, Trouble> {
    done.map_err(|error| Trouble::Io { what, path: path.to_owned(), error })
}

fn told(watch: Watch<'_>, step: Step) -> Result<(), Trouble> {
    match watch(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Trouble::Stopped),
    }
}

impl Store {
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// Keeps other runs waiting until what is returned is dropped.
    ///
    /// # Errors
    /// The folder cannot be made or locked.
    pub fn lock(&self) -> Result<File, Trouble> {
        let folder = self.folder();
        io("making", &folder, fs::create_dir_all(&folder))?;
        let path = folder.join(".lock");
        let open =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = io("opening", &path, open)?;
        io("locking", &path, file.lock())?;
        Ok(file)
    }

    /// All that were ever in force, or may be, and are still kept; the oldest first.
    ///
    /// # Errors
    /// The folder cannot be read. One that is not there has none.
    pub fn list(&self) -> Result<Vec<Generation>, Trouble> {
        let folder = self.folder();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => io("reading", &folder, entries)?,
        };
        let current = fs::read_link(self.root.join(LINK)).ok();
        let current = current.as_deref().and_then(Path::file_name);
        let mut all = Vec::new();
        for entry in entries {
            let entry = io("reading", &folder, entry)?;
            let name = entry.file_name();
            let is_current = Some(name.as_os_str()) == current;
            let Some(name) = name.to_str() else { continue };
            let number = name.split_once('-').and_then(|(number, _)| number.parse().ok());
            if let Some(number) = number {
                let name = name.to_owned();
                all.push(Generation { number, name, path: entry.path(), is_current });
            }
        }
        all.sort_by(|one, other| (one.number, &one.name).cmp(&(other.number, &other.name)));
        Ok(all)
    }

    /// The one in force.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn current(&self) -> Result<Option<Generation>, Trouble> {
        Ok(self.list()?.into_iter().find(|one| one.is_current))
    }

    /// # Errors
    /// There is none of that number.
    pub fn find(&self, number: u64) -> Result<Generation, Trouble> {
        let found = self.list()?.into_iter().find(|one| one.number == number);
        found.ok_or(Trouble::Unknown(number))
    }

    /// The files of a generation.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(&self, generation: &Generation) -> Result<BTreeMap<String, String>, Trouble> {
        let mut files = BTreeMap::new();
        let mut folders = vec![generation.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in io("reading", &folder, fs::read_dir(&folder))? {
                let path = io("reading", &folder, entry)?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let below = path.strip_prefix(&generation.path).unwrap_or(&path);
                let text = io("reading", &path, fs::read_to_string(&path))?;
                files.insert(below.display().to_string(), text);
            }
        }
        Ok(files)
    }

    /// Makes a generation of `files`, has it checked, puts it in force, and forgets the oldest beyond
    /// `keep`. `time` becomes a part of its name.
    ///
    /// # Errors
    /// What is in force is then what it was; files that were refused lie in `generations/failed`.
    pub fn put(
        &self,
        files: &Files,
        time: &str,
        keep: usize,
        check: &mut dyn FnMut(&Path) -> Result<(), Vec<String>>,
        watch: Watch<'_>,
    ) -> Result<Generation, Trouble> {
        let _lock = self.lock()?;
        told(watch, Step::Locked)?;
        self.clear()?;
        told(watch, Step::Cleared)?;
        let folder = self.folder();
        let fresh = folder.join(FRESH);
        write_all(&fresh, files, watch)?;
        told(watch, Step::Flushed)?;
        if let Err(faults) = check(&fresh) {
            let failed = folder.join(FAILED);
            let _ = fs::remove_dir_all(&failed);
            io("renaming", &fresh, fs::rename(&fresh, &failed))?;
            let (from, to) = (fresh.display().to_string(), failed.display().to_string());
            let faults = faults.iter().map(|fault| fault.replace(&from, &to)).collect();
            return Err(Trouble::Refused(faults));
        }
        told(watch, Step::Checked)?;
        let number = self.list()?.last().map_or(1, |last| last.number + 1);
        let name = format!("{number:06}-{time}");
        let path = folder.join(&name);
        io("renaming", &fresh, fs::rename(&fresh, &path))?;
        io("flushing", &folder, flush(&folder))?;
        told(watch, Step::Named)?;
        let generation = Generation { number, name, path, is_current: true };
        self.switch(&generation, watch)?;
        self.prune(keep)?;
        told(watch, Step::Pruned)?;
        let _ = fs::remove_dir_all(folder.join(FAILED));
        Ok(generation)
    }

    /// Puts one that is there in force again, after a check.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn back(
        &self,
        number: u64,
        check: &mut dyn FnMut(&Path) -> Result<(), Vec<String>>,
        watch: Watch<'_>,
    ) -> Result<Generation, Trouble> {
        let _lock = self.lock()?;
        self.clear()?;
        let generation = self.find(number)?;
        check(&generation.path).map_err(Trouble::Refused)?;
        told(watch, Step::Checked)?;
        self.switch(&generation, watch)?;
        Ok(Generation { is_current: true, ..generation })
    }

    /// One rename, which is the whole change.
    fn switch(&self, generation: &Generation, watch: Watch<'_>) -> Result<(), Trouble> {
        let (fresh, link) = (self.root.join(FRESH_LINK), self.root.join(LINK));
        let target = Path::new(FOLDER).join(&generation.name);
        io("linking", &fresh, symlink(&target, &fresh))?;
        told(watch, Step::LinkMade)?;
        io("renaming", &fresh, fs::rename(&fresh, &link))?;
        told(watch, Step::Switched)?;
        io("flushing", &self.root, flush(&self.root))?;
        told(watch, Step::SwitchFlushed)
    }

    /// What a crash has left.
    fn clear(&self) -> Result<(), Trouble> {
        let (fresh, link) = (self.folder().join(FRESH), self.root.join(FRESH_LINK));
        let gone = |done: io::Result<()>| match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
        io("removing", &fresh, gone(fs::remove_dir_all(&fresh)))?;
        io("removing", &link, gone(fs::remove_file(&link)))
    }

    /// Forgets the oldest. One that goes is renamed first, so that no half of it is ever listed.
    fn prune(&self, keep: usize) -> Result<(), Trouble> {
        let all = self.list()?;
        let surplus = all.len().saturating_sub(keep.max(1));
        for old in all.iter().filter(|one| !one.is_current).take(surplus) {
            let fresh = self.folder().join(FRESH);
            io("renaming", &old.path, fs::rename(&old.path, &fresh))?;
            io("removing", &fresh, fs::remove_dir_all(&fresh))?;
        }
        Ok(())
    }
}

fn write_all(fresh: &Path, files: &Files, watch: Watch<'_>) -> Result<(), Trouble> {
    let (of_files, of_folders) = if files.has_secrets { (0o600, 0o700) } else { (0o644, 0o755) };
    let make = |folder: &Path| DirBuilder::new().recursive(true).mode(of_folders).create(folder);
    io("making", fresh, make(fresh))?;
    told(watch, Step::FolderMade)?;
    let mut folders = vec![fresh.to_owned()];
    for (name, text) in &files.all {
        let path = fresh.join(name);
        let folder = path.parent().unwrap_or(fresh);
        if !folders.iter().any(|known| known == folder) {
            io("making", folder, make(folder))?;
            folders.push(folder.to_owned());
        }
        let written = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(of_files).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        io("writing", &path, written())?;
        told(watch, Step::FileWritten)?;
    }
    // Folders within others first.
    for folder in folders.iter().rev() {
        io("flushing", folder, flush(folder))?;
    }
    Ok(())
}

fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
