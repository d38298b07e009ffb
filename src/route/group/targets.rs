//! The addresses that one login may be sent to, one after the other.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Group, Server};
use crate::http::Names;
use crate::net::{Endpoint, Place, dns};
use crate::route::balance::Method;
use crate::route::health::{Fit, Slot, Ward, Wish};

/// The addresses that one login may be sent to, in the order they are to be tried: all addresses
/// of a server, then those of the next.
///
/// First come those that are fit to be used: the one that is preferred, the others as the group's
/// method says, then those that are kept for the others' sake. If they will not do, those that have
/// failed lately are tried all the same, the one whose failure is oldest first: a login that is
/// refused is no better than one that fails. What is locked is tried only if there was nothing else,
/// and then by one login in a while. What is down by the configuration, drained, locked by hand or
/// full is never tried.
///
/// Names are resolved when their turn comes. To ask for another target is to say that the one
/// before could not be reached.
#[derive(Debug)]
pub struct Targets {
    servers: Arc<[Server]>,
    names: Names,
    group: Option<Known>,
    /// Of servers without a group: which of them is first.
    turn: usize,
    preferred: Option<usize>,
    /// They are for somebody else to go to.
    is_for_others: bool,
    stage: Stage,
    /// Which servers have had their turn in this stage, and which of all have no address.
    begun: Vec<bool>,
    lost: Vec<bool>,
    has_chosen: bool,
    /// What is left of the server at hand.
    at: usize,
    rest: VecDeque<Endpoint>,
    given: Vec<(usize, Endpoint)>,
}

/// What is known of a group, and by what this login chooses.
#[derive(Debug)]
struct Known {
    ward: Arc<Ward>,
    method: Method,
    key: Vec<u8>,
    client: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Usable,
    Backup,
    LastResort,
    Locked,
    Over,
}

/// One address to connect to.
#[derive(Debug)]
pub struct Target {
    pub endpoint: Endpoint,
    /// The name it was found by, for the certificate; none where an address is written.
    pub host: Option<Arc<str>>,
    /// The server of the group, as it is written.
    pub server: Option<Arc<str>>,
    /// The place at it, to be held as long as the connection. None without a group.
    pub slot: Option<Slot>,
}

impl Targets {
    /// The servers as they are written.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Those of servers that belong to no group: nothing is known of them, nothing is counted.
    pub fn new(servers: Arc<[Server]>, turn: usize, names: &Names) -> Self {
        let count = servers.len();
        Self {
            servers,
            names: Arc::clone(names),
            group: None,
            turn,
            preferred: None,
            is_for_others: false,
            stage: Stage::Usable,
            begun: vec![false; count],
            lost: vec![false; count],
            has_chosen: false,
            at: 0,
            rest: VecDeque::new(),
            given: Vec::new(),
        }
    }

    pub(super) fn of(
        group: &Group,
        ward: Arc<Ward>,
        names: &Names,
        key: Vec<u8>,
        client: Option<IpAddr>,
    ) -> Self {
        let known = Known { ward, method: group.method.clone(), key, client };
        Self { group: Some(known), ..Self::new(Arc::clone(&group.servers), 0, names) }
    }

    /// `server`, as it is written, is tried first if it may be used at all: not where it is down,
    /// drained, locked, full, or has just failed. Says whether there is such a server.
    pub fn prefer(&mut self, server: &str) -> bool {
        self.preferred = self.servers.iter().position(|known| &*known.text == server);
        self.preferred.is_some()
    }

    /// They are told to somebody who goes there by himself: none is counted, no server's trial is used
    /// up by it, and what is locked is not among them.
    pub fn for_others(&mut self) {
        self.is_for_others = true;
    }

    /// The next one, or none when all were tried. Where no port is written, it is `port`: the
    /// protocol's own.
    ///
    /// A server whose name has no address is told and stepped over: the next call goes on behind it.
    pub async fn next(&mut self, port: u16) -> Option<Result<Target, dns::Error>> {
        loop {
            while let Some(endpoint) = self.rest.pop_front() {
                if let Some(target) = self.target(endpoint, port) {
                    return Some(Ok(target));
                }
            }
            let Some(index) = self.choose(port) else {
                if self.pass_on() {
                    continue;
                }
                if !self.is_for_others {
                    self.nobody(port);
                }
                return None;
            };
            self.begun[index] = true;
            self.at = index;
            let server = &self.servers[index];
            let mut found = match server.addresses(&self.names, port).await {
                Ok(found) => found,
                Err(error) => {
                    self.lost[index] = true;
                    if let Some(known) = self.group.as_ref().filter(|_| !self.is_for_others) {
                        known.ward.lost(&self.servers[index], index + 1, port, &error.to_string());
                    }
                    return Some(Err(error));
                }
            };
            self.arrange(index, port, &mut found);
            self.has_chosen = true;
            self.rest = found.into();
        }
    }

    /// The login has given up: if nobody at all is left of its group, that is told. To be called by
    /// who stops before the last target.
    pub fn nobody(&self, port: u16) {
        if let Some(known) = &self.group {
            known.ward.nobody(&self.servers, port);
        }
    }

    fn target(&mut self, endpoint: Endpoint, port: u16) -> Option<Target> {
        let at = (self.at, endpoint);
        if self.given.contains(&at) {
            return None;
        }
        let server = &self.servers[at.0];
        let (mut slot, mut text) = (None, None);
        if let Some(known) = &self.group {
            let is_last_resort = self.stage >= Stage::LastResort;
            if self.is_for_others {
                known.ward.takes(server, at.0 + 1, port, &at.1, is_last_resort).then_some(())?;
            } else {
                slot = Some(known.ward.admit(&self.servers, at.0, port, &at.1, is_last_resort)?);
            }
            text = Some(Arc::clone(&server.text));
        }
        let host = match server.place() {
            Place::Named { host, .. } => Some(Arc::from(host.as_str())),
            Place::Fixed(_) => None,
        };
        let endpoint = at.1.clone();
        self.given.push(at);
        Some(Target { endpoint, host, server: text, slot })
    }

    fn choose(&self, port: u16) -> Option<usize> {
        let count = self.servers.len();
        let Some(known) = &self.group else {
            let mut turns = (0..count).map(|step| self.turn.wrapping_add(step) % count);
            return turns.find(|index| !self.begun[*index]);
        };
        let is_open = |index: usize| !self.begun[index] && !self.lost[index];
        let fit = |index: usize| known.ward.fit(&self.servers[index], index + 1, port);
        match self.stage {
            Stage::Usable | Stage::Backup => {
                if let Some(index) = self.preferred
                    && is_open(index)
                    && fit(index) == Fit::Good
                {
                    return Some(index);
                }
                let is_backup = self.stage == Stage::Backup;
                let may =
                    |index: usize| is_open(index) && self.servers[index].is_backup == is_backup;
                known.ward.choose(&self.servers, port, &known.wish(!self.has_chosen), &may)
            }
            Stage::LastResort => {
                let will_do = |index: &usize| {
                    is_open(*index) && matches!(fit(*index), Fit::Good | Fit::Failing)
                };
                (0..count)
                    .filter(will_do)
                    .min_by_key(|index| known.ward.last_failure(&self.servers[*index], port))
            }
            Stage::Locked if self.is_for_others => None,
            Stage::Locked => (0..count).find(|index| {
                is_open(*index)
                    && fit(*index) == Fit::Locked
                    && known.ward.may_try_locked(&self.servers[*index], port)
            }),
            Stage::Over => None,
        }
    }

    /// Goes on to the next stage; says whether there is one.
    fn pass_on(&mut self) -> bool {
        self.stage = match (self.stage, &self.group) {
            (_, None) | (Stage::Locked | Stage::Over, _) => Stage::Over,
            (Stage::Usable, _) => Stage::Backup,
            (Stage::Backup, _) => Stage::LastResort,
            // Somebody was there to be tried: what is locked stays so.
            (Stage::LastResort, _) if !self.given.is_empty() => Stage::Over,
            (Stage::LastResort, _) => Stage::Locked,
        };
        self.begun.fill(false);
        self.stage != Stage::Over
    }

    fn arrange(&self, index: usize, port: u16, found: &mut [Endpoint]) {
        match &self.group {
            Some(known) => {
                let wish = known.wish(!self.has_chosen);
                known.ward.arrange(&self.servers[index], port, &wish, found);
            }
            // The addresses of one name take turns as well, once all servers have had theirs.
            None => {
                let (turn, places) = (self.turn / self.servers.len(), found.len());
                found.rotate_left(turn % places.max(1));
            }
        }
    }
}

impl Known {
    fn wish(&self, is_first: bool) -> Wish<'_> {
        Wish { method: &self.method, key: &self.key, client: self.client, is_first }
    }
}
