//! A value that has been checked.

use std::fmt;
use std::time::Duration;

use super::key::Format;
use super::units;

/// A value of its key's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Flag(bool),
    Integer(i64),
    Time(Duration),
    Bytes(u64),
    Text(String),
    List(Vec<Self>),
}

impl Data {
    /// Whether nothing is set: an empty text or list.
    pub fn is_none(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Flag(_) | Self::Integer(_) | Self::Time(_) | Self::Bytes(_) => false,
        }
    }

    pub fn is_on(&self) -> bool {
        matches!(self, Self::Flag(true))
    }

    /// The text, of what is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub fn time(&self) -> Option<Duration> {
        match self {
            Self::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// The elements of a list, each as text; what is none has none.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::List(list) => list.iter().map(ToString::to_string).collect(),
            one if one.is_none() => Vec::new(),
            one => vec![one.to_string()],
        }
    }

    /// As a template variable has it.
    pub fn formatted(&self, format: Format) -> String {
        let line = |shown: bool| if shown { String::new() } else { "#".to_owned() };
        match (format, self) {
            (Format::Enabler, Self::Flag(flag)) => line(*flag),
            (Format::Enabler, other) => line(!other.is_none()),
            (Format::Disabler, Self::Flag(flag)) => line(!*flag),
            (Format::Disabler, other) => line(other.is_none()),
            (Format::Milliseconds, Self::Time(time)) => format!("{}ms", time.as_millis()),
            (Format::Seconds, Self::Time(time)) if time.subsec_millis() == 0 => {
                format!("{}s", time.as_secs())
            }
            (Format::Seconds, Self::Time(time)) => format!("{}ms", time.as_millis()),
            (Format::Integer, Self::Time(time)) => time.as_secs().to_string(),
            (Format::Integer, Self::Bytes(bytes)) => bytes.to_string(),
            (Format::Words, data) => {
                data.words().iter().map(|word| format!(" \"{}\"", quoted(word))).collect()
            }
            (_, data) => data.to_string(),
        }
    }

    /// As it is written in the file.
    pub fn toml(&self) -> toml_edit::Value {
        match self {
            Self::Flag(flag) => (*flag).into(),
            Self::Integer(number) => (*number).into(),
            Self::List(list) => list.iter().map(Self::toml).collect::<toml_edit::Array>().into(),
            Self::Time(_) | Self::Bytes(_) | Self::Text(_) => self.to_string().into(),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Flag(flag) => (*flag).into(),
            Self::Integer(number) => (*number).into(),
            Self::List(list) => list.iter().map(Self::json).collect(),
            Self::Time(_) | Self::Bytes(_) | Self::Text(_) => self.to_string().into(),
        }
    }
}

/// What stands between the quotes of a configuration file.
fn quoted(word: &str) -> String {
    word.replace('\\', "\\\\").replace('"', "\\\"")
}

/// As people and the configuration have it: `on`, `143`, `1m30s`, `10m`; elements behind blanks.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("on"),
            Self::Flag(false) => f.write_str("off"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Time(time) => f.write_str(&units::time_text(*time)),
            Self::Bytes(bytes) => f.write_str(&units::bytes_text(*bytes)),
            Self::Text(text) => f.write_str(text),
            Self::List(list) => {
                for (index, data) in list.iter().enumerate() {
                    let blank = if index == 0 { "" } else { " " };
                    write!(f, "{blank}{data}")?;
                }
                Ok(())
            }
        }
    }
}
