//! The table of listening sockets: what a reload keeps, and what an upgrade passes on.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::net::Endpoint;
use crate::net::listen::{self, Listen, Socket};

/// Listening sockets by label (`127.0.0.1:143`, `unix:/path`), one per shard.
#[derive(Debug, Default)]
pub struct Listeners {
    open: HashMap<String, Vec<Socket>>,
}

impl Listeners {
    /// Takes what another gatepost handed over. A label is `SHARD ADDRESS`.
    pub fn adopt(handed: Vec<(String, OwnedFd)>) -> io::Result<Self> {
        let mut open: HashMap<String, Vec<Socket>> = HashMap::new();
        for (label, fd) in handed {
            open.entry(label).or_default().push(Socket::adopt(fd)?);
        }
        Ok(Self { open })
    }

    /// Sees that every one of `wanted` has `shards` sockets, and gives those that are new.
    ///
    /// Nothing is changed unless all can be opened: call [`Listeners::put`] with the answer.
    pub fn prepare<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a Listen>,
        shards: usize,
    ) -> Result<Vec<(String, Vec<Socket>)>, listen::Error> {
        let mut fresh = Vec::new();
        for listen in wanted {
            let label = label(&listen.endpoint);
            let more = match self.open.get(&label) {
                None => listen::open(listen, shards)?,
                Some(open) => {
                    for socket in open {
                        // What can be changed on an open socket is; a backlog that cannot be set
                        // is no reason to stop serving.
                        let _ = socket.tune(listen);
                    }
                    match shards.checked_sub(open.len()) {
                        Some(missing @ 1..) => listen::open_beside(listen, missing)?,
                        _ => Vec::new(),
                    }
                }
            };
            fresh.push((label, more));
        }
        Ok(fresh)
    }

    /// Adds what `prepare` opened, and forgets what is no longer wanted.
    pub fn put(&mut self, fresh: Vec<(String, Vec<Socket>)>) {
        let mut kept = HashMap::new();
        for (label, more) in fresh {
            let mut sockets = self.open.remove(&label).unwrap_or_default();
            sockets.extend(more);
            kept.insert(label, sockets);
        }
        for gone in std::mem::replace(&mut self.open, kept).into_values() {
            remove_path(&gone);
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
        for (_, sockets) in self.open.drain() {
            if !somebody_goes_on {
                remove_path(&sockets);
            }
        }
    }
}

pub fn label(endpoint: &Endpoint) -> String {
    endpoint.to_string()
}

fn remove_path(sockets: &[Socket]) {
    if let Some(Endpoint::Unix(path)) = sockets.first().map(Socket::endpoint) {
        let _ = std::fs::remove_file(path);
    }
}
