//! `gatepost diag`: a report that can be shown to anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gatepost::testing::docs;

use crate::support::{
    Ca, Client, FakeUpstream, Gatepost, Manners, Mechanism, Protocol, Run, Site, command, fill,
    imap, mail, run,
};

/// What is planted begins with this, and goes on with where.
const PLANTED: &str = "pl4nted";

fn diag(site: &Site, more: &[&str]) -> Run {
    run(command(site).arg("diag").args(more), "")
}

/// A configuration with a secret in everything that may hold one, and a file of each.
fn planted(site: &Site) -> String {
    site.write("conf/master.pw", format!("{PLANTED}-master\n"));
    site.write("conf/db.pw", format!("{PLANTED}-database\n"));
    site.write("conf/fleet.key", "5ec7e7".repeat(11) + "\n");
    site.write("conf/tls.pw", format!("{PLANTED}-phrase\n"));
    site.write("conf/ticket.key", [b'T'; 48]);
    let pair = Ca::new().ecdsa(&["mail.test"]);
    site.write("conf/cert.pem", &pair.cert);
    site.write("conf/key.pem", &pair.key);
    let inside = format!(
        "ssl_certificate cert.pem; ssl_certificate_key key.pem;
         ssl_password_file tls.pw; ssl_session_ticket_key ticket.key;
         auth_http_header X-Secret {PLANTED}-auth-header;
         auth_http http://127.0.0.1:9/x;
         lookup other {{ handler http://127.0.0.1:9/; header X-Key \"{PLANTED} header\";
             protocol nle; master boss master.pw; }}
         proxy_master_user boss; proxy_master_password_file master.pw;
         route {{ {PLANTED}-row @up@; default @up@; }}
         server {{ listen @ip@:@imap@; protocol imap; }}"
    );
    let zimbra = format!(
        "zm_lookup {{ zm_lookup_handlers http://127.0.0.1:9/; zm_lookup_master_auth_username boss;
         zm_lookup_master_auth_password {PLANTED}-zimbra; }}
         memcached {{ server 127.0.0.1:9; key fleet.key; }}"
    );
    format!("# {PLANTED}-comment\nenv TOKEN={PLANTED}-env;\n{zimbra}\n{}", mail(&inside))
}

#[test]
fn no_secret_is_in_the_report_of_a_gatepost_that_runs() {
    let site = Site::new();
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let conf = planted(&site);
    let site_key = site.read("conf/key.pem");
    let node = Gatepost::start(site, &conf, &[("up", &upstream.addr())]);
    let mut client = Client::greeted(Protocol::Imap, node.imap());
    let _ = client.try_log_in(Mechanism::Login, "mrose@a.example", &format!("{PLANTED}-password"));
    drop(client);
    let out = node.site.path("report.txt");
    diag(&node.site, &["--out", out.to_str().unwrap()]).worked();
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let text = node.site.read("report.txt");
    assert!(!text.contains(PLANTED), "{}", around(&text, PLANTED));
    assert!(!text.contains("5ec7e75ec7e7"), "the fleet's key");
    for line in site_key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!text.contains(line), "a line of the key");
    }
    assert!(!text.contains("mrose"), "{}", around(&text, "mrose"));
    for part in [
        "== gatepost ==",
        "== system ==",
        "== effective configuration ==",
        "auth_http_header X-Secret ***;",
        "== certificates ==",
        "names mail.test",
        "== status ==",
        "== upstreams ==",
        "== metrics ==",
        "gatepost_",
        "== last warnings ==",
        "== listeners ==",
        "pid ",
    ] {
        assert!(text.contains(part), "no {part}:\n{text}");
    }
    // With gatepost down there is less in it, and no more than that.
    let site = node.quit();
    let text = diag(&site, &[]).worked().out;
    assert!(!text.contains(PLANTED), "{}", around(&text, PLANTED));
    assert!(
        text.contains("not reached") && text.contains("== effective configuration =="),
        "{text}"
    );
    // A URL with a password is refused, and the fault quotes it: not here.
    let url = format!("auth_http http://{PLANTED}-user:{PLANTED}-userinfo@127.0.0.1:9/x;");
    let conf = fill(&site, &planted(&site), &[("up", &upstream.addr())]);
    site.write("conf/gatepost.conf", conf.replace("auth_http http://127.0.0.1:9/x;", &url));
    let text = diag(&site, &[]).worked().out;
    assert!(text.contains("is not usable"), "{text}");
    assert!(!text.contains(PLANTED), "{}", around(&text, PLANTED));
    // A file that breaks the grammar is not quoted.
    site.write("conf/gatepost.conf", fill(&site, &format!("mail {{ \"{PLANTED}\"x; }}"), &[]));
    let text = diag(&site, &["--with-addresses"]).worked().out;
    assert!(text.contains("is not usable") && !text.contains(PLANTED), "{text}");
}

/// A directive that is marked as secret and is not planted above fails here.
#[test]
fn every_directive_with_a_secret_is_planted() {
    let conf = planted(&Site::new());
    /// Blocks that need servers of their own; their files are read as all others are.
    const ELSEWHERE: [&str; 2] = ["password_file", "krb5_keytab"];
    for name in docs::secrets() {
        let is_there = conf.contains(&format!("{name} ")) || ELSEWHERE.contains(&name);
        assert!(is_there, "{name} is not planted");
    }
}

fn around(text: &str, word: &str) -> String {
    let lines = text.lines().filter(|line| line.contains(word));
    lines.collect::<Vec<_>>().join("\n")
}
