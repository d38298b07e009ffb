//! A ManageSieve client by hand.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use super::{Mechanism, Talk, Tls, encoded};

/// What a server says to a command: lines of strings, and the OK, NO or BYE that ends them.
#[derive(Debug)]
pub struct Said {
    pub lines: Vec<String>,
    pub end: String,
}

impl Said {
    #[track_caller]
    pub fn is(self, beginning: &str) -> Self {
        assert!(self.end.starts_with(beginning), "not {beginning:?}: {self:?}");
        self
    }

    /// Whether a line is just this.
    pub fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|said| said == line)
    }
}

pub struct Sieve(Talk);

impl Deref for Sieve {
    type Target = Talk;

    fn deref(&self) -> &Talk {
        &self.0
    }
}

impl DerefMut for Sieve {
    fn deref_mut(&mut self) -> &mut Talk {
        &mut self.0
    }
}

impl Sieve {
    /// Connects, and is greeted with capabilities.
    #[track_caller]
    pub fn greeted(to: SocketAddr) -> (Self, Said) {
        let mut client = Self(Talk::try_connect(None, to).unwrap());
        let greeting = client.hear().is("OK");
        (client, greeting)
    }

    /// The same over TLS from the first byte.
    #[track_caller]
    pub fn greeted_over(tls: &Tls, to: SocketAddr) -> (Self, Said) {
        let mut client = Self(Talk::try_connect(None, to).unwrap());
        client.try_secure(tls).unwrap();
        let greeting = client.hear().is("OK");
        (client, greeting)
    }

    /// Hears everything up to OK, NO or BYE. Literals are joined to their line.
    #[track_caller]
    pub fn hear(&mut self) -> Said {
        let mut lines = Vec::new();
        loop {
            let mut line = self.line();
            let is_end = ["OK", "NO", "BYE"].iter().any(|word| line.starts_with(word));
            while let Some(length) = literal(&line) {
                line += &String::from_utf8_lossy(&self.bytes(length));
                line += &self.line();
            }
            if is_end {
                return Said { lines, end: line };
            }
            lines.push(line);
        }
    }

    /// Says `command` and hears it out.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Said {
        self.say(command);
        self.hear()
    }

    /// STARTTLS, the handshake, and the capabilities that follow it.
    #[track_caller]
    pub fn start_tls(&mut self, tls: &Tls) -> Said {
        self.ask("STARTTLS").is("OK");
        self.try_secure(tls).unwrap();
        self.hear().is("OK")
    }

    /// Tries to log in; gives the last line. There is no command of that kind but AUTHENTICATE, so
    /// [`Mechanism::Login`] is PLAIN with a literal.
    #[track_caller]
    pub fn try_log_in(&mut self, mechanism: Mechanism, user: &str, password: &str) -> String {
        let plain = encoded(&format!("\0{user}\0{password}"));
        match mechanism {
            Mechanism::Login => {
                self.say(&format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{plain}", plain.len()));
            }
            Mechanism::PlainAtOnce => self.say(&format!("AUTHENTICATE \"PLAIN\" \"{plain}\"")),
            Mechanism::PlainAsked => {
                self.say("AUTHENTICATE \"PLAIN\"");
                self.hears("\"\"");
                self.say(&format!("\"{plain}\""));
            }
            Mechanism::AuthLogin => {
                self.say("AUTHENTICATE \"LOGIN\"");
                self.hears("\"VXNlcm5hbWU6\"");
                self.say(&format!("\"{}\"", encoded(user)));
                self.hears("\"UGFzc3dvcmQ6\"");
                self.say(&format!("\"{}\"", encoded(password)));
            }
        }
        self.hear().end
    }

    /// Logs in, and is let in.
    #[track_caller]
    pub fn log_in(&mut self, mechanism: Mechanism, user: &str, password: &str) {
        let end = self.try_log_in(mechanism, user, password);
        assert!(end.starts_with("OK"), "{mechanism:?} as {user}: {end}");
    }

    /// Stores a script, gets it back as it was, and says goodbye.
    #[track_caller]
    pub fn work_and_leave(&mut self, script: &str) {
        self.ask(&format!("PUTSCRIPT \"test\" {{{}+}}\r\n{script}", script.len())).is("OK");
        assert!(self.ask("LISTSCRIPTS").is("OK").has("\"test\""));
        let got = self.ask("GETSCRIPT \"test\"").is("OK");
        assert_eq!(got.lines, [format!("{{{}}}{script}", script.len())]);
        self.ask("LOGOUT").is("OK");
        self.hears_the_end();
    }
}

/// The length of the literal that a line announces at its end.
fn literal(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}
