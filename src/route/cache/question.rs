//! What a kept route answers: everything in a login that a source may hang its answer on, and
//! nothing else. Pure.

use std::net::IpAddr;

use super::super::asker::Asker;
use super::super::template::parts;
use super::scope::Scope;
use crate::login::{Attempt, Mechanism};
use crate::memcached::Key;

/// Longer names than any real one are not kept.
pub const LONGEST_NAME: usize = 512;

/// The protocols whose routes are kept, and Zimbra's name of each where it has one. The place in
/// this list stands in keys: it only grows.
const PROTOCOLS: [(&str, Option<&str>); 6] = [
    ("imap", Some("imap")),
    ("pop3", Some("pop3")),
    ("http", Some("http")),
    ("smtp", None),
    ("lmtp", None),
    ("sieve", None),
];

/// How the login is proved, as far as a source may care. The place stands in keys.
const METHODS: [&str; 4] = ["plain", "xoauth2", "oauthbearer", "none"];

/// Whose route is asked for, and over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub scope: Scope,
    protocol: u8,
    /// TLS with the upstream from the first byte.
    secure: bool,
    pub who: Who,
    /// Where the client is: a part of Zimbra's keys alone.
    pub client: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Login {
        method: u8,
        /// As it is typed, letter case and all: some source may tell them apart.
        user: Box<[u8]>,
        authzid: Option<Box<[u8]>>,
        /// The address of ours that it came to, for a name without a domain: sources complete such
        /// a name by it.
        local: Option<IpAddr>,
    },
    /// An account by its id, as web sessions know it.
    Id { role: Role, id: Box<[u8]> },
}

/// Which of an account's web servers is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    User,
    Admin,
    /// Zextras' services.
    Zx,
}

const ROLES: [Role; 3] = [Role::User, Role::Admin, Role::Zx];

/// The bits of a key's third part.
const SECURE: u8 = 1;
const HAS_AUTHZID: u8 = 2;

impl Question {
    /// None where no route is ever kept: a name that is none, a mechanism whose secret the sources
    /// judge or hand out.
    pub fn of(attempt: &Attempt, asker: &Asker, scope: Scope) -> Option<Self> {
        // Of GSSAPI and of SCRAM something secret comes back; APOP and CRAM-MD5 want somebody who
        // checks; and what a certificate is worth is not for a cache to say.
        let method = match attempt.mechanism {
            Mechanism::Unasked => "none",
            with if with.brings_password() || with.brings_token() => with.method(),
            _ => return None,
        };
        if attempt.disproved {
            return None;
        }
        let (user, authzid) = match attempt.mechanism {
            Mechanism::Unasked => (attempt.mailbox(), None),
            _ => (&*attempt.user, attempt.authzid.clone()),
        };
        let is_fit = |name: &[u8]| (1..=LONGEST_NAME).contains(&name.len());
        if !is_fit(user) || !authzid.as_deref().is_none_or(is_fit) {
            return None;
        }
        let is_bare = |name: &[u8]| parts(name).1.is_none();
        let is_local = is_bare(user) || authzid.as_deref().is_some_and(is_bare);
        let who = Who::Login {
            method: place(&METHODS, method)?,
            user: user.into(),
            authzid,
            local: asker.local.ip().filter(|_| is_local),
        };
        let protocol = PROTOCOLS.iter().position(|(name, _)| *name == asker.protocol)?;
        let (protocol, secure) = (u8::try_from(protocol).ok()?, asker.secure_upstream);
        Some(Self { scope, protocol, secure, who, client: asker.client.ip() })
    }

    /// Where the web session of the account `id` is served.
    #[cfg(test)]
    pub fn by_id(scope: Scope, secure: bool, role: Role, id: &str) -> Option<Self> {
        let is_fit = (1..=LONGEST_NAME).contains(&id.len());
        let protocol = PROTOCOLS.iter().position(|(name, _)| *name == "http")?;
        let who = Who::Id { role, id: id.as_bytes().into() };
        let protocol = u8::try_from(protocol).ok()?;
        is_fit.then_some(Self { scope, protocol, secure, who, client: None })
    }

    /// A login with a password to `user`, over `protocol`: what a purge looks for.
    pub fn plain(scope: Scope, protocol: &str, secure: bool, user: &[u8]) -> Option<Self> {
        let protocol = PROTOCOLS.iter().position(|(name, _)| *name == protocol)?;
        let who = Who::Login { method: 0, user: user.into(), authzid: None, local: None };
        let is_fit = (1..=LONGEST_NAME).contains(&user.len());
        let protocol = u8::try_from(protocol).ok()?;
        is_fit.then_some(Self { scope, protocol, secure, who, client: None })
    }

    /// The protocols that there are routes for.
    pub fn protocols() -> impl Iterator<Item = &'static str> {
        PROTOCOLS.iter().map(|(name, _)| *name)
    }

    /// Zimbra's name for the protocol towards the upstream: `imap`, `imapssl`, …
    pub fn zimbra_protocol(&self) -> Option<&'static str> {
        Some(match (PROTOCOLS.get(usize::from(self.protocol))?.1?, self.secure) {
            ("imap", true) => "imapssl",
            ("pop3", true) => "pop3ssl",
            ("http", true) => "httpssl",
            (name, _) => name,
        })
    }

    /// Whether the client's password goes with it, and nothing else says who it is.
    pub fn is_by_password(&self) -> bool {
        matches!(&self.who, Who::Login { method: 0, authzid: None, .. })
    }

    pub fn is_by_id(&self) -> bool {
        matches!(self.who, Who::Id { .. })
    }

    /// The address of ours that the answer hangs on, if it does.
    pub fn local(&self) -> Option<IpAddr> {
        match self.who {
            Who::Login { local, .. } => local,
            Who::Id { .. } => None,
        }
    }

    /// The names in it, as they were typed.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let (user, authzid) = match &self.who {
            Who::Login { user, authzid, .. } => (Some(&**user), authzid.as_deref()),
            Who::Id { .. } => (None, None),
        };
        user.into_iter().chain(authzid)
    }

    /// What it is kept under in the process: short, and different for every question.
    pub fn to_bytes(&self) -> Box<[u8]> {
        // To the byte for most: a login makes one, and a box of it is not moved.
        let names = match &self.who {
            Who::Login { user, authzid, local, .. } => {
                let authzid = authzid.as_deref().map_or(0, |name| 2 + name.len());
                let local = local.map_or(0, |ip| if ip.is_ipv4() { 4 } else { 16 });
                2 + user.len() + authzid + local
            }
            Who::Id { id, .. } => 2 + id.len(),
        };
        let mut bytes = Vec::with_capacity(self.scope.to_bytes().len() + 3 + names);
        bytes.extend_from_slice(&self.scope.to_bytes());
        bytes.push(self.protocol);
        let secure = if self.secure { SECURE } else { 0 };
        match &self.who {
            Who::Login { method, user, authzid, local } => {
                bytes.push(secure | if authzid.is_some() { HAS_AUTHZID } else { 0 });
                bytes.push(*method);
                put(&mut bytes, user);
                if let Some(authzid) = authzid {
                    put(&mut bytes, authzid);
                }
                match local {
                    Some(IpAddr::V4(ip)) => bytes.extend_from_slice(&ip.octets()),
                    Some(IpAddr::V6(ip)) => bytes.extend_from_slice(&ip.octets()),
                    None => {}
                }
            }
            Who::Id { role, id } => {
                bytes.push(secure);
                bytes.push(BY_ID | *role as u8);
                put(&mut bytes, id);
            }
        }
        bytes.into()
    }

    /// Reads what [`Question::to_bytes`] made. The client's address is not in it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (scope, rest) = bytes.split_first_chunk()?;
        let (&[protocol, flags, method], rest) = rest.split_first_chunk()?;
        let (first, rest) = take(rest)?;
        let secure = flags & SECURE != 0;
        if usize::from(protocol) >= PROTOCOLS.len() || flags > (SECURE | HAS_AUTHZID) {
            return None;
        }
        let who = if method & BY_ID != 0 {
            let role = *ROLES.get(usize::from(method & !BY_ID))?;
            if !rest.is_empty() || flags & HAS_AUTHZID != 0 {
                return None;
            }
            Who::Id { role, id: first.into() }
        } else {
            let (authzid, rest) = match flags & HAS_AUTHZID != 0 {
                true => take(rest).map(|(name, rest)| (Some(name.into()), rest))?,
                false => (None, rest),
            };
            let local = match rest.len() {
                0 => None,
                4 => Some(IpAddr::from(<[u8; 4]>::try_from(rest).ok()?)),
                16 => Some(IpAddr::from(<[u8; 16]>::try_from(rest).ok()?)),
                _ => return None,
            };
            METHODS.get(usize::from(method))?;
            Who::Login { method, user: first.into(), authzid, local }
        };
        Some(Self { scope: Scope::of(*scope), protocol, secure, who, client: None })
    }

    /// The key in the shared cache: the same on every node whose sources are the same.
    pub fn key(&self) -> Key {
        let scope = self.scope.to_string();
        let protocol = PROTOCOLS.get(usize::from(self.protocol)).map_or("", |(name, _)| name);
        let security = if self.secure { "tls" } else { "" };
        let head = [scope.as_bytes(), protocol.as_bytes(), security.as_bytes()];
        match &self.who {
            Who::Login { method, user, authzid, local } => {
                let method = METHODS.get(usize::from(*method)).copied().unwrap_or_default();
                let local = local.map(|ip| ip.to_string()).unwrap_or_default();
                let authzid = authzid.as_deref().unwrap_or_default();
                let tail = [method.as_bytes(), user, authzid, local.as_bytes()];
                Key::of("route", &[&head[..], &tail[..]].concat())
            }
            Who::Id { role, id } => {
                let role: &[u8] = match role {
                    Role::User => b"user",
                    Role::Admin => b"admin",
                    Role::Zx => b"zx",
                };
                Key::of("id", &[&head[..], &[role, &**id]].concat())
            }
        }
    }
}

/// The names in what [`Question::to_bytes`] made: the login's and the one it acts for. What a purge
/// of a million entries looks at, so nothing is copied.
pub fn names_in(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let names = || {
        let (head, rest) = bytes.split_first_chunk::<11>()?;
        if head[10] & BY_ID != 0 {
            return None;
        }
        let (user, rest) = take(rest)?;
        let authzid = (head[9] & HAS_AUTHZID != 0).then(|| take(rest)).flatten();
        Some((user, authzid.map(|(name, _)| name)))
    };
    names().unwrap_or_default()
}

/// In place of a method: by an id, and what for.
const BY_ID: u8 = 0x80;

/// A text behind its length.
pub fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&text[..usize::from(length)]);
}

/// What [`put`] wrote, and what is behind it.
pub fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn place(all: &[&str], one: &str) -> Option<u8> {
    all.iter().position(|own| *own == one).and_then(|at| u8::try_from(at).ok())
}
