use std::sync::Arc;

use rcgen::CustomExtension;
use rustls::client::Resumption;
use rustls::{ClientConfig, SupportedProtocolVersion, version};

use super::*;
use crate::tls::certs::Files;
use crate::tls::clients::trust::Sources;
use crate::tls::clients::{Bar, Client, MOST_BYTES, Verify};
use crate::tls::directives::{SessionCache, Settings};
use crate::tls::error::Error;
use crate::tls::provider;
use crate::tls::server::{Config, Shared};
use crate::tls::support::{serving_with, shake};
use crate::tls::verify::Anyone;

/// A server and those it knows.
struct Site {
    desk: Desk,
    files: Files,
    shared: Shared,
    root: Made,
    other: Made,
}

impl Site {
    fn new() -> Self {
        let desk = Desk::new();
        let files = desk.make("a", "a.example");
        let (root, other) = (authority("root", None), authority("other", None));
        write_all(&desk, "root.crt", &[&root]);
        desk.write("root.crl", root.crl(&["bad"], |_| {}));
        Self { desk, files, shared: Shared::new(), root, other }
    }

    fn settings(&self, verify: Verify) -> Settings {
        let client_trust = Sources {
            told: Some(self.desk.path("root.crt")),
            untold: None,
            crls: Some(self.desk.path("root.crl")),
        };
        Settings { verify_client: verify, client_trust, ..Settings::default() }
    }

    fn serving(&self, settings: &Settings) -> Arc<Config> {
        serving_with(settings, std::slice::from_ref(&self.files), &[], &self.shared)
    }
}

/// Shows `chain`, or nothing.
fn client(version: &'static SupportedProtocolVersion, chain: &[&Made]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    let mut config = match chain.first() {
        Some(leaf) => {
            let chain = chain.iter().map(|each| each.der.clone()).collect();
            builder.with_client_auth_cert(chain, leaf.private()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// What the server makes of `client`, and whether it knew it.
async fn meet(client: &Arc<ClientConfig>, config: &Arc<Config>) -> (Client, bool) {
    let (seen, accepted) = shake(client, "a.example", |_| Some(config.clone())).await;
    let accepted = accepted.unwrap();
    assert_eq!(seen.unwrap().resumed, accepted.resumed, "the handshake is whole");
    (accepted.client, accepted.resumed)
}

fn bar(client: &Client) -> String {
    match client.bar() {
        None => "in".to_owned(),
        Some(Bar::NoCertificate) => "none".to_owned(),
        Some(Bar::BadCertificate(why)) => why,
    }
}

#[tokio::test]
async fn the_mode_decides_who_may_stay_and_a_resumed_session_changes_nothing() {
    const TRUST: &str = "(21:unable to verify the first certificate)";
    const OWN: &str = "(18:self-signed certificate)";
    const TIME: &str = "(10:certificate has expired)";
    const REVOKED: &str = "(23:certificate revoked)";
    const DEPTH: &str = "(20:unable to get local issuer certificate)";
    let mut site = Site::new();
    let (one, none) = (authority("one", Some(&site.root)), authority("none", None));
    let two = authority("two", Some(&one));
    let lists = site.root.crl(&["bad"], |_| {}) + &one.crl(&[], |_| {}) + &two.crl(&[], |_| {});
    site.desk.write("root.crl", lists);
    let root = &site.root;
    let good = make("good", Some(root), numbered("good"));
    let late = make("late", Some(root), expired);
    let own = make("own", None, |_| {});
    let unknown = leaf("unknown", &none);
    let bad = make("bad", Some(root), numbered("bad"));
    let deep = leaf("deep", &two);
    for (name, chain, verify, on, optional, no_ca) in [
        ("none", vec![], "NONE", "none", "in", "in"),
        ("good", vec![&good], "SUCCESS", "in", "in", "in"),
        ("late", vec![&late], "FAILED:certificate has expired", TIME, TIME, TIME),
        ("bad", vec![&bad], "FAILED:certificate revoked", REVOKED, REVOKED, REVOKED),
        (
            "unknown",
            vec![&unknown],
            "FAILED:unable to verify the first certificate",
            TRUST,
            TRUST,
            "in",
        ),
    ] {
        for (mode, want) in
            [(Verify::On, on), (Verify::Optional, optional), (Verify::OptionalNoCa, no_ca)]
        {
            let config = site.serving(&site.settings(mode));
            for version in [&version::TLS12, &version::TLS13] {
                let client = client(version, &chain);
                for resumed in [false, true] {
                    let (found, was_known) = meet(&client, &config).await;
                    assert_eq!(was_known, resumed, "{name} {mode:?} {version:?}");
                    assert_eq!(bar(&found), want, "{name} {mode:?} {version:?} {resumed}");
                    assert_eq!(found.told().unwrap().verify, verify);
                    let is_good = verify == "SUCCESS";
                    assert_eq!(found.name().as_deref(), is_good.then_some(&b"good"[..]));
                }
            }
        }
    }
    // Without lists of their own, these are about trust alone.
    site.shared = Shared::new();
    for (chain, want) in [(vec![&own], OWN), (vec![&deep, &two, &one], DEPTH)] {
        for (mode, want) in
            [(Verify::On, want), (Verify::Optional, want), (Verify::OptionalNoCa, "in")]
        {
            let mut settings = site.settings(mode);
            settings.client_trust.crls = None;
            let config = site.serving(&settings);
            let (found, _) = meet(&client(&version::TLS13, &chain), &config).await;
            assert_eq!((bar(&found), found.name()), (want.to_owned(), None), "{mode:?}");
        }
    }
    // Whoever is not asked shows nothing.
    let config = site.serving(&Settings::default());
    let (found, _) = meet(&client(&version::TLS13, &[&good]), &config).await;
    assert!(matches!(found, Client::Unasked) && found.bar().is_none() && found.told().is_none());
}

#[tokio::test]
async fn a_session_is_judged_by_what_holds_today() {
    let site = Site::new();
    let config = site.serving(&site.settings(Verify::On));
    let good = make("good", Some(&site.root), numbered("good"));
    for version in [&version::TLS12, &version::TLS13] {
        let client = client(version, &[&good]);
        site.desk.write("root.crl", site.root.crl(&[], |_| {}));
        site.shared.refresh();
        let (found, _) = meet(&client, &config).await;
        assert_eq!(bar(&found), "in");
        site.desk.write("root.crl", site.root.crl(&["good"], |_| {}));
        assert_eq!(site.shared.refresh().len(), 1);
        let (found, resumed) = meet(&client, &config).await;
        assert_eq!((bar(&found).as_str(), resumed), ("(23:certificate revoked)", true));
    }
}

#[tokio::test]
async fn nobody_is_carried_from_where_certificates_are_not_asked_for() {
    let site = Site::new();
    let good = leaf("good", &site.root);
    let cache = SessionCache::Shared { name: "SSL".to_owned(), bytes: 1 << 20 };
    for session_tickets in [true, false] {
        let with = |verify| Settings {
            session_cache: cache.clone(),
            session_tickets,
            ..site.settings(verify)
        };
        let off = site.serving(&with(Verify::Off));
        let on = site.serving(&with(Verify::On));
        let optional = site.serving(&with(Verify::Optional));
        for version in [&version::TLS12, &version::TLS13] {
            for (first, second) in [(&off, &on), (&on, &off), (&optional, &on)] {
                let client = client(version, &[&good]);
                meet(&client, first).await;
                assert!(!meet(&client, second).await.1, "{version:?} {session_tickets}");
            }
            let client = client(version, &[&good]);
            let again = site.serving(&with(Verify::On));
            meet(&client, &on).await;
            assert!(meet(&client, &again).await.1, "the next generation");
        }
    }
}

#[tokio::test]
async fn only_some_names_are_told() {
    let site = Site::new();
    write_all(&site.desk, "both.crt", &[&site.root, &site.root]);
    write_all(&site.desk, "other.crt", &[&site.other]);
    let mut settings = site.settings(Verify::Optional);
    settings.client_trust = Sources {
        told: Some(site.desk.path("both.crt")),
        untold: Some(site.desk.path("other.crt")),
        crls: None,
    };
    let config = site.serving(&settings);
    for made in [leaf("client", &site.root), leaf("client", &site.other)] {
        let (found, _) = meet(&client(&version::TLS13, &[&made]), &config).await;
        assert_eq!(found.told().unwrap().verify, "SUCCESS");
    }
    let clients = site.shared.clients(&settings).unwrap().0;
    let hints: Vec<_> =
        clients.asking().root_hint_subjects().iter().map(|name| name.as_ref().to_vec()).collect();
    let (_, root) = x509_parser::parse_x509_certificate(&site.root.der).unwrap();
    assert_eq!(hints, [root.subject().as_raw()]);
}

#[tokio::test]
async fn a_key_must_be_at_hand_and_a_chain_bounded() {
    let site = Site::new();
    let config = site.serving(&site.settings(Verify::OptionalNoCa));
    let (good, thief) = (leaf("good", &site.root), leaf("thief", &site.root));
    let stolen = Made { key: thief.key, ..good };
    let long = |bytes: usize| {
        make("long", Some(&site.root), |params| {
            let fill = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![4; bytes]);
            params.custom_extensions = vec![fill];
        })
    };
    for version in [&version::TLS12, &version::TLS13] {
        // rustls would not sign with a key that does not fit, so it is told that it does.
        let key = provider().key_provider.load_private_key(stolen.private()).unwrap();
        let certified = rustls::sign::CertifiedKey::new(vec![stolen.der.clone()], key);
        let mut config_of_thief = ClientConfig::clone(&client(version, &[]));
        config_of_thief.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        let too_long = client(version, &[&long(MOST_BYTES)]);
        for client in [Arc::new(config_of_thief), too_long] {
            let (_, accepted) = shake(&client, "a.example", |_| Some(config.clone())).await;
            assert!(matches!(accepted, Err(Error::Misbehaved(_))), "{accepted:?}");
        }
        // A ticket would be too large for this one, so there is none.
        let client = client(version, &[&long(MOST_BYTES - 2000)]);
        for _ in 0..2 {
            let (found, resumed) = meet(&client, &config).await;
            assert!(found.told().is_some() && !resumed);
        }
    }
}
