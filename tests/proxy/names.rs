//! Names without a domain (requirement C13), and the postmaster's (C11), through a real gatepost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::dialog::{Dialog, Tongue};
use crate::scripted::Mta;
use crate::support::{
    Asked, Ca, FakeLookup, FakeUpstream, Gatepost, IMAP, IMAPS, LMTP, Manners, Memcached, POP3,
    Site, Talk, Tls, answer, encoded, fresh_ip, imap, mail, pop3, until,
};

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

fn refusing() -> FakeUpstream {
    let answer = "NO [AUTHENTICATIONFAILED] no".to_owned();
    FakeUpstream::start(imap(Manners { answer, ..Manners::imap() }))
}

/// A servlet that knows everybody, and sends them to `to`.
fn servlet(to: SocketAddr) -> FakeLookup {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    FakeLookup::start(move |_: &Asked| {
        answer(&[("Auth-Status", "OK"), ("Auth-Server", &ip), ("Auth-Port", &port)])
    })
}

fn plain(authzid: &str, user: &str) -> String {
    encoded(&format!("{authzid}\0{user}\0pw"))
}

#[test]
fn a_bare_name_is_of_the_domain_of_the_server_that_it_came_to() {
    let (up, ca, site, other) = (upstream(), Ca::new(), Site::new(), fresh_ip());
    let lookup = servlet(up.addr());
    ca.ecdsa(&["a.test", "b.test", "c.test"]).put(&site, "mail");
    let text = mail(
        "ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;
         lookup z { protocol nle; handler @lookup@; }
         default_domain main.test; login_suffixes /tb; login_master_separator *;
         access_log logs/access.log json;
         server { listen @ip@:@imap@; protocol imap; }
         server { listen @other@:@imap@; protocol imap; default_domain other.test; }
         server { listen @ip@:@imaps@ ssl; protocol imap; server_name a.test; default_domain a.test; }
         server { listen @ip@:@imaps@ ssl; protocol imap; server_name b.test; default_domain b.test; }",
    );
    let gatepost = Gatepost::start(site, &text, &[("lookup", &lookup.addr()), ("other", &other)]);
    let ip = gatepost.site.ip;
    let tls = |name| Tls::trusting(&ca.pem, name);
    let by_name = |name| Dialog::greeted_over(&tls(name), Tongue::Imap, (ip, IMAPS).into());
    let here = || Dialog::greeted(Tongue::Imap, (ip, IMAP).into());
    let mut asked = 0;
    for (mut client, authzid, user, looked_up, told) in [
        // By the name asked for, which none has: the default server of the address.
        (by_name("a.test"), "", "mrose", "mrose@a.test", plain("", "mrose@a.test")),
        (by_name("b.test"), "", "mrose", "mrose@b.test", plain("", "mrose@b.test")),
        (by_name("c.test"), "", "tim", "tim@a.test", plain("", "tim@a.test")),
        // By the address, and as `mail` says.
        (
            Dialog::greeted(Tongue::Imap, (other, IMAP).into()),
            "",
            "mrose",
            "mrose@other.test",
            plain("", "mrose@other.test"),
        ),
        (here(), "", "mrose", "mrose@main.test", plain("", "mrose@main.test")),
        // A name that has one keeps it, wherever it comes to.
        (by_name("b.test"), "", "mrose@d.test", "mrose@d.test", plain("", "mrose@d.test")),
        (here(), "", "bob/tb", "bob@main.test", plain("", "bob@main.test/tb")),
        (here(), "", "ann/tb*boss", "ann@main.test", plain("ann@main.test/tb", "boss")),
        (here(), "lee", "boss", "lee@main.test", plain("lee@main.test", "boss")),
        (here(), "eve", "eve@main.test", "eve@main.test", plain("", "eve@main.test")),
    ] {
        let end = client.plain(authzid, user, "pw");
        assert!(end.starts_with("OK"), "{user}: {end}");
        up.hears(&told);
        let names: Vec<_> =
            lookup.asked().iter().map(|asked| asked.get("Auth-User").to_owned()).collect();
        assert_eq!(names.last().map(String::as_str), Some(looked_up), "{user}");
        asked += 1;
        assert_eq!(names.len(), asked, "{user}: none has been kept under another name");
    }
    // The log has it as the client gave it.
    gatepost.waits_for_line("logs/access.log", "\"ann/tb*boss\"");
    gatepost.quit();
}

#[test]
fn a_bare_name_that_nobody_knows_is_told_of_in_the_log_alone() {
    let (up, site) = (refusing(), Site::new());
    let text = mail(
        "upstream backend { server @up@; } route { @a.test backend; tim backend; }
         server { listen @ip@:@imap@; protocol imap; }
         server { listen @ip@:@pop3@; protocol imap; default_domain b.test; }",
    );
    let gatepost = Gatepost::start(site, &text, &[("up", &up.addr())]);
    let ip = gatepost.site.ip;
    let refusal =
        |port, user| Dialog::greeted(Tongue::Imap, (ip, port).into()).plain("", user, "pw");
    let usual = refusal(IMAP, "mrose@a.test");
    let unset = format!("login \"mrose\" has no domain, and none is set for {ip}: default_domain");
    assert_eq!(refusal(IMAP, "mrose"), usual);
    gatepost.logs(&unset);
    // Somebody knows him, or there is one, or he has one.
    for (port, user) in [(IMAP, "tim"), (POP3, "jim"), (IMAP, "kim@nowhere.test")] {
        assert_eq!(refusal(port, user), usual, "{user}");
    }
    let log = gatepost.quit().read("logs/error.log");
    assert_eq!(log.matches("none is set for").count(), 1, "{log}");
}

#[test]
fn failures_count_by_the_whole_name() {
    let up = refusing();
    let text = mail(
        "upstream backend { server @up@; } route { default backend; } login_throttle on;
         login_failures_user 3/10m free=3; default_domain a.test; login_suffixes /tb;
         postmaster backend login=postmaster@a.test;
         server { listen @ip@:@imap@; protocol imap; }",
    );
    let gatepost = Gatepost::start(Site::new(), &text, &[("up", &up.addr())]);
    for names in [
        ["mrose", "mrose@a.test", "MROSE/tb", "mrose", "Mrose@A.test"],
        // However the postmaster is called.
        [
            "a@postmaster.local",
            "b@postmaster.local",
            "C@postmaster.LOCAL",
            "d@postmaster.local",
            "e@postmaster.local",
        ],
    ] {
        for (rank, name) in names.into_iter().enumerate() {
            let mut client = Dialog::greeted(Tongue::Imap, gatepost.imap());
            let end = client.plain("", name, "guess");
            let want = if rank < 3 { "NO [AUTHENTICATIONFAILED]" } else { "NO [LIMIT]" };
            assert!(end.starts_with(want), "{name}: {end}");
        }
    }
    assert_eq!(up.accepted(), 6);
    gatepost.quit();
}

/// Everything that can claim a name claims the postmaster's: a regex, the default, a file, a lookup, and
/// what another gatepost has put into the cache of both.
#[test]
fn the_postmaster_gets_in_whatever_routes_say() {
    let (cache, evil, home) = (Memcached::start(), upstream(), upstream());
    let home_pop3 = FakeUpstream::start(pop3(Manners::pop3()));
    let home_lmtp = Mta::listing(&["8BITMIME"]).start();
    let (to, is_away) = (evil.addr(), Arc::new(AtomicBool::new(false)));
    let lookup = FakeLookup::start({
        let is_away = Arc::clone(&is_away);
        move |_: &Asked| {
            let (ip, port) = (to.ip().to_string(), to.port().to_string());
            match is_away.load(Relaxed) {
                true => String::new(),
                false => {
                    answer(&[("Auth-Status", "OK"), ("Auth-Server", &ip), ("Auth-Port", &port)])
                }
            }
        }
    });
    let shared = "lookup z { protocol nle; handler @lookup@; }
                  upstream evil { server @evil@; }";
    let values: [(&str, &dyn ToString); 6] = [
        ("cache", &cache.addr()),
        ("lookup", &lookup.addr()),
        ("evil", &evil.addr()),
        ("home", &home.addr()),
        ("home_pop3", &home_pop3.addr()),
        ("home_lmtp", &home_lmtp.addr()),
    ];
    let mail = |inside: &str| {
        format!("memcached {{ server @cache@; key @dir@/fleet.key; }}\n{}", mail(inside))
    };
    let site = || {
        let site = Site::new();
        site.write("fleet.key", "11".repeat(32));
        site
    };
    let imap_server = "server { listen @ip@:@imap@; protocol imap; }";
    // They have never heard of the postmaster. One fills the cache, the other lives on it.
    let ignorant = || Gatepost::start(site(), &mail(&format!("{shared} {imap_server}")), &values);
    let names = ["x@postmaster.local", "postmaster@postmaster.local"];
    let poisoner = ignorant();
    for name in names {
        Dialog::greeted(Tongue::Imap, poisoner.imap()).log_in(name, "pw");
    }
    is_away.store(true, Relaxed);
    let believer = ignorant();
    for name in names {
        until("the route to be in the cache", || {
            let mut client = Dialog::greeted(Tongue::Imap, believer.imap());
            client.plain("", name, "pw").starts_with("OK").then_some(())
        });
    }
    is_away.store(false, Relaxed);
    drop((poisoner, believer));
    let accepted = evil.accepted();

    let site = site();
    site.write("conf/claims", "x@postmaster.local evil\npostmaster@postmaster.local evil\n");
    let claims = [
        "",
        "route { ~*postmaster evil; }",
        "route { default evil; @postmaster.local evil login=somebody; }",
        "route_file claims claims;",
    ];
    let conf = |claim: &str| {
        mail(&format!(
            "{shared} {claim}
             upstream home {{ server @home@; }} upstream home_pop3 {{ server @home_pop3@; }}
             upstream home_lmtp {{ server @home_lmtp@; }}
             postmaster home login=postmaster@a.test; {imap_server}
             server {{ listen @ip@:@pop3@; protocol pop3; postmaster home_pop3; }}
             server {{ listen @ip@:@lmtp@; protocol lmtp; postmaster home_lmtp; }}"
        ))
    };
    let gatepost = Gatepost::start(site, &conf(claims[0]), &values);
    let ip = gatepost.site.ip;
    for (rank, claim) in claims.into_iter().enumerate() {
        if rank > 0 {
            gatepost.reload(&conf(claim), &values, "exited with code 0");
        }
        for name in
            ["x@postmaster.local", "postmaster@postmaster.local", "Any.Body@PostMaster.Local"]
        {
            Dialog::greeted(Tongue::Imap, gatepost.imap()).log_in(name, "pw");
            let mut client = Dialog::greeted(Tongue::Imap, gatepost.imap());
            assert!(
                client.ask(&format!("LOGIN {name} pw")).pop().unwrap().starts_with("OK"),
                "{claim}"
            );
            Dialog::greeted(Tongue::Pop3, (ip, POP3).into()).log_in(name, "pw");
            let mut sender = Talk::try_connect(None, (ip, LMTP).into()).unwrap();
            sender.hears("220 ");
            for (said, heard) in [
                ("LHLO c.test".to_owned(), "250"),
                ("MAIL FROM:<>".to_owned(), "250 "),
                (format!("RCPT TO:<{name}>"), "250 "),
            ] {
                sender.say(&said);
                while !sender.line().starts_with(&format!("{} ", heard.trim())) {}
            }
        }
    }
    assert_eq!(evil.accepted(), accepted, "the postmaster was led astray");
    // He has one name there, where one is set, and the upstream judges his password.
    home.hears(&plain("", "postmaster@a.test"));
    assert!(!home.heard().join("\n").contains(&plain("", "x@postmaster.local")));
    home_pop3.hears("USER postmaster@postmaster.local");
    home_lmtp.hears("RCPT TO:<Any.Body@PostMaster.Local>");
    // Everybody else goes where he is claimed.
    Dialog::greeted(Tongue::Imap, gatepost.imap()).log_in("postmaster@a.test", "pw");
    assert_eq!(evil.accepted(), accepted + 1);
    gatepost.quit();
}
