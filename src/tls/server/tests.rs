use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, version};
use tokio::io::{AsyncReadExt, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::certs::Store;
use crate::tls::names::Names;
use crate::tls::provider;
use crate::tls::suites::Protocols;
use crate::tls::support::{Desk, client, identity, serving, serving_with, shake, shortly, soon};
use crate::tls::verify::Anyone;

#[tokio::test]
async fn the_name_asked_for_decides_on_the_certificate() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let mut names = Names::default();
    let mut all = Vec::new();
    for own in ["a.example", "*.b.example", "c.example"] {
        let files = desk.make(&own.replace('*', "w"), own);
        let config = serving(std::slice::from_ref(&files), &[], &shared);
        assert_eq!(names.add(config, &[own], own == "c.example"), []);
        all.push(files);
    }
    let client = Arc::new(client());
    for (asked, sni, want) in [
        ("a.example", Some("a.example"), 0),
        ("A.Example", Some("a.example"), 0),
        ("x.b.example", Some("x.b.example"), 1),
        ("b.example", Some("b.example"), 2),
        ("127.0.0.1", None, 2),
    ] {
        let (seen, accepted) = shake(&client, asked, |sni| names.find(sni).cloned()).await;
        assert!(seen.unwrap().is_of(&all[want]), "{asked}");
        assert_eq!(accepted.unwrap().sni.as_deref(), sni);
    }
}

#[tokio::test]
async fn the_clients_signature_schemes_decide_between_ecdsa_and_rsa() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let files = [desk.make_rsa("rsa", "a.example"), desk.make("ecdsa", "a.example")];
    let config = serving(&files, &[], &shared);
    for (suite, version, want, name) in [
        (
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            &version::TLS12,
            0,
            "ECDHE-RSA-AES128-GCM-SHA256",
        ),
        (
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            &version::TLS12,
            1,
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            &version::TLS13,
            1,
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let mut own = CryptoProvider::clone(provider());
        own.cipher_suites.retain(|each| each.suite() == suite);
        let client = ClientConfig::builder_with_provider(Arc::new(own))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        let (seen, accepted) =
            shake(&Arc::new(client), "a.example", |_| Some(config.clone())).await;
        assert!(seen.unwrap().is_of(&files[want]), "{name}");
        let accepted = accepted.unwrap();
        assert_eq!(accepted.cipher, name);
        let is_new = want == 1 && accepted.protocol == "TLSv1.3";
        assert!(is_new || accepted.protocol == "TLSv1.2");
    }
}

#[tokio::test]
async fn an_application_protocol_must_be_ours_if_there_is_one() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let config = serving(&[desk.make("a", "a.example")], &["imap"], &shared);
    for (offered, want) in [
        (&[] as &[&str], Ok(None)),
        (&["imap"], Ok(Some("imap"))),
        (&["pop3", "imap"], Ok(Some("imap"))),
        (&["pop3"], Err(())),
        (&["h2", "http/1.1"], Err(())),
    ] {
        let mut client = client();
        client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (seen, accepted) =
            shake(&Arc::new(client), "a.example", |_| Some(config.clone())).await;
        match want {
            Ok(alpn) => {
                assert_eq!(seen.unwrap().alpn.as_deref(), alpn.map(str::as_bytes));
                assert_eq!(accepted.unwrap().alpn.as_deref(), alpn);
            }
            Err(()) => {
                let alert = seen.unwrap_err().to_string();
                assert!(alert.contains("NoApplicationProtocol"), "{alert}");
                assert!(matches!(accepted, Err(Error::Incompatible(_))), "{accepted:?}");
            }
        }
    }
}

/// Whether the second of two handshakes resumes the first's session.
async fn resumes(client: &Arc<ClientConfig>, first: &Arc<Config>, second: &Arc<Config>) -> bool {
    let (seen, accepted) = shake(client, "a.example", |_| Some(first.clone())).await;
    assert!(!seen.unwrap().resumed && !accepted.unwrap().resumed);
    let (seen, accepted) = shake(client, "a.example", |_| Some(second.clone())).await;
    let (seen, accepted) = (seen.unwrap().resumed, accepted.unwrap().resumed);
    assert_eq!(seen, accepted, "both ends agree");
    seen
}

fn fresh_client(
    version: &'static rustls::SupportedProtocolVersion,
    tickets: bool,
) -> Arc<ClientConfig> {
    let mut client = ClientConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    client.resumption = Resumption::in_memory_sessions(8);
    if !tickets {
        let by_id = rustls::client::Tls12Resumption::SessionIdOnly;
        client.resumption = client.resumption.tls12_resumption(by_id);
    }
    Arc::new(client)
}

#[tokio::test]
async fn a_session_is_resumed_across_generations_and_not_across_settings() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let files = [desk.make("a", "a.example")];
    let others = [desk.make("b", "a.example")];
    for version in [&version::TLS12, &version::TLS13] {
        let client = || fresh_client(version, true);
        let now = serving(&files, &["imap"], &shared);
        let next = serving(&files, &["imap"], &shared);
        assert!(resumes(&client(), &now, &next).await, "the next generation");

        let other = serving(&others, &["imap"], &shared);
        assert!(!resumes(&client(), &now, &other).await, "another certificate");
        let stricter = Settings { curves: vec![rustls::NamedGroup::X25519], ..Settings::default() };
        let other = serving_with(&stricter, &files, &["imap"], &shared);
        assert!(!resumes(&client(), &now, &other).await, "other settings");
        let other = serving(&files, &["imap"], &Shared::new());
        assert!(!resumes(&client(), &now, &other).await, "another process");
    }
}

#[tokio::test]
async fn machines_with_the_same_ticket_keys_share_sessions() {
    let desk = Desk::new();
    let files = [desk.make("a", "a.example")];
    desk.write("ticket.key", [3; 80]);
    let settings =
        Settings { session_ticket_keys: vec![desk.path("ticket.key")], ..Settings::default() };
    let one = serving_with(&settings, &files, &[], &Shared::new());
    let two = serving_with(&settings, &files, &[], &Shared::new());
    assert!(resumes(&fresh_client(&version::TLS13, true), &one, &two).await);

    // A new key comes, and what the old one sealed still opens.
    desk.write("new.key", [4; 48]);
    let keys = vec![desk.path("new.key"), desk.path("ticket.key")];
    let settings = Settings { session_ticket_keys: keys, ..Settings::default() };
    let both = serving_with(&settings, &files, &[], &Shared::new());
    assert!(resumes(&fresh_client(&version::TLS13, true), &one, &both).await);
    assert!(resumes(&fresh_client(&version::TLS12, true), &one, &both).await);
    assert!(!resumes(&fresh_client(&version::TLS13, true), &both, &one).await);

    let (shared, lost) = (Shared::new(), vec![desk.path("lost.key")]);
    let settings = Settings { session_ticket_keys: lost, ..Settings::default() };
    let (three, faults) = config(&settings, identity(&files), &[], &shared);
    assert_eq!(shared.faults(&settings), faults);
    assert!(faults[0].to_string().contains("lost.key"));
    assert!(resumes(&fresh_client(&version::TLS13, true), &three, &three).await, "random keys");
}

#[tokio::test]
async fn without_tickets_the_cache_resumes_and_without_either_nothing_does() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let files = [desk.make("a", "a.example")];
    let none = Settings { session_tickets: false, ..Settings::default() };
    let cache = SessionCache::Shared { name: "SSL".to_owned(), bytes: 1 << 20 };
    let kept = Settings { session_cache: cache, ..none.clone() };
    for version in [&version::TLS12, &version::TLS13] {
        for tickets in [true, false] {
            let client = || fresh_client(version, tickets);
            let (one, two) = (
                serving_with(&kept, &files, &[], &shared),
                serving_with(&kept, &files, &[], &shared),
            );
            assert!(resumes(&client(), &one, &two).await);
            let bare = serving_with(&none, &files, &[], &shared);
            assert!(!resumes(&client(), &bare, &bare).await);
        }
    }
}

#[tokio::test]
async fn versions_that_are_off_are_refused() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let files = [desk.make("a", "a.example")];
    let settings = Settings { protocols: Protocols::Tls13, ..Settings::default() };
    let config = serving_with(&settings, &files, &[], &shared);
    let old = fresh_client(&version::TLS12, true);
    let (seen, accepted) = shake(&old, "a.example", |_| Some(config.clone())).await;
    assert!(seen.unwrap_err().to_string().contains("ProtocolVersion"));
    assert!(matches!(accepted, Err(Error::Incompatible(_))), "{accepted:?}");
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_there_unless_it_is_left_out() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let files = [desk.make("a", "a.example")];
    let only = |group: rustls::NamedGroup| {
        let mut own = CryptoProvider::clone(provider());
        own.kx_groups = suites::groups(&[group]);
        let client = ClientConfig::builder_with_provider(Arc::new(own))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        Arc::new(client)
    };
    let hybrid = only(rustls::NamedGroup::X25519MLKEM768);
    let config = serving(&files, &[], &shared);
    assert_eq!(
        config.tls.crypto_provider().kx_groups[0].name(),
        rustls::NamedGroup::X25519MLKEM768
    );
    let (seen, _) = shake(&hybrid, "a.example", |_| Some(config)).await;
    assert!(seen.is_ok());
    let settings = Settings { curves: vec![rustls::NamedGroup::X25519], ..Settings::default() };
    let config = serving_with(&settings, &files, &[], &shared);
    let (seen, accepted) = shake(&hybrid, "a.example", |_| Some(config)).await;
    assert!(seen.is_err() && matches!(accepted, Err(Error::Incompatible(_))), "{accepted:?}");
}

#[tokio::test]
async fn early_data_is_never_taken() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let config = serving(&[desk.make("a", "a.example")], &[], &shared);
    assert_eq!(config.tls.max_early_data_size, 0);
    let mut client = ClientConfig::clone(&fresh_client(&version::TLS13, true));
    client.enable_early_data = true;
    let client = Arc::new(client);
    for resumed in [false, true] {
        let (seen, _) = shake(&client, "a.example", |_| Some(config.clone())).await;
        assert_eq!(seen.unwrap().resumed, resumed);
    }
    let name = ServerName::try_from("a.example").unwrap();
    let mut session = rustls::ClientConnection::new(client, name).unwrap();
    assert!(session.early_data().is_none(), "its ticket allows none");
}

#[tokio::test]
async fn a_server_without_certificates_and_a_name_without_server_are_refused() {
    let (desk, shared, client) = (Desk::new(), Shared::new(), Arc::new(client()));
    let (identity, faults) = Store::default().identity(&[desk.files("none")]);
    assert_eq!(faults.len(), 1);
    let (config, _) = config(&Settings::default(), Arc::new(identity), &[], &shared);
    let (seen, accepted) = shake(&client, "a.example", |_| Some(config)).await;
    assert!(seen.unwrap_err().to_string().contains("HandshakeFailure"));
    assert!(matches!(accepted, Err(Error::NoCertificate)), "{accepted:?}");

    let (seen, accepted) = shake(&client, "a.example", |_| None).await;
    assert!(seen.unwrap_err().to_string().contains("UnrecognisedName"));
    assert!(matches!(accepted, Err(Error::NoServer(name)) if name == "a.example"));
}

#[tokio::test]
async fn what_is_no_tls_gets_an_alert() {
    let (near, far) = duplex(1024);
    let (mut near, ours) = (near, accept(far, None, |_| None, soon()));
    let theirs = async {
        near.write_all(b"a001 CAPABILITY\r\n").await.unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (answer, accepted) = tokio::join!(theirs, ours);
    assert_eq!(answer[0], 21, "an alert");
    assert!(matches!(accepted, Err(Error::Misbehaved(_))), "{accepted:?}");
}

#[tokio::test]
async fn a_client_that_stops_halfway_is_dropped_at_the_deadline() {
    // The head of a record with a ClientHello that never comes whole.
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let (mut near, far) = duplex(1024);
        near.write_all(sent).await.unwrap();
        let accepted = accept(far, None, |_| None, shortly()).await;
        assert!(matches!(accepted, Err(Error::Silent)), "{accepted:?}");
    }
}

#[tokio::test]
async fn a_handshake_may_come_in_any_pieces() {
    let (desk, shared) = (Desk::new(), Shared::new());
    let config = serving(&[desk.make("a", "a.example")], &["imap"], &shared);
    let client = Arc::new(client());
    for most in [1, 2, 7, 500] {
        let (near, far) = duplex(most);
        let theirs = async {
            let name = ServerName::try_from("a.example").unwrap();
            let mut stream = TlsConnector::from(client.clone()).connect(name, near).await.unwrap();
            stream.write_all(b"a NOOP\r\n").await.unwrap();
            stream.flush().await.unwrap();
            let mut heard = [0; 6];
            stream.read_exact(&mut heard).await.unwrap();
            heard
        };
        let ours = async {
            let mut accepted = accept(far, None, |_| Some(config.clone()), soon()).await.unwrap();
            assert_eq!(accepted.sni.as_deref(), Some("a.example"));
            let mut heard = [0; 8];
            accepted.stream.read_exact(&mut heard).await.unwrap();
            accepted.stream.write_all(b"a OK\r\n").await.unwrap();
            accepted.stream.flush().await.unwrap();
            heard
        };
        assert_eq!(tokio::join!(theirs, ours), (*b"a OK\r\n", *b"a NOOP\r\n"), "{most}");
    }
}

#[tokio::test]
async fn a_hello_without_end_is_bounded() {
    // A ClientHello of 16 MiB, and one of 60,000 bytes, told in records of 16 KiB.
    for length in [b"\xff\xff\xff", b"\x00\xea\x60"] {
        let (mut near, far) = duplex(1024);
        let theirs = async {
            let mut sent = 0;
            let mut record = vec![0; 5 + 16384];
            record[..6].copy_from_slice(b"\x16\x03\x01\x40\x00\x01");
            record[6..9].copy_from_slice(length);
            while near.write_all(&record).await.is_ok() {
                sent += record.len();
                record[5..9].fill(0);
            }
            sent
        };
        let (sent, accepted) = tokio::join!(theirs, accept(far, None, |_| None, soon()));
        assert!(matches!(accepted, Err(Error::Misbehaved(_))), "{accepted:?}");
        assert!(sent < 50 * 1024, "{sent}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_told_apart() {
    let (near, far) = duplex(1024);
    drop(near);
    let accepted = accept(far, None, |_| None, soon()).await;
    assert!(matches!(accepted, Err(Error::Left(_))), "{accepted:?}");
}

#[tokio::test]
async fn old_forms_of_certificates_are_served() {
    let (desk, shared, client) = (Desk::new(), Shared::new(), Arc::new(client()));
    // X.509 v1: no extensions at all.
    desk.openssl("req -new -newkey rsa:2048 -nodes -keyout v1.key -out v1.csr -subj /CN=a.example");
    desk.openssl("x509 -req -in v1.csr -signkey v1.key -days 10 -out v1.crt");
    // A common name and no subjectAltName.
    desk.make_by_openssl("cn", "a.example");
    // One that has expired.
    desk.openssl(
        "req -new -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=a.example",
    );
    desk.openssl("x509 -req -in old.csr -signkey old.key -days -1 -out old.crt");
    for name in ["v1", "cn", "old"] {
        let files = desk.files(name);
        let config = serving(std::slice::from_ref(&files), &[], &shared);
        let (seen, accepted) = shake(&client, "a.example", |_| Some(config)).await;
        assert!(seen.unwrap().is_of(&files), "{name}");
        assert!(accepted.is_ok());
    }
}

#[tokio::test]
async fn a_renewal_is_for_new_handshakes_and_ends_no_session() {
    let (desk, shared, store) = (Desk::new(), Shared::new(), Store::default());
    let files = desk.make("a", "a.example");
    let (identity, _) = store.identity(std::slice::from_ref(&files));
    let (config, _) = config(&Settings::default(), Arc::new(identity), &[], &shared);
    let choose = |_: Option<&str>| Some(config.clone());
    let remembers = fresh_client(&version::TLS13, true);
    let (seen, running) = shake(&remembers, "a.example", choose).await;
    assert!(seen.unwrap().is_of(&files));

    desk.make("a", "a.example");
    assert_eq!(store.refresh().len(), 1);
    let (seen, _) = shake(&fresh_client(&version::TLS13, true), "a.example", choose).await;
    assert!(seen.unwrap().is_of(&files), "the new one");
    let (seen, _) = shake(&remembers, "a.example", choose).await;
    assert!(seen.unwrap().resumed);
    drop(running.unwrap());
}
