//! One command, answer or reply off the front of the input, its literals in place.
//!
//! ```text
//! AUTHENTICATE "PLAIN" {16+}⏎AHRpbQB0YW5zdGFh⏎        one line, and its literal with it
//! ```
//!
//! **Promises.** What is cut off takes at least one byte, so a caller that loops makes progress.

use crate::wire::Parsed;
use crate::wire::imap::literal::announced;

/// What makes a line no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rest is still to come.
    #[error("line too long")]
    TooLong,
    /// Whoever reads on would take the literal's bytes for commands.
    #[error("a literal announced in a broken line")]
    OutOfStep,
    #[error("bare LF")]
    BareLf,
    #[error("bare CR or NUL in a line")]
    Control,
}

/// Cuts off what is at the front of `input`: without its last CRLF, at most `longest` bytes with it.
///
/// A line that ends in `{n}` or `{n+}` announces a literal even where it makes no sense: whoever
/// wrote it will send the literal.
pub fn cut(input: &[u8], longest: usize) -> Parsed<&[u8], Error> {
    let window = &input[..input.len().min(longest)];
    let mut start = 0;
    loop {
        let Some(rest) = window.get(start..) else { return Parsed::More };
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return match window.len() == longest {
                true => Parsed::Broken(Error::TooLong, longest),
                false => Parsed::More,
            };
        };
        let used = start + end + 1;
        let (line, fault) = match rest[..end].strip_suffix(b"\r") {
            None => (&rest[..end], Some(Error::BareLf)),
            // Either would end the line, or the string, for some other parser behind us.
            Some(line) if line.iter().any(|byte| matches!(byte, b'\r' | 0)) => {
                (line, Some(Error::Control))
            }
            Some(line) => (line, None),
        };
        match (fault, announced(line.trim_ascii_end())) {
            (Some(_), Some(_)) => return Parsed::Broken(Error::OutOfStep, used),
            (Some(fault), None) => return Parsed::Broken(fault, used),
            (None, None) => return Parsed::Whole(&input[..used - 2], used),
            (None, Some(_)) if !line.ends_with(b"}") => {
                // A blank behind the announcement: some would see a literal here, and others none.
                return Parsed::Broken(Error::OutOfStep, used);
            }
            (None, Some((size, _))) if size > longest - used => {
                return Parsed::Broken(Error::TooLong, used);
            }
            (None, Some((size, _))) => start = used + size,
        }
    }
}

/// What must hold for any bytes at all, whatever is allowed.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for longest in [1, 2, 16, 64, 8192] {
        match cut(input, longest) {
            Parsed::More => assert!(input.len() < longest, "more bytes cannot help"),
            Parsed::Broken(error, used) => {
                assert!((1..=input.len().min(longest)).contains(&used));
                assert_eq!(cut(&input[..used], longest), Parsed::Broken(error, used));
                assert_eq!(cut(&input[..used - 1], longest), Parsed::More);
            }
            Parsed::Whole(line, used) => {
                assert!((1..=input.len().min(longest)).contains(&used));
                assert_eq!(cut(&input[..used], longest), Parsed::Whole(line, used));
                assert_eq!(cut(&input[..used - 1], longest), Parsed::More);
                assert_eq!(line.len() + 2, used);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_are_part_of_their_line() {
        for line in [
            "",
            "NOOP",
            "NOOP \"x\"",
            "NOOP {3+}\r\nabc",
            "NOOP {3}\r\nabc",
            "NOOP {0+}\r\n",
            "NOOP {4+}\r\n\r\n\r\n",
            "NOOP {3+}\r\n\0\r\n",
            "PUTSCRIPT {1+}\r\na {2+}\r\nbc",
            "OK (TAG {3}\r\na)b) \"Done\"",
            "NOOP \"{3}\"",
            "NOOP {+}",
        ] {
            let input = format!("{line}\r\nNOOP\r\n");
            let want = Parsed::Whole(line.as_bytes(), line.len() + 2);
            assert_eq!(cut(input.as_bytes(), 64), want, "{line:?}");
            for split in 0..line.len() + 2 {
                assert_eq!(cut(&input.as_bytes()[..split], 64), Parsed::More, "{line:?} {split}");
            }
        }
    }

    #[test]
    fn names_each_breach_and_where_it_ends() {
        for (input, error, used) in [
            ("NOOP\nNOOP\r\n", Error::BareLf, 5),
            ("\n", Error::BareLf, 1),
            ("NO\rOP\r\n", Error::Control, 7),
            ("NOOP\r\r\n", Error::Control, 7),
            ("NO\0OP\r\n", Error::Control, 7),
            ("NOOP {3+}\nabc\r\n", Error::OutOfStep, 10),
            ("NO\0P {3}\r\nabc\r\n", Error::OutOfStep, 10),
            ("NOOP {3} \r\n", Error::OutOfStep, 11),
            ("NOOP {20+}\r\n", Error::TooLong, 12),
            ("NOOP {99999999999999999999+}\r\n", Error::TooLong, 24),
            ("NOOP {4+}\r\n01234567890123\r\n", Error::TooLong, 24),
            ("NOOP 567890123456789012345", Error::TooLong, 24),
        ] {
            assert_eq!(cut(input.as_bytes(), 24), Parsed::Broken(error, used), "{input:?}");
            for split in 0..used {
                assert_eq!(cut(&input.as_bytes()[..split], 24), Parsed::More, "{input:?} {split}");
            }
        }
    }

    #[test]
    fn what_just_fits_is_taken() {
        let input = b"NOOP {9+}\r\n012345678\r\n";
        assert_eq!(cut(input, 22), Parsed::Whole(&input[..20], 22));
        assert_eq!(cut(input, 21), Parsed::Broken(Error::TooLong, 21));
        assert_eq!(cut(input, 19), Parsed::Broken(Error::TooLong, 11));
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_lines(
            input in "([A-C]{0,4}( \"[a{}0-9\\\\]{0,4}\"| \\{[0-9]{1,2}\\+?\\} ?\r?\n?[a\r\n\0]{0,9}){0,3}\r?\n){0,3}",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
