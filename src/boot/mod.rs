//! # boot: a process from its configuration, and its life
//!
//! The roof: it knows every room, and no room knows it. It reads the configuration into a
//! [`model::Model`], opens listeners, becomes the user it is told to be, starts the workers and then
//! waits for signals.
//!
//! ```text
//! start: read and check -> bind -> daemon -> pid file -> user -> workers -> serve
//! HUP   read anew; bind what is new; the new generation serves, the old one drains
//! USR1  open the logs again           USR2  the new binary on our sockets
//! QUIT  finish sessions, then exit    TERM, INT  end sessions, exit
//! ```
//!
//! **Promises.**
//! - The pid file is written only when every listener is bound and listening.
//! - A configuration that cannot be used leaves the running one as it is, and says all that is wrong.
//! - A session lives on in the generation that it began in, across any number of reloads.
//! - No listener that stays is closed or opened again, so no connection is refused by a reload or an
//!   upgrade.
//!
//! **Limits.** One process: workers are threads (`docs/decisions/0004`). After the change of user the
//! main thread alone may still read keys, write logs and bind low ports (`docs/decisions/0008`).

pub mod certificates;
mod control;
pub mod diag;
mod directives;
mod figures;
mod fleet;
mod generation;
mod hold;
mod listeners;
mod logs;
mod lookups;
mod model;
mod names;
mod ops;
mod pid;
mod privilege;
pub mod registry;
mod rotation;
mod run;
mod start;
mod upgrade;
mod watch;
mod worker;

use std::path::PathBuf;

pub use crate::proxy::kerberos::run_clerk as kerberos_clerk;
pub use directives::control_socket;
#[doc(hidden)]
pub use hold::hold_for_any;
pub use logs::ERROR_LOG;
pub use model::{Unusable, pid_file, test};
pub use pid::read as read_pid;
pub use start::run;
pub use upgrade::Start;

/// What the command line says of a start.
#[derive(Clone, Debug)]
pub struct Options {
    pub prefix: PathBuf,
    /// Absolute.
    pub configuration: PathBuf,
    /// `-g`.
    pub directives: Option<String>,
    /// `-e`.
    pub error_log: Option<PathBuf>,
}
