//! The lookup service (`lookup_server`), from configuration to sockets: one more kind of door.
//!
//! As with `listen`, every worker has a socket of its own, a reload replaces the answers and keeps
//! the sockets, and a question that is being answered holds its generation.

use std::sync::Arc;

use super::generation::{Alive, Generation};
use super::listeners::{Fresh, Listeners, label};
use super::logs;
use super::model::{self, Kept};
use super::names::Resolvers;
use super::worker::Workers;
use crate::admin::nle::directives::Settings;
use crate::admin::nle::{Domains, LIMITS, Lookups};
use crate::config::Block;
use crate::http::server::{self, Answer, Insecure, Pages, Request};
use crate::net::limits::Gate;
use crate::net::listen::{Listen, Socket};
use crate::net::{Endpoint, accept, errno, halt};
use crate::observe::{Level, Log, Target, tasks};
use crate::route::{self, Group, Router};
use crate::tls::certs::Identity;
use crate::tls::client::Connectors;
use crate::tls::directives as tls;
use crate::tls::server::{self as tls_server, Config};

/// What `mail` says of it.
#[derive(Debug)]
pub struct Plan {
    servers: Vec<Settings>,
    route: route::Settings,
    tls: tls::Settings,
    /// None where nobody wants TLS.
    pub identity: Option<Arc<Identity>>,
    /// What is wrong with the files of the certificate, and what is worth a note.
    pub complaints: Vec<String>,
    pub notes: Vec<String>,
    /// What names without a domain get.
    pub domains: Domains,
    /// That of `mail`, where it has one of its own.
    pub error_log: Option<Vec<(Target, Level)>>,
}

/// One address, ready to be served at.
#[derive(Debug)]
pub struct Window {
    pub listen: Listen,
    tls: Option<Arc<Config>>,
    router: Router,
    lookups: Arc<Lookups>,
}

impl Window {
    /// The configuration that it belongs to is in force.
    pub fn take_effect(&self) {
        self.router.take_effect();
        if let Some(tls) = &self.tls {
            tls.take_effect();
        }
    }
}

impl Plan {
    /// Reads the `mail` block, whose own sources and TLS are known. `room`: how many more places may
    /// be listened at.
    pub fn read(
        mail: &Block,
        route: &route::Settings,
        tls: &tls::Settings,
        kept: &Kept,
        room: &mut usize,
    ) -> Self {
        let servers = Settings::read_all(mail, room);
        let route = route.for_names_alone();
        if !servers.is_empty() && !route.leads_somewhere() {
            mail.fault_here(
                "\"lookup_server\" knows nobody: \"mail\" has no \"route\" and no other source that \
                 answers without a password",
            );
        }
        let (mut complaints, mut identity) = (Vec::new(), None);
        if servers.iter().flat_map(|server| &server.listens).any(|listen| listen.ssl) {
            if !tls.has_certificates() {
                mail.fault_here(
                    "no \"ssl_certificate\" is defined in \"mail\" for \"lookup_server\" with \"ssl\"",
                );
            }
            let (own, faults) = model::identity(tls, &[], kept);
            let others = kept.tls.faults(tls);
            complaints.extend(faults.iter().chain(&others).map(ToString::to_string));
            identity = Some(Arc::new(own));
        }
        let notes = servers.iter().flat_map(Settings::notes).collect();
        let (domains, error_log) = (Domains::default(), None);
        Self { servers, route, tls: tls.clone(), identity, complaints, notes, domains, error_log }
    }

    pub fn listens(&self) -> impl Iterator<Item = &Listen> {
        self.servers.iter().flat_map(|server| &server.listens)
    }

    /// The groups that answers come from.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        let groups = (!self.servers.is_empty()).then(|| self.route.groups.values());
        groups.into_iter().flatten()
    }

    /// What answers, where it is to answer.
    pub fn build(
        &self,
        log: &Log,
        kept: &Kept,
        connectors: &mut Connectors,
        names: &mut Resolvers,
    ) -> Result<Vec<Window>, String> {
        if self.servers.is_empty() {
            return Ok(Vec::new());
        }
        let own = match &self.error_log {
            Some(targets) => Some(logs::open(targets)?),
            None => None,
        };
        let log = own.as_ref().unwrap_or(log);
        let resolver = names.of(&self.route.resolver, log);
        let router = Router::new(&self.route, &resolver, connectors, &kept.fleet)?;
        let config = self.identity.as_ref().map(|identity| {
            tls_server::config(&self.tls, Arc::clone(identity), &["http/1.1"], &kept.tls).0
        });
        let mut windows = Vec::new();
        for settings in &self.servers {
            let lookups = Lookups::new(
                settings.clone(),
                router.clone(),
                self.domains.clone(),
                log.clone(),
                kept.metrics.clone(),
            );
            let lookups = Arc::new(lookups);
            windows.extend(settings.listens.iter().map(|listen| Window {
                listen: listen.clone(),
                tls: config.clone().filter(|_| listen.ssl),
                router: router.clone(),
                lookups: Arc::clone(&lookups),
            }));
        }
        Ok(windows)
    }
}

/// The sockets of each window, one for each worker.
pub fn sockets(
    windows: &[Window],
    listeners: &Listeners,
    fresh: &Fresh,
) -> std::io::Result<Vec<Vec<Socket>>> {
    let of = |window: &Window| listeners.copies(fresh, &label(&window.listen.endpoint));
    windows.iter().map(of).collect()
}

/// Answers at the sockets that [`sockets`] gave, until the acceptors of `generation` end.
pub fn serve(
    windows: &[Window],
    sockets: Vec<Vec<Socket>>,
    workers: &Workers,
    generation: &mut Generation,
    alive: &Alive,
    log: &Log,
) {
    for (window, sockets) in windows.iter().zip(sockets) {
        let (trigger, stop) = halt::halt();
        let gate = Gate::new(LIMITS.connections);
        let pages = Arc::new(Held { lookups: Arc::clone(&window.lookups), _alive: alive.clone() });
        for (shard, socket) in sockets.into_iter().enumerate() {
            let (gate, tls, pages) = (gate.clone(), window.tls.clone(), Arc::clone(&pages));
            let (stop, log) = (stop.clone(), log.clone());
            let _here = workers.of(shard).enter();
            tasks::spawn("lookup server", async move {
                let notices = log.clone();
                let notice = move |notice: accept::Notice| {
                    notices.line(Level::Crit, None, format_args!("lookup server: {notice}"));
                };
                let done = server::serve_at(socket, gate, tls, pages, LIMITS, stop, notice).await;
                if let Err(error) = done {
                    let words = format_args!("answering lookups failed ({})", errno(&error));
                    log.line(Level::Alert, None, words);
                }
            });
        }
        generation.acceptors.insert(label(&window.listen.endpoint), trigger);
    }
}

/// The service of one generation.
struct Held {
    lookups: Arc<Lookups>,
    _alive: Alive,
}

impl Pages for Held {
    fn admits(&self, from: &Endpoint) -> bool {
        self.lookups.admits(from)
    }

    async fn answer(&self, request: Request) -> Answer {
        self.lookups.answer(request).await
    }

    fn insecure(&self, from: &Endpoint, why: Insecure) {
        self.lookups.insecure(from, why);
    }
}
