//! Taking connections off a listening socket, until told to stop.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::halt::Halt;
use super::limits::{Crowded, Full, Gate, Permit};
use super::listen::{Listener, Socket};
use super::{Endpoint, Plain, errno};

/// A connection that has been let in.
#[derive(Debug)]
pub struct Conn {
    pub stream: Plain,
    pub peer: Endpoint,
    /// Where the client came to; on a wildcard listener the very address.
    pub local: Endpoint,
    /// Counts through the whole process: `*1` in the log.
    pub number: u64,
    /// To be held for as long as the connection counts.
    pub permit: Permit,
}

/// What becomes of connections that still wait in the kernel's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The socket is closed for good: they are taken first.
    Drain,
    /// Another holds the socket too: they are its.
    Queue,
}

/// What the log should hear of.
#[derive(Debug, thiserror::Error)]
pub enum Notice {
    /// nginx says this at `crit` when descriptors are lacking, else at `alert`.
    #[error("accept4() failed ({})", errno(.0))]
    Failed(#[source] io::Error),
    /// A client was turned away, and perhaps others in the same second. `alert`, as in nginx.
    #[error(transparent)]
    Full(Full),
    /// A client that had not logged in had to go for a new one, and perhaps others in the same
    /// second. `warn`, as in nginx.
    #[error(transparent)]
    Crowded(Crowded),
}

/// Where accepted connections and what goes wrong are told.
pub trait Host {
    /// Must not block: it starts the session and returns.
    fn welcome(&mut self, conn: Conn);
    /// There is no room: `stream` may be told so, at once, and is closed.
    fn turn_away(&mut self, stream: Plain) {
        drop(stream);
    }
    fn notice(&mut self, notice: Notice);
}

/// So many are accepted before the sessions get their turn.
const BATCH: usize = 16;

/// How long to wait when no connection can be taken: nginx's `accept_mutex_delay`.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Accepts from `socket` until `stop` is heard, in the runtime that is current.
pub async fn run(
    socket: Socket,
    gate: Gate,
    mut stop: Halt<Leave>,
    mut host: impl Host,
) -> io::Result<()> {
    let mut door = Door { endpoint: socket.endpoint().clone(), gate, complained: None };
    let listener = socket.into_async()?;
    let leave = loop {
        let pause = match door.accept_batch(&listener, &mut stop, &mut host).await {
            Batch::Full => {
                tokio::task::yield_now().await;
                continue;
            }
            Batch::Stopped(leave) => break leave,
            Batch::Failed => tokio::time::sleep(BACK_OFF),
        };
        tokio::select! {
            leave = stop.heard() => break leave,
            () = pause => {}
        }
    };
    if leave == Leave::Drain {
        door.drain(listener, &mut host)?;
    }
    Ok(())
}

/// The next number of a connection in this process.
pub fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed) + 1
}

enum Batch {
    Full,
    Stopped(Leave),
    Failed,
}

struct Door {
    endpoint: Endpoint,
    gate: Gate,
    /// When the log last heard that there is no room.
    complained: Option<Instant>,
}

impl Door {
    async fn accept_batch(
        &mut self,
        listener: &Listener,
        stop: &mut Halt<Leave>,
        host: &mut impl Host,
    ) -> Batch {
        for _ in 0..BATCH {
            let next = std::future::poll_fn(|cx| match stop.poll(cx) {
                Poll::Ready(leave) => Poll::Ready(Err(leave)),
                Poll::Pending => poll_accept(listener, cx).map(Ok),
            });
            match next.await {
                Err(leave) => return Batch::Stopped(leave),
                Ok(Ok((stream, peer))) => self.receive(stream, peer, host),
                Ok(Err(error)) if is_the_clients(&error) => {}
                Ok(Err(error)) => {
                    host.notice(Notice::Failed(error));
                    return Batch::Failed;
                }
            }
        }
        Batch::Full
    }

    fn receive(&mut self, stream: Plain, peer: Endpoint, host: &mut impl Host) {
        let permit = match self.gate.admit() {
            Ok(entry) => {
                if let Some(crowded) = entry.crowded {
                    self.complain(Notice::Crowded(crowded), host);
                }
                entry.permit
            }
            // Closed: better than a client that waits in a queue nobody serves.
            Err(full) => {
                host.turn_away(stream);
                return self.complain(Notice::Full(full), host);
            }
        };
        let local = match self.endpoint.ip() {
            Some(ip) if ip.is_unspecified() => match stream.local() {
                Ok(local) => local,
                // The client is gone already.
                Err(_) => return,
            },
            _ => self.endpoint.clone(),
        };
        host.welcome(Conn { stream, peer, local, number: next_number(), permit });
    }

    /// Says once a second that there is no room: a flood must not flood the log.
    fn complain(&mut self, notice: Notice, host: &mut impl Host) {
        let now = Instant::now();
        if self.complained.is_none_or(|last| now - last >= Duration::from_secs(1)) {
            self.complained = Some(now);
            host.notice(notice);
        }
    }

    /// Takes what the kernel has queued. By system calls alone: the runtime may not have heard yet
    /// of connections that are there, and closing would reset them.
    fn drain(&mut self, listener: Listener, host: &mut impl Host) -> io::Result<()> {
        let mut queue = Queue::from(listener)?;
        loop {
            match queue.take() {
                Ok((stream, peer)) => self.receive(stream, peer, host),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    host.notice(Notice::Failed(error));
                    return Ok(());
                }
            }
        }
    }
}

/// A listener outside the runtime.
enum Queue {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Queue {
    fn from(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(listener.into_std()?),
            Listener::Unix(listener) => Self::Unix(listener.into_std()?),
        })
    }

    fn take(&mut self) -> io::Result<(Plain, Endpoint)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                (Plain::Tcp(TcpStream::from_std(stream)?), peer.into())
            }
            Self::Unix(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                (Plain::Unix(UnixStream::from_std(stream)?), peer.into())
            }
        })
    }
}

fn poll_accept(listener: &Listener, cx: &mut Context<'_>) -> Poll<io::Result<(Plain, Endpoint)>> {
    // TCP_NODELAY is inherited from the listener.
    Poll::Ready(Ok(match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = ready!(listener.poll_accept(cx))?;
            (Plain::Tcp(stream), peer.into())
        }
        Listener::Unix(listener) => {
            let (stream, peer) = ready!(listener.poll_accept(cx))?;
            (Plain::Unix(stream), peer.into())
        }
    }))
}

/// Whether one client's connection failed before we had it: the next may be fine. accept(2) names
/// the network's errors too.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
    ) || matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EPROTO | Errno::EHOSTDOWN))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::sync::mpsc;

    use super::super::halt::halt;
    use super::super::listen::{Listen, open};
    use super::*;

    struct Desk(mpsc::UnboundedSender<Result<Conn, Notice>>);

    impl Host for Desk {
        fn welcome(&mut self, conn: Conn) {
            let _ = self.0.send(Ok(conn));
        }

        fn notice(&mut self, notice: Notice) {
            let _ = self.0.send(Err(notice));
        }
    }

    fn socket(ip: Ipv4Addr) -> Socket {
        let listen = Listen::new(Endpoint::from(SocketAddr::from((ip, 0))));
        open(&listen, 1).unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_connection_knows_both_its_ends_and_its_number() {
        let socket = socket(Ipv4Addr::UNSPECIFIED);
        let port = socket.endpoint().port().unwrap();
        let (said, mut heard) = mpsc::unbounded_channel();
        let (trigger, stop) = halt();
        let gate = Gate::new(1);
        let work = run(socket, gate.clone(), stop, Desk(said));
        let test = async {
            let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let mut conn = heard.recv().await.unwrap().unwrap();
            assert_eq!(conn.peer, client.local_addr().unwrap().into());
            assert_eq!(conn.local, client.peer_addr().unwrap().into());
            assert_eq!(gate.count(), 1);
            conn.permit.settle();
            let _more = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let notice = heard.recv().await.unwrap().unwrap_err();
            assert_eq!(notice.to_string(), "1 worker_connections are not enough");
            let number = conn.number;
            drop(conn);
            let _again = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            assert!(heard.recv().await.unwrap().unwrap().number > number);
            trigger.fire(Leave::Queue);
        };
        assert!(tokio::join!(work, test).0.is_ok());
    }

    #[tokio::test]
    async fn a_client_without_a_login_gives_way_to_the_next() {
        let socket = socket(Ipv4Addr::LOCALHOST);
        let target = socket.endpoint().tcp().unwrap();
        let (said, mut heard) = mpsc::unbounded_channel();
        let (trigger, stop) = halt();
        let gate = Gate::new(1);
        let work = run(socket, gate.clone(), stop, Desk(said));
        let test = async {
            let _first = TcpStream::connect(target).await.unwrap();
            let first = heard.recv().await.unwrap().unwrap();
            let _second = TcpStream::connect(target).await.unwrap();
            let notice = heard.recv().await.unwrap().unwrap_err();
            let words = "1 worker_connections are not enough, reusing connections";
            assert_eq!(notice.to_string(), words);
            let second = heard.recv().await.unwrap().unwrap();
            first.permit.summons().heard().await;
            assert!(second.permit.summons().word().is_none());
            trigger.fire(Leave::Queue);
        };
        assert!(tokio::join!(work, test).0.is_ok());
    }

    #[tokio::test]
    async fn what_waits_in_the_queue_is_served_before_the_socket_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let unix = Listen::new(Endpoint::Unix(folder.path().join("s")));
        for socket in [socket(Ipv4Addr::LOCALHOST), open(&unix, 1).unwrap().remove(0)] {
            let target = socket.endpoint().clone();
            let mut clients: Vec<Box<dyn Send>> = Vec::new();
            for _ in 0..2 * BATCH + 3 {
                // Not within the runtime, which so cannot have heard of them.
                clients.push(match &target {
                    Endpoint::Tcp(addr) => Box::new(std::net::TcpStream::connect(addr).unwrap()),
                    Endpoint::Unix(path) => {
                        Box::new(std::os::unix::net::UnixStream::connect(path).unwrap())
                    }
                });
            }
            let (said, mut heard) = mpsc::unbounded_channel();
            let (trigger, stop) = halt();
            trigger.fire(Leave::Drain);
            run(socket, Gate::new(usize::MAX), stop, Desk(said)).await.unwrap();
            let mut served = 0;
            while let Some(conn) = heard.recv().await {
                assert!(conn.is_ok());
                served += 1;
            }
            assert_eq!(served, clients.len(), "{target}");
        }
    }

    #[tokio::test]
    async fn the_queue_is_left_to_who_shares_the_socket() {
        let socket = socket(Ipv4Addr::LOCALHOST);
        let other = socket.try_clone().unwrap();
        let _client = std::net::TcpStream::connect(socket.endpoint().tcp().unwrap()).unwrap();
        let (said, mut heard) = mpsc::unbounded_channel();
        let (trigger, stop) = halt();
        trigger.fire(Leave::Queue);
        run(socket, Gate::new(1), stop, Desk(said.clone())).await.unwrap();
        assert!(heard.try_recv().is_err());
        let (trigger, stop) = halt();
        let work = run(other, Gate::new(1), stop, Desk(said));
        let (done, ()) = tokio::join!(work, async {
            assert!(heard.recv().await.unwrap().is_ok());
            trigger.fire(Leave::Drain);
        });
        assert!(done.is_ok());
    }
}
