//! The shape of MAIL and RCPT, as far as a proxy must know it (RFC 5321 §4.1.1.2, RFC 5321 §4.1.1.3).
//!
//! The upstream rules on addresses and parameters; here it is enough that there is one path, and
//! behind it nothing but parameters, so that no two readers of the line see different addresses.

/// Whether `argument` is `word` (`FROM:`, `TO:`), a path and parameters. UTF-8 may stand in it
/// (RFC 6531 §3.3); a blank before the path may too, as many clients put one there.
pub fn fits(argument: &[u8], word: &[u8]) -> bool {
    let argument = argument.trim_ascii();
    let Some(start) = argument.get(..word.len()) else { return false };
    if !start.eq_ignore_ascii_case(word)
        || str::from_utf8(argument).is_err()
        || argument.iter().any(u8::is_ascii_control)
    {
        return false;
    }
    let rest = argument[word.len()..].trim_ascii_start();
    match rest.first() {
        Some(b'<') => bracketed(rest).is_some_and(parameters),
        Some(_) => {
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            let (path, rest) = rest.split_at(end);
            !path.iter().any(|byte| matches!(byte, b'<' | b'>' | b'"')) && parameters(rest)
        }
        None => false,
    }
}

/// What follows the path in brackets. Within quotes a bracket is a letter (RFC 5321 §4.1.2).
fn bracketed(text: &[u8]) -> Option<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(&text[at + 1..]),
            b'<' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// `*( SP esmtp-keyword [ "=" esmtp-value ] )`, the values unread.
fn parameters(text: &[u8]) -> bool {
    let separated = text.is_empty() || text.starts_with(b" ");
    separated
        && text.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).all(|word| {
            let keyword = word.split(|byte| *byte == b'=').next().unwrap_or_default();
            !keyword.is_empty() && keyword.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_and_parameters_fit() {
        for argument in [
            "FROM:<a@b>",
            "from:<>",
            "FROM: <a@b>",
            "FROM:<a@b> SIZE=10 BODY=8BITMIME AUTH=<>",
            "FROM:<a@b>  SMTPUTF8 ",
            "FROM:a@b SIZE=10",
            "FROM:<\"a> b\\\"<\"@c> RET=HDRS",
            "FROM:<@relay,@other:a@b>",
            "FROM:<m\u{fc}ller@b>",
        ] {
            assert!(fits(argument.as_bytes(), b"FROM:"), "{argument:?}");
        }
    }

    #[test]
    fn nothing_else_fits() {
        for argument in [
            &b""[..],
            b"FROM",
            b"FROM:",
            b"FROM: ",
            b"TO:<a@b>",
            b"FROM:<a@b",
            b"FROM:<a@b>>",
            b"FROM:<a@b><c@d>",
            b"FROM:<a@b> <c@d>",
            b"FROM:<a@b>SIZE=10",
            b"FROM:<a@b> =10",
            b"FROM:<a<b>",
            b"FROM:<\"a@b>",
            b"FROM:a@b>",
            b"FROM:<\xff@b>",
            b"FROM:<a\x7f@b>",
        ] {
            assert!(!fits(argument, b"FROM:"), "{}", argument.escape_ascii());
        }
    }
}
