//! What can be asked of a gatepost, and done to it.

use std::future::ready;
use std::pin::Pin;

use super::api::{
    Addresses, Caches, Changed, Diagnosis, DoctorAsk, EndAsk, Entries, Figures, ForgiveAsk,
    Forgiven, HandlerAsk, Kicked, LevelAsk, Levels, ListAsk, Lookups, MaintainAsk, Maintenances,
    MoveAsk, Moved, Offenders, OffendersAsk, Problem, PurgeAsk, Purged, Reopened, Report,
    ReportAsk, ServersAsk, Sessions, SessionsAsk, SpareAsk, Spared, Status, Subject, TurnAsk,
    TurnedLogs, Upstreams, UserAsk, Vitals, Whereabouts,
};

/// An answer on its way. Dropped, the work is given up where that does no harm.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// One method for each call of the API. What is left out is [`Problem::unsupported`].
///
/// Called on the main thread's runtime, several at a time; a method must not block.
pub trait Ops: Send + Sync + 'static {
    /// [`Status::judged`] is for the caller.
    fn status(&self) -> Reply<'_, Status> {
        not_built("status")
    }

    fn figures(&self) -> Reply<'_, Figures> {
        not_built("figures")
    }

    fn sessions(&self, _: SessionsAsk) -> Reply<'_, Sessions> {
        not_built("sessions")
    }

    fn where_is(&self, _: UserAsk) -> Reply<'_, Whereabouts> {
        not_built("users/where")
    }

    /// Ends the user's sessions with the protocol's goodbye, here and in the fleet.
    fn kick(&self, _: UserAsk) -> Reply<'_, Kicked> {
        not_built("users/kick")
    }

    /// Purges the route, ends the sessions; the next login lands on the new server.
    fn relocate(&self, _: MoveAsk) -> Reply<'_, Moved> {
        not_built("users/move")
    }

    fn upstreams(&self) -> Reply<'_, Upstreams> {
        not_built("upstreams")
    }

    /// No new sessions; with `end`, the old ones end, too.
    fn drain(&self, _: ServersAsk) -> Reply<'_, Changed> {
        not_built("upstreams/drain")
    }

    /// Takes back `drain` and `remove`.
    fn undrain(&self, _: ServersAsk) -> Reply<'_, Changed> {
        not_built("upstreams/undrain")
    }

    /// No new sessions, and those that are there end.
    fn remove(&self, _: ServersAsk) -> Reply<'_, Changed> {
        not_built("upstreams/remove")
    }

    /// As after failures: until a probe finds it well, or it is unlocked.
    fn lock(&self, _: ServersAsk) -> Reply<'_, Changed> {
        not_built("upstreams/lock")
    }

    fn unlock(&self, _: ServersAsk) -> Reply<'_, Changed> {
        not_built("upstreams/unlock")
    }

    fn lookups(&self) -> Reply<'_, Lookups> {
        not_built("lookups")
    }

    fn enable_handler(&self, _: HandlerAsk) -> Reply<'_, Changed> {
        not_built("lookups/enable")
    }

    /// It is asked no more, from the next login on.
    fn disable_handler(&self, _: HandlerAsk) -> Reply<'_, Changed> {
        not_built("lookups/disable")
    }

    fn caches(&self) -> Reply<'_, Caches> {
        not_built("caches")
    }

    /// Forgets in the process, in the shared cache, and has the fleet forget.
    fn purge(&self, _: PurgeAsk) -> Reply<'_, Purged> {
        not_built("cache/purge")
    }

    fn cached(&self, _: ListAsk) -> Reply<'_, Entries> {
        not_built("cache/list")
    }

    fn offenders(&self, _: OffendersAsk) -> Reply<'_, Offenders> {
        not_built("throttle")
    }

    fn forgive(&self, _: ForgiveAsk) -> Reply<'_, Forgiven> {
        not_built("throttle/forgive")
    }

    fn spared(&self) -> Reply<'_, Spared> {
        not_built("throttle/whitelist")
    }

    /// Gives what is let alone then.
    fn spare(&self, _: SpareAsk) -> Reply<'_, Spared> {
        not_built("throttle/spare")
    }

    fn maintenance(&self) -> Reply<'_, Maintenances> {
        not_built("maintenance")
    }

    /// Gives what is in force then.
    fn maintain(&self, _: MaintainAsk) -> Reply<'_, Maintenances> {
        not_built("maintenance/on")
    }

    /// Ends what began by hand. Gives what is in force then.
    fn end_maintenance(&self, _: EndAsk) -> Reply<'_, Maintenances> {
        not_built("maintenance/off")
    }

    fn report(&self, _: ReportAsk) -> Reply<'_, Report> {
        not_built("report")
    }

    fn levels(&self) -> Reply<'_, Levels> {
        not_built("log/levels")
    }

    /// Gives what is set by hand then.
    fn set_level(&self, _: LevelAsk) -> Reply<'_, Levels> {
        not_built("log/level")
    }

    fn reopen(&self) -> Reply<'_, Reopened> {
        not_built("log/reopen")
    }

    /// Renames logs and opens them anew, due or not.
    fn turn(&self, _: TurnAsk) -> Reply<'_, TurnedLogs> {
        not_built("log/rotate")
    }

    fn vitals(&self) -> Reply<'_, Vitals> {
        not_built("diag")
    }

    fn addresses(&self) -> Reply<'_, Addresses> {
        not_built("addresses")
    }

    fn examine(&self, _: Subject, _: DoctorAsk) -> Reply<'_, Diagnosis> {
        not_built("doctor")
    }
}

/// The answer to what this gatepost cannot do.
fn not_built<'a, T: Send + 'a>(call: &str) -> Reply<'a, T> {
    let text = format!("this gatepost does not answer \"{call}\"");
    Box::pin(ready(Err(Problem::unsupported(text))))
}
