//! Asking DNS, over hickory.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequestOptions, Query};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, TokioResolver};

use super::{Ask, Error, Found, Named, Settings};

/// How long one server has before the next is asked, and it again after the last.
const TRY: Duration = Duration::from_secs(2);

/// So often are servers asked that say nothing. Whoever waits may give up sooner.
const ROUNDS: usize = 10;

/// So many aliases are followed. A reverse zone that is divided has one (RFC 2317).
const ALIASES: usize = 8;

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

    /// The servers and options that the directive or the system says now.
    fn configuration(&self) -> Result<(ResolverConfig, ResolverOpts), NetError> {
        match &self.servers[..] {
            [] => read_system_conf(),
            servers => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                Ok((config, ResolverOpts::default()))
            }
        }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let (config, mut options) = self.configuration()?;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = self.families;
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        builder.build()
    }

    /// The records of one kind that a whole name has, aliases followed.
    ///
    /// hickory's resolver answers itself for loopback addresses and reads names as addresses; what is
    /// to confirm a client must come from DNS, so the servers are asked directly. One that fails
    /// leaves the question to the next.
    async fn records(&self, name: Name, kind: RecordType) -> Result<Vec<Record>, NetError> {
        let (config, mut options) = self.configuration()?;
        options.timeout = TRY;
        let mut name = name;
        for _ in 0..ALIASES {
            let answers = query(&config, &options, &name, kind).await?;
            // The whole chain may stand in one answer, in any order.
            for _ in 0..ALIASES {
                let alias = answers.iter().find_map(|record| match &record.data {
                    RData::CNAME(target) if record.name == name => Some(target.0.clone()),
                    _ => None,
                });
                match alias {
                    Some(alias) => name = alias,
                    None => break,
                }
            }
            let is_it = |record: &Record| record.name == name && record.record_type() == kind;
            let found: Vec<_> = answers.iter().filter(|record| is_it(record)).cloned().collect();
            if !found.is_empty() {
                return Ok(found);
            }
            if !answers.iter().any(|record| matches!(record.data, RData::CNAME(_))) {
                return Err(NetError::Message("the answer is to another question"));
            }
        }
        Err(NetError::Message("too many aliases"))
    }
}

/// Asks each server in turn, until one has answered. If none was ever heard, they are asked again.
async fn query(
    config: &ResolverConfig,
    options: &ResolverOpts,
    name: &Name,
    kind: RecordType,
) -> Result<Vec<Record>, NetError> {
    for _ in 0..ROUNDS {
        let mut fault = None;
        for server in config.name_servers() {
            let context = Arc::new(PoolContext::new(options.clone(), TlsConfig::new()?));
            let provider = TokioRuntimeProvider::default();
            let server = NameServerPool::from_config([server.clone()], context, provider);
            let question = Query::query(name.clone(), kind);
            match server.lookup(question, DnsRequestOptions::default()).first_answer().await {
                Ok(response) => return Ok(response.into_message().answers),
                Err(error) if error.is_no_records_found() => return Err(error),
                Err(NetError::Timeout) => {}
                Err(error) => fault = Some(error),
            }
        }
        if let Some(error) = fault {
            return Err(error);
        }
    }
    Err(NetError::Timeout)
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(addr.ip());
    for connection in &mut server.connections {
        connection.port = addr.port();
    }
    server
}

/// The error of a question about `name`.
fn failed(name: &str) -> impl Fn(NetError) -> Error {
    move |error| match error {
        NetError::Timeout => Error::TimedOut(name.to_owned()),
        error if error.is_no_records_found() => Error::NotFound(name.to_owned()),
        error => Error::Failed { name: name.to_owned(), cause: error.to_string() },
    }
}

fn shortest<'a>(records: impl IntoIterator<Item = &'a Record>) -> Duration {
    let ttl = records.into_iter().map(|record| record.ttl).min();
    Duration::from_secs(ttl.unwrap_or_default().into())
}

impl Ask for Dns {
    async fn ask(&self, name: &str) -> Result<Found, Error> {
        let failed = failed(name);
        let resolver = self.resolver().map_err(&failed)?;
        let lookup = resolver.lookup_ip(name).await.map_err(&failed)?;
        let ttl = shortest(lookup.as_lookup().answers());
        let ips: Vec<_> = lookup.iter().map(|ip| ip.to_canonical()).collect();
        match ips.is_empty() {
            true => Err(Error::NotFound(name.to_owned())),
            false => Ok(Found { ips, ttl }),
        }
    }

    async fn names_of(&self, ip: IpAddr) -> Result<Named, Error> {
        let records = self.records(Name::from(ip), RecordType::PTR).await;
        let records = records.map_err(failed(&ip.to_string()))?;
        let ttl = shortest(&records);
        let names = records.iter().filter_map(|record| match &record.data {
            // Odd bytes are escaped, and so no part of a name.
            RData::PTR(name) => Some(name.0.to_ascii()),
            _ => None,
        });
        Ok(Named { names: names.collect(), ttl })
    }

    async fn addresses(&self, name: &str, ipv6: bool) -> Result<Found, Error> {
        // nginx logs a name in quotes, and an address without.
        let quoted = format!("\"{name}\"");
        let kind = if ipv6 { RecordType::AAAA } else { RecordType::A };
        let whole = Name::from_ascii(format!("{name}."));
        let whole = whole.map_err(|_| Error::Invalid(name.to_owned()))?;
        let records = self.records(whole, kind).await.map_err(failed(&quoted))?;
        let ips = records.iter().filter_map(|record| match &record.data {
            RData::A(ip) => Some(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
            _ => None,
        });
        Ok(Found { ips: ips.collect(), ttl: shortest(&records) })
    }
}
