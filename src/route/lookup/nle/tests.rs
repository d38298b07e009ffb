//! Zimbra's protocol, both sides of it.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use proptest::prelude::*;

use super::serve::{Dialect, Fault, Reply, read, reply};
use super::*;
use crate::http::Url;
use crate::login::{Attempt, Envelope, Mechanism, Secret};
use crate::net::{Endpoint, Place};
use crate::route::Asker;

fn asker(protocol: &'static str, secure_upstream: bool) -> Asker {
    Asker {
        protocol,
        client: Endpoint::Tcp("[::ffff:198.51.100.7]:4711".parse().unwrap()),
        host: None,
        local: Endpoint::Tcp("203.0.113.1:993".parse().unwrap()),
        secure_upstream,
        attempt: 3,
        tls: None,
        proxied: None,
        headers: vec![("x-session".parse().unwrap(), HeaderValue::from_static("of auth_http"))],
    }
}

fn shown(question: &Request<()>) -> String {
    let mut text = format!("{} {}\n", question.method(), question.uri());
    for (name, value) in question.headers() {
        let name = NAMES.iter().find(|known| name == **known).copied().unwrap_or(name.as_str());
        text += &format!("{name}: {}\n", value.as_bytes().escape_ascii());
    }
    text
}

fn ask(attempt: &Attempt, asker: &Asker, password: bool, is_master: bool) -> String {
    let url = Url::parse(&format!("https://10.0.0.11:7072{PATH}")).unwrap();
    let master = is_master.then(|| (Box::from("zmnginx"), Secret::new("two words")));
    let manner = Manner { password, master: master.as_ref(), headers: &[] };
    shown(&question(&url, attempt, asker, manner))
}

fn plain(user: &str) -> Attempt {
    Attempt::new(Mechanism::Plain, user.as_bytes(), Secret::new("tanstaaf"))
}

#[test]
fn asks_as_zimbras_proxy_does() {
    let want = "GET /service/extension/nginx-lookup\n\
                Host: 10.0.0.11\n\
                Auth-Method: username\n\
                Auth-User: john@example.com\n\
                Auth-Pass: _password_\n\
                Auth-Protocol: imapssl\n\
                Auth-Login-Attempt: 3\n\
                X-Proxy-IP: 203.0.113.1\n\
                Client-IP: 198.51.100.7\n";
    assert_eq!(ask(&plain("john@example.com"), &asker("imap", true), false, true), want);
}

#[test]
fn a_ticket_is_told_with_its_principal_and_the_masters_password() {
    let attempt = Attempt {
        authzid: Some(b"john@example.com".as_slice().into()),
        ..Attempt::new(Mechanism::Gssapi, *b"admin@EXAMPLE.COM", Secret::default())
    };
    let text = ask(&attempt, &asker("pop3", false), true, true);
    for line in [
        "Auth-Method: gssapi\nAuth-User: john@example.com\nAuth-Pass: _password_\n",
        "Auth-Protocol: pop3\n",
        "Client-IP: 198.51.100.7\nAuth-Admin-User: zmnginx\nAuth-Admin-Pass: two%20words\n\
         Auth-ID: admin@EXAMPLE.COM\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!ask(&attempt, &asker("pop3", false), true, false).contains("Admin"));
}

#[test]
fn each_protocol_has_its_name_and_each_mechanism_its_user() {
    for (protocol, secure, want) in [
        ("imap", false, "imap"),
        ("pop3", true, "pop3ssl"),
        ("smtp", true, "smtpssl"),
        ("sieve", false, "sieve"),
    ] {
        let text = ask(&plain("a"), &asker(protocol, secure), false, false);
        assert!(text.contains(&format!("Auth-Protocol: {want}\n")), "{text}");
    }
    let envelope = Envelope { mail: Box::default(), rcpt: (*b"RCPT TO:<tim@a.example>").into() };
    let message = Attempt {
        envelope: Some(Box::new(envelope)),
        ..Attempt::new(Mechanism::Unasked, Vec::new(), Secret::default())
    };
    let other = Attempt { authzid: Some((*b"tim@a.example").into()), ..plain("admin") };
    for attempt in [message, other] {
        let text = ask(&attempt, &asker("imap", false), false, false);
        assert!(text.contains("Auth-User: tim@a.example\nAuth-Pass: _password_\n"), "{text}");
    }
}

#[test]
fn a_password_goes_out_only_if_that_is_asked_for() {
    for mechanism in Mechanism::ALL {
        let attempt = Attempt::new(mechanism, *b"bob", Secret::new("tan staaf"));
        let text = ask(&attempt, &asker("imap", false), false, true);
        assert!(text.contains("Auth-Pass: _password_\n") && !text.contains("staaf"), "{text}");
        let text = ask(&attempt, &asker("imap", false), true, false);
        assert_eq!(text.contains("Auth-Pass: tan%20staaf\n"), mechanism.brings_password());
    }
}

#[test]
fn no_name_ends_a_header() {
    let text = ask(&plain("a\r\nAuth-Pass: x\0 %0d\u{7f}"), &asker("imap", false), false, false);
    assert!(text.contains("Auth-User: a%0D%0AAuth-Pass:%20x%00%20%250d%7F\n"), "{text}");
}

fn map(lines: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    map
}

fn short(status: u16, lines: &str, words: &Words, with_token: bool) -> String {
    match answer(StatusCode::from_u16(status).unwrap(), &map(lines), words, with_token) {
        Ok(Answer::Found(found)) => {
            let mut text = found.server.to_string();
            let show = |name: Box<[u8]>| name.escape_ascii().to_string();
            text.extend(found.account.map(|name| format!(" as {}", show(name))));
            text.extend(found.alias_ok.then_some(" alias"));
            text.extend(found.id.map(|name| format!(" by {}", show(name))));
            text.extend(
                found.secret.map(|token| format!(" pass {}", token.reveal().escape_ascii())),
            );
            text
        }
        Ok(Answer::Wait(wait)) => format!("wait {wait:?}"),
        Ok(Answer::Unknown(Denied { text, wait })) => format!("unknown {text:?} {wait:?}"),
        Ok(Answer::Refused(Denied { text, wait })) => format!("refused {text:?} {wait:?}"),
        Err(flaw) => {
            format!("{} flaw {flaw}", if flaw.is_general() { "general" } else { "odd" })
        }
    }
}

const AT: &str = "Auth-Server: 10.0.0.21\nAuth-Port: 7143\n";

#[test]
fn understands_every_answer() {
    let no = |text: &str| format!("Auth-Status: {text}\nAuth-Wait: 10\n{AT}");
    let ok = |more: &str| format!("Auth-Status: OK\n{AT}{more}");
    let table = [
        (ok(""), "10.0.0.21:7143"),
        (
            ok("Auth-User: john@example.com\nAuth-Cache-Alias: TRUE"),
            "10.0.0.21:7143 as john@example.com alias",
        ),
        (ok("Auth-User: j@e.example\nAuth-Cache-Alias: FALSE"), "10.0.0.21:7143 as j@e.example"),
        // Absent, it is consent.
        (AT.to_owned(), "10.0.0.21:7143"),
        ("auth-server: [2001:db8::1]\nAuth-Port: 143".to_owned(), "[2001:db8::1]:143"),
        ("Auth-Server: 2001:db8::1\nAuth-Port: 143".to_owned(), "[2001:db8::1]:143"),
        ("Auth-Server: store.example\nAuth-Port: 143".to_owned(), "store.example:143"),
        // Escaped as the servlet does it, in two steps.
        (ok("Auth-User: a%2520b%25c@x"), "10.0.0.21:7143 as a b%c@x"),
        (ok("Auth-User: a%20b"), "10.0.0.21:7143 as a b"),
        // No other escape means anything.
        (ok("Auth-User: a%0D%250Ab"), "10.0.0.21:7143 as a%0D%0Ab"),
        (ok("Auth-User: a\tb"), "odd flaw sent invalid Auth-User:\"a?b\""),
        ("Auth-Status: WAIT\nAuth-Wait: 2".to_owned(), "wait 2s"),
        (no("user not found:john"), "unknown \"user not found:john\" 10s"),
        (no("User Not Found:unable to"), "unknown \"User Not Found:unable to\" 10s"),
        (no("no such account: john"), "unknown \"no such account: john\" 10s"),
        (no("mailhost not found for user: j"), "refused \"mailhost not found for user: j\" 10s"),
        (
            no("Client-IP 1.2.3.4 is not allowed on this domain"),
            "refused \"Client-IP 1.2.3.4 is not allowed on this domain\" 10s",
        ),
        (no("ok"), "refused \"ok\" 10s"),
        (no("unable to search LDAP"), "general flaw is in trouble: \"unable to search LDAP\""),
        (no("LDAP error: x"), "general flaw is in trouble: \"LDAP error: x\""),
        (no("temporary failure"), "general flaw is in trouble: \"temporary failure\""),
        (no("system failure: x"), "general flaw is in trouble: \"system failure: x\""),
        (
            no("missing header field Auth-User"),
            "general flaw is in trouble: \"missing header field Auth-User\"",
        ),
        (no(""), "general flaw is in trouble: \"\""),
        // Whichever comes first, one that is no consent is a refusal.
        (format!("Auth-Status: no\n{}", ok("")), "refused \"no\" 0ns"),
        (ok("Auth-Status: no"), "refused \"no\" 0ns"),
        ("Server: web".to_owned(), "general flaw did not send server or port"),
        ("Auth-Status: OK".to_owned(), "odd flaw did not send server or port"),
        (
            "Auth-Server: a b\nAuth-Port: 1".to_owned(),
            "odd flaw sent invalid server address:\"a b\"",
        ),
        ("Auth-Server: a\nAuth-Port: 0".to_owned(), "odd flaw sent invalid server port:\"0\""),
        // It has seen no password, so it must not bring one: anybody would be let in.
        (
            ok("Auth-Pass: token"),
            "odd flaw sent Auth-Pass for a login whose password it has not seen",
        ),
    ];
    for (lines, want) in table {
        assert_eq!(short(200, &lines, &Words::default(), false), want, "{lines}");
    }
    for status in [204, 302, 401, 404, 500, 503] {
        let want = format!("general flaw sent status {status}");
        assert_eq!(short(status, &ok(""), &Words::default(), false), want);
    }
}

#[test]
fn who_is_strict_wants_consent_to_be_said() {
    let strict = Words { strict: true, ..Words::default() };
    assert_eq!(short(200, AT, &strict, false), "general flaw did not send server or port");
    assert_eq!(short(200, &format!("Auth-Status: OK\n{AT}"), &strict, false), "10.0.0.21:7143");
}

#[test]
fn trouble_begins_as_it_is_configured_to() {
    let words = Words { temporary: vec!["Mailhost".to_owned()], strict: false };
    let said = |text: &str| short(200, &format!("Auth-Status: {text}"), &words, false);
    assert_eq!(said("mailhost not found"), "general flaw is in trouble: \"mailhost not found\"");
    assert_eq!(said("unable to search"), "refused \"unable to search\" 0ns");
    // Nothing makes an unknown user one that may be there.
    assert_eq!(said("user not found:mailhost"), "unknown \"user not found:mailhost\" 0ns");
}

#[test]
fn a_token_comes_where_one_was_asked_for() {
    let lines = format!("{AT}Auth-User: j@x\nAuth-ID: admin@x\nAuth-Pass: 0_abc");
    let want = "10.0.0.21:7143 as j@x by admin@x pass 0_abc";
    assert_eq!(short(200, &lines, &Words::default(), true), want);
}

// The other side.

const ZIMBRA: &str = "Auth-Method: username\nAuth-User: john%20d@example.com\n\
                      Auth-Pass: _password_\nAuth-Protocol: imapssl\nAuth-Login-Attempt: 1\n\
                      X-Proxy-IP: 203.0.113.1\nClient-IP: ::ffff:198.51.100.7\n";
const NGINX: &str = "Auth-Method: plain\nAuth-User: john\nAuth-Pass: tanstaaf\nAuth-Protocol: imap\n\
                     Auth-Login-Attempt: 1\nClient-IP: unix:\nClient-Host: [UNAVAILABLE]\n";

#[test]
fn reads_what_zimbra_and_nginx_ask() {
    let question = read(&map(ZIMBRA)).unwrap();
    assert_eq!((&*question.user, question.protocol), (&b"john d@example.com"[..], "imap"));
    assert!(question.secure && question.dialect == Dialect::Zimbra && !question.admin);
    assert_eq!((question.method, question.attempt), (Method::Username, 1));
    assert_eq!(question.client, Some("198.51.100.7".parse().unwrap()));
    assert_eq!(question.proxy, Some("203.0.113.1".parse().unwrap()));
    let question = read(&map(NGINX)).unwrap();
    assert_eq!((question.dialect, question.client), (Dialect::Nginx, None));
    assert!(!format!("{question:?}").contains("tanstaaf"));
    let web = ZIMBRA.replace("username", "zimbraId").replace("imapssl", "HTTPSSL")
        + "X-Proxy-Host: mail.example.com:443\nAuth-Zimbra-Admin: True\n";
    let question = read(&map(&web)).unwrap();
    assert_eq!((question.method, question.protocol), (Method::ZimbraId, "http"));
    assert_eq!((question.host.as_deref(), question.admin), (Some("mail.example.com:443"), true));
}

#[test]
fn says_what_is_wrong_with_a_question() {
    let long = format!("Auth-User: {}", "x".repeat(1025));
    for (from, to, want) in [
        ("Auth-Method: username", "", "missing header field Auth-Method"),
        ("Auth-Method: username", "Auth-Method:", "missing header field Auth-Method"),
        ("Auth-Method: username", "Auth-Method: gssapi", "unsupported Auth-Method: gssapi"),
        ("Auth-Method: username", "Auth-Method: a b\u{fc}", "unsupported Auth-Method: a?b??"),
        ("Auth-User: john", "X: john", "missing header field Auth-User"),
        ("Auth-User: john", "Auth-User: a%0d%0ab", "invalid header field Auth-User"),
        ("Auth-User: john", "Auth-User: a%00", "invalid header field Auth-User"),
        ("Auth-User: john", &long, "invalid header field Auth-User"),
        ("Auth-Pass", "Auth-User: tim\nAuth-Pass", "repeated header field Auth-User"),
        ("imapssl", "gopher", "unsupported Auth-Protocol: gopher"),
        ("Attempt: 1", "Attempt: -1", "invalid header field Auth-Login-Attempt"),
        ("203.0.113.1", "here", "invalid header field X-Proxy-IP"),
        ("::ffff:198.51.100.7", "there", "invalid header field Client-IP"),
        ("X-Proxy-IP", "X-Proxy-Host: a b\nX-Proxy-IP", "invalid header field X-Proxy-Host"),
    ] {
        let fault = read(&map(&ZIMBRA.replace(from, to))).unwrap_err();
        assert_eq!(fault.to_string(), want);
        let response = reply(Err(&fault), &Reply::Unknown, Duration::from_secs(10));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["auth-status"], want);
    }
    let smtp = NGINX.replace("imap", "smtp");
    assert_eq!(read(&map(&smtp)), Err(Fault::Unchecked));
    for method in ["apop", "cram-md5", "external", "none"] {
        let question = NGINX.replace("plain", method);
        assert_eq!(read(&map(&question)), Err(Fault::Method(method.to_owned())));
    }
}

fn replied(question: &str, said: &Reply) -> String {
    let question = read(&map(question));
    let response = reply(question.as_ref(), said, Duration::from_secs(10));
    let mut text = response.status().as_u16().to_string();
    for (name, value) in response.headers() {
        text += &format!(" {name}={}", value.as_bytes().escape_ascii());
    }
    text
}

#[test]
fn answers_each_in_its_own_way() {
    let at = |account: &[u8]| Reply::Found {
        server: Place::parse("[::1]:7143", None).unwrap(),
        account: account.into(),
        alias_ok: true,
    };
    let no = Reply::Refused("not allowed\r\nAuth-Status: OK".to_owned());
    for (question, said, want) in [
        (
            ZIMBRA,
            at(b"john d@x%"),
            "200 auth-status=OK auth-server=::1 auth-port=7143 auth-user=john%20d@x%25 \
             auth-cache-alias=TRUE",
        ),
        (NGINX, at(b"john"), "200 auth-status=OK auth-server=::1 auth-port=7143"),
        (NGINX, at(b"j d"), "200 auth-status=OK auth-server=::1 auth-port=7143 auth-user=j d"),
        (
            ZIMBRA,
            Reply::Unknown,
            "200 auth-status=user not found:john%20d@example.com auth-wait=10",
        ),
        (NGINX, Reply::Unknown, "200 auth-status=Invalid login or password auth-wait=10"),
        (NGINX, no.clone(), "200 auth-status=Invalid login or password auth-wait=10"),
        (ZIMBRA, no, "200 auth-status=not allowed??Auth-Status: OK auth-wait=10"),
        (ZIMBRA, Reply::Refused("OK".to_owned()), "200 auth-status=refused auth-wait=10"),
        (ZIMBRA, Reply::Temporary, "503 auth-status=temporary failure auth-wait=10"),
        // nginx would pass the words to its client as a refusal.
        (NGINX, Reply::Temporary, "503"),
    ] {
        assert_eq!(replied(question, &said), want);
    }
    let socket = Reply::Found {
        server: Place::parse("unix:/a", None).unwrap(),
        account: (*b"a").into(),
        alias_ok: false,
    };
    assert!(replied(ZIMBRA, &socket).starts_with("503 "));
}

/// What one gatepost answers another understands.
#[test]
fn both_sides_understand_each_other() {
    let server = Place::parse("192.0.2.7:143", None).unwrap();
    for (said, want) in [
        (
            Reply::Found { server, account: (*b"tim b%@x").into(), alias_ok: true },
            "192.0.2.7:143 as tim b%@x alias",
        ),
        (Reply::Unknown, "unknown \"user not found:john%20d@example.com\" 3s"),
        (Reply::Refused("not here".to_owned()), "refused \"not here\" 3s"),
        (Reply::Temporary, "general flaw sent status 503"),
    ] {
        let question = read(&map(ZIMBRA));
        let response = reply(question.as_ref(), &said, Duration::from_secs(3));
        let lines: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let status = response.status().as_u16();
        assert_eq!(short(status, &lines.join("\n"), &Words::default(), false), want);
    }
}

proptest! {
    #[test]
    fn any_question_is_read_as_it_was_asked(
        user in prop::collection::vec(any::<u8>(), 1..99),
        attempt: u32,
    ) {
        let asker = Asker { attempt, ..asker("sieve", true) };
        let named = Attempt::new(Mechanism::Login, user.clone(), Secret::new("x"));
        let url = Url::parse("localhost").unwrap();
        let manner = Manner { password: false, master: None, headers: &[] };
        let question = question(&url, &named, &asker, manner);
        match read(question.headers()) {
            Ok(read) => {
                prop_assert_eq!(&*read.user, &*user);
                prop_assert_eq!((read.protocol, read.secure, read.attempt), ("sieve", true, attempt));
            }
            Err(fault) => {
                prop_assert_eq!(fault, Fault::Invalid("Auth-User"));
                prop_assert!(user.iter().any(u8::is_ascii_control));
            }
        }
    }

    #[test]
    fn any_answer_and_any_question_is_understood_or_refused(
        headers in prop::collection::vec(
            (
                "(?i)auth-(status|server|port|user|pass|wait|cache-alias|id|method|protocol)|\
                 client-ip|x-proxy-(ip|host)",
                prop_oneof![
                    any::<Vec<u8>>(),
                    "OK|WAIT|TRUE|username|plain|imap|[0-9]{1,6}|[a-z.]{1,9}|[%0-9A-F]{1,9}|unable to x"
                        .prop_map(String::into_bytes),
                ],
            ),
            0..9,
        )
    ) {
        let lines = headers.into_iter().map(|(name, value)| [name.into_bytes(), value].join(&b": "[..]));
        let input = lines.collect::<Vec<_>>().join(&b'\n');
        hold_for_any(&input);
        serve::hold_for_any(&input);
    }
}
