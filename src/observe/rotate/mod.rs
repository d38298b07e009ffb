//! Logs that are turned: renamed, opened anew under their writers, later compressed and deleted.
//!
//! **In and out.** [`Rotation::look`] turns what is due by its [`Rules`], [`Rotation::turn_all`]
//! whatever is asked for, and [`Rotation::tidy`] compresses and deletes. All of them wait for the disk.
//!
//! **Promises.**
//! - No line is lost or cut: the file is renamed, not copied, and writers go on in it until they have
//!   the new one. A crash in between leaves the renamed file, and the next start opens a new one. If
//!   no new one can be opened the old name is taken back.
//! - Of several processes with the same log (an upgrade) exactly one turns it: the folder is locked
//!   meanwhile, and who finds another file at the path opens that. A file is compressed or deleted
//!   only when no process writes to it any more.
//! - Nothing is touched but the log, and beside it files of the names that are given here
//!   ([`names`]). What is no regular file is never turned.
//! - What fails is told once, until it succeeds or fails otherwise.
//!
//! **Limits.** Sizes and times are looked at when `look` is called. A file system without `flock` has
//! its logs turned by one process at a time, and nothing compressed or deleted.

mod names;
mod policy;
#[cfg(test)]
mod tests;
mod tidy;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::{Timestamp, Zoned};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::files::{self, LogFile};
use super::sink::because;
use super::{Level, Log};

pub use names::hold_for_any;
pub use policy::{Every, Policy, Rules};

/// The logs of this process that are turned.
#[derive(Debug, Default)]
pub struct Rotation {
    rules: ArcSwap<Rules>,
    known: Mutex<Known>,
    /// One of this process looks at a time.
    turning: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// When a log was last seen without a line: its first one came later.
    empty: BTreeMap<PathBuf, Timestamp>,
    /// What was told of a log.
    told: BTreeMap<(PathBuf, Part), String>,
    /// Beside which logs there is something to do.
    untidy: BTreeSet<PathBuf>,
}

/// What failed of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Turning,
    Tidying,
}

/// A log that was turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    pub log: PathBuf,
    pub to: PathBuf,
    /// What is to be run then.
    pub command: Option<PathBuf>,
}

/// What came of a look at one log.
#[derive(Debug)]
enum Looked {
    /// There was nothing to do, or another process is at it.
    Well,
    /// Another process has turned it; we have followed.
    Followed,
    Turned(PathBuf),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("\"{}\" is no regular file: it is not turned", .0.display())]
    NoFile(PathBuf),
    #[error("{call} \"{}\" failed ({}): it goes on in the old file", path.display(), because(cause))]
    Call {
        call: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// It is turned, and the new one has another mode or owner than it should.
    #[error("{call} \"{}\" failed ({})", path.display(), because(cause))]
    Dress { call: &'static str, path: PathBuf, to: PathBuf, cause: io::Error },
}

impl Rotation {
    /// Whether there is no log to look at.
    pub fn is_idle(&self) -> bool {
        self.rules.load().turn_none()
    }

    /// From now on by `rules`.
    pub fn follow(&self, rules: Rules) {
        self.rules.store(rules.into());
        let rules = self.rules.load();
        let mut known = self.known();
        // What an earlier process has left.
        known.untidy = open().iter().map(|file| file.path().to_owned()).collect();
        known.untidy.retain(|path| rules.of(path).is_some());
    }

    /// Turns what is due.
    pub fn look(&self, now: &Zoned, log: &Log) -> Vec<Turned> {
        let rules = self.rules.load_full();
        let mut all = Vec::new();
        for file in open() {
            let Some(policy) = rules.of(file.path()) else { continue };
            all.extend(self.turn(&file, policy, false, now, log).0);
        }
        all
    }

    /// Turns every log, or the one at `only`, due or not. Also gives what did not work.
    pub fn turn_all(
        &self,
        only: Option<&Path>,
        now: &Zoned,
        log: &Log,
    ) -> (Vec<Turned>, Vec<String>) {
        let rules = self.rules.load_full();
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        let files = open().into_iter().filter(|file| only.is_none_or(|only| file.path() == only));
        let mut is_there = false;
        for file in files {
            is_there = true;
            match rules.of(file.path()) {
                Some(policy) => {
                    let (turned, problem) = self.turn(&file, policy, true, now, log);
                    all.extend(turned);
                    problems.extend(problem);
                }
                None if only.is_some() => problems.push(format!(
                    "no \"log_rotate\" is in force for \"{}\"",
                    file.path().display()
                )),
                None => {}
            }
        }
        match only {
            Some(only) if !is_there => {
                problems.push(format!("there is no log \"{}\"", only.display()));
            }
            None if rules.usual.is_none() && rules.own.is_empty() => {
                problems.push("no \"log_rotate\" is configured".to_owned());
            }
            _ => {}
        }
        (all, problems)
    }

    /// Compresses and deletes, where there is something to do.
    pub fn tidy(&self, log: &Log) {
        let rules = self.rules.load_full();
        let untidy: Vec<_> = self.known().untidy.iter().cloned().collect();
        for path in untidy {
            let done = match rules.of(&path) {
                Some(policy) => tidy::tidy(&path, policy),
                None => Ok(tidy::Left::default()),
            };
            let problem = match &done {
                Ok(left) => {
                    if !left.is_busy {
                        self.known().untidy.remove(&path);
                    }
                    None
                }
                Err((call, path, cause)) => Some(format!(
                    "{call} \"{}\" failed ({}): turned logs stay as they are",
                    path.display(),
                    because(cause)
                )),
            };
            self.tell(&path, Part::Tidying, problem, log);
        }
    }

    fn turn(
        &self,
        file: &LogFile,
        policy: &Policy,
        is_forced: bool,
        now: &Zoned,
        log: &Log,
    ) -> (Option<Turned>, Option<String>) {
        let _one = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.try_turn(file, policy, is_forced, now);
        let problem = done.as_ref().err().map(ToString::to_string);
        self.tell(file.path(), Part::Turning, problem.clone(), log);
        let to = match done {
            Ok(Looked::Turned(to)) | Err(Error::Dress { to, .. }) => to,
            Ok(Looked::Followed) => {
                self.known().empty.remove(file.path());
                self.known().untidy.insert(file.path().to_owned());
                return (None, problem);
            }
            Ok(Looked::Well) | Err(_) => return (None, problem),
        };
        self.known().empty.remove(file.path());
        self.known().untidy.insert(file.path().to_owned());
        let words = format_args!("\"{}\" is turned to \"{}\"", file.path().display(), to.display());
        log.line(Level::Notice, None, words);
        let (path, command) = (file.path().to_owned(), policy.command.clone());
        (Some(Turned { log: path, to, command }), problem)
    }

    fn try_turn(
        &self,
        file: &LogFile,
        policy: &Policy,
        is_forced: bool,
        now: &Zoned,
    ) -> Result<Looked, Error> {
        let path = file.path();
        let own = file.metadata().map_err(failed("fstat()", path))?;
        if !own.is_file() {
            return Ok(Looked::Well);
        }
        let there = fs::symlink_metadata(path);
        let is_ours = |there: &fs::Metadata| (there.dev(), there.ino()) == (own.dev(), own.ino());
        match &there {
            Ok(there) if !there.is_file() => return Err(Error::NoFile(path.to_owned())),
            Ok(there) if is_ours(there) && !self.is_due(path, &own, policy, is_forced, now) => {
                return Ok(Looked::Well);
            }
            _ => {}
        }
        let folder = tidy::folder(path);
        let locked = File::open(folder).map_err(failed("open()", folder))?;
        // Where there are no locks there is one process, most likely.
        let lock = flock(&locked, FlockOperation::NonBlockingLockExclusive);
        if lock == Err(rustix::io::Errno::WOULDBLOCK) {
            return Ok(Looked::Well);
        }
        // Now that nobody else is at it.
        match fs::symlink_metadata(path) {
            Ok(there) if !there.is_file() => return Err(Error::NoFile(path.to_owned())),
            Ok(there) if is_ours(&there) => {}
            _ => {
                file.reopen().map_err(|error| Error::Call {
                    call: error.call,
                    path: error.path,
                    cause: error.cause,
                })?;
                return Ok(Looked::Followed);
            }
        }
        let there = tidy::turned(path).map_err(failed("opendir()", folder))?;
        let date = u32::try_from(now.year()).unwrap_or(0) * 10_000
            + u32::from(now.month().unsigned_abs()) * 100
            + u32::from(now.day().unsigned_abs());
        let to = tidy::path_of(path, names::next(date, &there));
        rename(path, &to).map_err(failed("rename()", path))?;
        let new = match files::open_new(path) {
            Ok(new) => new,
            Err(error) => {
                // Writers are still in the old file: under its old name it is found.
                let _ = rename(&to, path);
                return Err(failed(error.call, path)(error.cause));
            }
        };
        let dressed = dress(&new, policy, &own);
        file.put(new);
        match dressed {
            Ok(()) => Ok(Looked::Turned(to)),
            Err((call, cause)) => Err(Error::Dress { call, path: path.to_owned(), to, cause }),
        }
    }

    fn is_due(
        &self,
        path: &Path,
        own: &fs::Metadata,
        policy: &Policy,
        is_forced: bool,
        now: &Zoned,
    ) -> bool {
        if own.len() == 0 {
            self.known().empty.insert(path.to_owned(), now.timestamp());
            return false;
        }
        // A file system that does not know when a file was made says when it was written to.
        let made = own.created().or_else(|_| own.modified()).ok();
        let made = made.and_then(|made| Timestamp::try_from(made).ok());
        let empty = self.known().empty.get(path).copied();
        let since = made.max(empty).unwrap_or(now.timestamp());
        is_forced || policy.is_due(own.len(), since, now)
    }

    /// Tells a problem once, and that it is over.
    fn tell(&self, path: &Path, part: Part, problem: Option<String>, log: &Log) {
        let key = (path.to_owned(), part);
        let mut known = self.known();
        let Some(problem) = problem else {
            known.told.remove(&key);
            return;
        };
        if known.told.get(&key) != Some(&problem) {
            known.told.insert(key, problem.clone());
            drop(known);
            log.line(Level::Warn, None, problem);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change of it is one insertion or removal.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(call: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Call { call, path, cause }
}

/// The log files that are open.
fn open() -> Vec<std::sync::Arc<LogFile>> {
    files::all_open()
}

/// Renames, and never over another file.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system cannot; the folder is locked, so nobody of ours makes it meanwhile.
        Err(rustix::io::Errno::INVAL) if !to.exists() => fs::rename(from, to),
        done => Ok(done?),
    }
}

/// Gives the new log its mode and owner: those of `policy`, or those of the old one.
fn dress(new: &File, policy: &Policy, old: &fs::Metadata) -> Result<(), (&'static str, io::Error)> {
    let (uid, gid) = policy.owner.unwrap_or((old.uid(), old.gid()));
    let data = new.metadata().map_err(|cause| ("fstat()", cause))?;
    let owned = match (data.uid(), data.gid()) == (uid, gid) {
        true => Ok(()),
        false => std::os::unix::fs::fchown(new, Some(uid), Some(gid)),
    };
    let mode = policy.mode.unwrap_or(old.mode() & 0o7777);
    // Whose the file is for some reason, its mode is not to let in more than it should.
    new.set_permissions(fs::Permissions::from_mode(mode)).map_err(|cause| ("chmod()", cause))?;
    // Nobody asked for the old one's owner by name.
    owned.or_else(|cause| if policy.owner.is_some() { Err(("chown()", cause)) } else { Ok(()) })
}
