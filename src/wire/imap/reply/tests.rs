use proptest::prelude::*;

use super::*;

fn said(line: &str) -> Said<'_> {
    match parse(line.as_bytes()) {
        Parsed::Whole(Reply { raw, said }, used) => {
            assert_eq!((raw, used), (line.as_bytes(), line.len()), "{line:?}");
            said
        }
        other => panic!("{line:?}: {other:?}"),
    }
}

const NONE: Capabilities = Capabilities {
    starttls: false,
    login_disabled: false,
    auth_plain: false,
    auth_xoauth2: false,
    auth_oauthbearer: false,
    sasl_ir: false,
    id: false,
    literal_plus: false,
    literal_minus: false,
};

const WHOLE: &[&str] = &[
    "* OK ready\r\n",
    "* OK [CAPABILITY IMAP4rev1 ID] ready\r\n",
    "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n",
    "g1 OK done\r\n",
    "+ \r\n",
    "* ID (\"name\" {7}\r\nD o \r\nv {0}\r\n \"os\" {1}\r\nx)\r\n",
    "* LIST () \"/\" {5}\r\nIN\r\nX\r\n",
    "* 5 EXISTS\r\n",
];

#[test]
fn reads_each_kind_of_line() {
    use Status::{Bad, Bye, No, Ok, PreAuth};
    for (line, want) in [
        ("* OK ready\r\n", Said::Untagged { status: Ok, text: b"ready" }),
        ("* ok\r\n", Said::Untagged { status: Ok, text: b"" }),
        ("* OK pr\u{ea}t {5}\r\n", Said::Untagged { status: Ok, text: "pr\u{ea}t {5}".as_bytes() }),
        ("* OK [ALERT]\u{e9}\r\n", Said::Untagged { status: Ok, text: "[ALERT]\u{e9}".as_bytes() }),
        ("* PREAUTH in\r\n", Said::Untagged { status: PreAuth, text: b"in" }),
        ("* BYE [UNAVAILABLE] x\r\n", Said::Untagged { status: Bye, text: b"[UNAVAILABLE] x" }),
        ("* NO [ALERT] disk\r\n", Said::Untagged { status: No, text: b"[ALERT] disk" }),
        ("* BAD what\r\n", Said::Untagged { status: Bad, text: b"what" }),
        (
            "g1 OK [CAPABILITY X] in\r\n",
            Said::Tagged { tag: b"g1", status: Ok, text: b"[CAPABILITY X] in" },
        ),
        ("g2 no\r\n", Said::Tagged { tag: b"g2", status: No, text: b"" }),
        (
            "g3 BAD m\u{fc}\r\n",
            Said::Tagged { tag: b"g3", status: Bad, text: "m\u{fc}".as_bytes() },
        ),
        ("+ \r\n", Said::Continue(b"")),
        ("+\r\n", Said::Continue(b"")),
        ("+ OK\r\n", Said::Continue(b"OK")),
        ("+go\r\n", Said::Continue(b"go")),
        ("* ID NIL\r\n", Said::Id),
        ("* ID (\"name\" \"Dovecot\")\r\n", Said::Id),
        ("* 5 EXISTS\r\n", Said::Other),
        ("* 1 FETCH (BODY ((((\r\n", Said::Other),
        ("* ESEARCH (TAG \"a\")\r\n", Said::Other),
        ("* \r\n", Said::Other),
    ] {
        assert_eq!(said(line), want, "{line:?}");
    }
}

#[test]
fn finds_what_a_login_hangs_on() {
    let all = Capabilities {
        starttls: true,
        login_disabled: true,
        auth_plain: true,
        auth_xoauth2: true,
        auth_oauthbearer: true,
        sasl_ir: true,
        id: true,
        literal_plus: true,
        literal_minus: true,
    };
    for (words, want) in [
        ("IMAP4rev1", NONE),
        ("IMAP4rev1 ID", Capabilities { id: true, ..NONE }),
        // No IMAP4rev1: not for imap-proto.
        ("IMAP4rev2 auth=plain", Capabilities { auth_plain: true, ..NONE }),
        ("IMAP4rev1 IDLE AUTH=PLAINER XSTARTTLS", NONE),
        (
            "IMAP4rev1 LITERAL- ID LITERAL+ SASL-IR AUTH=PLAIN AUTH=XOAUTH2 auth=oauthbearer \
             STARTTLS LOGINDISABLED",
            all,
        ),
    ] {
        assert_eq!(said(&format!("* CAPABILITY {words}\r\n")), Said::Capability(want), "{words}");
        assert_eq!(capabilities(words.as_bytes()), want, "{words}");
    }
}

#[test]
fn a_code_is_what_stands_in_brackets() {
    for (text, want) in [
        ("[ALERT] x", Some(("ALERT", ""))),
        ("[CAPABILITY IMAP4rev1 ID] x", Some(("CAPABILITY", "IMAP4rev1 ID"))),
        ("[REFERRAL imap://h/]", Some(("REFERRAL", "imap://h/"))),
        ("[] x", None),
        ("[ALERT x", None),
        ("x [ALERT]", None),
        ("[[x]", None),
    ] {
        let want = want.map(|(name, rest)| (name.as_bytes(), rest.as_bytes()));
        assert_eq!(code(text.as_bytes()), want, "{text}");
    }
    assert!(is_alert(b"[alert] x") && !is_alert(b"[ALERTS] x") && !is_alert(b"x"));
}

#[test]
fn asks_for_more_at_every_split() {
    for whole in WHOLE {
        let _ = said(whole);
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..cut]), Parsed::More, "{:?}", &whole[..cut]);
        }
        hold_for_any(whole.as_bytes());
    }
}

#[test]
fn names_each_breach() {
    let long_line = format!("* OK {}\r\n", "x".repeat(MAX_LINE));
    let many_literals = format!("* X {}", "{1}\r\nx".repeat(MAX_REPLY / 6 + 10));
    for (input, want) in [
        ("220 mail.example ESMTP\r\n", Error::Garbage),
        ("\r\n", Error::Garbage),
        (" OK\r\n", Error::Garbage),
        ("*\r\n", Error::Garbage),
        ("HTTP/1.1 400 Bad Request\r\n", Error::Garbage),
        ("g1 BYE x\r\n", Error::Garbage),
        ("* OK x\n", Error::Control),
        ("* OK x\r\r\n", Error::Control),
        ("* OK \0\r\n", Error::Control),
        ("* X {99999999999999999999999}\r\n", Error::TooLong),
        ("* X {65536}\r\n", Error::TooLong),
        (&long_line, Error::TooLong),
        (&many_literals, Error::TooLong),
    ] {
        assert!(
            matches!(parse(input.as_bytes()), Parsed::Broken(error, _) if error == want),
            "{input:?}"
        );
        hold_for_any(input.as_bytes());
    }
}

#[test]
fn nesting_does_not_reach_the_stack() {
    for open in [1, MAX_OPEN, MAX_OPEN + 1, 8000] {
        for data in ["BODY", "ID", "ACL", "LIST", "FLAGS", "OK [BADCHARSET", "1 FETCH"] {
            let line = format!("* {data} {}\r\n", "(".repeat(open));
            hold_for_any(line.as_bytes());
        }
    }
}

proptest! {
    #[test]
    fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..64)) {
        hold_for_any(&input);
    }

    #[test]
    fn holds_for_bytes_that_look_like_replies(
        input in "(\\*|g1|\\+) (OK|NO|BYE|ID|LIST|STATUS|CAPABILITY|[0-9]|FLAGS|QUOTA)[ ({\\[]{0,2}[a-zA-Z \u{e9}()\\[\\]{}\"0-9\\\\]{0,30}(\r\n)?",
    ) {
        hold_for_any(input.as_bytes());
    }
}
