//! The control socket's file: made whole, never in anybody's place, gone when we are.
//!
//! It is bound under a name of its own beside its path, with its mode from the first moment (the mode
//! of a socket is that of its descriptor at `bind`), listens, and is then renamed into place. So who
//! finds the path can connect, and what a crash has left there is replaced in one step.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Pid, getppid};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::directives::Settings;
use crate::net::errno;
use crate::net::listen::Socket;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("control socket \"{path}\": {call} failed ({}){}", errno(cause), remedy(call, cause))]
    Call {
        path: String,
        call: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("control socket \"{0}\": something that is no socket is there; it is left alone")]
    Occupied(String),
    #[error("control socket \"{0}\": another gatepost answers there")]
    Taken(String),
}

fn remedy(call: &str, cause: &io::Error) -> &'static str {
    match (call, cause.kind()) {
        ("chown()", io::ErrorKind::PermissionDenied) => {
            ": only root can, so only at a start by root"
        }
        (_, io::ErrorKind::PermissionDenied) => ": its directory must be writable for us",
        (_, io::ErrorKind::InvalidInput) => ": the path is too long for a socket",
        _ => "",
    }
}

/// A control socket of ours. Dropped, its file is removed, if it is still ours.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    settings: Settings,
    /// Kept open: as long as it is, no other file can have our inode's number.
    socket: Socket,
    /// None once it is another's.
    file: Option<(u64, u64)>,
    /// The older gatepost that gave it to us: while it lives, the file is its, too.
    elder: Option<Pid>,
}

impl Control {
    /// Opens the socket at `path`. `is_ours`: it is this process that answers there now.
    pub fn open(path: &Path, settings: &Settings, is_ours: bool) -> Result<Self, Error> {
        let name = || path.display().to_string();
        let fail =
            |call| move |cause| Error::Call { path: path.display().to_string(), call, cause };
        match std::fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => return Err(Error::Occupied(name())),
            Ok(_) if !is_ours && is_answered(path) => return Err(Error::Taken(name())),
            _ => {}
        }
        let fresh = beside(path);
        let raw = bind(&fresh, settings.mode).map_err(fail("bind()"))?;
        let placed = place(&raw, &fresh, path, settings);
        match placed {
            Ok(file) => {
                let file = Some(file);
                let socket = Socket::adopt(raw.into()).map_err(fail("getsockname()"))?;
                let (path, settings) = (path.to_owned(), settings.clone());
                Ok(Self { path, settings, socket, file, elder: None })
            }
            Err((call, cause)) => {
                let _ = std::fs::remove_file(&fresh);
                Err(fail(call)(cause))
            }
        }
    }

    /// Takes over what an older gatepost has open at `path`, with the rights that it gave it.
    pub fn adopt(path: &Path, settings: &Settings, fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::adopt(fd)?;
        let found = std::fs::symlink_metadata(path)?;
        if !found.file_type().is_socket() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (path, settings) = (path.to_owned(), settings.clone());
        let file = Some((found.dev(), found.ino()));
        Ok(Self { path, settings, socket, file, elder: Some(getppid()) })
    }

    /// Another process goes on with the file: it stays when we go.
    pub fn leave(&mut self) {
        self.file = None;
    }

    /// A copy to accept from.
    pub fn socket(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    /// Whether this is what is wanted, and is still at its path.
    pub fn is_at(&self, path: &Path, settings: &Settings) -> bool {
        self.is_path(path) && self.settings == *settings
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_path(&self, path: &Path) -> bool {
        self.path == path && self.is_ours()
    }

    fn is_ours(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|there| Some((there.dev(), there.ino())) == self.file)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let is_shared = self.elder.is_some_and(|elder| elder == getppid());
        if !is_shared && self.is_ours() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A name in the same directory, so that a rename is one step.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

fn bind(path: &Path, mode: u32) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    // Of the descriptor, before there is a file: the file is born with it, less the umask.
    fchmod(socket.as_fd(), Mode::from_bits_truncate(mode))?;
    match socket.bind(&address) {
        // A process with our number has left it behind. What else is there stays.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_socket(path) => {
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    Ok(socket)
}

/// Gives the file its owner and what the umask took of its mode, listens, and moves it to its path.
fn place(
    raw: &RawSocket,
    fresh: &Path,
    path: &Path,
    settings: &Settings,
) -> Result<(u64, u64), (&'static str, io::Error)> {
    let (user, group) = (settings.owner, settings.group);
    if user.is_some() || group.is_some() {
        lchown(fresh, user, group).map_err(|error| ("chown()", error))?;
    }
    let found = std::fs::symlink_metadata(fresh).map_err(|error| ("stat()", error))?;
    if found.permissions().mode() & 0o777 != settings.mode {
        let mode = std::fs::Permissions::from_mode(settings.mode);
        std::fs::set_permissions(fresh, mode).map_err(|error| ("chmod()", error))?;
    }
    raw.listen(64).map_err(|error| ("listen()", error))?;
    std::fs::rename(fresh, path).map_err(|error| ("rename()", error))?;
    Ok((found.dev(), found.ino()))
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket())
}

/// Whether somebody listens there, or may: a crash leaves a file that refuses.
fn is_answered(path: &Path) -> bool {
    let try_it = || {
        let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
        // One whose queue is full would have us wait.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match try_it() {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}
