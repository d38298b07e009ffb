//! What to ask and where, as `auth_http` writes it: `[http[s]://]host[:port][/uri]` or
//! `[http[s]://]unix:/path[:/uri]`.

use std::fmt;

use hyper::http::uri::{InvalidUri, PathAndQuery};

use crate::net::{Endpoint, Place, addr};

const PORT: u16 = 80;
const TLS_PORT: u16 = 443;

/// An origin and what to ask it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `https://`
    pub tls: bool,
    pub origin: Place,
    pub uri: PathAndQuery,
    /// What `Host:` says: no port, as nginx writes it; `localhost` for a unix socket.
    pub host: String,
}

/// What is wrong with an address.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Place(#[from] addr::Fault),
    #[error("invalid uri")]
    Uri(#[from] InvalidUri),
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let tls = has_prefix(text, "https://");
        let rest = match tls {
            true => &text[8..],
            false if has_prefix(text, "http://") => &text[7..],
            false => text,
        };
        let (place, uri) = match rest.strip_prefix("unix:") {
            Some(path) => match path.find(':') {
                Some(colon) => (&rest[..colon + 5], &path[colon + 1..]),
                None => (rest, ""),
            },
            None => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        };
        let origin = Place::parse(place, Some(if tls { TLS_PORT } else { PORT }))?;
        let uri = match uri.strip_prefix('?') {
            Some(_) => format!("/{uri}").parse()?,
            None if uri.is_empty() => PathAndQuery::from_static("/"),
            None => uri.parse()?,
        };
        let host = match &origin {
            Place::Fixed(Endpoint::Tcp(address)) if address.is_ipv6() => {
                format!("[{}]", address.ip())
            }
            Place::Fixed(Endpoint::Tcp(address)) => address.ip().to_string(),
            Place::Fixed(Endpoint::Unix(_)) => "localhost".to_owned(),
            Place::Named { host, .. } => host.clone(),
        };
        Ok(Self { tls, origin, uri, host })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        // The colon tells where a socket's path ends.
        let end = if matches!(self.origin, Place::Fixed(Endpoint::Unix(_))) { ":" } else { "" };
        write!(f, "{scheme}://{}{end}{}", self.origin, self.uri)
    }
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
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
            ("localhost?x", "localhost:80", "/?x", "localhost"),
            ("[::1]:9000/auth", "[::1]:9000", "/auth", "[::1]"),
            ("http://unix:/run/auth.sock:/login", "unix:/run/auth.sock", "/login", "localhost"),
            ("unix:/run/auth.sock", "unix:/run/auth.sock", "/", "localhost"),
            ("https://auth.example/a", "auth.example:443", "/a", "auth.example"),
            ("HTTPS://[::1]:8443", "[::1]:8443", "/", "[::1]"),
            ("https://unix:/run/auth.sock:/a", "unix:/run/auth.sock", "/a", "localhost"),
        ];
        for (text, origin, uri, host) in table {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.origin.to_string().as_str(), url.uri.as_str(), url.host.as_str()),
                (origin, uri, host),
                "{text}"
            );
            assert_eq!(url.tls, text.to_lowercase().starts_with("https"), "{text}");
            assert_eq!(Url::parse(&url.to_string()).unwrap(), url, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_ask() {
        for text in [
            "",
            "/auth",
            "https://",
            "https://host:0/",
            "ftp://host/",
            "host:0/",
            "host:+80/",
            "host:99999",
            "host:80x",
            "::1:80/",
            "[::1/",
            "[::1]80",
            "two words/",
            "host/sp ace",
            "unix::/auth",
            "é/",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }
}
