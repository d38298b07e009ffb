//! What must hold for any peer at all, on both sides of a login. For `cargo test` and fuzz/.

use std::sync::Arc;

use super::back::{Back, MAX_HEARD};
use super::front::Front;
use crate::login::carry::{Then, advice, carry};
use crate::login::{
    Action, Ask, Guest, Identity, Kind, Mechanism, Mechanisms, Offer, Proof, Refusal, Secret,
    StartTls, Tell, Verdict,
};
use crate::wire::Parsed;
use crate::wire::sieve::reply::{self, MAX_REPLY};
use crate::wire::sieve::{command, quote};

/// The longest that a back says for one of the [`asks`].
const MAX_SAID: usize = 2000;

/// `said` is whole replies of a server, and nothing else.
fn are_replies(mut said: &[u8]) {
    assert!(!said.is_empty());
    while !said.is_empty() {
        let Parsed::Whole(_, used) = reply::parse(said) else {
            panic!("no replies: {}", said.escape_ascii());
        };
        said = &said[used..];
    }
}

/// However a client talks, every line of ours is ManageSieve, nobody is ruled on in the clear where
/// TLS comes first, no credential can end a line, and what is said and kept is bounded.
///
/// The first byte chooses the offer.
pub fn front(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    let starttls = [StartTls::Off, StartTls::On, StartTls::Only][usize::from(choice % 3)];
    let (has_tls, mut secure) = (choice & 4 != 0, choice & 8 != 0);
    let trusted = choice & 32 != 0;
    let offer = Offer {
        starttls,
        has_tls,
        client_buffer: 64,
        max_errors: 20,
        mechanisms: match choice & 16 {
            0 => Mechanisms::of(&Mechanism::ALL),
            _ => Mechanisms::of(&[Mechanism::AuthLogin]),
        },
        ..Offer::default()
    };
    let mut said = 0;
    let guest = Guest { secure, trusted, salt: "1.2".into(), ..Guest::default() };
    let carried = carry(Front::new(Arc::new(offer), guest), input, |action| match action {
        Action::Say(bytes) => {
            said += bytes.len();
            are_replies(&bytes);
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
            for part in [&*attempt.user, attempt.mailbox(), attempt.secret.reveal()] {
                assert!(!part.iter().any(|byte| b"\r\n\0".contains(byte)));
            }
            assert!(!attempt.user.is_empty());
            let claims = attempt.claims;
            assert!(trusted || (claims.client_ip, claims.session) == (None, None));
            let mut no = Refusal::new(Kind::BadCredentials).with_text(&attempt.user);
            no.close = choice & 64 != 0;
            no.sasl = (choice & 128 != 0).then(|| "e30=".to_owned());
            Then::Ruled(Err(no))
        }
        Action::Close => Then::Over,
        Action::SayInConfidence(_) | Action::Admit | Action::Settle(_) => {
            panic!("a front that nobody was let in by does none of this")
        }
    });
    assert!(said <= 1000 + 300 * input.len(), "{said} bytes for {}", input.len());
    assert!(carried.left <= command::MAX_AUTHENTICATE, "{} bytes wait for more", carried.left);
}

/// However an upstream talks, the login is settled once or waits; what is said is bounded, and so
/// is what the client is told; no password is said in the clear or before TLS.
///
/// The first byte chooses what is asked.
pub fn back(input: &[u8]) {
    let Some((&choice, input)) = input.split_first() else { return };
    let ask = ask(choice);
    let (starttls, mut secure, mut said) = (ask.starttls, false, 0);
    let carried = carry(Back::new(ask), input, |action| match action {
        Action::Say(bytes) => {
            said += bytes.len();
            assert!(bytes.ends_with(b"\r\n") && said <= MAX_SAID);
            assert!(!bytes.windows(8).any(|part| part == b"tanstaaf"), "said aloud");
            assert!(bytes.iter().filter(|byte| byte.is_ascii_control()).count() == 2, "one line");
            Then::Go
        }
        Action::SayInConfidence(secret) => {
            let bytes = secret.reveal();
            said += bytes.len();
            assert!(bytes.ends_with(b"\r\n") && said <= MAX_SAID);
            assert!(bytes.iter().filter(|byte| byte.is_ascii_control()).count() == 2, "one line");
            assert!(secure || !starttls, "said in the clear");
            Then::Go
        }
        Action::StartTls => {
            assert!(starttls && !secure);
            secure = true;
            Then::Secured
        }
        Action::Settle(verdict) => {
            let (untagged, text) = match verdict {
                Verdict::Accepted(granted) => {
                    assert!(secure || !starttls);
                    let text = granted.text.unwrap_or_default();
                    are_replies(&[b"OK ", &text[..], b"\r\n"].concat());
                    (granted.untagged, text)
                }
                Verdict::Refused { text, untagged, sasl, .. } => {
                    let is_base64 =
                        |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
                    assert!(sasl.is_none_or(|sasl| sasl.bytes().all(is_base64)));
                    (untagged, text)
                }
                Verdict::Misbehaved(what) => (Vec::new(), what.into_bytes()),
            };
            if !untagged.is_empty() {
                are_replies(&untagged);
            }
            assert!(untagged.len() <= 2 * MAX_HEARD && text.len() <= 3 * quote::WORDS_MAX);
            assert!(!text.iter().any(u8::is_ascii_control), "one line");
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
    assert!(carried.left < MAX_REPLY, "{} bytes wait for more", carried.left);
}

fn ask(choice: u8) -> Ask {
    let client = std::net::SocketAddr::from(([192, 0, 2, 1], 4711));
    let session = if choice & 128 == 0 { "s1" } else { "s1\r\n(\"" };
    Ask {
        authzid: (choice & 1 != 0).then(|| b"boss".as_slice().into()),
        proof: match choice & 6 {
            2 => Proof::Bearer(Mechanism::XOauth2),
            4 => Proof::Bearer(Mechanism::OauthBearer),
            _ => Proof::Password,
        },
        starttls: choice & 8 != 0,
        xclient: [Tell::Auto, Tell::On, Tell::Off, Tell::Auto][usize::from(choice >> 4 & 3)],
        ..Ask::new(
            if choice & 64 == 0 { b"mrose".as_slice() } else { "m\u{fc}\"".as_bytes() },
            Secret::new("tanstaaf"),
            Identity::new(client, session),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::login::sieve::back::hold_for_any as back;
    use crate::login::sieve::front::hold_for_any as front;

    proptest! {
        #[test]
        fn the_front_holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
            front(&input);
        }

        #[test]
        fn the_front_holds_for_bytes_that_look_like_sessions(
            choice in any::<u8>(),
            input in "((NOOP|STARTTLS|CAPABILITY|XCLIENT TTL=[0-9]|X|AUTHENTICATE \"(PLAIN|LOGIN|XOAUTH2|CRAM-MD5|EXTERNAL)\"( \"(AGEAYg==|YQ==|=|dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==)?\")?)( \"[a-c\\\\]{0,4}\"| \\{[0-9]\\+?\\}\r\n[a-c\r\n\0]{0,5})?\r\n|\"\\*\"\r\n|\"YQ==\"\r\n|\\{8\\+\\}\r\nAGEAYg==\r\n){0,12}",
        ) {
            front(&[&[choice], input.as_bytes()].concat());
        }

        #[test]
        fn the_back_holds_for_any_bytes(
            choice in any::<u8>(),
            input in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            back(&[&[choice], &b"OK\r\n"[..], &input].concat());
        }

        #[test]
        fn the_back_holds_for_bytes_that_look_like_replies(
            choice in any::<u8>(),
            input in "(\"SASL\" \"(PLAIN |LOGIN |XOAUTH2 |OAUTHBEARER ){0,2}\"\r\n)?(\"STARTTLS\"\r\n)?(\"XCLIENT\"\r\n)?OK\r\n((OK|NO|BYE)( \\((TRYLATER|SASL \"e30=\"|X \\{3\\}\r\na\r\n)\\))?( \"[a-c\\\\]{0,3}\"| \\{4\\}\r\na\r\nb)?\r\n|\"(e30=|x|)\"\r\n|\"A\" \"b\"\r\n){0,8}",
        ) {
            back(&[&[choice], input.as_bytes()].concat());
        }
    }
}
