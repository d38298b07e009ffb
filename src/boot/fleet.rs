//! What a gatepost does for its fleet beside serving: hears orders, renews leases, tests what is
//! locked, forgets failures. On the main thread, for as long as the process lives.

use super::model::Kept;
use crate::net::halt::{Trigger, halt};
use crate::observe::tasks;

/// Starts it all, in the runtime that is current; it goes on until the trigger fires.
pub fn attend(kept: &Kept) -> Trigger {
    let (trigger, stop) = halt();
    let (fleet, bus) = (kept.fleet.clone(), kept.fleet.bus.clone());
    let mut over = stop.clone();
    tasks::spawn("bus", async move { bus.run(over.heard()).await });
    tasks::spawn("throttle", kept.ledger.clone().attend());
    tasks::spawn("fleet", async move { fleet.look_after(stop).await });
    trigger
}
