//! GSSAPI: clients with tickets, a keytab of ours, and a master to log in with upstream.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::TO_BACKEND;
use crate::support::{
    Ca, Client, Dovecot, FakeUpstream, Gatepost, GssClient, Kdc, Manners, Postfix, Protocol, Run,
    SUBMISSION, Site, command, encoded, fill, imap, is_alive, mail, message, pop3, run, send,
    threads, until,
};

/// A realm, an upstream, and gatepost between them.
struct Realm {
    kdc: Kdc,
    /// alice's.
    tickets: PathBuf,
    upstream: FakeUpstream,
    gatepost: Gatepost,
}

/// Clients come by IMAP and POP3; whom Kerberos knows is logged in by the master.
const CONF: &str = "
krb5_keytab @keytab@;
proxy_master_user master;
proxy_master_password_file @dir@/master;
@more@
server { listen @ip@:@imap@; protocol imap; imap_auth plain gssapi; }
server { listen @ip@:@pop3@; protocol pop3; pop3_auth plain gssapi; }
server { listen @ip@:@submission@; protocol smtp; smtp_auth plain gssapi; }
";

#[track_caller]
fn start(kdc: &Kdc, up: SocketAddr, keytab: &Path, more: &str) -> Gatepost {
    let site = Site::new();
    site.write("master", "pw\n");
    let values: [(&str, &dyn ToString); 3] =
        [("up", &up), ("keytab", &keytab.display()), ("more", &more)];
    Gatepost::within(site, &mail(&format!("{TO_BACKEND}{CONF}")), &values, &kdc.env())
}

const SERVICES: &[&str] = &["imap/mail.test", "pop/mail.test", "smtp/mail.test"];

impl Realm {
    #[track_caller]
    fn new(protocol: Protocol, more: &str) -> Self {
        let kdc = Kdc::start();
        let upstream = match protocol {
            Protocol::Imap => FakeUpstream::start(imap(Manners::imap())),
            Protocol::Pop3 => FakeUpstream::start(pop3(Manners::pop3())),
        };
        let tickets = kdc.user("alice", "secret");
        let keytab = kdc.keytab("mail.keytab", SERVICES);
        let gatepost = start(&kdc, upstream.addr(), &keytab, more);
        Self { kdc, tickets, upstream, gatepost }
    }

    /// A client that has gone through an exchange; what it heard at its end, without a tag.
    #[track_caller]
    fn comes(&self, protocol: Protocol, gss: &mut GssClient) -> (Client, String) {
        let mut client = Client::greeted(protocol, self.gatepost.clear(protocol));
        let end = play(&mut client, gss);
        (client, end)
    }

    /// What `client` heard at the end of its exchange.
    fn imap(&self, mut gss: GssClient) -> String {
        self.comes(Protocol::Imap, &mut gss).1
    }

    fn client(&self, service: &str, authzid: &str) -> GssClient {
        GssClient::new(&self.kdc, &self.tickets, service, authzid)
    }
}

/// Goes through an exchange on a connection that has been greeted.
#[track_caller]
fn play(client: &mut Client, gss: &mut GssClient) -> String {
    let token = gss.token();
    match client.protocol {
        Protocol::Imap => client.say(&format!("g AUTHENTICATE GSSAPI {token}")),
        Protocol::Pop3 => client.say(&format!("AUTH GSSAPI {token}")),
    }
    loop {
        let line = client.line();
        match line.strip_prefix("+ ") {
            Some(challenge) => {
                let answer = gss.answer(challenge);
                client.say(&answer);
            }
            None => return line.strip_prefix("g ").unwrap_or(&line).to_owned(),
        }
    }
}

#[test]
fn a_ticket_lets_in_by_imap() {
    let realm = Realm::new(Protocol::Imap, "");
    let mut client = Client::greeted(Protocol::Imap, realm.gatepost.imap());
    assert!(client.capabilities().contains("AUTH=GSSAPI"));
    let mut gss = realm.client("imap@mail.test", "");
    let end = play(&mut client, &mut gss);
    assert!(end.starts_with("OK"), "{end}");
    // RFC 4752 §3.2: no security layer, and no size.
    assert_eq!(gss.offer, "01000000");
    client.ask("NOOP").is("OK").tells("ECHO NOOP");
    let login = realm.upstream.hears("AUTHENTICATE PLAIN");
    // alice, by the master.
    assert!(login.ends_with(&encoded("alice\0master\0pw")), "{login}");
    client.ask("LOGOUT").is("OK");
    realm.gatepost.quit();
}

#[test]
fn a_ticket_lets_in_by_pop3() {
    let realm = Realm::new(Protocol::Pop3, "");
    let mut gss = realm.client("pop@mail.test", "alice");
    let (mut client, end) = realm.comes(Protocol::Pop3, &mut gss);
    assert!(end.starts_with("+OK"), "{end}");
    client.ask_line("NOOP", "+OK NOOP");
    // A ticket for another service of ours is none for this.
    let mut wrong = realm.client("imap@mail.test", "alice");
    let (_, end) = realm.comes(Protocol::Pop3, &mut wrong);
    assert!(end.starts_with("-ERR"), "{end}");
    realm.gatepost.logs("client login failed: \"GSSAPI: ");
}

#[test]
fn curl_comes_with_a_ticket() {
    let realm = Realm::new(Protocol::Imap, "");
    let at = realm.gatepost.imap();
    let curl = |env: &[(&str, PathBuf)]| -> Run {
        let mut curl = Command::new("curl");
        curl.args(["-sSv", "--max-time", "30", "--user", ":", "--login-options", "AUTH=GSSAPI"]);
        curl.args(["--resolve", &format!("mail.test:{}:{}", at.port(), at.ip())]);
        curl.args(["-X", "NOOP", &format!("imap://mail.test:{}/", at.port())]);
        run(curl.envs(realm.kdc.env()).envs(env.iter().cloned()), "")
    };
    curl(&[("KRB5CCNAME", realm.tickets.clone())]).worked();
    let without = curl(&[("KRB5CCNAME", realm.kdc.path("none"))]);
    assert_ne!(without.code, Some(0), "{}", without.said());
}

#[test]
fn curl_submits_with_a_ticket() {
    let ca = Ca::new();
    let users = [("alice", "x")];
    let dovecot = Dovecot::adding(&ca, &users, &[Dovecot::MASTER, Dovecot::SASL], &[]);
    let postfix = Postfix::start(&ca, &dovecot);
    let kdc = Kdc::start();
    let tickets = kdc.user("alice", "secret");
    let keytab = kdc.keytab("mail.keytab", SERVICES);
    let gatepost = start(&kdc, postfix.submission(), &keytab, "");
    gatepost.site.write("message", message("by ticket", 3));
    let mut curl = Command::new("curl");
    curl.args(["-sSv", "--max-time", "30", "--user", ":", "--login-options", "AUTH=GSSAPI"]);
    curl.args(["--resolve", &format!("mail.test:{SUBMISSION}:{}", gatepost.site.ip)]);
    curl.args(["--mail-from", "bob@b.test", "--mail-rcpt", "alice@a.test", "--upload-file"]);
    curl.arg(gatepost.site.path("message")).arg(format!("smtp://mail.test:{SUBMISSION}/pc.test"));
    run(curl.envs(kdc.env()).env("KRB5CCNAME", &tickets), "").worked();
    postfix.receives("Subject: by ticket");
    postfix.logs(&["sasl_method=PLAIN", "sasl_username=alice"]);
}

#[test]
fn who_wants_to_be_another_is_refused() {
    let realm = Realm::new(Protocol::Imap, "");
    for own in ["alice", "alice@A.TEST", "alice@a.test"] {
        let end = realm.imap(realm.client("imap@mail.test", own));
        assert!(end.starts_with("OK"), "{own}: {end}");
    }
    let end = realm.imap(realm.client("imap@mail.test", "kurt"));
    assert!(end.starts_with("NO"), "{end}");
}

#[test]
fn users_of_other_realms_keep_their_realm() {
    let realm = Realm::new(Protocol::Imap, "krb5_realm ELSEWHERE.TEST;");
    let end = realm.imap(realm.client("imap@mail.test", ""));
    assert!(end.starts_with("OK"), "{end}");
    let login = realm.upstream.hears("AUTHENTICATE PLAIN");
    assert!(login.ends_with(&encoded("alice@A.TEST\0master\0pw")), "{login}");
    // An alice without a realm is somebody else.
    let end = realm.imap(realm.client("imap@mail.test", "alice"));
    assert!(end.starts_with("NO"), "{end}");
}

#[test]
fn an_exchange_that_is_bent_ends_in_a_refusal() {
    let realm = Realm::new(Protocol::Imap, "");
    let choosing =
        |choice: &[u8]| GssClient::choosing(&realm.kdc, &realm.tickets, "imap@mail.test", choice);
    for bent in [
        &b"\x02\0\x10\0"[..],     // integrity, which was not offered
        b"\x05\0\x10\0alice",     // two layers at once
        b"\0\0\0\0",              // none of any
        b"\x01\0\0",              // too short
        b"\x01\0\0\0a\r\nb NOOP", // more than a name
    ] {
        let end = realm.imap(choosing(bent));
        assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{bent:?}: {end}");
    }
    let mut client = Client::greeted(Protocol::Imap, realm.gatepost.imap());
    for garbage in ["AAAA", "YIIC", "bm8gdG9rZW4=", "TlRMTVNTUAABAAAA"] {
        client.ask(&format!("AUTHENTICATE GSSAPI {garbage}")).is("NO");
    }
    // To some libraries nothing at all asks for SPNEGO.
    client.say("a AUTHENTICATE GSSAPI");
    client.hears("+ ");
    client.say("");
    client.hear_out("a").is("NO");
    // What was seen once is taken once.
    let mut gss = realm.client("imap@mail.test", "");
    let token = gss.token();
    let mut first = Client::greeted(Protocol::Imap, realm.gatepost.imap());
    first.say(&format!("a AUTHENTICATE GSSAPI {token}"));
    first.hears("+ ");
    let mut second = Client::greeted(Protocol::Imap, realm.gatepost.imap());
    second.ask(&format!("AUTHENTICATE GSSAPI {token}")).is("NO");
    realm.gatepost.logs("replay");
}

#[test]
fn an_exchange_that_was_left_does_not_spoil_the_next() {
    let realm = Realm::new(Protocol::Imap, "");
    let mut client = Client::greeted(Protocol::Imap, realm.gatepost.imap());
    let mut left = realm.client("imap@mail.test", "");
    client.say(&format!("a AUTHENTICATE GSSAPI {}", left.token()));
    client.hears("+ ");
    client.say("*");
    client.hear_out("a").is("BAD");
    let end = play(&mut client, &mut realm.client("imap@mail.test", ""));
    assert!(end.starts_with("OK"), "{end}");
}

#[test]
fn a_clerk_that_dies_is_replaced() {
    let realm = Realm::new(Protocol::Imap, "");
    let login = || realm.imap(realm.client("imap@mail.test", ""));
    assert!(login().starts_with("OK"));
    let clerk = child_of(realm.gatepost.pid()).expect("a clerk");
    send(clerk, nix::sys::signal::Signal::SIGKILL);
    until("the clerk's end", || (!is_alive(clerk)).then_some(()));
    let end = login();
    assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    realm.gatepost.logs("the Kerberos process fails");
    assert!(login().starts_with("OK"));
    let clerk = child_of(realm.gatepost.pid()).expect("another clerk");
    realm.gatepost.quit();
    until("the clerk to follow", || (!is_alive(clerk)).then_some(()));
}

#[test]
fn a_keytab_of_roots_serves_a_clerk_that_is_nobody() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let realm = Realm::new(Protocol::Imap, "");
    let keytab = realm.kdc.path("mail.keytab");
    assert_eq!(std::fs::metadata(&keytab).unwrap().permissions().mode() & 0o077, 0);
    let text = mail(&format!("{TO_BACKEND}{CONF}")).replace("user root;", "user nobody;");
    let values: [(&str, &dyn ToString); 3] =
        [("up", &realm.upstream.addr()), ("keytab", &keytab.display()), ("more", &"")];
    let site = Site::new();
    site.write("master", "pw\n");
    let gatepost = Gatepost::within(site, &text, &values, &realm.kdc.env());
    let login = || {
        let mut client = Client::greeted(Protocol::Imap, gatepost.imap());
        play(&mut client, &mut realm.client("imap@mail.test", ""))
    };
    assert!(login().starts_with("OK"));
    let clerk = child_of(gatepost.pid()).expect("a clerk");
    let threads = threads(clerk);
    assert!(threads.iter().all(|one| one.uid == 65534 && one.capabilities == 0), "{threads:?}");
    // A new configuration reads the keytab again, and has a clerk of its own.
    gatepost.reload(&text, &values, "exited with code 0");
    assert!(login().starts_with("OK"));
    let next = child_of(gatepost.pid()).expect("another clerk");
    until("the old clerk's end", || (next != clerk && !is_alive(clerk)).then_some(()));
}

/// The child of a process, if it has any.
fn child_of(pid: u32) -> Option<u32> {
    let is_parent = |child: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let behind = stat.rsplit(") ").next().unwrap_or_default();
        behind.split(' ').nth(1) == Some(&pid.to_string())
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    let mut pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.find(is_parent)
}

#[test]
fn a_keytab_without_our_service_is_no_configuration() {
    let kdc = Kdc::start();
    let keytab = kdc.keytab("mail.keytab", &["imap/mail.test"]);
    for (conf, wanted) in [
        (CONF, "has no key for \"pop/HOST\", it has: imap/mail.test@A.TEST"),
        (
            "krb5_keytab /nowhere; proxy_master_user m; proxy_master_password_file @dir@/master; @more@ \
          server { listen @ip@:@imap@; protocol imap; imap_auth gssapi; }",
            "cannot load keytab \"/nowhere\"",
        ),
    ] {
        let site = Site::new();
        site.write("master", "pw\n");
        let text = mail(&format!("{TO_BACKEND}{conf}"));
        let values: &[(&str, &dyn ToString)] =
            &[("up", &"127.0.0.1:1"), ("keytab", &keytab.display()), ("more", &"")];
        site.write("conf/gatepost.conf", fill(&site, &text, values));
        let tested = run(command(&site).arg("-t"), "");
        assert!(tested.code == Some(1) && tested.err.contains(wanted), "{tested:?}");
    }
}

#[test]
fn a_ticket_reaches_a_mailbox_of_dovecot() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, &[("alice", "x")], &[Dovecot::MASTER], &[]);
    let kdc = Kdc::start();
    let tickets = kdc.user("alice", "secret");
    let keytab = kdc.keytab("mail.keytab", SERVICES);
    let gatepost = start(&kdc, dovecot.clear(Protocol::Imap), &keytab, "");
    let mut client = Client::greeted(Protocol::Imap, gatepost.imap());
    let end = play(&mut client, &mut GssClient::new(&kdc, &tickets, "imap@mail.test", ""));
    assert!(end.starts_with("OK"), "{end}");
    client.work_and_leave();
    dovecot.logs_login("alice");
}
