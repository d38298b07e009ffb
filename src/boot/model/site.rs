//! From a `server` block, read, to the site that its sessions share.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::logs;
use super::super::names::Resolvers;
use super::{Kept, Plain, Server};
use crate::login::{Mechanism, Mechanisms, Offer};
use crate::observe::Log;
use crate::observe::access::Access;
use crate::proxy::directives::{Header, Tells};
use crate::proxy::kerberos::Realms;
use crate::proxy::{After, Offered, Security, Site, Towards};
use crate::route::health::check::Patient;
use crate::route::health::probe::{self, Caller};
use crate::route::{Group, Router};
use crate::throttle::Connections;
use crate::throttle::logins::Logins;
use crate::tls::client::Connectors;
use crate::tls::clients::Verify;
use crate::tls::directives::{Mode, UpstreamSettings};
use crate::tls::server;
use crate::wire::haproxy;

impl Server {
    pub fn site(
        &self,
        main_log: &Log,
        kept: &Kept,
        connectors: &mut Connectors,
        names: &mut Resolvers,
        realms: &mut Realms,
    ) -> Result<Site, String> {
        let log = match &self.error_log {
            Some(targets) => logs::open(targets)?,
            None => main_log.clone(),
        };
        let alpn: &[&str] = &[self.words.alpn];
        let config = self
            .tls
            .has_certificates()
            .then(|| server::config(&self.tls, Arc::clone(&self.identity), alpn, &kept.tls));
        // What is wrong with its files has been complained of.
        let config = config.map(|(config, _)| config);
        let resolver = names.of(&self.route.resolver, main_log);
        let router = Router::new(&self.route, &resolver, connectors, &kept.fleet)?;
        let may_choose = self.route.may_choose_tls();
        let mut towards = |group: &str, plain: &Plain| -> Result<Arc<Towards>, String> {
            Ok(Arc::new(Towards {
                counters: kept.metrics.upstream(group),
                tells: plain.tells.clone(),
                security: security(&plain.tls, connectors)?,
                connector: match may_choose && plain.tls.mode == Mode::Off {
                    true => connectors.connector(&plain.tls).ok(),
                    false => None,
                },
            }))
        };
        let mut groups = HashMap::new();
        for (name, plain) in &self.groups {
            groups.insert(name.clone(), towards(name, plain)?);
        }
        let counters = kept.metrics.protocol(self.words.name);
        let resolver = names.of(&self.route.resolver, main_log);
        Ok(Site {
            after: Arc::new(After {
                timeout: self.settings.proxy_timeout,
                log: log.clone(),
                counters: counters.clone(),
            }),
            words: self.words,
            name: self.name().into(),
            // TLS that is bound to fail is not offered. It is again with the next reload.
            offer: self.offered(config.is_some() && !self.identity.is_empty(), kept),
            kerberos: match self.mechanisms().has(Mechanism::Gssapi) {
                true => Some(realms.of(&self.settings.kerberos, self.words.name)?),
                false => None,
            },
            tls: config,
            router,
            connections: Connections::new(&self.throttle, &kept.zones),
            logins: Logins::new(&self.name(), &self.logins, &kept.ledger, log.clone()),
            fleet: kept.fleet.clone(),
            // Only where an admin has named name servers: as nginx, whose clients else have no name.
            clients: (matches!(self.words.name, "smtp" | "lmtp")
                && !self.route.resolver.servers.is_empty())
            .then_some(resolver),
            towards: towards("", &self.towards)?,
            groups,
            log,
            access: if self.access_log.is_empty() {
                Access::off()
            } else {
                logs::open_access(&self.access_log)?
            },
            metrics: kept.metrics.clone(),
            counters,
            settings: self.settings.clone(),
        })
    }

    fn offered(&self, has_tls: bool, kept: &Kept) -> Offered {
        let offer = self.offer(has_tls);
        match self.words.name {
            "smtp" | "lmtp" => {
                let seen = kept.seen(format!("{} {}", self.words.name, offer.name));
                let configured = self.settings.face(self.words).capabilities.clone();
                Offered::new(offer, configured, seen)
            }
            _ => Offered::fixed(offer),
        }
    }

    fn offer(&self, has_tls: bool) -> Offer {
        let (settings, face) = (&self.settings, self.settings.face(self.words));
        Offer {
            name: settings.names.first().cloned().unwrap_or_default(),
            greeting: match (self.words.name, &*face.greeting) {
                ("lmtp", "ESMTP ready") => "LMTP ready".to_owned(),
                (_, text) => text.to_owned(),
            },
            capabilities: face.capabilities.clone().unwrap_or_default(),
            mechanisms: self.mechanisms(),
            starttls: settings.starttls,
            has_tls,
            asks_certificates: self.tls.verify_client != Verify::Off,
            max_errors: settings.max_errors,
            client_buffer: face.client_buffer,
            id: settings.imap_id.clone(),
        }
    }
}

impl Server {
    /// The servers of its upstreams, and how each is asked whether it works.
    pub fn patients(&self, site: &Site, names: &mut Resolvers, log: &Log) -> Vec<Patient> {
        let Some(kind) = probe::Kind::of(self.words.name) else { return Vec::new() };
        let names = names.of(&self.route.resolver, log);
        let patient = |group: &Arc<Group>| {
            let towards = site.towards(Some(&group.name));
            let connector = match &towards.security {
                Security::Implicit(connector) => Some(Arc::clone(connector)),
                Security::Off | Security::StartTls(_) => None,
            };
            let prober =
                Caller { connector, preface: preface(&towards.tells), ..Caller::default() };
            Patient {
                group: Arc::clone(group),
                kind,
                port: towards.port(self.words),
                names: Arc::clone(&names),
                prober: Arc::new(prober),
            }
        };
        self.route.groups.values().map(patient).collect()
    }

    /// What it is called in the logs.
    fn name(&self) -> String {
        self.settings.names.first().map_or("localhost", String::as_str).to_owned()
    }

    pub fn configured(&self) -> Mechanisms {
        match self.words.name {
            "lmtp" => Mechanisms::of(&[Mechanism::Unasked]),
            _ => self.settings.face(self.words).mechanisms,
        }
    }

    /// What is offered of what is configured: what can succeed.
    ///
    /// Some mechanisms give us nothing to log in with upstream. Somebody must, and where the table
    /// decides, somebody must have checked the client first.
    pub fn mechanisms(&self) -> Mechanisms {
        let configured = self.configured();
        if self.route.has_vouching_handler() {
            return configured;
        }
        let mut all = self.groups.values().chain([&self.towards]);
        let has_master = all.any(|plain| plain.tells.master.is_some());
        let asks_certificates = self.tls.verify_client != Verify::Off;
        configured.iter().fold(Mechanisms::default(), |set, one| match one {
            Mechanism::Apop | Mechanism::CramMd5 | Mechanism::ScramSha256 => set,
            Mechanism::External if !(has_master && asks_certificates) => set,
            Mechanism::Gssapi if !has_master => set,
            _ => set.with(one),
        })
    }
}

/// A PROXY header that speaks for nobody, where one must come first.
fn preface(tells: &Tells) -> Vec<u8> {
    let mut bytes = Vec::new();
    match tells.header {
        Header::Off => {}
        Header::V1 => haproxy::write_unknown_v1(&mut bytes),
        Header::V2 => haproxy::write_local_v2(&mut bytes),
    }
    bytes
}

fn security(settings: &UpstreamSettings, all: &mut Connectors) -> Result<Security, String> {
    let mut connector = || all.connector(settings).map_err(|error| error.to_string());
    Ok(match settings.mode {
        Mode::Off => Security::Off,
        Mode::On => Security::Implicit(connector()?),
        Mode::StartTls => Security::StartTls(connector()?),
    })
}
