//! `upstream NAME { server …; }`: which servers there are, and which is tried next.

pub mod directives;
mod key;
mod server;
mod targets;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};

pub use key::Chooser;
pub use server::{Limits, Server};
pub use targets::{Target, Targets};

use super::balance::{self, Method};
use super::health::check::Settings as Check;
use super::health::{Fit, Servers, Ward};
use super::sticky::{self, Candidate, Stand};
use crate::config::{Block, Statement};
use crate::http::Names;
use key::KeyTemplate;

/// The groups of one configuration, by name.
pub type Groups = BTreeMap<String, Arc<Group>>;

/// One `upstream` block.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    /// Where other rooms find their own directives for these servers.
    pub block: Block,
    /// Users are kept together.
    pub sticky: Option<sticky::Settings>,
    servers: Arc<[Server]>,
    method: Method,
    key: Option<KeyTemplate>,
    /// `health_check`
    pub check: Option<Check>,
    /// What is known of the servers: that of the fleet once it has joined, else its own.
    ward: OnceLock<Arc<Ward>>,
}

impl Group {
    /// Reads `upstream NAME { … }`; what holds for servers that do not say otherwise is `limits`.
    pub fn read(block: &Block, limits: &Limits) -> Self {
        let name = block.args().first().cloned().unwrap_or_default();
        let limits = Limits::read(block, limits);
        let read = |at: &Statement| Server::read(block, at, &limits);
        let servers: Vec<_> = block.all("server").into_iter().filter_map(read).collect();
        if !block.has("server") {
            block.fault_here(format!("no servers are inside upstream \"{name}\""));
        }
        // All workers share what is known of the servers, without a zone.
        block.statement("zone");
        let check = block.statement("health_check").map(|at| Check::read(block, at));
        let (method, key) = method(block, &servers);
        check_servers(block, &servers, &method);
        let (block, servers, ward) = (block.clone(), servers.into(), OnceLock::new());
        let sticky = sticky::Settings::read(&block);
        Self { name, block, sticky, servers, method, key, check, ward }
    }

    /// Shares what is known of its servers with all who know the group by this name. The first time
    /// counts.
    pub fn join(&self, servers: &Servers) {
        self.ward.get_or_init(|| servers.ward(&self.name, &self.servers));
    }

    /// What is known of its servers.
    pub fn ward(&self) -> Arc<Ward> {
        let alone = || Servers::alone().ward(&self.name, &self.servers);
        Arc::clone(self.ward.get_or_init(alone))
    }

    /// As stickiness knows it.
    pub fn described(&self) -> sticky::Described {
        let servers = self.servers.iter();
        sticky::Described {
            name: self.name.as_str().into(),
            settings: self.sticky,
            servers: servers.map(|one| (Arc::clone(&one.text), one.limits.weight)).collect(),
        }
    }

    pub fn servers(&self) -> &Arc<[Server]> {
        &self.servers
    }

    /// How the next server is chosen, as it is written; `round_robin` where nothing is.
    pub fn balance(&self) -> String {
        let said = ["hash", "ip_hash", "least_conn", "random"];
        let said = said.iter().find_map(|name| self.block.statement(name));
        said.map_or_else(
            || "round_robin".to_owned(),
            |at| [&[at.name().to_owned()], at.args()].concat().join(" "),
        )
    }

    /// Its servers, each with what it is good for now to those who are kept together.
    pub fn candidates(&self, port: u16) -> Vec<Candidate<'_>> {
        let ward = self.ward();
        let fits = |(number, server): (usize, &Server)| ward.fit(server, number + 1, port);
        let fits: Vec<_> = self.servers.iter().enumerate().map(fits).collect();
        let is_needed = !(self.servers.iter().zip(&fits))
            .any(|(server, fit)| !server.is_backup && *fit == Fit::Good);
        let candidates = self.servers.iter().zip(&fits).map(|(server, fit)| Candidate {
            name: &server.text,
            weight: server.limits.weight,
            stand: match fit {
                Fit::Good if server.is_backup && !is_needed => Stand::Shut,
                Fit::Good => Stand::Open,
                // Whoever is drained takes nobody, its own users neither: they move with their next
                // login. Who is full has no place for them.
                Fit::Full | Fit::Failing | Fit::Locked | Fit::Off => Stand::Shut,
            },
        });
        candidates.collect()
    }

    /// The candidates for the login of `chooser`.
    pub fn targets(&self, names: &Names, chooser: &Chooser) -> Targets {
        let key = self.key.as_ref().map(|key| key.fill(chooser)).unwrap_or_default();
        Targets::of(self, self.ward(), names, key, chooser.client)
    }
}

/// How the next server is chosen, as the block says.
fn method(block: &Block, servers: &[Server]) -> (Method, Option<KeyTemplate>) {
    let names = ["hash", "ip_hash", "least_conn", "random"];
    let said: Vec<_> = names.iter().filter_map(|name| block.statement(name)).collect();
    if let [_, second, ..] = said.as_slice() {
        block.fault(second, "load balancing method redefined");
    }
    let Some(at) = said.first() else { return (Method::RoundRobin, None) };
    let words: Vec<_> = at.args().iter().map(String::as_str).collect();
    let invalid = |word: &str| block.fault(at, format!("invalid parameter \"{word}\""));
    match (at.name(), words.as_slice()) {
        ("hash", [text, rest @ ..]) => {
            let key = KeyTemplate::parse(text);
            let key = key.map_err(|why| block.fault(at, format!("{why} in \"hash\""))).ok();
            let ring = match rest {
                [] => None,
                ["consistent"] => Some(Arc::new(ring(block, at, servers))),
                [other, ..] => {
                    invalid(other);
                    None
                }
            };
            (Method::Hash(ring), key)
        }
        ("ip_hash", _) => (Method::IpHash, None),
        ("least_conn", _) => (Method::LeastConn, None),
        (_, []) => (Method::Random { two: false }, None),
        (_, ["two"] | ["two", "least_conn"]) => (Method::Random { two: true }, None),
        (_, ["two", other, ..] | [other, ..]) => {
            invalid(other);
            (Method::Random { two: false }, None)
        }
    }
}

fn ring(block: &Block, at: &Statement, servers: &[Server]) -> balance::Ring {
    let weight: u64 = servers.iter().map(|server| u64::from(server.limits.weight)).sum();
    if weight > balance::MOST_WEIGHT {
        let most = balance::MOST_WEIGHT;
        block.fault(
            at,
            format!("the weights of a consistent hash must be {most} in all at the most"),
        );
        return balance::Ring::new(std::iter::empty());
    }
    balance::Ring::new(servers.iter().map(|server| (&*server.text, server.limits.weight)))
}

/// What one server may not have with this method, or with the other servers.
fn check_servers(block: &Block, servers: &[Server], method: &Method) {
    let mut seen = HashSet::new();
    for server in servers {
        let at = block.all("server").into_iter().find(|at| {
            at.arg(0).is_some_and(|text| Server::parse(text).is_ok_and(|it| it.text == server.text))
        });
        let fault = |text: String| match at {
            Some(at) => block.fault(at, text),
            None => block.fault_here(text),
        };
        if !seen.insert(&server.text) {
            fault(format!("duplicate server \"{server}\": say \"weight=2\" instead"));
        }
        if method.knows_backup() {
            continue;
        }
        if server.is_backup {
            fault("balancing method does not support parameter \"backup\"".to_owned());
        }
        if !server.limits.slow_start.is_zero() {
            fault("balancing method does not support parameter \"slow_start\"".to_owned());
        }
    }
    let has = |is: fn(&&Server) -> bool| servers.iter().any(|server| is(&server));
    if has(|server| server.is_backup) && !has(|server| !server.is_backup) {
        block.fault_here("no server but backups: one must be without \"backup\"");
    }
}

#[cfg(test)]
mod tests;
