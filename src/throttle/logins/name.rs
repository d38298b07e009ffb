//! Whom a count is about, and the keys it has in the process and in the cache.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::memcached::Key;
use crate::observe::escape::Quoted;

/// A network of clients: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Net {
    base: IpAddr,
    bits: u8,
}

impl Net {
    /// The network of `v4` or `v6` bits that `ip` lies in; IPv4 within IPv6 is IPv4.
    pub fn of(ip: IpAddr, v4: u8, v6: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let bits = v4.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self { base: Ipv4Addr::from_bits(ip.to_bits() & mask).into(), bits }
            }
            IpAddr::V6(ip) => {
                let bits = v6.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self { base: Ipv6Addr::from_bits(ip.to_bits() & mask).into(), bits }
            }
        }
    }

    /// What counts as one address: all of IPv4, and a /64 of IPv6, all of which one client has.
    pub fn address(ip: IpAddr) -> Self {
        Self::of(ip, 32, 64)
    }
}

/// As an admin writes it: a single address without its bits.
impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.base, self.bits) {
            (IpAddr::V4(ip), 32) => ip.fmt(f),
            (base, bits) => write!(f, "{base}/{bits}"),
        }
    }
}

/// Whom a count is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Address(Net),
    Network(Net),
    /// All users who are known at an address, together.
    Crowd(Net),
    /// As it is looked up, in lower case.
    User(Box<[u8]>),
    /// A user at an address that he is known at.
    Pair(Box<[u8]>, Net),
    /// An account by all its names.
    Account(Box<[u8]>),
}

/// How much of a user's name is kept for those who ask: a client chooses its length.
const SHOWN: usize = 96;

impl Name {
    pub fn user(user: &[u8]) -> Self {
        Self::User(Self::shown(user).into())
    }

    pub fn account(account: &[u8]) -> Self {
        Self::Account(Self::shown(account).into())
    }

    pub fn pair(user: &[u8], at: Net) -> Self {
        Self::Pair(Self::shown(user).into(), at)
    }

    /// What is kept of a user's name.
    pub fn shown(user: &[u8]) -> &[u8] {
        &user[..user.len().min(SHOWN)]
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(net) | Self::Network(net) | Self::Crowd(net) => net.fmt(f),
            Self::User(user) | Self::Account(user) => write!(f, "\"{}\"", Quoted(user)),
            Self::Pair(user, at) => write!(f, "\"{}\" at {at}", Quoted(user)),
        }
    }
}

/// Makes keys of names that nobody outside can foresee: SipHash, with a key of this process.
#[derive(Debug, Default)]
pub struct Hasher(RandomState);

impl Hasher {
    pub fn net(&self, net: Net) -> u64 {
        self.0.hash_one(('n', net))
    }

    /// Of all who are known at an address together.
    pub fn crowd(&self, address: Net) -> u64 {
        self.0.hash_one(('c', address))
    }

    pub fn user(&self, user: &[u8]) -> u64 {
        self.0.hash_one(('u', user))
    }

    pub fn pair(&self, user: &[u8], at: Net) -> u64 {
        self.0.hash_one(('p', user, at))
    }

    pub fn account(&self, account: &[u8]) -> u64 {
        self.0.hash_one(('a', account))
    }

    /// Of what an account has failed at an address.
    pub fn account_at(&self, account: &[u8], at: Net) -> u64 {
        self.0.hash_one(('m', account, at))
    }

    pub fn text(&self, text: &[u8]) -> u64 {
        self.0.hash_one(('t', text))
    }
}

/// What a count is of, as the cache's keys say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    Net(Net),
    User(&'a [u8]),
    Pair(&'a [u8], Net),
    /// An account by all its names.
    Account(&'a [u8]),
}

/// The key of one kind of entry (`failed`, `forgiven`, `known`) in the cache that all nodes share.
pub fn key(kind: &str, of: Of<'_>) -> Key {
    let net = |net: Net| net.to_string().into_bytes();
    match of {
        Of::Net(of) => Key::of("login", &[kind.as_bytes(), b"net", &net(of)]),
        Of::User(user) => Key::of("login", &[kind.as_bytes(), b"user", user]),
        Of::Account(user) => Key::of("login", &[kind.as_bytes(), b"account", user]),
        Of::Pair(user, at) => Key::of("login", &[kind.as_bytes(), b"pair", user, &net(at)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_one_client_has() {
        for (ip, address, network) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2ff:4:5:6:7", "2001:db8:1:2ff::/64", "2001:db8:1:200::/56"),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(Net::address(ip).to_string(), address);
            assert_eq!(Net::of(ip, 24, 56).to_string(), network);
            assert_eq!(Net::of(ip, 0, 0).to_string().split('/').next_back(), Some("0"));
        }
    }

    #[test]
    fn no_two_names_share_a_key() {
        let at = Net::address("192.0.2.7".parse().unwrap());
        let all = [
            key("failed", Of::Net(at)),
            key("forgiven", Of::Net(at)),
            key("failed", Of::User(b"192.0.2.7")),
            key("failed", Of::Account(b"a")),
            key("failed", Of::User(b"a")),
            key("failed", Of::Pair(b"", at)),
            key("failed", Of::Pair(b"a", at)),
            key("known", Of::Pair(b"a", at)),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{one:?}");
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_its_line() {
        let name = Name::user(b"a\"\r\n[alert] b");
        assert_eq!(name.to_string(), "\"a\\x22\\x0D\\x0A[alert] b\"");
        assert!(Name::user(&[b'x'; 9999]).to_string().len() <= SHOWN + 2);
    }
}
