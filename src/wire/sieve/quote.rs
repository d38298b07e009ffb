//! Strings into commands and replies, in the form that carries them: quoted, or as a literal.

/// RFC 5804 §4, `quoted = DQUOTE *1024QUOTED-CHAR DQUOTE`.
pub const QUOTED_MAX: usize = 1024;

/// As many bytes of somebody else's words as are passed on.
pub const WORDS_MAX: usize = 400;

/// Who writes: RFC 5804 §4, a client's literal is `{n+}`, a server's `{n}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// Writes `value`, whatever it holds, as one string.
///
/// `out` grows by at most 16 bytes more than `value` has where nothing is escaped, as in base64.
pub fn string(value: &[u8], side: Side, out: &mut Vec<u8>) {
    let escapes = value.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    let is_text = str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control));
    if is_text && value.len() + escapes <= QUOTED_MAX {
        out.push(b'"');
        for byte in value {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.push(b'"');
        return;
    }
    let plus = if side == Side::Client { "+" } else { "" };
    out.extend_from_slice(format!("{{{}{plus}}}\r\n", value.len()).as_bytes());
    out.extend_from_slice(value);
}

/// Somebody's words for people to read, in one line: controls become blanks, and no more than
/// [`WORDS_MAX`] bytes are kept.
pub fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * WORDS_MAX)]);
    let mut words = String::new();
    let is_blank = |char: char| char.is_whitespace() || char.is_control();
    for char in text.trim_matches(is_blank).chars() {
        let char = if char.is_control() { ' ' } else { char };
        if words.len() + char.len_utf8() > WORDS_MAX {
            break;
        }
        words.push(char);
    }
    words
}

/// `text` as a quoted string. What does not fit into one is left out.
pub fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    string(words(text.as_bytes()).as_bytes(), Side::Server, &mut out);
    String::from_utf8(out).expect("words are text, and so is what is put around them")
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    use super::args::Args;
    for side in [Side::Client, Side::Server] {
        let mut out = Vec::new();
        string(input, side, &mut out);
        let mut args = Args::new(&out);
        assert_eq!(args.string().map(super::args::Text::to_vec), Ok(input.to_vec()));
        assert_eq!(args.end(), Ok(()));
    }
    let line = quoted(&String::from_utf8_lossy(input));
    assert!(line.len() <= 2 * WORDS_MAX + 2 && !line.chars().any(char::is_control));
    assert!(line.starts_with('"') && line.ends_with('"'));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_written_in_the_form_that_carries_it() {
        let (fits, long) = ("x".repeat(QUOTED_MAX), "x".repeat(QUOTED_MAX + 1));
        for (value, want) in [
            ("", "\"\"".to_owned()),
            ("mrose", "\"mrose\"".to_owned()),
            (r#"a"b\c"#, r#""a\"b\\c""#.to_owned()),
            ("m\u{fc}", "\"m\u{fc}\"".to_owned()),
            (&fits, format!("\"{fits}\"")),
            (&long, format!("{{1025+}}\r\n{long}")),
            ("u\"\r\nLOGOUT", "{10+}\r\nu\"\r\nLOGOUT".to_owned()),
            ("u\0", "{2+}\r\nu\0".to_owned()),
        ] {
            let mut out = Vec::new();
            string(value.as_bytes(), Side::Client, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{value:?}");
        }
        let mut out = Vec::new();
        string(b"m\xfc", Side::Server, &mut out);
        assert_eq!(out, b"{2}\r\nm\xfc");
    }

    #[test]
    fn words_stay_in_their_line_and_are_cut() {
        assert_eq!(words(b" no\r\nOK \"in\"\0 "), "no  OK \"in\"");
        assert_eq!(words(b"m\xc3\xbcde \xff"), "m\u{fc}de \u{fffd}");
        assert_eq!(words("\u{fc}".repeat(1000).as_bytes()).len(), WORDS_MAX);
        assert_eq!(quoted("x\"\r\nOK"), "\"x\\\"  OK\"");
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }
    }
}
