//! A cache within the process, by tokio's clock: what tests of leases and windows run on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::bus::Heard;
use super::{Error, Key};

/// Values, and until when each lives.
type Entries = HashMap<Key, (Vec<u8>, Instant)>;

#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<Entries>,
    is_broken: AtomicBool,
    /// The buses of all nodes: here a word needs no polling.
    nodes: Mutex<Vec<broadcast::Sender<Heard>>>,
}

impl Memory {
    pub fn join(&self, node: &broadcast::Sender<Heard>) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(node.clone());
    }

    /// Says `word` to all nodes but the one that it comes from.
    pub fn say(&self, from: &broadcast::Sender<Heard>, word: &[u8]) -> Result<(), Error> {
        drop(self.open()?);
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        for node in nodes.iter().filter(|node| !node.same_channel(from)) {
            // Nobody may be listening.
            let _ = node.send(Heard::Said(word.to_vec()));
        }
        Ok(())
    }

    pub fn break_it(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::Relaxed);
    }

    fn open(&self) -> Result<MutexGuard<'_, Entries>, Error> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(Error::Down("memory".into()));
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        entries.retain(|_, (_, until)| *until > now);
        Ok(entries)
    }

    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.open()?.get(key).map(|(value, _)| value.clone()))
    }

    pub fn put(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<(), Error> {
        self.open()?.insert(key.clone(), (value.to_vec(), Instant::now() + ttl));
        Ok(())
    }

    pub fn add(&self, key: &Key, value: &[u8], ttl: Duration) -> Result<bool, Error> {
        let mut entries = self.open()?;
        if entries.contains_key(key) {
            return Ok(false);
        }
        entries.insert(key.clone(), (value.to_vec(), Instant::now() + ttl));
        Ok(true)
    }

    pub fn swap(&self, key: &Key, old: &[u8], new: &[u8], ttl: Duration) -> Result<bool, Error> {
        let mut entries = self.open()?;
        match entries.get_mut(key) {
            Some((value, until)) if value == old => {
                *value = new.to_vec();
                *until = Instant::now() + ttl;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    pub fn touch(&self, key: &Key, ttl: Duration) -> Result<bool, Error> {
        let mut entries = self.open()?;
        let found = entries.get_mut(key);
        Ok(found.map(|(_, until)| *until = Instant::now() + ttl).is_some())
    }

    pub fn count(&self, key: &Key, by: u64, ttl: Duration) -> Result<u64, Error> {
        let mut entries = self.open()?;
        let fresh = || (b"0".to_vec(), Instant::now() + ttl);
        let (value, _) = entries.entry(key.clone()).or_insert_with(fresh);
        let count = number(value).saturating_add(by);
        *value = count.to_string().into_bytes();
        Ok(count)
    }

    pub fn counted(&self, key: &Key) -> Result<u64, Error> {
        Ok(self.open()?.get(key).map_or(0, |(value, _)| number(value)))
    }

    pub fn delete(&self, key: &Key) -> Result<bool, Error> {
        Ok(self.open()?.remove(key).is_some())
    }
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
