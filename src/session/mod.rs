//! # session: one loop for every line protocol
//!
//! Carries a [`login::Dialogue`](crate::login::Dialogue) over a connection, whichever side it is and
//! whatever the protocol: reads, parses, does the actions, begins TLS, waits for the ruling.
//!
//! **Promises.**
//! - Nothing is parsed while TLS or a ruling is pending; what the client sends meanwhile is kept in
//!   order, up to [`buffer::MOST`], and a client that hangs up meanwhile ends the ruling.
//! - Bytes in the clear behind STARTTLS end the session (RFC 9051 §6.2.1, RFC 2595 §4).
//! - A command has to be whole within the time for it, however its bytes are spread; all commands
//!   together within the time for a login, and no more of them than may be.
//! - A client that is sent away is told why in its protocol's words, and not waited for.
//! - What was read is wiped when it is dropped: passwords pass through here.
//!
//! **Limits.** After login nothing passes here: the relay or the server takes the line over.

pub mod buffer;
pub mod driver;
#[cfg(test)]
mod tests;
pub mod upgrade;
