//! The commands: ask, and show what came back.

mod cache;
pub mod conf;
mod doctor;
mod logs;
mod people;
mod rest;
mod servers;
mod status;
pub mod tls;

use std::io::{self, Write};

use jiff::Zoned;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command::Command;
use super::human;
use super::table::{Mood, Table};
use crate::admin::api::{Nothing, When};
use crate::admin::{Client, ClientError};

/// How a command ends: 0, or 1 where something is not as it should be.
pub type Done = Result<u8, Failure>;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Asked(#[from] ClientError),
    /// What the command line says, or a file that it names.
    #[error("{0}")]
    Ours(String),
}

impl Failure {
    /// 2 where no gatepost was reached.
    pub fn exit(&self) -> u8 {
        use ClientError as E;
        match self {
            Self::Asked(
                E::NotRunning { .. } | E::Unreachable { .. } | E::Silent(_) | E::Left(_),
            ) => 2,
            Self::Asked(E::Garbled(_) | E::Refused(_)) | Self::Ours(_) => 1,
        }
    }

    /// A line that can be shown: some of its words are another process's.
    pub fn words(&self) -> String {
        let mut words = human::text(&self.to_string());
        if let Self::Asked(ClientError::Refused(told)) = self
            && let Some(hint) = &told.hint
        {
            words = format!("{words} ({})", human::text(hint));
        }
        words
    }
}

/// Where a command shows what it has to.
pub struct Screen<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    pub input: &'a mut dyn io::BufRead,
    pub colour: bool,
    pub json: bool,
    /// What ages are reckoned from, and in which zone.
    pub now: Zoned,
}

impl Screen<'_> {
    /// Text that is written as it is. Who closed the other end has read enough.
    fn say(&mut self, text: impl AsRef<str>) {
        let _ = self.out.write_all(text.as_ref().as_bytes());
    }

    fn line(&mut self, text: impl AsRef<str>) {
        self.say(text);
        self.say("\n");
    }

    fn complain(&mut self, text: &str) {
        let _ = writeln!(self.err, "gatepost: {}", human::text(text));
    }

    fn table(&mut self, table: &Table) {
        let text = table.written("", self.colour);
        self.say(text);
    }

    /// Tells what did not work, unless the answer does, and gives the exit code for it.
    fn exit(&mut self, problems: &[String]) -> u8 {
        for problem in problems.iter().filter(|_| !self.json) {
            let _ = writeln!(self.err, "gatepost: {}", human::text(problem));
        }
        u8::from(!problems.is_empty())
    }

    /// The API's own answer, on one line, where that is wanted.
    fn has_json(&mut self, answer: &impl Serialize) -> bool {
        if self.json {
            let text = serde_json::to_string(answer).expect("an answer is plain data");
            self.line(text);
        }
        self.json
    }

    fn now(&self) -> When {
        self.now.timestamp().into()
    }

    fn ago(&self, when: When) -> String {
        human::span(self.now().since(when))
    }

    fn left(&self, when: When) -> String {
        human::span(when.since(self.now()))
    }

    fn time(&self, when: When) -> String {
        human::time(when, self.now.time_zone())
    }
}

/// Asks and shows.
pub async fn run(command: Command, client: &Client, screen: &mut Screen<'_>) -> Done {
    match command {
        Command::Status => status::run(client, screen).await,
        Command::Who(who) => people::who(who, client, screen).await,
        Command::User(user) => people::user(user, client, screen).await,
        Command::Upstream(upstream) => servers::upstream(upstream, client, screen).await,
        Command::Lookup(lookup) => servers::lookup(lookup, client, screen).await,
        Command::Cache(command) => cache::run(command, client, screen).await,
        Command::Throttle(throttle) => rest::throttle(throttle, client, screen).await,
        Command::Maintenance(command) => rest::maintenance(command, client, screen).await,
        Command::Log(command) => logs::run(command, client, screen).await,
        Command::Report => rest::report(client, screen).await,
        Command::Doctor(doctor) => doctor::run(doctor, client, screen).await,
        Command::Show(super::command::Show::Addresses) => rest::addresses(client, screen).await,
        Command::Lookups | Command::Backends | Command::AuthUrls | Command::Caches => {
            servers::zimbra(&command, client, screen).await
        }
        Command::Top(top) => super::top::run(top, client, screen).await,
        Command::Conf(_) | Command::Diag(_) | Command::Tls(_) | Command::Help { .. } => {
            Err(Failure::Ours("this needs no gatepost".to_owned()))
        }
    }
}

/// Asks for what has no fields.
async fn plain<T: DeserializeOwned>(client: &Client, call: &'static str) -> Result<T, Failure> {
    Ok(client.get(call, &Nothing {}).await?)
}

/// The colour of a state, by its word.
fn mood(state: &str) -> Mood {
    match state {
        "ok" | "up" => Mood::Good,
        "off" | "backup" | "draining" | "watched" | "skipped" => Mood::Plain,
        _ => Mood::Bad,
    }
}

fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests;
