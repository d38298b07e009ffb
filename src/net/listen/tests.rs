use std::net::Ipv4Addr;

use super::*;

fn any_port() -> Listen {
    Listen::new(Endpoint::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
}

fn parse(text: &str) -> Result<Vec<Listen>, String> {
    let args: Vec<_> = text.split_whitespace().collect();
    Listen::parse_with(&args, Some(143), |host| match host {
        "two.example" => Ok(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

fn one(text: &str) -> Listen {
    parse(text).unwrap().remove(0)
}

#[test]
fn reads_each_option() {
    let plain = one("127.0.0.1:143");
    assert_eq!(plain, Listen::new(Endpoint::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 143)))));
    let with = |change: fn(&mut Listen)| {
        let mut listen = plain.clone();
        change(&mut listen);
        listen
    };
    let minute = Duration::from_secs(60);
    for (options, want) in [
        ("", with(|_| ())),
        ("bind reuseport", with(|_| ())),
        ("ssl", with(|listen| listen.ssl = true)),
        ("proxy_protocol", with(|listen| listen.proxy_protocol = true)),
        ("default_server", with(|listen| listen.default_server = true)),
        ("multipath", with(|listen| listen.multipath = true)),
        ("backlog=1024", with(|listen| listen.backlog = 1024)),
        ("backlog=-1", with(|listen| listen.backlog = i32::MAX)),
        ("rcvbuf=64k", with(|listen| listen.rcvbuf = Some(64 << 10))),
        ("sndbuf=1M", with(|listen| listen.sndbuf = Some(1 << 20))),
        ("so_keepalive=off", with(|listen| listen.keepalive = Keepalive::Off)),
    ] {
        assert_eq!(one(&format!("127.0.0.1:143 {options}")), want, "{options}");
    }
    assert!(!one("[::]:143 ipv6only=off").ipv6only);
    for (value, want) in [
        ("on", (None, None, None)),
        ("1m::10", (Some(minute), None, Some(10))),
        (":60:", (None, Some(minute), None)),
    ] {
        let (idle, interval, probes) = want;
        let want = Keepalive::On { idle, interval, probes };
        assert_eq!(one(&format!("143 so_keepalive={value}")).keepalive, want, "{value}");
    }
}

#[test]
fn a_range_of_ports_listens_on_each_of_them() {
    let listens = |text| -> Vec<String> {
        parse(text).unwrap().iter().map(|listen| listen.endpoint.to_string()).collect()
    };
    assert_eq!(listens("127.0.0.1:143-145"), ["127.0.0.1:143", "127.0.0.1:144", "127.0.0.1:145"]);
    assert_eq!(listens("993-994"), ["0.0.0.0:993", "0.0.0.0:994"]);
    assert_eq!(listens("[::1]:143-143"), ["[::1]:143"]);
    assert_eq!(listens("unix:/run/a-b"), ["unix:/run/a-b"]);
    for wrong in ["127.0.0.1:145-143", "0-1", "143-65536"] {
        let error = parse(wrong).unwrap_err();
        assert_eq!(error, format!("invalid port in \"{wrong}\" of the \"listen\" directive"));
    }
}

#[test]
fn the_host_of_a_range_is_looked_for_once() {
    let asked = std::cell::Cell::new(0);
    let listens = Listen::parse_with(&["two.example:1-65535"], None, |_| {
        asked.set(asked.get() + 1);
        Ok(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()])
    });
    assert_eq!((listens.unwrap().len(), asked.get()), (2 * 65535, 1));
}

#[test]
fn there_is_an_end_to_the_places_that_ranges_name() {
    let mut room = MOST;
    for _ in 0..2 {
        assert_eq!(Listen::parse_within(&["1-65535"], &mut room).unwrap().len(), 65535);
    }
    let error = Listen::parse_within(&["[::1]:1-65535"], &mut room).unwrap_err();
    assert_eq!(error, "more than 131072 addresses and ports to listen at");
    assert_eq!(Listen::parse_within(&["143"], &mut room).unwrap().len(), 1);
}

#[test]
fn a_name_listens_on_each_of_its_addresses() {
    let listens = parse("two.example:993 ssl").unwrap();
    let endpoints: Vec<_> = listens.iter().map(|listen| listen.endpoint.to_string()).collect();
    assert_eq!(endpoints, ["192.0.2.1:993", "[2001:db8::1]:993"]);
    assert!(listens.iter().all(|listen| listen.ssl));
}

#[test]
fn says_what_is_wrong_with_a_listen() {
    for (text, want) in [
        ("", r#"invalid number of arguments in "listen" directive"#),
        ("nobody.example", r#"host not found in "nobody.example" of the "listen" directive"#),
        ("1.2.3.4:x", r#"invalid port in "1.2.3.4:x" of the "listen" directive"#),
        ("143 backlog=0", r#"invalid backlog "backlog=0""#),
        ("143 rcvbuf=k", r#"invalid rcvbuf "rcvbuf=k""#),
        ("143 sndbuf=1kk", r#"invalid sndbuf "sndbuf=1kk""#),
        ("143 ipv6only=on", r#"ipv6only is not supported on addr "0.0.0.0:143""#),
        ("[::]:143 ipv6only=1", r#"invalid ipv6only flags "ipv6only=1""#),
        ("143 so_keepalive=::", r#"invalid so_keepalive value "so_keepalive=::""#),
        ("143 so_keepalive=1:2", r#"invalid so_keepalive value "so_keepalive=1:2""#),
        ("143 so_keepalive=0::", r#"invalid so_keepalive value "so_keepalive=0::""#),
        ("143 spdy", r#"the invalid "spdy" parameter"#),
        ("143 ssl=on", r#"the invalid "ssl=on" parameter"#),
    ] {
        assert_eq!(parse(text).unwrap_err(), want, "{text}");
    }
}

#[test]
fn shards_share_one_port() {
    let sockets = open(&any_port(), 3).unwrap();
    let ports: Vec<_> = sockets.iter().map(|socket| socket.endpoint().port()).collect();
    assert_eq!(ports, [ports[0]; 3]);
    assert_ne!(ports[0], Some(0));
}

#[test]
fn a_port_in_use_is_said_as_by_nginx() {
    let held = open(&any_port(), 2).unwrap();
    let listen = Listen::new(held[0].endpoint().clone());
    let error = open(&listen, 2).unwrap_err().to_string();
    assert_eq!(error, format!("bind() to {} failed (98: Address already in use)", listen.endpoint));
    assert_eq!(open_beside(&listen, 2).unwrap().len(), 2, "more shards of our own");
    drop(held);
}

#[test]
fn an_error_names_its_remedy() {
    let error = |cause, addr: &str| {
        let endpoint = Endpoint::from(addr.parse::<SocketAddr>().unwrap());
        Error { call: "bind()", endpoint, cause: io::Error::from_raw_os_error(cause) }.to_string()
    };
    assert_eq!(
        error(13, "0.0.0.0:143"),
        "bind() to 0.0.0.0:143 failed (13: Permission denied): \
         ports below 1024 need root or CAP_NET_BIND_SERVICE"
    );
    assert_eq!(error(13, "0.0.0.0:1143"), "bind() to 0.0.0.0:1143 failed (13: Permission denied)");
}

#[test]
fn a_unix_socket_is_shared_and_a_stale_one_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imap.sock");
    let listen = Listen::new(Endpoint::Unix(path.clone()));
    let sockets = open(&listen, 2).unwrap();
    assert_eq!(sockets.len(), 2);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let error = open(&listen, 1).unwrap_err().to_string();
    assert!(error.ends_with("failed (98: Address already in use)"), "{error}");
    drop(sockets);
    assert_eq!(open(&listen, 1).unwrap().len(), 1, "nobody listens there any more");
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    assert!(open(&Listen::new(Endpoint::Unix(path.clone())), 1).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn only_a_listening_socket_is_adopted() {
    let idle = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert!(Socket::adopt(idle.into()).is_err());
}

#[tokio::test]
async fn connections_inherit_nodelay_and_keepalive() {
    let mut listen = any_port();
    listen.keepalive =
        Keepalive::On { idle: Some(Duration::from_secs(7)), interval: None, probes: None };
    let socket = open(&listen, 1).unwrap().remove(0);
    let addr = socket.endpoint().tcp().unwrap();
    let Listener::Tcp(listener) = socket.into_async().unwrap() else { panic!("a TCP socket") };
    let _client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    assert!(stream.nodelay().unwrap());
    let raw = socket2::SockRef::from(&stream);
    assert!(raw.keepalive().unwrap());
    assert_eq!(raw.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
}
