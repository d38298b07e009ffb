//! What a caller over a network must show: `Authorization: Bearer TOKEN` (RFC 6750 §2.1).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::login::Secret;

/// Nobody guesses so many characters.
const LEAST: usize = 16;
const MOST: usize = 1024;

/// The token of one listener.
#[derive(Clone, Debug)]
pub struct Token(Secret);

/// Why a file is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unread(#[from] io::Error),
    #[error("others than its owner may read or write it (mode {0:04o}): chmod 600")]
    Open(u32),
    #[error("its first line must be {LEAST} to {MOST} visible ASCII characters, and the only one")]
    Form,
}

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Right,
    Wrong,
    Nothing,
}

impl Token {
    /// The one line of the file at `path`, which is its owner's alone.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = File::open(path)?;
        // Of the file that was opened, and not of what is at the path by now.
        let mode = file.metadata()?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Error::Open(mode));
        }
        let mut text = zeroize::Zeroizing::new(Vec::with_capacity(MOST + 3));
        file.take(MOST as u64 + 3).read_to_end(&mut text)?;
        Self::parse(&text).ok_or(Error::Form)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let fits = (LEAST..=MOST).contains(&line.len()) && line.iter().all(u8::is_ascii_graphic);
        fits.then(|| Self(Secret::new(line)))
    }

    /// Whether a request with these headers shows it. It takes as long whatever is shown, but for
    /// its length.
    pub fn shown(&self, headers: &HeaderMap) -> Shown {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let value = match (all.next(), all.next()) {
            (None, _) => return Shown::Nothing,
            (Some(value), None) => value.as_bytes(),
            (Some(_), Some(_)) => return Shown::Wrong,
        };
        let token = value
            .split_at_checked(7)
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, token)| token.trim_ascii());
        match token {
            Some(token) if verify_slices_are_equal(token, self.0.reveal()).is_ok() => Shown::Right,
            _ => Shown::Wrong,
        }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.reveal(), other.0.reveal()).is_ok()
    }
}

impl Eq for Token {}

/// What must hold for any file, and for any header.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let token = Token(Secret::new("0123456789abcdef"));
    if let Ok(value) = hyper::header::HeaderValue::from_bytes(input) {
        let is_it = input.len() > 7 && input[7..].trim_ascii() == b"0123456789abcdef";
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        assert!(is_it || token.shown(&headers) == Shown::Wrong);
    }
    if let Some(read) = Token::parse(input) {
        let value = [b"Bearer ", read.0.reveal()].concat();
        let value = hyper::header::HeaderValue::from_bytes(&value).expect("it is visible ASCII");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        assert_eq!(read.shown(&headers), Shown::Right);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_others_may_read_or_that_holds_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let long = "x".repeat(MOST + 1);
        for (text, mode, want) in [
            ("0123456789abcdef\n", 0o600, ""),
            ("0123456789abcdef", 0o400, ""),
            ("0123456789abcdef\r\n", 0o600, ""),
            ("0123456789abcdef\n", 0o640, "(mode 0640): chmod 600"),
            ("0123456789abcdef\n", 0o604, "(mode 0604): chmod 600"),
            ("0123456789abcdef\n", 0o620, "(mode 0620): chmod 600"),
            ("", 0o600, "16 to 1024"),
            ("0123456789abcde\n", 0o600, "16 to 1024"),
            ("0123456789 abcdef\n", 0o600, "16 to 1024"),
            ("0123456789abcdef\nmore\n", 0o600, "16 to 1024"),
            (&long, 0o600, "16 to 1024"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match (Token::read(&path), want) {
                (Ok(token), "") => assert_eq!(format!("{token:?}"), "Token(Secret(..))"),
                (Err(error), want) if !want.is_empty() => {
                    assert!(error.to_string().contains(want), "{error}");
                }
                (read, _) => panic!("{text:?} {mode:o}: {read:?}"),
            }
            fs::remove_file(&path).unwrap();
        }
        assert!(matches!(Token::read(&path), Err(Error::Unread(_))));
    }

    #[test]
    fn the_token_is_shown_whole_and_once() {
        let token = Token(Secret::new("0123456789abcdef"));
        for (value, want) in [
            ("Bearer 0123456789abcdef", Shown::Right),
            ("bearer  0123456789abcdef ", Shown::Right),
            ("Bearer 0123456789abcde", Shown::Wrong),
            ("Bearer 0123456789abcdef0", Shown::Wrong),
            ("Bearer 0123456789ABCDEF", Shown::Wrong),
            ("Bearer ", Shown::Wrong),
            ("Bearer", Shown::Wrong),
            ("", Shown::Wrong),
            ("Basic 0123456789abcdef", Shown::Wrong),
            ("0123456789abcdef", Shown::Wrong),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(token.shown(&headers), want, "{value:?}");
        }
        assert_eq!(token.shown(&HeaderMap::new()), Shown::Nothing);
        let mut two = HeaderMap::new();
        two.append(AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap());
        two.append(AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap());
        assert_eq!(token.shown(&two), Shown::Wrong);
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_bytes(input in proptest::collection::vec(32..127u8, 0..40)) {
            hold_for_any(&input);
            hold_for_any(&[b"Bearer ", &input[..]].concat());
        }
    }
}
