//! The directives of the process itself: nginx's core module, and where figures are shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::privilege::Identity;
use super::{Options, registry};
use crate::admin::directives as control;
use crate::admin::{Access, Entry, Token};
use crate::config::{self, Block, Directive, EVENTS, MAIL, MAIN, SERVER, Secret, Statement, Takes};
use crate::net::listen::{self, Listen};

const ONCE: Directive = Directive {
    name: "",
    within: &[MAIN],
    takes: Takes::Args(1, 1),
    repeats: false,
    default: "",
    secret: Secret::None,
    doc: "",
};

/// For directives of nginx that have nothing to act on here.
const IDLE: &str = "Accepted for nginx's sake and without effect.";
const IDLE_NOTED: &str = "Accepted for nginx's sake, noted in the log, and without effect: this is the service manager's \
     business.";

/// Directives without effect, of the main block and of `events`, and whether that is worth a note.
const IDLE_MAIN: &[(&str, bool)] = &[
    ("debug_points", false),
    ("env", true),
    ("lock_file", false),
    ("pcre_jit", false),
    ("ssl_engine", true),
    ("thread_pool", false),
    ("timer_resolution", false),
    ("worker_priority", true),
    ("worker_rlimit_core", true),
    ("working_directory", true),
];
const IDLE_EVENTS: &[&str] =
    &["accept_mutex", "accept_mutex_delay", "debug_connection", "worker_aio_requests"];

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "daemon",
        takes: Takes::Flag,
        default: "on",
        doc: "Whether gatepost goes to the background once every listener is bound.",
        ..ONCE
    },
    Directive {
        name: "master_process",
        takes: Takes::Flag,
        default: "on",
        doc: "Accepted for nginx's sake and without effect: gatepost is one process whose workers \
              are threads.",
        ..ONCE
    },
    Directive {
        name: "pid",
        default: "/run/gatepost.pid",
        doc: "The file that holds the process's id. It is written once every listener is bound, and \
              removed at exit. While a binary upgrade (USR2) is under way the old process's file has \
              the suffix `.oldbin`.",
        ..ONCE
    },
    Directive {
        name: "user",
        takes: Takes::Args(1, 2),
        default: "nobody",
        doc: "The user, and optionally the group, that a gatepost which root has started becomes once \
              its listeners and logs are open; `root` to stay root. For anybody else the directive \
              is noted and has no effect. The thread that handles signals keeps the capabilities to \
              bind low ports and to read and write files of others, so a reload may add a listener \
              and read a key that only root may read; the workers keep none.",
        ..ONCE
    },
    Directive {
        name: "worker_processes",
        default: "auto",
        doc: "How many workers serve connections: a number, or `auto` for one per processor. A \
              worker is a thread with an event loop of its own and a listening socket of its own \
              (`SO_REUSEPORT`) for each `listen`.",
        ..ONCE
    },
    Directive {
        name: "worker_rlimit_nofile",
        default: "",
        doc: "The limit on open files. Absent: the hard limit of the process is used.",
        ..ONCE
    },
    Directive {
        name: "worker_shutdown_timeout",
        default: "",
        doc: "How long sessions may live on after a reload or a graceful stop (QUIT) before they are \
              ended: those that have not logged in are told so, others are closed. Absent: as long as \
              they like.",
        ..ONCE
    },
    Directive {
        name: "worker_cpu_affinity",
        takes: Takes::AtLeast(1),
        doc: "Accepted for nginx's sake and without effect.",
        ..ONCE
    },
    Directive {
        name: "load_module",
        repeats: true,
        doc: "Accepted for nginx's sake and noted in the log: everything is built in.",
        ..ONCE
    },
    Directive {
        name: "error_log",
        within: &[MAIN, MAIL, SERVER],
        takes: Takes::Args(1, 2),
        repeats: true,
        default: "/var/log/gatepost/error.log error",
        secret: Secret::None,
        doc: "Where errors go, and from which level on: a file, `stderr` or \
              `syslog:server=ADDRESS[,facility=…][,tag=…]`; the levels are `debug`, `info`, `notice`, \
              `warn`, `error`, `crit`, `alert`, `emerg`. Several may stand in one block. Logins and \
              what refused them are `info`.",
    },
    Directive {
        name: "log_rotate",
        takes: Takes::AtLeast(1),
        repeats: true,
        doc: "Turns log files by itself: `log_rotate [FILE] [every=hourly|daily|weekly|monthly] [size=SIZE] \
              [keep=NUMBER] [compress=on|off] [delay_compress=on|off] [mode=OCTAL] [owner=USER[:GROUP]] \
              [command=PROGRAM];` or `log_rotate [FILE] off;`. Without a file it is for all files of \
              `error_log` and `access_log` that have none of their own. A log that is not empty is \
              turned when its hour, day, week (from Monday) or month is over or it has that size, \
              whichever comes first; without either it is `every=daily`. It is renamed to \
              `FILE-YYYYMMDD`, the next one of the day to `FILE-YYYYMMDD-1`; `keep` of these stay \
              (14 unless set), each as `.gz` with `compress=on`, the newest plain with \
              `delay_compress=on`. The new file has the old one's mode and owner unless they are set. \
              The program is run with the path of the turned log as its one argument, by no shell, \
              for 60 s at the most. See [logs.md](logs.md).",
        ..ONCE
    },
    Directive {
        name: "events",
        takes: Takes::Block(0, 0, EVENTS),
        doc: "The block of what concerns connections as such.",
        ..ONCE
    },
    Directive {
        name: "worker_connections",
        within: &[EVENTS],
        default: "16384",
        doc: "How many client sessions one worker serves at the most. With all workers together \
              holding `worker_processes` times as many, the client that has been there longest \
              without a login gives way to a new one; one whose login is being ruled on does so \
              after ten seconds, if no other is left. If there is none, the new one is told that \
              the server is busy. Both hear it in their protocol's words.",
        ..ONCE
    },
    Directive {
        name: "multi_accept",
        within: &[EVENTS],
        takes: Takes::Flag,
        default: "on",
        doc: "Accepted for nginx's sake and without effect.",
        ..ONCE
    },
    Directive {
        name: "use",
        within: &[EVENTS],
        doc: "Accepted for nginx's sake and without effect: it is always epoll.",
        ..ONCE
    },
    Directive {
        name: "debug_points",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "env",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: true,
        secret: Secret::Args(0),
        doc: IDLE_NOTED,
        ..ONCE
    },
    Directive {
        name: "lock_file",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "pcre_jit",
        within: &[MAIN],
        takes: Takes::Flag,
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "ssl_engine",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE_NOTED,
        ..ONCE
    },
    Directive {
        name: "thread_pool",
        within: &[MAIN],
        takes: Takes::AtLeast(1),
        repeats: true,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "timer_resolution",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "worker_priority",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE_NOTED,
        ..ONCE
    },
    Directive {
        name: "worker_rlimit_core",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE_NOTED,
        ..ONCE
    },
    Directive {
        name: "working_directory",
        within: &[MAIN],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE_NOTED,
        ..ONCE
    },
    Directive {
        name: "accept_mutex",
        within: &[EVENTS],
        takes: Takes::Flag,
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "accept_mutex_delay",
        within: &[EVENTS],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "debug_connection",
        within: &[EVENTS],
        takes: Takes::Args(1, 1),
        repeats: true,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "worker_aio_requests",
        within: &[EVENTS],
        takes: Takes::Args(1, 1),
        repeats: false,
        doc: IDLE,
        ..ONCE
    },
    Directive {
        name: "certificate_hook",
        takes: Takes::Args(1, 1),
        doc: "A program that is run 30, 14, 7, 3 and 1 days before a certificate in use ends, and at \
              its end; after a start once for each that has come so far. Its arguments are the \
              certificate's first name, the days that are left (below 0 when it has ended) and its \
              file. It has no environment but `PATH`, 30 seconds, and the rights of `user`; one runs \
              after the other. Relative to the prefix. See [certificates.md](certificates.md).",
        ..ONCE
    },
    Directive {
        name: "metrics",
        takes: Takes::Args(1, 3),
        repeats: true,
        doc: "An address and port, or `unix:PATH`, where figures are shown over HTTP: `/metrics` for \
              Prometheus, `/stub_status` in nginx's form. With `api=read` it answers questions about \
              the running gatepost, too, and with `api=full` it does what the control socket does \
              ([control.md](control.md)); `api=off` is the default. Whoever \
              reaches the address is answered, on loopback every user of this machine, unless there is a \
              `secret=FILE`: then nothing is shown, figures included, to who does not send the file's one line (16 visible \
              ASCII characters or more) as `Authorization: Bearer`. The file must be its owner's alone; it \
              is read at start and reload. With `api=full` an address that is not of loopback must have one. The API answers only requests whose `Host` is an address or \
              `localhost` and that name no `Origin`, so that no web page can ask; at a `unix:` path \
              it answers only whom the control socket answers.",
        ..ONCE
    },
    Directive {
        name: "mail",
        takes: Takes::Block(0, 0, MAIL),
        doc: "The block of everything that concerns mail.",
        ..ONCE
    },
];

/// What the process is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub daemon: bool,
    pub pid: PathBuf,
    /// Whom to become; `nobody` where nobody is named.
    pub user: Option<Identity>,
    pub workers: usize,
    pub open_files: Option<u64>,
    pub shutdown_timeout: Option<Duration>,
    pub worker_connections: usize,
    pub certificate_hook: Option<PathBuf>,
    pub metrics: Vec<Listen>,
    /// What is let be done at those, in their order, and by whom: who may ask at a socket is the
    /// control socket's to say.
    pub api: Vec<Entry>,
    pub control: control::Settings,
    /// What is there for nginx's sake and has no effect, one note each.
    pub notes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            daemon: true,
            pid: PathBuf::from("/run/gatepost.pid"),
            user: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            open_files: None,
            shutdown_timeout: None,
            worker_connections: 16384,
            certificate_hook: None,
            metrics: Vec::new(),
            api: Vec::new(),
            control: control::Settings::beside(Path::new("/run/gatepost.pid")),
            notes: Vec::new(),
        }
    }
}

/// More threads than this are a slip of the keyboard.
const MOST_WORKERS: usize = 1024;

impl Settings {
    /// Reads the main block.
    pub fn read(main: &Block) -> Self {
        let default = Self::default();
        // Accepted for nginx's sake: read, so that they count as used.
        let _ = (main.flag("master_process"), main.words("worker_cpu_affinity"));
        let workers = match main.text("worker_processes") {
            None | Some("auto") => default.workers,
            Some(_) => main.number("worker_processes", 1..=MOST_WORKERS).unwrap_or(1),
        };
        let events = main.blocks("events");
        let connections = events.first().and_then(|events| {
            let _ = (events.flag("multi_accept"), events.text("use"));
            for name in IDLE_EVENTS {
                let _ = events.all(name);
            }
            events.number("worker_connections", 1..)
        });
        let pid = main.path("pid").unwrap_or(default.pid);
        let (metrics, api) = metrics(main);
        let notes = notes(main, &metrics, &api);
        Self {
            daemon: main.flag("daemon").unwrap_or(default.daemon),
            certificate_hook: main.path("certificate_hook"),
            control: control::Settings::read(main, &pid),
            pid,
            user: user(main),
            workers,
            open_files: main.number("worker_rlimit_nofile", 1..),
            shutdown_timeout: main.time("worker_shutdown_timeout"),
            worker_connections: connections.unwrap_or(default.worker_connections),
            metrics,
            api,
            notes,
        }
    }
}

fn notes(main: &Block, shown: &[Listen], api: &[Entry]) -> Vec<String> {
    let modules = main.all("load_module").into_iter();
    let modules = modules
        .map(|at| format!("\"load_module {}\" has no effect: all is built in", at.args()[0]));
    let mut notes: Vec<_> = modules.collect();
    for (name, is_noted) in IDLE_MAIN {
        let all = main.all(name);
        if *is_noted && !all.is_empty() {
            notes.push(format!("\"{name}\" has no effect: the service manager sees to that"));
        }
    }
    for (listen, entry) in shown.iter().zip(api) {
        if entry.access != Access::Off && entry.token.is_none() && is_far(listen) {
            let words = "whoever reaches it is answered, and learns who is logged in";
            notes.push(format!("\"metrics {}\": {words}", listen.endpoint));
        }
    }
    notes
}

/// Looked up at once, so that `-t` finds a name that nobody has.
fn user(main: &Block) -> Option<Identity> {
    let at = main.statement("user")?;
    match Identity::find(&at.args()[0], at.arg(1)) {
        Ok(identity) => Some(identity),
        Err(error) => {
            main.fault(at, error.to_string());
            None
        }
    }
}

/// Others than this machine's users may reach it.
fn is_far(listen: &Listen) -> bool {
    listen.endpoint.ip().is_some_and(|ip| !ip.to_canonical().is_loopback())
}

fn metrics(main: &Block) -> (Vec<Listen>, Vec<Entry>) {
    let (mut listens, mut api, mut room) = (Vec::new(), Vec::new(), listen::MOST);
    for at in main.all("metrics") {
        let entry = entry(main, at);
        match Listen::parse_within(&[&at.args()[0]], &mut room) {
            Ok(parsed) => {
                let is_open = entry.access == Access::Full && entry.token.is_none();
                // What is wrong with a secret has been told.
                let is_told = at.args().iter().any(|arg| arg.starts_with("secret="));
                if let Some(listen) = parsed.iter().find(|one| is_open && !is_told && is_far(one)) {
                    let words = format!(
                        "\"metrics {}\" with \"api=full\" would let everybody steer gatepost who \
                         reaches that address: say \"secret=FILE\", \"api=read\" or an address of \
                         loopback",
                        listen.endpoint
                    );
                    main.fault(at, words);
                }
                api.resize(api.len() + parsed.len(), entry);
                listens.extend(parsed);
            }
            Err(error) => main.fault(at, error.replace("\"listen\"", "\"metrics\"")),
        }
    }
    (listens, api)
}

/// What `metrics` says behind its address.
fn entry(main: &Block, at: &Statement) -> Entry {
    let mut entry = Entry::default();
    for arg in &at.args()[1..] {
        match arg.split_once('=') {
            Some(("api", "off")) => entry.access = Access::Off,
            Some(("api", "read")) => entry.access = Access::Read,
            Some(("api", "full")) => entry.access = Access::Full,
            Some(("secret", file)) if !file.is_empty() => {
                match Token::read(&main.shared().conf_dir.join(file)) {
                    Ok(token) => entry.token = Some(token),
                    Err(error) => {
                        main.fault(at, format!("\"{file}\" is no secret for \"metrics\": {error}"))
                    }
                }
            }
            _ => {
                let words = "it must be \"api=off\", \"api=read\", \"api=full\" or \"secret=FILE\"";
                main.fault(
                    at,
                    format!("invalid parameter \"{arg}\" in \"metrics\" directive, {words}"),
                );
            }
        }
    }
    entry
}

/// Where a gatepost with this configuration is asked and told. Only what stands outside of `mail` is
/// looked at, so that a running gatepost is found whatever is wrong in there.
pub fn control_socket(options: &Options) -> Result<Option<PathBuf>, Vec<String>> {
    let (file, prefix) = (&options.configuration, &options.prefix);
    let directives = options.directives.as_deref();
    let lines = |faults: config::Faults| -> Vec<String> {
        faults.iter().map(ToString::to_string).collect()
    };
    let tree = config::load(file, prefix, directives, &registry::registry()).map_err(lines)?;
    let main = tree.root();
    let pid = main.path("pid").unwrap_or(Settings::default().pid);
    Ok(control::Settings::read(main, &pid).path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(args: &str) -> (Vec<Entry>, Vec<String>) {
        let block = Block::of(&[("metrics", args)]);
        let (_, entries) = metrics(&block);
        (entries, block.faults())
    }

    #[test]
    fn nobody_far_away_may_steer_without_a_secret() {
        for (args, may) in [
            ("127.0.0.1:9143 api=full", true),
            ("127.8.0.1:9143 api=full", true),
            ("[::1]:9143 api=full", true),
            ("unix:/run/figures api=full", true),
            ("192.0.2.1:9143 api=read", true),
            ("192.0.2.1:9143", true),
            ("192.0.2.1:9143 api=full", false),
            ("9143 api=full", false),
            ("0.0.0.0:9143 api=full", false),
            ("[::]:9143 api=full", false),
            ("[2001:db8::1]:9143 api=full", false),
        ] {
            let (_, faults) = read(args);
            let told = faults.iter().any(|fault| fault.contains("say \"secret=FILE\""));
            assert_eq!((faults.is_empty(), told), (may, !may), "{args}: {faults:?}");
        }
    }

    #[test]
    fn a_secret_is_read_and_must_be_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let args = format!("192.0.2.1:9143 secret={} api=full", path.display());
        for (mode, want) in [(0o600, ""), (0o640, "may read or write it (mode 0640)")] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let (entries, faults) = read(&args);
            assert_eq!(entries[0].token.is_some(), want.is_empty());
            assert_eq!(faults.len(), usize::from(!want.is_empty()), "{faults:?}");
            assert!(faults.iter().all(|fault| fault.contains(want)), "{faults:?}");
        }
        let (_, faults) = read("127.0.0.1:9143 secret=");
        assert!(faults[0].contains("invalid parameter \"secret=\""), "{faults:?}");
    }
}
