//! What a directory's row says of a login: read, and understood. Pure.

use super::super::group::{Groups, Server};
use super::super::table::{self, Destination};
use crate::login::Secret;
use crate::net::Place;
use crate::observe::escape::Quoted;
use crate::tls::directives::Mode;

/// What a row's columns may be called.
pub const COLUMNS: [&str; 6] = ["server", "port", "login", "authzid", "tls", "secret"];

/// How long one value may be. A host's name has 253 octets, a mailbox's 254.
pub const MAX_VALUE: usize = 4096;

/// One row, as it is written.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub server: Option<String>,
    pub port: Option<String>,
    pub login: Option<String>,
    pub authzid: Option<String>,
    pub tls: Option<String>,
    pub secret: Option<Secret>,
}

/// Where a login goes.
#[derive(Clone, Debug)]
pub struct Answer {
    pub to: Destination,
    /// The name to log in with upstream, if it is another: of whom was asked for.
    pub login: Option<Box<[u8]>>,
    /// The same, of a login that acts for another.
    pub authzid: Option<Box<[u8]>>,
    pub security: Option<Mode>,
    pub secret: Option<Secret>,
}

/// A row that leads nowhere, or says what nobody can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("server \"{}\" is neither an upstream nor host[:port]", Quoted(.0.as_bytes()))]
    Server(String),
    #[error("port \"{}\" is no number from 1 to 65535", Quoted(.0.as_bytes()))]
    Port(String),
    #[error("tls \"{}\" is none of off, on, starttls", Quoted(.0.as_bytes()))]
    Tls(String),
    #[error("{0} holds a line's end or a NUL, or more than {MAX_VALUE} bytes")]
    Value(&'static str),
}

impl Answer {
    /// That of a table's row.
    pub fn of(to: Destination, login: Option<Box<[u8]>>) -> Self {
        Self { to, login, authzid: None, security: None, secret: None }
    }
}

impl Row {
    /// Puts `value` into the column `name`, which is one of [`COLUMNS`].
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match name {
            "server" => self.server = value,
            "port" => self.port = value,
            "login" => self.login = value,
            "authzid" => self.authzid = value,
            "tls" => self.tls = value,
            "secret" => self.secret = value.map(Secret::new),
            _ => unreachable!("columns are checked"),
        }
    }

    /// What it means; none if it names no server.
    pub fn read(self, groups: &Groups) -> Result<Option<Answer>, Flaw> {
        let full = |value: Option<String>| value.filter(|value| !value.is_empty());
        let Some(server) = full(self.server) else { return Ok(None) };
        let port = full(self.port);
        let to = destination(server, port, groups)?;
        let name = |value: Option<String>, what: &'static str| match full(value) {
            Some(value) if !is_fit(value.as_bytes()) => Err(Flaw::Value(what)),
            value => Ok(value.map(|value| value.into_bytes().into_boxed_slice())),
        };
        let security = match full(self.tls) {
            None => None,
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "off" => Some(Mode::Off),
                "on" => Some(Mode::On),
                "starttls" => Some(Mode::StartTls),
                _ => return Err(Flaw::Tls(text)),
            },
        };
        let secret = self.secret.filter(|secret| !secret.reveal().is_empty());
        if secret.as_ref().is_some_and(|secret| !is_fit(secret.reveal())) {
            return Err(Flaw::Value("secret"));
        }
        Ok(Some(Answer {
            to,
            login: name(self.login, "login")?,
            authzid: name(self.authzid, "authzid")?,
            security,
            secret,
        }))
    }
}

/// A group has its servers' ports. A directory does not lead into the file system.
fn destination(server: String, port: Option<String>, groups: &Groups) -> Result<Destination, Flaw> {
    if let Some(group) = groups.get(&server) {
        return Ok(Destination::Group(group.clone()));
    }
    let text = server.trim();
    if text.starts_with("unix:") {
        return Err(Flaw::Server(server));
    }
    let Some(port) = port else {
        return table::destination(text, groups).map_err(|_| Flaw::Server(server));
    };
    let number = port.trim().parse::<u16>().ok().filter(|number| *number != 0);
    let number = number.ok_or(Flaw::Port(port))?;
    // A bare IPv6 address is no place to put a port behind.
    let whole = match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{number}"),
        Err(_) => format!("{text}:{number}"),
    };
    match Place::parse(&whole, None) {
        Ok(place) => Ok(Destination::Servers([Server::at(place)].into())),
        Err(_) => Err(Flaw::Server(server)),
    }
}

fn is_fit(value: &[u8]) -> bool {
    value.len() <= MAX_VALUE && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0'))
}

/// What must hold for any bytes at all: fields, a line each.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut row = Row::default();
    for (name, value) in COLUMNS.into_iter().zip(text.split('\n')) {
        row.set(name, Some(value.to_owned()));
    }
    match row.read(&Groups::new()) {
        Ok(Some(answer)) => {
            for name in [&answer.login, &answer.authzid].into_iter().flatten() {
                assert!(is_fit(name) && !name.is_empty());
            }
            assert!(matches!(answer.to, Destination::Servers(_)), "there is no group");
        }
        Ok(None) => assert!(text.starts_with('\n') || text.is_empty()),
        Err(flaw) => assert!(!flaw.to_string().contains(['\n', '\r', '\0'])),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::super::group::Group;
    use super::*;
    use crate::config::Block;

    fn groups() -> Groups {
        let block = Block::parse("upstream west { server 192.0.2.1; }");
        Groups::from([(
            "west".to_owned(),
            Arc::new(Group::read(
                block.blocks("upstream")[0],
                &crate::route::group::Limits::default(),
            )),
        )])
    }

    fn read(values: &[(&str, &str)]) -> String {
        let mut row = Row::default();
        for (name, value) in values {
            row.set(name, Some((*value).to_owned()));
        }
        match row.read(&groups()) {
            Ok(None) => "none".to_owned(),
            Err(flaw) => flaw.to_string(),
            Ok(Some(answer)) => {
                let mut text = match answer.to {
                    Destination::Group(group) => group.name.clone(),
                    Destination::Servers(servers) => servers[0].to_string(),
                };
                for name in [answer.login, answer.authzid].into_iter().flatten() {
                    text.push_str(&format!(" {}", name.escape_ascii()));
                }
                if let Some(mode) = answer.security {
                    text.push_str(&format!(" {mode:?}"));
                }
                text
            }
        }
    }

    #[test]
    fn each_row_leads_somewhere_or_is_told() {
        for (values, want) in [
            (&[("server", "west")][..], "west"),
            (&[("server", "west"), ("port", "143")], "west"),
            (&[("server", "a.example")], "a.example"),
            (&[("server", "a.example:1143")], "a.example:1143"),
            (&[("server", "a"), ("port", "1143")], "a:1143"),
            (&[("server", "2001:db8::1"), ("port", "1143")], "[2001:db8::1]:1143"),
            (&[("server", " a.example ")], "a.example"),
            (&[("server", "")], "none"),
            (&[("port", "1143")], "none"),
            (&[("server", "west"), ("login", "m"), ("tls", "StartTLS")], "west m StartTls"),
            (&[("server", "west"), ("login", ""), ("tls", "")], "west"),
            (&[("server", "a")], "server \"a\" is neither an upstream nor host[:port]"),
            (
                &[("server", "unix:/etc/x")],
                "server \"unix:/etc/x\" is neither an upstream nor host[:port]",
            ),
            (
                &[("server", "a.example:1"), ("port", "2")],
                "server \"a.example:1\" is neither an upstream nor host[:port]",
            ),
            (&[("server", "a.example"), ("port", "0")], "port \"0\" is no number from 1 to 65535"),
            (
                &[("server", "west"), ("tls", "yes\n")],
                "tls \"yes\\x0A\" is none of off, on, starttls",
            ),
            (
                &[("server", "west"), ("login", "a\r\nb")],
                "login holds a line's end or a NUL, or more than 4096 bytes",
            ),
        ] {
            assert_eq!(read(values), want, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_row_is_read_or_told(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            hold_for_any(&bytes);
        }
    }
}
