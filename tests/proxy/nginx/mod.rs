//! nginx beside gatepost: the same `mail` block, the same client, the same lookup and upstream.
//!
//! A [`Play`] is one exchange, as a transcript, and is played before Debian's nginx (1.22) and before
//! gatepost. What only one of them says has a mark of its own and stands under the row of
//! docs/nginx-differences.md that gives the reason, so a difference that nobody meant fails, and so
//! does a row that has gone.
//!
//! What gatepost has against guesses is off, but for the plays of `guesses`.
//!
//! ```text
//! C: a line of the client        S: a line to the client, `<end>` for hanging up, `<alert>`
//!                                for hanging up with or without an alert of TLS
//! B: a line the upstream heard   A: a line the auth server was asked
//! L: a line of the error log, without its head but with its level
//! N S: only nginx (so NC, NB …)  G S: only gatepost
//! ! the words of the row that the next lines with N or G come under
//! = greeted (whatever the greeting), = tls, = tls as bob (with a certificate), = tls as a stranger
//!   (with one that he signed himself), = hang up, = not within N ms (of what the client last said)
//! ```
//!
//! `{name}` stands for what is known only when it is played; see [`Stage::value`].

mod backend;
mod certificates;
mod conf;
mod guesses;
mod header;
mod imap;
mod lookup;
mod pop3;
mod script;
mod smtp;
mod texts;

pub use backend::Backend;
pub use script::{LET_IN, Play};
