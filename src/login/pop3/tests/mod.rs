//! Transcripts of both sides, for `login::play`.

mod back;
mod front;
mod sasl;
