//! Plays a transcript against a dialogue, standing in for the driver. Test support.
//!
//! ```text
//! # a remark
//! C: a LOGIN {5}          the peer says a line; lines that follow each other come in one packet
//! C- mrose                the peer says bytes without CRLF
//! S: + OK                 the dialogue says a line
//! C! g1 LOGIN "u" "p"     the dialogue says a line in confidence (a back's: the sides are swapped)
//! = rule on mrose         the dialogue wants something done; more words may follow than are given
//! > refused throttled     the session reports what has happened
//! ```
//!
//! `>` knows `secured`, `secured as NAME` (of `others`), `secured by CERTIFICATE`, `allowed[: text]`,
//! `refused KIND[ close][ sasl BASE64][: text]`, `advised verifier VERIFIER`, `advised token[ BASE64]`,
//! `advised known USER[ as AUTHZID]` and `advice refused KIND[ close][: text]`. `=` knows `start tls`,
//! `rule on USER[ as AUTHZID] with SECRET by MECHANISM[ answering SALT][ disproved][ claiming …]`,
//! `consult verifier for USER[ as AUTHZID][ claiming …]`, `consult token[ BASE64]`, `admit`, `close`,
//! and a back's `untagged: LINE`, `accepted[: text]`, `refused KIND[ sasl BASE64][: text]`,
//! `misbehaved: WHAT`. In all lines ␠ ␍ ␊ ␀ ␁ stand for these bytes; blank lines do not count.
//!
//! Every element that is parsed is parsed at each of its cuts too, which must ask for more.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{
    Action, Advice, Attempt, Claims, Dialogue, Event, Granted, Kind, Offer, Question, Refusal,
    Secured, Verdict,
};
use crate::wire::Parsed;
use crate::wire::sasl;
use crate::wire::sasl::scram::Verifier;

/// Plays `script` against a front: `C` is the client, `S` is us.
pub fn play<D: Dialogue>(front: D, script: &str) {
    Player::open(front, 'S').play(script, &[]);
}

/// As [`play`], where `> secured as NAME` brings another offer.
pub fn play_among<D: Dialogue>(front: D, script: &str, others: &[Arc<Offer>]) {
    Player::open(front, 'S').play(script, others);
}

/// Plays `script` against a back: `C` is us, `S` is the upstream.
pub fn play_back<D: Dialogue>(back: D, script: &str) {
    Player::open(back, 'C').play(script, &[]);
}

const KINDS: [(&str, Kind); 6] = [
    ("bad-credentials", Kind::BadCredentials),
    ("forbidden", Kind::Forbidden),
    ("needs-tls", Kind::NeedsTls),
    ("unavailable", Kind::Unavailable),
    ("throttled", Kind::Throttled),
    ("internal", Kind::Internal),
];

/// A driver without a socket. What the dialogue does comes out as transcript lines.
#[derive(Debug)]
pub struct Player<D> {
    dialogue: D,
    /// How our side is called in the transcript.
    us: char,
    unread: Vec<u8>,
    /// What the dialogue has said and wanted, and nobody has taken yet.
    pub told: VecDeque<String>,
    /// TLS, advice or a ruling is pending: nothing is parsed.
    pub waits: bool,
    /// The dialogue has ended.
    pub over: bool,
}

impl<D: Dialogue> Player<D> {
    pub fn open(dialogue: D, us: char) -> Self {
        let (unread, told) = (Vec::new(), VecDeque::new());
        let mut player = Self { dialogue, us, unread, told, waits: false, over: false };
        player.happens(Event::Opened);
        player
    }

    /// The session reports `event`.
    pub fn happens(&mut self, event: Event<D::Command<'_>, D::Breach>) {
        self.waits = false;
        let mut act = Vec::new();
        self.dialogue.on(event, &mut act);
        self.note(act);
        self.read();
    }

    /// The peer says `bytes`.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.read();
    }

    /// What is still unread.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    fn read(&mut self) {
        while !self.waits && !self.over {
            let mut act = Vec::new();
            let used = match self.dialogue.parse(&self.unread) {
                Parsed::More => return,
                Parsed::Whole(_, used) | Parsed::Broken(_, used) => used,
            };
            assert!((1..=self.unread.len()).contains(&used), "{used} bytes were read");
            let step = 1 + used / 1000; // every cut of what is short, a thousand of what is long
            for cut in (0..used).step_by(step) {
                let early = self.dialogue.parse(&self.unread[..cut]);
                assert!(matches!(early, Parsed::More), "an answer after {cut} of {used} bytes");
            }
            match self.dialogue.parse(&self.unread) {
                Parsed::Whole(command, _) => self.dialogue.on(Event::Command(command), &mut act),
                Parsed::Broken(breach, _) => self.dialogue.on(Event::Breach(breach), &mut act),
                Parsed::More => unreachable!("it was whole a moment ago"),
            }
            self.unread.drain(..used);
            self.note(act);
        }
    }

    fn note(&mut self, act: Vec<Action>) {
        for action in act {
            assert!(!self.over && !self.waits, "more to do after the end, or while waiting");
            match action {
                Action::Say(bytes) => self.say(':', &bytes),
                Action::SayInConfidence(secret) => self.say('!', secret.reveal()),
                Action::Breach(_) | Action::Note(_) | Action::OutOfStep(_) => {}
                Action::Consult(question) => {
                    self.told.push_back(consult(&question));
                    self.waits = true;
                }
                Action::StartTls => {
                    self.told.push_back("= start tls".to_owned());
                    self.waits = true;
                }
                Action::Rule(attempt) => {
                    self.told.push_back(rule(&attempt));
                    self.waits = true;
                }
                Action::Admit => self.end("= admit".to_owned()),
                Action::Close => self.end("= close".to_owned()),
                Action::Settle(verdict) => self.settle(verdict),
            }
        }
    }

    fn say(&mut self, how: char, bytes: &[u8]) {
        let lines = text(bytes);
        let lines = lines.strip_suffix("␍␊").expect("what is said ends with CRLF");
        for line in lines.split("␍␊") {
            self.told.push_back(shown(&format!("{}{how} {line}", self.us)));
        }
    }

    fn settle(&mut self, verdict: Verdict) {
        let ending = |text: &[u8]| match text {
            [] => String::new(),
            text => format!(": {}", self::text(text)),
        };
        let (untagged, verdict) = match verdict {
            Verdict::Accepted(Granted { untagged, text, .. }) => {
                (untagged, format!("= accepted{}", ending(&text.unwrap_or_default())))
            }
            Verdict::Refused { kind, text, untagged, sasl } => {
                let (name, _) = KINDS.iter().find(|(_, one)| *one == kind).expect("all are named");
                let sasl = sasl.map(|sasl| format!(" sasl {sasl}")).unwrap_or_default();
                (untagged, format!("= refused {name}{sasl}{}", ending(&text)))
            }
            Verdict::Misbehaved(what) => (Vec::new(), format!("= misbehaved: {what}")),
        };
        for line in text(&untagged).split_terminator("␍␊") {
            self.told.push_back(format!("= untagged: {line}"));
        }
        self.end(verdict);
    }

    fn end(&mut self, line: String) {
        self.told.push_back(line);
        self.over = true;
    }

    fn play(mut self, script: &str, others: &[Arc<Offer>]) {
        let mut heard = Vec::new();
        for (number, line) in script.lines().enumerate() {
            let line = line.trim();
            let at = format!("line {}: {line:?}", number + 1);
            let mut chars = line.chars();
            let (who, how) = (chars.next(), chars.next());
            match (who, how) {
                (None | Some('#'), _) => {}
                (Some('C' | 'S'), Some(how @ (':' | '-'))) if who != Some(self.us) => {
                    heard.extend(bytes(line[2..].strip_prefix(' ').unwrap_or(&line[2..])));
                    heard.extend_from_slice(if how == ':' { b"\r\n" } else { b"" });
                }
                (Some('>'), _) => {
                    self.flush(&mut heard, &at);
                    self.is_told_nothing(&at);
                    assert!(self.waits, "{at}: nothing is waited for");
                    self.happens(event(&line[2..], others));
                }
                _ => {
                    self.flush(&mut heard, &at);
                    let told = self.told.pop_front();
                    let told = told.unwrap_or_else(|| panic!("{at}: nothing is said or wanted"));
                    let more = told.strip_prefix(&*shown(line));
                    let fits = more.is_some_and(|more| {
                        more.is_empty() || (who == Some('=') && more.starts_with(' '))
                    });
                    assert!(fits, "{at}\n    but: {told:?}");
                }
            }
        }
        self.flush(&mut heard, "the end");
        self.is_told_nothing("the end");
    }

    fn flush(&mut self, heard: &mut Vec<u8>, at: &str) {
        if !heard.is_empty() {
            self.is_told_nothing(at);
            self.hear(&std::mem::take(heard));
        }
    }

    fn is_told_nothing(&self, at: &str) {
        assert!(self.told.is_empty(), "before {at}: {:?}", self.told);
    }
}

fn rule(attempt: &Attempt) -> String {
    let secret = match attempt.secret.reveal() {
        b"" => "nothing".to_owned(),
        secret => text(secret),
    };
    format!(
        "= rule on {} with {secret} by {}{}{}{}",
        who(attempt),
        attempt.mechanism.name(),
        attempt.salt.as_ref().map(|salt| format!(" answering {salt}")).unwrap_or_default(),
        if attempt.disproved { " disproved" } else { "" },
        claims(&attempt.claims),
    )
}

fn who(Attempt { user, authzid, .. }: &Attempt) -> String {
    let authzid = authzid.as_ref().map(|authzid| format!(" as {}", text(authzid)));
    text(user) + &authzid.unwrap_or_default()
}

fn consult(question: &Question) -> String {
    match question {
        Question::Verifier(attempt) => {
            assert!(attempt.secret.reveal().is_empty(), "a secret that nobody has said");
            format!("= consult verifier for {}{}", who(attempt), claims(&attempt.claims))
        }
        Question::Token { token, .. } => {
            format!("= consult token {}", sasl::encode(token)).trim_end().to_owned()
        }
    }
}

fn claims(claims: &Claims) -> String {
    let Claims { agent, agent_version, client_ip, client_port, client_host, session, ttl, helo } =
        claims;
    let given = [
        ("agent", agent.clone()),
        ("version", agent_version.clone()),
        ("ip", client_ip.map(|ip| ip.to_string())),
        ("port", client_port.map(|port| port.to_string())),
        ("host", client_host.clone()),
        ("session", session.clone()),
        ("ttl", ttl.map(|ttl| ttl.to_string())),
        ("helo", helo.as_ref().map(|helo| helo.name.clone())),
        ("proto", helo.as_ref().map(|h| if h.extended { "ESMTP" } else { "SMTP" }.to_owned())),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some(format!(" {name}={}", value?)));
    let given: String = given.collect();
    if given.is_empty() { given } else { format!(" claiming{given}") }
}

fn event<C, B>(line: &str, others: &[Arc<Offer>]) -> Event<C, B> {
    let (what, text) = match line.split_once(": ") {
        Some((what, text)) => (what, Some(bytes(text))),
        None => (line, None),
    };
    let words: Vec<_> = what.split_whitespace().collect();
    match words.as_slice() {
        ["secured"] => Event::Secured(Secured::default()),
        ["secured", "as", name] => {
            let other = others.iter().find(|offer| offer.name == *name);
            let offer = Some(Arc::clone(other.expect("an offer of that name")));
            Event::Secured(Secured { offer, ..Secured::default() })
        }
        ["secured", "by", name] => {
            let certificate = Some(name.as_bytes().into());
            Event::Secured(Secured { certificate, ..Secured::default() })
        }
        ["advised", "verifier", verifier] => {
            let verifier = Verifier::parse(verifier.as_bytes()).expect("a verifier");
            Event::Advised(Ok(Advice::Verifier(verifier)))
        }
        ["advised", "token", token @ ..] => {
            let mut bytes = Vec::new();
            assert!(sasl::decode(token.concat().as_bytes(), &mut bytes), "{line}: base64");
            Event::Advised(Ok(Advice::Token(bytes)))
        }
        ["advised", "known", user, authzid @ ..] => {
            let authzid = authzid.strip_prefix(&["as"]).map(|name| bytes(&name.concat()).into());
            Event::Advised(Ok(Advice::Known { user: bytes(user).into(), authzid }))
        }
        ["advice", "refused", kind, more @ ..] => Event::Advised(Err(refusal(kind, more, text))),
        ["allowed"] => Event::Ruled(Ok(Granted { text, ..Granted::default() })),
        ["refused", kind, more @ ..] => Event::Ruled(Err(refusal(kind, more, text))),
        _ => panic!("teach this player what {line:?} is"),
    }
}

fn refusal(kind: &str, mut more: &[&str], text: Option<Vec<u8>>) -> Refusal {
    let (_, kind) = KINDS.iter().find(|(name, _)| *name == kind).expect("a kind's name");
    let mut refusal = Refusal::new(*kind).with_text(text.unwrap_or_default());
    loop {
        more = match more {
            [] => return refusal,
            ["close", more @ ..] => {
                refusal.close = true;
                more
            }
            ["sasl", sasl, more @ ..] => {
                refusal.sasl = Some((*sasl).to_owned());
                more
            }
            other => panic!("teach this player what {other:?} is"),
        }
    }
}

/// What a transcript shows in place of bytes that cannot be seen.
const SHOWN: [(char, char); 4] = [('␍', '\r'), ('␊', '\n'), ('␀', '\0'), ('␁', '\u{1}')];

/// Bytes as the transcript shows them.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let text = SHOWN.iter().fold(text, |text, (sign, byte)| text.replace(*byte, &sign.to_string()));
    shown(&text)
}

/// A blank at the end of a line cannot be seen, so it is written as ␠.
fn shown(line: &str) -> String {
    let mut lines: Vec<_> = line.split("␍␊").map(str::to_owned).collect();
    for line in &mut lines {
        let kept = line.trim_end_matches([' ', '␠']).len();
        let blanks = line[kept..].chars().count();
        line.replace_range(kept.., &"␠".repeat(blanks));
    }
    lines.join("␍␊")
}

/// The bytes that a transcript's text stands for.
fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace('␠', " ");
    let text = SHOWN.iter().fold(text, |text, (sign, byte)| text.replace(*sign, &byte.to_string()));
    text.into_bytes()
}
