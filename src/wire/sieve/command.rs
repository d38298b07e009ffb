//! What a client may say before it has logged in: commands, and answers to SASL challenges.

use super::args::{self, Args, Text, is_atom_char};
use super::line;
use crate::wire::Parsed;
use crate::wire::pop3::command::{Xclient, xclient};
use crate::wire::sasl::MAX_ENCODED;

/// The longest answer to a challenge: base64 in a string of either form, and CRLF.
pub const MAX_ANSWER: usize = MAX_ENCODED + 16;

/// The longest AUTHENTICATE with its initial response, whatever other commands are allowed.
pub const MAX_AUTHENTICATE: usize = MAX_ENCODED + 64;

/// No client is allowed less: the commands that anyone needs fit.
pub const MIN_LONGEST: usize = 64;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// RFC 5804 §2.1. The initial response is base64; an empty string is an empty one.
    Authenticate {
        mechanism: &'a [u8],
        initial: Option<Answer<'a>>,
    },
    Capability,
    Logout,
    /// RFC 5804 §2.13. With a string, that is sent back.
    Noop(Option<Text<'a>>),
    StartTls,
    /// Dovecot's: what a proxy in front of us says of its client. The attributes are POP3's.
    Xclient(Xclient),
    /// A command that has no place before login, or none at all.
    Other(&'a [u8]),
}

/// The base64 text of a SASL message, or `*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a>(pub &'a [u8]);

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} bytes)", self.0.len()) // it holds a password
    }
}

/// How a client broke the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Line(#[from] line::Error),
    #[error(transparent)]
    Args(#[from] args::Error),
}

impl Error {
    /// Where the next command begins cannot be told.
    pub fn is_out_of_step(&self) -> bool {
        matches!(self, Self::Line(line::Error::TooLong | line::Error::OutOfStep))
    }
}

/// Reads the command at the front of `input`, `longest` bytes at most with its literals.
pub fn parse(input: &[u8], longest: usize) -> Parsed<Command<'_>, Error> {
    const NAME: &[u8] = b"AUTHENTICATE ";
    let longest = longest.max(MIN_LONGEST);
    let may_be_longer = input.get(..NAME.len()).is_some_and(|it| it.eq_ignore_ascii_case(NAME));
    let longest = if may_be_longer { longest.max(MAX_AUTHENTICATE) } else { longest };
    whole(line::cut(input, longest), read)
}

/// Reads an answer to a challenge at the front of `input`, which is no command.
pub fn answer(input: &[u8]) -> Parsed<Answer<'_>, Error> {
    whole(line::cut(input, MAX_ANSWER), |line| {
        // RFC 5804 §2.1 wants it in quotes; there is nothing else that it could mean.
        if line.trim_ascii() == b"*" {
            return Ok(Answer(b"*"));
        }
        let mut args = Args::new(line);
        let text = message(&mut args)?;
        args.end()?;
        Ok(text)
    })
}

fn whole<'a, T>(
    parsed: Parsed<&'a [u8], line::Error>,
    read: impl FnOnce(&'a [u8]) -> Result<T, args::Error>,
) -> Parsed<T, Error> {
    match parsed {
        Parsed::More => Parsed::More,
        Parsed::Broken(error, used) => Parsed::Broken(error.into(), used),
        Parsed::Whole(line, used) => match read(line) {
            Ok(element) => Parsed::Whole(element, used),
            Err(error) => Parsed::Broken(error.into(), used),
        },
    }
}

fn read(line: &[u8]) -> Result<Command<'_>, args::Error> {
    let (name, rest) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(line.len()));
    let mut args = Args::new(rest);
    let command = match name.to_ascii_uppercase().as_slice() {
        b"AUTHENTICATE" => {
            args.another()?;
            let mechanism = match args.peek() {
                Some(b'"' | b'{') => args.string()?.plain().ok_or(args::Error::Malformed)?,
                _ => args.atom()?,
            };
            let initial = args.blank()?.then(|| message(&mut args)).transpose()?;
            Command::Authenticate { mechanism, initial }
        }
        b"CAPABILITY" => Command::Capability,
        b"LOGOUT" => Command::Logout,
        b"NOOP" => Command::Noop(args.blank()?.then(|| args.string()).transpose()?),
        b"STARTTLS" => Command::StartTls,
        b"XCLIENT" => {
            let are_atoms = rest.iter().all(|byte| *byte == b' ' || is_atom_char(*byte));
            let said = are_atoms.then(|| xclient(rest)).flatten();
            return said.map(Command::Xclient).ok_or(args::Error::Malformed);
        }
        // Its arguments are not ours to read.
        _ => return Ok(Command::Other(name)),
    };
    args.end()?;
    Ok(command)
}

/// A string whose bytes are base64, or `*`: nothing in it is escaped.
fn message<'a>(args: &mut Args<'a>) -> Result<Answer<'a>, args::Error> {
    args.string()?.plain().map(Answer).ok_or(args::Error::Malformed)
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    for longest in [0, 8192] {
        match parse(input, longest) {
            Parsed::More => assert!(input.len() < MAX_AUTHENTICATE, "more bytes cannot help"),
            Parsed::Broken(error, used) => {
                assert!((1..=input.len()).contains(&used));
                assert_eq!(parse(&input[..used], longest), Parsed::Broken(error, used));
                assert_eq!(parse(&input[..used - 1], longest), Parsed::More);
            }
            Parsed::Whole(command, used) => {
                assert_eq!(parse(&input[..used], longest), Parsed::Whole(command, used));
                assert_eq!(parse(&input[..used - 1], longest), Parsed::More);
            }
        }
    }
    match answer(input) {
        Parsed::More => assert!(input.len() < MAX_ANSWER, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(answer(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(answer(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(text, used) => {
            assert!(text.0.len() + 2 <= used && used <= MAX_ANSWER);
            assert_eq!(answer(&input[..used - 1]), Parsed::More);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn authenticate<'a>(mechanism: &'a str, initial: Option<&'a str>) -> Command<'a> {
        let initial = initial.map(|text| Answer(text.as_bytes()));
        Command::Authenticate { mechanism: mechanism.as_bytes(), initial }
    }

    #[test]
    fn reads_each_command() {
        use Text::{Literal, Quoted};
        let told = Xclient {
            addr: Some("192.0.2.1".parse().unwrap()),
            port: Some(4711),
            session: Some("7L0C3/+2Bc".to_owned()),
            ttl: Some(5),
        };
        for (line, want) in [
            ("CAPABILITY", Command::Capability),
            ("capability ", Command::Capability),
            ("StartTLS", Command::StartTls),
            ("LOGOUT", Command::Logout),
            ("NOOP", Command::Noop(None)),
            ("NOOP  ", Command::Noop(None)),
            ("NOOP \"STARTTLS-SYNC-42\"", Command::Noop(Some(Quoted(b"STARTTLS-SYNC-42")))),
            ("noop {4+}\r\n\"\r\n\"", Command::Noop(Some(Literal(b"\"\r\n\"")))),
            ("AUTHENTICATE \"PLAIN\"", authenticate("PLAIN", None)),
            ("Authenticate \"PLAIN\" \"AGEAYg==\"", authenticate("PLAIN", Some("AGEAYg=="))),
            ("AUTHENTICATE \"EXTERNAL\" \"\"", authenticate("EXTERNAL", Some(""))),
            (
                "AUTHENTICATE {5+}\r\nPLAIN {8+}\r\nAGEAYg==",
                authenticate("PLAIN", Some("AGEAYg==")),
            ),
            ("AUTHENTICATE \"PLAIN\" {8}\r\nAGEAYg==", authenticate("PLAIN", Some("AGEAYg=="))),
            ("AUTHENTICATE PLAIN \"\"", authenticate("PLAIN", Some(""))),
            ("XCLIENT ADDR=192.0.2.1 PORT=4711 SESSION=7L0C3/+2Bc TTL=5", Command::Xclient(told)),
            ("XCLIENT CLIENT-TRANSPORT=TLS FORWARD=eD15", Command::Xclient(Xclient::default())),
            ("XCLIENT", Command::Xclient(Xclient::default())),
            ("PUTSCRIPT \"x\" {6+}\r\nkeep;\n", Command::Other(b"PUTSCRIPT")),
            ("", Command::Other(b"")),
            (" NOOP", Command::Other(b"")),
            ("a001 LOGIN mrose", Command::Other(b"a001")),
        ] {
            let input = format!("{line}\r\n");
            assert_eq!(parse(input.as_bytes(), 8192), Parsed::Whole(want, input.len()), "{line:?}");
            hold_for_any(input.as_bytes());
            for cut in 0..input.len() {
                assert_eq!(parse(&input.as_bytes()[..cut], 8192), Parsed::More, "{line:?} {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach() {
        use args::Error::{Malformed, Missing, TooMany};
        for (line, want) in [
            ("CAPABILITY x", TooMany),
            ("LOGOUT \"now\"", TooMany),
            ("NOOP x", Malformed),
            ("NOOP \"x", Malformed),
            ("NOOP \"x\" \"y\"", TooMany),
            ("AUTHENTICATE", Missing),
            ("AUTHENTICATE ", Missing),
            ("AUTHENTICATE \"PLAIN", Malformed),
            ("AUTHENTICATE \"PL\\AIN\"", Malformed),
            ("AUTHENTICATE \"PLAIN\"\"\"", Malformed),
            ("AUTHENTICATE \"PLAIN\" AGEAYg==", Malformed),
            ("AUTHENTICATE \"PLAIN\" \"AG\\\"E\"", Malformed),
            ("AUTHENTICATE \"PLAIN\" \"\" \"\"", TooMany),
            ("XCLIENT ADDR=mail.example.com", Malformed),
            ("XCLIENT \"ADDR=192.0.2.1\"", Malformed),
        ] {
            let input = format!("{line}\r\n");
            let want = Parsed::Broken(want.into(), input.len());
            assert_eq!(parse(input.as_bytes(), 8192), want, "{line:?}");
        }
    }

    #[test]
    fn answers_are_strings() {
        for (line, want) in [
            ("\"AGEAYg==\"", "AGEAYg=="),
            ("{8+}\r\nAGEAYg==", "AGEAYg=="),
            ("{0+}\r\n", ""),
            ("\"\"", ""),
            ("\"*\"", "*"),
            ("{1+}\r\n*", "*"),
            ("*", "*"),
        ] {
            let input = format!("{line}\r\nNOOP\r\n");
            let want = Parsed::Whole(Answer(want.as_bytes()), line.len() + 2);
            assert_eq!(answer(input.as_bytes()), want, "{line:?}");
        }
        for line in ["", "AGEAYg==", "NOOP", "\"a\" \"b\"", "\"a\\b\"", "\"a"] {
            let input = format!("{line}\r\n");
            assert!(
                matches!(answer(input.as_bytes()), Parsed::Broken(Error::Args(_), _)),
                "{line}"
            );
        }
    }

    #[test]
    fn only_authenticate_may_be_longer_than_others() {
        let long = "x".repeat(MAX_ENCODED);
        let input = format!("AUTHENTICATE \"PLAIN\" \"{long}\"\r\n");
        assert!(matches!(parse(input.as_bytes(), 0), Parsed::Whole(..)));
        let input = format!("NOOP \"{long}\"\r\n");
        let too_long = Parsed::Broken(line::Error::TooLong.into(), MIN_LONGEST);
        assert_eq!(parse(input.as_bytes(), 0), too_long);
        let input = format!("\"{long}xxxxxxxxxxxxxxxx\"\r\n");
        let too_long = Parsed::Broken(line::Error::TooLong.into(), MAX_ANSWER);
        assert_eq!(answer(input.as_bytes()), too_long);
    }

    #[test]
    fn a_command_does_not_print_its_secrets() {
        let shown = format!("{:?}", parse(b"AUTHENTICATE \"PLAIN\" \"tanstaaf\"\r\n", 8192));
        assert!(shown.contains("Answer(8 bytes)") && !shown.contains("tanstaaf"), "{shown}");
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_commands(
            input in "((AUTHENTICATE|NOOP|XCLIENT|X|)( \"[a*\\\\]{0,4}\"| \\{[0-9]\\+?\\}\r\n[a\r\n\0]{0,9}| TTL=[0-9]{0,4}){0,3}\r\n){1,3}",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
