//! A word that is said once and heard by many: stop accepting, end the sessions.
//!
//! A listener costs two words, and one more pair in a shared list while it waits. It works across
//! runtimes, so one trigger reaches all workers.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// Says the word.
pub struct Trigger<T = ()>(Arc<Shared<T>>);

/// Hears it, now or later. A clone listens by itself.
pub struct Halt<T = ()> {
    shared: Arc<Shared<T>>,
    /// Our place in the list of waiters, plus one.
    place: Option<NonZeroU32>,
}

struct Shared<T> {
    word: OnceLock<T>,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    places: Vec<Place>,
    free: Option<NonZeroU32>,
}

enum Place {
    Waits(Waker),
    Free { next: Option<NonZeroU32> },
}

/// A trigger and what listens to it. A trigger that is dropped says nothing.
pub fn halt<T>() -> (Trigger<T>, Halt<T>) {
    let shared =
        Arc::new(Shared { word: OnceLock::new(), waiters: Mutex::new(Waiters::default()) });
    (Trigger(Arc::clone(&shared)), Halt { shared, place: None })
}

impl<T: Copy> Trigger<T> {
    /// Says `word` to all. Only the first word counts.
    pub fn fire(&self, word: T) {
        if self.0.word.set(word).is_ok() {
            let waiters = mem::take(&mut *self.0.lock());
            for place in waiters.places {
                if let Place::Waits(waker) = place {
                    waker.wake();
                }
            }
        }
    }

    pub fn listen(&self) -> Halt<T> {
        Halt { shared: Arc::clone(&self.0), place: None }
    }
}

impl<T: Copy> Halt<T> {
    /// What was said, if anything.
    pub fn word(&self) -> Option<T> {
        self.shared.word.get().copied()
    }

    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<T> {
        if let Some(word) = self.word() {
            return Poll::Ready(word);
        }
        let mut waiters = self.shared.lock();
        // The word may have come before the lock, and its waking with it.
        if let Some(word) = self.word() {
            return Poll::Ready(word);
        }
        waiters.put(&mut self.place, cx.waker());
        Poll::Pending
    }

    /// Waits for the word.
    pub async fn heard(&mut self) -> T {
        poll_fn(|cx| self.poll(cx)).await
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Nothing under the lock can leave the list half changed.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiters {
    fn put(&mut self, place: &mut Option<NonZeroU32>, waker: &Waker) {
        let index = match *place {
            Some(at) => at,
            None => self.take(),
        };
        *place = Some(index);
        match &mut self.places[at(index)] {
            Place::Waits(known) => known.clone_from(waker),
            free => *free = Place::Waits(waker.clone()),
        }
    }

    fn take(&mut self) -> NonZeroU32 {
        if let Some(index) = self.free
            && let Place::Free { next } = self.places[at(index)]
        {
            self.free = next;
            return index;
        }
        self.places.push(Place::Free { next: None });
        u32::try_from(self.places.len())
            .ok()
            .and_then(NonZeroU32::new)
            .expect("sessions are bounded by file descriptors, far below 2^32")
    }
}

fn at(index: NonZeroU32) -> usize {
    index.get() as usize - 1
}

impl<T> Clone for Halt<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), place: None }
    }
}

impl<T> Drop for Halt<T> {
    fn drop(&mut self) {
        if let Some(index) = self.place {
            let mut waiters = self.shared.lock();
            let next = waiters.free;
            // Empty once the word has been said.
            if let Some(place) = waiters.places.get_mut(at(index)) {
                *place = Place::Free { next };
                waiters.free = Some(index);
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Trigger<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trigger").field(&self.0.word).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Halt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Halt").field(&self.shared.word).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_word_reaches_all_early_and_late() {
        let (trigger, mut early) = halt();
        let mut other = early.clone();
        let (heard, ..) = tokio::join!(early.heard(), other.heard(), async {
            trigger.fire(1);
            trigger.fire(2);
        });
        assert_eq!((heard, other.word(), trigger.listen().heard().await), (1, Some(1), 1));
    }

    #[test]
    fn places_in_the_list_are_used_again() {
        let (trigger, first) = halt::<()>();
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut several: Vec<_> = (0..5).map(|_| first.clone()).collect();
            for halt in &mut several {
                assert!(halt.poll(&cx).is_pending() && halt.poll(&cx).is_pending());
            }
        }
        assert_eq!(trigger.0.lock().places.len(), 5);
        assert_eq!(size_of::<Halt>(), 16);
    }

    #[test]
    fn a_place_given_up_after_the_word_is_no_harm() {
        let (trigger, mut waiting) = halt();
        assert!(waiting.poll(&Context::from_waker(Waker::noop())).is_pending());
        trigger.fire(());
        drop(waiting);
        assert!(trigger.listen().word().is_some());
    }
}
