//! What the upstream is told of the client, and of its mail.

use super::{helo, play, relaying, silent, telling, verdict, with_auth};
use crate::login::play::play_back;
use crate::login::smtp::Lmtp;
use crate::login::smtp::back::Back;
use crate::login::{Ask, Helo, SmtpAuth, Tell, Verdict};

#[test]
fn xclient_says_what_the_upstream_lists() {
    play(
        telling(Tell::Auto),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT FUTURE
        C: XCLIENT NAME=client.example ADDR=198.51.100.7 PROTO=ESMTP HELO=[10.0.0.1] REVERSE_NAME=client.example PORT=49153 LOGIN=mrose DESTADDR=192.0.2.25 DESTPORT=587
        S: 220 mx ESMTP
        C: EHLO [10.0.0.1]
        S: 250-mx
        S: 250 SIZE 10
        = accepted
        ",
    );
    // Dovecot's own.
    play(
        telling(Tell::Auto),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 XCLIENT SESSION TTL
        C: XCLIENT SESSION=7L0C3/+2B2Bc TTL=5
        S: 220 mx ESMTP
        C: EHLO [10.0.0.1]
        S: 250 mx
        = accepted
        ",
    );
    // Not offered, not said.
    play(
        telling(Tell::Auto),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 SIZE
        = accepted
        ",
    );
}

#[test]
fn xclient_that_must_be_said_is_nginx_own() {
    // Captured from nginx: the user is u=x+y, the client's name is not known.
    let mut ask = Ask { user: b"u=x+y"[..].into(), ..telling(Tell::On) };
    ask.identity.client = "127.0.0.1:4711".parse().unwrap();
    ask.identity.host = "[UNAVAILABLE]".to_owned();
    play(
        helo(ask.clone()),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250 mx
        C: XCLIENT ADDR=127.0.0.1 LOGIN=u+3Dx+2By NAME=[UNAVAILABLE]
        S: 220 mx ESMTP
        C: HELO old.example
        S: 250 mx
        = accepted
        ",
    );
    play(
        silent(ask.clone()),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250 mx
        C: XCLIENT ADDR=127.0.0.1 LOGIN=u+3Dx+2By NAME=[UNAVAILABLE]
        S: 220 mx ESMTP
        = accepted
        ",
    );
    // Who logs in by AUTH is not named twice; AUTH needs an EHLO before it.
    let ask = Ask { smtp_auth: SmtpAuth::Plain, ..ask };
    for (ask, name) in [(helo(ask.clone()), "old.example"), (silent(ask), "gate.example")] {
        play(
            ask,
            &format!(
                "
                S: 220 mx ESMTP
                C: EHLO gate.example
                S: 250 mx
                C: XCLIENT ADDR=127.0.0.1 NAME=[UNAVAILABLE]
                S: 220 mx ESMTP
                C: EHLO {name}
                S: 250 mx
                C! AUTH PLAIN AHU9eCt5AHRhbnN0YWFm
                S: 235 ok
                = accepted
                "
            ),
        );
    }
}

#[test]
fn a_long_identity_takes_several_lines() {
    let mut ask = telling(Tell::Auto);
    let (host, name) = ("h".repeat(255), "e".repeat(255));
    ask.identity.host.clone_from(&host);
    ask.identity.helo = Some(Helo { name: name.clone(), extended: true });
    play(
        ask,
        &format!(
            "
            S: 220 mx ESMTP
            C: EHLO gate.example
            S: 250-mx
            S: 250 XCLIENT LOGIN HELO NAME PROTO
            C: XCLIENT NAME={host}
            S: 220 mx ESMTP
            C: XCLIENT HELO={name} PROTO=ESMTP LOGIN=mrose
            S: 220 mx ESMTP
            C: EHLO {name}
            S: 250 mx
            = accepted
            "
        ),
    );
}

#[test]
fn who_refuses_xclient_still_gets_the_login() {
    for tell in [Tell::Auto, Tell::On] {
        play(
            Ask { xclient: tell, ..with_auth() },
            "
            S: 220 mx ESMTP
            C: EHLO gate.example
            S: 250-mx
            S: 250-XCLIENT ADDR
            S: 250 AUTH PLAIN
            C: XCLIENT ADDR=198.51.100.7
            S: 550 5.7.0 insufficient authorization
            C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
            S: 235 ok
            = accepted
            ",
        );
    }
    play(
        telling(Tell::On),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250 mx
        C: XCLIENT ADDR=198.51.100.7 LOGIN=mrose NAME=client.example
        S: 421 4.7.0 not you
        = refused unavailable: 421 4.7.0 not you
        ",
    );
}

#[test]
fn nobody_relays_under_our_address_where_xclient_is_refused() {
    let script = "
        S: 220 mx
        C: {hello} gate.example
        S: 250 mx
        C: XCLIENT ADDR=198.51.100.7 NAME=client.example
        S: 550 5.7.0 insufficient authorization
        ";
    let ask = Ask { xclient: Tell::On, ..relaying() };
    let what = "XCLIENT refused, and without a login nothing else tells the client";
    play(ask.clone(), &format!("{}\n= misbehaved: {what}", script.replace("{hello}", "EHLO")));
    // An LMTP server takes its mail from servers.
    let then =
        "C: MAIL FROM:<a@b> SIZE=10\nS: 250 ok\nC: RCPT TO:<c@d>\nS: 250 ok\n= accepted 250 ok";
    let then = then.replace("accepted ", "accepted: ");
    play_back(Back::<Lmtp>::new(ask), &format!("{}\n{then}", script.replace("{hello}", "LHLO")));
}

#[test]
fn mail_without_a_login_is_said_again() {
    play(
        Ask { xclient: Tell::On, ..relaying() },
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250 mx
        C: XCLIENT ADDR=198.51.100.7 NAME=client.example
        S: 220 mx ESMTP
        C: EHLO [10.0.0.1]
        S: 250-mx
        S: 250 SIZE 10
        C: MAIL FROM:<a@b> SIZE=10
        S: 250 2.1.0 ok
        C: RCPT TO:<c@d>
        S: 550-5.1.1 no
        S: 550 5.1.1 never
        = accepted: 550-5.1.1 no␍␊550 5.1.1 never
        ",
    );
    // Both at once where the upstream can take it.
    for (mail, rcpt, end) in [
        ("250 2.1.0 ok", "250 2.1.5 ok", "accepted: 250 2.1.5 ok"),
        ("550 5.1.8 no", "", "refused forbidden: 550 5.1.8 no"),
        ("451 4.1.8 later", "", "refused unavailable: 451 4.1.8 later"),
    ] {
        let rcpt = if rcpt.is_empty() { String::new() } else { format!("S: {rcpt}") };
        play(
            relaying(),
            &format!(
                "
                S: 220 mx ESMTP
                C: EHLO gate.example
                S: 250-mx
                S: 250 PIPELINING
                C: MAIL FROM:<a@b> SIZE=10
                C: RCPT TO:<c@d>
                S: {mail}
                {rcpt}
                = {end}
                "
            ),
        );
    }
}

#[test]
fn lmtp_is_spoken_by_lhlo() {
    play_back(
        Back::<Lmtp>::new(Ask { xclient: Tell::Auto, smtp_auth: SmtpAuth::Any, ..relaying() }),
        "
        S: 220 dovecot ready
        C: LHLO gate.example
        S: 250-dovecot
        S: 250 XCLIENT ADDR PORT PROTO
        C: XCLIENT ADDR=198.51.100.7 PORT=49153 PROTO=LMTP
        S: 220 dovecot ready
        C: LHLO [10.0.0.1]
        S: 250-dovecot
        S: 250 PIPELINING
        C: MAIL FROM:<a@b> SIZE=10
        C: RCPT TO:<c@d>
        S: 250 2.1.0 ok
        S: 250 2.1.5 ok
        = accepted: 250 2.1.5 ok
        ",
    );
}

#[test]
fn the_last_list_is_what_the_client_may_be_offered() {
    let list = "220 mx\r\n250-mx\r\n250-XCLIENT ADDR\r\n250 OLD\r\n220 mx\r\n\
                250-mx\r\n250-SIZE 10240000\r\n250-AUTH PLAIN\r\n250-STARTTLS\r\n250 SMTPUTF8\r\n";
    let Verdict::Accepted(granted) = verdict(telling(Tell::Auto), list) else { panic!("refused") };
    assert_eq!(granted.offers, ["SIZE 10240000", "SMTPUTF8"]);
    assert_eq!(granted.text, None);
}
