//! # pop3: a login by POP3, either side
//!
//! [`Front`] is asked by a client to let it in; [`Back`] asks an upstream. Both are pure: lines and
//! events in, actions out. [`refusal`] has the words in which a client hears no.

pub mod back;
pub mod front;
mod hold;
pub mod refusal;
#[cfg(test)]
mod tests;
