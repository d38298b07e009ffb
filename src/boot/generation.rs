//! One configuration in force: its acceptors and its sessions, and how they come to their end.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use crate::net::accept::Leave;
use crate::net::halt::{self, Trigger};

/// A generation as the main loop holds it.
#[derive(Debug)]
pub struct Generation {
    pub number: u64,
    /// Ends the acceptors of a listener, by its label.
    pub acceptors: HashMap<String, Trigger<Leave>>,
    /// Ends the sessions.
    pub cut: Trigger<()>,
    /// Given up when the generation drains: what still lives then holds the others.
    pub alive: Option<Alive>,
}

/// Held by every acceptor and session of a generation. The last one that goes says so.
#[derive(Clone, Debug)]
pub struct Alive(#[expect(dead_code, reason = "held for its Drop")] Arc<Last>);

#[derive(Debug)]
struct Last {
    number: u64,
    gone: UnboundedSender<u64>,
}

impl Alive {
    pub fn new(number: u64, gone: UnboundedSender<u64>) -> Self {
        Self(Arc::new(Last { number, gone }))
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        // Nobody listens any more when the process ends.
        let _ = self.gone.send(self.number);
    }
}

impl Generation {
    /// One that nobody has joined yet.
    pub fn new(number: u64) -> Self {
        let (cut, _) = halt::halt();
        Self { number, acceptors: HashMap::new(), cut, alive: None }
    }

    /// Stops accepting. Connections in the queue of a socket that somebody else goes on with are
    /// left to them; those of a socket that closes are served first.
    pub fn stop_accepting(&mut self, goes_on: impl Fn(&str) -> bool) {
        for (label, acceptor) in &self.acceptors {
            acceptor.fire(if goes_on(label) { Leave::Queue } else { Leave::Drain });
        }
        self.alive = None;
    }

    /// Ends what still lives.
    pub fn end(&self) {
        self.cut.fire(());
    }
}
