//! The player of transcripts. See the head of the module above.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use regex::Regex;

use super::backend::Backend;
use crate::support::{
    Asked, Ca, FakeLookup, FakeUpstream, Gatepost, Nginx, PATIENCE, Pair, Site, Talk, Tls, Waiting,
    encoded, fill,
};

/// Where both listen.
const PORT: u16 = 10200;

/// The two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nginx,
    Gatepost,
}

/// One exchange, and what it is played between.
#[derive(Clone)]
pub struct Play {
    protocol: &'static str,
    /// In the `mail` block, in nginx's words.
    mail: &'static str,
    /// In the `server` block.
    server: &'static str,
    /// In gatepost's `mail` block alone: without more, a play is about something else than guesses.
    gatepost: &'static str,
    /// Behind the address of `listen`.
    listen: &'static str,
    backend: Backend,
    /// The header lines of each answer; the last one counts for all questions behind it. What
    /// begins with `HTTP/` or is empty is sent as it stands.
    answers: Vec<&'static str>,
}

/// Lets the client in.
pub const LET_IN: &str = "Auth-Status: OK\nAuth-Server: {up_ip}\nAuth-Port: {up_port}";

impl Play {
    pub fn imap() -> Self {
        Self::of("imap", Backend::imap())
    }

    pub fn pop3() -> Self {
        Self::of("pop3", Backend::pop3())
    }

    pub fn smtp() -> Self {
        Self::of("smtp", Backend::smtp())
    }

    fn of(protocol: &'static str, backend: Backend) -> Self {
        let gatepost = "login_throttle off; login_failure_delay 0; login_failure_uniform off;";
        let (mail, server, listen, answers) = ("", "", "", vec![LET_IN]);
        Self { protocol, mail, server, gatepost, listen, backend, answers }
    }

    pub fn mail(self, mail: &'static str) -> Self {
        Self { mail, ..self }
    }

    pub fn server(self, server: &'static str) -> Self {
        Self { server, ..self }
    }

    /// As gatepost is without a word about guesses, but for these.
    pub fn guarded(self, gatepost: &'static str) -> Self {
        Self { gatepost, ..self }
    }

    pub fn listen(self, listen: &'static str) -> Self {
        Self { listen, ..self }
    }

    pub fn backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    pub fn answers(self, answers: &[&'static str]) -> Self {
        Self { answers: answers.to_vec(), ..self }
    }

    /// Both say the same.
    #[track_caller]
    pub fn same(&self, script: &str) {
        let script = Script::read(script);
        assert!(script.rows.is_empty(), "it is not the same:\n{:#?}", script.rows);
        self.play(&script, &[Who::Nginx, Who::Gatepost]);
    }

    /// They differ where the marks are, and docs/nginx-differences.md says why.
    #[track_caller]
    pub fn differs(&self, script: &str) {
        let script = Script::read(script);
        assert!(!script.rows.is_empty(), "nothing differs");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/nginx-differences.md");
        let told = fs::read_to_string(path).unwrap();
        let rows: Vec<_> = told.lines().filter(|line| line.starts_with("| ")).collect();
        for row in &script.rows {
            assert!(rows.iter().any(|known| known.contains(row)), "no row has {row:?}");
        }
        self.play(&script, &[Who::Nginx, Who::Gatepost]);
    }

    /// nginx by itself: what gatepost has no counterpart to.
    #[track_caller]
    pub fn nginx_alone(&self, script: &str) {
        self.play(&Script::read(script), &[Who::Nginx]);
    }

    #[track_caller]
    fn play(&self, script: &Script, parties: &[Who]) {
        let mut faults = String::new();
        for who in parties {
            if let Err(fault) = Stage::set(self, *who).play(script) {
                faults += &format!("== {who:?}\n{fault}\n");
            }
        }
        assert!(faults.is_empty(), "{faults}");
    }
}

/// A transcript, read.
struct Script {
    lines: Vec<Line>,
    /// The rows of the document that its differences come under.
    rows: Vec<String>,
}

struct Line {
    /// Nobody: both.
    who: Option<Who>,
    kind: char,
    text: String,
}

impl Script {
    #[track_caller]
    fn read(script: &str) -> Self {
        let (mut lines, mut rows) = (Vec::new(), Vec::new());
        for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            if let Some(row) = line.strip_prefix("! ") {
                rows.push(row.to_owned());
                continue;
            }
            let (who, rest) = match line.split_at_checked(2) {
                Some(("N ", rest)) => (Some(Who::Nginx), rest),
                Some(("G ", rest)) => (Some(Who::Gatepost), rest),
                _ => (None, line),
            };
            assert!(who.is_none() || !rows.is_empty(), "no row for {line:?}");
            let (kind, text) = match rest.strip_prefix("= ") {
                Some(text) => ("=", text),
                None => rest.split_once(':').unwrap_or_else(|| panic!("what is {line:?}")),
            };
            let text = text.strip_prefix(' ').unwrap_or(text).to_owned();
            lines.push(Line { who, kind: kind.chars().next().unwrap(), text });
        }
        Self { lines, rows }
    }
}

enum Server {
    Nginx(Nginx),
    Gatepost(Gatepost),
}

/// One of the two, between a client, a lookup handler and an upstream.
struct Stage {
    who: Who,
    server: Server,
    at: SocketAddr,
    tls: Tls,
    ca: Ca,
    lookup: FakeLookup,
    upstream: FakeUpstream,
    client: SocketAddr,
    talk: Talk,
    /// When the client last said something.
    said: Instant,
    /// What has been seen of what is made up as it goes.
    seen: HashMap<&'static str, String>,
}

impl Stage {
    #[track_caller]
    fn set(play: &Play, who: Who) -> Self {
        let (site, ca) = (Site::new(), Ca::new());
        site.write("ca.pem", &ca.pem);
        ca.ecdsa(&["mail.test"]).put(&site, "mail");
        let tls = Tls::trusting(&ca.pem, "mail.test");
        let upstream = play.backend.start();
        let lookup = answering(play.answers.clone(), upstream.addr());
        let at: SocketAddr = (site.ip, PORT).into();
        let own = if who == Who::Gatepost { play.gatepost } else { "" };
        let text = format!(
            "mail {{\n server_name mail.test;\n auth_http http://@lookup@/auth;\n {own} {}\n \
             server {{ listen @ip@:{PORT} {}; protocol {}; {} }}\n}}\n",
            play.mail, play.listen, play.protocol, play.server
        );
        let text = fill(&site, &text, &[("lookup", &lookup.addr())]);
        let server = match who {
            Who::Nginx => Server::Nginx(Nginx::start(site, &text, at)),
            Who::Gatepost => {
                let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
                let text = format!(
                    "daemon off; {user} pid run/gatepost.pid; error_log logs/error.log info; \
                     worker_processes 1; events {{ }}\n{text}"
                );
                Server::Gatepost(Gatepost::start(site, &text, &[]))
            }
        };
        let talk = Talk::try_connect(None, at).unwrap();
        let (client, said, seen) = (talk.local_addr(), Instant::now(), HashMap::new());
        Self { who, server, at, tls, ca, lookup, upstream, client, talk, said, seen }
    }

    fn play(mut self, script: &Script) -> Result<(), String> {
        let mine = |line: &&Line| line.who.is_none_or(|who| who == self.who);
        let lines: Vec<&Line> = script.lines.iter().filter(mine).collect();
        let mut is_over = false;
        for line in &lines {
            match (line.kind, line.text.as_str()) {
                ('C', text) => {
                    let text = self.filled(text);
                    self.said = Instant::now();
                    self.talk.try_say(&text).map_err(|error| self.told(&error.to_string()))?;
                }
                ('S', "<end>" | "<alert>") => {
                    let left = self.talk.left_unsaid();
                    // An alert of TLS is no line.
                    let is_alert = line.text == "<alert>" && left.starts_with('\x15');
                    if !left.is_empty() && !is_alert {
                        return Err(self.told(&format!("before its end it says {left:?}")));
                    }
                    is_over = true;
                }
                ('S', text) => {
                    let heard = self.talk.try_line();
                    let heard =
                        heard.map_err(|error| self.told(&format!("{error} for {text:?}")))?;
                    if !self.fits(text, &heard) {
                        self.talk.patience = Duration::from_millis(500);
                        while self.talk.try_line().is_ok() {}
                        return Err(self.told(&format!("want S: {text}\nhave S: {heard}")));
                    }
                }
                ('=', "greeted") => {
                    let greeting = self.talk.try_line().unwrap_or_default();
                    if !["* OK ", "+OK ", "220 "].iter().any(|start| greeting.starts_with(start)) {
                        return Err(self.told("no greeting"));
                    }
                }
                ('=', "tls" | "tls as bob" | "tls as a stranger") => {
                    let tls = match line.text.as_str() {
                        "tls" => self.tls.clone(),
                        "tls as bob" => self.showing(&self.ca.ecdsa(&["bob"])),
                        _ => self.showing(&Pair::cn_only(&Site::new(), "stranger")),
                    };
                    self.talk.try_secure(&tls).map_err(|error| self.told(&error.to_string()))?;
                }
                ('=', "hang up") => self.talk.hang_up(),
                ('=', text) if text.starts_with("not within ") => {
                    let least: u64 =
                        text["not within ".len()..].trim_end_matches(" ms").parse().unwrap();
                    let took = self.said.elapsed();
                    if took < Duration::from_millis(least) {
                        return Err(self.told(&format!("after {took:?}, which is {text}")));
                    }
                }
                ('B' | 'A' | 'L', _) => {}
                (kind, text) => panic!("what is {kind}: {text}"),
            }
        }
        if !is_over {
            self.talk.hang_up();
            let left = self.talk.left_unsaid();
            if !left.is_empty() {
                return Err(self.told(&format!("at the end it says {left:?}")));
            }
        }
        let of = |kind| -> Vec<&str> {
            lines.iter().filter(|line| line.kind == kind).map(|line| &*line.text).collect()
        };
        self.compare("the upstream", &of('B'), |stage| stage.upstream.heard())?;
        // What gatepost adds to each question is shown once, and left out elsewhere.
        let shows_all = of('A').iter().any(|line| line.starts_with("Client-Port: "));
        let is_shown = |(name, _): &&(String, String)| {
            shows_all || !["Client-Port", "Server-Addr", "Server-Port"].contains(&&**name)
        };
        self.compare("the auth server", &of('A'), |stage| {
            let asked = stage.lookup.asked();
            let lines = asked.iter().flat_map(|asked| {
                let headers = asked.headers.iter().filter(is_shown);
                let headers = headers.map(|(name, value)| format!("{name}: {value}"));
                std::iter::once(asked.line.clone()).chain(headers)
            });
            lines.collect()
        })?;
        self.logged(&of('L'))
    }

    fn showing(&self, own: &Pair) -> Tls {
        Tls::showing(&self.ca.pem, "mail.test", own)
    }

    /// Whether all that was heard is what the script has, if it has any of it.
    fn compare(
        &mut self,
        who: &str,
        want: &[&str],
        have: impl Fn(&Self) -> Vec<String>,
    ) -> Result<(), String> {
        if want.is_empty() {
            return Ok(());
        }
        let none = want == ["<nothing>"];
        let waiting = Waiting::new(PATIENCE / 4);
        let heard = loop {
            let heard = have(self);
            if heard.len() >= want.len() || waiting.left().is_none() || none {
                break heard;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        };
        let fits = match none {
            true => heard.is_empty(),
            false => {
                heard.len() == want.len()
                    && want.iter().zip(&heard).all(|(want, have)| self.fits(want, have))
            }
        };
        let want: Vec<_> = want.iter().map(|line| self.filled(line)).collect();
        let differ =
            || format!("{who} heard\n  {}\nnot\n  {}", heard.join("\n  "), want.join("\n  "));
        if fits { Ok(()) } else { Err(self.told(&differ())) }
    }

    fn logged(&mut self, want: &[&str]) -> Result<(), String> {
        let head =
            Regex::new(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\[[a-z]+\]) \d+#\d+: \*\d+ ").unwrap();
        for want in want {
            let waiting = Waiting::new(PATIENCE / 4);
            loop {
                if self.log().lines().any(|line| self.fits(want, &head.replace(line, "$1 "))) {
                    break;
                }
                if waiting.left().is_none() {
                    let want = self.filled(want);
                    return Err(self.told(&format!("the log has no\n  {want}")));
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn told(&self, what: &str) -> String {
        let heard = self.upstream.heard().join("\nB: ");
        format!("{what}\n{}\nB: {heard}\n{}", self.talk.so_far(), self.log())
    }

    fn log(&self) -> String {
        match &self.server {
            Server::Nginx(nginx) => nginx.error_log(),
            Server::Gatepost(gatepost) => gatepost.error_log(),
        }
    }

    /// What a name in braces stands for.
    fn value(&self, name: &str) -> Option<String> {
        let (name, argument) = name.split_once(' ').unwrap_or((name, ""));
        let (first, second) = argument.split_once(' ').unwrap_or((argument, ""));
        let seen = |what: &str| self.seen.get(what).map_or("", String::as_str);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Some(match name {
            "client" => self.client.ip().to_string(),
            "client_port" => self.client.port().to_string(),
            "server" => self.at.to_string(),
            "server_ip" => self.at.ip().to_string(),
            "up_ip" => self.upstream.addr().ip().to_string(),
            "up" => self.upstream.addr().to_string(),
            "lookup" => self.lookup.addr().to_string(),
            "lookup_ip" => self.lookup.addr().ip().to_string(),
            "b64" => encoded(&unescaped(argument)),
            // {plain NAME PASSWORD}
            "plain" => encoded(&format!("\0{first}\0{second}")),
            // {apop PASSWORD}: the answer to the salt of the greeting
            "apop" => hex(&Md5::digest(format!("{}{argument}", seen("salt")))),
            // {cram NAME PASSWORD}, {cram_digest PASSWORD}: to the last challenge
            "cram" => {
                let digest = hex(&hmac(second, seen("challenge")));
                encoded(&format!("{first} {digest}"))
            }
            "cram_digest" => hex(&hmac(argument, seen("challenge"))),
            "salt" | "challenge" => self.seen.get(name)?.clone(),
            _ => return None,
        })
    }

    fn filled(&self, text: &str) -> String {
        let name = Regex::new(r"\{([a-z_0-9]+(?: [^}]*)?)\}").unwrap();
        let filled = name.replace_all(text, |found: &regex::Captures<'_>| {
            self.value(&found[1]).unwrap_or_else(|| found[0].to_owned())
        });
        unescaped(&filled)
    }

    /// Whether `have` is what `want` says. What is made up by the server is taken from it.
    fn fits(&mut self, want: &str, have: &str) -> bool {
        const SALT: &str = r"<[0-9]+\.[0-9]+@mail\.test>";
        let name = Regex::new(r"\{(any|hex|question|salt|challenge)\}").unwrap();
        let mut pattern = String::from("^");
        let mut rest = want;
        let mut learnt = Vec::new();
        while let Some(found) = name.find(rest) {
            pattern += &regex::escape(&self.filled(&rest[..found.start()]));
            let what = found.as_str().trim_matches(['{', '}']);
            match (what, self.seen.get(what)) {
                ("any", _) => pattern += ".*",
                ("question", _) => pattern += r"GET /auth HTTP/1\.[01]",
                ("hex", _) => pattern += "[0-9a-fA-F]+",
                ("salt", Some(seen)) => pattern += &regex::escape(seen),
                ("salt", None) => {
                    learnt.push("salt");
                    pattern += &format!("({SALT})");
                }
                // Base64, and another one each time.
                _ => {
                    learnt.push("challenge");
                    pattern += "([A-Za-z0-9+/=]+)";
                }
            }
            rest = &rest[found.end()..];
        }
        pattern += &regex::escape(&self.filled(rest));
        pattern += "$";
        let Some(found) = Regex::new(&pattern).unwrap().captures(have) else { return false };
        for (rank, what) in learnt.into_iter().enumerate() {
            let mut text = found[rank + 1].to_owned();
            if what == "challenge" {
                use base64::Engine;
                let bytes = base64::engine::general_purpose::STANDARD.decode(&text);
                let Ok(Ok(plain)) = bytes.map(String::from_utf8) else { return false };
                if !Regex::new(&format!("^{SALT}$")).unwrap().is_match(&plain) {
                    return false;
                }
                text = plain;
            }
            self.seen.insert(what, text);
        }
        true
    }
}

fn hmac(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `\r`, `\n`, `\0`, `\s` and `\\`.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(one) = chars.next() {
        plain.push(match one {
            '\\' => match chars.next() {
                Some('r') => '\r',
                Some('n') => '\n',
                Some('0') => '\0',
                // At the end of a line, where it would be seen by nobody.
                Some('s') => ' ',
                Some(other) => other,
                None => '\\',
            },
            one => one,
        });
    }
    plain
}

/// A lookup handler that gives these answers one after the other.
fn answering(answers: Vec<&'static str>, up: SocketAddr) -> FakeLookup {
    let next = AtomicUsize::new(0);
    let ip: IpAddr = up.ip();
    FakeLookup::start(move |_: &Asked| {
        let rank = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let text = answers[rank]
            .replace("{up_ip}", &ip.to_string())
            .replace("{up_port}", &up.port().to_string());
        if text == "<silence>" {
            std::thread::park_timeout(PATIENCE);
        }
        if text.is_empty() || text.starts_with("HTTP/") || text.starts_with("raw ") {
            return text.trim_start_matches("raw ").to_owned();
        }
        let lines = text.lines().map(|line| format!("{}\r\n", line.trim_start()));
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", lines.collect::<String>())
    })
}
