//! Levels that were set by hand, while the process runs.
//!
//! A level holds for all lines, for those of one room of the source (its folder in `src/`), or for
//! the sessions of one user, one upstream server or one client. Of several the most particular one
//! holds. It stands in for the level of a log's most talkative targets; what a quieter target wants
//! is never made more by it, and never less than asked for by hand.
//!
//! It holds for the whole process and costs nothing where none is set.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::{Level, Tail};
use crate::observe::Addr;

/// The rooms that log.
pub const ROOMS: &[&str] = &["admin", "boot", "memcached", "observe", "proxy", "route", "throttle"];

/// More than these no admin sets.
const MOST: usize = 100;

/// Whose lines. Ordered: the most particular last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    All,
    Room(&'static str),
    /// A server, as logs name it.
    Upstream(String),
    Client(IpAddr),
    /// A login, as the client gave it.
    User(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    pub subject: Subject,
    pub level: Level,
    /// When it ends by itself.
    pub until: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("there is no module \"{0}\"")]
    Unknown(String),
    #[error("{MOST} levels are set by hand, and that is enough")]
    TooMany,
}

static ANY: AtomicBool = AtomicBool::new(false);
static SET: ArcSwapOption<Vec<ByHand>> = ArcSwapOption::const_empty();
/// One change at a time.
static CHANGING: Mutex<()> = Mutex::new(());

impl Subject {
    /// Reads `all`, a room, `user:NAME`, `upstream:SERVER` or `client:ADDRESS`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let unknown = || Fault::Unknown(text.to_owned());
        Ok(match text.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Self::User(name.to_owned()),
            Some(("upstream", name)) if !name.is_empty() => Self::Upstream(name.to_owned()),
            Some(("client", ip)) => Self::Client(ip.parse().map_err(|_| unknown())?),
            Some(_) => return Err(unknown()),
            None if text == "all" => Self::All,
            None => Self::Room(ROOMS.iter().find(|room| **room == text).ok_or_else(unknown)?),
        })
    }

    fn is_of(&self, room: &str, tail: Option<&Tail<'_>>) -> bool {
        match (self, tail) {
            (Self::All, _) => true,
            (Self::Room(own), _) => *own == room,
            (_, None) => false,
            (Self::User(name), Some(tail)) => {
                tail.login.is_some_and(|login| login.eq_ignore_ascii_case(name.as_bytes()))
            }
            (Self::Client(ip), Some(tail)) => match tail.client {
                Addr::Ip(client) => client.ip().to_canonical() == ip.to_canonical(),
                Addr::Unix(_) => false,
            },
            (Self::Upstream(name), Some(tail)) => tail
                .upstream
                .is_some_and(|up| up.to_string() == *name || up.host().to_string() == *name),
        }
    }

    fn is_of_sessions(&self) -> bool {
        matches!(self, Self::User(_) | Self::Client(_) | Self::Upstream(_))
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Room(room) => f.write_str(room),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Client(ip) => write!(f, "client:{ip}"),
            Self::Upstream(name) => write!(f, "upstream:{name}"),
        }
    }
}

/// Sets a level, or takes it back.
pub fn set(subject: Subject, level: Option<Level>, until: Option<Instant>) -> Result<(), Fault> {
    let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = list();
    all.retain(|own| own.subject != subject);
    if let Some(level) = level {
        if all.len() >= MOST {
            return Err(Fault::TooMany);
        }
        all.push(ByHand { subject, level, until });
    }
    put(all);
    Ok(())
}

/// Takes back all of them, and says how many there were.
pub fn clear() -> usize {
    let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let count = list().len();
    put(Vec::new());
    count
}

fn put(mut all: Vec<ByHand>) {
    all.sort_by(|one, other| one.subject.cmp(&other.subject));
    ANY.store(!all.is_empty(), Ordering::Relaxed);
    SET.store((!all.is_empty()).then(|| Arc::new(all)));
}

/// What is in force.
pub fn list() -> Vec<ByHand> {
    let now = Instant::now();
    let all = SET.load();
    let live = all.iter().flat_map(|all| all.iter());
    live.filter(|own| own.until.is_none_or(|until| now < until)).cloned().collect()
}

/// Whether any is set.
pub fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// The level for a line of that room and session.
pub fn of(room: &str, tail: Option<&Tail<'_>>) -> Option<Level> {
    let all = SET.load();
    let now = Instant::now();
    let mut own = all.iter().flat_map(|all| all.iter().rev());
    let found =
        own.find(|own| own.until.is_none_or(|until| now < until) && own.subject.is_of(room, tail));
    found.map(|own| own.level)
}

/// Whether some session's line of `level` may be wanted.
pub fn some_session_wants(level: Level) -> bool {
    let all = SET.load();
    let mut all = all.iter().flat_map(|all| all.iter());
    all.any(|own| own.subject.is_of_sessions() && level >= own.level)
}

/// The room that a source file belongs to.
pub fn room_of(file: &str) -> &str {
    let inner = file.rsplit_once("src/").map_or(file, |(_, inner)| inner);
    inner.split('/').next().unwrap_or(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_is_one() {
        let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for room in ROOMS {
            assert!(src.join(room).is_dir(), "{room}");
        }
        assert_eq!(room_of("src/route/handler/mod.rs"), "route");
        assert_eq!(room_of("/usr/src/gatepost/src/proxy/accept.rs"), "proxy");
        assert_eq!(room_of(file!()), "observe");
    }

    #[test]
    fn a_subject_is_read_as_it_is_shown() {
        for text in
            ["all", "route", "user:mrose@a.example", "client:2001:db8::1", "upstream:10.0.0.1:143"]
        {
            assert_eq!(Subject::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "kitchen", "user:", "client:x", "upstream:", "wire:x", "All"] {
            assert!(Subject::parse(wrong).is_err(), "{wrong}");
        }
    }
}
