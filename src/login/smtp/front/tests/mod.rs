//! The client's side: clients of all kinds.

mod relay;

use std::sync::Arc;

use super::Front;
use crate::login::play;
use crate::login::smtp::Smtp;
use crate::login::{
    Action, Attempt, Dialogue, Event, Granted, Guest, Kind, Mechanism, Mechanisms, Offer, Refusal,
    StartTls,
};
use crate::wire::smtp::command::MAX_LINE;

fn offer() -> Offer {
    Offer {
        name: "mx.example".to_owned(),
        greeting: "ESMTP ready".to_owned(),
        has_tls: true,
        max_errors: 3,
        ..Offer::default()
    }
}

fn relaying() -> Offer {
    Offer { mechanisms: Mechanisms::of(&[Mechanism::Unasked]), ..offer() }
}

fn play(offer: Offer, script: &str) {
    play::play(Front::<Smtp>::new(Arc::new(offer), Guest::default()), script);
}

fn play_trusted(offer: Offer, script: &str) {
    let guest = Guest { trusted: true, ..Guest::default() };
    play::play(Front::<Smtp>::new(Arc::new(offer), guest), script);
}

/// Carries a front to its first ruling, and hands that out.
fn ruled(offer: Offer, said: &str) -> (Front, Attempt) {
    let mut front = Front::<Smtp>::new(Arc::new(offer), Guest::default());
    let (mut act, mut unread) = (Vec::new(), said.as_bytes());
    front.on(Event::Opened, &mut act);
    loop {
        if let Some(Action::Rule(attempt)) = act.pop() {
            return (front, attempt);
        }
        let crate::wire::Parsed::Whole(command, used) = front.parse(unread) else {
            panic!("{said}")
        };
        front.on(Event::Command(command), &mut act);
        unread = &unread[used..];
    }
}

#[test]
fn what_nginx_says_is_said() {
    // As captured: spec of nginx's wire behaviour.
    play(
        Offer {
            capabilities: ["PIPELINING", "SIZE 10", "auth=LOGIN", "StartTLS", "XCLIENT NAME"]
                .map(str::to_owned)
                .into(),
            starttls: StartTls::On,
            max_errors: 9,
            ..offer()
        },
        "
        S: 220 mx.example ESMTP ready
        C: HELO client.example
        S: 250 mx.example
        C: EHLO client.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 10
        S: 250-AUTH PLAIN LOGIN
        S: 250 STARTTLS
        C: NOOP
        S: 250 2.0.0 OK
        C: RSET
        S: 250 2.0.0 OK
        C: VRFY postmaster
        S: 500 5.5.1 Invalid command
        C: DATA
        S: 500 5.5.1 Invalid command
        C: HELO
        S: 501 5.5.4 Invalid argument
        C: AUTH
        S: 501 5.5.4 Invalid argument
        C: MAIL FROM:<a@b>
        S: 530 5.7.1 Authentication required
        C: MAIL
        S: 530 5.7.1 Authentication required
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: RCPT
        S: 503 5.5.1 Bad sequence of commands
        C: XCLIENT ADDR=192.0.2.1
        S: 500 5.5.1 Invalid command
        C: XCLIENT
        S: 500 5.5.1 Invalid command
        C: LHLO client.example
        S: 500 5.5.1 Invalid command
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        = start tls
        > secured
        C: EHLO client.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 10
        S: 250 AUTH PLAIN LOGIN
        C: QUIT
        S: 221 2.0.0 Bye
        = close
        ",
    );
}

#[test]
fn auth_brings_the_name_behind_ehlo_and_nginx_words() {
    for (words, answer) in [("allowed", "235 2.0.0 OK"), ("allowed: 235 2.7.0 hi", "235 2.0.0 OK")]
    {
        play(
            offer(),
            &format!(
                "
                S: 220 mx.example ESMTP ready
                C: EHLO [192.0.2.1]
                S: 250-mx.example
                S: 250 AUTH PLAIN LOGIN
                C: auth plain AHRpbQB0YW5zdGFhZg==
                = rule on tim with tanstaaf by auth-plain claiming helo=[192.0.2.1] proto=ESMTP
                > {words}
                S: {answer}
                = admit
                "
            ),
        );
    }
}

#[test]
fn auth_needs_no_ehlo_and_asks_for_what_it_was_not_told() {
    play(
        offer(),
        "
        S: 220 mx.example ESMTP ready
        C: AUTH PLAIN
        S: 334␠
        C: AHRpbQB0YW5zdGFhZg==
        = rule on tim with tanstaaf by auth-plain
        > refused bad-credentials
        S: 535 5.7.8 Authentication credentials invalid
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: dGlt
        S: 334 UGFzc3dvcmQ6
        C: dGFuc3RhYWY=
        = rule on tim with tanstaaf by auth-login
        > refused bad-credentials: Invalid login or password
        S: 535 5.7.0 Invalid login or password
        C: AUTH LOGIN dGlt
        S: 334 UGFzc3dvcmQ6
        C: dGFuc3RhYWY=
        = rule on tim with tanstaaf by auth-login
        > refused unavailable close
        S: 454 4.7.0 Temporary authentication failure
        = close
        ",
    );
}

#[test]
fn a_broken_exchange_is_answered_and_counted() {
    play(
        offer(),
        "
        S: 220 mx.example ESMTP ready
        C: AUTH PLAIN
        S: 334␠
        C: *
        S: 501 5.7.0 Authentication cancelled
        C: AUTH PLAIN !
        S: 501 5.5.2 Cannot decode the response
        # u, CR, LF, DELE 1
        C: AUTH LOGIN dQ0KREVMRSAx
        S: 501 5.5.2 Cannot decode the response
        = close
        ",
    );
    play(
        offer(),
        "
        S: 220 mx.example ESMTP ready
        C: AUTH CRAM-MD5
        S: 504 5.5.4 Unrecognized authentication type
        C: AUTH none
        S: 504 5.5.4 Unrecognized authentication type
        C: NOOP
        S: 250 2.0.0 OK
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: d␍Q==
        S: 501 5.5.2 Cannot decode the response
        = close
        ",
    );
}

#[test]
fn nothing_is_let_in_before_tls_when_told_to() {
    let only = |offer: Offer| Offer { starttls: StartTls::Only, ..offer };
    play(
        only(offer()),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO a.example
        S: 250-mx.example
        S: 250 STARTTLS
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: STARTTLS now
        S: 501 5.5.4 Invalid argument
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        = start tls
        > secured
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        = rule on tim with tanstaaf by auth-plain
        > allowed
        S: 235 2.0.0 OK
        = admit
        ",
    );
    play(
        only(relaying()),
        "
        S: 220 mx.example ESMTP ready
        C: MAIL FROM:<a@b>
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        = start tls
        > secured
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        ",
    );
}

#[test]
fn without_a_certificate_there_is_no_starttls() {
    play(
        Offer { starttls: StartTls::On, has_tls: false, ..offer() },
        "
        S: 220 mx.example ESMTP ready
        C: EHLO a.example
        S: 250-mx.example
        S: 250 AUTH PLAIN LOGIN
        C: STARTTLS
        S: 500 5.5.1 Invalid command
        C: STARTTLS now
        S: 500 5.5.1 Invalid command
        ",
    );
}

#[test]
fn another_host_answers_after_tls() {
    let other = Offer { name: "other.example".to_owned(), ..relaying() };
    let front =
        Front::<Smtp>::new(Arc::new(Offer { starttls: StartTls::On, ..offer() }), Guest::default());
    play::play_among(
        front,
        "
        S: 220 mx.example ESMTP ready
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        = start tls
        > secured as other.example
        C: EHLO a.example
        S: 250 other.example
        ",
        &[Arc::new(other)],
    );
}

#[test]
fn the_last_allowed_error_ends_it() {
    play(
        offer(),
        "
        S: 220 mx.example ESMTP ready
        C: EXPN list
        S: 500 5.5.1 Invalid command
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: HELP
        S: 500 5.5.1 Invalid command
        C: EHLO a␍MAIL FROM:<a@b>
        S: 500 5.5.1 Invalid command
        = close
        ",
    );
}

#[test]
fn a_line_without_its_end_ends_it() {
    play(
        offer(),
        "
        S: 220 mx.example ESMTP ready
        C: NOOP␊RSET
        S: 421 4.5.2 Line without CR before its LF
        = close
        ",
    );
    let long = "x".repeat(MAX_LINE);
    let offer = Offer { client_buffer: 0, ..offer() };
    play(
        offer,
        &format!(
            "
            S: 220 mx.example ESMTP ready
            C: NOOP {long}
            S: 421 4.5.2 Line too long
            = close
            "
        ),
    );
}

#[test]
fn names_that_could_be_commands_are_refused() {
    for name in ["a b", "m\u{fc}ller", &"x".repeat(256)] {
        play(
            offer(),
            &format!(
                "
                S: 220 mx.example ESMTP ready
                C: EHLO {name}
                S: 501 5.5.4 Invalid argument
                "
            ),
        );
    }
}

#[test]
fn the_handlers_code_is_the_reply_and_421_closes() {
    let deciding = || {
        let mut front = Front::<Smtp>::new(Arc::new(offer()), Guest::default());
        front.state = super::State::Deciding { mail: None };
        front
    };
    let no = |code: &str| Refusal {
        code: Some(code.to_owned()),
        ..Refusal::new(Kind::BadCredentials).with_text("Temporary server problem")
    };
    for (code, want) in [
        ("451 4.3.0", &["S: 451 4.3.0 Temporary server problem"][..]),
        ("421 4.3.0", &["S: 421 4.3.0 Temporary server problem", "= close"]),
        ("250 2.0.0", &["S: 535 5.7.0 Temporary server problem"]),
    ] {
        let mut front = deciding();
        let mut act = Vec::new();
        front.on(Event::Ruled(Err(no(code))), &mut act);
        assert_eq!(shown(act), want);
    }
}

fn shown(act: Vec<Action>) -> Vec<String> {
    act.into_iter()
        .map(|action| match action {
            Action::Say(bytes) => {
                format!("S: {}", String::from_utf8(bytes).unwrap().trim_end())
            }
            Action::Close => "= close".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn an_oauth_client_hears_why_before_it_hears_no() {
    let (mut front, _) = ruled(offer(), "AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n");
    let mut refusal = Refusal::new(Kind::BadCredentials).with_text("Expired");
    refusal.sasl = Some("eyJzdGF0dXMiOiI0MDEifQ==".to_owned());
    let mut act = Vec::new();
    front.on(Event::Ruled(Err(refusal.clone())), &mut act);
    assert_eq!(shown(std::mem::take(&mut act)), ["S: 334 eyJzdGF0dXMiOiI0MDEifQ=="]);
    let crate::wire::Parsed::Whole(answer, 6) = front.parse(b"AQ==\r\nQUIT\r\n") else { panic!() };
    front.on(Event::Command(answer), &mut act);
    assert_eq!(shown(std::mem::take(&mut act)), ["S: 535 5.7.0 Expired"]);

    // What is no base64 is not passed on.
    let (mut front, _) = ruled(offer(), "AUTH PLAIN AHRpbQB0YW5zdGFhZg==\r\n");
    refusal.sasl = Some("{}\r\n235 in".to_owned());
    front.on(Event::Ruled(Err(refusal)), &mut act);
    assert_eq!(shown(act), ["S: 535 5.7.0 Expired"]);
}

#[test]
fn a_ruling_that_nobody_asked_for_is_our_bug() {
    let mut front = Front::<Smtp>::new(Arc::new(offer()), Guest::default());
    let mut act = Vec::new();
    front.on(Event::Ruled(Ok(Granted::default())), &mut act);
    assert_eq!(shown(act), ["S: 451 4.3.2 Internal server error", "= close"]);
}
