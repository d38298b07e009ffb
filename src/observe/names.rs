//! Every metric: its name, its labels and what it counts. `docs/metrics.md` is cut from here.

use std::fmt::Write;

/// A metric as it is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// With its unit and, for counters, `_total`.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// One sentence, Markdown, without its full stop.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

impl Name {
    /// The name that is registered: the encoder appends what OpenMetrics prescribes.
    pub fn family(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

pub const CONNECTIONS_ACCEPTED: Name = Name {
    name: "gatepost_net_connections_accepted_total",
    kind: Kind::Counter,
    labels: &["protocol"],
    help: "Connections taken from a listener, those that were then refused included",
};

pub const CONNECTIONS_REFUSED: Name = Name {
    name: "gatepost_net_connections_refused_total",
    kind: Kind::Counter,
    labels: &["protocol", "reason"],
    help: "Connections closed before a session began: no room, or not allowed",
};

pub const CONNECTIONS_ACTIVE: Name = Name {
    name: "gatepost_net_connections_active",
    kind: Kind::Gauge,
    labels: &["protocol"],
    help: "Connections from clients that are open",
};

pub const SESSIONS_ACTIVE: Name = Name {
    name: "gatepost_session_active",
    kind: Kind::Gauge,
    labels: &["protocol", "state"],
    help: "Sessions by state: `unauthenticated`, `relaying`",
};

pub const SESSIONS_ENDED: Name = Name {
    name: "gatepost_session_ended_total",
    kind: Kind::Counter,
    labels: &["protocol", "reason"],
    help: "Sessions that ended, by the reason that `$session_end` gives",
};

pub const LOGINS: Name = Name {
    name: "gatepost_login_attempts_total",
    kind: Kind::Counter,
    labels: &["protocol", "result", "mechanism"],
    help: "Logins that were ruled on",
};

pub const TLS_HANDSHAKES: Name = Name {
    name: "gatepost_tls_handshakes_total",
    kind: Kind::Counter,
    labels: &["side", "version", "resumed"],
    help: "TLS handshakes that succeeded, with clients or upstreams",
};

pub const TLS_FAILURES: Name = Name {
    name: "gatepost_tls_handshake_failures_total",
    kind: Kind::Counter,
    labels: &["side", "reason"],
    help: "TLS handshakes that failed",
};

pub const CERTIFICATE_EXPIRY: Name = Name {
    name: "gatepost_tls_certificate_expiry_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &["name"],
    help: "When a certificate in use expires, in seconds since 1970; warn on this minus `time()`",
};

pub const CERTIFICATES_CHECKED: Name = Name {
    name: "gatepost_tls_certificates_checked_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the certificates that are served were last looked at from outside, in seconds since \
           1970; at first, the start. A day old, nobody looks any more",
};

pub const UPSTREAM_PHASE: Name = Name {
    name: "gatepost_proxy_upstream_phase_seconds",
    kind: Kind::Histogram,
    labels: &["upstream", "phase"],
    help: "How long each step towards an upstream group took: `lookup`, `connect`, `tls`, `auth`",
};

pub const UPSTREAM_FAILURES: Name = Name {
    name: "gatepost_proxy_upstream_failures_total",
    kind: Kind::Counter,
    labels: &["upstream", "phase"],
    help: "Steps towards an upstream group that failed by its fault or the network's",
};

pub const RELAYED_BYTES: Name = Name {
    name: "gatepost_proxy_relayed_bytes_total",
    kind: Kind::Counter,
    labels: &["protocol", "direction"],
    help: "Bytes relayed after login: `received` from clients, `sent` to them",
};

pub const RELOADS: Name = Name {
    name: "gatepost_boot_reloads_total",
    kind: Kind::Counter,
    labels: &["result"],
    help: "Configuration reloads: `ok`, or `failed` with the old one still serving",
};

pub const GENERATION: Name = Name {
    name: "gatepost_boot_generation",
    kind: Kind::Gauge,
    labels: &[],
    help: "The number of the configuration that is serving; the first is 1",
};

pub const BUILD: Name = Name {
    name: "gatepost_boot_build_info",
    kind: Kind::Info,
    labels: &["version"],
    help: "The version that is running",
};

pub const PANICS: Name = Name {
    name: "gatepost_observe_panics_total",
    kind: Kind::Counter,
    labels: &["task"],
    help: "Panics caught. Each is a bug of ours; the error log has the place, at `alert`",
};

pub const LOG_WRITE_ERRORS: Name = Name {
    name: "gatepost_observe_log_write_errors_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Lines lost because a log could not be written",
};

pub const LOOKUPS: Name = Name {
    name: "gatepost_route_lookups_total",
    kind: Kind::Counter,
    labels: &["handler", "result"],
    help: "Questions to a lookup handler by what became of them: `ok`, `refused`, `unknown`, `wait`, `failed`",
};

pub const LOOKUP_SECONDS: Name = Name {
    name: "gatepost_route_lookup_seconds",
    kind: Kind::Histogram,
    labels: &["handler"],
    help: "How long a lookup handler took to answer",
};

pub const QUESTIONS: Name = Name {
    name: "gatepost_admin_lookup_questions_total",
    kind: Kind::Counter,
    labels: &["protocol", "result"],
    help: "Questions at a `lookup_server`, by what was answered: `found`, `unknown`, `refused`, `temporary`, `malformed`",
};

pub const QUESTION_SECONDS: Name = Name {
    name: "gatepost_admin_lookup_question_seconds",
    kind: Kind::Histogram,
    labels: &[],
    help: "How long the answer to a question at a `lookup_server` took",
};

pub const QUESTION_PEERS_REFUSED: Name = Name {
    name: "gatepost_admin_lookup_peers_refused_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Peers that a `lookup_server` hung up on: `address`, `tls`",
};

pub const HANDLER_UP: Name = Name {
    name: "gatepost_route_handler_up",
    kind: Kind::Gauge,
    labels: &["handler"],
    help: "Whether a lookup handler is asked (1), or set aside or disabled (0)",
};

pub const LOOKUP_HEDGES: Name = Name {
    name: "gatepost_route_lookup_hedges_total",
    kind: Kind::Counter,
    labels: &["handler"],
    help: "Second questions that were sent because this handler was slower than its own p95",
};

pub const SOURCE_SECONDS: Name = Name {
    name: "gatepost_route_source_seconds",
    kind: Kind::Histogram,
    labels: &["source", "result"],
    help: "How long a source of routes (file, SQL, LDAP) took: `found`, `unknown`, `failed`",
};

pub const CACHE_REQUESTS: Name = Name {
    name: "gatepost_route_cache_requests_total",
    kind: Kind::Counter,
    labels: &["tier", "kind", "result"],
    help: "Routes asked of the cache, by tier (`process`, `shared`), kind of entry and result: `hit`, `stale`, `miss`, `refused`, `error`",
};

pub const CACHE_BYTES: Name = Name {
    name: "gatepost_route_cache_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "What the routes kept in the process weigh",
};

pub const CACHE_ENTRIES: Name = Name {
    name: "gatepost_route_cache_entries",
    kind: Kind::Gauge,
    labels: &[],
    help: "How many routes are kept in the process",
};

pub const CACHE_EVICTIONS: Name = Name {
    name: "gatepost_route_cache_evictions_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Routes that were forgotten before their time: `connect_failed`, `login_refused`, `changed`, `purged`",
};

pub const MEMCACHED_SECONDS: Name = Name {
    name: "gatepost_memcached_request_seconds",
    kind: Kind::Histogram,
    labels: &["server"],
    help: "How long a server of the shared cache took to answer",
};

pub const MEMCACHED_REQUESTS: Name = Name {
    name: "gatepost_memcached_requests_total",
    kind: Kind::Counter,
    labels: &["server", "result"],
    help: "Requests to a server of the shared cache: `ok`, `down`, `timeout`, `invalid`",
};

pub const MEMCACHED_UP: Name = Name {
    name: "gatepost_memcached_up",
    kind: Kind::Gauge,
    labels: &["server"],
    help: "Whether a server of the shared cache is asked (1), or left alone after a failure (0)",
};

pub const MEMCACHED_REJECTED: Name = Name {
    name: "gatepost_memcached_values_rejected_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Values that were not believed: `forged`, `expired`, `malformed`",
};

pub const THROTTLE_DECISIONS: Name = Name {
    name: "gatepost_throttle_decisions_total",
    kind: Kind::Counter,
    labels: &["rule", "verdict"],
    help: "What the throttles ruled: `allow`, `delay`, `deny`, `fail_open`, `fail_closed`",
};

pub const THROTTLE_KEYS: Name = Name {
    name: "gatepost_throttle_keys",
    kind: Kind::Gauge,
    labels: &[],
    help: "Addresses, networks and users that the process keeps count of",
};

pub const SERVER_UP: Name = Name {
    name: "gatepost_route_server_up",
    kind: Kind::Gauge,
    labels: &["upstream", "server"],
    help: "Whether a server of an upstream is sent logins (1), or is down, locked or drained (0)",
};

pub const SERVER_SESSIONS: Name = Name {
    name: "gatepost_route_server_sessions",
    kind: Kind::Gauge,
    labels: &["upstream", "server"],
    help: "Sessions at a server of an upstream, those that log in included",
};

pub const SERVER_LOCKS: Name = Name {
    name: "gatepost_route_server_locks_total",
    kind: Kind::Counter,
    labels: &["kind", "name"],
    help: "How often an upstream's server or a lookup handler was locked",
};

pub const MAINTENANCE: Name = Name {
    name: "gatepost_route_maintenance",
    kind: Kind::Gauge,
    labels: &[],
    help: "How many maintenances are in force, by hand or by themselves",
};

pub const STICKY: Name = Name {
    name: "gatepost_route_sticky_total",
    kind: Kind::Counter,
    labels: &["upstream", "result"],
    help: "How a sticky login found its server: `local`, `lease`, `first`, `moved`, `cache_down`",
};

/// Those whose labels come from the configuration.
pub const LABELLED: &[Name] = &[
    LOOKUPS,
    LOOKUP_SECONDS,
    QUESTIONS,
    QUESTION_SECONDS,
    QUESTION_PEERS_REFUSED,
    HANDLER_UP,
    LOOKUP_HEDGES,
    SOURCE_SECONDS,
    CACHE_REQUESTS,
    CACHE_BYTES,
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    MEMCACHED_SECONDS,
    MEMCACHED_REQUESTS,
    MEMCACHED_UP,
    MEMCACHED_REJECTED,
    THROTTLE_DECISIONS,
    THROTTLE_KEYS,
    SERVER_UP,
    SERVER_SESSIONS,
    SERVER_LOCKS,
    MAINTENANCE,
    STICKY,
];

/// Every other metric, in the order that documentation and `/metrics` have them.
pub const ALL: &[Name] = &[
    CONNECTIONS_ACCEPTED,
    CONNECTIONS_REFUSED,
    CONNECTIONS_ACTIVE,
    SESSIONS_ACTIVE,
    SESSIONS_ENDED,
    LOGINS,
    TLS_HANDSHAKES,
    TLS_FAILURES,
    CERTIFICATE_EXPIRY,
    CERTIFICATES_CHECKED,
    UPSTREAM_PHASE,
    UPSTREAM_FAILURES,
    RELAYED_BYTES,
    RELOADS,
    GENERATION,
    BUILD,
    PANICS,
    LOG_WRITE_ERRORS,
];

/// The table of `docs/metrics.md`.
pub fn docs() -> String {
    let mut text = "| metric | type | labels | what it says |\n|---|---|---|---|\n".to_owned();
    for Name { name, kind, labels, help } in ALL.iter().chain(LABELLED) {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (kind.name(), labels.join(", "));
        // A `String` takes everything.
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {help}. |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_keeps_the_house_rule() {
        for Name { name, kind, help, .. } in ALL.iter().chain(LABELLED) {
            assert!(name.starts_with("gatepost_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.ends_with('.') && !help.contains('|'), "{name}");
            assert_eq!(
                ALL.iter().chain(LABELLED).filter(|other| other.name == *name).count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        let docs = docs();
        assert_eq!(docs.lines().count(), ALL.len() + LABELLED.len() + 2);
        let row = "| `gatepost_session_active` | gauge | `protocol`, `state` | Sessions by state: \
                   `unauthenticated`, `relaying`. |";
        assert!(docs.contains(row));
    }
}
