//! Trying one address of a server: connect, TLS if that comes first, the greeting, goodbye.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::greeting::{self, Heard};
use crate::net::{Endpoint, connect};
use crate::observe::escape::Quoted;
use crate::tls::client::Connector;

/// How long a server may take to hear our goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a server is expected to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Imap,
    Pop3,
    Smtp,
    Lmtp,
    Sieve,
    /// Whatever: it takes connections.
    Tcp,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Imap, Self::Pop3, Self::Smtp, Self::Lmtp, Self::Sieve, Self::Tcp];

    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
            Self::Sieve => "sieve",
            Self::Tcp => "tcp",
        }
    }

    /// The one of this name; a protocol has its own.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How it went: it works, or in words why not.
pub type Probed<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Whoever can try an address. Tests have their own.
pub trait Prober: fmt::Debug + Send + Sync {
    /// `host`: the name it was found by, for its certificate. It may take as long as it likes: who
    /// asks sets the limit.
    fn probe<'a>(&'a self, endpoint: &'a Endpoint, host: Option<&'a str>, kind: Kind)
    -> Probed<'a>;
}

/// Tries them for real.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    pub options: connect::Options,
    /// What goes before everything else: a PROXY header that speaks for nobody.
    pub preface: Vec<u8>,
    /// Where TLS comes first.
    pub connector: Option<Arc<Connector>>,
}

/// Who waits for ever is stopped from outside; these are for those who ask for a deadline.
const FAR: Duration = Duration::from_secs(3600);

impl Prober for Caller {
    fn probe<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        host: Option<&'a str>,
        kind: Kind,
    ) -> Probed<'a> {
        Box::pin(async move {
            let deadline = Instant::now() + FAR;
            let opened = connect::open(endpoint, self.options, deadline).await;
            let mut plain = opened.map_err(|error| error.to_string())?;
            plain.write_all(&self.preface).await.map_err(|error| error.to_string())?;
            let Some(connector) = &self.connector else { return converse(plain, kind).await };
            let ip = endpoint.ip().map(|ip| ip.to_string());
            let name = host.or(ip.as_deref()).unwrap_or("localhost");
            let connected = connector.connect(plain, name, deadline).await;
            let stream = connected.map_err(|error| error.to_string())?.stream;
            // Boxed: a TLS stream is large, and one task does this for all servers.
            Box::pin(converse(stream, kind)).await
        })
    }
}

/// Hears the greeting, and says goodbye.
async fn converse<S>(mut stream: S, kind: Kind) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut unread = Vec::new();
    loop {
        match greeting::read(kind, &unread) {
            Heard::More => {}
            Heard::Greeted => break,
            Heard::Declined => return Err(format!("it declined: \"{}\"", shown(&unread))),
            Heard::Odd => {
                return Err(format!("no {} greeting: \"{}\"", kind.name(), shown(&unread)));
            }
        }
        match stream.read_buf(&mut unread).await {
            Ok(0) => return Err("closed before its greeting".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    // It works. How it takes our leave is of no matter.
    let leave = async {
        stream.write_all(greeting::goodbye(kind)).await?;
        stream.shutdown().await?;
        let mut left = (&mut stream).take(greeting::LONGEST as u64);
        tokio::io::copy(&mut left, &mut tokio::io::sink()).await
    };
    let _ = timeout(GOODBYE, leave).await;
    Ok(())
}

/// The beginning of what it said, for a log.
fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    Quoted(&line[..line.len().min(80)]).to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::net::TcpListener;

    use super::*;
    use crate::observe::tasks;

    /// A server that greets with `greeting`, and what it was told then.
    async fn meet(kind: Kind, greeting: &'static str) -> (Result<(), String>, String) {
        let (ours, mut theirs) = duplex(1024);
        let server = tasks::spawn("server", async move {
            theirs.write_all(greeting.as_bytes()).await.unwrap();
            let mut heard = String::new();
            theirs.read_to_string(&mut heard).await.unwrap();
            heard
        });
        let done = converse(ours, kind).await;
        (done, server.await.unwrap())
    }

    #[tokio::test]
    async fn who_greets_is_well_and_hears_goodbye() {
        for (kind, greeting, goodbye) in [
            (Kind::Imap, "* OK hi\r\n", "a LOGOUT\r\n"),
            (Kind::Pop3, "+OK hi\r\n", "QUIT\r\n"),
            (Kind::Smtp, "220-h\r\n220 hi\r\n", "QUIT\r\n"),
            (Kind::Sieve, "\"SIEVE\" \"x\"\r\nOK\r\n", "LOGOUT\r\n"),
            (Kind::Tcp, "", ""),
        ] {
            assert_eq!(meet(kind, greeting).await, (Ok(()), goodbye.to_owned()), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn who_does_not_is_quoted_in_the_cause() {
        let (done, _) = meet(Kind::Imap, "* BYE full\"\x1b\r\n").await;
        assert_eq!(done.unwrap_err(), "it declined: \"* BYE full\\x22\\x1B\"");
        let (done, _) = meet(Kind::Pop3, "SSH-2.0-x\r\n").await;
        assert_eq!(done.unwrap_err(), "no pop3 greeting: \"SSH-2.0-x\"");
        let (ours, theirs) = duplex(64);
        drop(theirs);
        assert_eq!(converse(ours, Kind::Imap).await.unwrap_err(), "closed before its greeting");
    }

    #[tokio::test]
    async fn a_preface_comes_first_and_a_closed_port_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::from(listener.local_addr().unwrap());
        let caller = Caller { preface: b"PROXY UNKNOWN\r\n".to_vec(), ..Caller::default() };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 15];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(b"* OK hi\r\n").await.unwrap();
            heard
        };
        let (done, heard) = tokio::join!(caller.probe(&endpoint, None, Kind::Imap), server);
        assert_eq!((done, heard.as_slice()), (Ok(()), &b"PROXY UNKNOWN\r\n"[..]));
        drop(listener);
        let cause = caller.probe(&endpoint, None, Kind::Imap).await.unwrap_err();
        assert_eq!(cause, "connect() failed (111: Connection refused)");
    }

    #[tokio::test]
    async fn tls_comes_first_where_it_does_and_who_is_not_trusted_is_not_well() {
        use crate::tls::client::Connectors;
        use crate::tls::directives::UpstreamSettings;
        use crate::tls::server::{self, Shared};
        use crate::tls::support::{Desk, serving, soon};

        let (desk, shared) = (Desk::new(), Shared::new());
        let config = serving(&[desk.make_signed("up", &["mail.example"])], &[], &shared);
        let settings = UpstreamSettings {
            trusted: Some(desk.path("root.crt")),
            ..UpstreamSettings::default()
        };
        let connector = Connectors::default().connector(&settings).unwrap();
        let caller = Caller { connector: Some(connector), ..Caller::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::from(listener.local_addr().unwrap());
        for (host, is_well) in [("mail.example", true), ("other.example", false)] {
            let server = async {
                let (stream, _) = listener.accept().await.unwrap();
                let accepted = server::accept(stream, None, |_| Some(config.clone()), soon()).await;
                let Ok(mut accepted) = accepted else { return };
                let _ = accepted.stream.write_all(b"+OK hi\r\n").await;
                let _ = accepted.stream.flush().await;
                let _ = accepted.stream.read_to_end(&mut Vec::new()).await;
            };
            let (done, ()) = tokio::join!(caller.probe(&endpoint, Some(host), Kind::Pop3), server);
            assert_eq!(done.is_ok(), is_well, "{host}: {done:?}");
        }
    }
}
