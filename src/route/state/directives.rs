//! The directives of what is kept across restarts, of locks and of maintenance.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Block, Directive, MAIN, Secret, Takes};

const ONCE: Directive = Directive {
    name: "",
    within: &[MAIN],
    takes: Takes::Args(1, 1),
    repeats: false,
    default: "",
    secret: Secret::None,
    doc: "",
};

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "state_path",
        default: "state",
        doc: "The folder of `state.json`: which servers are locked or drained, the maintenance that \
              is on, and the episodes that were. Relative to the prefix. It is made when there is \
              something to keep; where it cannot be written, one warning is logged and all of it is \
              kept in memory only. A file that cannot be read is set aside as `state.json.bad`.",
        ..ONCE
    },
    Directive {
        name: "lock_retest",
        takes: Takes::Args(1, 2),
        default: "300s jitter=10%",
        doc: "How often what is locked is tried again, and by how many hundredths of that the time \
              is made shorter by chance, 10 at the most: `lock_retest 300s jitter=10%`. \
              The first success unlocks it.",
        ..ONCE
    },
    Directive {
        name: "maintenance_text",
        default: "\"service unavailable, try again later\"",
        doc: "What clients are told while a maintenance is on that brings no text of its own: one \
              line of printable ASCII, 400 bytes at the most, that begins with a letter.",
        ..ONCE
    },
    Directive {
        name: "maintenance_greeting",
        takes: Takes::Flag,
        default: "off",
        doc: "Whether a client is told so in place of the greeting, and the connection closed, while \
              a maintenance by hand is on for all domains. With `off` the login is refused.",
        ..ONCE
    },
    Directive {
        name: "maintenance_alert_length",
        default: "30m",
        doc: "A maintenance that began by itself and lasts longer is logged at `alert`; `0` never \
              is.",
        ..ONCE
    },
    Directive {
        name: "maintenance_alert_count",
        default: "1",
        doc: "More maintenances of one upstream than this that began by themselves within 30 days \
              are logged at `alert`; `0` never are.",
        ..ONCE
    },
];

/// What the process as a whole keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// None until a configuration says where its prefix is.
    pub folder: Option<PathBuf>,
    pub retest: Duration,
    /// Hundredths of `retest`.
    pub jitter: u32,
    pub text: String,
    pub greeting: bool,
    pub alert_length: Duration,
    pub alert_count: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: None,
            retest: Duration::from_secs(300),
            jitter: 10,
            text: "service unavailable, try again later".to_owned(),
            greeting: false,
            alert_length: Duration::from_secs(30 * 60),
            alert_count: 1,
        }
    }
}

impl Settings {
    /// Reads the main block.
    pub fn read(main: &Block) -> Self {
        let usual = Self::default();
        let folder = main.path("state_path");
        let text = main.text("maintenance_text").map(|text| {
            let faulty = |why: String| {
                let at = main.statement("maintenance_text").expect("its text was read");
                main.fault(at, format!("{why} in \"maintenance_text\""));
            };
            crate::route::maintenance::check_text(text).map_err(faulty).unwrap_or_default();
            text.to_owned()
        });
        let (mut retest, mut jitter) = (usual.retest, usual.jitter);
        if let Some(at) = main.statement("lock_retest") {
            retest = main.time_of(at, 0).unwrap_or(retest);
            if retest < Duration::from_secs(1) {
                main.fault(at, "\"lock_retest\" must be a second at least");
            }
            let percent = |text: &str| {
                let number = text.strip_prefix("jitter=")?.strip_suffix('%')?;
                number.parse().ok().filter(|jitter| *jitter <= 10 && !number.starts_with('+'))
            };
            if let Some(text) = at.arg(1) {
                match percent(text) {
                    Some(read) => jitter = read,
                    None => main.fault(
                        at,
                        format!(
                            "invalid parameter \"{text}\", it must be from \"jitter=0%\" to \
                             \"jitter=10%\""
                        ),
                    ),
                }
            }
        }
        Self {
            folder: folder.or_else(|| Some(main.shared().prefix.join("state"))),
            retest,
            jitter,
            text: text.unwrap_or(usual.text),
            greeting: main.flag("maintenance_greeting").unwrap_or(usual.greeting),
            alert_length: main.time("maintenance_alert_length").unwrap_or(usual.alert_length),
            alert_count: main.number("maintenance_alert_count", 0..).unwrap_or(usual.alert_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_read_and_its_default_is_true() {
        let pairs: Vec<_> = DIRECTIVES.iter().map(|one| (one.name, one.default)).collect();
        let block = Block::of(&pairs);
        let usual = Settings { folder: Some("state".into()), ..Settings::default() };
        assert_eq!(Settings::read(&block), usual);
        assert_eq!(block.faults(), Vec::<String>::new());
        assert_eq!(Settings::read(&Block::of(&[])), usual);
        for directive in DIRECTIVES {
            assert!(block.names_read().contains(&directive.name.to_owned()), "{}", directive.name);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (name, args, want) in [
            ("lock_retest", "10ms", "\"lock_retest\" must be a second at least"),
            (
                "lock_retest",
                "5s jitter=11%",
                "invalid parameter \"jitter=11%\", it must be from \"jitter=0%\" to \"jitter=10%\"",
            ),
            (
                "maintenance_text",
                "\"[ALERT] x\"",
                "the text must begin with a letter in \"maintenance_text\"",
            ),
            (
                "maintenance_alert_count",
                "-1",
                "invalid value \"-1\" in \"maintenance_alert_count\" directive, it must be a number \
                 from 0 upwards",
            ),
        ] {
            let block = Block::of(&[(name, args)]);
            Settings::read(&block);
            assert_eq!(block.faults(), [format!("{want} in test:1")], "{name} {args}");
        }
    }
}
