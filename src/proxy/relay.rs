//! After login: moving bytes, and the session's last words in the logs.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Upstream;
use super::site::After;
use crate::net::Stream;
use crate::net::copy::{self, Why};
use crate::net::halt::Halt;
use crate::observe::Level;
use crate::observe::access::{End, Record};

/// How long one side may go on in silence after the other has closed.
const LINGER: Duration = Duration::from_secs(60);

/// Relays until either side has ended the session. `held` is dropped with it.
///
/// Not an `async fn`, which would keep its arguments a second time: what an idle session costs is
/// this future.
pub fn run<H: Send>(
    client: Stream,
    unread: Vec<u8>,
    upstream: Upstream,
    after: Arc<After>,
    mut record: Record,
    cut: Halt,
    held: H,
) -> impl Future<Output = ()> + Send {
    let settings = copy::Settings { idle: after.timeout, linger: LINGER };
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
        drop(held);
    }
}
