use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::hosts::Hosts;
use super::super::{Found, Settings};
use super::*;

/// A DNS that knows these names of every client, and these addresses of each name.
#[derive(Default)]
struct Zone {
    names: Vec<String>,
    addresses: Vec<(&'static str, Result<&'static str, &'static str>)>,
    asked: AtomicUsize,
}

impl Ask for Arc<Zone> {
    async fn ask(&self, _: &str) -> Result<Found, Error> {
        unreachable!("clients' names are not resolved as upstreams' are")
    }

    async fn names_of(&self, ip: IpAddr) -> Result<Named, Error> {
        // Others get their chance to ask the same.
        tokio::task::yield_now().await;
        self.asked.fetch_add(1, Ordering::Relaxed);
        match &self.names[..] {
            [] => Err(Error::NotFound(ip.to_string())),
            names => Ok(Named { names: names.to_vec(), ttl: Duration::from_secs(60) }),
        }
    }

    async fn addresses(&self, name: &str, ipv6: bool) -> Result<Found, Error> {
        assert!(!ipv6);
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.addresses.iter().find(|(known, _)| *known == name) {
            Some((_, Ok(ip))) => {
                Ok(Found { ips: vec![ip.parse().unwrap()], ttl: Duration::from_secs(30) })
            }
            Some((_, Err(cause))) => {
                Err(Error::Failed { name: format!("\"{name}\""), cause: (*cause).to_owned() })
            }
            None => Err(Error::NotFound(format!("\"{name}\""))),
        }
    }
}

const CLIENT: &str = "192.0.2.7";

fn resolver(names: &[&str]) -> (Resolver<Arc<Zone>>, Arc<Zone>) {
    let addresses = vec![
        ("mail.example", Ok(CLIENT)),
        ("Mail-2.Example", Ok(CLIENT)),
        ("other.example", Ok("192.0.2.8")),
        ("ill.example", Err("SERVFAIL")),
        // What hickory would say to a name that reads as an address.
        (CLIENT, Ok(CLIENT)),
    ];
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let zone = Arc::new(Zone { names, addresses, ..Zone::default() });
    let hosts = Hosts::new("/nonexistent");
    (Resolver::with(Arc::clone(&zone), Settings::default(), hosts, |_| ()), zone)
}

fn client() -> IpAddr {
    CLIENT.parse().unwrap()
}

#[tokio::test]
async fn a_name_counts_only_if_it_leads_back() {
    let not_found = "192.0.2.7 could not be resolved (3: Host not found)";
    let gone = "\"gone.example\" could not be resolved (3: Host not found)";
    let ill = "\"ill.example\" could not be resolved (2: Server failure): SERVFAIL";
    let others = "\"other.example\" does not have the client's address";
    let long = format!("{}example.", "long.".repeat(50));
    let injected = "\"mail.example\\r\\nAuth-Status: OK\" is not a host name";
    for (names, want, fault) in [
        (&["mail.example."][..], "mail.example", ""),
        (&["Mail-2.Example."], "Mail-2.Example", ""),
        (&["other.example.", "mail.example."], "mail.example", ""),
        (&[], "[UNAVAILABLE]", not_found),
        (&["gone.example."], "[UNAVAILABLE]", gone),
        (&["other.example."], "[UNAVAILABLE]", others),
        (&["ill.example."], "[TEMPUNAVAIL]", ill),
        (&["gone.example.", "ill.example.", "other.example."], "[TEMPUNAVAIL]", ill),
        (&["ill.example.", "mail.example."], "mail.example", ""),
        // The fifth is not looked at.
        (&["a.", "b.", "c.", "d.", "mail.example."], "[UNAVAILABLE]", "\"a\" could not"),
        (&["192.0.2.7."], "[UNAVAILABLE]", "\"192.0.2.7.\" is not a host name"),
        (&["mail.example\r\nAuth-Status: OK"], "[UNAVAILABLE]", injected),
        (&["mail_1.example."], "[UNAVAILABLE]", "is not a host name"),
        (&["mail\\.example."], "[UNAVAILABLE]", "is not a host name"),
        (&["m\u{e4}il.example."], "[UNAVAILABLE]", "is not a host name"),
        (&["mail..example."], "[UNAVAILABLE]", "is not a host name"),
        (&["."], "[UNAVAILABLE]", "is not a host name"),
        (&[""], "[UNAVAILABLE]", "is not a host name"),
        (&[&long], "[UNAVAILABLE]", "is not a host name"),
    ] {
        let host = resolver(names).0.host_of(client()).await;
        assert_eq!(host.text(), want, "{names:?}");
        let told = host.fault().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains(fault) && told.is_empty() == fault.is_empty(), "{told}");
        assert!(!told.contains(char::is_control), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_the_shorter_ttl() {
    let (resolver, zone) = resolver(&["mail.example."]);
    for (by, asked) in [(0, 2), (29, 2), (2, 4)] {
        tokio::time::advance(Duration::from_secs(by)).await;
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(resolver.host_of(mapped).await.text(), "mail.example");
        assert_eq!(zone.asked.load(Ordering::Relaxed), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_soon_forgotten() {
    let (resolver, zone) = resolver(&["ill.example."]);
    for (by, asked) in [(0, 2), (4, 2), (2, 4)] {
        tokio::time::advance(Duration::from_secs(by)).await;
        assert_eq!(resolver.host_of(client()).await.text(), "[TEMPUNAVAIL]");
        assert_eq!(zone.asked.load(Ordering::Relaxed), asked);
    }
}

#[tokio::test]
async fn the_same_client_is_asked_for_once() {
    let (resolver, zone) = resolver(&["mail.example."]);
    let (a, b) = tokio::join!(resolver.host_of(client()), resolver.host_of(client()));
    assert_eq!((a.text(), b.text()), ("mail.example", "mail.example"));
    assert_eq!(zone.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_storm_of_clients_is_not_remembered_without_end() {
    let (resolver, _) = resolver(&[]);
    for number in 0..u32::try_from(3 * MOST).unwrap() {
        let ip = std::net::Ipv4Addr::from_bits(number);
        assert_eq!(resolver.host_of(ip.into()).await.text(), "[UNAVAILABLE]");
        assert!(lock(&resolver.0.clients.0).len() <= MOST);
    }
    assert!(lock(&resolver.0.clients.0).len() >= MOST / 2);
}

proptest::proptest! {
    #[test]
    fn whatever_dns_says_a_name_is_fit_to_be_passed_on(
        name in "[a-zA-Z0-9._\\-\\\\ \r\n:\u{0}-\u{ff}]{0,20}|[a-z0-9.]{0,300}",
    ) {
        hold_for_any(name.as_bytes());
        if let Some(name) = client_name(&name) {
            assert!((1..=255).contains(&name.len()));
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b)));
            assert!(!name.starts_with('.') && !name.ends_with('.') && !name.contains(".."));
            assert!(name.parse::<IpAddr>().is_err());
        }
    }
}

/// What a name server has for 127.0.0.1.
#[derive(Clone, Copy, Debug)]
enum Has {
    Name(&'static str),
    Alias,
    AliasAndName,
    Nothing,
    NoSuchName,
    Failure,
    /// A PTR without a name in it.
    Empty,
    /// Records of another kind.
    Another,
    Silence,
}

const PTR: u8 = 12;
const CNAME: u8 = 5;

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn record(owner: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len()).unwrap();
    [&encoded(owner)[..], &[0, kind, 0, 1, 0, 0, 0, 99, 0, length], data].concat()
}

/// Serves one reverse zone, and `mail.example` at 127.0.0.1.
async fn name_server(socket: tokio::net::UdpSocket, has: Has) {
    let mut query = [0; 512];
    loop {
        let (count, peer) = socket.recv_from(&mut query).await.unwrap();
        let end = 12 + query[12..count].iter().position(|byte| *byte == 0).unwrap();
        let (question, kind) = (&query[12..end + 5], query[end + 2]);
        let asks = |name: &str| question.starts_with(&encoded(name));
        let (client, alias) = ("1.0.0.127.in-addr.arpa", "1.0-63.0.0.127.in-addr.arpa");
        let name = |owner: &str| record(owner, PTR, &encoded("mail.example"));
        let mut code = 0;
        let answers = match (kind, has) {
            (1, _) if asks("mail.example") => vec![record("mail.example", 1, &[127, 0, 0, 1])],
            (PTR, Has::Name(text)) if asks(client) => vec![record(client, PTR, &encoded(text))],
            (PTR, Has::Alias) if asks(alias) => vec![name(alias)],
            (PTR, Has::Alias) => vec![record(client, CNAME, &encoded(alias))],
            (PTR, Has::AliasAndName) => {
                vec![name(alias), record(client, CNAME, &encoded(alias))]
            }
            (PTR, Has::Empty) => vec![record(client, PTR, &[])],
            (PTR, Has::Another) => vec![record(client, 39, &encoded("mail.example"))],
            (PTR, Has::Silence) => continue,
            (PTR, Has::Failure) => {
                code = 2;
                vec![]
            }
            (PTR, Has::Nothing) => vec![],
            _ => {
                code = 3;
                vec![]
            }
        };
        let count = u8::try_from(answers.len()).unwrap();
        let head = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]].concat();
        socket.send_to(&[&head, question, &answers.concat()].concat(), peer).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_is_named_over_the_wire() {
    for (servers, want) in [
        (&[Has::Name("mail.example")][..], "mail.example"),
        (&[Has::Name("none.example")], "[UNAVAILABLE]"),
        (&[Has::Alias], "mail.example"),
        (&[Has::AliasAndName], "mail.example"),
        (&[Has::Nothing], "[UNAVAILABLE]"),
        (&[Has::NoSuchName], "[UNAVAILABLE]"),
        (&[Has::Failure], "[TEMPUNAVAIL]"),
        (&[Has::Empty], "[TEMPUNAVAIL]"),
        (&[Has::Another], "[TEMPUNAVAIL]"),
        (&[Has::Silence], "[TEMPUNAVAIL]"),
        (&[Has::Failure, Has::Name("mail.example")], "mail.example"),
        (&[Has::NoSuchName, Has::Name("mail.example")], "[UNAVAILABLE]"),
    ] {
        let (mut addresses, mut serving) = (Vec::new(), tokio::task::JoinSet::new());
        for has in servers {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            addresses.push(socket.local_addr().unwrap());
            serving.spawn(name_server(socket, *has));
        }
        let timeout = Duration::from_millis(500);
        let settings = Settings { servers: addresses, timeout, ..Settings::default() };
        let host = Resolver::new(settings, drop).host_of("127.0.0.1".parse().unwrap()).await;
        assert_eq!(host.text(), want, "{servers:?}: {:?}", host.fault());
    }
}
