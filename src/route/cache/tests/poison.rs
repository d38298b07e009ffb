//! A shared cache that lies, and names of every kind.

use super::entry::Aim;
use super::shared::Value;
use super::*;
use proptest::prelude::*;

const ONE: &str = "192.0.2.1:143";

fn value(server: &str) -> Value {
    let aim = Aim::Servers(vec![Server::parse(server).unwrap()]);
    let entry =
        Entry { aim, user: None, authzid: None, security: None, handler: None, is_alias: false };
    Value { asked: 0, generations: vec![0, 0], entry }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_for_this_very_question_is_a_miss() {
    let node = Node::on(&Cache::memory(), To(ONE));
    let (key, other) = (node.question("a@x.example").key(), node.question("b@x.example").key());
    let evil = value("192.0.2.66:143");
    let mut old = evil.to_bytes(&key);
    old[0] = 0;
    let mut long = evil.to_bytes(&key);
    long.resize(5000, 0);
    let mut group = evil.clone();
    group.entry.aim = Aim::Group("evil".into());
    let poisons = [
        Vec::new(),
        b"192.0.2.66:143".to_vec(),
        vec![1; 64],
        evil.to_bytes(&other),
        old,
        long,
        evil.to_bytes(&key)[..40].to_vec(),
        [&evil.to_bytes(&key)[..], b"x"].concat(),
        Value { generations: vec![7, 0], ..evil.clone() }.to_bytes(&key),
        Value { generations: vec![], ..evil.clone() }.to_bytes(&key),
        group.to_bytes(&key),
    ];
    for poison in poisons {
        let cache = Cache::memory();
        let node = Node::on(&cache, To(ONE));
        cache.put(&key, &poison, TTL).await.unwrap();
        let seen = node.see("a@x.example").await;
        assert!(seen.ends_with(ONE), "{} {seen}", poison.escape_ascii());
        assert_eq!(node.asked(), 1);
    }
    // The same, well made, is believed: it takes who has the cache's key to write it.
    let cache = Cache::memory();
    let node = Node::on(&cache, To(ONE));
    let now = node.routes.process.unix(node.routes.process.now());
    cache.put(&key, &Value { asked: now, ..evil }.to_bytes(&key), TTL).await.unwrap();
    assert_eq!(node.see("a@x.example").await, "HIT 192.0.2.66:143");
}

#[tokio::test(start_paused = true)]
async fn a_list_is_no_way_to_delete_what_is_not_a_route() {
    let cache = Cache::memory();
    let node = Node::on(&cache, To(ONE));
    let victim = Key::of("lease", &[b"b@x.example"]);
    cache.put(&victim, b"1", TTL).await.unwrap();
    let mut list = vec![1];
    question::put(&mut list, victim.as_bytes());
    cache.put(&Key::of("routes-of", &[b"a@x.example"]), &list, TTL).await.unwrap();
    node.routes.purge(&Purge::user("a@x.example")).await;
    assert_eq!(cache.get(&victim).await.unwrap().as_deref(), Some(&b"1"[..]));
}

#[tokio::test(start_paused = true)]
async fn no_two_questions_share_an_answer() {
    let names: [&[u8]; 9] = [
        b"a@x",
        b"a",
        b"a@x\r\nset b 0 0 1\r\n",
        b"a\0",
        b"a ",
        b"\xff\xfe@x",
        b"a/1:b",
        b"a;ip=1",
        b"",
    ];
    let local = |ip: &str| Asker {
        local: Endpoint::Tcp(std::net::SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 143)),
        ..asker()
    };
    let askers = [
        asker(),
        Asker { protocol: "pop3", ..asker() },
        Asker { secure_upstream: false, ..asker() },
        local("192.0.2.3"),
        local("2001:db8::1"),
    ];
    let scopes = [Scope::default(), Scope::named("a")];
    let mut seen = std::collections::HashMap::new();
    let mut count = 0;
    for (user, authzid) in names.iter().flat_map(|one| names.iter().map(move |two| (*one, *two))) {
        for asker in &askers {
            for scope in scopes {
                let authzid = (!authzid.is_empty()).then(|| authzid.into());
                let attempt = Attempt { authzid, ..attempt(user) };
                let Some(mut question) = Question::of(&attempt, asker, scope) else {
                    assert_eq!(user, b"");
                    continue;
                };
                let of_local = question.local() == asker.local.ip() || question.local().is_none();
                assert!(of_local);
                question.client = None;
                let bytes = question.to_bytes();
                assert_eq!(Question::read(&bytes), Some(question.clone()));
                let own = seen.entry(bytes).or_insert_with(|| question.clone());
                assert_eq!(*own, question);
                count += 1;
            }
        }
    }
    assert!(seen.len() < count, "a name with a domain is the same at all of our addresses");
    let keys: std::collections::HashSet<_> = seen.values().map(Question::key).collect();
    assert_eq!(keys.len(), seen.len());
}

#[tokio::test(start_paused = true)]
async fn every_name_is_kept_as_it_is() {
    let cache = Cache::memory();
    let (one, two) = (Node::on(&cache, To(ONE)), Node::on(&cache, Down));
    for byte in 1..=255u8 {
        let user = [b"a", &[byte][..], b"b@x.example"].concat();
        let question = Question::of(&attempt(&user), &asker(), one.settings.scope()).unwrap();
        let (ground, asking) = (one.ground(), one.asking());
        let found = one.routes.find(&question, &one.settings, &ground, &asking).await.unwrap();
        one.routes.keep(&question, &one.settings, &found);
        settle().await;
        let found =
            two.routes.find(&question, &two.settings, &two.ground(), &two.asking()).await.unwrap();
        assert_eq!(found.cache_status(), "HIT");
    }
    let long = "a".repeat(2000);
    assert!(Question::of(&attempt(long.as_bytes()), &asker(), Scope::default()).is_none());
}

proptest! {
    #[test]
    fn any_bytes_hold(input: Vec<u8>) {
        hold_for_any(&input);
    }

    #[test]
    fn bytes_that_are_nearly_right_hold(at: usize, byte: u8, cut: usize) {
        let key = Key::verbatim(&b"route/of a test"[..]);
        let mut value = value("store.example:143");
        value.entry.user = Some(b"john@x.example"[..].into());
        let asked = question(&settings(), "john@x.example").to_bytes();
        for whole in [value.to_bytes(&key), value.entry.to_bytes(), asked.to_vec()] {
            let mut input = whole;
            let place = at % input.len();
            input[place] = byte;
            hold_for_any(&input);
            input.truncate(cut % (input.len() + 1));
            hold_for_any(&input);
        }
    }

    #[test]
    fn what_is_kept_is_read_back(user: Option<Vec<u8>>, authzid: Option<Vec<u8>>, mode in 0..4usize) {
        let mut entry = value("store.example").entry;
        entry.user = user.map(Into::into);
        entry.authzid = authzid.map(Into::into);
        entry.security = [None, Some(Mode::Off), Some(Mode::On), Some(Mode::StartTls)][mode];
        let is_fit = [&entry.user, &entry.authzid].into_iter().flatten().all(|name| entry::is_name(name));
        prop_assert_eq!(Entry::read(&entry.to_bytes()).as_ref() == Some(&entry), is_fit);
    }
}

use crate::tls::directives::Mode;
