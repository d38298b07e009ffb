//! Configuration texts: `@name@` stands for what is known only when the test runs.

use super::{IMAP, IMAPS, LMTP, POP3, POP3S, SIEVE, SMTP, SMTPS, SUBMISSION, Site};

/// The lines that every configuration of a test begins with.
fn main_block() -> String {
    // Dropping privileges has a test of its own; elsewhere files stay readable on reload.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; {user}\n\
         pid run/gatepost.pid;\n\
         error_log logs/error.log debug;\n\
         worker_processes 2;\n\
         events {{ worker_connections 4096; }}\n"
    )
}

/// What most tests are not about: guesses are borne, and answered at once. One that is about them
/// says so itself.
const UNTHROTTLED: [(&str, &str); 2] = [("login_throttle", "off"), ("login_failure_delay", "0")];

/// [`main_block`] and a `mail` block with `inside`.
pub fn mail(inside: &str) -> String {
    let is_open = |(name, _): &&(&str, &str)| !inside.contains(*name);
    let rest = UNTHROTTLED.iter().filter(is_open);
    let rest: String = rest.map(|(name, value)| format!("{name} {value};\n")).collect();
    format!("{}mail {{\nserver_name mail.test;\n{rest}{inside}\n}}\n", main_block())
}

/// Puts values in the place of `@ip@`, `@dir@`, the ports (`@imap@` …), and the `others`.
#[track_caller]
pub fn fill(site: &Site, text: &str, others: &[(&str, &dyn ToString)]) -> String {
    let dir = site.dir().display().to_string();
    let known: [(&str, &dyn ToString); 11] = [
        ("ip", &site.ip),
        ("dir", &dir),
        ("imap", &IMAP),
        ("imaps", &IMAPS),
        ("pop3", &POP3),
        ("pop3s", &POP3S),
        ("smtp", &SMTP),
        ("submission", &SUBMISSION),
        ("smtps", &SMTPS),
        ("lmtp", &LMTP),
        ("sieve", &SIEVE),
    ];
    let mut text = text.to_owned();
    for (name, value) in known.iter().chain(others) {
        text = text.replace(&format!("@{name}@"), &value.to_string());
    }
    let left = regex::Regex::new("@[a-z0-9_]+@").unwrap();
    assert!(!left.is_match(&text), "a value is missing:\n{text}");
    text
}
