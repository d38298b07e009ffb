use super::*;
use crate::login::play::{Player, play_back};
use crate::login::{Identity, Secured};

fn ask() -> Ask {
    let identity = Identity::new("192.0.2.1:4711".parse().unwrap(), "7L0C3/+2Bc");
    Ask { xclient: Tell::Auto, ..Ask::new(&b"mrose"[..], Secret::new("tanstaaf"), identity) }
}

fn by_token(mechanism: Mechanism) -> Ask {
    Ask { proof: Proof::Bearer(mechanism), ..ask() }
}

/// What the back does when it hears `lines`, TLS always coming up.
fn hears(ask: Ask, lines: &[&str]) -> Vec<String> {
    let mut player = Player::open(Back::new(ask), 'C');
    for line in lines {
        player.hear(format!("{line}\r\n").as_bytes());
        while player.waits {
            player.happens(Event::Secured(Secured::default()));
        }
    }
    player.told.into()
}

/// The login's verdict, when the upstream says `line` to AUTHENTICATE PLAIN.
fn answered(line: &str) -> String {
    let mut told = hears(ask(), &["OK", line]);
    assert_eq!(told.remove(0), "C! AUTHENTICATE \"PLAIN\" \"AG1yb3NlAHRhbnN0YWFm\"");
    told.join("|")
}

#[test]
fn transcripts_are_played() {
    play_back(
        Back::new(ask()),
        include_str!("../../../../tests/transcripts/sieve/back-dovecot.txt"),
    );
    let boss = Ask { starttls: true, authzid: Some(b"boss"[..].into()), ..ask() };
    play_back(
        Back::new(boss),
        include_str!("../../../../tests/transcripts/sieve/back-starttls.txt"),
    );
}

#[test]
fn the_client_is_told_of_where_that_is_wanted() {
    let xclient = "C: XCLIENT ADDR=192.0.2.1 PORT=4711 SESSION=7L0C3/+2Bc TTL=5";
    let first = |tell, lines: &[&str]| hears(Ask { xclient: tell, ..ask() }, lines)[0].clone();
    assert_eq!(first(Tell::Auto, &["\"XCLIENT\"", "OK"]), xclient);
    assert_eq!(first(Tell::Auto, &["\"XCLIENT\" \"ADDR PORT TTL\"", "OK"]), xclient);
    assert_eq!(first(Tell::On, &["OK"]), xclient);
    for (tell, lines) in [(Tell::Auto, &["OK"][..]), (Tell::Off, &["\"XCLIENT\"", "OK"])] {
        assert!(first(tell, lines).starts_with("C! AUTHENTICATE"));
    }
    // Before TLS an attacker may have offered it.
    let told =
        hears(Ask { starttls: true, ..ask() }, &["\"XCLIENT\"", "\"STARTTLS\"", "OK", "OK", "OK"]);
    assert_eq!(told[..2], ["C: STARTTLS", "= start tls"]);
    assert!(told[2].starts_with("C! AUTHENTICATE"), "{told:?}");
}

#[test]
fn an_upstream_that_will_not_be_told_still_gets_the_login() {
    let told = hears(Ask { xclient: Tell::On, ..ask() }, &["OK", "NO \"You are not trusted\""]);
    assert_eq!(told[1], "C! AUTHENTICATE \"PLAIN\" \"AG1yb3NlAHRhbnN0YWFm\"");
    let told = hears(Ask { xclient: Tell::On, ..ask() }, &["OK", "BYE"]);
    assert_eq!(told[1], "= refused unavailable");
}

#[test]
fn a_session_id_that_is_no_atom_is_left_out() {
    for session in ["", "a b", "a\"b", "a{3}", "a(", "a\r\nLOGOUT", "m\u{fc}"] {
        let identity = Identity { session: session.to_owned(), ttl: 1, ..ask().identity };
        let ask = Ask { xclient: Tell::On, identity, ..ask() };
        assert_eq!(hears(ask, &["OK"]), ["C: XCLIENT ADDR=192.0.2.1 PORT=4711 TTL=1"]);
    }
}

#[test]
fn the_mechanism_is_one_that_is_offered() {
    let boss = Ask { authzid: Some(b"boss"[..].into()), ..ask() };
    let plain = "C! AUTHENTICATE \"PLAIN\" \"AG1yb3NlAHRhbnN0YWFm\"";
    let xoauth2 = "C! AUTHENTICATE \"XOAUTH2\" \"dXNlcj1tcm9zZQFhdXRoPUJlYXJlciB0YW5zdGFhZgEB\"";
    let oauthbearer =
        "C! AUTHENTICATE \"OAUTHBEARER\" \"bixhPW1yb3NlLAFhdXRoPUJlYXJlciB0YW5zdGFhZgEB\"";
    let none = "= misbehaved: offers no login that we can do";
    let (x, o) = (by_token(Mechanism::XOauth2), by_token(Mechanism::OauthBearer));
    for (ask, sasl, want) in [
        (ask(), "LOGIN PLAIN", plain),
        (ask(), "LOGIN", "C: AUTHENTICATE \"LOGIN\""),
        (ask(), "GSSAPI", none),
        (ask(), "", none),
        (boss, "LOGIN", none),
        (x.clone(), "XOAUTH2 OAUTHBEARER", xoauth2),
        (x.clone(), "OAUTHBEARER", oauthbearer),
        (o.clone(), "XOAUTH2 OAUTHBEARER", oauthbearer),
        (o.clone(), "PLAIN XOAUTH2", xoauth2),
        (o, "PLAIN LOGIN", "= misbehaved: offers no login by token"),
    ] {
        assert_eq!(hears(ask, &[&format!("\"SASL\" \"{sasl}\""), "OK"]), [want], "{sasl}");
    }
    assert_eq!(hears(ask(), &["OK"]), [plain]);
    assert_eq!(hears(x, &["OK"]), [xoauth2]);
}

#[test]
fn login_says_name_and_password_when_asked() {
    let sasl = "\"SASL\" \"LOGIN\"";
    let told = hears(ask(), &[sasl, "OK", "\"VXNlcm5hbWU6\"", "{12}\r\nUGFzc3dvcmQ6", "OK"]);
    assert_eq!(
        told,
        ["C: AUTHENTICATE \"LOGIN\"", "C! \"bXJvc2U=\"", "C! \"dGFuc3RhYWY=\"", "= accepted"]
    );
    for early in [&["OK"][..], &["\"VXNlcm5hbWU6\"", "OK"]] {
        let told = hears(ask(), &[&[sasl, "OK"], early].concat());
        let last = told.last().map(String::as_str);
        assert_eq!(last, Some("= misbehaved: let somebody in before the password was said"));
    }
    let told = hears(ask(), &[sasl, "OK", "\"\"", "\"\"", "\"\""]);
    let last = told.last().map(String::as_str);
    assert_eq!(last, Some("= misbehaved: asked for more than a login has"));
}

#[test]
fn an_upstream_that_passes_over_the_message_is_told_again_once() {
    let told = hears(ask(), &["OK", "\"\"", "OK \"in\""]);
    assert_eq!(told[1..], ["C! \"AG1yb3NlAHRhbnN0YWFm\"", "= accepted: \"in\""]);
    let more = "= misbehaved: asked for more than a login has";
    assert_eq!(hears(ask(), &["OK", "\"\"", "\"\""])[2], more);
    assert_eq!(hears(ask(), &["OK", "\"cmVhbG09\""])[1], more);
}

#[test]
fn a_long_message_goes_as_a_literal() {
    let long = Ask { secret: Secret::new("x".repeat(1000)), ..ask() };
    let told = hears(long, &["OK"]);
    assert_eq!(told[0], "C! AUTHENTICATE \"PLAIN\" {1344+}");
    assert!(told.len() == 2 && told[1].len() == "C! ".len() + 1344);
}

#[test]
fn what_was_wrong_with_a_token_is_handed_on() {
    for (mechanism, acknowledged) in
        [(Mechanism::XOauth2, "\"\""), (Mechanism::OauthBearer, "\"AQ==\"")]
    {
        let (mut back, mut act) = (Back::new(by_token(mechanism)), Vec::new());
        back.on(Event::Opened, &mut act);
        let lines = ["OK", "\"eyJzdGF0dXMiOiI0MDEifQ==\"", "NO \"Authentication failed.\""];
        for line in lines.map(|line| format!("{line}\r\n")) {
            let Parsed::Whole(reply, _) = back.parse(line.as_bytes()) else { panic!("{line}") };
            back.on(Event::Command(reply), &mut act);
        }
        let [_, Action::Say(said), Action::Settle(verdict)] = act.as_slice() else {
            panic!("{act:?}")
        };
        assert_eq!(said, format!("{acknowledged}\r\n").as_bytes());
        let want = Verdict::Refused {
            kind: Kind::BadCredentials,
            text: b"Authentication failed.".to_vec(),
            untagged: Vec::new(),
            sasl: Some("eyJzdGF0dXMiOiI0MDEifQ==".to_owned()),
        };
        assert_eq!(*verdict, want);
    }
    let told = hears(by_token(Mechanism::XOauth2), &["OK", "\"e30=\"", "\"e30=\""]);
    assert_eq!(told[2], "= misbehaved: asked for more than a login has");
}

#[test]
fn an_answer_is_what_its_code_says() {
    for (line, want) in [
        ("OK", "= accepted"),
        ("OK \"Logged in.\"", "= accepted: \"Logged in.\""),
        ("OK (WARNINGS) {5}\r\na\r\nb!", "= accepted: (WARNINGS) \"a  b!\""),
        ("OK (SASL \"dj0=\") \"in\"", "= accepted: \"in\""),
        ("NO", "= refused bad-credentials"),
        ("NO \"Authentication failed.\"", "= refused bad-credentials: Authentication failed."),
        ("NO (TRYLATER) \"later\"", "= refused unavailable: (TRYLATER) later"),
        ("NO (AUTH-TOO-WEAK)", "= refused forbidden: (AUTH-TOO-WEAK)"),
        ("NO (ENCRYPT-NEEDED) \"x\"", "= refused forbidden: (ENCRYPT-NEEDED) x"),
        ("NO (TRANSITION-NEEDED) \"x\"", "= refused forbidden: (TRANSITION-NEEDED) x"),
        (
            "BYE (REFERRAL \"sieve://h.example\") \"try h\"",
            "= refused forbidden: (REFERRAL \"sieve://h.example\") try h",
        ),
        ("BYE \"shutting down\"", "= refused unavailable: shutting down"),
        ("NO {10}\r\nx\r\nOK \"in\"", "= refused bad-credentials: x  OK \"in\""),
        ("BAD what", "= misbehaved: no ManageSieve reply"),
        ("+ go on", "= misbehaved: no ManageSieve reply"),
    ] {
        assert_eq!(answered(line), want, "{line:?}");
    }
    let told = hears(ask(), &["OK", "\"OWNER\" \"mrose\"", "{1}\r\na {3}\r\n\r\nb", "OK"]);
    assert_eq!(told[1..], ["= untagged: \"OWNER\" \"mrose\"", "= accepted"]);
}

#[test]
fn a_greeting_that_is_none_ends_it() {
    for (line, want) in [
        ("BYE (TRYLATER) \"too busy\"", "= refused unavailable: (TRYLATER) too busy"),
        ("NO \"go away\"", "= refused unavailable: go away"),
        ("* OK IMAP4rev1", "= misbehaved: no ManageSieve reply"),
        ("+OK POP3", "= misbehaved: no ManageSieve reply"),
        ("220 smtp.example ESMTP", "= misbehaved: no ManageSieve reply"),
    ] {
        assert_eq!(hears(ask(), &[line]), [want], "{line}");
    }
}

#[test]
fn tls_comes_before_anything_else() {
    let ask = || Ask { starttls: true, xclient: Tell::On, ..ask() };
    assert_eq!(hears(ask(), &["OK"]), ["= misbehaved: offers no STARTTLS"]);
    let told = hears(ask(), &["\"STARTTLS\"", "OK", "NO \"not today\""]);
    assert_eq!(told[1], "= misbehaved: refused STARTTLS");
    let told = hears(ask(), &["\"STARTTLS\"", "OK", "\"SASL\" \"PLAIN\""]);
    assert_eq!(told[1], "= misbehaved: answered what was not asked");
}

#[test]
fn an_upstream_that_talks_without_end_misbehaves() {
    let line = format!("\"SIEVE\" \"{}\"", "x".repeat(8000));
    let told = hears(ask(), &[&*line; 9]);
    assert_eq!(told, ["= misbehaved: said too much before it answered the login"]);
}

#[test]
fn credentials_that_nobody_should_have_let_through_are_not_sent() {
    for (user, secret) in [("u\r\nNOOP", "p"), ("u", "p\n"), ("u\0", "p")] {
        for proof in [Proof::Password, Proof::Bearer(Mechanism::XOauth2)] {
            let ask =
                Ask { user: user.as_bytes().into(), secret: Secret::new(secret), proof, ..ask() };
            assert_eq!(hears(ask, &["OK"]), ["= refused internal"]);
        }
    }
    let ask = Ask { user: b"u\x01auth=Bearer x"[..].into(), ..by_token(Mechanism::OauthBearer) };
    assert_eq!(hears(ask, &["OK"]), ["= refused internal"]);
}
