//! Text with variables, read once and rendered for every session: `log_format`, and what other
//! directives make of a [`Template`].

use std::cell::Cell;
use std::time::SystemTime;

use super::access::Line;
use super::escape::{self, Style};
use super::variables::{VARIABLES, Variable};

/// The longest value in a line, escapes included. What is longer is cut, and `...` says so.
const MAX_VALUE: usize = 1024;

/// The format that `access_log PATH` has without naming one.
pub const MAIN: &str = r#"$remote_addr - "$remote_user" [$time_local] $protocol $status $session_end "$upstream_addr" $session_time $bytes_received $bytes_sent $auth_method $ssl_protocol/$ssl_cipher "$server_name" "$client_agent" $session_id"#;

/// The format named `json`.
pub const JSON: &str = concat!(
    r#"{"time":"$time_iso8601","msec":$msec,"session":"$session_id","connection":$connection,"#,
    r#""protocol":"$protocol","client":"$remote_addr","client_port":"$remote_port","#,
    r#""proxy":"$realip_remote_addr","server":"$server_addr","server_port":"$server_port","#,
    r#""server_name":"$server_name","sni":"$ssl_server_name","tls":"$ssl_protocol","#,
    r#""tls_cipher":"$ssl_cipher","tls_resumed":"$ssl_session_reused","starttls":"$starttls","#,
    r#""auth_method":"$auth_method","login":"$remote_user","mailbox":"$mailbox","#,
    r#""attempts":$login_attempts,"errors":$client_errors,"agent":"$client_agent","#,
    r#""agent_version":"$client_agent_version","upstream":"$upstream_addr","#,
    r#""upstream_name":"$upstream_name","upstream_tls":"$upstream_ssl_protocol","#,
    r#""cache":"$upstream_cache_status","lookup_time":"$upstream_lookup_time","#,
    r#""connect_time":"$upstream_connect_time","auth_time":"$upstream_auth_time","#,
    r#""session_time":$session_time,"bytes_received":$bytes_received,"bytes_sent":$bytes_sent,"#,
    r#""status":"$status","end":"$session_end"}"#,
);

/// A format, read and checked.
#[derive(Debug)]
pub struct Format {
    style: Style,
    template: Template,
}

/// Text with variables, `$name` or `${name}`, read and checked.
#[derive(Debug)]
pub struct Template(Vec<Segment>);

/// A piece of a text with variables.
#[derive(Debug)]
pub enum Segment {
    Text(Box<str>),
    Value(&'static Variable),
}

/// What is wrong with a `log_format`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("unknown \"{name}\" variable{}", hint(near))]
    Unknown { name: String, near: Option<&'static str> },
    #[error("invalid variable name in \"{0}\"")]
    NoName(String),
    #[error("the closing bracket in \"{0}\" variable is missing")]
    Unclosed(String),
    #[error("unknown log format escaping \"{0}\"")]
    Escape(String),
}

fn hint(near: &Option<&str>) -> String {
    near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default()
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Format {
    /// Reads what follows the name in `log_format NAME [escape=default|json|none] TEXT …`. Several
    /// texts are one, as in nginx.
    pub fn read(words: &[impl AsRef<str>]) -> Result<Self, Error> {
        let mut texts: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let style = match texts.first().and_then(|word| word.strip_prefix("escape=")) {
            None => Style::Access,
            Some(escape) => {
                texts.remove(0);
                match escape {
                    "default" => Style::Access,
                    "json" => Style::Json,
                    "none" => Style::None,
                    other => return Err(Error::Escape(other.to_owned())),
                }
            }
        };
        Ok(Self { style, template: Template::read(&texts.concat())? })
    }

    /// The formats that need no `log_format`: `main` and `json`.
    pub fn built_in(name: &str) -> Option<Self> {
        let read = match name {
            "main" => Self::read(&[MAIN]),
            "json" => Self::read(&["escape=json", JSON]),
            _ => return None,
        };
        Some(read.expect("the built-in formats name known variables"))
    }

    /// Appends `line`, without a newline, as it is at `now`.
    pub fn render(&self, line: &Line, now: SystemTime, out: &mut Vec<u8>) {
        self.template.fill(line, now, out, |out, value| match (value.is_empty(), self.style) {
            (true, Style::Access) => out.push(b'-'),
            (true, _) => {}
            (false, style) => escape::push(out, value, style, MAX_VALUE),
        });
    }
}

impl Template {
    pub fn read(text: &str) -> Result<Self, Error> {
        segments(text).map(Self)
    }

    /// Whether it is the same for every session.
    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(|segment| matches!(segment, Segment::Text(_)))
    }

    /// Appends the text for `line` as it is at `now`. A value is raw, as somebody sent it: `put`
    /// makes it fit to stand in `out`. One that there is not is empty.
    pub fn fill(
        &self,
        line: &Line,
        now: SystemTime,
        out: &mut Vec<u8>,
        mut put: impl FnMut(&mut Vec<u8>, &[u8]),
    ) {
        let mut value = SCRATCH.take();
        for segment in &self.0 {
            match segment {
                Segment::Text(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Value(variable) => {
                    value.clear();
                    (variable.value)(line, now, &mut value);
                    put(out, &value);
                }
            }
        }
        SCRATCH.set(value);
    }
}

/// Takes a text with variables apart.
pub fn segments(text: &str) -> Result<Vec<Segment>, Error> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        if dollar > 0 {
            segments.push(Segment::Text(rest[..dollar].into()));
        }
        rest = &rest[dollar + 1..];
        let braced = rest.starts_with('{');
        if braced {
            rest = &rest[1..];
        }
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let end = rest.find(|char| !is_name(char)).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        if braced {
            rest = rest.strip_prefix('}').ok_or_else(|| Error::Unclosed(name.to_owned()))?;
        }
        if name.is_empty() {
            return Err(Error::NoName(text.to_owned()));
        }
        segments.push(Segment::Value(find(name)?));
    }
    if !rest.is_empty() {
        segments.push(Segment::Text(rest.into()));
    }
    Ok(segments)
}

fn find(name: &str) -> Result<&'static Variable, Error> {
    if let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) {
        return Ok(variable);
    }
    let most = 3.min(name.len() / 2);
    let likeness = |variable: &&Variable| strsim::damerau_levenshtein(variable.name, name);
    // An edit changes the length by one at the most. To measure takes as long as both are.
    let near = VARIABLES.iter().filter(|one| one.name.len().abs_diff(name.len()) <= most);
    let near = near.min_by_key(likeness).filter(|near| likeness(near) <= most);
    Err(Error::Unknown { name: name.to_owned(), near: near.map(|near| near.name) })
}

/// What must hold for any format, on the first line, and any login, on the rest: what a client says
/// adds no line, and its length is bounded.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Ok(text) = str::from_utf8(&input[..end]) else { return };
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
    let login = input.get(end + 1..).map(Into::into);
    let line = Line { login, ..Line::new("imap", 1, client.into(), client.into()) };
    for escape in ["escape=default", "escape=json", "escape=none"] {
        let Ok(format) = Format::read(&[escape, text]) else { return };
        let mut out = Vec::new();
        format.render(&line, SystemTime::UNIX_EPOCH, &mut out);
        assert!(!out.contains(&b'\n'), "more than one line");
        let values = text.matches('$').count();
        assert!(out.len() <= text.len() + values * (MAX_VALUE + "...".len()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::observe::Addr;
    use crate::observe::access::{End, Status, Tls};

    fn whole() -> Line {
        let ip = |text: &str| Addr::from(text.parse::<SocketAddr>().unwrap());
        let tls = Tls {
            protocol: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            resumed: true,
            sni: Some("imap.example.com".into()),
            alpn: Some(b"imap"[..].into()),
        };
        Line {
            session: "s1".into(),
            started: UNIX_EPOCH + Duration::from_millis(1_000_250),
            duration: Duration::from_millis(61_005),
            peer: Some(ip("10.0.0.1:5000")),
            server_name: "imap.example.com".into(),
            starttls: true,
            tls: Some(Box::new(tls)),
            mechanism: Some("auth-plain"),
            login: Some(b"admin"[..].into()),
            mailbox: Some(b"mrose"[..].into()),
            agent: Some("Mutt".into()),
            agent_version: Some("2.2".into()),
            upstream: Some(ip("10.0.0.5:993")),
            upstream_name: Some("stores".into()),
            upstream_tls: Some("TLSv1.2"),
            cache: Some("HIT"),
            lookup: Some(Duration::from_micros(1_900)),
            connect: Some(Duration::from_millis(2)),
            auth: Some(Duration::from_millis(1_503)),
            bytes_received: 17,
            bytes_sent: 4096,
            attempts: 2,
            errors: 1,
            status: Status::Ok,
            end: End::ClientClosed,
            ..Line::new("imap", 9, ip("192.0.2.7:4711"), ip("192.0.2.1:143"))
        }
    }

    fn bare() -> Line {
        Line::new("pop3", 1, Addr::unix(""), Addr::unix("/run/pop3"))
    }

    fn rendered(format: &Format, line: &Line) -> String {
        let mut out = Vec::new();
        format.render(line, UNIX_EPOCH + Duration::from_millis(1_061_255), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_variable_has_its_value_and_a_dash_without() {
        for (name, want, without) in [
            ("remote_addr", "192.0.2.7", "unix:"),
            ("remote_port", "4711", "-"),
            ("binary_remote_addr", "\\xC0\\x00\\x02\\x07", "unix:"),
            ("remote_prefix", "192.0.2.0/24", "unix:"),
            ("realip_remote_addr", "10.0.0.1", "unix:"),
            ("realip_remote_port", "5000", "-"),
            ("server_addr", "192.0.2.1", "unix:/run/pop3"),
            ("server_port", "143", "-"),
            ("server_name", "imap.example.com", "-"),
            ("protocol", "imap", "pop3"),
            ("remote_user", "admin", "-"),
            ("login", "admin", "-"),
            ("mailbox", "mrose", "-"),
            ("auth_method", "auth-plain", "-"),
            ("login_attempts", "2", "0"),
            ("client_errors", "1", "0"),
            ("client_agent", "Mutt", "-"),
            ("client_agent_version", "2.2", "-"),
            ("ssl_protocol", "TLSv1.3", "-"),
            ("ssl_cipher", "TLS_AES_128_GCM_SHA256", "-"),
            ("ssl_session_reused", "r", "-"),
            ("ssl_server_name", "imap.example.com", "-"),
            ("ssl_alpn_protocol", "imap", "-"),
            ("starttls", "on", "-"),
            ("upstream_addr", "10.0.0.5:993", "-"),
            ("upstream_name", "stores", "-"),
            ("upstream_ssl_protocol", "TLSv1.2", "-"),
            ("upstream_cache_status", "HIT", "-"),
            ("upstream_lookup_time", "0.001", "-"),
            ("upstream_connect_time", "0.002", "-"),
            ("upstream_auth_time", "1.503", "-"),
            ("bytes_received", "17", "0"),
            ("bytes_sent", "4096", "0"),
            ("session_time", "61.005", "0.000"),
            ("status", "ok", "closed"),
            ("session_end", "client_closed", "internal_error"),
            ("connection", "9", "1"),
            ("session_id", "s1", "-"),
            ("dollar", "$", "$"),
            ("msec", "1061.255", "1061.255"),
        ] {
            let format = Format::read(&[format!("<${{{name}}}>")]).unwrap();
            assert_eq!(rendered(&format, &whole()), format!("<{want}>"), "${name}");
            assert_eq!(rendered(&format, &bare()), format!("<{without}>"), "${name}");
        }
        for variable in VARIABLES {
            let format = Format::read(&[format!("${}", variable.name)]).unwrap();
            assert_ne!(rendered(&format, &whole()), "-", "${}", variable.name);
        }
    }

    #[test]
    fn texts_are_joined_and_names_end_where_they_must() {
        let format = Format::read(&["$protocol", ":${connection}x ", "é$status-"]).unwrap();
        assert_eq!(rendered(&format, &whole()), "imap:9x éok-");
        assert_eq!(rendered(&Format::read(&[""]).unwrap(), &whole()), "");
    }

    #[test]
    fn a_wrong_format_is_told_what_is_wrong() {
        for (words, want) in [
            (
                &["$remote_adr"][..],
                "unknown \"remote_adr\" variable, did you mean \"remote_addr\"?",
            ),
            (&["a $request_uri"], "unknown \"request_uri\" variable"),
            (&["costs $ 5"], "invalid variable name in \"costs $ 5\""),
            (&["ends in $"], "invalid variable name in \"ends in $\""),
            (&["${}"], "invalid variable name in \"${}\""),
            (&["${login"], "the closing bracket in \"login\" variable is missing"),
            (&["${login-x}"], "the closing bracket in \"login\" variable is missing"),
            (&["escape=xml", "$login"], "unknown log format escaping \"xml\""),
        ] {
            assert_eq!(Format::read(words).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn each_escape_is_nginxs() {
        let mut line = whole();
        line.login = Some(b"a\"\\\n\xc3\xa9\xff"[..].into());
        for (escape, want) in [
            ("escape=default", r"a\x22\x5C\x0A\xC3\xA9\xFF"),
            ("escape=json", "a\\\"\\\\\\n\u{e9}\u{fffd}"),
            ("escape=none", "a\"\\\\x0A\u{e9}\\xFF"),
        ] {
            assert_eq!(rendered(&Format::read(&[escape, "$login"]).unwrap(), &line), want);
        }
        assert_eq!(rendered(&Format::read(&["escape=json", "$login"]).unwrap(), &bare()), "");
    }

    #[test]
    fn the_main_format_is_one_line_for_people() {
        let line = rendered(&Format::built_in("main").unwrap(), &whole());
        let (before, rest) = line.split_once(" [").unwrap();
        let (_, after) = rest.split_once("] ").unwrap();
        assert_eq!(before, "192.0.2.7 - \"admin\"");
        let want = "imap ok client_closed \"10.0.0.5:993\" 61.005 17 4096 auth-plain \
                    TLSv1.3/TLS_AES_128_GCM_SHA256 \"imap.example.com\" \"Mutt\" s1";
        assert_eq!(after, want);
        assert!(Format::built_in("other").is_none());
    }

    #[test]
    fn a_value_without_end_is_cut() {
        let mut line = whole();
        line.login = Some(vec![b'"'; 9000].into());
        let json = rendered(&Format::built_in("json").unwrap(), &line);
        assert!(json.len() < 3 * MAX_VALUE && json.contains("\\\"...\""));
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn holds_for_any_format(input in "[a-c]?(\\$(remote_user|\\{login\\}|time_local|x?)){0,3}(\n[a\"\r\n\u{0}-\u{ff}]{0,9})?") {
            hold_for_any(input.as_bytes());
        }

        #[test]
        fn json_is_valid_whatever_the_client_sends(
            login in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            agent in "\\PC{0,16}|[\u{0}-\u{2070}]{0,16}",
        ) {
            let mut line = whole();
            line.login = Some(login.clone().into());
            line.agent = Some(agent.clone().into());
            let json = rendered(&Format::built_in("json").unwrap(), &line);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["login"], String::from_utf8_lossy(&login).into_owned());
            assert_eq!(value["agent"], agent);
            assert!(!json.contains('\n'));
        }
    }
}
