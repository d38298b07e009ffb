//! `memcache.*`: the servers that all nodes share.

use super::site::with_port;
use super::{Made, Site, lines, switch};

/// Those that are named, else those of the site's servers that have one.
fn servers(site: &Site<'_>) -> Vec<String> {
    let port = site.text("memcache.port");
    let named = site.words("memcache.servers");
    if !named.is_empty() {
        return named.iter().map(|host| with_port(host, &port)).collect();
    }
    let here = site.servers_with("memcache.here").into_iter().flat_map(|server| {
        let port = site.of(&server, "memcache.port").to_string();
        let addresses = site.of(&server, "memcache.address").words();
        let hosts = if addresses.is_empty() { vec![server] } else { addresses };
        hosts.into_iter().map(move |host| with_port(&host, &port))
    });
    here.collect()
}

pub(super) const MADE: &[Made] = &[
    Made {
        name: "memcache.:servers",
        doc: "A line \"servers HOST:PORT;\" for each memcached server.",
        kind: "CUSTOM",
        attribute: "",
        make: |site| lines("servers ", &servers(site), ";"),
    },
    Made {
        name: "memcache.enabled",
        doc: "Lines for a site that has memcached servers. Not Zimbra's.",
        kind: "ENABLER",
        attribute: "",
        make: |site| switch(!servers(site).is_empty()),
    },
];
