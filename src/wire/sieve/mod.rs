//! # wire::sieve: ManageSieve (RFC 5804), from clients before login and from upstreams
//!
//! **In and out.** Commands, answers and replies have one shape: words and strings, then CRLF.
//! [`line`] cuts one of them off the front of the input, literals and all, at any split; [`args`]
//! reads its words; [`command`] and [`reply`] say what they mean. [`quote`] writes strings.
//!
//! **Promises.**
//! - A command is cut off whole, whatever it means: no byte of a string is read as a command.
//! - What [`quote`] writes is one string: no value can end it, and a quoted one is one line.
//! - Nothing here shows the inside of a client's string in its `Debug` text.
//!
//! **Limits.** A command: what the caller allows. An answer: [`command::MAX_ANSWER`]. A reply:
//! [`reply::MAX_REPLY`]. RFC 5804 §4 keeps quoted strings to 1024 octets; we do so where we write,
//! and read longer ones, as clients quote their tokens at any length.
//!
//! A literal never waits to be asked for here, `{n}` from a client as little as `{n+}`: there are no
//! continuations in this protocol.

pub mod args;
pub mod command;
pub mod line;
pub mod quote;
pub mod reply;
