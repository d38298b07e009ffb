//! Upstreams that behave as told, for the protocols whose real servers behave too well: SMTP, LMTP
//! and ManageSieve. What they hear is in [`FakeUpstream::heard`].

use std::io;

use crate::dialog::Tongue;
use crate::support::{FakeUpstream, Manners, Talk, encoded, imap, pop3};

/// How a scripted SMTP or LMTP server behaves. The default is polite, and knows little.
#[derive(Clone, Debug)]
pub struct Mta {
    pub greeting: &'static str,
    /// What EHLO and LHLO list.
    pub lists: Vec<String>,
    /// The answers to XCLIENT, AUTH, MAIL, RCPT, and the end of the data.
    pub xclient: &'static str,
    pub auth: &'static str,
    pub mail: &'static str,
    pub rcpt: &'static str,
    pub end: &'static str,
    /// Said to AUTH before its answer, and answered by the client.
    pub challenge: Option<&'static str>,
}

impl Mta {
    /// One that lists these.
    pub fn listing(lists: &[&str]) -> Self {
        Self {
            greeting: "220 fake.test ESMTP",
            lists: lists.iter().map(|line| (*line).to_owned()).collect(),
            xclient: "220 fake.test ESMTP",
            auth: "235 2.7.0 in",
            mail: "250 2.1.0 sender",
            rcpt: "250 2.1.5 recipient",
            end: "250 2.0.0 queued",
            challenge: None,
        }
    }

    pub fn start(self) -> FakeUpstream {
        FakeUpstream::start(move |talk| self.serve(talk))
    }

    /// One connection.
    pub fn serve(&self, talk: &mut Talk) -> io::Result<()> {
        talk.try_say(self.greeting)?;
        loop {
            let line = talk.try_line()?;
            let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "LHLO" => {
                    let mut lines = vec!["fake.test".to_owned()];
                    lines.extend(self.lists.iter().cloned());
                    let last = lines.len() - 1;
                    for (index, line) in lines.iter().enumerate() {
                        let mark = if index == last { ' ' } else { '-' };
                        talk.try_say(&format!("250{mark}{line}"))?;
                    }
                }
                "HELO" => talk.try_say("250 fake.test")?,
                "XCLIENT" => talk.try_say(self.xclient)?,
                "AUTH" => {
                    let mut asked = usize::from(line.split(' ').count() < 3);
                    asked += usize::from(line.to_ascii_uppercase().starts_with("AUTH LOGIN"));
                    for _ in 0..asked {
                        talk.try_say("334 ")?;
                        talk.try_line()?;
                    }
                    if let Some(challenge) = self.challenge {
                        talk.try_say(&format!("334 {}", encoded(challenge)))?;
                        talk.try_line()?;
                    }
                    talk.try_say(self.auth)?;
                }
                "MAIL" => talk.try_say(self.mail)?,
                "RCPT" => talk.try_say(self.rcpt)?,
                "DATA" => {
                    talk.try_say("354 go on")?;
                    while talk.try_line()? != "." {}
                    talk.try_say(self.end)?;
                }
                "RSET" | "NOOP" => talk.try_say("250 2.0.0 fine")?,
                "QUIT" => return talk.try_say("221 2.0.0 bye"),
                _ => talk.try_say("500 5.5.1 what?")?,
            }
        }
    }
}

/// A ManageSieve server that offers these mechanisms, and answers logins so.
pub fn sieve(
    mechanisms: &'static str,
    challenge: Option<&'static str>,
    answer: &'static str,
) -> impl Fn(&mut Talk) -> io::Result<()> {
    move |talk| {
        let list = |talk: &mut Talk| {
            talk.try_say("\"IMPLEMENTATION\" \"fake\"")?;
            talk.try_say(&format!("\"SASL\" \"{mechanisms}\""))?;
            talk.try_say("OK \"ready\"")
        };
        list(talk)?;
        loop {
            let mut line = talk.try_line()?;
            while line.ends_with("+}") {
                line = talk.try_line()?;
            }
            if line.starts_with("AUTHENTICATE") || !line.contains(' ') && line.len() > 20 {
                if let Some(challenge) = challenge {
                    talk.try_say(&format!("\"{}\"", encoded(challenge)))?;
                    talk.try_line()?;
                }
                talk.try_say(answer)?;
            } else if line == "LOGOUT" {
                return talk.try_say("OK \"bye\"");
            } else {
                talk.try_say("OK \"done\"")?;
            }
        }
    }
}

/// A server of that protocol that lets everybody in, by password or token.
pub fn welcoming(tongue: Tongue) -> FakeUpstream {
    let words = "AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER";
    match tongue {
        Tongue::Imap => FakeUpstream::start(imap(Manners {
            greeting: format!("* OK [CAPABILITY IMAP4rev1 SASL-IR {words}] ready"),
            capabilities: format!("IMAP4rev1 SASL-IR {words}"),
            ..Manners::imap()
        })),
        Tongue::Pop3 => FakeUpstream::start(pop3(Manners {
            capabilities: "USER SASL:PLAIN:XOAUTH2:OAUTHBEARER".to_owned(),
            ..Manners::pop3()
        })),
        Tongue::Smtp => Mta::listing(&["AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER"]).start(),
        Tongue::Sieve => FakeUpstream::start(sieve("PLAIN XOAUTH2 OAUTHBEARER", None, "OK \"in\"")),
    }
}

/// One that challenges with these words, and then refuses.
pub fn refusing(tongue: Tongue, challenge: &'static str) -> FakeUpstream {
    let words = "AUTH=PLAIN AUTH=XOAUTH2 AUTH=OAUTHBEARER";
    let before_answer = vec![format!("+ {}", encoded(challenge))];
    match tongue {
        Tongue::Imap => FakeUpstream::start(imap(Manners {
            greeting: format!("* OK [CAPABILITY IMAP4rev1 SASL-IR {words}] ready"),
            before_answer,
            answer: "NO [AUTHENTICATIONFAILED] no".to_owned(),
            ..Manners::imap()
        })),
        Tongue::Pop3 => FakeUpstream::start(pop3(Manners {
            capabilities: "USER SASL:PLAIN:XOAUTH2:OAUTHBEARER".to_owned(),
            before_answer,
            answer: "-ERR [AUTH] no".to_owned(),
            ..Manners::pop3()
        })),
        Tongue::Smtp => Mta {
            challenge: Some(challenge),
            auth: "535 5.7.8 no",
            ..Mta::listing(&["AUTH PLAIN XOAUTH2 OAUTHBEARER"])
        }
        .start(),
        Tongue::Sieve => {
            FakeUpstream::start(sieve("PLAIN XOAUTH2 OAUTHBEARER", Some(challenge), "NO \"no\""))
        }
    }
}
