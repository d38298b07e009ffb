//! # settings: what an admin sets
//!
//! **For.** One file of values, `conf/settings.toml`, from which templates make the configuration.
//! Every value that can be set is a [`Key`], in a table of its subject ([`all`]): its type, range,
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
mod edit;
mod key;
mod keys;
mod kind;
mod pages;
mod read;
mod units;
pub mod zimbra;

pub use data::Data;
pub use edit::{Draft, Scope};
pub use key::{Format, Key, Level, Levels, Variable};
pub use keys::{all, find, near};
pub use kind::Kind;
pub use pages::{markdown, shipped};
pub use read::{At, Fault, Settings};

/// Where the file is, relative to the prefix.
pub const FILE: &str = "conf/settings.toml";

/// What must hold for any bytes: a file is read, or refused at lines that it has; what was read is
/// there after a change of something else, and what is set can be taken back.
pub fn hold_for_any(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = text.lines().count() + 1;
    let key = find("main.workers").expect("it is a setting");
    match Settings::parse(&text) {
        Err(faults) => assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line))),
        Ok(before) => {
            let mut draft = Draft::new(&text).expect("what was read is TOML");
            draft.set(key, &Scope::Global, &Data::Integer(7));
            let after = Settings::parse(&draft.text()).expect("a value that is right was set");
            assert_eq!(after.own(key, &At::Global), Some(&Data::Integer(7)));
            for other in all().filter(|other| other.name != key.name) {
                assert_eq!(after.own(other, &At::Global), before.own(other, &At::Global));
            }
            assert!(draft.unset(key, &Scope::Global));
            let after = Settings::parse(&draft.text()).expect("a value was taken back");
            assert_eq!(after.own(key, &At::Global), None);
        }
    }
}

#[cfg(test)]
mod tests;
