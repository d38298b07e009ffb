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
    /// Where it listens: `*:143` serves every address.
    pub listen: String,
    /// The virtual server's name.
    pub server: String,
    /// The domain of a login without one.
    pub domain: Option<String>,
}

/// Puts each local address together with the servers that listen at it. `listens`: the address, none
/// for a wildcard, and what it is assigned to.
pub fn assign(
    local: impl IntoIterator<Item = (String, IpAddr)>,
    listens: &[(Option<IpAddr>, Assigned)],
) -> Addresses {
    let mut addresses: Vec<_> = local
        .into_iter()
        .map(|(interface, address)| {
            let here = listens.iter().filter(|(at, _)| at.is_none_or(|at| at == address));
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
        let any = assigned("*:993", None);
        let local = || ["192.0.2.2", "192.0.2.1", "192.0.2.1"].map(|at| ("eth0".into(), ip(at)));
        let found = assign(local(), &[(Some(ip("192.0.2.1")), a.clone())]);
        assert_eq!(found.addresses.len(), 2);
        assert_eq!(found.addresses[0].assigned, std::slice::from_ref(&a));
        assert_eq!(found.addresses[1].assigned, []);
        let found = assign(local(), &[(Some(ip("192.0.2.1")), a.clone()), (None, any.clone())]);
        assert_eq!(found.addresses[0].assigned, [a, any.clone()]);
        assert_eq!(found.addresses[1].assigned, [any]);
    }
}
