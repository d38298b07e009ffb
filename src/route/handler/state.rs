//! What is known of one handler, shared by all workers and generations that ask it.
//!
//! ```text
//!            max_fails failures in a row
//! healthy ------------------------------> aside --retry_interval--> due
//!    ^------------- any answer -------------|                        | one question at a time
//!    ^------------- any answer --------------------------------------|
//! ```
//! Disabled is apart from that: by an admin, until enabled.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::edge::{Edge, Edges, Turn};
use super::figures::{Figures, Outcome};
use super::hedge::{self, Hedge};
use crate::observe::latency::Latency;

/// A handler that has answered nothing yet, and one too fast to tell, count as this fast.
const FASTEST: Duration = Duration::from_millis(1);

/// Two retries of many gateposts shall not fall on one moment: so much of the interval is chance.
const JITTER: f64 = 0.1;

/// When a handler is set aside, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After so many failures in a row; with 0, never.
    pub max_fails: u32,
    pub retry: Duration,
    /// Whether its edges are told to those who ask.
    pub tells: bool,
}

/// Of one handler, by its lookup and its URL.
pub struct State {
    /// The `lookup` it stands in; empty for `auth_http`.
    pub lookup: Box<str>,
    /// As it is configured.
    pub url: Box<str>,
    in_flight: AtomicUsize,
    inner: Mutex<Inner>,
    figures: Figures,
    edges: Arc<Edges>,
}

struct Inner {
    policy: Policy,
    source: Box<str>,
    latency: Latency,
    /// In a row.
    fails: u32,
    aside: Option<Aside>,
    disabled: bool,
    /// Since when those who ask it have heard nothing.
    quiet_since: Option<Instant>,
    last: Option<Last>,
    counts: Counts,
}

struct Aside {
    since: SystemTime,
    retry_at: Instant,
    is_probed: bool,
    cause: String,
}

/// The last thing that a handler did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    pub at: SystemTime,
    /// `ok`, `refused`, `unknown`, `wait`, or what failed.
    pub what: String,
    /// How long it took, if it answered.
    pub took: Option<Duration>,
}

/// Since it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub asked: u64,
    pub answered: u64,
    pub failed: u64,
    /// Questions that another was asked, too, because this one took longer than it does.
    pub hedged: u64,
}

/// How a handler stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Healthy,
    /// Set aside after failures: it is asked only to see whether it is back, or if nobody else is left.
    Aside {
        since: SystemTime,
        cause: String,
    },
    /// By an admin.
    Disabled,
}

/// What an admin sees of a handler.
#[derive(Clone, Debug)]
pub struct Status {
    pub lookup: String,
    pub url: String,
    /// Where it is configured: `FILE:LINE`, or the directive.
    pub source: String,
    pub standing: Standing,
    /// When one that is aside is tried again.
    pub retry: Option<Instant>,
    pub last: Option<Last>,
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    /// Failures in a row.
    pub fails: u32,
    pub in_flight: usize,
    pub counts: Counts,
}

/// Whether a handler may be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Healthy,
    /// Aside, and its time has come.
    Due,
    Aside,
    Disabled,
}

impl State {
    pub fn new(
        lookup: &str,
        url: &str,
        (policy, source): (Policy, &str),
        figures: Figures,
        edges: Arc<Edges>,
    ) -> Self {
        let inner = Inner {
            policy,
            source: source.into(),
            latency: Latency::default(),
            fails: 0,
            aside: None,
            disabled: false,
            quiet_since: None,
            last: None,
            counts: Counts::default(),
        };
        Self {
            lookup: lookup.into(),
            url: url.into(),
            in_flight: AtomicUsize::new(0),
            inner: Mutex::new(inner),
            figures,
            edges,
        }
    }

    /// A new configuration says so.
    pub fn adopt(&self, policy: Policy, source: &str) {
        let mut inner = self.inner();
        (inner.policy, inner.source) = (policy, source.into());
        self.figures.up(inner.aside.is_none() && !inner.disabled);
    }

    /// A question goes to it. What becomes of it is to be told to what this gives.
    pub fn begin(self: &Arc<Self>, now: Instant) -> Asking {
        let mut inner = self.inner();
        inner.counts.asked += 1;
        if self.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            inner.quiet_since = Some(now);
        }
        let is_probe = match &mut inner.aside {
            Some(aside) => !std::mem::replace(&mut aside.is_probed, true),
            None => false,
        };
        drop(inner);
        Asking { state: Arc::clone(self), began: now, is_probe }
    }

    pub fn fit(&self, now: Instant) -> Fit {
        let inner = self.inner();
        match &inner.aside {
            _ if inner.disabled => Fit::Disabled,
            None => Fit::Healthy,
            Some(aside) if now >= aside.retry_at && !aside.is_probed => Fit::Due,
            Some(_) => Fit::Aside,
        }
    }

    /// What one more question would have to expect here: the less, the better.
    pub fn cost(&self, now: Instant) -> f64 {
        let average = self.inner().latency.average(now).unwrap_or_default().max(FASTEST);
        let in_flight = u32::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        average.as_secs_f64() * (f64::from(in_flight) + 1.0)
    }

    /// How long one waits for it before another is asked as well.
    pub fn hedge_after(&self, hedge: Hedge, now: Instant) -> Option<Duration> {
        let seldom = match hedge {
            Hedge::Own => self.inner().latency.within(0.95, hedge::LEAST, now),
            Hedge::Off | Hedge::After(_) => None,
        };
        hedge.after(seldom)
    }

    /// It is being asked, and has said nothing to anybody for too long.
    pub fn is_silent(&self, now: Instant) -> bool {
        let is_asked = self.in_flight.load(Ordering::Relaxed) > 0;
        let since = self.inner().quiet_since;
        is_asked && since.is_some_and(|since| now.duration_since(since) >= hedge::SILENT)
    }

    /// The more, the worse.
    pub fn fails(&self) -> u32 {
        self.inner().fails
    }

    /// Another was asked a question as well.
    pub fn hedged(&self) {
        self.inner().counts.hedged += 1;
        self.figures.hedged();
    }

    /// It was given up, long after another had answered in its place.
    pub fn strike(&self, now: Instant) {
        self.failed("timed out (110: Connection timed out)", true, false, now);
    }

    /// By an admin, at run time; says whether it was otherwise before.
    pub fn disable(&self, is_off: bool) -> bool {
        let mut inner = self.inner();
        let was_off = std::mem::replace(&mut inner.disabled, is_off);
        self.figures.up(!is_off && inner.aside.is_none());
        was_off != is_off
    }

    pub fn status(&self, now: Instant) -> Status {
        let mut inner = self.inner();
        let standing = match &inner.aside {
            _ if inner.disabled => Standing::Disabled,
            None => Standing::Healthy,
            Some(aside) => Standing::Aside { since: aside.since, cause: aside.cause.clone() },
        };
        Status {
            lookup: self.lookup.to_string(),
            url: self.url.to_string(),
            source: inner.source.to_string(),
            standing,
            retry: inner.aside.as_ref().map(|aside| aside.retry_at),
            last: inner.last.clone(),
            p50: inner.latency.within(0.5, 1, now),
            p99: inner.latency.within(0.99, 1, now),
            fails: inner.fails,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            counts: inner.counts,
        }
    }

    /// Sets it aside as it was before a restart: since then, and due at once.
    pub fn restore(&self, since: SystemTime, cause: &str, now: Instant) {
        let mut inner = self.inner();
        inner.fails = inner.fails.max(inner.policy.max_fails);
        inner.aside =
            Some(Aside { since, retry_at: now, is_probed: false, cause: cause.to_owned() });
        self.figures.up(false);
    }

    fn answered(&self, outcome: Outcome, took: Duration, now: Instant) {
        self.figures.took(outcome, Some(took));
        let mut inner = self.inner();
        inner.latency.saw(took, now);
        inner.quiet_since = Some(now);
        inner.fails = 0;
        inner.counts.answered += 1;
        inner.last =
            Some(Last { at: SystemTime::now(), what: outcome.name().to_owned(), took: Some(took) });
        let back = inner.aside.take();
        let (tells, is_up) = (inner.policy.tells, !inner.disabled);
        drop(inner);
        if let Some(Aside { since, .. }) = back {
            self.figures.up(is_up);
            self.edges.add(self.edge(Turn::Back { since }), tells);
        }
    }

    /// `counts`: it is the handler's fault, whoever asks.
    fn failed(&self, cause: &str, counts: bool, is_probe: bool, now: Instant) {
        self.figures.took(Outcome::Failed, None);
        let mut inner = self.inner();
        inner.counts.failed += 1;
        inner.last = Some(Last { at: SystemTime::now(), what: cause.to_owned(), took: None });
        if !counts {
            // It has spoken, if only nonsense about one login.
            inner.quiet_since = Some(now);
            return;
        }
        inner.fails = inner.fails.saturating_add(1);
        let Policy { max_fails, retry, tells } = inner.policy;
        let retry_at = now + retry.mul_f64(1.0 - JITTER * fastrand::f64());
        if let Some(aside) = &mut inner.aside {
            cause.clone_into(&mut aside.cause);
            if is_probe {
                aside.retry_at = retry_at;
            }
            return;
        }
        if max_fails == 0 || inner.fails < max_fails {
            return;
        }
        let (since, cause) = (SystemTime::now(), cause.to_owned());
        inner.aside = Some(Aside { since, retry_at, is_probed: false, cause: cause.clone() });
        let fails = inner.fails;
        drop(inner);
        self.figures.up(false);
        self.edges.add(self.edge(Turn::Aside { fails, cause, since }), tells);
    }

    fn edge(&self, turn: Turn) -> Edge {
        Edge { lookup: self.lookup.clone(), url: self.url.clone(), turn }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} {})", self.lookup, self.url)
    }
}

/// One question that is on its way. Dropped without a word, it was given up: nobody is to blame.
#[derive(Debug)]
pub struct Asking {
    state: Arc<State>,
    began: Instant,
    is_probe: bool,
}

impl Asking {
    pub fn answered(self, outcome: Outcome, now: Instant) {
        self.state.answered(outcome, now.duration_since(self.began), now);
    }

    pub fn failed(self, cause: &str, counts: bool, now: Instant) {
        self.state.failed(cause, counts, self.is_probe, now);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.is_probe
            && let Some(aside) = &mut self.state.inner().aside
        {
            aside.is_probed = false;
        }
    }
}
