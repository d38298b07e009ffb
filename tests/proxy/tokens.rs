//! Bearer tokens by IMAP: from a client through gatepost to a Dovecot that asks their provider, and
//! to a handler that has.

use std::process::Command;

use crate::scene::{CERTIFICATE, Scene, TRUSTING, Way, servers};
use crate::support::{
    Asked, Ca, Dovecot, FakeLookup, FakeUpstream, IMAPS, Manners, Protocol, Provider, answer, imap,
    mail, run,
};

const USER: &str = "alice@a.test";
const AUTH: &str = "imap_auth plain xoauth2 oauthbearer;";

/// A provider that knows two users, the Dovecot that asks it, and gatepost.
fn flow() -> (Provider, Dovecot, Scene) {
    let ca = Ca::new();
    let provider = Provider::start(&[("good.token", USER), ("kurts.token", "kurt@a.test")]);
    let dovecot = Dovecot::asking(&ca, &[], &provider, &[]);
    let extra = format!("{AUTH} proxy_ssl starttls; {TRUSTING}");
    let scene = Scene::by(ca, dovecot.clear(Protocol::Imap), Protocol::Imap, &extra);
    (provider, dovecot, scene)
}

#[test]
fn a_token_flows_from_the_client_to_dovecot_and_its_provider() {
    let (provider, dovecot, scene) = flow();
    for way in [Way::StartTls, Way::Tls] {
        for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
            let mut client = scene.client_by(way);
            let offered = client.capabilities();
            assert!(offered.contains(&format!("AUTH={mechanism}")), "{offered}");
            let (challenge, end) = client.bring_token(mechanism, USER, "good.token");
            assert!(challenge.is_none() && end.starts_with("OK"), "{challenge:?} {end}");
            client.work_and_leave();
            dovecot.logs(&["imap-login: Info: Login: ", USER, &format!("method={mechanism}")]);
        }
    }
    assert!(provider.asked().iter().all(|asked| asked.get("Authorization") == "Bearer good.token"));
    scene.gatepost.quit();
}

#[test]
fn a_bad_token_is_told_what_is_wrong_with_it() {
    let (_provider, _dovecot, scene) = flow();
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        // Nobody's, and somebody else's.
        for token in ["bad.token", "kurts.token"] {
            let mut client = scene.client_by(Way::Tls);
            let (challenge, end) = client.bring_token(mechanism, USER, token);
            // In Dovecot's words: they are for the client's library, which may renew its token.
            let challenge = challenge.unwrap_or_default();
            assert!(challenge.contains("\"status\":"), "{mechanism} {token}: {challenge}");
            assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
            // And may try again where it is.
            let (_, end) = client.bring_token(mechanism, USER, "good.token");
            assert!(end.starts_with("OK"), "{end}");
        }
    }
    let log = scene.gatepost.error_log() + &scene.gatepost.access_log();
    assert!(!log.contains("bad.token") && !log.contains("good.token"), "a token is in a log");
}

#[test]
fn curl_brings_its_token() {
    let (_provider, _dovecot, scene) = flow();
    let site = &scene.gatepost.site;
    let curl = |token: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "--user", USER, "--oauth2-bearer", token]);
        curl.arg("--cacert").arg(site.path("ca.pem"));
        run(curl.arg(format!("imaps://{}:{IMAPS}/", site.ip)), "")
    };
    assert!(curl("good.token").worked().out.contains("INBOX"));
    // 67: the user name, password, or similar was not accepted.
    assert_eq!(curl("bad.token").code, Some(67));
}

#[test]
fn a_handler_judges_the_token_and_says_what_is_wrong_with_it() {
    let upstream = FakeUpstream::start(imap(Manners::imap()));
    let up = upstream.addr();
    let lookup = FakeLookup::start(move |asked: &Asked| {
        assert_eq!(asked.get("Auth-User"), USER);
        let (ip, port) = (up.ip().to_string(), up.port().to_string());
        match asked.get("Auth-Pass") {
            "good.token" => answer(&[
                ("Auth-Status", "OK"),
                ("Auth-Server", &ip),
                ("Auth-Port", &port),
                ("Auth-Pass", "stored"),
            ]),
            _ => answer(&[
                ("Auth-Status", "no such token"),
                // {"status":"401"}
                ("Auth-Error-SASL", "eyJzdGF0dXMiOiI0MDEifQ=="),
            ]),
        }
    });
    let conf = format!("{CERTIFICATE} auth_http http://@lookup@/a; {AUTH}");
    let text = mail(&format!("{conf} {}", servers(Protocol::Imap)));
    let scene = Scene::with(Ca::new(), Protocol::Imap, &text, &[("lookup", &lookup.addr())]);
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let mut client = scene.client_by(Way::Tls);
        let (challenge, end) = client.bring_token(mechanism, USER, "bad.token");
        assert_eq!(challenge.as_deref(), Some("{\"status\":\"401\"}"));
        assert!(end.starts_with("NO"), "{end}");
        let mut client = scene.client_by(Way::Tls);
        let (challenge, end) = client.bring_token(mechanism, USER, "good.token");
        assert!(challenge.is_none() && end.starts_with("OK"), "{end}");
        client.ask("NOOP").is("OK").tells("ECHO NOOP");
    }
    let asked = lookup.asked();
    let methods: Vec<_> = asked.iter().map(|asked| asked.get("Auth-Method")).collect();
    assert_eq!(methods, ["xoauth2", "xoauth2", "oauthbearer", "oauthbearer"]);
    // The handler has vouched: the upstream gets the stored password.
    upstream.hears("AUTHENTICATE PLAIN");
}
