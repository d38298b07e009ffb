//! What the shipped templates need beyond Zimbra's variables: listening sockets, groups of upstreams,
//! tables of routes, and values that are several words.

use std::net::IpAddr;

use super::site::{Site, key, with_port};
use super::{Made, Piece, lines, said, word};

/// Each protocol that is served, by the beginning of its settings' names, and whether it begins in TLS.
const DOORS: &[(&str, bool)] = &[
    ("imap", false),
    ("imaps", true),
    ("pop3", false),
    ("pop3s", true),
    ("submission", false),
    ("submissions", true),
    ("smtp", false),
    ("lmtp", false),
    ("sieve", false),
];

/// `listen …;` for each address, or for the one that a virtual host has.
fn listens(site: &Site<'_>, door: &str, vip: Option<&str>) -> Piece {
    let is_tls = DOORS.iter().any(|(name, is_tls)| *name == door && *is_tls);
    let port = site.text(&format!("mail.{door}.port"));
    let mode = site.text("main.ip_mode");
    let named: Vec<String> = match vip {
        Some(address) => vec![address.to_owned()],
        None => site.words("main.listen"),
    };
    let fits = |address: &String| match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => mode != "ipv6",
        Ok(IpAddr::V6(_)) => mode != "ipv4",
        Err(_) => true,
    };
    let mut places: Vec<String> = if vip.is_some() {
        named.iter().map(|address| with_port(address, &port)).collect()
    } else {
        named.iter().filter(|address| fits(address)).map(|one| with_port(one, &port)).collect()
    };
    if named.is_empty() {
        if mode != "ipv6" {
            places.push(port.clone());
        }
        if mode != "ipv4" {
            places.push(format!("[::]:{port}"));
        }
    }
    if places.is_empty() {
        let why = format!("no address of main.listen is of main.ip_mode, {mode}");
        return Piece::Refused(why);
    }
    let mut after = String::new();
    if is_tls {
        after.push_str(" ssl");
    }
    if site.is_on("mail.proxy_protocol") {
        after.push_str(" proxy_protocol");
    }
    lines("listen ", &places, &format!("{after};"))
}

/// The listening sockets of a virtual host with an address of its own.
pub(super) fn listens_at(site: &Site<'_>, address: &str) -> Vec<(String, Piece)> {
    DOORS
        .iter()
        .map(|(door, _)| (format!("mail.{door}.:listen"), listens(site, door, Some(address))))
        .collect()
}

/// The kinds of upstreams, and where each has its ports.
const KINDS: &[&str] = &["imap", "pop3", "smtp", "mx", "lmtp", "sieve"];

/// The servers of a kind with their ports.
fn servers(site: &Site<'_>, kind: &str, named: &[String]) -> Vec<String> {
    let is_tls = site.is_on("upstream.tls.enabled") && !site.is_on("upstream.tls.starttls");
    let port = match (kind, is_tls) {
        ("imap", true) => "upstream.imaps.port",
        ("imap", false) => "upstream.imap.port",
        ("pop3", true) => "upstream.pop3s.port",
        ("pop3", false) => "upstream.pop3.port",
        // The protocol's own.
        _ => return named.to_vec(),
    };
    named.iter().map(|host| with_port(host, &site.text(port))).collect()
}

/// Every group: its name, the domain whose it is, its kind, and its servers.
fn groups(site: &Site<'_>) -> Vec<(String, Option<String>, &'static str, Vec<String>)> {
    let mut groups = Vec::new();
    for kind in KINDS {
        let name = format!("upstream.{kind}.servers");
        let all = site.words(&name);
        if !all.is_empty() {
            groups.push(((*kind).to_owned(), None, *kind, servers(site, kind, &all)));
        }
        for domain in site.settings.domains() {
            if let Some(own) = site.own(domain, &name) {
                let servers = servers(site, kind, &own.words());
                groups.push((format!("{kind}-{domain}"), Some(domain.to_owned()), *kind, servers));
            }
        }
    }
    groups
}

fn blocks(site: &Site<'_>) -> Piece {
    let block = |(name, domain, _, servers): &(String, Option<String>, &str, Vec<String>)| {
        let value = |key: &str| match domain {
            Some(domain) => site.of_domain(domain, key).to_string(),
            None => site.text(key),
        };
        let mut text = format!("upstream {} {{\n", word(name)?);
        match value("upstream.method").as_str() {
            "round_robin" => {}
            "hash" => text.push_str("    hash $login consistent;\n"),
            "random" => text.push_str("    random two;\n"),
            method => text.push_str(&format!("    {method};\n")),
        }
        if value("upstream.sticky") == "on" {
            text.push_str("    sticky on;\n");
        }
        if site.is_on("upstream.health_check") {
            let every = site.text("upstream.health_interval");
            text.push_str(&format!("    health_check interval={every};\n"));
        }
        for server in servers {
            text.push_str(&format!("    server {};\n", word(server)?));
        }
        text.push('}');
        Ok(text)
    };
    match groups(site).iter().map(block).collect::<Result<Vec<_>, String>>() {
        Ok(blocks) => Piece::Code(blocks.join("\n")),
        Err(why) => Piece::Refused(why),
    }
}

/// Whether any handler is asked, and by which name the order of sources knows it.
fn asked(site: &Site<'_>) -> Option<&'static str> {
    if !site.text("lookup.auth_http").is_empty() {
        return Some("auth_http");
    }
    super::lookup::is_available(site).then_some("zmlookup")
}

/// The table of a server of this kind: domains that have servers of their own, then all others.
fn routes(site: &Site<'_>, kind: &str) -> Piece {
    let mut rows = Vec::new();
    for (name, domain, of, _) in groups(site) {
        if of == kind {
            let row = match domain {
                Some(domain) => {
                    word(&format!("@{domain}")).and_then(|from| Ok((from, word(&name)?)))
                }
                None => word(&name).map(|to| ("default".to_owned(), to)),
            };
            rows.push(row.map(|(from, to)| format!("    {from} {to};")));
        }
    }
    if rows.is_empty() {
        return Piece::Code(String::new());
    }
    match rows.into_iter().collect::<Result<Vec<_>, String>>() {
        Ok(rows) => {
            let order =
                asked(site).map_or_else(String::new, |by| format!("route_order {by} table;\n"));
            Piece::Code(format!("{order}route {{\n{}\n}}", rows.join("\n")))
        }
        Err(why) => Piece::Refused(why),
    }
}

/// A value that is written as several words; `none` where it has none.
fn split(site: &Site<'_>, name: &str, none: &str) -> Piece {
    let words: Vec<String> = match site.data(key(name)) {
        crate::settings::Data::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        data => data.words(),
    };
    if words.is_empty() { Piece::Code(none.to_owned()) } else { Piece::List(words) }
}

/// The control socket, unless it is the one beside the pid file.
fn control(site: &Site<'_>) -> Piece {
    let beside = match site.text("main.pid").strip_suffix(".pid") {
        Some(stem) => format!("unix:{stem}.sock"),
        None => String::new(),
    };
    let mut words = vec![site.text("main.control.socket")];
    if said::is_said(key("main.control.mode"), &site.data(key("main.control.mode"))) {
        words.push(format!("mode={}", site.text("main.control.mode")));
    }
    for name in ["owner", "group"] {
        let value = site.text(&format!("main.control.{name}"));
        if !value.is_empty() {
            words.push(format!("{name}={value}"));
        }
    }
    if words[0] == "off" {
        words.truncate(1);
    } else if words.len() == 1 && words[0] == beside {
        return Piece::Code(String::new());
    }
    match words.iter().map(|raw| word(raw)).collect::<Result<Vec<_>, _>>() {
        Ok(words) => Piece::Code(format!("control {};", words.join(" "))),
        Err(why) => Piece::Refused(why),
    }
}

/// How routes are kept, unless it is as it would be anyway.
fn route_cache(site: &Site<'_>) -> Piece {
    if !site.is_on("cache.enabled") || !site.is_on("lookup.caching") {
        return Piece::Code("route_cache off;".to_owned());
    }
    let names = ["size", "ttl", "negative", "stale"];
    let other = |name: &&&str| {
        let key = key(&format!("cache.{name}"));
        said::is_said(key, &site.data(key))
    };
    let words: String = names
        .iter()
        .filter(other)
        .map(|name| format!(" {name}={}", site.text(&format!("cache.{name}"))))
        .collect();
    Piece::Code(if words.is_empty() { words } else { format!("route_cache on{words};") })
}

/// TLS towards upstreams, as `proxy_ssl` has it.
fn upstream_tls(site: &Site<'_>) -> Piece {
    let word = match (site.is_on("upstream.tls.enabled"), site.is_on("upstream.tls.starttls")) {
        (false, _) => "off",
        (true, false) => "on",
        (true, true) => "starttls",
    };
    Piece::Code(word.to_owned())
}

const fn part(name: &'static str, doc: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    Made { name, doc, kind: "CUSTOM", attribute: "", make }
}

const LISTEN: &str = "A line \"listen …;\" for each address. Not Zimbra's.";
const ROUTE: &str = "The table of routes, where upstreams are set. Not Zimbra's.";
const WORDS: &str = "The setting's value as several words. Not Zimbra's.";

pub(super) const MADE: &[Made] = &[
    part("mail.imap.:listen", LISTEN, |site| listens(site, "imap", None)),
    part("mail.imaps.:listen", LISTEN, |site| listens(site, "imaps", None)),
    part("mail.pop3.:listen", LISTEN, |site| listens(site, "pop3", None)),
    part("mail.pop3s.:listen", LISTEN, |site| listens(site, "pop3s", None)),
    part("mail.submission.:listen", LISTEN, |site| listens(site, "submission", None)),
    part("mail.submissions.:listen", LISTEN, |site| listens(site, "submissions", None)),
    part("mail.smtp.:listen", LISTEN, |site| listens(site, "smtp", None)),
    part("mail.lmtp.:listen", LISTEN, |site| listens(site, "lmtp", None)),
    part("mail.sieve.:listen", LISTEN, |site| listens(site, "sieve", None)),
    part("upstream.:groups", "The upstreams that are set. Not Zimbra's.", blocks),
    part("upstream.imap.:route", ROUTE, |site| routes(site, "imap")),
    part("upstream.pop3.:route", ROUTE, |site| routes(site, "pop3")),
    part("upstream.smtp.:route", ROUTE, |site| routes(site, "smtp")),
    part("upstream.mx.:route", ROUTE, |site| routes(site, "mx")),
    part("upstream.lmtp.:route", ROUTE, |site| routes(site, "lmtp")),
    part("upstream.sieve.:route", ROUTE, |site| routes(site, "sieve")),
    part("upstream.tls.mode", "on, starttls or off. Not Zimbra's.", upstream_tls),
    part("lookup.:handlers", "A line \"handler URL;\" for each. Not Zimbra's.", |site| {
        lines("handler ", &super::lookup::handlers(site), ";")
    }),
    part("lookup.used", "Lines for a site whose handlers are asked. Not Zimbra's.", |site| {
        super::switch(asked(site) == Some("zmlookup"))
    }),
    part("main.:control", "The line of the control socket. Not Zimbra's.", control),
    part("cache.:route_cache", "How routes are kept. Not Zimbra's.", route_cache),
    part("mail.:real_ip", "A line \"set_real_ip_from …;\" for each. Not Zimbra's.", |site| {
        lines("set_real_ip_from ", &site.words("mail.real_ip_from"), ";")
    }),
    part("mail.smtp.capabilities.quoted", "Each capability in quotes. Not Zimbra's.", |site| {
        Piece::Words(site.words("mail.smtp.capabilities"))
    }),
    part("mail.sieve.capabilities.quoted", "Each capability in quotes. Not Zimbra's.", |site| {
        Piece::Words(site.words("mail.sieve.capabilities"))
    }),
    part(
        "tls.depth",
        "Of chains of clients' certificates, six at the most. Not Zimbra's.",
        |site| {
            let depth = site.data(key("client_certificate_depth")).integer().unwrap_or(6);
            Piece::Code(depth.min(6).to_string())
        },
    ),
    part("throttle.failures.address.words", WORDS, |s| {
        split(s, "throttle.failures.address", "off")
    }),
    part("throttle.failures.prefix.words", WORDS, |s| split(s, "throttle.failures.prefix", "off")),
    part("throttle.failures.user.words", WORDS, |s| split(s, "throttle.failures.user", "off")),
    part("throttle.failures.attempts.words", WORDS, |s| {
        split(s, "throttle.failures.attempts", "off")
    }),
    part("throttle.failures.whitelist.words", WORDS, |s| {
        split(s, "throttle.failures.whitelist", "none")
    }),
];
