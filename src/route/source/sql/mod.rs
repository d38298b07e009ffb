//! `route_sql NAME { … }`: one row of a database says where a login goes.
//!
//! A row has `server`, and perhaps `port login authzid tls secret`, by the names of its columns. No
//! row, or a row without a server, is a login that this source does not know. Everything else is a
//! failure that will pass: nobody has said that there is no such user.

mod postgres;
mod query;
mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use postgres::Target;
pub use query::{Dialect, Name, Query, hold_for_any};

use super::answer::{COLUMNS, Row};
use super::fault::Flaw;
use super::home::Home;
use super::question::Question;
use crate::login::Secret;
use crate::observe::escape::Quoted;
use crate::tls::client::Connectors;
use crate::tls::directives::UpstreamSettings;
use postgres::Postgres;
use sqlite::Sqlite;

/// What `url` says.
#[derive(Clone, Debug)]
pub enum Database {
    Postgres(Box<Target>),
    Sqlite(PathBuf),
}

/// What a `route_sql` block says.
#[derive(Clone, Debug)]
pub struct Plan {
    pub database: Database,
    pub password: Option<PathBuf>,
    pub query: Query,
    /// Connections, at the most.
    pub pool: usize,
    /// For one question in all.
    pub timeout: Duration,
    /// None is `ssl off`.
    pub tls: Option<UpstreamSettings>,
}

#[derive(Debug)]
pub struct Sql {
    home: Home,
    query: Arc<Query>,
    timeout: Duration,
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    Postgres(Arc<Postgres>),
    Sqlite(Arc<Sqlite>),
}

impl Sql {
    /// Reads the password and certificates; asks nobody yet.
    pub fn open(plan: &Plan, connectors: &mut Connectors, home: &Home) -> Result<Self, String> {
        let query = Arc::new(plan.query.clone());
        let engine = match &plan.database {
            Database::Postgres(target) => {
                let password = plan.password.as_deref().map(super::password).transpose()?;
                let tls = plan.tls.as_ref().map(|tls| super::client_config(tls, connectors));
                let made = Postgres::new(target, password, tls.transpose()?, plan);
                Engine::Postgres(Arc::new(made?))
            }
            Database::Sqlite(path) => {
                Engine::Sqlite(Arc::new(Sqlite::new(path, &query.sql, plan.pool)))
            }
        };
        Ok(Self { home: home.clone(), query, timeout: plan.timeout, engine })
    }

    /// Whether another client might get another answer.
    pub fn hangs_on_client(&self) -> bool {
        self.query.asks_for(Name::ClientIp)
    }

    /// The row for `question`; none if there is none.
    pub async fn ask(&self, question: &Question) -> Result<Option<Row>, Flaw> {
        // No database holds what is no text.
        let Some(values) = question.values(&self.query.names) else { return Ok(None) };
        let (engine, query) = (self.engine.clone(), Arc::clone(&self.query));
        let (began, timeout) = (Instant::now(), self.timeout);
        self.home
            .run("route_sql", async move {
                let deadline = began + timeout;
                let asked = match engine {
                    Engine::Postgres(postgres) => postgres.ask(&query, &values, deadline).await,
                    Engine::Sqlite(sqlite) => sqlite.ask(values, deadline).await,
                };
                asked.map_err(|flaw| flaw.unwrap_or(Flaw::Silent(timeout)))
            })
            .await?
    }
}

/// What went wrong; none if it took too long.
type Failure = Option<Flaw>;

/// Whether a question has columns that we know, `server` among them.
fn check_columns<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Flaw> {
    let known = COLUMNS.join(", ");
    let mut has_server = false;
    for name in names {
        if !COLUMNS.contains(&name) {
            return Err(Flaw::Shape(format!(
                "column \"{}\" of the query is none of {known}: name it with AS, or leave it out",
                Quoted(name.as_bytes())
            )));
        }
        has_server |= name == "server";
    }
    match has_server {
        true => Ok(()),
        false => Err(Flaw::Shape(format!("no column of the query is \"server\", of {known}"))),
    }
}

/// A column whose type is no text and no number.
fn odd_type(column: &str, kind: &str) -> Flaw {
    Flaw::Shape(format!("column \"{column}\" of the query is of type {kind}: cast it to text"))
}

/// What stands in `password_file`, which [`super::password`] has read.
type Password = Secret;
