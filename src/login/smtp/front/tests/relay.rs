//! Mail without a login, and what a proxy says of its client.

use std::sync::Arc;

use super::{offer, play, play_trusted, relaying, ruled};
use crate::login::smtp::Lmtp;
use crate::login::smtp::front::Front;
use crate::login::{Guest, Mechanism, Offer, StartTls};

#[test]
fn without_a_login_the_first_recipient_is_ruled_on() {
    play(
        relaying(),
        "
        S: 220 mx.example ESMTP ready
        C: HELO a.example
        S: 250 mx.example
        C: MAIL FROM:<a@b
        S: 501 5.5.4 Invalid argument
        C: MAIL FROM:<a@b> SIZE=10
        S: 250 2.0.0 OK
        C: MAIL FROM:<a@b>
        S: 503 5.5.1 Bad sequence of commands
        C: AUTH PLAIN
        S: 503 5.5.1 Bad sequence of commands
        C: RCPT TO:c@d>
        S: 501 5.5.4 Invalid argument
        C: RSET
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: MAIL FROM:<>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        = rule on  with nothing by none claiming helo=a.example proto=SMTP
        > refused bad-credentials: Go away
        S: 535 5.7.0 Go away
        # Another recipient may be welcome.
        C: RCPT TO:<e@f>
        = rule on  with nothing by none claiming helo=a.example proto=SMTP
        > refused unavailable
        S: 451 4.3.0 Temporary server problem, try again later
        C: EHLO b.example
        S: 250 mx.example
        C: RCPT TO:<e@f>
        S: 503 5.5.1 Bad sequence of commands
        ",
    );
}

#[test]
fn what_is_ruled_on_is_what_the_client_wrote() {
    let (_, attempt) = ruled(
        relaying(),
        "mail FROM: <a@b> BODY=8BITMIME\r\nRCPT TO:<m\u{fc}ller@d>  NOTIFY=NEVER\r\n",
    );
    let envelope = attempt.envelope.unwrap();
    assert_eq!(*envelope.mail, *b"mail FROM: <a@b> BODY=8BITMIME");
    assert_eq!(*envelope.rcpt, *"RCPT TO:<m\u{fc}ller@d>  NOTIFY=NEVER".as_bytes());
    assert_eq!(attempt.mechanism, Mechanism::Unasked);
    assert!(attempt.user.is_empty() && attempt.secret.reveal().is_empty());
}

#[test]
fn what_the_upstream_says_to_the_recipient_is_passed() {
    let script = "
        S: 220 mx.example ESMTP ready
        C: MAIL FROM:<a@b>
        C: RCPT TO:<c@d>
        C: RCPT TO:<e@f>
        C: DATA
        S: 250 2.0.0 OK
        = rule on  with nothing by none
        ";
    for (words, answers) in [
        ("allowed: 250 2.1.5 ok", &["250 2.1.5 ok"][..]),
        ("allowed: 550-5.1.1 no␍␊550 5.1.1 never␍␊", &["550-5.1.1 no", "550 5.1.1 never"]),
        ("allowed", &["250 2.1.5 OK"]),
    ] {
        let said: String = answers.iter().map(|line| format!("S: {line}\n")).collect();
        play(relaying(), &format!("{script}\n> {words}\n{said}\n= admit"));
    }
    // What is not one reply could be two.
    for words in ["allowed: 250 a␍␊550 b", "allowed: hello", "allowed: 250 a␊b"] {
        let said = "S: 451 4.3.2 Internal server error\n= close";
        play(relaying(), &format!("{script}\n> {words}\n{said}"));
    }
}

#[test]
fn both_ways_in_may_be_open() {
    let both = offer().mechanisms.with(Mechanism::Unasked);
    play(
        Offer { mechanisms: both, ..offer() },
        "
        S: 220 mx.example ESMTP ready
        C: EHLO a.example
        S: 250-mx.example
        S: 250 AUTH PLAIN LOGIN
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RSET
        S: 250 2.0.0 OK
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        = rule on tim with tanstaaf by auth-plain claiming helo=a.example proto=ESMTP
        > allowed
        S: 235 2.0.0 OK
        = admit
        ",
    );
}

#[test]
fn lmtp_says_lhlo_and_never_logs_in() {
    play::play(
        Front::<Lmtp>::new(
            Arc::new(Offer { greeting: "LMTP ready".to_owned(), max_errors: 9, ..offer() }),
            Guest::default(),
        ),
        "
        S: 220 mx.example LMTP ready
        C: EHLO a.example
        S: 500 5.5.1 Invalid command
        C: HELO
        S: 500 5.5.1 Invalid command
        C: LHLO
        S: 501 5.5.4 Invalid argument
        C: LHLO a.example
        S: 250 mx.example
        C: AUTH PLAIN AHRpbQB0YW5zdGFhZg==
        S: 500 5.5.1 Invalid command
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: AUTH PLAIN
        S: 500 5.5.1 Invalid command
        C: RCPT TO:<c@d>
        = rule on  with nothing by none claiming helo=a.example proto=ESMTP
        > allowed: 250 2.1.5 c
        S: 250 2.1.5 c
        = admit
        ",
    );
}

#[test]
fn a_trusted_proxy_says_who_is_behind_it() {
    play_trusted(
        relaying(),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO proxy.example
        S: 250-mx.example
        S: 250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT SESSION TTL
        C: XCLIENT NAME=c.example ADDR=IPV6:2001:db8::1 PORT=4711
        S: 220 mx.example ESMTP ready
        C: XCLIENT PROTO=SMTP HELO=c+2Bd LOGIN=root
        S: 220 mx.example ESMTP ready
        C: XCLIENT ADDR=nowhere
        S: 501 5.5.4 Invalid argument
        C: EHLO proxy.example
        S: 250-mx.example
        S: 250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT SESSION TTL
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: XCLIENT ADDR=192.0.2.1
        S: 503 5.5.1 Bad sequence of commands
        C: RCPT TO:<c@d>
        = rule on  with nothing by none claiming ip=2001:db8::1 port=4711 host=c.example helo=c+d proto=SMTP
        > refused bad-credentials
        S: 550 5.7.1 Access denied
        C: RSET
        S: 250 2.0.0 OK
        # Without HELO= it is the proxy that passes it on, as its own.
        C: XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE] HELO=[UNAVAILABLE]
        S: 220 mx.example ESMTP ready
        C: HELO c.example
        S: 250 mx.example
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        = rule on  with nothing by none claiming ip=192.0.2.1 port=4711 helo=c.example proto=SMTP
        > allowed: 250 OK
        S: 250 OK
        = admit
        ",
    );
}

#[test]
fn tls_makes_everything_forgotten() {
    play_trusted(
        Offer { starttls: StartTls::On, ..relaying() },
        "
        S: 220 mx.example ESMTP ready
        C: XCLIENT ADDR=192.0.2.1 HELO=c.example
        S: 220 mx.example ESMTP ready
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        = start tls
        > secured
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        = rule on  with nothing by none
        > allowed
        S: 250 2.1.5 OK
        = admit
        ",
    );
}
