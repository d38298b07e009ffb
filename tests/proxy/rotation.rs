//! Logs that are turned under load: by gatepost itself, through an upgrade, and by logrotate.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use flate2::read::GzDecoder;
use nix::sys::signal::Signal;

use crate::support::{
    Client, FakeUpstream, Gatepost, Manners, Mechanism, Protocol, Site, command, imap, mail, run,
    send, until,
};
use crate::upgrade::{ends, upgrade};

fn started(main: &str) -> (FakeUpstream, Gatepost) {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let inside = "route { default @up@; }
                  log_format own '$login $status';
                  access_log logs/access.log own;
                  server { listen @ip@:@imap@; protocol imap; }";
    let conf = format!("{main} {}", mail(inside));
    let gatepost = Gatepost::start(Site::new(), &conf, &[("up", &upstream.addr())]);
    (upstream, gatepost)
}

/// Sessions of users that each come once, by three clients at a time, while `work` is done.
fn under_load(gatepost: &Gatepost, work: impl FnOnce(&AtomicUsize)) -> usize {
    let (is_over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let to = gatepost.imap();
    thread::scope(|scope| {
        for knocker in 0..3 {
            let (is_over, served) = (&is_over, &served);
            scope.spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let mut client = Client::greeted(Protocol::Imap, to);
                    let user = format!("user-{knocker}-{number}");
                    client.log_in(Mechanism::Login, &user, "pw");
                    client.ask("LOGOUT").is("OK");
                    client.hears_the_end();
                    number += 1;
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        work(&served);
        is_over.store(true, Ordering::SeqCst);
    });
    served.into_inner()
}

fn some_more(served: &AtomicUsize) {
    let before = served.load(Ordering::SeqCst);
    until("sessions", || (served.load(Ordering::SeqCst) > before + 20).then_some(()));
}

/// The files of a log: the log, and what it was turned to.
fn files_of(folder: &Path, name: &str) -> BTreeSet<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(name)).collect()
}

/// What stands in them, once nobody changes them any more.
fn text_of(files: &BTreeSet<PathBuf>) -> String {
    let mut text = String::new();
    for path in files {
        let bytes = fs::read(path).unwrap();
        let is = |ending| path.extension().is_some_and(|own| own == ending);
        // One that was being compressed when its process ended is there as it was, too.
        if is("part") || (is("gz") && files.contains(&path.with_extension(""))) {
            continue;
        }
        match is("gz") {
            true => drop(GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap()),
            false => text.push_str(std::str::from_utf8(&bytes).unwrap()),
        }
    }
    text
}

/// Every session has its line, whole and once, in one file or another.
#[track_caller]
fn has_every_line(site: &Site, sessions: usize) -> BTreeSet<PathBuf> {
    let files = files_of(&site.path("logs"), "access.log");
    let text = text_of(&files);
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        assert!(line.starts_with("user-") && line.ends_with(" ok"), "{line}");
        assert!(seen.insert(line), "twice: {line}");
    }
    assert_eq!(seen.len(), sessions);
    files
}

#[test]
fn logs_are_turned_by_size_and_by_hand_and_no_line_is_lost() {
    let rotate = "log_rotate size=2k keep=1000 compress=on delay_compress=on mode=0640;
                  log_rotate logs/error.log off;";
    let (_upstream, gatepost) = started(rotate);
    let served = under_load(&gatepost, |served| {
        for _ in 0..4 {
            some_more(served);
            let asked = run(command(&gatepost.site).args(["log", "rotate"]), "").worked().out;
            assert!(asked.contains("access.log-2"), "{asked}");
        }
    });
    until("a log to be compressed", || {
        let files = files_of(&gatepost.site.path("logs"), "access.log");
        files.iter().any(|file| file.extension().is_some_and(|end| end == "gz")).then_some(())
    });
    assert!(!gatepost.error_log().contains("turned logs stay"), "{}", gatepost.error_log());
    let mode = fs::metadata(gatepost.site.path("logs/access.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let site = gatepost.quit();
    let files = has_every_line(&site, served);
    assert!(files.len() >= 4, "{files:?}");
    assert_eq!(files_of(&site.path("logs"), "error.log").len(), 1);
}

#[test]
fn both_processes_of_an_upgrade_turn_one_log_once_and_lose_no_line() {
    let (_upstream, mut gatepost) =
        started("log_rotate size=1k keep=1000 compress=on; log_rotate logs/error.log off;");
    let old = gatepost.pid();
    let mut new = 0;
    let served = under_load(&gatepost, |served| {
        some_more(served);
        new = upgrade(&gatepost);
        for _ in 0..3 {
            let before = files_of(&gatepost.site.path("logs"), "access.log").len();
            until("a log to be turned", || {
                let now = files_of(&gatepost.site.path("logs"), "access.log").len();
                (now > before).then_some(())
            });
        }
        send(old, Signal::SIGQUIT);
        some_more(served);
    });
    assert_eq!(gatepost.ends().code(), Some(0));
    send(new, Signal::SIGQUIT);
    ends(new);
    has_every_line(&gatepost.site, served);
}

#[test]
fn logrotate_turns_them_with_the_snippet_that_is_shipped_and_no_line_is_lost() {
    let (_upstream, gatepost) = started("");
    let site = &gatepost.site;
    let snippet = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/logrotate/gatepost");
    let snippet = fs::read_to_string(snippet).unwrap();
    assert!(snippet.contains("create 0640 gatepost adm"), "the test stands for another user");
    let own = snippet
        .replace("/var/log/gatepost", &site.path("logs").display().to_string())
        .replace("/run/gatepost.pid", &site.path("run/gatepost.pid").display().to_string())
        .replace("create 0640 gatepost adm", "create 0640");
    site.write("logrotate.conf", own);
    let conf = site.path("logrotate.conf");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o644)).unwrap();
    let mut turns = 0;
    let served = under_load(&gatepost, |served| {
        for _ in 0..3 {
            some_more(served);
            let mut logrotate = Command::new("/usr/sbin/logrotate");
            logrotate.arg("--force").arg("--state").arg(site.path("logrotate.state")).arg(&conf);
            run(&mut logrotate, "").worked();
            turns += 1;
            until("the logs to be open anew", || {
                let text = text_of(&files_of(&site.path("logs"), "error.log"));
                (text.matches("reopening logs").count() >= turns).then_some(())
            });
        }
        some_more(served);
    });
    let site = gatepost.quit();
    let files = has_every_line(&site, served);
    assert!(files.len() >= 3, "{files:?}");
}

#[test]
fn a_program_is_run_with_the_turned_log_and_a_level_by_hand_ends_at_a_reload() {
    let site = Site::new();
    site.write(
        "own.sh",
        "#!/bin/sh\necho \"$#:$1\" >> @dir@/told\n"
            .replace("@dir@", &site.dir().display().to_string()),
    );
    fs::set_permissions(site.path("own.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let inside = "route { default @up@; } server { listen @ip@:@imap@; protocol imap; }";
    let conf = format!(
        "log_rotate command=own.sh; {}",
        mail(inside).replace("error.log debug", "error.log warn")
    );
    let gatepost = Gatepost::start(site, &conf, &[("up", &upstream.addr())]);
    let ask = |words: &[&str]| run(command(&gatepost.site).args(words), "");
    let log_in = || {
        let mut client = Client::greeted(Protocol::Imap, gatepost.imap());
        client.log_in(Mechanism::Login, "mrose", "pw");
        client.ask("LOGOUT").is("OK");
        client.hears_the_end();
    };
    log_in();
    assert!(!gatepost.error_log().contains("client logged in"));
    let told = ask(&["log", "level", "proxy", "info", "--for", "1h"]).worked().out;
    assert!(told.contains("proxy") && told.contains("info"), "{told}");
    let status = ask(&["status"]).out;
    assert!(status.contains("log level: proxy info, by hand, for "), "{status}");
    log_in();
    gatepost.logs("client logged in");
    let told = ask(&["log", "rotate"]).worked().out;
    assert!(told.contains("error.log-2"), "{told}");
    let line = gatepost.waits_for_line("told", "error.log-2");
    assert!(line.starts_with("1:/"), "{line}");
    ask(&["log", "reopen"]).worked();
    gatepost.signal(Signal::SIGHUP);
    until("the level to be as configured", || {
        ask(&["log", "level"]).worked().out.contains("as configured").then_some(())
    });
    let refused = ask(&["log", "level", "kitchen", "debug"]);
    assert!(refused.err.contains("there is no module \"kitchen\""), "{}", refused.err);
    gatepost.quit();
}
