//! # settings: what an admin sets
//!
//! **For.** One file of values, `conf/settings.toml`, from which templates make the configuration.
//! Every value that can be set is a [`Key`], in a table of its subject ([`KEYS`]): its type, range,
//! default, description, Zimbra's names for it, the template variables it fills and the directives
//! it ends in. The file's check, `gatepost conf`, `docs/settings.md`, the shipped file and the
//! variables are all cut from that one record.
//!
//! **In.** The text of the file: `[global]`, `[server."NAME"]` and `[domain."NAME"]`, with dotted
//! keys below ([`Settings::parse`]). **Out.** Values, each with the level it comes from
//! ([`Settings::value`]): a domain's own, else its server's, else the global one, else the default.
//! Changes are made to the text and keep its comments and order ([`Draft`]); what `zmprov` prints
//! becomes such changes ([`zimbra`]).
//!
//! **Promises.** All faults are told at once, with line, key and range. A file that parses holds
//! values of the right kind only, with no control characters in them. Secrets are not in it: such
//! keys take a path or `env:NAME`, and no fault repeats what was written there.
//!
//! **Limits.** Pure: who reads and writes files, and what a path leads to, is somebody else's matter.

mod data;
mod key;
mod keys;
mod kind;
mod read;
mod units;

pub use data::Data;
pub use key::{Format, Key, Level, Levels, Variable};
pub use keys::{KEYS, all, find, near};
pub use kind::{Kind, Unit, Wrong};
pub use read::{At, Fault, Settings, Value};

/// Where the file is, relative to the prefix.
pub const FILE: &str = "conf/settings.toml";

#[cfg(test)]
mod tests;
