//! The format of `cache purge -o`: what zmproxypurge hands to Java's formatter.
//!
//! `%1$s` is an argument by its place, `%s` the next one; `%-20s` and `%20s` fill up to a width, `%.5s`
//! cuts; `%%` is a percent sign, `%n` a line's end. Nothing else is taken.

use std::fmt::Write as _;

/// The widest field.
const MAX_WIDTH: usize = 1000;

/// A format that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field {
        /// From 0.
        argument: usize,
        width: usize,
        to_the_left: bool,
        most: Option<usize>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid format: {what} at \"%{rest}\"; fields are %1$s (server), %2$s (key) and %3$s (value)"
)]
pub struct Wrong {
    what: &'static str,
    /// A bit of what follows the percent sign.
    rest: String,
}

impl Format {
    /// Reads a format for so many arguments.
    pub fn parse(text: &str, arguments: usize) -> Result<Self, Wrong> {
        let (mut pieces, mut plain, mut next) = (Vec::new(), String::new(), 0);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            let wrong = |what| Wrong { what, rest: after.chars().take(8).collect() };
            rest = match after.chars().next() {
                Some('%') => {
                    plain.push('%');
                    &after[1..]
                }
                Some('n') => {
                    plain.push('\n');
                    &after[1..]
                }
                _ => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    let (piece, left) = field(after, &mut next, arguments).map_err(wrong)?;
                    pieces.push(piece);
                    left
                }
            };
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub fn fill(&self, arguments: &[&str]) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field { argument, width, to_the_left, most } => {
                    let value = arguments.get(*argument).copied().unwrap_or_default();
                    let value: String = value.chars().take(most.unwrap_or(usize::MAX)).collect();
                    // A `String` takes everything.
                    let _ = match to_the_left {
                        true => write!(out, "{value:<width$}"),
                        false => write!(out, "{value:>width$}"),
                    };
                }
            }
        }
        out
    }
}

/// What follows a percent sign: `[N$][-][WIDTH][.MOST]s`.
fn field<'a>(
    text: &'a str,
    next: &mut usize,
    arguments: usize,
) -> Result<(Piece, &'a str), &'static str> {
    let (digits, after) = number(text)?;
    let (argument, rest) = match (digits, after.strip_prefix('$')) {
        (Some(0), Some(_)) => return Err("arguments are counted from 1"),
        (Some(place), Some(rest)) => (place - 1, rest),
        _ => {
            *next += 1;
            (*next - 1, text)
        }
    };
    if argument >= arguments {
        return Err("there is no such argument");
    }
    let (to_the_left, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let (width, rest) = number(rest)?;
    if to_the_left && width.is_none() {
        return Err("a width is missing");
    }
    let (most, rest) = match rest.strip_prefix('.') {
        None => (None, rest),
        Some(rest) => match number(rest)? {
            (None, _) => return Err("a length is missing"),
            found => found,
        },
    };
    let rest = rest.strip_prefix('s').ok_or("unknown field")?;
    Ok((Piece::Field { argument, width: width.unwrap_or(0), to_the_left, most }, rest))
}

/// The number that `text` begins with, if it does.
fn number(text: &str) -> Result<(Option<usize>, &str), &'static str> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Ok((None, text));
    }
    match text[..end].parse() {
        Ok(number) if number <= MAX_WIDTH => Ok((Some(number), &text[end..])),
        _ => Err("a number is too large"),
    }
}

/// What must hold for any bytes at all: read or refused, and filled within bounds.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(format) = Format::parse(text, 3) else { return };
    let filled = format.fill(&["10.0.0.8:11211", "route:ü", "null"]);
    assert!(filled.len() <= text.len() * (MAX_WIDTH + 16));
    // Without a percent sign it is what it says.
    if !text.contains('%') {
        assert_eq!(filled, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_as_java_does() {
        for (format, want) in [
            ("[%1$s] %2$s -- %3$s", "[server] key -- value"),
            ("%3$s %1$s", "value server"),
            ("%s/%s/%s", "server/key/value"),
            ("%2$s %s", "key server"),
            ("%1$10s|%1$-10s|%2$.2s|%2$5.2s|%-4s|", "    server|server    |ke|   ke|server|"),
            ("100%% %n", "100% \n"),
            ("", ""),
            ("é%1$sé", "éserveré"),
        ] {
            let read = Format::parse(format, 3).unwrap();
            assert_eq!(read.fill(&["server", "key", "value"]), want, "{format}");
        }
    }

    #[test]
    fn what_is_no_field_is_named() {
        for (format, want) in [
            ("%", "unknown field at \"%\""),
            ("a %d", "unknown field at \"%d\""),
            ("%4$s", "there is no such argument at \"%4$s\""),
            ("%0$s", "arguments are counted from 1"),
            ("%s%s%s%s", "there is no such argument"),
            ("%1$-s", "a width is missing"),
            ("%1$.s", "a length is missing"),
            ("%1$1001s", "a number is too large"),
            ("%99999999999999999999s", "a number is too large"),
            ("%1$é", "unknown field"),
        ] {
            let wrong = Format::parse(format, 3).unwrap_err().to_string();
            assert!(wrong.contains(want), "{format}: {wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_format(input in "[%$.s0-9a-]{0,24}|\\PC{0,24}") {
            hold_for_any(input.as_bytes());
        }
    }
}
