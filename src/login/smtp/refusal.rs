//! The one place where a [`Refusal`] becomes SMTP.

use crate::login::{Kind, Refusal};
use crate::wire::smtp::reply::{is_refusal_code, refuses};

/// What nginx says where the lookup handler says no and names no code.
const BORROWED: &str = "535 5.7.0";

/// What was asked for, and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// AUTH.
    Login,
    /// RCPT, without a login.
    Relay,
}

/// The line that answers it, CRLF included. Codes: RFC 4954 §6, RFC 5321 §4.2.3, RFC 3463.
///
/// Our own text never says whether the account exists, nor which server was asked. A text that
/// came with the refusal replaces ours; so does its code, whether it came apart (`Auth-Error-Code`)
/// or stands before the text, as in an upstream's own reply. A code that refuses nothing does not.
pub fn line(refusal: &Refusal, wish: Wish) -> String {
    use Wish::{Login, Relay};
    let (code, ours) = match (refusal.kind, wish) {
        (Kind::BadCredentials, Login) => ("535 5.7.8", "Authentication credentials invalid"),
        (Kind::Forbidden, Login) => ("535 5.7.1", "Login not allowed"),
        (Kind::BadCredentials | Kind::Forbidden, Relay) => ("550 5.7.1", "Access denied"),
        // RFC 3207 §4.
        (Kind::NeedsTls, _) => ("530 5.7.0", "Must issue a STARTTLS command first"),
        (Kind::Unavailable, Login) => ("454 4.7.0", "Temporary authentication failure"),
        (Kind::Unavailable, Relay) => ("451 4.3.0", "Temporary server problem, try again later"),
        (Kind::Throttled, Login) => ("454 4.7.0", "Too many logins, try again later"),
        (Kind::Throttled, Relay) => ("451 4.7.0", "Too many requests, try again later"),
        (Kind::Internal, _) => ("451 4.3.2", "Internal server error"),
    };
    let given = refusal.code.as_deref().filter(|code| is_refusal_code(code.as_bytes()));
    match (given, refusal.text.as_deref()) {
        (given, None) => format!("{} {ours}\r\n", given.unwrap_or(code)),
        (Some(given), Some(theirs)) => format!("{given} {theirs}\r\n"),
        (None, Some(theirs)) if refuses(theirs.as_bytes()) => format!("{theirs}\r\n"),
        (None, Some(theirs)) => {
            let is_final = matches!(refusal.kind, Kind::BadCredentials | Kind::Forbidden);
            format!("{} {theirs}\r\n", if is_final { BORROWED } else { code })
        }
    }
}

/// In place of a greeting: RFC 5321 §3.8 has 421 announce the close.
pub fn turned_away(text: &str) -> String {
    format!("421 4.7.0 {text}\r\n")
}

/// What takes the place of the greeting where nobody is let in for now (RFC 5321 §3.8: 421 closes).
/// `text` is ours.
pub fn greeting(text: &str) -> String {
    format!("421 4.3.2 {text}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code() {
        for (kind, login, relay) in [
            (
                Kind::BadCredentials,
                "535 5.7.8 Authentication credentials invalid\r\n",
                "550 5.7.1 Access denied\r\n",
            ),
            (Kind::Forbidden, "535 5.7.1 Login not allowed\r\n", "550 5.7.1 Access denied\r\n"),
            (
                Kind::NeedsTls,
                "530 5.7.0 Must issue a STARTTLS command first\r\n",
                "530 5.7.0 Must issue a STARTTLS command first\r\n",
            ),
            (
                Kind::Unavailable,
                "454 4.7.0 Temporary authentication failure\r\n",
                "451 4.3.0 Temporary server problem, try again later\r\n",
            ),
            (
                Kind::Throttled,
                "454 4.7.0 Too many logins, try again later\r\n",
                "451 4.7.0 Too many requests, try again later\r\n",
            ),
            (
                Kind::Internal,
                "451 4.3.2 Internal server error\r\n",
                "451 4.3.2 Internal server error\r\n",
            ),
        ] {
            assert_eq!(line(&Refusal::new(kind), Wish::Login), login);
            assert_eq!(line(&Refusal::new(kind), Wish::Relay), relay);
        }
    }

    #[test]
    fn borrowed_words_keep_a_code_of_ours_unless_they_bring_one() {
        for (kind, code, text, want) in [
            (Kind::BadCredentials, None, "Invalid login", "535 5.7.0 Invalid login\r\n"),
            (Kind::Unavailable, None, "Come back", "454 4.7.0 Come back\r\n"),
            (Kind::BadCredentials, Some("535 5.7.8"), "No", "535 5.7.8 No\r\n"),
            (Kind::BadCredentials, Some("451"), "Busy", "451 Busy\r\n"),
            (Kind::BadCredentials, Some("451 4.3.0"), "", "451 4.3.0 "),
            // An upstream's own reply.
            (Kind::BadCredentials, None, "534 5.7.9 Too weak", "534 5.7.9 Too weak\r\n"),
            // What would let in, or is no code at all, does not stand.
            (Kind::BadCredentials, Some("235 2.0.0"), "No", "535 5.7.0 No\r\n"),
            (Kind::BadCredentials, Some("535 5.7.0 x"), "No", "535 5.7.0 No\r\n"),
            (Kind::BadCredentials, Some("999"), "No", "535 5.7.0 No\r\n"),
            (Kind::BadCredentials, None, "235 in\r\n235 in", "535 5.7.0 235 in??235 in\r\n"),
        ] {
            let mut refusal = Refusal::new(kind).with_text(text);
            refusal.code = code.map(str::to_owned);
            let line = line(&refusal, Wish::Login);
            assert!(line.starts_with(want), "{line:?}, not {want:?}");
            assert!(line.ends_with("\r\n") && line.matches('\n').count() == 1);
        }
    }

    #[test]
    fn a_greeting_says_when_nobody_is_let_in() {
        assert_eq!(greeting("Back at noon"), "421 4.3.2 Back at noon\r\n");
        let later = Refusal::new(Kind::Unavailable).with_text("Back at noon");
        let later = Refusal { code: Some("451 4.3.2".to_owned()), ..later };
        for wish in [Wish::Login, Wish::Relay] {
            assert_eq!(line(&later, wish), "451 4.3.2 Back at noon\r\n");
        }
    }
}
