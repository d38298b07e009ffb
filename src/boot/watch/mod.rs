//! Whether the certificates that clients see will last: looked at from outside, and told in time.
//!
//! Once an hour it shakes hands with gatepost's own listeners, for some names at each, compares what
//! it is shown with the files, and warns of what ends soon: in the log, in the metrics, in `status`,
//! and by a program (`certificate_hook`). That it has not looked for a day is a problem of its own.
//!
//! **Limits.** Listeners that begin with TLS, and not those behind a PROXY header, are asked from
//! outside; servers with STARTTLS show the same certificates. Some [`NAMES`] names a listener and
//! hour, others the next time.

mod hook;
mod stages;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stages::{Told, Warning};

use super::model::Model;
use crate::net::Endpoint;
use crate::observe::{Level, Log, Metrics};
use crate::tls::certs::facts::Facts;
use crate::tls::certs::{Expiry, Identity};
use crate::tls::client::shown;

/// The first look comes soon after a start.
const FIRST: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(3600);
/// How long one handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A look that did not happen for so long is a problem.
const LATEST: Duration = Duration::from_secs(24 * 3600);
/// How many names are asked for at a listener, and at how many listeners.
const NAMES: usize = 16;
const LISTENERS: usize = 64;
/// So many warnings of one look are told one by one.
const LINES: usize = 50;

/// Outlives every reload.
#[derive(Debug)]
pub struct Watch {
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    spots: Vec<Spot>,
    identities: Vec<Arc<Identity>>,
    hook: Option<PathBuf>,
    /// None before the first configuration serves.
    log: Option<Log>,
    told: Told,
    /// When it last looked; at first, when it began.
    looked: SystemTime,
    looks: usize,
    /// What was shown and should not have been.
    wrong: Vec<String>,
}

/// A listener that begins with TLS.
#[derive(Clone, Debug)]
struct Spot {
    at: SocketAddr,
    identities: Vec<Arc<Identity>>,
}

impl Watch {
    pub fn new(metrics: Metrics) -> Self {
        let now = SystemTime::now();
        metrics.certificates_checked(now);
        let state = State {
            spots: Vec::new(),
            identities: Vec::new(),
            hook: None,
            log: None,
            told: Told::default(),
            looked: now,
            looks: 0,
            wrong: Vec::new(),
        };
        Self { metrics, state: Mutex::new(state) }
    }

    /// From now on `model` is what clients meet.
    pub fn follow(&self, model: &Model) {
        let mut state = self.lock();
        let spots = model.doors.iter().filter_map(|(listen, door)| {
            let Endpoint::Tcp(at) = &listen.endpoint else { return None };
            let identities = door.sites.iter().filter_map(|site| site.tls.as_ref());
            let identities = identities.map(|tls| Arc::clone(tls.identity())).collect();
            let is_asked = door.ssl && !door.proxy_protocol;
            is_asked.then_some(Spot { at: near(*at), identities })
        });
        state.spots = spots.take(LISTENERS).collect();
        state.identities = model.identities.clone();
        state.hook = model.settings.certificate_hook.clone();
        state.log = Some(model.log.clone());
    }

    /// What an admin should see to.
    pub fn problems(&self, now: SystemTime) -> Vec<String> {
        let state = self.lock();
        let mut problems = state.wrong.clone();
        if now.duration_since(state.looked).is_ok_and(|age| age > LATEST) {
            let words = "the certificates that are served have not been checked for 24 hours";
            problems.push(words.to_owned());
        }
        problems
    }

    /// Looks for as long as the process lives.
    pub async fn attend(self: Arc<Self>) {
        tokio::time::sleep(FIRST).await;
        loop {
            self.look().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self) {
        let (spots, looks) = {
            let state = self.lock();
            (state.spots.clone(), state.looks)
        };
        let mut wrong = Vec::new();
        for spot in &spots {
            wrong.extend(spot.look(looks.wrapping_mul(NAMES)).await);
        }
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let (warnings, hook, log, news) = {
            let mut state = self.lock();
            let all: Vec<_> = state.identities.iter().flat_map(|one| one.expiry()).collect();
            let warnings = state.told.news(&all, seconds);
            let news: Vec<_> =
                wrong.iter().filter(|one| !state.wrong.contains(one)).cloned().collect();
            (state.wrong, state.looked) = (wrong, now);
            state.looks = looks.wrapping_add(1);
            (warnings, state.hook.clone(), state.log.clone(), news)
        };
        self.metrics.certificates_checked(now);
        let Some(log) = log else { return };
        for one in &news {
            log.line(Level::Error, None, one);
        }
        for warning in warnings.iter().take(LINES) {
            log.line(warning.level(), None, warning);
        }
        if let Some(more) = warnings.len().checked_sub(LINES).filter(|more| *more > 0) {
            log.line(Level::Warn, None, format_args!("{more} more certificates end soon"));
        }
        if let Some(program) = hook {
            hook::run(&program, &warnings, &log).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spot {
    /// What is shown here and lies in no file.
    async fn look(&self, from: usize) -> Vec<String> {
        let all: Vec<Expiry> = self.identities.iter().flat_map(|one| one.expiry()).collect();
        let mut ends: HashSet<i64> = all.iter().map(|one| one.not_after).collect();
        let start = from.checked_rem(all.len()).unwrap_or(0);
        let sample: Vec<_> = all.iter().cycle().skip(start).take(NAMES.min(all.len())).collect();
        // As the files are now, which may be newer than what was taken in.
        let on_disk = sample.iter().filter_map(|one| Facts::in_file(&one.certificate));
        ends.extend(on_disk.map(|facts| facts.not_after));
        let mut wrong = Vec::new();
        for one in sample {
            let name = one.name.replace('*', "gatepost-check");
            match shown(self.at, &name, PATIENCE).await {
                Ok(leaf) => {
                    let end = Facts::read(&leaf).map(|facts| facts.not_after);
                    if end.is_none_or(|end| !ends.contains(&end)) {
                        wrong.push(format!(
                            "{} serves a certificate for {name:?} that is in none of its files",
                            self.at
                        ));
                    }
                }
                Err(why) => {
                    wrong.push(format!("{} serves no certificate for {name:?}: {why}", self.at));
                }
            }
        }
        wrong
    }
}

/// Where a listener is reached from here.
fn near(at: SocketAddr) -> SocketAddr {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, at.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        _ => at,
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = &self.file;
        match self.days {
            ..=0 if self.is_over => write!(f, "certificate {file:?} for {:?} has ended", self.name),
            days => write!(f, "certificate {file:?} for {:?} ends in {days} days", self.name),
        }
    }
}

impl Warning {
    fn level(&self) -> Level {
        if self.days <= 3 { Level::Error } else { Level::Warn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_does_not_happen_is_a_problem() {
        let watch = Watch::new(Metrics::new());
        let now = SystemTime::now();
        assert_eq!(watch.problems(now), Vec::<String>::new());
        assert_eq!(watch.problems(now + LATEST + Duration::from_secs(9)).len(), 1);
    }

    #[test]
    fn wildcard_listeners_are_reached_on_loopback() {
        for (at, want) in [
            ("0.0.0.0:993", "127.0.0.1:993"),
            ("[::]:993", "[::1]:993"),
            ("192.0.2.1:993", "192.0.2.1:993"),
        ] {
            assert_eq!(near(at.parse().unwrap()).to_string(), want);
        }
    }
}
