//! Settings to the configuration in force: `gatepost conf gen`, reload, rollback; and nginx takes
//! what a plain site becomes.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::{
    Ca, Client, FakeUpstream, Manners, PATIENCE, Protocol, Run, Site, Waiting, imap, run, send,
    until,
};

fn bin(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("-p").arg(site.dir()).current_dir("/");
    command
}

#[track_caller]
fn conf(site: &Site, words: &[&str]) -> Run {
    run(bin(site).arg("conf").args(words), "")
}

/// A site with a certificate and these settings, and what keeps it within its folder.
fn site(settings: &str) -> Site {
    let site = Site::new();
    fs::create_dir(site.path("tls")).unwrap();
    let pair = Ca::new().ecdsa(&["mail.test"]);
    site.write("tls/default.crt", &pair.cert);
    site.write("tls/default.key", &pair.key);
    write(&site, settings);
    site
}

fn write(site: &Site, settings: &str) {
    let dir = site.dir().display();
    let text = format!(
        "[global]\nmain.user = \"root\"\nmain.group = \"root\"\nmain.workers = 1\nmain.connections = 64\n\
         main.listen = [\"{}\"]\nmain.pid = \"{dir}/run/gatepost.pid\"\n\
         main.control.socket = \"unix:{dir}/run/gatepost.sock\"\n\
         log.file = \"{dir}/logs/error.log\"\n{settings}",
        site.ip
    );
    site.write("conf/settings.toml", text);
}

#[track_caller]
fn done(run: &Run) {
    assert!(run.code == Some(0), "{}", run.said());
}

fn generation(site: &Site) -> String {
    fs::read_link(site.path("current")).unwrap().display().to_string()
}

/// A gatepost on `current`. Dropped, it is killed.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What nginx can do, too.
const PLAIN: &str = include_str!("../fixtures/conf/plain.toml");

#[test]
fn nginx_takes_what_a_plain_site_becomes() {
    let plain = PLAIN.split_once("[global]\n").unwrap().1;
    let site = site(&format!(
        "{plain}mail.submission.enabled = true\nmail.submissions.enabled = true\nmail.smtp.enabled = true\n\
         main.open_files = 1024\nmail.real_ip_from = [\"10.0.0.0/8\"]\n"
    ));
    done(&conf(&site, &["gen"]));
    let load = "load_module /usr/lib/nginx/modules/ngx_mail_module.so;";
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-p").arg(site.dir()).args(["-c", "current/gatepost.conf", "-e", "logs/early.log"]);
    let tested = run(nginx.args(["-t", "-g", load]), "");
    assert!(tested.code == Some(0), "{}", tested.said());
    assert!(tested.said().contains("test is successful"), "{}", tested.said());
}

#[test]
fn a_change_is_made_put_in_force_and_taken_back() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let up = upstream.addr();
    let settings = |greeting: &str| {
        format!(
            "upstream.tls.enabled = false\nupstream.imap.servers = [\"{up}\"]\nmail.imap.port = 10143\n\
             mail.imap.starttls = \"off\"\nmail.imaps.enabled = false\nmail.pop3.enabled = false\n\
             mail.pop3s.enabled = false\nlog.access.file = \"off\"\nmail.imap.greeting = \"{greeting}\"\n"
        )
    };
    let site = site(&settings("first day"));
    done(&conf(&site, &["gen"]));
    let stderr = fs::File::create(site.path("logs/stderr")).unwrap();
    let mut command = bin(&site);
    command
        .args(["-c", "current/gatepost.conf", "-g", "daemon off;"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut child = Running(command.stderr(stderr).spawn().unwrap());
    let at = (site.ip, 10143).into();
    let waiting = Waiting::new(PATIENCE);
    while site.read("run/gatepost.pid").is_empty() {
        let ended = child.0.try_wait().unwrap();
        assert!(
            ended.is_none() && waiting.left().is_some(),
            "{}{}",
            site.read("logs/stderr"),
            site.read("logs/error.log")
        );
        thread::park_timeout(Duration::from_millis(5));
    }
    let greeting = || Client::connect(Protocol::Imap, at).greeting();
    let reloaded = |text: &str| {
        done(&run(bin(&site).args(["-c", "current/gatepost.conf", "-s", "reload"]), ""));
        until(text, || greeting().contains(text).then_some(()));
    };
    assert!(greeting().contains("first day"));
    let mut session = Client::connect(Protocol::Imap, at);
    session.ask("LOGIN alice@a.test pw").is("OK");
    let first = generation(&site);
    // A value is changed, shown, made, and holds after a reload; the session is none the wiser.
    done(&conf(&site, &["set", "mail.imap.greeting", "second day"]));
    let tried = conf(&site, &["gen", "--dry-run", "--diff"]);
    done(&tried);
    assert!(tried.said().contains("+    imap_greeting \"second day\";"), "{}", tried.said());
    assert_eq!(generation(&site), first);
    done(&conf(&site, &["gen"]));
    assert!(greeting().contains("first day"));
    reloaded("second day");
    let second = generation(&site);
    assert_ne!(first, second);
    // A bad edit is told by its line, and changes nothing.
    let good = site.read("conf/settings.toml");
    site.write("conf/settings.toml", format!("{good}mail.imap.prot = 1\n"));
    let refused = conf(&site, &["gen"]);
    let line = good.lines().count() + 1;
    let place = format!("conf/settings.toml:{line}: mail.imap.prot is no setting");
    assert!(refused.code == Some(1) && refused.said().contains(&place), "{}", refused.said());
    // So is one that only the check finds.
    site.write("conf/settings.toml", format!("{good}mail.login.suffixes = [\"x\"]\n"));
    let refused = conf(&site, &["gen"]);
    assert!(
        refused.code == Some(1) && refused.said().contains("invalid suffix"),
        "{}",
        refused.said()
    );
    assert!(refused.said().contains("generations/failed/includes/"), "{}", refused.said());
    assert_eq!(generation(&site), second);
    site.write("conf/settings.toml", good);
    reloaded("second day");
    // And back.
    let all = conf(&site, &["history", "--json"]);
    let seen: serde_json::Value = serde_json::from_str(&all.out).unwrap();
    assert!(seen[0]["generation"] == 1 && seen[1]["in_force"] == true, "{seen}");
    assert!(conf(&site, &["diff"]).said().contains("-    imap_greeting \"first day\";"));
    done(&conf(&site, &["rollback", "1"]));
    assert_eq!(generation(&site), first);
    reloaded("first day");
    session.ask("NOOP still").is("OK");
    session.ask("LOGOUT").is("OK");
    send(child.0.id(), Signal::SIGTERM);
    assert!(
        child.0.wait().unwrap().success(),
        "{}{}",
        site.read("logs/stderr"),
        site.read("logs/error.log")
    );
}

#[test]
fn zmproxyconfgens_options_are_understood() {
    let site = site(
        "mail.imap.greeting = \"of the settings\"\n[server.\"mx1.test\"]\nmail.imap.port = 1430\n",
    );
    let defaults = conf(&site, &["gen", "-d"]).said();
    assert!(defaults.contains("  NGINX Keyword:         mail.ipmax\n"), "{defaults}");
    let server = conf(&site, &["gen", "-D", "-s", "mx1.test", "-c", "mail.ipmax=7"]).said();
    let block = |name: &str| {
        let from = server.find(&format!("Keyword:         {name}\n")).unwrap();
        server[from..].split_once("\n\n").unwrap().0.to_owned()
    };
    assert!(block("mail.imap.port").contains("Current Value:         1430"), "{server}");
    assert!(block("mail.ipmax").contains("Config Text:           7"), "{server}");
    // Templates from elsewhere, to elsewhere; what nobody knows is refused, or let through.
    fs::create_dir(site.path("own")).unwrap();
    site.write(
        "own/gatepost.conf.template",
        "events { }\nmail { }\nuser root; # ${my.own}\nx ${my.own};\n",
    );
    let work = site.path("work").display().to_string();
    let own = site.path("own").display().to_string();
    fs::create_dir_all(site.path("work/conf")).unwrap();
    symlink(site.path("conf/settings.toml"), site.path("work/conf/settings.toml")).unwrap();
    let strange = conf(&site, &["gen", "-w", &work, "-t", &own]).said();
    assert!(strange.contains("gatepost.conf.template:4: unknown variable \"my.own\""), "{strange}");
    site.write(
        "own/gatepost.conf.template",
        "events { }\nmail { max_errors ${my.own}3; }\nuser root;\nerror_log stderr;\n",
    );
    done(&conf(&site, &["gen", "-w", &work, "-t", &own, "--lenient"]));
    done(&conf(&site, &["gen", "-w", &work, "-t", &own, "-c", "my.own=1"]));
    let flat =
        run(bin(&site).args(["conf", "flat", "-m", &format!("{work}/current/gatepost.conf")]), "");
    assert!(
        flat.out.starts_with("# begin:") && flat.out.contains("max_errors 13;"),
        "{}",
        flat.said()
    );
}

#[test]
fn what_holds_is_shown_with_where_it_comes_from_and_without_secrets() {
    let site = site("tls.password_file = \"/run/hidden/place\"\n");
    let shown = conf(&site, &["show", "--effective"]).said();
    let line = |name: &str| {
        let mut lines = shown.lines();
        lines.find(|line| line.split_whitespace().next() == Some(name)).unwrap().to_owned()
    };
    assert!(line("main.workers").contains("conf/settings.toml:4"), "{shown}");
    assert!(line("mail.imap.port").contains("default"), "{shown}");
    assert!(line("tls.password_file").contains("********"), "{shown}");
    assert!(!shown.contains("hidden"), "{shown}");
}
