//! The gateposts that can be measured: one program, and what decides in each where a login goes and whether it may.
//!
//! They differ by what is said here and by nothing else, so that a ratio of two of them is what that thing costs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::peers::{Ports, Surroundings};
use crate::tls;

/// How one gatepost is set up.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub program: PathBuf,
    pub routes: Routes,
    /// It has servers of memcached of its own.
    pub memcached: bool,
    /// It tells its figures, so that the run can say which tier has answered.
    pub metrics: bool,
    /// Directives for the main context, and for the mail block.
    pub main: String,
    pub mail: String,
}

/// What says where a login goes.
#[derive(Clone, Copy, Debug, Default)]
pub enum Routes {
    /// A row that fits everybody, and whether the upstream hears of the client by ID.
    #[default]
    Table,
    TableAndId,
    /// As the next, and beside it one that takes questions and answers none.
    HandlerAndHang,
    /// The mock's handler, which is asked as Zimbra's is.
    Handler,
    /// A row that fits everybody, and an upstream of two servers that keeps a user at one of them.
    Sticky,
}

/// The names, each with what it is, for `--help` and for errors.
pub const NAMES: &[(&str, &str)] = &[
    ("gatepost", "a `route` table, loopback whitelisted by the throttles, as it is by default"),
    ("gatepost-id", "tells the upstream who the client is"),
    ("gatepost-unthrottled", "`login_throttle off`"),
    ("gatepost-throttled", "throttles at their defaults, for loopback too"),
    ("gatepost-strangers", "the same, and nobody is known at an address"),
    ("gatepost-lookup", "asks a lookup handler at each login"),
    ("gatepost-hang", "asks one of two handlers at each login, one of which hangs"),
    ("gatepost-hit", "finds what the handler said in the process"),
    ("gatepost-shared", "finds it in memcached, having room for 200 routes itself"),
    ("gatepost-sticky", "`sticky on` over two servers, leases in memcached"),
];

/// Loopback is no exception. All clients have one address, so the one limit that counts logins which succeed, those of
/// users who come for the first time, is out of their reach; it is counted all the same.
const COUNTED: &str = "login_whitelist none; login_attempts_address 10000000/1m;";

impl Setup {
    /// The gatepost that is called so.
    pub fn named(name: &str) -> Option<Self> {
        let by_handler = |mail: &str| Self {
            routes: Routes::Handler,
            metrics: true,
            mail: mail.to_owned(),
            ..Self::default()
        };
        let by_table = |mail: &str| Self { mail: mail.to_owned(), ..Self::default() };
        Some(match name {
            "gatepost" => Self::default(),
            "gatepost-id" => Self { routes: Routes::TableAndId, ..Self::default() },
            "gatepost-unthrottled" => by_table("login_throttle off;"),
            "gatepost-throttled" => by_table(COUNTED),
            "gatepost-strangers" => by_table(&format!("{COUNTED} login_known 0;")),
            "gatepost-lookup" => by_handler("route_cache off;"),
            "gatepost-hang" => {
                Self { routes: Routes::HandlerAndHang, ..by_handler("route_cache off;") }
            }
            // Room for the million of route-memory.
            "gatepost-hit" => by_handler("route_cache on size=512m;"),
            "gatepost-shared" => Self { memcached: true, ..by_handler("route_cache on size=64k;") },
            "gatepost-sticky" => {
                Self { routes: Routes::Sticky, memcached: true, metrics: true, ..Self::default() }
            }
            _ => return None,
        })
    }

    /// The configuration: with the port of its memcached and where its figures are, as far as it has them.
    pub fn configuration(
        &self,
        ports: &Ports,
        memcached: Option<SocketAddr>,
        metrics: Option<SocketAddr>,
        around: &Surroundings,
    ) -> String {
        let Ports { plain, tls, smtp, smtps } = ports;
        let (mock_smtp, files, name) = (around.mock_smtp, around.files, tls::NAME);
        let (main, mail, routes) = (&self.main, &self.mail, self.routes.written(around));
        let memcached = memcached
            .map(|at| format!("memcached {{ server {at}; key cache.key; }}"))
            .unwrap_or_default();
        let metrics = metrics.map(|at| format!("metrics {at};")).unwrap_or_default();
        format!(
            "daemon off;
pid run/gatepost.pid;
error_log logs/error.log error;
worker_processes 2;
worker_rlimit_nofile {files};
{memcached}
{metrics}
{main}
events {{ worker_connections 16384; }}
mail {{
    server_name {name};
    access_log off;
    imap_capabilities IMAP4rev1 IDLE;
    {routes}
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    proxy_ssl off;
    {mail}
    server {{ listen 127.0.0.1:{plain}; protocol imap; }}
    server {{ listen 127.0.0.1:{tls} ssl; protocol imap; }}
    server {{
        listen 127.0.0.1:{smtp};
        protocol smtp;
        route {{ default 127.0.0.1:{mock_smtp}; }}
        xclient off;
    }}
    server {{
        listen 127.0.0.1:{smtps} ssl;
        protocol smtp;
        route {{ default 127.0.0.1:{mock_smtp}; }}
        xclient off;
    }}
}}
"
        )
    }

    /// What its folder must hold besides: the fleet's secret.
    pub fn write_key(&self, folder: &Path) -> std::io::Result<()> {
        match self.memcached {
            true => std::fs::write(folder.join("cache.key"), format!("{}\n", "5a".repeat(32))),
            false => Ok(()),
        }
    }
}

impl Routes {
    fn written(self, around: &Surroundings) -> String {
        let Surroundings { mock, mock_twin, handler, hanging, .. } = around;
        let table = |id: &str| {
            format!(
                "route {{ default mock; }}
    upstream mock {{ server 127.0.0.1:{mock}; proxy_issue_imap_id {id}; }}"
            )
        };
        match self {
            Self::Table => table("off"),
            Self::TableAndId => table("on"),
            Self::Handler => format!(
                "proxy_issue_imap_id off;
    lookup mock {{ protocol nle; handler http://127.0.0.1:{handler}; }}"
            ),
            Self::HandlerAndHang => format!(
                "proxy_issue_imap_id off;
    lookup mock {{
        protocol nle;
        handler http://127.0.0.1:{hanging};
        handler http://127.0.0.1:{handler};
    }}"
            ),
            Self::Sticky => format!(
                "route {{ default mock; }}
    upstream mock {{
        sticky on;
        server 127.0.0.1:{mock};
        server 127.0.0.1:{mock_twin};
        proxy_issue_imap_id off;
    }}"
            ),
        }
    }
}
