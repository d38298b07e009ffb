//! One server: its connections, and whether it is worth asking.
//!
//! Connections belong to the runtime that made them, which alone drives them, so every runtime has
//! a pool of its own here. Whether the server is down is known to all.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::runtime::{Handle, Id};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::alarm::Alarm;
use super::link::{Fault, Link};
use super::protocol::{Batch, Breach, Reply};
use super::{Error, choice};
use crate::net::dns::Resolver;
use crate::net::{Endpoint, Place, connect};
use crate::observe::latency::Latency;
use crate::observe::{Metrics, names, tasks};

/// A connection that has rested for as long may have been forgotten by what lies between.
const MAX_REST: Duration = Duration::from_secs(60);

/// So that a name that leads elsewhere by now is followed there.
const MAX_AGE: Duration = Duration::from_secs(300);

/// What all servers of a cache have in common.
#[derive(Debug)]
pub struct Manner {
    pub timeout: Duration,
    pub reconnect: Duration,
    pub connections: usize,
    pub alarm: Alarm,
}

pub struct Server {
    name: Arc<str>,
    seed: u64,
    place: Place,
    manner: Arc<Manner>,
    names: Arc<Resolver>,
    state: Mutex<State>,
    latency: Mutex<Latency>,
    /// How often it has failed: who waits for it then waits no longer.
    falls: watch::Sender<u64>,
    pools: Mutex<HashMap<Id, Arc<Pool>>>,
    figures: Figures,
}

#[derive(Debug)]
enum State {
    Up { since: Instant },
    Down(Down),
}

#[derive(Clone, Debug)]
struct Down {
    since: Instant,
    /// Left alone until then; after it one call finds out.
    until: Instant,
    is_probed: bool,
    cause: Arc<str>,
}

/// What is known of a server without asking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub is_up: bool,
    /// For how long it has been so.
    pub since: Duration,
    /// Why it is down.
    pub cause: Option<Arc<str>>,
}

/// Requests to a server, since it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub answered: u64,
    /// It was down, silent, or answered nonsense.
    pub failed: u64,
    /// How long half of the late answers took, and all but a hundredth.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

/// The connections of one runtime.
struct Pool {
    idle: Mutex<Vec<(Link, Instant)>>,
    slots: Semaphore,
}

struct Figures {
    seconds: Histogram,
    ok: Counter,
    down: Counter,
    timeout: Counter,
    invalid: Counter,
    up: Gauge,
}

/// Why an exchange failed, by who is to blame.
#[derive(Debug)]
pub enum Failure {
    /// The server: it is left alone from now on, or was before.
    Server(Error),
    /// It has answered, and would not do it, or has what is too large: it is well.
    Refused(Breach),
}

/// One who finds out whether the server is back. When it is dropped before it knows, another may.
struct Probe<'a>(&'a Server);

impl Server {
    pub fn new(
        place: Place,
        manner: &Arc<Manner>,
        names: &Arc<Resolver>,
        metrics: &Metrics,
    ) -> Self {
        let name: Arc<str> = place.to_string().into();
        let figures = Figures::new(&name, metrics);
        figures.up.set(1);
        Self {
            seed: choice::seed(name.as_bytes()),
            name,
            place,
            manner: Arc::clone(manner),
            names: Arc::clone(names),
            state: Mutex::new(State::Up { since: Instant::now() }),
            latency: Mutex::default(),
            falls: watch::Sender::new(0),
            pools: Mutex::default(),
            figures,
        }
    }

    /// As it is configured, with its port.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is matched with keys by.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn condition(&self) -> Condition {
        match &*self.state() {
            State::Up { since } => Condition { is_up: true, since: since.elapsed(), cause: None },
            State::Down(down) => Condition {
                is_up: false,
                since: down.since.elapsed(),
                cause: Some(Arc::clone(&down.cause)),
            },
        }
    }

    /// What came of the requests to it so far.
    pub fn requests(&self) -> Requests {
        let now = Instant::now();
        let failed = [&self.figures.down, &self.figures.timeout, &self.figures.invalid];
        let failed = failed.iter().map(|counter| counter.get()).sum();
        let mut latency = self.latency();
        let (p50, p99) = (latency.within(0.5, 1, now), latency.within(0.99, 1, now));
        Requests { answered: self.figures.ok.get(), failed, p50, p99 }
    }

    fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `batch` and gives an answer for each of its commands, by `deadline` at the latest; at
    /// once if the server is down, or is found to be by another call.
    pub async fn exchange(&self, batch: &Batch, deadline: Instant) -> Result<Vec<Reply>, Failure> {
        self.guarded(deadline, self.attempt(batch, deadline)).await
    }

    /// As [`Server::exchange`], for the old protocol, on a connection of its own.
    pub async fn say(
        &self,
        line: &[u8],
        end: &[u8],
        most: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let saying = async {
            let mut link = self.dial(deadline).await?;
            link.say(line, end, most).await.map_err(Trouble::from)
        };
        self.guarded(deadline, saying).await
    }

    async fn guarded<T>(
        &self,
        deadline: Instant,
        attempt: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Failure> {
        let mut falls = self.falls.subscribe();
        let probe = self.admit().inspect_err(|_| {
            self.figures.down.inc();
        })?;
        let start = Instant::now();
        let attempt = timeout_at(deadline, attempt);
        let done = match &probe {
            Some(_) => attempt.await,
            None => tokio::select! {
                biased;
                done = attempt => done,
                _ = falls.changed() => {
                    self.figures.down.inc();
                    return Err(Failure::Server(Error::Down(Arc::clone(&self.name))));
                }
            },
        };
        let trouble = match done {
            Ok(Ok(answer)) => {
                let took = start.elapsed();
                self.figures.seconds.observe(took.as_secs_f64());
                self.latency().saw(took, Instant::now());
                self.figures.ok.inc();
                self.rise();
                return Ok(answer);
            }
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Silent,
        };
        let name = || Arc::clone(&self.name);
        let error = match trouble {
            Trouble::Breach(breach @ (Breach::Refused | Breach::LargeItem | Breach::Failed)) => {
                self.figures.ok.inc();
                self.rise();
                return Err(Failure::Refused(breach));
            }
            Trouble::Breach(_) => {
                self.figures.invalid.inc();
                Error::Misbehaved(name())
            }
            Trouble::Silent | Trouble::Crowded => {
                self.figures.timeout.inc();
                Error::Silent(name())
            }
            Trouble::Unreachable(_) | Trouble::Stale => {
                self.figures.down.inc();
                Error::Down(name())
            }
        };
        // Who had next to no time, or got no connection of ours, has found out nothing.
        let is_fair = deadline.saturating_duration_since(start) >= self.manner.timeout / 2;
        let is_told = match trouble {
            Trouble::Silent => is_fair,
            Trouble::Crowded | Trouble::Stale => false,
            _ => true,
        };
        if is_told || probe.is_some() {
            self.fall(&trouble);
        }
        Err(Failure::Server(error))
    }

    /// Whether it may be asked now; with a probe, by this caller alone.
    fn admit(&self) -> Result<Option<Probe<'_>>, Failure> {
        let now = Instant::now();
        match &mut *self.state() {
            State::Up { .. } => Ok(None),
            State::Down(down) if now >= down.until && !down.is_probed => {
                down.is_probed = true;
                Ok(Some(Probe(self)))
            }
            State::Down(_) => Err(Failure::Server(Error::Down(Arc::clone(&self.name)))),
        }
    }

    fn rise(&self) {
        let mut state = self.state();
        if matches!(*state, State::Down(_)) {
            *state = State::Up { since: Instant::now() };
            drop(state);
            self.figures.up.set(1);
            self.manner.alarm.up(&self.name);
        }
    }

    fn fall(&self, trouble: &Trouble) {
        let now = Instant::now();
        // Not all nodes of a fleet shall come back at once.
        let until = now + self.manner.reconnect.mul_f64(0.9 + 0.2 * fastrand::f64());
        let cause = Arc::from(trouble.to_string());
        let mut state = self.state();
        let since = match &*state {
            State::Up { .. } => now,
            State::Down(down) => down.since,
        };
        *state = State::Down(Down { since, until, is_probed: false, cause });
        drop(state);
        self.falls.send_modify(|falls| *falls += 1);
        self.figures.up.set(0);
        self.pools().clear();
        self.manner.alarm.down(&self.name, trouble);
    }

    async fn attempt(&self, batch: &Batch, deadline: Instant) -> Result<Vec<Reply>, Trouble> {
        let pool = self.pool();
        let _slot = match timeout_at(deadline, pool.slots.acquire()).await {
            Ok(slot) => slot.expect("the slots of a pool are never closed"),
            Err(_) => return Err(Trouble::Crowded),
        };
        if let Some(mut link) = pool.take() {
            match link.exchange(batch).await {
                Ok(replies) => {
                    pool.put(link);
                    return Ok(replies);
                }
                // It was closed while it rested, after we had looked.
                Err(fault) if fault.is_early() && batch.is_repeatable() => {}
                Err(fault) if fault.is_early() => return Err(Trouble::Stale),
                Err(fault) => return Err(fault.into()),
            }
        }
        let mut link = self.dial(deadline).await?;
        let replies = link.exchange(batch).await?;
        pool.put(link);
        Ok(replies)
    }

    async fn dial(&self, deadline: Instant) -> Result<Link, Trouble> {
        let targets = match &self.place {
            Place::Fixed(target) => vec![target.clone()],
            Place::Named { host, port } => self.resolve(host, *port).await?,
        };
        let mut trouble = Trouble::Silent;
        for (index, target) in targets.iter().enumerate() {
            // The last has all that is left; one that does not answer leaves the others a share.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (targets.len() - index) as u32;
            match connect::open(target, connect::Options::default(), now + share).await {
                Ok(stream) => return Ok(Link::new(stream)),
                Err(connect::Error::Silent { .. }) => trouble = Trouble::Silent,
                Err(error) => trouble = Trouble::Unreachable(error.to_string()),
            }
        }
        Err(trouble)
    }

    /// The addresses of now. The question goes on when we have no time to wait for its answer, which
    /// the next call then finds.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<Endpoint>, Trouble> {
        let (names, host) = (Arc::clone(&self.names), host.to_owned());
        let asking = tasks::spawn("memcached name", async move { names.resolve(&host).await });
        match asking.await {
            Ok(Ok(ips)) => {
                Ok(ips.iter().map(|ip| Endpoint::from(SocketAddr::new(*ip, port))).collect())
            }
            Ok(Err(error)) => Err(Trouble::Unreachable(error.to_string())),
            Err(error) => Err(Trouble::Unreachable(error.to_string())),
        }
    }

    /// The pool of this runtime.
    fn pool(&self) -> Arc<Pool> {
        let here = Handle::current().id();
        let mut pools = self.pools();
        if let Some(pool) = pools.get(&here) {
            return Arc::clone(pool);
        }
        // Runtimes that ended leave theirs behind.
        pools.retain(|_, pool| Arc::strong_count(pool) > 1 || !pool.is_stale());
        let pool = Arc::new(Pool {
            idle: Mutex::default(),
            slots: Semaphore::new(self.manner.connections),
        });
        pools.insert(here, Arc::clone(&pool));
        pool
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Id, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let State::Down(down) = &mut *self.0.state() {
            down.is_probed = false;
        }
    }
}

impl Pool {
    fn take(&self) -> Option<Link> {
        let now = Instant::now();
        let fresh = |(link, since): &(Link, Instant)| {
            now < *since + MAX_REST && now < link.born() + MAX_AGE && link.is_quiet()
        };
        let mut idle = self.idle();
        while let Some(rested) = idle.pop() {
            if fresh(&rested) {
                return Some(rested.0);
            }
        }
        None
    }

    /// There is room: who has had a slot has taken a connection out, or made one for it.
    fn put(&self, link: Link) {
        self.idle().push((link, Instant::now()));
    }

    fn is_stale(&self) -> bool {
        let now = Instant::now();
        self.idle().iter().all(|(_, since)| now >= *since + MAX_REST)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Link, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("timed out")]
    Silent,
    /// All our connections were in use.
    #[error("timed out waiting for a connection")]
    Crowded,
    /// A connection was closed while it rested, and it is not known whether the command arrived.
    #[error("a connection at rest was closed")]
    Stale,
    #[error("{0}")]
    Unreachable(String),
    #[error("it sent {0}")]
    Breach(Breach),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Breach(breach) => Self::Breach(breach),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl Figures {
    fn new(server: &str, metrics: &Metrics) -> Self {
        let requests = |result| metrics.counter(&names::MEMCACHED_REQUESTS, &[server, result]);
        Self {
            seconds: metrics.histogram(&names::MEMCACHED_SECONDS, &[server]),
            ok: requests("ok"),
            down: requests("down"),
            timeout: requests("timeout"),
            invalid: requests("invalid"),
            up: metrics.gauge(&names::MEMCACHED_UP, &[server]),
        }
    }
}
