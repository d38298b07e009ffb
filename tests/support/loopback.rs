//! Addresses of 127/8, each for one party of one test run.

use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// A loopback address that no other party of any test run on this machine has.
///
/// Each process holds /24 networks of 127/8, locked by an abstract socket that the kernel lets go of
/// when the process ends however it ends, so ports never clash and never are free "just now".
pub fn fresh_ip() -> Ipv4Addr {
    static HELD: Mutex<Option<Network>> = Mutex::new(None);
    struct Network {
        /// Held, not used: the lock.
        _locks: Vec<UnixListener>,
        number: u16,
        next: u8,
    }

    let mut held = HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let is_spent = held.as_ref().is_none_or(|network| network.next == u8::MAX);
    if is_spent {
        let from = std::process::id() as u16;
        let (number, lock) = (0..u16::MAX)
            .map(|step| from.wrapping_mul(251).wrapping_add(step))
            .filter(|number| (1..=254).contains(&(number >> 8)))
            .find_map(|number| {
                let name = format!("gatepost-test-network-{number}");
                let name = SocketAddr::from_abstract_name(name).unwrap();
                Some((number, UnixListener::bind_addr(&name).ok()?))
            })
            .expect("no loopback network left");
        let mut locks = held.take().map(|network| network._locks).unwrap_or_default();
        locks.push(lock);
        *held = Some(Network { _locks: locks, number, next: 1 });
    }
    let network = held.as_mut().unwrap();
    let ip = Ipv4Addr::new(127, (network.number >> 8) as u8, network.number as u8, network.next);
    network.next += 1;
    ip
}
