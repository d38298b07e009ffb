//! From an accepted connection to a logged-in session.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::desk::{Desk, Upstream};
use super::relay;
use super::session::{Session, TIMED_OUT, words_of};
use super::site::{Door, Site};
use crate::login::{imap, pop3, words};
use crate::net::accept::Conn;
use crate::net::halt::Halt;
use crate::net::{Plain, Stream, header};
use crate::observe::access::{End, Record, Status};
use crate::observe::{Level, tasks};
use crate::route::Proxied;
use crate::session::driver::{Done, Ended, Patience, admit};
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
        true => introduce(&mut session, &site, &stream, cut.clone()).await,
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
            let (site, record, permit) = session.into_parts();
            let after = Arc::clone(&site.after);
            let relay =
                relay::run(stream, unread, pass, after, record, cut, (permit, counted, alive));
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
) -> Result<(), Ended> {
    let deadline = Instant::now() + site.settings.timeout;
    let header = tokio::select! {
        header = header::read(stream, deadline, haproxy::parse) => header,
        () = stop.heard() => return Err(Ended::Stopped),
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
            session.log(Level::Info, None, words);
            Err(Ended::Closed)
        }
    }
}

async fn login(
    session: &Session,
    plain: Plain,
    ssl: bool,
    stop: Halt,
    summons: Halt,
) -> Result<Done<Upstream>, Ended> {
    let stream = if ssl {
        let timeout = session.site().settings.timeout;
        let deadline = Instant::now() + timeout;
        let mut stop = stop.clone();
        let accepted = tokio::select! {
            accepted = session.accept_tls(plain, deadline, false) => accepted,
            () = stop.heard() => return Err(Ended::Stopped),
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
    let (offer, timeout) = (site.offer.now(), site.settings.timeout);
    let patience = Patience {
        opening: timeout,
        step: timeout,
        whole: false,
        pipelines: false,
        hush: match site.words.name {
            "smtp" => site.settings.smtp_greeting_delay,
            _ => Duration::ZERO,
        },
        most: site.settings.max_commands,
    };
    let desk = Desk::new(session);
    let guest = session.guest();
    if site.words.name == words::POP3.name {
        let front = pop3::front::Front::new(offer, guest);
        admit(stream, front, &desk, session, session, patience, stop, summons).await
    } else {
        let front = imap::front::Front::new(offer, guest);
        admit(stream, front, &desk, session, session, patience, stop, summons).await
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
        Ended::Barred(bar) => (End::TlsFailed, Level::Info, bar.to_string()),
        Ended::Early => {
            (End::SpokeTooEarly, Level::Info, "client spoke before its greeting".to_owned())
        }
        Ended::TooMany => {
            (End::MaxCommands, Level::Info, "client sent too many commands".to_owned())
        }
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
        _ => "in auth state",
    };
    session.log(level, Some(doing), words);
}
