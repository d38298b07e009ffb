//! What must hold for any peer at all, on both sides of a login. For `cargo test` and fuzz/.

use std::sync::Arc;

use super::back::{Back, MAX_HEARD};
use super::front::Front;
use crate::login::carry::{Then, advice, carry};
use crate::login::{
    Action, Ask, Guest, Identity, Kind, Mechanism, Mechanisms, Offer, Proof, Refusal, Secret,
    StartTls, Tell,
};
use crate::wire::sasl;

/// The longest that a back says for one of the [`asks`].
const MAX_SAID: usize = 2000;

/// However a client talks, every line of ours is IMAP, nobody is ruled on in the clear where TLS
/// comes first, no credential can end a line, and what is said and kept is bounded.
///
/// The first byte chooses the offer.
pub fn front(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    let starttls = [StartTls::Off, StartTls::On, StartTls::Only][usize::from(choice % 3)];
    let (has_tls, mut secure) = (choice & 4 != 0, choice & 8 != 0);
    let offer = Offer {
        starttls,
        has_tls,
        client_buffer: 64,
        max_errors: 20,
        mechanisms: match choice & 16 {
            0 => Mechanisms::of(&Mechanism::ALL),
            _ => Mechanisms::of(&[Mechanism::AuthLogin]),
        },
        capabilities: (choice & 32 != 0).then(|| "LITERAL-".to_owned()).into_iter().collect(),
        ..Offer::default()
    };
    let mut said = 0;
    let guest = Guest { secure, ..Guest::default() };
    let carried = carry(Front::new(Arc::new(offer), guest), input, |action| match action {
        Action::Say(bytes) => {
            said += bytes.len();
            assert!(bytes.ends_with(b"\r\n"));
            let controls = bytes.iter().filter(|byte| byte.is_ascii_control()).count();
            let ends = bytes.windows(2).filter(|two| *two == b"\r\n").count();
            assert_eq!(controls, 2 * ends, "what is said has whole lines only");
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
        Action::Rule(attempt) => {
            assert!(secure || starttls != StartTls::Only, "ruled on in the clear");
            let secret = attempt.secret.reveal();
            for part in [&*attempt.user, attempt.mailbox(), secret] {
                assert!(!part.iter().any(|byte| b"\r\n\0".contains(byte)));
            }
            assert!(!attempt.user.is_empty());
            assert_eq!(secret.is_empty(), attempt.mechanism.proves_otherwise());
            let mut refusal = Refusal::new(Kind::BadCredentials);
            refusal.close = choice & 64 != 0;
            refusal.sasl = (choice & 128 != 0).then(|| "e30=".to_owned());
            Then::Ruled(Err(refusal))
        }
        Action::Consult(question) => {
            assert!(secure || starttls != StartTls::Only, "consulted in the clear");
            Then::Advised(advice(question))
        }
        Action::Close => Then::Over,
        Action::SayInConfidence(_) | Action::Admit | Action::Settle(_) => {
            panic!("a front that nobody was let in by does none of this")
        }
    });
    assert!(said <= 300 + 200 * input.len(), "{said} bytes for {}", input.len());
    assert!(carried.left <= sasl::MAX_ENCODED + 2, "{} bytes wait for more", carried.left);
}

/// However an upstream talks, the login is settled once or waits; what is said is bounded, and so
/// is what the client is told; no password is said in the clear or before TLS.
///
/// The first byte chooses what is asked.
pub fn back(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    let ask = ask(choice);
    let (starttls, mut secure, mut said) = (ask.starttls, false, 0);
    carry(Back::new(ask), input, |action| match action {
        Action::Say(bytes) => {
            said += bytes.len();
            assert!(bytes.ends_with(b"\r\n") && said <= MAX_SAID);
            assert!(!bytes.windows(8).any(|part| part == b"tanstaaf"), "said aloud");
            Then::Go
        }
        Action::SayInConfidence(secret) => {
            said += secret.reveal().len();
            assert!(secret.reveal().ends_with(b"\r\n") && said <= MAX_SAID);
            assert!(secure || !starttls, "said in the clear");
            Then::Go
        }
        Action::StartTls => {
            assert!(starttls && !secure);
            secure = true;
            Then::Secured
        }
        Action::Settle(verdict) => {
            use crate::login::Verdict::{Accepted, Misbehaved, Refused};
            let (untagged, text) = match verdict {
                Accepted(granted) => (granted.untagged, granted.text.unwrap_or_default()),
                Refused { text, untagged, sasl, .. } => {
                    let challenge = sasl.map(String::into_bytes).unwrap_or_default();
                    assert!(sasl::decode(&challenge, &mut Vec::new()), "a challenge is base64");
                    (untagged, text)
                }
                Misbehaved(what) => (Vec::new(), what.into_bytes()),
            };
            assert!(untagged.is_empty() || untagged.ends_with(b"\r\n"));
            assert!(untagged.len() <= MAX_HEARD);
            assert!(!text.iter().any(|byte| b"\r\n\0".contains(byte)), "one line");
            Then::Over
        }
        Action::Breach(_)
        | Action::OutOfStep(_)
        | Action::Note(_)
        | Action::Consult(_)
        | Action::Rule(_)
        | Action::Admit
        | Action::Close => panic!("a back does none of this"),
    });
}

fn ask(choice: u8) -> Ask {
    let user = if choice & 1 == 0 { "mrose" } else { "m\u{fc}" };
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
    Ask {
        authzid: (choice & 2 != 0).then(|| b"boss".as_slice().into()),
        starttls: choice & 4 != 0,
        imap_id: if choice & 8 == 0 { Tell::Auto } else { Tell::Off },
        dovecot: choice & 16 != 0,
        proof: match choice >> 6 {
            0 | 1 => Proof::Password,
            2 => Proof::Bearer(Mechanism::XOauth2),
            _ => Proof::Bearer(Mechanism::OauthBearer),
        },
        ..Ask::new(
            user.as_bytes(),
            Secret::new("tanstaaf"),
            Identity {
                agent: (choice & 32 != 0).then(|| "x\")\r\n".to_owned()),
                ..Identity::new(client, "s1")
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::login::imap::back::hold_for_any as back;
    use crate::login::imap::front::hold_for_any as front;

    proptest! {
        #[test]
        fn the_front_holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
            front(&input);
        }

        #[test]
        fn the_front_holds_for_bytes_that_look_like_sessions(
            choice in any::<u8>(),
            input in "(a (LOGIN|ID|NOOP|STARTTLS|AUTHENTICATE (PLAIN|LOGIN|CRAM-MD5|EXTERNAL|SCRAM-SHA-256|XOAUTH2|OAUTHBEARER|GSSAPI)|X)( [a-cA+={}()\"0-9\\\\]{0,6}| \\{[0-9]\\+?\\}\r\n[a-c\r\n\0]{0,5}){0,3}\r\n|\\*\r\n|\r\n|YQ==\r\n|AGEAYg==\r\n|dXNlcj1hAWF1dGg9QmVhcmVyIGIBAQ==\r\n|bixhPWEsAWF1dGg9QmVhcmVyIGIBAQ==\r\n|biwsbj1hLHI9eA==\r\n){0,12}",
        ) {
            front(&[&[choice], input.as_bytes()].concat());
        }

        #[test]
        fn the_back_holds_for_any_bytes(
            choice in any::<u8>(),
            input in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            back(&[&[choice], &b"* OK x\r\n"[..], &input].concat());
        }

        #[test]
        fn the_back_holds_for_bytes_that_look_like_replies(
            choice in any::<u8>(),
            input in "(\\* OK (\\[CAPABILITY IMAP4rev1 (AUTH=(PLAIN|XOAUTH2|OAUTHBEARER) )?(SASL-IR )?STARTTLS ID\\] )?x\r\n)?((\\*|g[1-4]|\\+) (OK|NO|BAD|BYE|ID|CAPABILITY IMAP4rev1 AUTH=PLAIN|LIST \\{3\\}|PREAUTH)( \\[(ALERT|LIMIT|CAPABILITY IMAP4rev1 LITERAL\\+)\\])? [a-c]{0,3}\r\n){0,8}",
        ) {
            back(&[&[choice], input.as_bytes()].concat());
        }
    }
}
