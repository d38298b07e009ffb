//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// Every address of every interface, with the interface's name. Loopback is among them.
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let found = getifaddrs()?.filter_map(|one| {
        let storage = one.address?;
        let v4 = storage.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
        let ip = v4.or_else(|| storage.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))?;
        Some((one.interface_name, ip))
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        let found = addresses().unwrap();
        assert!(found.iter().any(|(_, ip)| ip.is_loopback()), "{found:?}");
    }
}
