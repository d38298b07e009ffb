//! Reading the PROXY header that a balancer puts in front of what the client says.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::{RecvFlags, recv};
use tokio::time::{Instant, timeout_at};

use super::Plain;
use crate::observe::escape::Quoted;
use crate::wire::Parsed;

/// nginx's bound for a header with all its TLVs.
pub const MAX: usize = 4096;

/// Why there is no header, by who is to blame.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// The balancer's fault, or a client that came past it.
    #[error("broken header: \"{}\"", Quoted(said))]
    Broken { what: E, said: Vec<u8> },
    #[error("header is longer than {MAX} bytes")]
    TooLong,
    #[error("connection closed within the PROXY header")]
    Closed,
    #[error("timed out while reading the PROXY header")]
    TimedOut,
    #[error("recv() failed while reading the PROXY header")]
    Failed(#[from] io::Error),
}

/// Reads a header with `parse`, and not one byte behind it.
pub async fn read<T, E>(
    plain: &Plain,
    deadline: Instant,
    parse: impl Fn(&[u8]) -> Parsed<T, E>,
) -> Result<T, Error<E>> {
    let mut read = Vec::new();
    loop {
        let next =
            std::future::poll_fn(|cx| plain.poll_read_with(cx, |fd| take(fd, &mut read, &parse)));
        match timeout_at(deadline, next).await {
            Err(_) => return Err(Error::TimedOut),
            Ok(Err(error)) => return Err(Error::Failed(error)),
            Ok(Ok(Step::Done(header))) => return Ok(header),
            Ok(Ok(Step::Broken(what))) => return Err(Error::Broken { what, said: read }),
            Ok(Ok(Step::Closed)) => return Err(Error::Closed),
            Ok(Ok(Step::More)) if read.len() >= MAX => return Err(Error::TooLong),
            Ok(Ok(Step::More)) => {}
        }
    }
}

enum Step<T, E> {
    Done(T),
    Broken(E),
    Closed,
    More,
}

/// Looks at what is there and takes as much of it as belongs to the header. If the header goes on,
/// that is all of it, so waiting for more is a wait.
fn take<T, E>(
    fd: BorrowedFd<'_>,
    read: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Parsed<T, E>,
) -> io::Result<Step<T, E>> {
    let known = read.len();
    read.resize(MAX, 0);
    let seen = recv(fd, &mut read[known..], RecvFlags::PEEK).map(|(_, count)| count);
    read.truncate(known + seen.unwrap_or(0));
    if seen? == 0 {
        return Ok(Step::Closed);
    }
    let (step, end) = match parse(read) {
        Parsed::Whole(header, used) => (Step::Done(header), used),
        Parsed::Broken(error, used) => (Step::Broken(error), used),
        Parsed::More => (Step::More, read.len()),
    };
    // A parser that asked for more earlier cannot end within what it had then.
    let end = end.clamp(known, read.len());
    consume(fd, &mut read[known..end])?;
    Ok(step)
}

fn consume(fd: BorrowedFd<'_>, mut part: &mut [u8]) -> io::Result<()> {
    while !part.is_empty() {
        // It was there a moment ago, and nobody else reads.
        let (_, count) = recv(fd, &mut *part, RecvFlags::empty())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        part = &mut part[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    /// A header is `P…` to the end of the line.
    fn parse(input: &[u8]) -> Parsed<Vec<u8>, &'static str> {
        match (input.first(), input.iter().position(|byte| *byte == b'\n')) {
            (None, _) => Parsed::More,
            (Some(b'P'), None) => Parsed::More,
            (Some(b'P'), Some(end)) => Parsed::Whole(input[..end].to_vec(), end + 1),
            _ => Parsed::Broken("not a header", 1),
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn pair() -> (UnixStream, Plain) {
        let (client, ours) = UnixStream::pair().unwrap();
        (client, Plain::Unix(ours))
    }

    #[tokio::test]
    async fn takes_the_header_and_no_byte_more_at_every_split() {
        let input = b"PROXY\nlogin";
        for cut in 0..=input.len() {
            let (mut client, mut plain) = pair();
            client.write_all(&input[..cut]).await.unwrap();
            let (header, ()) = tokio::join!(read(&plain, soon(), parse), async {
                // Lets the reader see the first part alone.
                tokio::task::yield_now().await;
                client.write_all(&input[cut..]).await.unwrap();
            });
            assert_eq!(header.unwrap(), b"PROXY", "cut at {cut}");
            drop(client);
            let mut rest = Vec::new();
            plain.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"login", "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn tells_who_is_to_blame() {
        let (mut client, plain) = pair();
        client.write_all(b"A1 LOGIN").await.unwrap();
        assert!(matches!(
            read(&plain, soon(), parse).await,
            Err(Error::Broken { what: "not a header", .. })
        ));

        let (mut client, plain) = pair();
        client.write_all(b"PRO").await.unwrap();
        let now = Instant::now();
        assert!(matches!(read(&plain, now, parse).await, Err(Error::TimedOut)));
        drop(client);
        assert!(matches!(read(&plain, soon(), parse).await, Err(Error::Closed)));

        let (mut client, plain) = pair();
        client.write_all(&[b'P'; MAX + 1]).await.unwrap();
        assert!(matches!(read(&plain, soon(), parse).await, Err(Error::TooLong)));
    }
}
