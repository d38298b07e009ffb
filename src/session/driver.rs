//! The loop that carries a login dialogue over a connection.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::buffer::Buffer;
use super::upgrade::{Breach, Upgrade, Upgraded, clear_for_tls};
use crate::login::{Action, Attempt, Bar, Desk, Dialogue, Event, Granted, Kind, Refusal, Verdict};
use crate::net::Stream;
use crate::net::halt::Halt;
use crate::wire::Parsed;

/// How many commands one session may have answered before the others have their turn.
const TURN: u32 = 32;

/// How long the driver waits for its peer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first thing the peer says.
    pub opening: Duration,
    /// For each command after that; with `whole`, for all of them together.
    pub step: Duration,
    pub whole: bool,
    /// For everything before the login together, if that has an end: whoever drips whole commands
    /// would else stay for as long as they last. A ruling that has begun is waited for all the same.
    pub overall: Option<Duration>,
    /// Whether the peer is asked several things at once. One with Nagle's algorithm then holds its
    /// second answer back until the first is acknowledged, which takes 40 ms unless we see to it.
    pub pipelines: bool,
    /// Whether the peer has to wait for each thing that we say: an answer that is there before its
    /// question is not one.
    pub in_turn: bool,
    /// How long a client must keep silent before it is greeted (`smtp_greeting_delay`).
    pub hush: Duration,
    /// `max_commands`: how many elements the peer may send in all.
    pub most: u32,
}

/// What the driver tells its owner while it works.
pub trait Watcher: Sync {
    /// The peer said something whole for the first time: it greeted, or gave a first command.
    fn heard(&self);

    /// The peer broke its protocol, in words for the log.
    fn breach(&self, words: &str);

    /// The peer did something that is worth a line, and no breach.
    fn note(&self, _words: &str) {}

    /// So broken that nothing behind it can be read.
    fn out_of_step(&self, words: &str);

    /// A ruling has begun, or is over without a login: meanwhile the peer is not idle, however silent
    /// it is. The time that a refusal makes it wait is no part of it.
    fn ruling(&self, _is_going_on: bool) {}
}

/// How a dialogue came to its end.
#[derive(Debug)]
pub enum Done<P> {
    /// A front let its client in.
    Admitted { stream: Stream, unread: Vec<u8>, pass: P },
    /// A back has its answer.
    Settled { stream: Stream, unread: Vec<u8>, verdict: Verdict },
}

/// Why a dialogue ended without a login.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("the peer left")]
    Left,
    #[error("timed out after {0:?}")]
    Idle(Duration),
    #[error("closed by the dialogue")]
    Closed,
    #[error("spoke before it was greeted")]
    Early,
    #[error("sent too many commands")]
    TooMany,
    #[error("answered before it was asked")]
    OutOfTurn,
    #[error("gave way to another connection")]
    GaveWay,
    #[error(transparent)]
    Barred(#[from] Bar),
    #[error("gatepost is stopping")]
    Stopped,
    #[error(transparent)]
    Breach(#[from] Breach),
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
}

/// A desk for backs, which never ask for a ruling.
struct NoDesk;

impl Desk for NoDesk {
    type Pass = ();

    async fn rule(&self, _: Attempt) -> Result<((), Granted), Refusal> {
        Err(Refusal::new(Kind::Internal))
    }
}

/// Carries a client's login over `stream`, until it is let in or gone, or `stop` is heard, or it has
/// to give way to another client (`summons`). A client that we leave is told so, in its protocol's words.
pub async fn admit<D, K, U, W>(
    stream: Stream,
    front: D,
    desk: &K,
    upgrade: &U,
    watcher: &W,
    patience: Patience,
    mut stop: Halt,
    mut summons: Halt,
) -> Result<Done<K::Pass>, Ended>
where
    D: Dialogue,
    K: Desk,
    U: Upgrade,
    W: Watcher,
{
    let mut drive = Drive::new(stream, front, patience);
    let ended = tokio::select! {
        biased;
        done = drive.run(desk, upgrade, watcher) => done,
        () = stop.heard() => Err(Ended::Stopped),
        () = summons.heard() => Err(Ended::GaveWay),
    };
    let words = match &ended {
        Err(Ended::Stopped) => D::WORDS.shutting_down,
        Err(Ended::GaveWay) => D::WORDS.too_busy,
        Err(Ended::Early) => D::WORDS.spoke_too_early,
        Err(Ended::TooMany) => D::WORDS.too_many_commands,
        Err(Ended::Barred(bar)) => D::WORDS.barred(bar),
        Err(Ended::Idle(_)) => D::WORDS.timed_out,
        Err(Ended::Breach(_)) => D::WORDS.spoke_before_tls,
        _ => return ended,
    };
    // A dead or stalled peer cannot hear it: one try, no waiting.
    if let Some(stream) = &mut drive.stream {
        let goodbye = async {
            stream.write_all(words.as_bytes()).await?;
            stream.shutdown().await
        };
        let _ = tokio::time::timeout(Duration::from_millis(200), goodbye).await;
    }
    ended
}

/// Carries our own login at an upstream over `stream`, until it has answered.
pub async fn log_in<D, U, W>(
    stream: Stream,
    back: D,
    upgrade: &U,
    watcher: &W,
    patience: Patience,
) -> Result<Done<()>, Ended>
where
    D: Dialogue,
    U: Upgrade,
    W: Watcher,
{
    Drive::new(stream, back, patience).run(&NoDesk, upgrade, watcher).await
}

struct Drive<D> {
    /// Absent only while TLS begins.
    stream: Option<Stream>,
    unread: Buffer,
    dialogue: D,
    act: Vec<Action>,
    /// Said, and not written yet: one batch of actions is one write.
    said: Vec<u8>,
    patience: Patience,
    /// When the login must be over, if it must.
    end: Option<Instant>,
    deadline: Instant,
    /// The time that `deadline` was set from, for the error.
    granted: Duration,
}

impl<D: Dialogue> Drive<D> {
    fn new(stream: Stream, dialogue: D, patience: Patience) -> Self {
        let now = Instant::now();
        let mut drive = Self {
            stream: Some(stream),
            unread: Buffer::default(),
            dialogue,
            act: Vec::new(),
            said: Vec::new(),
            patience,
            end: patience.overall.and_then(|time| now.checked_add(time)),
            deadline: now,
            granted: patience.opening,
        };
        drive.grant(patience.opening);
        drive
    }

    async fn run<K, U, W>(
        &mut self,
        desk: &K,
        upgrade: &U,
        watcher: &W,
    ) -> Result<Done<K::Pass>, Ended>
    where
        K: Desk,
        U: Upgrade,
        W: Watcher,
    {
        self.hush().await?;
        let mut pass = None;
        let (mut heard, mut steps) = (false, 0_u32);
        self.dialogue.on(Event::Opened, &mut self.act);
        loop {
            // An action may bring an event, and that more actions: all of them before the next read.
            let mut batch = std::mem::take(&mut self.act).into_iter();
            while let Some(action) = batch.next() {
                match action {
                    Action::Say(_) | Action::SayInConfidence(_)
                        if self.patience.in_turn && !self.unread.unread().is_empty() =>
                    {
                        return Err(Ended::OutOfTurn);
                    }
                    Action::Say(bytes) => self.say(&bytes),
                    Action::SayInConfidence(secret) => self.say(secret.reveal()),
                    Action::Breach(words) => watcher.breach(&words),
                    Action::Note(words) => watcher.note(&words),
                    Action::OutOfStep(words) => watcher.out_of_step(&words),
                    Action::StartTls => {
                        self.start_tls(upgrade).await?;
                    }
                    Action::Consult(question) => {
                        self.flush().await?;
                        let advice = self.wait_for(desk.advise(question), watcher).await?;
                        watcher.ruling(false);
                        self.dialogue.on(Event::Advised(advice), &mut self.act);
                    }
                    Action::Rule(attempt) => {
                        self.flush().await?;
                        let ruling = self.wait_for(desk.rule(attempt), watcher).await?;
                        let ruling = ruling.map(|(allowed, granted)| {
                            pass = Some(allowed);
                            granted
                        });
                        self.dialogue.on(Event::Ruled(ruling), &mut self.act);
                    }
                    Action::Admit => {
                        self.flush().await?;
                        let pass = pass.take().ok_or(Ended::Closed)?;
                        let (stream, unread) = self.give_up()?;
                        return Ok(Done::Admitted { stream, unread, pass });
                    }
                    Action::Settle(verdict) => {
                        let (stream, unread) = self.give_up()?;
                        return Ok(Done::Settled { stream, unread, verdict });
                    }
                    Action::Close => {
                        self.flush().await?;
                        self.close().await;
                        return Err(Ended::Closed);
                    }
                }
                if batch.len() == 0 && !self.act.is_empty() {
                    batch = std::mem::take(&mut self.act).into_iter();
                }
            }
            if self.step() {
                steps += 1;
                if steps > self.patience.most {
                    return Err(Ended::TooMany);
                }
                // Whoever pipelines thousands of commands must not keep the others waiting.
                if steps % TURN == 0 {
                    tokio::task::yield_now().await;
                }
                // The next command gets its own time, unless all of them share one.
                if !heard || !self.patience.whole {
                    self.grant(self.patience.step);
                }
                if !heard {
                    watcher.heard();
                }
                heard = true;
                continue;
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    /// Takes one command off the front of what is unread. False: more bytes are needed.
    fn step(&mut self) -> bool {
        let used = match self.dialogue.parse(self.unread.unread()) {
            Parsed::Whole(command, used) => {
                self.dialogue.on(Event::Command(command), &mut self.act);
                used
            }
            Parsed::Broken(breach, used) => {
                self.dialogue.on(Event::Breach(breach), &mut self.act);
                used
            }
            Parsed::More => return false,
        };
        self.unread.step_over(used);
        true
    }

    fn grant(&mut self, time: Duration) {
        let due = Instant::now() + time;
        self.deadline = self.end.map_or(due, |end| due.min(end));
        self.granted = time;
    }

    fn say(&mut self, bytes: &[u8]) {
        // By hand: a vector that grows leaves an unwiped copy of a password behind.
        if self.said.capacity() - self.said.len() < bytes.len() {
            let mut grown =
                Vec::with_capacity((self.said.len() + bytes.len()).next_power_of_two().max(512));
            grown.extend_from_slice(&self.said);
            zeroize::Zeroize::zeroize(&mut self.said);
            self.said = grown;
        }
        self.said.extend_from_slice(bytes);
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.said.is_empty() {
            return Ok(());
        }
        let stream = self.stream.as_mut().ok_or(Ended::Closed)?;
        let write = async {
            stream.write_all(&self.said).await?;
            stream.flush().await
        };
        let written = timeout_at(self.deadline, write).await;
        if self.patience.pipelines {
            stream.acknowledge_at_once();
        }
        zeroize::Zeroize::zeroize(&mut self.said);
        self.said.clear();
        written.map_err(|_| Ended::Idle(self.granted))?.map_err(left_or_failed)
    }

    async fn read(&mut self) -> Result<(), Ended> {
        let stream = self.stream.as_mut().ok_or(Ended::Closed)?;
        if self.unread.is_full() {
            // The dialogue bounds its commands far below this, so it is a dialogue's bug.
            return Err(Ended::Closed);
        }
        match timeout_at(self.deadline, self.unread.fill(stream)).await {
            Ok(Ok(0)) => Err(Ended::Left),
            Ok(read) => read.map(drop).map_err(left_or_failed),
            Err(_) => Err(Ended::Idle(self.granted)),
        }
    }

    async fn start_tls<U: Upgrade>(&mut self, upgrade: &U) -> Result<(), Ended> {
        // Before the reply: a client may begin its handshake only once it has seen it.
        clear_for_tls(self.unread.unread())?;
        self.flush().await?;
        let Some(Stream::Plain(plain)) = self.stream.take() else { return Err(Ended::Closed) };
        let secured = timeout_at(self.deadline, upgrade.start_tls(plain)).await;
        let Upgraded { stream, secured, barred } =
            secured.map_err(|_| Ended::Idle(self.granted))?.map_err(Ended::Tls)?;
        self.stream = Some(stream);
        if let Some(bar) = barred {
            return Err(bar.into());
        }
        self.grant(self.patience.step);
        self.dialogue.on(Event::Secured(secured), &mut self.act);
        Ok(())
    }

    /// Leaves a client time to show that it does not wait for its greeting.
    async fn hush(&mut self) -> Result<(), Ended> {
        if self.patience.hush.is_zero() {
            return Ok(());
        }
        let stream = self.stream.as_mut().ok_or(Ended::Closed)?;
        match tokio::time::timeout(self.patience.hush, self.unread.fill(stream)).await {
            Err(_) => {
                self.grant(self.patience.opening);
                Ok(())
            }
            Ok(Ok(0)) => Err(Ended::Left),
            Ok(Ok(_)) => Err(Ended::Early),
            Ok(Err(error)) => Err(left_or_failed(error)),
        }
    }

    /// Waits for the desk, and watches the client meanwhile.
    async fn wait_for<T>(
        &mut self,
        ruling: impl Future<Output = Result<T, Refusal>>,
        watcher: &impl Watcher,
    ) -> Result<Result<T, Refusal>, Ended> {
        let stream = self.stream.as_mut().ok_or(Ended::Closed)?;
        watcher.ruling(true);
        let ruling = async {
            let ruling = ruling.await;
            if let Err(refusal) = &ruling {
                watcher.ruling(false);
                tokio::time::sleep(refusal.wait).await;
            }
            ruling
        };
        tokio::pin!(ruling);
        let mut watching = true;
        let ruled = loop {
            tokio::select! {
                biased;
                ruled = &mut ruling => break ruled,
                read = self.unread.fill(stream), if watching && !self.unread.is_far_ahead() => match read {
                    // Whoever has pipelined commands and closed its side may still be listening.
                    Ok(0) if self.unread.unread().is_empty() => return Err(Ended::Left),
                    Ok(0) => watching = false,
                    Ok(_) => {}
                    Err(error) => return Err(left_or_failed(error)),
                },
            }
        };
        self.grant(self.patience.step);
        Ok(ruled)
    }

    async fn close(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.shutdown()).await;
        }
    }

    fn give_up(&mut self) -> Result<(Stream, Vec<u8>), Ended> {
        let stream = self.stream.take().ok_or(Ended::Closed)?;
        Ok((stream, std::mem::take(&mut self.unread).take()))
    }
}

fn left_or_failed(error: io::Error) -> Ended {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionReset | UnexpectedEof => Ended::Left,
        _ => Ended::Io(error),
    }
}
