//! One end of a connection, as logs name it.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net;
use std::sync::Arc;

/// One end of a connection: an address and port, or a socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    Ip(SocketAddr),
    /// The path; empty where the socket has no name, as clients' seldom have.
    Unix(Arc<str>),
}

impl Addr {
    pub fn unix(path: &str) -> Self {
        Self::Unix(path.into())
    }

    /// The address without its port, as `client: …` and `$remote_addr` show it.
    pub fn host(&self) -> impl fmt::Display + '_ {
        struct Host<'a>(&'a Addr);
        impl fmt::Display for Host<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Addr::Ip(addr) => addr.ip().fmt(f),
                    unix @ Addr::Unix(_) => unix.fmt(f),
                }
            }
        }
        Host(self)
    }

    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(addr) => Some(addr.port()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

impl From<&net::SocketAddr> for Addr {
    fn from(addr: &net::SocketAddr) -> Self {
        Self::Unix(addr.as_pathname().map(|path| path.to_string_lossy()).unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_shown_as_nginx_shows_it() {
        let ip = |text: &str| Addr::from(text.parse::<SocketAddr>().unwrap());
        for (addr, whole, host, port) in [
            (ip("192.0.2.1:143"), "192.0.2.1:143", "192.0.2.1", Some(143)),
            (ip("[2001:db8::1]:143"), "[2001:db8::1]:143", "2001:db8::1", Some(143)),
            (Addr::unix("/run/imap"), "unix:/run/imap", "unix:/run/imap", None),
            (Addr::unix(""), "unix:", "unix:", None),
        ] {
            assert_eq!(addr.to_string(), whole);
            assert_eq!(addr.host().to_string(), host);
            assert_eq!(addr.port(), port);
        }
    }
}
