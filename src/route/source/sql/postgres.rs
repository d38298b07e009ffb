//! PostgreSQL: a pool of connections with their prepared statement.

use std::error::Error as StdError;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::answer::{COLUMNS, Row};
use super::super::fault::{Flaw, chain};
use super::{Failure, Password, Plan, Query, check_columns, odd_type};
use crate::observe::tasks;

/// RFC 7301: what PostgreSQL 17 wants to see where TLS comes first.
const ALPN: &[u8] = b"postgresql";

/// How long it may take to call off a question that took too long.
const CANCEL: Duration = Duration::from_secs(5);

/// What `url` says of PostgreSQL.
#[derive(Clone, Debug)]
pub struct Target {
    config: Config,
}

impl Target {
    /// Reads `postgres://user@host[:port],…/database?…`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let config = Config::from_str(url).map_err(|error| chain(&error))?;
        if config.get_password().is_some() {
            return Err("leave the password out of it: \"password_file\" is for that".to_owned());
        }
        if url.contains("sslmode=") {
            return Err("leave \"sslmode\" out of it: \"ssl on\" and \"ssl_verify\" are for that"
                .to_owned());
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err("it names no user: postgres://user@host/database".to_owned());
        }
        match config.get_hosts().is_empty() {
            true => Err("it names no host: postgres://user@host/database".to_owned()),
            false => Ok(Self { config }),
        }
    }

    /// Whether TLS is of any use: there is none over a unix socket.
    pub fn has_network(&self) -> bool {
        self.config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)))
    }
}

pub struct Postgres {
    pool: Pool,
    tls: Option<Tls>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// TLS that asks for another name than the host's.
#[derive(Clone)]
struct Tls {
    inner: MakeRustlsConnect,
    name: Option<String>,
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, Self::Error> {
        let name = self.name.as_deref().unwrap_or(host);
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.inner, name)
    }
}

impl Postgres {
    pub fn new(
        target: &Target,
        password: Option<Password>,
        tls: Option<Arc<ClientConfig>>,
        plan: &Plan,
    ) -> Result<Self, String> {
        let mut config = target.config.clone();
        if let Some(password) = password {
            config.password(password.reveal());
        }
        if config.get_application_name().is_none() {
            config.application_name("gatepost");
        }
        if config.get_connect_timeout().is_none() {
            // One host that swallows what it is sent must not eat the time of the others.
            let hosts = u32::try_from(config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
            config.connect_timeout((plan.timeout / hosts).max(Duration::from_millis(100)));
        }
        // A connection that was lost is known by itself; so no question is spent on that.
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let tls = tls.map(|tls| {
            let mut own = (*tls).clone();
            own.alpn_protocols = vec![ALPN.to_vec()];
            let name = plan.tls.as_ref().and_then(|tls| tls.name.clone());
            Tls { inner: MakeRustlsConnect::new(own), name }
        });
        let manager = match &tls {
            None => {
                config.ssl_mode(SslMode::Disable);
                Manager::from_config(config, NoTls, how)
            }
            Some(tls) => {
                config.ssl_mode(SslMode::Require);
                Manager::from_config(config, tls.clone(), how)
            }
        };
        let pool = Pool::builder(manager).max_size(plan.pool).build();
        Ok(Self { pool: pool.map_err(|error| chain(&error))?, tls })
    }

    pub async fn ask(
        &self,
        query: &Query,
        values: &[Option<String>],
        deadline: Instant,
    ) -> Result<Option<Row>, Failure> {
        // Each connection of the pool may have been lost while nobody looked, and one more.
        let mut tries = self.pool.status().size + 1;
        loop {
            let got = timeout_at(deadline, self.pool.get()).await.map_err(|_| None)?;
            let connection = got.map_err(|error| Some(unreached(&error)))?;
            tries -= 1;
            let asked = timeout_at(deadline, put(&connection, query, values)).await;
            match asked {
                Ok(Ok(row)) => return Ok(row),
                Ok(Err(flaw)) => {
                    // Whatever it was, the next question begins afresh: a statement that was prepared
                    // before the table changed would fail for ever.
                    drop(Object::take(connection));
                    if tries == 0 || !flaw.is_worth_another_try() {
                        return Err(Some(flaw));
                    }
                }
                Err(_) => {
                    self.cancel(&connection);
                    // Its answer may still come, and must not be the next one's.
                    drop(Object::take(connection));
                    return Err(None);
                }
            }
        }
    }

    /// The server would work on to the end for nobody, and each such question take one of its places.
    fn cancel(&self, connection: &Object) {
        let (token, tls) = (connection.cancel_token(), self.tls.clone());
        let cancel = async move {
            let _ = match tls {
                None => token.cancel_query(NoTls).await,
                Some(tls) => token.cancel_query(tls).await,
            };
        };
        drop(tasks::spawn("route_sql_cancel", timeout(CANCEL, cancel)));
    }
}

async fn put(
    connection: &Object,
    query: &Query,
    values: &[Option<String>],
) -> Result<Option<Row>, Flaw> {
    let types = vec![Type::TEXT; values.len()];
    let statement = connection.prepare_typed_cached(&query.sql, &types).await.map_err(failed)?;
    check_columns(statement.columns().iter().map(tokio_postgres::Column::name))?;
    let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
    let found = match connection.query_opt(&statement, &values).await {
        Err(error) if is_several(&error) => return Err(Flaw::Ambiguous("more than one row")),
        found => found.map_err(failed)?,
    };
    let Some(found) = found else { return Ok(None) };
    let mut row = Row::default();
    for (index, column) in found.columns().iter().enumerate() {
        let cell: Cell =
            found.try_get(index).map_err(|_| odd_type(column.name(), column.type_().name()))?;
        let name = COLUMNS.iter().find(|name| **name == column.name());
        row.set(name.expect("columns were checked"), cell.0);
    }
    Ok(Some(row))
}

/// A text, or a number as text.
struct Cell(Option<String>);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(match *kind {
            Type::INT2 => i16::from_sql(kind, raw)?.to_string(),
            Type::INT4 => i32::from_sql(kind, raw)?.to_string(),
            Type::INT8 => i64::from_sql(kind, raw)?.to_string(),
            _ => <&str>::from_sql(kind, raw)?.to_owned(),
        })))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT2 | Type::INT4 | Type::INT8)
            || <&str as FromSql<'_>>::accepts(kind)
    }
}

/// The crate has a kind for it, and keeps it to itself.
fn is_several(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none()
        && error.to_string() == "query returned an unexpected number of rows"
}

fn unreached(error: &PoolError) -> Flaw {
    match error {
        PoolError::Backend(error) => match error.as_db_error() {
            Some(said) => Flaw::Refused(said.to_string()),
            None => Flaw::Unreachable(chain(error)),
        },
        error => Flaw::Unreachable(chain(error)),
    }
}

fn failed(error: tokio_postgres::Error) -> Flaw {
    match error.as_db_error() {
        // Class 57: the server is going down, or an admin has sent us away.
        Some(said) if said.code().code().starts_with("57P") => Flaw::Lost(said.to_string()),
        Some(said) => Flaw::Question(said.to_string()),
        None if error.is_closed() || is_cut(&error) => Flaw::Lost(chain(&error)),
        None => Flaw::Question(chain(&error)),
    }
}

fn is_cut(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.is::<std::io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_is_read_or_told() {
        for (url, want) in [
            ("postgres://u@a,b:5433/d", "true"),
            ("postgresql://u@%2Frun%2Fpostgresql/d", "false"),
            ("postgres://u:p@a/d", "leave the password out of it: \"password_file\" is for that"),
            (
                "postgres://u@a/d?sslmode=disable",
                "leave \"sslmode\" out of it: \"ssl on\" and \"ssl_verify\" are for that",
            ),
            ("postgres://a/d", "it names no user: postgres://user@host/database"),
            ("postgres://u@/d", "it names no host: postgres://user@host/database"),
            ("postgres://u@a:x/d", "invalid connection string: invalid value for option `port`"),
        ] {
            let read = Target::parse(url).map(|target| target.has_network().to_string());
            assert_eq!(read.unwrap_or_else(|fault| fault), want, "{url}");
        }
    }
}
