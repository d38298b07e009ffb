//! Reaching an upstream.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::{Endpoint, Plain, errno};

/// How to set out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `proxy_bind`: the address that the upstream shall see.
    pub bind: Option<IpAddr>,
    /// `proxy_socket_keepalive`
    pub keepalive: bool,
}

/// Why an upstream was not reached, by who is to blame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network or the upstream's machine said no.
    #[error("connect() failed ({})", errno(cause))]
    Unreachable {
        peer: Endpoint,
        #[source]
        cause: io::Error,
    },

    /// Nobody answered.
    #[error("upstream timed out (110: Connection timed out)")]
    Silent { peer: Endpoint, after: Duration },

    /// We could not even ask: no descriptors, no such address to bind to.
    #[error("{call} failed ({})", errno(cause))]
    Ours {
        call: &'static str,
        peer: Endpoint,
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// Whether another upstream might do better.
    pub fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::Ours { .. } => false,
        }
    }
}

/// Connects to `target`, by `deadline` at the latest.
pub async fn open(target: &Endpoint, options: Options, deadline: Instant) -> Result<Plain, Error> {
    let start = Instant::now();
    let open = async {
        match target {
            Endpoint::Tcp(addr) => tcp(*addr, options).await,
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Failed::Connect)?;
                Ok(Plain::Unix(stream))
            }
        }
    };
    let peer = || target.clone();
    match timeout_at(deadline, open).await {
        Ok(Ok(plain)) => Ok(plain),
        Ok(Err(Failed::Connect(cause))) => Err(Error::Unreachable { peer: peer(), cause }),
        Ok(Err(Failed::Before(call, cause))) => Err(Error::Ours { call, peer: peer(), cause }),
        Err(_) => Err(Error::Silent { peer: peer(), after: start.elapsed() }),
    }
}

enum Failed {
    Before(&'static str, io::Error),
    Connect(io::Error),
}

async fn tcp(addr: SocketAddr, options: Options) -> Result<Plain, Failed> {
    let ours = |call| move |cause| Failed::Before(call, cause);
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(ours("socket()"))?;
    if let Some(ip) = options.bind {
        // Without it a port is taken before the peer is known, and ports run out at 28,000
        // connections for all upstreams together.
        setsockopt(&socket, IpBindAddressNoPort, &true)
            .map_err(|errno| ours("setsockopt()")(errno.into()))?;
        socket.bind(SocketAddr::new(ip, 0)).map_err(ours("bind()"))?;
    }
    if options.keepalive {
        socket.set_keepalive(true).map_err(ours("setsockopt()"))?;
    }
    let stream = socket.connect(addr).await.map_err(Failed::Connect)?;
    Plain::tcp(stream).map_err(ours("setsockopt()"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn an_upstream_is_reached_from_the_address_asked_for() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = Endpoint::from(listener.local_addr().unwrap());
        let bind = IpAddr::from([127, 0, 0, 9]);
        let options = Options { bind: Some(bind), keepalive: true };
        let plain = open(&target, options, soon()).await.unwrap();
        let (_, seen) = listener.accept().await.unwrap();
        assert_eq!(seen.ip(), bind);
        assert_eq!(plain.local().unwrap(), Endpoint::from(seen));
        let Plain::Tcp(stream) = plain else { panic!("asked for TCP") };
        assert!(stream.nodelay().unwrap());
        assert!(socket2::SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn blame_is_told_apart() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = Endpoint::from(free.local_addr().unwrap());
        let foreign = Options { bind: Some([192, 0, 2, 1].into()), keepalive: false };
        let ours = open(&target, foreign, soon()).await.unwrap_err();
        assert!(matches!(ours, Error::Ours { call: "bind()", .. }), "{ours}");
        assert!(!ours.is_worth_another_try());
        drop(free);
        let refused = open(&target, Options::default(), soon()).await.unwrap_err();
        let want = "connect() failed (111: Connection refused)";
        assert_eq!(refused.to_string(), want);
        assert!(refused.is_worth_another_try());
        let nowhere = Endpoint::Unix("/nonexistent/socket".into());
        let error = open(&nowhere, Options::default(), soon()).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_silent_upstream_is_waited_for_no_longer_than_told() {
        // A full backlog does not answer: one place in it, and nobody accepts.
        let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        raw.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        raw.listen(0).unwrap();
        let target = Endpoint::from(raw.local_addr().unwrap().as_socket().unwrap());
        let mut held = Vec::new();
        let error = loop {
            let deadline = Instant::now() + Duration::from_millis(50);
            match open(&target, Options::default(), deadline).await {
                Ok(plain) => held.push(plain),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Silent { .. }), "{error}");
        assert!(error.is_worth_another_try());
    }
}
