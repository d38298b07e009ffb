//! Submission: an SMTP server that takes every message as cheaply as it can, and what a client says to hand one in.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How large a message is.
pub const SIZE: usize = 10_000;
/// Longer lines end the session.
const LONGEST: usize = 64 << 10;
const END: &[u8] = b"\r\n.\r\n";

/// What EHLO is answered; XCLIENT is not among it.
const OFFERS: &str =
    "250-mock\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n";

/// A message with the dot that ends it.
pub fn message() -> Vec<u8> {
    let mut message =
        b"From: <a@bench.example>\r\nTo: <b@bench.example>\r\nSubject: bench\r\n\r\n".to_vec();
    let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
    let rest = SIZE - message.len() - 2;
    message.extend(line.iter().cycle().take(rest));
    message.extend(END);
    message
}

/// Serves one SMTP session.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    stream.write_all(b"220 mock ESMTP\r\n").await?;
    stream.flush().await?;
    let mut heard = Vec::with_capacity(1024);
    let mut within_message = false;
    loop {
        if stream.read_buf(&mut heard).await? == 0 {
            return Ok(());
        }
        let mut reply = Vec::new();
        loop {
            if within_message {
                // Nobody looks at the message: only at where it ends.
                let Some(end) = heard.windows(END.len()).position(|bytes| bytes == END) else {
                    let keep = heard.len().saturating_sub(END.len() - 1);
                    heard.drain(..keep);
                    break;
                };
                heard.drain(..end + END.len());
                within_message = false;
                reply.extend(b"250 2.0.0 queued\r\n");
            }
            let Some(end) = heard.windows(2).position(|two| two == b"\r\n") else {
                if heard.len() > LONGEST {
                    return Ok(());
                }
                break;
            };
            let line: Vec<u8> = heard.drain(..end + 2).collect();
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            match verb.as_slice() {
                b"EHLO" => reply.extend(OFFERS.bytes()),
                b"AUTH" => reply.extend(b"235 2.7.0 in\r\n"),
                b"DATA" => {
                    reply.extend(b"354 go on\r\n");
                    within_message = true;
                }
                b"QUIT" => {
                    reply.extend(b"221 2.0.0 bye\r\n");
                    stream.write_all(&reply).await?;
                    return stream.shutdown().await;
                }
                _ => reply.extend(b"250 2.0.0 fine\r\n"),
            }
        }
        stream.write_all(&reply).await?;
        stream.flush().await?;
    }
}
