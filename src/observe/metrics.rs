//! What is counted, for Prometheus and for those who know nginx's `stub_status`.
//!
//! One [`Metrics`] for the process. What a session counts often is resolved once: a server keeps its
//! [`Protocol`], a group of upstreams its [`Upstream`], and a count is then one atomic addition. Label
//! values come from the code and the configuration alone, so nobody outside can grow a table.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::access::End;
use super::labelled::Labelled;
use super::names::{self, Name};
use super::sink::write_errors;
use super::words::words;

/// For those who keep what [`Metrics::histogram`] gives.
pub use prometheus_client::metrics::histogram::Histogram;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

words! {
    /// What became of a login.
    pub enum Login {
        Accepted => "accepted",
        BadCredentials => "bad_credentials",
        Forbidden => "forbidden",
        NeedsTls => "needs_tls",
        Unavailable => "unavailable",
        Throttled => "throttled",
        Internal => "internal_error",
    }
}

words! {
    /// A step towards an upstream.
    pub enum Phase listed {
        Lookup => "lookup",
        Connect => "connect",
        Tls => "tls",
        Auth => "auth",
    }
}

words! {
    /// Whom a TLS handshake is with.
    pub enum Side {
        Client => "client",
        Upstream => "upstream",
    }
}

/// Label names and values that the code knows.
type Fixed<const N: usize> = [(&'static str, &'static str); N];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: Arc<str>,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: String,
}

/// Every metric of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    protocols: Mutex<Vec<Protocol>>,
    accepted: Family<Fixed<1>, Counter>,
    refused: Family<Fixed<2>, Counter>,
    active: Family<Fixed<1>, Gauge>,
    sessions: Family<Fixed<2>, Gauge>,
    ended: Family<Fixed<2>, Counter>,
    logins: Family<Fixed<3>, Counter>,
    handshakes: Family<Fixed<3>, Counter>,
    handshake_failures: Family<Fixed<2>, Counter>,
    certificates: Family<NameLabel, Gauge>,
    certificates_checked: Gauge,
    phases: Family<UpstreamLabels, Histogram>,
    failures: Family<UpstreamLabels, Counter>,
    relayed: Family<Fixed<2>, Counter>,
    reloads: Family<Fixed<1>, Counter>,
    generation: Gauge,
    panics: Family<Fixed<1>, Counter>,
    log_write_errors: Counter,
    labelled: Labelled,
}

/// 0.5 ms to 16 s, doubling.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: Name, metric: M) -> M {
    registry.register(name.family(), name.help, metric.clone());
    metric
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let accepted = add(r, names::CONNECTIONS_ACCEPTED, Family::default());
        let refused = add(r, names::CONNECTIONS_REFUSED, Family::default());
        let active = add(r, names::CONNECTIONS_ACTIVE, Family::default());
        let sessions = add(r, names::SESSIONS_ACTIVE, Family::default());
        let ended = add(r, names::SESSIONS_ENDED, Family::default());
        let logins = add(r, names::LOGINS, Family::default());
        let handshakes = add(r, names::TLS_HANDSHAKES, Family::default());
        let handshake_failures = add(r, names::TLS_FAILURES, Family::default());
        let certificates = add(r, names::CERTIFICATE_EXPIRY, Family::default());
        let certificates_checked = add(r, names::CERTIFICATES_CHECKED, Gauge::default());
        let phases = Family::new_with_constructor(latency as fn() -> Histogram);
        let phases = add(r, names::UPSTREAM_PHASE, phases);
        let failures = add(r, names::UPSTREAM_FAILURES, Family::default());
        let relayed = add(r, names::RELAYED_BYTES, Family::default());
        let reloads = add(r, names::RELOADS, Family::default());
        let generation = add(r, names::GENERATION, Gauge::default());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register(names::BUILD.family(), names::BUILD.help, build);
        let panics = add(r, names::PANICS, Family::default());
        let log_write_errors = add(r, names::LOG_WRITE_ERRORS, Counter::default());
        let labelled = Labelled::register(r);
        Self(Arc::new(Inner {
            registry,
            protocols: Mutex::default(),
            accepted,
            refused,
            active,
            sessions,
            ended,
            logins,
            handshakes,
            handshake_failures,
            certificates,
            certificates_checked,
            phases,
            failures,
            relayed,
            reloads,
            generation,
            panics,
            log_write_errors,
            labelled,
        }))
    }

    /// The counters of one protocol, to be kept by whoever serves it.
    pub fn protocol(&self, name: &'static str) -> Protocol {
        let mut protocols = self.0.protocols.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = protocols.iter().find(|protocol| protocol.0.name == name) {
            return known.clone();
        }
        let new = Protocol::new(&self.0, name);
        protocols.push(new.clone());
        new
    }

    /// The counters of one upstream group, to be kept by it.
    pub fn upstream(&self, group: &str) -> Upstream {
        let group: Arc<str> = group.into();
        let labels = |index: usize| UpstreamLabels {
            upstream: group.clone(),
            phase: Phase::ALL[index].name(),
        };
        Upstream(Arc::new(OfUpstream {
            took: array::from_fn(|index| self.0.phases.get_or_create_owned(&labels(index))),
            failed: array::from_fn(|index| self.0.failures.get_or_create_owned(&labels(index))),
        }))
    }

    /// A handshake succeeded. `version` as nginx says it: `TLSv1.3`.
    pub fn handshake(&self, side: Side, version: &'static str, resumed: bool) {
        let resumed = if resumed { "yes" } else { "no" };
        let labels = [("side", side.name()), ("version", version), ("resumed", resumed)];
        self.0.handshakes.get_or_create(&labels).inc();
    }

    pub fn handshake_failed(&self, side: Side, reason: &'static str) {
        let labels = [("side", side.name()), ("reason", reason)];
        self.0.handshake_failures.get_or_create(&labels).inc();
    }

    /// Says which certificates are in use and when each expires; others are forgotten.
    pub fn certificates(&self, all: impl IntoIterator<Item = (String, SystemTime)>) {
        self.0.certificates.clear();
        for (name, expires) in all {
            let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let gauge = self.0.certificates.get_or_create_owned(&NameLabel { name });
            gauge.set(expires.cast_signed());
        }
    }

    /// What is served has been looked at from outside.
    pub fn certificates_checked(&self, when: SystemTime) {
        let seconds = when.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.0.certificates_checked.set(seconds.cast_signed());
    }

    /// The first configuration serves, or a reload brought another: its number.
    pub fn serving(&self, generation: u64) {
        self.0.generation.set(generation.cast_signed());
    }

    pub fn reloaded(&self, is_ok: bool) {
        let result = if is_ok { "ok" } else { "failed" };
        self.0.reloads.get_or_create(&[("result", result)]).inc();
    }

    pub fn panicked(&self, task: &'static str) {
        self.0.panics.get_or_create(&[("task", task)]).inc();
    }

    /// A counter of [`names::LABELLED`], gauges and histograms likewise: its labels' values in the
    /// order of its record. They come from the configuration, never from outside.
    pub fn counter(&self, name: &Name, values: &[&str]) -> Counter {
        self.0.labelled.counter(name, values)
    }

    pub fn gauge(&self, name: &Name, values: &[&str]) -> Gauge {
        self.0.labelled.gauge(name, values)
    }

    pub fn histogram(&self, name: &Name, values: &[&str]) -> Histogram {
        self.0.labelled.histogram(name, values)
    }

    /// What these labels named is gone.
    pub fn forget(&self, name: &Name, values: &[&str]) {
        self.0.labelled.forget(name, values);
    }

    /// Everything, as OpenMetrics text ([`CONTENT_TYPE`]).
    pub fn render(&self) -> String {
        self.0.log_write_errors.inner().store(write_errors(), Ordering::Relaxed);
        let mut out = String::new();
        text::encode(&mut out, &self.0.registry).expect("a String takes everything");
        out
    }

    /// What each protocol has carried so far, by name.
    pub fn traffic(&self) -> Vec<Traffic> {
        let protocols = self.0.protocols.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = protocols.iter().map(|one| one.0.traffic()).collect();
        all.sort_by_key(|one| one.protocol);
        all
    }

    /// nginx's `stub_status`. A request is a login that was ruled on; *reading* are sessions before
    /// their login, *writing* those that relay, *waiting* what has no session (yet).
    pub fn stub_status(&self) -> String {
        let protocols = self.0.protocols.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: fn(&OfProtocol) -> i64| protocols.iter().map(|one| of(&one.0)).sum::<i64>();
        let accepted = sum(|one| one.accepted.get().cast_signed());
        let refused = sum(|one| one.refused.load(Ordering::Relaxed).cast_signed());
        let requests = sum(|one| one.ruled.load(Ordering::Relaxed).cast_signed());
        let (active, reading) = (sum(|one| one.active.get()), sum(|one| one.unauthenticated.get()));
        let writing = sum(|one| one.relaying.get());
        // Read one after the other while others count: never show less than nothing.
        let waiting = (active - reading - writing).max(0);
        let handled = (accepted - refused).max(0);
        format!(
            "Active connections: {active} \nserver accepts handled requests\n \
             {accepted} {handled} {requests} \nReading: {reading} Writing: {writing} Waiting: {waiting} \n"
        )
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// The counters of one protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Protocol(Arc<OfProtocol>);

#[derive(Debug)]
struct OfProtocol {
    name: &'static str,
    accepted: Counter,
    active: Gauge,
    unauthenticated: Gauge,
    relaying: Gauge,
    ended: [Counter; End::ALL.len()],
    received: Counter,
    sent: Counter,
    by_reason: Family<Fixed<2>, Counter>,
    logins: Family<Fixed<3>, Counter>,
    /// Sums over the families' labels, which `stub_status` and admins want.
    refused: AtomicU64,
    ruled: AtomicU64,
    let_in: AtomicU64,
}

impl Protocol {
    fn new(metrics: &Inner, name: &'static str) -> Self {
        let protocol = ("protocol", name);
        let state = |state| metrics.sessions.get_or_create_owned(&[protocol, ("state", state)]);
        let relayed =
            |direction| metrics.relayed.get_or_create_owned(&[protocol, ("direction", direction)]);
        let ended = |index: usize| {
            metrics.ended.get_or_create_owned(&[protocol, ("reason", End::ALL[index].name())])
        };
        Self(Arc::new(OfProtocol {
            name,
            accepted: metrics.accepted.get_or_create_owned(&[protocol]),
            active: metrics.active.get_or_create_owned(&[protocol]),
            unauthenticated: state("unauthenticated"),
            relaying: state("relaying"),
            ended: array::from_fn(ended),
            received: relayed("received"),
            sent: relayed("sent"),
            by_reason: metrics.refused.clone(),
            logins: metrics.logins.clone(),
            refused: AtomicU64::new(0),
            ruled: AtomicU64::new(0),
            let_in: AtomicU64::new(0),
        }))
    }

    /// A listener gave a connection: it is active until the guard is dropped.
    #[must_use]
    pub fn accepted(&self) -> Connection {
        self.0.accepted.inc();
        self.0.active.inc();
        Connection(self.clone())
    }

    /// An accepted connection is closed without a session: no room, or not allowed.
    pub fn refused(&self, reason: &'static str) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        self.0.by_reason.get_or_create(&[("protocol", self.0.name), ("reason", reason)]).inc();
    }

    /// A session begins, not logged in. [`super::access::Record`] keeps its guard.
    #[must_use]
    pub fn session(&self) -> Session {
        self.0.unauthenticated.inc();
        Session { protocol: self.clone(), is_relaying: false, end: End::default() }
    }

    /// A login was ruled on.
    pub fn login(&self, result: Login, mechanism: &'static str) {
        self.0.ruled.fetch_add(1, Ordering::Relaxed);
        if matches!(result, Login::Accepted) {
            self.0.let_in.fetch_add(1, Ordering::Relaxed);
        }
        let labels =
            [("protocol", self.0.name), ("result", result.name()), ("mechanism", mechanism)];
        self.0.logins.get_or_create(&labels).inc();
    }

    /// Bytes went by, from the client and to it.
    pub fn relayed(&self, received: u64, sent: u64) {
        self.0.received.inc_by(received);
        self.0.sent.inc_by(sent);
    }
}

/// One protocol's sessions of now, and its logins and bytes since the start. Bytes of a session count
/// when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub protocol: &'static str,
    pub waiting: u64,
    pub relaying: u64,
    pub logins: u64,
    pub refused: u64,
    pub received: u64,
    pub sent: u64,
}

impl OfProtocol {
    fn traffic(&self) -> Traffic {
        let gauge = |gauge: &Gauge| u64::try_from(gauge.get()).unwrap_or(0);
        let (ruled, logins) =
            (self.ruled.load(Ordering::Relaxed), self.let_in.load(Ordering::Relaxed));
        Traffic {
            protocol: self.name,
            waiting: gauge(&self.unauthenticated),
            relaying: gauge(&self.relaying),
            logins,
            refused: ruled.saturating_sub(logins),
            received: self.received.get(),
            sent: self.sent.get(),
        }
    }
}

/// An open connection, counted until it is dropped.
#[derive(Debug)]
pub struct Connection(Protocol);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.active.dec();
    }
}

/// A session, counted in its state until it is dropped, and then by its end.
#[derive(Debug)]
pub struct Session {
    protocol: Protocol,
    is_relaying: bool,
    /// Why it ends; counted when it is dropped.
    pub end: End,
}

impl Session {
    /// The client is let in.
    pub fn relaying(&mut self) {
        if !self.is_relaying {
            self.is_relaying = true;
            self.protocol.0.unauthenticated.dec();
            self.protocol.0.relaying.inc();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let counters = &self.protocol.0;
        if self.is_relaying { &counters.relaying } else { &counters.unauthenticated }.dec();
        counters.ended[self.end as usize].inc();
    }
}

/// The counters of one upstream group. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream(Arc<OfUpstream>);

#[derive(Debug)]
struct OfUpstream {
    took: [Histogram; Phase::ALL.len()],
    failed: [Counter; Phase::ALL.len()],
}

impl Upstream {
    pub fn took(&self, phase: Phase, time: Duration) {
        self.0.took[phase as usize].observe(time.as_secs_f64());
    }

    pub fn failed(&self, phase: Phase) {
        self.0.failed[phase as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::names::Kind;

    #[test]
    fn every_name_is_exposed_as_it_says_and_nothing_else_is() {
        let metrics = Metrics::new();
        let imap = metrics.protocol("imap");
        drop(imap.accepted());
        drop(imap.session());
        imap.refused("too_busy");
        imap.login(Login::Accepted, "auth-plain");
        metrics.upstream("stores").took(Phase::Auth, Duration::from_millis(3));
        metrics.handshake(Side::Client, "TLSv1.3", true);
        metrics.handshake_failed(Side::Upstream, "certificate");
        metrics.certificates([("a".to_owned(), SystemTime::now())]);
        metrics.reloaded(true);
        metrics.panicked("session");
        let mut want: Vec<String> = Vec::new();
        for name in names::LABELLED {
            let values = vec!["a"; name.labels.len()];
            match name.kind {
                Kind::Counter => drop(metrics.counter(name, &values).inc()),
                Kind::Gauge => drop(metrics.gauge(name, &values).inc()),
                _ => metrics.histogram(name, &values).observe(0.1),
            }
        }
        let text = metrics.render();
        for Name { name, kind, labels, .. } in names::ALL.iter().chain(names::LABELLED) {
            let family = name.trim_end_matches("_total").trim_end_matches("_info");
            want.push(format!("{family} {}", kind.name()));
            let series =
                if *kind == Kind::Histogram { format!("{name}_sum") } else { (*name).into() };
            let line = text.lines().find(|line| line.starts_with(&series)).expect(name);
            for label in *labels {
                assert!(line.contains(&format!("{label}=\"")), "{label}: {line}");
            }
        }
        let mut types: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
        types.sort_unstable();
        want.sort_unstable();
        assert_eq!(types, want);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        let imap = metrics.protocol("imap");
        metrics.protocol("imap").relayed(17, 4096);
        imap.login(Login::BadCredentials, "login");
        let upstream = metrics.upstream("a\"b\n");
        upstream.failed(Phase::Connect);
        upstream.took(Phase::Lookup, Duration::from_micros(700));
        metrics.serving(3);
        metrics.certificates([("old".to_owned(), UNIX_EPOCH)]);
        metrics.certificates([("new".to_owned(), UNIX_EPOCH + Duration::from_secs(1_800_000_000))]);
        let text = metrics.render();
        for want in [
            "gatepost_proxy_relayed_bytes_total{protocol=\"imap\",direction=\"sent\"} 4096\n",
            "gatepost_login_attempts_total{protocol=\"imap\",result=\"bad_credentials\",mechanism=\"login\"} 1\n",
            "gatepost_proxy_upstream_failures_total{upstream=\"a\\\"b\\n\",phase=\"connect\"} 1\n",
            "gatepost_proxy_upstream_phase_seconds_bucket{le=\"0.001\",upstream=\"a\\\"b\\n\",phase=\"lookup\"} 1\n",
            "gatepost_boot_generation 3\n",
            "gatepost_tls_certificate_expiry_timestamp_seconds{name=\"new\"} 1800000000\n",
            "gatepost_boot_build_info{version=\"",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
        assert!(!text.contains("name=\"old\""));
    }

    #[test]
    fn gauges_fall_however_a_session_ends() {
        let metrics = Metrics::new();
        let pop3 = metrics.protocol("pop3");
        let open = (pop3.accepted(), pop3.accepted(), pop3.accepted());
        let (waiting, mut relaying) = (pop3.session(), pop3.session());
        relaying.relaying();
        relaying.relaying();
        relaying.end = End::UpstreamClosed;
        pop3.refused("too_busy");
        pop3.login(Login::Accepted, "login");
        let want = "Active connections: 3 \nserver accepts handled requests\n 3 2 1 \n\
                    Reading: 1 Writing: 1 Waiting: 1 \n";
        assert_eq!(metrics.stub_status(), want);
        let panicked = std::thread::spawn(move || {
            let _held = (open, waiting, relaying);
            panic!("planted");
        });
        assert!(panicked.join().is_err());
        let want = "Active connections: 0 \nserver accepts handled requests\n 3 2 1 \n\
                    Reading: 0 Writing: 0 Waiting: 0 \n";
        assert_eq!(metrics.stub_status(), want);
        let ended =
            "gatepost_session_ended_total{protocol=\"pop3\",reason=\"upstream_closed\"} 1\n";
        assert!(metrics.render().contains(ended));
    }
}
