//! The access log: one line a session, however it ended.
//!
//! A session holds one [`Record`] and fills in its [`Line`] as it learns more. The line is written
//! when the record is dropped, so a session that was cancelled or panicked has its line too.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Addr;
use super::format::Format;
use super::log::Tail;
use super::metrics::Session;
#[cfg(test)]
use super::sink::Memory;
use super::sink::{Error, Sink, Target};
use super::words::words;

words! {
    /// Why a session ended: `$session_end`, and the `reason` of a metric.
    #[derive(Default)]
    pub enum End listed {
        /// The client closed, before login or while relaying.
        ClientClosed => "client_closed",
        /// The client said LOGOUT or QUIT before it had logged in.
        ClientQuit => "client_quit",
        /// The client's connection failed: reset, or an error while reading or writing.
        ClientFailed => "client_failed",
        /// The upstream closed while relaying.
        UpstreamClosed => "upstream_closed",
        /// The upstream's connection failed while relaying.
        UpstreamFailed => "upstream_failed",
        /// The client was silent for too long before its login (`timeout`).
        ClientTimeout => "client_timeout",
        /// Nobody said anything for too long while relaying (`proxy_timeout`).
        RelayTimeout => "relay_timeout",
        /// A refused login closed the session.
        LoginRefused => "login_refused",
        /// Too many logins or connections from that client.
        Throttled => "throttled",
        /// `max_errors` broken commands.
        MaxErrors => "max_errors",
        /// `max_commands` commands without a login.
        MaxCommands => "max_commands",
        /// The client did not wait for its greeting (`smtp_greeting_delay`).
        SpokeTooEarly => "spoke_too_early",
        /// A command longer than the buffer.
        TooLong => "too_long",
        /// The TLS handshake with the client failed.
        TlsFailed => "tls_failed",
        /// Bytes in the clear after STARTTLS.
        SpokeBeforeTls => "spoke_before_tls",
        /// A PROXY header that was missing, broken or not allowed.
        ProxyHeader => "proxy_header",
        /// No room: `worker_connections` or another limit.
        TooBusy => "too_busy",
        /// An administrator ended it, moved its user or drained its upstream.
        Kicked => "kicked",
        /// gatepost stopped, or its old generation ran out of time.
        Shutdown => "shutdown",
        /// Our own fault, or the session was dropped before anybody gave a reason.
        #[default]
        Internal => "internal_error",
    }
}

words! {
    /// How a session fared, in one word: `$status`.
    #[derive(Default)]
    pub enum Status {
        /// Logged in.
        Ok => "ok",
        /// Asked to log in, and was refused.
        Refused => "refused",
        /// Asked to log in, and something of ours or behind us failed.
        Failed => "failed",
        /// Never asked.
        #[default]
        Closed => "closed",
    }
}

/// What is known of one session. Boxed by [`Record`]: it lives as long as the session does.
#[derive(Clone, Debug)]
pub struct Line {
    /// Unique among sessions, and the upstream's log has it too.
    pub session: Box<str>,
    pub connection: u64,
    pub started: SystemTime,
    pub duration: Duration,
    pub protocol: &'static str,
    /// The client, as a trusted proxy names it or as it connected.
    pub client: Addr,
    /// Who connected, where that is a proxy and not the client.
    pub peer: Option<Addr>,
    pub server: Addr,
    pub server_name: Arc<str>,
    pub starttls: bool,
    pub tls: Option<Box<Tls>>,
    pub mechanism: Option<&'static str>,
    /// Whose password it was.
    pub login: Option<Box<[u8]>>,
    /// Whose mailbox was looked up, where that differs.
    pub mailbox: Option<Box<[u8]>>,
    pub agent: Option<Box<str>>,
    pub agent_version: Option<Box<str>>,
    pub upstream: Option<Addr>,
    pub upstream_name: Option<Arc<str>>,
    /// The version of TLS towards the upstream.
    pub upstream_tls: Option<&'static str>,
    /// `HIT`, `MISS` and the like, where routes are cached.
    pub cache: Option<&'static str>,
    pub lookup: Option<Duration>,
    pub connect: Option<Duration>,
    pub auth: Option<Duration>,
    /// From the client, and to it.
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub attempts: u32,
    pub errors: u32,
    pub status: Status,
    pub end: End,
}

/// TLS with the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// As nginx says it: `TLSv1.3`.
    pub protocol: &'static str,
    pub cipher: &'static str,
    pub resumed: bool,
    pub sni: Option<Box<str>>,
    pub alpn: Option<Box<[u8]>>,
}

impl Line {
    pub fn new(protocol: &'static str, connection: u64, client: Addr, server: Addr) -> Self {
        Self {
            session: Box::default(),
            connection,
            started: SystemTime::now(),
            duration: Duration::ZERO,
            protocol,
            client,
            peer: None,
            server,
            server_name: Arc::default(),
            starttls: false,
            tls: None,
            mechanism: None,
            login: None,
            mailbox: None,
            agent: None,
            agent_version: None,
            upstream: None,
            upstream_name: None,
            upstream_tls: None,
            cache: None,
            lookup: None,
            connect: None,
            auth: None,
            bytes_received: 0,
            bytes_sent: 0,
            attempts: 0,
            errors: 0,
            status: Status::default(),
            end: End::default(),
        }
    }

    /// What a line of the error log says of this session. `doing` goes without its `while`.
    pub fn tail(&self, doing: impl Into<Option<&'static str>>) -> Tail<'_> {
        Tail {
            connection: self.connection,
            doing: doing.into(),
            client: &self.client,
            starttls: self.starttls,
            server: &self.server,
            login: self.login.as_deref(),
            upstream: self.upstream.as_ref(),
        }
    }
}

/// An access log: where lines go, each in its format. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Arc<[(Sink, Arc<Format>)]>);

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Access {
    pub fn open(targets: &[(Target, Arc<Format>)]) -> Result<Self, Error> {
        let open = |(target, format): &(Target, Arc<Format>)| Ok((target.open()?, format.clone()));
        Ok(Self(targets.iter().map(open).collect::<Result<_, Error>>()?))
    }

    /// `access_log off`.
    pub fn off() -> Self {
        Self(Arc::new([]))
    }

    /// An access log that a test can read.
    #[cfg(test)]
    pub fn memory(format: Arc<Format>) -> (Self, Memory) {
        let memory = Memory::default();
        (Self(Arc::new([(Sink::Memory(memory.clone()), format)])), memory)
    }

    /// Writes `line` to every target. It is with the system when this returns.
    pub fn write(&self, line: &Line) {
        let now = SystemTime::now();
        for (sink, format) in &*self.0 {
            let mut text = SCRATCH.take();
            text.clear();
            format.render(line, now, &mut text);
            text.push(b'\n');
            sink.write(None, &text);
            SCRATCH.set(text);
        }
    }
}

/// A session's line while the session lives; its drop writes it, and counts the session as ended.
#[derive(Debug)]
pub struct Record {
    line: Box<Line>,
    began: Instant,
    access: Access,
    session: Session,
}

impl Record {
    /// `session` is [`Protocol::session`](super::metrics::Protocol::session)'s guard.
    pub fn open(access: Access, line: Line, session: Session) -> Self {
        Self { line: Box::new(line), began: Instant::now(), access, session }
    }

    /// The client is let in: the line says so, and so does the gauge.
    pub fn relaying(&mut self) {
        self.line.status = Status::Ok;
        self.session.relaying();
    }

    /// Another virtual host took over, by SNI: its log gets the line.
    pub fn move_to(&mut self, access: Access) {
        self.access = access;
    }

    /// How long the session has lasted.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Deref for Record {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.line
    }
}

impl DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.line
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.line.duration = self.age();
        self.session.end = self.line.end;
        self.access.write(&self.line);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::observe::Metrics;

    fn line() -> Line {
        let ip = |text: &str| text.parse::<SocketAddr>().unwrap().into();
        Line::new("imap", 9, ip("192.0.2.7:4711"), ip("192.0.2.1:143"))
    }

    fn session() -> Session {
        Metrics::new().protocol("imap").session()
    }

    fn format(text: &str) -> Arc<Format> {
        Arc::new(Format::read(&[text]).unwrap())
    }

    #[test]
    fn a_session_leaves_one_line_however_it_ends() {
        let (access, memory) = Access::memory(format("$connection $status $session_end"));
        let mut record = Record::open(access.clone(), line(), session());
        record.relaying();
        record.end = End::UpstreamClosed;
        drop(record);
        drop(Record::open(access.clone(), line(), session()));
        let panicked = std::thread::spawn(move || {
            let _record = Record::open(access, line(), session());
            panic!("planted");
        });
        assert!(panicked.join().is_err());
        let unfinished = "9 closed internal_error";
        assert_eq!(memory.lines(), ["9 ok upstream_closed", unfinished, unfinished]);
    }

    #[test]
    fn a_line_goes_to_the_log_of_the_host_that_took_over() {
        let (first, before) = Access::memory(format("$connection"));
        let (second, after) = Access::memory(format("$connection"));
        let mut record = Record::open(first, line(), session());
        record.move_to(second);
        drop(record);
        assert_eq!((before.lines().len(), after.lines().len()), (0, 1));
        Access::off().write(&line());
    }

    #[test]
    fn a_line_is_in_its_file_when_the_session_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let access = Access::open(&[(Target::File(path.clone()), format("$remote_addr"))]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        drop(Record::open(access, line(), session()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "192.0.2.7\n");
    }

    #[test]
    fn a_line_stays_small() {
        // It lives as long as its session, and idle sessions come by the thousand.
        assert!(size_of::<Line>() <= 448, "{}", size_of::<Line>());
    }

    #[test]
    fn the_error_log_takes_its_tail_from_the_line() {
        let mut line = line();
        (line.starttls, line.login) = (true, Some(b"mrose"[..].into()));
        let tail = line.tail("in auth state");
        assert_eq!((tail.connection, tail.doing), (9, Some("in auth state")));
        assert!(tail.starttls && tail.login == Some(b"mrose") && tail.upstream.is_none());
        assert_eq!(line.tail(None).doing, None);
    }
}
