//! That a handler is set aside outlives a restart, is counted, and is told even if no login comes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::edge::{Turn, shown};
use super::registry::{Locked, Registry};
use crate::net::halt::Halt;
use crate::observe::{Metrics, names};
use crate::route::Error;
use crate::route::lock::Kind;
use crate::route::state::Store;
use crate::route::state::clock::Seconds;
use crate::route::voice::Voice;

const SECTION: &str = "handlers";
/// More are not read back, and neither are longer texts.
const MOST: usize = 1024;
const LONGEST: usize = 2048;

/// A handler that is set aside, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    lookup: String,
    url: String,
    since: Seconds,
    cause: String,
}

/// Keeps what [`Registry`] knows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper {
    registry: Registry,
    store: Store,
    voice: Voice,
    turned: Arc<Notify>,
}

impl Keeper {
    /// Hears of every edge from now on.
    pub fn new(registry: &Registry, store: Store, metrics: &Metrics, voice: Voice) -> Self {
        let (turned, metrics) = (Arc::new(Notify::new()), metrics.clone());
        let own = Arc::clone(&turned);
        registry.on_edge(move |edge| {
            if let Turn::Aside { .. } = edge.turn {
                let labels = [Kind::Lookup.name(), shown(&edge.url)];
                metrics.counter(&names::SERVER_LOCKS, &labels).inc();
            }
            own.notify_one();
        });
        Self { registry: registry.clone(), store, voice, turned }
    }

    /// Sets aside what was so before a restart. Once, before any configuration is built.
    pub fn restore(&self) {
        let kept: Vec<Kept> = self.store.section(SECTION).unwrap_or_default();
        let sound = kept.into_iter().filter(Kept::is_sound).take(MOST);
        self.registry.restore(sound.map(Locked::from).collect());
    }

    /// Writes down what turns, and tells what no login has told, until `stop`.
    pub async fn run<T: Copy>(&self, mut stop: Halt<T>) {
        loop {
            tokio::select! {
                () = self.turned.notified() => self.look(),
                _ = stop.heard() => return,
            }
        }
    }

    fn look(&self) {
        let locked: Vec<Kept> = self.registry.locked().iter().map(Kept::from).collect();
        self.store.put(SECTION, &locked);
        for edge in self.registry.edges().take() {
            let error = Error::Edge(edge);
            self.voice.say(error.level(), error);
        }
    }
}

impl Kept {
    /// Fit to be shown: a file may have been written by anybody.
    fn is_sound(&self) -> bool {
        [&self.lookup, &self.url, &self.cause]
            .iter()
            .all(|text| text.len() <= LONGEST && !text.contains(char::is_control))
    }
}

impl From<&Locked> for Kept {
    fn from(locked: &Locked) -> Self {
        let Locked { lookup, url, since, cause } = locked.clone();
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { lookup, url, since, cause }
    }
}

impl From<Kept> for Locked {
    fn from(kept: Kept) -> Self {
        let Kept { lookup, url, since, cause } = kept;
        // What no clock can say was written by nobody of ours.
        let since = UNIX_EPOCH.checked_add(Duration::from_secs(since));
        Self { lookup, url, since: since.unwrap_or_else(SystemTime::now), cause }
    }
}

/// What must hold for any section at all.
pub fn hold_for_any(input: &[u8]) {
    let Ok(kept) = serde_json::from_slice::<Vec<Kept>>(input) else { return };
    for one in kept.into_iter().filter(Kept::is_sound).take(8) {
        let locked = Locked::from(one);
        assert!(!locked.cause.contains(char::is_control));
        Registry::default().restore(vec![locked]);
    }
}
