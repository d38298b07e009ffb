//! Where a directory is: `ldap://host[:port]`, `ldaps://host[:port]`, `ldapi://path`. Pure.

use std::fmt;

use crate::net::{Endpoint, Place};

/// IANA's ports.
const LDAP: u16 = 389;
const LDAPS: u16 = 636;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub place: Place,
    /// From the first byte.
    pub is_tls: bool,
}

impl Server {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            "it must be ldap://host[:port], ldaps://host[:port] or ldapi://path".to_owned()
        })?;
        let lower = scheme.to_ascii_lowercase();
        if lower == "ldapi" {
            let path = decode(rest).ok_or("a percent sign that begins no byte of UTF-8")?;
            let place = Place::parse(&format!("unix:{path}"), None);
            return match place {
                Ok(Place::Fixed(Endpoint::Unix(path))) if path.is_absolute() => {
                    Ok(Self { place: Place::Fixed(Endpoint::Unix(path)), is_tls: false })
                }
                Ok(_) => Err("the path is to begin with / or %2F".to_owned()),
                Err(fault) => Err(fault.to_string()),
            };
        }
        let is_tls = match lower.as_str() {
            "ldap" => false,
            "ldaps" => true,
            _ => return Err("it must be ldap://, ldaps:// or ldapi://".to_owned()),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.contains(['/', '?', '@']) || host.starts_with("unix:") {
            return Err(
                "host[:port] alone: what is looked for has directives of its own".to_owned()
            );
        }
        let port = if is_tls { LDAPS } else { LDAP };
        let place = Place::parse(host, Some(port)).map_err(|fault| fault.to_string())?;
        Ok(Self { place, is_tls })
    }

    /// What its certificate must be made out to; none of a unix socket.
    pub fn host(&self) -> Option<String> {
        match &self.place {
            Place::Named { host, .. } => Some(host.clone()),
            Place::Fixed(Endpoint::Tcp(address)) => Some(address.ip().to_string()),
            Place::Fixed(Endpoint::Unix(_)) => None,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Fixed(Endpoint::Unix(path)) => write!(f, "ldapi://{}", path.display()),
            place => write!(f, "{}://{place}", if self.is_tls { "ldaps" } else { "ldap" }),
        }
    }
}

/// `%2F` and its kin.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_is_read_or_told() {
        let form = "it must be ldap://host[:port], ldaps://host[:port] or ldapi://path";
        for (url, want) in [
            ("ldap://a.example", "ldap://a.example:389"),
            ("LDAPS://a.example/", "ldaps://a.example:636"),
            ("ldap://[2001:db8::1]:3389", "ldap://[2001:db8::1]:3389"),
            ("ldapi://%2Frun%2Fldapi", "ldapi:///run/ldapi"),
            ("ldapi:///run/ldapi", "ldapi:///run/ldapi"),
            ("ldapi://run", "the path is to begin with / or %2F"),
            ("ldapi://%2", "a percent sign that begins no byte of UTF-8"),
            ("ldapi://%+1", "a percent sign that begins no byte of UTF-8"),
            ("http://a", "it must be ldap://, ldaps:// or ldapi://"),
            ("a.example", form),
            ("ldap://a:0", "invalid port"),
            ("ldap://", "no host"),
            (
                "ldap://a/dc=b?uid",
                "host[:port] alone: what is looked for has directives of its own",
            ),
        ] {
            let read = Server::parse(url).map(|server| server.to_string());
            assert_eq!(read.unwrap_or_else(|fault| fault), want, "{url}");
        }
    }
}
