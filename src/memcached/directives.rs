//! `memcached { … }`, and `memcache { … }` as Zimbra writes it.

use std::sync::Arc;
use std::time::Duration;

use super::seal::Keyring;
use crate::config::{Block, Directive, MAIN, MEMCACHED, Secret, Takes};
use crate::net::Place;

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "memcached",
        within: &[MAIN],
        takes: Takes::Block(0, 0, MEMCACHED),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The memcached servers (1.6.10 or later) that all gateposts of a fleet share: routes, \
              login counters, leases, and orders such as `gatepost cache purge`. Every node must name \
              the same servers in the same words, and have the same `key`. While a server is down, what \
              it holds is looked up directly.",
    },
    Directive {
        name: "memcache",
        within: &[MAIN],
        takes: Takes::Block(0, 0, MEMCACHED),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "As `memcached`, in Zimbra's words: `servers`, `timeout`, `reconnect`, `ttl`, with \
              `format zimbra` for a default. It excludes `memcached`.",
    },
    Directive {
        name: "server",
        within: &[MEMCACHED],
        takes: Takes::AtLeast(1),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "One or more servers: `HOST[:PORT]`, `[V6][:PORT]` or `unix:PATH`; the port is 11211 if \
              none is given. Names are resolved when connections are made, so one that has no address \
              yet, or gets another, is a server that is down until then.",
    },
    Directive {
        name: "servers",
        within: &[MEMCACHED],
        takes: Takes::AtLeast(1),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "Zimbra's word for `server`.",
    },
    Directive {
        name: "timeout",
        within: &[MEMCACHED],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "300ms",
        secret: Secret::None,
        doc: "How long one request may take, finding the name, connecting and the answer included. A \
              server that takes longer is down for `reconnect`. It is what a login may lose to a server \
              that hangs, so it is less than Zimbra's `3000ms`, and can be as little as `50ms` near the \
              servers. From `1ms` to `60s`.",
    },
    Directive {
        name: "reconnect",
        within: &[MEMCACHED],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "5s",
        secret: Secret::None,
        doc: "For how long a server that failed is left alone. Then one request finds out whether it is \
              back, while the others go on without it. Give or take a tenth, so that the nodes of a fleet \
              do not come back at once. From `100ms` to `1h`.",
    },
    Directive {
        name: "ttl",
        within: &[MEMCACHED],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "1h",
        secret: Secret::None,
        doc: "For how long routes are kept there, unless what keeps them says otherwise.",
    },
    Directive {
        name: "key",
        within: &[MEMCACHED],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::File,
        doc: "A file with the fleet's secret: what has not been sealed by it is not believed, so that \
              who can write into the servers cannot send users elsewhere; and what is there does not show \
              who the users are. `openssl rand -hex 32 > FILE` makes one; it should be readable by \
              gatepost alone. A line for a key: the first one writes, all read. To change it, add the new \
              one below the old on every node and reload, then put it above, then take the old one out. \
              While nodes differ in which comes first, they count logins apart. Relative paths begin \
              where the configuration file lies.",
    },
    Directive {
        name: "format",
        within: &[MEMCACHED],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "gatepost",
        secret: Secret::None,
        doc: "`gatepost`: names are digests by the `key`, values are sealed by it, a server is chosen by \
              rendezvous hashing, so that one more moves its share of the keys alone. `zimbra`: names, \
              values and choice of server are those of Zimbra's proxy, so that both can share one cache; \
              what Zimbra does not have (leases, orders) is sealed if there is a `key`, and off if not.",
    },
    Directive {
        name: "connections",
        within: &[MEMCACHED],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "16",
        secret: Secret::None,
        doc: "How many connections a worker may have to one server, from 1 to 1024. Requests beyond \
              them wait for one.",
    },
];

const PORT: u16 = 11211;

/// More than any fleet has.
const MOST_SERVERS: usize = 64;

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Gatepost,
    Zimbra,
}

/// What is meant by the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub servers: Vec<Place>,
    pub timeout: Duration,
    pub reconnect: Duration,
    pub ttl: Duration,
    pub keys: Option<Arc<Keyring>>,
    pub format: Format,
    /// To one server, from one worker.
    pub connections: usize,
    /// What an operator should know of it; for the log.
    pub notes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_millis(300),
            reconnect: Duration::from_secs(5),
            ttl: Duration::from_secs(3600),
            keys: None,
            format: Format::Gatepost,
            connections: 16,
            notes: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads the block of `main`, if it has one.
    pub fn read(main: &Block) -> Option<Self> {
        let (ours, zimbras) = (main.blocks("memcached"), main.blocks("memcache"));
        let (block, format) = match (ours.first(), zimbras.first()) {
            (Some(ours), None) => (*ours, Format::Gatepost),
            (None, Some(zimbras)) => (*zimbras, Format::Zimbra),
            (Some(ours), Some(_)) => {
                ours.fault_here("\"memcached\" and \"memcache\" exclude each other");
                (*ours, Format::Gatepost)
            }
            (None, None) => return None,
        };
        Some(Self::of(block, Self { format, ..Self::default() }))
    }

    fn of(block: &Block, outer: Self) -> Self {
        let formats = [("gatepost", Format::Gatepost), ("zimbra", Format::Zimbra)];
        let mut notes = Vec::new();
        let keys = keys(block, &mut notes);
        let format = block.choice("format", &formats).unwrap_or(outer.format);
        if format == Format::Gatepost && !block.has("key") {
            block.fault_here(
                "no \"key\" is defined in \"memcached\", so anybody could write into the cache; \
                 \"openssl rand -hex 32 > FILE\" makes one",
            );
        }
        let time = |name, from: Duration, to: Duration| {
            let time = block.time(name)?;
            if (from..=to).contains(&time) {
                return Some(time);
            }
            block.fault(
                block.statement(name)?,
                format!("\"{name}\" must be from {from:?} to {to:?}"),
            );
            None
        };
        let (millisecond, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        Self {
            servers: servers(block),
            timeout: time("timeout", millisecond, Duration::from_secs(60)).unwrap_or(outer.timeout),
            reconnect: time("reconnect", millisecond * 100, hour).unwrap_or(outer.reconnect),
            // nginx of Zimbra takes 0 for ever; memcached's longest is as good.
            ttl: match block.time("ttl") {
                Some(Duration::ZERO) => Duration::from_secs(30 * 24 * 3600),
                Some(ttl) => ttl,
                None => outer.ttl,
            },
            keys,
            format,
            connections: block.number("connections", 1..=1024).unwrap_or(outer.connections),
            notes,
        }
    }
}

fn servers(block: &Block) -> Vec<Place> {
    let mut servers = Vec::new();
    for statement in block.all("server").into_iter().chain(block.all("servers")) {
        for word in statement.args() {
            match Place::parse(word, Some(PORT)) {
                Ok(place) if servers.contains(&place) => {
                    block.fault(statement, format!("duplicate memcached server \"{word}\""));
                }
                Ok(place) => servers.push(place),
                Err(fault) => block.fault(statement, format!("{fault} in \"{word}\"")),
            }
        }
    }
    if !block.has("server") && !block.has("servers") {
        block.fault_here(format!("no \"server\" is defined in \"{}\"", block.name()));
    }
    if servers.len() > MOST_SERVERS {
        block.fault_here(format!("more than {MOST_SERVERS} memcached servers"));
    }
    servers
}

fn keys(block: &Block, notes: &mut Vec<String>) -> Option<Arc<Keyring>> {
    let path = block.conf_path("key")?;
    match Keyring::open(&path) {
        Ok((ring, warning)) => {
            notes.extend(warning);
            Some(Arc::new(ring))
        }
        Err(wrong) => {
            block.fault(block.statement("key")?, wrong);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Settings>, Vec<String>) {
        let block = Block::parse(text);
        let settings = Settings::read(&block);
        block.check_all_read();
        (settings, block.faults())
    }

    fn shown(settings: &Settings) -> Vec<String> {
        settings.servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_as_told() {
        let told: Vec<_> = DIRECTIVES
            .iter()
            .filter(|directive| !directive.default.is_empty())
            .map(|directive| format!("{} {};", directive.name, directive.default))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "ab".repeat(32)).unwrap();
        let text = format!("memcached {{ server a; key {}; {} }}", key.display(), told.concat());
        let (settings, faults) = read(&text);
        assert_eq!(faults, [""; 0]);
        let settings = settings.unwrap();
        let want = Settings {
            servers: settings.servers.clone(),
            keys: settings.keys.clone(),
            notes: settings.notes.clone(),
            ..Settings::default()
        };
        assert_eq!(settings, want);
        assert_eq!(told.len(), 5);
        assert_eq!(read(""), (None, vec![]));
    }

    #[test]
    fn zimbras_block_is_taken_as_it_is_written() {
        let (settings, faults) = read(
            "memcache {\n servers 10.0.0.1:11211 mbox2.example.com [::1]:11212;\n timeout 3000ms;\n \
             reconnect 60000ms;\n ttl 3600000ms;\n}",
        );
        assert_eq!(faults, [""; 0]);
        let settings = settings.unwrap();
        assert_eq!(shown(&settings), ["10.0.0.1:11211", "mbox2.example.com:11211", "[::1]:11212"]);
        assert_eq!(settings.format, Format::Zimbra);
        assert_eq!(settings.timeout, Duration::from_secs(3));
        assert_eq!(settings.reconnect, Duration::from_secs(60));
        assert_eq!(settings.ttl, Duration::from_secs(3600));
        assert!(settings.keys.is_none());
    }

    #[test]
    fn servers_add_up_and_a_forever_is_thirty_days() {
        let (settings, faults) =
            read("memcached { server a b:1; server unix:/run/m; format zimbra; ttl 0; }");
        assert_eq!(faults, [""; 0]);
        let settings = settings.unwrap();
        assert_eq!(shown(&settings), ["a:11211", "b:1", "unix:/run/m"]);
        assert_eq!(settings.ttl, Duration::from_secs(2_592_000));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, wrong) in [
            ("memcached { server a; }", "no \"key\" is defined in \"memcached\""),
            ("memcached { server a; }", "openssl rand -hex 32 > FILE"),
            (
                "memcached { key /nonexistent/key; server a; }",
                "openssl rand -hex 32 > /nonexistent/key",
            ),
            ("memcache { }", "no \"server\" is defined in \"memcache\""),
            ("memcache { servers a a:11211; }", "duplicate memcached server \"a:11211\""),
            ("memcache { servers a:0; }", "invalid port in \"a:0\""),
            ("memcache { servers a; timeout 0; }", "\"timeout\" must be from 1ms to 60s"),
            ("memcache { servers a; reconnect 2h; }", "\"reconnect\" must be from 100ms to 3600s"),
            ("memcache { servers a; connections 0; }", "a number from 1 to 1024"),
            ("memcache { servers a; format own; }", "\"gatepost\" or \"zimbra\""),
            (
                "memcache { servers a; }\nmemcached { server b; format zimbra; }",
                "exclude each other",
            ),
        ] {
            let (_, faults) = read(text);
            assert!(faults.iter().any(|fault| fault.contains(wrong)), "{text}: {faults:?}");
        }
    }
}
