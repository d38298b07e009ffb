//! Commands that a client may give before it has logged in.
//!
//! Reads a whole command as the front has gathered it: all its fragments, literals in place,
//! without the last CRLF.

use super::args::{Args, Astring, Error};
use super::id;

/// The longest tag that is answered. nginx takes 32 bytes; clients stay well under either.
pub const MAX_TAG: usize = 64;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Capability,
    Noop,
    Logout,
    StartTls,
    Login {
        user: Astring<'a>,
        password: Astring<'a>,
    },
    /// The initial response is base64 text, `=` for an empty one (RFC 4959 §3).
    Authenticate {
        mechanism: &'a [u8],
        initial: Option<Initial<'a>>,
    },
    Id(Vec<id::Pair<'a>>),
    /// A command that has no place before login, or none at all.
    Other(&'a [u8]),
}

/// A SASL initial response as it was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Initial<'a>(pub &'a [u8]);

impl std::fmt::Debug for Initial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Initial({} bytes)", self.0.len()) // it holds a password
    }
}

/// Splits the tag off the front of a command. `None`: it has none that could be answered.
///
/// RFC 9051 §9: a tag is of ASTRING-CHARs without `+`.
pub fn tag(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = input.iter().take(MAX_TAG + 1).take_while(|byte| is_tag_char(**byte)).count();
    let (tag, rest) = input.split_at(length);
    let fits = (1..=MAX_TAG).contains(&length) && matches!(rest.first(), None | Some(b' '));
    fits.then_some((tag, rest))
}

fn is_tag_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(&byte)
}

/// The name of the command in `rest`, which is what follows the tag, and what follows the name.
pub fn name(rest: &[u8]) -> (&[u8], &[u8]) {
    let rest = rest.trim_ascii_start();
    rest.split_at(rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len()))
}

/// Reads the command in `rest`, which is what follows the tag.
pub fn parse(rest: &[u8]) -> Result<Command<'_>, Error> {
    let (name, rest) = name(rest);
    let mut args = Args::new(rest);
    let command = match name.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" => Command::Capability,
        b"NOOP" => Command::Noop,
        b"LOGOUT" => Command::Logout,
        b"STARTTLS" => Command::StartTls,
        b"LOGIN" => {
            args.blank()?;
            let user = args.astring()?.one_line()?;
            args.blank()?;
            let password = args.astring()?.one_line()?;
            Command::Login { user, password }
        }
        b"AUTHENTICATE" => {
            args.blank()?;
            let mechanism = args.atom()?;
            let initial = match args.is_empty() {
                true => None,
                false => {
                    args.blank()?;
                    Some(Initial(args.atom()?))
                }
            };
            Command::Authenticate { mechanism, initial }
        }
        b"ID" => Command::Id(id::parse(&mut args)?),
        // Its arguments are not ours to read.
        _ => return Ok(Command::Other(name)),
    };
    args.end()?;
    Ok(command)
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Some((tag, rest)) = tag(input) else { return };
    assert!((1..=MAX_TAG).contains(&tag.len()) && tag.iter().all(u8::is_ascii_graphic));
    assert_eq!([tag, rest].concat(), input);
    if let Ok(Command::Login { user, password }) = parse(rest) {
        for field in [user, password] {
            assert!(!field.to_vec().iter().any(|byte| b"\r\n\0".contains(byte)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_command() {
        use Astring::{Plain, Quoted};
        let login = |user, password| Command::Login { user, password };
        let authenticate = |mechanism, initial: Option<&'static [u8]>| Command::Authenticate {
            mechanism,
            initial: initial.map(Initial),
        };
        for (line, want) in [
            ("a CAPABILITY", Command::Capability),
            ("a capability  ", Command::Capability),
            ("a  NOOP", Command::Noop),
            ("a Logout", Command::Logout),
            ("a STARTTLS", Command::StartTls),
            ("a LOGIN mrose tanstaaf", login(Plain(b"mrose"), Plain(b"tanstaaf"))),
            ("a LOGIN \"m r\" \"\"", login(Quoted(b"m r"), Quoted(b""))),
            ("a LOGIN {3}\r\nm r {2+}\r\n\"x", login(Plain(b"m r"), Plain(b"\"x"))),
            ("a LOGIN mrose {3}\r\na\tb", login(Plain(b"mrose"), Plain(b"a\tb"))),
            ("a AUTHENTICATE PLAIN", authenticate(b"PLAIN", None)),
            ("a AUTHENTICATE plain AGEAYg==", authenticate(b"plain", Some(b"AGEAYg=="))),
            ("a AUTHENTICATE PLAIN =", authenticate(b"PLAIN", Some(b"="))),
            ("a ID NIL", Command::Id(Vec::new())),
            ("a ID (\"os\" NIL)", Command::Id(vec![(Quoted(b"os"), None)])),
            ("a SELECT INBOX", Command::Other(b"SELECT")),
            ("a", Command::Other(b"")),
            ("a ", Command::Other(b"")),
        ] {
            let (tag, rest) = tag(line.as_bytes()).unwrap();
            assert_eq!((tag, parse(rest)), (&b"a"[..], Ok(want)), "{line:?}");
        }
    }

    #[test]
    fn names_what_is_wrong_with_the_arguments() {
        for (line, want) in [
            ("a NOOP now", Error::TooMany),
            ("a LOGIN", Error::Missing),
            ("a LOGIN mrose", Error::Missing),
            ("a LOGIN mrose tanstaaf more", Error::TooMany),
            ("a LOGIN \"mrose\"tanstaaf", Error::Malformed),
            ("a LOGIN {3}\r\nm\r\n x", Error::Control),
            ("a LOGIN m {3}\r\na\0b", Error::Control),
            ("a LOGIN m {3}\r\na\nb", Error::Control),
            ("a LOGIN {9}\r\nm", Error::Malformed),
            ("a AUTHENTICATE", Error::Missing),
            ("a AUTHENTICATE PLAIN AA== more", Error::TooMany),
            ("a AUTHENTICATE \"PLAIN\"", Error::Malformed),
            ("a ID", Error::Missing),
        ] {
            let (_, rest) = tag(line.as_bytes()).unwrap();
            assert_eq!(parse(rest), Err(want), "{line:?}");
        }
    }

    #[test]
    fn a_tag_is_what_can_be_answered() {
        let longest = "t".repeat(MAX_TAG);
        for good in ["a", "A001", "1.2-3_4", "[x]", longest.as_str()] {
            let line = format!("{good} NOOP");
            assert_eq!(tag(line.as_bytes()), Some((good.as_bytes(), &b" NOOP"[..])), "{good}");
        }
        let too_long = "t".repeat(MAX_TAG + 1);
        for bad in ["", "*", "+", "a+b", "(a)", "a\"", "a\\", "{3}", "m\u{fc}", "a\tb", &too_long] {
            assert_eq!(tag(format!("{bad} NOOP").as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_command_does_not_print_its_secrets() {
        for line in [" LOGIN mrose tanstaaf", " AUTHENTICATE PLAIN tanstaaf"] {
            assert!(!format!("{:?}", parse(line.as_bytes())).contains("tanstaaf"), "{line}");
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_commands(
            input in "a (LOGIN|ID|AUTHENTICATE)( [a-c{}()+0-3\"\\\\\r\n\0]{0,8}){0,3}",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
