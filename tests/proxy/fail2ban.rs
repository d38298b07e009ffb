//! `conf/fail2ban`: the filter finds those who guess passwords in gatepost's own log, and nobody
//! that a stranger names there.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Asked, Client, FakeLookup, FakeUpstream, Gatepost, Manners, Mechanism, Protocol, Site, Talk,
    answer, encoded, fresh_ip, imap, mail, run,
};

const FILTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/fail2ban/filter.d/gatepost.conf");
const JAIL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/fail2ban/jail.d/gatepost.conf");

/// Whoever this is, it has never been here.
const VICTIM: &str = "192.0.2.66";

/// Which addresses `filter` finds in `log`, in its order.
fn found(filter: &str, log: &Path) -> Vec<String> {
    let mut command = Command::new("fail2ban-regex");
    command.args(["--usedns=no", "-o", "<ip>"]).arg(log).arg(filter);
    run(&mut command, "").worked().out.lines().map(str::to_owned).collect()
}

struct Crime {
    gatepost: Gatepost,
    /// Held, not asked: they answer gatepost.
    _lookup: FakeLookup,
    _upstream: FakeUpstream,
    /// Where it listens on `[::1]`.
    at_v6: SocketAddr,
}

/// A gatepost whose handler knows alice, sends carol to an upstream that refuses her and dave to
/// one that cannot serve now, and repeats the name of everybody else.
fn scene() -> Crime {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let strict =
        Manners { answer: "NO [AUTHENTICATIONFAILED] wrong".to_owned(), ..Manners::imap() };
    let refusing = FakeUpstream::start(imap(strict));
    let ill = Manners { answer: "NO [UNAVAILABLE] later".to_owned(), ..Manners::imap() };
    let ailing = FakeUpstream::start(imap(ill));
    let (to, no, later) = (upstream.addr(), refusing.addr(), ailing.addr());
    let lookup = FakeLookup::start(move |asked: &Asked| {
        let _held = (&refusing, &ailing);
        let user = asked.get("Auth-User").replace("%20", " ");
        let at = match user.as_str() {
            "alice" => to,
            "carol" => no,
            "dave" => later,
            "bob" => return answer(&[("Auth-Status", "Invalid login or password")]),
            name => return answer(&[("Auth-Status", &format!("nobody is called {name}"))]),
        };
        let (ip, port) = (at.ip().to_string(), at.port().to_string());
        answer(&[("Auth-Status", "OK"), ("Auth-Server", &ip), ("Auth-Port", &port)])
    });
    let site = Site::new();
    let at_v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, site.port_of_v6()));
    let text = mail(
        "auth_http http://@lookup@/; max_errors 3;
         server { listen @ip@:@imap@; listen [::1]:@v6@; protocol imap; }",
    );
    let values: [(&str, &dyn ToString); 2] = [("lookup", &lookup.addr()), ("v6", &at_v6.port())];
    let gatepost = Gatepost::start(site, &text, &values);
    Crime { gatepost, _lookup: lookup, _upstream: upstream, at_v6 }
}

impl Crime {
    fn from(&self, from: Ipv4Addr) -> Client {
        Client::greeted_from(from, Protocol::Imap, self.gatepost.imap())
    }

    /// A wrong login, which the log tells of.
    fn fails(&self, name: &str) -> Ipv4Addr {
        let from = fresh_ip();
        let end = self.from(from).try_log_in(Mechanism::Login, name, "guess");
        assert!(end.starts_with("NO"), "{end}");
        self.gatepost.logs(&format!("client: {from},"));
        from
    }

    /// What the filter finds, sorted. The log is whole by then.
    fn found(self, filter: &str) -> Vec<IpAddr> {
        let site = self.gatepost.quit();
        let found = found(filter, &site.path("logs/error.log"));
        let mut found: Vec<IpAddr> = found.iter().map(|ip| ip.parse().unwrap()).collect();
        found.sort_unstable();
        found
    }
}

fn sorted(ips: &[IpAddr]) -> Vec<IpAddr> {
    let mut ips = ips.to_vec();
    ips.sort_unstable();
    ips
}

#[test]
fn whoever_guesses_is_found() {
    let scene = scene();
    let refused = scene.fails("bob");
    let refused_upstream = scene.fails("carol");
    let twice = scene.fails("bob");
    let mut again = scene.from(twice);
    again.try_log_in(Mechanism::PlainAtOnce, "bob", "guess");
    // Three breaches are too many here.
    let nonsense = fresh_ip();
    let mut client = scene.from(nonsense);
    for _ in 0..3 {
        client.ask("GET / HTTP/1.1").is("BAD");
    }
    client.hears_the_end();
    let mut v6 = Client::over(Protocol::Imap, Talk::try_connect(None, scene.at_v6).unwrap());
    v6.greeting();
    v6.try_log_in(Mechanism::Login, "bob", "guess");
    // Nobody else: one who is let in, one who leaves, and one whose server is ill.
    scene.fails("dave");
    scene.from(fresh_ip()).log_in(Mechanism::Login, "alice", "pw");
    drop(scene.from(fresh_ip()));
    drop((client, again, v6));
    let want: [IpAddr; 6] = [
        refused.into(),
        refused_upstream.into(),
        twice.into(),
        twice.into(),
        nonsense.into(),
        Ipv6Addr::LOCALHOST.into(),
    ];
    assert_eq!(scene.found(FILTER), sorted(&want));
}

#[test]
fn nobody_is_found_because_a_stranger_names_him() {
    let tail = format!("client: {VICTIM}, server: 127.0.0.1:143, login: \\\"bob");
    let names = [
        format!("x\\\", {tail}"),
        format!("x\\\" while in http auth state, {tail}"),
        format!("x\\\" while in http auth state, {tail}\\\""),
        format!("x\\\" while in http auth state, {tail}\\\", upstream: 127.0.0.1:143"),
        format!("client login failed: \\\"no\\\" while in http auth state, {tail}"),
        format!(
            "2026/11/20 10:00:00 [info] 1#1: *1 client login failed: \\\"no\\\" while in http auth \
             state, {tail}\\\""
        ),
        format!("\u{2028}*1 client login failed: \\\"no\\\" while in http auth state, {tail}"),
        "x".repeat(3000) + &format!("\\\" while in http auth state, {tail}\\\""),
    ];
    for mode in ["", "[mode=aggressive]"] {
        let scene = scene();
        for name in &names {
            let mut client = scene.from(fresh_ip());
            client.try_log_in(Mechanism::Login, name, "guess");
            // As text that SASL brings, line ends and all, and as what is no command at all.
            let mut client = scene.from(fresh_ip());
            let bare = name.replace('\\', "");
            let line = format!("\r\n2026/11/20 10:00:00 [info] 1#1: *1 {bare}");
            client.ask(&format!("AUTHENTICATE PLAIN {}", encoded(&format!("\0{line}\0guess"))));
            client.ask(&bare);
            client.say(&bare);
        }
        let filter = format!("{FILTER}{mode}");
        let found = scene.found(&filter);
        let victim: IpAddr = VICTIM.parse().unwrap();
        assert!(!found.contains(&victim), "{found:?}");
    }
}

#[test]
fn rules_written_for_nginx_find_the_same() {
    // As people have them: the end of the line is the login's.
    let rule = r#"\[info\] \d+#\d+: \*\d+ client login failed: "Invalid login or password" while in http auth state, client: <HOST>, server: \S+, login: "\S+"$"#;
    let scene = scene();
    let mut want = vec![scene.fails("bob"), scene.fails("bob")];
    // After an upstream has refused another login of the same session, too.
    let from = fresh_ip();
    let mut client = scene.from(from);
    client.try_log_in(Mechanism::Login, "carol", "guess");
    client.try_log_in(Mechanism::Login, "bob", "guess");
    want.push(from);
    let want: Vec<IpAddr> = want.into_iter().map(IpAddr::from).collect();
    assert_eq!(scene.found(rule), sorted(&want));
}

#[test]
fn the_jail_is_one_that_fail2ban_takes() {
    let site = Site::new();
    let theirs = Path::new("/etc/fail2ban");
    let ours = site.path("fail2ban");
    fs::create_dir_all(ours.join("jail.d")).unwrap();
    fs::create_dir_all(ours.join("filter.d")).unwrap();
    for entry in fs::read_dir(theirs).unwrap() {
        let name = entry.unwrap().file_name();
        if name != "jail.d" && name != "filter.d" {
            symlink(theirs.join(&name), ours.join(&name)).unwrap();
        }
    }
    site.write("logs/error.log", "");
    let log = site.path("logs/error.log").display().to_string();
    let jail = fs::read_to_string(JAIL).unwrap();
    let jail = jail.replace("/var/log/gatepost/error.log", &log);
    fs::write(ours.join("jail.d/gatepost.conf"), jail).unwrap();
    fs::copy(FILTER, ours.join("filter.d/gatepost.conf")).unwrap();
    let mut client = Command::new("fail2ban-client");
    client.arg("-c").arg(&ours).args(["--dp"]);
    let shown = run(&mut client, "").worked().out;
    for part in ["'add', 'gatepost'", "client login failed", "imaps", &log] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }
}
