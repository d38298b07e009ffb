//! The PROXY protocol, in and out, and who may say who the client is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::scene::{CERTIFICATE, Scene, TO_BACKEND};
use crate::support::{
    Ca, Client, FakeLookup, FakeUpstream, Manners, Mechanism, Protocol, Talk, fresh_ip, imap, mail,
    pop3,
};

/// Version 2's signature.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

const BALANCED: u16 = 10400;
const BALANCED_TLS: u16 = 10401;

/// A gatepost behind a balancer, with `extra` in the `mail` block, and the lookup it asks.
fn scene(protocol: Protocol, extra: &str) -> (FakeUpstream, FakeLookup, Scene) {
    let upstream = match protocol {
        Protocol::Imap => FakeUpstream::start(imap(Manners::imap())),
        Protocol::Pop3 => FakeUpstream::start(pop3(Manners::pop3())),
    };
    let lookup = FakeLookup::to(upstream.addr());
    let name = protocol.name();
    let text = mail(&format!(
        "{CERTIFICATE} auth_http @lookup@/; {extra}
         server {{ listen @ip@:{BALANCED} proxy_protocol; protocol {name}; starttls on; }}
         server {{ listen @ip@:{BALANCED_TLS} ssl proxy_protocol; protocol {name}; }}"
    ));
    // One worker: it takes connections in the order in which they came.
    let text = text.replace("worker_processes 2;", "worker_processes 1;");
    let values: [(&str, &dyn ToString); 1] = [("lookup", &lookup.addr())];
    let scene = Scene::with(Ca::new(), protocol, &text, &values);
    (upstream, lookup, scene)
}

fn version_2(
    command: u8,
    source: (Ipv4Addr, u16),
    target: (Ipv4Addr, u16),
    more: &[u8],
) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20 | command, 0x11]);
    header.extend((12 + more.len() as u16).to_be_bytes());
    header.extend(source.0.octets());
    header.extend(target.0.octets());
    header.extend(source.1.to_be_bytes());
    header.extend(target.1.to_be_bytes());
    header.extend(more);
    header
}

/// The balancer is on loopback, as everybody is here.
const BALANCER: &str = "set_real_ip_from 127.0.0.0/8;";

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// What the balancer says of it.
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.77 198.51.100.1 4711 143\r\n";

/// What the lookup is told of a client whose connection begins with `header`.
fn told(trusted: &str, header: &[u8], is_tls: bool) -> (String, String) {
    let (_upstream, lookup, scene) = scene(Protocol::Imap, trusted);
    let port = if is_tls { BALANCED_TLS } else { BALANCED };
    let mut talk = Talk::try_connect(None, (scene.gatepost.site.ip, port).into()).unwrap();
    talk.send(header);
    if is_tls {
        talk.try_secure(&scene.tls).unwrap();
    }
    let mut client = Client::over(Protocol::Imap, talk).after_greeting();
    client.log_in(Mechanism::Login, "bob", "pw");
    let asked = &lookup.asked()[0];
    (asked.get("Client-IP").to_owned(), asked.get("Proxy-Protocol-Addr").to_owned())
}

#[test]
fn a_trusted_balancer_is_believed() {
    let (trust, one) = (BALANCER, HEADER);
    let two = version_2(1, (CLIENT, 4711), (Ipv4Addr::LOCALHOST, 143), b"\x04\0\x03xyz");
    for header in [one, &two] {
        for is_tls in [false, true] {
            let (client, _) = told(trust, header, is_tls);
            assert_eq!(client, "192.0.2.77", "{header:?}");
        }
    }
    let six = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 143\r\n";
    assert_eq!(told(trust, six, false).0, "2001:db8::7");
    // A balancer's own check of our health.
    assert_eq!(told(trust, b"PROXY UNKNOWN\r\n", false).0, "127.0.0.1");
    let local = version_2(0, (CLIENT, 4711), (Ipv4Addr::LOCALHOST, 143), b"");
    assert_eq!(told(trust, &local, false).0, "127.0.0.1");
}

#[test]
fn anybody_else_is_not() {
    for trust in ["", "set_real_ip_from 198.51.100.0/24;"] {
        assert_eq!(told(trust, HEADER, false).0, "127.0.0.1", "{trust}");
    }
}

/// Who the upstream and the lookup take a client for that came through the balancer and then said
/// `claim`.
fn taken_for(protocol: Protocol, extra: &str, claim: &str) -> (String, String) {
    let (upstream, lookup, scene) = scene(protocol, extra);
    let mut client = Client::connect(protocol, (scene.gatepost.site.ip, BALANCED).into());
    client.send(HEADER);
    client.greeting();
    match protocol {
        Protocol::Imap => drop(client.ask(claim).is("OK")),
        // Whether it is believed is not told.
        Protocol::Pop3 => drop(client.ask_line(claim, "")),
    }
    client.log_in(Mechanism::Login, "bob", "pw");
    let tells = if protocol == Protocol::Imap { " ID (" } else { "XCLIENT ADDR=" };
    (upstream.hears(tells), lookup.asked()[0].get("Client-IP").to_owned())
}

/// How a client may say that it is somebody else.
const CLAIMS: [(Protocol, &str); 3] = [
    (Protocol::Imap, "ID (\"x-originating-ip\" \"203.0.113.9\" \"x-originating-port\" \"25\")"),
    (Protocol::Pop3, "XCLIENT ADDR=203.0.113.9 PORT=25"),
    (Protocol::Pop3, "XOIP 203.0.113.9"),
];

#[test]
fn who_comes_through_a_balancer_cannot_forge_an_address() {
    for (protocol, claim) in CLAIMS {
        let (told, asked) = taken_for(protocol, BALANCER, claim);
        assert!(told.contains("192.0.2.77") && !told.contains("203.0.113.9"), "{told}");
        assert_eq!(asked, "192.0.2.77", "{claim}");
    }
}

#[test]
fn a_proxy_behind_a_balancer_is_believed_where_it_is_trusted() {
    let trust = format!("{BALANCER} set_real_ip_from 192.0.2.0/24;");
    for (protocol, claim) in CLAIMS {
        let (told, asked) = taken_for(protocol, &trust, claim);
        assert!(told.contains("203.0.113.9") && !told.contains("192.0.2.77"), "{told}");
        assert_eq!(asked, "203.0.113.9", "{claim}");
    }
}

#[test]
fn a_broken_header_has_its_access_line() {
    let extra = format!("{BALANCER} access_log logs/access.log json;");
    let (_upstream, _lookup, scene) = scene(Protocol::Imap, &extra);
    let to = (scene.gatepost.site.ip, BALANCED).into();
    let broken = [&b"GARBAGE\r\n"[..], b"PROXY TCP9 192.0.2.77 198.51.100.1 4711 143\r\n"];
    for bytes in broken {
        let mut talk = Talk::try_connect(None, to).unwrap();
        talk.send(bytes);
        talk.hears_the_end();
    }
    let site = scene.gatepost.quit();
    let log = site.read("logs/access.log");
    assert_eq!(log.lines().count(), broken.len(), "{log}");
    assert!(log.lines().all(|line| line.contains("\"end\":\"proxy_header\"")), "{log}");
}

/// Ends gatepost by `signal` while a header is due, with `extra` in the `mail` block, and asserts that
/// it ends before the minute that a client has for its header.
fn end_while_a_header_is_due(signal: Signal, shutdown: &str) {
    let (_upstream, _lookup, scene) = scene(Protocol::Imap, BALANCER);
    let gatepost = &scene.gatepost;
    let text = gatepost.site.read("conf/gatepost.conf");
    gatepost.reload(&format!("{shutdown}\n{text}"), &[], "exited with code 0");
    let to = (gatepost.site.ip, BALANCED).into();
    let mut silent = Talk::try_connect(None, to).unwrap();
    let mut begun = Talk::try_connect(None, to).unwrap();
    begun.send("PROXY TC");
    // Once a later one is greeted, those before it have been taken.
    let mut client = Client::connect(Protocol::Imap, to);
    client.send(HEADER);
    client.greeting();
    drop(client);
    scene.gatepost.stop(signal);
    let _ = (silent.left_unsaid(), begun.left_unsaid());
}

#[test]
fn a_stop_waits_for_no_header() {
    end_while_a_header_is_due(Signal::SIGTERM, "");
}

#[test]
fn a_quit_that_may_not_take_long_waits_for_no_header() {
    end_while_a_header_is_due(Signal::SIGQUIT, "worker_shutdown_timeout 500ms;");
}

#[test]
fn a_header_that_is_missing_or_wrong_ends_the_connection() {
    let extra = format!("{BALANCER} timeout 2s;");
    let (upstream, _lookup, scene) = scene(Protocol::Imap, &extra);
    let to: SocketAddr = (scene.gatepost.site.ip, BALANCED).into();
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 4000]].concat();
    for bytes in [
        &b"a LOGIN bob pw\r\n"[..],
        b"PROXY TCP4 192.0.2.300 198.51.100.1 4711 143\r\n",
        b"PROXY TCP4 192.0.2.77 198.51.100.1 4711\r\n",
        b"PROXY TCP9 192.0.2.77 198.51.100.1 4711 143\r\n",
        &endless,
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
        b"",
    ] {
        let mut talk = Talk::try_connect(None, to).unwrap();
        talk.send(bytes);
        talk.patience = Duration::from_secs(8);
        let said = talk.left_unsaid();
        assert!(!said.contains("OK"), "{bytes:?}: {said}");
    }
    assert_eq!(upstream.accepted(), 0);
}

#[test]
fn a_header_may_come_in_pieces_with_the_first_command_behind_it() {
    let (_upstream, lookup, scene) = scene(Protocol::Imap, "set_real_ip_from 127.0.0.1;");
    let to = (scene.gatepost.site.ip, BALANCED).into();
    let mut client = Client::connect(Protocol::Imap, to);
    for byte in b"PROXY TCP4 192.0.2.77 198.51.100.1 4711 143\r\na LOGIN bob pw\r\n" {
        client.send([*byte]);
    }
    client.greeting();
    client.hear_out("a").is("OK");
    assert_eq!(lookup.asked()[0].get("Client-IP"), "192.0.2.77");
    scene.gatepost.logs("client: 192.0.2.77");
}

#[test]
fn an_upstream_is_told_by_version_1() {
    let upstream = FakeUpstream::start(|talk: &mut Talk| {
        talk.try_line()?;
        imap(Manners::imap())(talk)
    });
    let scene = Scene::before(upstream.addr(), Protocol::Imap, "proxy_protocol on;");
    let from = fresh_ip();
    let mut client = Client::greeted_from(from, Protocol::Imap, scene.gatepost.imap());
    client.log_in(Mechanism::Login, "bob", "pw");
    let (port, ip) = (client.local_addr().port(), scene.gatepost.site.ip);
    assert_eq!(upstream.heard()[0], format!("PROXY TCP4 {from} {ip} {port} 10143"));
}

#[test]
fn an_upstream_is_told_by_version_2() {
    let upstream = FakeUpstream::start(|talk: &mut Talk| {
        let header = talk.try_bytes(16)?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        let rest = talk.try_bytes(length)?;
        let told = format!("{:?} {:?}", &header[..14], &rest[..12]);
        talk.record.as_ref().unwrap().lock().unwrap().push(told);
        imap(Manners::imap())(talk)
    });
    let conf = format!("{CERTIFICATE}{TO_BACKEND} proxy_protocol v2;");
    let text = mail(&format!("{conf}{}", crate::scene::servers(Protocol::Imap)));
    let values: [(&str, &dyn ToString); 1] = [("up", &upstream.addr())];
    let scene = Scene::with(Ca::new(), Protocol::Imap, &text, &values);
    let from = fresh_ip();
    let mut client = Client::greeted_from(from, Protocol::Imap, scene.gatepost.imap());
    client.log_in(Mechanism::Login, "bob", "pw");
    let source = (from, client.local_addr().port());
    let header = version_2(1, source, (scene.gatepost.site.ip, 10143), b"");
    assert_eq!(upstream.heard()[0], format!("{:?} {:?}", &header[..14], &header[16..28]));
}
