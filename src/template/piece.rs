//! What stands for a variable, and how it is written where the variable stands.

use std::fmt;

use super::quote::{self, Place};

/// The value of a variable.
///
/// Three of them hold what an admin set, raw, and are quoted by where they stand; [`Piece::Code`]
/// is the program's own text.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// One value, which becomes one word or a part of one.
    Text(String),
    /// Words with blanks between, each quoted if it needs it: `TLSv1.2 TLSv1.3`.
    List(Vec<String>),
    /// Words that are always quoted: `"IMAP4rev1" "ID"`.
    Words(Vec<String>),
    /// Text of a configuration as it is: numbers, `on`, `#`, or whole lines. Whoever makes it out of
    /// what an admin set quotes that with [`word`](quote::word) first.
    Code(String),
    /// A value that may not be shown, as [`Piece::Text`].
    Secret(String),
    /// A value that cannot be written at all, and why. Only using it is a fault.
    Refused(String),
}

impl Piece {
    /// Whether it is one of the two prefixes that switch a line: nothing, or `#`.
    pub fn is_switch(&self) -> bool {
        match self {
            Self::Code(text) => text.is_empty() || text == "#",
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    /// The value as it goes into a line, at `place`, with `rest` following.
    ///
    /// # Errors
    /// Why it cannot stand there.
    pub fn write(&self, place: Place, rest: &str) -> Result<String, String> {
        match self {
            Self::Text(text) | Self::Secret(text) => quote::text(text, place, rest),
            Self::List(words) => quote::words(words, false, place, rest),
            Self::Words(words) => quote::words(words, true, place, rest),
            Self::Code(text) => quote::code(text, place),
            Self::Refused(why) => Err(why.clone()),
        }
    }

    /// For people: as [`Piece::write`] would, standing alone.
    pub fn show(&self) -> String {
        match self {
            Self::Secret(text) if text.is_empty() => String::new(),
            Self::Secret(_) => "********".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Refused(why) => format!("(refused: {why})"),
            _ => self.write(Place::Between, "").unwrap_or_else(|why| format!("(refused: {why})")),
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.show())
    }
}
