//! What an upstream answers: replies of one line or of several (RFC 5321 §4.2).

use crate::wire::Parsed;

/// The longest reply that we read, CRLFs included. RFC 5321 §4.5.3.1.5 allows a line 512 octets; a
/// SASL challenge may be 12,288 (RFC 4954 §4).
pub const MAX_REPLY: usize = 16_384;

/// The most lines that a reply may have.
pub const MAX_LINES: usize = 128;

/// One reply, all its lines under one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub code: u16,
    /// Every line as it came, without the last CRLF.
    pub whole: &'a [u8],
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("reply too long")]
    TooLong,
    #[error("CR, LF or NUL within a reply")]
    Control,
    #[error("no SMTP reply")]
    NoReply,
    #[error("reply of more than one code")]
    Codes,
}

/// Reads the reply at the front of `input`.
pub fn parse(input: &[u8]) -> Parsed<Reply<'_>, Error> {
    let window = &input[..input.len().min(MAX_REPLY)];
    let (mut start, mut code) = (0, None);
    for _ in 0..MAX_LINES {
        let Some(length) = window[start..].iter().position(|byte| *byte == b'\n') else {
            return match input.len() {
                MAX_REPLY.. => Parsed::Broken(Error::TooLong, MAX_REPLY),
                _ => Parsed::More,
            };
        };
        let used = start + length + 1;
        match line(&window[start..used - 1]) {
            Err(error) => return Parsed::Broken(error, used),
            Ok((own, _)) if code.is_some_and(|code| code != own) => {
                return Parsed::Broken(Error::Codes, used);
            }
            Ok((code, true)) => {
                return Parsed::Whole(Reply { code, whole: &window[..used - 2] }, used);
            }
            Ok((own, false)) => code = Some(own),
        }
        start = used;
    }
    Parsed::Broken(Error::TooLong, start)
}

/// The code of one line, its LF cut off already, and whether it is the last.
fn line(line: &[u8]) -> Result<(u16, bool), Error> {
    let text = line.strip_suffix(b"\r").ok_or(Error::Control)?;
    if text.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return Err(Error::Control);
    }
    let code = code(text).ok_or(Error::NoReply)?;
    match text.get(3) {
        None | Some(b' ') => Ok((code, true)),
        Some(b'-') => Ok((code, false)),
        Some(_) => Err(Error::NoReply),
    }
}

/// The reply code that `text` begins with (RFC 5321 §4.2.1).
fn code(text: &[u8]) -> Option<u16> {
    let &[a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] = text else { return None };
    let digit = |byte: u8| u16::from(byte - b'0');
    Some(100 * digit(a) + 10 * digit(b) + digit(c))
}

impl<'a> Reply<'a> {
    /// What each line says behind its code.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let lines = self.whole.split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).get(4..).unwrap_or_default())
    }

    /// The reply as one line without CRLF, its code first: what is left of it where there is room
    /// for one line only.
    pub fn one_line(&self) -> Vec<u8> {
        let mut line = self.code.to_string().into_bytes();
        let first = self.lines().next().and_then(enhanced);
        for (number, text) in self.lines().enumerate() {
            // RFC 2034 §4 has every line begin with the enhanced code: said once, it is enough.
            let again = number > 0 && first.is_some() && enhanced(text) == first;
            let text = if again { &text[first.map_or(0, <[u8]>::len)..] } else { text };
            let text = text.trim_ascii();
            if !text.is_empty() {
                line.push(b' ');
                line.extend_from_slice(text);
            }
        }
        line
    }

    /// RFC 5321 §4.2.1: what the first digit says.
    pub fn is_good(&self) -> bool {
        self.code / 100 == 2
    }
}

/// The enhanced code that `text` begins with: `5.7.8` (RFC 3463 §2).
pub fn enhanced(text: &[u8]) -> Option<&[u8]> {
    let word = text.split(|byte| *byte == b' ').next()?;
    let mut parts = word.split(|byte| *byte == b'.');
    let is_number = |part: Option<&[u8]>| {
        part.is_some_and(|it| matches!(it.len(), 1..=3) && it.iter().all(u8::is_ascii_digit))
    };
    let fits = matches!(parts.next(), Some(b"2" | b"4" | b"5"))
        && is_number(parts.next())
        && is_number(parts.next())
        && parts.next().is_none();
    fits.then_some(word)
}

/// Whether `text` begins with the code of a refusal, 4xx or 5xx, and a blank.
pub fn refuses(text: &[u8]) -> bool {
    code(text).is_some_and(|code| code >= 400) && text.get(3) == Some(&b' ')
}

/// Whether `text` is the code of a refusal and nothing more than the enhanced code behind it.
pub fn is_refusal_code(text: &[u8]) -> bool {
    let is_code = code(text).is_some_and(|code| code >= 400);
    is_code
        && match &text[3..] {
            [] => true,
            [b' ', rest @ ..] => enhanced(rest) == Some(rest),
            _ => false,
        }
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match parse(input) {
        Parsed::More => assert!(input.len() < MAX_REPLY, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(reply, used) => {
            assert_eq!(reply.whole.len() + 2, used);
            assert_eq!(parse(&input[..used]), Parsed::Whole(reply, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
            assert!((1..=MAX_LINES).contains(&reply.lines().count()));
            for text in reply.lines() {
                assert!(!text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
            let line = [&reply.one_line()[..], b"\r\n"].concat();
            let Parsed::Whole(again, _) = parse(&line) else { panic!("no reply any more") };
            assert_eq!(again.code, reply.code);
            super::capability::Capabilities::read(&reply);
        }
    }
    assert!(!is_refusal_code(input) || refuses(&[input, b" "].concat()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[(&str, u16, &[&str])] = &[
        ("220 mx.example ESMTP ready\r\n", 220, &["mx.example ESMTP ready"]),
        ("250\r\n", 250, &[""]),
        ("334 \r\n", 334, &[""]),
        ("354 go\r\n", 354, &["go"]),
        ("250-mx\r\n250-SIZE 10\r\n250 AUTH PLAIN\r\n", 250, &["mx", "SIZE 10", "AUTH PLAIN"]),
        ("250-mx\r\n250-\r\n250\r\n", 250, &["mx", "", ""]),
        ("554-5.7.1 no\r\n554 5.7.1 never\r\n", 554, &["5.7.1 no", "5.7.1 never"]),
    ];

    #[test]
    fn reads_each_reply() {
        for (text, code, lines) in GOOD {
            let reply = Reply { code: *code, whole: &text.as_bytes()[..text.len() - 2] };
            assert_eq!(parse(text.as_bytes()), Parsed::Whole(reply, text.len()), "{text:?}");
            assert!(reply.lines().eq(lines.iter().map(|line| line.as_bytes())));
            hold_for_any(text.as_bytes());
        }
    }

    #[test]
    fn asks_for_more_at_every_split() {
        for (text, ..) in GOOD {
            for cut in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..cut]), Parsed::More, "{text:?} at {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach() {
        for (text, error) in [
            ("* OK IMAP4 ready\r\n", Error::NoReply),
            ("+OK\r\n", Error::NoReply),
            ("\r\n", Error::NoReply),
            ("25 x\r\n", Error::NoReply),
            ("150 x\r\n", Error::NoReply),
            ("650 x\r\n", Error::NoReply),
            ("2500\r\n", Error::NoReply),
            ("250-a\r\nb\r\n", Error::NoReply),
            ("250-a\r\n550 b\r\n", Error::Codes),
            ("250 a\n", Error::Control),
            ("250 a\rb\r\n", Error::Control),
            ("250 a\0b\r\n", Error::Control),
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Broken(error, text.len()), "{text:?}");
        }
    }

    #[test]
    fn a_reply_is_bounded_in_bytes_and_in_lines() {
        let long = [b'2'; MAX_REPLY + 9];
        assert_eq!(parse(&long), Parsed::Broken(Error::TooLong, MAX_REPLY));
        let many = "250-x\r\n".repeat(MAX_LINES);
        assert_eq!(parse(many.as_bytes()), Parsed::Broken(Error::TooLong, many.len()));
        let fits = "250-x\r\n".repeat(MAX_LINES - 1) + "250 x\r\n";
        assert!(matches!(parse(fits.as_bytes()), Parsed::Whole(..)));
    }

    #[test]
    fn several_lines_become_one() {
        for (text, want) in [
            ("535 5.7.8 no\r\n", "535 5.7.8 no"),
            ("554-5.7.1 no\r\n554 5.7.1 never\r\n", "554 5.7.1 no never"),
            ("554-5.7.1 no\r\n554 5.7.2 never\r\n", "554 5.7.1 no 5.7.2 never"),
            ("550-no\r\n550-\r\n550 never\r\n", "550 no never"),
            ("550\r\n", "550"),
        ] {
            let Parsed::Whole(reply, _) = parse(text.as_bytes()) else { panic!("{text:?}") };
            assert_eq!(reply.one_line(), want.as_bytes());
        }
    }

    #[test]
    fn codes_are_told_from_words() {
        for (text, is_code, refuses_it) in [
            ("535 5.7.8", true, true),
            ("451", true, false),
            ("535 5.7.8 no", false, true),
            ("535 no", false, true),
            ("535 5.7", false, true),
            ("535 9.7.8", false, true),
            ("535 5.7.1234", false, true),
            ("535-5.7.8", false, false),
            ("250 2.0.0", false, false),
            ("5350", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_refusal_code(text.as_bytes()), is_code, "{text:?}");
            assert_eq!(refuses(text.as_bytes()), refuses_it, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
            for word in ["250 ", "250-", "535 5.7."] {
                hold_for_any(&[word.as_bytes(), &input, b"\r\n250 5.7.8 x\r\n"].concat());
            }
        }

        #[test]
        fn holds_for_any_lines(input in "((250|535)[- ]?[ .0-9A-Z=]{0,9}\r?\n){0,5}") {
            hold_for_any(input.as_bytes());
        }
    }
}
