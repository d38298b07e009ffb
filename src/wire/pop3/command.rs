//! One command line, as a client sends it before it is let in.

use std::fmt;
use std::net::IpAddr;

use crate::wire::sasl::MAX_ENCODED;
use crate::wire::sasl::cram_md5::{self, CramMd5};
use crate::wire::{Parsed, line};

/// RFC 2449 §4: 255 octets, the CRLF included.
pub const MAX_LINE: usize = 255;

/// An XCLIENT line: what Dovecot allows itself, as it forwards more than an address.
pub const MAX_XCLIENT_LINE: usize = 1024;

/// An AUTH line with its initial response. RFC 5034 §4 keeps these to [`MAX_LINE`] too, but clients
/// send their tokens at once all the same.
pub const MAX_AUTH_LINE: usize = MAX_ENCODED + 64;

/// An answer within an AUTH exchange: base64 and CRLF.
pub const MAX_ANSWER_LINE: usize = MAX_ENCODED + 2;

/// The longest session id that XCLIENT may carry.
const MAX_SESSION: usize = 64;

/// What a client may say before it is let in.
#[derive(Clone, PartialEq, Eq)]
pub enum Command<'a> {
    User(&'a [u8]),
    Pass(&'a [u8]),
    /// RFC 1939 §7. The digest is 32 hexadecimal digits.
    Apop {
        user: &'a [u8],
        digest: &'a [u8],
    },
    /// RFC 5034 §4. Without a mechanism it asks for the list of them.
    Auth {
        mechanism: Option<&'a [u8]>,
        initial: Option<&'a [u8]>,
    },
    Capa,
    Noop,
    Quit,
    Stls,
    /// Dovecot's: what a proxy in front of us says of its client.
    Xclient(Xclient),
    /// Zimbra's: the client's address, and nothing else.
    Xoip(IpAddr),
    /// Any other keyword.
    Other(&'a [u8]),
}

/// The attributes of one XCLIENT that we know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xclient {
    pub addr: Option<IpAddr>,
    pub port: Option<u16>,
    /// Printable, no blanks, at most 64 bytes.
    pub session: Option<String>,
    pub ttl: Option<u8>,
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

/// Reads the command at the front of `input`.
pub fn parse(input: &[u8]) -> Parsed<Command<'_>, Error> {
    let longest = if opens_with(input, b"AUTH ") {
        MAX_AUTH_LINE
    } else if opens_with(input, b"XCLIENT ") {
        MAX_XCLIENT_LINE
    } else {
        MAX_LINE
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

fn opens_with(input: &[u8], word: &[u8]) -> bool {
    input.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
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
    Ok(match keyword.to_ascii_uppercase().as_slice() {
        b"USER" => Command::User(some(argument, "USER")?),
        // RFC 1939 §7, PASS: blanks are part of the password, not separators.
        b"PASS" => Command::Pass(some(argument, "PASS")?),
        b"APOP" => {
            let CramMd5 { user, digest } =
                cram_md5::parse(argument.trim_ascii_end()).map_err(|_| Error::Argument("APOP"))?;
            Command::Apop { user, digest }
        }
        b"AUTH" => {
            let mut words = words(argument);
            let command = Command::Auth { mechanism: words.next(), initial: words.next() };
            match words.next() {
                None => command,
                Some(_) => return Err(Error::Argument("AUTH")),
            }
        }
        b"CAPA" => none(argument, "CAPA", Command::Capa)?,
        b"NOOP" => none(argument, "NOOP", Command::Noop)?,
        b"QUIT" => none(argument, "QUIT", Command::Quit)?,
        b"STLS" => none(argument, "STLS", Command::Stls)?,
        b"XCLIENT" => Command::Xclient(xclient(argument).ok_or(Error::Argument("XCLIENT"))?),
        b"XOIP" => Command::Xoip(ip(argument.trim_ascii()).ok_or(Error::Argument("XOIP"))?),
        _ => Command::Other(keyword),
    })
}

fn some<'a>(argument: &'a [u8], keyword: &'static str) -> Result<&'a [u8], Error> {
    if argument.is_empty() { Err(Error::Argument(keyword)) } else { Ok(argument) }
}

fn none<'a>(
    argument: &[u8],
    keyword: &'static str,
    command: Command<'a>,
) -> Result<Command<'a>, Error> {
    if argument.trim_ascii().is_empty() { Ok(command) } else { Err(Error::Argument(keyword)) }
}

fn words(argument: &[u8]) -> impl Iterator<Item = &[u8]> {
    argument.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// Attributes that we do not know are passed over, as Dovecot does: it adds new ones as it grows.
///
/// SMTP's XCLIENT writes its values in xtext. Dovecot's POP3 does not, and its session ids are
/// base64, where `+2B` would be three characters of the id: so values are taken as they stand.
pub fn xclient(argument: &[u8]) -> Option<Xclient> {
    let mut said = Xclient::default();
    for word in words(argument) {
        let split = word.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&word[..split], &word[split + 1..]);
        match name.to_ascii_uppercase().as_slice() {
            b"ADDR" => said.addr = Some(ip(value)?),
            b"PORT" => said.port = Some(number(value)?),
            // More hops than 255 are as good as 255.
            b"TTL" => said.ttl = Some(number::<u32>(value)?.min(255) as u8),
            b"SESSION" => {
                let fits = (1..=MAX_SESSION).contains(&value.len())
                    && value.iter().all(u8::is_ascii_graphic);
                said.session = Some(fits.then(|| str::from_utf8(value).ok()).flatten()?.to_owned());
            }
            _ => {}
        }
    }
    Some(said)
}

/// An address, also in SMTP's spelling of XCLIENT (`IPV6:::1`).
fn ip(text: &[u8]) -> Option<IpAddr> {
    let text = if opens_with(text, b"IPV6:") { &text[5..] } else { text };
    let ip: IpAddr = str::from_utf8(text).ok()?.parse().ok()?;
    Some(ip.to_canonical())
}

/// Digits only: Rust's own reading would take `+25`.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

impl Command<'_> {
    /// Writes the command with its CRLF. What it holds has no CR, LF or NUL: [`can_stand`] says so.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (keyword, arguments): (&[u8], [Option<&[u8]>; 2]) = match self {
            Self::User(name) => (b"USER", [Some(name), None]),
            Self::Pass(word) => (b"PASS", [Some(word), None]),
            Self::Apop { user, digest } => (b"APOP", [Some(user), Some(digest)]),
            Self::Auth { mechanism, initial } => (b"AUTH", [*mechanism, *initial]),
            Self::Capa => (b"CAPA", [None, None]),
            Self::Noop => (b"NOOP", [None, None]),
            Self::Quit => (b"QUIT", [None, None]),
            Self::Stls => (b"STLS", [None, None]),
            Self::Xclient(said) => {
                out.extend_from_slice(format!("XCLIENT{said}\r\n").as_bytes());
                return;
            }
            Self::Xoip(ip) => {
                out.extend_from_slice(format!("XOIP {ip}\r\n").as_bytes());
                return;
            }
            Self::Other(keyword) => (keyword, [None, None]),
        };
        out.extend_from_slice(keyword);
        for argument in arguments.into_iter().flatten() {
            out.push(b' ');
            out.extend_from_slice(argument);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether `argument` can stand after a four-letter keyword: not empty, no control byte, and the
/// line not too long.
pub fn can_stand(argument: &[u8]) -> bool {
    !argument.is_empty()
        && argument.len() + b"USER \r\n".len() <= MAX_LINE
        && !argument.iter().any(u8::is_ascii_control)
}

/// The attributes as XCLIENT sends them, each with a blank before it.
impl fmt::Display for Xclient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(addr) = self.addr {
            write!(f, " ADDR={addr}")?;
        }
        if let Some(port) = self.port {
            write!(f, " PORT={port}")?;
        }
        if let Some(session) = &self.session {
            write!(f, " SESSION={session}")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, " TTL={ttl}")?;
        }
        Ok(())
    }
}

/// Only what may be shown: arguments of USER, PASS, APOP and AUTH are not.
impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(_) => f.write_str("User(..)"),
            Self::Pass(_) => f.write_str("Pass(..)"),
            Self::Auth { .. } => f.write_str("Auth(..)"),
            Self::Apop { .. } => f.write_str("Apop(..)"),
            Self::Capa => f.write_str("Capa"),
            Self::Noop => f.write_str("Noop"),
            Self::Quit => f.write_str("Quit"),
            Self::Stls => f.write_str("Stls"),
            Self::Xclient(said) => write!(f, "{said:?}"),
            Self::Xoip(ip) => write!(f, "Xoip({ip})"),
            Self::Other(keyword) => write!(f, "Other({})", keyword.escape_ascii()),
        }
    }
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match parse(input) {
        Parsed::More => assert!(input.len() < MAX_AUTH_LINE, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(command, used) => {
            // Bytes after the command have no say in it.
            assert_eq!(parse(&input[..used]), Parsed::Whole(command.clone(), used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
            // What we write is read back as the same.
            let mut line = Vec::new();
            command.write(&mut line);
            assert_eq!(parse(&line), Parsed::Whole(command, line.len()));
            assert_eq!(line.iter().filter(|byte| byte.is_ascii_control()).count(), 2);
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

    fn good() -> Vec<(&'static str, Command<'static>)> {
        let auth = |mechanism: Option<&'static str>, initial: Option<&'static str>| Command::Auth {
            mechanism: mechanism.map(str::as_bytes),
            initial: initial.map(str::as_bytes),
        };
        let apop = |user: &'static str| Command::Apop {
            user: user.as_bytes(),
            digest: b"c4c9334bac560ecc979e58001b3e22fb",
        };
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let xclient = Xclient {
            addr: Some(ip),
            port: Some(49153),
            session: Some("7L0C3/+2Bc".to_owned()),
            ttl: Some(15),
        };
        vec![
            ("QUIT\r\n", Command::Quit),
            ("sTlS\r\n", Command::Stls),
            ("CAPA \r\n", Command::Capa),
            ("NOOP\r\n", Command::Noop),
            ("USER mrose\r\n", Command::User(b"mrose")),
            ("user m rose\r\n", Command::User(b"m rose")),
            ("USER m\u{fc}ller\r\n", Command::User("m\u{fc}ller".as_bytes())),
            ("PASS two words \r\n", Command::Pass(b"two words ")),
            ("PASS  x\r\n", Command::Pass(b" x")),
            ("APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n", apop("mrose")),
            ("apop m rose c4c9334bac560ecc979e58001b3e22fb \r\n", apop("m rose")),
            ("AUTH\r\n", auth(None, None)),
            ("AUTH \r\n", auth(None, None)),
            ("AUTH PLAIN\r\n", auth(Some("PLAIN"), None)),
            ("auth plain =\r\n", auth(Some("plain"), Some("="))),
            ("AUTH PLAIN AHUAcA==\r\n", auth(Some("PLAIN"), Some("AHUAcA=="))),
            (
                "XCLIENT ADDR=192.0.2.1 PORT=49153 SESSION=7L0C3/+2Bc TTL=15\r\n",
                Command::Xclient(xclient),
            ),
            (
                "XCLIENT addr=IPV6:::ffff:192.0.2.1 TTL=3000 FORWARD=abc=\r\n",
                Command::Xclient(Xclient { addr: Some(ip), ttl: Some(255), ..Xclient::default() }),
            ),
            ("XCLIENT\r\n", Command::Xclient(Xclient::default())),
            ("XOIP 192.0.2.1\r\n", Command::Xoip(ip)),
            ("XOIP 2001:db8::1\r\n", Command::Xoip("2001:db8::1".parse().unwrap())),
            ("XTND foo\r\n", Command::Other(b"XTND")),
            (" USER x\r\n", Command::Other(b"")),
            ("\r\n", Command::Other(b"")),
        ]
    }

    #[test]
    fn reads_each_command() {
        for (line, want) in good() {
            assert_eq!(parse(line.as_bytes()), Parsed::Whole(want, line.len()), "{line:?}");
            hold_for_any(line.as_bytes());
        }
    }

    #[test]
    fn asks_for_more_at_every_split() {
        for (line, _) in good() {
            for cut in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut]), Parsed::More, "{line:?} at {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach() {
        for (line, error) in [
            ("USER\r\n", Error::Argument("USER")),
            ("PASS \r\n", Error::Argument("PASS")),
            ("QUIT now\r\n", Error::Argument("QUIT")),
            ("STLS x\r\n", Error::Argument("STLS")),
            ("AUTH PLAIN a b\r\n", Error::Argument("AUTH")),
            ("APOP\r\n", Error::Argument("APOP")),
            ("APOP mrose\r\n", Error::Argument("APOP")),
            ("APOP mrose c4c9334bac560ecc979e58001b3e22f\r\n", Error::Argument("APOP")),
            ("APOP  c4c9334bac560ecc979e58001b3e22fb\r\n", Error::Argument("APOP")),
            ("APOP a\rb c4c9334bac560ecc979e58001b3e22fb\r\n", Error::Control),
            ("XCLIENT ADDR=[UNAVAILABLE]\r\n", Error::Argument("XCLIENT")),
            ("XCLIENT ADDR\r\n", Error::Argument("XCLIENT")),
            ("XCLIENT PORT=65536\r\n", Error::Argument("XCLIENT")),
            ("XCLIENT PORT=+1\r\n", Error::Argument("XCLIENT")),
            ("XCLIENT SESSION=\r\n", Error::Argument("XCLIENT")),
            ("XCLIENT SESSION=\u{fc}\r\n", Error::Argument("XCLIENT")),
            ("XOIP here\r\n", Error::Argument("XOIP")),
            ("USER a\rDELE 1\r\n", Error::Control),
            ("USER a\0\r\n", Error::Control),
            ("PASS a\tb\r\n", Error::Control),
            ("USER a\n", Error::BareLf),
            ("\n", Error::BareLf),
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Broken(error, line.len()), "{line:?}");
        }
        // What follows the bare LF is not of this line, nor of the next.
        assert_eq!(parse(b"USER a\nDELE 1\r\n"), Parsed::Broken(Error::BareLf, 7));
    }

    #[test]
    fn each_kind_of_line_has_its_length() {
        for (keyword, longest) in [
            ("USER ", MAX_LINE),
            ("NONSENSE ", MAX_LINE),
            ("xclient X=", MAX_XCLIENT_LINE),
            ("Auth PLAIN ", MAX_AUTH_LINE),
        ] {
            let fits = format!("{keyword}{}\r\n", "x".repeat(longest - 2 - keyword.len()));
            assert!(matches!(parse(fits.as_bytes()), Parsed::Whole(_, used) if used == longest));
            let long = format!("{keyword}{}\r\n", "x".repeat(longest - 1 - keyword.len()));
            assert_eq!(parse(long.as_bytes()), Parsed::Broken(Error::TooLong, longest));
            assert_eq!(parse(&long.as_bytes()[..longest - 1]), Parsed::More);
        }
        let long = "A".repeat(MAX_ANSWER_LINE);
        assert_eq!(answer(long.as_bytes()), Parsed::Broken(Error::TooLong, MAX_ANSWER_LINE));
    }

    #[test]
    fn no_password_is_printed() {
        let apop = "APOP tanstaaf c4c9334bac560ecc979e58001b3e22fb\r\n";
        let user = "USER tanstaaf\r\n";
        for line in [user, apop, "PASS tanstaaf\r\n", "AUTH PLAIN tanstaaf\r\n"] {
            assert!(!format!("{:?}", parse(line.as_bytes())).contains("tanstaaf"));
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_any_line(which in 0..11usize, argument in "[ =:.A-Za-z0-9+/\\[\u{fc}\\t]{0,40}") {
            let word = ["USER", "PASS", "APOP u c4c9334bac560ecc979e58001b3e22f", "AUTH", "CAPA", "XCLIENT ADDR=1.2.3.4", "XOIP",
                "XCLIENT SESSION=", "XCLIENT TTL=", "AUTH PLAIN", "NOOP"][which];
            for line in [format!("{word} {argument}\r\n"), format!("{word}{argument}\r\n")] {
                hold_for_any(line.as_bytes());
            }
        }
    }
}
