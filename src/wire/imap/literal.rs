//! Client bytes into fragments: the lines of a command, and the literals between them.
//!
//! ```text
//! a LOGIN {5}⏎        Announce { size: 5, waits: true }      the server says "+ OK"
//! mrose {8+}⏎         Literal(mrose), Announce { size: 8, waits: false }
//! tanstaaf⏎           Literal(tanstaaf), End("")
//! ```
//!
//! **Promises.** No fragment takes zero bytes, so a caller that loops over them makes progress.
//!
//! **Limits.** A line longer than the caller's `room` is [`Error::TooLong`]. Whether an announced
//! literal fits is for the caller to judge, who knows the tag to answer with.

use crate::wire::Parsed;

/// RFC 7888 §5: under LITERAL-, a literal that does not wait has at most 4096 octets.
pub const LITERAL_MINUS_MAX: usize = 4096;

/// One piece of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fragment<'a> {
    /// The line that ends a command, without its CRLF.
    End(&'a [u8]),
    /// A line that announces a literal: without its CRLF, with the announcement.
    Announce {
        line: &'a [u8],
        /// `usize::MAX` if the number is too large to hold.
        size: usize,
        /// Whether the client waits to be asked for the literal: `{n}`, not `{n+}`.
        waits: bool,
    },
    /// The literal's own bytes.
    Literal(&'a [u8]),
}

impl std::fmt::Debug for Fragment<'_> {
    // Fragments hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::End(line) => write!(f, "End({} bytes)", line.len()),
            Self::Announce { size, waits, .. } => {
                f.debug_struct("Announce").field("size", size).field("waits", waits).finish()
            }
            Self::Literal(bytes) => write!(f, "Literal({} bytes)", bytes.len()),
        }
    }
}

/// What makes a line no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("line too long")]
    TooLong,
    #[error("bare LF")]
    BareLf,
    #[error("bare CR or NUL in a line")]
    Control,
    /// Whoever reads on would take the literal's bytes for commands.
    #[error("a literal announced in a broken line")]
    OutOfStep,
}

/// Reads the line at the front of `input`, at most `room` bytes long without its CRLF.
pub fn split(input: &[u8], room: usize) -> Parsed<Fragment<'_>, Error> {
    match answer(input, room) {
        Parsed::Whole(Fragment::End(line), used) => match announced(line) {
            Some((size, waits)) => Parsed::Whole(Fragment::Announce { line, size, waits }, used),
            None => Parsed::Whole(Fragment::End(line), used),
        },
        Parsed::Broken(Error::BareLf | Error::Control, used)
            if announced(input[..used].trim_ascii_end()).is_some_and(|(_, waits)| !waits) =>
        {
            Parsed::Broken(Error::OutOfStep, used)
        }
        other => other,
    }
}

/// Reads the literal of `size` bytes at the front of `input`. `size` is at least 1: an empty
/// literal is no fragment.
pub fn take(input: &[u8], size: usize) -> Parsed<Fragment<'_>, Error> {
    match input.get(..size) {
        Some(bytes) => Parsed::Whole(Fragment::Literal(bytes), size),
        None => Parsed::More,
    }
}

/// Reads a line that announces no literal whatever it ends in: a SASL answer.
pub fn answer(input: &[u8], room: usize) -> Parsed<Fragment<'_>, Error> {
    let longest = room.saturating_add(2);
    let window = &input[..input.len().min(longest)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match window.len() == longest {
            true => Parsed::Broken(Error::TooLong, longest),
            false => Parsed::More,
        };
    };
    let used = end + 1;
    match window[..end].strip_suffix(b"\r") {
        None => Parsed::Broken(Error::BareLf, used),
        // Either would end the line, or the string, for some other parser behind us.
        Some(line) if line.iter().any(|byte| matches!(byte, b'\r' | 0)) => {
            Parsed::Broken(Error::Control, used)
        }
        Some(line) => Parsed::Whole(Fragment::End(line), used),
    }
}

/// The literal that a line announces at its end: its size, and whether the client waits.
///
/// RFC 9051 §9, `literal = "{" number64 ["+"] "}" CRLF *CHAR8`. It counts in lines that make no
/// sense too: whoever wrote them will send the literal, and its bytes must not be read as commands.
pub fn announced(line: &[u8]) -> Option<(usize, bool)> {
    let inside = line.strip_suffix(b"}")?;
    let (inside, waits) = match inside.strip_suffix(b"+") {
        Some(inside) => (inside, false),
        None => (inside, true),
    };
    let digits = inside.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = inside.split_at(inside.len() - digits);
    if number.is_empty() || !before.ends_with(b"{") {
        return None;
    }
    Some((decimal(number), waits))
}

/// The number that `digits` write, or `usize::MAX` where it is too large.
pub fn decimal(digits: &[u8]) -> usize {
    digits.iter().fold(0, |number: usize, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    })
}

/// What must hold for any bytes at all, in any room.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for room in [0, 1, 16, 8192] {
        match split(input, room) {
            Parsed::More => assert!(input.len() < room + 2, "more bytes cannot help"),
            Parsed::Broken(error, used) => {
                assert!((1..=input.len()).contains(&used));
                assert_eq!(split(&input[..used], room), Parsed::Broken(error, used));
                assert_eq!(split(&input[..used - 1], room), Parsed::More);
            }
            Parsed::Whole(fragment, used) => {
                assert!((1..=input.len()).contains(&used));
                assert_eq!(split(&input[..used], room), Parsed::Whole(fragment, used));
                assert_eq!(split(&input[..used - 1], room), Parsed::More);
                let (Fragment::End(line) | Fragment::Announce { line, .. }) = fragment else {
                    panic!("a line is no literal");
                };
                assert!(line.len() <= room && !line.iter().any(|b| b"\r\n\0".contains(b)));
            }
        }
        if let Parsed::Whole(Fragment::Literal(bytes), used) = take(input, room.max(1)) {
            assert_eq!((bytes.len(), used), (room.max(1), room.max(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: &[(&str, Option<(usize, bool)>)] = &[
        ("a NOOP", None),
        ("", None),
        ("a LOGIN {5}", Some((5, true))),
        ("a LOGIN {5+}", Some((5, false))),
        ("{0}", Some((0, true))),
        ("a ID (\"x\" {007+}", Some((7, false))),
        ("a X {99999999999999999999999}", Some((usize::MAX, true))),
        ("a X {18446744073709551616+}", Some((usize::MAX, false))),
        ("a LOGIN {}", None),
        ("a LOGIN {+}", None),
        ("a LOGIN {5++}", None),
        ("a LOGIN {-5}", None),
        ("a LOGIN {5} ", None),
        ("a LOGIN 5}", None),
        ("}", None),
    ];

    #[test]
    fn a_line_that_announces_a_literal_is_told_from_one_that_does_not() {
        for (line, want) in LINES {
            let input = format!("{line}\r\nrest");
            let want = match want {
                None => Fragment::End(line.as_bytes()),
                Some((size, waits)) => {
                    Fragment::Announce { line: line.as_bytes(), size: *size, waits: *waits }
                }
            };
            assert_eq!(split(input.as_bytes(), 64), Parsed::Whole(want, line.len() + 2), "{line}");
            for cut in 0..line.len() + 2 {
                assert_eq!(split(&input.as_bytes()[..cut], 64), Parsed::More, "{line} at {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach_and_where_it_ends() {
        for (input, error, used) in [
            ("a NOOP\nb NOOP\r\n", Error::BareLf, 7),
            ("\n", Error::BareLf, 1),
            ("a NOOP\rb NOOP\r\n", Error::Control, 15),
            ("a NOOP\r\r\n", Error::Control, 9),
            ("a \0\r\n", Error::Control, 5),
            ("a \0 {5}\r\n", Error::Control, 9),
            ("a \0 {5+}\r\n", Error::OutOfStep, 10),
            ("a L {5+}\n", Error::OutOfStep, 9),
            ("12345678901234567890\r\n", Error::TooLong, 18),
            ("12345678901234567", Error::TooLong, 18),
        ] {
            let want = match input.len() < used {
                true => Parsed::More,
                false => Parsed::Broken(error, used),
            };
            assert_eq!(split(input.as_bytes(), 16), want, "{input:?}");
        }
    }

    #[test]
    fn a_sasl_answer_announces_nothing() {
        assert_eq!(answer(b"{5+}\r\n", 16), Parsed::Whole(Fragment::End(b"{5+}"), 6));
    }

    #[test]
    fn a_literal_may_hold_any_bytes() {
        assert_eq!(take(b"a\r\n\0b rest", 5), Parsed::Whole(Fragment::Literal(b"a\r\n\0b"), 5));
        assert_eq!(take(b"a\r\n\0", 5), Parsed::More);
    }

    #[test]
    fn a_fragment_does_not_print_what_it_holds() {
        let shown = format!("{:?}", split(b"a LOGIN mrose tanstaaf {3}\r\n", 64));
        assert!(!shown.contains("tanstaaf") && shown.contains("size: 3"), "{shown}");
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_commands(input in "[a-z {}+0-9\"\r\n]{0,48}(\r\n)?") {
            hold_for_any(input.as_bytes());
        }
    }
}
