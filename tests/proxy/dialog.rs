//! A client by hand, up to its login, whichever protocol carries it: the same exchange is the same
//! test four times.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Talk, Tls};

/// The protocols that log clients in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    Imap,
    Pop3,
    Smtp,
    Sieve,
}

impl Tongue {
    pub const ALL: [Self; 4] = [Self::Imap, Self::Pop3, Self::Smtp, Self::Sieve];

    /// As `protocol` in the configuration says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
            Self::Sieve => "sieve",
        }
    }

    /// How a login that worked is answered.
    pub fn welcome(self) -> &'static str {
        match self {
            Self::Imap | Self::Sieve => "OK",
            Self::Pop3 => "+OK",
            Self::Smtp => "235 2.",
        }
    }

    /// How one that did not is.
    pub fn refusal(self) -> &'static str {
        match self {
            Self::Imap => "NO [AUTHENTICATIONFAILED]",
            Self::Pop3 => "-ERR [AUTH]",
            Self::Smtp => "535 5.",
            Self::Sieve => "NO ",
        }
    }
}

/// What a server says within an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Decoded.
    Challenge(Vec<u8>),
    /// The last line, without its tag.
    End(String),
}

impl Said {
    #[track_caller]
    pub fn challenge(self) -> String {
        match self {
            Self::Challenge(bytes) => String::from_utf8(bytes).unwrap(),
            Self::End(end) => panic!("no challenge but {end:?}"),
        }
    }

    #[track_caller]
    pub fn end(self) -> String {
        match self {
            Self::End(end) => end,
            Self::Challenge(bytes) => panic!("challenged: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

pub struct Dialog {
    talk: Talk,
    pub tongue: Tongue,
    tag: u32,
    /// The greeting, or its last line.
    pub greeting: String,
}

impl Deref for Dialog {
    type Target = Talk;

    fn deref(&self) -> &Talk {
        &self.talk
    }
}

impl DerefMut for Dialog {
    fn deref_mut(&mut self) -> &mut Talk {
        &mut self.talk
    }
}

impl Dialog {
    /// Connects, with TLS from the first byte where `tls` is given, and hears nothing yet.
    #[track_caller]
    pub fn connect(tongue: Tongue, to: SocketAddr, tls: Option<&Tls>) -> Self {
        let mut talk = Talk::try_connect(None, to).unwrap();
        if let Some(tls) = tls {
            talk.try_secure(tls).unwrap();
        }
        Self::over(tongue, talk)
    }

    pub fn over(tongue: Tongue, talk: Talk) -> Self {
        Self { talk, tongue, tag: 0, greeting: String::new() }
    }

    /// Connects and is greeted.
    #[track_caller]
    pub fn greeted(tongue: Tongue, to: SocketAddr) -> Self {
        Self::connect(tongue, to, None).after_greeting()
    }

    #[track_caller]
    pub fn greeted_over(tls: &Tls, tongue: Tongue, to: SocketAddr) -> Self {
        Self::connect(tongue, to, Some(tls)).after_greeting()
    }

    #[track_caller]
    pub fn after_greeting(mut self) -> Self {
        self.greeting = match self.tongue {
            Tongue::Imap => self.hears("* OK"),
            Tongue::Pop3 => self.hears("+OK"),
            Tongue::Smtp => self.hears("220 "),
            Tongue::Sieve => self.lines().pop().unwrap(),
        };
        self
    }

    /// Lines up to the one that ends a reply of this protocol.
    #[track_caller]
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let tag = format!("t{} ", self.tag);
        loop {
            let line = self.line();
            let is_last = match self.tongue {
                Tongue::Imap => line.starts_with(&tag) || line.starts_with("* BYE"),
                Tongue::Pop3 => true,
                Tongue::Smtp => line.as_bytes().get(3) != Some(&b'-'),
                Tongue::Sieve => ["OK", "NO", "BYE"].iter().any(|word| line.starts_with(word)),
            };
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// Says a command and hears its answer, the tag left out.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Vec<String> {
        self.begin(command);
        let mut lines = self.lines();
        let tag = format!("t{} ", self.tag);
        if let Some(last) = lines.last_mut()
            && let Some(rest) = last.strip_prefix(&tag)
        {
            *last = rest.to_owned();
        }
        lines
    }

    /// What is offered: IMAP's CAPABILITY, POP3's CAPA, SMTP's EHLO, ManageSieve's CAPABILITY.
    #[track_caller]
    pub fn offers(&mut self) -> String {
        match self.tongue {
            Tongue::Imap | Tongue::Sieve => self.ask("CAPABILITY").join("\n"),
            Tongue::Smtp => self.ask("EHLO client.test").join("\n"),
            Tongue::Pop3 => {
                self.say("CAPA");
                self.hears("+OK");
                let mut lines = Vec::new();
                loop {
                    match self.line() {
                        line if line == "." => return lines.join("\n"),
                        line => lines.push(line),
                    }
                }
            }
        }
    }

    /// STARTTLS or STLS, and the handshake; what follows is still unheard.
    #[track_caller]
    pub fn start_tls(&mut self, tls: &Tls) {
        let command = if self.tongue == Tongue::Pop3 { "STLS" } else { "STARTTLS" };
        let end = self.ask(command).pop().unwrap();
        let good = if self.tongue == Tongue::Smtp { "220" } else { self.tongue.welcome() };
        assert!(end.starts_with(good), "{end}");
        self.try_secure(tls).unwrap();
    }

    fn begin(&mut self, command: &str) {
        self.tag += 1;
        match self.tongue {
            Tongue::Imap => self.talk.say(&format!("t{} {command}", self.tag)),
            _ => self.talk.say(command),
        }
    }

    /// Begins an exchange, with an initial response where one is given.
    #[track_caller]
    pub fn auth(&mut self, mechanism: &str, initial: Option<&[u8]>) -> Said {
        let initial = initial.map(|bytes| match (self.tongue, bytes) {
            (Tongue::Sieve, _) => format!(" \"{}\"", STANDARD.encode(bytes)),
            (_, b"") => " =".to_owned(),
            _ => format!(" {}", STANDARD.encode(bytes)),
        });
        let initial = initial.unwrap_or_default();
        let command = match self.tongue {
            Tongue::Imap => format!("AUTHENTICATE {mechanism}{initial}"),
            Tongue::Pop3 | Tongue::Smtp => format!("AUTH {mechanism}{initial}"),
            Tongue::Sieve => format!("AUTHENTICATE \"{mechanism}\"{initial}"),
        };
        self.begin(&command);
        self.said()
    }

    /// Answers a challenge.
    #[track_caller]
    pub fn answer(&mut self, bytes: impl AsRef<[u8]>) -> Said {
        self.answer_raw(&STANDARD.encode(bytes))
    }

    /// Breaks the exchange off.
    #[track_caller]
    pub fn cancel(&mut self) -> Said {
        self.answer_raw("*")
    }

    #[track_caller]
    pub fn answer_raw(&mut self, text: &str) -> Said {
        match self.tongue {
            Tongue::Sieve => self.say(&format!("\"{text}\"")),
            _ => self.say(text),
        }
        self.said()
    }

    #[track_caller]
    fn said(&mut self) -> Said {
        let tag = format!("t{} ", self.tag);
        loop {
            let line = self.line();
            let challenge = match self.tongue {
                Tongue::Imap | Tongue::Pop3 => line.strip_prefix("+ "),
                Tongue::Smtp => line.strip_prefix("334 "),
                Tongue::Sieve => line.strip_prefix('"').and_then(|line| line.strip_suffix('"')),
            };
            if let Some(text) = challenge {
                return Said::Challenge(STANDARD.decode(text).unwrap());
            }
            match self.tongue {
                // SCRAM's last word may come with the OK (RFC 5804 §2.1).
                Tongue::Imap if line.starts_with("* ") && !line.starts_with("* BYE") => {}
                Tongue::Imap => {
                    return Said::End(line.strip_prefix(&tag).unwrap_or(&line).to_owned());
                }
                _ => return Said::End(line),
            }
        }
    }

    /// A whole PLAIN login; gives its last line.
    #[track_caller]
    pub fn plain(&mut self, authzid: &str, user: &str, password: &str) -> String {
        self.auth("PLAIN", Some(format!("{authzid}\0{user}\0{password}").as_bytes())).end()
    }

    /// The same, which must work.
    #[track_caller]
    pub fn log_in(&mut self, user: &str, password: &str) {
        let end = self.plain("", user, password);
        assert!(end.starts_with(self.tongue.welcome()), "{:?}: {end}", self.tongue);
    }
}
