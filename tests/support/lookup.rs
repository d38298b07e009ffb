//! A lookup handler that says what the test tells it to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::acceptor::Acceptor;
use super::{PATIENCE, Pair, Talk};

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
            while let Some(question) = question(|| talk.try_line().ok(), connection) {
                also.lock().unwrap().push(question.clone());
                let reply = reply(&question);
                if reply.is_empty() || talk.try_send(reply.as_bytes()).is_err() {
                    break;
                }
            }
        });
        Self { acceptor, asked }
    }

    /// The same over TLS, with this certificate; each connection is good for one answer.
    pub fn secured(pair: &Pair, reply: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            );
        let config = Arc::new(config.unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let also = asked.clone();
        let acceptor = Acceptor::start(move |stream: TcpStream| {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(session, stream));
            let line = || {
                let mut line = String::new();
                let length = stream.read_line(&mut line).ok()?;
                (length > 0).then(|| line.trim_end().to_owned())
            };
            let Some(question) = question(line, also.lock().unwrap().len() + 1) else { return };
            also.lock().unwrap().push(question.clone());
            // Who does not trust it is gone.
            let _ = stream.get_mut().write_all(reply(&question).as_bytes());
            stream.get_mut().conn.send_close_notify();
            let _ = stream.get_mut().flush();
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

fn question(mut next: impl FnMut() -> Option<String>, connection: usize) -> Option<Asked> {
    let line = next()?;
    let mut headers = Vec::new();
    loop {
        let header = next()?;
        if header.is_empty() {
            return Some(Asked { line, headers, connection });
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.to_owned(), value.trim_start().to_owned()));
    }
}
