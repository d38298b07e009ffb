//! `log`: levels set by hand, logs turned and opened anew; and what `diag` asks besides.

use serde::{Deserialize, Serialize};

use super::asked::check_named;
use super::{Ask, Problem, When};

/// A level to set, or to take back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevelAsk {
    /// `all`, a module, `user:NAME`, `upstream:SERVER`, `client:ADDRESS`; none: all there are are
    /// taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// None: as it is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
}

impl Ask for LevelAsk {
    fn check(&self) -> Result<(), Problem> {
        if self.level.is_none() && self.for_s.is_some() {
            return Err(Problem::bad("\"for_s\" goes with a \"level\""));
        }
        if self.level.is_some() && self.subject.is_none() {
            return Err(Problem::bad("\"level\" goes with a \"subject\""));
        }
        let fields = [("subject", &self.subject), ("level", &self.level)];
        fields.iter().try_for_each(|(name, text)| match text {
            Some(text) => check_named(name, text),
            None => Ok(()),
        })
    }
}

/// Levels set by hand, the most particular last; where none holds it is as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    pub levels: Vec<LevelSet>,
    /// Whose levels can be set.
    pub modules: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelSet {
    pub subject: String,
    pub level: String,
    /// None: until a reload.
    pub until: Option<When>,
}

/// Which log to turn; none: all that `log_rotate` is in force for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnAsk {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Ask for TurnAsk {
    fn check(&self) -> Result<(), Problem> {
        self.file.iter().try_for_each(|file| check_named("file", file))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedLogs {
    pub turned: Vec<TurnedLog>,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedLog {
    pub file: String,
    pub to: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// How many stay open where they are; the log says why.
    pub failed: u64,
}

/// What nobody else is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    pub pid: u32,
    /// Where it listens, and which server serves there.
    pub listens: Vec<String>,
    /// What `/metrics` shows.
    pub metrics: String,
    /// The last lines of the error logs from `warn` up, the oldest first.
    pub warnings: Vec<String>,
}
