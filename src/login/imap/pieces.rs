//! A command with secrets in it, cut where the upstream must first say `+`.

use std::collections::VecDeque;

use super::gather::Gather;
use crate::login::Secret;
use crate::wire::imap::literal;
use crate::wire::imap::quote::{self, Form};
use crate::wire::imap::reply::Capabilities;

/// The command so far. Each piece but the last ends in a literal's announcement, or in the command
/// that a SASL message answers.
#[derive(Debug, Default)]
pub struct Pieces {
    whole: VecDeque<Secret>,
    last: Gather,
}

impl Pieces {
    pub fn push(&mut self, bytes: &[u8]) {
        self.last.push(bytes);
    }

    /// What follows is said after a `+`.
    pub fn wait(&mut self) {
        self.push(b"\r\n");
        let piece = std::mem::take(&mut self.last);
        self.whole.push_back(Secret::new(piece.as_bytes()));
    }

    /// Adds `value` in the form that carries it; as a literal, one that waits only where it must.
    pub fn string(&mut self, value: &[u8], offers: Capabilities) {
        let mut announcement = Vec::new();
        if quote::form(value) == Ok(Form::Quoted) {
            // Twice as long at most, so that it does not grow and leave copies behind.
            let mut quoted = zeroize::Zeroizing::new(Vec::with_capacity(2 * value.len() + 2));
            quote::quoted(value, &mut quoted);
            return self.push(&quoted);
        }
        let goes_at_once = offers.literal_plus
            || (offers.literal_minus && value.len() <= literal::LITERAL_MINUS_MAX);
        quote::announce(value, !goes_at_once, &mut announcement);
        if goes_at_once {
            self.push(&announcement);
        } else {
            self.push(announcement.trim_ascii_end());
            self.wait();
        }
        self.push(value);
    }

    /// The pieces, in order; the last ends the command.
    pub fn end(mut self) -> VecDeque<Secret> {
        self.wait();
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str, offers: Capabilities) -> Vec<String> {
        let mut pieces = Pieces::default();
        pieces.push(b"LOGIN ");
        pieces.string(value.as_bytes(), offers);
        let text = |piece: Secret| String::from_utf8(piece.reveal().to_vec()).unwrap();
        pieces.end().into_iter().map(text).collect()
    }

    #[test]
    fn a_literal_waits_only_where_it_must() {
        let none = Capabilities::default();
        let plus = Capabilities { literal_plus: true, ..none };
        let minus = Capabilities { literal_minus: true, ..none };
        let long = "x".repeat(5000);
        for (value, offers, want) in [
            ("a\"b", none, &["LOGIN \"a\\\"b\"\r\n"][..]),
            ("\u{fc}", none, &["LOGIN {2}\r\n", "\u{fc}\r\n"]),
            ("\u{fc}", plus, &["LOGIN {2+}\r\n\u{fc}\r\n"]),
            ("\u{fc}", minus, &["LOGIN {2+}\r\n\u{fc}\r\n"]),
            (&long, plus, &[&format!("LOGIN {{5000+}}\r\n{long}\r\n")]),
            (&long, minus, &["LOGIN {5000}\r\n", &format!("{long}\r\n")]),
        ] {
            assert_eq!(written(value, offers), want);
        }
    }
}
