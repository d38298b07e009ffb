//! SQLite: a few connections that only read, on threads that may wait.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::super::answer::{COLUMNS, Row};
use super::super::fault::{Flaw, chain};
use super::super::home::Gone;
use super::{Failure, check_columns, odd_type};

#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    sql: String,
    idle: Mutex<Vec<Open>>,
    /// One for each connection there may be.
    seats: Arc<Semaphore>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Which file it is: the path may come to name another.
    file: (u64, u64),
}

impl Sqlite {
    pub fn new(path: &Path, sql: &str, pool: usize) -> Self {
        let (path, sql) = (path.to_path_buf(), sql.to_owned());
        Self { path, sql, idle: Mutex::default(), seats: Arc::new(Semaphore::new(pool)) }
    }

    pub async fn ask(
        self: Arc<Self>,
        values: Vec<Option<String>>,
        deadline: Instant,
    ) -> Result<Option<Row>, Failure> {
        let seat = timeout_at(deadline, Arc::clone(&self.seats).acquire_owned()).await;
        let seat = seat.map_err(|_| None)?.expect("the seats are never closed");
        let stop = Arc::new(Stop::default());
        let own = Arc::clone(&stop);
        let work = spawn_blocking(move || {
            // Held to the end, even if nobody waits any more.
            let _seat = seat;
            self.work(&values, deadline, &own)
        });
        match timeout_at(deadline, work).await {
            Ok(Ok(done)) => done.map_err(Some),
            Ok(Err(error)) => Err(Some(Flaw::Gone(Gone::new(error)))),
            Err(_) => {
                stop.stop();
                Err(None)
            }
        }
    }

    fn work(
        &self,
        values: &[Option<String>],
        deadline: Instant,
        stop: &Stop,
    ) -> Result<Option<Row>, Flaw> {
        let file = self.file()?;
        let idle = self.idle().pop().filter(|open| open.file == file);
        let open = match idle {
            Some(open) => open,
            None => {
                // Those of a file that is gone.
                self.idle().retain(|open| open.file == file);
                self.open(file)?
            }
        };
        let wait = deadline.saturating_duration_since(Instant::now());
        open.connection.busy_timeout(wait).map_err(failed)?;
        if !stop.may_stop(open.connection.get_interrupt_handle()) {
            self.idle().push(open);
            return Err(Flaw::Question("it came too late".to_owned()));
        }
        let row = put(&open.connection, &self.sql, values);
        stop.is_done();
        // After an error it is opened anew.
        if row.is_ok() {
            self.idle().push(open);
        }
        row
    }

    fn open(&self, file: (u64, u64)) -> Result<Open, Flaw> {
        let how = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, how);
        let connection = connection.map_err(|error| Flaw::Unreachable(chain(&error)))?;
        connection.set_prepared_statement_cache_capacity(1);
        // If it was replaced meanwhile, the next question sees that.
        Ok(Open { connection, file })
    }

    fn file(&self) -> Result<(u64, u64), Flaw> {
        match metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino())),
            Err(error) => Err(Flaw::Unreachable(format!("{}: {error}", self.path.display()))),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a question that takes too long is stopped, so that its thread is free again.
#[derive(Default)]
struct Stop(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Working(InterruptHandle),
    Over,
}

impl Stop {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether anybody still waits.
    fn may_stop(&self, handle: InterruptHandle) -> bool {
        let mut state = self.state();
        let is_waited_for = matches!(*state, State::Waiting);
        if is_waited_for {
            *state = State::Working(handle);
        }
        is_waited_for
    }

    fn is_done(&self) {
        *self.state() = State::Over;
    }

    fn stop(&self) {
        if let State::Working(handle) = std::mem::replace(&mut *self.state(), State::Over) {
            handle.interrupt();
        }
    }
}

fn put(connection: &Connection, sql: &str, values: &[Option<String>]) -> Result<Option<Row>, Flaw> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    check_columns(statement.column_names())?;
    let columns: Vec<&'static str> = statement
        .column_names()
        .filter_map(|name| COLUMNS.into_iter().find(|known| *known == name))
        .collect();
    let values = rusqlite::params_from_iter(values);
    let mut rows = statement.query(values).map_err(failed)?;
    let mut row = Row::default();
    match rows.next().map_err(failed)? {
        None => return Ok(None),
        Some(found) => {
            for (index, column) in columns.into_iter().enumerate() {
                let value = match found.get_ref(index).map_err(failed)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(number) => Some(number.to_string()),
                    ValueRef::Text(text) => match std::str::from_utf8(text) {
                        Ok(text) => Some(text.to_owned()),
                        Err(_) => return Err(odd_type(column, "text, and no UTF-8")),
                    },
                    ValueRef::Real(_) => return Err(odd_type(column, "real")),
                    ValueRef::Blob(_) => return Err(odd_type(column, "blob")),
                };
                row.set(column, value);
            }
        }
    }
    match rows.next().map_err(failed)? {
        None => Ok(Some(row)),
        Some(_) => Err(Flaw::Ambiguous("more than one row")),
    }
}

fn failed(error: rusqlite::Error) -> Flaw {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::NotADatabase | ErrorCode::PermissionDenied) => {
            Flaw::Unreachable(chain(&error))
        }
        _ => Flaw::Question(chain(&error)),
    }
}
