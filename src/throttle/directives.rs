//! How many sessions there may be at once: freenginx's `ngx_mail_limit_conn_module`, and what the
//! modules for HTTP and streams have beyond it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::Key;
use crate::config::value::read_size;
use crate::config::{Block, Directive, MAIL, SERVER, Secret, Statement, Takes};
use crate::observe::Level;

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "limit_conn_zone",
        within: &[MAIL],
        takes: Takes::Args(2, 2),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "What sessions are counted by, and where: `KEY zone=NAME:SIZE`. The key is text with the \
              variables of `log_format`; sessions whose key is empty do not count. `$binary_remote_addr` \
              counts by address, `$remote_prefix` by network (IPv4 /24, IPv6 /64: an IPv6 client has a \
              whole /64 to choose from), `$remote_user` by login, `$server_name` by \
              server. A login counts by the name that is meant, in any letter case: with its \
              `default_domain`, without its `login_suffixes`, and by the account's own name where a \
              lookup tells it, so that nobody is several by how the name is typed. A key that names the login, or what TLS brings, counts from the login on, any \
              other from the connection on, and both until the session's end. Only what is known by \
              then may stand in it. Counts are shared by all workers and outlive a reload, unless the \
              key changes. The size bounds the keys, of which 1m holds about 10000; when there is no \
              room, sessions with a new key are refused.",
    },
    Directive {
        name: "limit_conn",
        within: &[MAIL, SERVER],
        takes: Takes::Args(2, 2),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "How many sessions of one key there may be at once: `ZONE NUMBER`, from 1 to 65535. Several \
              hold together. One too many is told so in its protocol's words and closed. Those of an \
              outer block hold only where the inner one has none.",
    },
    Directive {
        name: "limit_conn_log_level",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "error",
        secret: Secret::None,
        doc: "At which level a session too many is logged: `info`, `notice`, `warn` or `error`.",
    },
    Directive {
        name: "limit_conn_dry_run",
        within: &[MAIL, SERVER],
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether a session too many is only logged, and let in uncounted.",
    },
];

/// What holds in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// By name.
    pub zones: Arc<BTreeMap<String, Plan>>,
    pub limits: Arc<[Limit]>,
    pub level: Level,
    pub dry_run: bool,
}

/// `limit_conn_zone`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub key: Arc<Key>,
    /// In bytes.
    pub size: u64,
}

/// `limit_conn`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub zone: String,
    pub most: u32,
}

/// nginx's least: eight pages.
const SMALLEST: u64 = 32 * 1024;

/// nginx's bound.
const MOST: u32 = 65535;

const LEVELS: [(&str, Level); 4] = [
    ("info", Level::Info),
    ("notice", Level::Notice),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

impl Default for Settings {
    fn default() -> Self {
        Self { zones: Arc::default(), limits: Arc::default(), level: Level::Error, dry_run: false }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        let zones = match block.has("limit_conn_zone") {
            true => Arc::new(zones(block)),
            false => Arc::clone(&outer.zones),
        };
        let limits = match block.has("limit_conn") {
            true => limits(block, &zones).into(),
            false => Arc::clone(&outer.limits),
        };
        Self {
            zones,
            limits,
            level: block.choice("limit_conn_log_level", &LEVELS).unwrap_or(outer.level),
            dry_run: block.flag("limit_conn_dry_run").unwrap_or(outer.dry_run),
        }
    }
}

fn zones(block: &Block) -> BTreeMap<String, Plan> {
    let mut zones: BTreeMap<String, Plan> = BTreeMap::new();
    for at in block.all("limit_conn_zone") {
        match zone(at) {
            Err(fault) => block.fault(at, fault),
            Ok((name, plan)) => {
                if let Some(first) = zones.get(&name) {
                    let key = first.key.text();
                    let fault = format!("zone \"{name}\" is already bound to key \"{key}\"");
                    block.fault(at, fault);
                } else {
                    zones.insert(name, plan);
                }
            }
        }
    }
    zones
}

fn zone(at: &Statement) -> Result<(String, Plan), String> {
    let [key, zone] = at.args() else { return Err("a key and a zone are needed".to_owned()) };
    let wrong =
        |what: &str| format!("{what} in \"limit_conn_zone\" directive, it must be zone=NAME:SIZE");
    let Some(zone) = zone.strip_prefix("zone=") else {
        return Err(wrong(&format!("invalid parameter \"{zone}\"")));
    };
    let (name, size) = zone.rsplit_once(':').unwrap_or((zone, ""));
    if name.is_empty() {
        return Err(wrong("invalid zone name"));
    }
    let size = read_size(size).map_err(|_| wrong(&format!("invalid zone size \"{zone}\"")))?;
    if size < SMALLEST {
        return Err(format!("zone \"{zone}\" is too small, it must have 32k or more"));
    }
    let key = Key::read(key).map_err(|error| {
        format!("invalid key \"{key}\" in \"limit_conn_zone\" directive: {error}")
    })?;
    Ok((name.to_owned(), Plan { key: Arc::new(key), size }))
}

fn limits(block: &Block, zones: &BTreeMap<String, Plan>) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for at in block.all("limit_conn") {
        let Some(most) = block.number_of(at, 1, 1..=MOST) else { continue };
        let zone = at.args()[0].clone();
        if !zones.contains_key(&zone) {
            let words = "say what it counts by \"limit_conn_zone\" in the \"mail\" block";
            block
                .fault(at, format!("unknown zone \"{zone}\" in \"limit_conn\" directive, {words}"));
        } else if limits.iter().any(|limit| limit.zone == zone) {
            block.fault(at, format!("\"limit_conn\" directive with zone \"{zone}\" is duplicate"));
        } else {
            limits.push(Limit { zone, most });
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_read_and_its_default_is_true() {
        let pairs: Vec<_> = DIRECTIVES
            .iter()
            .filter(|directive| !directive.default.is_empty())
            .map(|directive| (directive.name, directive.default))
            .collect();
        let block = Block::of(&pairs);
        assert_eq!(Settings::read(&block, &Settings::default()), Settings::default());
        assert_eq!(block.faults(), [] as [&str; 0]);
        for directive in DIRECTIVES {
            assert!(block.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
        }
    }

    #[test]
    fn a_server_inherits_all_limits_or_has_its_own() {
        let mail = Block::of(&[
            ("limit_conn", "a 5"),
            ("limit_conn", "b 70"),
            ("limit_conn_zone", "$remote_addr zone=a:32k"),
            ("limit_conn_zone", "$server_name:$protocol zone=b:1m"),
            ("limit_conn_log_level", "warn"),
        ]);
        let outer = Settings::read(&mail, &Settings::default());
        let limit = |zone: &str, most| Limit { zone: zone.to_owned(), most };
        assert_eq!(*outer.limits, [limit("a", 5), limit("b", 70)]);
        assert_eq!(outer.zones["b"].size, 1 << 20);
        let server = Block::of(&[("limit_conn_dry_run", "on")]);
        let inner = Settings::read(&server, &outer);
        assert_eq!(inner, Settings { dry_run: true, ..outer.clone() });
        let server = Block::of(&[("limit_conn", "b 1"), ("limit_conn_log_level", "info")]);
        let inner = Settings::read(&server, &outer);
        assert_eq!((&*inner.limits, inner.level), (&[limit("b", 1)][..], Level::Info));
        assert_eq!((mail.faults(), server.faults()), (vec![], vec![]));
    }

    #[test]
    fn a_mistake_is_named() {
        for (name, args, want) in [
            (
                "limit_conn_zone",
                "$remote_addr addr:1m",
                "invalid parameter \"addr:1m\" in \"limit_conn_zone\" directive, it must be \
                 zone=NAME:SIZE",
            ),
            (
                "limit_conn_zone",
                "$remote_addr zone=addr",
                "invalid zone size \"addr\" in \"limit_conn_zone\" directive, it must be \
                 zone=NAME:SIZE",
            ),
            (
                "limit_conn_zone",
                "$remote_addr zone=:1m",
                "invalid zone name in \"limit_conn_zone\" directive, it must be zone=NAME:SIZE",
            ),
            (
                "limit_conn_zone",
                "$remote_addr zone=addr:31k",
                "zone \"addr:31k\" is too small, it must have 32k or more",
            ),
            (
                "limit_conn_zone",
                "$remote_add zone=addr:1m",
                "invalid key \"$remote_add\" in \"limit_conn_zone\" directive: unknown \
                 \"remote_add\" variable, did you mean \"remote_addr\"?",
            ),
            (
                "limit_conn_zone",
                "$status zone=addr:1m",
                "invalid key \"$status\" in \"limit_conn_zone\" directive: \"$status\" is not \
                 known yet when sessions are counted",
            ),
            (
                "limit_conn_zone",
                "$server_addr zone=z:1m",
                "zone \"z\" is already bound to key \"$remote_addr\"",
            ),
            (
                "limit_conn",
                "y 5",
                "unknown zone \"y\" in \"limit_conn\" directive, say what it counts by \
                 \"limit_conn_zone\" in the \"mail\" block",
            ),
            (
                "limit_conn",
                "z 0",
                "invalid value \"0\" in \"limit_conn\" directive, it must be a number from 1 to \
                 65535",
            ),
            ("limit_conn", "z 6", "\"limit_conn\" directive with zone \"z\" is duplicate"),
            (
                "limit_conn_log_level",
                "crit",
                "invalid value \"crit\" in \"limit_conn_log_level\" directive, it must be \"info\", \
                 \"notice\", \"warn\" or \"error\"",
            ),
        ] {
            let zone = ("limit_conn_zone", "$remote_addr zone=z:1m");
            let block = Block::of(&[zone, ("limit_conn", "z 5"), (name, args)]);
            Settings::read(&block, &Settings::default());
            let faults = block.faults();
            assert!(faults.len() == 1 && faults[0].contains(want), "{faults:?}\n{want}");
        }
    }
}
