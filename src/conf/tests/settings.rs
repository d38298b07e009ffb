//! Every setting, changed once, makes a configuration that gatepost takes.

use std::fs;
use std::path::Path;

use crate::conf::{Templates, Wish, check, expand};
use crate::settings::{self, Key, Kind, Level, Settings};
use crate::template::Unknown;

/// What a change does not go without: other settings.
const WITH: &[(&str, &str)] = &[
    ("mail.imap.auth.plain", "mail.imap.auth.more = [\"login\"]"),
    ("mail.pop3.auth.plain", "mail.pop3.auth.more = [\"login\"]"),
    ("mail.smtp.enabled", "upstream.mx.servers = [\"mx.example.com\"]"),
    ("mail.lmtp.enabled", "upstream.lmtp.servers = [\"lmtp.example.com\"]"),
    ("mail.sieve.auth.plain", "mail.sieve.auth.more = [\"login\"]"),
    ("client_certificate_mode", "client_certificate_ca = \"tls/ca.pem\""),
    ("client_certificate_crl", "client_certificate_ca = \"tls/ca.pem\""),
    ("client_certificate_depth", "client_certificate_ca = \"tls/ca.pem\""),
    ("upstream.master.user", "upstream.master.password_file = \"./password\""),
    ("upstream.master.password_file", "upstream.master.user = \"boss\""),
    (
        "upstream.master.separator",
        "upstream.master.user = \"boss\"\nupstream.master.password_file = \"./password\"",
    ),
    ("upstream.sticky", "memcache.servers = [\"127.0.0.1\"]\nmemcache.key = \"./fleet.key\""),
    ("memcache.key", "memcache.servers = [\"127.0.0.1\"]"),
    ("memcache.format", "memcache.servers = [\"127.0.0.1\"]\nmemcache.key = \"./fleet.key\""),
];

/// All that a setting may also be.
fn others(key: &Key) -> Vec<String> {
    let quoted = |texts: &[&str]| texts.iter().map(|text| format!("\"{text}\"")).collect();
    let one = |text: &str| vec![text.to_owned()];
    // Texts that are not any text.
    match key.name {
        "main.user" => return one("\"root\""),
        "main.group" => return one("\"root\""),
        "main.control.socket" => return quoted(&["off", "unix:/tmp/other.sock"]),
        "main.control.mode" => return one("\"0660\""),
        "main.control.owner" | "main.control.group" => return one("\"root\""),
        "main.krb5.keytab" => return one("\"tls/krb5.keytab\""),
        "log.file" => return one("\"stderr\""),
        "log.access.file" => return quoted(&["off", "logs/other.log"]),
        "log.access.format" => return one("\"json\""),
        "tls.ciphers" => return one("\"ECDHE+AESGCM\""),
        "tls.curve" => return quoted(&["auto", "X25519:secp384r1"]),
        "tls.session.cache" => return quoted(&["off", "shared:other:1m"]),
        "tls.dhparam" => return one("\"tls/ca.pem\""),
        "tls.certificates" => return one("[\"shelf\"]"),
        "tls.certificate" | "tls.key" => return Vec::new(),
        "tls.password_file" => return one("\"./password\""),
        "tls.session.ticket_key" => return one("\"./ticket.key\""),
        "client_certificate_crl" => return one("\"tls/ca.crl\""),
        "memcache.key" => return one("\"./fleet.key\""),
        "mail.imap.id" => return vec!["[]".to_owned(), "[\"NAME\", \"other\"]".to_owned()],
        "mail.login.suffixes" => return vec!["[]".to_owned(), "[\"/x\"]".to_owned()],
        "mail.default_realm" => return one("\"EXAMPLE.COM\""),
        // "off" lets in whom nobody has asked for a password: only with a handler for them.
        "upstream.smtp_auth" => return quoted(&["on", "plain", "login"]),
        "mail.login.master_separator" | "upstream.master.separator" => return one("\"*\""),
        "main.prefix" => return one("\"nginx.conf\""),
        "main.includes" => return one("\"more\""),
        "main.resolver" => return one("[\"127.0.0.1\"]"),
        "main.metrics.address" => return one("\"127.0.0.1:9143\""),
        "web.headers" => return one("[\"X-A: b\"]"),
        "mail.sieve.capabilities" => return one("[\"SIEVE fileinto\"]"),
        "main.listen" => return one("[\"127.0.0.1\"]"),
        name if name.starts_with("throttle.failures.") && matches!(key.kind, Kind::Text) => {
            return quoted(&["off", "7/1m"]);
        }
        _ => {}
    }
    match &key.kind {
        Kind::Flag => one(if key.default == "true" { "false" } else { "true" }),
        Kind::Integer { least, most } => {
            let default: i64 = key.default.parse().unwrap();
            one(&if default < *most { default + 1 } else { *least }.to_string())
        }
        Kind::Port => one("2525"),
        Kind::Time { least, .. } => vec![format!("\"{}s\"", (least + 1).max(7))],
        Kind::Bytes { least, .. } => vec![format!("{}", least * 2 + 1024)],
        Kind::Text => one("\"words; of { another \\\" kind\""),
        Kind::Choice(all) => all
            .iter()
            .map(|text| format!("\"{text}\""))
            .filter(|text| text != key.default)
            .collect(),
        Kind::List(kind) => match **kind {
            Kind::Choice(all) => vec![format!("[\"{}\"]", all[0])],
            Kind::Host | Kind::HostPort => one("[\"other.example.com\"]"),
            Kind::Address => one("[\"127.0.0.1\"]"),
            Kind::Network => one("[\"192.0.2.0/24\", \"2001:db8::/32\"]"),
            Kind::Url => one("[\"http://127.0.0.1:9000/auth\"]"),
            _ => one("[\"OTHER\"]"),
        },
        Kind::Host => one("\"other.example.com\""),
        Kind::Address => one("\"127.0.0.1\""),
        Kind::Network => one("\"192.0.2.0/24\""),
        Kind::HostPort => one("\"other.example.com:1234\""),
        Kind::Url => one("\"http://127.0.0.1:9000/auth\""),
        Kind::Path if key.name.ends_with("ca") => one("\"tls/ca.pem\""),
        Kind::Path if key.default.starts_with("\"/") => one("\"/other\""),
        Kind::Path => one("\"other\""),
        Kind::SecretFile => one("\"./password\""),
    }
}

/// A prefix with every file that a setting may name.
fn prefix() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["tls", "logs", "shelf"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign, rcgen::KeyUsagePurpose::KeyCertSign];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    for name in ["tls/default.crt", "tls/ca.pem"] {
        write(name, pem.as_bytes());
    }
    write("shelf/mail.example.com.crt", pem.as_bytes());
    write("shelf/mail.example.com.key", key.serialize_pem().as_bytes());
    write("tls/default.key", key.serialize_pem().as_bytes());
    let issuer = rcgen::Issuer::new(params, key);
    let crl = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2024, 1, 1),
        next_update: rcgen::date_time_ymd(2124, 1, 1),
        crl_number: vec![1].into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    write("tls/ca.crl", crl.signed_by(&issuer).unwrap().pem().unwrap().as_bytes());
    write("tls/krb5.keytab", &[5, 2]);
    write("password", b"secret\n");
    write("ticket.key", &[7; 80]);
    write("fleet.key", "0123456789abcdef".repeat(4).as_bytes());
    root
}

/// Expands and checks; what was wrong, if anything.
fn wrong(root: &Path, text: &str) -> Option<String> {
    let settings = match Settings::parse(text) {
        Ok(settings) => settings,
        Err(faults) => return Some(format!("settings: {}", faults[0])),
    };
    let templates = Templates::load(root, None).unwrap();
    let server = settings.servers().next();
    let wish = Wish {
        settings: &settings,
        server,
        overrides: &[],
        prefix: root,
        unknown: Unknown::Refuse,
    };
    let files = match expand(&wish, &templates) {
        Ok(files) => files,
        Err(faults) => return Some(format!("expand: {}", faults.join("\n"))),
    };
    let folder = root.join("generation");
    let _ = fs::remove_dir_all(&folder);
    for (name, text) in &files.all {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    check(root, &folder, &files.main).err().map(|faults| faults.join("\n"))
}

#[test]
fn every_setting_can_be_changed() {
    let root = prefix();
    let base = [
        ("upstream.imap.servers", "[\"imap.example.com\"]"),
        ("upstream.pop3.servers", "[\"imap.example.com\"]"),
        ("upstream.smtp.servers", "[\"smtp.example.com\"]"),
        ("upstream.sieve.servers", "[\"imap.example.com\"]"),
        ("mail.submission.enabled", "true"),
        ("mail.submissions.enabled", "true"),
        ("mail.sieve.enabled", "true"),
        ("log.file", "\"logs/error.log\""),
        ("log.access.file", "\"logs/access.log\""),
        ("main.pid", "\"run.pid\""),
        ("main.state", "\"state\""),
    ];
    let mut told = Vec::new();
    for key in settings::all() {
        for value in others(key) {
            let mut global: Vec<String> = base
                .iter()
                .filter(|(name, _)| *name != key.name)
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            let extra = WITH.iter().filter(|(name, _)| *name == key.name);
            global.extend(extra.map(|(_, line)| (*line).to_owned()));
            let line = format!("{} = {value}", key.name);
            let table = if key.levels.has(Level::Global) {
                global.push(line);
                String::new()
            } else if key.levels.has(Level::Server) {
                format!("[server.\"mx1.example.com\"]\n{line}\n")
            } else {
                format!("[domain.\"example.com\"]\ntls.certificate = \"tls/default.crt\"\n{line}\n")
            };
            let text = format!("[global]\n{}\n{table}", global.join("\n"));
            if let Some(what) = wrong(root.path(), &text) {
                told.push(format!("{} = {value}: {what}", key.name));
            }
        }
    }
    assert!(told.is_empty(), "{} do not pass:\n{}", told.len(), told.join("\n"));
}
