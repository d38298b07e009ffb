//! A lookup handler that says what the test tells it to, and remembers what it was asked.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::Talk;
use super::acceptor::Acceptor;

/// One question, as it came over the wire.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET /auth HTTP/1.x`
    pub line: String,
    pub headers: Vec<(String, String)>,
    /// On which connection it came: 1, 2, …
    pub connection: usize,
}

impl Asked {
    /// A header's value; empty if it was not sent.
    pub fn get(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// An HTTP answer with these headers.
pub fn answer(headers: &[(&str, &str)]) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 0\r\n\r\n")
}

pub struct FakeLookup {
    acceptor: Acceptor,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeLookup {
    /// Answers each question with what `reply` makes of it; hangs up on an empty answer.
    pub fn start(reply: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (also, count) = (asked.clone(), Mutex::new(0));
        let acceptor = Acceptor::start(move |stream: TcpStream| {
            let connection = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count
            };
            let mut talk = Talk::over(stream);
            while let Some(question) = question(&mut talk, connection) {
                also.lock().unwrap().push(question.clone());
                let reply = reply(&question);
                if reply.is_empty() || talk.try_send(reply.as_bytes()).is_err() {
                    break;
                }
            }
        });
        Self { acceptor, asked }
    }

    /// Lets everyone in to `upstream`.
    pub fn to(upstream: SocketAddr) -> Self {
        Self::start(move |_| {
            let (ip, port) = (upstream.ip().to_string(), upstream.port().to_string());
            answer(&[("Auth-Status", "OK"), ("Auth-Server", &ip), ("Auth-Port", &port)])
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn question(talk: &mut Talk, connection: usize) -> Option<Asked> {
    let line = talk.try_line().ok()?;
    let mut headers = Vec::new();
    loop {
        let header = talk.try_line().ok()?;
        if header.is_empty() {
            return Some(Asked { line, headers, connection });
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_owned(), value.trim_start().to_owned()));
    }
}
