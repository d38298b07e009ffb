//! Text with parts of the login in it: `$1`, `$name`, `${name}`. Pure.

use regex::bytes::{Captures, Regex};

/// The names that every template knows, beside those of its row's regex.
const OWN: [&str; 3] = ["login", "user", "domain"];

/// A text, cut at its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `$0` to `$9`: a group of the regex.
    Number(usize),
    /// A named group of the regex, or one of [`OWN`].
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("invalid variable name")]
    Form,
    #[error("unknown \"{0}\" variable")]
    Unknown(String),
}

/// What a template is filled from.
#[derive(Debug)]
pub struct Matched<'l> {
    pub login: &'l [u8],
    /// What a regex found in it, if it was one that matched.
    pub captures: Option<Captures<'l>>,
}

impl Template {
    /// Reads `text`; `regex` is the pattern of its row, if that is one.
    pub fn parse(text: &str, regex: Option<&Regex>) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        let mut pieces = text.split('$');
        let put = |parts: &mut Vec<Part>, text: &str| {
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
        };
        put(&mut parts, pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, rest) = match piece.strip_prefix('{') {
                Some(inside) => inside.split_once('}').ok_or(Fault::Form)?,
                None if piece.starts_with(|c: char| c.is_ascii_digit()) => piece.split_at(1),
                None => {
                    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                    piece.split_at(piece.find(is_other).unwrap_or(piece.len()))
                }
            };
            parts.push(variable(name, regex)?);
            put(&mut parts, rest);
        }
        Ok(Self(parts))
    }

    /// The text, if there is nothing to fill in.
    pub fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text it begins with, whatever is filled in behind it.
    pub fn start(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// The text for one login. A group that took no part in the match is empty.
    pub fn fill(&self, matched: &Matched<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.extend_from_slice(fixed.as_bytes()),
                Part::Number(number) => {
                    let found = matched.captures.as_ref().and_then(|found| found.get(*number));
                    text.extend_from_slice(found.map_or(b"", |group| group.as_bytes()));
                }
                Part::Name(name) => text.extend_from_slice(matched.named(name)),
            }
        }
        text
    }
}

fn variable(name: &str, regex: Option<&Regex>) -> Result<Part, Fault> {
    if name.is_empty() {
        return Err(Fault::Form);
    }
    let unknown = || Fault::Unknown(name.to_owned());
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: usize = name.parse().map_err(|_| unknown())?;
        let groups = regex.map_or(0, Regex::captures_len);
        return if number < groups { Ok(Part::Number(number)) } else { Err(unknown()) };
    }
    let is_group = regex.is_some_and(|regex| regex.capture_names().flatten().any(|n| n == name));
    if is_group || OWN.contains(&name) { Ok(Part::Name(name.to_owned())) } else { Err(unknown()) }
}

impl<'l> Matched<'l> {
    fn named(&self, name: &str) -> &'l [u8] {
        if let Some(group) = self.captures.as_ref().and_then(|found| found.name(name)) {
            return group.as_bytes();
        }
        let (user, domain) = parts(self.login);
        match name {
            "login" => self.login,
            "user" => user,
            "domain" => domain.unwrap_or_default(),
            _ => b"",
        }
    }
}

/// The local part of a login, and its domain: what stands behind the last `@`.
pub fn parts(login: &[u8]) -> (&[u8], Option<&[u8]>) {
    match login.iter().rposition(|byte| *byte == b'@') {
        Some(at) => (&login[..at], Some(&login[at + 1..])),
        None => (login, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_was_found() {
        let regex = Regex::new("^(?<first>.)([a-z]+)(-x)?@(.*)$").unwrap();
        let login = b"mrose@example.com";
        let matched = Matched { login, captures: regex.captures(login) };
        for (text, want) in [
            ("fixed", "fixed"),
            ("$1.$2", "m.rose"),
            ("${1}0$10", "m0m0"),
            ("[$3]", "[]"),
            ("$first-$user-$domain", "m-mrose-example.com"),
            ("${first}st $login", "mst mrose@example.com"),
            ("", ""),
        ] {
            let template = Template::parse(text, Some(&regex)).unwrap();
            assert_eq!(template.fill(&matched), want.as_bytes(), "{text}");
        }
    }

    #[test]
    fn knows_what_it_cannot_fill() {
        let regex = Regex::new("(?<a>.)").unwrap();
        for text in ["$", "a$", "$-", "${1", "${}"] {
            assert_eq!(Template::parse(text, Some(&regex)), Err(Fault::Form), "{text}");
        }
        for text in ["$2", "$b", "${99999999999999999999999}"] {
            let fault = Template::parse(text, Some(&regex)).unwrap_err();
            assert!(matches!(fault, Fault::Unknown(_)), "{text}");
        }
        assert!(Template::parse("$0", None).is_err());
        assert!(Template::parse("$user", None).is_ok());
    }

    #[test]
    fn the_domain_stands_behind_the_last_at() {
        for (login, user, domain) in [
            ("mrose", "mrose", None),
            ("a@b@c", "a@b", Some("c")),
            ("a@", "a", Some("")),
            ("@c", "", Some("c")),
        ] {
            let want = (user.as_bytes(), domain.map(str::as_bytes));
            assert_eq!(parts(login.as_bytes()), want, "{login}");
        }
    }
}
