//! # observe: what an operator can see
//!
//! The error log, the access log, the metrics, and the one way to start a task, so that no task
//! dies unseen.
//!
//! **In and out.** Callers bring parsed values: a [`log::Log`] is opened from targets and levels, an
//! [`access::Access`] from targets and formats, [`metrics::Metrics`] from nothing. A session keeps one
//! boxed [`access::Line`], fills it in as it learns more, and every error-log line of that session
//! takes its tail from there.
//!
//! **Promises.**
//! - One line is one `write(2)` to a file opened for appending: lines of several workers never mix,
//!   and nothing is held back in a buffer, so there is nothing to flush before exit.
//! - No byte from the network ends a line, forges one, or steers a terminal: [`escape`] stands
//!   between every message, login and agent and the file.
//! - A log that cannot be written never stops mail: the failure is counted and the line is lost.
//! - Gauges fall in `Drop`, so they are right after a panic too.
//!
//! **Limits.** A line of the error log is cut at 2048 bytes, a value in the access log at 1024. Files
//! are written by the worker itself, as nginx does: a disk that hangs stalls it.

pub mod access;
mod addr;
mod clock;
pub mod escape;
mod files;
pub mod format;
mod labelled;
pub mod latency;
pub mod log;
pub mod metrics;
pub mod names;
pub mod rotate;
mod sink;
mod syslog;
pub mod tasks;
mod variables;
mod words;

pub use addr::Addr;
pub use files::{give_all_to, reopen_all};
pub use log::{Level, Log};
pub use metrics::Metrics;
pub use sink::Target;
pub use variables::docs as variables;
