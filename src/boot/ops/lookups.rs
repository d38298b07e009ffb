//! `lookups`: the handlers, and asking one no more.

use super::status::ANONYMOUS;
use super::{Running, times};
use crate::admin::api::{Changed, Handler, HandlerAsk, HandlerState, LastAnswer, Lookups, Problem};
use crate::route::handler::edge::shown;
use crate::route::handler::state::{Last, Standing, Status};

/// What a handler has said, where it has said something.
const SAID: [&str; 4] = ["ok", "refused", "unknown", "wait"];

impl Running {
    pub(super) async fn list_lookups(&self) -> Result<Lookups, Problem> {
        let serving = self.serving();
        let one = |status: Status| {
            let (mut protocols, mut weight) = (Vec::new(), 1);
            for site in &serving.sites {
                let own = site.router.handlers().filter(|one| one.title() == status.lookup);
                for (_, own) in
                    own.flat_map(|one| one.weights()).filter(|(url, _)| *url == status.url)
                {
                    weight = own;
                    let name = site.words.name.to_owned();
                    if !protocols.contains(&name) {
                        protocols.push(name);
                    }
                }
            }
            protocols.sort();
            handler(status, protocols, weight.into())
        };
        let handlers = self.kept.fleet.handlers.status().into_iter().map(one);
        Ok(Lookups { handlers: handlers.collect() })
    }

    pub(super) async fn turn_on(&self, ask: HandlerAsk) -> Result<Changed, Problem> {
        self.turn(&ask, false)
    }

    pub(super) async fn turn_off(&self, ask: HandlerAsk) -> Result<Changed, Problem> {
        self.turn(&ask, true)
    }

    /// Here alone, and until gatepost starts anew.
    fn turn(&self, ask: &HandlerAsk, is_off: bool) -> Result<Changed, Problem> {
        let lookup = ask.lookup.as_deref().map(|name| if name == ANONYMOUS { "" } else { name });
        let turned = self.kept.fleet.handlers.turn(&ask.handler, lookup, is_off);
        if turned.found == 0 {
            let words = format!("there is no handler \"{}\"", ask.handler);
            return Err(Problem::unknown(words).hint("gatepost lookup list"));
        }
        let changed = turned.changed;
        Ok(Changed { changed, sessions: 0, told_fleet: false, problems: Vec::new() })
    }
}

fn handler(status: Status, protocols: Vec<String>, weight: u64) -> Handler {
    let (state, cause) = match status.standing {
        Standing::Healthy => (HandlerState::Up, None),
        Standing::Aside { cause, .. } => (HandlerState::SetAside, Some(cause)),
        Standing::Disabled => (HandlerState::Disabled, None),
    };
    let failed = |last: &Last| !SAID.contains(&&*last.what);
    let last_error = cause.or_else(|| {
        let last = status.last.as_ref().filter(|last| failed(last));
        last.map(|last| last.what.clone())
    });
    let last = status.last.map(|last| LastAnswer {
        result: if failed(&last) { "failed".to_owned() } else { last.what },
        at: last.at.into(),
        ms: last.took.map_or(0.0, times::ms),
    });
    Handler {
        lookup: if status.lookup.is_empty() { ANONYMOUS.to_owned() } else { status.lookup },
        url: shown(&status.url).to_owned(),
        from: status.source,
        state,
        protocols,
        weight,
        last,
        asked: status.counts.asked,
        errors: status.counts.failed,
        failures_in_row: status.fails.into(),
        in_flight: status.in_flight as u64,
        last_error,
        next_try: status.retry.filter(|_| state == HandlerState::SetAside).map(times::at),
        p50_ms: status.p50.map(times::ms),
        p99_ms: status.p99.map(times::ms),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tokio::time::Instant;

    use super::*;
    use crate::route::handler::state::Counts;

    fn status(standing: Standing, what: &str) -> Status {
        Status {
            lookup: String::new(),
            url: "http://h:80/a?key=secret".into(),
            source: "auth_http".into(),
            standing,
            retry: Some(Instant::now()),
            last: Some(Last {
                at: SystemTime::UNIX_EPOCH,
                what: what.into(),
                took: Some(Duration::from_millis(3)),
            }),
            p50: None,
            p99: None,
            fails: 4,
            in_flight: 5,
            counts: Counts { asked: 7, failed: 2, ..Counts::default() },
        }
    }

    #[test]
    fn a_handler_shows_how_it_stands_and_no_secret() {
        let aside = Standing::Aside { since: SystemTime::UNIX_EPOCH, cause: "timed out".into() };
        for (standing, what, state, result, error) in [
            (Standing::Healthy, "ok", HandlerState::Up, "ok", None),
            (Standing::Healthy, "sent nonsense", HandlerState::Up, "failed", Some("sent nonsense")),
            (aside, "sent nonsense", HandlerState::SetAside, "failed", Some("timed out")),
            (Standing::Disabled, "unknown", HandlerState::Disabled, "unknown", None),
        ] {
            let one = handler(status(standing, what), vec!["imap".into()], 3);
            assert_eq!((one.state, one.last_error.as_deref()), (state, error));
            assert_eq!((one.failures_in_row, one.in_flight), (4, 5));
            assert_eq!(one.next_try.is_some(), state == HandlerState::SetAside);
            let last = one.last.unwrap();
            assert_eq!((&*last.result, last.ms), (result, 3.0));
            assert_eq!((&*one.url, &*one.lookup), ("http://h:80/a", ANONYMOUS));
            assert_eq!((one.asked, one.errors, one.weight), (7, 2, 3));
        }
    }
}
