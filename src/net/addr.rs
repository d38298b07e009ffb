//! Where a connection comes from or goes to, and how an administrator writes it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// One end of a connection. An IPv4 address inside IPv6 is always kept as IPv4, so that it is
/// shown and matched as the address it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    Tcp(SocketAddr),
    /// Empty for a client, which has no path.
    Unix(PathBuf),
}

impl Endpoint {
    /// The address; none for a unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.tcp().map(|addr| addr.ip())
    }

    pub fn port(&self) -> Option<u16> {
        self.tcp().map(|addr| addr.port())
    }

    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(plain(addr))
    }
}

impl From<std::os::unix::net::SocketAddr> for Endpoint {
    fn from(addr: std::os::unix::net::SocketAddr) -> Self {
        Self::Unix(addr.as_pathname().map(PathBuf::from).unwrap_or_default())
    }
}

impl From<tokio::net::unix::SocketAddr> for Endpoint {
    fn from(addr: tokio::net::unix::SocketAddr) -> Self {
        Self::Unix(addr.as_pathname().map(PathBuf::from).unwrap_or_default())
    }
}

/// As nginx writes it: `127.0.0.1:143`, `[::1]:143`, `unix:/path`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// IPv4 for IPv4 inside IPv6; everything else as it is, without scope and flow.
pub fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// What an administrator may write for an end of a connection: fixed, or a name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Fixed(Endpoint),
    Named { host: String, port: u16 },
}

/// What is wrong with an address, in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("no host")]
    NoHost,
    #[error("invalid host")]
    InvalidHost,
    #[error("no port")]
    NoPort,
    #[error("invalid port")]
    InvalidPort,
    #[error("invalid IPv6 address")]
    InvalidIpv6,
    #[error("no path in the unix domain socket")]
    NoPath,
    #[error("too long path in the unix domain socket")]
    LongPath,
}

/// `sun_path` holds 108 bytes, the closing zero included.
const MAX_UNIX_PATH: usize = 107;

impl Place {
    /// Reads `host[:port] | [v6][:port] | unix:path`. Without `port`, one must be written.
    pub fn parse(text: &str, port: Option<u16>) -> Result<Self, Fault> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let (host, written) = split(text)?;
        let port = match written {
            Some(digits) => number(digits)?,
            None => port.ok_or(Fault::NoPort)?,
        };
        if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let ip: Ipv6Addr = inside.parse().map_err(|_| Fault::InvalidIpv6)?;
            return Ok(fixed(ip.into(), port));
        }
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(fixed(ip, port)),
            Err(_) => Ok(Self::Named { host: name(host)?, port }),
        }
    }

    /// Reads what may follow `listen`: as [`Place::parse`], or `port | *:port | *`.
    pub fn parse_listen(text: &str, port: Option<u16>) -> Result<Self, Fault> {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(fixed(any, number(text)?));
        }
        match text.strip_prefix('*') {
            Some("") => Ok(fixed(any, port.ok_or(Fault::NoPort)?)),
            Some(rest) => {
                let digits = rest.strip_prefix(':').ok_or(Fault::InvalidHost)?;
                Ok(fixed(any, number(digits)?))
            }
            None => Self::parse(text, port),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(endpoint) => endpoint.fmt(f),
            Self::Named { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

fn fixed(ip: IpAddr, port: u16) -> Place {
    Place::Fixed(Endpoint::from(SocketAddr::new(ip, port)))
}

fn unix(path: &str) -> Result<Place, Fault> {
    match path.len() {
        0 => Err(Fault::NoPath),
        1..=MAX_UNIX_PATH if !path.contains('\0') => Ok(Place::Fixed(Endpoint::Unix(path.into()))),
        _ => Err(Fault::LongPath),
    }
}

/// Parts the host from the port, at the colon behind the brackets if there are any.
fn split(text: &str) -> Result<(&str, Option<&str>), Fault> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let end = inside.find(']').ok_or(Fault::InvalidIpv6)?;
            text.split_at(end + 2)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    match (host, rest) {
        ("", _) => Err(Fault::NoHost),
        (_, "") => Ok((host, None)),
        (_, rest) => Ok((host, Some(rest.strip_prefix(':').ok_or(Fault::InvalidPort)?))),
    }
}

fn number(digits: &str) -> Result<u16, Fault> {
    match digits.parse() {
        // `parse` takes a leading plus.
        Ok(port) if port > 0 && !digits.starts_with('+') => Ok(port),
        _ => Err(Fault::InvalidPort),
    }
}

/// A host's name, as far as its letters go: what it means is for the resolver.
fn name(host: &str) -> Result<String, Fault> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    // All digits and dots would be an address if it were one: `1.2.3` is a slip, not a name.
    let looks_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if host.len() > 253 || looks_numeric || !host.bytes().all(letter) {
        return Err(Fault::InvalidHost);
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("127.0.0.1:143", "127.0.0.1:143"),
        ("127.0.0.1", "127.0.0.1:99"),
        ("[::1]:143", "[::1]:143"),
        ("[::1]", "[::1]:99"),
        ("[::ffff:192.0.2.1]:25", "192.0.2.1:25"),
        ("unix:/run/gatepost.sock", "unix:/run/gatepost.sock"),
        ("unix:/a:1", "unix:/a:1"),
        ("Mail.Example.com:110", "mail.example.com:110"),
        ("localhost", "localhost:99"),
    ];

    const GOOD_TO_LISTEN: &[(&str, &str)] =
        &[("143", "0.0.0.0:143"), ("*:143", "0.0.0.0:143"), ("*", "0.0.0.0:99")];

    const BAD: &[(&str, Fault)] = &[
        ("", Fault::NoHost),
        (":143", Fault::NoHost),
        ("127.0.0.1:", Fault::InvalidPort),
        ("127.0.0.1:0", Fault::InvalidPort),
        ("127.0.0.1:+1", Fault::InvalidPort),
        ("127.0.0.1:65536", Fault::InvalidPort),
        ("127.0.0.1:14x", Fault::InvalidPort),
        ("::1", Fault::NoHost),
        ("[::1", Fault::InvalidIpv6),
        ("[1.2.3.4]:1", Fault::InvalidIpv6),
        ("[::1]143", Fault::InvalidPort),
        ("1.2.3:1", Fault::InvalidHost),
        ("a b:1", Fault::InvalidHost),
        ("unix:", Fault::NoPath),
    ];

    #[test]
    fn reads_each_way_to_write_a_place() {
        for (text, want) in GOOD {
            for parse in [Place::parse, Place::parse_listen] {
                let place = parse(text, Some(99)).map(|place| place.to_string());
                assert_eq!(place.as_deref(), Ok(*want), "{text}");
            }
        }
        for (text, want) in GOOD_TO_LISTEN {
            let place = Place::parse_listen(text, Some(99)).map(|place| place.to_string());
            assert_eq!(place.as_deref(), Ok(*want), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_place() {
        for (text, want) in BAD {
            for parse in [Place::parse, Place::parse_listen] {
                assert_eq!(parse(text, Some(99)), Err(*want), "{text}");
            }
        }
        assert_eq!(Place::parse("localhost", None), Err(Fault::NoPort));
        assert_eq!(Place::parse_listen("*", None), Err(Fault::NoPort));
        assert_eq!(Place::parse_listen("*143", None), Err(Fault::InvalidHost));
        assert_eq!(Place::parse_listen("0", None), Err(Fault::InvalidPort));
        let long = format!("unix:/{}", "x".repeat(MAX_UNIX_PATH));
        assert_eq!(Place::parse(&long, None), Err(Fault::LongPath));
    }

    #[test]
    fn a_client_by_unix_socket_has_no_path() {
        assert_eq!(Endpoint::Unix(PathBuf::new()).to_string(), "unix:");
    }
}
