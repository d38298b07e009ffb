//! Virtual servers, ready to serve: everything that their sessions share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::directives::{Settings, Tells};
use super::kerberos::Kerberos;
use super::learned::Offered;
use crate::http;
use crate::login::Words;
use crate::observe::access::Access;
use crate::observe::{Log, Metrics, metrics};
use crate::route::{Fleet, Router};
use crate::throttle::Connections;
use crate::throttle::logins::Logins;
use crate::tls::client::Connector;
use crate::tls::directives::Mode;
use crate::tls::names::Names;

/// One address that clients come to, and the virtual servers behind it.
#[derive(Debug)]
pub struct Door {
    /// By the name that a client asks for in TLS; the default for those that ask for none.
    pub sites: Names<Arc<Site>>,
    /// TLS from the first byte.
    pub ssl: bool,
    /// A PROXY header comes first.
    pub proxy_protocol: bool,
}

/// One virtual server. Sessions hold it by `Arc`, so they live on in it when a reload replaces it.
#[derive(Debug)]
pub struct Site {
    pub words: &'static Words,
    pub name: Arc<str>,
    pub settings: Settings,
    pub offer: Offered,
    /// Present where GSSAPI is offered.
    pub kerberos: Option<Kerberos>,
    /// Absent where the server has no certificate at all.
    pub tls: Option<Arc<crate::tls::server::Config>>,
    pub router: Router,
    /// `limit_conn`
    pub connections: Connections,
    /// How often logins may fail.
    pub logins: Logins,
    pub fleet: Fleet,
    /// What finds the names of SMTP clients, where they are wanted.
    pub clients: Option<http::Names>,
    /// How upstreams without a block of their own are treated.
    pub towards: Arc<Towards>,
    /// How those with a block are, by the name of the block.
    pub groups: HashMap<String, Arc<Towards>>,
    pub after: Arc<After>,
    pub log: Log,
    pub access: Access,
    pub metrics: Metrics,
    pub counters: metrics::Protocol,
}

/// What a session needs of its server once it is relayed: an idle session of an old configuration
/// must not keep all of that alive.
#[derive(Debug)]
pub struct After {
    /// `proxy_timeout`
    pub timeout: Duration,
    pub log: Log,
    pub counters: metrics::Protocol,
}

/// How an upstream is treated.
#[derive(Debug)]
pub struct Towards {
    pub counters: metrics::Upstream,
    pub tells: Tells,
    pub security: Security,
    /// For logins whose lookup handler wants TLS although `proxy_ssl` is `off`.
    pub connector: Option<Arc<Connector>>,
}

/// `proxy_ssl off | on | starttls`.
#[derive(Debug)]
pub enum Security {
    Off,
    Implicit(Arc<Connector>),
    StartTls(Arc<Connector>),
}

impl Security {
    /// Where a server without a port is reached.
    pub fn port(&self, words: &Words) -> u16 {
        match self {
            Self::Implicit(_) => words.tls_port,
            Self::Off | Self::StartTls(_) => words.port,
        }
    }
}

impl Door {
    /// The server for clients that ask for no name, or for one that nobody has.
    pub fn default_site(&self) -> Option<&Arc<Site>> {
        self.sites.find(None)
    }
}

impl Towards {
    /// Where a server without a port is reached.
    pub fn port(&self, words: &Words) -> u16 {
        self.security.port(words)
    }

    /// What a lookup handler wants for one login; none where TLS cannot be had.
    pub fn security_of(&self, mode: Mode) -> Option<Security> {
        let own = match &self.security {
            Security::Off => self.connector.as_ref(),
            Security::Implicit(connector) | Security::StartTls(connector) => Some(connector),
        };
        match mode {
            Mode::Off => Some(Security::Off),
            Mode::On => own.map(|connector| Security::Implicit(Arc::clone(connector))),
            Mode::StartTls => own.map(|connector| Security::StartTls(Arc::clone(connector))),
        }
    }
}

impl Site {
    /// The configuration that it belongs to is in force: what outlives it follows it.
    pub fn take_effect(&self) {
        self.router.take_effect();
        self.logins.take_effect();
        if let Some(tls) = &self.tls {
            tls.take_effect();
        }
    }

    /// How the upstream of this group is treated.
    pub fn towards(&self, group: Option<&str>) -> &Arc<Towards> {
        group.and_then(|name| self.groups.get(name)).unwrap_or(&self.towards)
    }
}
