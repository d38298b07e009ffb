//! The client's side: AUTH by every mechanism, and APOP.

use std::sync::Arc;

use super::front::{offer, play};
use crate::login::play::play_among;
use crate::login::pop3::front::Front;
use crate::login::{Guest, Mechanism, Mechanisms, Offer, StartTls};
use crate::wire::sasl::encode;

/// All mechanisms, under the name of RFC 1939 §7's example.
fn all() -> Offer {
    Offer {
        name: "dbc.mtview.ca.us".to_owned(),
        mechanisms: Mechanisms::of(&Mechanism::ALL),
        max_errors: 20,
        ..offer(StartTls::On)
    }
}

#[test]
fn plain_comes_at_once_or_when_asked() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: auth plain AHUAcA==
        = rule on u with p by auth-plain
        > refused bad-credentials
        S: -ERR [AUTH] login failed
        C: AUTH PLAIN
        S: +␠
        C: a3VydAB1AHA=
        = rule on u as kurt with p by auth-plain
        > refused bad-credentials: [SYS/PERM] call us
        S: -ERR [SYS/PERM] call us
        C: AUTH PLAIN =
        S: -ERR invalid command
        C: AUTH PLAIN
        S: +␠
        C: *
        S: -ERR invalid command
        C: AUTH CRAM-MD5
        S: -ERR invalid command
        C: NOOP
        S: +OK
        ",
    );
}

#[test]
fn login_asks_twice() {
    play(
        &offer(StartTls::Off),
        false,
        "
        S: +OK POP3 ready
        C: AUTH LOGIN
        S: + VXNlcm5hbWU6
        C: dQ==
        S: + UGFzc3dvcmQ6
        C: cA==
        = rule on u with p by auth-login
        > refused unavailable
        S: -ERR [SYS/TEMP] try again later
        C: AUTH LOGIN dQ==
        S: + UGFzc3dvcmQ6
        C: cA==
        = rule on u with p by auth-login
        ",
    );
}

#[test]
fn a_decoded_login_cannot_hold_a_second_command() {
    for (message, mechanism) in
        [("\0u\r\nDELE 1\0p", "PLAIN"), ("\0u\0p\nDELE 1", "PLAIN"), ("u\r\nDELE 1", "LOGIN")]
    {
        let (text, offer) = (encode(message.as_bytes()), offer(StartTls::Off));
        let script = format!(
            "
            S: +OK POP3 ready
            C: AUTH {mechanism} {text}
            S: -ERR invalid command
            C: NOOP
            S: +OK
            "
        );
        play(&offer, false, &script);
    }
}

#[test]
fn apop_answers_the_greeting() {
    play(
        &all(),
        false,
        "
        S: +OK POP3 ready <1896.697170952@dbc.mtview.ca.us>
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        = rule on mrose with c4c9334bac560ecc979e58001b3e22fb by apop answering <1896.697170952@dbc.mtview.ca.us>
        > refused bad-credentials
        S: -ERR [AUTH] login failed
        C: APOP mrose tanstaaf
        S: -ERR invalid command
        C: STLS
        S: +OK begin TLS
        = start tls
        > secured as elsewhere
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        = rule on mrose with c4c9334bac560ecc979e58001b3e22fb by apop answering <1896.697170952@dbc.mtview.ca.us>
        > allowed
        S: +OK logged in
        = admit
        ",
    );
}

#[test]
fn what_was_not_greeted_with_a_challenge_has_no_apop() {
    let silent = offer(StartTls::On);
    let elsewhere = Offer { name: "elsewhere".to_owned(), ..all() };
    let script = "
        S: +OK POP3 ready
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        S: -ERR invalid command
        C: STLS
        S: +OK begin TLS
        = start tls
        > secured as elsewhere
        C: APOP mrose c4c9334bac560ecc979e58001b3e22fb
        S: -ERR invalid command
    ";
    play_among(Front::new(Arc::new(silent), Guest::default()), script, &[Arc::new(elsewhere)]);
}

#[test]
fn every_mechanism_is_listed_in_order() {
    let without_tls = Offer { has_tls: false, ..all() };
    play(
        &without_tls,
        false,
        "
        S: +OK POP3 ready <1896.697170952@dbc.mtview.ca.us>
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: EXPIRE 31 USER
        S: SASL PLAIN LOGIN CRAM-MD5 EXTERNAL SCRAM-SHA-256 XOAUTH2 OAUTHBEARER GSSAPI
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: XCLIENT
        S: .
        C: AUTH
        S: +OK methods supported:
        S: PLAIN
        S: LOGIN
        S: CRAM-MD5
        S: EXTERNAL
        S: SCRAM-SHA-256
        S: XOAUTH2
        S: OAUTHBEARER
        S: GSSAPI
        S: .
        C: AUTH ANONYMOUS
        S: -ERR invalid command
        ",
    );
    // Who must show a certificate, and has shown none.
    let asks = Offer {
        mechanisms: Mechanisms::of(&[Mechanism::Apop, Mechanism::External]),
        capabilities: Vec::new(),
        asks_certificates: true,
        ..all()
    };
    play(
        &asks,
        false,
        "
        S: +OK POP3 ready <1896.697170952@dbc.mtview.ca.us>
        C: CAPA
        S: +OK Capability list follows
        S: STLS
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: XCLIENT
        S: .
        C: USER mrose
        S: -ERR invalid command
        C: AUTH EXTERNAL
        S: -ERR invalid command
        C: STLS
        S: +OK begin TLS
        = start tls
        > secured by mrose
        C: AUTH EXTERNAL
        S: +␠
        C:
        = rule on mrose with nothing by auth-external
        > refused bad-credentials
        S: -ERR [AUTH] login failed
        C: AUTH EXTERNAL =
        = rule on mrose with nothing by auth-external
        ",
    );
}

#[test]
fn cram_md5_and_external_are_as_with_nginx() {
    play(
        &all(),
        false,
        "
        S: +OK POP3 ready <1896.697170952@dbc.mtview.ca.us>
        C: AUTH CRAM-MD5
        S: + PDE4OTYuNjk3MTcwOTUyQGRiYy5tdHZpZXcuY2EudXM+
        C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
        = rule on tim with b913a602c7eda7a495b4e6e7334d3890 by auth-cram-md5 answering <1896.697170952@dbc.mtview.ca.us>
        > refused bad-credentials
        S: -ERR [AUTH] login failed
        C: AUTH EXTERNAL
        S: + VXNlcm5hbWU6
        C: dGlt
        = rule on tim with nothing by auth-external
        > refused bad-credentials
        S: -ERR [AUTH] login failed
        C: AUTH CRAM-MD5
        S: + PDE4OTYuNjk3MTcwOTUyQGRiYy5tdHZpZXcuY2EudXM+
        C: *
        S: -ERR invalid command
        ",
    );
}

#[test]
fn who_brought_a_token_hears_what_is_wrong_with_it() {
    play(
        &all(),
        false,
        "
        S: +OK POP3 ready <1896.697170952@dbc.mtview.ca.us>
        C: AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==
        = rule on u with t by auth-xoauth2
        > refused bad-credentials sasl e30=: Token expired
        S: + e30=
        C:
        S: -ERR [AUTH] Token expired
        C: AUTH OAUTHBEARER
        S: +␠
        C: bixhPXUsAWF1dGg9QmVhcmVyIHQBAQ==
        = rule on u with t by auth-oauthbearer
        > refused bad-credentials
        S: -ERR [AUTH] login failed
        C: AUTH PLAIN AHUAcA==
        = rule on u with p by auth-plain
        > refused bad-credentials sasl e30=
        S: -ERR [AUTH] login failed
        C: AUTH XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==
        = rule on u with t by auth-xoauth2
        > refused bad-credentials close sasl e30=
        S: + e30=
        C: AQ==
        S: -ERR [AUTH] login failed
        = close
        ",
    );
}

#[test]
fn an_exchange_may_ask_the_desk() {
    play(
        &all(),
        false,
        "
        S: +OK POP3 ready <1896.697170952@dbc.mtview.ca.us>
        C: XCLIENT ADDR=192.0.2.1
        S: +OK updated
        C: AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9eA==
        = consult verifier for user claiming ip=192.0.2.1
        > advice refused unavailable
        S: -ERR [SYS/TEMP] try again later
        C: AUTH GSSAPI
        S: +␠
        C: YIIB
        = consult token YIIB
        > advised token BQQF
        S: + BQQF
        C: BQQE
        = consult token BQQE
        > advised known tim@EXAMPLE.COM
        = rule on tim@EXAMPLE.COM with nothing by auth-gssapi claiming ip=192.0.2.1
        > allowed
        S: +OK logged in
        = admit
        ",
    );
}
