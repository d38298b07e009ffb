//! The process: workers, connections, addresses, controls, maintenance.

use super::*;
use crate::settings::Levels;

pub static KEYS: &[Key] = &[
    Key::new("main.user", Kind::Text, "\"nobody\"", "The user that gatepost becomes once it listens.")
        .fills(vars![("main.user", Text)])
        .ends_in(&["user"]),
    Key::new("main.group", Kind::Text, "\"nogroup\"", "The group that gatepost becomes once it listens.")
        .fills(vars![("main.group", Text)])
        .ends_in(&["user"]),
    Key::new("main.workers", integer(1, 1024), "4", "How many workers serve connections; better not more than there are processors.")
        .alias(&["zimbraReverseProxyWorkerProcesses"])
        .fills(vars![("main.workers", Integer)])
        .ends_in(&["worker_processes"]),
    Key::new("main.connections", integer(16, 1_000_000), "10240", "How many client sessions one worker serves at the most.")
        .alias(&["zimbraReverseProxyWorkerConnections"])
        .fills(vars![("main.connections", Integer)])
        .ends_in(&["worker_connections"]),
    Key::new("main.open_files", integer(0, 100_000_000), "0", "The limit on open files; 0 is the process's own.")
        .ends_in(&["worker_rlimit_nofile"]),
    Key::new("main.accept_mutex", Kind::Flag, "true", "Without effect: each worker has a listening socket of its own.")
        .alias(&["zimbraReverseProxyAcceptMutex"])
        .fills(vars![("main.accept_mutex", Flag)])
        .ends_in(&["accept_mutex"]),
    Key::new("main.ip_mode", Kind::Choice(&["ipv4", "ipv6", "both"]), "\"ipv4\"", "Which addresses are listened on and connected to.")
        .alias(&["zimbraIPMode"])
        .ends_in(&["listen"]),
    Key::new("main.listen", Kind::List(&Kind::Address), "[]", "The addresses to listen on; none are all addresses of `main.ip_mode`.")
        .ends_in(&["listen"]),
    Key::new("main.hostname", Kind::Host, "\"\"", "This machine's name in greetings and towards upstreams; empty is the system's own.")
        .at(Levels::MACHINE)
        .alias(&["zimbraServiceHostname"])
        .ends_in(&["server_name"]),
    Key::new("main.workdir", Kind::Path, "\"/etc/gatepost\"", "The folder that relative paths begin at.")
        .fills(vars![("core.workdir", Text)]),
    Key::new("main.includes", Kind::Path, "\"includes\"", "The folder of the generated files that the main one includes, relative to it.")
        .fills(vars![("core.includes", Text)])
        .ends_in(&["include"]),
    Key::new("main.prefix", Kind::Text, "\"gatepost.conf\"", "How the names of the generated files begin.")
        .fills(vars![("core.cprefix", Text)]),
    Key::new("main.pid", Kind::Path, "\"/run/gatepost.pid\"", "The file that holds the process's id.")
        .fills(vars![("main.pidfile", Text)])
        .ends_in(&["pid"]),
    Key::new("main.state", Kind::Path, "\"state\"", "The folder for what must outlive a restart: locks, drains, maintenance.")
        .ends_in(&["state_path"]),
    Key::new("main.shutdown_timeout", time(0, 30 * DAY), "\"0s\"", "How long sessions may live on after a reload or a graceful stop; 0 is as long as they like.")
        .ends_in(&["worker_shutdown_timeout"]),
    Key::new("main.krb5.keytab", Kind::Path, "\"\"", "The keys of our Kerberos services; empty is the system's own keytab.")
        .alias(&["krb5_keytab"])
        .fills(vars![("main.krb5keytab", Text)])
        .ends_in(&["krb5_keytab"]),
    Key::new("main.control.socket", Kind::Text, "\"unix:/run/gatepost.sock\"", "The socket at which a running gatepost is asked and told: unix:PATH, or off.")
        .ends_in(&["control"]),
    Key::new("main.control.mode", Kind::Text, "\"0600\"", "The mode of the control socket, in octal.")
        .ends_in(&["control"]),
    Key::new("main.control.owner", Kind::Text, "\"\"", "A user who may use the control socket beside root and gatepost's own.")
        .ends_in(&["control"]),
    Key::new("main.control.group", Kind::Text, "\"\"", "A group whose members may use the control socket.")
        .ends_in(&["control"]),
    Key::new("main.metrics.address", Kind::HostPort, "\"\"", "Where figures are shown over HTTP, for Prometheus; empty is nowhere.")
        .ends_in(&["metrics"]),
    Key::new("main.metrics.api", Kind::Choice(&["off", "read", "full"]), "\"off\"", "What else is answered at the address of the figures.")
        .ends_in(&["metrics"]),
    Key::new("main.resolver", SERVERS, "[]", "The name servers to ask; none are the system's.")
        .ends_in(&["resolver"]),
    Key::new("main.resolver_timeout", time(SECOND, 5 * MINUTE), "\"30s\"", "How long resolving one name may take.")
        .ends_in(&["resolver_timeout"]),
    Key::new("main.history", integer(2, 10_000), "20", "How many generations of the configuration are kept, the one in force among them."),
    Key::new("maintenance.text", Kind::Text, "\"service unavailable, try again later\"", "What clients are told while a maintenance is on that brings no text of its own.")
        .ends_in(&["maintenance_text"]),
    Key::new("maintenance.greeting", Kind::Flag, "false", "Whether a maintenance by hand is told in place of the greeting.")
        .ends_in(&["maintenance_greeting"]),
    Key::new("maintenance.alert_count", integer(0, 10_000), "1", "More maintenances of one upstream than this within 30 days are logged at alert; 0 never are.")
        .ends_in(&["maintenance_alert_count"]),
    Key::new("maintenance.alert_length", time(0, 30 * DAY), "\"30m\"", "A maintenance that lasts longer is logged at alert; 0 never is.")
        .ends_in(&["maintenance_alert_length"]),
];
