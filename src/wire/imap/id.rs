//! The ID command and response (RFC 2971): who is at the other end.
//!
//! **Limits.** RFC 2971 §3.3: at most 30 pairs, a key of at most 30 octets, a value of at most
//! 1024. Reading refuses more; writing leaves out or cuts what is beyond.

use super::args::{Args, Astring, Error};
use super::quote;

pub const MAX_PAIRS: usize = 30;
pub const MAX_KEY: usize = 30;
pub const MAX_VALUE: usize = 1024;

/// A key and its value, `None` for NIL.
pub type Pair<'a> = (Astring<'a>, Option<Astring<'a>>);

/// Reads `NIL` or `(key value …)`.
pub fn parse<'a>(args: &mut Args<'a>) -> Result<Vec<Pair<'a>>, Error> {
    args.blank()?;
    let mut pairs = Vec::new();
    if !args.takes(b'(') {
        return match args.atom()?.eq_ignore_ascii_case(b"NIL") {
            true => Ok(pairs),
            false => Err(Error::Malformed),
        };
    }
    while !closes(args) {
        match pairs.is_empty() {
            true => while args.takes(b' ') {},
            false => args.blank()?,
        }
        let key = args.string()?;
        args.blank()?;
        let value = args.nstring()?;
        if key.len() > MAX_KEY || value.is_some_and(|value| value.len() > MAX_VALUE) {
            return Err(Error::TooLong);
        }
        if pairs.len() == MAX_PAIRS {
            return Err(Error::TooMany);
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Steps over the end of the list, if only blanks stand before it.
fn closes(args: &mut Args<'_>) -> bool {
    let mut ahead = args.clone();
    while ahead.takes(b' ') {}
    let closes = ahead.takes(b')');
    if closes {
        *args = ahead;
    }
    closes
}

/// Writes `(key value …)`, or `NIL` for no pairs. What no quoted string can hold becomes `?`.
pub fn write<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>, out: &mut Vec<u8>) {
    let mut before = b'(';
    for (key, value) in pairs.into_iter().take(MAX_PAIRS) {
        out.push(before);
        quote::quoted(cut(key, MAX_KEY), out);
        out.push(b' ');
        quote::quoted(cut(value, MAX_VALUE), out);
        before = b' ';
    }
    match before {
        b'(' => out.extend_from_slice(b"NIL"),
        _ => out.push(b')'),
    }
}

fn cut(text: &str, longest: usize) -> &[u8] {
    &text.as_bytes()[..text.len().min(longest)]
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Ok(pairs) = parse(&mut Args::new(input)) else { return };
    assert!(pairs.len() <= MAX_PAIRS);
    let text = |value: Astring<'_>| String::from_utf8_lossy(&value.to_vec()).into_owned();
    let owned: Vec<_> =
        pairs.iter().filter_map(|(key, value)| Some((text(*key), text((*value)?)))).collect();
    // What we write is one line, and is read back with as many pairs.
    let mut written = b" ".to_vec();
    write(owned.iter().map(|(key, value)| (&**key, &**value)), &mut written);
    assert!(written.iter().all(|byte| matches!(byte, b' '..=b'~')));
    let mut args = Args::new(&written);
    assert_eq!(parse(&mut args).map(|again| again.len()), Ok(owned.len()));
    assert_eq!(args.end(), Ok(()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &str) -> Result<Vec<(String, Option<String>)>, Error> {
        let text = |value: Astring<'_>| String::from_utf8(value.to_vec()).unwrap();
        let mut args = Args::new(input.as_bytes());
        let pairs = parse(&mut args)?;
        args.end()?;
        Ok(pairs.into_iter().map(|(key, value)| (text(key), value.map(text))).collect())
    }

    #[test]
    fn reads_pairs_in_each_form() {
        for (input, want) in [
            (" NIL", &[][..]),
            (" nil", &[]),
            (" ()", &[]),
            (" (\"name\" \"x\")", &[("name", Some("x"))]),
            (" ( \"name\"  \"x\" )", &[("name", Some("x"))]),
            (" (\"name\" NIL \"os\" {2}\r\nq\") ", &[("name", None), ("os", Some("q\""))]),
            (" ({4+}\r\nname \"a\\\"b\")", &[("name", Some("a\"b"))]),
        ] {
            let want: Vec<_> =
                want.iter().map(|(key, value)| ((*key).into(), value.map(Into::into))).collect();
            assert_eq!(read(input), Ok(want), "{input:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_list_or_too_much() {
        let many = |count: usize| format!(" ({})", vec!["\"k\" \"v\""; count].join(" "));
        let long_key = format!(" (\"{}\" \"v\")", "k".repeat(31));
        let long_value = format!(" (\"k\" \"{}\")", "v".repeat(1025));
        assert_eq!(read(&many(30)).map(|pairs| pairs.len()), Ok(30));
        for (input, want) in [
            ("", Error::Missing),
            (" name", Error::Malformed),
            (" (\"name\")", Error::Malformed),
            (" (\"name\" \"x\"", Error::Missing),
            (" (name \"x\")", Error::Malformed),
            (" (\"a\" \"b\"\"c\" \"d\")", Error::Malformed),
            (" (\"a\" \"b\") x", Error::TooMany),
            (&many(31), Error::TooMany),
            (&long_key, Error::TooLong),
            (&long_value, Error::TooLong),
        ] {
            assert_eq!(read(input), Err(want), "{input:?}");
        }
    }

    #[test]
    fn a_value_cannot_end_the_list_or_the_line() {
        let mut out = Vec::new();
        write([("name", "x\" \"y\")\r\na LOGOUT")], &mut out);
        assert_eq!(out, b"(\"name\" \"x\\\" \\\"y\\\")??a LOGOUT\")");
        out.clear();
        write([], &mut out);
        assert_eq!(out, b"NIL");
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_lists(
            input in " \\((\"[a-z\\\\]{0,3}\" (NIL|\"[a-z]{0,3}\"|\\{2\\}\r\n[a-c\"]{2}) ?){0,4}\\)?",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
