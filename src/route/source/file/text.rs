//! The text that a `route_file` is written in: as Postfix writes `hash:` tables. Pure.
//!
//! ```text
//! # a comment
//! mrose@example.com    west
//! "odd name"@a.test    192.0.2.7:143
//!     login=odd
//! ```
//! A line that begins with blanks continues the one before it; empty lines and comments do not end
//! one. In the key, `"…"` holds blanks, and `\` the character behind it.

use std::io::{self, BufRead, Read};

/// How long one line may be, its continuations included.
pub const MAX_LINE: usize = 64 * 1024;

/// One row, with the number of its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub number: u32,
    pub key: &'a str,
    pub words: &'a [&'a str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("no UTF-8")]
    Encoding,
    #[error("a line of more than {MAX_LINE} bytes")]
    TooLong,
    #[error("a line that begins with blanks continues none")]
    Continues,
    #[error("a quote that is not closed")]
    Quote,
}

/// Reads `from` to its end and gives each row, or what is wrong with its line, to `each`; which says
/// whether to go on.
pub fn read(
    mut from: impl BufRead,
    each: &mut dyn FnMut(u32, Result<Line<'_>, Wrong>) -> bool,
) -> io::Result<()> {
    let (mut whole, mut begun, mut number, mut line) = (Vec::new(), 0, 0_u32, Vec::new());
    loop {
        line.clear();
        let most = MAX_LINE as u64 + 2;
        let read = from.by_ref().take(most).read_until(b'\n', &mut line)?;
        let is_over = read == 0;
        number = number.saturating_add(1);
        let text = line.trim_ascii();
        if !is_over && (text.is_empty() || text[0] == b'#') && line.len() < MAX_LINE {
            continue;
        }
        let continues = !is_over && line[0].is_ascii_whitespace();
        if !continues && begun != 0 {
            if !tell(begun, &whole, each) {
                return Ok(());
            }
            whole.clear();
            begun = 0;
        }
        if is_over {
            return Ok(());
        }
        if whole.len() + text.len() >= MAX_LINE {
            // What stands behind it cannot be told apart any more.
            each(number, Err(Wrong::TooLong));
            return Ok(());
        }
        if continues && begun == 0 {
            if !each(number, Err(Wrong::Continues)) {
                return Ok(());
            }
            continue;
        }
        if begun == 0 {
            begun = number;
        } else {
            whole.push(b' ');
        }
        whole.extend_from_slice(text);
    }
}

fn tell(
    number: u32,
    whole: &[u8],
    each: &mut dyn FnMut(u32, Result<Line<'_>, Wrong>) -> bool,
) -> bool {
    let Ok(text) = std::str::from_utf8(whole) else { return each(number, Err(Wrong::Encoding)) };
    let cut;
    let (key, rest) = if text.starts_with('"') {
        let Some((key, rest)) = unquoted(text) else { return each(number, Err(Wrong::Quote)) };
        cut = key;
        (cut.as_str(), rest)
    } else {
        text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""))
    };
    let mut words = [""; 4];
    let mut count = 0;
    for word in rest.split_ascii_whitespace() {
        if let Some(place) = words.get_mut(count) {
            *place = word;
            count += 1;
        }
    }
    each(number, Ok(Line { number, key, words: &words[..count] }))
}

/// The key at the front of `text` without its quotes, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut key, mut is_quoted) = (String::new(), false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => key.push(chars.next()?.1),
            c if c.is_ascii_whitespace() && !is_quoted => return Some((key, &text[at..])),
            c => key.push(c),
        }
    }
    (!is_quoted).then_some((key, ""))
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let (mut last, mut count) = (0, 0);
    let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
    let read = read(input, &mut |number, line| {
        assert!(number as usize <= lines && number >= last, "{number} of {lines}");
        (last, count) = (number, count + 1);
        if let Ok(line) = line {
            assert!(line.number == number && line.key.len() <= MAX_LINE);
            assert!(line.words.iter().all(|word| !word.is_empty() && !word.contains([' ', '\t'])));
        }
        true
    });
    assert!(read.is_ok() && count <= lines);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        let each = &mut |number, line: Result<Line<'_>, Wrong>| {
            told.push(match line {
                Ok(Line { key, words, .. }) => format!("{number} [{key}] {}", words.join("|")),
                Err(wrong) => format!("{number} {wrong}"),
            });
            true
        };
        read(text, each).unwrap();
        told
    }

    #[test]
    fn rows_are_read_as_postfix_writes_them() {
        for (text, want) in [
            ("a b\n", &["1 [a] b"][..]),
            ("a\tb", &["1 [a] b"]),
            ("a \t b  c \r\n d=e\n\n#x\n  f\ng h", &["1 [a] b|c|d=e|f", "6 [g] h"]),
            ("# a\n\n  # b\na b", &["4 [a] b"]),
            ("a\n", &["1 [a] "]),
            ("\"a b\\\"\"@c d", &["1 [a b\"@c] d"]),
            ("\"a", &["1 a quote that is not closed"]),
            (" a b\nc d", &["1 a line that begins with blanks continues none", "2 [c] d"]),
            ("", &[]),
            ("a # b", &["1 [a] #|b"]),
        ] {
            assert_eq!(all(text.as_bytes()), want, "{text:?}");
        }
        assert_eq!(all(b"\xff b\nc d"), ["1 no UTF-8", "2 [c] d"]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let long = "x".repeat(MAX_LINE + 7);
        for text in [format!("a\n {long}"), format!("#{long}"), " ".repeat(MAX_LINE + 9)] {
            let told = all(text.as_bytes());
            assert!(told.last().is_none_or(|line| line.len() < 60), "{}", told.len());
        }
        assert_eq!(all(long.as_bytes()), ["1 a line of more than 65536 bytes"]);
        let many = format!("a{}", "\n b".repeat(MAX_LINE));
        assert!(all(many.as_bytes())[0].contains("a line of more than"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_rows_or_told(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            hold_for_any(&bytes);
        }

        #[test]
        fn any_lines_are_rows_or_told(text in "([ \t]?[a#\"\\\\@.]{0,4}[ \t]?\r?\n){0,9}") {
            hold_for_any(text.as_bytes());
        }
    }
}
