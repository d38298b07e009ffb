//! What clients hear, played against the fronts.

use std::sync::Arc;

use super::*;
use crate::login::play::Player;
use crate::login::{
    Dialogue, Event, Guest, Mechanism, Mechanisms, Offer, Refusal, imap, pop3, sieve, smtp,
};

const TEXT: &str = "Login rejected for this user";

/// What a front does when it hears `script` and its login is then refused; its greeting left out.
fn heard<D: Dialogue>(
    front: impl FnOnce(Arc<Offer>, Guest) -> D,
    script: &[&str],
    refusal: Refusal,
) -> Vec<String> {
    let offer = Offer { mechanisms: Mechanisms::of(&Mechanism::ALL), ..Offer::default() };
    let guest = Guest { secure: true, ..Guest::default() };
    let mut player = Player::open(front(Arc::new(offer), guest), 'S');
    for line in script {
        player.told.clear();
        player.hear(format!("{line}\r\n").as_bytes());
    }
    assert!(player.waits, "{:?}", player.told);
    player.told.clear();
    player.happens(Event::Ruled(Err(refusal)));
    player.told.into_iter().collect()
}

fn plain(protocol: &str, denied: &Denied) -> Vec<String> {
    let refusal = denied.refusal(protocol, Mechanism::Plain);
    const ANSWER: &str = "AHRpbQB0YW5zdGFhZg==";
    match protocol {
        "imap" => heard(imap::front::Front::new, &["a AUTHENTICATE PLAIN", ANSWER], refusal),
        "pop3" => heard(pop3::front::Front::new, &["AUTH PLAIN", ANSWER], refusal),
        "sieve" => {
            let line = format!("AUTHENTICATE \"PLAIN\" \"{ANSWER}\"");
            heard(sieve::front::Front::new, &[&line], refusal)
        }
        "smtp" => {
            let line = format!("AUTH PLAIN {ANSWER}");
            heard(smtp::front::Front::<smtp::Smtp>::new, &["EHLO c.example", &line], refusal)
        }
        other => panic!("teach this test {other}"),
    }
}

fn denied(manner: Manner, text: Option<&str>) -> Denied {
    let text = text.map(Into::into);
    Denied { by: By::User, manner, text, wait: None, retry: None, count: 6, limit: 5 }
}

#[test]
fn a_connection_too_many_hears_zimbras_bytes_in_place_of_a_greeting() {
    for (protocol, want) in [
        (
            "imap",
            "* BYE Login rejected from this IP\r\n* BYE IMAP server terminating connection\r\n",
        ),
        ("pop3", "-ERR Login rejected from this IP\r\n"),
        ("smtp", "421 4.7.0 Login rejected from this IP\r\n"),
        ("lmtp", "421 4.7.0 Login rejected from this IP\r\n"),
        ("sieve", "BYE \"Login rejected from this IP\"\r\n"),
    ] {
        let denied = denied(Manner::Zimbra, Some("Login rejected from this IP"));
        assert_eq!(denied.farewell(protocol), want);
        let planted = Denied { text: Some("no\r\n* OK in".into()), ..denied };
        assert!(planted.farewell(protocol).contains("no??* OK in"), "{protocol}");
    }
}

#[test]
fn a_login_too_many_hears_zimbras_bytes_and_is_sent_away() {
    let zimbra = denied(Manner::Zimbra, Some(TEXT));
    let refusal = zimbra.refusal("imap", Mechanism::Login);
    let told = heard(imap::front::Front::new, &["a7 LOGIN tim tanstaaf"], refusal);
    assert_eq!(told, [&format!("S: * BYE {TEXT}"), "S: a7 NO LOGIN failed", "= close"]);
    let refusal = zimbra.refusal("pop3", Mechanism::Login);
    let told = heard(pop3::front::Front::new, &["USER tim", "PASS tanstaaf"], refusal);
    assert_eq!(told, [&format!("S: -ERR {TEXT}"), "= close"]);
    for (protocol, want) in [
        (
            "imap",
            &["S: * BYE Login rejected for this user", "S: a NO AUTHENTICATE failed", "= close"][..],
        ),
        ("pop3", &["S: -ERR Login rejected for this user", "= close"]),
        ("smtp", &["S: 421 4.7.0 Login rejected for this user", "= close"]),
        ("sieve", &["S: BYE \"Login rejected for this user\"", "= close"]),
    ] {
        assert_eq!(plain(protocol, &zimbra), want, "{protocol}");
    }
}

#[test]
fn our_own_words_have_the_protocols_codes() {
    for (text, protocol, want) in [
        (None, "imap", "S: a NO [LIMIT] too many logins, try again later"),
        (None, "pop3", "S: -ERR [SYS/TEMP] too many logins, try again later"),
        (None, "smtp", "S: 421 4.7.0 Too many logins, try again later"),
        (None, "sieve", "S: BYE (TRYLATER) \"too many logins, try again later\""),
        (Some("Ask the desk"), "imap", "S: a NO [LIMIT] Ask the desk"),
        (Some("Ask the desk"), "pop3", "S: -ERR [SYS/TEMP] Ask the desk"),
        (Some("Ask the desk"), "smtp", "S: 421 4.7.0 Ask the desk"),
        (Some("Ask the desk"), "sieve", "S: BYE (TRYLATER) \"Ask the desk\""),
    ] {
        assert_eq!(plain(protocol, &denied(Manner::Own, text)), [want, "= close"], "{protocol}");
    }
}
