//! What must hold for any peer at all, on both sides of a login. For `cargo test` and fuzz/.

use std::sync::Arc;

use super::back::Back;
use super::front::Front;
use super::{Flavour, Lmtp, Smtp};
use crate::login::carry::{Then, advice, carry};
use crate::login::{
    Action, Ask, Envelope, Granted, Guest, Helo, Identity, Kind, Mechanism, Mechanisms, Offer,
    Proof, Refusal, Secret, SmtpAuth, StartTls, Tell, Verdict,
};
use crate::wire::Parsed;
use crate::wire::sasl;
use crate::wire::smtp::command::{self, Command, MAX_LINE};
use crate::wire::smtp::reply;

/// The longest that a back says for one of the [`asks`].
const MAX_SAID: usize = 4000;

const SASL: [Mechanism; 8] = [
    Mechanism::Plain,
    Mechanism::AuthLogin,
    Mechanism::CramMd5,
    Mechanism::External,
    Mechanism::ScramSha256,
    Mechanism::XOauth2,
    Mechanism::OauthBearer,
    Mechanism::Gssapi,
];

/// However a client talks, it is answered in whole replies, nobody is ruled on in the clear where
/// TLS comes first, and nothing that is ruled on can end a line.
///
/// The first two bytes choose the offer and what becomes of a ruling.
pub fn front(input: &[u8]) {
    let [choice, fate, input @ ..] = input else { return };
    if choice & 128 == 0 {
        front_of::<Smtp>(*choice, *fate, input);
    } else {
        front_of::<Lmtp>(*choice, *fate, input);
    }
}

fn front_of<F: Flavour>(choice: u8, fate: u8, input: &[u8]) {
    let starttls = [StartTls::Off, StartTls::On, StartTls::Only][usize::from(choice % 3)];
    let (has_tls, mut secure) = (choice & 4 != 0, choice & 8 != 0);
    let mut mechanisms = match choice & 64 {
        0 => Mechanisms::of(&[Mechanism::Plain, Mechanism::AuthLogin]),
        _ => Mechanisms::of(&SASL),
    };
    if choice & 16 != 0 {
        mechanisms = mechanisms.with(Mechanism::Unasked);
    }
    let relays = F::IS_LMTP || mechanisms.has(Mechanism::Unasked);
    let offer = Offer {
        starttls,
        has_tls,
        mechanisms,
        client_buffer: 64,
        capabilities: vec!["SIZE 10".to_owned(), "auth NOTHING".to_owned()],
        ..Offer::default()
    };
    let guest = Guest { secure, trusted: choice & 32 != 0, ..Guest::default() };
    let carried = carry(Front::<F>::new(Arc::new(offer), guest), input, |action| match action {
        Action::Say(bytes) => {
            let whole =
                matches!(reply::parse(&bytes), Parsed::Whole(_, used) if used == bytes.len());
            assert!(whole, "{}", bytes.escape_ascii());
            Then::Go
        }
        Action::Breach(words) | Action::Note(words) | Action::OutOfStep(words) => {
            assert!(words.bytes().all(|byte| !byte.is_ascii_control()));
            Then::Go
        }
        Action::StartTls => {
            assert!(has_tls && !secure && starttls != StartTls::Off);
            secure = true;
            Then::Secured
        }
        Action::Consult(question) => {
            assert!(secure || starttls != StartTls::Only, "consulted in the clear");
            Then::Advised(advice(question))
        }
        Action::Rule(attempt) => {
            assert!(secure || starttls != StartTls::Only, "ruled on in the clear");
            let helo = attempt.claims.helo.map(|helo| helo.name.into_bytes()).unwrap_or_default();
            assert!(helo.iter().all(u8::is_ascii_graphic));
            let ends = |byte: &u8| b"\r\n\0".contains(byte);
            match attempt.envelope {
                None => {
                    assert!(!F::IS_LMTP && !attempt.user.is_empty());
                    let secret = attempt.secret.reveal();
                    assert_eq!(secret.is_empty(), attempt.mechanism.proves_otherwise());
                    let parts = [&*attempt.user, attempt.secret.reveal()];
                    assert!(!parts.into_iter().flatten().any(ends));
                }
                Some(envelope) => {
                    assert!(relays && attempt.mechanism == Mechanism::Unasked);
                    let parts = [envelope.mail, envelope.rcpt];
                    assert!(!parts.iter().flatten().any(u8::is_ascii_control));
                }
            }
            let mut refusal = Refusal::new(Kind::BadCredentials).with_text([fate, fate]);
            refusal.close = fate & 1 != 0;
            refusal.sasl = (fate & 2 != 0).then(|| "e30=".to_owned());
            refusal.code = (fate & 4 != 0).then(|| "421 4.7.0".to_owned());
            let text = (fate & 16 != 0).then(|| vec![b'2', b'5', b'0', b' ', fate]);
            Then::Ruled(match fate & 8 {
                0 => Err(refusal),
                _ => Ok(Granted { text, ..Granted::default() }),
            })
        }
        Action::Close | Action::Admit => Then::Over,
        Action::SayInConfidence(_) | Action::Settle(_) => panic!("a front does none of this"),
    });
    assert_eq!(carried.silent, 0, "every line is answered");
    assert!(carried.left <= sasl::MAX_ENCODED + 64, "{} bytes wait for more", carried.left);
}

/// However an upstream talks, the login is settled once or waits; every command is one line, and no
/// password is said aloud, or in the clear where TLS was asked for.
///
/// The first two bytes choose what is asked.
pub fn back(input: &[u8]) {
    let [choice, other, input @ ..] = input else { return };
    if choice & 128 == 0 {
        back_of::<Smtp>(&ask(*choice, *other), input);
    } else {
        back_of::<Lmtp>(&ask(*choice, *other), input);
    }
}

fn back_of<F: Flavour>(ask: &Ask, input: &[u8]) {
    let (mut secure, mut said) = (false, 0);
    carry(Back::<F>::new(ask.clone()), input, |action| match action {
        Action::Say(bytes) => {
            said += bytes.len();
            assert!(said <= MAX_SAID);
            if !matches!(&bytes[..], b"AQ==\r\n" | b"\r\n") {
                let Parsed::Whole(command, used) = command::parse(&bytes, MAX_LINE) else {
                    panic!("no command: {}", bytes.escape_ascii());
                };
                assert_eq!(used, bytes.len(), "more than one line");
                assert!(!matches!(
                    command,
                    Command::Other(_) | Command::Auth { initial: Some(_), .. }
                ));
            }
            Then::Go
        }
        Action::SayInConfidence(secret) => {
            said += secret.reveal().len();
            let controls = secret.reveal().iter().filter(|byte| byte.is_ascii_control()).count();
            assert!(secret.reveal().ends_with(b"\r\n") && controls == 2 && said <= MAX_SAID);
            assert!(secure || !ask.starttls, "said in the clear");
            Then::Go
        }
        Action::StartTls => {
            assert!(ask.starttls && !secure);
            secure = true;
            Then::Secured
        }
        Action::Settle(Verdict::Accepted(granted)) => {
            assert!(secure || !ask.starttls);
            assert_eq!(granted.text.is_some(), ask.envelope.is_some());
            let offers = granted.offers.iter();
            assert!(offers.flat_map(|one| one.bytes()).all(|byte| matches!(byte, b' '..=b'~')));
            Then::Over
        }
        Action::Settle(Verdict::Refused { text, .. }) => {
            assert!(reply::refuses(&[&text[..], b" "].concat()));
            assert!(!text.iter().any(|byte| b"\r\n\0".contains(byte)), "one line");
            Then::Over
        }
        Action::Settle(Verdict::Misbehaved(_)) => Then::Over,
        _ => panic!("a back does none of this"),
    });
}

fn ask(choice: u8, other: u8) -> Ask {
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
    let extended = choice & 2 != 0;
    let helo = Helo { name: "client\r\n.example".to_owned(), extended };
    let good = Helo { name: "client.example".to_owned(), extended };
    let envelope = Envelope {
        mail: b"MAIL FROM:<a@b>".as_slice().into(),
        rcpt: b"RCPT TO:<c@d>".as_slice().into(),
    };
    let helos = [None, Some(helo), Some(good.clone()), Some(good)];
    let auths = [SmtpAuth::Off, SmtpAuth::Any, SmtpAuth::Plain, SmtpAuth::Login];
    let proof = [
        Proof::Password,
        Proof::Password,
        Proof::Bearer(Mechanism::XOauth2),
        Proof::Bearer(Mechanism::OauthBearer),
    ];
    Ask {
        authzid: (choice & 1 != 0).then(|| b"boss".as_slice().into()),
        starttls: choice & 4 != 0,
        xclient: [Tell::Auto, Tell::On, Tell::Off, Tell::On][usize::from(choice >> 3 & 3)],
        envelope: (choice & 32 != 0).then(|| Box::new(envelope)),
        smtp_auth: auths[usize::from(other & 3)],
        proof: proof[usize::from(other >> 2 & 3)],
        ..Ask::new(
            b"mrose".as_slice(),
            Secret::new("tanstaaf".repeat(1 + usize::from(other >> 6) * 32)),
            Identity {
                helo: helos[usize::from(other >> 4 & 3)].clone(),
                host: if choice & 64 == 0 { "a.example" } else { "a\r\nb" }.to_owned(),
                ..Identity::new(client, "s1")
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::login::smtp::back::hold_for_any as back;
    use crate::login::smtp::front::hold_for_any as front;

    proptest! {
        #[test]
        fn the_front_holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
            front(&input);
        }

        #[test]
        fn the_front_holds_for_bytes_that_look_like_sessions(
            choice in any::<u8>(),
            fate in any::<u8>(),
            input in "((EHLO|HELO|LHLO|NOOP|RSET|STARTTLS|AUTH (PLAIN|LOGIN)|MAIL FROM:|RCPT TO:<|XCLIENT (ADDR|NAME|HELO)=|X)( ?[a-cA+={}<>\"1-9\\\\\r\n]{0,6}){0,2}\r\n|\\*\r\n|YQ==\r\n|AGEAYg==\r\n){0,12}",
        ) {
            front(&[&[choice, fate], input.as_bytes()].concat());
        }

        #[test]
        fn the_back_holds_for_any_bytes(
            choice in any::<[u8; 2]>(),
            input in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            back(&[&choice[..], b"220 x\r\n", &input].concat());
        }

        #[test]
        fn the_back_holds_for_bytes_that_look_like_replies(
            choice in any::<[u8; 2]>(),
            input in "(220 x\r\n)?(250-x\r\n(250-(STARTTLS|AUTH PLAIN XOAUTH2|AUTH=LOGIN|PIPELINING|XCLIENT NAME HELO LOGIN|SIZE 1)\r\n){0,4}250 y\r\n|(220|235|250|334|354|421|454|500|535|550)[ -]?[a-c=]{0,4}\r\n){0,9}",
        ) {
            back(&[&choice[..], input.as_bytes()].concat());
        }
    }
}
