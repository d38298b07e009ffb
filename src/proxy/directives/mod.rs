//! The directives of a proxied mail server, and what they mean once read.

mod records;

pub use records::DIRECTIVES;

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use super::kerberos;
use crate::config::{Block, Cidr, Statement, value};
use crate::login::name::POSTMASTERS;
use crate::login::{Mechanism, Mechanisms, Secret, SmtpAuth, StartTls, Tell, Words};

/// What holds for a server block, or, as `outer`, for `mail`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub names: Vec<String>,
    pub timeout: Duration,
    pub max_errors: u32,
    pub max_commands: u32,
    pub login_timeout: Duration,
    pub starttls: StartTls,
    pub imap: Face,
    pub imap_id: Vec<(String, String)>,
    pub pop3: Face,
    /// LMTP's too.
    pub smtp: Face,
    pub smtp_greeting_delay: Duration,
    pub sieve: Face,
    /// `login_master_separator`
    pub separator: Option<char>,
    /// `login_suffixes`
    pub suffixes: Vec<String>,
    /// `default_domain`
    pub default_domain: Option<String>,
    pub real_ip_from: Vec<Source>,
    pub proxy_timeout: Duration,
    pub pass_error_message: bool,
    pub ttl: u8,
    pub tells: Tells,
    pub kerberos: kerberos::Settings,
}

/// What one protocol shows of itself.
#[derive(Clone, Debug)]
pub struct Face {
    pub greeting: String,
    /// None: what upstreams offer.
    pub capabilities: Option<Vec<String>>,
    pub mechanisms: Mechanisms,
    pub client_buffer: usize,
}

/// A value of `set_real_ip_from`.
#[derive(Clone, Debug)]
pub enum Source {
    Net(Cidr),
    Unix,
}

/// How an upstream is treated: its block over the server's over `mail`'s.
#[derive(Clone, Debug)]
pub struct Tells {
    pub connect_timeout: Duration,
    pub greeting_timeout: Duration,
    pub auth_timeout: Duration,
    pub header: Header,
    pub imap_id: Tell,
    pub pop3_xoip: Tell,
    pub xclient: Tell,
    pub dovecot: bool,
    pub smtp_auth: SmtpLogin,
    pub master: Option<Arc<Master>>,
}

/// `proxy_smtp_auth`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpLogin {
    #[default]
    Auto,
    As(SmtpAuth),
}

/// `proxy_master_user` and its kin.
#[derive(Debug)]
pub struct Master {
    pub user: String,
    pub secret: Secret,
    /// `proxy_master_separator`
    pub separator: Option<char>,
}

/// `proxy_protocol off | on | v2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Off,
    V1,
    V2,
}

impl Default for Settings {
    fn default() -> Self {
        let face = |words: &[&str]| Face {
            greeting: "gatepost ready".to_owned(),
            capabilities: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            mechanisms: Mechanisms::of(&[Mechanism::Plain, Mechanism::AuthLogin]),
            client_buffer: 8192,
        };
        Self {
            names: vec![host_name()],
            timeout: Duration::from_secs(60),
            max_errors: 5,
            max_commands: 1000,
            login_timeout: Duration::from_secs(300),
            starttls: StartTls::Off,
            imap: face(&["IMAP4rev1", "UIDPLUS", "IDLE"]),
            imap_id: Vec::new(),
            pop3: face(&["TOP", "USER", "UIDL"]),
            smtp: Face { greeting: "ESMTP ready".to_owned(), capabilities: None, ..face(&[]) },
            smtp_greeting_delay: Duration::ZERO,
            sieve: face(&[
                "IMPLEMENTATION gatepost",
                "SIEVE fileinto reject envelope vacation imap4flags copy include variables body \
                 relational subaddress mailbox date",
                "VERSION 1.0",
            ]),
            separator: None,
            suffixes: Vec::new(),
            default_domain: None,
            real_ip_from: Vec::new(),
            proxy_timeout: Duration::from_secs(24 * 3600),
            pass_error_message: false,
            ttl: 5,
            tells: Tells::default(),
            kerberos: kerberos::Settings::default(),
        }
    }
}

impl Default for Tells {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            greeting_timeout: Duration::from_secs(30),
            auth_timeout: Duration::from_secs(60),
            header: Header::Off,
            imap_id: Tell::Auto,
            pop3_xoip: Tell::Auto,
            xclient: Tell::Auto,
            dovecot: false,
            smtp_auth: SmtpLogin::Auto,
            master: None,
        }
    }
}

impl Settings {
    /// Reads `block`; what it leaves unset is as in `outer`, the block around it.
    pub fn read(block: &Block, outer: &Self) -> Self {
        // Accepted for nginx's sake: read, so that they count as used.
        let _ = (block.flag("proxy"), block.size("proxy_buffer"));
        Self {
            names: block.words("server_name").map_or_else(|| outer.names.clone(), owned),
            timeout: time(block, "timeout", outer.timeout),
            max_errors: block.number("max_errors", 1..).unwrap_or(outer.max_errors),
            max_commands: block.number("max_commands", 1..).unwrap_or(outer.max_commands),
            login_timeout: time(block, "login_timeout", outer.login_timeout),
            starttls: block
                .choice(
                    "starttls",
                    &[("off", StartTls::Off), ("on", StartTls::On), ("only", StartTls::Only)],
                )
                .unwrap_or(outer.starttls),
            imap: Face::read(block, &outer.imap, "imap"),
            imap_id: imap_id(block).unwrap_or_else(|| outer.imap_id.clone()),
            pop3: Face::read(block, &outer.pop3, "pop3"),
            smtp: Face::read(block, &outer.smtp, "smtp"),
            smtp_greeting_delay: block
                .time("smtp_greeting_delay")
                .unwrap_or(outer.smtp_greeting_delay),
            sieve: Face::read(block, &outer.sieve, "sieve"),
            separator: separator(block, "login_master_separator").unwrap_or(outer.separator),
            suffixes: suffixes(block).unwrap_or_else(|| outer.suffixes.clone()),
            default_domain: default_domain(block).unwrap_or_else(|| outer.default_domain.clone()),
            real_ip_from: sources(block).unwrap_or_else(|| outer.real_ip_from.clone()),
            proxy_timeout: time(block, "proxy_timeout", outer.proxy_timeout),
            pass_error_message: block
                .flag("proxy_pass_error_message")
                .unwrap_or(outer.pass_error_message),
            ttl: block.number("proxy_ttl", 1..=255u8).unwrap_or(outer.ttl),
            tells: Tells::read(block, &outer.tells),
            kerberos: kerberos::Settings::read(block, &outer.kerberos),
        }
    }

    /// What `words`' protocol shows of itself.
    pub fn face(&self, words: &Words) -> &Face {
        match words.name {
            "pop3" => &self.pop3,
            "smtp" | "lmtp" => &self.smtp,
            "sieve" => &self.sieve,
            _ => &self.imap,
        }
    }

    /// Whether `peer` may say who is behind it.
    pub fn believes(&self, peer: &crate::net::Endpoint) -> bool {
        use crate::net::Endpoint;
        self.real_ip_from.iter().any(|source| match (source, peer) {
            (Source::Net(net), Endpoint::Tcp(address)) => net.contains(address.ip()),
            (Source::Unix, Endpoint::Unix(_)) => true,
            _ => false,
        })
    }
}

impl Face {
    fn read(block: &Block, outer: &Self, protocol: &str) -> Self {
        let name = |rest: &str| format!("{protocol}_{rest}");
        // What clients are told is one line each.
        for name in [name("greeting"), name("capabilities")] {
            let words = block.words(&name).unwrap_or_default();
            if words.iter().any(|word| word.chars().any(char::is_control)) {
                fault(block, &name, format!("a control character in \"{name}\""));
            }
        }
        Self {
            greeting: block
                .text(&name("greeting"))
                .map_or_else(|| outer.greeting.clone(), str::to_owned),
            capabilities: block
                .words(&name("capabilities"))
                .map_or_else(|| outer.capabilities.clone(), |words| Some(owned(words))),
            mechanisms: mechanisms(block, &name("auth"), protocol).unwrap_or(outer.mechanisms),
            // POP3's commands have a length of their own (RFC 2449 §4).
            client_buffer: match protocol {
                "pop3" => outer.client_buffer,
                _ => client_buffer(block, &name("client_buffer")).unwrap_or(outer.client_buffer),
            },
        }
    }
}

impl Tells {
    /// Reads `block`; what it leaves unset is as in `outer`.
    pub fn read(block: &Block, outer: &Self) -> Self {
        const TELLS: &[(&str, Tell)] =
            &[("auto", Tell::Auto), ("on", Tell::On), ("off", Tell::Off)];
        const HEADERS: &[(&str, Header)] =
            &[("off", Header::Off), ("on", Header::V1), ("v1", Header::V1), ("v2", Header::V2)];
        const SMTP: &[(&str, SmtpLogin)] = &[
            ("auto", SmtpLogin::Auto),
            ("off", SmtpLogin::As(SmtpAuth::Off)),
            ("on", SmtpLogin::As(SmtpAuth::Any)),
            ("plain", SmtpLogin::As(SmtpAuth::Plain)),
            ("login", SmtpLogin::As(SmtpAuth::Login)),
        ];
        let time = |name, outer| time(block, name, outer);
        let tell = |name, outer| block.choice(name, TELLS).unwrap_or(outer);
        Self {
            connect_timeout: time("proxy_connect_timeout", outer.connect_timeout),
            greeting_timeout: time("proxy_greeting_timeout", outer.greeting_timeout),
            auth_timeout: time("proxy_auth_timeout", outer.auth_timeout),
            header: block.choice("proxy_protocol", HEADERS).unwrap_or(outer.header),
            imap_id: tell("proxy_issue_imap_id", outer.imap_id),
            pop3_xoip: tell("proxy_issue_pop3_xoip", outer.pop3_xoip),
            xclient: tell("xclient", outer.xclient),
            dovecot: block.flag("proxy_dovecot").unwrap_or(outer.dovecot),
            smtp_auth: block.choice("proxy_smtp_auth", SMTP).unwrap_or(outer.smtp_auth),
            master: Master::read(block, outer.master.as_ref()),
        }
    }
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// A network as it is written, or the addresses that a host's name has now, as in nginx.
fn networks(block: &Block, statement: &Statement) -> Vec<Cidr> {
    let text = &statement.args()[0];
    if let Some(net) = value::cidr(text) {
        return vec![net];
    }
    let found = if text.contains('/') { None } else { (text.as_str(), 0).to_socket_addrs().ok() };
    let networks: Vec<_> = found
        .into_iter()
        .flatten()
        .filter_map(|address| value::cidr(&address.ip().to_string()))
        .collect();
    if networks.is_empty() {
        block.fault(statement, format!("host not found in set_real_ip_from \"{text}\""));
    }
    networks
}

/// A time that somebody has to wait for: none at all would end everything at once.
fn time(block: &Block, name: &str, outer: Duration) -> Duration {
    let time = block.time(name);
    if time == Some(Duration::ZERO) {
        fault(block, name, format!("\"{name}\" must be more than 0"));
    }
    time.unwrap_or(outer)
}

fn fault(block: &Block, name: &str, text: String) {
    if let Some(at) = block.statement(name) {
        block.fault(at, text);
    }
}

/// This host's name, as nginx's default for `server_name`.
fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// The mechanisms of `imap_auth` and its kin.
fn mechanisms(block: &Block, name: &str, protocol: &str) -> Option<Mechanisms> {
    let words = block.words(name)?;
    let mut mechanisms = Mechanisms::default();
    for word in words {
        let is_known = |one: &Mechanism| match one {
            Mechanism::Apop => protocol == "pop3",
            Mechanism::Unasked => protocol == "smtp",
            _ => true,
        };
        let known = match word {
            "login" => Some(Mechanism::AuthLogin),
            _ => Mechanism::ALL.into_iter().filter(is_known).find(|one| one.method() == word),
        };
        match known {
            Some(Mechanism::Gssapi) if !cfg!(feature = "krb5") => fault(
                block,
                name,
                format!(
                    "\"gssapi\" in \"{name}\" needs a gatepost that is built with \"--features krb5\""
                ),
            ),
            Some(one) => mechanisms = mechanisms.with(one),
            None => {
                let known: Vec<_> = Mechanism::ALL
                    .into_iter()
                    .filter(is_known)
                    .map(|one| if one == Mechanism::AuthLogin { "login" } else { one.method() })
                    .collect();
                fault(
                    block,
                    name,
                    format!(
                        "invalid value \"{word}\" in \"{name}\" directive, it must be one of {}",
                        known.join(", ")
                    ),
                );
            }
        }
    }
    // nginx lists LOGIN wherever PLAIN is.
    if protocol == "pop3" && mechanisms.has(Mechanism::Plain) {
        mechanisms = mechanisms.with(Mechanism::AuthLogin);
    }
    Some(mechanisms)
}

fn client_buffer(block: &Block, name: &str) -> Option<usize> {
    let size = block.size(name)?;
    match usize::try_from(size) {
        Ok(size @ 512..=65536) => Some(size),
        _ => {
            fault(block, name, format!("\"{name}\" must be between 512 and 64k"));
            None
        }
    }
}

/// One character, or `off`. None: nothing is said.
fn separator(block: &Block, name: &str) -> Option<Option<char>> {
    let text = block.text(name)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        _ if text == "off" => Some(None),
        (Some(one), None) if one.is_ascii_punctuation() && !"@\"\\".contains(one) => {
            Some(Some(one))
        }
        _ => {
            let words = "must be \"off\" or one punctuation character, not @, quote or backslash";
            fault(block, name, format!("\"{name}\" {words}"));
            None
        }
    }
}

fn suffixes(block: &Block) -> Option<Vec<String>> {
    const NAME: &str = "login_suffixes";
    let words = block.words(NAME)?;
    if words == ["off"] {
        return Some(Vec::new());
    }
    for word in &words {
        let is_fit = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_fit || word.as_bytes()[0].is_ascii_alphanumeric() {
            let text = format!(
                "invalid suffix \"{word}\" in \"{NAME}\": it begins with a mark, as \"/tb\""
            );
            fault(block, NAME, text);
        }
    }
    Some(owned(words))
}

/// A domain, or `off`. None: nothing is said.
fn default_domain(block: &Block) -> Option<Option<String>> {
    const NAME: &str = "default_domain";
    let text = block.text(NAME)?;
    if text == "off" {
        return Some(None);
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.chars().all(|one| one.is_alphanumeric() || "-_".contains(one))
    };
    if text.len() > 253 || !text.split('.').all(is_label) {
        fault(block, NAME, format!("invalid domain \"{text}\" in \"{NAME}\""));
    } else if POSTMASTERS[1..].eq_ignore_ascii_case(text) {
        fault(block, NAME, format!("\"{NAME} {text}\" would make everybody the postmaster"));
    }
    Some(Some(text.to_owned()))
}

impl Master {
    /// Reads `block`; the user, the file and the separator are taken each from the innermost block
    /// that names it.
    fn read(block: &Block, outer: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        const FILE: &str = "proxy_master_password_file";
        let user = block.text("proxy_master_user");
        let (file, separator) = (block.conf_path(FILE), separator(block, "proxy_master_separator"));
        if user == Some("off") {
            return None;
        }
        if user.is_none() && file.is_none() && separator.is_none() {
            return outer.cloned();
        }
        let secret = match file {
            Some(path) => match std::fs::read(&path) {
                Ok(bytes) => {
                    let bytes = zeroize::Zeroizing::new(bytes);
                    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
                    let line = line.unwrap_or_default();
                    if line.is_empty() || line.contains(&0) {
                        let text = format!("no password in \"{}\"", path.display());
                        fault(block, FILE, text);
                    }
                    Some(Secret::new(line))
                }
                Err(error) => {
                    let text = format!("cannot read \"{}\" ({error})", path.display());
                    fault(block, FILE, text);
                    None
                }
            },
            None => outer.map(|outer| outer.secret.clone()),
        };
        let user = user.map(str::to_owned).or_else(|| outer.map(|outer| outer.user.clone()));
        let (Some(user), Some(secret)) = (user, secret) else {
            if !block.has(FILE) || !block.has("proxy_master_user") {
                block.fault_here(
                    "\"proxy_master_user\" and \"proxy_master_password_file\" go together",
                );
            }
            return None;
        };
        let separator = separator.unwrap_or_else(|| outer.and_then(|outer| outer.separator));
        Some(Arc::new(Self { user, secret, separator }))
    }
}

fn imap_id(block: &Block) -> Option<Vec<(String, String)>> {
    let words = block.words("imap_id")?;
    if words.len() % 2 != 0 {
        fault(block, "imap_id", "\"imap_id\" takes keys and values by turns".to_owned());
        return None;
    }
    Some(words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect())
}

fn sources(block: &Block) -> Option<Vec<Source>> {
    let statements = block.all("set_real_ip_from");
    if statements.is_empty() {
        return None;
    }
    let mut sources = Vec::new();
    for statement in statements {
        if statement.arg(0) == Some("unix:") {
            sources.push(Source::Unix);
        } else {
            sources.extend(networks(block, statement).into_iter().map(Source::Net));
        }
    }
    Some(sources)
}
