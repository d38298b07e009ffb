//! # template: Zimbra's template language
//!
//! Expands the templates that a configuration is made of, in the language of Zimbra's proxy, so
//! that an admin's own templates go on working: `${name}`, lines that a flag comments out, lists of
//! lines, and one header that repeats the file for each virtual host or server.
//!
//! **In and out.** [`expand`] takes a template's text, the [`Values`] of its variables, the
//! [`Copies`] that a header may ask for, and what to do about an unknown name; it gives the text of
//! a configuration file or every [`Fault`] with its line. [`variables`] makes values and copies out
//! of the settings. What the text then means is for the room `config` to judge.
//!
//! **Promises.**
//! - Substitution is textual, the last variable of a line first, and values are expanded again, as
//!   in Zimbra. A value that comes back to itself is an error which names the way it went; depth,
//!   size and work are bounded ([`limits`]).
//! - An unknown variable is an error with its line and the nearest known name, unless asked to be
//!   lenient. Zimbra writes nothing in its place and goes on.
//! - A value that was set by an admin cannot end its directive, open a block or begin another: it
//!   is quoted, escaped or refused by where it stands ([`quote`]). What a comment holds stays in it.
//! - What a copy sets ends with the copy: nothing leaks from one domain to the next.
//!
//! **Limits.** The language has no way to write `${` itself. Quotes are followed from line to line
//! of the expanded text, as nginx reads them; a word that is put together of several values is
//! refused rather than quoted where one of them would need it.

mod expand;
mod explode;
mod fault;
mod fill;
mod limits;
mod piece;
mod quote;
#[cfg(test)]
mod tests;
mod values;
pub mod variables;

pub use expand::{Expanded, Unknown, expand};
pub use fault::Fault;
pub use piece::Piece;
pub use quote::word;
pub use values::{Copies, Domain, Values};

/// What must hold for any template and any values at all: no panic, and an output that is bounded.
///
/// The first line says what is in the other fields; fields are parted by NUL bytes.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let mut fields = input.split('\0');
    let template = fields.next().unwrap_or_default();
    let mut values = Values::default();
    let mut domain = Values::default();
    for (nth, field) in fields.enumerate() {
        let name =
            ["a", "b", "c", "d", "a.:list", "vhn", "e", "f"].get(nth).copied().unwrap_or("z");
        let piece = match nth % 4 {
            0 => Piece::Text(field.to_owned()),
            1 => Piece::List(field.split(',').map(str::to_owned).collect()),
            2 => Piece::Words(field.split(',').map(str::to_owned).collect()),
            // The program's own lines are made of words that were quoted before.
            _ => Piece::Code(word(field).map(|word| format!("x {word};\ny;")).unwrap_or_default()),
        };
        if name == "vhn" { &mut domain } else { &mut values }.put(name, piece);
    }
    let copies = Copies {
        domains: vec![
            Domain { values: domain, has_client_certificates: false },
            Domain { values: values.layered(), has_client_certificates: true },
        ],
        servers: [("x".to_owned(), vec![values.layered()])].into(),
    };
    for unknown in [Unknown::Refuse, Unknown::Lenient] {
        match expand(template, &values, &copies, unknown) {
            Ok(expanded) => assert!(expanded.text.len() <= limits::MAX_TEXT),
            Err(faults) => assert!(!faults.is_empty() && faults.len() <= limits::MAX_FAULTS),
        }
    }
}
