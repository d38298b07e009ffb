use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::super::halt::{Halt, halt};
use super::super::sealed::Sealed;
use super::super::{Plain, Stream};
use super::way::SCRATCH;
use super::*;

mod parting;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unix,
    Tcp,
    /// We are its server, as to a client.
    Server,
    /// We are its client, as to an upstream.
    Client,
}

const MINUTE: Duration = Duration::from_secs(60);
const WORDS: Goodbye = Goodbye { kicked: "* BYE kicked\r\n", stopped: "* BYE stopped\r\n" };
const PATIENT: Settings = Settings { idle: MINUTE, linger: MINUTE, goodbye: &WORDS };

/// The far end, and ours.
async fn pair(kind: Kind) -> (Stream, Stream) {
    match kind {
        Kind::Unix => {
            let (far, near) = UnixStream::pair().unwrap();
            (Plain::Unix(far).into(), Plain::Unix(near).into())
        }
        Kind::Tcp => {
            let (far, near) = tcp().await;
            (far.into(), near.into())
        }
        Kind::Server => {
            let (far, near) = tls().await;
            (far, near)
        }
        Kind::Client => {
            let (near, far) = tls().await;
            (far, near)
        }
    }
}

async fn tcp() -> (Plain, Plain) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (near, _) = listener.accept().await.unwrap();
    (Plain::tcp(far).unwrap(), Plain::tcp(near).unwrap())
}

/// Its client and its server.
async fn tls() -> (Stream, Stream) {
    let made = rcgen::generate_simple_self_signed(["mail.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (far, near) = tcp().await;
    let name = ServerName::try_from("mail.example").unwrap();
    let (client, server) = tokio::join!(
        TlsConnector::from(Arc::new(client)).connect(name, far),
        Sealed::accept(near, Arc::new(server), Vec::new()),
    );
    (client.unwrap().into(), server.unwrap().into())
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..length).map(|_| dice.roll(256) as u8).collect()
}

/// Writes in pieces of any size, pausing now and then, and closes its side.
async fn talk(mut to: impl AsyncWrite + Unpin, bytes: &[u8], mut dice: Dice) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = match dice.roll(3) {
            0 => dice.roll(200),
            1 => dice.roll(20_000),
            _ => dice.roll(300_000),
        };
        let (piece, more) = rest.split_at(count.min(rest.len()));
        to.write_all(piece).await.unwrap();
        to.flush().await.unwrap();
        rest = more;
        for _ in 0..dice.roll(4) {
            tokio::task::yield_now().await;
        }
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end in pieces of any size, pausing now and then.
async fn listen(mut from: impl AsyncRead + Unpin, mut dice: Dice) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut piece = vec![0; 100_000];
    loop {
        let most = 1 + dice.roll(piece.len());
        match from.read(&mut piece[..most]).await.unwrap() {
            0 => return heard,
            count => heard.extend_from_slice(&piece[..count]),
        }
        for _ in 0..dice.roll(4) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn every_byte_arrives_once_and_in_order() {
    let ups = [Kind::Unix, Kind::Tcp, Kind::Server];
    let downs = [Kind::Unix, Kind::Tcp, Kind::Client];
    for (seed, kinds) in ups.into_iter().flat_map(|a| downs.map(|b| (a, b))).enumerate() {
        let seed = seed as u64 * 10 + 1;
        let (mut client, near_client) = pair(kinds.0).await;
        let (mut upstream, near_upstream) = pair(kinds.1).await;
        let (said_up, said_down) = (noise(seed, 3_000_000), noise(seed + 1, 3_000_000));
        let pending = Pending {
            to_upstream: said_up[..100].to_vec(),
            to_client: said_down[..1_000_000].to_vec(),
        };
        let (_trigger, stop) = halt();
        let relay = both(near_client, near_upstream, pending, PATIENT, stop);
        let (client_reads, client_writes) = split(&mut client);
        let (upstream_reads, upstream_writes) = split(&mut upstream);
        let (ended, (), (), heard_up, heard_down) = tokio::join!(
            relay,
            talk(client_writes, &said_up[100..], Dice(seed + 2)),
            talk(upstream_writes, &said_down[1_000_000..], Dice(seed + 3)),
            listen(upstream_reads, Dice(seed + 4)),
            listen(client_reads, Dice(seed + 5)),
        );
        assert!(heard_up == said_up, "{kinds:?}: up");
        assert!(heard_down == said_down, "{kinds:?}: down");
        assert_eq!((ended.bytes_up, ended.bytes_down), (3_000_000, 3_000_000), "{kinds:?}");
        assert!(matches!(ended.why, Why::ClientClosed | Why::UpstreamClosed), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_other_direction_goes_on() {
    for kind in [Kind::Tcp, Kind::Client, Kind::Server] {
        for client_first in [true, false] {
            let (client, near_client) = pair(kind).await;
            let (upstream, near_upstream) = pair(kind).await;
            let (_trigger, stop) = halt();
            let relay = both(near_client, near_upstream, Pending::default(), PATIENT, stop);
            let (mut first, mut second) =
                if client_first { (client, upstream) } else { (upstream, client) };
            let (ended, ()) = tokio::join!(relay, async {
                first.write_all(b"goodbye").await.unwrap();
                first.shutdown().await.unwrap();
                let mut heard = Vec::new();
                second.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, b"goodbye");
                second.write_all(b"and to you").await.unwrap();
                second.shutdown().await.unwrap();
                heard.clear();
                first.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, b"and to you");
            });
            match ended.why {
                Why::ClientClosed => assert!(client_first, "{kind:?}"),
                Why::UpstreamClosed => assert!(!client_first, "{kind:?}"),
                why => panic!("{why:?}"),
            }
        }
    }
}

#[tokio::test]
async fn silence_on_both_sides_ends_the_session() {
    let (_client, near_client) = pair(Kind::Unix).await;
    let (_upstream, near_upstream) = pair(Kind::Unix).await;
    let (_trigger, stop) = halt();
    let settings = Settings { idle: Duration::from_millis(20), ..PATIENT };
    let ended = both(near_client, near_upstream, Pending::default(), settings, stop).await;
    assert!(matches!(ended.why, Why::Idle));
}

#[tokio::test]
async fn who_stays_when_the_other_has_left_is_not_waited_for_long() {
    let (_client, near_client) = pair(Kind::Unix).await;
    let (upstream, near_upstream) = pair(Kind::Unix).await;
    let (_trigger, stop) = halt();
    let settings = Settings { linger: Duration::from_millis(20), ..PATIENT };
    drop(upstream);
    let ended = both(near_client, near_upstream, Pending::default(), settings, stop).await;
    assert!(matches!(ended.why, Why::UpstreamClosed));
}

#[tokio::test]
async fn the_timer_is_moved_only_when_it_rings() {
    let (_client, client) = pair(Kind::Unix).await;
    let (_upstream, upstream) = pair(Kind::Unix).await;
    let (_trigger, stop) = halt();
    let start = Instant::now();
    let mut relay = Relay::new(client, upstream, Pending::default(), PATIENT, stop.into());
    relay.last = start;
    let mut timer = pin!(sleep_until(start + MINUTE));
    let cx = &mut Context::from_waker(Waker::noop());
    let second = Duration::from_secs(1);

    relay.last = start + 30 * second;
    assert!(relay.watch(timer.as_mut(), start + 31 * second, cx).is_pending());
    assert_eq!(timer.deadline(), start + MINUTE, "bytes moved, the timer did not");
    assert!(relay.watch(timer.as_mut(), start + MINUTE, cx).is_pending());
    assert_eq!(timer.deadline(), start + 90 * second, "it rang, and was set to what is left");
    relay.first = Some(Side::Client);
    relay.settings.linger = 40 * second;
    assert!(relay.watch(timer.as_mut(), start + 61 * second, cx).is_pending());
    assert_eq!(timer.deadline(), start + 70 * second, "a close shortens the wait");
    let ended = relay.watch(timer.as_mut(), start + 70 * second, cx);
    assert!(matches!(ended, Poll::Ready(Ended { why: Why::ClientClosed, .. })));
}

#[tokio::test]
async fn a_stop_ends_the_session() {
    let (mut client, near_client) = pair(Kind::Server).await;
    let (_upstream, near_upstream) = pair(Kind::Unix).await;
    let (trigger, stop) = halt();
    let relay = both(near_client, near_upstream, Pending::default(), PATIENT, stop);
    let (ended, ()) = tokio::join!(relay, async {
        tokio::task::yield_now().await;
        trigger.fire(());
    });
    assert!(matches!(ended.why, Why::Shutdown));
    let mut heard = Vec::new();
    let clean = client.read_to_end(&mut heard).await;
    assert!(clean.is_ok(), "close_notify was sent: {clean:?}");
}

#[tokio::test]
async fn a_reset_is_blamed_on_who_sent_it() {
    for client_resets in [true, false] {
        let (client, near_client) = pair(Kind::Tcp).await;
        let (upstream, near_upstream) = pair(Kind::Tcp).await;
        let (one, _other) = if client_resets { (client, upstream) } else { (upstream, client) };
        let Stream::Plain(Plain::Tcp(one)) = one else { panic!("a TCP pair") };
        socket2::SockRef::from(&one).set_linger(Some(Duration::ZERO)).unwrap();
        drop(one);
        let (_trigger, stop) = halt();
        let ended = both(near_client, near_upstream, Pending::default(), PATIENT, stop).await;
        match ended.why {
            Why::ClientError(_) => assert!(client_resets),
            Why::UpstreamError(_) => assert!(!client_resets),
            why => panic!("{why:?}"),
        }
    }
}

#[tokio::test]
async fn a_stalled_reader_holds_the_sender_back_and_an_idle_session_holds_nothing() {
    let (mut client, near_client) = pair(Kind::Unix).await;
    let (mut upstream, near_upstream) = pair(Kind::Unix).await;
    let (_trigger, stop) = halt();
    let mut relay =
        Relay::new(near_client, near_upstream, Pending::default(), PATIENT, stop.into());
    let mut timer = pin!(sleep_until(Instant::now() + MINUTE));
    let mut step = async |relay: &mut Relay| {
        tokio::task::yield_now().await;
        poll_fn(|cx| Poll::Ready(relay.poll(timer.as_mut(), cx).is_pending())).await
    };
    // Until nothing goes in any more.
    let mut said = 0;
    loop {
        let piece = [7; 10_000];
        let write = poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_write(cx, &piece)));
        let blocked = match write.await {
            Poll::Ready(count) => {
                said += count.unwrap();
                false
            }
            Poll::Pending => true,
        };
        assert!(step(&mut relay).await);
        assert!(relay.up.kept_bytes() <= SCRATCH);
        if blocked && relay.up.kept_bytes() > 0 {
            break;
        }
    }
    let mut heard = 0;
    let mut piece = vec![0; 100_000];
    while heard < said {
        heard += upstream.read(&mut piece).await.unwrap();
        assert!(step(&mut relay).await);
    }
    assert_eq!((heard, relay.up.kept_bytes()), (said, 0));
}

#[tokio::test]
async fn a_session_is_small() {
    let (_, client) = pair(Kind::Unix).await;
    let (_, upstream) = pair(Kind::Unix).await;
    let (_trigger, stop) = halt();
    let relay = both(client, upstream, Pending::default(), PATIENT, stop);
    let size = size_of_val(&relay) - 2 * size_of::<Stream>();
    assert!(size < 400, "{size} bytes besides the streams");
}

#[test]
fn a_relay_may_move_between_threads() {
    fn is_send<T: Send>(_: impl FnOnce(Stream, Stream, Halt) -> T) {}
    is_send(|client, upstream, stop| both(client, upstream, Pending::default(), PATIENT, stop));
}
