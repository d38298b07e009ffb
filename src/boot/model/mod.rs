//! From a configuration to everything that is needed to serve it.

mod kept;
mod site;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use kept::Kept;

use super::directives::Settings;
use super::logs::{self, Formats};
use super::names::Resolvers;
use super::rotation;
use super::{Options, lookups, registry};
use crate::config::{self, Block, Tree};
use crate::login::{Mechanism, Mechanisms, SmtpAuth, StartTls, Words, words};
use crate::memcached::directives as memcached;
use crate::net::Endpoint;
use crate::net::listen::{self, Listen};
use crate::observe::format::Format;
use crate::observe::rotate::Rules;
use crate::observe::{Level, Log, Target};
use crate::proxy::directives::{self as proxy, SmtpLogin};
use crate::proxy::kerberos::{self, Realms};
use crate::proxy::{Door, Site};
use crate::route;
use crate::route::Group;
use crate::route::health::check::Patient;
use crate::route::state::directives::Settings as State;
use crate::throttle::directives::Settings as Throttle;
use crate::throttle::logins::directives::Settings as LoginLimits;
use crate::tls::certs::Identity;
use crate::tls::client::Connectors;
use crate::tls::directives::{self as tls, UpstreamSettings};
use crate::tls::fault::Fault;
use crate::tls::names::Names;

/// A configuration that has been read whole and is without a fault. Nothing is open yet.
#[derive(Debug)]
pub struct Plan {
    pub settings: Settings,
    pub tree: Tree,
    cache: Option<memcached::Settings>,
    state: State,
    servers: Vec<Server>,
    lookups: Option<lookups::Plan>,
    error_log: Vec<(Target, Level)>,
    rotation: Rules,
    /// Certificates that cannot be used, in words, and notes on what has no effect.
    pub complaints: Vec<String>,
    pub notes: Vec<String>,
}

/// One `server` block, read.
#[derive(Debug)]
struct Server {
    words: &'static Words,
    listens: Vec<Listen>,
    settings: proxy::Settings,
    tls: tls::Settings,
    identity: Arc<Identity>,
    route: route::Settings,
    throttle: Throttle,
    logins: LoginLimits,
    towards: Plain,
    groups: BTreeMap<String, Plain>,
    error_log: Option<Vec<(Target, Level)>>,
    access_log: Vec<(Target, Arc<Format>)>,
}

/// How an upstream is treated, as read.
#[derive(Clone, Debug)]
struct Plain {
    tells: proxy::Tells,
    tls: UpstreamSettings,
}

/// Everything that one generation serves with.
#[derive(Debug)]
pub struct Model {
    pub settings: Settings,
    pub doors: Vec<(Listen, Arc<Door>)>,
    /// Where others ask for routes.
    pub windows: Vec<lookups::Window>,
    /// All that doors lead to.
    sites: Vec<Arc<Site>>,
    cache: Option<memcached::Settings>,
    pub log: Log,
    pub rotation: Rules,
    /// Whose certificates' ends are told.
    pub identities: Vec<Arc<Identity>>,
    /// Locks, maintenance, and where what must survive a restart is kept.
    pub state: State,
    pub groups: Vec<Arc<Group>>,
    /// Who is asked how he is.
    patients: Vec<Patient>,
}

/// The servers behind one address, each with whether it is marked as the default.
type Sites = Vec<(Arc<Site>, bool)>;

impl Model {
    /// What is to be listened at, and by how many sockets each.
    pub fn listens(&self) -> impl Iterator<Item = (&Listen, usize)> {
        let workers = self.settings.workers;
        let doors = self.doors.iter().map(move |(listen, _)| (listen, workers));
        let windows = self.windows.iter().map(move |window| (&window.listen, workers));
        doors.chain(windows).chain(self.settings.metrics.iter().map(|listen| (listen, 1)))
    }

    /// Puts in force what this configuration says of all that outlives it. It cannot fail: before it
    /// comes everything that can, so that a configuration that fails has changed nothing.
    pub fn take_effect(&mut self, kept: &Kept) {
        let fleet = &kept.fleet;
        fleet.cache.set_up(self.cache.as_ref(), &kept.metrics, &self.log);
        fleet.sources.log_to(self.log.clone());
        for site in &self.sites {
            site.take_effect();
        }
        for window in &self.windows {
            window.take_effect();
        }
        fleet.sticky.adopt(self.groups.iter().map(|group| group.described()));
        let groups = self.groups.iter().map(|group| &**group);
        fleet.follow(&self.state, &self.log, groups, std::mem::take(&mut self.patients));
    }
}

/// Why there is no plan: everything that is wrong, a line each.
pub type Faults = Vec<String>;

impl Plan {
    /// Reads the configuration that `options` names.
    pub fn read(options: &Options, kept: &Kept) -> Result<Self, Faults> {
        let lines =
            |faults: config::Faults| -> Faults { faults.iter().map(ToString::to_string).collect() };
        let (path, prefix) = (&options.configuration, &options.prefix);
        let registry = registry::registry();
        let tree =
            config::load(path, prefix, options.directives.as_deref(), &registry).map_err(lines)?;
        let plan = Self::of(tree, options, kept);
        plan.tree.finish().map_err(lines)?;
        Ok(plan)
    }

    pub fn of(tree: Tree, options: &Options, kept: &Kept) -> Self {
        let (main, prefix) = (tree.root().clone(), options.prefix.as_path());
        let settings = Settings::read(&main);
        let mut notes = settings.notes.clone();
        let cache = memcached::Settings::read(&main);
        let state = State::read(&main);
        notes.extend(cache.iter().flat_map(|cache| cache.notes.iter().cloned()));
        let error_log = logs::error_targets(&main, prefix).unwrap_or_else(|| {
            let path = options.error_log.clone().unwrap_or_else(|| logs::ERROR_LOG.into());
            let target = Target::parse(&path.to_string_lossy(), prefix);
            vec![(target.unwrap_or(Target::Stderr), Level::Error)]
        });
        let (mut servers, mut complaints) = (Vec::new(), Vec::new());
        let mut lookups = None;
        if let Some(mail) = main.blocks("mail").first() {
            let mut reader = Reader::new(&main, mail, prefix, kept);
            servers =
                mail.blocks("server").into_iter().map(|server| reader.server(server)).collect();
            let asked = reader.lookups(mail, &servers);
            complaints = reader.complaints;
            notes.extend(reader.notes);
            let shown = settings.metrics.iter().map(|shown| (shown, "metrics"));
            let shown = shown.chain(asked.listens().map(|listen| (listen, "lookup_server")));
            check_doors(mail, &servers, shown);
            lookups = Some(asked);
        } else {
            main.fault_here("no \"mail\" block in configuration");
        }
        let asked = lookups.iter().flat_map(|plan: &lookups::Plan| plan.error_log.iter().flatten());
        let mut files: BTreeSet<PathBuf> = logs::files(error_log.iter().chain(asked)).collect();
        for server in &servers {
            files.extend(logs::files(server.error_log.iter().flatten()));
            files.extend(logs::files(&server.access_log));
        }
        let rotation = rotation::read(&main, prefix, &files);
        Self {
            settings,
            tree,
            cache,
            state,
            servers,
            lookups,
            error_log,
            rotation,
            complaints,
            notes,
        }
    }

    /// What each server shows in TLS, and where it listens.
    pub fn shown(&self) -> impl Iterator<Item = (&tls::Settings, Vec<String>)> {
        let at = |listen: &Listen| listen.endpoint.to_string();
        let servers = self.servers.iter();
        servers.map(move |server| (&server.tls, server.listens.iter().map(at).collect()))
    }

    /// Opens the logs, and puts together what sessions need. It is in force with
    /// [`Model::take_effect`].
    pub fn build(self, kept: &Kept) -> Result<Model, Faults> {
        let log = logs::open(&self.error_log).map_err(|error| vec![error])?;
        let (mut connectors, mut names) = (Connectors::default(), Resolvers::default());
        let mut realms = Realms::default();
        let mut faults = Vec::new();
        let (mut patients, mut sites) = (Vec::new(), Vec::new());
        let mut doors: Vec<(Listen, Sites)> = Vec::new();
        let mut known: HashMap<&Endpoint, usize> = HashMap::new();
        for server in &self.servers {
            let site = match server.site(&log, kept, &mut connectors, &mut names, &mut realms) {
                Ok(site) => {
                    patients.extend(server.patients(&site, &mut names, &log));
                    Arc::new(site)
                }
                Err(error) => {
                    faults.push(error);
                    continue;
                }
            };
            sites.push(Arc::clone(&site));
            for listen in &server.listens {
                let at = *known.entry(&listen.endpoint).or_insert_with(|| {
                    doors.push((listen.clone(), Vec::new()));
                    doors.len() - 1
                });
                doors[at].1.push((Arc::clone(&site), listen.default_server));
            }
        }
        let windows = self
            .lookups
            .as_ref()
            .map_or(Ok(Vec::new()), |plan| plan.build(&log, kept, &mut connectors, &mut names));
        let windows = windows.unwrap_or_else(|error| {
            faults.push(error);
            Vec::new()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let doors = doors.into_iter().map(|(listen, sites)| {
            let mut names = Names::default();
            for (site, is_default) in sites {
                for problem in names.add(Arc::clone(&site), &site.settings.names, is_default) {
                    log.line(Level::Warn, None, format_args!("{problem} on {}", listen.endpoint));
                }
            }
            let door =
                Door { sites: names, ssl: listen.ssl, proxy_protocol: listen.proxy_protocol };
            (listen, Arc::new(door))
        });
        let doors = doors.collect();
        let groups = self.servers.iter().flat_map(|server| server.route.groups.values());
        let groups = groups.chain(self.lookups.iter().flat_map(lookups::Plan::groups));
        let groups: BTreeMap<_, _> =
            groups.map(|group| (group.name.clone(), Arc::clone(group))).collect();
        let groups = groups.into_values().collect();
        let asked = self.lookups.and_then(|plan| plan.identity);
        let identities = self.servers.into_iter().map(|server| server.identity).chain(asked);
        let identities = identities.collect();
        let (settings, state, cache) = (self.settings, self.state, self.cache);
        let rotation = self.rotation;
        Ok(Model {
            settings,
            doors,
            windows,
            sites,
            cache,
            log,
            rotation,
            identities,
            state,
            groups,
            patients,
        })
    }
}

/// Servers that share an address must agree on what comes first there, and have one default.
fn check_doors<'a>(
    mail: &Block,
    servers: &'a [Server],
    others: impl Iterator<Item = (&'a Listen, &'static str)>,
) {
    let mut seen: HashMap<&Endpoint, (&Listen, &'static str, bool)> = HashMap::new();
    let mut shown: HashMap<&Endpoint, &'static str> = HashMap::new();
    for (listen, name) in others {
        let at = &listen.endpoint;
        if let Some(other) =
            shown.insert(at, name).filter(|other| name == "lookup_server" || *other != name)
        {
            mail.fault_here(format!("\"{name} {at}\" and \"{other} {at}\" exclude each other"));
        }
    }
    for server in servers {
        let mut own: HashSet<&Endpoint> = HashSet::new();
        for listen in &server.listens {
            let at = &listen.endpoint;
            if let Some(name) = shown.get(at) {
                mail.fault_here(format!("\"listen {at}\" and \"{name} {at}\" exclude each other"));
            }
            if !own.insert(at) {
                mail.fault_here(format!("duplicate \"{at}\" address and port pair"));
                continue;
            }
            let Some((first, protocol, has_default)) = seen.get_mut(at) else {
                seen.insert(at, (listen, server.words.name, listen.default_server));
                continue;
            };
            if (first.ssl, first.proxy_protocol) != (listen.ssl, listen.proxy_protocol) {
                let words = "servers that share it differ in \"ssl\" or \"proxy_protocol\"";
                mail.fault_here(format!("conflicting \"listen {at}\": {words}"));
            }
            if *protocol != server.words.name {
                let words = format!("one server speaks {protocol}, another {}", server.words.name);
                mail.fault_here(format!("conflicting \"listen {at}\": {words}"));
            }
            if *has_default && listen.default_server {
                mail.fault_here(format!("a duplicate default server for {at}"));
            }
            *has_default |= listen.default_server;
        }
    }
}

/// Reads the blocks within `mail`.
struct Reader<'a> {
    prefix: &'a Path,
    kept: &'a Kept,
    settings: proxy::Settings,
    tls: tls::Settings,
    upstream_tls: UpstreamSettings,
    route: route::Settings,
    throttle: Throttle,
    logins: LoginLimits,
    formats: Formats,
    error_log: Option<Vec<(Target, Level)>>,
    access_log: Option<Vec<(Target, Arc<Format>)>>,
    /// How many more places may be listened at.
    room: usize,
    complaints: Vec<String>,
    told: HashSet<String>,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(main: &Block, mail: &'a Block, prefix: &'a Path, kept: &'a Kept) -> Self {
        let formats = Formats::read(mail);
        let access_log = logs::access_targets(mail, prefix, &formats);
        // Zimbra has its keytab in the main context.
        let kerberos = kerberos::Settings::read(main, &kerberos::Settings::default());
        let outer = proxy::Settings { kerberos, ..proxy::Settings::default() };
        Self {
            prefix,
            kept,
            settings: proxy::Settings::read(mail, &outer),
            tls: tls::Settings::read(mail, &tls::Settings::default()),
            upstream_tls: UpstreamSettings::read(mail, &UpstreamSettings::default()),
            route: route::Settings::read(mail, &route::Settings::of_main(main)),
            throttle: Throttle::read(mail, &Throttle::default()),
            logins: LoginLimits::read(mail, &LoginLimits::default()),
            error_log: logs::error_targets(mail, prefix),
            access_log,
            formats,
            room: listen::MOST,
            complaints: Vec::new(),
            told: HashSet::new(),
            notes: Vec::new(),
        }
    }

    fn lookups(&mut self, mail: &Block, servers: &[Server]) -> lookups::Plan {
        let mut plan = lookups::Plan::read(mail, &self.route, &self.tls, self.kept, &mut self.room);
        plan.error_log = self.error_log.clone();
        plan.domains.usual = self.settings.default_domain.clone();
        for server in servers {
            for ip in server.listens.iter().filter_map(|listen| listen.endpoint.ip()) {
                let own = || server.settings.default_domain.clone();
                plan.domains.by_address.entry(ip).or_insert_with(own);
            }
        }
        let fresh = plan.complaints.iter().filter(|one| self.told.insert((*one).clone()));
        self.complaints.extend(fresh.cloned());
        self.notes.extend(plan.notes.iter().cloned());
        plan
    }

    fn server(&mut self, block: &Block) -> Server {
        let settings = proxy::Settings::read(block, &self.settings);
        let listens = listens(block, &mut self.room);
        let words = protocol(block, &listens);
        let route = route::Settings::read(block, &self.route);
        if !route.leads_somewhere() {
            block.fault_here(
                "no \"route\", no other source and no \"auth_http\" is defined for server, so nobody \
                 could log in",
            );
        }
        let tls = tls::Settings::read(block, &self.tls);
        let needs_tls = settings.starttls != StartTls::Off || listens.iter().any(|l| l.ssl);
        let (identity, faults) = identity(&tls, &settings.names, self.kept);
        if needs_tls {
            if !tls.has_certificates() {
                block.fault_here(
                    "no \"ssl_certificate\" is defined for server that listens with \"ssl\" or \
                     offers \"starttls\"",
                );
            }
            let others = self.kept.tls.faults(&tls);
            // Servers share folders, and what is wrong in them is told once.
            let told = faults.iter().chain(&others).map(ToString::to_string);
            self.complaints.extend(told.filter(|one| self.told.insert(one.clone())));
        }
        self.notes.extend(tls.notices.iter().cloned());
        let outer = Plain {
            tells: settings.tells.clone(),
            tls: UpstreamSettings::read(block, &self.upstream_tls),
        };
        let groups = route.groups.values().map(|group| {
            let treated = Plain {
                tells: proxy::Tells::read(&group.block, &outer.tells),
                tls: UpstreamSettings::read(&group.block, &outer.tls),
            };
            (group.name.clone(), treated)
        });
        let groups: BTreeMap<String, Plain> = groups.collect();
        let lets_everybody_in =
            |plain: &Plain| plain.tells.smtp_auth == SmtpLogin::As(SmtpAuth::Off);
        if words.name == "smtp"
            && route.trusts_upstreams()
            && settings.smtp.mechanisms != Mechanisms::of(&[Mechanism::Unasked])
            && groups.values().chain([&outer]).any(lets_everybody_in)
        {
            block.fault_here(
                "\"proxy_smtp_auth off\" with \"route\" or another source would let everybody in: \
                 nobody would check the password; leave it at \"auto\"",
            );
        }
        let server = Server {
            words,
            listens,
            settings,
            tls,
            identity: Arc::new(identity),
            route,
            throttle: Throttle::read(block, &self.throttle),
            logins: LoginLimits::read(block, &self.logins),
            towards: outer,
            groups,
            error_log: logs::error_targets(block, self.prefix).or_else(|| self.error_log.clone()),
            access_log: logs::access_targets(block, self.prefix, &self.formats)
                .or_else(|| self.access_log.clone())
                .unwrap_or_default(),
        };
        self.note_mechanisms(&server, block);
        server
    }

    /// What is configured and not offered is told, lest an admin look for it in vain.
    fn note_mechanisms(&mut self, server: &Server, block: &Block) {
        let (configured, offered) = (server.configured(), server.mechanisms());
        let lacking = configured.iter().filter(|one| !offered.has(*one)).map(Mechanism::method);
        let lacking = lacking.collect::<Vec<_>>().join(", ");
        if lacking.is_empty() {
            return;
        }
        let text = format!(
            "\"{}_auth\": {lacking} cannot succeed without \"auth_http\"; external and gssapi can \
             with \"proxy_master_user\", external with \"ssl_verify_client\" besides",
            server.words.name
        );
        match offered == Mechanisms::default() {
            true => block.fault_here(format!("{text}: nobody could log in")),
            false => self.notes.push(format!("{text}: not offered, in {}", block.place())),
        }
    }
}

/// What a server that is called `names` shows its clients, and what is wrong with that.
pub fn identity(tls: &tls::Settings, names: &[String], kept: &Kept) -> (Identity, Vec<Fault>) {
    let (identity, mut faults) = kept.certificates.identity(&tls.files());
    match kept.certificates.shelf(&tls.folders, tls.passwords.as_deref()) {
        None => (identity, faults),
        Some((shelf, others)) => {
            faults.extend(others);
            (identity.with(shelf, names), faults)
        }
    }
}

fn listens(block: &Block, room: &mut usize) -> Vec<Listen> {
    let statements = block.all("listen");
    if statements.is_empty() {
        block.fault_here("no \"listen\" is defined for server");
    }
    let mut listens = Vec::new();
    for statement in statements {
        let words: Vec<&str> = statement.args().iter().map(String::as_str).collect();
        match Listen::parse_within(&words, room) {
            Ok(parsed) => listens.extend(parsed),
            Err(error) => block.fault(statement, error),
        }
    }
    listens
}

fn protocol(block: &Block, listens: &[Listen]) -> &'static Words {
    let choices = words::ALL.map(|words| (words.name, words));
    if block.has("protocol") {
        return block.choice("protocol", &choices).unwrap_or(&words::IMAP);
    }
    let port = listens.first().and_then(|listen| listen.endpoint.port());
    let known = words::ALL.into_iter().find(|words| port.is_some_and(|port| words.has_port(port)));
    known.unwrap_or_else(|| {
        if !listens.is_empty() {
            block.fault_here("unknown mail protocol for server: say \"protocol imap\" or \"pop3\"");
        }
        &words::IMAP
    })
}

/// Why a configuration is not usable.
#[derive(Debug)]
pub struct Unusable {
    /// Whether it could at least be read.
    pub syntax_is_ok: bool,
    pub faults: Faults,
}

/// Checks all that a start would, certificates and logs included, without binding anything. Gives
/// the text of all files, for `-T`.
pub fn test(options: &Options) -> Result<String, Unusable> {
    let kept = Kept::new();
    let plan =
        Plan::read(options, &kept).map_err(|faults| Unusable { syntax_is_ok: false, faults })?;
    let fail = |faults| Unusable { syntax_is_ok: true, faults };
    let mut complaints = plan.complaints.clone();
    for fault in kept.certificates.prove() {
        let fault = fault.to_string();
        if !complaints.contains(&fault) {
            complaints.push(fault);
        }
    }
    if !complaints.is_empty() {
        return Err(fail(complaints));
    }
    let text = plan.tree.dump();
    plan.build(&kept).map_err(fail)?;
    Ok(text)
}

/// The pid file that a configuration names.
pub fn pid_file(options: &Options) -> Result<PathBuf, Faults> {
    Plan::read(options, &Kept::new()).map(|plan| plan.settings.pid)
}

#[cfg(test)]
mod tests;
