//! The error log, in nginx's exact shape, for those who grep it.
//!
//! ```text
//! 2026/11/20 18:22:18 [info] 71#2: *9 client login failed: "no" while in auth state, client: 192.0.2.7,
//! server: 192.0.2.1:143, login: "mrose", upstream: 10.0.0.5:143
//! ```
//!
//! One line in truth. The tail is what the session knows by then; [`Tail`] borrows it, mostly from
//! the session's access line.

mod level;
pub mod levels;
pub mod ring;

use std::cell::Cell;
use std::fmt::{self, Write};
use std::panic::Location;
use std::sync::Arc;
use std::time::SystemTime;

pub use level::Level;

use super::escape::{self, Style, Writer};
#[cfg(test)]
use super::sink::Memory;
use super::sink::{Error, Sink, Target};
use super::{Addr, clock};

/// The longest line, newline included: nginx's `NGX_MAX_ERROR_STR`.
pub const MAX_LINE: usize = 2048;

/// Where formatted text is cut: `...` and the newline still fit.
const END: usize = MAX_LINE - 4;

/// What a message may take where a tail follows, so that the tail is never lost.
const MAX_MESSAGE: usize = 1024;

/// What a login may take.
const MAX_LOGIN: usize = 320;

/// An error log: one or more targets, each from its own level up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    outputs: Box<[(Sink, Level)]>,
    /// The lowest level that any output wants.
    least: Option<Level>,
}

/// What a session adds to its lines. Borrowed, so making one costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    pub connection: u64,
    /// What it was doing, without the word `while`: `connecting to upstream`.
    pub doing: Option<&'static str>,
    pub client: &'a Addr,
    pub starttls: bool,
    pub server: &'a Addr,
    pub login: Option<&'a [u8]>,
    pub upstream: Option<&'a Addr>,
}

thread_local! {
    static TID: Cell<u32> = const { Cell::new(0) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Gives the calling thread its number for the `PID#TID` of its lines. A worker's is its index + 1.
pub fn number_thread(number: u32) {
    TID.set(number);
}

impl Log {
    /// Opens every target; files exist from then on.
    pub fn open(targets: &[(Target, Level)]) -> Result<Self, Error> {
        let open = |(target, level): &(Target, Level)| Ok((target.open()?, *level));
        Ok(Self::to(targets.iter().map(open).collect::<Result<_, Error>>()?))
    }

    /// A log that says nothing.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self::to(Vec::new())
    }

    /// A log that a test can read.
    #[cfg(test)]
    pub fn memory(level: Level) -> (Self, Memory) {
        let memory = Memory::default();
        (Self::to(vec![(Sink::Memory(memory.clone()), level)]), memory)
    }

    fn to(outputs: Vec<(Sink, Level)>) -> Self {
        let least = outputs.iter().map(|(_, level)| *level).min();
        Self(Arc::new(Inner { outputs: outputs.into(), least }))
    }

    /// Whether any target wants lines of `level`. Ask before work that only a line needs.
    #[track_caller]
    pub fn enabled(&self, level: Level) -> bool {
        let Some(least) = self.0.least else { return false };
        if !levels::any() {
            return level >= least;
        }
        let by_hand = levels::of(levels::room_of(Location::caller().file()), None);
        level >= by_hand.unwrap_or(least) || levels::some_session_wants(level)
    }

    /// Writes a line that belongs to no session, or to a connection before it is one.
    #[track_caller]
    pub fn line(&self, level: Level, connection: Option<u64>, message: impl fmt::Display) {
        if self.enabled(level) || level >= ring::LEAST {
            self.write(level, connection, &message, None, Location::caller().file());
        }
    }

    /// Writes a session's line. Network text in `message` goes between quotes, as [`escape::Quoted`].
    #[track_caller]
    pub fn session(&self, level: Level, tail: &Tail<'_>, message: impl fmt::Display) {
        if self.enabled(level) || level >= ring::LEAST {
            let file = Location::caller().file();
            self.write(level, Some(tail.connection), &message, Some(tail), file);
        }
    }

    fn write(
        &self,
        level: Level,
        connection: Option<u64>,
        message: &dyn fmt::Display,
        tail: Option<&Tail<'_>>,
        file: &str,
    ) {
        let by_hand = match levels::any() {
            true => levels::of(levels::room_of(file), tail),
            false => None,
        };
        let wants = |from: Level| match by_hand {
            // The most talkative ones; what others want is theirs.
            Some(by_hand) if Some(from) == self.0.least => level >= by_hand,
            Some(by_hand) => level >= from.max(by_hand),
            None => level >= from,
        };
        if level < ring::LEAST && !self.0.outputs.iter().any(|(_, from)| wants(*from)) {
            return;
        }
        // Taken, not borrowed: a message that itself logs while it is written gets a new one.
        let mut line = SCRATCH.take();
        line.clear();
        push_line(&mut line, SystemTime::now(), level, connection, message, tail);
        for (sink, from) in &self.0.outputs {
            if wants(*from) {
                sink.write(Some(level), &line);
            }
        }
        if level >= ring::LEAST {
            ring::keep(&line);
        }
        SCRATCH.set(line);
    }
}

fn push_line(
    line: &mut Vec<u8>,
    now: SystemTime,
    level: Level,
    connection: Option<u64>,
    message: &dyn fmt::Display,
    tail: Option<&Tail<'_>>,
) {
    clock::with(now, |stamp| line.extend_from_slice(stamp.error.as_bytes()));
    // Writing to a `Vec` cannot fail; a `Writer` fails when it is full, which is no error.
    let mut put = |end: usize, text: fmt::Arguments<'_>| {
        let _ = Writer { out: &mut *line, style: Style::Message, end }.write_fmt(text);
    };
    let (pid, tid) = (std::process::id(), TID.get());
    put(END, format_args!(" [{level}] {pid}#{tid}: "));
    if let Some(number) = connection {
        put(END, format_args!("*{number} "));
    }
    let room = if tail.is_some() { MAX_MESSAGE } else { END };
    put(room, format_args!("{message}"));
    if let Some(tail) = tail {
        push_tail(line, tail);
    }
    line.truncate(MAX_LINE - 1);
    line.push(b'\n');
}

fn push_tail(line: &mut Vec<u8>, tail: &Tail<'_>) {
    let mut put = |text: fmt::Arguments<'_>| {
        let _ = Writer { out: &mut *line, style: Style::Message, end: END }.write_fmt(text);
    };
    if let Some(doing) = tail.doing {
        put(format_args!(" while {doing}"));
    }
    put(format_args!(", client: {}", tail.client.host()));
    let starttls = if tail.starttls { " using starttls" } else { "" };
    put(format_args!("{starttls}, server: {}", tail.server));
    if let Some(login) = tail.login {
        line.extend_from_slice(b", login: \"");
        escape::push(line, login, Style::Quoted, MAX_LOGIN);
        line.push(b'"');
    }
    if let Some(upstream) = tail.upstream {
        let mut line = Writer { out: line, style: Style::Message, end: END };
        let _ = write!(line, ", upstream: {upstream}");
    }
}

#[cfg(test)]
mod tests;
