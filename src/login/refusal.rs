//! A refused login as a value. Words come later, in one file per protocol.

use std::time::Duration;

use super::{Mechanism, imap, pop3, sieve, smtp};

/// Why somebody is not let in, before any protocol has put it into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    /// Somebody else's words to pass on: the lookup handler's `Auth-Status`, or the upstream's
    /// refusal under `proxy_pass_error_message on`. Printable, one line, no CR or LF; for IMAP it
    /// may begin with a response code in brackets. [`passable`] makes it so.
    pub text: Option<String>,
    /// The text is said as it is, without a response code of ours before it.
    pub bare: bool,
    /// Whole lines of the upstream to pass before the answer, CRLF included (IMAP `[ALERT]`).
    pub untagged: Vec<u8>,
    /// SMTP: the reply's code, and the enhanced one if there is any: `535 5.7.8`
    /// (`Auth-Error-Code`).
    pub code: Option<String>,
    /// The error challenge that an OAuth client gets before it is refused (RFC 7628 §3.2.2), in
    /// base64 (`Auth-Error-SASL`).
    pub sasl: Option<String>,
    /// How long the client waits for the answer (`Auth-Wait`).
    pub wait: Duration,
    /// Whether the session ends with it.
    pub close: bool,
}

/// The kinds of refusal, by what the client can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Wrong user, wrong password, or no such user: never told apart.
    BadCredentials,
    /// The account exists and may not log in now (RFC 5530 AUTHORIZATIONFAILED and the like).
    Forbidden,
    /// The mechanism needs TLS first.
    NeedsTls,
    /// The upstream or the lookup is down, silent, or loops: try later.
    Unavailable,
    /// Too many attempts or sessions.
    Throttled,
    /// Our own fault.
    Internal,
}

impl Refusal {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            text: None,
            bare: false,
            untagged: Vec::new(),
            code: None,
            sasl: None,
            wait: Duration::ZERO,
            close: false,
        }
    }

    #[must_use]
    pub fn with_text(mut self, text: impl AsRef<[u8]>) -> Self {
        let text = passable(text.as_ref());
        self.text = (!text.is_empty()).then_some(text);
        self
    }
}

/// A login that Zimbra's throttle refuses, in the bytes that Zimbra's proxy says; the session ends
/// with it.
pub fn rejected(protocol: &str, mechanism: Mechanism, text: &str) -> Refusal {
    let refusal = Refusal { bare: true, close: true, ..Refusal::new(Kind::Throttled) };
    match protocol {
        "imap" => imap::refusal::rejected(refusal, mechanism, text),
        _ => refusal.with_text(text),
    }
}

/// What is said in place of a greeting to a client that is turned away, CRLF included.
pub fn turned_away(protocol: &str, text: &str) -> String {
    let text = passable(text.as_bytes());
    match protocol {
        "imap" => imap::refusal::turned_away(&text),
        "pop3" => pop3::refusal::turned_away(&text),
        "sieve" => sieve::refusal::turned_away(&text),
        _ => smtp::refusal::turned_away(&text),
    }
}

/// What is said in place of a greeting where nobody is let in for now, CRLF included.
pub fn closed(protocol: &str, text: &str) -> String {
    let text = passable(text.as_bytes());
    match protocol {
        "imap" => imap::refusal::greeting(&text),
        "pop3" => pop3::refusal::greeting(&text),
        "sieve" => sieve::refusal::greeting(&text),
        _ => smtp::refusal::greeting(&text),
    }
}

/// Somebody else's words, made fit to stand in one line of ours: control bytes and bytes outside
/// ASCII become `?`, and no more than 400 are kept.
pub fn passable(text: &[u8]) -> String {
    let text = text.trim_ascii();
    text.iter()
        .take(400)
        .map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_words_cannot_break_out_of_their_line() {
        assert_eq!(passable(b" no\r\n* OK you are in\0 "), "no??* OK you are in?");
        assert_eq!(passable(&[b'x'; 1000]).len(), 400);
    }
}
