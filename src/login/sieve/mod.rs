//! # login::sieve: ManageSieve (RFC 5804) up to "let in"
//!
//! [`front`] with the client, [`back`] with the upstream; both pure, both one page of
//! `match (state, event)`. [`refusal`] is the one place with words for a refused login, and the one
//! that says what an upstream's refusal means.
//!
//! **Promises.**
//! - A command is consumed whole, literals included, whatever becomes of it. Where that cannot be
//!   kept, the session closes.
//! - What is passed on of an upstream's words, or of a lookup's, is one line and one string of it.
//! - After its login a client hears of capabilities from the upstream alone.

pub mod back;
pub mod front;
mod hold;
pub mod refusal;
