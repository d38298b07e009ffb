//! The thread that starts the clerk and carries orders to it and answers back.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tokio::sync::{mpsc, oneshot};

use super::frame::{Order, read_answer};
use super::keytab::Keytab;
use super::{Error, FLAG};
use crate::login::Advice;

/// How long the clerk may take over one token. It computes, and may ask krb5.conf's DNS settings.
const PATIENCE: Duration = Duration::from_secs(10);

/// What goes to the thread: an order, and who waits for its answer.
pub type Errand = (Order, Option<oneshot::Sender<Result<Advice, Error>>>);

/// How a clerk is started.
#[derive(Debug)]
pub struct Start {
    pub keytab: Option<Keytab>,
    pub host: Option<String>,
    pub realm: Option<String>,
}

/// Starts the thread; it ends when nobody can send errands any more, and the clerk with it.
///
/// It starts from a worker's thread, so neither it nor the clerk has more rights than workers have.
pub fn start(
    start: impl Fn() -> io::Result<Clerk> + Send + 'static,
) -> mpsc::UnboundedSender<Errand> {
    let (sender, mut errands) = mpsc::unbounded_channel::<Errand>();
    let carry = move || {
        let mut clerk = None;
        while let Some((order, waiting)) = errands.blocking_recv() {
            let answer = match (&mut clerk, &order) {
                // A clerk that is not there has nothing to forget.
                (None, Order::Forget { .. }) => continue,
                (Some(clerk), _) => Clerk::serve(clerk, &order, waiting.is_some()),
                (None, _) => start()
                    .and_then(|fresh| Clerk::serve(clerk.insert(fresh), &order, waiting.is_some())),
            };
            let answer = answer.unwrap_or_else(|error| {
                // Its open exchanges go with it; the next order starts another.
                clerk = None;
                Err(Error::Unable(format!("the Kerberos process fails: {error}")))
            });
            if let Some(waiting) = waiting {
                // Who waited may have left.
                let _ = waiting.send(answer);
            }
        }
    };
    let named = thread::Builder::new().name("kerberos".to_owned());
    // Without a thread the sender is closed, and who sends is told so.
    let _ = named.spawn(carry);
    sender
}

/// A clerk at work. Dropped, it is ended.
#[derive(Debug)]
pub struct Clerk {
    pub child: Child,
    pub socket: UnixStream,
}

impl Start {
    /// Starts a clerk: this program again, as [`super::run_clerk`].
    pub fn clerk(&self) -> io::Result<Clerk> {
        let (ours, its) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("gatepost").arg(FLAG);
        command.arg(self.host.as_deref().unwrap_or_default());
        command.arg(self.realm.as_deref().unwrap_or_default());
        command.stdout(OwnedFd::from(its));
        match &self.keytab {
            Some(keytab) => {
                command.stdin(in_memory(keytab)?);
                // The library can be told of a keytab only by its environment. The name is the
                // clerk's own, and opening it anew begins at the front each time.
                command.env("KRB5_KTNAME", "FILE:/proc/self/fd/0");
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        Ok(Clerk { child: command.spawn()?, socket: ours })
    }
}

/// A file without a name, which `user` may read whoever owns the one it was read from.
fn in_memory(keytab: &Keytab) -> io::Result<OwnedFd> {
    let memory = memfd_create("keytab", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(keytab.reveal())?;
    fcntl_add_seals(file.as_fd(), SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(file.into())
}

impl Clerk {
    fn serve(&mut self, order: &Order, is_answered: bool) -> io::Result<Result<Advice, Error>> {
        order.write(&mut self.socket)?;
        if !is_answered {
            return Ok(Err(Error::Unable(String::new())));
        }
        read_answer(&mut self.socket).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => match self.child.try_wait() {
                Ok(Some(status)) => io::Error::other(format!("it ended: {status}")),
                _ => io::Error::other("it hung up"),
            },
            ErrorKind::WouldBlock | ErrorKind::TimedOut => io::Error::other("it takes too long"),
            _ => error,
        })
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
