//! `zmlookup.*` and `lookup.*`: who is asked where a login goes.

use super::site::with_port;
use super::{Made, Piece, Site, switch};

/// Where Zimbra's servlet is, on each of its servers.
const SERVLET: &str = "/service/extension/nginx-lookup";

/// The URLs that are set, else those of the servers that are targets.
pub(super) fn handlers(site: &Site<'_>) -> Vec<String> {
    let set = site.words("lookup.handlers");
    if !set.is_empty() {
        return set;
    }
    let named = site.words("lookup.targets");
    let targets = if named.is_empty() { site.servers_with("lookup.target") } else { named };
    let url = |server: String| {
        let port = site.of(&server, "lookup.port").to_string();
        let scheme = site.of(&server, "lookup.scheme").to_string();
        format!("{scheme}://{}{SERVLET}", with_port(&server, &port))
    };
    targets.into_iter().map(url).collect()
}

pub(super) fn is_available(site: &Site<'_>) -> bool {
    site.is_on("lookup.enabled") && !handlers(site).is_empty()
}

pub(super) const MADE: &[Made] = &[
    Made {
        name: "zmlookup.:handlers",
        doc: "The URLs of the lookup handlers, with blanks between.",
        kind: "CUSTOM",
        attribute: "zimbraReverseProxyLookupTarget",
        make: |site| Piece::List(handlers(site)),
    },
    Made {
        name: "lookup.available",
        doc: "Lines for a site that has lookup handlers.",
        kind: "ENABLER",
        attribute: "",
        make: |site| switch(is_available(site)),
    },
    Made {
        name: "zmlookup.dpasswd",
        doc: "The password by which tokens are asked for. Who generates reads it from its file.",
        kind: "STRING",
        attribute: "ldap_nginx_password",
        make: |site| match site.text("lookup.master.password_file") {
            none if none.is_empty() => Piece::Secret(String::new()),
            place => Piece::Refused(format!("the secret has not been read from {place}")),
        },
    },
];
