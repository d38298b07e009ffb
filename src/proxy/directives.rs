//! The directives of a proxied mail server, and what they mean once read.

use std::net::ToSocketAddrs;
use std::time::Duration;

use crate::config::{
    Block, Cidr, Context, Directive, MAIL, SERVER, Statement, Takes, UPSTREAM, value,
};
use crate::login::{Mechanism, Mechanisms, StartTls, Tell, Words, words};

const HERE: Directive = Directive {
    name: "",
    within: &[MAIL, SERVER],
    takes: Takes::Args(1, 1),
    repeats: false,
    default: "",
    doc: "",
};

/// Directives about one upstream, which may also stand in its block.
const TELL: &[Context] = &[MAIL, SERVER, UPSTREAM];

pub const DIRECTIVES: &[Directive] = &[
    Directive {
        name: "server",
        within: &[MAIL],
        takes: Takes::Block(0, 0, SERVER),
        repeats: true,
        default: "",
        doc: "A virtual server. Several may share an address and port: `server_name` tells them \
              apart by the name the client asks for in TLS (SNI).",
    },
    Directive {
        name: "listen",
        within: &[SERVER],
        takes: Takes::AtLeast(1),
        repeats: true,
        doc: "An address the server is reached at: `ADDRESS[:PORT]`, `PORT`, `[V6]:PORT` or \
              `unix:PATH`, then any of `ssl` (TLS from the first byte), `proxy_protocol` (a PROXY \
              header v1 or v2 comes first), `default_server` (serves names that no server has, and \
              clients that name none), `backlog=N`, `rcvbuf=SIZE`, `sndbuf=SIZE`, \
              `ipv6only=on|off`, `so_keepalive=on|off|IDLE:INTERVAL:COUNT`, `bind`, `reuseport`, \
              `multipath`. The first server of an address is its default where none is marked.",
        ..HERE
    },
    Directive {
        name: "protocol",
        within: &[SERVER],
        doc: "`imap` or `pop3`. Absent: from the port of the first `listen` (143, 993: `imap`; 110, \
              995: `pop3`).",
        ..HERE
    },
    Directive {
        name: "server_name",
        takes: Takes::AtLeast(1),
        default: "the host's name",
        doc: "The server's names. The first stands in greetings and is our name towards upstreams; \
              all of them choose the server by SNI: exact names, `*.example.com` (every name below) \
              and `.example.com` (both).",
        ..HERE
    },
    Directive {
        name: "timeout",
        default: "60s",
        doc: "How long a client may take over its TLS handshake, and over each command before it has \
              logged in, whatever number of bytes it sends meanwhile.",
        ..HERE
    },
    Directive {
        name: "max_errors",
        default: "5",
        doc: "How many breaches of the protocol a client may commit before its login: the last one \
              is answered, then the session closes.",
        ..HERE
    },
    Directive {
        name: "starttls",
        default: "off",
        doc: "`off`, `on` (STARTTLS and STLS are offered) or `only` (and nobody logs in without).",
        ..HERE
    },
    Directive {
        name: "imap_auth",
        takes: Takes::AtLeast(1),
        default: "plain login",
        doc: "The SASL mechanisms that IMAP offers: `plain`, `login`. The LOGIN command goes with \
              either.",
        ..HERE
    },
    Directive {
        name: "imap_capabilities",
        takes: Takes::AtLeast(1),
        default: "IMAP4rev1 UIDPLUS IDLE",
        doc: "What IMAP offers before login. `SASL-IR`, `ID`, `LITERAL+`, `AUTH=…`, `STARTTLS` and \
              `LOGINDISABLED` are added as the state of TLS has them; after login the client is told \
              the upstream's own list.",
        ..HERE
    },
    Directive {
        name: "imap_client_buffer",
        default: "8k",
        doc: "The longest IMAP command before login, literals included. At most 64k.",
        ..HERE
    },
    Directive {
        name: "imap_greeting",
        default: "gatepost ready",
        doc: "The text of IMAP's greeting, behind the capabilities.",
        ..HERE
    },
    Directive {
        name: "imap_id",
        takes: Takes::AtLeast(1),
        default: "NIL",
        doc: "What is answered to ID before login (RFC 2971), key and value by turns.",
        ..HERE
    },
    Directive {
        name: "pop3_auth",
        takes: Takes::AtLeast(1),
        default: "plain login",
        doc: "The SASL mechanisms that POP3 offers: `plain`, `login`. USER and PASS go with either.",
        ..HERE
    },
    Directive {
        name: "pop3_capabilities",
        takes: Takes::AtLeast(1),
        default: "TOP USER UIDL",
        doc: "What CAPA lists before login. `SASL`, `STLS`, `PIPELINING`, `RESP-CODES` and \
              `AUTH-RESP-CODE` are added, `USER` left out, as the state of TLS has it.",
        ..HERE
    },
    Directive {
        name: "pop3_greeting",
        default: "gatepost ready",
        doc: "The text of POP3's greeting, behind `+OK`.",
        ..HERE
    },
    Directive {
        name: "set_real_ip_from",
        repeats: true,
        doc: "A network (`ADDRESS`, `CIDR` or `unix:`) of balancers and proxies in front of \
              gatepost. Only what comes from there is believed when it says who the client is: a \
              PROXY header, IMAP ID's `x-originating-ip`, POP3 `XCLIENT` and `XOIP`. A PROXY header \
              from anywhere else is not believed either: the address of the connection counts.",
        ..HERE
    },
    Directive {
        name: "proxy",
        takes: Takes::Flag,
        default: "on",
        doc: "Accepted for nginx's sake and without effect, as in nginx.",
        ..HERE
    },
    Directive {
        name: "proxy_buffer",
        default: "",
        doc: "Accepted for nginx's sake and without effect: a session holds no buffer while it is \
              idle, and moves up to 128 KiB at a time while it is not.",
        ..HERE
    },
    Directive {
        name: "proxy_timeout",
        default: "24h",
        doc: "How long a logged-in session may be idle in both directions.",
        ..HERE
    },
    Directive {
        name: "proxy_connect_timeout",
        within: TELL,
        default: "10s",
        doc: "How long a connection to one address of an upstream, its TLS handshake included, may \
              take before the next address is tried.",
        ..HERE
    },
    Directive {
        name: "proxy_greeting_timeout",
        within: TELL,
        default: "30s",
        doc: "How long an upstream that took the connection may take to greet.",
        ..HERE
    },
    Directive {
        name: "proxy_auth_timeout",
        within: TELL,
        default: "60s",
        doc: "How long the login at the upstream may take, from its greeting on.",
        ..HERE
    },
    Directive {
        name: "proxy_pass_error_message",
        takes: Takes::Flag,
        default: "off",
        doc: "Whether the client hears the upstream's own words when it refuses a login. `off`: our \
              words, with the response code that fits.",
        ..HERE
    },
    Directive {
        name: "proxy_protocol",
        within: TELL,
        default: "off",
        doc: "`on` or `v1`: a PROXY header version 1 goes before everything else to the upstream; \
              `v2`: version 2.",
        ..HERE
    },
    Directive {
        name: "proxy_issue_imap_id",
        within: TELL,
        default: "auto",
        doc: "Whether an IMAP upstream is told the client's address by ID (`X-ORIGINATING-IP`, as \
              Zimbra and Dovecot read it): `auto` unless its greeting lists capabilities without \
              ID, `on` always, `off` never. A refusal is ignored. RFC 2971.",
        ..HERE
    },
    Directive {
        name: "proxy_issue_pop3_xoip",
        within: TELL,
        default: "auto",
        doc: "Whether a POP3 upstream is told the client's address by `XOIP`: `auto` if its CAPA \
              lists it, `on` always, `off` never. A refusal is ignored.",
        ..HERE
    },
    Directive {
        name: "xclient",
        within: TELL,
        default: "auto",
        doc: "Whether a POP3 upstream is told the client's address by `XCLIENT`: `auto` if its \
              greeting or CAPA offers it, `on` always, `off` never. A refusal is ignored.",
        ..HERE
    },
    Directive {
        name: "proxy_dovecot",
        within: TELL,
        takes: Takes::Flag,
        default: "off",
        doc: "Whether the upstream is a Dovecot whose `login_trusted_networks` names gatepost: ID \
              then carries `x-originating-ip`, `x-originating-port`, `x-connected-ip`, \
              `x-connected-port`, `x-session-id` and `x-proxy-ttl`.",
        ..HERE
    },
    Directive {
        name: "proxy_ttl",
        default: "5",
        doc: "Through how many gateposts or Dovecot proxies a login may pass. Each tells the next \
              one less (`x-proxy-ttl`, `TTL`); at none the login is refused as a temporary failure, \
              so a loop ends.",
        ..HERE
    },
    Directive {
        name: "log_format",
        within: &[MAIL],
        takes: Takes::AtLeast(2),
        repeats: true,
        default: "main",
        doc: "`log_format NAME [escape=default|json|none] 'TEXT WITH $VARIABLES'…`: the shape of an \
              access line. `main` and `json` are built in.",
    },
    Directive {
        name: "access_log",
        takes: Takes::Args(1, 2),
        repeats: true,
        default: "off",
        doc: "`access_log FILE [FORMAT]` or `access_log off`: one line for each session, when it \
              ends.",
        ..HERE
    },
];

/// What holds for a server block, or, as `outer`, for `mail`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub names: Vec<String>,
    pub timeout: Duration,
    pub max_errors: u32,
    pub starttls: StartTls,
    pub imap: Face,
    pub imap_id: Vec<(String, String)>,
    pub imap_client_buffer: usize,
    pub pop3: Face,
    pub real_ip_from: Vec<Source>,
    pub proxy_timeout: Duration,
    pub pass_error_message: bool,
    pub ttl: u8,
    pub tells: Tells,
}

/// What one protocol shows of itself.
#[derive(Clone, Debug)]
pub struct Face {
    pub greeting: String,
    pub capabilities: Vec<String>,
    pub mechanisms: Mechanisms,
}

/// A value of `set_real_ip_from`.
#[derive(Clone, Debug)]
pub enum Source {
    Net(Cidr),
    Unix,
}

/// How an upstream is treated: its block over the server's over `mail`'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tells {
    pub connect_timeout: Duration,
    pub greeting_timeout: Duration,
    pub auth_timeout: Duration,
    pub header: Header,
    pub imap_id: Tell,
    pub pop3_xoip: Tell,
    pub xclient: Tell,
    pub dovecot: bool,
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
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let face = |words: &[&str]| Face {
            greeting: "gatepost ready".to_owned(),
            capabilities: list(words),
            mechanisms: Mechanisms::of(&[Mechanism::Plain, Mechanism::AuthLogin]),
        };
        Self {
            names: vec![host_name()],
            timeout: Duration::from_secs(60),
            max_errors: 5,
            starttls: StartTls::Off,
            imap: face(&["IMAP4rev1", "UIDPLUS", "IDLE"]),
            imap_id: Vec::new(),
            imap_client_buffer: 8192,
            pop3: face(&["TOP", "USER", "UIDL"]),
            real_ip_from: Vec::new(),
            proxy_timeout: Duration::from_secs(24 * 3600),
            pass_error_message: false,
            ttl: 5,
            tells: Tells::default(),
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
            starttls: block
                .choice(
                    "starttls",
                    &[("off", StartTls::Off), ("on", StartTls::On), ("only", StartTls::Only)],
                )
                .unwrap_or(outer.starttls),
            imap: Face::read(block, &outer.imap, "imap"),
            imap_id: imap_id(block).unwrap_or_else(|| outer.imap_id.clone()),
            imap_client_buffer: client_buffer(block).unwrap_or(outer.imap_client_buffer),
            pop3: Face::read(block, &outer.pop3, "pop3"),
            real_ip_from: sources(block).unwrap_or_else(|| outer.real_ip_from.clone()),
            proxy_timeout: time(block, "proxy_timeout", outer.proxy_timeout),
            pass_error_message: block
                .flag("proxy_pass_error_message")
                .unwrap_or(outer.pass_error_message),
            ttl: block.number("proxy_ttl", 1..=255u8).unwrap_or(outer.ttl),
            tells: Tells::read(block, &outer.tells),
        }
    }

    /// What `words`' protocol shows of itself.
    pub fn face(&self, words: &Words) -> &Face {
        if words.name == words::POP3.name { &self.pop3 } else { &self.imap }
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
        Self {
            greeting: block
                .text(&name("greeting"))
                .map_or_else(|| outer.greeting.clone(), str::to_owned),
            capabilities: block
                .words(&name("capabilities"))
                .map_or_else(|| outer.capabilities.clone(), owned),
            mechanisms: mechanisms(block, &name("auth")).unwrap_or(outer.mechanisms),
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

fn mechanisms(block: &Block, name: &str) -> Option<Mechanisms> {
    let words = block.words(name)?;
    let mut mechanisms = Mechanisms::default();
    for word in words {
        match word {
            "plain" => mechanisms = mechanisms.with(Mechanism::Plain),
            "login" => mechanisms = mechanisms.with(Mechanism::AuthLogin),
            other => fault(
                block,
                name,
                format!(
                    "invalid value \"{other}\" in \"{name}\" directive, it must be \"plain\" or \"login\""
                ),
            ),
        }
    }
    Some(mechanisms)
}

fn client_buffer(block: &Block) -> Option<usize> {
    const NAME: &str = "imap_client_buffer";
    let size = block.size(NAME)?;
    match usize::try_from(size) {
        Ok(size @ 1024..=65536) => Some(size),
        _ => {
            fault(block, NAME, format!("\"{NAME}\" must be between 1k and 64k"));
            None
        }
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
