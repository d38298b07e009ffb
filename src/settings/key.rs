//! One setting, as a record.

use super::kind::Kind;

/// One setting: `docs/settings.md`, `conf explain`, checks and the template variables are cut from
/// it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted, also its place in the file: `mail.imap.port`.
    pub name: &'static str,
    /// Zimbra's names for it: attributes, and keys of its localconfig.
    pub aliases: &'static [&'static str],
    /// Where it may be set.
    pub levels: Levels,
    pub kind: Kind,
    /// As it would be written in the file. `""` and `[]` are none.
    pub default: &'static str,
    pub doc: &'static str,
    /// The template variables that it fills by itself.
    pub variables: &'static [Variable],
    /// The directives it ends in.
    pub directives: &'static [&'static str],
}

/// Which tables of the file may have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    global: bool,
    server: bool,
    domain: bool,
}

impl Levels {
    /// For the whole site only.
    pub const GLOBAL: Self = Self { global: true, server: false, domain: false };
    /// For the site and each of its gateposts.
    pub const SERVER: Self = Self { global: true, server: true, domain: false };
    /// For a domain only.
    pub const DOMAIN: Self = Self { global: false, server: false, domain: true };
    /// Everywhere.
    pub const ALL: Self = Self { global: true, server: true, domain: true };
    /// One machine's own matter.
    pub const MACHINE: Self = Self { global: false, server: true, domain: false };

    pub fn has(self, level: Level) -> bool {
        match level {
            Level::Default => true,
            Level::Global => self.global,
            Level::Server => self.server,
            Level::Domain => self.domain,
        }
    }

    /// `global, server`.
    pub fn words(self) -> String {
        let named = [Level::Global, Level::Server, Level::Domain];
        let has: Vec<_> =
            named.into_iter().filter(|level| self.has(*level)).map(Level::word).collect();
        has.join(", ")
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Default,
    Global,
    Server,
    Domain,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Global => "global",
            Self::Server => "server",
            Self::Domain => "domain",
        }
    }
}

/// A template variable, and how the value is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub format: Format,
}

/// How a value becomes a variable's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `on`, `off`.
    Flag,
    /// Nothing, or `#` to leave the line out.
    Enabler,
    /// `#`, or nothing.
    Disabler,
    /// `60000ms`.
    Milliseconds,
    /// `60s`.
    Seconds,
    Integer,
    /// `10m`.
    Bytes,
    Text,
    /// Elements with blanks between.
    List,
    /// Elements in quotes, each behind a blank.
    Words,
}

impl Key {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            levels: Levels::SERVER,
            kind,
            default,
            doc,
            variables: &[],
            directives: &[],
        }
    }

    pub(super) const fn at(self, levels: Levels) -> Self {
        Self { levels, ..self }
    }

    pub(super) const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(super) const fn fills(self, variables: &'static [Variable]) -> Self {
        Self { variables, ..self }
    }

    pub(super) const fn ends_in(self, directives: &'static [&'static str]) -> Self {
        Self { directives, ..self }
    }

    /// Whether it names where a secret is.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::SecretFile)
    }
}
