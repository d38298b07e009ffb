use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;

use super::*;

/// Answers from a script, last entry again and again; counts the questions.
struct Script {
    asked: AtomicUsize,
    answers: Vec<Result<Found, Error>>,
}

impl Ask for Arc<Script> {
    async fn names_of(&self, _: IpAddr) -> Result<Named, Error> {
        unreachable!("the tests of reverse ask for names")
    }

    async fn addresses(&self, _: &str, _: bool) -> Result<Found, Error> {
        unreachable!("the tests of reverse ask for these")
    }

    async fn ask(&self, _: &str) -> Result<Found, Error> {
        // Others get their chance to ask the same.
        tokio::task::yield_now().await;
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers[turn.min(self.answers.len() - 1)].clone()
    }
}

fn found(ip: &str, ttl: u64) -> Result<Found, Error> {
    Ok(Found { ips: vec![ip.parse().unwrap()], ttl: Duration::from_secs(ttl) })
}

fn failed() -> Result<Found, Error> {
    Err(Error::Failed { name: "a".to_owned(), cause: "no route".to_owned() })
}

fn scripted(answers: Vec<Result<Found, Error>>) -> (Resolver<Arc<Script>>, Arc<Script>) {
    let script = Arc::new(Script { asked: AtomicUsize::new(0), answers });
    let settings = Settings::default();
    (Resolver::with(Arc::clone(&script), settings, Hosts::new("/nonexistent"), |_| ()), script)
}

/// As if so much time had passed.
fn age<A>(resolver: &Resolver<A>, by: Duration) {
    for entry in lock(&resolver.0.names).values_mut() {
        entry.recheck = entry.recheck.map(|at| at - by);
        entry.good = entry.good.take().map(|(ips, old)| (ips, old - by));
    }
}

async fn ask<A: Ask>(resolver: &Resolver<A>, name: &str) -> Result<String, Error> {
    resolver.resolve(name).await.map(|ips| ips[0].to_string())
}

#[tokio::test]
async fn a_literal_is_its_own_answer() {
    let (resolver, script) = scripted(vec![failed()]);
    for (name, want) in [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(ask(&resolver, name).await.as_deref(), Ok(want));
    }
    for name in ["", ".", "a..b", "a b", "a\r\nb", &"x".repeat(64), &"x.".repeat(200)] {
        assert_eq!(ask(&resolver, name).await, Err(Error::Invalid(name.to_owned())));
    }
    assert_eq!(script.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_system_s_table_comes_before_dns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    std::fs::write(&path, "192.0.2.7 mail.example\n2001:db8::7 six.example\n").unwrap();
    let answers = vec![found("192.0.2.9", 60)];
    let script = Arc::new(Script { asked: AtomicUsize::new(0), answers });
    let settings = Settings { ipv6: false, ..Settings::default() };
    let resolver = Resolver::with(script, settings, Hosts::new(path), |_| ());
    assert_eq!(ask(&resolver, "Mail.Example").await.as_deref(), Ok("192.0.2.7"));
    assert_eq!(ask(&resolver, "mail.example.").await.as_deref(), Ok("192.0.2.7"));
    assert_eq!(ask(&resolver, "six.example").await.as_deref(), Ok("192.0.2.9"), "ipv6=off");
}

#[tokio::test]
async fn an_answer_is_kept_for_its_ttl() {
    let (resolver, script) = scripted(vec![found("192.0.2.1", 60), found("192.0.2.2", 60)]);
    for (by, want, asked) in [(0, "192.0.2.1", 1), (59, "192.0.2.1", 1), (2, "192.0.2.2", 2)] {
        age(&resolver, Duration::from_secs(by));
        assert_eq!(ask(&resolver, "a").await.as_deref(), Ok(want));
        assert_eq!(script.asked.load(Ordering::Relaxed), asked);
    }
}

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let (resolver, script) = scripted(vec![found("192.0.2.1", 60)]);
    let (a, b, c) = tokio::join!(ask(&resolver, "a"), ask(&resolver, "A"), ask(&resolver, "b"));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(script.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn who_gives_up_leaves_the_question_to_the_next() {
    let (resolver, script) = scripted(vec![found("192.0.2.1", 60)]);
    let asking = ask(&resolver, "a");
    tokio::select! {
        biased;
        _ = asking => panic!("the script takes two polls"),
        () = async {} => {}
    }
    assert_eq!(ask(&resolver, "a").await.as_deref(), Ok("192.0.2.1"));
    assert_eq!(script.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_was_known_is_used_on_while_dns_fails() {
    let answers = vec![found("192.0.2.1", 60), failed(), failed(), found("192.0.2.2", 60)];
    let script = Arc::new(Script { asked: AtomicUsize::new(0), answers });
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = Arc::clone(&told);
        move |stale: Stale| lock(&told).push(stale.to_string())
    };
    let settings = Settings::default();
    let resolver = Resolver::with(Arc::clone(&script), settings, Hosts::new("/nonexistent"), tell);
    for (by, want, asked) in [
        (0, "192.0.2.1", 1),
        (61, "192.0.2.1", 2),
        (20, "192.0.2.1", 2), // not asked again so soon
        (20, "192.0.2.1", 3),
        (31, "192.0.2.2", 4),
    ] {
        age(&resolver, Duration::from_secs(by));
        assert_eq!(ask(&resolver, "a").await.as_deref(), Ok(want));
        assert_eq!(script.asked.load(Ordering::Relaxed), asked);
    }
    let want = "a could not be resolved (2: Server failure): no route, using what was known of it";
    assert_eq!(*lock(&told), [want, want]);
}

#[tokio::test]
async fn a_name_that_is_gone_or_too_old_is_an_error() {
    let gone = Err(Error::NotFound("a".to_owned()));
    let (resolver, _) = scripted(vec![found("192.0.2.1", 60), gone]);
    assert!(ask(&resolver, "a").await.is_ok());
    age(&resolver, Duration::from_secs(61));
    let error = ask(&resolver, "a").await.unwrap_err();
    assert_eq!(error.to_string(), "a could not be resolved (3: Host not found)");

    let (resolver, script) = scripted(vec![found("192.0.2.1", 60), failed()]);
    assert!(ask(&resolver, "a").await.is_ok());
    age(&resolver, STALE + Duration::from_secs(61));
    assert!(ask(&resolver, "a").await.is_err());
    assert!(ask(&resolver, "a").await.is_err(), "remembered for a while");
    assert_eq!(script.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_memory_is_bounded() {
    let (resolver, _) = scripted(vec![found("192.0.2.1", 60)]);
    for number in 0..MOST + 10 {
        assert!(ask(&resolver, &format!("a{number}")).await.is_ok());
    }
    assert_eq!(lock(&resolver.0.names).len(), MOST);
}

#[tokio::test]
async fn silence_ends_at_the_timeout() {
    struct Silent;
    impl Ask for Silent {
        async fn names_of(&self, _: IpAddr) -> Result<Named, Error> {
            pending().await
        }

        async fn addresses(&self, _: &str, _: bool) -> Result<Found, Error> {
            pending().await
        }

        async fn ask(&self, _: &str) -> Result<Found, Error> {
            pending().await
        }
    }
    let settings = Settings { timeout: Duration::from_millis(10), ..Settings::default() };
    let resolver = Resolver::with(Silent, settings, Hosts::new("/nonexistent"), |_| ());
    assert_eq!(ask(&resolver, "a").await, Err(Error::TimedOut("a".to_owned())));
    let host = resolver.host_of("192.0.2.1".parse().unwrap()).await;
    assert_eq!(host, Host::TempUnavailable(Error::TimedOut("192.0.2.1".to_owned())));
}

/// A name server that knows one address of each family for every name but those in `gone`.
async fn name_server(socket: UdpSocket) {
    let mut query = [0; 512];
    loop {
        let (count, client) = socket.recv_from(&mut query).await.unwrap();
        let query = &query[..count];
        let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap();
        let (kind, question) = (query[name_end + 2], &query[12..name_end + 5]);
        let address: &[u8] = match kind {
            _ if question.windows(4).any(|four| four == b"gone") => &[],
            1 => &[192, 0, 2, 3],
            28 => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
            _ => &[],
        };
        let answers = u8::from(!address.is_empty());
        let code = if answers == 0 { 0x83 } else { 0x80 };
        let mut reply =
            [&query[..2], &[0x81, code, 0, 1, 0, answers, 0, 0, 0, 0], question].concat();
        if answers > 0 {
            reply.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 99, 0, address.len() as u8]);
            reply.extend(address);
        }
        socket.send_to(&reply, client).await.unwrap();
    }
}

#[tokio::test]
async fn dns_is_asked_over_the_wire() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![socket.local_addr().unwrap()];
    let both = Settings { servers, ..Settings::default() };
    let four = Settings { ipv6: false, ..both.clone() };
    let six = Settings { ipv4: false, ..both.clone() };
    let test = async {
        for (settings, want) in [
            (&both, &["192.0.2.3", "2001:db8::3"][..]),
            (&four, &["192.0.2.3"]),
            (&six, &["2001:db8::3"]),
        ] {
            let dns = Dns::new(settings);
            let found = dns.ask("mail.example").await.unwrap();
            let ips: Vec<_> = found.ips.iter().map(IpAddr::to_string).collect();
            assert_eq!(ips, want);
            assert_eq!(found.ttl.as_secs(), 99);
            let gone = dns.ask("gone.example").await;
            assert_eq!(gone, Err(Error::NotFound("gone.example".to_owned())));
        }
    };
    tokio::select! {
        () = name_server(socket) => {}
        () = test => {}
    }
}

#[test]
fn reads_the_resolver_directive() {
    let parse = |text: &str| Settings::parse(&text.split(' ').collect::<Vec<_>>());
    assert_eq!(parse("off"), Ok(None));
    let settings = parse("127.0.0.1 [::1]:5353 ipv6=off valid=5m").unwrap().unwrap();
    let servers: Vec<_> = settings.servers.iter().map(SocketAddr::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:53", "[::1]:5353"]);
    assert_eq!((settings.ipv6, settings.valid), (false, Some(Duration::from_secs(300))));
    for (text, want) in [
        ("ns.example", r#""ns.example" is not an IP address in resolver"#),
        ("127.0.0.1:x", r#"invalid port in resolver "127.0.0.1:x""#),
        ("127.0.0.1 ipv6=no", r#"invalid parameter: "ipv6=no""#),
        ("127.0.0.1 valid=0", r#"invalid parameter: "valid=0""#),
        ("127.0.0.1 ipv4=off ipv6=off", r#""ipv4" and "ipv6" cannot both be "off""#),
        ("ipv6=off", "no name servers defined"),
    ] {
        assert_eq!(parse(text).unwrap_err(), want, "{text}");
    }
}
