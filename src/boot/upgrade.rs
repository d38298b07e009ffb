//! A new binary on the old one's sockets (USR2), with no connection refused.
//!
//! ```text
//! old: pid file steps aside -> spawns itself anew, sockets over the child's standard input
//! new: takes them -> binds what is missing -> writes the pid file -> serves beside the old one
//! admin: kill -QUIT old          (or kill -QUIT new: the old one goes on, and takes its name back)
//! ```
//!
//! The listening sockets are the same open files in both processes, so a connection that waits in
//! one of them is taken by whichever process still accepts.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use crate::net::handover;

/// Tells the new process that sockets wait for it on its standard input.
const MARK: &str = "GATEPOST_TAKES_OVER";

/// How this process was started, remembered before anything moves.
#[derive(Clone, Debug)]
pub struct Start {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Start {
    pub fn of_this_process() -> Self {
        let mut arguments = std::env::args_os();
        let program = arguments.next().map(PathBuf::from).unwrap_or_default();
        // The name on the command line and not /proc/self/exe: a package that was upgraded has
        // put another file under the same name, and that is the one to start.
        let program = if program.components().count() > 1 {
            std::path::absolute(&program).unwrap_or(program)
        } else {
            program
        };
        Self { program, arguments: arguments.collect() }
    }

    /// Starts the binary again and hands it `sockets`, each under its label.
    pub fn hand_over(&self, sockets: &[(String, OwnedFd)]) -> io::Result<tokio::process::Child> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env(MARK, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let borrowed: Vec<_> =
            sockets.iter().map(|(label, fd)| (label.clone(), fd.as_fd())).collect();
        handover::send(&ours, &borrowed)?;
        Ok(child)
    }
}

/// The sockets that another gatepost hands to this one; `None` if this is a start of its own.
pub fn taken_over() -> io::Result<Option<Vec<(String, OwnedFd)>>> {
    if std::env::var_os(MARK).is_none() {
        return Ok(None);
    }
    let sockets = handover::receive(io::stdin())?;
    Ok(Some(sockets))
}
