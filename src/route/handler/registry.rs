//! Every handler of this gatepost: kept across reloads, shown to admins, and turned off by them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use super::edge::{Edge, Edges, Hook, shown};
use super::figures::Figures;
use super::flight::Flights;
use super::state::{Policy, Standing, State, Status};
use crate::observe::Metrics;

/// Cheap to clone; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Shared>);

/// By lookup and URL.
type States = BTreeMap<(Box<str>, Box<str>), Arc<State>>;

#[derive(Debug, Default)]
struct Shared {
    states: Mutex<States>,
    restored: Mutex<Vec<Locked>>,
    edges: Arc<Edges>,
    flights: Arc<Flights>,
}

/// A handler that is set aside, to be kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    pub lookup: String,
    pub url: String,
    pub since: SystemTime,
    pub cause: String,
}

/// What became of turning a handler off or on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// In how many lookups it stands.
    pub found: usize,
    /// What was otherwise before, by URL.
    pub changed: Vec<String>,
}

/// Whether an administrator means the handler at `url` by `name`: its URL, or its host and port.
pub fn is_called(url: &str, name: &str) -> bool {
    let seen = shown(url);
    url == name || seen == name || place(seen) == name
}

/// The host and port of a URL.
fn place(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    behind.split('/').next().unwrap_or(behind)
}

impl Registry {
    /// The state of the handler at `url` in `lookup`: what an earlier configuration has known of it
    /// stays, its policy too until [`adopt`](Self::adopt). `source` says where it is configured.
    pub fn state(
        &self,
        (lookup, url): (&str, &str),
        (policy, source): (Policy, &str),
        metrics: &Metrics,
    ) -> Arc<State> {
        let mut states = self.states();
        // Of configurations that are no more.
        states.retain(|(_, url), state| {
            let is_used = Arc::strong_count(state) > 1;
            if !is_used {
                Figures::new(metrics, url).gone();
            }
            is_used
        });
        let key = (Box::from(lookup), Box::from(url));
        if let Some(known) = states.get(&key) {
            return Arc::clone(known);
        }
        let (figures, edges) = (Figures::new(metrics, url), Arc::clone(&self.0.edges));
        let state = Arc::new(State::new(lookup, url, (policy, source), figures, edges));
        states.insert(key, Arc::clone(&state));
        state
    }

    /// The configuration that says so of `state` is in force.
    pub fn adopt(&self, state: &State, policy: Policy, source: &str) {
        state.adopt(policy, source);
        self.lock_again();
    }

    /// Every handler that is configured, by lookup and URL.
    pub fn status(&self) -> Vec<Status> {
        let now = Instant::now();
        let states = self.states();
        let used = states.values().filter(|state| Arc::strong_count(state) > 1);
        used.map(|state| state.status(now)).collect()
    }

    /// Asks `handler` no more, or again: its URL, or its host and port; in `lookup`, or in whatever
    /// lookup it stands. It stays so over reloads, until it is enabled or gatepost starts anew.
    pub fn turn(&self, handler: &str, lookup: Option<&str>, is_off: bool) -> Turned {
        let states = self.states();
        let is_meant = |state: &&Arc<State>| {
            is_called(&state.url, handler) && lookup.is_none_or(|lookup| *state.lookup == *lookup)
        };
        let mut turned = Turned::default();
        for state in states.values().filter(is_meant) {
            turned.found += 1;
            if state.disable(is_off) {
                turned.changed.push(shown(&state.url).to_owned());
            }
        }
        turned
    }

    /// `hook` hears of each edge as it happens, from any worker: it must be quick, and not ask this
    /// registry anything.
    pub fn on_edge(&self, hook: impl Fn(&Edge) + Send + Sync + 'static) {
        let hook: Hook = Arc::new(hook);
        self.0.edges.hook(hook);
    }

    /// Those that are set aside, to be kept over a restart.
    pub fn locked(&self) -> Vec<Locked> {
        let aside = |status: Status| match status.standing {
            Standing::Aside { since, cause } => {
                Some(Locked { lookup: status.lookup, url: status.url, since, cause })
            }
            Standing::Healthy | Standing::Disabled => None,
        };
        self.status().into_iter().filter_map(aside).collect()
    }

    /// Sets them aside again, now or when they are configured. Each is due at once: one question is
    /// spent on seeing whether it is back.
    pub fn restore(&self, locked: Vec<Locked>) {
        *self.0.restored.lock().unwrap_or_else(PoisonError::into_inner) = locked;
        self.lock_again();
    }

    pub(super) fn edges(&self) -> &Edges {
        &self.0.edges
    }

    pub(super) fn flights(&self) -> &Arc<Flights> {
        &self.0.flights
    }

    fn lock_again(&self) {
        let states = self.states();
        let mut restored = self.0.restored.lock().unwrap_or_else(PoisonError::into_inner);
        restored.retain(|Locked { lookup, url, since, cause }| {
            let found = states.get(&(lookup.as_str().into(), url.as_str().into()));
            found.inspect(|state| state.restore(*since, cause, Instant::now())).is_none()
        });
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
