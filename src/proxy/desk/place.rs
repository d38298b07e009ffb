//! Which server of a sticky upstream a login goes to, and what is remembered of where it went.

use std::sync::Arc;

use crate::net::Endpoint;
use crate::observe::tasks;
use crate::route::health::Slot;
use crate::route::sticky::Placed;
use crate::route::{Fleet, Group, Route};

/// Where a login has been let in: what the relay holds, and what others are shown of it.
#[derive(Debug)]
pub struct Place {
    /// Whose mailbox it is; empty where nobody has logged in.
    pub user: String,
    pub group: Option<Arc<Group>>,
    /// As it is written in the group, or else its address.
    pub server: Arc<str>,
    pub endpoint: Endpoint,
    pub slot: Option<Slot>,
}

/// A choice by stickiness, until it has proved right.
pub struct Sticky<'a> {
    fleet: &'a Fleet,
    group: Arc<Group>,
    user: String,
    port: u16,
    /// Nobody logs in: it goes where the user is, and leaves no trace.
    is_guest: bool,
    placed: Option<Placed>,
}

impl<'a> Sticky<'a> {
    /// Whoever goes to a sticky upstream; none else. `user` is
    /// [`canonical`](crate::route::presence::canonical).
    pub fn of(
        fleet: &'a Fleet,
        route: &Route,
        user: &str,
        port: u16,
        is_guest: bool,
    ) -> Option<Self> {
        let group = route.group.as_ref().filter(|group| group.sticky.is_some())?;
        let group = Arc::clone(group);
        let user = Some(user).filter(|user| !user.is_empty())?.to_owned();
        Some(Self { fleet, group, user, port, is_guest, placed: None })
    }

    /// Asks where the user is, or may be; the first target of `route` is there. To be asked again
    /// when a server could not be reached.
    pub async fn place(&mut self, route: &mut Route) {
        let (servers, candidates) = (self.group.servers(), self.group.candidates(self.port));
        if self.is_guest {
            let at = self.fleet.sticky.follow(&self.group.name, &self.user, &candidates).await;
            if let Some(index) = at {
                route.targets.prefer(&servers[index].text);
            }
            return;
        }
        self.placed = self.fleet.sticky.place(&self.group.name, &self.user, &candidates).await;
        if let Some(placed) = &self.placed {
            route.targets.prefer(&servers[placed.index].text);
        }
    }

    /// The upstream has let the user in at `server`, and no sooner is the lease taken. Nobody waits for
    /// it.
    pub fn settle(self, server: &Arc<str>) {
        if self.is_guest {
            return;
        }
        let (sticky, server) = (self.fleet.sticky.clone(), Arc::clone(server));
        let Self { group, user, placed, .. } = self;
        tasks::spawn("lease", async move {
            sticky.settle(&group.name, &user, &server, placed.as_ref()).await;
        });
    }
}
