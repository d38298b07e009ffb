use hyper::Request;
use hyper::header::{HOST, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::super::{Manner, NAMES, question};
use crate::http::Url;
use crate::login::{Attempt, Envelope, Helo, Mechanism, Secret};
use crate::net::Endpoint;
use crate::route::{Asker, Certificate, Proxied, Tls};

fn attempt(user: &[u8], pass: &[u8]) -> Attempt {
    Attempt::new(Mechanism::Login, user, Secret::new(pass))
}

fn asker() -> Asker {
    Asker {
        protocol: "imap",
        client: Endpoint::Tcp("192.0.2.1:4711".parse().unwrap()),
        host: None,
        local: Endpoint::Tcp("192.0.2.2:143".parse().unwrap()),
        secure_upstream: false,
        attempt: 1,
        tls: None,
        proxied: None,
        headers: Vec::new(),
    }
}

fn asked(attempt: &Attempt, asker: &Asker) -> Request<()> {
    let url = Url::parse("127.0.0.1:8080/auth").unwrap();
    question(&url, attempt, asker, manner(asker, false))
}

fn manner(asker: &Asker, certificate: bool) -> Manner<'_> {
    Manner { certificate, password: true, headers: &asker.headers }
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

#[track_caller]
fn check(question: &Request<()>, want: &[&[u8]]) {
    let got = shown(question);
    let show = |lines: &[Vec<u8>]| {
        lines.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    let want: Vec<_> = want.iter().map(|line| line.to_vec()).collect();
    assert_eq!(show(&got), show(&want));
}

/// What follows nginx's headers in every question of [`asker`].
const OURS: [&[u8]; 3] = [b"Client-Port: 4711", b"Server-Addr: 192.0.2.2", b"Server-Port: 143"];

#[test]
fn asks_as_nginx_does() {
    let headers = vec![
        (HeaderName::from_static("x-auth-key"), HeaderValue::from_static("secret string")),
        (HeaderName::from_static("x-empty"), HeaderValue::from_static("")),
    ];
    let asker = Asker { headers, ..asker() };
    let question = asked(&attempt(b"us er%x\xe9", b"p\"s s\t\x7f\x1f+&="), &asker);
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
            b"Client-Port: 4711",
            b"Server-Addr: 192.0.2.2",
            b"Server-Port: 143",
            b"x-auth-key: secret string",
            b"x-empty: ",
        ],
    );
}

#[test]
fn each_mechanism_has_its_name_and_its_proof() {
    const SALT: &str = "<812467800.1795210635@mail.test>";
    for (mechanism, secret, salt, want) in [
        (Mechanism::Login, "p w", None, &["plain", "Auth-Pass: p%20w"][..]),
        (Mechanism::Plain, "p w", None, &["plain", "Auth-Pass: p%20w"]),
        (Mechanism::AuthLogin, "p w", None, &["plain", "Auth-Pass: p%20w"]),
        (
            Mechanism::Apop,
            "0123456789abcdef",
            Some(SALT),
            &["apop", "Auth-Pass: 0123456789abcdef", "Auth-Salt: <812467800.1795210635@mail.test>"],
        ),
        (
            Mechanism::CramMd5,
            "0123456789abcdef",
            Some(SALT),
            &[
                "cram-md5",
                "Auth-Pass: 0123456789abcdef",
                "Auth-Salt: <812467800.1795210635@mail.test>",
            ],
        ),
        // As nginx: an empty password, not none.
        (Mechanism::External, "", None, &["external", "Auth-Pass: "]),
        (Mechanism::XOauth2, "ya29.t~+/=", None, &["xoauth2", "Auth-Pass: ya29.t~+/="]),
        (Mechanism::OauthBearer, "ya29.t", None, &["oauthbearer", "Auth-Pass: ya29.t"]),
        (Mechanism::ScramSha256, "", None, &["scram-sha-256"]),
        (Mechanism::Gssapi, "", None, &["gssapi"]),
    ] {
        let mut attempt = Attempt::new(mechanism, *b"bob", Secret::new(secret));
        attempt.salt = salt.map(Box::from);
        let method = format!("Auth-Method: {}", want[0]);
        let mut lines: Vec<&[u8]> =
            vec![b"GET /auth", b"Host: 127.0.0.1", method.as_bytes(), b"Auth-User: bob"];
        lines.extend(want[1..].iter().map(|line| line.as_bytes()));
        for protocol in ["imap", "pop3", "smtp", "lmtp", "sieve"] {
            let mut lines = lines.clone();
            let named = format!("Auth-Protocol: {protocol}");
            lines.extend([named.as_bytes(), b"Auth-Login-Attempt: 1", b"Client-IP: 192.0.2.1"]);
            if matches!(protocol, "smtp" | "lmtp") {
                lines.push(b"Client-Host: [UNAVAILABLE]");
            }
            lines.extend(OURS);
            check(&asked(&attempt, &Asker { protocol, ..asker() }), &lines);
        }
    }
}

#[test]
fn mail_without_a_login_is_told_by_its_commands() {
    let mut attempt = Attempt::new(Mechanism::Unasked, *b"", Secret::default());
    let start: [&[u8]; 9] = [
        b"GET /auth",
        b"Host: 127.0.0.1",
        b"Auth-Method: none",
        b"Auth-User: ",
        b"Auth-Pass: ",
        b"Auth-Protocol: smtp",
        b"Auth-Login-Attempt: 1",
        b"Client-IP: 192.0.2.1",
        b"Client-Host: mx.example",
    ];
    let asker = Asker { protocol: "smtp", host: Some("mx.example".into()), ..asker() };
    let empty: [&[u8]; 3] = [b"Auth-SMTP-Helo: ", b"Auth-SMTP-From: ", b"Auth-SMTP-To: "];
    check(&asked(&attempt, &asker), &[&start[..], &empty, &OURS].concat());

    attempt.claims.helo = Some(Helo { name: "client.example".to_owned(), extended: true });
    attempt.envelope = Some(Box::new(Envelope {
        mail: (*b"MAIL FROM:<a@b> SIZE=10").into(),
        rcpt: b"RCPT TO:<c\xe9%\n@d>".as_slice().into(),
    }));
    let told: [&[u8]; 3] = [
        b"Auth-SMTP-Helo: client.example",
        b"Auth-SMTP-From: MAIL FROM:<a@b> SIZE=10",
        b"Auth-SMTP-To: RCPT TO:<c\xe9%?@d>",
    ];
    check(&asked(&attempt, &asker), &[&start[..], &told, &OURS].concat());
    // Who has logged in is known by that.
    attempt.mechanism = Mechanism::Plain;
    assert!(asked(&attempt, &asker).headers().get("auth-smtp-from").is_none());
}

#[test]
fn a_clients_name_is_told_where_there_is_one() {
    for (protocol, host, want) in [
        ("smtp", None, Some("[UNAVAILABLE]")),
        ("smtp", Some("[TEMPUNAVAIL]"), Some("[TEMPUNAVAIL]")),
        ("smtp", Some("c.example"), Some("c.example")),
        ("imap", None, None),
        ("imap", Some("[UNAVAILABLE]"), None),
        ("imap", Some("c.example"), Some("c.example")),
    ] {
        let asker = Asker { protocol, host: host.map(Into::into), ..asker() };
        let question = asked(&attempt(b"a", b"b"), &asker);
        let got = question.headers().get("client-host").map(|value| value.to_str().unwrap());
        assert_eq!(got, want, "{protocol} {host:?}");
    }
}

/// Somebody of whom everything is known.
fn known() -> (Attempt, Asker) {
    let certificate = Certificate {
        verify: "SUCCESS".to_owned(),
        subject: "CN=mröse\nX: y".to_owned(),
        issuer: "CN=ca".to_owned(),
        serial: "0A".to_owned(),
        fingerprint: "a9993e36".to_owned(),
        pem: "-----BEGIN A-----\n+/=\n".to_owned(),
    };
    let asker = Asker {
        protocol: "pop3",
        client: Endpoint::Tcp("[2001:db8::1]:1".parse().unwrap()),
        host: Some("c.example".into()),
        local: Endpoint::Tcp("[2001:db8::2]:995".parse().unwrap()),
        secure_upstream: false,
        attempt: 3,
        tls: Some(Tls {
            protocol: "TLSv1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            certificate: Some(certificate),
        }),
        proxied: Some(Proxied {
            source: "[2001:db8::1]:1".parse().unwrap(),
            destination: "192.0.2.2:995".parse().unwrap(),
        }),
        headers: vec![
            (HOST, HeaderValue::from_static("lookup.example")),
            (HeaderName::from_static("x-key"), HeaderValue::from_static("1")),
            (HeaderName::from_static("x-key"), HeaderValue::from_static("2")),
        ],
    };
    let mut attempt = attempt(b"admin", b"pw");
    attempt.mechanism = Mechanism::Plain;
    attempt.authzid = Some(b"m rose".as_slice().into());
    (attempt, asker)
}

#[test]
fn tells_all_it_knows_in_order() {
    let (attempt, asker) = known();
    let url = Url::parse("unix:/run/auth:/a?b").unwrap();
    let want: &[&[u8]] = &[
        b"GET /a?b",
        b"Host: lookup.example",
        b"Auth-Method: plain",
        b"Auth-User: admin",
        b"Auth-Pass: pw",
        b"Auth-Protocol: pop3",
        b"Auth-Login-Attempt: 3",
        b"Client-IP: 2001:db8::1",
        b"Client-Host: c.example",
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
        b"Client-Port: 1",
        b"Server-Addr: 2001:db8::2",
        b"Server-Port: 995",
        b"x-key: 1",
        b"x-key: 2",
    ];
    check(&question(&url, &attempt, &asker, manner(&asker, true)), want);
    // Only where it is asked for.
    let is_certificate = |line: &&&[u8]| line.starts_with(b"Auth-SSL-Cert:");
    let want: Vec<_> = want.iter().filter(|line| !is_certificate(line)).copied().collect();
    check(&question(&url, &attempt, &asker, manner(&asker, false)), &want);
}

#[test]
fn who_shows_no_certificate_has_none_to_tell_of() {
    let (attempt, mut asker) = known();
    let certificate = Certificate { verify: "NONE".to_owned(), ..Certificate::default() };
    asker.tls.as_mut().unwrap().certificate = Some(certificate);
    let question =
        question(&Url::parse("localhost").unwrap(), &attempt, &asker, manner(&asker, true));
    let told: Vec<_> = shown(&question)
        .into_iter()
        .map(|line| String::from_utf8(line).unwrap())
        .filter(|line| line.starts_with("Auth-SSL-") && !line.contains("TLS"))
        .collect();
    assert_eq!(told, ["Auth-SSL-Verify: NONE"]);
}

#[test]
fn a_question_does_not_show_its_password() {
    for mechanism in Mechanism::ALL {
        let attempt = Attempt::new(mechanism, *b"mrose", Secret::new("tanstaaf"));
        assert!(!format!("{:?}", asked(&attempt, &asker())).contains("tanstaaf"));
    }
}

#[test]
fn a_client_of_a_unix_socket_has_no_address() {
    let asker = Asker {
        client: Endpoint::Unix("".into()),
        local: Endpoint::Unix("/run/imap".into()),
        ..asker()
    };
    let question = asked(&attempt(b"a", b"b"), &asker);
    assert_eq!(question.headers()["client-ip"], "unix:");
    assert_eq!(question.headers()["server-addr"], "unix:/run/imap");
    assert!(question.headers().get("client-port").is_none());
    assert!(question.headers().get("server-port").is_none());
}

proptest! {
    #[test]
    fn any_login_makes_a_question(
        user: Vec<u8>, pass: Vec<u8>, text: String, line: Vec<u8>, which in 0..10_usize,
    ) {
        let tls = Tls { protocol: text.clone(), cipher: text.clone(), certificate: None };
        let asker = Asker { tls: Some(tls), host: Some(text.into()), ..asker() };
        let mut attempt = attempt(&user, &pass);
        attempt.mechanism = Mechanism::ALL[which];
        attempt.envelope =
            Some(Box::new(Envelope { mail: line.clone().into(), rcpt: line.into() }));
        let question = asked(&attempt, &asker);
        for (name, value) in question.headers() {
            prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            prop_assert!(NAMES.iter().any(|known| name == *known));
        }
    }
}
