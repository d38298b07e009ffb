//! The types of settings, with their ranges: what is right, and what is said of what is wrong.

use std::net::IpAddr;

use super::data::Data;
use super::units;

/// The type of a setting, with unit and range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Flag,
    Integer {
        least: i64,
        most: i64,
    },
    Port,
    /// The bounds are in `unit`, as is a number without a unit of its own.
    Time {
        unit: Unit,
        least: u64,
        most: u64,
    },
    Bytes {
        least: u64,
        most: u64,
    },
    /// One line.
    Text,
    Choice(&'static [&'static str]),
    List(&'static Self),
    /// A name or an address.
    Host,
    Address,
    /// An address, or one with a prefix length.
    Network,
    /// `host[:port]`, `[v6][:port]` or `unix:/path`.
    HostPort,
    /// `http://` or `https://`.
    Url,
    Path,
    /// A path or `env:NAME`; the secret itself is never in the file.
    SecretFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Seconds,
}

impl Unit {
    fn milliseconds(self) -> u64 {
        match self {
            Self::Milliseconds => 1,
            Self::Seconds => 1000,
        }
    }
}

/// What is wrong with a value, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    pub hint: Option<String>,
}

/// No value is longer.
const LONGEST: usize = 16 << 10;

/// What a secret's place looks like.
const SECRET: &str = "a path that begins with \"/\", \"./\" or \"../\", or env:NAME";

impl Kind {
    /// What it takes, in words.
    pub fn range(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Integer { least, most } => format!("a number from {least} to {most}"),
            Self::Port => "a port, from 1 to 65535".to_owned(),
            Self::Time { unit, least, most } => {
                let text = |count: &u64| units::time_text(self.span(*unit, *count));
                format!("a time from {} to {}", text(least), text(most))
            }
            Self::Bytes { least, most } => {
                format!("a size from {} to {}", units::bytes_text(*least), units::bytes_text(*most))
            }
            Self::Text => "one line of text".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List(kind) => format!("a list, each {}", kind.range()),
            Self::Host => "a host name or an address".to_owned(),
            Self::Address => "an IP address".to_owned(),
            Self::Network => "an address or a network such as 192.0.2.0/24".to_owned(),
            Self::HostPort => "host[:port], [IPv6][:port] or unix:/path".to_owned(),
            Self::Url => "a URL that begins with http:// or https://".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::SecretFile => SECRET.to_owned(),
        }
    }

    fn span(&self, unit: Unit, count: u64) -> std::time::Duration {
        std::time::Duration::from_millis(count.saturating_mul(unit.milliseconds()))
    }

    /// Reads a value of the file.
    pub fn value(&self, value: &toml_edit::Value) -> Result<Data, Wrong> {
        use toml_edit::Value as V;
        let misfit = || {
            let hint = match (self, value) {
                (Self::List(_), V::String(_)) => {
                    Some("a list is written [\"…\", \"…\"]".to_owned())
                }
                (Self::Integer { .. } | Self::Port, V::String(_)) => {
                    Some("a number is written without quotes".to_owned())
                }
                (Self::SecretFile, _) => Some(secret_hint()),
                _ => None,
            };
            Wrong { what: format!("is {}, not {}", self.range(), a(value)), hint }
        };
        match (self, value) {
            (Self::List(kind), V::Array(array)) => array
                .iter()
                .map(|value| kind.value(value))
                .collect::<Result<_, _>>()
                .map(Data::List),
            (Self::List(_), _) => Err(misfit()),
            (Self::Flag, V::Boolean(flag)) => Ok(Data::Flag(*flag.value())),
            (
                Self::Integer { .. } | Self::Port | Self::Time { .. } | Self::Bytes { .. },
                V::Integer(number),
            ) => self.word(&number.value().to_string()),
            (Self::Integer { .. } | Self::Port, _) => Err(misfit()),
            (_, V::String(text)) => self.word(text.value()),
            _ => Err(misfit()),
        }
    }

    /// Reads words of a command line, or of another system's file: one, or any number for a list.
    pub fn words(&self, words: &[impl AsRef<str>]) -> Result<Data, Wrong> {
        match (self, words) {
            (Self::List(_), [one]) if one.as_ref() == "[]" => Ok(Data::List(Vec::new())),
            (Self::List(kind), words) => words
                .iter()
                .map(|word| kind.word(word.as_ref()))
                .collect::<Result<_, _>>()
                .map(Data::List),
            (_, [one]) => self.word(one.as_ref()),
            (_, words) => {
                let what = format!("is {}, and there are {} values", self.range(), words.len());
                let hint =
                    matches!(self, Self::Text).then(|| "put text with blanks in quotes".to_owned());
                Err(Wrong { what, hint })
            }
        }
    }

    /// Reads one word.
    fn word(&self, text: &str) -> Result<Data, Wrong> {
        let refused = |hint: Option<String>| Wrong {
            what: format!("is {}, not \"{}\"", self.range(), shown(text)),
            hint,
        };
        if matches!(self, Self::SecretFile) {
            // What is wrong here may be the secret itself.
            let what = || Wrong { what: format!("is {SECRET}"), hint: Some(secret_hint()) };
            return is_secret_place(text).then(|| Data::Text(text.to_owned())).ok_or_else(what);
        }
        if text.len() > LONGEST {
            return Err(Wrong { what: format!("is longer than {LONGEST} bytes"), hint: None });
        }
        if text.chars().any(char::is_control) {
            return Err(Wrong { what: "has a control character in it".to_owned(), hint: None });
        }
        let number = || text.parse::<i64>().ok().filter(|_| !text.starts_with('+'));
        let data = match self {
            Self::Flag => match text.to_ascii_lowercase().as_str() {
                "on" | "true" => Some(Data::Flag(true)),
                "off" | "false" => Some(Data::Flag(false)),
                _ => None,
            },
            Self::Integer { least, most } => {
                number().filter(|number| (least..=most).contains(&number)).map(Data::Integer)
            }
            Self::Port => number().filter(|port| (1..=65535).contains(port)).map(Data::Integer),
            Self::Time { unit, least, most } => {
                let bounds = self.span(*unit, *least)..=self.span(*unit, *most);
                let time = units::time(text, unit.milliseconds());
                time.filter(|time| bounds.contains(time)).map(Data::Time)
            }
            Self::Bytes { least, most } => {
                units::bytes(text).filter(|bytes| (least..=most).contains(&bytes)).map(Data::Bytes)
            }
            Self::Choice(words) => {
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
                let Some(found) = found else {
                    return Err(refused(super::keys::nearest(text, words.iter().copied())));
                };
                Some(Data::Text((*found).to_owned()))
            }
            // Nothing is as good as not set, and takes back what another level sets.
            _ if text.is_empty() => Some(Data::Text(String::new())),
            _ => self.is_text_of(text).then(|| Data::Text(text.to_owned())),
        };
        data.ok_or_else(|| refused(None))
    }

    fn is_text_of(&self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Path => !text.trim().is_empty(),
            Self::Host => is_host(text),
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::Network => is_network(text),
            Self::HostPort => is_host_port(text),
            Self::Url => is_url(text),
            _ => false,
        }
    }
}

fn secret_hint() -> String {
    "write the secret into a file that only its owner reads (mode 0600) and name that, or name a \
     variable of the environment: env:NAME"
        .to_owned()
}

fn is_secret_place(text: &str) -> bool {
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if let Some(name) = text.strip_prefix("env:") {
        return is_word(name);
    }
    let is_path = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    text.is_empty()
        || is_path
            && text.len() <= 4096
            && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// What a value of the file is, without showing it.
fn a(value: &toml_edit::Value) -> String {
    match value {
        toml_edit::Value::Integer(number) => number.value().to_string(),
        toml_edit::Value::Boolean(flag) => flag.value().to_string(),
        toml_edit::Value::String(_) => "a text".to_owned(),
        toml_edit::Value::Array(_) => "a list".to_owned(),
        other => format!("a {}", other.type_name()),
    }
}

/// Enough of it to know it again.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(MOST).collect();
    format!("{beginning}…")
}

/// A name, `*` labels and addresses.
pub(super) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte))
    };
    text.parse::<IpAddr>().is_ok()
        || text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label)
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| {
        let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
        is_number && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

fn is_host_port(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/') && !path.contains(char::is_whitespace);
    }
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && has_port;
    }
    match text.split_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(text),
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return false };
    if text.chars().any(|c| c.is_whitespace() || "\"{};'\\".contains(c)) {
        return false;
    }
    rest.starts_with("unix:/")
        || is_host_port(rest.split(['/', '?', '#']).next().unwrap_or_default())
}
