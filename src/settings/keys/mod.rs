//! The settings, a file for each subject.

mod cache;
mod log;
mod lookup;
mod mail;
mod process;
mod services;
mod throttle;
mod tls;
mod upstream;
mod web;

use super::key::Key;
use super::kind::{Kind, Unit};

/// Every setting, by subject, in the order in which they are shown.
pub static KEYS: &[&[Key]] = &[
    process::KEYS,
    log::KEYS,
    mail::KEYS,
    services::KEYS,
    tls::KEYS,
    upstream::KEYS,
    lookup::KEYS,
    cache::KEYS,
    throttle::KEYS,
    web::KEYS,
];

/// What each of [`KEYS`] is about.
pub(super) static SUBJECTS: &[&str] = &[
    "Process, addresses and controls",
    "Logs",
    "IMAP and POP3",
    "SMTP, LMTP and ManageSieve",
    "TLS and certificates",
    "Upstreams",
    "Lookup",
    "Caches",
    "Throttles and limits",
    "Web",
];

/// Every setting.
pub fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().flat_map(|subject| *subject)
}

/// The setting of this name, its own or Zimbra's (in any case).
pub fn find(name: &str) -> Option<&'static Key> {
    let is_alias = |key: &&Key| key.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name));
    all().find(|key| key.name == name).or_else(|| all().find(is_alias))
}

/// What may have been meant by a name that there is not, in a few words.
pub fn near(name: &str) -> Option<String> {
    if name.len() > 200 {
        return None;
    }
    // Only the last part, of a key that was written without its table.
    let end = format!(".{name}");
    let inside: Vec<_> = all().map(|key| key.name).filter(|known| known.ends_with(&end)).collect();
    if !inside.is_empty() && inside.len() <= 4 {
        return Some(format!("did you mean {}?", inside.join(" or ")));
    }
    nearest(
        name,
        all().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied())),
    )
}

/// The likest word, if one is like enough.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    let far = |known: &str| strsim::osa_distance(&known.to_lowercase(), &lower);
    let (far, known) = known.map(|known| (far(known), known)).min()?;
    (far <= (word.len() / 3).max(2)).then(|| format!("did you mean \"{known}\"?"))
}

/// Variables and their formats.
macro_rules! vars {
    ($(($name:literal, $format:ident)),* $(,)?) => {
        &[$(crate::settings::Variable { name: $name, format: crate::settings::Format::$format }),*]
    };
}
use vars;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

/// A time; a bare number is seconds.
const fn time(least: u64, most: u64) -> Kind {
    Kind::Time { unit: Unit::Seconds, least, most }
}

/// A short time, down to milliseconds.
const fn short(least: u64, most: u64) -> Kind {
    Kind::Time { unit: Unit::Milliseconds, least, most }
}

const fn integer(least: i64, most: i64) -> Kind {
    Kind::Integer { least, most }
}

const fn bytes(least: u64, most: u64) -> Kind {
    Kind::Bytes { least, most }
}

const ON_OFF_AUTO: Kind = Kind::Choice(&["auto", "on", "off"]);
const TEXTS: Kind = Kind::List(&Kind::Text);
const HOSTS: Kind = Kind::List(&Kind::Host);
const SERVERS: Kind = Kind::List(&Kind::HostPort);
const NETWORKS: Kind = Kind::List(&Kind::Network);
const MECHANISMS: Kind = Kind::List(&Kind::Choice(&[
    "login",
    "cram-md5",
    "apop",
    "external",
    "scram-sha-256",
    "xoauth2",
    "oauthbearer",
]));
