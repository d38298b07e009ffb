//! How a relay ends whose session is told to go: with a goodbye, where it disturbs nothing.
//!
//! No byte is parsed, so what is under way is told from who spoke last, and when. A moment is quiet
//! when both have all that was said, the last to speak was the upstream, its words ended with a
//! line's end, and nothing has moved for [`QUIET`]: no command waits for its answer then, and no
//! line is cut in two.
//!
//! - *Kicked*: waits [`PATIENCE`] at most for such a moment. When there was none, a silent session
//!   between two lines hears its goodbye all the same, though a command waits for its answer; one
//!   that moves, or stands in the middle of a line, is closed without a word.
//! - *Stopped*: the process ends and waits for nobody. Who has a quiet moment just then is told.
//!
//! **Limits.** An upstream that falls silent in the middle of a literal, just after a line's end, is
//! taken for one that has said all. The client then reads the goodbye as a part of the literal, which
//! is cut short by the close, as it would be without a word.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep};

use super::super::bell::Bell;
use super::super::halt::Halt;
use super::{Ended, Relay, Why};

/// How long nothing must have moved before words of our own may.
const QUIET: Duration = Duration::from_millis(100);

/// How long a kicked session may go on until a quiet moment comes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a client hears last, whole lines in its protocol. Empty where the protocol knows none.
#[derive(Debug, PartialEq, Eq)]
pub struct Goodbye {
    pub kicked: &'static str,
    pub stopped: &'static str,
}

/// What one session is known by outside its relay: a [`Bell`] that rings for it alone, and who hears
/// what it has carried.
pub trait Outside: AsRef<Bell> + Send + Sync {
    /// So many bytes have gone up and down in all. Said often: it must cost next to nothing.
    fn carried(&self, _up: u64, _down: u64) {}
}

/// What pulls one session out.
pub type Leash = Arc<dyn Outside>;

/// What may end a session from outside.
pub struct Cut {
    /// All of them.
    pub stop: Halt,
    /// This one.
    pub leash: Option<Leash>,
}

impl From<Halt> for Cut {
    fn from(stop: Halt) -> Self {
        Self { stop, leash: None }
    }
}

impl Cut {
    /// Whoever asks is woken by either.
    pub fn listen(&mut self, cx: &Context<'_>) {
        let _ = self.stop.poll(cx);
        if let Some(leash) = &self.leash {
            let _ = (**leash).as_ref().poll(cx);
        }
    }

    fn is_pulled(&self) -> bool {
        self.leash.as_ref().is_some_and(|leash| (**leash).as_ref().word().is_some())
    }
}

impl Relay {
    /// When the session was told to go, if it was.
    pub fn kicked_since(&mut self, now: Instant) -> Option<Instant> {
        if self.kicked.is_none() && self.cut.is_pulled() {
            self.kicked = Some(now);
        }
        self.kicked
    }

    /// Goes on until a quiet moment comes, or time is up.
    pub fn part(
        &mut self,
        since: Instant,
        mut timer: Pin<&mut Sleep>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Ended> {
        // One side has left already: there is nobody to take leave of.
        if let Some(first) = self.first {
            return self.end(first.into(), cx);
        }
        let (quiet, latest) = (self.last + QUIET, since + PATIENCE);
        let is_late = now >= latest;
        if now >= quiet && self.is_between_lines() && (self.answered || is_late) {
            self.say(self.settings.goodbye.kicked, cx);
            return self.end(Why::Kicked, cx);
        }
        if is_late {
            return self.end(Why::Kicked, cx);
        }
        timer.as_mut().reset(if now < quiet { quiet.min(latest) } else { latest });
        if timer.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ends at once.
    pub fn stop(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.answered && self.is_between_lines() && self.last.elapsed() >= QUIET {
            self.say(self.settings.goodbye.stopped, cx);
        }
        self.end(Why::Shutdown, cx)
    }

    /// Neither side is owed anything, and the client is not in the middle of a line.
    fn is_between_lines(&self) -> bool {
        self.first.is_none() && self.down.is_between_lines() && self.up.is_at_rest()
    }

    fn say(&mut self, words: &str, cx: &mut Context<'_>) {
        if words.is_empty() {
            return;
        }
        let mut client = Pin::new(&mut self.client);
        // Who has no room for a line is not waited for.
        if let Poll::Ready(Ok(count)) = client.as_mut().poll_write(cx, words.as_bytes()) {
            self.down.bytes += count as u64;
            let _ = client.poll_flush(cx);
        }
    }
}
