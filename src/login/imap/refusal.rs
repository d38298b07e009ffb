//! The one place where a [`Refusal`] becomes IMAP, and where an upstream's IMAP becomes a [`Kind`].
//!
//! Codes: RFC 5530 §3. Our own texts never say whether the account exists, nor which server was
//! asked.

use crate::login::{Kind, Mechanism, Refusal, passable};
use crate::wire::imap::reply;

/// The line that ends a refused `LOGIN` or `AUTHENTICATE`.
///
/// Somebody else's text replaces ours, but not our code, which clients act on; where that text
/// brings a code of its own, that one says more than ours.
pub fn line(tag: &str, refusal: &Refusal) -> String {
    let (code, ours) = words(refusal.kind);
    match refusal.text.as_deref() {
        None => format!("{tag} NO [{code}] {ours}\r\n"),
        Some(text) if refusal.bare => format!("{tag} NO {text}\r\n"),
        Some(text) if reply::code(text.as_bytes()).is_some() => format!("{tag} NO {text}\r\n"),
        Some(text) => format!("{tag} NO [{code}] {text}\r\n"),
    }
}

/// `* BYE text`, and then the tagged line, which names the command: Zimbra's way.
pub fn rejected(refusal: Refusal, mechanism: Mechanism, text: &str) -> Refusal {
    let command = if mechanism == Mechanism::Login { "LOGIN" } else { "AUTHENTICATE" };
    let untagged = format!("* BYE {}\r\n", passable(text.as_bytes())).into_bytes();
    Refusal { untagged, ..refusal.with_text(format!("{command} failed")) }
}

/// In place of a greeting: Zimbra's two lines.
pub fn turned_away(text: &str) -> String {
    format!("* BYE {text}\r\n* BYE IMAP server terminating connection\r\n")
}

/// What takes the place of the greeting where nobody is let in for now. `text` is ours.
pub fn greeting(text: &str) -> String {
    format!("* BYE [UNAVAILABLE] {text}\r\n")
}

/// The line for a mechanism, or a LOGIN command, that this host does not offer.
///
/// nginx calls it an invalid command; RFC 9051 §6.2.2 wants NO, so that clients try another.
pub fn unsupported(tag: &str) -> String {
    format!("{tag} NO [CANNOT] mechanism not supported\r\n")
}

fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::BadCredentials => ("AUTHENTICATIONFAILED", "invalid user or password"),
        Kind::Forbidden => ("AUTHORIZATIONFAILED", "login not allowed"),
        Kind::NeedsTls => ("PRIVACYREQUIRED", "use STARTTLS first"),
        Kind::Unavailable => ("UNAVAILABLE", "service unavailable, try again later"),
        Kind::Throttled => ("LIMIT", "too many logins, try again later"),
        Kind::Internal => ("SERVERBUG", "internal server error"),
    }
}

/// What an upstream's refusal means, by the code that its text begins with.
///
/// `otherwise`: where there is no code, or one that says nothing of this.
pub fn kind_of(text: &[u8], otherwise: Kind) -> Kind {
    let Some((name, _)) = reply::code(text) else { return otherwise };
    match name.to_ascii_uppercase().as_slice() {
        b"AUTHENTICATIONFAILED" => Kind::BadCredentials,
        b"AUTHORIZATIONFAILED" | b"EXPIRED" | b"CONTACTADMIN" | b"PRIVACYREQUIRED" | b"NOPERM" => {
            Kind::Forbidden
        }
        b"UNAVAILABLE" | b"INUSE" | b"SERVERBUG" | b"CORRUPTION" => Kind::Unavailable,
        b"LIMIT" => Kind::Throttled,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_code() {
        for (kind, code) in [
            (Kind::BadCredentials, "AUTHENTICATIONFAILED"),
            (Kind::Forbidden, "AUTHORIZATIONFAILED"),
            (Kind::NeedsTls, "PRIVACYREQUIRED"),
            (Kind::Unavailable, "UNAVAILABLE"),
            (Kind::Throttled, "LIMIT"),
            (Kind::Internal, "SERVERBUG"),
        ] {
            let line = line("a", &Refusal::new(kind));
            assert!(line.starts_with(&format!("a NO [{code}] ")) && line.ends_with("\r\n"));
        }
    }

    #[test]
    fn borrowed_words_keep_their_code_or_get_ours() {
        for (text, want) in [
            ("Invalid login", "a NO [AUTHENTICATIONFAILED] Invalid login\r\n"),
            ("[EXPIRED] change it", "a NO [EXPIRED] change it\r\n"),
            ("[REFERRAL imap://x@h/] try h", "a NO [REFERRAL imap://x@h/] try h\r\n"),
            ("[no code", "a NO [AUTHENTICATIONFAILED] [no code\r\n"),
            ("[] none", "a NO [AUTHENTICATIONFAILED] [] none\r\n"),
            ("x\r\na OK in", "a NO [AUTHENTICATIONFAILED] x??a OK in\r\n"),
        ] {
            let refusal = Refusal::new(Kind::BadCredentials).with_text(text);
            assert_eq!(line("a", &refusal), want);
        }
    }

    #[test]
    fn an_upstreams_code_says_what_it_means() {
        for (text, want) in [
            ("Login failed", Kind::BadCredentials),
            ("[AUTHENTICATIONFAILED] x", Kind::BadCredentials),
            ("[unavailable] x", Kind::Unavailable),
            ("[INUSE]", Kind::Unavailable),
            ("[LIMIT] too many", Kind::Throttled),
            ("[CONTACTADMIN] x", Kind::Forbidden),
            ("[EXPIRED] x", Kind::Forbidden),
            ("[ALERT] x", Kind::BadCredentials),
        ] {
            assert_eq!(kind_of(text.as_bytes(), Kind::BadCredentials), want, "{text}");
        }
    }

    #[test]
    fn a_greeting_says_when_nobody_is_let_in() {
        assert_eq!(greeting("Back at noon"), "* BYE [UNAVAILABLE] Back at noon\r\n");
        let later = Refusal::new(Kind::Unavailable).with_text("Back at noon");
        assert_eq!(line("a", &later), "a NO [UNAVAILABLE] Back at noon\r\n");
    }
}
