//! `limit_conn`: how many sessions there may be at once of one key.

use std::sync::Arc;

use super::directives::Settings;
use super::key::Names;
use super::zone::{Held, Shut, Zone, Zones};
use crate::login::{Kind, Refusal};
use crate::observe::access::Line;
use crate::observe::{Level, Log};

/// The limits of one server, ready to be asked.
#[derive(Debug)]
pub struct Connections {
    bounds: Box<[Bound]>,
    level: Level,
    dry_run: bool,
}

#[derive(Debug)]
struct Bound {
    zone: Arc<Zone>,
    size: u64,
    most: u32,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client, and the server it came to, are known: after a PROXY header and after TLS that
    /// comes first, since both may change them.
    Connected,
    /// The client wants to be let in, and the lookup has said yes, or is not needed. A guard of this
    /// stage goes with its login: one that the upstream refuses counts no more.
    LoggingIn,
}

/// A session that counts. Dropped, it counts no more.
#[derive(Debug, Default)]
#[must_use = "dropped, it counts no more"]
pub struct Guard {
    _held: Box<[Held]>,
}

/// A session too many. The words are nginx's; they have been logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    #[error("limiting connections by zone \"{zone}\"")]
    Limit { zone: Arc<str>, most: u32 },
    /// There is no room for another key.
    #[error("limit_conn_zone \"{zone}\" is full")]
    Full { zone: Arc<str> },
}

impl Connections {
    /// The limits that `settings` set, counted in `zones`.
    pub fn new(settings: &Settings, zones: &Zones) -> Self {
        let bounds = settings.limits.iter().filter_map(|limit| {
            // A zone that is missing was a fault in the configuration.
            let plan = settings.zones.get(&limit.zone)?;
            let zone = zones.find(&limit.zone, &plan.key);
            Some(Bound { zone, size: plan.size, most: limit.most })
        });
        Self { bounds: bounds.collect(), level: settings.level, dry_run: settings.dry_run }
    }

    /// Counts the session of `line` wherever its value is known at `stage` and not before. What is too
    /// many is logged, and counts nowhere; in a dry run it is let in all the same.
    pub fn admit(
        &self,
        (stage, names): (Stage, Option<&Names<'_>>),
        line: &Line,
        log: &Log,
    ) -> Result<Guard, Over> {
        let mut held = Vec::new();
        for Bound { zone, size, most } in &self.bounds {
            if zone.key.stage() != stage {
                continue;
            }
            let value = zone.key.value(line, names);
            if value.is_empty() {
                continue;
            }
            let over = match zone.enter(&value, *most, *size) {
                Ok(one) => {
                    held.push(one);
                    continue;
                }
                Err(Shut::Most) => Over::Limit { zone: Arc::clone(&zone.name), most: *most },
                Err(Shut::Full) => Over::Full { zone: Arc::clone(&zone.name) },
            };
            self.log(&over, line, log);
            if !self.dry_run {
                return Err(over);
            }
        }
        Ok(Guard { _held: held.into() })
    }

    fn log(&self, over: &Over, line: &Line, log: &Log) {
        let tail = line.tail(None);
        match over {
            Over::Full { .. } => log.session(Level::Error, &tail, over),
            Over::Limit { zone, .. } if self.dry_run => {
                let words = format_args!("limiting connections, dry run, by zone \"{zone}\"");
                log.session(self.level, &tail, words);
            }
            Over::Limit { .. } => log.session(self.level, &tail, over),
        }
    }
}

impl Over {
    /// What a login that is one too many hears.
    pub fn refusal(&self) -> Refusal {
        Refusal { close: true, ..Refusal::new(Kind::Throttled) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::Block;
    use crate::observe::Addr;

    const MAIL: &str = r#"
        limit_conn_zone $binary_remote_addr zone=address:1m;
        limit_conn_zone $remote_user zone=login:1m;
        limit_conn_zone $server_name zone=server:1m;
        limit_conn address 2;
        limit_conn login 1;
        limit_conn server 3;
    "#;

    fn settings(text: &str) -> Settings {
        let block = Block::parse(text);
        let settings = Settings::read(&block, &Settings::default());
        assert_eq!(block.faults(), [] as [&str; 0]);
        settings
    }

    fn line(client: u8, login: Option<&str>) -> Line {
        let client = Addr::from(SocketAddr::from(([192, 0, 2, client], 4711)));
        let server = Addr::from(SocketAddr::from(([192, 0, 2, 1], 143)));
        let login = login.map(|login| login.as_bytes().into());
        Line { login, server_name: "s".into(), ..Line::new("imap", 9, client, server) }
    }

    #[test]
    fn each_limit_counts_when_its_key_is_known() {
        let limits = Connections::new(&settings(MAIL), &Zones::default());
        let (log, memory) = Log::memory(Level::Error);
        let connect = |client| limits.admit((Stage::Connected, None), &line(client, None), &log);
        let log_in = |login| limits.admit((Stage::LoggingIn, None), &line(7, login), &log);
        let (first, _second) = (connect(7).unwrap(), connect(7).unwrap());
        let over = connect(7).unwrap_err();
        assert_eq!(over, Over::Limit { zone: "address".into(), most: 2 });
        assert!(over.refusal().close);
        // Nothing is left of what was refused: the server has room for one more.
        let _third = connect(8).unwrap();
        assert_eq!(connect(9).unwrap_err(), Over::Limit { zone: "server".into(), most: 3 });
        drop(first);
        let _again = connect(9).unwrap();

        let held = log_in(Some("mrose")).unwrap();
        let _other = log_in(Some("mary")).unwrap();
        assert!(log_in(Some("MRose")).is_err());
        assert!(log_in(None).is_ok() && log_in(None).is_ok(), "nobody is not counted");
        drop(held);
        assert!(log_in(Some("mrose")).is_ok());
        let tail = ", client: 192.0.2.7, server: 192.0.2.1:143";
        let lines = memory.lines();
        let want = format!("*9 limiting connections by zone \"address\"{tail}");
        assert!(lines[0].contains("[error]") && lines[0].ends_with(&want), "{lines:?}");
        assert!(lines[2].ends_with(", login: \"MRose\""), "{lines:?}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_dry_run_logs_and_lets_in() {
        let text = format!("{MAIL} limit_conn_dry_run on; limit_conn_log_level info;");
        let limits = Connections::new(&settings(&text), &Zones::default());
        let (log, memory) = Log::memory(Level::Info);
        let admit = || limits.admit((Stage::LoggingIn, None), &line(7, Some("mrose")), &log);
        let (_one, _two) = (admit().unwrap(), admit().unwrap());
        let words = r#"limiting connections, dry run, by zone "login", client: 192.0.2.7"#;
        let lines = memory.lines();
        assert!(lines.len() == 1 && lines[0].contains("[info]") && lines[0].contains(words));
    }

    #[test]
    fn a_reload_keeps_the_counts_and_sets_the_limits() {
        let zones = Zones::default();
        let (old, log) = (Connections::new(&settings(MAIL), &zones), Log::silent());
        let admit = |limits: &Connections| {
            limits.admit((Stage::LoggingIn, None), &line(7, Some("m")), &log)
        };
        let _held = admit(&old).unwrap();
        let text = MAIL.replace("limit_conn login 1", "limit_conn login 2");
        let new = Connections::new(&settings(&text), &zones);
        drop(old);
        let _more = admit(&new).unwrap();
        assert!(admit(&new).is_err());
    }

    #[test]
    fn a_full_zone_lets_nobody_in_uncounted() {
        let mut settings = settings(MAIL);
        for plan in Arc::make_mut(&mut settings.zones).values_mut() {
            plan.size = 0;
        }
        let limits = Connections::new(&settings, &Zones::default());
        let (log, memory) = Log::memory(Level::Error);
        let over = limits.admit((Stage::Connected, None), &line(7, None), &log).unwrap_err();
        assert_eq!(over, Over::Full { zone: "address".into() });
        assert!(memory.lines()[0].contains("limit_conn_zone \"address\" is full, client:"));
    }

    #[test]
    fn a_server_without_limits_counts_nothing() {
        let limits = Connections::new(&Settings::default(), &Zones::default());
        let admitted = limits.admit((Stage::Connected, None), &line(7, None), &Log::silent());
        assert!(admitted.is_ok() && size_of::<Guard>() == 16);
    }
}
