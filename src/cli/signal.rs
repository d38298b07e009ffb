//! `-s`: a word to the gatepost that runs.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::args::Order;
use crate::boot::{self, Options};
use crate::config::value::os_error;

/// Sends the signal that `order` stands for to the process that the pid file names.
pub fn send(options: &Options, order: Order) -> Result<(), Vec<String>> {
    let path = boot::pid_file(options)?;
    let fail = |error: std::io::Error| match error.raw_os_error() {
        Some(_) => vec![format!("open() \"{}\" failed ({})", path.display(), os_error(&error))],
        None => vec![format!("{error} in \"{}\"", path.display())],
    };
    let pid = boot::read_pid(&path).map_err(fail)?;
    let signal = match order {
        Order::Stop => Signal::SIGTERM,
        Order::Quit => Signal::SIGQUIT,
        Order::Reopen => Signal::SIGUSR1,
        Order::Reload => Signal::SIGHUP,
    };
    kill(Pid::from_raw(pid), signal)
        .map_err(|error| vec![format!("kill({pid}, {signal}) failed ({})", error.desc())])
}
