//! A connection, in the clear or in TLS, as everything above sees it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client;

use super::Endpoint;
use super::sealed::Sealed;

/// A connection as the kernel has it. TCP comes with `TCP_NODELAY` set: use [`Plain::tcp`].
#[derive(Debug)]
pub enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection in the clear or in TLS, of which we are the server or the client.
#[derive(Debug)]
pub enum Stream {
    Plain(Plain),
    Server(Box<Sealed<Plain>>),
    Client(Box<client::TlsStream<Plain>>),
}

impl Plain {
    /// Takes a TCP connection into use, with `TCP_NODELAY`.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Has the next segments acknowledged at once. The system forgets it when we have sent again.
    pub fn acknowledge_at_once(&self) {
        if let Self::Tcp(stream) = self {
            // Without it all is as before, only slower.
            let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
        }
    }

    /// Writes what the system takes at once.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    #[cfg(test)]
    pub fn peer(&self) -> io::Result<Endpoint> {
        Ok(match self {
            Self::Tcp(stream) => stream.peer_addr()?.into(),
            Self::Unix(stream) => stream.peer_addr()?.into(),
        })
    }

    pub fn local(&self) -> io::Result<Endpoint> {
        Ok(match self {
            Self::Tcp(stream) => stream.local_addr()?.into(),
            Self::Unix(stream) => stream.local_addr()?.into(),
        })
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Runs a system call on the socket; `WouldBlock` from it clears the readiness, so that the
    /// next wait is a wait.
    fn try_io<T>(
        &self,
        interest: Interest,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, || call(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(interest, || call(stream.as_fd())),
        }
    }

    /// Waits until the socket can be read and runs a system call on it.
    pub fn poll_read_with<T>(
        &self,
        cx: &mut Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_io(Interest::READABLE, &mut call) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsFd for Plain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    /// See [`Plain::acknowledge_at_once`].
    pub fn acknowledge_at_once(&self) {
        match self {
            Self::Plain(plain) => plain.acknowledge_at_once(),
            Self::Server(tls) => tls.io().acknowledge_at_once(),
            Self::Client(tls) => tls.get_ref().0.acknowledge_at_once(),
        }
    }

    pub fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl From<Plain> for Stream {
    fn from(plain: Plain) -> Self {
        Self::Plain(plain)
    }
}

impl From<Sealed<Plain>> for Stream {
    fn from(tls: Sealed<Plain>) -> Self {
        Self::Server(Box::new(tls))
    }
}

impl From<client::TlsStream<Plain>> for Stream {
    fn from(tls: client::TlsStream<Plain>) -> Self {
        Self::Client(Box::new(tls))
    }
}

/// Hands every call to whichever variant it is.
macro_rules! pass_on {
    ($name:ty, $($variant:ident),+) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(inner) => Pin::new(inner).poll_read(cx, buf),)+
                }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $(Self::$variant(inner) => Pin::new(inner).poll_write(cx, buf),)+
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $(Self::$variant(inner) => Pin::new(inner).poll_write_vectored(cx, bufs),)+
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $(Self::$variant(inner) => inner.is_write_vectored(),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(inner) => Pin::new(inner).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(inner) => Pin::new(inner).poll_shutdown(cx),)+
                }
            }
        }
    };
}

pass_on!(Plain, Tcp, Unix);
pass_on!(Stream, Plain, Server, Client);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_unix_stream_speaks_and_names_itself() {
        let (left, right) = UnixStream::pair().unwrap();
        let mut left = Stream::from(Plain::Unix(left));
        let right = Plain::Unix(right);
        assert_eq!(right.peer().unwrap().to_string(), "unix:");
        let mut right = Stream::from(right);
        left.write_all(b"hello").await.unwrap();
        left.shutdown().await.unwrap();
        let mut heard = Vec::new();
        right.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"hello");
        assert!(!right.is_tls());
    }
}
