//! One connection to a server, and one exchange over it.

use std::io;
use std::os::fd::AsFd;

use bytes::{Buf, BytesMut};
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::protocol::{Batch, Breach, Reply, reply};
use crate::net::Plain;
use crate::wire::Parsed;

/// Most answers are shorter.
const AT_ONCE: usize = 1024;

/// What a connection at rest may hold.
const REST: usize = 8 * 1024;

/// A connection that is in step: every answer that was asked for has been read.
#[derive(Debug)]
pub struct Link {
    stream: Plain,
    unread: BytesMut,
    born: Instant,
}

/// Why an exchange did not come to its end. The connection is of no use after it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// `early`: before anything was answered.
    #[error("the connection was closed")]
    Closed { early: bool },
    #[error("{cause}")]
    Io { cause: io::Error, early: bool },
    #[error("{0}")]
    Breach(#[from] Breach),
}

impl Fault {
    /// Whether the connection may have been dead before it was used.
    pub fn is_early(&self) -> bool {
        matches!(self, Self::Closed { early: true } | Self::Io { early: true, .. })
    }
}

impl Link {
    pub fn new(stream: Plain) -> Self {
        Self { stream, unread: BytesMut::new(), born: Instant::now() }
    }

    /// When it was made.
    pub fn born(&self) -> Instant {
        self.born
    }

    /// Whether it is open, and nothing waits to be read: at rest, a server has nothing to say.
    pub fn is_quiet(&self) -> bool {
        let mut probe = [0; 1];
        // Asked of the kernel itself: the runtime may not have looked yet.
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let heard = rustix::net::recv(self.stream.as_fd(), &mut probe[..], flags);
        self.unread.is_empty() && heard.is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }

    /// Sends `batch` and reads an answer for each of its commands. It must not be used again unless
    /// this was good, and was waited for to its end.
    pub async fn exchange(&mut self, batch: &Batch) -> Result<Vec<Reply>, Fault> {
        let io = |early| move |cause| Fault::Io { cause, early };
        self.stream.write_all(batch.payload()).await.map_err(io(true))?;
        let mut replies = Vec::with_capacity(batch.len());
        let mut early = true;
        while replies.len() < batch.len() {
            match reply(&self.unread) {
                Parsed::Whole(reply, used) => {
                    self.unread.advance(used);
                    if !batch.is_answered_by(replies.len(), &reply) {
                        return Err(Breach::Stray.into());
                    }
                    replies.push(reply);
                }
                Parsed::Broken(breach, _) => return Err(breach.into()),
                // The parser is done, one way or the other, before this grows beyond an item.
                Parsed::More => {
                    self.unread.reserve(AT_ONCE);
                    match self.stream.read_buf(&mut self.unread).await {
                        Ok(0) => return Err(Fault::Closed { early }),
                        Ok(_) => early = false,
                        Err(cause) => return Err(io(early)(cause)),
                    }
                }
            }
        }
        if !self.unread.is_empty() {
            return Err(Breach::Stray.into());
        }
        if self.unread.capacity() > REST {
            self.unread = BytesMut::new();
        }
        Ok(replies)
    }

    /// Sends `line` and reads until `end` comes, or `most` bytes have: for the old protocol's
    /// `stats`.
    pub async fn say(&mut self, line: &[u8], end: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
        let io = |cause| Fault::Io { cause, early: false };
        self.stream.write_all(line).await.map_err(io)?;
        let mut said = BytesMut::new();
        while !said.ends_with(end) {
            if said.len() >= most {
                return Err(Breach::LongLine.into());
            }
            said.reserve(AT_ONCE);
            if self.stream.read_buf(&mut said).await.map_err(io)? == 0 {
                return Err(Fault::Closed { early: false });
            }
        }
        Ok(said.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::super::protocol::{MAX_ITEM, MAX_LINE};
    use super::*;

    /// A connection, and its other end.
    fn pair() -> (Link, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Link::new(Plain::Unix(ours)), theirs)
    }

    #[tokio::test]
    async fn a_connection_is_quiet_until_somebody_speaks_or_leaves() {
        let (link, mut theirs) = pair();
        assert!(link.is_quiet());
        theirs.write_all(b"E").await.unwrap();
        assert!(!link.is_quiet());
        let (link, theirs) = pair();
        drop(theirs);
        assert!(!link.is_quiet());
    }

    /// As much as it likes, byte after byte or all at once.
    #[tokio::test]
    async fn whatever_comes_no_more_than_an_answer_is_held() {
        for (head, ends) in [
            (&b"x"[..], "an answer of more than 512 bytes"),
            (b"VA 65581 ", "an answer of more than 512 bytes"),
            (b"VA 65581\r\n", "an answer that is none"),
            (b"VA 65582\r\n", "a value of more than 65581 bytes"),
        ] {
            let (mut link, mut theirs) = pair();
            theirs.write_all(head).await.unwrap();
            let flood = async move {
                let block = vec![b'x'; 256 * 1024];
                let mut sent = 0;
                while sent < 64 << 20 && theirs.write_all(&block).await.is_ok() {
                    sent += block.len();
                }
            };
            let batch = Batch::default().get("gp1:name");
            let fault = tokio::select! {
                biased;
                answer = link.exchange(&batch) => answer.unwrap_err(),
                () = flood => panic!("it read on and on"),
            };
            assert_eq!(fault.to_string(), ends);
            let held = link.unread.capacity();
            assert!(held <= 4 * (MAX_LINE + MAX_ITEM), "{held}");
        }
    }
}
