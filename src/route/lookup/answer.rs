//! What an answer means.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::Flaw;
use crate::login::{Secret, passable};
use crate::net::{Endpoint, Place};
use crate::tls::directives::Mode;

/// The longest `Auth-Wait` that is honoured.
pub const MAX_WAIT: Duration = Duration::from_secs(3600);

/// What a handler says.
#[derive(Clone, Debug)]
pub enum Answer {
    Accepted(Accepted),
    /// Ask again after this.
    Wait(Duration),
    Refused(Refused),
}

/// The login may go on, and where.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub server: Place,
    /// The name and the password to log in with upstream, where they differ from the client's.
    pub user: Option<Box<[u8]>>,
    pub secret: Option<Secret>,
    /// `Auth-Upstream-TLS`: how this upstream is to be spoken to.
    pub security: Option<Mode>,
    /// `Auth-Upstream-Master`: the configured master user logs in there, for this one.
    pub master: bool,
    /// `Auth-Verifier`, as it came: what a SCRAM client's proof is held against.
    pub verifier: Option<Secret>,
}

/// In the handler's words. Without a wait the session ends.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    pub text: String,
    /// `Auth-Error-Code`: `NNN`, or `NNN N.N.N`.
    pub code: Option<String>,
    /// `Auth-Error-SASL`, in base64.
    pub sasl: Option<String>,
    pub wait: Duration,
}

/// What an answer means. Header names count in any case; of one that repeats, the last. To be
/// `strict` is to look at the status.
pub fn answer(status: StatusCode, headers: &HeaderMap, strict: bool) -> Result<Answer, Flaw> {
    let last = |name: &str| {
        let value = headers.get_all(name).iter().next_back().map(HeaderValue::as_bytes);
        value.filter(|value| !value.is_empty())
    };
    let wait = wait(last("auth-wait"));
    let is_refusing =
        status.is_success() || [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
    if strict && !is_refusing {
        return Err(Flaw::BadStatus(status.as_u16()));
    }
    // Any one that is no consent is a refusal, in whatever order they come.
    let verdicts = headers.get_all("auth-status").iter().map(HeaderValue::as_bytes);
    let mut is_waiting = false;
    let mut is_known = false;
    for verdict in verdicts {
        is_known = true;
        match verdict {
            b"OK" => {}
            b"WAIT" => is_waiting = true,
            text => {
                return Ok(Answer::Refused(Refused {
                    text: passable(text),
                    code: last("auth-error-code").and_then(code),
                    sasl: last("auth-error-sasl").and_then(challenge),
                    wait,
                }));
            }
        }
    }
    if strict && !status.is_success() {
        return Err(Flaw::BadStatus(status.as_u16()));
    }
    if is_waiting {
        return Ok(Answer::Wait(wait));
    }
    if !is_known && status.is_server_error() {
        return Err(Flaw::Failed(status.as_u16()));
    }
    let (Some(server), Some(port)) = (last("auth-server"), last("auth-port")) else {
        return Err(if is_lookup(headers) { Flaw::NoServer } else { Flaw::NoLookup });
    };
    let secret = last("auth-pass").map(Secret::new);
    let security = option("Auth-Upstream-TLS", last("auth-upstream-tls"), MODES)?;
    let master = option("Auth-Upstream-Master", last("auth-upstream-master"), SWITCH)?;
    let master = master.unwrap_or(false);
    let server = place(server, port)?;
    let user = last("auth-user").map(Box::from);
    let verifier = last("auth-verifier").map(Secret::new);
    Ok(Answer::Accepted(Accepted { server, user, secret, security, master, verifier }))
}

/// Whether anything in there speaks of a login.
pub fn is_lookup(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("auth-"))
}

/// `Auth-Server` and `Auth-Port`.
pub fn place(server: &[u8], port: &[u8]) -> Result<Place, Flaw> {
    let Some(server) = host(server) else { return Err(Flaw::BadServer(passable(server))) };
    let port = match number::<u16>(port) {
        Some(port) if port > 0 => port,
        _ => return Err(Flaw::BadPort(passable(port))),
    };
    Ok(match server {
        Host::Address(ip) => Place::Fixed(Endpoint::from(SocketAddr::new(ip, port))),
        Host::Name(host) => Place::Named { host, port },
    })
}

/// `Auth-Wait`, an hour at the most; none where it is absent or no number.
pub fn wait(value: Option<&[u8]>) -> Duration {
    let seconds = value.and_then(number::<u64>);
    seconds.map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds).min(MAX_WAIT))
}

const MODES: &[(&[u8], Mode)] =
    &[(b"off", Mode::Off), (b"on", Mode::On), (b"starttls", Mode::StartTls)];
const SWITCH: &[(&[u8], bool)] = &[(b"on", true), (b"off", false)];

/// One of our own headers, which says one of these words or is not understood.
fn option<T: Copy>(
    name: &'static str,
    value: Option<&[u8]>,
    words: &[(&[u8], T)],
) -> Result<Option<T>, Flaw> {
    let Some(value) = value else { return Ok(None) };
    match words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word)) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => Err(Flaw::BadOption(name, passable(value))),
    }
}

/// Digits and nothing else; Rust's own reading takes a plus.
fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

enum Host {
    Address(IpAddr),
    Name(String),
}

/// An address, IPv6 with brackets or without, or a host's name.
fn host(server: &[u8]) -> Option<Host> {
    let server = std::str::from_utf8(server).ok()?;
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(server).parse() {
        return Some(Host::Address(ip));
    }
    if server.contains(':') {
        return None;
    }
    match Place::parse(server, Some(1)).ok()? {
        Place::Named { host, .. } => Some(Host::Name(host)),
        Place::Fixed(_) => None,
    }
}

/// A reply code that refuses, and an enhanced one that may stand behind it (RFC 5321 §4.2.1,
/// RFC 2034 §4). Of another shape it is passed over: the protocol has its own.
fn code(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (basic, enhanced) = match text.split_once(' ') {
        Some((basic, enhanced)) => (basic, Some(enhanced.trim_start())),
        None => (text, None),
    };
    let is_digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let refuses = |text: &str| text.starts_with(['4', '5']);
    if basic.len() != 3 || !is_digits(basic, 3) || !refuses(basic) {
        return None;
    }
    let Some(enhanced) = enhanced else { return Some(basic.to_owned()) };
    let parts: Vec<_> = enhanced.split('.').collect();
    let [class, subject, detail] = parts[..] else { return None };
    let fits =
        is_digits(class, 1) && refuses(class) && is_digits(subject, 3) && is_digits(detail, 3);
    fits.then(|| format!("{basic} {enhanced}"))
}

/// An error challenge, if it is one that a client can decode.
fn challenge(text: &[u8]) -> Option<String> {
    STANDARD.decode(text).ok()?;
    String::from_utf8(text.to_vec()).ok()
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
    for (status, strict) in [(200, false), (200, true), (401, true), (500, false)] {
        let status = StatusCode::from_u16(status).expect("a status code");
        hold(answer(status, &map, strict));
    }
}

fn hold(answer: Result<Answer, Flaw>) {
    let is_fit = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match answer {
        Ok(Answer::Accepted(accepted)) => {
            let mut shown = String::new();
            write!(shown, "{}", accepted.server).expect("strings take all");
            assert!(is_fit(&shown), "{shown:?}");
            let user = accepted.user.unwrap_or_default();
            assert!(!user.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
        Ok(Answer::Wait(wait)) => assert!(wait <= MAX_WAIT),
        Ok(Answer::Refused(Refused { text, code, sasl, wait })) => {
            assert!(wait <= MAX_WAIT && is_fit(&text), "{text:?}");
            let code = code.unwrap_or_else(|| "535".to_owned());
            assert!(is_fit(&code) && code.starts_with(['4', '5']) && code.len() <= 13, "{code:?}");
            assert!(sasl.is_none_or(|sasl| is_fit(&sasl) && !sasl.contains(' ')));
        }
        Err(flaw) => assert!(is_fit(&flaw.to_string()), "{flaw}"),
    }
}
