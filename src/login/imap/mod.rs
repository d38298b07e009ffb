//! # login::imap: IMAP up to "let in"
//!
//! [`front`] with the client, [`back`] with the upstream; both pure, both one page of
//! `match (state, event)`. [`refusal`] is the one place with words for a refused login.
//!
//! **Promises.**
//! - A command is consumed whole, literals included, whatever becomes of it: no byte of an argument
//!   is ever read as a command. Where that cannot be kept, the session closes.
//! - A literal that waits to be asked for is asked for only if the command can still succeed, so
//!   no password is invited that will be refused (RFC 9051 §6.2.3).
//! - What the client is told of capabilities after its login comes from the upstream alone.

pub mod back;
mod claims;
pub mod front;
mod gather;
mod hold;
mod identity;
mod pieces;
pub mod refusal;
