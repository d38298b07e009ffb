//! What sessions are counted by: text with variables.

use std::time::SystemTime;

use super::Stage;
use crate::observe::access::Line;
use crate::observe::format::{self, Segment};

/// The longest value that counts whole; nginx's too. No address and no mailbox (RFC 5321 §4.5.3.1)
/// is longer.
pub const LONGEST: usize = 255;

/// What is known as soon as a client has connected.
const EARLY: &[&str] = &[
    "remote_addr",
    "remote_port",
    "binary_remote_addr",
    "remote_prefix",
    "realip_remote_addr",
    "realip_remote_port",
    "server_addr",
    "server_port",
    "server_name",
    "protocol",
    "hostname",
];

/// What is known, or settled, only when it asks to be let in.
const LATE: &[&str] = &[
    "remote_user",
    "login",
    "mailbox",
    "auth_method",
    "client_agent",
    "ssl_protocol",
    "ssl_cipher",
    "ssl_server_name",
    "ssl_alpn_protocol",
    "starttls",
];

/// Names of people, who write them as they like.
const LOGINS: &[&str] = &["remote_user", "login", "mailbox"];

/// Who logs in, by the names that are meant: with the domain that they lack, without what clients hang
/// on, and as the lookup calls the account. However they are typed they are one.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Whose password it is.
    pub login: &'a [u8],
    /// Whose mailbox it is.
    pub mailbox: &'a [u8],
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Format(#[from] format::Error),
    #[error("\"${0}\" is not known yet when sessions are counted")]
    TooLate(&'static str),
    #[error("the key is empty")]
    Empty,
}

/// A key as it is written, read and checked.
#[derive(Debug)]
pub struct Key {
    text: Box<str>,
    segments: Vec<Segment>,
    stage: Stage,
}

impl Key {
    pub fn read(text: &str) -> Result<Self, Error> {
        let segments = format::segments(text)?;
        if segments.is_empty() {
            return Err(Error::Empty);
        }
        let mut stage = Stage::Connected;
        for segment in &segments {
            match segment {
                Segment::Value(variable) if LATE.contains(&variable.name) => {
                    stage = Stage::LoggingIn;
                }
                Segment::Value(variable) if !EARLY.contains(&variable.name) => {
                    return Err(Error::TooLate(variable.name));
                }
                _ => {}
            }
        }
        Ok(Self { text: text.into(), segments, stage })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// When its value is known.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The value for the session of `line`; empty where it has none. Who is known by `names` counts by
    /// these, and not by what has been typed.
    pub fn value(&self, line: &Line, names: Option<&Names<'_>>) -> Vec<u8> {
        let mut value = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => value.extend_from_slice(text.as_bytes()),
                Segment::Value(variable) => {
                    let start = value.len();
                    // None of the variables that may stand here says the time.
                    (variable.value)(line, SystemTime::UNIX_EPOCH, &mut value);
                    // Nobody has logged in whom the line does not name.
                    if let Some(Names { login, mailbox }) = names.filter(|_| value.len() > start) {
                        let meant = match variable.name {
                            "remote_user" | "login" => Some(*login),
                            "mailbox" => Some(*mailbox),
                            _ => None,
                        };
                        if let Some(meant) = meant {
                            value.truncate(start);
                            value.extend_from_slice(meant);
                        }
                    }
                    if LOGINS.contains(&variable.name) {
                        value[start..].make_ascii_lowercase();
                    }
                }
            }
        }
        value.truncate(LONGEST);
        value
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

/// What must hold for any key, on its first line, and any login, on the rest: what it is counted by
/// is short, and the same in whatever case a login is written.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (text, login) = (&input[..end], input.get(end + 1..));
    let Ok(key) = str::from_utf8(text).map_err(drop).and_then(|text| Key::read(text).map_err(drop))
    else {
        return;
    };
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
    let session = |login: Option<Vec<u8>>| Line {
        login: login.map(Into::into),
        ..Line::new("imap", 1, client.into(), client.into())
    };
    let value = key.value(&session(login.map(<[u8]>::to_vec)), None);
    assert!(value.len() <= LONGEST);
    assert_eq!(key.value(&session(login.map(<[u8]>::to_ascii_uppercase)), None), value);
    if key.stage() == Stage::Connected {
        assert_eq!(key.value(&session(None), None), value, "it was known already");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::observe::Addr;

    fn line(client: &str, login: Option<&[u8]>) -> Line {
        let ip = |text: &str| Addr::from(text.parse::<SocketAddr>().unwrap());
        let login = login.map(Into::into);
        Line { login, ..Line::new("imap", 1, ip(client), ip("192.0.2.1:143")) }
    }

    #[test]
    fn a_key_waits_for_what_it_names() {
        for (key, want) in [
            ("all", Stage::Connected),
            ("$binary_remote_addr", Stage::Connected),
            ("$server_name:$remote_prefix", Stage::Connected),
            ("$remote_user", Stage::LoggingIn),
            ("$remote_addr/${mailbox}", Stage::LoggingIn),
        ] {
            assert_eq!(Key::read(key).unwrap().stage(), want, "{key}");
        }
        for (key, want) in [
            ("", "the key is empty"),
            ("$bytes_sent", "\"$bytes_sent\" is not known yet when sessions are counted"),
            ("$upstream_addr", "\"$upstream_addr\" is not known yet when sessions are counted"),
            ("$remote_usr", "unknown \"remote_usr\" variable, did you mean \"remote_user\"?"),
        ] {
            assert_eq!(Key::read(key).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn a_value_is_what_the_session_has() {
        for (key, client, login, want) in [
            ("$binary_remote_addr", "192.0.2.7:1", None, &[192, 0, 2, 7][..]),
            ("$binary_remote_addr", "[::ffff:192.0.2.7]:1", None, &[192, 0, 2, 7]),
            ("$remote_prefix", "[::ffff:192.0.2.7]:1", None, b"192.0.2.0/24"),
            ("$remote_prefix", "[2001:db8::1:2:3:4]:1", None, b"2001:db8::/64"),
            ("$remote_user", "192.0.2.7:1", Some(&b"Mrose@Example.COM"[..]), b"mrose@example.com"),
            ("$remote_user", "192.0.2.7:1", Some(&b"\xc3\x89\xff\0"[..]), b"\xc3\x89\xff\0"),
            // 65 is an A, and no letter.
            ("$binary_remote_addr$login", "65.66.67.68:1", Some(&b"A"[..]), b"ABCDa"),
            ("$remote_user", "192.0.2.7:1", None, b""),
            ("a$protocol", "192.0.2.7:1", None, b"aimap"),
        ] {
            let key = Key::read(key).unwrap();
            assert_eq!(key.value(&line(client, login), None), want, "{}", key.text());
        }
        let long = line("192.0.2.7:1", Some(&[b'x'; 9000]));
        assert_eq!(Key::read("$login").unwrap().value(&long, None).len(), LONGEST);
    }

    #[test]
    fn who_is_known_counts_by_the_name_that_is_meant() {
        let typed = line("192.0.2.7:1", Some(b"X/tb"));
        let names = Names { login: b"X@Example.com", mailbox: b"Other@example.com" };
        for (key, want) in [
            ("$remote_user", &b"x@example.com"[..]),
            ("$login|$mailbox", b"x@example.com|other@example.com"),
            ("$remote_addr", b"192.0.2.7"),
        ] {
            assert_eq!(Key::read(key).unwrap().value(&typed, Some(&names)), want, "{key}");
        }
        let nobody = line("192.0.2.7:1", None);
        assert_eq!(Key::read("$remote_user").unwrap().value(&nobody, Some(&names)), b"");
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_key(input in "[a-c]?(\\$(remote_user|\\{login\\}|binary_remote_addr|x?)){0,3}(\n[a-zA-Z\r\n]{0,9})?") {
            hold_for_any(input.as_bytes());
        }
    }
}
