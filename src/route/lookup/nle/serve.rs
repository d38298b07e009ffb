//! The servlet's own side: what somebody asks for, and what is said to it. Pure.
//!
//! Zimbra's proxy asks (`username`, `zimbraId`), and so may nginx by its `auth_http` (`plain`). Both
//! get a route; nobody's password is looked at, nor kept.
//!
//! Where it differs from Zimbra's servlet:
//! - Trouble of our own is a status of 503, with `Auth-Status: temporary failure` for Zimbra's proxy,
//!   which has no other word for it. nginx, which looks at no status, gets no `Auth-Status`: to it
//!   that is a handler out of order, and its client does not doubt its password.
//! - No tokens are minted: `gssapi` and `certauth` are refused.
//! - A header that comes twice is refused: two readers could take two of them.
//! - nginx is refused for SMTP: with a route it would let in whoever asks, and nobody would have
//!   checked a password.

use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::MAX_NAME;
use super::{Method, PROTOCOLS};
use crate::net::{Endpoint, Place};
use crate::route::lookup::question::{escape, escaped, plain};

/// Who asks, by how it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Zimbra,
    Nginx,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub dialect: Dialect,
    /// `username` or `zimbraId`.
    pub method: Method,
    /// As it was before it was escaped.
    pub user: Box<[u8]>,
    /// `imap`, `pop3`, `http`, `smtp`, `lmtp`, `sieve`.
    pub protocol: &'static str,
    /// The upstream is to be spoken to in TLS from the first byte.
    pub secure: bool,
    pub attempt: u32,
    pub client: Option<IpAddr>,
    /// The address of the proxy that the client came to.
    pub proxy: Option<IpAddr>,
    /// The host that a web client asked for.
    pub host: Option<String>,
    /// The upstream is to be an administrator's console.
    pub admin: bool,
}

/// What is wrong with a question: the text of its `Auth-Status`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("missing header field {0}")]
    Missing(&'static str),
    #[error("invalid header field {0}")]
    Invalid(&'static str),
    #[error("repeated header field {0}")]
    Repeated(&'static str),
    #[error("unsupported Auth-Method: {0}")]
    Method(String),
    #[error("unsupported Auth-Protocol: {0}")]
    Protocol(String),
    /// nginx would take a route for a permission.
    #[error("unsupported Auth-Protocol: nobody has checked the password")]
    Unchecked,
}

/// What is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Found {
        server: Place,
        /// The account by its own name.
        account: Box<[u8]>,
        /// The name that was asked for may be kept as another one for the account.
        alias_ok: bool,
    },
    /// There is no such user.
    Unknown,
    /// In words for the asker's log, `Client-IP 192.0.2.7 is not allowed on this domain`.
    Refused(String),
    /// Nobody can tell now.
    Temporary,
}

/// Reads a question. Header names count in any case; what a question does not need is passed over.
pub fn read(headers: &HeaderMap) -> Result<Question, Fault> {
    let method = needed(headers, "Auth-Method")?;
    let (dialect, method) = match Method::by_name(method) {
        Some(method @ (Method::Username | Method::ZimbraId)) => (Dialect::Zimbra, method),
        None if method.eq_ignore_ascii_case(b"plain") => (Dialect::Nginx, Method::Username),
        _ => return Err(Fault::Method(short(method))),
    };
    let user = unescaped(needed(headers, "Auth-User")?);
    if user.len() > MAX_NAME || user.iter().any(u8::is_ascii_control) {
        return Err(Fault::Invalid("Auth-User"));
    }
    let wanted = needed(headers, "Auth-Protocol")?;
    let known = PROTOCOLS.iter().find_map(|(plain, secure)| {
        let is = |name: &str| wanted.eq_ignore_ascii_case(name.as_bytes());
        if is(plain) { Some((*plain, false)) } else { is(secure).then_some((*plain, true)) }
    });
    let Some((protocol, secure)) = known else { return Err(Fault::Protocol(short(wanted))) };
    if dialect == Dialect::Nginx && matches!(protocol, "smtp" | "lmtp") {
        return Err(Fault::Unchecked);
    }
    Ok(Question {
        dialect,
        method,
        user: user.into(),
        protocol,
        secure,
        attempt: match one(headers, "Auth-Login-Attempt")? {
            Some(text) => number(text).ok_or(Fault::Invalid("Auth-Login-Attempt"))?,
            None => 0,
        },
        client: match one(headers, "Client-IP")? {
            // nginx says so of its own sockets.
            Some(text) if text.starts_with(b"unix:") => None,
            text => address(text, "Client-IP")?,
        },
        proxy: address(one(headers, "X-Proxy-IP")?, "X-Proxy-IP")?,
        host: match one(headers, "X-Proxy-Host")? {
            Some(text) => Some(host(text).ok_or(Fault::Invalid("X-Proxy-Host"))?),
            None => None,
        },
        admin: one(headers, "Auth-Zimbra-Admin")?
            .is_some_and(|text| text.eq_ignore_ascii_case(b"TRUE")),
    })
}

/// The answer to a question, `question` or what is wrong with it. Whoever is denied waits for `wait`
/// (Zimbra: 10 s), before it hears so.
pub fn reply(question: Result<&Question, &Fault>, reply: &Reply, wait: Duration) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    let question = match question {
        Ok(question) => question,
        Err(fault) => {
            put("auth-status", plain(fault.to_string().as_bytes()));
            put("auth-wait", wait.as_secs().into());
            return response;
        }
    };
    let is_nginx = question.dialect == Dialect::Nginx;
    match reply {
        Reply::Found { server, account, alias_ok } => {
            let (server, port) = match server {
                Place::Fixed(Endpoint::Tcp(at)) => (at.ip().to_canonical().to_string(), at.port()),
                Place::Named { host, port } => (host.clone(), *port),
                // Nobody else can reach that.
                Place::Fixed(Endpoint::Unix(_)) => {
                    return self::reply(Ok(question), &Reply::Temporary, wait);
                }
            };
            put("auth-status", HeaderValue::from_static("OK"));
            put("auth-server", plain(server.as_bytes()));
            put("auth-port", port.into());
            if !is_nginx {
                put("auth-user", escaped(account));
                let alias = if *alias_ok { "TRUE" } else { "FALSE" };
                put("auth-cache-alias", HeaderValue::from_static(alias));
            } else if **account != *question.user && !account.iter().any(u8::is_ascii_control) {
                // nginx takes it as it is.
                put("auth-user", plain(account));
            }
        }
        // nginx passes the words to its client: they say no more than they must.
        Reply::Unknown | Reply::Refused(_) if is_nginx => {
            put("auth-status", HeaderValue::from_static("Invalid login or password"));
            put("auth-wait", wait.as_secs().into());
        }
        Reply::Unknown => {
            let mut text = b"user not found:".to_vec();
            escape(&question.user, &mut text);
            put("auth-status", plain(&text));
            put("auth-wait", wait.as_secs().into());
        }
        Reply::Refused(text) => {
            let text = if matches!(&**text, "" | "OK" | "WAIT") { "refused" } else { text };
            put("auth-status", plain(text.as_bytes()));
            put("auth-wait", wait.as_secs().into());
        }
        Reply::Temporary => {
            if !is_nginx {
                put("auth-status", HeaderValue::from_static("temporary failure"));
                put("auth-wait", wait.as_secs().into());
            }
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    response
}

/// The one header of that name, if it is there and says something.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a [u8]>, Fault> {
    let mut all = headers.get_all(name).iter();
    let first = all.next().map(|value| value.as_bytes().trim_ascii());
    match all.next() {
        Some(_) => Err(Fault::Repeated(name)),
        None => Ok(first.filter(|value| !value.is_empty())),
    }
}

fn needed<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a [u8], Fault> {
    one(headers, name)?.ok_or(Fault::Missing(name))
}

fn number(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn address(text: Option<&[u8]>, name: &'static str) -> Result<Option<IpAddr>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let ip = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
    ip.map(|ip| Some(ip.to_canonical())).ok_or(Fault::Invalid(name))
}

/// A host's name, with a port or without, as a browser sends it.
fn host(text: &[u8]) -> Option<String> {
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    let fits = text.len() <= 255 && text.iter().all(is_fit);
    fits.then(|| String::from_utf8_lossy(text).into_owned())
}

/// A foreign word, fit for an answer.
fn short(text: &[u8]) -> String {
    let fit = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    text.iter().take(32).map(fit).collect()
}

/// `%` and two digits are a byte; a `%` by itself is one: names of web requests are not escaped.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%'
            && let [high, low, behind @ ..] = behind
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(*first);
        }
    }
    out
}

/// What must hold for any question at all, each line a header: it is read or refused, and every
/// answer to it is one.
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
    let question = read(&map);
    if let Ok(question) = &question {
        assert!(!question.user.is_empty() && question.user.len() <= MAX_NAME);
        assert!(!question.user.iter().any(u8::is_ascii_control));
    }
    let server = Place::Fixed(Endpoint::from(std::net::SocketAddr::from(([192, 0, 2, 1], 143))));
    let account = Box::from(input);
    for said in [
        Reply::Found { server, account, alias_ok: true },
        Reply::Unknown,
        Reply::Refused(String::from_utf8_lossy(input).into_owned()),
        Reply::Temporary,
    ] {
        let response = reply(question.as_ref(), &said, Duration::from_secs(10));
        let is_ok = response.headers().get("auth-status").is_some_and(|it| it == "OK");
        let found = question.is_ok() && matches!(said, Reply::Found { .. });
        assert_eq!(is_ok, found, "{question:?} {said:?}");
        for value in response.headers().values() {
            assert!(!value.as_bytes().iter().any(u8::is_ascii_control));
        }
    }
}
