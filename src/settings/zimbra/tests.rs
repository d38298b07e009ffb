use super::*;
use crate::settings::edit::Scope;
use crate::settings::read::Settings;

const GACF: &str = include_str!("../../../tests/fixtures/zimbra/gacf.txt");
const PROXY: &str = include_str!("../../../tests/fixtures/zimbra/gs-proxy1.txt");
const STORES: &str = include_str!("../../../tests/fixtures/zimbra/gs-stores.txt");
const DOMAINS: &str = include_str!("../../../tests/fixtures/zimbra/gd.txt");

fn planned(texts: &[&str]) -> Plan {
    let entries: Vec<_> = texts.iter().flat_map(|text| read(text)).collect();
    plan(&entries, &Settings::default(), "/p/tls/zimbra")
}

/// What is taken of a level, as `attribute key value`.
fn taken(plan: &Plan, scope: &Scope) -> Vec<String> {
    let own = plan.taken.iter().filter(|taken| taken.scope == *scope);
    own.map(|taken| {
        let value = taken.data.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        format!("{} {} {value}", taken.attribute, taken.key)
    })
    .collect()
}

#[test]
fn entries_are_told_apart() {
    let entries = read(&[DOMAINS, GACF, STORES, PROXY].join("\n"));
    let of = |want: fn(&Of) -> bool| entries.iter().filter(|entry| want(&entry.of)).count();
    assert_eq!(of(|of| matches!(of, Of::Domain(_))), 12);
    assert_eq!(of(|of| matches!(of, Of::Server(_))), 3);
    assert_eq!(of(|of| matches!(of, Of::Site)), 1);
    assert_eq!(entries.len(), 16);
}

#[test]
fn values_go_on_over_lines() {
    let text = "# name a.example\nobjectClass: zimbraDomain\nzimbraNotes: one\n\ntwo: three four five\n\
                six: seven\nb:: aGVs\n bG8=\nzimbraSSLCertificate: -----BEGIN CERTIFICATE-----\n\
                Proc-Type: x\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nBBBB\n\
                -----END CERTIFICATE-----\nc: d\n";
    let [entry] = read(text).try_into().unwrap();
    let value = |name: &str| {
        let found = entry.attributes.iter().find(|(own, _)| own == name);
        found.map(|(_, values)| values.join("|")).unwrap_or_default()
    };
    assert_eq!(entry.of, Of::Domain("a.example".to_owned()));
    assert_eq!(value("b"), "hello");
    assert_eq!(value("six"), "seven");
    assert_eq!(value("c"), "d");
    let pem = value("zimbraSSLCertificate");
    assert!(pem.contains("Proc-Type: x\nAAAA") && pem.ends_with("BBBB\n-----END CERTIFICATE-----"));
    assert!(!format!("{entry:?}").contains("AAAA"));
}

#[test]
fn a_site_is_taken_over() {
    let plan = planned(&[DOMAINS, PROXY, STORES, GACF]);
    let site = taken(&plan, &Scope::Global);
    for row in [
        "zimbraIPMode main.ip_mode both",
        "zimbraReverseProxyAuthWaitInterval mail.auth_wait 5s",
        "zimbraReverseProxyIPLoginLimitTime throttle.ip.ttl 30m",
        "zimbraReverseProxyIPThrottleWhitelist throttle.whitelist 10.0.0.0/8 192.0.2.7",
        "zimbraReverseProxyLogLevel log.level debug",
        "zimbraReverseProxyIpThrottleMsg throttle.ip.message Too many connections, try again later",
        "zimbraDefaultDomainName mail.default_domain example.com",
        "zimbraReverseProxyWorkerProcesses main.workers 8",
    ] {
        assert!(site.iter().any(|own| own == row), "{row}: {site:#?}");
    }
    // 143 is the default, and the servers say the site's level again.
    assert!(!site.iter().any(|row| row.starts_with("zimbraImapProxyBindPort")), "{site:?}");
    assert_eq!(
        taken(&plan, &Scope::Server("proxy1.example.com".to_owned())),
        [
            "zimbraMemcachedBindAddress memcache.address 10.0.0.21",
            "zimbraReverseProxyWorkerProcesses main.workers 4",
            "zimbraServiceEnabled memcache.here on",
            "zimbraServiceHostname main.hostname proxy1.example.com",
        ]
    );
    let store = taken(&plan, &Scope::Server("store1.example.com".to_owned()));
    assert!(
        store.contains(&"zimbraReverseProxyLookupTarget lookup.target on".to_owned()),
        "{store:?}"
    );
    assert!(store.contains(&"zimbraImapBindPort upstream.imap.port 7144".to_owned()), "{store:?}");
    let domain = taken(&plan, &Scope::Domain("customer1.example".to_owned()));
    assert_eq!(
        domain,
        [
            "zimbraReverseProxyClientCertCA client_certificate_ca /p/tls/zimbra/customer1.example.client-ca.crt",
            "zimbraReverseProxyClientCertMode client_certificate_mode optional",
            "zimbraSSLCertificate tls.certificate /p/tls/zimbra/customer1.example.crt",
            "zimbraSSLPrivateKey tls.key /p/tls/zimbra/customer1.example.key",
            "zimbraVirtualHostname virtual_hosts mail.customer1.example",
        ]
    );
    assert_eq!(plan.files.len(), 23, "{:?}", plan.files);
    // One is in base64, as LDIF has it.
    assert!(plan.files.iter().all(|file| {
        file.content.starts_with("-----BEGIN ") && file.content.trim_end().ends_with("-----")
    }));
    assert!(plan.same > 20 && plan.others > 40, "{} {}", plan.same, plan.others);
}

#[test]
fn what_is_left_says_why_and_no_value() {
    let secret = "ldap_nginx_password: planted-secret\nzimbraReverseProxyWorkerProcesses: many\n\
                  zimbraReverseProxyNew: planted-secret\nzimbraSSLPrivateKey: planted-secret\n";
    let plan = planned(&[GACF, DOMAINS, secret]);
    let left: Vec<_> = plan
        .left
        .iter()
        .map(|left| format!("{} {} {}", left.of, left.attribute, left.why))
        .collect();
    for row in [
        "site zimbraReverseProxyDomainNameAttribute gatepost has nothing like it",
        "site zimbraReverseProxySSLProtocols tls.protocols is one of TLSv1.3, TLSv1.2, TLSv1.1, TLSv1, not \"SSLv3\"; did you mean \"TLSv1\"?",
        "site ldap_nginx_password it is a secret: write it into a file (mode 0600) and set lookup.master.password_file",
        "site zimbraReverseProxyWorkerProcesses main.workers is a number from 1 to 1024, not \"many\"",
        "site zimbraSSLPrivateKey it is not in PEM",
        "customer2.example zimbraReverseProxyUseExternalRoute gatepost has nothing like it",
    ] {
        let row = row.split("; did").next().unwrap();
        assert!(left.iter().any(|own| own.starts_with(row)), "{row}: {left:#?}");
    }
    assert!(!format!("{plan:?}").contains("planted-secret"), "{plan:?}");
}

#[test]
fn names_that_are_no_hosts_lead_nowhere() {
    for name in ["../../etc", "a/b", "", "a b"] {
        let text = format!(
            "# name {name}\nobjectClass: zimbraDomain\nzimbraSSLCertificate: -----BEGIN X\n-----END X\n"
        );
        let plan = planned(&[&text]);
        assert!(plan.files.is_empty() && plan.taken.is_empty(), "{plan:?}");
        assert_eq!(plan.left.len(), 1, "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn any_output_is_read(text in "(# name [a-z.]{0,6}\n|zimbraSSLPrivateKey:{1,2} [a-zA-Z=]{0,6}\n|-----(BEGIN|END) X\n|objectClass: zimbra(Server|Domain)\n|[ -~]{0,9}\n|\n){0,12}") {
        hold_for_any(text.as_bytes());
    }
}
