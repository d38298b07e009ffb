//! Certificates by the folder: which one each protocol shows, how folders change while gatepost
//! serves, and what `gatepost tls` says and does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::dialog::Tongue;
use crate::scene::{CERTIFICATE, TO_BACKEND};
use crate::scripted::welcoming;
use crate::support::{Ca, Gatepost, Pair, Protocol, Site, command, fill, mail, run, until};
use crate::tls::der;

/// A site with `mail.pem`, and `certs/` for the rest.
fn site(ca: &Ca) -> Site {
    let site = Site::new();
    ca.ecdsa(&["mail.test"]).put(&site, "mail");
    fs::create_dir(site.dir().join("certs")).unwrap();
    site
}

/// `certs/FOLDER/fullchain.pem` and its key.
fn put(site: &Site, folder: &str, pair: &Pair) {
    let folder = site.dir().join("certs").join(folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("privkey.pem", &pair.key), ("fullchain.pem", &pair.cert)] {
        fs::write(folder.join(".new"), text).unwrap();
        fs::rename(folder.join(".new"), folder.join(name)).unwrap();
    }
}

/// What `to` shows to who asks for `name`, or for nobody.
fn shown(to: &str, starttls: Option<&str>, name: Option<&str>) -> Option<Vec<u8>> {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", to]);
    match name {
        Some(name) => openssl.args(["-servername", name]),
        None => openssl.arg("-noservername"),
    };
    if let Some(protocol) = starttls {
        openssl.args(["-starttls", protocol]);
    }
    let said = run(&mut openssl, "").said();
    CertificateDer::from_pem_slice(said.as_bytes()).ok().map(|der| der.to_vec())
}

fn shown_by(gatepost: &Gatepost, name: &str) -> Option<Vec<u8>> {
    shown(&gatepost.tls(Protocol::Imap).to_string(), None, Some(name))
}

#[test]
fn every_protocol_shows_the_certificate_for_the_name() {
    let (up, ca) = (welcoming(Tongue::Imap), Ca::new());
    let site = site(&ca);
    let ip = site.ip.to_string();
    let default = der(&Pair { cert: site.read("mail.pem"), key: String::new() });
    let (one, wild, exact) =
        (ca.ecdsa(&["one.test"]), ca.ecdsa(&["*.two.test"]), ca.ecdsa(&["x.two.test"]));
    let here = ca.ecdsa(&["here.test", &ip]);
    put(&site, "one", &one);
    put(&site, "exact", &exact);
    put(&site, "here", &here);
    // As Zimbra has them.
    site.write("certs/two.test.crt", &wild.cert);
    site.write("certs/two.test.key", &wild.key);
    let conf = format!(
        "{CERTIFICATE} certificates certs; {TO_BACKEND}
         server {{ listen @ip@:@imap@; protocol imap; starttls on; }}
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}
         server {{ listen @ip@:@pop3@; protocol pop3; starttls on; }}
         server {{ listen @ip@:@pop3s@ ssl; protocol pop3; }}
         server {{ listen @ip@:@submission@; protocol smtp; starttls on; }}
         server {{ listen @ip@:@smtps@ ssl; protocol smtp; }}
         server {{ listen @ip@:@sieve@; protocol sieve; starttls on; }}"
    )
    .replace("certificates certs", "certificates @dir@/certs");
    let _gatepost = Gatepost::start(site, &mail(&conf), &[("up", &up.addr())]);
    for (port, starttls) in [
        (10143, Some("imap")),
        (10993, None),
        (10110, Some("pop3")),
        (10995, None),
        (10587, Some("smtp")),
        (10465, None),
        (14190, Some("sieve")),
    ] {
        for (name, want) in [
            (Some("one.test"), der(&one)),
            (Some("ONE.test"), der(&one)),
            (Some("y.two.test"), der(&wild)),
            (Some("x.two.test"), der(&exact)),
            (Some("x.y.two.test"), default.clone()),
            (Some("nobody.test"), default.clone()),
            (None, der(&here)),
        ] {
            let found = shown(&format!("{ip}:{port}"), starttls, name);
            assert_eq!(found, Some(want), "{port} {name:?}");
        }
    }
}

#[test]
fn folders_change_while_gatepost_serves() {
    let (up, ca) = (welcoming(Tongue::Imap), Ca::new());
    let site = site(&ca);
    let pair = ca.ecdsa(&["one.test"]);
    put(&site, "one", &pair);
    // One that is bad from the start hurts nobody.
    put(&site, "bad", &Pair { cert: ca.ecdsa(&["bad.test"]).cert, key: pair.key.clone() });
    let conf = format!(
        "{CERTIFICATE} certificates @dir@/certs; {TO_BACKEND}
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}"
    );
    let gatepost = Gatepost::start(site, &mail(&conf), &[("up", &up.addr())]);
    let default = shown_by(&gatepost, "nobody.test");
    assert_eq!(shown_by(&gatepost, "one.test"), Some(der(&pair)));
    assert_eq!(shown_by(&gatepost, "bad.test"), default);
    let renewed = ca.ecdsa(&["one.test", "two.test"]);
    put(&gatepost.site, "one", &renewed);
    until("the new one is served", || {
        (shown_by(&gatepost, "two.test") == Some(der(&renewed))).then_some(())
    });
    assert_eq!(shown_by(&gatepost, "one.test"), Some(der(&renewed)));
    assert!(gatepost.error_log().contains("bad/privkey.pem"), "{}", gatepost.error_log());
    fs::write(gatepost.site.dir().join("certs/one/fullchain.pem"), "").unwrap();
    gatepost.waits_for_line("logs/error.log", "holds no certificate");
    assert_eq!(shown_by(&gatepost, "one.test"), Some(der(&renewed)), "the last good one");
    fs::remove_dir_all(gatepost.site.dir().join("certs/one")).unwrap();
    until("it is served no more", || (shown_by(&gatepost, "one.test") == default).then_some(()));
}

/// A gatepost's commands over a folder of certificates, none running.
fn tls(site: &Site, words: &[&str]) -> (Option<i32>, String) {
    let done = run(command(site).arg("tls").args(words), "");
    (done.code, done.out + &done.err)
}

#[test]
fn the_commands_check_list_and_deploy() {
    let ca = Ca::new();
    let site = site(&ca);
    put(&site, "one", &ca.ecdsa(&["one.test"]));
    let conf = format!(
        "{CERTIFICATE} certificates @dir@/certs; {TO_BACKEND}
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}"
    );
    for name in ["mail.key", "certs/one/privkey.pem"] {
        fs::set_permissions(site.dir().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir_all(site.dir().join("conf")).unwrap();
    site.write("conf/gatepost.conf", fill(&site, &mail(&conf), &[("up", &"127.0.0.1:9")]));
    let (code, said) = tls(&site, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 certificates, 0 with faults"), "{said}");
    let (code, said) = tls(&site, &["list", "--json"]);
    let listed: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(code, Some(0));
    let one = &listed["certificates"][0];
    assert_eq!((&one["names"][0], &one["faults"]), (&"one.test".into(), &Value::Array(vec![])));
    assert!(one["listens"][0].as_str().unwrap().ends_with(":10993"), "{one}");

    // What does not fit is refused, and nothing is changed.
    let (two, other) = (ca.ecdsa(&["two.test"]), ca.ecdsa(&["two.test"]));
    site.write("new.crt", &two.cert);
    site.write("new.key", &other.key);
    let deploy = |site: &Site| {
        let at = |name: &str| site.dir().join(name).display().to_string();
        tls(site, &["deploy", "--cert", &at("new.crt"), "--key", &at("new.key")])
    };
    let (code, said) = deploy(&site);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not belong") && !site.dir().join("certs/two.test").exists());
    site.write("new.key", &two.key);
    let (code, said) = deploy(&site);
    assert_eq!(code, Some(0), "{said}");
    let key = site.dir().join("certs/two.test/privkey.pem");
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);

    let mut params = CertificateParams::new(["stapled.test".to_owned()]).unwrap();
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&oid, vec![0x30, 3, 2, 1, 5])];
    let key = KeyPair::generate().unwrap();
    let stapled = Pair { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() };
    put(&site, "stapled", &stapled);
    put(&site, "mixed", &Pair { cert: ca.ecdsa(&["mixed.test"]).cert, key: two.key });
    fs::set_permissions(
        site.dir().join("certs/one/privkey.pem"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let (code, said) = tls(&site, &["check"]);
    assert_eq!(code, Some(1), "{said}");
    for words in ["must-staple", "everybody may read", "does not belong", "with faults"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let tested = run(command(&site).arg("-t"), "");
    assert_eq!(tested.code, Some(1));
    for words in ["must-staple", "mixed/privkey.pem"] {
        assert!(tested.err.contains(words), "{words}: {}", tested.err);
    }
    assert_eq!(tls(&site, &["expiring"]).0, Some(0));
    assert_eq!(tls(&site, &["expiring", "--days", "1000000"]).0, Some(1));
}

#[test]
fn what_ends_soon_is_told_by_log_and_hook() {
    let (up, ca) = (welcoming(Tongue::Imap), Ca::new());
    let site = site(&ca);
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 \
                   -keyout soon.k -out soon.c -subj /CN=soon.test";
    run(Command::new("openssl").args(request.split_whitespace()).current_dir(site.dir()), "")
        .worked();
    put(&site, "soon", &Pair { cert: site.read("soon.c"), key: site.read("soon.k") });
    let out = site.dir().join("hooked");
    site.write("hook", format!("#!/bin/sh\necho \"$@\" >> {}\n", out.display()));
    fs::set_permissions(site.dir().join("hook"), fs::Permissions::from_mode(0o700)).unwrap();
    let conf = format!(
        "{CERTIFICATE} certificates @dir@/certs; {TO_BACKEND}
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}"
    );
    let conf = format!("certificate_hook @dir@/hook;\n{}", mail(&conf));
    let gatepost = Gatepost::start(site, &conf, &[("up", &up.addr())]);
    let log = gatepost.waits_for_line("logs/error.log", "for \"soon.test\" ends in 4 days");
    assert!(!log.contains("in none of its files"), "{log}");
    let said = until("the hook is run", || fs::read_to_string(&out).ok().filter(|t| !t.is_empty()));
    assert!(said.starts_with("soon.test 4 /"), "{said}");
    let status = run(command(&gatepost.site).arg("status"), "");
    assert_eq!(status.code, Some(1));
    assert!(status.out.contains("ends in 4 days"), "{}", status.out);
}
