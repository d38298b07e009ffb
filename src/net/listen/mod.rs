//! The sockets that clients come to: what `listen` says of them, and opening them.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Endpoint, Place, errno};

/// How many places one configuration may name: every port on two addresses. Ranges of ports make that
/// a few words, and no system has as many sockets to give.
pub const MOST: usize = 1 << 17;

/// One `listen`, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub endpoint: Endpoint,
    pub ssl: bool,
    pub proxy_protocol: bool,
    pub default_server: bool,
    pub backlog: i32,
    pub rcvbuf: Option<usize>,
    pub sndbuf: Option<usize>,
    pub ipv6only: bool,
    pub keepalive: Keepalive,
    pub multipath: bool,
}

/// Whether the kernel asks silent clients if they are still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keepalive {
    /// Whatever the system does.
    #[default]
    System,
    Off,
    /// On, with the system's figures where none is given.
    On {
        idle: Option<Duration>,
        interval: Option<Duration>,
        probes: Option<u32>,
    },
}

impl Listen {
    /// With nginx's defaults.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            ssl: false,
            proxy_protocol: false,
            default_server: false,
            backlog: 511,
            rcvbuf: None,
            sndbuf: None,
            ipv6only: true,
            keepalive: Keepalive::System,
            multipath: false,
        }
    }

    /// Reads the arguments of `listen`, as [`Listen::parse`], where `room` says how many more places
    /// may be named; it begins at [`MOST`].
    pub fn parse_within(args: &[&str], room: &mut usize) -> Result<Vec<Self>, String> {
        let listens = Self::parse(args, None)?;
        *room = room
            .checked_sub(listens.len())
            .ok_or_else(|| format!("more than {MOST} addresses and ports to listen at"))?;
        Ok(listens)
    }

    /// Reads the arguments of `listen`. A host's name gives one for each of its addresses, as the
    /// system finds them now; everything else gives exactly one.
    pub fn parse(args: &[&str], port: Option<u16>) -> Result<Vec<Self>, String> {
        Self::parse_with(args, port, |host| {
            (host, 0).to_socket_addrs().map(|found| found.map(|addr| addr.ip()).collect())
        })
    }

    /// [`Listen::parse`] with the finding of names given, so that it is pure.
    pub fn parse_with(
        args: &[&str],
        port: Option<u16>,
        find: impl Fn(&str) -> io::Result<Vec<IpAddr>>,
    ) -> Result<Vec<Self>, String> {
        let [place, options @ ..] = args else {
            return Err(r#"invalid number of arguments in "listen" directive"#.to_owned());
        };
        let wrong = |what: &str| format!(r#"{what} in "{place}" of the "listen" directive"#);
        let mut endpoints = Vec::new();
        // All places of a range are on the one host, which is looked for once.
        let mut found: Option<Vec<IpAddr>> = None;
        for place in places(place).ok_or_else(|| wrong("invalid port"))? {
            match Place::parse_listen(&place, port).map_err(|e| wrong(&e.to_string()))? {
                Place::Fixed(endpoint) => endpoints.push(endpoint),
                Place::Named { host, port } => {
                    let ips = match &found {
                        Some(ips) => ips,
                        None => {
                            let mut ips = find(&host).map_err(|_| wrong("host not found"))?;
                            ips.dedup();
                            found.insert(ips)
                        }
                    };
                    let at = |ip: &IpAddr| Endpoint::from(SocketAddr::new(*ip, port));
                    endpoints.extend(ips.iter().map(at));
                }
            }
        }
        let [first, ..] = &endpoints[..] else { return Err(wrong("host not found")) };
        let mut listen = Self::new(first.clone());
        for option in options {
            listen.option(option)?;
        }
        Ok(endpoints.into_iter().map(|endpoint| Self { endpoint, ..listen.clone() }).collect())
    }

    fn option(&mut self, option: &str) -> Result<(), String> {
        let wrong = |what: &str| format!(r#"invalid {what} "{option}""#);
        match option.split_once('=') {
            // Every socket is bound by itself and shared by SO_REUSEPORT, asked for or not.
            None if matches!(option, "bind" | "reuseport") => {}
            None if matches!(option, "default_server" | "default") => self.default_server = true,
            None if option == "ssl" => self.ssl = true,
            None if option == "proxy_protocol" => self.proxy_protocol = true,
            None if option == "multipath" => self.multipath = true,
            Some(("backlog", value)) => match value.parse() {
                // nginx takes -1 for the system's own bound.
                Ok(-1) => self.backlog = i32::MAX,
                Ok(count) if count > 0 => self.backlog = count,
                _ => return Err(wrong("backlog")),
            },
            Some(("rcvbuf", value)) => {
                self.rcvbuf = Some(size(value).ok_or_else(|| wrong("rcvbuf"))?);
            }
            Some(("sndbuf", value)) => {
                self.sndbuf = Some(size(value).ok_or_else(|| wrong("sndbuf"))?);
            }
            Some(("ipv6only", value)) => {
                if !matches!(&self.endpoint, Endpoint::Tcp(SocketAddr::V6(_))) {
                    return Err(format!(
                        r#"ipv6only is not supported on addr "{}""#,
                        self.endpoint
                    ));
                }
                self.ipv6only = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(wrong("ipv6only flags")),
                };
            }
            Some(("so_keepalive", value)) => {
                self.keepalive = keepalive(value).ok_or_else(|| wrong("so_keepalive value"))?;
            }
            _ => return Err(format!(r#"the invalid "{option}" parameter"#)),
        }
        Ok(())
    }
}

/// Every place that a range of ports names, as in `10.0.0.1:8000-8009`; others name themselves.
fn places(place: &str) -> Option<Vec<String>> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (host, ports) = match place.rsplit_once(':') {
        Some((host, ports)) => (format!("{host}:"), ports),
        None => (String::new(), place),
    };
    let Some((first, last)) = ports.split_once('-') else { return Some(vec![place.to_owned()]) };
    if place.starts_with("unix:") || !digits(first) || !digits(last) {
        return Some(vec![place.to_owned()]); // a path, or a host's name
    }
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last)
        .then(|| (first..=last).map(|port| format!("{host}{port}")).collect())
}

/// `on`, `off`, or `idle:interval:probes` with at least one of the three.
fn keepalive(value: &str) -> Option<Keepalive> {
    match value {
        "on" => return Some(Keepalive::On { idle: None, interval: None, probes: None }),
        "off" => return Some(Keepalive::Off),
        _ => {}
    }
    let parts: Vec<_> = value.split(':').collect();
    let [idle, interval, probes] = parts[..] else { return None };
    if [idle, interval, probes].iter().all(|part| part.is_empty()) {
        return None;
    }
    let time = |part: &str| match part {
        "" => Some(None),
        part => seconds(part).filter(|time| !time.is_zero()).map(Some),
    };
    let probes = match probes {
        "" => None,
        part => Some(part.parse().ok().filter(|count| *count > 0)?),
    };
    Some(Keepalive::On { idle: time(idle)?, interval: time(interval)?, probes })
}

fn size(value: &str) -> Option<usize> {
    let (digits, unit) = match value.trim_end_matches(['k', 'K', 'm', 'M']) {
        digits if digits.len() == value.len() => (digits, 1),
        digits if digits.len() + 1 != value.len() => return None,
        digits if value.ends_with(['k', 'K']) => (digits, 1 << 10),
        digits => (digits, 1 << 20),
    };
    digits.parse::<usize>().ok().filter(|count| *count > 0)?.checked_mul(unit)
}

pub fn seconds(value: &str) -> Option<Duration> {
    let (digits, unit) = match value.as_bytes().last()? {
        b's' => (&value[..value.len() - 1], 1),
        b'm' => (&value[..value.len() - 1], 60),
        b'h' => (&value[..value.len() - 1], 3600),
        b'd' => (&value[..value.len() - 1], 86400),
        _ => (value, 1),
    };
    Some(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?))
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{call} to {endpoint} failed ({}){}", errno(cause), remedy(cause, endpoint))]
pub struct Error {
    pub call: &'static str,
    pub endpoint: Endpoint,
    #[source]
    pub cause: io::Error,
}

fn remedy(cause: &io::Error, endpoint: &Endpoint) -> &'static str {
    match (cause.kind(), endpoint) {
        (io::ErrorKind::PermissionDenied, Endpoint::Tcp(addr)) if addr.port() < 1024 => {
            ": ports below 1024 need root or CAP_NET_BIND_SERVICE"
        }
        (io::ErrorKind::PermissionDenied, Endpoint::Unix(_)) => {
            ": its directory must be writable for us"
        }
        (io::ErrorKind::AddrNotAvailable, _) => ": no interface of this machine has the address",
        _ => "",
    }
}

/// A listening socket that belongs to no runtime yet.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    endpoint: Endpoint,
}

/// A listening socket within a runtime.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Opens `shards` sockets, one for each worker: the kernel spreads connections over them.
///
/// By a unix path there is one socket, which the workers share.
pub fn open(listen: &Listen, shards: usize) -> Result<Vec<Socket>, Error> {
    if let Endpoint::Tcp(addr) = listen.endpoint {
        // SO_REUSEPORT would let two gateposts of one user share the port without a word.
        tcp(listen, addr, false)?;
    }
    open_beside(listen, shards)
}

/// Opens `shards` more sockets where this process listens already.
pub fn open_beside(listen: &Listen, shards: usize) -> Result<Vec<Socket>, Error> {
    match &listen.endpoint {
        Endpoint::Tcp(addr) => {
            let mut addr = *addr;
            let mut sockets = Vec::with_capacity(shards);
            for _ in 0..shards {
                let socket = start(tcp(listen, addr, true)?, listen)?;
                // Port 0 is any free port, but the same for all.
                addr = socket.endpoint.tcp().unwrap_or(addr);
                sockets.push(socket);
            }
            Ok(sockets)
        }
        Endpoint::Unix(path) => {
            let first = start(unix(listen, path)?, listen)?;
            let fail = |cause| Error { call: "dup()", endpoint: listen.endpoint.clone(), cause };
            let mut sockets = vec![first];
            while sockets.len() < shards {
                let next = sockets[0].try_clone().map_err(fail)?;
                sockets.push(next);
            }
            Ok(sockets)
        }
    }
}

/// A bound socket, with every option that must stand before `bind()`.
fn tcp(listen: &Listen, addr: SocketAddr, shared: bool) -> Result<RawSocket, Error> {
    let fail = |call| move |cause| Error { call, endpoint: listen.endpoint.clone(), cause };
    let protocol = if listen.multipath { Protocol::MPTCP } else { Protocol::TCP };
    let socket = RawSocket::new(Domain::for_address(addr), Type::STREAM, Some(protocol))
        .map_err(fail("socket()"))?;
    let prepare = || {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        if addr.is_ipv6() {
            socket.set_only_v6(listen.ipv6only)?;
        }
        // Buffers before listen(), or the window scale is settled without them.
        listen.rcvbuf.map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes))?;
        listen.sndbuf.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes))
    };
    prepare().map_err(fail("setsockopt()"))?;
    socket.bind(&addr.into()).map_err(fail("bind()"))?;
    Ok(socket)
}

fn unix(listen: &Listen, path: &Path) -> Result<RawSocket, Error> {
    let fail = |call| move |cause| Error { call, endpoint: listen.endpoint.clone(), cause };
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None).map_err(fail("socket()"))?;
    let addr = SockAddr::unix(path).map_err(fail("bind()"))?;
    match socket.bind(&addr) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path).map_err(fail("unlink()"))?;
            socket.bind(&addr).map_err(fail("bind()"))?;
        }
        bound => bound.map_err(fail("bind()"))?,
    }
    // As nginx: who may connect is for the directory's permissions to say.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
        .map_err(fail("chmod()"))?;
    Ok(socket)
}

/// Whether `path` is a socket that nobody listens on any more. Anything else is left alone.
fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn start(socket: RawSocket, listen: &Listen) -> Result<Socket, Error> {
    let fail = |call| move |cause| Error { call, endpoint: listen.endpoint.clone(), cause };
    socket.listen(listen.backlog).map_err(fail("listen()"))?;
    let socket = Socket::adopt(socket.into()).map_err(fail("getsockname()"))?;
    socket.tune(listen).map_err(fail("setsockopt()"))?;
    Ok(socket)
}

impl Socket {
    /// Takes over a descriptor that already listens: one handed over by an older binary.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        if !sockopt::socket_acceptconn(&fd)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a listening socket"));
        }
        let raw = RawSocket::from(fd);
        let addr = raw.local_addr()?;
        let endpoint = match (addr.as_socket(), addr.as_pathname()) {
            (Some(addr), _) => Endpoint::Tcp(addr),
            (None, Some(path)) => Endpoint::Unix(path.to_owned()),
            (None, None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        raw.set_nonblocking(true)?;
        Ok(Self { fd: raw.into(), endpoint })
    }

    /// Sets what may change while the socket listens: the backlog and what connections inherit.
    pub fn tune(&self, listen: &Listen) -> io::Result<()> {
        let raw = socket2::SockRef::from(&self.fd);
        raw.listen(listen.backlog)?;
        if let Endpoint::Tcp(_) = self.endpoint {
            // On Linux connections take this from the listener: one call less for each of them.
            raw.set_tcp_nodelay(true)?;
            match listen.keepalive {
                Keepalive::System => {}
                Keepalive::Off => raw.set_keepalive(false)?,
                Keepalive::On { idle, interval, probes } => {
                    let mut figures = TcpKeepalive::new();
                    figures = idle.map_or(figures.clone(), |time| figures.with_time(time));
                    figures = interval.map_or(figures.clone(), |time| figures.with_interval(time));
                    figures = probes.map_or(figures.clone(), |count| figures.with_retries(count));
                    raw.set_keepalive(true)?;
                    raw.set_tcp_keepalive(&figures)?;
                }
            }
        }
        Ok(())
    }

    /// Where it really listens: never port 0.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, endpoint: self.endpoint.clone() })
    }

    /// Enters the runtime that is current.
    pub fn into_async(self) -> io::Result<Listener> {
        Ok(match self.endpoint {
            Endpoint::Tcp(_) => Listener::Tcp(TcpListener::from_std(self.fd.into())?),
            Endpoint::Unix(_) => Listener::Unix(UnixListener::from_std(self.fd.into())?),
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
