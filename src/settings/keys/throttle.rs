//! Throttles, whitelists and limits.

use super::*;

const COUNT: Kind = integer(0, 1_000_000_000);
const WINDOW: Kind = time(SECOND, YEAR);

pub static KEYS: &[Key] = &[
    Key::new(
        "throttle.ip.max",
        COUNT,
        "0",
        "How many connections one address may open within `throttle.ip.ttl`; 0 is any number.",
    )
    .alias(&["zimbraReverseProxyIPLoginLimit"])
    .fills(vars![("mail.ipmax", Integer)])
    .ends_in(&["mail_login_ip_max"]),
    Key::new("throttle.ip.ttl", WINDOW, "\"3600s\"", "How long connections are counted.")
        .alias(&["zimbraReverseProxyIPLoginLimitTime"])
        .fills(vars![("mail.ipttl", Milliseconds)])
        .ends_in(&["mail_login_ip_ttl"]),
    Key::new(
        "throttle.imap.max",
        COUNT,
        "0",
        "As `throttle.ip.max`, for IMAP alone; 0 is as that says.",
    )
    .alias(&["zimbraReverseProxyIPLoginImapLimit"])
    .fills(vars![("mail.imapmax", Integer)])
    .ends_in(&["mail_login_ip_imap_max"]),
    Key::new("throttle.imap.ttl", WINDOW, "\"3600s\"", "How long connections by IMAP are counted.")
        .alias(&["zimbraReverseProxyIPLoginImapLimitTime"])
        .fills(vars![("mail.imapttl", Milliseconds)])
        .ends_in(&["mail_login_ip_imap_ttl"]),
    Key::new(
        "throttle.pop3.max",
        COUNT,
        "0",
        "As `throttle.ip.max`, for POP3 alone; 0 is as that says.",
    )
    .alias(&["zimbraReverseProxyIPLoginPop3Limit"])
    .fills(vars![("mail.pop3max", Integer)])
    .ends_in(&["mail_login_ip_pop3_max"]),
    Key::new("throttle.pop3.ttl", WINDOW, "\"3600s\"", "How long connections by POP3 are counted.")
        .alias(&["zimbraReverseProxyIPLoginPop3LimitTime"])
        .fills(vars![("mail.pop3ttl", Milliseconds)])
        .ends_in(&["mail_login_ip_pop3_ttl"]),
    Key::new(
        "throttle.user.max",
        COUNT,
        "0",
        "How many logins of one user may succeed within `throttle.user.ttl`; 0 is any number.",
    )
    .alias(&["zimbraReverseProxyUserLoginLimit"])
    .fills(vars![("mail.usermax", Integer)])
    .ends_in(&["mail_login_user_max"]),
    Key::new("throttle.user.ttl", WINDOW, "\"3600s\"", "How long a user's logins are counted.")
        .alias(&["zimbraReverseProxyUserLoginLimitTime"])
        .fills(vars![("mail.userttl", Milliseconds)])
        .ends_in(&["mail_login_user_ttl"]),
    Key::new(
        "throttle.ip.message",
        Kind::Text,
        "\"Login rejected from this IP\"",
        "What a connection that is one too many is told.",
    )
    .alias(&["zimbraReverseProxyIpThrottleMsg"])
    .fills(vars![("mail.iprej", Text)])
    .ends_in(&["mail_login_ip_rejectmsg"]),
    Key::new(
        "throttle.user.message",
        Kind::Text,
        "\"Login rejected for this user\"",
        "What a login that is one too many is told.",
    )
    .alias(&["zimbraReverseProxyUserThrottleMsg"])
    .fills(vars![("mail.userrej", Text)])
    .ends_in(&["mail_login_user_rejectmsg"]),
    Key::new(
        "throttle.whitelist",
        NETWORKS,
        "[]",
        "Addresses and networks whose connections are not counted.",
    )
    .alias(&["zimbraReverseProxyIPThrottleWhitelist"])
    .ends_in(&["mail_whitelist_ip", "login_whitelist"]),
    Key::new(
        "throttle.whitelist_ttl",
        WINDOW,
        "\"300s\"",
        "For how long other proxies remember whether an address is on the list.",
    )
    .alias(&["zimbraReverseProxyIPThrottleWhitelistTime"])
    .fills(vars![("mail.whitelist.ttl", Seconds)])
    .ends_in(&["mail_whitelist_ip_ttl"]),
    Key::new(
        "throttle.failures.enabled",
        Kind::Flag,
        "true",
        "Whether failed logins are counted, delayed and refused.",
    )
    .ends_in(&["login_throttle"]),
    Key::new(
        "throttle.failures.address",
        Kind::Text,
        "\"30/10m free=5 delay=500ms max_delay=8s\"",
        "How many logins may fail from one address: NUMBER/TIME, or off.",
    )
    .ends_in(&["login_failures_address"]),
    Key::new(
        "throttle.failures.prefix",
        Kind::Text,
        "\"150/10m free=50 delay=500ms max_delay=8s\"",
        "The same for the network that an address lies in.",
    )
    .ends_in(&["login_failures_prefix"]),
    Key::new(
        "throttle.failures.user",
        Kind::Text,
        "\"10/10m free=3 delay=500ms max_delay=8s\"",
        "The same for one user, from wherever.",
    )
    .ends_in(&["login_failures_user"]),
    Key::new(
        "throttle.failures.attempts",
        Kind::Text,
        "\"6000/1m\"",
        "How many logins one address may attempt, whatever becomes of them.",
    )
    .ends_in(&["login_attempts_address"]),
    Key::new(
        "throttle.failures.known",
        time(0, YEAR),
        "\"30d\"",
        "For how long a user who has logged in from an address is known there.",
    )
    .ends_in(&["login_known"]),
    Key::new(
        "throttle.failures.whitelist",
        NETWORKS,
        "[\"127.0.0.0/8\", \"::1\"]",
        "Addresses and networks whose failures are neither counted nor refused.",
    )
    .ends_in(&["login_whitelist"]),
    Key::new(
        "throttle.failures.without_counters",
        Kind::Choice(&["open", "closed"]),
        "\"open\"",
        "What holds while the counters that gateposts share cannot be reached.",
    )
    .ends_in(&["login_throttle_fail"]),
    Key::new(
        "limit.connections_per_network",
        integer(0, 65_535),
        "0",
        "How many sessions one network may have at once; 0 is any number.",
    )
    .ends_in(&["limit_conn", "limit_conn_zone"]),
    Key::new(
        "limit.connections_per_user",
        integer(0, 65_535),
        "0",
        "How many sessions one login may have at once; 0 is any number.",
    )
    .ends_in(&["limit_conn", "limit_conn_zone"]),
];
