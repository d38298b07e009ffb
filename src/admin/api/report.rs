//! `report`: the episodes of maintenance and of locks, and whether they are more than usual.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asked::{check_limit, number};
use super::{Ask, Problem, When, words};

/// What is counted within this time.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportAsk {
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Ask for ReportAsk {
    fn check(&self) -> Result<(), Problem> {
        check_limit(self.limit)
    }
}

/// The newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub episodes: Vec<Episode>,
    pub total: u64,
    pub next: Option<u64>,
    /// What is more than usual: see [`warnings`].
    pub warnings: Vec<String>,
}

words! {
    pub enum EpisodeKind {
        Maintenance => "maintenance",
        Lock => "lock",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    pub kind: EpisodeKind,
    /// A domain, a server, a handler; `all` for everybody's maintenance.
    pub name: String,
    pub by_hand: bool,
    pub began: When,
    /// None: it lasts.
    pub ended: Option<When>,
    pub cause: Option<String>,
}

impl Episode {
    pub fn lasted(&self, now: When) -> Duration {
        self.ended.unwrap_or(now).since(self.began)
    }
}

/// What is not worth a warning; none: anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// `maintenance_alert_length`
    pub length: Option<Duration>,
    /// `maintenance_alert_count`, within 30 days.
    pub count: Option<u64>,
}

/// Says which maintenances that nobody ordered took longer than usual, and who had more than usual
/// within a month.
pub fn warnings(episodes: &[Episode], now: When, usual: Usual) -> Vec<String> {
    let own = episodes.iter().filter(|episode| {
        episode.kind == EpisodeKind::Maintenance
            && !episode.by_hand
            && now.since(episode.ended.unwrap_or(now)) <= MONTH
    });
    let (mut warnings, mut counts) = (Vec::new(), BTreeMap::new());
    for episode in own {
        let lasted = episode.lasted(now);
        *counts.entry(&*episode.name).or_insert(0_u64) += 1;
        if let Some(length) = usual.length.filter(|length| lasted > *length) {
            let (minutes, most) = (lasted.as_secs() / 60, length.as_secs() / 60);
            warnings.push(format!(
                "maintenance of {} from {} took {minutes} minutes: more than {most}",
                episode.name, episode.began
            ));
        }
    }
    for (name, count) in counts {
        if let Some(most) = usual.count.filter(|most| count > *most) {
            warnings
                .push(format!("{count} maintenances of {name} within 30 days: more than {most}"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_frequent_outages_are_more_than_usual() {
        let now = When::from_unix(100 * 24 * 3600);
        let episode = |name: &str, days_ago: i64, minutes: i64, by_hand| {
            let began = now.unix() - days_ago * 24 * 3600;
            Episode {
                kind: EpisodeKind::Maintenance,
                name: name.into(),
                by_hand,
                began: When::from_unix(began),
                ended: (minutes > 0).then(|| When::from_unix(began + minutes * 60)),
                cause: None,
            }
        };
        for (episodes, want) in [
            (vec![], vec![]),
            (vec![episode("all", 1, 30, false)], vec![]),
            (
                vec![episode("all", 1, 31, false)],
                vec!["maintenance of all from 1970-04-10T00:00:00Z took 31 minutes: more than 30"],
            ),
            // By hand is as ordered; what ended long ago is history.
            (vec![episode("all", 1, 90, true), episode("all", 2, 90, true)], vec![]),
            (vec![episode("all", 40, 90, false), episode("all", 1, 1, false)], vec![]),
            (
                vec![episode("a.example", 3, 1, false), episode("a.example", 1, 1, false)],
                vec!["2 maintenances of a.example within 30 days: more than 1"],
            ),
            // It lasts still.
            (
                vec![episode("all", 1, 0, false)],
                vec![
                    "maintenance of all from 1970-04-10T00:00:00Z took 1440 minutes: more than 30",
                ],
            ),
        ] {
            let usual = Usual { length: Some(Duration::from_secs(1800)), count: Some(1) };
            assert_eq!(warnings(&episodes, now, usual), want);
            let any = Usual { length: None, count: None };
            assert_eq!(warnings(&episodes, now, any), [""; 0]);
        }
    }
}
