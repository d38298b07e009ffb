//! What becomes of logs that have been turned: compressed, and deleted when there are too many.
//!
//! A log that somebody may still write to is left alone: each writer holds a shared lock on the file
//! it writes, so a file that can be locked for us alone has none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{FlockOperation, OFlags, flock};

use super::names::{self, Form, Turned};
use super::policy::Policy;

/// What is left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Somebody still writes to one of them.
    pub is_busy: bool,
}

/// Why it was not done: call, path, cause.
pub type Failed = (&'static str, PathBuf, io::Error);

/// The turned logs beside `log`, the oldest first.
pub fn turned(log: &Path) -> io::Result<Vec<Turned>> {
    let Some(name) = log.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(log))? {
        found.extend(entry?.file_name().to_str().and_then(|file| names::parse(name, file)));
    }
    found.sort();
    Ok(found)
}

/// Where the log lies.
pub fn folder(log: &Path) -> &Path {
    match log.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The path of a turned log beside `log`.
pub fn path_of(log: &Path, turned: Turned) -> PathBuf {
    let name = log.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    log.with_file_name(turned.name(&name))
}

/// Compresses what `policy` wants compressed, and deletes what is beyond `keep`, of the log's own
/// files alone.
pub fn tidy(log: &Path, policy: &Policy) -> Result<Left, Failed> {
    let mut left = Left::default();
    let all = turned(log).map_err(|cause| ("opendir()", folder(log).to_owned(), cause))?;
    let mut keys: Vec<_> = all.iter().map(|turned| turned.key()).collect();
    keys.dedup();
    let beyond = keys.len().saturating_sub(policy.keep);
    let newest = keys.last().copied();
    let (old, kept): (Vec<Turned>, Vec<Turned>) =
        all.into_iter().partition(|turned| keys[..beyond].contains(&turned.key()));
    // First what frees room.
    for turned in old {
        left.is_busy |= !delete(&path_of(log, turned))?;
    }
    if !policy.compress {
        return Ok(left);
    }
    for turned in kept.into_iter().filter(|turned| turned.form == Form::Plain) {
        if policy.delay_compress && Some(turned.key()) == newest {
            continue;
        }
        left.is_busy |= !compress(log, turned)?;
    }
    Ok(left)
}

/// Opens a turned log for us alone; None while somebody writes to it, or if it is gone.
fn alone(path: &Path) -> Result<Option<File>, Failed> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(("open()", path.to_owned(), cause)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(cause) => return Err(("flock()", path.to_owned(), cause.into())),
    }
    // Another process may have been here between the two.
    let is_there = file.metadata().is_ok_and(|data| data.nlink() > 0);
    Ok(is_there.then_some(file))
}

/// Says whether it is gone.
fn delete(path: &Path) -> Result<bool, Failed> {
    let Some(_file) = alone(path)? else { return Ok(!path.exists()) };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(("unlink()", path.to_owned(), error))
        }
        _ => Ok(true),
    }
}

/// Says whether it is done. A crash at any point leaves the plain file, or the compressed one, or
/// both of them whole; a part is written anew.
fn compress(log: &Path, turned: Turned) -> Result<bool, Failed> {
    let plain = path_of(log, turned);
    let Some(mut from) = alone(&plain)? else { return Ok(!plain.exists()) };
    let part = path_of(log, turned.with(Form::Part));
    let whole = path_of(log, turned.with(Form::Compressed));
    let done =
        squeeze(&mut from, &part).map_err(|cause| ("write()", part.clone(), cause)).and_then(
            |()| fs::rename(&part, &whole).map_err(|cause| ("rename()", part.clone(), cause)),
        );
    if done.is_err() {
        // What room it took is wanted.
        let _ = fs::remove_file(&part);
    }
    done?;
    // The name is on disk before the other one goes.
    let synced = File::open(folder(log)).and_then(|folder| folder.sync_all());
    synced.map_err(|cause| ("fsync()", folder(log).to_owned(), cause))?;
    fs::remove_file(&plain).map_err(|cause| ("unlink()", plain, cause))?;
    Ok(true)
}

fn squeeze(from: &mut File, part: &Path) -> io::Result<()> {
    let data = from.metadata()?;
    let _ = fs::remove_file(part);
    let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    let mut gz = GzEncoder::new(io::BufWriter::with_capacity(1 << 16, to), Compression::default());
    io::copy(&mut io::BufReader::with_capacity(1 << 16, from), &mut gz)?;
    let mut to = gz.finish()?;
    to.flush()?;
    let to = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Readable for those who could read it before. Only root can give it to another user; then it
    // stays ours.
    let is_given = std::os::unix::fs::fchown(&to, Some(data.uid()), Some(data.gid())).is_ok();
    let mode = if is_given { data.mode() & 0o7777 } else { data.mode() & 0o7700 };
    to.set_permissions(fs::Permissions::from_mode(mode))?;
    to.set_modified(data.modified()?)?;
    to.sync_all()
}
