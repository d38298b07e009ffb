//! The relay: bytes from client to upstream and back, until one of them ends.
//!
//! No byte is parsed and no buffer is held for a session that carries nothing. What one side sends
//! is read into a buffer of the thread and written to the other side at once; only what the other
//! side would not take is kept, and until that is gone nothing more is read.
//!
//! **Promises.**
//! - One wake-up for a line each way is one read and one write.
//! - A half-close is passed on, after all that was said before it; the other direction goes on.
//! - One timer for a session, however much it carries.
//! - No session keeps a thread for longer than [`way::TURN`] bytes at a time.
//! - Who is told to go ([`Cut`]) hears a [`Goodbye`], but never in the middle of a line.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::Stream;

mod parting;
pub mod way;

pub use parting::{Cut, Goodbye, Leash, Outside};
use way::{Side, Way};

/// How long a client may take to close when its upstream has closed and all of it was passed on.
const GOODBYE: Duration = Duration::from_secs(2);

/// What had been read of each side before the relay began.
#[derive(Debug, Default)]
pub struct Pending {
    pub to_upstream: Vec<u8>,
    pub to_client: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `proxy_timeout`: how long both may be silent.
    pub idle: Duration,
    /// How long one side may be silent after the other has closed.
    pub linger: Duration,
    pub goodbye: &'static Goodbye,
}

/// What was carried, and why it ended.
#[derive(Debug)]
pub struct Ended {
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub why: Why,
}

/// The first cause, by who is to blame.
#[derive(Debug)]
pub enum Why {
    ClientClosed,
    UpstreamClosed,
    Idle,
    Shutdown,
    /// Its [`Leash`] was pulled.
    Kicked,
    ClientError(io::Error),
    UpstreamError(io::Error),
}

/// Carries bytes between `client` and `upstream`, beginning with `pending`.
pub fn both(
    client: Stream,
    upstream: Stream,
    pending: Pending,
    settings: Settings,
    cut: impl Into<Cut>,
) -> impl Future<Output = Ended> + Send {
    let mut relay = Relay::new(client, upstream, pending, settings, cut.into());
    // A block, not an `async fn`: its arguments would be stored twice.
    async move {
        let mut timer = pin!(sleep_until(relay.last + relay.settings.idle));
        poll_fn(|cx| relay.poll(timer.as_mut(), cx)).await
    }
}

struct Relay {
    client: Stream,
    upstream: Stream,
    up: Way,
    down: Way,
    /// Who closed first.
    first: Option<Side>,
    settings: Settings,
    /// When bytes last moved.
    last: Instant,
    /// The upstream was the last to speak: nothing that the client has said waits for its answer.
    answered: bool,
    cut: Cut,
    /// When it was told to end by its leash.
    kicked: Option<Instant>,
    /// Who is woken by `cut` and the timer.
    waker: Option<Waker>,
}

impl Relay {
    fn new(
        client: Stream,
        upstream: Stream,
        pending: Pending,
        settings: Settings,
        cut: Cut,
    ) -> Self {
        Self {
            client,
            upstream,
            up: Way::new(pending.to_upstream),
            down: Way::new(pending.to_client),
            first: None,
            settings,
            last: Instant::now(),
            answered: true,
            cut,
            kicked: None,
            waker: None,
        }
    }

    fn poll(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.cut.stop.word().is_some() {
            return self.stop(cx);
        }
        // Asking them each time would cost more than a short line does.
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.cut.listen(cx);
            let _ = timer.as_mut().poll(cx);
        }
        let moved = match self.carry(cx) {
            Ok(moved) => moved,
            // After a close, trouble is how the other side takes it.
            Err(fault) => {
                let why = self.first.map_or_else(|| fault.into(), Why::from);
                return self.end(why, cx);
            }
        };
        if let Some(first) = self.first
            && self.up.is_shut()
            && self.down.is_shut()
        {
            return self.end(first.into(), cx);
        }
        let now = Instant::now();
        if moved {
            self.last = now;
            if let Some(leash) = &self.cut.leash {
                leash.carried(self.up.bytes, self.down.bytes);
            }
        }
        match self.kicked_since(now) {
            Some(since) => self.part(since, timer, now, cx),
            None => self.watch(timer, now, cx),
        }
    }

    /// Lets each direction have its turn, answers first: an upstream that says goodbye and closes
    /// is heard before a write to it can fail.
    fn carry(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let Self { client, upstream, up, down, .. } = self;
        let moved_down = down
            .turn(upstream, client, up.is_shut(), cx)
            .map_err(|(side, cause)| Fault { side: side.flipped(), cause })?;
        let moved_up = up
            .turn(client, upstream, down.is_shut(), cx)
            .map_err(|(side, cause)| Fault { side, cause })?;
        // Of both at once nobody knows which was first, so an answer may still be due.
        self.answered = !moved_up && (moved_down || self.answered);
        if self.first.is_none() {
            self.first = match (self.down.is_open(), self.up.is_open()) {
                (false, _) => Some(Side::Upstream),
                (_, false) => Some(Side::Client),
                _ => None,
            };
        }
        Ok(moved_down || moved_up)
    }

    /// Ends the session if it has been silent for too long; the timer is moved only when it rings
    /// or when the first close makes it shorter.
    fn watch(
        &mut self,
        mut timer: Pin<&mut Sleep>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Ended> {
        let silence = match self.first {
            None => self.settings.idle,
            // It has been sent all there is, and there is nobody to hear it.
            Some(Side::Upstream) if self.down.is_shut() => GOODBYE.min(self.settings.idle),
            Some(_) => self.settings.linger.min(self.settings.idle),
        };
        let due = self.last + silence;
        if now >= due {
            let why = self.first.map_or(Why::Idle, Why::from);
            return self.end(why, cx);
        }
        let set = timer.deadline();
        if now >= set || (self.first.is_some() && set > due) {
            timer.as_mut().reset(due);
            let _ = timer.poll(cx);
        }
        Poll::Pending
    }

    fn end(&mut self, why: Why, cx: &mut Context<'_>) -> Poll<Ended> {
        for stream in [&mut self.client, &mut self.upstream] {
            if stream.is_tls() {
                // close_notify, if it can go at once: nobody waits for it.
                let _ = tokio::io::AsyncWrite::poll_shutdown(Pin::new(stream), cx);
            }
        }
        Poll::Ready(Ended { bytes_up: self.up.bytes, bytes_down: self.down.bytes, why })
    }
}

/// A side's connection failed.
struct Fault {
    side: Side,
    cause: io::Error,
}

impl From<Fault> for Why {
    fn from(fault: Fault) -> Self {
        match fault.side {
            Side::Client => Self::ClientError(fault.cause),
            Side::Upstream => Self::UpstreamError(fault.cause),
        }
    }
}

impl From<Side> for Why {
    fn from(closed: Side) -> Self {
        match closed {
            Side::Client => Self::ClientClosed,
            Side::Upstream => Self::UpstreamClosed,
        }
    }
}

#[cfg(test)]
mod tests;
