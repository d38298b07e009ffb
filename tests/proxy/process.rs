//! The process contract: flags, pid file, signals, what an admin's scripts rely on.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scene::{Scene, TO_BACKEND};
use crate::support::{
    Client, FakeUpstream, Gatepost, Manners, PATIENCE, Protocol, Run, Site, Talk, command, fill,
    imap, is_alive, mail, run, send, uid, until,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One IMAP server in the clear.
const SERVER: &str = "server { listen @ip@:@imap@; protocol imap; }";

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

fn conf() -> String {
    mail(&format!("{TO_BACKEND}{SERVER}"))
}

/// Runs gatepost with `flags` on a site with this configuration.
fn ran(site: &Site, conf: &str, flags: &[&str]) -> Run {
    site.write("conf/gatepost.conf", fill(site, conf, &[("up", &"127.0.0.1:1")]));
    run(command(site).args(flags), "")
}

fn started() -> (FakeUpstream, Gatepost) {
    let upstream = upstream();
    let gatepost = Gatepost::start(Site::new(), &conf(), &[("up", &upstream.addr())]);
    (upstream, gatepost)
}

fn let_in(gatepost: &Gatepost) -> Client {
    let mut client = Client::greeted(Protocol::Imap, gatepost.imap());
    client.ask("LOGIN bob pw").is("OK");
    client
}

#[test]
fn it_says_its_version() {
    let site = Site::new();
    let said = run(command(&site).arg("-v"), "").worked().said();
    assert_eq!(said.trim(), format!("gatepost version: gatepost/{VERSION}"));
    let said = run(command(&site).arg("-V"), "").worked().said();
    assert!(said.contains(&format!("gatepost/{VERSION}")) && said.lines().count() > 1, "{said}");
    assert!(run(command(&site).arg("-h"), "").worked().said().contains("-c"));
    assert_ne!(run(command(&site).arg("--nonsense"), "").code, Some(0));
}

#[test]
fn a_good_file_passes_the_test_in_nginxs_words() {
    let site = Site::new();
    let tested = ran(&site, &conf(), &["-t"]).worked();
    let file = site.path("conf/gatepost.conf").display().to_string();
    for want in ["syntax is ok", "test is successful"] {
        let line = tested.err.lines().find(|line| line.contains(want)).expect(want);
        assert!(line.starts_with("gatepost: ") && line.contains(&file), "{line}");
    }
    assert_eq!(ran(&site, &conf(), &["-t", "-q"]).worked().said(), "");
    assert!(!site.path("run/gatepost.pid").exists(), "a test writes no pid file");
    // Nothing is bound either: it tests while another runs.
    let upstream = upstream();
    let gatepost = Gatepost::start(site, &conf(), &[("up", &upstream.addr())]);
    run(command(&gatepost.site).arg("-t"), "").worked();
}

#[test]
fn every_error_of_a_file_is_told_at_once() {
    let bad = mail(
        "proxy_timout 1h;\n\
         timeout never;\n\
         server { listen @ip@:@imap@; protocol gopher; }\n\
         starttls perhaps;\n",
    );
    for flags in [&["-t"][..], &["-t", "-q"], &[]] {
        let site = Site::new();
        let tested = ran(&site, &bad, flags);
        assert!(tested.code.is_some_and(|code| code != 0), "{tested:?}");
        let file = site.path("conf/gatepost.conf").display().to_string();
        let first = bad.lines().position(|line| line.contains("proxy_timout")).unwrap() + 1;
        for (line, word) in ["proxy_timout", "never", "gopher", "perhaps"].iter().enumerate() {
            let told = tested.err.lines().find(|told| told.contains(word));
            let told = told.unwrap_or_else(|| panic!("nothing of {word}: {}", tested.err));
            assert!(told.starts_with("gatepost: [emerg] "), "{told}");
            assert!(told.contains(&format!(" in {file}:{}", first + line)), "{told}");
        }
        assert!(tested.err.contains("did you mean \"proxy_timeout\"?"), "{}", tested.err);
        assert_eq!(tested.err.contains("test failed"), flags.contains(&"-t"), "{}", tested.err);
        assert!(!site.path("run/gatepost.pid").exists());
    }
    let site = Site::new();
    std::fs::remove_dir_all(site.path("conf")).unwrap();
    let tested = run(command(&site).arg("-t"), "");
    assert!(tested.code != Some(0) && tested.err.contains("[emerg]"), "{tested:?}");
}

#[test]
fn every_file_is_dumped_once() {
    let site = Site::new();
    std::fs::create_dir(site.path("conf/more")).unwrap();
    site.write("conf/more/a.conf", "max_errors 3; # of a\n");
    site.write("conf/more/b.conf", "timeout 30s; # of b\n");
    let text = mail(&format!("include @dir@/conf/more/*.conf;\n{TO_BACKEND}{SERVER}"));
    let said = ran(&site, &text, &["-T"]).worked().out;
    for file in ["gatepost.conf", "more/a.conf", "more/b.conf"] {
        let path = site.path("conf").join(file);
        let mark = format!("# configuration file {}:\n", path.display());
        assert_eq!(said.matches(&mark).count(), 1, "{file}: {said}");
    }
    assert!(said.contains("# of a") && said.contains("# of b"));
}

#[test]
fn flags_choose_files_and_add_directives() {
    let site = Site::new();
    let upstream = upstream();
    let text = conf().replace("pid run/gatepost.pid;", "").replace("daemon off;", "");
    let flags = ["-g", "daemon off; pid run/gatepost.pid;", "-e", "logs/early.log"];
    let mut gatepost = Gatepost::spawn(site, &text, &[("up", &upstream.addr())], &flags);
    until("the pid file", || gatepost.pid_file());
    let_in(&gatepost).ask("NOOP").is("OK");
    assert!(gatepost.site.path("logs/early.log").exists() || !gatepost.error_log().is_empty());
    gatepost.signal(Signal::SIGTERM);
    assert_eq!(gatepost.ends().code(), Some(0));
}

#[test]
fn dash_s_signals_the_running_one() {
    let (_upstream, mut gatepost) = started();
    let order = |gatepost: &Gatepost, what: &str| {
        let said = run(command(&gatepost.site).args(["-s", what]), "");
        assert_eq!(said.code, Some(0), "{said:?}");
    };
    order(&gatepost, "reload");
    gatepost.logs("exited with code 0");
    std::fs::rename(gatepost.site.path("logs/error.log"), gatepost.site.path("logs/old")).unwrap();
    order(&gatepost, "reopen");
    until("the log to be opened again", || {
        gatepost.site.path("logs/error.log").exists().then_some(())
    });
    order(&gatepost, "quit");
    assert_eq!(gatepost.ends().code(), Some(0));
    let nobody = run(command(&gatepost.site).args(["-s", "stop"]), "");
    assert!(nobody.code != Some(0) && nobody.err.contains("gatepost.pid"), "{nobody:?}");
    assert_ne!(run(command(&gatepost.site).args(["-s", "dance"]), "").code, Some(0));
}

#[test]
fn the_pid_file_waits_for_every_listener() {
    let site = Site::new();
    // Somebody else has the second of two ports.
    let taken = std::net::TcpListener::bind((site.ip, 10300)).unwrap();
    let text =
        mail(&format!("{TO_BACKEND}{SERVER} server {{ listen @ip@:10300; protocol imap; }}"));
    let mut gatepost = Gatepost::spawn(site, &text, &[("up", &"127.0.0.1:1")], &[]);
    let ended = gatepost.ends();
    assert!(ended.code().is_some_and(|code| code != 0), "{ended}");
    assert_eq!(gatepost.pid_file(), None);
    let told = gatepost.site.read("logs/stderr") + &gatepost.error_log();
    let want = format!("bind() to {} failed", taken.local_addr().unwrap());
    assert!(told.contains("[emerg]") && told.contains(&want), "{told}");
}

#[test]
fn listening_when_the_pid_file_is_there() {
    for _ in 0..5 {
        let upstream = upstream();
        let gatepost = Gatepost::spawn(Site::new(), &conf(), &[("up", &upstream.addr())], &[]);
        // Looks as often as it can: the first sight of the file must find an open door.
        let start = Instant::now();
        while gatepost.pid_file().is_none() {
            assert!(start.elapsed() < PATIENCE, "{}", gatepost.site.read("logs/stderr"));
            std::thread::yield_now();
        }
        Talk::try_connect(None, gatepost.imap()).unwrap();
        assert!(gatepost.site.path("logs/error.log").exists(), "there from the start");
        gatepost.quit();
    }
}

#[test]
fn term_and_int_stop_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (_upstream, gatepost) = started();
        let mut client = let_in(&gatepost);
        let mut early = Client::greeted(Protocol::Imap, gatepost.imap());
        let start = Instant::now();
        gatepost.stop(signal);
        assert!(start.elapsed() < Duration::from_secs(5), "{signal} took {:?}", start.elapsed());
        let _ = client.left_unsaid();
        let _ = early.left_unsaid();
    }
}

#[test]
fn quit_waits_for_sessions_and_takes_no_more() {
    let (_upstream, mut gatepost) = started();
    let mut client = let_in(&gatepost);
    gatepost.signal(Signal::SIGQUIT);
    let to = gatepost.imap();
    until("the door to close", || Talk::try_connect(None, to).is_err().then_some(()));
    client.ask("NOOP still").is("OK").tells("still");
    client.ask("LOGOUT").is("OK");
    drop(client);
    assert_eq!(gatepost.ends().code(), Some(0));
    assert_eq!(gatepost.pid_file(), None);
}

#[test]
fn quit_waits_no_longer_than_it_is_told() {
    let upstream = upstream();
    let text = format!("worker_shutdown_timeout 500ms;\n{}", conf());
    let mut gatepost = Gatepost::start(Site::new(), &text, &[("up", &upstream.addr())]);
    let mut client = let_in(&gatepost);
    gatepost.signal(Signal::SIGQUIT);
    assert_eq!(gatepost.ends().code(), Some(0));
    let _ = client.left_unsaid();
}

#[test]
fn usr1_opens_the_logs_again() {
    let upstream = upstream();
    let text = mail(&format!("access_log logs/access.log; {TO_BACKEND}{SERVER}"));
    let gatepost = Gatepost::start(Site::new(), &text, &[("up", &upstream.addr())]);
    let_in(&gatepost).ask("LOGOUT").is("OK");
    gatepost.waits_for_line("logs/access.log", "bob");
    let mut held = let_in(&gatepost);
    for log in ["error", "access"] {
        let path = gatepost.site.path(&format!("logs/{log}.log"));
        std::fs::rename(&path, path.with_extension("old")).unwrap();
    }
    gatepost.signal(Signal::SIGUSR1);
    until("new logs", || {
        ["error", "access"]
            .iter()
            .all(|log| gatepost.site.path(&format!("logs/{log}.log")).exists())
            .then_some(())
    });
    held.ask("LOGOUT").is("OK");
    drop(held);
    gatepost.waits_for_line("logs/access.log", "bob");
    assert_eq!(gatepost.site.read("logs/access.old").lines().count(), 1);
    assert_eq!(gatepost.access_log().lines().count(), 1);
    gatepost.quit();
}

#[test]
fn as_a_daemon_it_leaves_its_parent() {
    let upstream = upstream();
    let site = Site::new();
    let text = conf().replace("daemon off;", "daemon on;");
    site.write("conf/gatepost.conf", fill(&site, &text, &[("up", &upstream.addr())]));
    // To its end: nothing of ours may be held open by the daemon.
    run(&mut command(&site), "").worked();
    let pid: u32 = until("the pid file", || site.read("run/gatepost.pid").trim().parse().ok());
    assert!(is_alive(pid));
    let mut client = Client::greeted(Protocol::Imap, (site.ip, crate::support::IMAP).into());
    client.ask("LOGIN bob pw").is("OK");
    client.ask("LOGOUT").is("OK");
    drop(client);
    send(pid, Signal::SIGQUIT);
    until("the daemon to end", || (!is_alive(pid)).then_some(()));
}

#[test]
fn a_closed_stderr_is_survived() {
    let (upstream, site) = (upstream(), Site::new());
    site.write("conf/gatepost.conf", fill(&site, &conf(), &[("up", &upstream.addr())]));
    let inner = command(&site);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 0<&- 1>&- 2>&-"]).arg(inner.get_program());
    let mut child = shell.args(inner.get_args()).stdin(Stdio::null()).spawn().unwrap();
    until("the pid file", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", site.read("logs/error.log"));
        site.read("run/gatepost.pid").trim().parse::<u32>().ok()
    });
    let mut client = Client::greeted(Protocol::Imap, (site.ip, crate::support::IMAP).into());
    client.ask("LOGIN bob pw").is("OK");
    // What is written for stderr must not end up in a socket that took its number.
    client.ask("NOOP").is("OK");
    client.ask("LOGOUT").is("OK");
    send(child.id(), Signal::SIGTERM);
    let status = until("gatepost to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn root_becomes_somebody_else() {
    if !nix::unistd::geteuid().is_root() {
        return; // Only root can.
    }
    let (upstream, site) = (upstream(), Site::new());
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for name in ["logs", "run"] {
        let owner = (Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()));
        std::os::unix::fs::chown(site.path(name), owner.0, owner.1).unwrap();
    }
    let privileged = conf().replace("@imap@", "143").replace("user root;", "user nobody nogroup;");
    let gatepost = Gatepost::start(site, &privileged, &[("up", &upstream.addr())]);
    let mut client = Client::greeted(Protocol::Imap, (gatepost.site.ip, 143).into());
    // The pid file is root's last act; nobody is served before the user has changed.
    assert_eq!(uid(gatepost.pid()), u64::from(nobody.uid.as_raw()));
    client.ask("LOGIN bob pw").is("OK");
    client.ask("LOGOUT").is("OK");
    drop(client);
    // Another low port still comes with a reload, and the logs open again.
    let more = privileged.replace("server {", "server { listen @ip@:110;");
    gatepost.reload(&more, &[("up", &upstream.addr())], "exited with code 0");
    drop(Client::greeted(Protocol::Imap, (gatepost.site.ip, 110).into()));
    let log = gatepost.site.path("logs/error.log");
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    gatepost.signal(Signal::SIGUSR1);
    until("a new log", || log.exists().then_some(()));
    gatepost.quit();
}

#[test]
fn a_file_of_nginxs_is_taken_as_it_is() {
    let upstream = upstream();
    let scene = Scene::before(
        upstream.addr(),
        Protocol::Imap,
        "imap_auth plain login; imap_capabilities IMAP4 IMAP4rev1 UIDPLUS; pop3_auth plain;
         pop3_capabilities TOP USER UIDL; proxy on; proxy_buffer 4k; timeout 1m;
         ssl_session_timeout 5m; ssl_prefer_server_ciphers on;",
    );
    scene.let_in().ask("NOOP").is("OK");

    let site = Site::new();
    let text = format!(
        "load_module modules/ngx_mail_module.so;\n{}",
        conf().replace("events {", "events { use epoll; multi_accept on;")
    );
    let tested = ran(&site, &text, &["-t"]).worked();
    assert!(tested.err.contains("successful"), "{}", tested.err);
}
