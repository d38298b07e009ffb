//! A mail server that behaves as a test tells it to, and remembers what it was told.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::acceptor::Acceptor;
use super::{PATIENCE, Talk, Waiting, until};

pub struct FakeUpstream {
    acceptor: Acceptor,
    heard: Arc<Mutex<Vec<String>>>,
}

impl FakeUpstream {
    /// Plays `script` on each connection; the connection ends with it.
    pub fn start(script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let heard = Arc::default();
        Self { acceptor: Acceptor::start(played(script, &heard)), heard }
    }

    /// The same at `addr`, where another has been.
    pub fn again(
        addr: SocketAddr,
        script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let heard = Arc::default();
        Self { acceptor: Acceptor::again(addr, played(script, &heard)), heard }
    }

    /// Ends it as a crash does; gives where it was. Nobody is there any more.
    pub fn dies(self) -> SocketAddr {
        let addr = self.addr();
        drop(self);
        until("the port to be shut", || TcpStream::connect(addr).err());
        addr
    }

    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr
    }

    pub fn accepted(&self) -> usize {
        self.acceptor.accepted()
    }

    /// Every line it was told, on any connection.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for a line that contains `text`.
    #[track_caller]
    pub fn hears(&self, text: &str) -> String {
        let waiting = Waiting::new(PATIENCE);
        loop {
            let heard = self.heard();
            if let Some(line) = heard.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(waiting.left().is_some(), "the upstream hears no {text:?}: {heard:#?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

fn played(
    script: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
    heard: &Arc<Mutex<Vec<String>>>,
) -> impl Fn(TcpStream) + Send + Sync + 'static {
    let heard = heard.clone();
    move |stream| {
        let mut talk = Talk::over(stream);
        // Its client may idle for as long as the test lasts.
        talk.patience = PATIENCE * 15;
        talk.record = Some(heard.clone());
        // It ends when its client goes, however that is.
        let _ = script(&mut talk);
    }
}

/// How a scripted server behaves. The default is polite.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Said first; empty: nothing is ever said.
    pub greeting: String,
    /// IMAP: the words after `* CAPABILITY`. POP3: the lines of CAPA, separated by blanks.
    pub capabilities: String,
    /// Whether it knows ID, XOIP and XCLIENT.
    pub takes_identity: bool,
    /// Lines before the answer to a login.
    pub before_answer: Vec<String>,
    /// The answer to a login, without a tag.
    pub answer: String,
    /// Hangs up once it has been told so many lines, in place of an answer.
    pub deaf_after: Option<usize>,
    /// One byte at a time, each in a packet of its own.
    pub stutters: bool,
}

impl Manners {
    pub fn imap() -> Self {
        Self {
            greeting: "* OK [CAPABILITY IMAP4rev1 ID LITERAL+ SASL-IR AUTH=PLAIN] ready".to_owned(),
            capabilities: "IMAP4rev1 ID LITERAL+ SASL-IR AUTH=PLAIN".to_owned(),
            takes_identity: true,
            before_answer: Vec::new(),
            answer: "OK [CAPABILITY IMAP4rev1 IDLE] logged in".to_owned(),
            deaf_after: None,
            stutters: false,
        }
    }

    pub fn pop3() -> Self {
        Self {
            greeting: "+OK [XCLIENT] ready".to_owned(),
            capabilities: "USER SASL:PLAIN XOIP RESP-CODES AUTH-RESP-CODE".to_owned(),
            answer: "+OK logged in".to_owned(),
            ..Self::imap()
        }
    }
}

/// A scripted server's end of a conversation.
struct Server<'a> {
    talk: &'a mut Talk,
    manners: &'a Manners,
    heard: usize,
}

impl Server<'_> {
    fn say(&mut self, line: &str) -> io::Result<()> {
        if !self.manners.stutters {
            return self.talk.try_say(line);
        }
        for byte in format!("{line}\r\n").as_bytes() {
            self.talk.try_send(&[*byte])?;
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    }

    fn hear(&mut self) -> io::Result<String> {
        if self.manners.deaf_after == Some(self.heard) {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.heard += 1;
        self.talk.try_line()
    }

    fn greet(&mut self) -> io::Result<()> {
        match self.manners.greeting.as_str() {
            "" => self.talk.try_line().map(drop),
            greeting => self.say(greeting),
        }
    }
}

/// An IMAP server of these manners. Logged in, it gives every command back as `* ECHO …`.
pub fn imap(manners: Manners) -> impl Fn(&mut Talk) -> io::Result<()> {
    move |talk| {
        let mut server = Server { talk, manners: &manners, heard: 0 };
        server.greet()?;
        let mut is_in = false;
        loop {
            let line = imap_command(&mut server)?;
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            let verb = command.split(' ').next().unwrap_or("").to_ascii_uppercase();
            match verb.as_str() {
                "LOGOUT" => {
                    server.say("* BYE bye")?;
                    return server.say(&format!("{tag} OK done"));
                }
                "LOGIN" | "AUTHENTICATE" if !is_in => {
                    if verb == "AUTHENTICATE" && command.split(' ').count() < 3 {
                        server.say("+ ")?;
                        server.hear()?;
                    }
                    for line in &manners.before_answer {
                        server.say(line)?;
                    }
                    server.say(&format!("{tag} {}", manners.answer))?;
                    is_in = manners.answer.starts_with("OK");
                }
                "CAPABILITY" => {
                    server.say(&format!("* CAPABILITY {}", manners.capabilities))?;
                    server.say(&format!("{tag} OK done"))?;
                }
                "ID" if manners.takes_identity => {
                    server.say("* ID NIL")?;
                    server.say(&format!("{tag} OK done"))?;
                }
                _ if is_in => {
                    server.say(&format!("* ECHO {command}"))?;
                    server.say(&format!("{tag} OK done"))?;
                }
                _ => server.say(&format!("{tag} BAD what?"))?,
            }
        }
    }
}

/// One command, its literals joined to its line.
fn imap_command(server: &mut Server<'_>) -> io::Result<String> {
    let mut whole = server.hear()?;
    while let Some((_, length)) = whole.strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
        let length = length.to_owned();
        if !length.ends_with('+') {
            server.say("+ go on")?;
        }
        let Ok(length) = length.trim_end_matches('+').parse() else { break };
        let literal = server.talk.try_bytes(length)?;
        whole += &String::from_utf8_lossy(&literal);
        whole += &server.hear()?;
    }
    if let Some(record) = &server.talk.record {
        record.lock().unwrap().push(format!("whole: {whole}"));
    }
    Ok(whole)
}

/// A POP3 server of these manners. Logged in, it gives every line back.
pub fn pop3(manners: Manners) -> impl Fn(&mut Talk) -> io::Result<()> {
    move |talk| {
        let mut server = Server { talk, manners: &manners, heard: 0 };
        server.greet()?;
        let mut is_in = false;
        loop {
            let line = server.hear()?;
            let verb = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
            match verb.as_str() {
                "QUIT" => return server.say("+OK bye"),
                "PASS" | "AUTH" if !is_in => {
                    if verb == "AUTH" && line.split(' ').count() < 3 {
                        server.say("+ ")?;
                        server.hear()?;
                    }
                    for line in &manners.before_answer {
                        server.say(line)?;
                    }
                    server.say(&manners.answer)?;
                    is_in = manners.answer.starts_with("+OK");
                }
                "USER" if !is_in => server.say("+OK")?,
                "CAPA" => {
                    server.say("+OK")?;
                    for line in manners.capabilities.split(' ') {
                        server.say(&line.replace(':', " "))?;
                    }
                    server.say(".")?;
                }
                "XOIP" | "XCLIENT" if manners.takes_identity => server.say("+OK")?,
                _ if is_in => server.say(&format!("+OK {line}"))?,
                _ => server.say("-ERR what?")?,
            }
        }
    }
}
