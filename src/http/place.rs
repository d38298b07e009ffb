//! Where to ask, as `auth_http` writes it: `[http://]host[:port][/uri]` or
//! `[http://]unix:/path[:/uri]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use hyper::http::uri::PathAndQuery;

const PORT: u16 = 80;

/// An origin and what to ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub origin: Origin,
    pub uri: PathAndQuery,
    /// What `Host:` says: no port, as nginx writes it; `localhost` for a unix socket.
    pub host: String,
}

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    Address(IpAddr, u16),
    Name(String, u16),
    Unix(PathBuf),
}

impl Place {
    /// Reads one, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err("https is not supported yet");
        }
        let rest = match text.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("http://") => &text[7..],
            _ => text,
        };
        if let Some(rest) = rest.strip_prefix("unix:") {
            let (path, uri) = rest.split_once(':').unwrap_or((rest, "/"));
            if !path.starts_with('/') {
                return Err("the path of a unix socket begins with /");
            }
            let origin = Origin::Unix(PathBuf::from(path));
            return Ok(Self { origin, uri: uri_of(uri)?, host: "localhost".to_owned() });
        }
        let slash = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, uri) = rest.split_at(slash);
        let (host, port) = host_and_port(authority)?;
        let port = port.unwrap_or(PORT);
        let origin = match host.parse() {
            Ok(ip) => Origin::Address(ip, port),
            Err(_) if is_host_name(host) => Origin::Name(host.to_owned(), port),
            Err(_) => return Err("invalid host"),
        };
        let host = match origin {
            Origin::Address(IpAddr::V6(ip), _) => format!("[{ip}]"),
            _ => host.to_owned(),
        };
        Ok(Self { origin, uri: uri_of(uri)?, host })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(ip), port) => write!(f, "[{ip}]:{port}"),
            Self::Address(ip, port) => write!(f, "{ip}:{port}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn uri_of(uri: &str) -> Result<PathAndQuery, &'static str> {
    match uri {
        "" => Ok(PathAndQuery::from_static("/")),
        _ if !uri.starts_with('/') => Err("the uri begins with /"),
        _ => uri.parse().map_err(|_| "invalid uri"),
    }
}

/// Splits `host[:port]`, where an IPv6 host stands in brackets.
pub fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("a bracket is not closed")?;
            host.parse::<Ipv6Addr>().map_err(|_| "invalid IPv6 address")?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err("invalid port"),
            }
        }
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("an IPv6 address stands in brackets");
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err("no host");
    }
    let Some(port) = port else { return Ok((host, None)) };
    // `u16::from_str` would take "+80" too.
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err("invalid port"),
    }
}

/// Whether `name` can be asked of a resolver: letters, digits, `-`, `_` and single dots between.
pub fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_form() {
        let table = [
            ("127.0.0.1:9000/auth", "127.0.0.1:9000", "/auth", "127.0.0.1"),
            ("http://auth.example:8080/a?b=c", "auth.example:8080", "/a?b=c", "auth.example"),
            ("HTTP://auth.example", "auth.example:80", "/", "auth.example"),
            ("localhost/", "localhost:80", "/", "localhost"),
            ("[::1]:9000/auth", "[::1]:9000", "/auth", "[::1]"),
            ("http://unix:/run/auth.sock:/login", "unix:/run/auth.sock", "/login", "localhost"),
            ("unix:/run/auth.sock", "unix:/run/auth.sock", "/", "localhost"),
        ];
        for (text, origin, uri, host) in table {
            let place = Place::parse(text).unwrap();
            assert_eq!(
                (place.origin.to_string().as_str(), place.uri.as_str(), place.host.as_str()),
                (origin, uri, host),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_it_cannot_ask() {
        for text in [
            "",
            "/auth",
            "https://auth.example/",
            "host:0/",
            "host:+80/",
            "host:99999",
            "host:80x",
            "::1:80/",
            "[::1/",
            "[::1]80",
            "two words/",
            "a..b/",
            "unix:relative:/",
            "unix:/run/a:b",
            "host/sp ace",
            "é/",
        ] {
            assert!(Place::parse(text).is_err(), "{text:?}");
        }
    }
}
