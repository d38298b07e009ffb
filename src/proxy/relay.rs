//! After login: moving bytes, and the session's last words in the logs.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Upstream;
use super::site::After;
use crate::login::words;
use crate::net::Stream;
use crate::net::copy::{self, Cut, Goodbye, Why};
use crate::net::halt::Halt;
use crate::observe::Level;
use crate::observe::access::{End, Record};
use crate::route::presence::Stay;

/// How long one side may go on in silence after the other has closed.
const LINGER: Duration = Duration::from_secs(60);

/// What a client of each protocol hears last, in the order of [`words::ALL`]. Static, so that a
/// session has but a pointer to it.
static GOODBYES: [Goodbye; words::ALL.len()] = {
    let mut all = [const { Goodbye { kicked: "", stopped: "" } }; words::ALL.len()];
    let mut at = 0;
    while at < all.len() {
        let words = words::ALL[at];
        // A protocol without a word for the one has none for the other: POP3's client has asked
        // nothing that could be answered.
        let stopped = if words.kicked.is_empty() { "" } else { words.shutting_down };
        all[at] = Goodbye { kicked: words.kicked, stopped };
        at += 1;
    }
    all
};

fn goodbye(protocol: &str) -> &'static Goodbye {
    let at = words::ALL.iter().position(|words| words.name == protocol);
    &GOODBYES[at.expect("every session's protocol is in the table")]
}

/// Relays until either side has ended the session. `held` is dropped with it. `stay`: where it is
/// entered among those that are logged in, and can be called from.
///
/// Not an `async fn`, which would keep its arguments a second time: what an idle session costs is
/// this future.
pub fn run<H: Send>(
    client: Stream,
    unread: Vec<u8>,
    upstream: Upstream,
    after: Arc<After>,
    mut record: Record,
    stop: Halt,
    stay: Option<Stay>,
    held: H,
) -> impl Future<Output = ()> + Send {
    let goodbye = goodbye(record.protocol);
    let settings = copy::Settings { idle: after.timeout, linger: LINGER, goodbye };
    let cut = Cut { stop, leash: stay.as_ref().map(Stay::leash) };
    let pending = copy::Pending { to_upstream: unread, to_client: upstream.unread };
    let relay = copy::both(client, upstream.stream, pending, settings, cut);
    async move {
        let ended = relay.await;
        record.bytes_received = ended.bytes_up;
        record.bytes_sent = ended.bytes_down;
        let (end, words) = match &ended.why {
            Why::ClientClosed => (End::ClientClosed, "proxied session done".to_owned()),
            Why::UpstreamClosed => (End::UpstreamClosed, "proxied session done".to_owned()),
            // nginx's words, its errno included.
            Why::Idle => {
                (End::RelayTimeout, "client timed out (110: Connection timed out)".to_owned())
            }
            Why::Shutdown => (End::Shutdown, "shutdown timeout".to_owned()),
            Why::Kicked => {
                let kick = stay.as_ref().and_then(Stay::kick);
                (End::Kicked, kick.map_or("session ended", |kick| kick.words()).to_owned())
            }
            Why::ClientError(error) => {
                (End::ClientFailed, format!("client connection failed: {error}"))
            }
            Why::UpstreamError(error) => {
                (End::UpstreamFailed, format!("upstream connection failed: {error}"))
            }
        };
        record.end = end;
        after.counters.relayed(ended.bytes_up, ended.bytes_down);
        if after.log.enabled(Level::Info) {
            // Of a session that ended as it should, nginx does not say what it was doing.
            let is_done = matches!(ended.why, Why::ClientClosed | Why::UpstreamClosed);
            let doing = (!is_done).then_some("proxying");
            after.log.session(Level::Info, &record.tail(doing), words);
        }
        drop((stay, held));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::SystemTime;

    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::net::halt::halt;
    use crate::net::{Endpoint, Plain};
    use crate::observe::access::{Access, Line};
    use crate::observe::format::Format;
    use crate::observe::{Log, Metrics};
    use crate::route::presence::{Presence, Session};

    #[test]
    fn each_protocol_has_its_own_goodbye() {
        for words in words::ALL {
            let goodbye = goodbye(words.name);
            assert_eq!(goodbye.kicked, words.kicked);
            assert_eq!(goodbye.stopped.is_empty(), words.name == "pop3");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kicked_session_hears_why_and_leaves_its_line_and_its_place() {
        let (presence, metrics) = (Presence::new(), Metrics::new());
        let (log, said) = Log::memory(Level::Info);
        let format = Format::read(&["$login $session_end $bytes_sent"]);
        let (access, lines) = Access::memory(Arc::new(format.unwrap()));
        let end: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        let mut line = Line::new("imap", 9, end.into(), end.into());
        line.login = Some(b"mrose"[..].into());
        let counters = metrics.protocol("imap");
        let record = Record::open(access, line, counters.session());
        let stay = presence.enter(Session {
            id: 9,
            user: "mrose",
            protocol: "imap",
            site: "",
            client: &Endpoint::from(end),
            upstream: "stores",
            server: "a",
            address: &Endpoint::from(end),
            since: SystemTime::UNIX_EPOCH,
        });
        let after = Arc::new(After { timeout: 60 * LINGER, log, counters });
        let (mut client, near) = UnixStream::pair().unwrap();
        let (_far, upstream) = UnixStream::pair().unwrap();
        let upstream =
            Upstream { stream: Plain::Unix(upstream).into(), unread: Vec::new(), place: None };
        let (_trigger, stop) = halt();
        let near = Plain::Unix(near).into();
        let relay = run(near, Vec::new(), upstream, after, record, stop, Some(stay), ());
        let mut heard = String::new();
        let (kicked, ()) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                let kicked = presence.kick("mrose");
                client.read_to_string(&mut heard).await.unwrap();
                kicked
            },
            relay
        );
        assert_eq!((kicked, heard.as_str()), (1, words::IMAP.kicked));
        let want = format!("mrose kicked {}", words::IMAP.kicked.len());
        assert_eq!(lines.lines(), [want]);
        assert!(said.lines().iter().any(|line| line.contains("user was kicked while proxying")));
        assert!(presence.is_empty());
    }
}
