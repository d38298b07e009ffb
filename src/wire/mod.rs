//! # wire: bytes to typed protocol elements, and back
//!
//! Pure: no socket, file, clock or log. Every parser answers with a [`Parsed`] and is split-proof:
//! any cut of the input gives `More` or the same answer. Every parser is bounded by a constant that
//! it names, and stays in step with its peer across nonsense, because a breach counts its bytes.
//!
//! **Siblings.** [`imap`], [`pop3`], [`smtp`], [`sieve`]: commands from clients, replies from upstreams.
//! [`sasl`]: what is inside an AUTH exchange, whoever carries it. [`haproxy`]: the PROXY header.

pub mod haproxy;
pub mod imap;
mod line;
pub mod pop3;
pub mod sasl;
pub mod sieve;
pub mod smtp;

/// What a parser found at the front of its input.
///
/// Every parser in this room answers with one of these three, and each counts its bytes, so that a
/// caller stays in step with the peer even across nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T, E> {
    /// Too few bytes to tell. More will help.
    More,
    /// A whole element, and the bytes it took.
    Whole(T, usize),
    /// A breach of the grammar, and the bytes to step over.
    Broken(E, usize),
}
