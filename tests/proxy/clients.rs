//! Real clients at real work: curl, mbsync, openssl, Python.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::scene::{Scene, TRUSTING};
use crate::support::{Ca, Dovecot, IMAP, IMAPS, POP3, POP3S, Protocol, run};

const USER: &str = "alice@a.test";
const PASSWORD: &str = "tea & \"crumpets\"";

/// Dovecot over TLS, gatepost before it.
fn scene(protocol: Protocol) -> (Dovecot, Scene) {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, &[(USER, PASSWORD)]);
    let extra = format!("proxy_ssl starttls; {TRUSTING}");
    let scene = Scene::by(ca, dovecot.clear(protocol), protocol, &extra);
    (dovecot, scene)
}

fn mail_of(lines: usize) -> String {
    let body: String = (0..lines).map(|line| format!("line {line} of a mail\r\n")).collect();
    format!("From: bob@b.test\r\nSubject: tea\r\n\r\n{body}")
}

fn curl(scene: &Scene, words: &[&str]) -> crate::support::Run {
    let ip = scene.gatepost.site.ip;
    let mut curl = Command::new("curl");
    for port in [IMAP, IMAPS, POP3, POP3S] {
        curl.arg("--resolve").arg(format!("mail.test:{port}:{ip}"));
    }
    curl.args(["-sS", "--max-time", "30", "--cacert"]).arg(scene.gatepost.site.path("ca.pem"));
    curl.arg("--user").arg(format!("{USER}:{PASSWORD}"));
    run(curl.args(words), "")
}

#[test]
fn curl_stores_and_fetches_by_imap() {
    let (dovecot, scene) = scene(Protocol::Imap);
    let text = mail_of(2000);
    scene.gatepost.site.write("mail.txt", &text);
    let file = scene.gatepost.site.path("mail.txt").display().to_string();
    let urls = [
        (format!("imaps://mail.test:{IMAPS}"), vec![]),
        (format!("imap://mail.test:{IMAP}"), vec!["--ssl-reqd"]),
        (format!("imap://mail.test:{IMAP}"), vec![]),
    ];
    for (number, (url, flags)) in urls.iter().enumerate() {
        for auth in ["AUTH=PLAIN", "AUTH=LOGIN"] {
            let mut words = flags.clone();
            words.extend(["--login-options", auth]);
            let list = curl(&scene, &[&words[..], &[&format!("{url}/")]].concat());
            assert!(list.worked().out.contains("INBOX"), "{auth} {url}");
        }
        let inbox = format!("{url}/INBOX");
        curl(&scene, &[&flags[..], &["-T", &file, &inbox]].concat()).worked();
        let one = format!("{inbox};MAILINDEX={}", number + 1);
        let back = curl(&scene, &[&flags[..], &[&one]].concat()).worked().out;
        assert_eq!(back, text, "{url}");
    }
    let wrong = format!("{}/", urls[0].0);
    let refused = curl(&scene, &["--user", "alice@a.test:wrong", &wrong]);
    // 67: the user name, password, or similar was not accepted.
    assert_eq!(refused.code, Some(67), "{refused:?}");
    dovecot.logs_login(USER);
    scene.gatepost.quit();
}

#[test]
fn curl_fetches_by_pop3() {
    let (dovecot, scene) = scene(Protocol::Pop3);
    // Something to fetch: straight into Dovecot.
    let mut direct = crate::support::Client::greeted(Protocol::Imap, dovecot.clear(Protocol::Imap));
    direct.log_in(crate::support::Mechanism::PlainAtOnce, USER, PASSWORD);
    let text = mail_of(2000);
    direct.say(&format!("a APPEND INBOX {{{}}}", text.len()));
    direct.hears("+");
    direct.say(&text);
    direct.hear_out("a").is("OK");
    for (url, flags) in [
        (format!("pop3s://mail.test:{POP3S}"), &[][..]),
        (format!("pop3://mail.test:{POP3}"), &["--ssl-reqd"]),
        (format!("pop3://mail.test:{POP3}"), &[]),
    ] {
        let list = curl(&scene, &[flags, &[&format!("{url}/")]].concat()).worked().out;
        assert!(list.starts_with("1 "), "{list}");
        let back = curl(&scene, &[flags, &[&format!("{url}/1")]].concat()).worked().out;
        assert_eq!(back.trim_end(), text.trim_end(), "{url}");
    }
}

#[test]
fn mbsync_keeps_two_places_alike() {
    let (_dovecot, scene) = scene(Protocol::Imap);
    let site = &scene.gatepost.site;
    // It compares the certificate with the host's name, which is an address here.
    site.write("trust.pem", site.read("ca.pem") + &site.read("mail.pem"));
    let inbox = |place: &str| site.path(&format!("{place}/INBOX"));
    for place in ["here", "there"] {
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(inbox(place).join(folder)).unwrap();
        }
        let rc = format!(
            "IMAPAccount gate\nHost {}\nPort {IMAPS}\nUser {USER}\nPassCmd \"cat '{}'\"\n\
             SSLType IMAPS\nCertificateFile {}\nSystemCertificates no\n\n\
             IMAPStore far\nAccount gate\n\n\
             MaildirStore near\nPath {place}/\nInbox {place}/INBOX\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
            site.ip,
            site.path("password").display(),
            site.path("trust.pem").display(),
        );
        site.write(
            &format!("{place}.rc"),
            rc.replace(&format!(" {place}/"), &format!(" {}/", site.path(place).display())),
        );
    }
    site.write("password", format!("{PASSWORD}\n"));
    fs::set_permissions(site.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    for number in 0..50 {
        let text =
            mail_of(number * 20).replace("\r\n", "\n").replace("tea", &format!("tea {number}"));
        fs::write(inbox("here").join(format!("new/{number}.x.y")), text).unwrap();
    }
    let sync = |place: &str| {
        let rc = site.path(&format!("{place}.rc"));
        let mut mbsync = Command::new("mbsync");
        run(mbsync.arg("-c").arg(rc).arg("-a").env("HOME", site.dir()), "").worked();
    };
    sync("here");
    sync("there");
    let subjects = |place: &str| {
        let mut subjects: Vec<String> = ["cur", "new"]
            .iter()
            .flat_map(|folder| fs::read_dir(inbox(place).join(folder)).unwrap())
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .map(|text| format!("{} {}", text.lines().count(), text.matches("line ").count()))
            .collect();
        subjects.sort();
        subjects
    };
    let there: Vec<PathBuf> = fs::read_dir(inbox("there").join("new"))
        .unwrap()
        .chain(fs::read_dir(inbox("there").join("cur")).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(there.len(), 50);
    assert_eq!(subjects("there").len(), subjects("here").len());
    // One goes there, and goes here with the next sync.
    fs::remove_file(&there[0]).unwrap();
    sync("there");
    sync("here");
    assert_eq!(subjects("here").len(), 49);
}

#[test]
fn openssl_finds_its_way_and_comes_back() {
    for (protocol, bye, welcome) in
        [(Protocol::Imap, "a LOGOUT\r\n", "a OK"), (Protocol::Pop3, "QUIT\r\n", "+OK")]
    {
        let (_dovecot, scene) = scene(protocol);
        let site = &scene.gatepost.site;
        let client = |words: &[&str]| {
            let mut openssl = Command::new("openssl");
            openssl.args(["s_client", "-ign_eof", "-servername", "mail.test", "-CAfile"]);
            openssl.arg(site.path("ca.pem")).arg("-verify_return_error").args(words);
            run(&mut openssl, bye).worked().said()
        };
        let tls = scene.gatepost.tls(protocol).to_string();
        let clear = scene.gatepost.clear(protocol).to_string();
        let kept = site.path("session").display().to_string();
        let name = protocol.name();
        let said = client(&["-connect", &tls, "-alpn", name, "-sess_out", &kept]);
        assert!(said.contains("Verify return code: 0 (ok)") && said.contains(welcome), "{said}");
        assert!(said.contains(&format!("ALPN protocol: {name}")), "{said}");
        let said = client(&["-connect", &tls, "-sess_in", &kept]);
        assert!(said.contains("Reused, TLSv1.3"), "{said}");
        let said = client(&["-connect", &clear, "-starttls", name]);
        assert!(said.contains("Verify return code: 0 (ok)") && said.contains(welcome), "{said}");
        for version in ["-tls1_2", "-tls1_3"] {
            assert!(client(&["-connect", &tls, version]).contains(welcome));
        }
        let mut refused = Command::new("openssl");
        refused.args(["s_client", "-tls1_1", "-connect", &tls]);
        assert_ne!(run(&mut refused, bye).code, Some(0));
    }
}

/// A day's work in Python: the scripts print `done` at their end.
const IMAPLIB: &str = r#"
import imaplib, ssl, sys
host, port, tls_port, ca, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
for way in ("tls", "starttls", "clear"):
    if way == "tls":
        c = imaplib.IMAP4_SSL(host, int(tls_port), ssl_context=context, timeout=20)
    else:
        c = imaplib.IMAP4(host, int(port), timeout=20)
    if way == "starttls":
        c.starttls(context)
    assert "AUTH=PLAIN" in c.capabilities, c.capabilities
    assert ("STARTTLS" in c.capabilities) == (way == "clear"), c.capabilities
    try:
        c.login(user, '"wrong"')
        assert False, "let in"
    except imaplib.IMAP4.error as error:
        assert "AUTHENTICATIONFAILED" in str(error), error
    if way == "clear":
        c.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode())
    else:
        c.login(user, password)
    box = "box-" + way
    assert c.create(box)[0] == "OK"
    text = b"Subject: tea\r\n\r\n" + b"crumpets\r\n" * 5000
    for _ in range(5):
        assert c.append(box, r"(\Seen)", None, text)[0] == "OK"
    assert c.select(box) == ("OK", [b"5"])
    status, found = c.search(None, "SEEN", "SUBJECT", "tea")
    assert found == [b"1 2 3 4 5"], found
    for number in range(1, 6):
        status, data = c.fetch(str(number), "(RFC822)")
        assert data[0][1] == text
    assert c.store("1:2", "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert c.expunge()[0] == "OK"
    assert c.status(box, "(MESSAGES)")[1][0].endswith(b"(MESSAGES 3)")
    assert c.close()[0] == "OK"
    assert c.logout()[0] == "BYE"
print("done")
"#;

const POPLIB: &str = r#"
import poplib, ssl, sys
host, port, tls_port, ca, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
for way in ("tls", "stls", "clear"):
    if way == "tls":
        c = poplib.POP3_SSL(host, int(tls_port), context=context, timeout=20)
    else:
        c = poplib.POP3(host, int(port), timeout=20)
    if way == "stls":
        c.stls(context)
    capabilities = c.capa()
    assert "USER" in capabilities and ("STLS" in capabilities) == (way == "clear"), capabilities
    c.user(user)
    try:
        c.pass_("wrong")
        assert False, "let in"
    except poplib.error_proto as error:
        assert "[AUTH]" in str(error), error
    c.user(user)
    c.pass_(password)
    count, size = c.stat()
    assert count >= 1, (count, size)
    reply, lines, octets = c.retr(1)
    assert lines[-1] == b"crumpets", lines[-1]
    assert c.top(1, 0)[1][0].startswith(b"Subject"), c.top(1, 0)
    assert c.uidl()[1][0].startswith(b"1 ")
    c.noop()
    c.dele(count)
    c.rset()
    c.quit()
print("done")
"#;

fn python(scene: &Scene, script: &str) {
    let (clear, tls) = match scene.protocol {
        Protocol::Imap => (IMAP, IMAPS),
        Protocol::Pop3 => (POP3, POP3S),
    };
    let mut python = Command::new("python3");
    python.args(["-c", script, &scene.gatepost.site.ip.to_string()]);
    python.args([clear.to_string(), tls.to_string()]);
    python.arg(scene.gatepost.site.path("ca.pem")).args([USER, PASSWORD]);
    assert_eq!(run(&mut python, "").worked().out.trim(), "done");
}

#[test]
fn pythons_imaplib_does_a_days_work() {
    let (_dovecot, scene) = scene(Protocol::Imap);
    python(&scene, IMAPLIB);
    scene.gatepost.quit();
}

#[test]
fn pythons_poplib_does_a_days_work() {
    let (dovecot, scene) = scene(Protocol::Pop3);
    let mut direct = crate::support::Client::greeted(Protocol::Imap, dovecot.clear(Protocol::Imap));
    direct.log_in(crate::support::Mechanism::PlainAtOnce, USER, PASSWORD);
    direct.say("a APPEND INBOX {26}");
    direct.hears("+");
    direct.say("Subject: tea\r\n\r\ncrumpets\r\n");
    direct.hear_out("a").is("OK");
    python(&scene, POPLIB);
    scene.gatepost.quit();
}
