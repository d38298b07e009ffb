//! TLS on both sides: which certificate, how it changes, what is refused.

use std::fs;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::scene::{CERTIFICATE, Scene, TO_BACKEND, TRUSTING, Way, servers};
use crate::support::{
    Ca, Client, Dovecot, FakeUpstream, Gatepost, Manners, Mechanism, Pair, Protocol, Site, Talk,
    Tls, command, imap, mail, pop3, run, until,
};

/// The certificate that a server shows to who asks for `name`, as it came over the wire.
pub fn shown(gatepost: &Gatepost, ca: &str, name: &str) -> Vec<u8> {
    let client = secured(gatepost, &Tls::trusting(ca, name)).unwrap();
    client.session().peer_certificates().unwrap()[0].to_vec()
}

fn secured(gatepost: &Gatepost, tls: &Tls) -> std::io::Result<Talk> {
    let mut talk = Talk::try_connect(None, gatepost.tls(Protocol::Imap)).unwrap();
    talk.try_secure(tls).map(|()| talk)
}

/// The certificate of a pair, as it goes over the wire.
pub fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap().to_vec()
}

/// A server block on the one TLS port.
fn server(name: &str, file: &str, mark: &str) -> String {
    format!(
        "server {{ listen @ip@:@imaps@ ssl {mark}; protocol imap; server_name {name};
         ssl_certificate @dir@/{file}.pem; ssl_certificate_key @dir@/{file}.key; }}\n"
    )
}

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let (up, ca, site) = (upstream(), Ca::new(), Site::new());
    let pairs = [("mail.one.test", "one"), ("*.two.test", "two"), ("mail.three.test", "three")]
        .map(|(name, file)| {
            let pair = ca.ecdsa(&[name]);
            pair.put(&site, file);
            der(&pair)
        });
    let [one, two, three] = pairs;
    let conf = format!(
        "{TO_BACKEND}{}{}{}",
        server("mail.one.test", "one", ""),
        server("*.two.test", "two", ""),
        server("mail.three.test imap.three.test", "three", "default_server"),
    );
    let gatepost = Gatepost::start(site, &mail(&conf), &[("up", &up.addr())]);
    assert_eq!(shown(&gatepost, &ca.pem, "mail.one.test"), one);
    assert_eq!(shown(&gatepost, &ca.pem, "MAIL.ONE.test"), one);
    assert_eq!(shown(&gatepost, &ca.pem, "imap.two.test"), two);
    assert_eq!(shown(&gatepost, &ca.pem, "mail.three.test"), three);
    // A name that nobody has, and no name at all, get the default, which the client may refuse.
    for name in ["mail.nobody.test", &gatepost.site.ip.to_string()] {
        let refused = secured(&gatepost, &Tls::trusting(&ca.pem, name)).map(drop).unwrap_err();
        assert!(refused.to_string().contains("not valid for name"), "{refused}");
    }
    let said = openssl(&gatepost, &["-noservername"]);
    assert!(said.contains("CN = mail.three.test"), "{said}");
}

#[test]
fn the_name_chooses_behind_starttls_as_well() {
    let (up, ca, site) = (upstream(), Ca::new(), Site::new());
    let block = |name: &str, file: &str| {
        format!(
            "server {{ listen @ip@:@imap@; protocol imap; starttls on; server_name {name};
             ssl_certificate @dir@/{file}.pem; ssl_certificate_key @dir@/{file}.key; }}\n"
        )
    };
    for (name, file) in [("mail.one.test", "one"), ("mail.two.test", "two")] {
        ca.ecdsa(&[name]).put(&site, file);
    }
    let conf =
        format!("{TO_BACKEND}{}{}", block("mail.one.test", "one"), block("mail.two.test", "two"));
    let gatepost = Gatepost::start(site, &mail(&conf), &[("up", &up.addr())]);
    for name in ["mail.one.test", "mail.two.test"] {
        let mut client = Client::greeted(Protocol::Imap, gatepost.imap());
        client.start_tls(&Tls::trusting(&ca.pem, name));
        client.log_in(Mechanism::PlainAtOnce, "bob", "pw");
    }
}

fn openssl(gatepost: &Gatepost, words: &[&str]) -> String {
    let to = gatepost.tls(Protocol::Imap).to_string();
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["s_client", "-connect", &to, "-ign_eof"]).args(words);
    run(&mut openssl, "a LOGOUT\r\n").said()
}

#[test]
fn rsa_and_ecdsa_stand_side_by_side() {
    let (up, ca, site) = (upstream(), Ca::new(), Site::new());
    ca.ecdsa(&["mail.test"]).put(&site, "ecdsa");
    ca.rsa(&["mail.test"]).put(&site, "rsa");
    let conf = format!(
        "{TO_BACKEND} server {{ listen @ip@:@imaps@ ssl; protocol imap;
         ssl_certificate @dir@/rsa.pem; ssl_certificate_key @dir@/rsa.key;
         ssl_certificate @dir@/ecdsa.pem; ssl_certificate_key @dir@/ecdsa.key; }}"
    );
    let gatepost = Gatepost::start(site, &mail(&conf), &[("up", &up.addr())]);
    let rsa = openssl(&gatepost, &["-sigalgs", "RSA-PSS+SHA256"]);
    assert!(rsa.contains("Peer signature type: RSA-PSS"), "{rsa}");
    let ecdsa = openssl(&gatepost, &["-sigalgs", "ECDSA+SHA256"]);
    assert!(ecdsa.contains("Peer signature type: ECDSA"), "{ecdsa}");
    let old = openssl(&gatepost, &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]);
    assert!(old.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{old}");
}

#[test]
fn a_certificate_changes_on_reload_without_touching_sessions() {
    let up = upstream();
    let scene = Scene::before(up.addr(), Protocol::Imap, "");
    let (gatepost, ca) = (&scene.gatepost, &scene.ca);
    let mut session = scene.let_in_by(Way::Tls);
    let new = ca.ecdsa(&["mail.test"]);
    assert_ne!(shown(gatepost, &ca.pem, "mail.test"), der(&new));
    new.put(&gatepost.site, "mail");
    gatepost.signal(nix::sys::signal::Signal::SIGHUP);
    until("the new certificate", || {
        (shown(gatepost, &ca.pem, "mail.test") == der(&new)).then_some(())
    });
    session.ask("NOOP still").is("OK").tells("still");
}

#[test]
fn a_certificate_changes_when_its_files_do() {
    let up = upstream();
    let scene = Scene::before(up.addr(), Protocol::Imap, "");
    let (gatepost, ca) = (&scene.gatepost, &scene.ca);
    let mut session = scene.let_in_by(Way::Tls);
    let new = ca.ecdsa(&["mail.test"]);
    // Renamed into place, as ACME clients do.
    new.put(&gatepost.site, "new");
    for kind in ["key", "pem"] {
        let site = &gatepost.site;
        fs::rename(site.path(&format!("new.{kind}")), site.path(&format!("mail.{kind}"))).unwrap();
    }
    crate::support::Waiting::new(Duration::from_secs(70)).until("the new certificate", || {
        std::thread::park_timeout(Duration::from_millis(200));
        (shown(gatepost, &ca.pem, "mail.test") == der(&new)).then_some(())
    });
    session.ask("NOOP still").is("OK").tells("still");
}

#[test]
fn a_bad_key_stops_only_its_own_server_and_is_named() {
    let (up, ca, site) = (upstream(), Ca::new(), Site::new());
    let good = ca.ecdsa(&["good.test"]);
    good.put(&site, "good");
    let bad = ca.ecdsa(&["bad.test"]);
    let of_another = Pair { cert: bad.cert.clone(), key: good.key.clone() };
    let conf = format!(
        "{TO_BACKEND}{}{}",
        server("good.test", "good", "default_server"),
        server("bad.test", "bad", "")
    );
    let conf = mail(&conf);
    bad.put(&site, "bad");
    let gatepost = Gatepost::start(site, &conf, &[("up", &up.addr())]);
    let site = &gatepost.site;
    for (what, pair) in [
        ("encrypted", bad.locked(site)),
        ("mismatched", of_another),
        ("garbage", Pair { cert: bad.cert.clone(), key: "no key\n".to_owned() }),
    ] {
        pair.put(site, "bad");
        let tested = run(command(site).arg("-t"), "");
        assert_ne!(tested.code, Some(0), "{what}: {}", tested.said());
        assert!(tested.err.contains("bad.key") || tested.err.contains("bad.pem"), "{}", tested.err);
        gatepost.signal(nix::sys::signal::Signal::SIGHUP);
        until("the log to name the file", || {
            gatepost.error_log().contains("bad.key").then_some(())
        });
        assert_eq!(shown(&gatepost, &ca.pem, "good.test"), der(&good), "{what}");
    }
    fs::remove_file(site.path("bad.key")).unwrap();
    let tested = run(command(site).arg("-t"), "");
    assert_ne!(tested.code, Some(0), "{}", tested.said());
    gatepost.quit();

    // From a cold start as well, the good server serves.
    let site = Site::new();
    good.put(&site, "good");
    bad.locked(&site).put(&site, "bad");
    let gatepost = Gatepost::start(site, &conf, &[("up", &up.addr())]);
    assert_eq!(shown(&gatepost, &ca.pem, "good.test"), der(&good));
    gatepost.logs("bad.key");
}

#[test]
fn certificates_of_old_still_serve() {
    let (up, site) = (upstream(), Site::new());
    Pair::version_1(&site, "old.test").put(&site, "old");
    Pair::cn_only(&site, "cn.test").put(&site, "cn");
    let conf = format!(
        "{TO_BACKEND}{}{}",
        server("old.test", "old", ""),
        server("cn.test", "cn", "default_server")
    );
    let gatepost = Gatepost::start(site, &mail(&conf), &[("up", &up.addr())]);
    for name in ["old.test", "cn.test"] {
        let said = openssl(&gatepost, &["-servername", name]);
        assert!(said.contains(&format!("CN = {name}")) && said.contains("a OK"), "{said}");
    }
}

#[test]
fn sessions_are_resumed() {
    let up = upstream();
    let scene = Scene::before(up.addr(), Protocol::Imap, "");
    for version in [&TLS13, &TLS12] {
        let tls = Tls::with(&scene.ca.pem, "mail.test", &[version], &[]);
        let kinds: Vec<_> = (0..3)
            .map(|_| {
                let to = scene.gatepost.tls(Protocol::Imap);
                let mut client = Client::greeted_over(&tls, Protocol::Imap, to);
                client.ask("NOOP").is("OK");
                client.session().handshake_kind().unwrap()
            })
            .collect();
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 2], "{version:?}");
    }
    // A reload does not forget whom it knew.
    let tls = &scene.tls;
    Client::greeted_over(tls, Protocol::Imap, scene.gatepost.tls(Protocol::Imap)).ask("NOOP");
    let conf = scene.gatepost.site.read("conf/gatepost.conf");
    scene.gatepost.reload(&conf, &[], "exited with code 0");
    let client = Client::greeted_over(tls, Protocol::Imap, scene.gatepost.tls(Protocol::Imap));
    assert_eq!(client.session().handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn alpn_names_the_protocol() {
    for (protocol, name, other) in
        [(Protocol::Imap, "imap", "pop3"), (Protocol::Pop3, "pop3", "imap")]
    {
        let up = match protocol {
            Protocol::Imap => upstream(),
            Protocol::Pop3 => FakeUpstream::start(pop3(Manners::pop3())),
        };
        let scene = Scene::before(up.addr(), protocol, "");
        let to = scene.gatepost.tls(protocol);
        let offering =
            |words: &[&str]| Tls::with(&scene.ca.pem, "mail.test", rustls::ALL_VERSIONS, words);
        let client = Client::greeted_over(&offering(&["h2", name]), protocol, to);
        assert_eq!(client.session().alpn_protocol(), Some(name.as_bytes()));
        let client = Client::greeted_over(&offering(&[]), protocol, to);
        assert_eq!(client.session().alpn_protocol(), None);
        // ALPACA: whoever came for another protocol is not served this one.
        let mut talk = Talk::try_connect(None, to).unwrap();
        let refused = talk.try_secure(&offering(&[other])).unwrap_err();
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    }
}

#[test]
fn an_upstreams_certificate_is_checked() {
    let (ca, other) = (Ca::new(), Ca::new());
    let dovecot = Dovecot::start(&other, &[("alice@a.test", "pw")]);
    let to = dovecot.tls(Protocol::Imap);
    let log_in = |scene: &Scene| scene.client().try_log_in(Mechanism::Login, "alice@a.test", "pw");
    let stranger = Scene::by(ca, to, Protocol::Imap, &format!("proxy_ssl on; {TRUSTING}"));
    let end = log_in(&stranger);
    assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    assert!(!dovecot.log().contains("alice"), "the password went to a stranger");

    let site_ca = Ca::new();
    let wrong_name = "proxy_ssl on; proxy_ssl_trusted_certificate @dir@/other.pem;
                      proxy_ssl_name other.test;";
    let conf =
        |tls: &str| mail(&format!("{CERTIFICATE}{TO_BACKEND}{tls}{}", servers(Protocol::Imap)));
    let site = Site::new();
    site.write("other.pem", &other.pem);
    site_ca.ecdsa(&["mail.test"]).put(&site, "mail");
    let gatepost = Gatepost::start(site, &conf(wrong_name), &[("up", &to)]);
    let refused = Client::greeted(Protocol::Imap, gatepost.imap()).try_log_in(
        Mechanism::Login,
        "alice@a.test",
        "pw",
    );
    assert!(refused.starts_with("NO [UNAVAILABLE]"), "{refused}");
    let unchecked = "proxy_ssl on; proxy_ssl_verify off;";
    gatepost.reload(&conf(unchecked), &[("up", &to)], "exited with code 0");
    Client::greeted(Protocol::Imap, gatepost.imap()).log_in(Mechanism::Login, "alice@a.test", "pw");
}

#[test]
fn an_upstream_without_starttls_gets_no_password() {
    for (protocol, up) in
        [(Protocol::Imap, upstream()), (Protocol::Pop3, FakeUpstream::start(pop3(Manners::pop3())))]
    {
        let scene = Scene::before(up.addr(), protocol, &format!("proxy_ssl starttls; {TRUSTING}"));
        let end = scene.client().try_log_in(Mechanism::Login, "bob", "secret");
        assert!(end.contains("[UNAVAILABLE]") || end.contains("[SYS/TEMP]"), "{end}");
        assert!(!up.heard().join("\n").contains("bob"), "{:?}", up.heard());
    }
}

#[test]
fn old_versions_are_refused_and_directives_choose() {
    let up = upstream();
    let scene = Scene::before(up.addr(), Protocol::Imap, "ssl_protocols TLSv1.3;");
    let old = Tls::with(&scene.ca.pem, "mail.test", &[&TLS12], &[]);
    secured(&scene.gatepost, &old).map(drop).unwrap_err();
    let new = Tls::with(&scene.ca.pem, "mail.test", &[&TLS13], &[]);
    secured(&scene.gatepost, &new).map(drop).unwrap();
}
