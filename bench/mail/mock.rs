//! The mail server behind everybody: an IMAP server that says yes to everything, as cheaply as it can, and an
//! `auth_http` responder that sends every user to it.
//!
//! It understands what proxies and this bench's clients say (quoted strings and literals of both kinds alike), keeps
//! 256 bytes for an idle session, and is one thread. Only for loopback: it checks no password.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::LazyLock;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::{Result, submission, tls};

const CAPABILITY: &str = "CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID LITERAL+";
/// The message that every FETCH brings.
pub const BODY: usize = 1 << 20;
/// Longer commands end the session.
const LONGEST: usize = 64 << 10;
const BACKLOG: u32 = 4096;

static MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut message = format!("* 1 FETCH (BODY[] {{{BODY}}}\r\n").into_bytes();
    let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
    message.extend(line.iter().cycle().take(BODY));
    message.extend(b")\r\n");
    message
});

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where IMAP is served in the clear
    #[arg(long)]
    imap: SocketAddr,
    /// Where it is served besides
    #[arg(long)]
    twin: Option<SocketAddr>,
    /// Where IMAP is served over TLS
    #[arg(long, requires = "certificate")]
    imaps: Option<SocketAddr>,
    /// Where SMTP is served in the clear
    #[arg(long)]
    smtp: Option<SocketAddr>,
    /// Where SMTP is served over TLS
    #[arg(long, requires = "certificate")]
    smtps: Option<SocketAddr>,
    /// The folder with cert.pem and key.pem
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Where auth_http and Zimbra's lookup are answered with the address of --imap
    #[arg(long)]
    auth: Option<SocketAddr>,
    /// Where lookups are accepted and never answered
    #[arg(long)]
    hang: Option<SocketAddr>,
    /// What a client hears first
    #[arg(long, default_value_t = format!("* OK [{CAPABILITY}] ready"))]
    greeting: String,
}

#[derive(Clone)]
enum Speaks {
    Imap(Rc<str>),
    Imaps(Rc<str>, tokio_rustls::TlsAcceptor),
    Auth(Rc<str>),
    Nothing,
    Smtp,
    Smtps(tokio_rustls::TlsAcceptor),
}

pub async fn serve(args: Args) -> Result<()> {
    LazyLock::force(&MESSAGE);
    let greeting: Rc<str> = format!("{}\r\n", args.greeting).into();
    let mut listeners = vec![(args.imap, Speaks::Imap(Rc::clone(&greeting)))];
    listeners.extend(args.twin.map(|at| (at, Speaks::Imap(Rc::clone(&greeting)))));
    if let (Some(at), Some(folder)) = (args.imaps, &args.certificate) {
        let config: std::sync::Arc<ServerConfig> = tls::server(folder)?;
        listeners.push((at, Speaks::Imaps(greeting, config.into())));
    }
    listeners.extend(args.smtp.map(|at| (at, Speaks::Smtp)));
    if let (Some(at), Some(folder)) = (args.smtps, &args.certificate) {
        listeners.push((at, Speaks::Smtps(tls::server(folder)?.into())));
    }
    if let Some(at) = args.auth {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {}\r\nAuth-Port: {}\r\nContent-Length: 0\r\n\r\n",
            args.imap.ip(),
            args.imap.port()
        );
        listeners.push((at, Speaks::Auth(answer.into())));
    }
    listeners.extend(args.hang.map(|at| (at, Speaks::Nothing)));
    let all = LocalSet::new();
    for (at, speaks) in listeners {
        let listener = listen(at)?;
        all.spawn_local(accept(listener, speaks));
    }
    all.await;
    Ok(())
}

fn listen(at: SocketAddr) -> Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at).map_err(|error| format!("{at}: {error}"))?;
    Ok(socket.listen(BACKLOG)?)
}

async fn accept(listener: TcpListener, speaks: Speaks) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(spawn_local(serve_one(stream, speaks.clone()))),
            Err(error) => {
                eprintln!("mock: accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// A session that breaks off says nothing: the clients count what they miss.
async fn serve_one(stream: TcpStream, speaks: Speaks) {
    let _ = stream.set_nodelay(true);
    let _ = match speaks {
        Speaks::Imap(greeting) => imap(stream, &greeting).await,
        Speaks::Auth(answer) => auth(stream, &answer).await,
        Speaks::Nothing => hang(stream).await,
        Speaks::Smtp => submission::serve(stream).await,
        Speaks::Smtps(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Box::pin(submission::serve(stream)).await,
            Err(error) => Err(error),
        },
        Speaks::Imaps(greeting, acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => Box::pin(imap(stream, &greeting)).await,
            Err(error) => Err(error),
        },
    };
}

/// Takes all that is said and answers none of it.
async fn hang(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = [0; 1024];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

async fn imap<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    greeting: &str,
) -> std::io::Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    stream.flush().await?;
    let mut heard = Heard { bytes: Vec::with_capacity(256), open: 0 };
    let mut waits = None;
    loop {
        if heard.bytes.len() > LONGEST || stream.read_buf(&mut heard.bytes).await? == 0 {
            return Ok(());
        }
        let mut reply = Vec::new();
        loop {
            match heard.command() {
                Command::More => break,
                Command::Literal => reply.extend(b"+ OK\r\n"),
                Command::Whole(end) => {
                    let before = reply.len();
                    let more = answer(&heard.bytes[..end], &mut waits, &mut reply);
                    heard.bytes.drain(..end);
                    heard.open = 0;
                    if more.message {
                        stream.write_all(&reply[..before]).await?;
                        stream.write_all(&MESSAGE).await?;
                        reply.drain(..before);
                    }
                    if more.bye {
                        stream.write_all(&reply).await?;
                        return stream.shutdown().await;
                    }
                }
            }
        }
        stream.write_all(&reply).await?;
        stream.flush().await?;
    }
}

/// What a client has said and nobody has answered yet.
struct Heard {
    bytes: Vec<u8>,
    /// Where the line begins that is still open: behind the literals that have been announced.
    open: usize,
}

enum Command {
    More,
    /// The client waits to be asked for a literal.
    Literal,
    /// Ends before this byte, its literals included.
    Whole(usize),
}

impl Heard {
    fn command(&mut self) -> Command {
        loop {
            let Some(line) = self.bytes.get(self.open..) else { return Command::More };
            let Some(length) = line.windows(2).position(|two| two == b"\r\n") else {
                return Command::More;
            };
            let next = self.open + length + 2;
            match literal(&line[..length]) {
                None => return Command::Whole(next),
                Some((size, waits)) => {
                    self.open = next + size;
                    if waits {
                        return Command::Literal;
                    }
                }
            }
        }
    }
}

/// The literal that a line announces, and whether its sender waits to be asked for it (RFC 7888 §4).
fn literal(line: &[u8]) -> Option<(usize, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let from = inner.iter().rposition(|byte| *byte == b'{')?;
    let number = std::str::from_utf8(&inner[from + 1..]).ok()?;
    let size = number.strip_suffix('+').unwrap_or(number).parse().ok()?;
    (size <= LONGEST).then_some((size, !number.ends_with('+')))
}

#[derive(Default)]
struct More {
    message: bool,
    bye: bool,
}

/// Answers one command. `waits` holds the tag of an IDLE or AUTHENTICATE that goes on in the next line.
fn answer(command: &[u8], waits: &mut Option<Vec<u8>>, reply: &mut Vec<u8>) -> More {
    let mut more = More::default();
    if let Some(tag) = waits.take() {
        reply.extend(tag);
        reply.extend(b" OK done\r\n");
        return more;
    }
    let mut words = command.split(|byte| byte.is_ascii_whitespace());
    let tag = words.next().unwrap_or_default();
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    let mut text = String::from("done");
    match verb.as_slice() {
        b"CAPABILITY" => reply.extend(format!("* {CAPABILITY}\r\n").bytes()),
        b"ID" => reply.extend(b"* ID NIL\r\n"),
        b"LOGIN" => text = format!("[{CAPABILITY}] logged in"),
        // The mechanism and, with SASL-IR, what it begins with.
        b"AUTHENTICATE" if words.filter(|word| !word.is_empty()).count() > 1 => {
            text = format!("[{CAPABILITY}] logged in");
        }
        b"IDLE" | b"AUTHENTICATE" => {
            reply.extend(b"+ \r\n");
            *waits = Some(tag.to_vec());
            return more;
        }
        b"FETCH" => more.message = true,
        b"LOGOUT" => {
            reply.extend(b"* BYE\r\n");
            more.bye = true;
        }
        _ => {}
    }
    reply.extend(tag);
    reply.extend(format!(" OK {text}\r\n").bytes());
    more
}

/// nginx's protocol, and Zimbra's: a GET with the login in its header, an answer in the header. nginx asks by HTTP/1.0
/// and reads to the end; whoever asks by HTTP/1.1 keeps the connection.
async fn auth(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(1024);
    loop {
        if request.len() > LONGEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        while let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = &request[..end];
            stream.write_all(answer.as_bytes()).await?;
            if head.split(|byte| *byte == b'\r').any(ends_connection) {
                return stream.shutdown().await;
            }
            request.drain(..end + 4);
        }
    }
}

fn ends_connection(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.ends_with(b" HTTP/1.0") || line.eq_ignore_ascii_case(b"connection: close")
}
