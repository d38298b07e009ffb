//! CVE-2022-27924: what a client calls itself is never a command to the cache.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{attempt, client, node, on_cache, server, visit, written};
use crate::support::{FakeLookup, Memcached, encoded, fresh_ip};

/// What was said to the cache, connection by connection.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// Passes on what it gets to `to` and back, and writes down what goes there.
fn recorder(to: SocketAddr) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind((fresh_ip(), 0)).unwrap();
    let (addr, heard) = (listener.local_addr().unwrap(), Heard::default());
    let also = heard.clone();
    thread::spawn(move || {
        for (number, near) in listener.incoming().map_while(Result::ok).enumerate() {
            also.lock().unwrap().push(Vec::new());
            let Ok(far) = TcpStream::connect(to) else { continue };
            let (mut back, mut answers) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let also = also.clone();
            thread::spawn(move || {
                pass(near, far, &|bytes| also.lock().unwrap()[number].extend(bytes))
            });
        }
    });
    (addr, heard)
}

fn pass(mut near: TcpStream, mut far: TcpStream, write_down: &dyn Fn(&[u8])) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = near.read(&mut bytes) {
        write_down(&bytes[..length]);
        if far.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = far.shutdown(Shutdown::Both);
}

/// Every command of a connection, without the values that it brings.
#[track_caller]
fn commands(mut said: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(end) = said.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8(said[..end].to_vec()).expect("a command is ASCII");
        said = &said[end + 2..];
        let words: Vec<_> = line.split(' ').collect();
        let length = match words[0] {
            "ms" => words.get(2),
            "set" | "add" | "cas" | "replace" => words.get(4),
            _ => None,
        };
        if let Some(length) = length {
            let length: usize = length.parse().unwrap();
            let Some((value, rest)) = said.split_at_checked(length + 2) else { break };
            assert!(value.ends_with(b"\r\n"), "{line}");
            said = rest;
        }
        found.push(line);
    }
    found
}

#[test]
fn what_a_client_calls_itself_is_never_a_command_to_the_cache() {
    const SMUGGLED: [&str; 6] = [
        "eve\r\nset injected 0 0 4\r\nevil\r\n@a.test",
        "eve\nset injected 0 0 4\nevil\n@a.test",
        "eve 0 0 4\r\nevil\r\nset injected 0 0 4\r\nevil",
        "eve@a.test\r\nset injected 0 0 4\r\nevil",
        "eve@a.test S4 T0\r\nms injected 4\r\nevil",
        "e\u{e9}\u{2028}ve injected\t@a.test",
    ];
    for format in ["gatepost", "zimbra"] {
        let cache = Memcached::start();
        let (at, heard) = recorder(cache.addr());
        let upstream = server(0);
        let lookup = FakeLookup::to(upstream.addr());
        let conf = "lookup z { protocol nle; handler http://@lookup@/; }
                    mail_login_user_max 1000; mail_login_ip_max 1000; login_whitelist none;
                    login_failure_delay 0; login_failures_address off; login_failures_prefix off;";
        let conf = on_cache(&format!("format {format};"), conf);
        let node = node(&conf, &[("cache", &at), ("lookup", &lookup.addr())]);
        for name in SMUGGLED {
            for mailbox in [format!("\0{name}\0pw"), format!("{name}\0ann@a.test\0pw")] {
                let mut eve = client(&node);
                eve.say(&format!("a AUTHENTICATE PLAIN {}", encoded(&mailbox)));
                eve.hears("a ");
            }
            let mut eve = client(&node);
            eve.say("a AUTHENTICATE LOGIN");
            eve.hears("+");
            eve.say(&encoded(name));
            // It may be refused at once.
            if eve.line().starts_with('+') {
                eve.say(&encoded("pw"));
                eve.hears("a ");
            }
            let mut eve = client(&node);
            eve.send(format!("a LOGIN {{{}+}}\r\n{name} pw\r\n", name.len()));
            eve.hears("a ");
        }
        let before = cache.count();
        visit(&node, "bob@a.test");
        assert!(attempt(&node, "cy@a.test").starts_with("OK"));
        written(&cache, before);
        drop(node);
        assert_eq!(cache.get("injected"), None);
        let mut count = 0;
        for said in heard.lock().unwrap().iter() {
            for line in commands(said) {
                count += 1;
                let is_clean = line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
                assert!(is_clean && !line.contains("injected"), "{format}: {line:?}");
            }
        }
        assert!(count > 10, "{format}: hardly anything was recorded: {count}");
    }
}
