//! The table of listening sockets: what a reload keeps, and what an upgrade passes on.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::{Pid, getppid};

use crate::net::Endpoint;
use crate::net::listen::{self, Listen, Socket};

/// What `prepare` has opened for the listeners that are wanted, by label; nothing where enough is
/// open.
#[derive(Debug, Default)]
pub struct Fresh(Vec<(Listen, Vec<Socket>)>);

/// Listening sockets by label (`127.0.0.1:143`, `unix:/path`), one per shard.
#[derive(Debug, Default)]
pub struct Listeners {
    open: HashMap<String, Vec<Socket>>,
    /// The older gatepost that gave us sockets. While it lives, the paths of unix sockets are its
    /// too.
    elder: Option<Pid>,
}

impl Listeners {
    /// Takes what another gatepost handed over.
    pub fn adopt(handed: Vec<(String, OwnedFd)>) -> io::Result<Self> {
        let elder = (!handed.is_empty()).then(getppid);
        let mut open: HashMap<String, Vec<Socket>> = HashMap::new();
        for (label, fd) in handed {
            open.entry(label).or_default().push(Socket::adopt(fd)?);
        }
        Ok(Self { open, elder })
    }

    /// Sees that every one of `wanted` has so many sockets, and gives those that are new.
    ///
    /// Nothing is changed unless all can be opened: call [`Listeners::put`] with the answer.
    pub fn prepare<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a Listen, usize)>,
    ) -> Result<Fresh, listen::Error> {
        let mut fresh = Fresh::default();
        for (listen, shards) in wanted {
            let opened = match self.open.get(&label(&listen.endpoint)) {
                None => listen::open(listen, shards),
                Some(open) => match shards.checked_sub(open.len()) {
                    // A path cannot be bound twice: its one socket serves all.
                    Some(1..) if matches!(listen.endpoint, Endpoint::Unix(_)) => Ok(Vec::new()),
                    Some(missing @ 1..) => listen::open_beside(listen, missing),
                    _ => Ok(Vec::new()),
                },
            };
            match opened {
                Ok(more) => fresh.0.push((listen.clone(), more)),
                Err(error) => {
                    self.abandon(fresh);
                    return Err(error);
                }
            }
        }
        Ok(fresh)
    }

    /// Copies of the sockets that `label` will have with `fresh`.
    pub fn copies(&self, fresh: &Fresh, label: &str) -> io::Result<Vec<Socket>> {
        let more = fresh.0.iter().filter(|(listen, _)| listen.endpoint.to_string() == label);
        let more = more.flat_map(|(_, more)| more);
        self.sockets(label).iter().chain(more).map(Socket::try_clone).collect()
    }

    /// Gives up what `prepare` has opened.
    pub fn abandon(&self, fresh: Fresh) {
        for (_, more) in fresh.0 {
            self.remove_path(&more);
        }
    }

    /// Adds what `prepare` opened, and forgets what is no longer wanted.
    pub fn put(&mut self, fresh: Fresh) {
        let mut kept = HashMap::new();
        for (listen, more) in fresh.0 {
            let label = label(&listen.endpoint);
            let mut sockets = self.open.remove(&label).unwrap_or_default();
            for socket in &sockets {
                // What can be changed on an open socket is; a backlog that cannot be set is no
                // reason to stop serving.
                let _ = socket.tune(&listen);
            }
            sockets.extend(more);
            kept.insert(label, sockets);
        }
        for gone in std::mem::replace(&mut self.open, kept).into_values() {
            self.remove_path(&gone);
        }
    }

    /// Gives all sockets to a user. Best effort: where it fails, only a later reload is harder.
    pub fn give_to(&self, uid: u32, gid: u32) {
        for socket in self.open.values().flatten() {
            let _ = std::os::unix::fs::fchown(socket.as_fd(), Some(uid), Some(gid));
        }
    }

    pub fn has(&self, label: &str) -> bool {
        self.open.contains_key(label)
    }

    pub fn sockets(&self, label: &str) -> &[Socket] {
        self.open.get(label).map_or(&[], Vec::as_slice)
    }

    /// Copies of all sockets, for the next binary.
    pub fn to_hand_over(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut sockets = Vec::new();
        for (label, open) in &self.open {
            for socket in open {
                sockets.push((label.clone(), socket.as_fd().try_clone_to_owned()?));
            }
        }
        Ok(sockets)
    }

    /// Closes everything. The paths of unix sockets go, unless another process serves them now.
    pub fn close(&mut self, somebody_goes_on: bool) {
        for (_, sockets) in std::mem::take(&mut self.open) {
            if !somebody_goes_on {
                self.remove_path(&sockets);
            }
        }
    }

    fn remove_path(&self, sockets: &[Socket]) {
        if self.elder.is_some_and(|elder| elder == getppid()) {
            return;
        }
        if let Some(Endpoint::Unix(path)) = sockets.first().map(Socket::endpoint) {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Listeners {
    /// A start that fails leaves no path behind.
    fn drop(&mut self) {
        self.close(false);
    }
}

pub fn label(endpoint: &Endpoint) -> String {
    endpoint.to_string()
}
