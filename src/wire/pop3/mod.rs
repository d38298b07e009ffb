//! # pop3: commands from clients, replies from upstreams (RFC 1939, 2449, 5034)
//!
//! **In and out.** [`command`] reads and writes one command line, and cuts the answer lines of an
//! AUTH exchange; [`reply`] reads a status line, and the lines of a CAPA listing.
//!
//! **Promises.** A line ends with CRLF and holds no other CR, LF or control byte, either way, so
//! what is one command here cannot be two for whoever reads it next.
//!
//! **Limits.** Named beside each parser: 255 bytes for a command, more for AUTH and XCLIENT; 1 KiB
//! for a reply. Only what is said up to the login is known here; the rest is relayed unread.

pub mod command;
pub mod reply;
