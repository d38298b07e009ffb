//! A mail client by hand: [`Talk`], and what IMAP and POP3 add to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Talk, Tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Imap,
    Pop3,
}

impl Protocol {
    /// As `protocol` in the configuration says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}

/// How the client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// IMAP `LOGIN`, POP3 `USER` and `PASS`.
    Login,
    /// AUTH PLAIN, its response in the first line.
    PlainAtOnce,
    /// AUTH PLAIN, its response when asked.
    PlainAsked,
    AuthLogin,
}

impl Mechanism {
    pub const ALL: [Self; 4] = [Self::Login, Self::PlainAtOnce, Self::PlainAsked, Self::AuthLogin];
}

/// What an IMAP server says to a command: untagged lines, and the last one without its tag.
#[derive(Debug)]
pub struct Reply {
    pub untagged: Vec<String>,
    pub end: String,
}

impl Reply {
    #[track_caller]
    pub fn is(self, beginning: &str) -> Self {
        assert!(self.end.starts_with(beginning), "not {beginning:?}: {self:?}");
        self
    }

    #[track_caller]
    pub fn tells(self, text: &str) -> Self {
        assert!(self.untagged.iter().any(|line| line.contains(text)), "no {text:?}: {self:?}");
        self
    }
}

/// A client, greeted or not.
pub struct Client {
    talk: Talk,
    pub protocol: Protocol,
    tag: u32,
}

impl Deref for Client {
    type Target = Talk;

    fn deref(&self) -> &Talk {
        &self.talk
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Talk {
        &mut self.talk
    }
}

impl Client {
    /// Connects, and nothing more.
    #[track_caller]
    pub fn connect(protocol: Protocol, to: SocketAddr) -> Self {
        Self::over(protocol, Talk::try_connect(None, to).unwrap())
    }

    pub fn over(protocol: Protocol, talk: Talk) -> Self {
        Self { talk, protocol, tag: 0 }
    }

    /// Connects and is greeted.
    #[track_caller]
    pub fn greeted(protocol: Protocol, to: SocketAddr) -> Self {
        Self::connect(protocol, to).after_greeting()
    }

    /// Connects from an address of its own and is greeted.
    #[track_caller]
    pub fn greeted_from(from: Ipv4Addr, protocol: Protocol, to: SocketAddr) -> Self {
        Self::over(protocol, Talk::try_connect(Some(from), to).unwrap()).after_greeting()
    }

    /// Connects, speaks TLS at once, and is greeted.
    #[track_caller]
    pub fn greeted_over(tls: &Tls, protocol: Protocol, to: SocketAddr) -> Self {
        let mut client = Self::connect(protocol, to);
        client.try_secure(tls).unwrap();
        client.after_greeting()
    }

    #[track_caller]
    pub fn after_greeting(mut self) -> Self {
        self.greeting();
        self
    }

    #[track_caller]
    pub fn greeting(&mut self) -> String {
        match self.protocol {
            Protocol::Imap => self.hears("* OK"),
            Protocol::Pop3 => self.hears("+OK"),
        }
    }

    /// STARTTLS or STLS, and the handshake.
    #[track_caller]
    pub fn start_tls(&mut self, tls: &Tls) {
        match self.protocol {
            Protocol::Imap => drop(self.ask("STARTTLS").is("OK")),
            Protocol::Pop3 => drop(self.ask_line("STLS", "+OK")),
        }
        self.try_secure(tls).unwrap();
    }

    fn next_tag(&mut self) -> String {
        self.tag += 1;
        format!("t{}", self.tag)
    }

    /// IMAP: says `command` under a tag of its own and hears it out.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Reply {
        let tag = self.next_tag();
        self.say(&format!("{tag} {command}"));
        self.hear_out(&tag)
    }

    /// IMAP: hears everything up to the line that answers `tag`. Literals are joined to their line.
    #[track_caller]
    pub fn hear_out(&mut self, tag: &str) -> Reply {
        let mut untagged = Vec::new();
        loop {
            let mut line = self.line();
            if let Some(end) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                return Reply { untagged, end: end.to_owned() };
            }
            assert!(line.starts_with("* "), "neither untagged nor {tag}: {line:?}");
            while let Some(length) = literal(&line) {
                line += &String::from_utf8_lossy(&self.bytes(length));
                line += &self.line();
            }
            untagged.push(line);
        }
    }

    /// POP3: says `command` and hears one line, which begins with `beginning`.
    #[track_caller]
    pub fn ask_line(&mut self, command: &str, beginning: &str) -> String {
        self.say(command);
        self.hears(beginning)
    }

    /// POP3: says `command` and hears `+OK` and what follows, up to the dot.
    #[track_caller]
    pub fn ask_lines(&mut self, command: &str) -> Vec<String> {
        self.ask_line(command, "+OK");
        std::iter::from_fn(|| Some(self.line()).filter(|line| line != ".")).collect()
    }

    /// What the server says it can do.
    #[track_caller]
    pub fn capabilities(&mut self) -> String {
        match self.protocol {
            Protocol::Imap => {
                let reply = self.ask("CAPABILITY").is("OK");
                reply.untagged.into_iter().find(|line| line.starts_with("* CAPABILITY")).unwrap()
            }
            Protocol::Pop3 => self.ask_lines("CAPA").join("\n"),
        }
    }

    /// Tries to log in; gives the last line, without its tag.
    #[track_caller]
    pub fn try_log_in(&mut self, mechanism: Mechanism, user: &str, password: &str) -> String {
        let plain = encoded(&format!("\0{user}\0{password}"));
        let (verb, tag) = match self.protocol {
            Protocol::Imap => {
                let tag = self.next_tag();
                (format!("{tag} AUTHENTICATE"), tag)
            }
            Protocol::Pop3 => ("AUTH".to_owned(), String::new()),
        };
        match (mechanism, self.protocol) {
            (Mechanism::Login, Protocol::Imap) => {
                self.say(&format!("{tag} LOGIN \"{user}\" \"{password}\""));
            }
            (Mechanism::Login, Protocol::Pop3) => {
                self.ask_line(&format!("USER {user}"), "+OK");
                self.say(&format!("PASS {password}"));
            }
            (Mechanism::PlainAtOnce, _) => self.say(&format!("{verb} PLAIN {plain}")),
            (Mechanism::PlainAsked, _) => {
                self.ask_line(&format!("{verb} PLAIN"), "+ ");
                self.say(&plain);
            }
            (Mechanism::AuthLogin, _) => {
                let asked = self.ask_line(&format!("{verb} LOGIN"), "+ ");
                assert_eq!(asked, "+ VXNlcm5hbWU6");
                let asked = self.ask_line(&encoded(user), "+ ");
                assert_eq!(asked, "+ UGFzc3dvcmQ6");
                self.say(&encoded(password));
            }
        }
        match self.protocol {
            Protocol::Imap => self.hear_out(&tag).end,
            Protocol::Pop3 => self.line(),
        }
    }

    /// IMAP: brings a token by XOAUTH2 or OAUTHBEARER. Gives the error challenge, decoded, if there
    /// was one (RFC 7628 §3.2.2), and the last line, without its tag.
    #[track_caller]
    pub fn bring_token(
        &mut self,
        mechanism: &str,
        user: &str,
        token: &str,
    ) -> (Option<String>, String) {
        let (message, heard) = match mechanism {
            "XOAUTH2" => (format!("user={user}\x01auth=Bearer {token}\x01\x01"), ""),
            _ => (format!("n,a={user},\x01auth=Bearer {token}\x01\x01"), "AQ=="),
        };
        let tag = self.next_tag();
        self.say(&format!("{tag} AUTHENTICATE {mechanism} {}", encoded(&message)));
        let mut challenge = None;
        loop {
            let line = self.line();
            if let Some(text) = line.strip_prefix("+ ") {
                let text = STANDARD.decode(text).unwrap();
                challenge = Some(String::from_utf8(text).unwrap());
                self.say(heard);
            } else if let Some(end) = line.strip_prefix(&format!("{tag} ")) {
                return (challenge, end.to_owned());
            }
        }
    }

    /// Logs in, and is let in.
    #[track_caller]
    pub fn log_in(&mut self, mechanism: Mechanism, user: &str, password: &str) {
        let end = self.try_log_in(mechanism, user, password);
        let welcome = match self.protocol {
            Protocol::Imap => "OK",
            Protocol::Pop3 => "+OK",
        };
        assert!(end.starts_with(welcome), "{mechanism:?} as {user}: {end}");
    }

    /// Asks for something that only a logged-in client gets, and says goodbye.
    #[track_caller]
    pub fn work_and_leave(&mut self) {
        match self.protocol {
            Protocol::Imap => {
                self.ask("SELECT INBOX").is("OK").tells("EXISTS");
                self.ask("LOGOUT").is("OK").tells("BYE");
            }
            Protocol::Pop3 => {
                self.ask_line("STAT", "+OK");
                self.ask_line("QUIT", "+OK");
            }
        }
        self.hears_the_end();
    }
}

/// Base64.
pub fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

/// The length of the literal that a line announces at its end.
fn literal(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}
