//! `web.*`: the web part. gatepost proxies no web yet; the variables are there for templates that
//! are brought along.

use super::site::with_port;
use super::{Made, Piece, Site, lines, switch, word};

/// The servers that a list names, else all that serve the web.
fn upstreams(site: &Site<'_>, list: Option<&str>) -> Vec<String> {
    let named = list.map(|list| site.words(list)).unwrap_or_default();
    if named.is_empty() { site.servers_with("web.upstream.here") } else { named }
}

/// `server HOST:PORT fail_timeout=…s max_fails=…;`, a line each.
fn servers(site: &Site<'_>, hosts: &[String], port: &str) -> Piece {
    let hosts: Vec<String> = hosts
        .iter()
        .map(|host| {
            with_port(host, &if port.contains('.') { site.text(port) } else { port.to_owned() })
        })
        .collect();
    let timeout =
        site.data(super::site::key("upstream.reconnect_timeout")).time().unwrap_or_default();
    let fails = site.text("upstream.max_fails");
    lines("server ", &hosts, &format!(" fail_timeout={}s max_fails={fails};", timeout.as_secs()))
}

fn has_http(site: &Site<'_>) -> bool {
    site.text("web.mode") != "https"
}

fn has_https(site: &Site<'_>) -> bool {
    site.text("web.mode") != "http"
}

/// `http://GROUP`, or the group that is spoken to in TLS.
fn target(site: &Site<'_>, plain: &str, tls: &str) -> Piece {
    Piece::Code(match site.is_on("upstream.tls.enabled") {
        true => format!("https://{tls}"),
        false => format!("http://{plain}"),
    })
}

/// `add_header NAME "VALUE";` for each `Name: value`.
pub(super) fn headers(all: &[String]) -> Piece {
    let line = |header: &String| -> Result<String, String> {
        let (name, value) = header.split_once(':').ok_or("a header has no \":\"")?;
        let name = name.trim();
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err("a header's name has other letters than it may".to_owned());
        }
        Ok(format!("add_header {} {};", word(name)?, word(value.trim())?))
    };
    match all.iter().map(line).collect::<Result<Vec<_>, _>>() {
        Ok(lines) => Piece::Code(lines.join("\n")),
        Err(why) => Piece::Refused(why),
    }
}

/// What is shown for an upstream that does not answer.
fn error_pages(site: &Site<'_>) -> Piece {
    let url = site.text("web.error_url");
    let line = |code: &str| match url.as_str() {
        "" => Ok(format!("error_page {code} /zmerror_upstream_{code}.html;")),
        url => word(&format!("{url}?err={code}&up=$upstream_addr"))
            .map(|url| format!("error_page {code} {url};")),
    };
    match ["502", "504"].into_iter().map(line).collect::<Result<Vec<_>, _>>() {
        Ok(lines) => Piece::Code(lines.join("\n")),
        Err(why) => Piece::Refused(why),
    }
}

/// The virtual addresses, where names that are nobody's are refused.
fn addresses(site: &Site<'_>) -> Piece {
    let mut all = Vec::new();
    for domain in site.settings.domains() {
        for address in
            site.own(domain, "virtual_addresses").map(|data| data.words()).unwrap_or_default()
        {
            let line =
                format!("listen {} default_server;", with_port(&address, "${web.https.port}"));
            if !all.contains(&line) {
                all.push(line);
            }
        }
    }
    Piece::Code(all.join("\n"))
}

const EWS: Option<&str> = Some("web.upstream.ews_servers");
const LOGIN: Option<&str> = Some("web.upstream.login_servers");
const HTTP: &str = "web.upstream.http_port";
const HTTPS: &str = "web.upstream.https_port";

const fn made(
    name: &'static str,
    doc: &'static str,
    kind: &'static str,
    make: fn(&Site<'_>) -> Piece,
) -> Made {
    Made { name, doc, kind, attribute: "", make }
}

const fn group(name: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    made(name, "The name of a group of upstreams.", "STRING", make)
}

const fn list(name: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    made(name, "A line \"server HOST:PORT …;\" for each server of a group.", "CUSTOM", make)
}

const fn url(name: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    let attribute = "zimbraReverseProxySSLToUpstreamEnabled";
    let doc = "Where requests go: a group of upstreams, in TLS if they are spoken to so.";
    Made { name, doc, kind: "STRING", attribute, make }
}

const fn lines_for(name: &'static str, doc: &'static str, make: fn(&Site<'_>) -> Piece) -> Made {
    made(name, doc, "ENABLER", make)
}

macro_rules! group {
    ($name:literal) => {
        |_| Piece::Code($name.to_owned())
    };
}

pub(super) const MADE: &[Made] = &[
    lines_for("web.available", "Lines for a site that has upstreams for the web.", |site| {
        switch(!upstreams(site, None).is_empty())
    }),
    lines_for("web.http.enabled", "Lines for HTTP.", |site| {
        switch(site.is_on("web.enabled") && has_http(site))
    }),
    lines_for("web.https.enabled", "Lines for HTTPS.", |site| {
        switch(site.is_on("web.enabled") && has_https(site))
    }),
    made("web.server_name.default", "The server's own name.", "STRING", |site| {
        Piece::Text(site.hostname())
    }),
    group("web.upstream.name", group!("zimbra")),
    group("web.upstream.webclient.name", group!("zimbra_webclient")),
    group("web.upstream.ewsserver.name", group!("zimbra_ews")),
    group("web.upstream.loginserver.name", group!("zimbra_login")),
    group("web.upstream.zx.name", group!("zx")),
    group("web.ssl.upstream.name", group!("zimbra_ssl")),
    group("web.ssl.upstream.webclient.name", group!("zimbra_ssl_webclient")),
    group("web.ssl.upstream.ewsserver.name", group!("zimbra_ews_ssl")),
    group("web.ssl.upstream.loginserver.name", group!("zimbra_login_ssl")),
    group("web.ssl.upstream.zx.name", group!("zx_ssl")),
    group("web.admin.upstream.name", group!("zimbra_admin")),
    group("web.admin.upstream.adminclient.name", group!("zimbra_adminclient")),
    list("web.upstream.:servers", |site| servers(site, &upstreams(site, None), HTTP)),
    list("web.upstream.webclient.:servers", |site| servers(site, &upstreams(site, None), HTTP)),
    list("web.upstream.ewsserver.:servers", |site| servers(site, &upstreams(site, EWS), HTTP)),
    list("web.upstream.loginserver.:servers", |site| servers(site, &upstreams(site, LOGIN), HTTP)),
    list("web.upstream.zx.:servers", |site| servers(site, &upstreams(site, None), "8742")),
    list("web.ssl.upstream.:servers", |site| servers(site, &upstreams(site, None), HTTPS)),
    list("web.ssl.upstream.webclient.:servers", |site| {
        servers(site, &upstreams(site, None), HTTPS)
    }),
    list("web.ssl.upstream.ewsserver.:servers", |site| servers(site, &upstreams(site, EWS), HTTPS)),
    list("web.ssl.upstream.loginserver.:servers", |site| {
        servers(site, &upstreams(site, LOGIN), HTTPS)
    }),
    list("web.ssl.upstream.zx.:servers", |site| servers(site, &upstreams(site, None), "8743")),
    list("web.admin.upstream.:servers", |site| {
        servers(site, &upstreams(site, None), "web.admin.upstream_port")
    }),
    list("web.admin.upstream.adminclient.:servers", |site| {
        servers(site, &upstreams(site, None), "web.admin.upstream_port")
    }),
    url("web.upstream.target", |site| target(site, "zimbra", "zimbra_ssl")),
    url("web.upstream.webclient.target", |site| {
        target(site, "zimbra_webclient", "zimbra_ssl_webclient")
    }),
    url("web.upstream.ews.target", |site| target(site, "zimbra_ews", "zimbra_ews_ssl")),
    url("web.upstream.login.target", |site| target(site, "zimbra_login", "zimbra_login_ssl")),
    url("web.upstream.zx", |site| target(site, "zx", "zx_ssl")),
    lines_for(
        "web.ews.upstream.disable",
        "Lines for a site that has servers for EWS, despite its name.",
        |site| switch(!site.words("web.upstream.ews_servers").is_empty()),
    ),
    lines_for(
        "web.login.upstream.disable",
        "Lines for a site that has servers for logins, despite its name.",
        |site| switch(!site.words("web.upstream.login_servers").is_empty()),
    ),
    made(
        "listen.:addresses",
        "A line \"listen ADDRESS:PORT default_server;\" for each virtual address.",
        "CUSTOM",
        addresses,
    ),
    made(
        "web.:error_pages",
        "What is shown for an upstream that does not answer.",
        "CUSTOM",
        error_pages,
    ),
    made(
        "web.add.headers.default",
        "A line \"add_header …;\" for each header of every answer.",
        "CUSTOM",
        |site| headers(&site.words("web.headers")),
    ),
    list("web.upstream.onlyoffice.docservice", |_| Piece::Code(String::new())),
    list("web.upstream.onlyoffice.spellchecker", |_| Piece::Code(String::new())),
];
