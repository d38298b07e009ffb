use super::*;
use crate::login::play::{Player, play_back};
use crate::login::{Identity, Secured};

fn ask() -> Ask {
    Ask {
        imap_id: Tell::Auto,
        ..Ask::new(
            b"mrose".as_slice(),
            Secret::new("tanstaaf"),
            Identity {
                local: "198.51.100.1:143".parse().unwrap(),
                via: "10.0.0.1".parse().unwrap(),
                agent: Some("Thunderbird".to_owned()),
                agent_version: Some("128.0".to_owned()),
                ..Identity::new("192.0.2.1:4711".parse().unwrap(), "s1")
            },
        )
    }
}

/// One that says no ID, for what has nothing to do with it.
fn quiet() -> Ask {
    Ask { imap_id: Tell::Off, ..ask() }
}

/// What the back does when it hears `bytes`, TLS always coming up.
fn hears(ask: Ask, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let mut player = Player::open(Back::new(ask), 'C');
    player.hear(bytes.as_ref());
    while player.waits {
        player.happens(Event::Secured(Secured::default()));
    }
    player.told.into()
}

fn with_user(user: &str, secret: &str, ask: Ask) -> Ask {
    Ask { user: user.as_bytes().into(), secret: Secret::new(secret), ..ask }
}

#[test]
fn transcripts_are_played() {
    let dovecot = Ask { dovecot: true, ..ask() };
    play_back(
        Back::new(dovecot),
        include_str!("../../../../tests/transcripts/imap/back-dovecot.txt"),
    );
    play_back(Back::new(ask()), include_str!("../../../../tests/transcripts/imap/back-zimbra.txt"));
    play_back(
        Back::new(bearing(Mechanism::XOauth2)),
        include_str!("../../../../tests/transcripts/imap/back-oauth.txt"),
    );
    let starttls = Ask { starttls: true, ..ask() };
    play_back(
        Back::new(starttls),
        include_str!("../../../../tests/transcripts/imap/back-starttls.txt"),
    );
    let eight_bit = with_user("m\u{fc}ller", "na\u{ef}ve", ask());
    play_back(
        Back::new(eight_bit),
        include_str!("../../../../tests/transcripts/imap/back-rude.txt"),
    );
}

#[test]
fn the_login_is_what_the_upstream_can_take() {
    let behalf = Ask { authzid: Some(b"boss".as_slice().into()), ..quiet() };
    let umlaut = with_user("m\u{fc}", "p", quiet());
    let sasl = "C! g1 AUTHENTICATE PLAIN AG1yb3NlAHRhbnN0YWFm";
    for (ask, offers, want) in [
        (quiet(), None, "C! g1 LOGIN \"mrose\" \"tanstaaf\""),
        (quiet(), Some("AUTH=LOGIN"), "C! g1 LOGIN \"mrose\" \"tanstaaf\""),
        (quiet(), Some("AUTH=PLAIN SASL-IR"), sasl),
        (quiet(), Some("AUTH=PLAIN SASL-IR LOGINDISABLED"), sasl),
        (quiet(), Some("AUTH=PLAIN"), "C! g1 AUTHENTICATE PLAIN"),
        (quiet(), Some("LOGINDISABLED"), "= misbehaved: offers no login that we can do"),
        (behalf.clone(), None, "C! g1 AUTHENTICATE PLAIN"),
        (behalf.clone(), Some("SASL-IR"), "= misbehaved: AUTH=PLAIN is not offered"),
        (
            behalf,
            Some("AUTH=PLAIN SASL-IR"),
            "C! g1 AUTHENTICATE PLAIN Ym9zcwBtcm9zZQB0YW5zdGFhZg==",
        ),
        (umlaut.clone(), Some("LITERAL-"), "C! g1 LOGIN {3+}␍␊m\u{fc} \"p\""),
        (umlaut, None, "C! g1 LOGIN {3}"),
    ] {
        let code = offers.map(|list| format!("[CAPABILITY IMAP4rev1 {list}] "));
        let greeting = format!("* OK {}ready\r\n", code.unwrap_or_default());
        assert_eq!(hears(ask, &greeting).join("␍␊").replace("␍␊C! m", "␍␊m"), want, "{offers:?}");
    }
}

/// A token in place of the password.
fn bearing(own: Mechanism) -> Ask {
    Ask { proof: Proof::Bearer(own), ..quiet() }
}

#[test]
fn a_token_goes_by_what_the_upstream_offers() {
    use Mechanism::{OauthBearer, XOauth2};
    let google = "dXNlcj1tcm9zZQFhdXRoPUJlYXJlciB0YW5zdGFhZgEB";
    let rfc = "bixhPW1yb3NlLAFhdXRoPUJlYXJlciB0YW5zdGFhZgEB";
    for (own, offers, want) in [
        (XOauth2, None, "C! g1 AUTHENTICATE XOAUTH2".to_owned()),
        (OauthBearer, None, "C! g1 AUTHENTICATE OAUTHBEARER".to_owned()),
        (XOauth2, Some("AUTH=XOAUTH2"), "C! g1 AUTHENTICATE XOAUTH2".to_owned()),
        (
            XOauth2,
            Some("SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER"),
            format!("C! g1 AUTHENTICATE XOAUTH2 {google}"),
        ),
        (
            OauthBearer,
            Some("SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER"),
            format!("C! g1 AUTHENTICATE OAUTHBEARER {rfc}"),
        ),
        (
            XOauth2,
            Some("SASL-IR AUTH=OAUTHBEARER"),
            format!("C! g1 AUTHENTICATE OAUTHBEARER {rfc}"),
        ),
        (OauthBearer, Some("SASL-IR AUTH=XOAUTH2"), format!("C! g1 AUTHENTICATE XOAUTH2 {google}")),
        // Never as a password.
        (XOauth2, Some("AUTH=PLAIN SASL-IR"), "= misbehaved: XOAUTH2 is not offered".to_owned()),
        (OauthBearer, Some("ID"), "= misbehaved: OAUTHBEARER is not offered".to_owned()),
    ] {
        let code = offers.map(|list| format!("[CAPABILITY IMAP4rev1 {list}] "));
        let greeting = format!("* OK {}ready\r\n", code.unwrap_or_default());
        assert_eq!(hears(bearing(own), &greeting), [want], "{own:?} {offers:?}");
    }
}

#[test]
fn an_error_challenge_is_answered_once_and_kept() {
    let greeting = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=OAUTHBEARER] x\r\n";
    for (said, want) in [
        ("+ e30=\r\ng1 NO no", &["C: AQ==", "= refused bad-credentials sasl e30=: no"][..]),
        ("+ {}\r\ng1 NO no", &["C: AQ==", "= refused bad-credentials: no"]),
        ("g1 NO no", &["= refused bad-credentials: no"]),
        ("g1 OK in", &["= accepted: in"]),
        (
            "+ e30=\r\ng1 OK in",
            &["C: AQ==", "= misbehaved: let somebody in after an error challenge"],
        ),
        ("+ e30=\r\n* BYE x", &["C: AQ==", "= refused unavailable sasl e30=: x"]),
        ("+ e30=\r\n+ e30=", &["C: AQ==", "= misbehaved: asked for more than a login has"]),
    ] {
        let told = hears(bearing(Mechanism::XOauth2), format!("{greeting}{said}\r\n"));
        assert_eq!(told[1..], *want, "{said:?}");
    }
}

#[test]
fn a_token_that_would_break_its_message_is_not_said() {
    let ask = || bearing(Mechanism::XOauth2);
    for (user, secret) in
        [("u\u{1}auth=Bearer x", "t"), ("u", "t t"), ("u", "t\u{1}"), ("u", ""), ("u\r\n", "t")]
    {
        assert_eq!(hears(with_user(user, secret, ask()), "* OK x\r\n"), ["= refused internal"]);
    }
    // On behalf of another, the token is said to be his.
    let behalf = Ask { authzid: Some(b"boss".as_slice().into()), ..ask() };
    let told = hears(behalf, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] x\r\n");
    assert_eq!(told, ["C! g1 AUTHENTICATE XOAUTH2 dXNlcj1ib3NzAWF1dGg9QmVhcmVyIHRhbnN0YWFmAQE="]);
}

#[test]
fn id_is_told_to_whom_it_is_meant_for() {
    let id = |ask, greeting: &str| hears(ask, greeting)[0].contains(" ID (");
    let offered = "* OK [CAPABILITY IMAP4rev1 ID] x\r\n";
    let lacking = "* OK [CAPABILITY IMAP4rev1 IDLE] x\r\n";
    let unknown = "* OK x\r\n";
    for (tell, greeting, want) in [
        (Tell::Auto, offered, true),
        (Tell::Auto, unknown, true),
        (Tell::Auto, lacking, false),
        (Tell::On, lacking, true),
        (Tell::Off, offered, false),
    ] {
        assert_eq!(id(Ask { imap_id: tell, ..ask() }, greeting), want, "{tell:?} {greeting}");
    }
}

#[test]
fn a_client_without_a_name_goes_by_ours_and_a_mapped_address_by_its_own() {
    let mut ask = ask();
    ask.identity.agent = None;
    ask.identity.client = "[::ffff:192.0.2.1]:4711".parse().unwrap();
    ask.identity.ttl = 0;
    let version = env!("CARGO_PKG_VERSION");
    let want = format!(
        "C! g1 ID (\"X-ORIGINATING-IP\" \"192.0.2.1\" \"name\" \"gatepost\" \"version\" \
         \"{version}\" \"X-VIA\" \"10.0.0.1(gatepost)\" \"x-session-id\" \"s1\" \
         \"x-proxy-ttl\" \"0\")"
    );
    assert_eq!(hears(ask, "* OK x\r\n")[0], want);
}

#[test]
fn a_value_cannot_end_the_id() {
    let mut ask = ask();
    ask.identity.agent = Some("x\")\r\ng9 LOGOUT\r\n".to_owned());
    ask.identity.session = "\u{fc}\0".to_owned();
    let told = hears(ask, "* OK x\r\n");
    assert_eq!(told.len(), 2, "ID and LOGIN: {told:?}");
    assert!(told[0].contains("\"name\" \"x\\\")??g9 LOGOUT??\""), "{told:?}");
    assert!(told[0].contains("\"x-session-id\" \"???\""), "{told:?}");
}

#[test]
fn credentials_that_would_end_a_line_are_not_said() {
    for (user, secret) in [("u\r\ng2 LOGOUT", "p"), ("u", "p\n"), ("u\0", "p")] {
        for greeting in ["* OK x\r\n", "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] x\r\n"] {
            let told = hears(with_user(user, secret, quiet()), greeting);
            assert_eq!(told, ["= refused internal"], "{user:?}");
        }
    }
}

#[test]
fn credentials_are_said_in_confidence_only() {
    for caps in ["", "[CAPABILITY IMAP4rev1 AUTH=PLAIN] "] {
        let told = hears(ask(), format!("* OK {caps}x\r\n+ \r\n+ \r\n"));
        for line in told.iter().filter(|line| line.starts_with("C: ")) {
            assert!(!line.contains("tanstaaf") && !line.contains("AG1yb3Nl"), "{line}");
        }
    }
}

#[test]
fn a_refusal_is_understood_by_its_code() {
    for (answer, want) in [
        ("g1 NO Login failed", "= refused bad-credentials: Login failed"),
        ("g1 NO", "= refused bad-credentials"),
        ("g1 NO [LIMIT] too many", "= refused throttled: [LIMIT] too many"),
        ("g1 NO [EXPIRED] x", "= refused forbidden: [EXPIRED] x"),
        ("g1 NO [REFERRAL imap://h/] x", "= refused bad-credentials: [REFERRAL imap://h/] x"),
        ("* BYE going down", "= refused unavailable: going down"),
        ("* BYE [LIMIT] many", "= refused throttled: [LIMIT] many"),
        ("g1 BAD LOGIN mrose tanstaaf?", "= misbehaved: answered the login with BAD"),
        ("+ more", "= misbehaved: asked for more than a login has"),
        ("g7 OK in", "= misbehaved: answered what was not asked"),
        ("g1 maybe", "= misbehaved: no IMAP reply"),
        ("g1 OK in\n", "= misbehaved: bare CR, bare LF or NUL in a reply"),
    ] {
        let told = hears(quiet(), format!("* OK x\r\n{answer}\r\n"));
        assert_eq!(told.last().map(String::as_str), Some(want), "{answer}");
        assert_eq!(told.len(), 2, "{told:?}");
    }
}

#[test]
fn alerts_come_with_a_refusal_too() {
    let told = hears(quiet(), "* OK [ALERT] a\r\n* NO [ALERT] b\r\ng1 NO [EXPIRED] c\r\n");
    let want = [
        "= untagged: * OK [ALERT] a",
        "= untagged: * NO [ALERT] b",
        "= refused forbidden: [EXPIRED] c",
    ];
    assert_eq!(told[1..], want);
}

#[test]
fn a_greeting_that_is_none_settles_it() {
    for (greeting, want) in [
        ("* PREAUTH in", "= misbehaved: greeted with PREAUTH, as somebody logged in already"),
        ("* BYE too many\u{fc}", "= misbehaved: greeted with BYE: too many??"),
        ("* NO x", "= misbehaved: no IMAP greeting"),
        ("* CAPABILITY IMAP4rev1", "= misbehaved: no IMAP greeting"),
        ("220 mail.example ESMTP", "= misbehaved: no IMAP reply"),
        ("+OK POP3 ready", "= misbehaved: no IMAP greeting"),
    ] {
        assert_eq!(hears(ask(), format!("{greeting}\r\n")), [want], "{greeting}");
    }
}

#[test]
fn without_starttls_nothing_is_said_in_the_clear() {
    let starttls = || Ask { starttls: true, ..ask() };
    for (said, want) in [
        ("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x\r\n", "= misbehaved: offers no STARTTLS"),
        ("* OK x\r\n* CAPABILITY IMAP4rev1\r\ng1 OK x\r\n", "= misbehaved: offers no STARTTLS"),
        ("* OK x\r\ng1 BAD x\r\ng2 NO x\r\n", "= misbehaved: refused STARTTLS"),
        ("* OK x\r\ng1 OK x\r\n+ x\r\n", "= misbehaved: answered what was not asked"),
    ] {
        let told = hears(starttls(), said);
        assert_eq!(told.last().map(String::as_str), Some(want), "{said}");
        assert!(!told.iter().any(|line| line.starts_with("C! ")), "{told:?}");
    }
}

#[test]
fn who_says_too_much_is_not_listened_to() {
    let line = format!("* LIST () \"/\" \"{}\"\r\n", "x".repeat(1000));
    let told = hears(quiet(), format!("* OK x\r\n{}", line.repeat(70)));
    assert_eq!(told[1..], ["= misbehaved: said too much before it answered the login"]);
    let early = hears(umlaut_and_id(), format!("* OK x\r\n{}", line.repeat(70)));
    assert_eq!(early[1..], ["= misbehaved: said too much before it answered the login"]);
}

/// One whose ID goes alone, so that there is a wait before the login.
fn umlaut_and_id() -> Ask {
    with_user("m\u{fc}", "p", ask())
}

#[test]
fn nobody_is_let_in_before_the_password_is_said() {
    let told = hears(with_user("m\u{fc}", "p", quiet()), "* OK x\r\ng1 OK in\r\n");
    assert_eq!(told[1..], ["= misbehaved: let somebody in before the password was said"]);
}

#[test]
fn an_event_out_of_turn_is_our_fault() {
    let mut player = Player::open(Back::new(quiet()), 'C');
    player.happens(Event::Secured(Secured::default()));
    assert_eq!(player.told, ["= refused internal"]);
}
