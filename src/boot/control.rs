//! The control socket of the process, through reloads and upgrades.
//!
//! In an upgrade both processes have it, and only the younger one answers: a command must reach the
//! gatepost that takes the logins. If that one goes, the older one answers again; whoever waited at
//! the socket meanwhile is answered by the one or the other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crate::admin::directives::Settings;
use crate::admin::socket::Control;
use crate::admin::{self, Ops};
use crate::net::accept::Leave;
use crate::net::errno;
use crate::net::halt::Trigger;
use crate::observe::{Level, Log};

/// What a socket is called that is handed over, before its path.
const LABEL: &str = "control unix:";

/// What is open, if anything is.
#[derive(Debug, Default)]
pub struct Desk {
    control: Option<Control>,
    serving: Option<Trigger<Leave>>,
    /// Another process answers at the same socket.
    is_aside: bool,
}

/// What came of opening.
#[derive(Debug)]
pub enum Opened {
    Fresh(Control),
    Already,
    Nothing,
    /// It was not asked for by name, so it may fail.
    Failed(String),
}

/// Takes the control socket out of what an older gatepost hands over.
pub fn taken_out(handed: &mut Vec<(String, OwnedFd)>) -> Option<(String, OwnedFd)> {
    let at = handed.iter().position(|(label, _)| label.starts_with(LABEL))?;
    Some(handed.swap_remove(at))
}

impl Desk {
    /// With what an older gatepost has handed over; at another path than `settings` have, it is its
    /// alone.
    pub fn adopt(settings: &Settings, handed: Option<(String, OwnedFd)>) -> Self {
        let control = handed.and_then(|(label, fd)| {
            let path = Path::new(label.strip_prefix(LABEL)?);
            let is_wanted = settings.path.as_deref() == Some(path);
            // Where it cannot be taken over, one is opened.
            is_wanted.then(|| Control::adopt(path, settings, fd).ok()).flatten()
        });
        Self { control, serving: None, is_aside: false }
    }

    /// Opens what `settings` ask for, unless it is open.
    pub fn open(&self, settings: &Settings) -> Result<Opened, String> {
        let Some(path) = &settings.path else { return Ok(Opened::Nothing) };
        let control = self.control.as_ref();
        if control.is_some_and(|control| control.is_at(path, settings)) {
            return Ok(Opened::Already);
        }
        let is_ours = control.is_some_and(|control| control.is_path(path));
        match Control::open(path, settings, is_ours) {
            Ok(control) => Ok(Opened::Fresh(control)),
            Err(error) if settings.is_configured => Err(error.to_string()),
            Err(error) => Ok(Opened::Failed(error.to_string())),
        }
    }

    /// Puts what was opened in force.
    pub fn put(&mut self, opened: Opened, settings: &Settings, ops: &Arc<dyn Ops>, log: &Log) {
        self.keep(opened, log);
        self.answer(settings, ops, log);
    }

    /// Has what was opened in the place of what was open; nobody answers yet.
    pub fn keep(&mut self, opened: Opened, log: &Log) {
        let fresh = match opened {
            Opened::Already => return,
            Opened::Nothing => None,
            Opened::Failed(why) => {
                let words = format_args!("{why}; no command reaches this process");
                log.line(Level::Warn, None, words);
                None
            }
            Opened::Fresh(control) => Some(control),
        };
        self.stop();
        (self.control, self.is_aside) = (fresh, false);
    }

    /// Answers in the runtime that is current, unless it does already or another process does.
    fn answer(&mut self, settings: &Settings, ops: &Arc<dyn Ops>, log: &Log) {
        let (Some(control), None, false) = (&self.control, &self.serving, self.is_aside) else {
            return;
        };
        match control.socket() {
            Ok(socket) => {
                let ops = Arc::clone(ops);
                self.serving = Some(admin::serve(socket, ops, settings.callers(), log));
            }
            Err(error) => {
                let words = format_args!("control socket: dup() failed ({})", errno(&error));
                log.line(Level::Alert, None, words);
            }
        }
    }

    /// Leaves the answers to the process that takes over.
    pub fn step_aside(&mut self) {
        self.is_aside = true;
        self.stop();
    }

    /// That process is gone.
    pub fn step_back(&mut self, settings: &Settings, ops: &Arc<dyn Ops>, log: &Log) {
        self.is_aside = false;
        self.answer(settings, ops, log);
    }

    fn stop(&mut self) {
        if let Some(trigger) = self.serving.take() {
            trigger.fire(Leave::Queue);
        }
    }

    /// Ends it, and removes its file unless `somebody_goes_on`.
    pub fn close(&mut self, somebody_goes_on: bool) {
        self.stop();
        if let Some(mut control) = self.control.take()
            && somebody_goes_on
        {
            control.leave();
        }
    }

    /// A copy for the next binary.
    pub fn to_hand_over(&self) -> io::Result<Option<(String, OwnedFd)>> {
        let Some(control) = &self.control else { return Ok(None) };
        let fd = control.socket()?.as_fd().try_clone_to_owned()?;
        Ok(Some((format!("{LABEL}{}", control.path().display()), fd)))
    }
}
