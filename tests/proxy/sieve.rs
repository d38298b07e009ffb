//! ManageSieve: a login, and what follows it.

use std::net::SocketAddr;

use crate::scene::{CERTIFICATE, Scene, TO_BACKEND, TRUSTING, Way};
use crate::support::{
    Ca, Dovecot, FakeLookup, Mechanism, Protocol, SIEVE, SIEVES, Said, Sieve, answer, encoded, mail,
};

const USER: &str = "alice@a.test";
const PASSWORD: &str = "tea {3+} \"and\" cr\u{fc}mpets";
const SCRIPT: &str =
    "require \"fileinto\";\r\nif header \"subject\" \"{5+}\" { fileinto \"x\"; }\r\n";

const SERVERS: &str = "
    server { listen @ip@:@sieve@; protocol sieve; starttls on; }
    server { listen @ip@:@sieves@ ssl; protocol sieve; }
    server { listen @ip@:14192; protocol sieve; starttls only; }
";

/// A gatepost for ManageSieve before `up`, with `extra` in the `mail` block.
fn scene(ca: Ca, up: SocketAddr, extra: &str) -> Scene {
    let conf = mail(&format!("{CERTIFICATE}\n{TO_BACKEND}\n{extra}\n{SERVERS}"));
    let values: [(&str, &dyn ToString); 3] = [("up", &up), ("sieve", &SIEVE), ("sieves", &SIEVES)];
    Scene::with(ca, Protocol::Imap, &conf, &values)
}

/// Before a Dovecot that knows [`USER`], reached in the clear.
fn before_dovecot(extra: &str) -> (Dovecot, Scene) {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, &[(USER, PASSWORD)]);
    let scene = scene(ca, dovecot.sieve(), extra);
    (dovecot, scene)
}

fn client(scene: &Scene, way: Way) -> (Sieve, Said) {
    let ip = scene.gatepost.site.ip;
    match way {
        Way::Clear => Sieve::greeted((ip, SIEVE).into()),
        Way::StartTls => {
            let (mut client, _) = Sieve::greeted((ip, SIEVE).into());
            let capabilities = client.start_tls(&scene.tls);
            (client, capabilities)
        }
        Way::Tls => Sieve::greeted_over(&scene.tls, (ip, SIEVES).into()),
    }
}

#[test]
fn logins_go_to_dovecot_by_every_way() {
    for (ssl, conn) in [("off", "conn=<secured>"), ("starttls", "conn=<TLS>")] {
        let (dovecot, scene) = before_dovecot(&format!("proxy_ssl {ssl}; {TRUSTING}"));
        for way in Way::ALL {
            for mechanism in Mechanism::ALL {
                let (mut client, _) = client(&scene, way);
                client.log_in(mechanism, USER, PASSWORD);
                client.work_and_leave(SCRIPT);
            }
        }
        let login = dovecot.logs(&["managesieve-login: Info: Login: ", USER]);
        assert!(login.contains(conn) || ssl == "off", "{login}");
        scene.gatepost.quit();
    }
}

#[test]
fn dovecot_sees_the_client_by_xclient() {
    let (dovecot, scene) = before_dovecot("access_log logs/access.log json;");
    let (mut client, _) = client(&scene, Way::Clear);
    let port = client.local_addr().port();
    client.log_in(Mechanism::PlainAtOnce, USER, PASSWORD);
    let login = dovecot.logs(&["managesieve-login: Info: Login: ", &format!("rport={port}")]);
    assert!(login.contains(&format!("rip={}", client.local_addr().ip())), "{login}");
}

#[test]
fn what_is_listed_works_where_it_is_listed() {
    let (_dovecot, scene) = before_dovecot("");
    let sasl = "\"SASL\" \"PLAIN LOGIN\"";
    for (way, starttls) in [(Way::Clear, true), (Way::StartTls, false), (Way::Tls, false)] {
        let (mut client, greeting) = client(&scene, way);
        assert!(greeting.has(sasl) && greeting.has("\"VERSION\" \"1.0\""), "{greeting:?}");
        assert_eq!(greeting.has("\"STARTTLS\""), starttls, "{greeting:?}");
        assert!(!greeting.has("\"XCLIENT\""), "{greeting:?}");
        assert_eq!(client.ask("CAPABILITY").is("OK").lines, greeting.lines);
        let noop = client.ask("NOOP {3+}\r\na\"b").is("OK");
        assert!(noop.end.starts_with("OK (TAG \"a\\\"b\")"), "{noop:?}");
        client.ask("LOGOUT").is("OK");
        client.hears_the_end();
    }
}

#[test]
fn nobody_logs_in_before_tls_where_it_is_a_must() {
    let (_dovecot, scene) = before_dovecot("");
    let (mut client, greeting) = Sieve::greeted((scene.gatepost.site.ip, 14192).into());
    assert!(greeting.has("\"SASL\" \"\"") && greeting.has("\"STARTTLS\""), "{greeting:?}");
    let end = client.try_log_in(Mechanism::PlainAtOnce, USER, PASSWORD);
    assert!(end.starts_with("NO (ENCRYPT-NEEDED)"), "{end}");
    let secure = client.start_tls(&scene.tls);
    assert!(secure.has("\"SASL\" \"PLAIN LOGIN\"") && !secure.has("\"STARTTLS\""), "{secure:?}");
    client.log_in(Mechanism::PlainAtOnce, USER, PASSWORD);
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_then_taken() {
    let (_dovecot, scene) = before_dovecot("");
    let (mut client, _) = client(&scene, Way::Clear);
    let end = client.try_log_in(Mechanism::PlainAsked, USER, "wrong");
    assert!(end.starts_with("NO \""), "{end}");
    client.log_in(Mechanism::PlainAsked, USER, PASSWORD);
    client.work_and_leave(SCRIPT);
}

#[test]
fn an_upstream_that_is_not_there_is_for_later() {
    let nobody = SocketAddr::from((crate::support::fresh_ip(), SIEVE));
    let scene = scene(Ca::new(), nobody, "");
    let (mut client, _) = client(&scene, Way::Clear);
    let end = client.try_log_in(Mechanism::PlainAtOnce, USER, PASSWORD);
    assert!(end.starts_with("NO (TRYLATER)"), "{end}");
}

#[test]
fn a_handlers_words_are_one_string() {
    let lookup = FakeLookup::start(|_| answer(&[("Auth-Status", "no \"entry\" \\ for you")]));
    let extra = "auth_http http://@lookup@/; server { listen @ip@:14193; protocol sieve; }";
    let conf = mail(extra);
    let addr = lookup.addr();
    let scene = Scene::with(Ca::new(), Protocol::Imap, &conf, &[("lookup", &addr)]);
    let (mut client, _) = Sieve::greeted((scene.gatepost.site.ip, 14193).into());
    let end = client.try_log_in(Mechanism::PlainAtOnce, USER, PASSWORD);
    assert!(end.ends_with(" \"no \\\"entry\\\" \\\\ for you\""), "{end}");
    assert_eq!(lookup.asked()[0].get("Auth-Protocol"), "sieve");
}

#[test]
fn commands_behind_the_login_reach_the_upstream() {
    let (_dovecot, scene) = before_dovecot("");
    let (mut client, _) = client(&scene, Way::Clear);
    let plain = encoded(&format!("\0{USER}\0{PASSWORD}"));
    client.send(format!(
        "NOOP\r\nAUTHENTICATE \"PLAIN\" \"{plain}\"\r\nPUTSCRIPT \"a\" {{5+}}\r\nkeep;\r\nLISTSCRIPTS\r\nLOGOUT\r\n"
    ));
    client.hear().is("OK");
    client.hear().is("OK");
    client.hear().is("OK");
    assert!(client.hear().is("OK").has("\"a\""));
    client.hear().is("OK");
    client.hears_the_end();
}

#[test]
fn no_string_becomes_a_command() {
    let (dovecot, scene) = before_dovecot("max_errors 9;");
    let (mut client, _) = client(&scene, Way::Clear);
    for message in ["\0u\r\nLOGOUT\0p", "\0u\0p\nLOGOUT", "a\r\0u\0p", "\0u\0p\0q"] {
        client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", encoded(message))).is("NO");
    }
    client.ask("PUTSCRIPT \"x\" {8+}\r\nLOGOUT\r\n").is("NO");
    client.ask("NOOP").is("OK");
    assert!(!dovecot.log().contains("managesieve-login"), "{}", dovecot.log());
}

#[test]
fn nonsense_is_answered_and_counted() {
    let (_dovecot, scene) = before_dovecot("max_errors 2;");
    let (mut client, _) = client(&scene, Way::Clear);
    client.ask("LISTSCRIPTS").is("NO");
    client.ask("a LOGIN u p").is("NO");
    client.hear().is("BYE");
    client.hears_the_end();
    let (mut client, _) = self::client(&scene, Way::Clear);
    client.ask("PUTSCRIPT \"x\" {100000+}").is("BYE");
    client.hears_the_end();
}

#[test]
fn what_is_said_before_tls_does_not_count_within() {
    let (_dovecot, scene) = before_dovecot("");
    let (mut client, _) = client(&scene, Way::Clear);
    client.send("STARTTLS\r\nNOOP \"mallory\"\r\n");
    let said = client.left_unsaid();
    assert!(!said.contains("mallory") && !said.contains("OK"), "{said}");
}
