//! What a gatepost does for its fleet beside serving: hears orders, renews leases, forgets failures.
//! On the main thread, for as long as the process lives.

use std::future::pending;

use super::model::Kept;
use crate::memcached::bus::Heard;
use crate::net::halt::halt;
use crate::observe::{Log, tasks};
use crate::route::Fleet;
use crate::route::order::Order;

/// Starts it all, in the runtime that is current.
pub fn attend(kept: &Kept, _log: &Log) {
    let fleet = kept.fleet.clone();
    // Before anything is said.
    let mut listener = fleet.bus.listen();
    let bus = fleet.bus.clone();
    tasks::spawn("bus", async move { bus.run(pending()).await });
    tasks::spawn("throttle", kept.ledger.clone().attend());
    let sticky = fleet.sticky.clone();
    tasks::spawn("leases", async move {
        // Held, so that it never fires.
        let (_trigger, stop) = halt();
        sticky.run(stop).await;
    });
    tasks::spawn("orders", async move {
        while let Some(heard) = listener.next().await {
            obey(&fleet, &heard);
        }
    });
}

fn obey(fleet: &Fleet, heard: &Heard) {
    match heard {
        Heard::Said(word) => {
            if let Some(order) = Order::read(word) {
                fleet.obey(&order);
            }
        }
        Heard::Missed => fleet.missed(),
    }
}
