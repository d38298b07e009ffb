//! `route_cache`: what is kept, how much of it, and for how long.

use std::time::Duration;

use super::scope::Scope;
use crate::config::value::{read_size, read_time};
use crate::config::{Block, Directive, MAIL, SERVER, Secret, Takes};

pub const DIRECTIVES: &[Directive] = &[Directive {
    name: "route_cache",
    within: &[MAIL, SERVER],
    takes: Takes::AtLeast(1),
    repeats: false,
    default: "on",
    secret: Secret::None,
    doc: "Whether routes are kept, in this process and in the servers of `memcached`: `on|off \
          [size=64m] [ttl=1h] [alias_ttl=1h] [id_ttl=1h] [negative=5s] [stale=1h] [scope=NAME]`. In \
          `server` it is `on` or `off` alone. What is kept is what a source said without having seen \
          a password, once an upstream has let that login in. `size` bounds what the process keeps, \
          in bytes, for all workers and servers together, from 64k. The times are how long a route \
          is as good as asking: `ttl` by a name, `alias_ttl` by a name that is not the account's \
          own, `id_ttl` by an account's id; `negative` is how long nobody asks again about a name \
          that a source does not know (`0` asks each time). Each is shortened or lengthened by up \
          to a tenth, by chance. For `stale` after that a route still serves, while it is asked for \
          anew once, in the background; where a password must be shown to ask, it serves if asking \
          fails. Routes are shared by servers and nodes whose sources are spelled alike; those \
          with the same `scope` share them whatever their spelling. See [cache.md](cache.md).",
}];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub on: bool,
    /// Bytes.
    pub size: u64,
    pub ttl: Duration,
    pub alias_ttl: Duration,
    pub id_ttl: Duration,
    pub negative: Duration,
    pub stale: Duration,
    /// By its name, where one is given.
    named: Option<Scope>,
    /// Of the sources.
    digest: Scope,
}

const HOUR: Duration = Duration::from_secs(3600);

/// A month: what counts ticks goes on for years.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

pub const SMALLEST: u64 = 64 << 10;

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            size: 64 << 20,
            ttl: HOUR,
            alias_ttl: HOUR,
            id_ttl: HOUR,
            negative: Duration::from_secs(5),
            stale: HOUR,
            named: None,
            digest: Scope::default(),
        }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        let digest = Scope::read(block, outer.digest);
        let mut settings = Self { digest, ..outer.clone() };
        let Some(at) = block.statement("route_cache") else { return settings };
        settings.on = block.flag_of(at, 0).unwrap_or(outer.on);
        for word in &at.args()[1..] {
            if block.name() == "server" {
                block.fault(at, format!("\"{word}\" stands in \"mail\" alone, for all servers"));
            } else if let Err(fault) = settings.set(word) {
                block.fault(at, fault);
            }
        }
        settings
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let wrong = || format!("invalid parameter \"{word}\" in \"route_cache\" directive");
        let (name, value) = word.split_once('=').ok_or_else(wrong)?;
        let time = || read_time(value).ok().filter(|time| *time <= LONGEST).ok_or_else(wrong);
        let some_time =
            || time().and_then(|time| (!time.is_zero()).then_some(time).ok_or_else(wrong));
        match name {
            "size" => {
                let size = read_size(value).ok().filter(|size| *size >= SMALLEST);
                self.size = size.ok_or_else(wrong)?;
            }
            "ttl" => self.ttl = some_time()?,
            "alias_ttl" => self.alias_ttl = some_time()?,
            "id_ttl" => self.id_ttl = some_time()?,
            "negative" => self.negative = time()?,
            "stale" => self.stale = time()?,
            "scope" if !value.is_empty() => self.named = Some(Scope::named(value)),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    pub fn scope(&self) -> Scope {
        self.named.unwrap_or(self.digest)
    }

    /// The same for questions that fewer are asked: nothing of it is shared with logins.
    pub fn apart(&self) -> Self {
        Self { named: self.named.map(Scope::apart), digest: self.digest.apart(), ..self.clone() }
    }

    /// How long a route lives in the shared cache.
    pub fn shared(&self, life: Duration) -> Duration {
        life + self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Settings, Vec<String>) {
        let block = Block::parse(text);
        (Settings::read(&block, &Settings::default()), block.faults())
    }

    #[test]
    fn each_parameter_is_read() {
        let (settings, faults) = read(
            "route_cache on size=1g ttl=2h alias_ttl=3m id_ttl=4s negative=0 stale=1d scope=a;",
        );
        assert_eq!(faults, [""; 0]);
        let secs = Duration::from_secs;
        let want = Settings {
            on: true,
            size: 1 << 30,
            ttl: secs(7200),
            alias_ttl: secs(180),
            id_ttl: secs(4),
            negative: secs(0),
            stale: secs(86400),
            named: Some(Scope::named("a")),
            digest: Scope::default(),
        };
        assert_eq!(settings, want);
        assert_eq!(read("route_cache on;").0, Settings::default());
        assert!(!read("route_cache off;").0.on);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for word in ["ttl=0", "size=1k", "ttl", "ttl=x", "scope=", "stale=31d", "x=1"] {
            let (_, faults) = read(&format!("route_cache on {word};"));
            let want =
                format!("invalid parameter \"{word}\" in \"route_cache\" directive in test:1");
            assert_eq!(faults, [want]);
        }
        assert_eq!(read("route_cache maybe;").1.len(), 1);
    }

    #[test]
    fn a_server_says_no_more_than_on_or_off() {
        let mail = Block::parse("server { route_cache off; } server { route_cache on size=1m; }");
        let outer = Settings { ttl: HOUR * 2, ..Settings::default() };
        let servers = mail.blocks("server");
        let off = Settings::read(servers[0], &outer);
        assert_eq!(mail.faults(), [""; 0]);
        assert_eq!(Settings::read(servers[1], &outer), outer);
        assert_eq!(off, Settings { on: false, ..outer });
        let words = "\"size=1m\" stands in \"mail\" alone, for all servers in test:1";
        assert_eq!(mail.faults(), [words]);
    }
}
