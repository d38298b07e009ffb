use std::collections::BTreeSet;

use super::kind::{Kind, Unit};
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
    assert_eq!(keys::KEYS.len(), keys::SUBJECTS.len());
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

/// Comments everywhere, and TOML's ways to write a table.
const BASES: &[&str] = &[
    "",
    "# c1 only this",
    "# c1\n[global] # c2\n# c3\nmail.imap.port = 1143 # c4\n# c5\nzimbraPop3ProxyBindPort = 1110 # c6\n\n# c7\n\
     [server.\"MX1.example.com\"] # c8\nmail.imap.port = 2143\n# c9\n[domain.\"example.com\"]\n# c10\n\
     virtual_hosts = [\"a.example.com\"] # c11\n# c12\n",
    "# c1\n[global.mail.imap] # c2\nport = 1143 # c3\n# c4\nstarttls = \"on\"\n# c5\n[global.web]\n# c6\nenabled = false\n",
    "# c1\nglobal.mail = { imap = { port = 1143, starttls = \"on\" } } # c2\nserver = { \"mx1.example.com\" = { mail.imap.port = 3 } }\n# c3\n",
];

/// Some values of a kind that differ from each other.
fn samples(kind: &Kind) -> Vec<Data> {
    let texts = |texts: &[&str]| texts.iter().map(|t| Data::Text((*t).to_owned())).collect();
    let time = |unit: Unit, count: u64| match unit {
        Unit::Seconds => Data::Time(std::time::Duration::from_secs(count)),
        Unit::Milliseconds => Data::Time(std::time::Duration::from_millis(count)),
    };
    match kind {
        Kind::Flag => vec![Data::Flag(true), Data::Flag(false)],
        Kind::Integer { least, most } => vec![Data::Integer(*least), Data::Integer(*most)],
        Kind::Port => vec![Data::Integer(1), Data::Integer(65535)],
        Kind::Time { unit, least, most } => {
            vec![time(*unit, *least), time(*unit, least + 1), time(*unit, *most)]
        }
        Kind::Bytes { least, most } => vec![Data::Bytes(*least), Data::Bytes(*most - 1)],
        Kind::Text => texts(&["", "# no \"comment\"", "a \\ 'b' é ]", "[global]", "#x = 1"]),
        Kind::Choice(words) => texts(words),
        Kind::List(kind) => {
            let all = samples(kind);
            vec![Data::List(Vec::new()), Data::List(all.clone()), Data::List(all[..1].to_vec())]
        }
        Kind::Host => texts(&["", "mail.example.com", "2001:db8::1"]),
        Kind::Address => texts(&["192.0.2.1", "2001:db8::1"]),
        Kind::Network => texts(&["192.0.2.0/24", "::/0"]),
        Kind::HostPort => texts(&["mx1.example.com:7143", "[::1]:143"]),
        Kind::Url => texts(&["https://h.example:7072/x?a=b#c"]),
        Kind::Path => texts(&["tls/a b.crt"]),
        Kind::SecretFile => texts(&["./x.key", "env:KEY"]),
    }
}

/// Each comment of a base, by its number.
fn comments(text: &str) -> Vec<&str> {
    let starts = text.match_indices("# c").map(|(start, _)| &text[start..]);
    starts
        .map(|rest| rest[2..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap())
        .collect()
}

proptest::proptest! {
    #[test]
    fn what_is_set_is_there_and_comments_survive_any_change(
        base in 0..BASES.len() + 1,
        changes in proptest::collection::vec((0..400_usize, 0..4_usize, 0..9_usize), 1..12),
    ) {
        let shipped = shipped();
        let base = BASES.get(base).copied().unwrap_or(&shipped);
        let scopes = [
            Scope::Global,
            Scope::Server("mx1.example.com".to_owned()),
            Scope::Server("mx2.example.com".to_owned()),
            Scope::Domain("example.com".to_owned()),
        ];
        let keys: Vec<_> = all().collect();
        let mut draft = Draft::new(base).unwrap();
        let mut model = parse(base);
        for (key, scope, sample) in changes {
            // The ports are there from the beginning: every other change is of one.
            let key = if key % 2 == 0 { find("mail.imap.port").unwrap() } else { keys[key % keys.len()] };
            let scope = &scopes[scope];
            if !key.levels.has(scope.level()) {
                continue;
            }
            let all = samples(&key.kind);
            match all.get(sample) {
                Some(data) => {
                    draft.set(key, scope, data);
                    model.assume(key, scope, Some(data.clone()));
                }
                None => {
                    let was = model.own(key, &scope.at()).is_some();
                    proptest::prop_assert_eq!(draft.unset(key, scope), was, "{}\n{}", key.name, draft.text());
                    model.assume(key, scope, None);
                }
            }
            let text = draft.text();
            let now = parse(&text);
            for scope in &scopes {
                for key in &keys {
                    let (is, want) = (now.own(key, &scope.at()), model.own(key, &scope.at()));
                    proptest::prop_assert_eq!(is, want, "{}\n{}", key.name, &text);
                }
            }
            for comment in comments(base) {
                proptest::prop_assert!(comments(&text).contains(&comment), "{comment} is lost:\n{text}");
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n]{0,80}|(\\[global\\]\n)?(main\\.workers = [0-9a-z\"\\[]{1,5}\n|#x\n|[a-z.]{1,12} = [0-9\"{}=a]{1,8}\n){0,6}") {
        hold_for_any(text.as_bytes());
    }
}

#[test]
fn every_key_can_be_set_and_taken_back_in_the_shipped_file() {
    let shipped = shipped();
    assert_eq!(parse(&shipped).servers().count(), 0);
    for key in all() {
        for data in samples(&key.kind).into_iter().rev().take(1) {
            let scope = match (key.levels.has(Level::Global), key.levels.has(Level::Server)) {
                (true, _) => Scope::Global,
                (false, true) => Scope::Server("mx1.example.com".to_owned()),
                (false, false) => Scope::Domain("example.com".to_owned()),
            };
            let mut draft = Draft::new(&shipped).unwrap();
            draft.set(key, &scope, &data);
            let text = draft.text();
            assert_eq!(parse(&text).own(key, &scope.at()), Some(&data), "{}", key.name);
            let docs = |text: &str| text.matches(key.doc).count();
            assert_eq!(docs(&text), docs(&shipped), "{}", key.name);
            assert!(draft.unset(key, &scope));
            if scope == Scope::Global {
                assert_eq!(draft.text(), shipped, "{}", key.name);
            }
        }
    }
}

#[test]
fn a_value_takes_the_place_of_its_default() {
    let text = "[global]\n\n# The port.\n#mail.imap.port = 143\n\n# Another.\n";
    let mut draft = Draft::new(text).unwrap();
    draft.set(key("mail.imap.port"), &Scope::Global, &Data::Integer(1143));
    let set = "[global]\n\n# The port.\nmail.imap.port = 1143\n\n# Another.\n";
    assert_eq!(draft.text(), set);
    assert!(draft.unset(key("mail.imap.port"), &Scope::Global));
    assert_eq!(draft.text(), text);
    let mut draft = Draft::new("[global]\nzimbraImapProxyBindPort = 1 # why\n").unwrap();
    draft.set(key("mail.imap.port"), &Scope::Global, &Data::Integer(2));
    assert_eq!(draft.text(), "[global]\nzimbraImapProxyBindPort = 2 # why\n");
    assert!(draft.unset(key("mail.imap.port"), &Scope::Global));
    assert_eq!(draft.text(), "[global]\n# why\n");
}

#[test]
fn values_are_written_as_templates_have_them() {
    let list =
        Data::List(vec![Data::Text("EXPIRE 31 USER".to_owned()), Data::Text("a\"b".to_owned())]);
    for (data, format, want) in [
        (Data::Flag(true), Format::Flag, "on"),
        (Data::Flag(true), Format::Enabler, ""),
        (Data::Flag(false), Format::Enabler, "#"),
        (Data::Flag(false), Format::Disabler, ""),
        (Data::Text(String::new()), Format::Enabler, "#"),
        (Data::Text("x".to_owned()), Format::Disabler, "#"),
        (Data::Time(std::time::Duration::from_secs(3600)), Format::Milliseconds, "3600000ms"),
        (Data::Time(std::time::Duration::from_secs(90)), Format::Seconds, "90s"),
        (Data::Time(std::time::Duration::from_millis(1500)), Format::Seconds, "1500ms"),
        (Data::Integer(8), Format::Integer, "8"),
        (Data::Bytes(10 << 20), Format::Bytes, "10m"),
        (list.clone(), Format::List, "EXPIRE 31 USER a\"b"),
        (list, Format::Words, " \"EXPIRE 31 USER\" \"a\\\"b\""),
    ] {
        assert_eq!(data.formatted(format), want, "{data:?}");
    }
}
