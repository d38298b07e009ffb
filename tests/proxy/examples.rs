//! Every configuration that is shown to people passes `gatepost -t`: the files of conf/, and what
//! stands as `nginx` in the documents.

use std::fs;
use std::path::Path;

use crate::support::{Ca, Site, command, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What stands around a piece of a `mail` block.
const AROUND: &str = "error_log stderr; events { }
mail { ssl_certificate tls/mail.crt; ssl_certificate_key tls/mail.key;";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

/// Passes `text` through `gatepost -t`, on a site that has all the files it names.
#[track_caller]
fn passes(what: &str, text: &str) {
    let (site, ca) = (Site::new(), Ca::new());
    let pair = ca.ecdsa(&["mail.example.com"]);
    let conf = site.path("conf").display().to_string();
    let logs = site.path("logs").display().to_string();
    let text = text
        .replace("/etc/gatepost", &conf)
        .replace("/var/log/gatepost", &logs)
        .replace("/var/log/nginx", &logs);
    fs::create_dir(site.path("conf/tls")).unwrap();
    let names = r"\b(?:tls/)?[a-z.-]+\.(crt|key|pem|crl|keytab|password|secret|routes|map)\b";
    let names = regex::Regex::new(names).unwrap();
    for found in names.captures_iter(&text) {
        let content = match &found[1] {
            "crt" => pair.cert.clone().into_bytes(),
            "key" => pair.key.clone().into_bytes(),
            "pem" => ca.pem.clone().into_bytes(),
            "crl" => ca.revokes_nothing().into_bytes(),
            "routes" => b"default 192.0.2.7\n".to_vec(),
            "map" => b"default 192.0.2.7;\n".to_vec(),
            "secret" => "0123456789abcdef".repeat(4).into_bytes(),
            "keytab" => keytab(&["imap", "pop", "smtp", "sieve"]),
            _ => b"a password\n".to_vec(),
        };
        site.write(&format!("conf/{}", &found[0]), content);
    }
    site.write("conf/gatepost.conf", text);
    let tested = run(command(&site).arg("-t"), "");
    assert!(tested.code == Some(0), "{what}: {}", tested.said());
    assert!(!tested.said().contains("[emerg]"), "{what}: {}", tested.said());
}

/// A keytab that names these services, and has no keys.
fn keytab(services: &[&str]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
    let mut bytes = vec![5, 2];
    for service in services {
        let names = [text("EXAMPLE.COM"), text(service), text("mail.example.com")].concat();
        // Of how many parts the name is; its kind, when it was made, the key's version and none.
        let entry = [&[0, 2][..], &names, &[0; 13]].concat();
        bytes.extend((entry.len() as u32).to_be_bytes());
        bytes.extend(entry);
    }
    bytes
}

#[test]
fn each_file_of_conf_passes() {
    passes("conf/gatepost.conf", &read("conf/gatepost.conf"));
    let mut count = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("conf/examples")).unwrap() {
        let name = format!("conf/examples/{}", entry.unwrap().file_name().display());
        // HAProxy's (balancer.rs).
        if name.ends_with(".cfg") {
            continue;
        }
        passes(&name, &read(&name));
        count += 1;
    }
    assert!(count >= 13, "where are they?");
}

/// What is switched off in a file is meant to be switched on.
#[test]
fn each_line_of_gatepost_conf_that_is_switched_off_passes() {
    let text = read("conf/gatepost.conf");
    for line in text.lines() {
        let Some(off) = line.trim_start().strip_prefix('#') else { continue };
        if off.starts_with(' ') || !off.contains(';') {
            continue;
        }
        passes(off, &text.replacen(line, off, 1));
    }
}

#[test]
fn each_configuration_in_the_documents_passes() {
    let mut count = 0;
    for name in [
        "README.md",
        "docs/auth-http.md",
        "docs/control.md",
        "docs/fleet.md",
        "docs/mechanisms.md",
        "docs/routes.md",
        "docs/sticky.md",
        "docs/upstreams.md",
    ] {
        let text = read(name);
        for part in text.split("```nginx\n").skip(1) {
            let block = part.split("```").next().unwrap();
            if !cfg!(feature = "krb5") && block.contains("gssapi") {
                continue;
            }
            // There is no such user here.
            let block = block.strip_prefix("user gatepost;").unwrap_or(block);
            let whole = match block.contains("events {") {
                true => block.to_owned(),
                false => format!("{AROUND}\n{block}\n}}\n"),
            };
            passes(&format!("{name}: {block}"), &whole);
            count += 1;
        }
    }
    assert!(count >= 5, "where are they?");
}
