//! What `gatepost diag` tells of a configuration without asking a process.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use x509_parser::prelude::{FromDer, GeneralName, Pem, X509Certificate};

use super::model::{Kept, Plan};
use super::{Options, registry};
use crate::config::{self, effective::Effective};

/// How many bytes of a file with secrets, or with certificates, are looked at.
const MOST: u64 = 1 << 18;

/// So many certificates are shown.
const MOST_CERTIFICATES: usize = 1000;

/// A configuration as it may be shown.
#[derive(Debug, Default)]
pub struct Examined {
    /// What is wrong with it, a line each.
    pub faults: Vec<String>,
    /// All of it in one text, without secrets.
    pub text: String,
    /// What must not be seen anywhere, and was masked in `text`.
    pub secrets: Vec<String>,
    /// What is public of each certificate.
    pub certificates: Vec<String>,
    /// Every name of a host in it.
    pub hosts: BTreeSet<String>,
}

/// Reads it as a start would; opens no log and binds nothing.
pub fn examine(options: &Options, shows_users: bool) -> Examined {
    let mut examined = Examined::default();
    let (path, prefix) = (&options.configuration, &options.prefix);
    let registry = registry::registry();
    let tree = match config::load(path, prefix, options.directives.as_deref(), &registry) {
        Ok(tree) => tree,
        Err(faults) => {
            examined.faults = faults.iter().map(ToString::to_string).map(unquoted).collect();
            return examined;
        }
    };
    let effective = tree.effective(&registry, shows_users);
    let folder = path.parent().unwrap_or(Path::new(""));
    examined.secrets = effective.secrets.clone();
    for file in &effective.files {
        for base in [folder, prefix] {
            examined.secrets.extend(secrets_in(&base.join(file)));
        }
    }
    examined.certificates = certificates(&effective, folder);
    examined.hosts = hosts(&effective);
    examined.text = effective.text;
    let plan = Plan::of(tree, options, &Kept::new());
    let faults = plan.tree.finish().err().into_iter().flatten().map(|fault| fault.to_string());
    examined.faults = faults.chain(plan.complaints).collect();
    examined
}

/// Nothing is known of what it quotes.
fn unquoted(fault: String) -> String {
    let parts = fault.split('"').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 0 { part } else { config::effective::MASK });
    parts.collect::<Vec<_>>().join("\"")
}

/// Lines of a password, a key, a keytab; what is too short to be told from other words is left out.
fn secrets_in(file: &Path) -> Vec<String> {
    let Ok(text) = read(file) else { return Vec::new() };
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r' | 0));
    let lines = lines.filter_map(|line| std::str::from_utf8(line).ok()).map(str::trim);
    lines.filter(|line| !line.starts_with("-----")).map(ToOwned::to_owned).collect()
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    // A device would never end, and a pipe never begin.
    if !fs::metadata(file)?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn certificates(effective: &Effective, folder: &Path) -> Vec<String> {
    let named = effective.statements.iter().filter(|(_, name, _)| name == "ssl_certificate");
    let mut files: Vec<PathBuf> =
        named.filter_map(|(_, _, words)| Some(folder.join(words.first()?))).collect();
    files.sort();
    files.dedup();
    files.iter().take(MOST_CERTIFICATES).map(|file| described(file)).collect()
}

/// Names, issuer, dates and fingerprint of the first certificate of a file.
fn described(file: &Path) -> String {
    let name = file.display();
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(error) => return format!("{name}: {}", crate::net::errno(&error)),
    };
    let first = Pem::iter_from_buffer(&bytes).flatten().find(|pem| pem.label == "CERTIFICATE");
    let Some(pem) = first else { return format!("{name}: there is no certificate in it") };
    let Ok((_, certificate)) = X509Certificate::from_der(&pem.contents) else {
        return format!("{name}: it cannot be read");
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names: Vec<_> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
        .collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pem.contents);
    let print: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let dates = certificate.validity();
    format!(
        "{name}: {}; names {}; issuer {}; from {} to {}; sha256 {print}",
        certificate.subject(),
        names.join(" "),
        certificate.issuer(),
        dates.not_before,
        dates.not_after,
    )
}

/// Whom the configuration names: servers' own names, upstreams, handlers, caches, directories.
fn hosts(effective: &Effective) -> BTreeSet<String> {
    const NAMED: [&str; 9] = [
        "server_name",
        "server",
        "servers",
        "auth_http",
        "handler",
        "zm_lookup_handlers",
        "url",
        "resolver",
        "listen",
    ];
    let named = effective.statements.iter().filter(|(_, name, _)| NAMED.contains(&&**name));
    named.flat_map(|(_, _, words)| words).filter_map(|word| host(word)).collect()
}

/// The host of `host`, `host:port`, or a URL; None for addresses, patterns and other words.
fn host(word: &str) -> Option<String> {
    let rest = word.split_once("//").map_or(word, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next()?;
    let rest = rest.rsplit('@').next()?;
    let name = rest.split([':', ',']).next()?;
    let is_name = name.contains('.')
        && name.contains(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let is_one = is_name && !word.starts_with(['~', '.', '*', '$', '/']) && !rest.contains('=');
    is_one.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Context, Directive, Secret, Takes};

    /// Words in a directive's name that tell of something that nobody should see.
    const TELLING: [&str; 10] = [
        "password",
        "passwd",
        "secret",
        "token",
        "_key",
        "keytab",
        "credential",
        "cookie",
        "header",
        "bind_pw",
    ];

    /// Such as are none, and why.
    const HARMLESS: &[(&str, &str)] = &[("lookup_send_password", "a flag")];

    #[test]
    fn what_sounds_like_a_secret_is_marked_as_one() {
        for directive in registry::registry().into_iter().flatten() {
            let sounds = TELLING.iter().any(|word| directive.name.contains(word));
            let is_flag = matches!(directive.takes, Takes::Flag | Takes::Block(..));
            let is_harmless = HARMLESS.iter().any(|(name, _)| *name == directive.name)
                || directive.name.ends_with("_ttl");
            if sounds && !is_flag && !is_harmless {
                assert_ne!(directive.secret, Secret::None, "{}", directive.name);
            }
        }
    }

    /// The way from the main block to a context, as text before and after what stands in it.
    fn around(context: Context, registry: &[&'static [Directive]]) -> (String, String) {
        if context == config::MAIN {
            return Default::default();
        }
        let all = registry.iter().flat_map(|room| room.iter());
        let opens = |directive: &&Directive| matches!(directive.takes, Takes::Block(_, _, inner) if inner == context);
        let opener = all.into_iter().find(opens).unwrap();
        let (before, after) = around(opener.within[0], registry);
        let args = match opener.takes {
            Takes::Block(least, ..) => " x".repeat(least),
            _ => unreachable!(),
        };
        (format!("{before}{}{args} {{\n", opener.name), format!("}}\n{after}"))
    }

    /// For every directive and context that there is: a new secret one is tested the day it is made.
    #[test]
    fn no_secret_of_any_directive_is_in_the_text() {
        let registry = registry::registry();
        let mut tested = 0;
        for directive in registry.iter().flat_map(|room| room.iter()) {
            for context in directive.within {
                let Secret::Args(from) = directive.secret else { continue };
                let (before, after) = around(context, &registry);
                let least = match directive.takes {
                    Takes::Args(least, _) | Takes::AtLeast(least) => least,
                    other => panic!("{}: {other:?} with a secret", directive.name),
                };
                let words: Vec<_> = (0..least.max(from + 1))
                    .map(|at| if at < from { format!("shown{at}") } else { format!("pl4nted{at}") })
                    .collect();
                let text = format!("{before}{} {};\n{after}", directive.name, words.join(" "));
                let tree =
                    config::load_text(text.as_bytes(), Path::new("/p/c"), &registry).unwrap();
                let effective = tree.effective(&registry, false);
                assert!(!effective.text.contains("pl4nted"), "{}", effective.text);
                assert!(effective.text.contains(directive.name), "{}", effective.text);
                assert!(effective.secrets.iter().any(|secret| secret.starts_with("pl4nted")));
                tested += 1;
            }
        }
        assert!(tested >= 4, "{tested}");
    }

    #[test]
    fn comments_rows_and_unknown_names_are_not_told() {
        let text = "# pl4nted\nnobody_knows pl4nted;\nmail { route { mrose 10.0.0.1; \
                    @a.example 10.0.0.2; default http://u:pl4nted@10.0.0.3; } }";
        let registry = registry::registry();
        let tree = config::load_text(text.as_bytes(), Path::new("/p/c"), &registry).unwrap();
        let text = tree.effective(&registry, false).text;
        assert!(!text.contains("pl4nted") && !text.contains("mrose"), "{text}");
        assert!(text.contains("@a.example 10.0.0.2;"), "{text}");
        assert!(tree.effective(&registry, true).text.contains("mrose"));
    }

    #[test]
    fn a_host_is_found_in_whatever_names_one() {
        for (word, want) in [
            ("mail.a.example", Some("mail.a.example")),
            ("mail.a.example:143", Some("mail.a.example")),
            ("https://***@h.example:8/x", Some("h.example")),
            ("10.0.0.1:143", None),
            ("*.a.example", None),
            ("~^x", None),
            ("unix:/a.b", None),
            ("weight=1.x", None),
            ("backup", None),
        ] {
            assert_eq!(host(word).as_deref(), want, "{word}");
        }
    }
}
