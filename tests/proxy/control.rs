//! The control socket of a real gatepost, and the commands that ask there.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::scene::TO_BACKEND;
use crate::support::{Gatepost, PATIENCE, Run, Site, command, fill, mail, run, send, until};
use crate::upgrade::{ends, upgrade};

const SERVER: &str = "server { listen @ip@:@imap@; protocol imap; }";
const UP: (&str, &dyn ToString) = ("up", &"127.0.0.1:1");

/// A configuration with `extra` in its main block.
fn conf(extra: &str) -> String {
    format!("{extra}\n{}", mail(&format!("{TO_BACKEND}{SERVER}")))
}

fn started(extra: &str) -> Gatepost {
    Gatepost::start(Site::new(), &conf(extra), &[UP])
}

fn socket(gatepost: &Gatepost) -> PathBuf {
    gatepost.site.path("run/gatepost.sock")
}

#[track_caller]
fn asked(gatepost: &Gatepost, words: &[&str]) -> Run {
    run(command(&gatepost.site).args(words), "")
}

/// The pid of whoever answers.
#[track_caller]
fn answers(gatepost: &Gatepost) -> u32 {
    let said = asked(gatepost, &["status", "--json"]).worked().out;
    let pid = said.split("\"pid\":").nth(1).unwrap();
    pid.split(',').next().unwrap().parse().unwrap()
}

#[track_caller]
fn soon_answers(gatepost: &Gatepost, pid: u32) {
    until("the right process to answer", || (answers(gatepost) == pid).then_some(()));
}

#[test]
fn commands_find_the_gatepost_by_its_configuration() {
    let mut gatepost = started("");
    assert_eq!(answers(&gatepost), gatepost.pid());
    let path = socket(&gatepost);
    let found = fs::symlink_metadata(&path).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let said = asked(&gatepost, &["status"]).worked().out;
    assert!(said.starts_with("gatepost ") && said.contains(": ok\n"), "{said}");
    let by_path = run(command(&gatepost.site).arg("status").arg("--control").arg(&path), "");
    by_path.worked();
    // Not known to this gatepost, so far as it is built.
    let refused = asked(&gatepost, &["throttle", "forgive", "x"]);
    assert!(refused.code != Some(2) && refused.err.is_empty() == (refused.code == Some(0)));

    gatepost.signal(Signal::SIGQUIT);
    assert_eq!(gatepost.ends().code(), Some(0));
    assert!(!path.exists(), "the socket is left behind");
    let gone = asked(&gatepost, &["status"]);
    assert_eq!(gone.code, Some(2));
    let words = format!(
        "gatepost: gatepost is not running: connect() to \"{}\" failed (2: No such file or directory)\n",
        path.display()
    );
    assert_eq!(gone.err, words);
}

#[test]
fn flags_and_commands_do_not_mix() {
    let site = Site::new();
    site.write("conf/gatepost.conf", fill(&site, &conf("control off;"), &[UP]));
    for (words, want) in [
        (&["-t", "status"][..], "-t does not go with a command"),
        (&["-s", "reload", "status"], "-s does not go with a command"),
        (&["--json", "-t"], "--json and --control are for commands"),
    ] {
        let said = run(command(&site).args(words), "");
        assert!(said.code == Some(1) && said.err.contains(want), "{words:?}: {}", said.said());
    }
    let off = run(command(&site).arg("status"), "");
    assert!(off.code == Some(2) && off.err.contains("control off"), "{}", off.said());
    let help = run(command(&site).arg("help"), "").worked();
    assert!(help.out.contains("Users and their routes:"), "{}", help.out);
}

#[test]
fn what_a_crash_has_left_is_replaced() {
    let mut gatepost = started("");
    let path = socket(&gatepost);
    gatepost.signal(Signal::SIGKILL);
    gatepost.ends();
    assert!(path.exists());
    assert_eq!(asked(&gatepost, &["status"]).code, Some(2));
    let site = std::mem::replace(&mut gatepost.site, Site::new());
    fs::remove_file(site.path("run/gatepost.pid")).unwrap();
    let again = Gatepost::start(site, &conf(""), &[UP]);
    assert_eq!(answers(&again), again.pid());
    again.quit();
}

#[test]
fn what_is_not_ours_is_left_alone() {
    // The default is only warned of …
    let site = Site::new();
    site.write("run/gatepost.sock", "kept");
    let gatepost = Gatepost::start(site, &conf(""), &[UP]);
    gatepost.logs("something that is no socket is there; it is left alone; no command reaches");
    assert_eq!(gatepost.site.read("run/gatepost.sock"), "kept");
    gatepost.quit();
    // … what is asked for must be there.
    let site = Site::new();
    site.write("secrets", "kept");
    std::os::unix::fs::symlink(site.path("secrets"), site.path("run/c")).unwrap();
    let mut gatepost = Gatepost::spawn(site, &conf("control unix:run/c;"), &[UP], &[]);
    assert_eq!(gatepost.ends().code(), Some(1));
    let said = gatepost.site.read("logs/stderr");
    assert!(said.contains("something that is no socket is there"), "{said}");
    assert_eq!(gatepost.site.read("secrets"), "kept");
}

#[test]
fn a_reload_keeps_the_socket_or_moves_it() {
    let gatepost = started("");
    let path = socket(&gatepost);
    let inode = || fs::symlink_metadata(&path).unwrap().ino();
    let before = inode();
    gatepost.reload(&conf(""), &[UP], "exited with code 0");
    assert_eq!((inode(), answers(&gatepost)), (before, gatepost.pid()));
    gatepost.reload(&conf("control unix:run/c mode=0640;"), &[UP], "exited with code 0");
    until("the old socket to go", || (!path.exists()).then_some(()));
    let found = fs::symlink_metadata(gatepost.site.path("run/c")).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o640);
    assert_eq!(answers(&gatepost), gatepost.pid());
    // One that cannot be opened leaves all as it is.
    gatepost.reload(
        &conf("control unix:nowhere/c;"),
        &[UP],
        "the configuration is not usable: the old one serves on",
    );
    assert!(gatepost.site.path("run/c").exists());
    // One that somebody has removed is made anew.
    fs::remove_file(gatepost.site.path("run/c")).unwrap();
    gatepost.reload(&conf("control unix:run/c mode=0640;"), &[UP], "exited with code 0");
    assert_eq!(answers(&gatepost), gatepost.pid());
    gatepost.quit();
}

#[test]
fn the_youngest_of_an_upgrade_answers() {
    let mut gatepost = started("");
    let (path, old) = (socket(&gatepost), gatepost.pid());
    // One that is taken back.
    let new = upgrade(&gatepost);
    soon_answers(&gatepost, new);
    send(new, Signal::SIGQUIT);
    ends(new);
    until("the old process to take its name back", || {
        (gatepost.pid_file() == Some(old)).then_some(())
    });
    soon_answers(&gatepost, old);
    // A reload of the old one takes no answers from the new one.
    let new = upgrade(&gatepost);
    soon_answers(&gatepost, new);
    gatepost.reload(&conf(""), &[UP], "exited with code 0");
    assert_eq!(answers(&gatepost), new);
    // It dies without a word, and with it the socket's other owner.
    send(new, Signal::SIGKILL);
    soon_answers(&gatepost, old);
    // One that cannot start leaves the socket as it is.
    gatepost.site.write("conf/gatepost.conf", "nonsense;");
    let exits = || gatepost.error_log().matches("the new binary process has exited").count();
    let before = exits();
    send(old, Signal::SIGUSR2);
    until("the new process to end", || (exits() > before).then_some(()));
    assert!(path.exists());
    gatepost.site.write("conf/gatepost.conf", fill(&gatepost.site, &conf(""), &[UP]));
    soon_answers(&gatepost, old);
    // One that stays.
    until("the old process to have its name back", || {
        (gatepost.pid_file() == Some(old)).then_some(())
    });
    let new = upgrade(&gatepost);
    soon_answers(&gatepost, new);
    gatepost.signal(Signal::SIGQUIT);
    assert_eq!(gatepost.ends().code(), Some(0));
    assert_eq!(answers(&gatepost), new);
    send(new, Signal::SIGQUIT);
    ends(new);
    assert!(!path.exists(), "the socket is left behind");
}

#[test]
fn another_user_is_not_answered() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let gatepost = started("control unix:@dir@/run/c mode=0666;");
    let path = gatepost.site.path("run/c");
    open_up(&path);
    let as_nobody = || {
        let mut command = command(&gatepost.site);
        command.arg("status").arg("--control").arg(&path).uid(65534).gid(65534);
        run(&mut command, "")
    };
    let said = as_nobody();
    assert!(
        said.code == Some(1) && said.err.contains("user 65534 may not control"),
        "{said:?}",
        said = said.said()
    );
    let let_in = "control unix:@dir@/run/c mode=0666 owner=nobody;";
    gatepost.reload(&conf(let_in), &[UP], "exited with code 0");
    as_nobody().worked();
    gatepost.quit();
}

/// Lets everybody through to `path`.
fn open_up(path: &Path) {
    for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with("/tmp/")) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What is said to a request at the figures' address.
fn http(at: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn the_figures_listener_answers_as_far_as_it_may() {
    let gatepost =
        started("metrics @ip@:10910; metrics @ip@:10911 api=read; metrics @ip@:10912 api=full;");
    let at = |port: u16| SocketAddr::from((gatepost.site.ip, port));
    let get =
        |port, host: &str| http(at(port), &format!("GET /v1/status HTTP/1.1\r\nHost: {host}"), "");
    let kick = |port| {
        http(at(port), "POST /v1/users/kick HTTP/1.1\r\nHost: localhost", r#"{"user":"bob"}"#)
    };
    let status = |said: &str| said.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(&get(10910, "localhost")), "404");
    assert_eq!(status(&get(10911, "localhost")), "200");
    assert_eq!(status(&get(10912, "127.0.0.1:10912")), "200");
    assert_eq!(status(&get(10912, "rebound.example")), "403");
    assert_eq!(status(&kick(10910)), "413");
    // The body is not read where nothing may be told.
    assert_eq!(status(&kick(10911)), "413");
    assert!(!["403", "404", "413"].contains(&&*status(&kick(10912))));
    for port in [10910, 10911, 10912] {
        let figures = http(at(port), "GET /metrics HTTP/1.1\r\nHost: any.example", "");
        assert_eq!(status(&figures), "200");
    }
    // A reload gives and takes rights at the same address.
    let less =
        conf("metrics @ip@:10910 api=read; metrics @ip@:10911; metrics @ip@:10912 api=read;");
    gatepost.reload(&less, &[UP], "exited with code 0");
    assert_eq!(status(&get(10910, "localhost")), "200");
    assert_eq!(status(&get(10911, "localhost")), "404");
    assert_eq!(status(&kick(10912)), "413");
    gatepost.quit();
}

#[test]
fn a_listener_with_a_secret_shows_nothing_to_who_has_it_not() {
    let site = Site::new();
    let token = "0123456789abcdef";
    site.write("conf/token", format!("{token}\n"));
    let at_token = site.path("conf/token");
    fs::set_permissions(&at_token, fs::Permissions::from_mode(0o600)).unwrap();
    let far = "metrics @ip@:10913 api=full secret=token;";
    let gatepost = Gatepost::start(site, &conf(far), &[UP]);
    let at = SocketAddr::from((gatepost.site.ip, 10913));
    let get = |path: &str, more: &str| {
        http(at, &format!("GET {path} HTTP/1.1\r\nHost: localhost{more}"), "")
    };
    for path in ["/v1/status", "/metrics", "/stub_status", "/nowhere"] {
        let nothing = get(path, "");
        assert!(nothing.starts_with("HTTP/1.1 401 "), "{nothing}");
        assert!(nothing.to_ascii_lowercase().contains("\r\nwww-authenticate: bearer realm="));
        let wrong = get(path, "\r\nAuthorization: Bearer 0123456789abcdeg");
        assert!(wrong.starts_with("HTTP/1.1 401 ") && wrong.contains("invalid_token"), "{wrong}");
    }
    let right = format!("\r\nAuthorization: Bearer {token}");
    for path in ["/v1/status", "/metrics"] {
        let shown = get(path, &right);
        assert!(shown.starts_with("HTTP/1.1 200 ") && !shown.contains(token), "{shown}");
    }
    // A reload with a secret that others may read leaves the old one in force.
    fs::set_permissions(&at_token, fs::Permissions::from_mode(0o640)).unwrap();
    gatepost.reload(&conf(far), &[UP], "others than its owner may read or write it");
    assert!(get("/v1/status", &right).starts_with("HTTP/1.1 200 "));
    gatepost.quit();
}
