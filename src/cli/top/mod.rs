//! `gatepost top`: figures that are looked at again and again.

mod frame;
#[cfg(feature = "top")]
mod keys;

use std::time::Duration;

use super::command::{Sort, Top};
use super::commands::{Done, Failure, Screen};
use crate::admin::Client;
use crate::admin::api::{Figures, Nothing};
use crate::config::value;

const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(3600);

pub async fn run(top: Top, client: &Client, screen: &mut Screen<'_>) -> Done {
    let every = value::read_time(&top.every).ok().filter(|every| (LEAST..=MOST).contains(every));
    let every = every
        .ok_or_else(|| Failure::Ours(format!("\"{}\" is no time from 10ms to 1h", top.every)))?;
    if top.once || screen.json {
        return once(top.sort, every, client, screen).await;
    }
    follow(top.sort, every, client).await
}

async fn look(client: &Client) -> Result<Figures, Failure> {
    Ok(client.get("/v1/figures", &Nothing {}).await?)
}

/// One frame, of two looks.
async fn once(sort: Sort, every: Duration, client: &Client, screen: &mut Screen<'_>) -> Done {
    let before = look(client).await?;
    if screen.json {
        let text = serde_json::to_string(&before).expect("figures are plain data");
        let _ = writeln!(screen.out, "{text}");
        return Ok(0);
    }
    tokio::time::sleep(every).await;
    let now = look(client).await?;
    for line in frame::lines(Some(&before), &now, sort) {
        let _ = writeln!(screen.out, "{}", line.text);
    }
    Ok(0)
}

#[cfg(not(feature = "top"))]
async fn follow(_: Sort, _: Duration, _: &Client) -> Done {
    let words = "this gatepost was built without a screen for top; --once prints one frame";
    Err(Failure::Ours(words.to_owned()))
}

#[cfg(feature = "top")]
async fn follow(mut sort: Sort, every: Duration, client: &Client) -> Done {
    use std::io::IsTerminal;

    use keys::{Keys, Press, Shown};
    use tokio::signal::unix::{SignalKind, signal};
    use tokio::time::MissedTickBehavior;

    let ours = |error: std::io::Error| {
        Failure::Ours(format!("no terminal for top ({error}); --once prints one frame"))
    };
    // Before anything is drawn: what ends a drawing would go into the file or the pipe.
    if !std::io::stdout().is_terminal() {
        return Err(ours(std::io::Error::other("the output goes elsewhere")));
    }
    // The first look comes before the screen: its failure is told in plain lines.
    let mut now = look(client).await?;
    let mut before: Option<Figures> = None;
    let mut trouble = None;
    let mut terminate = signal(SignalKind::terminate()).map_err(ours)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(ours)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ours)?;
    let mut quit = signal(SignalKind::quit()).map_err(ours)?;
    let mut shown = Shown::open().map_err(ours)?;
    let mut keys = Keys::listen();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        shown.draw(before.as_ref(), &now, sort, trouble.as_deref()).map_err(ours)?;
        tokio::select! {
            _ = terminate.recv() => return Ok(0),
            _ = hangup.recv() => return Ok(0),
            _ = interrupt.recv() => return Ok(0),
            _ = quit.recv() => return Ok(0),
            press = keys.next() => match press {
                Some(Press::Sort) => sort = sort.next(),
                Some(Press::Redraw) => {}
                Some(Press::Leave) | None => return Ok(0),
            },
            _ = ticks.tick() => match look(client).await {
                Ok(fresh) => {
                    before = Some(std::mem::replace(&mut now, fresh));
                    trouble = None;
                }
                // It may be starting anew: the last figures stay, with what is wrong.
                Err(failure) => (before, trouble) = (None, Some(failure.words())),
            },
        }
    }
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Sessions => "sessions",
            Self::Name => "name",
        }
    }

    #[cfg(feature = "top")]
    fn next(self) -> Self {
        match self {
            Self::Bytes => Self::Sessions,
            Self::Sessions => Self::Name,
            Self::Name => Self::Bytes,
        }
    }
}
