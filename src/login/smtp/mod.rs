//! # smtp: a login by SMTP or LMTP, either side
//!
//! [`Front`](front::Front) is asked by a client to let it in; [`Back`](back::Back) asks an upstream.
//! Both are pure: lines and events in, actions out. [`refusal`] has the words in which a client
//! hears no. Which of the two protocols is spoken is a type: [`Smtp`] or [`Lmtp`].
//!
//! **In without a login.** Where a server takes mail from anybody (`smtp_auth none`), and always in
//! LMTP, the front collects MAIL and the first RCPT and has those ruled on; the back says them
//! again, and what the upstream says to RCPT is what the client hears.

pub mod back;
pub mod front;
mod hold;
mod proof;
pub mod refusal;

use super::{Words, words};

/// Which of the two is spoken.
pub trait Flavour: std::fmt::Debug + Send + Sync + 'static {
    const WORDS: &'static Words;
    /// LHLO in place of EHLO and HELO, and never a login.
    const IS_LMTP: bool;
}

/// SMTP (RFC 5321), for submission (RFC 6409) and for whoever takes mail from anybody.
#[derive(Clone, Copy, Debug)]
pub struct Smtp;

/// LMTP (RFC 2033).
#[derive(Clone, Copy, Debug)]
pub struct Lmtp;

impl Flavour for Smtp {
    const WORDS: &'static Words = &words::SMTP;
    const IS_LMTP: bool = false;
}

impl Flavour for Lmtp {
    const WORDS: &'static Words = &words::LMTP;
    const IS_LMTP: bool = true;
}
