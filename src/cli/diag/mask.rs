//! What a report for others must not show: secrets anywhere, users, and clients' addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::config::effective;

/// What stands where something stood.
const MASK: &str = effective::MASK;

/// What is shorter may be a part of any word.
const SHORTEST: usize = 6;

static MAILBOX: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"[^\s"'<>,;:=(){}\[\]@/\\]+@([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)"#));
static LOGIN: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"\b((?:login|user|mailbox|account):? ")(?:[^"\\]|\\.)*""#));
/// The same within a string of JSON.
static LOGIN_IN_JSON: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"\b((?:login|user|mailbox|account):? \\")[^"\\]*\\""#));
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| regex(r"[0-9A-Fa-f:.]{3,}"));

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are tested")
}

/// Takes every one of `secrets` out of `text`, whatever it stands in.
pub fn without_secrets(text: &str, secrets: &[String]) -> String {
    let mut secrets: Vec<_> = secrets.iter().filter(|secret| secret.len() >= SHORTEST).collect();
    // A secret may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    let mut text = text.to_owned();
    for secret in secrets {
        let as_json = serde_json::to_string(secret).expect("a text is JSON");
        for form in [secret, as_json.trim_matches('"'), &secret.escape_debug().to_string()] {
            if text.contains(form) {
                text = text.replace(form, MASK);
            }
        }
    }
    text
}

/// Takes users out: what stands before an `@`, and what is called a login.
pub fn without_users(text: &str) -> String {
    let text = MAILBOX.replace_all(text, |found: &Captures<'_>| format!("{MASK}@{}", &found[1]));
    let text = LOGIN.replace_all(&text, |found: &Captures<'_>| format!("{}{MASK}\"", &found[1]));
    let mask = |found: &Captures<'_>| format!("{}{MASK}\\\"", &found[1]);
    LOGIN_IN_JSON.replace_all(&text, mask).into()
}

/// Every address in `text`.
pub fn addresses(text: &str) -> BTreeSet<IpAddr> {
    ADDRESS.find_iter(text).filter_map(|found| address(found.as_str()).map(|(ip, _)| ip)).collect()
}

/// Takes every address out but those that are `known`, loopback and the unspecified one: what is left
/// are clients.
pub fn without_clients(text: &str, known: &BTreeSet<IpAddr>) -> String {
    let masked = ADDRESS.replace_all(text, |found: &Captures<'_>| {
        let word = &found[0];
        match address(word) {
            Some((ip, rest))
                if !known.contains(&ip) && !ip.is_loopback() && !ip.is_unspecified() =>
            {
                format!("{MASK}{rest}")
            }
            _ => word.to_owned(),
        }
    });
    masked.into()
}

/// The address at the front of a word, and what follows it.
fn address(word: &str) -> Option<(IpAddr, &str)> {
    let bare = word.trim_end_matches(['.', ':']);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some((ip, &word[bare.len()..]));
    }
    if let Ok(address) = bare.parse::<SocketAddr>() {
        let host = bare.rfind(':').unwrap_or(bare.len());
        return Some((address.ip(), &word[host..]));
    }
    None
}

/// Takes users out of an answer of the API, by the names of its fields.
pub fn without_users_in(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_user = fields.get("kind").is_some_and(|kind| kind == "user");
            for (name, field) in fields.iter_mut() {
                let is_one = matches!(&**name, "user" | "login" | "mailbox")
                    || (is_user && matches!(&**name, "key" | "name"));
                match field {
                    Value::String(text) if is_one => MASK.clone_into(text),
                    Value::String(text) if name == "subject" && text.starts_with("user:") => {
                        *text = format!("user:{MASK}");
                    }
                    other => without_users_in(other),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(without_users_in),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_taken_out_and_domains_stay() {
        for (text, want) in [
            ("to bob.smith+x@a.example:", "to ***@a.example:"),
            (r#", login: "mrose", upstream: x"#, r#", login: "***", upstream: x"#),
            (r#"user "m\"r" at 10.0.0.1"#, r#"user "***" at 10.0.0.1"#),
            (r#""why": "user \"mrose\" is""#, r#""why": "user \"***\" is""#),
            ("@a.example 10.0.0.1;", "@a.example 10.0.0.1;"),
            ("\"conf/a.pem\" has changed", "\"conf/a.pem\" has changed"),
        ] {
            assert_eq!(without_users(text), want);
        }
        let mut value = serde_json::json!({
            "offenders": [{"kind": "user", "key": "mrose"}, {"kind": "address", "key": "192.0.2.1"}],
            "levels": [{"subject": "user:mrose"}],
        });
        without_users_in(&mut value);
        let text = value.to_string();
        assert!(!text.contains("mrose") && text.contains("192.0.2.1"), "{text}");
    }

    #[test]
    fn clients_are_taken_out_and_servers_stay() {
        let known = addresses("server 10.0.0.1:143; listen [2001:db8::1]:993;");
        assert_eq!(known.len(), 2, "{known:?}");
        for (text, want) in [
            (
                "18:22:18 client: 192.0.2.7, upstream: 10.0.0.1:143",
                "18:22:18 client: ***, upstream: 10.0.0.1:143",
            ),
            ("192.0.2.7:4711.", "***:4711."),
            ("[2001:db8::7]:1 [2001:db8::1]:1", "[***]:1 [2001:db8::1]:1"),
            ("127.0.0.1 ::1 0.0.0.0 0.1.0", "127.0.0.1 ::1 0.0.0.0 0.1.0"),
            ("2026/11/21 04:41:07", "2026/11/21 04:41:07"),
        ] {
            assert_eq!(without_clients(text, &known), want);
        }
    }

    #[test]
    fn a_secret_is_taken_out_in_whatever_form_it_stands() {
        let secrets = ["with \"quotes\"".to_owned(), "plain-one".to_owned(), "a".to_owned()];
        let text = r#"a plain-one, "with \"quotes\"" and with "quotes""#;
        let masked = without_secrets(text, &secrets);
        assert!(!masked.contains("plain-one") && !masked.contains("quotes"), "{masked}");
        assert!(masked.starts_with("a ***"));
    }
}
