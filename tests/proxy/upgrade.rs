//! USR2: a new binary on the old one's sockets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::crowd::Crowd;
use crate::listeners::works_at;
use crate::scene::{Scene, Way};
use crate::support::{
    Client, FakeUpstream, Gatepost, Manners, Protocol, imap, is_alive, send, until,
};

fn scene() -> (FakeUpstream, Scene) {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "");
    (upstream, scene)
}

/// USR2, and the pid of the new process once it has written it.
#[track_caller]
pub fn upgrade(gatepost: &Gatepost) -> u32 {
    let old = gatepost.pid_file().unwrap();
    send(old, Signal::SIGUSR2);
    until("the new process to write its pid", || gatepost.pid_file().filter(|pid| *pid != old))
}

#[track_caller]
pub fn ends(pid: u32) {
    until("a process to end", || (!is_alive(pid)).then_some(()));
}

#[test]
fn a_crowd_survives_an_upgrade_and_nobody_is_turned_away() {
    let (_upstream, mut scene) = scene();
    let crowd = Crowd::gather(&scene);
    let (is_over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (to, old) = (scene.gatepost.imap(), scene.gatepost.pid());
    let new = thread::scope(|scope| {
        let knock = || {
            while !is_over.load(Ordering::SeqCst) {
                let mut client = Client::greeted(Protocol::Imap, to);
                client.ask("LOGIN bob pw").is("OK");
                client.ask("NOOP knock").is("OK").tells("knock");
                client.ask("LOGOUT").is("OK");
                served.fetch_add(1, Ordering::SeqCst);
            }
        };
        let knocking: Vec<_> = (0..3).map(|_| scope.spawn(knock)).collect();
        let some_more = || {
            let before = served.load(Ordering::SeqCst);
            until("clients to be served", || {
                // A client that was refused has ended its thread.
                assert!(knocking.iter().all(|knock| !knock.is_finished()), "turned away");
                (served.load(Ordering::SeqCst) > before + 20).then_some(())
            });
        };
        some_more();
        let new = upgrade(&scene.gatepost);
        some_more();
        send(old, Signal::SIGQUIT);
        some_more();
        crowd.works_on();
        is_over.store(true, Ordering::SeqCst);
        new
    });
    assert!(is_alive(old), "the old process must carry its sessions to their end");
    scene.let_in_by(Way::Tls).ask("NOOP").is("OK");
    crowd.leaves_whole();
    assert_eq!(scene.gatepost.ends().code(), Some(0));
    assert_eq!(scene.gatepost.pid_file(), Some(new));
    scene.let_in().ask("NOOP").is("OK");
    send(new, Signal::SIGQUIT);
    ends(new);
}

#[test]
fn both_serve_until_the_old_one_is_told_to_go() {
    let (_upstream, mut scene) = scene();
    let mut session = scene.let_in();
    let new = upgrade(&scene.gatepost);
    let old = scene.gatepost.pid();
    assert_eq!(scene.gatepost.site.read("run/gatepost.pid.oldbin").trim(), old.to_string());
    for _ in 0..20 {
        scene.let_in().ask("NOOP").is("OK");
    }
    send(old, Signal::SIGQUIT);
    session.ask("NOOP still").is("OK").tells("still");
    session.ask("LOGOUT").is("OK");
    drop(session);
    assert_eq!(scene.gatepost.ends().code(), Some(0));
    assert!(!scene.gatepost.site.path("run/gatepost.pid.oldbin").exists());
    // And once more, from the new one.
    let newer = upgrade(&scene.gatepost);
    send(new, Signal::SIGQUIT);
    ends(new);
    scene.let_in().ask("NOOP").is("OK");
    send(newer, Signal::SIGTERM);
    ends(newer);
    until("the pid file to go", || scene.gatepost.pid_file().is_none().then_some(()));
}

#[test]
fn an_upgrade_may_be_taken_back() {
    let (_upstream, scene) = scene();
    let new = upgrade(&scene.gatepost);
    send(new, Signal::SIGQUIT);
    ends(new);
    let old = scene.gatepost.pid();
    until("the old process to take its name back", || {
        (scene.gatepost.pid_file() == Some(old)).then_some(())
    });
    scene.let_in().ask("NOOP").is("OK");
    scene.gatepost.quit();
}

#[test]
fn a_unix_socket_stays_with_whoever_goes_on() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let unix = "server { listen unix:@dir@/s; protocol imap; }";
    let mut scene = Scene::before(upstream.addr(), Protocol::Imap, unix);
    let path = scene.gatepost.site.path("s");
    let old = scene.gatepost.pid();
    for signal in [Signal::SIGQUIT, Signal::SIGTERM] {
        let new = upgrade(&scene.gatepost);
        works_at(&path);
        send(new, signal);
        ends(new);
        until("the old process to take its name back", || {
            (scene.gatepost.pid_file() == Some(old)).then_some(())
        });
        works_at(&path);
    }
    let new = upgrade(&scene.gatepost);
    scene.gatepost.signal(Signal::SIGQUIT);
    assert_eq!(scene.gatepost.ends().code(), Some(0));
    works_at(&path);
    send(new, Signal::SIGQUIT);
    ends(new);
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_serving() {
    let (_upstream, scene) = scene();
    let text = scene.gatepost.site.read("conf/gatepost.conf");
    scene.gatepost.site.write("conf/gatepost.conf", "nonsense;\n");
    scene.gatepost.signal(Signal::SIGUSR2);
    until("the failed start to be told", || {
        let told = scene.gatepost.error_log() + &scene.gatepost.site.read("logs/stderr");
        told.contains("unknown directive \"nonsense\"").then_some(())
    });
    let old = scene.gatepost.pid();
    until("the old process to keep its name", || {
        (scene.gatepost.pid_file() == Some(old)).then_some(())
    });
    scene.let_in().ask("NOOP").is("OK");
    scene.gatepost.site.write("conf/gatepost.conf", text);
    scene.gatepost.quit();
}
