//! `route_file`, `route_sql`, `route_ldap`, `route_order`.

use std::sync::Arc;
use std::time::Duration;

use ldap3::Scope;

use super::super::group::Groups;
use super::ldap::{self, Attributes, Filter, Server};
use super::order::RESERVED;
use super::sql::{self, Database, Dialect, Query, Target};
use super::{Plan, Plans, SOURCES, What, file};
use crate::config::{
    Block, Directive, MAIL, ROUTE_LDAP, ROUTE_SQL, SERVER, Secret, Statement, Takes,
};
use crate::tls::directives::{Mode, UpstreamSettings};

/// How many connections one source may have.
const MAX_CONNECTIONS: usize = 1000;

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "route_order",
        within: &[MAIL, SERVER],
        takes: Takes::AtLeast(1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "Who is asked where a login goes, and after whom: `table` is the `route` table, \
              `auth_http` the handler there, and other names are those of `route_file`, `route_sql`, \
              `route_ldap` and `lookup`. The first that knows the login decides. One that does not \
              know it leaves it to the next; one that cannot tell ends the search, and the login \
              fails for now: the next might send the user elsewhere, or say that there is none. Who \
              is not named is not asked. Without it: `table`, every named source as it is written, \
              `auth_http`.",
    },
    Directive {
        name: "route_file",
        within: &[MAIL],
        takes: Takes::Args(2, 3),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A source of routes by its name, and its file, relative to the configuration file. With \
              `format=hash`, the default, it is written as Postfix's `hash:` tables: a line for each \
              pattern and its upstream, blanks between them, `#` begins a comment, a line that begins \
              with blanks continues the one before it, and quotes hold blanks of a pattern. With \
              `format=map` it is written as the inside of `route`. Patterns, upstreams and `login=` \
              are those of `route`. The file is looked at every second, and read again when it has \
              changed and rests; one with a fault is told of once, and what was read before stays in \
              force, as it does if the file vanishes. It must be readable to `user`.",
    },
    Directive {
        name: "route_sql",
        within: &[MAIL],
        takes: Takes::Block(1, 1, ROUTE_SQL),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A source of routes by its name: a query to PostgreSQL or SQLite. See \
              [routes.md](routes.md).",
    },
    Directive {
        name: "url",
        within: &[ROUTE_SQL],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The database: `postgres://user@host[:port],…/database?…`, with the parameters of libpq; \
              several hosts are tried in order. Or `sqlite:PATH`, relative to the configuration file; \
              it is opened to read, and again when another file takes its place.",
    },
    Directive {
        name: "password_file",
        within: &[ROUTE_SQL, ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::File,
        doc: "A file whose first line is the password for the database's user, or for `bind_dn`. \
              Relative to the configuration file. It is read at start and reload.",
    },
    Directive {
        name: "query",
        within: &[ROUTE_SQL],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "One statement that gives one row for a login. It may hold `:login` (or `:user`: the \
              whole name that is looked for), `:local` and `:domain` (before and behind its last \
              `@`), `:protocol` and `:client_ip`, which are bound as text, never written into it; \
              without a value they are NULL. Columns by their names: `server` (an `upstream` or \
              `host[:port]`), `port`, `login`, `authzid`, `tls` (`off`, `on`, `starttls`), `secret`. \
              No row, or a `server` that is NULL or empty, is an unknown login. More than one row is \
              a failure.",
    },
    Directive {
        name: "pool",
        within: &[ROUTE_SQL],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "8",
        secret: Secret::None,
        doc: "How many connections to the database there may be, from 1 to 1000. They are made when \
              they are needed.",
    },
    Directive {
        name: "timeout",
        within: &[ROUTE_SQL, ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "5s",
        secret: Secret::None,
        doc: "How long one question may take in all: waiting for a connection, connecting and \
              answering.",
    },
    Directive {
        name: "ssl",
        within: &[ROUTE_SQL],
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether the database is spoken to in TLS, and not at all without.",
    },
    Directive {
        name: "ssl_verify",
        within: &[ROUTE_SQL, ROUTE_LDAP],
        takes: Takes::Flag,
        repeats: false,
        default: "on",
        secret: Secret::None,
        doc: "Whether the server must show a certificate that is trusted and made out to its name.",
    },
    Directive {
        name: "ssl_trusted_certificate",
        within: &[ROUTE_SQL, ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "A PEM file with the certificates that the server's certificate is trusted by. Without \
              it the system's roots are trusted. Relative to the configuration file.",
    },
    Directive {
        name: "ssl_name",
        within: &[ROUTE_SQL, ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The name that the server's certificate must have, instead of the host's.",
    },
    Directive {
        name: "route_ldap",
        within: &[MAIL],
        takes: Takes::Block(1, 1, ROUTE_LDAP),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "A source of routes by its name: a search in a directory. See [routes.md](routes.md).",
    },
    Directive {
        name: "server",
        within: &[ROUTE_LDAP],
        takes: Takes::AtLeast(1),
        repeats: true,
        default: "",
        secret: Secret::None,
        doc: "Directories, tried in order: `ldap://host[:port]`, `ldaps://host[:port]`, \
              `ldapi:///path`. One that could not be reached is passed over for 10 s if there are \
              others.",
    },
    Directive {
        name: "starttls",
        within: &[ROUTE_LDAP],
        takes: Takes::Flag,
        repeats: false,
        default: "off",
        secret: Secret::None,
        doc: "Whether TLS begins before anything else is said at `ldap://`, or nothing is said.",
    },
    Directive {
        name: "bind_dn",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "Whom to bind as, with the password of `password_file`. Without it nobody.",
    },
    Directive {
        name: "base",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "Where to search: a DN. `\"\"` is the root.",
    },
    Directive {
        name: "scope",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "sub",
        secret: Secret::None,
        doc: "How far to search: `sub` is the base and all below it, `one` what is right below it, \
              `base` the base alone.",
    },
    Directive {
        name: "filter",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "What to search for (RFC 4515). `${USER}` or `%u` is the whole name that is looked for, \
              `%n` what stands before its last `@`, `%d` what stands behind it, `%%` a percent sign. \
              What is filled in is escaped. More than one entry is a failure.",
    },
    Directive {
        name: "attribute",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "zimbraMailHost",
        secret: Secret::None,
        doc: "The attribute that has the server: an `upstream` or `host[:port]`. An entry without it \
              is an unknown login. More than one value is a failure.",
    },
    Directive {
        name: "user_attribute",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The attribute that has the name to log in with upstream.",
    },
    Directive {
        name: "port",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The server's port, where the entry names a host. Without it the protocol's own.",
    },
    Directive {
        name: "port_attribute",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "",
        secret: Secret::None,
        doc: "The attribute that has the server's port, rather than `port`.",
    },
    Directive {
        name: "connections",
        within: &[ROUTE_LDAP],
        takes: Takes::Args(1, 1),
        repeats: false,
        default: "4",
        secret: Secret::None,
        doc: "How many connections to the directory there may be, from 1 to 1000. They are made when \
              they are needed, and kept.",
    },
];

/// The sources of `block`, in their order. What is wrong with them is recorded there.
pub fn read(block: &Block, groups: &Arc<Groups>) -> Plans {
    let (mut plans, mut names) = (Vec::new(), Vec::new());
    for at in block.all_of(&SOURCES) {
        let Some(name) = at.arg(0) else { continue };
        if let Some(fault) = name_fault(name, &names) {
            block.fault(at, fault);
        }
        names.push(name);
        if let Some(what) = source(block, at) {
            plans.push(Arc::new(Plan::new(name.to_owned(), what, groups)));
        }
    }
    plans.into()
}

fn name_fault(name: &str, taken: &[&str]) -> Option<String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if RESERVED.contains(&name) {
        return Some(format!("\"{name}\" is no name for a source: it stands for another"));
    }
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_fit) {
        let form = "letters, digits, \"_\", \"-\" and \".\", 64 at most";
        return Some(format!("invalid name \"{name}\" of a source: {form}"));
    }
    let is_taken = taken.contains(&name);
    is_taken.then(|| format!("duplicate source \"{name}\": names are unique over all kinds"))
}

fn source(block: &Block, at: &Statement) -> Option<What> {
    Some(match (at.name(), at.block()) {
        ("route_sql", Some(inner)) => What::Sql(Box::new(sql(inner)?)),
        ("route_ldap", Some(inner)) => What::Ldap(Box::new(ldap(inner)?)),
        ("route_file", None) => {
            let format = match at.arg(2) {
                None | Some("format=hash") => file::Format::Hash,
                Some("format=map") => file::Format::Map,
                Some(other) => {
                    let words = "it must be format=hash or format=map";
                    block.fault(at, format!("invalid parameter \"{other}\", {words}"));
                    return None;
                }
            };
            let name = at.arg(0)?.to_owned();
            What::File(file::Plan { name, path: block.conf_path_of(at, 1)?, format })
        }
        _ => return None,
    })
}

fn sql(block: &Block) -> Option<sql::Plan> {
    // All of it is read, so that all faults come out at once.
    let database = required(block, "url").and_then(|at| database(block, at));
    let dialect = match &database {
        Some(Database::Sqlite(_)) => Dialect::Sqlite,
        _ => Dialect::Postgres,
    };
    let query = required(block, "query").and_then(|at| {
        let query = Query::parse(at.arg(0).unwrap_or_default(), dialect);
        query.map_err(|fault| block.fault(at, fault.to_string())).ok()
    });
    let password = block.conf_path("password_file");
    let pool = block.number("pool", 1..=MAX_CONNECTIONS).unwrap_or(8);
    let timeout = timeout(block);
    let (wants_tls, tls) = (block.flag("ssl").unwrap_or(false), tls(block));
    let useless = match database.as_ref()? {
        Database::Sqlite(_) => wants_tls || password.is_some(),
        Database::Postgres(target) => wants_tls && !target.has_network(),
    };
    if useless {
        block.fault_here("\"ssl\" and \"password_file\" are for a database on the network");
    }
    let tls = wants_tls.then_some(tls);
    Some(sql::Plan { database: database?, password, query: query?, pool, timeout, tls })
}

fn database(block: &Block, at: &Statement) -> Option<Database> {
    let url = at.arg(0)?;
    if url.starts_with("sqlite:") {
        let path = block.read(at, 0, "sqlite:PATH", |url| {
            let path = url.strip_prefix("sqlite:").unwrap_or_default();
            match path.is_empty() || path.contains('\0') {
                true => Err(crate::config::value::Wrong::Form),
                false => Ok(block.shared().conf_dir.join(path)),
            }
        });
        return path.map(Database::Sqlite);
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        block.fault(at, "invalid url: it must begin with \"postgres://\" or \"sqlite:\"");
        return None;
    }
    match Target::parse(url) {
        Ok(target) => Some(Database::Postgres(Box::new(target))),
        Err(fault) => {
            // The URL may hold a password.
            block.fault(at, format!("invalid url: {fault}"));
            None
        }
    }
}

fn ldap(block: &Block) -> Option<ldap::Plan> {
    const SCOPES: &[(&str, Scope)] =
        &[("sub", Scope::Subtree), ("one", Scope::OneLevel), ("base", Scope::Base)];
    required(block, "server");
    let mut servers = Vec::new();
    for at in block.all("server") {
        for text in at.args() {
            match Server::parse(text) {
                Ok(server) => servers.push(server),
                Err(fault) => block.fault(at, format!("invalid server \"{text}\": {fault}")),
            }
        }
    }
    let starttls = block.flag("starttls").unwrap_or(false);
    if let (true, Some(server)) = (starttls, servers.iter().find(|server| server.is_tls)) {
        block.fault_here(format!("\"starttls\" and {server} exclude each other: write ldap://"));
    }
    if let (true, Some(server)) = (starttls, servers.iter().find(|server| server.host().is_none()))
    {
        block.fault_here(format!("\"starttls\" is of no use at {server}"));
    }
    let text = |name: &str| block.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let (bind_dn, password) = (text("bind_dn"), block.conf_path("password_file"));
    if bind_dn.is_some() != password.is_some() {
        block.fault_here("\"bind_dn\" and \"password_file\" go together");
    }
    let base = required(block, "base").and_then(|at| at.arg(0)).map(str::to_owned);
    let scope = block.choice("scope", SCOPES).unwrap_or(Scope::Subtree);
    let filter = required(block, "filter").and_then(|at| {
        let filter = Filter::parse(at.arg(0).unwrap_or_default());
        filter.map_err(|fault| block.fault(at, fault.to_string())).ok()
    });
    let attribute = |name: &str| {
        let found = text(name)?;
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
        if !found.chars().all(is_fit) {
            block.fault_here(format!("invalid attribute \"{found}\" in \"{name}\" directive"));
        }
        Some(found)
    };
    let attributes = Attributes {
        server: attribute("attribute").unwrap_or_else(|| "zimbraMailHost".to_owned()),
        login: attribute("user_attribute"),
        port: attribute("port_attribute"),
    };
    let port = block.number("port", 1..=u16::MAX);
    let connections = block.number("connections", 1..=MAX_CONNECTIONS).unwrap_or(4);
    let (timeout, tls) = (timeout(block), tls(block));
    if servers.is_empty() {
        return None;
    }
    Some(ldap::Plan {
        servers,
        starttls,
        bind_dn,
        password,
        base: base?,
        scope,
        filter: filter?,
        attributes,
        port,
        timeout,
        connections,
        tls,
    })
}

fn timeout(block: &Block) -> Duration {
    let timeout = block.time("timeout").unwrap_or(Duration::from_secs(5));
    if timeout.is_zero() {
        block.fault_here("\"timeout\" must be longer than nothing");
    }
    timeout
}

fn tls(block: &Block) -> UpstreamSettings {
    UpstreamSettings {
        mode: Mode::On,
        verify: block.flag("ssl_verify").unwrap_or(true),
        trusted: block.conf_path("ssl_trusted_certificate"),
        name: block.text("ssl_name").filter(|name| !name.is_empty()).map(str::to_owned),
        ..UpstreamSettings::default()
    }
}

fn required<'b>(block: &'b Block, name: &str) -> Option<&'b Statement> {
    let Some(at) = block.all(name).first().copied() else {
        let own = block.args().first().map(String::as_str).unwrap_or_default();
        block.fault_here(format!("no \"{name}\" is inside {} \"{own}\"", block.name()));
        return None;
    };
    Some(at)
}
