//! From an accepted connection to a logged-in session.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::desk::{Desk, Upstream};
use super::relay;
use super::session::{Session, TIMED_OUT, words_of};
use super::site::{Door, Site};
use crate::login::{Bar, closed, imap, pop3, sieve, smtp};
use crate::net::accept::Conn;
use crate::net::halt::Halt;
use crate::net::{Plain, Stream, header};
use crate::observe::access::{End, Record, Status};
use crate::observe::{Level, tasks};
use crate::route::{Proxied, presence};
use crate::session::driver::{Done, Ended, Patience, admit};
use crate::throttle::Stage;
use crate::wire::haproxy;

/// Serves `conn` until its login has ended; a client that was let in is then relayed by a task of
/// its own. `alive` is held as long as anything of the session lives.
pub async fn run<A: Send + 'static>(conn: Conn, door: Arc<Door>, cut: Halt, alive: A) {
    let Conn { stream, peer, local, number, permit } = conn;
    let summons = permit.summons();
    let Some(site) = door.default_site().map(Arc::clone) else { return };
    let counted = site.counters.accepted();
    let mut session = Session::new(&door, &site, number, peer, local, permit);
    let introduced = match door.proxy_protocol {
        true => introduce(&mut session, &site, &stream, cut.clone(), summons.clone()).await,
        false => Ok(()),
    };
    let done = match introduced {
        Ok(()) => {
            if site.log.enabled(Level::Info) {
                let (client, local) = (&session.client, &session.local);
                let words = format_args!("*{number} client {client} connected to {local}");
                site.log.line(Level::Info, None, words);
            }
            drop(site);
            Box::pin(login(&session, stream, door.ssl, cut.clone(), summons)).await
        }
        Err(ended) => Err(ended),
    };
    match done {
        Ok(Done::Admitted { stream, unread, pass }) => {
            session.log(Level::Info, None, "client logged in");
            session.line(Record::relaying);
            let client = session.client.clone();
            let (site, record, (mut permit, guards)) = session.into_parts();
            permit.settle();
            let after = Arc::clone(&site.after);
            let mut pass = pass;
            let place = pass.place.take();
            let stay = place.as_ref().map(|place| {
                site.fleet.presence.enter(presence::Session {
                    id: number,
                    user: &place.user,
                    protocol: site.words.name,
                    tls: record.tls.as_ref().map(|tls| tls.protocol),
                    site: &site.name,
                    client: &client,
                    upstream: place.group.as_ref().map_or("", |group| &group.name),
                    server: &place.server,
                    address: &place.endpoint,
                    since: SystemTime::now(),
                })
            });
            let slot = place.and_then(|place| place.slot);
            let relay = relay::run(
                stream,
                unread,
                pass,
                after,
                record,
                cut,
                stay,
                (permit, guards, counted, slot, alive),
            );
            tasks::spawn("relay", relay);
        }
        Ok(Done::Settled { .. }) => {}
        Err(ended) => tell(&session, &ended),
    }
}

/// Who the client is: as a PROXY header says, which is believed if its sender is trusted.
async fn introduce(
    session: &mut Session,
    site: &Site,
    stream: &Plain,
    mut stop: Halt,
    mut summons: Halt,
) -> Result<(), Ended> {
    let deadline = Instant::now() + site.settings.timeout;
    let header = tokio::select! {
        header = header::read(stream, deadline, haproxy::parse) => header,
        () = stop.heard() => return Err(Ended::Stopped),
        () = summons.heard() => return Err(Ended::GaveWay),
    };
    match header {
        // None: LOCAL and UNKNOWN, the balancer itself, checking our health.
        Ok(header) => {
            if let Some((source, destination)) = header.source {
                let is_believed = site.settings.believes(&session.client);
                session.introduce(Proxied { source, destination }, is_believed);
            }
            Ok(())
        }
        Err(error) => {
            session.line(|line| line.end = End::ProxyHeader);
            let words = format_args!("{error} while reading PROXY protocol");
            session.log(Level::Error, None, words);
            Err(Ended::Closed)
        }
    }
}

async fn login(
    session: &Session,
    plain: Plain,
    ssl: bool,
    stop: Halt,
    mut summons: Halt,
) -> Result<Done<Upstream>, Ended> {
    let mut stream = if ssl {
        let timeout = session.site().settings.timeout;
        let deadline = Instant::now() + timeout;
        let mut stop = stop.clone();
        let accepted = tokio::select! {
            accepted = session.accept_tls(plain, deadline, false) => accepted,
            () = stop.heard() => return Err(Ended::Stopped),
            () = summons.heard() => return Err(Ended::GaveWay),
        };
        match accepted {
            Ok((stream, None)) => stream,
            Ok((mut stream, Some(bar))) => {
                let words = session.site().words.barred(&bar);
                farewell(&mut stream, words).await;
                return Err(bar.into());
            }
            Err(error) => return Err(Ended::Tls(words_of(&error))),
        }
    } else {
        Stream::Plain(plain)
    };
    let site = session.site();
    if session.count(Stage::Connected, None).is_err() {
        farewell(&mut stream, site.words.too_busy).await;
        return Err(Bar::TooMany.into());
    }
    if let Some(notice) = site.fleet.maintenance.at_greeting() {
        farewell(&mut stream, &closed(site.words.name, &notice.text)).await;
        return Err(Bar::TooMany.into());
    }
    let ip = session.client.ip();
    if let Err(denied) = site.logins.connected(site.words.name, ip).await {
        farewell(&mut stream, &denied.farewell(site.words.name)).await;
        return Err(Bar::TooMany.into());
    }
    let (offer, timeout) = (site.offer.now(), site.settings.timeout);
    let patience = Patience {
        opening: timeout,
        step: timeout,
        whole: false,
        overall: Some(site.settings.login_timeout.max(timeout)),
        pipelines: false,
        in_turn: false,
        hush: match site.words.name {
            "smtp" => site.settings.smtp_greeting_delay,
            _ => Duration::ZERO,
        },
        most: site.settings.max_commands,
    };
    let desk = Desk::new(session);
    let guest = session.guest();
    macro_rules! admit_by {
        ($front:ty) => {{
            let front = <$front>::new(offer, guest);
            // Boxed one by one: the session is not to be as large as the largest of them.
            Box::pin(admit(stream, front, &desk, session, session, patience, stop, summons)).await
        }};
    }
    match site.words.name {
        "pop3" => admit_by!(pop3::front::Front),
        "smtp" => admit_by!(smtp::front::Front<smtp::Smtp>),
        "lmtp" => admit_by!(smtp::front::Front<smtp::Lmtp>),
        "sieve" => admit_by!(sieve::front::Front),
        _ => admit_by!(imap::front::Front),
    }
}

/// Tells a client why it is sent away. A dead or stalled one cannot hear it: one try, no waiting.
async fn farewell(stream: &mut Stream, words: &str) {
    let said = async {
        stream.write_all(words.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_millis(200), said).await;
}

/// The log's and the access line's word on a session that ended before its login.
fn tell(session: &Session, ended: &Ended) {
    let (end, level, words) = match ended {
        Ended::Left => (End::ClientClosed, Level::Info, "client closed connection".to_owned()),
        Ended::Idle(_) => (End::ClientTimeout, Level::Info, TIMED_OUT.to_owned()),
        Ended::Stopped => (End::Shutdown, Level::Info, "shutdown timeout".to_owned()),
        Ended::Breach(breach) => (End::SpokeBeforeTls, Level::Info, format!("client {breach}")),
        Ended::Tls(error) => (End::TlsFailed, Level::Info, error.clone()),
        Ended::Barred(Bar::TooMany) => {
            (End::Throttled, Level::Debug, "client was sent away".to_owned())
        }
        Ended::Barred(bar) => (End::TlsFailed, Level::Info, bar.to_string()),
        Ended::Early => {
            let words = "client was rejected before greeting: \"...\"";
            (End::SpokeTooEarly, Level::Info, words.to_owned())
        }
        Ended::TooMany => {
            (End::MaxCommands, Level::Info, "client sent too many commands".to_owned())
        }
        // It is our own turn that upstreams wait for.
        Ended::OutOfTurn => (End::Internal, Level::Error, ended.to_string()),
        Ended::GaveWay => {
            (End::TooBusy, Level::Info, "client gave way to another connection".to_owned())
        }
        Ended::Io(error) => (End::ClientFailed, Level::Info, error.to_string()),
        Ended::Closed => {
            let most = session.site().settings.max_errors;
            let (errors, refused, end) = session.line(|line| (line.errors, line.status, line.end));
            if matches!(end, End::TooLong | End::ProxyHeader) {
                (end, Level::Debug, "closed out of step".to_owned())
            } else if errors >= most {
                let words = "client sent too many invalid commands".to_owned();
                (End::MaxErrors, Level::Info, words)
            } else if refused == Status::Closed {
                (End::ClientQuit, Level::Debug, "client quit".to_owned())
            } else {
                (End::LoginRefused, Level::Debug, "closed after a refused login".to_owned())
            }
        }
    };
    session.line(|line| line.end = end);
    let doing = match ended {
        Ended::Tls(_) | Ended::Barred(_) => session.line(|line| match line.starttls {
            true => "in starttls state",
            false => "SSL handshaking",
        }),
        Ended::Early => "in delay pipelining state",
        _ => "in auth state",
    };
    session.log(level, Some(doing), words);
}
#[cfg(test)]
mod tests {
    use super::*;

    /// What a client costs that waits before its login, beside its session and its buffers.
    #[test]
    fn waiting_for_a_login_takes_little() {
        fn waiting<'a>(
            (stream, session, desk): (Stream, &'a Session, &'a Desk<'a>),
            front: imap::front::Front,
            patience: Patience,
            (stop, summons): (Halt, Halt),
        ) -> impl Future + 'a {
            admit(stream, front, desk, session, session, patience, stop, summons)
        }
        fn size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(waiting) < 8 << 10, "{} bytes", size(waiting));
    }
}
