//! Sessions that are told to go, at every kind of moment.

use std::num::NonZeroU8;

use tokio::time::{sleep, timeout};

use super::super::super::bell::Bell;
use super::*;

#[derive(Default)]
struct Rope(Bell);

impl AsRef<Bell> for Rope {
    fn as_ref(&self) -> &Bell {
        &self.0
    }
}

impl Outside for Rope {}

const MS: Duration = Duration::from_millis(1);

/// A relay, its two far ends, and what pulls it out.
struct Scene {
    client: Stream,
    upstream: Stream,
    rope: Arc<Rope>,
    relay: tokio::task::JoinHandle<Ended>,
    stop: super::super::super::halt::Trigger,
}

impl Scene {
    async fn new(kind: Kind, settings: Settings) -> Self {
        let (client, near_client) = pair(kind).await;
        let (upstream, near_upstream) = pair(Kind::Unix).await;
        let (stop, halt) = halt();
        let rope = Arc::new(Rope::default());
        let leash: Leash = rope.clone();
        let cut = Cut { stop: halt, leash: Some(leash) };
        let relay = both(near_client, near_upstream, Pending::default(), settings, cut);
        Self { client, upstream, rope, relay: crate::observe::tasks::spawn("relay", relay), stop }
    }

    fn kick(&self) {
        assert!(self.rope.0.ring(NonZeroU8::MIN));
    }

    async fn upstream_says(&mut self, words: &str) {
        self.upstream.write_all(words.as_bytes()).await.unwrap();
        let mut heard = vec![0; words.len()];
        self.client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, words.as_bytes());
    }

    async fn client_says(&mut self, words: &str) {
        self.client.write_all(words.as_bytes()).await.unwrap();
        let mut heard = vec![0; words.len()];
        self.upstream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, words.as_bytes());
    }

    /// What the client hears until it is closed, when that was, and how the session ended.
    async fn end(mut self) -> (String, Duration, Ended) {
        let began = Instant::now();
        let mut heard = Vec::new();
        let clean = timeout(MINUTE, self.client.read_to_end(&mut heard)).await.unwrap();
        assert!(clean.is_ok(), "the client's side is closed as it should be: {clean:?}");
        let took = began.elapsed();
        let mut rest = Vec::new();
        let _ = self.upstream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"", "nothing is said to the upstream in the client's name");
        (String::from_utf8(heard).unwrap(), took, self.relay.await.unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn a_kicked_session_that_is_silent_hears_the_goodbye() {
    let scene = Scene::new(Kind::Unix, PATIENT).await;
    sleep(200 * MS).await;
    scene.kick();
    let (heard, took, ended) = scene.end().await;
    assert_eq!(heard, WORDS.kicked);
    assert!(took < 50 * MS, "{took:?}");
    assert!(matches!(ended.why, Why::Kicked));
    assert_eq!(ended.bytes_down, WORDS.kicked.len() as u64);
}

#[tokio::test]
async fn the_goodbye_goes_through_tls() {
    for kind in [Kind::Server, Kind::Tcp] {
        let mut scene = Scene::new(kind, PATIENT).await;
        scene.upstream_says("+ idling\r\n").await;
        scene.kick();
        let (heard, _, ended) = scene.end().await;
        assert_eq!(heard, WORDS.kicked, "{kind:?}");
        assert!(matches!(ended.why, Why::Kicked), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_kicked_before_its_relay_began_ends_as_well() {
    let (mut client, near_client) = pair(Kind::Unix).await;
    let (_upstream, near_upstream) = pair(Kind::Unix).await;
    let (_stop, stop) = halt();
    let rope = Arc::new(Rope::default());
    rope.0.ring(NonZeroU8::MIN);
    let cut = Cut { stop, leash: Some(rope) };
    let pending = Pending { to_client: b"* 1 EXISTS\r\n".to_vec(), ..Pending::default() };
    let ended = both(near_client, near_upstream, pending, PATIENT, cut).await;
    assert!(matches!(ended.why, Why::Kicked));
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "* 1 EXISTS\r\n".to_owned() + WORDS.kicked);
}

#[tokio::test(start_paused = true)]
async fn a_command_under_way_is_answered_first() {
    let mut scene = Scene::new(Kind::Unix, PATIENT).await;
    scene.client_says("a1 APPEND INBOX {3}\r\n").await;
    scene.upstream_says("+ go on\r\n").await;
    scene.client_says("abc\r\n").await;
    scene.kick();
    sleep(900 * MS).await;
    assert!(!scene.relay.is_finished(), "it is not known yet what became of the message");
    scene.upstream_says("a1 OK done\r\n").await;
    let (heard, took, _) = scene.end().await;
    assert_eq!(heard, WORDS.kicked);
    assert!((100 * MS..200 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_never_answered_is_not_waited_for_long() {
    let mut scene = Scene::new(Kind::Unix, PATIENT).await;
    scene.client_says("a1 APPEND INBOX {300}\r\nab").await;
    scene.kick();
    let (heard, took, _) = scene.end().await;
    assert_eq!(heard, WORDS.kicked, "between two lines of the upstream");
    assert!((1900 * MS..2100 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_word_goes_into_the_middle_of_a_line() {
    let mut scene = Scene::new(Kind::Unix, PATIENT).await;
    scene.upstream_says("* 1 FETCH (BODY[] {300}\r\nSubject: half a li").await;
    scene.kick();
    let (heard, took, ended) = scene.end().await;
    assert_eq!(heard, "");
    assert!((1900 * MS..2100 * MS).contains(&took), "{took:?}");
    assert!(matches!(ended.why, Why::Kicked));
}

#[tokio::test(start_paused = true)]
async fn no_word_goes_into_a_literal_that_is_still_coming() {
    let mut scene = Scene::new(Kind::Unix, PATIENT).await;
    scene.upstream_says("* 1 FETCH (BODY[] {30000}\r\n").await;
    scene.kick();
    // Lines of a message, each after the other: none of their ends is a quiet moment.
    let mut lines = 0;
    while !scene.relay.is_finished() {
        sleep(40 * MS).await;
        if scene.upstream.write_all(b"a line of the message\r\n").await.is_err() {
            break;
        }
        lines += 1;
    }
    assert!((45..55).contains(&lines), "{lines}");
    let mut heard = String::new();
    scene.client.read_to_string(&mut heard).await.unwrap();
    assert!(!heard.contains("BYE") && heard.ends_with("message\r\n"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_waited_for() {
    let mut scene = Scene::new(Kind::Unix, PATIENT).await;
    // Until nothing goes in any more.
    let stuffed = async { while scene.upstream.write_all(&[b'\n'; 100_000]).await.is_ok() {} };
    assert!(timeout(100 * MS, stuffed).await.is_err());
    let began = Instant::now();
    scene.kick();
    let ended = timeout(MINUTE, scene.relay).await.unwrap().unwrap();
    assert!(matches!(ended.why, Why::Kicked));
    assert!(began.elapsed() < 2100 * MS);
    drop(scene.client);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_without_a_word_closes_at_the_same_moment() {
    const SILENT: Goodbye = Goodbye { kicked: "", stopped: "" };
    let scene = Scene::new(Kind::Unix, Settings { goodbye: &SILENT, ..PATIENT }).await;
    scene.kick();
    let (heard, took, ended) = scene.end().await;
    assert_eq!((heard.as_str(), ended.bytes_down), ("", 0));
    assert!((100 * MS..200 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_has_said_its_own_goodbye_has_the_last_word() {
    let mut scene = Scene::new(Kind::Unix, PATIENT).await;
    scene.upstream_says("* BYE from the upstream\r\n").await;
    scene.upstream.shutdown().await.unwrap();
    sleep(10 * MS).await;
    scene.kick();
    let (heard, _, ended) = scene.end().await;
    assert_eq!(heard, "");
    assert!(matches!(ended.why, Why::UpstreamClosed));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_nobody_and_tells_who_is_idle() {
    let script: [(&str, &str, u64, &str); 4] = [
        ("a1 IDLE\r\n", "+ idling\r\n", 200, WORDS.stopped),
        ("a1 IDLE\r\n", "+ idling\r\n", 20, ""),
        ("a1 FETCH 1 ALL\r\n", "* 1 FETCH", 200, ""),
        ("a1 FETCH 1 ALL\r\n", "", 200, ""),
    ];
    for (command, answer, wait, want) in script {
        let mut scene = Scene::new(Kind::Unix, PATIENT).await;
        scene.client_says(command).await;
        scene.upstream_says(answer).await;
        sleep(wait as u32 * MS).await;
        scene.stop.fire(());
        let (heard, took, ended) = scene.end().await;
        assert_eq!((heard.as_str(), took), (want, Duration::ZERO), "{answer:?} {wait}");
        assert!(matches!(ended.why, Why::Shutdown));
    }
}
