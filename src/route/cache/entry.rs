//! What is kept of a route: where it leads and under which names, in a few bytes. Pure.
//!
//! No secret, no verifier and no word that anybody has vouched for the login stands in it: a route
//! that hangs on such is not kept, and one that is read back says that the upstream is to judge.

use std::fmt;
use std::sync::Arc;

use super::super::group::{Chooser, Group, Groups, Server, Targets};
use super::super::template::parts;
use super::super::{Origin, Route};
use super::question::{self, LONGEST_NAME, Question};
use crate::http::Names;
use crate::tls::directives::Mode;

/// The form of [`Entry::to_bytes`]. What has another is not read.
const VERSION: u8 = 1;

/// Longer ones are neither written nor read.
pub const LONGEST: usize = 4096;

/// More servers are not kept.
const MOST_SERVERS: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub aim: Aim,
    /// As in [`Route`].
    pub user: Option<Box<[u8]>>,
    pub authzid: Option<Box<[u8]>>,
    pub security: Option<Mode>,
    pub handler: Option<Box<str>>,
    /// The account's name may stand for the typed one by itself.
    pub is_alias: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// By its name: its servers are what the configuration says they are.
    Group(Box<str>),
    /// As they were written.
    Servers(Vec<Server>),
}

/// What an entry is turned into a route with.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    pub groups: &'a Groups,
    pub names: &'a Names,
    pub chooser: &'a Chooser,
}

const GROUP: u8 = 1;
const USER: u8 = 2;
const AUTHZID: u8 = 4;
const HANDLER: u8 = 8;
const ALIAS: u8 = 16;
const SECURITY: u8 = 32 | 64;

const MODES: [Option<Mode>; 4] = [None, Some(Mode::Off), Some(Mode::On), Some(Mode::StartTls)];

impl Entry {
    /// None for a route that must not be kept, or cannot.
    pub fn of(route: &Route) -> Option<Self> {
        // Whoever may log in as the master is known by what he showed, and that is not kept.
        let hangs_on_more = route.secret.is_some() || route.verifier.is_some() || route.master;
        if !route.keepable || hangs_on_more {
            return None;
        }
        let aim = match &route.group {
            Some(group) => Aim::Group(group.name.as_str().into()),
            None => Aim::Servers(route.targets.servers().to_vec()),
        };
        let entry = Self {
            aim,
            user: route.user.clone(),
            authzid: route.authzid.clone(),
            security: route.security,
            handler: route.handler.clone(),
            is_alias: route.is_alias,
        };
        // What would not be read back as it is, is not written.
        (Self::read(&entry.to_bytes()).as_ref() == Some(&entry)).then_some(entry)
    }

    /// The route that is kept in it; none where the configuration has no such group any more.
    pub fn route(self, ground: &Ground<'_>, origin: Origin) -> Option<Route> {
        let (group, targets) = match self.aim {
            Aim::Group(name) => {
                let group: &Arc<Group> = ground.groups.get(&*name)?;
                (Some(Arc::clone(group)), group.targets(ground.names, ground.chooser))
            }
            Aim::Servers(servers) => (None, Targets::new(servers.into(), 0, ground.names)),
        };
        Some(Route {
            group,
            account: self.user.clone(),
            user: self.user,
            authzid: self.authzid,
            handler: self.handler,
            security: self.security,
            is_alias: self.is_alias,
            origin,
            keepable: true,
            ..Route::to(targets)
        })
    }

    /// The account that an answer to `question` is about, by the name that the sources have for it:
    /// the mailbox, not who acts for it.
    pub fn account<'a>(&'a self, question: &'a Question) -> &'a [u8] {
        let mut typed = question.names();
        let (user, authzid) = (typed.next().unwrap_or_default(), typed.next());
        match (authzid, &self.authzid) {
            (_, Some(authzid)) => authzid,
            (Some(authzid), None) => authzid,
            (None, None) => self.user.as_deref().unwrap_or(user),
        }
    }

    /// Whether the sources have another name for the account than the one that was typed.
    pub fn renames(&self, question: &Question) -> bool {
        let typed = question.names().last().unwrap_or_default();
        !self.account(question).eq_ignore_ascii_case(typed)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mode = MODES.iter().position(|mode| *mode == self.security).unwrap_or_default();
        let mut flags = (mode as u8) << 5;
        let mut bytes = vec![VERSION, 0];
        match &self.aim {
            Aim::Group(name) => {
                flags |= GROUP;
                question::put(&mut bytes, name.as_bytes());
            }
            Aim::Servers(servers) => {
                bytes.push(u8::try_from(servers.len()).unwrap_or(u8::MAX));
                for server in servers {
                    question::put(&mut bytes, server.to_string().as_bytes());
                }
            }
        }
        let texts = [
            (USER, self.user.as_deref()),
            (AUTHZID, self.authzid.as_deref()),
            (HANDLER, self.handler.as_deref().map(str::as_bytes)),
        ];
        for (flag, text) in texts {
            if let Some(text) = text {
                flags |= flag;
                question::put(&mut bytes, text);
            }
        }
        bytes[1] = flags | if self.is_alias { ALIAS } else { 0 };
        bytes
    }

    /// None for whatever [`Entry::to_bytes`] does not write: another version, a name that would
    /// break out of a line, a byte too many.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LONGEST {
            return None;
        }
        let (&[version, flags], mut rest) = bytes.split_first_chunk()?;
        if version != VERSION || flags & 128 != 0 {
            return None;
        }
        let aim = match flags & GROUP != 0 {
            true => Aim::Group(text(next(&mut rest)?)?.into()),
            false => {
                let (count, behind) = rest.split_first()?;
                rest = behind;
                if !(1..=MOST_SERVERS).contains(&usize::from(*count)) {
                    return None;
                }
                let servers = (0..*count).map(|_| server(next(&mut rest)?));
                Aim::Servers(servers.collect::<Option<_>>()?)
            }
        };
        let mut optional = |flag| match flags & flag != 0 {
            true => next(&mut rest).map(Some),
            false => Some(None),
        };
        let (user, authzid, handler) = (optional(USER)?, optional(AUTHZID)?, optional(HANDLER)?);
        if !rest.is_empty() {
            return None;
        }
        let name = |given: Option<&[u8]>| match given {
            Some(given) if is_name(given) => Some(Some(given.into())),
            Some(_) => None,
            None => Some(None),
        };
        let handler = match handler {
            Some(handler) => Some(text(handler)?.into()),
            None => None,
        };
        Some(Self {
            aim,
            user: name(user)?,
            authzid: name(authzid)?,
            security: *MODES.get(usize::from((flags & SECURITY) >> 5))?,
            handler,
            is_alias: flags & ALIAS != 0,
        })
    }
}

/// For an operator's eyes: `192.0.2.9:143 user=john@example.com tls=on`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.aim {
            Aim::Group(name) => write!(f, "{}", name.escape_debug())?,
            Aim::Servers(servers) => {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                write!(f, "{}", servers.join(",").escape_debug())?;
            }
        }
        for (what, name) in [("user", &self.user), ("authzid", &self.authzid)] {
            if let Some(name) = name {
                write!(f, " {what}={}", name.escape_ascii())?;
            }
        }
        match self.security {
            None => Ok(()),
            Some(Mode::Off) => f.write_str(" tls=off"),
            Some(Mode::On) => f.write_str(" tls=on"),
            Some(Mode::StartTls) => f.write_str(" tls=starttls"),
        }
    }
}

/// The names that the sources have for whom an entry is about. What a purge of a million entries
/// looks at, so nothing is copied, and servers are not read.
pub fn names_in(bytes: &[u8]) -> [Option<&[u8]>; 2] {
    let names = || {
        let (&[_, flags], mut rest) = bytes.split_first_chunk()?;
        let mut skip = 1;
        if flags & GROUP == 0 {
            let (count, behind) = rest.split_first()?;
            (skip, rest) = (usize::from(*count), behind);
        }
        for _ in 0..skip {
            next(&mut rest)?;
        }
        let mut optional = |flag| if flags & flag != 0 { next(&mut rest) } else { None };
        Some([optional(USER), optional(AUTHZID)])
    };
    names().unwrap_or_default()
}

/// What an account may be called: what an [`Attempt`](crate::login::Attempt) may hold.
pub fn is_name(name: &[u8]) -> bool {
    let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    (1..=LONGEST_NAME).contains(&name.len()) && !name.iter().any(breaks)
}

/// The domain of a name in lower case; empty for a name without one.
pub fn domain(name: &[u8]) -> Vec<u8> {
    parts(name).1.unwrap_or_default().to_ascii_lowercase()
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (text, behind) = question::take(rest)?;
    *rest = behind;
    Some(text)
}

/// Our own words: a group's name, a handler's address.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

fn server(bytes: &[u8]) -> Option<Server> {
    let text = text(bytes)?;
    let server = Server::parse(text).ok()?;
    (*server.text == *text).then_some(server)
}

/// What must hold for any bytes at all.
pub fn hold_for_any(input: &[u8]) {
    names_in(input);
    if let Some(entry) = Entry::read(input) {
        let written = entry.to_bytes();
        assert_eq!(Entry::read(&written), Some(entry.clone()));
        assert_eq!(written, input, "one entry has one form");
        assert_eq!(names_in(input), [entry.user.as_deref(), entry.authzid.as_deref()]);
        let names = [&entry.user, &entry.authzid].into_iter().flatten();
        names.for_each(|name| assert!(is_name(name)));
    }
}
