//! Submission through gatepost: the clients that people use before it, Postfix with Dovecot's
//! logins behind it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::scene::{CERTIFICATE, Scene, TO_BACKEND};
use crate::support::{
    Asked, Ca, Client, Dovecot, FakeLookup, LMTP, Mechanism, Postfix, Protocol, Provider, Run,
    SIEVE, SMTPS, SUBMISSION, Security, Sender, Site, answer, fresh_ip, mail, message, run,
    sieve_connect,
};

const USER: &str = "alice@a.test";
const PASSWORD: &str = "tea&crumpets";

/// Both of gatepost's doors for submission.
const SERVERS: &str = "
server { listen @ip@:@submission@; protocol smtp; starttls on; }
server { listen @ip@:@smtps@ ssl; protocol smtp; }
";

/// The peers, and gatepost between them.
struct Stage {
    scene: Scene,
    postfix: Postfix,
    /// Where clients have their files.
    site: Site,
    _dovecot: Dovecot,
}

impl Stage {
    /// With `extra` in gatepost's `mail` block, where `@up@` is Postfix.
    #[track_caller]
    fn new(extra: &str) -> Self {
        let ca = Ca::new();
        let dovecot = Dovecot::adding(&ca, &[(USER, PASSWORD)], &[Dovecot::SASL], &[]);
        let postfix = Postfix::start(&ca, &dovecot);
        let up = postfix.submission();
        Self::before(ca, dovecot, postfix, up, extra, &[])
    }

    #[track_caller]
    fn before(
        ca: Ca,
        dovecot: Dovecot,
        postfix: Postfix,
        up: SocketAddr,
        extra: &str,
        values: &[(&str, &dyn ToString)],
    ) -> Self {
        let site = Site::new();
        site.write("ca.pem", &ca.pem);
        let conf = mail(&format!("{CERTIFICATE}\n{extra}\n{SERVERS}"));
        let values = [&[("up", &up as &dyn ToString)], values].concat();
        let scene = Scene::with(ca, Protocol::Imap, &conf, &values);
        Self { scene, postfix, site, _dovecot: dovecot }
    }

    fn ca(&self) -> PathBuf {
        self.site.path("ca.pem")
    }

    fn at(&self, security: Security) -> SocketAddr {
        let port = if security == Security::Tls { SMTPS } else { SUBMISSION };
        (self.scene.gatepost.site.ip, port).into()
    }

    fn sender<'a>(&self, security: Security, ca: &'a std::path::Path) -> Sender<'a> {
        Sender::new(self.at(security), ca).by(security)
    }
}

/// How the upstream is reached, as `mail` says it, and with it where.
fn towards(ssl: &str) -> String {
    format!(
        "{TO_BACKEND} proxy_ssl {ssl}; proxy_ssl_trusted_certificate @dir@/ca.pem; \
         proxy_ssl_name postfix.test;"
    )
}

/// Every client by every kind of TLS, in front of Postfix.
#[track_caller]
fn everybody_sends(stage: &Stage) {
    let ca = stage.ca();
    for security in Security::ALL {
        for mechanism in ["PLAIN", "LOGIN"] {
            let sender = stage.sender(security, &ca).login(mechanism, USER, PASSWORD);
            let name = |client: &str| format!("{client} {mechanism} {security:?}.");
            sender.swaks(&stage.site, &message(&name("swaks"), 5), &[]).worked();
            sender.msmtp(&stage.site, &message(&name("msmtp"), 5)).worked();
            sender.curl(&stage.site, &message(&name("curl"), 5), &[]).worked();
            sender.s_nail(&stage.site, &name("s-nail"), "line 0\n").worked();
            for client in ["swaks", "msmtp", "curl", "s-nail"] {
                let received = stage.postfix.receives(&name(client));
                assert!(received.contains("Authenticated sender: alice@a.test"), "{received}");
                // Their HELO, not ours.
                assert!(received.contains("Received: from client.test "), "{received}");
            }
        }
    }
}

#[test]
fn every_client_sends_to_a_clear_upstream() {
    everybody_sends(&Stage::new(TO_BACKEND));
}

#[test]
fn every_client_sends_to_a_starttls_upstream() {
    let stage = Stage::new(&towards("starttls"));
    everybody_sends(&stage);
    assert!(stage.postfix.receives("Subject: curl PLAIN Clear.").contains("using TLSv1.3"));
}

#[test]
fn every_client_sends_to_a_tls_upstream() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, &[(USER, PASSWORD)], &[Dovecot::SASL], &[]);
    let postfix = Postfix::start(&ca, &dovecot);
    let up = postfix.submissions();
    everybody_sends(&Stage::before(ca, dovecot, postfix, up, &towards("on"), &[]));
}

#[test]
fn a_wrong_password_is_refused_to_every_client() {
    let stage = Stage::new(TO_BACKEND);
    let (ca, text) = (stage.ca(), message("no", 1));
    for security in [Security::StartTls, Security::Tls] {
        let wrong = stage.sender(security, &ca).login("PLAIN", USER, "wrong");
        let refused = |run: Run| {
            assert_ne!(run.code, Some(0), "{}", run.said());
            assert!(run.said().contains("535 5.7.8"), "{}", run.said());
        };
        refused(wrong.swaks(&stage.site, &text, &[]));
        refused(wrong.msmtp(&stage.site, &text));
        refused(wrong.s_nail(&stage.site, "no", "no\n"));
        let run = wrong.curl(&stage.site, &text, &[]);
        // 67: the user name, password, or similar was not accepted.
        assert_eq!(run.code, Some(67), "{}", run.said());
    }
    let nobody = stage.sender(Security::Tls, &ca).swaks(&stage.site, &text, &[]);
    assert!(
        nobody.code != Some(0) && nobody.out.contains("530 5.7.1 Authentication required"),
        "{}",
        nobody.said()
    );
}

#[test]
fn ten_megabytes_go_through_byte_for_byte() {
    let stage = Stage::new(&towards("starttls"));
    let ca = stage.ca();
    let text = message("much", 500_000);
    for security in [Security::Clear, Security::Tls] {
        let name = format!("Subject: much by {security:?}.");
        let text = text.replace("Subject: much", &name);
        let sender = stage.sender(security, &ca).login("PLAIN", USER, PASSWORD);
        sender.curl(&stage.site, &text, &[]).worked();
        let received = stage.postfix.receives(&name);
        let (_, body) = received.split_once("\n\n").unwrap();
        let (_, sent) = text.split_once("\r\n\r\n").unwrap();
        assert!(body == sent.replace("\r\n", "\n"), "it came out changed");
    }
    stage.scene.gatepost.quit();
}

#[test]
fn the_upstream_learns_where_the_client_is() {
    let stage = Stage::new(TO_BACKEND);
    let (ca, from) = (stage.ca(), IpAddr::from(fresh_ip()));
    let sender = stage.sender(Security::StartTls, &ca).login("PLAIN", USER, PASSWORD);
    let own = from.to_string();
    sender.swaks(&stage.site, &message("from afar", 1), &["--local-interface", &own]).worked();
    assert!(stage.postfix.receives("Subject: from afar").contains(&format!("[{own}]")));
    stage.postfix.logs(&[&format!("[{own}]"), "sasl_username=alice@a.test"]);
    // What a client says of itself counts for nothing.
    let run = sender.swaks(&stage.site, &message("liar", 1), &["--xclient-addr", "192.0.2.7"]);
    assert!(run.code != Some(0) && !run.out.contains("XCLIENT NAME"), "{}", run.said());
}

#[test]
fn a_trusted_proxy_says_where_the_client_is() {
    let stage = Stage::new(&format!("{TO_BACKEND} set_real_ip_from 127.0.0.0/8;"));
    let ca = stage.ca();
    let told =
        ["--xclient-addr", "192.0.2.7", "--xclient-name", "pc.a.test", "--xclient-port", "7"];
    let sender = stage.sender(Security::Tls, &ca).login("LOGIN", USER, PASSWORD);
    sender.swaks(&stage.site, &message("told", 1), &told).worked();
    assert!(stage.postfix.receives("Subject: told").contains("(pc.a.test [192.0.2.7])"));
    stage.postfix.logs(&["client=pc.a.test[192.0.2.7]", "sasl_username=alice@a.test"]);
}

/// A handler that checks every mechanism, and hands back the password.
fn vouching(up: SocketAddr) -> FakeLookup {
    let verifier = verifier();
    FakeLookup::start(move |asked: &Asked| {
        let (user, pass) = (asked.get("Auth-User"), asked.get("Auth-Pass"));
        let mut more = vec![("Auth-Pass", PASSWORD)];
        let is_right = match asked.get("Auth-Method") {
            "plain" => pass == PASSWORD,
            "cram-md5" => pass == digest(asked.get("Auth-Salt")),
            "scram-sha-256" => {
                more.push(("Auth-Verifier", &verifier));
                true
            }
            "external" => true,
            "xoauth2" | "oauthbearer" => pass == "good.token",
            _ => false,
        };
        if !is_right || user != USER {
            return answer(&[
                ("Auth-Status", "who?"),
                ("Auth-Error-Code", "535 5.7.8"),
                ("Auth-Error-SASL", "eyJzdGF0dXMiOiI0MDAifQ=="),
            ]);
        }
        let (ip, port) = (up.ip().to_string(), up.port().to_string());
        let mut headers = vec![("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)];
        headers.extend(more);
        answer(&headers)
    })
}

/// RFC 2195 §2.
fn digest(salt: &str) -> String {
    let mut hmac = Hmac::<Md5>::new_from_slice(PASSWORD.as_bytes()).unwrap();
    hmac.update(salt.as_bytes());
    hmac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Dovecot keeps for SCRAM-SHA-256, in the form of RFC 5803.
fn verifier() -> String {
    let made = run(Command::new("doveadm").args(["pw", "-s", "SCRAM-SHA-256", "-p", PASSWORD]), "");
    let made = made.worked().out;
    let parts: Vec<_> = made.trim().split([',', '}']).collect();
    let [_, iterations, salt, stored, server] = parts[..] else { panic!("{made}") };
    format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}")
}

const ASKING: &str = "
auth_http http://@lookup@/auth;
smtp_auth plain login cram-md5 scram-sha-256 external xoauth2 oauthbearer;
";

#[track_caller]
fn vouched() -> (Stage, FakeLookup) {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, &[(USER, PASSWORD)], &[Dovecot::SASL], &[]);
    let postfix = Postfix::start(&ca, &dovecot);
    let up = postfix.submission();
    let lookup = vouching(up);
    let values: [(&str, &dyn ToString); 1] = [("lookup", &lookup.addr())];
    (Stage::before(ca, dovecot, postfix, up, ASKING, &values), lookup)
}

#[test]
fn every_mechanism_of_every_client_lets_in() {
    let (stage, lookup) = vouched();
    let ca = stage.ca();
    let text = |client: &str, mechanism: &str| message(&format!("{client} by {mechanism}."), 2);
    for security in [Security::StartTls, Security::Tls] {
        let login =
            |mechanism, password| stage.sender(security, &ca).login(mechanism, USER, password);
        for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
            let sender = login(mechanism, PASSWORD);
            sender.swaks(&stage.site, &text("swaks", mechanism), &[]).worked();
        }
        for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"] {
            login(mechanism, PASSWORD).msmtp(&stage.site, &text("msmtp", mechanism)).worked();
            let refused = login(mechanism, "wrong").msmtp(&stage.site, &text("no", mechanism));
            assert!(refused.said().contains("535 5.7.8"), "{mechanism}: {}", refused.said());
        }
        // To curl, EXTERNAL is for those who have no password.
        for (mechanism, password) in
            [("PLAIN", PASSWORD), ("LOGIN", PASSWORD), ("CRAM-MD5", PASSWORD), ("EXTERNAL", "")]
        {
            login(mechanism, password).curl(&stage.site, &text("curl", mechanism), &[]).worked();
        }
        for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
            let (good, bad) = (login(mechanism, "good.token"), login(mechanism, "bad.token"));
            good.msmtp(&stage.site, &text("msmtp", mechanism)).worked();
            // The error challenge comes before the refusal (RFC 7628 §3.2.2).
            let refused = bad.msmtp(&stage.site, &text("no", mechanism));
            let said = refused.said();
            assert!(said.contains("334 eyJzdGF0dXMiOiI0MDAifQ=="), "{mechanism}: {said}");
        }
        // curl chooses by itself which of the two it speaks.
        let curl = login("OAUTHBEARER", "good.token");
        curl.curl(&stage.site, &text("curl", "OAUTHBEARER"), &[]).worked();
        let nail = login("CRAM-MD5", PASSWORD);
        nail.s_nail(&stage.site, &format!("s-nail by CRAM-MD5 {security:?}."), "tea\n").worked();
    }
    for method in ["plain", "cram-md5", "scram-sha-256", "external", "xoauth2", "oauthbearer"] {
        let asked = lookup.asked();
        let found = asked.iter().find(|asked| asked.get("Auth-Method") == method);
        assert_eq!(found.map(|asked| asked.get("Auth-Protocol")), Some("smtp"), "{method}");
    }
    for mail in ["swaks by CRAM-MD5.", "msmtp by SCRAM-SHA-256.", "curl by EXTERNAL."] {
        let received = stage.postfix.receives(mail);
        assert!(received.contains("Authenticated sender: alice@a.test"), "{received}");
    }
}

#[test]
fn tokens_go_to_postfix_whose_dovecot_asks_the_provider() {
    let ca = Ca::new();
    let provider = Provider::start(&[("good.token", USER)]);
    let dovecot = Dovecot::asking(&ca, &[(USER, PASSWORD)], &provider, &[Dovecot::SASL]);
    let postfix = Postfix::start(&ca, &dovecot);
    let up = postfix.submission();
    let extra = format!("{TO_BACKEND} smtp_auth plain xoauth2 oauthbearer;");
    let stage = Stage::before(ca, dovecot, postfix, up, &extra, &[]);
    let ca = stage.ca();
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let sender = stage.sender(Security::Tls, &ca);
        let text = message(&format!("by {mechanism}."), 2);
        sender.login(mechanism, USER, "good.token").msmtp(&stage.site, &text).worked();
        stage.postfix.receives(&format!("by {mechanism}."));
        stage.postfix.logs(&[&format!("sasl_method={mechanism}"), "sasl_username=alice@a.test"]);
        let refused = sender.login(mechanism, USER, "bad.token").msmtp(&stage.site, &text);
        // Dovecot's own challenge.
        let said = refused.said();
        assert!(refused.code != Some(0) && said.contains("334 eyJ"), "{said}");
    }
}

/// With a master to log in for those whom a certificate has let in.
const BY_CERTIFICATE: &str = "
ssl_verify_client on;
ssl_client_certificate @dir@/ca.pem;
proxy_master_user master;
proxy_master_password_file @master@;
smtp_auth external;
";

#[test]
fn a_certificate_lets_in() {
    let (ca, site) = (Ca::new(), Site::new());
    site.write("master", "pw\n");
    ca.ecdsa(&[USER]).put(&site, "alice");
    let more = [Dovecot::SASL, Dovecot::MASTER];
    let dovecot = Dovecot::adding(&ca, &[(USER, PASSWORD)], &more, &[]);
    let postfix = Postfix::start(&ca, &dovecot);
    let up = postfix.submission();
    let extra = format!("{TO_BACKEND} {BY_CERTIFICATE}");
    let master = site.path("master");
    let values: [(&str, &dyn ToString); 1] = [("master", &master.display())];
    let stage = Stage::before(ca, dovecot, postfix, up, &extra, &values);
    let (ca, cert, key) = (stage.ca(), site.path("alice.pem"), site.path("alice.key"));
    for security in [Security::StartTls, Security::Tls] {
        let sender = stage.sender(security, &ca).login("EXTERNAL", USER, "");
        let known = Sender { certificate: Some((&cert, &key)), ..sender };
        let name = |client: &str| format!("{client} {security:?}.");
        known.curl(&stage.site, &message(&name("curl"), 1), &[]).worked();
        known.msmtp(&stage.site, &message(&name("msmtp"), 1)).worked();
        for client in ["curl", "msmtp"] {
            let received = stage.postfix.receives(&name(client));
            assert!(received.contains("Authenticated sender: alice@a.test"), "{received}");
        }
        let stranger = sender.curl(&stage.site, &message("no", 1), &[]);
        assert_ne!(stranger.code, Some(0), "{}", stranger.said());
        stage.scene.gatepost.logs("client sent no required SSL certificate");
        // Somebody else's mailbox is not opened by it.
        let other = Sender { login: Some(("kurt@a.test", "EXTERNAL")), ..known };
        let refused = other.curl(&stage.site, &message("no", 1), &[]);
        assert_ne!(refused.code, Some(0), "{}", refused.said());
    }
}

#[test]
fn mail_for_our_users_comes_without_a_login() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, &[(USER, PASSWORD)], &[Dovecot::SASL], &[]);
    let postfix = Postfix::start(&ca, &dovecot);
    let up = postfix.mx();
    let lookup = FakeLookup::to(up);
    let extra = "auth_http http://@lookup@/auth; smtp_auth none;";
    let values: [(&str, &dyn ToString); 1] = [("lookup", &lookup.addr())];
    let stage = Stage::before(ca, dovecot, postfix, up, extra, &values);
    let (ca, from) = (stage.ca(), IpAddr::from(fresh_ip()).to_string());
    for security in Security::ALL {
        let sender = stage.sender(security, &ca);
        let name = |client: &str| format!("{client} {security:?}.");
        let own = ["--local-interface", &from];
        sender.swaks(&stage.site, &message(&name("swaks"), 2), &own).worked();
        let pipelined = ["--pipeline", "--local-interface", &from];
        sender.swaks(&stage.site, &message(&name("pipelined"), 2), &pipelined).worked();
        sender.msmtp(&stage.site, &message(&name("msmtp"), 2)).worked();
        sender.curl(&stage.site, &message(&name("curl"), 2), &[]).worked();
        sender.s_nail(&stage.site, &name("s-nail"), "tea\n").worked();
        for client in ["swaks", "pipelined", "msmtp", "curl", "s-nail"] {
            stage.postfix.receives(&name(client));
        }
        let received = stage.postfix.receives(&name("pipelined"));
        assert!(received.contains(&format!("[{from}]")), "{received}");
    }
    let asked = &lookup.asked()[0];
    assert_eq!(asked.get("Auth-Method"), "none");
    assert_eq!(asked.get("Auth-SMTP-To"), "RCPT TO:<alice@a.test>");
}

#[test]
fn mail_goes_to_dovecot_by_lmtp() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, &[(USER, PASSWORD)], &[Dovecot::LMTP], &[]);
    let text = mail(&format!(
        "{TO_BACKEND} server {{ listen @ip@:@lmtp@; protocol lmtp; smtp_capabilities 8BITMIME; }}"
    ));
    let scene = Scene::with(ca, Protocol::Imap, &text, &[("up", &dovecot.lmtp())]);
    let site = &scene.gatepost.site;
    let ca = site.path("ca.pem");
    let sender = Sender::new((site.ip, LMTP).into(), &ca);
    sender.swaks(site, &message("by lmtp", 3), &["--protocol", "LMTP"]).worked();
    let mut client = Client::greeted(Protocol::Imap, dovecot.clear(Protocol::Imap));
    client.log_in(Mechanism::PlainAtOnce, USER, PASSWORD);
    client.ask("SELECT INBOX").is("OK").tells("1 EXISTS");
    client.ask("FETCH 1 BODY[TEXT]").is("OK").tells("line 2 of a mail");
}

#[test]
fn sieve_connect_keeps_scripts_through_gatepost() {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, &[(USER, PASSWORD)]);
    let text = mail(&format!(
        "{CERTIFICATE} {TO_BACKEND} server {{ listen @ip@:@sieve@; protocol sieve; starttls on; }}"
    ));
    let scene = Scene::with(ca, Protocol::Imap, &text, &[("up", &dovecot.sieve())]);
    let site = &scene.gatepost.site;
    let ca = site.path("ca.pem");
    site.write("keep.sieve", "keep;\r\n");
    for mechanism in ["PLAIN", "LOGIN"] {
        let login = Sender::new((site.ip, SIEVE).into(), &ca).by(Security::StartTls);
        let login = login.login(mechanism, USER, PASSWORD);
        let script = site.path("keep.sieve");
        let commands = format!("upload {} keep\nactivate keep\nlist\n", script.display());
        let said = sieve_connect(&login, site, &commands).worked().said();
        assert!(said.contains("keep") && said.contains("ACTIVE"), "{said}");
    }
    dovecot.logs(&["managesieve-login: Info: Login: ", USER]);
}
