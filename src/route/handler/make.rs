//! From settings to lookups that can be asked.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::hedge::Hedge;
use super::peer::Peer;
use super::state::Policy;
use super::{Handler, Lookup, Picks, REST, Way};
use crate::http::{Client, Names, Url};
use crate::route::directives::Settings;
use crate::route::fleet::Fleet;
use crate::route::header::Header;
use crate::route::lookup::directives::{self as lookups, Protocol};
use crate::route::lookup::{self, nle};
use crate::tls::client::Connectors;
use crate::tls::directives::UpstreamSettings;

/// Makes lookups.
pub struct Maker<'a> {
    pub names: &'a Names,
    pub connectors: &'a mut Connectors,
    pub fleet: &'a Fleet,
}

/// One URL, before it is one of a lookup.
struct Written<'a> {
    url: &'a Url,
    text: String,
    weight: u32,
    source: &'a str,
}

impl Maker<'_> {
    /// `auth_http`.
    pub fn anonymous(&mut self, settings: &Settings) -> Result<Handler, String> {
        let way = Way::Http {
            strict: settings.strict,
            certificate: settings.pass_client_cert,
            password: true,
            headers: None,
        };
        let spelled = settings.headers.iter().map(|header| header.name.clone()).collect();
        let policy = Policy { max_fails: 1, retry: REST, tells: false };
        let written = settings.auth_http.iter().map(|url| Written {
            url,
            text: url.to_string(),
            weight: 1,
            source: "auth_http",
        });
        let peers =
            self.peers(None, written, way, spelled, (policy, &settings.tls, settings.strict))?;
        Ok(self.handler(None, peers, settings.timeout, (Picks::Turns, Hedge::Off), false))
    }

    pub fn named(&mut self, settings: &lookups::Settings) -> Result<Handler, String> {
        let headers = settings.headers.iter().filter_map(Header::fixed).collect();
        let way = match settings.protocol {
            Protocol::AuthHttp => Way::Http {
                strict: settings.strict,
                certificate: settings.pass_client_cert,
                password: settings.send_password,
                headers: Some(headers),
            },
            Protocol::Nle => Way::Nle {
                words: nle::Words {
                    temporary: settings.temporary.to_vec(),
                    strict: settings.strict,
                },
                password: settings.send_password,
                master: settings.master.clone(),
                headers,
            },
        };
        let spelled = settings.headers.iter().map(|header| header.name.clone()).collect();
        let policy = Policy { max_fails: settings.max_fails, retry: settings.retry, tells: true };
        let written = settings.handlers.iter().map(|handler| Written {
            url: &handler.url,
            text: handler.url.to_string(),
            weight: handler.weight,
            source: &handler.source,
        });
        let name = Some(&*settings.name);
        let peers = self.peers(
            name,
            written,
            way,
            spelled,
            (policy, &settings.tls, settings.strict && settings.protocol == Protocol::AuthHttp),
        )?;
        let picks = (Picks::Two, settings.hedge);
        Ok(self.handler(name, peers, settings.timeout, picks, settings.caching))
    }

    fn handler(
        &self,
        name: Option<&str>,
        (way, peers): (Arc<Way>, Vec<Arc<Peer>>),
        timeout: Duration,
        (picks, hedge): (Picks, Hedge),
        keeps: bool,
    ) -> Handler {
        Handler(Arc::new(Lookup {
            name: name.map(Box::from),
            way,
            peers,
            turn: AtomicUsize::new(0),
            timeout,
            picks,
            hedge,
            budget: Mutex::default(),
            keeps,
            registry: self.fleet.handlers.clone(),
        }))
    }

    fn peers<'b>(
        &mut self,
        lookup: Option<&str>,
        written: impl Iterator<Item = Written<'b>>,
        way: Way,
        added: Vec<String>,
        (policy, tls, strict): (Policy, &UpstreamSettings, bool),
    ) -> Result<(Arc<Way>, Vec<Arc<Peer>>), String> {
        let own = match way {
            Way::Http { .. } => lookup::NAMES,
            Way::Nle { .. } => nle::NAMES,
        };
        let spelling: Vec<_> = own.iter().map(|name| (*name).to_owned()).chain(added).collect();
        let way = Arc::new(way);
        let mut peers = Vec::new();
        for Written { url, text, weight, source } in written {
            let mut client =
                Client::new(url.origin.clone(), Arc::clone(self.names), spelling.clone())
                    .strict(strict);
            if url.tls {
                let connector = self.connectors.connector(tls).map_err(|fault| match lookup {
                    None => format!(
                        "auth_http {}: {}",
                        url.origin,
                        lookup::own_words(&fault.to_string())
                    ),
                    Some(name) => {
                        let fault = fault.to_string().replace("proxy_ssl_", "ssl_");
                        format!("lookup {name} {}: {fault}", url.origin)
                    }
                })?;
                client = client.secured(connector, url.host.as_str());
            }
            let key = (lookup.unwrap_or_default(), &*text);
            let state = self.fleet.handlers.state(key, (policy, source), &self.fleet.metrics);
            let (url, way) = (url.clone(), Arc::clone(&way));
            let terms = (policy, source.into());
            peers.push(Arc::new(Peer { url, client, weight, state, terms, way }));
        }
        Ok((way, peers))
    }
}
