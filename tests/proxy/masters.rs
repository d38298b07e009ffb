//! Who acts for whom: masters of the client's and of ours, authorization identities, names with
//! suffixes; and what a lookup may choose for one login: TLS with the upstream, and the master.

use std::net::SocketAddr;

use crate::dialog::{Dialog, Tongue};
use crate::scripted::welcoming;
use crate::support::{
    Asked, Ca, Dovecot, FakeLookup, FakeUpstream, Gatepost, Manners, Protocol, Site, answer,
    encoded, imap, mail, pop3,
};

const PORT: u16 = 11_000;

fn gatepost(
    site: Site,
    tongue: Tongue,
    inside: &str,
    values: &[(&str, &dyn ToString)],
) -> Gatepost {
    let name = tongue.name();
    let conf =
        mail(&format!("{inside} server {{ listen @ip@:{PORT}; protocol {name}; starttls off; }}"));
    site.write("master", "mellon\n");
    Gatepost::start(site, &conf, values)
}

fn client(gatepost: &Gatepost, tongue: Tongue) -> Dialog {
    Dialog::greeted(tongue, (gatepost.site.ip, PORT).into())
}

fn towards(to: SocketAddr, more: &[(&str, &str)]) -> String {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let mut headers = vec![("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)];
    headers.extend_from_slice(more);
    answer(&headers)
}

/// The last PLAIN login that the upstream heard, or USER and PASS, as a PLAIN message.
fn last_login(up: &FakeUpstream) -> String {
    let heard = up.heard();
    let said = heard.iter().rev().find_map(|line| {
        if let Some(password) = line.strip_prefix("PASS ") {
            let user = heard.iter().rev().find_map(|line| line.strip_prefix("USER ")).unwrap();
            return Some(encoded(&format!("\0{user}\0{password}")));
        }
        let word = line.trim_end_matches('"').rsplit([' ', '"']).next()?;
        (line.contains("PLAIN") && line.contains("AUTH") && word.len() > 6).then(|| word.to_owned())
    });
    use base64::Engine;
    let said = said.unwrap_or_else(|| panic!("no login: {heard:#?}"));
    let bytes = base64::engine::general_purpose::STANDARD.decode(said).unwrap();
    String::from_utf8(bytes).unwrap().replace('\0', "|")
}

const SMTP: &str = "proxy_smtp_auth on;";

#[test]
fn a_master_opens_the_mailbox_that_is_routed() {
    for tongue in Tongue::ALL {
        let (tims, others) = (welcoming(tongue), welcoming(tongue));
        let inside =
            format!("{SMTP} login_master_separator *; route {{ tim @tims@; default @others@; }}");
        let values: [(&str, &dyn ToString); 2] =
            [("tims", &tims.addr()), ("others", &others.addr())];
        let gatepost = gatepost(Site::new(), tongue, &inside, &values);
        for (authzid, name, want) in [
            ("", "tim*admin", "tim|admin|pw"),
            ("tim", "admin", "tim|admin|pw"),
            ("", "tim", "|tim|pw"),
        ] {
            let end = client(&gatepost, tongue).plain(authzid, name, "pw");
            assert!(end.starts_with(tongue.welcome()), "{tongue:?} {name}: {end}");
            assert_eq!(last_login(&tims), want, "{tongue:?}");
        }
        // Whoever names both is taken at his word: a name with a star in it.
        let end = client(&gatepost, tongue).plain("tim", "bob*admin", "pw");
        assert!(end.starts_with(tongue.welcome()), "{end}");
        assert_eq!(last_login(&tims), "tim|bob*admin|pw");
        assert_eq!(others.accepted(), 0);
    }
}

#[test]
fn a_lookup_is_told_of_master_and_mailbox() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let lookup = FakeLookup::to(up.addr());
        let inside = format!("{SMTP} login_master_separator *; auth_http @lookup@/;");
        let gatepost = gatepost(Site::new(), tongue, &inside, &[("lookup", &lookup.addr())]);
        for (authzid, name) in [("", "tim*admin"), ("tim", "admin")] {
            let end = client(&gatepost, tongue).plain(authzid, name, "pw");
            assert!(end.starts_with(tongue.welcome()), "{tongue:?} {name}: {end}");
            let asked = lookup.asked().pop().unwrap();
            let told = ["Auth-User", "Auth-Authz-User", "Auth-Pass"].map(|name| asked.get(name));
            assert_eq!(told, ["admin", "tim", "pw"], "{tongue:?}");
            assert_eq!(last_login(&up), "tim|admin|pw");
        }
    }
}

#[test]
fn our_master_logs_in_where_the_lookup_says_so() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let to = up.addr();
        let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
            "own" => towards(to, &[("Auth-Upstream-Master", "off")]),
            "robert" => towards(to, &[("Auth-Upstream-Master", "on"), ("Auth-User", "bob")]),
            _ => towards(to, &[("Auth-Upstream-Master", "on")]),
        });
        for (separator, alice, robert) in [
            ("off", "alice|gate|mellon", "bob|gate|mellon"),
            ("*", "|alice*gate|mellon", "|bob*gate|mellon"),
        ] {
            let inside = format!(
                "{SMTP} auth_http @lookup@/; proxy_master_user gate;
                 proxy_master_password_file @dir@/master; proxy_master_separator {separator};"
            );
            let gatepost = gatepost(Site::new(), tongue, &inside, &[("lookup", &lookup.addr())]);
            for (user, want) in [("alice", alice), ("robert", robert), ("own", "|own|pw")] {
                client(&gatepost, tongue).log_in(user, "pw");
                assert_eq!(last_login(&up), want, "{tongue:?}");
            }
            // Nobody acts for another with our master's rights.
            let before = up.accepted();
            let end = client(&gatepost, tongue).plain("victim", "alice", "pw");
            assert!(!end.starts_with(tongue.welcome()), "{end}");
            assert_eq!(up.accepted(), before);
        }
        // Without a master there is nothing to log in with.
        let before = up.accepted();
        let inside = format!("{SMTP} auth_http @lookup@/;");
        let gatepost = gatepost(Site::new(), tongue, &inside, &[("lookup", &lookup.addr())]);
        let end = client(&gatepost, tongue).plain("", "alice", "pw");
        assert!(!end.starts_with(tongue.welcome()), "{end}");
        assert_eq!(up.accepted(), before);
        gatepost.logs("no \"proxy_master_user\" is defined for the upstream");
    }
}

#[test]
fn a_suffix_is_kept_from_lookup_and_table_and_given_back_upstream() {
    for tongue in Tongue::ALL {
        let up = welcoming(tongue);
        let to = up.addr();
        let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
            "robert" => towards(to, &[("Auth-User", "bob"), ("Auth-Pass", "pw")]),
            _ => towards(to, &[]),
        });
        let suffixes = "login_suffixes /tb /wm; login_master_separator *;";
        let by_lookup = format!("{SMTP} {suffixes} auth_http @lookup@/;");
        let by_lookup = gatepost(Site::new(), tongue, &by_lookup, &[("lookup", &lookup.addr())]);
        let by_table = format!("{SMTP} {suffixes} route {{ alice@a.test @up@; tim @up@; }}");
        let by_table = gatepost(Site::new(), tongue, &by_table, &[("up", &to)]);
        for (name, known, told) in [
            ("alice@a.test/tb", "alice@a.test", "|alice@a.test/tb|pw"),
            ("alice@a.test/wm", "alice@a.test", "|alice@a.test/wm|pw"),
            ("alice@a.test", "alice@a.test", "|alice@a.test|pw"),
            ("alice/xx", "alice/xx", "|alice/xx|pw"),
            ("robert/tb", "robert", "|bob/tb|pw"),
            ("tim/tb*admin", "admin", "tim/tb|admin|pw"),
        ] {
            client(&by_lookup, tongue).log_in(name, "pw");
            assert_eq!(lookup.asked().last().unwrap().get("Auth-User"), known, "{tongue:?} {name}");
            assert_eq!(last_login(&up), told, "{tongue:?} {name}");
            if name.starts_with("alice@") || name.starts_with("tim") {
                client(&by_table, tongue).log_in(name, "pw");
                assert_eq!(last_login(&up), told, "{tongue:?} {name}");
            }
        }
        // As an authorization identity it is the mailbox's, too.
        let end = client(&by_lookup, tongue).plain("tim/tb", "admin", "pw");
        assert!(end.starts_with(tongue.welcome()), "{end}");
        assert_eq!(lookup.asked().last().unwrap().get("Auth-Authz-User"), "tim");
        assert_eq!(last_login(&up), "tim/tb|admin|pw");
    }
}

/// What the lookup answers to the next question.
struct Choice {
    lookup: FakeLookup,
    next: std::sync::Arc<std::sync::Mutex<(SocketAddr, &'static str)>>,
}

impl Choice {
    fn new(to: SocketAddr) -> Self {
        let next = std::sync::Arc::new(std::sync::Mutex::new((to, "off")));
        let also = next.clone();
        let lookup = FakeLookup::start(move |_: &Asked| {
            let (to, tls) = *also.lock().unwrap();
            match tls {
                "" => towards(to, &[]),
                tls => towards(to, &[("Auth-Upstream-TLS", tls)]),
            }
        });
        Self { lookup, next }
    }

    fn is(&self, to: SocketAddr, tls: &'static str) {
        *self.next.lock().unwrap() = (to, tls);
    }
}

#[test]
fn a_lookup_chooses_tls_with_the_upstream_for_one_login() {
    let ca = Ca::new();
    let users = [("a", "pw"), ("b", "pw"), ("c", "pw"), ("d", "pw"), ("e", "pw")];
    let dovecot = Dovecot::start(&ca, &users);
    for (tongue, protocol) in [(Tongue::Imap, Protocol::Imap), (Tongue::Pop3, Protocol::Pop3)] {
        let (clear, tls) = (dovecot.clear(protocol), dovecot.tls(protocol));
        let choice = Choice::new(clear);
        // Whatever the configuration says, the answer goes before it.
        for configured in ["off", "starttls"] {
            let site = Site::new();
            site.write("ca.pem", &ca.pem);
            let inside = format!(
                "auth_http @lookup@/; proxy_ssl {configured}; proxy_ssl_name dovecot.test;
                 proxy_ssl_trusted_certificate @dir@/ca.pem; access_log logs/access.log json;"
            );
            let gatepost = gatepost(site, tongue, &inside, &[("lookup", &choice.lookup.addr())]);
            let unsaid = configured == "starttls";
            for (user, to, says, is_tls) in [
                ("a", clear, "off", false),
                ("b", clear, "starttls", true),
                ("c", tls, "on", true),
                ("d", clear, "STARTTLS", true),
                ("e", clear, "", unsaid),
            ] {
                choice.is(to, says);
                let mut client = client(&gatepost, tongue);
                client.log_in(user, "pw");
                drop(client);
                let mark = format!("\"login\":\"{user}\"");
                let line = gatepost.waits_for_line("logs/access.log", &mark);
                let has_tls = line.contains("TLSv1.3");
                assert_eq!(has_tls, is_tls, "{tongue:?} {configured} {says}: {line}");
            }
        }
    }
}

#[test]
fn where_tls_cannot_be_had_nothing_is_said_in_the_clear() {
    for (tongue, up) in [
        (Tongue::Imap, FakeUpstream::start(imap(Manners::imap()))),
        (Tongue::Pop3, FakeUpstream::start(pop3(Manners::pop3()))),
        (Tongue::Smtp, welcoming(Tongue::Smtp)),
        (Tongue::Sieve, welcoming(Tongue::Sieve)),
    ] {
        let choice = Choice::new(up.addr());
        let inside =
            format!("{SMTP} auth_http @lookup@/; proxy_ssl_verify off; proxy_connect_timeout 2s;");
        let gatepost = gatepost(Site::new(), tongue, &inside, &[("lookup", &choice.lookup.addr())]);
        for says in ["starttls", "on", "sometimes", "on off"] {
            choice.is(up.addr(), says);
            let end = client(&gatepost, tongue).plain("", "alice", "secret");
            assert!(!end.starts_with(tongue.welcome()), "{tongue:?} {says}: {end}");
            let heard = up.heard().join("\n");
            assert!(!heard.contains("AUTH") && !heard.contains("alice"), "{says}: {heard}");
        }
        choice.is(up.addr(), "off");
        client(&gatepost, tongue).log_in("alice", "pw");
    }
}

#[test]
fn an_upstream_whose_certificate_is_not_trusted_hears_no_password() {
    let (ca, other) = (Ca::new(), Ca::new());
    let dovecot = Dovecot::start(&other, &[("alice", "pw")]);
    let (clear, tls) = (dovecot.clear(Protocol::Imap), dovecot.tls(Protocol::Imap));
    let choice = Choice::new(clear);
    let site = Site::new();
    site.write("ca.pem", &ca.pem);
    let inside = "auth_http @lookup@/; proxy_ssl_name dovecot.test;
                  proxy_ssl_trusted_certificate @dir@/ca.pem;";
    let gatepost = gatepost(site, Tongue::Imap, inside, &[("lookup", &choice.lookup.addr())]);
    for (to, says) in [(clear, "starttls"), (tls, "on")] {
        choice.is(to, says);
        let end = client(&gatepost, Tongue::Imap).plain("", "alice", "pw");
        assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    }
    gatepost.logs("SSL handshaking");
    assert!(!dovecot.log().contains("alice"), "{}", dovecot.log());
}
