//! Servers that are asked whether they are well: every so often (`health_check`), and those that are
//! locked, before they are let in again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::probe::{Kind, Prober};
use super::ward::Ward;
use crate::config::value::{Wrong, read_time};
use crate::config::{Block, Statement};
use crate::http::Names;
use crate::net::halt::Halt;
use crate::net::{Endpoint, Place};
use crate::observe::tasks;
use crate::route::group::{Group, Server};
use crate::route::lock::{self, Locks, Retest, Tested};

/// How long a test of what is locked may take, where no check says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many addresses of one name are asked.
const MOST_ADDRESSES: usize = 64;

/// `health_check`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub interval: Duration,
    /// By how much each pause may be longer.
    pub jitter: Duration,
    pub fails: u32,
    pub passes: u32,
    pub timeout: Duration,
    /// Another port than logins use.
    pub port: Option<u16>,
    /// What is spoken there, if not what logins speak.
    pub kind: Option<Kind>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            jitter: Duration::from_millis(500),
            fails: 1,
            passes: 1,
            timeout: Duration::from_secs(5),
            port: None,
            kind: None,
        }
    }
}

impl Settings {
    pub fn read(block: &Block, at: &Statement) -> Self {
        let mut settings = Self::default();
        for parameter in at.args() {
            if settings.take(parameter).is_err() {
                block.fault(at, format!("invalid parameter \"{parameter}\""));
            }
        }
        settings
    }

    fn take(&mut self, parameter: &str) -> Result<(), Wrong> {
        let (name, text) = parameter.split_once('=').ok_or(Wrong::Form)?;
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_plain).filter(|one| *one > 0).ok_or(Wrong::Form)
        };
        let some_time = |text| {
            read_time(text).and_then(|time| {
                if time < Duration::from_millis(100) { Err(Wrong::Form) } else { Ok(time) }
            })
        };
        match name {
            "interval" => self.interval = some_time(text)?,
            "timeout" => self.timeout = some_time(text)?,
            "jitter" => self.jitter = read_time(text)?,
            "fails" => self.fails = number(text)?,
            "passes" => self.passes = number(text)?,
            "port" => self.port = Some(u16::try_from(number(text)?).map_err(|_| Wrong::Form)?),
            "type" => self.kind = Some(Kind::of(text).ok_or(Wrong::Form)?),
            _ => return Err(Wrong::Form),
        }
        Ok(())
    }
}

/// A group as one protocol uses it, to be asked how it is.
#[derive(Clone)]
pub struct Patient {
    pub group: Arc<Group>,
    pub kind: Kind,
    /// The protocol's own port, where none is written.
    pub port: u16,
    pub names: Names,
    pub prober: Arc<dyn Prober>,
}

/// Asks all servers that are to be asked. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Checks(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// None until [`Checks::run`] gives a runtime to run on.
    runtime: Option<tokio::runtime::Handle>,
    visits: Vec<Visit>,
    tasks: Vec<JoinHandle<()>>,
}

/// One server as one protocol uses it.
#[derive(Clone)]
struct Visit {
    patient: Patient,
    server: Server,
    ward: Arc<Ward>,
}

impl Checks {
    /// From now on these are asked, and no others. Of patients that are the same (group, protocol,
    /// port) the first counts.
    pub fn follow(&self, locks: &Locks, patients: Vec<Patient>) {
        locks.forget_tests(lock::Kind::Upstream);
        let mut visits: Vec<Visit> = Vec::new();
        for patient in patients {
            let is_known = visits.iter().any(|visit| {
                let known = &visit.patient;
                (&known.group.name, known.kind, known.port)
                    == (&patient.group.name, patient.kind, patient.port)
            });
            if is_known {
                continue;
            }
            let ward = patient.group.ward();
            for (index, server) in patient.group.servers().iter().enumerate() {
                let visit =
                    Visit { patient: patient.clone(), server: server.clone(), ward: ward.clone() };
                let lock = ward.handle(server, index + 1, patient.port);
                lock.tested_by(Arc::new(visit.clone()));
                visits.push(visit);
            }
        }
        let mut inner = self.lock();
        inner.visits = visits;
        inner.start();
    }

    /// Asks until `stop`.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>) {
        {
            let mut inner = self.lock();
            inner.runtime = Some(tokio::runtime::Handle::current());
            inner.start();
        }
        stop.heard().await;
        let mut inner = self.lock();
        inner.runtime = None;
        inner.end();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn start(&mut self) {
        self.end();
        let Some(runtime) = &self.runtime else { return };
        let _here = runtime.enter();
        for visit in &self.visits {
            // One that is not to be used need not be asked.
            if let Some(settings) = visit.patient.group.check
                && !visit.server.is_down
            {
                self.tasks.push(tasks::spawn("health_check", visit.clone().pay(settings)));
            }
        }
    }

    fn end(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Visit {
    async fn pay(self, settings: Settings) {
        // All servers at the same moment would be a burst every time.
        sleep(settings.interval.mul_f64(fastrand::f64())).await;
        loop {
            self.once(&settings).await;
            sleep(settings.interval + settings.jitter.mul_f64(fastrand::f64())).await;
        }
    }

    async fn once(&self, settings: &Settings) {
        // What cannot be resolved is no address to judge.
        let Ok(found) = self.addresses().await else { return };
        for endpoint in found {
            let asked = match (settings.port, &endpoint) {
                (Some(port), Endpoint::Tcp(address)) => {
                    std::net::SocketAddr::new(address.ip(), port).into()
                }
                _ => endpoint.clone(),
            };
            let done = self.ask(&asked, settings.kind, settings.timeout).await;
            let (server, port) = (&self.server, self.patient.port);
            let enough = (settings.fails, settings.passes);
            self.ward.checked(server, port, &endpoint, &done, enough);
        }
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        kind: Option<Kind>,
        patience: Duration,
    ) -> Result<(), String> {
        let host = match self.server.place() {
            Place::Named { host, .. } => Some(host.as_str()),
            Place::Fixed(_) => None,
        };
        let patient = &self.patient;
        let probe = patient.prober.probe(endpoint, host, kind.unwrap_or(patient.kind));
        let late = || format!("no answer within {patience:?}");
        timeout(patience, probe).await.unwrap_or_else(|_| Err(late()))
    }

    async fn addresses(&self) -> Result<Vec<Endpoint>, String> {
        let found = self.server.addresses(&self.patient.names, self.patient.port).await;
        let mut found = found.map_err(|error| error.to_string())?;
        found.truncate(MOST_ADDRESSES);
        Ok(found)
    }
}

impl Retest for Visit {
    /// One address that works is enough.
    fn retest(&self) -> Tested<'_> {
        Box::pin(async move {
            let check = self
                .patient
                .group
                .check
                .unwrap_or(Settings { timeout: PATIENCE, ..Settings::default() });
            let mut cause = "it has no address".to_owned();
            for endpoint in self.addresses().await? {
                match self.ask(&endpoint, None, check.timeout).await {
                    Ok(()) => {
                        self.ward.passed(&self.server, self.patient.port, &endpoint);
                        return Ok(());
                    }
                    Err(why) => cause = why,
                }
            }
            Err(cause)
        })
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visit({} of {})", self.server, self.patient.group.name)
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patient({} {})", self.group.name, self.kind.name())
    }
}

#[cfg(test)]
mod tests;
