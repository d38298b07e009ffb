//! The mail clients: so many at once, doing one thing over and over, and telling how often it was done.
//!
//! Ends with one line of `name=value` on standard output, for [`crate::measure`] to read. Anything that goes wrong ends
//! the whole load with an error: a proxy that drops sessions has no figure. One thread.

use std::cell::Cell;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsConnector;

use crate::{Result, submission, tls};

/// No login shall take longer.
const LATE: Duration = Duration::from_secs(1);
/// How much of a message is taken at once.
const GULP: usize = 256 << 10;
/// How many idle sessions log in at the same time.
const AT_ONCE: u64 = 64;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every client does
    #[arg(value_enum)]
    pub work: Work,
    /// Where the server is
    #[arg(long)]
    pub to: SocketAddr,
    /// Speak TLS from the first byte, and trust cert.pem in this folder
    #[arg(long)]
    pub certificate: Option<PathBuf>,
    /// Clients at the same time
    #[arg(long, default_value_t = 1)]
    pub clients: u64,
    /// End after so many logins or handshakes, or so many sessions for `idle`
    #[arg(long)]
    pub count: Option<u64>,
    /// End after so many seconds
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Begin so many logins a second, however many are still going on (`open`)
    #[arg(long, default_value_t = 1_000.0)]
    pub rate: f64,
    /// So many users take turns
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Come back with the ticket of last time
    #[arg(long)]
    pub resume: bool,
    /// Offer X25519MLKEM768 before X25519
    #[arg(long)]
    pub post_quantum: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// Connect, log in, log out
    Login,
    /// As that, at a rate that does not wait for answers; all is timed from when it was to begin
    Open,
    /// Connect, shake hands, hear the greeting, leave
    Handshake,
    /// Fetch a message of 1 MiB, again and again
    Fetch,
    /// NOOP and its answer, again and again
    Noop,
    /// Connect, log in, hand in a message of 10 kB, leave
    Submit,
    /// Log in, say `ready` and hold the sessions until standard input ends
    Idle,
}

/// What all clients of a load have in common, and what they have done.
struct Crowd {
    args: Args,
    until: Option<Instant>,
    begun: Cell<u64>,
    done: Cell<u64>,
    bytes: Cell<u64>,
    resumed: Cell<u64>,
    took: Cell<Vec<Duration>>,
}

pub async fn run(args: Args) -> Result<()> {
    if args.count.is_none() && args.seconds.is_none() {
        return Err("load: neither --count nor --seconds".into());
    }
    let began = Instant::now();
    let crowd = Rc::new(Crowd {
        until: args.seconds.map(|seconds| began + Duration::from_secs_f64(seconds)),
        begun: Cell::new(0),
        done: Cell::new(0),
        bytes: Cell::new(0),
        resumed: Cell::new(0),
        took: Cell::default(),
        args,
    });
    LocalSet::new().run_until(play(Rc::clone(&crowd))).await?;
    let mut took = crowd.took.take();
    took.sort_unstable();
    let within = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "done={} bytes={} resumed={} seconds={:.3} p50={:.6} p99={:.6} most={:.6} late={}",
        crowd.done.get(),
        crowd.bytes.get(),
        crowd.resumed.get(),
        began.elapsed().as_secs_f64(),
        within(50).as_secs_f64(),
        within(99).as_secs_f64(),
        took.last().copied().unwrap_or_default().as_secs_f64(),
        took.iter().filter(|took| **took > LATE).count(),
    )?;
    Ok(())
}

/// An open loop: each login begins when it is due, whatever has become of those before.
async fn open(crowd: Rc<Crowd>) -> Result<()> {
    let mut all = JoinSet::new();
    let (began, pace) = (Instant::now(), 1.0 / crowd.args.rate.max(1.0));
    while let Some(turn) = crowd.next() {
        let due = began + Duration::from_secs_f64(pace * turn as f64);
        tokio::time::sleep_until(due.into()).await;
        let crowd = Rc::clone(&crowd);
        all.spawn_local(async move {
            let mut session = Session::open(&crowd, None).await?;
            session.log_in(turn % crowd.args.users).await?;
            crowd.did(due, 0);
            session.log_out().await
        });
        while let Some(ended) = all.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    Ok(())
}

async fn play(crowd: Rc<Crowd>) -> Result<()> {
    if crowd.args.work == Work::Open {
        return open(crowd).await;
    }
    let idle = crowd.args.work == Work::Idle;
    let clients = if idle { AT_ONCE } else { crowd.args.clients };
    let mut all = JoinSet::new();
    for _ in 0..clients {
        all.spawn_local(client(Rc::clone(&crowd)));
    }
    let mut held = Vec::new();
    while let Some(one) = all.join_next().await {
        held.push(one??);
    }
    if idle {
        writeln!(std::io::stdout(), "ready")?;
        // It may stop the thread: nobody on it has anything to do.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    }
    Ok(())
}

/// One client after another, until the crowd has done enough. Gives back the sessions that are still open.
async fn client(crowd: Rc<Crowd>) -> Result<Vec<Session>> {
    // Each client has its own tickets, as each mail program has.
    let offer = tls::Offer { resume: crowd.args.resume, post_quantum: crowd.args.post_quantum };
    let folder = crowd.args.certificate.as_deref();
    let connector =
        folder.map(|folder| tls::client(folder, offer)).transpose()?.map(TlsConnector::from);
    let mut held = Vec::new();
    let mut first = true;
    while let Some(turn) = crowd.next() {
        let began = Instant::now();
        let mut session = Session::open(&crowd, connector.as_ref()).await?;
        if crowd.args.work == Work::Handshake {
            // The first of each client has no ticket to come back with.
            let counts = !crowd.args.resume || !first;
            crowd.resumed.set(crowd.resumed.get() + u64::from(session.resumed));
            if counts && crowd.args.resume != session.resumed {
                return Err("the server would not resume, or resumed unasked".into());
            }
            session.stream.shutdown().await?;
        } else if crowd.args.work == Work::Submit {
            session.submit(turn % crowd.args.users).await?;
            crowd.did(began, submission::SIZE as u64);
        } else {
            session.log_in(turn % crowd.args.users).await?;
        }
        if matches!(crowd.args.work, Work::Login | Work::Handshake | Work::Idle) {
            crowd.did(began, 0);
        }
        match crowd.args.work {
            Work::Login => session.log_out().await?,
            Work::Handshake | Work::Submit | Work::Open => {}
            Work::Noop => session.again(&crowd, Session::noop).await?,
            Work::Fetch => session.again(&crowd, Session::fetch).await?,
            Work::Idle => held.push(session),
        }
        first = false;
    }
    Ok(held)
}

impl Crowd {
    /// Whether one more is wanted, and the how manieth it is.
    fn next(&self) -> Option<u64> {
        let turn = self.begun.get();
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        if late || self.args.count.is_some_and(|count| turn >= count) {
            return None;
        }
        self.begun.set(turn + 1);
        Some(turn)
    }

    fn did(&self, began: Instant, bytes: u64) {
        self.done.set(self.done.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        let mut took = self.took.take();
        took.push(began.elapsed());
        self.took.set(took);
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Both for S {}

struct Session {
    stream: Box<dyn Both>,
    /// Came, and is not yet looked at.
    heard: Vec<u8>,
    resumed: bool,
}

impl Session {
    /// Connects and hears the greeting; with it have come the tickets.
    async fn open(crowd: &Crowd, connector: Option<&TlsConnector>) -> Result<Self> {
        let plain = TcpStream::connect(crowd.args.to).await?;
        plain.set_nodelay(true)?;
        let (stream, resumed): (Box<dyn Both>, bool) = match connector {
            None => (Box::new(plain), false),
            Some(connector) => {
                let name = ServerName::try_from(tls::NAME)?;
                let stream = connector.connect(name, plain).await?;
                let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                (Box::new(stream), resumed)
            }
        };
        let mut session = Self { stream, heard: Vec::with_capacity(256), resumed };
        let greeting = session.line().await?;
        match greeting.starts_with(b"* OK") || greeting.starts_with(b"220 ") {
            true => Ok(session),
            false => Err(unexpected(&greeting)),
        }
    }

    async fn log_in(&mut self, user: u64) -> Result<()> {
        self.ask(&format!("a LOGIN user{user:04}@{} secret\r\n", tls::NAME)).await
    }

    /// A message as mail programs hand it in: each step waits for its answer.
    async fn submit(&mut self, user: u64) -> Result<()> {
        let login = format!("\0user{user:04}@{}\0secret", tls::NAME);
        let login = format!("AUTH PLAIN {}\r\n", STANDARD.encode(login));
        for (line, code) in [
            ("EHLO client.bench.example\r\n", "250"),
            (&*login, "235"),
            ("MAIL FROM:<a@bench.example>\r\n", "250"),
            ("RCPT TO:<b@bench.example>\r\n", "250"),
            ("DATA\r\n", "354"),
        ] {
            self.say(line).await?;
            self.reply(code).await?;
        }
        let message = MAIL.with(Rc::clone);
        self.stream.write_all(&message).await?;
        self.stream.flush().await?;
        self.reply("250").await?;
        self.say("QUIT\r\n").await?;
        self.reply("221").await?;
        while self.stream.read_buf(&mut self.heard).await? > 0 {
            self.heard.clear();
        }
        Ok(())
    }

    /// The last line of an SMTP reply with this code.
    async fn reply(&mut self, code: &str) -> Result<()> {
        loop {
            let line = self.line().await?;
            match (line.starts_with(code.as_bytes()), line.get(3)) {
                (true, Some(b'-')) => {}
                (true, Some(b' ')) => return Ok(()),
                _ => return Err(unexpected(&line)),
            }
        }
    }

    async fn log_out(&mut self) -> Result<()> {
        self.ask("z LOGOUT\r\n").await?;
        // Whoever closes first keeps the port for a minute: let it be the server.
        while self.stream.read_buf(&mut self.heard).await? > 0 {
            self.heard.clear();
        }
        Ok(())
    }

    async fn noop(&mut self) -> Result<u64> {
        self.ask("b NOOP\r\n").await.map(|()| 0)
    }

    async fn fetch(&mut self) -> Result<u64> {
        self.say("c FETCH 1 BODY[]\r\n").await?;
        let head = self.line().await?;
        let Some(size) = announced(&head) else { return Err(unexpected(&head)) };
        let mut left = size - self.heard.len().min(size);
        self.heard.drain(..size.min(self.heard.len()));
        let mut gulp = GULP_SPACE.take();
        gulp.resize(GULP, 0);
        while left > 0 {
            let most = left.min(GULP);
            match self.stream.read(&mut gulp[..most]).await? {
                0 => return Err("closed within a message".into()),
                read => left -= read,
            }
        }
        GULP_SPACE.set(gulp);
        self.line().await?;
        let end = self.line().await?;
        match end.starts_with(b"c OK") {
            true => Ok(size as u64),
            false => Err(unexpected(&end)),
        }
    }

    /// One thing over and over until it is time to leave.
    async fn again(
        &mut self,
        crowd: &Crowd,
        once: impl AsyncFn(&mut Self) -> Result<u64>,
    ) -> Result<()> {
        while crowd.until.is_none_or(|until| Instant::now() < until) {
            let began = Instant::now();
            let bytes = once(self).await?;
            crowd.did(began, bytes);
        }
        self.log_out().await
    }

    async fn say(&mut self, words: &str) -> Result<()> {
        self.stream.write_all(words.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// Says a command and waits for its tagged OK.
    async fn ask(&mut self, words: &str) -> Result<()> {
        self.say(words).await?;
        loop {
            let line = self.line().await?;
            match line.starts_with(b"* ") {
                true => {}
                false if line.get(1..5) == Some(b" OK ") && line[..1] == words.as_bytes()[..1] => {
                    return Ok(());
                }
                false => return Err(unexpected(&line)),
            }
        }
    }

    /// The next line, with its end.
    async fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.heard.windows(2).position(|two| two == b"\r\n") {
                return Ok(self.heard.drain(..end + 2).collect());
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return Err("closed before its answer".into());
            }
        }
    }
}

thread_local! {
    static MAIL: Rc<Vec<u8>> = Rc::new(submission::message());
    static GULP_SPACE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// `{n}` at the end of a line.
fn announced(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}\r\n")?;
    let from = inner.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(&inner[from + 1..]).ok()?.parse().ok()
}

fn unexpected(line: &[u8]) -> crate::Error {
    format!("unexpected answer: {:?}", String::from_utf8_lossy(line)).into()
}
