//! The other side of the control socket: what the commands ask with.

use std::io;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::api::{Told, Words};
use super::calls::{CALLS, MAX_ANSWER};
use crate::net::errno;
use crate::observe::tasks;

/// Longer than the other side gives itself, so that its words are heard.
const MORE: Duration = Duration::from_secs(5);

/// Asks the gatepost at one control socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("gatepost is not running: connect() to \"{path}\" failed ({})", errno(cause))]
    NotRunning {
        path: String,
        #[source]
        cause: io::Error,
    },
    /// Somebody may listen there, but not for us.
    #[error("connect() to \"{path}\" failed ({}){}", errno(cause), remedy(cause))]
    Unreachable {
        path: String,
        #[source]
        cause: io::Error,
    },
    #[error("gatepost did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("gatepost hung up")]
    Left(#[source] hyper::Error),
    #[error("what answers at the control socket is no gatepost, or of another version: {0}")]
    Garbled(String),
    /// It said no.
    #[error("{}", .0.text)]
    Refused(Words),
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => ": run it as root or as the user that gatepost runs as",
        _ => "",
    }
}

impl Client {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    #[cfg(test)]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks with a query, of the fields of `ask` that are there.
    pub async fn get<T: DeserializeOwned>(
        &self,
        call: &'static str,
        ask: &impl Serialize,
    ) -> Result<T, Error> {
        let fields = serde_json::to_value(ask).expect("a question is plain data");
        let mut target = call.to_owned();
        for (at, (name, value)) in fields.as_object().into_iter().flatten().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            push_encoded(&mut target, name);
            target.push('=');
            match value {
                Value::String(text) => push_encoded(&mut target, text),
                other => push_encoded(&mut target, &other.to_string()),
            }
        }
        self.ask(Method::GET, call, &target, Bytes::new()).await
    }

    /// Asks for something to be done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        call: &'static str,
        ask: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(ask).expect("a question is plain data");
        self.ask(Method::POST, call, call, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        call: &str,
        target: &str,
        body: Bytes,
    ) -> Result<T, Error> {
        let known = CALLS.iter().find(|known| known.path == call);
        let within = known.map_or(MORE, |known| known.within + MORE);
        let (status, text) = match timeout(within, self.exchange(method, target, body)).await {
            Ok(done) => done?,
            Err(_) => return Err(Error::Silent(within)),
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&text)
                .map_err(|error| Error::Garbled(error.to_string()));
        }
        match serde_json::from_slice::<Told>(&text) {
            Ok(told) => Err(Error::Refused(told.error)),
            Err(_) => Err(Error::Garbled(format!("it answers {status}"))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Error> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| self.failed(error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Error::Left)?;
        // What goes wrong in it is told to the one who asks.
        tasks::spawn("control client", async move { drop(connection.await) });
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("the target is percent-encoded, the headers are fixed");
        let answer = sender.send_request(request).await.map_err(Error::Left)?;
        let status = answer.status();
        // Bounded by what the server bounds itself by: somebody else may sit at the path.
        match Limited::new(answer.into_body(), MAX_ANSWER).collect().await {
            Ok(whole) => Ok((status, whole.to_bytes())),
            Err(error) => Err(Error::Garbled(error.to_string())),
        }
    }

    fn failed(&self, cause: io::Error) -> Error {
        let path = self.path.display().to_string();
        match cause.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Error::NotRunning { path, cause }
            }
            _ => Error::Unreachable { path, cause },
        }
    }
}

/// Appends `text` as it may stand in a query (RFC 3986 §2.3: what is unreserved stays).
fn push_encoded(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => {
                // A `String` takes everything.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}
