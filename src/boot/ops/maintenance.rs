//! `maintenance` and `report`.

use std::time::SystemTime;

use super::{Running, page, times};
use crate::admin::api::{
    EndAsk, Episode, EpisodeKind, MaintainAsk, Maintenance, Maintenances, Problem, Report,
    ReportAsk, Usual, When, warnings,
};
use crate::route::handler::edge::shown as shown_url;
use crate::route::handler::state::Standing;
use crate::route::maintenance::{Fault, Reach, Reported, Scope, Status};

/// Who ordered it, as far as is known.
const BY: &str = "gatepost maintenance";

impl Running {
    pub(super) async fn tell_maintenance(&self) -> Result<Maintenances, Problem> {
        let maintenance = shown(&self.kept.fleet.maintenance.status());
        Ok(Maintenances { maintenance, problems: Vec::new() })
    }

    pub(super) async fn begin_maintenance(
        &self,
        ask: MaintainAsk,
    ) -> Result<Maintenances, Problem> {
        let until = ask.until.map(|when| u64::try_from(when.unix()).unwrap_or(0));
        let on = &self.kept.fleet.maintenance;
        let reach = on.on(scope(ask.domain), ask.text, until, BY).await.map_err(|fault| {
            let words = fault.to_string();
            match fault {
                Fault::TooMany => Problem::conflict(words),
                Fault::Text(_) | Fault::Past | Fault::Domain(_) => Problem::bad(words),
            }
        })?;
        self.after(reach).await
    }

    pub(super) async fn stop_maintenance(&self, ask: EndAsk) -> Result<Maintenances, Problem> {
        let scope = scope(ask.domain);
        let (was_on, reach) = self.kept.fleet.maintenance.off(&scope).await;
        // Another node may have had it on: then it is off there, too.
        if !was_on && reach == Reach::Here {
            return Err(Problem::conflict(format!("no maintenance of {scope} is on by hand"))
                .hint("gatepost maintenance status"));
        }
        self.after(reach).await
    }

    async fn after(&self, reach: Reach) -> Result<Maintenances, Problem> {
        let mut problems = self.flush().await;
        if let Reach::HereOnly(why) = reach
            // A cache without a key carries no orders, as none does.
            && why != crate::memcached::Error::Off.to_string()
        {
            problems.push(format!("other gateposts were not told: {why}"));
        }
        let maintenance = shown(&self.kept.fleet.maintenance.status());
        Ok(Maintenances { maintenance, problems })
    }

    pub(super) async fn tell_report(&self, ask: ReportAsk) -> Result<Report, Problem> {
        let fleet = &self.kept.fleet;
        let mut episodes: Vec<_> = fleet.maintenance.report().into_iter().map(episode).collect();
        // Locks that are on: of others only the log knows.
        episodes.extend(fleet.locks.status().into_iter().map(|lock| Episode {
            kind: EpisodeKind::Lock,
            name: lock.name,
            by_hand: lock.by_hand,
            began: times::of(lock.since),
            ended: None,
            cause: Some(lock.cause),
        }));
        episodes.extend(fleet.handlers.status().into_iter().filter_map(|handler| {
            let Standing::Aside { since, cause } = handler.standing else { return None };
            Some(Episode {
                kind: EpisodeKind::Lock,
                name: shown_url(&handler.url).to_owned(),
                by_hand: false,
                began: since.into(),
                ended: None,
                cause: Some(cause),
            })
        }));
        episodes.sort_by_key(|episode| std::cmp::Reverse(episode.began));
        let (length, count) = fleet.maintenance.usual();
        let usual = Usual { length, count: count.map(|count| count as u64) };
        let warnings = warnings(&episodes, When::from(SystemTime::now()), usual);
        let (episodes, total, next) = page(episodes, ask.after, ask.limit);
        Ok(Report { episodes, total, next, warnings })
    }
}

fn scope(domain: Option<String>) -> Scope {
    domain.map_or(Scope::All, |domain| Scope::Domain(domain.to_lowercase()))
}

/// What is on, as it is shown.
pub fn shown(all: &[Status]) -> Vec<Maintenance> {
    let one = |status: &Status| {
        let (domain, upstream) = match &status.scope {
            Scope::All => (None, None),
            Scope::Domain(domain) => (Some(domain.clone()), None),
            Scope::Upstream(upstream) => (None, Some(upstream.clone())),
        };
        Maintenance {
            domain,
            upstream,
            by_hand: status.is_manual,
            since: times::of(status.since),
            until: status.until.map(times::of),
            // Of what began by itself the cause says more than what everybody is told.
            text: status.is_manual.then(|| status.text.clone()),
            cause: status.cause.clone(),
        }
    };
    all.iter().map(one).collect()
}

fn episode(reported: Reported) -> Episode {
    let episode = reported.episode;
    Episode {
        kind: EpisodeKind::Maintenance,
        name: match episode.scope {
            Scope::All => "all".to_owned(),
            Scope::Domain(name) | Scope::Upstream(name) => name,
        },
        by_hand: episode.is_manual,
        began: times::of(episode.began),
        ended: episode.ended.map(times::of),
        cause: Some(episode.cause).filter(|cause| !cause.is_empty()),
    }
}
