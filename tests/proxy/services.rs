//! The peers of submission, LMTP, ManageSieve, OAuth and Kerberos without gatepost: what the other
//! tests rely on holds.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Ca, Client, Dovecot, GssClient, Kdc, Postfix, Protocol, Provider, Run, Security, Sender, Site,
    message, run, sieve_connect,
};

const USER: &str = "alice@a.test";
const PASSWORD: &str = "tea & \"crumpets\"";
const USERS: &[(&str, &str)] = &[(USER, PASSWORD)];

/// A place for the clients' files, with the authority's certificate in it.
fn desk(ca: &Ca) -> Site {
    let site = Site::new();
    site.write("ca.pem", &ca.pem);
    site
}

#[test]
fn every_client_sends_to_postfix_by_every_kind_of_tls() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, USERS, &[Dovecot::SASL], &[]);
    let (postfix, site) = (Postfix::start(&ca, &dovecot), desk(&ca));
    let trust = site.path("ca.pem");
    for security in Security::ALL {
        let to = match security {
            Security::Tls => postfix.submissions(),
            _ => postfix.submission(),
        };
        for mechanism in ["PLAIN", "LOGIN"] {
            let sender = Sender::new(to, &trust).by(security).login(mechanism, USER, PASSWORD);
            let name = |client: &str| format!("{client} {mechanism} {security:?}.");
            sender.swaks(&site, &message(&name("swaks"), 5), &[]).worked();
            sender.msmtp(&site, &message(&name("msmtp"), 5)).worked();
            sender.curl(&site, &message(&name("curl"), 5), &[]).worked();
            sender.s_nail(&site, &name("s-nail"), "line 0\n").worked();
            for client in ["swaks", "msmtp", "curl", "s-nail"] {
                let received = postfix.receives(&name(client));
                assert!(received.contains("Authenticated sender: alice@a.test"), "{received}");
            }
        }
    }
}

#[test]
fn postfix_refuses_strangers_and_wrong_passwords() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, USERS, &[Dovecot::SASL], &[]);
    let (postfix, site) = (Postfix::start(&ca, &dovecot), desk(&ca));
    let trust = site.path("ca.pem");
    let stranger = Sender::new(postfix.submission(), &trust);
    let text = message("no", 1);
    let refused = |run: Run| assert_ne!(run.code, Some(0), "{}", run.said());
    refused(stranger.swaks(&site, &text, &[]));
    let wrong = stranger.login("PLAIN", USER, "wrong");
    refused(wrong.swaks(&site, &text, &[]));
    refused(wrong.msmtp(&site, &text));
    refused(wrong.s_nail(&site, "no", "no\n"));
    let run = wrong.curl(&site, &text, &[]);
    // 67: the user name, password, or similar was not accepted.
    assert_eq!(run.code, Some(67), "{}", run.said());
    // Who brings mail for its users needs no login.
    Sender::new(postfix.mx(), &trust).swaks(&site, &message("in", 1), &[]).worked();
    postfix.receives("Subject: in");
}

#[test]
fn postfix_believes_xclient_where_it_is_told_to() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, USERS, &[Dovecot::SASL], &[]);
    let (postfix, site) = (Postfix::start(&ca, &dovecot), desk(&ca));
    let trust = site.path("ca.pem");
    let told =
        ["--xclient-addr", "192.0.2.7", "--xclient-name", "pc.a.test", "--xclient-port", "7"];
    let sender = Sender::new(postfix.submission(), &trust);
    sender.login("PLAIN", USER, PASSWORD).swaks(&site, &message("told", 1), &told).worked();
    assert!(postfix.receives("Subject: told").contains("(pc.a.test [192.0.2.7])"));
    postfix.logs(&["client=pc.a.test[192.0.2.7]", "sasl_username=alice@a.test"]);
    // XCLIENT's LOGIN stands for a login.
    let login = ["--xclient", "ADDR=192.0.2.8 NAME=pc.a.test LOGIN=alice@a.test"];
    sender.swaks(&site, &message("login", 1), &login).worked();
    postfix.logs(&["client=pc.a.test[192.0.2.8]", "sasl_username=alice@a.test"]);

    let postfix = Postfix::trusting(&ca, &dovecot, "192.0.2.0/24");
    let sender = Sender::new(postfix.mx(), &trust);
    let run = sender.swaks(&site, &message("untold", 1), &told);
    assert!(run.code != Some(0) && !run.out.contains("250-XCLIENT"), "{}", run.said());
}

#[test]
fn ten_megabytes_reach_postfix_byte_for_byte() {
    let ca = Ca::new();
    let dovecot = Dovecot::adding(&ca, USERS, &[Dovecot::SASL], &[]);
    let (postfix, site) = (Postfix::start(&ca, &dovecot), desk(&ca));
    let trust = site.path("ca.pem");
    let text = message("much", 500_000);
    assert!(text.len() > 10 << 20);
    let sender = Sender::new(postfix.submissions(), &trust).by(Security::Tls);
    sender.login("PLAIN", USER, PASSWORD).curl(&site, &text, &[]).worked();
    let received = postfix.receives("Subject: much");
    // Postfix adds to the headers, and stores line ends of its own.
    let (_, body) = received.split_once("\n\n").unwrap();
    let (_, sent) = text.split_once("\r\n\r\n").unwrap();
    assert!(body == sent.replace("\r\n", "\n"), "it came out changed");
}

#[test]
fn dovecot_takes_mail_by_lmtp_and_relays_submission() {
    let ca = Ca::new();
    let site = desk(&ca);
    let trust = site.path("ca.pem");
    let logins = Dovecot::adding(&ca, USERS, &[Dovecot::SASL], &[]);
    let postfix = Postfix::start(&ca, &logins);
    let to: [(&str, &dyn ToString); 2] =
        [("relay_host", &postfix.mx().ip()), ("relay_port", &postfix.mx().port())];
    let dovecot = Dovecot::adding(&ca, USERS, &[Dovecot::LMTP, Dovecot::SUBMISSION], &to);
    let lmtp = Sender::new(dovecot.lmtp(), &trust);
    lmtp.swaks(&site, &message("by lmtp", 3), &["--protocol", "LMTP"]).worked();
    let mut client = Client::greeted(Protocol::Imap, dovecot.clear(Protocol::Imap));
    client.log_in(crate::support::Mechanism::PlainAtOnce, USER, PASSWORD);
    client.ask("SELECT INBOX").is("OK").tells("1 EXISTS");

    let sender = Sender::new(dovecot.submission(), &trust).login("PLAIN", USER, PASSWORD);
    sender.swaks(&site, &message("by submission", 3), &[]).worked();
    sender.by(Security::StartTls).curl(&site, &message("by curl", 3), &[]).worked();
    postfix.receives("Subject: by submission");
    postfix.receives("Subject: by curl");
}

#[test]
fn dovecot_keeps_scripts_by_managesieve() {
    let ca = Ca::new();
    let site = desk(&ca);
    let trust = site.path("ca.pem");
    let dovecot = Dovecot::start(&ca, USERS);
    site.write("keep.sieve", "keep;\r\n");
    for (security, mechanism) in [(Security::StartTls, "PLAIN"), (Security::StartTls, "LOGIN")] {
        let login =
            Sender::new(dovecot.sieve(), &trust).by(security).login(mechanism, USER, PASSWORD);
        let put =
            format!("upload {} keep\nactivate keep\nlist\n", site.path("keep.sieve").display());
        let said = sieve_connect(&login, &site, &put).worked().said();
        assert!(said.contains("keep") && said.contains("ACTIVE"), "{said}");
    }
}

/// Asks Dovecot for its folders by IMAP with curl.
fn curl_lists(at: SocketAddr, words: &[&str], env: &[(&str, &Path)]) -> Run {
    let mut curl = Command::new("curl");
    curl.args(["-sSv", "--max-time", "30"]).args(words).arg(format!("imap://{at}/"));
    run(curl.envs(env.iter().copied()), "")
}

#[test]
fn dovecot_asks_a_provider_about_tokens() {
    let ca = Ca::new();
    let provider = Provider::start(&[("good.token", USER), ("kurts", "kurt@a.test")]);
    let dovecot = Dovecot::asking(&ca, USERS, &provider, &[]);
    let at = dovecot.clear(Protocol::Imap);
    // curl chooses by itself which of the two mechanisms it speaks.
    let words = |token| ["--user", USER, "--oauth2-bearer", token];
    let listed = curl_lists(at, &words("good.token"), &[]).worked();
    assert!(listed.out.contains("INBOX"), "{listed:?}");
    let refused = curl_lists(at, &words("bad.token"), &[]);
    assert_eq!(refused.code, Some(67), "{refused:?}");
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let mut client = Client::greeted(Protocol::Imap, at);
        let (challenge, end) = client.bring_token(mechanism, USER, "good.token");
        assert!(challenge.is_none() && end.starts_with("OK"), "{challenge:?} {end}");
        for wrong in ["bad.token", "kurts"] {
            let mut client = Client::greeted(Protocol::Imap, at);
            let (challenge, end) = client.bring_token(mechanism, USER, wrong);
            assert!(challenge.is_some() && end.starts_with("NO"), "{challenge:?} {end}");
        }
    }
    assert!(provider.asked().iter().any(|asked| asked.get("Authorization") == "Bearer good.token"));
}

#[test]
fn dovecot_lets_in_by_tickets() {
    let (ca, kdc) = (Ca::new(), Kdc::start());
    let tickets = kdc.user("alice", "secret");
    let keytab = kdc.keytab("dovecot.keytab", &["imap/dovecot.test"]);
    let krb5 = kdc.path("krb5.conf");
    // What checks tickets does not run as root.
    std::fs::set_permissions(&keytab, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let values: [(&str, &dyn ToString); 2] =
        [("keytab", &keytab.display()), ("krb5", &krb5.display())];
    let dovecot = Dovecot::adding(&ca, USERS, &[Dovecot::GSSAPI], &values);
    let at = dovecot.clear(Protocol::Imap);
    let name = format!("dovecot.test:{}:{}", at.port(), at.ip());
    let mut curl = Command::new("curl");
    curl.args(["-sSv", "--max-time", "30", "--login-options", "AUTH=GSSAPI", "--user", ":"]);
    curl.args(["--resolve", &name, &format!("imap://dovecot.test:{}/", at.port())]);
    curl.envs(kdc.env()).env("KRB5CCNAME", &tickets);
    assert!(run(&mut curl, "").worked().out.contains("INBOX"));

    let mut gss = GssClient::new(&kdc, &tickets, "imap@dovecot.test", "alice");
    let mut client = Client::greeted(Protocol::Imap, at);
    client.say("a AUTHENTICATE GSSAPI");
    let mut answer = {
        client.hears("+ ");
        gss.token()
    };
    for _ in 0..2 {
        client.say(&answer);
        let challenge = client.hears("+ ");
        answer = gss.answer(&challenge[2..]);
    }
    client.say(&answer);
    client.hear_out("a").is("OK");
    dovecot.logs_login("alice");
}
