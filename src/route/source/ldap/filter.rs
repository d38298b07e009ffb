//! The filter that a login is looked for by, with the login in it. Pure.
//!
//! `${USER}` and `%u` are the login as a whole, `%n` what stands before its last `@`, `%d` its
//! domain. What is filled in is escaped (RFC 4515 §3), so that no login can be a filter.

use super::super::question::Question;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    User,
    Local,
    Domain,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(
        "unknown \"{0}\" in the filter: there are ${{USER}}, %u, %n, %d, and %% for a percent sign"
    )]
    Unknown(String),
    #[error("the filter is none: see RFC 4515, and mind its brackets")]
    Form,
    #[error("the login stands in the filter where there is no room for a value")]
    Place,
    #[error("the filter is none where %n or %d is empty: have no \"*\" on both of its sides")]
    Empty,
    #[error("the filter does not hang on the login: put ${{USER}} in it, or %u, %n or %d")]
    Fixed,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (part, used) = match c {
                '$' if rest.starts_with("${") => {
                    let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                    match &rest[..end] {
                        "${USER}" => (Part::User, end),
                        other => return Err(Fault::Unknown(other.to_owned())),
                    }
                }
                '%' => match rest[1..].chars().next() {
                    Some('u') => (Part::User, 2),
                    Some('n') => (Part::Local, 2),
                    Some('d') => (Part::Domain, 2),
                    Some('%') => {
                        plain.push('%');
                        rest = &rest[2..];
                        continue;
                    }
                    other => {
                        return Err(Fault::Unknown(std::iter::once('%').chain(other).collect()));
                    }
                },
                c => {
                    plain.push(c);
                    rest = &rest[c.len_utf8()..];
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = &rest[used..];
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let filter = Self(parts);
        let is_filter = |sample: &str| {
            // Without its brackets it is one as well, for the library; not for the RFC.
            sample.starts_with('(') && ldap3::parse_filter(sample).is_ok()
        };
        if !is_filter(&filter.fill_with(b"a", b"a", b"a")) {
            return Err(Fault::Form);
        }
        // No client may say which attribute counts.
        if !is_filter(&filter.fill_with(b"*", b"*", b"*")) {
            return Err(Fault::Place);
        }
        if !is_filter(&filter.fill_with(b"a", b"", b"")) {
            return Err(Fault::Empty);
        }
        match filter.0.iter().all(|part| matches!(part, Part::Text(_))) {
            true => Err(Fault::Fixed),
            false => Ok(filter),
        }
    }

    pub fn fill(&self, question: &Question) -> String {
        let domain = question.domain().unwrap_or_default();
        self.fill_with(&question.login, question.local(), domain)
    }

    fn fill_with(&self, login: &[u8], local: &[u8], domain: &[u8]) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::User => escape(login, &mut text),
                Part::Local => escape(local, &mut text),
                Part::Domain => escape(domain, &mut text),
            }
        }
        text
    }
}

/// RFC 4515 §3: `valueencoding`. More is escaped than must be: all but letters, digits and a few
/// signs that mail addresses have.
fn escape(value: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"@.-_+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('\\');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// What must hold for any bytes at all: a login, in a filter of ours; and a filter.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let mut escaped = String::new();
    escape(input, &mut escaped);
    assert!(!escaped.contains(['(', ')', '*', '\0', '&', '|', '!', '=']), "{escaped}");
    // The library reads back one assertion with this very value, and nothing beside it.
    let read = ldap3::parse_filter(format!("(a={escaped})")).expect("a value is a value");
    let plain = ldap3::parse_filter("(a=b)").expect("a filter");
    let encoded = |tag: ldap3::asn1::Tag| {
        use ldap3::asn1::{ASNTag, PL};
        match tag.into_structure().payload {
            PL::C(parts) => parts.into_iter().map(|part| part.payload).collect::<Vec<_>>(),
            PL::P(_) => Vec::new(),
        }
    };
    let (read, plain) = (encoded(read), encoded(plain));
    assert_eq!((read.len(), &read[0]), (2, &plain[0]));
    assert_eq!(read[1], ldap3::asn1::PL::P(input.to_vec()));
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(filter) = Filter::parse(text)
    {
        for filled in
            [filter.fill_with(b"*)(uid=*\\\0", b"(", b")"), filter.fill_with(b"\xff", b"", b"\n")]
        {
            assert!(ldap3::parse_filter(filled).is_ok(), "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(filter: &str, login: &[u8]) -> String {
        match Filter::parse(filter) {
            Err(fault) => fault.to_string(),
            Ok(filter) => {
                filter.fill(&Question { login: login.into(), protocol: "imap", client_ip: None })
            }
        }
    }

    #[test]
    fn a_login_is_filled_in_and_never_a_filter() {
        for (filter, login, want) in [
            ("(|(mail=${USER})(zimbraId=${USER}))", &b"m@a"[..], "(|(mail=m@a)(zimbraId=m@a))"),
            ("(&(uid=%n)(dc=%d)(x=100%%)(y=%u))", b"m@a", "(&(uid=m)(dc=a)(x=100%)(y=m@a))"),
            ("(uid=%n)", b"*)(uid=*", "(uid=\\2a\\29\\28uid\\3d\\2a)"),
            ("(uid=%n)", b"a\\b\0c'\"d", "(uid=a\\5cb\\00c\\27\\22d)"),
            ("(uid=*%u*)", "\u{e9}".as_bytes(), "(uid=*\\c3\\a9*)"),
            ("(mail=%d)", b"m", "(mail=)"),
        ] {
            assert_eq!(fill(filter, login), want);
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        let unknown = "in the filter: there are ${USER}, %u, %n, %d, and %% for a percent sign";
        let form = "the filter is none: see RFC 4515, and mind its brackets";
        for (filter, want) in [
            ("(a=${user})", format!("unknown \"${{user}}\" {unknown}")),
            ("(a=%s)", format!("unknown \"%s\" {unknown}")),
            ("(a=%u)%", format!("unknown \"%\" {unknown}")),
            ("(a=%u", form.to_owned()),
            ("a=%u", form.to_owned()),
            ("", form.to_owned()),
            (
                "(%u=a)",
                "the login stands in the filter where there is no room for a value".to_owned(),
            ),
            (
                "(a=*%d*)",
                "the filter is none where %n or %d is empty: have no \"*\" on both of its sides"
                    .to_owned(),
            ),
            (
                "(a=b)",
                "the filter does not hang on the login: put ${USER} in it, or %u, %n or %d"
                    .to_owned(),
            ),
        ] {
            assert_eq!(fill(filter, b"a"), want);
        }
    }

    proptest! {
        #[test]
        fn any_login_stays_a_value(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            hold_for_any(&bytes);
        }

        #[test]
        fn any_filter_is_filled_or_refused(text in "\\(?[&|!(a-c=*%$und{}USER)]{0,20}\\)?") {
            hold_for_any(text.as_bytes());
        }
    }
}
