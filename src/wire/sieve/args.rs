//! The words of one line that [`super::line`] has cut off: atoms, strings, a response code.

use crate::wire::imap::literal::decimal;

/// RFC 5804 §4, `atom = 1*1024ATOM-CHAR`.
pub const MAX_ATOM: usize = 1024;

/// What is wrong with the words of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("argument missing")]
    Missing,
    #[error("malformed argument")]
    Malformed,
    #[error("too many arguments")]
    TooMany,
}

/// A string as it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Text<'a> {
    /// What stands between the quotes, escapes and all.
    Quoted(&'a [u8]),
    Literal(&'a [u8]),
}

/// A response code: `(NAME …)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code<'a> {
    pub name: &'a [u8],
    /// All that stands between the parentheses, the name included.
    pub inside: &'a [u8],
}

impl<'a> Text<'a> {
    /// Its bytes as they stand, if none is escaped: base64 never is, so no copy of a secret is made.
    pub fn plain(self) -> Option<&'a [u8]> {
        match self {
            Self::Quoted(raw) => (!raw.contains(&b'\\')).then_some(raw),
            Self::Literal(bytes) => Some(bytes),
        }
    }

    /// Its bytes, escapes undone.
    pub fn to_vec(self) -> Vec<u8> {
        match self {
            Self::Literal(bytes) => bytes.to_vec(),
            Self::Quoted(raw) => {
                let mut escaped = false;
                let kept = raw.iter().filter(|byte| {
                    escaped = **byte == b'\\' && !escaped;
                    !escaped
                });
                kept.copied().collect()
            }
        }
    }

    /// How many bytes it was sent in, at least.
    pub fn len(self) -> usize {
        match self {
            Self::Quoted(bytes) | Self::Literal(bytes) => bytes.len(),
        }
    }
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.len()) // it may hold a password
    }
}

impl Code<'_> {
    /// Whether it is `name`, or a more detailed one below it: RFC 5804 §1.3, `QUOTA/MAXSIZE`.
    pub fn is(&self, name: &str) -> bool {
        let top = self.name.split(|byte| *byte == b'/').next().unwrap_or_default();
        top.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Reads word after word.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
}

impl<'a> Args<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The first byte of the next word.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// What is still unread.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Steps over the blanks before a word. `false`: there is no word.
    pub fn blank(&mut self) -> Result<bool, Error> {
        let blanks = self.rest.iter().take_while(|byte| **byte == b' ').count();
        let rest = &self.rest[blanks..];
        match (blanks, rest.is_empty()) {
            (_, true) => Ok(false),
            (0, false) => Err(Error::Malformed),
            (_, false) => {
                self.rest = rest;
                Ok(true)
            }
        }
    }

    /// Steps over the blanks before a word that must be there.
    pub fn another(&mut self) -> Result<(), Error> {
        if self.blank()? { Ok(()) } else { Err(Error::Missing) }
    }

    /// There is nothing more.
    pub fn end(&self) -> Result<(), Error> {
        if self.rest.iter().all(|byte| *byte == b' ') { Ok(()) } else { Err(Error::TooMany) }
    }

    pub fn atom(&mut self) -> Result<&'a [u8], Error> {
        let length = self.rest.iter().take_while(|byte| is_atom_char(**byte)).count();
        let (atom, rest) = self.rest.split_at(length);
        match length {
            0 if rest.is_empty() => Err(Error::Missing),
            1..=MAX_ATOM => {
                self.rest = rest;
                Ok(atom)
            }
            _ => Err(Error::Malformed),
        }
    }

    pub fn string(&mut self) -> Result<Text<'a>, Error> {
        let (text, used) = match self.peek() {
            None => return Err(Error::Missing),
            Some(b'"') => quoted(self.rest),
            Some(b'{') => literal(self.rest),
            Some(_) => None,
        }
        .ok_or(Error::Malformed)?;
        self.rest = &self.rest[used..];
        Ok(text)
    }

    /// RFC 5804 §4, `"(" resp-code ")"`. What is inside is passed over, strings as a whole.
    pub fn code(&mut self) -> Result<Code<'a>, Error> {
        let inside = self.rest.strip_prefix(b"(").ok_or(Error::Malformed)?;
        let mut args = Self::new(inside);
        let name = args.atom()?;
        let mut open = 1;
        loop {
            match args.peek() {
                None => return Err(Error::Malformed),
                Some(b'"' | b'{') => {
                    args.string()?;
                    continue;
                }
                Some(b'(') => open += 1,
                Some(b')') => open -= 1,
                Some(_) => {}
            }
            let before = inside.len() - args.rest.len();
            args.rest = &args.rest[1..];
            if open == 0 {
                self.rest = args.rest;
                return Ok(Code { name, inside: &inside[..before] });
            }
        }
    }
}

/// RFC 5804 §4, `ATOM-CHAR`: any but `(`, `)`, `{`, `"`, `\`, blanks and controls.
pub fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){\"\\".contains(&byte)
}

/// The quoted string at the front of `input`, and the bytes it takes.
fn quoted(input: &[u8]) -> Option<(Text<'_>, usize)> {
    let inside = &input[1..];
    let mut escaped = false;
    let end = inside.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    // A quote that was open when the line ended is no string, though a later literal closes it.
    let is_one_line = !inside[..end].iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    is_one_line.then(|| (Text::Quoted(&inside[..end]), end + 2))
}

/// The literal at the front of `input`, and the bytes it takes: `{n}` or `{n+}`, CRLF, n bytes.
fn literal(input: &[u8]) -> Option<(Text<'_>, usize)> {
    let end = input.iter().position(|byte| *byte == b'}')?;
    let number = input[1..end].strip_suffix(b"+").unwrap_or(&input[1..end]);
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = decimal(number);
    let bytes = input[end + 1..].strip_prefix(b"\r\n")?.get(..size)?;
    Some((Text::Literal(bytes), end + 3 + size))
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let mut args = Args::new(input);
    if let Ok(text) = args.string() {
        assert!(text.to_vec().len() <= text.len() && text.len() < input.len());
        assert!(text.plain().is_none_or(|plain| plain == text.to_vec()));
        assert!(input.ends_with(args.rest()));
    }
    let mut args = Args::new(input);
    if let Ok(code) = args.code() {
        assert!(code.inside.starts_with(code.name) && (1..=MAX_ATOM).contains(&code.name.len()));
        let read = [b"(", code.inside, b")", args.rest()].concat();
        assert_eq!(read, input);
        // It can stand by itself.
        let alone = &input[..code.inside.len() + 2];
        assert_eq!(Args::new(alone).code(), Ok(code));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_string_comes_in_either_form() {
        for (input, want) in [
            ("\"\"", ""),
            ("\"mrose\"", "mrose"),
            ("\"two words\"", "two words"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r#""\\""#, r"\"),
            ("\"m\u{fc}ller\"", "m\u{fc}ller"),
            ("\"tab\there\"", "tab\there"),
            ("\"{5}\"", "{5}"),
            ("{5+}\r\nmrose", "mrose"),
            ("{5}\r\nmrose", "mrose"),
            ("{005}\r\nm\r\n\0e", "m\r\n\0e"),
            ("{0+}\r\n", ""),
        ] {
            let with_more = format!("{input} x");
            let mut args = Args::new(with_more.as_bytes());
            let read = args.string().map(Text::to_vec);
            assert_eq!(read, Ok(want.into()), "{input:?}");
            assert_eq!(args.rest(), b" x", "{input:?}");
        }
    }

    #[test]
    fn names_what_is_wrong_with_a_string() {
        for (input, want) in [
            ("", Error::Missing),
            ("mrose", Error::Malformed),
            ("\"mrose", Error::Malformed),
            ("\"mrose\\\"", Error::Malformed),
            ("\"m {3+}\r\nros\"", Error::Malformed),
            ("{6}\r\nmrose", Error::Malformed),
            ("{5}mrose", Error::Malformed),
            ("{}\r\n", Error::Malformed),
            ("{+}\r\n", Error::Malformed),
            ("{5++}\r\nmrose", Error::Malformed),
            ("{-5}\r\nmrose", Error::Malformed),
            ("{99999999999999999999}\r\nx", Error::Malformed),
        ] {
            assert_eq!(Args::new(input.as_bytes()).string(), Err(want), "{input:?}");
        }
    }

    #[test]
    fn only_what_is_not_escaped_is_lent() {
        assert_eq!(Text::Quoted(b"AHUAcA==").plain(), Some(&b"AHUAcA=="[..]));
        assert_eq!(Text::Literal(br"a\b").plain(), Some(&br"a\b"[..]));
        assert_eq!(Text::Quoted(br"a\b").plain(), None);
    }

    #[test]
    fn a_code_is_read_with_all_that_is_in_it() {
        for (input, name, rest) in [
            ("(TRYLATER)", "TRYLATER", ""),
            ("(TRYLATER) \"x\"", "TRYLATER", " \"x\""),
            ("(QUOTA/MAXSIZE) x", "QUOTA/MAXSIZE", " x"),
            ("(REFERRAL \"sieve://h)(\") \"x\"", "REFERRAL", " \"x\""),
            ("(TAG {3}\r\n)\"( ) \"x\"", "TAG", " \"x\""),
            ("(X 1 (a (\"b\") ()) 2) y", "X", " y"),
        ] {
            let mut args = Args::new(input.as_bytes());
            let code = args.code().unwrap();
            assert_eq!((code.name, args.rest()), (name.as_bytes(), rest.as_bytes()), "{input:?}");
        }
        for input in ["", "TRYLATER", "(", "()", "( X)", "(X", "(X \"a)", "(X (a)", "(X {3}\r\na)"]
        {
            assert!(Args::new(input.as_bytes()).code().is_err(), "{input:?}");
        }
    }

    #[test]
    fn a_code_is_known_by_its_top_level() {
        let is = |input: &str, name| Args::new(input.as_bytes()).code().unwrap().is(name);
        assert!(is("(quota/MAXSIZE)", "QUOTA") && is("(TRYLATER)", "TRYLATER"));
        assert!(!is("(QUOTAS)", "QUOTA") && !is("(/QUOTA)", "QUOTA"));
    }

    #[test]
    fn a_string_does_not_print_what_it_holds() {
        let shown = format!("{:?} {:?}", Text::Quoted(b"tanstaaf"), Text::Literal(b"tanstaaf"));
        assert_eq!(shown, "Text(8 bytes) Text(8 bytes)");
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_words(
            input in "\\(?[A-C/]{0,3}( ?(\"[a\\\\\"]{0,4}\"|\\{[0-3]\\+?\\}\r\n[a)\r\n]{0,3}|[()a])){0,4}\\)?",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
