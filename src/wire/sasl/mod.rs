//! # sasl: what is inside an AUTH exchange, whoever carries it
//!
//! IMAP, POP3, SMTP and ManageSieve each wrap these messages in their own lines; here are only the
//! messages, and the base64 that all of them put around them. GSSAPI's messages are read by the
//! system's library, so there is nothing of it here.
//!
//! **In and out.** Decoded bytes in, fields out. The rounds (who speaks next, what is asked) are
//! `login::exchange`'s. What an upstream is told is written here too: PLAIN, XOAUTH2, OAUTHBEARER.
//!
//! **Promises.** No field that is handed out is an empty user or password, holds CR, LF or NUL, or
//! is longer than its limit here.
//!
//! **Limits.** Names and passwords are bytes: they are not checked to be UTF-8 nor prepared
//! (RFC 4013), because upstreams keep passwords in older character sets too.

pub mod cram_md5;
pub mod external;
mod gs2;
pub mod login;
pub mod oauth;
pub mod plain;
pub mod scram;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The longest user name, either identity, in bytes.
pub const MAX_USER: usize = 1024;

/// The longest password, in bytes. Some programs have tokens for passwords, so it is more than
/// people type.
pub const MAX_PASSWORD: usize = 4096;

/// The longest base64 text of one message. RFC 4954 §4 and RFC 5034 §4 let these lines be longer
/// than commands; 12,288 is what SMTP asks of everyone, and our longest PLAIN message is shorter.
pub const MAX_ENCODED: usize = 12_288;

/// What is wrong with one field or with the shape of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("malformed SASL message")]
    Shape,
    #[error("CR, LF or NUL in SASL credentials")]
    Control,
    #[error("empty user in SASL credentials")]
    NoUser,
    #[error("empty password in SASL credentials")]
    NoPassword,
    #[error("SASL credentials too long")]
    TooLong,
    #[error("no bearer token in SASL credentials")]
    Token,
    /// The client binds its login to the TLS channel, or somebody has changed what it said of that.
    #[error("SASL channel binding that is not offered")]
    Binding,
    #[error("mandatory SASL extension that is not known")]
    Extension,
}

/// Undoes base64 into `out`; says whether it was base64.
///
/// `out` is grown once, before the first byte is written, so a buffer that is wiped on drop leaves
/// no copy behind.
#[must_use]
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.reserve_exact(base64::decoded_len_estimate(text.len()));
    STANDARD.decode_vec(text, out).is_ok()
}

pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A user name is not empty, is bounded, and holds nothing that ends a line or a string.
pub fn user(bytes: &[u8]) -> Result<&[u8], Error> {
    if bytes.is_empty() { Err(Error::NoUser) } else { clean(bytes, MAX_USER) }
}

fn password(bytes: &[u8]) -> Result<&[u8], Error> {
    if bytes.is_empty() { Err(Error::NoPassword) } else { clean(bytes, MAX_PASSWORD) }
}

fn clean(bytes: &[u8], max: usize) -> Result<&[u8], Error> {
    if bytes.len() > max {
        return Err(Error::TooLong);
    }
    // Upstream commands, lookup headers and log lines are all ended by one of these.
    if bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(Error::Control);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_and_padded_base64_is_taken() {
        let mut out = Vec::new();
        for (text, want) in [
            ("", Some("")),
            ("AHUAcA==", Some("\0u\0p")),
            ("VXNlcm5hbWU6", Some("Username:")),
            ("AHUAcA", None),
            ("AHUAcA==x", None),
            ("AHUA cA==", None),
            ("AHUAcB==", None), // bits left over: two texts for one message
            ("=", None),
            ("*", None),
        ] {
            let whole = decode(text.as_bytes(), &mut out);
            assert_eq!(whole.then_some(out.as_slice()), want.map(str::as_bytes), "{text:?}");
        }
    }

    #[test]
    fn the_longest_message_fits_the_longest_text() {
        let longest = 2 * MAX_USER + MAX_PASSWORD + 2;
        assert!(encode(&vec![b'x'; longest]).len() <= MAX_ENCODED);
    }
}
