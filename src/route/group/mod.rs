//! `upstream NAME { server …; }`: which servers there are, and which is tried next.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::{Block, Statement};
use crate::http::Names;
use crate::net::{Endpoint, Place, addr, dns};

/// The groups of one configuration, by name.
pub type Groups = BTreeMap<String, Arc<Group>>;

/// One `upstream` block.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    /// Where other rooms find their own directives for these servers.
    pub block: Block,
    servers: Arc<[Server]>,
    /// Counts the logins sent here, so that each begins at the next server.
    turn: AtomicUsize,
}

/// One server, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(Place);

/// The port of a server that is written without one, until it is known which one is meant.
const STANDARD: u16 = 0;

impl Server {
    /// Reads `host[:port]`, `[v6][:port]` or `unix:path`.
    pub fn parse(text: &str) -> Result<Self, addr::Fault> {
        Place::parse(text, Some(STANDARD)).map(Self)
    }

    /// The one server at `place`.
    pub fn at(place: Place) -> Self {
        Self(place)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
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

impl Group {
    /// Reads `upstream NAME { … }`.
    pub fn read(block: &Block) -> Self {
        let name = block.args().first().cloned().unwrap_or_default();
        let servers: Vec<_> =
            block.all("server").into_iter().filter_map(|at| server(block, at)).collect();
        if !block.has("server") {
            block.fault_here(format!("no servers are inside upstream \"{name}\""));
        }
        Self { name, block: block.clone(), servers: servers.into(), turn: AtomicUsize::new(0) }
    }

    /// The candidates for the next login, in order.
    pub fn targets(&self, names: &Names) -> Targets {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Targets::new(Arc::clone(&self.servers), turn, names)
    }
}

fn server(block: &Block, at: &Statement) -> Option<Server> {
    let text = at.arg(0)?;
    if let Some(unknown) = at.arg(1) {
        block.fault(at, format!("invalid parameter \"{unknown}\""));
    }
    match Server::parse(text) {
        Ok(server) => Some(server),
        Err(fault) => {
            block.fault(at, format!("{fault} in upstream \"{text}\""));
            None
        }
    }
}

/// The addresses that one login may be sent to, in the order they are to be tried: all addresses
/// of a server, then those of the next.
///
/// Names are resolved when their turn comes. To ask for another target is to say that the one
/// before could not be reached.
#[derive(Debug)]
pub struct Targets {
    servers: Arc<[Server]>,
    names: Names,
    turn: usize,
    /// How many servers were begun with.
    begun: usize,
    /// What is left of the server at hand.
    rest: VecDeque<SocketAddr>,
    host: Option<Arc<str>>,
}

/// One address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub endpoint: Endpoint,
    /// The name it was found by, for the certificate; none where an address is written.
    pub host: Option<Arc<str>>,
}

impl Targets {
    pub fn new(servers: Arc<[Server]>, turn: usize, names: &Names) -> Self {
        let (names, rest) = (Arc::clone(names), VecDeque::new());
        Self { servers, names, turn, begun: 0, rest, host: None }
    }

    /// The servers as they are written.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The next one, or none when all were tried. Where no port is written, it is `port`: the
    /// protocol's own.
    ///
    /// A server whose name has no address is told and stepped over: the next call goes on behind it.
    pub async fn next(&mut self, port: u16) -> Option<Result<Target, dns::Error>> {
        if let Some(address) = self.rest.pop_front() {
            let endpoint = Endpoint::Tcp(address);
            return Some(Ok(Target { endpoint, host: self.host.clone() }));
        }
        if self.begun == self.servers.len() {
            return None;
        }
        let place = &self.servers[(self.turn.wrapping_add(self.begun)) % self.servers.len()].0;
        self.begun += 1;
        let endpoint = match place {
            Place::Named { host, port: written } => {
                let (host, port) = (Arc::<str>::from(host.as_str()), or_standard(*written, port));
                let found = match self.names.resolve(&host).await {
                    Ok(found) => found,
                    Err(error) => return Some(Err(error)),
                };
                self.rest = found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                // The addresses of one name take turns as well, once all servers have had theirs.
                if let Some(last) = self.rest.len().checked_sub(1) {
                    self.rest.rotate_left(self.turn / self.servers.len() % (last + 1));
                }
                let Some(address) = self.rest.pop_front() else {
                    return Some(Err(dns::Error::NotFound(host.to_string())));
                };
                self.host = Some(host);
                return Some(Ok(Target { endpoint: address.into(), host: self.host.clone() }));
            }
            Place::Fixed(Endpoint::Tcp(address)) => {
                SocketAddr::new(address.ip(), or_standard(address.port(), port)).into()
            }
            Place::Fixed(unix @ Endpoint::Unix(_)) => unix.clone(),
        };
        Some(Ok(Target { endpoint, host: None }))
    }
}

fn or_standard(written: u16, standard: u16) -> u16 {
    if written == STANDARD { standard } else { written }
}

#[cfg(test)]
mod tests;
