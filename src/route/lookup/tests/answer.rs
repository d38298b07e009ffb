use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::super::answer::{Accepted, Answer, Refused, answer, hold_for_any};

const LENIENT: bool = false;
const STRICT: bool = true;

/// What is said about a status and headers, in short.
fn short(status: u16, headers: &str, strict: bool) -> String {
    let mut map = HeaderMap::new();
    for line in headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    match answer(StatusCode::from_u16(status).unwrap(), &map, strict) {
        Ok(Answer::Accepted(accepted)) => {
            let Accepted { server, user, secret, security, master, verifier } = accepted;
            let mut text = server.to_string();
            text.extend(user.map(|user| format!(" as {}", user.escape_ascii())));
            text.extend(secret.map(|pass| format!(" by {}", pass.reveal().escape_ascii())));
            text.extend(security.map(|mode| format!(" tls {mode:?}")));
            text.extend(master.then_some(" master"));
            text.extend(verifier.map(|text| format!(" knows {}", text.reveal().escape_ascii())));
            text
        }
        Ok(Answer::Wait(wait)) => format!("wait {wait:?}"),
        Ok(Answer::Refused(Refused { text, code, sasl, wait })) => {
            let mut said = format!("no {text:?} after {wait:?}");
            said.extend(code.map(|code| format!(" code {code:?}")));
            said.extend(sasl.map(|sasl| format!(" sasl {sasl}")));
            said
        }
        Err(flaw) => format!("{flaw}"),
    }
}

#[test]
fn understands_every_answer() {
    let ok = "Auth-Status: OK\nAuth-Server: 192.0.2.9\nAuth-Port: 143";
    for (status, headers, want) in [
        (200, ok.to_owned(), "192.0.2.9:143"),
        (200, ok.to_lowercase().replace("ok", "OK"), "192.0.2.9:143"),
        (500, ok.to_owned(), "192.0.2.9:143"),
        (404, ok.to_owned(), "192.0.2.9:143"),
        (200, "Auth-Server: 192.0.2.9\nAuth-Port: 143".to_owned(), "192.0.2.9:143"),
        (200, ok.replace("192.0.2.9", "2001:db8::1"), "[2001:db8::1]:143"),
        (200, ok.replace("192.0.2.9", "[2001:db8::1]"), "[2001:db8::1]:143"),
        (200, ok.replace("192.0.2.9", "::ffff:192.0.2.9"), "192.0.2.9:143"),
        (200, ok.replace("192.0.2.9", "Store-1.example"), "store-1.example:143"),
        (
            200,
            ok.to_owned() + "\nAuth-User: m\u{f6} 1\nAuth-Pass: p %20",
            "192.0.2.9:143 as m\\xc3\\xb6 1 by p %20",
        ),
        (200, ok.to_owned() + "\nAuth-User:\nAuth-Pass:", "192.0.2.9:143"),
        (200, ok.to_owned() + "\nAuth-Port: 1143", "192.0.2.9:1143"),
        (200, "Auth-Status: WAIT\nAuth-Wait: 3".to_owned(), "wait 3s"),
        (200, "Auth-Status: WAIT".to_owned(), "wait 0ns"),
        (200, "Auth-Status: WAIT\nAuth-Wait: 999999".to_owned(), "wait 3600s"),
        (
            200,
            "Auth-Status: Invalid login or password".to_owned(),
            "no \"Invalid login or password\" after 0ns",
        ),
        (200, "auth-status: No\nauth-wait: 3".to_owned(), "no \"No\" after 3s"),
        (200, "Auth-Status: ok".to_owned(), "no \"ok\" after 0ns"),
        (200, "Auth-Status: N\u{f6}".to_owned(), "no \"N??\" after 0ns"),
        (200, "Auth-Status:".to_owned(), "no \"\" after 0ns"),
        (200, ok.to_owned() + "\nAuth-Status: No", "no \"No\" after 0ns"),
        (200, "Auth-Status: No\n".to_owned() + ok, "no \"No\" after 0ns"),
        (503, "Auth-Status: No\nAuth-Wait: x".to_owned(), "no \"No\" after 0ns"),
        (503, String::new(), "sent status 503 without Auth-Status"),
        (403, String::new(), "did not send server or port"),
        (200, "Auth-Status: OK".to_owned(), "did not send server or port"),
        (200, "Auth-Status: OK\nAuth-Server: 192.0.2.9".to_owned(), "did not send server or port"),
        (200, "Auth-Status: OK\nAuth-Port: 143".to_owned(), "did not send server or port"),
        (200, ok.replace("143", "0"), "sent invalid server port:\"0\""),
        (200, ok.replace("143", "65536"), "sent invalid server port:\"65536\""),
        (200, ok.replace("143", "+143"), "sent invalid server port:\"+143\""),
        (200, ok.replace("143", "imap"), "sent invalid server port:\"imap\""),
        (200, ok.replace("192.0.2.9", "192.0.2"), "sent invalid server address:\"192.0.2\""),
        (200, ok.replace("192.0.2.9", "a b"), "sent invalid server address:\"a b\""),
        (200, ok.replace("192.0.2.9", "a:1"), "sent invalid server address:\"a:1\""),
        (200, ok.replace("192.0.2.9", "unix:/a"), "sent invalid server address:\"unix:/a\""),
        (200, ok.replace("192.0.2.9", "\u{f6}"), "sent invalid server address:\"??\""),
        // nginx looks at the address first.
        (
            200,
            ok.replace("192.0.2.9", "a b").replace("143", "x"),
            "sent invalid server address:\"a b\"",
        ),
    ] {
        assert_eq!(short(status, &headers, LENIENT), want, "{status} {headers:?}");
    }
}

const OK: &str = "Auth-Status: OK\nAuth-Server: 192.0.2.9\nAuth-Port: 143\n";

#[test]
fn an_answer_may_say_more_of_its_upstream() {
    for (header, want) in [
        ("Auth-Upstream-TLS: off", "192.0.2.9:143 tls Off"),
        ("Auth-Upstream-TLS: on", "192.0.2.9:143 tls On"),
        ("auth-upstream-tls: StartTLS", "192.0.2.9:143 tls StartTls"),
        ("Auth-Upstream-TLS:", "192.0.2.9:143"),
        ("Auth-Upstream-TLS: yes", "sent invalid Auth-Upstream-TLS:\"yes\""),
        ("Auth-Upstream-TLS: on, off", "sent invalid Auth-Upstream-TLS:\"on, off\""),
        ("Auth-Upstream-TLS: \u{f6}", "sent invalid Auth-Upstream-TLS:\"??\""),
        ("Auth-Upstream-Master: on", "192.0.2.9:143 master"),
        ("Auth-Upstream-Master: off", "192.0.2.9:143"),
        ("Auth-Upstream-Master: 1", "sent invalid Auth-Upstream-Master:\"1\""),
        ("Auth-Verifier: SCRAM-SHA-256$1:a$b:c", "192.0.2.9:143 knows SCRAM-SHA-256$1:a$b:c"),
    ] {
        assert_eq!(short(200, &format!("{OK}{header}"), LENIENT), want, "{header}");
    }
}

#[test]
fn a_refusal_has_its_code_if_it_is_one() {
    for (code, want) in [
        ("535", Some("535")),
        ("535 5.7.8", Some("535 5.7.8")),
        ("451 4.3.0", Some("451 4.3.0")),
        ("554  5.123.456", Some("554 5.123.456")),
        ("", None),
        ("250", None),
        ("250 2.0.0", None),
        ("535 2.0.0", None),
        ("53", None),
        ("5355", None),
        ("5x5", None),
        ("535-5.7.8", None),
        ("535 5.7", None),
        ("535 5.7.8.9", None),
        ("535 5..8", None),
        ("535 5.7.8 words", None),
        ("535 5.1234.1", None),
        ("535 \u{f6}", None),
        ("+53", None),
    ] {
        let want = want.map(|code| format!(" code {code:?}")).unwrap_or_default();
        let headers = format!("Auth-Status: No\nAuth-Error-Code: {code}");
        assert_eq!(short(200, &headers, LENIENT), format!("no \"No\" after 0ns{want}"), "{code}");
    }
}

#[test]
fn a_challenge_is_base64_or_none() {
    for (sasl, is_taken) in [
        ("eyJzdGF0dXMiOiI0MDEifQ==", true),
        ("", false),
        ("eyJz dGF0", false),
        ("eyJzdGF0dXMiOiI0MDEifQ", false),
        ("*", false),
        ("\u{f6}", false),
    ] {
        let want = if is_taken { format!(" sasl {sasl}") } else { String::new() };
        let headers = format!("Auth-Status: No\nAuth-Error-SASL: {sasl}");
        assert_eq!(short(200, &headers, LENIENT), format!("no \"No\" after 0ns{want}"), "{sasl}");
    }
}

#[test]
fn a_status_counts_where_one_is_strict() {
    for (status, headers, want) in [
        (200, OK, "192.0.2.9:143"),
        (204, OK, "192.0.2.9:143"),
        (302, OK, "sent status 302"),
        (401, OK, "sent status 401"),
        (404, OK, "sent status 404"),
        (500, OK, "sent status 500"),
        (200, "Auth-Status: WAIT", "wait 0ns"),
        (403, "Auth-Status: WAIT", "sent status 403"),
        (503, "Auth-Status: WAIT", "sent status 503"),
        (200, "Auth-Status: No", "no \"No\" after 0ns"),
        (401, "Auth-Status: No", "no \"No\" after 0ns"),
        (403, "Auth-Status: No", "no \"No\" after 0ns"),
        (404, "Auth-Status: No", "sent status 404"),
        (500, "Auth-Status: No", "sent status 500"),
        (401, "", "sent status 401"),
        (200, "", "did not send server or port"),
    ] {
        assert_eq!(short(status, headers, STRICT), want, "{status} {headers:?}");
    }
}

proptest! {
    #[test]
    fn any_answer_is_understood_or_refused(
        headers in prop::collection::vec(
            (
                "(?i)auth-(status|server|port|user|pass|wait|error-code|error-sasl|upstream-tls|\
                 upstream-master|verifier)".prop_map(String::into_bytes),
                prop_oneof![
                    any::<Vec<u8>>(),
                    "OK|WAIT|on|[0-9]{1,6}|[45]35 [0-9.]{1,9}|[a-z.]{1,9}|[0-9a-f:]{2,9}"
                        .prop_map(String::into_bytes),
                ],
            ),
            0..9,
        )
    ) {
        let lines = headers.into_iter().map(|(name, value)| [name, value].join(&b": "[..]));
        hold_for_any(&lines.collect::<Vec<_>>().join(&b'\n'));
    }
}
