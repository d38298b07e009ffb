//! Who gatepost is once it serves: what root gives up, and what an admin can still ask of it.
//!
//! Only root can try this; anybody else's run passes these tests by.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::User;

use crate::listeners::works_at;
use crate::scene::{CERTIFICATE, TO_BACKEND, servers};
use crate::support::{
    Ca, Client, FakeUpstream, Gatepost, Manners, PATIENCE, Protocol, Site, Waiting, imap, mail,
    send, threads, until,
};
use crate::tls::{der, shown};
use crate::upgrade::{ends, upgrade};

const NOBODY: &str = "user nobody nogroup;";

/// `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH` and `CAP_NET_BIND_SERVICE`: what a reload, a reopening
/// and an upgrade need.
const KEPT: u64 = 1 << 1 | 1 << 2 | 1 << 10;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn nobody() -> u32 {
    User::from_name("nobody").unwrap().unwrap().uid.as_raw()
}

/// A gatepost with TLS, a unix socket and logs, started by root to become somebody else.
struct Cell {
    upstream: FakeUpstream,
    gatepost: Gatepost,
    ca: Ca,
}

/// Its configuration, with `extra` in the `mail` block.
fn conf(user: &str, extra: &str) -> String {
    mail(&format!(
        "{CERTIFICATE}{TO_BACKEND} access_log logs/access.log;
         {}
         server {{ listen unix:@dir@/run/s; protocol imap; }}
         {extra}",
        servers(Protocol::Imap)
    ))
    .replace("user root;", user)
}

impl Cell {
    /// Everything of its own is shut to all but root.
    #[track_caller]
    fn shut(user: &str) -> Self {
        let (upstream, site, ca) =
            (FakeUpstream::start(imap(Manners::imap())), Site::new(), Ca::new());
        ca.ecdsa(&["mail.test"]).put(&site, "mail");
        fs::set_permissions(site.path("mail.key"), Permissions::from_mode(0o600)).unwrap();
        for folder in ["conf", "logs", "run"] {
            fs::set_permissions(site.path(folder), Permissions::from_mode(0o700)).unwrap();
        }
        let gatepost = Gatepost::start(site, &conf(user, ""), &[("up", &upstream.addr())]);
        let cell = Self { upstream, gatepost, ca };
        cell.serves();
        cell
    }

    #[track_caller]
    fn serves(&self) {
        let mut client = Client::greeted(Protocol::Imap, self.gatepost.imap());
        client.ask("LOGIN bob pw").is("OK");
        client.ask("LOGOUT").is("OK");
    }

    #[track_caller]
    fn reload(&self, conf: &str) {
        let values: [(&str, &dyn ToString); 1] = [("up", &self.upstream.addr())];
        self.gatepost.reload(conf, &values, "exited with code 0");
        let log = self.gatepost.error_log();
        assert!(!log.contains("[emerg]") && !log.contains("[alert]"), "{log}");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.gatepost.site.path(name)
    }
}

/// Asserts that `pid` is nobody, and that its main thread alone can do a little more than its
/// `workers`.
#[track_caller]
fn is_nobody(pid: u32, workers: usize) {
    let waiting = Waiting::new(PATIENCE);
    loop {
        let (nobody, threads) = (nobody(), threads(pid));
        assert!(threads.iter().all(|thread| thread.uid == nobody), "{threads:?}");
        let (main, others) = threads.split_first().unwrap();
        assert!(main.capabilities != 0 && main.capabilities & !KEPT == 0, "{main:x?}");
        // Giving them up is the first thing that a worker does; on a busy machine it may be a while
        // until it does anything.
        if others.len() >= workers && others.iter().all(|thread| thread.capabilities == 0) {
            return;
        }
        assert!(waiting.left().is_some(), "not {workers} workers without: {threads:x?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn root_serves_as_nobody_unless_it_is_told_to_stay() {
    if !is_root() {
        return;
    }
    for (user, want) in [("", nobody()), (NOBODY, nobody()), ("user root;", 0)] {
        let cell = Cell::shut(user);
        let threads = threads(cell.gatepost.pid());
        assert!(threads.iter().all(|thread| thread.uid == want), "{user:?}: {threads:?}");
        cell.gatepost.quit();
    }
}

#[test]
fn no_worker_has_capabilities() {
    if !is_root() {
        return;
    }
    let cell = Cell::shut(NOBODY);
    is_nobody(cell.gatepost.pid(), 2);
    // Those that a reload adds are started by a thread that has some.
    cell.reload(&conf(NOBODY, "").replace("worker_processes 2;", "worker_processes 5;"));
    cell.serves();
    is_nobody(cell.gatepost.pid(), 5);
    let new = upgrade(&cell.gatepost);
    cell.serves();
    is_nobody(new, 5);
}

#[test]
fn a_reload_reads_what_is_roots() {
    if !is_root() {
        return;
    }
    let cell = Cell::shut(NOBODY);
    // Over the old ones: they stay as shut as they are.
    let new = cell.ca.ecdsa(&["mail.test"]);
    new.put(&cell.gatepost.site, "mail");
    // A low port, and a key that was not there before.
    cell.ca.ecdsa(&["other.test"]).put(&cell.gatepost.site, "other");
    fs::set_permissions(cell.path("other.key"), Permissions::from_mode(0o600)).unwrap();
    let more = "server { listen @ip@:993 ssl; protocol imap; ssl_certificate @dir@/other.pem;
                ssl_certificate_key @dir@/other.key; }";
    cell.reload(&conf(NOBODY, more));
    assert!(shown(&cell.gatepost, &cell.ca.pem, "mail.test") == der(&new), "the old certificate");
    let tls = crate::support::Tls::trusting(&cell.ca.pem, "other.test");
    let low = (cell.gatepost.site.ip, 993).into();
    drop(Client::greeted_over(&tls, Protocol::Imap, low));
    cell.gatepost.quit();
}

#[test]
fn logs_are_opened_again_in_a_folder_of_roots() {
    if !is_root() {
        return;
    }
    let cell = Cell::shut(NOBODY);
    for log in ["logs/error.log", "logs/access.log"] {
        fs::rename(cell.path(log), cell.path(&format!("{log}.1"))).unwrap();
    }
    cell.gatepost.signal(Signal::SIGUSR1);
    until("new logs", || {
        let mut logs = ["logs/error.log", "logs/access.log"].iter();
        logs.all(|log| cell.path(log).exists()).then_some(())
    });
    cell.serves();
    cell.gatepost.logs("client logged in");
    cell.gatepost.waits_for_line("logs/access.log", "bob");
    // And a reload does the same.
    fs::rename(cell.path("logs/error.log"), cell.path("logs/error.log.2")).unwrap();
    cell.gatepost.signal(Signal::SIGHUP);
    until("a new log", || cell.path("logs/error.log").exists().then_some(()));
    cell.serves();
    cell.gatepost.logs("client logged in");
    cell.gatepost.quit();
}

#[test]
fn an_upgrade_works_in_a_folder_of_roots_and_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let mut cell = Cell::shut(NOBODY);
    let old = cell.gatepost.pid();
    let new = upgrade(&cell.gatepost);
    assert_eq!(cell.gatepost.site.read("run/gatepost.pid.oldbin").trim(), old.to_string());
    // One that is taken back gives the name back.
    send(new, Signal::SIGQUIT);
    ends(new);
    until("the old process to take its name back", || {
        (cell.gatepost.pid_file() == Some(old)).then_some(())
    });
    works_at(&cell.path("run/s"));
    // One that stays reads the key that is root's.
    let new = upgrade(&cell.gatepost);
    cell.gatepost.signal(Signal::SIGQUIT);
    assert_eq!(cell.gatepost.ends().code(), Some(0));
    assert!(!cell.path("run/gatepost.pid.oldbin").exists());
    works_at(&cell.path("run/s"));
    shown(&cell.gatepost, &cell.ca.pem, "mail.test");
    send(new, Signal::SIGQUIT);
    ends(new);
    let left: Vec<_> = fs::read_dir(cell.path("run")).unwrap().map(Result::unwrap).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
