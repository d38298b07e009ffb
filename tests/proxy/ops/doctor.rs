//! The doctor names the step that fails.

use super::{ask, started, told};
use crate::support::{
    Ca, Dovecot, FakeLookup, FakeUpstream, Gatepost, Manners, Protocol, Site, Talk, command, imap,
    run,
};

/// The upstream's verdict, and what was said of each step.
#[track_caller]
fn examined(node: &Gatepost, words: &[&str]) -> (Option<i32>, String) {
    let said = ask(node, &[&["doctor"], words].concat());
    (said.code, said.said())
}

#[test]
fn each_step_towards_an_upstream_can_be_the_one_that_fails() {
    let refused = FakeUpstream::start(imap(Manners::imap())).dies();
    let plain = FakeUpstream::start(imap(Manners::imap()));
    let silent = FakeUpstream::start(|talk: &mut Talk| talk.try_line().map(drop));
    let odd = FakeUpstream::start(imap(Manners {
        greeting: "SSH-2.0-OpenSSH_9.2".to_owned(),
        ..Manners::imap()
    }));
    let inside = "route { default well; } proxy_connect_timeout 1s; proxy_greeting_timeout 500ms;
        upstream well { server @plain@; }
        upstream lost { server nowhere.invalid:143; }
        upstream shut { server @refused@; }
        upstream clear { proxy_ssl on; proxy_ssl_verify off; server @plain@; }
        upstream mute { server @silent@; }
        upstream odd { server @odd@; }";
    let values: [(&str, &dyn ToString); 4] = [
        ("plain", &plain.addr()),
        ("refused", &refused),
        ("silent", &silent.addr()),
        ("odd", &odd.addr()),
    ];
    let node = started("", inside, &values);
    for (name, step, words) in [
        ("lost", "dns", "nowhere.invalid"),
        ("shut", "connect", "Connection refused"),
        ("clear", "tls", ""),
        ("odd", "greeting", "SSH-2.0"),
        ("mute", "greeting", "timed out"),
    ] {
        let (code, said) = examined(&node, &["upstream", name]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.ends_with(&format!("{name}: {step} fails\n")), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = examined(&node, &["upstream", "well"]);
    assert!(code == Some(0) && said.ends_with("well: all is well\n"), "{said}");
    let (code, said) = examined(&node, &["upstream", "other"]);
    assert!(code == Some(1) && said.contains("there is no upstream \"other\""), "{said}");
}

#[test]
fn a_login_is_tried_with_a_password_and_over_starttls() {
    let ca = Ca::new();
    let dovecot = Dovecot::start(&ca, &[("bob", "pw")]);
    let site = Site::new();
    site.write("ca.pem", &ca.pem);
    site.write("right", "pw\n");
    site.write("wrong", "pw2\n");
    let inside = "route { default stores; } proxy_ssl starttls;
        proxy_ssl_trusted_certificate @dir@/ca.pem; proxy_ssl_name dovecot.test;
        upstream stores { server @up@; }";
    let node =
        Gatepost::start(site, &super::conf("", inside), &[("up", &dovecot.clear(Protocol::Imap))]);
    let file = |name: &str| node.site.path(name).display().to_string();
    let login = |name: &str| {
        let (words, path) = (["doctor", "upstream", "stores", "--login", "bob"], file(name));
        run(command(&node.site).args(words).args(["--password-file", &path]), "")
    };
    let well = login("right");
    assert_eq!(well.code, Some(0), "{}", well.said());
    for step in ["dns", "connect", "greeting", "tls", "login"] {
        assert!(well.out.contains(step), "{}", well.out);
    }
    assert!(well.out.contains("TLSv1.3"), "{}", well.out);
    let ill = login("wrong");
    assert_eq!(ill.code, Some(1), "{}", ill.said());
    assert!(ill.out.contains("refused: ") && ill.out.ends_with("stores: login fails\n"));
    assert!(!ill.said().contains("pw2") && !node.error_log().contains("pw2"));
}

#[test]
fn a_handler_is_examined_up_to_its_answer() {
    let to = "192.0.2.9:143".parse().unwrap();
    let well = FakeLookup::to(to);
    let odd = FakeLookup::start(|_| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned());
    let refused = FakeLookup::to(to);
    let shut = refused.addr();
    drop(refused);
    let inside = "lookup well { handler http://@well@/; } lookup odd { handler http://@odd@/; }
        lookup shut { handler http://@shut@/; } lookup lost { handler http://nowhere.invalid/; }
        lookup clear { ssl_verify off; handler https://@well@/; }";
    let values: [(&str, &dyn ToString); 3] =
        [("well", &well.addr()), ("odd", &odd.addr()), ("shut", &shut)];
    let node = started("", inside, &values);
    for (name, step) in [("lost", "dns"), ("shut", "connect"), ("clear", "tls"), ("odd", "answer")]
    {
        let (code, said) = examined(&node, &["lookup", name]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.ends_with(&format!("{name}: {step} fails\n")), "{said}");
    }
    let said = told(&node, &["doctor", "lookup", "well"]);
    assert!(said.contains("leads to 192.0.2.9:143"), "{said}");
    assert!(well.asked().iter().all(|asked| asked.get("Auth-Pass").is_empty()));
    let url = format!("http://{}/", well.addr());
    assert!(told(&node, &["doctor", "lookup", &url]).contains("answer"));
}

#[test]
fn an_address_is_told_whom_gatepost_takes_it_for() {
    let inside = "route { default stores; } set_real_ip_from 10.0.0.0/8; proxy_protocol v2;
        upstream stores { server 192.0.2.9:143; proxy_protocol off; proxy_issue_imap_id on; }";
    let node = started("", inside, &[]);
    let said = told(&node, &["doctor", "clientip", "192.0.2.7/10.0.0.5"]);
    assert!(said.contains("10.0.0.5 is believed"), "{said}");
    assert!(said.contains("\"stores\" hears of 192.0.2.7 by ID\n"), "{said}");
    assert!(said.contains("any other upstream hears of 192.0.2.7 by PROXY v2"), "{said}");
    let (code, said) = examined(&node, &["clientip", "192.0.2.7/192.0.2.8"]);
    assert!(code == Some(1) && said.contains("192.0.2.8 is not in set_real_ip_from"), "{said}");
    let (code, said) = examined(&node, &["clientip", "nobody"]);
    assert!(code == Some(1) && said.contains("\"nobody\" is no address"), "{said}");
}
