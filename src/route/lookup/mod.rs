//! `auth_http`: the question put to a lookup handler and what its answer means. Pure.
//!
//! nginx's protocol, header for header. Where it differs:
//! - HTTP/1.1, so that a connection can be kept. The status line must be there, and apart from a
//!   server error without `Auth-Status` it says nothing: `500` with `Auth-Status: OK` lets in.
//! - `Auth-Server` may be a host's name.
//! - A DEL in a name or password is escaped too: it cannot stand in a header.
//! - An authorization identity goes as `Auth-Authz-User`, escaped as `Auth-User` is; `Auth-User`
//!   stays the name whose password `Auth-Pass` is.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};

use super::asker::Asker;
use crate::http::{self, MAX_HEAD, Url};
use crate::login::{Attempt, Secret, passable};
use crate::net::{Endpoint, Place, dns, errno};

/// The longest `Auth-Wait` that is honoured.
pub const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Every header that a question may carry, as it is spelled.
pub const NAMES: &[&str] = &[
    "Host",
    "Auth-Method",
    "Auth-User",
    "Auth-Pass",
    "Auth-Protocol",
    "Auth-Login-Attempt",
    "Client-IP",
    "Proxy-Protocol-Addr",
    "Proxy-Protocol-Port",
    "Proxy-Protocol-Server-Addr",
    "Proxy-Protocol-Server-Port",
    "Auth-SSL",
    "Auth-SSL-Protocol",
    "Auth-SSL-Cipher",
    "Auth-SSL-Verify",
    "Auth-SSL-Subject",
    "Auth-SSL-Issuer",
    "Auth-SSL-Serial",
    "Auth-SSL-Fingerprint",
    "Auth-SSL-Cert",
    "Auth-Authz-User",
];

/// What a handler says.
#[derive(Debug)]
pub enum Answer {
    Accepted(Accepted),
    /// Ask again after this.
    Wait(Duration),
    /// In the handler's words. Without a wait the session ends.
    Refused {
        text: String,
        wait: Duration,
    },
}

#[derive(Debug)]
pub struct Accepted {
    pub server: Place,
    /// The name and the password to log in with upstream, where they differ from the client's.
    pub user: Option<Box<[u8]>>,
    pub secret: Option<Secret>,
}

/// What was wrong with a handler or its answer. After `auth http server A:P`, it reads as nginx's
/// log does.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    #[error("is unknown: {0}")]
    Unknown(dns::Error),
    #[error("connect() failed ({0})")]
    Unreachable(String),
    #[error("timed out")]
    Silent,
    #[error("closed the connection before its response was whole")]
    Left,
    #[error("sent response longer than {MAX_HEAD} bytes")]
    TooLarge,
    #[error("sent invalid response")]
    Invalid,
    #[error("sent status {0} without Auth-Status")]
    Failed(u16),
    #[error("did not send server or port")]
    NoServer,
    #[error("sent invalid server address:\"{0}\"")]
    BadServer(String),
    #[error("sent invalid server port:\"{0}\"")]
    BadPort(String),
    #[error("sent WAIT {0} times")]
    WaitsForEver(u32),
}

impl From<http::Cause> for Flaw {
    fn from(cause: http::Cause) -> Self {
        match cause {
            http::Cause::Unknown(error) => Self::Unknown(error),
            http::Cause::Unreachable(error) => Self::Unreachable(errno(&error)),
            http::Cause::Silent => Self::Silent,
            http::Cause::Left(_) => Self::Left,
            http::Cause::TooLarge => Self::TooLarge,
            http::Cause::Misbehaved(_) => Self::Invalid,
        }
    }
}

/// The question about `attempt`; `extra` are the headers of `auth_http_header`, which come last.
pub fn question(
    url: &Url,
    extra: &[(HeaderName, HeaderValue)],
    attempt: &Attempt,
    asker: &Asker,
) -> Request<()> {
    let mut headers = HeaderMap::with_capacity(NAMES.len() + extra.len());
    let mut put = |name: &'static str, value: HeaderValue| {
        // Inserted in their order, they are sent in it.
        headers.insert(HeaderName::from_bytes(name.as_bytes()).expect("one of NAMES"), value);
    };
    put("Host", plain(&url.host));
    // LOGIN and USER/PASS are "plain" as well: it names how the password is known, not how it came.
    put("Auth-Method", HeaderValue::from_static("plain"));
    put("Auth-User", escaped(&attempt.user));
    let mut pass = escaped(attempt.secret.reveal());
    pass.set_sensitive(true);
    put("Auth-Pass", pass);
    put("Auth-Protocol", HeaderValue::from_static(asker.protocol));
    put("Auth-Login-Attempt", asker.attempt.into());
    put(
        "Client-IP",
        match &asker.client {
            Endpoint::Tcp(address) => plain(&address.ip().to_string()),
            Endpoint::Unix(_) => HeaderValue::from_static("unix:"),
        },
    );
    if let Some(ends) = &asker.proxied {
        put("Proxy-Protocol-Addr", plain(&ends.source.ip().to_string()));
        put("Proxy-Protocol-Port", ends.source.port().into());
        put("Proxy-Protocol-Server-Addr", plain(&ends.destination.ip().to_string()));
        put("Proxy-Protocol-Server-Port", ends.destination.port().into());
    }
    if let Some(tls) = &asker.tls {
        put("Auth-SSL", HeaderValue::from_static("on"));
        put("Auth-SSL-Protocol", plain(&tls.protocol));
        put("Auth-SSL-Cipher", plain(&tls.cipher));
        if let Some(certificate) = &tls.certificate {
            for (name, text) in [
                ("Auth-SSL-Verify", &certificate.verify),
                ("Auth-SSL-Subject", &certificate.subject),
                ("Auth-SSL-Issuer", &certificate.issuer),
                ("Auth-SSL-Serial", &certificate.serial),
                ("Auth-SSL-Fingerprint", &certificate.fingerprint),
            ] {
                if !text.is_empty() {
                    put(name, plain(text));
                }
            }
            if !certificate.pem.is_empty() {
                put("Auth-SSL-Cert", escaped_as_component(&certificate.pem));
            }
        }
    }
    if let Some(authzid) = &attempt.authzid {
        put("Auth-Authz-User", escaped(authzid));
    }
    for (name, value) in extra {
        if *name == HOST {
            headers.insert(HOST, value.clone());
        } else {
            headers.append(name, value.clone());
        }
    }
    let mut question = Request::new(());
    *question.uri_mut() = url.uri.clone().into();
    *question.headers_mut() = headers;
    question
}

/// Text that is not the client's own: what cannot stand in a header becomes `?`.
fn plain(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let fit = |c: char| if c.is_ascii_control() { '?' } else { c };
        let text: String = text.chars().map(fit).collect();
        HeaderValue::from_bytes(text.as_bytes()).expect("no control characters are left")
    })
}

/// The client's own bytes: 0x00 to 0x20, `%` and DEL escaped, all others as they are.
fn escaped(bytes: &[u8]) -> HeaderValue {
    percent(bytes, |byte| matches!(byte, 0..=b' ' | b'%' | 0x7f))
}

/// As the component of a URI, which is how nginx passes a certificate.
fn escaped_as_component(text: &str) -> HeaderValue {
    percent(text.as_bytes(), |byte| {
        !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
    })
}

fn percent(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if is_special(byte) {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            text.extend([b'%', DIGITS[high], DIGITS[low]]);
        } else {
            text.push(byte);
        }
    }
    // The buffer is wiped by nobody: it becomes the header, which hyper copies into its own.
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .expect("control characters are escaped")
}

/// What an answer means. Header names count in any case; of one that repeats, the last.
pub fn answer(status: StatusCode, headers: &HeaderMap) -> Result<Answer, Flaw> {
    let last = |name: &str| {
        let value = headers.get_all(name).iter().next_back().map(HeaderValue::as_bytes);
        value.filter(|value| !value.is_empty())
    };
    let wait = last("auth-wait")
        .and_then(number::<u64>)
        .map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds).min(MAX_WAIT));
    // Any one that is no consent is a refusal, in whatever order they come.
    let verdicts = headers.get_all("auth-status").iter().map(HeaderValue::as_bytes);
    let mut is_waiting = false;
    let mut is_known = false;
    for verdict in verdicts {
        is_known = true;
        match verdict {
            b"OK" => {}
            b"WAIT" => is_waiting = true,
            text => return Ok(Answer::Refused { text: passable(text), wait }),
        }
    }
    if is_waiting {
        return Ok(Answer::Wait(wait));
    }
    if !is_known && status.is_server_error() {
        return Err(Flaw::Failed(status.as_u16()));
    }
    let (Some(server), Some(port)) = (last("auth-server"), last("auth-port")) else {
        return Err(Flaw::NoServer);
    };
    let port = match number::<u16>(port) {
        Some(port) if port > 0 => port,
        _ => return Err(Flaw::BadPort(passable(port))),
    };
    let Some(server) = place(server, port) else {
        return Err(Flaw::BadServer(passable(server)));
    };
    let user = last("auth-user").map(Box::from);
    let secret = last("auth-pass").map(Secret::new);
    Ok(Answer::Accepted(Accepted { server, user, secret }))
}

/// Digits and nothing else; Rust's own reading takes a plus.
fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// An address, IPv6 with brackets or without, or a host's name.
fn place(server: &[u8], port: u16) -> Option<Place> {
    let server = std::str::from_utf8(server).ok()?;
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(server).parse::<IpAddr>() {
        return Some(Place::Fixed(Endpoint::from(std::net::SocketAddr::new(ip, port))));
    }
    if server.contains(':') {
        return None;
    }
    Place::parse(server, Some(port)).ok()
}

/// What must hold for any answer at all, each line a header: it says one thing, in words that can
/// be passed on.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let mut map = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii_start());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
            map.append(name, value);
        }
    }
    let is_fit = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match answer(StatusCode::OK, &map) {
        Ok(Answer::Accepted(accepted)) => {
            let mut shown = String::new();
            write!(shown, "{}", accepted.server).expect("strings take all");
            assert!(is_fit(&shown), "{shown:?}");
            let user = accepted.user.unwrap_or_default();
            assert!(!user.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        Ok(Answer::Wait(wait)) => assert!(wait <= MAX_WAIT),
        Ok(Answer::Refused { text, wait }) => {
            assert!(wait <= MAX_WAIT && is_fit(&text), "{text:?}");
        }
        Err(flaw) => assert!(is_fit(&flaw.to_string()), "{flaw}"),
    }
}

#[cfg(test)]
mod tests;
