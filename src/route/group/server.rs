//! `server ADDRESS [PARAMETER…];`: one server as it is written.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::value::{Wrong, read_time};
use crate::config::{Block, Statement};
use crate::http::Names;
use crate::net::{Endpoint, Place, addr, dns};

/// The port of a server that is written without one, until it is known which one is meant.
pub const STANDARD: u16 = 0;

/// The most that `weight` may be.
const MOST_WEIGHT: u32 = 65_535;

/// One server, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    place: Place,
    /// As it is written: what an administrator knows it by.
    pub text: Arc<str>,
    pub limits: Limits,
    pub is_backup: bool,
    /// Marked as `down` in the configuration.
    pub is_down: bool,
}

/// What one server may be asked for, and how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub weight: u32,
    /// So many failures within `fail_timeout` set it aside for `fail_timeout`; 0: nothing does.
    pub max_fails: u32,
    pub fail_timeout: Duration,
    /// Connections to one address; 0: as many as come.
    pub max_conns: usize,
    /// How long it takes to its whole weight again, once it is back.
    pub slow_start: Duration,
    /// So many failures without a success between them lock it; 0: nothing does.
    pub lock_after: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_conns: 0,
            slow_start: Duration::ZERO,
            lock_after: 10,
        }
    }
}

impl Limits {
    /// What holds for the servers of `block` that do not say otherwise.
    pub fn read(block: &Block, outer: &Self) -> Self {
        Self {
            max_fails: block.number("max_fails", 0..).unwrap_or(outer.max_fails),
            fail_timeout: block.time("reconnect_timeout").unwrap_or(outer.fail_timeout),
            lock_after: block.number("lock_after", 0..).unwrap_or(outer.lock_after),
            ..*outer
        }
    }
}

impl Server {
    /// Reads `host[:port]`, `[v6][:port]` or `unix:path`.
    pub fn parse(text: &str) -> Result<Self, addr::Fault> {
        Place::parse(text, Some(STANDARD)).map(Self::at)
    }

    /// The one server at `place`.
    pub fn at(place: Place) -> Self {
        let text = Written(&place).to_string().into();
        Self { place, text, limits: Limits::default(), is_backup: false, is_down: false }
    }

    /// Reads a statement of an `upstream` block.
    pub fn read(block: &Block, at: &Statement, limits: &Limits) -> Option<Self> {
        let text = at.arg(0)?;
        let mut server = match Self::parse(text) {
            Ok(server) => Self { limits: *limits, ..server },
            Err(fault) => {
                block.fault(at, format!("{fault} in upstream \"{text}\""));
                return None;
            }
        };
        let mut seen: Vec<&str> = Vec::new();
        for parameter in &at.args()[1..] {
            let name = parameter.split('=').next().unwrap_or_default();
            if seen.contains(&name) {
                block.fault(at, format!("duplicate parameter \"{name}\""));
            } else if server.take(parameter).is_err() {
                block.fault(at, format!("invalid parameter \"{parameter}\""));
            }
            seen.push(name);
        }
        Some(server)
    }

    fn take(&mut self, parameter: &str) -> Result<(), Wrong> {
        let limits = &mut self.limits;
        match parameter.split_once('=') {
            None => match parameter {
                "backup" => self.is_backup = true,
                "down" => self.is_down = true,
                // A name is resolved again as its answer ages, whatever is written.
                "resolve" => {}
                _ => return Err(Wrong::Form),
            },
            Some(("weight", text)) => {
                limits.weight = number(text)?;
                if !(1..=MOST_WEIGHT).contains(&limits.weight) {
                    return Err(Wrong::TooLarge);
                }
            }
            Some(("max_fails", text)) => limits.max_fails = number(text)?,
            Some(("fail_timeout", text)) => limits.fail_timeout = read_time(text)?,
            Some(("max_conns", text)) => limits.max_conns = number(text)? as usize,
            Some(("slow_start", text)) => limits.slow_start = read_time(text)?,
            Some(_) => return Err(Wrong::Form),
        }
        Ok(())
    }

    /// What the port is where the protocol's own is `standard`; none of a unix socket.
    pub fn port(&self, standard: u16) -> Option<u16> {
        let written = match &self.place {
            Place::Named { port, .. } => *port,
            Place::Fixed(Endpoint::Tcp(address)) => address.port(),
            Place::Fixed(Endpoint::Unix(_)) => return None,
        };
        Some(if written == STANDARD { standard } else { written })
    }

    /// Whether a port is written, or it needs none.
    pub fn is_exact(&self) -> bool {
        self.port(STANDARD) != Some(STANDARD)
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its addresses now, where the protocol's own port is `standard`.
    pub async fn addresses(
        &self,
        names: &Names,
        standard: u16,
    ) -> Result<Vec<Endpoint>, dns::Error> {
        let port = self.port(standard).unwrap_or(STANDARD);
        match &self.place {
            Place::Named { host, .. } => {
                let found = names.resolve(host).await?;
                if found.is_empty() {
                    return Err(dns::Error::NotFound(host.clone()));
                }
                Ok(found.iter().map(|ip| SocketAddr::new(*ip, port).into()).collect())
            }
            Place::Fixed(Endpoint::Tcp(address)) => {
                Ok(vec![SocketAddr::new(address.ip(), port).into()])
            }
            Place::Fixed(unix @ Endpoint::Unix(_)) => Ok(vec![unix.clone()]),
        }
    }
}

fn number(text: &str) -> Result<u32, Wrong> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(Wrong::Form)
}

/// A place as an administrator writes it: without the port where there is none yet.
struct Written<'a>(&'a Place);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Fixed(Endpoint::Tcp(address)) if address.port() == STANDARD => {
                // Brackets without a port.
                let text = address.to_string();
                f.write_str(text.strip_suffix(":0").unwrap_or(&text))
            }
            Place::Named { host, port: STANDARD } => f.write_str(host),
            place => place.fmt(f),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
