//! What one gatepost tells all others of its fleet, itself included: words that reach every node
//! within a second, through the cache.

use tokio::sync::broadcast;

use super::{Cache, Error};

/// How many words may wait for a listener before it is told that it has missed some.
const ROOM: usize = 1024;

/// One end of it: says words and hears those of all. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    cache: Cache,
    said: broadcast::Sender<Heard>,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Said(Vec<u8>),
    /// Words may have been missed: whatever follows from words must be looked up afresh.
    Missed,
}

/// Hears what is said from when it was made.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Heard>);

impl Bus {
    pub fn new(cache: Cache) -> Self {
        Self { cache, said: broadcast::Sender::new(ROOM) }
    }

    /// Says `word` to every node. This one hears it at once, and even if the cache does not answer:
    /// the error says that others may not have heard.
    pub async fn say(&self, word: &[u8]) -> Result<(), Error> {
        // Nobody may be listening.
        let _ = self.said.send(Heard::Said(word.to_vec()));
        if self.cache.is_on() { Ok(()) } else { Err(Error::Off) }
    }

    pub fn listen(&self) -> Listener {
        Listener(self.said.subscribe())
    }
}

impl Listener {
    /// The next word; none when there is no bus any more.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(heard) => Some(heard),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
