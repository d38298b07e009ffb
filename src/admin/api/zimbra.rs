//! `zimbra`: what `zmprov garpu`, `garpb`, `gamau` and `gamcs` list, of gatepost's own configuration.

use serde::{Deserialize, Serialize};

use super::{Caches, Lookups, Upstreams};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lists {
    /// Lookup handlers, as `host:port/path` (`garpu`).
    pub lookups: Vec<String>,
    /// Servers of upstreams, as `host:port` (`garpb`).
    pub backends: Vec<String>,
    /// URLs of the handlers that rule on SMTP logins (`gamau`).
    pub auth_urls: Vec<String>,
    /// Servers of the shared cache, as `host:port` (`gamcs`).
    pub caches: Vec<String>,
}

impl Lists {
    pub fn of(lookups: &Lookups, upstreams: &Upstreams, caches: &Caches) -> Self {
        let mut lists = Self::default();
        for handler in &lookups.handlers {
            let place = handler.url.split_once("://").map_or(&*handler.url, |(_, place)| place);
            add(&mut lists.lookups, place);
            if handler.protocols.iter().any(|protocol| protocol == "smtp") {
                add(&mut lists.auth_urls, &handler.url);
            }
        }
        for server in upstreams.upstreams.iter().flat_map(|upstream| &upstream.servers) {
            add(&mut lists.backends, &server.address);
        }
        for server in &caches.servers {
            add(&mut lists.caches, &server.address);
        }
        lists
    }
}

fn add(all: &mut Vec<String>, one: &str) {
    if !all.iter().any(|known| known == one) {
        all.push(one.to_owned());
    }
}
