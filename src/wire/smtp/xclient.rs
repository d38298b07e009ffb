//! XCLIENT: what one proxy or filter tells the next of its client (Postfix's XCLIENT_README).
//!
//! Values are xtext, and `[UNAVAILABLE]` or `[TEMPUNAVAIL]` where nobody knows. Dovecot has added
//! attributes of its own; of those we know SESSION and TTL.

use std::net::IpAddr;

use super::command::{MAX_LINE, is_name};
use super::xtext;

/// The longest session id that is taken.
const MAX_SESSION: usize = 64;

/// What may be told of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    Name,
    ReverseName,
    Addr,
    Port,
    Proto,
    Helo,
    Login,
    DestAddr,
    DestPort,
    Session,
    Ttl,
}

impl Attribute {
    const ALL: [(&'static str, Self); 11] = [
        ("NAME", Self::Name),
        ("REVERSE_NAME", Self::ReverseName),
        ("ADDR", Self::Addr),
        ("PORT", Self::Port),
        ("PROTO", Self::Proto),
        ("HELO", Self::Helo),
        ("LOGIN", Self::Login),
        ("DESTADDR", Self::DestAddr),
        ("DESTPORT", Self::DestPort),
        ("SESSION", Self::Session),
        ("TTL", Self::Ttl),
    ];

    /// The attribute of that name, in any case.
    pub fn by_name(name: &[u8]) -> Option<Self> {
        let is_it = |(own, _): &&(&str, Self)| name.eq_ignore_ascii_case(own.as_bytes());
        Self::ALL.iter().find(is_it).map(|(_, attribute)| *attribute)
    }

    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// How much is lost if another command follows: Postfix keeps no more than the last one's LOGIN,
    /// PROTO and HELO, the last of which is said again by EHLO; and once ADDR or NAME has made us
    /// another client, that client may not be allowed to say XCLIENT.
    fn weight(self) -> u8 {
        match self {
            Self::Name | Self::ReverseName => 1,
            Self::Helo => 2,
            Self::Proto => 3,
            Self::Login => 4,
            Self::Addr => 5,
            _ => 0,
        }
    }
}

/// Writes `values` as commands of [`MAX_LINE`] bytes at most, CRLF included, as many as it takes:
/// in the order given if one will do. A value too long for any line makes its line too long.
pub fn write(values: &[(Attribute, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut words: Vec<(Attribute, Vec<u8>)> = Vec::new();
    for (attribute, value) in values {
        let mut word = [b" ", attribute.name().as_bytes(), b"="].concat();
        xtext::encode(value, &mut word);
        words.push((*attribute, word));
    }
    let room = MAX_LINE - b"XCLIENT\r\n".len();
    if words.iter().map(|(_, word)| word.len()).sum::<usize>() > room {
        words.sort_by_key(|(attribute, _)| attribute.weight());
    }
    // The last line is filled first.
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for (_, word) in words.into_iter().rev() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() <= room || word.len() > room => {
                line.splice(..0, word);
            }
            _ => lines.push(word),
        }
    }
    lines.iter().rev().map(|line| [b"XCLIENT", &line[..], b"\r\n"].concat()).collect()
}

/// What was said of one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Told<T> {
    #[default]
    Nothing,
    /// That it is not known, or so that we cannot use it.
    Unknown,
    Is(T),
}

impl<T> Told<T> {
    /// Writes over what was known before, if anything was said.
    pub fn settle(self, known: &mut Option<T>) {
        match self {
            Self::Nothing => {}
            Self::Unknown => *known = None,
            Self::Is(value) => *known = Some(value),
        }
    }
}

/// The attributes of one XCLIENT, of those that matter before a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xclient {
    pub addr: Told<IpAddr>,
    pub port: Told<u16>,
    /// Letters, digits, dots and hyphens; any other name counts as unknown.
    pub host: Told<String>,
    /// Graphic ASCII, at most 255 bytes; any other name counts as unknown.
    pub helo: Told<String>,
    /// PROTO is ESMTP, not SMTP.
    pub extended: Told<bool>,
    /// Graphic ASCII, at most 64 bytes.
    pub session: Told<String>,
    pub ttl: Told<u8>,
}

impl Xclient {
    /// Reads `NAME=value` words. An attribute that we do not know is passed over, as are LOGIN and
    /// where the client went: who is let in is not said here.
    pub fn read(argument: &[u8]) -> Option<Self> {
        let mut said = Self::default();
        let mut words = argument.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        // The first word must be there.
        let first = words.next()?;
        for word in std::iter::once(first).chain(words) {
            let split = word.iter().position(|byte| *byte == b'=')?;
            let value = xtext::decode(&word[split + 1..])?;
            let text = match value.to_ascii_uppercase().as_slice() {
                b"[UNAVAILABLE]" | b"[TEMPUNAVAIL]" => None,
                _ => Some(value.as_slice()),
            };
            match Attribute::by_name(&word[..split]) {
                Some(Attribute::Addr) => said.addr = required(text, addr)?,
                Some(Attribute::Port) => said.port = required(text, number)?,
                Some(Attribute::Ttl) => {
                    // More hops than 255 are as good as 255.
                    said.ttl = required(text, |ttl| Some(number::<u32>(ttl)?.min(255) as u8))?;
                }
                Some(Attribute::Proto) => {
                    said.extended =
                        required(text, |proto| match proto.to_ascii_uppercase().as_slice() {
                            b"SMTP" => Some(false),
                            b"ESMTP" | b"LMTP" => Some(true),
                            _ => None,
                        })?;
                }
                Some(Attribute::Name) => said.host = wanted(text, is_host),
                Some(Attribute::Helo) => said.helo = wanted(text, is_name),
                Some(Attribute::Session) => {
                    said.session = wanted(text, |id| is_name(id) && id.len() <= MAX_SESSION);
                }
                Some(
                    Attribute::ReverseName
                    | Attribute::Login
                    | Attribute::DestAddr
                    | Attribute::DestPort,
                )
                | None => {}
            }
        }
        Some(said)
    }
}

/// A value that must be right where it is known; `None`: it is not.
fn required<T>(text: Option<&[u8]>, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Told<T>> {
    match text {
        None => Some(Told::Unknown),
        Some(text) => read(text).map(Told::Is),
    }
}

/// A name that somebody else has made up: where it is no good it is not known.
fn wanted(text: Option<&[u8]>, fits: impl FnOnce(&[u8]) -> bool) -> Told<String> {
    let text = text.filter(|text| fits(text)).and_then(|text| str::from_utf8(text).ok());
    text.map_or(Told::Unknown, |text| Told::Is(text.to_owned()))
}

/// Whether `name` can be a host's: what a reverse lookup brings is anybody's to choose.
pub fn is_host(name: &[u8]) -> bool {
    is_name(name) && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte))
}

fn addr(text: &[u8]) -> Option<IpAddr> {
    let text = match text.get(..5) {
        Some(start) if start.eq_ignore_ascii_case(b"IPV6:") => &text[5..],
        _ => text,
    };
    let ip: IpAddr = str::from_utf8(text).ok()?.parse().ok()?;
    Some(ip.to_canonical())
}

/// An address as ADDR and DESTADDR write it.
pub fn addr_value(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string().into_bytes(),
        IpAddr::V6(ip) => format!("IPV6:{ip}").into_bytes(),
    }
}

/// Digits only: Rust's own reading would take `+25`.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// What must hold for any bytes at all; fuzz/ calls it too.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    if let Some(said) = Xclient::read(input) {
        for (told, fits) in [(&said.host, is_host as fn(&[u8]) -> bool), (&said.helo, is_name)] {
            assert!(!matches!(told, Told::Is(name) if !fits(name.as_bytes())));
        }
    }
    // Each byte that is a digit of an attribute takes what follows it for its value.
    let values = input.iter().enumerate().filter_map(|(at, byte)| {
        let (_, attribute) = Attribute::ALL.get(usize::from(*byte))?;
        Some((*attribute, input[at + 1..].to_vec()))
    });
    let values: Vec<_> = values.take(8).collect();
    let lines = write(&values);
    let mut found = 0;
    for line in &lines {
        let words = line.iter().filter(|byte| **byte == b' ').count();
        found += words;
        let longest = line.split(|byte| *byte == b' ').map(<[u8]>::len).max().unwrap_or(0);
        assert!(line.len() <= MAX_LINE || longest + 11 > MAX_LINE, "too long for no reason");
        assert!(line.starts_with(b"XCLIENT ") && line.ends_with(b"\r\n"));
        assert_eq!(line.iter().filter(|byte| !matches!(byte, b' '..=b'~')).count(), 2);
    }
    assert_eq!(found, values.len());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Attribute as A;

    fn written(values: &[(Attribute, &str)]) -> Vec<String> {
        let own = |(attribute, value): &(Attribute, &str)| (*attribute, value.as_bytes().to_vec());
        let values: Vec<_> = values.iter().map(own).collect();
        write(&values).into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn one_line_keeps_the_order_given() {
        assert_eq!(
            written(&[(A::Addr, "127.0.0.1"), (A::Login, "u=x+y"), (A::Name, "[UNAVAILABLE]")]),
            ["XCLIENT ADDR=127.0.0.1 LOGIN=u+3Dx+2By NAME=[UNAVAILABLE]\r\n"]
        );
        assert!(written(&[]).is_empty());
        assert_eq!(addr_value("2001:db8::1".parse().unwrap()), b"IPV6:2001:db8::1");
        assert_eq!(addr_value("::ffff:192.0.2.1".parse().unwrap()), b"192.0.2.1");
    }

    #[test]
    fn several_lines_end_with_what_must_come_last() {
        let (host, helo) = ("h".repeat(255), "e".repeat(255));
        let lines = written(&[
            (A::Addr, "192.0.2.1"),
            (A::Login, "mrose"),
            (A::Name, &host),
            (A::Helo, &helo),
            (A::Proto, "ESMTP"),
            (A::Port, "25"),
        ]);
        assert_eq!(
            lines,
            [
                format!("XCLIENT PORT=25 NAME={host}\r\n"),
                format!("XCLIENT HELO={helo} PROTO=ESMTP LOGIN=mrose ADDR=192.0.2.1\r\n"),
            ]
        );
        let user = "u".repeat(MAX_LINE);
        assert_eq!(
            written(&[(A::Addr, "192.0.2.1"), (A::Port, "25"), (A::Login, &user)]),
            ["XCLIENT PORT=25\r\n".to_owned(), format!("XCLIENT LOGIN={user} ADDR=192.0.2.1\r\n")]
        );
    }

    #[test]
    fn reads_what_postfix_and_dovecot_send() {
        let said = Xclient::read(
            b"NAME=spike.porcupine.org ADDR=168.100.189.2 PROTO=ESMTP helo=x+2By PORT=49153 \
              LOGIN=mrose DESTADDR=192.0.2.1 DESTPORT=25 SESSION=7L0C3/ TTL=1000 FORWARD=abc",
        );
        let want = Xclient {
            addr: Told::Is("168.100.189.2".parse().unwrap()),
            port: Told::Is(49153),
            host: Told::Is("spike.porcupine.org".to_owned()),
            helo: Told::Is("x+y".to_owned()),
            extended: Told::Is(true),
            session: Told::Is("7L0C3/".to_owned()),
            ttl: Told::Is(255),
        };
        assert_eq!(said, Some(want));
    }

    #[test]
    fn what_is_not_known_or_not_fit_is_unknown() {
        let said = Xclient::read(b"NAME=[tempunavail] ADDR=[UNAVAILABLE] HELO=a+0Ab").unwrap();
        assert_eq!(said.host, Told::Unknown);
        assert_eq!(said.addr, Told::Unknown);
        assert_eq!(said.helo, Told::Unknown);
        // The injection of CVE-2026-28753.
        assert_eq!(Xclient::read(b"NAME=x+0D+0Ay").unwrap().host, Told::Unknown);
        assert_eq!(Xclient::read(b"NAME=under_score").unwrap().host, Told::Unknown);
    }

    #[test]
    fn nonsense_is_not_read() {
        for argument in [
            "",
            " ",
            "NAME",
            "ADDR=here",
            "PORT=65536",
            "PORT=+1",
            "PROTO=HTTP",
            "HELO=a+0",
            "TTL=",
        ] {
            assert_eq!(Xclient::read(argument.as_bytes()), None, "{argument:?}");
        }
    }

    #[test]
    fn every_attribute_goes_by_its_own_name() {
        for (name, attribute) in Attribute::ALL {
            assert_eq!(attribute.name(), name);
            assert_eq!(Attribute::by_name(name.to_ascii_lowercase().as_bytes()), Some(attribute));
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_any_values(input in prop::collection::vec(0..12u8, 0..300)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_any_words(input in "((NAME|ADDR|HELO|PORT|TTL)=[+.:0-9A-F]{0,9} ?){0,4}") {
            hold_for_any(input.as_bytes());
        }
    }
}
