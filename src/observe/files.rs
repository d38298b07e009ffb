//! Log files: opened for appending, shared by path, reopened all at once.
//!
//! Each open file holds a shared lock (`flock`) for as long as somebody here may write to it, so
//! that who compresses old logs can tell whether one is done with.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use rustix::fs::{FlockOperation, OFlags, flock};

use super::sink::because;
use super::{Level, Log};

/// A log file that can be reopened under its writers.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: ArcSwap<File>,
}

/// What could not be done to a log file.
#[derive(Debug, thiserror::Error)]
#[error("{call} \"{}\" failed ({})", path.display(), because(cause))]
pub struct Failure {
    pub call: &'static str,
    pub path: PathBuf,
    #[source]
    pub cause: io::Error,
}

type Files = BTreeMap<PathBuf, Weak<LogFile>>;

/// Every log file that is open in this process, whatever writes to it.
static OPEN: Mutex<Files> = Mutex::new(Files::new());

fn all() -> MutexGuard<'static, Files> {
    // The map is whole after every statement below, so a panic in between leaves nothing torn.
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens `path` for appending, made if it is not there.
///
/// A path that is open already is shared, and opened anew for all who write to it: after a reload
/// every log is at its path, as it is after `USR1`.
pub fn open(path: &Path) -> Result<Arc<LogFile>, Failure> {
    let file = open_file(path)?;
    let mut files = all();
    files.retain(|_, file| file.strong_count() > 0);
    if let Some(shared) = files.get(path).and_then(Weak::upgrade) {
        shared.file.store(Arc::new(file));
        return Ok(shared);
    }
    let new = Arc::new(LogFile { path: path.to_owned(), file: ArcSwap::from_pointee(file) });
    files.insert(path.to_owned(), Arc::downgrade(&new));
    Ok(new)
}

/// Reopens every log file of the process. What cannot be reopened stays open where it is, and `log`
/// says so at `emerg`, as nginx does. Gives the number of such files.
pub fn reopen_all(log: &Log) -> usize {
    for_all(log, LogFile::reopen)
}

/// Gives every open log file to a user, so that it can be reopened once privileges are dropped.
pub fn give_all_to(log: &Log, uid: u32, gid: u32) -> usize {
    for_all(log, |file| {
        let open = file.file.load();
        // A device, such as /dev/null, or a pipe is everybody's.
        if !open.metadata().is_ok_and(|data| data.is_file()) {
            return Ok(());
        }
        std::os::unix::fs::fchown(&**open, Some(uid), Some(gid)).map_err(|cause| Failure {
            call: "chown()",
            path: file.path.clone(),
            cause,
        })
    })
}

fn for_all(log: &Log, act: impl Fn(&LogFile) -> Result<(), Failure>) -> usize {
    let files = all_open();
    let failures: Vec<_> = files.iter().filter_map(|file| act(file).err()).collect();
    for failure in &failures {
        log.line(Level::Emerg, None, failure);
    }
    failures.len()
}

fn open_file(path: &Path) -> Result<File, Failure> {
    loop {
        let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
        // Where these are sockets (a service's standard output often is), they cannot be opened by
        // name, only doubled.
        let opened = opened.or_else(|cause| match path.to_str() {
            Some("/dev/stdout") => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Some("/dev/stderr") => io::stderr().as_fd().try_clone_to_owned().map(File::from),
            _ => Err(cause),
        });
        let file =
            opened.map_err(|cause| Failure { call: "open()", path: path.to_owned(), cause })?;
        if hold(&file, path) {
            return Ok(file);
        }
    }
}

/// Makes a new log where the old one was; never through a link that somebody has put there.
pub fn open_new(path: &Path) -> Result<File, Failure> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags);
    let opened = options.open(path);
    let file = opened.map_err(|cause| Failure { call: "open()", path: path.to_owned(), cause })?;
    hold(&file, path);
    Ok(file)
}

/// Marks the file as written to. Says whether it is the one at `path` still: another process may
/// have turned it between the two, and would not have seen the mark.
fn hold(file: &File, path: &Path) -> bool {
    let Ok(own) = file.metadata() else { return true };
    if !own.is_file() {
        return true;
    }
    // Where there are no locks, or somebody holds this one, there is still a log to be written.
    let _ = flock(file, FlockOperation::NonBlockingLockShared);
    // Deleted at once again: by whom may do so as often as he likes, so it is enough.
    fs::metadata(path).map_or(true, |there| (there.dev(), there.ino()) == (own.dev(), own.ino()))
}

/// Every log file that is open.
pub fn all_open() -> Vec<Arc<LogFile>> {
    all().values().filter_map(Weak::upgrade).collect()
}

impl LogFile {
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        write_line(&**self.file.load(), line)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Of the file that is written to now.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.load().metadata()
    }

    /// Whoever writes from now on writes to the file at the path.
    pub fn reopen(&self) -> Result<(), Failure> {
        self.put(open_file(&self.path)?);
        Ok(())
    }

    /// Whoever writes from now on writes to `file`.
    pub fn put(&self, file: File) {
        self.file.store(Arc::new(file));
    }

    /// One that no other of this process shares, as another process would have it.
    #[cfg(test)]
    pub fn of_another_process(path: &Path) -> Arc<Self> {
        let file = ArcSwap::from_pointee(open_file(path).unwrap());
        Arc::new(Self { path: path.to_owned(), file })
    }
}

/// Hands `line` over in one `write(2)`. Only where the system takes part of it is there a second.
pub fn write_line(mut to: impl Write, line: &[u8]) -> io::Result<()> {
    loop {
        match to.write(line) {
            Ok(all) if all == line.len() => return Ok(()),
            Ok(some) => return to.write_all(&line[some..]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_exists_from_the_start_and_keeps_what_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        fs::write(&path, "old\n").unwrap();
        let file = open(&path).unwrap();
        file.write(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old\nnew\n");
        drop(open(&dir.path().join("other.log")).unwrap());
        assert!(dir.path().join("other.log").exists());
    }

    #[test]
    fn one_path_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        let (one, two) = (open(&path).unwrap(), open(&path).unwrap());
        assert!(Arc::ptr_eq(&one, &two));
    }

    #[test]
    fn after_a_rename_reopening_starts_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("error.log"), dir.path().join("error.log.1"));
        let file = open(&path).unwrap();
        file.write(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        file.write(b"two\n").unwrap();
        reopen_all(&Log::silent());
        file.write(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn what_cannot_be_reopened_stays_open_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, moved) = (dir.path().join("inner"), dir.path().join("moved"));
        fs::create_dir(&inner).unwrap();
        let file = open(&inner.join("a.log")).unwrap();
        fs::rename(&inner, &moved).unwrap();
        let (log, memory) = Log::memory(Level::Error);
        assert!(reopen_all(&log) >= 1);
        let want = format!("open() \"{}\" failed (2: No such file", inner.join("a.log").display());
        assert!(memory.text().contains(&want), "{}", memory.text());
        file.write(b"still here\n").unwrap();
        assert_eq!(fs::read_to_string(moved.join("a.log")).unwrap(), "still here\n");
    }

    /// A pipe stands for what is no file: only root can make a device, and one of the system's own
    /// is not for a test to try its luck on. Whoever is not root sees a chown() that was tried fail.
    #[test]
    fn what_is_no_file_is_not_given_away() {
        use std::os::unix::fs::MetadataExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opening the writing end waits for a reader.
        let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let pipe = open(&path).unwrap();
        let (log, memory) = Log::memory(Level::Error);
        give_all_to(&log, 12_345, 12_345);
        assert_ne!(reader.metadata().unwrap().uid(), 12_345);
        let told = memory.text();
        assert!(!told.contains(&path.display().to_string()), "{told}");
        // Before the reader goes: a test beside this one reopens all there is, and would wait for it.
        fs::remove_file(&path).unwrap();
        drop((pipe, reader));
    }
}
