//! One command line, as a client sends it before it is let in.

use std::fmt;

use super::path;
use super::xclient::Xclient;
use crate::wire::sasl::MAX_ENCODED;
use crate::wire::{Parsed, line};

/// RFC 5321 §4.5.3.1.4: 512 octets, the CRLF included. Extensions ask for more, so a caller may too.
pub const MAX_LINE: usize = 512;

/// The most that a caller may ask for.
pub const MOST_LINE: usize = 65_536;

/// An AUTH line with its initial response. RFC 4954 §4 keeps these to [`MAX_LINE`] too, but clients
/// send their tokens at once all the same.
pub const MAX_AUTH_LINE: usize = MAX_ENCODED + 64;

/// An answer within an AUTH exchange: base64 and CRLF.
pub const MAX_ANSWER_LINE: usize = MAX_ENCODED + 2;

/// RFC 5321 §4.5.3.1.2: the longest name behind HELO.
pub const MAX_NAME: usize = 255;

/// What a client may say before it is let in.
#[derive(Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// The names are graphic ASCII, at most [`MAX_NAME`] of it: whatever a client makes up for a
    /// name ends up in logs, headers and the upstream's HELO.
    Helo(&'a str),
    Ehlo(&'a str),
    /// RFC 2033 §4.1.
    Lhlo(&'a str),
    /// RFC 4954 §4.
    Auth {
        mechanism: &'a [u8],
        initial: Option<&'a [u8]>,
    },
    /// The whole line without CRLF, its shape known to fit.
    Mail(&'a [u8]),
    Rcpt(&'a [u8]),
    Rset,
    Noop,
    Quit,
    /// RFC 3207 §4.
    StartTls,
    /// Postfix's: what a proxy in front of us says of its client.
    Xclient(Xclient),
    /// Any other keyword.
    Other(&'a [u8]),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rest of the line is still to come.
    #[error("line too long")]
    TooLong,
    /// The client's lines end otherwise than ours; where the next begins is anyone's guess.
    #[error("line without CR before its LF")]
    BareLf,
    #[error("control byte in a line")]
    Control,
    #[error("invalid argument to {0}")]
    Argument(&'static str),
}

/// Reads the command at the front of `input`, of at most `longest` bytes: no less than [`MAX_LINE`],
/// no more than [`MOST_LINE`].
pub fn parse(input: &[u8], longest: usize) -> Parsed<Command<'_>, Error> {
    let longest = longest.clamp(MAX_LINE, MOST_LINE);
    let longest = match input.get(..5) {
        Some(start) if start.eq_ignore_ascii_case(b"AUTH ") => longest.max(MAX_AUTH_LINE),
        _ => longest,
    };
    match line::cut(input, longest) {
        Parsed::More => Parsed::More,
        Parsed::Broken(error, used) => Parsed::Broken(error, used),
        Parsed::Whole(text, used) => match read(text) {
            Ok(command) => Parsed::Whole(command, used),
            Err(error) => Parsed::Broken(error, used),
        },
    }
}

/// Reads one answer of an AUTH exchange, which is no command: base64, or `*`.
pub fn answer(input: &[u8]) -> Parsed<&[u8], Error> {
    line::cut(input, MAX_ANSWER_LINE)
}

impl From<line::Breach> for Error {
    fn from(breach: line::Breach) -> Self {
        match breach {
            line::Breach::TooLong => Self::TooLong,
            line::Breach::BareLf => Self::BareLf,
            line::Breach::Control => Self::Control,
        }
    }
}

fn read(line: &[u8]) -> Result<Command<'_>, Error> {
    let (keyword, argument) = match line.iter().position(|byte| *byte == b' ') {
        Some(blank) => (&line[..blank], &line[blank + 1..]),
        None => (line, &b""[..]),
    };
    let is_whole = |fits: bool, keyword| if fits { Ok(()) } else { Err(Error::Argument(keyword)) };
    Ok(match keyword.to_ascii_uppercase().as_slice() {
        b"HELO" => Command::Helo(name(argument).ok_or(Error::Argument("HELO"))?),
        b"EHLO" => Command::Ehlo(name(argument).ok_or(Error::Argument("EHLO"))?),
        b"LHLO" => Command::Lhlo(name(argument).ok_or(Error::Argument("LHLO"))?),
        b"AUTH" => {
            let mut words = words(argument);
            match (words.next(), words.next(), words.next()) {
                (Some(mechanism), initial, None) => Command::Auth { mechanism, initial },
                _ => return Err(Error::Argument("AUTH")),
            }
        }
        b"MAIL" => {
            is_whole(path::fits(argument, b"FROM:"), "MAIL")?;
            Command::Mail(line)
        }
        b"RCPT" => {
            is_whole(path::fits(argument, b"TO:"), "RCPT")?;
            Command::Rcpt(line)
        }
        // RFC 5321 §4.1.1.9 lets NOOP have an argument, and nginx lets RSET and QUIT.
        b"RSET" => Command::Rset,
        b"NOOP" => Command::Noop,
        b"QUIT" => Command::Quit,
        b"STARTTLS" => {
            is_whole(argument.trim_ascii().is_empty(), "STARTTLS")?;
            Command::StartTls
        }
        b"XCLIENT" => Command::Xclient(Xclient::read(argument).ok_or(Error::Argument("XCLIENT"))?),
        _ => Command::Other(keyword),
    })
}

fn words(argument: &[u8]) -> impl Iterator<Item = &[u8]> {
    argument.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The one word behind HELO.
fn name(argument: &[u8]) -> Option<&str> {
    let mut words = words(argument);
    let (name, None) = (words.next()?, words.next()) else { return None };
    is_name(name).then(|| str::from_utf8(name).ok()).flatten()
}

/// Whether `name` can stand behind HELO: a domain, an address in brackets, or whatever a client has
/// made up for one, as long as it is one short word.
pub fn is_name(name: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

/// Only what may be shown: arguments of AUTH are not.
impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helo(name) => write!(f, "Helo({name})"),
            Self::Ehlo(name) => write!(f, "Ehlo({name})"),
            Self::Lhlo(name) => write!(f, "Lhlo({name})"),
            Self::Auth { .. } => f.write_str("Auth(..)"),
            Self::Mail(line) => write!(f, "Mail({})", line.escape_ascii()),
            Self::Rcpt(line) => write!(f, "Rcpt({})", line.escape_ascii()),
            Self::Rset => f.write_str("Rset"),
            Self::Noop => f.write_str("Noop"),
            Self::Quit => f.write_str("Quit"),
            Self::StartTls => f.write_str("StartTls"),
            Self::Xclient(said) => write!(f, "{said:?}"),
            Self::Other(keyword) => write!(f, "Other({})", keyword.escape_ascii()),
        }
    }
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let longest = MAX_LINE;
    match parse(input, longest) {
        Parsed::More => assert!(input.len() < MAX_AUTH_LINE, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used], longest), Parsed::Broken(error, used));
            assert_eq!(parse(&input[..used - 1], longest), Parsed::More);
        }
        Parsed::Whole(command, used) => {
            // Bytes after the command have no say in it.
            assert_eq!(parse(&input[..used], longest), Parsed::Whole(command.clone(), used));
            assert_eq!(parse(&input[..used - 1], longest), Parsed::More);
            assert_eq!(input[..used].iter().filter(|byte| byte.is_ascii_control()).count(), 2);
            match command {
                Command::Helo(name) | Command::Ehlo(name) | Command::Lhlo(name) => {
                    assert!(is_name(name.as_bytes()));
                }
                Command::Mail(line) | Command::Rcpt(line) => {
                    assert_eq!(line.len() + 2, used);
                    assert!(str::from_utf8(line).is_ok());
                }
                _ => {}
            }
        }
    }
    match answer(input) {
        Parsed::More => assert!(input.len() < MAX_ANSWER_LINE),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(answer(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(answer(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(line, used) => {
            assert_eq!(line.len() + 2, used);
            assert_eq!(answer(&input[..used - 1]), Parsed::More);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::smtp::xclient::Told;

    fn good() -> Vec<(&'static str, Command<'static>)> {
        let auth = |mechanism: &'static str, initial: Option<&'static str>| Command::Auth {
            mechanism: mechanism.as_bytes(),
            initial: initial.map(str::as_bytes),
        };
        vec![
            ("HELO client.example\r\n", Command::Helo("client.example")),
            ("ehlo [192.0.2.1]\r\n", Command::Ehlo("[192.0.2.1]")),
            ("EHLO  two_blanks \r\n", Command::Ehlo("two_blanks")),
            ("LHLO [IPv6:2001:db8::1]\r\n", Command::Lhlo("[IPv6:2001:db8::1]")),
            ("AUTH PLAIN\r\n", auth("PLAIN", None)),
            ("auth plain =\r\n", auth("plain", Some("="))),
            ("AUTH PLAIN AHUAcA==\r\n", auth("PLAIN", Some("AHUAcA=="))),
            ("MAIL FROM:<a@b> SIZE=10\r\n", Command::Mail(b"MAIL FROM:<a@b> SIZE=10")),
            ("mail from: <>\r\n", Command::Mail(b"mail from: <>")),
            ("RCPT TO:<c@d>\r\n", Command::Rcpt(b"RCPT TO:<c@d>")),
            ("RSET\r\n", Command::Rset),
            ("NOOP hello\r\n", Command::Noop),
            ("quit\r\n", Command::Quit),
            ("StartTLS\r\n", Command::StartTls),
            (
                "XCLIENT PORT=25\r\n",
                Command::Xclient(Xclient { port: Told::Is(25), ..Xclient::default() }),
            ),
            ("DATA\r\n", Command::Other(b"DATA")),
            ("BDAT 5 LAST\r\n", Command::Other(b"BDAT")),
            (" EHLO x\r\n", Command::Other(b"")),
            ("\r\n", Command::Other(b"")),
        ]
    }

    #[test]
    fn reads_each_command() {
        for (line, want) in good() {
            assert_eq!(parse(line.as_bytes(), 0), Parsed::Whole(want, line.len()), "{line:?}");
            hold_for_any(line.as_bytes());
        }
    }

    #[test]
    fn asks_for_more_at_every_split() {
        for (line, _) in good() {
            for cut in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut], 0), Parsed::More, "{line:?} at {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach() {
        let long = format!("EHLO {}\r\n", "x".repeat(MAX_NAME + 1));
        for (line, error) in [
            ("HELO\r\n", Error::Argument("HELO")),
            ("EHLO \r\n", Error::Argument("EHLO")),
            ("EHLO two names\r\n", Error::Argument("EHLO")),
            ("EHLO m\u{fc}ller\r\n", Error::Argument("EHLO")),
            (long.as_str(), Error::Argument("EHLO")),
            ("AUTH\r\n", Error::Argument("AUTH")),
            ("AUTH PLAIN a b\r\n", Error::Argument("AUTH")),
            ("MAIL\r\n", Error::Argument("MAIL")),
            ("MAIL TO:<a@b>\r\n", Error::Argument("MAIL")),
            ("RCPT TO:<a@b><c@d>\r\n", Error::Argument("RCPT")),
            ("STARTTLS now\r\n", Error::Argument("STARTTLS")),
            ("XCLIENT nonsense\r\n", Error::Argument("XCLIENT")),
            ("EHLO a\rMAIL FROM:<x>\r\n", Error::Control),
            ("EHLO a\tb\r\n", Error::Control),
            ("RCPT TO:<a\0@b>\r\n", Error::Control),
            ("MAIL FROM:<a@b>\n", Error::BareLf),
            ("\n", Error::BareLf),
        ] {
            assert_eq!(parse(line.as_bytes(), 0), Parsed::Broken(error, line.len()), "{line:?}");
        }
        // What follows the bare LF is not of this line, nor of the next.
        assert_eq!(parse(b"NOOP\nRSET\r\n", 0), Parsed::Broken(Error::BareLf, 5));
    }

    #[test]
    fn each_kind_of_line_has_its_length() {
        for (keyword, allowed, longest) in [
            ("NOOP ", 0, MAX_LINE),
            ("NOOP ", 4096, 4096),
            ("NOOP ", usize::MAX, MOST_LINE),
            ("Auth PLAIN ", 0, MAX_AUTH_LINE),
        ] {
            let fits = format!("{keyword}{}\r\n", "x".repeat(longest - 2 - keyword.len()));
            let parsed = parse(fits.as_bytes(), allowed);
            assert!(matches!(parsed, Parsed::Whole(_, used) if used == longest));
            let long = format!("{keyword}{}\r\n", "x".repeat(longest - 1 - keyword.len()));
            assert_eq!(parse(long.as_bytes(), allowed), Parsed::Broken(Error::TooLong, longest));
            assert_eq!(parse(&long.as_bytes()[..longest - 1], allowed), Parsed::More);
        }
        let long = "A".repeat(MAX_ANSWER_LINE);
        assert_eq!(answer(long.as_bytes()), Parsed::Broken(Error::TooLong, MAX_ANSWER_LINE));
    }

    #[test]
    fn no_password_is_printed() {
        assert!(!format!("{:?}", parse(b"AUTH PLAIN tanstaaf\r\n", 0)).contains("tanstaaf"));
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_any_line(which in 0..9usize, argument in "[ =:.<>\"\\\\A-Za-z0-9+\\[\u{fc}\\t]{0,40}") {
            let word = ["HELO", "EHLO", "AUTH", "MAIL FROM:", "RCPT TO:<", "XCLIENT ADDR=1.2.3.4",
                "XCLIENT NAME=", "STARTTLS", "NOOP"][which];
            for line in [format!("{word} {argument}\r\n"), format!("{word}{argument}\r\n")] {
                hold_for_any(line.as_bytes());
            }
        }
    }
}
