//! Servers that lie, and logins that would like to speak to them: CVE-2022-27924, in every field.

use super::live::Live;
use super::*;
use crate::memcached::directives;
use crate::memcached::tests::fake::{Act, Asked, Fake};
use crate::memcached::tests::{self as servers, Memcached, TIMEOUT, live::copy};

const ONE: &str = "192.0.2.1:7993";

/// What would be a command, if it came out of its place.
const EVIL: &[&str] = &[
    "a\r\nflush_all\r\n@x.example",
    "a@x.example\r\nset evil 0 0 4\r\nEVIL\r\n",
    "a@x.example\nmd evil\n",
    "a b@x.example",
    "a@x.example 0 0 4\r\nEVIL",
    "a\0b@x.example",
    "a\u{1b}[2J@x.example",
    "a;ip=192.0.2.66;user=b@x.example",
    "\r\n",
];

fn forms(name: String) -> [directives::Settings; 3] {
    let ours = servers::settings(&[name]);
    let zimbras = directives::Format::Zimbra;
    [
        ours.clone(),
        directives::Settings { format: zimbras, ..ours.clone() },
        directives::Settings { format: zimbras, keys: None, ..ours },
    ]
}

#[tokio::test]
async fn no_field_of_a_login_speaks_to_the_servers() {
    for which in 0..3 {
        // It has nothing, and takes everything.
        let fake = Fake::start(|asked: &Asked| match &*asked.verb {
            "mg" => vec![asked.answer("EN")],
            "ma" => vec![asked.value(b"1")],
            _ => vec![asked.answer("HD")],
        })
        .await;
        let live = Live::new(&forms(fake.name())[which], To(ONE));
        let node = &live.node;
        let path = Endpoint::Unix("/run/\r\nflush_all\r\n".into());
        for evil in EVIL {
            let bytes: Box<[u8]> = evil.as_bytes().into();
            let attempts = [
                attempt(evil.as_bytes()),
                Attempt { authzid: Some(bytes.clone()), ..attempt(b"admin@x.example") },
            ];
            let askers = [
                Asker { host: Some((*evil).into()), ..asker() },
                Asker { client: path.clone(), local: path.clone(), ..asker() },
                Asker { protocol: "smtp", ..asker() },
                // One that there are no routes for is not asked about at all.
                Asker { protocol: "imap\r\nflush_all", ..asker() },
            ];
            for (attempt, asker) in attempts.iter().flat_map(|a| askers.iter().map(move |b| (a, b)))
            {
                let Some(question) = Question::of(attempt, asker, node.settings.scope()) else {
                    assert!(asker.protocol.contains("flush"));
                    continue;
                };
                let (ground, asking) = (node.ground(), node.asking());
                let found = node.routes.find(&question, &node.settings, &ground, &asking).await;
                let mut found = found.unwrap();
                // What the sources may say: the same in every name of theirs.
                for (user, authzid) in
                    [(None, None), (Some(bytes.clone()), None), (None, Some(bytes.clone()))]
                {
                    (found.user, found.authzid) = (user, authzid);
                    found.handler = Some((*evil).into());
                    node.routes.keep(&question, &node.settings, &found);
                    found.handler = None;
                    node.routes.process.remove(&question.to_bytes());
                    node.routes.keep(&question, &node.settings, &found);
                    written(node).await;
                }
            }
            if let Some(question) = Question::by_id(node.settings.scope(), true, Role::Zx, evil) {
                let (ground, asking) = (node.ground(), node.asking());
                let found = node.routes.find(&question, &node.settings, &ground, &asking).await;
                node.routes.keep(&question, &node.settings, &found.unwrap());
                written(node).await;
            }
            for purge in [Purge::user(evil), Purge::domain(evil)] {
                let report = node.routes.purge(&purge).await;
                let shown = format!("{:?}", report.rows);
                assert!(!shown.contains("\\r\n") && !shown.contains('\x1b'), "{shown}");
            }
            let (rows, _) = node.routes.list(evil).await;
            for row in rows {
                let is_clean = |text: &str| !text.contains(char::is_control);
                assert!(is_clean(&row.key) && row.value.as_deref().is_none_or(is_clean), "{row:?}");
            }
        }
        let sent = String::from_utf8_lossy(&fake.sent()).into_owned();
        for part in ["flush", "EVIL", "evil", "a b@", "a\0b", "[2J"] {
            assert!(!sent.contains(part), "{which} {part:?}");
        }
        let seen = fake.seen();
        assert!(seen.len() > 100, "{}", seen.len());
        for asked in seen {
            assert!(["mg", "ms", "ma", "md"].contains(&&*asked.verb), "{asked:?}");
            let name = asked.name.strip_prefix("gp1:").unwrap_or(&asked.name);
            assert!([43, 64].contains(&name.len()), "{asked:?}");
        }
    }
}

/// What is on its way in the background has been.
async fn written(node: &Node) {
    for _ in 0..20 {
        settle().await;
        // A round trip behind it.
        let _ = node.routes.shared.listed(b"nobody").await;
    }
}

#[tokio::test]
async fn what_a_server_says_instead_is_never_a_route() {
    type Script = fn(&Asked) -> Vec<Act>;
    let scripts: &[(&str, Script)] = &[
        ("garbage", |_| vec![Act::Say(b"\xff\xfe\0\r\n\r\nnonsense\r\n".to_vec())]),
        ("garbage without end", |_| vec![Act::Flood(vec![b'x'; 4096])]),
        ("a value that is nothing", |asked| vec![asked.value(b"evil.example:143\r\n")]),
        ("a value of another version", |asked| vec![asked.value(&[9; 200])]),
        ("an empty one", |asked| vec![asked.value(b"")]),
        ("another's answer", |asked| {
            vec![Asked { name: "0".repeat(64), ..asked.clone() }.value(b"192.0.2.66:143")]
        }),
        ("an answer to nobody", |asked| {
            vec![Asked { token: "7".into(), ..asked.clone() }.value(b"192.0.2.66:143")]
        }),
        ("two answers", |asked| {
            vec![asked.answer("EN"), Act::Say(b"VA 14\r\n192.0.2.66:143\r\n".to_vec())]
        }),
        ("the old protocol", |_| {
            vec![Act::Say(b"VALUE a 0 14\r\n192.0.2.66:143\r\nEND\r\n".to_vec())]
        }),
        ("silence", |_| vec![Act::Hang]),
        ("a close", |_| vec![Act::Close]),
    ];
    for (what, script) in scripts {
        for which in 0..3 {
            let fake = Fake::start(script).await;
            let live = Live::new(&forms(fake.name())[which], To(ONE));
            for user in ["a@x.example", "b@x.example", "a@x.example"] {
                let start = tokio::time::Instant::now();
                let seen = live.node.log_in(user).await;
                assert!(seen.ends_with(ONE), "{what}: {seen}");
                assert!(start.elapsed() < TIMEOUT + TIMEOUT / 2, "{what}");
            }
        }
    }
}

/// Smuggling: the answer is well formed and well sealed, and somebody else's.
#[tokio::test]
async fn what_is_sealed_for_one_user_is_refused_for_another() {
    let servers = Memcached::fleet(1);
    let settings = servers::settings(&servers::names(&servers));
    let mallory = Live::new(&settings, To("192.0.2.66:143"));
    mallory.log_in("mallory@x.example").await;
    let live = Live::new(&settings, To(ONE));
    let name = async |user: &str| {
        let key = live.node.question(user).key();
        live.node.routes.shared.get_everywhere(&key).await.remove(0).name
    };
    let (his, hers) = (name("mallory@x.example").await, name("alice@x.example").await);
    // As anybody could who writes to the servers,
    copy(&servers[0], &his, &hers);
    assert_eq!(live.node.see("alice@x.example").await, format!("MISS {ONE}"));
    assert_eq!(servers[0].get(&hers), None, "it is gone");
    // and as a server could that gives his value for every question.
    let sealed = raw(&servers[0], &his);
    let fake = Fake::start(move |asked: &Asked| match &*asked.verb {
        "mg" => vec![asked.value(&sealed)],
        "ma" => vec![asked.value(b"1")],
        _ => vec![asked.answer("HD")],
    })
    .await;
    let fooled = Live::new(&servers::settings(&[fake.name()]), To(ONE));
    for user in ["alice@x.example", "bob@x.example", "mallory@y.example"] {
        assert_eq!(fooled.node.see(user).await, format!("MISS {ONE}"));
    }
    assert_eq!(fooled.node.see("mallory@x.example").await, "HIT 192.0.2.66:143", "his own it is");
}

/// The bytes under `name`.
fn raw(server: &Memcached, name: &str) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
    stream.write_all(format!("get {name}\r\nquit\r\n").as_bytes()).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let at = said.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    said[at..].strip_suffix(b"\r\nEND\r\n").unwrap().to_vec()
}
