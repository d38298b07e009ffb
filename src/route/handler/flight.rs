//! One question at a time: who asks what is being asked already gets that answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::{Error, Ruling};
use crate::observe::tasks;

/// What a shared question came to: the ruling, and what was told on the way, for whoever is first to
/// take it.
#[derive(Debug)]
pub struct Outcome {
    pub ruling: Result<Ruling, Error>,
    pub told: Mutex<Vec<Error>>,
}

/// Where a question is.
#[derive(Debug)]
enum Stage {
    Asked,
    Answered(Arc<Outcome>),
    /// Nobody waited any more, so it was given up.
    Left,
    /// By a panic.
    Died,
}

type Landing = watch::Receiver<Stage>;

type Landed = watch::Sender<Stage>;

/// Each by its key, with its number.
type Board = HashMap<Box<[u8]>, (u64, Weak<Landed>)>;

/// The questions that are on their way, by all that the answer may hang on.
#[derive(Default)]
pub struct Flights {
    all: Mutex<Board>,
    last: AtomicU64,
}

impl Flights {
    /// What `ask` comes to, or what another's question of the same `key` comes to, if that is on its
    /// way already.
    ///
    /// It is a task of its own, so nobody who leaves takes it from the others; with the last one it
    /// ends. If its worker ends, those who wait ask anew. If it panics they get nothing: it would
    /// again.
    pub async fn share<F>(self: &Arc<Self>, key: &[u8], ask: impl Fn() -> F) -> Option<Arc<Outcome>>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        loop {
            let mut landing = self.board(key, &ask);
            let landed = landing.wait_for(|stage| !matches!(stage, Stage::Asked)).await;
            match landed.as_deref() {
                Ok(Stage::Answered(outcome)) => return Some(Arc::clone(outcome)),
                Ok(Stage::Died) => return None,
                // We came as the last one went; or its worker has ended.
                Ok(Stage::Left | Stage::Asked) | Err(_) => {}
            }
        }
    }

    fn board<F>(self: &Arc<Self>, key: &[u8], ask: &impl Fn() -> F) -> Landing
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut all = self.all();
        if let Some(landed) = all.get(key).and_then(|(_, landed)| landed.upgrade()) {
            return landed.subscribe();
        }
        let (landed, landing) = watch::channel(Stage::Asked);
        let landed = Arc::new(landed);
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        all.insert(key.into(), (number, Arc::downgrade(&landed)));
        drop(all);
        let flight = Flight { own: Arc::clone(self), key: key.into(), number, landed };
        let asked = ask();
        tasks::spawn("lookup", async move {
            let stage = tokio::select! {
                outcome = asked => Stage::Answered(Arc::new(outcome)),
                () = flight.landed.closed() => Stage::Left,
            };
            drop(flight.landed.send_replace(stage));
        });
        landing
    }

    fn all(&self) -> MutexGuard<'_, Board> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However it ends, it is off the list before those who wait are told.
struct Flight {
    own: Arc<Flights>,
    key: Box<[u8]>,
    number: u64,
    landed: Arc<Landed>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut all = self.own.all();
        if all.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            all.remove(&self.key);
        }
        drop(all);
        if std::thread::panicking() {
            self.landed.send_replace(Stage::Died);
        }
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flights({})", self.all().len())
    }
}
