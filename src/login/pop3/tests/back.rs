//! The upstream's side: servers of all kinds.

use proptest::prelude::*;

use crate::login::play::play_back;
use crate::login::pop3::back::{self, Back};
use crate::login::{Ask, Identity, Mechanism, Proof, Secret, Tell};

fn ask() -> Ask {
    let client = "[::ffff:192.0.2.1]:49153".parse().unwrap();
    Ask::new(&b"mrose"[..], Secret::new("tanstaaf"), Identity::new(client, "7L0C3/+2Bc"))
}

fn telling() -> Ask {
    Ask { pop3_xoip: Tell::Auto, xclient: Tell::Auto, ..ask() }
}

fn play(ask: &Ask, script: &str) {
    play_back(Back::new(ask.clone()), script);
}

#[test]
fn a_plain_server_lets_us_in() {
    play(
        &ask(),
        "
        S: +OK ready
        C: USER mrose
        S: +OK
        C! PASS tanstaaf
        S: +OK 2 messages
        = accepted: 2 messages
        ",
    );
}

#[test]
fn dovecot_is_told_by_xclient_without_asking() {
    play(
        &telling(),
        "
        S: +OK [XCLIENT] Dovecot ready.
        C: XCLIENT ADDR=192.0.2.1 PORT=49153 SESSION=7L0C3/+2Bc TTL=5
        S: +OK Updated
        C: USER mrose
        S: +OK
        C! PASS tanstaaf
        S: +OK Logged in.
        = accepted: Logged in.
        ",
    );
}

#[test]
fn zimbra_is_told_by_xoip() {
    play(
        &telling(),
        "
        S: +OK Zimbra POP3 ready
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN X-ZIMBRA
        S: EXPIRE 31 USER
        S: XOIP
        S: .
        C: XOIP 192.0.2.1
        S: +OK
        C: USER mrose
        S: +OK hello mrose, please enter your password
        C! PASS tanstaaf
        S: +OK server ready
        = accepted: server ready
        ",
    );
}

#[test]
fn a_server_that_refuses_to_be_told_still_gets_the_login() {
    play(
        &Ask { xclient: Tell::On, pop3_xoip: Tell::On, ..ask() },
        "
        S: +OK ready
        C: XCLIENT ADDR=192.0.2.1 PORT=49153 SESSION=7L0C3/+2Bc TTL=5
        S: -ERR You are not from trusted IP
        C: USER mrose
        S: +OK
        C! PASS tanstaaf
        S: +OK
        = accepted
        ",
    );
    play(
        &Ask { pop3_xoip: Tell::On, ..ask() },
        "
        S: +OK ready
        C: XOIP 192.0.2.1
        S: -ERR unknown command
        C: USER mrose
        S: +OK
        C! PASS tanstaaf
        S: +OK
        = accepted
        ",
    );
}

#[test]
fn a_server_without_capa_is_told_nothing() {
    play(
        &telling(),
        "
        S: +OK ready
        C: CAPA
        S: -ERR what
        C: USER mrose
        S: +OK
        C! PASS tanstaaf
        S: +OK
        = accepted
        ",
    );
}

#[test]
fn name_and_password_go_together_where_that_is_offered() {
    play(
        &telling(),
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: USER
        S: PIPELINING
        S: .
        C: USER mrose
        C! PASS tanstaaf
        S: +OK
        S: +OK in
        = accepted: in
        ",
    );
}

#[test]
fn tls_comes_before_anything_else() {
    play(
        &Ask { starttls: true, ..telling() },
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: STLS
        S: XOIP
        S: PIPELINING
        S: .
        C: STLS
        S: +OK begin
        = start tls
        > secured
        C: CAPA
        S: +OK
        S: USER
        S: .
        C: USER mrose
        S: +OK
        C! PASS tanstaaf
        S: +OK
        = accepted
        ",
    );
    // Without anything to tell, once is enough.
    play(
        &Ask { starttls: true, ..ask() },
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: STLS
        S: .
        C: STLS
        S: +OK begin
        = start tls
        > secured
        C: USER mrose
        ",
    );
}

#[test]
fn no_password_is_said_where_tls_was_promised_and_is_not_to_be_had() {
    for (offered, then) in [
        ("S: -ERR what", "= misbehaved: STLS is not offered"),
        ("S: +OK\nS: USER\nS: .", "= misbehaved: STLS is not offered"),
        ("S: +OK\nS: STLS\nS: .\nC: STLS\nS: -ERR no", "= misbehaved: STLS refused"),
    ] {
        play(
            &Ask { starttls: true, ..ask() },
            &format!("S: +OK ready\nC: CAPA\n{offered}\n{then}"),
        );
    }
}

#[test]
fn on_behalf_of_another_only_plain_will_do() {
    let ask = Ask { authzid: Some(b"kurt"[..].into()), ..ask() };
    play(
        &ask,
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: USER
        S: SASL LOGIN PLAIN
        S: .
        C! AUTH PLAIN a3VydABtcm9zZQB0YW5zdGFhZg==
        S: +OK in
        = accepted: in
        ",
    );
    // RFC 1734 knew no initial response.
    play(
        &ask,
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: SASL PLAIN
        S: .
        C! AUTH PLAIN a3VydABtcm9zZQB0YW5zdGFhZg==
        S: +␠
        C! a3VydABtcm9zZQB0YW5zdGFhZg==
        S: -ERR [AUTH] no
        = refused bad-credentials: [AUTH] no
        ",
    );
    play(
        &ask,
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: USER
        S: .
        = misbehaved: AUTH PLAIN is needed and not offered
        ",
    );
}

#[test]
fn a_server_without_user_is_asked_by_plain() {
    play(
        &telling(),
        "
        S: +OK ready
        C: CAPA
        S: +OK
        S: SASL PLAIN
        S: .
        C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
        S: +OK
        = accepted
        ",
    );
}

#[test]
fn a_long_password_is_said_as_an_answer() {
    let secret = "p".repeat(300);
    let message = crate::wire::sasl::plain::write(b"", b"mrose", secret.as_bytes());
    let text = crate::wire::sasl::encode(&message);
    play(
        &Ask { secret: Secret::new(secret), ..ask() },
        &format!(
            "
            S: +OK ready
            C: CAPA
            S: +OK
            S: USER
            S: SASL PLAIN
            S: .
            C: AUTH PLAIN
            S: +␠
            C! {text}
            S: +OK
            = accepted
            "
        ),
    );
}

/// A token in place of the password.
fn bearing(own: Mechanism) -> Ask {
    Ask { proof: Proof::Bearer(own), ..ask() }
}

#[test]
fn a_token_goes_by_what_the_upstream_offers() {
    use Mechanism::{OauthBearer, XOauth2};
    let google = "C! AUTH XOAUTH2 dXNlcj1tcm9zZQFhdXRoPUJlYXJlciB0YW5zdGFhZgEB";
    let rfc = "C! AUTH OAUTHBEARER bixhPW1yb3NlLAFhdXRoPUJlYXJlciB0YW5zdGFhZgEB";
    for (own, capa, want) in [
        (XOauth2, "S: +OK\nS: SASL PLAIN XOAUTH2 OAUTHBEARER\nS: .", google),
        (OauthBearer, "S: +OK\nS: SASL PLAIN XOAUTH2 OAUTHBEARER\nS: .", rfc),
        (XOauth2, "S: +OK\nS: SASL OAUTHBEARER\nS: .", rfc),
        (OauthBearer, "S: +OK\nS: SASL XOAUTH2\nS: .", google),
        (XOauth2, "S: -ERR what", google),
        (OauthBearer, "S: -ERR what", rfc),
        // Never as a password.
        (XOauth2, "S: +OK\nS: USER\nS: SASL PLAIN\nS: .", "= misbehaved: XOAUTH2 is not offered"),
        (OauthBearer, "S: +OK\nS: USER\nS: .", "= misbehaved: OAUTHBEARER is not offered"),
    ] {
        play(&bearing(own), &format!("S: +OK ready\nC: CAPA\n{capa}\n{want}"));
    }
}

#[test]
fn an_error_challenge_is_answered_once_and_kept() {
    let begin = "S: +OK ready\nC: CAPA\nS: +OK\nS: SASL XOAUTH2\nS: .\nC! AUTH XOAUTH2 dXNlcj1tcm9zZQFhdXRoPUJlYXJlciB0YW5zdGFhZgEB\n";
    for then in [
        "S: + e30=\nC:␠\nS: -ERR [AUTH] no\n= refused bad-credentials sasl e30=: [AUTH] no",
        "S: + {}\nC:␠\nS: -ERR no\n= refused bad-credentials: no",
        "S: -ERR [SYS/TEMP] x\n= refused unavailable: [SYS/TEMP] x",
        "S: +OK in\n= accepted: in",
        // RFC 1734 knew no initial response.
        "S: +␠\nC! dXNlcj1tcm9zZQFhdXRoPUJlYXJlciB0YW5zdGFhZgEB\nS: + e30=\nC:␠\nS: -ERR no\n= refused bad-credentials sasl e30=: no",
        "S: + e30=\nC:␠\nS: + e30=\n= misbehaved: wrong reply after AUTH",
        "S: + e30=\nC:␠\nS: +OK in\n= misbehaved: wrong reply after AUTH",
    ] {
        play(&bearing(Mechanism::OauthBearer), &format!("{begin}{then}"));
    }
}

#[test]
fn a_long_token_is_said_as_an_answer() {
    let token = "t".repeat(300);
    let message = crate::wire::sasl::oauth::write_oauthbearer(b"mrose", token.as_bytes()).unwrap();
    let text = crate::wire::sasl::encode(&message);
    play(
        &Ask { secret: Secret::new(token), ..bearing(Mechanism::OauthBearer) },
        &format!(
            "
            S: +OK ready
            C: CAPA
            S: -ERR what
            C: AUTH OAUTHBEARER
            S: + anything
            C! {text}
            S: + e30=
            C: AQ==
            S: -ERR no
            = refused bad-credentials sasl e30=: no
            "
        ),
    );
}

#[test]
fn credentials_cannot_hold_a_second_command() {
    for (user, authzid, secret) in [
        ("u\r\nDELE 1", None, "p"),
        ("u", None, "p\nDELE 1"),
        ("u\0", None, "p"),
        ("u", Some("k\r\nDELE 1"), "p"),
    ] {
        let ask = Ask {
            user: user.as_bytes().into(),
            authzid: authzid.map(|name| name.as_bytes().into()),
            secret: Secret::new(secret),
            ..ask()
        };
        play(
            &ask,
            "
            S: +OK ready
            C: CAPA
            S: +OK
            S: USER
            S: SASL PLAIN
            S: .
            = misbehaved: credentials that would break the protocol were not sent
            ",
        );
    }
}

#[test]
fn a_refusal_says_whose_fault_it_is() {
    for (text, kind) in [
        ("[AUTH] Authentication failed.", "bad-credentials"),
        ("no such user", "bad-credentials"),
        ("[SYS/TEMP] later", "unavailable"),
        ("[in-use] locked", "unavailable"),
        ("[LOGIN-DELAY] wait", "unavailable"),
        ("[SYS/PERM] account closed", "forbidden"),
        ("", "bad-credentials"),
    ] {
        let begin = "S: +OK ready\nC: USER mrose\n";
        let colon = if text.is_empty() { "" } else { ": " };
        let then = format!("S: -ERR {text}\n= refused {kind}{colon}{text}");
        play(&ask(), &format!("{begin}{then}"));
        play(&ask(), &format!("{begin}S: +OK\nC! PASS tanstaaf\n{then}"));
    }
    play(&ask(), "S: -ERR [SYS/PERM] go away\n= refused unavailable: [SYS/PERM] go away");
}

#[test]
fn rude_servers_are_named() {
    let long = "x".repeat(2000);
    for (said, why) in [
        ("S: * OK IMAP4 ready", "no POP3 reply in place of a greeting"),
        ("S: +", "wrong reply in place of a greeting"),
        (&*format!("S: +OK {long}"), "line too long in place of a greeting"),
        ("S: +OK a␊b", "CR, LF or NUL within a line in place of a greeting"),
        ("S: +OK\nC: USER mrose\nS: +", "wrong reply after USER"),
        (
            "S: +OK\nC: USER mrose\nS: +OK\nC! PASS tanstaaf\nS: nonsense",
            "no POP3 reply after PASS",
        ),
    ] {
        play(&ask(), &format!("{said}\n= misbehaved: {why}"));
    }
    let listing = format!("S: {}\n", "x".repeat(1000)).repeat(9);
    let script = format!("S: +OK\nC: CAPA\nS: +OK\n{listing}= misbehaved: CAPA listing too long");
    play(&telling(), &script);
}

proptest! {
    #[test]
    fn holds_for_any_lines(choice in any::<u8>(), odd in any::<u8>(), lines in prop::collection::vec(
        prop::sample::select(vec![
            "+OK", "+OK", "+OK [XCLIENT]", "-ERR", "-ERR [AUTH] x", "+", ".", ".", "STLS", "SASL PLAIN",
            "SASL XOAUTH2", "SASL OAUTHBEARER", "+ e30=", "USER", "PIPELINING", "XCLIENT", "XOIP", "nonsense", "+OK a\nb",
        ]), 0..16)) {
        back::hold_for_any(&[&[choice, odd], lines.join("\r\n").as_bytes(), b"\r\n"].concat());
    }

    #[test]
    fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
        back::hold_for_any(&input);
    }
}
