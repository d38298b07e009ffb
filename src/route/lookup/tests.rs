use proptest::prelude::*;

use super::*;
use crate::login::Mechanism;
use crate::route::asker::Certificate;
use crate::route::{Proxied, Tls};

fn attempt(user: &[u8], pass: &[u8]) -> Attempt {
    Attempt::new(Mechanism::Login, user, Secret::new(pass))
}

fn asker() -> Asker {
    Asker {
        protocol: "imap",
        client: Endpoint::Tcp("192.0.2.1:4711".parse().unwrap()),
        attempt: 1,
        tls: None,
        proxied: None,
    }
}

/// A question as lines, its names as they are spelled.
fn shown(question: &Request<()>) -> Vec<Vec<u8>> {
    let mut lines = vec![format!("{} {}", question.method(), question.uri()).into_bytes()];
    for (name, value) in question.headers() {
        let spelled = NAMES.iter().find(|known| name == **known);
        let name = spelled.copied().unwrap_or_else(|| name.as_str());
        lines.push([name.as_bytes(), b": ", value.as_bytes()].concat());
    }
    lines
}

fn check(question: &Request<()>, want: &[&[u8]]) {
    let got = shown(question);
    let show = |lines: &[Vec<u8>]| {
        lines.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    let want: Vec<_> = want.iter().map(|line| line.to_vec()).collect();
    assert_eq!(show(&got), show(&want));
}

#[test]
fn asks_as_nginx_does() {
    let url = Url::parse("127.0.0.1:8080/auth").unwrap();
    let extra = [
        (HeaderName::from_static("x-auth-key"), HeaderValue::from_static("secret string")),
        (HeaderName::from_static("x-other"), HeaderValue::from_static("2")),
    ];
    let question =
        question(&url, &extra, &attempt(b"us er%x\xe9", b"p\"s s\t\x7f\x1f+&="), &asker());
    check(
        &question,
        &[
            b"GET /auth",
            b"Host: 127.0.0.1",
            b"Auth-Method: plain",
            b"Auth-User: us%20er%25x\xe9",
            b"Auth-Pass: p\"s%20s%09%7F%1F+&=",
            b"Auth-Protocol: imap",
            b"Auth-Login-Attempt: 1",
            b"Client-IP: 192.0.2.1",
            b"x-auth-key: secret string",
            b"x-other: 2",
        ],
    );
}

#[test]
fn tells_all_it_knows_in_order() {
    let url = Url::parse("unix:/run/auth:/a?b").unwrap();
    let tls = Tls {
        protocol: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        certificate: Some(Certificate {
            verify: "SUCCESS".to_owned(),
            subject: "CN=mröse\nX: y".to_owned(),
            issuer: "CN=ca".to_owned(),
            serial: "0A".to_owned(),
            fingerprint: "a9993e36".to_owned(),
            pem: "-----BEGIN A-----\n+/=\n".to_owned(),
        }),
    };
    let asker = Asker {
        protocol: "pop3",
        client: Endpoint::Tcp("[2001:db8::1]:1".parse().unwrap()),
        attempt: 3,
        tls: Some(tls),
        proxied: Some(Proxied {
            source: "[2001:db8::1]:1".parse().unwrap(),
            destination: "192.0.2.2:995".parse().unwrap(),
        }),
    };
    let mut attempt = attempt(b"admin", b"");
    attempt.mechanism = Mechanism::Plain;
    attempt.authzid = Some(b"m rose".as_slice().into());
    let extra = [(HOST, HeaderValue::from_static("lookup.example"))];
    check(
        &question(&url, &extra, &attempt, &asker),
        &[
            b"GET /a?b",
            b"Host: lookup.example",
            b"Auth-Method: plain",
            b"Auth-User: admin",
            b"Auth-Pass: ",
            b"Auth-Protocol: pop3",
            b"Auth-Login-Attempt: 3",
            b"Client-IP: 2001:db8::1",
            b"Proxy-Protocol-Addr: 2001:db8::1",
            b"Proxy-Protocol-Port: 1",
            b"Proxy-Protocol-Server-Addr: 192.0.2.2",
            b"Proxy-Protocol-Server-Port: 995",
            b"Auth-SSL: on",
            b"Auth-SSL-Protocol: TLSv1.3",
            b"Auth-SSL-Cipher: TLS_AES_256_GCM_SHA384",
            b"Auth-SSL-Verify: SUCCESS",
            "Auth-SSL-Subject: CN=mröse?X: y".as_bytes(),
            b"Auth-SSL-Issuer: CN=ca",
            b"Auth-SSL-Serial: 0A",
            b"Auth-SSL-Fingerprint: a9993e36",
            b"Auth-SSL-Cert: -----BEGIN%20A-----%0A%2B%2F%3D%0A",
            b"Auth-Authz-User: m%20rose",
        ],
    );
}

#[test]
fn a_question_does_not_show_its_password() {
    let url = Url::parse("localhost").unwrap();
    let question = question(&url, &[], &attempt(b"mrose", b"tanstaaf"), &asker());
    assert!(!format!("{question:?}").contains("tanstaaf"));
}

#[test]
fn a_client_of_a_unix_socket_has_no_address() {
    let url = Url::parse("localhost").unwrap();
    let asker = Asker { client: Endpoint::Unix("".into()), ..asker() };
    let question = question(&url, &[], &attempt(b"a", b"b"), &asker);
    assert_eq!(question.headers()["client-ip"], "unix:");
}

/// What is said about a status and headers, in short.
fn short(status: u16, headers: &str) -> String {
    let mut map = HeaderMap::new();
    for line in headers.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    match answer(StatusCode::from_u16(status).unwrap(), &map) {
        Ok(Answer::Accepted(Accepted { server, user, secret })) => {
            let user = user.map(|user| format!(" as {}", user.escape_ascii()));
            let pass = secret.map(|pass| format!(" by {}", pass.reveal().escape_ascii()));
            format!("{server}{}{}", user.unwrap_or_default(), pass.unwrap_or_default())
        }
        Ok(Answer::Wait(wait)) => format!("wait {wait:?}"),
        Ok(Answer::Refused { text, wait }) => format!("no {text:?} after {wait:?}"),
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
    ] {
        assert_eq!(short(status, &headers), want, "{status} {headers:?}");
    }
}

proptest! {
    #[test]
    fn any_answer_is_understood_or_refused(
        headers in prop::collection::vec(
            (
                "(?i)auth-(status|server|port|user|pass|wait)".prop_map(String::into_bytes),
                prop_oneof![
                    any::<Vec<u8>>(),
                    "OK|WAIT|[0-9]{1,6}|[a-z.]{1,9}|[0-9a-f:]{2,9}".prop_map(String::into_bytes),
                ],
            ),
            0..9,
        )
    ) {
        let lines = headers.into_iter().map(|(name, value)| [name, value].join(&b": "[..]));
        hold_for_any(&lines.collect::<Vec<_>>().join(&b'\n'));
    }

    #[test]
    fn any_login_makes_a_question(user: Vec<u8>, pass: Vec<u8>, text: String) {
        let url = Url::parse("localhost").unwrap();
        let tls = Tls { protocol: text.clone(), cipher: text, certificate: None };
        let asker = Asker { tls: Some(tls), ..asker() };
        let question = question(&url, &[], &attempt(&user, &pass), &asker);
        prop_assert_eq!(question.headers().len(), 10);
    }
}
