//! Where sources live: a thread with a runtime of its own, which outlives every worker and reload.
//!
//! A connection belongs to the runtime that made it, and a worker's ends when the worker does. So
//! all that a source does beside looking into memory is done here, and workers wait for the answer.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::observe::{Level, Log, tasks};

/// Threads that read files and SQLite's databases, at the most.
const BLOCKING: usize = 64;

/// Cheap to clone; clones share the thread. It is started by the first question.
#[derive(Clone, Debug, Default)]
pub struct Home(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runtime: Mutex<Option<Runtime>>,
    log: ArcSwapOption<Log>,
}

#[derive(Debug)]
struct Runtime {
    handle: Handle,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

/// There is no such thread, or it has lost the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Gone(String);

impl Gone {
    /// A thread that was to look into it has ended without an answer.
    pub fn new(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

impl Home {
    /// From here on what happens here, and in no session, is told to `log`.
    pub fn log_to(&self, log: Log) {
        self.0.log.store(Some(Arc::new(log)));
    }

    pub fn say(&self, level: Level, message: impl std::fmt::Display) {
        if let Some(log) = &*self.0.log.load() {
            log.line(level, None, message);
        }
    }

    /// Starts `future` here.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Result<JoinHandle<F::Output>, Gone>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = self.handle()?;
        let _here = handle.enter();
        Ok(tasks::spawn(name, future))
    }

    /// What `future` comes to, here. Whoever stops waiting does not stop it.
    pub async fn run<F>(&self, name: &'static str, future: F) -> Result<F::Output, Gone>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(name, future)?.await.map_err(Gone::new)
    }

    fn handle(&self) -> Result<Handle, Gone> {
        let mut runtime = self.0.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle.clone());
        }
        let lost = |error: std::io::Error| Gone(format!("no thread for sources: {error}"));
        let made = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING)
            .thread_name("sources")
            .build()
            .map_err(lost)?;
        let handle = made.handle().clone();
        let (_end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("sources".to_owned())
            .spawn(move || {
                // Nobody says a word: the other end is dropped.
                let _ = made.block_on(ended);
                made.shutdown_background();
            })
            .map_err(lost)?;
        *runtime = Some(Runtime { handle: handle.clone(), _end });
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> tokio::runtime::Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn what_one_worker_began_outlives_it() {
        let home = Home::default();
        let (say, heard) = oneshot::channel();
        let (at_home, after) = oneshot::channel();
        let first = worker();
        first.block_on(async {
            let begun = home.spawn("begun", async {
                let _ = at_home.send(heard.await);
            });
            drop(begun.unwrap());
        });
        drop(first);
        say.send(7).unwrap();
        assert_eq!(worker().block_on(after).unwrap(), Ok(7));
        assert_eq!(worker().block_on(home.run("again", async { 8 })), Ok(8));
    }
}
