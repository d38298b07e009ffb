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
