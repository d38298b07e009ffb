//! A word for one listener: end this session.
//!
//! A [`halt`](super::halt) reaches many and keeps a list of them; this is for a single one, lies
//! within what it belongs to, and costs no allocation.

use std::fmt;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Rung once; what it says is between who rings and who hears.
#[derive(Default)]
pub struct Bell {
    /// 0: nothing was said.
    word: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// Says `word`. Only the first one counts; says whether it was this one.
    pub fn ring(&self, word: NonZeroU8) -> bool {
        let set = self.word.compare_exchange(0, word.get(), Ordering::AcqRel, Ordering::Acquire);
        if set.is_err() {
            return false;
        }
        let waker = self.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// What was said, if anything.
    pub fn word(&self) -> Option<NonZeroU8> {
        NonZeroU8::new(self.word.load(Ordering::Acquire))
    }

    /// The last task to ask is the one that is woken.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<NonZeroU8> {
        if let Some(word) = self.word() {
            return Poll::Ready(word);
        }
        let mut waker = self.lock();
        // The word may have come before the lock, and its waking with it.
        if let Some(word) = self.word() {
            return Poll::Ready(word);
        }
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        // Whatever was put there is whole.
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bell").field(&self.word()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use super::*;

    const ONE: NonZeroU8 = NonZeroU8::MIN;

    #[tokio::test]
    async fn the_first_word_wakes_who_waits_and_stays() {
        let bell = Arc::new(Bell::default());
        let heard = Arc::clone(&bell);
        let (word, ()) = tokio::join!(poll_fn(move |cx| heard.poll(cx)), async {
            tokio::task::yield_now().await;
            assert!(bell.ring(ONE));
            assert!(!bell.ring(NonZeroU8::MAX));
        });
        assert_eq!((word, bell.word()), (ONE, Some(ONE)));
        assert_eq!(poll_fn(|cx| bell.poll(cx)).await, ONE);
    }

    #[test]
    fn a_bell_is_small() {
        // Every session has one.
        assert!(size_of::<Bell>() <= 32);
    }
}
