//! Clients' certificates: who is sent away and in which words, what the lookup is told, and who is
//! let in by one.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::dialog::{Dialog, Tongue};
use crate::scripted::welcoming;
use crate::support::{
    Asked, Ca, FakeLookup, Gatepost, Pair, Protocol, Site, Tls, Waiting, answer, encoded, mail,
    run, until,
};
use crate::tls::{der, shown};

/// Who signs clients' certificates, with an authority below it, and one below that.
struct Clients {
    root: Authority,
    middle: Authority,
    low: Authority,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str, above: Option<&Self>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = match above {
            None => params.self_signed(&key).unwrap().pem(),
            Some(above) => params.signed_by(&key, &above.issuer).unwrap().pem(),
        };
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// A list that revokes the certificates of these numbers.
    fn revokes(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4096, 1, 1),
            crl_number: SerialNumber::from(1 + serials.len() as u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A client's certificate of that name and number.
fn named(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(serial));
    params.use_authority_key_identifier_extension = true;
    params
}

impl Clients {
    fn new() -> Self {
        let root = Authority::new("clients", None);
        let middle = Authority::new("clients' middle", Some(&root));
        let low = Authority::new("clients' low", Some(&middle));
        Self { root, middle, low }
    }

    /// What a client may show.
    fn shows(&self, case: Case) -> Option<Pair> {
        let params = named("alice", 7);
        Some(match case {
            Case::None => return None,
            Case::Good => self.root.signs(&params),
            Case::Revoked => self.root.signs(&named("alice", REVOKED)),
            Case::Expired => {
                let mut params = params;
                params.not_after = date_time_ymd(2020, 1, 1);
                self.root.signs(&params)
            }
            Case::SelfSigned => {
                let key = KeyPair::generate().unwrap();
                let cert = params.self_signed(&key).unwrap().pem();
                Pair { cert, key: key.serialize_pem() }
            }
            Case::Unknown => Authority::new("somebody", None).signs(&params),
            Case::TooDeep => {
                let mut pair = self.low.signs(&params);
                pair.cert += &self.low.pem;
                pair.cert += &self.middle.pem;
                pair
            }
        })
    }
}

const REVOKED: u64 = 66;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    None,
    Good,
    Expired,
    SelfSigned,
    Unknown,
    TooDeep,
    Revoked,
}

impl Case {
    const ALL: [Self; 7] = [
        Self::None,
        Self::Good,
        Self::Expired,
        Self::SelfSigned,
        Self::Unknown,
        Self::TooDeep,
        Self::Revoked,
    ];

    /// What nginx logs of it; none: there is nothing wrong.
    fn fault(self) -> Option<&'static str> {
        Some(match self {
            Self::None | Self::Good => return None,
            Self::Expired => "(10:certificate has expired)",
            Self::SelfSigned => "(18:self-signed certificate)",
            Self::Unknown => "(21:unable to verify the first certificate)",
            Self::TooDeep => "(20:unable to get local issuer certificate)",
            Self::Revoked => "(23:certificate revoked)",
        })
    }

    fn is_barred(self, verify: &str) -> bool {
        match (verify, self) {
            ("off", _) | (_, Self::Good) => false,
            (_, Self::None) => verify == "on",
            // Only that nobody stands behind it is passed over.
            ("optional_no_ca", _) => matches!(self, Self::Expired | Self::Revoked),
            _ => true,
        }
    }
}

/// A client that trusts `ca`, and shows `pair` where it is asked for a certificate.
fn showing(ca: &str, pair: Option<&Pair>) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match pair {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    config.resumption = Resumption::disabled();
    Tls { config: Arc::new(config), name: "mail.test".to_owned() }
}

/// A site with a certificate for `mail.test`, and the files of `clients`.
fn site(ca: &Ca, clients: &Clients) -> Site {
    let site = Site::new();
    ca.ecdsa(&["mail.test"]).put(&site, "mail");
    site.write("clients.pem", &clients.root.pem);
    site.write("clients.crl", clients.root.revokes(&[REVOKED]));
    site
}

const FILES: &str = "ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;
                     ssl_client_certificate @dir@/clients.pem;";

const MODES: [&str; 4] = ["off", "on", "optional", "optional_no_ca"];

/// The ports of one mode: in the clear and over TLS, without and with revocation lists.
fn port(mode: usize, over_tls: bool, with_crl: bool) -> u16 {
    11_000 + 4 * mode as u16 + 2 * u16::from(over_tls) + u16::from(with_crl)
}

fn refusal(tongue: Tongue, case: Case) -> &'static str {
    match (tongue, case) {
        (Tongue::Imap, Case::None) => "* BYE No required SSL certificate",
        (Tongue::Imap, _) => "* BYE SSL certificate error",
        (Tongue::Pop3, Case::None) => "-ERR No required SSL certificate",
        (Tongue::Pop3, _) => "-ERR SSL certificate error",
        (Tongue::Smtp, Case::None) => "421 4.7.1 No required SSL certificate",
        (Tongue::Smtp, _) => "421 4.7.1 SSL certificate error",
        (Tongue::Sieve, Case::None) => "BYE \"No required SSL certificate\"",
        (Tongue::Sieve, _) => "BYE \"SSL certificate error\"",
    }
}

/// Every certificate, in every mode, by both ways into TLS.
fn is_judged(tongue: Tongue) {
    let (ca, clients) = (Ca::new(), Clients::new());
    let name = tongue.name();
    let servers: String = (0..MODES.len())
        .flat_map(|mode| [(mode, false), (mode, true)])
        .map(|(mode, with_crl)| {
            let crl = if with_crl { "ssl_crl @dir@/clients.crl;" } else { "" };
            let [clear, tls] = [false, true].map(|tls| port(mode, tls, with_crl));
            let verify = MODES[mode];
            format!(
                "server {{ listen @ip@:{clear}; protocol {name}; starttls on;
                           ssl_verify_client {verify}; {crl} }}
                 server {{ listen @ip@:{tls} ssl; protocol {name};
                           ssl_verify_client {verify}; {crl} }}\n"
            )
        })
        .collect();
    let conf = mail(&format!("{FILES} auth_http 127.0.0.1:1; {servers}"));
    let gatepost = Gatepost::start(site(&ca, &clients), &conf, &[]);
    for case in Case::ALL {
        let tls = showing(&ca.pem, clients.shows(case).as_ref());
        for (mode, over_tls) in (0..MODES.len()).flat_map(|mode| [(mode, false), (mode, true)]) {
            let to = (gatepost.site.ip, port(mode, over_tls, case == Case::Revoked)).into();
            let verify = MODES[mode];
            let mut client = if over_tls {
                Dialog::connect(tongue, to, Some(&tls))
            } else {
                let mut client = Dialog::greeted(tongue, to);
                client.start_tls(&tls);
                client
            };
            if case.is_barred(verify) {
                let said = client.line();
                assert_eq!(said, refusal(tongue, case), "{case:?} {verify}");
                client.hears_the_end();
                let doing =
                    if over_tls { "while SSL handshaking" } else { "while in starttls state" };
                let words = match case.fault() {
                    Some(fault) => format!("client SSL certificate verify error: {fault} {doing}"),
                    None => format!("client sent no required SSL certificate {doing}"),
                };
                let line = gatepost.logs(&words);
                assert!(line.contains("[info]") && line.contains("client: 127."), "{line}");
                continue;
            }
            if over_tls {
                client.after_greeting();
            } else if tongue == Tongue::Sieve {
                let end = client.lines().pop().unwrap();
                assert!(end.starts_with("OK"), "{case:?} {verify}: {end}");
            } else {
                let end = client.ask("NOOP").pop().unwrap();
                let is_served =
                    ["OK", "+OK", "250", "-ERR"].iter().any(|good| end.starts_with(good));
                assert!(is_served && !end.contains("cert"), "{case:?} {verify}: {end}");
            }
        }
    }
    gatepost.quit();
}

#[test]
fn each_imap_certificate_is_judged_as_its_server_says() {
    is_judged(Tongue::Imap);
}

#[test]
fn each_pop3_certificate_is_judged_as_its_server_says() {
    is_judged(Tongue::Pop3);
}

#[test]
fn each_smtp_certificate_is_judged_as_its_server_says() {
    is_judged(Tongue::Smtp);
}

#[test]
fn each_sieve_certificate_is_judged_as_its_server_says() {
    is_judged(Tongue::Sieve);
}

fn towards(to: SocketAddr, more: &[(&str, &str)]) -> String {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let mut headers = vec![("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)];
    headers.extend_from_slice(more);
    answer(&headers)
}

/// IMAP over TLS that asks for certificates, `more` in its `mail` block.
fn asking(ca: &Ca, clients: &Clients, more: &str, values: &[(&str, &dyn ToString)]) -> Gatepost {
    let conf = mail(&format!(
        "{FILES} ssl_verify_client optional; {more}
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}"
    ));
    Gatepost::start(site(ca, clients), &conf, values)
}

fn dialog(gatepost: &Gatepost, tls: &Tls) -> Dialog {
    Dialog::greeted_over(tls, Tongue::Imap, gatepost.tls(Protocol::Imap))
}

fn openssl(site: &Site, words: &[&str]) -> String {
    run(Command::new("openssl").args(words).current_dir(site.dir()), "").worked().out
}

/// `%xx` undone.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap().as_bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_lookup_is_told_of_a_certificate_in_openssls_words() {
    let (ca, clients, up) = (Ca::new(), Clients::new(), welcoming(Tongue::Imap));
    let lookup = FakeLookup::to(up.addr());
    let mut params = named("Zo\u{eb}, M\u{fc}ller \"+\" <x>", 0x00c0_ffee);
    params.distinguished_name.push(DnType::OrganizationName, " A+B; C=D\\E #");
    params.distinguished_name.push(DnType::CountryName, "DE");
    let pair = clients.root.signs(&params);
    let to: [(&str, &dyn ToString); 1] = [("lookup", &lookup.addr())];
    for pass in ["off", "on"] {
        let more = format!("auth_http @lookup@/; auth_http_pass_client_cert {pass};");
        let gatepost = asking(&ca, &clients, &more, &to);
        dialog(&gatepost, &showing(&ca.pem, Some(&pair))).log_in("bob", "pw");
        let asked = lookup.asked().pop().unwrap();
        let site = &gatepost.site;
        site.write("client.pem", &pair.cert);
        let says = |what: &[&str]| {
            let said = openssl(site, &[&["x509", "-noout", "-in", "client.pem"], what].concat());
            said.trim_end().split_once('=').unwrap().1.to_owned()
        };
        let fingerprint = says(&["-fingerprint", "-sha1"]).replace(':', "").to_ascii_lowercase();
        for (header, want) in [
            ("Auth-SSL-Verify", "SUCCESS".to_owned()),
            ("Auth-SSL-Subject", says(&["-subject", "-nameopt", "RFC2253"])),
            ("Auth-SSL-Issuer", says(&["-issuer", "-nameopt", "RFC2253"])),
            ("Auth-SSL-Serial", says(&["-serial"])),
            ("Auth-SSL-Fingerprint", fingerprint),
        ] {
            assert_eq!(asked.get(header), want, "{header}");
        }
        assert!(asked.get("Auth-SSL-Subject").contains("Zo\\C3\\AB\\, M"), "{asked:?}");
        let passed = unescaped(asked.get("Auth-SSL-Cert"));
        let want = if pass == "on" { pair.cert.replace("\r\n", "\n") } else { String::new() };
        assert_eq!(passed, want);
        drop(gatepost);
    }
    // Who shows none is told of as such; where nobody is asked, nothing is told.
    let gatepost = asking(&ca, &clients, "auth_http @lookup@/;", &to);
    dialog(&gatepost, &showing(&ca.pem, None)).log_in("bob", "pw");
    let asked = lookup.asked().pop().unwrap();
    assert_eq!(asked.get("Auth-SSL-Verify"), "NONE");
    assert_eq!(asked.get("Auth-SSL-Subject"), "");
}

#[test]
fn the_lookup_is_told_what_is_wrong_where_that_is_passed_over() {
    let (ca, clients, up) = (Ca::new(), Clients::new(), welcoming(Tongue::Imap));
    let lookup = FakeLookup::to(up.addr());
    let conf = mail(&format!(
        "{FILES} ssl_verify_client optional_no_ca; auth_http @lookup@/;
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}"
    ));
    let gatepost = Gatepost::start(site(&ca, &clients), &conf, &[("lookup", &lookup.addr())]);
    let pair = clients.shows(Case::SelfSigned);
    dialog(&gatepost, &showing(&ca.pem, pair.as_ref())).log_in("bob", "pw");
    let asked = lookup.asked().pop().unwrap();
    assert_eq!(asked.get("Auth-SSL-Verify"), "FAILED:self-signed certificate");
    assert_eq!(asked.get("Auth-SSL-Subject"), "CN=alice");
}

/// openssl as a client that keeps its session in `file`, or comes back with it.
struct Openssl<'a> {
    gatepost: &'a Gatepost,
    port: u16,
    version: &'a str,
}

impl Openssl<'_> {
    fn says(&self, words: &[&str]) -> String {
        let to = format!("{}:{}", self.gatepost.site.ip, self.port);
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &to, "-servername", "mail.test", self.version]);
        openssl.args(["-ign_eof"]).args(words).current_dir(self.gatepost.site.dir());
        run(&mut openssl, "a LOGOUT\r\n").said()
    }
}

#[test]
fn a_session_of_a_server_that_does_not_ask_is_none_with_one_that_does() {
    let (ca, clients, up) = (Ca::new(), Clients::new(), welcoming(Tongue::Imap));
    let conf = mail(&format!(
        "{FILES} ssl_session_cache shared:all:1m; route {{ default @up@; }}
         server {{ listen @ip@:11001 ssl; protocol imap; }}
         server {{ listen @ip@:11002 ssl; protocol imap; ssl_verify_client on; }}"
    ));
    for tickets in ["on", "off"] {
        let conf = conf.replace("route {", &format!("ssl_session_tickets {tickets}; route {{"));
        let gatepost = Gatepost::start(site(&ca, &clients), &conf, &[("up", &up.addr())]);
        for version in ["-tls1_2", "-tls1_3"] {
            let [open, asks] =
                [11_001, 11_002].map(|port| Openssl { gatepost: &gatepost, port, version });
            open.says(&["-sess_out", "session"]);
            let again = open.says(&["-sess_in", "session"]);
            assert!(again.contains("Reused, TLSv1."), "{tickets} {again}");
            let elsewhere = asks.says(&["-sess_in", "session"]);
            assert!(elsewhere.contains("New, TLSv1."), "{tickets} {elsewhere}");
            assert!(elsewhere.contains("* BYE No required SSL certificate"), "{elsewhere}");
        }
        gatepost.quit();
    }
}

#[test]
fn a_resumed_client_is_judged_by_todays_lists() {
    let (ca, clients, up) = (Ca::new(), Clients::new(), welcoming(Tongue::Imap));
    let conf = mail(&format!(
        "{FILES} ssl_session_cache shared:all:1m; route {{ default @up@; }}
         ssl_crl @dir@/clients.crl; ssl_verify_client on;
         server {{ listen @ip@:@imaps@ ssl; protocol imap; }}"
    ));
    let gatepost = Gatepost::start(site(&ca, &clients), &conf, &[("up", &up.addr())]);
    let site = &gatepost.site;
    clients.shows(Case::Good).unwrap().put(site, "alice");
    let port = gatepost.tls(Protocol::Imap).port();
    let versions = ["-tls1_2", "-tls1_3"];
    for version in versions {
        let client = Openssl { gatepost: &gatepost, port, version };
        let said = client.says(&["-cert", "alice.pem", "-key", "alice.key", "-sess_out", version]);
        assert!(said.contains("a OK"), "{said}");
        let said = client.says(&["-sess_in", version]);
        assert!(said.contains("Reused, TLSv1.") && said.contains("a OK"), "{said}");
    }
    // Renamed into place, and nobody is told.
    site.write("new.crl", clients.root.revokes(&[REVOKED, 7]));
    fs::rename(site.path("new.crl"), site.path("clients.crl")).unwrap();
    for version in versions {
        let client = Openssl { gatepost: &gatepost, port, version };
        let patience = std::time::Duration::from_secs(70);
        let said = Waiting::new(patience).until("the client is sent away", || {
            let said = client.says(&["-sess_in", version]);
            (!said.contains("a OK")).then_some(said)
        });
        assert!(said.contains("* BYE SSL certificate error"), "{said}");
    }
    gatepost.logs("client SSL certificate verify error: (23:certificate revoked) while");
}

#[test]
fn a_locked_key_is_opened_and_a_wrong_phrase_changes_nothing() {
    let (ca, up, site) = (Ca::new(), welcoming(Tongue::Imap), Site::new());
    let locked = ca.ecdsa(&["mail.test"]).locked(&site);
    locked.put(&site, "mail");
    site.write("phrases", "not this one\nsecret\n");
    let conf = mail(
        "ssl_certificate @dir@/mail.pem; ssl_certificate_key @dir@/mail.key;
         ssl_password_file @dir@/phrases; route { default @up@; }
         server { listen @ip@:@imaps@ ssl; protocol imap; }",
    );
    let gatepost = Gatepost::start(site, &conf, &[("up", &up.addr())]);
    assert_eq!(shown(&gatepost, &ca.pem, "mail.test"), der(&locked));
    // Another key, and nobody who can open it.
    let site = &gatepost.site;
    let other = ca.ecdsa(&["mail.test"]).locked(site);
    other.put(site, "mail");
    site.write("phrases", "not this one\nmellon\n");
    gatepost.reload(&conf, &[("up", &up.addr())], "exited with code 0");
    gatepost.logs("no pass phrase in");
    assert_eq!(shown(&gatepost, &ca.pem, "mail.test"), der(&locked));
    // The right one, at last.
    site.write("phrases", "secret\n");
    gatepost.signal(nix::sys::signal::Signal::SIGHUP);
    until("the new certificate", || {
        (shown(&gatepost, &ca.pem, "mail.test") == der(&other)).then_some(())
    });
    let log = gatepost.error_log() + &site.read("logs/stderr");
    for phrase in ["mellon", "not this one", "secret\n", "\"secret\""] {
        assert!(!log.contains(phrase), "{phrase}: {log}");
    }
}

#[test]
fn external_tells_the_lookup_whose_certificate_it_is() {
    let (ca, clients, up) = (Ca::new(), Clients::new(), welcoming(Tongue::Imap));
    let to = up.addr();
    let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-User") {
        "nobody" => answer(&[("Auth-Status", "no such user"), ("Auth-Wait", "1")]),
        "poor" => towards(to, &[]),
        _ => towards(to, &[("Auth-Pass", "handed over")]),
    });
    let more = "auth_http @lookup@/; imap_auth plain external;";
    let gatepost = asking(&ca, &clients, more, &[("lookup", &lookup.addr())]);
    // A mail address among the alternative names goes before the common name.
    let mut params = named("Alice", 8);
    params.subject_alt_names = vec![SanType::Rfc822Name("alice@a.test".try_into().unwrap())];
    for (params, want) in [(named("alice", 7), "alice"), (params, "alice@a.test")] {
        let tls = showing(&ca.pem, Some(&clients.root.signs(&params)));
        for initial in [None, Some(&b""[..])] {
            let mut client = dialog(&gatepost, &tls);
            assert!(client.offers().contains("AUTH=EXTERNAL"));
            let end = match initial {
                Some(empty) => client.auth("EXTERNAL", Some(empty)),
                None => {
                    assert_eq!(client.auth("EXTERNAL", None).challenge(), "");
                    client.answer("")
                }
            };
            assert!(end.end().starts_with("OK"));
            let asked = lookup.asked().pop().unwrap();
            assert_eq!((asked.get("Auth-Method"), asked.get("Auth-User")), ("external", want));
            assert_eq!((asked.get("Auth-Pass"), asked.get("Auth-SSL-Verify")), ("", "SUCCESS"));
            up.hears(&encoded(&format!("\0{want}\0handed over")));
        }
    }
    let tls = showing(&ca.pem, clients.shows(Case::Good).as_ref());
    for (user, words) in [("nobody", "no such user"), ("poor", "[SERVERBUG]")] {
        let end = dialog(&gatepost, &tls).auth("EXTERNAL", Some(user.as_bytes())).end();
        assert!(end.starts_with("NO ") && end.contains(words), "{user}: {end}");
    }
    gatepost.logs("did not send password");
    // Without a certificate it is neither offered nor taken.
    let mut client = dialog(&gatepost, &showing(&ca.pem, None));
    assert!(!client.offers().contains("EXTERNAL"));
    let before = lookup.asked().len();
    let end = client.auth("EXTERNAL", Some(b"alice")).end();
    assert!(end.starts_with("NO [CANNOT]"), "{end}");
    assert_eq!(lookup.asked().len(), before);
}

#[test]
fn by_the_table_a_certificate_opens_its_own_mailbox_and_no_other() {
    for tongue in Tongue::ALL {
        let (ca, clients, up) = (Ca::new(), Clients::new(), welcoming(tongue));
        let name = tongue.name();
        let conf = mail(&format!(
            "{FILES} ssl_verify_client optional_no_ca; route {{ default @up@; }}
             {name}_auth plain external;
             proxy_master_user gate; proxy_master_password_file @dir@/master;
             server {{ listen @ip@:@imaps@ ssl; protocol {name}; }}"
        ));
        let site = site(&ca, &clients);
        site.write("master", "mellon\n");
        let gatepost = Gatepost::start(site, &conf, &[("up", &up.addr())]);
        let as_name = |case, name: &str| {
            let tls = showing(&ca.pem, clients.shows(case).as_ref());
            let mut client = Dialog::greeted_over(&tls, tongue, gatepost.tls(Protocol::Imap));
            client.auth("EXTERNAL", Some(name.as_bytes())).end()
        };
        for name in ["", "alice"] {
            let end = as_name(Case::Good, name);
            assert!(end.starts_with(tongue.welcome()), "{tongue:?} {name}: {end}");
            up.hears(&encoded("alice\0gate\0mellon"));
        }
        let before = up.accepted();
        for name in ["bob", "gate", "Alice", "alice*gate", "alice@a.test"] {
            let end = as_name(Case::Good, name);
            let refusals = [
                "NO [AUTHORIZATIONFAILED]",
                "-ERR [AUTH]",
                "535 5.7.1",
                "NO \"login not allowed\"",
            ];
            let is_refused = refusals.iter().any(|words| end.starts_with(words));
            assert!(is_refused, "{tongue:?} {name}: {end}");
        }
        // Whoever signed it himself is nobody.
        let end = as_name(Case::SelfSigned, "alice");
        assert!(!end.starts_with(tongue.welcome()), "{tongue:?}: {end}");
        assert_eq!(up.accepted(), before);
    }
}
