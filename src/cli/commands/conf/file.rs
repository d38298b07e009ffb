//! The file of settings on disk.
//!
//! **Promises.** Who changes it holds its folder's lock, so that no change is lost to another; a crash
//! leaves the old file or the new one, with mode and owner as they were.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::super::Failure;
use crate::settings;

/// More than any site sets.
const LARGEST: u64 = 64 << 20;

pub struct SettingsFile {
    path: PathBuf,
}

impl SettingsFile {
    /// The file below `prefix`, or the one that is `named`.
    pub fn at(prefix: &Path, named: Option<&Path>) -> Self {
        let path = named.map_or_else(|| prefix.join(settings::FILE), Path::to_owned);
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; one that is not there sets nothing.
    pub fn read(&self) -> Result<String, Failure> {
        Ok(self.existing()?.unwrap_or_default())
    }

    /// Its text; one that is not there is begun as it is shipped, all in comments.
    pub fn read_or_shipped(&self) -> Result<String, Failure> {
        Ok(self.existing()?.unwrap_or_else(settings::shipped))
    }

    fn existing(&self) -> Result<Option<String>, Failure> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(about) if about.len() > LARGEST => {
                return Err(self.failed("reading", &io::Error::other("it is too large")));
            }
            _ => {}
        }
        fs::read_to_string(&self.path).map(Some).map_err(|error| self.failed("reading", &error))
    }

    /// Keeps others from changing it, until what is returned is dropped.
    pub fn hold(&self) -> Result<File, Failure> {
        let folder = folder(&self.path);
        let held = fs::create_dir_all(folder).and_then(|()| {
            let folder = File::open(folder)?;
            folder.lock()?;
            Ok(folder)
        });
        held.map_err(|error| self.failed("locking the folder of", &error))
    }

    pub fn write(&self, text: &str) -> Result<(), Failure> {
        // Where it is a link, what it leads to is replaced.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        replace(&path, text.as_bytes(), 0o644).map_err(|error| self.failed("writing", &error))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        Failure::Ours(format!("{what} \"{}\" failed ({error})", self.path.display()))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts `content` at `path` in one step. A file that is there keeps its mode and owner; a new one
/// gets `mode`.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is no file's name"))?;
    let fresh = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = fill(&fresh, path, content, mode).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written?;
    File::open(folder(path))?.sync_all()
}

fn fill(fresh: &Path, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // What a process of the same id left behind when it was killed.
    let _ = fs::remove_file(fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    let ours = file.metadata()?;
    let mut mode = mode;
    if let Ok(old) = fs::metadata(path) {
        mode = old.mode() & 0o7777;
        if (old.uid(), old.gid()) != (ours.uid(), ours.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}
