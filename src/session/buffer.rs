//! What a peer has sent and nobody has read yet.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroize;

/// The most that is kept of what a peer sends ahead.
pub const MOST: usize = 128 * 1024;

/// The most that is kept of what a client sends while its login is ruled on: the rest waits in the
/// system, and holds the client back.
pub const MOST_AHEAD: usize = 16 * 1024;

/// How much room a read gets. Most commands fit; a long one takes a few reads.
const CHUNK: usize = 2048;

/// What a peer has sent and nobody has read yet. Wiped when dropped, as passwords pass through.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// How many of them have been read, and wiped.
    start: usize,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.unread().len())
    }
}

impl Buffer {
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn is_full(&self) -> bool {
        self.unread().len() >= MOST
    }

    /// Whether a client that is being ruled on has sent enough ahead.
    pub fn is_far_ahead(&self) -> bool {
        self.unread().len() >= MOST_AHEAD
    }

    /// Forgets the first `used` bytes.
    pub fn step_over(&mut self, used: usize) {
        let end = self.start + used;
        self.bytes[self.start..end].zeroize();
        self.start = end;
        if end == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Reads once from `peer`, and says how many bytes came: 0 at the end of its stream.
    ///
    /// Cancel-safe: a read that is given up has taken nothing.
    pub async fn fill<S: AsyncRead + Unpin>(&mut self, peer: &mut S) -> io::Result<usize> {
        if self.bytes.capacity() - self.bytes.len() < CHUNK {
            // By hand, so that the old allocation is wiped before it goes.
            let unread = self.unread();
            let mut grown = Vec::with_capacity((unread.len() + CHUNK).next_power_of_two());
            grown.extend_from_slice(unread);
            self.bytes.zeroize();
            self.bytes = grown;
            self.start = 0;
        }
        match peer.read_buf(&mut self.bytes).await {
            // A TLS peer that hangs up without close_notify: at this point no body can be cut short.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    /// The bytes that are left, for whoever takes the line over.
    pub fn take(mut self) -> Vec<u8> {
        if self.start > 0 {
            return self.unread().to_vec();
        }
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_stay_in_order_across_reads_and_steps() {
        let mut buffer = Buffer::default();
        let mut peer: &[u8] = b"a LOGIN u p\r\nb NOOP\r\n";
        while buffer.fill(&mut peer).await.unwrap() > 0 {}
        buffer.step_over(13);
        assert_eq!(buffer.unread(), b"b NOOP\r\n");
        let mut more: &[u8] = b"c NOOP\r\n";
        buffer.fill(&mut more).await.unwrap();
        assert_eq!(buffer.take(), b"b NOOP\r\nc NOOP\r\n");
    }
}
