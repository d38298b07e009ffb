//! `gatepost log`.

use super::{Done, Failure, Screen, plain};
use crate::admin::Client;
use crate::admin::api::{LevelAsk, LevelSet, Levels, Nothing, Reopened, TurnAsk, TurnedLogs};
use crate::cli::command::Log;
use crate::cli::human;
use crate::cli::table::Table;
use crate::config::value;
use crate::observe::Level;

/// The word that takes a level back.
const CONFIGURED: &str = "default";

pub async fn run(command: Log, client: &Client, screen: &mut Screen<'_>) -> Done {
    match command {
        Log::Level { words, time } => level(&words, time, client, screen).await,
        Log::Reopen => {
            let done: Reopened = client.post("/v1/log/reopen", &Nothing {}).await?;
            if !screen.has_json(&done) {
                screen.line(match done.failed {
                    0 => "logs are open anew".to_owned(),
                    failed => format!("{failed} could not be opened; the log says why"),
                });
            }
            Ok(u8::from(done.failed > 0))
        }
        Log::Rotate { file } => {
            let done: TurnedLogs = client.post("/v1/log/rotate", &TurnAsk { file }).await?;
            let exit = screen.exit(&done.problems);
            if screen.has_json(&done) {
                return Ok(exit);
            }
            for one in &done.turned {
                screen.line(format!("{}: {}", human::text(&one.file), human::text(&one.to)));
            }
            if done.turned.is_empty() && done.problems.is_empty() {
                screen.line("every log is empty");
            }
            Ok(exit)
        }
    }
}

async fn level(
    words: &[String],
    time: Option<String>,
    client: &Client,
    screen: &mut Screen<'_>,
) -> Done {
    let is_level = |word: &str| word == CONFIGURED || word.parse::<Level>().is_ok();
    let (subject, level) = match words {
        [] => (None, None),
        [level] if level == CONFIGURED => {
            let found: Levels = client.post("/v1/log/level", &LevelAsk::default()).await?;
            return show(&found, None, screen);
        }
        [level] if is_level(level) => (Some("all".to_owned()), Some(level.clone())),
        [subject] => (Some(subject.clone()), None),
        [subject, level, ..] => (Some(subject.clone()), Some(level.clone())),
    };
    let Some(level) = level else {
        if time.is_some() {
            return Err(Failure::Ours("--for goes with a level".to_owned()));
        }
        let found: Levels = plain(client, "/v1/log/levels").await?;
        return show(&found, subject.as_deref(), screen);
    };
    let for_s = match time.as_deref().map(|text| (text, value::time(text))) {
        None => None,
        Some((_, Some(time))) if time.as_secs() > 0 => Some(time.as_secs()),
        Some((text, _)) => {
            return Err(Failure::Ours(format!("\"{text}\" is no time, as 30s, 10m or 2h are")));
        }
    };
    let level = (level != CONFIGURED).then_some(level);
    let found: Levels = client.post("/v1/log/level", &LevelAsk { subject, level, for_s }).await?;
    show(&found, None, screen)
}

fn show(found: &Levels, only: Option<&str>, screen: &mut Screen<'_>) -> Done {
    if screen.has_json(found) {
        return Ok(0);
    }
    let mut table = Table::new(&["OF", "LEVEL", "FOR"]);
    for one in found.levels.iter().filter(|one| only.is_none_or(|only| one.subject == only)) {
        table.row([
            (&one.subject).into(),
            (&one.level).into(),
            one.until.map(|until| screen.left(until)).into(),
        ]);
    }
    match (table.is_empty(), only) {
        (false, _) => screen.table(&table),
        (true, None) => screen.line("every level is as configured"),
        (true, Some(only)) => screen.line(format!("{}: as configured", human::text(only))),
    }
    Ok(0)
}

/// One level in a line.
pub fn described(one: &LevelSet, screen: &Screen<'_>) -> String {
    let left = one.until.map(|until| format!(", for {} more", screen.left(until)));
    let (of, level) = (human::text(&one.subject), human::text(&one.level));
    format!("{of} {level}, by hand{}", left.unwrap_or_default())
}
