//! `auth_http_header NAME VALUE`: a header for every question, with the session's variables in it.

use std::fmt;
use std::time::SystemTime;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::lookup::escape;
use crate::observe::access::Line;
use crate::observe::format::{self, Template};

/// One such header, checked.
pub struct Header {
    /// As it is spelled.
    pub name: String,
    known: HeaderName,
    value: Value,
}

enum Value {
    Fixed(HeaderValue),
    Filled(Template),
}

/// What is wrong with one. No value is shown: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("invalid header name \"{0}\"")]
    Name(String),
    /// It is part of how HTTP is carried.
    #[error("header \"{0}\" cannot be set")]
    Ours(String),
    #[error("invalid value of header \"{0}\"")]
    Value(String),
    #[error("unknown \"{variable}\" variable in header \"{name}\"{}", hint(near))]
    Unknown { name: String, variable: String, near: Option<&'static str> },
    #[error("a variable in header \"{0}\", which is the same for every session")]
    Varies(String),
    #[error("invalid variable name in header \"{0}\": a \"$\" by itself is \"${{dollar}}\"")]
    Variable(String),
}

fn hint(near: &Option<&str>) -> String {
    match near {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None => ": a \"$\" by itself is \"${dollar}\"".to_owned(),
    }
}

impl Header {
    pub fn read(name: &str, value: &str) -> Result<Self, Fault> {
        let own = || name.to_owned();
        let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(Fault::Name(own()));
        };
        if [CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE].contains(&known) {
            return Err(Fault::Ours(own()));
        }
        let Ok(mut fixed) = HeaderValue::from_bytes(value.as_bytes()) else {
            return Err(Fault::Value(own()));
        };
        fixed.set_sensitive(true);
        let template = Template::read(value).map_err(|error| match error {
            format::Error::Unknown { name: variable, near } => {
                Fault::Unknown { name: own(), variable, near }
            }
            _ => Fault::Variable(own()),
        })?;
        let value = if template.is_fixed() { Value::Fixed(fixed) } else { Value::Filled(template) };
        Ok(Self { name: own(), known, value })
    }

    /// Itself, unless it holds a variable.
    pub fn check_fixed(self) -> Result<Self, Fault> {
        match self.value {
            Value::Fixed(_) => Ok(self),
            Value::Filled(_) => Err(Fault::Varies(self.name)),
        }
    }

    /// The header, where it is the same for every session.
    pub fn fixed(&self) -> Option<(HeaderName, HeaderValue)> {
        match &self.value {
            Value::Fixed(value) => Some((self.known.clone(), value.clone())),
            Value::Filled(_) => None,
        }
    }

    /// The header for the session of `line` as it is at `now`. A variable without a value leaves
    /// nothing in its place.
    pub fn fill(&self, line: &Line, now: SystemTime) -> (HeaderName, HeaderValue) {
        let value = match &self.value {
            Value::Fixed(value) => value.clone(),
            Value::Filled(template) => {
                let mut text = Vec::new();
                template.fill(line, now, &mut text, |out, value| escape(value, out));
                let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
                    .expect("the text was checked, and values are escaped");
                value.set_sensitive(true);
                value
            }
        };
        (self.known.clone(), value)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn line() -> Line {
        let ip = |text: &str| text.parse::<SocketAddr>().unwrap().into();
        Line::new("imap", 9, ip("192.0.2.7:4711"), ip("192.0.2.1:143"))
    }

    fn filled(value: &str, line: &Line) -> String {
        let (_, value) = Header::read("X-Any", value).unwrap().fill(line, SystemTime::UNIX_EPOCH);
        assert!(value.is_sensitive());
        value.as_bytes().escape_ascii().to_string()
    }

    #[test]
    fn a_header_says_what_the_session_is() {
        let mut line = line();
        (line.login, line.agent) = (Some(b"a b%\r\n\0\x7f\xe9".as_slice().into()), Some("".into()));
        for (value, want) in [
            ("secret string", "secret string"),
            ("", ""),
            ("$remote_addr:$remote_port", "192.0.2.7:4711"),
            ("<${server_addr}>", "<192.0.2.1>"),
            ("$login", "a%20b%25%0D%0A%00%7F\\xe9"),
            ("$client_agent", ""),
            ("$ssl_protocol", ""),
            ("pa${dollar}word 100%", "pa$word 100%"),
        ] {
            assert_eq!(filled(value, &line), want, "{value:?}");
        }
    }

    #[test]
    fn a_fault_shows_no_value() {
        let by_itself = ": a \"$\" by itself is \"${dollar}\"";
        for (name, value, want) in [
            ("a b", "c", "invalid header name \"a b\"".to_owned()),
            ("", "c", "invalid header name \"\"".to_owned()),
            ("TE", "x", "header \"TE\" cannot be set".to_owned()),
            ("A", "x\ny", "invalid value of header \"A\"".to_owned()),
            ("A", "s$", format!("invalid variable name in header \"A\"{by_itself}")),
            ("A", "s$$x", format!("invalid variable name in header \"A\"{by_itself}")),
            ("A", "s${x", format!("invalid variable name in header \"A\"{by_itself}")),
            ("A", "s$qqqq", format!("unknown \"qqqq\" variable in header \"A\"{by_itself}")),
            (
                "A",
                "s$remote_adr",
                "unknown \"remote_adr\" variable in header \"A\", did you mean \"remote_addr\"?"
                    .to_owned(),
            ),
        ] {
            assert_eq!(Header::read(name, value).unwrap_err().to_string(), want, "{value:?}");
        }
        let header = Header::read("A", "tanstaaf $login").unwrap();
        assert_eq!(format!("{header:?}"), "Header(A)");
    }

    proptest! {
        #[test]
        fn nothing_a_client_says_ends_a_header(login: Vec<u8>, agent: String) {
            let mut line = line();
            (line.login, line.agent) = (Some(login.into()), Some(agent.into()));
            let header = Header::read("A", "$login $client_agent").unwrap();
            let (_, value) = header.fill(&line, SystemTime::UNIX_EPOCH);
            prop_assert!(!value.as_bytes().iter().any(u8::is_ascii_control));
        }
    }
}
