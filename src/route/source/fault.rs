//! What can be wrong with a source: nobody has said that there is no such user.

use std::error::Error as StdError;
use std::time::Duration;

use super::answer;
use super::home::Gone;

/// A source that could not be asked or understood, and which it is.
#[derive(Debug, thiserror::Error)]
#[error("{kind} \"{name}\": {flaw}")]
pub struct Error {
    /// `route_sql`, …
    pub kind: &'static str,
    pub name: Box<str>,
    pub flaw: Flaw,
}

#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("has refused us: {0}")]
    Refused(String),
    #[error("the question failed: {0}")]
    Question(String),
    /// Two users of one name, or two values of what has one.
    #[error("{0} for one login: let there be one")]
    Ambiguous(&'static str),
    #[error("{0}")]
    Shape(String),
    #[error("{0}")]
    Answer(#[from] answer::Flaw),
    #[error("{0}")]
    Nowhere(#[from] super::super::table::Nowhere),
    #[error("{0}")]
    Gone(#[from] Gone),
}

impl Flaw {
    /// Whether a fresh connection may do what an old one did not: the server has hung up meanwhile.
    pub fn is_worth_another_try(&self) -> bool {
        matches!(self, Self::Lost(_))
    }
}

/// An error with all its reasons, in one line.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        // Some say what their reason says.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = source.source();
    }
    super::own_words(&text)
}
