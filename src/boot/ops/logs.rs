//! `log`: levels by hand, and logs that are turned or opened anew; and what `diag` asks.

use std::time::{Duration, Instant};

use super::{Running, times};
use crate::admin::api::{
    LevelAsk, LevelSet, Levels, Problem, Reopened, TurnAsk, TurnedLog, TurnedLogs, Vitals,
};
use crate::observe::log::{levels, ring};
use crate::observe::{Level, reopen_all};

/// As long as a level that was forgotten may stay.
const LONGEST: u64 = 30 * 86_400;

impl Running {
    pub(super) async fn list_levels(&self) -> Result<Levels, Problem> {
        let modules = levels::ROOMS.iter().map(|room| (*room).to_owned()).collect();
        Ok(Levels { levels: levels_set(), modules })
    }

    pub(super) async fn change_level(&self, ask: LevelAsk) -> Result<Levels, Problem> {
        let Some(subject) = ask.subject else {
            levels::clear();
            self.say("every log level is as configured again");
            return self.list_levels().await;
        };
        let subject = levels::Subject::parse(&subject).map_err(unknown)?;
        let level: Option<Level> = match &ask.level {
            Some(level) => Some(level.parse().map_err(|error| Problem::bad(format!("{error}")))?),
            None => None,
        };
        let until = match ask.for_s {
            Some(seconds) if !(1..=LONGEST).contains(&seconds) => {
                return Err(Problem::bad(format!("\"for_s\" must be from 1 to {LONGEST}")));
            }
            Some(seconds) => Some(Instant::now() + Duration::from_secs(seconds)),
            None => None,
        };
        let name = subject.to_string();
        levels::set(subject, level, until).map_err(unknown)?;
        self.say(&match level {
            Some(level) => format!("log level of \"{name}\" is set to {level} by hand"),
            None => format!("log level of \"{name}\" is as configured again"),
        });
        self.list_levels().await
    }

    pub(super) async fn reopen_logs(&self) -> Result<Reopened, Problem> {
        let Some(log) = self.kept.logs.log() else {
            return Err(Problem::conflict("no configuration is in force yet"));
        };
        self.say("reopening logs by order");
        let failed = tokio::task::spawn_blocking(move || reopen_all(&log)).await.unwrap_or(0);
        Ok(Reopened { failed: failed as u64 })
    }

    pub(super) async fn turn_logs(&self, ask: TurnAsk) -> Result<TurnedLogs, Problem> {
        let (turned, problems) = self.kept.logs.turn(ask.file.map(Into::into)).await;
        let turned = turned.into_iter().map(|turned| TurnedLog {
            file: turned.log.display().to_string(),
            to: turned.to.display().to_string(),
        });
        Ok(TurnedLogs { turned: turned.collect(), problems })
    }

    pub(super) async fn tell_vitals(&self) -> Result<Vitals, Problem> {
        let serving = self.serving();
        let listens = serving.listens.iter();
        let listens =
            listens.map(|(_, assigned)| format!("{} ({})", assigned.listen, assigned.server));
        Ok(Vitals {
            pid: std::process::id(),
            listens: listens.collect(),
            metrics: self.kept.metrics.render(),
            warnings: ring::recent(),
        })
    }

    fn say(&self, words: &str) {
        if let Some(log) = self.kept.logs.log() {
            log.line(Level::Notice, None, words);
        }
    }
}

/// What is set by hand.
pub fn levels_set() -> Vec<LevelSet> {
    let until = |instant: Instant| times::at(tokio::time::Instant::from_std(instant));
    let all = levels::list().into_iter().map(|own| LevelSet {
        subject: own.subject.to_string(),
        level: own.level.to_string(),
        until: own.until.map(until),
    });
    all.collect()
}

fn unknown(fault: levels::Fault) -> Problem {
    let rooms = levels::ROOMS.join(", ");
    let hint = format!("all, {rooms}, user:NAME, upstream:SERVER or client:ADDRESS");
    match fault {
        levels::Fault::Unknown(_) => Problem::unknown(fault.to_string()).hint(hint),
        levels::Fault::TooMany => Problem::conflict(fault.to_string()),
    }
}
