//! The one place where a [`Refusal`] becomes ManageSieve, and where an upstream's ManageSieve
//! becomes a [`Kind`].
//!
//! Codes: RFC 5804 §1.3. Our own texts never say whether the account exists, nor which server was
//! asked.

use crate::login::{Kind, Refusal};
use crate::wire::sieve::args::{Args, Code, Text};
use crate::wire::sieve::quote;

/// The line that ends a refused AUTHENTICATE, CRLF included.
///
/// Somebody else's words replace ours, but not our code, which clients act on; where those words
/// bring a code of their own, that one says more than ours.
pub fn line(refusal: &Refusal) -> String {
    // RFC 5804 §1.2: BYE is for a server that closes the connection.
    let verb = if closes(refusal) { "BYE" } else { "NO" };
    let (mark, ours) = words(refusal.kind);
    let mark = if refusal.bare { "" } else { mark };
    match refusal.text.as_deref().map(parts) {
        None => format!("{verb} {mark}{}\r\n", quote::quoted(ours)),
        Some((None, theirs)) => format!("{verb} {mark}{}\r\n", quote::quoted(&theirs)),
        Some((Some(code), theirs)) => format!("{verb} ({code}) {}\r\n", quote::quoted(&theirs)),
    }
}

/// What takes the place of the greeting where nobody is let in for now. `text` is ours.
pub fn greeting(text: &str) -> String {
    format!("BYE (TRYLATER) {}\r\n", quote::quoted(text))
}

/// Whether the session ends with it. RFC 5804 §1.3: a referral comes with BYE.
pub fn closes(refusal: &Refusal) -> bool {
    let text = refusal.text.as_deref().unwrap_or_default();
    let code = Args::new(text.as_bytes()).code();
    refusal.close || code.is_ok_and(|code| code.is("REFERRAL"))
}

fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        // No code says that a password is wrong.
        Kind::BadCredentials => ("", "invalid user or password"),
        // No code: AUTH-TOO-WEAK would send the client to try another mechanism (RFC 5804 §1.3).
        Kind::Forbidden => ("", "login not allowed"),
        Kind::NeedsTls => ("(ENCRYPT-NEEDED) ", "use STARTTLS first"),
        Kind::Unavailable => ("(TRYLATER) ", "service unavailable, try again later"),
        Kind::Throttled => ("(TRYLATER) ", "too many logins, try again later"),
        Kind::Internal => ("(TRYLATER) ", "internal server error"),
    }
}

/// What an upstream's refusal means, by its code; `otherwise` where there is none, or one that says
/// nothing of this.
pub fn kind_of(code: Option<Code<'_>>, otherwise: Kind) -> Kind {
    const KINDS: [(&str, Kind); 6] = [
        ("TRYLATER", Kind::Unavailable),
        ("QUOTA", Kind::Unavailable),
        ("AUTH-TOO-WEAK", Kind::Forbidden),
        ("ENCRYPT-NEEDED", Kind::Forbidden),
        ("TRANSITION-NEEDED", Kind::Forbidden),
        ("REFERRAL", Kind::Forbidden),
    ];
    let is_it = |name: &str| code.is_some_and(|code| code.is(name));
    KINDS.iter().find(|(name, _)| is_it(name)).map_or(otherwise, |(_, kind)| *kind)
}

/// The words of an upstream's refusal: its code in parentheses, and its text without the quotes,
/// which [`line`] puts back, so that a log line can be read.
pub fn heard(code: Option<Code<'_>>, text: Option<Text<'_>>) -> String {
    let text = quote::words(&text.map(Text::to_vec).unwrap_or_default());
    match code.and_then(inside) {
        Some(code) => format!("({code}) {text}").trim_end().to_owned(),
        None => text,
    }
}

/// What follows `OK ` where an upstream lets somebody in, fit for one reply of ours; none: nothing.
pub fn welcome(code: Option<Code<'_>>, text: Option<Text<'_>>) -> Option<Vec<u8>> {
    // What the upstream proves of itself, or of our own tags, is for us.
    let is_for_us = |code: &Code<'_>| code.is("SASL") || code.is("TAG");
    let code = code.filter(|code| !is_for_us(code)).and_then(inside);
    let code = code.map(|code| format!("({code})"));
    let text = text.map(|text| quote::quoted(&quote::words(&text.to_vec())));
    let parts: Vec<_> = [code, text].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" ").into_bytes())
}

/// The inside of a code that may stand in a line of ours: one line, and not too long.
fn inside(code: Code<'_>) -> Option<&str> {
    let text = str::from_utf8(code.inside).ok()?;
    (text.len() <= quote::WORDS_MAX && !text.chars().any(char::is_control)).then_some(text)
}

/// Takes somebody's words apart: the code that they begin with, and what they say, unquoted.
fn parts(text: &str) -> (Option<&str>, String) {
    let mut args = Args::new(text.as_bytes());
    let code = args.code().ok().and_then(inside);
    let rest = if code.is_some() { args.rest() } else { text.as_bytes() }.trim_ascii();
    let mut args = Args::new(rest);
    match args.string() {
        Ok(string) if args.end().is_ok() => (code, quote::words(&string.to_vec())),
        _ => (code, quote::words(rest)),
    }
}

/// In place of a greeting.
pub fn turned_away(text: &str) -> String {
    format!("BYE {}\r\n", quote::quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_words() {
        for (kind, want) in [
            (Kind::BadCredentials, "NO \"invalid user or password\"\r\n"),
            (Kind::Forbidden, "NO \"login not allowed\"\r\n"),
            (Kind::NeedsTls, "NO (ENCRYPT-NEEDED) \"use STARTTLS first\"\r\n"),
            (Kind::Unavailable, "NO (TRYLATER) \"service unavailable, try again later\"\r\n"),
            (Kind::Throttled, "NO (TRYLATER) \"too many logins, try again later\"\r\n"),
            (Kind::Internal, "NO (TRYLATER) \"internal server error\"\r\n"),
        ] {
            assert_eq!(line(&Refusal::new(kind)), want);
        }
    }

    #[test]
    fn a_refusal_that_closes_says_bye() {
        let close = Refusal { close: true, ..Refusal::new(Kind::Throttled) };
        assert_eq!(line(&close), "BYE (TRYLATER) \"too many logins, try again later\"\r\n");
        let referral =
            Refusal::new(Kind::Forbidden).with_text("(REFERRAL \"sieve://h.example\") try h");
        assert_eq!(line(&referral), "BYE (REFERRAL \"sieve://h.example\") \"try h\"\r\n");
        assert!(closes(&referral) && !closes(&Refusal::new(Kind::Forbidden)));
    }

    #[test]
    fn borrowed_words_keep_their_code_or_get_ours() {
        let long = "x".repeat(500);
        for (text, want) in [
            ("Invalid login", "NO (TRYLATER) \"Invalid login\"\r\n"),
            ("\"Invalid \\\"login\\\"\"", "NO (TRYLATER) \"Invalid \\\"login\\\"\"\r\n"),
            ("(QUOTA) full", "NO (QUOTA) \"full\"\r\n"),
            ("(X/Y \"(\" 1) \"full\"", "NO (X/Y \"(\" 1) \"full\"\r\n"),
            ("(TRYLATER)", "NO (TRYLATER) \"\"\r\n"),
            ("(no code", "NO (TRYLATER) \"(no code\"\r\n"),
            ("x\r\nOK \"in\"", "NO (TRYLATER) \"x??OK \\\"in\\\"\"\r\n"),
            ("x\" \"y", "NO (TRYLATER) \"x\\\" \\\"y\"\r\n"),
            ("\"x\" \"y\"", "NO (TRYLATER) \"\\\"x\\\" \\\"y\\\"\"\r\n"),
            ("{1}", "NO (TRYLATER) \"{1}\"\r\n"),
            (&long, &format!("NO (TRYLATER) \"{}\"\r\n", "x".repeat(400))),
            (
                &format!("(X \"{long}\") y"),
                &format!("NO (TRYLATER) \"(X \\\"{}\"\r\n", "x".repeat(396)),
            ),
        ] {
            assert_eq!(line(&Refusal::new(Kind::Unavailable).with_text(text)), want, "{text}");
        }
        // Whatever made it, it cannot break out.
        let text = Some("x\r\nOK\r\n(".to_owned());
        let raw = Refusal { text, ..Refusal::new(Kind::Unavailable) };
        assert_eq!(line(&raw), "NO (TRYLATER) \"x  OK  (\"\r\n");
        let text = Some("(X {4}\r\nOK\r\n) y".to_owned());
        let raw = Refusal { text, ..Refusal::new(Kind::Unavailable) };
        assert_eq!(line(&raw), "NO (TRYLATER) \"(X {4}  OK  ) y\"\r\n");
    }

    /// The code and the string of what follows `NO ` or `OK `.
    fn read(rest: &str) -> (Option<Code<'_>>, Option<Text<'_>>) {
        let mut args = Args::new(rest.as_bytes());
        let code = args.code().ok();
        if code.is_some() {
            args.blank().unwrap();
        }
        (code, args.string().ok())
    }

    #[test]
    fn an_upstreams_code_says_what_it_means() {
        for (rest, want) in [
            ("\"Authentication failed.\"", Kind::BadCredentials),
            ("(trylater) \"x\"", Kind::Unavailable),
            ("(TRYLATER/SOON)", Kind::Unavailable),
            ("(AUTH-TOO-WEAK)", Kind::Forbidden),
            ("(ENCRYPT-NEEDED)", Kind::Forbidden),
            ("(TRANSITION-NEEDED)", Kind::Forbidden),
            ("(REFERRAL \"sieve://h\")", Kind::Forbidden),
            ("(WARNINGS)", Kind::BadCredentials),
        ] {
            assert_eq!(kind_of(read(rest).0, Kind::BadCredentials), want, "{rest}");
        }
    }

    #[test]
    fn what_an_upstream_says_becomes_one_line() {
        for (rest, words, text) in [
            ("", "", None),
            ("\"Logged in.\"", "Logged in.", Some("\"Logged in.\"")),
            ("(WARNINGS) \"a\"", "(WARNINGS) a", Some("(WARNINGS) \"a\"")),
            ("(WARNINGS)", "(WARNINGS)", Some("(WARNINGS)")),
            ("(SASL \"dj0=\")", "(SASL \"dj0=\")", None),
            ("(SASL \"dj0=\") \"a\"", "(SASL \"dj0=\") a", Some("\"a\"")),
            ("{7}\r\na\r\nOK\r\n", "a  OK", Some("\"a  OK\"")),
            ("(X {4}\r\nOK\r\n) \"a\"", "a", Some("\"a\"")),
            ("\"a\\\"b\"", "a\"b", Some("\"a\\\"b\"")),
        ] {
            let (code, string) = read(rest);
            assert_eq!(heard(code, string), words, "{rest:?}");
            let welcome = welcome(code, string).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(welcome.as_deref(), text, "{rest:?}");
        }
    }

    #[test]
    fn words_go_through_two_proxies_unchanged() {
        let (code, text) = read("(REFERRAL \"sieve://h\") \"try \\\"h\\\"\"");
        let refusal = Refusal::new(Kind::Forbidden).with_text(heard(code, text));
        assert_eq!(line(&refusal), "BYE (REFERRAL \"sieve://h\") \"try \\\"h\\\"\"\r\n");
    }

    #[test]
    fn a_greeting_says_when_nobody_is_let_in() {
        assert_eq!(greeting("Back at \"noon\""), "BYE (TRYLATER) \"Back at \\\"noon\\\"\"\r\n");
    }
}
