//! One connection to a directory: reached, secured, and guarded.
//!
//! The library gets one end of a pair of sockets. At the other end stands [`carry`], which gives on
//! what the library says, and of what the directory says whole messages alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ldap3::asn1::parse_tag;
use ldap3::{LdapConnAsync, LdapConnSettings, StdStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{UnixStream, lookup_host};
use tokio::time::Instant;

use super::super::fault::{Flaw, chain};
use super::super::own_words;
use super::entry::result_code;
use super::guard::{Breach, Message, message};
use super::url::Server;
use crate::net::connect::{Options, open};
use crate::net::stream::{Plain, Stream};
use crate::net::{Endpoint, Place};
use crate::observe::tasks;
use crate::tls::client::Connector;

/// RFC 4511 §4.14.1, as message 1: `StartTLS`.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// `extendedResp`
const EXTENDED: u8 = 24;

/// How a directory is spoken to.
#[derive(Clone, Debug)]
pub enum Security {
    Off,
    On(Arc<Connector>),
    StartTls(Arc<Connector>),
}

/// Connects to `server` and gives the library's handle. Nobody is bound yet.
pub async fn connect(
    server: &Server,
    security: &Security,
    deadline: Instant,
) -> Result<ldap3::Ldap, Flaw> {
    let mut plain = reach(server, deadline).await?;
    let host = server.host().unwrap_or_default();
    let stream = match security {
        Security::Off => Stream::Plain(plain),
        Security::On(connector) => secure(plain, connector, &host, deadline).await?,
        Security::StartTls(connector) => {
            start_tls(&mut plain).await?;
            secure(plain, connector, &host, deadline).await?
        }
    };
    let library = |error: ldap3::LdapError| Flaw::Unreachable(chain(&error));
    let broken = |error: io::Error| Flaw::Unreachable(error.to_string());
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    let theirs = theirs.into_std().map_err(broken)?;
    let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(theirs));
    let made = LdapConnAsync::with_settings(settings, "ldapi:///").await;
    let (connection, handle) = made.map_err(library)?;
    drop(tasks::spawn("ldap", async move {
        // Whoever asks hears of it.
        let _ = connection.drive().await;
    }));
    drop(tasks::spawn("ldap_guard", async move {
        let _ = carry(stream, ours).await;
    }));
    Ok(handle)
}

/// The first address that answers.
async fn reach(server: &Server, deadline: Instant) -> Result<Plain, Flaw> {
    let unreachable = |words: String| Flaw::Unreachable(format!("{server}: {words}"));
    let found: Vec<Endpoint> = match &server.place {
        Place::Fixed(endpoint) => vec![endpoint.clone()],
        Place::Named { host, port } => {
            let found = lookup_host((host.as_str(), *port)).await;
            let found = found.map_err(|error| unreachable(error.to_string()))?;
            found.map(SocketAddr::into).collect()
        }
    };
    let mut last = unreachable("its name has no address".to_owned());
    for (at, endpoint) in found.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let rest = u32::try_from(found.len() - at).unwrap_or(u32::MAX);
        match open(endpoint, Options::default(), Instant::now() + left / rest).await {
            Ok(plain) => return Ok(plain),
            Err(error) => last = unreachable(chain(&error)),
        }
    }
    Err(last)
}

async fn secure(
    plain: Plain,
    connector: &Connector,
    host: &str,
    deadline: Instant,
) -> Result<Stream, Flaw> {
    match connector.connect(plain, host, deadline).await {
        Ok(connected) => Ok(Stream::Client(Box::new(connected.stream))),
        Err(error) => Err(Flaw::Unreachable(format!("TLS: {}", own_words(&chain(&error))))),
    }
}

/// Asks for TLS, and hears that it may begin.
async fn start_tls(plain: &mut Plain) -> Result<(), Flaw> {
    let refused = |words: &str| Flaw::Unreachable(format!("StartTLS: {words}"));
    let lost = |error: io::Error| refused(&error.to_string());
    plain.write_all(START_TLS).await.map_err(lost)?;
    let mut heard = Vec::new();
    loop {
        match message(&heard) {
            Message::More => {
                let read = plain.read_buf(&mut heard).await.map_err(lost)?;
                if read == 0 {
                    return Err(refused("the server has hung up"));
                }
            }
            Message::Broken(breach) => return Err(refused(&breach.to_string())),
            // What came after it came in the clear, from whomever.
            Message::Whole { used, .. } if used != heard.len() => {
                return Err(refused("the server spoke before TLS began"));
            }
            Message::Whole { op: EXTENDED, .. } => {
                let code = parse_tag(&heard).ok().and_then(|(_, tag)| result_code(tag));
                return match code {
                    Some(0) => Ok(()),
                    Some(code) => Err(refused(&format!("the server answers with code {code}"))),
                    None => Err(refused("the server's answer is none")),
                };
            }
            Message::Whole { .. } => return Err(refused("the server's answer is none")),
        }
    }
}

/// Carries bytes both ways until either end is closed, or the directory says what is no LDAP.
async fn carry(directory: Stream, library: UnixStream) -> io::Result<()> {
    let (mut from_directory, mut to_directory) = split(directory);
    let (mut from_library, mut to_library) = library.into_split();
    let there = async {
        tokio::io::copy(&mut from_library, &mut to_directory).await?;
        to_directory.shutdown().await
    };
    let back = async {
        let mut heard = Vec::with_capacity(4096);
        loop {
            match message(&heard) {
                Message::Whole { used, .. } => {
                    to_library.write_all(&heard[..used]).await?;
                    heard.drain(..used);
                }
                Message::More => {
                    if from_directory.read_buf(&mut heard).await? == 0 {
                        return Ok(());
                    }
                }
                Message::Broken(breach) => return Err::<(), _>(broken(breach)),
            }
        }
    };
    // Dropped, the pair's end is closed: the library sees its connection end.
    tokio::select! {
        done = there => done,
        done = back => done,
    }
}

fn broken(breach: Breach) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, breach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_for_tls_is_a_message() {
        assert_eq!(START_TLS.len(), 31);
        let (rest, tag) = parse_tag(START_TLS).unwrap();
        assert!(rest.is_empty());
        let op = tag.expect_constructed().unwrap().remove(1);
        assert_eq!(op.id, 23);
        let name = op.expect_constructed().unwrap().remove(0);
        assert_eq!((name.id, name.expect_primitive().unwrap().len()), (0, 22));
    }

    #[tokio::test]
    async fn a_directory_that_speaks_no_ldap_is_cut_off() {
        let (directory, mut other) = UnixStream::pair().unwrap();
        let (library, mut heard) = UnixStream::pair().unwrap();
        let carried = tasks::spawn("carry", carry(Plain::Unix(directory).into(), library));
        let whole = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00";
        for byte in whole {
            other.write_all(&[*byte]).await.unwrap();
        }
        other.write_all(b"\x30\x84\x7f\xff\xff\xff").await.unwrap();
        let mut bytes = Vec::new();
        heard.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, whole);
        let error = carried.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "a message of more than 1048576 bytes");
    }

    #[tokio::test]
    async fn nothing_said_before_tls_is_believed() {
        for (answer, want) in [
            (&b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"[..], "ok"),
            (
                b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x30",
                "cannot be reached: StartTLS: the server spoke before TLS began",
            ),
            (
                b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
                "cannot be reached: StartTLS: the server answers with code 52",
            ),
            (b"", "cannot be reached: StartTLS: the server has hung up"),
            (b"220 smtp", "cannot be reached: StartTLS: a message that is no LDAP"),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(answer).await.unwrap();
            theirs.shutdown().await.unwrap();
            let began = start_tls(&mut Plain::Unix(ours)).await;
            assert_eq!(began.map_or_else(|flaw| flaw.to_string(), |()| "ok".to_owned()), want);
        }
    }
}
