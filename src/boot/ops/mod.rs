//! What this process answers to an admin, and does for one.
//!
//! Everything is asked of what outlives a reload ([`Kept`]), and of the configuration in force, which
//! [`Running::serves`] puts here. What an administrator orders is done here first and is on disk
//! before the answer; then the fleet is told. That it was not is a problem of the answer, no reason to
//! undo it.

mod addresses;
mod caches;
mod doctor;
mod figures;
mod logs;
mod lookups;
mod maintenance;
mod people;
mod servers;
mod serving;
mod status;
#[cfg(test)]
mod tests;
mod throttle;
mod times;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::model::{Kept, Model};
use crate::admin::api::{
    Addresses, Caches, Changed, Diagnosis, DoctorAsk, EndAsk, Entries, Figures, ForgiveAsk,
    Forgiven, HandlerAsk, Kicked, LevelAsk, Levels, ListAsk, Lookups, MOST_ROWS, MaintainAsk,
    Maintenances, MoveAsk, Moved, Offenders, OffendersAsk, PurgeAsk, Purged, ROWS, Reopened,
    Report, ReportAsk, ServersAsk, Sessions, SessionsAsk, SpareAsk, Spared, Status, Subject,
    TurnAsk, TurnedLogs, Upstreams, UserAsk, Vitals, Whereabouts,
};
use crate::admin::{Ops, Reply};
use crate::memcached;
use serving::Serving;

/// The process that runs.
#[derive(Debug)]
pub struct Running {
    kept: Kept,
    started: SystemTime,
    since: Instant,
    serving: ArcSwap<Serving>,
    /// Why the last reload changed nothing.
    reload: Mutex<Option<String>>,
}

/// Whether other gateposts have heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    fleet: bool,
    problems: Vec<String>,
}

impl Running {
    /// As of now. It serves nothing yet.
    pub fn new(kept: &Kept) -> Self {
        Self {
            kept: kept.clone(),
            started: SystemTime::now(),
            since: Instant::now(),
            serving: ArcSwap::default(),
            reload: Mutex::default(),
        }
    }

    /// `model` is in force from now on.
    pub fn serves(&self, number: u64, model: &Model) {
        self.serving.store(Arc::new(Serving::of(number, model)));
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A reload has failed, for these reasons: the old configuration serves on.
    pub fn did_not_reload(&self, faults: &[String]) {
        let why = faults.first().map_or("", String::as_str);
        *self.reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Has what was decided on disk before it is said to be done.
    async fn flush(&self) -> Vec<String> {
        let store = self.kept.fleet.store.clone();
        match tokio::task::spawn_blocking(move || store.flush()).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(cause)) => vec![format!("it would not survive a restart: {cause}")],
            Err(error) => vec![format!("it may not survive a restart: {error}")],
        }
    }
}

impl Told {
    /// By what came of saying it. Where there is no cache there is no fleet, which is no problem.
    fn of(error: Option<memcached::Error>) -> Self {
        match error {
            None => Self { fleet: true, problems: Vec::new() },
            Some(memcached::Error::Off) => Self::default(),
            Some(error) => Self {
                fleet: false,
                problems: vec![format!("other gateposts were not told: {error}")],
            },
        }
    }

    /// Of several things that were said.
    fn and(mut self, other: Self) -> Self {
        self.fleet &= other.fleet;
        for problem in other.problems {
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        self
    }
}

/// One page of `all`, which begins `after` so many; how many there are, and where the next begins.
fn page<T>(all: Vec<T>, after: Option<u64>, limit: Option<u64>) -> (Vec<T>, u64, Option<u64>) {
    let total = all.len() as u64;
    let (after, limit) = (after.unwrap_or(0), limit.unwrap_or(ROWS).min(MOST_ROWS));
    let behind = after.saturating_add(limit);
    let skip = usize::try_from(after).unwrap_or(usize::MAX);
    let take = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows = all.into_iter().skip(skip).take(take).collect();
    (rows, total, (behind < total).then_some(behind))
}

/// A call of [`Ops`], and who answers it.
macro_rules! answers {
    ($($name:ident($($arg:ident: $of:ty),*) -> $answer:ty => $by:ident;)*) => {
        impl Ops for Running {
            $(fn $name(&self, $($arg: $of),*) -> Reply<'_, $answer> {
                Box::pin(self.$by($($arg),*))
            })*
        }
    };
}

answers! {
    status() -> Status => tell_status;
    figures() -> Figures => tell_figures;
    sessions(ask: SessionsAsk) -> Sessions => list_sessions;
    where_is(ask: UserAsk) -> Whereabouts => find_user;
    kick(ask: UserAsk) -> Kicked => kick_user;
    relocate(ask: MoveAsk) -> Moved => move_user;
    upstreams() -> Upstreams => list_upstreams;
    drain(ask: ServersAsk) -> Changed => drain_servers;
    undrain(ask: ServersAsk) -> Changed => undrain_servers;
    remove(ask: ServersAsk) -> Changed => remove_servers;
    lock(ask: ServersAsk) -> Changed => lock_servers;
    unlock(ask: ServersAsk) -> Changed => unlock_servers;
    lookups() -> Lookups => list_lookups;
    enable_handler(ask: HandlerAsk) -> Changed => turn_on;
    disable_handler(ask: HandlerAsk) -> Changed => turn_off;
    caches() -> Caches => list_caches;
    purge(ask: PurgeAsk) -> Purged => forget;
    cached(ask: ListAsk) -> Entries => list_kept;
    offenders(ask: OffendersAsk) -> Offenders => list_offenders;
    forgive(ask: ForgiveAsk) -> Forgiven => forgive_them;
    spared() -> Spared => list_spared;
    spare(ask: SpareAsk) -> Spared => spare_them;
    maintenance() -> Maintenances => tell_maintenance;
    maintain(ask: MaintainAsk) -> Maintenances => begin_maintenance;
    end_maintenance(ask: EndAsk) -> Maintenances => stop_maintenance;
    levels() -> Levels => list_levels;
    set_level(ask: LevelAsk) -> Levels => change_level;
    reopen() -> Reopened => reopen_logs;
    turn(ask: TurnAsk) -> TurnedLogs => turn_logs;
    vitals() -> Vitals => tell_vitals;
    report(ask: ReportAsk) -> Report => tell_report;
    addresses() -> Addresses => list_addresses;
    examine(subject: Subject, ask: DoctorAsk) -> Diagnosis => examine_it;
}
