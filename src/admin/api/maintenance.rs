//! `maintenance`: the sign on the door, by hand or by itself.

use serde::{Deserialize, Serialize};

use super::asked::check_named;
use super::{Ask, Problem, When};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenances {
    pub maintenance: Vec<Maintenance>,
    /// What did not work, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// None: everybody's, or an upstream's.
    pub domain: Option<String>,
    /// The users of an upstream: what began by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What began by itself ends by itself.
    pub by_hand: bool,
    pub since: When,
    pub until: Option<When>,
    /// What clients are told.
    pub text: Option<String>,
    pub cause: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaintainAsk {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Ask for MaintainAsk {
    fn check(&self) -> Result<(), Problem> {
        self.domain.iter().try_for_each(|domain| check_named("domain", domain))?;
        // It becomes part of a line of IMAP, POP3 or SMTP.
        match self.text.as_deref() {
            Some(text) if text.len() > 200 => {
                Err(Problem::bad("\"text\" is longer than 200 bytes"))
            }
            Some(text) if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                Err(Problem::bad("\"text\" must be printable ASCII: it goes into replies"))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndAsk {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

impl Ask for EndAsk {
    fn check(&self) -> Result<(), Problem> {
        self.domain.iter().try_for_each(|domain| check_named("domain", domain))
    }
}
