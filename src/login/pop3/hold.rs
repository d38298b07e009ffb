//! What must hold for any peer at all, on both sides of a login. For `cargo test` and fuzz/.

use std::sync::Arc;

use super::back::Back;
use super::front::Front;
use crate::login::carry::{Then, advice, carry};
use crate::login::{
    Action, Ask, Guest, Identity, Kind, Mechanism, Mechanisms, Offer, Proof, Refusal, Secret,
    StartTls, Tell, Verdict,
};
use crate::wire::sasl;

/// However a client talks, every line of ours is POP3, nobody is ruled on in the clear where TLS
/// comes first, and no credential can end a line.
///
/// The first byte chooses the offer.
pub fn front(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    let starttls = [StartTls::Off, StartTls::On, StartTls::Only][usize::from(choice % 3)];
    let (has_tls, mut secure) = (choice & 4 != 0, choice & 8 != 0);
    let mechanisms = match choice & 16 {
        0 => Mechanisms::of(&[Mechanism::Plain, Mechanism::AuthLogin]),
        _ => Mechanisms::of(&Mechanism::ALL),
    };
    let offer = Offer { starttls, has_tls, mechanisms, ..Offer::default() };
    let guest = Guest { secure, ..Guest::default() };
    let carried = carry(Front::new(Arc::new(offer), guest), input, |action| match action {
        Action::Say(bytes) => {
            assert!(bytes.ends_with(b"\r\n"));
            let first = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let known = [&b"+OK"[..], b"-ERR ", b"+ "];
            assert!(known.iter().any(|word| first.starts_with(word)));
            Then::Go
        }
        Action::Breach(words) | Action::Note(words) | Action::OutOfStep(words) => {
            assert!(words.bytes().all(|byte| !byte.is_ascii_control()));
            Then::Go
        }
        Action::StartTls => {
            assert!(has_tls && !secure);
            secure = true;
            Then::Secured
        }
        Action::Consult(question) => {
            assert!(secure || starttls != StartTls::Only, "consulted in the clear");
            Then::Advised(advice(question))
        }
        Action::Rule(attempt) => {
            assert!(secure || starttls != StartTls::Only, "ruled on in the clear");
            assert_eq!(attempt.salt.is_some(), attempt.mechanism.brings_digest());
            let secret = attempt.secret.reveal();
            for part in [&*attempt.user, attempt.mailbox(), secret] {
                assert!(!part.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
            assert!(!attempt.user.is_empty());
            assert_eq!(secret.is_empty(), attempt.mechanism.proves_otherwise());
            let mut refusal = Refusal::new(Kind::BadCredentials);
            refusal.close = choice & 32 != 0;
            refusal.sasl = (choice & 64 != 0).then(|| "e30=".to_owned());
            Then::Ruled(Err(refusal))
        }
        Action::Close => Then::Over,
        Action::SayInConfidence(_) | Action::Admit | Action::Settle(_) => {
            panic!("a front that nobody was let in by does none of this")
        }
    });
    assert_eq!(carried.silent, 0, "every line is answered");
}

/// However an upstream talks, what is said is a line each time and not many; no password is said
/// in the clear or before TLS.
///
/// The first two bytes choose the ask.
pub fn back(input: &[u8]) {
    let [choice, odd, input @ ..] = input else { return };
    let tell = |bits: u8| [Tell::Auto, Tell::On, Tell::Off, Tell::Auto][usize::from(bits & 3)];
    let ask = Ask {
        authzid: (choice & 2 != 0).then(|| b"kurt"[..].into()),
        starttls: choice & 4 != 0,
        proof: match odd & 6 {
            2 => Proof::Bearer(Mechanism::XOauth2),
            4 => Proof::Bearer(Mechanism::OauthBearer),
            _ => Proof::Password,
        },
        pop3_xoip: tell(choice >> 4),
        xclient: tell(choice >> 6),
        ..Ask::new(
            [&b"mrose"[..], &[*odd][..usize::from(choice & 1)]].concat(),
            Secret::new("tanstaaf"),
            Identity::new(([192, 0, 2, 1], 49153).into(), "s1"),
        )
    };
    let (starttls, mut secured, mut said) = (ask.starttls, false, 0);
    carry(Back::new(ask), input, |action| {
        said += 1;
        assert!(said < 16, "a login is short");
        match action {
            Action::Say(bytes) => {
                one_line(&bytes);
                assert!(!bytes.windows(8).any(|part| part == b"tanstaaf"), "said aloud");
                Then::Go
            }
            Action::SayInConfidence(secret) => {
                assert!(secured || !starttls, "a password in the clear");
                one_line(secret.reveal());
                Then::Go
            }
            Action::StartTls => {
                secured = true;
                Then::Secured
            }
            Action::Settle(Verdict::Accepted(_)) => {
                assert!(secured || !starttls);
                Then::Over
            }
            Action::Settle(Verdict::Refused { sasl, .. }) => {
                let challenge = sasl.map(String::into_bytes).unwrap_or_default();
                assert!(sasl::decode(&challenge, &mut Vec::new()), "a challenge is base64");
                Then::Over
            }
            Action::Settle(Verdict::Misbehaved(_)) => Then::Over,
            _ => panic!("a back neither rules nor admits"),
        }
    });
}

fn one_line(bytes: &[u8]) {
    let controls = bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n' | 0)).count();
    assert!(bytes.ends_with(b"\r\n") && controls == 2, "more than one line");
}
