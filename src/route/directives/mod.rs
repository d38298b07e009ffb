//! The directives of this room, and what they mean.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::group::{Group, Groups};
use super::table::Table;
use crate::config::{Block, Directive, MAIL, SERVER, Statement, Takes, UPSTREAM};
use crate::http::Url;
use crate::net::dns;

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "auth_http",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "off",
        doc: "The lookup handler: `[http://]host[:port][/uri]` or `[http://]unix:/path[:/uri]`. It \
              is asked about every login that the `route` table does not know, in nginx's protocol, \
              over kept HTTP/1.1 connections. A host's name is resolved again as it ages, and all \
              its addresses are tried. `Auth-Server` may be a host's name too. A status line is \
              needed, but says little: any status with `Auth-Status: OK` lets in; a server error \
              without `Auth-Status` is a handler that is down. The response head may have 16 KiB. \
              `off` asks nobody, whatever the outer block says.",
    },
    Directive {
        name: "auth_http_header",
        within: &[MAIL, SERVER],
        takes: Takes::Args(2, 2),
        repeats: true,
        default: "",
        doc: "A header, name and value, for every question to the handler. The headers of an outer \
              block hold only where the inner one names none. `Host` replaces ours.",
    },
    Directive {
        name: "auth_http_timeout",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "60s",
        doc: "How long one question to the handler may take in all: resolving, connecting, and \
              waiting for the response head. The time that `Auth-Wait` asks for does not count.",
    },
    Directive {
        name: "route",
        within: &[MAIL, SERVER],
        takes: Takes::Table(0, 0),
        repeats: false,
        default: "",
        doc: "A table from logins to upstreams: `PATTERN UPSTREAM [login=NAME];`. A pattern is a \
              whole login (`user@example.com`, `user`), a domain (`@example.com`), a domain and all \
              below it (`.example.com`), only those below it (`*.example.com`), a regex (`~REGEX`, \
              `~*REGEX` in any case) or `default`. They are matched in this order, the longest \
              domain first, regexes as they are written. A leading `\\` takes the rest as a login. \
              An upstream is the name of an `upstream` block, `host[:port]` or `unix:/path`; without \
              a port it is the protocol's own (143, 110; 993, 995 with TLS from the start). In it \
              and in the name to log in with (`login=`) stand `$1`, `$name` for what the regex found, \
              and `$login`, `$user`, `$domain`. Passwords are not checked: the upstream does. A \
              login that no row knows goes to `auth_http`. An empty table hides that of the outer \
              block.",
    },
    Directive {
        name: "upstream",
        within: &[MAIL],
        takes: Takes::Block(1, 1, UPSTREAM),
        repeats: true,
        default: "",
        doc: "A group of servers by its name, to be named in `route` tables. Logins go to them by \
              turns; a server that cannot be reached leaves the login to the next.",
    },
    Directive {
        name: "server",
        within: &[UPSTREAM],
        takes: Takes::AtLeast(1),
        repeats: true,
        default: "",
        doc: "A server of the group: `host[:port]`, `[IPv6][:port]` or `unix:/path`. A host's name \
              stands for all its addresses, and is resolved again as they age.",
    },
    Directive {
        name: "resolver",
        within: &[MAIL, SERVER],
        takes: Takes::AtLeast(1),
        repeats: false,
        default: "off",
        doc: "The name servers to ask, `address[:port]`, with `valid=TIME` to keep answers for so \
              long whatever they say, and `ipv4=off` or `ipv6=off` not to look for such addresses. \
              `off` resolves as the system is set up to.",
    },
    Directive {
        name: "resolver_timeout",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "30s",
        doc: "How long resolving one name may take.",
    },
];

/// What holds in one block.
#[derive(Clone, Debug)]
pub struct Settings {
    pub groups: Arc<Groups>,
    pub table: Option<Arc<Table>>,
    pub auth_http: Option<Url>,
    /// Names as they are spelled.
    pub headers: Arc<[(String, HeaderValue)]>,
    pub timeout: Duration,
    /// What a [`dns::Resolver`] is made from.
    pub resolver: dns::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            groups: Arc::default(),
            table: None,
            auth_http: None,
            headers: Arc::default(),
            timeout: Duration::from_secs(60),
            resolver: dns::Settings::default(),
        }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        let groups =
            if block.has("upstream") { Arc::new(groups(block)) } else { Arc::clone(&outer.groups) };
        let table = block.blocks("route").first().map(|rows| Arc::new(Table::read(rows, &groups)));
        let headers: Vec<_> =
            block.all("auth_http_header").into_iter().filter_map(|at| header(block, at)).collect();
        Self {
            table: table.or_else(|| outer.table.clone()),
            groups,
            auth_http: match block.statement("auth_http") {
                Some(at) => url(block, at),
                None => outer.auth_http.clone(),
            },
            headers: if block.has("auth_http_header") {
                headers.into()
            } else {
                Arc::clone(&outer.headers)
            },
            timeout: block.time("auth_http_timeout").unwrap_or(outer.timeout),
            resolver: resolver(block, &outer.resolver),
        }
    }

    /// Whether any login can go anywhere: a server without that is a mistake.
    pub fn leads_somewhere(&self) -> bool {
        self.auth_http.is_some() || self.table.as_ref().is_some_and(|table| !table.is_empty())
    }
}

fn groups(block: &Block) -> Groups {
    let mut groups = Groups::new();
    for at in block.all("upstream") {
        let Some(inner) = at.block() else { continue };
        let group = Group::read(inner);
        if groups.contains_key(&group.name) {
            block.fault(at, format!("duplicate upstream \"{}\"", group.name));
        } else {
            groups.insert(group.name.clone(), Arc::new(group));
        }
    }
    groups
}

fn url(block: &Block, at: &Statement) -> Option<Url> {
    let text = at.arg(0).filter(|text| *text != "off")?;
    match Url::parse(text) {
        Ok(url) => Some(url),
        Err(fault) => {
            block.fault(at, format!("{fault} in auth_http \"{text}\""));
            None
        }
    }
}

fn header(block: &Block, at: &Statement) -> Option<(String, HeaderValue)> {
    let (name, value) = (at.arg(0)?, at.arg(1)?);
    let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
        block.fault(at, format!("invalid header name \"{name}\""));
        return None;
    };
    // These are part of how HTTP is carried.
    if [CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE].contains(&known) {
        block.fault(at, format!("header \"{name}\" cannot be set"));
        return None;
    }
    let Ok(mut value) = HeaderValue::from_str(value) else {
        // The value may be a secret.
        block.fault(at, format!("invalid value of header \"{name}\""));
        return None;
    };
    value.set_sensitive(true);
    Some((name.to_owned(), value))
}

fn resolver(block: &Block, outer: &dns::Settings) -> dns::Settings {
    let timeout = block.time("resolver_timeout").unwrap_or(outer.timeout);
    let Some(at) = block.statement("resolver") else {
        return dns::Settings { timeout, ..outer.clone() };
    };
    let args: Vec<_> = at.args().iter().map(String::as_str).collect();
    let settings = dns::Settings::parse(&args).unwrap_or_else(|fault| {
        block.fault(at, fault);
        None
    });
    dns::Settings { timeout, ..settings.unwrap_or_default() }
}

#[cfg(test)]
mod tests;
