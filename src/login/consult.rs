//! What an exchange must ask in the middle: the desk knows.

use super::{Attempt, Claims};
use crate::wire::sasl::scram::Verifier;

/// What an exchange cannot know by itself.
#[derive(Debug)]
pub enum Question {
    /// SCRAM: against what is this user's proof checked? The attempt has no secret yet. A desk
    /// answers for a user that nobody knows too, so that nobody learns who is known.
    Verifier(Box<Attempt>),
    /// GSSAPI: the client's token. The first one begins an exchange, whatever became of the last.
    Token { token: Vec<u8>, is_first: bool },
}

impl Question {
    /// Adds what the client claimed, for whoever is asked.
    #[must_use]
    pub fn claiming(self, claims: &Claims) -> Self {
        match self {
            Self::Verifier(attempt) => {
                Self::Verifier(Box::new(Attempt { claims: claims.clone(), ..*attempt }))
            }
            it @ Self::Token { .. } => it,
        }
    }
}

/// What the desk says to a [`Question`].
#[derive(Debug)]
pub enum Advice {
    Verifier(Verifier),
    /// GSSAPI: send this token; the client answers.
    Token(Vec<u8>),
    /// GSSAPI is done: this is who the client is, and who it wants to be (RFC 4752 §3.1).
    Known {
        user: Box<[u8]>,
        authzid: Option<Box<[u8]>>,
    },
}
