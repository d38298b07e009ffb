//! What a server says first: whether it is a greeting. Pure.

use super::probe::Kind;

/// What may come before the greeting is whole: ManageSieve lists its capabilities first.
pub const LONGEST: usize = 16 * 1024;

/// What the bytes so far mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    More,
    Greeted,
    /// It speaks the protocol, and wants nobody.
    Declined,
    /// It speaks something else.
    Odd,
}

/// Reads the beginning of what a server said.
pub fn read(kind: Kind, bytes: &[u8]) -> Heard {
    if kind == Kind::Tcp {
        return Heard::Greeted;
    }
    let mut rest = &bytes[..bytes.len().min(LONGEST)];
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        match of_line(kind, line.strip_suffix(b"\r").unwrap_or(line)) {
            Heard::More => {}
            heard => return heard,
        }
    }
    if bytes.len() > LONGEST { Heard::Odd } else { Heard::More }
}

fn of_line(kind: Kind, line: &[u8]) -> Heard {
    let begins = |with: &str| {
        let (with, rest) = (with.as_bytes(), line.get(with.len()));
        line.len() >= with.len()
            && line[..with.len()].eq_ignore_ascii_case(with)
            && matches!(rest, None | Some(b' ' | b'('))
    };
    match kind {
        Kind::Imap if begins("* OK") || begins("* PREAUTH") => Heard::Greeted,
        Kind::Imap if begins("* BYE") => Heard::Declined,
        Kind::Pop3 if begins("+OK") => Heard::Greeted,
        Kind::Pop3 if begins("-ERR") => Heard::Declined,
        Kind::Smtp | Kind::Lmtp => match line {
            [b'2', b'0'..=b'9', b'0'..=b'9'] | [b'2', b'0'..=b'9', b'0'..=b'9', b' ', ..] => {
                Heard::Greeted
            }
            // RFC 5321 §4.2.1: the last line alone has a space.
            [b'2', b'0'..=b'9', b'0'..=b'9', b'-', ..] => Heard::More,
            [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', ..] => Heard::Declined,
            _ => Heard::Odd,
        },
        // RFC 5804 §1.7: capabilities, each a string first, then the response.
        Kind::Sieve if begins("OK") => Heard::Greeted,
        Kind::Sieve if begins("NO") || begins("BYE") => Heard::Declined,
        Kind::Sieve if line.first() == Some(&b'"') => Heard::More,
        _ => Heard::Odd,
    }
}

/// What is said before we go.
pub fn goodbye(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Imap => b"a LOGOUT\r\n",
        Kind::Pop3 | Kind::Smtp | Kind::Lmtp => b"QUIT\r\n",
        Kind::Sieve => b"LOGOUT\r\n",
        Kind::Tcp => b"",
    }
}

/// What must hold for anything that a server says.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let input = &input[..input.len().min(512)];
    for kind in Kind::ALL {
        let whole = read(kind, input);
        // Once it is known it stays so, however much comes behind it.
        let known = (0..=input.len()).find(|end| read(kind, &input[..*end]) != Heard::More);
        if let Some(end) = known {
            assert_eq!(read(kind, &input[..end]), whole);
        } else {
            assert_eq!(whole, Heard::More);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_greeting_is_told_from_what_is_none() {
        for (kind, text, want) in [
            (Kind::Imap, "* OK [CAPABILITY IMAP4rev1] ready\r\n", Heard::Greeted),
            (Kind::Imap, "* PREAUTH in\r\n", Heard::Greeted),
            (Kind::Imap, "* BYE overloaded\r\n", Heard::Declined),
            (Kind::Imap, "* OKAY\r\n", Heard::Odd),
            (Kind::Imap, "* OK rea", Heard::More),
            (Kind::Imap, "HTTP/1.1 400 Bad Request\r\n", Heard::Odd),
            (Kind::Pop3, "+OK <1@h>\n", Heard::Greeted),
            (Kind::Pop3, "-ERR no\r\n", Heard::Declined),
            (Kind::Smtp, "220-a\r\n220 b\r\n", Heard::Greeted),
            (Kind::Smtp, "220\r\n", Heard::Greeted),
            (Kind::Smtp, "220-a\r\n", Heard::More),
            (Kind::Smtp, "554 no\r\n", Heard::Declined),
            (Kind::Lmtp, "421 4.3.2 no\r\n", Heard::Declined),
            (
                Kind::Sieve,
                "\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\nOK \"x\"\r\n",
                Heard::Greeted,
            ),
            (Kind::Sieve, "\"SIEVE\" \"fileinto\"\r\n", Heard::More),
            (Kind::Sieve, "BYE \"no\"\r\n", Heard::Declined),
            (Kind::Tcp, "", Heard::Greeted),
            (Kind::Imap, "", Heard::More),
        ] {
            assert_eq!(read(kind, text.as_bytes()), want, "{kind:?} {text:?}");
        }
        assert_eq!(read(Kind::Imap, &vec![b'x'; LONGEST + 1]), Heard::Odd);
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_is_understood_once(
            input in "((\\* OK|220-|220|\"SIEVE\"|\\+OK|BYE| |x|\r\n|\n){0,9})",
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            hold_for_any(input.as_bytes());
            hold_for_any(&noise);
        }
    }
}
