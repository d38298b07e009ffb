//! SMTP and LMTP before scripted upstreams: what is offered, what an upstream is told and by which
//! login, and that nothing a client or its name says becomes a command, a header or a line of the log.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dialog::{Dialog, Tongue};
use crate::scripted::Mta;
use crate::support::{
    Asked, FakeLookup, FakeUpstream, Gatepost, Site, Talk, answer, command, encoded, fill,
    fresh_ip, mail, run,
};

const PORT: u16 = 11_025;
const BY_TABLE: &str = "route { default @up@; }";
const BY_LOOKUP: &str = "auth_http @lookup@/;";

/// One server of that protocol with `inside`.
fn server(protocol: &str, inside: &str) -> String {
    mail(&format!("{inside} server {{ listen @ip@:{PORT}; protocol {protocol}; }}"))
}

/// SMTP before `up`, which the table knows.
fn before(up: &FakeUpstream, inside: &str) -> Gatepost {
    Gatepost::start(
        Site::new(),
        &server("smtp", &format!("{BY_TABLE} {inside}")),
        &[("up", &up.addr())],
    )
}

/// SMTP that asks `lookup`.
fn asking(lookup: &FakeLookup, inside: &str) -> Gatepost {
    Gatepost::start(
        Site::new(),
        &server("smtp", &format!("{BY_LOOKUP} {inside}")),
        &[("lookup", &lookup.addr())],
    )
}

fn at(gatepost: &Gatepost) -> SocketAddr {
    (gatepost.site.ip, PORT).into()
}

fn client(gatepost: &Gatepost) -> Dialog {
    Dialog::greeted(Tongue::Smtp, at(gatepost))
}

fn towards(to: SocketAddr, more: &[(&str, &str)]) -> String {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let mut headers = vec![("Auth-Status", "OK"), ("Auth-Server", &*ip), ("Auth-Port", &*port)];
    headers.extend_from_slice(more);
    answer(&headers)
}

/// Says `command` and hears a reply that begins so.
#[track_caller]
fn says(client: &mut Dialog, command: &str, beginning: &str) -> String {
    let end = client.ask(command).pop().unwrap();
    assert!(end.starts_with(beginning), "{command:?}: {end}");
    end
}

#[test]
fn what_the_upstream_lacks_is_not_listed_again() {
    let up = Mta::listing(&["SIZE 500", "AUTH PLAIN", "SMTPUTF8"]).start();
    let gatepost = before(&up, "smtp_capabilities 'SIZE 1000' CHUNKING SMTPUTF8;");
    let mut one = client(&gatepost);
    let offers = one.offers();
    for line in ["250-SIZE 1000", "250-CHUNKING", "250-SMTPUTF8", "250 AUTH PLAIN LOGIN"] {
        assert!(offers.contains(line), "{offers}");
    }
    one.log_in("alice", "pw");
    let offers = client(&gatepost).offers();
    assert!(offers.contains("250-SIZE 500\n") && offers.contains("SMTPUTF8"), "{offers}");
    assert!(!offers.contains("CHUNKING"), "{offers}");
    let line = gatepost.logs("upstream does not offer what clients were told");
    assert!(line.contains("[warn]") && line.contains("CHUNKING"), "{line}");
}

#[test]
fn with_nothing_configured_what_all_upstreams_have_is_listed() {
    let one = Mta::listing(&["PIPELINING", "SIZE 9000", "DSN", "AUTH PLAIN", "STARTTLS"]).start();
    let two = Mta::listing(&["SIZE 8000", "CHUNKING", "DSN", "AUTH PLAIN", "XCLIENT ADDR"]).start();
    let conf = server("smtp", "route { one @one@; default @two@; }");
    let gatepost =
        Gatepost::start(Site::new(), &conf, &[("one", &one.addr()), ("two", &two.addr())]);
    let listed = |before: &str| {
        let mut client = client(&gatepost);
        let offers = client.offers();
        assert_eq!(offers, format!("250-mail.test\n{before}250 AUTH PLAIN LOGIN"));
        client
    };
    listed("").log_in("one", "pw");
    listed("250-PIPELINING\n250-SIZE 9000\n250-DSN\n").log_in("two", "pw");
    // In whichever order; but no more than both have.
    let offers = client(&gatepost).offers();
    assert!(offers.contains("SIZE 8000") && offers.contains("DSN"), "{offers}");
    assert!(!offers.contains("PIPELINING") && !offers.contains("CHUNKING"), "{offers}");
}

#[test]
fn xclient_says_what_the_upstream_lists_and_no_more() {
    for (lists, told) in [
        ("ADDR", "ADDR=@addr@"),
        ("NAME ADDR LOGIN", "NAME=[UNAVAILABLE] ADDR=@addr@ LOGIN=al+2Bice+20x"),
        ("PORT PROTO HELO", "PORT=@port@ PROTO=ESMTP HELO=client.test"),
        ("DESTADDR DESTPORT", "DESTADDR=@to@ DESTPORT=11025"),
        ("ADDR NONSENSE", "ADDR=@addr@"),
    ] {
        let up = Mta::listing(&[&format!("XCLIENT {lists}"), "AUTH PLAIN"]).start();
        let to = up.addr();
        let lookup = FakeLookup::start(move |_: &Asked| towards(to, &[]));
        let gatepost = asking(&lookup, "");
        let mut client = client(&gatepost);
        client.offers();
        client.log_in("al+ice x", "pw");
        let told = told
            .replace("@addr@", "127.0.0.1")
            .replace("@port@", &client.local_addr().port().to_string())
            .replace("@to@", &gatepost.site.ip.to_string());
        let heard = up.hears("XCLIENT");
        assert_eq!(heard, format!("XCLIENT {told}"));
        // The session begins anew, and the client's own introduction is passed on.
        assert_eq!(up.heard(), ["EHLO mail.test", &heard, "EHLO client.test"]);
    }
}

#[test]
fn xclient_goes_out_as_configured() {
    let plain = &["AUTH PLAIN"][..];
    for (setting, lists, is_told) in [
        ("auto", plain, false),
        ("off", &["XCLIENT ADDR", "AUTH PLAIN"], false),
        ("on", plain, true),
        ("auto", &["XCLIENT ADDR", "AUTH PLAIN"], true),
    ] {
        // A refusal is passed over.
        for reply in ["220 anew", "550 5.7.0 not you"] {
            let up = Mta { xclient: reply, ..Mta::listing(lists) }.start();
            let gatepost = before(&up, &format!("xclient {setting};"));
            client(&gatepost).log_in("alice", "pw");
            let heard = up.heard().join("\n");
            assert_eq!(heard.contains("XCLIENT"), is_told, "{setting}: {heard}");
            up.hears(&format!("AUTH PLAIN {}", encoded("\0alice\0pw")));
        }
    }
}

#[test]
fn the_upstream_is_logged_in_to_as_configured() {
    let plain = encoded("\0alice\0pw");
    let (user, password) = (encoded("alice"), encoded("pw"));
    let by_plain = vec![format!("AUTH PLAIN {plain}")];
    let by_login = vec!["AUTH LOGIN".to_owned(), user, password];
    for (setting, lists, want) in [
        ("on", "AUTH PLAIN LOGIN", Some(&by_plain)),
        ("on", "AUTH LOGIN", Some(&by_login)),
        ("auto", "AUTH=LOGIN", Some(&by_login)),
        ("plain", "AUTH LOGIN PLAIN", Some(&by_plain)),
        ("login", "AUTH LOGIN PLAIN", Some(&by_login)),
        ("on", "AUTH CRAM-MD5", None),
        ("auto", "SIZE", None),
    ] {
        let up = Mta::listing(&[lists]).start();
        let gatepost = before(&up, &format!("proxy_smtp_auth {setting};"));
        let end = client(&gatepost).plain("", "alice", "pw");
        let Some(want) = want else {
            assert!(end.starts_with("454 4.7.0"), "{setting} {lists}: {end}");
            assert_eq!(up.heard(), ["EHLO mail.test"]);
            continue;
        };
        assert!(end.starts_with("235"), "{setting} {lists}: {end}");
        assert_eq!(up.heard()[1..], want[..], "{setting} {lists}");
    }
}

#[test]
fn whom_the_lookup_vouches_for_is_logged_in_to_the_upstream_where_that_is_said() {
    for (setting, more, is_login) in [
        ("off", &[("Auth-Pass", "x")][..], false),
        ("auto", &[], false),
        ("auto", &[("Auth-Pass", "x")], false),
        ("on", &[], true),
        ("auto", &[("Auth-Upstream-Master", "on")], true),
    ] {
        let up = Mta::listing(&["AUTH PLAIN", "XCLIENT LOGIN"]).start();
        let to = up.addr();
        let lookup = FakeLookup::start(move |_: &Asked| towards(to, more));
        let site = Site::new();
        site.write("master", "mellon\n");
        let inside = format!(
            "{BY_LOOKUP} proxy_smtp_auth {setting};
             proxy_master_user gate; proxy_master_password_file @dir@/master;"
        );
        let gatepost =
            Gatepost::start(site, &server("smtp", &inside), &[("lookup", &lookup.addr())]);
        client(&gatepost).log_in("alice", "pw");
        let heard = up.heard().join("\n");
        assert_eq!(heard.contains("AUTH PLAIN"), is_login, "{setting} {more:?}: {heard}");
        // Who does not say it there says it here.
        assert_eq!(heard.contains("XCLIENT LOGIN=alice"), !is_login, "{setting}: {heard}");
        if more.first().is_some_and(|(name, _)| *name == "Auth-Upstream-Master") {
            up.hears(&encoded("alice\0gate\0mellon"));
        }
    }
}

#[test]
fn a_table_whose_upstream_checks_nobody_is_a_fault() {
    let site = Site::new();
    let check = |inside: &str| {
        let conf = fill(&site, &server("smtp", inside), &[]);
        site.write("conf/gatepost.conf", conf);
        run(command(&site).arg("-t"), "")
    };
    let off = check("route { default 127.0.0.1:1; } proxy_smtp_auth off;");
    assert!(off.code == Some(1) && off.said().contains("proxy_smtp_auth"), "{off:?}");
    let inner = "upstream u { server 127.0.0.1:1; proxy_smtp_auth off; } route { default u; }";
    assert_eq!(check(inner).code, Some(1));
    // Nobody logs in; the handler checks.
    check("route { default 127.0.0.1:1; } proxy_smtp_auth off; smtp_auth none;").worked();
    check("auth_http 127.0.0.1:1; proxy_smtp_auth off;").worked();
}

#[test]
fn mail_without_a_login_goes_where_its_recipient_is() {
    let (a, b) = (Mta::listing(&["PIPELINING"]).start(), Mta::listing(&["SIZE"]).start());
    let ends = [a.addr(), b.addr()];
    let lookup = FakeLookup::start(move |asked: &Asked| match asked.get("Auth-SMTP-To") {
        to if to.contains("@a.test") => towards(ends[0], &[]),
        to if to.contains("@b.test") => towards(ends[1], &[]),
        _ => answer(&[
            ("Auth-Status", "no such user"),
            ("Auth-Error-Code", "550 5.1.1"),
            ("Auth-Wait", "1"),
        ]),
    });
    let by_lookup = asking(&lookup, "smtp_auth none;");
    let conf = server("smtp", "smtp_auth none; route { @a.test @a@; @b.test @b@; }");
    let (to_a, to_b) = ends.into();
    let by_table = Gatepost::start(Site::new(), &conf, &[("a", &to_a), ("b", &to_b)]);
    for gatepost in [&by_lookup, &by_table] {
        for (domain, up) in [("a.test", &a), ("b.test", &b)] {
            let mut client = client(gatepost);
            assert!(!client.offers().contains("AUTH"));
            says(&mut client, "RCPT TO:<alice@a.test>", "503 5.5.1");
            says(&mut client, "MAIL FROM:<x@y.test> SIZE=10", "250");
            let nobody = client.ask("RCPT TO:<nobody@nowhere.test>").pop().unwrap();
            assert!(nobody.starts_with("550 5."), "{nobody}");
            // The upstream's own reply.
            says(&mut client, &format!("RCPT TO:<alice@{domain}>"), "250 2.1.5 recipient");
            says(&mut client, "DATA", "354 go on");
            says(&mut client, "Subject: hello\r\n\r\n..\r\n.", "250 2.0.0 queued");
            says(&mut client, "QUIT", "221");
            let heard = up.heard();
            let begin = heard.iter().rposition(|line| line.starts_with("MAIL")).unwrap();
            let rcpt = format!("RCPT TO:<alice@{domain}>");
            assert_eq!(heard[begin..begin + 3], ["MAIL FROM:<x@y.test> SIZE=10", &rcpt, "DATA"]);
        }
    }
    let asked = lookup.asked().pop().unwrap();
    for (header, want) in [
        ("Auth-Method", "none"),
        ("Auth-User", ""),
        ("Auth-Protocol", "smtp"),
        ("Auth-SMTP-Helo", "client.test"),
        ("Auth-SMTP-From", "MAIL FROM:<x@y.test> SIZE=10"),
        ("Auth-SMTP-To", "RCPT TO:<alice@b.test>"),
    ] {
        assert_eq!(asked.get(header), want, "{header}: {asked:?}");
    }
}

#[test]
fn an_upstreams_refusal_of_a_recipient_is_the_clients_to_hear() {
    let up = Mta { rcpt: "552 5.2.2 full", ..Mta::listing(&[]) }.start();
    let gatepost = before(&up, "smtp_auth none;");
    let mut client = client(&gatepost);
    says(&mut client, "MAIL FROM:<>", "250");
    says(&mut client, "RCPT TO:<alice@a.test>", "552 5.2.2 full");
    says(&mut client, "NOOP", "250 2.0.0 fine");
}

#[test]
fn lmtp_takes_mail_without_a_login() {
    let up = Mta::listing(&["PIPELINING", "ENHANCEDSTATUSCODES", "XCLIENT ADDR PROTO"]).start();
    let conf = server("lmtp", &format!("{BY_TABLE} smtp_auth plain;"));
    let gatepost = Gatepost::start(Site::new(), &conf, &[("up", &up.addr())]);
    let mut client = client(&gatepost);
    for wrong in ["EHLO client.test", "HELO client.test", "AUTH PLAIN"] {
        says(&mut client, wrong, "500 5.5.1");
    }
    says(&mut client, "LHLO client.test", "250 ");
    says(&mut client, "MAIL FROM:<x@y.test>", "250");
    says(&mut client, "RCPT TO:<alice@a.test>", "250 2.1.5 recipient");
    says(&mut client, "DATA", "354 go on");
    says(&mut client, "Subject: hello\r\n\r\nhello\r\n.", "250 2.0.0 queued");
    let heard = up.heard();
    assert_eq!(
        heard[..3],
        ["LHLO mail.test", "XCLIENT ADDR=127.0.0.1 PROTO=LMTP", "LHLO client.test"]
    );
    assert_eq!(heard[3..6], ["MAIL FROM:<x@y.test>", "RCPT TO:<alice@a.test>", "DATA"]);
}

#[test]
fn an_upstream_without_starttls_hears_no_password() {
    let up = Mta::listing(&["AUTH PLAIN"]).start();
    let gatepost = before(&up, "proxy_ssl starttls; proxy_ssl_verify off;");
    let end = client(&gatepost).plain("", "alice", "secret");
    assert!(end.starts_with("454 4.7.0"), "{end}");
    assert_eq!(up.heard(), ["EHLO mail.test"]);
}

#[test]
fn what_is_pipelined_behind_the_login_arrives_in_order() {
    let up = Mta::listing(&["AUTH PLAIN"]).start();
    let gatepost = before(&up, "");
    let mut client = client(&gatepost);
    let plain = encoded("\0alice\0pw");
    let body: String = (0..500).map(|number| format!("line {number}\r\n")).collect();
    client.send(format!(
        "EHLO c.test\r\nAUTH PLAIN {plain}\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n{body}.\r\nQUIT\r\n"
    ));
    for beginning in ["250", "235", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0 queued", "221"] {
        let end = client.lines().pop().unwrap();
        assert!(end.starts_with(beginning), "{beginning}: {end}");
    }
    client.hears_the_end();
    let heard = up.heard();
    let from = heard.iter().position(|line| line == "MAIL FROM:<a@b>").unwrap();
    assert_eq!(heard[from + 1..from + 4], ["RCPT TO:<c@d>", "DATA", "line 0"]);
    assert_eq!(heard[from + 3 + 499..], ["line 499", ".", "QUIT"]);
}

/// Whatever is said before the login, these words stand nowhere afterwards.
fn clean(gatepost: &Gatepost, up: &FakeUpstream, lookup: &FakeLookup) {
    let heard = up.heard();
    let is_command = |line: &String| line.starts_with("EVIL") || line.starts_with("X-Evil");
    assert!(!heard.iter().any(is_command), "{heard:?}");
    for asked in lookup.asked() {
        assert!(!asked.headers.iter().any(|(name, _)| name == "X-Evil"), "{asked:?}");
    }
    for line in gatepost.error_log().lines() {
        assert!(line.starts_with("20") && !line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn no_line_end_gets_into_a_command_a_header_or_the_log() {
    let up = Mta::listing(&["AUTH PLAIN", "XCLIENT NAME ADDR HELO LOGIN PROTO"]).start();
    let to = up.addr();
    let lookup = FakeLookup::start(move |_: &Asked| towards(to, &[]));
    let more = "smtp_auth plain login xoauth2 none; proxy_smtp_auth on; max_errors 50;
                set_real_ip_from 127.0.0.0/8; access_log logs/access.log;";
    let gatepost = asking(&lookup, more);
    for evil in
        ["\rEVIL", "\nEVIL", "\0EVIL", "\r\0\nEVIL", "\nX-Evil: 1", "\x1b[2JEVIL", "\x7fEVIL"]
    {
        for bytes in [
            format!("EHLO a{evil}\r\nQUIT\r\n"),
            format!("HELO a{evil}\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n"),
            format!("MAIL FROM:<a{evil}@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n"),
            format!("MAIL FROM:<a@b> SIZE=1{evil}\r\nRCPT TO:<c@d>\r\nQUIT\r\n"),
            format!("MAIL FROM:<a@b>\r\nRCPT TO:<c{evil}@d>\r\nQUIT\r\n"),
            format!("MAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY={evil}\r\nQUIT\r\n"),
            format!("AUTH PLAIN {}\r\nQUIT\r\n", encoded(&format!("\0u{evil}\0p"))),
            format!("AUTH PLAIN {}\r\nQUIT\r\n", encoded(&format!("z{evil}\0u\0p"))),
            format!("AUTH PLAIN {}\r\nQUIT\r\n", encoded(&format!("\0u\0p{evil}"))),
            format!(
                "AUTH LOGIN\r\n{}\r\n{}\r\nQUIT\r\n",
                encoded(&format!("u{evil}")),
                encoded("p")
            ),
            format!(
                "AUTH LOGIN\r\n{}\r\n{}\r\nQUIT\r\n",
                encoded("u"),
                encoded(&format!("p{evil}"))
            ),
            format!(
                "AUTH XOAUTH2 {}\r\n\r\nQUIT\r\n",
                encoded(&format!("user=u{evil}\x01auth=Bearer t\x01\x01"))
            ),
        ] {
            let mut talk = Talk::try_connect(None, at(&gatepost)).unwrap();
            talk.send(&bytes);
            talk.hang_up();
            talk.left_unsaid();
        }
        let hex: String = evil.bytes().map(|byte| format!("+{byte:02X}")).collect();
        for name in ["NAME", "HELO", "LOGIN", "ADDR", "PROTO", "SESSION"] {
            let mut talk = Talk::try_connect(None, at(&gatepost)).unwrap();
            let plain = encoded("\0alice\0pw");
            talk.send(format!(
                "XCLIENT {name}=a{hex}\r\nEHLO good.test\r\nAUTH PLAIN {plain}\r\nQUIT\r\n"
            ));
            talk.hang_up();
            talk.left_unsaid();
        }
        clean(&gatepost, &up, &lookup);
    }
    for line in gatepost.access_log().lines() {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    // It was not for want of trying.
    assert!(lookup.asked().len() > 10 && up.accepted() > 10);
}

/// A name server that gives every address this name, and every name the address it was asked from.
struct Names {
    socket: Arc<UdpSocket>,
    is_over: Arc<AtomicBool>,
}

impl Names {
    /// `labels` are its parts as they go over the wire, so any bytes will do.
    fn start(labels: Vec<&'static [u8]>, address: Ipv4Addr) -> Self {
        let socket = Arc::new(UdpSocket::bind((fresh_ip(), 0)).unwrap());
        let is_over = Arc::new(AtomicBool::new(false));
        let names = Self { socket: socket.clone(), is_over: is_over.clone() };
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let Some(reply) = reply(&buffer[..length], &labels, address) else { continue };
                let _ = socket.send_to(&reply, from);
            }
        });
        names
    }

    fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = self.socket.send_to(b"", self.addr());
    }
}

/// RFC 1035 §4: one answer, for PTR and A.
fn reply(query: &[u8], labels: &[&[u8]], address: Ipv4Addr) -> Option<Vec<u8>> {
    let name = query.get(12..)?;
    let end = 12 + name.iter().position(|byte| *byte == 0)? + 5;
    let kind = query.get(end - 3).copied()?;
    let data = match kind {
        12 => {
            let mut data = Vec::new();
            for label in labels {
                data.push(label.len() as u8);
                data.extend_from_slice(label);
            }
            data.push(0);
            data
        }
        1 => address.octets().to_vec(),
        _ => Vec::new(),
    };
    let count = u8::from(!data.is_empty());
    let mut reply = query.get(..2)?.to_vec();
    reply.extend_from_slice(&[0x84, 0, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend_from_slice(query.get(12..end)?);
    if count == 1 {
        reply.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 1, 0, data.len() as u8]);
        reply.extend_from_slice(&data);
    }
    Some(reply)
}

#[test]
fn a_name_from_dns_is_letters_digits_dots_and_hyphens() {
    for (labels, want) in [
        (vec![&b"client"[..], b"example", b"test"], "client.example.test"),
        (vec![&b"a\r\nX-Evil: 1"[..], b"test"], "[UNAVAILABLE]"),
        (vec![&b"a\nEVIL"[..], b"test"], "[UNAVAILABLE]"),
        (vec![&b"a EVIL=1"[..], b"test"], "[UNAVAILABLE]"),
        (vec![&b"a\0b"[..], b"test"], "[UNAVAILABLE]"),
        (vec![&b"a.b"[..], b"test"], "[UNAVAILABLE]"),
        (vec![&b"a_b"[..], b"test"], "[UNAVAILABLE]"),
    ] {
        let names = Names::start(labels.clone(), Ipv4Addr::LOCALHOST);
        let up = Mta::listing(&["AUTH PLAIN", "XCLIENT NAME"]).start();
        let to = up.addr();
        let lookup = FakeLookup::start(move |_: &Asked| towards(to, &[]));
        let gatepost = asking(&lookup, &format!("resolver {} ipv6=off;", names.addr()));
        client(&gatepost).log_in("alice", "pw");
        let asked = lookup.asked().pop().unwrap();
        let said = asked.get("Client-Host");
        // A label with a dot in it may be one name or the other, never another's.
        let is_it = said == want || labels[0] == b"a.b" && said == "a.b.test";
        assert!(is_it, "{labels:?}: {said}");
        assert_eq!(up.hears("XCLIENT"), format!("XCLIENT NAME={said}"));
        clean(&gatepost, &up, &lookup);
    }
    // A name whose address is another one is none.
    let names = Names::start(vec![b"client", b"test"], Ipv4Addr::new(192, 0, 2, 1));
    let up = Mta::listing(&["XCLIENT NAME"]).start();
    let lookup = FakeLookup::to(up.addr());
    let gatepost = asking(&lookup, &format!("resolver {} ipv6=off;", names.addr()));
    client(&gatepost).log_in("alice", "pw");
    assert_eq!(up.hears("XCLIENT"), "XCLIENT NAME=[UNAVAILABLE]");
}
