use super::*;
use crate::login::play::{Player, play, play_among};
use crate::login::{Guest, Mechanisms};

/// The host of the transcripts.
fn offer() -> Offer {
    let words = |list: &str| list.split(' ').map(str::to_owned).collect();
    Offer {
        name: "mail.example".to_owned(),
        greeting: "IMAP4 ready".to_owned(),
        capabilities: words("IMAP4 IMAP4rev1 UIDPLUS"),
        id: [("name", "gatepost"), ("vendor", "a \"b\"")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..Offer::default()
    }
}

fn front(offer: Offer) -> Front {
    Front::new(Arc::new(offer), Guest::default())
}

/// What the front does when it hears `bytes`.
fn hears(offer: Offer, bytes: impl AsRef<[u8]>) -> (Vec<String>, usize) {
    let mut player = Player::open(front(offer), 'S');
    player.told.clear();
    player.hear(bytes.as_ref());
    (player.told.iter().cloned().collect(), player.unread().len())
}

fn capabilities(offer: Offer, secure: bool) -> String {
    Front::new(Arc::new(offer), Guest { secure, ..Guest::default() }).capabilities()
}

#[test]
fn transcripts_are_played() {
    play(front(offer()), include_str!("../../../../tests/transcripts/imap/commands.txt"));
    play(front(offer()), include_str!("../../../../tests/transcripts/imap/login.txt"));
    play(front(offer()), include_str!("../../../../tests/transcripts/imap/authenticate.txt"));
    play(front(offer()), include_str!("../../../../tests/transcripts/imap/pipelined.txt"));
    let small = Offer { client_buffer: 256, ..offer() };
    play(front(small), include_str!("../../../../tests/transcripts/imap/breaches.txt"));
}

#[test]
fn every_mechanism_is_played() {
    let all = || Offer { mechanisms: Mechanisms::of(&Mechanism::ALL), max_errors: 20, ..offer() };
    let guest = || Guest { salt: "1896.697170952".into(), ..Guest::default() };
    for script in [
        include_str!("../../../../tests/transcripts/imap/sasl.txt"),
        include_str!("../../../../tests/transcripts/imap/sasl-consulting.txt"),
        include_str!("../../../../tests/transcripts/imap/sasl-scram.txt"),
    ] {
        play(Front::new(Arc::new(all()), guest()), script);
    }
}

#[test]
fn external_is_for_those_who_have_shown_a_certificate() {
    let offer = || Offer {
        mechanisms: Mechanisms::of(&[Mechanism::External]),
        asks_certificates: true,
        capabilities: Vec::new(),
        starttls: StartTls::On,
        has_tls: true,
        ..offer()
    };
    let script = "
        S: * OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ STARTTLS LOGINDISABLED] IMAP4 ready
        C: a AUTHENTICATE EXTERNAL =
        S: a NO [CANNOT] mechanism not supported
        C: b STARTTLS
        S: b OK begin TLS negotiation now
        = start tls
        > secured by mrose
        C: c CAPABILITY
        S: * CAPABILITY IMAP4rev1 SASL-IR ID LITERAL+ AUTH=EXTERNAL LOGINDISABLED
        S: c OK completed
        C: d AUTHENTICATE EXTERNAL
        S: +␠
        C: Ym9zcw==
        = rule on boss with nothing by auth-external
        > refused forbidden
        S: d NO [AUTHORIZATIONFAILED] login not allowed
        C: e AUTHENTICATE EXTERNAL =
        = rule on mrose with nothing by auth-external
        > allowed
        S: e OK logged in
        = admit
    ";
    play(front(offer()), script);
}

#[test]
fn no_mechanism_works_before_tls_where_tls_comes_first() {
    let only = || Offer {
        mechanisms: Mechanisms::of(&Mechanism::ALL),
        starttls: StartTls::Only,
        has_tls: true,
        max_errors: 20,
        ..offer()
    };
    assert!(!capabilities(only(), false).contains("AUTH="));
    for name in Mechanism::ALL.into_iter().filter_map(Mechanism::sasl) {
        let (told, _) = hears(only(), format!("a AUTHENTICATE {name} YQ==\r\n"));
        assert_eq!(told, ["S: a NO [PRIVACYREQUIRED] use STARTTLS first"], "{name}");
    }
}

#[test]
fn an_error_challenge_is_for_who_brought_a_token_alone() {
    let script = "
        S: * OK [CAPABILITY IMAP4 IMAP4rev1 UIDPLUS SASL-IR ID LITERAL+ AUTH=PLAIN AUTH=XOAUTH2] IMAP4 ready
        C: a LOGIN u p
        = rule on u with p by login
        > refused bad-credentials sasl e30=
        S: a NO [AUTHENTICATIONFAILED] invalid user or password
        C: b AUTHENTICATE XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==
        = rule on u with t by auth-xoauth2
        > refused bad-credentials sasl {}: no base64
        S: b NO [AUTHENTICATIONFAILED] no base64
        C: c AUTHENTICATE XOAUTH2 dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==
        = rule on u with t by auth-xoauth2
        > refused bad-credentials sasl e30=
        S: + e30=
        C: a␊
        S: c BAD bare CR, bare LF or NUL
        S: * BAD invalid tag
    ";
    let mechanisms = Mechanisms::of(&[Mechanism::Plain, Mechanism::XOauth2]);
    play(front(Offer { mechanisms, ..offer() }), script);
}

#[test]
fn a_login_waits_for_tls_when_told_to() {
    let only = Offer { starttls: StartTls::Only, has_tls: true, ..offer() };
    let by_name = Offer {
        name: "tls.example".to_owned(),
        capabilities: vec!["IMAP4rev1".to_owned(), "IDLE".to_owned()],
        mechanisms: Mechanisms::of(&[Mechanism::Plain]),
        id: Vec::new(),
        ..only.clone()
    };
    let script = include_str!("../../../../tests/transcripts/imap/starttls-only.txt");
    play_among(front(only), script, &[Arc::new(by_name)]);
}

#[test]
fn a_capability_that_is_offered_works_in_its_tls_state() {
    let with = |starttls, has_tls| Offer { starttls, has_tls, ..offer() };
    let listed = "IMAP4 IMAP4rev1 UIDPLUS SASL-IR ID LITERAL+";
    for (starttls, has_tls, secure, want) in [
        (StartTls::Off, true, false, "AUTH=PLAIN AUTH=LOGIN"),
        (StartTls::On, true, false, "AUTH=PLAIN AUTH=LOGIN STARTTLS"),
        (StartTls::On, false, false, "AUTH=PLAIN AUTH=LOGIN"),
        (StartTls::On, true, true, "AUTH=PLAIN AUTH=LOGIN"),
        (StartTls::Only, true, false, "STARTTLS LOGINDISABLED"),
        (StartTls::Only, false, false, "LOGINDISABLED"),
        (StartTls::Only, true, true, "AUTH=PLAIN AUTH=LOGIN"),
    ] {
        assert_eq!(capabilities(with(starttls, has_tls), secure), format!("{listed} {want}"));
    }
}

#[test]
fn a_capability_is_said_once_and_only_if_it_holds() {
    let listing = |list: &str, plain, login| Offer {
        capabilities: list.split(' ').map(str::to_owned).collect(),
        mechanisms: [(plain, Mechanism::Plain), (login, Mechanism::AuthLogin)]
            .into_iter()
            .filter(|(on, _)| *on)
            .fold(Mechanisms::default(), |set, (_, one)| set.with(one)),
        ..offer()
    };
    for (list, plain, login, want) in [
        ("IDLE", true, false, "IMAP4rev1 IDLE SASL-IR ID LITERAL+ AUTH=PLAIN"),
        ("imap4rev2 id Literal+", true, false, "imap4rev2 id Literal+ SASL-IR AUTH=PLAIN"),
        ("IMAP4rev1 LITERAL-", true, true, "IMAP4rev1 LITERAL- SASL-IR ID AUTH=PLAIN AUTH=LOGIN"),
        (
            "IMAP4rev1 AUTH=GSSAPI STARTTLS LOGINDISABLED",
            false,
            true,
            "IMAP4rev1 SASL-IR ID LITERAL+ AUTH=LOGIN",
        ),
        ("IMAP4rev1 X]\r\n*", true, false, "IMAP4rev1 SASL-IR ID LITERAL+ AUTH=PLAIN"),
    ] {
        assert_eq!(capabilities(listing(list, plain, login), true), want, "{list:?}");
    }
}

#[test]
fn a_mechanism_that_is_not_offered_is_not_let_in() {
    let login_only = Offer { mechanisms: Mechanisms::of(&[Mechanism::AuthLogin]), ..offer() };
    // PLAIN goes where LOGIN is offered, as with nginx.
    let said = "c AUTHENTICATE CRAM-MD5\r\nd AUTHENTICATE PLAIN\r\n";
    let (told, _) = hears(login_only, said);
    let want = ["S: c NO [CANNOT] mechanism not supported", "S: +␠"];
    assert_eq!(told, want);
    // The LOGIN command goes with either, and with neither there is none.
    let none = Offer { mechanisms: Mechanisms::default(), ..offer() };
    let (told, _) = hears(none, "a LOGIN u p\r\nb LOGIN {1}\r\n");
    let unsupported = |tag: &str| format!("S: {tag} NO [CANNOT] mechanism not supported");
    assert_eq!(told, [unsupported("a"), unsupported("b")]);
}

#[test]
fn what_is_too_long_closes() {
    let small = || Offer { client_buffer: 64, ..offer() };
    let too_long = "S: * BYE command too long or out of step";
    let literal = "S: * BYE literal too long";
    for (said, want) in [
        (format!("a LOGIN {}", "x".repeat(64)), too_long),
        (format!("a LOGIN {{40+}}\r\n{} {}\r\n", "x".repeat(40), "y".repeat(40)), too_long),
        ("a LOGIN {\0 {9+}\r\n".to_owned(), too_long),
        ("a LOGIN {60+}\r\n".to_owned(), literal),
        ("a X {99999999999999999999999+}\r\n".to_owned(), literal),
    ] {
        let (told, _) = hears(small(), &said);
        assert_eq!(told, [want, "= close"], "{said:?}");
    }
    let answer = format!("a AUTHENTICATE PLAIN\r\n{}", "A".repeat(20_000));
    let (told, _) = hears(small(), answer);
    assert_eq!(told[1..], ["S: a BAD AUTHENTICATE message too long", "= close"]);
}

#[test]
fn a_host_with_literal_minus_takes_short_ones_only() {
    let minus = || Offer { capabilities: vec!["LITERAL-".to_owned()], ..offer() };
    let (told, _) = hears(minus(), "a LOGIN {4097+}\r\n");
    assert_eq!(told, ["S: * BYE literal too long", "= close"]);
    let (told, _) = hears(minus(), "a LOGIN {4096+}\r\n");
    assert!(told.is_empty());
    let (told, _) = hears(minus(), "a LOGIN {4097}\r\n");
    assert_eq!(told, ["S: + OK"]);
}

#[test]
fn a_bare_line_end_ends_no_command() {
    let (told, _) = hears(offer(), "a NOOP\nb NOOP\rc NOOP\r\nd NOOP\r\n");
    let bare = "S: * BAD bare CR, bare LF or NUL";
    assert_eq!(told, [bare, bare, "S: d OK completed"]);
    let (told, _) = hears(offer(), "a AUTHENTICATE PLAIN\r\nAA==\nb NOOP\r\n");
    assert_eq!(told[1..], ["S: a BAD bare CR, bare LF or NUL", "S: b OK completed"]);
}

#[test]
fn the_last_breach_that_is_borne_closes() {
    for max_errors in [0, 1, 3] {
        let (told, unread) = hears(Offer { max_errors, ..offer() }, "a X\r\n".repeat(5));
        let borne = usize::try_from(max_errors).unwrap().max(1);
        assert_eq!(told.len(), borne + 1);
        assert_eq!(told.last().map(String::as_str), Some("= close"));
        assert_eq!(unread, (5 - borne) * "a X\r\n".len(), "nothing is read after the end");
    }
}

#[test]
fn nothing_is_read_while_tls_or_a_ruling_is_pending() {
    let with_tls = Offer { starttls: StartTls::On, has_tls: true, ..offer() };
    let (told, unread) = hears(with_tls, "a STARTTLS\r\nb LOGIN u p\r\n");
    assert_eq!((told.len(), unread), (2, "b LOGIN u p\r\n".len()));
    let (told, unread) = hears(offer(), "a LOGIN u p\r\nb SELECT INBOX\r\n");
    assert_eq!((told.len(), unread), (1, "b SELECT INBOX\r\n".len()));
}

#[test]
fn an_upstreams_untagged_data_comes_before_the_ok() {
    let mut player = Player::open(front(offer()), 'S');
    player.hear(b"a LOGIN u p\r\n");
    player.told.clear();
    let untagged = b"* CAPABILITY IMAP4rev1\r\n* NO [ALERT] disk\r\n".to_vec();
    player.happens(Event::Ruled(Ok(Granted { untagged, ..Granted::default() })));
    let want =
        ["S: * CAPABILITY IMAP4rev1", "S: * NO [ALERT] disk", "S: a OK logged in", "= admit"];
    assert_eq!(player.told, want);
}

#[test]
fn an_event_out_of_turn_is_our_fault_and_ends_the_session() {
    let mut player = Player::open(front(offer()), 'S');
    player.told.clear();
    player.happens(Event::Ruled(Ok(Granted::default())));
    assert_eq!(player.told, ["S: * BAD internal server error", "= close"]);
}
