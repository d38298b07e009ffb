//! Strings into commands and replies, in the form that carries them: quoted, or as a literal.
//!
//! **Promises.** What is written is one string: no value can end it, since CR, LF and NUL are
//! refused and `"` and `\` are escaped (RFC 9051 §4.3).

/// The longest value that is written as a quoted string. Servers bound their lines, not their
/// literals, so long values go as literals.
pub const QUOTED_MAX: usize = 1024;

/// A value that no login may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CR, LF or NUL in a string")]
pub struct Unfit;

/// How a value can be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Quoted,
    Literal,
}

/// The form that carries `value`: quoted where it is printable ASCII and short.
pub fn form(value: &[u8]) -> Result<Form, Unfit> {
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(Unfit);
    }
    let printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    Ok(if printable && value.len() <= QUOTED_MAX { Form::Quoted } else { Form::Literal })
}

/// Writes `value` whole, as a quoted string or as a literal that does not wait (`{n+}`).
pub fn write(value: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    match form(value)? {
        Form::Quoted => quoted(value, out),
        Form::Literal => {
            announce(value, false, out);
            out.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Writes the announcement of `value` as a literal, CRLF included.
pub fn announce(value: &[u8], waits: bool, out: &mut Vec<u8>) {
    let plus = if waits { "" } else { "+" };
    out.extend_from_slice(format!("{{{}{plus}}}\r\n", value.len()).as_bytes());
}

/// Writes `value` between quotes. Bytes that no quoted string can hold become `?`.
pub fn quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in value {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_in_the_form_that_carries_it() {
        let long = "x".repeat(QUOTED_MAX + 1);
        let long_literal = format!("{{1025+}}\r\n{long}");
        for (value, want) in [
            ("", Ok("\"\"")),
            ("mrose", Ok("\"mrose\"")),
            ("two words", Ok("\"two words\"")),
            (r#"a"b\c"#, Ok(r#""a\"b\\c""#)),
            ("m\u{fc}", Ok("{3+}\r\nm\u{fc}")),
            ("tab\there", Ok("{8+}\r\ntab\there")),
            (&long, Ok(&long_literal)),
            ("u\r\ng2 LOGOUT", Err(Unfit)),
            ("u\n", Err(Unfit)),
            ("u\0", Err(Unfit)),
        ] {
            let mut out = Vec::new();
            let written = write(value.as_bytes(), &mut out).map(|()| out.as_slice());
            assert_eq!(written, want.map(str::as_bytes), "{value:?}");
        }
    }

    #[test]
    fn between_quotes_nothing_ends_the_string() {
        let mut out = Vec::new();
        quoted(b"a\"\r\n\0\xfcb", &mut out);
        assert_eq!(out, b"\"a\\\"????b\"");
    }
}
