//! Logs: where, from which level on, of which shape.

use super::*;

/// Levels, from the chattiest on; Zimbra's `debug_…` become `debug` when they are imported.
const LEVEL: Kind =
    Kind::Choice(&["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"]);

pub static KEYS: &[Key] = &[
    Key::new(
        "log.file",
        Kind::Text,
        "\"/var/log/gatepost/error.log\"",
        "Where errors and logins go: a file, stderr or syslog:server=ADDRESS.",
    )
    .fills(vars![("main.logfile", Text)])
    .ends_in(&["error_log"]),
    Key::new(
        "log.level",
        LEVEL,
        "\"info\"",
        "From which level on. Logins, and what refused them, are info.",
    )
    .alias(&["zimbraReverseProxyLogLevel"])
    .fills(vars![("main.loglevel", Text)])
    .ends_in(&["error_log"]),
    Key::new(
        "log.access.file",
        Kind::Text,
        "\"/var/log/gatepost/access.log\"",
        "Where one line for each session goes; off for none.",
    )
    .ends_in(&["access_log"]),
    Key::new(
        "log.access.format",
        Kind::Text,
        "\"main\"",
        "The shape of such a line: main, json, or one of `log_format`.",
    )
    .ends_in(&["access_log", "log_format"]),
];
