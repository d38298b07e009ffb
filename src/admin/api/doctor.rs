//! `doctor`: which step fails.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

use super::asked::check_named;
use super::{Ask, Problem, words};
use crate::login::Secret;

words! {
    /// Who is examined.
    pub enum Subject {
        Upstream => "upstream",
        Lookup => "lookup",
        ClientIp => "clientip",
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoctorAsk {
    /// An upstream, with or without `/SERVER`; a handler; a client's address.
    pub name: String,
    /// Tries a login, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
}

impl Ask for DoctorAsk {
    fn check(&self) -> Result<(), Problem> {
        check_named("name", &self.name)?;
        match (&self.login, &self.password) {
            (None, Some(_)) => Err(Problem::bad("\"password\" without \"login\"")),
            _ => Ok(()),
        }
    }
}

/// A password on its way to the examination.
pub struct Password(pub Secret);

impl Password {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Secret::new(bytes))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// For the client's side alone: an answer never has one.
impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0.reveal()))
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::new(text))
    }
}

words! {
    pub enum Outcome {
        Ok => "ok",
        Failed => "failed",
        /// A step before it failed.
        Skipped => "skipped",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which server, handler or address it is about.
    pub target: String,
    /// `dns`, `connect`, `tls`, `greeting`, `login`, …
    pub step: String,
    pub outcome: Outcome,
    pub ms: f64,
    /// What was found, or what is wrong.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub name: String,
    pub ok: bool,
    /// The first step that failed.
    pub failed: Option<String>,
    pub steps: Vec<Step>,
}

/// Goes through steps in order and keeps what came of each: after a failure the rest is skipped.
///
/// ```text
/// let mut dns = exam.step("dns", find, |found| found.to_string()).await?   None once a step failed
/// ```
#[derive(Debug)]
pub struct Examination {
    target: String,
    /// For each step.
    within: Duration,
    steps: Vec<Step>,
}

impl Examination {
    pub fn new(target: impl Into<String>, within: Duration) -> Self {
        Self { target: target.into(), within, steps: Vec::new() }
    }

    fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| step.outcome == Outcome::Failed)
    }

    /// Does one step, unless an earlier one failed. `words` says what was found.
    pub async fn step<T, E: fmt::Display>(
        &mut self,
        step: &str,
        doing: impl Future<Output = Result<T, E>>,
        words: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        if self.has_failed() {
            self.keep(step, Outcome::Skipped, Duration::ZERO, String::new());
            return None;
        }
        let began = Instant::now();
        let done = tokio::time::timeout(self.within, doing).await;
        let took = began.elapsed();
        match done {
            Ok(Ok(found)) => {
                let text = words(&found);
                self.keep(step, Outcome::Ok, took, text);
                Some(found)
            }
            Ok(Err(error)) => {
                self.keep(step, Outcome::Failed, took, error.to_string());
                None
            }
            Err(_) => {
                let text = format!("timed out after {} ms", self.within.as_millis());
                self.keep(step, Outcome::Failed, took, text);
                None
            }
        }
    }

    /// Keeps what was found without going anywhere: this does not keep later steps from being taken.
    pub fn note(&mut self, step: &str, found: Result<String, String>) {
        match found {
            Ok(text) => self.keep(step, Outcome::Ok, Duration::ZERO, text),
            Err(text) => self.keep(step, Outcome::Failed, Duration::ZERO, text),
        }
    }

    fn keep(&mut self, step: &str, outcome: Outcome, took: Duration, text: String) {
        let (target, step) = (self.target.clone(), step.to_owned());
        let ms = (took.as_secs_f64() * 1e4).round() / 10.0;
        self.steps.push(Step { target, step, outcome, ms, text });
    }
}

impl Diagnosis {
    /// What the examinations of one thing, one for each of its servers, came to.
    pub fn of(name: impl Into<String>, all: impl IntoIterator<Item = Examination>) -> Self {
        let steps: Vec<_> = all.into_iter().flat_map(|exam| exam.steps).collect();
        let failed = steps.iter().find(|step| step.outcome == Outcome::Failed);
        let failed = failed.map(|step| step.step.clone());
        Self { name: name.into(), ok: failed.is_none(), failed, steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_failing_step_is_named_and_the_rest_is_skipped() {
        let mut exam = Examination::new("10.0.0.1:143", Duration::from_secs(3));
        let found = async { Ok::<_, String>(1) };
        assert_eq!(exam.step("dns", found, |n| format!("{n} address")).await, Some(1));
        let hangs = std::future::pending::<Result<(), String>>();
        assert_eq!(exam.step("connect", hangs, |()| String::new()).await, None);
        assert_eq!(exam.step("tls", async { Ok::<_, String>(()) }, |()| String::new()).await, None);
        assert_eq!(
            exam.step("login", async { Ok::<_, String>(()) }, |()| String::new()).await,
            None
        );
        let told = Diagnosis::of("imap", [exam]);
        assert_eq!((told.ok, told.failed.as_deref()), (false, Some("connect")));
        let steps: Vec<_> = told
            .steps
            .iter()
            .map(|step| (&*step.step, step.outcome.name(), step.ms, &*step.text))
            .collect();
        assert_eq!(
            steps,
            [
                ("dns", "ok", 0.0, "1 address"),
                ("connect", "failed", 3000.0, "timed out after 3000 ms"),
                ("tls", "skipped", 0.0, ""),
                ("login", "skipped", 0.0, ""),
            ]
        );
    }
}
