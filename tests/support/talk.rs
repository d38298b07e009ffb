//! One end of a conversation in lines, in the clear or over TLS, with a deadline on everything.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::{PATIENCE, Tls, Waiting};

enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between the two.
    Gone,
}

/// One end of a conversation.
///
/// What is named `try_…` reports; the rest panics with the conversation so far.
pub struct Talk {
    wire: Wire,
    unread: Vec<u8>,
    pub patience: Duration,
    /// The end of the conversation so far, for panics.
    so_far: Vec<String>,
    /// Where every line that is heard is written down as well.
    pub record: Option<Arc<Mutex<Vec<String>>>>,
    /// A line that holds this text is said so much later.
    pub hesitates: Option<(&'static str, Duration)>,
}

impl Talk {
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            wire: Wire::Clear(stream),
            unread: Vec::new(),
            patience: PATIENCE,
            so_far: Vec::new(),
            record: None,
            hesitates: None,
        }
    }

    /// Connects to `to`, from `from` where it matters who we are.
    pub fn try_connect(from: Option<Ipv4Addr>, to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect_timeout(&to.into(), PATIENCE)?;
        Ok(Self::over(socket.into()))
    }

    /// TLS from here on.
    pub fn try_secure(&mut self, tls: &Tls) -> io::Result<()> {
        assert!(self.unread.is_empty(), "{}", self.told("bytes in the clear before TLS"));
        let Wire::Clear(mut stream) = std::mem::replace(&mut self.wire, Wire::Gone) else {
            panic!("{}", self.told("TLS within TLS"));
        };
        let name = ServerName::try_from(tls.name.clone()).unwrap();
        let mut session = ClientConnection::new(tls.config.clone(), name).unwrap();
        stream.set_read_timeout(Some(self.patience))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        self.wire = Wire::Tls(Box::new(StreamOwned::new(session, stream)));
        Ok(())
    }

    /// The TLS session, once there is one.
    pub fn session(&self) -> &ClientConnection {
        match &self.wire {
            Wire::Tls(stream) => &stream.conn,
            _ => panic!("{}", self.told("no TLS")),
        }
    }

    pub fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Clear(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
            Wire::Gone => panic!("{}", self.told("no connection")),
        }
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.socket().local_addr().unwrap()
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Clear(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Wire::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.try_send(bytes.as_ref());
        sent.unwrap_or_else(|error| panic!("{}", self.told(&format!("cannot send: {error}"))));
    }

    /// Sends a line; its end is added.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.note("C", line);
        self.send(format!("{line}\r\n"));
    }

    pub fn try_say(&mut self, line: &str) -> io::Result<()> {
        if let Some((text, pause)) = self.hesitates
            && line.contains(text)
        {
            let waiting = Waiting::new(pause);
            while let Some(left) = waiting.left() {
                std::thread::park_timeout(left);
            }
        }
        self.note("C", line);
        self.try_send(format!("{line}\r\n").as_bytes())
    }

    /// Ends our half of the conversation.
    pub fn hang_up(&mut self) {
        if let Wire::Tls(stream) = &mut self.wire {
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
        self.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// The next line, without its end. The peer's hanging up is `UnexpectedEof`.
    pub fn try_line(&mut self) -> io::Result<String> {
        let waiting = Waiting::new(self.patience);
        let mut seen = 0;
        let end = loop {
            if let Some(end) = self.unread[seen..].iter().position(|byte| *byte == b'\n') {
                break seen + end;
            }
            seen = self.unread.len();
            if self.more(waiting)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        let line: Vec<_> = self.unread.drain(..=end).collect();
        let line = line.strip_suffix(b"\r\n").unwrap_or(&line);
        let line = String::from_utf8_lossy(line).into_owned();
        self.note("S", &line);
        if let Some(record) = &self.record {
            record.lock().unwrap().push(line.clone());
        }
        Ok(line)
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        let line = self.try_line();
        line.unwrap_or_else(|error| panic!("{}", self.told(&format!("no line: {error}"))))
    }

    /// The next line, which begins with `beginning`.
    #[track_caller]
    pub fn hears(&mut self, beginning: &str) -> String {
        let line = self.line();
        let claim = format!("not {beginning:?}");
        assert!(line.starts_with(beginning), "{}", self.told(&claim));
        line
    }

    /// Reads `length` bytes whatever they are.
    pub fn try_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut waiting = Waiting::new(self.patience);
        while self.unread.len() < length {
            if self.more(waiting)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            // What moves may take its time.
            waiting = Waiting::new(self.patience);
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    #[track_caller]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let bytes = self.try_bytes(length);
        bytes.unwrap_or_else(|error| panic!("{}", self.told(&format!("no bytes: {error}"))))
    }

    /// Asserts that the peer hangs up, with nothing more to say. How is its own affair: with bytes
    /// of ours unread, its kernel says RST.
    #[track_caller]
    pub fn hears_the_end(&mut self) {
        let left = self.left_unsaid();
        assert!(left.is_empty(), "{}", self.told(&format!("more to say: {left:?}")));
    }

    /// What the peer says until it hangs up, which it must do in time.
    #[track_caller]
    pub fn left_unsaid(&mut self) -> String {
        let waiting = Waiting::new(self.patience);
        loop {
            match self.more(waiting) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if is_hang_up(&error) => break,
                Err(error) => panic!("{}", self.told(&format!("not hung up: {error}"))),
            }
        }
        String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned()
    }

    /// Asserts that nothing comes for `quiet`.
    #[track_caller]
    pub fn hears_nothing_for(&mut self, quiet: Duration) {
        let more = self.more(Waiting::new(quiet));
        let is_quiet = matches!(&more, Err(error) if error.kind() == ErrorKind::TimedOut);
        let claim = format!("{more:?}: {:?}", String::from_utf8_lossy(&self.unread));
        assert!(is_quiet && self.unread.is_empty(), "{}", self.told(&claim));
    }

    /// Reads once. `Ok(0)`: the peer has hung up.
    fn more(&mut self, waiting: Waiting) -> io::Result<usize> {
        let mut buffer = [0; 65536];
        loop {
            let left = waiting.left().ok_or(ErrorKind::TimedOut)?;
            self.socket().set_read_timeout(Some(left))?;
            let read = match &mut self.wire {
                Wire::Clear(stream) => stream.read(&mut buffer),
                Wire::Tls(stream) => stream.read(&mut buffer),
                Wire::Gone => Err(ErrorKind::NotConnected.into()),
            };
            match read {
                Ok(read) => {
                    self.unread.extend_from_slice(&buffer[..read]);
                    return Ok(read);
                }
                // A timed-out socket says so by either name, and may say so too early.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn note(&mut self, who: &str, line: &str) {
        if self.so_far.len() == 60 {
            self.so_far.remove(0);
        }
        let short: String = line.chars().take(300).collect();
        self.so_far.push(format!("{who}: {short}"));
    }

    /// The conversation so far, or its end.
    pub fn so_far(&self) -> String {
        self.so_far.join("\n")
    }

    fn told(&self, what: &str) -> String {
        let unread = String::from_utf8_lossy(&self.unread[..self.unread.len().min(500)]);
        format!("{what}\n{}\nunread: {unread:?}", self.so_far.join("\n"))
    }
}

/// Whether an error is one of the ways in which a peer goes. A TLS peer may go without a farewell.
fn is_hang_up(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
