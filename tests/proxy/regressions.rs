//! What was wrong once.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::scene::TO_BACKEND;
use crate::support::{
    Asked, FakeLookup, FakeUpstream, Gatepost, IMAP, SUBMISSION, Site, Talk, answer, command,
    encoded, fill, mail, run,
};

/// A gatepost that asks `lookup` where to go, with `inside` in its `mail` block.
fn asking(lookup: &FakeLookup, inside: &str) -> Gatepost {
    let conf = mail(&format!(
        "auth_http http://@lookup@/auth; {inside}
         server {{ listen @ip@:@imap@; protocol imap; }}
         server {{ listen @ip@:@submission@; protocol smtp; }}"
    ));
    Gatepost::start(Site::new(), &conf, &[("lookup", &lookup.addr())])
}

/// An SMTP server that lists `capabilities`, and takes everything but what it does not list.
fn smtp(capabilities: &'static str) -> FakeUpstream {
    FakeUpstream::start(move |talk: &mut Talk| {
        talk.try_say("220 up ESMTP")?;
        loop {
            let line = talk.try_line()?;
            match line.split(' ').next().unwrap_or_default() {
                "EHLO" => {
                    let lines = capabilities.split('|');
                    let lines: String = lines.map(|line| format!("250-{line}\r\n")).collect();
                    talk.try_send(format!("250-up\r\n{lines}250 HELP\r\n").as_bytes())?;
                }
                "XCLIENT" if capabilities.contains("XCLIENT") => talk.try_say("220 up ESMTP")?,
                "AUTH" if capabilities.contains("AUTH") => talk.try_say("235 2.7.0 in")?,
                "XCLIENT" | "AUTH" => talk.try_say("503 5.5.1 what?")?,
                _ => talk.try_say("250 2.0.0 ok")?,
            }
        }
    })
}

fn submission(gatepost: &Gatepost) -> Talk {
    let mut client = Talk::try_connect(None, (gatepost.site.ip, SUBMISSION).into()).unwrap();
    client.hears("220 ");
    client.say("EHLO client.test");
    while !client.hears("250").starts_with("250 ") {}
    client
}

fn towards(to: SocketAddr, more: &[(&str, &str)]) -> String {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    answer(&[&[("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)], more].concat())
}

/// The handler has checked bob's password, and knows nothing of victim.
#[test]
fn nobody_sends_as_another_where_no_upstream_judges_it() {
    for (said, separator) in [("victim\0bob\0pw", "off"), ("\0victim*bob\0pw", "*")] {
        let auth = format!("AUTH PLAIN {}", encoded(said));
        let inside = format!("login_master_separator \"{separator}\";");
        // The upstream hears whose password it is, and for whom: it judges.
        let upstream = smtp("XCLIENT ADDR LOGIN|AUTH PLAIN");
        let lookup = FakeLookup::to(upstream.addr());
        let gatepost = asking(&lookup, &inside);
        let mut client = submission(&gatepost);
        client.say(&auth);
        client.hears("235 ");
        upstream.hears(&format!("AUTH PLAIN {}", encoded("victim\0bob\0pw")));
        // One who is himself is vouched for.
        let mut client = submission(&gatepost);
        client.say(&format!("AUTH PLAIN {}", encoded("\0bob\0pw")));
        client.hears("235 ");
        upstream.hears("LOGIN=bob");
        assert!(!upstream.heard().join("\n").contains("LOGIN=victim"), "{:?}", upstream.heard());

        // It cannot judge, or is not asked to.
        for (capabilities, more, refusal) in [
            ("XCLIENT ADDR LOGIN", "", "454 4.7.0"),
            ("XCLIENT ADDR LOGIN|AUTH PLAIN", "proxy_smtp_auth off;", "535 5.7.1"),
        ] {
            let upstream = smtp(capabilities);
            let lookup = FakeLookup::to(upstream.addr());
            let gatepost = asking(&lookup, &format!("{inside} {more}"));
            let mut client = submission(&gatepost);
            client.say(&auth);
            client.hears(refusal);
            let heard = upstream.heard().join("\n");
            assert!(!heard.contains("LOGIN=victim"), "{heard}");
        }
    }
}

#[test]
fn nobody_sends_under_our_address_without_a_login() {
    for (capabilities, more, is_sent) in [
        ("XCLIENT ADDR NAME", "", true),
        ("SIZE 1000", "", false),
        ("SIZE 1000", "xclient on;", false),
        ("SIZE 1000", "xclient off;", true),
    ] {
        let upstream = smtp(capabilities);
        let lookup = FakeLookup::to(upstream.addr());
        let gatepost = asking(&lookup, &format!("smtp_auth none; {more}"));
        let mut client = submission(&gatepost);
        client.say("MAIL FROM:<a@b.test>");
        client.hears("250 ");
        client.say("RCPT TO:<c@d.test>");
        client.hears(if is_sent { "250 " } else { "451 4.3.0" });
        let heard = upstream.heard().join("\n");
        assert_eq!(heard.contains("RCPT"), is_sent, "{capabilities}, {more}: {heard}");
        assert_eq!(heard.contains("XCLIENT"), more != "xclient off;", "{heard}");
    }
}

#[test]
fn a_row_names_nobody_where_nobody_logs_in() {
    let upstream = smtp("XCLIENT ADDR LOGIN|AUTH PLAIN");
    let conf = mail(
        "route { ~^(?<name>[^@]+)@ @up@ login=$name; } smtp_auth plain none;
         server { listen @ip@:@submission@; protocol smtp; }",
    );
    let gatepost = Gatepost::start(Site::new(), &conf, &[("up", &upstream.addr())]);
    let mut client = submission(&gatepost);
    client.say("MAIL FROM:<a@b.test>");
    client.hears("250 ");
    client.say("RCPT TO:<bob@d.test>");
    client.hears("250 ");
    assert!(!upstream.hears("XCLIENT").contains("LOGIN"), "{:?}", upstream.heard());
    // Who logs in is called so.
    let mut client = submission(&gatepost);
    client.say(&format!("AUTH PLAIN {}", encoded("\0bob@d.test\0pw")));
    client.hears("235 ");
    upstream.hears(&format!("AUTH PLAIN {}", encoded("\0bob\0pw")));
}

/// A handler may say the same to all protocols.
#[test]
fn a_master_that_does_not_log_in_is_in_nobodys_name() {
    let upstream = smtp("XCLIENT ADDR LOGIN|AUTH PLAIN");
    let to = upstream.addr();
    let lookup = FakeLookup::start(move |_: &Asked| towards(to, &[("Auth-Upstream-Master", "on")]));
    let own = format!("AUTH PLAIN {}", encoded("\0bob\0pw"));
    let masters = format!("AUTH PLAIN {}", encoded("\0bob*boss\0tea"));
    for (auth, want) in [("auto", &*masters), ("off", "LOGIN=bob"), ("on", &masters)] {
        let site = Site::new();
        site.write("conf/master", "tea");
        let conf = mail(&format!(
            "auth_http http://@lookup@/auth; proxy_smtp_auth {auth};
             proxy_master_user boss; proxy_master_password_file master; proxy_master_separator *;
             server {{ listen @ip@:@submission@; protocol smtp; }}"
        ));
        let gatepost = Gatepost::start(site, &conf, &[("lookup", &lookup.addr())]);
        let mut client = submission(&gatepost);
        client.say(&own);
        client.hears("235 ");
        assert!(upstream.hears(want).ends_with(want), "{:?}", upstream.heard());
    }
}

/// Two that trust each other, and send each login back.
#[test]
fn a_loop_of_smtp_proxies_ends() {
    let sites = [Site::new(), Site::new()];
    let addresses = [&sites[0], &sites[1]].map(|site| SocketAddr::from((site.ip, SUBMISSION)));
    let conf = mail(
        "route { default @other@; } set_real_ip_from 127.0.0.0/8;
         server { listen @ip@:@submission@; protocol smtp; }",
    );
    let [one, two] = sites;
    let one = Gatepost::start(one, &conf, &[("other", &addresses[1])]);
    let two = Gatepost::start(two, &conf, &[("other", &addresses[0])]);
    let mut client = submission(&one);
    client.say(&format!("AUTH PLAIN {}", encoded("\0bob\0pw")));
    client.hears("454 4.7.0");
    let count = |gatepost: &Gatepost| gatepost.error_log().matches(" connected to ").count();
    assert!(count(&one) + count(&two) < 10, "{}", one.error_log());
}

/// Guesses at the password of `user`; gives the salt and the count of our challenge, and what is said
/// to the guess, until the end.
fn guess(gatepost: &Gatepost, user: &str) -> (String, (String, String)) {
    let mut client = Talk::try_connect(None, (gatepost.site.ip, IMAP).into()).unwrap();
    client.hears("* OK ");
    let first = encoded(&format!("n,,n={user},r=nonce"));
    client.say(&format!("a AUTHENTICATE SCRAM-SHA-256 {first}"));
    let challenge = client.hears("+ ")[2..].to_owned();
    let challenge = String::from_utf8(STANDARD.decode(&challenge).unwrap()).unwrap();
    let (nonce, rest) = challenge.split_once(',').unwrap();
    let proof = encoded(&"x".repeat(32));
    client.say(&encoded(&format!("c=biws,{nonce},p={proof}")));
    let (salt, count) = rest.rsplit_once(',').unwrap();
    (salt.to_owned(), (count.to_owned(), client.left_unsaid()))
}

#[test]
fn a_guess_by_scram_does_not_tell_who_is_known() {
    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let lookup = FakeLookup::start(|asked: &Asked| match asked.get("Auth-User") {
        "known" => towards(([127, 0, 0, 1], 9).into(), &[("Auth-Verifier", VERIFIER)]),
        "waits" => answer(&[("Auth-Status", "No such user"), ("Auth-Wait", "1")]),
        _ => answer(&[("Auth-Status", "No such user")]),
    });
    let gatepost = asking(&lookup, "imap_auth scram-sha-256; login_suffixes /tb;");
    let (known_salt, known) = guess(&gatepost, "known");
    assert!(known.1.starts_with("a NO [AUTHENTICATIONFAILED] "), "{known:?}");
    assert_eq!(guess(&gatepost, "known/tb").0, known_salt);
    for user in ["unknown", "waits"] {
        let (salt, said) = guess(&gatepost, user);
        assert_eq!(said, known, "{user}");
        assert_eq!(guess(&gatepost, &format!("{user}/tb")).0, salt, "{user}");
    }
}

#[test]
fn a_mechanism_that_cannot_succeed_is_told() {
    let conf = |auth: &str| {
        mail(&format!(
            "{TO_BACKEND} imap_auth {auth}; server {{ listen @ip@:@imap@; protocol imap; }}"
        ))
    };
    let up: SocketAddr = ([127, 0, 0, 1], 9).into();
    let site = Site::new();
    site.write("conf/gatepost.conf", fill(&site, &conf("cram-md5 scram-sha-256"), &[("up", &up)]));
    let tested = run(command(&site).arg("-t"), "");
    let told =
        "[emerg] \"imap_auth\": cram-md5, scram-sha-256 cannot succeed without \"auth_http\"";
    assert_eq!(tested.code, Some(1));
    assert!(tested.err.contains(told), "{}", tested.err);

    let gatepost = Gatepost::start(Site::new(), &conf("plain cram-md5"), &[("up", &up)]);
    gatepost.logs("\"imap_auth\": cram-md5 cannot succeed without \"auth_http\"");
    let mut client = Talk::try_connect(None, (gatepost.site.ip, IMAP).into()).unwrap();
    assert!(!client.hears("* OK ").contains("CRAM-MD5"));
}

#[test]
fn an_answer_before_its_question_is_none() {
    let upstream = FakeUpstream::start(|talk: &mut Talk| {
        talk.try_send(b"220 up ESMTP\r\n250 up\r\n235 2.7.0 in\r\n")?;
        talk.try_line().map(drop)
    });
    let to = upstream.addr();
    let conf = mail(&format!(
        "route {{ default {to}; }} server {{ listen @ip@:@submission@; protocol smtp; }}"
    ));
    let gatepost = Gatepost::start(Site::new(), &conf, &[]);
    let mut client = submission(&gatepost);
    client.say(&format!("AUTH PLAIN {}", encoded("\0bob\0pw")));
    client.hears("454 ");
    gatepost.logs("upstream sent invalid response (it answers before it is asked)");
}

/// A handler whose own database is down has judged nobody: its users are not shut out by the time
/// that it is back.
#[test]
fn a_handler_that_says_later_counts_for_no_failure() {
    let later =
        [("Auth-Status", "try again later"), ("Auth-Error-Code", "451 4.3.0"), ("Auth-Wait", "1")];
    let lookup = FakeLookup::start(move |_: &Asked| answer(&later));
    let limits = "login_failures_user 1/60s free=1 delay=0s; login_failure_delay 0s;";
    let gatepost = asking(&lookup, limits);
    for _ in 0..3 {
        let mut client = submission(&gatepost);
        client.say(&format!("AUTH PLAIN {}", encoded("\0bob\0pw")));
        client.hears("451 4.3.0 ");
    }
}
