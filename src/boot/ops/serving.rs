//! The configuration in force, as far as admins ask for it.

use std::sync::Arc;

use super::super::listeners::label;
use super::super::model::Model;
use crate::admin::api::{Assigned, Reach};
use crate::net::Endpoint;
use crate::proxy::Site;
use crate::route::Group;
use crate::route::health::servers::ServerStatus;
use crate::tls::certs::Identity;

/// One generation.
#[derive(Debug, Default)]
pub struct Serving {
    /// The first is 1; 0 is none.
    pub number: u64,
    /// Every virtual server, once.
    pub sites: Vec<Arc<Site>>,
    pub groups: Vec<Arc<Group>>,
    pub identities: Vec<Arc<Identity>>,
    /// Who listens where.
    pub listens: Vec<(Reach, Assigned)>,
}

impl Serving {
    pub fn of(number: u64, model: &Model) -> Self {
        let mut sites: Vec<Arc<Site>> = Vec::new();
        let mut listens = Vec::new();
        for (listen, door) in &model.doors {
            for site in door.sites.iter() {
                if !sites.iter().any(|known| Arc::ptr_eq(known, site)) {
                    sites.push(Arc::clone(site));
                }
                let Endpoint::Tcp(address) = &listen.endpoint else { continue };
                let assigned = Assigned {
                    listen: label(&listen.endpoint),
                    server: site.name.to_string(),
                    domain: site.settings.default_domain.clone(),
                };
                listens.push((Reach::of(address.ip(), listen.ipv6only), assigned));
            }
        }
        Self {
            number,
            sites,
            groups: model.groups.clone(),
            identities: model.identities.clone(),
            listens,
        }
    }

    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Whether `status` is of a server that serves when no other does.
    pub fn is_backup(&self, status: &ServerStatus) -> bool {
        let servers = self.group(&status.upstream).map(|group| group.servers());
        let server = servers.and_then(|all| all.iter().find(|one| *one.text == *status.server));
        server.is_some_and(|server| server.is_backup)
    }
}
