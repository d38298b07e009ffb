//! What clients are told while a maintenance is on. Pure.

use serde::{Deserialize, Serialize};

use crate::login::{Kind, Refusal};
use crate::route::state::clock::Seconds;

/// Longer would not fit one line of every protocol.
const LONGEST: usize = 400;

/// What somebody ordered for one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// None: the text of the configuration.
    pub text: Option<String>,
    pub since: Seconds,
    pub until: Option<Seconds>,
    /// Who ordered it, for the log.
    pub by: String,
}

impl Order {
    pub fn notice(&self, usual: &str, now: Seconds) -> Notice {
        Notice {
            text: self.text.clone().unwrap_or_else(|| usual.to_owned()),
            until: self.until,
            retry_after: self.until.map(|until| until.saturating_sub(now).max(1)),
            is_manual: true,
        }
    }
}

/// A maintenance as clients hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// Seconds since 1970, where an end is known.
    pub until: Option<Seconds>,
    /// Seconds from now.
    pub retry_after: Option<Seconds>,
    pub is_manual: bool,
}

impl Notice {
    /// IMAP `NO [UNAVAILABLE] text`, POP3 `-ERR [SYS/TEMP] text`, SMTP `451 4.3.2 text`.
    pub fn refusal(&self) -> Refusal {
        let refusal = Refusal::new(Kind::Unavailable).with_text(&self.text);
        Refusal { code: Some("451 4.3.2".to_owned()), ..refusal }
    }
}

/// Whether a text may be shown to clients of every protocol.
///
/// It begins with a letter, for what begins with a bracket or digits is read as a code.
pub fn check_text(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("the text must have {LONGEST} bytes at the most"));
    }
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err("the text must be one line of printable ASCII".to_owned());
    }
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err("the text must begin with a letter".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::{imap, pop3, sieve, smtp};

    fn notice(text: &str) -> Notice {
        Notice { text: text.to_owned(), until: Some(1000), retry_after: Some(60), is_manual: true }
    }

    #[test]
    fn each_protocol_says_that_it_is_for_later() {
        let refusal = notice("Back at noon").refusal();
        assert_eq!(imap::refusal::line("a", &refusal), "a NO [UNAVAILABLE] Back at noon\r\n");
        assert_eq!(pop3::refusal::line(&refusal), "-ERR [SYS/TEMP] Back at noon\r\n");
        assert_eq!(sieve::refusal::line(&refusal), "NO (TRYLATER) \"Back at noon\"\r\n");
        for wish in [smtp::refusal::Wish::Login, smtp::refusal::Wish::Relay] {
            assert_eq!(smtp::refusal::line(&refusal, wish), "451 4.3.2 Back at noon\r\n");
        }
    }

    #[test]
    fn a_text_can_bring_no_code_and_no_line_of_its_own() {
        for text in ["Back at noon.", "x", &"x".repeat(400)] {
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
        for text in
            ["", "[ALERT] x", "(QUOTA) x", "250 ok", " x", "a\r\nb", "a\0", "Wartung fürs Netz"]
        {
            assert!(check_text(text).is_err(), "{text}");
        }
        assert!(check_text(&"x".repeat(401)).is_err());
    }
}
