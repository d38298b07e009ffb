//! The directives of this room, and what they mean.

use std::sync::Arc;
use std::time::Duration;

use super::cache;
use super::group::{Group, Groups, Limits};
use super::header::Header;
use super::lookup::directives::Settings as Lookup;
use super::postmaster::Postmaster;
use super::source::order::{self, Step};
use super::source::{Plans, SOURCES, directives};
use super::table::Table;
use crate::config::{Block, Directive, MAIL, SERVER, Secret, Statement, Takes, UPSTREAM};
use crate::http::Url;
use crate::net::dns;
use crate::tls::directives::{Mode, UpstreamSettings};

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "auth_http",
        within: &[MAIL, SERVER],
        takes: Takes::AtLeast(1),
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "The lookup handler: `[http[s]://]host[:port][/uri]` or `[http[s]://]unix:/path[:/uri]`. \
              It is asked about every login that the `route` table does not know, in nginx's \
              protocol, over kept HTTP/1.1 connections. A host's name is resolved again as it ages, \
              and all its addresses are tried. Of several URLs each question begins at the next one, \
              and goes on to another where one cannot be reached, is silent, or says what makes no \
              sense; each such failure is logged, and the one that failed is passed over for 10 s. \
              Beyond nginx's, a question has the headers `Auth-Authz-User` (the authorization \
              identity, where one was given), `Client-Port`, `Server-Addr` and `Server-Port`; what a \
              client wrote is escaped as in `Auth-User`. `Auth-Server` may be a host's name. An \
              answer may have these headers of our own: `Auth-Upstream-TLS: off|on|starttls`, which \
              goes before `proxy_ssl`; `Auth-Upstream-Master: on`, by which the configured master \
              user logs in for this one, and no `Auth-Pass` is needed; `Auth-Verifier: \
              SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`. `Auth-Error-Code` is `NNN` or `NNN \
              N.N.N`, 4 or 5 in front, and `Auth-Error-SASL` is base64; of another form they are \
              passed over. The response head may have 16 KiB and 100 headers; for its first line \
              see `auth_http_strict`. `off` asks nobody, whatever the outer block says.",
    },
    Directive {
        name: "auth_http_header",
        within: &[MAIL, SERVER],
        takes: Takes::Args(2, 2),
        repeats: true,
        default: "",
        secret: Secret::Args(1),
        doc: "A header, name and value, for every question to the handler, after all others. The \
              value may hold the variables of `log_format`, `$name` or `${name}`, escaped as in \
              `Auth-User`; one that there is not is empty. A `$` by itself is `${dollar}`. The \
              headers of an outer block hold only where the inner one names none. `Host` replaces \
              ours.",
    },
    Directive {
        name: "auth_http_pass_client_cert",
        within: &[MAIL, SERVER],
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether the handler is sent the client's certificate: `Auth-SSL-Cert`, in PEM, escaped \
              as the component of a URI.",
    },
    Directive {
        name: "auth_http_strict",
        within: &[MAIL, SERVER],
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether a handler's status counts. With `off`, as in nginx, the status line may be \
              missing or odd, and any status with `Auth-Status: OK` lets in; only a server error \
              without `Auth-Status` is a handler that is down. With `on` there must be a proper \
              status line and a status of 2xx to let in or to wait. A refusal may have 401 or 403, \
              too, if `Auth-Status` has its text. Anything else is a handler that is down.",
    },
    Directive {
        name: "auth_http_ssl_verify",
        within: &[MAIL, SERVER],
        takes: Takes::Flag,
        repeats: false,
        default: "on",
        secret: Secret::None,
        doc: "Whether a handler at `https://` must show a certificate that is trusted and made out to \
              its name.",
    },
    Directive {
        name: "auth_http_ssl_trusted_certificate",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "A PEM file with the certificates that the handler's certificate is trusted by: its \
              authority's, or a self-signed one itself. Without it the system's roots are trusted. \
              Relative to the configuration file.",
    },
    Directive {
        name: "auth_http_ssl_name",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The name that the handler's certificate must have, and that is asked for, instead of \
              the one in its URL.",
    },
    Directive {
        name: "auth_http_ssl_server_name",
        within: &[MAIL, SERVER],
        takes: Takes::Flag,
        repeats: false,
        default: "on",
        secret: Secret::None,
        doc: "Whether the handler is told which name is asked for (SNI). An address is never told.",
    },
    Directive {
        name: "auth_http_timeout",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "60s",
        secret: Secret::None,
        doc: "How long one question to the handler may take in all: resolving, connecting, and \
              waiting for the response head. The time that `Auth-Wait` asks for does not count.",
    },
    Directive {
        name: "route",
        within: &[MAIL, SERVER],
        takes: Takes::Table(0, 0),
        repeats: false,
        default: "",
        secret: Secret::None,
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
        name: "postmaster",
        within: &[MAIL, SERVER],
        takes: Takes::Args(1, 2),
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Where whoever logs in as `<any>@postmaster.local` goes, and mail without a login for such \
              a recipient: `UPSTREAM [login=NAME]`, with the name to log in with there; the recipient \
              stays as it is written. No `route`, no source, no handler and nothing in a cache has a \
              say in it, so that the postmaster gets in whatever they say. The upstream judges the \
              password, or the token; by other mechanisms nobody is the postmaster. Such logins count \
              as one user's. `off`: these names are like any other. See [names.md](names.md).",
    },
    Directive {
        name: "upstream",
        within: &[MAIL],
        takes: Takes::Block(1, 1, UPSTREAM),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A group of servers by its name, to be named in `route` tables. Logins go to them by \
              turns, or as `hash`, `ip_hash`, `least_conn` or `random` says; a server that cannot be \
              reached leaves the login to the next. See [upstreams.md](upstreams.md).",
    },
    Directive {
        name: "server",
        within: &[UPSTREAM],
        takes: Takes::AtLeast(1),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A server of the group: `host[:port]`, `[IPv6][:port]` or `unix:/path`. A host's name \
              stands for all its addresses, which share the server's weight, and is resolved again \
              as they age (`resolve` is accepted and changes nothing). `weight=N` (1); `max_fails=N` \
              and `fail_timeout=TIME`, else as `max_fails` and `reconnect_timeout` say; `max_conns=N` \
              sessions with one address (0: any number); `slow_start=TIME` until it has its weight \
              again once it is back (0); `backup`: only while no other is usable; `down`: never. \
              `backup` and `slow_start` cannot stand with `hash`, `ip_hash` and `random`.",
    },
    Directive {
        name: "resolver",
        within: &[MAIL, SERVER],
        takes: Takes::AtLeast(1),
        repeats: false,
        default: "off",
        secret: Secret::None,
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
        secret: Secret::None,
        doc: "How long resolving one name may take.",
    },
];

/// What holds in one block.
#[derive(Clone, Debug)]
pub struct Settings {
    pub groups: Arc<Groups>,
    pub table: Option<Arc<Table>>,
    pub postmaster: Option<Arc<Postmaster>>,
    /// `lookup` and `zm_lookup`, in their order.
    pub lookups: Arc<[Arc<Lookup>]>,
    /// Files, databases and directories, as they are written.
    pub plans: Plans,
    /// Their names and those of `lookup` blocks, as they are written.
    pub names: Arc<[String]>,
    /// Who is asked after whom.
    pub order: Arc<[Step]>,
    /// Any of them will do.
    pub auth_http: Arc<[Url]>,
    pub headers: Arc<[Header]>,
    pub timeout: Duration,
    pub strict: bool,
    pub pass_client_cert: bool,
    /// Of `https://` alone.
    pub tls: UpstreamSettings,
    /// What a [`dns::Resolver`] is made from.
    pub resolver: dns::Settings,
    /// `route_cache`
    pub cache: cache::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            groups: Arc::default(),
            table: None,
            postmaster: None,
            lookups: Arc::default(),
            plans: Plans::default(),
            names: Arc::default(),
            order: order::usual(&[]).into(),
            auth_http: Arc::default(),
            headers: Arc::default(),
            timeout: Duration::from_secs(60),
            strict: false,
            pass_client_cert: false,
            tls: UpstreamSettings { mode: Mode::On, ..UpstreamSettings::default() },
            resolver: dns::Settings::default(),
            cache: cache::Settings::default(),
        }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        let groups =
            if block.has("upstream") { Arc::new(groups(block)) } else { Arc::clone(&outer.groups) };
        let table = block.blocks("route").first().map(|rows| Arc::new(Table::read(rows, &groups)));
        let lookups = lookups(block, &outer.lookups);
        let has_sources = SOURCES.iter().any(|name| block.has(name)) || block.has("zm_lookup");
        let (plans, names) = match has_sources {
            true => (directives::read(block, &groups), with_lookups(order::names(block), &lookups)),
            false => (Arc::clone(&outer.plans), Arc::clone(&outer.names)),
        };
        let order = match block.statement("route_order") {
            Some(at) => order::parse(at.args(), &names)
                .map_err(|fault| block.fault(at, fault))
                .map_or_else(|()| Arc::clone(&outer.order), Into::into),
            None if has_sources => order::usual(&names).into(),
            None => Arc::clone(&outer.order),
        };
        let headers: Vec<_> =
            block.all("auth_http_header").into_iter().filter_map(|at| header(block, at)).collect();
        Self {
            lookups,
            table: table.or_else(|| outer.table.clone()),
            postmaster: Postmaster::read(block, &groups)
                .unwrap_or_else(|| outer.postmaster.clone()),
            groups,
            plans,
            names,
            order,
            auth_http: match block.statement("auth_http") {
                Some(at) => urls(block, at),
                None => Arc::clone(&outer.auth_http),
            },
            headers: if block.has("auth_http_header") {
                headers.into()
            } else {
                Arc::clone(&outer.headers)
            },
            timeout: block.time("auth_http_timeout").unwrap_or(outer.timeout),
            strict: block.flag("auth_http_strict").unwrap_or(outer.strict),
            pass_client_cert: block
                .flag("auth_http_pass_client_cert")
                .unwrap_or(outer.pass_client_cert),
            tls: tls(block, &outer.tls),
            resolver: resolver(block, &outer.resolver),
            cache: cache::Settings::read(block, &outer.cache),
        }
    }

    /// The same without those who are shown what a client proves itself by: for questions that bring
    /// no more than a name.
    pub fn for_names_alone(&self) -> Self {
        let is_shown = |lookup: &Arc<Lookup>| lookup.send_password;
        let is_closed = |step: &Step| match step {
            Step::Table => false,
            Step::AuthHttp => !self.auth_http.is_empty(),
            Step::Named(name) => {
                let lookup = self.lookups.iter().find(|lookup| *lookup.name == **name);
                lookup.is_some_and(is_shown)
            }
        };
        let open = |step: &&Step| !is_closed(step);
        let asks_all = !self.order.iter().any(is_closed);
        Self {
            // They know of fewer, and that must not be kept for logins, for which all are asked.
            cache: if asks_all { self.cache.clone() } else { self.cache.apart() },
            order: self.order.iter().filter(open).cloned().collect(),
            lookups: self.lookups.iter().filter(|lookup| !is_shown(lookup)).cloned().collect(),
            auth_http: Arc::default(),
            ..self.clone()
        }
    }

    /// Whether any login can go anywhere: a server without that is a mistake.
    pub fn leads_somewhere(&self) -> bool {
        self.order.iter().any(|step| self.has(step))
    }

    /// Whether logins may be sent somewhere that nobody has checked: all but handlers that see the
    /// password know of none.
    pub fn trusts_upstreams(&self) -> bool {
        self.postmaster.is_some()
            || self.order.iter().any(|step| self.has(step) && !self.vouches(step))
    }

    /// Whether an answer may choose the upstream's TLS for one login.
    pub fn may_choose_tls(&self) -> bool {
        self.order.iter().any(|step| *step != Step::Table && self.has(step))
    }

    fn has(&self, step: &Step) -> bool {
        match step {
            Step::Table => self.table.as_ref().is_some_and(|table| !table.is_empty()),
            Step::AuthHttp => !self.auth_http.is_empty(),
            Step::Named(_) => true,
        }
    }

    /// Whether who answers has checked the login.
    fn vouches(&self, step: &Step) -> bool {
        match step {
            Step::Table => false,
            Step::AuthHttp => true,
            Step::Named(name) => {
                let lookup = self.lookups.iter().find(|lookup| *lookup.name == **name);
                lookup.is_some_and(|lookup| lookup.vouches())
            }
        }
    }

    /// What the main file says outside of `mail`: Zimbra has its `zm_lookup` there.
    pub fn of_main(main: &Block) -> Self {
        let lookups = lookups(main, &Arc::default());
        let names = with_lookups(Arc::default(), &lookups);
        Self { lookups, order: order::usual(&names).into(), names, ..Self::default() }
    }

    /// Whether there is a handler that may vouch for logins whose proof no upstream could check.
    pub fn has_vouching_handler(&self) -> bool {
        self.order.iter().any(|step| self.has(step) && self.vouches(step))
    }
}

/// The names of all sources: those that are known by theirs, and `zm_lookup`, which needs none.
fn with_lookups(names: Arc<[String]>, lookups: &[Arc<Lookup>]) -> Arc<[String]> {
    let others = lookups.iter().map(|lookup| lookup.name.to_string());
    let others: Vec<_> = others.filter(|name| !names.contains(name)).collect();
    names.iter().cloned().chain(others).collect()
}

/// Those of `block`, and those of the block around it that are called otherwise.
fn lookups(block: &Block, outer: &Arc<[Arc<Lookup>]>) -> Arc<[Arc<Lookup>]> {
    let own = Lookup::read_all(block);
    if own.is_empty() {
        return Arc::clone(outer);
    }
    let is_hidden = |lookup: &&Arc<Lookup>| own.iter().any(|known| known.name == lookup.name);
    let rest: Vec<_> = outer.iter().filter(|lookup| !is_hidden(lookup)).cloned().collect();
    own.into_iter().chain(rest).collect()
}

fn groups(block: &Block) -> Groups {
    let mut groups = Groups::new();
    let limits = Limits::read(block, &Limits::default());
    for at in block.all("upstream") {
        let Some(inner) = at.block() else { continue };
        let group = Group::read(inner, &limits);
        if groups.contains_key(&group.name) {
            block.fault(at, format!("duplicate upstream \"{}\"", group.name));
        } else {
            groups.insert(group.name.clone(), Arc::new(group));
        }
    }
    groups
}

fn urls(block: &Block, at: &Statement) -> Arc<[Url]> {
    if matches!(at.args(), [only] if only == "off") {
        return Arc::default();
    }
    let url = |text: &String| match Url::parse(text) {
        _ if text == "off" => {
            block.fault(at, "\"off\" stands alone in auth_http, or not at all");
            None
        }
        Ok(url) => Some(url),
        Err(fault) => {
            block.fault(at, format!("{fault} in auth_http \"{text}\""));
            None
        }
    };
    at.args().iter().filter_map(url).collect()
}

fn header(block: &Block, at: &Statement) -> Option<Header> {
    let header = Header::read(at.arg(0)?, at.arg(1)?);
    header.map_err(|fault| block.fault(at, fault.to_string())).ok()
}

fn tls(block: &Block, outer: &UpstreamSettings) -> UpstreamSettings {
    let name = block.text("auth_http_ssl_name").filter(|name| !name.is_empty());
    let trusted = block.conf_path("auth_http_ssl_trusted_certificate");
    UpstreamSettings {
        verify: block.flag("auth_http_ssl_verify").unwrap_or(outer.verify),
        trusted: trusted.or_else(|| outer.trusted.clone()),
        name: name.map(str::to_owned).or_else(|| outer.name.clone()),
        server_name: block.flag("auth_http_ssl_server_name").unwrap_or(outer.server_name),
        ..outer.clone()
    }
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
