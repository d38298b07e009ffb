//! `lookup NAME { … }`, and Zimbra's `zm_lookup { … }`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::nle;
use crate::config::{Block, Statement};
use crate::http::Url;
use crate::login::Secret;
use crate::route::handler::Hedge;
use crate::route::header::Header;
use crate::tls::directives::{Mode, UpstreamSettings};

mod records;

pub use records::DIRECTIVES;

/// What Zimbra's block is called where lookups have names.
pub const ZIMBRA: &str = "zm_lookup";

/// The most that a handler may weigh.
const MOST_WEIGHT: u32 = 1000;

/// What handlers speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    AuthHttp,
    Nle,
}

/// One URL of a lookup.
#[derive(Clone, Debug)]
pub struct Handler {
    pub url: Url,
    pub weight: u32,
    /// `FILE:LINE`
    pub source: String,
}

/// One block.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    pub handlers: Vec<Handler>,
    pub protocol: Protocol,
    pub timeout: Duration,
    pub retry: Duration,
    pub max_fails: u32,
    pub hedge: Hedge,
    pub send_password: bool,
    pub headers: Arc<[Header]>,
    pub strict: bool,
    pub pass_client_cert: bool,
    /// Of `https://` alone.
    pub tls: UpstreamSettings,
    /// An unqualified name means the same user whoever says it.
    pub allow_unqualified: bool,
    /// What is found may be kept.
    pub caching: bool,
    pub master: Option<(Box<str>, Secret)>,
    pub temporary: Arc<[String]>,
}

impl Settings {
    fn new(name: String, protocol: Protocol) -> Self {
        Self {
            name,
            handlers: Vec::new(),
            protocol,
            timeout: Duration::from_secs(15),
            retry: Duration::from_secs(60),
            max_fails: 3,
            hedge: Hedge::Own,
            send_password: protocol == Protocol::AuthHttp,
            headers: Arc::default(),
            strict: false,
            pass_client_cert: false,
            tls: UpstreamSettings { mode: Mode::On, ..UpstreamSettings::default() },
            allow_unqualified: false,
            caching: true,
            master: None,
            temporary: nle::TEMPORARY.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    /// Reads all the lookups of `block`, which is `mail` or the main file, in their order.
    pub fn read_all(block: &Block) -> Vec<Arc<Self>> {
        let mut all: Vec<Arc<Self>> = Vec::new();
        for at in block.all("lookup").into_iter().chain(block.all(ZIMBRA)) {
            let Some(inner) = at.block() else { continue };
            let settings = match at.name() {
                ZIMBRA => Self::zimbra(inner),
                _ => Self::read(inner),
            };
            if all.iter().any(|known| known.name == settings.name) {
                block.fault(at, format!("duplicate lookup \"{}\"", settings.name));
            } else {
                all.push(Arc::new(settings));
            }
        }
        all
    }

    fn read(block: &Block) -> Self {
        const PROTOCOLS: &[(&str, Protocol)] =
            &[("auth_http", Protocol::AuthHttp), ("nle", Protocol::Nle)];
        let name = block.args().first().cloned().unwrap_or_default();
        let protocol = block.choice("protocol", PROTOCOLS).unwrap_or_default();
        let usual = Self::new(name, protocol);
        let handler = |at: &&Statement| handler(block, at, protocol);
        let handlers: Vec<_> = block.all("handler").iter().filter_map(handler).collect();
        if !block.has("handler") {
            block.fault_here(format!("no handlers are inside lookup \"{}\"", usual.name));
        }
        let header = |at: &&Statement| {
            let header = Header::read(at.arg(0)?, at.arg(1)?).and_then(Header::check_fixed);
            header.map_err(|fault| block.fault(at, fault.to_string())).ok()
        };
        let settings = Self {
            handlers,
            timeout: time(block, "timeout").unwrap_or(usual.timeout),
            retry: time(block, "retry_interval").unwrap_or(usual.retry),
            max_fails: block.number("max_fails", 0..=1_000_000).unwrap_or(usual.max_fails),
            hedge: hedge(block).unwrap_or(usual.hedge),
            send_password: block.flag("send_password").unwrap_or(usual.send_password),
            headers: block.all("header").iter().filter_map(header).collect(),
            strict: block.flag("strict").unwrap_or(usual.strict),
            pass_client_cert: block.flag("pass_client_cert").unwrap_or(usual.pass_client_cert),
            tls: tls(block),
            allow_unqualified: block.flag("allow_unqualified").unwrap_or(usual.allow_unqualified),
            master: master(block),
            temporary: match block.words("temporary") {
                Some(words) => words.into_iter().map(str::to_owned).collect(),
                None => Arc::clone(&usual.temporary),
            },
            ..usual
        };
        let is_nle = protocol == Protocol::Nle;
        for (name, is_idle) in [
            ("temporary", !is_nle),
            ("master", !is_nle),
            ("pass_client_cert", is_nle && settings.pass_client_cert),
        ] {
            if let Some(at) = block.statement(name).filter(|_| is_idle) {
                let text = format!("\"{name}\" has no meaning for this lookup's \"protocol\"");
                block.fault(at, text);
            }
        }
        settings
    }

    /// `zm_lookup { … }`, with Zimbra's names and defaults.
    fn zimbra(block: &Block) -> Self {
        let usual = Self::new(ZIMBRA.to_owned(), Protocol::Nle);
        let mut handlers = Vec::new();
        match block.statement("zm_lookup_handlers") {
            Some(at) => {
                let url = |text: &String| url(block, at, text, Protocol::Nle);
                let source = at.place().to_string();
                let all = at.args().iter().filter_map(url);
                handlers.extend(all.map(|url| Handler { url, weight: 1, source: source.clone() }));
            }
            None => block.fault_here("no \"zm_lookup_handlers\" are inside zm_lookup"),
        }
        // What only the web face, or nobody, needs.
        for name in ["zm_lookup_buffer_size", "zm_prefix_url"] {
            block.text(name);
        }
        let user = block.text("zm_lookup_master_auth_username");
        let password = block.text("zm_lookup_master_auth_password");
        let master = match (user, password) {
            (Some(user), Some(password)) => Some((user.into(), Secret::new(password))),
            (None, None) => None,
            _ => {
                block.fault_here(
                    "\"zm_lookup_master_auth_username\" and \"zm_lookup_master_auth_password\" go \
                     together",
                );
                None
            }
        };
        Self {
            handlers,
            timeout: time(block, "zm_lookup_timeout").unwrap_or(usual.timeout),
            retry: time(block, "zm_lookup_handler_retry_interval").unwrap_or(usual.retry),
            caching: block.flag("zm_lookup_caching").unwrap_or(usual.caching),
            allow_unqualified: block
                .flag("zm_lookup_allow_unqualified")
                .unwrap_or(usual.allow_unqualified),
            master,
            tls: tls(block),
            ..usual
        }
    }

    /// Whoever is asked here may vouch for a login: it is shown the password, or is told what proved
    /// the client.
    pub fn vouches(&self) -> bool {
        self.protocol == Protocol::AuthHttp && self.send_password
    }
}

fn handler(block: &Block, at: &Statement, protocol: Protocol) -> Option<Handler> {
    let url = url(block, at, at.arg(0)?, protocol);
    let mut weight = 1;
    for word in &at.args()[1..] {
        let number = word.strip_prefix("weight=").and_then(|number| number.parse().ok());
        match number.filter(|number| (1..=MOST_WEIGHT).contains(number)) {
            Some(number) => weight = number,
            None if word.starts_with("weight=") => {
                block.fault(at, format!("invalid \"{word}\": a weight is from 1 to {MOST_WEIGHT}"));
            }
            None => block.fault(at, format!("invalid parameter \"{word}\"")),
        }
    }
    Some(Handler { url: url?, weight, source: at.place().to_string() })
}

fn url(block: &Block, at: &Statement, text: &str, protocol: Protocol) -> Option<Url> {
    match Url::parse(text) {
        Ok(mut url) => {
            if protocol == Protocol::Nle && url.uri == "/" {
                url.uri = hyper::http::uri::PathAndQuery::from_static(nle::PATH);
            }
            Some(url)
        }
        Err(fault) => {
            block.fault(at, format!("{fault} in handler \"{text}\""));
            None
        }
    }
}

/// A time that is not nothing.
fn time(block: &Block, name: &str) -> Option<Duration> {
    let time = block.time(name)?;
    if time.is_zero() {
        if let Some(at) = block.statement(name) {
            block.fault(at, format!("\"{name}\" must be more than 0"));
        }
        return None;
    }
    Some(time)
}

fn hedge(block: &Block) -> Option<Hedge> {
    match block.text("hedge")? {
        "on" => Some(Hedge::Own),
        "off" => Some(Hedge::Off),
        _ => block.time("hedge").map(Hedge::After),
    }
}

fn tls(block: &Block) -> UpstreamSettings {
    let usual = UpstreamSettings { mode: Mode::On, ..UpstreamSettings::default() };
    let name = block.text("ssl_name").filter(|name| !name.is_empty());
    UpstreamSettings {
        verify: block.flag("ssl_verify").unwrap_or(usual.verify),
        trusted: block.conf_path("ssl_trusted_certificate"),
        name: name.map(str::to_owned),
        server_name: block.flag("ssl_server_name").unwrap_or(usual.server_name),
        ..usual
    }
}

fn master(block: &Block) -> Option<(Box<str>, Secret)> {
    let at = block.statement("master")?;
    let (user, path) = (at.arg(0)?, block.conf_path_of(at, 1)?);
    match password(&path) {
        Ok(secret) => Some((user.into(), secret)),
        Err(text) => {
            block.fault(at, text);
            None
        }
    }
}

/// The first line of a file.
fn password(path: &Path) -> Result<Secret, String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("cannot read \"{}\" ({error})", path.display()))?;
    let bytes = Zeroizing::new(bytes);
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    match line.is_empty() || line.contains(&0) {
        true => Err(format!("no password in \"{}\"", path.display())),
        false => Ok(Secret::new(line)),
    }
}

#[cfg(test)]
mod tests;
