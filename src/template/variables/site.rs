//! One server of a site: its settings, and those of the others.

use std::collections::BTreeMap;

use crate::settings::{self, At, Data, Key, Settings};

use super::super::values::Values;

/// Where values are asked for.
#[derive(Debug)]
pub struct Site<'a> {
    pub settings: &'a Settings,
    at: At,
    server: Option<&'a str>,
}

/// The setting of this name.
pub fn key(name: &str) -> &'static Key {
    settings::find(name).expect("variables name settings that there are: a test makes them all")
}

impl<'a> Site<'a> {
    pub fn new(settings: &'a Settings, server: Option<&'a str>) -> Self {
        let at = server.map_or(At::Global, |server| At::Server(server.to_owned()));
        Self { settings, at, server }
    }

    pub fn data(&self, key: &Key) -> Data {
        self.settings.value(key, &self.at).data.into_owned()
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.data(key(name)).is_on()
    }

    pub fn text(&self, name: &str) -> String {
        self.data(key(name)).to_string()
    }

    pub fn words(&self, name: &str) -> Vec<String> {
        self.data(key(name)).words()
    }

    /// A setting of another server.
    pub fn of(&self, server: &str, name: &str) -> Data {
        self.settings.value(key(name), &At::Server(server.to_owned())).data.into_owned()
    }

    /// The servers for which a flag is on, by their tables.
    pub fn servers_with(&self, flag: &str) -> Vec<String> {
        self.settings
            .servers()
            .filter(|name| self.of(name, flag).is_on())
            .map(str::to_owned)
            .collect()
    }

    /// What a domain's own table sets.
    pub fn own(&self, domain: &str, name: &str) -> Option<&'a Data> {
        let at = At::Domain { domain: domain.to_owned(), server: None };
        self.settings.own(key(name), &at).filter(|data| !data.is_none())
    }

    /// A domain's, with what it inherits.
    pub fn of_domain(&self, domain: &str, name: &str) -> Data {
        let server = self.server.map(str::to_owned);
        let at = At::Domain { domain: domain.to_owned(), server };
        self.settings.value(key(name), &at).data.into_owned()
    }

    /// The server's name; `localhost` for a site without any.
    pub fn hostname(&self) -> String {
        let own = self.text("main.hostname");
        match (own.is_empty(), self.server) {
            (false, _) => own,
            (true, server) => server.unwrap_or("localhost").to_owned(),
        }
    }

    /// The servers of each service: `server(mailbox)`, `server(memcached)`, `server(lookup)` and
    /// `server(proxy)`, which is all.
    pub fn services(&self) -> BTreeMap<String, Vec<Values>> {
        let copies = |servers: Vec<String>| -> Vec<Values> {
            servers.iter().map(|server| self.server_values(server)).collect()
        };
        BTreeMap::from([
            ("proxy".to_owned(), copies(self.settings.servers().map(str::to_owned).collect())),
            ("mailbox".to_owned(), copies(self.servers_with("web.upstream.here"))),
            ("memcached".to_owned(), copies(self.servers_with("memcache.here"))),
            ("lookup".to_owned(), copies(self.servers_with("lookup.target"))),
            // Zimbra's document servers: there are none of ours, and templates may ask.
            ("docs".to_owned(), Vec::new()),
            ("onlyoffice".to_owned(), Vec::new()),
        ])
    }

    fn server_values(&self, server: &str) -> Values {
        let mut values = Values::default();
        let name = self.of(server, "main.hostname").to_string();
        let name = if name.is_empty() { server.to_owned() } else { name };
        values.put("server_id", super::Piece::Text(server.to_owned()));
        values.put("server_hostname", super::Piece::Text(name));
        values
    }
}

/// `host:port`, with an IPv6 address in brackets; what has a port keeps it.
pub fn with_port(host: &str, port: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{port}"),
        Err(_) if host.ends_with(']') => format!("{host}:{port}"),
        Err(_) if host.contains(':') => host.to_owned(),
        Err(_) => format!("{host}:{port}"),
    }
}
