//! What an upstream says while we log in to it.

use super::args::{self, Args, Code, Text};
use super::line;
use crate::wire::Parsed;

/// The longest reply, its literals included. A line of capabilities has some hundred bytes.
pub const MAX_REPLY: usize = 16_384;

/// One line of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `OK`, `NO` or `BYE`: what a command came to.
    Done { status: Status, code: Option<Code<'a>>, text: Option<Text<'a>> },
    /// A capability with its value, or a challenge, which has none.
    Line { first: Text<'a>, second: Option<Text<'a>> },
}

/// RFC 5804 §1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    No,
    Bye,
}

/// What an upstream offers, as far as a login hangs on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub starttls: bool,
    /// Dovecot lists it for peers that it trusts.
    pub xclient: bool,
    /// RFC 5804 §1.7 does not say that it must be listed.
    pub sasl: Option<Sasl>,
}

/// The mechanisms that a proxy can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sasl {
    pub plain: bool,
    pub login: bool,
    pub xoauth2: bool,
    pub oauthbearer: bool,
}

/// How an upstream broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("reply too long")]
    TooLong,
    #[error("bare CR, bare LF or NUL in a reply")]
    Control,
    #[error("no ManageSieve reply")]
    Garbage,
}

/// Reads the reply at the front of `input`.
pub fn parse(input: &[u8]) -> Parsed<Reply<'_>, Error> {
    match line::cut(input, MAX_REPLY) {
        Parsed::More => Parsed::More,
        Parsed::Broken(line::Error::TooLong, used) => Parsed::Broken(Error::TooLong, used),
        Parsed::Broken(_, used) => Parsed::Broken(Error::Control, used),
        Parsed::Whole(line, used) => match read(line) {
            Ok(reply) => Parsed::Whole(reply, used),
            Err(_) => Parsed::Broken(Error::Garbage, used),
        },
    }
}

fn read(line: &[u8]) -> Result<Reply<'_>, args::Error> {
    let mut args = Args::new(line);
    if matches!(args.peek(), Some(b'"' | b'{')) {
        let first = args.string()?;
        let second = args.blank()?.then(|| args.string()).transpose()?;
        args.end()?;
        return Ok(Reply::Line { first, second });
    }
    let status = match args.atom()?.to_ascii_uppercase().as_slice() {
        b"OK" => Status::Ok,
        b"NO" => Status::No,
        b"BYE" => Status::Bye,
        _ => return Err(args::Error::Malformed),
    };
    let (code, text) = rest(args)?;
    Ok(Reply::Done { status, code, text })
}

/// What follows a status: RFC 5804 §4, `[SP "(" resp-code ")"] [SP string]`.
fn rest(mut args: Args<'_>) -> Result<(Option<Code<'_>>, Option<Text<'_>>), args::Error> {
    let (mut code, mut text) = (None, None);
    let mut more = args.blank()?;
    if more && args.peek() == Some(b'(') {
        code = Some(args.code()?);
        more = args.blank()?;
    }
    if more {
        text = Some(args.string()?);
    }
    args.end()?;
    Ok((code, text))
}

impl Capabilities {
    /// Takes in one line of capabilities.
    pub fn note(&mut self, name: Text<'_>, value: Option<Text<'_>>) {
        match name.to_vec().to_ascii_uppercase().as_slice() {
            b"STARTTLS" => self.starttls = true,
            b"XCLIENT" => self.xclient = true,
            b"SASL" => {
                let mut sasl = Sasl::default();
                let list = value.map(Text::to_vec).unwrap_or_default().to_ascii_uppercase();
                for word in list.split(|byte| *byte == b' ') {
                    match word {
                        b"PLAIN" => sasl.plain = true,
                        b"LOGIN" => sasl.login = true,
                        b"XOAUTH2" => sasl.xoauth2 = true,
                        b"OAUTHBEARER" => sasl.oauthbearer = true,
                        _ => {}
                    }
                }
                self.sasl = Some(sasl);
            }
            _ => {}
        }
    }
}

/// What must hold for any bytes at all.
#[doc(hidden)]
pub fn hold_for_any(input: &[u8]) {
    match parse(input) {
        Parsed::More => assert!(input.len() < MAX_REPLY, "more bytes cannot help"),
        Parsed::Broken(error, used) => {
            assert!((1..=input.len()).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Broken(error, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
        }
        Parsed::Whole(reply, used) => {
            assert!((1..=input.len().min(MAX_REPLY)).contains(&used));
            assert_eq!(parse(&input[..used]), Parsed::Whole(reply, used));
            assert_eq!(parse(&input[..used - 1]), Parsed::More);
            if let Reply::Line { first, second } = reply {
                Capabilities::default().note(first, second);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reply in one line: what it is, its code, its strings.
    fn shown(input: &str) -> String {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\\r\\n");
        let text = |text: Option<Text<'_>>| text.map_or("-".to_owned(), |it| show(&it.to_vec()));
        match parse(input.as_bytes()) {
            Parsed::More => "more".to_owned(),
            Parsed::Broken(error, used) => {
                assert_eq!(used, input.len());
                error.to_string()
            }
            Parsed::Whole(reply, used) => {
                assert_eq!(used, input.len());
                match reply {
                    Reply::Line { first, second } => {
                        format!("{} {}", text(Some(first)), text(second))
                    }
                    Reply::Done { status, code, text: said } => {
                        let code = show(code.map_or(b"-", |code| code.inside));
                        format!("{status:?} ({code}) {}", text(said))
                    }
                }
            }
        }
    }

    #[test]
    fn reads_each_reply() {
        for (input, want) in [
            ("OK\r\n", "Ok (-) -"),
            ("ok \r\n", "Ok (-) -"),
            ("OK \"Dovecot ready.\"\r\n", "Ok (-) Dovecot ready."),
            ("OK (TAG \"x\") \"Done\"\r\n", "Ok (TAG \"x\") Done"),
            ("OK (SASL \"cnNwYXV0aD0=\")\r\n", "Ok (SASL \"cnNwYXV0aD0=\") -"),
            ("NO (TRYLATER) \"a \\\"b\\\"\"\r\n", "No (TRYLATER) a \"b\""),
            ("NO {5}\r\na\r\nbc\r\n", "No (-) a\\r\\nbc"),
            ("Bye (REFERRAL \"sieve://h\") \"x\"\r\n", "Bye (REFERRAL \"sieve://h\") x"),
            ("\"STARTTLS\"\r\n", "STARTTLS -"),
            ("\"SASL\" \"\"\r\n", "SASL "),
            ("{4}\r\nSASL {5}\r\nPLAIN\r\n", "SASL PLAIN"),
            ("\"\"\r\n", " -"),
            ("\"VXNlcm5hbWU6\"\r\n", "VXNlcm5hbWU6 -"),
        ] {
            assert_eq!(shown(input), want, "{input:?}");
            for cut in 0..input.len() {
                assert_eq!(parse(&input.as_bytes()[..cut]), Parsed::More, "{input:?} {cut}");
            }
        }
    }

    #[test]
    fn names_each_breach() {
        let long = format!("NO \"{}\"\r\n", "x".repeat(MAX_REPLY));
        for (input, want) in [
            ("\r\n", "no ManageSieve reply"),
            ("+OK POP3 ready\r\n", "no ManageSieve reply"),
            ("* OK IMAP ready\r\n", "no ManageSieve reply"),
            ("OK ready\r\n", "no ManageSieve reply"),
            ("OK (TRYLATER \"x\"\r\n", "no ManageSieve reply"),
            ("OK \"x\" (TRYLATER)\r\n", "no ManageSieve reply"),
            ("OK\n", "bare CR, bare LF or NUL in a reply"),
            ("OK \"\0\"\r\n", "bare CR, bare LF or NUL in a reply"),
            ("NO {20000}\r\n", "reply too long"),
            (&long[..MAX_REPLY], "reply too long"),
        ] {
            assert_eq!(shown(input), want, "{:?}", &input[..input.len().min(40)]);
        }
    }

    #[test]
    fn capabilities_are_known_in_any_case() {
        let noted = |lines: &[(&'static str, Option<&'static str>)]| {
            let mut known = Capabilities::default();
            let text = |text: &'static str| Text::Quoted(text.as_bytes());
            lines.iter().for_each(|(name, value)| known.note(text(name), value.map(text)));
            known
        };
        let sasl = Sasl { plain: true, xoauth2: true, ..Sasl::default() };
        assert_eq!(
            noted(&[
                ("IMPlemENTATION", Some("Example1 ManageSieved v001")),
                ("SASl", Some("DIGEST-MD5 plain GSSAPI XOAUTH2")),
                ("StaRTTLS", None),
                ("XCLIENT", Some("ADDR PORT")),
            ]),
            Capabilities { starttls: true, xclient: true, sasl: Some(sasl) }
        );
        assert_eq!(noted(&[("SIEVE", Some("STARTTLS"))]), Capabilities::default());
        assert_eq!(noted(&[("SASL", Some(""))]).sasl, Some(Sasl::default()));
        assert_eq!(noted(&[("SASL", None)]).sasl, Some(Sasl::default()));
    }

    proptest! {
        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
            hold_for_any(&input);
        }

        #[test]
        fn holds_for_bytes_that_look_like_replies(
            input in "(OK|NO|BYE|\"SASL\"|\\{4\\}\r\nSASL)( \\([A-C]{1,3}( \"[a)]{0,3}\")?\\))?( \"[a\\\\\"]{0,4}\"| \\{[0-4]\\}\r\n[a\r\n]{0,4})?\r\n",
        ) {
            hold_for_any(input.as_bytes());
        }
    }
}
