//! The client's side: a login by POP3, but for [`super::sasl`].

use std::sync::Arc;

use proptest::prelude::*;

use crate::login::play::play_among;
use crate::login::pop3::front::{self, Front};
use crate::login::{Guest, Mechanism, Mechanisms, Offer, Secured, StartTls};

pub fn offer(starttls: StartTls) -> Offer {
    Offer {
        greeting: "POP3 ready".to_owned(),
        capabilities: ["TOP", "USER", "UIDL", "EXPIRE 31 USER"].map(str::to_owned).to_vec(),
        has_tls: true,
        starttls,
        ..Offer::default()
    }
}

/// Where TLS may lead elsewhere.
pub fn play(offer: &Offer, secure: bool, script: &str) {
    let elsewhere = Offer {
        name: "elsewhere".to_owned(),
        mechanisms: offer
            .mechanisms
            .iter()
            .filter(|one| *one != Mechanism::AuthLogin)
            .fold(Mechanisms::default(), Mechanisms::with),
        ..offer.clone()
    };
    let guest = Guest { secure, salt: "1896.697170952".into(), ..Guest::default() };
    play_among(Front::new(Arc::new(offer.clone()), guest), script, &[Arc::new(elsewhere)]);
}

#[test]
fn a_user_is_let_in() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: NOOP
        S: +OK
        C: USER mrose
        S: +OK
        C: PASS tans taaf
        = rule on mrose with tans taaf by login
        > allowed: 2 messages
        S: +OK 2 messages
        = admit
        ",
    );
}

#[test]
fn capabilities_are_listed() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: EXPIRE 31 USER
        S: SASL PLAIN LOGIN
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: XCLIENT
        S: .
        C: AUTH
        S: +OK methods supported:
        S: PLAIN
        S: LOGIN
        S: .
        C: QUIT
        S: +OK bye
        = close
        ",
    );
}

#[test]
fn what_needs_tls_is_not_listed_without_it() {
    play(
        &offer(StartTls::Only),
        false,
        "
        S: +OK POP3 ready
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: UIDL
        S: EXPIRE 31 USER
        S: STLS
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: XCLIENT
        S: .
        C: AUTH
        S: -ERR use STLS first
        C: STLS
        S: +OK begin TLS
        = start tls
        > secured
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: EXPIRE 31 USER
        S: SASL PLAIN LOGIN
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: XCLIENT
        S: .
        C: STLS
        S: -ERR invalid command
        ",
    );
}

#[test]
fn a_capability_is_listed_once_and_only_if_it_works() {
    let offer = Offer {
        capabilities: ["SASL CRAM-MD5", "stls", "PIPELINING", "XOIP"].map(str::to_owned).to_vec(),
        mechanisms: Mechanisms::of(&[Mechanism::AuthLogin]),
        ..offer(StartTls::On)
    };
    play(
        &offer,
        true,
        "
        S: +OK POP3 ready
        C: CAPA
        S: +OK Capability list follows
        S: XOIP
        S: USER
        S: SASL LOGIN
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: XCLIENT
        S: .
        C: USER mrose
        S: +OK
        C: AUTH CRAM-MD5
        S: -ERR invalid command
        ",
    );
}

#[test]
fn a_name_waits_for_tls_when_told_to() {
    play(
        &offer(StartTls::Only),
        false,
        "
        S: +OK POP3 ready
        C: USER mrose
        S: -ERR use STLS first
        C: AUTH PLAIN AHUAcA==
        S: -ERR use STLS first
        C: STLS
        S: +OK begin TLS
        = start tls
        > secured
        C: USER mrose
        S: +OK
        C: PASS tanstaaf
        = rule on mrose with tanstaaf by login
        > allowed
        S: +OK logged in
        = admit
        ",
    );
}

#[test]
fn tls_makes_a_new_start_elsewhere() {
    play(
        &offer(StartTls::On),
        false,
        "
        S: +OK POP3 ready
        C: XCLIENT ADDR=192.0.2.1 PORT=5 SESSION=s1 TTL=3
        S: +OK updated
        C: USER mrose
        S: +OK
        C: STLS
        S: +OK begin TLS
        = start tls
        > secured as elsewhere
        C: PASS tanstaaf
        S: -ERR invalid command
        C: AUTH
        S: +OK methods supported:
        S: PLAIN
        S: .
        C: AUTH CRAM-MD5
        S: -ERR invalid command
        C: AUTH PLAIN AHUAcA==
        = rule on u with p by auth-plain
        ",
    );
}

#[test]
fn without_a_certificate_there_is_no_stls() {
    let offer = Offer { has_tls: false, ..offer(StartTls::On) };
    play(
        &offer,
        false,
        "
        S: +OK POP3 ready
        C: STLS
        S: -ERR invalid command
        ",
    );
}

#[test]
fn a_refused_client_may_try_again_unless_the_desk_says_otherwise() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: USER mrose
        S: +OK
        C: PASS one
        = rule on mrose with one by login
        > refused bad-credentials: Invalid login
        S: -ERR [AUTH] Invalid login
        C: PASS two
        S: -ERR invalid command
        C: USER mrose
        S: +OK
        C: PASS two
        = rule on mrose with two by login
        > refused bad-credentials close
        S: -ERR [AUTH] login failed
        = close
        ",
    );
}

#[test]
fn commands_may_be_piped() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: CAPA x
        C: USER mrose
        C: NOOP
        C: PASS tanstaaf
        C: STAT
        S: -ERR invalid command
        S: +OK
        S: +OK
        = rule on mrose with tanstaaf by login
        > allowed
        S: +OK logged in
        = admit
        ",
    );
}

#[test]
fn what_a_proxy_says_of_its_client_is_passed_on_as_a_claim() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: XOIP 192.0.2.9
        S: +OK
        C: XCLIENT PORT=49153 SESSION=7L0C3/+2Bc
        S: +OK updated
        C: XCLIENT TTL=4 FORWARD=eA==
        S: +OK updated
        C: XCLIENT ADDR=nonsense
        S: -ERR invalid command
        C: USER mrose
        S: +OK
        C: PASS p
        = rule on mrose with p by login claiming ip=192.0.2.9 port=49153 session=7L0C3/+2Bc ttl=4
        ",
    );
}

#[test]
fn the_last_allowed_mistake_is_answered_and_closes() {
    let offer = Offer { max_errors: 5, ..offer(StartTls::Off) };
    play(
        &offer,
        false,
        "
        S: +OK POP3 ready
        C: STAT
        S: -ERR invalid command
        C: PASS x
        S: -ERR invalid command
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        S: -ERR invalid command
        C: USER a␀b
        S: -ERR invalid command
        C: AUTH PLAIN
        S: +␠
        C: no base64
        S: -ERR invalid command
        = close
        ",
    );
}

#[test]
fn a_line_whose_end_is_in_doubt_ends_the_session() {
    let long = "x".repeat(300);
    for (line, text) in
        [(long.as_str(), "line too long"), ("USER a␊DELE 1", "line without CR before its LF")]
    {
        let script = format!(
            "
            S: +OK POP3 ready
            C: {line}
            S: -ERR {text}
            = close
            "
        );
        play(&offer(StartTls::Off), false, &script);
    }
}

#[test]
fn an_event_out_of_turn_is_our_own_fault() {
    use crate::login::{Action, Dialogue, Event, words};

    let mut front = Front::new(Arc::new(offer(StartTls::Off)), Guest::default());
    let mut act = Vec::new();
    front.on(Event::Opened, &mut act);
    act.clear();
    front.on(Event::Secured(Secured::default()), &mut act);
    let [Action::Say(line), Action::Close] = act.as_slice() else { panic!("{act:?}") };
    assert_eq!(line, words::POP3.internal_error.as_bytes());
}

proptest! {
    #[test]
    fn holds_for_any_lines(choice in any::<u8>(), lines in prop::collection::vec(
        prop::sample::select(vec![
            "USER u", "PASS p", "CAPA", "NOOP", "AUTH", "AUTH PLAIN", "AUTH PLAIN AHUAcA==", "STLS",
            "AUTH CRAM-MD5", "AUTH EXTERNAL", "AUTH EXTERNAL =", "AUTH SCRAM-SHA-256", "biwsbj11LHI9eA==",
            "AUTH XOAUTH2", "dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==", "AUTH GSSAPI", "", "YQ==",
            "APOP u c4c9334bac560ecc979e58001b3e22fb", "AUTH LOGIN", "AUTH LOGIN dQ==", "dQ==", "cA==", "AHUAcA==", "*", "XOIP 192.0.2.1",
            "XCLIENT TTL=3", "APOP", "nonsense", "USER a\nb", "\0", "QUIT",
        ]), 0..12)) {
        front::hold_for_any(&[&[choice], lines.join("\r\n").as_bytes(), b"\r\n"].concat());
    }

    #[test]
    fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..600)) {
        front::hold_for_any(&input);
    }
}
