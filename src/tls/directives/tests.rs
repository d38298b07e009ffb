use super::*;

#[test]
fn every_directive_is_read_and_its_default_is_true() {
    let pairs: Vec<_> = DIRECTIVES
        .iter()
        .filter(|directive| !directive.default.is_empty())
        .map(|directive| (directive.name, directive.default))
        .collect();
    let block = Block::of(&pairs);
    let quoted = |name: &str| DIRECTIVES.iter().any(|directive| directive.name == name);
    assert_eq!(Settings::read(&block, &Settings::default()), Settings::default());
    let upstream = UpstreamSettings::read(&block, &UpstreamSettings::default());
    assert_eq!(upstream, UpstreamSettings::default());
    assert_eq!(block.faults(), [] as [&str; 0]);
    for directive in DIRECTIVES {
        assert!(block.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
    }
    assert!(block.names_read().iter().all(|name| quoted(name)));
}

#[test]
fn what_a_server_leaves_unset_is_as_in_mail() {
    let mail = Block::of(&[
        ("ssl_certificate", "a.crt"),
        ("ssl_certificate_key", "a.key"),
        ("ssl_certificate", "b.crt"),
        ("ssl_certificate_key", "b.key"),
        ("ssl_protocols", "TLSv1.3"),
        ("ssl_session_timeout", "1h"),
        ("proxy_ssl", "starttls"),
        ("proxy_ssl_verify", "off"),
    ]);
    let mail_settings = Settings::read(&mail, &Settings::default());
    let server = Block::of(&[
        ("ssl_certificate", "c.crt"),
        ("ssl_certificate_key", "/c.key"),
        ("ssl_session_cache", "builtin:1000 shared:SSL:10m"),
        ("ssl_ciphers", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("proxy_ssl_name", "mail.example"),
    ]);
    let settings = Settings::read(&server, &mail_settings);
    let files = |settings: &Settings| -> Vec<_> {
        let text =
            |files: &Files| format!("{} {}", files.certificate.display(), files.key.display());
        settings.files().iter().map(text).collect()
    };
    assert_eq!(files(&mail_settings), ["a.crt a.key", "b.crt b.key"]);
    assert_eq!(files(&settings), ["c.crt /c.key"]);
    assert_eq!(settings.protocols, Protocols::Tls13);
    assert_eq!(settings.session_timeout, Duration::from_secs(3600));
    assert_eq!(settings.ciphers, [CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]);
    let cache = SessionCache::Shared { name: "SSL".to_owned(), bytes: 10 << 20 };
    assert_eq!(settings.session_cache, cache);

    let outer = UpstreamSettings::read(&mail, &UpstreamSettings::default());
    let upstream = UpstreamSettings::read(&server, &outer);
    assert_eq!((upstream.mode, upstream.verify), (Mode::StartTls, false));
    assert_eq!(upstream.name.as_deref(), Some("mail.example"));
    assert_eq!((mail.faults(), server.faults()), (vec![], vec![]));
}

#[test]
fn what_cannot_be_had_is_a_fault_and_what_is_not_needed_a_notice() {
    for (name, value, want) in [
        ("ssl_ciphers", "HIGH:SHINY", "\"ssl_ciphers\": unknown cipher \"SHINY\" in test:1"),
        ("ssl_ciphers", "RC4", "\"ssl_ciphers\": no cipher match"),
        ("ssl_protocols", "TLSv1", "\"ssl_protocols\": none of these protocols"),
        ("ssl_ecdh_curve", "X448", "\"ssl_ecdh_curve\": none of these curves"),
        ("ssl_verify_client", "maybe", "invalid value \"maybe\""),
        ("ssl_verify_depth", "-1", "invalid value \"-1\""),
        ("ssl_early_data", "on", "\"ssl_early_data\" is never on"),
        ("ssl_certificate_key", "engine:x:y", "\"ssl_certificate_key\" takes a file"),
        ("ssl_session_cache", "shared:SSL", "invalid session cache \"shared:SSL\""),
        ("ssl_session_cache", "shared:SSL:1k", "invalid session cache \"shared:SSL:1k\""),
        ("ssl_session_cache", "builtin:0", "invalid session cache \"builtin:0\""),
        ("ssl_session_cache", "off shared:SSL:1m", "invalid session cache \"off\""),
        ("ssl_session_tickets", "maybe", "invalid value \"maybe\""),
    ] {
        let block = Block::of(&[(name, value)]);
        Settings::read(&block, &Settings::default());
        let faults = block.faults();
        assert_eq!(faults.len(), 1, "{name} {value}: {faults:?}");
        assert!(faults[0].starts_with(want), "{faults:?}");
    }
    for (name, value, want) in [
        (
            "ssl_protocols",
            "TLSv1 TLSv1.1 TLSv1.2",
            "\"ssl_protocols\": TLSv1, TLSv1.1 is not offered, in test:1",
        ),
        (
            "ssl_ecdh_curve",
            "X25519:secp521r1",
            "\"ssl_ecdh_curve\": secp521r1 is not offered, in test:1",
        ),
        (
            "ssl_dhparam",
            "dh.pem",
            "\"ssl_dhparam\" has no effect: no such cipher is offered, in test:1",
        ),
    ] {
        let block = Block::of(&[(name, value)]);
        assert_eq!(Settings::read(&block, &Settings::default()).notices, [want]);
        assert_eq!(block.faults(), [] as [&str; 0]);
    }
    let block = Block::of(&[("proxy_ssl", "maybe")]);
    UpstreamSettings::read(&block, &UpstreamSettings::default());
    assert_eq!(block.faults().len(), 1);
}

#[test]
fn a_certificate_without_its_key_is_a_fault_of_the_server_that_has_it() {
    let text = "ssl_certificate a.crt; server { } server { ssl_certificate_key a.key; }
        server { ssl_certificate b.crt; ssl_certificate c.crt; ssl_certificate_key b.key; }";
    let mail = Block::parse(text);
    let outer = Settings::read(&mail, &Settings::default());
    assert_eq!(mail.faults(), [] as [&str; 0]);
    for server in mail.blocks("server") {
        Settings::read(server, &outer);
    }
    let text = "no \"ssl_certificate_key\" is defined for certificate";
    assert_eq!(
        mail.faults(),
        [format!("{text} \"a.crt\" in test:1"), format!("{text} \"c.crt\" in test:2")]
    );
}

#[test]
fn who_asks_for_certificates_must_know_whom_to_believe() {
    let text = "ssl_certificate a.crt; ssl_certificate_key a.key;
        server { ssl_verify_client on; }
        server { ssl_verify_client optional; ssl_client_certificate \"\"; }
        server { ssl_verify_client optional_no_ca; }
        server { ssl_verify_client on; ssl_client_certificate ca.crt; }
        server { ssl_verify_client on; ssl_trusted_certificate ca.crt; }
        server { ssl_verify_client off; }";
    let mail = Block::parse(text);
    let outer = Settings::read(&mail, &Settings::default());
    for server in mail.blocks("server") {
        Settings::read(server, &outer);
    }
    let faults = mail.faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    let text = "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client";
    assert!(faults.iter().all(|fault| fault.starts_with(text)), "{faults:?}");
    assert!(faults[0].ends_with("in test:2") && faults[1].ends_with("in test:3"), "{faults:?}");
}

#[test]
fn what_clients_must_show_is_as_in_mail() {
    let mail = Block::of(&[
        ("ssl_verify_client", "optional"),
        ("ssl_verify_depth", "3"),
        ("ssl_client_certificate", "ca.crt"),
        ("ssl_crl", "ca.crl"),
        ("ssl_password_file", "pass"),
    ]);
    let outer = Settings::read(&mail, &Settings::default());
    let server = Block::of(&[
        ("ssl_trusted_certificate", "/other.crt"),
        ("ssl_crl", ""),
        ("ssl_verify_client", "on"),
    ]);
    let settings = Settings::read(&server, &outer);
    assert_eq!((settings.verify_client, settings.verify_depth), (Verify::On, 3));
    assert_eq!(
        settings.client_trust,
        Sources { told: Some("ca.crt".into()), untold: Some("/other.crt".into()), crls: None }
    );
    assert_eq!(settings.passwords, Some("pass".into()));
    assert_eq!((mail.faults(), server.faults()), (vec![], vec![]));
}

#[test]
fn of_openssls_own_commands_only_ciphersuites_is_heeded() {
    let read = |text: &str| {
        let block = Block::parse(text);
        let settings = Settings::read(&block, &Settings::default());
        (settings, block.faults())
    };
    let (settings, faults) = read(
        "ssl_conf_command Options PrioritizeChaCha;
         ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256;
         ssl_certificate_compression on;",
    );
    assert_eq!(settings.ciphersuites, [CipherSuite::TLS13_AES_128_GCM_SHA256]);
    assert_eq!(faults, [] as [&str; 0]);
    assert_eq!(settings.notices.len(), 3, "{:?}", settings.notices);
    for command in [
        "Ciphersuites TLS_SHINY",
        "Ciphersuites TLS_AES_128_CCM_SHA256",
        "Options -SessionTicket",
        "Options KTLS,UnsafeLegacyRenegotiation",
        "MinProtocol TLSv1.3",
        "SignatureAlgorithms ECDSA+SHA256",
    ] {
        let (settings, faults) = read(&format!("ssl_conf_command {command};"));
        assert_eq!(faults.len(), 1, "{command}");
        assert!(faults[0].contains(command.split(' ').next().unwrap()), "{faults:?}");
        assert_eq!(settings, Settings::default());
    }
}
