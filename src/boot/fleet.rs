//! What a gatepost does for its fleet beside serving: hears orders, renews leases, tests what is
//! locked, forgets failures. On the main thread, for as long as the process lives.

use std::sync::Arc;

use super::model::Kept;
use crate::net::halt::{Trigger, halt};
use crate::observe::tasks;

/// Starts it all, in the runtime that is current; it goes on until the trigger fires.
pub fn attend(kept: &Kept) -> Trigger {
    let (trigger, stop) = halt();
    let (fleet, ledger) = (kept.fleet.clone(), kept.ledger.clone());
    let (bus, over) = (fleet.bus.clone(), stop.clone());
    let hear = move || {
        let (bus, mut over) = (bus.clone(), over.clone());
        async move { bus.run(over.heard()).await }
    };
    tasks::spawn("bus", tasks::keep_up("bus", hear));
    tasks::spawn("throttle", tasks::keep_up("throttle", move || ledger.clone().attend()));
    let watch = Arc::clone(&kept.watch);
    tasks::spawn("certificates", tasks::keep_up("certificates", move || watch.clone().attend()));
    tasks::spawn("fleet", async move { fleet.look_after(stop).await });
    trigger
}
