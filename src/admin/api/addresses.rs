//! `addresses`: which of this machine's addresses serves which domain.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub addresses: Vec<Address>,
}

/// One local address. Where no server listens at it, it is unassigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub address: IpAddr,
    pub interface: String,
    pub assigned: Vec<Assigned>,
}

/// What a server makes of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Where it listens: `0.0.0.0:143` serves every address of IPv4.
    pub listen: String,
    /// The virtual server's name.
    pub server: String,
    /// The domain of a login without one.
    pub domain: Option<String>,
}

/// Which local addresses a socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    One(IpAddr),
    V4,
    V6,
    /// `[::]` with `ipv6only=off`.
    All,
}

impl Reach {
    /// Of a socket that is bound to `address`.
    pub fn of(address: IpAddr, is_v6_alone: bool) -> Self {
        match address {
            address if !address.is_unspecified() => Self::One(address),
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) if is_v6_alone => Self::V6,
            IpAddr::V6(_) => Self::All,
        }
    }

    fn has(self, address: IpAddr) -> bool {
        match self {
            Self::One(one) => one == address,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::All => true,
        }
    }
}

/// Puts each local address together with the servers that listen at it.
pub fn assign(
    local: impl IntoIterator<Item = (String, IpAddr)>,
    listens: &[(Reach, Assigned)],
) -> Addresses {
    let mut addresses: Vec<_> = local
        .into_iter()
        .map(|(interface, address)| {
            let here = listens.iter().filter(|(at, _)| at.has(address));
            let assigned = here.map(|(_, assigned)| assigned.clone()).collect();
            Address { address, interface, assigned }
        })
        .collect();
    addresses.sort_by_key(|address| address.address);
    addresses.dedup_by(|one, other| one.address == other.address);
    Addresses { addresses }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_server_is_unassigned() {
        let assigned = |listen: &str, domain: Option<&str>| Assigned {
            listen: listen.into(),
            server: "mail".into(),
            domain: domain.map(Into::into),
        };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let a = assigned("192.0.2.1:143", Some("a.example"));
        let any = assigned("0.0.0.0:993", None);
        let local = || ["192.0.2.2", "192.0.2.1", "192.0.2.1"].map(|at| ("eth0".into(), ip(at)));
        let found = assign(local(), &[(Reach::One(ip("192.0.2.1")), a.clone())]);
        assert_eq!(found.addresses.len(), 2);
        assert_eq!(found.addresses[0].assigned, std::slice::from_ref(&a));
        assert_eq!(found.addresses[1].assigned, []);
        let listens = [(Reach::One(ip("192.0.2.1")), a.clone()), (Reach::V4, any.clone())];
        let found = assign(local(), &listens);
        assert_eq!(found.addresses[0].assigned, [a, any.clone()]);
        assert_eq!(found.addresses[1].assigned, [any]);
    }

    #[test]
    fn a_wildcard_serves_its_own_family() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        for (bound, is_v6_alone, serves) in [
            ("0.0.0.0", true, [true, false]),
            ("::", true, [false, true]),
            ("::", false, [true, true]),
            ("192.0.2.1", true, [true, false]),
            ("2001:db8::1", false, [false, true]),
        ] {
            let reach = Reach::of(bound.parse().unwrap(), is_v6_alone);
            assert_eq!([reach.has(v4), reach.has(v6)], serves, "{bound} {is_v6_alone}");
        }
    }
}
