//! `lookup_server`: nginx, Zimbra's proxy (by its bytes) and another gatepost ask this one.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use nix::sys::signal::Signal;

use crate::scene::{CERTIFICATE, servers};
use crate::support::{
    Ca, Client, FakeUpstream, Gatepost, Manners, Mechanism, Nginx, PATIENCE, Protocol, Site, Talk,
    Tls, encoded, imap, mail, send,
};
use crate::upgrade::{ends, upgrade};

const IMAP: Protocol = Protocol::Imap;
const PORT: u16 = 7072;
const PATH: &str = "/service/extension/nginx-lookup";
const PLAIN: &str = "lookup_server @ip@:7072;";

fn upstream() -> FakeUpstream {
    FakeUpstream::start(imap(Manners::imap()))
}

/// A gatepost that knows `inside`.
#[track_caller]
fn gatepost(ca: &Ca, inside: &str, values: &[(&str, &dyn ToString)]) -> Gatepost {
    let site = Site::new();
    site.write("ca.pem", &ca.pem);
    ca.ecdsa(&["mail.test"]).put(&site, "mail");
    Gatepost::start(site, &conf(inside), values)
}

fn conf(inside: &str) -> String {
    mail(&format!("{CERTIFICATE}\n{inside}\n{}", servers(IMAP)))
}

fn at(gatepost: &Gatepost) -> SocketAddr {
    (gatepost.site.ip, PORT).into()
}

/// A port that nobody listens at, for as long as the test holds it.
fn nobody() -> (TcpListener, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let listener = TcpListener::from(socket);
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// All that is answered to these bytes, until the other side hangs up.
#[track_caller]
fn answered(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut heard = Vec::new();
    // A peer that was hung up on with bytes unread hears a reset, after the answer.
    let _ = stream.read_to_end(&mut heard);
    let text = String::from_utf8(heard).unwrap();
    let date = regex::Regex::new("Date: [^\r]*\r\n").unwrap();
    date.replace(&text, "").into_owned()
}

/// As Zimbra's proxy asks.
fn zimbra(user: &str, protocol: &str) -> String {
    format!(
        "GET {PATH} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuth-Method: username\r\nAuth-User: {user}\r\n\
         Auth-Pass: _password_\r\nAuth-Protocol: {protocol}\r\nAuth-Login-Attempt: 1\r\n\
         X-Proxy-IP: 203.0.113.1\r\nClient-IP: 198.51.100.7\r\n\r\n"
    )
}

const TAIL: &str = "Cache-Control: no-store\r\nContent-Length: 0\r\n\r\n";

fn nginx(lookup: SocketAddr) -> (Nginx, SocketAddr) {
    let site = Site::new();
    let at = SocketAddr::from((site.ip, 1143));
    let block = format!(
        "mail {{ auth_http http://{lookup}{PATH}; proxy_timeout 10s; \
         server {{ listen {at}; protocol imap; }} }}"
    );
    (Nginx::start(site, &block, at), at)
}

#[test]
fn a_login_through_nginx_ends_where_the_table_says() {
    let (one, two, ca) = (upstream(), upstream(), Ca::new());
    let (_held, closed) = nobody();
    let inside = format!(
        "{PLAIN} route {{ tim@a.test @one@; @b.test farm; unix@a.test unix:/run/x; }}
         upstream farm {{ server @closed@ down; server @two@; }}"
    );
    let values: [(&str, &dyn ToString); 3] =
        [("one", &one.addr()), ("two", &two.addr()), ("closed", &closed)];
    let gatepost = gatepost(&ca, &inside, &values);
    let (_nginx, front) = nginx(at(&gatepost));
    for (user, up) in [("tim@a.test", &one), ("ann@b.test", &two)] {
        let before = up.accepted();
        let mut client = Client::greeted(IMAP, front);
        client.log_in(Mechanism::Login, user, "tea time");
        client.ask("LOGOUT").is("OK");
        assert_eq!(up.accepted(), before + 1, "{user} went elsewhere");
        assert!(up.heard().join("\n").contains("tea time"), "the upstream checks the password");
    }
    // nginx has the words from us, and says them.
    let mut client = Client::greeted(IMAP, front);
    let end = client.try_log_in(Mechanism::Login, "nobody@a.test", "pw");
    assert!(end.starts_with("NO Invalid login or password"), "{end}");
    // It makes of trouble what it makes of a handler that is out of order.
    let mut client = Client::greeted(IMAP, front);
    client.say("a LOGIN unix@a.test pw");
    client.hears("* BAD internal server error");
    assert!(!gatepost.error_log().contains("tea time"));
}

#[test]
fn a_question_of_zimbras_is_answered_to_the_byte() {
    let (_held, closed) = nobody();
    let inside = format!(
        "{PLAIN}
         route {{ @a.test 192.0.2.7:7143; @b.test 192.0.2.8 login=box@b.test; }}
         lookup z {{ protocol nle; handler @closed@; timeout 2s; }}"
    );
    let gatepost = gatepost(&Ca::new(), &inside, &[("closed", &closed)]);
    let ok = |server: &str, port: u16, user: &str| {
        format!(
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {server}\r\nAuth-Port: {port}\r\n\
             Auth-User: {user}\r\nAuth-Cache-Alias: FALSE\r\n{TAIL}"
        )
    };
    let no = |status: &str, words: &str| {
        format!("HTTP/1.0 {status}\r\nAuth-Status: {words}\r\nAuth-Wait: 10\r\n{TAIL}")
    };
    for (question, want) in [
        (zimbra("tim@a.test", "imap"), ok("192.0.2.7", 7143, "tim@a.test")),
        (zimbra("TIM@a.test", "imapssl"), ok("192.0.2.7", 7143, "TIM@a.test")),
        (zimbra("tim@b.test", "imapssl"), ok("192.0.2.8", 993, "box@b.test")),
        (zimbra("tim@b.test", "pop3"), ok("192.0.2.8", 110, "box@b.test")),
        (zimbra("a%20b@a.test", "imap"), ok("192.0.2.7", 7143, "a%20b@a.test")),
        // Whom the table does not know, the servlet may. It is down.
        (zimbra("tim@c.test", "imap"), no("503 Service Unavailable", "temporary failure")),
        (zimbra("", "imap"), no("200 OK", "missing header field Auth-User")),
        (zimbra("tim@a.test", "gopher"), no("200 OK", "unsupported Auth-Protocol: gopher")),
        (
            zimbra("tim@a.test", "imap").replace("username", "gssapi"),
            no("200 OK", "unsupported Auth-Method: gssapi"),
        ),
        (
            zimbra("tim%0d%0aAuth-Status:%20OK@a.test", "imap"),
            no("200 OK", "invalid header field Auth-User"),
        ),
        (
            zimbra("tim@a.test\r\nAuth-User: tom@a.test", "imap"),
            no("200 OK", "repeated header field Auth-User"),
        ),
        (
            zimbra("tim@a.test", "x\u{fc}\u{7}").replace('\u{7}', "y"),
            no("200 OK", "unsupported Auth-Protocol: x??y"),
        ),
    ] {
        assert_eq!(answered(at(&gatepost), question.as_bytes()), want, "{question}");
    }
    for (question, want) in [
        (zimbra("tim\0@a.test", "imap"), "HTTP/1.1 400 "),
        (zimbra("tim\r@a.test", "imap"), "HTTP/1.1 400 "),
        (zimbra(&"x".repeat(20 << 10), "imap"), "HTTP/1.1 431 "),
        (zimbra("tim@a.test", "imap").replace("nginx-lookup", "other"), "HTTP/1.0 404 "),
        (zimbra("tim@a.test", "imap").replace("GET", "POST"), "HTTP/1.0 405 "),
        ("\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
    ] {
        let heard = answered(at(&gatepost), question.as_bytes());
        assert!(heard.starts_with(want), "{question}: {heard}");
        assert!(!heard.contains("Auth-Status"), "{heard}");
    }
    gatepost.logs("while answering a lookup, asker: 127.");
}

#[test]
fn who_does_not_exist_is_told_from_who_cannot_be_found() {
    let gatepost = gatepost(&Ca::new(), &format!("{PLAIN} route {{ @a.test 192.0.2.7; }}"), &[]);
    let heard = answered(at(&gatepost), zimbra("tim@c.test", "imap").as_bytes());
    assert_eq!(
        heard,
        format!(
            "HTTP/1.0 200 OK\r\nAuth-Status: user not found:tim@c.test\r\nAuth-Wait: 10\r\n{TAIL}"
        )
    );
    // Two on one connection, where the asker keeps it.
    let two = zimbra("tim@a.test", "imap").replace("HTTP/1.0", "HTTP/1.1");
    let last = two.replace("Host: ", "Connection: close\r\nHost: ");
    let heard = answered(at(&gatepost), (two + &last).as_bytes());
    assert_eq!(heard.matches("HTTP/1.1 200 OK\r\nAuth-Status: OK\r\n").count(), 2, "{heard}");
}

#[test]
fn one_gatepost_asks_another_and_trusts_whom_it_is_told_to() {
    let (up, ca) = (upstream(), Ca::new());
    let inside =
        "lookup_server @ip@:7072 ssl path=/who; route { tim@a.test @up@ login=timothy@a.test; }";
    let knowing = gatepost(&ca, inside, &[("up", &up.addr())]);
    let asking = |trusted: &Ca, name: &str| {
        let (site, lookup) = (Site::new(), at(&knowing));
        site.write("ca.pem", &ca.pem);
        site.write("conf/theirs.pem", &trusted.pem);
        ca.ecdsa(&["mail.test"]).put(&site, "mail");
        let lookup = format!(
            "lookup z {{ protocol nle; handler https://{lookup}/who; timeout 5s;
             ssl_trusted_certificate theirs.pem; ssl_name {name}; }}"
        );
        Gatepost::start(site, &conf(&lookup), &[])
    };
    let asker = asking(&ca, "mail.test");
    for _ in 0..2 {
        Client::greeted(IMAP, asker.imap()).log_in(Mechanism::Login, "tim@a.test", "pw");
    }
    assert_eq!(up.accepted(), 2);
    let (heard, plain) = (up.heard().join("\n"), encoded("\0timothy@a.test\0pw"));
    assert!(heard.contains("timothy@a.test") || heard.contains(&plain), "{heard}");
    let end = Client::greeted(IMAP, asker.imap()).try_log_in(Mechanism::Login, "bob@a.test", "pw");
    assert!(end.starts_with("NO [AUTHENTICATIONFAILED]"), "{end}");
    asker.logs("user not found:bob@a.test");
    for other in [asking(&Ca::new(), "mail.test"), asking(&ca, "other.test")] {
        let mut client = Client::greeted(IMAP, other.imap());
        let end = client.try_log_in(Mechanism::Login, "tim@a.test", "pw");
        assert!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    }
    assert_eq!(up.accepted(), 2);
    // In the clear nobody is heard.
    let heard = answered(at(&knowing), zimbra("tim@a.test", "imap").as_bytes());
    assert!(!heard.contains("HTTP"), "{heard:?}");
    knowing.logs("TLS handshake failed");
}

/// As elsewhere: with `ssl_verify_client on`, who shows nothing good is sent away.
#[test]
fn an_asker_may_have_to_show_a_certificate() {
    let (ca, site) = (Ca::new(), Site::new());
    site.write("ca.pem", &ca.pem);
    ca.ecdsa(&["mail.test"]).put(&site, "mail");
    let inside = "lookup_server @ip@:7072 ssl; ssl_verify_client on;
                  ssl_client_certificate @dir@/ca.pem; route { @a.test 192.0.2.7; }";
    let gatepost = Gatepost::start(site, &conf(inside), &[]);
    let ask = |tls: &Tls| {
        let mut talk = Talk::try_connect(None, at(&gatepost)).unwrap();
        talk.try_secure(tls).ok()?;
        talk.try_send(zimbra("tim@a.test", "imap").as_bytes()).ok()?;
        talk.try_line().ok()
    };
    let known = Tls::showing(&ca.pem, "mail.test", &ca.ecdsa(&["asker.test"]));
    assert!(ask(&known).is_some_and(|line| line.starts_with("HTTP/1.0 200")));
    assert_eq!(ask(&Tls::trusting(&ca.pem, "mail.test")), None);
    gatepost.logs("client sent no required SSL certificate");
    let stranger = Tls::showing(&ca.pem, "mail.test", &Ca::new().ecdsa(&["asker.test"]));
    assert_eq!(ask(&stranger), None);
}

#[test]
fn only_who_is_allowed_may_ask() {
    let inside = "lookup_server @ip@:7072 allow=127.99.0.0/16,127.98.0.1;
                  route { @a.test 192.0.2.7; }";
    let gatepost = gatepost(&Ca::new(), inside, &[]);
    let ask = |from: [u8; 4]| {
        let mut talk = Talk::try_connect(Some(from.into()), at(&gatepost)).unwrap();
        talk.try_send(zimbra("tim@a.test", "imap").as_bytes()).ok()?;
        talk.try_line().ok()
    };
    for from in [[127, 99, 3, 4], [127, 98, 0, 1]] {
        assert!(ask(from).is_some_and(|line| line.starts_with("HTTP/1.0 200")), "{from:?}");
    }
    for from in [[127, 98, 0, 2], [127, 0, 0, 1]] {
        assert_eq!(ask(from), None, "{from:?}");
    }
    gatepost.logs("127.98.0.2");
    gatepost.logs("may not ask for routes");
}

/// Many that say nothing take each other's places, not those of who asks.
#[test]
fn who_says_nothing_does_not_keep_others_from_asking() {
    let gatepost = gatepost(&Ca::new(), &format!("{PLAIN} route {{ @a.test 192.0.2.7; }}"), &[]);
    let idle: Vec<_> = (0..200)
        .map(|_| {
            let mut talk = Talk::try_connect(None, at(&gatepost)).unwrap();
            talk.send(b"GET /service");
            talk
        })
        .collect();
    for _ in 0..20 {
        let heard = answered(at(&gatepost), zimbra("tim@a.test", "imap").as_bytes());
        assert!(heard.starts_with("HTTP/1.0 200 OK"), "{heard}");
    }
    drop(idle);
}

#[test]
fn answers_change_with_a_reload_and_the_listener_outlives_an_upgrade() {
    let text = conf(&format!("{PLAIN} route {{ @a.test @server@; }}"));
    let site = Site::new();
    Ca::new().ecdsa(&["mail.test"]).put(&site, "mail");
    let mut gatepost = Gatepost::start(site, &text, &[("server", &"192.0.2.7")]);
    let ask = |gatepost: &Gatepost| answered(at(gatepost), zimbra("tim@a.test", "imap").as_bytes());
    assert!(ask(&gatepost).contains("Auth-Server: 192.0.2.7\r\n"));
    let done = "exited with code 0";
    gatepost.reload(&text, &[("server", &"192.0.2.8")], done);
    assert!(ask(&gatepost).contains("Auth-Server: 192.0.2.8\r\n"));
    // The new binary has the same sockets; the old one goes, and nobody is refused meanwhile.
    let (old, new) = (gatepost.pid(), upgrade(&gatepost));
    assert!(ask(&gatepost).contains("Auth-Server: 192.0.2.8\r\n"));
    send(old, Signal::SIGQUIT);
    gatepost.ends();
    assert!(ask(&gatepost).contains("Auth-Server: 192.0.2.8\r\n"));
    send(new, Signal::SIGTERM);
    ends(new);
    assert!(Talk::try_connect(None, at(&gatepost)).is_err());
}

#[test]
fn a_listener_that_is_configured_no_more_is_closed() {
    let with = conf(&format!("{PLAIN} route {{ @a.test 192.0.2.7; }}"));
    let without = conf("route { @a.test 192.0.2.7; }");
    let site = Site::new();
    Ca::new().ecdsa(&["mail.test"]).put(&site, "mail");
    let gatepost = Gatepost::start(site, &without, &[]);
    assert!(Talk::try_connect(None, at(&gatepost)).is_err());
    let done = "exited with code 0";
    gatepost.reload(&with, &[], done);
    let heard = answered(at(&gatepost), zimbra("tim@a.test", "imap").as_bytes());
    assert!(heard.starts_with("HTTP/1.0 200 OK"), "{heard}");
    gatepost.reload(&without, &[], "generation 2 exited with code 0");
    assert!(Talk::try_connect(None, at(&gatepost)).is_err());
}
