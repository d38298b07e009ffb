//! The directives of `upstream` blocks, beside `server`.

use crate::config::{Directive, MAIL, Secret, Takes, UPSTREAM};

const ONCE: Directive = Directive {
    name: "",
    within: &[UPSTREAM],
    takes: Takes::Args(1, 1),
    repeats: false,
    default: "",
    secret: Secret::None,
    doc: "",
};

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "hash",
        takes: Takes::Args(1, 2),
        doc: "The server is chosen by the hash of a key, `hash KEY [consistent]`: the same key goes \
              to the same server as long as that is usable. In the key stand `$login`, `$user`, \
              `$domain` (in lower case), `$remote_addr`, `$protocol`. With `consistent` (ketama, 160 \
              points a unit of weight, as nginx and Cache::Memcached::Fast) a server that comes or \
              goes moves its own share of the keys alone. A name's addresses are told apart by the \
              key, too.",
        ..ONCE
    },
    Directive {
        name: "ip_hash",
        takes: Takes::Args(0, 0),
        doc: "The server is chosen by the client's network: 24 bits of IPv4, all of IPv6, as in \
              nginx.",
        ..ONCE
    },
    Directive {
        name: "least_conn",
        takes: Takes::Args(0, 0),
        doc: "The server with the fewest sessions for its weight is chosen; among equals, by turns.",
        ..ONCE
    },
    Directive {
        name: "random",
        takes: Takes::Args(0, 2),
        doc: "A server is chosen by chance and weight; with `two [least_conn]` two are, and the one \
              with fewer sessions for its weight is taken. Without any method they take turns, \
              smoothly for their weights.",
        ..ONCE
    },
    Directive {
        name: "zone",
        takes: Takes::Args(1, 2),
        doc: "Accepted for nginx's sake and without effect: all workers share what is known of the \
              servers, and it outlives a reload.",
        ..ONCE
    },
    Directive {
        name: "max_fails",
        within: &[MAIL, UPSTREAM],
        default: "1",
        doc: "How many failures within `reconnect_timeout` set an address of a server aside for as \
              long, where the server has no `max_fails=` of its own. `0`: failures are ignored, and \
              lock nothing either. Zimbra's `zimbraMailProxyMaxFails`.",
        ..ONCE
    },
    Directive {
        name: "reconnect_timeout",
        within: &[MAIL, UPSTREAM],
        default: "10s",
        doc: "For how long that is, where the server has no `fail_timeout=` of its own; one login \
              may then try it again. `0`: at once. Zimbra's `zimbraMailProxyReconnectTimeout`.",
        ..ONCE
    },
    Directive {
        name: "lock_after",
        within: &[MAIL, UPSTREAM],
        default: "10",
        doc: "After so many failures in a row a server is locked: that is logged at `crit`, outlives \
              a restart, and ends with the first test that goes well (`lock_retest`), with a health \
              check, or by hand. Logins go to other servers from the first failure. While all are \
              locked, one login every `fail_timeout` may try. `0` locks nothing.",
        ..ONCE
    },
    Directive {
        name: "health_check",
        takes: Takes::Args(0, 7),
        doc: "The servers are asked by themselves how they are: connected to, in TLS if `proxy_ssl \
              on`, the greeting is read, and goodbye is said. `interval=TIME` (5s) from one to the \
              next, longer by `jitter=TIME` (500ms) at the most; `fails=N` (1) bad ones in a row \
              make an address unhealthy, `passes=N` (1) good ones healthy again, which ends a lock, \
              too; `timeout=TIME` (5s) for each; `port=N` to ask at another port; \
              `type=imap|pop3|smtp|lmtp|sieve|tcp` for what is spoken there (that of the logins), \
              `tcp` for nothing.",
        ..ONCE
    },
];
