//! The one place where a [`Refusal`] becomes POP3.

use crate::login::{Kind, Refusal};
use crate::wire::pop3::reply::code;

/// The line that answers a refused login, CRLF included. Codes: RFC 2449 §8.1, RFC 3206 §4.
///
/// Our own text never says whether the account exists, nor which server was asked. A text that
/// came with the refusal replaces ours, and its response code too if it begins with one.
pub fn line(refusal: &Refusal) -> String {
    let (mark, ours) = match refusal.kind {
        Kind::BadCredentials => ("[AUTH] ", "login failed"),
        Kind::Forbidden => ("[AUTH] ", "login not allowed"),
        // No code: [AUTH] would blame the credentials, [SYS/PERM] would send people to the admin.
        Kind::NeedsTls => ("", "use STLS first"),
        Kind::Unavailable => ("[SYS/TEMP] ", "try again later"),
        // Not [LOGIN-DELAY], which is for who was let in a moment ago, nor [IN-USE], which is for
        // a locked maildrop.
        Kind::Throttled => ("[SYS/TEMP] ", "too many logins, try again later"),
        Kind::Internal => ("[SYS/PERM] ", "internal server error"),
    };
    match refusal.text.as_deref() {
        None => format!("-ERR {mark}{ours}\r\n"),
        Some(theirs) if refusal.bare => format!("-ERR {theirs}\r\n"),
        Some(theirs) if code(theirs.as_bytes()).is_some() => format!("-ERR {theirs}\r\n"),
        Some(theirs) => format!("-ERR {mark}{theirs}\r\n"),
    }
}

/// In place of a greeting.
pub fn turned_away(text: &str) -> String {
    format!("-ERR {text}\r\n")
}

/// What takes the place of the greeting where nobody is let in for now. `text` is ours.
pub fn greeting(text: &str) -> String {
    format!("-ERR [SYS/TEMP] {text}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code() {
        for (kind, want) in [
            (Kind::BadCredentials, "-ERR [AUTH] login failed\r\n"),
            (Kind::Forbidden, "-ERR [AUTH] login not allowed\r\n"),
            (Kind::NeedsTls, "-ERR use STLS first\r\n"),
            (Kind::Unavailable, "-ERR [SYS/TEMP] try again later\r\n"),
            (Kind::Throttled, "-ERR [SYS/TEMP] too many logins, try again later\r\n"),
            (Kind::Internal, "-ERR [SYS/PERM] internal server error\r\n"),
        ] {
            assert_eq!(line(&Refusal::new(kind)), want);
        }
    }

    #[test]
    fn borrowed_words_keep_our_code_unless_they_bring_one() {
        let no = |text: &str| line(&Refusal::new(Kind::BadCredentials).with_text(text));
        assert_eq!(no("Invalid login"), "-ERR [AUTH] Invalid login\r\n");
        assert_eq!(no("[SYS/PERM] call us"), "-ERR [SYS/PERM] call us\r\n");
        assert_eq!(no("[broken"), "-ERR [AUTH] [broken\r\n");
        assert_eq!(no("x\r\n+OK in"), "-ERR [AUTH] x??+OK in\r\n");
    }

    #[test]
    fn a_greeting_says_when_nobody_is_let_in() {
        assert_eq!(greeting("Back at noon"), "-ERR [SYS/TEMP] Back at noon\r\n");
        let later = Refusal::new(Kind::Unavailable).with_text("Back at noon");
        assert_eq!(line(&later), greeting("Back at noon"));
    }
}
