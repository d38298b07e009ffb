//! The variables of `log_format` and `auth_http_header`: nginx's names where it has one.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::access::{Line, Tls};
use super::syslog::hostname;
use super::{Addr, clock};

/// A variable: its name without the `$`, what it means, and where its value comes from.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    /// One line of Markdown.
    pub doc: &'static str,
    /// Appends the raw value. Nothing appended: there is no value.
    pub value: fn(&Line, SystemTime, &mut Vec<u8>),
}

/// The table of `docs/variables.md`.
pub fn docs() -> String {
    let mut text = "| variable | what it says |\n|---|---|\n".to_owned();
    for Variable { name, doc, .. } in VARIABLES {
        // A `String` takes everything.
        let _ = writeln!(text, "| `${name}` | {doc} |");
    }
    text
}

/// Every variable, in the order that `docs/` shows them.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "remote_addr",
        doc: "The client's address; behind a trusted proxy, the one that the proxy names.",
        value: |line, _, out| put(out, line.client.host()),
    },
    Variable {
        name: "remote_port",
        doc: "The client's port.",
        value: |line, _, out| put_some(out, line.client.port()),
    },
    Variable {
        name: "binary_remote_addr",
        doc: "The client's address as 4 or 16 bytes: the shortest key for `limit_conn_zone`.",
        value: |line, _, out| match ip(&line.client) {
            Some(IpAddr::V4(ip)) => out.extend_from_slice(&ip.octets()),
            Some(IpAddr::V6(ip)) => out.extend_from_slice(&ip.octets()),
            None => put(out, line.client.host()),
        },
    },
    Variable {
        name: "remote_prefix",
        doc: "The network that the client's address lies in: of IPv4 the /24, of IPv6 the /64, which is \
              what one customer has.",
        value: |line, _, out| match ip(&line.client) {
            Some(IpAddr::V4(ip)) => {
                let net = Ipv4Addr::from_bits(ip.to_bits() >> 8 << 8);
                put(out, format_args!("{net}/24"));
            }
            // RFC 6177 §2: a site has a /64 at the least, and its hosts choose within it.
            Some(IpAddr::V6(ip)) => {
                let net = Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64);
                put(out, format_args!("{net}/64"));
            }
            None => put(out, line.client.host()),
        },
    },
    Variable {
        name: "realip_remote_addr",
        doc: "The address that connected: the proxy's, or the client's own.",
        value: |line, _, out| put(out, line.peer.as_ref().unwrap_or(&line.client).host()),
    },
    Variable {
        name: "realip_remote_port",
        doc: "The port that connected.",
        value: |line, _, out| put_some(out, line.peer.as_ref().unwrap_or(&line.client).port()),
    },
    Variable {
        name: "server_addr",
        doc: "The address of ours that was connected to.",
        value: |line, _, out| put(out, line.server.host()),
    },
    Variable {
        name: "server_port",
        doc: "The port of ours that was connected to.",
        value: |line, _, out| put_some(out, line.server.port()),
    },
    Variable {
        name: "server_name",
        doc: "The first `server_name` of the server that took the session.",
        value: |line, _, out| put(out, &line.server_name),
    },
    Variable {
        name: "protocol",
        doc: "`imap`, `pop3`, `smtp`, `lmtp` or `sieve`.",
        value: |line, _, out| put(out, line.protocol),
    },
    Variable {
        name: "remote_user",
        doc: "The user name that was given with the password, as the client wrote it.",
        value: |line, _, out| out.extend_from_slice(line.login.as_deref().unwrap_or_default()),
    },
    Variable {
        name: "login",
        doc: "The same as `$remote_user`.",
        value: |line, _, out| out.extend_from_slice(line.login.as_deref().unwrap_or_default()),
    },
    Variable {
        name: "mailbox",
        doc: "The name that was looked up: the authorization identity, or else the user name.",
        value: |line, _, out| {
            let name = line.mailbox.as_deref().or(line.login.as_deref());
            out.extend_from_slice(name.unwrap_or_default());
        },
    },
    Variable {
        name: "auth_method",
        doc: "How the last attempt was made: `login`, `apop`, `auth-` and the mechanism \
              (`auth-plain`, `auth-scram-sha-256`), or `none`.",
        value: |line, _, out| put_some(out, line.mechanism),
    },
    Variable {
        name: "login_attempts",
        doc: "How often the client tried to log in.",
        value: |line, _, out| put(out, line.attempts),
    },
    Variable {
        name: "client_errors",
        doc: "How many of the client's commands were broken.",
        value: |line, _, out| put(out, line.errors),
    },
    Variable {
        name: "client_agent",
        doc: "The client's program, as IMAP ID names it.",
        value: |line, _, out| put_some(out, line.agent.as_deref()),
    },
    Variable {
        name: "client_agent_version",
        doc: "That program's version.",
        value: |line, _, out| put_some(out, line.agent_version.as_deref()),
    },
    Variable {
        name: "ssl_protocol",
        doc: "The version of TLS with the client: `TLSv1.2`, `TLSv1.3`.",
        value: |line, _, out| put_some(out, tls(line).map(|tls| tls.protocol)),
    },
    Variable {
        name: "ssl_cipher",
        doc: "The cipher suite with the client.",
        value: |line, _, out| put_some(out, tls(line).map(|tls| tls.cipher)),
    },
    Variable {
        name: "ssl_session_reused",
        doc: "`r` if the TLS session was resumed, else `.`.",
        value: |line, _, out| {
            put_some(out, tls(line).map(|tls| if tls.resumed { 'r' } else { '.' }))
        },
    },
    Variable {
        name: "ssl_server_name",
        doc: "The name that the client asked for by SNI.",
        value: |line, _, out| put_some(out, tls(line).and_then(|tls| tls.sni.as_deref())),
    },
    Variable {
        name: "ssl_alpn_protocol",
        doc: "The protocol that ALPN chose.",
        value: |line, _, out| {
            let alpn = tls(line).and_then(|tls| tls.alpn.as_deref());
            out.extend_from_slice(alpn.unwrap_or_default());
        },
    },
    Variable {
        name: "starttls",
        doc: "`on` if TLS was begun by STARTTLS or STLS.",
        value: |line, _, out| put(out, if line.starttls { "on" } else { "" }),
    },
    Variable {
        name: "upstream_addr",
        doc: "The upstream's address and port.",
        value: |line, _, out| put_some(out, line.upstream.as_ref()),
    },
    Variable {
        name: "upstream_name",
        doc: "The upstream group that it stands in.",
        value: |line, _, out| put_some(out, line.upstream_name.as_ref()),
    },
    Variable {
        name: "upstream_ssl_protocol",
        doc: "The version of TLS with the upstream.",
        value: |line, _, out| put_some(out, line.upstream_tls),
    },
    Variable {
        name: "upstream_cache_status",
        doc: "Whether the route came from the cache: `HIT`, `STALE` (past its time), `MISS`, `EXPIRED` (it was there, and was asked for anew), `BYPASS` (it is none that is kept).",
        value: |line, _, out| put_some(out, line.cache),
    },
    Variable {
        name: "upstream_lookup_time",
        doc: "How long the lookup took, in seconds with milliseconds.",
        value: |line, _, out| put_some(out, line.lookup.map(Seconds)),
    },
    Variable {
        name: "upstream_connect_time",
        doc: "How long connecting to the upstream took, its TLS handshake included, in seconds with milliseconds.",
        value: |line, _, out| put_some(out, line.connect.map(Seconds)),
    },
    Variable {
        name: "upstream_auth_time",
        doc: "How long the login at the upstream took, in seconds with milliseconds.",
        value: |line, _, out| put_some(out, line.auth.map(Seconds)),
    },
    Variable {
        name: "bytes_received",
        doc: "Bytes relayed from the client, after its login.",
        value: |line, _, out| put(out, line.bytes_received),
    },
    Variable {
        name: "bytes_sent",
        doc: "Bytes relayed to the client, after its login.",
        value: |line, _, out| put(out, line.bytes_sent),
    },
    Variable {
        name: "session_time",
        doc: "How long the session lasted, in seconds with milliseconds.",
        value: |line, _, out| put(out, Seconds(line.duration)),
    },
    Variable {
        name: "status",
        doc: "How it fared: `ok` (logged in), `refused`, `failed` (a fault of ours or behind us), `closed` (never asked to log in).",
        value: |line, _, out| put(out, line.status),
    },
    Variable {
        name: "session_end",
        doc: "Why it ended, in a word.",
        value: |line, _, out| put(out, line.end),
    },
    Variable {
        name: "connection",
        doc: "The connection's number, as `*N` in the error log.",
        value: |line, _, out| put(out, line.connection),
    },
    Variable {
        name: "session_id",
        doc: "The session's name, which the upstream is told too.",
        value: |line, _, out| put(out, &line.session),
    },
    Variable {
        name: "pid",
        doc: "The number of the process.",
        value: |_, _, out| put(out, std::process::id()),
    },
    Variable {
        name: "hostname",
        doc: "The machine's name.",
        value: |_, _, out| put(out, hostname()),
    },
    Variable {
        name: "time_local",
        doc: "When it ended, in local time: `20/Nov/2026:18:22:18 +0000`.",
        value: |_, now, out| clock::with(now, |stamp| put(out, &stamp.local)),
    },
    Variable {
        name: "time_iso8601",
        doc: "When it ended, in local time: `2026-11-20T18:22:18+00:00`.",
        value: |_, now, out| clock::with(now, |stamp| put(out, &stamp.iso)),
    },
    Variable {
        name: "msec",
        doc: "When it ended, in seconds since 1970 with milliseconds.",
        value: |_, now, out| put(out, since_1970(now)),
    },
    Variable {
        name: "session_start",
        doc: "When it began, in seconds since 1970 with milliseconds.",
        value: |line, _, out| put(out, since_1970(line.started)),
    },
    Variable {
        name: "dollar",
        doc: "A `$`, which cannot be written otherwise.",
        value: |_, _, out| put(out, '$'),
    },
];

/// Seconds with milliseconds, as nginx writes times.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

fn since_1970(time: SystemTime) -> Seconds {
    Seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The address without its port; of an IPv4 address mapped into IPv6, the IPv4 address.
fn ip(addr: &Addr) -> Option<IpAddr> {
    match addr {
        Addr::Ip(addr) => Some(addr.ip().to_canonical()),
        Addr::Unix(_) => None,
    }
}

fn tls(line: &Line) -> Option<&Tls> {
    line.tls.as_deref()
}

fn put_some(out: &mut Vec<u8>, value: Option<impl fmt::Display>) {
    if let Some(value) = value {
        put(out, value);
    }
}

fn put(out: &mut Vec<u8>, value: impl fmt::Display) {
    struct Raw<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Raw<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // A `Vec` takes everything.
    let _ = write!(Raw(out), "{value}");
}
