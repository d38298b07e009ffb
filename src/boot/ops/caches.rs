//! `caches` and `cache`.

use super::{Running, page, times};
use crate::admin::api::{
    CacheServer, Caches, Entries, Entry, Health, KindCount, ListAsk, Problem, Process, PurgeAsk,
    Purged, Removed,
};
use crate::memcached::{Error, Status};
use crate::route::{Purge, PurgeReport, Row};

impl Running {
    pub(super) async fn list_caches(&self) -> Result<Caches, Problem> {
        let fleet = &self.kept.fleet;
        let weight = fleet.routes.weight();
        let kinds = fleet.routes.asked().into_iter().map(|asked| KindCount {
            tier: asked.tier.to_owned(),
            kind: asked.kind.to_owned(),
            hits: asked.hits,
            stale: asked.stale,
            misses: asked.misses,
            refused: asked.refused,
            errors: asked.errors,
        });
        let has = |one: &KindCount| {
            [one.hits, one.stale, one.misses, one.refused, one.errors]
                .iter()
                .any(|count| *count > 0)
        };
        Ok(Caches {
            process: Process {
                entries: weight.entries,
                bytes: weight.bytes,
                max_bytes: weight.most_bytes,
            },
            servers: fleet.cache.servers().await.iter().map(server).collect(),
            kinds: kinds.filter(has).collect(),
        })
    }

    pub(super) async fn forget(&self, ask: PurgeAsk) -> Result<Purged, Problem> {
        let purges = match (&ask.domain, ask.all) {
            (_, true) => vec![Purge::All],
            (Some(domain), false) => vec![Purge::domain(domain)],
            (None, false) => ask.users.iter().map(|user| Purge::user(user)).collect(),
        };
        let mut all =
            Purged { removed: Vec::new(), entries: 0, told_fleet: true, problems: Vec::new() };
        for purge in purges {
            add(&mut all, self.kept.fleet.routes.purge(&purge).await);
        }
        Ok(all)
    }

    pub(super) async fn list_kept(&self, ask: ListAsk) -> Result<Entries, Problem> {
        let (routes, mut problems) = (&self.kept.fleet.routes, Vec::new());
        let rows = match (&ask.user, &ask.domain) {
            (Some(user), _) => {
                let (rows, errors) = routes.list(user).await;
                problems = told(&errors);
                rows
            }
            (None, Some(domain)) => routes.kept(&Purge::domain(domain)),
            (None, None) => routes.kept(&Purge::All),
        };
        let (entries, total, next) = page(rows, ask.after, ask.limit);
        let entries = entries.into_iter().map(entry).collect();
        Ok(Entries { entries, total, next, problems })
    }
}

fn server(status: &Status) -> CacheServer {
    CacheServer {
        address: status.server.to_string(),
        state: if status.is_up { Health::Ok } else { Health::Down },
        requests: status.requests.answered + status.requests.failed,
        errors: status.requests.failed,
        last_error: status.cause.as_ref().map(ToString::to_string),
        p50_ms: status.requests.p50.map(times::ms),
        p99_ms: status.requests.p99.map(times::ms),
    }
}

fn entry(row: Row) -> Entry {
    Entry { server: row.server.to_string(), key: row.key, value: row.value, ttl_s: None }
}

/// That there is no cache is no problem.
fn told(errors: &[Error]) -> Vec<String> {
    let real = errors.iter().filter(|error| **error != Error::Off);
    real.map(ToString::to_string).collect()
}

/// What came of one more purge. Each problem is told once, however many users it was met at.
fn add(all: &mut Purged, report: PurgeReport) {
    all.entries += report.forgotten as u64;
    all.removed.extend(report.rows.into_iter().map(|row| Removed {
        server: row.server.to_string(),
        key: row.key,
        found: row.value.is_some(),
    }));
    all.told_fleet &= report.is_told;
    let mut problems = told(&report.errors);
    if report.leaves_some {
        problems.push(
            "in Zimbra's form the shared cache forgets by key alone: name the users".to_owned(),
        );
    }
    for problem in problems {
        if !all.problems.contains(&problem) {
            all.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_once_and_no_cache_is_none() {
        let mut all =
            Purged { removed: Vec::new(), entries: 0, told_fleet: true, problems: Vec::new() };
        let down = Error::Down("a:11211".into());
        let report = PurgeReport {
            forgotten: 2,
            errors: vec![down.clone(), Error::Off, down],
            is_told: true,
            ..PurgeReport::default()
        };
        add(&mut all, report);
        assert_eq!((all.entries, all.told_fleet), (2, true));
        assert_eq!(all.problems, ["memcached server a:11211 is down"]);
        add(&mut all, PurgeReport { leaves_some: true, ..PurgeReport::default() });
        assert_eq!((all.told_fleet, all.problems.len()), (false, 2));
    }
}
