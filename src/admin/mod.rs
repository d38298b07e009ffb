//! # admin: what an admin asks of a gatepost that runs
//!
//! JSON over HTTP, at the control socket (`control`) and, where it is allowed, beside the figures
//! (`metrics … api=`). Behind it are all of gatepost's commands.
//!
//! **In and out.** [`Ops`] is what can be asked and done; `boot` implements it over what the other
//! rooms keep. [`api`] has the shapes of questions and answers, [`calls`] the table of paths,
//! [`serve`] and [`Api`] answer at a listener, [`socket::Control`] opens the socket, and [`Client`]
//! is the other side. [`nle`] answers other proxies that ask where a user goes (`lookup_server`).
//!
//! **Promises.**
//! - The control socket is there with its final mode, owner and listener or not at all, it is never
//!   anybody else's file, and a path that is a symbolic link is left alone.
//! - Whom the kernel does not name as root, ourselves or somebody whom the configuration lets in is
//!   answered `forbidden`, whatever the file's mode.
//! - A request is bounded (8 KiB of head, [`api::MAX_BODY`] of body), and so is its answer
//!   ([`calls::MAX_ANSWER`]) and the time for it. No text in it has a control character.
//! - Where a listener has a token, nothing is answered to who does not show it; the answer takes no
//!   longer for one that is nearly right.
//! - A web page cannot make its reader's browser ask: the host must be an address or `localhost`, and
//!   no `Origin` may be named.
//! - No answer holds a password.
//!
//! **Limits.** Each gatepost speaks for itself: sessions are those of this process. What concerns the
//! fleet (kick, move, drain, purge, maintenance) is passed on by `route`. A body is not wiped from
//! memory; the password that a login examination was given is.

pub mod api;
pub mod calls;
mod client;
pub mod directives;
#[cfg(test)]
pub mod fake;
mod gate;
pub mod local;
pub mod nle;
mod ops;
mod server;
pub mod socket;
mod token;

pub use client::{Client, Error as ClientError};
pub use gate::{Access, Entry};
pub use ops::{Ops, Reply};
pub use server::{Api, serve};
pub use token::{Token, hold_for_any as hold_token_for_any};

#[cfg(test)]
mod tests;
