//! TLS with a client, of which an idle session holds keys and no buffer.
//!
//! rustls opens and seals the records; the bytes around them are ours ([`rustls::unbuffered`]). What
//! comes is read into memory of the thread and opened there, what goes is sealed there and written
//! at once. A session keeps only what could not go on, and only as long: part of a record, plaintext
//! that the reader had no room for, records that the socket would not take.
//!
//! **Promises.**
//! - A read is one system call for all that is there, a write one for up to [`PIECE`] bytes.
//! - What is opened belongs to the reader before any error that came behind it.
//! - Whatever TLS itself has to say (tickets, alerts) goes with the next write, or while the reader
//!   waits. So one task reads and writes: it is the one that is woken.
//! - An end without close_notify is [`io::ErrorKind::UnexpectedEof`]. Early data is not spoken.
//!
//! **Limits.** A session keeps at most [`MOST`] bytes and one read of what is not whole, what one
//! read opens beyond its reader's room, and [`PIECE`] bytes sealed and not sent.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, InvalidMessage, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

mod records;
mod scratch;

use records::{End, Records};

/// What is sealed and written at once.
const PIECE: usize = 128 << 10;
/// A read asks for as much as its reader has room for, and for this at least.
const LEAST: usize = 4 << 10;
/// So much may wait and still go in one write with what follows: tickets, with a greeting.
const FEW: usize = 4 << 10;
/// What a handshake message in pieces may grow to, with all around it: rustls' own bound.
const MOST: usize = 64 << 10;

/// A connection in TLS, of which we are the server.
pub struct Sealed<IO> {
    io: IO,
    records: Records,
    /// close_notify was said, or will never be.
    is_shut: bool,
}

impl<IO> Sealed<IO> {
    pub fn io(&self) -> &IO {
        &self.io
    }

    /// What was agreed on with the client.
    pub fn session(&self) -> &CommonState {
        self.records.session()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sealed<IO> {
    /// Does the handshake with the client on `io`, of which `came` has been read already.
    ///
    /// When it is done, the tickets may still have to be sent.
    pub async fn accept(io: IO, config: Arc<ServerConfig>, came: Vec<u8>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut sealed = Self { io, records: Records::new(session, came), is_shut: false };
        poll_fn(|cx| sealed.poll_handshake(cx)).await?;
        Ok(sealed)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.records.session().is_handshaking() {
            let sent = self.poll_send(cx);
            if let Some(end) = &self.records.end {
                // The alert has gone, or cannot go.
                let error = end.error().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                return sent.map(|_| Err(error));
            }
            // Where that waits, the client may be waiting for us to read.
            let _ = sent?;
            ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and opens what is whole. What `into` has no room for is kept.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, records, .. } = self;
        let kept = records.incoming.len();
        if kept >= MOST {
            records.fail(InvalidMessage::HandshakePayloadTooLarge.into());
            return Poll::Ready(Ok(()));
        }
        scratch::lend(|scratch| {
            let most = scratch.len().min(kept + into.remaining().max(LEAST));
            let mut space = ReadBuf::new(&mut scratch[kept..most]);
            ready!(Pin::new(io).poll_read(cx, &mut space))?;
            let came = space.filled().len();
            if came == 0 {
                records.end = Some(End::Cut);
            } else {
                scratch[..kept].copy_from_slice(&records.incoming);
                records.open(&mut scratch[..kept + came], into);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = &mut self.records.outgoing;
        while !waiting.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, waiting.unused()))?;
            waiting.step_over(some(sent)?);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Writes `bytes`, when nothing waits, and keeps what the socket does not take.
    fn send(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Pending => break,
                Poll::Ready(sent) => rest = &rest[some(sent?)?..],
            }
        }
        self.records.outgoing.put(rest);
        Ok(())
    }
}

/// A write of nothing is an error, or it would be tried for ever.
fn some(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Sealed<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        this.records.plain.pour(buf);
        while buf.filled().len() == before {
            let polled = match &this.records.end {
                Some(end) => Poll::Ready(end.error().map_or(Ok(()), Err)),
                None => match this.poll_receive(cx, buf) {
                    Poll::Ready(Ok(())) => continue,
                    polled => polled,
                },
            };
            // If it cannot go now, that wakes us too; if it never can, the next write says so.
            let _ = this.poll_send(cx);
            return polled;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sealed<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.records.outgoing.unused().len() > FEW {
            ready!(this.poll_send(cx))?;
        }
        let piece = &buf[..buf.len().min(PIECE)];
        scratch::lend(|scratch| {
            let (waiting, space) = scratch.split_at_mut(this.records.outgoing.unused().len());
            let sealed = this.records.seal(piece, space)?;
            waiting.copy_from_slice(this.records.outgoing.unused());
            let end = waiting.len() + sealed;
            this.records.outgoing.clear();
            this.send(&scratch[..end], cx)
        })?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    /// Says close_notify, after all that was written, and closes this direction of the connection.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_shut {
            this.is_shut = true;
            this.records.say_goodbye();
        }
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            // The peer has reset it: closed all the same.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}

impl<IO: fmt::Debug> fmt::Debug for Sealed<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("io", &self.io).field("records", &self.records).finish()
    }
}

#[cfg(test)]
mod tests;
