//! What an upstream answers: status lines, and the lines of a listing.

use crate::wire::Parsed;

/// The longest line that we read. RFC 2449 §4 allows 512 octets, some servers a little more.
pub const MAX_LINE: usize = 1024;

/// One status line; the text is what follows the indicator and one blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `+OK`
    Ok(&'a [u8]),
    /// `-ERR`
    Err(&'a [u8]),
    /// `+ `, a challenge within AUTH (RFC 5034 §4).
    Continue(&'a [u8]),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("line too long")]
    TooLong,
    #[error("CR, LF or NUL within a line")]
    Control,
    #[error("no POP3 reply")]
    NoReply,
}

/// Reads the status line at the front of `input`.
pub fn parse(input: &[u8]) -> Parsed<Reply<'_>, Error> {
    match line(input) {
        Parsed::More => Parsed::More,
        Parsed::Broken(error, used) => Parsed::Broken(error, used),
        Parsed::Whole(text, used) => {
            let after = |word: &[u8]| match text.strip_prefix(word)? {
                b"" => Some(&b""[..]),
                [b' ', rest @ ..] => Some(rest),
                _ => None,
            };
            let reply = after(b"+OK")
                .map(Reply::Ok)
                .or_else(|| after(b"-ERR").map(Reply::Err))
                .or_else(|| after(b"+").map(Reply::Continue));
            match reply {
                Some(reply) => Parsed::Whole(reply, used),
                None => Parsed::Broken(Error::NoReply, used),
            }
        }
    }
}

/// Reads one line of a multi-line reply, its stuffed dot undone; `None` is the dot that ends it
/// (RFC 1939 §3).
pub fn listed(input: &[u8]) -> Parsed<Option<&[u8]>, Error> {
    match line(input) {
        Parsed::More => Parsed::More,
        Parsed::Broken(error, used) => Parsed::Broken(error, used),
        Parsed::Whole(b".", used) => Parsed::Whole(None, used),
        Parsed::Whole(text, used) => {
            Parsed::Whole(Some(text.strip_prefix(b".").unwrap_or(text)), used)
        }
    }
}

fn line(input: &[u8]) -> Parsed<&[u8], Error> {
    let window = &input[..input.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match input.len() {
            MAX_LINE.. => Parsed::Broken(Error::TooLong, MAX_LINE),
            _ => Parsed::More,
        };
    };
    match input[..end].strip_suffix(b"\r") {
        Some(text) if !text.iter().any(|byte| matches!(byte, b'\r' | 0)) => {
            Parsed::Whole(text, end + 1)
        }
        _ => Parsed::Broken(Error::Control, end + 1),
    }
}

/// The response code that `text` begins with, without its brackets (RFC 2449 §8).
pub fn code(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"[")?;
    let end = rest.iter().position(|byte| *byte == b']')?;
    let code = &rest[..end];
    let printable = code.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'[');
    (!code.is_empty() && printable).then_some(code)
}

/// What an upstream can do, of what matters before a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub user: bool,
    pub plain: bool,
    pub xoauth2: bool,
    pub oauthbearer: bool,
    pub stls: bool,
    pub pipelining: bool,
    pub xclient: bool,
    pub xoip: bool,
}

impl Capabilities {
    /// Takes note of one line of a CAPA listing. Keywords are case-insensitive (RFC 2449 §3).
    pub fn note(&mut self, line: &[u8]) {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        match words.next().unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"USER" => self.user = true,
            b"SASL" => words.for_each(|word| match word.to_ascii_uppercase().as_slice() {
                b"PLAIN" => self.plain = true,
                b"XOAUTH2" => self.xoauth2 = true,
                b"OAUTHBEARER" => self.oauthbearer = true,
                _ => {}
            }),
            b"STLS" => self.stls = true,
            b"PIPELINING" => self.pipelining = true,
            b"XCLIENT" => self.xclient = true,
            b"XOIP" => self.xoip = true,
            _ => {}
        }
    }
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match parse(input) {
        Parsed::More => assert!(input.len() < MAX_LINE, "more bytes cannot help"),
        Parsed::Broken(_, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(reply, used) => {
            assert_eq!(parse(&input[..used]), Parsed::Whole(reply, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
            let (Reply::Ok(text) | Reply::Err(text) | Reply::Continue(text)) = reply;
            assert!(!text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            assert!(code(text).is_none_or(|code| code.len() + 2 <= text.len()));
        }
    }
    if let Parsed::Whole(Some(line), _) = listed(input) {
        Capabilities::default().note(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[(&str, Reply<'static>)] = &[
        ("+OK\r\n", Reply::Ok(b"")),
        ("+OK \r\n", Reply::Ok(b"")),
        ("+OK [XCLIENT] Dovecot ready.\r\n", Reply::Ok(b"[XCLIENT] Dovecot ready.")),
        ("-ERR\r\n", Reply::Err(b"")),
        ("-ERR [AUTH] no\r\n", Reply::Err(b"[AUTH] no")),
        ("+ \r\n", Reply::Continue(b"")),
        ("+\r\n", Reply::Continue(b"")),
        ("+ VXNlcm5hbWU6\r\n", Reply::Continue(b"VXNlcm5hbWU6")),
    ];

    #[test]
    fn reads_each_reply() {
        for (line, want) in GOOD {
            assert_eq!(parse(line.as_bytes()), Parsed::Whole(*want, line.len()), "{line:?}");
            hold_for_any(line.as_bytes());
        }
    }

    #[test]
    fn asks_for_more_at_every_split() {
        for (line, _) in GOOD {
            for cut in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut]), Parsed::More, "{line:?} at {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach() {
        for (line, error) in [
            ("* OK IMAP4 ready\r\n", Error::NoReply),
            ("220 smtp\r\n", Error::NoReply),
            ("+OKAY\r\n", Error::NoReply),
            ("-ERRor\r\n", Error::NoReply),
            ("\r\n", Error::NoReply),
            ("+OK\n", Error::Control),
            ("+OK a\rb\r\n", Error::Control),
            ("+OK a\0b\r\n", Error::Control),
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Broken(error, line.len()), "{line:?}");
        }
        let long = [b'+'; MAX_LINE + 9];
        assert_eq!(parse(&long), Parsed::Broken(Error::TooLong, MAX_LINE));
    }

    #[test]
    fn a_listing_ends_with_its_dot() {
        assert_eq!(listed(b"SASL PLAIN\r\n."), Parsed::Whole(Some(&b"SASL PLAIN"[..]), 12));
        assert_eq!(listed(b".\r\n"), Parsed::Whole(None, 3));
        assert_eq!(listed(b"..x\r\n"), Parsed::Whole(Some(&b".x"[..]), 5));
        assert_eq!(listed(b"."), Parsed::More);
    }

    #[test]
    fn takes_note_of_what_matters() {
        let mut known = Capabilities::default();
        for line in
            ["TOP", "sasl LOGIN plain XOAuth2 OAUTHBEARER", "STLS", "XOIP", "EXPIRE 31 USER", ""]
        {
            known.note(line.as_bytes());
        }
        let sasl = Capabilities { plain: true, xoauth2: true, oauthbearer: true, ..known };
        assert_eq!(known, Capabilities { stls: true, xoip: true, ..sasl });
        assert!(!known.user && !known.pipelining && !known.xclient);
    }

    #[test]
    fn a_code_stands_first_and_in_brackets() {
        for (text, want) in [
            ("[AUTH] no", Some("AUTH")),
            ("[SYS/TEMP] later", Some("SYS/TEMP")),
            ("[IN-USE]", Some("IN-USE")),
            ("no [AUTH]", None),
            ("[] x", None),
            ("[AUTH", None),
            ("[a[b] x", None),
        ] {
            assert_eq!(code(text.as_bytes()), want.map(str::as_bytes), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
            for word in ["+OK ", "-ERR [", "+ ", "SASL "] {
                hold_for_any(&[word.as_bytes(), &input, b"\r\n"].concat());
            }
        }
    }
}
