//! nginx's log levels.

use std::fmt;
use std::str::FromStr;

/// How much a line matters. Ordered: `Debug < Info < … < Emerg`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warn,
    /// What `error_log FILE;` means.
    #[default]
    Error,
    Crit,
    Alert,
    Emerg,
}

impl Level {
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warn,
        Self::Error,
        Self::Crit,
        Self::Alert,
        Self::Emerg,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Crit => "crit",
            Self::Alert => "alert",
            Self::Emerg => "emerg",
        }
    }

    /// RFC 3164 §4.1.1: 0 is an emergency, 7 is debugging.
    pub fn severity(self) -> u8 {
        7 - self as u8
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid log level \"{0}\"")]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        // nginx's and Zimbra's finer debug levels say which part is to be debugged: here, all is.
        const PARTS: [&str; 8] =
            ["core", "alloc", "mutex", "event", "http", "mail", "stream", "zimbra"];
        if word.strip_prefix("debug_").is_some_and(|part| PARTS.contains(&part)) {
            return Ok(Self::Debug);
        }
        let level = Self::ALL.into_iter().find(|level| level.name() == word);
        level.ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_by_its_name_and_ordered_as_syslogs() {
        for (index, level) in Level::ALL.into_iter().enumerate() {
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(usize::from(level.severity()), 7 - index);
        }
        assert!(Level::Debug < Level::Info && Level::Crit < Level::Emerg);
        assert_eq!("debug_mail".parse(), Ok(Level::Debug));
        for wrong in ["", "Info", "warning", "debug_", "debug_x"] {
            assert_eq!(wrong.parse::<Level>(), Err(UnknownLevel(wrong.to_owned())));
        }
    }
}
