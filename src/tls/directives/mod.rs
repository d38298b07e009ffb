//! The `ssl_*` directives, for clients, and the `proxy_ssl*` directives, for upstreams.

mod records;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::DEFAULT_KX_GROUPS;
use rustls::{CipherSuite, NamedGroup};

use records::CIPHERS;
pub use records::DIRECTIVES;

use super::certs::{Files, shelf};
use super::clients::Verify;
use super::clients::trust::Sources;
use super::suites::{self, Protocols};
use crate::config::{Block, Statement};

/// OpenSSL's own number for `builtin`.
const BUILTIN: usize = 20480;

/// Where sessions are kept, tickets apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCache {
    None,
    Builtin(usize),
    Shared { name: String, bytes: u64 },
}

/// TLS with clients, as a `mail` or `server` block wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub certificates: Vec<PathBuf>,
    pub keys: Vec<PathBuf>,
    /// Folders of certificates, or patterns of them.
    pub folders: Vec<PathBuf>,
    pub passwords: Option<PathBuf>,
    pub verify_client: Verify,
    /// How many may stand between a client and someone trusted.
    pub verify_depth: usize,
    pub client_trust: Sources,
    pub protocols: Protocols,
    /// Of TLS 1.2, in order.
    pub ciphers: Vec<CipherSuite>,
    /// Of TLS 1.3, in order.
    pub ciphersuites: Vec<CipherSuite>,
    pub prefer_server_ciphers: bool,
    pub curves: Vec<NamedGroup>,
    pub session_cache: SessionCache,
    pub session_tickets: bool,
    pub session_ticket_keys: Vec<PathBuf>,
    pub session_timeout: Duration,
    /// What this block asks for and does not get, one line each, for the log.
    pub notices: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            keys: Vec::new(),
            folders: Vec::new(),
            passwords: None,
            verify_client: Verify::Off,
            verify_depth: 1,
            client_trust: Sources::default(),
            protocols: Protocols::Both,
            ciphers: suites::ciphers(CIPHERS).expect("a list that selects"),
            ciphersuites: suites::all_ciphersuites(),
            prefer_server_ciphers: false,
            curves: DEFAULT_KX_GROUPS.iter().map(|group| group.name()).collect(),
            session_cache: SessionCache::None,
            session_tickets: true,
            session_ticket_keys: Vec::new(),
            session_timeout: Duration::from_secs(300),
            notices: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        const VERIFY: &[(&str, Verify)] = &[
            ("on", Verify::On),
            ("off", Verify::Off),
            ("optional", Verify::Optional),
            ("optional_no_ca", Verify::OptionalNoCa),
        ];
        let mut notices = Vec::new();
        let trust = &outer.client_trust;
        let settings = Self {
            certificates: paths(block, "ssl_certificate").unwrap_or(outer.certificates.clone()),
            keys: paths(block, "ssl_certificate_key").unwrap_or(outer.keys.clone()),
            folders: folders(block).unwrap_or_else(|| outer.folders.clone()),
            passwords: file(block, "ssl_password_file", &outer.passwords),
            verify_client: block.choice("ssl_verify_client", VERIFY).unwrap_or(outer.verify_client),
            verify_depth: block.number("ssl_verify_depth", 0..).unwrap_or(outer.verify_depth),
            client_trust: Sources {
                told: file(block, "ssl_client_certificate", &trust.told),
                untold: file(block, "ssl_trusted_certificate", &trust.untold),
                crls: file(block, "ssl_crl", &trust.crls),
            },
            protocols: protocols(block, "ssl_protocols", &mut notices).unwrap_or(outer.protocols),
            ciphers: checked(block, "ssl_ciphers", suites::ciphers)
                .unwrap_or_else(|| outer.ciphers.clone()),
            ciphersuites: ciphersuites(block, &mut notices)
                .unwrap_or_else(|| outer.ciphersuites.clone()),
            prefer_server_ciphers: block
                .flag("ssl_prefer_server_ciphers")
                .unwrap_or(outer.prefer_server_ciphers),
            curves: curves(block, &mut notices).unwrap_or_else(|| outer.curves.clone()),
            session_cache: session_cache(block).unwrap_or_else(|| outer.session_cache.clone()),
            session_tickets: block.flag("ssl_session_tickets").unwrap_or(outer.session_tickets),
            session_ticket_keys: paths(block, "ssl_session_ticket_key")
                .unwrap_or(outer.session_ticket_keys.clone()),
            session_timeout: block.time("ssl_session_timeout").unwrap_or(outer.session_timeout),
            notices: Vec::new(),
        };
        if let Some(at) = block.statement("ssl_dhparam") {
            notices.push(format!(
                "\"ssl_dhparam\" has no effect: no such cipher is offered, in {}",
                at.place()
            ));
        }
        no_early_data(block);
        if block.flag("ssl_certificate_compression") == Some(true)
            && let Some(at) = block.statement("ssl_certificate_compression")
        {
            notices.push(format!(
                "\"ssl_certificate_compression\" has no effect: certificates are sent as they are, \
                 in {}",
                at.place()
            ));
        }
        if block.name() == "server" {
            settings.check_pairs(block);
            settings.check_trust(block);
        }
        Self { notices, ..settings }
    }

    /// Certificates with their keys, by rank.
    pub fn files(&self) -> Vec<Files> {
        let pairs = self.certificates.iter().zip(&self.keys);
        let files = |(certificate, key): (&PathBuf, &PathBuf)| Files {
            certificate: certificate.clone(),
            key: key.clone(),
            passwords: self.passwords.clone(),
        };
        pairs.map(files).collect()
    }

    /// Whether there is anything to show clients.
    pub fn has_certificates(&self) -> bool {
        !self.certificates.is_empty() || !self.folders.is_empty()
    }

    /// Whoever asks for certificates must know whom to believe. Where there is no TLS nobody is
    /// asked.
    fn check_trust(&self, block: &Block) {
        let is_asking = matches!(self.verify_client, Verify::On | Verify::Optional);
        let trusts_nobody = self.client_trust.told.is_none() && self.client_trust.untold.is_none();
        if is_asking && trusts_nobody && self.has_certificates() {
            // nginx's words.
            let text = "no ssl_client_certificate or ssl_trusted_certificate for \
                        ssl_verify_client: name a file with the certificates of those who issue \
                        clients' certificates";
            match block.statement("ssl_verify_client") {
                Some(at) => block.fault(at, text),
                None => block.fault_here(text),
            }
        }
    }

    /// Keys may come from the block around, so this is known only where both are settled.
    fn check_pairs(&self, block: &Block) {
        if let Some(lone) = self.certificates.get(self.keys.len()) {
            let text = format!(
                "no \"ssl_certificate_key\" is defined for certificate \"{}\"",
                lone.display()
            );
            match block.all("ssl_certificate").last() {
                Some(at) => block.fault(at, text),
                None => block.fault_here(text),
            }
        }
    }
}

/// Whether and how upstreams are spoken to in TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    #[default]
    Off,
    /// From the first byte.
    On,
    StartTls,
}

/// TLS with upstreams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamSettings {
    pub mode: Mode,
    pub verify: bool,
    pub trusted: Option<PathBuf>,
    pub name: Option<String>,
    pub server_name: bool,
    pub protocols: Protocols,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            verify: true,
            trusted: None,
            name: None,
            server_name: true,
            protocols: Protocols::Both,
        }
    }
}

impl UpstreamSettings {
    /// Reads `block`; what it leaves unset is as in `outer`.
    pub fn read(block: &Block, outer: &Self) -> Self {
        const MODES: &[(&str, Mode)] =
            &[("on", Mode::On), ("off", Mode::Off), ("starttls", Mode::StartTls)];
        let name = block.text("proxy_ssl_name").filter(|name| !name.is_empty());
        Self {
            mode: block.choice("proxy_ssl", MODES).unwrap_or(outer.mode),
            verify: block.flag("proxy_ssl_verify").unwrap_or(outer.verify),
            trusted: block
                .conf_path("proxy_ssl_trusted_certificate")
                .or_else(|| outer.trusted.clone()),
            name: name.map(str::to_owned).or_else(|| outer.name.clone()),
            server_name: block.flag("proxy_ssl_server_name").unwrap_or(outer.server_name),
            protocols: protocols(block, "proxy_ssl_protocols", &mut Vec::new())
                .unwrap_or(outer.protocols),
        }
    }
}

/// `ssl_conf_command`: what of OpenSSL's own configuration there is here. Nothing of it is passed
/// over that could weaken or strengthen something.
fn ciphersuites(block: &Block, notices: &mut Vec<String>) -> Option<Vec<CipherSuite>> {
    let mut chosen = None;
    for at in block.all("ssl_conf_command") {
        let (name, value) = (at.arg(0).unwrap_or_default(), at.arg(1).unwrap_or_default());
        let mut note = |what: &str, why: &str| {
            notices.push(format!("\"ssl_conf_command {name}\": {what} {why}, in {}", at.place()));
        };
        match name {
            "Ciphersuites" => match suites::ciphersuites(value) {
                Ok((found, gone)) => {
                    if !gone.is_empty() {
                        note(&gone.join(", "), "is not offered");
                    }
                    chosen = Some(found);
                }
                Err(text) => block.fault(at, format!("\"ssl_conf_command {name}\": {text}")),
            },
            // How, not whether: the order is the client's, and the kernel does no TLS here.
            "Options" if value.split(',').all(|word| ["KTLS", "PrioritizeChaCha"].contains(&word)) => {
                note(value, "has no effect");
            }
            _ => block.fault(
                at,
                format!(
                    "\"ssl_conf_command {name} {value}\" is not supported, there is no OpenSSL: only \
                     \"Ciphersuites\" is; for others there are ssl_protocols, ssl_ciphers, \
                     ssl_ecdh_curve, ssl_prefer_server_ciphers and ssl_session_tickets"
                ),
            ),
        }
    }
    chosen
}

/// What was sent early can be sent again by somebody else (RFC 8446 §8), a login among it.
fn no_early_data(block: &Block) {
    if let Some(at) = block.statement("ssl_early_data")
        && block.flag("ssl_early_data") == Some(true)
    {
        block.fault(at, "\"ssl_early_data\" is never on: early data can be replayed, say \"off\"");
    }
}

/// The file that `name` gives, the one of the block around it, or none where it is empty.
fn file(block: &Block, name: &str, outer: &Option<PathBuf>) -> Option<PathBuf> {
    let Some(at) = block.statement(name) else { return outer.clone() };
    if at.arg(0) == Some("") { None } else { block.conf_path_of(at, 0) }
}

/// The files of a directive that repeats; `None` where it does not stand at all.
fn paths(block: &Block, name: &str) -> Option<Vec<PathBuf>> {
    let all = block.all(name);
    let one = |at: &&Statement| {
        let word = at.arg(0)?;
        if ["engine:", "store:", "data:"].iter().any(|scheme| word.starts_with(scheme)) {
            block.fault(at, format!("\"{name}\" takes a file, \"{word}\" is not supported"));
            return None;
        }
        block.conf_path_of(at, 0)
    };
    (!all.is_empty()).then(|| all.iter().filter_map(one).collect())
}

/// `certificates`; nothing where it is `off`, `None` where it does not stand at all.
fn folders(block: &Block) -> Option<Vec<PathBuf>> {
    let all = block.all("certificates");
    let one = |at: &&Statement| {
        let word = at.arg(0)?;
        if let Err(text) = shelf::check(word) {
            block.fault(at, format!("\"certificates\": {text}"));
            return None;
        }
        let has_pattern = word.contains(['*', '?', '[']);
        let path = block.conf_path_of(at, 0)?;
        // Only the word may have wildcards, not the directory it is looked for in.
        match path.ancestors().nth(Path::new(word).components().count()) {
            Some(base) if has_pattern && Path::new(word).is_relative() => {
                Some(Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(word))
            }
            _ => Some(path),
        }
    };
    if let [at] = &*all
        && at.arg(0) == Some("off")
    {
        return Some(Vec::new());
    }
    (!all.is_empty()).then(|| all.iter().filter_map(one).collect())
}

fn checked<T>(
    block: &Block,
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let at = block.statement(name)?;
    let outcome = read(at.arg(0)?);
    outcome.map_err(|text| block.fault(at, format!("\"{name}\": {text}"))).ok()
}

fn curves(block: &Block, notices: &mut Vec<String>) -> Option<Vec<NamedGroup>> {
    let (found, gone) = checked(block, "ssl_ecdh_curve", suites::curves)?;
    notices.extend(missing(block, "ssl_ecdh_curve", &gone));
    Some(found)
}

fn protocols(block: &Block, name: &str, notices: &mut Vec<String>) -> Option<Protocols> {
    let (at, words) = (block.statement(name)?, block.words(name)?);
    match Protocols::read(&words) {
        Ok((protocols, gone)) => {
            notices.extend(missing(block, name, &gone));
            Some(protocols)
        }
        Err(text) => {
            block.fault(at, format!("\"{name}\": {text}"));
            None
        }
    }
}

fn missing(block: &Block, name: &str, gone: &[String]) -> Option<String> {
    let place = block.statement(name)?.place();
    (!gone.is_empty())
        .then(|| format!("\"{name}\": {} is not offered, in {place}", gone.join(", ")))
}

/// `off`, `none`, or `builtin[:n]` and `shared:name:size`, of which the second wins.
fn session_cache(block: &Block) -> Option<SessionCache> {
    let at = block.statement("ssl_session_cache")?;
    let mut cache = None;
    for word in at.args() {
        let mut parts = word.splitn(3, ':');
        let parts = (parts.next().unwrap_or(""), parts.next(), parts.next());
        let next = match parts {
            ("off" | "none", None, None) if at.args().len() == 1 => Some(SessionCache::None),
            ("builtin", None, None) => Some(SessionCache::Builtin(BUILTIN)),
            ("builtin", Some(number), None) => {
                number.parse().ok().filter(|n| *n > 0).map(SessionCache::Builtin)
            }
            ("shared", Some(name), Some(size)) if !name.is_empty() => {
                let bytes = crate::config::value::size(size).filter(|bytes| *bytes >= 8 * 4096);
                bytes.map(|bytes| SessionCache::Shared { name: name.to_owned(), bytes })
            }
            _ => None,
        };
        match next {
            None => {
                let text = format!(
                    "invalid session cache \"{word}\", it must be \"off\", \"none\", \"builtin\", \
                     \"builtin:SESSIONS\" or \"shared:NAME:SIZE\" with a size of 32k or more"
                );
                block.fault(at, text);
                return None;
            }
            Some(SessionCache::Builtin(_))
                if matches!(cache, Some(SessionCache::Shared { .. })) => {}
            next => cache = next,
        }
    }
    cache
}

#[cfg(test)]
mod tests;
