//! The upstream of a play.

use crate::support::FakeUpstream;

/// An upstream by rules: what a line begins with, and what is said to it. `TAG` stands for IMAP's
/// tag; the first rule that fits counts. Every line that it hears is kept as it came.
#[derive(Clone)]
pub struct Backend {
    pub greeting: &'static str,
    pub rules: Vec<(&'static str, &'static str)>,
}

impl Backend {
    pub fn imap() -> Self {
        Self {
            greeting: "* OK ready",
            rules: vec![
                ("LOGIN", "TAG OK in"),
                ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK done"),
                ("ID", "* ID NIL\r\nTAG OK done"),
                ("LOGOUT", "* BYE bye\r\nTAG OK done"),
                ("", "TAG OK done"),
            ],
        }
    }

    pub fn pop3() -> Self {
        Self {
            greeting: "+OK ready",
            rules: vec![
                ("USER", "+OK"),
                ("PASS", "+OK in"),
                ("CAPA", "+OK\r\nUSER\r\n."),
                ("", "+OK done"),
            ],
        }
    }

    pub fn smtp() -> Self {
        Self {
            greeting: "220 up.test ESMTP",
            rules: vec![
                (
                    "EHLO",
                    "250-up.test\r\n250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN\r\n250 AUTH PLAIN LOGIN",
                ),
                ("HELO", "250 up.test"),
                ("XCLIENT", "220 up.test ESMTP"),
                ("AUTH", "235 2.7.0 in"),
                ("", "250 2.0.0 ok"),
            ],
        }
    }

    /// Says `reply` to what begins with `start`, whatever the other rules have.
    pub fn says(mut self, start: &'static str, reply: &'static str) -> Self {
        self.rules.insert(0, (start, reply));
        self
    }

    pub fn greets(self, greeting: &'static str) -> Self {
        Self { greeting, ..self }
    }

    pub fn start(&self) -> FakeUpstream {
        let Self { greeting, rules } = self.clone();
        let is_imap = rules.iter().any(|(_, reply)| reply.contains("TAG"));
        FakeUpstream::start(move |talk| {
            talk.try_say(greeting)?;
            loop {
                let mut line = talk.try_line()?;
                while is_imap && line.ends_with('}') {
                    if !line.ends_with("+}") {
                        talk.try_say("+ go on")?;
                    }
                    line += "\r\n";
                    line += &talk.try_line()?;
                }
                let (tag, said) = match is_imap {
                    true => line.split_once(' ').unwrap_or((&line, "")),
                    false => ("", &*line),
                };
                let said = said.to_ascii_uppercase();
                let rule = rules.iter().find(|(start, _)| said.starts_with(start));
                if let Some((_, reply)) = rule.filter(|(_, reply)| *reply != "<silence>") {
                    talk.try_say(&reply.replace("TAG", tag))?;
                }
            }
        })
    }
}
