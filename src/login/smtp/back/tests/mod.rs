//! The upstream's side: servers of all kinds.

mod telling;

use super::Back;
use crate::login::play::play_back;
use crate::login::smtp::Smtp;
use crate::login::{
    Action, Ask, Dialogue, Envelope, Event, Helo, Identity, Mechanism, Proof, Secret, SmtpAuth,
    Tell, Verdict,
};
use crate::wire::Parsed;

fn ask() -> Ask {
    let identity = Identity {
        name: "gate.example".to_owned(),
        host: "client.example".to_owned(),
        local: "192.0.2.25:587".parse().unwrap(),
        helo: Some(Helo { name: "[10.0.0.1]".to_owned(), extended: true }),
        ..Identity::new("[::ffff:198.51.100.7]:49153".parse().unwrap(), "7L0C3/+2Bc")
    };
    Ask::new(&b"mrose"[..], Secret::new("tanstaaf"), identity)
}

fn with_auth() -> Ask {
    Ask { smtp_auth: SmtpAuth::Any, ..ask() }
}

fn telling(tell: Tell) -> Ask {
    Ask { xclient: tell, ..ask() }
}

fn relaying() -> Ask {
    let envelope =
        Envelope { mail: b"MAIL FROM:<a@b> SIZE=10"[..].into(), rcpt: b"RCPT TO:<c@d>"[..].into() };
    let own = ask();
    Ask {
        envelope: Some(Box::new(envelope)),
        ..Ask::new(&b""[..], Secret::default(), own.identity)
    }
}

fn helo(ask: Ask) -> Ask {
    let helo = Some(Helo { name: "old.example".to_owned(), extended: false });
    Ask { identity: Identity { helo, ..ask.identity }, ..ask }
}

fn silent(ask: Ask) -> Ask {
    Ask { identity: Identity { helo: None, ..ask.identity }, ..ask }
}

fn play(ask: Ask, script: &str) {
    play_back(Back::<Smtp>::new(ask), script);
}

/// What comes of an upstream that says just this.
fn verdict(ask: Ask, said: &str) -> Verdict {
    let mut back = Back::<Smtp>::new(ask);
    let (mut act, mut unread) = (Vec::new(), said.as_bytes());
    back.on(Event::Opened, &mut act);
    loop {
        if let Some(Action::Settle(verdict)) = act.pop() {
            return verdict;
        }
        let Parsed::Whole(reply, used) = back.parse(unread) else {
            panic!("not settled: {back:?}")
        };
        back.on(Event::Command(reply), &mut act);
        unread = &unread[used..];
    }
}

#[test]
fn without_auth_and_xclient_an_introduction_is_all() {
    play(
        ask(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250-AUTH PLAIN
        S: 250 SIZE 10
        = accepted
        ",
    );
    // As nginx: a client that says HELO is spoken for by HELO.
    play(
        helo(ask()),
        "
        S: 220 mx SMTP
        C: HELO gate.example
        S: 250 mx
        = accepted
        ",
    );
}

#[test]
fn an_old_server_hears_helo() {
    play(
        ask(),
        "
        S: 220 mx SMTP
        C: EHLO gate.example
        S: 502 unimplemented
        C: HELO gate.example
        S: 250 mx
        = accepted
        ",
    );
    play(
        with_auth(),
        "
        S: 220 mx SMTP
        C: EHLO gate.example
        S: 500 unknown
        C: HELO gate.example
        S: 250 mx
        = misbehaved: AUTH is not offered
        ",
    );
}

#[test]
fn auth_is_by_what_is_offered() {
    play(
        with_auth(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 AUTH LOGIN PLAIN
        C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
        S: 235 2.7.0 ok
        = accepted
        ",
    );
    play(
        with_auth(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 AUTH=LOGIN
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C! bXJvc2U=
        S: 334 UGFzc3dvcmQ6
        C! dGFuc3RhYWY=
        S: 235 ok
        = accepted
        ",
    );
    // A server that lists nothing does not say what it lacks: as nginx.
    play(
        helo(with_auth()),
        "
        S: 220 fake esmtp server ready
        C: EHLO gate.example
        S: 250 hello ok
        C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
        S: 235 auth ok
        = accepted
        ",
    );
    play(
        with_auth(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 SIZE
        = misbehaved: AUTH is not offered
        ",
    );
}

#[test]
fn on_behalf_of_another_it_takes_plain() {
    let ask = Ask { authzid: Some(b"boss"[..].into()), ..with_auth() };
    play(
        ask.clone(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 AUTH PLAIN LOGIN
        C! AUTH PLAIN Ym9zcwBtcm9zZQB0YW5zdGFhZg==
        S: 235 ok
        = accepted
        ",
    );
    play(
        ask,
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 AUTH LOGIN
        = misbehaved: AUTH PLAIN is needed to log in on behalf of another, and not offered
        ",
    );
}

#[test]
fn a_message_too_long_for_a_command_waits_to_be_asked_for() {
    let secret = Secret::new("x".repeat(600));
    let text = crate::wire::sasl::encode(&[b"\0mrose\0", secret.reveal()].concat());
    play(
        Ask { secret, ..with_auth() },
        &format!(
            "
            S: 220 mx ESMTP
            C: EHLO gate.example
            S: 250-mx
            S: 250 AUTH PLAIN
            C: AUTH PLAIN
            S: 334␠
            C! {text}
            S: 235 ok
            = accepted
            "
        ),
    );
    // A server may not know initial responses; but it asks once.
    play(
        with_auth(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 AUTH PLAIN
        C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
        S: 334␠
        C! AG1yb3NlAHRhbnN0YWFm
        S: 334␠
        = misbehaved: one challenge too many after AUTH
        ",
    );
}

#[test]
fn a_token_goes_by_the_clients_mechanism_or_the_other() {
    let token = |mechanism| Ask { proof: Proof::Bearer(mechanism), ..with_auth() };
    for (mechanism, listed, said) in [
        (
            Mechanism::XOauth2,
            "XOAUTH2 OAUTHBEARER",
            "AUTH XOAUTH2 dXNlcj1tcm9zZQFhdXRoPUJlYXJlciB0YW5zdGFhZgEB",
        ),
        (
            Mechanism::XOauth2,
            "PLAIN OAUTHBEARER",
            "AUTH OAUTHBEARER bixhPW1yb3NlLAFhdXRoPUJlYXJlciB0YW5zdGFhZgEB",
        ),
    ] {
        play(
            token(mechanism),
            &format!(
                "
                S: 220 mx ESMTP
                C: EHLO gate.example
                S: 250-mx
                S: 250 AUTH {listed}
                C! {said}
                S: 235 ok
                = accepted
                "
            ),
        );
    }
    // The error challenge is answered, and kept.
    for (mechanism, name, ready) in
        [(Mechanism::XOauth2, "XOAUTH2", ""), (Mechanism::OauthBearer, "OAUTHBEARER", "AQ==")]
    {
        let list = format!("220 mx\r\n250-mx\r\n250 AUTH {name}\r\n");
        let verdict = verdict(token(mechanism), &format!("{list}334 e30=\r\n535 5.7.8 no\r\n"));
        let Verdict::Refused { text, sasl, kind, .. } = verdict else { panic!("{verdict:?}") };
        assert_eq!((text, sasl.as_deref()), (b"535 5.7.8 no".to_vec(), Some("e30=")));
        assert_eq!(kind, crate::login::Kind::BadCredentials);
        let mut back = Back::<Smtp>::new(token(mechanism));
        let mut act = Vec::new();
        back.on(Event::Opened, &mut act);
        let said = format!("{list}334 e30=\r\n");
        let mut unread = said.as_bytes();
        while let Parsed::Whole(reply, used) = back.parse(unread) {
            back.on(Event::Command(reply), &mut act);
            unread = &unread[used..];
        }
        let Some(Action::Say(last)) = act.pop() else { panic!("nothing said") };
        assert_eq!(last, format!("{ready}\r\n").as_bytes());
    }
}

#[test]
fn starttls_comes_before_all_else() {
    let ask = Ask { starttls: true, ..with_auth() };
    play(
        helo(ask.clone()),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 250-mx
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        = start tls
        > secured
        C: EHLO gate.example
        S: 250-mx
        S: 250 AUTH PLAIN
        C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
        S: 235 ok
        = accepted
        ",
    );
    for (reply, what) in [
        ("250 mx", "STARTTLS is not offered"),
        ("250-mx␍␊250 AUTH PLAIN", "STARTTLS is not offered"),
        ("250-mx␍␊250 STARTTLS", "STARTTLS refused"),
    ] {
        let script = format!(
            "
            S: 220 mx ESMTP
            C: EHLO gate.example
            S: {reply}"
        );
        let then = if what.ends_with("refused") { "C: STARTTLS\nS: 454 4.7.0 no\n" } else { "" };
        play(ask.clone(), &format!("{script}\n{then}= misbehaved: {what}"));
    }
}

#[test]
fn a_refusal_says_whose_fault_it_is() {
    for (said, end) in [
        ("535 5.7.8 no", "bad-credentials: 535 5.7.8 no"),
        ("535-5.7.8 no␍␊535 5.7.8 never", "bad-credentials: 535 5.7.8 no never"),
        ("504 5.7.4 unknown", "bad-credentials: 504 5.7.4 unknown"),
        ("454 4.7.0 later", "unavailable: 454 4.7.0 later"),
        ("421 4.3.2 stopping", "unavailable: 421 4.3.2 stopping"),
        ("534 5.7.9 weak", "forbidden: 534 5.7.9 weak"),
        ("538 5.7.11 in the clear", "forbidden: 538 5.7.11 in the clear"),
    ] {
        play(
            with_auth(),
            &format!(
                "
                S: 220 mx ESMTP
                C: EHLO gate.example
                S: 250 mx
                C! AUTH PLAIN AG1yb3NlAHRhbnN0YWFm
                S: {said}
                = refused {end}
                "
            ),
        );
    }
    for (greeting, end) in [
        ("554 5.7.1 no", "refused unavailable: 554 5.7.1 no"),
        ("421 busy", "refused unavailable: 421 busy"),
        ("250 what", "misbehaved: wrong reply in place of a greeting"),
        ("* OK IMAP4", "misbehaved: no SMTP reply in place of a greeting"),
    ] {
        play(ask(), &format!("S: {greeting}\n= {end}"));
    }
    play(
        ask(),
        "
        S: 220 mx ESMTP
        C: EHLO gate.example
        S: 550 5.7.1 not you
        = refused unavailable: 550 5.7.1 not you
        ",
    );
}

#[test]
fn nothing_that_ends_a_line_is_said() {
    let envelope = |mail: &str, rcpt: &str| {
        let envelope = Envelope { mail: mail.as_bytes().into(), rcpt: rcpt.as_bytes().into() };
        Ask { envelope: Some(Box::new(envelope)), ..relaying() }
    };
    let (mail, rcpt) = ("MAIL FROM:<a@b>", "RCPT TO:<c@d>");
    for ask in [
        Ask { user: b"u\r\nRSET"[..].into(), ..with_auth() },
        Ask { authzid: Some(b"u\n"[..].into()), ..with_auth() },
        Ask { secret: Secret::new("p\0"), ..with_auth() },
        envelope("MAIL FROM:<a@b>\r\nRCPT TO:<x@y>", rcpt),
        envelope(mail, "RCPT TO:<c@d>\nDATA"),
        envelope(mail, "DATA"),
        envelope("", rcpt),
    ] {
        assert!(matches!(verdict(ask, ""), Verdict::Misbehaved(_)));
    }
    let mut ask = telling(Tell::On);
    ask.identity.name = "gate\r\nRSET".to_owned();
    ask.identity.host = "a\r\nb".to_owned();
    ask.identity.helo = Some(Helo { name: "c\r\nd".to_owned(), extended: true });
    play(
        ask,
        "
        S: 220 mx ESMTP
        C: EHLO localhost
        S: 250-mx
        S: 250 XCLIENT NAME HELO
        C: XCLIENT NAME=[UNAVAILABLE]
        S: 220 mx ESMTP
        = accepted
        ",
    );
}
