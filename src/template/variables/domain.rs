//! What `!{explode domain(…)}` sets: a copy for each virtual host of each domain.

use super::super::values::{Domain, Values};
use super::site::{Site, with_port};
use super::{Piece, formatted, is_set, natural, parts, said, switch, tls, web};
use crate::settings::{self, Level};

/// The variables of a copy.
pub const OF_A_DOMAIN: &[&str] = &[
    "vhn",
    "vip",
    "domain",
    "ssl.crt",
    "ssl.key",
    "ssl.clientcertmode",
    "ssl.clientcertca",
    "ssl.clientcertdepth",
    "web.sso.certauth.enabled",
    "web.add.headers.vhost",
];

/// What a domain must set one of, beside its virtual hosts, for a server of its own to be worth it.
const OF_ITS_OWN: &[&str] =
    &["tls.certificate", "tls.key", "client_certificate_mode", "client_certificate_ca"];

/// The copies, by domain and in the order of its virtual hosts.
pub fn copies(site: &Site<'_>, values: &Values) -> Vec<Domain> {
    let mut copies = Vec::new();
    if !site.is_on("virtual_hosts_enabled") {
        return copies;
    }
    for domain in site.settings.domains() {
        let hosts = site.own(domain, "virtual_hosts").map(|data| data.words()).unwrap_or_default();
        if hosts.is_empty() || !OF_ITS_OWN.iter().any(|name| site.own(domain, name).is_some()) {
            continue;
        }
        let mode = site.of_domain(domain, "client_certificate_mode").to_string();
        let asks = tls::asks(&mode);
        let mut whole = Values::default();
        // What a domain sets of its own goes before its server's, by the settings' own names.
        for key in settings::all().filter(|key| key.levels.has(Level::Domain)) {
            let Some(data) = site.own(domain, key.name) else { continue };
            whole.put(key.name, natural(data));
            for variable in key.variables {
                whole.put(variable.name, formatted(data, variable.format));
            }
            whole.put(format!("{}.set", key.name), switch(is_set(data)));
            whole.put(format!("{}.unset", key.name), switch(!is_set(data)));
            whole.put(format!("{}.said", key.name), switch(said::is_said(key, data)));
        }
        whole.put("domain", Piece::Text(domain.to_owned()));
        for (name, key, default) in [
            ("ssl.crt", "tls.certificate", "ssl.crt.default"),
            ("ssl.key", "tls.key", "ssl.key.default"),
            ("ssl.clientcertca", "client_certificate_ca", "ssl.clientcertca.default"),
        ] {
            let own = site.own(domain, key).map(|data| Piece::Text(data.to_string()));
            let piece = own.or_else(|| values.get(default).cloned());
            whole.put(name, piece.unwrap_or_else(|| Piece::Text(String::new())));
        }
        whole.put("ssl.clientcertmode", Piece::Text(mode));
        let depth = site.of_domain(domain, "client_certificate_depth").to_string();
        whole.set("ssl.clientcertdepth", depth);
        whole.put("web.sso.certauth.enabled", switch(asks));
        let headers = site.of_domain(domain, "web.headers").words();
        whole.put("web.add.headers.vhost", web::headers(&headers));
        let addresses = site.own(domain, "virtual_addresses").map(|data| data.words());
        let addresses = addresses.filter(|_| !site.is_on("tls.sni")).unwrap_or_default();
        for (nth, host) in hosts.iter().enumerate() {
            // Hosts and addresses go together where there are as many of each.
            let nth = if addresses.len() == hosts.len() { nth } else { 0 };
            let mut values = whole.layered();
            values.put("vhn", Piece::Text(host.clone()));
            let vip = addresses.get(nth).map(|address| with_port(address, ""));
            values.set("vip", vip.unwrap_or_default());
            if let Some(address) = addresses.get(nth) {
                for (name, piece) in parts::listens_at(site, address) {
                    values.put(name, piece);
                }
            }
            copies.push(Domain { values, has_client_certificates: asks });
        }
    }
    copies
}
