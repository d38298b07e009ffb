//! The `krb5_*` directives, and what they mean once read.

use std::path::PathBuf;

use crate::config::{Block, Directive, MAIL, MAIN, SERVER, Secret, Takes};

const HERE: Directive = Directive {
    name: "",
    within: &[MAIN, MAIL, SERVER],
    takes: Takes::Args(1, 1),
    repeats: false,
    default: "",
    secret: Secret::None,
    doc: "",
};

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "krb5_keytab",
        secret: Secret::File,
        doc: "The file with the keys of our services (`imap/HOST`, `pop/HOST`, `smtp/HOST`, \
              `sieve/HOST`), by which GSSAPI clients are let in; a relative path begins where the \
              configuration lies. It is read at start and with each reload, before privileges are \
              dropped. Absent: what `KRB5_KTNAME` or krb5.conf name, mostly /etc/krb5.keytab, read \
              at each login by `user`. Needs a gatepost that is built with `--features krb5`.",
        ..HERE
    },
    Directive {
        name: "krb5_realm",
        doc: "The realm whose users are known by their bare names: with `krb5_realm EXAMPLE.COM`, \
              `mrose@EXAMPLE.COM` logs in as `mrose`, while `mrose@OTHER.COM` stays what it is. \
              Absent: the realm of the service that the client came to.",
        ..HERE
    },
    Directive {
        name: "krb5_service_host",
        doc: "The host in our services' names: only tickets for `SERVICE/HOST` are taken then. \
              Absent: any key of the service in the keytab will do.",
        ..HERE
    },
];

/// Where our keys are, and whose users are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    pub keytab: Option<PathBuf>,
    pub realm: Option<String>,
    pub host: Option<String>,
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        Self {
            keytab: block.conf_path("krb5_keytab").or_else(|| outer.keytab.clone()),
            realm: name(block, "krb5_realm").or_else(|| outer.realm.clone()),
            host: name(block, "krb5_service_host").or_else(|| outer.host.clone()),
        }
    }
}

/// A part of a principal's name. What would end that part there (RFC 1964 §2.1.1) has no place in a
/// realm or a host.
fn name(block: &Block, directive: &str) -> Option<String> {
    let name = block.text(directive)?;
    let is_fit = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'\\');
    if !name.is_empty() && name.bytes().all(is_fit) {
        return Some(name.to_owned());
    }
    if let Some(at) = block.statement(directive) {
        let text = format!(
            "invalid value \"{name}\" in \"{directive}\" directive, it must be a name without \
             \"/\", \"@\", \"\\\" and blanks"
        );
        block.fault(at, text);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_read_and_an_inner_one_counts() {
        let outer = Block::of(&[("krb5_keytab", "/etc/mail.keytab"), ("krb5_realm", "A.TEST")]);
        let inner = Block::of(&[("krb5_realm", "B.TEST"), ("krb5_service_host", "mail.b.test")]);
        let outer = Settings::read(&outer, &Settings::default());
        let settings = Settings::read(&inner, &outer);
        assert_eq!(settings.keytab.as_deref(), Some("/etc/mail.keytab".as_ref()));
        assert_eq!(settings.realm.as_deref(), Some("B.TEST"));
        assert_eq!(settings.host.as_deref(), Some("mail.b.test"));
        for directive in DIRECTIVES {
            assert!(inner.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
        }
    }

    #[test]
    fn a_name_that_cannot_be_one_is_a_fault() {
        for (directive, value) in
            [("krb5_realm", "\"\""), ("krb5_realm", "@A"), ("krb5_service_host", "imap/a.test")]
        {
            let block = Block::of(&[(directive, value)]);
            Settings::read(&block, &Settings::default());
            let faults = block.faults();
            assert!(faults.len() == 1 && faults[0].contains(directive), "{faults:?}");
        }
    }
}
