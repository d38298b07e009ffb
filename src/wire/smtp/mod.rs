//! # smtp: commands from clients, replies from upstreams (RFC 5321, 4954, 3207; LMTP: RFC 2033)
//!
//! **In and out.** [`command`] reads one command line and cuts the answer lines of an AUTH exchange;
//! [`path`] says whether MAIL and RCPT have their shape. [`reply`] reads a reply of one line or of
//! several, [`capability`] what EHLO listed. [`xclient`] reads and writes the attributes by which
//! proxies tell each other of their clients, in [`xtext`].
//!
//! **Promises.** A line ends with CRLF and holds no other CR, LF or control byte, either way, so
//! what is one command here cannot be two for whoever reads it next.
//!
//! **Limits.** Named beside each parser: 512 bytes for a command or as much as the caller allows,
//! more for AUTH; 16 KiB and 128 lines for a reply. Only what is said up to the login is known here;
//! the rest is relayed unread.

pub mod capability;
pub mod command;
pub mod path;
pub mod reply;
pub mod xclient;
pub mod xtext;
