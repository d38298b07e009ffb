//! Asking DNS, over hickory.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

use super::{Ask, Error, Found, Settings};

/// Asks DNS anew for each question. hickory's sockets and tasks belong to the runtime in which it
/// first speaks; made for one question, it never outlives its runtime, and what it costs to make is
/// small beside the question. It caches nothing, as we do.
#[derive(Clone, Debug)]
pub struct Dns {
    servers: Vec<SocketAddr>,
    families: LookupIpStrategy,
}

impl Dns {
    pub fn new(settings: &Settings) -> Self {
        let families = match (settings.ipv4, settings.ipv6) {
            (true, false) => LookupIpStrategy::Ipv4Only,
            (false, true) => LookupIpStrategy::Ipv6Only,
            _ => LookupIpStrategy::Ipv4AndIpv6,
        };
        Self { servers: settings.servers.clone(), families }
    }

    /// A resolver as the directive or the system says now.
    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let (config, mut options) = match &self.servers[..] {
            [] => read_system_conf()?,
            servers => {
                let servers = servers.iter().map(name_server).collect();
                (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
            }
        };
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = self.families;
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        builder.build()
    }
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(addr.ip());
    for connection in &mut server.connections {
        connection.port = addr.port();
    }
    server
}

impl Ask for Dns {
    async fn ask(&self, name: &str) -> Result<Found, Error> {
        let failed = |error: NetError| match error {
            NetError::Timeout => Error::TimedOut(name.to_owned()),
            error if error.is_no_records_found() => Error::NotFound(name.to_owned()),
            error => Error::Failed { name: name.to_owned(), cause: error.to_string() },
        };
        let resolver = self.resolver().map_err(failed)?;
        let lookup = resolver.lookup_ip(name).await.map_err(failed)?;
        let ttl = lookup.as_lookup().answers().iter().map(|record| record.ttl).min();
        let ips: Vec<_> = lookup.iter().map(|ip| ip.to_canonical()).collect();
        match ips.is_empty() {
            true => Err(Error::NotFound(name.to_owned())),
            false => Ok(Found { ips, ttl: Duration::from_secs(ttl.unwrap_or_default().into()) }),
        }
    }
}
