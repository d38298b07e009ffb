use std::collections::BTreeSet;

use super::*;

fn parse(text: &str) -> Settings {
    Settings::parse(text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"))
}

fn faults(text: &str) -> Vec<String> {
    let faults = Settings::parse(text).expect_err(text);
    faults.iter().map(ToString::to_string).collect()
}

fn key(name: &str) -> &'static Key {
    find(name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn every_key_is_in_order() {
    let (mut names, mut aliases, mut variables) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for key in all() {
        assert!(names.insert(key.name), "{} is there twice", key.name);
        let is_plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        assert!(key.name.split('.').all(is_plain), "{}", key.name);
        let default = key.default_data();
        let written = default.toml().to_string();
        let again = key.kind.value(&written.parse().unwrap());
        assert_eq!(again, Ok(default), "{}: {written}", key.name);
        assert!(key.doc.ends_with('.') || key.doc.ends_with(')'), "{}: {}", key.name, key.doc);
        for alias in key.aliases {
            assert!(aliases.insert(alias.to_lowercase()), "{alias} is there twice");
        }
        for variable in key.variables {
            assert!(variables.insert(variable.name), "{} is there twice", variable.name);
        }
    }
    for name in &names {
        let inside = format!("{name}.");
        let other = names.iter().find(|other| other.starts_with(&inside));
        assert_eq!(other, None, "{name} is a value and a table");
    }
    assert_eq!(KEYS.len(), keys::SUBJECTS.len());
}

#[test]
fn a_domain_inherits_from_its_server_and_that_from_the_site() {
    let text = "[global]\nmail.default_domain = \"all.example\"\n\
                [server.\"MX1.example.com\"]\nmail.default_domain = \"one.example\"\n\
                [domain.\"example.com\"]\nvirtual_hosts = [\"mail.example.com\"]\n\
                [domain.\"example.net\"]\nmail.default_domain = \"net.example\"\n";
    let settings = parse(text);
    let at = |domain: &str, server: Option<&str>| At::Domain {
        domain: domain.to_owned(),
        server: server.map(ToOwned::to_owned),
    };
    for (at, want, level, line) in [
        (At::Global, "all.example", Level::Global, Some(2)),
        (At::Server("mx1.EXAMPLE.com".to_owned()), "one.example", Level::Server, Some(4)),
        (At::Server("mx2.example.com".to_owned()), "all.example", Level::Global, Some(2)),
        (at("example.com", None), "all.example", Level::Global, Some(2)),
        (at("example.com", Some("mx1.example.com")), "one.example", Level::Server, Some(4)),
        (at("example.net", Some("mx1.example.com")), "net.example", Level::Domain, Some(8)),
    ] {
        let value = settings.value(key("mail.default_domain"), &at);
        assert_eq!(
            (value.data.text(), value.level, value.line),
            (Some(want), level, line),
            "{at:?}"
        );
    }
    let port = settings.value(key("mail.imap.port"), &At::Global);
    assert_eq!((port.data.integer(), port.level, port.line), (Some(143), Level::Default, None));
    assert_eq!(settings.servers().collect::<Vec<_>>(), ["mx1.example.com"]);
    assert_eq!(settings.domains().collect::<Vec<_>>(), ["example.com", "example.net"]);
}

#[test]
fn tables_may_be_written_in_any_of_tomls_ways() {
    for text in [
        "global.mail.imap.port = 1143",
        "[global]\nmail.imap.port = 1143",
        "[global.mail]\nimap.port = 1143",
        "[global.mail.imap]\nport = 1143",
        "[global]\nmail = { imap = { port = 1143 } }",
        "[global]\nzimbraImapProxyBindPort = 1143",
        "[global]\nzimbraimapproxybindport = 1143",
    ] {
        let value = parse(text).value(key("mail.imap.port"), &At::Global).data.integer();
        assert_eq!(value, Some(1143), "{text}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "[global]\nmail.imap.port = \"143\"\nmail.imap.prot = 1\nmail.pop3.port = 70000\n\
                mail.imap.starttls = \"onyl\"\nzimbraPop3ProxyBindPort = 110\nvirtual_hosts = [\"a\"]\n\
                mail.imap.timeout = \"1 minute\"\nthrottle.whitelist = [\"10.0.0.0/33\"]\n\
                mail.imap = { dance = true }\n[globe]\nx = 1\n[domain.example.com]\nvirtual_hosts = []\n\
                [server]\na = 1\n";
    let told = faults(&text.replace("mail.imap = { dance = true }\n", "mail.dance = true\n"));
    assert_eq!(
        told,
        [
            "line 2: mail.imap.port is a port, from 1 to 65535, not a text; a number is written without quotes",
            "line 3: mail.imap.prot is no setting; did you mean \"mail.imap.port\"?",
            "line 4: mail.pop3.port is a port, from 1 to 65535, not \"70000\"",
            "line 5: mail.imap.starttls is one of on, off, only, not \"onyl\"; did you mean \"only\"?",
            "line 7: virtual_hosts is set at other levels: domain",
            "line 8: mail.imap.timeout is a time from 1s to 1d, not \"1 minute\"",
            "line 9: throttle.whitelist is an address or a network such as 192.0.2.0/24, not \"10.0.0.0/33\"",
            "line 10: mail.dance is no setting",
            "line 11: globe is unknown here; tables are [global], [server.\"NAME\"] and [domain.\"NAME\"]",
            "line 13: domain.\"example\" sets nothing; a name with dots is written in quotes: [domain.\"example.com…\"]",
            "line 16: server.\"a\" is a table; write [server.\"a\"] and what it sets below it",
        ]
    );
    let told = faults("[global]\nmail.imap.port = 1\nzimbraImapProxyBindPort = 2\n");
    assert_eq!(
        told,
        ["line 3: zimbraImapProxyBindPort is set by another of its names, too, in line 2"]
    );
    assert_eq!(faults("[global]\nx = \n").len(), 1);
    assert!(faults("[global]\nx = \n")[0].starts_with("line 2: "));
}

#[test]
fn a_secret_is_refused_and_not_repeated() {
    for value in [
        "\"hunter2hunter2\"",
        "\"hunter2/x\"",
        "[\"hunter2\"]",
        "\"env:hunter2-x\"",
        "\"/a hunter2\"",
    ] {
        let told = faults(&format!("[global]\nlookup.master.password_file = {value}\n"));
        assert!(!told[0].contains("hunter2") && told[0].contains("mode 0600"), "{told:?}");
    }
    let told = faults("[global]\nlookup.master.password_file = hunter2\n");
    assert!(!told[0].contains("hunter2"), "{told:?}");
    for value in ["/etc/gatepost/x.secret", "./x", "../x", "env:NGINX_PASSWORD", ""] {
        parse(&format!("[global]\nlookup.master.password_file = \"{value}\"\n"));
    }
}

#[test]
fn each_kind_takes_what_is_right_and_nothing_else() {
    const TABLE: &[(&str, &[&str], &[&str])] = &[
        ("mail.enabled", &["true", "\"on\"", "\"OFF\""], &["1", "\"yes\"", "[]"]),
        ("main.workers", &["1", "1024"], &["0", "1025", "\"4\"", "1.5", "true"]),
        ("mail.imap.port", &["1", "65535"], &["0", "-1", "65536", "\"143\""]),
        (
            "lookup.timeout",
            &["\"15s\"", "\"500ms\"", "1500"],
            &["\"0s\"", "\"1d\"", "0", "\"soon\"", "1.5"],
        ),
        ("cache.size", &["\"64m\"", "1048576"], &["\"1k\"", "\"1t\"", "-1"]),
        ("mail.imap.greeting", &["\"\"", "\"hello; }\""], &["\"a\\nb\"", "1", "\"\\u0000\""]),
        ("main.ip_mode", &["\"both\"", "\"IPv4\""], &["\"\"", "\"ipv5\"", "4"]),
        (
            "virtual_hosts",
            &["[]", "[\"a.example\", \"*.b.example\"]"],
            &["\"a\"", "[1]", "[\"a b\"]", "[\"a..b\"]"],
        ),
        (
            "virtual_addresses",
            &["[\"192.0.2.1\", \"2001:db8::1\"]"],
            &["[\"192.0.2.0/24\"]", "[\"a\"]"],
        ),
        (
            "throttle.whitelist",
            &["[\"192.0.2.0/24\", \"::1\", \"2001:db8::/32\"]"],
            &["[\"192.0.2.0/33\"]", "[\"x/8\"]", "[\"::/+8\"]"],
        ),
        (
            "upstream.imap.servers",
            &["[\"mx1:7143\", \"[::1]:143\", \"unix:/run/x\", \"a\"]"],
            &["[\"a:0\"]", "[\"[::1\"]", "[\"a:b:c\"]", "[\"unix:x\"]"],
        ),
        (
            "lookup.handlers",
            &["[\"https://a:7072/x\", \"http://unix:/run/x\"]"],
            &["[\"a:7072\"]", "[\"https://a b\"]", "[\"https://a/;}\"]", "[\"ftp://a\"]"],
        ),
        ("upstream.tls.ca", &["\"\"", "\"tls/ca.pem\""], &["\" \"", "1"]),
        ("tls.key", &["\"/a/b.key\""], &["\"b.key\"", "1"]),
    ];
    for (name, right, wrong) in TABLE {
        let kind = key(name).kind;
        for text in *right {
            let data = kind
                .value(&text.parse().unwrap())
                .unwrap_or_else(|w| panic!("{name}: {text}: {w:?}"));
            assert_eq!(kind.value(&data.toml()), Ok(data.clone()), "{name}: {text}");
        }
        for text in *wrong {
            let refused = kind.value(&text.parse().unwrap());
            let said = refused.expect_err(&format!("{name} = {text}")).what;
            assert!(said.starts_with("is ") || said.starts_with("has a control"), "{said}");
        }
    }
}
