//! Login names that say more than whose mailbox it is.
//!
//! ```text
//! mrose/tb*boss
//! |    |   '--- a master: whose password it is
//! |    '------- a suffix: how the mailbox is used, for the upstream alone
//! '------------ the mailbox: what is looked up
//! ```
//!
//! `user*master` is Dovecot's and Zimbra's way to log in as somebody else; `/tb`, `/wm` and `/ni` are
//! Zimbra's, by which a server knows the kind of a client. Which separator and which suffixes there
//! are is configuration.
//!
//! **Promises.** Nothing is lost: a name that is joined again with its own mailbox is what it was.
//! The mailbox is never empty, unless the name is.
//!
//! **Rules.** The first separator counts, if something stands on both its sides. Of the suffixes
//! that the mailbox ends with, the longest one counts, in the case it is configured in, if
//! something is left before it; one is taken off, not several.
//!
//! Only the mailbox gets a domain. A master has none of his own: he is a master of the whole server,
//! and a name that came apart from the mailbox's is such a one, unless it is the same user's. Who has
//! proved his name to us, by certificate or ticket, has proved that name and no longer one: which
//! server he comes to is his to choose.

use super::{Attempt, Mechanism};

/// Addresses that end so are the postmaster's.
pub const POSTMASTERS: &str = "@postmaster.local";

/// What they all stand for.
const POSTMASTER: &[u8] = b"postmaster@postmaster.local";

/// Whether a name says which domain it is of.
pub fn has_domain(name: &[u8]) -> bool {
    name.contains(&b'@')
}

/// Whether it is the postmaster's, in any letter case.
pub fn is_postmasters(name: &[u8]) -> bool {
    let user = name.len().checked_sub(POSTMASTERS.len()).filter(|user| *user > 0);
    user.is_some_and(|user| name[user..].eq_ignore_ascii_case(POSTMASTERS.as_bytes()))
}

/// What names mean to one virtual server.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What stands before a master, if there can be one.
    pub separator: Option<u8>,
    pub suffixes: &'a [String],
    /// Of names that have none.
    pub domain: Option<&'a str>,
    /// Whether the postmaster has a place of his own.
    pub postmaster: bool,
}

impl Rules<'_> {
    /// The attempt as its names are meant, and the suffix that the upstream's name of the mailbox
    /// has.
    ///
    /// A message without a login is for its recipient, who is taken as he is written.
    pub fn apply(&self, attempt: &Attempt) -> (Attempt, String) {
        let mut attempt = attempt.clone();
        // A principal is nothing that a client hangs suffixes on.
        if attempt.envelope.is_some() || attempt.mechanism == Mechanism::Gssapi {
            return (attempt, String::new());
        }
        let is_typed = attempt.mechanism != Mechanism::External;
        // Whose password it is can be another's only where there is one.
        let separator = self
            .separator
            .filter(|_| attempt.authzid.is_none() && attempt.mechanism.brings_password());
        let name = attempt.mailbox().to_vec();
        let name = Name::split(&name, separator, self.suffixes);
        let suffix = String::from_utf8_lossy(name.suffix.unwrap_or_default()).into_owned();
        let mailbox = if is_typed { self.mailbox(name.mailbox) } else { name.mailbox.into() };
        match (name.master, attempt.authzid.take()) {
            (Some(master), _) => {
                attempt.user = master.into();
                attempt.authzid = Some(mailbox);
            }
            (None, Some(_)) => {
                let user = self.mailbox(&attempt.user);
                let is_same = is_typed && user == mailbox;
                if is_same || is_typed && is_postmasters(&user) {
                    attempt.user = user;
                }
                // RFC 4616 §2: it is told apart only where it differs.
                attempt.authzid = (!is_same || !suffix.is_empty()).then_some(mailbox);
            }
            (None, None) => attempt.user = mailbox,
        }
        (attempt, suffix)
    }

    /// Whose secret an attempt that is [meant](Self::apply) so brings, by the one name that all
    /// spellings have in common: in lower case, without suffixes, with its domain. For counting only;
    /// what is looked up and told upstream keeps its own.
    ///
    /// A name that is proved is no other's ([`Self::apply`]).
    pub fn owner(&self, meant: &Attempt) -> Box<[u8]> {
        let is_typed = !matches!(meant.mechanism, Mechanism::External | Mechanism::Gssapi);
        if meant.envelope.is_some() || !is_typed {
            return meant.user.to_ascii_lowercase().into();
        }
        let name = Name::split(&meant.user, None, self.suffixes);
        self.mailbox(name.mailbox).to_ascii_lowercase().into()
    }

    fn mailbox(&self, name: &[u8]) -> Box<[u8]> {
        match self.domain {
            Some(domain) if !name.is_empty() && !has_domain(name) => {
                [name, b"@", domain.as_bytes()].concat().into()
            }
            _ if self.postmaster && is_postmasters(name) => POSTMASTER.into(),
            _ => name.into(),
        }
    }
}

/// A login name in its parts, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// Whose mailbox it is.
    pub mailbox: &'a [u8],
    /// How it is used.
    pub suffix: Option<&'a [u8]>,
    /// Whose password it is, if it is not the mailbox's.
    pub master: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Name<'a> {
    /// Takes `name` apart. `separator`: what stands before a master, if there can be one.
    pub fn split(name: &'a [u8], separator: Option<u8>, suffixes: &[String]) -> Self {
        let at = separator.and_then(|mark| name.iter().position(|byte| *byte == mark));
        let (user, master) = match at.map(|at| (&name[..at], &name[at + 1..])) {
            Some((user, master)) if !user.is_empty() && !master.is_empty() => (user, Some(master)),
            _ => (name, None),
        };
        let ends = |suffix: &&[u8]| !suffix.is_empty() && user.len() > suffix.len();
        let suffix = suffixes
            .iter()
            .map(String::as_bytes)
            .filter(ends)
            .filter(|suffix| user.ends_with(suffix))
            .max_by_key(|suffix| suffix.len());
        let (mailbox, suffix) = match suffix {
            Some(suffix) => {
                let (mailbox, suffix) = user.split_at(user.len() - suffix.len());
                (mailbox, Some(suffix))
            }
            None => (user, None),
        };
        Self { mailbox, suffix, master, separator: separator.unwrap_or_default() }
    }

    /// The same name with another mailbox in it, as an upstream is told.
    pub fn rejoin(&self, mailbox: &[u8]) -> Vec<u8> {
        let mut name = [mailbox, self.suffix.unwrap_or_default()].concat();
        if let Some(master) = self.master {
            name.push(self.separator);
            name.extend_from_slice(master);
        }
        name
    }
}

/// What must hold for any name, whatever is configured; fuzz/ calls it too.
///
/// The first byte is the separator; `/` brings suffixes with it.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let Some((&mark, name)) = input.split_first() else { return };
    let suffixes = ["/tb", "b", "", "/wm/tb"].map(str::to_owned);
    for separator in [None, Some(mark)] {
        for suffixes in [&suffixes[..], &[]] {
            let parts = Name::split(name, separator, suffixes);
            assert_eq!(parts.rejoin(parts.mailbox), name);
            assert_eq!(parts.mailbox.is_empty(), name.is_empty());
            assert!(parts.master.is_none_or(|master| !master.is_empty()));
            // The mailbox is what any other name of its own would have.
            if parts.suffix.is_none() {
                assert_eq!(Name::split(parts.mailbox, separator, suffixes).mailbox, parts.mailbox);
            }
            for mechanism in [Mechanism::Login, Mechanism::XOauth2, Mechanism::External] {
                let rules =
                    Rules { separator, suffixes, domain: Some("x.example"), postmaster: true };
                let attempt = Attempt::new(mechanism, name, super::Secret::default());
                let (meant, suffix) = rules.apply(&attempt);
                let is_whole = meant.mailbox().is_empty() || has_domain(meant.mailbox());
                assert!(is_whole || mechanism == Mechanism::External);
                assert_eq!(is_postmasters(meant.mailbox()), meant.mailbox() == POSTMASTER);
                assert!(suffix.is_empty() || suffixes.contains(&suffix));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn suffixes() -> Vec<String> {
        ["/tb", "/wm", "/ni", "/x/tb"].map(str::to_owned).to_vec()
    }

    fn shown(name: &str, separator: Option<u8>) -> String {
        let suffixes = suffixes();
        let Name { mailbox, suffix, master, .. } =
            Name::split(name.as_bytes(), separator, &suffixes);
        [Some(mailbox), suffix, master]
            .map(|part| part.unwrap_or(b"-").escape_ascii().to_string())
            .join(" ")
    }

    #[test]
    fn a_name_is_taken_apart() {
        for (name, want) in [
            ("mrose", "mrose - -"),
            ("mrose@example.com", "mrose@example.com - -"),
            ("mrose@example.com/tb", "mrose@example.com /tb -"),
            ("mrose/ni", "mrose /ni -"),
            ("mrose*boss", "mrose - boss"),
            ("mrose/wm*boss", "mrose /wm boss"),
            // A suffix is the mailbox's, not the master's.
            ("mrose*boss/wm", "mrose - boss/wm"),
            ("mrose*boss*x", "mrose - boss*x"),
            // The longest, and once.
            ("mrose/x/tb", "mrose /x/tb -"),
            ("mrose/tb/tb", "mrose/tb /tb -"),
            // In its own case, at the end, with something before it.
            ("mrose/TB", "mrose/TB - -"),
            ("mrose/tb@example.com", "mrose/tb@example.com - -"),
            ("/tb", "/tb - -"),
            ("/tb*boss", "/tb - boss"),
            ("*boss", "*boss - -"),
            ("mrose*", "mrose* - -"),
            ("mrose/tb*", "mrose/tb* - -"),
            ("*", "* - -"),
            ("", " - -"),
        ] {
            assert_eq!(shown(name, Some(b'*')), want, "{name:?}");
        }
    }

    #[test]
    fn without_a_separator_there_is_no_master() {
        assert_eq!(shown("mrose*boss/tb", None), "mrose*boss /tb -");
        assert_eq!(shown("mrose*boss", Some(b'%')), "mrose*boss - -");
    }

    /// `user / mailbox / suffix`, `-` for a mailbox that is the user's own.
    fn meant(rules: &Rules<'_>, mechanism: Mechanism, user: &str, authzid: Option<&str>) -> String {
        let authzid = authzid.map(|name| name.as_bytes().into());
        let attempt = Attempt::new(mechanism, user.as_bytes(), crate::login::Secret::default());
        let (meant, suffix) = rules.apply(&Attempt { authzid, ..attempt });
        let mailbox = meant.authzid.unwrap_or_else(|| (*b"-").into());
        format!("{} {} {suffix}", meant.user.escape_ascii(), mailbox.escape_ascii())
    }

    #[test]
    fn a_bare_name_gets_the_domain_of_the_server() {
        let suffixes = suffixes();
        let rules = Rules {
            separator: Some(b'*'),
            suffixes: &suffixes,
            domain: Some("example.com"),
            postmaster: false,
        };
        for (user, authzid, want) in [
            ("mrose", None, "mrose@example.com - "),
            ("mrose@other.example", None, "mrose@other.example - "),
            // As Dovecot and Zimbra see it, too.
            ("mrose@", None, "mrose@ - "),
            ("", None, " - "),
            // The domain is the mailbox's: before its suffix, and not the master's.
            ("mrose/tb", None, "mrose@example.com - /tb"),
            ("mrose*boss", None, "boss mrose@example.com "),
            ("mrose/tb*boss", None, "boss mrose@example.com /tb"),
            ("mrose*boss@corp.example", None, "boss@corp.example mrose@example.com "),
            ("mrose@other.example*boss", None, "boss mrose@other.example "),
            ("boss", Some("mrose"), "boss mrose@example.com "),
            ("boss", Some("mrose/tb"), "boss mrose@example.com /tb"),
            ("boss", Some("mrose@other.example"), "boss mrose@other.example "),
            // One and the same, once the domain is there.
            ("mrose", Some("mrose@example.com"), "mrose@example.com - "),
            ("mrose@example.com", Some("mrose"), "mrose@example.com - "),
            ("mrose", Some("mrose@other.example"), "mrose mrose@other.example "),
            ("mrose", Some("mrose/tb"), "mrose@example.com mrose@example.com /tb"),
        ] {
            assert_eq!(
                meant(&rules, Mechanism::Plain, user, authzid),
                want,
                "{user:?} {authzid:?}"
            );
        }
        let none = Rules { domain: None, ..rules };
        assert_eq!(meant(&none, Mechanism::Plain, "mrose/tb", None), "mrose - /tb");
        assert_eq!(meant(&none, Mechanism::Plain, "boss", Some("mrose")), "boss mrose ");
    }

    #[test]
    fn a_name_that_is_proved_is_no_other_at_another_server() {
        let rules = Rules {
            separator: Some(b'*'),
            suffixes: &[],
            domain: Some("example.com"),
            postmaster: true,
        };
        for (mechanism, want) in [
            (Mechanism::Login, "mrose@example.com - "),
            (Mechanism::Apop, "mrose@example.com - "),
            (Mechanism::CramMd5, "mrose@example.com - "),
            (Mechanism::ScramSha256, "mrose@example.com - "),
            (Mechanism::XOauth2, "mrose@example.com - "),
            (Mechanism::External, "mrose - "),
            (Mechanism::Gssapi, "mrose - "),
        ] {
            assert_eq!(meant(&rules, mechanism, "mrose", None), want, "{mechanism:?}");
        }
        assert_eq!(meant(&rules, Mechanism::External, "mrose", Some("boss")), "mrose boss ");
    }

    #[test]
    fn all_spellings_of_a_name_count_as_one() {
        let suffixes = suffixes();
        let rules = Rules {
            separator: Some(b'*'),
            suffixes: &suffixes,
            domain: Some("Example.com"),
            postmaster: false,
        };
        let owner = |mechanism, user: &str, authzid: Option<&str>| {
            let authzid = authzid.map(|name| name.as_bytes().into());
            let attempt = Attempt::new(mechanism, user.as_bytes(), crate::login::Secret::default());
            let (meant, _) = rules.apply(&Attempt { authzid, ..attempt });
            rules.owner(&meant).escape_ascii().to_string()
        };
        for (user, authzid) in [
            ("x", None),
            ("X", None),
            ("X@EXAMPLE.com", None),
            ("x/tb", None),
            ("X@Example.com/wm", None),
            ("X", Some("x@example.com")),
            ("x", Some("x/tb")),
            // Whose password it is, whoever's mailbox it is for.
            ("x/tb", Some("y")),
            ("X@example.com", Some("y")),
            ("y*x", None),
            ("y/wm*X/tb", None),
        ] {
            let got = owner(Mechanism::Plain, user, authzid);
            assert_eq!(got, "x@example.com", "{user:?} {authzid:?}");
        }
        assert_eq!(owner(Mechanism::Plain, "x@other.example", None), "x@other.example");
        assert_eq!(owner(Mechanism::External, "X/tb", None), "x", "a certificate is of no domain");
    }

    #[test]
    fn the_postmaster_is_one_however_he_is_spelled() {
        let suffixes = suffixes();
        let rules = Rules {
            separator: Some(b'*'),
            suffixes: &suffixes,
            domain: Some("example.com"),
            postmaster: true,
        };
        let one = "postmaster@postmaster.local - ";
        for (user, authzid, want) in [
            ("postmaster@postmaster.local", None, one),
            ("x@postmaster.local", None, one),
            ("X@PostMaster.LOCAL", None, one),
            ("a@b@postmaster.local", None, one),
            ("x@postmaster.local/tb", None, "postmaster@postmaster.local - /tb"),
            ("x@postmaster.local*boss", None, "boss postmaster@postmaster.local "),
            ("boss", Some("y@postmaster.local"), "boss postmaster@postmaster.local "),
            ("x@postmaster.local", Some("y@postmaster.local"), one),
            ("x@postmaster.local", Some("mrose"), "postmaster@postmaster.local mrose@example.com "),
            // Names of their own.
            ("@postmaster.local", None, "@postmaster.local - "),
            ("x@a.postmaster.local", None, "x@a.postmaster.local - "),
            ("x@postmaster.local.", None, "x@postmaster.local. - "),
            ("xpostmaster.local", None, "xpostmaster.local@example.com - "),
            ("x@postmaster.local@example.com", None, "x@postmaster.local@example.com - "),
        ] {
            assert_eq!(
                meant(&rules, Mechanism::Plain, user, authzid),
                want,
                "{user:?} {authzid:?}"
            );
        }
        let without = Rules { postmaster: false, ..rules };
        let name = "x@postmaster.local";
        assert_eq!(meant(&without, Mechanism::Plain, name, None), format!("{name} - "));
    }

    #[test]
    fn another_mailbox_takes_its_place() {
        let suffixes = suffixes();
        for (name, want) in [
            ("mrose", "m.rose@example.com"),
            ("mrose/tb", "m.rose@example.com/tb"),
            ("mrose*boss", "m.rose@example.com*boss"),
            ("mrose/tb*boss", "m.rose@example.com/tb*boss"),
        ] {
            let name = Name::split(name.as_bytes(), Some(b'*'), &suffixes);
            assert_eq!(name.rejoin(b"m.rose@example.com"), want.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn holds_for_any_name(name in "[*/tb\u{fc}]{0,8}", mark in "[*/tb]") {
            hold_for_any(format!("{mark}{name}").as_bytes());
        }
    }
}
