//! What an upstream says while we log in to it.
//!
//! **In and out.** [`parse`] takes one response off the front: a tagged line, a continuation, or
//! untagged data with its literals. Tagged lines and continuations are read here, untagged lines
//! by the imap-proto crate, and what is in brackets by [`code`], because imap-proto knows none of
//! RFC 5530's codes.
//!
//! **Limits.** A line of [`MAX_LINE`] bytes, a response of [`MAX_REPLY`] with its literals; more is
//! [`Error::TooLong`]. imap-proto recurses on `(` and slices its text by bytes, so it is given
//! single lines alone, no FETCH, few parentheses, and ASCII.

use imap_proto::{Capability, Response};

use super::literal;
use crate::wire::Parsed;

/// The longest line, its CRLF included.
pub const MAX_LINE: usize = 8192;

/// The longest response, its literals included.
pub const MAX_REPLY: usize = 65_536;

/// How many `(` imap-proto is trusted with: it recurses on them, and a deep one ends the process.
const MAX_OPEN: usize = 8;

/// One response: how it is read, and the bytes it was read from, CRLF included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub raw: &'a [u8],
    pub said: Said<'a>,
}

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// `TAG OK text`
    Tagged { tag: &'a [u8], status: Status, text: &'a [u8] },
    /// `* OK text`
    Untagged { status: Status, text: &'a [u8] },
    /// `+ text`
    Continue(&'a [u8]),
    /// `* CAPABILITY …`
    Capability(Capabilities),
    /// `* ID …`
    Id,
    /// Other untagged data.
    Other,
}

/// RFC 9051 §7.1. PREAUTH and BYE are never tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// What an upstream offers, as far as a login hangs on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub starttls: bool,
    pub login_disabled: bool,
    pub auth_plain: bool,
    pub auth_xoauth2: bool,
    pub auth_oauthbearer: bool,
    pub sasl_ir: bool,
    pub id: bool,
    pub literal_plus: bool,
    pub literal_minus: bool,
}

/// How an upstream broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("reply too long")]
    TooLong,
    #[error("bare CR, bare LF or NUL in a reply")]
    Control,
    #[error("no IMAP reply")]
    Garbage,
}

/// Reads the response at the front of `input`.
pub fn parse(input: &[u8]) -> Parsed<Reply<'_>, Error> {
    let first = match line(input, 0) {
        Parsed::Whole(line, used) => (line, used),
        Parsed::More => return Parsed::More,
        Parsed::Broken(error, used) => return Parsed::Broken(error, used),
    };
    let (text, mut used) = first;
    let Some(said) = read(text) else { return Parsed::Broken(Error::Garbage, used) };
    // Only data has literals: a `{5}` at the end of human-readable text is text.
    if matches!(said, Said::Id | Said::Other) {
        let mut last = text;
        while let Some((size, _)) = literal::announced(last) {
            if size > MAX_REPLY - used.min(MAX_REPLY) {
                return Parsed::Broken(Error::TooLong, used);
            }
            match line(input, used + size) {
                Parsed::Whole(line, end) if end <= MAX_REPLY => (last, used) = (line, end),
                Parsed::Whole(_, end) => return Parsed::Broken(Error::TooLong, end),
                Parsed::More => return Parsed::More,
                Parsed::Broken(error, end) => return Parsed::Broken(error, end),
            }
        }
    }
    Parsed::Whole(Reply { raw: &input[..used], said }, used)
}

/// The line that begins at `start`, and where it ends.
fn line(input: &[u8], start: usize) -> Parsed<&[u8], Error> {
    let Some(rest) = input.get(start..) else { return Parsed::More };
    let window = &rest[..rest.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match window.len() {
            MAX_LINE => Parsed::Broken(Error::TooLong, start + MAX_LINE),
            _ => Parsed::More,
        };
    };
    let used = start + end + 1;
    match window[..end].strip_suffix(b"\r") {
        Some(line) if !line.iter().any(|byte| matches!(byte, b'\r' | 0)) => {
            Parsed::Whole(line, used)
        }
        _ => Parsed::Broken(Error::Control, used),
    }
}

/// Reads one line. `None`: it is no response.
fn read(line: &[u8]) -> Option<Said<'_>> {
    match line {
        [b'*', b' ', data @ ..] => Some(untagged(line, data)),
        // RFC 9051 §7.6 wants a blank after the `+`; some servers leave it out.
        [b'+', text @ ..] => Some(Said::Continue(text.strip_prefix(b" ").unwrap_or(text))),
        _ => {
            let (tag, rest) = word(line);
            let (status, text) = word(rest);
            let status = match status.to_ascii_uppercase().as_slice() {
                b"OK" => Status::Ok,
                b"NO" => Status::No,
                b"BAD" => Status::Bad,
                _ => return None,
            };
            let is_tag = !tag.is_empty() && tag.iter().all(u8::is_ascii_graphic);
            is_tag.then_some(Said::Tagged { tag, status, text })
        }
    }
}

fn untagged<'a>(line: &'a [u8], data: &'a [u8]) -> Said<'a> {
    // Counted data (`5 EXISTS`, `1 FETCH …`) says nothing that a login needs.
    if data.first().is_none_or(u8::is_ascii_digit) {
        return Said::Other;
    }
    let (first, rest) = word(data);
    let by_hand = || match first.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" => Said::Capability(capabilities(rest)),
        _ => Said::Other,
    };
    if line.iter().filter(|byte| **byte == b'(').count() > MAX_OPEN {
        return by_hand();
    }
    let mut ascii: Vec<u8> =
        line.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }).collect();
    ascii.extend_from_slice(b"\r\n");
    match Response::parse(&ascii) {
        Ok((b"", Response::Data { status, .. })) => {
            let status = match status {
                imap_proto::Status::Ok => Status::Ok,
                imap_proto::Status::No => Status::No,
                imap_proto::Status::Bad => Status::Bad,
                imap_proto::Status::PreAuth => Status::PreAuth,
                imap_proto::Status::Bye => Status::Bye,
            };
            Said::Untagged { status, text: rest }
        }
        Ok((b"", Response::Capabilities(list))) => Said::Capability(Capabilities::of(&list)),
        Ok((b"", Response::Id(_))) => Said::Id,
        // imap-proto wants IMAP4rev1 among the capabilities; RFC 9051 servers may leave it out.
        // An ID with a literal in it is more than one line.
        _ if first.eq_ignore_ascii_case(b"ID") => Said::Id,
        _ => by_hand(),
    }
}

/// The first word and what follows the blank after it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(blank) => (&text[..blank], &text[blank + 1..]),
        None => (text, b""),
    }
}

/// The response code that `text` begins with: its name, and what follows the name in the brackets.
///
/// RFC 9051 §7.1, `resp-text = ["[" resp-text-code "]" SP] text`.
pub fn code(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"[")?;
    let (name, rest) = word(&inside[..inside.iter().position(|byte| *byte == b']')?]);
    let is_atom = !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && *b != b'[');
    is_atom.then_some((name, rest))
}

/// Whether `text` carries what a user must see (RFC 9051 §7.1, ALERT).
pub fn is_alert(text: &[u8]) -> bool {
    code(text).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"ALERT"))
}

/// Reads the words of a capability list, from a `CAPABILITY` line or code.
pub fn capabilities(words: &[u8]) -> Capabilities {
    let mut found = Capabilities::default();
    words.split(|byte| *byte == b' ').for_each(|word| found.add(word));
    found
}

impl Capabilities {
    fn of(list: &[Capability<'_>]) -> Self {
        let mut found = Self::default();
        for one in list {
            match one {
                Capability::Imap4rev1 => {}
                Capability::Auth(name) => found.add(format!("AUTH={name}").as_bytes()),
                Capability::Atom(name) => found.add(name.as_bytes()),
            }
        }
        found
    }

    fn add(&mut self, word: &[u8]) {
        match word.to_ascii_uppercase().as_slice() {
            b"STARTTLS" => self.starttls = true,
            b"LOGINDISABLED" => self.login_disabled = true,
            b"AUTH=PLAIN" => self.auth_plain = true,
            b"AUTH=XOAUTH2" => self.auth_xoauth2 = true,
            b"AUTH=OAUTHBEARER" => self.auth_oauthbearer = true,
            b"SASL-IR" => self.sasl_ir = true,
            b"ID" => self.id = true,
            b"LITERAL+" => self.literal_plus = true,
            b"LITERAL-" => self.literal_minus = true,
            _ => {}
        }
    }
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match parse(input) {
        Parsed::More => assert!(input.len() < MAX_REPLY + MAX_LINE, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(reply, used) => {
            assert!((1..=input.len().min(MAX_REPLY)).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Whole(reply, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
            assert!(reply.raw.len() == used && reply.raw.ends_with(b"\r\n"));
            if let Said::Tagged { text, .. } | Said::Untagged { text, .. } = reply.said {
                assert!(!text.iter().any(|byte| b"\r\n\0".contains(byte)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
