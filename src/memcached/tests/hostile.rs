//! Servers that lie, stammer, hang and flood: never a wrong value, never a wait beyond the timeout,
//! never more memory than an answer takes.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::fake::{Act, Asked, Fake};
use super::*;

/// A cache before one fake, in Zimbra's format, where values are plain and so every lie could pass.
async fn before(
    script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
) -> (Fake, Cache, Settings) {
    let fake = Fake::start(script).await;
    let settings = Settings { format: Format::Zimbra, keys: None, ..settings(&[fake.name()]) };
    (fake, cache_of(&settings), settings)
}

fn alice() -> Key {
    Key::verbatim(*b"route:proto=imap;user=alice")
}

fn name() -> Arc<str> {
    "".into()
}

/// The kind of an answer, without the server's name.
fn kind(answer: Result<Option<Vec<u8>>, Error>) -> Result<Option<Vec<u8>>, Error> {
    answer.map_err(|error| match error {
        Error::Down(_) => Error::Down(name()),
        Error::Silent(_) => Error::Silent(name()),
        Error::Misbehaved(_) => Error::Misbehaved(name()),
        other => other,
    })
}

#[tokio::test]
async fn no_lie_becomes_a_value_and_none_takes_longer_than_the_timeout() {
    type Script = fn(&Asked) -> Vec<Act>;
    type Want = Result<Option<Vec<u8>>, Error>;
    let misbehaved = || Err(Error::Misbehaved(name()));
    let silent = || Err(Error::Silent(name()));
    let table: Vec<(&str, Script, Want)> = vec![
        (
            "the truth",
            |asked| vec![asked.value(b"10.0.0.1:143")],
            Ok(Some(b"10.0.0.1:143".to_vec())),
        ),
        ("nothing there", |asked| vec![asked.answer("EN")], Ok(None)),
        ("nothing there, of old", |_| vec![Act::Say(b"EN\r\n".to_vec())], Ok(None)),
        (
            "an answer to another question",
            |asked| vec![Asked { token: "0".into(), ..asked.clone() }.value(b"evil")],
            misbehaved(),
        ),
        (
            "another key's value",
            |asked| vec![Asked { name: "0".repeat(64), ..asked.clone() }.value(b"evil")],
            misbehaved(),
        ),
        (
            "an answer without a token",
            |_| vec![Act::Say(b"VA 4\r\nevil\r\n".to_vec())],
            misbehaved(),
        ),
        (
            "the old protocol",
            |_| vec![Act::Say(b"VALUE a 0 4\r\nevil\r\nEND\r\n".to_vec())],
            misbehaved(),
        ),
        (
            "two answers at once",
            |asked| {
                let twice = [asked.value(b"evil"), asked.value(b"evil")];
                let bytes = twice.into_iter().flat_map(|act| match act {
                    Act::Say(bytes) => bytes,
                    _ => Vec::new(),
                });
                vec![Act::Say(bytes.collect())]
            },
            misbehaved(),
        ),
        (
            "a refusal",
            |_| vec![Act::Say(b"CLIENT_ERROR bad command line format\r\n".to_vec())],
            misbehaved(),
        ),
        (
            "out of memory",
            |_| vec![Act::Say(b"SERVER_ERROR out of memory\r\n".to_vec())],
            misbehaved(),
        ),
        ("an odd code", |asked| vec![asked.answer("HD")], misbehaved()),
        ("garbage without end", |_| vec![Act::Flood(vec![b'x'; 64 * 1024])], misbehaved()),
        ("lines without end", |_| vec![Act::Flood(b"EN\r\n".repeat(10_000))], misbehaved()),
        (
            "a value that is cut",
            |_| vec![Act::Say(b"VA 100 ".to_vec()), Act::Close],
            Err(Error::Down(name())),
        ),
        (
            "a close in the middle of a value",
            |asked| {
                vec![
                    Act::Say(format!("VA 9 k{} O{}\r\nevil", asked.name, asked.token).into()),
                    Act::Close,
                ]
            },
            Err(Error::Down(name())),
        ),
        ("half a line, then silence", |_| vec![Act::Say(b"VA 4 k".to_vec()), Act::Hang], silent()),
        (
            "half a value, then silence",
            |asked| {
                vec![
                    Act::Say(format!("VA 9 k{} O{}\r\nevil", asked.name, asked.token).into()),
                    Act::Hang,
                ]
            },
            silent(),
        ),
        ("silence", |_| vec![Act::Hang], silent()),
        (
            "a value without its end",
            |asked| {
                vec![Act::Say(format!("VA 4 k{} O{}\r\nevilXX", asked.name, asked.token).into())]
            },
            misbehaved(),
        ),
        ("a gigabyte, announced", |_| vec![Act::Say(b"VA 1073741824\r\n".to_vec())], misbehaved()),
        (
            "more than a number",
            |_| vec![Act::Say(b"VA 99999999999999999999\r\n".to_vec())],
            misbehaved(),
        ),
    ];
    for (what, script, want) in table {
        let (_fake, cache, _) = before(script).await;
        let start = Instant::now();
        let got = kind(cache.get(&alice()).await);
        assert!(start.elapsed() < TIMEOUT * 2, "{what}: {:?}", start.elapsed());
        assert_eq!(got, want, "{what}");
    }
}

#[tokio::test]
async fn a_value_too_large_to_be_ours_is_a_miss_and_goes() {
    let (fake, cache, _) = before(|asked| match &*asked.verb {
        "mg" => vec![asked.value(&vec![b'x'; 1 << 20])],
        _ => vec![asked.answer("HD")],
    })
    .await;
    assert_eq!(cache.get(&alice()).await, Ok(None));
    let verbs: Vec<_> = fake.seen().into_iter().map(|asked| asked.verb).collect();
    assert_eq!(verbs, ["mg", "md"]);
    assert_eq!(cache.get(&alice()).await, Ok(None), "the server is well, and asked again");
}

/// CVE-2022-27924: one answer more than was asked for, and every later one is another's.
#[tokio::test]
async fn an_answer_too_many_is_nobodys() {
    let smuggled = AtomicUsize::new(0);
    let (_fake, cache, _) = before(move |asked| {
        // Some time after the answer, as an injected command would have it.
        let mut acts = vec![asked.value(asked.name.as_bytes())];
        if asked.rank % 3 == 0 {
            let late = Duration::from_millis(smuggled.fetch_add(1, Ordering::Relaxed) as u64 % 4);
            acts.extend([Act::Wait(late), Act::Say(b"VA 4\r\nevil\r\n".to_vec())]);
        }
        acts
    })
    .await;
    for n in 0..60 {
        let key = Key::verbatim(format!("route:proto=imap;user=user{n}").into_bytes());
        if let Ok(Some(value)) = cache.get(&key).await {
            assert_eq!(value, client::zimbras_name(key.as_bytes()).into_bytes());
        }
        tokio::time::sleep(Duration::from_millis(n % 3)).await;
    }
}

/// The classic client's fault: after a timeout, the next to ask got what came late.
#[tokio::test]
async fn a_late_answer_is_nobodys() {
    let (fake, cache, _) = before(|asked| match asked.rank {
        0 => vec![Act::Wait(TIMEOUT + Duration::from_millis(200)), asked.value(b"alice's")],
        _ => vec![asked.value(b"bob's")],
    })
    .await;
    assert_eq!(kind(cache.get(&alice()).await), Err(Error::Silent(name())));
    let bob = Key::verbatim(*b"route:proto=imap;user=bob");
    let value = until_async("the server to be asked again", || async {
        match cache.get(&bob).await {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(matches!(error, Error::Down(_)), "{error}");
                None
            }
        }
    })
    .await;
    assert_eq!(value.as_deref(), Some(&b"bob's"[..]));
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_timeout_and_not_one_a_login() {
    let (fake, cache, _) = before(|_| vec![Act::Hang]).await;
    let start = Instant::now();
    for _ in 0..100 {
        assert!(cache.get(&alice()).await.is_err());
    }
    assert!(start.elapsed() < TIMEOUT + Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!(fake.seen().len(), 1);

    // Once its time is over it is tried by one, while all others go on.
    tokio::time::sleep(RECONNECT.mul_f64(1.15)).await;
    let start = Instant::now();
    let logins = (0..50).map(async |_| {
        let start = Instant::now();
        let key = alice();
        assert!(cache.get(&key).await.is_err());
        start.elapsed()
    });
    let times = together::all(logins).await;
    let waited = times.iter().filter(|time| **time > TIMEOUT / 2).count();
    assert_eq!((waited, fake.seen().len()), (1, 2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_waits_for_a_server_that_is_found_to_hang_waits_no_longer() {
    let (_fake, cache, _) = before(|_| vec![Act::Hang]).await;
    let (first, key) = (cache.clone(), alice());
    let first = async move { first.get(&key).await };
    let second = async {
        tokio::time::sleep(TIMEOUT / 2).await;
        let start = Instant::now();
        assert_eq!(kind(cache.get(&alice()).await), Err(Error::Down(name())));
        start.elapsed()
    };
    let (first, waited) = tokio::join!(first, second);
    assert_eq!(kind(first), Err(Error::Silent(name())));
    assert!(waited < TIMEOUT.mul_f64(0.9), "{waited:?}");
}

/// Whatever is in a key, and whatever its length: digests alone go out.
#[tokio::test]
async fn no_byte_of_a_key_reaches_the_wire() {
    let long = "k".repeat(100_000);
    let evil: &[&[u8]] = &[
        b"alice\r\ndelete victim",
        b"alice\nflush_all\r\n",
        b"alice 0 0 4\r\nevil",
        b"alice\0bob",
        b"alice bob",
        b"\xff\xfe\x80alice",
        b"",
        long.as_bytes(),
    ];
    for format in [Format::Gatepost, Format::Zimbra] {
        let fake = Fake::start(|asked| match &*asked.verb {
            "mg" => vec![asked.answer("EN")],
            "ma" => vec![asked.value(b"1")],
            _ => vec![asked.answer("HD")],
        })
        .await;
        let settings = Settings { format, ..settings(&[fake.name()]) };
        let cache = cache_of(&settings);
        let mut calls = 0;
        for bytes in evil {
            let ours = [Key::of("route", &[bytes]), Key::verbatim(*bytes)];
            for key in ours {
                assert_eq!(cache.get(&key).await, Ok(None));
                cache.put(&key, b"v", HOUR).await.unwrap();
                assert_eq!(cache.add(&key, b"v", HOUR).await, Ok(true));
                assert_eq!(cache.swap(&key, b"v", b"w", HOUR).await, Ok(false));
                let _ = cache.touch(&key, HOUR).await;
                assert_eq!(cache.count(&key, 1, HOUR).await, Ok(1));
                assert_eq!(cache.counted(&key).await, Ok(0));
                assert_eq!(cache.delete(&key).await, Ok(true));
                calls += 8;
            }
        }
        let sent = String::from_utf8_lossy(&fake.sent()).into_owned();
        for part in ["alice", "victim", "flush", "evil", "kkkk"] {
            assert!(!sent.contains(part), "{part:?}");
        }
        let seen = fake.seen();
        assert_eq!(seen.len(), calls, "a line more than was said");
        for asked in seen {
            let name = asked.name.strip_prefix("gp1:").map_or(&*asked.name, |digest| digest);
            assert!([43, 64].contains(&name.len()), "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_value_that_is_too_large_is_not_sent() {
    let (fake, cache, _) = before(|asked| vec![asked.answer("HD")]).await;
    let large = vec![0; protocol::MAX_VALUE + 1];
    assert_eq!(cache.put(&alice(), &large, HOUR).await, Err(Error::TooLarge));
    assert_eq!(cache.put(&alice(), &large[1..], HOUR).await, Ok(()));
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn stats_have_an_end() {
    type Script = fn(&Asked) -> Vec<Act>;
    let table: &[(&str, Script, bool, bool)] = &[
        ("the truth", |_| vec![Act::Say(b"STAT version 1.6.18\r\nEND\r\n".to_vec())], true, true),
        ("no end", |_| vec![Act::Flood(vec![b'x'; 4096])], false, false),
        ("silence", |_| vec![Act::Hang], false, false),
        ("a close", |_| vec![Act::Close], false, false),
    ];
    for (what, script, has_figures, is_up) in table {
        let (_fake, cache, _) = before(script).await;
        let status = cache.servers().await.remove(0);
        assert_eq!(status.figures.is_some(), *has_figures, "{what}");
        assert_eq!((status.is_up, status.cause.is_none()), (*is_up, *is_up), "{what}");
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_a_server_that_is_down_and_others_go_on() {
    let fake = Fake::start(|asked| vec![asked.answer("EN")]).await;
    let cache = cache_of(&settings(&["no-such-host.invalid".into(), fake.name()]));
    let (mut down, mut up) = (0, 0);
    for n in 0..40 {
        match cache.get(&key(&format!("user{n}"))).await {
            Ok(None) => up += 1,
            Err(Error::Down(_) | Error::Silent(_)) => down += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(up > 5 && down > 5, "{up} {down}");
}

#[tokio::test]
async fn a_name_is_resolved_when_it_is_needed() {
    let fake = Fake::start(|asked| vec![asked.answer("EN")]).await;
    let port = fake.name().rsplit_once(':').unwrap().1.to_owned();
    let cache = cache_of(&settings(&[format!("localhost:{port}")]));
    assert_eq!(cache.get(&key("alice")).await, Ok(None));
}
