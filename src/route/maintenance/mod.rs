//! Maintenance: when nobody can be let in, it is said so, in words and for how long.
//!
//! **By itself** it begins for an upstream when a login has found none of its servers usable, and
//! ends with the first server that works. Logins are still tried: nobody waits for a flag to fall.
//! **By hand** it is put on for a domain or for all, with a text and, if wanted, an end; while it is
//! on, logins are refused with that text and no upstream is touched. No test ends it.
//!
//! **In and out.** [`Maintenance::in_force`] says whether a domain's logins are refused now;
//! [`Maintenance::of_upstream`] whether an upstream has nobody. [`Maintenance::on`] and
//! [`Maintenance::off`] are for administrators, [`Maintenance::report`] tells the episodes.
//!
//! **Promises.**
//! - Both edges of an episode are logged once, with the cause; what was ordered survives a restart,
//!   and reaches the other nodes through the cache.
//! - A text is one line of printable ASCII that can carry no response code.
//! - While the users of a domain cannot be let in for want of a server, names of it that nobody knows
//!   hear the same ([`Maintenance::outage`]).
//!
//! **Limits.** Nodes agree on what was ordered by hand alone: whom a node cannot reach is its own
//! affair. 200 episodes are remembered, 1000 maintenances may be on.

mod episode;
pub mod notice;
mod outage;
mod shared;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use episode::{Episode, Reported};
pub use notice::{Notice, check_text};
pub use outage::Clientele;

use super::state::Store;
use super::state::clock::{Clock, Seconds, spell};
use super::state::directives::Settings;
use super::voice::Voice;
use crate::login::{Kind, Refusal};
use crate::memcached::Cache;
use crate::memcached::bus::Bus;
use crate::observe::{Level, Metrics, names};
use episode::{History, MONTH};
use notice::Order;
use outage::Outages;
use shared::Sheet;

const SECTION: &str = "maintenance";
const HISTORY: &str = "episodes";
/// How many may be on by hand.
const MOST: usize = 1000;

/// Whom it is for. A domain is in lower case.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    All,
    Domain(String),
    /// The users of an upstream: of what began by itself.
    Upstream(String),
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{0}")]
    Text(String),
    #[error("the end is not in the future")]
    Past,
    #[error("there are {MOST} maintenances already")]
    TooMany,
    #[error("\"{0}\" is not a domain")]
    Domain(String),
}

/// How far an order has come.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// There is no fleet: this node is all.
    Here,
    /// The other nodes know, or will within a second.
    Fleet,
    /// The others do not know, and why.
    HereOnly(String),
}

/// What is on and what was. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Maintenance(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
    store: Store,
    clock: Clock,
    cache: Cache,
    bus: Bus,
    gauge: Gauge,
    voice: Voice,
    outages: Mutex<Outages>,
    /// Whether there are any: logins that lead in ask each time.
    has_outages: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    /// What was ordered by hand, as the fleet knows it.
    sheet: Sheet,
    history: History,
}

/// What is on, for administrators.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    pub scope: Scope,
    pub text: String,
    pub is_manual: bool,
    pub since: Seconds,
    pub until: Option<Seconds>,
    pub by: Option<String>,
    pub cause: Option<String>,
}

impl Maintenance {
    pub fn new(
        store: Store,
        clock: Clock,
        cache: Cache,
        bus: Bus,
        metrics: &Metrics,
        voice: Voice,
    ) -> Self {
        let gauge = metrics.gauge(&names::MAINTENANCE, &[]);
        Self(Arc::new(Inner {
            state: Mutex::default(),
            changed: Notify::new(),
            store,
            clock,
            cache,
            bus,
            gauge,
            voice,
            outages: Mutex::default(),
            has_outages: AtomicBool::new(false),
        }))
    }

    /// Another configuration is in force.
    pub fn follow(&self, settings: &Settings) {
        self.lock().settings = settings.clone();
        self.0.changed.notify_one();
    }

    /// Takes up what was on before a restart. Once, before anything else.
    pub fn restore(&self) {
        let mut state = self.lock();
        state.sheet = self.0.store.section::<Sheet>(SECTION).unwrap_or_default().sound();
        state.history = self.0.store.section::<History>(HISTORY).unwrap_or_default().sound();
        self.count(&state);
    }

    /// Whether the logins of `domain` are refused now, by hand: what is for the domain goes before
    /// what is for all. None: no domain, so only what is for all.
    pub fn in_force(&self, domain: Option<&str>) -> Option<Notice> {
        let state = self.lock();
        if state.sheet.orders.is_empty() {
            return None;
        }
        let now = self.0.clock.now();
        let of = |scope: &Scope| {
            let order = state.sheet.orders.get(scope)?;
            let is_on = order.until.is_none_or(|until| until > now);
            is_on.then(|| order.notice(&state.settings.text, now))
        };
        let domain = domain.map(|domain| Scope::Domain(domain.to_ascii_lowercase()));
        domain.and_then(|scope| of(&scope)).or_else(|| of(&Scope::All))
    }

    /// What takes the place of a greeting now, where that is wanted.
    pub fn at_greeting(&self) -> Option<Notice> {
        let is_wanted = self.lock().settings.greeting;
        is_wanted.then(|| self.in_force(None)).flatten()
    }

    /// Whether an upstream has nobody who can serve.
    pub fn of_upstream(&self, upstream: &str) -> Option<Notice> {
        let state = self.lock();
        state.history.open(upstream)?;
        let text = state.settings.text.clone();
        Some(Notice { text, until: None, retry_after: None, is_manual: false })
    }

    pub fn is_ailing(&self, upstream: &str) -> bool {
        self.lock().history.open(upstream).is_some()
    }

    /// Nobody could be reached for a user that a source knows; to find out has taken so long.
    pub fn nobody_for(&self, of: Clientele<'_>, upstream: Option<&str>, took: Duration) {
        let mut outages = self.outages();
        outages.enter(&of.to_string(), upstream, took, Instant::now());
        self.0.has_outages.store(true, Ordering::Relaxed);
    }

    /// A server has ruled on a user of those.
    pub fn somebody_for(&self, of: Clientele<'_>) {
        if self.0.has_outages.load(Ordering::Relaxed) {
            let mut outages = self.outages();
            outages.over(&of.to_string());
            self.0.has_outages.store(!outages.is_empty(), Ordering::Relaxed);
        }
    }

    /// What users are told now, and after how long, if the last one of those that a source knows could
    /// not be let in for want of a server. It is what a name hears that no source knows.
    pub fn outage(&self, of: Clientele<'_>) -> Option<(Refusal, Duration)> {
        if !self.0.has_outages.load(Ordering::Relaxed) {
            return None;
        }
        let goes_on = |upstream: &str| self.is_ailing(upstream);
        let found = self.outages().of(&of.to_string(), goes_on, Instant::now())?;
        let notice = found.upstream.and_then(|upstream| self.of_upstream(&upstream));
        let refusal = notice.map(|notice| notice.refusal());
        Some((refusal.unwrap_or_else(|| Refusal::new(Kind::Unavailable)), found.took))
    }

    fn outages(&self) -> MutexGuard<'_, Outages> {
        self.0.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `upstream` has no usable server any more.
    pub fn began(&self, upstream: &str, cause: Option<&str>) {
        let now = self.0.clock.now();
        let mut state = self.lock();
        let scope = Scope::Upstream(upstream.to_owned());
        let cause = match cause {
            Some(cause) => format!("upstream \"{upstream}\" has no usable server: {cause}"),
            None => format!("upstream \"{upstream}\" has no usable server"),
        };
        if !state.history.begin(Episode::new(scope, &cause, now, false)) {
            return;
        }
        self.0.voice.say(Level::Error, format_args!("maintenance began: {cause}"));
        let most = state.settings.alert_count;
        let lately = state.history.lately(upstream, now);
        if most > 0 && lately > most {
            let days = MONTH / 86_400;
            let words = format!(
                "maintenance of upstream \"{upstream}\" began {lately} times within {days} days"
            );
            self.0.voice.say(Level::Alert, words);
        }
        self.settle(&state);
    }

    /// A server of `upstream` works again.
    pub fn ended(&self, upstream: &str) {
        let mut state = self.lock();
        let now = self.0.clock.now();
        let Some(length) = state.history.end(&Scope::Upstream(upstream.to_owned()), now) else {
            return;
        };
        let words = format!(
            "maintenance ended after {}, upstream \"{upstream}\" works again",
            spell(length)
        );
        self.0.voice.say(Level::Notice, words);
        self.settle(&state);
    }

    /// Ends what has an end, and tells what lasts too long. Gives the time of the next such event.
    fn look(&self) -> Option<Seconds> {
        let now = self.0.clock.now();
        let mut state = self.lock();
        let over: Vec<_> = state
            .sheet
            .orders
            .iter()
            .filter(|(_, order)| order.until.is_some_and(|until| until <= now))
            .map(|(scope, _)| scope.clone())
            .collect();
        for scope in &over {
            state.sheet.orders.remove(scope);
            self.tell_off(&mut state, scope, "its time is over");
        }
        let limit = state.settings.alert_length.as_secs();
        let long = if limit > 0 { state.history.overdue(now, limit) } else { Vec::new() };
        for (scope, length) in &long {
            let words = format!("maintenance of {scope} has lasted {}", spell(*length));
            self.0.voice.say(Level::Alert, words);
        }
        if !over.is_empty() || !long.is_empty() {
            self.settle(&state);
        }
        let ends = state.sheet.orders.values().filter_map(|order| order.until);
        let alert = (limit > 0).then(|| state.history.next_alert(limit)).flatten();
        ends.chain(alert).min()
    }

    /// What is on.
    pub fn status(&self) -> Vec<Status> {
        let state = self.lock();
        let manual = state.sheet.orders.iter().map(|(scope, order)| Status {
            scope: scope.clone(),
            text: order.text.clone().unwrap_or_else(|| state.settings.text.clone()),
            is_manual: true,
            since: order.since,
            until: order.until,
            by: Some(order.by.clone()),
            cause: None,
        });
        let own =
            state.history.all_open().filter(|episode| !episode.is_manual).map(|episode| Status {
                scope: episode.scope.clone(),
                text: state.settings.text.clone(),
                is_manual: false,
                since: episode.began,
                until: None,
                by: None,
                cause: Some(episode.cause.clone()),
            });
        manual.chain(own).collect()
    }

    /// How long one may take, and how many there may be within 30 days, before it is more than usual;
    /// none: any.
    pub fn usual(&self) -> (Option<Duration>, Option<usize>) {
        let Settings { alert_length, alert_count, .. } = self.lock().settings.clone();
        (
            Some(alert_length).filter(|length| !length.is_zero()),
            Some(alert_count).filter(|count| *count > 0),
        )
    }

    /// The episodes, the newest first, each with what is unusual about it.
    pub fn report(&self) -> Vec<Reported> {
        let state = self.lock();
        let limit = state.settings.alert_length.as_secs();
        state.history.report(self.0.clock.now(), limit, state.settings.alert_count)
    }

    /// Notes what changed between two sheets of orders: episodes, log lines.
    fn turn_to(&self, state: &mut State, sheet: Sheet) {
        let old = std::mem::replace(&mut state.sheet, sheet);
        let gone: Vec<_> = old
            .orders
            .keys()
            .filter(|one| !state.sheet.orders.contains_key(one))
            .cloned()
            .collect();
        for scope in gone {
            self.tell_off(state, &scope, "switched off");
        }
        let orders: BTreeMap<Scope, Order> = state.sheet.orders.clone();
        for (scope, order) in orders {
            if old.orders.get(&scope).is_some_and(|known| *known == order) {
                continue;
            }
            let text = order.text.as_deref().unwrap_or(&state.settings.text);
            let cause = format!("by {}: \"{text}\"", order.by);
            let is_new =
                state.history.begin(Episode::new(scope.clone(), &cause, order.since, true));
            let edge = if is_new { "began" } else { "goes on" };
            self.0.voice.say(Level::Notice, format_args!("maintenance {edge}: {scope}, {cause}"));
        }
        self.settle(state);
    }

    fn tell_off(&self, state: &mut State, scope: &Scope, why: &str) {
        let length = state.history.end(scope, self.0.clock.now()).unwrap_or_default();
        let words = format_args!("maintenance ended after {}, {scope}: {why}", spell(length));
        self.0.voice.say(Level::Notice, words);
    }

    /// What is on has changed: it is kept and counted.
    fn settle(&self, state: &State) {
        self.0.store.put(SECTION, &state.sheet);
        self.0.store.put(HISTORY, &state.history);
        self.count(state);
        self.0.changed.notify_one();
    }

    fn count(&self, state: &State) {
        let own = state.history.all_open().filter(|episode| !episode.is_manual).count();
        self.0.gauge.set(i64::try_from(own + state.sheet.orders.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all domains"),
            Self::Domain(domain) => write!(f, "domain \"{domain}\""),
            Self::Upstream(upstream) => write!(f, "upstream \"{upstream}\""),
        }
    }
}

/// What must hold for any section, and any entry in the cache.
pub fn hold_for_any(input: &[u8]) {
    if let Some(sheet) = Sheet::read(input) {
        for order in sheet.orders.values() {
            assert!(order.text.as_deref().is_none_or(|text| check_text(text).is_ok()));
        }
        assert!(sheet.orders.len() <= MOST);
        assert_eq!(Sheet::read(&sheet.to_bytes()), Some(sheet));
    }
    if let Ok(history) = serde_json::from_slice::<History>(input) {
        history.sound().report(0, 1, 1);
    }
}

#[cfg(test)]
mod tests;
