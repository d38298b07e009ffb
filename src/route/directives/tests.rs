use super::*;

/// What a block says, and what is wrong with it.
fn read(conf: &str, outer: &Settings) -> (Settings, Vec<String>) {
    let block = Block::parse(conf);
    let settings = Settings::read(&block, outer);
    let faults = block.shared().faults.sorted(&[]);
    (settings, faults.err().into_iter().flatten().map(|fault| fault.to_string()).collect())
}

#[test]
fn every_directive_is_read_and_its_default_is_true() {
    let pairs: Vec<_> = DIRECTIVES
        .iter()
        .filter(|directive| !directive.default.is_empty())
        .map(|directive| (directive.name, directive.default))
        .collect();
    let block = Block::of(&pairs);
    let (mut read, usual) = (Settings::read(&block, &Settings::default()), Settings::default());
    // Its scope hangs on what is written, not on what it means.
    read.cache.clone_from(&usual.cache);
    assert_eq!(format!("{read:?}"), format!("{usual:?}"));
    for directive in DIRECTIVES.iter().filter(|directive| !directive.within.contains(&UPSTREAM)) {
        assert!(block.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
    }
}

#[test]
fn an_inner_block_keeps_what_it_does_not_say() {
    let (mail, faults) = read(
        "auth_http localhost:9000/auth https://b; auth_http_header X-Key 1;
         auth_http_header X-Two $login; auth_http_strict on; auth_http_pass_client_cert on;
         auth_http_ssl_trusted_certificate /a.pem; auth_http_ssl_name c; auth_http_ssl_verify off;
         auth_http_ssl_server_name off; auth_http_timeout 5s; upstream a { server b; } route { default a; }
         resolver 192.0.2.53 [2001:db8::53]:5353 valid=30s ipv6=off; resolver_timeout 2s;",
        &Settings::default(),
    );
    assert_eq!(faults, Vec::<String>::new());
    assert!(mail.leads_somewhere());
    assert_eq!((mail.auth_http.len(), mail.auth_http[1].tls), (2, true));
    assert!(mail.strict && mail.pass_client_cert);
    let tls = UpstreamSettings {
        mode: Mode::On,
        verify: false,
        trusted: Some("/a.pem".into()),
        name: Some("c".to_owned()),
        server_name: false,
        ..UpstreamSettings::default()
    };
    assert_eq!(mail.tls, tls);
    assert_eq!(
        mail.resolver,
        dns::Settings {
            servers: vec!["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:5353".parse().unwrap()],
            valid: Some(Duration::from_secs(30)),
            ipv4: true,
            ipv6: false,
            timeout: Duration::from_secs(2),
        }
    );

    let (server, _) = read("", &mail);
    assert_eq!(format!("{server:?}"), format!("{mail:?}"));

    let (server, faults) = read(
        "auth_http off; auth_http_header X-Three 3; route { @a.example a; } resolver_timeout 1s;",
        &mail,
    );
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!((server.auth_http.len(), server.headers.len()), (0, 1));
    assert_eq!(server.resolver.servers, mail.resolver.servers);
    assert_eq!(server.resolver.timeout, Duration::from_secs(1));
    assert!(server.leads_somewhere());

    let (server, _) = read("auth_http off; route { }", &mail);
    assert!(!server.leads_somewhere());
}

#[test]
fn each_fault_is_told_with_its_place() {
    for (conf, want) in [
        ("auth_http https://a:0/;", "invalid port in auth_http \"https://a:0/\""),
        ("auth_http a off;", "\"off\" stands alone in auth_http, or not at all"),
        ("auth_http a b:x;", "invalid port in auth_http \"b:x\""),
        (
            "auth_http_header A $rmote_addr;",
            "unknown \"rmote_addr\" variable in header \"A\", did you mean \"remote_addr\"?",
        ),
        ("auth_http a:0;", "invalid port in auth_http \"a:0\""),
        ("auth_http \"a/ b\";", "invalid uri in auth_http \"a/ b\""),
        ("auth_http_header \"a b\" c;", "invalid header name \"a b\""),
        ("auth_http_header a \"s\ns\";", "invalid value of header \"a\""),
        ("auth_http_header Connection close;", "header \"Connection\" cannot be set"),
        ("resolver a.example;", "\"a.example\" is not an IP address in resolver"),
        ("resolver 192.0.2.1 nix=1;", "invalid host in resolver \"nix=1\""),
        ("upstream a { server b; } upstream a { server b; }", "duplicate upstream \"a\""),
        ("upstream a { }", "no servers are inside upstream \"a\""),
        ("postmaster a;", "no upstream \"a\""),
        ("postmaster a.example loggin=b;", "invalid parameter \"loggin=b\""),
        ("postmaster a.example login=;", "invalid parameter \"login=\""),
        ("route { default a; }", "no upstream \"a\""),
    ] {
        let (_, faults) = read(conf, &Settings::default());
        assert_eq!(faults, [format!("{want} in test:1")], "{conf}");
    }
}
