//! Zimbra's entries: logical keys and values, as its proxy writes and reads them. Pure.
//!
//! A value is an address and a port, or an account's name, and nothing vouches for it. So nothing
//! else is taken out of one: whatever is longer, has another byte, or leads to a host's name is no
//! entry.

use std::net::{IpAddr, SocketAddr};

use super::super::group::Server;
use super::super::template::parts;
use super::entry::{Aim, Entry};
use super::question::{Question, Role, Who};
use crate::memcached::Key;
use crate::net::addr::plain;

/// What Zimbra calls each protocol towards upstreams.
pub const PROTOCOLS: [&str; 6] = ["http", "imap", "pop3", "httpssl", "imapssl", "pop3ssl"];

/// The longest value: an account's name.
const LONGEST: usize = 256;

/// By whom, or from where, an alias is used.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    Client(IpAddr),
    /// Web logins: the `Host` they were sent to.
    Host(&'a str),
}

/// `alias:user=john;ip=192.0.2.7`, `alias:user=john;vhost=mail.example.com`
pub fn alias(user: &[u8], by: By<'_>) -> Key {
    let end = match by {
        By::Client(ip) => format!(";ip={ip}"),
        By::Host(host) => format!(";vhost={host}"),
    };
    Key::verbatim([b"alias:user=", user, end.as_bytes()].concat())
}

/// `route:proto=imapssl;user=john@example.com`, `route:proto=imapssl;user=john@192.0.2.7`: a name
/// without a domain is the client's own.
pub fn route(protocol: &str, user: &[u8], client: Option<IpAddr>) -> Key {
    let at = match (parts(user).1, client) {
        (None, Some(ip)) => format!("@{ip}"),
        _ => String::new(),
    };
    let key = [b"route:proto=", protocol.as_bytes(), b";user=", user, at.as_bytes()];
    Key::verbatim(key.concat())
}

/// `route:proto=httpssl;admin=1;id=cc00ce85-…`
pub fn id(protocol: &str, role: Role, id: &[u8]) -> Key {
    let role: &[u8] = match role {
        Role::User => b"",
        Role::Admin => b"admin=1;",
        Role::Zx => b"zx=1;",
    };
    Key::verbatim([b"route:proto=", protocol.as_bytes(), b";", role, b"id=", id].concat())
}

/// The address in a route's value.
pub fn read_server(value: &[u8]) -> Option<Server> {
    // `[v6]:port`: a zone would be somebody else's.
    if value.len() > "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535".len()
        || value.contains(&b'%')
    {
        return None;
    }
    let address: SocketAddr = std::str::from_utf8(value).ok()?.parse().ok()?;
    let is_somewhere = address.port() != 0 && !address.ip().is_unspecified();
    is_somewhere.then(|| Server::parse(&plain(address).to_string()).ok()).flatten()
}

/// The account's name in an alias' value.
pub fn read_account(value: &[u8]) -> Option<&[u8]> {
    let is_part = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    let is_fit = (1..=LONGEST).contains(&value.len()) && value.iter().all(is_part);
    is_fit.then_some(value)
}

/// What is asked of the cache for a question.
#[derive(Debug)]
pub struct Asked {
    pub alias: Option<Key>,
    pub route: Key,
    protocol: &'static str,
    client: Option<IpAddr>,
    user: Box<[u8]>,
}

impl Asked {
    /// None for what Zimbra has no entries for.
    pub fn of(question: &Question) -> Option<Self> {
        let protocol = question.zimbra_protocol()?;
        let client = question.client;
        match &question.who {
            Who::Login { user, .. } if question.is_by_password() => Some(Self {
                alias: client.map(|ip| alias(user, By::Client(ip))),
                route: route(protocol, user, client),
                protocol,
                client,
                user: user.clone(),
            }),
            Who::Id { role, id: one } => Some(Self {
                alias: None,
                route: id(protocol, *role, one),
                protocol,
                client: None,
                user: Box::default(),
            }),
            Who::Login { .. } => None,
        }
    }

    /// Where the account is that the alias stands for.
    pub fn account(&self, account: &[u8]) -> Key {
        route(self.protocol, account, self.client)
    }

    /// What the two values say.
    pub fn entry(&self, account: Option<&[u8]>, server: Server) -> Entry {
        let account = account.filter(|account| **account != *self.user);
        Entry {
            aim: Aim::Servers(vec![server]),
            user: account.map(Into::into),
            authzid: None,
            security: None,
            handler: None,
            is_alias: account.is_some(),
        }
    }

    /// What is written for `entry`, the alias last; nothing where it cannot be said in this form.
    pub fn write(&self, entry: &Entry) -> Vec<(Key, Vec<u8>)> {
        let Aim::Servers(servers) = &entry.aim else { return Vec::new() };
        let ([server], None, None) = (servers.as_slice(), &entry.security, &entry.authzid) else {
            return Vec::new();
        };
        let server = server.to_string().into_bytes();
        if read_server(&server).is_none() {
            return Vec::new();
        }
        match (&entry.user, &self.alias) {
            (None, _) => vec![(self.route.clone(), server)],
            (Some(account), alias) if read_account(account).is_some() => {
                let mut both = vec![(self.account(account), server)];
                // A name without a domain means another account at another address of ours, which
                // the key does not tell, unless the source says that it means this one anywhere.
                let is_one_account = entry.is_alias || parts(&self.user).1.is_some();
                if let Some(alias) = alias.clone().filter(|_| is_one_account) {
                    both.push((alias, account.to_vec()));
                }
                both
            }
            _ => Vec::new(),
        }
    }

    /// Whether `key` has the client's address in it.
    pub fn is_of_client(&self, key: &Key) -> bool {
        let end = self.client.map(|ip| format!("@{ip}"));
        let is_route = end.is_some_and(|end| key.as_bytes().ends_with(end.as_bytes()));
        is_route || self.alias.as_ref() == Some(key)
    }

    /// Every key that an entry may lie under.
    pub fn keys(&self, account: &[u8]) -> Vec<Key> {
        let mut keys = vec![self.route.clone()];
        if !account.is_empty() {
            keys.push(self.account(account));
        }
        keys.extend(self.alias.clone());
        keys
    }
}

/// What a purge of `user` deletes beside what it knows to be there: spec, as `zmproxypurge` has it,
/// for those of our addresses in `locals`.
pub fn candidates(user: &[u8], locals: &[IpAddr]) -> Vec<Key> {
    let (uid, domain) = parts(user);
    let mut keys = Vec::new();
    for protocol in PROTOCOLS {
        keys.push(route(protocol, user, None));
        keys.push(route(protocol, uid, None));
        keys.extend(locals.iter().map(|ip| route(protocol, uid, Some(*ip))));
    }
    for name in [user, uid] {
        keys.extend(locals.iter().map(|ip| alias(name, By::Client(*ip))));
        if let Some(domain) = domain.and_then(|domain| std::str::from_utf8(domain).ok()) {
            keys.push(Key::verbatim([b"alias:user=", name, b";ip=", domain.as_bytes()].concat()));
            keys.push(alias(name, By::Host(domain)));
        }
    }
    keys.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    keys.dedup();
    keys
}

/// What must hold for any bytes at all.
pub fn hold_for_any(input: &[u8]) {
    if let Some(server) = read_server(input) {
        let text = server.to_string();
        assert!(text.parse::<SocketAddr>().is_ok(), "{text}");
        assert_eq!(read_server(text.as_bytes()), Some(server));
    }
    if let Some(name) = read_account(input) {
        assert!(super::entry::is_name(name));
    }
}
