//! What the servlet's answer means.

use std::fmt::Write as _;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::login::{Secret, passable};
use crate::net::Place;
use crate::route::lookup::Flaw;
use crate::route::lookup::answer::{MAX_WAIT, is_lookup, place, wait};

/// The longest name that is taken for an account's.
pub const MAX_NAME: usize = 1024;

/// What a servlet says.
#[derive(Clone, Debug)]
pub enum Answer {
    Found(Found),
    /// Ask again after this.
    Wait(Duration),
    /// There is no such user.
    Unknown(Denied),
    Refused(Denied),
}

/// Where the user is.
#[derive(Clone, Debug)]
pub struct Found {
    pub server: Place,
    /// The account by its own name, which is the one to log in with upstream.
    pub account: Option<Box<[u8]>>,
    /// The name that was asked for stands for that account wherever it is asked for.
    pub alias_ok: bool,
    /// `gssapi`: whose token it is.
    pub id: Option<Box<[u8]>>,
    /// `gssapi`: a token that is a password upstream.
    pub secret: Option<Secret>,
}

/// In the servlet's words, which are for the log: they say too much for a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    pub text: String,
    pub wait: Duration,
}

/// How the words of an `Auth-Status` are understood: by how they begin, in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Trouble that will pass.
    pub temporary: Vec<String>,
    /// `Auth-Status: OK` must be said.
    pub strict: bool,
}

/// There is no such user, or no such domain.
const UNKNOWN: &[&str] = &[
    "user not found",
    "account not found",
    "no such account",
    "no such user",
    "no such domain",
    "domain not found",
    "unknown user",
];

/// Trouble of the servlet's own, or between it and us: nobody has looked at the login.
pub const TEMPORARY: &[&str] = &[
    "unable to ",
    "ldap ",
    "system failure",
    "service exception",
    "service unavailable",
    "temporary ",
    "temporarily ",
    "timed out",
    "try again",
    "missing header",
    "invalid header",
    "unsupported ",
];

impl Default for Words {
    fn default() -> Self {
        let temporary = TEMPORARY.iter().map(|&word| word.to_owned()).collect();
        Self { temporary, strict: false }
    }
}

/// What an answer means. `with_token`: a token was asked for.
pub fn answer(
    status: StatusCode,
    headers: &HeaderMap,
    words: &Words,
    with_token: bool,
) -> Result<Answer, Flaw> {
    if status != StatusCode::OK {
        return Err(Flaw::BadStatus(status.as_u16()));
    }
    let last = |name: &str| {
        let value = headers.get_all(name).iter().next_back().map(HeaderValue::as_bytes);
        value.filter(|value| !value.is_empty())
    };
    let wait = wait(last("auth-wait"));
    let (mut is_known, mut is_waiting) = (false, false);
    // As with `auth_http`, any one that is no consent is a refusal.
    for verdict in headers.get_all("auth-status") {
        is_known = true;
        match verdict.as_bytes() {
            b"OK" => {}
            b"WAIT" => is_waiting = true,
            text => return denied(text, wait, words),
        }
    }
    if is_waiting {
        return Ok(Answer::Wait(wait));
    }
    if !is_lookup(headers) || (words.strict && !is_known) {
        return Err(Flaw::NoLookup);
    }
    let (Some(server), Some(port)) = (last("auth-server"), last("auth-port")) else {
        return Err(Flaw::NoServer);
    };
    let secret = match last("auth-pass") {
        // It has seen no password, so it cannot let anybody in by one of its own.
        Some(_) if !with_token => return Err(Flaw::Vouches("Auth-Pass")),
        secret => secret.map(Secret::new),
    };
    Ok(Answer::Found(Found {
        server: place(server, port)?,
        account: name("Auth-User", last("auth-user"))?,
        alias_ok: last("auth-cache-alias").is_some_and(|it| it.eq_ignore_ascii_case(b"TRUE")),
        id: name("Auth-ID", last("auth-id").filter(|_| with_token))?,
        secret,
    }))
}

fn denied(text: &[u8], wait: Duration, words: &Words) -> Result<Answer, Flaw> {
    let begins = |word: &str| {
        let start = text.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let shown = passable(text);
    // Names of users stand behind these words, so nothing but the beginning counts.
    if UNKNOWN.iter().any(|word| begins(word)) {
        return Ok(Answer::Unknown(Denied { text: shown, wait }));
    }
    if text.is_empty() || words.temporary.iter().any(|word| begins(word)) {
        return Err(Flaw::Temporary(shown));
    }
    Ok(Answer::Refused(Denied { text: shown, wait }))
}

/// A name as the servlet escapes it, which is in two steps: ` ` becomes `%20`, then `%` becomes
/// `%25`, that of the first step too. Nothing else is undone, so no name can grow a byte that ends a
/// line; one that has such a byte is none.
fn name(header: &'static str, value: Option<&[u8]>) -> Result<Option<Box<[u8]>>, Flaw> {
    let Some(value) = value else { return Ok(None) };
    let once = replaced(&replaced(value, b"%25", 0), b"%20", b' ');
    let name = restored(&once);
    if name.len() > MAX_NAME || name.iter().any(u8::is_ascii_control) {
        return Err(Flaw::BadOption(header, passable(value)));
    }
    Ok(Some(name.into()))
}

/// `text` with each `code` as one `byte`.
fn replaced(text: &[u8], code: &[u8; 3], byte: u8) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, behind)) = rest.split_first() {
        match rest.strip_prefix(code) {
            Some(behind) => {
                out.push(byte);
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// The second step: a NUL stands for `%`, since no header holds one; `%20` by then is a blank.
fn restored(once: &[u8]) -> Vec<u8> {
    let twice = replaced(once, b"\x0020", b' ');
    twice.iter().map(|byte| if *byte == 0 { b'%' } else { *byte }).collect()
}

/// What must hold for any answer at all, each line a header: it says one thing, in words that can be
/// passed on, and nobody is let in by what was not asked for.
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
    for (status, strict, with_token) in
        [(200, false, false), (200, true, false), (200, false, true), (503, false, true)]
    {
        let status = StatusCode::from_u16(status).expect("a status code");
        match answer(status, &map, &Words { strict, ..Words::default() }, with_token) {
            Ok(Answer::Found(found)) => {
                let mut shown = String::new();
                write!(shown, "{}", found.server).expect("strings take all");
                assert!(status == StatusCode::OK && is_fit(&shown), "{shown:?}");
                assert!(with_token || (found.secret.is_none() && found.id.is_none()));
                for name in [found.account, found.id].into_iter().flatten() {
                    assert!(name.len() <= MAX_NAME && !name.iter().any(u8::is_ascii_control));
                }
            }
            Ok(Answer::Wait(wait)) => assert!(wait <= MAX_WAIT),
            Ok(Answer::Unknown(denied) | Answer::Refused(denied)) => {
                assert!(denied.wait <= MAX_WAIT && is_fit(&denied.text) && !denied.text.is_empty());
            }
            Err(flaw) => assert!(is_fit(&flaw.to_string()), "{flaw}"),
        }
    }
}
