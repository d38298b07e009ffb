//! What clients are told while a maintenance is on. Pure.

use serde::{Deserialize, Serialize};

use crate::login::{Kind, Refusal};
use crate::route::state::clock::Seconds;

/// Longer would not fit one line of every protocol.
const LONGEST: usize = 400;
/// What a browser is told to wait where nobody knows how long it takes.
#[allow(dead_code, reason = "for the web front, which is to come")]
const RETRY: Seconds = 300;

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

/// A page, for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "for the web front, which is to come")]
pub struct Page {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Notice {
    /// IMAP `NO [UNAVAILABLE] text`, POP3 `-ERR [SYS/TEMP] text`, SMTP `451 4.3.2 text`.
    pub fn refusal(&self) -> Refusal {
        let refusal = Refusal::new(Kind::Unavailable).with_text(&self.text);
        Refusal { code: Some("451 4.3.2".to_owned()), ..refusal }
    }

    /// 503 with `Retry-After` (RFC 9110 §10.2.3). Nobody serves it yet: the web front will.
    #[allow(dead_code, reason = "for the web front, which is to come")]
    pub fn page(&self) -> Page {
        let mut text = String::new();
        for letter in self.text.chars() {
            match letter {
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                '&' => text.push_str("&amp;"),
                '"' => text.push_str("&quot;"),
                other => text.push(other),
            }
        }
        let body = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
             <title>Maintenance</title></head>\n<body><h1>Maintenance</h1><p>{text}</p></body>\n\
             </html>\n"
        );
        let headers = vec![
            ("Retry-After", self.retry_after.unwrap_or(RETRY).to_string()),
            ("Content-Type", "text/html; charset=utf-8".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
        ];
        Page { status: 503, headers, body }
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

    #[test]
    fn a_browser_gets_a_page_that_says_when_to_come_back() {
        let page = notice("Back <soon> & \"safe\"").page();
        assert_eq!(page.status, 503);
        assert!(page.headers.contains(&("Retry-After", "60".to_owned())));
        assert!(page.body.contains("<p>Back &lt;soon&gt; &amp; &quot;safe&quot;</p>"));
        let open = Notice { retry_after: None, ..notice("x") }.page();
        assert!(open.headers.contains(&("Retry-After", "300".to_owned())));
    }
}
