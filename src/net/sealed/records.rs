//! rustls and the bytes that lie around it: no socket, no waiting.

use std::fmt;
use std::io;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};
use tokio::io::ReadBuf;

/// The records of one session.
pub struct Records {
    session: UnbufferedServerConnection,
    /// Came, and is not whole: part of a record, or of a handshake message with all records before.
    pub incoming: Vec<u8>,
    /// Opened, and not read yet.
    pub plain: Rest,
    /// Sealed, and not sent yet.
    pub outgoing: Rest,
    /// Nothing more is opened.
    pub end: Option<End>,
}

/// Why nothing more comes.
#[derive(Debug)]
pub enum End {
    /// The peer said close_notify.
    Closed,
    /// The connection ended without it.
    Cut,
    /// What came was not what it should be, or an alert.
    Failed(Box<Error>),
}

impl End {
    /// As a reader is told; none where it is an orderly end.
    pub fn error(&self) -> Option<io::Error> {
        match self {
            Self::Closed => None,
            Self::Cut => {
                let words = "the peer closed without close_notify";
                Some(io::Error::new(io::ErrorKind::UnexpectedEof, words))
            }
            Self::Failed(error) => Some(failed(Error::clone(error))),
        }
    }
}

fn failed(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Records {
    /// Begins with `came`.
    pub fn new(session: UnbufferedServerConnection, mut came: Vec<u8>) -> Self {
        let mut records = Self {
            session,
            incoming: Vec::new(),
            plain: Rest::default(),
            outgoing: Rest::default(),
            end: None,
        };
        records.open(&mut came, &mut ReadBuf::new(&mut []));
        records
    }

    pub fn session(&self) -> &CommonState {
        &self.session
    }

    /// Opens what is whole in `bytes`: what was `incoming` before, and what has come since.
    pub fn open(&mut self, bytes: &mut [u8], into: &mut ReadBuf<'_>) {
        let mut rest = bytes;
        while self.end.is_none() {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(rest);
            let mut is_done = false;
            let mut fault = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                self.plain.put_behind(record.payload, into);
                            }
                            Err(error) => fault = Some(error),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                // RFC 8446 §6.1: what comes behind it is ignored.
                Ok(ConnectionState::PeerClosed) => self.end = Some(End::Closed),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    is_done = true;
                }
                Ok(other) => fault = Some(Error::General(format!("unexpected state: {other:?}"))),
                Err(error) => fault = Some(error),
            }
            rest = &mut rest[discard..];
            if let Some(error) = fault {
                self.fail(error);
            }
            if is_done {
                break;
            }
        }
        let kept: &[u8] = if self.end.is_none() { rest } else { &[] };
        if kept.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            // Not twice as much as is needed, as it would be left to itself.
            self.incoming.reserve_exact(kept.len().next_multiple_of(512));
            self.incoming.extend_from_slice(kept);
        }
    }

    /// Ends it for `error`; the alert, if there is one, is put behind what waits.
    pub fn fail(&mut self, error: Error) {
        self.end = Some(End::Failed(Box::new(error)));
        self.incoming = Vec::new();
        // Not asked for a state but while it has an alert to give: it would go on with what failed.
        while self.session.wants_write() {
            match self.session.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                _ => break,
            }
        }
    }

    /// Seals `plain` into `space`, behind what TLS itself has to say, and tells how much that is.
    pub fn seal(&mut self, plain: &[u8], space: &mut [u8]) -> io::Result<usize> {
        self.speak(space, |traffic, space| traffic.encrypt(plain, space))
    }

    /// Puts close_notify behind what waits, unless there was a fatal alert.
    pub fn say_goodbye(&mut self) {
        let mut space = [0; 256];
        // An end that cannot be told is an end all the same.
        if let Ok(count) =
            self.speak(&mut space, |traffic, space| traffic.queue_close_notify(space))
        {
            self.outgoing.put(&space[..count]);
        }
    }

    fn speak(
        &mut self,
        space: &mut [u8],
        say: impl FnOnce(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        if let Some(End::Failed(error)) = &self.end {
            return Err(failed(Error::clone(error)));
        }
        let mut said = 0;
        loop {
            // Nothing in it is whole, so nothing is opened.
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming);
            match state.map_err(failed)? {
                ConnectionState::EncodeTlsData(mut data) => {
                    said += data.encode(&mut space[said..]).map_err(io::Error::other)?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let more = say(&mut traffic, &mut space[said..]).map_err(io::Error::other)?;
                    return Ok(said + more);
                }
                other => return Err(io::Error::other(format!("unexpected state: {other:?}"))),
            }
            debug_assert_eq!(discard, 0);
        }
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Rest) {
    // It says how large it is when there is no room.
    if let Err(EncodeError::InsufficientSize(need)) = data.encode(&mut []) {
        let start = outgoing.bytes.len();
        outgoing.bytes.resize(start + need.required_size, 0);
        let written = data.encode(&mut outgoing.bytes[start..]).unwrap_or_default();
        outgoing.bytes.truncate(start + written);
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("incoming", &self.incoming.len())
            .field("plain", &self.plain.unused().len())
            .field("outgoing", &self.outgoing.unused().len())
            .field("end", &self.end)
            .finish()
    }
}

/// Bytes that are used up from the front. The allocation goes with the last of them.
#[derive(Default)]
pub struct Rest {
    bytes: Vec<u8>,
    used: usize,
}

impl Rest {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn unused(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn step_over(&mut self, count: usize) {
        self.used += count;
        if self.used >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Gives what there is room for.
    pub fn pour(&mut self, into: &mut ReadBuf<'_>) {
        let count = self.unused().len().min(into.remaining());
        into.put_slice(&self.unused()[..count]);
        self.step_over(count);
    }

    /// Gives `bytes` at once as far as nothing is before them and there is room, and keeps the rest.
    fn put_behind(&mut self, bytes: &[u8], into: &mut ReadBuf<'_>) {
        let count = if self.is_empty() { bytes.len().min(into.remaining()) } else { 0 };
        into.put_slice(&bytes[..count]);
        self.put(&bytes[count..]);
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
