//! The events that were heard: the same one comes from every server, and is heard once.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::event::Id;

/// An event in a server lives for less.
const KEPT: Duration = Duration::from_secs(180);

/// Beyond it the oldest goes, and may be heard again.
const MOST: usize = 65_536;

#[derive(Debug, Default)]
pub struct Remembered {
    ids: HashSet<Id>,
    order: VecDeque<(Instant, Id)>,
}

impl Remembered {
    /// Whether `id` is heard for the first time.
    pub fn is_new(&mut self, id: Id, now: Instant) -> bool {
        let is_old = |(at, _): &(Instant, Id)| now >= *at + KEPT;
        while self.order.front().is_some_and(is_old) || self.order.len() >= MOST {
            if let Some((_, id)) = self.order.pop_front() {
                self.ids.remove(&id);
            }
        }
        let is_new = self.ids.insert(id);
        if is_new {
            self.order.push_back((now, id));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once_in_its_life_and_few_are_remembered() {
        let (mut heard, now) = (Remembered::default(), Instant::now());
        assert!(heard.is_new([1; 16], now));
        assert!(!heard.is_new([1; 16], now + KEPT / 2));
        assert!(heard.is_new([1; 16], now + KEPT));
        for n in 0..MOST as u128 + 5 {
            heard.is_new(n.to_be_bytes(), now + KEPT);
        }
        assert!(heard.ids.len() <= MOST && heard.order.len() <= MOST);
    }
}
