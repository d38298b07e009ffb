//! One direction of a relay.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::Stream;

/// How much is read before it is written, and so the most that a stalled direction keeps. Moving
/// 1 MiB bodies, 64 KiB cost 1, 256 KiB 0.85 and 512 KiB 0.7 of the time.
pub const SCRATCH: usize = 128 << 10;

/// How much one direction moves before other sessions get their turn.
pub const TURN: usize = 4 * SCRATCH;

thread_local! {
    /// One for all sessions of a worker: it holds bytes only within one call.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

pub struct Way {
    /// What the receiver would not take, from `sent` on.
    kept: Vec<u8>,
    sent: usize,
    pub bytes: u64,
    stage: Stage,
    /// A write may still lie in TLS's buffers.
    unflushed: bool,
    /// What its receiver has been given ends with a line's end.
    ends_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The sender has closed; the receiver has yet to hear it.
    Ending,
    Shut,
}

/// The two ends, as a direction and the relay name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

impl Side {
    pub fn flipped(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// Whose connection failed, as seen on the way up: the client sends, the upstream receives.
type Fault = (Side, io::Error);

impl Way {
    /// Begins with `kept`.
    pub fn new(kept: Vec<u8>) -> Self {
        // An empty buffer may be a large one.
        let kept = if kept.is_empty() { Vec::new() } else { kept };
        Self { kept, sent: 0, bytes: 0, stage: Stage::Open, unflushed: false, ends_line: true }
    }

    /// Whether its sender has not closed.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether its receiver has been told that its sender has closed.
    pub fn is_shut(&self) -> bool {
        self.stage == Stage::Shut
    }

    /// Whether its receiver has all that was read, and is not in the middle of a line.
    pub fn is_between_lines(&self) -> bool {
        self.is_at_rest() && self.ends_line
    }

    /// Whether its receiver has all that was read.
    pub fn is_at_rest(&self) -> bool {
        self.is_open() && self.kept.is_empty() && !self.unflushed
    }

    #[cfg(test)]
    pub fn kept_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// Moves what can be moved now, and says whether anything was. `last` means that the
    /// other direction is done, so that with this one the session ends.
    pub fn turn(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        last: bool,
        cx: &mut Context<'_>,
    ) -> Result<bool, Fault> {
        let before = self.bytes;
        loop {
            let blame_to = |cause| (Side::Upstream, cause);
            if self.settle(to, cx).map_err(blame_to)?.is_pending() {
                break;
            }
            match self.stage {
                Stage::Shut => break,
                Stage::Ending => {
                    // The connection is dropped next, which says the same; TLS says it itself.
                    let said = last || Pin::new(&mut *to).poll_shutdown(cx).is_ready();
                    if said {
                        self.stage = Stage::Shut;
                    }
                    break;
                }
                Stage::Open => {}
            }
            if self.bytes - before >= TURN as u64 {
                cx.waker().wake_by_ref();
                break;
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let (count, state) =
                    fill(from, buffer, cx).map_err(|cause| (Side::Client, cause))?;
                self.send(to, &buffer[..count], cx).map_err(blame_to)?;
                Ok(state)
            })?;
            match read {
                Read::Full => {}
                Read::Drained => {
                    // TLS wants its flush; whatever holds it up wakes us.
                    let _ = self.settle(to, cx).map_err(blame_to)?;
                    break;
                }
                Read::Closed => self.stage = Stage::Ending,
            }
        }
        Ok(self.bytes != before)
    }

    /// Writes what is kept and flushes what was written.
    fn settle(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.kept.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, &self.kept[self.sent..]) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(written) => {
                    let count = some(written?)?;
                    self.sent += count;
                    self.count(count, self.kept[self.sent - 1], to);
                    if self.sent == self.kept.len() {
                        // The allocation goes too: idle sessions hold none.
                        drop(mem::take(&mut self.kept));
                        self.sent = 0;
                    }
                }
            }
        }
        if self.unflushed {
            match Pin::new(&mut *to).poll_flush(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(flushed) => flushed?,
            }
            self.unflushed = false;
        }
        Ok(Poll::Ready(()))
    }

    /// Writes `bytes`, and keeps what is not taken.
    fn send(&mut self, to: &mut Stream, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, rest) {
                Poll::Pending => {
                    self.kept = rest.to_vec();
                    return Ok(());
                }
                Poll::Ready(written) => {
                    let count = some(written?)?;
                    self.count(count, rest[count - 1], to);
                    rest = &rest[count..];
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, written: usize, last: u8, to: &Stream) {
        self.bytes += written as u64;
        self.ends_line = last == b'\n';
        self.unflushed = to.is_tls();
    }
}

enum Read {
    /// There may be more.
    Full,
    /// There is no more for now, and we are woken when there is.
    Drained,
    Closed,
}

/// Reads until `buffer` is full or nothing more is there. From TLS come records, each by itself;
/// from a socket one read, after which the runtime knows without a call that it is empty.
fn fill(from: &mut Stream, buffer: &mut [u8], cx: &mut Context<'_>) -> io::Result<(usize, Read)> {
    let mut buffer = ReadBuf::new(buffer);
    loop {
        let before = buffer.filled().len();
        let state = match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
            Poll::Pending => Read::Drained,
            Poll::Ready(Ok(())) if buffer.filled().len() == before => Read::Closed,
            // A peer that closes without close_notify has closed all the same: mail protocols say
            // themselves where a message ends.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Read::Closed,
            Poll::Ready(Err(error)) if before == 0 => return Err(error),
            // What came before the error is delivered; the next read meets it again, or the end.
            Poll::Ready(Err(_)) => Read::Full,
            Poll::Ready(Ok(())) if buffer.remaining() == 0 => Read::Full,
            Poll::Ready(Ok(())) => continue,
        };
        return Ok((buffer.filled().len(), state));
    }
}

/// A write of nothing is an error, or it would be tried for ever.
fn some(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
