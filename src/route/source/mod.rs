//! Sources of routes beside the `route` table and lookup handlers: files, SQL, LDAP.
//!
//! Each is asked for a name and answers with one of three: a route; that it does not know the login;
//! or that it cannot tell now, which is an [`Error`]. The three are never mistaken for one another.
//!
//! **In and out.** [`Plans::read`] takes the blocks, [`Plan::open`] makes of one what can be asked,
//! once for a configuration; [`Named::find`] asks. [`order`] says who is asked after whom.
//!
//! **Promises.**
//! - No login is written into SQL or a filter unescaped; what comes back fits upstream commands.
//! - No password is shown to a source.
//! - Workers never wait for a disk, nor own a connection: see [`Home`].
//!
//! **Limits.** Hosts of databases and directories are resolved as the system is set up to.

pub mod answer;
pub mod directives;
mod fault;
mod file;
mod home;
mod ldap;
pub mod order;
mod question;
mod sql;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use tokio::time::Instant;

pub use directives::DIRECTIVES;
pub use fault::Error;
pub use home::Home;

use super::asker::Asker;
use super::fleet::Fleet;
use super::group::Groups;
use super::table::Found;
use crate::login::{Attempt, Secret};
use crate::observe::metrics::Histogram;
use crate::observe::names;
use crate::tls::client::{Connector, Connectors};
use crate::tls::directives::UpstreamSettings;
use answer::Answer;
use fault::Flaw;
use question::Question;

/// The directives that name a source. Those of `lookup` are handlers, and are made elsewhere.
pub const SOURCES: [&str; 4] = ["route_file", "route_sql", "route_ldap", LOOKUP];

const LOOKUP: &str = "lookup";

/// How long a password may be.
const MAX_PASSWORD: u64 = 4096;

/// The sources that a `mail` block names, in the order in which it names them.
pub type Plans = Arc<[Arc<Plan>]>;

/// One source, as the configuration has it, and what was made of it.
#[derive(Debug)]
pub struct Plan {
    pub name: String,
    what: What,
    groups: Arc<Groups>,
    made: OnceLock<Result<Arc<Named>, String>>,
}

/// What a source is.
#[derive(Clone, Debug)]
pub enum What {
    File(file::Plan),
    Sql(Box<sql::Plan>),
    Ldap(Box<ldap::Plan>),
}

/// A source that can be asked.
#[derive(Debug)]
pub struct Named {
    name: Box<str>,
    kind: Kind,
    groups: Arc<Groups>,
    found: Histogram,
    unknown: Histogram,
    failed: Histogram,
}

#[derive(Debug)]
enum Kind {
    File(Arc<file::File>),
    Sql(sql::Sql),
    Ldap(ldap::Ldap),
}

impl Plan {
    pub fn new(name: String, what: What, groups: &Arc<Groups>) -> Self {
        Self { name, what, groups: Arc::clone(groups), made: OnceLock::new() }
    }

    /// What can be asked: made by the first server block that needs it, and shared by all. Reads
    /// files; asks nobody.
    pub fn open(&self, connectors: &mut Connectors, fleet: &Fleet) -> Result<Arc<Named>, String> {
        let made = self.made.get_or_init(|| {
            let home = &fleet.sources;
            let kind = match &self.what {
                // Its faults name it.
                What::File(plan) => Kind::File(file::File::open(plan, &self.groups, home)?),
                What::Sql(plan) => Kind::Sql(self.named(sql::Sql::open(plan, connectors, home))?),
                What::Ldap(plan) => {
                    Kind::Ldap(self.named(ldap::Ldap::open(plan, connectors, home))?)
                }
            };
            let seconds = |result: &str| {
                fleet.metrics.histogram(&names::SOURCE_SECONDS, &[&self.name, result])
            };
            Ok(Arc::new(Named {
                name: self.name.as_str().into(),
                kind,
                groups: Arc::clone(&self.groups),
                found: seconds("found"),
                unknown: seconds("unknown"),
                failed: seconds("failed"),
            }))
        });
        made.clone()
    }

    fn named<T>(&self, made: Result<T, String>) -> Result<T, String> {
        made.map_err(|fault| format!("{} \"{}\": {fault}", self.what.name(), self.name))
    }
}

impl What {
    /// The directive that it stands in.
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "route_file",
            Self::Sql(_) => "route_sql",
            Self::Ldap(_) => "route_ldap",
        }
    }
}

impl Named {
    /// Where `attempt` goes; none if it is not known here.
    pub async fn find(&self, attempt: &Attempt, asker: &Asker) -> Result<Option<Answer>, Error> {
        let began = Instant::now();
        let found = self.ask(attempt, asker).await;
        let seconds = match &found {
            Ok(Some(_)) => &self.found,
            Ok(None) => &self.unknown,
            Err(_) => &self.failed,
        };
        seconds.observe(began.elapsed().as_secs_f64());
        found.map_err(|flaw| Error { kind: self.kind.name(), name: self.name.clone(), flaw })
    }

    async fn ask(&self, attempt: &Attempt, asker: &Asker) -> Result<Option<Answer>, Flaw> {
        let row = match &self.kind {
            Kind::File(file) => {
                let found = file.find(attempt.mailbox()).await?;
                return Ok(found.map(|Found { to, login }| Answer::of(to, login)));
            }
            Kind::Sql(sql) => sql.ask(&Question::new(attempt, asker)).await?,
            Kind::Ldap(ldap) => ldap.ask(&Question::new(attempt, asker)).await?,
        };
        let answer = row.map(|row| row.read(&self.groups)).transpose()?;
        Ok(answer.flatten())
    }

    /// Whether to ask costs more than to keep the answer. What a file says is at hand, and a change
    /// of it is to hold at once.
    pub fn is_remote(&self) -> bool {
        !matches!(self.kind, Kind::File(_))
    }

    /// Whether another client of the same name might get another answer.
    pub fn hangs_on_client(&self) -> bool {
        match &self.kind {
            Kind::Sql(sql) => sql.hangs_on_client(),
            Kind::File(_) | Kind::Ldap(_) => false,
        }
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "route_file",
            Self::Sql(_) => "route_sql",
            Self::Ldap(_) => "route_ldap",
        }
    }
}

/// The first line of `password_file`.
fn password(path: &Path) -> Result<Secret, String> {
    use std::io::Read;

    let unread = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(unread)?;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    file.take(MAX_PASSWORD + 1).read_to_end(&mut text).map_err(unread)?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // RFC 4513 §5.1.2: with an empty one a directory takes us for nobody, and says that all is well.
    if line.is_empty() || line.len() as u64 > MAX_PASSWORD || std::str::from_utf8(line).is_err() {
        let words = "the first line must be a password, in UTF-8, of 4096 bytes at the most";
        return Err(format!("{}: {words}", path.display()));
    }
    Ok(Secret::new(line))
}

fn connector(
    settings: &UpstreamSettings,
    connectors: &mut Connectors,
) -> Result<Arc<Connector>, String> {
    connectors.connector(settings).map_err(|fault| own_words(&fault.to_string()))
}

fn client_config(
    settings: &UpstreamSettings,
    connectors: &mut Connectors,
) -> Result<Arc<ClientConfig>, String> {
    Ok(Arc::clone(connector(settings, connectors)?.config()))
}

/// `tls` speaks of upstreams and names the directives that are for them; ours are called alike.
fn own_words(text: &str) -> String {
    text.replace("proxy_ssl_", "ssl_").replace("the upstream", "the server")
}

/// What must hold for any bytes at all: rows of a file, SQL, logins in a filter, a directory's
/// messages, a row that was found.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    file::hold_for_any(input);
    sql::hold_for_any(input);
    ldap::hold_for_any(input);
    answer::hold_for_any(input);
}
