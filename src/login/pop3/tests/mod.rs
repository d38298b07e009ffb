//! Transcripts of both sides, and the player that plays them.
//!
//! `C:` and `S:` are lines of the client and the server; whichever the dialogue under test says is
//! checked, the other is fed to it. `C*` is said in confidence. `=` is what the driver is told to
//! do, `>` what it reports. `\r`, `\n`, `\0` and `\t` in a line stand for themselves.

mod back;
mod front;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::login::{
    Action, Attempt, Claims, Dialogue, Event, Granted, Kind, Offer, Refusal, Secured, Verdict,
};
use crate::wire::Parsed;

/// Plays `script` twice: fed by lines, and byte by byte.
fn play<D: Dialogue>(us: char, make: impl Fn() -> D, elsewhere: &Offer, script: &str) {
    for by_byte in [false, true] {
        let mut player = Player::new(us, make(), elsewhere);
        player.dialogue.on(Event::Opened, &mut player.act);
        player.run();
        for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            match line.split_at(2) {
                ("= ", _) => player.expect(line),
                ("> ", event) => player.report(event),
                (who, _) if who.starts_with(us) => player.expect(line),
                (_, text) => {
                    let text = text.strip_prefix(' ').unwrap_or(text);
                    let mut bytes = unescape(text).into_bytes();
                    bytes.extend_from_slice(b"\r\n");
                    let step = if by_byte { 1 } else { bytes.len() };
                    for part in bytes.chunks(step) {
                        player.unread.extend_from_slice(part);
                        player.run();
                    }
                }
            }
        }
        assert!(player.told.is_empty(), "not in the script: {:?}", player.told);
    }
}

struct Player<'o, D> {
    us: char,
    dialogue: D,
    elsewhere: &'o Offer,
    unread: Vec<u8>,
    act: Vec<Action>,
    told: VecDeque<String>,
    /// TLS or a ruling is pending, or the end has come: nothing is parsed.
    waits: bool,
}

impl<'o, D: Dialogue> Player<'o, D> {
    fn new(us: char, dialogue: D, elsewhere: &'o Offer) -> Self {
        let (unread, act, told) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { us, dialogue, elsewhere, unread, act, told, waits: false }
    }

    /// As the driver: all actions, then one element, and so on until bytes are wanting.
    fn run(&mut self) {
        loop {
            for action in std::mem::take(&mut self.act) {
                self.note(action);
            }
            if self.waits {
                return;
            }
            let used = match self.dialogue.parse(&self.unread) {
                Parsed::More => return,
                Parsed::Whole(element, used) => {
                    self.dialogue.on(Event::Command(element), &mut self.act);
                    used
                }
                Parsed::Broken(breach, used) => {
                    self.dialogue.on(Event::Breach(breach), &mut self.act);
                    used
                }
            };
            self.unread.drain(..used);
        }
    }

    fn note(&mut self, action: Action) {
        let told = match action {
            Action::Say(bytes) => return self.say(&bytes, ':'),
            Action::SayInConfidence(secret) => return self.say(secret.reveal(), '*'),
            Action::Breach(_) | Action::OutOfStep(_) => return,
            Action::StartTls => "start tls".to_owned(),
            Action::Consult(question) => panic!("teach this player {question:?}"),
            Action::Rule(attempt) => format!("rule on {}", shown(&attempt)),
            Action::Admit => "admit".to_owned(),
            Action::Close => "close".to_owned(),
            Action::Settle(Verdict::Accepted(granted)) => match granted.text {
                Some(text) => format!("accepted {}", text.escape_ascii()),
                None => "accepted".to_owned(),
            },
            Action::Settle(Verdict::Refused { kind, text, .. }) => {
                format!("refused {kind:?} {}", text.escape_ascii())
            }
            Action::Settle(Verdict::Misbehaved(what)) => format!("misbehaved: {what}"),
        };
        self.waits = true;
        self.told.push_back(format!("= {told}").trim_end().to_owned());
    }

    fn say(&mut self, bytes: &[u8], mark: char) {
        let text = bytes.strip_suffix(b"\r\n").expect("whole lines only");
        for line in String::from_utf8_lossy(text).split("\r\n") {
            self.told.push_back(format!("{}{mark} {line}", self.us).trim_end().to_owned());
        }
    }

    fn expect(&mut self, line: &str) {
        let told = self.told.pop_front();
        assert_eq!(told.as_deref(), Some(line.trim_end()), "and then {:?}", self.told);
    }

    fn report(&mut self, event: &str) {
        assert!(std::mem::take(&mut self.waits), "nothing is pending: {event}");
        let (word, rest) = event.split_once(' ').unwrap_or((event, ""));
        let text = (!rest.is_empty()).then(|| rest.as_bytes().to_vec());
        let refused = |kind| {
            let mut refusal = Refusal::new(kind).with_text(rest.trim_end_matches("close").trim());
            refusal.close = rest.ends_with("close");
            Event::Ruled(Err(refusal))
        };
        let event = match word {
            "secured" if rest == "elsewhere" => {
                let offer = Some(Arc::new(self.elsewhere.clone()));
                Event::Secured(Secured { offer, ..Secured::default() })
            }
            "secured" => Event::Secured(Secured::default()),
            "allowed" => Event::Ruled(Ok(Granted { text, ..Granted::default() })),
            "refused" => refused(Kind::BadCredentials),
            "unavailable" => refused(Kind::Unavailable),
            other => panic!("teach the player what {other} means"),
        };
        self.dialogue.on(event, &mut self.act);
        self.run();
    }
}

fn shown(attempt: &Attempt) -> String {
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let mut told = show(&attempt.user);
    if let Some(authzid) = &attempt.authzid {
        told += &format!(" for {}", show(authzid));
    }
    told += &format!(" with {} by {}", show(attempt.secret.reveal()), attempt.mechanism.name());
    let Claims { client_ip, client_port, session, ttl, .. } = &attempt.claims;
    if attempt.claims != Claims::default() {
        let address = client_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let session = session.as_deref().unwrap_or_default();
        told += &format!(
            " from {address} {} {session} {}",
            client_port.unwrap_or_default(),
            ttl.unwrap_or_default()
        );
    }
    told
}

fn unescape(text: &str) -> String {
    [("\\r", "\r"), ("\\n", "\n"), ("\\0", "\0"), ("\\t", "\t")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
