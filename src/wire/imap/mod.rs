//! # wire::imap: what clients ask before login, and what upstreams answer to it
//!
//! **In and out.** From clients: [`literal`] cuts the bytes into fragments (lines and literals) at
//! any split; the front gathers a command's fragments and [`command`] reads the whole. From
//! upstreams: [`reply`] cuts and reads in one step. Towards upstreams: [`quote`] and [`id`] write.
//!
//! **Promises.**
//! - A fragment that the caller has no room for is named before a byte of it is read.
//! - Nothing here shows a user name or a password in its `Debug` text.
//! - What [`quote`] and [`id`] write is one token: no value can end it or begin another command.
//!
//! **Limits.** A command: as many bytes as the caller has room for. A reply line:
//! [`reply::MAX_LINE`]; a reply with its literals: [`reply::MAX_REPLY`]. ID: [`id::MAX_PAIRS`].
//! Bare CR and bare LF are breaches, also where nginx takes a bare LF for the end of a line.

pub mod args;
pub mod command;
pub mod id;
pub mod literal;
pub mod quote;
pub mod reply;
