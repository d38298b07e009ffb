//! One virtual server, ready to serve: everything that its sessions share.

use std::collections::HashMap;
use std::sync::Arc;

use super::directives::{Settings, Tells};
use crate::login::{Offer, Words};
use crate::observe::{access, log::Log, metrics::Metrics};
use crate::route::Router;
use crate::tls;

/// One virtual server. Sessions hold it by `Arc`, so they live on in it when a reload replaces it.
#[derive(Debug)]
pub struct Site {
    pub words: &'static Words,
    pub settings: Settings,
    /// What a client is offered, with TLS possible or not.
    pub offer: Arc<Offer>,
    /// Absent where the server has no certificate at all.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub router: Router,
    /// How upstreams without a block of their own are treated.
    pub towards: Arc<Towards>,
    /// How those with a block are, by the name of the block.
    pub groups: HashMap<String, Arc<Towards>>,
    pub log: Log,
    pub access: Vec<access::Writer>,
    pub metrics: Metrics,
}

/// How an upstream is treated.
#[derive(Debug)]
pub struct Towards {
    pub tells: Tells,
    pub security: Security,
}

/// `proxy_ssl off | on | starttls`.
#[derive(Debug)]
pub enum Security {
    Off,
    Implicit(tls::client::Connector),
    StartTls(tls::client::Connector),
}

impl Site {
    /// The first of the server's names.
    pub fn name(&self) -> &str {
        self.settings.names.first().map_or("localhost", String::as_str)
    }

    /// How the upstream of this group is treated.
    pub fn towards(&self, group: Option<&str>) -> &Arc<Towards> {
        group.and_then(|name| self.groups.get(name)).unwrap_or(&self.towards)
    }
}
