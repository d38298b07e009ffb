//! How a response opens: with a status line, or with what passes for one.
//!
//! nginx's `auth_http` takes headers alone, and any first line that begins with `HTTP/`, whatever
//! it says behind that. hyper takes HTTP. An [`Opening`] stands between a connection and hyper and
//! puts `HTTP/1.0 200 OK` where hyper would give up: before headers that come without a status
//! line, and in place of one that is none. HTTP/1.0, so that nothing is read into how the rest is
//! framed.
//!
//! **Promises.** What comes out is the same however the input is cut. Of the input no more than its
//! first line is held, and no more than [`MAX_HEAD`] bytes of that. A proper status line passes as
//! it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MAX_HEAD;

/// What is put where a status line is missing.
const STAND_IN: &[u8] = b"HTTP/1.0 200 OK\r\n";

const START: &[u8] = b"HTTP/";

/// A connection whose responses open as hyper wants them to.
#[derive(Debug)]
pub struct Opening<IO> {
    io: IO,
    /// A proper status line is demanded.
    strict: bool,
    next: Next,
    /// The start of a response is awaited.
    is_at_start: bool,
    /// What has been read and not handed on yet.
    held: Vec<u8>,
}

/// Says that the next byte to come is the first of a response.
///
/// Only who asks knows that: what an adapter sees of a connection could as well be a body.
#[derive(Clone, Debug, Default)]
pub struct Next(Arc<AtomicBool>);

impl Next {
    /// To be called before each question.
    pub fn is_response(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<IO> Opening<IO> {
    pub fn new(io: IO, strict: bool, next: Next) -> Self {
        Self { io, strict, next, is_at_start: false, held: Vec::new() }
    }
}

/// What a response begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Too few bytes to tell.
    More,
    Proper,
    /// So many bytes that call themselves a status line: none, if there is no such line at all.
    Odd(usize),
}

fn first_line(input: &[u8]) -> Line {
    let seen = input.len().min(START.len());
    if input[..seen] != START[..seen] {
        return Line::Odd(0);
    }
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_proper(&input[..end]) => Line::Proper,
        Some(end) => Line::Odd(end + 1),
        // Too long for anybody: hyper says so.
        None if input.len() >= MAX_HEAD => Line::Proper,
        None => Line::More,
    }
}

/// RFC 9112 §4: `HTTP/1.x SP 3DIGIT [ SP reason ]`, and nothing in the reason but text.
fn is_proper(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(rest) = line.strip_prefix(b"HTTP/1.0 ").or_else(|| line.strip_prefix(b"HTTP/1.1 "))
    else {
        return false;
    };
    let Some((code, reason)) = rest.split_at_checked(3) else { return false };
    matches!(code, [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'])
        && (reason.is_empty() || reason.starts_with(b" "))
        && reason.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// What must hold for any bytes at all: once told it stays, and what stands behind it has no say in it.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let told = first_line(input);
    for cut in [0, 1, input.len() / 2, input.len().saturating_sub(1)] {
        let before = first_line(&input[..cut.min(input.len())]);
        assert!(before == Line::More || before == told);
    }
    match told {
        Line::More => assert!(input.len() < MAX_HEAD, "more bytes cannot help"),
        Line::Proper => assert!(input.starts_with(START)),
        Line::Odd(0) => assert!(!START.starts_with(input)),
        Line::Odd(length) => {
            assert!(input.starts_with(START) && input[length - 1] == b'\n');
            assert_eq!(first_line(&input[..length]), told);
            assert_eq!(first_line(&input[..length - 1]), Line::More);
        }
    }
}

impl<IO: AsyncRead + Unpin> Opening<IO> {
    /// Reads until it is known how the response opens.
    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut chunk = [0; 256];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))?;
            let is_over = chunk.filled().is_empty();
            self.held.extend_from_slice(chunk.filled());
            let odd = match first_line(&self.held) {
                Line::More if is_over => None,
                Line::More => continue,
                Line::Proper => None,
                Line::Odd(length) => Some(length),
            };
            self.is_at_start = false;
            return Poll::Ready(match odd {
                // The peer hung up without a word: that is for hyper to tell.
                _ if self.held.is_empty() => Ok(()),
                None => Ok(()),
                Some(_) if self.strict => {
                    Err(io::Error::new(io::ErrorKind::InvalidData, "no status line"))
                }
                Some(length) => {
                    self.held.splice(..length, STAND_IN.iter().copied());
                    Ok(())
                }
            });
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Opening<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.next.0.swap(false, Ordering::SeqCst) {
            self.is_at_start = true;
        }
        if self.is_at_start {
            ready!(self.poll_start(cx))?;
        }
        if self.held.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held[..length]);
        self.held.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Opening<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What comes out of these pieces, each the start of a response where it says so.
    async fn through(pieces: &[(bool, &[u8])], strict: bool) -> io::Result<Vec<u8>> {
        let (near, mut far) = duplex(64 * 1024);
        let next = Next::default();
        let mut opening = Opening::new(near, strict, next.clone());
        let mut out = Vec::new();
        for (is_start, piece) in pieces {
            if *is_start {
                next.is_response();
            }
            far.write_all(piece).await.unwrap();
            // All that can be had of it now.
            loop {
                let mut some = [0; 7];
                tokio::select! {
                    biased;
                    read = opening.read(&mut some) => out.extend_from_slice(&some[..read?]),
                    () = tokio::task::yield_now() => break,
                }
            }
        }
        drop(far);
        opening.read_to_end(&mut out).await?;
        Ok(out)
    }

    const HEADERS: &str = "Auth-Status: OK\r\n\r\n";

    #[tokio::test]
    async fn hyper_gets_a_status_line_at_every_cut() {
        for (line, is_replaced) in [
            ("HTTP/1.1 200 OK\r\n", false),
            ("HTTP/1.0 500 Internal Server Error\r\n", false),
            ("HTTP/1.1 200\r\n", false),
            ("HTTP/1.1 200 \n", false),
            ("HTTP/1.1 200 gr\u{fc}n\r\n", false),
            ("", true),
            ("HTTP/\r\n", true),
            ("HTTP/1.1\r\n", true),
            ("HTTP/9 what ever\r\n", true),
            ("HTTP/2 200\r\n", true),
            ("HTTP/1.1 99 x\n", true),
            ("HTTP/1.1 2000 OK\r\n", true),
            ("HTTP/1.1 +20 OK\r\n", true),
            ("HTTP/1.1 200 O\0K\r\n", true),
            ("HTTP/1.1 200 O\rK\r\n", true),
        ] {
            let text = format!("{line}{HEADERS}");
            let want = match is_replaced {
                true => [STAND_IN, HEADERS.as_bytes()].concat(),
                false => text.clone().into_bytes(),
            };
            for cut in 0..=text.len() {
                let (one, two) = text.as_bytes().split_at(cut);
                let got = through(&[(true, one), (false, two)], false).await.unwrap();
                assert_eq!(got, want, "{text:?} at {cut}");
                let got = through(&[(true, one), (false, two)], true).await;
                assert_eq!(got.is_err(), is_replaced, "{text:?} at {cut}");
            }
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            let pieces: Vec<_> =
                bytes.iter().enumerate().map(|(at, byte)| (at == 0, *byte)).collect();
            assert_eq!(through(&pieces, false).await.unwrap(), want, "{text:?}");
        }
    }

    #[tokio::test]
    async fn only_where_a_response_begins() {
        let pieces: [(bool, &[u8]); 4] = [
            (true, b"A: 1\r\nContent-Length: 5\r\n\r\n"),
            (false, b"HTTP/"),
            (true, b"HTTP/1.1 200 OK\r\n\r\n"),
            (true, b"B: 1\r\n\r\n"),
        ];
        let want = "HTTP/1.0 200 OK\r\nA: 1\r\nContent-Length: 5\r\n\r\nHTTP/\
                    HTTP/1.1 200 OK\r\n\r\nHTTP/1.0 200 OK\r\nB: 1\r\n\r\n";
        assert_eq!(through(&pieces, false).await.unwrap(), want.as_bytes());
    }

    #[tokio::test]
    async fn what_breaks_off_is_handed_on() {
        for text in ["", "H", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\n"] {
            let got = through(&[(true, text.as_bytes())], false).await.unwrap();
            assert_eq!(got, text.as_bytes());
        }
    }

    #[test]
    fn a_line_without_end_is_not_held_for_ever() {
        let mut line = b"HTTP/".to_vec();
        line.resize(MAX_HEAD - 1, b'x');
        assert_eq!(first_line(&line), Line::More);
        line.push(b'x');
        assert_eq!(first_line(&line), Line::Proper);
    }

    proptest! {
        #[test]
        fn once_told_it_stays(input in prop_oneof![
            any::<Vec<u8>>().boxed(),
            "HTTP/1[.][01] [0-9]{2,4} ?[\u{0}-z]{0,9}\r?\n.{0,9}".prop_map(String::into_bytes).boxed(),
        ]) {
            let told = first_line(&input);
            for cut in 0..input.len() {
                let before = first_line(&input[..cut]);
                prop_assert!(before == Line::More || before == told);
            }
            hold_for_any(&input);
        }
    }
}
