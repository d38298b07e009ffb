//! Syslog as a log's target: nginx's `syslog:server=…` and RFC 3164 datagrams.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::clock;
use super::log::Level;
use super::sink::Error;

/// What `syslog:server=ADDR[:PORT]|unix:PATH[,facility=][,severity=][,tag=][,nohostname]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    server: Server,
    facility: u8,
    severity: Level,
    tag: String,
    with_hostname: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    /// Host and port, looked up when the log is opened.
    Udp(String),
    Unix(PathBuf),
}

/// In the order of their numbers: RFC 3164 §4.1.1. The names are nginx's.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv",
    "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

const TAG_MAX: usize = 32;

impl Settings {
    /// Reads what follows `syslog:`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fault = |text: String| Err(Error::Syslog(text));
        let mut server = None;
        let mut settings = Self {
            server: Server::Udp(String::new()),
            facility: 23,
            severity: Level::Info,
            tag: "gatepost".to_owned(),
            with_hostname: true,
        };
        for parameter in text.split(',') {
            match parameter.split_once('=') {
                Some(("server", to)) => match to.strip_prefix("unix:") {
                    Some(path) => server = Some(Server::Unix(path.into())),
                    None if to.is_empty() => {}
                    None => server = Some(Server::Udp(with_port(to))),
                },
                Some(("facility", name)) => {
                    match FACILITIES.iter().position(|facility| *facility == name) {
                        Some(number) => settings.facility = u8::try_from(number).unwrap_or(23),
                        None => return fault(format!("unknown syslog facility \"{name}\"")),
                    }
                }
                Some(("severity", name)) => match name.parse() {
                    Ok(level) => settings.severity = level,
                    Err(_) => return fault(format!("unknown syslog severity \"{name}\"")),
                },
                Some(("tag", tag)) => {
                    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                    if tag.len() > TAG_MAX {
                        return fault(format!("syslog \"tag\" length exceeds {TAG_MAX}"));
                    }
                    if !tag.bytes().all(is_fit) {
                        let only = "only allows alphanumeric characters and underscore";
                        return fault(format!("syslog \"tag\" {only}"));
                    }
                    settings.tag = tag.to_owned();
                }
                None if parameter == "nohostname" => settings.with_hostname = false,
                _ => return fault(format!("unknown syslog parameter \"{parameter}\"")),
            }
        }
        let Some(server) = server else {
            return fault("no syslog server specified".to_owned());
        };
        Ok(Self { server, ..settings })
    }

    pub fn open(&self) -> Result<Syslog, Error> {
        let fault = |cause: io::Error| Error::Syslog(format!("syslog server: {cause}"));
        let socket = match &self.server {
            Server::Unix(path) => {
                let socket = UnixDatagram::unbound().map_err(fault)?;
                socket.set_nonblocking(true).map_err(fault)?;
                Socket::Unix(socket, path.clone())
            }
            Server::Udp(host) => {
                let to = host.to_socket_addrs().map_err(fault)?.next().ok_or_else(|| {
                    Error::Syslog(format!("host not found in syslog server \"{host}\""))
                })?;
                let any = match to {
                    SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                    SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
                };
                let socket = UdpSocket::bind(any).map_err(fault)?;
                socket.set_nonblocking(true).map_err(fault)?;
                Socket::Udp(socket, to)
            }
        };
        Ok(Syslog { settings: self.clone(), socket: Arc::new(socket) })
    }
}

fn with_port(host: &str) -> String {
    let has_port = match host.rsplit_once(':') {
        // The colons of a bare `[…]` are the address's own.
        Some((_, port)) => !port.ends_with(']'),
        None => false,
    };
    if has_port { host.to_owned() } else { format!("{host}:514") }
}

/// A socket to a syslog server. Each datagram is addressed anew, so a server that was restarted is
/// found again.
#[derive(Clone, Debug)]
pub struct Syslog {
    settings: Settings,
    socket: Arc<Socket>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket, SocketAddr),
    Unix(UnixDatagram, PathBuf),
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Syslog {
    /// Sends one line, at `level` or, where that is `None`, at the severity that was set. A full
    /// socket loses the line: logging never waits.
    pub fn send(&self, level: Option<Level>, line: &[u8]) -> io::Result<()> {
        let mut datagram = SCRATCH.take();
        datagram.clear();
        self.head(level, SystemTime::now(), &mut datagram);
        datagram.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        let sent = match &*self.socket {
            Socket::Udp(socket, to) => socket.send_to(&datagram, to),
            Socket::Unix(socket, to) => socket.send_to(&datagram, to),
        };
        SCRATCH.set(datagram);
        sent.map(drop)
    }

    /// RFC 3164 §4.1: priority, time, host and tag.
    fn head(&self, level: Option<Level>, now: SystemTime, out: &mut Vec<u8>) {
        let settings = &self.settings;
        let priority = settings.facility * 8 + level.unwrap_or(settings.severity).severity();
        out.extend_from_slice(format!("<{priority}>").as_bytes());
        clock::with(now, |stamp| out.extend_from_slice(stamp.syslog.as_bytes()));
        out.push(b' ');
        if settings.with_hostname {
            out.extend_from_slice(hostname().as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(settings.tag.as_bytes());
        out.extend_from_slice(b": ");
    }
}

/// The machine's name, in lower case as nginx has it.
pub fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name: String = name.chars().filter(char::is_ascii_graphic).collect();
        if name.is_empty() { "localhost".to_owned() } else { name.to_ascii_lowercase() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nginxs_parameters_and_names_what_is_wrong() {
        for (text, want) in [
            ("server=127.0.0.1", Ok("127.0.0.1:514")),
            (
                "server=127.0.0.1:5140,facility=mail,tag=mx1,severity=warn,nohostname",
                Ok("127.0.0.1:5140"),
            ),
            ("server=[::1]", Ok("[::1]:514")),
            ("server=[::1]:5140", Ok("[::1]:5140")),
            ("", Err("unknown syslog parameter \"\"")),
            ("server=", Err("no syslog server specified")),
            ("nohostname", Err("no syslog server specified")),
            ("server=a,facility=post", Err("unknown syslog facility \"post\"")),
            ("server=a,severity=loud", Err("unknown syslog severity \"loud\"")),
            ("server=a,colour=red", Err("unknown syslog parameter \"colour=red\"")),
            (
                "server=a,tag=a-b",
                Err("syslog \"tag\" only allows alphanumeric characters and underscore"),
            ),
            (
                "server=a,tag=aaaaaaaaaabbbbbbbbbbccccccccccddd",
                Err("syslog \"tag\" length exceeds 32"),
            ),
        ] {
            let got = Settings::parse(text).map(|settings| settings.server);
            let want = want.map(|host| Server::Udp(host.to_owned())).map_err(str::to_owned);
            assert_eq!(got.map_err(|error| error.to_string()), want, "{text}");
        }
    }

    #[test]
    fn a_datagram_has_the_shape_of_rfc_3164() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let text = format!("server=unix:{},facility=mail,tag=mx1,nohostname", path.display());
        let syslog = Settings::parse(&text).unwrap().open().unwrap();
        let mut datagram = [0; 256];
        for (level, priority) in [(None, 22), (Some(Level::Error), 19), (Some(Level::Emerg), 16)] {
            syslog.send(level, b"hello\n").unwrap();
            let read = server.recv(&mut datagram).unwrap();
            let got = std::str::from_utf8(&datagram[..read]).unwrap();
            let rest =
                got.strip_prefix(&format!("<{priority}>")).unwrap_or_else(|| panic!("{got}"));
            assert_eq!(&rest["Nov 20 18:22:18".len()..], " mx1: hello");
        }
    }

    #[test]
    fn a_server_that_was_restarted_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text = format!("server=unix:{}", path.display());
        let syslog = Settings::parse(&text).unwrap().open().unwrap();
        assert!(syslog.send(None, b"nobody there\n").is_err());
        let server = UnixDatagram::bind(&path).unwrap();
        syslog.send(None, b"hello\n").unwrap();
        let mut datagram = [0; 256];
        let read = server.recv(&mut datagram).unwrap();
        let want = format!(" {} gatepost: hello", hostname());
        assert!(datagram[..read].ends_with(want.as_bytes()));
    }
}
