//! The arguments of a gathered command: atoms, strings and lists, with literals in place.
//!
//! Reads what RFC 9051 §9 writes, and two things that clients send all the same: more than one
//! blank between arguments, and bytes in an unquoted user name or password that an atom may not
//! hold (`%`, `*`, `\`, `]`, 8-bit). Those end nothing and open nothing, so they can do no harm.

use super::literal;

/// Why arguments cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("missing argument")]
    Missing,
    #[error("not an argument of this kind")]
    Malformed,
    #[error("too many arguments")]
    TooMany,
    #[error("argument too long")]
    TooLong,
    #[error("CR, LF or NUL in an argument")]
    Control,
}

/// A string as it stood in the command: its escapes are undone only when it is asked for, so that
/// there is no copy of a password that nobody wipes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Astring<'a> {
    /// An atom, or a literal's bytes.
    Plain(&'a [u8]),
    /// The inside of a quoted string, backslashes and all.
    Quoted(&'a [u8]),
}

impl Astring<'_> {
    /// The bytes that are meant, in a buffer of exactly their length.
    pub fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        out.extend(self.bytes());
        out
    }

    pub fn len(self) -> usize {
        self.bytes().count()
    }

    /// Refuses what no field of a login may hold (RFC 4616 §2 forbids NUL; CR and LF would end
    /// lines in upstream commands, headers and logs).
    pub fn one_line(self) -> Result<Self, Error> {
        match self.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            true => Err(Error::Control),
            false => Ok(self),
        }
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        let (inside, quoted) = match *self {
            Self::Plain(bytes) => (bytes, false),
            Self::Quoted(inside) => (inside, true),
        };
        let mut escaped = false;
        inside.iter().copied().filter(move |byte| {
            escaped = quoted && !escaped && *byte == b'\\';
            !escaped
        })
    }
}

impl std::fmt::Debug for Astring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Astring({} bytes)", self.len()) // it may be a password
    }
}

/// Reads arguments off the front, one after the other.
#[derive(Clone)]
pub struct Args<'a> {
    rest: &'a [u8],
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Args({} bytes)", self.rest.len())
    }
}

impl<'a> Args<'a> {
    /// `rest` is what follows the command's name, blanks included, without the last CRLF.
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Steps over the blanks that stand before an argument, of which there must be one.
    pub fn blank(&mut self) -> Result<(), Error> {
        let blanks = self.rest.iter().take_while(|byte| **byte == b' ').count();
        self.rest = &self.rest[blanks..];
        match (blanks, self.rest) {
            (_, []) => Err(Error::Missing),
            (0, _) => Err(Error::Malformed),
            _ => Ok(()),
        }
    }

    /// Whether nothing but blanks is left.
    pub fn is_empty(&self) -> bool {
        self.rest.iter().all(|byte| *byte == b' ')
    }

    /// There must be nothing more. Blanks at the end are forgiven.
    pub fn end(&self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(Error::TooMany) }
    }

    /// The next byte, stepped over if it is `byte`.
    pub fn takes(&mut self, byte: u8) -> bool {
        match self.rest.strip_prefix(&[byte]) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A run of bytes that opens no string and no list.
    pub fn atom(&mut self) -> Result<&'a [u8], Error> {
        let ends = |byte: &u8| byte.is_ascii_control() || b" (){\"".contains(byte);
        let length = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(length);
        self.rest = rest;
        if atom.is_empty() { Err(Error::Malformed) } else { Ok(atom) }
    }

    /// An atom or a string.
    pub fn astring(&mut self) -> Result<Astring<'a>, Error> {
        match self.rest.first() {
            None => Err(Error::Missing),
            Some(b'"' | b'{') => self.string(),
            Some(_) => self.atom().map(Astring::Plain),
        }
    }

    /// A string or NIL.
    pub fn nstring(&mut self) -> Result<Option<Astring<'a>>, Error> {
        match self.rest.first() {
            Some(b'"' | b'{') => self.string().map(Some),
            _ if self.atom()?.eq_ignore_ascii_case(b"NIL") => Ok(None),
            _ => Err(Error::Malformed),
        }
    }

    /// A quoted string or a literal.
    pub fn string(&mut self) -> Result<Astring<'a>, Error> {
        match self.rest.split_first() {
            Some((b'"', inside)) => self.quoted(inside),
            Some((b'{', inside)) => self.literal(inside),
            Some(_) => Err(Error::Malformed),
            None => Err(Error::Missing),
        }
    }

    // RFC 9051 §9 allows a backslash before `"` and `\` only. Clients put it before other bytes
    // too, and servers have always read `\x` as `x`.
    fn quoted(&mut self, inside: &'a [u8]) -> Result<Astring<'a>, Error> {
        let mut escaped = false;
        for (at, byte) in inside.iter().enumerate() {
            match byte {
                b'\r' | b'\n' | 0 => return Err(Error::Malformed),
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.rest = &inside[at + 1..];
                    return Ok(Astring::Quoted(&inside[..at]));
                }
                _ => {}
            }
        }
        Err(Error::Malformed)
    }

    fn literal(&mut self, inside: &'a [u8]) -> Result<Astring<'a>, Error> {
        let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, after) = inside.split_at(digits);
        let after = after.strip_prefix(b"+").unwrap_or(after);
        let bytes = after.strip_prefix(b"}\r\n").ok_or(Error::Malformed)?;
        let size = literal::decimal(number);
        if number.is_empty() || bytes.len() < size {
            return Err(Error::Malformed);
        }
        let (bytes, rest) = bytes.split_at(size);
        self.rest = rest;
        Ok(Astring::Plain(bytes))
    }
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let mut args = Args::new(input);
    while !args.is_empty() {
        let before = args.rest.len();
        let read = args.blank().and_then(|()| args.astring());
        let Ok(read) = read else { break };
        assert!(args.rest.len() < before, "an argument takes bytes");
        assert!(read.len() <= before);
        assert_eq!(read.to_vec().capacity(), read.len(), "no room for a second copy");
        // What was read can be written, and is read back as the same.
        let mut written = b" ".to_vec();
        if super::quote::write(&read.to_vec(), &mut written).is_ok() {
            let mut again = Args::new(&written);
            again.blank().expect("a blank was written");
            assert_eq!(again.string().map(Astring::to_vec), Ok(read.to_vec()));
            assert_eq!(again.end(), Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_string_in_each_of_its_forms() {
        for (input, want) in [
            (" mrose", "mrose"),
            ("   mrose ", "mrose"),
            (" \"mrose\"", "mrose"),
            (" \"\"", ""),
            (" \"two words\"", "two words"),
            (r#" "a\"b\\c""#, r#"a"b\c"#),
            (r#" "DOM\mrose""#, "DOMmrose"),
            (r" DOM\mrose", r"DOM\mrose"),
            (" p%s*w]ord", "p%s*w]ord"),
            (" {5}\r\nmrose", "mrose"),
            (" {5+}\r\nm\r\n\0e", "m\r\n\0e"),
            (" {0}\r\n", ""),
            (" \"m\u{fc}ller\"", "m\u{fc}ller"),
        ] {
            let mut args = Args::new(input.as_bytes());
            let read = args.blank().and_then(|()| args.astring());
            assert_eq!(read.map(Astring::to_vec), Ok(want.into()), "{input:?}");
            assert_eq!(args.end(), Ok(()), "{input:?}");
        }
    }

    #[test]
    fn names_what_is_wrong_with_a_string() {
        for (input, want) in [
            ("", Error::Missing),
            ("  ", Error::Missing),
            ("mrose", Error::Malformed),
            (" \"mrose", Error::Malformed),
            (" \"mrose\\\"", Error::Malformed),
            (" {6}\r\nmrose", Error::Malformed),
            (" {5}mrose", Error::Malformed),
            (" {}\r\n", Error::Malformed),
            (" {99999999999999999999}\r\nx", Error::Malformed),
            (" (mrose", Error::Malformed),
            (" \x01", Error::Malformed),
        ] {
            let mut args = Args::new(input.as_bytes());
            let read = args.blank().and_then(|()| args.astring());
            assert_eq!(read, Err(want), "{input:?}");
        }
    }

    #[test]
    fn a_login_field_is_one_line() {
        for (bytes, fits) in [("mrose", true), ("m\rx", false), ("m\nx", false), ("m\0x", false)] {
            assert_eq!(Astring::Plain(bytes.as_bytes()).one_line().is_ok(), fits, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_arguments(input in "( [a-c{}+0-3\"\\\\\r\n]{0,8}){0,4}") {
            hold_for_any(input.as_bytes());
        }
    }
}
