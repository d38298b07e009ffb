//! Identical questions that are on their way at once: one is asked, the others wait for its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Answers on their way, by what was asked. Cheap to clone.
#[derive(Debug)]
pub struct Flights<T>(Arc<Mutex<Waiting<T>>>);

type Waiting<T> = HashMap<Box<[u8]>, watch::Receiver<Option<T>>>;

/// How a question goes on.
#[derive(Debug)]
pub enum Seat<T> {
    /// It is for the caller to ask.
    Lead(Lead<T>),
    /// Somebody else has asked.
    Follow(T),
    /// Somebody else was about to, and was called off: begin again.
    Again,
}

/// The one who asks. Whoever waits begins again if it is dropped.
#[derive(Debug)]
pub struct Lead<T> {
    flights: Flights<T>,
    key: Box<[u8]>,
    sender: watch::Sender<Option<T>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Flights<T> {
    /// Takes the lead, or waits for who has it.
    pub async fn join(&self, key: &[u8]) -> Seat<T> {
        let mut waiting = match self.enter(key) {
            Ok(lead) => return Seat::Lead(lead),
            Err(waiting) => waiting,
        };
        let answer = waiting.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        answer.map_or(Seat::Again, Seat::Follow)
    }

    /// Takes the lead if nobody has it.
    pub fn lead(&self, key: &[u8]) -> Option<Lead<T>> {
        self.enter(key).ok()
    }

    fn enter(&self, key: &[u8]) -> Result<Lead<T>, watch::Receiver<Option<T>>> {
        let mut open = self.open();
        if let Some(waiting) = open.get(key) {
            return Err(waiting.clone());
        }
        let (sender, receiver) = watch::channel(None);
        open.insert(key.into(), receiver);
        Ok(Lead { flights: self.clone(), key: key.into(), sender })
    }
}

impl<T> Flights<T> {
    fn open(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lead<T> {
    /// Gives everybody the answer.
    pub fn land(self, answer: T) {
        self.sender.send_replace(Some(answer));
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        self.flights.open().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::tasks;

    #[tokio::test]
    async fn one_asks_and_all_hear() {
        let flights = Flights::default();
        let Seat::Lead(lead) = flights.join(b"a").await else { panic!("nobody else asks") };
        assert!(flights.lead(b"a").is_none() && flights.lead(b"b").is_some());
        let others: Vec<_> = (0..9)
            .map(|_| {
                let flights = flights.clone();
                tasks::spawn("test", async move { flights.join(b"a").await })
            })
            .collect();
        tokio::task::yield_now().await;
        lead.land(7);
        for other in others {
            assert!(matches!(other.await.unwrap(), Seat::Follow(7)));
        }
        assert!(flights.lead(b"a").is_some());
    }

    #[tokio::test]
    async fn who_is_called_off_leaves_it_to_the_next() {
        let flights = Flights::<u8>::default();
        let lead = flights.lead(b"a").unwrap();
        let own = flights.clone();
        let other = tasks::spawn("test", async move { own.join(b"a").await });
        tokio::task::yield_now().await;
        drop(lead);
        assert!(matches!(other.await.unwrap(), Seat::Again));
        assert!(flights.open().is_empty());
    }
}
