//! The lines of protocols that end each with CRLF and take no control byte within: POP3 and SMTP.

use super::Parsed;

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    TooLong,
    BareLf,
    Control,
}

/// Cuts the line at the front of `input`, without its CRLF; with it, it has at most `longest` bytes.
pub fn cut<E: From<Breach>>(input: &[u8], longest: usize) -> Parsed<&[u8], E> {
    let window = &input[..input.len().min(longest)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if input.len() >= longest {
            Parsed::Broken(Breach::TooLong.into(), longest)
        } else {
            Parsed::More
        };
    };
    match input[..end].strip_suffix(b"\r") {
        // RFC 5321 §2.3.8: CRLF alone ends a line. Who reads a bare LF as an end, and who does not,
        // see different commands.
        None => Parsed::Broken(Breach::BareLf.into(), end + 1),
        // A CR or NUL in here would end the line for some other parser behind us.
        Some(text) if text.iter().any(u8::is_ascii_control) => {
            Parsed::Broken(Breach::Control.into(), end + 1)
        }
        Some(text) => Parsed::Whole(text, end + 1),
    }
}
