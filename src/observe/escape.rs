//! What stands between bytes from the network and a line in a log.
//!
//! **Promises.** Whatever the input, the output is valid UTF-8, holds no control character (C0, DEL,
//! C1), no line or paragraph separator and no mark that turns the direction of writing: nothing that
//! ends a line for any reader of logs, or steers a terminal. It is bounded by its caller's room and
//! three dots.

use std::fmt;

/// How to escape, by what stands around the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A message of the error log: its words are ours, so its quotes stay.
    Message,
    /// Within `"…"` in the error log: `"` and `\` too, so nothing climbs out of its quotes.
    Quoted,
    /// nginx's `escape=default`: `"`, `\` and all bytes outside printable ASCII as `\xHH`.
    Access,
    /// The inside of a JSON string. What is not UTF-8 becomes U+FFFD.
    Json,
    /// nginx's `escape=none`, except for what ends a line.
    None,
}

/// Appends `input`, escaped, to `out`. What needs more than `room` bytes is cut, and `...` says so.
pub fn push(out: &mut Vec<u8>, input: &[u8], style: Style, room: usize) {
    let end = out.len().saturating_add(room);
    if !push_until(out, input, style, end) {
        out.extend_from_slice(b"...");
    }
}

/// Somebody else's words for a message of the error log, to be put between quotes there.
///
/// `format_args!("client login failed: \"{}\"", Quoted(text))`
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

/// How much of a quoted text is shown.
const QUOTED_MAX: usize = 512;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(self.0.len().min(QUOTED_MAX));
        push(&mut out, self.0, Style::Quoted, QUOTED_MAX);
        // `push` gives UTF-8; lossy only to have no panic here.
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Writes formatted text through the escape, up to `end` bytes in all.
pub struct Writer<'a> {
    pub out: &'a mut Vec<u8>,
    pub style: Style,
    pub end: usize,
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if push_until(self.out, text.as_bytes(), self.style, self.end) {
            return Ok(());
        }
        self.out.extend_from_slice(b"...");
        // The error ends the formatting: a message without end costs no more than its room.
        Err(fmt::Error)
    }
}

/// Says whether all of `input` went in.
fn push_until(out: &mut Vec<u8>, input: &[u8], style: Style, end: usize) -> bool {
    let is_plain = |byte: &u8| match byte {
        b'"' | b'\\' => matches!(style, Style::Message | Style::None),
        b' '..=b'~' => true,
        _ => false,
    };
    if input.iter().all(is_plain) && out.len() + input.len() <= end {
        out.extend_from_slice(input);
        return true;
    }
    for chunk in input.utf8_chunks() {
        for char in chunk.valid().chars() {
            let start = out.len();
            push_char(out, char, style);
            if out.len() > end {
                out.truncate(start);
                return false;
            }
        }
        if !chunk.invalid().is_empty() {
            let start = out.len();
            match style {
                Style::Json => out.extend_from_slice("\u{fffd}".as_bytes()),
                _ => chunk.invalid().iter().for_each(|byte| push_hex(out, *byte)),
            }
            if out.len() > end {
                out.truncate(start);
                return false;
            }
        }
    }
    true
}

fn push_char(out: &mut Vec<u8>, char: char, style: Style) {
    let mut bytes = [0; 4];
    let bytes = char.encode_utf8(&mut bytes).as_bytes();
    let special = breaks_lines(char)
        || match style {
            Style::Message | Style::None => false,
            Style::Quoted | Style::Json => matches!(char, '"' | '\\'),
            Style::Access => matches!(char, '"' | '\\') || !char.is_ascii(),
        };
    match (special, style) {
        (false, _) => out.extend_from_slice(bytes),
        (true, Style::Json) => match char {
            '"' | '\\' => out.extend_from_slice(&[b'\\', bytes[0]]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // All that `breaks_lines` lie in the basic plane: four digits do.
            other => out.extend_from_slice(format!("\\u{:04x}", u32::from(other)).as_bytes()),
        },
        (true, _) => bytes.iter().for_each(|byte| push_hex(out, *byte)),
    }
}

/// Whether some reader of logs ends a line here, or some terminal obeys it.
fn breaks_lines(char: char) -> bool {
    char.is_control()
        // Line and paragraph separators, then the marks that turn the direction of writing.
        || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[
        b'\\',
        b'x',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for style in [Style::Message, Style::Quoted, Style::Access, Style::Json, Style::None] {
        for room in [0, 1, 7, usize::MAX / 2] {
            let mut out = b"before".to_vec();
            push(&mut out, input, style, room);
            assert!(out.len() <= "before...".len() + room);
            let text = std::str::from_utf8(&out).expect("escaped text is UTF-8");
            assert!(!text.contains(breaks_lines), "{style:?}: {text:?}");
            match style {
                Style::Quoted => assert!(!text.contains('"')),
                Style::Access => assert!(text.is_ascii() && !text.contains('"')),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_escapes_what_it_must() {
        let text = "a\"b\\c\r\n\té\u{1b}\u{85}\u{2028}".as_bytes();
        for (style, want) in [
            (Style::Message, r#"a"b\c\x0D\x0A\x09é\x1B\xC2\x85\xE2\x80\xA8"#),
            (Style::Quoted, r"a\x22b\x5Cc\x0D\x0A\x09é\x1B\xC2\x85\xE2\x80\xA8"),
            (Style::Access, r"a\x22b\x5Cc\x0D\x0A\x09\xC3\xA9\x1B\xC2\x85\xE2\x80\xA8"),
            (Style::Json, r#"a\"b\\c\r\n\té\u001b\u0085\u2028"#),
            (Style::None, r#"a"b\c\x0D\x0A\x09é\x1B\xC2\x85\xE2\x80\xA8"#),
        ] {
            let mut out = Vec::new();
            push(&mut out, text, style, 999);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{style:?}");
        }
    }

    #[test]
    fn what_is_no_utf8_is_shown_byte_by_byte() {
        for (style, want) in [(Style::Quoted, "a\\xFF\\xC3b"), (Style::Json, "a\u{fffd}\u{fffd}b")]
        {
            let mut out = Vec::new();
            push(&mut out, b"a\xff\xc3b", style, 999);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn a_cut_falls_between_characters_and_shows() {
        for (room, want) in [(0, "..."), (1, "a..."), (4, "a..."), (5, "a\\x0A..."), (6, "a\\x0Ab")]
        {
            let mut out = Vec::new();
            push(&mut out, b"a\nb", Style::Quoted, room);
            assert_eq!(String::from_utf8(out).unwrap(), want, "room {room}");
        }
        assert!(Quoted(&[b'x'; 9999]).to_string().len() <= QUOTED_MAX + 3);
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_bytes(input in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_any_text(input in "\\PC{0,16}|[\u{0}-\u{2070}]{0,16}") {
            hold_for_any(input.as_bytes());
        }
    }
}
